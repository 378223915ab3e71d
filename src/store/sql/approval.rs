//! Approvals: one decision of each person about each deployment.

use super::{
    Db, failed, list,
    row::{ApprovalRow, millis},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        Time,
        approval::{Approval, ApprovalDraft},
        id::{ApprovalRuleId, DeploymentId, UserId},
    },
    store::Result,
};

fn of<DB: Db>(deployment: DeploymentId) -> Stmt<DB> {
    sql::<DB>(
        "SELECT a.id, a.deployment_id, a.status, a.comment, a.represented_as, a.pinned, a.rule_id, a.created_at, \
         a.updated_at, u.id AS user_id, u.username, u.name AS user_name, u.public_email, u.avatar_url, \
         u.state AS user_state FROM approvals a JOIN users u ON u.id = a.user_id",
    )
    .push_bind(" WHERE a.deployment_id = ", deployment.0)
}

/// The decisions about a deployment, in the order in which they were first made.
pub async fn list_of<DB: Db>(
    connection: &mut DB::Connection,
    deployment: DeploymentId,
) -> Result<Vec<Approval>> {
    list::<DB, ApprovalRow, Approval>(connection, of::<DB>(deployment).push(" ORDER BY a.id")).await
}

/// Writes somebody's decision in the place of their earlier one.
pub fn submit<DB: Db>(stmt: Stmt<DB>, draft: &ApprovalDraft, now: Time) -> Stmt<DB> {
    let pinned: Vec<String> = draft.pinned.iter().map(ToString::to_string).collect();
    stmt.push(
        "INSERT INTO approvals (deployment_id, user_id, status, comment, represented_as, pinned, created_at, \
         updated_at) VALUES (",
    )
    .value(draft.deployment_id.0)
    .value(draft.user_id.0)
    .value(draft.status.as_str().to_owned())
    .value(draft.comment.clone())
    .value(draft.represented_as.clone())
    .value(pinned.join(" "))
    .value(millis(now))
    .value(millis(now))
    .push(
        ") ON CONFLICT (deployment_id, user_id) DO UPDATE SET status = excluded.status, comment = excluded.comment, \
         represented_as = excluded.represented_as, pinned = excluded.pinned, updated_at = excluded.updated_at",
    )
}

/// Writes down which rule each decision counted for.
pub async fn count<DB: Db>(
    connection: &mut DB::Connection,
    deployment: DeploymentId,
    rules: &[(UserId, Option<ApprovalRuleId>)],
) -> Result<()> {
    for (user, rule) in rules {
        sql::<DB>("UPDATE approvals SET rule_id = $3 WHERE deployment_id = $1 AND user_id = $2")
            .bind(deployment.0)
            .bind(user.0)
            .bind(rule.map(|rule| rule.0))
            .run(&mut *connection)
            .await
            .map_err(failed::<DB>)?;
    }
    Ok(())
}
