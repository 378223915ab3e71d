//! Making, reading, changing and ending shares.

use super::{App, Missing, Mutation};
use crate::{
    domain::{
        access::{self, AccessLevel, Caller, GroupAction, MemberAction},
        directory::{self, DirectoryChange, Group, GroupShare, GroupView, User, share_not_found},
        error::Error,
        guard::Guard,
        id::{ContainerKey, GroupId, GroupKey},
        page::{Page, PageRequest},
    },
    store::{DirectoryAnswer, DirectorySelect, DirectoryState, Done},
};

/// The group that is or would be let in. Who sees the container sees whom it is shared with, other groups may be hidden.
fn let_in<'a>(
    user: &User,
    view: Option<&'a GroupView>,
    share: Option<&GroupShare>,
) -> Result<&'a Group, Error> {
    match (view, share) {
        (Some(view), Some(_)) => Ok(&view.group),
        (view, _) => access::group(user, view, GroupAction::Read),
    }
}

/// Decides about a new share with the selected group.
fn create(by: &Caller, level: AccessLevel, state: &DirectoryState) -> Result<Vec<DirectoryChange>, Error> {
    let managed = access::container(by, &state.container, MemberAction::Manage)?;
    let group = let_in(&by.user, state.group.as_ref(), state.share.as_ref())?;
    directory::create_share(
        &state.container,
        managed,
        group,
        level,
        &by.user,
        state.share.as_ref(),
    )
}

impl App {
    /// A share.
    pub async fn share_get(
        &self,
        caller: &Caller,
        container: &ContainerKey,
        group: &GroupKey,
    ) -> Result<GroupShare, Error> {
        let container = self.container_for(caller, container).await?;
        let view = self.store.group_find(group, caller.id()).await?;
        let share = match &view {
            Some(view) => self.store.share_find(container, view.group.id).await?,
            None => None,
        };
        let_in(&caller.user, view.as_ref(), share.as_ref())?;
        share.ok_or_else(share_not_found)
    }

    /// A page of the shares.
    pub async fn share_list(
        &self,
        caller: &Caller,
        container: &ContainerKey,
        page: &PageRequest<GroupId>,
    ) -> Result<Page<GroupShare, GroupId>, Error> {
        let container = self.container_for(caller, container).await?;
        let store = self.reading(caller, None).await;
        Ok(store.share_list(container, page).await?)
    }

    /// Lets the members of a group in.
    pub async fn share_create(
        &self,
        caller: &Caller,
        container: ContainerKey,
        group: GroupKey,
        level: AccessLevel,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let by = caller.clone();
        let select = DirectorySelect::Share(container, group);
        self.directory_change(caller, select, mutation, move |state| create(&by, level, state))
            .await
    }

    /// Changes a share.
    pub async fn share_update(
        &self,
        caller: &Caller,
        (container, group): (ContainerKey, GroupKey),
        level: AccessLevel,
        missing: Missing,
        guard: Guard,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let by = caller.clone();
        let select = DirectorySelect::Share(container, group);
        self.directory_change(caller, select, mutation, move |state| {
            let (_, standing) = access::container(&by, &state.container, MemberAction::Manage)?;
            let_in(&by.user, state.group.as_ref(), state.share.as_ref())?;
            match &state.share {
                Some(share) => {
                    guard.check_etag(&share.etag())?;
                    share.update(level, &by.user, standing)
                }
                None if missing.creates(&guard) => create(&by, level, state),
                None => Err(share_not_found()),
            }
        })
        .await
    }

    /// Ends a share.
    pub async fn share_delete(
        &self,
        caller: &Caller,
        container: ContainerKey,
        group: GroupKey,
        guard: Guard,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let by = caller.clone();
        let select = DirectorySelect::Share(container, group);
        self.directory_change(caller, select, mutation, move |state| {
            let (_, standing) = access::container(&by, &state.container, MemberAction::Manage)?;
            let_in(&by.user, state.group.as_ref(), state.share.as_ref())?;
            let share = state.share.as_ref().ok_or_else(share_not_found)?;
            guard.check_etag(&share.etag())?;
            share.delete(&by.user, standing)
        })
        .await
    }
}
