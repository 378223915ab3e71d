//! The entries of a checked file: how each is found on the server, compared, created and changed.

use tonic::Status;

use crate::{
    cli::{
        client::{Server, group, project, user},
        word::Word,
    },
    pb::v1::{
        self as pb, AccessLevel, AutoStopSetting, ContainerRef, EnvironmentRef, EnvironmentTier, GroupRef,
        UserState, Visibility, container_ref, environment_ref,
    },
};

/// A field that is not as the file wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field, as the file names it.
    pub field: &'static str,
    /// What the server has.
    pub found: String,
    /// What the file wants.
    pub wanted: String,
}

/// Compares a field; one that the file leaves out is as it should be.
fn differs(
    field: &'static str,
    found: &(impl ToString + ?Sized),
    wanted: Option<impl ToString>,
) -> Option<Difference> {
    let (found, wanted) = (found.to_string(), wanted?.to_string());
    (found != wanted).then_some(Difference { field, found, wanted })
}

/// The fields that differ.
fn differing<const FIELDS: usize>(fields: [Option<Difference>; FIELDS]) -> Vec<Difference> {
    fields.into_iter().flatten().collect()
}

/// A call's answer.
type Answer<T> = Result<T, Status>;

/// An entry of the file.
///
/// Calls return nothing where the server's answer holds nothing, which a server of the same contract never sends.
pub trait Entry {
    /// What the server keeps of it.
    type Found;

    /// Where it stands in the file: `members[2]`.
    fn place(&self) -> &str;

    /// What it is, for people: `user ana`.
    fn title(&self) -> String;

    /// Asks the server for it.
    async fn find(&self, server: &Server) -> Answer<Option<Self::Found>>;

    /// The version that was compared.
    fn etag(found: &Self::Found) -> &str;

    /// What is not as the file wants it.
    fn differences(&self, found: &Self::Found) -> Vec<Difference>;

    /// Creates it, as far as one call can; what the call has no field for still differs afterwards.
    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<Self::Found>>;

    /// Changes it into what the file wants, if it still has that etag.
    async fn update(&self, server: &Server, etag: String, request_id: String) -> Answer<()>;
}

/// What a membership or share is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Container {
    /// The group of that path.
    Group(String),
    /// The project of that path.
    Project(String),
    /// A path that the file does not describe: the server has yet to tell which of the two it is.
    Unsettled(String),
}

impl Container {
    pub(super) fn path(&self) -> &str {
        let (Self::Group(path) | Self::Project(path) | Self::Unsettled(path)) = self;
        path
    }

    fn to_ref(&self) -> Option<ContainerRef> {
        let of = match self {
            Self::Group(path) => container_ref::Of::Group(group(path)),
            Self::Project(path) => container_ref::Of::Project(project(path)),
            Self::Unsettled(_) => return None,
        };
        Some(ContainerRef { of: Some(of) })
    }
}

/// The group above, if any, and the last segment.
fn split(path: &str) -> (Option<GroupRef>, String) {
    match path.rsplit_once('/') {
        Some((parent, last)) => (Some(group(parent)), last.to_owned()),
        None => (None, path.to_owned()),
    }
}

/// An enum's number in a message; 0, unspecified, for what the file leaves out.
fn number<E: Into<i32>>(value: Option<E>) -> i32 {
    value.map(Into::into).unwrap_or_default()
}

#[derive(Debug)]
pub struct User {
    pub place: String,
    pub username: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub public_email: Option<String>,
    pub avatar_url: Option<String>,
    pub admin: Option<bool>,
    pub external: Option<bool>,
    pub state: Option<UserState>,
}

impl Entry for User {
    type Found = pb::User;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("user {}", self.username)
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::User>> {
        let request = pb::GetUserRequest {
            user: Some(user(&self.username)),
        };
        Ok(server.directory().get_user(request).await?.into_inner().user)
    }

    fn etag(found: &pb::User) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::User) -> Vec<Difference> {
        differing([
            differs("name", &found.name, self.name.as_ref()),
            differs("email", found.email(), self.email.as_ref()),
            differs("public_email", found.public_email(), self.public_email.as_ref()),
            differs("avatar_url", found.avatar_url(), self.avatar_url.as_ref()),
            differs("admin", &found.admin, self.admin),
            differs("external", &found.external, self.external),
            differs("state", &found.state().word(), self.state.map(Word::word)),
        ])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::User>> {
        let request = pb::CreateUserRequest {
            username: self.username.clone(),
            name: self.name.clone().unwrap_or_else(|| self.username.clone()),
            email: self.email.clone().unwrap_or_default(),
            public_email: self.public_email.clone().unwrap_or_default(),
            avatar_url: self.avatar_url.clone().unwrap_or_default(),
            admin: self.admin.unwrap_or_default(),
            external: self.external.unwrap_or_default(),
            request_id,
            validate_only: false,
        };
        Ok(server.directory().create_user(request).await?.into_inner().user)
    }

    async fn update(&self, server: &Server, etag: String, request_id: String) -> Answer<()> {
        let request = pb::UpdateUserRequest {
            user: Some(user(&self.username)),
            name: self.name.clone(),
            email: self.email.clone(),
            public_email: self.public_email.clone(),
            avatar_url: self.avatar_url.clone(),
            admin: self.admin,
            external: self.external,
            state: self.state.map(Into::into),
            allow_missing: false,
            etag,
            request_id,
            validate_only: false,
        };
        server.directory().update_user(request).await.map(drop)
    }
}

#[derive(Debug)]
pub struct Group {
    pub place: String,
    pub path: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub visibility: Option<Visibility>,
}

impl Entry for Group {
    type Found = pb::Group;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("group {}", self.path)
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::Group>> {
        let request = pb::GetGroupRequest {
            group: Some(group(&self.path)),
        };
        Ok(server.directory().get_group(request).await?.into_inner().group)
    }

    fn etag(found: &pb::Group) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::Group) -> Vec<Difference> {
        differing([
            differs("name", &found.name, self.name.as_ref()),
            differs("description", &found.description, self.description.as_ref()),
            differs(
                "visibility",
                &found.visibility().word(),
                self.visibility.map(Word::word),
            ),
        ])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::Group>> {
        let (parent, path) = split(&self.path);
        let request = pb::CreateGroupRequest {
            parent,
            path,
            name: self.name.clone().unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
            visibility: number(self.visibility),
            request_id,
            validate_only: false,
        };
        Ok(server.directory().create_group(request).await?.into_inner().group)
    }

    async fn update(&self, server: &Server, etag: String, request_id: String) -> Answer<()> {
        let request = pb::UpdateGroupRequest {
            group: Some(group(&self.path)),
            name: self.name.clone(),
            description: self.description.clone(),
            visibility: self.visibility.map(Into::into),
            allow_missing: false,
            etag,
            request_id,
            validate_only: false,
        };
        server.directory().update_group(request).await.map(drop)
    }
}

#[derive(Debug)]
pub struct Project {
    pub place: String,
    pub path: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub visibility: Option<Visibility>,
    pub default_branch: Option<String>,
    pub archived: Option<bool>,
}

impl Entry for Project {
    type Found = pb::Project;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("project {}", self.path)
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::Project>> {
        let request = pb::GetProjectRequest {
            project: Some(project(&self.path)),
        };
        Ok(server
            .directory()
            .get_project(request)
            .await?
            .into_inner()
            .project)
    }

    fn etag(found: &pb::Project) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::Project) -> Vec<Difference> {
        differing([
            differs("name", &found.name, self.name.as_ref()),
            differs("description", &found.description, self.description.as_ref()),
            differs(
                "visibility",
                &found.visibility().word(),
                self.visibility.map(Word::word),
            ),
            differs(
                "default_branch",
                &found.default_branch,
                self.default_branch.as_ref(),
            ),
            differs("archived", &found.archived, self.archived),
        ])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::Project>> {
        let (group, path) = split(&self.path);
        let request = pb::CreateProjectRequest {
            group,
            path,
            name: self.name.clone().unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
            visibility: number(self.visibility),
            default_branch: self.default_branch.clone().unwrap_or_default(),
            request_id,
            validate_only: false,
        };
        Ok(server
            .directory()
            .create_project(request)
            .await?
            .into_inner()
            .project)
    }

    async fn update(&self, server: &Server, etag: String, request_id: String) -> Answer<()> {
        let request = pb::UpdateProjectRequest {
            project: Some(project(&self.path)),
            name: self.name.clone(),
            description: self.description.clone(),
            visibility: self.visibility.map(Into::into),
            default_branch: self.default_branch.clone(),
            archived: self.archived,
            allow_missing: false,
            etag,
            request_id,
            validate_only: false,
        };
        server.directory().update_project(request).await.map(drop)
    }
}

#[derive(Debug)]
pub struct Share {
    pub place: String,
    pub container: Container,
    pub group: String,
    pub access: AccessLevel,
}

impl Entry for Share {
    type Found = pb::GroupShare;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("share of {} with {}", self.container.path(), self.group)
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::GroupShare>> {
        let request = pb::GetGroupShareRequest {
            container: self.container.to_ref(),
            group: Some(group(&self.group)),
        };
        Ok(server
            .directory()
            .get_group_share(request)
            .await?
            .into_inner()
            .group_share)
    }

    fn etag(found: &pb::GroupShare) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::GroupShare) -> Vec<Difference> {
        differing([differs(
            "access",
            &found.access_level().word(),
            Some(self.access.word()),
        )])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::GroupShare>> {
        let request = pb::CreateGroupShareRequest {
            container: self.container.to_ref(),
            group: Some(group(&self.group)),
            access_level: self.access.into(),
            request_id,
            validate_only: false,
        };
        Ok(server
            .directory()
            .create_group_share(request)
            .await?
            .into_inner()
            .group_share)
    }

    async fn update(&self, server: &Server, etag: String, request_id: String) -> Answer<()> {
        let request = pb::UpdateGroupShareRequest {
            container: self.container.to_ref(),
            group: Some(group(&self.group)),
            access_level: self.access.into(),
            allow_missing: false,
            etag,
            request_id,
            validate_only: false,
        };
        server.directory().update_group_share(request).await.map(drop)
    }
}

#[derive(Debug)]
pub struct Member {
    pub place: String,
    pub container: Container,
    pub user: String,
    pub access: AccessLevel,
}

impl Entry for Member {
    type Found = pb::Membership;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("member {} of {}", self.user, self.container.path())
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::Membership>> {
        let request = pb::GetMembershipRequest {
            container: self.container.to_ref(),
            user: Some(user(&self.user)),
        };
        Ok(server
            .directory()
            .get_membership(request)
            .await?
            .into_inner()
            .membership)
    }

    fn etag(found: &pb::Membership) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::Membership) -> Vec<Difference> {
        differing([differs(
            "access",
            &found.access_level().word(),
            Some(self.access.word()),
        )])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::Membership>> {
        let request = pb::CreateMembershipRequest {
            container: self.container.to_ref(),
            user: Some(user(&self.user)),
            access_level: self.access.into(),
            request_id,
            validate_only: false,
        };
        Ok(server
            .directory()
            .create_membership(request)
            .await?
            .into_inner()
            .membership)
    }

    async fn update(&self, server: &Server, etag: String, request_id: String) -> Answer<()> {
        let request = pb::UpdateMembershipRequest {
            container: self.container.to_ref(),
            user: Some(user(&self.user)),
            access_level: self.access.into(),
            allow_missing: false,
            etag,
            request_id,
            validate_only: false,
        };
        server.directory().update_membership(request).await.map(drop)
    }
}

#[derive(Debug)]
pub struct Environment {
    pub place: String,
    pub project: String,
    pub name: String,
    pub tier: Option<EnvironmentTier>,
    pub external_url: Option<String>,
    pub description: Option<String>,
    pub auto_stop_setting: Option<AutoStopSetting>,
}

impl Environment {
    fn to_ref(&self) -> EnvironmentRef {
        EnvironmentRef {
            by: Some(environment_ref::By::Name(self.name.clone())),
        }
    }
}

impl Entry for Environment {
    type Found = pb::Environment;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("environment {} of {}", self.name, self.project)
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::Environment>> {
        let request = pb::GetEnvironmentRequest {
            project: Some(project(&self.project)),
            environment: Some(self.to_ref()),
        };
        Ok(server
            .environments()
            .get_environment(request)
            .await?
            .into_inner()
            .environment)
    }

    fn etag(found: &pb::Environment) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::Environment) -> Vec<Difference> {
        let auto_stop_setting = self.auto_stop_setting.map(Word::word);
        differing([
            differs("tier", &found.tier().word(), self.tier.map(Word::word)),
            differs("external_url", found.external_url(), self.external_url.as_ref()),
            differs("description", found.description(), self.description.as_ref()),
            differs(
                "auto_stop_setting",
                &found.auto_stop_setting().word(),
                auto_stop_setting,
            ),
        ])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::Environment>> {
        let request = pb::CreateEnvironmentRequest {
            project: Some(project(&self.project)),
            name: self.name.clone(),
            external_url: self.external_url.clone().unwrap_or_default(),
            tier: number(self.tier),
            description: self.description.clone().unwrap_or_default(),
            auto_stop_setting: number(self.auto_stop_setting),
            request_id,
            validate_only: false,
        };
        Ok(server
            .environments()
            .create_environment(request)
            .await?
            .into_inner()
            .environment)
    }

    async fn update(&self, server: &Server, etag: String, request_id: String) -> Answer<()> {
        let request = pb::UpdateEnvironmentRequest {
            project: Some(project(&self.project)),
            environment: Some(self.to_ref()),
            external_url: self.external_url.clone(),
            tier: self.tier.map(Into::into),
            description: self.description.clone(),
            auto_stop_setting: self.auto_stop_setting.map(Into::into),
            etag,
            request_id,
            validate_only: false,
        };
        server.environments().update_environment(request).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ana() -> User {
        User {
            place: "users[0]".to_owned(),
            username: "ana".to_owned(),
            name: Some("Ana".to_owned()),
            email: None,
            public_email: None,
            avatar_url: None,
            admin: None,
            external: None,
            state: None,
        }
    }

    fn found() -> pb::User {
        pb::User {
            name: "Ana".to_owned(),
            state: UserState::Active.into(),
            admin: true,
            ..Default::default()
        }
    }

    #[test]
    fn what_the_file_leaves_out_is_as_it_should_be() {
        assert_eq!(ana().differences(&found()), []);
    }

    #[test]
    fn every_field_that_the_file_has_is_compared() {
        let text = |text: &str| Some(text.to_owned());
        let cases: [(User, &str, &str, &str); 7] = [
            (
                User {
                    name: text("Ana L"),
                    ..ana()
                },
                "name",
                "Ana",
                "Ana L",
            ),
            (
                User {
                    email: text("a@b.example"),
                    ..ana()
                },
                "email",
                "",
                "a@b.example",
            ),
            (
                User {
                    public_email: text("a@b.example"),
                    ..ana()
                },
                "public_email",
                "",
                "a@b.example",
            ),
            (
                User {
                    avatar_url: text("http://a"),
                    ..ana()
                },
                "avatar_url",
                "",
                "http://a",
            ),
            (
                User {
                    admin: Some(false),
                    ..ana()
                },
                "admin",
                "true",
                "false",
            ),
            (
                User {
                    external: Some(true),
                    ..ana()
                },
                "external",
                "false",
                "true",
            ),
            (
                User {
                    state: Some(UserState::Blocked),
                    ..ana()
                },
                "state",
                "active",
                "blocked",
            ),
        ];
        for (wanted, field, was, becomes) in cases {
            let difference = Difference {
                field,
                found: was.to_owned(),
                wanted: becomes.to_owned(),
            };
            assert_eq!(wanted.differences(&found()), [difference]);
        }
    }

    #[test]
    fn an_empty_address_is_the_same_as_none() {
        assert_eq!(
            User {
                email: Some(String::new()),
                ..ana()
            }
            .differences(&found()),
            []
        );
    }

    #[test]
    fn an_environment_is_compared_by_words() {
        let wanted = Environment {
            place: "environments[0]".to_owned(),
            project: "acme/web".to_owned(),
            name: "production".to_owned(),
            tier: Some(EnvironmentTier::Production),
            external_url: None,
            description: None,
            auto_stop_setting: Some(AutoStopSetting::WithAction),
        };
        let found = pb::Environment {
            tier: EnvironmentTier::Other.into(),
            auto_stop_setting: AutoStopSetting::WithAction.into(),
            ..Default::default()
        };
        let difference = Difference {
            field: "tier",
            found: "other".to_owned(),
            wanted: "production".to_owned(),
        };
        assert_eq!(wanted.differences(&found), [difference]);
    }

    #[test]
    fn a_path_is_split_into_group_and_last_segment() {
        assert_eq!(split("acme"), (None, "acme".to_owned()));
        assert_eq!(
            split("acme/shop/web"),
            (Some(group("acme/shop")), "web".to_owned())
        );
    }
}
