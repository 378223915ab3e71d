//! Attaching git repositories to projects, and looking at them.

use super::{App, Mutation};
use crate::{
    domain::{
        access::{self, Caller, ProjectAction},
        commit::Commit,
        error::{Error, Reason},
        guard::Guard,
        id::{ProjectId, ProjectKey},
    },
    repository::{Inspection, Problem},
    store::{DirectoryAnswer, DirectorySelect, Done},
};

/// What refusals call attaching and detaching.
const ATTACH: &str = "attach_repository";

/// A project's repository, as it is now.
#[derive(Debug)]
pub struct AttachedRepository {
    /// The project.
    pub project: ProjectId,
    /// Where it is, below the repository root.
    pub path: String,
    /// What it is, or why it cannot be read.
    pub inspected: Result<Inspection, Problem>,
    /// The commit of the project's default branch, if it has that.
    pub head: Option<Commit>,
}

/// The refusal for a project without a repository.
fn not_attached() -> Error {
    Error::new(
        Reason::RepositoryNotFound,
        "the project has no repository attached",
    )
}

impl App {
    /// Attaches a repository to a project, in place of the one it has.
    pub async fn repository_attach(
        &self,
        caller: &Caller,
        key: ProjectKey,
        path: String,
        guard: Guard,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let by = caller.clone();
        self.project_for(caller, &key, ProjectAction::Read).await?;
        access::administrator(&by.user, ATTACH)?;
        // Looked at before the change: reading a disk under the lock would hold everybody up.
        if let Err(problem) = self.repositories.inspect(&path).await {
            return Err(Error::argument("path", format!("cannot be attached: {problem}")));
        }
        let select = DirectorySelect::Project(key);
        self.directory_change(caller, select, mutation, move |state| {
            let project = access::project(&by, state.project.as_ref(), ProjectAction::Read)?;
            access::administrator(&by.user, ATTACH)?;
            guard.check_etag(&project.etag())?;
            Ok(project.attach(Some(&path), state.now))
        })
        .await
    }

    /// Detaches a project's repository.
    pub async fn repository_detach(
        &self,
        caller: &Caller,
        key: ProjectKey,
        guard: Guard,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let by = caller.clone();
        let select = DirectorySelect::Project(key);
        self.directory_change(caller, select, mutation, move |state| {
            let project = access::project(&by, state.project.as_ref(), ProjectAction::Read)?;
            access::administrator(&by.user, ATTACH)?;
            if project.repository.is_none() {
                return Err(not_attached());
            }
            guard.check_etag(&project.etag())?;
            Ok(project.attach(None, state.now))
        })
        .await
    }

    /// A project's repository, as it is now.
    pub async fn repository_get(
        &self,
        caller: &Caller,
        key: &ProjectKey,
    ) -> Result<AttachedRepository, Error> {
        let view = self.project_for(caller, key, ProjectAction::Update).await?;
        let path = view.project.repository.ok_or_else(not_attached)?;
        let inspected = self.repositories.inspect(&path).await;
        let head = match &inspected {
            Ok(_) => {
                let branch = format!("refs/heads/{}", view.project.default_branch);
                let found = self.repositories.resolve(&path, vec![branch]).await?;
                found.into_iter().flatten().next()
            }
            Err(_) => None,
        };
        Ok(AttachedRepository {
            project: view.project.id,
            path,
            inspected,
            head,
        })
    }
}
