//! Reading an export: whatever is not as it was written is found, and told with its line.

use std::{
    collections::VecDeque,
    io::{self, BufRead},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    form::{Begin, Cell, Digests, End, Header, LINE_MAX, Trailer, VERSION, Versions, read_line},
    manifest::{Column, OLDEST_SCHEMA, Table, tables_in},
};

/// Why a file is no export that can be taken.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is made by a newer program, or a much older one.
    #[error("{0}")]
    Version(String),
    /// A line is not what it should be.
    #[error("line {line}: {problem}")]
    Line {
        /// Which, counted from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// It ends too soon.
    #[error("the file is truncated: it ends {place}")]
    Truncated {
        /// Where.
        place: String,
    },
    /// It cannot be read.
    #[error("cannot read line {line}")]
    Input {
        /// Which, counted from 1.
        line: u64,
        /// Why.
        source: io::Error,
    },
}

/// What comes next.
#[derive(Debug, PartialEq)]
pub enum Item {
    /// A table begins.
    Begin(&'static Table),
    /// A row of it.
    Row(Vec<Cell>),
    /// The table is complete, and as it was written.
    End(End),
    /// The export is complete, and as it was written.
    Complete(Trailer),
}

/// A table that is being read.
#[derive(Debug)]
struct Open {
    table: &'static Table,
    columns: Vec<&'static Column>,
    /// Where in a row the values are that rows are ordered by.
    order: Vec<usize>,
    /// Those of the last row.
    last: Vec<Cell>,
    last_id: i64,
    begun_at: u64,
}

/// Reads an export from its beginning to its end.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    header: Header,
    /// The tables that are still to come.
    tables: VecDeque<&'static Table>,
    open: Option<Open>,
    complete: bool,
    digests: Digests,
    line: Vec<u8>,
    /// The number of the line that was read last.
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header. `schema` is the newest that is known.
    pub fn new(input: R, schema: i64) -> Result<Self, ReadError> {
        let mut reader = Self {
            input,
            header: Header {
                gatehouse_export: VERSION,
                schema,
                id: String::new(),
                made_at: String::new(),
                made_by: String::new(),
            },
            tables: VecDeque::new(),
            open: None,
            complete: false,
            digests: Digests::default(),
            line: Vec::new(),
            number: 0,
            bytes: 0,
        };
        reader.header = reader.read_header(schema)?;
        reader.tables = tables_in(reader.header.schema).collect();
        Ok(reader)
    }

    fn read_header(&mut self, schema: i64) -> Result<Header, ReadError> {
        if !self.advance()? {
            return Err(self.truncated());
        }
        for (magic, program) in [(&[0x28, 0xb5, 0x2f, 0xfd][..], "zstd"), (&[0x1f, 0x8b], "gzip")] {
            if self.line.starts_with(magic) {
                return Err(self.wrong(format!(
                    "the file is compressed: use `{program} -dc FILE | gatehouse import -`"
                )));
            }
        }
        let versions: Versions = serde_json::from_slice(&self.line)
            .map_err(|_| self.wrong("the file does not begin with the header of an export"))?;
        if versions.gatehouse_export > VERSION {
            return Err(ReadError::Version(format!(
                "the export is of version {}, and this program reads version {VERSION}: use a newer one",
                versions.gatehouse_export
            )));
        }
        if versions.schema > schema {
            return Err(ReadError::Version(format!(
                "the export is of schema {}, and this program knows schema {schema}: use a newer one",
                versions.schema
            )));
        }
        if versions.schema < OLDEST_SCHEMA {
            return Err(ReadError::Version(format!(
                "the export is of schema {}, and the oldest that can be imported is {OLDEST_SCHEMA}",
                versions.schema
            )));
        }
        let header: Header = self.expect(|| "the header is not as it was written".to_owned())?;
        if header.gatehouse_export != VERSION {
            return Err(self.wrong("there is no such version of an export"));
        }
        self.digests.header(&self.line);
        Ok(header)
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The number of the line that was read last.
    pub fn line(&self) -> u64 {
        self.number
    }

    /// How many bytes were read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many rows were read so far.
    pub fn rows(&self) -> u64 {
        self.digests.total()
    }

    /// Gives back what it reads from.
    pub fn into_input(self) -> R {
        self.input
    }

    /// Reads the next line; none: the export was complete.
    pub fn next(&mut self) -> Result<Option<Item>, ReadError> {
        if self.complete {
            return if self.advance()? {
                Err(self.wrong("there is more behind the end of the export"))
            } else {
                Ok(None)
            };
        }
        if !self.advance()? {
            return Err(self.truncated());
        }
        match self.open.take() {
            Some(open) if self.line.first() == Some(&b'[') => self.row(open).map(Some),
            Some(open) => self.end(&open).map(Some),
            None => match self.tables.pop_front() {
                Some(table) => self.begin(table).map(Some),
                None => self.trailer().map(Some),
            },
        }
    }

    fn begin(&mut self, table: &'static Table) -> Result<Item, ReadError> {
        let begin: Begin = self.expect(|| format!("the table {} should begin here", table.name))?;
        let columns = table.columns_in(self.header.schema);
        if begin != Begin::of(table, &columns) {
            return Err(self.wrong(format!(
                "the table {} should begin here, with the columns of schema {}",
                table.name, self.header.schema
            )));
        }
        self.digests.begin(&self.line);
        let place = |name| columns.iter().position(|column| column.name == name);
        self.open = Some(Open {
            table,
            order: table.order.iter().filter_map(|&name| place(name)).collect(),
            columns,
            last: Vec::new(),
            last_id: 0,
            begun_at: self.number,
        });
        Ok(Item::Begin(table))
    }

    fn row(&mut self, mut open: Open) -> Result<Item, ReadError> {
        let row = self.cells(&open)?;
        let order: Vec<Cell> = open
            .order
            .iter()
            .filter_map(|&place| row.get(place).cloned())
            .collect();
        if !open.last.is_empty() && order <= open.last {
            let problem = if order == open.last {
                "the row before has the same key"
            } else {
                "the row before belongs behind this one"
            };
            return Err(self.wrong(format!("table {}: {problem}", open.table.name)));
        }
        open.last = order;
        if open.table.gives_ids
            && let Some(&Cell::Integer(id)) = row.first()
        {
            open.last_id = open.last_id.max(id);
        }
        self.digests.row(&self.line);
        self.open = Some(open);
        Ok(Item::Row(row))
    }

    fn cells(&self, open: &Open) -> Result<Vec<Cell>, ReadError> {
        let name = open.table.name;
        let values: Vec<&RawValue> = serde_json::from_slice(&self.line)
            .map_err(|_| self.wrong(format!("table {name}: this is no row")))?;
        if values.len() != open.columns.len() {
            return Err(self.wrong(format!(
                "table {name}: the row has {} values, and should have {}",
                values.len(),
                open.columns.len()
            )));
        }
        let cells = values.iter().zip(&open.columns).map(|(value, column)| {
            Cell::read(value.get(), column)
                .map_err(|problem| self.wrong(format!("table {name}: {} {problem}", column.name)))
        });
        cells.collect()
    }

    fn end(&mut self, open: &Open) -> Result<Item, ReadError> {
        let name = open.table.name;
        let told: End = self.expect(|| format!("a row of the table {name}, or its end, should be here"))?;
        let (end, _) = self
            .digests
            .end(open.table, told.last_id)
            .map_err(|source| self.input(source))?;
        if told.end != end.end {
            return Err(self.wrong(format!("the table {name} should end here, not {}", told.end)));
        }
        if told.rows != end.rows {
            return Err(self.wrong(format!(
                "the table {name} should have {} rows, and has {}",
                told.rows, end.rows
            )));
        }
        if told.sha256 != end.sha256 {
            return Err(self.wrong(format!(
                "the table {name}, lines {} to {}, is not as it was written: its digest differs",
                open.begun_at,
                self.number - 1
            )));
        }
        if told.last_id < open.last_id || (told.last_id != 0 && !open.table.gives_ids) {
            return Err(self.wrong(format!("the last id of the table {name} is wrong")));
        }
        Ok(Item::End(end))
    }

    fn trailer(&mut self) -> Result<Item, ReadError> {
        let told: Trailer = self.expect(|| "the end of the export should be here".to_owned())?;
        let trailer = self.digests.trailer();
        if told.total != trailer.total {
            return Err(self.wrong(format!(
                "the export should have {} rows, and has {}",
                told.total, trailer.total
            )));
        }
        if told != trailer {
            return Err(self.wrong("the export is not as it was written: its digest differs"));
        }
        self.complete = true;
        Ok(Item::Complete(trailer))
    }

    /// Reads a line; false: there is none.
    fn advance(&mut self) -> Result<bool, ReadError> {
        self.line.clear();
        let most = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
        let read = io::Read::take(&mut self.input, most).read_until(b'\n', &mut self.line);
        self.number += 1;
        let read = read.map_err(|source| self.input(source))?;
        self.bytes += u64::try_from(read).unwrap_or(u64::MAX);
        if read == 0 {
            return Ok(false);
        }
        if self.line.last() != Some(&b'\n') {
            return Err(if self.line.len() >= LINE_MAX {
                self.wrong(format!("the line is longer than {LINE_MAX} bytes"))
            } else {
                self.truncated()
            });
        }
        Ok(true)
    }

    /// Reads the line as one that is no row.
    fn expect<T: Serialize + DeserializeOwned>(
        &self,
        problem: impl FnOnce() -> String,
    ) -> Result<T, ReadError> {
        read_line(&self.line).ok_or_else(|| self.wrong(problem()))
    }

    /// What is wrong with the line.
    fn wrong(&self, problem: impl Into<String>) -> ReadError {
        let problem = match std::str::from_utf8(&self.line) {
            Ok(_) => problem.into(),
            Err(error) => format!("byte {} is not UTF-8", error.valid_up_to() + 1),
        };
        ReadError::Line {
            line: self.number,
            problem,
        }
    }

    fn input(&self, source: io::Error) -> ReadError {
        ReadError::Input {
            line: self.number,
            source,
        }
    }

    fn truncated(&self) -> ReadError {
        let place = match &self.open {
            _ if self.number == 1 => "before its first line does".to_owned(),
            Some(open) => format!("in line {}, within the table {}", self.number, open.table.name),
            None => match self.tables.front() {
                Some(table) => format!("in line {}, before the table {}", self.number, table.name),
                None => format!("in line {}, before the end of the export", self.number),
            },
        };
        ReadError::Truncated { place }
    }
}
