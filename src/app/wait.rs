//! Waiting for a deployment.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{App, LOOK_EVERY};
use crate::{
    domain::{
        access::{Caller, ProjectAction},
        deployment::Deployment,
        error::Error,
        gate::Gate,
        id::{DeploymentId, ProjectId, ProjectKey},
        wait::{Prospect, Until, WaitOutcome},
    },
    metrics,
};

impl App {
    /// Waits until a deployment is where the caller wants it, cannot get there any more, or the time is up; answers how it
    /// ended, and the deployment at its gate at that moment. A `patience` of zero looks once.
    pub async fn deployment_wait(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        id: DeploymentId,
        until: Until,
        patience: Duration,
    ) -> Result<(WaitOutcome, Gate), Error> {
        let deadline = Instant::now() + patience;
        let view = self
            .project_for(caller, project, ProjectAction::ReadDeployment)
            .await?;
        let project = view.project.id;
        let _counted = metrics::waiting();
        // Before the first look, so that whatever happens behind it is noticed.
        let subscription = self.store.subscribe(&[project]);
        let mut recheck = Instant::now() + LOOK_EVERY;
        loop {
            let now = Instant::now();
            let found = self.store.deployment_find(project, id).await?;
            // A look that tells nothing takes no check of who looks: most wake-ups are about something else. But a job
            // that ends is the end of its token, and wakes too.
            let by_job = caller.token.job.is_some();
            if now >= deadline || now >= recheck || by_job || decided(found.as_ref(), until) {
                let gate = self.gate_as_of_now(caller, project, id).await?;
                match until.prospect(gate.deployment.status) {
                    Prospect::Met => return Ok((WaitOutcome::Met, gate)),
                    Prospect::Unmet => return Ok((WaitOutcome::Unmet, gate)),
                    Prospect::Open if now >= deadline => return Ok((WaitOutcome::TimedOut, gate)),
                    Prospect::Open => recheck = Instant::now() + LOOK_EVERY,
                }
            }
            // Woken or not, look again.
            let _ = timeout_at(deadline.min(recheck), subscription.woken()).await;
        }
    }

    /// The deployment, for a caller who may still see it.
    async fn gate_as_of_now(
        &self,
        caller: &Caller,
        project: ProjectId,
        id: DeploymentId,
    ) -> Result<Gate, Error> {
        let caller = self.still(caller).await?;
        self.gate_for(&caller, &ProjectKey::Id(project), id).await
    }
}

/// Whether there is nothing to wait for any more; a deployment that is gone will not come back.
fn decided(deployment: Option<&Deployment>, until: Until) -> bool {
    deployment.is_none_or(|deployment| until.prospect(deployment.status) != Prospect::Open)
}
