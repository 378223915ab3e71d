//! The form of an export, version 1, line by line. The README documents it under "Moving and backup".

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use super::manifest::{Column, Kind, Table};

/// The version of the form that is written, and the newest that can be read.
pub const VERSION: u32 = 1;
/// The longest line, in bytes. What may be sent to a server is far below it.
pub const LINE_MAX: usize = 256 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the form.
    pub gatehouse_export: u32,
    /// The schema that the store had.
    pub schema: i64,
    /// Tells this export from every other.
    pub id: String,
    /// When it was begun.
    pub made_at: String,
    /// By which version of the program.
    pub made_by: String,
}

/// What can be read of the header of any version.
#[derive(Debug, Deserialize)]
pub struct Versions {
    /// The version of the form.
    pub gatehouse_export: u32,
    /// The schema that the store had.
    pub schema: i64,
}

/// The line before a table's rows.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// The table.
    pub table: String,
    /// Its columns, in the order of the values in each row.
    pub columns: Vec<String>,
}

impl Begin {
    /// The line before the rows of `table`.
    pub fn of(table: &Table, columns: &[&Column]) -> Self {
        Self {
            table: table.name.to_owned(),
            columns: columns.iter().map(|column| column.name.to_owned()).collect(),
        }
    }
}

/// The line behind a table's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The table.
    pub end: String,
    /// How many rows it has.
    pub rows: u64,
    /// The last id that any row of it was ever given.
    pub last_id: i64,
    /// The digest of its lines: the one before the rows, and the rows.
    pub sha256: String,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trailer {
    /// How many rows there are in all.
    pub total: u64,
    /// The digest of what is recorded: of the lines behind the tables' rows.
    pub sha256: String,
    /// The digest of this export: of the header, and those lines.
    pub file_sha256: String,
}

/// A line that is no row, with its end. There is one way to write it.
pub fn line_of(line: &impl Serialize) -> Result<Vec<u8>, io::Error> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a line that is no row; none: it is not what it should be, to the byte.
pub fn read_line<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let line: T = serde_json::from_slice(bytes).ok()?;
    (line_of(&line).ok()? == bytes).then_some(line)
}

/// The digests, as writer and reader make them alike.
#[derive(Debug, Default)]
pub struct Digests {
    table: Sha256,
    content: Sha256,
    file: Sha256,
    rows: u64,
    total: u64,
}

impl Digests {
    /// The header is this line.
    pub fn header(&mut self, line: &[u8]) {
        self.file.update(line);
    }

    /// A table begins with this line.
    pub fn begin(&mut self, line: &[u8]) {
        self.rows = 0;
        self.table.update(line);
    }

    /// This line is a row.
    pub fn row(&mut self, line: &[u8]) {
        self.rows += 1;
        self.total += 1;
        self.table.update(line);
    }

    /// How many rows there were so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The line behind the rows of `table`.
    pub fn end(&mut self, table: &Table, last_id: i64) -> Result<(End, Vec<u8>), io::Error> {
        let end = End {
            end: table.name.to_owned(),
            rows: self.rows,
            last_id,
            sha256: hex(self.table.finalize_reset()),
        };
        let line = line_of(&end)?;
        self.content.update(&line);
        self.file.update(&line);
        Ok((end, line))
    }

    /// The last line.
    pub fn trailer(&mut self) -> Trailer {
        Trailer {
            total: self.total,
            sha256: hex(self.content.finalize_reset()),
            file_sha256: hex(self.file.finalize_reset()),
        }
    }
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        // A text takes everything.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A value.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub enum Cell {
    /// None.
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Yes or no.
    Boolean(bool),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Why a value cannot be taken, as the end of a sentence about it.
pub type Problem = &'static str;

impl Cell {
    /// Reads a value as it is in a row.
    pub fn read(json: &str, column: &Column) -> Result<Self, Problem> {
        fn of<'de, T: Deserialize<'de>>(json: &'de str, problem: Problem) -> Result<T, Problem> {
            serde_json::from_str(json).map_err(|_| problem)
        }
        if json == "null" {
            return if column.nullable {
                Ok(Self::Null)
            } else {
                Err("must not be null")
            };
        }
        match column.kind {
            Kind::Integer => of(json, "is not a whole number of 64 bits").map(Self::Integer),
            Kind::Real => of(json, "is not a number").map(Self::Real),
            Kind::Boolean => of(json, "is neither true nor false").map(Self::Boolean),
            Kind::Text => {
                let text: String = of(json, "is not a text")?;
                if text.contains('\0') {
                    return Err("holds a NUL, which no store takes");
                }
                Ok(Self::Text(text))
            }
            Kind::Bytes => {
                let text: &str = of(json, "is not a text")?;
                let bytes = BASE64_STANDARD.decode(text);
                bytes.map(Self::Bytes).map_err(|_| "is not base64")
            }
        }
    }
}

/// A row on its way into a line.
#[derive(Debug, Default)]
pub struct Line(Vec<u8>);

impl Line {
    /// Begins a row.
    pub fn begin(&mut self) {
        self.0.clear();
    }

    /// Ends it; the whole line.
    pub fn end(&mut self) -> &[u8] {
        self.0.extend_from_slice(b"]\n");
        &self.0
    }

    /// Adds a value.
    fn add(&mut self, value: &impl Serialize) -> Result<(), io::Error> {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        Ok(serde_json::to_writer(&mut self.0, value)?)
    }

    /// Adds a whole number, or yes or no, or a text, or nothing.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "they are numbers and borrowed texts"
    )]
    pub fn plain(&mut self, value: Option<impl Serialize>) -> Result<(), io::Error> {
        self.add(&value)
    }

    /// Adds a floating-point number. The negative zero is none that every engine keeps.
    pub fn real(&mut self, value: Option<f64>) -> Result<(), io::Error> {
        self.add(&value.map(|value| value + 0.0))
    }

    /// Adds bytes.
    pub fn bytes(&mut self, value: Option<&[u8]>) -> Result<(), io::Error> {
        self.add(&value.map(|bytes| BASE64_STANDARD.encode(bytes)))
    }
}

/// Writes an export, and makes its digests.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    digests: Digests,
    ends: Vec<End>,
}

impl<W: Write> Writer<W> {
    /// Begins an export.
    pub fn new(mut out: W, header: &Header) -> Result<Self, io::Error> {
        let mut digests = Digests::default();
        let line = line_of(header)?;
        digests.header(&line);
        out.write_all(&line)?;
        Ok(Self {
            out,
            digests,
            ends: Vec::new(),
        })
    }

    /// Begins a table.
    pub fn begin(&mut self, table: &Table, columns: &[&Column]) -> Result<(), io::Error> {
        let line = line_of(&Begin::of(table, columns))?;
        self.digests.begin(&line);
        self.out.write_all(&line)
    }

    /// Writes a row.
    pub fn row(&mut self, line: &[u8]) -> Result<(), io::Error> {
        if line.len() > LINE_MAX {
            return Err(io::Error::other("a row is longer than a line may be"));
        }
        self.digests.row(line);
        self.out.write_all(line)
    }

    /// How many rows were written so far.
    pub fn rows(&self) -> u64 {
        self.digests.total()
    }

    /// Ends a table.
    pub fn end(&mut self, table: &Table, last_id: i64) -> Result<(), io::Error> {
        let (end, line) = self.digests.end(table, last_id)?;
        self.out.write_all(&line)?;
        self.ends.push(end);
        Ok(())
    }

    /// Ends the export.
    pub fn finish(mut self) -> Result<(Vec<End>, Trailer), io::Error> {
        let trailer = self.digests.trailer();
        self.out.write_all(&line_of(&trailer)?)?;
        self.out.flush()?;
        Ok((self.ends, trailer))
    }
}
