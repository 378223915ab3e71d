//! Things for the tests of the rules about them.

use chrono::DateTime;

use super::{Container, Group, GroupShare, Membership, Project, User, UserProfile, UserState, Visibility};
use crate::domain::{
    Time,
    access::AccessLevel,
    id::{GroupId, ProjectId, UserId},
};

pub fn now() -> Time {
    DateTime::from_timestamp_millis(1_700_000_000_000).unwrap()
}

/// An ordinary user.
pub fn user(id: i64) -> User {
    User {
        id: UserId(id),
        username: format!("user{id}"),
        name: format!("User {id}"),
        email: None,
        public_email: None,
        avatar_url: None,
        state: UserState::Active,
        admin: false,
        external: false,
        profile: UserProfile::default(),
        created_at: now(),
        version: 1,
    }
}

/// A private group whose names are its paths.
pub fn group(id: i64, full_path: &str) -> Group {
    let path = full_path.rsplit('/').next().unwrap_or(full_path);
    Group {
        id: GroupId(id),
        parent_id: None,
        path: path.to_owned(),
        full_path: full_path.to_owned(),
        name: path.to_owned(),
        full_name: full_path.replace('/', " / "),
        description: String::new(),
        visibility: Visibility::Private,
        created_at: now(),
        version: 1,
    }
}

/// A private project in the group that its path names.
pub fn project(id: i64, full_path: &str) -> Project {
    let (above, path) = full_path.rsplit_once('/').unwrap();
    Project {
        id: ProjectId(id),
        path: path.to_owned(),
        full_path: full_path.to_owned(),
        name: path.to_owned(),
        description: String::new(),
        visibility: Visibility::Private,
        default_branch: "main".to_owned(),
        archived: false,
        allow_self_approval: false,
        forward_deployment_enabled: true,
        forward_deployment_rollback_allowed: true,
        repository: None,
        group: group(1, above),
        creator_id: UserId(1),
        created_at: now(),
        updated_at: now(),
        version: 1,
    }
}

/// The membership of a user.
pub fn membership(user_id: i64, container: Container, access_level: AccessLevel) -> Membership {
    Membership {
        id: 1,
        user: user(user_id).summary(),
        container,
        access_level,
        created_at: now(),
        version: 1,
    }
}

/// A share with group 2.
pub fn share(container: Container, access_level: AccessLevel) -> GroupShare {
    GroupShare {
        id: 1,
        container,
        group_id: GroupId(2),
        group_full_path: "ops".to_owned(),
        access_level,
        created_at: now(),
        version: 1,
    }
}
