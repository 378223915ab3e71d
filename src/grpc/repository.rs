//! RepositoryService.

use tonic::{Request, Response, Status};

use super::{Services, commit, convert, mutation, open, reply, status::refuse};
use crate::{
    app::repository::AttachedRepository,
    domain::{error::Error, guard::Guard},
    pb::v1::{self as pb, repository_service_server::RepositoryService},
    store::DirectoryAnswer,
};

fn attached(answer: &DirectoryAnswer) -> pb::AttachRepositoryResponse {
    pb::AttachRepositoryResponse {
        project: answer.project.as_ref().map(convert::project),
    }
}

fn detached(answer: &DirectoryAnswer) -> pb::DetachRepositoryResponse {
    pb::DetachRepositoryResponse {
        project: answer.project.as_ref().map(convert::project),
    }
}

fn repository(found: &AttachedRepository) -> pb::Repository {
    let inspected = found.inspected.as_ref();
    pb::Repository {
        project_id: found.project.0,
        path: found.path.clone(),
        available: inspected.is_ok(),
        problem: inspected.err().map(ToString::to_string).unwrap_or_default(),
        object_format: inspected
            .map(|inspected| inspected.object_format.clone())
            .unwrap_or_default(),
        shallow: inspected.is_ok_and(|inspected| inspected.shallow),
        head: found.head.as_ref().map(commit::commit),
    }
}

#[tonic::async_trait]
impl RepositoryService for Services {
    async fn attach_repository(
        &self,
        request: Request<pb::AttachRepositoryRequest>,
    ) -> Result<Response<pb::AttachRepositoryResponse>, Status> {
        let (caller, request) = open(request)?;
        let done = async {
            let mutation = mutation(
                "AttachRepository",
                &request,
                &request.request_id,
                request.validate_only,
                attached,
            )?;
            if request.path.is_empty() {
                return Err(Error::argument("path", "is empty"));
            }
            let key = convert::project_key(request.project)?;
            let guard = Guard::etag(request.etag);
            self.app
                .repository_attach(&caller, key, request.path, guard, mutation)
                .await
        };
        reply(done.await, attached)
    }

    async fn get_repository(
        &self,
        request: Request<pb::GetRepositoryRequest>,
    ) -> Result<Response<pb::GetRepositoryResponse>, Status> {
        let (caller, request) = open(request)?;
        let key = convert::project_key(request.project).map_err(refuse)?;
        let found = self.app.repository_get(&caller, &key).await.map_err(refuse)?;
        Ok(Response::new(pb::GetRepositoryResponse {
            repository: Some(repository(&found)),
        }))
    }

    async fn detach_repository(
        &self,
        request: Request<pb::DetachRepositoryRequest>,
    ) -> Result<Response<pb::DetachRepositoryResponse>, Status> {
        let (caller, request) = open(request)?;
        let done = async {
            let mutation = mutation(
                "DetachRepository",
                &request,
                &request.request_id,
                request.validate_only,
                detached,
            )?;
            let key = convert::project_key(request.project)?;
            self.app
                .repository_detach(&caller, key, Guard::etag(request.etag), mutation)
                .await
        };
        reply(done.await, detached)
    }
}
