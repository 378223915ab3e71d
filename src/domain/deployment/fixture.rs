//! Things for the tests of the rules about deployments.

use super::{Deployment, DeploymentStatus, GateState};
use crate::domain::{
    Time,
    environment::{AutoStopSetting, Environment, EnvironmentState, EnvironmentTier},
    id::{DeploymentId, EnvironmentId, Iid, ProjectId},
};

/// A time, in seconds.
pub fn at(seconds: i64) -> Time {
    Time::from_timestamp(seconds, 0).unwrap()
}

/// The environment of all deployments here.
pub fn environment(state: EnvironmentState) -> Environment {
    Environment {
        id: EnvironmentId(9),
        project_id: ProjectId(1),
        name: "production".into(),
        slug: "production".into(),
        external_url: None,
        state,
        tier: EnvironmentTier::Production,
        description: None,
        auto_stop_setting: AutoStopSetting::Always,
        created_at: at(1),
        updated_at: at(1),
        version: 1,
    }
}

/// A deployment that no gate ever held.
pub fn deployment(id: i64, status: DeploymentStatus) -> Deployment {
    Deployment {
        id: DeploymentId(id),
        iid: Iid(id),
        project_id: ProjectId(1),
        environment: environment(EnvironmentState::Available).summary(),
        git_ref: "main".into(),
        tag: false,
        sha: "a91957a858320c0e17f3a0eca7cfacbff50ea29a".into(),
        user: None,
        status,
        created_at: at(1),
        updated_at: at(1),
        finished_at: None,
        gate: GateState::Open,
        failure_reason: None,
        version: 1,
        commit_id: None,
        job: None,
    }
}
