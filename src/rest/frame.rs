//! What every answer has, whoever made it: ids, timing, CORS, the log line (contract 3.7).

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tracing::{Instrument, Span, field};

use crate::{
    metrics::{self, UnderWay},
    trace,
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_RUNTIME: HeaderName = HeaderName::from_static("x-runtime");
const MAX_REQUEST_ID: usize = 128;
const EXPOSED: &str = "Link, X-Total, X-Total-Pages, X-Per-Page, X-Page, X-Next-Page, X-Prev-Page, X-Next-Cursor, \
                       X-Request-Id, X-Runtime, Retry-After";

/// The id that ties the lines of a log to an answer.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub HeaderValue);

/// The route that was found for a request, by which logs and metrics name its path: the path itself is the client's, and
/// its query may hold a token.
#[derive(Debug, Clone, Default)]
pub(super) struct Routed(Arc<OnceLock<&'static str>>);

impl Routed {
    /// The route has this pattern.
    pub(super) fn to(&self, pattern: &'static str) {
        // Once for each request.
        let _ = self.0.set(pattern);
    }

    fn pattern(&self) -> &'static str {
        self.0.get().copied().unwrap_or("unknown")
    }
}

/// Where a client went away before it was answered: no status of HTTP, but widely used in logs.
const CLIENT_WENT_AWAY: u16 = 499;

/// A request that is being served. When this is dropped it has ended: it is logged and counted then, once.
struct Served {
    method: &'static str,
    routed: Routed,
    span: Span,
    begun: Instant,
    status: u16,
    _counted: UnderWay,
}

impl Drop for Served {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        let route = self.routed.pattern();
        metrics::http_ended(self.method, route, self.status, took);
        self.span.record("http.route", route);
        self.span.record("http.response.status_code", self.status);
        self.span
            .in_scope(|| tracing::info!(elapsed_us = micros(took), "served"));
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The method, if it is one that means anything here: a client can make up others.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Runs the request in a span of its own and completes the answer's headers.
pub(super) async fn around(mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(request.headers());
    let method = known(request.method());
    let span = tracing::info_span!(
        "rest",
        http.request.method = method,
        http.route = field::Empty,
        request.id = id.to_str().unwrap_or_default(),
        http.response.status_code = field::Empty,
    );
    trace::adopt(&span, request.headers());
    let routed = Routed::default();
    let mut served = Served {
        method,
        routed: routed.clone(),
        span: span.clone(),
        begun,
        status: CLIENT_WENT_AWAY,
        _counted: metrics::http_begun(),
    };
    let cors = Cors::of(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(routed);
    let mut response = next.run(request).instrument(span).await;
    served.status = response.status().as_u16();
    drop(served);

    let latency = begun.elapsed();
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, id);
    if let Ok(runtime) = HeaderValue::from_str(&format!("{:.6}", latency.as_secs_f64())) {
        headers.insert(X_RUNTIME, runtime);
    }
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    cors.write(headers);
    response
}

/// The caller's own id if it is fit for a log, else sixteen random hexadecimal digits.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sane = |id: &&HeaderValue| {
        (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    if let Some(id) = headers.get(X_REQUEST_ID).filter(sane) {
        return id.clone();
    }
    // Without random numbers the request is still worth an answer.
    let random = getrandom::u64().unwrap_or_default();
    HeaderValue::from_str(&format!("{random:016x}")).unwrap_or(HeaderValue::from_static("0"))
}

/// Whether a browser asks on behalf of another site, and what it wants to know first.
struct Cors {
    foreign: bool,
    preflight: Option<HeaderValue>,
}

impl Cors {
    fn of(request: &Request) -> Self {
        let headers = request.headers();
        let asks = *request.method() == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let any = HeaderValue::from_static("*");
        let wanted = headers
            .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
            .cloned()
            .unwrap_or(any);
        Self {
            foreign: headers.contains_key(header::ORIGIN),
            preflight: asks.then_some(wanted),
        }
    }

    fn write(self, headers: &mut HeaderMap) {
        if !self.foreign {
            return;
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
        if let Some(wanted) = self.preflight {
            let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
        }
    }
}
