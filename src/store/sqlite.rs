//! SQLite: options, pools, migrations, and what its errors mean.

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{
    SqlStr, Sqlite, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{
        SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow,
        SqliteSynchronous,
    },
};

use tokio_util::sync::CancellationToken;

use super::{
    Result, StoreError,
    sql::{
        Db, SqlStore,
        connections::{Connections, Doubts},
        group_commit::{GroupCommit, Lanes},
        schema::{self, Level},
        seam::{Class, Driver, Opening, Openings},
    },
    wake::Wake,
};

/// The schema's history.
pub static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// How long a connection waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call waits for a connection before the store counts as busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many connections read. Each is a thread; more than a few do not help on one machine.
const READERS: u32 = 4;

/// The options of every connection: write-ahead log, each commit on disk before it is acknowledged, foreign keys on.
pub fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", "-16384")
        .pragma("temp_store", "MEMORY")
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        // A connection to a file does not go stale; asking would cost a thread hop each time.
        .test_before_acquire(false)
}

/// Opens the store in `file`, making it if it is not there, and brings its schema up to date.
pub async fn open(file: &Path) -> Result<SqlStore<Sqlite>> {
    migrate(file).await?;
    let connections = connect(file).await?;
    Ok(SqlStore::new(
        connections,
        Wake::default(),
        CancellationToken::new(),
    ))
}

/// Connections to the store in `file`, which has to be there, whatever its schema is.
pub async fn connect(file: &Path) -> Result<Connections<Sqlite>> {
    let options = options(file).create_if_missing(false);
    let writer = pool(1)
        .connect_with(options.clone())
        .await
        .map_err(StoreError::Unavailable)?;
    let reader = pool(READERS)
        .connect_with(options.pragma("query_only", "ON"))
        .await
        .map_err(StoreError::Unavailable)?;
    Ok(connections(writer, reader))
}

/// A store on these connections, of which one writes.
pub fn on(writer: SqlitePool, reader: SqlitePool) -> SqlStore<Sqlite> {
    SqlStore::new(
        connections(writer, reader),
        Wake::default(),
        CancellationToken::new(),
    )
}

fn connections(writer: SqlitePool, reader: SqlitePool) -> Connections<Sqlite> {
    // A plain BEGIN would read first and then fail at once when another writer came between. As there is one writer at a
    // time, it has every lock.
    let write = Opening::new("BEGIN IMMEDIATE");
    Connections {
        writer,
        reader,
        openings: Openings {
            read: None,
            moment: Opening::new("BEGIN"),
            write_project: write.clone(),
            write_directory: write.clone(),
            write,
        },
        patience: None,
        doubts: Doubts::default(),
        group: Arc::new(GroupCommit::by(Lanes::One)),
    }
}

/// Brings the schema of the store in `file` up to date, making the store if it is not there.
///
/// On a connection of its own: what the planner is told of the tables is read when a connection opens.
pub async fn migrate(file: &Path) -> Result<()> {
    let pool = pool(1)
        .connect_with(options(file))
        .await
        .map_err(StoreError::Unavailable)?;
    let level = {
        let mut connection = pool.acquire().await.map_err(StoreError::Unavailable)?;
        schema::level::<Sqlite>(&mut connection).await?
    };
    if let Level::Behind(_) = level {
        MIGRATIONS.run(&pool).await.map_err(StoreError::Migration)?;
    }
    pool.close().await;
    Ok(())
}

impl Driver for Sqlite {
    const NAME: &'static str = "sqlite";
    const SHARED: bool = false;
    const MIGRATIONS_TABLES: &'static str =
        "SELECT COUNT(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    const LAST_ID: &'static str = "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = $1";
    const SET_LAST_ID: &'static str = "INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq) \
         VALUES ((SELECT rowid FROM sqlite_sequence WHERE name = $1), $1, $2)";
    // Ids are never given again, and one connection writes.
    const NEXT_DEPLOYMENT_ID: &'static str =
        "(SELECT COALESCE(MAX(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'deployments')";
    // The planner is told once and for all, by a migration.
    const ANALYZE: Option<&'static str> = None;

    fn migrations() -> &'static Migrator {
        &MIGRATIONS
    }

    /// One after the other, by one hop to the connection's thread.
    fn together(texts: &[String]) -> String {
        texts.join("; ")
    }

    async fn command(
        connection: &mut SqliteConnection,
        text: &'static str,
    ) -> std::result::Result<(), sqlx::Error> {
        sqlx::query(text).execute(connection).await.map(drop)
    }

    async fn rows(
        connection: &mut SqliteConnection,
        sql: SqlStr,
        arguments: SqliteArguments,
    ) -> std::result::Result<Vec<SqliteRow>, sqlx::Error> {
        sqlx::query_with(sql, arguments).fetch_all(connection).await
    }

    async fn run(
        connection: &mut SqliteConnection,
        sql: SqlStr,
        arguments: SqliteArguments,
    ) -> std::result::Result<u64, sqlx::Error> {
        sqlx::query_with(sql, arguments)
            .execute(connection)
            .await
            .map(|done| done.rows_affected())
    }

    fn classify(error: &sqlx::Error) -> Class {
        const BUSY: i32 = 5;
        const LOCKED: i32 = 6;
        const READ_ONLY: i32 = 8;
        const IO_ERROR: i32 = 10;
        const FULL: i32 = 13;
        const CANNOT_OPEN: i32 = 14;
        match error {
            sqlx::Error::Database(database) => {
                if database.is_unique_violation() || database.is_foreign_key_violation() {
                    return Class::Conflict;
                }
                let code = database.code().and_then(|code| code.parse::<i32>().ok());
                // The low byte is the primary code.
                match code.map(|code| code & 0xff) {
                    Some(BUSY | LOCKED | READ_ONLY | FULL | CANNOT_OPEN) => Class::Busy,
                    Some(IO_ERROR) => Class::Gone,
                    _ => Class::Other,
                }
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Class::Busy,
            sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => Class::Gone,
            _ => Class::Other,
        }
    }
}

impl Db for Sqlite {}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    use super::*;

    /// `.cargo/config.toml` says why.
    #[tokio::test]
    async fn sqlite_is_built_without_its_process_wide_mutexes() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = SqliteConnection::connect_with(&options(&folder.path().join("store")))
            .await
            .unwrap();
        let built: Vec<(String,)> = sqlx::query_as("PRAGMA compile_options")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let has = |name: &str| built.iter().any(|(option,)| option == name);
        assert!(has("DEFAULT_MEMSTATUS=0"), "{built:?}");
        assert!(!has("ENABLE_MEMORY_MANAGEMENT"), "{built:?}");
    }

    #[tokio::test]
    async fn a_commit_is_on_disk_before_it_is_answered_and_foreign_keys_hold() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = SqliteConnection::connect_with(&options(&folder.path().join("store")))
            .await
            .unwrap();
        for (pragma, wanted) in [("PRAGMA synchronous", 2), ("PRAGMA foreign_keys", 1)] {
            let (value,): (i64,) = sqlx::query_as(pragma).fetch_one(&mut connection).await.unwrap();
            assert_eq!(value, wanted, "{pragma}");
        }
        let (mode,): (String,) = sqlx::query_as("PRAGMA journal_mode")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(mode, "wal");
    }
}
