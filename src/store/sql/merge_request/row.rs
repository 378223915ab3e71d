//! Rows of merge requests and of what belongs to them, and the way to the domain and back.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::{
    domain::{
        id::{MergeRequestId, MergeRequestIid, ProjectId, UserId},
        merge_request::{Details, Facts, Label, MergeRequest, MergeRequestState, Milestone, Reaction},
    },
    store::{
        Result, StoreError,
        sql::row::{inconsistent, millis, time},
    },
};

const TABLE: &str = "merge_requests";

/// The columns of a [`MergeRequestRow`], of the merge request `m` of the project `p`.
pub const COLUMNS: &str = "SELECT m.id, m.project_id, p.full_path AS project_path, m.iid, m.title, m.description, \
     m.state, m.created_at, m.updated_at, m.merged_at, m.closed_at, m.prepared_at, m.merge_after, m.author_id, \
     m.merged_by_id, m.closed_by_id, m.target_branch, m.source_branch, m.source_project_id, m.sha, \
     m.merge_commit_sha, m.squash_commit_sha, m.milestone, m.upvotes, m.downvotes, m.user_notes_count, m.details, \
     m.version";

#[derive(Debug, FromRow)]
pub struct MergeRequestRow {
    pub id: i64,
    pub project_id: i64,
    pub project_path: String,
    pub iid: i64,
    pub title: String,
    pub description: String,
    pub state: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub merged_at: Option<i64>,
    pub closed_at: Option<i64>,
    pub prepared_at: Option<i64>,
    pub merge_after: Option<i64>,
    pub author_id: Option<i64>,
    pub merged_by_id: Option<i64>,
    pub closed_by_id: Option<i64>,
    pub target_branch: String,
    pub source_branch: String,
    pub source_project_id: Option<i64>,
    pub sha: String,
    pub merge_commit_sha: String,
    pub squash_commit_sha: String,
    pub milestone: Option<String>,
    pub upvotes: i64,
    pub downvotes: i64,
    pub user_notes_count: i64,
    pub details: String,
    pub version: i64,
}

impl TryFrom<MergeRequestRow> for MergeRequest {
    type Error = StoreError;

    /// Without people, labels, reactions and cherry-picks.
    fn try_from(row: MergeRequestRow) -> Result<Self> {
        let bad = |column| inconsistent(TABLE, column, row.id);
        let at = |column, millis| time(TABLE, column, row.id, millis);
        let maybe = |column, millis: Option<i64>| millis.map(|millis| at(column, millis)).transpose();
        let milestone = row.milestone.as_deref().map(read_milestone);
        let facts = Facts {
            state: MergeRequestState::parse(&row.state).ok_or_else(|| bad("state"))?,
            created_at: at("created_at", row.created_at)?,
            updated_at: at("updated_at", row.updated_at)?,
            merged_at: maybe("merged_at", row.merged_at)?,
            closed_at: maybe("closed_at", row.closed_at)?,
            prepared_at: maybe("prepared_at", row.prepared_at)?,
            merge_after: maybe("merge_after", row.merge_after)?,
            milestone: match milestone {
                Some(milestone) => Some(milestone.ok_or_else(|| bad("milestone"))?),
                None => None,
            },
            details: read_details(&row.details).ok_or_else(|| bad("details"))?,
            title: row.title,
            description: row.description,
            merged_by: row.merged_by_id.map(UserId),
            closed_by: row.closed_by_id.map(UserId),
            target_branch: row.target_branch,
            source_branch: row.source_branch,
            source_project_id: row.source_project_id.map(ProjectId),
            author: row.author_id.map(UserId),
            assignees: Vec::new(),
            reviewers: Vec::new(),
            labels: Vec::new(),
            sha: row.sha,
            merge_commit_sha: row.merge_commit_sha,
            squash_commit_sha: row.squash_commit_sha,
            cherry_pick_shas: Vec::new(),
            reactions: Vec::new(),
            upvotes: row.upvotes,
            downvotes: row.downvotes,
            user_notes_count: row.user_notes_count,
        };
        Ok(Self {
            id: MergeRequestId(row.id),
            iid: MergeRequestIid(row.iid),
            project_id: ProjectId(row.project_id),
            project_path: row.project_path,
            facts,
            people: BTreeMap::new(),
            version: row.version,
        })
    }
}

/// Somebody who is to bring a merge request on, or to review it.
#[derive(Debug, FromRow)]
pub struct MergeRequestPersonRow {
    pub merge_request_id: i64,
    pub role: String,
    pub user_id: i64,
}

#[derive(Debug, FromRow)]
pub struct LabelRow {
    pub merge_request_id: i64,
    pub name: String,
    pub color: String,
    pub text_color: String,
    pub description: String,
    pub priority: Option<i64>,
}

impl From<LabelRow> for Label {
    fn from(row: LabelRow) -> Self {
        Self {
            name: row.name,
            color: row.color,
            text_color: row.text_color,
            description: row.description,
            priority: row.priority,
        }
    }
}

#[derive(Debug, FromRow)]
pub struct ReactionRow {
    pub merge_request_id: i64,
    pub user_id: i64,
    pub name: String,
}

impl From<ReactionRow> for Reaction {
    fn from(row: ReactionRow) -> Self {
        Self {
            user_id: UserId(row.user_id),
            name: row.name,
        }
    }
}

/// A commit that a merge request was cherry-picked into.
#[derive(Debug, FromRow)]
pub struct CherryPickRow {
    pub merge_request_id: i64,
    pub sha: String,
}

/// [`Details`] as the store keeps them. What is missing was not known when it was written.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct DetailsJson {
    merge_when_pipeline_succeeds: bool,
    merge_status: String,
    detailed_merge_status: String,
    discussion_locked: Option<bool>,
    should_remove_source_branch: Option<bool>,
    force_remove_source_branch: Option<bool>,
    squash: bool,
    squash_on_merge: bool,
    time_estimate: i64,
    total_time_spent: i64,
    task_count: i64,
    task_completed_count: i64,
    has_conflicts: bool,
    blocking_discussions_resolved: Option<bool>,
    approvals_before_merge: Option<i64>,
    web_url: String,
}

/// What is only shown, as the store keeps it.
pub fn details(details: &Details) -> Result<String> {
    let details = details.clone();
    json(&DetailsJson {
        merge_when_pipeline_succeeds: details.merge_when_pipeline_succeeds,
        merge_status: details.merge_status,
        detailed_merge_status: details.detailed_merge_status,
        discussion_locked: details.discussion_locked,
        should_remove_source_branch: details.should_remove_source_branch,
        force_remove_source_branch: details.force_remove_source_branch,
        squash: details.squash,
        squash_on_merge: details.squash_on_merge,
        time_estimate: details.time_estimate,
        total_time_spent: details.total_time_spent,
        task_count: details.task_count,
        task_completed_count: details.task_completed_count,
        has_conflicts: details.has_conflicts,
        blocking_discussions_resolved: details.blocking_discussions_resolved,
        approvals_before_merge: details.approvals_before_merge,
        web_url: details.web_url,
    })
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Other(error.into()))
}

fn read_details(text: &str) -> Option<Details> {
    let json: DetailsJson = serde_json::from_str(text).ok()?;
    Some(Details {
        merge_when_pipeline_succeeds: json.merge_when_pipeline_succeeds,
        merge_status: json.merge_status,
        detailed_merge_status: json.detailed_merge_status,
        discussion_locked: json.discussion_locked,
        should_remove_source_branch: json.should_remove_source_branch,
        force_remove_source_branch: json.force_remove_source_branch,
        squash: json.squash,
        squash_on_merge: json.squash_on_merge,
        time_estimate: json.time_estimate,
        total_time_spent: json.total_time_spent,
        task_count: json.task_count,
        task_completed_count: json.task_completed_count,
        has_conflicts: json.has_conflicts,
        blocking_discussions_resolved: json.blocking_discussions_resolved,
        approvals_before_merge: json.approvals_before_merge,
        web_url: json.web_url,
    })
}

/// [`Milestone`] as the store keeps it; days as ISO 8601 has them, times in milliseconds.
#[derive(Serialize, Deserialize)]
struct MilestoneJson {
    id: i64,
    iid: i64,
    title: String,
    description: String,
    closed: bool,
    start_date: Option<String>,
    due_date: Option<String>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    web_url: Option<String>,
}

/// A milestone as the store keeps it.
pub fn milestone(milestone: &Milestone) -> Result<String> {
    let day = |day: Option<NaiveDate>| day.map(|day| day.to_string());
    json(&MilestoneJson {
        id: milestone.id,
        iid: milestone.iid,
        title: milestone.title.clone(),
        description: milestone.description.clone(),
        closed: milestone.closed,
        start_date: day(milestone.start_date),
        due_date: day(milestone.due_date),
        created_at: milestone.created_at.map(millis),
        updated_at: milestone.updated_at.map(millis),
        web_url: milestone.web_url.clone(),
    })
}

fn read_milestone(text: &str) -> Option<Milestone> {
    let json: MilestoneJson = serde_json::from_str(text).ok()?;
    let day = |text: Option<String>| match text {
        Some(text) => text.parse::<NaiveDate>().ok().map(Some),
        None => Some(None),
    };
    let at = |millis: Option<i64>| match millis {
        Some(millis) => time(TABLE, "milestone", json.id, millis).ok().map(Some),
        None => Some(None),
    };
    Some(Milestone {
        start_date: day(json.start_date)?,
        due_date: day(json.due_date)?,
        created_at: at(json.created_at)?,
        updated_at: at(json.updated_at)?,
        id: json.id,
        iid: json.iid,
        title: json.title,
        description: json.description,
        closed: json.closed,
        web_url: json.web_url,
    })
}
