//! People as the gate sees them: read for any number of them at once, in a fixed number of statements.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use super::{
    Db, failed,
    row::{PersonRow, WayRow},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        access::AccessLevel,
        directory::{Container, Project, Standing},
        id::{GroupId, ProjectId, UserId},
        person::Person,
        protection::{Audience, ProtectedEnvironment, Subject},
    },
    store::{Result, StoreError},
};

/// The groups that a person's standing is asked in.
pub fn groups_in_question(protections: &[ProtectedEnvironment]) -> BTreeSet<GroupId> {
    let named = |audience: &Audience| match audience.subject {
        Subject::Group(id) => Some(id),
        _ => None,
    };
    let mut groups = BTreeSet::new();
    for protection in protections {
        if let Container::Group(id) = protection.container {
            groups.insert(id);
        }
        groups.extend(
            protection
                .deploy_access_levels
                .iter()
                .filter_map(|level| named(&level.audience)),
        );
        groups.extend(
            protection
                .approval_rules
                .iter()
                .filter_map(|rule| named(&rule.audience)),
        );
    }
    groups
}

/// The people with these ids, with what they are to the project (if there is one) and to the groups.
pub async fn load<DB: Db>(
    connection: &mut DB::Connection,
    project: Option<&Project>,
    groups: &BTreeSet<GroupId>,
    ids: &BTreeSet<UserId>,
) -> Result<BTreeMap<UserId, Person>> {
    // What somebody is to the project's group holds in the project.
    let mut asked = groups.clone();
    asked.extend(project.map(|project| project.group.id));
    let of_project = project.map(|project| project.id);
    let stmt =
        sql::<DB>(super::user::COLUMNS).push(", w.group_id, w.way, w.access_level FROM users u LEFT JOIN (");
    let stmt = ways(stmt, of_project, &asked, ids)
        .push(") w ON w.user_id = u.id WHERE u.id")
        .push_in(ids.iter().map(|id| id.0));
    let mut people: BTreeMap<UserId, Person> = BTreeMap::new();
    for row in stmt.all::<PersonRow>(connection).await.map_err(failed::<DB>)? {
        let person = match people.entry(UserId(row.user.id)) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => place.insert(Person::of(row.user.try_into()?, Standing::default())),
        };
        if let Some(way) = row.way {
            stand(person, &way)?;
        }
    }
    if let Some(project) = project {
        for person in people.values_mut() {
            let standing = person.in_group(project.group.id);
            person.standing.group = standing.member();
            person.standing.shared = person.standing.shared.max(standing.shared);
            if !groups.contains(&project.group.id) {
                person.groups.remove(&project.group.id);
            }
        }
    }
    Ok(people)
}

/// By which way somebody is something to a project or a group, as the statement below numbers them.
const IN_PROJECT: i64 = 1;
const BY_PROJECT_SHARE: i64 = 2;
const IN_GROUP: i64 = 3;
const ABOVE_GROUP: i64 = 4;
const BY_GROUP_SHARE: i64 = 5;

/// What people are to groups: as members and above them, by shares of them and of those above; and to a project, as members
/// and by shares of it.
fn ways<DB: Db>(
    stmt: Stmt<DB>,
    project: Option<ProjectId>,
    groups: &BTreeSet<GroupId>,
    ids: &BTreeSet<UserId>,
) -> Stmt<DB> {
    let by_them = |stmt: Stmt<DB>| stmt.push(" AND m.user_id").push_in(ids.iter().map(|id| id.0));
    let within = |stmt: Stmt<DB>, column: &'static str| {
        by_them(stmt.push(column).push_in(groups.iter().map(|group| group.0)))
    };
    let stmt = stmt.push(
        "SELECT m.user_id, a.group_id, CASE WHEN m.group_id = a.group_id THEN CAST(3 AS BIGINT) ELSE 4 END AS way, \
         MAX(m.access_level) AS access_level FROM memberships m JOIN group_ancestors a ON a.ancestor_id = m.group_id \
         WHERE ",
    );
    let stmt = within(stmt, "a.group_id").push(
        " GROUP BY m.user_id, a.group_id, m.group_id = a.group_id UNION ALL \
         SELECT m.user_id, b.group_id, 5, MAX(CASE WHEN m.access_level < s.access_level \
         THEN m.access_level ELSE s.access_level END) FROM group_shares s \
         JOIN group_ancestors b ON b.ancestor_id = s.shared_group_id \
         JOIN group_ancestors a ON a.group_id = s.group_id JOIN memberships m ON m.group_id = a.ancestor_id WHERE ",
    );
    let mut stmt = within(stmt, "b.group_id").push(" GROUP BY m.user_id, b.group_id");
    if let Some(project) = project {
        stmt = by_them(stmt.push_bind(
            " UNION ALL SELECT m.user_id, 0, 1, m.access_level FROM memberships m WHERE m.project_id = ",
            project.0,
        ));
        stmt = by_them(stmt.push_bind(
            " UNION ALL SELECT m.user_id, 0, 2, MAX(CASE WHEN m.access_level < s.access_level THEN m.access_level \
             ELSE s.access_level END) FROM group_shares s JOIN group_ancestors a ON a.group_id = s.group_id \
             JOIN memberships m ON m.group_id = a.ancestor_id WHERE s.shared_project_id = ",
            project.0,
        ))
        .push(" GROUP BY m.user_id");
    }
    stmt
}

/// Notes what somebody is to something.
fn stand(person: &mut Person, row: &WayRow) -> Result<()> {
    let level = Some(
        AccessLevel::from_number(row.access_level).ok_or(StoreError::Inconsistent {
            table: "memberships",
            column: "access_level",
            id: row.access_level,
        })?,
    );
    let group = GroupId(row.group_id);
    match row.way {
        IN_PROJECT => person.standing.project = level,
        BY_PROJECT_SHARE => person.standing.shared = level,
        IN_GROUP => person.groups.entry(group).or_default().direct = level,
        ABOVE_GROUP => person.groups.entry(group).or_default().above = level,
        BY_GROUP_SHARE => person.groups.entry(group).or_default().shared = level,
        _ => {
            return Err(StoreError::Inconsistent {
                table: "memberships",
                column: "way",
                id: row.way,
            });
        }
    }
    Ok(())
}

/// Up to `limit` of the people, beyond `after`, who could belong to what these protections name, by id.
pub async fn page<DB: Db>(
    connection: &mut DB::Connection,
    project: Option<&Project>,
    protections: &[ProtectedEnvironment],
    after: UserId,
    limit: i64,
) -> Result<Vec<Person>> {
    let ids = candidates::<DB>(&mut *connection, project, protections, after, limit).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let groups = groups_in_question(protections);
    Ok(load::<DB>(connection, project, &groups, &ids)
        .await?
        .into_values()
        .collect())
}

/// The ids, beyond `after`, of people who could belong to what these protections name: not all of them do, but nobody
/// else does. They are the administrators, the named users, and the members of every project and group in question.
async fn candidates<DB: Db>(
    connection: &mut DB::Connection,
    project: Option<&Project>,
    protections: &[ProtectedEnvironment],
    after: UserId,
    limit: i64,
) -> Result<BTreeSet<UserId>> {
    let mut groups = groups_in_question(protections);
    groups.extend(project.map(|project| project.group.id));
    let group_ids = || groups.iter().map(|group| group.0);
    let named = protections.iter().flat_map(|protection| {
        let levels = protection
            .deploy_access_levels
            .iter()
            .map(|level| &level.audience);
        let rules = protection.approval_rules.iter().map(|rule| &rule.audience);
        levels.chain(rules)
    });
    let named = named.filter_map(|audience| match audience.subject {
        Subject::User(id) => Some(id.0),
        _ => None,
    });
    let project = project.map_or(0, |project| project.id.0);
    let stmt = sql::<DB>("SELECT id FROM users u WHERE")
        .push_bind(" u.id > ", after.0)
        .push(" AND u.state = 'active' AND (u.admin OR u.id")
        .push_in(named)
        .push_bind(" OR u.id IN (SELECT m.user_id FROM memberships m WHERE m.project_id = ", project)
        .push(
            ") OR u.id IN (SELECT m.user_id FROM memberships m JOIN group_ancestors a ON a.ancestor_id = m.group_id \
             WHERE a.group_id",
        )
        .push_in(group_ids())
        .push_bind(
            ") OR u.id IN (SELECT m.user_id FROM group_shares s JOIN group_ancestors a ON a.group_id = s.group_id \
             JOIN memberships m ON m.group_id = a.ancestor_id WHERE s.shared_project_id = ",
            project,
        )
        .push(" OR s.shared_group_id IN (SELECT b.ancestor_id FROM group_ancestors b WHERE b.group_id")
        .push_in(group_ids())
        .push_bind("))) ORDER BY u.id LIMIT ", limit);
    let rows = stmt.all::<(i64,)>(connection).await.map_err(failed::<DB>)?;
    Ok(rows.into_iter().map(|(id,)| UserId(id)).collect())
}
