//! What was decided about a deployment (contract 2.1).

use serde::Serialize;

use super::{Deployment, UserBasic, printed, protection::ApprovalRule, words};
use crate::pb::v1;

/// Somebody's decision.
#[derive(Debug, Serialize)]
pub(in crate::rest) struct Approval {
    user: Option<UserBasic>,
    status: &'static str,
    created_at: Option<String>,
    comment: Option<String>,
}

impl Approval {
    /// `base` is where the client found this server.
    pub(in crate::rest) fn new(approval: v1::Approval, base: &str) -> Self {
        Self {
            user: approval.user.map(|user| UserBasic::new(user, base)),
            status: words::word(words::APPROVAL_STATUSES, approval.status),
            created_at: printed(approval.created_at.as_ref()),
            comment: approval.comment,
        }
    }

    fn all(approvals: Vec<v1::Approval>, base: &str) -> Vec<Self> {
        approvals
            .into_iter()
            .map(|approval| Self::new(approval, base))
            .collect()
    }
}

/// A rule with the decisions that count for it.
#[derive(Debug, Serialize)]
struct RuleSummary {
    #[serde(flatten)]
    rule: ApprovalRule,
    deployment_approvals: Vec<Approval>,
}

impl RuleSummary {
    fn new(summary: v1::ApprovalRuleSummary, base: &str) -> Self {
        Self {
            rule: summary.approval_rule.unwrap_or_default().into(),
            deployment_approvals: Approval::all(summary.deployment_approvals, base),
        }
    }
}

/// The rules that apply.
#[derive(Debug, Serialize)]
struct ApprovalSummary {
    rules: Vec<RuleSummary>,
}

/// What was decided about a deployment, and what is missing.
#[derive(Debug, Serialize)]
pub(super) struct Approvals {
    pending_approval_count: i32,
    approvals: Vec<Approval>,
    approval_summary: ApprovalSummary,
}

/// A deployment alone (product decision 4).
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(in crate::rest) struct ExtendedDeployment(Deployment);

impl ExtendedDeployment {
    /// Without a state nothing was decided and nothing is missing.
    pub(in crate::rest) fn new(
        deployment: v1::Deployment,
        state: Option<v1::ApprovalState>,
        base: &str,
    ) -> Self {
        let state = state.unwrap_or_default();
        let rules = state.rules.into_iter();
        Self(Deployment {
            approvals: Some(Approvals {
                pending_approval_count: state.pending_approval_count,
                approvals: Approval::all(state.approvals, base),
                approval_summary: ApprovalSummary {
                    rules: rules.map(|rule| RuleSummary::new(rule, base)).collect(),
                },
            }),
            ..Deployment::new(deployment, base)
        })
    }
}
