//! Reads that many want at once, done once for all of them.
//!
//! An event wakes everybody who watches the project, and all of them go on to read the same page of its log. Who asks joins
//! those who wait for the next read of the same; the reads of one thing are done one after the other, each for everybody
//! who had asked before it began.
//!
//! Nobody joins a read that is under way: it may have begun before that was committed of which the wake-up told, and who
//! took its answer would sleep on without it.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use tracing::{Instrument as _, Span};

/// How to read something.
pub trait Read: Send + Sync + 'static {
    /// What tells which.
    type Key: Clone + Eq + Hash + Send;
    /// What is read, cheap to hand to many.
    type Value: Clone + Send;
    /// Why it could not be read.
    type Error: Send + Sync;

    /// Reads what is there when this begins, or later.
    fn read(&self, key: &Self::Key) -> impl Future<Output = Result<Self::Value, Self::Error>> + Send;
}

/// What comes of a read, for each of many.
type Answer<R> = Result<<R as Read>::Value, Arc<<R as Read>::Error>>;

/// Somebody who waits for a read that has not begun, and on whose behalf it would be done.
struct Asker<R: Read> {
    answer: oneshot::Sender<Answer<R>>,
    span: Span,
}

/// For everything that is being read, who waits for the next read of it.
type Waiting<R> = HashMap<<R as Read>::Key, Vec<Asker<R>>>;

/// See the module. Holds nothing about what nobody reads.
pub struct SharedReads<R: Read> {
    inner: Arc<Inner<R>>,
}

struct Inner<R: Read> {
    reader: R,
    waiting: Mutex<Waiting<R>>,
}

impl<R: Read> Clone for SharedReads<R> {
    fn clone(&self) -> Self {
        let inner = Arc::clone(&self.inner);
        Self { inner }
    }
}

impl<R: Read> SharedReads<R> {
    /// Reads that this does.
    pub fn new(reader: R) -> Self {
        let waiting = Mutex::default();
        Self {
            inner: Arc::new(Inner { reader, waiting }),
        }
    }

    /// What a read finds that begins after this was asked. An error is that of the read, for everybody who waited for it.
    pub async fn read(&self, key: &R::Key) -> Answer<R> {
        let (answer, answered) = oneshot::channel();
        let span = Span::current();
        if self.inner.ask(key, Asker { answer, span }) {
            // By nobody who asked: they may give up.
            let turns = Turns {
                inner: Arc::clone(&self.inner),
                key: Some(key.clone()),
            };
            tokio::spawn(turns.take());
        }
        match answered.await {
            Ok(answer) => answer,
            // The read panicked.
            Err(_) => self.inner.reader.read(key).await.map_err(Arc::new),
        }
    }
}

impl<R: Read> Inner<R> {
    /// Nothing that is locked is left half done by a panic.
    fn waiting(&self) -> MutexGuard<'_, Waiting<R>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the asker is the first, so that somebody has to begin reading.
    fn ask(&self, key: &R::Key, asker: Asker<R>) -> bool {
        let mut waiting = self.waiting();
        if let Some(askers) = waiting.get_mut(key) {
            askers.push(asker);
            return false;
        }
        waiting.insert(key.clone(), vec![asker]);
        true
    }

    /// Those who wait by now, who are all that the next read is for; none ends the reading.
    fn group(&self, key: &R::Key) -> Option<Vec<Asker<R>>> {
        let mut waiting = self.waiting();
        let askers = waiting.get_mut(key)?;
        askers.retain(|asker| !asker.answer.is_closed());
        if askers.is_empty() {
            waiting.remove(key);
            return None;
        }
        Some(std::mem::take(askers))
    }
}

/// The reads of one thing, one after the other, as long as anybody wants them.
struct Turns<R: Read> {
    inner: Arc<Inner<R>>,
    /// None at the end, when the next who asks is the first again.
    key: Option<R::Key>,
}

impl<R: Read> Turns<R> {
    async fn take(mut self) {
        while let Some(key) = &self.key {
            let Some(askers) = self.inner.group(key) else {
                self.key = None;
                return;
            };
            let span = askers.first().map_or_else(Span::none, |asker| asker.span.clone());
            let answer = self.inner.reader.read(key).instrument(span).await;
            let answer = answer.map_err(Arc::new);
            for asker in askers {
                // Who does not wait any more needs no answer.
                let _ = asker.answer.send(answer.clone());
            }
        }
    }
}

impl<R: Read> Drop for Turns<R> {
    fn drop(&mut self) {
        // The read panicked: who waits learns that nobody reads for them any more.
        if let Some(key) = &self.key {
            self.inner.waiting().remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use futures_util::{FutureExt as _, future::join_all, poll};
    use proptest::prelude::*;
    use tokio::{runtime::Builder, sync::Semaphore, task::yield_now};

    use super::*;

    /// How a read ends.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum End {
        Answers,
        Fails,
        Panics,
    }

    /// Two logs that are as long as was committed; a read looks when it begins, and ends when it may.
    struct Logs {
        committed: AtomicUsize,
        begun: AtomicUsize,
        /// One permit for each read that may end.
        may_end: [Semaphore; 2],
        end: Mutex<End>,
    }

    impl Logs {
        fn new() -> SharedReads<Self> {
            SharedReads::new(Self {
                committed: AtomicUsize::new(0),
                begun: AtomicUsize::new(0),
                may_end: [Semaphore::new(0), Semaphore::new(0)],
                end: Mutex::new(End::Answers),
            })
        }
    }

    impl Read for Logs {
        type Key = usize;
        type Value = usize;
        type Error = &'static str;

        async fn read(&self, key: &usize) -> Result<usize, &'static str> {
            self.begun.fetch_add(1, SeqCst);
            let seen = self.committed.load(SeqCst);
            self.may_end[*key].acquire().await.unwrap().forget();
            let end = std::mem::replace(&mut *self.end.lock().unwrap(), End::Answers);
            match end {
                End::Answers => Ok(seen),
                End::Fails => Err("broken"),
                End::Panics => panic!("a defect"),
            }
        }
    }

    impl SharedReads<Logs> {
        fn logs(&self) -> &Logs {
            &self.inner.reader
        }

        fn begun(&self) -> usize {
            self.logs().begun.load(SeqCst)
        }

        fn let_end(&self, key: usize, reads: usize) {
            self.logs().may_end[key].add_permits(reads);
        }
    }

    /// Lets everybody else do what they can.
    async fn settle() {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Commit,
        Ask(usize),
        GiveUp(usize),
        LetEnd(usize),
        Settle,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => Just(Step::Commit),
            4 => (0..2_usize).prop_map(Step::Ask),
            1 => (0..8_usize).prop_map(Step::GiveUp),
            2 => (0..2_usize).prop_map(Step::LetEnd),
            2 => Just(Step::Settle),
        ];
        prop::collection::vec(step, 1..60)
    }

    proptest! {
        #[test]
        fn everybody_is_answered_by_a_read_that_began_after_they_asked(steps in steps()) {
            let runtime = Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let reads = Logs::new();
                let mut asked = Vec::new();
                for step in steps {
                    match step {
                        Step::Commit => {
                            reads.logs().committed.fetch_add(1, SeqCst);
                        }
                        Step::Ask(key) => {
                            let reads = reads.clone();
                            let committed = reads.logs().committed.load(SeqCst);
                            let mut read = Box::pin(async move { reads.read(&key).await });
                            match poll!(&mut read) {
                                std::task::Poll::Pending => asked.push((committed, read)),
                                std::task::Poll::Ready(answer) => panic!("too soon: {answer:?}"),
                            }
                        }
                        Step::GiveUp(place) => {
                            if place < asked.len() {
                                drop(asked.remove(place));
                            }
                        }
                        Step::LetEnd(key) => reads.let_end(key, 1),
                        Step::Settle => settle().await,
                    }
                }
                reads.let_end(0, 100);
                reads.let_end(1, 100);
                for (committed, read) in asked {
                    let seen = read.await.unwrap();
                    assert!(seen >= committed, "{seen} of {committed}");
                }
                settle().await;
                assert!(reads.inner.waiting().is_empty());
            });
        }
    }

    #[tokio::test]
    async fn however_many_ask_while_one_reads_they_share_the_next_read() {
        for askers in [1, 2, 1_000] {
            let reads = Logs::new();
            let mut first = pin!(reads.read(&0));
            assert!(poll!(&mut first).is_pending());
            settle().await;
            assert_eq!(reads.begun(), 1);
            reads.logs().committed.store(7, SeqCst);
            let mut others = pin!(join_all((0..askers).map(|_| reads.read(&0))));
            assert!(poll!(&mut others).is_pending());
            settle().await;
            assert_eq!(reads.begun(), 1, "the second waits for the first");
            reads.let_end(0, 2);
            assert_eq!(first.await.unwrap(), 0);
            assert!(others.await.into_iter().all(|seen| seen.unwrap() == 7));
            assert_eq!(reads.begun(), 2);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nobody_waits_forever_however_many_ask_from_wherever() {
        let reads = Logs::new();
        reads.let_end(0, Semaphore::MAX_PERMITS / 2);
        let asking = (0..64).map(|_| {
            let reads = reads.clone();
            tokio::spawn(async move {
                for _ in 0..200 {
                    let committed = reads.logs().committed.fetch_add(1, SeqCst) + 1;
                    assert!(reads.read(&0).await.unwrap() >= committed);
                }
            })
        });
        for asked in join_all(asking).await {
            asked.unwrap();
        }
        while !reads.inner.waiting().is_empty() {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_gives_up_takes_nobody_along() {
        let reads = Logs::new();
        let mut first = Box::pin(reads.read(&0));
        assert!(poll!(&mut first).is_pending());
        let mut second = pin!(reads.read(&0));
        assert!(poll!(&mut second).is_pending());
        drop(first);
        reads.let_end(0, 1);
        assert_eq!(second.await.unwrap(), 0);
        // Nothing is read for those who are gone before it begins.
        let mut third = Box::pin(reads.read(&0));
        assert!(poll!(&mut third).is_pending());
        drop(third);
        settle().await;
        assert_eq!(reads.begun(), 1);
        assert!(reads.inner.waiting().is_empty());
    }

    #[tokio::test]
    async fn who_waited_for_a_read_hears_its_error_and_the_next_reads_anew() {
        let reads = Logs::new();
        *reads.logs().end.lock().unwrap() = End::Fails;
        reads.let_end(0, 1);
        for answer in join_all((0..3).map(|_| reads.read(&0))).await {
            assert_eq!(*answer.unwrap_err(), "broken");
        }
        reads.let_end(0, 1);
        assert_eq!(reads.read(&0).await.unwrap(), 0);
        assert_eq!(reads.begun(), 2);
    }

    #[tokio::test]
    async fn after_a_read_that_panics_each_reads_by_themself() {
        let reads = Logs::new();
        *reads.logs().end.lock().unwrap() = End::Panics;
        let mut together = pin!(join_all((0..3).map(|_| reads.read(&0))));
        assert!(poll!(&mut together).is_pending());
        settle().await;
        let mut late = pin!(reads.read(&0));
        assert!(poll!(&mut late).is_pending());
        reads.let_end(0, 5);
        assert!(together.await.iter().all(Result::is_ok));
        assert_eq!(late.await.unwrap(), 0);
        assert_eq!(reads.begun(), 5);
        assert!(reads.inner.waiting().is_empty());
    }

    #[tokio::test]
    async fn reads_of_different_things_do_not_wait_for_each_other() {
        let reads = Logs::new();
        let mut held = pin!(reads.read(&0));
        assert!(poll!(&mut held).is_pending());
        reads.let_end(1, 1);
        assert_eq!(reads.read(&1).await.unwrap(), 0);
        assert!(held.as_mut().now_or_never().is_none());
        reads.let_end(0, 1);
        assert_eq!(held.await.unwrap(), 0);
    }
}
