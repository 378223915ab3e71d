//! The sidecar, in front of a real server, as clients meet it.

mod away;
mod documented;
mod endpoints;
mod http;
mod identity;
mod pages;
mod random;
mod requests;
mod traps;
