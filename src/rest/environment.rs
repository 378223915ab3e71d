//! `/projects/:id/environments` (contract 2.9).

use http::StatusCode;

use super::{
    call::Call,
    error::Failure,
    input::{Field, Input},
    page::{self, Page, Paging},
    reply,
    route::Answer,
    view::{Environment, ProjectBasic, ReviewApps},
    words,
};
use crate::pb::v1::{
    self as pb, CreateEnvironmentRequest, DeleteEnvironmentRequest, DeleteReviewEnvironmentsRequest,
    EnvironmentFilter, EnvironmentRef, EnvironmentTier, GetEnvironmentRequest, ListEnvironmentsRequest,
    StopEnvironmentRequest, StopStaleEnvironmentsRequest, UpdateEnvironmentRequest, environment_ref::By,
    environment_service_client::EnvironmentServiceClient as Client,
};

const MIN_SEARCH_CHARACTERS: usize = 3;
const REVIEW_APPS_LIMIT: std::ops::RangeInclusive<i64> = 1..=1000;
const REVIEW_APPS_DEFAULT_LIMIT: i64 = 100;

/// Lists environments.
pub(super) async fn list(call: Call) -> Answer {
    let mut input = call.input();
    let paging = Paging::numbered(&mut input);
    let filter = EnvironmentFilter {
        name: input.text("name").given().filter(|name| !name.is_empty()),
        search: input.text("search").given().filter(|search| !search.is_empty()),
        state: input
            .choice("states", words::ENVIRONMENT_STATES)
            .given()
            .map(i32::from),
    };
    if input.mentions("name") && input.mentions("search") {
        input.refuse("name, search cannot be used together");
    }
    input.finish()?;
    if filter
        .search
        .as_ref()
        .is_some_and(|search| search.chars().count() < MIN_SEARCH_CHARACTERS)
    {
        return Err(Failure::bad_request("Search query is less than 3 characters"));
    }

    let request = ListEnvironmentsRequest {
        project: Some(call.project()),
        filter: Some(filter),
        page_size: paging.page_size(),
        page_token: paging.page_token(),
        skip: paging.skip(),
        want_total: paging.want_total(),
    };
    let found = Client::new(call.channel())
        .max_decoding_message_size(page::BYTES_MAX)
        .list_environments(call.request(request))
        .await?
        .into_inner();
    let project = found
        .project
        .map(|project| ProjectBasic::new(project, &call.base));
    let page = Page {
        rows: found
            .environments
            .into_iter()
            .map(|row| Environment::with_project(row, project.as_ref()))
            .collect(),
        next_page_token: found.next_page_token,
        total_size: found.total_size,
    };
    paging.reply(&call, &[], &page)
}

/// Shows an environment with its last successful deployment.
pub(super) async fn get(call: Call) -> Answer {
    let mut input = call.input();
    let environment = environment(&call, &mut input);
    input.finish()?;

    let request = GetEnvironmentRequest {
        project: Some(call.project()),
        environment: Some(environment),
    };
    let found = Client::new(call.channel())
        .get_environment(call.request(request))
        .await?
        .into_inner();
    let environment = reply::complete(found.environment)?;
    let view = Environment::with_last_deployment(environment, found.last_deployment, &call.base);
    reply::json(StatusCode::OK, &view)
}

/// Creates an environment.
pub(super) async fn create(call: Call) -> Answer {
    let mut input = call.input();
    let request = CreateEnvironmentRequest {
        project: Some(call.project()),
        name: input.required_text("name"),
        external_url: input.text("external_url").given().unwrap_or_default(),
        tier: input
            .choice("tier", words::TIERS)
            .given()
            .unwrap_or_default()
            .into(),
        description: input.text("description").given().unwrap_or_default(),
        auto_stop_setting: auto_stop_setting(&mut input).unwrap_or_default(),
        ..Default::default()
    };
    if input.mentions("slug") {
        input.refuse("slug is automatically generated and cannot be changed");
    }
    input.finish()?;

    let made = Client::new(call.channel())
        .create_environment(call.request(request))
        .await?
        .into_inner();
    changed(&call, StatusCode::CREATED, made.environment, made.project)
}

/// Changes what is mentioned; null clears. A name is not looked at: environments are not renamed.
pub(super) async fn update(call: Call) -> Answer {
    let mut input = call.input();
    let guess_again = EnvironmentTier::Unspecified;
    let request = UpdateEnvironmentRequest {
        project: Some(call.project()),
        environment: Some(environment(&call, &mut input)),
        external_url: input.text("external_url").or_cleared(String::new()),
        tier: input
            .choice("tier", words::TIERS)
            .or_cleared(guess_again)
            .map(i32::from),
        description: input.text("description").or_cleared(String::new()),
        auto_stop_setting: auto_stop_setting(&mut input),
        ..Default::default()
    };
    input.finish()?;

    let made = Client::new(call.channel())
        .update_environment(call.request(request))
        .await
        .map_err(|status| Failure::of_environment_update(&status))?
        .into_inner();
    changed(&call, StatusCode::OK, made.environment, made.project)
}

/// Deletes a stopped environment.
pub(super) async fn delete(call: Call) -> Answer {
    let mut input = call.input();
    let environment = environment(&call, &mut input);
    input.finish()?;

    let request = DeleteEnvironmentRequest {
        project: Some(call.project()),
        environment: Some(environment),
        unmodified_since: call.unmodified_since(),
        ..Default::default()
    };
    Client::new(call.channel())
        .delete_environment(call.request(request))
        .await?;
    Ok(reply::no_content())
}

/// Stops an environment.
pub(super) async fn stop(call: Call) -> Answer {
    let mut input = call.input();
    let request = StopEnvironmentRequest {
        project: Some(call.project()),
        environment: Some(environment(&call, &mut input)),
        force: input.boolean("force").unwrap_or(false),
        ..Default::default()
    };
    input.finish()?;

    let made = Client::new(call.channel())
        .stop_environment(call.request(request))
        .await?
        .into_inner();
    changed(&call, StatusCode::OK, made.environment, made.project)
}

/// Stops what has been quiet for long.
pub(super) async fn stop_stale(call: Call) -> Answer {
    let mut input = call.input();
    let before = input.required_time("before");
    input.finish()?;

    let request = StopStaleEnvironmentsRequest {
        project: Some(call.project()),
        before,
        ..Default::default()
    };
    Client::new(call.channel())
        .stop_stale_environments(call.request(request))
        .await
        .map_err(|status| Failure::of_stop_stale(&status))?;
    reply::message(
        StatusCode::OK,
        "Successfully requested stop for all stale environments",
    )
}

/// Deletes old review environments, or tells which it would.
pub(super) async fn review_apps(call: Call) -> Answer {
    let mut input = call.input();
    let before = input.time("before");
    let limit = input.integer("limit").unwrap_or(REVIEW_APPS_DEFAULT_LIMIT);
    if !REVIEW_APPS_LIMIT.contains(&limit) {
        input.refuse("limit does not have a valid value");
    }
    let dry_run = input.boolean("dry_run").unwrap_or(true);
    input.finish()?;

    let request = DeleteReviewEnvironmentsRequest {
        project: Some(call.project()),
        before,
        limit: i32::try_from(limit).unwrap_or_default(),
        validate_only: dry_run,
        ..Default::default()
    };
    let made = Client::new(call.channel())
        .delete_review_environments(call.request(request))
        .await
        .map_err(|status| Failure::of_review_apps(&status))?
        .into_inner();
    reply::json(StatusCode::OK, &ReviewApps::from(made.environments))
}

/// Answers with an environment after a change.
fn changed(
    call: &Call,
    status: StatusCode,
    environment: Option<pb::Environment>,
    project: Option<pb::Project>,
) -> Answer {
    let project = project.map(|project| ProjectBasic::new(project, &call.base));
    reply::json(
        status,
        &Environment::with_project(reply::complete(environment)?, project.as_ref()),
    )
}

fn environment(call: &Call, input: &mut Input<'_>) -> EnvironmentRef {
    let id = input.path_integer("environment_id", call.segments.get("environment_id"));
    EnvironmentRef { by: Some(By::Id(id)) }
}

/// There is no being without a setting: null leaves it as it is.
fn auto_stop_setting(input: &mut Input<'_>) -> Option<i32> {
    match input.choice("auto_stop_setting", words::AUTO_STOP_SETTINGS) {
        Field::Given(setting) => Some(setting.into()),
        Field::Absent | Field::Null => None,
    }
}
