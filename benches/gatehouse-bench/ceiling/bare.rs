//! Services that do nothing: they answer from memory, with messages that Gatehouse itself once gave.

use std::{fs, path::PathBuf, sync::Arc};

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response as HttpResponse},
    routing::get,
    serve::ListenerExt as _,
};
use gatehouse::pb::v1::{
    self as pb,
    deployment_service_server::{DeploymentService, DeploymentServiceServer},
};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use crate::Failure;

/// What it answers.
#[derive(Debug, clap::Args)]
pub struct GrpcOptions {
    /// A file with an encoded `GetDeploymentResponse`
    #[arg(long)]
    get: PathBuf,
    /// A file with an encoded `ListDeploymentsResponse`
    #[arg(long)]
    list: PathBuf,
}

/// What it answers.
#[derive(Debug, clap::Args)]
pub struct HttpOptions {
    /// A file with a body
    #[arg(long)]
    get: PathBuf,
    /// A file with a body
    #[arg(long)]
    list: PathBuf,
}

/// Answers that are always the same.
struct Canned {
    get: pb::GetDeploymentResponse,
    list: pb::ListDeploymentsResponse,
}

fn not_measured<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not measured"))
}

#[tonic::async_trait]
impl DeploymentService for Canned {
    async fn create_deployment(
        &self,
        _: Request<pb::CreateDeploymentRequest>,
    ) -> Result<Response<pb::CreateDeploymentResponse>, Status> {
        not_measured()
    }

    async fn get_deployment(
        &self,
        _: Request<pb::GetDeploymentRequest>,
    ) -> Result<Response<pb::GetDeploymentResponse>, Status> {
        Ok(Response::new(self.get.clone()))
    }

    async fn list_deployments(
        &self,
        _: Request<pb::ListDeploymentsRequest>,
    ) -> Result<Response<pb::ListDeploymentsResponse>, Status> {
        Ok(Response::new(self.list.clone()))
    }

    async fn update_deployment_status(
        &self,
        _: Request<pb::UpdateDeploymentStatusRequest>,
    ) -> Result<Response<pb::UpdateDeploymentStatusResponse>, Status> {
        not_measured()
    }

    async fn delete_deployment(
        &self,
        _: Request<pb::DeleteDeploymentRequest>,
    ) -> Result<Response<pb::DeleteDeploymentResponse>, Status> {
        not_measured()
    }

    async fn get_deployment_changes(
        &self,
        _: Request<pb::GetDeploymentChangesRequest>,
    ) -> Result<Response<pb::GetDeploymentChangesResponse>, Status> {
        not_measured()
    }
}

/// Serves gRPC until killed.
pub async fn grpc(options: GrpcOptions) -> Result<(), Failure> {
    let canned = Canned {
        get: pb::GetDeploymentResponse::decode(fs::read(options.get)?.as_slice())?,
        list: pb::ListDeploymentsResponse::decode(fs::read(options.list)?.as_slice())?,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("gRPC listens on {}", listener.local_addr()?);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(DeploymentServiceServer::new(canned))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

/// Serves HTTP until killed.
pub async fn http(options: HttpOptions) -> Result<(), Failure> {
    let answer = |body: Vec<u8>| {
        let body: Arc<[u8]> = body.into();
        move || {
            let body = axum::body::Bytes::from_owner(Arc::clone(&body));
            async move { json(body) }
        }
    };
    let router = Router::new()
        .route(
            "/api/v4/projects/{project}/deployments/{deployment}",
            get(answer(fs::read(options.get)?)),
        )
        .route(
            "/api/v4/projects/{project}/deployments",
            get(answer(fs::read(options.list)?)),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("REST listens on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, router).await?;
    Ok(())
}

fn json(body: axum::body::Bytes) -> HttpResponse {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}
