//! `/version` and `/metadata` (contract 2.11).

use http::StatusCode;

use super::{call::Call, reply, route::Answer, view::Metadata};
use crate::pb::v1::{GetMetadataRequest, metadata_service_client::MetadataServiceClient as Client};

/// Shows what answers here.
pub(super) async fn get(call: Call) -> Answer {
    let found = Client::new(call.channel())
        .get_metadata(call.request(GetMetadataRequest {}))
        .await?
        .into_inner();
    reply::json(StatusCode::OK, &Metadata::from(found))
}
