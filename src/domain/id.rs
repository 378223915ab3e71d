//! Ids that cannot be mistaken for each other, and the ways a caller may name things.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )+};
}

ids! {
    /// A user's id.
    UserId
    /// A group's id.
    GroupId
    /// A project's id.
    ProjectId
    /// A token's id; not its secret.
    TokenId
    /// An environment's id.
    EnvironmentId
    /// A deployment's id, over all projects.
    DeploymentId
    /// A deployment's number within its project.
    Iid
    /// A protected environment's id.
    ProtectionId
    /// The id of a deploy access level.
    DeployAccessLevelId
    /// An approval rule's id.
    ApprovalRuleId
    /// A CI system's id of a job, within the project.
    JobId
    /// A merge request's id, over all projects.
    MergeRequestId
    /// A forge's number of a merge request within its project.
    MergeRequestIid
}

/// How a caller names a project.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProjectKey {
    /// By id.
    Id(ProjectId),
    /// By full path, in any case.
    Path(String),
}

/// How a caller names a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupKey {
    /// By id.
    Id(GroupId),
    /// By full path, in any case.
    Path(String),
}

/// How a caller names a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserKey {
    /// By id.
    Id(UserId),
    /// By username, in any case.
    Name(String),
}

/// How a caller names an environment within a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvironmentKey {
    /// By id.
    Id(EnvironmentId),
    /// By exact name.
    Name(String),
}

/// How a caller names the project or group that a membership or share belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerKey {
    /// A project.
    Project(ProjectKey),
    /// A group.
    Group(GroupKey),
}

/// Where a group or project is or would be: the last segment of a full path, and the group it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The group above, if any.
    pub parent: Option<GroupKey>,
    /// The last segment.
    pub path: String,
}

impl Place {
    /// The place that a full path names.
    pub fn of(full_path: &str) -> Self {
        match full_path.rsplit_once('/') {
            Some((parent, path)) => Self {
                parent: Some(GroupKey::Path(parent.to_owned())),
                path: path.to_owned(),
            },
            None => Self {
                parent: None,
                path: full_path.to_owned(),
            },
        }
    }
}
