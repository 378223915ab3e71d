//! The one table from our errors to gRPC statuses, and the one place that makes a `tonic::Status`.

use std::{collections::HashMap, error::Error as _, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt as _};

use super::request::current_id;
use crate::domain::error::{Error, Kind, Reason};

/// The domain of every ErrorInfo.
pub const DOMAIN: &str = "gatehouse.v1";
/// When a retry is worth it.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The gRPC code for a kind of refusal.
fn code(kind: Kind) -> Code {
    match kind {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Forbidden => Code::PermissionDenied,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::Precondition => Code::FailedPrecondition,
        Kind::Conflict => Code::Aborted,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::Deadline => Code::DeadlineExceeded,
        Kind::Internal => Code::Internal,
    }
}

/// What kind of thing a missing one is, for ResourceInfo.
fn resource(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::ProjectNotFound => Some("gatehouse.v1.Project"),
        Reason::GroupNotFound => Some("gatehouse.v1.Group"),
        Reason::UserNotFound | Reason::SudoUserNotFound => Some("gatehouse.v1.User"),
        Reason::EnvironmentNotFound => Some("gatehouse.v1.Environment"),
        Reason::DeploymentNotFound => Some("gatehouse.v1.Deployment"),
        Reason::MembershipNotFound => Some("gatehouse.v1.Membership"),
        Reason::GroupShareNotFound => Some("gatehouse.v1.GroupShare"),
        Reason::TokenNotFound => Some("gatehouse.v1.Token"),
        Reason::ProtectedEnvironmentNotFound => Some("gatehouse.v1.ProtectedEnvironment"),
        _ => None,
    }
}

/// The status for an error, with its details.
fn status(error: &Error) -> Status {
    let reason = error.reason();
    let kind = reason.kind();
    let message = error.to_string();
    let mut metadata: HashMap<String, String> = error
        .metadata()
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    if kind == Kind::Internal
        && let Some(id) = current_id()
    {
        metadata.insert("request_id".to_owned(), id);
    }
    let mut details = ErrorDetails::with_error_info(reason.name(), DOMAIN, metadata);
    if !error.violations().is_empty() {
        let violations = error
            .violations()
            .iter()
            .map(|v| FieldViolation::new(v.field.clone(), v.description.clone()));
        details.set_bad_request(violations.collect::<Vec<_>>());
    }
    if let Some(resource) = resource(reason) {
        details.set_resource_info(resource, "", "", message.clone());
    }
    if kind == Kind::Precondition {
        let obstacles = error
            .obstacles()
            .iter()
            .map(|o| PreconditionViolation::new(o.kind, o.subject.clone(), o.description.clone()));
        let mut violations: Vec<_> = obstacles.collect();
        if violations.is_empty() {
            violations.push(PreconditionViolation::new(reason.name(), "", message.clone()));
        }
        details.set_precondition_failure(violations);
    }
    if matches!(kind, Kind::Conflict | Kind::Exhausted | Kind::Unavailable) {
        details.set_retry_info(Some(RETRY_AFTER));
    }
    Status::with_error_details(code(kind), message, details)
}

/// Ends what is open when the server stops: nothing went wrong, and another server, or this one later, can go on.
pub fn stopping() -> Status {
    tracing::debug!("ended, because the server stops");
    status(&Error::new(Reason::StoreUnavailable, "the server is stopping"))
}

/// Answers an error, and tells the log what the caller is not told. Here a call ends, so here it is logged, once.
#[expect(
    clippy::needless_pass_by_value,
    reason = "an error ends here; and so it can be given to map_err"
)]
pub fn refuse(error: Error) -> Status {
    match error.reason().kind() {
        // That a wait ends without what was waited for is an ordinary answer.
        _ if error.reason() == Reason::WaitTimedOut => tracing::debug!("{error}"),
        Kind::Internal | Kind::Unavailable | Kind::Deadline => {
            tracing::error!(reason = error.reason().name(), causes = causes(&error), "{error}");
        }
        _ => tracing::debug!(reason = error.reason().name(), "{error}"),
    }
    status(&error)
}

/// What led to an error, outermost first.
fn causes(error: &Error) -> String {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(source) = cause {
        texts.push(source.to_string());
        cause = source.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::v1::ErrorReason;

    #[test]
    fn the_contract_and_the_domain_name_the_same_reasons() {
        let ours: Vec<String> = Reason::ALL
            .iter()
            .map(|reason| format!("ERROR_REASON_{}", reason.name()))
            .collect();
        let contract: Vec<String> = (1..=200)
            .filter_map(|number| ErrorReason::try_from(number).ok())
            .map(|reason| reason.as_str_name().to_owned())
            .collect();
        let mut sorted = (ours.clone(), contract.clone());
        sorted.0.sort();
        sorted.1.sort();
        assert_eq!(sorted.0, sorted.1);
    }

    #[test]
    fn an_error_carries_its_reason_fields_and_metadata_but_never_its_source() {
        let error = Error::argument("sha", "is invalid")
            .and(Error::argument("ref", "is empty"))
            .with("k", "v");
        let status = status(&error);
        assert_eq!(status.code(), Code::InvalidArgument);
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("INVALID_ARGUMENT", DOMAIN)
        );
        assert_eq!(info.metadata.get("k").map(String::as_str), Some("v"));
        let fields = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(
            fields.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(),
            ["sha", "ref"]
        );

        let secret = Error::caused(Reason::Internal, "internal error", "password=hunter2");
        let status = super::status(&secret);
        assert!(!format!("{status:?}").contains("hunter2"));
        assert_eq!(status.message(), "internal error");
    }
}
