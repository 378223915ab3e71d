//! Calls about shares.

use tonic::{Request, Response, Status};

use super::missing;
use crate::{
    app::App,
    domain::{guard::Guard, id::GroupId},
    grpc::{convert, mutation, open, page_token::paged_by_id, reply, status::refuse},
    pb::v1 as pb,
    store::DirectoryAnswer,
};

fn created(answer: &DirectoryAnswer) -> pb::CreateGroupShareResponse {
    pb::CreateGroupShareResponse {
        group_share: answer.share.as_ref().map(convert::group_share),
    }
}

fn updated(answer: &DirectoryAnswer) -> pb::UpdateGroupShareResponse {
    pb::UpdateGroupShareResponse {
        group_share: answer.share.as_ref().map(convert::group_share),
        created: answer.created,
    }
}

fn deleted(_: &DirectoryAnswer) -> pb::DeleteGroupShareResponse {
    pb::DeleteGroupShareResponse {}
}

/// CreateGroupShare.
pub async fn create(
    app: &App,
    request: Request<pb::CreateGroupShareRequest>,
) -> Result<Response<pb::CreateGroupShareResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "CreateGroupShare",
            &request,
            &request.request_id,
            request.validate_only,
            created,
        )?;
        let level = convert::read_access_level("access_level", request.access_level)?;
        let container = convert::container_key(request.container)?;
        let group = convert::group_key(request.group)?;
        app.share_create(&caller, container, group, level, mutation).await
    };
    reply(done.await, created)
}

/// GetGroupShare.
pub async fn get(
    app: &App,
    request: Request<pb::GetGroupShareRequest>,
) -> Result<Response<pb::GetGroupShareResponse>, Status> {
    let (caller, request) = open(request)?;
    let container = convert::container_key(request.container).map_err(refuse)?;
    let group = convert::group_key(request.group).map_err(refuse)?;
    let share = app.share_get(&caller, &container, &group).await.map_err(refuse)?;
    Ok(Response::new(pb::GetGroupShareResponse {
        group_share: Some(convert::group_share(&share)),
    }))
}

/// ListGroupShares.
pub async fn list(
    app: &App,
    request: Request<pb::ListGroupSharesRequest>,
) -> Result<Response<pb::ListGroupSharesResponse>, Status> {
    let (caller, request) = open(request)?;
    let (tokens, page) = paged_by_id!("ListGroupShares", request, GroupId).map_err(refuse)?;
    let container = convert::container_key(request.container).map_err(refuse)?;
    let page = app.share_list(&caller, &container, &page).await.map_err(refuse)?;
    Ok(Response::new(pb::ListGroupSharesResponse {
        group_shares: page.items.iter().map(convert::group_share).collect(),
        next_page_token: tokens.issue_id(page.next),
        total_size: page.total,
    }))
}

/// UpdateGroupShare.
pub async fn update(
    app: &App,
    request: Request<pb::UpdateGroupShareRequest>,
) -> Result<Response<pb::UpdateGroupShareResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "UpdateGroupShare",
            &request,
            &request.request_id,
            request.validate_only,
            updated,
        )?;
        let level = convert::read_access_level("access_level", request.access_level)?;
        let pair = (
            convert::container_key(request.container)?,
            convert::group_key(request.group)?,
        );
        let missing = missing(request.allow_missing);
        let guard = Guard::etag(request.etag);
        app.share_update(&caller, pair, level, missing, guard, mutation)
            .await
    };
    reply(done.await, updated)
}

/// DeleteGroupShare.
pub async fn delete(
    app: &App,
    request: Request<pb::DeleteGroupShareRequest>,
) -> Result<Response<pb::DeleteGroupShareResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "DeleteGroupShare",
            &request,
            &request.request_id,
            request.validate_only,
            deleted,
        )?;
        let container = convert::container_key(request.container)?;
        let group = convert::group_key(request.group)?;
        let guard = Guard::etag(request.etag);
        app.share_delete(&caller, container, group, guard, mutation).await
    };
    reply(done.await, deleted)
}
