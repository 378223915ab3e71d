//! Shares of projects and groups with groups.

use super::{
    Db, failed, find,
    page::{ListById, page_by_id},
    row::{ShareRow, millis},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        Time,
        directory::{Container, GroupShare, NewShare},
        id::GroupId,
        page::{Page, PageRequest},
    },
    store::Result,
};

/// The columns of a [`ShareRow`].
const COLUMNS: &str = "SELECT s.id, s.shared_project_id, s.shared_group_id, s.group_id, \
     g.full_path AS group_full_path, s.access_level, s.created_at, s.version";

/// The shares of a container.
fn of<DB: Db>(stmt: Stmt<DB>, container: Container) -> Stmt<DB> {
    let stmt = stmt.push(" FROM group_shares s JOIN groups g ON g.id = s.group_id");
    match container {
        Container::Project(id) => stmt.push_bind(" WHERE s.shared_project_id = ", id.0),
        Container::Group(id) => stmt.push_bind(" WHERE s.shared_group_id = ", id.0),
    }
}

/// The share of a container with a group.
pub async fn find_by_group<DB: Db>(
    connection: &mut DB::Connection,
    container: Container,
    group: GroupId,
) -> Result<Option<GroupShare>> {
    let stmt = of(sql::<DB>(COLUMNS), container).push_bind(" AND s.group_id = ", group.0);
    find::<DB, ShareRow, GroupShare>(connection, stmt).await
}

/// A page of a container's shares, by the id of the group that is let in.
pub async fn page<DB: Db>(
    connection: &mut DB::Connection,
    container: Container,
    request: &PageRequest<GroupId>,
) -> Result<Page<GroupShare, GroupId>> {
    const BY_GROUP: ListById = ListById {
        columns: COLUMNS,
        after: " AND s.group_id > ",
        order: " ORDER BY s.group_id LIMIT ",
    };
    let matching = |stmt| of(stmt, container);
    page_by_id::<DB, ShareRow, GroupShare, _>(connection, &BY_GROUP, matching, request, |share| {
        share.group_id
    })
    .await
}

/// Adds a share.
pub async fn insert<DB: Db>(
    connection: &mut DB::Connection,
    new: &NewShare,
    now: Time,
) -> Result<GroupShare> {
    let (project, group) = match new.container {
        Container::Project(id) => (Some(id.0), None),
        Container::Group(id) => (None, Some(id.0)),
    };
    let (id,) = sql::<DB>(
        "INSERT INTO group_shares (shared_project_id, shared_group_id, group_id, access_level, created_at, version) \
         VALUES ($1, $2, $3, $4, $5, 1) RETURNING id",
    )
    .bind(project)
    .bind(group)
    .bind(new.group_id.0)
    .bind(new.access_level.number())
    .bind(millis(now))
    .one::<(i64,)>(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(GroupShare {
        id,
        container: new.container,
        group_id: new.group_id,
        group_full_path: new.group_full_path.clone(),
        access_level: new.access_level,
        created_at: now,
        version: 1,
    })
}

/// Writes a share's level.
pub async fn update<DB: Db>(connection: &mut DB::Connection, after: &GroupShare) -> Result<()> {
    sql::<DB>("UPDATE group_shares SET access_level = $2, version = $3 WHERE id = $1")
        .bind(after.id)
        .bind(after.access_level.number())
        .bind(after.version)
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}

/// Ends a share.
pub async fn delete<DB: Db>(connection: &mut DB::Connection, id: i64) -> Result<()> {
    sql::<DB>("DELETE FROM group_shares WHERE id = $1")
        .bind(id)
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}
