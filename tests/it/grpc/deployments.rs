//! The life of a deployment, and the environment that goes with it.

use gatehouse::pb::v1::{self as pb, DeploymentStatus as S};
use prost_types::Timestamp;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    World,
    engine::{Engine, on_both_engines},
    project_id, reason,
};

on_both_engines! {
    a_deployment_is_recorded_started_finished_read_and_deleted
    a_status_leads_where_the_life_cycle_says_and_a_refusal_names_the_event
    the_same_success_is_recorded_once_and_another_one_again
    a_change_happens_only_to_what_the_caller_read
    a_success_makes_a_stopped_environment_available_and_a_failure_does_not
}

fn get(world: &World, id: i64) -> pb::GetDeploymentRequest {
    pb::GetDeploymentRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: id,
    }
}

fn update(world: &World, id: i64, status: S) -> pb::UpdateDeploymentStatusRequest {
    pb::UpdateDeploymentStatusRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: id,
        status: status.into(),
        ..Default::default()
    }
}

fn delete(world: &World, id: i64) -> pb::DeleteDeploymentRequest {
    pb::DeleteDeploymentRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: id,
        ..Default::default()
    }
}

async fn a_deployment_is_recorded_started_finished_read_and_deleted(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.deployments(&world.developer);
    let created = world.record("production", S::Created).await;
    assert_eq!((created.iid, created.status()), (1, S::Created));
    assert_eq!((created.r#ref.as_str(), created.finished_at), ("main", None));
    assert_eq!(created.user.as_ref().unwrap().username, "dora");
    let environment = created.environment.as_ref().unwrap();
    assert_eq!(
        (environment.name.as_str(), environment.slug.as_str()),
        ("production", "production")
    );

    // What is answered is what is kept, to the letter.
    for status in [S::Created, S::Running, S::Success, S::Failed, S::Canceled] {
        let recorded = world.record("review/1", status).await;
        let read = calls.get_deployment(get(&world, recorded.id)).await.unwrap();
        assert_eq!(read.into_inner().deployment.unwrap(), recorded);
    }

    let mut etag = created.etag;
    for status in [S::Running, S::Failed, S::Success] {
        let request = pb::UpdateDeploymentStatusRequest {
            etag,
            ..update(&world, created.id, status)
        };
        let answer = calls.update_deployment_status(request).await.unwrap();
        let moved = answer.into_inner().deployment.unwrap();
        assert_eq!(moved.status(), status);
        assert_eq!(moved.finished_at.is_some(), status != S::Running);
        let read = calls
            .get_deployment(get(&world, created.id))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(read.deployment.unwrap(), moved);
        etag = moved.etag;
    }

    let mut maintainer = world.server.deployments(&world.maintainer);
    assert_eq!(
        reason(maintainer.delete_deployment(delete(&world, created.id)).await),
        "DEPLOYMENT_IS_LAST"
    );
    let running = world.record("production", S::Running).await;
    assert_eq!(
        reason(maintainer.delete_deployment(delete(&world, running.id)).await),
        "DEPLOYMENT_RUNNING"
    );
    calls
        .update_deployment_status(update(&world, running.id, S::Canceled))
        .await
        .unwrap();
    maintainer
        .delete_deployment(delete(&world, running.id))
        .await
        .unwrap();
    assert_eq!(
        reason(calls.get_deployment(get(&world, running.id)).await),
        "DEPLOYMENT_NOT_FOUND"
    );
    let next = world.record("production", S::Created).await;
    assert_eq!(
        next.iid,
        running.iid + 1,
        "the number of what was deleted is not given again"
    );
    assert!(next.id > running.id);
}

/// The contract's table (1.3, with decision 6), from every status that callers can reach.
async fn a_status_leads_where_the_life_cycle_says_and_a_refusal_names_the_event(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.deployments(&world.developer);
    let wanted = [
        (S::Running, "run"),
        (S::Success, "succeed"),
        (S::Failed, "drop"),
        (S::Canceled, "cancel"),
    ];
    for from in [S::Created, S::Running, S::Success, S::Failed, S::Canceled] {
        for (to, event) in wanted {
            let allowed = if to == S::Running {
                from == S::Created
            } else {
                from != to
            };
            let mut request = world.deployment("production", from);
            // Each has a ref of its own, else the same success would be recorded once.
            request.r#ref = format!("{from:?}-{to:?}");
            let recorded = calls
                .create_deployment(request)
                .await
                .unwrap()
                .into_inner()
                .deployment
                .unwrap();
            let answer = calls
                .update_deployment_status(update(&world, recorded.id, to))
                .await;
            if allowed {
                assert_eq!(
                    answer.unwrap().into_inner().deployment.unwrap().status(),
                    to,
                    "{from:?} {to:?}"
                );
            } else {
                let refusal = answer.unwrap_err();
                assert_eq!(refusal.code(), Code::FailedPrecondition);
                let info = refusal.get_details_error_info().unwrap();
                assert_eq!(info.reason, "INVALID_TRANSITION");
                assert_eq!(info.metadata["event"], event);
                assert_eq!(info.metadata["to"], format!("{to:?}").to_lowercase());
                assert_eq!(info.metadata["from"], format!("{from:?}").to_lowercase());
                let read = calls
                    .get_deployment(get(&world, recorded.id))
                    .await
                    .unwrap()
                    .into_inner();
                assert_eq!(read.deployment.unwrap(), recorded);
            }
        }
    }
}

async fn the_same_success_is_recorded_once_and_another_one_again(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.deployments(&world.developer);
    let first = world.record("production", S::Success).await;
    assert_eq!(world.record("production", S::Success).await, first);
    assert_ne!(world.record("staging", S::Success).await.id, first.id);
    for other in [
        pb::CreateDeploymentRequest {
            tag: true,
            ..world.deployment("production", S::Success)
        },
        pb::CreateDeploymentRequest {
            r#ref: "next".into(),
            ..world.deployment("production", S::Success)
        },
        pb::CreateDeploymentRequest {
            sha: "0123456".into(),
            ..world.deployment("production", S::Success)
        },
        // The last success is another one by now.
        world.deployment("production", S::Success),
    ] {
        let answer = calls.create_deployment(other).await.unwrap().into_inner();
        assert_ne!(answer.deployment.unwrap().id, first.id);
    }
    let failed = world.record("production", S::Failed).await;
    assert_ne!(world.record("production", S::Failed).await.id, failed.id);
}

async fn a_change_happens_only_to_what_the_caller_read(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.deployments(&world.maintainer);
    let read = world.record("production", S::Created).await;
    let moved = calls
        .update_deployment_status(update(&world, read.id, S::Running))
        .await
        .unwrap();
    let moved = moved.into_inner().deployment.unwrap();

    let late = pb::UpdateDeploymentStatusRequest {
        etag: read.etag.clone(),
        ..update(&world, read.id, S::Success)
    };
    let refusal = calls.update_deployment_status(late).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Aborted);
    assert_eq!(refusal.get_details_error_info().unwrap().reason, "ETAG_MISMATCH");
    let late = pb::DeleteDeploymentRequest {
        etag: read.etag,
        ..delete(&world, read.id)
    };
    assert_eq!(reason(calls.delete_deployment(late).await), "ETAG_MISMATCH");

    calls
        .update_deployment_status(update(&world, read.id, S::Failed))
        .await
        .unwrap();
    let changed = calls
        .get_deployment(get(&world, read.id))
        .await
        .unwrap()
        .into_inner()
        .deployment
        .unwrap();
    assert_ne!(changed.etag, moved.etag);
    let at = changed.updated_at.unwrap();
    let before = pb::DeleteDeploymentRequest {
        unmodified_since: Some(Timestamp {
            seconds: at.seconds - 1,
            nanos: 999_999_999,
        }),
        ..delete(&world, read.id)
    };
    assert_eq!(reason(calls.delete_deployment(before).await), "MODIFIED_SINCE");
    let since = pb::DeleteDeploymentRequest {
        unmodified_since: Some(Timestamp {
            seconds: at.seconds,
            nanos: 0,
        }),
        etag: changed.etag,
        ..delete(&world, read.id)
    };
    calls.delete_deployment(since).await.unwrap();
}

async fn a_success_makes_a_stopped_environment_available_and_a_failure_does_not(engine: Engine) {
    let world = World::new(engine).await;
    let mut environments = world.server.environments(&world.developer);
    let project = Some(project_id(world.project.id));
    let environment = world.record("production", S::Success).await.environment.unwrap();
    let by_id = Some(pb::EnvironmentRef {
        by: Some(pb::environment_ref::By::Id(environment.id)),
    });
    let stop = pb::StopEnvironmentRequest {
        project: project.clone(),
        environment: by_id.clone(),
        ..Default::default()
    };
    let read = pb::GetEnvironmentRequest {
        project,
        environment: by_id,
    };
    environments.stop_environment(stop).await.unwrap();
    for (status, state) in [
        (S::Failed, pb::EnvironmentState::Stopped),
        (S::Success, pb::EnvironmentState::Available),
    ] {
        let mut request = world.deployment("production", status);
        request.r#ref = "next".into();
        let answer = world
            .server
            .deployments(&world.developer)
            .create_deployment(request)
            .await
            .unwrap();
        let told = answer.into_inner().deployment.unwrap();
        let now = environments
            .get_environment(read.clone())
            .await
            .unwrap()
            .into_inner();
        let environment = now.environment.unwrap();
        assert_eq!(environment.state(), state);
        assert_eq!(told.environment.unwrap().updated_at, environment.updated_at);
        let last = now.last_deployment.unwrap();
        assert_eq!(last.id == told.id, status == S::Success);
    }
}
