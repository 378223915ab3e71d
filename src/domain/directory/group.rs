//! Groups: paths, names, depth.

use super::{
    DirectoryChange, Group, GroupView, NAME_SEPARATOR, User, Visibility, check_described, etag, not_empty,
};
use crate::domain::{
    access::AccessLevel,
    error::{Error, Reason, Violations},
    id::{GroupId, UserId},
    text,
};

/// How many groups may be in each other.
const DEPTH_MAX: usize = 20;

/// What a caller wants made; an empty name is the path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateGroup {
    /// The last segment of the full path.
    pub path: String,
    /// The name to show.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who may see it without being a member.
    pub visibility: Visibility,
}

/// What a caller wants changed; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateGroup {
    /// The new name.
    pub name: Option<String>,
    /// The new description.
    pub description: Option<String>,
    /// The new visibility.
    pub visibility: Option<Visibility>,
}

/// A group about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroup {
    /// The group above.
    pub parent_id: Option<GroupId>,
    /// The last segment of the full path.
    pub path: String,
    /// All segments.
    pub full_path: String,
    /// The name to show.
    pub name: String,
    /// The names from the top.
    pub full_name: String,
    /// What it is for.
    pub description: String,
    /// Who may see it without being a member.
    pub visibility: Visibility,
    /// Who becomes its Owner by a membership of their own.
    pub owner: Option<UserId>,
}

impl UpdateGroup {
    /// The same as a wish to create: what an upsert makes of a group that is not there.
    pub fn creating(&self, path: &str) -> CreateGroup {
        CreateGroup {
            path: path.to_owned(),
            name: self.name.clone().unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
            visibility: self.visibility.unwrap_or_default(),
        }
    }
}

/// Decides what creating a group changes. `path_taken` tells that a group or project has that full path.
///
/// The creator becomes Owner, unless they are that already by membership above, or are an administrator.
pub fn create_group(
    command: &CreateGroup,
    parent: Option<&GroupView>,
    path_taken: bool,
    creator: &User,
) -> Result<Vec<DirectoryChange>, Error> {
    let mut violations = Violations::default();
    violations.check(text::path_segment("path", &command.path));
    let name = not_empty(&command.name);
    check_described(&mut violations, name.as_deref(), Some(&command.description));
    if parent.is_some_and(|parent| parent.group.depth() >= DEPTH_MAX) {
        violations.check::<()>(Err(Error::resource(
            "parent",
            format!("is nested too deep (maximum is {DEPTH_MAX} groups)"),
        )));
    }
    violations.finish()?;
    if path_taken {
        return Err(Error::taken("group", "path"));
    }
    let name = name.unwrap_or_else(|| command.path.clone());
    let owns_already =
        creator.admin || parent.is_some_and(|parent| parent.standing.group == Some(AccessLevel::Owner));
    let under = |above: Option<&str>, separator: &str, own: &str| {
        above.map_or_else(|| own.to_owned(), |above| format!("{above}{separator}{own}"))
    };
    let group = parent.map(|parent| &parent.group);
    Ok(vec![DirectoryChange::GroupCreated(NewGroup {
        parent_id: group.map(|group| group.id),
        full_path: under(group.map(|group| group.full_path.as_str()), "/", &command.path),
        full_name: under(group.map(|group| group.full_name.as_str()), NAME_SEPARATOR, &name),
        path: command.path.clone(),
        name,
        description: command.description.clone(),
        visibility: command.visibility,
        owner: (!owns_already).then_some(creator.id),
    })])
}

impl Group {
    /// The etag: changes with every change, and when a group above is renamed.
    pub fn etag(&self) -> String {
        etag(self.id.0, self.version)
    }

    /// How many groups there are from the top to this one.
    fn depth(&self) -> usize {
        self.full_path.split('/').count()
    }

    /// Whether this is `other` or a group above it.
    pub fn holds(&self, other: &Group) -> bool {
        other
            .full_path
            .strip_prefix(&self.full_path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Decides what an update changes: nothing, where nothing would differ.
    pub fn update(&self, command: &UpdateGroup) -> Result<Vec<DirectoryChange>, Error> {
        let mut violations = Violations::default();
        check_described(
            &mut violations,
            command.name.as_deref(),
            command.description.as_deref(),
        );
        violations.finish()?;
        let mut after = Self {
            description: command
                .description
                .clone()
                .unwrap_or_else(|| self.description.clone()),
            visibility: command.visibility.unwrap_or(self.visibility),
            ..self.clone()
        };
        if let Some(name) = &command.name {
            let above = self.full_name.strip_suffix(&self.name).unwrap_or_default();
            after.full_name = format!("{above}{name}");
            after.name.clone_from(name);
        }
        if after == *self {
            return Ok(Vec::new());
        }
        after.version += 1;
        Ok(vec![DirectoryChange::GroupUpdated {
            old_full_name: self.full_name.clone(),
            after,
        }])
    }

    /// Decides whether the group can be deleted.
    pub fn delete(&self, empty: bool) -> Result<Vec<DirectoryChange>, Error> {
        if !empty {
            return Err(Error::new(
                Reason::GroupNotEmpty,
                format!("group {} still holds groups or projects", self.full_path),
            ));
        }
        Ok(vec![DirectoryChange::GroupDeleted(self.clone())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::directory::{
        Standing,
        fixture::{group, user},
    };

    fn view(full_path: &str, standing: Standing) -> GroupView {
        GroupView {
            group: group(1, full_path),
            standing,
        }
    }

    fn created(changes: &[DirectoryChange]) -> &NewGroup {
        let [DirectoryChange::GroupCreated(new)] = changes else {
            panic!("{changes:?}")
        };
        new
    }

    #[test]
    fn a_group_continues_the_paths_and_names_above_it() {
        let command = CreateGroup {
            path: "web".to_owned(),
            name: "The Web".to_owned(),
            ..CreateGroup::default()
        };
        let parent = view("acme/shop", Standing::default());
        let changes = create_group(&command, Some(&parent), false, &user(1)).unwrap();
        let new = created(&changes);
        assert_eq!(new.full_path, "acme/shop/web");
        assert_eq!(new.full_name, format!("{} / The Web", parent.group.full_name));
        let top = create_group(&command, None, false, &user(1)).unwrap();
        assert_eq!(
            (created(&top).full_path.as_str(), created(&top).full_name.as_str()),
            ("web", "The Web")
        );
    }

    #[test]
    fn the_creator_becomes_owner_unless_they_need_not() {
        let admin = User {
            admin: true,
            ..user(7)
        };
        let inherited = Standing {
            group: Some(AccessLevel::Owner),
            ..Standing::default()
        };
        let shared = Standing {
            shared: Some(AccessLevel::Owner),
            ..Standing::default()
        };
        for (creator, standing, owner) in [
            (&user(7), inherited, None),
            (&user(7), shared, Some(UserId(7))),
            (&admin, Standing::default(), None),
        ] {
            let parent = view("acme", standing);
            let command = UpdateGroup::default().creating("web");
            let changes = create_group(&command, Some(&parent), false, creator).unwrap();
            assert_eq!(created(&changes).owner, owner, "{standing:?}");
        }
    }

    #[test]
    fn a_group_is_refused_where_it_does_not_fit() {
        let deep = vec!["g"; DEPTH_MAX].join("/");
        for (path, parent, taken, reason, field) in [
            ("a/b", "acme", false, Reason::InvalidResource, "path"),
            ("", "acme", false, Reason::InvalidResource, "path"),
            ("web", deep.as_str(), false, Reason::InvalidResource, "parent"),
            ("web", "acme", true, Reason::AlreadyExists, "path"),
        ] {
            let parent = view(parent, Standing::default());
            let command = UpdateGroup::default().creating(path);
            let error = create_group(&command, Some(&parent), taken, &user(1)).unwrap_err();
            assert_eq!(
                (error.reason(), error.violations()[0].field.as_str()),
                (reason, field)
            );
        }
    }

    #[test]
    fn a_group_holds_itself_and_what_is_below() {
        for (above, below, holds) in [
            ("acme", "acme", true),
            ("acme", "acme/shop/web", true),
            ("acme", "acme2", false),
            ("acme/shop", "acme", false),
        ] {
            assert_eq!(
                group(1, above).holds(&group(2, below)),
                holds,
                "{above} over {below}"
            );
        }
    }

    #[test]
    fn renaming_changes_the_last_part_of_the_full_name() {
        let before = Group {
            name: "a".to_owned(),
            full_name: "a / a".to_owned(),
            ..group(1, "x/y")
        };
        let rename = |name: &str| UpdateGroup {
            name: Some(name.to_owned()),
            ..UpdateGroup::default()
        };
        let changes = before.update(&rename("b")).unwrap();
        let [DirectoryChange::GroupUpdated { old_full_name, after }] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(
            (old_full_name.as_str(), after.full_name.as_str()),
            ("a / a", "a / b")
        );
        assert_eq!(after.version, before.version + 1);
        assert_eq!(before.update(&rename("a")).unwrap(), []);
        assert_eq!(
            before.update(&rename("")).unwrap_err().reason(),
            Reason::InvalidResource
        );
    }

    #[test]
    fn only_an_empty_group_can_be_deleted() {
        let group = group(1, "acme");
        assert_eq!(group.delete(false).unwrap_err().reason(), Reason::GroupNotEmpty);
        assert_eq!(
            group.delete(true).unwrap(),
            [DirectoryChange::GroupDeleted(group)]
        );
    }
}
