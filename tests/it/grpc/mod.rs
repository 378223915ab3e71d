//! The gRPC contract, black box.

mod authentication;
mod deployments;
mod gate_races;
mod gate_refusals;
mod hostile;
mod merge_requests;
mod races;
mod refusals;
mod requests;
mod transport;
