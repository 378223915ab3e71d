//! Between the contract's merge requests and the domain's, both ways.

use std::collections::BTreeSet;

use prost_types::FieldMask;

use super::filter::user_key;
use crate::{
    domain::{
        error::{Error, Violations},
        id::{ProjectId, UserId, UserKey},
        merge_request::{
            Label, MergeRequest, Milestone, Reaction,
            report::{self, Field, Report},
        },
    },
    grpc::convert::{self, timestamp, user_summary},
    pb::v1 as pb,
};

/// The fields of a report, by the names that masks use.
const FIELDS: [&str; 42] = [
    "title",
    "description",
    "state",
    "created_at",
    "updated_at",
    "merged_by",
    "merged_at",
    "closed_by",
    "closed_at",
    "target_branch",
    "source_branch",
    "source_project_id",
    "author",
    "assignees",
    "reviewers",
    "labels",
    "milestone",
    "sha",
    "merge_commit_sha",
    "squash_commit_sha",
    "cherry_pick_shas",
    "reactions",
    "upvotes",
    "downvotes",
    "user_notes_count",
    "merge_when_pipeline_succeeds",
    "merge_status",
    "detailed_merge_status",
    "merge_after",
    "prepared_at",
    "discussion_locked",
    "should_remove_source_branch",
    "force_remove_source_branch",
    "squash",
    "squash_on_merge",
    "time_stats",
    "task_count",
    "task_completed_count",
    "has_conflicts",
    "blocking_discussions_resolved",
    "approvals_before_merge",
    "web_url",
];

/// Which fields are told, and what could not be read of them.
struct Reader<'a> {
    told: BTreeSet<&'a str>,
    violations: Violations,
}

impl<'a> Reader<'a> {
    /// An absent or empty mask names every field.
    fn new(mask: Option<&'a FieldMask>) -> Result<Self, Error> {
        let paths = mask.map_or(&[][..], |mask| &mask.paths);
        if let Some(unknown) = paths.iter().position(|path| !FIELDS.contains(&path.as_str())) {
            return Err(Error::argument(
                "update_mask",
                format!("names an unknown field at paths[{unknown}]"),
            ));
        }
        let told = if paths.is_empty() {
            FIELDS.into_iter().collect()
        } else {
            paths.iter().map(String::as_str).collect()
        };
        Ok(Self {
            told,
            violations: Violations::default(),
        })
    }

    /// A field, if it is told.
    fn field<T>(&self, name: &str, value: T) -> Field<T> {
        if self.told.contains(name) {
            Field::Told(value)
        } else {
            Field::Untold
        }
    }

    /// A field that has to be read first, if it is told. What cannot be read is noted.
    fn read<F, T>(&mut self, name: &str, value: F, read: impl Fn(&str, F) -> Result<T, Error>) -> Field<T> {
        if !self.told.contains(name) {
            return Field::Untold;
        }
        let read = read(&format!("merge_request.{name}"), value);
        self.violations.check(read).map_or(Field::Untold, Field::Told)
    }
}

fn user(field: &str, reference: Option<pb::UserRef>) -> Result<Option<UserKey>, Error> {
    reference.map(|reference| user_key(field, reference)).transpose()
}

fn users(field: &str, references: Vec<pb::UserRef>) -> Result<Vec<UserKey>, Error> {
    let numbered = references.into_iter().enumerate();
    numbered
        .map(|(index, reference)| user_key(&format!("{field}[{index}]"), reference))
        .collect()
}

fn label(label: pb::Label) -> Label {
    Label {
        name: label.name,
        color: label.color,
        text_color: label.text_color,
        description: label.description,
        priority: label.priority.map(i64::from),
    }
}

fn reaction(reaction: pb::Reaction) -> Reaction {
    Reaction {
        user_id: UserId(reaction.user_id),
        name: reaction.name,
    }
}

fn milestone(field: &str, milestone: Option<pb::Milestone>) -> Result<Option<Milestone>, Error> {
    let Some(milestone) = milestone else {
        return Ok(None);
    };
    let part = |part: &str| format!("{field}.{part}");
    let day = |name: &str, text: &str| report::day(&part(name), text);
    let time = |name: &str, time| convert::optional_time(&part(name), time);
    Ok(Some(Milestone {
        start_date: day("start_date", &milestone.start_date)?,
        due_date: day("due_date", &milestone.due_date)?,
        created_at: time("created_at", milestone.created_at)?,
        updated_at: time("updated_at", milestone.updated_at)?,
        id: milestone.id,
        iid: milestone.iid,
        title: milestone.title,
        description: milestone.description,
        closed: milestone.closed,
        web_url: milestone.web_url.filter(|url| !url.is_empty()),
    }))
}

/// A report, of the fields that the mask names.
pub fn report(report: pb::MergeRequestReport, mask: Option<&FieldMask>) -> Result<Report, Error> {
    let mut reader = Reader::new(mask)?;
    let time = convert::optional_time;
    let times = report.time_stats.unwrap_or_default();
    let state = convert::read_merge_request_state("merge_request.state", report.state).ok();
    let report = Report {
        created_at: reader.read("created_at", report.created_at, time),
        updated_at: reader.read("updated_at", report.updated_at, time),
        merged_by: reader.read("merged_by", report.merged_by, user),
        merged_at: reader.read("merged_at", report.merged_at, time),
        closed_by: reader.read("closed_by", report.closed_by, user),
        closed_at: reader.read("closed_at", report.closed_at, time),
        author: reader.read("author", report.author, user),
        assignees: reader.read("assignees", report.assignees, users),
        reviewers: reader.read("reviewers", report.reviewers, users),
        milestone: reader.read("milestone", report.milestone, milestone),
        merge_after: reader.read("merge_after", report.merge_after, time),
        prepared_at: reader.read("prepared_at", report.prepared_at, time),
        title: reader.field("title", report.title),
        description: reader.field("description", report.description),
        state: reader.field("state", state),
        target_branch: reader.field("target_branch", report.target_branch),
        source_branch: reader.field("source_branch", report.source_branch),
        source_project_id: reader.field("source_project_id", report.source_project_id.map(ProjectId)),
        labels: reader.field("labels", report.labels.into_iter().map(label).collect()),
        sha: reader.field("sha", report.sha),
        merge_commit_sha: reader.field("merge_commit_sha", report.merge_commit_sha),
        squash_commit_sha: reader.field("squash_commit_sha", report.squash_commit_sha),
        cherry_pick_shas: reader.field("cherry_pick_shas", report.cherry_pick_shas),
        reactions: reader.field("reactions", report.reactions.into_iter().map(reaction).collect()),
        upvotes: reader.field("upvotes", report.upvotes),
        downvotes: reader.field("downvotes", report.downvotes),
        user_notes_count: reader.field("user_notes_count", report.user_notes_count),
        merge_when_pipeline_succeeds: reader.field(
            "merge_when_pipeline_succeeds",
            report.merge_when_pipeline_succeeds,
        ),
        merge_status: reader.field("merge_status", report.merge_status),
        detailed_merge_status: reader.field("detailed_merge_status", report.detailed_merge_status),
        discussion_locked: reader.field("discussion_locked", report.discussion_locked),
        should_remove_source_branch: reader
            .field("should_remove_source_branch", report.should_remove_source_branch),
        force_remove_source_branch: reader
            .field("force_remove_source_branch", report.force_remove_source_branch),
        squash: reader.field("squash", report.squash),
        squash_on_merge: reader.field("squash_on_merge", report.squash_on_merge),
        time_estimate: reader.field("time_stats", times.time_estimate),
        total_time_spent: reader.field("time_stats", times.total_time_spent),
        task_count: reader.field("task_count", report.task_count),
        task_completed_count: reader.field("task_completed_count", report.task_completed_count),
        has_conflicts: reader.field("has_conflicts", report.has_conflicts),
        blocking_discussions_resolved: reader.field(
            "blocking_discussions_resolved",
            report.blocking_discussions_resolved,
        ),
        approvals_before_merge: reader.field("approvals_before_merge", report.approvals_before_merge),
        web_url: reader.field("web_url", report.web_url),
    };
    reader.violations.finish()?;
    Ok(report)
}

fn shown_label(label: &Label) -> pb::Label {
    pb::Label {
        name: label.name.clone(),
        color: label.color.clone(),
        text_color: label.text_color.clone(),
        description: label.description.clone(),
        priority: label.priority.and_then(|priority| i32::try_from(priority).ok()),
    }
}

fn shown_milestone(milestone: &Milestone) -> pb::Milestone {
    let day = |day: Option<chrono::NaiveDate>| day.map_or_else(String::new, |day| day.to_string());
    pb::Milestone {
        id: milestone.id,
        iid: milestone.iid,
        title: milestone.title.clone(),
        description: milestone.description.clone(),
        closed: milestone.closed,
        start_date: day(milestone.start_date),
        due_date: day(milestone.due_date),
        created_at: milestone.created_at.map(timestamp),
        updated_at: milestone.updated_at.map(timestamp),
        web_url: milestone.web_url.clone(),
    }
}

/// A merge request. People who are no longer there are left out.
pub fn merge_request(merge_request: &MergeRequest) -> pb::MergeRequest {
    let facts = &merge_request.facts;
    let details = &facts.details;
    let one = |id: Option<UserId>| merge_request.people.get(&id?).map(user_summary);
    let all = |ids: &[UserId]| ids.iter().filter_map(|&id| one(Some(id))).collect();
    pb::MergeRequest {
        id: merge_request.id.0,
        iid: merge_request.iid.0,
        project_id: merge_request.project_id.0,
        title: facts.title.clone(),
        description: facts.description.clone(),
        state: convert::merge_request_state(facts.state).into(),
        created_at: Some(timestamp(facts.created_at)),
        updated_at: Some(timestamp(facts.updated_at)),
        merged_by: one(facts.merged_by),
        merged_at: facts.merged_at.map(timestamp),
        closed_by: one(facts.closed_by),
        closed_at: facts.closed_at.map(timestamp),
        target_branch: facts.target_branch.clone(),
        source_branch: facts.source_branch.clone(),
        source_project_id: facts.source_project_id.map(|id| id.0),
        author: one(facts.author),
        assignees: all(&facts.assignees),
        reviewers: all(&facts.reviewers),
        labels: facts.labels.iter().map(shown_label).collect(),
        milestone: facts.milestone.as_ref().map(shown_milestone),
        draft: facts.is_draft(),
        sha: facts.sha.clone(),
        merge_commit_sha: facts.merge_commit_sha.clone(),
        squash_commit_sha: facts.squash_commit_sha.clone(),
        cherry_pick_shas: facts.cherry_pick_shas.clone(),
        reactions: facts
            .reactions
            .iter()
            .map(|reaction| pb::Reaction {
                name: reaction.name.clone(),
                user_id: reaction.user_id.0,
            })
            .collect(),
        upvotes: facts.upvotes,
        downvotes: facts.downvotes,
        user_notes_count: facts.user_notes_count,
        merge_when_pipeline_succeeds: details.merge_when_pipeline_succeeds,
        merge_status: details.merge_status.clone(),
        detailed_merge_status: details.detailed_merge_status.clone(),
        merge_after: facts.merge_after.map(timestamp),
        prepared_at: facts.prepared_at.map(timestamp),
        discussion_locked: details.discussion_locked,
        should_remove_source_branch: details.should_remove_source_branch,
        force_remove_source_branch: details.force_remove_source_branch,
        squash: details.squash,
        squash_on_merge: details.squash_on_merge,
        time_stats: Some(pb::TimeStats {
            time_estimate: details.time_estimate,
            total_time_spent: details.total_time_spent,
        }),
        task_count: details.task_count,
        task_completed_count: details.task_completed_count,
        has_conflicts: details.has_conflicts,
        blocking_discussions_resolved: details.blocking_discussions_resolved,
        approvals_before_merge: details.approvals_before_merge,
        web_url: details.web_url.clone(),
        project_path: merge_request.project_path.clone(),
        etag: merge_request.etag(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn masks_name_the_fields_of_the_contract() {
        let files = prost_types::FileDescriptorSet::decode(crate::pb::DESCRIPTORS).unwrap();
        let messages = files.file.iter().flat_map(|file| &file.message_type);
        let mut reports = messages.filter(|message| message.name() == "MergeRequestReport");
        let fields: Vec<&str> = reports
            .next()
            .unwrap()
            .field
            .iter()
            .map(prost_types::FieldDescriptorProto::name)
            .collect();
        assert_eq!(fields, FIELDS);
    }

    #[test]
    fn what_the_mask_does_not_name_is_not_even_read() {
        let unreadable = pb::MergeRequestReport {
            created_at: Some(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
            author: Some(pb::UserRef { by: None }),
            title: "told".into(),
            ..Default::default()
        };
        let mask = |paths: &[&str]| FieldMask {
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
        };
        let told = report(unreadable.clone(), Some(&mask(&["title"]))).unwrap();
        let wanted = Report {
            title: Field::Told("told".into()),
            ..Report::default()
        };
        assert_eq!(told, wanted);
        for all in [None, Some(mask(&[]))] {
            let refused = report(unreadable.clone(), all.as_ref()).unwrap_err();
            let fields: Vec<&str> = refused.violations().iter().map(|v| v.field.as_str()).collect();
            assert_eq!(fields, ["merge_request.created_at", "merge_request.author"]);
        }
        for unknown in ["*", "nothing", "milestone.title", "Title", "title,state", ""] {
            let refused = report(unreadable.clone(), Some(&mask(&["title", unknown]))).unwrap_err();
            assert_eq!(refused.violations()[0].field, "update_mask", "{unknown}");
        }
    }
}
