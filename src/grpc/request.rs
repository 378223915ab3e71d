//! What surrounds every call: a request id, a span, the time it took, and an answer even where the code panics.

use std::{
    any::Any,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tokio::{sync::Semaphore, time::timeout};
use tonic::{
    body::Body,
    codegen::{Body as HttpBody, Bytes},
};
use tower::{BoxError, Layer, Service};
use tower_http::catch_panic::ResponseForPanic;
use tracing::Instrument as _;

use super::{
    rpc::{self, Served},
    status::refuse,
    turn::Turns,
};
use crate::{
    domain::{
        error::{Error, Reason},
        wait::WAIT_MAX,
    },
    trace,
};

/// The metadata that carries a request id, both ways.
pub const REQUEST_ID: &str = "x-request-id";
const REQUEST_ID_MAX: usize = 128;

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request being served, if one is.
pub fn current_id() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

/// The caller's request id, if it is fit to be logged, or a new one.
fn id_of<B>(request: &Request<B>) -> String {
    let sent = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    match sent {
        Some(id)
            if (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            id.to_owned()
        }
        _ => {
            let mut bytes = [0; 8];
            // Without randomness an id of zeros is still an id.
            let _ = getrandom::fill(&mut bytes);
            format!("{:016x}", u64::from_be_bytes(bytes))
        }
    }
}

/// The id and the span of a request, for what goes on after its answer has begun.
#[derive(Debug, Clone)]
pub struct Surroundings {
    id: String,
    span: tracing::Span,
}

impl Surroundings {
    /// Those of the request being served.
    pub fn here() -> Self {
        Self {
            id: current_id().unwrap_or_default(),
            span: tracing::Span::current(),
        }
    }

    /// Does `work` as if the request were still being served.
    pub async fn around<F: Future>(&self, work: F) -> F::Output {
        CURRENT
            .scope(self.id.clone(), work.instrument(self.span.clone()))
            .await
    }
}

/// Gives every request its id and its span, and tells when it has ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestLayer;

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestService { inner }
    }
}

/// See [`RequestLayer`].
#[derive(Debug, Clone)]
pub struct RequestService<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for RequestService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let id = id_of(&request);
        let span = tracing::info_span!(
            "request",
            rpc.method = request.uri().path(),
            request.id = id,
            caller.id = tracing::field::Empty,
            rpc.code = tracing::field::Empty,
        );
        trace::adopt(&span, request.headers());
        let mut served = Served::begin(rpc::find(request.uri().path()), span.clone());
        let header = HeaderValue::from_str(&id).ok();
        let answer = {
            let _entered = span.enter();
            CURRENT.sync_scope(id.clone(), || self.inner.call(request))
        };
        let serve = async move {
            let mut response = answer.await?;
            if let Some(header) = header {
                response.headers_mut().insert(REQUEST_ID, header);
            }
            // Before the body only refusals come; else the status is behind it. The call has ended when the body has.
            served.note(response.headers());
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    if let Some(trailers) = frame.trailers_ref() {
                        served.note(trailers);
                    }
                    frame
                }))
            }))
        };
        Box::pin(CURRENT.scope(id, serve.instrument(span)))
    }
}

/// Calls that are held on purpose, or that say how the server is, by the beginnings of their paths.
const APART: [&str; 4] = [
    "/gatehouse.v1.EventService/WatchEvents",
    WAITING,
    "/grpc.health.",
    "/grpc.reflection.",
];

/// Refuses calls beyond a limit, at once and before anything is done for them: in a longer queue everybody would wait
/// longer, and nobody would be served sooner. Those that it takes are served by turns. What is held on purpose does not
/// count, and has no turn.
#[derive(Debug, Clone)]
pub struct AdmissionLayer {
    places: Arc<Semaphore>,
    turns: Turns,
}

impl AdmissionLayer {
    /// So many calls are taken at a time.
    pub fn new(limit: usize) -> Self {
        let places = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
        let turns = Turns::default();
        Self { places, turns }
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = AdmissionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AdmissionService {
            places: Arc::clone(&self.places),
            turns: self.turns.clone(),
            inner,
        }
    }
}

/// See [`AdmissionLayer`].
#[derive(Debug, Clone)]
pub struct AdmissionService<S> {
    places: Arc<Semaphore>,
    turns: Turns,
    inner: S,
}

impl<S> Service<Request<Body>> for AdmissionService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if APART.iter().any(|apart| path.starts_with(apart)) {
            return Box::pin(self.inner.call(request));
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let error = Error::new(
                Reason::Overloaded,
                "the server has as many calls as it takes at a time",
            );
            return Box::pin(std::future::ready(Ok(refuse(error).into_http())));
        };
        let turn = self.turns.of(&request);
        // The service that is ready is this one, not the clone.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            turn.clone().come().await;
            let paced = turn.clone();
            let answer = inner.call(request.map(|body| paced.paces(body))).await;
            turn.end();
            drop(place);
            answer
        })
    }
}

/// The one call whose caller says how long it may take, by its path.
const WAITING: &str = "/gatehouse.v1.EventService/WaitDeployment";

/// Bounds the time that a call may take; where waiting is the purpose, on top of the longest wait. Of a stream, only the
/// time until it begins.
///
/// The transport's own timer sees to the caller's deadline, and ends such a call without a reason: the caller has gone.
/// This one is for callers who would wait for ever.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer {
    limit: Duration,
}

impl DeadlineLayer {
    /// Calls may take this long.
    pub fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService {
            limit: self.limit,
            inner,
        }
    }
}

/// See [`DeadlineLayer`].
#[derive(Debug, Clone)]
pub struct DeadlineService<S> {
    limit: Duration,
    inner: S,
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let limit = if request.uri().path() == WAITING {
            self.limit + WAIT_MAX
        } else {
            self.limit
        };
        let answer = timeout(limit, self.inner.call(request));
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| {
                let error = Error::new(
                    Reason::DeadlineExceeded,
                    "the call took longer than this server allows",
                );
                Ok(refuse(error).into_http())
            })
        })
    }
}

/// Answers a panic like any other defect.
#[derive(Debug, Clone, Copy)]
pub struct Panicked;

impl ResponseForPanic for Panicked {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        tracing::error!(panic = text, "a request panicked");
        refuse(Error::new(Reason::Internal, "internal error")).into_http()
    }
}
