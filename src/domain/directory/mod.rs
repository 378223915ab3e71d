//! Who there is: users, groups, projects, memberships, shares (contract 1.1).

mod change;
#[cfg(test)]
pub(crate) mod fixture;
mod group;
mod membership;
mod project;
mod share;
mod user;

pub use change::DirectoryChange;
pub use group::{CreateGroup, NewGroup, UpdateGroup, create_group};
pub use membership::{NewMembership, create_membership, membership_not_found};
pub use project::{CreateProject, NewProject, UpdateProject, create_project};
pub use share::{NewShare, create_share, share_not_found};
pub use user::{CreateUser, NewUser, UpdateUser, UserProfile, create_user, user_not_found};

use super::{
    Time,
    access::AccessLevel,
    error::{Error, Violations},
    id::{GroupId, ProjectId, UserId},
    text,
};

/// What joins the names of groups and projects into a full name.
const NAME_SEPARATOR: &str = " / ";

/// Whether a user may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserState {
    /// May.
    Active,
    /// May not.
    Blocked,
}

impl UserState {
    /// Every state.
    pub const ALL: [Self; 2] = [Self::Active, Self::Blocked];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Blocked => "blocked",
        }
    }

    /// The state for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Who may see a project or group without being a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Visibility {
    /// Nobody.
    #[default]
    Private,
    /// Everyone signed in who is not external.
    Internal,
    /// Everyone signed in.
    Public,
}

impl Visibility {
    /// Every visibility.
    pub const ALL: [Self; 3] = [Self::Private, Self::Internal, Self::Public];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }

    /// The visibility for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|visibility| visibility.as_str() == text)
    }
}

/// A person or machine that calls Gatehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Assigned once.
    pub id: UserId,
    /// Unique whatever the case.
    pub username: String,
    /// The name to show.
    pub name: String,
    /// The private address.
    pub email: Option<String>,
    /// The address everyone may see.
    pub public_email: Option<String>,
    /// A picture.
    pub avatar_url: Option<String>,
    /// Whether the user may act.
    pub state: UserState,
    /// May do everything.
    pub admin: bool,
    /// Sees internal projects only as a member.
    pub external: bool,
    /// What they tell of themself.
    pub profile: UserProfile,
    /// When the user was created.
    pub created_at: Time,
    /// Counts the changes; the etag shows it.
    pub version: i64,
}

/// What everyone may know of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSummary {
    /// The id.
    pub id: UserId,
    /// The username.
    pub username: String,
    /// The name to show.
    pub name: String,
    /// The address everyone may see.
    pub public_email: Option<String>,
    /// A picture.
    pub avatar_url: Option<String>,
    /// Whether the user may act.
    pub state: UserState,
}

/// A namespace of projects and other groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Assigned once.
    pub id: GroupId,
    /// The group above.
    pub parent_id: Option<GroupId>,
    /// The last segment of the full path.
    pub path: String,
    /// All segments; unique whatever the case.
    pub full_path: String,
    /// The name to show.
    pub name: String,
    /// The names from the top, joined by ` / `.
    pub full_name: String,
    /// What it is for.
    pub description: String,
    /// Who may see it without being a member.
    pub visibility: Visibility,
    /// When it was created.
    pub created_at: Time,
    /// Counts the changes; the etag shows it.
    pub version: i64,
}

/// What deployments are recorded for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Assigned once.
    pub id: ProjectId,
    /// The last segment of the full path.
    pub path: String,
    /// All segments; unique whatever the case.
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
    /// Whether who records a deployment may approve it themself (decision 8).
    pub allow_self_approval: bool,
    /// Whether outdated deployment jobs may not start (contract 1.3).
    pub forward_deployment_enabled: bool,
    /// Whether a job that has ended may all the same be run again, to roll back.
    pub forward_deployment_rollback_allowed: bool,
    /// Where its git repository is, below the repository root; none: it has none attached.
    pub repository: Option<String>,
    /// The group it is in.
    pub group: Group,
    /// Who created it.
    pub creator_id: UserId,
    /// When it was created.
    pub created_at: Time,
    /// When its own fields last changed.
    pub updated_at: Time,
    /// Counts the changes of its own fields; the etag shows it.
    pub version: i64,
}

/// What a user is to a project or group, by each way there is; none is no membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// By membership in the project itself.
    pub project: Option<AccessLevel>,
    /// By membership in the group or one above it.
    pub group: Option<AccessLevel>,
    /// By shares with groups the user is in, each capped by the share's level.
    pub shared: Option<AccessLevel>,
}

impl Standing {
    /// The highest by any way.
    pub fn level(self) -> Option<AccessLevel> {
        self.project.max(self.group).max(self.shared)
    }
}

/// A project as one user meets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectView {
    /// The project.
    pub project: Project,
    /// What the user is to it.
    pub standing: Standing,
}

/// A group as one user meets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// The group.
    pub group: Group,
    /// What the user is to it.
    pub standing: Standing,
}

/// What a membership or share belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A project.
    Project(ProjectId),
    /// A group, and so all below it.
    Group(GroupId),
}

/// A project or group that was asked for, as one user meets it, if it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerView {
    /// A project was asked for.
    Project(Option<ProjectView>),
    /// A group was asked for.
    Group(Option<GroupView>),
}

/// A user's place in a project or group, given directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Assigned once: a membership that is given again is another one.
    pub id: i64,
    /// Whose.
    pub user: UserSummary,
    /// Where.
    pub container: Container,
    /// The access given.
    pub access_level: AccessLevel,
    /// When it was given.
    pub created_at: Time,
    /// Counts the changes; the etag shows it.
    pub version: i64,
}

/// A project or group opened to the members of another group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupShare {
    /// Assigned once: a share that is made again is another one.
    pub id: i64,
    /// What is shared.
    pub container: Container,
    /// The group that is let in.
    pub group_id: GroupId,
    /// Its full path.
    pub group_full_path: String,
    /// The most that its members get.
    pub access_level: AccessLevel,
    /// When it was shared.
    pub created_at: Time,
    /// Counts the changes; the etag shows it.
    pub version: i64,
}

/// The etag of a row: changes with every change, and is never that of another row.
fn etag(id: i64, version: i64) -> String {
    format!("\"{id}-{version}\"")
}

/// The text, or nothing for an empty one.
fn not_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Refuses a level that a container does not have: in a project there is nothing that minimal access would show.
fn level_fits(container: Container, level: AccessLevel) -> Result<(), Error> {
    match (container, level) {
        (Container::Project(_), AccessLevel::Minimal) => {
            Err(Error::argument("access_level", "can be minimal only in groups"))
        }
        _ => Ok(()),
    }
}

/// Checks what groups and projects have in common: the name, unless it is left to be the path, and the description.
fn check_described(violations: &mut Violations, name: Option<&str>, description: Option<&str>) {
    if let Some(name) = name {
        violations.check(text::display_name("name", name));
    }
    if let Some(description) = description {
        violations.check(text::description("description", description));
    }
}
