//! Connections, and what is done on one of them: reads, and transactions that write.
//!
//! What is repeated, and when: a read whose connection was lost, once; a write that other transactions were in the way of,
//! or whose connection was lost before the commit was sent. From then on nobody but the database knows the outcome.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant as Moment},
};

use async_trait::async_trait;
use sqlx::{Connection as _, Pool, Transaction, pool::PoolConnection};
use tokio::time::{Instant, timeout};
use tracing::{Span, field};

use super::{
    Db,
    event::Told,
    failed,
    group_commit::GroupCommit,
    seam::{Class, Driver, Opening, Openings},
};
use crate::{
    domain::id::ProjectId,
    metrics::{self, Outcome, Wanted},
    store::{PoolState, Result, StoreError},
};

/// How often a change is tried when other transactions are in the way, or connections break.
const ATTEMPTS: usize = 4;

/// The connections of a store, and how they are used.
pub struct Connections<DB: Db> {
    /// Those that write. SQLite has a single one.
    pub writer: Pool<DB>,
    /// Those that read; may be the same.
    pub reader: Pool<DB>,
    /// How transactions begin.
    pub openings: Openings,
    /// How long to wait for an answer of the database. It keeps shorter limits of its own; this one is for connections on
    /// which nothing arrives any more. None for a database in this process.
    pub patience: Option<Duration>,
    /// When a connection was lost.
    pub doubts: Doubts,
    /// Writes that are done together.
    pub group: Arc<GroupCommit<DB>>,
}

// Not derived: an engine need not be cloned for its pools to be.
impl<DB: Db> Clone for Connections<DB> {
    fn clone(&self) -> Self {
        Self {
            writer: self.writer.clone(),
            reader: self.reader.clone(),
            openings: self.openings.clone(),
            patience: self.patience,
            doubts: self.doubts.clone(),
            group: Arc::clone(&self.group),
        }
    }
}

/// When a connection was lost for the last time. Those that were idle then may be lost too, and are asked before they are
/// used; all others are trusted, for to ask costs a round trip.
#[derive(Debug, Clone, Default)]
pub struct Doubts(Arc<Mutex<Option<Instant>>>);

impl Doubts {
    /// A connection was lost just now.
    pub fn raise(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection that has been idle for so long may be lost.
    pub fn about(&self, idle_for: Duration) -> bool {
        let raised = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        raised.is_some_and(|raised| raised.elapsed() <= idle_for)
    }
}

/// Under which lock a transaction decides, beside the rows that it takes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// None: it touches nothing that anything is decided about.
    None,
    /// A project's: other projects go on, the directory stands still.
    Project,
    /// The directory's: everything else stands still.
    Directory,
}

/// Work inside a write transaction; may be done again on another one.
#[async_trait]
pub trait Work<DB: Db>: Send + Sync + 'static {
    /// The lock that it is done under.
    const LOCK: Lock;

    /// The one project that it is about, if that is known.
    fn project(&self) -> Option<ProjectId> {
        None
    }

    /// What comes of it, and whether to keep it.
    type Output: Send + 'static;

    /// Whether it writes nothing before it is known to be kept. Then it takes no savepoint to undo it.
    fn decides_first(&self) -> bool {
        false
    }

    /// Whether it has begun to write.
    fn has_written(&self) -> bool {
        true
    }

    /// Does it.
    async fn run(&self, connection: &mut DB::Connection, told: &mut Told) -> Result<(Self::Output, Keep)>;
}

/// Whether a transaction's changes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// They are committed.
    Yes,
    /// They are rolled back.
    No,
}

/// What a transaction came to, for who is to be woken.
pub enum Ended<T> {
    /// Nothing of it was kept.
    Without(Result<T>),
    /// It was committed, or may have been.
    Perhaps(Result<T>, Told),
}

impl<DB: Db> Connections<DB> {
    /// A connection for reading; `reading!` is how to use it.
    pub async fn reader(&self) -> Result<PoolConnection<DB>> {
        acquire(&self.reader, Wanted::Reader).await
    }

    /// The engine's name.
    pub fn engine(&self) -> &'static str {
        <DB as Driver>::NAME
    }

    /// The pools, by what they are for.
    pub fn pools(&self) -> Vec<PoolState> {
        // Options are made once for each pool.
        if Arc::ptr_eq(&self.writer.connect_options(), &self.reader.connect_options()) {
            return vec![state_of("shared", &self.writer)];
        }
        vec![state_of("writer", &self.writer), state_of("reader", &self.reader)]
    }

    /// How to begin reading; none: as it is.
    pub fn opening(&self, reads: Reads) -> Option<&Opening> {
        match reads {
            Reads::Once => self.openings.read.as_ref(),
            Reads::AtOneMoment => Some(&self.openings.moment),
        }
    }

    /// Begins a transaction. It ends when it is dropped.
    pub async fn begin<'c>(
        &self,
        connection: &'c mut DB::Connection,
        opening: &Opening,
    ) -> Result<Transaction<'c, DB>> {
        self.within(async {
            let begun = connection.begin_with(opening.text()).await;
            // Nobody knows what state the connection is in: whatever is answered lets go of it.
            begun.map_err(|error| match DB::classify(&error) {
                Class::Conflict | Class::Gone => StoreError::Lost(error),
                Class::Busy => StoreError::Timeout(error),
                Class::Other => failed::<DB>(error),
            })
        })
        .await
    }

    /// Whether to read again on another connection, after this came of it.
    pub fn is_lost<T>(&self, connection: &mut PoolConnection<DB>, answer: &Result<T>) -> bool {
        self.look_at(connection, answer);
        matches!(answer, Err(StoreError::Lost(_)))
    }

    /// Does `work` in a transaction, again and again where that is safe and may help.
    pub async fn write<W: Work<DB>>(&self, work: W) -> Ended<W::Output> {
        let work = Arc::new(work);
        let mut attempt = 1;
        loop {
            let ended = match self.group.write(self, &work).await {
                Some(ended) => ended,
                None => self.write_once(&*work).await,
            };
            match ended {
                Ended::Without(Err(StoreError::Conflict(_) | StoreError::Lost(_))) if attempt < ATTEMPTS => {
                    attempt += 1;
                    metrics::transaction_retried();
                }
                ended => return ended,
            }
        }
    }

    async fn write_once<W: Work<DB>>(&self, work: &W) -> Ended<W::Output> {
        let mut connection = match acquire(&self.writer, Wanted::Writer).await {
            Ok(connection) => connection,
            Err(error) => return Ended::Without(Err(error)),
        };
        let mut told = Told::default();
        let mut perhaps = false;
        let trial = Trial::write::<DB, W>();
        let outcome = self
            .transact(&mut connection, work, &mut told, &mut perhaps)
            .await;
        trial.written(match &outcome {
            // The transaction would have been known as a possible commit.
            Ok(_) if !perhaps => Outcome::RolledBack,
            outcome => outcome_of(outcome),
        });
        self.look_at(&mut connection, &outcome);
        if perhaps {
            Ended::Perhaps(outcome, told)
        } else {
            Ended::Without(outcome)
        }
    }

    async fn transact<W: Work<DB>>(
        &self,
        connection: &mut DB::Connection,
        work: &W,
        told: &mut Told,
        perhaps: &mut bool,
    ) -> Result<W::Output> {
        let opening = match W::LOCK {
            Lock::None => &self.openings.write,
            Lock::Project => &self.openings.write_project,
            Lock::Directory => &self.openings.write_directory,
        };
        let mut transaction = self.begin(connection, opening).await?;
        // What is not committed is rolled back when the transaction is dropped, whatever else went wrong.
        let (output, keep) = self.within(work.run(&mut transaction, told)).await?;
        match keep {
            Keep::No => {
                let rolled_back = async { transaction.rollback().await.map_err(failed::<DB>) };
                self.within(rolled_back).await?;
            }
            Keep::Yes => {
                *perhaps = true;
                let committed = async { transaction.commit().await.map_err(failed::<DB>) };
                self.within(committed).await.map_err(|error| match error {
                    StoreError::Lost(error) | StoreError::Timeout(error) => StoreError::OutcomeUnknown(error),
                    error => error,
                })?;
            }
        }
        Ok(output)
    }

    /// What comes of `future` as long as the database may take.
    pub async fn within<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        match self.patience {
            None => future.await,
            Some(patience) => timeout(patience, future)
                .await
                .unwrap_or_else(|_| Err(StoreError::Timeout(sqlx::Error::PoolTimedOut))),
        }
    }

    /// Gives a connection up if it broke, and says so to those who hold others.
    pub fn look_at<T>(&self, connection: &mut PoolConnection<DB>, answer: &Result<T>) {
        match answer {
            Err(StoreError::Lost(_) | StoreError::Timeout(_) | StoreError::OutcomeUnknown(_)) => {
                connection.close_on_drop();
                self.doubts.raise();
            }
            Err(StoreError::Other(_)) => connection.close_on_drop(),
            _ => {}
        }
    }
}

/// A connection of a pool.
pub async fn acquire<DB: Db>(pool: &Pool<DB>, wanted: Wanted) -> Result<PoolConnection<DB>> {
    let begun = Moment::now();
    let acquired = pool.acquire().await.map_err(failed::<DB>);
    metrics::connection_waited(wanted, begun);
    acquired
}

/// A pool as it is now.
fn state_of<DB: Db>(name: &'static str, pool: &Pool<DB>) -> PoolState {
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    PoolState {
        name,
        idle,
        // The two are not read at one moment.
        in_use: pool.size().saturating_sub(idle),
        max: pool.options().get_max_connections(),
    }
}

/// A read or a transaction, as it is told: how long it takes, and what comes of it.
pub struct Trial {
    begun: Moment,
    span: Span,
}

impl Trial {
    /// A read that begins now, by the text of the expression that does it.
    pub fn read(engine: &'static str, expression: &'static str) -> Self {
        // How the compiler puts blanks between the parts of a path is its own affair.
        let called = || {
            let begin = expression.trim_start_matches(['{', ' ', '\n']);
            let path = begin.split(['<', '(']).next().unwrap_or(begin);
            path.trim_end_matches([':', ' ']).replace(' ', "")
        };
        Self::of(tracing::debug_span!(
            "read",
            db.system.name = engine,
            db.operation.name = called(),
            outcome = field::Empty,
        ))
    }

    /// A transaction for this work that begins now.
    pub fn write<DB: Db, W: Work<DB>>() -> Self {
        let work = std::any::type_name::<W>();
        let work = work.split('<').next().unwrap_or(work);
        let operation = work.rsplit_once("sql::").map_or(work, |(_, operation)| operation);
        Self::of(tracing::debug_span!(
            "transaction",
            db.system.name = <DB as Driver>::NAME,
            db.operation.name = operation,
            outcome = field::Empty,
        ))
    }

    fn of(span: Span) -> Self {
        let begun = Moment::now();
        Self { begun, span }
    }

    /// This came of the read.
    pub fn read_ended<T>(self, answer: &Result<T>) {
        let outcome = outcome_of(answer);
        metrics::read_ended(outcome, self.begun.elapsed());
        self.span.record("outcome", outcome.of_read());
    }

    /// It begins only now: it had to wait.
    pub fn begins(&mut self) {
        self.begun = Moment::now();
    }

    /// This came of the transaction.
    pub fn written(self, outcome: Outcome) {
        metrics::transaction_ended(outcome, self.begun.elapsed());
        self.span.record("outcome", outcome.of_write());
    }
}

/// What came of it, for who counts.
fn outcome_of<T>(result: &Result<T>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(StoreError::Refused(_) | StoreError::Outdated) => Outcome::Refused,
        Err(StoreError::Conflict(_)) => Outcome::Conflict,
        Err(
            StoreError::Unavailable(_)
            | StoreError::Unreachable(_)
            | StoreError::Timeout(_)
            | StoreError::Lost(_),
        ) => Outcome::Unavailable,
        Err(StoreError::OutcomeUnknown(_)) => Outcome::Unknown,
        Err(
            StoreError::Inconsistent { .. }
            | StoreError::Schema(_)
            | StoreError::Migration(_)
            | StoreError::Other(_),
        ) => Outcome::Failed,
    }
}

/// What is read on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// One statement.
    Once,
    /// Several, which see what was committed at one moment.
    AtOneMoment,
}

/// Reads by an expression over a connection; once more on another one if that was lost. A macro, for what it makes has to
/// be `Send`, and no closure that borrows the connection can be told to be.
macro_rules! reading {
    ($connections:expr, $reads:ident, |$connection:ident| $read:expr) => {{
        let connections = &$connections;
        let mut again = true;
        loop {
            let mut connection = connections.reader().await?;
            let trial = $crate::store::sql::connections::Trial::read(connections.engine(), stringify!($read));
            let answer = 'read: {
                let mut transaction;
                let $connection = match connections.opening($crate::store::sql::connections::Reads::$reads) {
                    None => &mut *connection,
                    Some(opening) => match connections.begin(&mut connection, opening).await {
                        Ok(begun) => {
                            transaction = begun;
                            &mut *transaction
                        }
                        Err(error) => break 'read Err(error),
                    },
                };
                connections.within($read).await
            };
            trial.read_ended(&answer);
            if connections.is_lost(&mut connection, &answer) && again {
                again = false;
                continue;
            }
            break answer;
        }
    }};
}
pub(in crate::store) use reading;
