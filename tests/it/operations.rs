//! What those who operate servers see: metrics, readiness, traces, log lines, and how a server ends.

#![expect(clippy::float_cmp, reason = "what is counted are whole numbers")]

mod collector;
mod exposition;
mod turns;

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
};

use futures_util::stream;
use gatehouse::{
    first_start::ROOT_TOKEN_FILE,
    metrics::METRICS,
    pb::v1::{
        CreateDeploymentRequest, DeploymentStatus, GetMetadataRequest, WatchEventsRequest,
        deployment_service_client::DeploymentServiceClient, event_service_client::EventServiceClient,
        metadata_service_client::MetadataServiceClient,
    },
};
use serde_json::Value;
use sqlx::Connection as _;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_client::ServerReflectionClient};
use tonic_types::StatusExt as _;

use crate::support::{
    Client, dial,
    engine::{Engine, Place, connected, on_both_engines},
    eventually, first_project, hex, project_id,
    rest::{Ask, Reply, send},
    within,
};
use collector::Collector;
use exposition::Exposition;

on_both_engines! {
    what_is_asked_and_done_is_counted_and_told_to_the_letter
    a_server_is_ready_as_long_as_its_store_answers
    a_rest_request_is_one_trace_down_to_the_store
}

/// The program with a port for operations; killed when dropped.
struct Program {
    child: Child,
    /// Where each server listens, in the order in which they were told.
    told: Vec<String>,
    log: PathBuf,
    root: String,
}

impl Program {
    /// Starts a command that announces so many addresses, on the store in `place`.
    fn start(place: &Place, arguments: &[&str], announced: usize) -> Self {
        let log = place
            .folder
            .path()
            .join(format!("log-{}", arguments.first().unwrap_or(&"both")));
        let mut child = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(arguments)
            .args(["--metrics-listen", "127.0.0.1:0"])
            .env("GATEHOUSE_DATABASE_URL", place.url())
            .env("GATEHOUSE_DATA_DIR", place.folder.path())
            .env("GATEHOUSE_GRPC_LISTEN", "127.0.0.1:0")
            .env("GATEHOUSE_REST_LISTEN", "127.0.0.1:0")
            .env("GATEHOUSE_LOG_FORMAT", "json")
            .env("GATEHOUSE_DRAIN_TIMEOUT_SECONDS", "2")
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = Vec::new();
        while told.len() < announced {
            let line = lines.next().expect("it says where it listens").unwrap();
            if let Some((_, address)) = line.split_once(" on ") {
                let address = address.trim_start_matches("http://");
                told.push(address.split('/').next().unwrap().to_owned());
            }
        }
        // Whatever it says later is read and forgotten, so that it never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let root = std::fs::read_to_string(place.folder.path().join(ROOT_TOKEN_FILE)).unwrap_or_default();
        let root = root.trim().to_owned();
        Self {
            child,
            told,
            log,
            root,
        }
    }

    fn both(place: &Place, arguments: &[&str]) -> Self {
        Self::start(place, arguments, 3)
    }

    fn grpc(place: &Place) -> Self {
        Self::start(place, &["grpc"], 2)
    }

    fn grpc_url(&self) -> String {
        format!("http://{}", self.told[0])
    }

    fn client(&self) -> Client {
        dial(&self.grpc_url(), &self.root)
    }

    /// Sends to the sidecar, which is the second of three.
    async fn rest(&self, request: &Ask) -> Reply {
        send(self.told[1].parse().unwrap(), request).await
    }

    /// Where metrics are, which is told last.
    fn metrics(&self) -> SocketAddr {
        self.told.last().unwrap().parse().unwrap()
    }

    async fn ask(&self, path: &str) -> Reply {
        send(self.metrics(), &Ask::new("GET", path)).await
    }

    async fn scrape(&self) -> Exposition {
        let reply = self.ask("/metrics").await;
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        Exposition::parse(&reply.body)
    }

    async fn is_ready(&self) -> bool {
        self.ask("/readyz").await.status == 200
    }

    fn terminate(&self) {
        let kill = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    async fn end(&mut self) {
        let ended = loop {
            match self.ended() {
                Some(ended) => break ended,
                None => tokio::task::yield_now().await,
            }
        };
        assert!(ended.success(), "{ended}");
    }

    /// The lines of the log so far.
    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Of a process that has ended already there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn health(url: &str) -> ServingStatus {
    let channel = tonic::transport::Endpoint::try_from(url.to_owned())
        .unwrap()
        .connect_lazy();
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await;
    answer.map_or(ServingStatus::Unknown, |answer| answer.into_inner().status())
}

async fn what_is_asked_and_done_is_counted_and_told_to_the_letter(engine: Engine) {
    let place = engine.place().await;
    let server = Program::both(&place, &[]);
    let client = server.client();
    let project = first_project(&client).await;
    let by_root = |method: &str, target: &str| Ask::new(method, target).by(&server.root);
    let deployments = format!("projects/{project}/deployments");
    let body = format!(
        "environment=qa&sha={}&ref=main&tag=false&status=success",
        crate::support::SHA
    );
    assert_eq!(
        server
            .rest(&by_root("POST", &deployments).form(&body))
            .await
            .status,
        201
    );
    for _ in 0..3 {
        assert_eq!(server.rest(&by_root("GET", &deployments)).await.status, 200);
    }
    assert_eq!(server.rest(&by_root("GET", "projects/99")).await.status, 404);
    let mut watch = EventServiceClient::new(client.clone())
        .watch_events(WatchEventsRequest {
            projects: vec![project_id(project)],
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    watch.message().await.unwrap();

    let told = server.scrape().await;
    let service = ("service", "gatehouse.v1.DeploymentService");
    let list = [service, ("method", "ListDeployments")];
    let route = [("method", "GET"), ("route", "projects/:id/deployments")];
    for (name, labels, value) in [
        (
            "gatehouse_grpc_requests_total",
            &[service, ("method", "CreateDeployment"), ("code", "OK")][..],
            1.0,
        ),
        (
            "gatehouse_grpc_requests_total",
            &[list[0], list[1], ("code", "OK")],
            3.0,
        ),
        ("gatehouse_grpc_request_duration_seconds_count", &list, 3.0),
        (
            "gatehouse_grpc_requests_total",
            &[("method", "GetProject"), ("code", "NOT_FOUND")],
            1.0,
        ),
        (
            "gatehouse_http_requests_total",
            &[route[0], route[1], ("status", "200")],
            3.0,
        ),
        ("gatehouse_http_request_duration_seconds_count", &route, 3.0),
        (
            "gatehouse_http_requests_total",
            &[("route", "projects/:id"), ("status", "404")],
            1.0,
        ),
        // The watch.
        ("gatehouse_grpc_requests_in_flight", &[], 1.0),
        ("gatehouse_watchers", &[("kind", "watch")], 1.0),
        ("gatehouse_http_requests_in_flight", &[], 0.0),
        ("gatehouse_ready", &[], 1.0),
        (
            "gatehouse_store_transactions_total",
            &[("outcome", "unknown")],
            0.0,
        ),
        ("gatehouse_link_tasks", &[("state", "due")], 0.0),
        ("gatehouse_request_answers_expired", &[], 0.0),
        (
            "gatehouse_build_info",
            &[
                ("version", env!("CARGO_PKG_VERSION")),
                (
                    "engine",
                    match engine {
                        Engine::Sqlite => "sqlite",
                        Engine::Postgres => "postgres",
                    },
                ),
            ],
            1.0,
        ),
    ] {
        assert_eq!(told.value(name, labels), value, "{name} {labels:?}");
    }
    // Group, project, deployment, and the token's last use.
    let committed = told.value("gatehouse_store_transactions_total", &[("outcome", "committed")]);
    assert!(committed >= 3.0, "{committed}");
    assert!(told.value("gatehouse_store_reads_total", &[("outcome", "done")]) > 5.0);
    assert!(told.value("process_resident_memory_bytes", &[]) > 1e6);
    let pools = told.values_of("gatehouse_store_connections", "pool");
    match engine {
        Engine::Sqlite => assert!(pools.into_iter().eq(["reader", "writer"])),
        Engine::Postgres => assert!(pools.into_iter().eq(["shared"])),
    }
    for (name, family) in &told.0 {
        let Some(metric) = METRICS.iter().find(|metric| metric.name == name) else {
            assert!(name.starts_with("process_"), "{name} is not in the list");
            continue;
        };
        assert_eq!(
            (family.kind.as_str(), family.help.as_str()),
            (metric.kind.name(), metric.help)
        );
        for (_, labels, _) in &family.samples {
            let mut wanted = metric.labels.to_vec();
            wanted.sort_unstable();
            let found = labels.keys().filter(|label| *label != "le");
            assert!(found.eq(&wanted), "{name} has {labels:?}, not {wanted:?}");
        }
    }

    drop(watch);
    eventually("the watch is counted out", async || {
        server
            .scrape()
            .await
            .value("gatehouse_watchers", &[("kind", "watch")])
            == 0.0
    })
    .await;
    let told = server.scrape().await;
    let ended = [("method", "WatchEvents"), ("code", "CANCELLED")];
    assert_eq!(told.value("gatehouse_grpc_requests_total", &ended), 1.0);
}

#[tokio::test]
async fn callers_can_make_no_labels() {
    let place = Engine::Sqlite.place().await;
    let server = Program::both(&place, &[]);
    let client = server.client();
    for number in 0..20 {
        let path = format!("/gatehouse.v1.Made{number}/Up{number}").parse().unwrap();
        let mut grpc = tonic::client::Grpc::new(client.clone());
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<GetMetadataRequest, GetMetadataRequest>::default();
        let answer = grpc
            .unary(tonic::Request::new(GetMetadataRequest {}), path, codec)
            .await;
        assert_eq!(answer.unwrap_err().code(), tonic::Code::Unimplemented);
        for (method, target) in [
            ("GET".to_owned(), format!("made/up/{number}")),
            (format!("MADE{number}"), "projects/1".to_owned()),
            ("GET".to_owned(), format!("/made-up-{number}")),
            ("GET".to_owned(), format!("projects/made-up-{number}/deployments")),
        ] {
            server.rest(&Ask::new(&method, &target).by(&server.root)).await;
        }
    }
    let told = server.scrape().await;
    let unknown = ("service", "unknown");
    assert_eq!(
        told.value("gatehouse_grpc_requests_total", &[unknown, ("method", "unknown")]),
        20.0
    );
    for (metric, label, known) in [
        (
            "gatehouse_grpc_requests_total",
            "service",
            &["gatehouse.v1.DeploymentService", "unknown"][..],
        ),
        ("gatehouse_http_requests_total", "method", &["GET", "other"]),
        (
            "gatehouse_http_requests_total",
            "route",
            &["projects/:id/deployments", "unknown"],
        ),
        (
            "gatehouse_http_request_duration_seconds",
            "method",
            &["GET", "other"],
        ),
    ] {
        let found = told.values_of(metric, label);
        assert!(found.iter().eq(known), "{metric} {label}: {found:?}");
    }
}

async fn a_server_is_ready_as_long_as_its_store_answers(engine: Engine) {
    let place = engine.place().await;
    let server = Program::grpc(&place);
    let sidecar = Program::start(&place, &["rest", "--grpc-url", &server.grpc_url()], 2);
    let asked = |program: &Program| {
        let asked = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(["healthcheck", "--metrics-url"])
            .arg(format!("http://{}", program.metrics()))
            .output()
            .unwrap();
        asked.status.success()
    };
    eventually("both are ready", async || {
        server.is_ready().await && sidecar.is_ready().await
    })
    .await;
    assert_eq!(health(&server.grpc_url()).await, ServingStatus::Serving);
    assert_eq!(server.ask("/livez").await.told(), (200, "alive\n"));
    assert_eq!(server.ask("/readyz").await.told(), (200, "ready\n"));
    assert!(asked(&server) && asked(&sidecar));

    // To what the server asks for, this is as good as gone.
    let rename = |from: &str, to: &str| sqlx::AssertSqlSafe(format!("ALTER TABLE {from} RENAME TO {to}"));
    connected!(place, |connection| sqlx::query(rename("installation", "away"))
        .execute(&mut connection)
        .await
        .map(drop)
        .unwrap());
    eventually("neither is ready", async || {
        !server.is_ready().await && !sidecar.is_ready().await
    })
    .await;
    assert_eq!(health(&server.grpc_url()).await, ServingStatus::NotServing);
    for (program, why) in [(&server, "not ready: "), (&sidecar, "not ready: no gRPC server")] {
        let refusal = program.ask("/readyz").await;
        assert_eq!(refusal.status, 503);
        assert!(refusal.body.starts_with(why), "{refusal:?}");
        assert_eq!(refusal.body.lines().count(), 1, "{refusal:?}");
        assert_eq!(program.ask("/livez").await.status, 200);
        assert!(!asked(program));
        assert_eq!(program.scrape().await.value("gatehouse_ready", &[]), 0.0);
    }

    connected!(place, |connection| sqlx::query(rename("away", "installation"))
        .execute(&mut connection)
        .await
        .map(drop)
        .unwrap());
    eventually("both are ready again", async || {
        server.is_ready().await && sidecar.is_ready().await
    })
    .await;
    assert_eq!(health(&server.grpc_url()).await, ServingStatus::Serving);
    let told = |part: &str| {
        let lines = server.lines();
        let messages = lines.iter().filter_map(|line| line["message"].as_str());
        messages.filter(|message| message.contains(part)).count()
    };
    assert_eq!(
        (told("not serving"), told("well again")),
        (1, 1),
        "once for each change"
    );
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

async fn a_rest_request_is_one_trace_down_to_the_store(engine: Engine) {
    let place = engine.place().await;
    let collector = Collector::start().await;
    let endpoint = format!("http://{}", collector.address);
    // None begin here, but what is recorded elsewhere is recorded here too.
    let settings = ["--otlp-sampling-ratio", "0", "--otlp-service-name", "gate"];
    let arguments = [&["--otlp-endpoint", &endpoint][..], &settings].concat();
    let mut server = Program::both(&place, &arguments);
    let ask = Ask::new("GET", "user").by(&server.root);
    assert_eq!(server.rest(&ask).await.status, 200);
    let traced = ask.header("traceparent", &format!("00-{TRACE}-{CALLER}-01"));
    assert_eq!(server.rest(&traced).await.status, 200);
    server.terminate();
    within("its end", server.end()).await;

    let spans = collector.spans();
    assert!(
        spans.iter().all(|span| hex(&span.trace_id) == TRACE),
        "{spans:#?}"
    );
    let named = |name: &str| {
        let found = spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("{name} is not among {spans:#?}"))
    };
    let rest = named("GET user");
    assert_eq!(hex(&rest.parent_span_id), CALLER);
    let call = named("gatehouse.v1.TokenService/WhoAmI");
    assert_eq!(call.parent_span_id, rest.span_id);
    let read = named("read token::find_by_secret");
    assert_eq!(read.parent_span_id, call.span_id);
    assert!(collector.services().iter().all(|name| name == "gate"));
    let token = server.root.clone();
    assert!(!format!("{spans:?}").contains(&token), "a token is in a trace");
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nothing_up() {
    let place = Engine::Sqlite.place().await;
    let away = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut server = Program::both(&place, &["--otlp-endpoint", &away]);
    for _ in 0..20 {
        assert_eq!(
            server
                .rest(&Ask::new("GET", "user").by(&server.root))
                .await
                .status,
            200
        );
    }
    server.terminate();
    within("its end", server.end()).await;
    let lines = server.lines();
    let told = lines.iter().filter(|line| {
        line["message"]
            .as_str()
            .is_some_and(|message| message.starts_with("cannot send traces"))
    });
    assert_eq!(told.count(), 1, "{lines:?}");
}

#[tokio::test]
async fn every_request_has_one_line_with_its_id_its_answer_and_its_time_and_no_secret() {
    let place = Engine::Sqlite.place().await;
    let mut server = Program::both(&place, &[]);
    let ask = Ask::new("GET", "user").by(&server.root);
    let reply = server.rest(&ask.header("x-request-id", "asked-once")).await;
    assert_eq!(reply.status, 200);
    let target = format!("projects/9?private_token={}", server.root);
    assert_eq!(server.rest(&Ask::new("GET", &target)).await.status, 404);
    server.terminate();
    within("its end", server.end()).await;

    let lines = server.lines();
    let served: Vec<&Value> = lines.iter().filter(|line| line["message"] == "served").collect();
    let of = |name: &str, id: &str| {
        let mut found = served
            .iter()
            .filter(|line| line["span"]["name"] == name && line["span"]["request.id"] == id);
        let line = *found
            .next()
            .unwrap_or_else(|| panic!("no line of {name}: {lines:#?}"));
        assert_eq!(found.count(), 0, "{name} has several lines");
        assert!(line["elapsed_us"].as_u64().is_some_and(|time| time > 0), "{line}");
        line["span"].clone()
    };
    let rest = of("rest", "asked-once");
    assert_eq!(rest["http.route"], "user");
    assert_eq!(rest["http.request.method"], "GET");
    assert_eq!(rest["http.response.status_code"], 200);
    let call = of("request", "asked-once");
    assert_eq!(call["rpc.method"], "/gatehouse.v1.TokenService/WhoAmI");
    assert_eq!(call["rpc.code"], "OK");
    assert_eq!(call["caller.id"], 1);
    assert_eq!(served.len(), 4, "two requests, each with its call");
    let log = std::fs::read_to_string(&server.log).unwrap();
    assert!(!log.contains(&server.root), "a token is in the log");
}

#[tokio::test]
async fn calls_beyond_the_limit_are_refused_at_once_and_what_is_held_does_not_count() {
    let place = Engine::Sqlite.place().await;
    let server = Program::both(&place, &["--max-calls", "2"]);
    let client = server.client();
    let project = first_project(&client).await;
    let watch = WatchEventsRequest {
        projects: vec![project_id(project)],
        ..Default::default()
    };
    let mut events = EventServiceClient::new(client.clone());
    let mut watches = Vec::new();
    for _ in 0..3 {
        let mut told = events.watch_events(watch.clone()).await.unwrap().into_inner();
        told.message().await.unwrap();
        watches.push(told);
    }
    // Nobody can write as long as this holds the file.
    let options = gatehouse::store::sqlite::options(&place.file());
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let writes: Vec<_> = (0..2)
        .map(|number| {
            let mut deployments = DeploymentServiceClient::new(client.clone());
            let request = CreateDeploymentRequest {
                project: Some(project_id(project)),
                environment: format!("qa-{number}"),
                sha: crate::support::SHA.into(),
                r#ref: "main".into(),
                status: DeploymentStatus::Running.into(),
                ..Default::default()
            };
            tokio::spawn(async move { deployments.create_deployment(request).await })
        })
        .collect();
    eventually("both write, or wait to", async || {
        let calls = server.scrape().await;
        calls.value("gatehouse_grpc_requests_in_flight", &[]) == 5.0
    })
    .await;

    let refused = MetadataServiceClient::new(client.clone())
        .get_metadata(GetMetadataRequest {})
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "OVERLOADED");
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    let refused = server.rest(&Ask::new("GET", "user").by(&server.root)).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(health(&server.grpc_url()).await, ServingStatus::Serving);
    let told = events
        .watch_events(watch)
        .await
        .unwrap()
        .into_inner()
        .message()
        .await;
    assert!(told.is_ok(), "a watch is no call that counts");

    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    for write in writes {
        within("a write", write).await.unwrap().unwrap();
    }
    assert_eq!(
        server
            .rest(&Ask::new("GET", "user").by(&server.root))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_is_not_ready_and_ends_in_time_whatever_is_stuck() {
    let place = Engine::Sqlite.place().await;
    let mut server = Program::both(&place, &[]);
    eventually("it is ready", async || server.is_ready().await).await;
    // A call that never says what it wants, and a request whose body never ends.
    let mut stuck = ServerReflectionClient::new(server.client())
        .server_reflection_info(stream::pending::<ServerReflectionRequest>())
        .await
        .unwrap()
        .into_inner();
    let mut unfinished = TcpStream::connect(&server.told[1]).await.unwrap();
    let head = "POST /api/v4/projects/1/deployments HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n{";
    unfinished.write_all(head.as_bytes()).await.unwrap();
    let load: Vec<_> = (0..4)
        .map(|_| {
            let mut metadata = MetadataServiceClient::new(server.client());
            tokio::spawn(async move {
                let mut answered = 0;
                while metadata.get_metadata(GetMetadataRequest {}).await.is_ok() {
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    eventually("both are under way", async || {
        let told = server.scrape().await;
        told.value("gatehouse_http_requests_in_flight", &[]) == 1.0
            && told.value("gatehouse_grpc_requests_in_flight", &[]) >= 1.0
            && told.value("gatehouse_grpc_requests_total", &[("method", "GetMetadata")]) > 10.0
    })
    .await;

    server.terminate();
    eventually("it is not ready", async || !server.is_ready().await).await;
    assert!(server.ended().is_none(), "it was not ready before it ended");
    assert_eq!(server.ask("/readyz").await.told(), (503, "not ready: stopping\n"));
    assert_eq!(server.ask("/livez").await.status, 200);
    // Sidecar and server have two seconds each: what is stuck would hold them for ever.
    within("its end", server.end()).await;
    assert!(
        !matches!(stuck.message().await, Ok(Some(_))),
        "it was answered unasked"
    );
    for answered in load {
        assert!(answered.await.unwrap() > 0);
    }
}
