//! What commands say to the person who called them.
//!
//! Written with `writeln!` and not `println!`, which panics once whoever read the output has gone (`| head`).

use std::{
    error::Error,
    fmt::Display,
    io::{self, Write as _},
};

/// Prints a line to standard output.
pub fn say(line: impl Display) {
    // Nobody is left to be told that nobody listens.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Prints a line to standard error, where it does not get into a pipe.
pub fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints why the command failed, with every cause.
pub fn fail(error: &dyn Error) {
    note(format_args!("error: {}", chain(error)));
}

/// The error and its causes, from the outside in.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some libraries repeat the cause in their own text.
        let told = error.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

/// Prints rows as a table with blanks between the columns.
pub fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) {
    for line in aligned(rows) {
        say(line);
    }
}

/// The rows as lines in which every column begins at the same place.
fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_a_table_begins_at_the_same_place() {
        let rows = [["a", "role"], ["zoë", "x"]].map(|row| row.map(ToOwned::to_owned));
        assert_eq!(aligned(&rows), ["a    role", "zoë  x"]);
    }

    #[test]
    fn a_failure_is_told_with_its_causes_but_none_of_them_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Layer(&'static str, #[source] Option<Box<Layer>>);
        let inner = Layer("disk full", None);
        let middle = Layer("cannot write: disk full", Some(Box::new(inner)));
        let outer = Layer("cannot start", Some(Box::new(middle)));
        assert_eq!(chain(&outer), "cannot start: cannot write: disk full");
    }
}
