//! A merge request.
//!
//! The server takes one as a report that names the fields it tells. What is on the server is put into the same form, so
//! that each field is compared, shown and sent alike.

use chrono::{DateTime, SecondsFormat};
use prost_types::{FieldMask, Timestamp};

use super::{Answer, Difference, Entry};
use crate::{
    cli::{
        apply::file::{self, Moment},
        client::{Server, project, user},
        word::Word,
    },
    pb::v1::{
        self as pb, Label, MergeRequestReport as Report, MergeRequestState, Milestone, UserRef, UserSummary,
        user_ref,
    },
};

/// What the report calls the times that the file tells one by one.
const TIME_STATS: &str = "time_stats";
/// Not there to be compared: it is told with every change, for there is a server's choice, now.
const UPDATED_AT: &str = "updated_at";

#[derive(Debug)]
pub struct MergeRequest {
    pub place: String,
    pub state: MergeRequestState,
    pub(in crate::cli::apply) raw: file::MergeRequest,
}

impl MergeRequest {
    /// What the file wants over what is known, and the fields that the file has, by its names for them.
    fn over(&self, known: Report) -> (Report, Vec<&'static str>) {
        let raw = &self.raw;
        let mut telling = Telling {
            report: known,
            fields: Vec::new(),
        };
        telling.tell("title", Some(&raw.title), |report, text| report.title = text);
        telling.tell("state", Some(&self.state.into()), |report, state| {
            report.state = state;
        });
        telling.texts(raw);
        telling.people(raw);
        telling.times(raw);
        telling.tell(
            "cherry_pick_shas",
            raw.cherry_pick_shas.as_ref(),
            |report, mut ids| {
                ids.sort();
                ids.dedup();
                report.cherry_pick_shas = ids;
            },
        );
        telling.tell("labels", raw.labels.as_ref(), |report, labels| {
            let known = std::mem::take(&mut report.labels);
            report.labels = labels.into_iter().map(|wanted| label(wanted, &known)).collect();
            report.labels.sort_by(|a, b| a.name.cmp(&b.name));
        });
        telling.tell("milestone", raw.milestone.as_ref(), |report, wanted| {
            report.milestone = Some(milestone(wanted, report.milestone.take()));
        });
        telling.tell("time_estimate", raw.time_estimate.as_ref(), |report, seconds| {
            report.time_stats.get_or_insert_default().time_estimate = seconds;
        });
        telling.tell(
            "total_time_spent",
            raw.total_time_spent.as_ref(),
            |report, seconds| {
                report.time_stats.get_or_insert_default().total_time_spent = seconds;
            },
        );
        telling.tell("upvotes", raw.upvotes.as_ref(), |report, count| {
            report.upvotes = count;
        });
        telling.tell("downvotes", raw.downvotes.as_ref(), |report, count| {
            report.downvotes = count;
        });
        telling.tell(
            "user_notes_count",
            raw.user_notes_count.as_ref(),
            |report, count| {
                report.user_notes_count = count;
            },
        );
        (telling.report, telling.fields)
    }

    /// Whether the server knows something later than the file, of which the file then has nothing to say.
    fn is_outdated(&self, found: &pb::MergeRequest) -> bool {
        let known = found.updated_at.and_then(read);
        matches!((&self.raw.updated_at, known), (Some(Moment(told)), Some(known)) if *told < known)
    }

    async fn upsert(
        &self,
        server: &Server,
        known: Report,
        etag: String,
        request_id: String,
    ) -> Answer<Option<pb::MergeRequest>> {
        let (mut report, fields) = self.over(known);
        let mut paths: Vec<String> = fields.into_iter().map(|field| path(field).to_owned()).collect();
        paths.dedup();
        if self.raw.updated_at.is_none() {
            report.updated_at = None;
            paths.push(UPDATED_AT.to_owned());
        }
        let request = pb::UpsertMergeRequestRequest {
            project: Some(project(&self.raw.project)),
            iid: self.raw.iid,
            merge_request: Some(report),
            update_mask: Some(FieldMask { paths }),
            skip_unknown_users: false,
            etag,
            request_id,
            validate_only: false,
        };
        let answer = server.merge_requests().upsert_merge_request(request).await?;
        Ok(answer.into_inner().merge_request)
    }
}

impl Entry for MergeRequest {
    type Found = pb::MergeRequest;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("merge request !{} of {}", self.raw.iid, self.raw.project)
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::MergeRequest>> {
        let request = pb::GetMergeRequestRequest {
            project: Some(project(&self.raw.project)),
            iid: self.raw.iid,
        };
        let answer = server.merge_requests().get_merge_request(request).await?;
        Ok(answer.into_inner().merge_request)
    }

    fn etag(found: &pb::MergeRequest) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::MergeRequest) -> Vec<Difference> {
        if self.is_outdated(found) {
            return Vec::new();
        }
        let found = report(found);
        let (wanted, fields) = self.over(found.clone());
        fields
            .into_iter()
            .filter_map(|field| {
                let (found, wanted) = (shown(field, &found), shown(field, &wanted));
                (found != wanted).then_some(Difference { field, found, wanted })
            })
            .collect()
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::MergeRequest>> {
        self.upsert(server, Report::default(), String::new(), request_id)
            .await
    }

    async fn update(
        &self,
        server: &Server,
        etag: String,
        request_id: String,
    ) -> Answer<Option<pb::MergeRequest>> {
        // What the file leaves out of labels, milestone and times is sent as it is; whoever changed it meanwhile has
        // changed the etag too.
        let found = self.find(server).await?;
        let known = found.as_ref().map(report).unwrap_or_default();
        self.upsert(server, known, etag, request_id).await
    }
}

/// Where a report keeps something.
type Place<T> = fn(&mut Report) -> &mut T;

/// A report in the making, and which fields the file has.
struct Telling {
    report: Report,
    fields: Vec<&'static str>,
}

impl Telling {
    fn tell<T: Clone>(&mut self, field: &'static str, value: Option<&T>, set: impl FnOnce(&mut Report, T)) {
        if let Some(value) = value {
            set(&mut self.report, value.clone());
            self.fields.push(field);
        }
    }

    fn texts(&mut self, raw: &file::MergeRequest) {
        let texts: [(_, _, Place<String>); 9] = [
            ("source_branch", Some(&raw.source_branch), |of| {
                &mut of.source_branch
            }),
            ("target_branch", Some(&raw.target_branch), |of| {
                &mut of.target_branch
            }),
            ("description", raw.description.as_ref(), |of| &mut of.description),
            ("web_url", raw.web_url.as_ref(), |of| &mut of.web_url),
            ("sha", raw.sha.as_ref(), |of| &mut of.sha),
            ("merge_commit_sha", raw.merge_commit_sha.as_ref(), |of| {
                &mut of.merge_commit_sha
            }),
            ("squash_commit_sha", raw.squash_commit_sha.as_ref(), |of| {
                &mut of.squash_commit_sha
            }),
            ("merge_status", raw.merge_status.as_ref(), |of| {
                &mut of.merge_status
            }),
            (
                "detailed_merge_status",
                raw.detailed_merge_status.as_ref(),
                |of| &mut of.detailed_merge_status,
            ),
        ];
        for (field, text, place) in texts {
            self.tell(field, text, |report, text| *place(report) = text);
        }
    }

    fn people(&mut self, raw: &file::MergeRequest) {
        let people: [(_, _, Place<Option<UserRef>>); 3] = [
            ("author", &raw.author, |of| &mut of.author),
            ("merged_by", &raw.merged_by, |of| &mut of.merged_by),
            ("closed_by", &raw.closed_by, |of| &mut of.closed_by),
        ];
        for (field, username, place) in people {
            self.tell(field, username.as_ref(), |report, username| {
                *place(report) = (!username.is_empty()).then(|| user(&username));
            });
        }
        let lists: [(_, _, Place<Vec<UserRef>>); 2] = [
            ("assignees", &raw.assignees, |of| &mut of.assignees),
            ("reviewers", &raw.reviewers, |of| &mut of.reviewers),
        ];
        for (field, usernames, place) in lists {
            self.tell(field, usernames.as_ref(), |report, usernames| {
                *place(report) = usernames.iter().map(|username| user(username)).collect();
            });
        }
    }

    fn times(&mut self, raw: &file::MergeRequest) {
        let times: [(_, _, Place<Option<Timestamp>>); 6] = [
            ("created_at", raw.created_at, |of| &mut of.created_at),
            (UPDATED_AT, raw.updated_at, |of| &mut of.updated_at),
            ("merged_at", raw.merged_at, |of| &mut of.merged_at),
            ("closed_at", raw.closed_at, |of| &mut of.closed_at),
            ("prepared_at", raw.prepared_at, |of| &mut of.prepared_at),
            ("merge_after", raw.merge_after, |of| &mut of.merge_after),
        ];
        for (field, moment, place) in times {
            self.tell(field, moment.as_ref(), |report, Moment(time)| {
                *place(report) = Some(Timestamp {
                    seconds: time.timestamp(),
                    nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default(),
                });
            });
        }
    }
}

/// A label as the file wants it; what it leaves out is as it is.
fn label(wanted: file::Label, known: &[Label]) -> Label {
    let known = known.iter().find(|label| label.name == wanted.name);
    let known = known.cloned().unwrap_or_default();
    Label {
        name: wanted.name,
        color: wanted.color.unwrap_or(known.color),
        text_color: wanted.text_color.unwrap_or(known.text_color),
        description: wanted.description.unwrap_or(known.description),
        priority: wanted.priority.or(known.priority),
    }
}

/// A milestone as the file wants it; what it leaves out is as it is, if it is the same milestone.
fn milestone(wanted: file::Milestone, known: Option<Milestone>) -> Milestone {
    let known = known.filter(|known| known.id == wanted.id).unwrap_or_default();
    Milestone {
        id: wanted.id,
        iid: wanted.iid,
        title: wanted.title,
        description: wanted.description.unwrap_or(known.description),
        closed: wanted.closed.unwrap_or(known.closed),
        start_date: wanted.start_date.map_or(known.start_date, |day| day.0),
        due_date: wanted.due_date.map_or(known.due_date, |day| day.0),
        created_at: known.created_at,
        updated_at: known.updated_at,
        web_url: wanted.web_url.or(known.web_url),
    }
}

/// What the server has, as far as a file can say it.
fn report(found: &pb::MergeRequest) -> Report {
    let one = |of: &Option<UserSummary>| of.as_ref().map(|summary| user(&summary.username));
    let all = |of: &[UserSummary]| of.iter().map(|summary| user(&summary.username)).collect();
    Report {
        title: found.title.clone(),
        description: found.description.clone(),
        state: found.state,
        created_at: found.created_at,
        updated_at: found.updated_at,
        merged_by: one(&found.merged_by),
        merged_at: found.merged_at,
        closed_by: one(&found.closed_by),
        closed_at: found.closed_at,
        target_branch: found.target_branch.clone(),
        source_branch: found.source_branch.clone(),
        author: one(&found.author),
        assignees: all(&found.assignees),
        reviewers: all(&found.reviewers),
        labels: found.labels.clone(),
        milestone: found.milestone.clone(),
        sha: found.sha.clone(),
        merge_commit_sha: found.merge_commit_sha.clone(),
        squash_commit_sha: found.squash_commit_sha.clone(),
        cherry_pick_shas: found.cherry_pick_shas.clone(),
        upvotes: found.upvotes,
        downvotes: found.downvotes,
        user_notes_count: found.user_notes_count,
        merge_status: found.merge_status.clone(),
        detailed_merge_status: found.detailed_merge_status.clone(),
        merge_after: found.merge_after,
        prepared_at: found.prepared_at,
        time_stats: found.time_stats,
        web_url: found.web_url.clone(),
        ..Report::default()
    }
}

/// The report's name for a field of the file.
fn path(field: &'static str) -> &'static str {
    match field {
        "time_estimate" | "total_time_spent" => TIME_STATS,
        other => other,
    }
}

/// A field, for people and to be compared.
fn shown(field: &str, report: &Report) -> String {
    let stats = report.time_stats.unwrap_or_default();
    match field {
        "title" => report.title.clone(),
        "state" => report.state().word(),
        "source_branch" => report.source_branch.clone(),
        "target_branch" => report.target_branch.clone(),
        "description" => report.description.clone(),
        "web_url" => report.web_url.clone(),
        "sha" => report.sha.clone(),
        "merge_commit_sha" => report.merge_commit_sha.clone(),
        "squash_commit_sha" => report.squash_commit_sha.clone(),
        "cherry_pick_shas" => report.cherry_pick_shas.join(", "),
        "merge_status" => report.merge_status.clone(),
        "detailed_merge_status" => report.detailed_merge_status.clone(),
        "author" => named(report.author.as_slice()),
        "merged_by" => named(report.merged_by.as_slice()),
        "closed_by" => named(report.closed_by.as_slice()),
        "assignees" => named(&report.assignees),
        "reviewers" => named(&report.reviewers),
        "created_at" => printed(report.created_at),
        UPDATED_AT => printed(report.updated_at),
        "merged_at" => printed(report.merged_at),
        "closed_at" => printed(report.closed_at),
        "prepared_at" => printed(report.prepared_at),
        "merge_after" => printed(report.merge_after),
        "time_estimate" => stats.time_estimate.to_string(),
        "total_time_spent" => stats.total_time_spent.to_string(),
        "upvotes" => report.upvotes.to_string(),
        "downvotes" => report.downvotes.to_string(),
        "user_notes_count" => report.user_notes_count.to_string(),
        "labels" => joined(report.labels.iter().map(labelled)),
        "milestone" => report.milestone.as_ref().map(planned).unwrap_or_default(),
        _ => String::new(),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// Usernames; their case says nothing.
fn named(people: &[UserRef]) -> String {
    joined(people.iter().map(|person| match &person.by {
        Some(user_ref::By::Username(username)) => username.to_lowercase(),
        Some(user_ref::By::Id(id)) => id.to_string(),
        None => String::new(),
    }))
}

fn read(timestamp: Timestamp) -> Option<DateTime<chrono::Utc>> {
    DateTime::from_timestamp(timestamp.seconds, u32::try_from(timestamp.nanos).ok()?)
}

/// A time as precise as the server keeps it.
fn printed(timestamp: Option<Timestamp>) -> String {
    let time = timestamp.and_then(read);
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
        .unwrap_or_default()
}

/// A name, and behind it whatever else there is to say.
fn with_details<const N: usize>(name: &str, details: [(&str, &str); N]) -> String {
    let details = details.iter().filter(|(_, text)| !text.is_empty());
    let details = joined(details.map(|(key, text)| format!("{key} {text}")));
    if details.is_empty() {
        name.to_owned()
    } else {
        format!("{name} ({details})")
    }
}

fn labelled(label: &Label) -> String {
    let priority = label.priority.map(|priority| priority.to_string());
    with_details(
        &label.name,
        [
            ("color", &label.color),
            ("text_color", &label.text_color),
            ("description", &label.description),
            ("priority", &priority.unwrap_or_default()),
        ],
    )
}

fn planned(milestone: &Milestone) -> String {
    with_details(
        &milestone.title,
        [
            ("id", &milestone.id.to_string()),
            ("iid", &milestone.iid.to_string()),
            ("description", &milestone.description),
            ("closed", if milestone.closed { "true" } else { "" }),
            ("start_date", &milestone.start_date),
            ("due_date", &milestone.due_date),
            ("web_url", milestone.web_url()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(more: &str) -> MergeRequest {
        let text = format!(
            "[[merge_requests]]\nproject = \"acme/web\"\niid = 4\ntitle = \"Colours\"\nstate = \"merged\"\n\
             source_branch = \"colours\"\ntarget_branch = \"main\"\n{more}"
        );
        let raw = file::File::read(&text).unwrap().merge_requests.remove(0);
        MergeRequest {
            place: "merge_requests[0]".to_owned(),
            state: MergeRequestState::read(&raw.state).unwrap(),
            raw,
        }
    }

    fn somebody(username: &str) -> UserSummary {
        UserSummary {
            username: username.to_owned(),
            ..Default::default()
        }
    }

    /// What a server has of everything that a file can say.
    fn found() -> pb::MergeRequest {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        pb::MergeRequest {
            title: "Colours".to_owned(),
            state: MergeRequestState::Merged.into(),
            source_branch: "colours".to_owned(),
            target_branch: "main".to_owned(),
            description: "d".to_owned(),
            web_url: "https://a.example".to_owned(),
            sha: "a".repeat(40),
            merge_commit_sha: "b".repeat(40),
            squash_commit_sha: "c".repeat(40),
            cherry_pick_shas: vec!["d".repeat(40), "e".repeat(40)],
            merge_status: "can_be_merged".to_owned(),
            detailed_merge_status: "mergeable".to_owned(),
            author: Some(somebody("ana")),
            merged_by: Some(somebody("bo")),
            closed_by: Some(somebody("bo")),
            assignees: vec![somebody("ana"), somebody("bo")],
            reviewers: vec![somebody("bo")],
            created_at: at(60),
            updated_at: at(120),
            merged_at: at(120),
            closed_at: at(180),
            prepared_at: at(60),
            merge_after: at(240),
            time_stats: Some(pb::TimeStats {
                time_estimate: 3600,
                total_time_spent: 60,
            }),
            upvotes: 1,
            downvotes: 2,
            user_notes_count: 3,
            labels: vec![
                Label {
                    name: "a".to_owned(),
                    color: "#ff0000".to_owned(),
                    priority: Some(2),
                    ..Default::default()
                },
                Label {
                    name: "b".to_owned(),
                    ..Default::default()
                },
            ],
            milestone: Some(Milestone {
                id: 7,
                iid: 1,
                title: "Spring".to_owned(),
                due_date: "2026-03-20".to_owned(),
                ..Default::default()
            }),
            etag: "e1".to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn what_the_file_leaves_out_is_as_it_should_be() {
        assert_eq!(entry("").differences(&found()), []);
    }

    #[test]
    fn every_field_that_the_file_has_is_compared() {
        let sha = |letter: &str| letter.repeat(40);
        let (picks, pick) = (format!("{}, {}", sha("d"), sha("e")), sha("f"));
        let spring = "Spring (id 7, iid 1, due_date 2026-03-20)";
        // As the file writes what the server has, then something else; what either is shown as.
        let cases = [
            ("description", "\"d\"", "d", "\"\"", ""),
            (
                "web_url",
                "\"https://a.example\"",
                "https://a.example",
                "\"\"",
                "",
            ),
            ("sha", &format!("{:?}", sha("a")), &sha("a"), "\"\"", ""),
            (
                "merge_commit_sha",
                &format!("{:?}", sha("b")),
                &sha("b"),
                "\"\"",
                "",
            ),
            (
                "squash_commit_sha",
                &format!("{:?}", sha("c")),
                &sha("c"),
                "\"\"",
                "",
            ),
            (
                "cherry_pick_shas",
                &format!("[{:?}, {:?}, {0:?}]", sha("e"), sha("d")),
                &picks,
                &format!("[{pick:?}]"),
                &pick,
            ),
            ("merge_status", "\"can_be_merged\"", "can_be_merged", "\"x\"", "x"),
            (
                "detailed_merge_status",
                "\"mergeable\"",
                "mergeable",
                "\"x\"",
                "x",
            ),
            ("author", "\"Ana\"", "ana", "\"\"", ""),
            ("merged_by", "\"bo\"", "bo", "\"ana\"", "ana"),
            ("closed_by", "\"bo\"", "bo", "\"\"", ""),
            (
                "assignees",
                "[\"ana\", \"bo\"]",
                "ana, bo",
                "[\"bo\", \"ana\"]",
                "bo, ana",
            ),
            ("reviewers", "[\"bo\"]", "bo", "[]", ""),
            (
                "created_at",
                "1970-01-01T00:01:00Z",
                "1970-01-01T00:01:00.000Z",
                "1970-01-01T01:00:01+01:00",
                "1970-01-01T00:00:01.000Z",
            ),
            (
                "merged_at",
                "1970-01-01T00:02:00.0009Z",
                "1970-01-01T00:02:00.000Z",
                "1970-01-01T00:02:00.001Z",
                "1970-01-01T00:02:00.001Z",
            ),
            (
                "closed_at",
                "1970-01-01T00:03:00Z",
                "1970-01-01T00:03:00.000Z",
                "1970-01-01T00:02:00Z",
                "1970-01-01T00:02:00.000Z",
            ),
            (
                "prepared_at",
                "1970-01-01T00:01:00Z",
                "1970-01-01T00:01:00.000Z",
                "1970-01-01T00:02:00Z",
                "1970-01-01T00:02:00.000Z",
            ),
            (
                "merge_after",
                "1970-01-01T00:04:00Z",
                "1970-01-01T00:04:00.000Z",
                "1970-01-01T00:02:00Z",
                "1970-01-01T00:02:00.000Z",
            ),
            (
                "updated_at",
                "1970-01-01T00:02:00Z",
                "1970-01-01T00:02:00.000Z",
                "1970-01-01T00:03:00Z",
                "1970-01-01T00:03:00.000Z",
            ),
            ("time_estimate", "3600", "3600", "0", "0"),
            ("total_time_spent", "60", "60", "61", "61"),
            ("upvotes", "1", "1", "0", "0"),
            ("downvotes", "2", "2", "0", "0"),
            ("user_notes_count", "3", "3", "0", "0"),
            (
                "labels",
                "[{ name = \"b\" }, { name = \"a\" }]",
                "a (color #ff0000, priority 2), b",
                "[{ name = \"a\", color = \"#00ff00\" }]",
                "a (color #00ff00, priority 2)",
            ),
            (
                "milestone",
                "{ id = 7, iid = 1, title = \"Spring\" }",
                spring,
                "{ id = 8, iid = 2, title = \"Summer\" }",
                "Summer (id 8, iid 2)",
            ),
        ];
        for (field, same, found_as, other, wanted_as) in cases {
            assert_eq!(
                entry(&format!("{field} = {same}")).differences(&found()),
                [],
                "{field}"
            );
            let difference = Difference {
                field,
                found: found_as.to_owned(),
                wanted: wanted_as.to_owned(),
            };
            let wanted = entry(&format!("{field} = {other}"));
            assert_eq!(wanted.differences(&found()), [difference]);
        }
        let found = pb::MergeRequest {
            title: "Colors".to_owned(),
            state: MergeRequestState::Opened.into(),
            source_branch: "x".to_owned(),
            target_branch: "y".to_owned(),
            ..found()
        };
        let differences = entry("").differences(&found);
        let fields: Vec<_> = differences.iter().map(|difference| difference.field).collect();
        assert_eq!(fields, ["title", "state", "source_branch", "target_branch"]);
    }

    #[test]
    fn a_file_that_is_older_than_what_is_recorded_wants_nothing() {
        for (updated_at, differs) in [
            ("1970-01-01T00:01:59Z", false),
            ("1970-01-01T00:02:00Z", true),
            ("1970-01-01T00:02:01Z", true),
        ] {
            let entry = entry(&format!("description = \"new\"\nupdated_at = {updated_at}"));
            assert_eq!(!entry.differences(&found()).is_empty(), differs, "{updated_at}");
        }
    }
}
