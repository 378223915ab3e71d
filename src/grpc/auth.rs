//! Authentication, once for every call: metadata in, [`Caller`](crate::domain::access::Caller) out, or
//! [`Presumed`](crate::app::memory::Presumed).
//!
//! Health checks and reflection are open; everything else needs a token. Which scope a method takes is told by its name:
//! what begins with `Get`, `List`, `Watch`, `Wait` or `Explain`, and `WhoAmI`, reads.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::status::refuse;
use crate::{
    app::{App, auth::Cover},
    domain::{
        access::Consistency,
        error::Error,
        token::{Scope, Secret},
    },
};

/// The metadata that carries a token.
pub const PRIVATE_TOKEN: &str = "private-token";
/// The metadata that carries a job's token.
pub const JOB_TOKEN: &str = "job-token";
/// The metadata that names the user to act as.
pub const SUDO: &str = "sudo";

/// The metadata that says how new what is read has to be: `strong`, which it is without, or `eventual`.
pub const CONSISTENCY: &str = "gatehouse-consistency";

/// The services that answer anyone.
const OPEN: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];

/// Authenticates every call.
#[derive(Clone)]
pub struct AuthLayer {
    app: App,
}

impl AuthLayer {
    /// By the tokens and users of `app`.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthService {
            app: self.app.clone(),
            inner,
        }
    }
}

/// See [`AuthLayer`].
#[derive(Clone)]
pub struct AuthService<S> {
    app: App,
    inner: S,
}

/// The token of a call, and whether it may be a user's: `private-token`, else `authorization: Bearer`, else `job-token`.
pub(super) fn presented(headers: &HeaderMap) -> Option<(Secret, bool)> {
    let text = |key: &str| {
        let value = headers.get(key)?;
        Some(Secret::presented(&String::from_utf8_lossy(value.as_bytes())))
    };
    let bearer = || {
        let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| Secret::presented(token.trim()))
    };
    let anyones = text(PRIVATE_TOKEN).or_else(bearer);
    anyones
        .map(|secret| (secret, true))
        .or_else(|| Some((text(JOB_TOKEN)?, false)))
}

/// How new what is read has to be.
fn consistency(headers: &HeaderMap) -> Result<Consistency, Error> {
    let Some(value) = headers.get(CONSISTENCY) else {
        return Ok(Consistency::default());
    };
    value
        .to_str()
        .ok()
        .and_then(Consistency::parse)
        .ok_or_else(|| Error::argument(CONSISTENCY, "must be strong or eventual"))
}

/// What jobs may call: services, by the beginnings of paths, and methods.
const OPEN_TO_JOBS: [&str; 7] = [
    "/gatehouse.v1.DeploymentService/",
    "/gatehouse.v1.EnvironmentService/",
    "/gatehouse.v1.ApprovalService/SubmitApproval",
    "/gatehouse.v1.EventService/WaitDeployment",
    "/gatehouse.v1.JobService/ReportJob",
    "/gatehouse.v1.JobService/GetJob",
    "/gatehouse.v1.MergeRequestService/ListDeploymentMergeRequests",
];

/// The methods that are answered on the strength of what is remembered of the directory: those that are called the most.
const PRESUMING: [&str; 6] = [
    "/gatehouse.v1.DeploymentService/CreateDeployment",
    "/gatehouse.v1.DeploymentService/GetDeployment",
    "/gatehouse.v1.DeploymentService/ListDeployments",
    "/gatehouse.v1.DeploymentService/UpdateDeploymentStatus",
    "/gatehouse.v1.ApprovalService/SubmitApproval",
    "/gatehouse.v1.EventService/WatchEvents",
];

/// Whether jobs may call this.
fn open_to_jobs(path: &str) -> bool {
    OPEN_TO_JOBS
        .iter()
        .any(|open| path == *open || (open.ends_with('/') && path.starts_with(open)))
}

/// What the names of methods begin with that only read.
const READING: [&str; 6] = ["Get", "List", "Watch", "Wait", "Explain", "WhoAmI"];

/// The method that a forge's webhook calls.
const REPORTING: &str = "UpsertMergeRequest";

/// The scope that a method takes, by its path `/package.Service/Method`.
pub(super) fn scope_of(path: &str) -> Scope {
    let method = path.rsplit('/').next().unwrap_or_default();
    if method == REPORTING {
        Scope::MergeRequests
    } else if READING.iter().any(|word| method.starts_with(word)) {
        Scope::ReadApi
    } else {
        Scope::Api
    }
}

impl<S, B> Service<Request<B>> for AuthService<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The service that is ready is this one, not the clone.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let path = request.uri().path();
        if OPEN.iter().any(|open| path.starts_with(open)) {
            return Box::pin(inner.call(request));
        }
        let presumes = PRESUMING.contains(&path);
        let app = self.app.clone();
        let consistency = consistency(request.headers());
        let (secret, users) = presented(request.headers()).unzip();
        let cover = Cover {
            scope: scope_of(path),
            users: users.unwrap_or(true),
            jobs: open_to_jobs(path),
        };
        let sudo = request
            .headers()
            .get(SUDO)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .filter(|sudo| !sudo.is_empty());
        Box::pin(async move {
            let (secret, sudo) = (secret.as_ref(), sudo.as_deref());
            // Of the two kinds a call has one alone: what takes the other refuses everybody.
            let admitted = if presumes {
                let caller = app.presume(secret, sudo, cover).await;
                caller.and_then(|caller| {
                    let caller = caller.reading(consistency?);
                    let id = caller.id();
                    request.extensions_mut().insert(Arc::new(caller));
                    Ok(id)
                })
            } else {
                let caller = app.authenticate(secret, sudo, cover).await;
                caller.and_then(|mut caller| {
                    caller.consistency = consistency?;
                    let id = caller.id();
                    request.extensions_mut().insert(Arc::new(caller));
                    Ok(id)
                })
            };
            match admitted {
                Ok(id) => {
                    tracing::Span::current().record("caller.id", id.0);
                    inner.call(request).await
                }
                Err(error) => Ok(refuse(error).into_http()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_reads_if_its_name_says_so() {
        for (path, scope) in [
            ("/gatehouse.v1.DeploymentService/GetDeployment", Scope::ReadApi),
            ("/gatehouse.v1.DeploymentService/ListDeployments", Scope::ReadApi),
            ("/gatehouse.v1.TokenService/WhoAmI", Scope::ReadApi),
            ("/gatehouse.v1.EventService/WatchEvents", Scope::ReadApi),
            ("/gatehouse.v1.EventService/WaitDeployment", Scope::ReadApi),
            ("/gatehouse.v1.ApprovalService/ExplainDeployment", Scope::ReadApi),
            ("/gatehouse.v1.ApprovalService/SubmitApproval", Scope::Api),
            ("/gatehouse.v1.DeploymentService/CreateDeployment", Scope::Api),
            (
                "/gatehouse.v1.EnvironmentService/StopStaleEnvironments",
                Scope::Api,
            ),
            (
                "/gatehouse.v1.MergeRequestService/UpsertMergeRequest",
                Scope::MergeRequests,
            ),
            ("", Scope::Api),
        ] {
            assert_eq!(scope_of(path), scope, "{path}");
        }
    }

    #[test]
    fn a_token_comes_as_private_token_or_as_bearer() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|&(k, v)| (k.parse().unwrap(), v.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        for (pairs, wanted) in [
            (&[("private-token", "a")][..], Some(("a", true))),
            (&[("authorization", "Bearer b")], Some(("b", true))),
            (&[("authorization", "bearer b")], Some(("b", true))),
            (&[("authorization", "Basic b")], None),
            (
                &[("private-token", "a"), ("authorization", "Bearer b")],
                Some(("a", true)),
            ),
            (&[("job-token", "j")], Some(("j", false))),
            (
                &[("job-token", "j"), ("authorization", "Bearer b")],
                Some(("b", true)),
            ),
            (&[], None),
        ] {
            let got = presented(&headers(pairs));
            let got = got.as_ref().map(|(secret, users)| (secret.reveal(), *users));
            assert_eq!(got, wanted, "{pairs:?}");
        }
    }

    #[test]
    fn jobs_call_what_is_about_the_deployments_of_their_project() {
        for (path, open) in [
            ("/gatehouse.v1.DeploymentService/CreateDeployment", true),
            ("/gatehouse.v1.EnvironmentService/StopEnvironment", true),
            ("/gatehouse.v1.ApprovalService/SubmitApproval", true),
            ("/gatehouse.v1.ApprovalService/ExplainDeployment", false),
            ("/gatehouse.v1.JobService/GetJob", true),
            ("/gatehouse.v1.JobService/GetJobs", false),
            ("/gatehouse.v1.JobService/CreateJobToken", false),
            ("/gatehouse.v1.EventService/WatchEvents", false),
            ("/gatehouse.v1.TokenService/WhoAmI", false),
            ("/gatehouse.v1.DeploymentServices/X", false),
            ("", false),
        ] {
            assert_eq!(open_to_jobs(path), open, "{path}");
        }
    }
}
