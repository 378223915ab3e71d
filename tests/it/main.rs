//! The black-box tests: a real store, a real server, real sockets.

mod authz;
mod scale;
mod support;
