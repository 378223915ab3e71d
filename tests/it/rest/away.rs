//! The server is away, slow, or comes back: 503 and never 502 or 504 (client traps 13, 14 and 22).

use std::{sync::Arc, time::Duration};

use gatehouse::{
    clock::SystemClock,
    first_start::{ROOT_TOKEN_FILE, RootToken},
    repository::Repositories,
    rest::Options,
    server,
    store::Location,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::{
    World,
    engine::Engine,
    eventually,
    proxy::Proxy,
    rest::{Ask, Reply, RestServer},
};

#[track_caller]
fn assert_unavailable(reply: &Reply) {
    assert_eq!(reply.told(), (503, r#"{"message":"503 Service Unavailable"}"#));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(
        reply.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1,
        "whole seconds"
    );
}

#[tokio::test]
async fn a_server_that_is_away_is_told_and_served_again_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("gatehouse.db"));
    let open = async || {
        server::open_app(
            &location,
            &RootToken::MadeIn(folder.path().to_owned()),
            Arc::new(SystemClock),
            Repositories::none(),
        )
        .await
        .unwrap()
        .0
    };
    // Written at the first start.
    open().await.store().close().await;
    let root = std::fs::read_to_string(folder.path().join(ROOT_TOKEN_FILE)).unwrap();
    // On an address of its own: nobody else takes the port while the server is away.
    let listener = TcpListener::bind("127.0.0.77:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sidecar = RestServer::start(Options {
        grpc_urls: vec![format!("http://{address}")],
        ..Options::default()
    })
    .await;
    let read = Ask::new("GET", "version").by(root.trim());
    let write = Ask::new("POST", "projects/1/environments")
        .by(root.trim())
        .form("name=qa");
    for _ in 0..2 {
        assert_unavailable(&sidecar.send(&read).await);
        assert_unavailable(&sidecar.send(&write).await);
        assert_eq!(
            sidecar.send(&Ask::new("GET", "version")).await.status,
            401,
            "what it knows itself it tells"
        );

        let shutdown = CancellationToken::new();
        let listener = TcpListener::bind(address).await.unwrap();
        let serving = tokio::spawn(server::serve(
            listener,
            open().await,
            server::Options::default(),
            shutdown.clone(),
        ));
        for _ in 0..4 {
            assert_eq!(sidecar.send(&read).await.status, 200);
        }
        assert_eq!(
            sidecar.send(&write).await.told(),
            (404, r#"{"message":"404 Project Not Found"}"#)
        );
        shutdown.cancel();
        serving.await.unwrap().unwrap();
    }
    assert_unavailable(&sidecar.send(&read).await);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_on() {
    // Connections to it are made, as the kernel takes them, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sidecar = RestServer::start(Options {
        grpc_urls: vec![format!("http://{}", silent.local_addr().unwrap())],
        timeout: Duration::from_millis(200),
        ..Options::default()
    })
    .await;
    assert_unavailable(&sidecar.send(&Ask::new("GET", "version").by("glpat-x")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_servers_those_that_are_away_are_passed_over_and_taken_in_again() {
    let world = World::new(Engine::Sqlite).await;
    let target = world.server.url();
    let behind = target.strip_prefix("http://").unwrap().parse().unwrap();
    // Two ways to one server, of which each can break; and one that leads nowhere.
    let (one, other) = (Proxy::before(behind).await, Proxy::before(behind).await);
    let nobody = TcpListener::bind("127.0.0.78:0").await.unwrap();
    let nowhere = nobody.local_addr().unwrap();
    drop(nobody);
    let sidecar = RestServer::start(Options {
        grpc_urls: [nowhere, one.address, other.address]
            .map(|address| format!("http://{address}"))
            .into(),
        ..Options::default()
    })
    .await;
    let read = Ask::new("GET", "version").by(&world.developer);
    let steady = async || {
        for _ in 0..10 {
            if sidecar.send(&read).await.status != 200 {
                return false;
            }
        }
        true
    };
    eventually("who leads nowhere is passed over", steady).await;
    one.cut();
    eventually("who broke is passed over", steady).await;
    assert!(steady().await, "and stays so");
    one.open();
    other.cut();
    eventually("who is back is taken in again", steady).await;
    one.cut();
    eventually("nobody is left", async || sidecar.send(&read).await.status == 503).await;
    other.open();
    eventually("one is enough", steady).await;
}
