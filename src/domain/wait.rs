//! Waiting for a deployment: whether what is waited for holds, may still come, or cannot be expected any more.

use std::time::Duration;

use super::{
    deployment::{Deployment, DeploymentStatus, FailureReason},
    error::{Error, Reason},
};

/// The longest wait.
pub const WAIT_MAX: Duration = Duration::from_hours(1);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The gate lets it go: it is created, running or success.
    Approved,
    /// It is over: success, failed or canceled.
    Finished,
    /// It has this status.
    Status(DeploymentStatus),
}

/// How a wait stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prospect {
    /// It holds.
    Met,
    /// It does not hold but may.
    Open,
    /// It does not hold and cannot be expected any more.
    Unmet,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitOutcome {
    /// What was waited for holds.
    Met,
    /// It cannot be expected any more.
    Unmet,
    /// The time was up.
    TimedOut,
}

/// How far a status is on the way blocked, created, running, over.
fn stage(status: DeploymentStatus) -> u8 {
    match status {
        DeploymentStatus::Blocked => 0,
        DeploymentStatus::Created => 1,
        DeploymentStatus::Running => 2,
        DeploymentStatus::Success
        | DeploymentStatus::Failed
        | DeploymentStatus::Canceled
        | DeploymentStatus::Skipped => 3,
    }
}

impl Until {
    /// How the wait stands for a deployment of this status. Whoever waits expects deployments to go forward: that some
    /// may be taken up again once they are over keeps nobody waiting.
    pub fn prospect(self, status: DeploymentStatus) -> Prospect {
        use DeploymentStatus as S;
        let (holds, may) = match self {
            Self::Approved => (
                matches!(status, S::Created | S::Running | S::Success),
                status == S::Blocked,
            ),
            Self::Finished => (status.is_finished(), status != S::Skipped),
            Self::Status(wanted) => (status == wanted, stage(status) < stage(wanted)),
        };
        match (holds, may) {
            (true, _) => Prospect::Met,
            (false, true) => Prospect::Open,
            (false, false) => Prospect::Unmet,
        }
    }
}

impl WaitOutcome {
    /// Refuses any outcome but [`WaitOutcome::Met`], with what became of the deployment.
    pub fn require_met(self, deployment: &Deployment) -> Result<(), Error> {
        let (id, status) = (deployment.id, deployment.status.as_str());
        let error = match (self, deployment.failure_reason) {
            (Self::Met, _) => return Ok(()),
            (Self::Unmet, Some(FailureReason::DeploymentRejected)) => {
                Error::new(Reason::WaitUnmet, format!("deployment {id} was rejected"))
            }
            (Self::Unmet, None) => Error::new(Reason::WaitUnmet, format!("deployment {id} is {status}")),
            (Self::TimedOut, _) => {
                Error::new(Reason::WaitTimedOut, format!("deployment {id} is still {status}"))
            }
        };
        Err(error.with("status", status))
    }
}

#[cfg(test)]
mod tests {
    use DeploymentStatus as S;

    use super::*;
    use crate::domain::{
        Time,
        deployment::GateState,
        environment::EnvironmentSummary,
        id::{DeploymentId, EnvironmentId, Iid, ProjectId},
    };

    fn deployment(status: S, failure_reason: Option<FailureReason>) -> Deployment {
        Deployment {
            id: DeploymentId(41),
            iid: Iid(1),
            project_id: ProjectId(1),
            environment: EnvironmentSummary {
                id: EnvironmentId(1),
                name: "production".to_owned(),
                slug: "production".to_owned(),
                external_url: None,
                created_at: Time::UNIX_EPOCH,
                updated_at: Time::UNIX_EPOCH,
            },
            git_ref: "main".to_owned(),
            tag: false,
            sha: "a91957a".to_owned(),
            user: None,
            status,
            created_at: Time::UNIX_EPOCH,
            updated_at: Time::UNIX_EPOCH,
            finished_at: None,
            gate: GateState::Held,
            failure_reason,
            version: 1,
            commit_id: None,
            job: None,
        }
    }

    #[test]
    fn a_wait_is_met_open_or_unmet_as_the_table_says() {
        const COLUMNS: [S; 7] = [
            S::Blocked,
            S::Created,
            S::Running,
            S::Success,
            S::Failed,
            S::Canceled,
            S::Skipped,
        ];
        for (until, row) in [
            (Until::Approved, "open met met met unmet unmet unmet"),
            (Until::Finished, "open open open met met met unmet"),
            (
                Until::Status(S::Blocked),
                "met unmet unmet unmet unmet unmet unmet",
            ),
            (
                Until::Status(S::Created),
                "open met unmet unmet unmet unmet unmet",
            ),
            (Until::Status(S::Running), "open open met unmet unmet unmet unmet"),
            (Until::Status(S::Success), "open open open met unmet unmet unmet"),
            (Until::Status(S::Failed), "open open open unmet met unmet unmet"),
            (Until::Status(S::Canceled), "open open open unmet unmet met unmet"),
            (Until::Status(S::Skipped), "open open open unmet unmet unmet met"),
        ] {
            let got = COLUMNS.map(|status| match until.prospect(status) {
                Prospect::Met => "met",
                Prospect::Open => "open",
                Prospect::Unmet => "unmet",
            });
            assert_eq!(got.join(" "), row, "{until:?}");
        }
    }

    #[test]
    fn who_insists_is_told_what_became_of_the_deployment() {
        let rejected = Some(FailureReason::DeploymentRejected);
        for (outcome, deployment, wanted) in [
            (WaitOutcome::Met, deployment(S::Created, None), None),
            (
                WaitOutcome::Unmet,
                deployment(S::Failed, rejected),
                Some((Reason::WaitUnmet, "deployment 41 was rejected")),
            ),
            (
                WaitOutcome::Unmet,
                deployment(S::Canceled, None),
                Some((Reason::WaitUnmet, "deployment 41 is canceled")),
            ),
            (
                WaitOutcome::TimedOut,
                deployment(S::Blocked, None),
                Some((Reason::WaitTimedOut, "deployment 41 is still blocked")),
            ),
        ] {
            let refusal = outcome.require_met(&deployment).err();
            let got = refusal.as_ref().map(|error| (error.reason(), error.to_string()));
            let wanted = wanted.map(|(reason, message)| (reason, message.to_owned()));
            assert_eq!(got, wanted);
            if let Some(error) = refusal {
                assert_eq!(
                    error.metadata(),
                    [("status", deployment.status.as_str().to_owned())]
                );
            }
        }
    }
}
