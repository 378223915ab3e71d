//! Merge requests: one row each, with people, labels, reactions and commits in tables of their own.

pub mod filter;
pub mod row;

use std::collections::BTreeMap;

use super::{
    Db, count,
    event::Told,
    failed, list,
    row::{UserRow, millis},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        Time,
        deployment::DeploymentStatus,
        directory::{User, UserSummary},
        environment::EnvironmentTier,
        id::{DeploymentId, MergeRequestId, MergeRequestIid, ProjectId, UserId},
        merge_request::{
            CommitKind, Facts, Label, MergeRequest, MergeRequestChange, Reaction, Relink,
            query::{MergeRequestPosition, MergeRequestQuery},
        },
        page::{Page, PageRequest},
    },
    store::{MergeRequestAnswer, Result, StoreError},
};
use row::{COLUMNS, CherryPickRow, LabelRow, MergeRequestPersonRow, MergeRequestRow, ReactionRow};

/// How many rows one statement writes.
const CHUNK: usize = 100;
/// How many deployments a change of one merge request has looked through again.
const RELINKED_MAX: i64 = 100;
/// The words for what people are to a merge request.
const ASSIGNEE: &str = "assignee";
const REVIEWER: &str = "reviewer";

/// A merge request of a project.
pub async fn find_by_iid<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    iid: MergeRequestIid,
) -> Result<Option<MergeRequest>> {
    let stmt = sql::<DB>(COLUMNS)
        .push_bind(
            " FROM merge_requests m JOIN projects p ON p.id = m.project_id WHERE m.project_id = ",
            project.0,
        )
        .push_bind(" AND m.iid = ", iid.0);
    Ok(whole::<DB>(connection, stmt).await?.pop())
}

/// A page of a project's merge requests; where a deployment is named, of those that it shipped.
pub async fn page<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    shipped_by: Option<DeploymentId>,
    query: &MergeRequestQuery,
    request: &PageRequest<MergeRequestPosition>,
) -> Result<Page<MergeRequest, MergeRequestPosition>> {
    let matching = |stmt: Stmt<DB>| filter::matching(stmt, project, shipped_by, query);
    let stmt = matching(sql::<DB>(COLUMNS).push(" FROM (SELECT m.id"));
    let stmt = match &request.after {
        Some(after) => filter::beyond(stmt, query, after),
        None => stmt,
    };
    // The ids first: what is skipped or sorted carries no descriptions around.
    let stmt = filter::order_by(stmt, query)
        .push_bind(" LIMIT ", request.size + 1)
        .push_bind(" OFFSET ", request.skip)
        .push(
            ") AS page CROSS JOIN merge_requests m CROSS JOIN projects p \
             WHERE m.id = page.id AND p.id = m.project_id",
        );
    let items = whole::<DB>(&mut *connection, filter::order_by(stmt, query)).await?;
    let total = if request.want_total {
        Some(count::<DB>(connection, matching).await?)
    } else {
        None
    };
    Ok(Page::cut(items, request.size, total, |merge_request| {
        merge_request.position(query.order)
    }))
}

/// The merge requests that a statement reads, with all that belongs to them: one statement for each table, however many
/// they are.
async fn whole<DB: Db>(connection: &mut DB::Connection, stmt: Stmt<DB>) -> Result<Vec<MergeRequest>> {
    let mut found = list::<DB, MergeRequestRow, MergeRequest>(&mut *connection, stmt).await?;
    if found.is_empty() {
        return Ok(found);
    }
    let ids: Vec<i64> = found.iter().map(|found| found.id.0).collect();
    let of = |stmt: Stmt<DB>| stmt.push_in(ids.iter().copied());
    let mut parts: BTreeMap<i64, Parts> = BTreeMap::new();

    let people =
        sql::<DB>("SELECT merge_request_id, role, user_id FROM merge_request_people WHERE merge_request_id");
    let people = of(people).push(" ORDER BY merge_request_id, role, position");
    for row in people
        .all::<MergeRequestPersonRow>(&mut *connection)
        .await
        .map_err(failed::<DB>)?
    {
        let parts = parts.entry(row.merge_request_id).or_default();
        if row.role == ASSIGNEE {
            parts.assignees.push(UserId(row.user_id));
        } else {
            parts.reviewers.push(UserId(row.user_id));
        }
    }
    let labels = of(sql::<DB>(
        "SELECT merge_request_id, name, color, text_color, description, priority FROM merge_request_labels \
         WHERE merge_request_id",
    ));
    for row in labels
        .all::<LabelRow>(&mut *connection)
        .await
        .map_err(failed::<DB>)?
    {
        parts
            .entry(row.merge_request_id)
            .or_default()
            .labels
            .push(row.into());
    }
    let reactions = of(sql::<DB>(
        "SELECT merge_request_id, user_id, name FROM merge_request_reactions WHERE merge_request_id",
    ));
    for row in reactions
        .all::<ReactionRow>(&mut *connection)
        .await
        .map_err(failed::<DB>)?
    {
        parts
            .entry(row.merge_request_id)
            .or_default()
            .reactions
            .push(row.into());
    }
    let picks = sql::<DB>("SELECT merge_request_id, sha FROM merge_request_commits WHERE merge_request_id");
    let picks = of(picks).push_bind(" AND kind = ", CommitKind::CherryPick.as_str().to_owned());
    for row in picks
        .all::<CherryPickRow>(&mut *connection)
        .await
        .map_err(failed::<DB>)?
    {
        parts
            .entry(row.merge_request_id)
            .or_default()
            .cherry_pick_shas
            .push(row.sha);
    }
    let users = named::<DB>(connection, &ids).await?;
    for merge_request in &mut found {
        let parts = parts.remove(&merge_request.id.0).unwrap_or_default();
        parts.put(&mut merge_request.facts);
        merge_request.people = people_of(&merge_request.facts, &users);
    }
    Ok(found)
}

/// What of a merge request is in tables of its own.
#[derive(Default)]
struct Parts {
    assignees: Vec<UserId>,
    reviewers: Vec<UserId>,
    labels: Vec<Label>,
    reactions: Vec<Reaction>,
    cherry_pick_shas: Vec<String>,
}

impl Parts {
    /// Sorted here, since engines compare texts in ways of their own.
    fn put(mut self, facts: &mut Facts) {
        self.labels.sort_by(|a, b| a.name.cmp(&b.name));
        self.reactions.sort();
        self.cherry_pick_shas.sort();
        facts.assignees = self.assignees;
        facts.reviewers = self.reviewers;
        facts.labels = self.labels;
        facts.reactions = self.reactions;
        facts.cherry_pick_shas = self.cherry_pick_shas;
    }
}

/// Those whom these merge requests show, as far as they are there.
async fn named<DB: Db>(
    connection: &mut DB::Connection,
    ids: &[i64],
) -> Result<BTreeMap<UserId, UserSummary>> {
    let mut stmt = sql::<DB>(super::user::COLUMNS).push(" FROM users u WHERE id IN (");
    for part in [
        "SELECT author_id FROM merge_requests WHERE id",
        " UNION SELECT merged_by_id FROM merge_requests WHERE id",
        " UNION SELECT closed_by_id FROM merge_requests WHERE id",
        " UNION SELECT user_id FROM merge_request_people WHERE merge_request_id",
    ] {
        stmt = stmt.push(part).push_in(ids.iter().copied());
    }
    let users = list::<DB, UserRow, User>(connection, stmt.push(")")).await?;
    Ok(users.into_iter().map(|user| (user.id, user.summary())).collect())
}

fn people_of(facts: &Facts, users: &BTreeMap<UserId, UserSummary>) -> BTreeMap<UserId, UserSummary> {
    [facts.author, facts.merged_by, facts.closed_by]
        .into_iter()
        .flatten()
        .chain(facts.assignees.iter().copied())
        .chain(facts.reviewers.iter().copied())
        .filter_map(|id| Some((id, users.get(&id)?.clone())))
        .collect()
}

/// Makes a change true, and answers the merge request after it; none that was deleted.
pub async fn write<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    change: &MergeRequestChange,
    now: Time,
    told: &mut Told,
) -> Result<Option<MergeRequestAnswer>> {
    let (iid, created, relinked) = match change {
        MergeRequestChange::Kept { merge_request, stale } => {
            return Ok(Some(MergeRequestAnswer {
                merge_request: MergeRequest::clone(merge_request),
                created: false,
                stale: *stale,
            }));
        }
        MergeRequestChange::Deleted(id) => {
            sql::<DB>("DELETE FROM merge_requests WHERE id = $1")
                .bind(id.0)
                .run(connection)
                .await
                .map_err(failed::<DB>)?;
            return Ok(None);
        }
        MergeRequestChange::Created { iid, facts, relink } => {
            let id = insert::<DB>(&mut *connection, project, *iid, facts).await?;
            write_parts::<DB>(&mut *connection, project, id, None, facts).await?;
            (
                *iid,
                true,
                ask_for_links::<DB>(&mut *connection, project, id, *relink, now).await?,
            )
        }
        MergeRequestChange::Updated {
            before,
            facts,
            relink,
        } => {
            update::<DB>(&mut *connection, before, facts).await?;
            write_parts::<DB>(&mut *connection, project, before.id, Some(&before.facts), facts).await?;
            let relinked = ask_for_links::<DB>(&mut *connection, project, before.id, *relink, now).await?;
            (before.iid, false, relinked)
        }
    };
    if relinked {
        told.link_work();
    }
    // Read back for the people that it shows.
    let found = find_by_iid::<DB>(connection, project, iid).await?;
    let merge_request = found.ok_or(StoreError::Inconsistent {
        table: "merge_requests",
        column: "iid",
        id: iid.0,
    })?;
    Ok(Some(MergeRequestAnswer {
        merge_request,
        created,
        stale: false,
    }))
}

/// Binds what an INSERT and an UPDATE write alike, in the order of their columns.
fn bind_facts<DB: Db>(stmt: Stmt<DB>, facts: &Facts) -> Result<Stmt<DB>> {
    let milestone = facts.milestone.as_ref();
    Ok(stmt
        .bind(facts.title.clone())
        .bind(facts.title.to_lowercase())
        .bind(facts.description.clone())
        .bind(facts.description.to_lowercase())
        .bind(facts.state.as_str().to_owned())
        .bind(facts.is_draft())
        .bind(millis(facts.created_at))
        .bind(millis(facts.updated_at))
        .bind(facts.merged_at.map(millis))
        .bind(facts.closed_at.map(millis))
        .bind(facts.prepared_at.map(millis))
        .bind(facts.merge_after.map(millis))
        .bind(facts.author.map(|id| id.0))
        .bind(facts.merged_by.map(|id| id.0))
        .bind(facts.closed_by.map(|id| id.0))
        .bind(facts.target_branch.clone())
        .bind(facts.source_branch.clone())
        .bind(facts.source_project_id.map(|id| id.0))
        .bind(facts.sha.clone())
        .bind(facts.merge_commit_sha.clone())
        .bind(facts.squash_commit_sha.clone())
        .bind(milestone.map(row::milestone).transpose()?)
        .bind(milestone.map(|milestone| milestone.title.clone()))
        .bind(facts.milestone_due())
        .bind(facts.label_priority())
        .bind(facts.upvotes)
        .bind(facts.downvotes)
        .bind(facts.user_notes_count)
        .bind(row::details(&facts.details)?))
}

async fn insert<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    iid: MergeRequestIid,
    facts: &Facts,
) -> Result<MergeRequestId> {
    let stmt = sql::<DB>(
        "INSERT INTO merge_requests (project_id, iid, title, title_key, description, description_key, state, draft, \
         created_at, updated_at, merged_at, closed_at, prepared_at, merge_after, author_id, merged_by_id, \
         closed_by_id, target_branch, source_branch, source_project_id, sha, merge_commit_sha, squash_commit_sha, \
         milestone, milestone_title, milestone_due, label_priority, upvotes, downvotes, user_notes_count, details, \
         version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
         $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, 1) RETURNING id",
    )
    .bind(project.0)
    .bind(iid.0);
    let (id,) = bind_facts(stmt, facts)?
        .one::<(i64,)>(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(MergeRequestId(id))
}

async fn update<DB: Db>(connection: &mut DB::Connection, before: &MergeRequest, facts: &Facts) -> Result<()> {
    let stmt = sql::<DB>(
        "UPDATE merge_requests SET version = $2, title = $3, title_key = $4, description = $5, description_key = $6, \
         state = $7, draft = $8, created_at = $9, updated_at = $10, merged_at = $11, closed_at = $12, \
         prepared_at = $13, merge_after = $14, author_id = $15, merged_by_id = $16, closed_by_id = $17, \
         target_branch = $18, source_branch = $19, source_project_id = $20, sha = $21, merge_commit_sha = $22, \
         squash_commit_sha = $23, milestone = $24, milestone_title = $25, milestone_due = $26, label_priority = $27, \
         upvotes = $28, downvotes = $29, user_notes_count = $30, details = $31 WHERE id = $1",
    )
    .bind(before.id.0)
    .bind(before.version + 1);
    bind_facts(stmt, facts)?
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}

/// Writes the tables that belong to a merge request anew, as far as they differ.
async fn write_parts<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    id: MergeRequestId,
    before: Option<&Facts>,
    after: &Facts,
) -> Result<()> {
    let people = |facts: &Facts| (facts.assignees.clone(), facts.reviewers.clone());
    if before.map(people) != Some(people(after)) {
        clear::<DB>(
            &mut *connection,
            "DELETE FROM merge_request_people WHERE merge_request_id = ",
            id,
        )
        .await?;
        for (role, people) in [(ASSIGNEE, &after.assignees), (REVIEWER, &after.reviewers)] {
            let rows: Vec<(i64, &UserId)> = (0..).zip(people).collect();
            let start = "INSERT INTO merge_request_people (merge_request_id, role, position, user_id) VALUES";
            insert_all::<DB, _>(&mut *connection, start, id, &rows, |stmt, (position, user)| {
                stmt.push_bind(", ", role.to_owned())
                    .push_bind(", ", *position)
                    .push_bind(", ", user.0)
            })
            .await?;
        }
    }
    if before.map(|before| &before.labels) != Some(&after.labels) {
        clear::<DB>(
            &mut *connection,
            "DELETE FROM merge_request_labels WHERE merge_request_id = ",
            id,
        )
        .await?;
        let start = "INSERT INTO merge_request_labels (merge_request_id, name, color, text_color, description, \
                     priority) VALUES";
        insert_all::<DB, _>(&mut *connection, start, id, &after.labels, |stmt, label| {
            stmt.push_bind(", ", label.name.clone())
                .push_bind(", ", label.color.clone())
                .push_bind(", ", label.text_color.clone())
                .push_bind(", ", label.description.clone())
                .push_bind(", ", label.priority)
        })
        .await?;
    }
    if before.map(|before| &before.reactions) != Some(&after.reactions) {
        clear::<DB>(
            &mut *connection,
            "DELETE FROM merge_request_reactions WHERE merge_request_id = ",
            id,
        )
        .await?;
        let start = "INSERT INTO merge_request_reactions (merge_request_id, user_id, name) VALUES";
        insert_all::<DB, _>(&mut *connection, start, id, &after.reactions, |stmt, reaction| {
            stmt.push_bind(", ", reaction.user_id.0)
                .push_bind(", ", reaction.name.clone())
        })
        .await?;
    }
    if before.map(Facts::commits) != Some(after.commits()) {
        clear::<DB>(
            &mut *connection,
            "DELETE FROM merge_request_commits WHERE merge_request_id = ",
            id,
        )
        .await?;
        let rows: Vec<(CommitKind, &str)> = after.commits().into_iter().collect();
        let start = "INSERT INTO merge_request_commits (merge_request_id, project_id, sha, kind) VALUES";
        insert_all::<DB, _>(connection, start, id, &rows, |stmt, (kind, sha)| {
            stmt.push_bind(", ", project.0)
                .push_bind(", ", (*sha).to_owned())
                .push_bind(", ", kind.as_str().to_owned())
        })
        .await?;
    }
    Ok(())
}

async fn clear<DB: Db>(
    connection: &mut DB::Connection,
    text: &'static str,
    id: MergeRequestId,
) -> Result<()> {
    let stmt = sql::<DB>("").push_bind(text, id.0);
    stmt.run(connection).await.map_err(failed::<DB>)?;
    Ok(())
}

/// Adds rows that begin with the merge request's id; `bind` adds the rest of one.
async fn insert_all<DB: Db, T>(
    connection: &mut DB::Connection,
    start: &'static str,
    id: MergeRequestId,
    rows: &[T],
    bind: impl Fn(Stmt<DB>, &T) -> Stmt<DB>,
) -> Result<()> {
    for chunk in rows.chunks(CHUNK) {
        let mut stmt = sql::<DB>(start);
        for (index, row) in chunk.iter().enumerate() {
            let begun = stmt.push_bind(if index == 0 { " (" } else { ", (" }, id.0);
            stmt = bind(begun, row).push(")");
        }
        stmt.run(&mut *connection).await.map_err(failed::<DB>)?;
    }
    Ok(())
}

/// Has deployments that may have shipped a merge request looked through again, the oldest first: those whose environment
/// has no link of it, and is one that is linked at all (see [`crate::domain::merge_request::is_linked`]). Answers whether
/// there are any.
async fn ask_for_links<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    id: MergeRequestId,
    relink: Relink,
    now: Time,
) -> Result<bool> {
    let since = match relink {
        Relink::Nothing => return Ok(false),
        Relink::Since(time) => Some(time),
        Relink::Everything => None,
    };
    let stmt = sql::<DB>(
        "INSERT INTO link_work (deployment_id, attempts, due_at) SELECT d.id, CAST(0 AS BIGINT), ",
    )
    .push_bind("CAST(", millis(now))
    .push_bind(
        " AS BIGINT) FROM deployments d JOIN environments e ON e.id = d.environment_id WHERE d.project_id = ",
        project.0,
    )
    .push_bind(" AND d.status = ", DeploymentStatus::Success.as_str().to_owned());
    let stmt = match since {
        Some(time) => stmt.push_bind(" AND d.finished_at >= ", millis(time)),
        None => stmt,
    };
    let linked = stmt
        .push(" AND (e.name NOT LIKE '%/%' OR e.tier")
        .push_in_texts([EnvironmentTier::Production, EnvironmentTier::Staging].map(|tier| tier.as_str().to_owned()))
        .push_bind(
            ") AND NOT EXISTS (SELECT 1 FROM deployment_merge_requests l WHERE l.environment_id = d.environment_id \
             AND l.merge_request_id = ",
            id.0,
        )
        .push_bind(") ORDER BY d.finished_at, d.id LIMIT ", RELINKED_MAX)
        .push(" ON CONFLICT (deployment_id) DO NOTHING")
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(linked > 0)
}
