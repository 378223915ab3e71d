//! The gRPC transport: decode, call a use case, encode. No rule lives here.

mod approval;
pub mod auth;
mod changes;
mod commit;
mod convert;
mod deployment;
mod directory;
mod environment;
mod event;
mod fair;
mod gate;
mod job;
mod merge_request;
pub mod metadata;
mod page_token;
mod protection;
mod repository;
pub mod request;
mod rpc;
mod status;
mod token;
mod turn;

use std::sync::Arc;

use prost::Message;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{
    app::{App, Mutation, memory::Presumed},
    domain::{
        access::Caller,
        error::{Error, Reason},
    },
    store::{Done, RequestKey},
};
use status::refuse;

/// The longest request id, in bytes.
const REQUEST_ID_MAX: usize = 128;
/// The response metadata that marks an answer given before.
const REPLAYED: &str = "idempotent-replayed";

/// Every service of the contract, on one set of use cases.
#[derive(Clone)]
pub struct Services {
    app: App,
    /// Cancelled when the server stops: what would go on for long ends.
    shutdown: CancellationToken,
}

impl Services {
    /// The services on these use cases, until `shutdown`.
    pub fn new(app: App, shutdown: CancellationToken) -> Self {
        Self { app, shutdown }
    }
}

/// The caller that the authentication layer found.
fn caller<T>(request: &Request<T>) -> Result<Arc<Caller>, Status> {
    admitted(request)
}

/// The caller of one of the methods that presume.
fn presumed<T>(request: &Request<T>) -> Result<Arc<Presumed>, Status> {
    admitted(request)
}

fn admitted<T, C: Send + Sync + 'static>(request: &Request<T>) -> Result<Arc<C>, Status> {
    request
        .extensions()
        .get::<Arc<C>>()
        .cloned()
        .ok_or_else(|| refuse(Error::new(Reason::TokenMissing, "a token is required")))
}

/// The caller and the message of a request.
fn open<T>(request: Request<T>) -> Result<(Arc<Caller>, T), Status> {
    let caller = caller(&request)?;
    Ok((caller, request.into_inner()))
}

/// How the caller of `method` wants a change made, from the fields that every mutation has. `respond` makes the response
/// that a repeat gets too.
fn mutation<Req, A, Res>(
    method: &str,
    request: &Req,
    request_id: &str,
    validate_only: bool,
    respond: fn(&A) -> Res,
) -> Result<Mutation<A>, Error>
where
    Req: Message,
    A: 'static,
    Res: Message + 'static,
{
    let key = if request_id.is_empty() || validate_only {
        None
    } else {
        if request_id.len() > REQUEST_ID_MAX || !request_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::argument(
                "request_id",
                "must be 1 to 128 printable ASCII characters",
            ));
        }
        let mut digest = Sha256::new();
        digest.update(method.as_bytes());
        digest.update([0]);
        digest.update(request.encode_to_vec());
        Some(RequestKey {
            id: request_id.to_owned(),
            fingerprint: page_token::base64(&digest.finalize()),
        })
    };
    Ok(Mutation {
        request: key,
        validate_only,
        encode: Arc::new(move |answer| respond(answer).encode_to_vec()),
    })
}

/// The response to a change, made now or before.
fn reply<A, Res>(done: Result<Done<A>, Error>, respond: fn(&A) -> Res) -> Result<Response<Res>, Status>
where
    Res: Message + Default,
{
    match done.map_err(refuse)? {
        Done::Fresh(answer) => Ok(Response::new(respond(&answer))),
        Done::Replayed(bytes) => {
            let message = Res::decode(&*bytes).map_err(|error| {
                refuse(Error::caused(
                    Reason::Internal,
                    "a remembered answer cannot be read",
                    error,
                ))
            })?;
            let mut response = Response::new(message);
            response
                .metadata_mut()
                .insert(REPLAYED, tonic::metadata::MetadataValue::from_static("true"));
            Ok(response)
        }
    }
}

/// What `benches/hot.rs` measures of this module.
#[cfg(feature = "bench")]
pub mod hot {
    use super::page_token::{IdPosition, Query};
    use crate::pb::v1::ListDeploymentsRequest;

    /// Issues the token of the page of `request` behind an id, and reads it again.
    pub fn page_token(request: &ListDeploymentsRequest, id: i64) -> Option<i64> {
        let query = Query::new("ListDeployments", request);
        let token = query.issue(Some(&IdPosition(id)));
        let position = query.read::<IdPosition>(&token).ok()?;
        position.map(|position| position.0)
    }
}
