//! Protected environments and their entries.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{
    Db, count, failed,
    row::{GuardRow, millis},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        Time,
        directory::{Container, Project},
        environment::EnvironmentTier,
        id::{EnvironmentId, GroupId, ProjectId, ProtectionId, UserId},
        page::{Page, PageRequest},
        protection::{
            ApprovalRule, DeployAccessLevel, EntryDraft, ProtectedEnvironment, ProtectionDraft, Subject,
        },
    },
    store::{Result, StoreError},
};

/// Protections, as a common table expression that [`load`] ends.
const COLUMNS: &str = "WITH p AS (SELECT p.id, p.project_id, p.group_id, p.name, p.required_approval_count, \
     p.created_at, p.updated_at, p.version";

/// The columns of a [`GuardRow`] but those that tell the lists of entries apart.
const GUARD_COLUMNS: &str = "SELECT p.id AS protection_id, p.project_id AS container_project_id, \
     p.group_id AS container_group_id, p.name AS protection_name, p.required_approval_count, p.created_at, \
     p.updated_at, p.version, e.id AS id, e.user_id, e.group_id, e.access_level, e.group_inheritance, \
     u.name AS user_name, u.username, g.name AS group_name, g.path AS group_path, \
     g.full_path AS group_full_path, ";

/// Who an entry is about.
const NAMED: &str = " e ON e.protection_id = p.id LEFT JOIN users u ON u.id = e.user_id \
     LEFT JOIN groups g ON g.id = e.group_id";

/// The two lists of entries.
#[derive(Debug, Clone, Copy)]
enum Entries {
    DeployAccessLevels,
    ApprovalRules,
}

impl Entries {
    /// What tells the lists apart, and the table. A protection without entries is there once, by the first.
    fn from(self) -> &'static str {
        match self {
            Self::DeployAccessLevels => {
                "CAST(0 AS BIGINT) AS is_rule, CAST(0 AS BIGINT) AS required_approvals \
                 FROM p LEFT JOIN deploy_access_levels"
            }
            Self::ApprovalRules => "1, e.required_approvals FROM p JOIN approval_rules",
        }
    }

    fn delete(self) -> &'static str {
        match self {
            Self::DeployAccessLevels => "DELETE FROM deploy_access_levels WHERE protection_id = $1",
            Self::ApprovalRules => "DELETE FROM approval_rules WHERE protection_id = $1",
        }
    }
}

fn of<DB: Db>(stmt: Stmt<DB>, container: Container) -> Stmt<DB> {
    let stmt = stmt.push(" FROM protected_environments p");
    match container {
        Container::Project(id) => stmt.push_bind(" WHERE p.project_id = ", id.0),
        Container::Group(id) => stmt.push_bind(" WHERE p.group_id = ", id.0),
    }
}

/// Reads protections with their entries, in one statement; by id.
async fn load<DB: Db>(connection: &mut DB::Connection, stmt: Stmt<DB>) -> Result<Vec<ProtectedEnvironment>> {
    let stmt = stmt
        .push(") ")
        .push(GUARD_COLUMNS)
        .push(Entries::DeployAccessLevels.from())
        .push(NAMED)
        .push(" UNION ALL ")
        .push(GUARD_COLUMNS)
        .push(Entries::ApprovalRules.from())
        .push(NAMED)
        .push(" ORDER BY id");
    let mut found: BTreeMap<i64, ProtectedEnvironment> = BTreeMap::new();
    for row in stmt.all::<GuardRow>(connection).await.map_err(failed::<DB>)? {
        let protection = match found.entry(row.protection.id) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => place.insert(row.protection.try_into()?),
        };
        match row.entry {
            Some(entry) if entry.is_rule == 1 => {
                protection.approval_rules.push(ApprovalRule::try_from(entry)?);
            }
            Some(entry) => {
                let level = DeployAccessLevel::try_from(entry)?;
                protection.deploy_access_levels.push(level);
            }
            None => {}
        }
    }
    Ok(found.into_values().collect())
}

/// The protection of that name.
pub async fn find_by_name<DB: Db>(
    connection: &mut DB::Connection,
    container: Container,
    name: &str,
) -> Result<Option<ProtectedEnvironment>> {
    let stmt = of(sql::<DB>(COLUMNS), container).push_bind(" AND p.name = ", name.to_owned());
    Ok(load::<DB>(connection, stmt).await?.pop())
}

/// A page of a container's protections, by name.
pub async fn page<DB: Db>(
    connection: &mut DB::Connection,
    container: Container,
    request: &PageRequest<String>,
) -> Result<Page<ProtectedEnvironment, String>> {
    let mut stmt = of(sql::<DB>(COLUMNS), container);
    if let Some(after) = &request.after {
        stmt = stmt.push_bind(" AND p.name > ", after.clone());
    }
    let stmt = stmt
        .push_bind(" ORDER BY p.name LIMIT ", request.size + 1)
        .push_bind(" OFFSET ", request.skip);
    let mut items = load::<DB>(&mut *connection, stmt).await?;
    items.sort_by(|a, b| a.name.cmp(&b.name));
    let total = if request.want_total {
        Some(count::<DB>(connection, |stmt| of(stmt, container)).await?)
    } else {
        None
    };
    Ok(Page::cut(items, request.size, total, |protection| {
        protection.name.clone()
    }))
}

/// The protections that apply to an environment of this name and tier: the project's by name, those of every group above
/// it by tier.
pub async fn applying<DB: Db>(
    connection: &mut DB::Connection,
    project: &Project,
    name: &str,
    tier: EnvironmentTier,
) -> Result<Vec<ProtectedEnvironment>> {
    let stmt = sql::<DB>(COLUMNS)
        .push_bind(
            " FROM protected_environments p WHERE (p.project_id = ",
            project.id.0,
        )
        .push_bind(" AND p.name = ", name.to_owned())
        .push_bind(
            ") OR (p.group_id IN (SELECT a.ancestor_id FROM group_ancestors a WHERE a.group_id = ",
            project.group.id.0,
        )
        .push_bind(") AND p.name = ", tier.as_str().to_owned())
        .push(")");
    load::<DB>(connection, stmt).await
}

/// Adds a column that tells whether any protection applies to the environment `e`.
pub fn any_applying<DB: Db>(stmt: Stmt<DB>, project: &Project) -> Stmt<DB> {
    // By `CASE`: engines differ in what a condition is as a column.
    stmt.push(
        ", CAST(CASE WHEN EXISTS (SELECT 1 FROM protected_environments p WHERE (p.project_id = e.project_id \
         AND p.name = e.name) OR (p.group_id IN (SELECT a.ancestor_id FROM group_ancestors a WHERE a.group_id = ",
    )
    .push_bind("", project.group.id.0)
    .push(") AND p.name = e.tier)) THEN 1 ELSE 0 END AS BIGINT) AS guarded")
}

/// The protections that apply to an environment that is there.
pub async fn applying_to<DB: Db>(
    connection: &mut DB::Connection,
    project: &Project,
    environment: EnvironmentId,
) -> Result<Vec<ProtectedEnvironment>> {
    let stmt = sql::<DB>(COLUMNS)
        .push_bind(
            " FROM environments e JOIN protected_environments p ON (p.project_id = e.project_id AND p.name = e.name) \
             OR (p.group_id IN (SELECT a.ancestor_id FROM group_ancestors a WHERE a.group_id = ",
            project.group.id.0,
        )
        .push_bind(") AND p.name = e.tier) WHERE e.id = ", environment.0);
    load::<DB>(connection, stmt).await
}

/// Every protection that applies to anything in a project.
pub async fn above<DB: Db>(
    connection: &mut DB::Connection,
    project: &Project,
) -> Result<Vec<ProtectedEnvironment>> {
    let stmt = sql::<DB>(COLUMNS)
        .push_bind(
            " FROM protected_environments p WHERE p.project_id = ",
            project.id.0,
        )
        .push_bind(
            " OR p.group_id IN (SELECT a.ancestor_id FROM group_ancestors a WHERE a.group_id = ",
            project.group.id.0,
        )
        .push(")");
    load::<DB>(connection, stmt).await
}

/// Whom an entry names that is about to be deleted.
#[derive(Debug, Clone, Copy)]
pub enum Named {
    /// A user.
    User(UserId),
    /// A group.
    Group(GroupId),
}

/// The protections with an entry about a user or group.
pub async fn naming<DB: Db>(connection: &mut DB::Connection, named: Named) -> Result<Vec<ProtectionId>> {
    let (levels, rules, id) = match named {
        Named::User(UserId(id)) => (
            "SELECT protection_id FROM deploy_access_levels WHERE user_id = $1",
            " UNION SELECT protection_id FROM approval_rules WHERE user_id = $1",
            id,
        ),
        Named::Group(GroupId(id)) => (
            "SELECT protection_id FROM deploy_access_levels WHERE group_id = $1",
            " UNION SELECT protection_id FROM approval_rules WHERE group_id = $1",
            id,
        ),
    };
    let rows = sql::<DB>(levels)
        .push(rules)
        .bind(id)
        .all::<(i64,)>(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(rows.into_iter().map(|(id,)| ProtectionId(id)).collect())
}

/// Notes that entries of these protections went with whom they named, and returns what is left of them.
pub async fn shrunk<DB: Db>(
    connection: &mut DB::Connection,
    ids: &[ProtectionId],
    now: Time,
) -> Result<Vec<ProtectedEnvironment>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    sql::<DB>("UPDATE protected_environments SET version = version + 1, updated_at = $1 WHERE id")
        .bind(millis(now))
        .push_in(ids.iter().map(|id| id.0))
        .run(&mut *connection)
        .await
        .map_err(failed::<DB>)?;
    let stmt = sql::<DB>(COLUMNS)
        .push(" FROM protected_environments p WHERE p.id")
        .push_in(ids.iter().map(|id| id.0));
    load::<DB>(connection, stmt).await
}

/// Adds a protection with its entries.
pub async fn insert<DB: Db>(
    connection: &mut DB::Connection,
    container: Container,
    draft: &ProtectionDraft,
    now: Time,
) -> Result<ProtectedEnvironment> {
    let (project, group) = match container {
        Container::Project(ProjectId(id)) => (Some(id), None),
        Container::Group(GroupId(id)) => (None, Some(id)),
    };
    let (id,) = sql::<DB>(
        "INSERT INTO protected_environments (project_id, group_id, name, required_approval_count, created_at, \
         updated_at, version) VALUES ($1, $2, $3, $4, $5, $6, 1) RETURNING id",
    )
    .bind(project)
    .bind(group)
    .bind(draft.name.clone())
    .bind(draft.required_approval_count)
    .bind(millis(now))
    .bind(millis(now))
    .one::<(i64,)>(&mut *connection)
    .await
    .map_err(failed::<DB>)?;
    write_entries::<DB>(&mut *connection, id, draft).await?;
    read_back::<DB>(connection, id).await
}

/// Writes a protection's fields and entries: those of the draft that have an id, those that have none anew, no others.
pub async fn update<DB: Db>(
    connection: &mut DB::Connection,
    id: ProtectionId,
    draft: &ProtectionDraft,
    now: Time,
) -> Result<ProtectedEnvironment> {
    sql::<DB>(
        "UPDATE protected_environments SET required_approval_count = $2, updated_at = $3, version = version + 1 \
         WHERE id = $1",
    )
    .bind(id.0)
    .bind(draft.required_approval_count)
    .bind(millis(now))
    .run(&mut *connection)
    .await
    .map_err(failed::<DB>)?;
    write_entries::<DB>(&mut *connection, id.0, draft).await?;
    read_back::<DB>(connection, id.0).await
}

/// For the ids of new entries and the names of whom they are about.
async fn read_back<DB: Db>(connection: &mut DB::Connection, id: i64) -> Result<ProtectedEnvironment> {
    let stmt = sql::<DB>(COLUMNS).push_bind(" FROM protected_environments p WHERE p.id = ", id);
    load::<DB>(connection, stmt)
        .await?
        .pop()
        .ok_or(StoreError::Inconsistent {
            table: "protected_environments",
            column: "id",
            id,
        })
}

async fn write_entries<DB: Db>(
    connection: &mut DB::Connection,
    protection: i64,
    draft: &ProtectionDraft,
) -> Result<()> {
    let lists = [
        (Entries::DeployAccessLevels, &draft.deploy_access_levels),
        (Entries::ApprovalRules, &draft.approval_rules),
    ];
    for (list, entries) in lists {
        let kept = entries.iter().filter_map(|entry| entry.id);
        // Not by `NOT IN`: against a list with a NULL, as lists of ids have it, nothing is ever not in.
        let others = sql::<DB>(list.delete()).bind(protection);
        kept.fold(others, |stmt, id| stmt.push_bind(" AND id <> ", id))
            .run(&mut *connection)
            .await
            .map_err(failed::<DB>)?;
        for entry in entries {
            write_entry::<DB>(list, protection, entry)
                .run(&mut *connection)
                .await
                .map_err(failed::<DB>)?;
        }
    }
    Ok(())
}

fn write_entry<DB: Db>(list: Entries, protection: i64, entry: &EntryDraft) -> Stmt<DB> {
    let text = match (list, entry.id) {
        (Entries::DeployAccessLevels, None) => {
            "INSERT INTO deploy_access_levels (user_id, group_id, access_level, group_inheritance, protection_id) \
             VALUES ($1, $2, $3, $4, $5)"
        }
        (Entries::DeployAccessLevels, Some(_)) => {
            "UPDATE deploy_access_levels SET user_id = $1, group_id = $2, access_level = $3, group_inheritance = $4 \
             WHERE protection_id = $5 AND id = $6"
        }
        (Entries::ApprovalRules, None) => {
            "INSERT INTO approval_rules (user_id, group_id, access_level, group_inheritance, protection_id, \
             required_approvals) VALUES ($1, $2, $3, $4, $5, $6)"
        }
        (Entries::ApprovalRules, Some(_)) => {
            "UPDATE approval_rules SET user_id = $1, group_id = $2, access_level = $3, group_inheritance = $4, \
             required_approvals = $6 WHERE protection_id = $5 AND id = $7"
        }
    };
    let (user, group, role) = match entry.subject {
        Subject::User(id) => (Some(id.0), None, None),
        Subject::Group(id) => (None, Some(id.0), None),
        Subject::Role(role) => (None, None, Some(role.number())),
    };
    let stmt = sql::<DB>(text)
        .bind(user)
        .bind(group)
        .bind(role)
        .bind(entry.inheritance.as_str().to_owned())
        .bind(protection);
    let stmt = match list {
        Entries::DeployAccessLevels => stmt,
        Entries::ApprovalRules => stmt.bind(entry.required_approvals),
    };
    match entry.id {
        None => stmt,
        Some(id) => stmt.bind(id),
    }
}

/// Deletes a protection and, by the foreign keys, its entries.
pub async fn delete<DB: Db>(connection: &mut DB::Connection, id: ProtectionId) -> Result<()> {
    sql::<DB>("DELETE FROM protected_environments WHERE id = $1")
        .bind(id.0)
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}

/// Which of these groups may be named in a container's entries: in a project those that it is shared with; in a group
/// the group itself, those below it, and those that it is shared with.
pub async fn nameable_groups<DB: Db>(
    connection: &mut DB::Connection,
    container: Container,
    groups: &[GroupId],
) -> Result<Vec<GroupId>> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let ids = || groups.iter().map(|group| group.0);
    let stmt = match container {
        Container::Project(id) => sql::<DB>("SELECT group_id FROM group_shares")
            .push_bind(" WHERE shared_project_id = ", id.0)
            .push(" AND group_id")
            .push_in(ids()),
        Container::Group(id) => sql::<DB>("SELECT group_id FROM group_shares")
            .push_bind(" WHERE shared_group_id = ", id.0)
            .push(" AND group_id")
            .push_in(ids())
            .push_bind(
                " UNION SELECT group_id FROM group_ancestors WHERE ancestor_id = ",
                id.0,
            )
            .push(" AND group_id")
            .push_in(ids()),
    };
    let rows = stmt.all::<(i64,)>(connection).await.map_err(failed::<DB>)?;
    Ok(rows.into_iter().map(|(id,)| GroupId(id)).collect())
}
