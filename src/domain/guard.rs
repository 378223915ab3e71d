//! Conditions that a caller puts on a change: only if the thing is still what they read.

use chrono::SubsecRound as _;

use super::{
    Time,
    error::{Error, Reason},
};

/// What must still hold for a change to happen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guard {
    /// The etag that the caller read; empty: any.
    pub etag: String,
    /// The thing must not have changed after this time, in whole seconds as HTTP has them.
    pub unmodified_since: Option<Time>,
}

impl Guard {
    /// A guard by etag alone.
    pub fn etag(etag: impl Into<String>) -> Self {
        Self {
            etag: etag.into(),
            unmodified_since: None,
        }
    }

    /// Refuses if the thing is not what the caller read.
    pub fn check(&self, etag: &str, updated_at: Time) -> Result<(), Error> {
        self.check_etag(etag)?;
        if self
            .unmodified_since
            .is_some_and(|since| updated_at.trunc_subsecs(0) > since)
        {
            return Err(Error::new(
                Reason::ModifiedSince,
                "it changed after the time given",
            ));
        }
        Ok(())
    }

    /// Refuses if the etag is another.
    pub fn check_etag(&self, etag: &str) -> Result<(), Error> {
        if self.etag.is_empty() || self.etag == etag {
            return Ok(());
        }
        Err(Error::new(
            Reason::EtagMismatch,
            "it changed since you read it: the etag is another now",
        ))
    }
}
