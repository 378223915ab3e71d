//! Changes: the facts that decisions produce, the store writes, and the project's event log tells.

use super::{
    deployment::{Deployment, DeploymentStatus, NewDeployment},
    environment::{Environment, EnvironmentState, NewEnvironment},
};

/// One fact about a project's deployments and environments, to be made true in one transaction with its siblings.
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
}

impl EventKind {
    /// The word for it in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeploymentCreated => "deployment_created",
            Self::DeploymentStatusChanged => "deployment_status_changed",
            Self::DeploymentDeleted => "deployment_deleted",
            Self::EnvironmentCreated => "environment_created",
            Self::EnvironmentUpdated => "environment_updated",
            Self::EnvironmentDeleted => "environment_deleted",
        }
    }
}
