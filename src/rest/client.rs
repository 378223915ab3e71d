//! The connections to the gRPC servers, and what every call takes along.
//!
//! Of several servers, those are called in turn that say of themselves that they serve: each is watched by the standard
//! health service, so one that drains or dies is passed over before a request finds out, and taken in again when it is
//! back. Where none says so, all are called: then the answer tells what is wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, uri::Scheme};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{
    Request,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::caller::Caller;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to leave a server alone that does not answer.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The gRPC servers.
pub(super) struct Backend {
    servers: Vec<Arc<Server>>,
    turn: AtomicUsize,
    timeout: Duration,
    /// Ends with the backend.
    _watches: JoinSet<()>,
}

/// One of them. Its connections are lazy: made when first needed, and made anew when broken.
struct Server {
    /// Two, because one connection's task is a bottleneck before the server is.
    channels: [Channel; 2],
    serves: AtomicBool,
}

impl Backend {
    /// The first URL that is no address of a server, if there is one: that should be found out at once and not by the
    /// first request. Has to be called on a runtime.
    pub(super) fn new(urls: &[String], timeout: Duration) -> Result<Self, String> {
        let servers: Vec<Arc<Server>> = urls
            .iter()
            .map(|url| Server::at(url).map(Arc::new).ok_or_else(|| url.clone()))
            .collect::<Result<_, _>>()?;
        if servers.is_empty() {
            return Err(String::new());
        }
        let mut watches = JoinSet::new();
        // The only one is called whatever it says.
        if servers.len() > 1 {
            for server in &servers {
                watches.spawn(Arc::clone(server).watch());
            }
        }
        Ok(Self {
            servers,
            turn: AtomicUsize::new(0),
            timeout,
            _watches: watches,
        })
    }

    /// The channel whose turn it is.
    pub(super) fn channel(&self) -> Channel {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let serving = self.servers.iter().filter(|server| server.serves());
        let count = serving.clone().count();
        let server = match count {
            0 => self.servers.get(turn % self.servers.len()),
            // Two turns each: one for each of its channels. One may have gone down meanwhile.
            count => serving.clone().nth(turn / 2 % count),
        };
        let server = server.unwrap_or(&self.servers[0]);
        let [even, odd] = &server.channels;
        if turn.is_multiple_of(2) {
            even.clone()
        } else {
            odd.clone()
        }
    }

    /// Whether one of the servers serves.
    pub(super) async fn is_ready(&self) -> bool {
        for server in &self.servers {
            let mut health = HealthClient::new(server.channels[0].clone());
            if let Ok(Ok(answer)) = timeout(CONNECT_TIMEOUT, health.check(whole_server())).await
                && answer.into_inner().status() == ServingStatus::Serving
            {
                return true;
            }
        }
        false
    }

    /// A call's message with the caller, the deadline and the request id. `wait` is how long the call asks the server
    /// to hold its answer back: that comes on top of what any call may take.
    pub(super) fn request<T>(
        &self,
        message: T,
        wait: Duration,
        caller: &Caller,
        request_id: &HeaderValue,
    ) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout.saturating_add(wait));
        caller.write(request.metadata_mut());
        if let Ok(id) = MetadataValue::try_from(request_id.as_bytes()) {
            request.metadata_mut().insert("x-request-id", id);
        }
        request
    }
}

fn whole_server() -> HealthCheckRequest {
    HealthCheckRequest {
        service: String::new(),
    }
}

impl Server {
    fn at(url: &str) -> Option<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .ok()
            .filter(|endpoint| endpoint.uri().scheme() == Some(&Scheme::HTTP))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(KEEPALIVE))
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        Some(Self {
            channels: [endpoint.connect_lazy(), endpoint.connect_lazy()],
            // Not before it says so: at the start too, one that is away is not called if another answers.
            serves: AtomicBool::new(false),
        })
    }

    fn serves(&self) -> bool {
        self.serves.load(Ordering::Relaxed)
    }

    /// Follows what the server says of itself, for ever.
    #[expect(clippy::disallowed_methods, reason = "who is away is left alone for a while")]
    async fn watch(self: Arc<Self>) {
        loop {
            let mut health = HealthClient::new(self.channels[0].clone());
            if let Ok(answer) = health.watch(whole_server()).await {
                let mut told = answer.into_inner();
                while let Ok(Some(message)) = told.message().await {
                    let serves = message.status() == ServingStatus::Serving;
                    self.serves.store(serves, Ordering::Relaxed);
                }
            }
            self.serves.store(false, Ordering::Relaxed);
            sleep(LOOK_AGAIN).await;
        }
    }
}
