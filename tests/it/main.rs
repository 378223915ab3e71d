//! The black-box tests: a real store, a real server, real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail by panicking"
)]
#![expect(clippy::print_stdout, reason = "what is skipped and what is measured is told")]

mod authz;
mod changes;
mod commands;
mod compose;
mod conformance;
mod copies;
mod crash;
mod database;
mod directory;
mod example;
mod gate;
mod gate_model;
mod grpc;
mod job_tokens;
mod jobs;
mod links;
mod members;
mod moving;
mod operations;
mod pooler;
mod remembered;
mod replicas;
mod repository;
mod rest;
mod scale;
mod settling;
mod support;
mod tokens;
mod upgrading;
mod wait;
mod watch;
