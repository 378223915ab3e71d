//! Probes, by the paths that GitLab has for them: whether the sidecar is there, and whether a request would be served.

use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode, header};
use serde_json::json;

use super::client::Backend;

/// The sidecar answers.
const LIVENESS: &str = "/-/liveness";
/// It answers, and a gRPC server behind it serves.
const READINESS: &str = "/-/readiness";

/// The answer to a probe, if it is one. Anyone may ask.
pub(super) async fn answer(backend: &Backend, method: &Method, path: &str) -> Option<Response> {
    if method != Method::GET && method != Method::HEAD {
        return None;
    }
    let well = match path {
        LIVENESS => true,
        READINESS => backend.is_ready().await,
        _ => return None,
    };
    let (status, word) = if well {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "failed")
    };
    let body = json!({ "status": word }).to_string();
    Some((status, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}
