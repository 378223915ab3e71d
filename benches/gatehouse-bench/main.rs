//! `gatehouse-bench`: how fast Gatehouse is, beside what the same machine can do at all and beside what people would
//! otherwise run, in one run.
//!
//! Every contender is a process of its own. Load is closed-loop: so many connections, so many calls in flight on each, the
//! next when one is answered. Contenders take turns round by round, so that whatever else the machine does hits all of
//! them; what is told are ratios of medians. Rates tell about the machine, ratios about Gatehouse.
//!
//! ```text
//!   main      what is asked for            rows/   one file for each part of the table
//!   process   processes, CPU, memory   server   Gatehouse on a store
//!   grpc, rest   calls                     load    closed loops, and what they saw
//!   ceiling   bare services, raw SQL    data    generated stores
//!   postgres, peers   what else is started
//!   report    the table, as text and JSON
//! ```

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::format_push_string,
    reason = "a report is printed, statistics are floats, time is what is measured, and texts are built once"
)]

mod ceiling;
mod data;
mod grpc;
mod load;
mod peers;
mod postgres;
mod process;
mod report;
mod rest;
mod rows;
mod server;

use std::{error::Error, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

/// Whatever went wrong.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Measures Gatehouse against ceilings and peers, and prints the table.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    contender: Option<Contender>,
    #[command(flatten)]
    options: Options,
}

/// What to measure, and how long.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only these rows, by their names or how those begin (`get`, `pg`, `rest-list`), separated by commas
    #[arg(long, value_delimiter = ',', value_name = "ROWS")]
    only: Vec<String>,
    /// How many rounds each contender has
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long a round is
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// The deployments of the small and of the large store
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000], value_name = "SMALL,LARGE")]
    rows: Vec<u32>,
    /// Also writes the table as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leaves out Envoy and FastAPI
    #[arg(long)]
    skip_peers: bool,
    /// Where stores and databases are made, for this run only [default: the folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,
    /// Where the programs of peers are kept from run to run [default: bench-peers beside the program's folder]
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// The program that is measured [default: gatehouse beside this one]
    #[arg(long, value_name = "FILE")]
    gatehouse: Option<PathBuf>,
}

impl Options {
    /// How long a round is.
    pub fn round(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Whether a row is wanted.
    pub fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| row.starts_with(only.as_str()))
    }
}

/// The contenders that this program is itself, as a process that another of it starts.
#[derive(Debug, Subcommand)]
enum Contender {
    /// A tonic service that answers from memory.
    #[command(hide = true)]
    BareGrpc(ceiling::bare::GrpcOptions),
    /// An axum service that answers from memory.
    #[command(hide = true)]
    BareHttp(ceiling::bare::HttpOptions),
    /// The statements of a write on SQLite, and nothing around them.
    #[command(hide = true)]
    RawSqlite(ceiling::raw::Options),
}

fn main() -> ExitCode {
    let Cli { contender, options } = Cli::parse();
    let done = match contender {
        Some(Contender::BareGrpc(options)) => on_runtime(ceiling::bare::grpc(options)),
        Some(Contender::BareHttp(options)) => on_runtime(ceiling::bare::http(options)),
        Some(Contender::RawSqlite(options)) => ceiling::raw::run(&options),
        None => on_runtime(async {
            tokio::select! {
                done = rows::run(&options) => done,
                // What was started ends with what is dropped here.
                _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            }
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gatehouse-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn on_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Runtime::new()?.block_on(work)
}
