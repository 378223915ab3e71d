//! Gatehouse: a deployment ledger and approval gate.
//!
//! It speaks the GitLab Deployments API over REST and a protobuf contract over gRPC. Arrows go down only; the test
//! `tests/layering.rs` holds them:
//!
//! ```text
//!    main, cli                          one binary, its commands: no logic
//!       |
//!    server, health, operations, first_start, config, telemetry      wiring: may name everything below
//!       |            |
//!    +------+   +--------+
//!    | grpc |   |  rest  |---> pb (client side only)
//!    +------+   +--------+
//!     |    \
//!     |     +---> pb (server side)
//!    app -----------> store (the trait), repository ---> gix
//!     |                 ^ implements
//!     |              store::sql, store::sqlite ---> sqlx
//!    domain, clock, metrics, trace
//! ```
//!
//! Where to look: what a thing may do and when, in [`domain`]; who calls what in which order, in [`app`]; what is kept
//! and how it is read, in [`store`]; what git repositories say, in [`repository`]; the contract itself in `proto/gatehouse/v1`; what old clients see, in [`rest`].

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod first_start;
pub mod grpc;
pub mod health;
pub mod metrics;
pub mod operations;
pub mod pb;
pub mod repository;
pub mod rest;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod trace;
