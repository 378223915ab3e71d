//! Gatehouse: a deployment ledger and approval gate.

pub mod clock;
pub mod domain;
pub mod pb;
pub mod store;
