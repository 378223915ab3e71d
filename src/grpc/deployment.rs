//! DeploymentService.

use tonic::{Request, Response, Status};

use super::{
    Services, caller, changes, commit, convert, gate::Extended, job, mutation, open, page_token::Query,
    presumed, reply, status::refuse,
};
use crate::{
    domain::{
        deployment::{
            CreateDeployment, DeploymentFilter, DeploymentOrder, DeploymentQuery, DeploymentStatus,
        },
        error::Error,
        guard::Guard,
        id::DeploymentId,
        page::Direction,
    },
    pb::v1::{
        CreateDeploymentRequest, CreateDeploymentResponse, DeleteDeploymentRequest, DeleteDeploymentResponse,
        DeploymentOrderBy, GetDeploymentChangesRequest, GetDeploymentChangesResponse, GetDeploymentRequest,
        GetDeploymentResponse, ListDeploymentsRequest, ListDeploymentsResponse, SortDirection,
        UpdateDeploymentStatusRequest, UpdateDeploymentStatusResponse,
        deployment_service_server::DeploymentService,
    },
    store::ProjectAnswer,
};

fn created(answer: &ProjectAnswer) -> CreateDeploymentResponse {
    let Extended {
        deployment,
        approval_state,
        viewer,
    } = Extended::after(answer);
    CreateDeploymentResponse {
        deployment,
        approval_state,
        viewer,
    }
}

fn updated(answer: &ProjectAnswer) -> UpdateDeploymentStatusResponse {
    let Extended {
        deployment,
        approval_state,
        viewer,
    } = Extended::after(answer);
    UpdateDeploymentStatusResponse {
        deployment,
        approval_state,
        viewer,
    }
}

fn deleted(_: &ProjectAnswer) -> DeleteDeploymentResponse {
    DeleteDeploymentResponse {}
}

/// The list that a request asks for.
fn query(request: &ListDeploymentsRequest) -> Result<DeploymentQuery, Error> {
    let filter = request.filter.clone().unwrap_or_default();
    let order = match DeploymentOrderBy::try_from(request.order_by) {
        Ok(
            DeploymentOrderBy::Unspecified
            | DeploymentOrderBy::Id
            | DeploymentOrderBy::Iid
            | DeploymentOrderBy::CreatedAt,
        ) => DeploymentOrder::Id,
        Ok(DeploymentOrderBy::UpdatedAt) => DeploymentOrder::UpdatedAt,
        Ok(DeploymentOrderBy::FinishedAt) => DeploymentOrder::FinishedAt,
        Ok(DeploymentOrderBy::Ref) => DeploymentOrder::Ref,
        Err(_) => return Err(convert::bad_value("order_by")),
    };
    let direction = match SortDirection::try_from(request.direction) {
        Ok(SortDirection::Unspecified | SortDirection::Asc) => Direction::Ascending,
        Ok(SortDirection::Desc) => Direction::Descending,
        Err(_) => return Err(convert::bad_value("direction")),
    };
    let environment = filter
        .environment
        .map(|name| convert::text("filter.environment", name));
    let status = filter
        .status
        .map(|status| convert::read_status("filter.status", status));
    Ok(DeploymentQuery {
        filter: DeploymentFilter {
            environment: environment.transpose()?,
            status: status.transpose()?,
            updated_after: convert::optional_time("filter.updated_after", filter.updated_after)?,
            updated_before: convert::optional_time("filter.updated_before", filter.updated_before)?,
            finished_after: convert::optional_time("filter.finished_after", filter.finished_after)?,
            finished_before: convert::optional_time("filter.finished_before", filter.finished_before)?,
        },
        order,
        direction,
    })
}

/// The query that a page token is bound to: no paging fields, and the defaults by name, so that leaving them out and
/// naming them is the same query.
fn bound(request: &ListDeploymentsRequest) -> ListDeploymentsRequest {
    let order_by = match request.order_by() {
        DeploymentOrderBy::Unspecified => DeploymentOrderBy::Id,
        order => order,
    };
    let direction = match request.direction() {
        SortDirection::Unspecified => SortDirection::Asc,
        direction => direction,
    };
    ListDeploymentsRequest {
        order_by: order_by.into(),
        direction: direction.into(),
        page_size: 0,
        page_token: String::new(),
        skip: 0,
        want_total: false,
        ..request.clone()
    }
}

/// What a request wants recorded.
fn command(request: &CreateDeploymentRequest) -> Result<CreateDeployment, Error> {
    let job = request.job.clone().map(job::read_draft).transpose()?;
    let status = match &job {
        None => convert::read_status("status", request.status)?,
        Some(_) if request.status != 0 => {
            return Err(Error::argument(
                "status",
                "is only for a deployment without a job",
            ));
        }
        // What the job's own status makes of it is decided with the gate.
        Some(_) => DeploymentStatus::Created,
    };
    Ok(CreateDeployment {
        environment: convert::text("environment", request.environment.clone())?,
        sha: request.sha.clone(),
        git_ref: convert::text("ref", request.r#ref.clone())?,
        tag: request.tag,
        status,
        job: job.map(Box::new),
        commits: commit::read_sent(request.commits.clone())?,
    })
}

#[tonic::async_trait]
impl DeploymentService for Services {
    async fn create_deployment(
        &self,
        request: Request<CreateDeploymentRequest>,
    ) -> Result<Response<CreateDeploymentResponse>, Status> {
        let caller = presumed(&request)?;
        let request = request.into_inner();
        let mutation = mutation(
            "CreateDeployment",
            &request,
            &request.request_id,
            request.validate_only,
            created,
        )
        .map_err(refuse)?;
        let command = command(&request).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        reply(
            self.app
                .deployment_create(&caller, project, command, mutation)
                .await,
            created,
        )
    }

    async fn get_deployment(
        &self,
        request: Request<GetDeploymentRequest>,
    ) -> Result<Response<GetDeploymentResponse>, Status> {
        let caller = presumed(&request)?;
        let request = request.into_inner();
        let project = convert::project_key(request.project).map_err(refuse)?;
        let id = DeploymentId(request.deployment_id);
        let gate = self
            .app
            .deployment_get(&caller, &project, id)
            .await
            .map_err(refuse)?;
        let Extended {
            deployment,
            approval_state,
            viewer,
        } = Extended::of(&gate, caller.id());
        Ok(Response::new(GetDeploymentResponse {
            deployment,
            approval_state,
            viewer,
        }))
    }

    async fn list_deployments(
        &self,
        request: Request<ListDeploymentsRequest>,
    ) -> Result<Response<ListDeploymentsResponse>, Status> {
        let caller = presumed(&request)?;
        let request = request.into_inner();
        let query = query(&request).map_err(refuse)?;
        let bound = bound(&request);
        let tokens = Query::new("ListDeployments", &bound);
        let after = tokens.read(&request.page_token).map_err(refuse)?;
        let page =
            convert::page(request.page_size, request.skip, request.want_total, after).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let page = self
            .app
            .deployment_list(&caller, &project, &query, &page)
            .await
            .map_err(refuse)?;
        Ok(Response::new(ListDeploymentsResponse {
            deployments: page.items.iter().map(convert::deployment).collect(),
            next_page_token: tokens.issue(page.next.as_ref()),
            total_size: page.total,
        }))
    }

    async fn update_deployment_status(
        &self,
        request: Request<UpdateDeploymentStatusRequest>,
    ) -> Result<Response<UpdateDeploymentStatusResponse>, Status> {
        let caller = presumed(&request)?;
        let request = request.into_inner();
        let mutation = mutation(
            "UpdateDeploymentStatus",
            &request,
            &request.request_id,
            request.validate_only,
            updated,
        )
        .map_err(refuse)?;
        let status: DeploymentStatus = convert::read_status("status", request.status).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let id = DeploymentId(request.deployment_id);
        let guard = Guard::etag(request.etag);
        reply(
            self.app
                .deployment_update_status(&caller, project, id, status, guard, mutation)
                .await,
            updated,
        )
    }

    async fn delete_deployment(
        &self,
        request: Request<DeleteDeploymentRequest>,
    ) -> Result<Response<DeleteDeploymentResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mutation = mutation(
            "DeleteDeployment",
            &request,
            &request.request_id,
            request.validate_only,
            deleted,
        )
        .map_err(refuse)?;
        let unmodified_since =
            convert::optional_time("unmodified_since", request.unmodified_since).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let id = DeploymentId(request.deployment_id);
        let guard = Guard {
            etag: request.etag,
            unmodified_since,
        };
        reply(
            self.app
                .deployment_delete(&caller, project, id, guard, mutation)
                .await,
            deleted,
        )
    }

    async fn get_deployment_changes(
        &self,
        request: Request<GetDeploymentChangesRequest>,
    ) -> Result<Response<GetDeploymentChangesResponse>, Status> {
        let (caller, request) = open(request)?;
        let found = changes::get(&self.app, &caller, request).await;
        found.map(Response::new).map_err(refuse)
    }
}
