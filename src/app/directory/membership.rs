//! Giving, reading, changing and ending memberships.

use super::{App, Missing, Mutation};
use crate::{
    domain::{
        access::{self, AccessLevel, Caller, MemberAction},
        directory::{
            self, DirectoryChange, Membership, NewMembership, User, membership_not_found, user_not_found,
        },
        error::Error,
        guard::Guard,
        id::{ContainerKey, UserId, UserKey},
        page::{Page, PageRequest},
    },
    store::{DirectoryAnswer, DirectorySelect, DirectoryState, Done},
};

/// Decides about a new membership of the selected user.
fn create(user: &User, level: AccessLevel, state: &DirectoryState) -> Result<Vec<DirectoryChange>, Error> {
    let (container, standing) = access::container(user, &state.container, MemberAction::Manage)?;
    let member = state.user.as_ref().ok_or_else(user_not_found)?;
    let new = NewMembership {
        container,
        user_id: member.id,
        access_level: level,
    };
    directory::create_membership(new, user, standing, state.membership.as_ref())
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
        Ok(self.store.membership_list(container, page).await?)
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
        let user = caller.user.clone();
        let select = DirectorySelect::Membership(container, member);
        self.directory_change(caller, select, mutation, move |state| create(&user, level, state))
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
        let user = caller.user.clone();
        let select = DirectorySelect::Membership(container, member);
        self.directory_change(caller, select, mutation, move |state| {
            let (_, standing) = access::container(&user, &state.container, MemberAction::Manage)?;
            state.user.as_ref().ok_or_else(user_not_found)?;
            match &state.membership {
                Some(membership) => {
                    guard.check_etag(&membership.etag())?;
                    membership.update(level, &user, standing)
                }
                None if missing.creates(&guard) => create(&user, level, state),
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
        let user = caller.user.clone();
        let select = DirectorySelect::Membership(container, member);
        self.directory_change(caller, select, mutation, move |state| {
            let own = state.user.as_ref().is_some_and(|member| member.id == user.id);
            let action = if own {
                MemberAction::Leave
            } else {
                MemberAction::Manage
            };
            let (_, standing) = access::container(&user, &state.container, action)?;
            state.user.as_ref().ok_or_else(user_not_found)?;
            let membership = state.membership.as_ref().ok_or_else(membership_not_found)?;
            guard.check_etag(&membership.etag())?;
            membership.delete(&user, standing)
        })
        .await
    }
}
