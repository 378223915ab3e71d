//! The port for operations: metrics, and whether the process lives and is ready. No token is asked for, and nothing of the
//! ledger is told.

use std::{io, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    app::App,
    grpc::metadata::{REVISION, VERSION},
    health::Readiness,
    metrics::{self, Recorder},
};

/// How long what is looked up for an answer may take.
const LOOKED_UP_IN: Duration = Duration::from_secs(2);
/// How often what was told is summed up, whether anybody asks or not.
const SUM_UP_EVERY: Duration = Duration::from_secs(5);
/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the process serves.
#[derive(Clone)]
pub enum Subject {
    /// The gRPC server, with or without a sidecar.
    Server {
        /// The use cases.
        app: App,
        /// What the server says of itself.
        readiness: Readiness,
    },
    /// The sidecar alone, in front of these gRPC servers.
    Sidecar(Vec<Channel>),
}

impl Subject {
    /// A sidecar in front of the gRPC servers at these URLs. Has to be called on a runtime.
    pub fn sidecar(urls: &[String]) -> Result<Self, tonic::transport::Error> {
        let channels = urls.iter().map(|url| {
            let endpoint = Endpoint::from_shared(url.clone())?;
            Ok(endpoint.connect_timeout(LOOKED_UP_IN).connect_lazy())
        });
        Ok(Self::Sidecar(channels.collect::<Result<_, _>>()?))
    }

    /// Why requests would not be served, if so.
    async fn obstacle(&self) -> Option<String> {
        match self {
            Self::Server { readiness, .. } => readiness.obstacle(),
            Self::Sidecar(channels) => {
                let mut asked: FuturesUnordered<_> = channels.iter().map(serves).collect();
                while let Some(serves) = asked.next().await {
                    if serves {
                        return None;
                    }
                }
                Some("no gRPC server says that it serves".to_owned())
            }
        }
    }

    /// Looks up what nobody tells.
    async fn look_up(&self) {
        let Self::Server { app, .. } = self else {
            return metrics::build_info(VERSION, REVISION, None);
        };
        metrics::build_info(VERSION, REVISION, Some(app.store().engine()));
        for pool in app.pools() {
            metrics::connections(pool.name, pool.idle, pool.in_use, pool.max);
        }
        let now = app.now();
        match timeout(LOOKED_UP_IN, app.store().backlog(now)).await {
            Ok(Ok(backlog)) => {
                let since = backlog.oldest_due.map(|due| now - due).unwrap_or_default();
                metrics::backlog(
                    small(backlog.links_due),
                    small(backlog.links_put_off),
                    since.to_std().unwrap_or_default(),
                    small(backlog.answers_expired),
                );
            }
            Ok(Err(error)) => tracing::debug!(?error, "cannot look up what waits to be done"),
            Err(_) => tracing::debug!("cannot look up what waits to be done in time"),
        }
    }
}

/// A count that is bounded.
fn small(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether a gRPC server says that it serves.
async fn serves(channel: &Channel) -> bool {
    let mut health = HealthClient::new(channel.clone());
    let whole = HealthCheckRequest {
        service: String::new(),
    };
    match timeout(LOOKED_UP_IN, health.check(whole)).await {
        Ok(Ok(answer)) => answer.into_inner().status() == ServingStatus::Serving,
        _ => false,
    }
}

#[derive(Clone)]
struct Port {
    subject: Subject,
    recorder: Recorder,
    /// Cancelled when the process was told to stop: from then on it is not ready.
    stopping: CancellationToken,
}

impl Port {
    async fn obstacle(&self) -> Option<String> {
        if self.stopping.is_cancelled() {
            return Some("stopping".to_owned());
        }
        self.subject.obstacle().await
    }
}

/// Serves the port until `shutdown`. The process is not ready once `stopping` is cancelled.
pub async fn serve(
    listener: TcpListener,
    subject: Subject,
    recorder: Recorder,
    stopping: CancellationToken,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let port = Port {
        subject,
        recorder: recorder.clone(),
        stopping,
    };
    let router = Router::new()
        .route("/metrics", get(scrape))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(port);
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
    let summing_up = async {
        let mut due = interval(SUM_UP_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            recorder.sum_up();
        }
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = summing_up => Ok(()),
    }
}

async fn scrape(State(port): State<Port>) -> Response {
    metrics::ready(port.obstacle().await.is_none());
    port.subject.look_up().await;
    ([(header::CONTENT_TYPE, TEXT)], port.recorder.render()).into_response()
}

async fn ready(State(port): State<Port>) -> Response {
    match port.obstacle().await {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
    }
}
