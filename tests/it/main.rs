//! The black-box tests: a real store, a real server, real sockets.

mod scale;
