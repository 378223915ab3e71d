//! Memory, and the time a start takes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gatehouse::pb::v1::{WhoAmIRequest, token_service_client::TokenServiceClient};
use serde_json::json;
use tokio::sync::mpsc;
use tonic::metadata::MetadataValue;

use super::{Bench, CALLERS, Filled, Row, events::watch};
use crate::{
    Failure,
    grpc::{GrpcCaller, Job, connect, newest, with_token},
    load::{Closed, Contender as _},
    process::memory_mib,
    report::{Target, median},
    server::{Gatehouse, Place},
};

/// The row that needs none.
pub const IDLE: Row = Row {
    name: "memory-idle",
    title: "resident memory, idle, server and sidecar in one process",
    target: Target::AtMost(30.0),
};

/// The rows that need a large store.
pub const LARGE: &[Row] = &[
    Row {
        name: "memory-loaded",
        title: "most resident memory under load (get, list, create, 4 x 16 each) with 1,000 watchers",
        target: Target::AtMost(150.0),
    },
    Row {
        name: "start",
        title: "start to first answer, large store against an empty one",
        target: Target::AtMost(1.5),
    },
];

pub async fn measure(bench: &mut Bench<'_>, large: Option<&Filled>) -> Result<(), Failure> {
    if !bench.wants_any(&[&[IDLE], LARGE]) {
        return Ok(());
    }
    let empty = Place::empty(&bench.program, "empty")?;
    if bench.options.wants(IDLE.name) {
        let server = Gatehouse::both(&bench.program, &empty)?;
        who_am_i(&server, &empty).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let resident = memory_mib(server.id(), "VmRSS")?;
        bench
            .report
            .figure(IDLE.name, IDLE.title, "MiB", resident, IDLE.target, &json!({}));
    }
    let Some(large) = large else { return Ok(()) };
    let [loaded, start] = LARGE else { return Ok(()) };
    if bench.options.wants(start.name)
        && let Err(error) = starts(bench, start, large, &empty).await
    {
        bench.skip(start, &error);
    }
    if bench.options.wants(loaded.name) {
        match under_load(bench, large).await {
            Ok(most) => {
                let target = loaded.target;
                bench
                    .report
                    .figure(loaded.name, loaded.title, "MiB", most, target, &json!({}));
            }
            Err(error) => bench.skip(loaded, &error),
        }
    }
    Ok(())
}

/// A call that any store answers.
async fn who_am_i(server: &Gatehouse, place: &Place) -> Result<(), Failure> {
    let token = MetadataValue::try_from(place.token.as_str())?;
    let mut calls = TokenServiceClient::new(connect(&server.grpc).await?);
    calls.who_am_i(with_token(WhoAmIRequest {}, &token)).await?;
    Ok(())
}

async fn starts(bench: &mut Bench<'_>, row: &Row, large: &Filled, empty: &Place) -> Result<(), Failure> {
    let mut times = [Vec::new(), Vec::new()];
    // The first of each warms up.
    for round in 0..=2 * bench.options.rounds {
        for (times, place) in times.iter_mut().zip([&large.place, empty]) {
            let begin = Instant::now();
            let server = Gatehouse::both(&bench.program, place)?;
            who_am_i(&server, place).await?;
            if round > 0 {
                times.push(begin.elapsed().as_secs_f64() * 1_000.0);
            }
        }
    }
    let [large, empty] = times.map(|times| median(&times));
    let more = json!({ "large_millis": large, "empty_millis": empty });
    bench
        .report
        .figure(row.name, row.title, "", large / empty, row.target, &more);
    println!("  {large:.1} ms against {empty:.1} ms");
    Ok(())
}

async fn under_load(bench: &Bench<'_>, large: &Filled) -> Result<f64, Failure> {
    let server = Gatehouse::both(&bench.program, &large.place)?;
    let token = &large.place.token;
    let (told, mut seen) = mpsc::unbounded_channel();
    let _watching = watch(&server.grpc, token, 1_000, &told).await?;
    tokio::spawn(async move { while seen.recv().await.is_some() {} });
    for job in [
        Job::Get(Arc::clone(&large.stock)),
        Job::List(newest(), Arc::clone(&large.stock)),
        Job::Create(large.stock.projects()),
    ] {
        let callers = GrpcCaller::many(&server.grpc, token, CALLERS, &job).await?;
        let mut load = Closed::new("load", callers, &[]);
        load.round(Duration::from_secs(4)).await?;
    }
    memory_mib(server.id(), "VmHWM")
}
