//! A protected environment: who may deploy, and who has to approve.

use std::fmt;

use tonic::Code;

use super::{Answer, Container, Difference, Entry, differing, differs};
use crate::{
    cli::{
        client::{Server, group, user},
        word::Word,
    },
    pb::v1::{self as pb, GroupInheritance, GroupRef, ProtectionRole, UserRef, group_ref, user_ref},
};

#[derive(Debug)]
pub struct ProtectedEnvironment {
    pub place: String,
    pub container: Container,
    /// The environment's name; in a group a tier.
    pub name: String,
    /// Who may deploy: all of them, in order.
    pub deploy_access_levels: Vec<ProtectionEntry>,
    pub required_approval_count: Option<i32>,
    /// Who has to approve: if present all of them, in order.
    pub approval_rules: Option<Vec<ProtectionEntry>>,
}

/// A deploy access level or an approval rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectionEntry {
    pub subject: Subject,
    /// How many approvals; absent for deploy access levels.
    pub required_approvals: Option<i32>,
}

/// Who an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The user of that name.
    User(String),
    /// The members of the group of that path.
    Group(String, GroupInheritance),
    /// Everyone with the role.
    Role(ProtectionRole),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(username) => write!(f, "user {username}"),
            Self::Group(path, GroupInheritance::Inherited) => write!(f, "group {path} (inherited)"),
            Self::Group(path, _) => write!(f, "group {path}"),
            Self::Role(role) => write!(f, "role {}", role.word()),
        }
    }
}

impl fmt::Display for ProtectionEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(required) = self.required_approvals {
            write!(f, "{required} of ")?;
        }
        self.subject.fmt(f)
    }
}

/// A protection as the server has it, with the names that a file would use.
#[derive(Debug, Default)]
pub struct Found {
    etag: String,
    deploy_access_levels: Vec<ProtectionEntry>,
    required_approval_count: i32,
    approval_rules: Vec<ProtectionEntry>,
    warnings: Vec<String>,
}

impl Entry for ProtectedEnvironment {
    type Found = Found;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("protected environment {} of {}", self.name, self.container.path())
    }

    async fn find(&self, server: &Server) -> Answer<Option<Found>> {
        describe(server, self.get(server).await?, Vec::new()).await
    }

    fn etag(found: &Found) -> &str {
        &found.etag
    }

    fn warnings(found: &Found) -> &[String] {
        &found.warnings
    }

    fn differences(&self, found: &Found) -> Vec<Difference> {
        differing([
            list_differs(
                "deploy_access_levels",
                &found.deploy_access_levels,
                Some(&self.deploy_access_levels),
            ),
            differs(
                "required_approval_count",
                &found.required_approval_count,
                self.required_approval_count,
            ),
            list_differs(
                "approval_rules",
                &found.approval_rules,
                self.approval_rules.as_deref(),
            ),
        ])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<Found>> {
        let request = pb::ProtectEnvironmentRequest {
            container: self.container.to_ref(),
            name: self.name.clone(),
            deploy_access_levels: as_sent(server, &self.deploy_access_levels).await?,
            required_approval_count: self.required_approval_count.unwrap_or_default(),
            approval_rules: as_sent(server, self.approval_rules.as_deref().unwrap_or_default()).await?,
            request_id,
            validate_only: false,
        };
        let answer = server.protections().protect_environment(request).await?;
        let answer = answer.into_inner();
        describe(server, answer.protected_environment, answer.warnings).await
    }

    async fn update(&self, server: &Server, etag: String, request_id: String) -> Answer<Option<Found>> {
        // Read again for the ids of the entries; the etag sees to it that they are those that were compared.
        let Some(found) = self.get(server).await? else {
            return Ok(None);
        };
        let levels = as_sent(server, &self.deploy_access_levels).await?;
        let rules = match &self.approval_rules {
            Some(rules) => edits(
                &found.approval_rules.iter().map(rule_as_sent).collect::<Vec<_>>(),
                as_sent(server, rules).await?,
            ),
            None => Vec::new(),
        };
        let request = pb::UpdateProtectedEnvironmentRequest {
            container: self.container.to_ref(),
            name: self.name.clone(),
            deploy_access_levels: edits(
                &found
                    .deploy_access_levels
                    .iter()
                    .map(level_as_sent)
                    .collect::<Vec<_>>(),
                levels,
            ),
            required_approval_count: self.required_approval_count,
            approval_rules: rules,
            etag,
            request_id,
            validate_only: false,
        };
        let answer = server.protections().update_protected_environment(request).await?;
        let answer = answer.into_inner();
        describe(server, answer.protected_environment, answer.warnings).await
    }
}

impl ProtectedEnvironment {
    async fn get(&self, server: &Server) -> Answer<Option<pb::ProtectedEnvironment>> {
        let request = pb::GetProtectedEnvironmentRequest {
            container: self.container.to_ref(),
            name: self.name.clone(),
        };
        let answer = server.protections().get_protected_environment(request).await?;
        Ok(answer.into_inner().protected_environment)
    }
}

/// Compares a list by the words for it; names are the same whatever the case.
fn list_differs(
    field: &'static str,
    found: &[ProtectionEntry],
    wanted: Option<&[ProtectionEntry]>,
) -> Option<Difference> {
    let told = |entries: &[ProtectionEntry]| {
        let words: Vec<_> = entries.iter().map(ToString::to_string).collect();
        words.join(", ")
    };
    let (found, wanted) = (told(found), told(wanted?));
    (found.to_lowercase() != wanted.to_lowercase()).then_some(Difference { field, found, wanted })
}

/// What turns the entries that there are into those that are wanted, in their order. New ones go behind, so an entry stays,
/// with its id, if all that is wanted before it stays too; what comes after the first new one is made anew.
fn edits(found: &[pb::ProtectionEntry], wanted: Vec<pb::ProtectionEntry>) -> Vec<pb::ProtectionEntry> {
    let destroy = |entry: &pb::ProtectionEntry| pb::ProtectionEntry {
        id: entry.id,
        destroy: true,
        ..Default::default()
    };
    let mut edits = Vec::with_capacity(found.len() + wanted.len());
    let mut ahead = found;
    for wanted in wanted {
        let place = ahead.iter().position(|entry| same_subject(entry, &wanted));
        let (passed, rest) = ahead.split_at(place.unwrap_or(ahead.len()));
        edits.extend(passed.iter().map(destroy));
        let (kept, rest) = rest
            .split_first()
            .map_or((None, rest), |(kept, rest)| (Some(kept), rest));
        ahead = rest;
        edits.push(pb::ProtectionEntry {
            id: kept.map(|entry| entry.id).unwrap_or_default(),
            ..wanted
        });
    }
    edits.extend(ahead.iter().map(destroy));
    edits
}

fn same_subject(one: &pb::ProtectionEntry, other: &pb::ProtectionEntry) -> bool {
    (one.user_id, one.group_id, one.access_level) == (other.user_id, other.group_id, other.access_level)
}

/// Entries as requests carry them: by number.
async fn as_sent(server: &Server, entries: &[ProtectionEntry]) -> Answer<Vec<pb::ProtectionEntry>> {
    let mut sent = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut numbered = pb::ProtectionEntry {
            required_approvals: entry.required_approvals,
            ..Default::default()
        };
        match &entry.subject {
            Subject::User(username) => {
                let request = pb::GetUserRequest {
                    user: Some(user(username)),
                };
                let answer = server.directory().get_user(request).await?.into_inner();
                numbered.user_id = answer.user.map(|user| user.id);
            }
            Subject::Group(path, inheritance) => {
                let request = pb::GetGroupRequest {
                    group: Some(group(path)),
                };
                let answer = server.directory().get_group(request).await?.into_inner();
                numbered.group_id = answer.group.map(|group| group.id);
                numbered.group_inheritance = Some((*inheritance).into());
            }
            Subject::Role(role) => numbered.access_level = Some((*role).into()),
        }
        sent.push(numbered);
    }
    Ok(sent)
}

fn level_as_sent(level: &pb::DeployAccessLevel) -> pb::ProtectionEntry {
    use pb::deploy_access_level::Subject;

    let mut sent = pb::ProtectionEntry {
        id: level.id,
        group_inheritance: Some(level.group_inheritance),
        ..Default::default()
    };
    match level.subject {
        Some(Subject::UserId(id)) => sent.user_id = Some(id),
        Some(Subject::GroupId(id)) => sent.group_id = Some(id),
        Some(Subject::Role(role)) => sent.access_level = Some(role),
        None => {}
    }
    sent
}

fn rule_as_sent(rule: &pb::ApprovalRule) -> pb::ProtectionEntry {
    use pb::approval_rule::Subject;

    let mut sent = pb::ProtectionEntry {
        id: rule.id,
        group_inheritance: Some(rule.group_inheritance),
        required_approvals: Some(rule.required_approvals),
        ..Default::default()
    };
    match rule.subject {
        Some(Subject::UserId(id)) => sent.user_id = Some(id),
        Some(Subject::GroupId(id)) => sent.group_id = Some(id),
        Some(Subject::Role(role)) => sent.access_level = Some(role),
        None => {}
    }
    sent
}

/// A protection with the names of those that its entries are about.
async fn describe(
    server: &Server,
    protection: Option<pb::ProtectedEnvironment>,
    warnings: Vec<pb::ProtectionWarning>,
) -> Answer<Option<Found>> {
    let Some(protection) = protection else {
        return Ok(None);
    };
    let mut found = Found {
        etag: protection.etag,
        required_approval_count: protection.required_approval_count,
        warnings: warnings.into_iter().map(|warning| warning.message).collect(),
        ..Found::default()
    };
    for level in &protection.deploy_access_levels {
        let entry = named(server, &level_as_sent(level)).await?;
        found.deploy_access_levels.extend(entry);
    }
    for rule in &protection.approval_rules {
        let entry = named(server, &rule_as_sent(rule)).await?;
        found.approval_rules.extend(entry);
    }
    Ok(Some(found))
}

/// An entry by name; nothing for a subject that this version does not know. What this token may not see is named by its
/// number.
async fn named(server: &Server, entry: &pb::ProtectionEntry) -> Answer<Option<ProtectionEntry>> {
    let subject = match (entry.user_id, entry.group_id, entry.access_level) {
        (Some(id), ..) => {
            let request = pb::GetUserRequest {
                user: Some(UserRef {
                    by: Some(user_ref::By::Id(id)),
                }),
            };
            let answer = seen(server.directory().get_user(request).await)?;
            let name = answer.and_then(|answer| answer.into_inner().user);
            Subject::User(name.map_or_else(|| format!("number {id}"), |user| user.username))
        }
        (None, Some(id), _) => {
            let request = pb::GetGroupRequest {
                group: Some(GroupRef {
                    by: Some(group_ref::By::Id(id)),
                }),
            };
            let answer = seen(server.directory().get_group(request).await)?;
            let group = answer.and_then(|answer| answer.into_inner().group);
            Subject::Group(
                group.map_or_else(|| format!("number {id}"), |group| group.full_path),
                entry.group_inheritance(),
            )
        }
        (None, None, Some(number)) => match ProtectionRole::try_from(number) {
            Ok(role) => Subject::Role(role),
            Err(_) => return Ok(None),
        },
        (None, None, None) => return Ok(None),
    };
    Ok(Some(ProtectionEntry {
        subject,
        required_approvals: entry.required_approvals,
    }))
}

/// "Not found" is an answer, not a failure.
fn seen<T>(answer: Answer<T>) -> Answer<Option<T>> {
    match answer {
        Err(status) if status.code() == Code::NotFound => Ok(None),
        other => other.map(Some),
    }
}
