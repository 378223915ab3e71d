//! Projects: reading them as a user meets them, writing their own fields.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::FromRow;

use super::{
    Db, failed, find,
    group::{Level, seen_through},
    page::{ListById, page_by_id},
    row::{MARK, ProjectRow, ViewRow, millis},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        Time,
        access::AccessLevel,
        directory::{NewProject, Project, ProjectView, User},
        id::{GroupId, ProjectId, ProjectKey, UserId},
        page::{Page, PageRequest},
    },
    store::{Dated, Position, Result},
};

/// The columns of a [`super::row::ProjectRow`].
pub const COLUMNS: &str = "SELECT p.id, p.path, p.full_path, p.name, p.description, p.visibility, p.default_branch, \
     p.archived, p.allow_self_approval, p.forward_deployment_enabled, p.forward_deployment_rollback_allowed, p.repository_path, p.creator_id, p.created_at, p.updated_at, p.version, g.id AS group_id, \
     g.parent_id AS group_parent_id, g.path AS group_path, g.full_path AS group_full_path, g.name AS group_name, \
     g.full_name AS group_full_name, g.description AS group_description, g.visibility AS group_visibility, \
     g.created_at AS group_created_at, g.version AS group_version";

/// A project with the caller's standing: directly, by the groups above, by shares capped at the share's level.
fn select_view<DB: Db>(viewer: UserId) -> Stmt<DB> {
    sql::<DB>(COLUMNS)
        .push_bind(
            ", (SELECT m.access_level FROM memberships m WHERE m.project_id = p.id AND m.user_id = ",
            viewer.0,
        )
        .push_bind(
            ") AS project_level, (SELECT MAX(m.access_level) FROM group_ancestors a \
             JOIN memberships m ON m.group_id = a.ancestor_id WHERE a.group_id = p.group_id AND m.user_id = ",
            viewer.0,
        )
        .push_bind(
            ") AS group_level, (SELECT MAX(CASE WHEN m.access_level < s.access_level THEN m.access_level \
             ELSE s.access_level END) FROM group_shares s JOIN group_ancestors a ON a.group_id = s.group_id \
             JOIN memberships m ON m.group_id = a.ancestor_id WHERE (s.shared_project_id = p.id OR \
             s.shared_group_id IN (SELECT b.ancestor_id FROM group_ancestors b WHERE b.group_id = p.group_id)) \
             AND m.user_id = ",
            viewer.0,
        )
        .push(") AS shared_level")
        .push(MARK)
        .push(" FROM projects p JOIN groups g ON g.id = p.group_id")
}

/// A project as a user meets it.
pub async fn view<DB: Db>(
    connection: &mut DB::Connection,
    key: &ProjectKey,
    viewer: UserId,
) -> Result<Option<ProjectView>> {
    let found = dated_view::<DB>(connection, key, viewer).await?;
    Ok(found.map(|found| found.of))
}

/// A project as a user meets it, and when that was so.
pub async fn dated_view<DB: Db>(
    connection: &mut DB::Connection,
    key: &ProjectKey,
    viewer: UserId,
) -> Result<Option<Dated<ProjectView>>> {
    let stmt = match key {
        ProjectKey::Id(id) => select_view::<DB>(viewer).push_bind(" WHERE p.id = ", id.0),
        ProjectKey::Path(path) => {
            select_view::<DB>(viewer).push_bind(" WHERE p.full_path_key = ", path.to_lowercase())
        }
    };
    find::<DB, ViewRow, Dated<ProjectView>>(connection, stmt).await
}

/// What tells whether these projects have changed: two numbers that only grow. What is not there has none.
pub async fn marks<DB: Db>(
    connection: &mut DB::Connection,
    projects: &BTreeSet<ProjectId>,
) -> Result<BTreeMap<ProjectId, i64>> {
    let rows: Vec<MarkRow> = sql::<DB>("SELECT id, last_event + changes AS mark FROM projects WHERE id")
        .push_in(projects.iter().map(|project| project.0))
        .all(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(rows
        .into_iter()
        .map(|row| (ProjectId(row.id), row.mark))
        .collect())
}

/// Changes when a project does.
#[derive(Debug, FromRow)]
pub struct MarkRow {
    id: i64,
    mark: i64,
}

/// How far a store is.
#[derive(Debug, FromRow)]
pub struct PositionRow {
    project: Option<i64>,
    directory: i64,
}

/// How far a store is, as seen from a project.
pub async fn position<DB: Db>(
    connection: &mut DB::Connection,
    project: Option<ProjectId>,
) -> Result<Position> {
    let row: PositionRow = sql::<DB>(
        "SELECT (SELECT changes FROM projects WHERE id = $1) AS project, changes AS directory FROM directory WHERE id = 1",
    )
    .bind(project.map(|project| project.0))
    .one(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(Position {
        project: row.project,
        directory: row.directory,
    })
}

/// A page of the projects that `viewer` may see, by id; of those directly in `group`, if there is one.
pub async fn page<DB: Db>(
    connection: &mut DB::Connection,
    viewer: &User,
    group: Option<GroupId>,
    request: &PageRequest<ProjectId>,
) -> Result<Page<Project, ProjectId>> {
    const BY_ID: ListById = ListById {
        columns: COLUMNS,
        after: " AND p.id > ",
        order: " ORDER BY p.id LIMIT ",
    };
    let matching = |stmt: Stmt<DB>| {
        let stmt = stmt.push(" FROM projects p JOIN groups g ON g.id = p.group_id WHERE 1 = 1");
        let stmt = match group {
            Some(group) => stmt.push_bind(" AND p.group_id = ", group.0),
            None => stmt,
        };
        if viewer.admin { stmt } else { visible(stmt, viewer) }
    };
    page_by_id::<DB, ProjectRow, Project, _>(connection, &BY_ID, matching, request, |project| project.id)
        .await
}

/// Keeps the projects that are open to the viewer, or that they are a guest of by any way.
fn visible<DB: Db>(stmt: Stmt<DB>, viewer: &User) -> Stmt<DB> {
    let guest = Level::at_least(AccessLevel::Guest);
    let stmt = super::group::open(stmt.push(" AND ("), "p.visibility", viewer)
        .push_bind(
            " OR p.id IN (SELECT m.project_id FROM memberships m WHERE m.user_id = ",
            viewer.id.0,
        )
        .push_bind(" AND m.access_level >= ", guest.0)
        .push_bind(
            ") OR p.id IN (SELECT s.shared_project_id FROM group_shares s \
             JOIN group_ancestors a ON a.group_id = s.group_id JOIN memberships m ON m.group_id = a.ancestor_id \
             WHERE m.user_id = ",
            viewer.id.0,
        )
        .push_bind(" AND m.access_level >= ", guest.0)
        .push_bind(" AND s.access_level >= ", guest.0)
        .push(")");
    seen_through(stmt, "p.group_id", viewer, guest).push(")")
}

/// Adds a project.
pub async fn insert<DB: Db>(connection: &mut DB::Connection, new: &NewProject, now: Time) -> Result<Project> {
    let (id,) = sql::<DB>(
        "INSERT INTO projects (group_id, path, full_path, full_path_key, name, description, visibility, \
         default_branch, archived, allow_self_approval, creator_id, created_at, updated_at, version, last_iid, \
         last_event, latest_at, forward_deployment_enabled, forward_deployment_rollback_allowed) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, 0, 0, $14, $15, $16) RETURNING id",
    )
    .bind(new.group.id.0)
    .bind(new.path.clone())
    .bind(new.full_path.clone())
    .bind(new.full_path.to_lowercase())
    .bind(new.name.clone())
    .bind(new.description.clone())
    .bind(new.visibility.as_str().to_owned())
    .bind(new.default_branch.clone())
    .bind(new.archived)
    .bind(new.allow_self_approval)
    .bind(new.creator_id.0)
    .bind(millis(now))
    .bind(millis(now))
    .bind(millis(now))
    .bind(new.forward_deployment_enabled)
    .bind(new.forward_deployment_rollback_allowed)
    .one::<(i64,)>(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(Project {
        id: ProjectId(id),
        path: new.path.clone(),
        full_path: new.full_path.clone(),
        name: new.name.clone(),
        description: new.description.clone(),
        visibility: new.visibility,
        default_branch: new.default_branch.clone(),
        archived: new.archived,
        allow_self_approval: new.allow_self_approval,
        forward_deployment_enabled: new.forward_deployment_enabled,
        forward_deployment_rollback_allowed: new.forward_deployment_rollback_allowed,
        repository: None,
        group: new.group.clone(),
        creator_id: new.creator_id,
        created_at: now,
        updated_at: now,
        version: 1,
    })
}

/// Writes a project's own fields. Where it is never changes.
pub async fn update<DB: Db>(connection: &mut DB::Connection, after: &Project) -> Result<()> {
    sql::<DB>(
        "UPDATE projects SET name = $2, description = $3, visibility = $4, default_branch = $5, archived = $6, \
         allow_self_approval = $7, updated_at = $8, version = $9, forward_deployment_enabled = $10, \
         forward_deployment_rollback_allowed = $11, repository_path = $12 WHERE id = $1",
    )
    .bind(after.id.0)
    .bind(after.name.clone())
    .bind(after.description.clone())
    .bind(after.visibility.as_str().to_owned())
    .bind(after.default_branch.clone())
    .bind(after.archived)
    .bind(after.allow_self_approval)
    .bind(millis(after.updated_at))
    .bind(after.version)
    .bind(after.forward_deployment_enabled)
    .bind(after.forward_deployment_rollback_allowed)
    .bind(after.repository.clone())
    .run(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(())
}

/// Deletes a project and, by the foreign keys, everything recorded for it.
pub async fn delete<DB: Db>(connection: &mut DB::Connection, id: ProjectId) -> Result<()> {
    sql::<DB>("DELETE FROM projects WHERE id = $1")
        .bind(id.0)
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}
