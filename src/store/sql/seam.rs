//! The seam between the one SQL store and its engines: the only place that names sqlx's generics.
//!
//! [`Driver`] is what an engine has to bring, [`Db`](super::db::Db) the list of all types that are bound to statements
//! or read from rows, [`Stmt`] a statement on its way. Both engines take the same text with `$1` placeholders.

use std::{borrow::Cow, future::Future, sync::Arc};

use sqlx::{
    Arguments, AssertSqlSafe, ColumnIndex, Database, Decode, Encode, FromRow, IntoArguments, Row as _,
    SqlSafeStr as _, SqlStr, Type, error::BoxDynError, migrate::Migrator,
};

use crate::metrics;

/// What went wrong, as far as it decides what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The engine is occupied or cannot write now; nothing was changed.
    Busy,
    /// Another transaction was in the way; a repeat can succeed.
    Conflict,
    /// The connection is away: what was under way may or may not have happened.
    Gone,
    /// Anything else: a defect.
    Other,
}

/// A text that begins a transaction. Made of constants and numbers only, which is what makes it safe.
#[derive(Debug, Clone)]
pub struct Opening(Arc<str>);

impl Opening {
    /// An opening of these statements.
    pub fn new(statements: &str) -> Self {
        Self(statements.into())
    }

    /// The text, for the driver.
    pub fn text(&self) -> SqlStr {
        AssertSqlSafe(Arc::clone(&self.0)).into_sql_str()
    }
}

/// How each kind of transaction begins.
#[derive(Debug, Clone)]
pub struct Openings {
    /// For a single statement that reads; none: it needs no transaction.
    pub read: Option<Opening>,
    /// Its statements all read what was committed at one moment.
    pub moment: Opening,
    /// It writes.
    pub write: Opening,
    /// It writes, and while it lasts nothing in the directory changes.
    pub write_project: Opening,
    /// It writes, and while it lasts nothing else that anything is decided about changes.
    pub write_directory: Opening,
}

/// What an engine brings.
pub trait Driver: Database<Arguments: IntoArguments<Self> + 'static> {
    /// The engine's name.
    const NAME: &'static str;

    /// Whether several servers share a store.
    const SHARED: bool;

    /// Counts the tables in which the migrations that were run are noted: one, or none.
    const MIGRATIONS_TABLES: &'static str;

    /// Reads the last id that any row of the table `$1` was given, or 0.
    const LAST_ID: &'static str;

    /// Makes the ids of the table `$1` go on behind `$2`.
    const SET_LAST_ID: &'static str;

    /// The id that the next deployment gets, as an expression; it is nobody else's from then on.
    const NEXT_DEPLOYMENT_ID: &'static str;

    /// Has the planner look at the tables after they were filled.
    const ANALYZE: Option<&'static str>;

    /// The schema's history.
    fn migrations() -> &'static Migrator;

    /// Makes one text of statements that write different rows.
    fn together(texts: &[String]) -> String;

    /// Runs statements without arguments and rows, one after the other.
    fn command(
        connection: &mut Self::Connection,
        text: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Runs a statement and returns its rows.
    fn rows(
        connection: &mut Self::Connection,
        sql: SqlStr,
        arguments: Self::Arguments,
    ) -> impl Future<Output = Result<Vec<Self::Row>, sqlx::Error>> + Send;

    /// Runs a statement and returns how many rows it changed.
    fn run(
        connection: &mut Self::Connection,
        sql: SqlStr,
        arguments: Self::Arguments,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Says what an error means; by code, never by text.
    fn classify(error: &sqlx::Error) -> Class;
}

/// Statements that write and whose answers nobody needs, sent to the database as one. Whether they are done one after the
/// other or all at once is the engine's affair: no two of them may be about the same row.
pub struct Batch<DB: Driver> {
    texts: Vec<String>,
    /// The arguments of all of them: placeholders are numbered throughout.
    stmt: Stmt<DB>,
}

impl<DB: Driver> Default for Batch<DB> {
    fn default() -> Self {
        Self {
            texts: Vec::new(),
            stmt: sql(""),
        }
    }
}

impl<DB: Driver> Batch<DB> {
    /// Adds a statement: its text and arguments behind those that are there.
    pub fn add(&mut self, write: impl FnOnce(Stmt<DB>) -> Stmt<DB>) {
        let mut stmt = write(std::mem::replace(&mut self.stmt, sql("")));
        self.texts.push(std::mem::take(&mut stmt.text).into_owned());
        self.stmt = stmt;
    }

    /// Runs what was added, if anything was.
    pub async fn run(&mut self, connection: &mut DB::Connection) -> Result<(), sqlx::Error> {
        let Self { texts, mut stmt } = std::mem::take(self);
        if texts.is_empty() {
            return Ok(());
        }
        stmt.text = Cow::Owned(DB::together(&texts));
        stmt.run(connection).await.map(drop)
    }
}

/// The engine can bind a `T`.
pub trait Carries<T>: Database {
    /// Adds a value to the arguments.
    fn add(arguments: &mut Self::Arguments, value: T) -> Result<(), BoxDynError>;
}

impl<DB: Database, T: for<'q> Encode<'q, DB> + Type<DB>> Carries<T> for DB {
    fn add(arguments: &mut Self::Arguments, value: T) -> Result<(), BoxDynError> {
        arguments.add(value)
    }
}

/// The engine's rows can be read as a `T`.
pub trait Reads<T>: Database {
    /// Reads a row.
    fn read(row: &Self::Row) -> Result<T, sqlx::Error>;
}

impl<DB: Database, T: for<'r> FromRow<'r, DB::Row>> Reads<T> for DB {
    fn read(row: &Self::Row) -> Result<T, sqlx::Error> {
        T::from_row(row)
    }
}

/// The engine's rows can be read value by value, by what a column is known to hold.
pub trait Cells: Database {
    /// A whole number.
    fn integer(row: &Self::Row, at: usize) -> Result<Option<i64>, sqlx::Error>;
    /// A floating-point number.
    fn real(row: &Self::Row, at: usize) -> Result<Option<f64>, sqlx::Error>;
    /// Yes or no.
    fn boolean(row: &Self::Row, at: usize) -> Result<Option<bool>, sqlx::Error>;
    /// A text.
    fn text(row: &Self::Row, at: usize) -> Result<Option<&str>, sqlx::Error>;
    /// Bytes.
    fn bytes(row: &Self::Row, at: usize) -> Result<Option<&[u8]>, sqlx::Error>;
}

impl<DB: Database> Cells for DB
where
    usize: ColumnIndex<DB::Row>,
    i64: for<'r> Decode<'r, DB> + Type<DB>,
    f64: for<'r> Decode<'r, DB> + Type<DB>,
    bool: for<'r> Decode<'r, DB> + Type<DB>,
    for<'r> &'r str: Decode<'r, DB> + Type<DB>,
    for<'r> &'r [u8]: Decode<'r, DB> + Type<DB>,
{
    fn integer(row: &Self::Row, at: usize) -> Result<Option<i64>, sqlx::Error> {
        row.try_get(at)
    }

    fn real(row: &Self::Row, at: usize) -> Result<Option<f64>, sqlx::Error> {
        row.try_get(at)
    }

    fn boolean(row: &Self::Row, at: usize) -> Result<Option<bool>, sqlx::Error> {
        row.try_get(at)
    }

    fn text(row: &Self::Row, at: usize) -> Result<Option<&str>, sqlx::Error> {
        row.try_get(at)
    }

    fn bytes(row: &Self::Row, at: usize) -> Result<Option<&[u8]>, sqlx::Error> {
        row.try_get(at)
    }
}

/// A statement with its arguments. Its text is put together from constants only, which is what makes it safe.
pub struct Stmt<DB: Driver> {
    text: Cow<'static, str>,
    arguments: DB::Arguments,
    failed: Option<BoxDynError>,
}

/// Starts a statement whose placeholders are numbered by hand: bind their values in that order.
pub fn sql<DB: Driver>(text: &'static str) -> Stmt<DB> {
    Stmt {
        text: Cow::Borrowed(text),
        arguments: DB::Arguments::default(),
        failed: None,
    }
}

impl<DB: Driver> Stmt<DB> {
    /// Gives the next placeholder its value.
    #[must_use]
    pub fn bind<T>(mut self, value: T) -> Self
    where
        DB: Carries<T>,
    {
        if let Err(error) = DB::add(&mut self.arguments, value) {
            self.failed.get_or_insert(error);
        }
        self
    }

    /// Adds text.
    #[must_use]
    pub fn push(mut self, text: &'static str) -> Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// Adds the next of several values.
    #[must_use]
    pub fn value<T>(self, value: T) -> Self
    where
        DB: Carries<T>,
    {
        let blank = if self.text.ends_with('(') { "" } else { ", " };
        self.push_bind(blank, value)
    }

    /// Adds text and, behind it, a placeholder with its value.
    #[must_use]
    pub fn push_bind<T>(self, text: &'static str, value: T) -> Self
    where
        DB: Carries<T>,
    {
        let mut stmt = self.push(text).bind(value);
        let place = format!("${}", stmt.arguments.len());
        stmt.text.to_mut().push_str(&place);
        stmt
    }

    /// Adds ` IN (...)` with these ids; no id is in an empty list.
    #[must_use]
    pub fn push_in(self, ids: impl IntoIterator<Item = i64>) -> Self
    where
        DB: Carries<i64>,
    {
        let listed = ids
            .into_iter()
            .fold(self.push(" IN (NULL"), |stmt, id| stmt.push_bind(", ", id));
        listed.push(")")
    }

    /// Adds ` IN (...)` with these texts; no text is in an empty list.
    #[must_use]
    pub fn push_in_texts(self, texts: impl IntoIterator<Item = String>) -> Self
    where
        DB: Carries<String>,
    {
        let listed = texts
            .into_iter()
            .fold(self.push(" IN (NULL"), |stmt, text| stmt.push_bind(", ", text));
        listed.push(")")
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn into_parts(self) -> Result<(SqlStr, DB::Arguments), sqlx::Error> {
        if let Some(error) = self.failed {
            return Err(sqlx::Error::Encode(error));
        }
        let sql = match self.text {
            Cow::Borrowed(text) => text.into_sql_str(),
            Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
        };
        Ok((sql, self.arguments))
    }

    /// Runs it and answers its rows as they are.
    pub async fn rows(self, connection: &mut DB::Connection) -> Result<Vec<DB::Row>, sqlx::Error> {
        let (sql, arguments) = self.into_parts()?;
        metrics::statement_sent();
        DB::rows(connection, sql, arguments).await
    }

    /// Runs it and reads every row.
    pub async fn all<T>(self, connection: &mut DB::Connection) -> Result<Vec<T>, sqlx::Error>
    where
        DB: Reads<T>,
    {
        self.rows(connection)
            .await?
            .iter()
            .map(<DB as Reads<T>>::read)
            .collect()
    }

    /// Runs it and reads the first row, if there is one.
    pub async fn optional<T>(self, connection: &mut DB::Connection) -> Result<Option<T>, sqlx::Error>
    where
        DB: Reads<T>,
    {
        self.rows(connection)
            .await?
            .first()
            .map(<DB as Reads<T>>::read)
            .transpose()
    }

    /// Runs it and reads the first row, which has to be there.
    pub async fn one<T>(self, connection: &mut DB::Connection) -> Result<T, sqlx::Error>
    where
        DB: Reads<T>,
    {
        self.optional(connection).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Runs it and returns how many rows it changed.
    pub async fn run(self, connection: &mut DB::Connection) -> Result<u64, sqlx::Error> {
        let (sql, arguments) = self.into_parts()?;
        metrics::statement_sent();
        DB::run(connection, sql, arguments).await
    }
}
