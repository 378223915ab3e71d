//! GetDeploymentChanges.

use super::{
    commit, convert,
    merge_request::message,
    page_token::{NamePosition, Query},
};
use crate::{
    app::{
        App,
        changes::{Changes, Source},
    },
    domain::{access::Caller, error::Error, id::DeploymentId},
    pb::v1 as pb,
};

/// What a deployment brings.
pub async fn get(
    app: &App,
    caller: &Caller,
    request: pb::GetDeploymentChangesRequest,
) -> Result<pb::GetDeploymentChangesResponse, Error> {
    let bound = pb::GetDeploymentChangesRequest {
        page_size: 0,
        page_token: String::new(),
        ..request.clone()
    };
    let tokens = Query::new("GetDeploymentChanges", &bound);
    let after: Option<NamePosition> = tokens.read(&request.page_token)?;
    let page = convert::page(request.page_size, 0, false, after)?;
    let project = convert::project_key(request.project)?;
    let id = DeploymentId(request.deployment_id);
    let after = page.after.as_ref().map(|position| position.0.as_str());
    let changes = app
        .deployment_changes(caller, &project, id, page.size, after)
        .await?;
    Ok(respond(changes, &tokens))
}

fn respond(changes: Changes, tokens: &Query) -> pb::GetDeploymentChangesResponse {
    let source = match changes.source {
        Source::Repository => pb::ChangesSource::Repository,
        Source::Sent => pb::ChangesSource::Sent,
        Source::Unknown => pb::ChangesSource::Unspecified,
    };
    pb::GetDeploymentChangesResponse {
        base: changes.base.as_ref().map(convert::deployment),
        source: source.into(),
        commits: changes.commits.iter().map(commit::commit).collect(),
        commit_count: i64::try_from(changes.commit_count).unwrap_or(i64::MAX),
        next_page_token: tokens.issue(changes.next.map(NamePosition).as_ref()),
        merge_requests: changes
            .merge_requests
            .iter()
            .map(message::merge_request)
            .collect(),
        merge_request_count: changes.merge_request_count,
        removed_commit_count: changes.removed,
    }
}
