//! MergeRequestService.

mod filter;
pub(super) mod message;

use tonic::{Request, Response, Status};

use super::{
    Services, convert, mutation, open,
    page_token::{Query, paged_by_id},
    reply,
    status::refuse,
};
use crate::{
    domain::{
        guard::Guard,
        id::{DeploymentId, MergeRequestIid},
        merge_request::report::UpsertMergeRequest,
    },
    pb::v1::{self as pb, merge_request_service_server::MergeRequestService},
    store::ProjectAnswer,
};

fn upserted(answer: &ProjectAnswer) -> pb::UpsertMergeRequestResponse {
    let answer = answer.merge_request.as_ref();
    pb::UpsertMergeRequestResponse {
        merge_request: answer.map(|answer| message::merge_request(&answer.merge_request)),
        created: answer.is_some_and(|answer| answer.created),
        stale: answer.is_some_and(|answer| answer.stale),
    }
}

fn deleted(_: &ProjectAnswer) -> pb::DeleteMergeRequestResponse {
    pb::DeleteMergeRequestResponse {}
}

/// The query that a page token is bound to: no paging fields, and the defaults by name, so that leaving them out and
/// naming them is the same query. A macro, because the two lists share fields but no type.
macro_rules! bound {
    ($request:expr) => {{
        let mut bound = $request.clone();
        if bound.order_by == 0 {
            bound.order_by = pb::MergeRequestOrderBy::CreatedAt.into();
        }
        if bound.direction == 0 {
            bound.direction = pb::SortDirection::Asc.into();
        }
        bound.page_size = 0;
        bound.page_token.clear();
        bound.skip = 0;
        bound.want_total = false;
        bound
    }};
}

#[tonic::async_trait]
impl MergeRequestService for Services {
    async fn upsert_merge_request(
        &self,
        request: Request<pb::UpsertMergeRequestRequest>,
    ) -> Result<Response<pb::UpsertMergeRequestResponse>, Status> {
        let (caller, request) = open(request)?;
        let mutation = mutation(
            "UpsertMergeRequest",
            &request,
            &request.request_id,
            request.validate_only,
            upserted,
        )
        .map_err(refuse)?;
        let report = request
            .merge_request
            .ok_or_else(|| refuse(convert::missing("merge_request")))?;
        let command = UpsertMergeRequest {
            iid: MergeRequestIid(request.iid),
            report: message::report(report, request.update_mask.as_ref()).map_err(refuse)?,
            skip_unknown_users: request.skip_unknown_users,
        };
        let project = convert::project_key(request.project).map_err(refuse)?;
        let guard = Guard::etag(request.etag);
        reply(
            self.app
                .merge_request_upsert(&caller, project, command, guard, mutation)
                .await,
            upserted,
        )
    }

    async fn get_merge_request(
        &self,
        request: Request<pb::GetMergeRequestRequest>,
    ) -> Result<Response<pb::GetMergeRequestResponse>, Status> {
        let (caller, request) = open(request)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let iid = MergeRequestIid(request.iid);
        let found = self.app.merge_request_get(&caller, &project, iid).await;
        Ok(Response::new(pb::GetMergeRequestResponse {
            merge_request: Some(message::merge_request(&found.map_err(refuse)?)),
        }))
    }

    async fn list_merge_requests(
        &self,
        request: Request<pb::ListMergeRequestsRequest>,
    ) -> Result<Response<pb::ListMergeRequestsResponse>, Status> {
        let (caller, request) = open(request)?;
        let bound = bound!(request);
        let tokens = Query::new("ListMergeRequests", &bound);
        let after = tokens.read(&request.page_token).map_err(refuse)?;
        let page =
            convert::page(request.page_size, request.skip, request.want_total, after).map_err(refuse)?;
        let query = filter::query(caller.id(), request.filter, request.order_by, request.direction)
            .map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let page = self
            .app
            .merge_request_list(&caller, &project, &query, &page)
            .await;
        let page = page.map_err(refuse)?;
        Ok(Response::new(pb::ListMergeRequestsResponse {
            merge_requests: page.items.iter().map(message::merge_request).collect(),
            next_page_token: tokens.issue(page.next.as_ref()),
            total_size: page.total,
        }))
    }

    async fn list_deployment_merge_requests(
        &self,
        request: Request<pb::ListDeploymentMergeRequestsRequest>,
    ) -> Result<Response<pb::ListDeploymentMergeRequestsResponse>, Status> {
        let (caller, request) = open(request)?;
        let bound = bound!(request);
        let tokens = Query::new("ListDeploymentMergeRequests", &bound);
        let after = tokens.read(&request.page_token).map_err(refuse)?;
        let page =
            convert::page(request.page_size, request.skip, request.want_total, after).map_err(refuse)?;
        let query = filter::query(caller.id(), request.filter, request.order_by, request.direction)
            .map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let deployment = DeploymentId(request.deployment_id);
        let page = self
            .app
            .merge_request_list_shipped(&caller, &project, deployment, &query, &page)
            .await
            .map_err(refuse)?;
        Ok(Response::new(pb::ListDeploymentMergeRequestsResponse {
            merge_requests: page.items.iter().map(message::merge_request).collect(),
            next_page_token: tokens.issue(page.next.as_ref()),
            total_size: page.total,
        }))
    }

    async fn list_deployments_of_merge_request(
        &self,
        request: Request<pb::ListDeploymentsOfMergeRequestRequest>,
    ) -> Result<Response<pb::ListDeploymentsOfMergeRequestResponse>, Status> {
        let (caller, request) = open(request)?;
        let (tokens, page) =
            paged_by_id!("ListDeploymentsOfMergeRequest", request, DeploymentId).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let iid = MergeRequestIid(request.iid);
        let page = self
            .app
            .merge_request_deployments(&caller, &project, iid, &page)
            .await
            .map_err(refuse)?;
        Ok(Response::new(pb::ListDeploymentsOfMergeRequestResponse {
            deployments: page.items.iter().map(convert::deployment).collect(),
            next_page_token: tokens.issue_id(page.next),
            total_size: page.total,
        }))
    }

    async fn delete_merge_request(
        &self,
        request: Request<pb::DeleteMergeRequestRequest>,
    ) -> Result<Response<pb::DeleteMergeRequestResponse>, Status> {
        let (caller, request) = open(request)?;
        let mutation = mutation(
            "DeleteMergeRequest",
            &request,
            &request.request_id,
            request.validate_only,
            deleted,
        )
        .map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let iid = MergeRequestIid(request.iid);
        let guard = Guard::etag(request.etag);
        reply(
            self.app
                .merge_request_delete(&caller, project, iid, guard, mutation)
                .await,
            deleted,
        )
    }
}
