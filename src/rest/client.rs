//! The connection to the gRPC server, and what every call takes along.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use http::{HeaderValue, uri::Scheme};
use tonic::{
    Request,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use super::caller::Caller;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Lazy connections to the server: they are made when first needed and made anew when broken.
pub(super) struct Backend {
    /// Two, because one connection's task is a bottleneck before the server is.
    channels: [Channel; 2],
    turn: AtomicUsize,
    timeout: Duration,
}

impl Backend {
    /// `None`: that is no address of a server, which should be found out at once and not by the first
    /// request.
    pub(super) fn new(url: &str, timeout: Duration) -> Option<Self> {
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
            turn: AtomicUsize::new(0),
            timeout,
        })
    }

    /// The channel whose turn it is.
    pub(super) fn channel(&self) -> Channel {
        let [even, odd] = &self.channels;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        if turn.is_multiple_of(2) {
            even.clone()
        } else {
            odd.clone()
        }
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
