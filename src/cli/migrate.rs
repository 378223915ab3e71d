//! `gatehouse migrate`: brings the database up to date before a new version serves.

use super::{Error, console, serve};
use crate::{
    config::StoreOptions,
    store::{self, Location},
};

/// The options of `gatehouse migrate`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    store: StoreOptions,
}

/// Migrates the database, making it if it is not there. The administrator is left to the first start.
pub async fn run(options: Options) -> Result<(), Error> {
    options.store.goes_directly()?;
    let location = options.store.location()?;
    if let Location::Sqlite(_) = location {
        serve::make_folder(&options.store.data_dir)?;
    }
    store::migrate(&location)
        .await
        .map_err(|error| Error::Store(error.into()))?;
    console::say("the database is up to date");
    Ok(())
}
