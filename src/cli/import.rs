//! `gatehouse import`: fills an empty store with what an export has.

use std::{fs::File, io, path::PathBuf};

use super::{Error, console, progress::Shown, serve};
use crate::{
    config::StoreOptions,
    store::moving::{self, Source},
};

/// The options of `gatehouse import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gatehouse import gatehouse.jsonl --data-dir /var/lib/gatehouse
  zstd -dc gatehouse.jsonl.zst | gatehouse import - --data-dir /var/lib/gatehouse

From SQLite to PostgreSQL, with no server running:
  gatehouse export gatehouse.jsonl --data-dir /var/lib/gatehouse
  export GATEHOUSE_DATABASE_URL=postgres://gatehouse@db.example/gatehouse?sslmode=verify-full
  gatehouse migrate && gatehouse import gatehouse.jsonl")]
pub struct Options {
    /// The file to read; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    store: StoreOptions,
}

/// Fills the store, or goes on with it.
pub async fn run(options: Options) -> Result<(), Error> {
    options.store.goes_directly()?;
    let source = if options.file.as_os_str() == "-" {
        Source::Stream(Box::new(io::stdin()))
    } else {
        let opened = File::open(&options.file).and_then(|file| Ok((file.metadata()?.is_file(), file)));
        match opened {
            Ok((true, file)) => Source::File(file),
            Ok((false, file)) => Source::Stream(Box::new(file)),
            Err(source) => {
                return Err(Error::System {
                    action: format!("read {}", options.file.display()),
                    source,
                });
            }
        }
    };
    let location = serve::prepare(&options.store)?;
    let shown = Shown::new();
    let trailer = moving::import(&location, source, shown.told())
        .await
        .map_err(Error::Import)?;
    shown.end();
    console::say(format_args!(
        "imported {} rows, sha256 {}: the database has what the export has",
        trailer.total, trailer.sha256
    ));
    Ok(())
}
