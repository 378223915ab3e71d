//! The manifest: every type that crosses the seam, each way. A type that is missing here does not compile.

use super::{
    row::{
        DeploymentRow, EnvironmentRow, GroupRow, GroupViewRow, LockRow, MembershipRow, ProjectRow,
        RequestRow, ShareRow, TokenRow, UserRow, ViewRow,
    },
    seam::{Carries, Driver, Reads},
};

/// An engine that the SQL store runs on.
pub trait Db:
    Driver
    + Carries<i64>
    + Carries<Option<i64>>
    + Carries<String>
    + Carries<Option<String>>
    + Carries<bool>
    + Carries<Vec<u8>>
    + Reads<(i64,)>
    + Reads<DeploymentRow>
    + Reads<EnvironmentRow>
    + Reads<GroupRow>
    + Reads<GroupViewRow>
    + Reads<LockRow>
    + Reads<MembershipRow>
    + Reads<ProjectRow>
    + Reads<RequestRow>
    + Reads<ShareRow>
    + Reads<TokenRow>
    + Reads<UserRow>
    + Reads<ViewRow>
{
}
