//! What is counted and measured: the name, labels and meaning of every metric, and the functions by which the layers tell
//! what happened.
//!
//! Where nobody installed a recorder nothing is kept, and to tell costs next to nothing. Values of labels come from lists
//! that the program knows: a caller can make no new ones.

use std::time::{Duration, Instant};

use metrics::{Unit, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// What kind of thing a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values came below fixed bounds.
    Histogram,
}

impl Kind {
    /// As Prometheus names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

const BUILD_INFO: &str = "gatehouse_build_info";
const READY: &str = "gatehouse_ready";
const GRPC_REQUESTS: &str = "gatehouse_grpc_requests_total";
const GRPC_DURATION: &str = "gatehouse_grpc_request_duration_seconds";
const GRPC_IN_FLIGHT: &str = "gatehouse_grpc_requests_in_flight";
const HTTP_REQUESTS: &str = "gatehouse_http_requests_total";
const HTTP_DURATION: &str = "gatehouse_http_request_duration_seconds";
const HTTP_IN_FLIGHT: &str = "gatehouse_http_requests_in_flight";
const TRANSACTIONS: &str = "gatehouse_store_transactions_total";
const TRANSACTION_DURATION: &str = "gatehouse_store_transaction_duration_seconds";
const RETRIES: &str = "gatehouse_store_transaction_retries_total";
const READS: &str = "gatehouse_store_reads_total";
const STATEMENTS: &str = "gatehouse_store_statements_total";
const READ_DURATION: &str = "gatehouse_store_read_duration_seconds";
const CONNECTION_WAIT: &str = "gatehouse_store_connection_wait_seconds";
const CONNECTIONS: &str = "gatehouse_store_connections";
const CONNECTIONS_MAX: &str = "gatehouse_store_connections_max";
const WATCHERS: &str = "gatehouse_watchers";
const LINK_TASKS: &str = "gatehouse_link_tasks";
const LINK_AGE: &str = "gatehouse_link_task_oldest_age_seconds";
const ANSWERS_EXPIRED: &str = "gatehouse_request_answers_expired";

/// Every metric of our own; those of the process (`process_…`) are told by the operating system.
#[rustfmt::skip] // one metric, one line
pub const METRICS: &[Metric] = &[
    gauge_of(BUILD_INFO, &["version", "revision", "engine"], "Always 1; what runs here, and the store's engine (none in a sidecar)"),
    gauge_of(READY, &[], "1 if /readyz says so, else 0"),
    counter_of(GRPC_REQUESTS, &["service", "method", "code"], "Calls that ended, by gRPC code; CANCELLED also where the caller went away"),
    histogram_of(GRPC_DURATION, &["service", "method"], "How long calls took, streams to their end"),
    gauge_of(GRPC_IN_FLIGHT, &[], "Calls under way"),
    counter_of(HTTP_REQUESTS, &["method", "route", "status"], "REST requests that were answered, by HTTP status; 499 where the client went away"),
    histogram_of(HTTP_DURATION, &["method", "route"], "How long REST requests took"),
    gauge_of(HTTP_IN_FLIGHT, &[], "REST requests under way"),
    counter_of(TRANSACTIONS, &["outcome"], "Transactions that write, each try, by outcome: committed, rolled_back, refused, conflict, unavailable, unknown, failed"),
    histogram_of(TRANSACTION_DURATION, &[], "How long such a transaction took, once it had a connection"),
    counter_of(RETRIES, &[], "Transactions that were done again, for a conflict or a lost connection"),
    counter_of(READS, &["outcome"], "Reads of the store, by outcome: done, refused, conflict, unavailable, failed"),
    histogram_of(READ_DURATION, &[], "How long a read took, once it had a connection"),
    counter_of(STATEMENTS, &[], "Statements sent to the database, those that begin and end transactions not counted"),
    histogram_of(CONNECTION_WAIT, &["pool"], "How long was waited for a connection, by what it was for: writer, reader"),
    gauge_of(CONNECTIONS, &["pool", "state"], "Open connections, by pool (writer, reader, shared where one does both, replica) and state (idle, in_use)"),
    gauge_of(CONNECTIONS_MAX, &["pool"], "The most connections that a pool opens"),
    gauge_of(WATCHERS, &["kind"], "Callers that are held: watch for a stream of events, wait for a deployment"),
    gauge_of(LINK_TASKS, &["state"], "Deployments not linked to merge requests yet: due, or put_off after a failure"),
    gauge_of(LINK_AGE, &[], "For how long the first of those has been due; 0 where none is"),
    gauge_of(ANSWERS_EXPIRED, &[], "Remembered answers that are past their day and not yet forgotten, up to 10,001"),
];

const fn counter_of(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    let kind = Kind::Counter;
    Metric {
        name,
        kind,
        labels,
        help,
    }
}

const fn gauge_of(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    let kind = Kind::Gauge;
    Metric {
        name,
        kind,
        labels,
        help,
    }
}

const fn histogram_of(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    let kind = Kind::Histogram;
    Metric {
        name,
        kind,
        labels,
        help,
    }
}

/// The bounds of every histogram, in seconds: from a read of a local file to a wait that a proxy would cut off.
const BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Where what is told is kept.
#[derive(Clone)]
pub struct Recorder {
    handle: PrometheusHandle,
    process: metrics_process::Collector,
}

/// Keeps what is told in this process from now on. Fails if that was done before.
pub fn install() -> Result<Recorder, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets(&BUCKETS)?
        .install_recorder()?;
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, Unit::Seconds, metric.help),
        }
    }
    // What has not happened yet is there as 0: who looks for an increase needs something to begin with.
    for outcome in Outcome::ALL {
        counter!(TRANSACTIONS, "outcome" => outcome.of_write()).absolute(0);
    }
    counter!(RETRIES).absolute(0);
    counter!(STATEMENTS).absolute(0);
    let process = metrics_process::Collector::default();
    process.describe();
    Ok(Recorder { handle, process })
}

impl Recorder {
    /// Everything that is kept, as Prometheus reads it.
    pub fn render(&self) -> String {
        self.process.collect();
        self.handle.render()
    }

    /// Sums up what came since the last time. If that is never done, memory is used for every single value.
    pub fn sum_up(&self) {
        self.handle.run_upkeep();
    }
}

/// Something that is under way; not any more when this is dropped.
#[derive(Debug)]
pub struct UnderWay(&'static str, Option<&'static str>);

impl UnderWay {
    fn begin(gauge: &'static str, kind: Option<&'static str>) -> Self {
        let begun = Self(gauge, kind);
        begun.gauge().increment(1.0);
        begun
    }

    fn gauge(&self) -> metrics::Gauge {
        match self.1 {
            None => gauge!(self.0),
            Some(kind) => gauge!(self.0, "kind" => kind),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.gauge().decrement(1.0);
    }
}

/// What runs here. There is no `engine` where there is no store.
pub fn build_info(version: &'static str, revision: &'static str, engine: Option<&'static str>) {
    let engine = engine.unwrap_or("none");
    gauge!(BUILD_INFO, "version" => version, "revision" => revision, "engine" => engine).set(1.0);
}

/// Whether requests would be served.
pub fn ready(ready: bool) {
    gauge!(READY).set(if ready { 1.0 } else { 0.0 });
}

/// A call over gRPC has begun.
pub fn grpc_begun() -> UnderWay {
    UnderWay::begin(GRPC_IN_FLIGHT, None)
}

/// A call over gRPC has ended.
pub fn grpc_ended(service: &'static str, method: &'static str, code: &'static str, took: Duration) {
    counter!(GRPC_REQUESTS, "service" => service, "method" => method, "code" => code).increment(1);
    histogram!(GRPC_DURATION, "service" => service, "method" => method).record(took);
}

/// A REST request has begun.
pub fn http_begun() -> UnderWay {
    UnderWay::begin(HTTP_IN_FLIGHT, None)
}

/// A REST request has ended. The status is a number that the sidecar answers with.
pub fn http_ended(method: &'static str, route: &'static str, status: u16, took: Duration) {
    counter!(HTTP_REQUESTS, "method" => method, "route" => route, "status" => status.to_string())
        .increment(1);
    histogram!(HTTP_DURATION, "method" => method, "route" => route).record(took);
}

/// Somebody watches events.
pub fn watching() -> UnderWay {
    UnderWay::begin(WATCHERS, Some("watch"))
}

/// Somebody waits for a deployment.
pub fn waiting() -> UnderWay {
    UnderWay::begin(WATCHERS, Some("wait"))
}

/// What came of a transaction or a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What was to be done is done.
    Done,
    /// Nothing was kept, as was wished.
    RolledBack,
    /// A rule was in the way.
    Refused,
    /// Other transactions were in the way.
    Conflict,
    /// The store is occupied, silent or away.
    Unavailable,
    /// The connection broke at the commit.
    Unknown,
    /// A defect.
    Failed,
}

impl Outcome {
    const ALL: [Self; 7] = [
        Self::Done,
        Self::RolledBack,
        Self::Refused,
        Self::Conflict,
        Self::Unavailable,
        Self::Unknown,
        Self::Failed,
    ];

    /// As a transaction that writes tells it.
    pub fn of_write(self) -> &'static str {
        match self {
            Self::Done => "committed",
            other => other.of_read(),
        }
    }

    /// As a read tells it.
    pub fn of_read(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::RolledBack => "rolled_back",
            Self::Refused => "refused",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
        }
    }
}

/// A transaction that writes has ended.
pub fn transaction_ended(outcome: Outcome, took: Duration) {
    counter!(TRANSACTIONS, "outcome" => outcome.of_write()).increment(1);
    histogram!(TRANSACTION_DURATION).record(took);
}

/// A statement is sent.
pub fn statement_sent() {
    counter!(STATEMENTS).increment(1);
}

/// A transaction is done again.
pub fn transaction_retried() {
    counter!(RETRIES).increment(1);
}

/// A read has ended.
pub fn read_ended(outcome: Outcome, took: Duration) {
    counter!(READS, "outcome" => outcome.of_read()).increment(1);
    histogram!(READ_DURATION).record(took);
}

/// What a connection is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// To write.
    Writer,
    /// To read.
    Reader,
}

/// A connection was waited for since `begun`.
pub fn connection_waited(wanted: Wanted, begun: Instant) {
    let pool = match wanted {
        Wanted::Writer => "writer",
        Wanted::Reader => "reader",
    };
    histogram!(CONNECTION_WAIT, "pool" => pool).record(begun.elapsed());
}

/// How many connections a pool has, and may have.
pub fn connections(pool: &'static str, idle: u32, in_use: u32, max: u32) {
    gauge!(CONNECTIONS, "pool" => pool, "state" => "idle").set(idle);
    gauge!(CONNECTIONS, "pool" => pool, "state" => "in_use").set(in_use);
    gauge!(CONNECTIONS_MAX, "pool" => pool).set(max);
}

/// What waits to be done in the background.
pub fn backlog(links_due: u32, links_put_off: u32, oldest_due: Duration, answers_expired: u32) {
    gauge!(LINK_TASKS, "state" => "due").set(links_due);
    gauge!(LINK_TASKS, "state" => "put_off").set(links_put_off);
    gauge!(LINK_AGE).set(oldest_due.as_secs_f64());
    gauge!(ANSWERS_EXPIRED).set(answers_expired);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let mut names = Vec::new();
        for metric in METRICS {
            let name = metric.name;
            assert!(!names.contains(&name), "{name} is there twice");
            names.push(name);
            assert!(name.starts_with("gatehouse_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert!(
                metric.kind != Kind::Histogram || name.ends_with("_seconds"),
                "{name}"
            );
            for text in metric.labels.iter().chain([&name]) {
                let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                assert!(plain, "{text} of {name}");
            }
            assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{name}");
        }
    }
}
