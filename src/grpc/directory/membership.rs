//! Calls about memberships.

use tonic::{Request, Response, Status};

use super::missing;
use crate::{
    app::App,
    domain::{guard::Guard, id::UserId},
    grpc::{convert, mutation, open, page_token::paged_by_id, reply, status::refuse},
    pb::v1 as pb,
    store::DirectoryAnswer,
};

fn created(answer: &DirectoryAnswer) -> pb::CreateMembershipResponse {
    pb::CreateMembershipResponse {
        membership: answer.membership.as_ref().map(convert::membership),
    }
}

fn updated(answer: &DirectoryAnswer) -> pb::UpdateMembershipResponse {
    pb::UpdateMembershipResponse {
        membership: answer.membership.as_ref().map(convert::membership),
        created: answer.created,
    }
}

fn deleted(_: &DirectoryAnswer) -> pb::DeleteMembershipResponse {
    pb::DeleteMembershipResponse {}
}

/// CreateMembership.
pub async fn create(
    app: &App,
    request: Request<pb::CreateMembershipRequest>,
) -> Result<Response<pb::CreateMembershipResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "CreateMembership",
            &request,
            &request.request_id,
            request.validate_only,
            created,
        )?;
        let level = convert::read_access_level("access_level", request.access_level)?;
        let container = convert::container_key(request.container)?;
        let user = convert::user_key(request.user)?;
        app.membership_create(&caller, container, user, level, mutation)
            .await
    };
    reply(done.await, created)
}

/// GetMembership.
pub async fn get(
    app: &App,
    request: Request<pb::GetMembershipRequest>,
) -> Result<Response<pb::GetMembershipResponse>, Status> {
    let (caller, request) = open(request)?;
    let container = convert::container_key(request.container).map_err(refuse)?;
    let user = convert::user_key(request.user).map_err(refuse)?;
    let membership = app
        .membership_get(&caller, &container, &user)
        .await
        .map_err(refuse)?;
    Ok(Response::new(pb::GetMembershipResponse {
        membership: Some(convert::membership(&membership)),
    }))
}

/// ListMemberships.
pub async fn list(
    app: &App,
    request: Request<pb::ListMembershipsRequest>,
) -> Result<Response<pb::ListMembershipsResponse>, Status> {
    let (caller, request) = open(request)?;
    let (tokens, page) = paged_by_id!("ListMemberships", request, UserId).map_err(refuse)?;
    let container = convert::container_key(request.container).map_err(refuse)?;
    let page = app
        .membership_list(&caller, &container, &page)
        .await
        .map_err(refuse)?;
    Ok(Response::new(pb::ListMembershipsResponse {
        memberships: page.items.iter().map(convert::membership).collect(),
        next_page_token: tokens.issue_id(page.next),
        total_size: page.total,
    }))
}

/// UpdateMembership.
pub async fn update(
    app: &App,
    request: Request<pb::UpdateMembershipRequest>,
) -> Result<Response<pb::UpdateMembershipResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "UpdateMembership",
            &request,
            &request.request_id,
            request.validate_only,
            updated,
        )?;
        let level = convert::read_access_level("access_level", request.access_level)?;
        let pair = (
            convert::container_key(request.container)?,
            convert::user_key(request.user)?,
        );
        let missing = missing(request.allow_missing);
        let guard = Guard::etag(request.etag);
        app.membership_update(&caller, pair, level, missing, guard, mutation)
            .await
    };
    reply(done.await, updated)
}

/// DeleteMembership.
pub async fn delete(
    app: &App,
    request: Request<pb::DeleteMembershipRequest>,
) -> Result<Response<pb::DeleteMembershipResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "DeleteMembership",
            &request,
            &request.request_id,
            request.validate_only,
            deleted,
        )?;
        let container = convert::container_key(request.container)?;
        let user = convert::user_key(request.user)?;
        let guard = Guard::etag(request.etag);
        app.membership_delete(&caller, container, user, guard, mutation)
            .await
    };
    reply(done.await, deleted)
}
