//! Deployments: their fields, their life cycle, and what creating, moving and deleting one means (contract 1.3, with
//! the corrections of the product's decisions 3, 6 and 7).

use super::{
    Time,
    directory::UserSummary,
    environment::{Environment, EnvironmentSummary, NewEnvironment},
    error::{Error, Reason, Violations},
    event::ProjectChange,
    id::{DeploymentId, EnvironmentId, Iid, ProjectId, UserId},
    page::Direction,
    text,
};

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
    /// The status to start in.
    pub status: DeploymentStatus,
}

impl CreateDeployment {
    /// Checks what can be told from the request alone. A sha is 7 to 64 hexadecimal digits, a ref 1 to 255 characters
    /// (decision 12); which statuses can be asked for is decision 6 and 7.
    pub fn validate(&self) -> Result<(), Error> {
        let mut violations = Violations::default();
        if self.environment.is_empty() {
            violations.check::<()>(Err(Error::argument("environment", "is empty")));
        }
        violations.check(check_sha(&self.sha));
        violations.check(check_ref(&self.git_ref));
        if matches!(self.status, DeploymentStatus::Blocked | DeploymentStatus::Skipped) {
            violations.check::<()>(Err(Error::argument("status", "does not have a valid value")));
        }
        violations.finish()
    }
}

fn check_sha(sha: &str) -> Result<(), Error> {
    if sha.is_empty() {
        return Err(Error::argument("sha", "is empty"));
    }
    if !(7..=64).contains(&sha.len()) || !sha.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Error::argument("sha", "is invalid"));
    }
    Ok(())
}

fn check_ref(git_ref: &str) -> Result<(), Error> {
    if git_ref.trim().is_empty() {
        return Err(Error::argument("ref", "is empty"));
    }
    if git_ref.chars().count() > text::NAME_MAX || git_ref.chars().any(char::is_control) {
        return Err(Error::argument("ref", "is invalid"));
    }
    Ok(())
}

/// Decides what recording a deployment changes.
///
/// `environment` is the one of that name, if there is one, and `last` its last successful deployment; `gated` tells
/// whether it requires approvals. Recording the same success again changes nothing and answers with the record that is
/// there (contract 1.3).
pub fn create(
    command: &CreateDeployment,
    user_id: UserId,
    environment: Option<&Environment>,
    slug_taken: bool,
    last: Option<&Deployment>,
    gated: bool,
    now: Time,
) -> Result<Vec<ProjectChange>, Error> {
    command.validate()?;
    // What has happened is kept as told; what is about to happen waits (decisions 6 and 7).
    let (status, gate) = match (gated, command.status) {
        (false, status) => (status, GateState::Open),
        (true, status) if status.is_finished() => (status, GateState::Bypassed),
        (true, _) => (DeploymentStatus::Blocked, GateState::Held),
    };
    if let Some(last) = last.filter(|last| last.repeats(command)) {
        return Ok(vec![ProjectChange::DeploymentKept(last.clone())]);
    }
    let slot = match environment {
        Some(environment) => EnvironmentSlot::Existing(environment.id),
        None => EnvironmentSlot::New(NewEnvironment::named(
            &command.environment,
            slug_taken,
            "environment.",
        )?),
    };
    let mut changes = vec![ProjectChange::DeploymentCreated(NewDeployment {
        environment: slot,
        git_ref: command.git_ref.clone(),
        tag: command.tag,
        sha: command.sha.clone(),
        user_id,
        status,
        gate,
        finished_at: status.is_finished().then_some(now),
    })];
    if status == DeploymentStatus::Success {
        changes.extend(environment.and_then(|environment| environment.start(now)));
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
        }
        Ok(change)
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
            // Given up or rejected at the gate, and yet carried out.
            (GateState::Held, DeploymentEvent::Succeed) => GateState::Bypassed,
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::environment::{AutoStopSetting, EnvironmentState, EnvironmentTier};

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(seconds, 0).unwrap()
    }

    fn environment(state: EnvironmentState) -> Environment {
        Environment {
            id: EnvironmentId(9),
            project_id: ProjectId(1),
            name: "production".into(),
            slug: "production".into(),
            external_url: None,
            state,
            tier: EnvironmentTier::Production,
            description: None,
            auto_stop_setting: AutoStopSetting::Always,
            created_at: at(1),
            updated_at: at(1),
            version: 1,
        }
    }

    fn deployment(id: i64, status: DeploymentStatus) -> Deployment {
        Deployment {
            id: DeploymentId(id),
            iid: Iid(id),
            project_id: ProjectId(1),
            environment: environment(EnvironmentState::Available).summary(),
            git_ref: "main".into(),
            tag: false,
            sha: "a91957a858320c0e17f3a0eca7cfacbff50ea29a".into(),
            user: None,
            status,
            created_at: at(1),
            updated_at: at(1),
            finished_at: None,
            gate: GateState::Open,
            failure_reason: None,
            version: 1,
        }
    }

    fn command(status: DeploymentStatus) -> CreateDeployment {
        CreateDeployment {
            environment: "production".into(),
            sha: "a91957a858320c0e17f3a0eca7cfacbff50ea29a".into(),
            git_ref: "main".into(),
            tag: false,
            status,
        }
    }

    /// Contract 1.3's table of what the API's four statuses do from each state, with `blocked` as decision 6 has it.
    #[test]
    fn the_four_statuses_lead_where_the_contract_says() {
        use DeploymentStatus as S;
        let asked = [S::Running, S::Success, S::Failed, S::Canceled];
        for (from, allowed) in [
            (S::Created, [true, true, true, true]),
            (S::Blocked, [false, false, true, true]),
            (S::Running, [false, true, true, true]),
            (S::Success, [false, false, true, true]),
            (S::Failed, [false, true, false, true]),
            (S::Canceled, [false, true, true, false]),
            (S::Skipped, [false, true, true, true]),
        ] {
            for (to, allowed) in asked.into_iter().zip(allowed) {
                let moved = deployment(1, from).move_to(to, &environment(EnvironmentState::Available), at(2));
                assert_eq!(moved.is_ok(), allowed, "{from:?} -> {to:?}");
                if let Err(error) = moved {
                    assert_eq!(error.reason(), Reason::InvalidTransition);
                    let event = DeploymentEvent::toward(to).unwrap().as_str();
                    let metadata = error.metadata();
                    assert_eq!(metadata[0], ("event", event.to_owned()));
                    assert_eq!(metadata[1], ("from", from.as_str().to_owned()));
                    assert_eq!(metadata[2], ("to", to.as_str().to_owned()));
                }
            }
        }
    }

    #[test]
    fn the_other_events_belong_to_the_gate_and_to_jobs() {
        use DeploymentEvent as E;
        use DeploymentStatus as S;
        for from in S::ALL {
            assert_eq!(E::Create.apply(from), (from == S::Skipped).then_some(S::Created));
            assert_eq!(E::Block.apply(from), (from == S::Created).then_some(S::Blocked));
            assert_eq!(E::Unblock.apply(from), (from == S::Blocked).then_some(S::Created));
            assert_eq!(E::Skip.apply(from), (from != S::Skipped).then_some(S::Skipped));
        }
        for status in [S::Created, S::Skipped, S::Blocked] {
            let refused =
                deployment(1, S::Running).move_to(status, &environment(EnvironmentState::Available), at(2));
            assert_eq!(refused.unwrap_err().violations()[0].field, "status");
        }
    }

    proptest! {
        /// Whatever happens, in whatever order: no event keeps the status, finishing sets `finished_at` anew and nothing
        /// ever clears it, every change counts.
        #[test]
        fn a_life_is_consistent_at_every_step(events in proptest::collection::vec(0..8usize, 0..40)) {
            let mut now = deployment(1, DeploymentStatus::Created);
            for (step, index) in events.into_iter().enumerate() {
                let event = DeploymentEvent::ALL[index];
                let time = at(10 + i64::try_from(step).unwrap());
                match now.on(event, time) {
                    Ok(ProjectChange::DeploymentMoved { before, after }) => {
                        prop_assert_eq!(before, now.status);
                        prop_assert_ne!(after.status, now.status);
                        prop_assert_eq!(after.version, now.version + 1);
                        prop_assert_eq!(after.updated_at, time);
                        let finished = if after.status.is_finished() { Some(time) } else { now.finished_at };
                        prop_assert_eq!(after.finished_at, finished);
                        now = *after;
                    }
                    Ok(other) => prop_assert!(false, "{other:?}"),
                    Err(error) => prop_assert_eq!(error.reason(), Reason::InvalidTransition),
                }
            }
        }
    }

    #[test]
    fn a_success_makes_a_stopped_environment_available_again() {
        for (state, status, wakes) in [
            (EnvironmentState::Stopped, DeploymentStatus::Success, true),
            (EnvironmentState::Stopping, DeploymentStatus::Success, true),
            (EnvironmentState::Available, DeploymentStatus::Success, false),
            (EnvironmentState::Stopped, DeploymentStatus::Failed, false),
            (EnvironmentState::Stopped, DeploymentStatus::Running, false),
        ] {
            let environment = environment(state);
            let created = create(
                &command(status),
                UserId(1),
                Some(&environment),
                false,
                None,
                false,
                at(2),
            )
            .unwrap();
            let moved = deployment(1, DeploymentStatus::Created)
                .move_to(status, &environment, at(2))
                .unwrap();
            for changes in [created, moved] {
                let started = changes.iter().any(|change| {
                    matches!(change, ProjectChange::EnvironmentUpdated { after, .. }
                        if after.state == EnvironmentState::Available)
                });
                assert_eq!(started, wakes, "{state:?} {status:?}");
            }
        }
    }

    #[test]
    fn the_same_success_is_recorded_once_and_anything_else_again() {
        let last = deployment(7, DeploymentStatus::Success);
        let environment = environment(EnvironmentState::Available);
        let changes = |command: &CreateDeployment| {
            create(
                command,
                UserId(1),
                Some(&environment),
                false,
                Some(&last),
                false,
                at(2),
            )
            .unwrap()
        };
        let same = command(DeploymentStatus::Success);
        assert_eq!(changes(&same), [ProjectChange::DeploymentKept(last.clone())]);
        for other in [
            command(DeploymentStatus::Running),
            CreateDeployment {
                tag: true,
                ..same.clone()
            },
            CreateDeployment {
                git_ref: "v1".into(),
                ..same.clone()
            },
            CreateDeployment {
                sha: "b91957a858320c0e17f3a0eca7cfacbff50ea29a".into(),
                ..same
            },
        ] {
            assert!(
                matches!(changes(&other)[0], ProjectChange::DeploymentCreated(_)),
                "{other:?}"
            );
        }
    }

    #[test]
    fn what_runs_and_what_is_deployed_cannot_be_deleted() {
        let last = deployment(7, DeploymentStatus::Success);
        for status in DeploymentStatus::ALL {
            let deleted = deployment(8, status).delete(Some(&last));
            assert_eq!(
                deleted.is_err(),
                status == DeploymentStatus::Running,
                "{status:?}"
            );
        }
        assert_eq!(
            last.delete(Some(&last)).unwrap_err().reason(),
            Reason::DeploymentIsLast
        );
        assert!(
            last.delete(Some(&deployment(9, DeploymentStatus::Success)))
                .is_ok()
        );
        let running = deployment(7, DeploymentStatus::Running);
        assert_eq!(
            running.delete(Some(&running)).unwrap_err().reason(),
            Reason::DeploymentRunning
        );
    }

    #[test]
    fn a_new_deployment_is_checked_field_by_field() {
        let good = command(DeploymentStatus::Running);
        assert!(good.validate().is_ok());
        let long = "a".repeat(256);
        for (bad, field, text) in [
            (
                CreateDeployment {
                    environment: String::new(),
                    ..good.clone()
                },
                "environment",
                "is empty",
            ),
            (
                CreateDeployment {
                    sha: String::new(),
                    ..good.clone()
                },
                "sha",
                "is empty",
            ),
            (
                CreateDeployment {
                    sha: "abcdef".into(),
                    ..good.clone()
                },
                "sha",
                "is invalid",
            ),
            (
                CreateDeployment {
                    sha: "g".repeat(40),
                    ..good.clone()
                },
                "sha",
                "is invalid",
            ),
            (
                CreateDeployment {
                    sha: "a".repeat(65),
                    ..good.clone()
                },
                "sha",
                "is invalid",
            ),
            (
                CreateDeployment {
                    git_ref: "  ".into(),
                    ..good.clone()
                },
                "ref",
                "is empty",
            ),
            (
                CreateDeployment {
                    git_ref: "a\0".into(),
                    ..good.clone()
                },
                "ref",
                "is invalid",
            ),
            (
                CreateDeployment {
                    git_ref: long,
                    ..good.clone()
                },
                "ref",
                "is invalid",
            ),
            (
                command(DeploymentStatus::Blocked),
                "status",
                "does not have a valid value",
            ),
            (
                command(DeploymentStatus::Skipped),
                "status",
                "does not have a valid value",
            ),
        ] {
            let error = bad.validate().unwrap_err();
            let violation = &error.violations()[0];
            assert_eq!(
                (violation.field.as_str(), violation.description.as_str()),
                (field, text)
            );
        }
        for sha in ["abcdef0", "ABCDEF0123", &"f".repeat(64)] {
            assert!(
                CreateDeployment {
                    sha: sha.into(),
                    ..good.clone()
                }
                .validate()
                .is_ok(),
                "{sha}"
            );
        }
        let all = CreateDeployment {
            environment: String::new(),
            sha: String::new(),
            git_ref: String::new(),
            ..command(DeploymentStatus::Blocked)
        };
        assert_eq!(all.validate().unwrap_err().violations().len(), 4);
    }

    #[test]
    fn an_unknown_environment_is_made_and_a_bad_name_refused() {
        let changes = create(
            &command(DeploymentStatus::Success),
            UserId(3),
            None,
            false,
            None,
            false,
            at(2),
        )
        .unwrap();
        let [ProjectChange::DeploymentCreated(new)] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert!(matches!(&new.environment, EnvironmentSlot::New(new) if new.name == "production"));
        assert_eq!(new.finished_at, Some(at(2)));
        let bad = CreateDeployment {
            environment: "a;b".into(),
            ..command(DeploymentStatus::Running)
        };
        let error = create(&bad, UserId(3), None, false, None, false, at(2)).unwrap_err();
        assert_eq!(error.violations()[0].field, "environment.name");
    }
}
