//! Many callers at one gate: decisions, rules and starts at once.

use std::{future::Future, pin::Pin};

use gatehouse::pb::v1::{self as pb, AccessLevel, ApprovalStatus, DeploymentStatus as S};
use tonic::{Response, Status};

use super::races::at_once;
use crate::support::{
    World,
    engine::{Engine, connected, on_both_engines},
    in_group, in_project, project_id, reason,
};

on_both_engines! {
    threads:
    one_of_many_approvals_completes_the_quorum
    of_an_approval_and_a_rejection_one_decides
    an_approval_and_an_unprotection_release_once
    one_of_two_starts_begins_and_none_before_the_gate_lets_go
    what_is_recorded_while_it_is_protected_is_held_or_was_first
}

/// How often each race is run: who wins is not for the test to say.
const ROUNDS: usize = 12;
const APPROVERS: usize = 8;

/// `acme/web`, and approvers who are Reporters of `acme`.
struct Gate {
    world: World,
    approvers: Vec<String>,
}

/// A call whose answer is told by its refusal, if any.
type Call = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

fn told<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Result<(), String> {
    match answer {
        Ok(_) => Ok(()),
        refused => Err(reason(refused)),
    }
}

fn role(access_level: i32, required: usize) -> pb::ProtectionEntry {
    pb::ProtectionEntry {
        access_level: Some(access_level),
        required_approvals: Some(i32::try_from(required).unwrap()),
        ..Default::default()
    }
}

impl Gate {
    async fn new(engine: Engine) -> Self {
        let world = World::new(engine).await;
        let mut approvers = Vec::new();
        for number in 0..APPROVERS {
            let name = format!("approver-{number}");
            approvers.push(world.server.user(&name).await.1);
            world
                .server
                .member(in_group("acme"), &name, AccessLevel::Reporter)
                .await;
        }
        Self { world, approvers }
    }

    fn protection(name: &str, required: usize) -> pb::ProtectEnvironmentRequest {
        pb::ProtectEnvironmentRequest {
            container: Some(in_project("acme/web")),
            name: name.into(),
            deploy_access_levels: vec![role(30, 1)],
            approval_rules: vec![role(20, required)],
            ..Default::default()
        }
    }

    fn protect(&self, name: &str, required: usize) -> Call {
        let mut calls = self.world.server.protections(&self.world.maintainer);
        let request = Self::protection(name, required);
        Box::pin(async move { told(calls.protect_environment(request).await) })
    }

    fn unprotect(&self, name: &str) -> Call {
        let mut calls = self.world.server.protections(&self.world.maintainer);
        let request = pb::UnprotectEnvironmentRequest {
            container: Some(in_project("acme/web")),
            name: name.into(),
            ..Default::default()
        };
        Box::pin(async move { told(calls.unprotect_environment(request).await) })
    }

    fn submit(&self, approver: usize, id: i64, status: ApprovalStatus) -> Call {
        let mut calls = self.world.server.approvals(&self.approvers[approver]);
        let request = pb::SubmitApprovalRequest {
            project: Some(project_id(self.world.project.id)),
            deployment_id: id,
            status: status.into(),
            ..Default::default()
        };
        Box::pin(async move { told(calls.submit_approval(request).await) })
    }

    fn start(&self, id: i64) -> Call {
        let mut calls = self.world.server.deployments(&self.world.developer);
        let request = pb::UpdateDeploymentStatusRequest {
            project: Some(project_id(self.world.project.id)),
            deployment_id: id,
            status: S::Running.into(),
            ..Default::default()
        };
        Box::pin(async move { told(calls.update_deployment_status(request).await) })
    }

    async fn found(&self, id: i64) -> pb::GetDeploymentResponse {
        let request = pb::GetDeploymentRequest {
            project: Some(project_id(self.world.project.id)),
            deployment_id: id,
        };
        let mut calls = self.world.server.deployments(&self.world.reporter);
        calls.get_deployment(request).await.unwrap().into_inner()
    }

    async fn status(&self, id: i64) -> S {
        self.found(id).await.deployment.unwrap().status()
    }

    /// What the log tells of a deployment: its statuses one after the other, and how many approvals were missing after
    /// each decision.
    async fn log(&self, id: i64) -> (Vec<String>, Vec<i64>) {
        let text = "SELECT kind, payload FROM events ORDER BY project_id, seq";
        let place = &self.world.server.place;
        let events: Vec<(String, String)> = connected!(place, |store| sqlx::query_as(text)
            .fetch_all(&mut store)
            .await
            .unwrap());
        let (mut statuses, mut missing) = (Vec::new(), Vec::new());
        for (kind, payload) in events {
            let payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
            match kind.as_str() {
                "deployment_created" | "deployment_status_changed" if payload["deployment_id"] == id => {
                    statuses.push(payload["after"].as_str().unwrap().to_owned());
                }
                "approval_submitted" if payload["deployment_id"] == id => {
                    missing.push(payload["pending_approval_count"].as_i64().unwrap());
                }
                _ => {}
            }
        }
        (statuses, missing)
    }
}

fn done(answers: &[Result<(), String>]) -> usize {
    answers.iter().filter(|answer| answer.is_ok()).count()
}

async fn one_of_many_approvals_completes_the_quorum(engine: Engine) {
    let gate = Gate::new(engine).await;
    gate.protect("production", 5).await.unwrap();
    for _ in 0..ROUNDS {
        let id = gate.world.record("production", S::Running).await.id;
        let answers = at_once(APPROVERS, |number| {
            gate.submit(number, id, ApprovalStatus::Approved)
        })
        .await;
        // Those who come after the fifth find the gate closed, and their vote is not kept.
        assert_eq!(done(&answers), 5, "{answers:?}");
        let late = answers.into_iter().filter_map(Result::err);
        assert!(
            late.into_iter()
                .all(|reason| reason == "NOT_WAITING_FOR_APPROVALS")
        );
        let (statuses, missing) = gate.log(id).await;
        assert_eq!(statuses, ["blocked", "created"]);
        assert_eq!(missing, [4, 3, 2, 1, 0]);
        let state = gate.found(id).await.approval_state.unwrap();
        assert_eq!((state.approvals.len(), state.pending_approval_count), (5, 0));
    }
}

async fn of_an_approval_and_a_rejection_one_decides(engine: Engine) {
    let gate = Gate::new(engine).await;
    gate.protect("production", 1).await.unwrap();
    for _ in 0..ROUNDS {
        let id = gate.world.record("production", S::Running).await.id;
        let answers = at_once(2, |number| {
            let status = [ApprovalStatus::Approved, ApprovalStatus::Rejected][number];
            gate.submit(number, id, status)
        })
        .await;
        assert_eq!(done(&answers), 1, "{answers:?}");
        let (statuses, missing) = gate.log(id).await;
        assert_eq!(statuses.len(), 2, "{statuses:?}");
        assert!(["created", "failed"].contains(&statuses[1].as_str()));
        assert_eq!(missing, [0]);
        let found = gate.found(id).await;
        let status = found.approval_state.unwrap().approvals[0].status();
        let approved = found.deployment.unwrap().status() == S::Created;
        assert_eq!(approved, status == ApprovalStatus::Approved);
    }
}

async fn an_approval_and_an_unprotection_release_once(engine: Engine) {
    let gate = Gate::new(engine).await;
    for _ in 0..ROUNDS {
        gate.protect("production", 2).await.unwrap();
        let id = gate.world.record("production", S::Running).await.id;
        let answers = at_once(3, |number| match number {
            2 => gate.unprotect("production"),
            approver => gate.submit(approver, id, ApprovalStatus::Approved),
        })
        .await;
        for reason in answers.into_iter().filter_map(Result::err) {
            assert_eq!(reason, "ENVIRONMENT_NOT_PROTECTED");
        }
        assert_eq!(gate.log(id).await.0, ["blocked", "created"]);
    }
}

async fn one_of_two_starts_begins_and_none_before_the_gate_lets_go(engine: Engine) {
    let gate = Gate::new(engine).await;
    gate.protect("production", 1).await.unwrap();
    for _ in 0..ROUNDS {
        let id = gate.world.record("production", S::Running).await.id;
        let answers = at_once(3, |number| match number {
            2 => gate.submit(0, id, ApprovalStatus::Approved),
            _ => gate.start(id),
        })
        .await;
        let refused: Vec<_> = answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .collect();
        assert!(
            refused.iter().all(|reason| *reason == "INVALID_TRANSITION"),
            "{refused:?}"
        );
        let (statuses, _) = gate.log(id).await;
        let started = usize::from(gate.status(id).await == S::Running);
        assert_eq!(statuses, ["blocked", "created", "running"][..2 + started]);
        assert_eq!(done(&answers), 1 + started);
    }
}

async fn what_is_recorded_while_it_is_protected_is_held_or_was_first(engine: Engine) {
    let gate = Gate::new(engine).await;
    for round in 0..ROUNDS {
        let name = format!("eu-{round}");
        let request = gate.world.deployment(&name, S::Running);
        let answers = at_once(4, |number| -> Call {
            if number == 0 {
                return gate.protect(&name, 1);
            }
            let mut calls = gate.world.server.deployments(&gate.world.developer);
            let mut request = request.clone();
            request.r#ref = format!("r{number}");
            Box::pin(async move { told(calls.create_deployment(request).await) })
        })
        .await;
        assert_eq!(done(&answers), 4, "{answers:?}");
        let list = pb::ListDeploymentsRequest {
            project: Some(project_id(gate.world.project.id)),
            filter: Some(pb::DeploymentFilter {
                environment: Some(name.clone()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut calls = gate.world.server.deployments(&gate.world.reporter);
        let found = calls
            .list_deployments(list)
            .await
            .unwrap()
            .into_inner()
            .deployments;
        let mut statuses: Vec<(i64, S)> = found.iter().map(|it| (it.iid, it.status())).collect();
        statuses.sort_by_key(|(iid, _)| *iid);
        // Free ones first: once one is held, all are.
        let held = statuses
            .iter()
            .position(|(_, status)| *status == S::Blocked)
            .unwrap_or(3);
        assert!(
            statuses[held..].iter().all(|(_, status)| *status == S::Blocked),
            "{statuses:?}"
        );
        assert!(
            statuses[..held].iter().all(|(_, status)| *status == S::Running),
            "{statuses:?}"
        );
    }
}
