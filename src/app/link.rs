//! Linking merge requests to the deployments that shipped them: after the answer, from a list in the store (contract 1.5).

use super::App;
use crate::{
    domain::{
        error::Error,
        link::{LinkTask, Shipped},
    },
    store::{Due, Linked},
};

impl App {
    /// Links the deployment that has been due for the longest time; answers whether there was one.
    pub async fn link_next(&self) -> Result<bool, Error> {
        let now = self.now();
        let task = match self.store.link_due(now).await? {
            None => return Ok(false),
            Some(Due::Forget(deployment)) => {
                self.store.link_forget(deployment).await?;
                return Ok(true);
            }
            Some(Due::Link(task)) => task,
        };
        match self.shipped(&task).await {
            Ok(shipped) => match self.store.link(&task, shipped, now).await? {
                Linked::Done(count) => {
                    tracing::debug!(deployment = task.deployment.0, count, "linked merge requests");
                }
                Linked::Changed => {}
            },
            Err(error) => {
                tracing::warn!(?error, deployment = task.deployment.0, "linking is put off");
                let due_at = task.due_again(now);
                self.store.link_put_off(task.deployment, due_at).await?;
            }
        }
        Ok(true)
    }

    /// By what to find the merge requests that a deployment shipped.
    pub(super) async fn shipped(&self, task: &LinkTask) -> Result<Shipped, Error> {
        let range = self.range_of(task).await?;
        Ok(task.shipped(range.map(|range| range.ids)))
    }
}
