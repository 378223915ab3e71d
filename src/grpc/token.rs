//! TokenService.

use tonic::{Request, Response, Status};

use super::{Services, convert, mutation, open, page_token::paged_by_id, reply, status::refuse};
use crate::{
    domain::{error::Error, id::TokenId, token::CreateToken},
    pb::v1::{self as pb, token_service_server::TokenService},
    store::{DirectoryAnswer, Done},
};

/// The answer without the secret: so it is remembered, for nobody but the first reader may see the secret.
fn created(answer: &DirectoryAnswer) -> pb::CreateTokenResponse {
    pb::CreateTokenResponse {
        token: answer.token.as_ref().map(convert::token),
        secret: String::new(),
    }
}

fn revoked(answer: &DirectoryAnswer) -> pb::RevokeTokenResponse {
    pb::RevokeTokenResponse {
        token: answer.token.as_ref().map(convert::token),
    }
}

fn create_command(request: &pb::CreateTokenRequest) -> Result<CreateToken, Error> {
    let scopes = request
        .scopes
        .iter()
        .map(|&scope| convert::read_scope("scopes", scope));
    Ok(CreateToken {
        name: request.name.clone(),
        scopes: scopes.collect::<Result<_, _>>()?,
        expires_at: convert::optional_time("expires_at", request.expires_at)?,
    })
}

#[tonic::async_trait]
impl TokenService for Services {
    async fn create_token(
        &self,
        request: Request<pb::CreateTokenRequest>,
    ) -> Result<Response<pb::CreateTokenResponse>, Status> {
        let (caller, request) = open(request)?;
        let mutation = mutation(
            "CreateToken",
            &request,
            &request.request_id,
            request.validate_only,
            created,
        )
        .map_err(refuse)?;
        let command = create_command(&request).map_err(refuse)?;
        let owner = convert::optional_user_key(request.user).map_err(refuse)?;
        let (done, secret) = self
            .app
            .token_create(&caller, owner, command, mutation)
            .await
            .map_err(refuse)?;
        let kept = matches!(done, Done::Fresh(_)) && !request.validate_only;
        let mut response = reply(Ok(done), created)?;
        if kept {
            secret.reveal().clone_into(&mut response.get_mut().secret);
        }
        Ok(response)
    }

    async fn list_tokens(
        &self,
        request: Request<pb::ListTokensRequest>,
    ) -> Result<Response<pb::ListTokensResponse>, Status> {
        let (caller, request) = open(request)?;
        let (tokens, page) = paged_by_id!("ListTokens", request, TokenId).map_err(refuse)?;
        let owner = convert::optional_user_key(request.user).map_err(refuse)?;
        let page = self
            .app
            .token_list(&caller, owner.as_ref(), &page)
            .await
            .map_err(refuse)?;
        Ok(Response::new(pb::ListTokensResponse {
            tokens: page.items.iter().map(convert::token).collect(),
            next_page_token: tokens.issue_id(page.next),
            total_size: page.total,
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<pb::RevokeTokenRequest>,
    ) -> Result<Response<pb::RevokeTokenResponse>, Status> {
        let (caller, request) = open(request)?;
        let mutation = mutation(
            "RevokeToken",
            &request,
            &request.request_id,
            request.validate_only,
            revoked,
        )
        .map_err(refuse)?;
        let done = self
            .app
            .token_revoke(&caller, TokenId(request.token_id), mutation)
            .await;
        reply(done, revoked)
    }

    async fn who_am_i(
        &self,
        request: Request<pb::WhoAmIRequest>,
    ) -> Result<Response<pb::WhoAmIResponse>, Status> {
        let (caller, _) = open(request)?;
        Ok(Response::new(pb::WhoAmIResponse {
            user: Some(convert::user(&caller.user, &caller.user)),
            token: Some(convert::token(&caller.token)),
        }))
    }
}
