//! `/projects/:id` (contract 2.11).

use http::StatusCode;

use super::{call::Call, reply, route::Answer, view::Project, words};
use crate::pb::v1::{
    GetProjectRequest, UpdateProjectRequest, directory_service_client::DirectoryServiceClient as Client,
};

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
    reply::json(
        StatusCode::OK,
        &Project::with_access(project, &viewer, &call.base),
    )
}

/// Changes what is mentioned (product decision 8). Null clears a description; nothing else can be without a value, so
/// null leaves it as it is.
pub(super) async fn update(call: Call) -> Answer {
    let mut input = call.input();
    let request = UpdateProjectRequest {
        project: Some(call.project()),
        name: input.text("name").given(),
        default_branch: input.text("default_branch").given(),
        description: input.text("description").or_cleared(String::new()),
        visibility: input
            .choice("visibility", words::VISIBILITIES)
            .given()
            .map(i32::from),
        forward_deployment_enabled: input.boolean("ci_forward_deployment_enabled"),
        forward_deployment_rollback_allowed: input.boolean("ci_forward_deployment_rollback_allowed"),
        allow_self_approval: input.boolean("allow_pipeline_trigger_approve_deployment"),
        ..Default::default()
    };
    input.finish()?;

    let made = Client::new(call.channel())
        .update_project(call.request(request))
        .await?
        .into_inner();
    let project = reply::complete(made.project)?;
    reply::json(StatusCode::OK, &Project::new(project, &call.base))
}
