//! A person as the gate sees them: who they are, and what they are to a project and to the groups that rules name.

use std::collections::BTreeMap;

use super::{
    access::AccessLevel,
    directory::{Container, Standing, User},
    id::GroupId,
};

/// What somebody is to a group, by each way there is; none is no membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupStanding {
    /// By membership in the group itself.
    pub direct: Option<AccessLevel>,
    /// By membership in a group above it.
    pub above: Option<AccessLevel>,
    /// By shares with groups they are in, each capped by the share's level.
    pub shared: Option<AccessLevel>,
}

impl GroupStanding {
    /// The highest by membership in the group or above it.
    pub fn member(self) -> Option<AccessLevel> {
        self.direct.max(self.above)
    }

    /// The highest by any way.
    pub fn level(self) -> Option<AccessLevel> {
        self.member().max(self.shared)
    }
}

/// Somebody, with everything that the rules of a gate ask about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub user: User,
    /// What they are to the project; nothing where there is no project in question.
    pub standing: Standing,
    /// What they are to the groups in question. A group that is missing is one they have nothing to do with.
    pub groups: BTreeMap<GroupId, GroupStanding>,
}

impl Person {
    /// Somebody of whom no group is asked.
    pub fn of(user: User, standing: Standing) -> Self {
        Self {
            user,
            standing,
            groups: BTreeMap::new(),
        }
    }

    /// What they are to a group.
    pub fn in_group(&self, group: GroupId) -> GroupStanding {
        self.groups.get(&group).copied().unwrap_or_default()
    }

    /// Their highest access in a project or group.
    pub fn level_in(&self, container: Container) -> Option<AccessLevel> {
        match container {
            Container::Project(_) => self.standing.level(),
            Container::Group(group) => self.in_group(group).level(),
        }
    }
}
