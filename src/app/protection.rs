//! Protecting environments, and reading what is protected.

use super::{App, Mutation};
use crate::{
    domain::{
        access::{self, Caller, GroupAction, ProjectAction},
        directory::{Container, DirectoryChange},
        error::Error,
        event::ProjectChange,
        guard::Guard,
        id::{ContainerKey, GroupKey, ProjectId, ProjectKey},
        page::{Page, PageRequest},
        protection::{
            self, EntryCommand, Nameable, ProtectEnvironment, ProtectedEnvironment, ProtectionChange,
            UpdateProtection, protection_not_found,
        },
    },
    store::{
        DirectoryAnswer, DirectorySelect, DirectoryState, Done, ProjectAnswer, ProjectState,
        ProtectionSelect, Select,
    },
};

/// What a caller wants done to a protection.
#[derive(Debug, Clone)]
pub enum ProtectionCommand {
    /// Make it.
    Protect(ProtectEnvironment),
    /// Change the one of this name.
    Update(String, UpdateProtection, Guard),
    /// Take the one of this name away.
    Unprotect(String, Guard),
}

impl ProtectionCommand {
    /// What has to be known for it.
    fn select(&self) -> ProtectionSelect {
        let (name, lists): (_, [&[EntryCommand]; 2]) = match self {
            Self::Protect(command) => (
                &command.name,
                [&command.deploy_access_levels, &command.approval_rules],
            ),
            Self::Update(name, command, _) => {
                (name, [&command.deploy_access_levels, &command.approval_rules])
            }
            Self::Unprotect(name, _) => (name, [&[], &[]]),
        };
        ProtectionSelect {
            name: name.clone(),
            users: protection::named_users(lists),
            groups: protection::named_groups(lists),
        }
    }

    /// What it changes, once the caller may.
    fn decide(
        &self,
        existing: Option<&ProtectedEnvironment>,
        nameable: Option<&Nameable>,
    ) -> Result<Vec<ProtectionChange>, Error> {
        // Who may be named is known wherever there is something to protect.
        let nameable = nameable.ok_or_else(protection_not_found)?;
        match self {
            Self::Protect(command) => protection::protect(command, nameable, existing),
            Self::Update(_, command, guard) => {
                let existing = existing.ok_or_else(protection_not_found)?;
                guard.check(&existing.etag(), existing.updated_at)?;
                existing.update(command, nameable)
            }
            Self::Unprotect(_, guard) => {
                let existing = existing.ok_or_else(protection_not_found)?;
                guard.check(&existing.etag(), existing.updated_at)?;
                Ok(existing.unprotect())
            }
        }
    }
}

/// The project, if it is one.
fn project_of(container: Container) -> Option<ProjectId> {
    match container {
        Container::Project(project) => Some(project),
        Container::Group(_) => None,
    }
}

impl App {
    /// A page of the protected environments of a project or group.
    pub async fn protection_list(
        &self,
        caller: &Caller,
        container: &ContainerKey,
        page: &PageRequest<String>,
    ) -> Result<Page<ProtectedEnvironment, String>, Error> {
        let container = self.protecting(caller, container).await?;
        let store = self.reading(caller, project_of(container)).await;
        Ok(store.protection_list(container, page).await?)
    }

    /// A protected environment of a project or group.
    pub async fn protection_get(
        &self,
        caller: &Caller,
        container: &ContainerKey,
        name: &str,
    ) -> Result<ProtectedEnvironment, Error> {
        let container = self.protecting(caller, container).await?;
        self.reading(caller, project_of(container))
            .await
            .protection_find(container, name)
            .await?
            .ok_or_else(protection_not_found)
    }

    /// Changes what a project protects.
    pub async fn project_protection_change(
        &self,
        caller: &Caller,
        project: ProjectKey,
        command: ProtectionCommand,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let by = caller.clone();
        let select = Select::Protection(command.select());
        let decide = Box::new(move |state: &ProjectState| {
            let action = ProjectAction::AdministerProtectedEnvironments;
            access::project(&by, state.view.as_ref(), action)?;
            let changes = command.decide(state.protection.as_ref(), state.nameable.as_ref())?;
            Ok(changes.into_iter().map(ProjectChange::Protection).collect())
        });
        let terms = self.terms(caller, mutation);
        Ok(self.store.project_change(project, select, terms, decide).await?)
    }

    /// Changes what a group protects.
    pub async fn group_protection_change(
        &self,
        caller: &Caller,
        group: GroupKey,
        command: ProtectionCommand,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let user = caller.user.clone();
        let select = DirectorySelect::Protection(group, command.select());
        self.directory_change(caller, select, mutation, move |state: &DirectoryState| {
            access::group(&user, state.group.as_ref(), GroupAction::Administer)?;
            let changes = command.decide(state.protection.as_ref(), state.nameable.as_ref())?;
            Ok(changes.into_iter().map(DirectoryChange::Protection).collect())
        })
        .await
    }

    /// The project or group, for a caller who may say what is protected there.
    async fn protecting(&self, caller: &Caller, container: &ContainerKey) -> Result<Container, Error> {
        match container {
            ContainerKey::Project(key) => {
                let action = ProjectAction::AdministerProtectedEnvironments;
                let view = self.project_for(caller, key, action).await?;
                Ok(Container::Project(view.project.id))
            }
            ContainerKey::Group(key) => {
                let view = self.store.group_find(key, caller.id()).await?;
                let group = access::group(&caller.user, view.as_ref(), GroupAction::Administer)?;
                Ok(Container::Group(group.id))
            }
        }
    }
}
