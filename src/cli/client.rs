//! The connection of a client command to its server.

use std::fmt;

use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use super::Error;
use crate::{
    config::{ClientOptions, GrpcUrl, Secret},
    pb::v1::{
        GroupRef, ProjectRef, UserRef, approval_service_client::ApprovalServiceClient,
        deployment_service_client::DeploymentServiceClient, directory_service_client::DirectoryServiceClient,
        environment_service_client::EnvironmentServiceClient, group_ref,
        merge_request_service_client::MergeRequestServiceClient, project_ref,
        protected_environment_service_client::ProtectedEnvironmentServiceClient,
        repository_service_client::RepositoryServiceClient, token_service_client::TokenServiceClient,
        user_ref,
    },
};

/// A connection that sends a token with every call.
pub type Authenticated = InterceptedService<Channel, Token>;

/// A server, as one of its users.
#[derive(Debug, Clone)]
pub struct Server {
    channel: Channel,
    token: Token,
}

impl Server {
    /// Connects as the options say. Fails if nothing answers; the token is first tried by the first call.
    pub async fn connect(options: &ClientOptions) -> Result<Self, Error> {
        let token = options.token()?;
        let channel = dial(&options.target.grpc_url, options.request_timeout).await?;
        Self::over(channel, &token)
    }

    /// Calls over `channel` with `token`.
    pub fn over(channel: Channel, token: &Secret) -> Result<Self, Error> {
        Ok(Self {
            channel,
            token: Token::try_from(token)?,
        })
    }

    /// Users, groups, projects, memberships, shares.
    pub fn directory(&self) -> DirectoryServiceClient<Authenticated> {
        DirectoryServiceClient::with_interceptor(self.channel.clone(), self.token.clone())
    }

    /// Environments.
    pub fn environments(&self) -> EnvironmentServiceClient<Authenticated> {
        EnvironmentServiceClient::with_interceptor(self.channel.clone(), self.token.clone())
    }

    /// Merge requests.
    pub fn merge_requests(&self) -> MergeRequestServiceClient<Authenticated> {
        MergeRequestServiceClient::with_interceptor(self.channel.clone(), self.token.clone())
    }

    /// Protected environments.
    pub fn protections(&self) -> ProtectedEnvironmentServiceClient<Authenticated> {
        ProtectedEnvironmentServiceClient::with_interceptor(self.channel.clone(), self.token.clone())
    }

    /// Approvals.
    pub fn approvals(&self) -> ApprovalServiceClient<Authenticated> {
        ApprovalServiceClient::with_interceptor(self.channel.clone(), self.token.clone())
    }

    /// Deployments.
    pub fn deployments(&self) -> DeploymentServiceClient<Authenticated> {
        DeploymentServiceClient::with_interceptor(self.channel.clone(), self.token.clone())
    }

    /// Git repositories.
    pub fn repositories(&self) -> RepositoryServiceClient<Authenticated> {
        RepositoryServiceClient::with_interceptor(self.channel.clone(), self.token.clone())
    }

    /// Tokens.
    pub fn tokens(&self) -> TokenServiceClient<Authenticated> {
        TokenServiceClient::with_interceptor(self.channel.clone(), self.token.clone())
    }
}

/// Connects to `url`; connecting and every call may take `timeout`.
pub async fn dial(url: &GrpcUrl, timeout: std::time::Duration) -> Result<Channel, Error> {
    let unreachable = |source| Error::Unreachable {
        url: url.clone(),
        source,
    };
    let endpoint = Endpoint::from_shared(url.to_string()).map_err(unreachable)?;
    endpoint
        .connect_timeout(timeout)
        .timeout(timeout)
        .connect()
        .await
        .map_err(unreachable)
}

/// The user of that name, as a request's field.
pub fn user(username: &str) -> UserRef {
    UserRef {
        by: Some(user_ref::By::Username(username.to_owned())),
    }
}

/// The group of that path, as a request's field.
pub fn group(path: &str) -> GroupRef {
    GroupRef {
        by: Some(group_ref::By::Path(path.to_owned())),
    }
}

/// The project of that path, as a request's field.
pub fn project(path: &str) -> ProjectRef {
    ProjectRef {
        by: Some(project_ref::By::Path(path.to_owned())),
    }
}

/// Puts the token into the metadata of every call.
#[derive(Clone)]
pub struct Token(MetadataValue<Ascii>);

impl TryFrom<&Secret> for Token {
    type Error = Error;

    fn try_from(secret: &Secret) -> Result<Self, Error> {
        let mut value = MetadataValue::try_from(secret.expose()).map_err(|_| Error::Refused {
            action: "use the token".to_owned(),
            refusal: Refusal::said("it holds characters that no token has"),
        })?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("private-token", self.0.clone());
        Ok(request)
    }
}

/// A server's refusal in words: the message, the fields it is about, the reason that programs go by.
#[derive(Debug)]
pub struct Refusal(String);

impl Refusal {
    /// A refusal of our own.
    pub fn said(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let reason = details
            .error_info()
            .map_or_else(|| code(status.code()), |info| info.reason.clone());
        let mut text = if status.message().is_empty() {
            "refused"
        } else {
            status.message()
        }
        .to_owned();
        for violation in details
            .bad_request()
            .into_iter()
            .flat_map(|request| &request.field_violations)
        {
            // The message may be made of the very violations.
            if !text.contains(&violation.description) {
                text = format!("{text}; {}: {}", violation.field, violation.description);
            }
        }
        Self(format!("{text} ({reason})"))
    }
}

/// The code as the gRPC documents write it.
fn code(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// Names the call that a status refused.
pub trait Attempt<T> {
    /// The answer, or an error that says what was attempted.
    fn attempt(self, action: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Attempt<T> for Result<T, Status> {
    fn attempt(self, action: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|status| Error::Refused {
            action: action(),
            refusal: status.into(),
        })
    }
}

/// A new `request_id`: whoever sees the call again knows it by this.
pub fn request_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::System {
        action: "draw a random number".to_owned(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_refusal_is_told_with_its_reason_and_fields() {
        let mut details = ErrorDetails::new();
        details.set_error_info("INVALID_RESOURCE", "gatehouse.v1", HashMap::new());
        details.add_bad_request_violation("name", "is too long");
        let status = Status::with_error_details(Code::InvalidArgument, "the user is not valid", details);
        let told = Refusal::from(status).to_string();
        assert_eq!(
            told,
            "the user is not valid; name: is too long (INVALID_RESOURCE)"
        );
    }

    #[test]
    fn a_refusal_without_a_reason_is_told_with_its_code() {
        let told = Refusal::from(Status::deadline_exceeded("timeout expired")).to_string();
        assert_eq!(told, "timeout expired (DEADLINE_EXCEEDED)");
    }

    #[test]
    fn a_token_is_shown_by_no_debug_output() {
        let secret = Secret::new("gh-very-secret");
        let token = Token::try_from(&secret).unwrap();
        assert_eq!(format!("{secret:?} {token:?}"), "(redacted) (redacted)");
    }

    #[test]
    fn a_token_with_a_line_break_is_refused_without_being_shown() {
        let error = Token::try_from(&Secret::new("gh-very\nsecret")).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn request_ids_differ() {
        let (one, other) = (request_id().unwrap(), request_id().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
