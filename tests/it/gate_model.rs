//! The whole gate against a model of it: random histories of deployments, decisions, rules and people, over the wire.
//! After every step each deployment stands as the model says: nothing stays blocked that the rules in force would
//! release, and nothing is let go that they hold at that moment.

mod model;
mod steps;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use gatehouse::pb::v1::{
    self as pb, AccessLevel, DeploymentStatus as S, EnvironmentTier, HoldKind, Visibility,
    approval_service_client::ApprovalServiceClient,
    protected_environment_service_client::ProtectedEnvironmentServiceClient,
};
use tokio::task::JoinSet;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::support::{
    Client, TestServer,
    dice::Dice,
    engine::{Engine, on_both_engines},
    in_group, in_project, project_at,
};
use model::{GROUPS, Model, PROJECTS, Place, USERS};

on_both_engines! {
    threads:
    no_history_leaves_anything_blocked_or_lets_it_go_against_the_rules
}

/// How many histories, and of how many steps each.
const CASES: u64 = 3;
const STEPS: usize = 140;
const ENVIRONMENTS: [&str; 3] = ["production", "staging", "eu"];
const TIERS: [(&str, EnvironmentTier); 3] = [
    ("production", EnvironmentTier::Production),
    ("staging", EnvironmentTier::Staging),
    ("other", EnvironmentTier::Other),
];
const STATUSES: [(&str, S); 6] = [
    ("created", S::Created),
    ("running", S::Running),
    ("success", S::Success),
    ("failed", S::Failed),
    ("canceled", S::Canceled),
    ("blocked", S::Blocked),
];

/// A history in the making: the server, the model, and what happened so far.
struct History {
    server: TestServer,
    model: Model,
    dice: Dice,
    user_ids: Vec<i64>,
    group_ids: Vec<i64>,
    told: String,
    /// How often each thing came about, to see that the histories are worth their while.
    seen: BTreeMap<&'static str, usize>,
}

fn status(word: &str) -> S {
    STATUSES.iter().find(|(known, _)| *known == word).unwrap().1
}

fn level(number: i32) -> AccessLevel {
    AccessLevel::try_from(number).unwrap()
}

fn container(place: Place) -> pb::ContainerRef {
    match place {
        Place::Project(project) => in_project(PROJECTS[project]),
        Place::Group(group) => in_group(GROUPS[group]),
    }
}

fn outcome<T>(answer: Result<T, Status>) -> Result<T, String> {
    answer.map_err(|status| {
        let info = status.get_details_error_info();
        info.map_or_else(|| format!("{status:?}"), |info| info.reason)
    })
}

impl History {
    async fn begin(engine: Engine, seed: u64) -> Self {
        let server = TestServer::start(engine).await;
        let mut group_ids = Vec::new();
        for group in GROUPS {
            group_ids.push(server.group(group).await.id);
        }
        for (project, visibility) in PROJECTS
            .into_iter()
            .zip([Visibility::Private, Visibility::Internal])
        {
            server.project(project, visibility).await;
        }
        let mut user_ids = vec![1];
        for user in &USERS[1..] {
            let request = pb::CreateUserRequest {
                username: (*user).to_owned(),
                ..Default::default()
            };
            let made = server.directory(&server.root).create_user(request).await.unwrap();
            user_ids.push(made.into_inner().user.unwrap().id);
        }
        let mut history = Self {
            server,
            model: Model::new(),
            dice: Dice(seed),
            user_ids,
            group_ids,
            told: format!("seed {seed}\n"),
            seen: BTreeMap::new(),
        };
        for user in 1..USERS.len() {
            let levels = [20, 30, 30, 40];
            let level = history.dice.pick(&levels);
            history.set_member(Place::Group(0), user, level).await;
            let group = history.dice.pick(&[2, 3, 4]);
            history.set_member(Place::Group(group), user, 30).await;
        }
        for place in [Place::Project(0), Place::Project(1), Place::Group(0)] {
            for group in [3, 4] {
                history.set_share(place, group, 30).await;
            }
        }
        history
    }

    fn tell(&mut self, what: &'static str, text: std::fmt::Arguments<'_>) {
        *self.seen.entry(what).or_default() += 1;
        writeln!(self.told, "{what} {text}").unwrap();
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// A channel for the administrator, acting as somebody.
    fn acting(&self, user: usize) -> Client {
        self.server.client_as(&self.server.root, Some(USERS[user]))
    }

    fn approvals(&self, user: usize) -> ApprovalServiceClient<Client> {
        ApprovalServiceClient::new(self.acting(user))
    }

    fn protections(&self) -> ProtectedEnvironmentServiceClient<Client> {
        ProtectedEnvironmentServiceClient::new(self.acting(0))
    }

    /// Somebody who is there.
    fn user(&mut self) -> usize {
        loop {
            let user = self.dice.below(USERS.len());
            if self.model.users[user].there {
                return user;
            }
        }
    }

    fn ordinary(&mut self) -> usize {
        loop {
            let user = self.user();
            if user > 0 {
                return user;
            }
        }
    }

    fn group(&mut self) -> usize {
        loop {
            let group = self.dice.below(GROUPS.len());
            if self.model.groups[group].there {
                return group;
            }
        }
    }

    fn place(&mut self) -> Place {
        if self.dice.once_in(2) {
            Place::Project(self.dice.below(PROJECTS.len()))
        } else {
            Place::Group(self.group())
        }
    }

    /// The answer and the model agree on whether and why something is refused.
    #[track_caller]
    fn agree<T>(&mut self, expected: Result<(), &'static str>, answer: Result<T, Status>) -> Option<T> {
        let answer = outcome(answer);
        let got = answer.as_ref().map(drop).map_err(String::as_str);
        assert_eq!(got, expected, "{}", self.told);
        self.note(expected.err().unwrap_or("done"));
        answer.ok()
    }

    async fn step(&mut self) {
        let (blocked, quorums) = (self.blocked(), self.seen.get("quorum").copied());
        match self.dice.below(100) {
            0..14 => self.create().await,
            14..48 => self.decide().await,
            48..60 => self.advance().await,
            60..66 => self.protect().await,
            66..73 => self.update().await,
            73..76 => self.unprotect().await,
            76..84 => {
                let (place, user) = (self.place(), self.ordinary());
                let level = self.dice.pick(&[0, 5, 10, 20, 30, 30, 40]);
                self.set_member(place, user, level).await;
            }
            84..88 => {
                let place = self.dice.pick(&[
                    Place::Project(0),
                    Place::Project(1),
                    Place::Group(0),
                    Place::Group(1),
                ]);
                let group = self.dice.pick(&[2, 3, 4]);
                let level = self.dice.pick(&[0, 10, 20, 30, 40]);
                self.set_share(place, group, level).await;
            }
            88..91 => self.set_tier().await,
            91..94 => self.set_user().await,
            94..96 => self.rename().await,
            96..98 => self.set_self_approval().await,
            _ => {
                if self.dice.once_in(3) {
                    self.delete().await;
                }
            }
        }
        let freed = |&index: &usize| self.model.deployments[index].status == "created";
        if blocked.iter().any(freed) && self.seen.get("quorum") == quorums.as_ref() {
            self.note("freed");
        }
        self.check().await;
    }

    /// The blocked deployments.
    fn blocked(&self) -> Vec<usize> {
        let all = self.model.deployments.iter().enumerate();
        all.filter(|(_, it)| it.status == "blocked")
            .map(|(index, _)| index)
            .collect()
    }

    /// Compares everything that can be seen with what the model says.
    async fn check(&mut self) {
        for (project, path) in PROJECTS.iter().enumerate() {
            let request = pb::ListDeploymentsRequest {
                project: Some(project_at(path)),
                page_size: 100,
                ..Default::default()
            };
            let mut calls = self.server.deployments(&self.server.root);
            let found = calls
                .list_deployments(request)
                .await
                .unwrap()
                .into_inner()
                .deployments;
            let found: BTreeSet<_> = found
                .iter()
                .map(|it| {
                    let rejected = it.failure_reason() == pb::DeploymentFailureReason::DeploymentRejected;
                    (it.id, it.status(), it.gate_bypassed, rejected)
                })
                .collect();
            let all = self.model.deployments.iter().filter(|it| it.project == project);
            let expected: BTreeSet<_> = all
                .map(|it| (it.id, status(it.status), it.bypassed, it.rejected))
                .collect();
            assert_eq!(found, expected, "{}", self.told);
        }
        let blocked = self.model.deployments.iter().filter(|it| it.status == "blocked");
        let blocked: Vec<_> = blocked.cloned().collect();
        for it in &blocked {
            let request = pb::GetApprovalStateRequest {
                project: Some(project_at(PROJECTS[it.project])),
                deployment_id: it.id,
            };
            let answer = self.approvals(0).get_approval_state(request).await.unwrap();
            let state = answer.into_inner().approval_state.unwrap();
            let pending = self.model.pending(it);
            assert_eq!(
                i64::from(state.pending_approval_count),
                pending,
                "{}\nof {}",
                self.told,
                it.id
            );
            assert_eq!(
                state.approvals.len(),
                it.votes.len(),
                "{}\nof {}",
                self.told,
                it.id
            );
        }
        if !blocked.is_empty() {
            let it = blocked[self.dice.below(blocked.len())].clone();
            self.check_one(&it).await;
        }
        let user = self.user();
        let request = pb::ListPendingDecisionsRequest {
            page_size: 100,
            ..Default::default()
        };
        let answer = outcome(self.approvals(user).list_pending_decisions(request).await);
        if self.model.users[user].blocked {
            assert_eq!(answer.unwrap_err(), "USER_BLOCKED");
        } else {
            let found = answer.unwrap().into_inner().pending_decisions;
            let found: Vec<i64> = found.into_iter().map(|it| it.deployment.unwrap().id).collect();
            assert_eq!(found, self.model.inbox(user), "{}\ninbox of {user}", self.told);
        }
    }

    /// Who is asked about a blocked deployment, and whether that can be enough.
    async fn check_one(&mut self, it: &model::Deployment) {
        let project = Some(project_at(PROJECTS[it.project]));
        let request = pb::ListEligibleApproversRequest {
            project: project.clone(),
            deployment_id: it.id,
            page_size: 100,
            ..Default::default()
        };
        let answer = self.approvals(0).list_eligible_approvers(request).await.unwrap();
        let found = answer.into_inner().eligible_approvers;
        let found: BTreeSet<i64> = found.into_iter().map(|it| it.user.unwrap().id).collect();
        let asked = self.model.asked(it);
        let asked: BTreeSet<i64> = asked.into_iter().map(|user| self.user_ids[user]).collect();
        assert_eq!(found, asked, "{}\nasked about {}", self.told, it.id);
        let request = pb::ExplainDeploymentRequest {
            project,
            deployment_id: it.id,
        };
        let answer = self.approvals(0).explain_deployment(request).await.unwrap();
        let holds = answer.into_inner().holds;
        let missing: i64 = holds.iter().map(|hold| i64::from(hold.missing)).sum();
        assert_eq!(
            missing,
            self.model.pending(it),
            "{}\nholds of {}",
            self.told,
            it.id
        );
        let unreachable = holds
            .iter()
            .any(|hold| hold.kind() == HoldKind::QuorumUnreachable);
        let beyond = self.model.beyond_everyone(it) > 0;
        assert_eq!(unreachable, beyond, "{}\nquorum of {}", self.told, it.id);
        if unreachable {
            self.note("unreachable");
        }
    }
}

async fn no_history_leaves_anything_blocked_or_lets_it_go_against_the_rules(engine: Engine) {
    let mut histories = JoinSet::new();
    for seed in 0..CASES {
        histories.spawn(async move {
            let mut history = History::begin(engine, seed).await;
            for _ in 0..6 {
                history.protect().await;
            }
            for _ in 0..STEPS {
                history.step().await;
            }
            history.server.stop().await;
            history.seen
        });
    }
    let mut seen = BTreeMap::<&str, usize>::new();
    while let Some(history) = histories.join_next().await {
        for (what, count) in history.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            *seen.entry(what).or_default() += count;
        }
    }
    // What never came about was not tested.
    for what in [
        "blocked",
        "quorum",
        "freed",
        "vote",
        "unreachable",
        "SELF_APPROVAL",
        "APPROVAL_NOT_PERMITTED",
        "NO_RULE_REPRESENTED",
        "ENVIRONMENT_PROTECTED",
        "INVALID_TRANSITION",
        "INVALID_PROTECTION",
        "USER_BLOCKED",
        "delete",
    ] {
        assert!(seen.contains_key(what), "{what} in {seen:?}");
    }
}
