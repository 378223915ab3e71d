//! The sidecar, in front of a real server, as clients meet it.

mod approvals;
mod away;
mod deployables;
mod documented;
mod endpoints;
mod gate_clients;
mod http;
mod identity;
mod log;
mod merge_requests;
mod pages;
mod protected_environments;
mod random;
mod requests;
mod traps;
