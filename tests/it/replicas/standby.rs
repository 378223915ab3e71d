//! Reads from a real streaming replica.

use gatehouse::pb::v1::{
    self as pb, DeploymentStatus as S, deployment_service_client::DeploymentServiceClient,
};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tonic::{Request, metadata::MetadataValue};

use crate::support::{
    Client, dial,
    engine::{Engine, Place},
    eventually, first_project,
    postgres::{Cluster, ready},
    process::Process,
    project_id,
};

/// The refs of a project's deployments, as an eventual read sees them.
async fn refs(client: &Client, project: i64) -> Vec<String> {
    let mut request = Request::new(pb::ListDeploymentsRequest {
        project: Some(project_id(project)),
        ..Default::default()
    });
    let eventual = MetadataValue::from_static("eventual");
    request.metadata_mut().insert("gatehouse-consistency", eventual);
    let answer = DeploymentServiceClient::new(client.clone())
        .list_deployments(request)
        .await;
    let deployments = answer.unwrap().into_inner().deployments;
    deployments.into_iter().map(|it| it.r#ref).collect()
}

async fn record(client: &Client, project: i64, name: &str) {
    let request = pb::CreateDeploymentRequest {
        project: Some(project_id(project)),
        environment: "production".into(),
        sha: format!("{project:040x}"),
        r#ref: name.into(),
        status: S::Created.into(),
        ..Default::default()
    };
    DeploymentServiceClient::new(client.clone())
        .create_deployment(request)
        .await
        .unwrap();
}

/// How often the table of deployments was read on a server.
async fn reads(server: &mut PgConnection) -> i64 {
    let text =
        "SELECT seq_scan + COALESCE(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'deployments'";
    let (count,): (i64,) = sqlx::query_as(text).fetch_one(server).await.unwrap();
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_standby_answers_who_asks_for_it_and_never_what_is_older_than_their_writes() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let primary = Cluster::start(0, true);
    ready(&primary.url("postgres")).await;
    let place = Place::at(primary.url("postgres"));
    gatehouse::store::migrate(&place.location()).await.unwrap();
    let standby = Cluster::standby_of(&primary);
    ready(&standby.url("postgres")).await;

    let read_url = standby.url("postgres");
    let variables = [("GATEHOUSE_DATABASE_READ_URL", read_url.as_str())];
    let folder = place.folder.path();
    let server = Process::grpc_in(
        folder,
        &place,
        &variables,
        "error",
        std::process::Stdio::inherit(),
    );
    let client = dial(&server.grpc, &server.root);
    let project = first_project(&client).await;
    record(&client, project, "first").await;

    // It is read when it has caught up.
    let mut looking = PgConnection::connect(&read_url).await.unwrap();
    let before = reads(&mut looking).await;
    for _ in 0..5 {
        assert_eq!(refs(&client, project).await, ["first"]);
    }
    eventually("the standby was read", || async {
        assert_eq!(refs(&client, project).await, ["first"]);
        let mut looking = PgConnection::connect(&read_url).await.unwrap();
        reads(&mut looking).await > before
    })
    .await;

    // It falls behind, and nobody misses what they wrote.
    looking.execute("SELECT pg_wal_replay_pause()").await.unwrap();
    for number in 0..10 {
        record(&client, project, &format!("later-{number}")).await;
        assert_eq!(refs(&client, project).await.len(), 2 + number);
    }
    looking.execute("SELECT pg_wal_replay_resume()").await.unwrap();

    // It goes, and the primary answers alone.
    standby.crash();
    assert_eq!(refs(&client, project).await.len(), 11);
}
