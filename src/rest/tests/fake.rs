//! A gRPC server on a real socket that remembers what it was asked and answers what it was told.

use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::Server};

use crate::pb::v1::{
    self,
    approval_service_server::ApprovalServiceServer,
    deployment_service_server::DeploymentServiceServer,
    environment_service_server::EnvironmentServiceServer,
    event_service_server::EventServiceServer,
    merge_request_service_server::{MergeRequestService, MergeRequestServiceServer},
    metadata_service_server::MetadataServiceServer,
};

/// What the server is to answer, and what it was asked last.
#[derive(Default)]
pub(super) struct Fake {
    /// If set, every call is refused with it.
    pub refusal: Mutex<Option<Status>>,
    /// The answer to lists of deployments.
    pub deployments: Mutex<v1::ListDeploymentsResponse>,
    /// What was decided about every deployment that is shown alone.
    pub approval_state: Mutex<Option<v1::ApprovalState>>,
    /// How waits end.
    pub wait_outcome: Mutex<v1::WaitOutcome>,
    /// The answer to lists of merge requests.
    pub merge_requests: Mutex<v1::ListDeploymentMergeRequestsResponse>,
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
            .add_service(ApprovalServiceServer::from_arc(Arc::clone(&fake)))
            .add_service(EventServiceServer::from_arc(Arc::clone(&fake)))
            .add_service(EnvironmentServiceServer::from_arc(Arc::clone(&fake)))
            .add_service(MergeRequestServiceServer::from_arc(Arc::clone(&fake)))
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

/// A decision of the user with that id.
pub(super) fn approval(user_id: i64, status: v1::ApprovalStatus, comment: Option<&str>) -> v1::Approval {
    v1::Approval {
        user: Some(v1::UserSummary {
            id: user_id,
            username: format!("user-{user_id}"),
            name: format!("User {user_id}"),
            state: v1::UserState::Active.into(),
            ..Default::default()
        }),
        status: status.into(),
        comment: comment.map(str::to_owned),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl MergeRequestService for Fake {
    async fn upsert_merge_request(
        &self,
        request: Request<v1::UpsertMergeRequestRequest>,
    ) -> Result<Response<v1::UpsertMergeRequestResponse>, Status> {
        self.answer(request, |_| v1::UpsertMergeRequestResponse::default())
    }

    async fn get_merge_request(
        &self,
        _: Request<v1::GetMergeRequestRequest>,
    ) -> Result<Response<v1::GetMergeRequestResponse>, Status> {
        Err(Status::unimplemented("the sidecar does not ask for it"))
    }

    async fn list_merge_requests(
        &self,
        _: Request<v1::ListMergeRequestsRequest>,
    ) -> Result<Response<v1::ListMergeRequestsResponse>, Status> {
        Err(Status::unimplemented("the sidecar does not ask for it"))
    }

    async fn list_deployment_merge_requests(
        &self,
        request: Request<v1::ListDeploymentMergeRequestsRequest>,
    ) -> Result<Response<v1::ListDeploymentMergeRequestsResponse>, Status> {
        self.answer(request, |_| self.merge_requests.lock().unwrap().clone())
    }

    async fn list_deployments_of_merge_request(
        &self,
        _: Request<v1::ListDeploymentsOfMergeRequestRequest>,
    ) -> Result<Response<v1::ListDeploymentsOfMergeRequestResponse>, Status> {
        Err(Status::unimplemented("the sidecar does not ask for it"))
    }

    async fn delete_merge_request(
        &self,
        _: Request<v1::DeleteMergeRequestRequest>,
    ) -> Result<Response<v1::DeleteMergeRequestResponse>, Status> {
        Err(Status::unimplemented("the sidecar does not ask for it"))
    }
}

#[tonic::async_trait]
impl v1::deployment_service_server::DeploymentService for Fake {
    async fn get_deployment_changes(
        &self,
        _: Request<v1::GetDeploymentChangesRequest>,
    ) -> Result<Response<v1::GetDeploymentChangesResponse>, Status> {
        Err(Status::unimplemented("the sidecar does not ask for it"))
    }

    async fn create_deployment(
        &self,
        request: Request<v1::CreateDeploymentRequest>,
    ) -> Result<Response<v1::CreateDeploymentResponse>, Status> {
        self.answer(request, |_| v1::CreateDeploymentResponse {
            deployment: Some(deployment(42)),
            approval_state: self.approval_state.lock().unwrap().clone(),
            viewer: None,
        })
    }

    async fn get_deployment(
        &self,
        request: Request<v1::GetDeploymentRequest>,
    ) -> Result<Response<v1::GetDeploymentResponse>, Status> {
        self.answer(request, |asked| v1::GetDeploymentResponse {
            deployment: Some(deployment(asked.deployment_id)),
            approval_state: self.approval_state.lock().unwrap().clone(),
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
            approval_state: self.approval_state.lock().unwrap().clone(),
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

#[tonic::async_trait]
impl v1::approval_service_server::ApprovalService for Fake {
    async fn submit_approval(
        &self,
        request: Request<v1::SubmitApprovalRequest>,
    ) -> Result<Response<v1::SubmitApprovalResponse>, Status> {
        self.answer(request, |asked| v1::SubmitApprovalResponse {
            approval: Some(approval(100, asked.status(), asked.comment.as_deref())),
            deployment: Some(deployment(asked.deployment_id)),
            approval_state: self.approval_state.lock().unwrap().clone(),
        })
    }

    async fn get_approval_state(
        &self,
        _: Request<v1::GetApprovalStateRequest>,
    ) -> Result<Response<v1::GetApprovalStateResponse>, Status> {
        Err(Status::unimplemented("the sidecar does not ask for it"))
    }

    async fn list_eligible_approvers(
        &self,
        _: Request<v1::ListEligibleApproversRequest>,
    ) -> Result<Response<v1::ListEligibleApproversResponse>, Status> {
        Err(Status::unimplemented("the sidecar does not ask for it"))
    }

    async fn list_pending_decisions(
        &self,
        _: Request<v1::ListPendingDecisionsRequest>,
    ) -> Result<Response<v1::ListPendingDecisionsResponse>, Status> {
        Err(Status::unimplemented("the sidecar does not ask for it"))
    }

    async fn explain_deployment(
        &self,
        _: Request<v1::ExplainDeploymentRequest>,
    ) -> Result<Response<v1::ExplainDeploymentResponse>, Status> {
        Err(Status::unimplemented("the sidecar does not ask for it"))
    }
}

#[tonic::async_trait]
impl v1::event_service_server::EventService for Fake {
    type WatchEventsStream = tokio_stream::Empty<Result<v1::WatchEventsResponse, Status>>;

    async fn wait_deployment(
        &self,
        request: Request<v1::WaitDeploymentRequest>,
    ) -> Result<Response<v1::WaitDeploymentResponse>, Status> {
        self.answer(request, |asked| v1::WaitDeploymentResponse {
            outcome: (*self.wait_outcome.lock().unwrap()).into(),
            deployment: Some(deployment(asked.deployment_id)),
            approval_state: self.approval_state.lock().unwrap().clone(),
        })
    }

    async fn list_events(
        &self,
        _: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        Err(Status::unimplemented("the sidecar does not ask for it"))
    }

    async fn watch_events(
        &self,
        _: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        Err(Status::unimplemented("the sidecar does not ask for it"))
    }
}
