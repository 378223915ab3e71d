//! Direct memberships.

use super::{
    Db, failed, find,
    page::{ListById, page_by_id},
    row::{MembershipRow, millis},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        Time,
        directory::{Container, Membership, NewMembership},
        id::UserId,
        page::{Page, PageRequest},
    },
    store::{Result, StoreError},
};

/// The columns of a [`MembershipRow`].
const COLUMNS: &str = "SELECT m.id, m.project_id, m.group_id, m.access_level, m.created_at, m.version, \
     u.id AS user_id, u.username, u.name AS user_name, u.public_email, u.avatar_url, u.state AS user_state";

/// The memberships in a container.
fn within<DB: Db>(stmt: Stmt<DB>, container: Container) -> Stmt<DB> {
    let stmt = stmt.push(" FROM memberships m JOIN users u ON u.id = m.user_id");
    match container {
        Container::Project(id) => stmt.push_bind(" WHERE m.project_id = ", id.0),
        Container::Group(id) => stmt.push_bind(" WHERE m.group_id = ", id.0),
    }
}

/// A user's direct membership.
pub async fn find_by_user<DB: Db>(
    connection: &mut DB::Connection,
    container: Container,
    user: UserId,
) -> Result<Option<Membership>> {
    let stmt = within(sql::<DB>(COLUMNS), container).push_bind(" AND m.user_id = ", user.0);
    find::<DB, MembershipRow, Membership>(connection, stmt).await
}

/// A page of the direct memberships, by user id.
pub async fn page<DB: Db>(
    connection: &mut DB::Connection,
    container: Container,
    request: &PageRequest<UserId>,
) -> Result<Page<Membership, UserId>> {
    const BY_USER: ListById = ListById {
        columns: COLUMNS,
        after: " AND m.user_id > ",
        order: " ORDER BY m.user_id LIMIT ",
    };
    let matching = |stmt| within(stmt, container);
    page_by_id::<DB, MembershipRow, Membership, _>(connection, &BY_USER, matching, request, |membership| {
        membership.user.id
    })
    .await
}

/// Adds a membership.
pub async fn insert<DB: Db>(
    connection: &mut DB::Connection,
    new: &NewMembership,
    now: Time,
) -> Result<Membership> {
    let (project, group) = match new.container {
        Container::Project(id) => (Some(id.0), None),
        Container::Group(id) => (None, Some(id.0)),
    };
    let (id,) = sql::<DB>(
        "INSERT INTO memberships (user_id, project_id, group_id, access_level, created_at, version) \
         VALUES ($1, $2, $3, $4, $5, 1) RETURNING id",
    )
    .bind(new.user_id.0)
    .bind(project)
    .bind(group)
    .bind(new.access_level.number())
    .bind(millis(now))
    .one::<(i64,)>(&mut *connection)
    .await
    .map_err(failed::<DB>)?;
    // Read back for the user that it shows.
    find_by_user::<DB>(connection, new.container, new.user_id)
        .await?
        .ok_or(StoreError::Inconsistent {
            table: "memberships",
            column: "id",
            id,
        })
}

/// Writes a membership's level.
pub async fn update<DB: Db>(connection: &mut DB::Connection, after: &Membership) -> Result<()> {
    sql::<DB>("UPDATE memberships SET access_level = $2, version = $3 WHERE id = $1")
        .bind(after.id)
        .bind(after.access_level.number())
        .bind(after.version)
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}

/// Ends a membership.
pub async fn delete<DB: Db>(connection: &mut DB::Connection, id: i64) -> Result<()> {
    sql::<DB>("DELETE FROM memberships WHERE id = $1")
        .bind(id)
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}
