//! Leases: of the servers on one store, one does the work in the background, and another takes over when it is gone.
//!
//! The holder lets the lease beat. Who sees it stand still for long enough, by a clock of its own, takes it; so the
//! servers' clocks may differ as they like. For a moment two may take themselves for the holder: what is done under a lease
//! must bear being done twice.

use std::time::Duration;

use tokio::time::Instant;

use super::App;
use crate::{domain::error::Error, store::Lease};

/// How often a lease beats, and how often the others look.
pub const BEAT: Duration = Duration::from_secs(2);
/// How long it stands still before another takes it.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(6);

/// One server's part in a lease.
#[derive(Debug)]
pub struct Tenure {
    name: &'static str,
    /// This server, among all that ever were.
    holder: String,
    /// As it was seen last, and since when it has been so.
    seen: Option<(Lease, Instant)>,
    /// Until when it is ours without another beat.
    held_until: Option<Instant>,
}

impl Tenure {
    /// A part in the lease of that name, not held yet.
    pub fn new(name: &'static str) -> Result<Self, getrandom::Error> {
        Ok(Self {
            name,
            holder: format!("{:016x}", getrandom::u64()?),
            seen: None,
            held_until: None,
        })
    }

    /// Whether the work is this server's: takes the lease if nobody has it, and lets it beat when it is time.
    pub async fn is_held(&mut self, app: &App) -> Result<bool, Error> {
        if !app.store.is_shared() {
            return Ok(true);
        }
        if self.held_until.is_some_and(|until| Instant::now() < until) {
            return Ok(true);
        }
        self.held_until = None;
        let found = app.store.lease_find(self.name).await?;
        if !self.may_take(found.as_ref()) {
            return Ok(false);
        }
        let asked = Instant::now();
        if app.store.lease_take(self.name, &self.holder, found).await? {
            self.held_until = Some(asked + BEAT);
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether the lease is ours, nobody's, or has stood still for too long.
    fn may_take(&mut self, found: Option<&Lease>) -> bool {
        let Some(found) = found else {
            return true;
        };
        if found.holder == self.holder || found.holder == NOBODY {
            return true;
        }
        match &self.seen {
            Some((seen, since)) if seen == found => since.elapsed() >= GIVEN_UP_AFTER,
            _ => {
                self.seen = Some((found.clone(), Instant::now()));
                false
            }
        }
    }

    /// Leaves the work to whoever looks next.
    pub async fn release(&mut self, app: &App) -> Result<(), Error> {
        self.held_until = None;
        if !app.store.is_shared() {
            return Ok(());
        }
        if let Some(found) = app.store.lease_find(self.name).await?
            && found.holder == self.holder
        {
            app.store.lease_take(self.name, NOBODY, Some(found)).await?;
        }
        Ok(())
    }
}

/// The holder of a lease that was released.
const NOBODY: &str = "";

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment before a lease is given up.
    const ALMOST: Duration = Duration::from_millis(5_999);

    fn lease(holder: &str, beat: i64) -> Lease {
        Lease {
            holder: holder.into(),
            beat,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_taken_from_a_holder_whose_heart_stands_still() {
        let mut tenure = Tenure::new("work").unwrap();
        let own = tenure.holder.clone();
        assert!(tenure.may_take(None), "nobody ever had it");
        assert!(tenure.may_take(Some(&lease(NOBODY, 7))), "it was released");
        assert!(tenure.may_take(Some(&lease(&own, 7))), "it is ours");
        for beat in 0..10 {
            assert!(!tenure.may_take(Some(&lease("other", beat))), "it beats");
            tokio::time::advance(ALMOST).await;
            assert!(!tenure.may_take(Some(&lease("other", beat))), "not yet");
        }
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(tenure.may_take(Some(&lease("other", 9))));
        assert!(
            !tenure.may_take(Some(&lease("third", 10))),
            "somebody else was quicker"
        );
    }
}
