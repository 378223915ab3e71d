//! The gRPC contract, black box.

mod authentication;
mod deployments;
mod races;
mod refusals;
mod requests;
mod transport;
