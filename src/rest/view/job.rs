//! The job of a deployment, its `deployable` (contract 2.1): the keys of the documented get example in its order, then
//! TODAY's. What a CI system keeps to itself, or Gatehouse does not have, is shown as the reference shows what is empty.

use prost_types::{Duration, Timestamp};
use serde::Serialize;

use super::{printed, time, words};
use crate::pb::v1;

/// How many digits of its id a commit is called by in short.
const SHORT: usize = 8;

fn not_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// An object without keys.
#[derive(Debug, Serialize)]
struct Nothing {}

/// Something with no elements.
type NoList = [(); 0];

/// What the job tells of the project.
#[derive(Debug, Serialize)]
struct ProjectOfJob {
    ci_job_token_scope_enabled: bool,
}

/// The user on whose behalf a job runs.
#[derive(Debug, Serialize)]
struct FullUser {
    id: i64,
    name: String,
    username: String,
    state: &'static str,
    avatar_url: Option<String>,
    web_url: String,
    created_at: Option<String>,
    bio: Option<String>,
    location: Option<String>,
    public_email: String,
    skype: String,
    linkedin: String,
    twitter: String,
    website_url: String,
    organization: String,
    locked: bool,
    discord: &'static str,
    github: &'static str,
    job_title: &'static str,
    pronouns: Option<String>,
    bot: bool,
    work_information: Option<String>,
    followers: u32,
    following: u32,
    is_followed: bool,
    local_time: Option<String>,
}

impl FullUser {
    fn new(user: v1::User, base: &str) -> Self {
        let profile = user.profile.unwrap_or_default();
        Self {
            id: user.id,
            name: user.name,
            web_url: format!("{base}/{}", user.username),
            username: user.username,
            state: words::word(words::USER_STATES, user.state),
            avatar_url: user.avatar_url,
            created_at: printed(user.created_at.as_ref()),
            bio: not_empty(profile.bio),
            location: not_empty(profile.location),
            public_email: user.public_email.unwrap_or_default(),
            skype: profile.skype,
            linkedin: profile.linkedin,
            twitter: profile.twitter,
            website_url: profile.website_url,
            organization: profile.organization,
            locked: false,
            discord: "",
            github: "",
            job_title: "",
            pronouns: None,
            bot: false,
            work_information: None,
            followers: 0,
            following: 0,
            is_followed: false,
            local_time: None,
        }
    }
}

/// A time by the clock of whoever wrote it.
fn local(at: Option<v1::LocalTime>) -> Option<String> {
    let at = at?;
    time::print_local(&at.time?, at.utc_offset_minutes)
}

/// The commit that the job is about.
#[derive(Debug, Serialize)]
struct Commit {
    id: String,
    short_id: String,
    title: String,
    author_name: String,
    author_email: String,
    created_at: Option<String>,
    message: String,
    parent_ids: Vec<String>,
    authored_date: Option<String>,
    committer_name: String,
    committer_email: String,
    committed_date: Option<String>,
    trailers: Nothing,
    extended_trailers: Nothing,
    web_url: Option<String>,
}

impl From<v1::Commit> for Commit {
    fn from(commit: v1::Commit) -> Self {
        let committed = local(commit.committed_at);
        Self {
            short_id: commit.id.chars().take(SHORT).collect(),
            id: commit.id,
            title: commit.message.split('\n').next().unwrap_or_default().to_owned(),
            author_name: commit.author_name,
            author_email: commit.author_email,
            created_at: committed.clone(),
            message: commit.message,
            parent_ids: commit.parent_ids,
            authored_date: local(commit.authored_at),
            committer_name: commit.committer_name,
            committer_email: commit.committer_email,
            committed_date: committed,
            trailers: Nothing {},
            extended_trailers: Nothing {},
            web_url: commit.web_url,
        }
    }
}

/// The pipeline that the job is part of.
#[derive(Debug, Serialize)]
struct Pipeline {
    created_at: Option<String>,
    id: i64,
    #[serde(rename = "ref")]
    reference: String,
    sha: String,
    status: &'static str,
    updated_at: Option<String>,
    web_url: Option<String>,
    iid: Option<i64>,
    project_id: i64,
    source: Option<String>,
}

impl Pipeline {
    fn new(pipeline: v1::Pipeline, project_id: i64) -> Self {
        Self {
            created_at: printed(pipeline.created_at.as_ref()),
            id: pipeline.id,
            reference: pipeline.r#ref,
            sha: pipeline.sha,
            status: words::word(words::JOB_STATUSES, pipeline.status),
            updated_at: printed(pipeline.updated_at.as_ref()),
            web_url: pipeline.web_url,
            iid: pipeline.iid,
            project_id,
            source: not_empty(pipeline.source),
        }
    }
}

/// What runs the job.
#[derive(Debug, Serialize)]
struct Runner {
    id: i64,
    description: String,
    ip_address: Option<String>,
    active: bool,
    paused: bool,
    is_shared: bool,
    runner_type: Option<&'static str>,
    name: Option<String>,
    online: Option<bool>,
    created_by: Option<String>,
    created_at: Option<String>,
    status: Option<&'static str>,
    job_execution_status: Option<String>,
}

impl From<v1::Runner> for Runner {
    fn from(runner: v1::Runner) -> Self {
        let kind = runner.r#type();
        Self {
            id: runner.id,
            description: runner.description,
            ip_address: None,
            active: !runner.paused,
            paused: runner.paused,
            is_shared: kind == v1::RunnerType::Instance,
            runner_type: words::known(words::RUNNER_TYPES, kind),
            name: not_empty(runner.name),
            online: runner.online,
            created_by: None,
            created_at: None,
            status: runner
                .online
                .map(|online| if online { "online" } else { "offline" }),
            job_execution_status: None,
        }
    }
}

/// A job.
#[derive(Debug, Serialize)]
pub(super) struct Job {
    id: i64,
    status: &'static str,
    stage: String,
    name: String,
    #[serde(rename = "ref")]
    reference: String,
    tag: bool,
    coverage: Option<f64>,
    created_at: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
    project: ProjectOfJob,
    user: Option<FullUser>,
    commit: Option<Commit>,
    pipeline: Option<Pipeline>,
    runner: Option<Runner>,
    allow_failure: bool,
    erased_at: Option<String>,
    duration: Option<f64>,
    queued_duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    web_url: Option<String>,
    artifacts: NoList,
    runner_manager: Option<String>,
    artifacts_expire_at: Option<String>,
    archived: bool,
    tag_list: Vec<String>,
}

impl Job {
    /// The job of a deployment of this project; `base` is where the client found this server.
    pub(super) fn new(job: v1::Job, project_id: i64, base: &str) -> Self {
        Self {
            id: job.id,
            status: words::word(words::JOB_STATUSES, job.status),
            stage: job.stage,
            name: job.name,
            reference: job.r#ref,
            tag: job.tag,
            coverage: job.coverage,
            created_at: printed(job.created_at.as_ref()),
            started_at: printed(job.started_at.as_ref()),
            finished_at: printed(job.finished_at.as_ref()),
            project: ProjectOfJob {
                ci_job_token_scope_enabled: job.ci_job_token_scope_enabled,
            },
            user: job.user.map(|user| FullUser::new(user, base)),
            commit: job.commit.map(Commit::from),
            pipeline: job.pipeline.map(|pipeline| Pipeline::new(pipeline, project_id)),
            runner: job.runner.map(Runner::from),
            allow_failure: job.allow_failure,
            erased_at: printed(job.erased_at.as_ref()),
            duration: between(job.started_at, job.finished_at),
            queued_duration: job.queued_duration.as_ref().map(seconds),
            failure_reason: not_empty(job.failure_reason),
            web_url: job.web_url,
            artifacts: [],
            runner_manager: None,
            artifacts_expire_at: None,
            archived: false,
            tag_list: job.tag_list,
        }
    }
}

/// A length of time in seconds.
#[expect(clippy::cast_precision_loss, reason = "a few centuries are counted exactly")]
fn seconds(length: &Duration) -> f64 {
    length.seconds as f64 + f64::from(length.nanos / 1_000_000) / 1e3
}

/// How long it took, if it is over.
fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<f64> {
    let (from, to) = (from?, to?);
    let mut length = Duration {
        seconds: to.seconds - from.seconds,
        nanos: to.nanos - from.nanos,
    };
    length.normalize();
    Some(seconds(&length))
}
