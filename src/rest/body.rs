//! Reads request bodies in every encoding that clients use (contract 3.2).

use std::{convert::Infallible, time::Duration};

use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{
    error::Failure,
    params::{Params, Value},
};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

/// What a client may make us do for one body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The most bytes that are read.
    pub bytes: usize,
    /// The longest wait for the last of them.
    pub time: Duration,
}

/// The parameters in the body. What GET and HEAD send along is not read, whatever it is.
pub(super) async fn read(
    method: &Method,
    headers: &HeaderMap,
    body: Body,
    limits: Limits,
) -> Result<Params, Failure> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(Params::default());
    }
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let media_type = media_type(content_type);
    let bytes = collect(body, limits, &media_type).await?;
    decode(content_type, &media_type, bytes).await
}

/// The type without its parameters; JSON if nothing is said.
fn media_type(content_type: &str) -> String {
    let media_type = content_type
        .split([';', ','])
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if media_type.is_empty() {
        JSON.to_owned()
    } else {
        media_type
    }
}

async fn collect(body: Body, limits: Limits, media_type: &str) -> Result<Bytes, Failure> {
    let whole = Limited::new(body, limits.bytes).collect();
    match tokio::time::timeout(limits.time, whole).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::body_too_large()),
        // Broken off, or never finished: either way not what was announced.
        Ok(Err(_)) | Err(_) => Err(Failure::malformed_body(media_type)),
    }
}

async fn decode(content_type: &str, media_type: &str, bytes: Bytes) -> Result<Params, Failure> {
    if bytes.is_empty() {
        return Ok(Params::default());
    }
    match media_type {
        JSON => json(&bytes).ok_or_else(|| Failure::malformed_body(media_type)),
        FORM => Ok(Params::from_form(&bytes)),
        MULTIPART => multipart(content_type, bytes)
            .await
            .map_err(|_| Failure::malformed_body(media_type)),
        other => Err(Failure::unsupported_type(other)),
    }
}

/// An array or a bare value has no parameters. `None` is not JSON, or JSON nested too deep to be meant.
fn json(bytes: &[u8]) -> Option<Params> {
    match serde_json::from_slice(bytes).ok()? {
        serde_json::Value::Object(members) => Some(members.into()),
        _ => Some(Params::default()),
    }
}

async fn multipart(content_type: &str, bytes: Bytes) -> multer::Result<Params> {
    let boundary = multer::parse_boundary(content_type)?;
    let whole = tokio_stream::once(Ok::<_, Infallible>(bytes));
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut params = Params::default();
    while let Some(part) = parts.next_field().await? {
        let Some(name) = part.name().map(str::to_owned) else {
            continue;
        };
        // No parameter is a file.
        let is_file = part.file_name().is_some();
        let bytes = part.bytes().await?;
        params.add(
            &name,
            if is_file {
                Value::Garbled
            } else {
                Value::text(bytes.to_vec())
            },
        );
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const LIMITS: Limits = Limits {
        bytes: 64 * 1024,
        time: Duration::from_secs(10),
    };

    async fn sent(content_type: &'static str, body: &'static str) -> Result<Params, Failure> {
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
        read(
            &Method::POST,
            &headers.into_iter().collect(),
            Body::from(body),
            LIMITS,
        )
        .await
    }

    #[tokio::test]
    async fn one_parameter_is_the_same_in_every_encoding() {
        let multipart = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb c\r\n--x--\r\n";
        for (content_type, body) in [
            ("application/json", r#"{"a":"b c"}"#),
            ("Application/JSON; charset=utf-8", r#"{"a":"b c"}"#),
            ("", r#"{"a":"b c"}"#),
            ("application/x-www-form-urlencoded", "a=b+c"),
            ("application/x-www-form-urlencoded; charset=UTF-8", "a=x&a=b%20c"),
            ("multipart/form-data; boundary=x", multipart),
        ] {
            let params = sent(content_type, body).await.unwrap();
            assert_eq!(params.text("a").as_deref(), Some("b c"), "{content_type}");
        }
    }

    #[tokio::test]
    async fn an_empty_body_is_fine_with_any_type() {
        for content_type in ["application/json", "text/xml", "multipart/form-data", ""] {
            assert_eq!(
                sent(content_type, "").await,
                Ok(Params::default()),
                "{content_type}"
            );
        }
    }

    #[tokio::test]
    async fn json_that_is_no_object_has_no_parameters() {
        for body in ["[1]", "7", "null", "\"a\""] {
            assert_eq!(
                sent("application/json", body).await,
                Ok(Params::default()),
                "{body}"
            );
        }
    }

    #[tokio::test]
    async fn a_body_that_is_not_what_it_says_is_refused() {
        let malformed = Failure::malformed_body;
        for (content_type, body, expected) in [
            ("application/json", "{", malformed("application/json")),
            (
                "application/json",
                "{\"a\":\"\\ud800\"}",
                malformed("application/json"),
            ),
            ("multipart/form-data", "x", malformed("multipart/form-data")),
            (
                "multipart/form-data; boundary=x",
                "--x\r\nfoo",
                malformed("multipart/form-data"),
            ),
            (
                "text/xml; charset=utf-8",
                "<a/>",
                Failure::unsupported_type("text/xml"),
            ),
            (
                "application/vnd.api+json",
                "{}",
                Failure::unsupported_type("application/vnd.api+json"),
            ),
        ] {
            assert_eq!(
                sent(content_type, body).await,
                Err(expected),
                "{content_type} {body}"
            );
        }
    }

    #[tokio::test]
    async fn json_nested_without_end_is_refused() {
        let body = Body::from("[".repeat(50_000));
        let result = read(&Method::POST, &HeaderMap::new(), body, LIMITS).await;
        assert_eq!(result, Err(Failure::malformed_body("application/json")));
    }

    #[tokio::test]
    async fn a_large_body_is_refused_and_the_body_of_a_get_is_not_read() {
        let large = || Body::from(vec![b'x'; 65 * 1024]);
        let none = HeaderMap::new();
        let refused = read(&Method::DELETE, &none, large(), LIMITS).await;
        assert_eq!(refused, Err(Failure::body_too_large()));
        assert_eq!(
            read(&Method::GET, &none, large(), LIMITS).await,
            Ok(Params::default())
        );
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up_on() {
        let endless = Body::from_stream(tokio_stream::pending::<Result<Bytes, Infallible>>());
        let limits = Limits {
            time: Duration::from_millis(10),
            ..LIMITS
        };
        let result = read(&Method::POST, &HeaderMap::new(), endless, limits).await;
        assert_eq!(result, Err(Failure::malformed_body("application/json")));
    }
}
