//! The event log and watching it, black box.

use std::{pin::pin, sync::Arc};

use chrono::{DateTime, TimeDelta};
use futures_util::FutureExt as _;
use gatehouse::{
    clock::ManualClock,
    pb::v1::{
        self as pb, DeploymentStatus as S, EventKind as K, event::Subject,
        event_service_client::EventServiceClient,
    },
};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming, transport::Endpoint};

use crate::support::{
    As, Client, TestServer, World,
    engine::{Engine, on_both_engines},
    in_project, project_at, project_id, reason, user_named, violations, within,
};

on_both_engines! {
    the_log_tells_what_happened_in_order_by_whom_and_from_what_to_what
    a_list_and_a_watch_let_the_same_through_their_filter
    what_a_filter_passes_over_is_passed_over_for_good
    a_watch_starts_now_or_at_the_beginning_or_where_another_broke_off
    while_nothing_happens_there_are_heartbeats
    one_stream_tells_of_several_projects_each_in_its_order
    a_resume_token_is_for_its_projects_and_filter_only
    what_cannot_be_watched_or_listed_is_refused
    a_watch_does_not_outlive_the_right_to_watch
    when_the_server_stops_watches_and_waits_end_at_once
}

on_both_engines! {
    threads:
    a_watcher_cut_off_a_thousand_times_has_seen_exactly_the_log
    slow_readers_miss_nothing_and_keep_nobody_waiting
}

/// The project, from the beginning of its log, with a heartbeat a second.
fn watch(project: i64) -> pb::WatchEventsRequest {
    pb::WatchEventsRequest {
        projects: vec![project_id(project)],
        from_start: true,
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..Default::default()
    }
}

fn from_now(project: i64) -> pb::WatchEventsRequest {
    pb::WatchEventsRequest {
        from_start: false,
        ..watch(project)
    }
}

fn resumed(request: &pb::WatchEventsRequest, token: &str) -> pb::WatchEventsRequest {
    pb::WatchEventsRequest {
        resume_token: token.into(),
        ..request.clone()
    }
}

/// A stream that is being read, and where to go on.
struct Watcher {
    stream: Streaming<pb::WatchEventsResponse>,
    token: String,
}

impl Watcher {
    /// Opens a stream, and reads the first message, which tells where it starts.
    async fn open(server: &TestServer, token: &str, request: pb::WatchEventsRequest) -> Result<Self, Status> {
        Self::open_by(server.events(token), request).await
    }

    /// The same by these calls.
    async fn open_by(
        mut calls: EventServiceClient<Client>,
        request: pb::WatchEventsRequest,
    ) -> Result<Self, Status> {
        let answer = within("a watch", calls.watch_events(request)).await?;
        let mut watcher = Self {
            stream: answer.into_inner(),
            token: String::new(),
        };
        assert_eq!(watcher.message().await?, None, "the first message is a heartbeat");
        Ok(watcher)
    }

    /// The event of the next message, none for a heartbeat.
    async fn message(&mut self) -> Result<Option<pb::Event>, Status> {
        let message = within("a message", self.stream.message()).await?;
        let message = message.expect("a stream ends with an error only");
        assert!(!message.resume_token.is_empty());
        self.token = message.resume_token;
        Ok(message.event)
    }

    /// The next event.
    async fn event(&mut self) -> Result<pb::Event, Status> {
        loop {
            if let Some(event) = self.message().await? {
                return Ok(event);
            }
        }
    }

    async fn events(&mut self, count: usize) -> Vec<pb::Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.event().await.unwrap());
        }
        events
    }

    /// The refusal that ends the stream, behind nothing but heartbeats.
    async fn end(mut self) -> Status {
        let end = self.event().await.expect_err("the stream should have ended");
        assert!(self.stream.message().await.unwrap().is_none());
        end
    }
}

/// A project's whole log, page by page.
async fn log(world: &World, filter: Option<pb::EventFilter>, page_size: i32) -> Vec<pb::Event> {
    let mut calls = world.server.events(&world.reporter);
    let (mut events, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListEventsRequest {
            project: Some(project_id(world.project.id)),
            filter: filter.clone(),
            page_size,
            page_token,
        };
        let page = calls.list_events(request).await.unwrap().into_inner();
        events.extend(page.events);
        if page.next_page_token.is_empty() {
            return events;
        }
        page_token = page.next_page_token;
    }
}

fn seqs(events: &[pb::Event]) -> Vec<i64> {
    events.iter().map(|event| event.seq).collect()
}

async fn move_to(world: &World, deployment: i64, status: S) -> Result<(), Status> {
    let request = pb::UpdateDeploymentStatusRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: deployment,
        status: status.into(),
        ..Default::default()
    };
    let mut calls = world.server.deployments(&world.developer);
    calls.update_deployment_status(request).await.map(drop)
}

/// Three deployments to two environments, one of them deleted, one protected environment: nine events.
async fn history(world: &World) -> [i64; 3] {
    let first = world.record("production", S::Created).await.id;
    move_to(world, first, S::Running).await.unwrap();
    move_to(world, first, S::Success).await.unwrap();
    let second = world.record("staging", S::Created).await.id;
    let third = world.record("staging", S::Failed).await.id;
    let gone = pb::DeleteDeploymentRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: third,
        ..Default::default()
    };
    let mut deployments = world.server.deployments(&world.maintainer);
    deployments.delete_deployment(gone).await.unwrap();
    let protect = pb::ProtectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "staging".into(),
        deploy_access_levels: vec![pb::ProtectionEntry {
            access_level: Some(30),
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut protections = world.server.protections(&world.maintainer);
    protections.protect_environment(protect).await.unwrap();
    [first, second, third]
}

async fn the_log_tells_what_happened_in_order_by_whom_and_from_what_to_what(engine: Engine) {
    let world = World::new(engine).await;
    let [first, _, third] = history(&world).await;
    let events = log(&world, None, 100).await;
    assert_eq!(seqs(&events), (1..=9).collect::<Vec<_>>());
    let kinds: Vec<K> = events.iter().map(pb::Event::kind).collect();
    assert_eq!(
        kinds,
        [
            K::EnvironmentCreated,
            K::DeploymentCreated,
            K::DeploymentStatusChanged,
            K::DeploymentStatusChanged,
            K::EnvironmentCreated,
            K::DeploymentCreated,
            K::DeploymentCreated,
            K::DeploymentDeleted,
            K::ProtectedEnvironmentCreated,
        ]
    );
    assert!(events.iter().all(|event| event.project_id == world.project.id));
    assert_ne!(events[0].actor_id, events[8].actor_id);
    let Some(Subject::Deployment(moved)) = &events[3].subject else {
        panic!("{events:?}")
    };
    assert_eq!((moved.deployment_id, moved.iid), (first, 1));
    assert_eq!((moved.before(), moved.after()), (S::Running, S::Success));
    assert_eq!(
        (moved.environment.as_str(), moved.r#ref.as_str()),
        ("production", "main")
    );
    let Some(Subject::Deployment(deleted)) = &events[7].subject else {
        panic!("{events:?}")
    };
    assert_eq!(deleted.deployment_id, third);
    assert_eq!((deleted.before(), deleted.after()), (S::Failed, S::Unspecified));
    let Some(Subject::ProtectedEnvironment(protection)) = &events[8].subject else {
        panic!("{events:?}")
    };
    assert_eq!((protection.name.as_str(), protection.group_id), ("staging", None));
}

async fn a_list_and_a_watch_let_the_same_through_their_filter(engine: Engine) {
    let world = World::new(engine).await;
    let [first, second, _] = history(&world).await;
    let filter = |environment: Option<&str>, deployment_id: Option<i64>, kinds: &[K]| pb::EventFilter {
        environment: environment.map(str::to_owned),
        deployment_id,
        kinds: kinds.iter().map(|&kind| kind.into()).collect(),
    };
    for (filter, wanted) in [
        (filter(None, None, &[]), &[1, 2, 3, 4, 5, 6, 7, 8, 9][..]),
        (filter(Some("staging"), None, &[]), &[5, 6, 7, 8, 9]),
        (filter(None, Some(first), &[]), &[2, 3, 4]),
        (
            filter(None, None, &[K::DeploymentCreated, K::DeploymentDeleted]),
            &[2, 6, 7, 8],
        ),
        (
            filter(Some("staging"), Some(second), &[K::DeploymentCreated]),
            &[6],
        ),
        (filter(Some("production"), Some(second), &[]), &[]),
    ] {
        for page_size in [1, 2, 100] {
            let listed = log(&world, Some(filter.clone()), page_size).await;
            assert_eq!(seqs(&listed), wanted, "{filter:?} by {page_size}");
        }
        let request = pb::WatchEventsRequest {
            filter: Some(filter.clone()),
            ..watch(world.project.id)
        };
        let mut watcher = Watcher::open(&world.server, &world.reporter, request.clone())
            .await
            .unwrap();
        assert_eq!(seqs(&watcher.events(wanted.len()).await), wanted, "{filter:?}");
    }
}

async fn what_a_filter_passes_over_is_passed_over_for_good(engine: Engine) {
    let world = World::new(engine).await;
    history(&world).await;
    let request = pb::WatchEventsRequest {
        filter: Some(pb::EventFilter {
            kinds: vec![K::DeploymentStatusChanged.into()],
            ..Default::default()
        }),
        ..watch(world.project.id)
    };
    let mut watcher = Watcher::open(&world.server, &world.reporter, request.clone())
        .await
        .unwrap();
    assert_eq!(seqs(&watcher.events(2).await), [3, 4]);
    let told = watcher.token.clone();
    assert_eq!(watcher.message().await.unwrap(), None);
    assert_ne!(
        watcher.token, told,
        "the heartbeat is behind what was passed over"
    );
    let request = resumed(&request, &watcher.token);
    let mut watcher = Watcher::open(&world.server, &world.reporter, request)
        .await
        .unwrap();
    assert_eq!(watcher.message().await.unwrap(), None);
}

async fn a_watch_starts_now_or_at_the_beginning_or_where_another_broke_off(engine: Engine) {
    let world = World::new(engine).await;
    let id = world.project.id;
    history(&world).await;
    let mut watcher = Watcher::open(&world.server, &world.reporter, from_now(id))
        .await
        .unwrap();
    let start = watcher.token.clone();
    world.record("production", S::Created).await;
    assert_eq!(watcher.event().await.unwrap().seq, 10);
    let after = watcher.token.clone();
    drop(watcher);
    world.record("production", S::Created).await;
    for (token, wanted) in [(start, vec![10, 11]), (after, vec![11])] {
        // `from_start` is for those who have no token.
        for request in [from_now(id), watch(id)] {
            let request = resumed(&request, &token);
            let mut watcher = Watcher::open(&world.server, &world.reporter, request)
                .await
                .unwrap();
            assert_eq!(seqs(&watcher.events(wanted.len()).await), wanted);
        }
    }
    let mut watcher = Watcher::open(&world.server, &world.reporter, watch(id))
        .await
        .unwrap();
    assert_eq!(watcher.events(11).await, log(&world, None, 100).await);
}

async fn while_nothing_happens_there_are_heartbeats(engine: Engine) {
    let world = World::new(engine).await;
    let request = from_now(world.project.id);
    let mut watcher = Watcher::open(&world.server, &world.reporter, request)
        .await
        .unwrap();
    let start = watcher.token.clone();
    assert_eq!(watcher.message().await.unwrap(), None);
    assert_eq!(watcher.token, start);
    world.record("production", S::Created).await;
    assert_eq!(seqs(&watcher.events(2).await), [1, 2]);
    assert_eq!(watcher.message().await.unwrap(), None);
}

async fn one_stream_tells_of_several_projects_each_in_its_order(engine: Engine) {
    let world = World::new(engine).await;
    let other = world.server.project("acme/api", pb::Visibility::Private).await;
    let root = world.server.root.clone();
    let both = pb::WatchEventsRequest {
        projects: vec![project_id(world.project.id), project_at("acme/api")],
        ..from_now(0)
    };
    let mut watcher = Watcher::open(&world.server, &root, both.clone()).await.unwrap();
    let mut deployments = world.server.deployments(&root);
    for number in 0..6 {
        let request = pb::CreateDeploymentRequest {
            project: Some(project_id(if number % 2 == 0 {
                other.id
            } else {
                world.project.id
            })),
            ..world.deployment("production", S::Created)
        };
        deployments.create_deployment(request).await.unwrap();
    }
    let mut token = String::new();
    let mut events = Vec::new();
    for number in 0..8 {
        events.push(watcher.event().await.unwrap());
        if number == 2 {
            token.clone_from(&watcher.token);
        }
    }
    for project in [other.id, world.project.id] {
        let of_project = events.iter().filter(|event| event.project_id == project);
        let told: Vec<i64> = of_project.map(|event| event.seq).collect();
        assert_eq!(told, [1, 2, 3, 4], "{events:?}");
    }
    // The same projects in other words, and one of them twice.
    let same = pb::WatchEventsRequest {
        projects: vec![
            project_id(other.id),
            project_at("ACME/web"),
            project_at("acme/api"),
        ],
        ..both.clone()
    };
    let mut watcher = Watcher::open(&world.server, &root, resumed(&same, &token))
        .await
        .unwrap();
    let mut rest = watcher.events(5).await;
    rest.sort_by_key(|event| (event.project_id, event.seq));
    let mut wanted = events[3..].to_vec();
    wanted.sort_by_key(|event| (event.project_id, event.seq));
    assert_eq!(rest, wanted);
}

async fn a_resume_token_is_for_its_projects_and_filter_only(engine: Engine) {
    let world = World::new(engine).await;
    let other = world.server.project("acme/api", pb::Visibility::Private).await;
    let root = &world.server.root;
    let request = from_now(world.project.id);
    let token = Watcher::open(&world.server, root, request.clone())
        .await
        .unwrap()
        .token;
    let filtered = |kinds: &[K]| pb::WatchEventsRequest {
        filter: Some(pb::EventFilter {
            kinds: kinds.iter().map(|&kind| kind.into()).collect(),
            ..Default::default()
        }),
        ..request.clone()
    };
    let both = pb::WatchEventsRequest {
        projects: vec![project_id(world.project.id), project_id(other.id)],
        ..request.clone()
    };
    history(&world).await;
    let list = pb::ListEventsRequest {
        project: Some(project_id(world.project.id)),
        page_size: 1,
        ..Default::default()
    };
    let page = world
        .server
        .events(root)
        .list_events(list)
        .await
        .unwrap()
        .into_inner();
    for (request, token) in [
        (&from_now(other.id), token.as_str()),
        (&both, &token),
        (&filtered(&[K::DeploymentCreated]), &token),
        (&request, page.next_page_token.as_str()),
        (&request, "nonsense"),
        (&request, &token[1..]),
        (&request, &token[..token.len() - 4]),
    ] {
        let answer = Watcher::open(&world.server, root, resumed(request, token)).await;
        assert_eq!(
            reason(answer.map(|_| ())),
            "INVALID_RESUME_TOKEN",
            "{token} for {request:?}"
        );
    }
    // No filter and an empty one are one filter, in whatever order and how often kinds are named.
    for (request, again) in [
        (request.clone(), filtered(&[])),
        (
            filtered(&[K::DeploymentCreated, K::DeploymentDeleted]),
            filtered(&[K::DeploymentDeleted, K::DeploymentCreated, K::DeploymentDeleted]),
        ),
    ] {
        let token = Watcher::open(&world.server, root, request).await.unwrap().token;
        assert!(
            Watcher::open(&world.server, root, resumed(&again, &token))
                .await
                .is_ok()
        );
    }
}

async fn what_cannot_be_watched_or_listed_is_refused(engine: Engine) {
    let world = World::new(engine).await;
    let good = watch(world.project.id);
    let interval = |seconds, nanos| pb::WatchEventsRequest {
        heartbeat_interval: Some(prost_types::Duration { seconds, nanos }),
        ..good.clone()
    };
    let projects = |projects: Vec<pb::ProjectRef>| pb::WatchEventsRequest {
        projects,
        ..good.clone()
    };
    let filter = |environment: &str, kinds: Vec<i32>| pb::EventFilter {
        environment: Some(environment.into()),
        kinds,
        ..Default::default()
    };
    let filtered = |filter| pb::WatchEventsRequest {
        filter: Some(filter),
        ..good.clone()
    };
    let mut calls = world.server.events(&world.reporter);
    for (request, field) in [
        (projects(vec![]), "projects"),
        (projects(vec![project_id(world.project.id); 101]), "projects"),
        (
            projects(vec![project_id(1), pb::ProjectRef::default()]),
            "projects[1]",
        ),
        (interval(0, 999_999_999), "heartbeat_interval"),
        (interval(300, 1), "heartbeat_interval"),
        (interval(-1, 0), "heartbeat_interval"),
        (filtered(filter("x", vec![0])), "filter.kinds"),
        (filtered(filter("x", vec![1, 99])), "filter.kinds"),
        (filtered(filter("\0", vec![])), "filter.environment"),
    ] {
        let fields = violations(calls.watch_events(request.clone()).await);
        assert_eq!(fields.len(), 1, "{request:?}");
        assert_eq!(fields[0].0, field, "{request:?}");
    }
    assert!(
        calls
            .watch_events(projects(vec![project_id(world.project.id); 100]))
            .await
            .is_ok()
    );
    for refused in ["acme/none", "acme"] {
        let request = projects(vec![project_id(world.project.id), project_at(refused)]);
        assert_eq!(reason(calls.watch_events(request).await), "PROJECT_NOT_FOUND");
    }
    let list = pb::ListEventsRequest {
        project: Some(project_id(world.project.id)),
        ..Default::default()
    };
    for (request, refusal) in [
        (
            pb::ListEventsRequest {
                page_token: "nonsense".into(),
                ..list.clone()
            },
            "INVALID_PAGE_TOKEN",
        ),
        (
            pb::ListEventsRequest {
                page_size: -1,
                ..list.clone()
            },
            "INVALID_ARGUMENT",
        ),
        (
            pb::ListEventsRequest {
                filter: Some(filter("x", vec![0])),
                ..list
            },
            "INVALID_ARGUMENT",
        ),
        (pb::ListEventsRequest::default(), "INVALID_ARGUMENT"),
    ] {
        assert_eq!(reason(calls.list_events(request).await), refusal);
    }
}

/// Writes to three environments until told to stop: deployments are made, run, finish, and some are deleted.
async fn write(world: Arc<World>, number: usize, stop: CancellationToken) {
    let mut calls = world.server.deployments(&world.maintainer);
    while !stop.is_cancelled() {
        let made = world
            .record(&format!("review/{}", number % 3), S::Created)
            .await
            .id;
        move_to(&world, made, S::Running).await.unwrap();
        move_to(&world, made, S::Failed).await.unwrap();
        if made % 3 == 0 {
            let request = pb::DeleteDeploymentRequest {
                project: Some(project_id(world.project.id)),
                deployment_id: made,
                ..Default::default()
            };
            calls.delete_deployment(request).await.unwrap();
        }
    }
}

async fn a_watcher_cut_off_a_thousand_times_has_seen_exactly_the_log(engine: Engine) {
    const CUTS: usize = 1_000;
    let world = Arc::new(World::new(engine).await);
    history(&world).await;
    let stop = CancellationToken::new();
    let mut writers = JoinSet::new();
    for number in 0..2 {
        writers.spawn(write(Arc::clone(&world), number, stop.clone()));
    }
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let request = watch(world.project.id);
    let (mut token, mut seen) = (String::new(), Vec::new());
    for _ in 0..CUTS {
        // Off before the first message, behind it, or behind any event.
        let messages = random.next_u32() % 5;
        let mut calls = world.server.events(&world.reporter);
        let answer = calls.watch_events(resumed(&request, &token)).await.unwrap();
        let mut stream = answer.into_inner();
        for _ in 0..messages {
            let message = within("a message", stream.message()).await.unwrap().unwrap();
            token = message.resume_token;
            seen.extend(message.event);
        }
    }
    stop.cancel();
    writers.join_all().await;
    let whole = log(&world, None, 100).await;
    let mut watcher = Watcher::open(&world.server, &world.reporter, resumed(&request, &token))
        .await
        .unwrap();
    seen.extend(watcher.events(whole.len() - seen.len()).await);
    assert_eq!(watcher.message().await.unwrap(), None, "nothing is told twice");
    assert_eq!(
        seqs(&seen),
        (1..=i64::try_from(whole.len()).unwrap()).collect::<Vec<_>>()
    );
    assert_eq!(seen, whole);
}

async fn slow_readers_miss_nothing_and_keep_nobody_waiting(engine: Engine) {
    const WINDOW: u32 = 16_384;
    let world = Arc::new(World::new(engine).await);
    let request = watch(world.project.id);
    let stop = CancellationToken::new();
    let mut writers = JoinSet::new();
    for number in 0..2 {
        writers.spawn(write(Arc::clone(&world), number, stop.clone()));
    }
    let mut quick = Watcher::open(&world.server, &world.reporter, request.clone())
        .await
        .unwrap();
    let read = quick.events(600).await;
    let size: usize = read.iter().map(prost::Message::encoded_len).sum();
    assert!(size > WINDOW as usize, "{size} bytes can be on their way at once");
    // They read one message and then none, while more is on its way than they have room for.
    let mut slow = Vec::new();
    for _ in 0..3 {
        let narrow = Endpoint::try_from(world.server.url())
            .unwrap()
            .initial_stream_window_size(WINDOW)
            .connect_lazy();
        let calls = EventServiceClient::with_interceptor(narrow, As::holder(&world.reporter));
        slow.push(Watcher::open_by(calls, request.clone()).await.unwrap());
    }
    assert_eq!(seqs(&quick.events(200).await), (601..=800).collect::<Vec<_>>());
    stop.cancel();
    writers.join_all().await;
    let whole = log(&world, None, 100).await;
    for mut watcher in slow {
        assert_eq!(watcher.events(whole.len()).await, whole);
    }
}

async fn a_watch_does_not_outlive_the_right_to_watch(engine: Engine) {
    let begin = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let clock = Arc::new(ManualClock::at(begin));
    let server = TestServer::start_with(engine, Arc::<ManualClock>::clone(&clock)).await;
    let world = World::on(server).await;
    let server = &world.server;
    let root = server.root.clone();
    let (mut directory, mut tokens) = (server.directory(&root), server.tokens(&root));
    let project = world.project.id;

    // Each stream is opened, one thing is taken away, and then something happens that must not be told any more.
    let open = async |token: &str| Watcher::open(server, token, from_now(project)).await.unwrap();
    let ended = async |watcher: Watcher| {
        world.record("production", S::Created).await;
        reason(Err::<(), _>(watcher.end().await))
    };

    let watcher = open(&world.reporter).await;
    let leave = pb::DeleteMembershipRequest {
        container: Some(in_project("acme/web")),
        user: Some(user_named("rita")),
        ..Default::default()
    };
    directory.delete_membership(leave).await.unwrap();
    assert_eq!(ended(watcher).await, "PROJECT_NOT_FOUND");

    let create = pb::CreateTokenRequest {
        user: Some(user_named("mona")),
        name: "short".into(),
        scopes: vec![pb::TokenScope::ReadApi.into()],
        expires_at: Some(prost_types::Timestamp {
            seconds: (begin + TimeDelta::hours(1)).timestamp(),
            nanos: 0,
        }),
        ..Default::default()
    };
    let short = tokens.create_token(create.clone()).await.unwrap().into_inner();
    let watcher = open(&short.secret).await;
    let revoke = pb::RevokeTokenRequest {
        token_id: short.token.unwrap().id,
        ..Default::default()
    };
    tokens.revoke_token(revoke).await.unwrap();
    assert_eq!(ended(watcher).await, "TOKEN_REVOKED");

    let short = tokens.create_token(create).await.unwrap().into_inner();
    let watcher = open(&short.secret).await;
    clock.advance(TimeDelta::hours(1));
    assert_eq!(ended(watcher).await, "TOKEN_EXPIRED");

    let watcher = open(&world.maintainer).await;
    let block = pb::UpdateUserRequest {
        user: Some(user_named("mona")),
        state: Some(pb::UserState::Blocked.into()),
        ..Default::default()
    };
    directory.update_user(block).await.unwrap();
    assert_eq!(ended(watcher).await, "USER_BLOCKED");

    // Who watches as another does so only as long as they may.
    let (_, chief) = server.user("chief").await;
    let admin = |admin| pb::UpdateUserRequest {
        user: Some(user_named("chief")),
        admin: Some(admin),
        ..Default::default()
    };
    directory.update_user(admin(true)).await.unwrap();
    let client = server.client_as(&chief, Some("dora"));
    let watcher = Watcher::open_by(EventServiceClient::new(client), from_now(project))
        .await
        .unwrap();
    directory.update_user(admin(false)).await.unwrap();
    assert_eq!(ended(watcher).await, "SUDO_NOT_ADMIN");

    let watcher = open(&root).await;
    let gone = pb::DeleteProjectRequest {
        project: Some(project_id(project)),
        ..Default::default()
    };
    directory.delete_project(gone).await.unwrap();
    assert_eq!(reason(Err::<(), _>(watcher.end().await)), "PROJECT_NOT_FOUND");
}

async fn when_the_server_stops_watches_and_waits_end_at_once(engine: Engine) {
    let world = World::new(engine).await;
    let made = world.record("production", S::Created).await;
    let watcher = Watcher::open(&world.server, &world.reporter, from_now(world.project.id))
        .await
        .unwrap();
    let wait = pb::WaitDeploymentRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: made.id,
        until: Some(pb::wait_deployment_request::Until::Status(S::Success.into())),
        timeout: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        fail_unless: false,
    };
    let mut calls = world.server.events(&world.reporter);
    let mut waiting = pin!(calls.wait_deployment(wait));
    assert!(waiting.as_mut().now_or_never().is_none());
    // What is asked behind it on the same connection is answered: so it has begun.
    let mut metadata = world.server.metadata(&world.reporter);
    metadata.get_metadata(pb::GetMetadataRequest {}).await.unwrap();
    world.server.shutdown().cancel();
    assert_eq!(watcher.end().await.code(), Code::Unavailable);
    let waited = within("the end of the wait", waiting).await;
    assert_eq!(waited.unwrap_err().code(), Code::Unavailable);
    drop(metadata);
    within("the end of the server", world.server.stop()).await;
}
