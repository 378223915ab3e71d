//! Jobs as requests carry them.

use gatehouse::pb::v1::{
    self as pb, CreateDeploymentRequest, JobDraft, JobStatus, Pipeline, ReportJobRequest,
};
use prost_types::Timestamp;

use super::{SHA, project_id};

/// A time, in seconds.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

/// A job of a pipeline, with what it has to have.
pub fn draft(id: i64, status: JobStatus) -> JobDraft {
    JobDraft {
        id,
        status: status.into(),
        name: "deploy".into(),
        stage: "deploy".into(),
        pipeline: Some(Pipeline {
            id: 36,
            status: JobStatus::Running.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A deployment that this job carries out.
pub fn announcing(project: i64, environment: &str, job: JobDraft) -> CreateDeploymentRequest {
    CreateDeploymentRequest {
        project: Some(project_id(project)),
        environment: environment.into(),
        sha: SHA.into(),
        r#ref: "main".into(),
        job: Some(job),
        ..Default::default()
    }
}

/// A report with no more than it has to have.
pub fn report(project: i64, job_id: i64, sequence: i64, status: JobStatus) -> ReportJobRequest {
    ReportJobRequest {
        project: Some(project_id(project)),
        job_id,
        sequence,
        status: status.into(),
        ..Default::default()
    }
}

/// Where a deployment and its job are.
#[track_caller]
pub fn statuses(deployment: &pb::Deployment) -> (pb::DeploymentStatus, JobStatus) {
    (deployment.status(), deployment.job.as_ref().unwrap().status())
}
