//! Calls about users.

use tonic::{Request, Response, Status};

use super::missing;
use crate::{
    app::App,
    domain::{
        directory::{CreateUser, UpdateUser, UserState},
        error::Error,
        guard::Guard,
        id::UserId,
    },
    grpc::{convert, mutation, open, page_token::paged_by_id, reply, status::refuse},
    pb::v1 as pb,
    store::DirectoryAnswer,
};

/// The user in the answer to a change. Only administrators get one, and they see everything, as users of themselves do.
fn user(answer: &DirectoryAnswer) -> Option<pb::User> {
    answer.user.as_ref().map(|user| convert::user(user, user))
}

fn created(answer: &DirectoryAnswer) -> pb::CreateUserResponse {
    pb::CreateUserResponse { user: user(answer) }
}

fn updated(answer: &DirectoryAnswer) -> pb::UpdateUserResponse {
    pb::UpdateUserResponse {
        user: user(answer),
        created: answer.created,
    }
}

fn deleted(_: &DirectoryAnswer) -> pb::DeleteUserResponse {
    pb::DeleteUserResponse {}
}

fn create_command(request: &pb::CreateUserRequest) -> Result<CreateUser, Error> {
    Ok(CreateUser {
        username: convert::text("username", request.username.clone())?,
        name: request.name.clone(),
        email: request.email.clone(),
        public_email: request.public_email.clone(),
        avatar_url: request.avatar_url.clone(),
        state: UserState::Active,
        admin: request.admin,
        external: request.external,
        profile: request
            .profile
            .clone()
            .map(convert::read_user_profile)
            .unwrap_or_default(),
    })
}

fn update_command(request: &pb::UpdateUserRequest) -> Result<UpdateUser, Error> {
    let state = request
        .state
        .map(|value| convert::read_user_state("state", value));
    Ok(UpdateUser {
        name: request.name.clone(),
        email: request.email.clone(),
        public_email: request.public_email.clone(),
        avatar_url: request.avatar_url.clone(),
        state: state.transpose()?,
        admin: request.admin,
        external: request.external,
        profile: request.profile.clone().map(convert::read_user_profile),
    })
}

/// CreateUser.
pub async fn create(
    app: &App,
    request: Request<pb::CreateUserRequest>,
) -> Result<Response<pb::CreateUserResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "CreateUser",
            &request,
            &request.request_id,
            request.validate_only,
            created,
        )?;
        app.user_create(&caller, create_command(&request)?, mutation)
            .await
    };
    reply(done.await, created)
}

/// GetUser.
pub async fn get(
    app: &App,
    request: Request<pb::GetUserRequest>,
) -> Result<Response<pb::GetUserResponse>, Status> {
    let (caller, request) = open(request)?;
    let key = convert::user_key(request.user).map_err(refuse)?;
    let user = app.user_get(&key).await.map_err(refuse)?;
    Ok(Response::new(pb::GetUserResponse {
        user: Some(convert::user(&user, &caller.user)),
    }))
}

/// ListUsers.
pub async fn list(
    app: &App,
    request: Request<pb::ListUsersRequest>,
) -> Result<Response<pb::ListUsersResponse>, Status> {
    let (caller, request) = open(request)?;
    let (tokens, page) = paged_by_id!("ListUsers", request, UserId).map_err(refuse)?;
    let search = request.search.map(|search| convert::text("search", search));
    let search = search.transpose().map_err(refuse)?;
    let page = app.user_list(search.as_deref(), &page).await.map_err(refuse)?;
    Ok(Response::new(pb::ListUsersResponse {
        users: page
            .items
            .iter()
            .map(|user| convert::user(user, &caller.user))
            .collect(),
        next_page_token: tokens.issue_id(page.next),
        total_size: page.total,
    }))
}

/// UpdateUser.
pub async fn update(
    app: &App,
    request: Request<pb::UpdateUserRequest>,
) -> Result<Response<pb::UpdateUserResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "UpdateUser",
            &request,
            &request.request_id,
            request.validate_only,
            updated,
        )?;
        let command = update_command(&request)?;
        let key = convert::user_key(request.user)?;
        let missing = missing(request.allow_missing);
        let guard = Guard::etag(request.etag);
        app.user_update(&caller, key, command, missing, guard, mutation)
            .await
    };
    reply(done.await, updated)
}

/// DeleteUser.
pub async fn delete(
    app: &App,
    request: Request<pb::DeleteUserRequest>,
) -> Result<Response<pb::DeleteUserResponse>, Status> {
    let (caller, request) = open(request)?;
    let done = async {
        let mutation = mutation(
            "DeleteUser",
            &request,
            &request.request_id,
            request.validate_only,
            deleted,
        )?;
        let key = convert::user_key(request.user)?;
        app.user_delete(&caller, key, Guard::etag(request.etag), mutation)
            .await
    };
    reply(done.await, deleted)
}
