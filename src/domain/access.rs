//! Who may do what: the one place where it is decided (contract 1.1).
//!
//! Existence comes before permission: what the caller may not see is answered as not there. So every check here takes
//! an `Option` of the thing and gives the thing back, and nothing can be used that was not checked.

use super::{
    directory::{
        Container, ContainerView, Group, GroupView, Project, ProjectView, Standing, User, UserState,
        Visibility,
    },
    error::{Error, Reason},
    id::{Place, UserId},
    token::{Scope, Token},
};

/// What a member may do. The numbers are the API's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessLevel {
    /// Knows that the group exists.
    Minimal = 5,
    /// Sees a private project, not its deployments.
    Guest = 10,
    /// As a guest; plans work.
    Planner = 15,
    /// Reads deployments and environments.
    Reporter = 20,
    /// Records deployments, manages environments.
    Developer = 30,
    /// Deletes deployments, sets the project up.
    Maintainer = 40,
    /// Everything.
    Owner = 50,
}

impl AccessLevel {
    /// Every level, lowest first.
    pub const ALL: [Self; 7] = [
        Self::Minimal,
        Self::Guest,
        Self::Planner,
        Self::Reporter,
        Self::Developer,
        Self::Maintainer,
        Self::Owner,
    ];

    /// The API's number for it.
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The level for a number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.number() == number)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Guest => "guest",
            Self::Planner => "planner",
            Self::Reporter => "reporter",
            Self::Developer => "developer",
            Self::Maintainer => "maintainer",
            Self::Owner => "owner",
        }
    }
}

/// Who calls: a user, by one of their tokens. With `sudo`, the user acted as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user: User,
    /// The token that was presented.
    pub token: Token,
    /// How new what they read has to be.
    pub consistency: Consistency,
}

/// How new what somebody reads has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Whatever was acknowledged to anybody before is seen.
    #[default]
    Strong,
    /// Whatever was acknowledged to the caller before is seen; of others, what happened a little while ago may be missing.
    Eventual,
}

impl Consistency {
    /// The consistency of that name.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "strong" => Some(Self::Strong),
            "eventual" => Some(Self::Eventual),
            _ => None,
        }
    }
}

impl Caller {
    /// The user's id.
    pub fn id(&self) -> UserId {
        self.user.id
    }

    /// Refuses what takes an administrator.
    pub fn require_admin(&self, action: &'static str) -> Result<(), Error> {
        administrator(&self.user, action)
    }

    /// Refuses a job's token outside of the job's project.
    fn confined_to(&self, project: &Project) -> Result<(), Error> {
        match &self.token.job {
            Some(job) if job.project != project.id => Err(Error::new(
                Reason::JobTokenNotAllowed,
                format!(
                    "a token of a job in {} is not allowed in project {}",
                    job.project_path, project.id
                ),
            )
            .with("source", job.project_path.clone())
            .with("project_id", project.id.to_string())),
            _ => Ok(()),
        }
    }

    /// Refuses a call that the token's scopes do not cover.
    pub fn require_scope(&self, scope: Scope) -> Result<(), Error> {
        let held = &self.token.scopes;
        if held.contains(&Scope::Api) || held.contains(&scope) {
            return Ok(());
        }
        Err(Error::new(
            Reason::InsufficientScope,
            "the token's scopes do not cover this call",
        )
        .with("scopes", "api read_api"))
    }
}

/// Refuses what takes an administrator.
pub fn administrator(user: &User, action: &'static str) -> Result<(), Error> {
    if user.admin {
        Ok(())
    } else {
        Err(Error::denied(action))
    }
}

/// Refuses a user who may not act.
pub fn active(user: &User) -> Result<(), Error> {
    match user.state {
        UserState::Active => Ok(()),
        UserState::Blocked => Err(Error::new(Reason::UserBlocked, "your account has been blocked")),
    }
}

/// What can be done to a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProjectAction {
    /// See that it is there.
    Read,
    /// Read its deployments.
    ReadDeployment,
    /// Record deployments.
    CreateDeployment,
    /// Move deployments.
    UpdateDeployment,
    /// Delete deployments.
    DestroyDeployment,
    /// Decide about deployments, as far as their rules let one.
    ApproveDeployment,
    /// See by name who could approve deployments: who is in the groups that rules name is not for everyone to know.
    ReadApprovers,
    /// Say which environments are protected.
    AdministerProtectedEnvironments,
    /// Read its environments.
    ReadEnvironment,
    /// Make environments.
    CreateEnvironment,
    /// Change environments.
    UpdateEnvironment,
    /// Stop an environment.
    StopEnvironment,
    /// Stop all stale environments.
    StopStaleEnvironments,
    /// Delete environments.
    DestroyEnvironment,
    /// Change its fields.
    Update,
    /// Change who can see it, archive it, delete it.
    Administer,
    /// Add, change, remove direct members and shares.
    ManageMembers,
    /// Report merge requests.
    ReportMergeRequest,
    /// Delete merge requests.
    DestroyMergeRequest,
}

impl ProjectAction {
    /// Every action.
    pub const ALL: [Self; 19] = [
        Self::Read,
        Self::ReadDeployment,
        Self::CreateDeployment,
        Self::UpdateDeployment,
        Self::DestroyDeployment,
        Self::ApproveDeployment,
        Self::ReadApprovers,
        Self::AdministerProtectedEnvironments,
        Self::ReadEnvironment,
        Self::CreateEnvironment,
        Self::UpdateEnvironment,
        Self::StopEnvironment,
        Self::StopStaleEnvironments,
        Self::DestroyEnvironment,
        Self::Update,
        Self::Administer,
        Self::ManageMembers,
        Self::ReportMergeRequest,
        Self::DestroyMergeRequest,
    ];

    /// The word for it, as refusals name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read_project",
            Self::ReadDeployment => "read_deployment",
            Self::CreateDeployment => "create_deployment",
            Self::UpdateDeployment => "update_deployment",
            Self::DestroyDeployment => "destroy_deployment",
            Self::ApproveDeployment => "approve_deployment",
            Self::ReadApprovers => "read_approvers",
            Self::AdministerProtectedEnvironments => "administer_protected_environments",
            Self::ReadEnvironment => "read_environment",
            Self::CreateEnvironment => "create_environment",
            Self::UpdateEnvironment => "update_environment",
            Self::StopEnvironment => "stop_environment",
            Self::StopStaleEnvironments => "stop_stale_environments",
            Self::DestroyEnvironment => "destroy_environment",
            Self::Update => "update_project",
            Self::Administer => "administer_project",
            Self::ManageMembers => "manage_project_members",
            Self::ReportMergeRequest => "report_merge_request",
            Self::DestroyMergeRequest => "destroy_merge_request",
        }
    }

    /// The lowest level that may.
    fn level(self) -> AccessLevel {
        match self {
            Self::Read => AccessLevel::Guest,
            Self::ReadDeployment | Self::ApproveDeployment | Self::ReadApprovers | Self::ReadEnvironment => {
                AccessLevel::Reporter
            }
            Self::CreateDeployment
            | Self::UpdateDeployment
            | Self::CreateEnvironment
            | Self::UpdateEnvironment
            | Self::StopEnvironment
            | Self::DestroyEnvironment
            | Self::ReportMergeRequest => AccessLevel::Developer,
            Self::DestroyDeployment
            | Self::AdministerProtectedEnvironments
            | Self::StopStaleEnvironments
            | Self::Update
            | Self::ManageMembers
            | Self::DestroyMergeRequest => AccessLevel::Maintainer,
            Self::Administer => AccessLevel::Owner,
        }
    }

    /// Whether everyone may who can see the project without being a member.
    fn open_to_viewers(self) -> bool {
        matches!(
            self,
            Self::Read | Self::ReadDeployment | Self::ApproveDeployment | Self::ReadEnvironment
        )
    }

    /// Whether it writes what an archived project keeps as it is.
    fn frozen_by_archiving(self) -> bool {
        matches!(
            self,
            Self::CreateDeployment
                | Self::UpdateDeployment
                | Self::DestroyDeployment
                | Self::ApproveDeployment
                | Self::CreateEnvironment
                | Self::UpdateEnvironment
                | Self::StopEnvironment
                | Self::StopStaleEnvironments
                | Self::DestroyEnvironment
                | Self::ReportMergeRequest
                | Self::DestroyMergeRequest
        )
    }
}

/// Gives the project to who may do `action` to it. By a job's token that is its own project alone; of others it is told
/// no more than its user may know.
pub fn project<'a>(
    caller: &Caller,
    view: Option<&'a ProjectView>,
    action: ProjectAction,
) -> Result<&'a Project, Error> {
    let view = view.ok_or_else(project_not_found)?;
    visible(&caller.user, &view.project, view.standing)?;
    caller.confined_to(&view.project)?;
    standing_in(&caller.user, &view.project, view.standing, action)?;
    Ok(&view.project)
}

/// Refuses who may not know that the project is there.
fn visible(user: &User, project: &Project, standing: Standing) -> Result<(), Error> {
    if !user.admin && !open(user, project.visibility) && standing.level() < Some(AccessLevel::Guest) {
        return Err(project_not_found());
    }
    Ok(())
}

/// Refuses `action` to who has `standing` in the project but may not.
pub fn standing_in(
    user: &User,
    project: &Project,
    standing: Standing,
    action: ProjectAction,
) -> Result<(), Error> {
    visible(user, project, standing)?;
    if !by_role(user, project, standing, action) {
        return Err(Error::denied(action.as_str()));
    }
    if project.archived && action.frozen_by_archiving() {
        return Err(Error::new(
            Reason::ProjectArchived,
            "the project is archived, hence read-only",
        )
        .with("action", action.as_str()));
    }
    Ok(())
}

/// Whether a user's role in the project, or that it is open, allows `action`; archived or not.
pub fn by_role(user: &User, project: &Project, standing: Standing, action: ProjectAction) -> bool {
    let by_level = user.admin || standing.level() >= Some(action.level());
    by_level || (action.open_to_viewers() && open(user, project.visibility))
}

/// The refusal for a project that is not there, or not for this caller.
pub fn project_not_found() -> Error {
    Error::new(Reason::ProjectNotFound, "project not found")
}

/// What can be done to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupAction {
    /// See that it is there.
    Read,
    /// See who its members are, and which groups are let in.
    ReadMembers,
    /// Make a project in it.
    CreateProject,
    /// Change it, make groups in it, manage its members and shares, say which tiers are protected, delete it.
    Administer,
}

impl GroupAction {
    /// Every action.
    pub const ALL: [Self; 4] = [
        Self::Read,
        Self::ReadMembers,
        Self::CreateProject,
        Self::Administer,
    ];

    /// The word for it, as refusals name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read_group",
            Self::ReadMembers => "read_group_members",
            Self::CreateProject => "create_project",
            Self::Administer => "administer_group",
        }
    }

    /// The lowest level that may.
    fn level(self) -> AccessLevel {
        match self {
            Self::Read => AccessLevel::Minimal,
            Self::ReadMembers => AccessLevel::Guest,
            Self::CreateProject => AccessLevel::Maintainer,
            Self::Administer => AccessLevel::Owner,
        }
    }

    /// Whether everyone may who can see the group without being a member.
    fn open_to_viewers(self) -> bool {
        matches!(self, Self::Read | Self::ReadMembers)
    }
}

/// Gives the group to who may do `action` to it.
pub fn group<'a>(user: &User, view: Option<&'a GroupView>, action: GroupAction) -> Result<&'a Group, Error> {
    let view = view
        .filter(|view| user.admin || view.standing.level().is_some() || open(user, view.group.visibility))
        .ok_or_else(group_not_found)?;
    let by_visibility = action.open_to_viewers() && open(user, view.group.visibility);
    if user.admin || by_visibility || view.standing.level() >= Some(action.level()) {
        return Ok(&view.group);
    }
    Err(Error::denied(action.as_str()))
}

/// The refusal for a group that is not there, or not for this caller.
pub fn group_not_found() -> Error {
    Error::new(Reason::GroupNotFound, "group not found")
}

/// Refuses to make a group where the caller may not: it takes an Owner of the group above, at the top an administrator.
/// `parent` is that group, if it is there.
pub fn new_group(user: &User, place: &Place, parent: Option<&GroupView>) -> Result<(), Error> {
    match place.parent {
        Some(_) => group(user, parent, GroupAction::Administer).map(drop),
        None => administrator(user, "create_group"),
    }
}

/// What can be done to the direct members and shares of a project or group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberAction {
    /// See them.
    Read,
    /// Add, change, remove them.
    Manage,
    /// Remove oneself.
    Leave,
}

/// Gives the project or group, and what the caller is to it, to who may do `action` to its members and shares.
pub fn container(
    caller: &Caller,
    view: &ContainerView,
    action: MemberAction,
) -> Result<(Container, Standing), Error> {
    match view {
        ContainerView::Project(view) => {
            let action = match action {
                MemberAction::Read | MemberAction::Leave => ProjectAction::Read,
                MemberAction::Manage => ProjectAction::ManageMembers,
            };
            let found = project(caller, view.as_ref(), action)?;
            let standing = view.as_ref().map(|view| view.standing).unwrap_or_default();
            Ok((Container::Project(found.id), standing))
        }
        ContainerView::Group(view) => {
            let action = match action {
                MemberAction::Read => GroupAction::ReadMembers,
                MemberAction::Manage => GroupAction::Administer,
                MemberAction::Leave => GroupAction::Read,
            };
            let found = group(&caller.user, view.as_ref(), action)?;
            let standing = view.as_ref().map(|view| view.standing).unwrap_or_default();
            Ok((Container::Group(found.id), standing))
        }
    }
}

/// Refuses to give `level` to others where the caller has less: nobody gives more than they have.
pub fn may_grant(user: &User, standing: Standing, level: AccessLevel) -> Result<(), Error> {
    if user.admin || standing.level() >= Some(level) {
        return Ok(());
    }
    Err(Error::denied(format!("grant_{}", level.as_str())))
}

/// Refuses to change or take away `level` where the caller has less: nobody is overruled from below.
pub fn may_revoke(user: &User, standing: Standing, level: AccessLevel) -> Result<(), Error> {
    if user.admin || standing.level() >= Some(level) {
        return Ok(());
    }
    Err(Error::denied(format!("revoke_{}", level.as_str())))
}

/// Refuses to manage the tokens of others, unless for administrators.
pub fn tokens_of(user: &User, owner: UserId) -> Result<(), Error> {
    if user.admin || user.id == owner {
        return Ok(());
    }
    Err(Error::denied("manage_tokens_of_others"))
}

/// The visibilities that let a user in who is not a member.
pub fn open_to(user: &User) -> &'static [Visibility] {
    if user.external {
        &[Visibility::Public]
    } else {
        &[Visibility::Internal, Visibility::Public]
    }
}

/// Whether a visibility lets a user in who is not a member.
fn open(user: &User, visibility: Visibility) -> bool {
    open_to(user).contains(&visibility)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Time,
        directory::fixture,
        id::{DeploymentId, GroupId, GroupKey, ProjectId, TokenId},
        token::TokenOfJob,
    };

    fn caller(user: &User) -> Caller {
        Caller {
            token: Token {
                id: TokenId(1),
                user_id: user.id,
                name: "test".to_owned(),
                scopes: vec![Scope::Api],
                created_at: Time::UNIX_EPOCH,
                expires_at: None,
                revoked_at: None,
                last_used_at: None,
                job: None,
            },
            user: user.clone(),
            consistency: Consistency::Strong,
        }
    }

    fn administrator() -> User {
        User {
            admin: true,
            ..fixture::user(9)
        }
    }

    fn standing(level: Option<AccessLevel>) -> Standing {
        Standing {
            group: level,
            ..Standing::default()
        }
    }

    fn group_view(level: Option<AccessLevel>, visibility: Visibility) -> GroupView {
        GroupView {
            group: Group {
                visibility,
                ..fixture::group(1, "acme")
            },
            standing: standing(level),
        }
    }

    fn project_view(level: Option<AccessLevel>, visibility: Visibility) -> ProjectView {
        ProjectView {
            project: Project {
                visibility,
                ..fixture::project(1, "acme/web")
            },
            standing: standing(level),
        }
    }

    fn reason<T>(result: Result<T, Error>) -> Option<Reason> {
        result.err().map(|error| error.reason())
    }

    #[test]
    fn what_may_not_be_seen_is_not_there() {
        use Visibility::{Internal, Private, Public};
        let external = User {
            external: true,
            ..fixture::user(2)
        };
        for (visibility, insider, outsider) in [
            (Private, false, false),
            (Internal, true, false),
            (Public, true, true),
        ] {
            for (user, seen) in [
                (fixture::user(1), insider),
                (external.clone(), outsider),
                (administrator(), true),
            ] {
                let (a_project, a_group) = (project_view(None, visibility), group_view(None, visibility));
                let project_seen = project(&caller(&user), Some(&a_project), ProjectAction::Read);
                let group_seen = group(&user, Some(&a_group), GroupAction::Read);
                let (no_project, no_group) = (Reason::ProjectNotFound, Reason::GroupNotFound);
                assert_eq!(
                    reason(project_seen),
                    (!seen).then_some(no_project),
                    "{visibility:?}"
                );
                assert_eq!(reason(group_seen), (!seen).then_some(no_group), "{visibility:?}");
            }
        }
        let minimal = Some(AccessLevel::Minimal);
        let user = fixture::user(1);
        assert!(group(&user, Some(&group_view(minimal, Private)), GroupAction::Read).is_ok());
        let hidden = project_view(minimal, Private);
        let hidden = project(&caller(&user), Some(&hidden), ProjectAction::Read);
        assert_eq!(reason(hidden), Some(Reason::ProjectNotFound));
    }

    #[test]
    fn a_jobs_token_is_good_for_its_project_and_tells_no_more_of_others_than_its_user_may_know() {
        let mut by_job = caller(&administrator());
        for (project_id, user, refused) in [
            (1, fixture::user(1), None),
            (2, fixture::user(1), Some(Reason::ProjectNotFound)),
            (2, administrator(), Some(Reason::JobTokenNotAllowed)),
        ] {
            let level = (project_id == 1).then_some(AccessLevel::Developer);
            let mut view = project_view(level, Visibility::Private);
            view.project.id = ProjectId(project_id);
            by_job.user = user;
            by_job.token.job = Some(TokenOfJob {
                deployment: DeploymentId(41),
                project: ProjectId(1),
                project_path: "acme/web".to_owned(),
            });
            let got = project(&by_job, Some(&view), ProjectAction::UpdateDeployment);
            let metadata = got
                .as_ref()
                .err()
                .map(|error| error.metadata().to_vec())
                .unwrap_or_default();
            assert_eq!(reason(got), refused);
            if refused == Some(Reason::JobTokenNotAllowed) {
                let wanted = [("source", "acme/web".to_owned()), ("project_id", "2".to_owned())];
                assert_eq!(metadata, wanted);
            }
        }
    }

    #[test]
    fn members_are_managed_by_maintainers_in_projects_and_owners_in_groups() {
        for level in AccessLevel::ALL {
            let project = ContainerView::Project(Some(project_view(Some(level), Visibility::Public)));
            let group = ContainerView::Group(Some(group_view(Some(level), Visibility::Public)));
            for (view, lowest) in [(project, AccessLevel::Maintainer), (group, AccessLevel::Owner)] {
                let user = fixture::user(1);
                assert!(container(&caller(&user), &view, MemberAction::Read).is_ok());
                let managed = container(&caller(&user), &view, MemberAction::Manage);
                assert_eq!(
                    reason(managed),
                    (level < lowest).then_some(Reason::PermissionDenied),
                    "{level:?} of {view:?}"
                );
                assert!(container(&caller(&administrator()), &view, MemberAction::Manage).is_ok());
            }
        }
    }

    #[test]
    fn minimal_access_to_a_private_group_shows_that_it_is_there_and_no_more() {
        let user = fixture::user(1);
        for (level, refused) in [
            (AccessLevel::Minimal, Some(Reason::PermissionDenied)),
            (AccessLevel::Guest, None),
        ] {
            let view = ContainerView::Group(Some(group_view(Some(level), Visibility::Private)));
            assert_eq!(
                reason(container(&caller(&user), &view, MemberAction::Read)),
                refused,
                "{level:?}"
            );
            assert!(container(&caller(&user), &view, MemberAction::Leave).is_ok());
        }
    }

    #[test]
    fn groups_are_made_by_owners_of_the_one_above_and_at_the_top_by_administrators() {
        let top = Place::of("acme");
        let below = Place {
            parent: Some(GroupKey::Id(GroupId(1))),
            path: "shop".to_owned(),
        };
        let user = fixture::user(1);
        for (user, place, parent, refused) in [
            (&user, &top, None, Some(Reason::PermissionDenied)),
            (&administrator(), &top, None, None),
            (&user, &below, None, Some(Reason::GroupNotFound)),
            (&administrator(), &below, None, Some(Reason::GroupNotFound)),
            (
                &user,
                &below,
                Some(AccessLevel::Maintainer),
                Some(Reason::PermissionDenied),
            ),
            (&user, &below, Some(AccessLevel::Owner), None),
        ] {
            let parent = parent.map(|level| group_view(Some(level), Visibility::Private));
            let got = new_group(user, place, parent.as_ref());
            assert_eq!(reason(got), refused, "{place:?} below {parent:?}");
        }
    }
}
