//! Gatehouse: a deployment ledger and approval gate.

pub mod pb;
pub mod rest;
