//! A mixed load by clients that repeat what was not answered, by the next server and under the same request id.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use gatehouse::pb::v1::{
    self as pb, AccessLevel, ApprovalStatus, DeploymentStatus as S,
    approval_service_client::ApprovalServiceClient, deployment_service_client::DeploymentServiceClient,
    directory_service_client::DirectoryServiceClient, event_service_client::EventServiceClient,
    protected_environment_service_client::ProtectedEnvironmentServiceClient,
    token_service_client::TokenServiceClient,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::{Code, Response, Status};

use super::fleet::{Addresses, Fleet};
use crate::support::{Client, dial, engine::connected, group_at, in_project, project_id, user_named};

const PROJECTS: usize = 3;
const CLIENTS: usize = 8;
/// How long a client waits for an answer before it asks again.
const ANSWERED_IN: Duration = Duration::from_secs(4);
/// How long it goes on to ask. Service has to be back by then.
const BACK_IN: Duration = Duration::from_mins(1);

/// What was acknowledged of one deployment.
#[derive(Debug, Clone)]
struct Acknowledged {
    id: i64,
    iid: i64,
    status: S,
    approved: bool,
}

/// What everybody knows.
struct Shared {
    addresses: Addresses,
    root: String,
    approver: String,
    projects: Vec<i64>,
    next: AtomicUsize,
    answered: AtomicUsize,
    failed: AtomicUsize,
    stopping: AtomicBool,
    acknowledged: Mutex<BTreeMap<usize, Acknowledged>>,
}

pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
    watchers: JoinSet<Vec<i64>>,
    /// The last event of each project, when nothing more is written.
    last: Last,
}

/// The last event of each project, once it is known.
type Last = Arc<Mutex<Option<BTreeMap<i64, i64>>>>;

/// What came of a load.
pub struct Told {
    writes: usize,
    repeats: usize,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { writes, repeats } = self;
        write!(
            f,
            "{writes} deployments acknowledged, {repeats} calls repeated, none lost or doubled"
        )
    }
}

/// Whether a call that ended so may have been done, or will be: one has to ask again.
fn is_open(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown | Code::Aborted
    )
}

/// One client, who stays with a server as long as that answers.
struct Caller {
    shared: Arc<Shared>,
    server: usize,
}

impl Caller {
    fn client(&self, token: &str) -> Client {
        let addresses = self.shared.addresses.read().unwrap();
        dial(&addresses[self.server % addresses.len()], token)
    }

    /// Asks until there is an answer.
    async fn ask<T, F, Fut>(&mut self, token: &str, call: F) -> T
    where
        F: Fn(Client) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let begun = Instant::now();
        loop {
            match timeout(ANSWERED_IN, call(self.client(token))).await {
                Ok(Ok(answer)) => return answer.into_inner(),
                Ok(Err(status)) if !is_open(&status) => panic!("refused: {status:?}"),
                open => {
                    assert!(
                        begun.elapsed() < BACK_IN,
                        "service does not come back: {:?}",
                        open.err()
                    );
                    self.shared.failed.fetch_add(1, Ordering::SeqCst);
                    self.server += 1;
                    pause().await;
                }
            }
        }
    }

    /// Records a deployment, and brings it as far as its number says.
    async fn write(&mut self, number: usize) {
        let shared = Arc::clone(&self.shared);
        let project = shared.projects[number % PROJECTS];
        let kind = number / PROJECTS % 4;
        let (environment, status) = match kind {
            0 => ("review", S::Created),
            1 => ("staging", S::Success),
            2 => ("testing", S::Created),
            _ => ("production", S::Created),
        };
        let create = pb::CreateDeploymentRequest {
            project: Some(project_id(project)),
            environment: environment.into(),
            sha: format!("{number:040x}"),
            r#ref: format!("write-{number}"),
            status: status.into(),
            request_id: format!("create-{number}"),
            ..Default::default()
        };
        let made = self
            .ask(&shared.root, |client| {
                let request = create.clone();
                async move {
                    DeploymentServiceClient::new(client)
                        .create_deployment(request)
                        .await
                }
            })
            .await
            .deployment
            .unwrap();
        let mut acknowledged = Acknowledged {
            id: made.id,
            iid: made.iid,
            status: made.status(),
            approved: false,
        };
        self.note(number, &acknowledged);
        let next = match kind {
            2 => &[S::Running, S::Success][..],
            3 => {
                assert_eq!(made.status(), S::Blocked);
                self.approve(number, project, made.id).await;
                acknowledged.approved = true;
                acknowledged.status = S::Created;
                self.note(number, &acknowledged);
                &[S::Running]
            }
            _ => &[],
        };
        for &status in next {
            let update = pb::UpdateDeploymentStatusRequest {
                project: Some(project_id(project)),
                deployment_id: made.id,
                status: status.into(),
                request_id: format!("{}-{number}", status.as_str_name()),
                ..Default::default()
            };
            self.ask(&shared.root, |client| {
                let request = update.clone();
                async move {
                    DeploymentServiceClient::new(client)
                        .update_deployment_status(request)
                        .await
                }
            })
            .await;
            acknowledged.status = status;
            self.note(number, &acknowledged);
        }
    }

    async fn approve(&mut self, number: usize, project: i64, id: i64) {
        let shared = Arc::clone(&self.shared);
        let submit = pb::SubmitApprovalRequest {
            project: Some(project_id(project)),
            deployment_id: id,
            status: ApprovalStatus::Approved.into(),
            request_id: format!("approve-{number}"),
            ..Default::default()
        };
        self.ask(&shared.approver, |client| {
            let request = submit.clone();
            async move { ApprovalServiceClient::new(client).submit_approval(request).await }
        })
        .await;
    }

    fn note(&self, number: usize, acknowledged: &Acknowledged) {
        let mut all = self.shared.acknowledged.lock().unwrap();
        all.insert(number, acknowledged.clone());
        self.shared.answered.fetch_add(1, Ordering::SeqCst);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "who is refused waits a little before they ask again"
)]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Watches a project by one server after the other, until it has seen its last event; answers the numbers it was told.
async fn watch(shared: Arc<Shared>, project: i64, last: Last) -> Vec<i64> {
    let mut told = Vec::new();
    let mut token = String::new();
    let mut caller = Caller {
        server: usize::try_from(project).unwrap(),
        shared,
    };
    loop {
        let request = pb::WatchEventsRequest {
            projects: vec![project_id(project)],
            from_start: token.is_empty(),
            resume_token: token.clone(),
            heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..Default::default()
        };
        let mut calls = EventServiceClient::new(caller.client(&caller.shared.root));
        if let Ok(Ok(answer)) = timeout(ANSWERED_IN, calls.watch_events(request)).await {
            let mut stream = answer.into_inner();
            // A server on which everything stands still is left too.
            while let Ok(Ok(Some(message))) = timeout(ANSWERED_IN, stream.message()).await {
                token = message.resume_token;
                told.extend(message.event.map(|event| event.seq));
                let last = last.lock().unwrap().as_ref().map(|last| last[&project]);
                if last.is_some_and(|last| told.last().is_some_and(|&seq| seq >= last)) {
                    return told;
                }
            }
        }
        caller.server += 1;
        pause().await;
    }
}

impl Load {
    pub async fn start(fleet: &Fleet) -> Self {
        let url = fleet.addresses.read().unwrap()[0].clone();
        let client = dial(&url, &fleet.root);
        let mut directory = DirectoryServiceClient::new(client.clone());
        let group = pb::CreateGroupRequest {
            path: "acme".into(),
            ..Default::default()
        };
        directory.create_group(group).await.unwrap();
        let user = pb::CreateUserRequest {
            username: "anna".into(),
            name: "Anna".into(),
            ..Default::default()
        };
        directory.create_user(user).await.unwrap();
        let token = pb::CreateTokenRequest {
            user: Some(user_named("anna")),
            name: "test".into(),
            scopes: vec![pb::TokenScope::Api.into()],
            ..Default::default()
        };
        let approver = TokenServiceClient::new(client.clone()).create_token(token).await;
        let approver = approver.unwrap().into_inner().secret;
        let mut projects = Vec::new();
        for number in 0..PROJECTS {
            let path = format!("project-{number}");
            let place = format!("acme/{path}");
            let project = pb::CreateProjectRequest {
                group: Some(group_at("acme")),
                path,
                ..Default::default()
            };
            let made = directory.create_project(project).await.unwrap().into_inner();
            projects.push(made.project.unwrap().id);
            let member = pb::CreateMembershipRequest {
                container: Some(in_project(&place)),
                user: Some(user_named("anna")),
                access_level: AccessLevel::Developer.into(),
                ..Default::default()
            };
            directory.create_membership(member).await.unwrap();
            let rule = |level, required| pb::ProtectionEntry {
                access_level: Some(level),
                required_approvals: Some(required),
                ..Default::default()
            };
            let protect = pb::ProtectEnvironmentRequest {
                container: Some(in_project(&place)),
                name: "production".into(),
                deploy_access_levels: vec![rule(30, 1)],
                approval_rules: vec![rule(30, 1)],
                ..Default::default()
            };
            ProtectedEnvironmentServiceClient::new(client.clone())
                .protect_environment(protect)
                .await
                .unwrap();
        }
        let shared = Arc::new(Shared {
            addresses: Arc::clone(&fleet.addresses),
            root: fleet.root.clone(),
            approver,
            projects,
            next: AtomicUsize::new(1),
            answered: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            acknowledged: Mutex::default(),
        });
        let last = Arc::new(Mutex::new(None));
        let mut load = Self {
            clients: JoinSet::new(),
            watchers: JoinSet::new(),
            last: Arc::clone(&last),
            shared: Arc::clone(&shared),
        };
        for server in 0..CLIENTS {
            let mut caller = Caller {
                shared: Arc::clone(&shared),
                server,
            };
            load.clients.spawn(async move {
                while !caller.shared.stopping.load(Ordering::SeqCst) {
                    let number = caller.shared.next.fetch_add(1, Ordering::SeqCst);
                    caller.write(number).await;
                }
            });
        }
        for &project in &shared.projects {
            load.watchers
                .spawn(watch(Arc::clone(&shared), project, Arc::clone(&last)));
        }
        load
    }

    /// Waits until so many more steps were acknowledged.
    pub async fn goes_on(&self, steps: usize) {
        self.until("the load goes on", &self.shared.answered, steps).await;
    }

    /// Waits until somebody gets no answer.
    pub async fn fails(&self) {
        self.until("somebody gets no answer", &self.shared.failed, 1)
            .await;
    }

    async fn until(&self, what: &str, counter: &AtomicUsize, more: usize) {
        let goal = counter.load(Ordering::SeqCst) + more;
        let begun = Instant::now();
        while counter.load(Ordering::SeqCst) < goal {
            assert!(begun.elapsed() < BACK_IN, "never happened: {what}");
            pause().await;
        }
    }

    /// Lets everybody finish what they began, and compares the store with what was acknowledged.
    pub async fn finish(mut self, fleet: &Fleet) -> Told {
        self.shared.stopping.store(true, Ordering::SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        let acknowledged = self.shared.acknowledged.lock().unwrap().clone();
        let place = &fleet.direct;

        let text = "SELECT ref, id, iid, status, project_id FROM deployments ORDER BY project_id, iid";
        let rows: Vec<(String, i64, i64, String, i64)> = connected!(place, |store| sqlx::query_as(text)
            .fetch_all(&mut store)
            .await
            .unwrap());
        let mut found = BTreeMap::new();
        let mut iids = BTreeMap::<i64, i64>::new();
        for (name, id, iid, status, project) in rows {
            let expected = iids.entry(project).or_default();
            *expected += 1;
            assert_eq!(iid, *expected, "the numbers of project {project} have no gaps");
            let number: usize = name.strip_prefix("write-").unwrap().parse().unwrap();
            let before = found.insert(number, (id, iid, status));
            assert_eq!(before, None, "write {number} was done twice");
        }
        let numbers = |all: &BTreeMap<usize, _>| all.keys().copied().collect::<BTreeSet<usize>>();
        assert_eq!(
            found.keys().copied().collect::<BTreeSet<usize>>(),
            numbers(&acknowledged),
            "what was acknowledged is there, and nothing else"
        );
        for (number, it) in &acknowledged {
            let (id, iid, status) = &found[number];
            assert_eq!((it.id, it.iid), (*id, *iid), "write {number}");
            let told = it.status.as_str_name().rsplit('_').next().unwrap().to_lowercase();
            assert_eq!(*status, told, "write {number}");
        }

        let text = "SELECT deployment_id, COUNT(*) FROM approvals GROUP BY deployment_id";
        let approvals: Vec<(i64, i64)> = connected!(place, |store| sqlx::query_as(text)
            .fetch_all(&mut store)
            .await
            .unwrap());
        let approved: BTreeMap<i64, i64> = approvals.into_iter().collect();
        let expected = acknowledged
            .values()
            .filter(|it| it.approved)
            .map(|it| (it.id, 1));
        assert_eq!(approved, expected.collect(), "each approval once");

        let text = "SELECT project_id, COUNT(*), MAX(seq) FROM events GROUP BY project_id";
        let events: Vec<(i64, i64, i64)> = connected!(place, |store| sqlx::query_as(text)
            .fetch_all(&mut store)
            .await
            .unwrap());
        let last: BTreeMap<i64, i64> = events.iter().map(|&(project, _, last)| (project, last)).collect();
        for (project, count, last) in events {
            assert_eq!(count, last, "the log of project {project} has no gaps");
        }
        *self.last.lock().unwrap() = Some(last);
        while let Some(told) = self.watchers.join_next().await {
            let told = told.unwrap();
            let all: Vec<i64> = (1..=i64::try_from(told.len()).unwrap()).collect();
            assert_eq!(told, all, "a watch is told everything once and in order");
        }
        Told {
            writes: acknowledged.len(),
            repeats: self.shared.failed.load(Ordering::SeqCst),
        }
    }
}
