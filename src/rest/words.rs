//! The words that stand for protobuf enum values, in parameters and in JSON.

use crate::pb::v1::{
    ApprovalStatus, AutoStopSetting, DeploymentOrderBy, DeploymentStatus, EnvironmentState, EnvironmentTier,
    JobStatus, MergeRequestOrderBy, MergeRequestScope, MergeRequestSearchField, MergeRequestState,
    RunnerType, SortDirection, UserState, Visibility, WaitCondition, wait_deployment_request::Until,
};

/// The words of one enum, in documented order.
pub(super) type Words<E> = &'static [(&'static str, E)];

/// What a deployment can be (contract 2.2; `skipped` is one of TODAY's additions).
pub(super) const DEPLOYMENT_STATUSES: Words<DeploymentStatus> = &[
    ("created", DeploymentStatus::Created),
    ("running", DeploymentStatus::Running),
    ("success", DeploymentStatus::Success),
    ("failed", DeploymentStatus::Failed),
    ("canceled", DeploymentStatus::Canceled),
    ("skipped", DeploymentStatus::Skipped),
    ("blocked", DeploymentStatus::Blocked),
];

/// What a caller may ask a deployment to be (contract 2.4, 2.5).
pub(super) const REQUESTED_STATUSES: Words<DeploymentStatus> = &[
    ("running", DeploymentStatus::Running),
    ("success", DeploymentStatus::Success),
    ("failed", DeploymentStatus::Failed),
    ("canceled", DeploymentStatus::Canceled),
];

/// What a job or a pipeline can be.
pub(super) const JOB_STATUSES: Words<JobStatus> = &[
    ("created", JobStatus::Created),
    ("waiting_for_resource", JobStatus::WaitingForResource),
    ("preparing", JobStatus::Preparing),
    ("waiting_for_callback", JobStatus::WaitingForCallback),
    ("pending", JobStatus::Pending),
    ("running", JobStatus::Running),
    ("success", JobStatus::Success),
    ("failed", JobStatus::Failed),
    ("canceling", JobStatus::Canceling),
    ("canceled", JobStatus::Canceled),
    ("skipped", JobStatus::Skipped),
    ("manual", JobStatus::Manual),
    ("scheduled", JobStatus::Scheduled),
];

/// What jobs a runner takes.
pub(super) const RUNNER_TYPES: Words<RunnerType> = &[
    ("instance_type", RunnerType::Instance),
    ("group_type", RunnerType::Group),
    ("project_type", RunnerType::Project),
];

/// What can be decided about a deployment (contract 2.8).
pub(super) const APPROVAL_STATUSES: Words<ApprovalStatus> = &[
    ("approved", ApprovalStatus::Approved),
    ("rejected", ApprovalStatus::Rejected),
];

/// What a caller can wait for a deployment to be (product decision 23).
pub(super) const WAITS: Words<Option<Until>> = &[
    ("approved", Some(Until::Condition(WaitCondition::Approved as i32))),
    ("finished", Some(Until::Condition(WaitCondition::Finished as i32))),
    ("created", Some(Until::Status(DeploymentStatus::Created as i32))),
    ("running", Some(Until::Status(DeploymentStatus::Running as i32))),
    ("success", Some(Until::Status(DeploymentStatus::Success as i32))),
    ("failed", Some(Until::Status(DeploymentStatus::Failed as i32))),
    ("canceled", Some(Until::Status(DeploymentStatus::Canceled as i32))),
    ("skipped", Some(Until::Status(DeploymentStatus::Skipped as i32))),
    ("blocked", Some(Until::Status(DeploymentStatus::Blocked as i32))),
];

/// What deployments are sorted by (product decision 2).
pub(super) const DEPLOYMENT_ORDERS: Words<DeploymentOrderBy> = &[
    ("id", DeploymentOrderBy::Id),
    ("iid", DeploymentOrderBy::Iid),
    ("created_at", DeploymentOrderBy::CreatedAt),
    ("updated_at", DeploymentOrderBy::UpdatedAt),
    ("finished_at", DeploymentOrderBy::FinishedAt),
    ("ref", DeploymentOrderBy::Ref),
];

/// Where a merge request is in its life (contract 2.7).
pub(super) const MERGE_REQUEST_STATES: Words<MergeRequestState> = &[
    ("opened", MergeRequestState::Opened),
    ("closed", MergeRequestState::Closed),
    ("locked", MergeRequestState::Locked),
    ("merged", MergeRequestState::Merged),
];

/// Which states of merge requests a list can be of.
pub(super) const MERGE_REQUEST_STATE_FILTERS: Words<Option<MergeRequestState>> = &[
    ("opened", Some(MergeRequestState::Opened)),
    ("closed", Some(MergeRequestState::Closed)),
    ("locked", Some(MergeRequestState::Locked)),
    ("merged", Some(MergeRequestState::Merged)),
    ("all", None),
];

/// What merge requests are sorted by.
pub(super) const MERGE_REQUEST_ORDERS: Words<MergeRequestOrderBy> = &[
    ("created_at", MergeRequestOrderBy::CreatedAt),
    ("label_priority", MergeRequestOrderBy::LabelPriority),
    ("milestone_due", MergeRequestOrderBy::MilestoneDue),
    ("popularity", MergeRequestOrderBy::Popularity),
    ("priority", MergeRequestOrderBy::Priority),
    ("title", MergeRequestOrderBy::Title),
    ("updated_at", MergeRequestOrderBy::UpdatedAt),
    ("merged_at", MergeRequestOrderBy::MergedAt),
];

/// Whose merge requests; the forms with hyphens are older.
pub(super) const MERGE_REQUEST_SCOPES: Words<MergeRequestScope> = &[
    ("created-by-me", MergeRequestScope::CreatedByMe),
    ("assigned-to-me", MergeRequestScope::AssignedToMe),
    ("created_by_me", MergeRequestScope::CreatedByMe),
    ("assigned_to_me", MergeRequestScope::AssignedToMe),
    ("reviews_for_me", MergeRequestScope::ReviewsForMe),
    ("all", MergeRequestScope::Unspecified),
];

/// Where to search.
pub(super) const MERGE_REQUEST_SEARCH_FIELDS: Words<MergeRequestSearchField> = &[
    ("title", MergeRequestSearchField::Title),
    ("description", MergeRequestSearchField::Description),
];

/// How much of merge requests is shown.
pub(super) const MERGE_REQUEST_VIEWS: Words<()> = &[("simple", ())];

/// Yes or no, where nothing else will do.
pub(super) const YES_NO: Words<bool> = &[("yes", true), ("no", false)];

/// The directions of a list.
pub(super) const DIRECTIONS: Words<SortDirection> =
    &[("asc", SortDirection::Asc), ("desc", SortDirection::Desc)];

/// What an environment can be.
pub(super) const ENVIRONMENT_STATES: Words<EnvironmentState> = &[
    ("available", EnvironmentState::Available),
    ("stopping", EnvironmentState::Stopping),
    ("stopped", EnvironmentState::Stopped),
];

/// How near to the users an environment is.
pub(super) const TIERS: Words<EnvironmentTier> = &[
    ("production", EnvironmentTier::Production),
    ("staging", EnvironmentTier::Staging),
    ("testing", EnvironmentTier::Testing),
    ("development", EnvironmentTier::Development),
    ("other", EnvironmentTier::Other),
];

/// When a stop request stops an environment.
pub(super) const AUTO_STOP_SETTINGS: Words<AutoStopSetting> = &[
    ("always", AutoStopSetting::Always),
    ("with_action", AutoStopSetting::WithAction),
];

/// Who may see a project.
pub(super) const VISIBILITIES: Words<Visibility> = &[
    ("private", Visibility::Private),
    ("internal", Visibility::Internal),
    ("public", Visibility::Public),
];

/// Whether a user may act.
pub(super) const USER_STATES: Words<UserState> =
    &[("active", UserState::Active), ("blocked", UserState::Blocked)];

/// The value that a word stands for.
pub(super) fn value<E: Copy>(words: Words<E>, word: &str) -> Option<E> {
    words
        .iter()
        .find(|(known, _)| *known == word)
        .map(|(_, value)| *value)
}

/// The word for a value as it came over the wire. A newer server may send one that has no word here.
pub(super) fn word<E: Copy + Into<i32>>(words: Words<E>, value: i32) -> &'static str {
    words
        .iter()
        .find(|(_, known)| (*known).into() == value)
        .map_or("unknown", |(word, _)| *word)
}

/// The word for a value that may have none.
pub(super) fn known<E: Copy + PartialEq>(words: Words<E>, value: E) -> Option<&'static str> {
    words
        .iter()
        .find(|(_, known)| *known == value)
        .map(|(word, _)| *word)
}
