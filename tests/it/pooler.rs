//! Behind PgBouncer in transaction mode, which gives every transaction whichever connection is free.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use gatehouse::pb::v1::{
    self as pb, deployment_service_client::DeploymentServiceClient, event_service_client::EventServiceClient,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::{
    dial,
    engine::{Engine, Place},
    eventually, first_project,
    postgres::{Database, as_nobody, give},
    process::Process,
    project_id, within,
};

const WRITES: usize = 60;
const WRITERS: usize = 8;

/// The program, if it is here. It has to be in CI.
fn program() -> Option<PathBuf> {
    let found = [
        "/usr/sbin/pgbouncer",
        "/usr/bin/pgbouncer",
        "/usr/local/bin/pgbouncer",
    ]
    .map(PathBuf::from)
    .into_iter()
    .find(|program| program.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "PgBouncer has to be tested with in CI"
        );
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"SKIPPED: the test behind PgBouncer, which is not here\n",
        );
    }
    found
}

/// A pooler with a few connections to the tests' PostgreSQL.
struct Pooler {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Pooler {
    fn start(program: &Path, database: &Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let (host, server_port) = database.place();
        let settings = format!(
            "[databases]\n* = host={host} port={server_port} user=gatehouse\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 200\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        give(folder.path());
        give(&file);
        let child = as_nobody(program)
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            port,
            _folder: folder,
        }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_behind_a_transaction_pooler_write_read_and_wake_each_others_watchers() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let Some(program) = program() else { return };
    let database = Database::create().await;
    let pooler = Pooler::start(&program, &database);
    let url = format!(
        "postgres://gatehouse@127.0.0.1:{}/{}",
        pooler.port,
        database.name()
    );
    eventually("the pooler listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", pooler.port))
            .await
            .is_ok()
    })
    .await;
    let place = Place::at(url);
    let variables = [("GATEHOUSE_DATABASE_POOLER", "transaction")];
    let folder = place.folder.path();
    let start = || Process::grpc_in(folder, &place, &variables, "error", Stdio::inherit());
    let (one, other) = (start(), start());
    let client = dial(&one.grpc, &one.root);
    let project = first_project(&client).await;

    let watch = pb::WatchEventsRequest {
        projects: vec![project_id(project)],
        ..Default::default()
    };
    let mut watcher = EventServiceClient::new(dial(&other.grpc, &one.root));
    let mut told = watcher.watch_events(watch).await.unwrap().into_inner();
    let first = within("the first message", told.message())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.event, None);

    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let server = [&one, &other][writer % 2];
        let client = dial(&server.grpc, &one.root);
        writers.spawn(async move {
            for number in (writer..WRITES).step_by(WRITERS) {
                let request = pb::CreateDeploymentRequest {
                    project: Some(project_id(project)),
                    environment: "production".into(),
                    sha: format!("{number:040x}"),
                    r#ref: format!("write-{number}"),
                    status: pb::DeploymentStatus::Created.into(),
                    request_id: format!("write-{number}"),
                    ..Default::default()
                };
                let mut calls = DeploymentServiceClient::new(client.clone());
                calls.create_deployment(request.clone()).await.unwrap();
                // A repeat, which is answered from the table.
                calls.create_deployment(request).await.unwrap();
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    let list = pb::ListDeploymentsRequest {
        project: Some(project_id(project)),
        page_size: 100,
        ..Default::default()
    };
    let listed = DeploymentServiceClient::new(client)
        .list_deployments(list)
        .await
        .unwrap();
    assert_eq!(listed.into_inner().deployments.len(), WRITES);

    // The environment is an event too.
    let mut seen = Vec::new();
    while seen.len() <= WRITES {
        let message = within("an event", told.message()).await.unwrap().unwrap();
        seen.extend(message.event.map(|event| event.seq));
    }
    let all: Vec<i64> = (1..=i64::try_from(WRITES + 1).unwrap()).collect();
    assert_eq!(seen, all);
}
