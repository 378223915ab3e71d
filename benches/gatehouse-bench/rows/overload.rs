//! More load than there is room for: what is still done, and what one greedy caller costs the others.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Bench, CALLERS, Row};
use crate::{
    Failure,
    grpc::{GrpcCaller, Job, newest},
    load::{Closed, Contender, Round},
    report::Target,
    server::Gatehouse,
};

pub const ROWS: &[Row] = &[
    Row {
        name: "overload-get",
        title: "gRPC GetDeployment, SQLite, goodput at 4 times the callers",
        target: Target::AtLeast(0.8),
    },
    Row {
        name: "overload-create",
        title: "gRPC CreateDeployment, SQLite FULL, goodput at 4 times the callers",
        target: Target::AtLeast(0.8),
    },
    Row {
        name: "greedy",
        title: "4 callers' reads beside 256 callers' lists by another token",
        target: Target::None,
    },
];

/// Four times the usual.
const MANY: (usize, usize) = (16, 16);
const FEW: (usize, usize) = (1, 4);

/// Somebody beside somebody else, whose calls do not count.
struct Beside {
    counted: Box<dyn Contender>,
    other: Box<dyn Contender>,
}

#[async_trait]
impl Contender for Beside {
    fn name(&self) -> &'static str {
        "beside a greedy token"
    }

    async fn round(&mut self, length: Duration) -> Result<Round, Failure> {
        let (counted, other) = tokio::join!(self.counted.round(length), self.other.round(length));
        other?;
        counted
    }
}

pub async fn measure(bench: &mut Bench<'_>) -> Result<(), Failure> {
    if !bench.wants_any(&[ROWS]) {
        return Ok(());
    }
    let filled = bench.fill("overload", bench.options.rows[0]).await?;
    let server = Gatehouse::grpc(&bench.program, &filled.place)?;
    let token = &filled.place.token;
    let stock = || Arc::clone(&filled.stock);
    let load = async |name: &str, token: &str, callers, job: &Job| {
        let callers = GrpcCaller::many(&server.grpc, token, callers, job).await?;
        Ok::<_, Failure>(Closed::new(name, callers, &[server.id()]).boxed())
    };
    let jobs = [Job::Get(stock()), Job::Create(filled.stock.projects())];
    for (row, job) in ROWS.iter().zip(jobs) {
        let contenders = async {
            Ok(vec![
                load("256 callers", token, MANY, &job).await?,
                load("64 callers", token, CALLERS, &job).await?,
            ])
        };
        bench.compare(row, contenders).await;
    }
    let polite = Job::Get(stock());
    let greedy = Job::List(newest(), stock());
    let contenders = async {
        let beside = Beside {
            counted: load("", token, FEW, &polite).await?,
            other: load("", &filled.place.approvers[0], MANY, &greedy).await?,
        };
        let beside: Box<dyn Contender> = Box::new(beside);
        Ok(vec![beside, load("alone", token, FEW, &polite).await?])
    };
    bench.compare(&ROWS[2], contenders).await;
    Ok(())
}
