//! Calls about groups.

use tonic::{Request, Response, Status};

use super::missing;
use crate::{
    app::App,
    domain::{
        directory::{CreateGroup, UpdateGroup},
        error::Error,
        guard::Guard,
        id::GroupId,
    },
    grpc::{convert, mutation, open, page_token::paged_by_id, reply, status::refuse},
    pb::v1 as pb,
    store::DirectoryAnswer,
};

fn group(answer: &DirectoryAnswer) -> Option<pb::Group> {
    answer.group.as_ref().map(convert::group)
}

fn created(answer: &DirectoryAnswer) -> pb::CreateGroupResponse {
    pb::CreateGroupResponse { group: group(answer) }
}

fn updated(answer: &DirectoryAnswer) -> pb::UpdateGroupResponse {
    pb::UpdateGroupResponse {
        group: group(answer),
        created: answer.created,
    }
}

fn deleted(_: &DirectoryAnswer) -> pb::DeleteGroupResponse {
    pb::DeleteGroupResponse {}
}

fn create_command(request: &pb::CreateGroupRequest) -> Result<CreateGroup, Error> {
    Ok(CreateGroup {
        path: convert::text("path", request.path.clone())?,
        name: request.name.clone(),
        description: request.description.clone(),
        visibility: convert::visibility_or_private(request.visibility)?,
    })
}

fn update_command(request: &pb::UpdateGroupRequest) -> Result<UpdateGroup, Error> {
    let visibility = request
        .visibility
        .map(|value| convert::read_visibility("visibility", value));
    Ok(UpdateGroup {
        name: request.name.clone(),
        description: request.description.clone(),
        visibility: visibility.transpose()?,
    })
}

/// CreateGroup.
pub async fn create(
    app: &App,
    request: Request<pb::CreateGroupRequest>,
) -> Result<Response<pb::CreateGroupResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "CreateGroup",
            &request,
            &request.request_id,
            request.validate_only,
            created,
        )?;
        let command = create_command(&request)?;
        let parent = convert::optional_group_key("parent", request.parent)?;
        app.group_create(&caller, parent, command, mutation).await
    };
    reply(done.await, created)
}

/// GetGroup.
pub async fn get(
    app: &App,
    request: Request<pb::GetGroupRequest>,
) -> Result<Response<pb::GetGroupResponse>, Status> {
    let (caller, request) = open(request)?;
    let key = convert::group_key(request.group).map_err(refuse)?;
    let group = app.group_get(&caller, &key).await.map_err(refuse)?;
    Ok(Response::new(pb::GetGroupResponse {
        group: Some(convert::group(&group)),
    }))
}

/// ListGroups.
pub async fn list(
    app: &App,
    request: Request<pb::ListGroupsRequest>,
) -> Result<Response<pb::ListGroupsResponse>, Status> {
    let (caller, request) = open(request)?;
    let (tokens, page) = paged_by_id!("ListGroups", request, GroupId).map_err(refuse)?;
    let parent = convert::optional_group_key("parent", request.parent).map_err(refuse)?;
    let page = app
        .group_list(&caller, parent.as_ref(), &page)
        .await
        .map_err(refuse)?;
    Ok(Response::new(pb::ListGroupsResponse {
        groups: page.items.iter().map(convert::group).collect(),
        next_page_token: tokens.issue_id(page.next),
        total_size: page.total,
    }))
}

/// UpdateGroup.
pub async fn update(
    app: &App,
    request: Request<pb::UpdateGroupRequest>,
) -> Result<Response<pb::UpdateGroupResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "UpdateGroup",
            &request,
            &request.request_id,
            request.validate_only,
            updated,
        )?;
        let command = update_command(&request)?;
        let key = convert::group_key(request.group)?;
        let missing = missing(request.allow_missing);
        let guard = Guard::etag(request.etag);
        app.group_update(&caller, key, command, missing, guard, mutation)
            .await
    };
    reply(done.await, updated)
}

/// DeleteGroup.
pub async fn delete(
    app: &App,
    request: Request<pb::DeleteGroupRequest>,
) -> Result<Response<pb::DeleteGroupResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "DeleteGroup",
            &request,
            &request.request_id,
            request.validate_only,
            deleted,
        )?;
        let key = convert::group_key(request.group)?;
        app.group_delete(&caller, key, Guard::etag(request.etag), mutation)
            .await
    };
    reply(done.await, deleted)
}
