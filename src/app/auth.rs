//! Who calls: from a token to a [`Caller`] (contract 3.1).

use std::borrow::Cow;

use chrono::TimeDelta;

use super::{App, memory::Presumed};
use crate::{
    domain::{
        Time,
        access::{self, Caller, Consistency},
        directory::User,
        error::{Error, Reason},
        id::{UserId, UserKey},
        token::{Scope, Secret, SecretHash, Token},
    },
    store::{Dated, Mark},
};

/// How precisely the last use of a token is kept: a write for each use would cost more than it tells.
const TOUCH_EVERY: TimeDelta = TimeDelta::minutes(10);

/// What a token has to be for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cover {
    /// The scope that it has to have.
    pub scope: Scope,
    /// Whether it may be a user's.
    pub users: bool,
    /// Whether it may be a job's.
    pub jobs: bool,
}

fn unknown_token() -> Error {
    Error::new(Reason::TokenInvalid, "the token is not known")
}

fn missing_token() -> Error {
    Error::new(Reason::TokenMissing, "a token is required")
}

/// Whether the last use of a token is to be noted.
fn to_be_touched(token: &Token, now: Time) -> bool {
    token.last_used_at.is_none_or(|last| now - last >= TOUCH_EVERY)
}

/// The holder of a token, if it covers the call.
fn admit(token: Token, user: User, cover: Cover, now: Time) -> Result<Caller, Error> {
    let fits = if token.job.is_some() {
        cover.jobs
    } else {
        cover.users
    };
    if !fits {
        return Err(unknown_token());
    }
    token.usable(now)?;
    let caller = Caller {
        user,
        token,
        consistency: Consistency::Strong,
    };
    caller.require_scope(cover.scope)?;
    access::active(&caller.user)?;
    Ok(caller)
}

impl App {
    /// The caller behind a presented token, if it covers the call; with `sudo`, the user acted as.
    ///
    /// Checked in this order: the token is there, is known, is of the kind that it has to be, has not expired, was not
    /// revoked, covers the scope, its user is not blocked, may act as the other, who exists and is not blocked.
    pub async fn authenticate(
        &self,
        presented: Option<&Secret>,
        sudo: Option<&str>,
        cover: Cover,
    ) -> Result<Caller, Error> {
        let hash = presented.map(Secret::hash).ok_or_else(missing_token)?;
        let (mut caller, _) = self.authenticate_now(hash, cover).await?;
        if let Some(sudo) = sudo {
            self.act_as(&mut caller, sudo).await?;
        }
        Ok(caller)
    }

    /// The caller behind a presented token as [`App::authenticate`] finds them, but perhaps as they are remembered: for
    /// what says so to the store. Where what is remembered speaks against them it is asked again.
    pub async fn presume(
        &self,
        presented: Option<&Secret>,
        sudo: Option<&str>,
        cover: Cover,
    ) -> Result<Presumed, Error> {
        let hash = presented.map(Secret::hash).ok_or_else(missing_token)?;
        if sudo.is_none()
            && let Some(holder) = self.memory.holder(&hash)
        {
            let (token, user) = &holder.of;
            if !to_be_touched(token, self.now())
                && let Ok(caller) = admit(token.clone(), user.clone(), cover, self.now())
            {
                return Ok(Presumed {
                    caller,
                    mark: Some(holder.mark),
                    again: Some((hash, cover)),
                    fresh: false,
                });
            }
        }
        let (mut caller, mark) = self.authenticate_now(hash.clone(), cover).await?;
        let (mut mark, mut again) = (Some(mark), Some((hash, cover)));
        if let Some(sudo) = sudo {
            self.act_as(&mut caller, sudo).await?;
            (mark, again) = (None, None);
        }
        Ok(Presumed {
            caller,
            mark,
            again,
            fresh: true,
        })
    }

    /// The caller as they were at `mark`, if there is one, or as they are by now.
    pub(super) async fn renew(&self, presumed: &Presumed, mark: Option<Mark>) -> Result<Presumed, Error> {
        let Some((hash, cover)) = &presumed.again else {
            let caller = self.still(&presumed.caller).await?;
            return Ok(Presumed {
                caller,
                ..presumed.clone()
            });
        };
        let holder = self.memory.holder(hash);
        let remembered = holder
            .filter(|holder| Some(holder.mark) == mark)
            .and_then(|holder| {
                let (token, user) = holder.of.clone();
                let caller = admit(token, user, *cover, self.now()).ok()?;
                Some((caller, holder.mark))
            });
        let (caller, mark) = match remembered {
            Some(remembered) => remembered,
            None => self.authenticate_now(hash.clone(), *cover).await?,
        };
        Ok(Presumed {
            caller: Caller {
                consistency: presumed.caller.consistency,
                ..caller
            },
            mark: Some(mark),
            again: presumed.again.clone(),
            fresh: true,
        })
    }

    /// The caller as they are by now.
    pub(super) async fn certain<'a>(&self, presumed: &'a Presumed) -> Result<Cow<'a, Caller>, Error> {
        let (hash, cover) = match &presumed.again {
            Some(again) if !presumed.fresh => again,
            _ => return Ok(Cow::Borrowed(&presumed.caller)),
        };
        let (mut caller, _) = self.authenticate_now(hash.clone(), *cover).await?;
        caller.consistency = presumed.caller.consistency;
        Ok(Cow::Owned(caller))
    }

    /// Who holds the token, as read just now, and remembered from now on.
    async fn authenticate_now(&self, hash: SecretHash, cover: Cover) -> Result<(Caller, Mark), Error> {
        let holder = self.store.token_find(&hash).await?.ok_or_else(unknown_token)?;
        let Dated {
            of: (token, user),
            mark,
        } = holder;
        let now = self.now();
        let mut caller = admit(token, user, cover, now)?;
        if to_be_touched(&caller.token, now) {
            // A store that cannot write still answers reads: the note is not worth a refusal.
            if let Err(error) = self.store.token_touch(caller.token.id, now).await {
                tracing::warn!(error = ?error, token.id = caller.token.id.0, "cannot note the token's use");
            }
            caller.token.last_used_at = Some(now);
        }
        let of = (caller.token.clone(), caller.user.clone());
        self.memory.keep_holder(hash, Dated { of, mark });
        Ok((caller, mark))
    }

    /// The caller as they are now, for calls that take long: refused as soon as the token, its user, or the user acted as
    /// would be.
    pub async fn still(&self, caller: &Caller) -> Result<Caller, Error> {
        let (token, user) = self
            .store
            .token_find_by_id(caller.token.id)
            .await?
            .ok_or_else(unknown_token)?;
        token.usable(self.now())?;
        access::active(&user)?;
        let acted_as = (caller.id() != user.id).then(|| caller.id().to_string());
        let mut caller = Caller {
            user,
            token,
            consistency: Consistency::Strong,
        };
        if let Some(user) = acted_as {
            self.act_as(&mut caller, &user).await?;
        }
        Ok(caller)
    }

    /// Whether a token with this secret exists, usable or not.
    pub async fn knows(&self, secret: &Secret) -> Result<bool, Error> {
        Ok(self.store.token_find(&secret.hash()).await?.is_some())
    }

    /// Lets an administrator act as the user with this id or name.
    async fn act_as(&self, caller: &mut Caller, sudo: &str) -> Result<(), Error> {
        if caller.token.job.is_some() {
            return Err(Error::new(
                Reason::SudoNotAdmin,
                "a job's token acts as nobody but the job's user",
            ));
        }
        if !caller.user.admin {
            return Err(Error::new(
                Reason::SudoNotAdmin,
                "only administrators may act as others",
            ));
        }
        let key = match sudo.parse() {
            Ok(id) => UserKey::Id(UserId(id)),
            Err(_) => UserKey::Name(sudo.to_owned()),
        };
        caller.user = self.store.user_find(&key).await?.ok_or_else(|| {
            Error::new(Reason::SudoUserNotFound, "the user to act as does not exist").with("user", sudo)
        })?;
        access::active(&caller.user)
    }
}
