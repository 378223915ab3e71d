//! People as the gate sees them: read for any number of them at once, in a fixed number of statements.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Db, failed, list,
    row::{GroupLevelRow, LevelRow, UserRow},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        access::AccessLevel,
        directory::{Container, Project, Standing, User},
        id::{GroupId, ProjectId, UserId},
        person::{GroupStanding, Person},
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
    let stmt = sql::<DB>(super::user::COLUMNS)
        .push(" FROM users WHERE id")
        .push_in(ids.iter().map(|id| id.0))
        .push(" ORDER BY id");
    let users = list::<DB, UserRow, User>(&mut *connection, stmt).await?;
    let mut people: BTreeMap<UserId, Person> = users
        .into_iter()
        .map(|user| (user.id, Person::of(user, Standing::default())))
        .collect();
    if let Some(project) = project {
        by_project::<DB>(&mut *connection, project.id, ids, &mut people).await?;
    }
    // What somebody is to the project's group holds in the project.
    let mut asked = groups.clone();
    asked.extend(project.map(|project| project.group.id));
    if !asked.is_empty() {
        by_group::<DB>(&mut *connection, &asked, ids, &mut people).await?;
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

fn level(number: i64) -> Result<AccessLevel> {
    AccessLevel::from_number(number).ok_or(StoreError::Inconsistent {
        table: "memberships",
        column: "access_level",
        id: number,
    })
}

/// Direct membership in the project, and shares of the project itself.
async fn by_project<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    ids: &BTreeSet<UserId>,
    people: &mut BTreeMap<UserId, Person>,
) -> Result<()> {
    let direct = sql::<DB>("SELECT m.user_id, m.access_level FROM memberships m")
        .push_bind(" WHERE m.project_id = ", project.0)
        .push(" AND m.user_id")
        .push_in(ids.iter().map(|id| id.0));
    for row in direct
        .all::<LevelRow>(&mut *connection)
        .await
        .map_err(failed::<DB>)?
    {
        if let Some(person) = people.get_mut(&UserId(row.user_id)) {
            person.standing.project = Some(level(row.access_level)?);
        }
    }
    let shared = sql::<DB>(
        "SELECT m.user_id, MAX(CASE WHEN m.access_level < s.access_level THEN m.access_level ELSE s.access_level \
         END) AS access_level FROM group_shares s JOIN group_ancestors a ON a.group_id = s.group_id \
         JOIN memberships m ON m.group_id = a.ancestor_id",
    )
    .push_bind(" WHERE s.shared_project_id = ", project.0)
    .push(" AND m.user_id")
    .push_in(ids.iter().map(|id| id.0))
    .push(" GROUP BY m.user_id");
    for row in shared.all::<LevelRow>(connection).await.map_err(failed::<DB>)? {
        if let Some(person) = people.get_mut(&UserId(row.user_id)) {
            person.standing.shared = Some(level(row.access_level)?);
        }
    }
    Ok(())
}

/// Membership in groups and above them, and shares of them and of those above them.
async fn by_group<DB: Db>(
    connection: &mut DB::Connection,
    groups: &BTreeSet<GroupId>,
    ids: &BTreeSet<UserId>,
    people: &mut BTreeMap<UserId, Person>,
) -> Result<()> {
    let within = |stmt: Stmt<DB>, column: &'static str| {
        stmt.push(column)
            .push_in(groups.iter().map(|group| group.0))
            .push(" AND m.user_id")
            .push_in(ids.iter().map(|id| id.0))
    };
    let members = sql::<DB>(
        "SELECT m.user_id, a.group_id, CAST(CASE WHEN m.group_id = a.group_id THEN 1 ELSE 0 END AS BIGINT) AS direct, \
         MAX(m.access_level) AS access_level FROM memberships m JOIN group_ancestors a ON a.ancestor_id = m.group_id \
         WHERE ",
    );
    let members =
        within(members, "a.group_id").push(" GROUP BY m.user_id, a.group_id, m.group_id = a.group_id");
    for row in members
        .all::<GroupLevelRow>(&mut *connection)
        .await
        .map_err(failed::<DB>)?
    {
        let standing = standing_of(people, &row);
        if let Some(standing) = standing {
            let level = Some(level(row.access_level)?);
            if row.direct == 1 {
                standing.direct = level;
            } else {
                standing.above = level;
            }
        }
    }
    let shared = sql::<DB>(
        "SELECT m.user_id, b.group_id, CAST(0 AS BIGINT) AS direct, MAX(CASE WHEN m.access_level < s.access_level \
         THEN m.access_level ELSE s.access_level END) AS access_level FROM group_shares s \
         JOIN group_ancestors b ON b.ancestor_id = s.shared_group_id \
         JOIN group_ancestors a ON a.group_id = s.group_id JOIN memberships m ON m.group_id = a.ancestor_id WHERE ",
    );
    let shared = within(shared, "b.group_id").push(" GROUP BY m.user_id, b.group_id");
    for row in shared
        .all::<GroupLevelRow>(connection)
        .await
        .map_err(failed::<DB>)?
    {
        if let Some(standing) = standing_of(people, &row) {
            standing.shared = Some(level(row.access_level)?);
        }
    }
    Ok(())
}

fn standing_of<'a>(
    people: &'a mut BTreeMap<UserId, Person>,
    row: &GroupLevelRow,
) -> Option<&'a mut GroupStanding> {
    let person = people.get_mut(&UserId(row.user_id))?;
    Some(person.groups.entry(GroupId(row.group_id)).or_default())
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
