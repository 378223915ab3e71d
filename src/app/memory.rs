//! What is remembered of the directory: who holds a token, and what a user is to a project.
//!
//! Nothing that is remembered is taken for granted. It is kept with the number of changes that the directory had had when
//! it was read, and whoever reads or changes something on the strength of it compares that number with the one of their
//! own moment: in the statement that reads, or under the lock of the change. Where the directory has moved on, the store
//! refuses ([`StoreError::Outdated`](crate::store::StoreError)), and everything is asked again. So a token that was revoked
//! or a role that was lost counts from the moment on in which that is committed, by whichever server, and nobody has to be
//! told.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::{
    domain::{
        Time,
        access::Caller,
        directory::{ProjectView, User},
        id::{ProjectKey, UserId},
        token::{SecretHash, Token},
    },
    store::{Dated, Mark},
};

use super::auth::Cover;

/// How many tokens, and how many users' views of projects, are remembered at most: some ten megabytes of each.
const REMEMBERED: usize = 8_192;

/// See the module.
pub struct Memory {
    holders: Cache<SecretHash, Arc<Dated<(Token, User)>>>,
    views: Cache<(ProjectKey, UserId), Arc<Dated<ProjectView>>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            holders: Cache::new(REMEMBERED),
            views: Cache::new(REMEMBERED),
        }
    }
}

impl Memory {
    /// The token with this secret and its user.
    pub fn holder(&self, hash: &SecretHash) -> Option<Arc<Dated<(Token, User)>>> {
        self.holders.get(hash)
    }

    /// Remembers a token and its user. Not a job's: whether that may be used, its job's status decides, which is no matter
    /// of the directory.
    pub fn keep_holder(&self, hash: SecretHash, holder: Dated<(Token, User)>) {
        if holder.of.0.job.is_none() {
            self.holders.insert(hash, Arc::new(holder));
        }
    }

    /// A project as a user met it.
    pub fn view(&self, project: &ProjectKey, viewer: UserId) -> Option<Arc<Dated<ProjectView>>> {
        self.views.get(&(project.clone(), viewer))
    }

    /// Remembers a project as a user meets it.
    pub fn keep_view(&self, project: ProjectKey, viewer: UserId, view: Arc<Dated<ProjectView>>) {
        self.views.insert((project, viewer), view);
    }
}

/// Who calls, perhaps as they are remembered: only for what says so to the store.
#[derive(Debug, Clone)]
pub struct Presumed {
    /// The caller.
    pub(super) caller: Caller,
    /// As of when; none for who acts as somebody else, whose token and user are read one after the other.
    pub(super) mark: Option<Mark>,
    /// How to ask again; none for who acts as somebody else.
    pub(super) again: Option<(SecretHash, Cover)>,
    /// Whether that was done for this call.
    pub(super) fresh: bool,
}

impl Presumed {
    /// The user, who is the same whatever has changed.
    pub fn id(&self) -> UserId {
        self.caller.id()
    }

    /// Whether the token can be used at this time, whatever else has changed.
    pub(super) fn is_usable(&self, now: Time) -> bool {
        self.caller.token.usable(now).is_ok()
    }

    /// With another consistency.
    #[must_use]
    pub fn reading(self, consistency: crate::domain::access::Consistency) -> Self {
        let caller = Caller {
            consistency,
            ..self.caller
        };
        Self { caller, ..self }
    }
}
