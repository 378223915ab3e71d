//! `gatehouse migrate`: brings the database up to date before a new version serves.

use super::{Error, console, serve};
use crate::config::StoreOptions;

/// The options of `gatehouse migrate`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    store: StoreOptions,
}

/// Opens the store, which migrates it, and closes it again.
pub async fn run(options: Options) -> Result<(), Error> {
    serve::open(&options.store).await?;
    console::say("the database is up to date");
    Ok(())
}
