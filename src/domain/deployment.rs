//! Deployments: their fields, their life cycle, and what creating, moving and deleting one means (contract 1.3, with
//! the corrections of the product's decisions 3, 6 and 7).

use std::collections::BTreeSet;

use super::{
    Time,
    commit::{self, Commit},
    directory::UserSummary,
    environment::{Environment, EnvironmentSummary, NewEnvironment},
    error::{Error, Reason, Violations},
    event::ProjectChange,
    id::{DeploymentId, EnvironmentId, Iid, ProjectId, UserId},
    job::{DEPLOYMENT_REJECTED, Job, JobDraft, JobStatus},
    page::Direction,
    text,
};

/// The most commits that can be sent with a deployment.
const COMMITS_MAX: usize = 10_000;

/// Where a deployment is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeploymentStatus {
    /// Recorded, free to start.
    Created,
    /// Being carried out.
    Running,
    /// Carried out.
    Success,
    /// Did not work, or was rejected.
    Failed,
    /// Given up.
    Canceled,
    /// Not carried out.
    Skipped,
    /// Held until it is approved.
    Blocked,
}

impl DeploymentStatus {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Created,
        Self::Running,
        Self::Success,
        Self::Failed,
        Self::Canceled,
        Self::Skipped,
        Self::Blocked,
    ];

    /// The word for it, in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Skipped => "skipped",
            Self::Blocked => "blocked",
        }
    }

    /// The status for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether entering it finishes the deployment.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Canceled)
    }
}

/// What moves a deployment from one status to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentEvent {
    /// It starts.
    Run,
    /// It worked.
    Succeed,
    /// It did not work.
    Drop,
    /// It is given up.
    Cancel,
    /// It is left out.
    Skip,
    /// What was left out is wanted after all.
    Create,
    /// The gate holds it.
    Block,
    /// The gate lets it go.
    Unblock,
}

impl DeploymentEvent {
    /// Every event.
    pub const ALL: [Self; 8] = [
        Self::Run,
        Self::Succeed,
        Self::Drop,
        Self::Cancel,
        Self::Skip,
        Self::Create,
        Self::Block,
        Self::Unblock,
    ];

    /// The word for it, as refusals quote it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Succeed => "succeed",
            Self::Drop => "drop",
            Self::Cancel => "cancel",
            Self::Skip => "skip",
            Self::Create => "create",
            Self::Block => "block",
            Self::Unblock => "unblock",
        }
    }

    /// The event that a caller means who asks for `status`; none for what callers cannot ask for.
    pub fn toward(status: DeploymentStatus) -> Option<Self> {
        match status {
            DeploymentStatus::Running => Some(Self::Run),
            DeploymentStatus::Success => Some(Self::Succeed),
            DeploymentStatus::Failed => Some(Self::Drop),
            DeploymentStatus::Canceled => Some(Self::Cancel),
            _ => None,
        }
    }

    /// Where the event leads from `from`, if it may happen there.
    ///
    /// What is blocked can fail or be given up, but neither start nor succeed: only the gate lets it go (decision 6).
    pub fn apply(self, from: DeploymentStatus) -> Option<DeploymentStatus> {
        use DeploymentStatus as S;
        let to = match self {
            Self::Run => return (from == S::Created).then_some(S::Running),
            Self::Create => return (from == S::Skipped).then_some(S::Created),
            Self::Block => return (from == S::Created).then_some(S::Blocked),
            Self::Unblock => return (from == S::Blocked).then_some(S::Created),
            Self::Succeed if from == S::Blocked => return None,
            Self::Succeed => S::Success,
            Self::Drop => S::Failed,
            Self::Cancel => S::Canceled,
            Self::Skip => S::Skipped,
        };
        (from != to).then_some(to)
    }
}

/// How a deployment stands to the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum GateState {
    /// No approval was required when it was recorded.
    #[default]
    Open,
    /// It was held and has not been let go.
    Held,
    /// It was held and let go.
    Released,
    /// It was told to have finished without having been let go (decision 7).
    Bypassed,
}

impl GateState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Open, Self::Held, Self::Released, Self::Bypassed];

    /// The word for it in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Held => "held",
            Self::Released => "released",
            Self::Bypassed => "bypassed",
        }
    }

    /// The state for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Why a deployment failed, where Gatehouse knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// Somebody who may decide rejected it.
    DeploymentRejected,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 1] = [Self::DeploymentRejected];

    /// The word for it in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeploymentRejected => "deployment_rejected",
        }
    }

    /// The reason for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Over all projects.
    pub id: DeploymentId,
    /// Within the project.
    pub iid: Iid,
    /// The project.
    pub project_id: ProjectId,
    /// Where to.
    pub environment: EnvironmentSummary,
    /// The branch or tag, as sent.
    pub git_ref: String,
    /// Whether `git_ref` is a tag.
    pub tag: bool,
    /// The commit, as sent.
    pub sha: String,
    /// Who recorded it; none once that user has been deleted.
    pub user: Option<UserSummary>,
    /// Where it is in its life.
    pub status: DeploymentStatus,
    /// When it was recorded.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// When it last became success, failed or canceled.
    pub finished_at: Option<Time>,
    /// How it stands to the gate.
    pub gate: GateState,
    /// Why it failed, where that is known.
    pub failure_reason: Option<FailureReason>,
    /// Counts the changes; the etag shows it.
    pub version: i64,
    /// The full id of the commit, where it is known.
    pub commit_id: Option<String>,
    /// The job that carries it out.
    pub job: Option<Box<Job>>,
}

/// A deployment about to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeployment {
    /// Where to: an environment that is there, or one to be made first.
    pub environment: EnvironmentSlot,
    /// The branch or tag.
    pub git_ref: String,
    /// Whether `git_ref` is a tag.
    pub tag: bool,
    /// The commit.
    pub sha: String,
    /// Who records it.
    pub user_id: UserId,
    /// The status it starts in.
    pub status: DeploymentStatus,
    /// How it stands to the gate.
    pub gate: GateState,
    /// Now, if it starts finished.
    pub finished_at: Option<Time>,
    /// The full id of the commit, where it is known.
    pub commit_id: Option<String>,
    /// The commit, as the project's repository has it.
    pub commit: Option<Box<Commit>>,
    /// The commits that it brings, as the caller told.
    pub commits: Vec<Commit>,
    /// The job that carries it out.
    pub job: Option<Box<Job>>,
}

impl NewDeployment {
    /// The deployment that it becomes, if it has no job.
    pub fn recorded(
        &self,
        place: (ProjectId, DeploymentId, Iid),
        environment: EnvironmentSummary,
        user: UserSummary,
        now: Time,
    ) -> Deployment {
        let (project_id, id, iid) = place;
        Deployment {
            id,
            iid,
            project_id,
            environment,
            git_ref: self.git_ref.clone(),
            tag: self.tag,
            sha: self.sha.clone(),
            user: Some(user),
            status: self.status,
            created_at: now,
            updated_at: now,
            finished_at: self.finished_at,
            gate: self.gate,
            failure_reason: None,
            version: 1,
            commit_id: self.commit_id.clone(),
            job: None,
        }
    }
}

/// The environment of a new deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvironmentSlot {
    /// It is there.
    Existing(EnvironmentId),
    /// It is made with the deployment.
    New(NewEnvironment),
}

/// What a caller wants recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateDeployment {
    /// The environment's name.
    pub environment: String,
    /// The commit.
    pub sha: String,
    /// The branch or tag.
    pub git_ref: String,
    /// Whether `git_ref` is a tag.
    pub tag: bool,
    /// The status to start in; with a job, its status decides.
    pub status: DeploymentStatus,
    /// The job that carries it out.
    pub job: Option<Box<JobDraft>>,
    /// The commits that it brings.
    pub commits: Vec<Commit>,
}

/// What a project's repository says of a new deployment's sha and ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Both are there; this is the commit.
    Found(Box<Commit>),
    /// There is no such commit.
    NoCommit,
    /// There is no such branch or tag.
    NoRef,
    /// Nothing: it cannot be read.
    Unavailable,
}

impl Lookup {
    /// The commit, or the refusal (contract 2.4): the sha goes before the ref.
    fn commit(&self) -> Result<&Commit, Error> {
        match self {
            Self::Found(commit) => Ok(commit),
            Self::NoCommit => Err(Error::resource("deployment.sha", "The commit does not exist")),
            Self::NoRef => Err(Error::resource(
                "deployment.ref",
                "The branch or tag does not exist",
            )),
            Self::Unavailable => Err(Error::new(
                Reason::RepositoryUnavailable,
                "the project's repository cannot be read now",
            )),
        }
    }
}

/// What there is already when a deployment is recorded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ground<'a> {
    /// The environment of that name.
    pub environment: Option<&'a Environment>,
    /// Whether another one has its slug.
    pub slug_taken: bool,
    /// The environment's last successful deployment.
    pub last: Option<&'a Deployment>,
    /// The deployment that the same job carries out.
    pub announced: Option<&'a Deployment>,
    /// Whether the environment requires approvals.
    pub gated: bool,
    /// What the project's repository says of the sha and the ref; none: the project has no repository.
    pub lookup: Option<&'a Lookup>,
}

impl CreateDeployment {
    /// Checks what can be told from the request alone. A sha is 7 to 64 hexadecimal digits or, where a repository knows
    /// better, anything that could be a name in it; a ref is 1 to 255 characters (decision 12); which statuses can be asked for is decision 6 and 7.
    pub fn validate(&self, has_repository: bool, now: Time) -> Result<(), Error> {
        let mut violations = Violations::default();
        if self.environment.is_empty() {
            violations.check::<()>(Err(Error::argument("environment", "is empty")));
        }
        violations.check(check_sha(&self.sha, has_repository));
        violations.check(check_name("ref", &self.git_ref));
        match &self.job {
            Some(job) => {
                violations.check(job.check(now));
            }
            None if matches!(self.status, DeploymentStatus::Blocked | DeploymentStatus::Skipped) => {
                violations.check::<()>(Err(Error::argument("status", "does not have a valid value")));
            }
            None => {}
        }
        violations.check(check_commits(&self.commits));
        violations.finish()
    }

    /// The status that the deployment starts in, and how it stands to the gate. What has happened is kept as told; what
    /// is about to happen waits (decisions 6 and 7).
    fn start(&self, gated: bool) -> (DeploymentStatus, GateState) {
        let told = match &self.job {
            Some(job) => job.status.mirrored().unwrap_or(DeploymentStatus::Created),
            None => self.status,
        };
        match (gated, told) {
            (false, told) => (told, GateState::Open),
            (true, told) if told.is_finished() => (told, GateState::Bypassed),
            // Left out: nothing happened, and if it is taken up again it waits.
            (true, DeploymentStatus::Skipped) => (told, GateState::Held),
            (true, _) => (DeploymentStatus::Blocked, GateState::Held),
        }
    }

    /// Whether this announces the job of `deployment` once more.
    fn announces(&self, deployment: &Deployment) -> bool {
        deployment.environment.name == self.environment
            && deployment.git_ref == self.git_ref
            && deployment.tag == self.tag
            && deployment.sha == self.sha
    }
}

fn check_commits(commits: &[Commit]) -> Result<(), Error> {
    if commits.len() > COMMITS_MAX {
        return Err(Error::argument("commits", "are too many (maximum is 10000)"));
    }
    let mut violations = Violations::default();
    let mut seen = BTreeSet::new();
    for (index, commit) in commits.iter().enumerate() {
        violations.check(commit.check(&format!("commits[{index}]")));
        if !seen.insert(&commit.id) {
            let field = format!("commits[{index}].id");
            violations.check::<()>(Err(Error::argument(field, "was sent before")));
        }
    }
    violations.finish()
}

fn check_sha(sha: &str, has_repository: bool) -> Result<(), Error> {
    if has_repository {
        return check_name("sha", sha);
    }
    if sha.is_empty() {
        return Err(Error::argument("sha", "is empty"));
    }
    if !(7..=64).contains(&sha.len()) || !sha.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Error::argument("sha", "is invalid"));
    }
    Ok(())
}

/// Checks what could be the name of a branch or tag.
fn check_name(field: &'static str, name: &str) -> Result<(), Error> {
    if name.trim().is_empty() {
        return Err(Error::argument(field, "is empty"));
    }
    if name.chars().count() > text::NAME_MAX || name.chars().any(char::is_control) {
        return Err(Error::argument(field, "is invalid"));
    }
    Ok(())
}

/// Decides what recording a deployment changes.
///
/// Recording the same success again changes nothing and answers with the record that is there (contract 1.3), and so does
/// announcing the same job again.
pub fn create(
    command: &CreateDeployment,
    user_id: UserId,
    ground: &Ground<'_>,
    now: Time,
) -> Result<Vec<ProjectChange>, Error> {
    command.validate(ground.lookup.is_some(), now)?;
    let commit = ground.lookup.map(Lookup::commit).transpose()?;
    match (&command.job, ground.announced) {
        (Some(_), Some(announced)) if command.announces(announced) => {
            return Ok(vec![ProjectChange::DeploymentKept(announced.clone())]);
        }
        (Some(_), Some(_)) => return Err(Error::taken("job", "job.id")),
        (Some(_), None) => {}
        (None, _) => {
            if let Some(last) = ground.last.filter(|last| last.repeats(command)) {
                return Ok(vec![ProjectChange::DeploymentKept(last.clone())]);
            }
        }
    }
    let (status, gate) = command.start(ground.gated);
    let slot = match ground.environment {
        Some(environment) => EnvironmentSlot::Existing(environment.id),
        None => EnvironmentSlot::New(NewEnvironment::named(
            &command.environment,
            ground.slug_taken,
            "environment.",
        )?),
    };
    let job = command.job.as_ref().map(|draft| {
        let held = status == DeploymentStatus::Blocked && gate == GateState::Held;
        let kept = if held { JobStatus::Manual } else { draft.status };
        Box::new(draft.job(kept, user_id, &command.sha, &command.git_ref, now))
    });
    let mut changes = vec![ProjectChange::DeploymentCreated(NewDeployment {
        environment: slot,
        git_ref: command.git_ref.clone(),
        tag: command.tag,
        sha: command.sha.clone(),
        user_id,
        status,
        gate,
        finished_at: status.is_finished().then_some(now),
        commit_id: match commit {
            Some(commit) => Some(commit.id.clone()),
            None => Some(command.sha.to_ascii_lowercase()).filter(|sha| commit::is_full_id(sha)),
        },
        commit: commit.cloned().map(Box::new),
        commits: command.commits.clone(),
        job,
    })];
    if status == DeploymentStatus::Success {
        changes.extend(ground.environment.and_then(|environment| environment.start(now)));
    }
    Ok(changes)
}

impl Deployment {
    /// The etag: changes with every change.
    pub fn etag(&self) -> String {
        format!("\"{}-{}\"", self.id, self.version)
    }

    /// Whether `command` would record this success a second time.
    fn repeats(&self, command: &CreateDeployment) -> bool {
        self.status == command.status
            && self.git_ref == command.git_ref
            && self.tag == command.tag
            && self.sha == command.sha
    }

    /// Decides what moving the deployment to `status` changes; `environment` is the deployment's.
    pub fn move_to(
        &self,
        status: DeploymentStatus,
        environment: &Environment,
        now: Time,
    ) -> Result<Vec<ProjectChange>, Error> {
        let event = DeploymentEvent::toward(status)
            .ok_or_else(|| Error::argument("status", "does not have a valid value"))?;
        let mut changes = vec![self.on(event, now)?];
        if status == DeploymentStatus::Success {
            changes.extend(environment.start(now));
        }
        Ok(changes)
    }

    /// The change that a rejection makes: the deployment fails at once (decision 6).
    pub fn reject(&self, now: Time) -> Result<ProjectChange, Error> {
        let mut change = self.on(DeploymentEvent::Drop, now)?;
        if let ProjectChange::DeploymentMoved { after, .. } = &mut change {
            after.failure_reason = Some(FailureReason::DeploymentRejected);
            after.job = self
                .job
                .as_ref()
                .map(|job| Box::new(job.failed(DEPLOYMENT_REJECTED, now)));
        }
        Ok(change)
    }

    /// The change that the last approval makes: the deployment is free to start, and its job to run (decision 6).
    pub fn release(&self, now: Time) -> Result<ProjectChange, Error> {
        let mut change = self.on(DeploymentEvent::Unblock, now)?;
        if let ProjectChange::DeploymentMoved { after, .. } = &mut change {
            after.job = self.job.as_ref().map(|job| Box::new(job.enqueued()));
        }
        Ok(change)
    }

    /// Whether the gate holds it: it is blocked, and not because somebody has to start its job.
    pub fn is_held(&self) -> bool {
        self.status == DeploymentStatus::Blocked && self.gate == GateState::Held
    }

    /// Whether it brings the same commit as another one.
    pub fn ships_the_same(&self, other: &Self) -> bool {
        let known = self.commit_id.is_some() && self.commit_id == other.commit_id;
        known || self.sha.eq_ignore_ascii_case(&other.sha)
    }

    /// The change that `event` makes, or the refusal of a step that the life cycle does not have.
    pub fn on(&self, event: DeploymentEvent, now: Time) -> Result<ProjectChange, Error> {
        let Some(to) = event.apply(self.status) else {
            let wanted = DeploymentStatus::ALL
                .into_iter()
                .find(|&status| DeploymentEvent::toward(status) == Some(event))
                .map_or("", DeploymentStatus::as_str);
            return Err(Error::new(
                Reason::InvalidTransition,
                format!(
                    "deployment {} is {} and cannot {}",
                    self.id,
                    self.status.as_str(),
                    event.as_str()
                ),
            )
            .with("event", event.as_str())
            .with("from", self.status.as_str())
            .with("to", wanted));
        };
        let mut after = self.clone();
        after.status = to;
        after.updated_at = now;
        after.version += 1;
        after.failure_reason = None;
        after.gate = match (self.gate, event) {
            (GateState::Held, DeploymentEvent::Unblock) => GateState::Released,
            // Given up, rejected or left out at the gate, and yet carried out.
            (GateState::Held, DeploymentEvent::Run | DeploymentEvent::Succeed) => GateState::Bypassed,
            (gate, _) => gate,
        };
        if to.is_finished() {
            after.finished_at = Some(now);
        }
        Ok(ProjectChange::DeploymentMoved {
            before: self.status,
            after: Box::new(after),
        })
    }

    /// Decides whether the deployment can be deleted; `last` is its environment's last successful one.
    pub fn delete(&self, last: Option<&Deployment>) -> Result<Vec<ProjectChange>, Error> {
        if self.status == DeploymentStatus::Running {
            return Err(Error::new(
                Reason::DeploymentRunning,
                format!("deployment {} is running and cannot be deleted", self.id),
            ));
        }
        if last.is_some_and(|last| last.id == self.id) {
            return Err(Error::new(
                Reason::DeploymentIsLast,
                format!(
                    "deployment {} is currently deployed to {}",
                    self.id, self.environment.name
                ),
            ));
        }
        Ok(vec![ProjectChange::DeploymentDeleted(Box::new(self.clone()))])
    }
}

/// What a list of deployments is sorted by; ties go by id in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeploymentOrder {
    /// By id. Within a project iid and time of creation grow with it, so all three are this one.
    #[default]
    Id,
    /// By the time of the last change.
    UpdatedAt,
    /// By the time of finishing; unfinished counts as later than everything.
    FinishedAt,
    /// By ref, byte by byte.
    Ref,
}

impl DeploymentOrder {
    /// Every order.
    pub const ALL: [Self; 4] = [Self::Id, Self::UpdatedAt, Self::FinishedAt, Self::Ref];
}

/// Which deployments a list holds; what is absent does not filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeploymentFilter {
    /// Of the environment with exactly this name.
    pub environment: Option<String>,
    /// In this status.
    pub status: Option<DeploymentStatus>,
    /// Changed at or after.
    pub updated_after: Option<Time>,
    /// Changed at or before.
    pub updated_before: Option<Time>,
    /// Finished at or after.
    pub finished_after: Option<Time>,
    /// Finished before.
    pub finished_before: Option<Time>,
}

/// Where a deployment stands in an order: the sorted value (nothing for [`DeploymentOrder::Id`]) and the iid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentPosition {
    /// The value of the field that is sorted by.
    pub key: PositionKey,
    /// The tie-breaker.
    pub iid: Iid,
}

/// The sorted value of a [`DeploymentPosition`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PositionKey {
    /// Sorted by the tie-breaker itself.
    None,
    /// A time; none stands for "not yet", later than every time.
    Time(Option<Time>),
    /// A text.
    Text(String),
}

impl Deployment {
    /// Where the deployment stands in `order`.
    pub fn position(&self, order: DeploymentOrder) -> DeploymentPosition {
        let key = match order {
            DeploymentOrder::Id => PositionKey::None,
            DeploymentOrder::UpdatedAt => PositionKey::Time(Some(self.updated_at)),
            DeploymentOrder::FinishedAt => PositionKey::Time(self.finished_at),
            DeploymentOrder::Ref => PositionKey::Text(self.git_ref.clone()),
        };
        DeploymentPosition { key, iid: self.iid }
    }
}

/// A list of deployments to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeploymentQuery {
    /// Which.
    pub filter: DeploymentFilter,
    /// Sorted by what.
    pub order: DeploymentOrder,
    /// In which direction.
    pub direction: Direction,
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
