//! Successful answers.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;

use super::{error::Failure, route::Answer};

/// The value as compact JSON.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let body = serde_json::to_vec(value).map_err(|error| Failure::internal(error.to_string()))?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// `{"message": ...}`.
pub(super) fn message(status: StatusCode, text: &str) -> Answer {
    json(status, &json!({ "message": text }))
}

/// 204, without a body and without a type for it.
pub(super) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The field that a complete answer of the server always has.
pub(super) fn complete<T>(field: Option<T>) -> Result<T, Failure> {
    field.ok_or_else(|| Failure::internal("the server's answer lacks its main field"))
}
