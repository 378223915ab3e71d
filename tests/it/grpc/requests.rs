//! Request ids, which make a retry safe, and requests that only check.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use gatehouse::{
    clock::ManualClock,
    pb::v1::{self as pb, DeploymentStatus as S},
};
use tonic::Response;

use crate::support::{
    TestServer, World,
    engine::{Engine, on_both_engines},
    project_id, reason,
};

on_both_engines! {
    a_repeat_is_given_the_first_answer_and_changes_nothing
    a_request_id_stands_for_one_request_of_one_user
    what_was_refused_is_not_remembered
    a_request_id_is_free_again_after_a_day
    what_is_only_checked_leaves_no_trace
}

fn replayed<T>(answer: &Response<T>) -> bool {
    answer
        .metadata()
        .get("idempotent-replayed")
        .is_some_and(|value| value == "true")
}

async fn deployments(world: &World) -> Vec<pb::Deployment> {
    let list = pb::ListDeploymentsRequest {
        project: Some(project_id(world.project.id)),
        ..Default::default()
    };
    world
        .server
        .deployments(&world.reporter)
        .list_deployments(list)
        .await
        .unwrap()
        .into_inner()
        .deployments
}

async fn a_repeat_is_given_the_first_answer_and_changes_nothing(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.deployments(&world.developer);
    let create = pb::CreateDeploymentRequest {
        request_id: "create".into(),
        ..world.deployment("production", S::Created)
    };
    let first = calls.create_deployment(create.clone()).await.unwrap();
    assert!(!replayed(&first));
    let first = first.into_inner();
    let id = first.deployment.as_ref().unwrap().id;
    let update = pb::UpdateDeploymentStatusRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: id,
        status: S::Failed.into(),
        request_id: "update".into(),
        ..Default::default()
    };
    let updated = calls
        .update_deployment_status(update.clone())
        .await
        .unwrap()
        .into_inner();

    let again = calls.create_deployment(create.clone()).await.unwrap();
    assert!(replayed(&again));
    assert_eq!(again.into_inner(), first, "the answer of then, not of now");
    let again = calls.update_deployment_status(update.clone()).await.unwrap();
    assert!(replayed(&again), "a second `drop` would be refused");
    assert_eq!(again.into_inner(), updated);

    let mut maintainer = world.server.deployments(&world.maintainer);
    let delete = pb::DeleteDeploymentRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: id,
        request_id: "delete".into(),
        ..Default::default()
    };
    assert!(!replayed(
        &maintainer.delete_deployment(delete.clone()).await.unwrap()
    ));
    assert!(replayed(&maintainer.delete_deployment(delete).await.unwrap()));
    assert!(replayed(&calls.update_deployment_status(update).await.unwrap()));
    assert_eq!(deployments(&world).await, []);
}

async fn a_request_id_stands_for_one_request_of_one_user(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.deployments(&world.developer);
    let create = pb::CreateDeploymentRequest {
        request_id: "mine".into(),
        ..world.deployment("production", S::Created)
    };
    let first = calls
        .create_deployment(create.clone())
        .await
        .unwrap()
        .into_inner()
        .deployment
        .unwrap();
    let other = pb::CreateDeploymentRequest {
        tag: true,
        ..create.clone()
    };
    assert_eq!(reason(calls.create_deployment(other).await), "REQUEST_ID_REUSED");
    let method = pb::UpdateDeploymentStatusRequest {
        project: create.project.clone(),
        deployment_id: first.id,
        status: S::Running.into(),
        request_id: "mine".into(),
        ..Default::default()
    };
    assert_eq!(
        reason(calls.update_deployment_status(method).await),
        "REQUEST_ID_REUSED"
    );
    // Directory and ledger remember in the same place.
    let token = pb::CreateTokenRequest {
        name: "x".into(),
        scopes: vec![pb::TokenScope::Api.into()],
        request_id: "mine".into(),
        ..Default::default()
    };
    let answer = world.server.tokens(&world.developer).create_token(token).await;
    assert_eq!(reason(answer), "REQUEST_ID_REUSED");

    let theirs = world
        .server
        .deployments(&world.maintainer)
        .create_deployment(create)
        .await
        .unwrap();
    assert!(!replayed(&theirs));
    assert_eq!(deployments(&world).await.len(), 2);
}

async fn what_was_refused_is_not_remembered(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.deployments(&world.developer);
    let bad = pb::CreateDeploymentRequest {
        request_id: "try".into(),
        environment: "/".into(),
        ..world.deployment("", S::Created)
    };
    assert_eq!(
        reason(calls.create_deployment(bad.clone()).await),
        "INVALID_RESOURCE"
    );
    assert_eq!(
        reason(calls.create_deployment(bad.clone()).await),
        "INVALID_RESOURCE"
    );
    let good = pb::CreateDeploymentRequest {
        environment: "production".into(),
        ..bad
    };
    assert!(!replayed(&calls.create_deployment(good).await.unwrap()));
}

async fn a_request_id_is_free_again_after_a_day(engine: Engine) {
    let begin = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let clock = Arc::new(ManualClock::at(begin));
    let world = World::on(TestServer::start_with(engine, Arc::<ManualClock>::clone(&clock)).await).await;
    let mut calls = world.server.deployments(&world.developer);
    let create = pb::CreateDeploymentRequest {
        request_id: "daily".into(),
        ..world.deployment("production", S::Created)
    };
    let first = calls
        .create_deployment(create.clone())
        .await
        .unwrap()
        .into_inner();
    clock.set(begin + TimeDelta::hours(24) - TimeDelta::milliseconds(1));
    let again = calls.create_deployment(create.clone()).await.unwrap();
    assert!(replayed(&again));
    assert_eq!(again.into_inner(), first);
    clock.set(begin + TimeDelta::hours(24));
    let other = pb::CreateDeploymentRequest { tag: true, ..create };
    let fresh = calls.create_deployment(other.clone()).await.unwrap();
    assert!(!replayed(&fresh));
    assert_eq!(fresh.into_inner().deployment.unwrap().iid, 2);
    assert!(
        replayed(&calls.create_deployment(other).await.unwrap()),
        "and counts from then"
    );
}

async fn what_is_only_checked_leaves_no_trace(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.deployments(&world.developer);
    let check = pb::CreateDeploymentRequest {
        request_id: "check".into(),
        validate_only: true,
        ..world.deployment("production", S::Success)
    };
    let told = calls
        .create_deployment(check.clone())
        .await
        .unwrap()
        .into_inner()
        .deployment
        .unwrap();
    assert_eq!((told.iid, told.status()), (1, S::Success));
    let project = Some(project_id(world.project.id));
    assert_eq!(deployments(&world).await, []);
    let list = pb::ListEnvironmentsRequest {
        project: project.clone(),
        ..Default::default()
    };
    let mut environments = world.server.environments(&world.developer);
    assert_eq!(
        environments
            .list_environments(list.clone())
            .await
            .unwrap()
            .into_inner()
            .environments,
        []
    );

    // The id of a check is free for the real thing.
    let real = pb::CreateDeploymentRequest {
        validate_only: false,
        ..check
    };
    let made = calls.create_deployment(real).await.unwrap();
    assert!(!replayed(&made));
    let made = made.into_inner().deployment.unwrap();
    let update = pb::UpdateDeploymentStatusRequest {
        project: project.clone(),
        deployment_id: made.id,
        status: S::Failed.into(),
        validate_only: true,
        ..Default::default()
    };
    let told = calls
        .update_deployment_status(update.clone())
        .await
        .unwrap()
        .into_inner()
        .deployment
        .unwrap();
    assert_eq!(told.status(), S::Failed);
    let refused = pb::UpdateDeploymentStatusRequest {
        status: S::Running.into(),
        ..update
    };
    assert_eq!(
        reason(calls.update_deployment_status(refused).await),
        "INVALID_TRANSITION"
    );
    let other = world.record("production", S::Failed).await;
    let delete = pb::DeleteDeploymentRequest {
        project: project.clone(),
        deployment_id: other.id,
        validate_only: true,
        ..Default::default()
    };
    world
        .server
        .deployments(&world.maintainer)
        .delete_deployment(delete)
        .await
        .unwrap();
    let place = made.environment.as_ref().unwrap().id;
    let stop = pb::StopEnvironmentRequest {
        project,
        environment: Some(pb::EnvironmentRef {
            by: Some(pb::environment_ref::By::Id(place)),
        }),
        validate_only: true,
        ..Default::default()
    };
    let stopped = environments
        .stop_environment(stop)
        .await
        .unwrap()
        .into_inner()
        .environment
        .unwrap();
    assert_eq!(stopped.state(), pb::EnvironmentState::Stopped);

    assert_eq!(deployments(&world).await, [made, other]);
    let still = environments
        .list_environments(list)
        .await
        .unwrap()
        .into_inner()
        .environments;
    assert_eq!(still[0].state(), pb::EnvironmentState::Available);
}
