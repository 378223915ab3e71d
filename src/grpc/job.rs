//! JobService, and jobs as messages.

use std::time::Duration;

use tonic::{Request, Response, Status};

use super::{Services, commit::commit, convert, mutation, open, reply, status::refuse};
use crate::{
    domain::{
        deployment::Deployment,
        directory::User,
        error::Error,
        id::JobId,
        job::{Coverage, Job, JobDraft, JobReport, Pipeline, Runner, RunnerType},
    },
    pb::v1::{
        self as pb, CreateJobTokenRequest, CreateJobTokenResponse, GetJobRequest, GetJobResponse,
        ReportJobRequest, ReportJobResponse, job_service_server::JobService,
    },
    store::ProjectAnswer,
};

/// The longest that a job may have waited: more is a mistake.
const QUEUED_MAX: Duration = Duration::from_hours(24 * 366 * 10);

fn runner_type(kind: Option<RunnerType>) -> pb::RunnerType {
    match kind {
        None => pb::RunnerType::Unspecified,
        Some(RunnerType::Instance) => pb::RunnerType::Instance,
        Some(RunnerType::Group) => pb::RunnerType::Group,
        Some(RunnerType::Project) => pb::RunnerType::Project,
    }
}

fn read_runner(field: &str, runner: pb::Runner) -> Result<Runner, Error> {
    let kind = match pb::RunnerType::try_from(runner.r#type) {
        Ok(pb::RunnerType::Unspecified) => None,
        Ok(pb::RunnerType::Instance) => Some(RunnerType::Instance),
        Ok(pb::RunnerType::Group) => Some(RunnerType::Group),
        Ok(pb::RunnerType::Project) => Some(RunnerType::Project),
        Err(_) => return Err(convert::bad_value(&format!("{field}.type"))),
    };
    Ok(Runner {
        id: runner.id,
        description: runner.description,
        name: runner.name,
        kind,
        paused: runner.paused,
        online: runner.online,
    })
}

fn read_pipeline(field: &str, pipeline: pb::Pipeline) -> Result<Pipeline, Error> {
    let part = |part: &str| format!("{field}.{part}");
    Ok(Pipeline {
        id: pipeline.id,
        iid: pipeline.iid,
        sha: pipeline.sha,
        git_ref: pipeline.r#ref,
        status: convert::read_job_status(&part("status"), pipeline.status)?,
        source: pipeline.source,
        created_at: convert::optional_time(&part("created_at"), pipeline.created_at)?,
        updated_at: convert::optional_time(&part("updated_at"), pipeline.updated_at)?,
        web_url: pipeline.web_url.filter(|url| !url.is_empty()),
    })
}

fn read_coverage(field: &str, percent: Option<f64>) -> Result<Option<Coverage>, Error> {
    let read =
        |percent| Coverage::new(percent).ok_or_else(|| Error::argument(field, "must be between 0 and 100"));
    percent.map(read).transpose()
}

fn read_queued(field: &str, length: Option<prost_types::Duration>) -> Result<Option<Duration>, Error> {
    let read = |length| convert::duration(field, &length, Duration::ZERO, QUEUED_MAX);
    length.map(read).transpose()
}

/// A job as a request announces it.
pub fn read_draft(draft: pb::JobDraft) -> Result<JobDraft, Error> {
    let pipeline = draft.pipeline.ok_or_else(|| convert::missing("job.pipeline"))?;
    Ok(JobDraft {
        id: JobId(draft.id),
        sequence: draft.sequence,
        status: convert::read_job_status("job.status", draft.status)?,
        name: draft.name,
        stage: draft.stage,
        coverage: read_coverage("job.coverage", draft.coverage)?,
        allow_failure: draft.allow_failure,
        created_at: convert::optional_time("job.created_at", draft.created_at)?,
        started_at: convert::optional_time("job.started_at", draft.started_at)?,
        finished_at: convert::optional_time("job.finished_at", draft.finished_at)?,
        queued_duration: read_queued("job.queued_duration", draft.queued_duration)?,
        failure_reason: draft.failure_reason,
        runner: draft
            .runner
            .map(|runner| read_runner("job.runner", runner))
            .transpose()?,
        pipeline: read_pipeline("job.pipeline", pipeline)?,
        web_url: draft.web_url,
        tag_list: draft.tag_list,
        ci_job_token_scope_enabled: draft.ci_job_token_scope_enabled,
    })
}

fn read_report(request: &ReportJobRequest) -> Result<JobReport, Error> {
    let runner = request.runner.clone();
    let pipeline = request.pipeline.clone();
    Ok(JobReport {
        id: JobId(request.job_id),
        sequence: request.sequence,
        status: convert::read_job_status("status", request.status)?,
        started_at: convert::optional_time("started_at", request.started_at)?,
        finished_at: convert::optional_time("finished_at", request.finished_at)?,
        erased_at: convert::optional_time("erased_at", request.erased_at)?,
        queued_duration: read_queued("queued_duration", request.queued_duration)?,
        failure_reason: request.failure_reason.clone(),
        coverage: read_coverage("coverage", request.coverage)?,
        runner: runner.map(|runner| read_runner("runner", runner)).transpose()?,
        pipeline: pipeline
            .map(|pipeline| read_pipeline("pipeline", pipeline))
            .transpose()?,
    })
}

fn pipeline(pipeline: &Pipeline) -> pb::Pipeline {
    pb::Pipeline {
        id: pipeline.id,
        iid: pipeline.iid,
        sha: pipeline.sha.clone(),
        r#ref: pipeline.git_ref.clone(),
        status: convert::job_status(pipeline.status).into(),
        source: pipeline.source.clone(),
        created_at: pipeline.created_at.map(convert::timestamp),
        updated_at: pipeline.updated_at.map(convert::timestamp),
        web_url: pipeline.web_url.clone(),
    }
}

fn runner(runner: &Runner) -> pb::Runner {
    pb::Runner {
        id: runner.id,
        description: runner.description.clone(),
        name: runner.name.clone(),
        r#type: runner_type(runner.kind).into(),
        paused: runner.paused,
        online: runner.online,
    }
}

/// The user of a job: whoever sees the job sees no private address.
fn user(user: &User) -> pb::User {
    pb::User {
        email: None,
        ..convert::user(user, user)
    }
}

fn length(length: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(length.subsec_nanos()).unwrap_or_default(),
    }
}

/// The job of a deployment.
pub fn job(job: &Job, of: &Deployment) -> pb::Job {
    pb::Job {
        id: job.id.0,
        deployment_id: of.id.0,
        status: convert::job_status(job.status).into(),
        stage: job.stage.clone(),
        name: job.name.clone(),
        r#ref: of.git_ref.clone(),
        tag: of.tag,
        coverage: job.coverage.map(Coverage::percent),
        allow_failure: job.allow_failure,
        created_at: Some(convert::timestamp(job.created_at)),
        started_at: job.started_at.map(convert::timestamp),
        finished_at: job.finished_at.map(convert::timestamp),
        erased_at: job.erased_at.map(convert::timestamp),
        queued_duration: job.queued_duration.map(length),
        failure_reason: job.failure_reason.clone(),
        user: job.user.as_ref().map(user),
        runner: job.runner.as_ref().map(runner),
        pipeline: Some(pipeline(&job.pipeline)),
        commit: job.commit.as_ref().map(commit),
        web_url: job.web_url.clone(),
        tag_list: job.tag_list.clone(),
        ci_job_token_scope_enabled: job.ci_job_token_scope_enabled,
        sequence: job.sequence,
    }
}

fn reported(answer: &ProjectAnswer) -> ReportJobResponse {
    ReportJobResponse {
        deployment: answer.deployment.as_ref().map(convert::deployment),
        applied: answer.changed,
    }
}

#[tonic::async_trait]
impl JobService for Services {
    async fn report_job(
        &self,
        request: Request<ReportJobRequest>,
    ) -> Result<Response<ReportJobResponse>, Status> {
        let (caller, request) = open(request)?;
        let mutation = mutation(
            "ReportJob",
            &request,
            &request.request_id,
            request.validate_only,
            reported,
        )
        .map_err(refuse)?;
        let report = read_report(&request).map_err(refuse)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let done = self.app.job_report(&caller, project, report, mutation).await;
        reply(done, reported)
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<GetJobResponse>, Status> {
        let (caller, request) = open(request)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let found = self.app.job_get(&caller, &project, JobId(request.job_id)).await;
        let deployment = found.map_err(refuse)?;
        let found = deployment.job.as_ref().map(|found| job(found, &deployment));
        Ok(Response::new(GetJobResponse { job: found }))
    }

    async fn create_job_token(
        &self,
        request: Request<CreateJobTokenRequest>,
    ) -> Result<Response<CreateJobTokenResponse>, Status> {
        let (caller, request) = open(request)?;
        let project = convert::project_key(request.project).map_err(refuse)?;
        let id = JobId(request.job_id);
        let secret = self
            .app
            .job_token_create(&caller, project, id)
            .await
            .map_err(refuse)?;
        Ok(Response::new(CreateJobTokenResponse {
            secret: secret.reveal().to_owned(),
        }))
    }
}
