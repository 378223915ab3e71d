//! `/projects/:id/deployments/:deployment_id/approval` (contract 2.8).

use http::StatusCode;

use super::{call::Call, reply, route::Answer, view::Approval, words};
use crate::pb::v1::{SubmitApprovalRequest, approval_service_client::ApprovalServiceClient as Client};

/// Approves or rejects a blocked deployment.
pub(super) async fn submit(call: Call) -> Answer {
    let mut input = call.input();
    let request = SubmitApprovalRequest {
        project: Some(call.project()),
        deployment_id: input.path_integer("deployment_id", call.segments.get("deployment_id")),
        status: input.required_choice("status", words::APPROVAL_STATUSES).into(),
        comment: input.text("comment").given(),
        represented_as: input.text("represented_as").given().unwrap_or_default(),
        ..Default::default()
    };
    input.finish()?;

    let made = Client::new(call.channel())
        .submit_approval(call.request(request))
        .await?
        .into_inner();
    let approval = reply::complete(made.approval)?;
    reply::json(StatusCode::CREATED, &Approval::new(approval, &call.base))
}
