//! The first start: the administrator `root` and the file with its token.
//!
//! The token is written to a draft before the store knows it, and the draft gets its name after: a crash at any point
//! leaves either no administrator, or one whose token can still be found.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    app::{App, token::new_secret},
    domain::{error::Error, token::Secret},
};

/// The file in the data folder that holds the token of `root`.
pub const ROOT_TOKEN_FILE: &str = "root-token";

/// Why the first start failed.
#[derive(Debug, thiserror::Error)]
pub enum FirstStartError {
    /// A file could not be written or read.
    #[error("cannot write {0}")]
    File(PathBuf, #[source] io::Error),
    /// The store refused.
    #[error("cannot create the administrator")]
    Store(#[from] Error),
}

/// Where the token of `root` comes from.
#[derive(Debug, Clone)]
pub enum RootToken {
    /// It is made, and written to a file with mode 0600 in this folder.
    MadeIn(PathBuf),
    /// The operator gives it. Nothing is written.
    Given(Secret),
}

/// Creates `root` if there is no user yet. Answers the file with its token, if that was written now.
pub async fn ensure_administrator(
    app: &App,
    root_token: &RootToken,
) -> Result<Option<PathBuf>, FirstStartError> {
    match root_token {
        RootToken::MadeIn(folder) => make(app, folder).await,
        // Of servers that start at once one creates it.
        RootToken::Given(secret) => Ok(app.bootstrap(secret).await.map(|_| None)?),
    }
}

async fn make(app: &App, data_dir: &Path) -> Result<Option<PathBuf>, FirstStartError> {
    let file = data_dir.join(ROOT_TOKEN_FILE);
    let draft = data_dir.join(format!("{ROOT_TOKEN_FILE}.draft"));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| FirstStartError::File(path, error)
    };
    if let Some(left) = read_draft(&draft).map_err(failed(&draft))?
        && app.knows(&left).await?
    {
        publish(&draft, &file, data_dir).map_err(failed(&file))?;
        return Ok(Some(file));
    }
    let secret = new_secret()?;
    write_private(&draft, secret.reveal()).map_err(failed(&draft))?;
    if app.bootstrap(&secret).await?.is_some() {
        publish(&draft, &file, data_dir).map_err(failed(&file))?;
        return Ok(Some(file));
    }
    fs::remove_file(&draft).map_err(failed(&draft))?;
    Ok(None)
}

/// The secret in a draft that a crash left behind.
fn read_draft(draft: &Path) -> io::Result<Option<Secret>> {
    match fs::read_to_string(draft) {
        Ok(text) => Ok(Some(Secret::presented(text.trim()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file that only its owner can read, and makes sure that it is on disk.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

/// Gives the draft its name, for good.
fn publish(draft: &Path, file: &Path, folder: &Path) -> io::Result<()> {
    fs::rename(draft, file)?;
    File::open(folder)?.sync_all()
}
