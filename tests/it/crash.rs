//! Kills the server under write load, again and again: whatever was acknowledged is there afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use gatehouse::pb::v1::{
    self as pb, deployment_service_client::DeploymentServiceClient,
    directory_service_client::DirectoryServiceClient,
};
use gatehouse::store::Location;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tonic::{Request, Status, metadata::MetadataValue, transport::Endpoint};

use crate::support::{
    engine::{Engine, Place, connected, on_both_engines},
    group_at,
    process::Process,
    project_id,
};

on_both_engines! {
    threads:
    every_acknowledged_write_survives_a_kill_under_load
}

const ROUNDS: usize = 12;
const WRITERS: usize = 8;
/// A round goes on until so many writes were acknowledged; then the server is killed while others are under way.
const ACKNOWLEDGED: u64 = 60;

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("private-token", MetadataValue::try_from(token).unwrap());
    request
}

async fn set_up(url: &str, token: &str) -> i64 {
    let mut directory = DirectoryServiceClient::connect(url.to_owned()).await.unwrap();
    let group = pb::CreateGroupRequest {
        path: "acme".into(),
        ..Default::default()
    };
    directory.create_group(with_token(group, token)).await.unwrap();
    let project = pb::CreateProjectRequest {
        group: Some(group_at("acme")),
        path: "web".into(),
        ..Default::default()
    };
    directory
        .create_project(with_token(project, token))
        .await
        .unwrap()
        .into_inner()
        .project
        .unwrap()
        .id
}

fn request(project: i64, number: u64) -> pb::CreateDeploymentRequest {
    pb::CreateDeploymentRequest {
        project: Some(project_id(project)),
        // Some environments are new in every round, so that two tables are written in one transaction.
        environment: format!("env-{}", number % 97),
        sha: format!("{number:040x}"),
        r#ref: "main".into(),
        tag: false,
        status: pb::DeploymentStatus::Success.into(),
        request_id: format!("write-{number}"),
        ..Default::default()
    }
}

/// Writes until the server is gone. What was acknowledged is noted; what was not is repeated in the next round under
/// the same request id.
async fn write(url: String, token: String, project: i64, numbers: Arc<AtomicU64>, log: Arc<Log>) {
    let Ok(channel) = Endpoint::try_from(url).unwrap().connect().await else {
        return;
    };
    let mut client = DeploymentServiceClient::new(channel);
    loop {
        let retried = log.unanswered.lock().unwrap().pop_first();
        let number = retried.unwrap_or_else(|| numbers.fetch_add(1, Ordering::Relaxed));
        match client
            .create_deployment(with_token(request(project, number), &token))
            .await
        {
            Ok(answer) => {
                let deployment = answer.into_inner().deployment.unwrap();
                log.acknowledged.lock().unwrap().insert(number, deployment);
                log.count.fetch_add(1, Ordering::Relaxed);
            }
            Err(status) => {
                log.unanswered.lock().unwrap().insert(number);
                log.gone(&status);
                return;
            }
        }
    }
}

#[derive(Default)]
struct Log {
    acknowledged: Mutex<BTreeMap<u64, pb::Deployment>>,
    unanswered: Mutex<BTreeSet<u64>>,
    count: AtomicU64,
    killed: AtomicBool,
}

impl Log {
    /// A write may fail because the server was killed, and for no other reason.
    fn gone(&self, status: &Status) {
        assert!(
            self.killed.load(Ordering::SeqCst),
            "refused before the kill: {status:?}"
        );
    }
}

async fn every_acknowledged_write_survives_a_kill_under_load(engine: Engine) {
    let place = engine.place().await;
    let log = Arc::new(Log::default());
    let numbers = Arc::new(AtomicU64::new(1));
    let mut project = 0;
    for round in 0..ROUNDS {
        let process = Process::grpc(&place, "error", Stdio::inherit());
        let token = process.root.clone();
        if round == 0 {
            project = set_up(&process.grpc, &token).await;
        }
        log.killed.store(false, Ordering::SeqCst);
        let goal = log.count.load(Ordering::Relaxed) + ACKNOWLEDGED;
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let (numbers, log) = (Arc::clone(&numbers), Arc::clone(&log));
                tokio::spawn(write(process.grpc.clone(), token.clone(), project, numbers, log))
            })
            .collect();
        crate::support::eventually("enough writes were acknowledged", || async {
            log.count.load(Ordering::Relaxed) >= goal
        })
        .await;
        log.killed.store(true, Ordering::SeqCst);
        process.kill();
        for writer in writers {
            writer.await.unwrap();
        }
    }
    let process = Process::grpc(&place, "error", Stdio::inherit());
    let unanswered = log.unanswered.lock().unwrap().clone();
    process.kill();
    let acknowledged = log.acknowledged.lock().unwrap().clone();
    inspect(&place, &acknowledged, &unanswered).await;
}

/// Compares the store with what was acknowledged: nothing lost, nothing twice, nothing half.
async fn inspect(place: &Place, acknowledged: &BTreeMap<u64, pb::Deployment>, unanswered: &BTreeSet<u64>) {
    assert!(acknowledged.len() >= ROUNDS * 60);
    let text = "SELECT id, iid, sha, environment_id FROM deployments ORDER BY iid";
    let rows: Vec<(i64, i64, String, i64)> = connected!(place, |store| sqlx::query_as(text)
        .fetch_all(&mut store)
        .await
        .unwrap());
    let mut stored = BTreeMap::new();
    for (index, (id, iid, sha, environment)) in rows.iter().enumerate() {
        let (id, iid, environment) = (*id, *iid, *environment);
        assert_eq!(iid, i64::try_from(index).unwrap() + 1, "iids have no gaps");
        let number = u64::from_str_radix(sha, 16).unwrap();
        assert!(
            stored.insert(number, (id, iid, environment)).is_none(),
            "write {number} is there twice"
        );
    }
    for (number, deployment) in acknowledged {
        let (id, iid, environment) = stored[number];
        assert_eq!((deployment.id, deployment.iid), (id, iid), "write {number}");
        assert_eq!(
            deployment.environment.as_ref().unwrap().id,
            environment,
            "write {number}"
        );
    }
    for number in stored.keys() {
        assert!(
            acknowledged.contains_key(number) || unanswered.contains(number),
            "write {number} came out of nothing"
        );
    }
    // Each deployment and each environment has its event, numbered without gaps, and the counters agree.
    let text = "SELECT (SELECT COUNT(*) FROM events), (SELECT MAX(seq) FROM events), last_event, last_iid, \
         (SELECT COUNT(*) FROM deployments) + (SELECT COUNT(*) FROM environments) FROM projects";
    let (events, last, told, iid, things): (i64, i64, i64, i64, i64) =
        connected!(place, |store| sqlx::query_as(text)
            .fetch_one(&mut store)
            .await
            .unwrap());
    assert_eq!([events, last, told], [things; 3]);
    assert_eq!(iid, i64::try_from(rows.len()).unwrap());
    if let Location::Sqlite(file) = place.location() {
        let options = SqliteConnectOptions::new().filename(file);
        let mut store = SqliteConnection::connect_with(&options).await.unwrap();
        let (verdict,): (String,) = sqlx::query_as("PRAGMA integrity_check")
            .fetch_one(&mut store)
            .await
            .unwrap();
        assert_eq!(verdict, "ok");
    }
}
