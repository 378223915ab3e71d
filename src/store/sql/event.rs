//! The project's event log: one row for each change, in the transaction that makes it.

use serde_json::{Value, json};

use super::{Db, failed, row::millis, seam::sql};
use crate::{
    domain::{
        Time,
        deployment::{Deployment, DeploymentStatus},
        environment::{Environment, EnvironmentState},
        event::EventKind,
        id::{ProjectId, UserId},
    },
    store::Result,
};

/// Writes a project's events, numbering them without gaps from the counter on the project's locked row.
pub struct Log {
    /// Whose log.
    pub project: ProjectId,
    /// Who acts.
    pub actor: UserId,
    /// When.
    pub now: Time,
    /// The number of the last event.
    pub last: i64,
}

impl Log {
    /// Adds an event.
    pub async fn append<DB: Db>(
        &mut self,
        connection: &mut DB::Connection,
        kind: EventKind,
        payload: Value,
    ) -> Result<()> {
        self.last += 1;
        sql::<DB>(
            "INSERT INTO events (project_id, seq, kind, actor_id, created_at, payload) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.project.0)
        .bind(self.last)
        .bind(kind.as_str().to_owned())
        .bind(self.actor.0)
        .bind(millis(self.now))
        .bind(payload.to_string())
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
        Ok(())
    }
}

/// What an event tells of a deployment; `before` is null for what did not exist, `after` for what does no longer.
pub fn deployment(
    deployment: &Deployment,
    before: Option<DeploymentStatus>,
    after: Option<DeploymentStatus>,
) -> Value {
    json!({
        "deployment_id": deployment.id.0,
        "iid": deployment.iid.0,
        "environment_id": deployment.environment.id.0,
        "environment": deployment.environment.name,
        "ref": deployment.git_ref,
        "tag": deployment.tag,
        "sha": deployment.sha,
        "before": before.map(DeploymentStatus::as_str),
        "after": after.map(DeploymentStatus::as_str),
    })
}

/// What an event tells of an environment.
pub fn environment(
    environment: &Environment,
    before: Option<EnvironmentState>,
    after: Option<EnvironmentState>,
) -> Value {
    json!({
        "environment_id": environment.id.0,
        "environment": environment.name,
        "tier": environment.tier.as_str(),
        "external_url": environment.external_url,
        "before": before.map(EnvironmentState::as_str),
        "after": after.map(EnvironmentState::as_str),
    })
}
