//! Reading a store in the form of an export: to write one, and to compare a store with one.

use std::io::{self, Write};

use chrono::SecondsFormat;

use super::{
    Error, Progress, Stage, Stamp, Told,
    form::{Cell, End, Header, Line, Trailer, VERSION, Writer},
    manifest::{Column, Kind, Table, tables_in},
};
use crate::store::{
    SchemaError, StoreError,
    sql::{
        Db,
        connections::Connections,
        failed, schema,
        seam::{Stmt, sql},
    },
};

/// How many rows are read at once.
const PAGE: i64 = 2_000;

/// Writes all that a store holds at this moment.
pub async fn export<DB>(
    connections: &Connections<DB>,
    stamp: Stamp,
    out: impl Write + Send,
    told: &Told,
) -> Result<Trailer, Error>
where
    DB: Db,
{
    let mut connection = connections.reader().await?;
    schema::is_known::<DB>(&mut connection).await?;
    let header = Header {
        gatehouse_export: VERSION,
        schema: schema::latest(DB::migrations()),
        id: new_id()?,
        made_at: stamp.made_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        made_by: stamp.made_by,
    };
    let mut moment = connections
        .begin(&mut connection, &connections.openings.moment)
        .await?;
    if schema::installation::<DB>(&mut moment).await?.importing.is_some() {
        return Err(StoreError::Schema(SchemaError::Importing).into());
    }
    let reading = Reading {
        header: &header,
        stage: Stage::Exporting,
        told,
    };
    let (_, trailer) = reading.write::<DB>(&mut moment, out).await?;
    Ok(trailer)
}

fn new_id() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Other(error.into()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// Reads a store in the form of an export.
pub struct Reading<'a> {
    /// Its first line.
    pub header: &'a Header,
    /// What it is done for.
    pub stage: Stage,
    /// Who is told of it.
    pub told: &'a Told,
}

impl Reading<'_> {
    /// Writes what the store behind a connection holds, in the columns of the header's schema.
    pub async fn write<DB: Db>(
        &self,
        connection: &mut DB::Connection,
        out: impl Write + Send,
    ) -> Result<(Vec<End>, Trailer), Error> {
        let mut total = 0;
        for table in tables_in(self.header.schema) {
            total += count::<DB>(connection, table).await?;
        }
        let mut writer = Writer::new(out, self.header).map_err(Error::Output)?;
        for table in tables_in(self.header.schema) {
            self.table::<DB, _>(connection, table, &mut writer, total).await?;
        }
        writer.finish().map_err(Error::Output)
    }

    async fn table<DB: Db, W: Write + Send>(
        &self,
        connection: &mut DB::Connection,
        table: &'static Table,
        writer: &mut Writer<W>,
        total: u64,
    ) -> Result<(), Error> {
        let columns = table.columns_in(self.header.schema);
        writer.begin(table, &columns).map_err(Error::Output)?;
        let mut line = Line::default();
        let mut after: Option<Vec<Cell>> = None;
        loop {
            let rows = page::<DB>(table, &columns, after.take())
                .rows(connection)
                .await
                .map_err(failed::<DB>)?;
            for row in &rows {
                line.begin();
                for (at, column) in columns.iter().enumerate() {
                    add::<DB>(row, at, column, &mut line)?;
                }
                writer.row(line.end()).map_err(Error::Output)?;
            }
            (self.told)(Progress {
                stage: self.stage,
                table: table.name,
                done: writer.rows(),
                total: Some(total),
            });
            match rows.last() {
                Some(last) if rows.len() == usize::try_from(PAGE).unwrap_or(usize::MAX) => {
                    after = Some(order::<DB>(table, &columns, last)?);
                }
                _ => break,
            }
        }
        let last_id = if table.gives_ids {
            last_id::<DB>(connection, table).await?
        } else {
            0
        };
        writer.end(table, last_id).map_err(Error::Output)
    }
}

async fn count<DB: Db>(connection: &mut DB::Connection, table: &Table) -> Result<u64, Error> {
    let stmt = sql::<DB>("SELECT COUNT(*) FROM ").push(table.name);
    let (rows,) = stmt.one::<(i64,)>(connection).await.map_err(failed::<DB>)?;
    Ok(u64::try_from(rows).unwrap_or_default())
}

async fn last_id<DB: Db>(connection: &mut DB::Connection, table: &Table) -> Result<i64, Error> {
    let given = sql::<DB>(DB::LAST_ID).bind(table.name.to_owned());
    let (given,) = given.one::<(i64,)>(connection).await.map_err(failed::<DB>)?;
    let greatest = sql::<DB>("SELECT COALESCE(MAX(id), 0) FROM ").push(table.name);
    let (greatest,) = greatest.one::<(i64,)>(connection).await.map_err(failed::<DB>)?;
    Ok(given.max(greatest))
}

/// The rows of a table that follow one, in order.
fn page<DB: Db>(table: &Table, columns: &[&Column], after: Option<Vec<Cell>>) -> Stmt<DB> {
    let mut stmt = listed(sql::<DB>("SELECT "), columns.iter().map(|column| column.name));
    stmt = stmt.push(" FROM ").push(table.name);
    if let Some(after) = after {
        stmt = listed(stmt.push(" WHERE ("), table.order.iter().copied()).push(") > (");
        for (number, cell) in after.into_iter().enumerate() {
            let before = if number == 0 { "" } else { ", " };
            stmt = match cell {
                Cell::Integer(value) => stmt.push_bind(before, value),
                Cell::Text(value) => stmt.push_bind(before, value),
                // Nothing else is in a key.
                Cell::Null | Cell::Real(_) | Cell::Boolean(_) | Cell::Bytes(_) => stmt.push("NULL"),
            };
        }
        stmt = stmt.push(")");
    }
    listed(stmt.push(" ORDER BY "), table.order.iter().copied()).push_bind(" LIMIT ", PAGE)
}

/// Adds names with commas between them.
pub fn listed<DB: Db>(stmt: Stmt<DB>, names: impl Iterator<Item = &'static str>) -> Stmt<DB> {
    names.enumerate().fold(stmt, |stmt, (number, name)| {
        let stmt = if number == 0 { stmt } else { stmt.push(", ") };
        stmt.push(name)
    })
}

/// Adds a value of a row to its line.
fn add<DB: Db>(row: &DB::Row, at: usize, column: &Column, line: &mut Line) -> Result<(), Error> {
    let read = |error| Error::from(failed::<DB>(error));
    let written: Result<(), io::Error> = match column.kind {
        Kind::Integer => line.plain(DB::integer(row, at).map_err(read)?),
        Kind::Real => line.real(DB::real(row, at).map_err(read)?),
        Kind::Boolean => line.plain(DB::boolean(row, at).map_err(read)?),
        Kind::Text => line.plain(DB::text(row, at).map_err(read)?),
        Kind::Bytes => line.bytes(DB::bytes(row, at).map_err(read)?),
    };
    written.map_err(Error::Output)
}

/// The values of a row by which rows are ordered.
fn order<DB: Db>(table: &Table, columns: &[&Column], row: &DB::Row) -> Result<Vec<Cell>, StoreError> {
    let mut cells = Vec::with_capacity(table.order.len());
    for name in table.order {
        let Some(at) = columns.iter().position(|column| column.name == *name) else {
            continue;
        };
        let cell = if columns[at].kind == Kind::Text {
            DB::text(row, at).map(|text| text.map(|text| Cell::Text(text.to_owned())))
        } else {
            DB::integer(row, at).map(|number| number.map(Cell::Integer))
        };
        cells.push(cell.map_err(failed::<DB>)?.unwrap_or(Cell::Null));
    }
    Ok(cells)
}
