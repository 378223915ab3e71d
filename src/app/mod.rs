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
pub mod memory;
pub mod merge_request;
pub mod protection;
pub mod repository;
pub mod shared_read;
pub mod token;
pub mod wait;
pub mod watch;

use std::{sync::Arc, time::Duration};

use memory::{Memory, Presumed};
use shared_read::SharedReads;

use crate::{
    clock::Clock,
    domain::{
        Time,
        access::{self, Caller, Consistency, ProjectAction},
        directory::ProjectView,
        error::Error,
        event::ProjectChange,
        id::{ProjectId, ProjectKey, UserId},
    },
    repository::Repositories,
    store::{
        Dated, Done, Encode, PoolState, Premise, ProjectAnswer, ProjectState, RequestKey, Select, Store,
        StoreError, Terms,
    },
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
    memory: Arc<Memory>,
    pages: SharedReads<watch::Pages>,
}

/// How a caller wants a change made.
#[derive(Clone)]
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
            pages: SharedReads::new(watch::Pages::of(Arc::clone(&store))),
            store,
            replica: None,
            clock,
            repositories,
            memory: Arc::default(),
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
            premise: None,
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
        let view = self.view(key, caller.id()).await?;
        let view = view.map(|view| view.of.clone());
        access::project(caller, view.as_ref(), action)?;
        view.ok_or_else(access::project_not_found)
    }

    /// The project as a user meets it, remembered from now on.
    async fn view(&self, key: &ProjectKey, viewer: UserId) -> Result<Option<Arc<Dated<ProjectView>>>, Error> {
        let view = self.store.project_find(key, viewer).await?.map(Arc::new);
        if let Some(view) = &view {
            self.memory.keep_view(key.clone(), viewer, Arc::clone(view));
        }
        Ok(view)
    }

    /// The project as it is remembered, for a caller who may do `action` to it as far as is remembered, both as of the same
    /// moment. For who reads what may be older, nothing is.
    fn remembered(
        &self,
        caller: &Presumed,
        key: &ProjectKey,
        action: ProjectAction,
    ) -> Option<Arc<Dated<ProjectView>>> {
        let Presumed { caller, mark, .. } = caller;
        if self.replica.is_some() && caller.consistency == Consistency::Eventual {
            return None;
        }
        let view = self.memory.view(key, caller.id())?;
        let fits = *mark == Some(view.mark) && access::project(caller, Some(&view.of), action).is_ok();
        fits.then_some(view)
    }

    /// Changes a project, first on the strength of what is remembered of the caller.
    async fn change_project<D>(
        &self,
        caller: &Presumed,
        project: ProjectKey,
        select: Select,
        mutation: Mutation<ProjectAnswer>,
        decide: D,
    ) -> Result<Done<ProjectAnswer>, Error>
    where
        D: Fn(&Caller, &ProjectState) -> Result<Vec<ProjectChange>, Error> + Clone + Send + Sync + 'static,
    {
        if let Some(premise) = self.premise(caller, &project).await? {
            let by = caller.caller.clone();
            let terms = Terms {
                premise: Some(premise),
                ..self.terms(&by, mutation.clone())
            };
            let decide = decide.clone();
            let decide = Box::new(move |state: &ProjectState| decide(&by, state));
            let done = self
                .store
                .project_change(project.clone(), select.clone(), terms, decide);
            match done.await {
                Err(StoreError::Outdated) => {}
                done => return Ok(done?),
            }
        }
        let by = self.certain(caller).await?.into_owned();
        let terms = self.terms(&by, mutation);
        let decide = Box::new(move |state: &ProjectState| decide(&by, state));
        Ok(self.store.project_change(project, select, terms, decide).await?)
    }

    /// What a change of a project can go by: the caller and the project as of the same moment.
    async fn premise(&self, caller: &Presumed, key: &ProjectKey) -> Result<Option<Premise>, Error> {
        let Some(mark) = caller.mark else {
            return Ok(None);
        };
        let fits = |view: &Arc<Dated<ProjectView>>| view.mark == mark;
        let view = match self.memory.view(key, caller.id()).filter(fits) {
            Some(view) => Some(view),
            None => self.view(key, caller.id()).await?.filter(fits),
        };
        Ok(view.map(|view| Premise {
            mark,
            view: view.of.clone(),
            user: caller.caller.user.clone(),
        }))
    }
}
