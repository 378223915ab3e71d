//! The separate sidecar, beside Envoy transcoding the same calls of the same server.

use std::sync::Arc;

use super::{Bench, Filled, Row};
use crate::{
    Failure,
    load::Closed,
    peers,
    report::Target,
    rest::{HttpCaller, Job},
    server::Gatehouse,
};

pub const ROWS: &[Row] = &[
    Row {
        name: "sidecar-get",
        title: "REST get through the separate sidecar, SQLite, 64 connections",
        target: Target::AtLeast(1.5),
    },
    Row {
        name: "sidecar-list",
        title: "REST list, page of 20, through the separate sidecar, SQLite, 64 connections",
        target: Target::AtLeast(1.5),
    },
];

/// The newest 20, asked for in each one's words so that the server gets the same call.
const OURS: &str = "pagination=keyset&sort=desc";
const ENVOYS: &str = "order_by=DEPLOYMENT_ORDER_BY_ID&direction=SORT_DIRECTION_DESC&page_size=20";

pub async fn measure(bench: &mut Bench<'_>, large: &Filled) -> Result<(), Failure> {
    if !bench.wants_any(&[ROWS]) {
        return Ok(());
    }
    let server = Gatehouse::grpc(&bench.program, &large.place)?;
    let sidecar = Gatehouse::rest(&bench.program, &server)?;
    let envoy = if bench.options.skip_peers {
        Err("--skip-peers".into())
    } else {
        peers::envoy(&bench.program, bench.options.cache.as_deref(), &server).await
    };
    let envoy = match envoy {
        Ok(envoy) => envoy,
        Err(error) => {
            let error = format!("Envoy: {error}").into();
            for row in ROWS {
                bench.skip(row, &error);
            }
            return Ok(());
        }
    };
    let token = &large.place.token;
    let stock = || Arc::clone(&large.stock);
    let jobs = [
        (Job::Get(stock()), Job::Get(stock())),
        (Job::List(stock(), OURS), Job::List(stock(), ENVOYS)),
    ];
    for (row, (ours, envoys)) in ROWS.iter().zip(jobs) {
        let contenders = async {
            let ours = HttpCaller::many(&sidecar.rest, token, 64, &ours).await?;
            let envoys = HttpCaller::many(&envoy.address, token, 64, &envoys).await?;
            Ok(vec![
                Closed::new("Gatehouse", ours, &[sidecar.id(), server.id()]).boxed(),
                Closed::new("Envoy, transcoding", envoys, &[envoy.id(), server.id()]).boxed(),
            ])
        };
        bench.compare(row, contenders).await;
    }
    Ok(())
}
