//! Gatehouse: a deployment ledger and approval gate.

pub mod app;
pub mod clock;
pub mod domain;
pub mod first_start;
pub mod grpc;
pub mod pb;
pub mod rest;
pub mod server;
pub mod store;
