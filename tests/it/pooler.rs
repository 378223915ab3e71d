//! Behind PgBouncer in transaction mode, which gives every transaction whichever connection is free.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use gatehouse::pb::v1::{
    self as pb, AccessLevel, ApprovalStatus, DeploymentStatus as S, WaitOutcome,
    approval_service_client::ApprovalServiceClient, deployment_service_client::DeploymentServiceClient,
    directory_service_client::DirectoryServiceClient, event_service_client::EventServiceClient,
    protected_environment_service_client::ProtectedEnvironmentServiceClient,
    token_service_client::TokenServiceClient, wait_deployment_request::Until,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    moving::stock,
    support::{
        Client, dial,
        engine::{Engine, Place},
        eventually, first_project, in_project,
        postgres::{Database, as_nobody, give},
        process::Process,
        project_id, user_named, within,
    },
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
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 200\n"
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

    /// A place for a store behind it, when it listens.
    async fn place(&self, database: &Database) -> Place {
        eventually("the pooler listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", self.port))
                .await
                .is_ok()
        })
        .await;
        Place::at(format!(
            "postgres://gatehouse@127.0.0.1:{}/{}",
            self.port,
            database.name()
        ))
    }
}

const VARIABLES: [(&str, &str); 1] = [("GATEHOUSE_DATABASE_POOLER", "transaction")];

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
    let place = pooler.place(&database).await;
    let folder = place.folder.path();
    let start = || Process::grpc_in(folder, &place, &VARIABLES, "error", Stdio::inherit());
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

/// Makes somebody who may approve in `acme/web`, and a gate that asks for one approval; answers the token.
async fn gated(root: &Client) -> String {
    let mut directory = DirectoryServiceClient::new(root.clone());
    let user = pb::CreateUserRequest {
        username: "anna".into(),
        name: "Anna".into(),
        ..Default::default()
    };
    directory.create_user(user).await.unwrap();
    let member = pb::CreateMembershipRequest {
        container: Some(in_project("acme/web")),
        user: Some(user_named("anna")),
        access_level: AccessLevel::Developer.into(),
        ..Default::default()
    };
    directory.create_membership(member).await.unwrap();
    let entry = pb::ProtectionEntry {
        access_level: Some(30),
        required_approvals: Some(1),
        ..Default::default()
    };
    let protect = pb::ProtectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "production".into(),
        deploy_access_levels: vec![entry],
        approval_rules: vec![entry],
        ..Default::default()
    };
    ProtectedEnvironmentServiceClient::new(root.clone())
        .protect_environment(protect)
        .await
        .unwrap();
    let token = pb::CreateTokenRequest {
        user: Some(user_named("anna")),
        name: "test".into(),
        scopes: vec![pb::TokenScope::Api.into()],
        ..Default::default()
    };
    let made = TokenServiceClient::new(root.clone()).create_token(token).await;
    made.unwrap().into_inner().secret
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gate_behind_a_transaction_pooler_opens_for_who_waits_by_another_server() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let Some(program) = program() else { return };
    let database = Database::create_empty().await;
    let pooler = Pooler::start(&program, &database);
    let place = pooler.place(&database).await;
    let migrate = |url: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
        command.arg("migrate").env("GATEHOUSE_DATABASE_URL", url);
        command
    };
    let refused = migrate(&place.url()).envs(VARIABLES).output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && told.contains("--database-pooler"),
        "{told}"
    );
    assert!(migrate(&database.url).status().unwrap().success(), "directly");

    let folder = place.folder.path();
    let start = || Process::grpc_in(folder, &place, &VARIABLES, "error", Stdio::inherit());
    let (one, other) = (start(), start());
    let client = dial(&one.grpc, &one.root);
    let project = first_project(&client).await;
    let anna = gated(&client).await;
    let mut deployments = DeploymentServiceClient::new(client);
    // More at once than the pooler has connections.
    let (mut waiting, mut held) = (JoinSet::new(), Vec::new());
    for number in 0..5_usize {
        let request = pb::CreateDeploymentRequest {
            project: Some(project_id(project)),
            environment: "production".into(),
            sha: format!("{number:040x}"),
            r#ref: "main".into(),
            status: S::Running.into(),
            ..Default::default()
        };
        let made = deployments.create_deployment(request).await.unwrap().into_inner();
        let made = made.deployment.unwrap();
        assert_eq!(made.status(), S::Blocked);
        let wait = pb::WaitDeploymentRequest {
            project: Some(project_id(project)),
            deployment_id: made.id,
            until: Some(Until::Condition(pb::WaitCondition::Approved.into())),
            timeout: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            ..Default::default()
        };
        let mut events = EventServiceClient::new(dial(&other.grpc, &one.root));
        waiting.spawn(async move { events.wait_deployment(wait).await.unwrap().into_inner() });
        held.push(made.id);
    }
    let mut approvals = ApprovalServiceClient::new(dial(&one.grpc, &anna));
    for deployment_id in held {
        let approve = pb::SubmitApprovalRequest {
            project: Some(project_id(project)),
            deployment_id,
            status: ApprovalStatus::Approved.into(),
            ..Default::default()
        };
        approvals.submit_approval(approve).await.unwrap();
    }
    while let Some(ended) = within("the gate", waiting.join_next()).await {
        let ended = ended.unwrap();
        assert_eq!(ended.outcome(), WaitOutcome::Met);
        let run = pb::UpdateDeploymentStatusRequest {
            project: Some(project_id(project)),
            deployment_id: ended.deployment.unwrap().id,
            status: S::Running.into(),
            ..Default::default()
        };
        let running = deployments.update_deployment_status(run).await.unwrap();
        assert_eq!(running.into_inner().deployment.unwrap().status(), S::Running);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_export_goes_through_a_transaction_pooler_and_an_import_past_it() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let Some(program) = program() else { return };
    let world = stock::something_of_everything(Engine::Sqlite).await;
    let database = Database::create().await;
    let pooler = Pooler::start(&program, &database);
    let place = pooler.place(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let run = |url: &str, variables: &[(&str, &str)], command: &str, file: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .arg(command)
            .arg(folder.path().join(file))
            .env("GATEHOUSE_DATABASE_URL", url)
            .env("GATEHOUSE_DATA_DIR", folder.path())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        output.status.success().then_some(()).ok_or(told)
    };
    run(&world.server.place.url(), &[], "export", "before").unwrap();
    let refused = run(&place.url(), &VARIABLES, "import", "before").unwrap_err();
    assert!(refused.contains("--database-pooler"), "{refused}");
    run(&database.url, &[], "import", "before").unwrap();
    run(&place.url(), &VARIABLES, "export", "after").unwrap();
    let lines = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(folder.path().join(file)).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let (before, after) = (lines("before"), lines("after"));
    let content = 1..before.len() - 1;
    assert!(content.len() > 50);
    assert_eq!(before[content.clone()], after[content]);
}
