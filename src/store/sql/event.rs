//! The project's event log: one row for each change, in the transaction that makes it.

use serde_json::{Value, json};

use super::{Db, failed, row::millis, seam::sql};
use crate::{
    domain::{
        Time,
        approval::ApprovalStatus,
        deployment::{Deployment, DeploymentStatus, GateState},
        directory::Container,
        environment::{Environment, EnvironmentState},
        event::{EventKind, EventSubject},
        id::{GroupId, ProjectId, UserId},
        protection::ProtectedEnvironment,
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
        subject: &EventSubject,
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
        .bind(payload(subject).to_string())
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
        Ok(())
    }
}

/// Adds an event to the log of every project below a group, in two statements however many there are.
pub async fn append_below<DB: Db>(
    connection: &mut DB::Connection,
    group: GroupId,
    kind: EventKind,
    subject: &EventSubject,
    actor: UserId,
    now: Time,
) -> Result<()> {
    const BELOW: &str = " WHERE group_id IN (SELECT group_id FROM group_ancestors WHERE ancestor_id = $1)";
    sql::<DB>(
        "UPDATE projects SET last_event = last_event + 1, \
         latest_at = CASE WHEN latest_at > $2 THEN latest_at ELSE $2 END",
    )
    .push(BELOW)
    .bind(group.0)
    .bind(millis(now))
    .run(&mut *connection)
    .await
    .map_err(failed::<DB>)?;
    sql::<DB>(
        "INSERT INTO events (project_id, seq, kind, actor_id, created_at, payload) \
         SELECT id, last_event, CAST($2 AS TEXT), CAST($3 AS BIGINT), latest_at, CAST($4 AS TEXT) FROM projects",
    )
    .push(BELOW)
    .bind(group.0)
    .bind(kind.as_str().to_owned())
    .bind(actor.0)
    .bind(payload(subject).to_string())
    .run(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(())
}

/// What an event tells of a deployment; `before` is none for what did not exist, `after` for what does no longer.
pub fn deployment(
    deployment: &Deployment,
    before: Option<DeploymentStatus>,
    after: Option<DeploymentStatus>,
) -> EventSubject {
    EventSubject::Deployment {
        id: deployment.id,
        iid: deployment.iid,
        environment_id: deployment.environment.id,
        environment: deployment.environment.name.clone(),
        git_ref: deployment.git_ref.clone(),
        tag: deployment.tag,
        sha: deployment.sha.clone(),
        before,
        after,
        gate_bypassed: deployment.gate == GateState::Bypassed,
    }
}

/// What an event tells of an environment.
pub fn environment(
    environment: &Environment,
    before: Option<EnvironmentState>,
    after: Option<EnvironmentState>,
) -> EventSubject {
    EventSubject::Environment {
        id: environment.id,
        name: environment.name.clone(),
        tier: environment.tier,
        before,
        after,
    }
}

/// What an event tells of a protection.
pub fn protection(protection: &ProtectedEnvironment) -> EventSubject {
    let count = |entries: usize| i64::try_from(entries).unwrap_or(i64::MAX);
    EventSubject::Protection {
        name: protection.name.clone(),
        group_id: match protection.container {
            Container::Project(_) => None,
            Container::Group(id) => Some(id),
        },
        required_approval_count: protection.required_approval_count,
        deploy_access_levels: count(protection.deploy_access_levels.len()),
        approval_rules: count(protection.approval_rules.len()),
    }
}

/// A subject as the store keeps it.
pub fn payload(subject: &EventSubject) -> Value {
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
        } => json!({
            "deployment_id": id.0,
            "iid": iid.0,
            "environment_id": environment_id.0,
            "environment": environment,
            "ref": git_ref,
            "tag": tag,
            "sha": sha,
            "before": before.map(DeploymentStatus::as_str),
            "after": after.map(DeploymentStatus::as_str),
            "gate_bypassed": gate_bypassed,
        }),
        EventSubject::Environment {
            id,
            name,
            tier,
            before,
            after,
        } => json!({
            "environment_id": id.0,
            "environment": name,
            "tier": tier.as_str(),
            "before": before.map(EnvironmentState::as_str),
            "after": after.map(EnvironmentState::as_str),
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
        } => json!({
            "deployment_id": deployment_id.0,
            "iid": iid.0,
            "environment_id": environment_id.0,
            "environment": environment,
            "user_id": user_id.0,
            "before": before.map(ApprovalStatus::as_str),
            "after": after.as_str(),
            "comment": comment,
            "represented_as": represented_as,
            "pending_approval_count": pending_approval_count,
        }),
        EventSubject::Protection {
            name,
            group_id,
            required_approval_count,
            deploy_access_levels,
            approval_rules,
        } => json!({
            "name": name,
            "group_id": group_id.map(|id| id.0),
            "required_approval_count": required_approval_count,
            "deploy_access_levels": deploy_access_levels,
            "approval_rules": approval_rules,
        }),
    }
}
