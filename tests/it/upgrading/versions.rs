//! Which schemas the program serves, which it makes of which, and what it says of the others.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use gatehouse::{
    pb::v1::{self as pb, DeploymentStatus as S, deployment_service_client::DeploymentServiceClient},
    store::{self, postgres::MIGRATIONS as POSTGRES, sqlite::MIGRATIONS as SQLITE},
};
use sqlx::{
    SqlStr,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::support::{
    Client, SHA, dial,
    engine::{Engine, Place, connected, on_both_engines},
    eventually, first_project,
    process::Process,
    project_id,
};

on_both_engines! {
    a_schema_is_made_once_and_left_alone_when_it_is_there
    every_older_schema_is_brought_up_to_date
    a_schema_that_cannot_be_served_is_refused_in_plain_words
    a_newer_schema_that_says_so_is_served
}

/// The schema of this version.
fn latest() -> i64 {
    let versions = SQLITE.iter().map(|migration| migration.version);
    versions.max().unwrap()
}

/// Runs statements in a place, past the store.
async fn execute(place: &Place, statements: &[&'static str]) {
    connected!(place, |connection| for statement in statements {
        sqlx::query(*statement).execute(&mut connection).await.unwrap();
    });
}

async fn number(place: &Place, select: &'static str) -> i64 {
    connected!(place, |connection| {
        let (number,): (i64,) = sqlx::query_as(select).fetch_one(&mut connection).await.unwrap();
        number
    })
}

/// Which migrations were run, and when.
async fn history(place: &Place) -> Vec<(i64, String)> {
    connected!(place, |connection| {
        sqlx::query_as(
            "SELECT version, CAST(installed_on AS TEXT) FROM _sqlx_migrations WHERE success ORDER BY version",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap()
    })
}

fn command(folder: &Path, place: &Place, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
    command
        .args(arguments)
        .args(["--log-level", "warn", "--data-dir"])
        .arg(folder)
        .env("GATEHOUSE_DATABASE_URL", place.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn migrate(place: &Place) -> Output {
    command(place.folder.path(), place, &["migrate"])
        .output()
        .unwrap()
}

/// `gatehouse grpc`, which ends without serving.
fn refused(place: &Place) -> (Option<i32>, String) {
    let serve = ["grpc", "--grpc-listen", "127.0.0.1:0"];
    let mut child = command(place.folder.path(), place, &serve).spawn().unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    if output.read_line(&mut said).unwrap() > 0 {
        // It would go on for ever.
        child.kill().unwrap();
    }
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(said, "", "it serves; {told}");
    (child.wait().unwrap().code(), told)
}

async fn a_schema_is_made_once_and_left_alone_when_it_is_there(engine: Engine) {
    let place = engine.bare_place().await;
    let output = migrate(&place);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"the database is up to date\n");
    let made = history(&place).await;
    assert_eq!(made.len(), SQLITE.iter().count());

    let output = migrate(&place);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"the database is up to date\n");
    assert_eq!(history(&place).await, made);
}

async fn every_older_schema_is_brought_up_to_date(engine: Engine) {
    for count in 1..SQLITE.iter().count() {
        let place = engine.bare_place().await;
        store_at(&place, engine, count).await;
        store::migrate(&place.location()).await.unwrap();
        assert_eq!(history(&place).await.last().unwrap().0, latest());
        let opened = store::open(&place.location()).await.unwrap();
        opened.store.ping().await.unwrap();
        opened.store.close().await;
    }
}

/// Makes the schema that the first migrations make.
async fn store_at(place: &Place, engine: Engine, count: usize) {
    let all = match engine {
        Engine::Sqlite => &SQLITE,
        Engine::Postgres => &POSTGRES,
    };
    run(place, all.iter().take(count).cloned().collect()).await;
}

async fn run(place: &Place, migrations: Vec<Migration>) {
    let migrator = Migrator::with_migrations(migrations);
    connected!(place, |connection| migrator.run(&mut connection).await.unwrap());
}

async fn a_schema_that_cannot_be_served_is_refused_in_plain_words(engine: Engine) {
    const NEWER: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                         SELECT 9000, 'made up', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
    let known = latest();
    for (statements, problem) in [
        (
            &[NEWER, "UPDATE installation SET compatible_from = 9000"][..],
            format!("the database has schema 9000, which this version (schema {known}) cannot serve: use a newer version"),
        ),
        (
            &["UPDATE _sqlx_migrations SET success = FALSE WHERE version = 2"],
            "migration 2 of the database was not completed: restore a backup, or complete it by hand".into(),
        ),
        (
            &["UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 1) \
               WHERE version = 3"],
            "migration 3 of the database is not the one that this version knows: this is another program's database"
                .into(),
        ),
        (
            &["UPDATE installation SET importing = 'a backup'"],
            "an import into this database is not complete: complete it with `gatehouse import`".into(),
        ),
    ] {
        let place = engine.bare_place().await;
        assert!(migrate(&place).status.success());
        execute(&place, statements).await;
        let told = format!("error: cannot open the store: {problem}\n");
        assert_eq!(refused(&place), (Some(1), told));
        assert_eq!(number(&place, "SELECT COUNT(*) FROM users").await, 0, "{problem}");
    }
}

async fn a_newer_schema_that_says_so_is_served(engine: Engine) {
    let place = engine.bare_place().await;
    assert!(migrate(&place).status.success());
    let changes: &[&'static str] = &[
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9000, 'made up', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
        "ALTER TABLE deployments ADD COLUMN made_up BIGINT",
    ];
    // STRICT tables know no other name for it.
    let changes = match engine {
        Engine::Sqlite => &[changes[0], "ALTER TABLE deployments ADD COLUMN made_up INTEGER"],
        Engine::Postgres => changes,
    };
    execute(&place, changes).await;
    let server = Process::grpc(&place, "error", Stdio::inherit());
    let client = dial(&server.grpc, &server.root);
    let project = first_project(&client).await;
    assert_eq!(deploy(&client, project, "production").await.iid, 1);
    server.kill();
    // The older version's command has nothing to do, and nothing against it.
    let output = migrate(&place);
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn a_server_does_not_make_the_schema_of_a_shared_database() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let place = Engine::Postgres.bare_place().await;
    let empty = "error: cannot open the store: the database is empty: run `gatehouse migrate` first\n";
    assert_eq!(refused(&place), (Some(1), empty.into()));
    let needed = latest();
    for found in 1..needed {
        let place = Engine::Postgres.bare_place().await;
        store_at(&place, Engine::Postgres, found.try_into().unwrap()).await;
        let older = format!(
            "error: cannot open the store: the database has schema {found}, and this version needs {needed}: run \
             `gatehouse migrate` of this version first\n"
        );
        assert_eq!(refused(&place), (Some(1), older));
    }
    assert_eq!(refused(&place), (Some(1), empty.into()), "it made something");
}

#[tokio::test]
async fn of_migrations_at_once_one_does_the_work_and_all_succeed() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let place = Engine::Postgres.bare_place().await;
    let running: Vec<_> = (0..3)
        .map(|_| {
            command(place.folder.path(), &place, &["migrate"])
                .spawn()
                .unwrap()
        })
        .collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"the database is up to date\n");
    }
    assert_eq!(history(&place).await.last().unwrap().0, latest());
}

async fn deploy(client: &Client, project: i64, environment: &str) -> pb::Deployment {
    let request = pb::CreateDeploymentRequest {
        project: Some(project_id(project)),
        environment: environment.into(),
        sha: SHA.into(),
        r#ref: "main".into(),
        status: S::Running.into(),
        ..Default::default()
    };
    let made = DeploymentServiceClient::new(client.clone())
        .create_deployment(request)
        .await
        .unwrap();
    made.into_inner().deployment.unwrap()
}

/// Makes a deployment, lets it succeed, and finds it in a list.
async fn work(client: &Client, project: i64, environment: &str) {
    let made = deploy(client, project, environment).await;
    let mut deployments = DeploymentServiceClient::new(client.clone());
    let done = pb::UpdateDeploymentStatusRequest {
        project: Some(project_id(project)),
        deployment_id: made.id,
        status: S::Success.into(),
        ..Default::default()
    };
    deployments.update_deployment_status(done).await.unwrap();
    let list = pb::ListDeploymentsRequest {
        project: Some(project_id(project)),
        direction: pb::SortDirection::Desc.into(),
        filter: Some(pb::DeploymentFilter {
            environment: Some(environment.into()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let listed = deployments.list_deployments(list).await.unwrap().into_inner();
    assert!(listed.deployments.iter().any(|listed| listed.id == made.id));
}

/// As it is when a new version takes an old one's place, one server after the other: the schema is the new one's, and both
/// serve it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_two_versions_work_side_by_side_while_the_schema_changes_under_them() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let place = Engine::Postgres.place().await;
    let start = || Process::grpc(&place, "error", Stdio::inherit());
    let (first, second) = (start(), start());
    let root = first.root.clone();
    let clients = [&first, &second].map(|server| dial(&server.grpc, &root));
    let project = first_project(&clients[0]).await;

    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(number, client)| {
            let (client, stop, done) = (client.clone(), Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    work(&client, project, &format!("server-{number}")).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let goes_on = async || {
        let goal = done.load(Ordering::Relaxed) + 10;
        eventually("the servers work on", || async {
            done.load(Ordering::Relaxed) >= goal || workers.iter().any(tokio::task::JoinHandle::is_finished)
        })
        .await;
    };
    goes_on().await;

    let mut migrations: Vec<Migration> = POSTGRES.iter().cloned().collect();
    migrations.push(Migration::new(
        9000,
        "made up".into(),
        MigrationType::Simple,
        SqlStr::from_static(
            "CREATE TABLE made_up (id BIGINT PRIMARY KEY, deployment_id BIGINT REFERENCES deployments (id)); \
             ALTER TABLE deployments ADD COLUMN made_up TEXT COLLATE \"C\"",
        ),
        false,
    ));
    run(&place, migrations).await;
    goes_on().await;

    let third = start();
    let client = dial(&third.grpc, &root);
    for _ in 0..10 {
        work(&client, project, "server-2").await;
    }
    goes_on().await;
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }

    let made = number(&place, "SELECT COUNT(*) FROM deployments").await;
    assert_eq!(number(&place, "SELECT MAX(iid) FROM deployments").await, made);
    assert_eq!(usize::try_from(made).unwrap(), done.load(Ordering::Relaxed) + 10);
    for server in [first, second, third] {
        server.kill();
    }
}
