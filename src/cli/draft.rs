//! A file that is there whole or not at all.

use std::{
    fs::{self, File},
    future::Future,
    io,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{Error, serve};

/// A file under another name in the same folder, for nobody else's eyes; gone if it is not published.
#[derive(Debug)]
pub struct Draft {
    draft: NamedTempFile,
    name: PathBuf,
}

impl Draft {
    /// A draft of a file that is not there yet.
    pub fn of(name: &Path) -> Result<Self, Error> {
        let failed = |source| Error::System {
            action: format!("write {}", name.display()),
            source,
        };
        if fs::symlink_metadata(name).is_ok() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        let draft = tempfile::Builder::new()
            .prefix(".gatehouse-draft-")
            .tempfile_in(folder(name))
            .map_err(failed)?;
        Ok(Self {
            draft,
            name: name.to_owned(),
        })
    }

    /// The file, to be written to.
    pub fn file(&self) -> &File {
        self.draft.as_file()
    }

    /// Where it is for now.
    pub fn path(&self) -> &Path {
        self.draft.path()
    }

    /// Makes sure that it is on disk and gives it its name, for good.
    pub fn publish(self) -> Result<(), Error> {
        let name = self.name.clone();
        self.published().map_err(|source| Error::System {
            action: format!("write {}", name.display()),
            source,
        })
    }

    fn published(self) -> io::Result<()> {
        self.draft.as_file().sync_all()?;
        self.draft
            .persist_noclobber(&self.name)
            .map_err(|error| error.error)?;
        File::open(folder(&self.name))?.sync_all()
    }
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Does something, and gives up when the process is told to stop: then drafts go, which they do not if it just ends.
pub async fn unless_stopped<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let stop = serve::stop_signal()?;
    tokio::select! {
        done = work => done,
        () = stop.cancelled() => Err(Error::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_there_when_it_is_whole_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("export");
        let draft = Draft::of(&name).unwrap();
        draft.file().write_all(b"all of it").unwrap();
        assert!(!name.exists());
        draft.publish().unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"all of it");
        assert_eq!(fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["export"]);
    }

    #[test]
    fn what_is_not_published_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        drop(Draft::of(&folder.path().join("export")).unwrap());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("export");
        let draft = Draft::of(&name).unwrap();
        fs::write(&name, "before").unwrap();
        assert!(Draft::of(&name).is_err());
        assert!(draft.publish().is_err());
        assert_eq!(fs::read(&name).unwrap(), b"before");
        assert_eq!(names(folder.path()), ["export"]);
    }
}
