//! `/user` (contract 2.11).

use http::StatusCode;

use super::{call::Call, reply, route::Answer, view::CurrentUser};
use crate::pb::v1::{WhoAmIRequest, token_service_client::TokenServiceClient as Client};

/// Shows who calls.
pub(super) async fn get(call: Call) -> Answer {
    let found = Client::new(call.channel())
        .who_am_i(call.request(WhoAmIRequest {}))
        .await?
        .into_inner();
    reply::json(
        StatusCode::OK,
        &CurrentUser::new(reply::complete(found.user)?, &call.base),
    )
}
