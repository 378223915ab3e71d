//! The turns in which calls are served: by the token that they present, so that one who calls a lot waits behind their own
//! calls and nobody else does.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use http::Request;
use http_body::Frame;
use tonic::{
    Status,
    body::Body,
    codegen::{Body as HttpBody, Bytes},
};

use super::{
    auth::{presented, scope_of},
    fair::{Fair, Permit},
};
use crate::domain::token::{Scope, SecretHash};

/// How many calls that read are served at a time. With fewer the cores have pauses; with more none is served sooner, and
/// who has many under way has more of the whole again.
const READS: usize = 16;
/// How many calls that write: as many as one transaction takes (see `store::sql::group_commit`), for they wait together.
const WRITES: usize = 64;

/// Whose turn it is: a token's, by its hash, or that of all who show none.
///
/// Nobody knows yet whether there is such a token, for to find that out is work too. So a caller with many made-up tokens
/// has as many turns, each as short as a refusal is; how many of them can wait is bounded for all together by
/// [`AdmissionLayer`](super::request::AdmissionLayer).
type Whose = Option<SecretHash>;

/// The turns of a server. Its clones share them.
#[derive(Debug, Clone)]
pub struct Turns {
    reads: Fair<Whose>,
    writes: Fair<Whose>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            reads: Fair::new(READS),
            writes: Fair::new(WRITES),
        }
    }
}

impl Turns {
    /// The turn of this call, which is yet to come.
    pub fn of<B>(&self, request: &Request<B>) -> Turn {
        let queue = match scope_of(request.uri().path()) {
            Scope::ReadApi => &self.reads,
            Scope::Api | Scope::MergeRequests => &self.writes,
        };
        let of_call = OfCall {
            queue: queue.clone(),
            whose: presented(request.headers()).map(|(secret, _)| secret.hash()),
            permit: Mutex::default(),
        };
        Turn(Arc::new(of_call))
    }
}

/// The turn of a call: over when all of it is dropped, or before.
#[derive(Debug, Clone)]
pub struct Turn(Arc<OfCall>);

#[derive(Debug)]
struct OfCall {
    queue: Fair<Whose>,
    whose: Whose,
    /// None as long as it has not come, and when it is over.
    permit: Mutex<Option<Permit<Whose>>>,
}

impl Turn {
    /// Waits until it has come.
    pub async fn come(self) {
        let permit = self.0.queue.enter(self.0.whose.clone()).await;
        *self.permit() = Some(permit);
    }

    /// Ends it.
    pub fn end(&self) {
        // The next one is let in when nothing is locked.
        let permit = self.permit().take();
        drop(permit);
    }

    fn has_come(&self) -> bool {
        self.permit().is_some()
    }

    fn permit(&self) -> MutexGuard<'_, Option<Permit<Whose>>> {
        self.0.permit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the call sends, whose turn this is. While more of it has yet to arrive the turn is others': a caller who takes
    /// long to say what they want holds nobody up. It has come again when all is here.
    pub fn paces(self, body: Body) -> Body {
        Body::new(Paced {
            body,
            turn: self,
            end: None,
            again: None,
        })
    }
}

/// See [`Turn::paces`].
struct Paced {
    body: Body,
    turn: Turn,
    /// What has arrived behind the data, for when the turn has come again.
    end: Option<End>,
    again: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// The end of a body: nothing, trailers, or an error.
type End = Option<Result<Frame<Bytes>, Status>>;

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<End> {
        let this = self.get_mut();
        if this.end.is_none() {
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Pending => {
                    this.turn.end();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
                Poll::Ready(end) => this.end = Some(end),
            }
        }
        if !this.turn.has_come() {
            let come = || Box::pin(this.turn.clone().come()) as _;
            ready!(this.again.get_or_insert_with(come).as_mut().poll(context));
            this.again = None;
        }
        Poll::Ready(this.end.take().flatten())
    }
}
