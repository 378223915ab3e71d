//! `gatehouse export`: all that a store holds, as lines.

use std::{
    io::{self, BufWriter},
    path::PathBuf,
};

use super::{
    Error, console,
    draft::{Draft, unless_stopped},
    progress::Shown,
};
use crate::{
    clock::{Clock as _, SystemClock},
    config::StoreOptions,
    store::moving::{self, Stamp},
};

/// How much is written at once.
const BUFFER: usize = 1 << 20;

/// The options of `gatehouse export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gatehouse export gatehouse.jsonl
  gatehouse export - | zstd > gatehouse.jsonl.zst")]
pub struct Options {
    /// The file to write, which must not be there yet; - for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    store: StoreOptions,
}

/// Writes the export, and says what it is known by.
pub async fn run(options: Options) -> Result<(), Error> {
    let location = options.store.location()?;
    let stamp = Stamp {
        made_at: SystemClock.now(),
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let shown = Shown::new();
    let trailer = if options.file.as_os_str() == "-" {
        let out = BufWriter::with_capacity(BUFFER, io::stdout());
        moving::export(&location, stamp, out, shown.told())
            .await
            .map_err(Error::Export)?
    } else {
        let draft = Draft::of(&options.file)?;
        let out = BufWriter::with_capacity(BUFFER, draft.file());
        let export = moving::export(&location, stamp, out, shown.told());
        let trailer = Box::pin(unless_stopped(async { export.await.map_err(Error::Export) })).await?;
        draft.publish()?;
        trailer
    };
    shown.end();
    console::note(format_args!(
        "exported {} rows, sha256 {}",
        trailer.total, trailer.sha256
    ));
    Ok(())
}
