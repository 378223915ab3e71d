//! Filling a store from an export.
//!
//! A thread reads the export and sends its rows in batches; each batch is one transaction, which also notes how many rows
//! are there now. Who goes on after a crash reads the export from its beginning and passes over as many.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _},
    thread,
};

use tokio::sync::mpsc;

use super::{
    Error, Progress, Source, Stage, Told,
    export::{Reading, listed},
    form::{Cell, End, Header, Trailer, line_of},
    manifest::{Column, Kind, Table, tables_in},
    read::{Item, ReadError, Reader},
};
use crate::store::{
    StoreError,
    sql::{
        Db,
        connections::Connections,
        failed,
        schema::{self, InstallationRow},
        seam::{Class, Stmt, sql},
    },
};

/// How much is read at once.
const BUFFER: usize = 1 << 20;
/// The most rows of a batch.
const BATCH_ROWS: usize = 8_192;
/// A batch whose lines have more bytes than this is complete.
const BATCH_BYTES: u64 = 8 << 20;
/// How many batches are read ahead.
const AHEAD: usize = 2;
/// How many rows statements insert: few different numbers, so that each is prepared once.
const AT_ONCE: [usize; 3] = [512, 32, 1];
/// The most values that a statement has. SQLite takes 32,766.
const VALUES_MAX: usize = 32_000;
/// After how many rows of a check somebody is told.
const CHECKED: u64 = 50_000;

/// Rows of one table.
struct Batch {
    table: &'static Table,
    /// How many rows of the export are before.
    before: u64,
    /// Their first and last lines.
    lines: (u64, u64),
    rows: Vec<Vec<Cell>>,
}

/// What the reading thread has to say.
enum Message {
    /// The header.
    Header(Header),
    /// How many bytes of the file are checked.
    Checked(&'static str, u64, u64),
    /// How many rows there are.
    Total(u64),
    /// The next rows.
    Batch(Batch),
    /// The export is complete.
    Complete(Vec<End>, Trailer),
}

type Messages = mpsc::Sender<Result<Message, ReadError>>;

/// Fills an empty store, or goes on with it.
pub async fn import<DB>(connections: &Connections<DB>, source: Source, told: Told) -> Result<Trailer, Error>
where
    DB: Db,
{
    let known = schema::latest(DB::migrations());
    let (sender, mut messages) = mpsc::channel(AHEAD);
    // Not one of the runtime's threads: that would wait for it at its end, and it may wait for input that never comes.
    thread::spawn(move || {
        if let Err(error) = read(source, known, &sender) {
            // Nobody wants to know any more.
            let _ = sender.blocking_send(Err(error));
        }
    });
    let mut import: Option<Import<'_, DB>> = None;
    let mut total = None;
    while let Some(message) = messages.recv().await {
        match (message?, &mut import) {
            (Message::Header(header), None) => {
                import = Some(Import::new(connections, header, &told).await?);
            }
            (Message::Checked(table, done, of), _) => told(Progress {
                stage: Stage::Checking,
                table,
                done,
                total: Some(of),
            }),
            (Message::Total(rows), _) => total = Some(rows),
            (Message::Batch(batch), Some(import)) => import.take(batch, total).await?,
            (Message::Complete(ends, trailer), Some(import)) => {
                import.finish(&ends).await?;
                return Ok(trailer);
            }
            _ => break,
        }
    }
    Err(StoreError::Other("the export was not read to its end".into()).into())
}

/// Reads an export and sends what it has.
fn read(source: Source, known: i64, messages: &Messages) -> Result<(), ReadError> {
    match source {
        Source::Stream(stream) => {
            let mut reader = Reader::new(BufReader::with_capacity(BUFFER, stream), known)?;
            send(messages, Message::Header(reader.header().clone()));
            rows(&mut reader, messages)
        }
        Source::File(file) => {
            let size = file.metadata().map(|metadata| metadata.len()).unwrap_or_default();
            let mut reader = Reader::new(BufReader::with_capacity(BUFFER, file), known)?;
            send(messages, Message::Header(reader.header().clone()));
            check(&mut reader, size, messages)?;
            let again = rewound(reader.into_input().into_inner())?;
            let mut reader = Reader::new(BufReader::with_capacity(BUFFER, again), known)?;
            rows(&mut reader, messages)
        }
    }
}

fn rewound(mut file: File) -> Result<File, ReadError> {
    match file.rewind() {
        Ok(()) => Ok(file),
        Err(source) => Err(ReadError::Input { line: 1, source }),
    }
}

/// Sends a message; false: nobody hears it any more.
fn send(messages: &Messages, message: Message) -> bool {
    messages.blocking_send(Ok(message)).is_ok()
}

/// Reads to the end, to see that all is as it was written.
fn check<R: Read>(
    reader: &mut Reader<BufReader<R>>,
    size: u64,
    messages: &Messages,
) -> Result<(), ReadError> {
    let mut table = "";
    while let Some(item) = reader.next()? {
        match item {
            Item::Begin(begun) => table = begun.name,
            Item::Row(_) if !reader.rows().is_multiple_of(CHECKED) => {}
            Item::Row(_) | Item::End(_) => {
                if !send(messages, Message::Checked(table, reader.bytes(), size)) {
                    return Ok(());
                }
            }
            Item::Complete(trailer) => {
                send(messages, Message::Total(trailer.total));
            }
        }
    }
    Ok(())
}

/// Sends all rows, and then what the export says of them.
fn rows<R: Read>(reader: &mut Reader<BufReader<R>>, messages: &Messages) -> Result<(), ReadError> {
    let mut ends = Vec::new();
    let mut complete = None;
    let mut batch: Option<Batch> = None;
    let mut begun_at = 0;
    while let Some(item) = reader.next()? {
        match item {
            Item::Begin(table) => {
                begun_at = reader.bytes();
                batch = Some(Batch::new(table, reader.rows()));
            }
            Item::Row(row) => {
                let Some(filling) = &mut batch else { continue };
                filling.add(row, reader.line());
                if filling.rows.len() < BATCH_ROWS && reader.bytes() - begun_at < BATCH_BYTES {
                    continue;
                }
                begun_at = reader.bytes();
                let next = Batch::new(filling.table, reader.rows());
                if !send(messages, Message::Batch(std::mem::replace(filling, next))) {
                    return Ok(());
                }
            }
            Item::End(end) => {
                ends.push(end);
                let last = batch.take().filter(|batch| !batch.rows.is_empty());
                if let Some(last) = last
                    && !send(messages, Message::Batch(last))
                {
                    return Ok(());
                }
            }
            Item::Complete(trailer) => complete = Some(trailer),
        }
    }
    if let Some(trailer) = complete {
        send(messages, Message::Complete(ends, trailer));
    }
    Ok(())
}

impl Batch {
    fn new(table: &'static Table, before: u64) -> Self {
        Self {
            table,
            before,
            lines: (0, 0),
            rows: Vec::new(),
        }
    }

    fn add(&mut self, row: Vec<Cell>, line: u64) {
        if self.rows.is_empty() {
            self.lines.0 = line;
        }
        self.lines.1 = line;
        self.rows.push(row);
    }
}

/// An import into a store.
struct Import<'a, DB: Db> {
    connections: &'a Connections<DB>,
    header: Header,
    /// The header as the store notes it.
    name: String,
    /// How many rows are there; none: the store is not marked yet.
    done: Option<u64>,
    told: &'a Told,
}

impl<'a, DB> Import<'a, DB>
where
    DB: Db,
{
    /// An import into a store that can take it.
    async fn new(connections: &'a Connections<DB>, header: Header, told: &'a Told) -> Result<Self, Error> {
        let name = line_of(&header).map_err(Error::Output)?;
        let import = Self {
            connections,
            name: String::from_utf8_lossy(name.trim_ascii_end()).into_owned(),
            header,
            done: None,
            told,
        };
        let mut connection = connections.reader().await?;
        schema::is_known::<DB>(&mut connection).await?;
        import.rows_there(&mut connection).await?;
        Ok(import)
    }

    /// How many of its rows are there; none: the store is empty. An error: the store cannot take it.
    async fn rows_there(&self, connection: &mut DB::Connection) -> Result<Option<u64>, Error> {
        let InstallationRow {
            importing,
            imported,
            imported_rows,
            ..
        } = schema::installation::<DB>(&mut *connection).await?;
        match importing {
            Some(name) if name == self.name => {
                return Ok(Some(u64::try_from(imported_rows).unwrap_or_default()));
            }
            Some(other) => return Err(Error::Another(made_at(&other))),
            None if imported.as_ref() == Some(&self.name) => {
                return Err(Error::Imported(self.header.made_at.clone()));
            }
            None => {}
        }
        // The directory's one row is there from the beginning.
        let known = schema::latest(DB::migrations());
        for table in tables_in(known).filter(|table| table.name != DIRECTORY) {
            let stmt = sql::<DB>("SELECT COUNT(*) FROM (SELECT 1 AS one FROM ")
                .push(table.name)
                .push(" LIMIT 1) AS first");
            let (rows,) = stmt.one::<(i64,)>(&mut *connection).await.map_err(failed::<DB>)?;
            if rows != 0 {
                return Err(Error::NotEmpty(table.name));
            }
        }
        Ok(None)
    }

    /// Marks the store as one that is being filled, if it is not yet; answers how many rows are there.
    async fn claim(&self) -> Result<u64, Error> {
        let mut connection = self.writer().await?;
        let opening = &self.connections.openings.write_directory;
        let mut transaction = self.connections.begin(&mut connection, opening).await?;
        if let Some(rows) = self.rows_there(&mut transaction).await? {
            return Ok(rows);
        }
        sql::<DB>("DELETE FROM directory")
            .run(&mut transaction)
            .await
            .map_err(failed::<DB>)?;
        sql::<DB>("UPDATE installation SET importing = $1, imported_rows = 0 WHERE id = 1")
            .bind(self.name.clone())
            .run(&mut transaction)
            .await
            .map_err(failed::<DB>)?;
        transaction.commit().await.map_err(failed::<DB>)?;
        Ok(0)
    }

    async fn writer(&self) -> Result<sqlx::pool::PoolConnection<DB>, Error> {
        Ok(self.connections.writer.acquire().await.map_err(failed::<DB>)?)
    }

    /// Writes a batch, or what of it is not there yet.
    async fn take(&mut self, mut batch: Batch, total: Option<u64>) -> Result<(), Error> {
        let done = match self.done {
            Some(done) => done,
            None => self.claim().await?,
        };
        self.done = Some(done);
        let there = usize::try_from(done.saturating_sub(batch.before)).unwrap_or(usize::MAX);
        if there >= batch.rows.len() {
            return Ok(());
        }
        batch.rows.drain(..there);
        let columns = batch.table.columns_in(self.header.schema);
        let rows_after = done + u64::try_from(batch.rows.len()).unwrap_or_default();

        let mut connection = self.writer().await?;
        let opening = &self.connections.openings.write;
        let mut transaction = self.connections.begin(&mut connection, opening).await?;
        let noted = sql::<DB>("UPDATE installation SET imported_rows = ")
            .push_bind("", i64::try_from(rows_after).unwrap_or(i64::MAX))
            .push_bind(
                " WHERE id = 1 AND imported_rows = ",
                i64::try_from(done).unwrap_or(i64::MAX),
            )
            .push_bind(" AND importing = ", self.name.clone());
        if noted.run(&mut transaction).await.map_err(failed::<DB>)? != 1 {
            return Err(Error::UnderWay);
        }
        for stmt in inserts::<DB>(batch.table, &columns, batch.rows) {
            stmt.run(&mut transaction)
                .await
                .map_err(|source| match DB::classify(&source) {
                    Class::Busy | Class::Gone => Error::Store(failed::<DB>(source)),
                    Class::Conflict | Class::Other => Error::Refused {
                        table: batch.table.name,
                        first: batch.lines.0,
                        last: batch.lines.1,
                        source,
                    },
                })?;
        }
        transaction.commit().await.map_err(failed::<DB>)?;
        self.done = Some(rows_after);
        (self.told)(Progress {
            stage: Stage::Importing,
            table: batch.table.name,
            done: rows_after,
            total,
        });
        Ok(())
    }

    /// Compares what is there with what the export says of itself, and gives the store free.
    async fn finish(&self, ends: &[End]) -> Result<(), Error> {
        if self.done.is_none() {
            self.claim().await?;
        }
        let mut connection = self.writer().await?;
        for (table, end) in tables_in(self.header.schema).zip(ends) {
            if table.gives_ids {
                sql::<DB>(DB::SET_LAST_ID)
                    .bind(table.name.to_owned())
                    .bind(end.last_id)
                    .run(&mut connection)
                    .await
                    .map_err(failed::<DB>)?;
            }
        }
        if let Some(analyze) = DB::ANALYZE {
            let analyzed = sql::<DB>(analyze).run(&mut connection).await;
            analyzed.map_err(failed::<DB>)?;
        }
        let reading = Reading {
            header: &self.header,
            stage: Stage::Comparing,
            told: self.told,
        };
        let moment = &self.connections.openings.moment;
        let mut transaction = self.connections.begin(&mut connection, moment).await?;
        let (there, _) = reading.write::<DB>(&mut transaction, io::sink()).await?;
        drop(transaction);
        for (table, (there, end)) in tables_in(self.header.schema).zip(there.iter().zip(ends)) {
            if there != end {
                return Err(Error::Differs(table.name));
            }
        }
        let complete =
            "UPDATE installation SET imported = importing, importing = NULL WHERE id = 1 AND importing = $1";
        let completed = sql::<DB>(complete).bind(self.name.clone());
        if completed.run(&mut connection).await.map_err(failed::<DB>)? == 1 {
            Ok(())
        } else {
            Err(Error::UnderWay)
        }
    }
}

/// The table that is never empty.
const DIRECTORY: &str = "directory";

/// When an export was made that has this header.
fn made_at(header: &str) -> String {
    serde_json::from_str(header)
        .map_or_else(|_| "an unknown time".to_owned(), |header: Header| header.made_at)
}

/// The statements that insert these rows.
fn inserts<DB: Db>(
    table: &'static Table,
    columns: &[&'static Column],
    rows: Vec<Vec<Cell>>,
) -> impl Iterator<Item = Stmt<DB>> {
    let fitting = AT_ONCE.map(|rows| rows.min(VALUES_MAX / columns.len()));
    let mut left = rows.into_iter();
    std::iter::from_fn(move || {
        let size = fitting.into_iter().find(|&size| size <= left.len())?;
        Some(insert(table, columns, left.by_ref().take(size)))
    })
}

fn insert<DB: Db>(
    table: &'static Table,
    columns: &[&'static Column],
    rows: impl Iterator<Item = Vec<Cell>>,
) -> Stmt<DB> {
    let stmt = sql::<DB>("INSERT INTO ").push(table.name).push(" (");
    let mut stmt = listed(stmt, columns.iter().map(|column| column.name)).push(") VALUES ");
    for (number, row) in rows.enumerate() {
        let mut before = if number == 0 { "(" } else { ", (" };
        for (cell, column) in row.into_iter().zip(columns) {
            stmt = bind(stmt, before, cell, column.kind);
            before = ", ";
        }
        stmt = stmt.push(")");
    }
    stmt
}

/// Adds text and a value behind it.
fn bind<DB: Db>(stmt: Stmt<DB>, before: &'static str, cell: Cell, kind: Kind) -> Stmt<DB> {
    match (cell, kind) {
        (Cell::Integer(value), _) => stmt.push_bind(before, value),
        (Cell::Real(value), _) => stmt.push_bind(before, Some(value)),
        (Cell::Boolean(value), _) => stmt.push_bind(before, value),
        (Cell::Text(value), _) => stmt.push_bind(before, value),
        (Cell::Bytes(value), _) => stmt.push_bind(before, value),
        (Cell::Null, Kind::Integer) => stmt.push_bind(before, None::<i64>),
        (Cell::Null, Kind::Real) => stmt.push_bind(before, None::<f64>),
        (Cell::Null, Kind::Boolean) => stmt.push_bind(before, None::<bool>),
        (Cell::Null, Kind::Text) => stmt.push_bind(before, None::<String>),
        (Cell::Null, Kind::Bytes) => stmt.push_bind(before, None::<Vec<u8>>),
    }
}
