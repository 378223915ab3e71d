//! Giving, reading, changing and ending memberships.

use super::{App, Missing, Mutation};
use crate::{
    domain::{
        access::{self, AccessLevel, Caller, MemberAction},
        directory::{self, DirectoryChange, Membership, NewMembership, membership_not_found, user_not_found},
        error::Error,
        guard::Guard,
        id::{ContainerKey, UserId, UserKey},
        page::{Page, PageRequest},
    },
    store::{DirectoryAnswer, DirectorySelect, DirectoryState, Done},
};

/// Decides about a new membership of the selected user.
fn create(by: &Caller, level: AccessLevel, state: &DirectoryState) -> Result<Vec<DirectoryChange>, Error> {
    let (container, standing) = access::container(by, &state.container, MemberAction::Manage)?;
    let member = state.user.as_ref().ok_or_else(user_not_found)?;
    let new = NewMembership {
        container,
        user_id: member.id,
        access_level: level,
    };
    directory::create_membership(new, &by.user, standing, state.membership.as_ref())
}

impl App {
    /// A user's direct membership.
    pub async fn membership_get(
        &self,
        caller: &Caller,
        container: &ContainerKey,
        member: &UserKey,
    ) -> Result<Membership, Error> {
        let container = self.container_for(caller, container).await?;
        let member = self.user_get(member).await?;
        self.store
            .membership_find(container, member.id)
            .await?
            .ok_or_else(membership_not_found)
    }

    /// A page of the direct memberships.
    pub async fn membership_list(
        &self,
        caller: &Caller,
        container: &ContainerKey,
        page: &PageRequest<UserId>,
    ) -> Result<Page<Membership, UserId>, Error> {
        let container = self.container_for(caller, container).await?;
        let store = self.reading(caller, None).await;
        Ok(store.membership_list(container, page).await?)
    }

    /// Makes a user a direct member.
    pub async fn membership_create(
        &self,
        caller: &Caller,
        container: ContainerKey,
        member: UserKey,
        level: AccessLevel,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let by = caller.clone();
        let select = DirectorySelect::Membership(container, member);
        self.directory_change(caller, select, mutation, move |state| create(&by, level, state))
            .await
    }

    /// Changes a membership.
    pub async fn membership_update(
        &self,
        caller: &Caller,
        (container, member): (ContainerKey, UserKey),
        level: AccessLevel,
        missing: Missing,
        guard: Guard,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let by = caller.clone();
        let select = DirectorySelect::Membership(container, member);
        self.directory_change(caller, select, mutation, move |state| {
            let (_, standing) = access::container(&by, &state.container, MemberAction::Manage)?;
            state.user.as_ref().ok_or_else(user_not_found)?;
            match &state.membership {
                Some(membership) => {
                    guard.check_etag(&membership.etag())?;
                    membership.update(level, &by.user, standing)
                }
                None if missing.creates(&guard) => create(&by, level, state),
                None => Err(membership_not_found()),
            }
        })
        .await
    }

    /// Ends a membership; everyone may end their own.
    pub async fn membership_delete(
        &self,
        caller: &Caller,
        container: ContainerKey,
        member: UserKey,
        guard: Guard,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let by = caller.clone();
        let select = DirectorySelect::Membership(container, member);
        self.directory_change(caller, select, mutation, move |state| {
            let own = state.user.as_ref().is_some_and(|member| member.id == by.id());
            let action = if own {
                MemberAction::Leave
            } else {
                MemberAction::Manage
            };
            let (_, standing) = access::container(&by, &state.container, action)?;
            state.user.as_ref().ok_or_else(user_not_found)?;
            let membership = state.membership.as_ref().ok_or_else(membership_not_found)?;
            guard.check_etag(&membership.etag())?;
            membership.delete(&by.user, standing)
        })
        .await
    }
}
