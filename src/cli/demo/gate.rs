//! What waits for approval when the demo is ready: a deployment that is half approved, and one that takes one approval.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{clock::DemoClock, history, record, repository::Made};
use crate::{
    cli::{
        Error, apply,
        client::{Attempt as _, Server, project},
    },
    pb::v1::{ApprovalStatus, SubmitApprovalRequest},
};

/// Who approves for the group of that name; see the example of the apply file.
pub const QUINN: &str = "quinn";
/// The first of the security group, who has approved.
pub const SARA: &str = "sara";
/// Of the security group and of the QA group: approves as one of them.
pub const SVEN: &str = "sven";

/// The ids of the deployments that are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// By two rules, of which one is half fulfilled.
    pub by_rules: i64,
    /// By the unified setting.
    pub by_count: i64,
}

/// Puts the gate up, deploys, and approves once.
pub async fn hold(
    root: &Server,
    callers: &HashMap<&str, Server>,
    clock: &DemoClock,
    now: DateTime<Utc>,
    made: &Made,
) -> Result<Held, Error> {
    clock.tell(history::minutes_before(now, 15));
    apply::apply_quietly(root, apply::file::EXAMPLE, apply::Extent::Whole).await?;
    let mut ids = [0; 2];
    for (id, deployment) in ids.iter_mut().zip(history::at_the_gate(now, made)) {
        let caller = callers.get(deployment.by).unwrap_or(root);
        *id = record(caller, clock, &deployment).await?;
    }
    let [by_rules, by_count] = ids;
    clock.tell(history::minutes_before(now, 5));
    let request = SubmitApprovalRequest {
        project: Some(project(history::WEB)),
        deployment_id: by_rules,
        status: ApprovalStatus::Approved.into(),
        comment: Some("Scanned, nothing found".to_owned()),
        ..Default::default()
    };
    let sara = callers.get(SARA).unwrap_or(root);
    sara.approvals()
        .submit_approval(request)
        .await
        .attempt(|| format!("approve deployment {by_rules}"))?;
    Ok(Held { by_rules, by_count })
}
