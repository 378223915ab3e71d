//! `/projects/:id` (contract 2.11).

use http::StatusCode;

use super::{call::Call, reply, route::Answer, view::Project};
use crate::pb::v1::{GetProjectRequest, directory_service_client::DirectoryServiceClient as Client};

/// Shows a project.
pub(super) async fn get(call: Call) -> Answer {
    let request = GetProjectRequest {
        project: Some(call.project()),
    };
    let found = Client::new(call.channel())
        .get_project(call.request(request))
        .await?
        .into_inner();
    let project = reply::complete(found.project)?;
    let viewer = found.viewer.unwrap_or_default();
    reply::json(StatusCode::OK, &Project::new(project, &viewer, &call.base))
}
