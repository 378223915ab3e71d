//! What a server does beside answering: linking merge requests, forgetting answers that nobody can ask for again.
//!
//! On a store that several servers share, one of them does it, under a lease.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    App,
    lease::{BEAT, Tenure},
};
use crate::domain::error::Error;

/// How often to look for answers to forget.
const PRUNE_EVERY: Duration = Duration::from_mins(1);
/// How many answers are forgotten in one transaction.
const PRUNED_AT_ONCE: i64 = 500;

impl App {
    /// Works in the background until told to stop. What it leaves undone stands in the store.
    pub async fn work_until(&self, stopping: &CancellationToken) {
        let mut tenure = match Tenure::new("background") {
            Ok(tenure) => tenure,
            Err(error) => {
                tracing::error!(%error, "no work in the background: this machine gives no random numbers");
                return;
            }
        };
        let mut prune_at = Instant::now();
        while !stopping.is_cancelled() {
            match self.work_once(&mut tenure, &mut prune_at).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(?error, "the work in the background is interrupted"),
            }
            tokio::select! {
                () = stopping.cancelled() => {}
                // Either way it is time to look: what was put off makes no noise when its time has come.
                _ = timeout(BEAT, self.store.link_told()) => {}
            }
        }
        if let Err(error) = tenure.release(self).await {
            // It is taken over a little later then.
            tracing::debug!(?error, "cannot release the work in the background");
        }
    }

    /// Does one piece of work, if it is this server's to do; answers whether there may be more.
    async fn work_once(&self, tenure: &mut Tenure, prune_at: &mut Instant) -> Result<bool, Error> {
        if !tenure.is_held(self).await? {
            return Ok(false);
        }
        if Instant::now() >= *prune_at {
            let pruned = self.store.request_prune(self.now(), PRUNED_AT_ONCE).await?;
            if pruned < PRUNED_AT_ONCE.unsigned_abs() {
                *prune_at = Instant::now() + PRUNE_EVERY;
            } else {
                return Ok(true);
            }
        }
        self.link_next().await
    }
}
