//! Making, reading, changing and deleting users.

use super::{App, Missing, Mutation};
use crate::{
    domain::{
        access::{self, Caller},
        directory::{self, CreateUser, UpdateUser, User, user_not_found},
        error::Error,
        guard::Guard,
        id::{UserId, UserKey},
        page::{Page, PageRequest},
    },
    store::{DirectoryAnswer, DirectorySelect, Done},
};

impl App {
    /// A user.
    pub async fn user_get(&self, key: &UserKey) -> Result<User, Error> {
        self.store.user_find(key).await?.ok_or_else(user_not_found)
    }

    /// A page of the users.
    pub async fn user_list(
        &self,
        search: Option<&str>,
        page: &PageRequest<UserId>,
    ) -> Result<Page<User, UserId>, Error> {
        Ok(self.store.user_list(search, page).await?)
    }

    /// Makes a user.
    pub async fn user_create(
        &self,
        caller: &Caller,
        command: CreateUser,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let user = caller.user.clone();
        let select = DirectorySelect::User(UserKey::Name(command.username.clone()));
        self.directory_change(caller, select, mutation, move |state| {
            access::administrator(&user, "create_user")?;
            directory::create_user(&command, state.user.as_ref())
        })
        .await
    }

    /// Changes a user's fields.
    pub async fn user_update(
        &self,
        caller: &Caller,
        key: UserKey,
        command: UpdateUser,
        missing: Missing,
        guard: Guard,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let user = caller.user.clone();
        let select = DirectorySelect::User(key.clone());
        self.directory_change(caller, select, mutation, move |state| {
            access::administrator(&user, "update_user")?;
            match (&state.user, &key) {
                (Some(found), _) => {
                    guard.check_etag(&found.etag())?;
                    found.update(&command, state.other_administrators)
                }
                (None, UserKey::Name(username)) if missing.creates(&guard) => {
                    directory::create_user(&command.creating(username), None)
                }
                (None, _) => Err(user_not_found()),
            }
        })
        .await
    }

    /// Deletes a user, with memberships and tokens.
    pub async fn user_delete(
        &self,
        caller: &Caller,
        key: UserKey,
        guard: Guard,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let user = caller.user.clone();
        self.directory_change(caller, DirectorySelect::User(key), mutation, move |state| {
            access::administrator(&user, "delete_user")?;
            let found = state.user.as_ref().ok_or_else(user_not_found)?;
            guard.check_etag(&found.etag())?;
            found.delete(state.other_administrators)
        })
        .await
    }
}
