//! What every answer has, whoever made it: ids, timing, CORS, the log line (contract 3.7).

use std::time::Instant;

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tracing::{Instrument, Span, field};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_RUNTIME: HeaderName = HeaderName::from_static("x-runtime");
const MAX_REQUEST_ID: usize = 128;
const EXPOSED: &str = "Link, X-Total, X-Total-Pages, X-Per-Page, X-Page, X-Next-Page, X-Prev-Page, X-Next-Cursor, \
                       X-Request-Id, X-Runtime, Retry-After";

/// The id that ties the lines of a log to an answer.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub HeaderValue);

/// Names the path in the log by its pattern: the path itself is the client's, and its query may hold a token.
pub(super) fn record_route(pattern: &'static str) {
    Span::current().record("route", pattern);
}

/// Runs the request in a span of its own and completes the answer's headers.
pub(super) async fn around(mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = request_id(request.headers());
    let span = tracing::info_span!(
        "rest",
        method = %request.method(),
        route = field::Empty,
        request_id = id.to_str().unwrap_or_default(),
        status = field::Empty,
        latency_us = field::Empty,
    );
    let cors = Cors::of(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).instrument(span.clone()).await;

    let latency = start.elapsed();
    span.record("status", response.status().as_u16());
    span.record(
        "latency_us",
        u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
    );
    span.in_scope(|| tracing::debug!("answered"));

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
