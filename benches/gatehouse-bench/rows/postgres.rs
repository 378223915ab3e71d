//! Gatehouse on PostgreSQL, beside pgbench with the same rows and beside the FastAPI peer on the same server.

use std::{fmt::Write as _, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{Bench, Row};
use crate::{
    Failure,
    data::{DEVELOPER, Stock},
    grpc::{GrpcCaller, Job},
    load::{Closed, Contender},
    peers,
    postgres::{Cluster, Pgbench},
    report::Target,
    rest::{self, HttpCaller},
    server::{Gatehouse, Place, shape},
};

const DEPLOYMENTS: u32 = 100_000;
const CLIENTS: u32 = 32;
/// The same number of callers.
const CALLERS: (usize, usize) = (4, 8);

pub const ROWS: &[Row] = &[
    Row {
        name: "pg-create",
        title: "gRPC CreateDeployment, PostgreSQL, 32 callers, 100 projects",
        target: Target::AtLeast(0.70),
    },
    Row {
        name: "pg-hot",
        title: "gRPC CreateDeployment, PostgreSQL, 32 callers, one hot project",
        target: Target::AtLeast(3.0),
    },
    Row {
        name: "pg-get",
        title: "gRPC GetDeployment, PostgreSQL, 32 callers",
        target: Target::AtLeast(0.35),
    },
];

pub const PEER: &[Row] = &[
    Row {
        name: "rest-get",
        title: "REST get, PostgreSQL, 32 connections",
        target: Target::AtLeast(8.0),
    },
    Row {
        name: "rest-list",
        title: "REST list, page of 20, PostgreSQL, 32 connections",
        target: Target::AtLeast(6.0),
    },
    Row {
        name: "rest-total",
        title: "REST list, page of 20 with its total, PostgreSQL, 32 connections",
        target: Target::None,
    },
    Row {
        name: "rest-create",
        title: "REST create, PostgreSQL, 32 connections, 100 projects",
        target: Target::AtLeast(6.0),
    },
];

/// The rows of a new deployment, in one transaction. (A colon before a word would be a variable to pgbench.)
fn create(projects: i64) -> String {
    format!(
        "\\set project random(1, {projects})\n\
         \\set sha random(1, 9000000000000000000)\n\
         BEGIN;\n\
         UPDATE projects SET changes = changes + 1, last_iid = last_iid + 1, last_event = last_event + 1, \
         latest_at = GREATEST(latest_at, 1790000000000) WHERE id = :project RETURNING last_iid, last_event \\gset\n\
         INSERT INTO deployments (project_id, iid, environment_id, ref, tag, sha, user_id, status, created_at, \
         updated_at, finished_at, gate, version, commit_sha, job_id) VALUES (:project, :last_iid, \
         (:project - 1) * 5 + 1, 'main', FALSE, lpad(to_hex(:sha::bigint), 40, '0'), {DEVELOPER}, 'running', \
         1790000000000, 1790000000000, 9223372036854775807, 'open', 1, lpad(to_hex(:sha::bigint), 40, '0'), NULL) \
         RETURNING id \\gset\n\
         INSERT INTO events (project_id, seq, kind, actor_id, created_at, payload) VALUES (:project, :last_event, \
         'deployment_created', {DEVELOPER}, 1790000000000, concat('{{\"deployment_id\":', :id::text, ',\"iid\":', \
         :last_iid::text, ',\"environment_id\": 1,\"environment\":\"production\",\"ref\":\"main\",\"tag\": false,\
         \"sha\":\"', lpad(to_hex(:sha::bigint), 40, '0'), '\",\"before\": null,\"after\":\"running\",\
         \"gate_bypassed\": false}}'));\n\
         COMMIT;\n"
    )
}

/// The row that is read, with what belongs to it.
fn get() -> String {
    format!(
        "\\set id random(1, {DEPLOYMENTS})\n\
         SELECT d.id, d.project_id, d.iid, d.ref, d.tag, d.sha, d.status, d.created_at, d.updated_at, d.finished_at, \
         d.gate, d.failure_reason, d.version, d.commit_sha, d.job_id, e.id, e.name, e.slug, e.external_url, \
         e.created_at, e.updated_at, u.id, u.username, u.name, u.public_email, u.avatar_url, u.state \
         FROM deployments d JOIN environments e ON e.id = d.environment_id LEFT JOIN users u ON u.id = d.user_id \
         WHERE d.id = :id;\n"
    )
}

pub async fn measure(bench: &mut Bench<'_>) -> Result<(), Failure> {
    if !bench.wants_any(&[ROWS, PEER]) {
        return Ok(());
    }
    let cluster = match Cluster::start(bench.options.work.as_deref()).await {
        Ok(cluster) => Arc::new(cluster),
        Err(error) => {
            for row in ROWS.iter().chain(PEER) {
                bench.skip(row, &error);
            }
            return Ok(());
        }
    };
    println!("\nfilling PostgreSQL with {DEPLOYMENTS} deployments");
    let stock = Arc::new(Stock::new(shape(DEPLOYMENTS)));
    let url = cluster.create("gatehouse", "template1")?;
    let place = Place::postgres(&bench.program, "postgres", &url, &stock).await?;
    cluster.create("raw", "gatehouse")?;

    let server = Gatehouse::both(&bench.program, &place)?;
    let ours = [server.id(), cluster.id()];
    let many = stock.projects();
    let plans = [
        (Job::Create(many), "same rows, one transaction each", create(many)),
        (Job::Create(1), "same rows, one project", create(1)),
        (Job::Get(Arc::clone(&stock)), "point read", get()),
    ];
    for (row, (job, name, script)) in ROWS.iter().zip(plans) {
        let contenders = async {
            let callers = GrpcCaller::many(&server.grpc, &place.token, CALLERS, &job).await?;
            let pgbench = Pgbench::new(&cluster, name, "raw", script, CLIENTS);
            let pgbench: Box<dyn Contender> = Box::new(pgbench);
            Ok(vec![Closed::new("Gatehouse", callers, &ours).boxed(), pgbench])
        };
        bench.compare(row, contenders).await;
    }
    beside_fastapi(bench, &cluster, &place, &server, &stock).await
}

async fn beside_fastapi(
    bench: &mut Bench<'_>,
    cluster: &Arc<Cluster>,
    place: &Place,
    server: &Gatehouse,
    stock: &Arc<Stock>,
) -> Result<(), Failure> {
    const SECRET: &str = "a-token-of-the-peer";
    if !bench.wants_any(&[PEER]) {
        return Ok(());
    }
    let peer = async {
        if bench.options.skip_peers {
            return Err("--skip-peers".into());
        }
        let url = cluster.create("peer", "template1")?;
        let mut hash = String::new();
        for byte in Sha256::digest(SECRET) {
            write!(hash, "{byte:02x}")?;
        }
        stock.fill_peer(&url, peers::SCHEMA, &hash).await?;
        peers::fastapi(bench.options.cache.as_deref(), cluster, "peer").await
    };
    let peer = match peer.await {
        Ok(peer) => peer,
        Err(error) => {
            let error = format!("FastAPI: {error}").into();
            for row in PEER {
                bench.skip(row, &error);
            }
            return Ok(());
        }
    };
    let jobs = [
        rest::Job::Get(Arc::clone(stock)),
        rest::Job::List(Arc::clone(stock), "pagination=keyset&sort=desc"),
        rest::Job::List(Arc::clone(stock), "sort=desc"),
        rest::Job::Create(stock.projects()),
    ];
    for (row, job) in PEER.iter().zip(jobs) {
        let contenders = async {
            let clients = CLIENTS as usize;
            let ours = HttpCaller::many(&server.rest, &place.token, clients, &job).await?;
            let theirs = HttpCaller::many(&peer.address, SECRET, clients, &job).await?;
            Ok(vec![
                Closed::new("Gatehouse", ours, &[server.id(), cluster.id()]).boxed(),
                Closed::new("FastAPI, 2 workers", theirs, &[peer.id(), cluster.id()]).boxed(),
            ])
        };
        bench.compare(row, contenders).await;
    }
    Ok(())
}
