//! The one table from refusals to HTTP: every failing status code and body of the sidecar is chosen here.
//!
//! A gRPC error is judged by its machine-readable reason, never by its text. The bodies are those of contract
//! 2, 3.1 to 3.6 and product decisions 3, 14, 17, 19 and 20.

use std::{error::Error as _, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt};

use crate::pb::v1::ErrorReason;

/// The `domain` of the `ErrorInfo` that every refusal of the server carries.
const DOMAIN: &str = "gatehouse.v1";
const INVALID_FORMAT: &str = "message body does not match declared format";

/// A refusal, ready to be answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    status: StatusCode,
    /// JSON.
    body: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log: what the caller is not told.
    cause: Option<String>,
}

impl Failure {
    fn new(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            body: body.to_string(),
            headers: Vec::new(),
            cause: None,
        }
    }

    fn message(status: StatusCode, message: impl Into<Value>) -> Self {
        Self::new(status, &json!({ "message": message.into() }))
    }

    fn error(status: StatusCode, error: impl Into<Value>) -> Self {
        Self::new(status, &json!({ "error": error.into() }))
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// No such path, or not with this method.
    pub(super) fn no_route() -> Self {
        Self::error(StatusCode::NOT_FOUND, "404 Not Found")
    }

    /// A path of the API before this one.
    pub(super) fn old_api() -> Self {
        Self::error(
            StatusCode::GONE,
            "API V3 is no longer supported. Use API V4 instead.",
        )
    }

    /// No token, or one that cannot be a token.
    pub(super) fn unauthorized() -> Self {
        Self::message(StatusCode::UNAUTHORIZED, "401 Unauthorized")
    }

    /// The body is larger than the sidecar reads.
    pub(super) fn body_too_large() -> Self {
        Self::message(StatusCode::PAYLOAD_TOO_LARGE, "413 Request Entity Too Large")
    }

    /// The body is of a type that is not read.
    pub(super) fn unsupported_type(media_type: &str) -> Self {
        let text = format!("The provided content-type '{media_type}' is not supported.");
        Self::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
    }

    /// The body is not what its type says.
    pub(super) fn malformed_body(media_type: &str) -> Self {
        let text = format!(
            "\nProblem:\n  {INVALID_FORMAT}\nResolution:\n  when specifying {media_type} as content-type, you must \
             pass valid {media_type} in the request's 'body' "
        );
        Self::error(StatusCode::BAD_REQUEST, text)
    }

    /// Parameters that failed validation, each as `<name> <text>`.
    pub(super) fn invalid_parameters(errors: &[String]) -> Self {
        Self::error(StatusCode::BAD_REQUEST, errors.join(", "))
    }

    /// A request that is well formed and still makes no sense.
    pub(super) fn bad_request(reason: &str) -> Self {
        Self::message(StatusCode::BAD_REQUEST, format!("400 Bad request - {reason}"))
    }

    /// The user to act as does not exist.
    pub(super) fn sudo_user_not_found(user: &str) -> Self {
        Self::message(
            StatusCode::NOT_FOUND,
            format!("404 User with ID or username '{user}' Not Found"),
        )
    }

    /// A defect.
    pub(super) fn internal(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::defect()
        }
    }

    /// What to tell the log, if this is worth a line there.
    pub(super) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    fn defect() -> Self {
        Self::message(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error")
    }

    fn forbidden() -> Self {
        Self::message(StatusCode::FORBIDDEN, "403 Forbidden")
    }

    fn forbidden_because(reason: &str) -> Self {
        Self::message(StatusCode::FORBIDDEN, format!("403 Forbidden - {reason}"))
    }

    fn not_found() -> Self {
        Self::message(StatusCode::NOT_FOUND, "404 Not found")
    }

    pub(super) fn unavailable() -> Self {
        Self::message(StatusCode::SERVICE_UNAVAILABLE, "503 Service Unavailable")
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    fn overloaded(status: &Status) -> Self {
        let delay = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay)
            .unwrap_or_default();
        let text = "This endpoint has been requested too many times. Try again later.";
        Self::message(StatusCode::TOO_MANY_REQUESTS, json!({ "error": text }))
            .with_header(header::RETRY_AFTER, HeaderValue::from(whole_seconds(delay)))
    }

    fn locked() -> Self {
        Self::message(StatusCode::CONFLICT, "409 Conflict: Resource lock")
    }

    fn unusable_token(description: &str, challenge: &'static str) -> Self {
        let body = json!({ "error": "invalid_token", "error_description": description });
        Self::new(StatusCode::UNAUTHORIZED, &body)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    fn expired_token() -> Self {
        Self::unusable_token(
            "Token is expired. You can either do re-authorization or token refresh.",
            "Bearer realm=\"Protected by OAuth 2.0\", error=\"invalid_token\", error_description=\"Token is \
             expired. You can either do re-authorization or token refresh.\"",
        )
    }

    fn revoked_token() -> Self {
        Self::unusable_token(
            "Token was revoked. You have to re-authorize from the user.",
            "Bearer realm=\"Protected by OAuth 2.0\", error=\"invalid_token\", error_description=\"Token was \
             revoked. You have to re-authorize from the user.\"",
        )
    }

    fn insufficient_scope() -> Self {
        let body = json!({
            "error": "insufficient_scope",
            "error_description": "The request requires higher privileges than provided by the access token.",
            // All scopes that the endpoints know, whatever the method needs (contract 3.1).
            "scope": "api read_api",
        });
        Self::new(StatusCode::FORBIDDEN, &body)
    }

    /// As for any call, but a wrong `before` is told as the reference does (contract 2.9).
    pub(super) fn of_stop_stale(status: &Status) -> Self {
        let before = violations(status)
            .iter()
            .any(|violation| violation.field == "before");
        match reason(status) {
            Some(ErrorReason::InvalidArgument) if before => Self::bad_request("Invalid Date"),
            _ => status.into(),
        }
    }

    /// As for any call, but missing rights are told as a missing token (contract 2.9).
    pub(super) fn of_review_apps(status: &Status) -> Self {
        match reason(status) {
            Some(ErrorReason::PermissionDenied | ErrorReason::ProjectArchived) => Self::unauthorized(),
            _ => status.into(),
        }
    }

    /// As for any call, but a name that is taken is told as the environment that is protected (decision 20).
    pub(super) fn of_protect(status: &Status, name: &str) -> Self {
        match reason(status) {
            Some(ErrorReason::AlreadyExists) => Self::message(
                StatusCode::CONFLICT,
                format!("Protected environment '{name}' already exists"),
            ),
            _ => status.into(),
        }
    }

    /// As for any call, but a protection is named, and who can help (contract 2.9).
    pub(super) fn of_environment_update(status: &Status) -> Self {
        match reason(status) {
            Some(ErrorReason::EnvironmentProtected) => Self::forbidden_because(&format!(
                "You do not have permission to modify the protected environment '{}'. This endpoint enforces Protected \
                 Environment access policies.\nTo resolve this, ask a project Maintainer or Owner to grant you access \
                 under Settings > CI/CD > Protected environments, or use an account with the required permissions.",
                metadata(status, "environment")
            )),
            _ => status.into(),
        }
    }

    /// Whether the project has no such deployment.
    pub(super) fn is_missing_deployment(status: &Status) -> bool {
        reason(status) == Some(ErrorReason::DeploymentNotFound)
    }

    fn by_reason(reason: ErrorReason, status: &Status) -> Self {
        match reason {
            // Without violations the message is all there is to tell.
            ErrorReason::InvalidArgument | ErrorReason::InvalidResource | ErrorReason::AlreadyExists
                if violations(status).is_empty() =>
            {
                Self::bad_request(status.message())
            }
            ErrorReason::InvalidArgument => Self::invalid_parameters(&parameter_errors(status)),
            ErrorReason::InvalidProtection => {
                Self::message(StatusCode::UNPROCESSABLE_ENTITY, sentences(status))
            }
            ErrorReason::InvalidApproval => Self::message(StatusCode::BAD_REQUEST, sentences(status)),
            ErrorReason::InvalidPageToken => Self::error(StatusCode::BAD_REQUEST, "cursor is invalid"),
            ErrorReason::InvalidResource | ErrorReason::AlreadyExists => {
                Self::message(StatusCode::BAD_REQUEST, resource_errors(status))
            }
            ErrorReason::TokenMissing | ErrorReason::TokenInvalid => Self::unauthorized(),
            ErrorReason::TokenExpired => Self::expired_token(),
            ErrorReason::TokenRevoked => Self::revoked_token(),
            ErrorReason::InsufficientScope => Self::insufficient_scope(),
            ErrorReason::UserBlocked => Self::forbidden_because("Your account has been blocked."),
            ErrorReason::SudoNotAdmin => Self::forbidden_because("Must be admin to use sudo"),
            ErrorReason::SudoUserNotFound => Self::sudo_user_not_found(&metadata(status, "user")),
            ErrorReason::PermissionDenied
            | ErrorReason::ProjectArchived
            | ErrorReason::EnvironmentProtected
            | ErrorReason::EnvironmentNotStopped => Self::forbidden(),
            ErrorReason::ProjectNotFound => Self::message(StatusCode::NOT_FOUND, "404 Project Not Found"),
            ErrorReason::GroupNotFound => Self::message(StatusCode::NOT_FOUND, "404 Group Not Found"),
            ErrorReason::UserNotFound
            | ErrorReason::EnvironmentNotFound
            | ErrorReason::DeploymentNotFound
            | ErrorReason::MembershipNotFound
            | ErrorReason::GroupShareNotFound
            | ErrorReason::TokenNotFound
            | ErrorReason::ProtectedEnvironmentNotFound
            | ErrorReason::JobNotFound
            | ErrorReason::MergeRequestNotFound
            | ErrorReason::RepositoryNotFound => Self::not_found(),
            ErrorReason::JobTokenNotAllowed => Self::forbidden_because(&format!(
                "Authentication by CI/CD job token not allowed from {} to project #{}.",
                metadata(status, "source"),
                metadata(status, "project_id")
            )),
            ErrorReason::DeploymentHasJob => Self::forbidden_because(
                "Deployments created using GitLab CI can not be updated using the API",
            ),
            ErrorReason::EnvironmentNotProtected => {
                Self::message(StatusCode::BAD_REQUEST, "This environment is not protected.")
            }
            ErrorReason::SelfApproval => Self::message(
                StatusCode::BAD_REQUEST,
                "You cannot approve your own deployment. This configuration can be adjusted in the protected \
                 environment settings.",
            ),
            ErrorReason::ApprovalsNotConfigured => Self::message(
                StatusCode::BAD_REQUEST,
                "Deployment approvals is not configured for this environment.",
            ),
            ErrorReason::NotWaitingForApprovals => Self::message(
                StatusCode::BAD_REQUEST,
                "This deployment is not waiting for approvals.",
            ),
            ErrorReason::ApprovalNotPermitted => Self::message(
                StatusCode::BAD_REQUEST,
                "You don't have permission to approve this deployment. Contact the project or group owner for help.",
            ),
            ErrorReason::NoRuleRepresented => Self::message(
                StatusCode::BAD_REQUEST,
                "There are no approval rules for the given `represent_as` parameter. Use a valid User/Group/Role \
                 name instead.",
            ),
            ErrorReason::InvalidTransition => {
                let text = format!("cannot transition via \"{}\"", metadata(status, "event"));
                Self::message(StatusCode::BAD_REQUEST, json!({ "status": [text] }))
            }
            ErrorReason::DeploymentRunning => {
                Self::message(StatusCode::BAD_REQUEST, "400 Cannot destroy running deployment")
            }
            ErrorReason::DeploymentIsLast => Self::message(
                StatusCode::BAD_REQUEST,
                "400 Deployment currently deployed to environment",
            ),
            ErrorReason::EnvironmentStopRefused => {
                Self::bad_request("Attempted to stop the environment but failed to change the status")
            }
            ErrorReason::GroupNotEmpty
            | ErrorReason::LastAdministrator
            | ErrorReason::RequestIdReused
            | ErrorReason::InvalidResumeToken
            | ErrorReason::JobNotRunning
            | ErrorReason::OutdatedDeploymentJob
            | ErrorReason::WaitUnmet => Self::bad_request(status.message()),
            ErrorReason::ModifiedSince => {
                Self::message(StatusCode::PRECONDITION_FAILED, "412 Precondition Failed")
            }
            ErrorReason::EtagMismatch | ErrorReason::Conflict => Self::locked(),
            ErrorReason::Overloaded => Self::overloaded(status),
            ErrorReason::StoreUnavailable
            | ErrorReason::OutcomeUnknown
            | ErrorReason::DeadlineExceeded
            | ErrorReason::RepositoryUnavailable
            | ErrorReason::WaitTimedOut => Self::unavailable(),
            ErrorReason::Internal | ErrorReason::Unspecified => Self::defect(),
        }
    }

    /// For what did not come from the server's own code: the connection, the deadline, a proxy between.
    fn by_code(status: &Status) -> Self {
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Self::unavailable(),
            Code::ResourceExhausted => Self::overloaded(status),
            // Only a status made on this side has a source: the transport broke, whatever the code says.
            _ if status.source().is_some() => Self::unavailable(),
            _ => Self::defect(),
        }
    }
}

impl From<&Status> for Failure {
    fn from(status: &Status) -> Self {
        let failure =
            reason(status).map_or_else(|| Self::by_code(status), |reason| Self::by_reason(reason, status));
        let cause = failure.status.is_server_error().then(|| causes(status));
        Self { cause, ..failure }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::from(&status)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.headers);
        response
    }
}

fn reason(status: &Status) -> Option<ErrorReason> {
    let info = status.get_details_error_info()?;
    if info.domain != DOMAIN {
        return None;
    }
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))
}

/// What went wrong and what led to it, outermost first.
fn causes(status: &Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    let mut source = status.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn metadata(status: &Status, key: &str) -> String {
    status
        .get_details_error_info()
        .and_then(|mut info| info.metadata.remove(key))
        .unwrap_or_default()
}

fn violations(status: &Status) -> Vec<FieldViolation> {
    status
        .get_details_bad_request()
        .map(|details| details.field_violations)
        .unwrap_or_default()
}

fn parameter_errors(status: &Status) -> Vec<String> {
    violations(status)
        .into_iter()
        .map(|violation| format!("{} {}", violation.field, violation.description))
        .collect()
}

/// `{"<field>": ["<text>", ...]}`, where a field is named by the last segment of its path.
fn resource_errors(status: &Status) -> Value {
    let mut fields: IndexMap<String, Vec<String>> = IndexMap::new();
    for violation in violations(status) {
        let field = violation.field.rsplit('.').next().unwrap_or_default().to_owned();
        fields.entry(field).or_default().push(violation.description);
    }
    fields
        .into_iter()
        .map(|(field, texts)| (field, json!(texts)))
        .collect::<Map<_, _>>()
        .into()
}

/// `["<Sentence>", ...]`: an entry is told by its place (`approval_rules[1]: ...`), a field by its name in words
/// (decision 21).
fn sentences(status: &Status) -> Value {
    violations(status)
        .into_iter()
        .map(|violation| {
            if violation.field.contains('[') {
                return format!("{}: {}", violation.field, violation.description);
            }
            let words = violation.field.replace('_', " ");
            let mut letters = words.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            let name: String = first.into_iter().chain(letters).collect();
            format!("{name} {}", violation.description)
        })
        .collect()
}

/// Clients read `Retry-After` as an integer, and zero would make them spin.
fn whole_seconds(delay: Duration) -> u64 {
    let rounded_up = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    rounded_up.max(1)
}

#[cfg(test)]
mod tests;
