//! ApprovalService.

use tonic::{Request, Response, Status};

use super::{
    Services, convert,
    gate::{self, Extended},
    mutation, open,
    page_token::{IdPosition, Query},
    presumed, reply,
    status::refuse,
};
use crate::{
    app::approval::PendingDecision,
    domain::{
        approval::SubmitApproval,
        error::Error,
        guard::Guard,
        id::{ApprovalRuleId, DeploymentId, UserId},
        page::PageRequest,
    },
    pb::v1::{self as pb, approval_service_server::ApprovalService},
    store::ProjectAnswer,
};

fn submitted(answer: &ProjectAnswer) -> pb::SubmitApprovalResponse {
    let extended = Extended::after(answer);
    pb::SubmitApprovalResponse {
        approval: answer.approval().as_ref().map(gate::approval),
        deployment: extended.deployment,
        approval_state: extended.approval_state,
    }
}

fn command(request: &pb::SubmitApprovalRequest) -> Result<SubmitApproval, Error> {
    let comment = request
        .comment
        .clone()
        .map(|comment| convert::text("comment", comment));
    Ok(SubmitApproval {
        status: convert::read_approval_status("status", request.status)?,
        comment: comment.transpose()?,
        represented_as: convert::text("represented_as", request.represented_as.clone())?,
    })
}

fn ids(rules: &[ApprovalRuleId]) -> Vec<i64> {
    rules.iter().map(|rule| rule.0).collect()
}

fn pending_decision(decision: &PendingDecision) -> pb::PendingDecision {
    pb::PendingDecision {
        deployment: Some(convert::deployment(&decision.gate.deployment)),
        project_full_path: decision.gate.project.full_path.clone(),
        approval_state: Some(gate::approval_state(&decision.gate.approval_state())),
        approval_rule_ids: ids(&decision.rules),
    }
}

/// The page that starts where a token says.
fn page<C>(
    tokens: &Query,
    size: i32,
    token: &str,
    position: impl Fn(i64) -> C,
) -> Result<PageRequest<C>, Error> {
    let after = tokens.read::<IdPosition>(token)?;
    convert::page(size, 0, false, after.map(|after| position(after.0)))
}

#[tonic::async_trait]
impl ApprovalService for Services {
    async fn submit_approval(
        &self,
        request: Request<pb::SubmitApprovalRequest>,
    ) -> Result<Response<pb::SubmitApprovalResponse>, Status> {
        let caller = presumed(&request)?;
        let request = request.into_inner();
        let id = &request.request_id;
        let mutation =
            mutation("SubmitApproval", &request, id, request.validate_only, submitted).map_err(refuse)?;
        let command = command(&request).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let id = DeploymentId(request.deployment_id);
        let guard = Guard::etag(request.etag);
        let done = self
            .app
            .approval_submit(&caller, project, id, command, guard, mutation)
            .await;
        reply(done, submitted)
    }

    async fn get_approval_state(
        &self,
        request: Request<pb::GetApprovalStateRequest>,
    ) -> Result<Response<pb::GetApprovalStateResponse>, Status> {
        let (caller, request) = open(request)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let id = DeploymentId(request.deployment_id);
        let found = self.app.gate_for(&caller, &project, id).await.map_err(refuse)?;
        Ok(Response::new(pb::GetApprovalStateResponse {
            approval_state: Some(gate::approval_state(&found.approval_state())),
        }))
    }

    async fn list_eligible_approvers(
        &self,
        request: Request<pb::ListEligibleApproversRequest>,
    ) -> Result<Response<pb::ListEligibleApproversResponse>, Status> {
        let (caller, request) = open(request)?;
        let bound = pb::ListEligibleApproversRequest {
            page_size: 0,
            page_token: String::new(),
            ..request.clone()
        };
        let tokens = Query::new("ListEligibleApprovers", &bound);
        let page = page(&tokens, request.page_size, &request.page_token, UserId).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let id = DeploymentId(request.deployment_id);
        let found = self
            .app
            .approver_list(&caller, &project, id, &page)
            .await
            .map_err(refuse)?;
        Ok(Response::new(pb::ListEligibleApproversResponse {
            eligible_approvers: found
                .items
                .iter()
                .map(|approver| pb::EligibleApprover {
                    user: Some(convert::user_summary(&approver.user)),
                    approval_rule_ids: ids(&approver.rules),
                })
                .collect(),
            next_page_token: tokens.issue_id(found.next),
        }))
    }

    async fn list_pending_decisions(
        &self,
        request: Request<pb::ListPendingDecisionsRequest>,
    ) -> Result<Response<pb::ListPendingDecisionsResponse>, Status> {
        let (caller, request) = open(request)?;
        let tokens = Query::new(
            "ListPendingDecisions",
            &pb::ListPendingDecisionsRequest::default(),
        );
        let page = page(&tokens, request.page_size, &request.page_token, DeploymentId).map_err(refuse)?;
        let found = self
            .app
            .pending_decision_list(&caller, &page)
            .await
            .map_err(refuse)?;
        Ok(Response::new(pb::ListPendingDecisionsResponse {
            pending_decisions: found.items.iter().map(pending_decision).collect(),
            next_page_token: tokens.issue_id(found.next),
        }))
    }

    async fn explain_deployment(
        &self,
        request: Request<pb::ExplainDeploymentRequest>,
    ) -> Result<Response<pb::ExplainDeploymentResponse>, Status> {
        let (caller, request) = open(request)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let id = DeploymentId(request.deployment_id);
        let holds = self
            .app
            .deployment_explain(&caller, &project, id)
            .await
            .map_err(refuse)?;
        Ok(Response::new(pb::ExplainDeploymentResponse {
            holds: holds.iter().map(gate::hold).collect(),
        }))
    }
}
