//! What the program tells of its doings: log lines on standard error, text for people or JSON for machines, and traces if
//! there is a collector for them.

#[cfg(feature = "otlp")]
mod otlp;

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _,
};

use crate::config::{self, LogFormat, LogOptions, TraceOptions};

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A subscriber was set before.
    #[error("cannot log")]
    Log(#[from] tracing_subscriber::util::TryInitError),
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] config::Error),
}

/// What is told besides log lines.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    traces: Option<otlp::Traces>,
}

impl Telemetry {
    #[cfg(feature = "otlp")]
    fn of(options: Option<&TraceOptions>) -> Result<Self, config::Error> {
        let wanted = options.and_then(|options| Some((options.otlp_endpoint.as_ref()?, options)));
        let traces = wanted.map(|(endpoint, options)| {
            otlp::Traces::to(endpoint.as_str(), options)
                .map_err(|error| config::Error::otlp_endpoint(&error.to_string()))
        });
        Ok(Self {
            traces: traces.transpose()?,
        })
    }

    #[cfg(not(feature = "otlp"))]
    fn of(options: Option<&TraceOptions>) -> Result<Self, config::Error> {
        match options.and_then(|options| options.otlp_endpoint.as_ref()) {
            None => Ok(Self::default()),
            Some(_) => Err(config::Error::otlp_endpoint(
                "this program was built without traces (the cargo feature otlp)",
            )),
        }
    }

    /// Sends what is left, for no longer than `limit`; no traces are sent afterwards.
    #[cfg(feature = "otlp")]
    pub async fn end(&self, limit: Duration) {
        if let Some(traces) = self.traces.clone() {
            let ended = tokio::task::spawn_blocking(move || traces.end(limit));
            // What cannot be sent is lost with the process.
            let _ = ended.await;
        }
    }

    /// There is nothing to send.
    #[cfg(not(feature = "otlp"))]
    pub fn end(&self, _limit: Duration) -> impl Future<Output = ()> + use<> {
        std::future::ready(())
    }
}

/// Sends the program's log lines to standard error from now on, and spans where `traces` say. Has to be called on a runtime.
///
/// Where the options name no filter, everything of `default_level` and above is logged. Standard output stays free for
/// what commands print. Fails if a subscriber was set before.
pub fn init(
    options: &LogOptions,
    default_level: Level,
    traces: Option<&TraceOptions>,
) -> Result<Telemetry, Error> {
    let telemetry = Telemetry::of(traces)?;
    let filter = match &options.log_level {
        Some(filter) => EnvFilter::new(filter.as_str()),
        None => EnvFilter::default().add_directive(default_level.into()),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let lines = match options.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let subscriber = registry().with(lines.with_filter(filter));
    #[cfg(feature = "otlp")]
    let subscriber = subscriber.with(telemetry.traces.as_ref().map(otlp::Traces::layer));
    subscriber.try_init()?;
    Ok(telemetry)
}
