//! Commits, as they were first seen: what has an id never changes.

use std::collections::BTreeMap;

use sqlx::FromRow;

use super::{
    Db, failed,
    row::{inconsistent, millis, time},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        commit::{Commit, LocalTime},
        id::{DeploymentId, ProjectId},
    },
    store::{Result, StoreError},
};

/// The columns of a [`CommitRow`].
const COLUMNS: &str = "SELECT c.id, c.sha, c.parent_shas, c.message, c.author_name, c.author_email, c.authored_at, \
     c.authored_offset, c.committer_name, c.committer_email, c.committed_at, c.committed_offset, c.web_url";

/// How many commits one statement takes.
const CHUNK: usize = 50;

#[derive(Debug, FromRow)]
pub struct CommitRow {
    pub id: i64,
    pub sha: String,
    pub parent_shas: String,
    pub message: String,
    pub author_name: String,
    pub author_email: String,
    pub authored_at: i64,
    pub authored_offset: i64,
    pub committer_name: String,
    pub committer_email: String,
    pub committed_at: i64,
    pub committed_offset: i64,
    pub web_url: Option<String>,
}

impl TryFrom<CommitRow> for Commit {
    type Error = StoreError;

    fn try_from(row: CommitRow) -> Result<Self> {
        let at = |column, at, offset: i64| {
            Ok::<_, StoreError>(LocalTime {
                time: time("commits", column, row.id, at)?,
                offset_minutes: i32::try_from(offset).map_err(|_| inconsistent("commits", column, row.id))?,
            })
        };
        Ok(Self {
            authored_at: at("authored_at", row.authored_at, row.authored_offset)?,
            committed_at: at("committed_at", row.committed_at, row.committed_offset)?,
            id: row.sha,
            parent_ids: row.parent_shas.split_whitespace().map(str::to_owned).collect(),
            message: row.message,
            author_name: row.author_name,
            author_email: row.author_email,
            committer_name: row.committer_name,
            committer_email: row.committer_email,
            web_url: row.web_url,
        })
    }
}

/// Keeps the commits of a project that are not kept yet.
pub async fn insert<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    commits: &[Commit],
) -> Result<()> {
    for chunk in commits.chunks(CHUNK) {
        let mut stmt = sql::<DB>(
            "INSERT INTO commits (project_id, sha, parent_shas, message, author_name, author_email, authored_at, \
             authored_offset, committer_name, committer_email, committed_at, committed_offset, web_url) VALUES",
        );
        for (index, commit) in chunk.iter().enumerate() {
            stmt = stmt
                .push_bind(if index == 0 { " (" } else { ", (" }, project.0)
                .push_bind(", ", commit.id.clone())
                .push_bind(", ", commit.parent_ids.join(" "))
                .push_bind(", ", commit.message.clone())
                .push_bind(", ", commit.author_name.clone())
                .push_bind(", ", commit.author_email.clone())
                .push_bind(", ", millis(commit.authored_at.time))
                .push_bind(", ", i64::from(commit.authored_at.offset_minutes))
                .push_bind(", ", commit.committer_name.clone())
                .push_bind(", ", commit.committer_email.clone())
                .push_bind(", ", millis(commit.committed_at.time))
                .push_bind(", ", i64::from(commit.committed_at.offset_minutes))
                .push_bind(", ", commit.web_url.clone())
                .push(")");
        }
        stmt.push(" ON CONFLICT (project_id, sha) DO NOTHING")
            .run(&mut *connection)
            .await
            .map_err(failed::<DB>)?;
    }
    Ok(())
}

/// Keeps which commits were sent with a deployment, and the commits themselves.
pub async fn insert_sent<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    deployment: DeploymentId,
    commits: &[Commit],
) -> Result<()> {
    insert::<DB>(&mut *connection, project, commits).await?;
    let mut first = 0;
    for chunk in commits.chunks(CHUNK) {
        let ids = chunk.iter().map(|commit| commit.id.clone());
        let kept = rows::<DB>(&mut *connection, project, ids).await?;
        let ids: BTreeMap<&str, i64> = kept.iter().map(|row| (row.sha.as_str(), row.id)).collect();
        let mut stmt =
            sql::<DB>("INSERT INTO deployment_commits (deployment_id, position, commit_id) VALUES");
        for (position, commit) in (first..).zip(chunk) {
            let id = ids.get(commit.id.as_str()).copied();
            let id = id.ok_or_else(|| inconsistent("commits", "sha", deployment.0))?;
            stmt = stmt
                .push_bind(if position == first { " (" } else { ", (" }, deployment.0)
                .push_bind(", ", position)
                .push_bind(", ", id)
                .push(")");
        }
        stmt.run(&mut *connection).await.map_err(failed::<DB>)?;
        first += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
    }
    Ok(())
}

async fn rows<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    ids: impl IntoIterator<Item = String>,
) -> Result<Vec<CommitRow>> {
    let stmt: Stmt<DB> = sql::<DB>(COLUMNS)
        .push_bind(" FROM commits c WHERE c.project_id = ", project.0)
        .push(" AND c.sha")
        .push_in_texts(ids);
    stmt.all::<CommitRow>(connection).await.map_err(failed::<DB>)
}

/// The commits of a project with these full ids, as far as they are kept, by id.
pub async fn find<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    ids: &[String],
) -> Result<BTreeMap<String, Commit>> {
    let mut found = BTreeMap::new();
    for chunk in ids.chunks(CHUNK) {
        for row in rows::<DB>(&mut *connection, project, chunk.iter().cloned()).await? {
            found.insert(row.sha.clone(), Commit::try_from(row)?);
        }
    }
    Ok(found)
}

/// The commits that were sent with a deployment, in the order in which they were sent.
pub async fn sent_with<DB: Db>(
    connection: &mut DB::Connection,
    deployment: DeploymentId,
) -> Result<Vec<Commit>> {
    sql::<DB>(COLUMNS)
        .push_bind(
            " FROM deployment_commits s JOIN commits c ON c.id = s.commit_id WHERE s.deployment_id = ",
            deployment.0,
        )
        .push(" ORDER BY s.position")
        .all::<CommitRow>(connection)
        .await
        .map_err(failed::<DB>)?
        .into_iter()
        .map(Commit::try_from)
        .collect()
}
