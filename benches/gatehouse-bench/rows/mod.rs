//! The rows of the table, in its order.

mod events;
mod footprint;
mod overload;
mod pages;
mod postgres;
mod reads;
mod sidecar;
mod writes;

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::{
    Failure, Options,
    data::Stock,
    load::Contender,
    report::{Report, Target},
    server::{Place, Program, shape},
};

/// How many callers there are over gRPC: connections, and calls in flight on each.
const CALLERS: (usize, usize) = (4, 16);

/// A comparison: its name on the command line, what it compares, and what must come out.
struct Row {
    name: &'static str,
    title: &'static str,
    target: Target,
}

/// A filled SQLite store.
struct Filled {
    place: Place,
    stock: Arc<Stock>,
}

/// What the rows have in common.
struct Bench<'a> {
    options: &'a Options,
    program: Program,
    report: Report,
}

/// Measures everything that is wanted, and prints the table.
pub async fn run(options: &Options) -> Result<(), Failure> {
    let [_, large_rows] = options.rows[..] else {
        return Err("--rows: two numbers, of the small and of the large store".into());
    };
    let mut bench = Bench {
        options,
        program: Program::find(options.gatehouse.as_deref(), options.work.as_deref())?,
        report: Report::new(&json!({
            "rounds": options.rounds,
            "seconds": options.seconds,
            "rows": options.rows,
        })),
    };
    let large = if bench.wants_any(&[reads::ROWS, sidecar::ROWS, pages::ROWS, footprint::LARGE]) {
        Some(bench.fill("large", large_rows).await?)
    } else {
        None
    };
    if let Some(large) = &large {
        let done = reads::measure(&mut bench, large).await;
        bench.rest(&[reads::ROWS], done);
        let done = sidecar::measure(&mut bench, large).await;
        bench.rest(&[sidecar::ROWS], done);
        let done = Box::pin(pages::measure(&mut bench, large)).await;
        bench.rest(&[pages::ROWS], done);
    }
    let done = footprint::measure(&mut bench, large.as_ref()).await;
    bench.rest(&[&[footprint::IDLE], footprint::LARGE], done);
    drop(large);
    let done = writes::measure(&mut bench).await;
    bench.rest(&[writes::ROWS], done);
    let done = overload::measure(&mut bench).await;
    bench.rest(&[overload::ROWS], done);
    let done = events::measure(&mut bench).await;
    bench.rest(&[events::ROWS], done);
    let done = postgres::measure(&mut bench).await;
    bench.rest(&[postgres::ROWS, postgres::PEER], done);
    bench.report.finish(options.json.as_deref())
}

impl Bench<'_> {
    fn wants_any(&self, parts: &[&[Row]]) -> bool {
        let mut rows = parts.iter().copied().flatten();
        rows.any(|row| self.options.wants(row.name))
    }

    /// A SQLite store with so many deployments.
    async fn fill(&self, name: &str, deployments: u32) -> Result<Filled, Failure> {
        println!("\nfilling a store with {deployments} deployments");
        let stock = Arc::new(Stock::new(shape(deployments)));
        let place = Place::sqlite(&self.program, name, &stock).await?;
        Ok(Filled { place, stock })
    }

    /// Compares contenders as long as the options say.
    async fn compare(
        &mut self,
        row: &Row,
        contenders: impl Future<Output = Result<Vec<Box<dyn Contender>>, Failure>>,
    ) {
        let length = self.options.round();
        self.compare_for(row, length, contenders).await;
    }

    /// Compares contenders in rounds of this length, if the row is wanted. What cannot be measured is told, and the rest of
    /// the table goes on.
    async fn compare_for(
        &mut self,
        row: &Row,
        length: Duration,
        contenders: impl Future<Output = Result<Vec<Box<dyn Contender>>, Failure>>,
    ) {
        if !self.options.wants(row.name) {
            return;
        }
        let how_long = (self.options.rounds, length);
        let compared = async {
            let mut contenders = contenders.await?;
            self.report
                .compare(row.name, row.title, row.target, how_long, &mut contenders)
                .await
        };
        if let Err(error) = compared.await {
            self.skip(row, &error);
        }
    }

    /// Tells that what a part has not come to could not be had: the rest of the table goes on without it.
    fn rest(&mut self, parts: &[&[Row]], done: Result<(), Failure>) {
        let Err(why) = done else { return };
        for row in parts.iter().copied().flatten() {
            if !self.report.has(row.name) {
                self.skip(row, &why);
            }
        }
    }

    /// Tells that a row could not be had, if it is wanted.
    fn skip(&mut self, row: &Row, why: &Failure) {
        if self.options.wants(row.name) {
            self.report.skip(row.name, row.title, &why.to_string());
        }
    }
}
