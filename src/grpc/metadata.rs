//! MetadataService: what answers here.

use tonic::{Request, Response, Status};

use super::Services;
use crate::pb::v1::{GetMetadataRequest, GetMetadataResponse, metadata_service_server::MetadataService};

/// The version of Gatehouse.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from.
pub const REVISION: &str = env!("GATEHOUSE_REVISION");

#[tonic::async_trait]
impl MetadataService for Services {
    async fn get_metadata(
        &self,
        _: Request<GetMetadataRequest>,
    ) -> Result<Response<GetMetadataResponse>, Status> {
        Ok(Response::new(GetMetadataResponse {
            version: VERSION.to_owned(),
            revision: REVISION.to_owned(),
        }))
    }
}
