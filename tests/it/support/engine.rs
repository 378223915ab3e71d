//! The engines of the store: whatever is tested on one is tested on the other.

use std::path::PathBuf;

use gatehouse::store::Location;
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
    (@module $module:ident $engine:ident [$($attribute:tt)+] $($test:ident)+) => {
        mod $module {
            $(crate::support::engine::on_both_engines! { @test $engine [$($attribute)+] $test })+
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
        let folder = tempfile::tempdir().unwrap();
        let database = match self {
            Self::Sqlite => None,
            Self::Postgres => Some(Database::create().await),
        };
        Place { folder, database }
    }
}

/// A place for one store, gone when it is dropped.
pub struct Place {
    /// The data folder.
    pub folder: TempDir,
    database: Option<Database>,
}

impl Place {
    /// Where the store is.
    pub fn location(&self) -> Location {
        match &self.database {
            None => Location::Sqlite(self.file()),
            Some(database) => postgres::location(&database.url),
        }
    }

    /// The same, as `--database-url`.
    pub fn url(&self) -> String {
        match &self.database {
            None => format!("sqlite:{}", self.file().display()),
            Some(database) => database.url.clone(),
        }
    }

    /// The file of a SQLite store.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("gatehouse.db")
    }
}
