//! `gatehouse healthcheck`: whether a server is well, as an exit code for containers.

use std::time::Duration;

use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    Error,
    client::{self, Attempt as _},
};
use crate::config::{TargetOptions, seconds};

/// The options of `gatehouse healthcheck`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example, in a container image:
  HEALTHCHECK CMD [\"gatehouse\", \"healthcheck\"]")]
pub struct Options {
    #[command(flatten)]
    target: TargetOptions,

    /// How long the answer may take
    #[arg(
        long = "request-timeout-seconds", env = "GATEHOUSE_REQUEST_TIMEOUT_SECONDS",
        default_value = "5", value_name = "SECONDS", value_parser = seconds
    )]
    request_timeout: Duration,
}

/// Asks the standard health service for the state of the whole server.
pub async fn run(options: Options) -> Result<(), Error> {
    let url = options.target.grpc_url;
    let mut health = HealthClient::new(client::dial(&url, options.request_timeout).await?);
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let answer = health
        .check(request)
        .await
        .attempt(|| format!("ask {url}"))?
        .into_inner();
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        ServingStatus::NotServing => Err(Error::Unhealthy {
            url,
            state: "not serving",
        }),
        ServingStatus::Unknown | ServingStatus::ServiceUnknown => Err(Error::Unhealthy {
            url,
            state: "in an unknown state",
        }),
    }
}
