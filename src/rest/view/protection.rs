//! Protected environments in the documented shape (contract 2.10).

use serde::Serialize;

use crate::pb::v1::{self as pb, approval_rule, deploy_access_level};

/// A protected environment.
#[derive(Debug, Serialize)]
pub(in crate::rest) struct ProtectedEnvironment {
    name: String,
    deploy_access_levels: Vec<DeployAccessLevel>,
    required_approval_count: i32,
    approval_rules: Vec<ApprovalRule>,
}

impl From<pb::ProtectedEnvironment> for ProtectedEnvironment {
    fn from(protection: pb::ProtectedEnvironment) -> Self {
        let levels = protection.deploy_access_levels.into_iter();
        let rules = protection.approval_rules.into_iter();
        Self {
            name: protection.name,
            deploy_access_levels: levels.map(Into::into).collect(),
            required_approval_count: protection.required_approval_count,
            approval_rules: rules.map(Into::into).collect(),
        }
    }
}

/// One way to be admitted to deploy.
#[derive(Debug, Serialize)]
struct DeployAccessLevel {
    id: i64,
    access_level: Option<i32>,
    access_level_description: Option<String>,
    user_id: Option<i64>,
    group_id: Option<i64>,
    group_inheritance_type: i32,
}

impl From<pb::DeployAccessLevel> for DeployAccessLevel {
    fn from(level: pb::DeployAccessLevel) -> Self {
        use deploy_access_level::Subject;
        let group_inheritance_type = group_inheritance_type(level.group_inheritance());
        let (user_id, group_id, access_level) = match level.subject {
            Some(Subject::UserId(id)) => (Some(id), None, None),
            Some(Subject::GroupId(id)) => (None, Some(id), None),
            Some(Subject::Role(role)) => (None, None, Some(role)),
            None => (None, None, None),
        };
        Self {
            id: level.id,
            access_level,
            access_level_description: level.description,
            user_id,
            group_id,
            group_inheritance_type,
        }
    }
}

/// So many approvals of somebody.
#[derive(Debug, Serialize)]
pub(in crate::rest) struct ApprovalRule {
    id: i64,
    user_id: Option<i64>,
    group_id: Option<i64>,
    access_level: Option<i32>,
    access_level_description: Option<String>,
    required_approvals: i32,
    group_inheritance_type: i32,
}

impl From<pb::ApprovalRule> for ApprovalRule {
    fn from(rule: pb::ApprovalRule) -> Self {
        use approval_rule::Subject;
        let group_inheritance_type = group_inheritance_type(rule.group_inheritance());
        let (user_id, group_id, access_level) = match rule.subject {
            Some(Subject::UserId(id)) => (Some(id), None, None),
            Some(Subject::GroupId(id)) => (None, Some(id), None),
            Some(Subject::Role(role)) => (None, None, Some(role)),
            None => (None, None, None),
        };
        Self {
            id: rule.id,
            user_id,
            group_id,
            access_level,
            access_level_description: rule.description,
            required_approvals: rule.required_approvals,
            group_inheritance_type,
        }
    }
}

fn group_inheritance_type(inheritance: pb::GroupInheritance) -> i32 {
    match inheritance {
        pb::GroupInheritance::Unspecified | pb::GroupInheritance::Direct => 0,
        pb::GroupInheritance::Inherited => 1,
    }
}
