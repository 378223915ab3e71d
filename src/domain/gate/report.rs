//! What a report of a job does at the gate: to the job, and to the deployment that it carries out.

use super::Gate;
use crate::domain::{
    Time,
    deployment::{Deployment, DeploymentEvent, DeploymentStatus, GateState},
    directory::User,
    environment::Environment,
    error::{Error, Reason},
    event::ProjectChange,
    job::{Job, JobReport, JobStatus, OUTDATED_DEPLOYMENT_JOB, job_not_found},
};

impl Gate {
    /// Decides what a report of the deployment's job changes: nothing, if it is not newer than the last one.
    /// `environment` is the deployment's, `last` its last successful deployment.
    pub fn report(
        &self,
        report: &JobReport,
        environment: &Environment,
        last: Option<&Deployment>,
        viewer: &User,
        now: Time,
    ) -> Result<Vec<ProjectChange>, Error> {
        let Deployment { sha, git_ref, .. } = &self.deployment;
        let job = self
            .deployment
            .job
            .as_ref()
            .ok_or_else(|| job_not_found(report.id))?;
        report.check(now)?;
        if !job.is_behind(report) {
            return Ok(Vec::new());
        }
        self.may_go(report.status, viewer)?;
        let too_late = self.too_late(report.status, last)?;
        let status = if too_late {
            JobStatus::Failed
        } else {
            self.kept(job, report.status)
        };
        let mut job = job.after(report, status, sha, git_ref, now)?;
        if too_late {
            job = job.failed(OUTDATED_DEPLOYMENT_JOB, now);
        }
        self.follow(job, environment, now)
    }

    /// Refuses a start or a success of what is held; that it was given up is true all the same.
    fn may_go(&self, status: JobStatus, viewer: &User) -> Result<(), Error> {
        if !self.is_held() {
            return Ok(());
        }
        let event = match status {
            JobStatus::Success => DeploymentEvent::Succeed,
            status if status.is_under_way() => DeploymentEvent::Run,
            _ => return Ok(()),
        };
        let refused = self.deployment.on(event, self.deployment.updated_at);
        refused.map(drop).map_err(|error| self.explained(error, viewer))
    }

    /// Whether the job must not start, because a newer deployment has succeeded. One that has ended may be run again, to
    /// roll back; where that is not allowed either, it is refused.
    fn too_late(&self, status: JobStatus, last: Option<&Deployment>) -> Result<bool, Error> {
        let deployment = &self.deployment;
        let outdated = last.is_some_and(|last| last.id > deployment.id && !last.ships_the_same(deployment));
        if !self.project.forward_deployment_enabled || !outdated || !status.is_under_way() {
            return Ok(false);
        }
        if !deployment.has_ended() {
            return Ok(status == JobStatus::Running);
        }
        if self.project.forward_deployment_rollback_allowed {
            return Ok(false);
        }
        Err(Error::new(
            Reason::OutdatedDeploymentJob,
            "a newer deployment has succeeded, and the project does not let jobs be run again",
        ))
    }

    /// The status that a job is in after it was reported to be in `reported`. At the gate it waits, and what the gate
    /// has let go does not wait again: who reports so has not heard of it yet.
    fn kept(&self, job: &Job, reported: JobStatus) -> JobStatus {
        let Deployment { gate, status, .. } = &self.deployment;
        match (reported, gate) {
            (JobStatus::Created | JobStatus::Manual, GateState::Held)
                if matches!(status, DeploymentStatus::Blocked | DeploymentStatus::Skipped) =>
            {
                JobStatus::Manual
            }
            (JobStatus::Created | JobStatus::Manual, GateState::Released) if !job.status.is_ended() => {
                job.status
            }
            (reported, _) => reported,
        }
    }

    /// The steps that take the deployment where its job is, as far as there are such steps.
    fn steps(&self, status: JobStatus) -> Vec<DeploymentEvent> {
        use DeploymentEvent as E;
        use DeploymentStatus as S;
        let from = self.deployment.status;
        // Somebody has to start it, and somebody did.
        let waiting = from == S::Blocked && !self.is_held();
        let wanted: &[E] = match status {
            JobStatus::Created if from == S::Skipped => &[E::Create],
            JobStatus::Manual if from == S::Skipped => &[E::Create, E::Block],
            JobStatus::Manual => &[E::Block],
            JobStatus::Running if waiting => &[E::Unblock, E::Run],
            JobStatus::Running => &[E::Run],
            JobStatus::Success if waiting => &[E::Unblock, E::Succeed],
            JobStatus::Success => &[E::Succeed],
            JobStatus::Failed => &[E::Drop],
            JobStatus::Canceled => &[E::Cancel],
            JobStatus::Skipped => &[E::Skip],
            _ if waiting => &[E::Unblock],
            _ => &[],
        };
        let mut at = Some(from);
        for event in wanted {
            at = at.and_then(|status| event.apply(status));
        }
        if at.is_some() { wanted.to_vec() } else { Vec::new() }
    }

    /// Lets the deployment follow its job.
    fn follow(&self, job: Job, environment: &Environment, now: Time) -> Result<Vec<ProjectChange>, Error> {
        let steps = self.steps(job.status);
        let mut after = self.deployment.clone();
        for &event in &steps {
            if let ProjectChange::DeploymentMoved { after: moved, .. } = after.on(event, now)? {
                after = *moved;
            }
        }
        after.job = Some(Box::new(job));
        if steps.is_empty() {
            after.version += 1;
            return Ok(vec![ProjectChange::JobReported(Box::new(after))]);
        }
        let mut changes = vec![ProjectChange::DeploymentMoved {
            before: self.deployment.status,
            after: Box::new(after.clone()),
        }];
        if after.status == DeploymentStatus::Success {
            changes.extend(environment.start(now));
        }
        if self.is_held() {
            changes.push(self.counted(&self.slots()));
        }
        // Taken up again at the gate, where nothing may be missing any more.
        let again = Self {
            deployment: after,
            ..self.clone()
        };
        changes.extend(again.settle(now)?);
        Ok(changes)
    }
}
