//! The rules, pure: no I/O, no async, no wire format, no SQL.
//!
//! Everything here takes values and returns values, so that a rule can be read, tested and trusted by itself. The store
//! calls these rules inside its write transactions; nothing else decides anything.

pub mod access;
pub mod approval;
pub mod commit;
pub mod deployment;
pub mod directory;
pub mod environment;
pub mod error;
pub mod event;
pub mod gate;
pub mod guard;
pub mod id;
pub mod job;
pub mod link;
pub mod matching;
pub mod merge_request;
pub mod page;
pub mod person;
pub mod protection;
pub mod text;
pub mod token;
pub mod wait;

/// A point in time. The clock truncates to milliseconds, so that what is shown is what is stored.
pub type Time = chrono::DateTime<chrono::Utc>;
