//! Making, reading, changing and deleting groups.

use super::{App, Missing, Mutation};
use crate::{
    domain::{
        access::{self, Caller, GroupAction},
        directory::{self, CreateGroup, DirectoryChange, Group, UpdateGroup, User},
        error::Error,
        guard::Guard,
        id::{GroupId, GroupKey, Place},
        page::{Page, PageRequest},
    },
    store::{DirectoryAnswer, DirectorySelect, DirectoryState, Done},
};

/// Decides about a new group in a place.
fn create(
    user: &User,
    place: &Place,
    command: &CreateGroup,
    state: &DirectoryState,
) -> Result<Vec<DirectoryChange>, Error> {
    access::new_group(user, place, state.parent.as_ref())?;
    directory::create_group(command, state.parent.as_ref(), state.path_taken, user)
}

impl App {
    /// A group, for a caller who may see it.
    pub async fn group_get(&self, caller: &Caller, key: &GroupKey) -> Result<Group, Error> {
        let view = self.store.group_find(key, caller.id()).await?;
        access::group(&caller.user, view.as_ref(), GroupAction::Read).cloned()
    }

    /// A page of the groups that the caller may see; of those directly in `parent`.
    pub async fn group_list(
        &self,
        caller: &Caller,
        parent: Option<&GroupKey>,
        page: &PageRequest<GroupId>,
    ) -> Result<Page<Group, GroupId>, Error> {
        let parent = match parent {
            Some(key) => Some(self.group_get(caller, key).await?.id),
            None => None,
        };
        let store = self.reading(caller, None).await;
        Ok(store.group_list(&caller.user, parent, page).await?)
    }

    /// Makes a group in `parent`, or at the top.
    pub async fn group_create(
        &self,
        caller: &Caller,
        parent: Option<GroupKey>,
        command: CreateGroup,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let user = caller.user.clone();
        let place = Place {
            parent,
            path: command.path.clone(),
        };
        let select = DirectorySelect::Place(place.clone());
        self.directory_change(caller, select, mutation, move |state| {
            create(&user, &place, &command, state)
        })
        .await
    }

    /// Changes a group's fields. A group that the caller may not see is missing to them.
    pub async fn group_update(
        &self,
        caller: &Caller,
        key: GroupKey,
        command: UpdateGroup,
        missing: Missing,
        guard: Guard,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let user = caller.user.clone();
        let select = DirectorySelect::Group(key.clone());
        self.directory_change(caller, select, mutation, move |state| {
            let view = state.group.as_ref();
            match (access::group(&user, view, GroupAction::Read), &key) {
                (Ok(_), _) => {
                    let group = access::group(&user, view, GroupAction::Administer)?;
                    guard.check_etag(&group.etag())?;
                    group.update(&command)
                }
                (Err(_), GroupKey::Path(path)) if missing.creates(&guard) => {
                    let place = Place::of(path);
                    create(&user, &place, &command.creating(&place.path), state)
                }
                (Err(hidden), _) => Err(hidden),
            }
        })
        .await
    }

    /// Deletes an empty group, with memberships and shares.
    pub async fn group_delete(
        &self,
        caller: &Caller,
        key: GroupKey,
        guard: Guard,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let user = caller.user.clone();
        self.directory_change(caller, DirectorySelect::Group(key), mutation, move |state| {
            let group = access::group(&user, state.group.as_ref(), GroupAction::Administer)?;
            guard.check_etag(&group.etag())?;
            group.delete(state.group_empty)
        })
        .await
    }
}
