//! Making, reading, changing and deleting projects.

use super::{App, Missing, Mutation};
use crate::{
    domain::{
        access::{self, Caller, GroupAction, ProjectAction},
        directory::{self, CreateProject, DirectoryChange, Project, ProjectView, UpdateProject, User},
        error::Error,
        guard::Guard,
        id::{GroupKey, Place, ProjectId, ProjectKey},
        page::{Page, PageRequest},
    },
    store::{DirectoryAnswer, DirectorySelect, DirectoryState, Done},
};

/// Decides about a new project in the selected place.
fn create(
    user: &User,
    command: &CreateProject,
    state: &DirectoryState,
) -> Result<Vec<DirectoryChange>, Error> {
    let group = access::group(user, state.parent.as_ref(), GroupAction::CreateProject)?;
    directory::create_project(command, group, state.path_taken, user.id)
}

impl App {
    /// A project and what the caller is to it.
    pub async fn project_get(&self, caller: &Caller, key: &ProjectKey) -> Result<ProjectView, Error> {
        self.project_for(caller, key, ProjectAction::Read).await
    }

    /// A page of the projects that the caller may see; of those directly in `group`.
    pub async fn project_list(
        &self,
        caller: &Caller,
        group: Option<&GroupKey>,
        page: &PageRequest<ProjectId>,
    ) -> Result<Page<Project, ProjectId>, Error> {
        let group = match group {
            Some(key) => Some(self.group_get(caller, key).await?.id),
            None => None,
        };
        let store = self.reading(caller, None).await;
        Ok(store.project_list(&caller.user, group, page).await?)
    }

    /// Makes a project in a group.
    pub async fn project_create(
        &self,
        caller: &Caller,
        group: GroupKey,
        command: CreateProject,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let user = caller.user.clone();
        let select = DirectorySelect::Place(Place {
            parent: Some(group),
            path: command.path.clone(),
        });
        self.directory_change(caller, select, mutation, move |state| {
            create(&user, &command, state)
        })
        .await
    }

    /// Changes a project's own fields. A project that the caller may not see is missing to them.
    pub async fn project_update(
        &self,
        caller: &Caller,
        key: ProjectKey,
        command: UpdateProject,
        missing: Missing,
        guard: Guard,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let by = caller.clone();
        let select = DirectorySelect::Project(key.clone());
        self.directory_change(caller, select, mutation, move |state| {
            let view = state.project.as_ref();
            match (access::project(&by, view, ProjectAction::Read), &key) {
                (Ok(project), _) => {
                    access::project(&by, view, command.action(project))?;
                    guard.check_etag(&project.etag())?;
                    project.update(&command, state.now)
                }
                // No project is at the top: a path of one segment names none.
                (Err(_), ProjectKey::Path(path)) if missing.creates(&guard) && path.contains('/') => {
                    create(&by.user, &command.creating(&Place::of(path).path), state)
                }
                (Err(hidden), _) => Err(hidden),
            }
        })
        .await
    }

    /// Deletes a project with everything recorded for it.
    pub async fn project_delete(
        &self,
        caller: &Caller,
        key: ProjectKey,
        guard: Guard,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let by = caller.clone();
        self.directory_change(caller, DirectorySelect::Project(key), mutation, move |state| {
            let project = access::project(&by, state.project.as_ref(), ProjectAction::Administer)?;
            guard.check_etag(&project.etag())?;
            Ok(project.delete())
        })
        .await
    }
}
