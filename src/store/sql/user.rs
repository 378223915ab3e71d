//! Users.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Db, failed, find, list,
    page::{ListById, page_by_id},
    row::{UserRow, millis},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        Time,
        directory::{NewUser, User, UserState, UserSummary},
        id::{UserId, UserKey},
        page::{Page, PageRequest},
    },
    store::Result,
};

/// The columns of a [`UserRow`].
pub const COLUMNS: &str = "SELECT id, username, name, email, public_email, avatar_url, state, admin, external, bio, location, skype, linkedin, \
     twitter, website_url, organization, created_at, version";

/// The same columns, of the table `u`, behind those of another table.
pub const WITH: &str = ", u.id, u.username, u.name, u.email, u.public_email, u.avatar_url, u.state, u.admin, u.external, u.bio, u.location, \
     u.skype, u.linkedin, u.twitter, u.website_url, u.organization, u.created_at, u.version";

/// A user by key.
pub async fn find_by_key<DB: Db>(connection: &mut DB::Connection, key: &UserKey) -> Result<Option<User>> {
    let stmt = sql::<DB>(COLUMNS).push(" FROM users");
    let stmt = match key {
        UserKey::Id(UserId(id)) => stmt.push_bind(" WHERE id = ", *id),
        UserKey::Name(name) => stmt.push_bind(" WHERE username_key = ", name.to_lowercase()),
    };
    find::<DB, UserRow, User>(connection, stmt).await
}

/// Those of these users who are still there.
pub async fn find_all<DB: Db>(
    connection: &mut DB::Connection,
    ids: &BTreeSet<UserId>,
) -> Result<BTreeMap<UserId, User>> {
    let stmt = sql::<DB>(COLUMNS)
        .push(" FROM users WHERE id")
        .push_in(ids.iter().map(|id| id.0));
    let users = list::<DB, UserRow, User>(connection, stmt).await?;
    Ok(users.into_iter().map(|user| (user.id, user)).collect())
}

/// How many users one statement looks up.
const CHUNK: usize = 500;

/// Those of the named users who are there.
pub async fn summaries<DB: Db>(
    connection: &mut DB::Connection,
    named: &[UserKey],
) -> Result<Vec<UserSummary>> {
    let mut found = BTreeMap::new();
    for chunk in named.chunks(CHUNK) {
        let ids = chunk.iter().filter_map(|key| match key {
            UserKey::Id(id) => Some(id.0),
            UserKey::Name(_) => None,
        });
        let names = chunk.iter().filter_map(|key| match key {
            UserKey::Id(_) => None,
            UserKey::Name(name) => Some(name.to_lowercase()),
        });
        let stmt = sql::<DB>(COLUMNS)
            .push(" FROM users WHERE id")
            .push_in(ids)
            .push(" OR username_key")
            .push_in_texts(names);
        for user in list::<DB, UserRow, User>(&mut *connection, stmt).await? {
            found.insert(user.id, user.summary());
        }
    }
    Ok(found.into_values().collect())
}

/// A page of the users by id; of those whose username begins with `search`, if there is one.
pub async fn page<DB: Db>(
    connection: &mut DB::Connection,
    search: Option<&str>,
    request: &PageRequest<UserId>,
) -> Result<Page<User, UserId>> {
    const BY_ID: ListById = ListById {
        columns: COLUMNS,
        after: " AND id > ",
        order: " ORDER BY id LIMIT ",
    };
    let matching = |stmt: Stmt<DB>| {
        let stmt = stmt.push(" FROM users WHERE 1 = 1");
        let Some(search) = search else { return stmt };
        // Prefixes are compared as texts, not as patterns: `_` means itself.
        let search = search.to_lowercase();
        let length = i64::try_from(search.chars().count()).unwrap_or(i64::MAX);
        stmt.push_bind(" AND substr(username_key, 1, CAST(", length)
            .push_bind(" AS INTEGER)) = ", search)
    };
    page_by_id::<DB, UserRow, User, _>(connection, &BY_ID, matching, request, |user| user.id).await
}

/// Whether there is any user.
pub async fn any<DB: Db>(connection: &mut DB::Connection) -> Result<bool> {
    let found = sql::<DB>("SELECT id FROM users LIMIT 1")
        .optional::<(i64,)>(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(found.is_some())
}

/// Whether somebody but this user is an active administrator.
pub async fn other_administrators<DB: Db>(connection: &mut DB::Connection, id: UserId) -> Result<bool> {
    let found = sql::<DB>("SELECT id FROM users WHERE admin AND state = $1 AND id <> $2 LIMIT 1")
        .bind(UserState::Active.as_str().to_owned())
        .bind(id.0)
        .optional::<(i64,)>(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(found.is_some())
}

/// Adds a user.
pub async fn insert<DB: Db>(connection: &mut DB::Connection, new: &NewUser, now: Time) -> Result<User> {
    let (id,) = sql::<DB>(
        "INSERT INTO users (username, username_key, name, email, public_email, avatar_url, state, admin, external, \
         created_at, version, bio, location, skype, linkedin, twitter, website_url, organization) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $12, $13, $14, $15, $16, $17) RETURNING id",
    )
    .bind(new.username.clone())
    .bind(new.username.to_lowercase())
    .bind(new.name.clone())
    .bind(new.email.clone())
    .bind(new.public_email.clone())
    .bind(new.avatar_url.clone())
    .bind(new.state.as_str().to_owned())
    .bind(new.admin)
    .bind(new.external)
    .bind(millis(now))
    .bind(new.profile.bio.clone())
    .bind(new.profile.location.clone())
    .bind(new.profile.skype.clone())
    .bind(new.profile.linkedin.clone())
    .bind(new.profile.twitter.clone())
    .bind(new.profile.website_url.clone())
    .bind(new.profile.organization.clone())
    .one::<(i64,)>(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(User {
        id: UserId(id),
        username: new.username.clone(),
        name: new.name.clone(),
        email: new.email.clone(),
        public_email: new.public_email.clone(),
        avatar_url: new.avatar_url.clone(),
        state: new.state,
        admin: new.admin,
        external: new.external,
        profile: new.profile.clone(),
        created_at: now,
        version: 1,
    })
}

/// Writes a user's fields. The username never changes.
pub async fn update<DB: Db>(connection: &mut DB::Connection, after: &User) -> Result<()> {
    sql::<DB>(
        "UPDATE users SET name = $2, email = $3, public_email = $4, avatar_url = $5, state = $6, admin = $7, \
         external = $8, version = $9, bio = $10, location = $11, skype = $12, linkedin = $13, twitter = $14, \
         website_url = $15, organization = $16 WHERE id = $1",
    )
    .bind(after.id.0)
    .bind(after.name.clone())
    .bind(after.email.clone())
    .bind(after.public_email.clone())
    .bind(after.avatar_url.clone())
    .bind(after.state.as_str().to_owned())
    .bind(after.admin)
    .bind(after.external)
    .bind(after.version)
    .bind(after.profile.bio.clone())
    .bind(after.profile.location.clone())
    .bind(after.profile.skype.clone())
    .bind(after.profile.linkedin.clone())
    .bind(after.profile.twitter.clone())
    .bind(after.profile.website_url.clone())
    .bind(after.profile.organization.clone())
    .run(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(())
}

/// Deletes a user and, by the foreign keys, their memberships, tokens and remembered answers.
pub async fn delete<DB: Db>(connection: &mut DB::Connection, id: UserId) -> Result<()> {
    sql::<DB>("DELETE FROM users WHERE id = $1")
        .bind(id.0)
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}
