//! Groups: reading them as a user meets them, writing them and the tree they form.

use super::{
    Db, failed, find,
    page::{ListById, page_by_id},
    row::{GroupRow, GroupViewRow, millis},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        Time,
        access::{self, AccessLevel},
        directory::{Group, GroupView, NewGroup, User},
        id::{GroupId, GroupKey, UserId},
        page::{Page, PageRequest},
    },
    store::Result,
};

/// The columns of a [`GroupRow`].
const COLUMNS: &str = "SELECT g.id, g.parent_id, g.path, g.full_path, g.name, g.full_name, g.description, \
     g.visibility, g.created_at, g.version";

/// A group with the viewer's standing: by the groups above, by shares capped at the share's level.
fn select_view<DB: Db>(viewer: UserId) -> Stmt<DB> {
    sql::<DB>(COLUMNS)
        .push_bind(
            ", CAST(NULL AS BIGINT) AS project_level, (SELECT MAX(m.access_level) FROM group_ancestors a \
             JOIN memberships m ON m.group_id = a.ancestor_id WHERE a.group_id = g.id AND m.user_id = ",
            viewer.0,
        )
        .push_bind(
            ") AS group_level, (SELECT MAX(CASE WHEN m.access_level < s.access_level THEN m.access_level \
             ELSE s.access_level END) FROM group_shares s JOIN group_ancestors a ON a.group_id = s.group_id \
             JOIN memberships m ON m.group_id = a.ancestor_id WHERE \
             s.shared_group_id IN (SELECT b.ancestor_id FROM group_ancestors b WHERE b.group_id = g.id) \
             AND m.user_id = ",
            viewer.0,
        )
        .push(") AS shared_level FROM groups g")
}

/// A group as a user meets it.
pub async fn view<DB: Db>(
    connection: &mut DB::Connection,
    key: &GroupKey,
    viewer: UserId,
) -> Result<Option<GroupView>> {
    let stmt = match key {
        GroupKey::Id(id) => select_view::<DB>(viewer).push_bind(" WHERE g.id = ", id.0),
        GroupKey::Path(path) => {
            select_view::<DB>(viewer).push_bind(" WHERE g.full_path_key = ", path.to_lowercase())
        }
    };
    find::<DB, GroupViewRow, GroupView>(connection, stmt).await
}

/// The number of the lowest level that counts.
#[derive(Debug, Clone, Copy)]
pub struct Level(pub i64);

impl Level {
    /// This level and higher ones.
    pub fn at_least(level: AccessLevel) -> Self {
        Self(level.number())
    }
}

/// Keeps what is open to a user who is no member; `column` holds the visibility.
pub fn open<DB: Db>(stmt: Stmt<DB>, column: &'static str, viewer: &User) -> Stmt<DB> {
    let mut stmt = stmt.push(column).push(" IN (''");
    for visibility in access::open_to(viewer) {
        stmt = stmt.push_bind(", ", visibility.as_str().to_owned());
    }
    stmt.push(")")
}

/// Adds what is in a group where the viewer has a level by membership above it, or by a share of one above it;
/// `column` holds the group. The sets are found from the viewer's memberships, which are few, not from the groups.
pub fn seen_through<DB: Db>(stmt: Stmt<DB>, column: &'static str, viewer: &User, level: Level) -> Stmt<DB> {
    stmt.push(" OR ")
        .push(column)
        .push_bind(
            " IN (SELECT a.group_id FROM memberships m JOIN group_ancestors a ON a.ancestor_id = m.group_id \
             WHERE m.user_id = ",
            viewer.id.0,
        )
        .push_bind(" AND m.access_level >= ", level.0)
        .push(") OR ")
        .push(column)
        .push_bind(
            " IN (SELECT b.group_id FROM group_shares s JOIN group_ancestors b ON b.ancestor_id = s.shared_group_id \
             JOIN group_ancestors a ON a.group_id = s.group_id JOIN memberships m ON m.group_id = a.ancestor_id \
             WHERE m.user_id = ",
            viewer.id.0,
        )
        .push_bind(" AND m.access_level >= ", level.0)
        .push_bind(" AND s.access_level >= ", level.0)
        .push(")")
}

/// A page of the groups that `viewer` may see, by id; of those directly in `parent`, if there is one.
pub async fn page<DB: Db>(
    connection: &mut DB::Connection,
    viewer: &User,
    parent: Option<GroupId>,
    request: &PageRequest<GroupId>,
) -> Result<Page<Group, GroupId>> {
    const BY_ID: ListById = ListById {
        columns: COLUMNS,
        after: " AND g.id > ",
        order: " ORDER BY g.id LIMIT ",
    };
    let matching = |stmt: Stmt<DB>| {
        let stmt = stmt.push(" FROM groups g WHERE 1 = 1");
        let stmt = match parent {
            Some(parent) => stmt.push_bind(" AND g.parent_id = ", parent.0),
            None => stmt,
        };
        if viewer.admin {
            return stmt;
        }
        let stmt = open(stmt.push(" AND ("), "g.visibility", viewer);
        seen_through(stmt, "g.id", viewer, Level::at_least(AccessLevel::Minimal)).push(")")
    };
    page_by_id::<DB, GroupRow, Group, _>(connection, &BY_ID, matching, request, |group| group.id).await
}

/// Whether a group or project has this full path, in any case.
pub async fn path_taken<DB: Db>(connection: &mut DB::Connection, full_path: &str) -> Result<bool> {
    let found = sql::<DB>(
        "SELECT id FROM groups WHERE full_path_key = $1 UNION ALL SELECT id FROM projects WHERE full_path_key = $1",
    )
    .bind(full_path.to_lowercase())
    .optional::<(i64,)>(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(found.is_some())
}

/// Whether there is nothing in a group.
pub async fn empty<DB: Db>(connection: &mut DB::Connection, id: GroupId) -> Result<bool> {
    let found = sql::<DB>(
        "SELECT id FROM groups WHERE parent_id = $1 UNION ALL SELECT id FROM projects WHERE group_id = $1 LIMIT 1",
    )
    .bind(id.0)
    .optional::<(i64,)>(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(found.is_none())
}

/// Adds a group, below its parent.
pub async fn insert<DB: Db>(connection: &mut DB::Connection, new: &NewGroup, now: Time) -> Result<Group> {
    let (id,) = sql::<DB>(
        "INSERT INTO groups (parent_id, path, full_path, full_path_key, name, full_name, description, visibility, \
         created_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1) RETURNING id",
    )
    .bind(new.parent_id.map(|id| id.0))
    .bind(new.path.clone())
    .bind(new.full_path.clone())
    .bind(new.full_path.to_lowercase())
    .bind(new.name.clone())
    .bind(new.full_name.clone())
    .bind(new.description.clone())
    .bind(new.visibility.as_str().to_owned())
    .bind(millis(now))
    .one::<(i64,)>(&mut *connection)
    .await
    .map_err(failed::<DB>)?;
    sql::<DB>(
        "INSERT INTO group_ancestors (group_id, ancestor_id) SELECT CAST($1 AS BIGINT), CAST($1 AS BIGINT) \
         UNION ALL SELECT CAST($1 AS BIGINT), ancestor_id FROM group_ancestors WHERE group_id = $2",
    )
    .bind(id)
    .bind(new.parent_id.map(|id| id.0))
    .run(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(Group {
        id: GroupId(id),
        parent_id: new.parent_id,
        path: new.path.clone(),
        full_path: new.full_path.clone(),
        name: new.name.clone(),
        full_name: new.full_name.clone(),
        description: new.description.clone(),
        visibility: new.visibility,
        created_at: now,
        version: 1,
    })
}

/// Writes a group's fields, and the beginning of the full names below it. Where it is never changes.
pub async fn update<DB: Db>(
    connection: &mut DB::Connection,
    old_full_name: &str,
    after: &Group,
) -> Result<()> {
    sql::<DB>(
        "UPDATE groups SET name = $2, full_name = $3, description = $4, visibility = $5, version = $6 WHERE id = $1",
    )
    .bind(after.id.0)
    .bind(after.name.clone())
    .bind(after.full_name.clone())
    .bind(after.description.clone())
    .bind(after.visibility.as_str().to_owned())
    .bind(after.version)
    .run(&mut *connection)
    .await
    .map_err(failed::<DB>)?;
    if old_full_name == after.full_name {
        return Ok(());
    }
    let kept_from = i64::try_from(old_full_name.chars().count()).unwrap_or(i64::MAX) + 1;
    sql::<DB>(
        "UPDATE groups SET full_name = CAST($2 AS TEXT) || substr(full_name, CAST($3 AS INTEGER)), \
         version = version + 1 WHERE id <> $1 AND id IN \
         (SELECT group_id FROM group_ancestors WHERE ancestor_id = $1)",
    )
    .bind(after.id.0)
    .bind(after.full_name.clone())
    .bind(kept_from)
    .run(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(())
}

/// Deletes an empty group and, by the foreign keys, its memberships and shares.
pub async fn delete<DB: Db>(connection: &mut DB::Connection, id: GroupId) -> Result<()> {
    sql::<DB>("DELETE FROM groups WHERE id = $1")
        .bind(id.0)
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}
