//! Deployments, and the art of reading only the page of them that is asked for.
//!
//! Every order has an index under every set of equality filters, so a page is a walk along one index that stops after
//! the page; a range over the sorted field only says where the walk begins and ends. A range over another field is the
//! one thing no index can serve together with the order. Then the range is measured first, up to [`NARROW_MAX`] rows:
//! a narrow range is read whole and sorted, a wide one is met soon by walking in order and leaving out what is not in
//! it. A `+` before a column (and `|| ''` behind a text) means nothing but "do not use an index for this".

use super::{
    Db, commit, count, counting, failed, job,
    page::{ListById, rows_by_id},
    row::{DeploymentRow, MARK, NOT_FINISHED, PageRow, millis},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        deployment::{
            Deployment, DeploymentFilter, DeploymentOrder, DeploymentPosition, DeploymentQuery,
            DeploymentStatus, NewDeployment, PositionKey,
        },
        id::{DeploymentId, EnvironmentId, EnvironmentKey, Iid, JobId, MergeRequestId, ProjectId},
        page::{Direction, Page, PageRequest},
    },
    store::{Mark, Result, StoreError},
};

/// The most rows that a range may hold to be read whole and sorted.
const NARROW_MAX: i64 = 10_000;

/// The columns of a [`DeploymentRow`].
pub const COLUMNS: &str = "SELECT d.id, d.project_id, d.iid, d.ref, d.tag, d.sha, d.status, d.created_at, d.updated_at, \
     d.finished_at, d.gate, d.failure_reason, d.version, d.commit_sha, d.job_id, e.id AS environment_id, \
     e.name AS environment_name, e.slug AS environment_slug, \
     e.external_url AS environment_external_url, e.created_at AS environment_created_at, \
     e.updated_at AS environment_updated_at, u.id AS user_id, u.username, u.name AS user_name, u.public_email, \
     u.avatar_url, u.state AS user_state";

/// The tables that they are in.
pub const TABLES: &str = " FROM deployments d CROSS JOIN environments e LEFT JOIN users u ON u.id = d.user_id \
     WHERE e.id = d.environment_id";

/// Reads deployments with their jobs.
async fn whole<DB: Db>(connection: &mut DB::Connection, stmt: Stmt<DB>) -> Result<Vec<Deployment>> {
    let rows = stmt.all::<DeploymentRow>(&mut *connection).await;
    job::with_jobs::<DB>(connection, rows.map_err(failed::<DB>)?).await
}

/// Reads at most one deployment with its job.
async fn one<DB: Db>(connection: &mut DB::Connection, stmt: Stmt<DB>) -> Result<Option<Deployment>> {
    Ok(whole::<DB>(connection, stmt).await?.pop())
}

/// The deployment that a project's job carries out.
pub async fn find_by_job<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    job: JobId,
) -> Result<Option<Deployment>> {
    match job::deployment_of::<DB>(&mut *connection, project, job).await? {
        Some(id) => find_by_id::<DB>(connection, project, id).await,
        None => Ok(None),
    }
}

/// A deployment of a project.
pub async fn find_by_id<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    id: DeploymentId,
) -> Result<Option<Deployment>> {
    let stmt = sql::<DB>(COLUMNS)
        .push(TABLES)
        .push_bind(" AND d.id = ", id.0)
        .push_bind(" AND d.project_id = ", project.0);
    one::<DB>(connection, stmt).await
}

/// The successful deployment of an environment that finished last.
pub async fn last_success<DB: Db>(
    connection: &mut DB::Connection,
    environment: EnvironmentId,
) -> Result<Option<Deployment>> {
    let stmt = sql::<DB>(COLUMNS)
        .push(TABLES)
        .push_bind(" AND d.environment_id = ", environment.0)
        .push_bind(" AND d.status = ", DeploymentStatus::Success.as_str().to_owned())
        .push(" ORDER BY d.finished_at DESC, d.iid DESC LIMIT 1");
    one::<DB>(connection, stmt).await
}

/// The successful deployment of an environment before the one with this iid.
pub async fn success_before<DB: Db>(
    connection: &mut DB::Connection,
    environment: EnvironmentId,
    iid: Iid,
) -> Result<Option<Deployment>> {
    let stmt = sql::<DB>(COLUMNS)
        .push(TABLES)
        .push_bind(" AND d.environment_id = ", environment.0)
        .push_bind(" AND d.status = ", DeploymentStatus::Success.as_str().to_owned())
        // Within a project iids grow with ids.
        .push_bind(" AND d.iid < ", iid.0)
        .push(" ORDER BY d.iid DESC LIMIT 1");
    one::<DB>(connection, stmt).await
}

/// An id for a new deployment.
pub async fn next_id<DB: Db>(connection: &mut DB::Connection) -> Result<DeploymentId> {
    let stmt = sql::<DB>("SELECT ").push(DB::NEXT_DEPLOYMENT_ID);
    let (id,) = stmt.one::<(i64,)>(connection).await.map_err(failed::<DB>)?;
    Ok(DeploymentId(id))
}

/// Adds a deployment, without the commits that it brings and its job.
pub fn insert<DB: Db>(
    stmt: Stmt<DB>,
    id: DeploymentId,
    (project, iid): (ProjectId, Iid),
    environment: EnvironmentId,
    new: &NewDeployment,
    now: i64,
) -> Stmt<DB> {
    stmt.push(
        "INSERT INTO deployments (id, project_id, iid, environment_id, ref, tag, sha, user_id, status, created_at, \
         updated_at, finished_at, gate, version, commit_sha, job_id) VALUES (",
    )
    .value(id.0)
    .value(project.0)
    .value(iid.0)
    .value(environment.0)
    .value(new.git_ref.clone())
    .value(new.tag)
    .value(new.sha.clone())
    .value(new.user_id.0)
    .value(new.status.as_str().to_owned())
    .value(now)
    .value(now)
    .value(new.finished_at.map_or(NOT_FINISHED, millis))
    .value(new.gate.as_str().to_owned())
    .push(", 1")
    .value(new.commit_id.clone())
    .value(new.job.as_ref().map(|job| job.id.0))
    .push(")")
}

/// Adds the commits that a new deployment brings, and its job.
pub async fn insert_parts<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    id: DeploymentId,
    new: &NewDeployment,
) -> Result<()> {
    if let Some(commit) = &new.commit {
        // Before those that the caller told of: what the repository has is how it is kept.
        commit::insert::<DB>(&mut *connection, project, std::slice::from_ref(commit)).await?;
    }
    commit::insert_sent::<DB>(&mut *connection, project, id, &new.commits).await?;
    if let Some(new) = &new.job {
        job::insert::<DB>(connection, project, id, new).await?;
    }
    Ok(())
}

/// Writes what a step of the life cycle, or a report, changes of a deployment, but not of its job.
pub fn update<DB: Db>(stmt: Stmt<DB>, after: &Deployment) -> Stmt<DB> {
    stmt.push_bind(
        "UPDATE deployments SET status = ",
        after.status.as_str().to_owned(),
    )
    .push_bind(", updated_at = ", millis(after.updated_at))
    .push_bind(", finished_at = ", after.finished_at.map_or(NOT_FINISHED, millis))
    .push_bind(", gate = ", after.gate.as_str().to_owned())
    .push_bind(
        ", failure_reason = ",
        after.failure_reason.map(|reason| reason.as_str().to_owned()),
    )
    .push_bind(", version = ", after.version)
    .push_bind(" WHERE id = ", after.id.0)
}

/// Deletes a deployment.
pub async fn delete<DB: Db>(connection: &mut DB::Connection, id: DeploymentId) -> Result<()> {
    sql::<DB>("DELETE FROM deployments WHERE id = $1")
        .bind(id.0)
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}

/// A page of the deployments that shipped a merge request, the one of the highest id first.
pub async fn page_that_shipped<DB: Db>(
    connection: &mut DB::Connection,
    merge_request: MergeRequestId,
    request: &PageRequest<DeploymentId>,
) -> Result<Page<Deployment, DeploymentId>> {
    const LATEST_FIRST: ListById = ListById {
        columns: COLUMNS,
        after: " AND d.id < ",
        order: " ORDER BY d.id DESC LIMIT ",
    };
    let matching = |stmt: Stmt<DB>| {
        stmt.push(
            " FROM deployment_merge_requests l CROSS JOIN deployments d CROSS JOIN environments e \
             LEFT JOIN users u ON u.id = d.user_id WHERE d.id = l.deployment_id AND e.id = d.environment_id",
        )
        .push_bind(" AND l.merge_request_id = ", merge_request.0)
    };
    let page = rows_by_id::<DB, DeploymentRow, _>(&mut *connection, &LATEST_FIRST, matching, request);
    let (rows, total) = page.await?;
    let items = job::with_jobs::<DB>(connection, rows).await?;
    Ok(Page::cut(items, request.size, total, |deployment| deployment.id))
}

/// Whose deployments: a project's, or those of one of its environments.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope {
    Project(ProjectId),
    Environment(EnvironmentId),
}

/// A field that ranges are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranged {
    UpdatedAt,
    FinishedAt,
}

impl Ranged {
    const ALL: [Self; 2] = [Self::UpdatedAt, Self::FinishedAt];

    /// Whether the plan depends on how many rows the range over this field holds.
    fn is_to_be_measured(self, query: &DeploymentQuery) -> bool {
        self.is_in(&query.filter) && self.order() != query.order
    }

    /// Whether the filter has a range over this field.
    fn is_in(self, filter: &DeploymentFilter) -> bool {
        match self {
            Self::UpdatedAt => filter.updated_after.is_some() || filter.updated_before.is_some(),
            Self::FinishedAt => filter.finished_after.is_some() || filter.finished_before.is_some(),
        }
    }

    /// The filter with its equalities and the range over this field alone.
    fn only(self, filter: &DeploymentFilter) -> DeploymentFilter {
        let mut only = filter.clone();
        match self {
            Self::UpdatedAt => (only.finished_after, only.finished_before) = (None, None),
            Self::FinishedAt => (only.updated_after, only.updated_before) = (None, None),
        }
        only
    }

    /// The order that this field's index is in.
    fn order(self) -> DeploymentOrder {
        match self {
            Self::UpdatedAt => DeploymentOrder::UpdatedAt,
            Self::FinishedAt => DeploymentOrder::FinishedAt,
        }
    }
}

/// How a page is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Along the index of the order, leaving out what the ranges over other fields exclude.
    Walk,
    /// Along the index of this range, sorting all that is in it.
    Narrow(Ranged),
}

/// A page of a project's deployments.
pub async fn page<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    query: &DeploymentQuery,
    request: &PageRequest<DeploymentPosition>,
) -> Result<Page<Deployment, DeploymentPosition>> {
    let scope = match &query.filter.environment {
        None => Scope::Project(project),
        Some(name) => {
            let key = EnvironmentKey::Name(name.clone());
            match super::environment::find_by_key::<DB>(&mut *connection, project, &key).await? {
                Some(environment) => Scope::Environment(environment.id),
                None => {
                    return Ok(Page {
                        items: Vec::new(),
                        next: None,
                        total: request.want_total.then_some(0),
                    });
                }
            }
        }
    };
    let plan = plan::<DB>(&mut *connection, scope, query).await?;
    let stmt = page_stmt(sql::<DB>(COLUMNS), scope, query, request, plan);
    let items = whole::<DB>(&mut *connection, stmt).await?;
    let total = if request.want_total {
        let matching = |stmt| ranges(equal(stmt, scope, &query.filter), &query.filter, |_| Hint::Both);
        Some(count::<DB>(connection, matching).await?)
    } else {
        None
    };
    Ok(Page::cut(items, request.size, total, |deployment| {
        deployment.position(query.order)
    }))
}

/// A page of a project's deployments for who may see them as of `by`, if one statement can tell it: there are no jobs in
/// it, and nothing has to be looked up or measured before. Of an empty page it cannot be told as of when it is: that is
/// outdated too.
pub async fn glance_page<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    query: &DeploymentQuery,
    request: &PageRequest<DeploymentPosition>,
    by: Mark,
) -> Result<Option<Page<Deployment, DeploymentPosition>>> {
    let filter = &query.filter;
    if filter.environment.is_some() || Ranged::ALL.iter().any(|ranged| ranged.is_to_be_measured(query)) {
        return Ok(None);
    }
    let scope = Scope::Project(project);
    let head = sql::<DB>(COLUMNS).push(MARK);
    let head = if request.want_total {
        let matching = |stmt| ranges(equal(stmt, scope, filter), filter, |_| Hint::Both);
        counting(head.push(", ("), matching).push(") AS total")
    } else {
        head.push(", CAST(NULL AS BIGINT) AS total")
    };
    let stmt = page_stmt(head, scope, query, request, Plan::Walk);
    let rows = stmt.all::<PageRow>(connection).await.map_err(failed::<DB>)?;
    let told = rows.first().map(|row| (Mark(row.mark), row.total));
    let Some((_, total)) = told.filter(|(mark, _)| *mark == by) else {
        return Err(StoreError::Outdated);
    };
    if rows.iter().any(|row| row.deployment.job_id.is_some()) {
        return Ok(None);
    }
    let items = rows.into_iter().map(|row| Deployment::try_from(row.deployment));
    let items = items.collect::<Result<Vec<_>>>()?;
    Ok(Some(Page::cut(items, request.size, total, |deployment| {
        deployment.position(query.order)
    })))
}

/// Chooses the plan: a narrow range over a field that is not sorted by, if there is one.
pub(super) async fn plan<DB: Db>(
    connection: &mut DB::Connection,
    scope: Scope,
    query: &DeploymentQuery,
) -> Result<Plan> {
    for ranged in Ranged::ALL {
        if !ranged.is_to_be_measured(query) {
            continue;
        }
        let only = ranged.only(&query.filter);
        let within = |stmt| ranges(equal(stmt, scope, &only), &only, |_| Hint::Both);
        if count::<DB>(&mut *connection, within).await? <= NARROW_MAX {
            return Ok(Plan::Narrow(ranged));
        }
    }
    Ok(Plan::Walk)
}

/// The statement that reads the columns in `head` of a page: its ids from the index alone, so that what is skipped costs
/// little, then their rows.
pub(super) fn page_stmt<DB: Db>(
    head: Stmt<DB>,
    scope: Scope,
    query: &DeploymentQuery,
    request: &PageRequest<DeploymentPosition>,
    plan: Plan,
) -> Stmt<DB> {
    let stmt = equal(head.push(" FROM (SELECT id"), scope, &query.filter);
    let hint = |ranged: Ranged| match (plan, &request.after, query.direction) {
        (Plan::Narrow(narrow), ..) if ranged == narrow => Hint::Both,
        (Plan::Walk, ..) if ranged.order() != query.order => Hint::None,
        (Plan::Walk, None, _) => Hint::Both,
        (Plan::Walk, Some(_), Direction::Ascending) => Hint::Upper,
        (Plan::Walk, Some(_), Direction::Descending) => Hint::Lower,
        (Plan::Narrow(_), ..) => Hint::None,
    };
    let mut stmt = ranges(stmt, &query.filter, hint);
    if let Some(after) = &request.after {
        stmt = beyond(stmt, query, after, plan);
    }
    let (inner, outer) = order_by(query, plan);
    stmt.push(inner)
        .push_bind(" LIMIT ", request.size + 1)
        .push_bind(" OFFSET ", request.skip)
        .push(
            ") AS page CROSS JOIN deployments d CROSS JOIN environments e LEFT JOIN users u ON u.id = d.user_id \
             WHERE d.id = page.id AND e.id = d.environment_id",
        )
        .push(outer)
}

/// The equality filters. An environment belongs to one project, so it alone says both.
fn equal<DB: Db>(stmt: Stmt<DB>, scope: Scope, filter: &DeploymentFilter) -> Stmt<DB> {
    let stmt = match scope {
        Scope::Project(id) => stmt.push_bind(" FROM deployments WHERE project_id = ", id.0),
        Scope::Environment(id) => stmt.push_bind(" FROM deployments WHERE environment_id = ", id.0),
    };
    match filter.status {
        Some(status) => stmt.push_bind(" AND status = ", status.as_str().to_owned()),
        None => stmt,
    }
}

/// What of a range may choose an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    /// Both its ends.
    Both,
    /// Its upper end: the lower one is behind the position that the page begins at.
    Upper,
    /// Its lower end: the upper one is behind the position that the page begins at.
    Lower,
    /// Nothing.
    None,
}

/// The ranges, each as far as its hint allows to be looked up in an index.
fn ranges<DB: Db>(stmt: Stmt<DB>, filter: &DeploymentFilter, hint: impl Fn(Ranged) -> Hint) -> Stmt<DB> {
    let mut stmt = stmt;
    let updated = hint(Ranged::UpdatedAt);
    if let Some(after) = filter.updated_after {
        let indexed = matches!(updated, Hint::Both | Hint::Lower);
        let text = if indexed {
            " AND updated_at >= "
        } else {
            " AND +updated_at >= "
        };
        stmt = stmt.push_bind(text, millis(after));
    }
    if let Some(before) = filter.updated_before {
        let indexed = matches!(updated, Hint::Both | Hint::Upper);
        let text = if indexed {
            " AND updated_at <= "
        } else {
            " AND +updated_at <= "
        };
        stmt = stmt.push_bind(text, millis(before));
    }
    if Ranged::FinishedAt.is_in(filter) {
        let finished = hint(Ranged::FinishedAt);
        if let Some(after) = filter.finished_after {
            let indexed = matches!(finished, Hint::Both | Hint::Lower);
            let text = if indexed {
                " AND finished_at >= "
            } else {
                " AND +finished_at >= "
            };
            stmt = stmt.push_bind(text, millis(after));
        }
        let indexed = matches!(finished, Hint::Both | Hint::Upper);
        let text = if indexed {
            " AND finished_at < "
        } else {
            " AND +finished_at < "
        };
        stmt = stmt.push_bind(text, filter.finished_before.map_or(NOT_FINISHED, millis));
    }
    stmt
}

/// What lies beyond a position.
fn beyond<DB: Db>(
    stmt: Stmt<DB>,
    query: &DeploymentQuery,
    after: &DeploymentPosition,
    plan: Plan,
) -> Stmt<DB> {
    use Direction::{Ascending, Descending};
    let walk = plan == Plan::Walk;
    let time = |key: &PositionKey| match key {
        PositionKey::Time(Some(time)) => millis(*time),
        _ => NOT_FINISHED,
    };
    let stmt = match (query.order, query.direction, walk) {
        (DeploymentOrder::Id, Ascending, true) => return stmt.push_bind(" AND iid > ", after.iid.0),
        (DeploymentOrder::Id, Descending, true) => return stmt.push_bind(" AND iid < ", after.iid.0),
        (DeploymentOrder::Id, Ascending, false) => return stmt.push_bind(" AND +iid > ", after.iid.0),
        (DeploymentOrder::Id, Descending, false) => return stmt.push_bind(" AND +iid < ", after.iid.0),
        (DeploymentOrder::UpdatedAt, Ascending, true) => stmt.push(" AND (updated_at, iid) > ("),
        (DeploymentOrder::UpdatedAt, Descending, true) => stmt.push(" AND (updated_at, iid) < ("),
        (DeploymentOrder::UpdatedAt, Ascending, false) => stmt.push(" AND (+updated_at, iid) > ("),
        (DeploymentOrder::UpdatedAt, Descending, false) => stmt.push(" AND (+updated_at, iid) < ("),
        (DeploymentOrder::FinishedAt, Ascending, true) => stmt.push(" AND (finished_at, iid) > ("),
        (DeploymentOrder::FinishedAt, Descending, true) => stmt.push(" AND (finished_at, iid) < ("),
        (DeploymentOrder::FinishedAt, Ascending, false) => stmt.push(" AND (+finished_at, iid) > ("),
        (DeploymentOrder::FinishedAt, Descending, false) => stmt.push(" AND (+finished_at, iid) < ("),
        (DeploymentOrder::Ref, Ascending, true) => stmt.push(" AND (ref, iid) > ("),
        (DeploymentOrder::Ref, Descending, true) => stmt.push(" AND (ref, iid) < ("),
        (DeploymentOrder::Ref, Ascending, false) => stmt.push(" AND (ref || '', iid) > ("),
        (DeploymentOrder::Ref, Descending, false) => stmt.push(" AND (ref || '', iid) < ("),
    };
    let stmt = match &after.key {
        PositionKey::Text(text) => stmt.push_bind("", text.clone()),
        key => stmt.push_bind("", time(key)),
    };
    stmt.push_bind(", ", after.iid.0).push(")")
}

/// The order of the page's ids, and of its rows.
fn order_by(query: &DeploymentQuery, plan: Plan) -> (&'static str, &'static str) {
    use Direction::{Ascending, Descending};
    let walk = plan == Plan::Walk;
    match (query.order, query.direction) {
        (DeploymentOrder::Id, Ascending) => (
            if walk { " ORDER BY iid" } else { " ORDER BY +iid" },
            " ORDER BY d.iid",
        ),
        (DeploymentOrder::Id, Descending) => (
            if walk {
                " ORDER BY iid DESC"
            } else {
                " ORDER BY +iid DESC"
            },
            " ORDER BY d.iid DESC",
        ),
        (DeploymentOrder::UpdatedAt, Ascending) => (
            if walk {
                " ORDER BY updated_at, iid"
            } else {
                " ORDER BY +updated_at, iid"
            },
            " ORDER BY d.updated_at, d.iid",
        ),
        (DeploymentOrder::UpdatedAt, Descending) => (
            if walk {
                " ORDER BY updated_at DESC, iid DESC"
            } else {
                " ORDER BY +updated_at DESC, iid DESC"
            },
            " ORDER BY d.updated_at DESC, d.iid DESC",
        ),
        (DeploymentOrder::FinishedAt, Ascending) => (
            if walk {
                " ORDER BY finished_at, iid"
            } else {
                " ORDER BY +finished_at, iid"
            },
            " ORDER BY d.finished_at, d.iid",
        ),
        (DeploymentOrder::FinishedAt, Descending) => (
            if walk {
                " ORDER BY finished_at DESC, iid DESC"
            } else {
                " ORDER BY +finished_at DESC, iid DESC"
            },
            " ORDER BY d.finished_at DESC, d.iid DESC",
        ),
        (DeploymentOrder::Ref, Ascending) => (
            if walk {
                " ORDER BY ref, iid"
            } else {
                " ORDER BY ref || '', iid"
            },
            " ORDER BY d.ref, d.iid",
        ),
        (DeploymentOrder::Ref, Descending) => (
            if walk {
                " ORDER BY ref DESC, iid DESC"
            } else {
                " ORDER BY ref || '' DESC, iid DESC"
            },
            " ORDER BY d.ref DESC, d.iid DESC",
        ),
    }
}
