//! EnvironmentService.

use tonic::{Request, Response, Status};

use super::{
    Services, caller, convert, mutation,
    page_token::{IdPosition, Query},
    reply,
    status::refuse,
};
use crate::{
    domain::{
        environment::{
            AutoStopSetting, CreateEnvironment, EnvironmentFilter, EnvironmentTier, UpdateEnvironment,
        },
        error::Error,
        guard::Guard,
        id::EnvironmentId,
    },
    pb::v1::{self as pb, environment_service_server::EnvironmentService},
    store::ProjectAnswer,
};

fn environment(answer: &ProjectAnswer) -> Option<pb::Environment> {
    answer.environment.as_ref().map(convert::environment)
}

fn created(answer: &ProjectAnswer) -> pb::CreateEnvironmentResponse {
    pb::CreateEnvironmentResponse {
        environment: environment(answer),
        project: Some(convert::project(&answer.project)),
    }
}

fn updated(answer: &ProjectAnswer) -> pb::UpdateEnvironmentResponse {
    pb::UpdateEnvironmentResponse {
        environment: environment(answer),
        project: Some(convert::project(&answer.project)),
    }
}

fn stopped(answer: &ProjectAnswer) -> pb::StopEnvironmentResponse {
    pb::StopEnvironmentResponse {
        environment: environment(answer),
        project: Some(convert::project(&answer.project)),
    }
}

fn deleted(_: &ProjectAnswer) -> pb::DeleteEnvironmentResponse {
    pb::DeleteEnvironmentResponse {}
}

fn stale_stopped(answer: &ProjectAnswer) -> pb::StopStaleEnvironmentsResponse {
    let environments = answer.environments.iter().map(convert::environment).collect();
    pb::StopStaleEnvironmentsResponse { environments }
}

fn reviews_deleted(answer: &ProjectAnswer) -> pb::DeleteReviewEnvironmentsResponse {
    let environments = answer.environments.iter().map(convert::environment).collect();
    pb::DeleteReviewEnvironmentsResponse { environments }
}

/// A tier, where `UNSPECIFIED` means "guess it".
fn guessable_tier(value: i32) -> Result<Option<EnvironmentTier>, Error> {
    if value == 0 {
        Ok(None)
    } else {
        convert::read_tier("tier", value).map(Some)
    }
}

fn filter(filter: Option<pb::EnvironmentFilter>) -> Result<EnvironmentFilter, Error> {
    let filter = filter.unwrap_or_default();
    let text = |field, value: Option<String>| value.map(|value| convert::text(field, value)).transpose();
    Ok(EnvironmentFilter {
        name: text("filter.name", filter.name)?,
        search: text("filter.search", filter.search)?,
        state: filter
            .state
            .map(|state| convert::read_state("filter.state", state))
            .transpose()?,
    })
}

fn create_command(request: &pb::CreateEnvironmentRequest) -> Result<CreateEnvironment, Error> {
    Ok(CreateEnvironment {
        name: convert::text("name", request.name.clone())?,
        external_url: request.external_url.clone(),
        tier: guessable_tier(request.tier)?,
        description: request.description.clone(),
        auto_stop_setting: match request.auto_stop_setting {
            0 => AutoStopSetting::default(),
            setting => convert::read_auto_stop("auto_stop_setting", setting)?,
        },
    })
}

fn update_command(request: &pb::UpdateEnvironmentRequest) -> Result<UpdateEnvironment, Error> {
    let setting = request
        .auto_stop_setting
        .map(|value| convert::read_auto_stop("auto_stop_setting", value));
    Ok(UpdateEnvironment {
        external_url: request.external_url.clone(),
        tier: request.tier.map(guessable_tier).transpose()?,
        description: request.description.clone(),
        auto_stop_setting: setting.transpose()?,
    })
}

#[tonic::async_trait]
impl EnvironmentService for Services {
    async fn list_environments(
        &self,
        request: Request<pb::ListEnvironmentsRequest>,
    ) -> Result<Response<pb::ListEnvironmentsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let bound = pb::ListEnvironmentsRequest {
            page_size: 0,
            page_token: String::new(),
            skip: 0,
            want_total: false,
            ..request.clone()
        };
        let tokens = Query::new("ListEnvironments", &bound);
        let after = tokens.read::<IdPosition>(&request.page_token).map_err(refuse)?;
        let after = after.map(|position| EnvironmentId(position.0));
        let page =
            convert::page(request.page_size, request.skip, request.want_total, after).map_err(refuse)?;
        let filter = filter(request.filter).map_err(refuse)?;
        let key = convert::project_key(request.project).map_err(refuse)?;
        let (page, project) = self
            .app
            .environment_list(&caller, &key, &filter, &page)
            .await
            .map_err(refuse)?;
        Ok(Response::new(pb::ListEnvironmentsResponse {
            environments: page.items.iter().map(convert::environment).collect(),
            next_page_token: tokens.issue(page.next.map(|id| IdPosition(id.0)).as_ref()),
            total_size: page.total,
            project: Some(convert::project(&project)),
        }))
    }

    async fn get_environment(
        &self,
        request: Request<pb::GetEnvironmentRequest>,
    ) -> Result<Response<pb::GetEnvironmentResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let project = convert::project_key(request.project).map_err(refuse)?;
        let key = convert::environment_key(request.environment).map_err(refuse)?;
        let (environment, last) = self
            .app
            .environment_get(&caller, &project, &key)
            .await
            .map_err(refuse)?;
        Ok(Response::new(pb::GetEnvironmentResponse {
            environment: Some(convert::environment(&environment)),
            last_deployment: last.as_ref().map(convert::deployment),
        }))
    }

    async fn create_environment(
        &self,
        request: Request<pb::CreateEnvironmentRequest>,
    ) -> Result<Response<pb::CreateEnvironmentResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mutation = mutation(
            "CreateEnvironment",
            &request,
            &request.request_id,
            request.validate_only,
            created,
        )
        .map_err(refuse)?;
        let command = create_command(&request).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        reply(
            self.app
                .environment_create(&caller, project, command, mutation)
                .await,
            created,
        )
    }

    async fn update_environment(
        &self,
        request: Request<pb::UpdateEnvironmentRequest>,
    ) -> Result<Response<pb::UpdateEnvironmentResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mutation = mutation(
            "UpdateEnvironment",
            &request,
            &request.request_id,
            request.validate_only,
            updated,
        )
        .map_err(refuse)?;
        let command = update_command(&request).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let key = convert::environment_key(request.environment).map_err(refuse)?;
        let guard = Guard::etag(request.etag);
        reply(
            self.app
                .environment_update(&caller, project, key, command, guard, mutation)
                .await,
            updated,
        )
    }

    async fn stop_environment(
        &self,
        request: Request<pb::StopEnvironmentRequest>,
    ) -> Result<Response<pb::StopEnvironmentResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mutation = mutation(
            "StopEnvironment",
            &request,
            &request.request_id,
            request.validate_only,
            stopped,
        )
        .map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let key = convert::environment_key(request.environment).map_err(refuse)?;
        let guard = Guard::etag(request.etag);
        let done = self
            .app
            .environment_stop(&caller, project, key, request.force, guard, mutation)
            .await;
        reply(done, stopped)
    }

    async fn delete_environment(
        &self,
        request: Request<pb::DeleteEnvironmentRequest>,
    ) -> Result<Response<pb::DeleteEnvironmentResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mutation = mutation(
            "DeleteEnvironment",
            &request,
            &request.request_id,
            request.validate_only,
            deleted,
        )
        .map_err(refuse)?;
        let unmodified_since =
            convert::optional_time("unmodified_since", request.unmodified_since).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let key = convert::environment_key(request.environment).map_err(refuse)?;
        let guard = Guard {
            etag: request.etag,
            unmodified_since,
        };
        reply(
            self.app
                .environment_delete(&caller, project, key, guard, mutation)
                .await,
            deleted,
        )
    }

    async fn stop_stale_environments(
        &self,
        request: Request<pb::StopStaleEnvironmentsRequest>,
    ) -> Result<Response<pb::StopStaleEnvironmentsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mutation = mutation(
            "StopStaleEnvironments",
            &request,
            &request.request_id,
            request.validate_only,
            stale_stopped,
        )
        .map_err(refuse)?;
        let before = request.before.ok_or_else(|| refuse(convert::missing("before")))?;
        let before = convert::time("before", before).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        reply(
            self.app
                .environment_stop_stale(&caller, project, before, mutation)
                .await,
            stale_stopped,
        )
    }

    async fn delete_review_environments(
        &self,
        request: Request<pb::DeleteReviewEnvironmentsRequest>,
    ) -> Result<Response<pb::DeleteReviewEnvironmentsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mutation = mutation(
            "DeleteReviewEnvironments",
            &request,
            &request.request_id,
            request.validate_only,
            reviews_deleted,
        )
        .map_err(refuse)?;
        let before = convert::optional_time("before", request.before).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let limit = i64::from(request.limit);
        let done = self
            .app
            .environment_delete_reviews(&caller, project, before, limit, mutation)
            .await;
        reply(done, reviews_deleted)
    }
}
