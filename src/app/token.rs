//! Making, listing and revoking tokens, and the first one of all.

use super::{App, Mutation};
use crate::{
    domain::{
        access::{self, Caller},
        directory::{User, user_not_found},
        error::{Error, Reason},
        id::{TokenId, UserKey},
        page::{Page, PageRequest},
        token::{self, CreateToken, Secret, Token, token_not_found},
    },
    store::{DirectoryAnswer, DirectorySelect, Done},
};

/// A secret that nobody can guess.
pub fn new_secret() -> Result<Secret, Error> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::caused(Reason::Internal, "no randomness for a secret", error))?;
    Ok(Secret::from_random(bytes))
}

impl App {
    /// Makes a token, the caller's own unless `owner` says otherwise. Its secret is told here and never again: the store
    /// keeps a hash.
    pub async fn token_create(
        &self,
        caller: &Caller,
        owner: Option<UserKey>,
        command: CreateToken,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<(Done<DirectoryAnswer>, Secret), Error> {
        let secret = new_secret()?;
        let hash = secret.hash();
        let select = DirectorySelect::User(owner.unwrap_or(UserKey::Id(caller.id())));
        let creator = caller.clone();
        let done = self
            .directory_change(caller, select, mutation, move |state| {
                let owner = state.user.as_ref().ok_or_else(user_not_found)?;
                token::create(&command, owner, &creator, &hash, state.now)
            })
            .await?;
        Ok((done, secret))
    }

    /// A page of tokens, the caller's own unless `owner` says otherwise.
    pub async fn token_list(
        &self,
        caller: &Caller,
        owner: Option<&UserKey>,
        page: &PageRequest<TokenId>,
    ) -> Result<Page<Token, TokenId>, Error> {
        let owner = match owner {
            Some(key) => self.user_get(key).await?.id,
            None => caller.id(),
        };
        access::tokens_of(&caller.user, owner)?;
        Ok(self.store.token_list(owner, page).await?)
    }

    /// Revokes a token.
    pub async fn token_revoke(
        &self,
        caller: &Caller,
        id: TokenId,
        mutation: Mutation<DirectoryAnswer>,
    ) -> Result<Done<DirectoryAnswer>, Error> {
        let user = caller.user.clone();
        self.directory_change(caller, DirectorySelect::Token(id), mutation, move |state| {
            let token = state.token.as_ref().ok_or_else(token_not_found)?;
            token.revoke(&user, state.now)
        })
        .await
    }

    /// Makes the first administrator, with a token of this secret, if there is no user at all; else none.
    pub async fn bootstrap(&self, secret: &Secret) -> Result<Option<User>, Error> {
        Ok(self.store.bootstrap(&secret.hash(), self.now()).await?)
    }
}
