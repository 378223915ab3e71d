//! Environments.

use super::{
    Db, count, failed, find, list, protection,
    row::{EnvironmentRow, GroundRow, millis},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        Time,
        directory::Project,
        environment::{Environment, EnvironmentFilter, EnvironmentState, NewEnvironment},
        id::{EnvironmentId, EnvironmentKey, ProjectId},
        page::{Page, PageRequest},
    },
    store::Result,
};

fn select<DB: Db>() -> Stmt<DB> {
    sql::<DB>(
        "SELECT id, project_id, name, slug, external_url, state, tier, description, auto_stop_setting, created_at, \
         updated_at, version",
    )
}

/// An environment of a project.
pub async fn find_by_key<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    key: &EnvironmentKey,
) -> Result<Option<Environment>> {
    let stmt = select::<DB>().push_bind(" FROM environments WHERE project_id = ", project.0);
    let stmt = match key {
        EnvironmentKey::Id(id) => stmt.push_bind(" AND id = ", id.0),
        EnvironmentKey::Name(name) => stmt.push_bind(" AND name = ", name.clone()),
    };
    find::<DB, EnvironmentRow, Environment>(connection, stmt).await
}

/// The environment of this name, with what a new deployment there stands on.
pub async fn ground<DB: Db>(
    connection: &mut DB::Connection,
    project: &Project,
    name: &str,
) -> Result<Option<GroundRow>> {
    let stmt = protection::any_applying(select::<DB>(), project)
        .push(", ")
        .push(DB::NEXT_DEPLOYMENT_ID)
        .push(" AS next_id")
        .push_bind(" FROM environments e WHERE project_id = ", project.id.0)
        .push_bind(" AND name = ", name.to_owned());
    stmt.optional(connection).await.map_err(failed::<DB>)
}

/// Whether an environment of the project has this slug.
pub async fn slug_taken<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    slug: String,
) -> Result<bool> {
    let found = sql::<DB>("SELECT id FROM environments WHERE project_id = $1 AND slug = $2")
        .bind(project.0)
        .bind(slug)
        .optional::<(i64,)>(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(found.is_some())
}

fn matching<DB: Db>(stmt: Stmt<DB>, project: ProjectId, filter: &EnvironmentFilter) -> Stmt<DB> {
    let mut stmt = stmt.push_bind(" FROM environments WHERE project_id = ", project.0);
    if let Some(name) = &filter.name {
        stmt = stmt.push_bind(" AND name = ", name.clone());
    }
    if let Some(state) = filter.state {
        stmt = stmt.push_bind(" AND state = ", state.as_str().to_owned());
    }
    if let Some(search) = &filter.search {
        // Prefixes are compared as texts, not as patterns: `_` and `%` mean themselves. A name begins so itself, or
        // the rest behind its first slash does.
        let search = search.to_lowercase();
        let length = i64::try_from(search.chars().count()).unwrap_or(i64::MAX);
        stmt = stmt
            .push_bind(" AND (substr(name_key, 1, CAST(", length)
            .push_bind(" AS INTEGER)) = ", search.clone())
            .push_bind(" OR substr(folderless_key, 1, CAST(", length)
            .push_bind(" AS INTEGER)) = ", search)
            .push(")");
    }
    stmt
}

/// A page of a project's environments by id.
pub async fn page<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    filter: &EnvironmentFilter,
    request: &PageRequest<EnvironmentId>,
) -> Result<Page<Environment, EnvironmentId>> {
    let mut stmt = matching(select::<DB>(), project, filter);
    if let Some(after) = request.after {
        stmt = stmt.push_bind(" AND id > ", after.0);
    }
    let stmt = stmt
        .push_bind(" ORDER BY id LIMIT ", request.size + 1)
        .push_bind(" OFFSET ", request.skip);
    let items = list::<DB, EnvironmentRow, Environment>(&mut *connection, stmt).await?;
    let total = if request.want_total {
        Some(count::<DB>(connection, |stmt| matching(stmt, project, filter)).await?)
    } else {
        None
    };
    Ok(Page::cut(items, request.size, total, |environment| {
        environment.id
    }))
}

/// Environments in use that neither changed nor saw a deployment change since `before`.
pub async fn stale<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    before: Time,
) -> Result<Vec<Environment>> {
    let stmt = select::<DB>()
        .push_bind(" FROM environments e WHERE project_id = ", project.0)
        .push_bind(" AND state = ", EnvironmentState::Available.as_str().to_owned())
        .push_bind(" AND updated_at < ", millis(before))
        .push_bind(
            " AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.environment_id = e.id AND d.updated_at >= ",
            millis(before),
        )
        .push(") ORDER BY id");
    list::<DB, EnvironmentRow, Environment>(connection, stmt).await
}

/// Stopped environments of the folder `review` that were created before `before`, oldest first.
pub async fn stopped_reviews<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    before: Time,
    limit: i64,
) -> Result<Vec<Environment>> {
    let stmt = select::<DB>()
        .push_bind(" FROM environments WHERE project_id = ", project.0)
        .push(" AND substr(name, 1, 7) = 'review/'")
        .push_bind(" AND state = ", EnvironmentState::Stopped.as_str().to_owned())
        .push_bind(" AND created_at < ", millis(before))
        .push_bind(" ORDER BY created_at, id LIMIT ", limit);
    list::<DB, EnvironmentRow, Environment>(connection, stmt).await
}

/// Adds an environment, `available`.
pub async fn insert<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    new: &NewEnvironment,
    now: Time,
) -> Result<Environment> {
    let name_key = new.name.to_lowercase();
    let folderless_key = name_key.split_once('/').map_or("", |(_, rest)| rest).to_owned();
    let (id,) = sql::<DB>(
        "INSERT INTO environments (project_id, name, name_key, folderless_key, slug, external_url, state, tier, \
         description, auto_stop_setting, created_at, updated_at, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1) RETURNING id",
    )
    .bind(project.0)
    .bind(new.name.clone())
    .bind(name_key)
    .bind(folderless_key)
    .bind(new.slug.clone())
    .bind(new.external_url.clone())
    .bind(EnvironmentState::Available.as_str().to_owned())
    .bind(new.tier.as_str().to_owned())
    .bind(new.description.clone())
    .bind(new.auto_stop_setting.as_str().to_owned())
    .bind(millis(now))
    .bind(millis(now))
    .one::<(i64,)>(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(Environment {
        id: EnvironmentId(id),
        project_id: project,
        name: new.name.clone(),
        slug: new.slug.clone(),
        external_url: new.external_url.clone(),
        state: EnvironmentState::Available,
        tier: new.tier,
        description: new.description.clone(),
        auto_stop_setting: new.auto_stop_setting,
        created_at: now,
        updated_at: now,
        version: 1,
    })
}

/// Writes an environment's fields and state. The name never changes.
pub async fn update<DB: Db>(connection: &mut DB::Connection, after: &Environment) -> Result<()> {
    sql::<DB>(
        "UPDATE environments SET external_url = $2, state = $3, tier = $4, description = $5, \
         auto_stop_setting = $6, updated_at = $7, version = $8 WHERE id = $1",
    )
    .bind(after.id.0)
    .bind(after.external_url.clone())
    .bind(after.state.as_str().to_owned())
    .bind(after.tier.as_str().to_owned())
    .bind(after.description.clone())
    .bind(after.auto_stop_setting.as_str().to_owned())
    .bind(millis(after.updated_at))
    .bind(after.version)
    .run(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(())
}

/// Deletes an environment and, by the foreign key, its deployments.
pub async fn delete<DB: Db>(connection: &mut DB::Connection, id: EnvironmentId) -> Result<()> {
    sql::<DB>("DELETE FROM environments WHERE id = $1")
        .bind(id.0)
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}
