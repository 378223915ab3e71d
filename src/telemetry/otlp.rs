//! Traces by OTLP: spans of requests and of what the store does, sent to a collector from a thread of their own.
//!
//! Where the collector is away or slow, spans are dropped; nothing waits for it but the end of the process, for a while.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry::{
    KeyValue, Value,
    trace::{SpanKind, Status, TracerProvider as _},
};
use opentelemetry_otlp::{
    ExporterBuildError, RetryPolicy, SpanExporter as OtlpExporter, WithExportConfig as _,
    WithTonicConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter, Tracer},
};
use tracing::{Metadata, Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{Layer, filter::FilterFn, registry::LookupSpan};

use crate::{
    config::TraceOptions,
    grpc::metadata::{REVISION, VERSION},
};

/// How long the collector may take for a batch of spans.
const TAKEN_IN: Duration = Duration::from_secs(3);

/// Where spans go.
#[derive(Debug, Clone)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Traces to the collector at this URL. It need not be there yet. Has to be called on a runtime.
    pub fn to(endpoint: &str, options: &TraceOptions) -> Result<Self, ExporterBuildError> {
        let exporter = OtlpExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(TAKEN_IN)
            // The next batch is the next try; the end of the process is not held up by more.
            .with_retry_policy(RetryPolicy::disabled())
            .build()?;
        let resource = Resource::builder()
            .with_service_name(options.otlp_service_name.clone())
            .with_attributes([
                KeyValue::new("service.version", VERSION),
                KeyValue::new("vcs.ref.head.revision", REVISION),
            ])
            .build();
        // Whose trace is recorded elsewhere is recorded here too: half a trace helps nobody.
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            options.otlp_sampling_ratio.get(),
        )));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Telling {
                exporter,
                well: AtomicBool::new(true),
            })
            .with_resource(resource)
            .with_sampler(sampler)
            .build();
        Ok(Self(provider))
    }

    /// The layer that records our own spans, whatever is logged.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
    {
        let layer: OpenTelemetryLayer<S, Tracer> = tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("gatehouse"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false);
        let ours = |metadata: &Metadata<'_>| {
            metadata.is_span() && metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
        };
        layer.with_filter(FilterFn::new(ours).with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Sends what is left, for no longer than `limit`. Blocks. Nothing is sent afterwards.
    pub fn end(&self, limit: Duration) {
        if let Err(error) = self.0.shutdown_with_timeout(limit) {
            tracing::warn!(%error, "the last spans of traces may be lost");
        }
    }
}

/// Gives spans the names and kinds that they have by convention, and tells once when the collector does not take them, and
/// when it does again.
#[derive(Debug)]
struct Telling<E> {
    exporter: E,
    well: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Telling<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            complete(span);
        }
        let sent = self.exporter.export(batch).await;
        match (&sent, self.well.swap(sent.is_ok(), Ordering::Relaxed)) {
            (Err(error), true) => tracing::warn!(%error, "cannot send traces; spans are dropped"),
            (Ok(()), false) => tracing::info!("traces are sent again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// The codes of gRPC that are the server's fault.
const FAULTS: [&str; 6] = [
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];
/// What may come of a read or transaction that is no answer.
const MISHAPS: [&str; 3] = ["unavailable", "unknown", "failed"];

/// Names a span by what it is about, for logs need other names.
fn complete(span: &mut SpanData) {
    let text = |key: &str| {
        let found = span.attributes.iter().find(|has| has.key.as_str() == key);
        found.map(|has| has.value.as_str().into_owned())
    };
    let failed;
    match span.name.as_ref() {
        "request" => {
            let code = text("rpc.code").unwrap_or_default();
            // A name that the server does not know was made up by the caller.
            if code != "UNIMPLEMENTED"
                && let Some(path) = text("rpc.method")
            {
                span.name = path.trim_start_matches('/').to_owned().into();
            }
            span.attributes.push(KeyValue::new("rpc.system", "grpc"));
            span.span_kind = SpanKind::Server;
            failed = FAULTS.contains(&code.as_str());
        }
        "rest" => {
            if let (Some(method), Some(route)) = (text("http.request.method"), text("http.route")) {
                span.name = format!("{method} {route}").into();
            }
            span.span_kind = SpanKind::Server;
            failed = span.attributes.iter().any(|has| {
                has.key.as_str() == "http.response.status_code"
                    && matches!(has.value, Value::I64(status) if status >= 500)
            });
        }
        "read" | "transaction" => {
            if let Some(operation) = text("db.operation.name") {
                span.name = format!("{} {operation}", span.name).into();
            }
            span.span_kind = SpanKind::Client;
            failed = text("outcome").is_some_and(|outcome| MISHAPS.contains(&outcome.as_str()));
        }
        _ => return,
    }
    if failed {
        span.status = Status::error("");
    }
}
