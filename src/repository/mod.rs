//! Local git repositories, read with gix: never written, nothing fetched, nothing run.
//!
//! A project names its repository by a path below one root; [`open`] sees to it that nothing outside of it is read.
//! What is asked of a repository is told by [`read`] and [`range`]. Everything blocks a thread for as long as it takes, so a
//! few questions are answered at a time and the others wait.

mod open;
mod range;
mod read;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{sync::Semaphore, task};

use crate::domain::{
    commit::Commit,
    error::{Error, Reason},
};

/// How many questions are answered at a time.
const AT_A_TIME: usize = 4;

/// The repositories below one root.
#[derive(Debug, Clone)]
pub struct Repositories {
    root: Option<PathBuf>,
    turns: Arc<Semaphore>,
}

/// What a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What ids its objects have: `sha1` or `sha256`.
    pub object_format: String,
    /// Whether its history was cut off.
    pub shallow: bool,
}

/// How the histories of two commits differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The commits of the one that are not in the other, the newest first.
    pub ids: Vec<String>,
    /// How many of the other are not in the one.
    pub removed: i64,
}

/// Why a repository cannot be read; for people.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Nothing can be attached here.
    #[error("this server has no repository root")]
    NoRoot,
    /// The path is none that could be below the root.
    #[error("the path is not a relative path of plain names")]
    Path,
    /// Something of it is outside of the root.
    #[error("it reaches outside of the repository root")]
    Outside,
    /// There is none, or it is none that can be read.
    #[error("there is no repository that can be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its history is longer than anybody wants to wait for.
    #[error("its history is too long to be walked")]
    TooLong,
}

impl Problem {
    /// What went wrong while reading.
    fn reading(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unreadable(source.into())
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::caused(
            Reason::RepositoryUnavailable,
            "the project's repository cannot be read now",
            problem,
        )
    }
}

impl Repositories {
    /// None at all: this server has no root.
    pub fn none() -> Self {
        Self {
            root: None,
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// Those below this folder, which has to be there.
    pub fn below(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(Self {
            root: Some(root),
            ..Self::none()
        })
    }

    /// Whether there is a root, and so anything to read.
    pub fn have_root(&self) -> bool {
        self.root.is_some()
    }

    /// What the repository at `path` is.
    pub async fn inspect(&self, path: &str) -> Result<Inspection, Problem> {
        self.ask(path, |repository| read::inspect(&repository)).await
    }

    /// The commits that names stand for, as far as there are such commits. A name is a full id; else a branch or tag,
    /// in the order in which git looks for them; else the beginning of a commit's id, at least 4 digits of it.
    pub async fn resolve(&self, path: &str, names: Vec<String>) -> Result<Vec<Option<Commit>>, Error> {
        let found = self.ask(path, move |repository| {
            names
                .iter()
                .map(|name| read::resolve(&repository, name))
                .collect()
        });
        Ok(found.await?)
    }

    /// The commits with these full ids, as far as there are such commits.
    pub async fn commits(&self, path: &str, ids: Vec<String>) -> Result<Vec<Option<Commit>>, Error> {
        let found = self.ask(path, move |repository| {
            ids.iter().map(|id| read::commit(&repository, id)).collect()
        });
        Ok(found.await?)
    }

    /// How the history of `head` differs from that of `base`, both by their full ids; none where one of them is not
    /// there.
    pub async fn range(&self, path: &str, base: &str, head: &str) -> Result<Option<Range>, Error> {
        let (base, head) = (base.to_owned(), head.to_owned());
        let range = self.ask(path, move |repository| range::between(&repository, &base, &head));
        Ok(range.await?)
    }

    /// Opens a repository on a thread that may block, and asks it something.
    async fn ask<T, F>(&self, path: &str, question: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(gix::Repository) -> Result<T, Problem> + Send + 'static,
    {
        let root = self.root.clone().ok_or(Problem::NoRoot)?;
        let path = path.to_owned();
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(Problem::reading)?;
        let answer = task::spawn_blocking(move || {
            // Held by the thread: who gives up waiting does not make room before it is done.
            let _turn = turn;
            question(open::open(&root, &path)?)
        });
        answer.await.map_err(Problem::reading)?
    }
}
