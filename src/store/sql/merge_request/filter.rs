//! Which merge requests a list holds, in which order, and where a page of it begins: a typed query as SQL.
//!
//! Whether there is something of a kind is asked by counting it, not by `EXISTS`: SQLite 3.51 makes a join of an `EXISTS`
//! and then counts a row that several things match several times towards an `OFFSET`.

use std::collections::BTreeSet;

use crate::{
    domain::{
        id::{DeploymentId, ProjectId, UserId, UserKey},
        merge_request::query::{
            LabelMatch, MergeRequestExclusion, MergeRequestFilter, MergeRequestOrder, MergeRequestPosition,
            MergeRequestQuery, MergeRequestScope, NameMatch, Search, SortKey, UserMatch,
        },
        page::Direction,
    },
    store::sql::{
        Db,
        row::{NOT_FINISHED, millis},
        seam::Stmt,
    },
};

/// What stands before a character that would else be a sign in a pattern.
const ESCAPE: char = '\\';

/// From `FROM` to conditions that more can be added to: the merge requests `m` of a project that match; where a
/// deployment is named, of those that it shipped.
pub fn matching<DB: Db>(
    stmt: Stmt<DB>,
    project: ProjectId,
    shipped_by: Option<DeploymentId>,
    query: &MergeRequestQuery,
) -> Stmt<DB> {
    let filter = &query.filter;
    let stmt = match shipped_by {
        None => stmt.push(" FROM merge_requests m WHERE 1 = 1"),
        Some(id) => stmt
            .push_bind(
                " FROM deployment_merge_requests s CROSS JOIN merge_requests m WHERE s.deployment_id = ",
                id.0,
            )
            .push(" AND m.id = s.merge_request_id"),
    };
    let stmt = stmt.push_bind(" AND m.project_id = ", project.0);
    let stmt = own(stmt, filter);
    let stmt = times(stmt, filter);
    let stmt = people(stmt, query);
    let stmt = names(stmt, query);
    let stmt = match &filter.search {
        Some(search) => searched(stmt, search),
        None => stmt,
    };
    excluded(shipped(stmt, filter, shipped_by), query.viewer, &filter.exclude)
}

/// Conditions on the fields of the merge request itself.
fn own<DB: Db>(stmt: Stmt<DB>, filter: &MergeRequestFilter) -> Stmt<DB> {
    let mut stmt = stmt;
    if let Some(state) = filter.state {
        stmt = stmt.push_bind(" AND m.state = ", state.as_str().to_owned());
    }
    if !filter.iids.is_empty() {
        stmt = stmt
            .push(" AND m.iid")
            .push_in(filter.iids.iter().map(|iid| iid.0));
    }
    if let Some(branch) = &filter.source_branch {
        stmt = stmt.push_bind(" AND m.source_branch = ", branch.clone());
    }
    if let Some(branch) = &filter.target_branch {
        stmt = stmt.push_bind(" AND m.target_branch = ", branch.clone());
    }
    if let Some(project) = filter.source_project_id {
        stmt = stmt.push_bind(" AND m.source_project_id = ", project.0);
    }
    if let Some(draft) = filter.draft {
        stmt = stmt.push_bind(" AND m.draft = ", draft);
    }
    stmt
}

/// Ranges of times, both ends within.
fn times<DB: Db>(stmt: Stmt<DB>, filter: &MergeRequestFilter) -> Stmt<DB> {
    [
        (" AND m.created_at >= ", filter.created_after),
        (" AND m.created_at <= ", filter.created_before),
        (" AND m.updated_at >= ", filter.updated_after),
        (" AND m.updated_at <= ", filter.updated_before),
        (" AND m.merged_at >= ", filter.merged_after),
        (" AND m.merged_at <= ", filter.merged_before),
    ]
    .into_iter()
    .fold(stmt, |stmt, (text, time)| match time {
        Some(time) => stmt.push_bind(text, millis(time)),
        None => stmt,
    })
}

/// The id of a user who is there, as a subquery.
fn user<DB: Db>(stmt: Stmt<DB>, key: &UserKey) -> Stmt<DB> {
    let stmt = stmt.push("(SELECT u.id FROM users u WHERE");
    match key {
        UserKey::Id(id) => stmt.push_bind(" u.id = ", id.0),
        UserKey::Name(name) => stmt.push_bind(" u.username_key = ", name.to_lowercase()),
    }
    .push(")")
}

/// Begins a condition on the assignees or reviewers who are there.
fn role<DB: Db>(stmt: Stmt<DB>, start: &'static str, role: &str) -> Stmt<DB> {
    stmt.push(start).push_bind(
        "(SELECT COUNT(*) FROM merge_request_people r JOIN users v ON v.id = r.user_id \
         WHERE r.merge_request_id = m.id AND r.role = ",
        role.to_owned(),
    )
}

/// Conditions on who has to do with it.
fn people<DB: Db>(stmt: Stmt<DB>, query: &MergeRequestQuery) -> Stmt<DB> {
    let filter = &query.filter;
    let mut stmt = stmt;
    if let Some(author) = &filter.author {
        stmt = user(stmt.push(" AND m.author_id IN "), author);
    }
    if let Some(merged_by) = &filter.merged_by {
        stmt = user(stmt.push(" AND m.merged_by_id IN "), merged_by);
    }
    for (name, wanted) in [("assignee", &filter.assignee), ("reviewer", &filter.reviewer)] {
        stmt = match wanted {
            None => stmt,
            Some(UserMatch::Any) => role(stmt, " AND 0 < ", name).push(")"),
            Some(UserMatch::None) => role(stmt, " AND 0 = ", name).push(")"),
            Some(UserMatch::User(key)) => {
                user(role(stmt, " AND 0 < ", name).push(" AND r.user_id IN "), key).push(")")
            }
        };
    }
    let viewer = query.viewer.0;
    match filter.scope {
        MergeRequestScope::All => stmt,
        MergeRequestScope::CreatedByMe => stmt.push_bind(" AND m.author_id = ", viewer),
        MergeRequestScope::AssignedToMe => role(stmt, " AND 0 < ", "assignee")
            .push_bind(" AND r.user_id = ", viewer)
            .push(")"),
        MergeRequestScope::ReviewsForMe => role(stmt, " AND 0 < ", "reviewer")
            .push_bind(" AND r.user_id = ", viewer)
            .push(")"),
    }
}

/// Begins a condition on the viewer's reactions.
fn reaction<DB: Db>(stmt: Stmt<DB>, start: &'static str, viewer: UserId) -> Stmt<DB> {
    stmt.push(start).push_bind(
        "(SELECT COUNT(*) FROM merge_request_reactions r WHERE r.merge_request_id = m.id AND r.user_id = ",
        viewer.0,
    )
}

/// Conditions on labels, milestone and reactions.
fn names<DB: Db>(stmt: Stmt<DB>, query: &MergeRequestQuery) -> Stmt<DB> {
    const LABEL: &str = "(SELECT COUNT(*) FROM merge_request_labels l WHERE l.merge_request_id = m.id)";
    let filter = &query.filter;
    let stmt = match &filter.labels {
        None => stmt,
        Some(LabelMatch::Any) => stmt.push(" AND 0 < ").push(LABEL),
        Some(LabelMatch::None) => stmt.push(" AND 0 = ").push(LABEL),
        Some(LabelMatch::All(names)) => {
            let names: BTreeSet<&String> = names.iter().collect();
            let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
            stmt.push(
                " AND (SELECT COUNT(*) FROM merge_request_labels l WHERE l.merge_request_id = m.id AND l.name",
            )
            .push_in_texts(names.into_iter().cloned())
            .push_bind(") = ", count)
        }
    };
    let stmt = match &filter.milestone {
        None => stmt,
        Some(NameMatch::Any) => stmt.push(" AND m.milestone_title IS NOT NULL"),
        Some(NameMatch::None) => stmt.push(" AND m.milestone_title IS NULL"),
        Some(NameMatch::Name(title)) => stmt.push_bind(" AND m.milestone_title = ", title.clone()),
    };
    match &filter.my_reaction_emoji {
        None => stmt,
        Some(NameMatch::Any) => reaction(stmt, " AND 0 < ", query.viewer).push(")"),
        Some(NameMatch::None) => reaction(stmt, " AND 0 = ", query.viewer).push(")"),
        Some(NameMatch::Name(name)) => reaction(stmt, " AND 0 < ", query.viewer)
            .push_bind(" AND r.name = ", name.clone())
            .push(")"),
    }
}

/// A pattern that finds a text wherever it stands.
fn pattern(word: &str) -> String {
    let mut pattern = String::from("%");
    for c in word.chars() {
        if matches!(c, '%' | '_' | ESCAPE) {
            pattern.push(ESCAPE);
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// Every word has to occur in one of the fields that are searched.
fn searched<DB: Db>(stmt: Stmt<DB>, search: &Search) -> Stmt<DB> {
    search.words.iter().fold(stmt, |stmt, word| {
        let stmt = match (search.title, search.description) {
            (true, true) => stmt
                .push_bind(" AND (m.title_key LIKE ", pattern(word))
                .push_bind(r" ESCAPE '\' OR m.description_key LIKE ", pattern(word)),
            (_, false) => stmt.push_bind(" AND (m.title_key LIKE ", pattern(word)),
            (false, true) => stmt.push_bind(" AND (m.description_key LIKE ", pattern(word)),
        };
        stmt.push(r" ESCAPE '\')")
    })
}

/// One and the same deployment shipped it, to that environment, and finished within that range, ends not included.
fn shipped<DB: Db>(
    stmt: Stmt<DB>,
    filter: &MergeRequestFilter,
    shipped_by: Option<DeploymentId>,
) -> Stmt<DB> {
    let times = [
        (" AND d.finished_at > ", filter.deployed_after),
        (" AND d.finished_at < ", filter.deployed_before),
    ];
    if filter.environment.is_none() && times.iter().all(|(_, time)| time.is_none()) {
        return stmt;
    }
    let mut stmt = stmt.push_bind(
        " AND 0 < (SELECT COUNT(*) FROM deployment_merge_requests k JOIN deployments d ON d.id = k.deployment_id \
         JOIN environments e ON e.id = d.environment_id WHERE k.merge_request_id = m.id AND d.finished_at < ",
        NOT_FINISHED,
    );
    if let Some(deployment) = shipped_by {
        stmt = stmt.push_bind(" AND k.deployment_id = ", deployment.0);
    }
    if let Some(name) = &filter.environment {
        stmt = stmt.push_bind(" AND e.name = ", name.clone());
    }
    for (text, time) in times {
        if let Some(time) = time {
            stmt = stmt.push_bind(text, millis(time));
        }
    }
    stmt.push(")")
}

/// What is left out.
fn excluded<DB: Db>(stmt: Stmt<DB>, viewer: UserId, exclude: &MergeRequestExclusion) -> Stmt<DB> {
    let mut stmt = stmt;
    if let Some(author) = &exclude.author {
        stmt = user(
            stmt.push(" AND (m.author_id IS NULL OR m.author_id NOT IN "),
            author,
        )
        .push(")");
    }
    for (name, unwanted) in [("assignee", &exclude.assignee), ("reviewer", &exclude.reviewer)] {
        if let Some(key) = unwanted {
            stmt = user(role(stmt, " AND 0 = ", name).push(" AND r.user_id IN "), key).push(")");
        }
    }
    if !exclude.labels.is_empty() {
        stmt = stmt
            .push(
                " AND 0 = (SELECT COUNT(*) FROM merge_request_labels l WHERE l.merge_request_id = m.id AND l.name",
            )
            .push_in_texts(exclude.labels.iter().cloned())
            .push(")");
    }
    if let Some(title) = &exclude.milestone {
        stmt = stmt
            .push_bind(
                " AND (m.milestone_title IS NULL OR m.milestone_title <> ",
                title.clone(),
            )
            .push(")");
    }
    if let Some(emoji) = &exclude.my_reaction_emoji {
        stmt = reaction(stmt, " AND 0 = ", viewer)
            .push_bind(" AND r.name = ", emoji.clone())
            .push(")");
    }
    stmt
}

/// A column that lists are sorted by.
#[derive(Debug, Clone, Copy)]
struct Column {
    name: &'static str,
    kind: Kind,
}

/// What stands in a column that lists are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    NumberOrNull,
    Text,
}

/// What an order sorts by before the id.
fn columns(order: MergeRequestOrder) -> (Column, Option<Column>) {
    const MILESTONE_DUE: Column = Column {
        name: "m.milestone_due",
        kind: Kind::NumberOrNull,
    };
    const LABEL_PRIORITY: Column = Column {
        name: "m.label_priority",
        kind: Kind::NumberOrNull,
    };
    let only = |name, kind| (Column { name, kind }, None);
    match order {
        MergeRequestOrder::CreatedAt => only("m.created_at", Kind::Number),
        MergeRequestOrder::UpdatedAt => only("m.updated_at", Kind::Number),
        MergeRequestOrder::MergedAt => only("m.merged_at", Kind::NumberOrNull),
        MergeRequestOrder::Title => only("m.title_key", Kind::Text),
        MergeRequestOrder::MilestoneDue => (MILESTONE_DUE, None),
        MergeRequestOrder::Popularity => only("m.upvotes", Kind::Number),
        MergeRequestOrder::LabelPriority => (LABEL_PRIORITY, None),
        MergeRequestOrder::Priority => (MILESTONE_DUE, Some(LABEL_PRIORITY)),
    }
}

/// ` ORDER BY`: what has no value last, whichever the direction.
pub fn order_by<DB: Db>(stmt: Stmt<DB>, query: &MergeRequestQuery) -> Stmt<DB> {
    let (first, second) = columns(query.order);
    let descends = query.direction == Direction::Descending;
    let end = if descends { " DESC, " } else { ", " };
    let mut stmt = stmt.push(" ORDER BY ");
    for column in [Some(first), second].into_iter().flatten() {
        if column.kind == Kind::NumberOrNull {
            stmt = stmt.push(column.name).push(" IS NULL, ");
        }
        stmt = stmt.push(column.name).push(end);
    }
    stmt.push(if descends { "m.id DESC" } else { "m.id" })
}

/// Binds what stands in a column; anything else counts as its least value, since no position of ours has it.
fn bind<DB: Db>(stmt: Stmt<DB>, text: &'static str, column: Column, key: &SortKey) -> Stmt<DB> {
    match (column.kind, key) {
        (Kind::Text, SortKey::Text(value)) => stmt.push_bind(text, value.clone()),
        (Kind::Text, _) => stmt.push_bind(text, String::new()),
        (_, SortKey::Number(value)) => stmt.push_bind(text, *value),
        (_, _) => stmt.push_bind(text, i64::MIN),
    }
}

/// Keeps what lies beyond a position.
pub fn beyond<DB: Db>(stmt: Stmt<DB>, query: &MergeRequestQuery, after: &MergeRequestPosition) -> Stmt<DB> {
    let (first, second) = columns(query.order);
    let stmt = stmt.push(" AND ");
    if second.is_none() && first.kind != Kind::NumberOrNull {
        // The form that an index serves.
        let stmt = stmt.push("(").push(first.name).push(match query.direction {
            Direction::Ascending => ", m.id) > (",
            Direction::Descending => ", m.id) < (",
        });
        return bind(stmt, "", first, &after.first)
            .push_bind(", ", after.id.0)
            .push(")");
    }
    let levels: Vec<(Column, &SortKey)> = [Some(first), second]
        .into_iter()
        .flatten()
        .zip([&after.first, &after.second])
        .collect();
    beyond_level(stmt, &levels, after, query.direction)
}

/// Beyond in the first of these columns, or equal there and beyond in the rest.
fn beyond_level<DB: Db>(
    stmt: Stmt<DB>,
    levels: &[(Column, &SortKey)],
    after: &MergeRequestPosition,
    direction: Direction,
) -> Stmt<DB> {
    let past = match direction {
        Direction::Ascending => " > ",
        Direction::Descending => " < ",
    };
    let Some((&(column, key), rest)) = levels.split_first() else {
        return stmt.push("m.id").push_bind(past, after.id.0);
    };
    let stmt = stmt.push("(").push(column.name);
    if *key == SortKey::Nothing {
        // Nothing is last: only its equals can come after it.
        return beyond_level(stmt.push(" IS NULL AND "), rest, after, direction).push(")");
    }
    let stmt = bind(stmt, past, column, key)
        .push(" OR ")
        .push(column.name)
        .push(" IS NULL OR (")
        .push(column.name);
    let stmt = bind(stmt, " = ", column, key).push(" AND ");
    beyond_level(stmt, rest, after, direction).push("))")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_patterns_are_found_as_characters() {
        assert_eq!(pattern("50%_\\x"), r"%50\%\_\\x%");
    }
}
