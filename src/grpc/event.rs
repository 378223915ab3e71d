//! EventService.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{
    Services, convert,
    gate::Extended,
    open,
    page_token::{IdPosition, LogPositions, Query},
    presumed,
    request::Surroundings,
    status::{refuse, stopping},
};
use crate::{
    app::watch::{Start, Told, Watch},
    domain::{
        deployment::DeploymentStatus,
        environment::EnvironmentState,
        error::Error,
        event::{Event, EventFilter, EventSubject},
        id::{DeploymentId, ProjectId, ProjectKey},
        wait::{Until, WAIT_MAX, WaitOutcome},
    },
    pb::v1::{self as pb, event_service_server::EventService},
};

/// The most projects of a watch.
const PROJECTS_MAX: usize = 100;
/// The shortest time between heartbeats.
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);
/// The time between heartbeats where none is named.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(15);
/// The longest time between heartbeats.
const HEARTBEAT_MAX: Duration = Duration::from_mins(5);
/// How long a wait lasts where nothing is said.
const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// A number that is never large.
fn count(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A status, where none means that the deployment is not there.
fn status(status: Option<DeploymentStatus>) -> i32 {
    let status = status.map_or(pb::DeploymentStatus::Unspecified, convert::status);
    status.into()
}

/// A state, where none means that the environment is not there.
fn state(state: Option<EnvironmentState>) -> i32 {
    let state = state.map_or(pb::EnvironmentState::Unspecified, convert::state);
    state.into()
}

fn subject(subject: EventSubject) -> pb::event::Subject {
    use pb::event::Subject;
    match subject {
        EventSubject::Deployment {
            id,
            iid,
            environment_id,
            environment,
            git_ref,
            tag,
            sha,
            before,
            after,
            gate_bypassed,
        } => Subject::Deployment(pb::DeploymentChange {
            deployment_id: id.0,
            iid: iid.0,
            environment_id: environment_id.0,
            environment,
            r#ref: git_ref,
            tag,
            sha,
            before: status(before),
            after: status(after),
            gate_bypassed,
        }),
        EventSubject::Environment {
            id,
            name,
            tier,
            before,
            after,
        } => Subject::Environment(pb::EnvironmentChange {
            environment_id: id.0,
            environment: name,
            tier: convert::tier(tier).into(),
            before: state(before),
            after: state(after),
        }),
        EventSubject::Approval {
            deployment_id,
            iid,
            environment_id,
            environment,
            user_id,
            before,
            after,
            comment,
            represented_as,
            pending_approval_count,
        } => Subject::Approval(pb::ApprovalChange {
            deployment_id: deployment_id.0,
            iid: iid.0,
            environment_id: environment_id.0,
            environment,
            user_id: user_id.0,
            before: before
                .map_or(pb::ApprovalStatus::Unspecified, convert::approval_status)
                .into(),
            after: convert::approval_status(after).into(),
            comment,
            represented_as,
            pending_approval_count: count(pending_approval_count),
        }),
        EventSubject::Protection {
            name,
            group_id,
            required_approval_count,
            deploy_access_levels,
            approval_rules,
        } => Subject::ProtectedEnvironment(pb::ProtectedEnvironmentChange {
            name,
            group_id: group_id.map(|id| id.0),
            required_approval_count: count(required_approval_count),
            deploy_access_levels: count(deploy_access_levels),
            approval_rules: count(approval_rules),
        }),
    }
}

fn event(event: Event) -> pb::Event {
    pb::Event {
        project_id: event.project_id.0,
        seq: event.seq,
        kind: convert::event_kind(event.kind).into(),
        actor_id: event.actor_id.0,
        created_at: Some(convert::timestamp(event.created_at)),
        subject: Some(subject(event.subject)),
    }
}

fn filter(filter: Option<&pb::EventFilter>) -> Result<EventFilter, Error> {
    let filter = filter.cloned().unwrap_or_default();
    let environment = filter
        .environment
        .map(|name| convert::text("filter.environment", name));
    let kinds = filter
        .kinds
        .into_iter()
        .map(|kind| convert::read_event_kind("filter.kinds", kind));
    Ok(EventFilter {
        environment: environment.transpose()?,
        deployment_id: filter.deployment_id.map(DeploymentId),
        kinds: kinds.collect::<Result<_, _>>()?,
    })
}

/// The projects that a watch names.
fn projects(references: Vec<pb::ProjectRef>) -> Result<Vec<ProjectKey>, Error> {
    if references.is_empty() {
        return Err(convert::missing("projects"));
    }
    if references.len() > PROJECTS_MAX {
        return Err(Error::argument(
            "projects",
            format!("is too long (maximum is {PROJECTS_MAX} projects)"),
        ));
    }
    let keys = references.into_iter().enumerate().map(|(index, reference)| {
        if reference.by.is_none() {
            return Err(convert::missing(&format!("projects[{index}]")));
        }
        convert::project_key(Some(reference))
    });
    keys.collect()
}

/// What a stream's tokens are bound to: its projects, however and in whatever order they were named, and its filter.
fn bound(projects: impl IntoIterator<Item = ProjectId>, filter: Option<pb::EventFilter>) -> Query {
    let by_id = |id: ProjectId| pb::ProjectRef {
        by: Some(pb::project_ref::By::Id(id.0)),
    };
    let mut filter = filter.unwrap_or_default();
    filter.kinds.sort_unstable();
    filter.kinds.dedup();
    let request = pb::WatchEventsRequest {
        projects: projects.into_iter().map(by_id).collect(),
        filter: Some(filter),
        ..pb::WatchEventsRequest::default()
    };
    Query::new("WatchEvents", &request)
}

/// What a request waits for.
fn until(until: Option<pb::wait_deployment_request::Until>) -> Result<Until, Error> {
    use pb::wait_deployment_request::Until as Asked;
    match until.ok_or_else(|| convert::missing("until"))? {
        Asked::Condition(condition) => match pb::WaitCondition::try_from(condition) {
            Ok(pb::WaitCondition::Approved) => Ok(Until::Approved),
            Ok(pb::WaitCondition::Finished) => Ok(Until::Finished),
            Ok(pb::WaitCondition::Unspecified) | Err(_) => Err(convert::bad_value("condition")),
        },
        Asked::Status(status) => convert::read_status("status", status).map(Until::Status),
    }
}

fn outcome(outcome: WaitOutcome) -> pb::WaitOutcome {
    match outcome {
        WaitOutcome::Met => pb::WaitOutcome::Met,
        WaitOutcome::Unmet => pb::WaitOutcome::Unmet,
        WaitOutcome::TimedOut => pb::WaitOutcome::TimedOut,
    }
}

/// A watch on its way to its reader, asked for the next message only when the transport has room for one.
struct Telling {
    watch: Watch,
    tokens: Query,
    shutdown: CancellationToken,
    surroundings: Surroundings,
}

impl Telling {
    /// The next message, and what tells the one after it; an error is the last.
    async fn next(mut self) -> (Result<pb::WatchEventsResponse, Status>, Option<Self>) {
        let told = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Err(stopping()),
            told = self.watch.next() => told.map_err(refuse),
        };
        match told {
            Ok(told) => (Ok(self.message(told)), Some(self)),
            Err(status) => (Err(status), None),
        }
    }

    fn message(&self, told: Told) -> pb::WatchEventsResponse {
        let positions = LogPositions {
            seqs: self.watch.positions().values().copied().collect(),
        };
        pb::WatchEventsResponse {
            event: match told {
                Told::Event(told) => Some(event(Arc::unwrap_or_clone(told))),
                Told::Heartbeat => None,
            },
            resume_token: self.tokens.issue(Some(&positions)),
        }
    }

    fn stream(self) -> <Services as EventService>::WatchEventsStream {
        Box::pin(stream::unfold(Some(self), async |telling| {
            let telling = telling?;
            let surroundings = telling.surroundings.clone();
            Some(surroundings.around(telling.next()).await)
        }))
    }
}

#[tonic::async_trait]
impl EventService for Services {
    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let (caller, request) = open(request)?;
        let bound = pb::ListEventsRequest {
            page_size: 0,
            page_token: String::new(),
            ..request.clone()
        };
        let tokens = Query::new("ListEvents", &bound);
        let after = tokens.read::<IdPosition>(&request.page_token).map_err(refuse)?;
        let after = after.map(|position| position.0);
        let page = convert::page(request.page_size, 0, false, after).map_err(refuse)?;
        let filter = filter(request.filter.as_ref()).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let page = self
            .app
            .event_list(&caller, &project, &filter, &page)
            .await
            .map_err(refuse)?;
        Ok(Response::new(pb::ListEventsResponse {
            events: page.items.into_iter().map(event).collect(),
            next_page_token: tokens.issue_id(page.next),
        }))
    }

    type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<pb::WatchEventsResponse, Status>> + Send>>;

    async fn watch_events(
        &self,
        request: Request<pb::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let caller = presumed(&request)?;
        let request = request.into_inner();
        let keys = projects(request.projects).map_err(refuse)?;
        let wanted = filter(request.filter.as_ref()).map_err(refuse)?;
        let interval = request
            .heartbeat_interval
            .map(|interval| convert::duration("heartbeat_interval", &interval, HEARTBEAT_MIN, HEARTBEAT_MAX));
        let interval = interval.transpose().map_err(refuse)?.unwrap_or(HEARTBEAT_DEFAULT);
        let projects = self.app.watchable(&caller, &keys).await.map_err(refuse)?;
        let tokens = bound(projects.iter().copied(), request.filter);
        let resumed = tokens
            .read_resume::<LogPositions>(&request.resume_token)
            .map_err(refuse)?;
        let start = match resumed {
            Some(positions) => Start::Behind(projects.iter().copied().zip(positions.seqs).collect()),
            None if request.from_start => Start::Beginning,
            None => Start::Now,
        };
        let watch = self
            .app
            .watch(&caller, &projects, wanted, &start, interval)
            .await
            .map_err(refuse)?;
        let telling = Telling {
            watch,
            tokens,
            shutdown: self.shutdown.clone(),
            surroundings: Surroundings::here(),
        };
        Ok(Response::new(telling.stream()))
    }

    async fn wait_deployment(
        &self,
        request: Request<pb::WaitDeploymentRequest>,
    ) -> Result<Response<pb::WaitDeploymentResponse>, Status> {
        let (caller, request) = open(request)?;
        let until = until(request.until).map_err(refuse)?;
        let patience = request
            .timeout
            .map(|timeout| convert::duration("timeout", &timeout, Duration::ZERO, WAIT_MAX));
        let patience = patience.transpose().map_err(refuse)?.unwrap_or(WAIT_DEFAULT);
        let project = convert::project_key(request.project).map_err(refuse)?;
        let id = DeploymentId(request.deployment_id);
        let (ended, gate) = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return Err(stopping()),
            waited = self.app.deployment_wait(&caller, &project, id, until, patience) => waited.map_err(refuse)?,
        };
        if request.fail_unless {
            ended.require_met(&gate.deployment).map_err(refuse)?;
        }
        let Extended {
            deployment,
            approval_state,
            ..
        } = Extended::of(&gate, caller.id());
        Ok(Response::new(pb::WaitDeploymentResponse {
            outcome: outcome(ended).into(),
            deployment,
            approval_state,
        }))
    }
}
