//! Use cases: who calls, may they, then the store. They know the [`Store`] trait, the rules and the clock; no wire
//! format and no SQL.

pub mod approval;
pub mod auth;
pub mod background;
pub mod changes;
pub mod deployment;
pub mod directory;
pub mod environment;
pub mod event;
pub mod job;
pub mod lease;
pub mod link;
pub mod merge_request;
pub mod protection;
pub mod repository;
pub mod token;
pub mod wait;
pub mod watch;

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    domain::{
        Time,
        access::{self, Caller, Consistency, ProjectAction},
        directory::ProjectView,
        error::Error,
        id::{ProjectId, ProjectKey},
    },
    repository::Repositories,
    store::{Encode, PoolState, RequestKey, Store, Terms},
};

/// How often who waits looks for themself, at the least: a wake-up may get lost on its way, and a right may end without
/// one.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Everything that the use cases need.
#[derive(Clone)]
pub struct App {
    store: Arc<dyn Store>,
    replica: Option<Arc<dyn Store>>,
    clock: Arc<dyn Clock>,
    repositories: Repositories,
}

/// How a caller wants a change made.
pub struct Mutation<A> {
    /// How to recognise a repeat.
    pub request: Option<RequestKey>,
    /// Do everything, then keep nothing.
    pub validate_only: bool,
    /// What to remember for a repeat.
    pub encode: Encode<A>,
}

impl App {
    /// The use cases on a store.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, repositories: Repositories) -> Self {
        Self {
            store,
            replica: None,
            clock,
            repositories,
        }
    }

    /// With a copy of the store that may lag behind.
    #[must_use]
    pub fn with_replica(self, replica: Option<Arc<dyn Store>>) -> Self {
        Self { replica, ..self }
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The pools of connections as they are now, those of the copy too.
    pub fn pools(&self) -> Vec<PoolState> {
        let mut pools = self.store.pools();
        let of_replica = self.replica.iter().flat_map(|replica| replica.pools());
        pools.extend(of_replica.map(|pool| PoolState {
            name: "replica",
            ..pool
        }));
        pools
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// The store to read from: the copy, where the caller takes that and it has everything that the store has of the
    /// project and the directory. So it has what the caller wrote before, whichever server they wrote it by; of others only
    /// what is happening just now may be missing.
    async fn reading(&self, caller: &Caller, project: Option<ProjectId>) -> &dyn Store {
        let replica = match &self.replica {
            Some(replica) if caller.consistency == Consistency::Eventual => replica,
            _ => return &*self.store,
        };
        // In this order: a copy that is only reached later is later.
        let here = self.store.position(project).await;
        match (here, replica.position(project).await) {
            (Ok(here), Ok(there)) if there.reaches(here) => &**replica,
            (_, Err(error)) => {
                tracing::debug!(?error, "the copy of the store does not answer");
                &*self.store
            }
            _ => &*self.store,
        }
    }

    fn terms<A>(&self, caller: &Caller, mutation: Mutation<A>) -> Terms<A> {
        let mut request = mutation.request;
        // A repeat is answered before anything is judged: what the user did elsewhere is none of a job's business.
        if let (Some(request), Some(job)) = (&mut request, &caller.token.job) {
            request.fingerprint = format!("{} by job {}", request.fingerprint, job.deployment);
        }
        Terms {
            now: self.now(),
            actor: caller.id(),
            request,
            validate_only: mutation.validate_only,
            encode: mutation.encode,
        }
    }

    /// The project, for a caller who may do `action` to it.
    pub async fn project_for(
        &self,
        caller: &Caller,
        key: &ProjectKey,
        action: ProjectAction,
    ) -> Result<ProjectView, Error> {
        let view = self.store.project_find(key, caller.id()).await?;
        access::project(caller, view.as_ref(), action)?;
        view.ok_or_else(access::project_not_found)
    }
}
