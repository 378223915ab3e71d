//! `gatehouse healthcheck`: whether a server or a sidecar is well, as an exit code for containers.

use std::time::Duration;

use axum::body::Body;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    Error,
    client::{self, Attempt as _},
};
use crate::config::{GrpcUrl, TargetsOptions, seconds};

/// The options of `gatehouse healthcheck`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, in a container:
  gatehouse healthcheck
  gatehouse healthcheck --rest-url http://127.0.0.1:8080
  gatehouse healthcheck --metrics-url http://127.0.0.1:9090")]
pub struct Options {
    #[command(flatten)]
    targets: TargetsOptions,

    /// Ask this sidecar instead, whether it is there and a gRPC server behind it serves
    #[arg(long, env = "GATEHOUSE_REST_URL", value_name = "URL")]
    rest_url: Option<GrpcUrl>,

    /// Ask this port for operations instead, whether what it tells of is ready
    #[arg(
        long,
        env = "GATEHOUSE_METRICS_URL",
        value_name = "URL",
        conflicts_with = "rest_url"
    )]
    metrics_url: Option<GrpcUrl>,

    /// How long the answer may take
    #[arg(
        long = "request-timeout-seconds", env = "GATEHOUSE_REQUEST_TIMEOUT_SECONDS",
        default_value = "5", value_name = "SECONDS", value_parser = seconds
    )]
    request_timeout: Duration,
}

/// Asks the standard health service for the state of the whole server.
pub async fn run(options: Options) -> Result<(), Error> {
    if let Some(url) = options.rest_url {
        return probe(url, "/-/readiness", options.request_timeout).await;
    }
    if let Some(url) = options.metrics_url {
        return probe(url, "/readyz", options.request_timeout).await;
    }
    // In the surroundings of a sidecar there may be several: each is asked, and all have to be well.
    for url in options.targets.grpc_url {
        server(url, options.request_timeout).await?;
    }
    Ok(())
}

async fn server(url: GrpcUrl, patience: Duration) -> Result<(), Error> {
    let mut health = HealthClient::new(client::dial(&url, patience).await?);
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

/// Asks a probe over HTTP.
async fn probe(url: GrpcUrl, path: &str, patience: Duration) -> Result<(), Error> {
    let probe = format!("{}{path}", url.as_str());
    let Ok(probe) = probe.parse() else {
        return Err(Error::Unhealthy {
            url,
            state: "no address",
        });
    };
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let state = match timeout(patience, client.get(probe)).await {
        Ok(Ok(answer)) if answer.status().is_success() => return Ok(()),
        Ok(Ok(_)) => "not ready",
        Ok(Err(_)) => "not reachable",
        Err(_) => "silent",
    };
    Err(Error::Unhealthy { url, state })
}
