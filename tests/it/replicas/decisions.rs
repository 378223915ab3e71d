//! Approvals, rejections and starts at once by several servers: whatever was answered is explained by some order in which
//! they could have come one after the other, none of them before it was asked or after it was answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatehouse::pb::v1::{
    self as pb, AccessLevel, ApprovalStatus, DeploymentStatus as S,
    approval_service_client::ApprovalServiceClient, deployment_service_client::DeploymentServiceClient,
    directory_service_client::DirectoryServiceClient,
    protected_environment_service_client::ProtectedEnvironmentServiceClient,
    token_service_client::TokenServiceClient,
};
use tokio::{sync::Barrier, task::JoinSet, time::Instant};

use super::{REPLICAS, fleet::Fleet};
use crate::support::{
    dial, dice::Dice, engine::Engine, first_project, in_project, project_id, reason, user_named,
};

/// How many deployments are decided about.
const DEPLOYMENTS: u64 = 25;
const APPROVERS: usize = 4;
const STARTERS: usize = 2;
/// How many calls each sends, one after the other.
const CALLS: usize = 2;
/// How many approvals let a deployment go.
const REQUIRED: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Approve(usize),
    Reject(usize),
    Start,
}

/// A call and how it ended.
#[derive(Debug, Clone)]
struct Answered {
    call: Call,
    asked: Instant,
    answered: Instant,
    /// The status of the deployment afterwards, or why it was refused.
    answer: Result<S, String>,
}

/// What the rules say, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Model {
    status: S,
    /// Who decided, and whether to approve.
    votes: BTreeMap<usize, bool>,
}

impl Model {
    fn blocked() -> Self {
        Self {
            status: S::Blocked,
            votes: BTreeMap::new(),
        }
    }

    /// What a call comes to, and what is then.
    fn after(&self, call: Call) -> (Result<S, String>, Self) {
        let refused = |reason: &str| (Err(reason.to_owned()), self.clone());
        let mut next = self.clone();
        let (user, approves) = match call {
            Call::Start if self.status == S::Created => {
                next.status = S::Running;
                return (Ok(next.status), next);
            }
            Call::Start => return refused("INVALID_TRANSITION"),
            Call::Approve(user) => (user, true),
            Call::Reject(user) => (user, false),
        };
        // Who says the same again is answered the same, whatever became of it.
        if self.votes.get(&user) == Some(&approves) {
            return (Ok(self.status), next);
        }
        if self.status != S::Blocked {
            return refused("NOT_WAITING_FOR_APPROVALS");
        }
        next.votes.insert(user, approves);
        if !approves {
            next.status = S::Failed;
        } else if next.votes.len() == REQUIRED {
            next.status = S::Created;
        }
        (Ok(next.status), next)
    }
}

/// Whether some order explains these answers, and the status at the end.
fn explained(left: &[Answered], state: &Model, end: S) -> bool {
    if left.is_empty() {
        return state.status == end;
    }
    // Whoever comes first was asked before anybody else of those who are left was answered.
    let first_answered = left.iter().map(|it| it.answered).min().unwrap();
    (0..left.len()).any(|next| {
        let it = &left[next];
        let (answer, after) = state.after(it.call);
        if it.asked > first_answered || answer != it.answer {
            return false;
        }
        let mut rest = left.to_vec();
        rest.remove(next);
        explained(&rest, &after, end)
    })
}

#[test]
fn an_order_is_found_where_there_is_one_and_only_there() {
    let now = Instant::now();
    let at = |millis| now + std::time::Duration::from_millis(millis);
    let answered = |call, asked, done, answer: Result<S, &str>| Answered {
        call,
        asked: at(asked),
        answered: at(done),
        answer: answer.map_err(str::to_owned),
    };
    let begin = Model::blocked();
    let overlapping = [
        answered(Call::Start, 0, 9, Ok(S::Running)),
        answered(Call::Approve(0), 0, 9, Ok(S::Created)),
        answered(Call::Approve(1), 0, 9, Ok(S::Blocked)),
    ];
    assert!(explained(&overlapping, &begin, S::Running));
    assert!(!explained(&overlapping, &begin, S::Created));
    // The start was answered before the second approval was asked for.
    let impossible = [
        answered(Call::Approve(1), 0, 1, Ok(S::Blocked)),
        answered(Call::Start, 2, 3, Ok(S::Running)),
        answered(Call::Approve(0), 4, 5, Ok(S::Created)),
    ];
    assert!(!explained(&impossible, &begin, S::Running));
    // Both took themselves for the last one.
    let doubled = [
        answered(Call::Approve(0), 0, 9, Ok(S::Created)),
        answered(Call::Approve(1), 0, 9, Ok(S::Created)),
    ];
    assert!(!explained(&doubled, &begin, S::Created));
    // Neither did.
    let lost = [
        answered(Call::Approve(0), 0, 9, Ok(S::Blocked)),
        answered(Call::Approve(1), 0, 9, Ok(S::Blocked)),
    ];
    assert!(!explained(&lost, &begin, S::Blocked));
}

/// Three servers, a protected environment, and people.
struct Scene {
    fleet: Fleet,
    project: i64,
    /// The tokens of the approvers.
    approvers: Vec<String>,
}

impl Scene {
    async fn new() -> Self {
        let fleet = Fleet::start(REPLICAS).await;
        let url = fleet.addresses.read().unwrap()[0].clone();
        let client = dial(&url, &fleet.root);
        let project = first_project(&client).await;
        let mut directory = DirectoryServiceClient::new(client.clone());
        let mut approvers = Vec::new();
        for number in 0..APPROVERS {
            let name = format!("approver-{number}");
            let user = pb::CreateUserRequest {
                username: name.clone(),
                name: name.clone(),
                ..Default::default()
            };
            directory.create_user(user).await.unwrap();
            let member = pb::CreateMembershipRequest {
                container: Some(in_project("acme/web")),
                user: Some(user_named(&name)),
                access_level: AccessLevel::Developer.into(),
                ..Default::default()
            };
            directory.create_membership(member).await.unwrap();
            let token = pb::CreateTokenRequest {
                user: Some(user_named(&name)),
                name: "test".into(),
                scopes: vec![pb::TokenScope::Api.into()],
                ..Default::default()
            };
            let made = TokenServiceClient::new(client.clone()).create_token(token).await;
            approvers.push(made.unwrap().into_inner().secret);
        }
        let rule = |required| pb::ProtectionEntry {
            access_level: Some(30),
            required_approvals: Some(required),
            ..Default::default()
        };
        let protect = pb::ProtectEnvironmentRequest {
            container: Some(in_project("acme/web")),
            name: "production".into(),
            deploy_access_levels: vec![rule(1)],
            approval_rules: vec![rule(i32::try_from(REQUIRED).unwrap())],
            ..Default::default()
        };
        ProtectedEnvironmentServiceClient::new(client)
            .protect_environment(protect)
            .await
            .unwrap();
        Self {
            fleet,
            project,
            approvers,
        }
    }

    /// A client of one of the servers.
    fn client(&self, server: usize, token: &str) -> crate::support::Client {
        dial(&self.fleet.addresses.read().unwrap()[server % REPLICAS], token)
    }

    async fn record(&self, number: u64) -> i64 {
        let create = pb::CreateDeploymentRequest {
            project: Some(project_id(self.project)),
            environment: "production".into(),
            sha: format!("{number:040x}"),
            r#ref: "main".into(),
            status: S::Running.into(),
            ..Default::default()
        };
        let mut calls = DeploymentServiceClient::new(self.client(0, &self.fleet.root));
        let made = calls.create_deployment(create).await.unwrap().into_inner();
        made.deployment.unwrap().id
    }

    async fn status(&self, server: usize, id: i64) -> S {
        let get = pb::GetDeploymentRequest {
            project: Some(project_id(self.project)),
            deployment_id: id,
        };
        let mut calls = DeploymentServiceClient::new(self.client(server, &self.fleet.root));
        let found = calls.get_deployment(get).await.unwrap().into_inner();
        found.deployment.unwrap().status()
    }
}

async fn send(client: crate::support::Client, project: i64, id: i64, call: Call) -> Result<S, String> {
    match call {
        Call::Start => {
            let request = pb::UpdateDeploymentStatusRequest {
                project: Some(project_id(project)),
                deployment_id: id,
                status: S::Running.into(),
                ..Default::default()
            };
            let answer = DeploymentServiceClient::new(client)
                .update_deployment_status(request)
                .await;
            match answer {
                Ok(answer) => Ok(answer.into_inner().deployment.unwrap().status()),
                refused => Err(reason(refused)),
            }
        }
        Call::Approve(_) | Call::Reject(_) => {
            let status = match call {
                Call::Reject(_) => ApprovalStatus::Rejected,
                _ => ApprovalStatus::Approved,
            };
            let request = pb::SubmitApprovalRequest {
                project: Some(project_id(project)),
                deployment_id: id,
                status: status.into(),
                ..Default::default()
            };
            let answer = ApprovalServiceClient::new(client).submit_approval(request).await;
            match answer {
                Ok(answer) => Ok(answer.into_inner().deployment.unwrap().status()),
                refused => Err(reason(refused)),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn decisions_by_several_servers_are_explained_by_some_order() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let scene = Scene::new().await;
    let mut ends = BTreeSet::new();
    for number in 0..DEPLOYMENTS {
        let id = scene.record(number).await;
        let mut dice = Dice(number);
        let together = Arc::new(Barrier::new(APPROVERS + STARTERS));
        let mut people = JoinSet::new();
        for person in 0..APPROVERS + STARTERS {
            let token = scene.approvers.get(person).unwrap_or(&scene.fleet.root);
            let client = scene.client(person + dice.below(REPLICAS), token);
            let (project, together) = (scene.project, Arc::clone(&together));
            let calls: Vec<Call> = (0..CALLS)
                .map(|_| match person {
                    APPROVERS.. => Call::Start,
                    _ if dice.once_in(6) => Call::Reject(person),
                    _ => Call::Approve(person),
                })
                .collect();
            people.spawn(async move {
                together.wait().await;
                let mut history = Vec::new();
                for call in calls {
                    let asked = Instant::now();
                    let answer = send(client.clone(), project, id, call).await;
                    history.push(Answered {
                        call,
                        asked,
                        answered: Instant::now(),
                        answer,
                    });
                }
                history
            });
        }
        let history: Vec<Answered> = people.join_all().await.into_iter().flatten().collect();
        let end = scene.status(0, id).await;
        for server in 1..REPLICAS {
            assert_eq!(scene.status(server, id).await, end);
        }
        assert!(
            explained(&history, &Model::blocked(), end),
            "no order explains it, with {end:?} at the end: {history:#?}"
        );
        ends.insert(end.as_str_name());
    }
    assert!(ends.len() > 1, "too little happened: {ends:?}");
    scene.fleet.stop();
}
