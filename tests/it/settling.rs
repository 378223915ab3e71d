//! Every kind of change that can free a blocked deployment does so at once: a vote that stopped counting counts again, a
//! rule that held goes.

use gatehouse::pb::v1::{
    self as pb, AccessLevel, ApprovalStatus, DeploymentStatus, EnvironmentTier, UserState, Visibility,
    environment_ref,
};

use crate::support::{
    World,
    engine::{Engine, on_both_engines},
    entry::role,
    group_at, in_group, in_project, project_at, user_named,
};

on_both_engines! {
    threads:
    whatever_makes_the_votes_enough_releases_at_once
    what_is_no_longer_protected_is_free
}

const WEB: &str = "acme/web";

/// A change of who there is or what is protected.
#[derive(Clone)]
enum Change {
    /// The level somebody has; none: no member.
    Member(pb::ContainerRef, &'static str, Option<AccessLevel>),
    /// How far a group is let in; none: not at all.
    Share(pb::ContainerRef, &'static str, Option<AccessLevel>),
    User(&'static str, Box<pb::UpdateUserRequest>),
    Project(pb::UpdateProjectRequest),
    /// The tier of the environment in question.
    Tier(EnvironmentTier),
    /// `acme` asks for an administrator's approval in this tier.
    Protect(&'static str),
    Unprotect(pb::ContainerRef, &'static str),
}

async fn protect(world: &World, container: pb::ContainerRef, name: &str, rules: Vec<pb::ProtectionEntry>) {
    let request = pb::ProtectEnvironmentRequest {
        container: Some(container),
        name: name.into(),
        deploy_access_levels: vec![role(20), role(30)],
        approval_rules: rules,
        ..Default::default()
    };
    let mut calls = world.server.protections(&world.server.root);
    calls.protect_environment(request).await.unwrap();
}

impl Change {
    async fn make(self, world: &World, environment: &str) {
        let root = &world.server.root;
        let mut directory = world.server.directory(root);
        match self {
            Self::Member(container, name, Some(level)) => {
                let request = pb::UpdateMembershipRequest {
                    container: Some(container),
                    user: Some(user_named(name)),
                    access_level: level.into(),
                    allow_missing: true,
                    ..Default::default()
                };
                directory.update_membership(request).await.unwrap();
            }
            Self::Member(container, name, None) => {
                let request = pb::DeleteMembershipRequest {
                    container: Some(container),
                    user: Some(user_named(name)),
                    ..Default::default()
                };
                directory.delete_membership(request).await.unwrap();
            }
            Self::Share(container, group, Some(level)) => {
                let request = pb::UpdateGroupShareRequest {
                    container: Some(container),
                    group: Some(group_at(group)),
                    access_level: level.into(),
                    allow_missing: true,
                    ..Default::default()
                };
                directory.update_group_share(request).await.unwrap();
            }
            Self::Share(container, group, None) => {
                let request = pb::DeleteGroupShareRequest {
                    container: Some(container),
                    group: Some(group_at(group)),
                    ..Default::default()
                };
                directory.delete_group_share(request).await.unwrap();
            }
            Self::User(name, request) => {
                let user = Some(user_named(name));
                let request = pb::UpdateUserRequest { user, ..*request };
                directory.update_user(request).await.unwrap();
            }
            Self::Project(request) => {
                let project = Some(project_at(WEB));
                let request = pb::UpdateProjectRequest { project, ..request };
                directory.update_project(request).await.unwrap();
            }
            Self::Tier(tier) => {
                let request = pb::UpdateEnvironmentRequest {
                    project: Some(project_at(WEB)),
                    environment: Some(pb::EnvironmentRef {
                        by: Some(environment_ref::By::Name(environment.into())),
                    }),
                    tier: Some(tier.into()),
                    ..Default::default()
                };
                world
                    .server
                    .environments(root)
                    .update_environment(request)
                    .await
                    .unwrap();
            }
            Self::Protect(tier) => protect(world, in_group("acme"), tier, vec![role(60)]).await,
            Self::Unprotect(container, name) => {
                let request = pb::UnprotectEnvironmentRequest {
                    container: Some(container),
                    name: name.into(),
                    ..Default::default()
                };
                world
                    .server
                    .protections(root)
                    .unprotect_environment(request)
                    .await
                    .unwrap();
            }
        }
    }
}

async fn approve(world: &World, token: &str, id: i64) {
    let request = pb::SubmitApprovalRequest {
        project: Some(project_at(WEB)),
        deployment_id: id,
        status: ApprovalStatus::Approved.into(),
        ..Default::default()
    };
    world
        .server
        .approvals(token)
        .submit_approval(request)
        .await
        .unwrap();
}

async fn found(world: &World, id: i64) -> (DeploymentStatus, i32) {
    let request = pb::GetDeploymentRequest {
        project: Some(project_at(WEB)),
        deployment_id: id,
    };
    let mut calls = world.server.deployments(&world.server.root);
    let found = calls.get_deployment(request).await.unwrap().into_inner();
    let pending = found.approval_state.unwrap().pending_approval_count;
    (found.deployment.unwrap().status(), pending)
}

fn active(active: bool) -> Box<pb::UpdateUserRequest> {
    let state = if active {
        UserState::Active
    } else {
        UserState::Blocked
    };
    Box::new(pb::UpdateUserRequest {
        state: Some(state.into()),
        ..Default::default()
    })
}

fn admin(admin: bool) -> Box<pb::UpdateUserRequest> {
    Box::new(pb::UpdateUserRequest {
        admin: Some(admin),
        ..Default::default()
    })
}

fn seen_by(visibility: Visibility) -> Change {
    Change::Project(pb::UpdateProjectRequest {
        visibility: Some(visibility.into()),
        ..Default::default()
    })
}

fn self_approval(allow: bool) -> Change {
    Change::Project(pb::UpdateProjectRequest {
        allow_self_approval: Some(allow),
        ..Default::default()
    })
}

/// One approval of the group `qa` and one of a Maintainer are required. Somebody of `qa` approves; then something takes
/// that away, or asks for more, so that a Maintainer's approval is not enough; then it is given back.
async fn whatever_makes_the_votes_enough_releases_at_once(engine: Engine) {
    use Change::{Member, Protect, Share, Tier, Unprotect, User};
    let (guest, reporter) = (Some(AccessLevel::Guest), Some(AccessLevel::Reporter));
    let world = World::new(engine).await;
    for group in ["qa", "crew", "band"] {
        world.server.group(group).await;
    }
    let (web, acme, qa) = (in_project(WEB), in_group("acme"), in_group("qa"));
    let mut tokens = std::collections::BTreeMap::from([("dora", world.developer.clone())]);
    for name in ["vera", "sara", "gary", "paul", "adam"] {
        tokens.insert(name, world.server.user(name).await.1);
    }
    let start = [
        Share(web.clone(), "qa", guest),
        Share(web.clone(), "crew", reporter),
        Share(acme.clone(), "band", reporter),
        Member(web.clone(), "vera", reporter),
        Member(in_group("crew"), "sara", reporter),
        Member(in_group("band"), "gary", reporter),
        User("adam", admin(true)),
    ];
    let of_qa = ["vera", "sara", "gary", "paul", "dora"].map(|name| Member(qa.clone(), name, reporter));
    for change in start.into_iter().chain(of_qa) {
        change.make(&world, "").await;
    }
    let by_qa = pb::ProtectionEntry {
        group_id: Some(
            world
                .server
                .directory(&world.server.root)
                .get_group(pb::GetGroupRequest {
                    group: Some(group_at("qa")),
                })
                .await
                .unwrap()
                .into_inner()
                .group
                .unwrap()
                .id,
        ),
        ..Default::default()
    };
    self_approval(true).make(&world, "").await;
    let rows = [
        (
            "a member again",
            "vera",
            Member(qa.clone(), "vera", None),
            Member(qa, "vera", guest),
        ),
        (
            "a Reporter again",
            "vera",
            Member(web.clone(), "vera", guest),
            Member(web.clone(), "vera", reporter),
        ),
        (
            "let in by the project again",
            "sara",
            Share(web.clone(), "crew", None),
            Share(web.clone(), "crew", reporter),
        ),
        (
            "let in as far again",
            "sara",
            Share(web.clone(), "crew", guest),
            Share(web, "crew", reporter),
        ),
        (
            "let in by the group again",
            "gary",
            Share(acme.clone(), "band", None),
            Share(acme.clone(), "band", reporter),
        ),
        (
            "let in by the group as far again",
            "gary",
            Share(acme.clone(), "band", guest),
            Share(acme.clone(), "band", reporter),
        ),
        (
            "in the group that is let in again",
            "gary",
            Member(in_group("band"), "gary", guest),
            Member(in_group("band"), "gary", reporter),
        ),
        (
            "unblocked",
            "vera",
            User("vera", active(false)),
            User("vera", active(true)),
        ),
        (
            "administrator again",
            "adam",
            User("adam", admin(false)),
            User("adam", admin(true)),
        ),
        (
            "their own again",
            "dora",
            self_approval(false),
            self_approval(true),
        ),
        (
            "no longer asked for by the group",
            "vera",
            Protect("other"),
            Unprotect(acme.clone(), "other"),
        ),
        (
            "of another tier",
            "vera",
            Tier(EnvironmentTier::Production),
            Tier(EnvironmentTier::Other),
        ),
        (
            "seen again",
            "paul",
            seen_by(Visibility::Private),
            seen_by(Visibility::Public),
        ),
    ];
    for (index, (what, voter, lose, regain)) in rows.into_iter().enumerate() {
        match what {
            // Held, once the environment is of that tier.
            "of another tier" => Protect("production").make(&world, "").await,
            "seen again" => seen_by(Visibility::Public).make(&world, "").await,
            _ => {}
        }
        let environment = format!("eu-{index}");
        protect(&world, in_project(WEB), &environment, vec![by_qa, role(40)]).await;
        let id = world.record(&environment, DeploymentStatus::Running).await.id;
        approve(&world, &tokens[voter], id).await;
        assert_eq!(found(&world, id).await, (DeploymentStatus::Blocked, 1), "{what}");
        lose.make(&world, &environment).await;
        approve(&world, &world.maintainer, id).await;
        assert_eq!(found(&world, id).await, (DeploymentStatus::Blocked, 1), "{what}");
        regain.make(&world, &environment).await;
        assert_eq!(found(&world, id).await, (DeploymentStatus::Created, 0), "{what}");
    }
}

async fn what_is_no_longer_protected_is_free(engine: Engine) {
    let world = World::new(engine).await;
    protect(&world, in_project(WEB), "eu", vec![role(40)]).await;
    let id = world.record("eu", DeploymentStatus::Running).await.id;
    assert_eq!(found(&world, id).await, (DeploymentStatus::Blocked, 1));
    Change::Unprotect(in_project(WEB), "eu").make(&world, "eu").await;
    assert_eq!(found(&world, id).await, (DeploymentStatus::Created, 0));
    // A release is final.
    protect(&world, in_project(WEB), "eu", vec![role(40)]).await;
    assert_eq!(found(&world, id).await, (DeploymentStatus::Created, 0));
}
