//! Leases: work that one of the servers on a store does for all.

use async_trait::async_trait;
use sqlx::FromRow;

use super::{Db, Keep, Lock, Work, event::Told, failed, seam::sql};
use crate::store::{Lease, Result};

/// A row of the table `leases`.
#[derive(Debug, FromRow)]
pub struct LeaseRow {
    holder: String,
    beat: i64,
}

/// The lease of that name, if somebody ever took it.
pub async fn find<DB: Db>(connection: &mut DB::Connection, name: &str) -> Result<Option<Lease>> {
    let row: Option<LeaseRow> = sql::<DB>("SELECT holder, beat FROM leases WHERE name = $1")
        .bind(name.to_owned())
        .optional(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(row.map(|row| Lease {
        holder: row.holder,
        beat: row.beat,
    }))
}

/// Takes a lease, or lets it beat on, if it is still as it was seen.
pub struct Take {
    /// The lease's name.
    pub name: String,
    /// Who takes it.
    pub holder: String,
    /// As it was seen; none: nobody ever had it.
    pub seen: Option<Lease>,
}

#[async_trait]
impl<DB: Db> Work<DB> for Take {
    const LOCK: Lock = Lock::None;

    type Output = bool;

    async fn run(&self, connection: &mut DB::Connection, _: &mut Told) -> Result<(bool, Keep)> {
        let stmt = match &self.seen {
            None => sql::<DB>(
                "INSERT INTO leases (name, holder, beat) VALUES ($1, $2, 1) ON CONFLICT (name) DO NOTHING",
            )
            .bind(self.name.clone())
            .bind(self.holder.clone()),
            Some(seen) => sql::<DB>("UPDATE leases SET holder = $2, beat = beat + 1 WHERE name = $1")
                .bind(self.name.clone())
                .bind(self.holder.clone())
                .push_bind(" AND holder = ", seen.holder.clone())
                .push_bind(" AND beat = ", seen.beat),
        };
        let taken = stmt.run(connection).await.map_err(failed::<DB>)?;
        Ok((taken == 1, Keep::Yes))
    }
}
