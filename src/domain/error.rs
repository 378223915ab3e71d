//! The one error of the program: a reason that machines act on, a message for people, and what belongs to it.
//!
//! [`Reason`] is closed and mirrors the contract's `ErrorReason` one to one. [`Reason::kind`] puts every reason into one
//! of a few [`Kind`]s; nothing else decides status codes. Messages are lower case, without a full stop, and name the
//! thing (`deployment 41`); they never carry a source's text.

use std::fmt;

/// What kind of refusal a reason is; decides the gRPC code, and by it the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong whatever the state of the system.
    InvalidArgument,
    /// The caller did not identify themselves.
    Unauthenticated,
    /// The caller is known and may not.
    Forbidden,
    /// There is no such thing, as far as the caller may know.
    NotFound,
    /// There is such a thing already.
    AlreadyExists,
    /// The state of the system does not allow it.
    Precondition,
    /// Somebody else was faster; a repeat can succeed.
    Conflict,
    /// Too much at a time.
    Exhausted,
    /// Something that is needed is away.
    Unavailable,
    /// It took too long.
    Deadline,
    /// A defect.
    Internal,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $kind:ident;)+) => {
        /// Why something was refused. The contract's `error_reason.proto` documents each value and its metadata.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $name,)+
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Reason] = &[$(Reason::$name,)+];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Reason::$name => $text,)+ }
            }

            /// What kind of refusal it is.
            pub fn kind(self) -> Kind {
                match self { $(Reason::$name => Kind::$kind,)+ }
            }
        }
    };
}

reasons! {
    /// A request field is malformed.
    InvalidArgument = "INVALID_ARGUMENT", InvalidArgument;
    /// The resource would not be valid.
    InvalidResource = "INVALID_RESOURCE", InvalidArgument;
    /// The page token is not one of ours for this query.
    InvalidPageToken = "INVALID_PAGE_TOKEN", InvalidArgument;
    /// The resume token is not one of ours for this stream.
    InvalidResumeToken = "INVALID_RESUME_TOKEN", InvalidArgument;
    /// A protection would not be valid.
    InvalidProtection = "INVALID_PROTECTION", InvalidArgument;
    /// An approval would not be valid.
    InvalidApproval = "INVALID_APPROVAL", InvalidArgument;
    /// No token came with the call.
    TokenMissing = "TOKEN_MISSING", Unauthenticated;
    /// The token is unknown.
    TokenInvalid = "TOKEN_INVALID", Unauthenticated;
    /// The token's time is over.
    TokenExpired = "TOKEN_EXPIRED", Unauthenticated;
    /// The token was revoked.
    TokenRevoked = "TOKEN_REVOKED", Unauthenticated;
    /// The token's scopes do not cover the call.
    InsufficientScope = "INSUFFICIENT_SCOPE", Forbidden;
    /// The user is blocked.
    UserBlocked = "USER_BLOCKED", Forbidden;
    /// Only administrators act as others.
    SudoNotAdmin = "SUDO_NOT_ADMIN", Forbidden;
    /// The user to act as does not exist.
    SudoUserNotFound = "SUDO_USER_NOT_FOUND", NotFound;
    /// The caller may not do this.
    PermissionDenied = "PERMISSION_DENIED", Forbidden;
    /// The project is read-only.
    ProjectArchived = "PROJECT_ARCHIVED", Forbidden;
    /// A protection does not admit the caller.
    EnvironmentProtected = "ENVIRONMENT_PROTECTED", Forbidden;
    /// Nobody approves what they deploy.
    SelfApproval = "SELF_APPROVAL", Forbidden;
    /// The caller is not among those who decide.
    ApprovalNotPermitted = "APPROVAL_NOT_PERMITTED", Forbidden;
    /// A job's token is good for one project.
    JobTokenNotAllowed = "JOB_TOKEN_NOT_ALLOWED", Forbidden;
    /// No such project, as far as the caller may know.
    ProjectNotFound = "PROJECT_NOT_FOUND", NotFound;
    /// No such group, as far as the caller may know.
    GroupNotFound = "GROUP_NOT_FOUND", NotFound;
    /// No such user.
    UserNotFound = "USER_NOT_FOUND", NotFound;
    /// No such environment in the project.
    EnvironmentNotFound = "ENVIRONMENT_NOT_FOUND", NotFound;
    /// No such deployment in the project.
    DeploymentNotFound = "DEPLOYMENT_NOT_FOUND", NotFound;
    /// Not a direct member.
    MembershipNotFound = "MEMBERSHIP_NOT_FOUND", NotFound;
    /// Not shared with that group.
    GroupShareNotFound = "GROUP_SHARE_NOT_FOUND", NotFound;
    /// No such token, or somebody else's.
    TokenNotFound = "TOKEN_NOT_FOUND", NotFound;
    /// No such protected environment, or no such entry of it.
    ProtectedEnvironmentNotFound = "PROTECTED_ENVIRONMENT_NOT_FOUND", NotFound;
    /// No such job in the project.
    JobNotFound = "JOB_NOT_FOUND", NotFound;
    /// The natural key is taken.
    AlreadyExists = "ALREADY_EXISTS", AlreadyExists;
    /// No such merge request in the project.
    MergeRequestNotFound = "MERGE_REQUEST_NOT_FOUND", NotFound;
    /// No repository is attached to the project.
    RepositoryNotFound = "REPOSITORY_NOT_FOUND", NotFound;
    /// The life cycle has no such step.
    InvalidTransition = "INVALID_TRANSITION", Precondition;
    /// A running deployment stays.
    DeploymentRunning = "DEPLOYMENT_RUNNING", Precondition;
    /// The last successful deployment stays.
    DeploymentIsLast = "DEPLOYMENT_IS_LAST", Precondition;
    /// Only a stopped environment can go.
    EnvironmentNotStopped = "ENVIRONMENT_NOT_STOPPED", Precondition;
    /// It stops only with an action, and has none.
    EnvironmentStopRefused = "ENVIRONMENT_STOP_REFUSED", Precondition;
    /// The group holds groups or projects.
    GroupNotEmpty = "GROUP_NOT_EMPTY", Precondition;
    /// Somebody has to be able to administer.
    LastAdministrator = "LAST_ADMINISTRATOR", Precondition;
    /// It changed after the time given.
    ModifiedSince = "MODIFIED_SINCE", Precondition;
    /// There is nothing to decide.
    EnvironmentNotProtected = "ENVIRONMENT_NOT_PROTECTED", Precondition;
    /// No approvals are asked for.
    ApprovalsNotConfigured = "APPROVALS_NOT_CONFIGURED", Precondition;
    /// It is not blocked.
    NotWaitingForApprovals = "NOT_WAITING_FOR_APPROVALS", Precondition;
    /// No rule of the caller has that name.
    NoRuleRepresented = "NO_RULE_REPRESENTED", Precondition;
    /// It can no longer be expected.
    WaitUnmet = "WAIT_UNMET", Precondition;
    /// It did not come in time.
    WaitTimedOut = "WAIT_TIMED_OUT", Deadline;
    /// It is moved by its job alone.
    DeploymentHasJob = "DEPLOYMENT_HAS_JOB", Precondition;
    /// Only a job that runs can have a token.
    JobNotRunning = "JOB_NOT_RUNNING", Precondition;
    /// A newer deployment has succeeded.
    OutdatedDeploymentJob = "OUTDATED_DEPLOYMENT_JOB", Precondition;
    /// It is not what the caller read.
    EtagMismatch = "ETAG_MISMATCH", Conflict;
    /// The request id was used for something else.
    RequestIdReused = "REQUEST_ID_REUSED", InvalidArgument;
    /// Another change was in the way.
    Conflict = "CONFLICT", Conflict;
    /// Too much at a time.
    Overloaded = "OVERLOADED", Exhausted;
    /// The store cannot be reached or is busy; nothing was changed.
    StoreUnavailable = "STORE_UNAVAILABLE", Unavailable;
    /// The change may have happened.
    OutcomeUnknown = "OUTCOME_UNKNOWN", Unavailable;
    /// A defect.
    Internal = "INTERNAL", Internal;
    /// The call took longer than the server allows.
    DeadlineExceeded = "DEADLINE_EXCEEDED", Deadline;
    /// The repository cannot be read now; nothing was changed.
    RepositoryUnavailable = "REPOSITORY_UNAVAILABLE", Unavailable;
}

/// One field and what is wrong with it, in words that complete "`<field>` …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path in the request (`filter.status`) or in the resource (`environment.name`).
    pub field: String,
    /// For example `is too long (maximum is 255 characters)`.
    pub description: String,
}

/// One thing in the way of a refused step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What kind, as a word in capitals (`APPROVALS_MISSING`).
    pub kind: &'static str,
    /// What it is about, for example `approval_rules/12`; may be empty.
    pub subject: String,
    /// The same for people.
    pub description: String,
}

/// A refusal.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    reason: Reason,
    message: String,
    violations: Vec<FieldViolation>,
    obstacles: Vec<Obstacle>,
    metadata: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error {
    /// A refusal for `reason`, told to people as `message`.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            violations: Vec::new(),
            obstacles: Vec::new(),
            metadata: Vec::new(),
            source: None,
        }
    }

    /// A malformed request field.
    pub fn argument(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::violating(Reason::InvalidArgument, field, description)
    }

    /// A field that would make the resource invalid.
    pub fn resource(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::violating(Reason::InvalidResource, field, description)
    }

    /// A natural key that is taken.
    pub fn taken(resource: &'static str, field: impl Into<String>) -> Self {
        Self::violating(Reason::AlreadyExists, field, "has already been taken").with("resource", resource)
    }

    /// The caller may see it but not do `action` to it.
    pub fn denied(action: impl Into<String>) -> Self {
        let action = action.into();
        Self::new(
            Reason::PermissionDenied,
            format!("you may not {}", action.replace('_', " ")),
        )
        .with("action", action)
    }

    /// A defect or a broken store; `source` is for the log only.
    pub fn caused(
        reason: Reason,
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::new(reason, message)
        }
    }

    /// A part of a protection that would not be valid: an entry (`approval_rules[1]`) or a field.
    pub fn protection(part: impl Into<String>, description: impl Into<String>) -> Self {
        Self::violating(Reason::InvalidProtection, part, description)
    }

    fn violating(reason: Reason, field: impl Into<String>, description: impl Into<String>) -> Self {
        let violation = FieldViolation {
            field: field.into(),
            description: description.into(),
        };
        let message = format!("{} {}", violation.field, violation.description);
        Self {
            violations: vec![violation],
            ..Self::new(reason, message)
        }
    }

    /// The same refusal with one more metadata entry.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.metadata.push((key, value.into()));
        self
    }

    /// The same refusal with what is in the way.
    #[must_use]
    pub fn because_of(mut self, obstacles: impl IntoIterator<Item = Obstacle>) -> Self {
        self.obstacles.extend(obstacles);
        self
    }

    /// The same refusal for another reason.
    #[must_use]
    pub fn with_reason(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }

    /// The same refusal, of the request's fields instead of the resource's.
    #[must_use]
    pub fn into_argument(self) -> Self {
        self.with_reason(Reason::InvalidArgument)
    }

    /// The same refusal with the violations of another one added.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.message = format!("{}, {}", self.message, other.message);
        self.violations.extend(other.violations);
        self
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The fields that are wrong.
    pub fn violations(&self) -> &[FieldViolation] {
        &self.violations
    }

    /// What is in the way of a refused step.
    pub fn obstacles(&self) -> &[Obstacle] {
        &self.obstacles
    }

    /// What else a machine may want to know.
    pub fn metadata(&self) -> &[(&'static str, String)] {
        &self.metadata
    }
}

/// Collects the refusals of several fields into one, so that a caller learns all of them at once.
#[derive(Debug, Default)]
pub struct Violations(Option<Error>);

impl Violations {
    /// Takes note of a refusal, or hands the value through.
    pub fn check<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.0 = Some(match self.0.take() {
                    Some(earlier) => earlier.and(error),
                    None => error,
                });
                None
            }
        }
    }

    /// Whether nothing was refused so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Refuses if anything was refused.
    pub fn finish(self) -> Result<(), Error> {
        self.0.map_or(Ok(()), Err)
    }
}
