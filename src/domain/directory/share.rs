//! Shares: groups that are let in, and how far.

use super::{Container, ContainerView, DirectoryChange, Group, GroupShare, Standing, User, etag, level_fits};
use crate::domain::{
    access::{self, AccessLevel},
    error::{Error, Reason},
    id::GroupId,
};

/// A share about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewShare {
    /// What is shared.
    pub container: Container,
    /// The group that is let in.
    pub group_id: GroupId,
    /// Its full path.
    pub group_full_path: String,
    /// The most that its members get.
    pub access_level: AccessLevel,
}

/// Refuses a group that is let in already: a group into itself or what it is in, or whatever is in it.
fn strangers(shared: &ContainerView, group: &Group) -> Result<(), Error> {
    let related = match shared {
        ContainerView::Project(view) => view.as_ref().is_some_and(|view| group.holds(&view.project.group)),
        ContainerView::Group(view) => view
            .as_ref()
            .is_some_and(|view| group.holds(&view.group) || view.group.holds(group)),
    };
    if related {
        return Err(Error::argument(
            "group",
            "can't be the group itself, nor one above or below it",
        ));
    }
    Ok(())
}

/// Decides what sharing changes. `caller` has `standing` in `container`, which `shared` is; `existing` is the share
/// with `group`.
pub fn create_share(
    shared: &ContainerView,
    (container, standing): (Container, Standing),
    group: &Group,
    level: AccessLevel,
    caller: &User,
    existing: Option<&GroupShare>,
) -> Result<Vec<DirectoryChange>, Error> {
    level_fits(container, level)?;
    access::may_grant(caller, standing, level)?;
    strangers(shared, group)?;
    if existing.is_some() {
        return Err(Error::taken("group_share", "group"));
    }
    Ok(vec![DirectoryChange::ShareCreated(NewShare {
        container,
        group_id: group.id,
        group_full_path: group.full_path.clone(),
        access_level: level,
    })])
}

impl GroupShare {
    /// The etag: changes with every change, and when the share is made again.
    pub fn etag(&self) -> String {
        etag(self.id, self.version)
    }

    /// Decides what another level changes: nothing, if it is this one.
    pub fn update(
        &self,
        level: AccessLevel,
        caller: &User,
        standing: Standing,
    ) -> Result<Vec<DirectoryChange>, Error> {
        level_fits(self.container, level)?;
        access::may_revoke(caller, standing, self.access_level)?;
        access::may_grant(caller, standing, level)?;
        if level == self.access_level {
            return Ok(Vec::new());
        }
        Ok(vec![DirectoryChange::ShareUpdated(Self {
            access_level: level,
            version: self.version + 1,
            ..self.clone()
        })])
    }

    /// Decides whether the share can be ended.
    pub fn delete(&self, caller: &User, standing: Standing) -> Result<Vec<DirectoryChange>, Error> {
        access::may_revoke(caller, standing, self.access_level)?;
        Ok(vec![DirectoryChange::ShareDeleted(self.clone())])
    }
}

/// The refusal for a share that is not there.
pub fn share_not_found() -> Error {
    Error::new(Reason::GroupShareNotFound, "not shared with that group")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        directory::{
            GroupView, ProjectView,
            fixture::{group, project, share, user},
        },
        id::ProjectId,
    };

    const OWNER: Standing = Standing {
        project: None,
        group: Some(AccessLevel::Owner),
        shared: None,
    };

    fn group_view(full_path: &str) -> ContainerView {
        ContainerView::Group(Some(GroupView {
            group: group(1, full_path),
            standing: OWNER,
        }))
    }

    fn project_view(full_path: &str) -> ContainerView {
        ContainerView::Project(Some(ProjectView {
            project: project(1, full_path),
            standing: OWNER,
        }))
    }

    #[test]
    fn nothing_is_shared_with_relatives() {
        for (shared, with, refused) in [
            (group_view("acme/shop"), "acme/shop", true),
            (group_view("acme/shop"), "acme", true),
            (group_view("acme/shop"), "acme/shop/web", true),
            (group_view("acme/shop"), "acme/ops", false),
            (project_view("acme/shop/web"), "acme/shop", true),
            (project_view("acme/shop/web"), "acme", true),
            (project_view("acme/shop/web"), "acme/shop/ops", false),
            (project_view("acme/shop/web"), "others", false),
        ] {
            let container = match &shared {
                ContainerView::Project(_) => Container::Project(ProjectId(1)),
                ContainerView::Group(_) => Container::Group(GroupId(1)),
            };
            let got = create_share(
                &shared,
                (container, OWNER),
                &group(2, with),
                AccessLevel::Guest,
                &user(1),
                None,
            );
            let fields = got
                .err()
                .map(|error| (error.reason(), error.violations()[0].field.clone()));
            assert_eq!(
                fields,
                refused.then(|| (Reason::InvalidArgument, "group".to_owned())),
                "{shared:?} with {with}"
            );
        }
    }

    #[test]
    fn a_group_is_let_in_once_and_no_further_than_the_caller_is() {
        let shared = project_view("acme/web");
        let container = Container::Project(ProjectId(1));
        let maintainer = Standing {
            group: Some(AccessLevel::Maintainer),
            ..Standing::default()
        };
        let existing = share(container, AccessLevel::Guest);
        for (level, existing, refused) in [
            (AccessLevel::Maintainer, None, None),
            (AccessLevel::Owner, None, Some(Reason::PermissionDenied)),
            (AccessLevel::Minimal, None, Some(Reason::InvalidArgument)),
            (AccessLevel::Guest, Some(&existing), Some(Reason::AlreadyExists)),
        ] {
            let got = create_share(
                &shared,
                (container, maintainer),
                &group(2, "ops"),
                level,
                &user(1),
                existing,
            );
            assert_eq!(got.err().map(|error| error.reason()), refused, "{level:?}");
        }
    }

    #[test]
    fn a_share_changes_by_its_level_only() {
        let before = share(Container::Group(GroupId(1)), AccessLevel::Guest);
        assert_eq!(before.update(AccessLevel::Guest, &user(1), OWNER).unwrap(), []);
        let changes = before.update(AccessLevel::Developer, &user(1), OWNER).unwrap();
        let [DirectoryChange::ShareUpdated(after)] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(after.access_level, AccessLevel::Developer);
        assert_ne!(after.etag(), before.etag());
    }
}
