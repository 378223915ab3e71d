//! Watching what happens in projects.
//!
//! A watch holds no events but the page it is telling: wake-ups only say which logs to read on. So whoever reads slowly,
//! or comes back after a year, is told the same as who was there all the time.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use super::{App, LOOK_EVERY, memory::Presumed, shared_read::Read};
use crate::{
    domain::{
        access::{self, ProjectAction},
        error::{Error, Reason},
        event::{Event, EventFilter},
        id::{ProjectId, ProjectKey},
    },
    metrics::{self, UnderWay},
    store::{Mark, Store, StoreError, wake::Subscription},
};

/// How many events are read at a time.
const BATCH: i64 = 100;
/// How long it may be taken for granted that the caller may see what was read: a slow reader takes its time.
const GRANTED: Duration = Duration::from_secs(1);

/// Where a watch starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Now,
    /// At the beginning of every log.
    Beginning,
    /// Behind these events.
    Behind(BTreeMap<ProjectId, i64>),
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Something happened.
    Event(Arc<Event>),
    /// Nothing did, for a while.
    Heartbeat,
}

/// A watch over the logs of some projects.
pub struct Watch {
    app: App,
    caller: Presumed,
    filter: EventFilter,
    heartbeat_interval: Duration,
    subscription: Subscription,
    _counted: UnderWay,
    /// For each project, the number of the last event that was told or passed over.
    positions: BTreeMap<ProjectId, i64>,
    /// The projects whose logs may go on, in the order in which they are looked at.
    behind: VecDeque<ProjectId>,
    /// What was read and not yet told, of one project.
    batch: Page,
    /// How much of the batch was told or passed over.
    done: usize,
    /// As of when the caller was last seen to be one who may watch a project.
    admitted_at: BTreeMap<ProjectId, Mark>,
    /// Until when the caller may be told what is in the batch.
    granted_until: Option<Instant>,
    /// When to send a heartbeat unless something is told before.
    heartbeat_at: Instant,
    /// When to look at everything without being woken.
    look_at: Instant,
}

/// Events that one log tells one after the other, for however many tell them on.
#[derive(Debug, Clone, Default)]
pub struct Page {
    events: Arc<[Arc<Event>]>,
    /// As of when they were read; none where there are none.
    read_at: Option<Mark>,
}

/// Reads logs page by page, each read for all the watches that are at the same place.
pub struct Pages {
    store: Arc<dyn Store>,
}

impl Pages {
    /// Of the logs in this store.
    pub fn of(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

impl Read for Pages {
    /// Of which project, and behind the event of which number.
    type Key = (ProjectId, i64);
    /// None where there is no such project any more.
    type Value = Option<Page>;
    type Error = StoreError;

    async fn read(&self, &(project, after): &Self::Key) -> Result<Option<Page>, StoreError> {
        let page = self.store.event_list(project, after, BATCH).await?;
        // Nothing may be there because nothing has happened, or because it ended.
        if page.events.is_empty() && self.store.event_last(project).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(Page {
            events: page.events.into_iter().map(Arc::new).collect(),
            read_at: page.mark,
        }))
    }
}

impl App {
    /// The projects of a watch, each once, for a caller who may watch all of them.
    pub async fn watchable(
        &self,
        caller: &Presumed,
        projects: &[ProjectKey],
    ) -> Result<BTreeSet<ProjectId>, Error> {
        let caller = self.certain(caller).await?;
        let mut found = BTreeSet::new();
        for key in projects {
            let view = self
                .project_for(&caller, key, ProjectAction::ReadDeployment)
                .await?;
            found.insert(view.project.id);
        }
        Ok(found)
    }

    /// Starts a watch over projects that [`App::watchable`] found.
    pub async fn watch(
        &self,
        caller: &Presumed,
        projects: &BTreeSet<ProjectId>,
        filter: EventFilter,
        start: &Start,
        heartbeat_interval: Duration,
    ) -> Result<Watch, Error> {
        let watched: Vec<ProjectId> = projects.iter().copied().collect();
        // Before the logs are looked at, so that whatever happens behind is noticed.
        let subscription = self.store.subscribe(&watched);
        let mut positions = BTreeMap::new();
        for &project in projects {
            let last = self.last_event(project).await?;
            let position = match start {
                Start::Now => last,
                Start::Beginning => 0,
                Start::Behind(positions) => behind(positions.get(&project).copied(), last)?,
            };
            positions.insert(project, position);
        }
        let now = Instant::now();
        Ok(Watch {
            app: self.clone(),
            caller: caller.clone(),
            filter,
            heartbeat_interval,
            subscription,
            _counted: metrics::watching(),
            positions,
            behind: watched.into(),
            batch: Page::default(),
            done: 0,
            admitted_at: BTreeMap::new(),
            granted_until: None,
            // The first message is a heartbeat: it tells the position from which on nothing is missed.
            heartbeat_at: now,
            look_at: now + LOOK_EVERY,
        })
    }

    /// The number of a project's last event, as long as there is the project.
    async fn last_event(&self, project: ProjectId) -> Result<i64, Error> {
        self.store
            .event_last(project)
            .await?
            .ok_or_else(access::project_not_found)
    }
}

/// The position to go on behind, which has to be one of this log: of one that was put back to an earlier state nobody
/// can say what is missing.
fn behind(position: Option<i64>, last: i64) -> Result<i64, Error> {
    position
        .filter(|position| (0..=last).contains(position))
        .ok_or_else(|| {
            Error::new(
                Reason::InvalidResumeToken,
                "the resume token does not belong to this log",
            )
        })
}

impl Watch {
    /// For each project the number of the event behind which to go on after what [`Watch::next`] told last.
    pub fn positions(&self) -> &BTreeMap<ProjectId, i64> {
        &self.positions
    }

    /// Waits for the next thing to tell. An error ends the watch: the caller may not see it any more, a project is gone, or
    /// the store failed.
    pub async fn next(&mut self) -> Result<Told, Error> {
        loop {
            if let Some(event) = self.next_of_batch().await? {
                self.heartbeat_at = Instant::now() + self.heartbeat_interval;
                return Ok(Told::Event(event));
            }
            let now = Instant::now();
            if now >= self.look_at.min(self.heartbeat_at) {
                self.look_around().await?;
            }
            if now >= self.heartbeat_at {
                self.heartbeat_at = Instant::now() + self.heartbeat_interval;
                return Ok(Told::Heartbeat);
            }
            if let Some(project) = self.behind.pop_front() {
                self.read(project).await?;
                continue;
            }
            let until = self.heartbeat_at.min(self.look_at);
            if let Ok(woken) = timeout_at(until, self.subscription.woken()).await {
                self.look_into(woken);
            }
        }
    }

    /// The next wanted event of what was read.
    async fn next_of_batch(&mut self) -> Result<Option<Arc<Event>>, Error> {
        while let Some(event) = self.batch.events.get(self.done).map(Arc::clone) {
            self.done += 1;
            self.positions.insert(event.project_id, event.seq);
            if self.filter.matches(&event) {
                // As of the read or after it, so that nothing is told that happened after the right to see it had ended.
                let expired = self.granted_until.map(|until| until <= Instant::now());
                if expired.unwrap_or(true) {
                    if expired.is_some() {
                        // The read is too long ago to go by what was so then.
                        self.batch.read_at = None;
                    }
                    if !self.is_admitted(event.project_id) {
                        self.admit(event.project_id).await?;
                    }
                    self.granted_until = Some(Instant::now() + GRANTED);
                }
                return Ok(Some(event));
            }
        }
        // Who waits long holds nothing meanwhile.
        self.batch = Page::default();
        self.done = 0;
        Ok(None)
    }

    fn look_into(&mut self, projects: impl IntoIterator<Item = ProjectId>) {
        for project in projects {
            if !self.behind.contains(&project) {
                self.behind.push_back(project);
            }
        }
    }

    /// Reads on in a project's log; what has more to tell than fits goes to the end of the queue.
    async fn read(&mut self, project: ProjectId) -> Result<(), Error> {
        let after = self.positions.get(&project).copied().unwrap_or_default();
        let page = self.app.pages.read(&(project, after)).await?;
        let page = page.ok_or_else(access::project_not_found)?;
        if i64::try_from(page.events.len()).is_ok_and(|read| read == BATCH) {
            self.look_into([project]);
        }
        self.batch = page;
        self.done = 0;
        self.granted_until = None;
        Ok(())
    }

    /// Whether the caller may watch a project as of the read, by what was seen before: then the directory has not changed
    /// since, and only the clock has gone on.
    fn is_admitted(&self, project: ProjectId) -> bool {
        let seen = self.admitted_at.get(&project);
        seen.is_some() && seen == self.batch.read_at.as_ref() && self.caller.is_usable(self.app.now())
    }

    /// Refuses a caller who may no longer watch a project, as of the read or later.
    async fn admit(&mut self, project: ProjectId) -> Result<(), Error> {
        self.caller = self.app.renew(&self.caller, self.batch.read_at).await?;
        self.check(project).await
    }

    async fn check(&mut self, project: ProjectId) -> Result<(), Error> {
        let (key, id) = (ProjectKey::Id(project), self.caller.id());
        let remembered = self.app.memory.view(&key, id);
        let view = match remembered.filter(|view| Some(view.mark) == self.batch.read_at) {
            Some(view) => Some(view),
            None => self.app.view(&key, id).await?,
        };
        let of = view.as_ref().map(|view| &view.of);
        access::project(&self.caller.caller, of, ProjectAction::ReadDeployment)?;
        match view.filter(|view| self.caller.mark == Some(view.mark)) {
            Some(view) => self.admitted_at.insert(project, view.mark),
            None => self.admitted_at.remove(&project),
        };
        Ok(())
    }

    /// Checks that the caller may go on watching, and lets every log be looked into without a wake-up.
    async fn look_around(&mut self) -> Result<(), Error> {
        self.look_at = Instant::now() + LOOK_EVERY;
        let all: Vec<ProjectId> = self.positions.keys().copied().collect();
        // Nothing was read of which it would be enough to know how things were then.
        self.batch = Page::default();
        self.done = 0;
        self.caller = self.app.renew(&self.caller, None).await?;
        for &project in &all {
            self.check(project).await?;
        }
        self.look_into(all);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_goes_on_only_behind_what_the_log_holds() {
        for (position, last, goes_on) in [
            (Some(0), 0, true),
            (Some(0), 7, true),
            (Some(7), 7, true),
            (Some(8), 7, false),
            (Some(-1), 7, false),
            (Some(i64::MIN), 0, false),
            (None, 7, false),
        ] {
            match behind(position, last) {
                Ok(position) => assert!(goes_on && (0..=last).contains(&position)),
                Err(refusal) => {
                    assert!(!goes_on, "{position:?} of {last}");
                    assert_eq!(refusal.reason(), Reason::InvalidResumeToken);
                }
            }
        }
    }
}
