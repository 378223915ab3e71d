//! Moving house: what a store holds as a stream of lines, from any engine into any engine; and copies of a running store.
//!
//! The form of the lines is documented in the README, under "Moving and backup"; `form` writes it, `read` reads it,
//! `manifest` says what is moved.

mod export;
mod form;
mod import;
pub mod manifest;
mod read;

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use sqlx::Sqlite;

use super::{
    Location, SchemaError, StoreError, postgres,
    sql::{failed, seam::sql},
    sqlite,
};
use crate::domain::Time;
pub use form::Trailer;
pub use read::ReadError;

/// Why nothing, or not everything, was moved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no store.
    #[error("there is no database in {0}")]
    Missing(PathBuf),
    /// The export cannot be written.
    #[error("cannot write")]
    Output(#[source] io::Error),
    /// What is to be imported is no export, or not whole.
    #[error(transparent)]
    Export(#[from] ReadError),
    /// The store is in use.
    #[error("the database is not empty: its table {0} has rows")]
    NotEmpty(&'static str),
    /// It is there.
    #[error("this export, made at {0}, was imported into this database before; nothing was changed")]
    Imported(String),
    /// Part of another one is there.
    #[error(
        "the import of another export, made at {0}, into this database is not complete: complete it, or begin with an \
         empty database"
    )]
    Another(String),
    /// Somebody else does it.
    #[error("another import into this database is under way")]
    UnderWay,
    /// The database does not take what the export has.
    #[error("lines {first} to {last}: the database does not take these rows of the table {table}")]
    Refused {
        /// The table.
        table: &'static str,
        /// The line of the first of the rows.
        first: u64,
        /// The line of the last.
        last: u64,
        /// What it says.
        source: sqlx::Error,
    },
    /// What is there now is not what the export has.
    #[error("the table {0} of the database is not as in the export; begin with an empty database")]
    Differs(&'static str),
    /// The engine has its own ways.
    #[error("a PostgreSQL database is copied by pg_dump, or by `gatehouse export`")]
    NotSqlite,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// An export is written; counted in rows.
    Exporting,
    /// A file is read, to see that it is whole; counted in bytes.
    Checking,
    /// Rows are written into the store.
    Importing,
    /// The store is read, to see that it has what the export has; counted in rows.
    Comparing,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// The table that it is done with.
    pub table: &'static str,
    /// How much is done.
    pub done: u64,
    /// How much there is, where that is known.
    pub total: Option<u64>,
}

/// Is told how far it is.
pub type Told = Arc<dyn Fn(Progress) + Send + Sync>;

/// Who makes an export, and when.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// When it is begun.
    pub made_at: Time,
    /// The version of the program.
    pub made_by: String,
}

/// Where an export is read from.
pub enum Source {
    /// A file, which is read twice: once to see that it is whole, before anything is changed.
    File(File),
    /// What can be read once only.
    Stream(Box<dyn Read + Send>),
}

/// Writes all that a store holds at this moment.
pub async fn export(
    location: &Location,
    stamp: Stamp,
    out: impl Write + Send,
    told: Told,
) -> Result<Trailer, Error> {
    match location {
        Location::Sqlite(file) => {
            let connections = sqlite::connect(present(file)?).await?;
            export::export(&connections, stamp, out, &told).await
        }
        Location::Postgres(settings) => {
            let connections = postgres::connect_without_limits(settings).await?;
            export::export(&connections, stamp, out, &told).await
        }
    }
}

/// Fills an empty store with what an export has, or goes on with it where it broke off.
///
/// A SQLite store is made if it is not there; that of PostgreSQL has to have its schema. As long as this is not complete,
/// the store is served by nobody.
pub async fn import(location: &Location, source: Source, told: Told) -> Result<Trailer, Error> {
    match location {
        Location::Sqlite(file) => {
            match sqlite::migrate(file).await {
                Ok(()) | Err(StoreError::Schema(SchemaError::Importing)) => {}
                Err(error) => return Err(error.into()),
            }
            let connections = sqlite::connect(file).await?;
            import::import(&connections, source, told).await
        }
        Location::Postgres(settings) => {
            let connections = postgres::connect_without_limits(settings).await?;
            import::import(&connections, source, told).await
        }
    }
}

/// Copies a SQLite store as it is at this moment, while it is served, into a file that is empty or not there.
pub async fn backup(location: &Location, copy: &Path) -> Result<(), Error> {
    let Location::Sqlite(file) = location else {
        return Err(Error::NotSqlite);
    };
    let connections = sqlite::connect(present(file)?).await?;
    let mut connection = connections.writer.acquire().await.map_err(failed::<Sqlite>)?;
    sql::<Sqlite>("VACUUM INTO $1")
        .bind(copy.to_string_lossy().into_owned())
        .run(&mut connection)
        .await
        .map_err(failed::<Sqlite>)?;
    Ok(())
}

fn present(file: &Path) -> Result<&Path, Error> {
    if file.exists() {
        Ok(file)
    } else {
        Err(Error::Missing(file.to_owned()))
    }
}
