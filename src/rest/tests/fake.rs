//! A gRPC server on a real socket that remembers what it was asked and answers what it was told.

use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::Server};

use crate::pb::v1::{
    self, deployment_service_server::DeploymentServiceServer,
    environment_service_server::EnvironmentServiceServer, metadata_service_server::MetadataServiceServer,
};

/// What the server is to answer, and what it was asked last.
#[derive(Default)]
pub(super) struct Fake {
    /// If set, every call is refused with it.
    pub refusal: Mutex<Option<Status>>,
    /// The answer to lists of deployments.
    pub deployments: Mutex<v1::ListDeploymentsResponse>,
    /// The answer to lists of environments.
    pub environments: Mutex<v1::ListEnvironmentsResponse>,
    seen: Mutex<Option<(Box<dyn Any + Send>, MetadataMap)>>,
}

impl Fake {
    /// Starts the server and tells its address.
    pub(super) async fn start() -> (Arc<Self>, String) {
        let fake = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder()
            .add_service(DeploymentServiceServer::from_arc(Arc::clone(&fake)))
            .add_service(EnvironmentServiceServer::from_arc(Arc::clone(&fake)))
            .add_service(MetadataServiceServer::from_arc(Arc::clone(&fake)));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (fake, url)
    }

    /// The last request, if it was of that type, and the metadata that came with it.
    pub(super) fn asked<T: 'static>(&self) -> Option<(T, MetadataMap)> {
        let (message, metadata) = self.seen.lock().unwrap().take()?;
        message.downcast::<T>().ok().map(|message| (*message, metadata))
    }

    fn answer<T: Send + 'static, R>(
        &self,
        request: Request<T>,
        answer: impl FnOnce(&T) -> R,
    ) -> Result<Response<R>, Status> {
        let (metadata, _, message) = request.into_parts();
        let answer = answer(&message);
        *self.seen.lock().unwrap() = Some((Box::new(message), metadata));
        match self.refusal.lock().unwrap().clone() {
            Some(refusal) => Err(refusal),
            None => Ok(Response::new(answer)),
        }
    }
}

/// A deployment of which only the id matters.
pub(super) fn deployment(id: i64) -> v1::Deployment {
    v1::Deployment {
        id,
        status: v1::DeploymentStatus::Success.into(),
        ..Default::default()
    }
}

/// An environment of which only the id matters.
pub(super) fn environment(id: i64) -> v1::Environment {
    v1::Environment {
        id,
        state: v1::EnvironmentState::Available.into(),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl v1::deployment_service_server::DeploymentService for Fake {
    async fn create_deployment(
        &self,
        request: Request<v1::CreateDeploymentRequest>,
    ) -> Result<Response<v1::CreateDeploymentResponse>, Status> {
        self.answer(request, |_| v1::CreateDeploymentResponse {
            deployment: Some(deployment(42)),
            approval_state: None,
            viewer: None,
        })
    }

    async fn get_deployment(
        &self,
        request: Request<v1::GetDeploymentRequest>,
    ) -> Result<Response<v1::GetDeploymentResponse>, Status> {
        self.answer(request, |asked| v1::GetDeploymentResponse {
            deployment: Some(deployment(asked.deployment_id)),
            approval_state: None,
            viewer: None,
        })
    }

    async fn list_deployments(
        &self,
        request: Request<v1::ListDeploymentsRequest>,
    ) -> Result<Response<v1::ListDeploymentsResponse>, Status> {
        self.answer(request, |_| self.deployments.lock().unwrap().clone())
    }

    async fn update_deployment_status(
        &self,
        request: Request<v1::UpdateDeploymentStatusRequest>,
    ) -> Result<Response<v1::UpdateDeploymentStatusResponse>, Status> {
        self.answer(request, |_| v1::UpdateDeploymentStatusResponse {
            deployment: Some(deployment(42)),
            approval_state: None,
            viewer: None,
        })
    }

    async fn delete_deployment(
        &self,
        request: Request<v1::DeleteDeploymentRequest>,
    ) -> Result<Response<v1::DeleteDeploymentResponse>, Status> {
        self.answer(request, |_| v1::DeleteDeploymentResponse {})
    }
}

#[tonic::async_trait]
impl v1::environment_service_server::EnvironmentService for Fake {
    async fn list_environments(
        &self,
        request: Request<v1::ListEnvironmentsRequest>,
    ) -> Result<Response<v1::ListEnvironmentsResponse>, Status> {
        self.answer(request, |_| self.environments.lock().unwrap().clone())
    }

    async fn get_environment(
        &self,
        request: Request<v1::GetEnvironmentRequest>,
    ) -> Result<Response<v1::GetEnvironmentResponse>, Status> {
        self.answer(request, |_| v1::GetEnvironmentResponse {
            environment: Some(environment(9)),
            last_deployment: None,
        })
    }

    async fn create_environment(
        &self,
        request: Request<v1::CreateEnvironmentRequest>,
    ) -> Result<Response<v1::CreateEnvironmentResponse>, Status> {
        self.answer(request, |_| v1::CreateEnvironmentResponse {
            environment: Some(environment(9)),
            project: None,
        })
    }

    async fn update_environment(
        &self,
        request: Request<v1::UpdateEnvironmentRequest>,
    ) -> Result<Response<v1::UpdateEnvironmentResponse>, Status> {
        self.answer(request, |_| v1::UpdateEnvironmentResponse {
            environment: Some(environment(9)),
            project: None,
        })
    }

    async fn stop_environment(
        &self,
        request: Request<v1::StopEnvironmentRequest>,
    ) -> Result<Response<v1::StopEnvironmentResponse>, Status> {
        self.answer(request, |_| v1::StopEnvironmentResponse {
            environment: Some(environment(9)),
            project: None,
        })
    }

    async fn delete_environment(
        &self,
        request: Request<v1::DeleteEnvironmentRequest>,
    ) -> Result<Response<v1::DeleteEnvironmentResponse>, Status> {
        self.answer(request, |_| v1::DeleteEnvironmentResponse {})
    }

    async fn stop_stale_environments(
        &self,
        request: Request<v1::StopStaleEnvironmentsRequest>,
    ) -> Result<Response<v1::StopStaleEnvironmentsResponse>, Status> {
        self.answer(request, |_| v1::StopStaleEnvironmentsResponse {
            environments: Vec::new(),
        })
    }

    async fn delete_review_environments(
        &self,
        request: Request<v1::DeleteReviewEnvironmentsRequest>,
    ) -> Result<Response<v1::DeleteReviewEnvironmentsResponse>, Status> {
        self.answer(request, |_| v1::DeleteReviewEnvironmentsResponse {
            environments: vec![environment(9)],
        })
    }
}

#[tonic::async_trait]
impl v1::metadata_service_server::MetadataService for Fake {
    async fn get_metadata(
        &self,
        request: Request<v1::GetMetadataRequest>,
    ) -> Result<Response<v1::GetMetadataResponse>, Status> {
        self.answer(request, |_| v1::GetMetadataResponse {
            version: "0.1.0".to_owned(),
            revision: "abc".to_owned(),
        })
    }
}
