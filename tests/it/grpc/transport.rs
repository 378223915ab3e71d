//! What surrounds every call: health, reflection, compression, limits, deadlines, request ids, the log.

use std::{collections::BTreeSet, fs::File, time::Duration};

use gatehouse::{
    pb::{
        self as contract,
        v1::{
            self as pb, DeploymentStatus as S, deployment_service_client::DeploymentServiceClient,
            metadata_service_client::MetadataServiceClient, token_service_client::TokenServiceClient,
        },
    },
    server,
};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, codec::CompressionEncoding, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{
    As, TestServer, World,
    engine::{Engine, Obstacle, connected, on_both_engines},
    eventually,
    process::Process,
    project_id, reason,
};

on_both_engines! {
    no_secret_reaches_the_log
    every_service_is_serving_until_the_server_drains_and_says_so_first
    reflection_names_every_service_in_both_versions
    a_compressed_request_is_read_and_a_compressed_answer_given
    a_message_that_is_too_large_is_refused_and_the_next_one_served
    a_request_id_comes_back_and_a_bad_one_is_replaced
    a_call_whose_time_is_over_is_done_whole_or_not_at_all_and_a_repeat_tells
}

/// The full names of the contract's services.
fn services() -> BTreeSet<String> {
    let files = prost_types::FileDescriptorSet::decode(contract::DESCRIPTORS)
        .unwrap()
        .file;
    let ours = files.iter().filter(|file| file.package() == "gatehouse.v1");
    ours.flat_map(|file| &file.service)
        .map(|service| format!("gatehouse.v1.{}", service.name()))
        .collect()
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn every_service_is_serving_until_the_server_drains_and_says_so_first(engine: Engine) {
    let server = TestServer::start(engine).await;
    let mut health = HealthClient::new(server.channel());
    let mut watches = Vec::new();
    for service in services().into_iter().chain([String::new()]) {
        let answer = health.check(of(&service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
        let mut watch = health.watch(of(&service)).await.unwrap().into_inner();
        assert_eq!(
            watch.message().await.unwrap().unwrap().status(),
            ServingStatus::Serving
        );
        watches.push((service, watch));
    }
    assert_eq!(watches.len(), 12);
    assert_eq!(
        health.check(of("nothing")).await.unwrap_err().code(),
        Code::NotFound
    );
    server.shutdown().cancel();
    for (service, watch) in &mut watches {
        let told = watch.message().await.unwrap().unwrap();
        assert_eq!(told.status(), ServingStatus::NotServing, "{service}");
    }
    drop(watches);
    drop(health);
    let url = server.url();
    server.stop().await;
    let late = Endpoint::try_from(url).unwrap().connect().await;
    assert!(late.is_err(), "nobody listens any more");
}

macro_rules! reflected {
    ($version:ident, $server:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = ServerReflectionClient::new($server.channel());
        let answer = client
            .server_reflection_info(tokio_stream::once(request))
            .await
            .unwrap();
        let message = answer.into_inner().message().await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = message.message_response else {
            panic!("not a list: {message:?}")
        };
        list.service
            .into_iter()
            .map(|service| service.name)
            .collect::<BTreeSet<String>>()
    }};
}

async fn reflection_names_every_service_in_both_versions(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (v1, v1alpha) = (reflected!(v1, server), reflected!(v1alpha, server));
    for named in [v1, v1alpha] {
        assert!(named.is_superset(&services()), "{named:?}");
        assert!(named.contains("grpc.health.v1.Health"), "{named:?}");
    }
}

async fn a_compressed_request_is_read_and_a_compressed_answer_given(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world
        .server
        .deployments(&world.developer)
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let answer = calls
        .create_deployment(world.deployment("production", S::Created))
        .await
        .unwrap();
    assert_eq!(answer.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(answer.into_inner().deployment.unwrap().iid, 1);
    let mut calls = world.server.deployments(&world.developer);
    let plain = calls.create_deployment(world.deployment("x", S::Created)).await;
    assert!(plain.unwrap().metadata().get("grpc-encoding").is_none());
}

async fn a_message_that_is_too_large_is_refused_and_the_next_one_served(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.deployments(&world.developer);
    let huge = pb::CreateDeploymentRequest {
        r#ref: "x".repeat(5 << 20),
        ..world.deployment("production", S::Created)
    };
    assert_eq!(
        calls.create_deployment(huge.clone()).await.unwrap_err().code(),
        Code::OutOfRange
    );
    // Nor does it help to send it small.
    let mut zipping = calls.clone().send_compressed(CompressionEncoding::Gzip);
    assert_eq!(
        zipping.create_deployment(huge).await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    calls
        .create_deployment(world.deployment("production", S::Created))
        .await
        .unwrap();
}

async fn a_request_id_comes_back_and_a_bad_one_is_replaced(engine: Engine) {
    let server = TestServer::start(engine).await;
    let mut calls = MetadataServiceClient::new(server.channel());
    let mut asked = async |id: Option<&str>, token: &str| {
        let mut request = Request::new(pb::GetMetadataRequest {});
        if let Some(id) = id {
            request.metadata_mut().insert("x-request-id", id.parse().unwrap());
        }
        request
            .metadata_mut()
            .insert("private-token", token.parse().unwrap());
        let metadata = match calls.get_metadata(request).await {
            Ok(answer) => answer.metadata().clone(),
            Err(refusal) => refusal.metadata().clone(),
        };
        metadata.get("x-request-id").unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(asked(Some("my-id.7"), &server.root).await, "my-id.7");
    assert_eq!(asked(Some("my-id.7"), "nonsense").await, "my-id.7");
    let mut made = BTreeSet::new();
    for bad in [None, Some("a b"), Some(&*"x".repeat(129))] {
        let id = asked(bad, &server.root).await;
        assert_eq!(id.len(), 16, "{id}");
        assert!(made.insert(id));
    }
}

/// What the store holds of the project: deployments, environments, events, and the counters on its row.
async fn counts(server: &TestServer) -> (i64, i64, i64, i64, i64) {
    let text = "SELECT (SELECT COUNT(*) FROM deployments), (SELECT COUNT(*) FROM environments), \
         (SELECT COUNT(*) FROM events), last_iid, last_event FROM projects";
    connected!(server.place, |store| sqlx::query_as(text)
        .fetch_one(&mut store)
        .await
        .unwrap())
}

async fn a_call_whose_time_is_over_is_done_whole_or_not_at_all_and_a_repeat_tells(engine: Engine) {
    let world = World::new(engine).await;
    // Both by the caller's deadline, and by the limit of a server in a hurry.
    let hurry = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = server::Options {
        request_timeout: Duration::from_millis(50),
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
    let caller = As::holder(&world.developer);
    let mut hurried = DeploymentServiceClient::with_interceptor(channel, caller);

    let mut calls = world.server.deployments(&world.developer);
    let request = |id: &str| pb::CreateDeploymentRequest {
        request_id: id.into(),
        ..world.deployment(id, S::Created)
    };
    // The token's first use is noted before nobody can write.
    let list = pb::ListDeploymentsRequest {
        project: Some(project_id(world.project.id)),
        ..Default::default()
    };
    calls.list_deployments(list).await.unwrap();
    let obstacle = Obstacle::put(&world.server.place).await;
    let mut late = Request::new(request("late"));
    late.set_timeout(Duration::from_millis(50));
    let late = calls.create_deployment(late).await.unwrap_err();
    assert_eq!(
        (late.code(), late.message()),
        (Code::Cancelled, "Timeout expired")
    );
    let hurried_answer = hurried.create_deployment(request("hurried")).await;
    assert_eq!(
        hurried_answer.as_ref().unwrap_err().code(),
        Code::DeadlineExceeded
    );
    assert_eq!(reason(hurried_answer), "DEADLINE_EXCEEDED");
    assert_eq!(counts(&world.server).await, (0, 0, 0, 0, 0));
    obstacle.take_away().await;

    // What was begun is finished by itself; what is asked again is answered from it.
    eventually("both are recorded", async || counts(&world.server).await.0 == 2).await;
    for (id, iid) in [("late", 1), ("hurried", 2)] {
        let answer = calls.create_deployment(request(id)).await.unwrap();
        assert!(answer.metadata().contains_key("idempotent-replayed"));
        assert_eq!(answer.into_inner().deployment.unwrap().iid, iid);
    }
    assert_eq!(counts(&world.server).await, (2, 2, 4, 2, 4));
    drop(hurried);
    hurry.cancel();
    serving.await.unwrap().unwrap();
}

/// In a process of its own, by the program's own logging at its most talkative.
async fn no_secret_reaches_the_log(engine: Engine) {
    let place = engine.place().await;
    let log = place.folder.path().join("log");
    let server = Process::grpc(&place, "trace", File::create(&log).unwrap().into());
    let root = server.root.clone();
    let channel = Endpoint::try_from(server.grpc.clone()).unwrap().connect_lazy();
    let create = pb::CreateTokenRequest {
        name: "ci".into(),
        scopes: vec![pb::TokenScope::Api.into()],
        request_id: "once".into(),
        ..Default::default()
    };
    let mut holder = TokenServiceClient::with_interceptor(channel.clone(), As::holder(&root));
    let made = holder.create_token(create).await.unwrap().into_inner().secret;
    let mut stranger = TokenServiceClient::with_interceptor(channel.clone(), As::holder("gth-nonsense"));
    assert_eq!(
        reason(stranger.who_am_i(pb::WhoAmIRequest {}).await),
        "TOKEN_INVALID"
    );
    let mut bearer = Request::new(pb::WhoAmIRequest {});
    bearer
        .metadata_mut()
        .insert("authorization", format!("Bearer {made}").parse().unwrap());
    TokenServiceClient::new(channel).who_am_i(bearer).await.unwrap();
    server.kill();

    let log = std::fs::read_to_string(&log).unwrap();
    for seen in ["TokenService/CreateToken", "TokenService/WhoAmI", "TOKEN_INVALID"] {
        assert!(log.contains(seen), "{seen} is not in the log: {log}");
    }
    for secret in [root.as_str(), &made, "nonsense"] {
        let told: Vec<_> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(told.is_empty(), "{told:?}");
    }
}
