//! A database that cannot be reached, or not be used: told in a clear sentence, never with a password, and served again
//! when it is back.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use gatehouse::{
    pb::v1::{self as pb, deployment_service_client::DeploymentServiceClient},
    rest::Options,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{
    Client, dial,
    engine::{Engine, Place},
    eventually, first_project,
    postgres::{Cluster, Shape, give, ready},
    process::Process,
    project_id,
    proxy::Proxy,
    reason,
    rest::{Ask, RestServer},
};

const PASSWORD: &str = "a-password-that-is-never-shown";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// What `gatehouse COMMAND` says when it cannot begin.
fn refusal(command: &str, url: &str, folder: &Path) -> String {
    refusal_with(command, url, folder, &[])
}

/// The same with these variables set.
fn refusal_with(command: &str, url: &str, folder: &Path, variables: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
        .args([command, "--data-dir"])
        .arg(folder)
        .env("GATEHOUSE_DATABASE_URL", url)
        .env("GATEHOUSE_GRPC_LISTEN", "127.0.0.1:0")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{command} {url}: {told}");
    assert!(!told.contains(PASSWORD), "{told}");
    // Whatever was logged before, the error is one line, and the last.
    let errors = told.lines().filter(|line| line.starts_with("error: ")).count();
    let last = told.lines().last().unwrap_or_default();
    assert!(errors == 1 && last.starts_with("error: "), "{told}");
    last.to_owned()
}

/// Tells a cluster by its socket.
async fn execute(cluster: &Cluster, statements: &[&'static str]) {
    let mut connection = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    for statement in statements {
        connection.execute(*statement).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_cannot_be_used_is_told_in_one_sentence() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let port = free_port();
    let cluster = Cluster::of(&Shape {
        port,
        password: PASSWORD,
        ..Shape::default()
    });
    ready(&cluster.url("postgres")).await;
    execute(
        &cluster,
        &[
            "CREATE ROLE one_too_many LOGIN PASSWORD 'a-password-that-is-never-shown' CONNECTION LIMIT 0",
            "CREATE ROLE locked_out NOLOGIN PASSWORD 'a-password-that-is-never-shown'",
            "CREATE DATABASE closed ALLOW_CONNECTIONS false",
        ],
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let nobody = free_port();
    for (url, problem) in [
        (
            format!("postgres://gatehouse:not-{PASSWORD}@127.0.0.1:{port}/postgres"),
            "password authentication failed for user \"gatehouse\"",
        ),
        (
            format!("postgres://gatehouse:{PASSWORD}@127.0.0.1:{port}/nowhere"),
            "database \"nowhere\" does not exist",
        ),
        (
            format!("postgres://gatehouse:{PASSWORD}@127.0.0.1:{nobody}/postgres"),
            "Connection refused",
        ),
        (
            format!("postgres://gatehouse:{PASSWORD}@nowhere.invalid/postgres"),
            "failed to lookup address",
        ),
        (
            format!("postgres://gatehouse:{PASSWORD}@127.0.0.1:{port}/postgres?sslmode=require"),
            "server does not support TLS",
        ),
        (
            format!("postgres://one_too_many:{PASSWORD}@127.0.0.1:{port}/postgres"),
            "too many connections for role \"one_too_many\"",
        ),
        (
            format!("postgres://locked_out:{PASSWORD}@127.0.0.1:{port}/postgres"),
            "role \"locked_out\" is not permitted to log in",
        ),
        (
            format!("postgres://gatehouse:{PASSWORD}@127.0.0.1:{port}/closed"),
            "database \"closed\" is not currently accepting connections",
        ),
    ] {
        for command in ["migrate", "grpc"] {
            let told = refusal(command, &url, folder.path());
            assert!(
                told.contains("cannot connect to the database") && told.contains(problem),
                "{told}"
            );
        }
    }
    // It can be reached, but nobody has migrated it.
    let url = format!("postgres://gatehouse:{PASSWORD}@127.0.0.1:{port}/postgres");
    let told = refusal("grpc", &url, folder.path());
    assert!(
        told.contains("the database is empty: run `gatehouse migrate` first"),
        "{told}"
    );
    // A pooler would let migrations into each other's way.
    let variables = [("GATEHOUSE_DATABASE_POOLER", "transaction")];
    let told = refusal_with("migrate", &url, folder.path(), &variables);
    assert!(told.starts_with("error: --database-pooler: "), "{told}");
    // Nothing can be written to it.
    execute(
        &cluster,
        &["ALTER DATABASE postgres SET default_transaction_read_only = on"],
    )
    .await;
    let told = refusal("migrate", &url, folder.path());
    assert!(
        told.contains("the schema could not be brought up to date") && told.contains("read-only transaction"),
        "{told}"
    );
}

/// A certificate authority, and a certificate of it for `localhost` with its key.
fn authority() -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    (authority.pem(), certificate.pem(), key.serialize_pem())
}

#[test]
fn a_database_is_known_by_its_certificate() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let (authority_pem, certificate, key) = authority();
    let port = free_port();
    let cluster = Cluster::of(&Shape {
        port,
        password: PASSWORD,
        tls: Some((certificate, key)),
        ..Shape::default()
    });
    cluster.ready();
    let folder = tempfile::tempdir().unwrap();
    let pem = |name: &str, content: &str| {
        let file = folder.path().join(name);
        fs::write(&file, content).unwrap();
        file.to_str().unwrap().replace('/', "%2F")
    };
    let right = pem("right.pem", &authority_pem);
    let wrong = pem("wrong.pem", &authority().0);
    let url = |host: &str, mode: &str, authority: &str| {
        format!(
            "postgres://gatehouse:{PASSWORD}@{host}:{port}/postgres?sslmode={mode}&sslrootcert={authority}"
        )
    };
    let place = Place::at(url("localhost", "verify-full", &right));
    let migrated = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
        .args(["migrate", "--database-url", &place.url()])
        .output()
        .unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    drop(Process::grpc(&place, "error", Stdio::inherit()));
    for (host, mode, authority) in [
        ("localhost", "verify-full", &wrong),
        ("127.0.0.1", "verify-full", &right),
        ("localhost", "verify-ca", &wrong),
    ] {
        let told = refusal("migrate", &url(host, mode, authority), folder.path());
        assert!(
            told.contains("cannot connect to the database") && told.contains("certificate"),
            "{host} {mode}: {told}"
        );
    }
}

/// A server on a database behind a proxy, in a hurry to notice what is wrong with it.
struct Served {
    /// The database lives as long, and the folder with the log.
    place: Place,
    server: Process,
    client: Client,
    project: i64,
}

const HURRY: [(&str, &str); 4] = [
    ("GATEHOUSE_DATABASE_STATEMENT_TIMEOUT_SECONDS", "1"),
    ("GATEHOUSE_DATABASE_LOCK_TIMEOUT_SECONDS", "1"),
    ("GATEHOUSE_DATABASE_ACQUIRE_TIMEOUT_SECONDS", "1"),
    ("GATEHOUSE_DATABASE_MAX_CONNECTIONS", "2"),
];

impl Served {
    async fn on(place: Place) -> Self {
        let folder = place.folder.path();
        let log = fs::File::create(folder.join("log")).unwrap();
        let server = Process::grpc_in(folder, &place, &HURRY, "debug", log.into());
        let client = dial(&server.grpc, &server.root);
        let project = first_project(&client).await;
        Self {
            place,
            server,
            client,
            project,
        }
    }

    async fn record(&self, name: &str) -> Result<pb::Deployment, Status> {
        let request = pb::CreateDeploymentRequest {
            project: Some(project_id(self.project)),
            environment: "production".into(),
            sha: format!("{:040x}", 1),
            r#ref: name.into(),
            status: pb::DeploymentStatus::Created.into(),
            request_id: name.into(),
            ..Default::default()
        };
        let mut calls = DeploymentServiceClient::new(self.client.clone());
        let answer = calls.create_deployment(request).await?;
        Ok(answer.into_inner().deployment.unwrap())
    }

    /// All that it has logged.
    fn log(&self) -> String {
        fs::read_to_string(self.place.folder.path().join("log")).unwrap()
    }

    async fn serves(&self) -> bool {
        let channel = tonic::transport::Endpoint::try_from(self.server.grpc.clone())
            .unwrap()
            .connect_lazy();
        let request = HealthCheckRequest {
            service: String::new(),
        };
        let answer = HealthClient::new(channel).check(request).await.unwrap();
        answer.into_inner().status() == ServingStatus::Serving
    }
}

#[track_caller]
fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, Status>) {
    assert_eq!(
        answer.as_ref().unwrap_err().code(),
        Code::Unavailable,
        "{answer:?}"
    );
    let reason = reason(answer);
    assert!(
        ["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"].contains(&&*reason),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_goes_and_comes_is_told_by_health_and_needs_no_restart() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let port = free_port();
    let mut cluster = Cluster::start(port, true);
    ready(&cluster.url("postgres")).await;
    let proxy = Proxy::before(([127, 0, 0, 1], port).into()).await;
    let place = Place::at(format!("postgres://gatehouse@{}/postgres", proxy.address));
    gatehouse::store::migrate(&place.location()).await.unwrap();
    let served = Served::on(place).await;
    served.record("before").await.unwrap();
    eventually("it serves", || served.serves()).await;

    // Its server is down.
    cluster.crash();
    eventually("it does not serve", async || !served.serves().await).await;
    assert_unavailable(served.record("down").await);
    cluster.start_again();
    eventually("it serves again", || served.serves()).await;
    served.record("down").await.unwrap();

    // The network is silent: connections that nobody closes.
    proxy.freeze();
    eventually("it does not serve", async || !served.serves().await).await;
    proxy.open();
    eventually("it serves again", || served.serves()).await;
    served.record("after").await.unwrap();
    assert_eq!(served.record("before").await.unwrap().iid, 1, "a repeat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_holds_locks_or_connections_holds_nobody_up_for_ever() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let place = Engine::Postgres.place().await;
    let url = place.url();
    let served = Served::on(place).await;
    served.record("first").await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    for (name, lock) in [
        ("row", "SELECT id FROM projects FOR UPDATE"),
        ("table", "LOCK TABLE deployments"),
    ] {
        other.execute("BEGIN").await.unwrap();
        other.execute(lock).await.unwrap();
        // More than there are connections: they wait for those, and those for the lock.
        let answers = futures_util::future::join_all((0..6).map(|_| served.record(name))).await;
        for answer in answers {
            assert_unavailable(answer);
        }
        other.execute("ROLLBACK").await.unwrap();
        eventually("it is recorded when the lock is gone", async || {
            served.record(name).await.is_ok()
        })
        .await;
    }
    // Terminated from outside: what broke before the commit is done again, and nobody notices.
    for number in 0..5 {
        let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'gatehouse' AND datname = current_database()";
        other.execute(ended).await.unwrap();
        served.record(&format!("after-{number}")).await.unwrap();
    }
    assert_eq!(served.record("after-4").await.unwrap().iid, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_turns_out_to_be_newer_or_half_imported_is_no_longer_served() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let place = Engine::Postgres.place().await;
    let url = place.url();
    let served = Served::on(place).await;
    eventually("it serves", || served.serves()).await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    other
        .execute("UPDATE installation SET compatible_from = 9000")
        .await
        .unwrap();
    eventually("it does not serve", async || !served.serves().await).await;
    other
        .execute("UPDATE installation SET compatible_from = 4")
        .await
        .unwrap();
    eventually("it serves again", || served.serves()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_lets_a_running_server_no_longer_in_is_told_until_it_does_again() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let port = free_port();
    let mut cluster = Cluster::of(&Shape {
        port,
        durable: true,
        password: PASSWORD,
        ..Shape::default()
    });
    ready(&cluster.url("postgres")).await;
    execute(
        &cluster,
        &[
            // Who may do everything is let in by most limits.
            "CREATE ROLE ledger LOGIN PASSWORD 'a-password-that-is-never-shown'",
            "CREATE DATABASE ledger OWNER ledger",
        ],
    )
    .await;
    let place = Place::at(format!("postgres://ledger:{PASSWORD}@127.0.0.1:{port}/ledger"));
    gatehouse::store::migrate(&place.location()).await.unwrap();
    let served = Served::on(place).await;
    let sidecar = RestServer::start(Options {
        grpc_urls: vec![served.server.grpc.clone()],
        ..Options::default()
    })
    .await;
    let list = Ask::new("GET", &format!("projects/{}/deployments", served.project)).by(&served.server.root);
    served.record("before").await.unwrap();
    assert_eq!(sidecar.send(&list).await.status, 200);

    for (trouble, begins, ends) in [
        (
            "another-password",
            "ALTER ROLE ledger PASSWORD 'changed'",
            "ALTER ROLE ledger PASSWORD 'a-password-that-is-never-shown'",
        ),
        (
            "too-many-connections",
            "ALTER ROLE ledger CONNECTION LIMIT 0",
            "ALTER ROLE ledger CONNECTION LIMIT -1",
        ),
        (
            "locked-role",
            "ALTER ROLE ledger NOLOGIN",
            "ALTER ROLE ledger LOGIN",
        ),
        (
            "closed-database",
            "ALTER DATABASE ledger ALLOW_CONNECTIONS false",
            "ALTER DATABASE ledger ALLOW_CONNECTIONS true",
        ),
    ] {
        let thrown_out = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ledger'";
        execute(&cluster, &[begins]).await;
        eventually(trouble, async || {
            // Again, for who was just being let in the first time.
            execute(&cluster, &[thrown_out]).await;
            !served.serves().await
        })
        .await;
        assert_unavailable(served.record(trouble).await);
        assert_eq!(sidecar.send(&list).await.status, 503, "{trouble}");
        execute(&cluster, &[ends]).await;
        eventually("it serves again", || served.serves()).await;
        served.record(trouble).await.unwrap();
        assert_eq!(sidecar.send(&list).await.status, 200, "{trouble}");
    }

    // A standby took the place of its primary: it can be read, and nothing can be written.
    let standby = cluster.data().join("standby.signal");
    cluster.crash();
    fs::write(&standby, "").unwrap();
    give(&standby);
    cluster.start_again();
    eventually("it is read", async || sidecar.send(&list).await.status == 200).await;
    assert_unavailable(served.record("standby").await);
    let post = Ask::new("POST", &format!("projects/{}/environments", served.project))
        .by(&served.server.root)
        .form("name=qa");
    assert_eq!(sidecar.send(&post).await.status, 503);
    let told = refusal("grpc", &served.place.url(), tempfile::tempdir().unwrap().path());
    assert!(told.contains("recovery"), "{told}");
    cluster.run("pg_ctl", &["promote", "-D", cluster.data().to_str().unwrap()]);
    eventually("it is written again", async || {
        served.record("standby").await.is_ok()
    })
    .await;
    assert_eq!(
        served.record("before").await.unwrap().iid,
        1,
        "nothing was lost, and it was never restarted"
    );
    let log = served.log();
    assert!(!log.is_empty() && !log.contains(PASSWORD), "{log}");
}
