//! The manifest: every type that crosses the seam, each way. A type that is missing here does not compile.

use super::{
    commit::CommitRow,
    job::JobRow,
    lease::LeaseRow,
    link::LinkRow,
    merge_request::row::{CherryPickRow, LabelRow, MergeRequestPersonRow, MergeRequestRow, ReactionRow},
    project::{MarkRow, PositionRow},
    row::{
        ApprovalRow, DeploymentRow, EnvironmentRow, EventRow, GlanceRow, GroundRow, GroupRow, GroupViewRow,
        GuardRow, HolderRow, LockRow, MembershipRow, PageRow, PersonRow, PlaceRow, ProjectRow, RequestRow,
        ShareRow, TokenRow, UserRow, ViewRow, WayRow,
    },
    schema::{AppliedRow, InstallationRow},
    seam::{Carries, Cells, Driver, Reads},
};

/// An engine that the SQL store runs on.
pub trait Db:
    Driver
    + Cells
    + Carries<i64>
    + Carries<Option<i64>>
    + Carries<Option<f64>>
    + Carries<String>
    + Carries<Option<String>>
    + Carries<bool>
    + Carries<Option<bool>>
    + Carries<Vec<u8>>
    + Carries<Option<Vec<u8>>>
    + Reads<(i64,)>
    + Reads<AppliedRow>
    + Reads<ApprovalRow>
    + Reads<CherryPickRow>
    + Reads<CommitRow>
    + Reads<DeploymentRow>
    + Reads<EnvironmentRow>
    + Reads<EventRow>
    + Reads<GlanceRow>
    + Reads<GroundRow>
    + Reads<GroupRow>
    + Reads<GroupViewRow>
    + Reads<GuardRow>
    + Reads<HolderRow>
    + Reads<InstallationRow>
    + Reads<JobRow>
    + Reads<LabelRow>
    + Reads<LeaseRow>
    + Reads<LinkRow>
    + Reads<LockRow>
    + Reads<MarkRow>
    + Reads<MembershipRow>
    + Reads<MergeRequestPersonRow>
    + Reads<MergeRequestRow>
    + Reads<PageRow>
    + Reads<PersonRow>
    + Reads<PlaceRow>
    + Reads<PositionRow>
    + Reads<ProjectRow>
    + Reads<ReactionRow>
    + Reads<RequestRow>
    + Reads<ShareRow>
    + Reads<TokenRow>
    + Reads<UserRow>
    + Reads<ViewRow>
    + Reads<WayRow>
{
}
