//! Jobs: what a CI system tells of the jobs that carry out deployments, and what their reports mean (contract 1.3 and
//! 1.4, decision 13).
//!
//! A report counts if it is newer than the last one, by its number; so reports may be repeated and overtake each other.
//! What it does to the deployment is decided at the gate, in [`super::gate::Gate::report`].

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    Time,
    commit::Commit,
    deployment::{Deployment, DeploymentStatus},
    directory::User,
    error::{Error, Reason, Violations},
    id::{JobId, UserId},
    text,
};

/// How far ahead of the server's clock another may be.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(1);
/// The longest reason of a failure, in characters.
const REASON_MAX: usize = 100;
/// The longest list of tags.
const TAGS_MAX: usize = 50;

/// Why Gatehouse itself lets a job fail: somebody who may decide rejected the deployment.
pub const DEPLOYMENT_REJECTED: &str = "deployment_rejected";
/// Why Gatehouse itself lets a job fail: a newer deployment has succeeded.
pub const OUTDATED_DEPLOYMENT_JOB: &str = "failed_outdated_deployment_job";

/// Where a job or a pipeline is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobStatus {
    /// It is there.
    Created,
    /// Another job has what it needs.
    WaitingForResource,
    /// What it needs is being set up.
    Preparing,
    /// Something outside has to call back.
    WaitingForCallback,
    /// It waits for a runner.
    Pending,
    /// It runs.
    Running,
    /// It worked.
    Success,
    /// It did not work.
    Failed,
    /// It is being given up, and still runs.
    Canceling,
    /// It was given up.
    Canceled,
    /// It was left out.
    Skipped,
    /// Somebody has to start it.
    Manual,
    /// A time has to come.
    Scheduled,
}

impl JobStatus {
    /// Every status.
    pub const ALL: [Self; 13] = [
        Self::Created,
        Self::WaitingForResource,
        Self::Preparing,
        Self::WaitingForCallback,
        Self::Pending,
        Self::Running,
        Self::Success,
        Self::Failed,
        Self::Canceling,
        Self::Canceled,
        Self::Skipped,
        Self::Manual,
        Self::Scheduled,
    ];

    /// The word for it, in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::WaitingForResource => "waiting_for_resource",
            Self::Preparing => "preparing",
            Self::WaitingForCallback => "waiting_for_callback",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Canceling => "canceling",
            Self::Canceled => "canceled",
            Self::Skipped => "skipped",
            Self::Manual => "manual",
            Self::Scheduled => "scheduled",
        }
    }

    /// The status for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether the job is over.
    pub fn is_ended(self) -> bool {
        matches!(
            self,
            Self::Success | Self::Failed | Self::Canceled | Self::Skipped
        )
    }

    /// Whether the job is on its way: neither waiting for somebody, nor merely there, nor over.
    pub fn is_under_way(self) -> bool {
        !self.is_ended() && !matches!(self, Self::Created | Self::Manual)
    }

    /// Whether a job's token is good now.
    pub fn has_token(self) -> bool {
        matches!(self, Self::Running | Self::Canceling)
    }

    /// The deployment's status that this one is mirrored to; none: it changes nothing.
    pub fn mirrored(self) -> Option<DeploymentStatus> {
        match self {
            Self::Created => Some(DeploymentStatus::Created),
            Self::Manual => Some(DeploymentStatus::Blocked),
            Self::Running => Some(DeploymentStatus::Running),
            Self::Success => Some(DeploymentStatus::Success),
            Self::Failed => Some(DeploymentStatus::Failed),
            Self::Canceled => Some(DeploymentStatus::Canceled),
            Self::Skipped => Some(DeploymentStatus::Skipped),
            Self::WaitingForResource
            | Self::Preparing
            | Self::WaitingForCallback
            | Self::Pending
            | Self::Canceling
            | Self::Scheduled => None,
        }
    }
}

/// How much of the code tests covered, in percent: 0 to 100, so that it equals itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coverage(f64);

impl Eq for Coverage {}

impl Coverage {
    /// The coverage of so many percent; none for what is no part of a whole.
    pub fn new(percent: f64) -> Option<Self> {
        // Adding zero makes the negative zero an ordinary one.
        (0.0..=100.0).contains(&percent).then_some(Self(percent + 0.0))
    }

    /// In percent.
    pub fn percent(self) -> f64 {
        self.0
    }
}

/// What jobs a runner takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunnerType {
    /// Those of every project.
    Instance,
    /// Those of a group's projects.
    Group,
    /// Those of some projects.
    Project,
}

impl RunnerType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::Instance, Self::Group, Self::Project];

    /// The word for it, in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance_type",
            Self::Group => "group_type",
            Self::Project => "project_type",
        }
    }

    /// The type for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The machine that runs a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// The CI system's id.
    pub id: i64,
    /// What people call it.
    pub description: String,
    /// What it calls itself; empty: not known.
    pub name: String,
    /// What jobs it takes, if that is known.
    pub kind: Option<RunnerType>,
    /// Whether it takes no new jobs.
    pub paused: bool,
    /// Whether it is in contact with the CI system, if that is known.
    pub online: Option<bool>,
}

/// The pipeline that a job is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// The CI system's id.
    pub id: i64,
    /// Its number in the project, if the CI system counts them.
    pub iid: Option<i64>,
    /// The commit it is for; empty: the deployment's.
    pub sha: String,
    /// The branch or tag it is for; empty: the deployment's.
    pub git_ref: String,
    /// Where it is in its life.
    pub status: JobStatus,
    /// What started it; empty: not known.
    pub source: String,
    /// When it was created, if that is known.
    pub created_at: Option<Time>,
    /// When it last changed, if that is known.
    pub updated_at: Option<Time>,
    /// Where it can be looked at.
    pub web_url: Option<String>,
}

/// A CI job that carries out a deployment. Its ref and tag are the deployment's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The CI system's id; unique in the project.
    pub id: JobId,
    /// The number of the last report that changed it.
    pub sequence: i64,
    /// Where it is in its life.
    pub status: JobStatus,
    /// The stage of the pipeline; empty: not known.
    pub stage: String,
    /// What it is called.
    pub name: String,
    /// How much of the code its tests covered.
    pub coverage: Option<Coverage>,
    /// Whether the pipeline goes on if it fails.
    pub allow_failure: bool,
    /// When it was created.
    pub created_at: Time,
    /// When it began to run.
    pub started_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// When its log was erased.
    pub erased_at: Option<Time>,
    /// How long it waited for a runner.
    pub queued_duration: Option<Duration>,
    /// Why it failed, in a word; empty: it did not, or nobody said.
    pub failure_reason: String,
    /// On whose behalf it runs.
    pub user_id: UserId,
    /// The same user; none once they have been deleted, and before the job is kept.
    pub user: Option<User>,
    /// What runs it.
    pub runner: Option<Runner>,
    /// What it is part of.
    pub pipeline: Pipeline,
    /// The deployment's commit, if it is known.
    pub commit: Option<Commit>,
    /// Where it can be looked at.
    pub web_url: Option<String>,
    /// What its runner has to offer.
    pub tag_list: Vec<String>,
    /// Whether the project limits which projects the job's token reaches, in the CI system.
    pub ci_job_token_scope_enabled: bool,
}

/// A job as a CI system announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDraft {
    /// The CI system's id.
    pub id: JobId,
    /// The number of this report.
    pub sequence: i64,
    /// Where it is in its life.
    pub status: JobStatus,
    /// What it is called.
    pub name: String,
    /// The stage of the pipeline.
    pub stage: String,
    /// How much of the code its tests covered.
    pub coverage: Option<Coverage>,
    /// Whether the pipeline goes on if it fails.
    pub allow_failure: bool,
    /// When it was created; none: now.
    pub created_at: Option<Time>,
    /// When it began to run.
    pub started_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// How long it waited for a runner.
    pub queued_duration: Option<Duration>,
    /// Why it failed.
    pub failure_reason: String,
    /// What runs it.
    pub runner: Option<Runner>,
    /// What it is part of.
    pub pipeline: Pipeline,
    /// Where it can be looked at; empty: nowhere.
    pub web_url: String,
    /// What its runner has to offer.
    pub tag_list: Vec<String>,
    /// Whether the project limits which projects the job's token reaches, in the CI system.
    pub ci_job_token_scope_enabled: bool,
}

/// How a job goes; what is not told stays as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// Which job.
    pub id: JobId,
    /// The number of this report.
    pub sequence: i64,
    /// Where it is in its life.
    pub status: JobStatus,
    /// When it began to run.
    pub started_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// When its log was erased.
    pub erased_at: Option<Time>,
    /// How long it waited for a runner.
    pub queued_duration: Option<Duration>,
    /// Why it failed; empty: not told.
    pub failure_reason: String,
    /// How much of the code its tests covered.
    pub coverage: Option<Coverage>,
    /// What runs it.
    pub runner: Option<Runner>,
    /// What it is part of.
    pub pipeline: Option<Pipeline>,
}

/// The refusal for a job that the project does not have.
pub fn job_not_found(id: JobId) -> Error {
    Error::new(Reason::JobNotFound, format!("job {id} not found"))
}

/// Refuses a time that the server's clock is far from.
fn not_ahead(field: &str, time: Option<Time>, now: Time) -> Result<(), Error> {
    match time {
        Some(time) if time > now + AHEAD_MAX => Err(Error::argument(field, "is in the future")),
        _ => Ok(()),
    }
}

/// Refuses an end before the beginning, and an end of what has not ended.
fn check_end(
    field: &str,
    status: JobStatus,
    started_at: Option<Time>,
    finished_at: Option<Time>,
) -> Result<(), Error> {
    let Some(finished_at) = finished_at else {
        return Ok(());
    };
    if !status.is_ended() {
        return Err(Error::argument(field, "is only for a job that has ended"));
    }
    if started_at.is_some_and(|started_at| finished_at < started_at) {
        return Err(Error::argument(field, "is before the job began to run"));
    }
    Ok(())
}

/// Refuses a reason of something that did not fail, and one that is no word.
fn check_reason(field: &str, status: JobStatus, reason: &str) -> Result<(), Error> {
    if reason.is_empty() {
        return Ok(());
    }
    if status != JobStatus::Failed {
        return Err(Error::argument(field, "is only for a job that failed"));
    }
    let word = reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if !word || reason.len() > REASON_MAX {
        let text = "must be a word of at most 100 lower-case letters and `_`";
        return Err(Error::argument(field, text));
    }
    Ok(())
}

/// A text that is shown: at most 255 characters, none of them a control character.
fn check_text(field: &str, value: &str) -> Result<(), Error> {
    text::at_most(field, value, text::NAME_MAX)
        .and_then(|()| text::no_control(field, value))
        .map_err(Error::into_argument)
}

fn check_url(field: &str, url: Option<&str>) -> Result<(), Error> {
    url.map_or(Ok(()), |url| text::url(field, url).map_err(Error::into_argument))
}

fn positive(field: &str, number: i64) -> Result<(), Error> {
    if number > 0 {
        Ok(())
    } else {
        Err(Error::argument(field, "must be positive"))
    }
}

impl Runner {
    fn check(&self, violations: &mut Violations, field: &str) {
        violations.check(positive(&format!("{field}.id"), self.id));
        violations.check(check_text(&format!("{field}.description"), &self.description));
        violations.check(check_text(&format!("{field}.name"), &self.name));
    }
}

impl Pipeline {
    fn check(&self, violations: &mut Violations, field: &str, now: Time) {
        violations.check(positive(&format!("{field}.id"), self.id));
        if let Some(iid) = self.iid {
            violations.check(positive(&format!("{field}.iid"), iid));
        }
        if self.sha.len() > 64 || !self.sha.bytes().all(|b| b.is_ascii_hexdigit()) {
            violations.check::<()>(Err(Error::argument(format!("{field}.sha"), "is invalid")));
        }
        violations.check(check_text(&format!("{field}.ref"), &self.git_ref));
        violations.check(check_text(&format!("{field}.source"), &self.source));
        violations.check(not_ahead(&format!("{field}.created_at"), self.created_at, now));
        violations.check(not_ahead(&format!("{field}.updated_at"), self.updated_at, now));
        violations.check(check_url(&format!("{field}.web_url"), self.web_url.as_deref()));
    }

    /// The pipeline, for what the deployment is for unless it is told otherwise.
    fn of(&self, sha: &str, git_ref: &str) -> Self {
        let or = |told: &str, known: &str| if told.is_empty() { known } else { told }.to_owned();
        Self {
            sha: or(&self.sha, sha),
            git_ref: or(&self.git_ref, git_ref),
            ..self.clone()
        }
    }
}

impl JobDraft {
    /// Checks a job that is announced.
    pub fn check(&self, now: Time) -> Result<(), Error> {
        let mut violations = Violations::default();
        violations.check(positive("job.id", self.id.0));
        if self.sequence < 0 {
            violations.check::<()>(Err(Error::argument("job.sequence", "must not be negative")));
        }
        violations.check(text::display_name("job.name", &self.name).map_err(Error::into_argument));
        violations.check(check_text("job.stage", &self.stage));
        for (field, time) in [
            ("job.created_at", self.created_at),
            ("job.started_at", self.started_at),
            ("job.finished_at", self.finished_at),
        ] {
            violations.check(not_ahead(field, time, now));
        }
        violations.check(check_end(
            "job.finished_at",
            self.status,
            self.started_at,
            self.finished_at,
        ));
        violations.check(check_reason(
            "job.failure_reason",
            self.status,
            &self.failure_reason,
        ));
        if let Some(runner) = &self.runner {
            runner.check(&mut violations, "job.runner");
        }
        self.pipeline.check(&mut violations, "job.pipeline", now);
        let url = Some(self.web_url.as_str()).filter(|url| !url.is_empty());
        violations.check(check_url("job.web_url", url));
        if self.tag_list.len() > TAGS_MAX {
            let text = "is too long (maximum is 50 tags)";
            violations.check::<()>(Err(Error::argument("job.tag_list", text)));
        }
        for (index, tag) in self.tag_list.iter().take(TAGS_MAX).enumerate() {
            let field = format!("job.tag_list[{index}]");
            violations.check(text::display_name(&field, tag).map_err(Error::into_argument));
        }
        violations.finish()
    }

    /// The job that is kept, in the status that the gate leaves it; `sha` and `git_ref` are the deployment's.
    pub fn job(&self, status: JobStatus, user: UserId, sha: &str, git_ref: &str, now: Time) -> Job {
        let kept = status == self.status;
        let begun = self.started_at.filter(|_| kept);
        let mut job = Job {
            id: self.id,
            sequence: self.sequence,
            status,
            stage: self.stage.clone(),
            name: self.name.clone(),
            coverage: self.coverage,
            allow_failure: self.allow_failure,
            // A clock that nobody told does not make a job younger than its run.
            created_at: self
                .created_at
                .unwrap_or_else(|| now.min(begun.unwrap_or(now)).min(self.finished_at.unwrap_or(now))),
            started_at: begun,
            finished_at: self.finished_at.filter(|_| kept),
            erased_at: None,
            queued_duration: self.queued_duration,
            failure_reason: self.failure_reason.clone(),
            user_id: user,
            user: None,
            runner: self.runner.clone(),
            pipeline: self.pipeline.of(sha, git_ref),
            commit: None,
            web_url: Some(self.web_url.clone()).filter(|url| !url.is_empty()),
            tag_list: self.tag_list.clone(),
            ci_job_token_scope_enabled: self.ci_job_token_scope_enabled,
        };
        job.note_times(now);
        job
    }
}

impl JobReport {
    /// Checks what can be told from the report alone.
    pub fn check(&self, now: Time) -> Result<(), Error> {
        let mut violations = Violations::default();
        violations.check(positive("sequence", self.sequence));
        for (field, time) in [
            ("started_at", self.started_at),
            ("finished_at", self.finished_at),
            ("erased_at", self.erased_at),
        ] {
            violations.check(not_ahead(field, time, now));
        }
        violations.check(check_end(
            "finished_at",
            self.status,
            self.started_at,
            self.finished_at,
        ));
        violations.check(check_reason("failure_reason", self.status, &self.failure_reason));
        if let Some(runner) = &self.runner {
            runner.check(&mut violations, "runner");
        }
        if let Some(pipeline) = &self.pipeline {
            pipeline.check(&mut violations, "pipeline", now);
        }
        violations.finish()
    }
}

impl Job {
    /// Whether a report tells something new.
    pub fn is_behind(&self, report: &JobReport) -> bool {
        report.sequence > self.sequence
    }

    /// The job after a newer report that leaves it in `status`; `sha` and `git_ref` are the deployment's. Times that are
    /// known are not turned back.
    pub fn after(
        &self,
        report: &JobReport,
        status: JobStatus,
        sha: &str,
        git_ref: &str,
        now: Time,
    ) -> Result<Self, Error> {
        let mut job = self.clone();
        if self.status.is_ended() && !status.is_ended() {
            job.forget_run();
        }
        job.sequence = report.sequence;
        job.status = status;
        job.started_at = job.started_at.max(report.started_at);
        check_end("finished_at", report.status, job.started_at, report.finished_at)?;
        job.finished_at = job.finished_at.max(report.finished_at);
        job.erased_at = job.erased_at.max(report.erased_at);
        job.queued_duration = report.queued_duration.or(job.queued_duration);
        job.coverage = report.coverage.or(job.coverage);
        if let Some(runner) = &report.runner {
            job.runner = Some(runner.clone());
        }
        if let Some(pipeline) = &report.pipeline {
            job.pipeline = pipeline.of(sha, git_ref);
        }
        if status != JobStatus::Failed {
            job.failure_reason.clear();
        } else if !report.failure_reason.is_empty() {
            job.failure_reason.clone_from(&report.failure_reason);
        }
        job.note_times(now);
        Ok(job)
    }

    /// The job, waiting for a runner: the gate has let it go.
    #[must_use]
    pub fn enqueued(&self) -> Self {
        Self {
            status: JobStatus::Pending,
            ..self.clone()
        }
    }

    /// The job, failed because Gatehouse says so.
    #[must_use]
    pub fn failed(&self, reason: &str, now: Time) -> Self {
        let mut job = Self {
            status: JobStatus::Failed,
            failure_reason: reason.to_owned(),
            finished_at: None,
            ..self.clone()
        };
        job.note_times(now);
        job
    }

    /// What was told of a run that is over does not hold for the next one.
    fn forget_run(&mut self) {
        self.started_at = None;
        self.finished_at = None;
        self.erased_at = None;
        self.queued_duration = None;
        self.coverage = None;
        self.runner = None;
        self.failure_reason.clear();
    }

    /// What nobody told: what runs began, and what is over ended, now at the latest.
    fn note_times(&mut self, now: Time) {
        if self.status.has_token() && self.started_at.is_none() {
            self.started_at = Some(now);
        }
        if self.status.is_ended() && self.finished_at.is_none() {
            self.finished_at = Some(self.started_at.map_or(now, |started_at| now.max(started_at)));
        }
    }

    /// Refuses a token for a job that does not run.
    pub fn may_have_token(&self) -> Result<(), Error> {
        if self.status.has_token() {
            return Ok(());
        }
        let status = self.status.as_str();
        Err(Error::new(
            Reason::JobNotRunning,
            format!("job {} is {status} and does not run", self.id),
        )
        .with("status", status))
    }
}

impl Deployment {
    /// Refuses to move by hand what a job moves.
    pub fn driven_by_hand(&self) -> Result<(), Error> {
        match &self.job {
            None => Ok(()),
            Some(job) => Err(Error::new(
                Reason::DeploymentHasJob,
                format!("deployment {} is moved by job {} alone", self.id, job.id),
            )),
        }
    }

    /// Whether the job's run is over, or it is being run again after it was.
    pub fn has_ended(&self) -> bool {
        let ended = self.job.as_ref().is_some_and(|job| job.status.is_ended());
        ended || self.status.is_finished() || self.status == DeploymentStatus::Skipped
    }
}

#[cfg(test)]
mod tests;
