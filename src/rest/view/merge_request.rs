//! Merge requests (contract 2.7). What Gatehouse was not told is shown as the reference shows what is empty.

use serde::Serialize;

use super::{UserBasic, printed, words};
use crate::pb::v1;

/// What the reference calls a merge status that nobody has looked into.
const UNCHECKED: &str = "unchecked";
/// Working time, as the reference counts it: an hour, a day of 8 hours, a week of 5 days, a month of 4 weeks.
const UNITS: [(i64, &str); 5] = [
    (4 * 5 * 8 * 3600, "mo"),
    (5 * 8 * 3600, "w"),
    (8 * 3600, "d"),
    (3600, "h"),
    (60, "m"),
];

/// How a list shows merge requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rest) struct Form {
    /// Only what says which they are.
    pub simple: bool,
    /// Labels with their colours and descriptions.
    pub labels_with_details: bool,
}

/// A merge request in a list.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in crate::rest) enum MergeRequest {
    /// With everything.
    Basic(Box<Basic>),
    /// With what says which it is.
    Simple(Simple),
}

impl MergeRequest {
    /// `base` is where the client found this server.
    pub(in crate::rest) fn new(merge_request: v1::MergeRequest, form: Form, base: &str) -> Self {
        if form.simple {
            Self::Simple(Simple::new(merge_request, base))
        } else {
            Self::Basic(Box::new(Basic::new(
                merge_request,
                form.labels_with_details,
                base,
            )))
        }
    }
}

fn not_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Where it can be looked at: in its forge, or where the reference would have it.
fn web_url(merge_request: &v1::MergeRequest, base: &str) -> String {
    if merge_request.web_url.is_empty() {
        let (path, iid) = (&merge_request.project_path, merge_request.iid);
        format!("{base}/{path}/-/merge_requests/{iid}")
    } else {
        merge_request.web_url.clone()
    }
}

/// With `view=simple`.
#[derive(Debug, Serialize)]
pub(in crate::rest) struct Simple {
    id: i64,
    iid: i64,
    project_id: i64,
    title: String,
    description: Option<String>,
    state: &'static str,
    created_at: Option<String>,
    updated_at: Option<String>,
    web_url: String,
}

impl Simple {
    fn new(of: v1::MergeRequest, base: &str) -> Self {
        Self {
            web_url: web_url(&of, base),
            id: of.id,
            iid: of.iid,
            project_id: of.project_id,
            title: of.title,
            description: not_empty(of.description),
            state: words::word(words::MERGE_REQUEST_STATES, of.state),
            created_at: printed(of.created_at.as_ref()),
            updated_at: printed(of.updated_at.as_ref()),
        }
    }
}

/// A label.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Label {
    Name(String),
    Details {
        name: String,
        color: Option<String>,
        description: Option<String>,
        description_html: String,
        text_color: Option<String>,
    },
}

impl Label {
    fn new(label: v1::Label, with_details: bool) -> Self {
        if !with_details {
            return Self::Name(label.name);
        }
        Self::Details {
            description_html: escaped(&label.description),
            name: label.name,
            color: not_empty(label.color),
            description: not_empty(label.description),
            text_color: not_empty(label.text_color),
        }
    }
}

/// Text as HTML.
fn escaped(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut html, c| {
            match c {
                '&' => html.push_str("&amp;"),
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                '"' => html.push_str("&quot;"),
                '\'' => html.push_str("&#39;"),
                other => html.push(other),
            }
            html
        })
}

#[derive(Debug, Serialize)]
struct Milestone {
    id: i64,
    iid: i64,
    project_id: i64,
    title: String,
    description: String,
    state: &'static str,
    created_at: Option<String>,
    updated_at: Option<String>,
    due_date: Option<String>,
    start_date: Option<String>,
    web_url: Option<String>,
}

impl Milestone {
    fn new(milestone: v1::Milestone, project_id: i64) -> Self {
        Self {
            id: milestone.id,
            iid: milestone.iid,
            project_id,
            title: milestone.title,
            description: milestone.description,
            state: if milestone.closed { "closed" } else { "active" },
            created_at: printed(milestone.created_at.as_ref()),
            updated_at: printed(milestone.updated_at.as_ref()),
            due_date: not_empty(milestone.due_date),
            start_date: not_empty(milestone.start_date),
            web_url: milestone.web_url,
        }
    }
}

#[derive(Debug, Serialize)]
struct References {
    short: String,
    relative: String,
    full: String,
}

#[derive(Debug, Serialize)]
struct TimeStats {
    time_estimate: i64,
    total_time_spent: i64,
    human_time_estimate: Option<String>,
    human_total_time_spent: Option<String>,
}

/// Working time in words, such as `1d 3h 30m`; none for none.
fn human(seconds: i64) -> Option<String> {
    let mut left = seconds;
    let parts: Vec<String> = UNITS
        .iter()
        .filter_map(|(unit, name)| {
            let count = left / unit;
            left %= unit;
            (count > 0).then(|| format!("{count}{name}"))
        })
        .collect();
    not_empty(parts.join(" "))
}

#[derive(Debug, Serialize)]
struct TaskCompletionStatus {
    count: i64,
    completed_count: i64,
}

/// Everything that a list shows.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "so the contract has it")]
pub(in crate::rest) struct Basic {
    id: i64,
    iid: i64,
    project_id: i64,
    title: String,
    description: Option<String>,
    state: &'static str,
    created_at: Option<String>,
    updated_at: Option<String>,
    merged_by: Option<UserBasic>,
    merge_user: Option<UserBasic>,
    merged_at: Option<String>,
    closed_by: Option<UserBasic>,
    closed_at: Option<String>,
    target_branch: String,
    source_branch: String,
    user_notes_count: i64,
    upvotes: i64,
    downvotes: i64,
    author: Option<UserBasic>,
    assignees: Vec<UserBasic>,
    assignee: Option<UserBasic>,
    reviewers: Vec<UserBasic>,
    source_project_id: Option<i64>,
    target_project_id: i64,
    labels: Vec<Label>,
    draft: bool,
    imported: bool,
    imported_from: &'static str,
    work_in_progress: bool,
    milestone: Option<Milestone>,
    merge_when_pipeline_succeeds: bool,
    merge_status: String,
    detailed_merge_status: String,
    merge_after: Option<String>,
    sha: Option<String>,
    merge_commit_sha: Option<String>,
    squash_commit_sha: Option<String>,
    discussion_locked: Option<bool>,
    should_remove_source_branch: Option<bool>,
    force_remove_source_branch: Option<bool>,
    prepared_at: Option<String>,
    reference: String,
    references: References,
    web_url: String,
    time_stats: TimeStats,
    squash: bool,
    squash_on_merge: bool,
    task_completion_status: TaskCompletionStatus,
    has_conflicts: bool,
    blocking_discussions_resolved: bool,
    approvals_before_merge: Option<i64>,
}

impl Basic {
    fn new(of: v1::MergeRequest, labels_with_details: bool, base: &str) -> Self {
        let user = |user: v1::UserSummary| UserBasic::new(user, base);
        let status = |status: String| not_empty(status).unwrap_or_else(|| UNCHECKED.to_owned());
        let reference = format!("!{}", of.iid);
        let times = of.time_stats.unwrap_or_default();
        Self {
            web_url: web_url(&of, base),
            references: References {
                short: reference.clone(),
                relative: reference.clone(),
                full: format!("{}{reference}", of.project_path),
            },
            reference,
            id: of.id,
            iid: of.iid,
            project_id: of.project_id,
            title: of.title,
            description: not_empty(of.description),
            state: words::word(words::MERGE_REQUEST_STATES, of.state),
            created_at: printed(of.created_at.as_ref()),
            updated_at: printed(of.updated_at.as_ref()),
            merged_by: of.merged_by.clone().map(user),
            merge_user: of.merged_by.map(user),
            merged_at: printed(of.merged_at.as_ref()),
            closed_by: of.closed_by.map(user),
            closed_at: printed(of.closed_at.as_ref()),
            target_branch: of.target_branch,
            source_branch: of.source_branch,
            user_notes_count: of.user_notes_count,
            upvotes: of.upvotes,
            downvotes: of.downvotes,
            author: of.author.map(user),
            assignee: of.assignees.first().cloned().map(user),
            assignees: of.assignees.into_iter().map(user).collect(),
            reviewers: of.reviewers.into_iter().map(user).collect(),
            source_project_id: of.source_project_id,
            target_project_id: of.project_id,
            labels: of
                .labels
                .into_iter()
                .map(|label| Label::new(label, labels_with_details))
                .collect(),
            draft: of.draft,
            imported: false,
            imported_from: "none",
            work_in_progress: of.draft,
            milestone: of
                .milestone
                .map(|milestone| Milestone::new(milestone, of.project_id)),
            merge_when_pipeline_succeeds: of.merge_when_pipeline_succeeds,
            merge_status: status(of.merge_status),
            detailed_merge_status: status(of.detailed_merge_status),
            merge_after: printed(of.merge_after.as_ref()),
            sha: not_empty(of.sha),
            merge_commit_sha: not_empty(of.merge_commit_sha),
            squash_commit_sha: not_empty(of.squash_commit_sha),
            discussion_locked: of.discussion_locked,
            should_remove_source_branch: of.should_remove_source_branch,
            force_remove_source_branch: of.force_remove_source_branch,
            prepared_at: printed(of.prepared_at.as_ref()),
            time_stats: TimeStats {
                time_estimate: times.time_estimate,
                total_time_spent: times.total_time_spent,
                human_time_estimate: human(times.time_estimate),
                human_total_time_spent: human(times.total_time_spent),
            },
            squash: of.squash,
            squash_on_merge: of.squash_on_merge,
            task_completion_status: TaskCompletionStatus {
                count: of.task_count,
                completed_count: of.task_completed_count,
            },
            has_conflicts: of.has_conflicts,
            // Nothing is in the way where nothing is known to be.
            blocking_discussions_resolved: of.blocking_discussions_resolved.unwrap_or(true),
            approvals_before_merge: of.approvals_before_merge,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge_request() -> v1::MergeRequest {
        v1::MergeRequest {
            id: 84,
            iid: 14,
            project_id: 4,
            title: "Draft: new title".to_owned(),
            state: v1::MergeRequestState::Merged.into(),
            target_branch: "main".to_owned(),
            source_branch: "change".to_owned(),
            draft: true,
            project_path: "acme/web".to_owned(),
            ..v1::MergeRequest::default()
        }
    }

    #[test]
    fn what_is_not_known_is_shown_as_the_reference_shows_what_is_empty() {
        let form = Form {
            simple: false,
            labels_with_details: false,
        };
        let shown = MergeRequest::new(merge_request(), form, "http://gate.example");
        let expected = concat!(
            r#"{"id":84,"iid":14,"project_id":4,"title":"Draft: new title","description":null,"state":"merged","#,
            r#""created_at":null,"updated_at":null,"merged_by":null,"merge_user":null,"merged_at":null,"#,
            r#""closed_by":null,"closed_at":null,"target_branch":"main","source_branch":"change","#,
            r#""user_notes_count":0,"upvotes":0,"downvotes":0,"author":null,"assignees":[],"assignee":null,"#,
            r#""reviewers":[],"source_project_id":null,"target_project_id":4,"labels":[],"draft":true,"#,
            r#""imported":false,"imported_from":"none","work_in_progress":true,"milestone":null,"#,
            r#""merge_when_pipeline_succeeds":false,"merge_status":"unchecked","detailed_merge_status":"unchecked","#,
            r#""merge_after":null,"sha":null,"merge_commit_sha":null,"squash_commit_sha":null,"#,
            r#""discussion_locked":null,"should_remove_source_branch":null,"force_remove_source_branch":null,"#,
            r#""prepared_at":null,"reference":"!14","references":{"short":"!14","relative":"!14","#,
            r#""full":"acme/web!14"},"web_url":"http://gate.example/acme/web/-/merge_requests/14","#,
            r#""time_stats":{"time_estimate":0,"total_time_spent":0,"human_time_estimate":null,"#,
            r#""human_total_time_spent":null},"squash":false,"squash_on_merge":false,"#,
            r#""task_completion_status":{"count":0,"completed_count":0},"has_conflicts":false,"#,
            r#""blocking_discussions_resolved":true,"approvals_before_merge":null}"#,
        );
        assert_eq!(serde_json::to_string(&shown).unwrap(), expected);
    }

    #[test]
    fn the_simple_form_says_which_it_is() {
        let form = Form {
            simple: true,
            labels_with_details: true,
        };
        let shown = MergeRequest::new(merge_request(), form, "http://gate.example");
        let expected = concat!(
            r#"{"id":84,"iid":14,"project_id":4,"title":"Draft: new title","description":null,"state":"merged","#,
            r#""created_at":null,"updated_at":null,"web_url":"http://gate.example/acme/web/-/merge_requests/14"}"#,
        );
        assert_eq!(serde_json::to_string(&shown).unwrap(), expected);
    }

    #[test]
    fn labels_are_names_or_come_with_details() {
        let label = v1::Label {
            name: "bug".to_owned(),
            color: "#FF0000".to_owned(),
            description: "It's <broken>".to_owned(),
            ..v1::Label::default()
        };
        let shown = |details| serde_json::to_string(&Label::new(label.clone(), details)).unwrap();
        assert_eq!(shown(false), r#""bug""#);
        let expected = concat!(
            r##"{"name":"bug","color":"#FF0000","description":"It's <broken>","##,
            r#""description_html":"It&#39;s &lt;broken&gt;","text_color":null}"#,
        );
        assert_eq!(shown(true), expected);
    }

    #[test]
    fn working_time_is_told_in_words() {
        for (seconds, expected) in [
            (0, None),
            (59, None),
            (60, Some("1m")),
            (12_600, Some("3h 30m")),
            (8 * 3600, Some("1d")),
            (5 * 8 * 3600 + 90_000, Some("1w 3d 1h")),
            (4 * 5 * 8 * 3600, Some("1mo")),
        ] {
            assert_eq!(human(seconds).as_deref(), expected, "{seconds}");
        }
    }
}
