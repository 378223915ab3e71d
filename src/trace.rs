//! Which trace a request belongs to: what its caller says of that (`traceparent`, by the W3C), and what is said to who is
//! called for it.

use http::{HeaderMap, HeaderValue};
use tracing::Span;

/// The header that names the trace, and the one that goes with it.
const CONTEXT: [&str; 2] = ["traceparent", "tracestate"];

/// Lets a span that has not been entered belong to the trace that the caller named, if one was named.
pub fn adopt(span: &Span, headers: &HeaderMap) {
    if headers.contains_key(CONTEXT[0]) {
        open::adopt(span, headers);
    }
}

/// What to send along with a call that is made for a request: the present span, or where none is recorded what the request
/// itself came with.
pub fn along(request: &HeaderMap) -> Vec<(&'static str, HeaderValue)> {
    open::along(&Span::current()).unwrap_or_else(|| {
        CONTEXT
            .into_iter()
            .filter_map(|key| Some((key, request.get(key)?.clone())))
            .collect()
    })
}

#[cfg(feature = "otlp")]
mod open {
    use http::{HeaderMap, HeaderValue};
    use opentelemetry::{
        Context,
        propagation::{Extractor, Injector, TextMapPropagator as _},
        trace::TraceContextExt as _,
    };
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    struct Sent<'h>(&'h HeaderMap);

    impl Extractor for Sent<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(http::HeaderName::as_str).collect()
        }
    }

    #[derive(Default)]
    struct ToSend(Vec<(&'static str, HeaderValue)>);

    impl Injector for ToSend {
        fn set(&mut self, key: &str, value: String) {
            let known = super::CONTEXT.into_iter().find(|known| *known == key);
            if let (Some(key), false, Ok(value)) = (known, value.is_empty(), HeaderValue::from_str(&value)) {
                self.0.push((key, value));
            }
        }
    }

    pub fn adopt(span: &Span, headers: &HeaderMap) {
        let sent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Sent(headers));
        // Where no traces are sent there is nothing to set.
        let _ = span.set_parent(sent);
    }

    pub fn along(span: &Span) -> Option<Vec<(&'static str, HeaderValue)>> {
        let context = span.context();
        if !context.span().span_context().is_valid() {
            return None;
        }
        let mut to_send = ToSend::default();
        TraceContextPropagator::new().inject_context(&context, &mut to_send);
        Some(to_send.0)
    }
}

#[cfg(not(feature = "otlp"))]
mod open {
    use http::{HeaderMap, HeaderValue};
    use tracing::Span;

    pub fn adopt(_: &Span, _: &HeaderMap) {}

    pub fn along(_: &Span) -> Option<Vec<(&'static str, HeaderValue)>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_traces_are_sent_a_request_passes_on_what_it_came_with() {
        let mut request = HeaderMap::new();
        assert!(along(&request).is_empty());
        let parent = HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        request.insert("traceparent", parent.clone());
        request.insert("baggage", HeaderValue::from_static("secret=1"));
        adopt(&Span::none(), &request);
        assert_eq!(along(&request), [("traceparent", parent)]);
    }
}
