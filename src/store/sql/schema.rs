//! Which schema a store has, and whether this program can serve it.
//!
//! Migrations are numbered alike on every engine. A program serves the schema that its own migrations make, and a newer one
//! that says that it may: so the servers of two versions work side by side while one takes the other's place.

use sqlx::{FromRow, migrate::Migrator};

use super::{Db, failed, seam::sql};
use crate::store::{Result, StoreError};

/// Why a store cannot be served or migrated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// There is no schema yet.
    #[error("the database is empty: run `gatehouse migrate` first")]
    Empty,
    /// Migrations are missing.
    #[error(
        "the database has schema {found}, and this version needs {needed}: run `gatehouse migrate` of this version first"
    )]
    Older {
        /// What it has.
        found: i64,
        /// What it should have.
        needed: i64,
    },
    /// A newer version made it, and says that this one must not serve it.
    #[error(
        "the database has schema {found}, which this version (schema {known}) cannot serve: use a newer version"
    )]
    Newer {
        /// What it has.
        found: i64,
        /// What this version knows.
        known: i64,
    },
    /// A migration began and did not end.
    #[error("migration {0} of the database was not completed: restore a backup, or complete it by hand")]
    Unfinished(i64),
    /// A migration is not the one that this program knows by its number.
    #[error(
        "migration {0} of the database is not the one that this version knows: this is another program's database"
    )]
    Foreign(i64),
    /// An import began and did not end.
    #[error("an import into this database is not complete: complete it with `gatehouse import`")]
    Importing,
}

/// What a store says of its own schema.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct InstallationRow {
    /// The first schema that a program has to know to serve this one.
    pub compatible_from: i64,
    /// The header of the export that is being imported.
    pub importing: Option<String>,
    /// The header of the one that was imported.
    pub imported: Option<String>,
    /// How many of its rows are here.
    pub imported_rows: i64,
}

/// The schema that a list of migrations makes.
pub fn latest(migrations: &Migrator) -> i64 {
    migrations
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default()
}

/// Whether the store behind a connection can be served now.
pub async fn check<DB: Db>(connection: &mut DB::Connection) -> Result<()> {
    let installation = installation::<DB>(connection).await?;
    let known = latest(DB::migrations());
    if installation.compatible_from > known {
        return Err(SchemaError::Newer {
            found: installation.compatible_from,
            known,
        }
        .into());
    }
    match installation.importing {
        Some(_) => Err(SchemaError::Importing.into()),
        None => Ok(()),
    }
}

/// The one row of the table `installation`.
pub async fn installation<DB: Db>(connection: &mut DB::Connection) -> Result<InstallationRow> {
    sql::<DB>("SELECT compatible_from, importing, imported, imported_rows FROM installation WHERE id = 1")
        .one(connection)
        .await
        .map_err(failed::<DB>)
}

/// How far a schema is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Migrations are to be run.
    Behind(SchemaBehind),
    /// It is what this program knows, or newer and fit for it.
    Served,
}

/// What is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaBehind {
    /// The last migration that was run; none: there is no schema.
    pub found: Option<i64>,
    /// The one that this program needs.
    pub needed: i64,
}

impl From<SchemaBehind> for SchemaError {
    fn from(behind: SchemaBehind) -> Self {
        match behind.found {
            None => Self::Empty,
            Some(found) => Self::Older {
                found,
                needed: behind.needed,
            },
        }
    }
}

/// How far the schema behind a connection is. An error: it is none that this program could serve or migrate.
pub async fn level<DB: Db>(connection: &mut DB::Connection) -> Result<Level> {
    let migrations = DB::migrations();
    let known = latest(migrations);
    let behind = |found| Level::Behind(SchemaBehind { found, needed: known });
    let (tables,) = sql::<DB>(DB::MIGRATIONS_TABLES)
        .one::<(i64,)>(&mut *connection)
        .await
        .map_err(failed::<DB>)?;
    if tables == 0 {
        return Ok(behind(None));
    }
    let applied: Vec<AppliedRow> =
        sql::<DB>("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
            .all(&mut *connection)
            .await
            .map_err(failed::<DB>)?;
    if let Some(unfinished) = applied.iter().find(|applied| !applied.success) {
        return Err(SchemaError::Unfinished(unfinished.version).into());
    }
    for migration in migrations.iter() {
        if let Some(applied) = applied
            .iter()
            .find(|applied| applied.version == migration.version)
            && *applied.checksum != *migration.checksum
        {
            return Err(SchemaError::Foreign(migration.version).into());
        }
    }
    let found = applied.iter().map(|applied| applied.version).max();
    let newer = found.filter(|&found| found > known);
    let complete = migrations
        .iter()
        .all(|migration| applied.iter().any(|applied| applied.version == migration.version));
    if complete {
        let installation = installation::<DB>(connection).await?;
        return match newer {
            Some(found) if installation.compatible_from > known => {
                Err(SchemaError::Newer { found, known }.into())
            }
            _ if installation.importing.is_some() => Err(SchemaError::Importing.into()),
            _ => Ok(Level::Served),
        };
    }
    match newer {
        Some(found) => Err(SchemaError::Newer { found, known }.into()),
        None => Ok(behind(found)),
    }
}

/// Whether the schema behind a connection is the very one that this program knows, whether or not an import is complete.
pub async fn is_known<DB: Db>(connection: &mut DB::Connection) -> Result<()> {
    match level::<DB>(&mut *connection).await {
        Ok(Level::Behind(behind)) => return Err(StoreError::Schema(behind.into())),
        Ok(Level::Served) | Err(StoreError::Schema(SchemaError::Importing)) => {}
        Err(error) => return Err(error),
    }
    let (found,) = sql::<DB>("SELECT MAX(version) FROM _sqlx_migrations")
        .one::<(i64,)>(connection)
        .await
        .map_err(failed::<DB>)?;
    let known = latest(DB::migrations());
    if found > known {
        return Err(SchemaError::Newer { found, known }.into());
    }
    Ok(())
}

/// A migration that was run, as sqlx notes it.
#[derive(Debug, FromRow)]
pub struct AppliedRow {
    version: i64,
    success: bool,
    checksum: Vec<u8>,
}
