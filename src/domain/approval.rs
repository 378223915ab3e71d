//! Approvals: a person's decision about a deployment. When one may be given, and what it does, is for [`super::gate`].

use super::{
    Time,
    directory::UserSummary,
    error::{Error, Reason},
    id::{ApprovalRuleId, DeploymentId, UserId},
    text,
};

/// What somebody decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApprovalStatus {
    /// It may go.
    Approved,
    /// It must not go.
    Rejected,
}

impl ApprovalStatus {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Approved, Self::Rejected];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }

    /// The status for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A person's decision about a deployment: there is at most one of each person (decision 9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// About what.
    pub deployment_id: DeploymentId,
    /// Who decided.
    pub user: UserSummary,
    /// What.
    pub status: ApprovalStatus,
    /// What they said.
    pub comment: Option<String>,
    /// As whom; empty: as any.
    pub represented_as: String,
    /// The rules that had that name when they decided. A rule keeps its vote when its subject is renamed.
    pub pinned: Vec<ApprovalRuleId>,
    /// The rule it counted for when the deployment left the gate; while it is blocked that is worked out anew each time.
    pub rule_id: Option<ApprovalRuleId>,
    /// When they first decided.
    pub created_at: Time,
    /// When they last changed it.
    pub updated_at: Time,
}

/// What a caller decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitApproval {
    /// What.
    pub status: ApprovalStatus,
    /// What they say.
    pub comment: Option<String>,
    /// As whom; empty: as any.
    pub represented_as: String,
}

impl SubmitApproval {
    /// Whether this says nothing that was not said: the same decision, and not as somebody else.
    pub fn repeats(&self, existing: &Approval) -> bool {
        let same_name = self.represented_as.is_empty() || self.represented_as == existing.represented_as;
        self.status == existing.status && same_name
    }

    /// Checks the comment: at most 255 characters.
    pub fn check(&self) -> Result<(), Error> {
        match &self.comment {
            Some(comment) => text::at_most("comment", comment, text::NAME_MAX)
                .map_err(|error| error.with_reason(Reason::InvalidApproval)),
            None => Ok(()),
        }
    }
}

/// An approval as it will be kept; takes the place of the same person's earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalDraft {
    /// About what.
    pub deployment_id: DeploymentId,
    /// Who decides.
    pub user_id: UserId,
    /// What.
    pub status: ApprovalStatus,
    /// What they say.
    pub comment: Option<String>,
    /// As whom; empty: as any.
    pub represented_as: String,
    /// The rules of that name.
    pub pinned: Vec<ApprovalRuleId>,
}
