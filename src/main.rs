//! The one binary.

use std::process::ExitCode;

use clap::Parser as _;
use gatehouse::{
    cli::{self, Cli, console},
    telemetry,
};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = telemetry::init(&cli.log, cli.log_level()) {
        console::fail(&error);
        return ExitCode::FAILURE;
    }
    match cli::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::fail(&error);
            ExitCode::FAILURE
        }
    }
}
