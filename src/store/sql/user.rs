//! Users and their tokens.

use std::{future::Future, pin::Pin};

use super::{
    Db, Keep, Work, failed, find,
    row::{TokenRow, UserRow, millis},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        Time,
        directory::User,
        id::{TokenId, UserId, UserKey},
        token::{SecretHash, Token},
    },
    store::Result,
};

/// The columns of a [`UserRow`].
pub fn select<DB: Db>() -> Stmt<DB> {
    sql::<DB>(
        "SELECT id, username, name, email, public_email, avatar_url, state, admin, external, created_at, version \
         FROM users",
    )
}

/// A user by key.
pub async fn find_by_key<DB: Db>(connection: &mut DB::Connection, key: &UserKey) -> Result<Option<User>> {
    let stmt = match key {
        UserKey::Id(UserId(id)) => select::<DB>().push_bind(" WHERE id = ", *id),
        UserKey::Name(name) => select::<DB>().push_bind(" WHERE username_key = ", name.to_lowercase()),
    };
    find::<DB, UserRow, User>(connection, stmt).await
}

/// The columns of a [`TokenRow`].
pub fn select_token<DB: Db>() -> Stmt<DB> {
    sql::<DB>(
        "SELECT id, user_id, name, scopes, created_at, expires_at, revoked_at, last_used_at FROM tokens",
    )
}

/// The token with this secret and its user.
pub async fn token_find<DB: Db>(
    connection: &mut DB::Connection,
    hash: &SecretHash,
) -> Result<Option<(Token, User)>> {
    let stmt = select_token::<DB>().push_bind(" WHERE secret_hash = ", hash.0.clone());
    let Some(token) = find::<DB, TokenRow, Token>(connection, stmt).await? else {
        return Ok(None);
    };
    let user = find_by_key::<DB>(connection, &UserKey::Id(token.user_id)).await?;
    Ok(user.map(|user| (token, user)))
}

/// Notes that a token was used.
pub struct Touch {
    /// Which.
    pub id: TokenId,
    /// When.
    pub at: Time,
}

impl<DB: Db> Work<DB> for Touch {
    type Output = ();

    fn run<'a>(
        &'a self,
        connection: &'a mut DB::Connection,
    ) -> Pin<Box<dyn Future<Output = Result<((), Keep)>> + Send + 'a>> {
        Box::pin(async move {
            sql::<DB>("UPDATE tokens SET last_used_at = $2 WHERE id = $1")
                .bind(self.id.0)
                .bind(millis(self.at))
                .run(connection)
                .await
                .map_err(failed::<DB>)?;
            Ok(((), Keep::Yes))
        })
    }
}
