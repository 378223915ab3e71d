//! How soon watchers learn what was committed.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use gatehouse::pb::v1::{
    self as pb, deployment_service_client::DeploymentServiceClient, event::Subject,
    event_service_client::EventServiceClient, token_service_client::TokenServiceClient,
};
use serde_json::json;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{interval, timeout},
};
use tonic::{metadata::MetadataValue, transport::Channel};

use super::{Bench, Filled, Row};
use crate::{
    Failure,
    data::Stock,
    grpc::{connect, creation, project, with_token},
    load::{histogram, record},
    report::Target,
    server::{Gatehouse, Place, shape},
};

pub const ROWS: &[Row] = &[
    Row {
        name: "events-1",
        title: "event delivery, one watcher: p99 behind the commit",
        target: Target::AtMost(5.0),
    },
    Row {
        name: "events-1000",
        title: "event delivery, 1,000 watchers: p99 behind the commit",
        target: Target::AtMost(50.0),
    },
];
/// Streams on one connection.
const STREAMS: usize = 50;
/// How long the last event may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which deployment a watcher was told of, and when.
type Seen = (i64, Instant);

/// So many watchers of a project; each tells what it sees.
pub async fn watch(
    address: &str,
    token: &str,
    watchers: usize,
    told: &mpsc::UnboundedSender<Seen>,
) -> Result<JoinSet<()>, Failure> {
    let token = MetadataValue::try_from(token)?;
    let mut watching = JoinSet::new();
    let mut channel: Option<Channel> = None;
    for number in 0..watchers {
        let open = match channel.take_if(|_| number % STREAMS != 0) {
            Some(open) => open,
            None => connect(address).await?,
        };
        let message = pb::WatchEventsRequest {
            projects: vec![project(1)],
            ..Default::default()
        };
        let mut calls = EventServiceClient::new(open.clone());
        channel = Some(open);
        let mut stream = calls
            .watch_events(with_token(message, &token))
            .await?
            .into_inner();
        // The first message tells where the stream starts: from now on nothing is missed.
        stream.message().await?;
        let told = told.clone();
        watching.spawn(async move {
            while let Ok(Some(message)) = stream.message().await {
                if let Some(Subject::Deployment(change)) = message.event.and_then(|event| event.subject)
                    && told.send((change.deployment_id, Instant::now())).is_err()
                {
                    return;
                }
            }
        });
    }
    Ok(watching)
}

pub async fn measure(bench: &mut Bench<'_>) -> Result<(), Failure> {
    if !bench.wants_any(&[ROWS]) {
        return Ok(());
    }
    let stock = Arc::new(Stock::new(shape(bench.options.rows[0])));
    let place = Place::sqlite(&bench.program, "events", &stock).await?;
    let filled = Filled { place, stock };
    // As many events at the watchers as they can take without being a load of their own.
    for (row, watchers, events, apart) in [
        (&ROWS[0], 1, 400, Duration::from_millis(15)),
        (&ROWS[1], 1_000, 80, Duration::from_millis(200)),
    ] {
        if bench.options.wants(row.name)
            && let Err(error) = deliver(bench, &filled, row, watchers, (events, apart)).await
        {
            bench.skip(row, &error);
        }
    }
    Ok(())
}

async fn deliver(
    bench: &mut Bench<'_>,
    filled: &Filled,
    row: &Row,
    watchers: usize,
    (events, apart): (usize, Duration),
) -> Result<(), Failure> {
    let server = Gatehouse::grpc(&bench.program, &filled.place)?;
    let (told, mut seen) = mpsc::unbounded_channel();
    let _watching = watch(&server.grpc, &filled.place.token, watchers, &told).await?;
    let token = MetadataValue::try_from(filled.place.token.as_str())?;
    let mut calls = DeploymentServiceClient::new(connect(&server.grpc).await?);
    let mut clock = interval(apart);
    // By deployment: before the request and behind its answer.
    let mut made = HashMap::new();
    for number in 0..events {
        clock.tick().await;
        let message = with_token(creation(1, number as u64), &token);
        let before = Instant::now();
        let answer = calls.create_deployment(message).await?.into_inner();
        let id = answer.deployment.ok_or("no deployment")?.id;
        made.insert(id, (before, Instant::now()));
    }
    // The answer leaves when the commit is done, and takes less than an empty call does there and back.
    let mut empty = histogram();
    let mut tokens = TokenServiceClient::new(connect(&server.grpc).await?);
    for _ in 0..50 {
        clock.tick().await;
        let before = Instant::now();
        tokens.who_am_i(with_token(pb::WhoAmIRequest {}, &token)).await?;
        record(&mut empty, before.elapsed());
    }
    let (mut since_request, mut since_answer) = (histogram(), histogram());
    let wanted = (events * watchers) as u64;
    while since_request.len() < wanted {
        let Ok(Some((id, at))) = timeout(PATIENCE, seen.recv()).await else {
            break;
        };
        if let Some((before, after)) = made.get(&id) {
            record(&mut since_request, at - *before);
            record(&mut since_answer, at.saturating_duration_since(*after));
        }
    }
    let lost = wanted - since_request.len();
    let millis = |latencies: &hdrhistogram::Histogram<u64>, quantile| {
        latencies.value_at_quantile(quantile) as f64 / 1_000.0
    };
    println!(
        "\n{}: {watchers} watchers, {events} events {apart:?} apart",
        row.name
    );
    println!(
        "  {:<34}{:>9}{:>9}{:>9}{:>9}",
        "milliseconds", "p50", "p99", "p99.9", "max"
    );
    for (name, latencies) in [
        ("since before the request", &since_request),
        ("since its answer", &since_answer),
        ("an empty call", &empty),
    ] {
        println!(
            "  {name:<34}{:>9.2}{:>9.2}{:>9.2}{:>9.2}",
            millis(latencies, 0.5),
            millis(latencies, 0.99),
            millis(latencies, 0.999),
            latencies.max() as f64 / 1_000.0
        );
    }
    println!("  lost: {lost}");
    let more = json!({
        "watchers": watchers,
        "events": events,
        "lost": lost,
        "since_request_millis": { "p50": millis(&since_request, 0.5), "p99": millis(&since_request, 0.99) },
        "empty_call_millis": { "p50": millis(&empty, 0.5) },
        "since_answer_millis": { "p50": millis(&since_answer, 0.5), "p99": millis(&since_answer, 0.99) },
    });
    // Rather too much than too little. What is lost never came.
    let figure = if lost == 0 {
        millis(&since_answer, 0.99) + millis(&empty, 0.5)
    } else {
        f64::INFINITY
    };
    bench
        .report
        .figure(row.name, row.title, "ms", figure, row.target, &more);
    Ok(())
}
