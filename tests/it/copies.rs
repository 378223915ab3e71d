//! Reads from a copy of the store: only for who asks for it, and never older than what they wrote.
//!
//! The copy is one that was made by hand and tampered with, so that it shows which of the two was read.

use std::{path::Path, sync::Arc};

use gatehouse::{
    app::App,
    clock::SystemClock,
    pb::v1 as pb,
    repository::Repositories,
    server,
    store::{self, Location},
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{Request, metadata::MetadataValue};

use crate::support::{
    SHA, TestServer, World, dial, engine::Engine, project_id, reason, rest::Ask, rest::RestServer,
};

/// A server that reads the store of a world, and a copy of it if it may.
struct WithCopy {
    url: String,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl WithCopy {
    async fn start(world: &World, copy: &Path) -> Self {
        let open = async |file: &Path| {
            store::open(&Location::Sqlite(file.to_owned()))
                .await
                .unwrap()
                .store
        };
        let app = App::new(
            open(&world.server.place.file()).await,
            Arc::new(SystemClock),
            Repositories::none(),
        )
        .with_replica(Some(open(copy).await));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let serving = server::serve(listener, app, server::Options::default(), shutdown.clone());
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self { url, shutdown, task }
    }

    /// The refs of the deployments that a list answers.
    async fn refs(&self, world: &World, consistency: Option<&str>) -> Result<Vec<String>, tonic::Status> {
        let client = dial(&self.url, &world.developer);
        let mut request = Request::new(pb::ListDeploymentsRequest {
            project: Some(project_id(world.project.id)),
            ..Default::default()
        });
        if let Some(consistency) = consistency {
            let value = MetadataValue::try_from(consistency).unwrap();
            request.metadata_mut().insert("gatehouse-consistency", value);
        }
        let answer = pb::deployment_service_client::DeploymentServiceClient::new(client)
            .list_deployments(request)
            .await?;
        let deployments = answer.into_inner().deployments;
        Ok(deployments
            .into_iter()
            .map(|deployment| deployment.r#ref)
            .collect())
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

/// Copies a store as it is now, and marks every deployment of the copy.
async fn copy_and_mark(server: &TestServer, to: &Path) {
    let from = SqliteConnectOptions::new().filename(server.place.file());
    let mut store = SqliteConnection::connect_with(&from).await.unwrap();
    sqlx::query("VACUUM INTO $1")
        .bind(to.to_str().unwrap())
        .execute(&mut store)
        .await
        .unwrap();
    let mut copy = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(to))
        .await
        .unwrap();
    sqlx::query("UPDATE deployments SET ref = 'copied'")
        .execute(&mut copy)
        .await
        .unwrap();
    copy.close().await.unwrap();
}

#[tokio::test]
async fn a_copy_is_read_by_who_asks_for_it_as_long_as_it_has_what_the_store_has() {
    let world = World::new(Engine::Sqlite).await;
    world.record("production", pb::DeploymentStatus::Success).await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    copy_and_mark(&world.server, &copy).await;
    let server = WithCopy::start(&world, &copy).await;

    for current in [None, Some("strong")] {
        assert_eq!(
            server.refs(&world, current).await.unwrap(),
            ["main"],
            "{current:?}"
        );
    }
    assert_eq!(server.refs(&world, Some("eventual")).await.unwrap(), ["copied"]);
    assert_eq!(
        reason(server.refs(&world, Some("sometimes")).await),
        "INVALID_ARGUMENT"
    );

    // The same over REST.
    let sidecar = RestServer::start(gatehouse::rest::Options {
        grpc_urls: vec![server.url.clone()],
        ..Default::default()
    })
    .await;
    let list = format!("projects/{}/deployments", world.project.id);
    for (consistency, expected) in [("strong", "main"), ("eventual", "copied")] {
        let ask = Ask::new("GET", &list)
            .by(&world.developer)
            .header("gatehouse-consistency", consistency);
        let reply = sidecar.send(&ask).await;
        assert_eq!(reply.json()[0]["ref"], expected);
    }

    // A write by another server: the copy has not seen it yet, so it is not read.
    world.record("staging", pb::DeploymentStatus::Success).await;
    assert_eq!(
        server.refs(&world, Some("eventual")).await.unwrap(),
        ["main", "main"]
    );

    // Another project is as new in the copy as it was.
    let other = world.server.project("acme/api", pb::Visibility::Private).await;
    assert_ne!(other.id, world.project.id);
    assert_eq!(
        server.refs(&world, Some("eventual")).await.unwrap(),
        ["main", "main"],
        "the directory has moved on too"
    );

    sidecar.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_copy_that_cannot_be_read_is_not_needed() {
    let world = World::new(Engine::Sqlite).await;
    let recorded = world.record("production", pb::DeploymentStatus::Success).await;
    assert_eq!(recorded.sha, SHA);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    copy_and_mark(&world.server, &copy).await;
    let server = WithCopy::start(&world, &copy).await;
    let mut broken = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&copy))
        .await
        .unwrap();
    sqlx::query("DROP TABLE directory")
        .execute(&mut broken)
        .await
        .unwrap();
    assert_eq!(server.refs(&world, Some("eventual")).await.unwrap(), ["main"]);
    server.stop().await;
}
