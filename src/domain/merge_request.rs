//! Merge requests as their forges report them: fields, drafts, and what makes one worth linking (contract 1.5 and 2.7).

pub mod query;
pub mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::{
    Time,
    directory::UserSummary,
    environment::{self, EnvironmentTier},
    error::{Error, Reason},
    guard::Guard,
    id::{MergeRequestId, MergeRequestIid, ProjectId, UserId},
};
use query::{MergeRequestOrder, MergeRequestPosition, SortKey};

/// Where a merge request is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MergeRequestState {
    /// It is discussed.
    Opened,
    /// It was given up.
    Closed,
    /// It is being merged.
    Locked,
    /// It was merged.
    Merged,
}

impl MergeRequestState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Opened, Self::Closed, Self::Locked, Self::Merged];

    /// The word for it, in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Locked => "locked",
            Self::Merged => "merged",
        }
    }

    /// The state for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A label of a merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// What it says; unique in the merge request.
    pub name: String,
    /// Its colour, `#` and six hexadecimal digits; empty: not known.
    pub color: String,
    /// That of its text; empty: not known.
    pub text_color: String,
    /// What it is for.
    pub description: String,
    /// Its rank among the project's labels, 1 the first.
    pub priority: Option<i64>,
}

/// What a merge request is planned for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Milestone {
    /// The forge's id.
    pub id: i64,
    /// Its number in the project or group.
    pub iid: i64,
    /// What it is called.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// Whether it is closed.
    pub closed: bool,
    /// The day it begins.
    pub start_date: Option<NaiveDate>,
    /// The day it is due.
    pub due_date: Option<NaiveDate>,
    /// When it was created.
    pub created_at: Option<Time>,
    /// When it last changed.
    pub updated_at: Option<Time>,
    /// Where it can be looked at.
    pub web_url: Option<String>,
}

/// Somebody's emoji on a merge request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reaction {
    /// Whose.
    pub user_id: UserId,
    /// The emoji's name.
    pub name: String,
}

/// What of a merge request is only shown: nothing is sorted, filtered or decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// Whether it is merged as soon as its pipeline succeeds.
    pub merge_when_pipeline_succeeds: bool,
    /// Whether it can be merged, in the forge's words.
    pub merge_status: String,
    /// The same in more detail.
    pub detailed_merge_status: String,
    /// Whether the discussion is closed to outsiders; none: nobody said.
    pub discussion_locked: Option<bool>,
    /// Whether who merged it wants the source branch removed.
    pub should_remove_source_branch: Option<bool>,
    /// Whether the source branch is removed in any case.
    pub force_remove_source_branch: Option<bool>,
    /// Whether its commits are to be squashed.
    pub squash: bool,
    /// Whether they will be.
    pub squash_on_merge: bool,
    /// The time planned, in seconds.
    pub time_estimate: i64,
    /// The time spent, in seconds.
    pub total_time_spent: i64,
    /// How many tasks its description lists.
    pub task_count: i64,
    /// How many of them are done.
    pub task_completed_count: i64,
    /// Whether it cannot be merged for conflicts.
    pub has_conflicts: bool,
    /// Whether no discussion is in the way.
    pub blocking_discussions_resolved: Option<bool>,
    /// How many approvals the forge wants before the merge.
    pub approvals_before_merge: Option<i64>,
    /// Where it can be looked at.
    pub web_url: String,
}

/// Everything that is told of a merge request. Lists that have no order of their own are sorted, and nothing in them is
/// there twice, so that equal facts are equal values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What it is called.
    pub title: String,
    /// What it says.
    pub description: String,
    /// Where it is in its life.
    pub state: MergeRequestState,
    /// When it was opened.
    pub created_at: Time,
    /// When it last changed, by the forge's clock.
    pub updated_at: Time,
    /// Who merged it.
    pub merged_by: Option<UserId>,
    /// When it was merged.
    pub merged_at: Option<Time>,
    /// Who closed it.
    pub closed_by: Option<UserId>,
    /// When it was closed.
    pub closed_at: Option<Time>,
    /// The branch that it is merged into.
    pub target_branch: String,
    /// The branch that it comes from.
    pub source_branch: String,
    /// The project that it comes from.
    pub source_project_id: Option<ProjectId>,
    /// Who opened it.
    pub author: Option<UserId>,
    /// Who is to bring it on, in the order told.
    pub assignees: Vec<UserId>,
    /// Who is to review it, in the order told.
    pub reviewers: Vec<UserId>,
    /// Its labels, by name.
    pub labels: Vec<Label>,
    /// What it is planned for.
    pub milestone: Option<Milestone>,
    /// Its last commit; empty: not known.
    pub sha: String,
    /// The commit that merged it; empty: not known.
    pub merge_commit_sha: String,
    /// The commit that its commits were squashed into; empty: not known.
    pub squash_commit_sha: String,
    /// The commits that it was cherry-picked into, sorted.
    pub cherry_pick_shas: Vec<String>,
    /// Who reacted how, sorted.
    pub reactions: Vec<Reaction>,
    /// How many like it.
    pub upvotes: i64,
    /// How many do not.
    pub downvotes: i64,
    /// How many comments it has.
    pub user_notes_count: i64,
    /// Not to be merged before.
    pub merge_after: Option<Time>,
    /// When it was ready to be reviewed.
    pub prepared_at: Option<Time>,
    /// What is only shown.
    pub details: Details,
}

impl Facts {
    /// Whether the title says that it is a draft.
    pub fn is_draft(&self) -> bool {
        is_draft(&self.title)
    }

    /// The highest rank among its labels: the lowest number.
    pub fn label_priority(&self) -> Option<i64> {
        self.labels.iter().filter_map(|label| label.priority).min()
    }

    /// The day its milestone is due, in days since 1970.
    pub fn milestone_due(&self) -> Option<i64> {
        let due = self.milestone.as_ref()?.due_date?;
        Some(due.signed_duration_since(NaiveDate::default()).num_days())
    }

    /// The commits by which it is found in what a deployment brought, each once for each kind.
    pub fn commits(&self) -> BTreeSet<(CommitKind, &str)> {
        [
            (CommitKind::Head, &self.sha),
            (CommitKind::Merge, &self.merge_commit_sha),
            (CommitKind::Squash, &self.squash_commit_sha),
        ]
        .into_iter()
        .filter(|(_, sha)| !sha.is_empty())
        .chain(
            self.cherry_pick_shas
                .iter()
                .map(|sha| (CommitKind::CherryPick, sha)),
        )
        .map(|(kind, sha)| (kind, sha.as_str()))
        .collect()
    }
}

/// What a commit is to a merge request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommitKind {
    /// Its last commit.
    Head,
    /// The commit that merged it.
    Merge,
    /// The commit that its commits were squashed into.
    Squash,
    /// One that it was cherry-picked into.
    CherryPick,
}

impl CommitKind {
    /// The word for it in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Merge => "merge",
            Self::Squash => "squash",
            Self::CherryPick => "cherry_pick",
        }
    }
}

/// A merge request of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRequest {
    /// Over all projects.
    pub id: MergeRequestId,
    /// The forge's number of it within the project.
    pub iid: MergeRequestIid,
    /// The project that it is merged into.
    pub project_id: ProjectId,
    /// The full path of that project.
    pub project_path: String,
    /// What was told of it.
    pub facts: Facts,
    /// The people that the facts name, as far as they are there.
    pub people: BTreeMap<UserId, UserSummary>,
    /// Counts the changes; the etag shows it.
    pub version: i64,
}

impl MergeRequest {
    /// The etag: changes with every change.
    pub fn etag(&self) -> String {
        format!("\"{}-{}\"", self.id, self.version)
    }

    /// Its place in a list that is sorted so.
    pub fn position(&self, order: MergeRequestOrder) -> MergeRequestPosition {
        let facts = &self.facts;
        let number = |number: Option<i64>| number.map_or(SortKey::Nothing, SortKey::Number);
        let (first, second) = match order {
            MergeRequestOrder::CreatedAt => (
                number(Some(facts.created_at.timestamp_millis())),
                SortKey::Nothing,
            ),
            MergeRequestOrder::UpdatedAt => (
                number(Some(facts.updated_at.timestamp_millis())),
                SortKey::Nothing,
            ),
            MergeRequestOrder::MergedAt => {
                let merged_at = facts.merged_at.map(|at| at.timestamp_millis());
                (number(merged_at), SortKey::Nothing)
            }
            MergeRequestOrder::Title => (SortKey::Text(facts.title.to_lowercase()), SortKey::Nothing),
            MergeRequestOrder::MilestoneDue => (number(facts.milestone_due()), SortKey::Nothing),
            MergeRequestOrder::Popularity => (number(Some(facts.upvotes)), SortKey::Nothing),
            MergeRequestOrder::LabelPriority => (number(facts.label_priority()), SortKey::Nothing),
            MergeRequestOrder::Priority => (number(facts.milestone_due()), number(facts.label_priority())),
        };
        MergeRequestPosition {
            first,
            second,
            id: self.id,
        }
    }

    /// Decides what deleting it changes.
    pub fn delete(&self, guard: &Guard) -> Result<MergeRequestChange, Error> {
        guard.check_etag(&self.etag())?;
        Ok(MergeRequestChange::Deleted(self.id))
    }
}

/// Which deployments may have shipped a merge request without its having been known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relink {
    /// None that have not been looked through.
    Nothing,
    /// Those that succeeded since.
    Since(Time),
    /// Any.
    Everything,
}

/// One fact about a project's merge requests, to be made true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeRequestChange {
    /// It is recorded.
    Created {
        /// The forge's number of it.
        iid: MergeRequestIid,
        /// What is told of it.
        facts: Box<Facts>,
        /// What may have shipped it.
        relink: Relink,
    },
    /// What is told of it changes.
    Updated {
        /// As it was.
        before: Box<MergeRequest>,
        /// What is told of it now.
        facts: Box<Facts>,
        /// What may have shipped it.
        relink: Relink,
    },
    /// Nothing changes: this is the answer.
    Kept {
        /// As it is.
        merge_request: Box<MergeRequest>,
        /// Whether the report was older than what is recorded.
        stale: bool,
    },
    /// It is deleted, with its links.
    Deleted(MergeRequestId),
}

/// The refusal for a merge request that the project does not have.
pub fn not_found(iid: MergeRequestIid) -> Error {
    Error::new(
        Reason::MergeRequestNotFound,
        format!("merge request {iid} not found"),
    )
}

/// Whether a title says that it is a draft: it begins with `Draft:`, `Draft - `, `[Draft]` or `(Draft)`, in any case
/// (contract 2.7).
pub fn is_draft(title: &str) -> bool {
    ["draft:", "draft - ", "[draft]", "(draft)"].iter().any(|sign| {
        title
            .get(..sign.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(sign))
    })
}

/// Whether merge requests are linked to the deployments of an environment: one in a folder only if it is of tier
/// production or staging (contract 1.5).
pub fn is_linked(name: &str, tier: EnvironmentTier) -> bool {
    environment::folder(name).is_none()
        || matches!(tier, EnvironmentTier::Production | EnvironmentTier::Staging)
}

/// Which deployments have to be looked through again once a merge request changes from `before`, if it was known, to
/// `after`.
///
/// A deployment ships what was merged when it finished, so what finished before cannot have; where it is not known when
/// it was merged, nothing before it was opened. A cherry-pick counts whatever the state, and its commit may be of any age.
pub fn relink(before: Option<&Facts>, after: &Facts) -> Relink {
    let picked_before = before.map_or(&[][..], |before| &before.cherry_pick_shas);
    let picked = |sha| !picked_before.contains(sha);
    if after.cherry_pick_shas.iter().any(picked) {
        return Relink::Everything;
    }
    let merge = |facts: &Facts| {
        (
            facts.merged_at,
            facts.sha.clone(),
            facts.merge_commit_sha.clone(),
            facts.squash_commit_sha.clone(),
            facts.target_branch.clone(),
        )
    };
    let merged = |facts: &&Facts| facts.state == MergeRequestState::Merged;
    if !merged(&after) || before.filter(merged).map(merge) == Some(merge(after)) {
        return Relink::Nothing;
    }
    Relink::Since(after.merged_at.unwrap_or(after.created_at))
}
