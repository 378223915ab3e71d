//! `gatehouse backup`: a copy of a SQLite store that is running.

use std::path::PathBuf;

use super::{
    Error, console,
    draft::{Draft, unless_stopped},
};
use crate::{config::StoreOptions, store::moving};

/// The options of `gatehouse backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  gatehouse backup /backup/gatehouse-$(date +%F).db --data-dir /var/lib/gatehouse")]
pub struct Options {
    /// The file to write, which must not be there yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    store: StoreOptions,
}

/// Copies the store.
pub async fn run(options: Options) -> Result<(), Error> {
    let location = options.store.location()?;
    let draft = Draft::of(&options.file)?;
    let copied = async {
        moving::backup(&location, draft.path())
            .await
            .map_err(Error::Backup)
    };
    unless_stopped(copied).await?;
    draft.publish()?;
    console::say(format_args!(
        "the database is copied to {}",
        options.file.display()
    ));
    Ok(())
}
