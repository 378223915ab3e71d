//! Tokens, by the hashes of their secrets.

use async_trait::async_trait;

use super::{
    Db, Keep, Lock, Work,
    event::Told,
    failed, find,
    page::{ListById, page_by_id},
    row::{HolderRow, MARK, TokenRow, inconsistent, millis},
    seam::{Stmt, sql},
    user,
};
use crate::{
    domain::{
        Time,
        directory::User,
        id::{TokenId, UserId},
        page::{Page, PageRequest},
        token::{NewToken, Scope, SecretHash, Token},
    },
    store::{Dated, Result},
};

/// The columns of a [`TokenRow`].
const COLUMNS: &str = "SELECT t.id AS token_id, t.user_id, t.name AS token_name, t.scopes, \
     t.created_at AS token_created_at, t.expires_at, t.revoked_at, t.last_used_at, t.deployment_id, d.project_id AS job_project_id, p.full_path AS job_project_path";

/// The tables that they are in.
const TABLES: &str = " FROM tokens t LEFT JOIN deployments d ON d.id = t.deployment_id \
     LEFT JOIN projects p ON p.id = d.project_id";

/// Tokens with their users.
fn with_user<DB: Db>() -> Stmt<DB> {
    sql::<DB>(COLUMNS)
        .push(user::WITH)
        .push(MARK)
        .push(TABLES)
        .push(" JOIN users u ON u.id = t.user_id")
}

/// The token with this secret and its user.
pub async fn find_by_secret<DB: Db>(
    connection: &mut DB::Connection,
    hash: &SecretHash,
) -> Result<Option<Dated<(Token, User)>>> {
    let stmt = with_user::<DB>().push_bind(" WHERE t.secret_hash = ", hash.0.clone());
    find::<DB, HolderRow, Dated<(Token, User)>>(connection, stmt).await
}

/// A token by id and its user.
pub async fn find_with_user<DB: Db>(
    connection: &mut DB::Connection,
    id: TokenId,
) -> Result<Option<(Token, User)>> {
    let stmt = with_user::<DB>().push_bind(" WHERE t.id = ", id.0);
    let found = find::<DB, HolderRow, Dated<(Token, User)>>(connection, stmt).await?;
    Ok(found.map(|found| found.of))
}

/// A token by id.
pub async fn find_by_id<DB: Db>(connection: &mut DB::Connection, id: TokenId) -> Result<Option<Token>> {
    let stmt = sql::<DB>(COLUMNS).push(TABLES).push_bind(" WHERE t.id = ", id.0);
    find::<DB, TokenRow, Token>(connection, stmt).await
}

/// A page of a user's own tokens, by id; those of jobs come and go by themselves.
pub async fn page<DB: Db>(
    connection: &mut DB::Connection,
    user: UserId,
    request: &PageRequest<TokenId>,
) -> Result<Page<Token, TokenId>> {
    const BY_ID: ListById = ListById {
        columns: COLUMNS,
        after: " AND t.id > ",
        order: " ORDER BY t.id LIMIT ",
    };
    let matching = |stmt: Stmt<DB>| {
        stmt.push(TABLES)
            .push_bind(" WHERE t.deployment_id IS NULL AND t.user_id = ", user.0)
    };
    page_by_id::<DB, TokenRow, Token, _>(connection, &BY_ID, matching, request, |token| token.id).await
}

/// Adds a token, a user's or a job's.
pub async fn insert<DB: Db>(connection: &mut DB::Connection, new: &NewToken, now: Time) -> Result<Token> {
    let scopes: Vec<&str> = new.scopes.iter().copied().map(Scope::as_str).collect();
    let (id,) = sql::<DB>(
        "INSERT INTO tokens (user_id, name, scopes, secret_hash, created_at, expires_at, deployment_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
    )
    .bind(new.user_id.0)
    .bind(new.name.clone())
    .bind(scopes.join(" "))
    .bind(new.hash.0.clone())
    .bind(millis(now))
    .bind(new.expires_at.map(millis))
    .bind(new.deployment.map(|id| id.0))
    .one::<(i64,)>(&mut *connection)
    .await
    .map_err(failed::<DB>)?;
    find_by_id::<DB>(connection, TokenId(id))
        .await?
        .ok_or_else(|| inconsistent("tokens", "id", id))
}

/// Writes when a token was revoked.
pub async fn revoke<DB: Db>(connection: &mut DB::Connection, token: &Token) -> Result<()> {
    sql::<DB>("UPDATE tokens SET revoked_at = $2 WHERE id = $1")
        .bind(token.id.0)
        .bind(token.revoked_at.map(millis))
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(())
}

/// Notes that a token was used.
pub struct Touch {
    /// Which.
    pub id: TokenId,
    /// When.
    pub at: Time,
}

#[async_trait]
impl<DB: Db> Work<DB> for Touch {
    const LOCK: Lock = Lock::None;

    type Output = ();

    async fn run(&self, connection: &mut DB::Connection, _: &mut Told) -> Result<((), Keep)> {
        sql::<DB>("UPDATE tokens SET last_used_at = $2 WHERE id = $1")
            .bind(self.id.0)
            .bind(millis(self.at))
            .run(connection)
            .await
            .map_err(failed::<DB>)?;
        Ok(((), Keep::Yes))
    }
}
