//! Waiting for a deployment, black box.

use std::time::Duration;

use gatehouse::{
    pb::v1::{
        self as pb, DeploymentStatus as S, WaitCondition, WaitOutcome,
        event_service_client::EventServiceClient, wait_deployment_request::Until,
    },
    server,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, transport::Endpoint};
use tonic_types::StatusExt as _;

use crate::support::{
    As, World,
    engine::{Engine, on_both_engines},
    in_project, project_at, project_id, reason, user_named, violations, within,
};

on_both_engines! {
    what_cannot_be_waited_for_is_refused
    a_wait_outlasts_the_limit_of_calls_but_not_the_deadline_of_its_caller
}

on_both_engines! {
    threads:
    a_wait_returns_when_the_deployment_gets_there_or_cannot_any_more
    who_waits_at_the_gate_goes_on_with_the_last_approval
    who_waits_at_the_gate_goes_on_when_a_change_elsewhere_lifts_it
    a_wait_ends_when_what_it_is_for_is_deleted
    a_wait_does_not_outlive_the_right_to_see
    who_insists_is_refused_unless_the_condition_holds
}

const APPROVED: Until = Until::Condition(WaitCondition::Approved as i32);
const FINISHED: Until = Until::Condition(WaitCondition::Finished as i32);

fn status(status: S) -> Until {
    Until::Status(status.into())
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

/// A wait for an hour: whoever returns early was woken.
fn wait(deployment: &pb::Deployment, until: Until) -> pb::WaitDeploymentRequest {
    pb::WaitDeploymentRequest {
        project: Some(project_id(deployment.project_id)),
        deployment_id: deployment.id,
        until: Some(until),
        timeout: Some(seconds(3600)),
        fail_unless: false,
    }
}

/// A wait that nobody may leave open.
fn insist(deployment: &pb::Deployment, until: Until) -> pb::WaitDeploymentRequest {
    pb::WaitDeploymentRequest {
        fail_unless: true,
        ..wait(deployment, until)
    }
}

type Waited = Result<pb::WaitDeploymentResponse, Status>;

async fn ask(world: &World, token: &str, request: pb::WaitDeploymentRequest) -> Waited {
    let mut calls = world.server.events(token);
    let answer = within("a wait", calls.wait_deployment(request)).await;
    answer.map(tonic::Response::into_inner)
}

/// Waits as a reporter, meanwhile.
fn meanwhile(world: &World, request: pb::WaitDeploymentRequest) -> JoinHandle<Waited> {
    let mut calls = world.server.events(&world.reporter);
    tokio::spawn(async move {
        calls
            .wait_deployment(request)
            .await
            .map(tonic::Response::into_inner)
    })
}

async fn answered(waiting: JoinHandle<Waited>) -> Waited {
    within("a wait that was woken", waiting).await.unwrap()
}

async fn move_to(world: &World, deployment: &pb::Deployment, status: S) {
    let request = pb::UpdateDeploymentStatusRequest {
        project: Some(project_id(deployment.project_id)),
        deployment_id: deployment.id,
        status: status.into(),
        ..Default::default()
    };
    let mut calls = world.server.deployments(&world.developer);
    calls.update_deployment_status(request).await.unwrap();
}

/// Lets production ask for one approval of those who may deploy: Developers.
async fn protect(world: &World) {
    let request = pb::ProtectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "production".into(),
        deploy_access_levels: vec![pb::ProtectionEntry {
            access_level: Some(30),
            ..Default::default()
        }],
        required_approval_count: 1,
        ..Default::default()
    };
    let mut calls = world.server.protections(&world.maintainer);
    calls.protect_environment(request).await.unwrap();
}

async fn decide(world: &World, deployment: &pb::Deployment, status: pb::ApprovalStatus) {
    let request = pb::SubmitApprovalRequest {
        project: Some(project_id(deployment.project_id)),
        deployment_id: deployment.id,
        status: status.into(),
        ..Default::default()
    };
    let mut calls = world.server.approvals(&world.maintainer);
    calls.submit_approval(request).await.unwrap();
}

async fn delete(world: &World, deployment: &pb::Deployment) {
    let request = pb::DeleteDeploymentRequest {
        project: Some(project_id(deployment.project_id)),
        deployment_id: deployment.id,
        ..Default::default()
    };
    let mut calls = world.server.deployments(&world.maintainer);
    calls.delete_deployment(request).await.unwrap();
}

async fn a_wait_returns_when_the_deployment_gets_there_or_cannot_any_more(engine: Engine) {
    let world = World::new(engine).await;
    for (until, steps, outcome) in [
        (FINISHED, &[S::Running, S::Success][..], WaitOutcome::Met),
        (status(S::Success), &[S::Running, S::Success], WaitOutcome::Met),
        (status(S::Failed), &[S::Failed], WaitOutcome::Met),
        (status(S::Success), &[S::Running, S::Failed], WaitOutcome::Unmet),
        (status(S::Running), &[S::Canceled], WaitOutcome::Unmet),
    ] {
        let made = world.record("staging", S::Created).await;
        let waiting = meanwhile(&world, wait(&made, until));
        for &step in steps {
            move_to(&world, &made, step).await;
        }
        let answer = answered(waiting).await.unwrap();
        assert_eq!(answer.outcome(), outcome, "{until:?} {steps:?}");
        let last = *steps.last().unwrap();
        assert_eq!(answer.deployment.unwrap().status(), last, "{until:?}");
    }
}

async fn who_waits_at_the_gate_goes_on_with_the_last_approval(engine: Engine) {
    let world = World::new(engine).await;
    protect(&world).await;
    for _ in 0..10 {
        let held = world.record("production", S::Running).await;
        assert_eq!(held.status(), S::Blocked);
        let waiting = [
            meanwhile(&world, insist(&held, APPROVED)),
            meanwhile(&world, insist(&held, status(S::Created))),
        ];
        decide(&world, &held, pb::ApprovalStatus::Approved).await;
        for waiting in waiting {
            let answer = answered(waiting).await.unwrap();
            assert_eq!(answer.outcome(), WaitOutcome::Met);
            assert_eq!(answer.deployment.unwrap().status(), S::Created);
            let state = answer.approval_state.unwrap();
            assert_eq!((state.pending_approval_count, state.approvals.len()), (0, 1));
        }
    }
}

async fn who_waits_at_the_gate_goes_on_when_a_change_elsewhere_lifts_it(engine: Engine) {
    let world = World::new(engine).await;
    protect(&world).await;
    let held = world.record("production", S::Running).await;
    let waiting = meanwhile(&world, insist(&held, APPROVED));
    let lift = pb::UnprotectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "production".into(),
        ..Default::default()
    };
    let mut calls = world.server.protections(&world.maintainer);
    calls.unprotect_environment(lift).await.unwrap();
    assert_eq!(answered(waiting).await.unwrap().outcome(), WaitOutcome::Met);

    // In a change of the directory, of nothing in the project.
    let (id, _) = world.server.user("otto").await;
    world
        .server
        .member(in_project("acme/web"), "otto", pb::AccessLevel::Developer)
        .await;
    let entry = |access_level: Option<i32>, user_id: Option<i64>| pb::ProtectionEntry {
        access_level,
        user_id,
        ..Default::default()
    };
    let request = pb::ProtectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "production".into(),
        deploy_access_levels: vec![entry(Some(30), None)],
        approval_rules: vec![entry(None, Some(id))],
        ..Default::default()
    };
    calls.protect_environment(request).await.unwrap();
    let held = world.record("production", S::Running).await;
    assert_eq!(held.status(), S::Blocked);
    let waiting = meanwhile(&world, insist(&held, APPROVED));
    let gone = pb::DeleteUserRequest {
        user: Some(user_named("otto")),
        ..Default::default()
    };
    let mut directory = world.server.directory(&world.server.root);
    directory.delete_user(gone).await.unwrap();
    assert_eq!(answered(waiting).await.unwrap().outcome(), WaitOutcome::Met);
}

async fn a_wait_ends_when_what_it_is_for_is_deleted(engine: Engine) {
    let world = World::new(engine).await;
    let made = world.record("staging", S::Created).await;
    let waiting = meanwhile(&world, wait(&made, FINISHED));
    delete(&world, &made).await;
    assert_eq!(reason(answered(waiting).await), "DEPLOYMENT_NOT_FOUND");
    assert_eq!(
        reason(ask(&world, &world.reporter, wait(&made, FINISHED)).await),
        "DEPLOYMENT_NOT_FOUND"
    );

    let made = world.record("staging", S::Created).await;
    let waiting = meanwhile(&world, wait(&made, FINISHED));
    let gone = pb::DeleteProjectRequest {
        project: Some(project_at("acme/web")),
        ..Default::default()
    };
    let mut directory = world.server.directory(&world.server.root);
    directory.delete_project(gone).await.unwrap();
    assert_eq!(reason(answered(waiting).await), "PROJECT_NOT_FOUND");
}

async fn a_wait_does_not_outlive_the_right_to_see(engine: Engine) {
    let world = World::new(engine).await;
    let made = world.record("staging", S::Created).await;
    let waiting = meanwhile(&world, wait(&made, FINISHED));
    let gone = pb::DeleteMembershipRequest {
        container: Some(in_project("acme/web")),
        user: Some(user_named("rita")),
        ..Default::default()
    };
    let mut directory = world.server.directory(&world.server.root);
    directory.delete_membership(gone).await.unwrap();
    move_to(&world, &made, S::Failed).await;
    assert_eq!(reason(answered(waiting).await), "PROJECT_NOT_FOUND");
}

/// The refusal, with its code, its message and the status in its metadata.
#[track_caller]
fn told(answer: Waited) -> (Code, String, String, Option<String>) {
    let refusal = answer.unwrap_err();
    let info = refusal.get_details_error_info().unwrap();
    let status = info.metadata.get("status").cloned();
    (refusal.code(), info.reason, refusal.message().to_owned(), status)
}

async fn who_insists_is_refused_unless_the_condition_holds(engine: Engine) {
    let world = World::new(engine).await;
    protect(&world).await;
    let rejected = world.record("production", S::Running).await;
    let waiting = meanwhile(&world, insist(&rejected, APPROVED));
    decide(&world, &rejected, pb::ApprovalStatus::Rejected).await;
    assert_eq!(
        told(answered(waiting).await),
        (
            Code::FailedPrecondition,
            "WAIT_UNMET".into(),
            format!("deployment {} was rejected", rejected.id),
            Some("failed".into())
        )
    );
    // Who does not insist is told the same in other words.
    let answer = ask(&world, &world.reporter, wait(&rejected, APPROVED))
        .await
        .unwrap();
    assert_eq!(answer.outcome(), WaitOutcome::Unmet);
    let reason = answer.deployment.unwrap().failure_reason();
    assert_eq!(reason, pb::DeploymentFailureReason::DeploymentRejected);

    let canceled = world.record("staging", S::Canceled).await;
    assert_eq!(
        told(ask(&world, &world.reporter, insist(&canceled, status(S::Success))).await),
        (
            Code::FailedPrecondition,
            "WAIT_UNMET".into(),
            format!("deployment {} is canceled", canceled.id),
            Some("canceled".into())
        )
    );
    let held = world.record("production", S::Running).await;
    let once = pb::WaitDeploymentRequest {
        timeout: Some(seconds(0)),
        ..insist(&held, APPROVED)
    };
    assert_eq!(
        told(ask(&world, &world.reporter, once.clone()).await),
        (
            Code::DeadlineExceeded,
            "WAIT_TIMED_OUT".into(),
            format!("deployment {} is still blocked", held.id),
            Some("blocked".into())
        )
    );
    let asking = pb::WaitDeploymentRequest {
        fail_unless: false,
        ..once
    };
    let answer = ask(&world, &world.reporter, asking).await.unwrap();
    assert_eq!(answer.outcome(), WaitOutcome::TimedOut);
    let state = answer.approval_state.unwrap();
    assert_eq!(
        (state.pending_approval_count, state.required_approval_count),
        (1, 1)
    );
}

async fn what_cannot_be_waited_for_is_refused(engine: Engine) {
    let world = World::new(engine).await;
    let made = world.record("staging", S::Success).await;
    let good = wait(&made, FINISHED);
    let timeout = |seconds, nanos| pb::WaitDeploymentRequest {
        timeout: Some(prost_types::Duration { seconds, nanos }),
        ..good.clone()
    };
    let until = |until| pb::WaitDeploymentRequest {
        until,
        ..good.clone()
    };
    for (request, field) in [
        (timeout(-1, 0), "timeout"),
        (timeout(0, -1), "timeout"),
        (timeout(3600, 1), "timeout"),
        (timeout(i64::MAX, 0), "timeout"),
        (timeout(i64::MIN, 0), "timeout"),
        (until(None), "until"),
        (until(Some(Until::Condition(0))), "condition"),
        (until(Some(Until::Condition(9))), "condition"),
        (until(Some(Until::Status(0))), "status"),
        (until(Some(Until::Status(99))), "status"),
        (
            pb::WaitDeploymentRequest {
                project: None,
                ..good.clone()
            },
            "project",
        ),
    ] {
        let fields = violations(ask(&world, &world.reporter, request.clone()).await);
        let fields: Vec<&str> = fields.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, [field], "{request:?}");
    }
    for request in [
        timeout(0, 0),
        timeout(3600, 0),
        pb::WaitDeploymentRequest {
            timeout: None,
            ..good.clone()
        },
    ] {
        let answer = ask(&world, &world.reporter, request).await.unwrap();
        assert_eq!(answer.outcome(), WaitOutcome::Met);
    }
    for (request, refusal) in [
        (
            pb::WaitDeploymentRequest {
                project: Some(project_at("acme/none")),
                ..good.clone()
            },
            "PROJECT_NOT_FOUND",
        ),
        (
            pb::WaitDeploymentRequest {
                deployment_id: 0,
                ..good.clone()
            },
            "DEPLOYMENT_NOT_FOUND",
        ),
    ] {
        assert_eq!(reason(ask(&world, &world.reporter, request).await), refusal);
    }
}

async fn a_wait_outlasts_the_limit_of_calls_but_not_the_deadline_of_its_caller(engine: Engine) {
    let world = World::new(engine).await;
    let held = world.record("staging", S::Created).await;
    let hurry = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = server::Options {
        request_timeout: Duration::from_millis(20),
        ..server::Options::default()
    };
    let serving = tokio::spawn(server::serve(
        listener,
        world.server.app.clone(),
        options,
        hurry.clone(),
    ));
    let channel = Endpoint::try_from(format!("http://{address}"))
        .unwrap()
        .connect_lazy();
    let mut calls = EventServiceClient::with_interceptor(channel, As::holder(&world.reporter));
    let patient = pb::WaitDeploymentRequest {
        timeout: Some(prost_types::Duration {
            seconds: 0,
            nanos: 200_000_000,
        }),
        ..wait(&held, FINISHED)
    };
    let answer = calls.wait_deployment(patient.clone()).await.unwrap().into_inner();
    assert_eq!(answer.outcome(), WaitOutcome::TimedOut);
    let mut hasty = Request::new(wait(&held, FINISHED));
    hasty.set_timeout(Duration::from_millis(50));
    let late = calls.wait_deployment(hasty).await.unwrap_err();
    assert_eq!(late.message(), "Timeout expired");
    drop(calls);
    hurry.cancel();
    serving.await.unwrap().unwrap();
}
