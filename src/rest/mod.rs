//! The REST sidecar: the GitLab Deployments API in front of the gRPC service.
//!
//! A request goes one way: a row of the route table is found for the raw path ([`route`]), the caller's token
//! and the parameters are read ([`caller`], [`body`], [`params`]), a handler validates ([`input`]), makes one
//! gRPC call ([`client`]) and shows the result ([`view`], [`page`]). What is refused on the way, or by the
//! server, becomes an answer in [`error`] and nowhere else. The sidecar keeps no state, decides nothing about
//! tokens, and knows the server only by its protobuf contract.

mod approval;
mod body;
mod call;
mod caller;
mod client;
mod coerce;
mod deployment;
mod environment;
mod error;
mod frame;
mod input;
mod merge_request;
mod metadata;
mod page;
mod params;
mod probe;
mod project;
mod protected_environment;
mod reply;
mod route;
mod site;
#[cfg(test)]
mod tests;
mod time;
mod user;
mod view;
mod webhook;
mod words;

use std::{any::Any, io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware,
    response::{IntoResponse, Response},
    serve::ListenerExt,
};

use http::{HeaderValue, Method, Uri, header};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use self::{
    body::Limits,
    call::Call,
    caller::Caller,
    client::Backend,
    error::Failure,
    frame::{RequestId, Routed},
    params::Params,
    protected_environment::Level::{Group, Project},
    route::{Handler, Route},
    site::Siting,
};

/// Every documented path, below [`route::BASE`], and the webhook's. Of two rows that fit the first one counts.
#[rustfmt::skip] // one row, one line
static ROUTES: &[Route] = &[
    get("version", |call| Box::pin(metadata::get(call))),
    get("metadata", |call| Box::pin(metadata::get(call))),
    get("user", |call| Box::pin(user::get(call))),
    get("projects/:id", |call| Box::pin(project::get(call))),
    put("projects/:id", |call| Box::pin(project::update(call))),
    get("projects/:id/deployments", |call| Box::pin(deployment::list(call))),
    post("projects/:id/deployments", |call| Box::pin(deployment::create(call))),
    get("projects/:id/deployments/:deployment_id", |call| Box::pin(deployment::get(call))),
    put("projects/:id/deployments/:deployment_id", |call| Box::pin(deployment::update(call))),
    delete("projects/:id/deployments/:deployment_id", |call| Box::pin(deployment::delete(call))),
    get("projects/:id/deployments/:deployment_id/merge_requests", |call| Box::pin(merge_request::list(call))),
    post("projects/:id/deployments/:deployment_id/approval", |call| Box::pin(approval::submit(call))),
    post("/webhooks/gitlab/:id", |call| Box::pin(webhook::receive(call))),
    get("projects/:id/environments", |call| Box::pin(environment::list(call))),
    post("projects/:id/environments", |call| Box::pin(environment::create(call))),
    post("projects/:id/environments/stop_stale", |call| Box::pin(environment::stop_stale(call))),
    delete("projects/:id/environments/review_apps", |call| Box::pin(environment::review_apps(call))),
    get("projects/:id/environments/:environment_id", |call| Box::pin(environment::get(call))),
    put("projects/:id/environments/:environment_id", |call| Box::pin(environment::update(call))),
    delete("projects/:id/environments/:environment_id", |call| Box::pin(environment::delete(call))),
    post("projects/:id/environments/:environment_id/stop", |call| Box::pin(environment::stop(call))),
    get("projects/:id/protected_environments", |call| Box::pin(protected_environment::list(Project, call))),
    post("projects/:id/protected_environments", |call| Box::pin(protected_environment::protect(Project, call))),
    get("projects/:id/protected_environments/:name", |call| Box::pin(protected_environment::get(Project, call))),
    put("projects/:id/protected_environments/:name", |call| Box::pin(protected_environment::update(Project, call))),
    delete("projects/:id/protected_environments/:name", |call| Box::pin(protected_environment::unprotect(Project, call))),
    get("groups/:id/protected_environments", |call| Box::pin(protected_environment::list(Group, call))),
    post("groups/:id/protected_environments", |call| Box::pin(protected_environment::protect(Group, call))),
    get("groups/:id/protected_environments/:name", |call| Box::pin(protected_environment::get(Group, call))),
    put("groups/:id/protected_environments/:name", |call| Box::pin(protected_environment::update(Group, call))),
    delete("groups/:id/protected_environments/:name", |call| Box::pin(protected_environment::unprotect(Group, call))),
];

const fn get(pattern: &'static str, handler: Handler) -> Route {
    Route {
        method: Method::GET,
        pattern,
        handler,
    }
}

const fn post(pattern: &'static str, handler: Handler) -> Route {
    Route {
        method: Method::POST,
        pattern,
        handler,
    }
}

const fn put(pattern: &'static str, handler: Handler) -> Route {
    Route {
        method: Method::PUT,
        pattern,
        handler,
    }
}

const fn delete(pattern: &'static str, handler: Handler) -> Route {
    Route {
        method: Method::DELETE,
        pattern,
        handler,
    }
}

/// How the sidecar is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the gRPC servers are, for example `http://127.0.0.1:50051`; at least one.
    pub grpc_urls: Vec<String>,
    /// What URLs in answers start with; without it, the scheme and host that the client dialled.
    pub external_url: Option<String>,
    /// Whether `X-Forwarded-Proto` and `X-Forwarded-Host` are to be believed.
    pub trust_proxy: bool,
    /// The largest body that is read, in bytes.
    pub max_body_bytes: usize,
    /// How long the server may take for one call, and a client for its body.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            grpc_urls: vec!["http://127.0.0.1:50051".to_owned()],
            external_url: None,
            trust_proxy: false,
            max_body_bytes: 1024 * 1024,
            timeout: Duration::from_secs(30),
        }
    }
}

/// The options make no sense.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of `grpc_urls` does not name a server.
    #[error("invalid gRPC address {0:?}, it should look like http://host:port")]
    InvalidAddress(String),
    /// `external_url` cannot be what URLs start with.
    #[error("invalid external URL {0:?}, it should look like https://host")]
    InvalidExternalUrl(String),
}

/// What all requests share.
struct Sidecar {
    backend: Arc<Backend>,
    siting: Siting,
    body_limits: Limits,
    stopping: CancellationToken,
}

/// The sidecar as a service. It does not wait for the gRPC server: as long as that is away, answers are 503.
///
/// Fails only if an option makes no sense. Needs a Tokio runtime.
pub fn router(options: Options) -> Result<Router, Error> {
    until(options, CancellationToken::new())
}

/// The same; who waits is told off when it is to stop.
fn until(options: Options, stopping: CancellationToken) -> Result<Router, Error> {
    let backend = Backend::new(&options.grpc_urls, options.timeout).map_err(Error::InvalidAddress)?;
    let siting = Siting::new(options.external_url, options.trust_proxy).map_err(Error::InvalidExternalUrl)?;
    let sidecar = Sidecar {
        backend: Arc::new(backend),
        siting,
        body_limits: Limits {
            bytes: options.max_body_bytes,
            time: options.timeout,
        },
        stopping,
    };
    // One service for all paths, because axum's own router would match decoded paths.
    Ok(framed(Router::new().fallback(answer)).with_state(Arc::new(sidecar)))
}

fn framed<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(frame::around))
}

/// Serves the sidecar until `shutdown`; requests that have begun are finished, waits for a deployment are broken off.
pub async fn serve(listener: TcpListener, options: Options, shutdown: CancellationToken) -> io::Result<()> {
    let router = until(options, shutdown.clone())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

async fn answer(State(sidecar): State<Arc<Sidecar>>, request: Request) -> Response {
    let path = request.uri().path();
    if path == "/api/v3" || path.starts_with("/api/v3/") {
        return Failure::old_api().into_response();
    }
    if let Some(answer) = probe::answer(&sidecar.backend, request.method(), path).await {
        return answer;
    }
    if request.method() == Method::OPTIONS {
        return options(path);
    }
    sidecar.handle(request).await.unwrap_or_else(refused)
}

/// Here a request ends that was refused, so here it is logged, once.
fn refused(failure: Failure) -> Response {
    if let Some(cause) = failure.cause() {
        tracing::error!(cause, "cannot answer");
    }
    failure.into_response()
}

fn options(path: &str) -> Response {
    match route::allowed(ROUTES, path).map(HeaderValue::try_from) {
        Some(Ok(methods)) => {
            let mut response = reply::no_content();
            response.headers_mut().insert(header::ALLOW, methods);
            response
        }
        _ => Failure::no_route().into_response(),
    }
}

impl Sidecar {
    /// Checks in the order of product decision 19: route, token, body; the handler goes on with the
    /// parameters.
    async fn handle(&self, request: Request) -> route::Answer {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let (route, segments) = route::find(ROUTES, &parts.method, path).ok_or_else(Failure::no_route)?;
        if let Some(routed) = parts.extensions.get::<Routed>() {
            routed.to(route.pattern);
        }

        let body = body::read(&parts.method, &parts.headers, body, self.body_limits).await;
        let mut params = query(&parts.uri);
        // A missing token goes before a bad body, and the body may be what holds the token.
        let body = match body {
            Ok(body) => {
                params.merge(body);
                Ok(())
            }
            Err(failure) => Err(failure),
        };
        let caller = if route.is_webhook() {
            Caller::of_webhook(&parts.headers)?
        } else {
            Caller::find(&params, &parts.headers)?
        };
        let unread = match body {
            // Of a webhook's body nobody is told anything who has not the secret.
            Err(failure) if route.is_webhook() => Some(failure),
            other => other.map(|()| None)?,
        };
        let garbled: Vec<String> = segments
            .garbled()
            .map(|name| format!("{name} is invalid"))
            .collect();
        if !garbled.is_empty() {
            return Err(Failure::invalid_parameters(&garbled));
        }

        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone());
        (route.handler)(Call {
            base: self.siting.base(&parts.headers, &parts.uri),
            path: path.to_owned(),
            segments,
            params,
            headers: parts.headers,
            caller,
            unread,
            request_id: request_id.unwrap_or(HeaderValue::from_static("none")),
            today: time::today(),
            backend: Arc::clone(&self.backend),
            stopping: self.stopping.clone(),
        })
        .await
    }
}

fn query(uri: &Uri) -> Params {
    Params::from_form(uri.query().unwrap_or_default().as_bytes())
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    refused(Failure::internal("a handler panicked"))
}

/// What `benches/hot.rs` measures of this module.
#[cfg(feature = "bench")]
pub mod hot {
    use super::view;
    use crate::pb::v1;

    /// The JSON of a list of deployments, for clients that know this server as `base`; empty if it cannot be written.
    pub fn deployments(list: &[v1::Deployment], base: &str) -> Vec<u8> {
        let views: Vec<_> = list
            .iter()
            .map(|deployment| view::Deployment::new(deployment.clone(), base))
            .collect();
        serde_json::to_vec(&views).unwrap_or_default()
    }
}
