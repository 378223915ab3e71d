//! Group commit: writes that would wait for each other anyway are done by whoever has its turn first, in one transaction,
//! and answered when it is on disk. One that is refused undoes nothing of the others: either it had written nothing by then,
//! but for taking its lock, or it was done under a savepoint of its own. Nobody waits for company: a write that comes alone is done alone.
//!
//! Who waits for whom depends on the engine, and so do the lanes that writes wait in: where a single connection writes it is
//! one for all; else one for each project, whose row is locked until the commit is on disk.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use sqlx::pool::PoolConnection;
use tokio::{
    sync::{Mutex as Turns, MutexGuard as TurnGuard, oneshot},
    time::timeout,
};

use super::{
    Db,
    connections::{Connections, Ended, Keep, Trial, Work, acquire},
    event::Told,
    failed,
};
use crate::{
    domain::id::ProjectId,
    metrics::{Outcome, Wanted},
    store::{Result, StoreError},
};

/// The most writes that are done in one transaction: the first is answered only after the last was done.
const TOGETHER: usize = 64;

/// What writes wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    /// The one connection that writes.
    One,
    /// A project's row; what is about more than one project waits for nobody here.
    ByProject,
}

/// The writes that wait for each other's transaction.
pub struct GroupCommit<DB: Db> {
    lanes: Lanes,
    /// Those in which something is being done; a lane goes with the last write in it.
    busy: Mutex<BTreeMap<Option<ProjectId>, Weak<Lane<DB>>>>,
    tickets: AtomicU64,
}

/// Writes that are done one after the other.
struct Lane<DB: Db> {
    waiting: Mutex<Queue<DB>>,
    turns: Turns<()>,
}

/// Tells a write from every other.
type Ticket = u64;

/// Writes in the order in which they came.
type Queue<DB> = VecDeque<(Ticket, Box<dyn Member<DB>>)>;

/// What a write hears of its group.
enum Verdict<T> {
    /// This came of it.
    Done(Ended<T>),
    /// Nothing was done: it has to be done by itself.
    Alone,
}

/// What a group's transaction came to.
#[derive(Clone, Copy)]
enum Fate {
    /// It is on disk, as far as it was to be kept.
    Committed,
    /// Nobody knows.
    Unknown,
    /// Nothing of it was done.
    Undone,
}

/// A write in a group.
#[async_trait]
trait Member<DB: Db>: Send {
    /// Whether it has to be done under a savepoint.
    fn needs_savepoint(&self) -> bool;

    /// Does it. An error is none of its own: the whole transaction cannot go on.
    async fn run(&mut self, connection: &mut DB::Connection) -> Result<Keep>;

    /// Tells who waits for it.
    fn tell(self: Box<Self>, fate: Fate);
}

/// A write that waits, or is done.
struct Queued<W, T> {
    work: Arc<W>,
    trial: Trial,
    told: Told,
    /// What came of it, and whether anything is to be kept.
    outcome: Option<(Result<T>, Keep)>,
    verdict: oneshot::Sender<Verdict<T>>,
}

#[async_trait]
impl<DB: Db, W: Work<DB>> Member<DB> for Queued<W, W::Output> {
    fn needs_savepoint(&self) -> bool {
        !self.work.decides_first()
    }

    async fn run(&mut self, connection: &mut DB::Connection) -> Result<Keep> {
        self.trial.begins();
        let done = AssertUnwindSafe(self.work.run(connection, &mut self.told)).catch_unwind();
        // Done by itself it panics where it came from, and not in whoever happens to do it.
        let done = done
            .await
            .unwrap_or_else(|_| Err(StoreError::Other("a write panicked".into())));
        let (outcome, keep) = match done {
            Ok((output, keep)) => (Ok(output), keep),
            Err(error @ (StoreError::Refused(_) | StoreError::Outdated | StoreError::Conflict(_)))
                if !(self.work.decides_first() && self.work.has_written()) =>
            {
                (Err(error), Keep::No)
            }
            Err(error) => return Err(error),
        };
        self.outcome = Some((outcome, keep));
        Ok(keep)
    }

    fn tell(self: Box<Self>, fate: Fate) {
        let verdict = match (self.outcome, fate) {
            (Some((outcome, Keep::Yes)), Fate::Committed) => {
                self.trial.written(Outcome::Done);
                Verdict::Done(Ended::Perhaps(outcome, self.told))
            }
            (Some((outcome, Keep::No)), Fate::Committed) => {
                self.trial.written(match &outcome {
                    Err(StoreError::Conflict(_)) => Outcome::Conflict,
                    Err(_) => Outcome::Refused,
                    Ok(_) => Outcome::RolledBack,
                });
                Verdict::Done(Ended::Without(outcome))
            }
            (Some((Ok(_), Keep::Yes)), Fate::Unknown) => {
                self.trial.written(Outcome::Unknown);
                let unknown = StoreError::OutcomeUnknown(sqlx::Error::WorkerCrashed);
                Verdict::Done(Ended::Perhaps(Err(unknown), self.told))
            }
            // What was refused may have been refused for what is not there any more.
            (_, Fate::Unknown | Fate::Undone) | (None, Fate::Committed) => Verdict::Alone,
        };
        // Who does not wait any more is gone with its server.
        let _ = self.verdict.send(verdict);
    }
}

impl<DB: Db> Default for Lane<DB> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            turns: Turns::default(),
        }
    }
}

/// Nothing that is locked here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<DB: Db> GroupCommit<DB> {
    /// Writes in these lanes.
    pub fn by(lanes: Lanes) -> Self {
        Self {
            lanes,
            busy: Mutex::default(),
            tickets: AtomicU64::default(),
        }
    }

    /// Does `work` with whatever else waits, or none: it has to be done by itself.
    pub async fn write<W: Work<DB>>(
        &self,
        connections: &Connections<DB>,
        work: &Arc<W>,
    ) -> Option<Ended<W::Output>> {
        let key = match self.lanes {
            Lanes::One => None,
            Lanes::ByProject => Some(work.project()?),
        };
        let lane = self.lane(key);
        let ended = self.write_in(&lane, connections, work).await;
        drop(lane);
        let mut busy = lock(&self.busy);
        if busy.get(&key).is_some_and(|lane| lane.strong_count() == 0) {
            busy.remove(&key);
        }
        ended
    }

    fn lane(&self, key: Option<ProjectId>) -> Arc<Lane<DB>> {
        let mut busy = lock(&self.busy);
        busy.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let lane = Arc::default();
            busy.insert(key, Arc::downgrade(&lane));
            lane
        })
    }

    async fn write_in<W: Work<DB>>(
        &self,
        lane: &Lane<DB>,
        connections: &Connections<DB>,
        work: &Arc<W>,
    ) -> Option<Ended<W::Output>> {
        let (sender, mut verdict) = oneshot::channel();
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let queued = Queued {
            work: Arc::clone(work),
            trial: Trial::write::<DB, W>(),
            told: Told::default(),
            outcome: None,
            verdict: sender,
        };
        lock(&lane.waiting).push_back((ticket, Box::new(queued)));
        let verdict = loop {
            tokio::select! {
                biased;
                verdict = &mut verdict => break verdict,
                acquired = lane.turn(connections) => match acquired {
                    Ok((turn, connection)) => lane.lead(connections, turn, connection).await,
                    Err(error) if lane.withdraw(ticket) => return Some(Ended::Without(Err(error))),
                    // Somebody has just begun to do it.
                    Err(_) => break verdict.await,
                },
            }
        };
        match verdict {
            Ok(Verdict::Done(ended)) => Some(ended),
            Ok(Verdict::Alone) => None,
            // Whoever did it broke down before the end, and the transaction with them.
            Err(_) => Some(Ended::Without(Err(StoreError::Lost(sqlx::Error::WorkerCrashed)))),
        }
    }
}

impl<DB: Db> Lane<DB> {
    /// Waits for its turn and for a connection, for both together as long as for a connection alone: where there are none,
    /// those that wait must not do so one after the other.
    async fn turn(&self, connections: &Connections<DB>) -> Result<(TurnGuard<'_, ()>, PoolConnection<DB>)> {
        let both = async {
            let turn = self.turns.lock().await;
            Ok((turn, acquire(&connections.writer, Wanted::Writer).await?))
        };
        let patience = connections.writer.options().get_acquire_timeout();
        timeout(patience, both)
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut)))
    }

    /// Takes a write back that nobody has begun to do.
    fn withdraw(&self, ticket: Ticket) -> bool {
        let mut waiting = lock(&self.waiting);
        let place = waiting.iter().position(|(queued, _)| *queued == ticket);
        place.is_some_and(|place| waiting.remove(place).is_some())
    }

    /// Does what waits.
    async fn lead(
        &self,
        connections: &Connections<DB>,
        turn: TurnGuard<'_, ()>,
        mut connection: PoolConnection<DB>,
    ) {
        let mut members: Vec<_> = {
            let mut waiting = lock(&self.waiting);
            let together = waiting.len().min(TOGETHER);
            waiting.drain(..together).map(|(_, member)| member).collect()
        };
        if members.is_empty() {
            return;
        }
        let done = transact(connections, &mut connection, &mut members).await;
        connections.look_at(&mut connection, &done);
        // The connection is for the next, while those who waited are told.
        drop(connection);
        drop(turn);
        let fate = match done {
            Ok(()) => Fate::Committed,
            Err(StoreError::OutcomeUnknown(_)) => Fate::Unknown,
            Err(_) => Fate::Undone,
        };
        for member in members {
            member.tell(fate);
        }
    }
}

/// Does all of them in one transaction.
async fn transact<DB: Db>(
    connections: &Connections<DB>,
    connection: &mut DB::Connection,
    members: &mut [Box<dyn Member<DB>>],
) -> Result<()> {
    // What is about the directory comes here only where every opening takes every lock.
    let opening = &connections.openings.write_project;
    let mut transaction = connections.begin(connection, opening).await?;
    let keep = connections.within(run::<DB>(&mut transaction, members)).await?;
    match keep {
        Keep::No => {
            let rolled_back = async { transaction.rollback().await.map_err(failed::<DB>) };
            connections.within(rolled_back).await
        }
        Keep::Yes => {
            let committed = async { transaction.commit().await.map_err(failed::<DB>) };
            connections.within(committed).await.map_err(|error| match error {
                StoreError::Lost(error) | StoreError::Timeout(error) => StoreError::OutcomeUnknown(error),
                error => error,
            })
        }
    }
}

/// Does one after the other, under savepoints where it takes that; whether anything is to be kept.
async fn run<DB: Db>(connection: &mut DB::Connection, members: &mut [Box<dyn Member<DB>>]) -> Result<Keep> {
    if let [member] = members {
        return member.run(connection).await;
    }
    let mut keep = Keep::No;
    for member in members {
        let savepoint = member.needs_savepoint();
        if savepoint {
            let begin = DB::command(connection, "SAVEPOINT member");
            begin.await.map_err(failed::<DB>)?;
        }
        let end = match member.run(connection).await? {
            Keep::Yes => {
                keep = Keep::Yes;
                "RELEASE SAVEPOINT member"
            }
            Keep::No => "ROLLBACK TO SAVEPOINT member; RELEASE SAVEPOINT member",
        };
        if savepoint {
            DB::command(connection, end).await.map_err(failed::<DB>)?;
        }
    }
    Ok(keep)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sqlx::{Sqlite, SqliteConnection, SqlitePool};
    use tempfile::TempDir;
    use tokio::task::JoinSet;

    use super::*;
    use crate::{
        domain::error::Error,
        store::{
            sql::{connections::Lock, seam::sql},
            sqlite,
        },
    };

    /// What a write does at its end.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum End {
        Keeps,
        Discards,
        IsRefused,
        IsInTheWay,
        Breaks,
        Panics,
        /// As one that decides first, before it has written.
        DecidesAgainst,
        /// As one that decides first, though it has written.
        IsInTheWayLate,
    }

    /// Adds a row; answers how many rows others see meanwhile.
    struct Note {
        id: i64,
        end: End,
        others: SqlitePool,
    }

    async fn rows(pool: &SqlitePool) -> i64 {
        let mut connection = pool.acquire().await.unwrap();
        let counted = sql::<Sqlite>("SELECT COUNT(*) FROM notes").one::<(i64,)>(&mut connection);
        counted.await.unwrap().0
    }

    #[async_trait]
    impl Work<Sqlite> for Note {
        const LOCK: Lock = Lock::Project;

        type Output = i64;

        fn decides_first(&self) -> bool {
            matches!(self.end, End::DecidesAgainst | End::IsInTheWayLate)
        }

        fn has_written(&self) -> bool {
            self.end != End::DecidesAgainst
        }

        async fn run(&self, connection: &mut SqliteConnection, _: &mut Told) -> Result<(i64, Keep)> {
            if self.end == End::DecidesAgainst {
                return Err(Error::argument("id", "is refused").into());
            }
            sql::<Sqlite>("INSERT INTO notes (id) VALUES ($1)")
                .bind(self.id)
                .run(connection)
                .await
                .map_err(failed::<Sqlite>)?;
            let seen = rows(&self.others).await;
            match self.end {
                End::Keeps => Ok((seen, Keep::Yes)),
                End::Discards => Ok((seen, Keep::No)),
                End::IsRefused => Err(Error::argument("id", "is refused").into()),
                End::DecidesAgainst => unreachable!(),
                End::IsInTheWay | End::IsInTheWayLate => Err(StoreError::Conflict(sqlx::Error::RowNotFound)),
                End::Breaks => Err(StoreError::Other("broken".into())),
                End::Panics => panic!("a defect"),
            }
        }
    }

    /// Does these writes while all of them wait for the connection; answers what came of each, and the rows at the end.
    async fn together(ends: &[End]) -> (BTreeMap<i64, Result<i64>>, Vec<i64>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.db");
        sqlite::migrate(&file).await.unwrap();
        let connections = sqlite::connect(&file).await.unwrap();
        let mut held = connections.writer.acquire().await.unwrap();
        sql::<Sqlite>("CREATE TABLE notes (id INTEGER PRIMARY KEY)")
            .run(&mut held)
            .await
            .unwrap();
        let mut writes = JoinSet::new();
        for (id, &end) in (1..).zip(ends) {
            let connections = connections.clone();
            writes.spawn(async move {
                let others = connections.reader.clone();
                match connections.write(Note { id, end, others }).await {
                    Ended::Without(outcome) | Ended::Perhaps(outcome, _) => (id, outcome),
                }
            });
        }
        let group = Arc::clone(&connections.group);
        while lock(&group.lane(None).waiting).len() < ends.len() {
            tokio::task::yield_now().await;
        }
        drop(held);
        let mut outcomes = BTreeMap::new();
        while let Some(write) = writes.join_next().await {
            // Who panics has no outcome.
            outcomes.extend(write);
        }
        let mut connection = connections.reader.acquire().await.unwrap();
        let kept = sql::<Sqlite>("SELECT id FROM notes ORDER BY id").all::<(i64,)>(&mut connection);
        let kept = kept.await.unwrap().into_iter().map(|(id,)| id).collect();
        (outcomes, kept, folder)
    }

    #[tokio::test]
    async fn writes_that_wait_are_one_transaction_and_each_has_its_own_end() {
        use End::{DecidesAgainst, Discards, IsRefused, Keeps};
        let ends = [Keeps, IsRefused, Keeps, Discards, Keeps, DecidesAgainst];
        let (outcomes, kept, _folder) = together(&ends).await;
        assert_eq!(kept, [1, 3, 5]);
        for (id, outcome) in outcomes {
            match (ends[usize::try_from(id - 1).unwrap()], outcome) {
                // Nobody saw anything of it before all of it was done.
                (Keeps | Discards, Ok(seen)) => assert_eq!(seen, 0, "{id}"),
                (IsRefused | DecidesAgainst, Err(StoreError::Refused(_))) => {}
                (end, outcome) => panic!("{id} {end:?}: {outcome:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_write_that_breaks_the_transaction_leaves_the_others_to_be_done_by_themselves() {
        use End::{Breaks, IsInTheWay, IsInTheWayLate, Keeps};
        for breaks in [Breaks, IsInTheWayLate] {
            let ends = [Keeps, breaks, Keeps, IsInTheWay, Keeps];
            let (outcomes, kept, _folder) = together(&ends).await;
            assert_eq!(kept, [1, 3, 5]);
            for (id, outcome) in outcomes {
                match (ends[usize::try_from(id - 1).unwrap()], outcome) {
                (Keeps, Ok(_))
                | (Breaks, Err(StoreError::Other(_)))
                // It was tried again and again.
                | (IsInTheWay | IsInTheWayLate, Err(StoreError::Conflict(_))) => {}
                (end, outcome) => panic!("{id} {end:?}: {outcome:?}"),
            }
            }
        }
    }

    #[tokio::test]
    async fn a_write_that_panics_harms_nobody_but_its_own_caller() {
        use End::{Keeps, Panics};
        let ends = [Keeps, Keeps, Panics, Keeps];
        let (outcomes, kept, _folder) = together(&ends).await;
        assert_eq!(kept, [1, 2, 4]);
        assert!(outcomes.keys().eq(&[1, 2, 4]));
        assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
    }

    #[tokio::test]
    async fn writes_that_wait_in_vain_do_so_at_the_same_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.db");
        sqlite::migrate(&file).await.unwrap();
        let connections = sqlite::connect(&file).await.unwrap();
        let _held = connections.writer.acquire().await.unwrap();
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let mut writes = JoinSet::new();
        for id in 1..=5 {
            let connections = connections.clone();
            writes.spawn(async move {
                let others = connections.reader.clone();
                let end = End::Keeps;
                connections.write(Note { id, end, others }).await
            });
        }
        while let Some(ended) = writes.join_next().await {
            let Ended::Without(Err(StoreError::Unavailable(_))) = ended.unwrap() else {
                panic!("something was done")
            };
        }
        let patience = connections.writer.options().get_acquire_timeout();
        assert!(begun.elapsed() < patience * 2, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn more_than_fit_into_one_transaction_are_done_in_several() {
        let ends = vec![End::Keeps; TOGETHER * 2 + 5];
        let (outcomes, kept, _folder) = together(&ends).await;
        assert_eq!(kept.len(), ends.len());
        let seen: Vec<i64> = outcomes.into_values().map(Result::unwrap).collect();
        let full = i64::try_from(TOGETHER).unwrap();
        for behind in [0, full, full * 2] {
            assert!(seen.contains(&behind), "{seen:?}");
        }
    }
}
