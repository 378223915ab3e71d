//! Requests that carried an id: their answers, kept for a day.

use async_trait::async_trait;
use chrono::TimeDelta;

use super::{
    Db, Keep, Lock, Work, count,
    event::Told,
    failed,
    row::{RequestRow, millis},
    seam::sql,
};
use crate::{
    domain::{
        Time,
        error::{Error, Reason},
    },
    store::{Result, StoreError, Terms},
};

/// How long an answer is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// The answer that was given to this request, if it is a repeat; a refusal, if the id was used for something else.
pub async fn replay<DB: Db, A>(connection: &mut DB::Connection, terms: &Terms<A>) -> Result<Option<Vec<u8>>> {
    let Some(request) = &terms.request else {
        return Ok(None);
    };
    let stored = sql::<DB>(
        "SELECT fingerprint, answer FROM requests WHERE user_id = $1 AND request_id = $2 AND created_at > $3",
    )
    .bind(terms.actor.0)
    .bind(request.id.clone())
    .bind(millis(terms.now - KEPT))
    .optional::<RequestRow>(connection)
    .await
    .map_err(failed::<DB>)?;
    match stored {
        Some(row) if row.fingerprint != request.fingerprint => Err(Error::new(
            Reason::RequestIdReused,
            "the request_id was used within 24 hours for a request with other content",
        )
        .into()),
        stored => Ok(stored.map(|row| row.answer)),
    }
}

/// Remembers an answer for a repeat.
pub async fn remember<DB: Db, A>(
    connection: &mut DB::Connection,
    terms: &Terms<A>,
    answer: &A,
) -> Result<()> {
    let Some(request) = &terms.request else {
        return Ok(());
    };
    let kept = sql::<DB>(
        "INSERT INTO requests (user_id, request_id, fingerprint, answer, created_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (user_id, request_id) DO UPDATE SET fingerprint = excluded.fingerprint, \
         answer = excluded.answer, created_at = excluded.created_at WHERE requests.created_at <= $6",
    )
    .bind(terms.actor.0)
    .bind(request.id.clone())
    .bind(request.fingerprint.clone())
    .bind((terms.encode)(answer))
    .bind(millis(terms.now))
    .bind(millis(terms.now - KEPT))
    .run(connection)
    .await
    .map_err(failed::<DB>)?;
    if kept == 0 {
        // The same id was answered meanwhile under another lock. Done again, this one will see that.
        return Err(StoreError::Conflict(sqlx::Error::RowNotFound));
    }
    Ok(())
}

/// How many answers are older than they are kept.
pub async fn expired<DB: Db>(connection: &mut DB::Connection, now: Time) -> Result<i64> {
    count::<DB>(connection, |stmt| {
        stmt.push_bind(" FROM requests WHERE created_at <= ", millis(now - KEPT))
    })
    .await
}

/// Forgets answers that are older than they are kept.
pub struct Prune {
    /// The time.
    pub now: Time,
    /// How many at most.
    pub limit: i64,
}

#[async_trait]
impl<DB: Db> Work<DB> for Prune {
    const LOCK: Lock = Lock::None;

    type Output = u64;

    async fn run(&self, connection: &mut DB::Connection, _: &mut Told) -> Result<(u64, Keep)> {
        let forgotten = sql::<DB>(
            "DELETE FROM requests WHERE (user_id, request_id) IN \
             (SELECT user_id, request_id FROM requests WHERE created_at <= $1 ORDER BY created_at LIMIT $2)",
        )
        .bind(millis(self.now - KEPT))
        .bind(self.limit)
        .run(connection)
        .await
        .map_err(failed::<DB>)?;
        Ok((forgotten, Keep::Yes))
    }
}
