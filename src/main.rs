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
    let telemetry = match telemetry::init(&cli.log, cli.log_level(), cli.traces()) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            console::fail(&error);
            return ExitCode::FAILURE;
        }
    };
    match cli::run(cli, telemetry).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::fail(&error);
            ExitCode::FAILURE
        }
    }
}
