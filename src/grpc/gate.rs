//! Protections, approvals and holds as messages.

use crate::{
    app::approval::Explanation,
    domain::{
        approval::Approval,
        deployment::Deployment,
        directory::Container,
        error::Error,
        gate::{ApprovalState, Gate, HoldKind, Unreachable, Viewer},
        id::UserId,
        protection::{ApprovalRule, Audience, DeployAccessLevel, ProtectedEnvironment, Role, Subject},
    },
    grpc::convert,
    pb::v1 as pb,
    store::ProjectAnswer,
};

/// A number of approvals; no more than a few hundred.
fn count(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn role(role: Role) -> pb::ProtectionRole {
    match role {
        Role::Reporter => pb::ProtectionRole::Reporter,
        Role::Developer => pb::ProtectionRole::Developer,
        Role::Maintainer => pb::ProtectionRole::Maintainer,
        Role::Admin => pb::ProtectionRole::Admin,
    }
}

fn deploy_access_level(level: &DeployAccessLevel) -> pb::DeployAccessLevel {
    use pb::deploy_access_level::Subject as To;
    let Audience {
        subject,
        inheritance,
        description,
        ..
    } = &level.audience;
    pb::DeployAccessLevel {
        id: level.id.0,
        subject: Some(match *subject {
            Subject::User(id) => To::UserId(id.0),
            Subject::Group(id) => To::GroupId(id.0),
            Subject::Role(of) => To::Role(role(of).into()),
        }),
        group_inheritance: convert::inheritance(*inheritance).into(),
        description: description.clone(),
    }
}

fn approval_rule(rule: &ApprovalRule) -> pb::ApprovalRule {
    use pb::approval_rule::Subject as To;
    let Audience {
        subject,
        inheritance,
        description,
        ..
    } = &rule.audience;
    pb::ApprovalRule {
        id: rule.id.0,
        subject: Some(match *subject {
            Subject::User(id) => To::UserId(id.0),
            Subject::Group(id) => To::GroupId(id.0),
            Subject::Role(of) => To::Role(role(of).into()),
        }),
        group_inheritance: convert::inheritance(*inheritance).into(),
        description: description.clone(),
        required_approvals: count(rule.required_approvals),
    }
}

/// A protected environment.
pub fn protected_environment(protection: &ProtectedEnvironment) -> pb::ProtectedEnvironment {
    use pb::protected_environment::Container as To;
    let levels = protection.deploy_access_levels.iter();
    pb::ProtectedEnvironment {
        container: Some(match protection.container {
            Container::Project(id) => To::ProjectId(id.0),
            Container::Group(id) => To::GroupId(id.0),
        }),
        name: protection.name.clone(),
        deploy_access_levels: levels.map(deploy_access_level).collect(),
        required_approval_count: count(protection.required_approval_count),
        approval_rules: protection.approval_rules.iter().map(approval_rule).collect(),
        created_at: Some(convert::timestamp(protection.created_at)),
        updated_at: Some(convert::timestamp(protection.updated_at)),
        etag: protection.etag(),
    }
}

/// What a protection asks for and nobody can give.
pub fn warning(unreachable: &Unreachable) -> pb::ProtectionWarning {
    let who = unreachable.rule.as_ref().map_or_else(
        || "those who may deploy".to_owned(),
        |rule| rule.audience.describe(),
    );
    pb::ProtectionWarning {
        approval_rule: unreachable.rule.as_ref().map(approval_rule),
        missing: count(unreachable.missing),
        message: format!(
            "{} of the required approvals of {who} can be given by nobody",
            unreachable.missing
        ),
    }
}

/// Somebody's decision.
pub fn approval(approval: &Approval) -> pb::Approval {
    pb::Approval {
        user: Some(convert::user_summary(&approval.user)),
        status: convert::approval_status(approval.status).into(),
        comment: approval.comment.clone(),
        represented_as: approval.represented_as.clone(),
        approval_rule_id: approval.rule_id.map(|id| id.0),
        created_at: Some(convert::timestamp(approval.created_at)),
        updated_at: Some(convert::timestamp(approval.updated_at)),
    }
}

/// What was decided, and what is missing.
pub fn approval_state(state: &ApprovalState) -> pb::ApprovalState {
    let rules = state.rules.iter();
    pb::ApprovalState {
        pending_approval_count: count(state.pending_approval_count),
        approvals: state.approvals.iter().map(approval).collect(),
        rules: rules
            .map(|summary| pb::ApprovalRuleSummary {
                approval_rule: Some(approval_rule(&summary.rule)),
                deployment_approvals: summary.approvals.iter().map(approval).collect(),
                missing: count(summary.missing),
            })
            .collect(),
        required_approval_count: count(state.required_approval_count),
    }
}

fn permission(outcome: &Result<(), Error>) -> pb::Permission {
    match outcome {
        Ok(()) => pb::Permission {
            allowed: true,
            ..pb::Permission::default()
        },
        Err(error) => pb::Permission {
            allowed: false,
            reason: error.reason().name().to_owned(),
            message: error.to_string(),
        },
    }
}

/// What a caller may do about a deployment.
fn viewer(viewer: &Viewer) -> pb::DeploymentViewer {
    pb::DeploymentViewer {
        approve: Some(permission(&viewer.approve)),
        reject: Some(permission(&viewer.reject)),
        start: Some(permission(&viewer.start)),
    }
}

/// A deployment with all that a caller is told of it beyond a list.
pub struct Extended {
    /// The deployment.
    pub deployment: Option<pb::Deployment>,
    /// What was decided, and what is missing.
    pub approval_state: Option<pb::ApprovalState>,
    /// What the caller may do about it.
    pub viewer: Option<pb::DeploymentViewer>,
}

impl Extended {
    /// Of a deployment at its gate, for a caller who is among the people.
    pub fn of(gate: &Gate, caller: UserId) -> Self {
        let person = gate.people.get(&caller);
        Self {
            deployment: Some(convert::deployment(&gate.deployment)),
            approval_state: Some(approval_state(&gate.approval_state())),
            viewer: person.map(|person| viewer(&gate.viewer(&person.user))),
        }
    }

    /// Of the deployment that a change was about.
    pub fn after(answer: &ProjectAnswer) -> Self {
        let bare = |deployment: &Deployment| Self {
            deployment: Some(convert::deployment(deployment)),
            approval_state: None,
            viewer: None,
        };
        match (&answer.gate, &answer.deployment) {
            (Some(gate), _) => Self::of(gate, answer.actor),
            (None, Some(deployment)) => bare(deployment),
            (None, None) => Self {
                deployment: None,
                approval_state: None,
                viewer: None,
            },
        }
    }
}

fn hold_kind(kind: HoldKind) -> pb::HoldKind {
    match kind {
        HoldKind::ApprovalsMissing => pb::HoldKind::ApprovalsMissing,
        HoldKind::QuorumUnreachable => pb::HoldKind::QuorumUnreachable,
        HoldKind::NotAdmitted => pb::HoldKind::NotAdmitted,
        HoldKind::RoleMissing => pb::HoldKind::RoleMissing,
        HoldKind::ProjectArchived => pb::HoldKind::ProjectArchived,
        HoldKind::NotStartable => pb::HoldKind::NotStartable,
    }
}

/// Something that holds a deployment.
pub fn hold(explanation: &Explanation) -> pb::Hold {
    let hold = &explanation.hold;
    pb::Hold {
        kind: hold_kind(hold.kind).into(),
        approval_rule: hold.rule.as_ref().map(approval_rule),
        missing: count(hold.missing),
        protected_environment: hold.protection.clone().unwrap_or_default(),
        lifted_by: hold.lifted_by.clone(),
        approvers: explanation.approvers.iter().map(convert::user_summary).collect(),
        message: hold.message.clone(),
    }
}
