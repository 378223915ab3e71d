//! What the server says of itself: it serves as long as its store does.

use std::{
    error::Error,
    iter,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::app::App;

/// How often the store is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const ANSWERED_IN: Duration = Duration::from_secs(3);

/// Whether the server serves, for whoever asks in this process.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<Option<String>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some("starting".to_owned()))))
    }
}

impl Readiness {
    /// Why it does not serve; none: it does.
    pub fn obstacle(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, obstacle: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = obstacle;
    }
}

/// Tells of the services by these names what the store says, from now on until told to stop; then that they do not serve.
pub async fn follow(
    app: App,
    reporter: HealthReporter,
    readiness: Readiness,
    services: Vec<&'static str>,
    stopping: CancellationToken,
) {
    let tell = async |status: ServingStatus| {
        for service in &services {
            reporter.set_service_status(service, status).await;
        }
    };
    tell(ServingStatus::Serving).await;
    readiness.set(None);
    let mut well = true;
    let mut due = interval(ASK_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => break,
            _ = due.tick() => {}
        }
        let asked = tokio::select! {
            () = stopping.cancelled() => break,
            asked = timeout(ANSWERED_IN, app.store().ping()) => asked,
        };
        let problem = match asked {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(with_causes(&error)),
            Err(_) => Some("the store does not answer".to_owned()),
        };
        // Once for each change, whatever it takes until the next.
        match (&problem, well) {
            (Some(problem), true) => {
                tracing::warn!(problem, "the store is not well: not serving");
                tell(ServingStatus::NotServing).await;
            }
            (None, false) => {
                tracing::info!("the store is well again: serving");
                tell(ServingStatus::Serving).await;
            }
            _ => {}
        }
        well = problem.is_none();
        // One line, whatever a database says.
        readiness.set(problem.map(|problem| problem.lines().collect::<Vec<_>>().join(" ")));
    }
    readiness.set(Some("stopping".to_owned()));
    tell(ServingStatus::NotServing).await;
}

/// An error and its causes, from the outside in.
fn with_causes(error: &dyn Error) -> String {
    let causes = iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
