//! The facts that decisions about the directory produce and the store makes true.

use super::{
    Group, GroupShare, Membership, NewGroup, NewMembership, NewProject, NewShare, NewUser, Project, User,
};
use crate::domain::{
    protection::ProtectionChange,
    token::{NewToken, Token},
};

/// One fact about who there is, to be made true in one transaction with its siblings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryChange {
    /// A user is made.
    UserCreated(NewUser),
    /// A user changes.
    UserUpdated(User),
    /// A user goes, with memberships and tokens.
    UserDeleted(User),
    /// A group is made.
    GroupCreated(NewGroup),
    /// A group changes; with its name, the full names of all groups below it.
    GroupUpdated {
        /// The full name it had.
        old_full_name: String,
        /// The group as it will be.
        after: Group,
    },
    /// A group goes, with memberships and shares.
    GroupDeleted(Group),
    /// A project is made.
    ProjectCreated(NewProject),
    /// A project changes.
    ProjectUpdated(Project),
    /// A project goes, with everything recorded for it.
    ProjectDeleted(Project),
    /// A user becomes a direct member.
    MembershipCreated(NewMembership),
    /// A membership changes.
    MembershipUpdated(Membership),
    /// A membership ends.
    MembershipDeleted(Membership),
    /// A group is let in.
    ShareCreated(NewShare),
    /// A share changes.
    ShareUpdated(GroupShare),
    /// A share ends.
    ShareDeleted(GroupShare),
    /// A token is made.
    TokenCreated(NewToken),
    /// A token is revoked.
    TokenRevoked(Token),
    /// A protection of a group is made, changes or goes.
    Protection(ProtectionChange),
}
