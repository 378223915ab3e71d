//! `/projects/:id/deployments` (contract 2.2 to 2.6).

use std::{ops::RangeInclusive, time::Duration};

use http::StatusCode;

use super::{
    call::Call,
    error::Failure,
    input::{Field, Input},
    page::{self, Page, Paging},
    reply,
    route::Answer,
    view::{Deployment, ExtendedDeployment},
    words,
};
use crate::pb::v1::{
    self as pb, ApprovalState, CreateDeploymentRequest, DeleteDeploymentRequest, DeploymentFilter,
    DeploymentOrderBy, GetDeploymentRequest, ListDeploymentsRequest, SortDirection,
    UpdateDeploymentStatusRequest, WaitDeploymentRequest,
    deployment_service_client::DeploymentServiceClient as Client,
    event_service_client::EventServiceClient as EventClient, wait_deployment_request::Until,
};

/// How long a caller may wait, in seconds (product decision 23).
const WAIT_SECONDS: RangeInclusive<i64> = 0..=300;
const WAIT_DEFAULT_SECONDS: i64 = 30;

/// Lists deployments.
pub(super) async fn list(call: Call) -> Answer {
    let mut input = call.input();
    let paging = Paging::numbered_or_keyset(&mut input);
    // A link names the defaults, and a cursor is bound to what was asked: so they are asked for by name.
    let order_by = input.choice("order_by", words::DEPLOYMENT_ORDERS).given();
    let direction = input.choice("sort", words::DIRECTIONS).given();
    let filter = DeploymentFilter {
        updated_after: input.time("updated_after"),
        updated_before: input.time("updated_before"),
        finished_after: input.time("finished_after"),
        finished_before: input.time("finished_before"),
        environment: input.text("environment").given().filter(|name| !name.is_empty()),
        status: input
            .choice("status", words::DEPLOYMENT_STATUSES)
            .given()
            .map(i32::from),
    };
    input.finish()?;

    let request = ListDeploymentsRequest {
        project: Some(call.project()),
        filter: Some(filter),
        order_by: order_by.unwrap_or(DeploymentOrderBy::Id).into(),
        direction: direction.unwrap_or(SortDirection::Asc).into(),
        page_size: paging.page_size(),
        page_token: paging.page_token(),
        skip: paging.skip(),
        want_total: paging.want_total(),
    };
    let found = Client::new(call.channel())
        .max_decoding_message_size(page::BYTES_MAX)
        .list_deployments(call.request(request))
        .await?
        .into_inner();
    let page = Page {
        rows: found
            .deployments
            .into_iter()
            .map(|row| Deployment::new(row, &call.base))
            .collect(),
        next_page_token: found.next_page_token,
        total_size: found.total_size,
    };
    paging.reply(&call, &[("order_by", "id"), ("sort", "asc")], &page)
}

/// Shows a deployment: at once, or when it is where the caller waits for it to be.
pub(super) async fn get(call: Call) -> Answer {
    let mut input = call.input();
    let deployment_id = input.path_integer("deployment_id", call.segments.get("deployment_id"));
    if let Field::Given(until) = input.choice("wait_for", words::WAITS) {
        let timeout = timeout(&mut input);
        input.finish()?;
        return wait(&call, deployment_id, until, timeout).await;
    }
    input.finish()?;

    let request = GetDeploymentRequest {
        project: Some(call.project()),
        deployment_id,
    };
    let found = Client::new(call.channel())
        .get_deployment(call.request(request))
        .await?
        .into_inner();
    extended(&call, StatusCode::OK, found.deployment, found.approval_state)
}

/// How long to wait at most.
fn timeout(input: &mut Input<'_>) -> Duration {
    let seconds = input.integer("timeout").unwrap_or(WAIT_DEFAULT_SECONDS);
    if !WAIT_SECONDS.contains(&seconds) {
        input.refuse("timeout does not have a valid value");
    }
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// Shows a deployment when it is there, can no longer get there, or the time is up: which of these it was, its status
/// tells (product decision 23).
async fn wait(call: &Call, deployment_id: i64, until: Option<Until>, timeout: Duration) -> Answer {
    let request = WaitDeploymentRequest {
        project: Some(call.project()),
        deployment_id,
        timeout: prost_types::Duration::try_from(timeout).ok(),
        fail_unless: false,
        until,
    };
    let mut client = EventClient::new(call.channel());
    let found = tokio::select! {
        found = client.wait_deployment(call.waiting_request(request, timeout)) => found?.into_inner(),
        // Who waits would keep the sidecar from stopping; they can wait at the next one.
        () = call.stopping.cancelled() => return Err(Failure::unavailable()),
    };
    extended(call, StatusCode::OK, found.deployment, found.approval_state)
}

/// Records a deployment.
pub(super) async fn create(call: Call) -> Answer {
    let mut input = call.input();
    let request = CreateDeploymentRequest {
        project: Some(call.project()),
        environment: input.filled_text("environment"),
        sha: input.filled_text("sha"),
        r#ref: input.filled_text("ref"),
        tag: input.required_boolean("tag"),
        status: input.required_choice("status", words::REQUESTED_STATUSES).into(),
        ..Default::default()
    };
    input.finish()?;

    let made = Client::new(call.channel())
        .create_deployment(call.request(request))
        .await?
        .into_inner();
    extended(&call, StatusCode::CREATED, made.deployment, made.approval_state)
}

/// Moves a deployment to another status.
pub(super) async fn update(call: Call) -> Answer {
    let mut input = call.input();
    let request = UpdateDeploymentStatusRequest {
        project: Some(call.project()),
        deployment_id: input.path_integer("deployment_id", call.segments.get("deployment_id")),
        status: input.required_choice("status", words::REQUESTED_STATUSES).into(),
        ..Default::default()
    };
    input.finish()?;

    let made = Client::new(call.channel())
        .update_deployment_status(call.request(request))
        .await?
        .into_inner();
    extended(&call, StatusCode::OK, made.deployment, made.approval_state)
}

/// Deletes a deployment.
pub(super) async fn delete(call: Call) -> Answer {
    let mut input = call.input();
    let deployment_id = input.path_integer("deployment_id", call.segments.get("deployment_id"));
    input.finish()?;

    let request = DeleteDeploymentRequest {
        project: Some(call.project()),
        deployment_id,
        unmodified_since: call.unmodified_since(),
        ..Default::default()
    };
    Client::new(call.channel())
        .delete_deployment(call.request(request))
        .await?;
    reply::message(StatusCode::ACCEPTED, "202 Accepted")
}

/// Answers with a deployment alone.
fn extended(
    call: &Call,
    status: StatusCode,
    deployment: Option<pb::Deployment>,
    state: Option<ApprovalState>,
) -> Answer {
    let deployment = reply::complete(deployment)?;
    reply::json(status, &ExtendedDeployment::new(deployment, state, &call.base))
}
