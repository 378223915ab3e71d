use std::collections::HashMap;

use tonic_types::ErrorDetails;

use super::*;

fn refused(code: Code, reason: &str, fields: &[(&str, &str)]) -> Status {
    let metadata = [
        ("event", "run"),
        ("user", "joe"),
        ("scopes", "api"),
        ("environment", "qa"),
        ("source", "acme/web"),
        ("project_id", "7"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::from(metadata));
    for (field, description) in fields {
        details.add_bad_request_violation(*field, *description);
    }
    details.set_retry_info(Some(Duration::from_millis(1200)));
    Status::with_error_details(code, "some text", details)
}

fn shown(failure: &Failure) -> (u16, String) {
    (failure.status.as_u16(), failure.body.clone())
}

#[test]
fn every_reason_has_its_answer() {
    let table = [
        (
            ErrorReason::Unspecified,
            500,
            r#"{"message":"500 Internal Server Error"}"#,
        ),
        (
            ErrorReason::InvalidArgument,
            400,
            r#"{"error":"sha is invalid, a.ref is bad, sha is long"}"#,
        ),
        (
            ErrorReason::InvalidResource,
            400,
            r#"{"message":{"sha":["is invalid","is long"],"ref":["is bad"]}}"#,
        ),
        (
            ErrorReason::InvalidPageToken,
            400,
            r#"{"error":"cursor is invalid"}"#,
        ),
        (
            ErrorReason::InvalidResumeToken,
            400,
            r#"{"message":"400 Bad request - some text"}"#,
        ),
        (
            ErrorReason::InvalidProtection,
            422,
            r#"{"message":["Sha is invalid","A.ref is bad","Sha is long"]}"#,
        ),
        (
            ErrorReason::InvalidApproval,
            400,
            r#"{"message":["Sha is invalid","A.ref is bad","Sha is long"]}"#,
        ),
        (
            ErrorReason::TokenMissing,
            401,
            r#"{"message":"401 Unauthorized"}"#,
        ),
        (
            ErrorReason::TokenInvalid,
            401,
            r#"{"message":"401 Unauthorized"}"#,
        ),
        (
            ErrorReason::TokenExpired,
            401,
            r#"{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}"#,
        ),
        (
            ErrorReason::TokenRevoked,
            401,
            r#"{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}"#,
        ),
        (
            ErrorReason::InsufficientScope,
            403,
            r#"{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api read_api"}"#,
        ),
        (
            ErrorReason::UserBlocked,
            403,
            r#"{"message":"403 Forbidden - Your account has been blocked."}"#,
        ),
        (
            ErrorReason::SudoNotAdmin,
            403,
            r#"{"message":"403 Forbidden - Must be admin to use sudo"}"#,
        ),
        (
            ErrorReason::SudoUserNotFound,
            404,
            r#"{"message":"404 User with ID or username 'joe' Not Found"}"#,
        ),
        (
            ErrorReason::PermissionDenied,
            403,
            r#"{"message":"403 Forbidden"}"#,
        ),
        (
            ErrorReason::ProjectArchived,
            403,
            r#"{"message":"403 Forbidden"}"#,
        ),
        (
            ErrorReason::EnvironmentProtected,
            403,
            r#"{"message":"403 Forbidden"}"#,
        ),
        (
            ErrorReason::SelfApproval,
            400,
            r#"{"message":"You cannot approve your own deployment. This configuration can be adjusted in the protected environment settings."}"#,
        ),
        (
            ErrorReason::ApprovalNotPermitted,
            400,
            r#"{"message":"You don't have permission to approve this deployment. Contact the project or group owner for help."}"#,
        ),
        (
            ErrorReason::JobTokenNotAllowed,
            403,
            r#"{"message":"403 Forbidden - Authentication by CI/CD job token not allowed from acme/web to project #7."}"#,
        ),
        (
            ErrorReason::ProjectNotFound,
            404,
            r#"{"message":"404 Project Not Found"}"#,
        ),
        (
            ErrorReason::GroupNotFound,
            404,
            r#"{"message":"404 Group Not Found"}"#,
        ),
        (ErrorReason::UserNotFound, 404, r#"{"message":"404 Not found"}"#),
        (
            ErrorReason::EnvironmentNotFound,
            404,
            r#"{"message":"404 Not found"}"#,
        ),
        (
            ErrorReason::DeploymentNotFound,
            404,
            r#"{"message":"404 Not found"}"#,
        ),
        (
            ErrorReason::MembershipNotFound,
            404,
            r#"{"message":"404 Not found"}"#,
        ),
        (
            ErrorReason::GroupShareNotFound,
            404,
            r#"{"message":"404 Not found"}"#,
        ),
        (ErrorReason::TokenNotFound, 404, r#"{"message":"404 Not found"}"#),
        (
            ErrorReason::ProtectedEnvironmentNotFound,
            404,
            r#"{"message":"404 Not found"}"#,
        ),
        (ErrorReason::JobNotFound, 404, r#"{"message":"404 Not found"}"#),
        (
            ErrorReason::AlreadyExists,
            400,
            r#"{"message":{"sha":["is invalid","is long"],"ref":["is bad"]}}"#,
        ),
        (
            ErrorReason::MergeRequestNotFound,
            404,
            r#"{"message":"404 Not found"}"#,
        ),
        (
            ErrorReason::RepositoryNotFound,
            404,
            r#"{"message":"404 Not found"}"#,
        ),
        (
            ErrorReason::InvalidTransition,
            400,
            r#"{"message":{"status":["cannot transition via \"run\""]}}"#,
        ),
        (
            ErrorReason::DeploymentRunning,
            400,
            r#"{"message":"400 Cannot destroy running deployment"}"#,
        ),
        (
            ErrorReason::DeploymentIsLast,
            400,
            r#"{"message":"400 Deployment currently deployed to environment"}"#,
        ),
        (
            ErrorReason::EnvironmentNotStopped,
            403,
            r#"{"message":"403 Forbidden"}"#,
        ),
        (
            ErrorReason::EnvironmentStopRefused,
            400,
            r#"{"message":"400 Bad request - Attempted to stop the environment but failed to change the status"}"#,
        ),
        (
            ErrorReason::GroupNotEmpty,
            400,
            r#"{"message":"400 Bad request - some text"}"#,
        ),
        (
            ErrorReason::LastAdministrator,
            400,
            r#"{"message":"400 Bad request - some text"}"#,
        ),
        (
            ErrorReason::ModifiedSince,
            412,
            r#"{"message":"412 Precondition Failed"}"#,
        ),
        (
            ErrorReason::EtagMismatch,
            409,
            r#"{"message":"409 Conflict: Resource lock"}"#,
        ),
        (
            ErrorReason::RequestIdReused,
            400,
            r#"{"message":"400 Bad request - some text"}"#,
        ),
        (
            ErrorReason::Conflict,
            409,
            r#"{"message":"409 Conflict: Resource lock"}"#,
        ),
        (
            ErrorReason::Overloaded,
            429,
            r#"{"message":{"error":"This endpoint has been requested too many times. Try again later."}}"#,
        ),
        (
            ErrorReason::StoreUnavailable,
            503,
            r#"{"message":"503 Service Unavailable"}"#,
        ),
        (
            ErrorReason::OutcomeUnknown,
            503,
            r#"{"message":"503 Service Unavailable"}"#,
        ),
        (
            ErrorReason::Internal,
            500,
            r#"{"message":"500 Internal Server Error"}"#,
        ),
        (
            ErrorReason::DeadlineExceeded,
            503,
            r#"{"message":"503 Service Unavailable"}"#,
        ),
        (
            ErrorReason::RepositoryUnavailable,
            503,
            r#"{"message":"503 Service Unavailable"}"#,
        ),
        (
            ErrorReason::EnvironmentNotProtected,
            400,
            r#"{"message":"This environment is not protected."}"#,
        ),
        (
            ErrorReason::ApprovalsNotConfigured,
            400,
            r#"{"message":"Deployment approvals is not configured for this environment."}"#,
        ),
        (
            ErrorReason::NotWaitingForApprovals,
            400,
            r#"{"message":"This deployment is not waiting for approvals."}"#,
        ),
        (
            ErrorReason::NoRuleRepresented,
            400,
            r#"{"message":"There are no approval rules for the given `represent_as` parameter. Use a valid User/Group/Role name instead."}"#,
        ),
        (
            ErrorReason::WaitUnmet,
            400,
            r#"{"message":"400 Bad request - some text"}"#,
        ),
        (
            ErrorReason::WaitTimedOut,
            503,
            r#"{"message":"503 Service Unavailable"}"#,
        ),
        (
            ErrorReason::DeploymentHasJob,
            403,
            r#"{"message":"403 Forbidden - Deployments created using GitLab CI can not be updated using the API"}"#,
        ),
        (
            ErrorReason::JobNotRunning,
            400,
            r#"{"message":"400 Bad request - some text"}"#,
        ),
        (
            ErrorReason::OutdatedDeploymentJob,
            400,
            r#"{"message":"400 Bad request - some text"}"#,
        ),
    ];
    let known: Vec<ErrorReason> = (0..=i32::from(u8::MAX))
        .filter_map(|number| ErrorReason::try_from(number).ok())
        .collect();
    assert_eq!(
        table.iter().map(|(reason, ..)| *reason).collect::<Vec<_>>(),
        known
    );

    let fields = [("sha", "is invalid"), ("a.ref", "is bad"), ("sha", "is long")];
    for (reason, status, body) in table {
        let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
        let failure = Failure::from(refused(Code::Unknown, name, &fields));
        assert_eq!(shown(&failure), (status, body.to_owned()), "{name}");
    }
}

#[test]
fn without_a_known_reason_the_code_decides_and_never_to_502_or_504() {
    let foreign = Status::with_error_details(
        Code::NotFound,
        "",
        ErrorDetails::with_error_info("PROJECT_NOT_FOUND", "elsewhere", HashMap::new()),
    );
    for (status, expected) in [
        (Status::unavailable(""), 503),
        (Status::deadline_exceeded(""), 503),
        (Status::cancelled(""), 503),
        (Status::from_error(Box::new(std::io::Error::other("reset"))), 503),
        (Status::resource_exhausted(""), 429),
        (Status::internal(""), 500),
        (Status::unknown(""), 500),
        (Status::unimplemented(""), 500),
        (refused(Code::NotFound, "FROM_THE_FUTURE", &[]), 500),
        (foreign, 500),
    ] {
        assert_eq!(shown(&Failure::from(&status)).0, expected, "{status:?}");
    }
}

#[test]
fn retry_after_is_a_whole_number_of_seconds() {
    for (status, expected) in [
        (refused(Code::ResourceExhausted, "OVERLOADED", &[]), "2"),
        (Status::resource_exhausted(""), "1"),
        (refused(Code::Unavailable, "STORE_UNAVAILABLE", &[]), "1"),
        (Status::unavailable(""), "1"),
    ] {
        let response = Failure::from(&status).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], expected, "{status:?}");
    }
}

#[test]
fn an_unusable_token_is_challenged() {
    let response = Failure::expired_token().into_response();
    assert_eq!(
        response.headers()[header::WWW_AUTHENTICATE],
        "Bearer realm=\"Protected by OAuth 2.0\", error=\"invalid_token\", error_description=\"Token is expired. \
         You can either do re-authorization or token refresh.\""
    );
    assert!(
        !Failure::unauthorized()
            .into_response()
            .headers()
            .contains_key(header::WWW_AUTHENTICATE)
    );
}

#[test]
fn some_endpoints_tell_refusals_in_their_own_way() {
    let before = refused(
        Code::InvalidArgument,
        "INVALID_ARGUMENT",
        &[("before", "is too late")],
    );
    let limit = refused(
        Code::InvalidArgument,
        "INVALID_ARGUMENT",
        &[("limit", "is too large")],
    );
    let denied = refused(Code::PermissionDenied, "PERMISSION_DENIED", &[]);
    let protected = refused(Code::PermissionDenied, "ENVIRONMENT_PROTECTED", &[]);
    for (failure, expected) in [
        (
            Failure::of_stop_stale(&before),
            Failure::bad_request("Invalid Date"),
        ),
        (
            Failure::of_stop_stale(&limit),
            Failure::invalid_parameters(&["limit is too large".to_owned()]),
        ),
        (Failure::of_stop_stale(&denied), Failure::forbidden()),
        (Failure::of_review_apps(&denied), Failure::unauthorized()),
        (Failure::of_environment_update(&denied), Failure::forbidden()),
        (
            Failure::of_environment_update(&protected),
            Failure::message(
                StatusCode::FORBIDDEN,
                "403 Forbidden - You do not have permission to modify the protected environment 'qa'. This endpoint \
                 enforces Protected Environment access policies.\nTo resolve this, ask a project Maintainer or \
                 Owner to grant you access under Settings > CI/CD > Protected environments, or use an account \
                 with the required permissions.",
            ),
        ),
        (
            Failure::of_review_apps(&limit),
            Failure::invalid_parameters(&["limit is too large".to_owned()]),
        ),
    ] {
        assert_eq!(failure, expected);
    }
}
