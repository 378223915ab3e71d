//! What a handler knows of its request.

use std::{sync::Arc, time::Duration};

use chrono::NaiveDate;
use http::{HeaderMap, HeaderValue, header};
use prost_types::Timestamp;
use tokio_util::sync::CancellationToken;
use tonic::{Request, metadata::MetadataValue, transport::Channel};

use super::{
    caller::Caller, client::Backend, error::Failure, input::Input, params::Params, route, route::Segments,
    time,
};
use crate::{
    pb::v1::{GroupRef, ProjectRef, group_ref, project_ref},
    trace,
};

/// One request, after routing, the check for a token and the decoding of the body.
pub(super) struct Call {
    /// Where the client found this server; every URL in an answer starts with it.
    pub base: String,
    /// The path as sent.
    pub path: String,
    /// The values of the path's placeholders.
    pub segments: Segments,
    /// Query and body.
    pub params: Params,
    /// The headers.
    pub headers: HeaderMap,
    /// Who calls.
    pub caller: Caller,
    /// Why the body of a webhook could not be read.
    pub unread: Option<Failure>,
    /// The id that ties log lines and answers together.
    pub request_id: HeaderValue,
    /// Completes a time of day in a parameter.
    pub today: NaiveDate,
    /// The server.
    pub backend: Arc<Backend>,
    /// Cancelled when the sidecar is to stop.
    pub stopping: CancellationToken,
}

impl Call {
    /// Starts to validate the parameters.
    pub(super) fn input(&self) -> Input<'_> {
        Input::new(&self.params, self.today)
    }

    /// The connection to send the gRPC call over.
    pub(super) fn channel(&self) -> Channel {
        self.backend.channel()
    }

    /// A gRPC request with everything that travels beside the message.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        self.waiting_request(message, Duration::ZERO)
    }

    /// The same for a call that asks the server to hold its answer back for up to `wait`.
    pub(super) fn waiting_request<T>(&self, message: T, wait: Duration) -> Request<T> {
        let mut request = self
            .backend
            .request(message, wait, &self.caller, &self.request_id);
        for (key, value) in trace::along(&self.headers) {
            if let Ok(value) = MetadataValue::try_from(value.as_bytes()) {
                request.metadata_mut().insert(key, value);
            }
        }
        request
    }

    /// The project of the path: an id, saturated to 64 bits, or anything else as a path. Whether there is
    /// such a project is for the server to say, after it has judged the token.
    pub(super) fn project(&self) -> ProjectRef {
        let by = match self.id() {
            Ok(id) => project_ref::By::Id(id),
            Err(path) => project_ref::By::Path(path.to_owned()),
        };
        ProjectRef { by: Some(by) }
    }

    /// The group of the path, in the same way.
    pub(super) fn group(&self) -> GroupRef {
        let by = match self.id() {
            Ok(id) => group_ref::By::Id(id),
            Err(path) => group_ref::By::Path(path.to_owned()),
        };
        GroupRef { by: Some(by) }
    }

    /// The first placeholder's value as an id, or else as it is.
    fn id(&self) -> Result<i64, &str> {
        let id = self.segments.get("id");
        match super::coerce::integer_text(id) {
            Some(number) if route::is_id(id) => Ok(number),
            _ => Err(id),
        }
    }

    /// The `If-Unmodified-Since` header; one that cannot be read counts as none (contract 3.7).
    pub(super) fn unmodified_since(&self) -> Option<Timestamp> {
        let value = self.headers.get(header::IF_UNMODIFIED_SINCE)?;
        time::parse_http(value.to_str().ok()?)
    }
}
