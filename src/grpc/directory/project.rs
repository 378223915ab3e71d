//! Calls about projects.

use tonic::{Request, Response, Status};

use super::missing;
use crate::{
    app::App,
    domain::{
        directory::{CreateProject, UpdateProject},
        error::Error,
        guard::Guard,
        id::ProjectId,
    },
    grpc::{convert, mutation, open, page_token::paged_by_id, reply, status::refuse},
    pb::v1 as pb,
    store::DirectoryAnswer,
};

fn project(answer: &DirectoryAnswer) -> Option<pb::Project> {
    answer.project.as_ref().map(convert::project)
}

fn created(answer: &DirectoryAnswer) -> pb::CreateProjectResponse {
    pb::CreateProjectResponse {
        project: project(answer),
    }
}

fn updated(answer: &DirectoryAnswer) -> pb::UpdateProjectResponse {
    pb::UpdateProjectResponse {
        project: project(answer),
        created: answer.created,
    }
}

fn deleted(_: &DirectoryAnswer) -> pb::DeleteProjectResponse {
    pb::DeleteProjectResponse {}
}

fn create_command(request: &pb::CreateProjectRequest) -> Result<CreateProject, Error> {
    Ok(CreateProject {
        path: convert::text("path", request.path.clone())?,
        name: request.name.clone(),
        description: request.description.clone(),
        visibility: convert::visibility_or_private(request.visibility)?,
        default_branch: request.default_branch.clone(),
        archived: false,
        allow_self_approval: request.allow_self_approval,
        forward_deployment_enabled: request.forward_deployment_enabled,
        forward_deployment_rollback_allowed: request.forward_deployment_rollback_allowed,
    })
}

fn update_command(request: &pb::UpdateProjectRequest) -> Result<UpdateProject, Error> {
    let visibility = request
        .visibility
        .map(|value| convert::read_visibility("visibility", value));
    Ok(UpdateProject {
        name: request.name.clone(),
        description: request.description.clone(),
        visibility: visibility.transpose()?,
        default_branch: request.default_branch.clone(),
        archived: request.archived,
        allow_self_approval: request.allow_self_approval,
        forward_deployment_enabled: request.forward_deployment_enabled,
        forward_deployment_rollback_allowed: request.forward_deployment_rollback_allowed,
    })
}

/// CreateProject.
pub async fn create(
    app: &App,
    request: Request<pb::CreateProjectRequest>,
) -> Result<Response<pb::CreateProjectResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "CreateProject",
            &request,
            &request.request_id,
            request.validate_only,
            created,
        )?;
        let command = create_command(&request)?;
        let group = convert::group_key(request.group)?;
        app.project_create(&caller, group, command, mutation).await
    };
    reply(done.await, created)
}

/// GetProject.
pub async fn get(
    app: &App,
    request: Request<pb::GetProjectRequest>,
) -> Result<Response<pb::GetProjectResponse>, Status> {
    let (caller, request) = open(request)?;
    let key = convert::project_key(request.project).map_err(refuse)?;
    let view = app.project_get(&caller, &key).await.map_err(refuse)?;
    Ok(Response::new(pb::GetProjectResponse {
        project: Some(convert::project(&view.project)),
        viewer: Some(convert::viewer(view.standing)),
    }))
}

/// ListProjects.
pub async fn list(
    app: &App,
    request: Request<pb::ListProjectsRequest>,
) -> Result<Response<pb::ListProjectsResponse>, Status> {
    let (caller, request) = open(request)?;
    let (tokens, page) = paged_by_id!("ListProjects", request, ProjectId).map_err(refuse)?;
    let group = convert::optional_group_key("group", request.group).map_err(refuse)?;
    let page = app
        .project_list(&caller, group.as_ref(), &page)
        .await
        .map_err(refuse)?;
    Ok(Response::new(pb::ListProjectsResponse {
        projects: page.items.iter().map(convert::project).collect(),
        next_page_token: tokens.issue_id(page.next),
        total_size: page.total,
    }))
}

/// UpdateProject.
pub async fn update(
    app: &App,
    request: Request<pb::UpdateProjectRequest>,
) -> Result<Response<pb::UpdateProjectResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "UpdateProject",
            &request,
            &request.request_id,
            request.validate_only,
            updated,
        )?;
        let command = update_command(&request)?;
        let key = convert::project_key(request.project)?;
        let missing = missing(request.allow_missing);
        let guard = Guard::etag(request.etag);
        app.project_update(&caller, key, command, missing, guard, mutation)
            .await
    };
    reply(done.await, updated)
}

/// DeleteProject.
pub async fn delete(
    app: &App,
    request: Request<pb::DeleteProjectRequest>,
) -> Result<Response<pb::DeleteProjectResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "DeleteProject",
            &request,
            &request.request_id,
            request.validate_only,
            deleted,
        )?;
        let key = convert::project_key(request.project)?;
        app.project_delete(&caller, key, Guard::etag(request.etag), mutation)
            .await
    };
    reply(done.await, deleted)
}
