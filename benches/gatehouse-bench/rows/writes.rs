//! Works by gRPC on SQLite, beside the same rows written by raw statements.

use std::sync::Arc;

use super::{Bench, CALLERS, Row};
use crate::{
    Failure,
    ceiling::raw::{Raw, Work},
    data::{Shape, Stock},
    grpc::{Approvals, GrpcCaller, Job},
    load::Closed,
    report::Target,
    server::{Gatehouse, Place},
};

pub const ROWS: &[Row] = &[
    Row {
        name: "create",
        title: "gRPC CreateDeployment, SQLite FULL, 64 callers, 100 projects",
        target: Target::AtLeast(0.45),
    },
    Row {
        name: "create-one",
        title: "gRPC CreateDeployment, SQLite FULL, one caller",
        target: Target::AtLeast(0.40),
    },
    Row {
        name: "approve",
        title: "gRPC SubmitApproval, SQLite FULL, 64 callers",
        target: Target::AtLeast(0.25),
    },
];

pub async fn measure(bench: &mut Bench<'_>) -> Result<(), Failure> {
    if !bench.wants_any(&[ROWS]) {
        return Ok(());
    }
    println!("\nfilling a store with 100000 deployments, and 100000 that wait for approvals");
    let stock = Stock::new(Shape {
        projects: 100,
        deployments: 100_000,
        blocked: 1_000,
    });
    let place = Place::sqlite(&bench.program, "writes", &stock).await?;
    let copies = [
        place.copy("raw-create.db")?,
        place.copy("raw-create-one.db")?,
        place.copy("raw-approve.db")?,
    ];
    let server = Gatehouse::grpc(&bench.program, &place)?;
    let mut approvers = Vec::new();
    for token in &place.approvers {
        approvers.push(token.as_str().try_into()?);
    }
    // One project after the other would be one hot project at a time.
    let mut blocked = stock.blocked();
    blocked.sort_by_key(|(id, _)| crate::grpc::scatter(*id as u64));
    let approve = Job::Approve(Arc::new(Approvals::new(approvers, blocked)));
    let create = Job::Create(stock.projects());
    let plans = [
        (create.clone(), CALLERS, Work::Create, 64),
        (create, (1, 1), Work::Create, 1),
        (approve, CALLERS, Work::Approve, 64),
    ];
    for ((row, copy), (job, callers, work, batch)) in ROWS.iter().zip(&copies).zip(plans) {
        let contenders = async {
            let ours = GrpcCaller::many(&server.grpc, &place.token, callers, &job).await?;
            let raw = Raw::writes(copy, work, batch, stock.projects())?;
            Ok(vec![Closed::new("Gatehouse", ours, &[server.id()]).boxed(), raw])
        };
        bench.compare(row, contenders).await;
    }
    Ok(())
}
