//! Linking merge requests to the deployments that shipped them. What is to be linked stands in the store, written with the
//! success: so it is done once, whenever, and by whomever.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::FromRow;

use super::{
    Db, Keep, Lock, Work, commit, count, deployment, environment,
    event::Told,
    failed, ledger,
    row::{inconsistent, millis, time},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        Time,
        deployment::DeploymentStatus,
        id::{DeploymentId, EnvironmentId, EnvironmentKey, MergeRequestIid, ProjectId, ProjectKey},
        link::{LinkTask, Shipped},
        merge_request,
    },
    store::{Due, Linked, Result},
};

/// How many commits one statement asks for.
const CHUNK: usize = 500;

/// A deployment that is to be linked.
#[derive(Debug, FromRow)]
pub struct LinkRow {
    pub deployment_id: i64,
    pub attempts: i64,
    pub project_id: i64,
    pub repository_path: Option<String>,
}

/// Notes that a deployment is to be linked. Where the project has no merge requests there is nothing to link; one that
/// becomes known later brings its own note.
pub async fn note<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    deployment: DeploymentId,
    now: Time,
) -> Result<bool> {
    sql::<DB>(
        "INSERT INTO link_work (deployment_id, attempts, due_at) SELECT CAST($1 AS BIGINT), 0, CAST($2 AS BIGINT) \
         WHERE EXISTS (SELECT 1 FROM merge_requests WHERE project_id = $3) ON CONFLICT (deployment_id) DO NOTHING",
    )
    .bind(deployment.0)
    .bind(millis(now))
    .bind(project.0)
    .run(connection)
    .await
    .map(|noted| noted > 0)
    .map_err(failed::<DB>)
}

fn select<DB: Db>() -> Stmt<DB> {
    sql::<DB>(
        "SELECT w.deployment_id, w.attempts, d.project_id, p.repository_path FROM link_work w \
         CROSS JOIN deployments d CROSS JOIN projects p WHERE d.id = w.deployment_id AND p.id = d.project_id",
    )
}

/// The first task that is due. One that turns out to be none is told by its deployment alone.
pub async fn due<DB: Db>(connection: &mut DB::Connection, now: Time) -> Result<Option<Due>> {
    let row = select::<DB>()
        .push_bind(" AND w.due_at <= ", millis(now))
        .push(" ORDER BY w.due_at, w.deployment_id LIMIT 1")
        .optional::<LinkRow>(&mut *connection)
        .await
        .map_err(failed::<DB>)?;
    match row {
        Some(row) => read::<DB>(connection, row).await.map(Some),
        None => Ok(None),
    }
}

/// How many deployments are due to be linked, and how many will be later.
pub async fn waiting<DB: Db>(connection: &mut DB::Connection, now: Time) -> Result<(i64, i64)> {
    let now = millis(now);
    let due = count::<DB>(&mut *connection, |stmt| {
        stmt.push_bind(" FROM link_work WHERE due_at <= ", now)
    });
    let due = due.await?;
    let later = count::<DB>(connection, |stmt| {
        stmt.push_bind(" FROM link_work WHERE due_at > ", now)
    });
    Ok((due, later.await?))
}

/// Since when the first deployment that is due to be linked has been so.
pub async fn oldest_due<DB: Db>(connection: &mut DB::Connection, now: Time) -> Result<Option<Time>> {
    let row = sql::<DB>("SELECT due_at FROM link_work WHERE due_at <= $1 ORDER BY due_at LIMIT 1")
        .bind(millis(now))
        .optional::<(i64,)>(connection)
        .await
        .map_err(failed::<DB>)?;
    row.map(|(due_at,)| time("link_work", "due_at", 0, due_at))
        .transpose()
}

async fn read<DB: Db>(connection: &mut DB::Connection, row: LinkRow) -> Result<Due> {
    let (id, project) = (DeploymentId(row.deployment_id), ProjectId(row.project_id));
    let found = deployment::find_by_id::<DB>(&mut *connection, project, id).await?;
    let Some(deployment) = found.filter(|found| found.status == DeploymentStatus::Success) else {
        return Ok(Due::Forget(id));
    };
    let key = EnvironmentKey::Id(deployment.environment.id);
    let environment = environment::find_by_key::<DB>(&mut *connection, project, &key).await?;
    if !environment.is_some_and(|found| merge_request::is_linked(&found.name, found.tier)) {
        return Ok(Due::Forget(id));
    }
    let (environment, iid) = (deployment.environment.id, deployment.iid);
    let previous = deployment::success_before::<DB>(&mut *connection, environment, iid).await?;
    let sent = commit::sent_with::<DB>(connection, id).await?;
    let updated_at = deployment.updated_at;
    let task = LinkTask::of(
        &deployment,
        row.repository_path,
        previous.as_ref(),
        &sent,
        updated_at,
    );
    Ok(Due::Link(Box::new(LinkTask {
        attempts: u32::try_from(row.attempts).map_err(|_| inconsistent("link_work", "attempts", id.0))?,
        ..task
    })))
}

/// One way to find merge requests, as far as one statement goes.
#[derive(Clone, Copy)]
enum Trace<'a> {
    /// By commits.
    Commits(&'a [String]),
    /// By the commit whose id begins so.
    Abbreviated(&'a str),
    /// By the branch, merged by a time.
    MergedInto(&'a str, Time),
}

/// All ways to find what shipped.
fn traces(shipped: &Shipped) -> Vec<Trace<'_>> {
    let mut traces: Vec<Trace<'_>> = shipped.commits.chunks(CHUNK).map(Trace::Commits).collect();
    traces.extend(shipped.abbreviated.as_deref().map(Trace::Abbreviated));
    let branch = shipped.merged_into.as_ref();
    traces.extend(branch.map(|(branch, by)| Trace::MergedInto(branch, *by)));
    traces
}

/// Adds the project's merge requests `m` that a trace leads to (contract 1.5): merged ones, and any with a cherry-pick.
fn followed<DB: Db>(stmt: Stmt<DB>, trace: Trace<'_>, project: ProjectId) -> Stmt<DB> {
    const BY_COMMIT: &str = " AND m.id IN (SELECT c.merge_request_id FROM merge_request_commits c \
         JOIN merge_requests s ON s.id = c.merge_request_id \
         WHERE (c.kind = 'cherry_pick' OR s.state = 'merged') AND c.project_id = ";
    let stmt = stmt.push_bind(" FROM merge_requests m WHERE m.project_id = ", project.0);
    match trace {
        Trace::Commits(ids) => stmt
            .push_bind(BY_COMMIT, project.0)
            .push(" AND c.sha")
            .push_in_texts(ids.iter().cloned())
            .push(")"),
        // Behind the last hexadecimal digit comes `g`.
        Trace::Abbreviated(digits) => stmt
            .push_bind(BY_COMMIT, project.0)
            .push_bind(" AND c.sha >= ", digits.to_owned())
            .push_bind(" AND c.sha < ", format!("{digits}g"))
            .push(")"),
        Trace::MergedInto(branch, by) => stmt
            .push(" AND m.state = 'merged'")
            .push_bind(" AND m.target_branch = ", branch.to_owned())
            .push_bind(" AND COALESCE(m.merged_at, m.created_at) <= ", millis(by)),
    }
}

/// The merge requests that a deployment would be linked to, the latest first: those that were not shipped to the
/// environment before.
pub async fn would_link<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    environment: EnvironmentId,
    shipped: &Shipped,
) -> Result<Vec<MergeRequestIid>> {
    let mut found = BTreeSet::new();
    for trace in traces(shipped) {
        let rows = followed(sql::<DB>("SELECT m.iid"), trace, project)
            .push(" AND m.id NOT IN (SELECT l.merge_request_id FROM deployment_merge_requests l")
            .push_bind(" WHERE l.environment_id = ", environment.0)
            .push(")")
            .all::<(i64,)>(&mut *connection)
            .await
            .map_err(failed::<DB>)?;
        found.extend(rows.into_iter().map(|(iid,)| iid));
    }
    Ok(found.into_iter().rev().map(MergeRequestIid).collect())
}

/// Links what a deployment shipped, and takes the task off the list.
pub struct Link {
    /// The task, as it was read.
    pub task: LinkTask,
    /// By what merge requests are found.
    pub shipped: Shipped,
    /// When.
    pub now: Time,
}

#[async_trait]
impl<DB: Db> Work<DB> for Link {
    const LOCK: Lock = Lock::Project;

    type Output = Linked;

    async fn run(&self, connection: &mut DB::Connection, _: &mut Told) -> Result<(Linked, Keep)> {
        let key = ProjectKey::Id(self.task.project);
        ledger::lock::<DB>(&mut *connection, &key, self.now).await?;
        let row = select::<DB>()
            .push_bind(" AND w.deployment_id = ", self.task.deployment.0)
            .optional::<LinkRow>(&mut *connection)
            .await
            .map_err(failed::<DB>)?;
        let Some(row) = row else {
            // Somebody else did it, or the deployment is gone.
            return Ok((Linked::Done(0), Keep::No));
        };
        match read::<DB>(&mut *connection, row).await? {
            Due::Link(now) if *now == self.task => {}
            Due::Link(_) => return Ok((Linked::Changed, Keep::No)),
            Due::Forget(id) => {
                forget::<DB>(connection, id).await?;
                return Ok((Linked::Done(0), Keep::Yes));
            }
        }
        let mut linked = 0;
        for trace in traces(&self.shipped) {
            let links = sql::<DB>(
                "INSERT INTO deployment_merge_requests (deployment_id, merge_request_id, environment_id)",
            )
            .push_bind(" SELECT CAST(", self.task.deployment.0)
            .push_bind(" AS BIGINT), m.id, CAST(", self.task.environment.0)
            .push(" AS BIGINT)");
            // Once per environment: where it is linked to an earlier deployment, it stays there.
            linked += followed(links, trace, self.task.project)
                .push(" ON CONFLICT DO NOTHING")
                .run(&mut *connection)
                .await
                .map_err(failed::<DB>)?;
        }
        forget::<DB>(connection, self.task.deployment).await?;
        Ok((Linked::Done(linked), Keep::Yes))
    }
}

/// Puts a task off.
pub struct PutOff {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Until when.
    pub due_at: Time,
}

#[async_trait]
impl<DB: Db> Work<DB> for PutOff {
    const LOCK: Lock = Lock::None;

    type Output = ();

    async fn run(&self, connection: &mut DB::Connection, _: &mut Told) -> Result<((), Keep)> {
        sql::<DB>("UPDATE link_work SET attempts = attempts + 1, due_at = $2 WHERE deployment_id = $1")
            .bind(self.deployment.0)
            .bind(millis(self.due_at))
            .run(connection)
            .await
            .map_err(failed::<DB>)?;
        Ok(((), Keep::Yes))
    }
}

/// Takes a task off the list.
pub struct Forget(pub DeploymentId);

#[async_trait]
impl<DB: Db> Work<DB> for Forget {
    const LOCK: Lock = Lock::None;

    type Output = ();

    async fn run(&self, connection: &mut DB::Connection, _: &mut Told) -> Result<((), Keep)> {
        forget::<DB>(connection, self.0).await?;
        Ok(((), Keep::Yes))
    }
}

async fn forget<DB: Db>(connection: &mut DB::Connection, deployment: DeploymentId) -> Result<()> {
    sql::<DB>("DELETE FROM link_work WHERE deployment_id = $1")
        .bind(deployment.0)
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}
