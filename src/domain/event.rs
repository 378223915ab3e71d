//! Changes: the facts that decisions produce, the store writes, and the project's event log tells.

use super::{
    Time,
    approval::{ApprovalDraft, ApprovalStatus},
    deployment::{Deployment, DeploymentStatus, NewDeployment},
    environment::{Environment, EnvironmentState, EnvironmentTier, NewEnvironment},
    id::{ApprovalRuleId, DeploymentId, EnvironmentId, GroupId, Iid, ProjectId, UserId},
    merge_request::MergeRequestChange,
    protection::ProtectionChange,
    token::NewToken,
};

/// One fact about a project's deployments, approvals, environments and protections, to be made true in one transaction with its siblings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectChange {
    /// A deployment is recorded, with its environment where that is new.
    DeploymentCreated(NewDeployment),
    /// What was asked for is recorded already: this is the answer, and nothing is written.
    DeploymentKept(Deployment),
    /// A deployment moves to another status.
    DeploymentMoved {
        /// The status it had.
        before: DeploymentStatus,
        /// The deployment as it will be.
        after: Box<Deployment>,
    },
    /// The job of a deployment changes, and the deployment does not move. Nothing that the log would tell.
    JobReported(Box<Deployment>),
    /// A token is made for the job of a deployment. Nothing that the log would tell.
    JobTokenCreated(NewToken),
    /// A deployment is deleted.
    DeploymentDeleted(Box<Deployment>),
    /// An environment is made.
    EnvironmentCreated(NewEnvironment),
    /// An environment's fields or state change.
    EnvironmentUpdated {
        /// The state it had.
        before: EnvironmentState,
        /// The environment as it will be.
        after: Environment,
    },
    /// An environment is deleted, and its deployments with it.
    EnvironmentDeleted(Environment),
    /// Somebody decides about a deployment.
    ApprovalSubmitted {
        /// What they had decided.
        before: Option<ApprovalStatus>,
        /// What they decide.
        after: ApprovalDraft,
        /// How many approvals are missing after it.
        pending_approval_count: i64,
    },
    /// A deployment leaves the gate: from now on each decision stands under the rule that it counted for. Nothing that
    /// the log would tell.
    ApprovalsCounted {
        /// The deployment.
        deployment: DeploymentId,
        /// For each voter the rule.
        rules: Vec<(UserId, Option<ApprovalRuleId>)>,
    },
    /// A protection of the project is made, changes or goes.
    Protection(ProtectionChange),
    /// A merge request is recorded, changes or goes. Nothing that the log would tell.
    MergeRequest(MergeRequestChange),
}

/// What kind of event the log tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A deployment was recorded.
    DeploymentCreated,
    /// A deployment moved to another status.
    DeploymentStatusChanged,
    /// A deployment was deleted.
    DeploymentDeleted,
    /// An environment was made.
    EnvironmentCreated,
    /// An environment's fields or state changed.
    EnvironmentUpdated,
    /// An environment was deleted.
    EnvironmentDeleted,
    /// Somebody decided about a deployment.
    ApprovalSubmitted,
    /// An environment, or a tier of a group above, was protected.
    ProtectedEnvironmentCreated,
    /// A protection changed.
    ProtectedEnvironmentUpdated,
    /// A protection was taken away.
    ProtectedEnvironmentDeleted,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::DeploymentCreated,
        Self::DeploymentStatusChanged,
        Self::DeploymentDeleted,
        Self::EnvironmentCreated,
        Self::EnvironmentUpdated,
        Self::EnvironmentDeleted,
        Self::ApprovalSubmitted,
        Self::ProtectedEnvironmentCreated,
        Self::ProtectedEnvironmentUpdated,
        Self::ProtectedEnvironmentDeleted,
    ];

    /// The kind for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The word for it in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeploymentCreated => "deployment_created",
            Self::DeploymentStatusChanged => "deployment_status_changed",
            Self::DeploymentDeleted => "deployment_deleted",
            Self::EnvironmentCreated => "environment_created",
            Self::EnvironmentUpdated => "environment_updated",
            Self::EnvironmentDeleted => "environment_deleted",
            Self::ApprovalSubmitted => "approval_submitted",
            Self::ProtectedEnvironmentCreated => "protected_environment_created",
            Self::ProtectedEnvironmentUpdated => "protected_environment_updated",
            Self::ProtectedEnvironmentDeleted => "protected_environment_deleted",
        }
    }
}

/// One thing that happened in a project, as its log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The project.
    pub project_id: ProjectId,
    /// Its number in the project's log: 1, 2, 3 and so on, in the order of the commits.
    pub seq: i64,
    /// What happened.
    pub kind: EventKind,
    /// Who did it, or whose change led to it.
    pub actor_id: UserId,
    /// When.
    pub created_at: Time,
    /// To what.
    pub subject: EventSubject,
}

/// Which events of a log are wanted; what is absent does not filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// About the environment of exactly this name, its deployments, and the project's protection of that name.
    pub environment: Option<String>,
    /// About this deployment.
    pub deployment_id: Option<DeploymentId>,
    /// Of one of these kinds; empty: of any.
    pub kinds: Vec<EventKind>,
}

impl EventFilter {
    /// Whether it lets everything through.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event is wanted.
    pub fn matches(&self, event: &Event) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self
                .environment
                .as_deref()
                .is_none_or(|name| event.subject.environment() == Some(name))
            && self
                .deployment_id
                .is_none_or(|id| event.subject.deployment_id() == Some(id))
    }
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSubject {
    /// A deployment.
    Deployment {
        /// Which.
        id: DeploymentId,
        /// Its number in the project.
        iid: Iid,
        /// Its environment.
        environment_id: EnvironmentId,
        /// The environment's name.
        environment: String,
        /// The branch or tag.
        git_ref: String,
        /// Whether `git_ref` is a tag.
        tag: bool,
        /// The commit.
        sha: String,
        /// The status before; none: it was not there.
        before: Option<DeploymentStatus>,
        /// The status after; none: it is no longer there.
        after: Option<DeploymentStatus>,
        /// It went past a gate that had not let it go.
        gate_bypassed: bool,
    },
    /// An environment.
    Environment {
        /// Which.
        id: EnvironmentId,
        /// Its name.
        name: String,
        /// Its tier after the change.
        tier: EnvironmentTier,
        /// The state before; none: it was not there.
        before: Option<EnvironmentState>,
        /// The state after; none: it is no longer there.
        after: Option<EnvironmentState>,
    },
    /// A decision.
    Approval {
        /// The deployment.
        deployment_id: DeploymentId,
        /// Its number in the project.
        iid: Iid,
        /// Its environment.
        environment_id: EnvironmentId,
        /// The environment's name.
        environment: String,
        /// Who decided.
        user_id: UserId,
        /// What they had decided.
        before: Option<ApprovalStatus>,
        /// What they decided.
        after: ApprovalStatus,
        /// What they said.
        comment: Option<String>,
        /// As whom.
        represented_as: String,
        /// How many approvals are missing after it.
        pending_approval_count: i64,
    },
    /// A protection.
    Protection {
        /// The environment's name, or the tier.
        name: String,
        /// The group, if it is a group's.
        group_id: Option<GroupId>,
        /// How many approvals are needed after the change, where no rule applies.
        required_approval_count: i64,
        /// How many deploy access levels it has after the change.
        deploy_access_levels: i64,
        /// How many rules it has after the change.
        approval_rules: i64,
    },
}

impl EventSubject {
    /// The name of the environment that it is about. A group's protection is about a tier.
    pub fn environment(&self) -> Option<&str> {
        match self {
            Self::Deployment { environment, .. } | Self::Approval { environment, .. } => Some(environment),
            Self::Environment { name, .. } => Some(name),
            Self::Protection { name, group_id, .. } => group_id.is_none().then_some(name.as_str()),
        }
    }

    /// The deployment that it is about.
    pub fn deployment_id(&self) -> Option<DeploymentId> {
        match self {
            Self::Deployment { id, .. } => Some(*id),
            Self::Approval { deployment_id, .. } => Some(*deployment_id),
            Self::Environment { .. } | Self::Protection { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, subject: EventSubject) -> Event {
        Event {
            project_id: ProjectId(1),
            seq: 1,
            kind,
            actor_id: UserId(1),
            created_at: Time::UNIX_EPOCH,
            subject,
        }
    }

    fn deployment(id: i64, environment: &str) -> EventSubject {
        EventSubject::Deployment {
            id: DeploymentId(id),
            iid: Iid(1),
            environment_id: EnvironmentId(1),
            environment: environment.to_owned(),
            git_ref: "main".to_owned(),
            tag: false,
            sha: "a91957a".to_owned(),
            before: None,
            after: Some(DeploymentStatus::Created),
            gate_bypassed: false,
        }
    }

    fn approval(id: i64, environment: &str) -> EventSubject {
        EventSubject::Approval {
            deployment_id: DeploymentId(id),
            iid: Iid(1),
            environment_id: EnvironmentId(1),
            environment: environment.to_owned(),
            user_id: UserId(1),
            before: None,
            after: ApprovalStatus::Approved,
            comment: None,
            represented_as: String::new(),
            pending_approval_count: 0,
        }
    }

    fn environment(name: &str) -> EventSubject {
        EventSubject::Environment {
            id: EnvironmentId(1),
            name: name.to_owned(),
            tier: EnvironmentTier::Production,
            before: None,
            after: Some(EnvironmentState::Available),
        }
    }

    fn protection(name: &str, group_id: Option<GroupId>) -> EventSubject {
        EventSubject::Protection {
            name: name.to_owned(),
            group_id,
            required_approval_count: 1,
            deploy_access_levels: 1,
            approval_rules: 0,
        }
    }

    #[test]
    fn a_filter_lets_through_what_fits_every_part_of_it() {
        let events = [
            event(EventKind::EnvironmentCreated, environment("production")),
            event(EventKind::DeploymentCreated, deployment(1, "production")),
            event(EventKind::DeploymentCreated, deployment(2, "staging")),
            event(EventKind::ApprovalSubmitted, approval(1, "production")),
            event(
                EventKind::ProtectedEnvironmentCreated,
                protection("production", None),
            ),
            event(
                EventKind::ProtectedEnvironmentCreated,
                protection("production", Some(GroupId(1))),
            ),
        ];
        let (production, first) = (Some("production".to_owned()), Some(DeploymentId(1)));
        let created = vec![EventKind::DeploymentCreated];
        let two = vec![EventKind::ApprovalSubmitted, EventKind::EnvironmentCreated];
        for (environment, deployment_id, kinds, wanted) in [
            (None, None, vec![], &[0, 1, 2, 3, 4, 5][..]),
            (production.clone(), None, vec![], &[0, 1, 3, 4]),
            (Some("Production".to_owned()), None, vec![], &[]),
            (None, first, vec![], &[1, 3]),
            (None, None, created.clone(), &[1, 2]),
            (None, None, two, &[0, 3]),
            (production, first, created.clone(), &[1]),
            (Some("staging".to_owned()), first, created, &[]),
        ] {
            let filter = EventFilter {
                environment,
                deployment_id,
                kinds,
            };
            let got: Vec<usize> = (0..events.len())
                .filter(|&index| filter.matches(&events[index]))
                .collect();
            assert_eq!(got, wanted, "{filter:?}");
            assert_eq!(filter.is_open(), wanted.len() == events.len(), "{filter:?}");
        }
    }
}
