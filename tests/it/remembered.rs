//! What is remembered of tokens and roles is worth nothing from the moment on in which it is no longer so: not on the server
//! where it changed, and not on another one that was never told.

use std::sync::Arc;

use gatehouse::{
    app::App,
    clock::SystemClock,
    pb::v1::{self as pb, AccessLevel, ApprovalStatus, DeploymentStatus as S, Visibility},
    repository::Repositories,
    server, store,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::support::{
    Client, World, dial,
    engine::{Engine, on_both_engines},
    entry, in_project, project_at, project_id, reason, user_named,
};

on_both_engines! {
    what_changes_in_the_directory_counts_at_once_on_every_server
    a_project_is_remembered_by_the_name_that_it_has
}

/// Another server on a world's store.
struct Another {
    url: String,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Another {
    async fn start(world: &World) -> Self {
        let opened = store::open(&world.server.place.location()).await.unwrap();
        let app = App::new(opened.store, Arc::new(SystemClock), Repositories::none());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let serving = server::serve(listener, app, server::Options::default(), shutdown.clone());
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self { url, shutdown, task }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

/// The calls that go by what is remembered; each answers why it was refused, or nothing.
async fn every_call(client: &Client, world: &World, gated: i64) -> Vec<(&'static str, String)> {
    use pb::{
        approval_service_client::ApprovalServiceClient, deployment_service_client::DeploymentServiceClient,
    };
    fn outcome<T: std::fmt::Debug>(answer: Result<T, tonic::Status>) -> String {
        if answer.is_ok() {
            String::new()
        } else {
            reason(answer)
        }
    }
    let project = Some(project_id(world.project.id));
    let mut deployments = DeploymentServiceClient::new(client.clone());
    let mut approvals = ApprovalServiceClient::new(client.clone());
    let get = pb::GetDeploymentRequest {
        project: project.clone(),
        deployment_id: gated - 1,
    };
    let get_gated = pb::GetDeploymentRequest {
        project: project.clone(),
        deployment_id: gated,
    };
    let list = pb::ListDeploymentsRequest {
        project: project.clone(),
        page_size: 5,
        ..Default::default()
    };
    let update = pb::UpdateDeploymentStatusRequest {
        project: project.clone(),
        deployment_id: gated - 1,
        status: S::Running.into(),
        validate_only: true,
        ..Default::default()
    };
    // A vote that is given again changes nothing.
    let approve = pb::SubmitApprovalRequest {
        project,
        deployment_id: gated,
        status: ApprovalStatus::Approved.into(),
        ..Default::default()
    };
    let create = world.deployment("staging", S::Running);
    vec![
        ("get", outcome(deployments.get_deployment(get).await)),
        ("get a gate", outcome(deployments.get_deployment(get_gated).await)),
        ("list", outcome(deployments.list_deployments(list).await)),
        ("create", outcome(deployments.create_deployment(create).await)),
        (
            "update",
            outcome(deployments.update_deployment_status(update).await),
        ),
        ("approve", outcome(approvals.submit_approval(approve).await)),
    ]
}

/// A deployment in the making and, with the id behind it, one at a gate that takes more approvals than will be given.
async fn gated(world: &World) -> i64 {
    let request = pb::ProtectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "gated".into(),
        deploy_access_levels: vec![entry::role(30)],
        approval_rules: vec![entry::requiring(5, entry::role(30))],
        ..Default::default()
    };
    let mut protections = world.server.protections(&world.server.root);
    protections.protect_environment(request).await.unwrap();
    world.record("staging", S::Created).await;
    world.record("gated", S::Created).await.id
}

async fn what_changes_in_the_directory_counts_at_once_on_every_server(engine: Engine) {
    let world = World::new(engine).await;
    let gated = gated(&world).await;
    let another = Another::start(&world).await;
    let root = &world.server.root;
    let (_, secret) = world.server.user("mike").await;
    let here = world.server.client(&secret);
    let there = dial(&another.url, &secret);
    let member = async |level: AccessLevel| {
        let request = pb::UpdateMembershipRequest {
            container: Some(in_project("acme/web")),
            user: Some(user_named("mike")),
            access_level: level.into(),
            allow_missing: true,
            ..Default::default()
        };
        world
            .server
            .directory(root)
            .update_membership(request)
            .await
            .unwrap();
    };
    let user = async |state: pb::UserState| {
        let request = pb::UpdateUserRequest {
            user: Some(user_named("mike")),
            state: Some(state.into()),
            ..Default::default()
        };
        world.server.directory(root).update_user(request).await.unwrap();
    };
    let visible = async |visibility: Visibility| {
        let request = pb::UpdateProjectRequest {
            project: Some(project_id(world.project.id)),
            visibility: Some(visibility.into()),
            ..Default::default()
        };
        world
            .server
            .directory(root)
            .update_project(request)
            .await
            .unwrap();
    };
    // Each is checked on both servers, which went by something else just before.
    let check = async |what: &str, wanted: [&str; 6]| {
        for client in [&there, &here, &there] {
            for ((call, outcome), wanted) in every_call(client, &world, gated).await.into_iter().zip(wanted) {
                assert_eq!(outcome, wanted, "{what}: {call}");
            }
        }
    };
    check("a stranger", ["PROJECT_NOT_FOUND"; 6]).await;
    member(AccessLevel::Developer).await;
    check("a developer", [""; 6]).await;
    member(AccessLevel::Reporter).await;
    let denied = "PERMISSION_DENIED";
    check("a reporter", ["", "", "", denied, denied, ""]).await;
    member(AccessLevel::Guest).await;
    check("a guest", [denied; 6]).await;
    visible(Visibility::Public).await;
    check("of a public project", ["", "", "", denied, denied, ""]).await;
    visible(Visibility::Private).await;
    member(AccessLevel::Maintainer).await;
    check("a maintainer", [""; 6]).await;
    user(pb::UserState::Blocked).await;
    check("blocked", ["USER_BLOCKED"; 6]).await;
    user(pb::UserState::Active).await;
    check("unblocked", [""; 6]).await;
    let removal = pb::DeleteMembershipRequest {
        container: Some(in_project("acme/web")),
        user: Some(user_named("mike")),
        ..Default::default()
    };
    world
        .server
        .directory(root)
        .delete_membership(removal)
        .await
        .unwrap();
    check("removed", ["PROJECT_NOT_FOUND"; 6]).await;
    member(AccessLevel::Developer).await;
    check("a developer again", [""; 6]).await;
    let mut tokens = world.server.tokens(&secret);
    let me = tokens.who_am_i(pb::WhoAmIRequest {}).await.unwrap().into_inner();
    let revoke = pb::RevokeTokenRequest {
        token_id: me.token.unwrap().id,
        ..Default::default()
    };
    tokens.revoke_token(revoke).await.unwrap();
    check("revoked", ["TOKEN_REVOKED"; 6]).await;
    another.stop().await;
}

async fn a_project_is_remembered_by_the_name_that_it_has(engine: Engine) {
    let world = World::new(engine).await;
    let made = world.record("production", S::Running).await;
    let get = |path: &str| pb::GetDeploymentRequest {
        project: Some(project_at(path)),
        deployment_id: made.id,
    };
    let mut calls = world.server.deployments(&world.developer);
    for _ in 0..3 {
        for path in ["acme/web", "ACME/Web"] {
            let found = calls.get_deployment(get(path)).await.unwrap().into_inner();
            assert_eq!(found.deployment.unwrap().id, made.id);
        }
        assert_eq!(
            reason(calls.get_deployment(get("acme/other")).await),
            "PROJECT_NOT_FOUND"
        );
    }
    let removal = pb::DeleteProjectRequest {
        project: Some(project_id(world.project.id)),
        ..Default::default()
    };
    let mut directory = world.server.directory(&world.server.root);
    directory.delete_project(removal).await.unwrap();
    assert_eq!(
        reason(calls.get_deployment(get("acme/web")).await),
        "PROJECT_NOT_FOUND"
    );
    let create = world.deployment("production", S::Running);
    assert_eq!(reason(calls.create_deployment(create).await), "PROJECT_NOT_FOUND");
}
