//! Wake-ups: who waits for events learns at once that there may be some, and then reads the log.
//!
//! A wake-up carries nothing and promises nothing; it only says where to look. So it may come once for many events, come
//! for nothing, or come late: who subscribes first, reads then, and looks again now and then, misses no event.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use crate::domain::id::ProjectId;

/// What may have happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Where something may have happened.
    pub projects: BTreeSet<ProjectId>,
    /// Whether something may have become due to be linked.
    pub link_work: bool,
}

impl News {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.projects.is_empty() && !self.link_work
    }
}

/// Wakes those who wait on a store: in this process, and by its outbox those in others.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    events: WakeUps,
    linker: Arc<Notify>,
    outbox: Option<Outbox>,
}

impl Wake {
    /// One that also puts what it tells into an outbox.
    pub fn with_outbox(outbox: Outbox) -> Self {
        Self {
            outbox: Some(outbox),
            ..Self::default()
        }
    }

    /// Tells what happened by this process.
    pub fn tell(&self, news: News) {
        if let Some(outbox) = &self.outbox {
            outbox.put(&news);
        }
        self.hear(news);
    }

    /// Hears of what happened elsewhere.
    pub fn hear(&self, news: News) {
        if news.link_work {
            self.linker.notify_one();
        }
        self.events.wake(news.projects);
    }

    /// Lets one wait for what happens in these projects.
    pub fn subscribe(&self, projects: impl IntoIterator<Item = ProjectId>) -> Subscription {
        self.events.subscribe(projects)
    }

    /// Returns when something may have become due to be linked since this was last asked.
    pub async fn linker_told(&self) {
        self.linker.notified().await;
    }

    /// The projects on which somebody waits.
    pub fn awaited(&self) -> BTreeSet<ProjectId> {
        self.events.awaited()
    }
}

/// News on their way to other processes: what comes while some are being sent goes together with the next.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<(Mutex<News>, Notify)>);

impl Outbox {
    fn put(&self, news: &News) {
        if news.is_empty() {
            return;
        }
        let (held, notify) = &*self.0;
        {
            let mut held = lock(held);
            held.projects.extend(&news.projects);
            held.link_work |= news.link_work;
        }
        notify.notify_one();
    }

    /// Waits for news and takes all there are.
    pub async fn take(&self) -> News {
        let (held, notify) = &*self.0;
        loop {
            let news = std::mem::take(&mut *lock(held));
            if !news.is_empty() {
                return news;
            }
            notify.notified().await;
        }
    }
}

/// Everyone who waits, by the projects they wait on. Holds nothing about projects on which nobody waits.
#[derive(Debug, Clone, Default)]
pub struct WakeUps(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    /// The number of the last subscription.
    last: u64,
    waiting: BTreeMap<(ProjectId, u64), Arc<Bell>>,
}

/// What wakes one subscriber.
#[derive(Debug, Default)]
struct Bell {
    notify: Notify,
    rung: Mutex<BTreeSet<ProjectId>>,
}

/// Nothing that is locked here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WakeUps {
    /// Lets one wait for what happens in these projects from now on. Ends when it is dropped.
    pub fn subscribe(&self, projects: impl IntoIterator<Item = ProjectId>) -> Subscription {
        let bell = Arc::new(Bell::default());
        let projects: Vec<ProjectId> = projects.into_iter().collect();
        let mut registry = lock(&self.0);
        registry.last += 1;
        let number = registry.last;
        for &project in &projects {
            registry.waiting.insert((project, number), Arc::clone(&bell));
        }
        Subscription {
            registry: Arc::downgrade(&self.0),
            number,
            projects,
            bell,
        }
    }

    /// The projects on which somebody waits.
    pub fn awaited(&self) -> BTreeSet<ProjectId> {
        lock(&self.0)
            .waiting
            .keys()
            .map(|&(project, _)| project)
            .collect()
    }

    /// Wakes who waits on these projects, and nobody else.
    pub fn wake(&self, projects: impl IntoIterator<Item = ProjectId>) {
        let registry = lock(&self.0);
        for project in projects {
            for (_, bell) in registry.waiting.range((project, 0)..=(project, u64::MAX)) {
                lock(&bell.rung).insert(project);
                bell.notify.notify_one();
            }
        }
    }
}

/// Being woken when something may have happened in some projects.
#[derive(Debug)]
pub struct Subscription {
    registry: Weak<Mutex<Registry>>,
    number: u64,
    projects: Vec<ProjectId>,
    bell: Arc<Bell>,
}

impl Subscription {
    /// Waits until something may have happened since this was last asked, or since the subscription; answers where.
    /// Nothing is lost if the wait is given up.
    pub async fn woken(&self) -> BTreeSet<ProjectId> {
        loop {
            // A bell that rang before keeps its ring until somebody listens.
            self.bell.notify.notified().await;
            let rung = std::mem::take(&mut *lock(&self.bell.rung));
            if !rung.is_empty() {
                return rung;
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            let mut registry = lock(&registry);
            for &project in &self.projects {
                registry.waiting.remove(&(project, self.number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const A: ProjectId = ProjectId(1);
    const B: ProjectId = ProjectId(2);
    const C: ProjectId = ProjectId(3);

    async fn woken(subscription: &Subscription) -> Option<Vec<ProjectId>> {
        let woken = timeout(Duration::from_secs(5), subscription.woken()).await;
        woken.ok().map(|projects| projects.into_iter().collect())
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_on_a_project_is_woken_and_nobody_else() {
        let wake_ups = WakeUps::default();
        let (both, other) = (wake_ups.subscribe([A, B]), wake_ups.subscribe([C]));
        wake_ups.wake([B]);
        assert_eq!(woken(&both).await, Some(vec![B]));
        assert_eq!(woken(&both).await, None);
        assert_eq!(woken(&other).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_while_nobody_listens_is_told_once_and_not_lost() {
        let wake_ups = WakeUps::default();
        wake_ups.wake([A]);
        let subscription = wake_ups.subscribe([A, B]);
        assert_eq!(woken(&subscription).await, None, "it was before");
        wake_ups.wake([A]);
        wake_ups.wake([A, B]);
        assert_eq!(woken(&subscription).await, Some(vec![A, B]));
        assert_eq!(woken(&subscription).await, None);
        {
            let given_up = subscription.woken();
            drop(given_up);
        }
        wake_ups.wake([B]);
        assert_eq!(woken(&subscription).await, Some(vec![B]));
    }

    #[test]
    fn nothing_is_kept_about_projects_on_which_nobody_waits() {
        let wake_ups = WakeUps::default();
        let first = wake_ups.subscribe([A, A, B]);
        let second = wake_ups.subscribe([B]);
        wake_ups.wake([A, B, C]);
        drop(first);
        assert_eq!(lock(&wake_ups.0).waiting.len(), 1);
        drop(second);
        assert!(lock(&wake_ups.0).waiting.is_empty());
    }
}
