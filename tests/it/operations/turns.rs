//! Callers beside one who has many calls under way, or never ends them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::stream;
use gatehouse::pb::v1::{
    CreateDeploymentRequest, CreateTokenRequest, DeploymentStatus, GetMetadataRequest, GetMetadataResponse,
    TokenScope, deployment_service_client::DeploymentServiceClient,
    metadata_service_client::MetadataServiceClient, token_service_client::TokenServiceClient,
};
use http::uri::PathAndQuery;
use tonic::{Request, client::Grpc};
use tonic_prost::ProstCodec;

use super::Program;
use crate::support::{
    SHA, dial,
    engine::{Engine, Obstacle, on_both_engines},
    eventually, first_project, project_id, within,
};

on_both_engines! {
    who_has_few_calls_is_not_served_behind_all_of_one_who_has_many
}

/// Another token than the first.
async fn another(server: &Program) -> String {
    let request = CreateTokenRequest {
        name: "another".into(),
        scopes: vec![TokenScope::Api.into()],
        ..Default::default()
    };
    let mut tokens = TokenServiceClient::new(server.client());
    tokens.create_token(request).await.unwrap().into_inner().secret
}

/// Waits until so many calls are under way.
async fn under_way(server: &Program, count: usize) {
    let count = f64::from(u32::try_from(count).unwrap());
    eventually("they are under way", async || {
        let calls = server.scrape().await;
        calls.value("gatehouse_grpc_requests_in_flight", &[]) == count
    })
    .await;
}

async fn who_has_few_calls_is_not_served_behind_all_of_one_who_has_many(engine: Engine) {
    // A connection takes no more at a time.
    const CONNECTIONS: usize = 4;
    const EACH: usize = 150;
    let place = engine.place().await;
    let server = Program::grpc(&place);
    let project = first_project(&server.client()).await;
    let greedy = another(&server).await;
    let request = CreateDeploymentRequest {
        project: Some(project_id(project)),
        environment: "qa".into(),
        sha: SHA.into(),
        r#ref: "main".into(),
        status: DeploymentStatus::Running.into(),
        ..Default::default()
    };

    let obstacle = Obstacle::put(&place).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut calls = Vec::new();
    for _ in 0..CONNECTIONS {
        let deployments = DeploymentServiceClient::new(dial(&server.grpc_url(), &greedy));
        for _ in 0..EACH {
            let (mut deployments, request) = (deployments.clone(), request.clone());
            let answered = Arc::clone(&answered);
            calls.push(tokio::spawn(async move {
                let answer = deployments.create_deployment(request).await;
                answered.fetch_add(1, Ordering::SeqCst);
                answer
            }));
        }
    }
    under_way(&server, CONNECTIONS * EACH).await;
    obstacle.take_away().await;
    let mut polite = DeploymentServiceClient::new(server.client());
    for _ in 0..2 {
        let answer = within("a call", polite.create_deployment(request.clone())).await;
        answer.unwrap();
    }
    // Those that were let in before, and for each call those of its transaction.
    let before = answered.load(Ordering::SeqCst);
    assert!(before < CONNECTIONS * EACH * 2 / 3, "{before} were served before");
    for call in calls {
        within("every call", call).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn who_never_says_what_they_want_holds_nobody_up() {
    const CALLS: usize = 100;
    let place = Engine::Sqlite.place().await;
    let server = Program::grpc(&place);
    let silent = another(&server).await;
    let client = dial(&server.grpc_url(), &silent);
    let stuck: Vec<_> = (0..CALLS)
        .map(|_| {
            let mut calls = Grpc::new(client.clone());
            tokio::spawn(async move {
                calls.ready().await.unwrap();
                let codec = ProstCodec::<GetMetadataRequest, GetMetadataResponse>::default();
                let path = PathAndQuery::from_static("/gatehouse.v1.MetadataService/GetMetadata");
                let never = Request::new(stream::pending());
                calls.client_streaming(never, path, codec).await
            })
        })
        .collect();
    under_way(&server, CALLS).await;
    for token in [&server.root, &silent] {
        let mut metadata = MetadataServiceClient::new(dial(&server.grpc_url(), token));
        let answer = within("a call", metadata.get_metadata(GetMetadataRequest {})).await;
        answer.unwrap();
    }
    for call in stuck {
        assert!(!call.is_finished());
        call.abort();
    }
}
