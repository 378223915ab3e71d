//! Projects: what they may be called, and who may change what of them.

use super::{DirectoryChange, Group, NAME_SEPARATOR, Project, Visibility, check_described, etag, not_empty};
use crate::domain::{
    Time,
    access::ProjectAction,
    error::{Error, Violations},
    id::UserId,
    text,
};

/// The branch that deployments usually come from, if nobody says another.
const DEFAULT_BRANCH: &str = "main";

/// What a caller wants made; an empty name is the path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateProject {
    /// The last segment of the full path.
    pub path: String,
    /// The name to show.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who may see it without being a member.
    pub visibility: Visibility,
    /// The branch that deployments usually come from; empty: `main`.
    pub default_branch: String,
    /// Read-only from the start.
    pub archived: bool,
    /// Whether who records a deployment may approve it themself.
    pub allow_self_approval: bool,
    /// Whether outdated deployment jobs may not start; absent: they may not.
    pub forward_deployment_enabled: Option<bool>,
    /// Whether a job that has ended may all the same be run again; absent: it may.
    pub forward_deployment_rollback_allowed: Option<bool>,
}

/// What a caller wants changed; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateProject {
    /// The new name.
    pub name: Option<String>,
    /// The new description.
    pub description: Option<String>,
    /// The new visibility.
    pub visibility: Option<Visibility>,
    /// The new branch.
    pub default_branch: Option<String>,
    /// Whether it is read-only.
    pub archived: Option<bool>,
    /// Whether who records a deployment may approve it themself.
    pub allow_self_approval: Option<bool>,
    /// Whether outdated deployment jobs may not start (contract 1.3).
    pub forward_deployment_enabled: Option<bool>,
    /// Whether a job that has ended may all the same be run again, to roll back.
    pub forward_deployment_rollback_allowed: Option<bool>,
}

/// A project about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProject {
    /// The group it is in.
    pub group: Group,
    /// The last segment of the full path.
    pub path: String,
    /// All segments.
    pub full_path: String,
    /// The name to show.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who may see it without being a member.
    pub visibility: Visibility,
    /// The branch that deployments usually come from.
    pub default_branch: String,
    /// Read-only.
    pub archived: bool,
    /// Whether who records a deployment may approve it themself.
    pub allow_self_approval: bool,
    /// Who creates it.
    pub creator_id: UserId,
    /// Whether outdated deployment jobs may not start (contract 1.3).
    pub forward_deployment_enabled: bool,
    /// Whether a job that has ended may all the same be run again, to roll back.
    pub forward_deployment_rollback_allowed: bool,
}

impl UpdateProject {
    /// The same as a wish to create: what an upsert makes of a project that is not there.
    pub fn creating(&self, path: &str) -> CreateProject {
        CreateProject {
            path: path.to_owned(),
            name: self.name.clone().unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
            visibility: self.visibility.unwrap_or_default(),
            default_branch: self.default_branch.clone().unwrap_or_default(),
            archived: self.archived.unwrap_or_default(),
            allow_self_approval: self.allow_self_approval.unwrap_or_default(),
            forward_deployment_enabled: self.forward_deployment_enabled,
            forward_deployment_rollback_allowed: self.forward_deployment_rollback_allowed,
        }
    }

    /// What the caller must be allowed for this: who sees it and whether it is read-only is not for everyone to change.
    pub fn action(&self, project: &Project) -> ProjectAction {
        let seen = self
            .visibility
            .is_some_and(|visibility| visibility != project.visibility);
        let frozen = self.archived.is_some_and(|archived| archived != project.archived);
        if seen || frozen {
            ProjectAction::Administer
        } else {
            ProjectAction::Update
        }
    }
}

/// Decides what creating a project changes. `path_taken` tells that a group or project has that full path.
pub fn create_project(
    command: &CreateProject,
    group: &Group,
    path_taken: bool,
    creator: UserId,
) -> Result<Vec<DirectoryChange>, Error> {
    let mut violations = Violations::default();
    violations.check(text::path_segment("path", &command.path));
    let name = not_empty(&command.name);
    check_described(&mut violations, name.as_deref(), Some(&command.description));
    let branch = not_empty(&command.default_branch).unwrap_or_else(|| DEFAULT_BRANCH.to_owned());
    violations.check(text::display_name("default_branch", &branch));
    violations.finish()?;
    if path_taken {
        return Err(Error::taken("project", "path"));
    }
    Ok(vec![DirectoryChange::ProjectCreated(NewProject {
        full_path: format!("{}/{}", group.full_path, command.path),
        path: command.path.clone(),
        name: name.unwrap_or_else(|| command.path.clone()),
        description: command.description.clone(),
        visibility: command.visibility,
        default_branch: branch,
        archived: command.archived,
        allow_self_approval: command.allow_self_approval,
        forward_deployment_enabled: command.forward_deployment_enabled.unwrap_or(true),
        forward_deployment_rollback_allowed: command.forward_deployment_rollback_allowed.unwrap_or(true),
        creator_id: creator,
        group: group.clone(),
    })])
}

impl Project {
    /// The group's full name and the project's, joined by ` / `.
    pub fn full_name(&self) -> String {
        format!("{}{NAME_SEPARATOR}{}", self.group.full_name, self.name)
    }

    /// The etag: changes with every change of its own fields.
    pub fn etag(&self) -> String {
        etag(self.id.0, self.version)
    }

    /// Decides what an update changes: nothing, where nothing would differ.
    pub fn update(&self, command: &UpdateProject, now: Time) -> Result<Vec<DirectoryChange>, Error> {
        let mut violations = Violations::default();
        check_described(
            &mut violations,
            command.name.as_deref(),
            command.description.as_deref(),
        );
        if let Some(branch) = &command.default_branch {
            violations.check(text::display_name("default_branch", branch));
        }
        violations.finish()?;
        let replaced = |new: &Option<String>, old: &String| new.as_ref().unwrap_or(old).clone();
        let mut after = Self {
            name: replaced(&command.name, &self.name),
            description: replaced(&command.description, &self.description),
            default_branch: replaced(&command.default_branch, &self.default_branch),
            visibility: command.visibility.unwrap_or(self.visibility),
            archived: command.archived.unwrap_or(self.archived),
            allow_self_approval: command.allow_self_approval.unwrap_or(self.allow_self_approval),
            forward_deployment_enabled: command
                .forward_deployment_enabled
                .unwrap_or(self.forward_deployment_enabled),
            forward_deployment_rollback_allowed: command
                .forward_deployment_rollback_allowed
                .unwrap_or(self.forward_deployment_rollback_allowed),
            ..self.clone()
        };
        if after == *self {
            return Ok(Vec::new());
        }
        after.updated_at = now;
        after.version += 1;
        Ok(vec![DirectoryChange::ProjectUpdated(after)])
    }

    /// Decides what attaching a repository changes, or, with none, detaching it: nothing, where nothing would differ.
    pub fn attach(&self, repository: Option<&str>, now: Time) -> Vec<DirectoryChange> {
        if self.repository.as_deref() == repository {
            return Vec::new();
        }
        vec![DirectoryChange::ProjectUpdated(Self {
            repository: repository.map(str::to_owned),
            updated_at: now,
            version: self.version + 1,
            ..self.clone()
        })]
    }

    /// The change that deletes the project.
    pub fn delete(&self) -> Vec<DirectoryChange> {
        vec![DirectoryChange::ProjectDeleted(self.clone())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        directory::fixture::{group, now, project},
        error::Reason,
    };
    use chrono::TimeDelta;

    #[test]
    fn a_project_is_called_by_its_path_until_somebody_names_it() {
        let command = UpdateProject::default().creating("web");
        let changes = create_project(&command, &group(3, "acme/shop"), false, UserId(1)).unwrap();
        let [DirectoryChange::ProjectCreated(new)] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(
            (
                new.full_path.as_str(),
                new.name.as_str(),
                new.default_branch.as_str()
            ),
            ("acme/shop/web", "web", "main")
        );
        assert_eq!(new.visibility, Visibility::Private);
    }

    #[test]
    fn a_project_is_refused_with_every_bad_field() {
        let bad = CreateProject {
            path: "-".to_owned(),
            name: "\n".to_owned(),
            description: "\0".to_owned(),
            default_branch: "b".repeat(256),
            ..CreateProject::default()
        };
        let error = create_project(&bad, &group(3, "acme"), true, UserId(1)).unwrap_err();
        let fields: Vec<_> = error.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["path", "name", "description", "default_branch"]);
        let taken = UpdateProject::default().creating("web");
        let error = create_project(&taken, &group(3, "acme"), true, UserId(1)).unwrap_err();
        assert_eq!(error.reason(), Reason::AlreadyExists);
    }

    #[test]
    fn visibility_and_archiving_take_an_owner_only_where_they_change() {
        let project = project(1, "acme/web");
        let with = |visibility, archived| UpdateProject {
            visibility,
            archived,
            ..UpdateProject::default()
        };
        for (command, action) in [
            (with(None, None), ProjectAction::Update),
            (
                with(Some(project.visibility), Some(project.archived)),
                ProjectAction::Update,
            ),
            (with(Some(Visibility::Public), None), ProjectAction::Administer),
            (with(None, Some(true)), ProjectAction::Administer),
        ] {
            assert_eq!(command.action(&project), action, "{command:?}");
        }
    }

    #[test]
    fn a_project_changes_only_if_something_differs() {
        let before = project(1, "acme/web");
        let later = now() + TimeDelta::hours(1);
        let same = UpdateProject {
            name: Some(before.name.clone()),
            default_branch: Some(before.default_branch.clone()),
            ..UpdateProject::default()
        };
        assert_eq!(before.update(&same, later).unwrap(), []);
        let other = UpdateProject {
            default_branch: Some("trunk".to_owned()),
            ..UpdateProject::default()
        };
        let changes = before.update(&other, later).unwrap();
        let [DirectoryChange::ProjectUpdated(after)] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!((after.updated_at, after.version), (later, before.version + 1));
        assert_eq!(after.default_branch, "trunk");
    }
}
