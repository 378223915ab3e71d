//! The engines of the store: whatever is tested on one is tested on the other.

use std::path::PathBuf;

use gatehouse::{
    first_start::RootToken,
    store::{Location, sqlite},
};
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

use super::postgres::{self, Database};

/// What a store runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// Names tests once for each engine, in a module of the engine's name. A test that is not named is dead code, and so not
/// forgotten. They take the engine; `threads:` before the names gives them several threads.
macro_rules! on_both_engines {
    ($($test:ident)+) => {
        crate::support::engine::on_both_engines! { @module sqlite Sqlite [#[tokio::test]] $($test)+ }
        crate::support::engine::on_both_engines! { @module postgres Postgres [#[tokio::test]] $($test)+ }
    };
    (threads: $($test:ident)+) => {
        crate::support::engine::on_both_engines! {
            @module sqlite_threads Sqlite [#[tokio::test(flavor = "multi_thread", worker_threads = 4)]] $($test)+
        }
        crate::support::engine::on_both_engines! {
            @module postgres_threads Postgres [#[tokio::test(flavor = "multi_thread", worker_threads = 4)]] $($test)+
        }
    };
    (@module $module:ident $engine:ident $attributes:tt $($test:ident)+) => {
        mod $module {
            $(crate::support::engine::on_both_engines! { @test $engine $attributes $test })+
        }
    };
    (@test $engine:ident [$($attribute:tt)+] $test:ident) => {
        $($attribute)+
        async fn $test() {
            let engine = crate::support::engine::Engine::$engine;
            if engine.is_here() {
                super::$test(engine).await;
            }
        }
    };
}
pub(crate) use on_both_engines;

/// Runs an expression with a connection of its own to the database in a place, of the engine's own kind, past the store.
macro_rules! connected {
    ($place:expr, |$connection:ident| $body:expr) => {{
        use sqlx::Connection as _;

        match $place.location() {
            gatehouse::store::Location::Sqlite(file) => {
                let options = gatehouse::store::sqlite::options(&file);
                let mut $connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
                let output = $body;
                $connection.close().await.unwrap();
                output
            }
            gatehouse::store::Location::Postgres(settings) => {
                let mut $connection = sqlx::PgConnection::connect_with(&settings.primary).await.unwrap();
                let output = $body;
                $connection.close().await.unwrap();
                output
            }
        }
    }};
}
pub(crate) use connected;

impl Engine {
    /// Whether there is one to run tests on.
    pub fn is_here(self) -> bool {
        match self {
            Self::Sqlite => true,
            Self::Postgres => postgres::is_here(),
        }
    }

    /// A place for an empty store.
    pub async fn place(self) -> Place {
        self.place_with(Database::create).await
    }

    /// A place where nobody has made a schema yet.
    pub async fn bare_place(self) -> Place {
        self.place_with(Database::create_empty).await
    }

    async fn place_with<F: Future<Output = Database>>(self, database: impl FnOnce() -> F) -> Place {
        Place {
            folder: tempfile::tempdir().unwrap(),
            database: match self {
                Self::Sqlite => Site::File,
                Self::Postgres => Site::Own(database().await),
            },
        }
    }
}

/// A place for one store, gone when it is dropped.
pub struct Place {
    /// The data folder.
    pub folder: TempDir,
    database: Site,
}

/// Where the database of a place is.
enum Site {
    /// In the data folder.
    File,
    /// In the tests' PostgreSQL, for this place alone.
    Own(Database),
    /// Where this URL leads.
    At(String),
}

impl Place {
    /// A place for the store behind this URL, which stays.
    pub fn at(url: String) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            database: Site::At(url),
        }
    }

    /// Where the store is.
    pub fn location(&self) -> Location {
        match &self.database {
            Site::File => Location::Sqlite(self.file()),
            Site::Own(database) => postgres::location(&database.url),
            Site::At(url) => postgres::location(url),
        }
    }

    /// The same, as `--database-url`.
    pub fn url(&self) -> String {
        match &self.database {
            Site::File => format!("sqlite:{}", self.file().display()),
            Site::Own(database) => database.url.clone(),
            Site::At(url) => url.clone(),
        }
    }

    /// The first administrator's token is made, in the data folder.
    pub fn root_token(&self) -> RootToken {
        RootToken::MadeIn(self.folder.path().to_owned())
    }

    /// The file of a SQLite store.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("gatehouse.db")
    }
}

/// Holds every write to projects up, until it is dropped.
pub enum Obstacle {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Obstacle {
    /// Waits until nobody else writes.
    pub async fn put(place: &Place) -> Self {
        match place.location() {
            Location::Sqlite(file) => {
                let options = sqlite::options(&file);
                let mut other = SqliteConnection::connect_with(&options).await.unwrap();
                other.execute("BEGIN IMMEDIATE").await.unwrap();
                Self::Sqlite(other)
            }
            Location::Postgres(settings) => {
                let mut other = PgConnection::connect_with(&settings.primary).await.unwrap();
                other.execute("BEGIN").await.unwrap();
                other.execute("SELECT id FROM projects FOR UPDATE").await.unwrap();
                Self::Postgres(other)
            }
        }
    }

    /// Lets them go on.
    pub async fn take_away(self) {
        match self {
            Self::Sqlite(other) => other.close().await.unwrap(),
            Self::Postgres(other) => other.close().await.unwrap(),
        }
    }
}
