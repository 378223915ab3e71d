//! Things for the tests of the rules about protections and approvals.

use std::collections::BTreeMap;

use super::Gate;
use crate::domain::{
    access::AccessLevel,
    approval::{Approval, ApprovalStatus},
    deployment::{Deployment, DeploymentStatus, GateState, fixture::deployment},
    directory::{
        Container, Standing,
        fixture::{now, project, user},
    },
    id::{ApprovalRuleId, DeployAccessLevelId, DeploymentId, GroupId, ProjectId, ProtectionId, UserId},
    person::{GroupStanding, Person},
    protection::{
        ApprovalRule, Audience, DeployAccessLevel, GroupInheritance, ProtectedEnvironment, Role, Subject,
    },
};

pub const PROJECT: Container = Container::Project(ProjectId(1));
pub const GROUP: Container = Container::Group(GroupId(1));

/// Somebody who has nothing to do with anything.
pub fn stranger(id: i64) -> Person {
    Person {
        user: user(id),
        standing: Standing::default(),
        groups: BTreeMap::new(),
    }
}

/// A direct member of the project.
pub fn member(id: i64, level: AccessLevel) -> Person {
    Person {
        standing: Standing {
            project: Some(level),
            ..Standing::default()
        },
        ..stranger(id)
    }
}

/// The same person as a direct member of a group too.
pub fn of_group(mut person: Person, group: i64, level: AccessLevel) -> Person {
    person.groups.insert(
        GroupId(group),
        GroupStanding {
            direct: Some(level),
            ..GroupStanding::default()
        },
    );
    person
}

/// An administrator.
pub fn administrator(id: i64) -> Person {
    let mut person = stranger(id);
    person.user.admin = true;
    person
}

fn audience(subject: Subject, names: &[&str]) -> Audience {
    Audience {
        subject,
        inheritance: GroupInheritance::Direct,
        description: names.first().map(|&name| name.to_owned()),
        names: names.iter().map(|&name| name.to_owned()).collect(),
    }
}

/// A user, by the names that [`user`] gives them.
pub fn the_user(id: i64) -> Audience {
    audience(
        Subject::User(UserId(id)),
        &[&format!("User {id}"), &format!("user{id}")],
    )
}

/// The direct members of a group with this name and full path.
pub fn members_of(id: i64, name: &str, full_path: &str) -> Audience {
    let path = full_path.rsplit('/').next().unwrap();
    audience(Subject::Group(GroupId(id)), &[name, path, full_path])
}

/// Everyone with a role.
pub fn everyone_as(role: Role) -> Audience {
    let names: Vec<_> = role.description().into_iter().collect();
    audience(Subject::Role(role), &names)
}

/// A rule.
pub fn rule(id: i64, audience: Audience, required_approvals: i64) -> ApprovalRule {
    ApprovalRule {
        id: ApprovalRuleId(id),
        audience,
        required_approvals,
    }
}

/// A deploy access level.
pub fn deploy(id: i64, audience: Audience) -> DeployAccessLevel {
    DeployAccessLevel {
        id: DeployAccessLevelId(id),
        audience,
    }
}

/// A protection of production where Developers deploy.
pub fn protection(container: Container, count: i64, rules: Vec<ApprovalRule>) -> ProtectedEnvironment {
    ProtectedEnvironment {
        id: ProtectionId(1),
        container,
        name: "production".to_owned(),
        deploy_access_levels: vec![deploy(1, everyone_as(Role::Developer))],
        required_approval_count: count,
        approval_rules: rules,
        created_at: now(),
        updated_at: now(),
        version: 1,
    }
}

/// A blocked deployment of user 1, who is a Developer, with other people.
pub fn gate(protections: Vec<ProtectedEnvironment>, people: impl IntoIterator<Item = Person>) -> Gate {
    let people = [member(1, AccessLevel::Developer)].into_iter().chain(people);
    Gate {
        deployment: Deployment {
            user: Some(user(1).summary()),
            gate: GateState::Held,
            ..deployment(1, DeploymentStatus::Blocked)
        },
        project: project(1, "acme/web"),
        protections,
        approvals: Vec::new(),
        people: people.map(|person| (person.user.id, person)).collect(),
    }
}

/// An approval of the deployment.
pub fn approval(user_id: i64) -> Approval {
    Approval {
        deployment_id: DeploymentId(1),
        user: user(user_id).summary(),
        status: ApprovalStatus::Approved,
        comment: None,
        represented_as: String::new(),
        pinned: Vec::new(),
        rule_id: None,
        created_at: now(),
        updated_at: now(),
    }
}
