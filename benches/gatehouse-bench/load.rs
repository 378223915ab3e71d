//! Closed loops: callers that send the next call when the last one is answered, and what they saw.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::{Failure, process::cpu_micros};

/// The longest latency that is told apart, in microseconds.
const LONGEST: u64 = 60_000_000;

/// Latencies in microseconds, to three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).unwrap_or_else(|_| unreachable!("the bounds are constants"))
}

/// Adds a latency.
pub fn record(latencies: &mut Histogram<u64>, took: Duration) {
    latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST).max(1));
}

/// What came of a round.
#[derive(Debug)]
pub struct Round {
    /// How many calls were answered.
    pub answered: u64,
    /// In which time.
    pub seconds: f64,
    /// The CPU that the servers used meanwhile, databases included.
    pub cpu_micros: f64,
    /// How long each call took that was answered.
    pub latencies: Histogram<u64>,
    /// How many calls were refused because there were too many.
    pub refused: u64,
}

/// Somebody whose rate is measured.
#[async_trait]
pub trait Contender: Send {
    /// What the table calls it.
    fn name(&self) -> &str;

    /// One round of about this length.
    async fn round(&mut self, length: Duration) -> Result<Round, Failure>;
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Answered,
    /// There were too many.
    Refused,
}

/// Somebody who calls, again and again.
pub trait Caller: Send + 'static {
    /// Makes a call; its number is never used twice. An answer that is not the right one is an error.
    fn call(&mut self, number: u64) -> impl Future<Output = Result<Ending, Failure>> + Send;
}

/// How long a caller leaves a server alone that refused a call.
const PAUSE: Duration = Duration::from_millis(20);

/// Callers of one server, as a contender.
#[derive(Debug)]
pub struct Closed<C> {
    name: String,
    callers: Vec<C>,
    servers: Vec<u32>,
    numbers: Arc<AtomicU64>,
}

impl<C: Caller> Closed<C> {
    /// These callers; `servers` are the processes that work for them.
    pub fn new(name: impl Into<String>, callers: Vec<C>, servers: &[u32]) -> Self {
        Self {
            name: name.into(),
            callers,
            servers: servers.to_vec(),
            numbers: Arc::default(),
        }
    }

    /// Boxed, to stand in a row of contenders.
    pub fn boxed(self) -> Box<dyn Contender> {
        Box::new(self)
    }
}

#[async_trait]
impl<C: Caller> Contender for Closed<C> {
    fn name(&self) -> &str {
        &self.name
    }

    async fn round(&mut self, length: Duration) -> Result<Round, Failure> {
        let cpu_before = cpu_micros(&self.servers);
        let begin = Instant::now();
        let mut working = JoinSet::new();
        for mut caller in self.callers.drain(..) {
            let numbers = Arc::clone(&self.numbers);
            working.spawn(async move {
                let mut latencies = histogram();
                let mut refused = 0;
                let mut now = begin;
                while now - begin < length {
                    match caller.call(numbers.fetch_add(1, Ordering::Relaxed)).await? {
                        Ending::Answered => record(&mut latencies, now.elapsed()),
                        Ending::Refused => {
                            refused += 1;
                            tokio::time::sleep(PAUSE).await;
                        }
                    }
                    now = Instant::now();
                }
                Ok::<_, Failure>((caller, latencies, refused))
            });
        }
        let mut latencies = histogram();
        let mut refused = 0;
        while let Some(done) = working.join_next().await {
            let (caller, seen, refusals) = done??;
            self.callers.push(caller);
            latencies.add(seen)?;
            refused += refusals;
        }
        let seconds = begin.elapsed().as_secs_f64();
        Ok(Round {
            answered: latencies.len(),
            seconds,
            cpu_micros: cpu_micros(&self.servers) - cpu_before,
            latencies,
            refused,
        })
    }
}
