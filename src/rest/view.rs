//! The JSON of the API: plain structs whose fields stand in documented order (product decision 22).

mod approval;
mod job;
pub(super) mod merge_request;
pub(super) mod protection;

use prost_types::Timestamp;
use serde::Serialize;

pub(super) use self::approval::{Approval, ExtendedDeployment};
use super::{time, words};
use crate::pb::v1;

/// A user as others see it: the keys of the documented example, then TODAY's.
#[derive(Debug, Serialize)]
pub(super) struct UserBasic {
    name: String,
    username: String,
    id: i64,
    state: &'static str,
    avatar_url: Option<String>,
    web_url: String,
    public_email: Option<String>,
    locked: bool,
}

impl UserBasic {
    /// `base` is where the client found this server.
    pub(super) fn new(user: v1::UserSummary, base: &str) -> Self {
        Self {
            web_url: format!("{base}/{}", user.username),
            name: user.name,
            username: user.username,
            id: user.id,
            state: words::word(words::USER_STATES, user.state),
            avatar_url: user.avatar_url,
            public_email: user.public_email,
            locked: false,
        }
    }
}

/// An environment as a deployment shows it.
#[derive(Debug, Serialize)]
struct EnvironmentOfDeployment {
    id: i64,
    name: String,
    external_url: Option<String>,
    slug: String,
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl From<v1::EnvironmentSummary> for EnvironmentOfDeployment {
    fn from(environment: v1::EnvironmentSummary) -> Self {
        Self {
            id: environment.id,
            name: environment.name,
            external_url: environment.external_url,
            slug: environment.slug,
            created_at: printed(environment.created_at.as_ref()),
            updated_at: printed(environment.updated_at.as_ref()),
        }
    }
}

/// A deployment as lists show it.
#[derive(Debug, Serialize)]
pub(super) struct Deployment {
    id: i64,
    iid: i64,
    #[serde(rename = "ref")]
    reference: String,
    sha: String,
    created_at: Option<String>,
    updated_at: Option<String>,
    status: &'static str,
    /// Only of a deployment alone (product decision 4), next to the status, as documented.
    #[serde(flatten)]
    approvals: Option<approval::Approvals>,
    user: Option<UserBasic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<EnvironmentOfDeployment>,
    /// The CI job; nothing that is created over REST has one, and clients want the key all the same.
    deployable: Option<Box<job::Job>>,
}

impl Deployment {
    /// The complete deployment.
    pub(super) fn new(deployment: v1::Deployment, base: &str) -> Self {
        Self {
            id: deployment.id,
            iid: deployment.iid,
            reference: deployment.r#ref,
            sha: deployment.sha,
            created_at: printed(deployment.created_at.as_ref()),
            updated_at: printed(deployment.updated_at.as_ref()),
            status: words::word(words::DEPLOYMENT_STATUSES, deployment.status),
            approvals: None,
            user: deployment.user.map(|user| UserBasic::new(user, base)),
            environment: deployment.environment.map(EnvironmentOfDeployment::from),
            deployable: deployment
                .job
                .map(|job| Box::new(job::Job::new(job, deployment.project_id, base))),
        }
    }

    /// Inside an environment, which it therefore does not repeat.
    fn last(deployment: v1::Deployment, base: &str) -> Self {
        Self {
            environment: None,
            ..Self::new(deployment, base)
        }
    }
}

/// The part of an environment that is always shown.
#[derive(Debug, Serialize)]
pub(super) struct EnvironmentBasic {
    id: i64,
    name: String,
    slug: String,
    external_url: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl From<v1::Environment> for EnvironmentBasic {
    fn from(environment: v1::Environment) -> Self {
        Self {
            id: environment.id,
            name: environment.name,
            slug: environment.slug,
            external_url: environment.external_url,
            created_at: printed(environment.created_at.as_ref()),
            updated_at: printed(environment.updated_at.as_ref()),
        }
    }
}

/// What an environment is shown with.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Context<'a> {
    /// In lists and after changes.
    Project { project: Option<&'a ProjectBasic> },
    /// Alone; null if nothing has ever been deployed there with success.
    LastDeployment {
        last_deployment: Option<Box<Deployment>>,
    },
}

/// An environment (contract 2.9).
#[derive(Debug, Serialize)]
pub(super) struct Environment<'a> {
    #[serde(flatten)]
    basic: EnvironmentBasic,
    tier: &'static str,
    #[serde(flatten)]
    context: Context<'a>,
    state: &'static str,
    auto_stop_at: Option<String>,
    description: Option<String>,
    auto_stop_setting: &'static str,
}

impl<'a> Environment<'a> {
    /// As lists and changes show it.
    pub(super) fn with_project(environment: v1::Environment, project: Option<&'a ProjectBasic>) -> Self {
        Self::new(environment, Context::Project { project })
    }

    /// As it is shown alone.
    pub(super) fn with_last_deployment(
        environment: v1::Environment,
        deployment: Option<v1::Deployment>,
        base: &str,
    ) -> Self {
        let last_deployment = deployment.map(|deployment| Box::new(Deployment::last(deployment, base)));
        Self::new(environment, Context::LastDeployment { last_deployment })
    }

    fn new(mut environment: v1::Environment, context: Context<'a>) -> Self {
        Self {
            tier: words::word(words::TIERS, environment.tier),
            context,
            state: words::word(words::ENVIRONMENT_STATES, environment.state),
            auto_stop_at: None,
            description: environment.description.take(),
            auto_stop_setting: words::word(words::AUTO_STOP_SETTINGS, environment.auto_stop_setting),
            basic: environment.into(),
        }
    }
}

/// What would be, or has been scheduled to be, deleted.
#[derive(Debug, Serialize)]
pub(super) struct ReviewApps {
    scheduled_entries: Vec<EnvironmentBasic>,
    unprocessable_entries: [EnvironmentBasic; 0],
}

impl From<Vec<v1::Environment>> for ReviewApps {
    fn from(environments: Vec<v1::Environment>) -> Self {
        Self {
            scheduled_entries: environments.into_iter().map(EnvironmentBasic::from).collect(),
            unprocessable_entries: [],
        }
    }
}

/// The group that a project is in.
#[derive(Debug, Serialize)]
struct Namespace {
    id: i64,
    name: String,
    path: String,
    kind: &'static str,
    full_path: String,
    parent_id: Option<i64>,
    avatar_url: Option<String>,
    web_url: String,
}

impl Namespace {
    fn new(group: v1::Group, base: &str) -> Self {
        Self {
            web_url: format!("{base}/groups/{}", group.full_path),
            id: group.id,
            name: group.name,
            path: group.path,
            kind: "group",
            full_path: group.full_path,
            parent_id: group.parent_id,
            avatar_url: None,
        }
    }
}

/// The part of a project that an environment shows too. Gatehouse hosts no repositories, hence no addresses
/// of any.
#[derive(Debug, Serialize)]
pub(super) struct ProjectBasic {
    id: i64,
    description: String,
    name: String,
    name_with_namespace: String,
    path: String,
    path_with_namespace: String,
    created_at: Option<String>,
    default_branch: String,
    tag_list: [String; 0],
    topics: [String; 0],
    ssh_url_to_repo: &'static str,
    http_url_to_repo: &'static str,
    web_url: String,
    readme_url: Option<String>,
    forks_count: u32,
    avatar_url: Option<String>,
    star_count: u32,
    last_activity_at: Option<String>,
    visibility: &'static str,
    namespace: Option<Namespace>,
}

impl ProjectBasic {
    /// `base` is where the client found this server.
    pub(super) fn new(project: v1::Project, base: &str) -> Self {
        Self {
            web_url: format!("{base}/{}", project.full_path),
            id: project.id,
            description: project.description,
            name: project.name,
            name_with_namespace: project.full_name,
            path: project.path,
            path_with_namespace: project.full_path,
            created_at: printed(project.created_at.as_ref()),
            default_branch: project.default_branch,
            tag_list: [],
            topics: [],
            ssh_url_to_repo: "",
            http_url_to_repo: "",
            readme_url: None,
            forks_count: 0,
            avatar_url: None,
            star_count: 0,
            last_activity_at: printed(project.updated_at.as_ref()),
            visibility: words::word(words::VISIBILITIES, project.visibility),
            namespace: project.group.map(|group| Namespace::new(group, base)),
        }
    }
}

/// Addresses of related things.
#[derive(Debug, Serialize)]
struct ProjectLinks {
    #[serde(rename = "self")]
    itself: String,
}

/// One way in which the caller is a member.
#[derive(Debug, Serialize)]
struct Access {
    access_level: i32,
    notification_level: i32,
}

impl Access {
    fn new(access_level: i32) -> Self {
        // 3 is the level "global": there are no notifications to have another for.
        Self {
            access_level,
            notification_level: 3,
        }
    }
}

/// What the caller is to a project.
#[derive(Debug, Serialize)]
struct Permissions {
    project_access: Option<Access>,
    group_access: Option<Access>,
}

/// A project (contract 2.11).
#[derive(Debug, Serialize)]
pub(super) struct Project {
    #[serde(flatten)]
    basic: ProjectBasic,
    #[serde(rename = "_links")]
    links: ProjectLinks,
    archived: bool,
    empty_repo: bool,
    creator_id: i64,
    builds_access_level: &'static str,
    environments_access_level: &'static str,
    repository_access_level: &'static str,
    ci_forward_deployment_enabled: bool,
    ci_forward_deployment_rollback_allowed: bool,
    allow_pipeline_trigger_approve_deployment: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Permissions>,
}

impl Project {
    /// As it is shown alone; `viewer` is what the caller is to it.
    pub(super) fn with_access(project: v1::Project, viewer: &v1::ProjectViewer, base: &str) -> Self {
        Self {
            permissions: Some(Permissions {
                project_access: viewer.project_access_level.map(Access::new),
                group_access: viewer.group_access_level.map(Access::new),
            }),
            ..Self::new(project, base)
        }
    }

    /// As changes show it: they do not tell what the caller is to it.
    pub(super) fn new(project: v1::Project, base: &str) -> Self {
        Self {
            links: ProjectLinks {
                itself: format!("{base}/api/v4/projects/{}", project.id),
            },
            archived: project.archived,
            empty_repo: true,
            creator_id: project.creator_id,
            builds_access_level: "enabled",
            environments_access_level: "enabled",
            repository_access_level: "enabled",
            ci_forward_deployment_enabled: project.forward_deployment_enabled,
            ci_forward_deployment_rollback_allowed: project.forward_deployment_rollback_allowed,
            allow_pipeline_trigger_approve_deployment: project.allow_self_approval,
            permissions: None,
            basic: ProjectBasic::new(project, base),
        }
    }
}

/// The caller's own page (contract 2.11): what Gatehouse does not know of people is null, empty, zero or
/// false.
#[derive(Debug, Serialize)]
pub(super) struct CurrentUser {
    #[serde(flatten)]
    basic: UserBasic,
    created_at: Option<String>,
    bio: Option<String>,
    location: Option<String>,
    skype: String,
    linkedin: String,
    twitter: String,
    discord: &'static str,
    website_url: String,
    github: &'static str,
    job_title: &'static str,
    pronouns: Option<String>,
    organization: String,
    bot: bool,
    work_information: Option<String>,
    followers: u32,
    following: u32,
    is_followed: bool,
    local_time: Option<String>,
    last_sign_in_at: Option<String>,
    confirmed_at: Option<String>,
    last_activity_on: Option<String>,
    email: Option<String>,
    theme_id: u32,
    color_scheme_id: u32,
    projects_limit: u32,
    current_sign_in_at: Option<String>,
    identities: [String; 0],
    can_create_group: bool,
    can_create_project: bool,
    two_factor_enabled: bool,
    external: bool,
    private_profile: bool,
    commit_email: Option<String>,
    preferred_language: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_admin: bool,
}

impl CurrentUser {
    /// `base` is where the client found this server.
    pub(super) fn new(user: v1::User, base: &str) -> Self {
        let created_at = printed(user.created_at.as_ref());
        let profile = user.profile.unwrap_or_default();
        let told = |text: String| (!text.is_empty()).then_some(text);
        Self {
            // An account here needs no confirmation: it is there from its creation.
            confirmed_at: created_at.clone(),
            created_at,
            bio: told(profile.bio),
            location: told(profile.location),
            skype: profile.skype,
            linkedin: profile.linkedin,
            twitter: profile.twitter,
            discord: "",
            website_url: profile.website_url,
            github: "",
            job_title: "",
            pronouns: None,
            organization: profile.organization,
            bot: false,
            work_information: None,
            followers: 0,
            following: 0,
            is_followed: false,
            local_time: None,
            last_sign_in_at: None,
            last_activity_on: None,
            commit_email: user.email.clone(),
            email: user.email,
            theme_id: 0,
            color_scheme_id: 0,
            projects_limit: 0,
            current_sign_in_at: None,
            identities: [],
            can_create_group: user.admin,
            can_create_project: user.admin,
            two_factor_enabled: false,
            external: user.external,
            private_profile: false,
            preferred_language: None,
            is_admin: user.admin,
            basic: UserBasic::new(
                v1::UserSummary {
                    id: user.id,
                    username: user.username,
                    name: user.name,
                    public_email: user.public_email,
                    avatar_url: user.avatar_url,
                    state: user.state,
                },
                base,
            ),
        }
    }
}

/// The agent server that the reference ships with; there is none here.
#[derive(Debug, Serialize)]
struct Kas {
    enabled: bool,
    #[serde(rename = "externalUrl")]
    external_url: Option<String>,
    #[serde(rename = "externalK8sProxyUrl")]
    external_k8s_proxy_url: Option<String>,
    version: Option<String>,
}

/// What answers here (contract 2.11).
#[derive(Debug, Serialize)]
pub(super) struct Metadata {
    version: String,
    revision: String,
    kas: Kas,
    /// Clients take it for "protected environments are to be had".
    enterprise: bool,
}

impl From<v1::GetMetadataResponse> for Metadata {
    fn from(metadata: v1::GetMetadataResponse) -> Self {
        let kas = Kas {
            enabled: false,
            external_url: None,
            external_k8s_proxy_url: None,
            version: None,
        };
        Self {
            version: metadata.version,
            revision: metadata.revision,
            kas,
            enterprise: true,
        }
    }
}

fn printed(time: Option<&Timestamp>) -> Option<String> {
    time.and_then(time::print)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "http://localhost:3000";

    fn at(text: &str) -> Option<Timestamp> {
        time::parse(text, chrono::NaiveDate::default())
    }

    fn text<T: Serialize>(view: &T) -> String {
        serde_json::to_string(view).unwrap()
    }

    fn administrator() -> v1::UserSummary {
        v1::UserSummary {
            id: 1,
            username: "root".to_owned(),
            name: "Administrator".to_owned(),
            public_email: None,
            avatar_url: Some("http://www.gravatar.com/avatar/e64c?s=80&d=identicon".to_owned()),
            state: v1::UserState::Active.into(),
        }
    }

    /// The documented example, as far as the API creates such a thing.
    fn deployment() -> v1::Deployment {
        v1::Deployment {
            id: 42,
            iid: 2,
            project_id: 7,
            environment: Some(v1::EnvironmentSummary {
                id: 9,
                name: "production".to_owned(),
                slug: "production".to_owned(),
                external_url: Some("https://about.gitlab.com".to_owned()),
                created_at: at("2016-08-01T00:00:00Z"),
                updated_at: at("2016-08-02T00:00:00Z"),
            }),
            r#ref: "main".to_owned(),
            tag: false,
            sha: "a91957a858320c0e17f3a0eca7cfacbff50ea29a".to_owned(),
            user: Some(administrator()),
            status: v1::DeploymentStatus::Success.into(),
            created_at: at("2016-08-11T11:32:35.444Z"),
            updated_at: at("2016-08-11T11:34:01.123Z"),
            finished_at: at("2016-08-11T11:34:01.123Z"),
            etag: "x".to_owned(),
            gate_bypassed: false,
            failure_reason: 0,
            job: None,
            commit_id: None,
        }
    }

    fn environment() -> v1::Environment {
        v1::Environment {
            id: 9,
            project_id: 7,
            name: "review/x".to_owned(),
            slug: "review-x-abcdef".to_owned(),
            external_url: None,
            state: v1::EnvironmentState::Available.into(),
            tier: v1::EnvironmentTier::Development.into(),
            folder: Some("review".to_owned()),
            description: Some("for x".to_owned()),
            auto_stop_setting: v1::AutoStopSetting::Always.into(),
            created_at: at("2016-08-01"),
            updated_at: at("2016-08-02"),
            etag: "x".to_owned(),
        }
    }

    fn project() -> v1::Project {
        v1::Project {
            id: 7,
            path: "web".to_owned(),
            full_path: "acme/web".to_owned(),
            name: "Web".to_owned(),
            full_name: "Acme / Web".to_owned(),
            description: String::new(),
            visibility: v1::Visibility::Private.into(),
            default_branch: "main".to_owned(),
            allow_self_approval: true,
            archived: false,
            group: Some(v1::Group {
                id: 3,
                path: "acme".to_owned(),
                full_path: "acme".to_owned(),
                name: "Acme".to_owned(),
                ..v1::Group::default()
            }),
            creator_id: 1,
            created_at: at("2016-01-01"),
            updated_at: at("2016-01-02"),
            forward_deployment_enabled: false,
            forward_deployment_rollback_allowed: true,
            etag: "x".to_owned(),
        }
    }

    const PROJECT: &str = concat!(
        r#""id":7,"description":"","name":"Web","name_with_namespace":"Acme / Web","path":"web","#,
        r#""path_with_namespace":"acme/web","created_at":"2016-01-01T00:00:00.000Z","default_branch":"main","#,
        r#""tag_list":[],"topics":[],"ssh_url_to_repo":"","http_url_to_repo":"","#,
        r#""web_url":"http://localhost:3000/acme/web","readme_url":null,"forks_count":0,"avatar_url":null,"#,
        r#""star_count":0,"last_activity_at":"2016-01-02T00:00:00.000Z","visibility":"private","#,
        r#""namespace":{"id":3,"name":"Acme","path":"acme","kind":"group","full_path":"acme","parent_id":null,"#,
        r#""avatar_url":null,"web_url":"http://localhost:3000/groups/acme"}"#,
    );
    const ENVIRONMENT_START: &str = concat!(
        r#"{"id":9,"name":"review/x","slug":"review-x-abcdef","external_url":null,"#,
        r#""created_at":"2016-08-01T00:00:00.000Z","updated_at":"2016-08-02T00:00:00.000Z","tier":"development","#,
    );
    const ENVIRONMENT_END: &str =
        r#","state":"available","auto_stop_at":null,"description":"for x","auto_stop_setting":"always"}"#;

    #[test]
    fn a_deployment_has_the_documented_keys_in_order() {
        let expected = concat!(
            r#"{"id":42,"iid":2,"ref":"main","sha":"a91957a858320c0e17f3a0eca7cfacbff50ea29a","#,
            r#""created_at":"2016-08-11T11:32:35.444Z","updated_at":"2016-08-11T11:34:01.123Z","status":"success","#,
            r#""user":{"name":"Administrator","username":"root","id":1,"state":"active","#,
            r#""avatar_url":"http://www.gravatar.com/avatar/e64c?s=80&d=identicon","#,
            r#""web_url":"http://localhost:3000/root","public_email":null,"locked":false},"#,
            r#""environment":{"id":9,"name":"production","external_url":"https://about.gitlab.com","#,
            r#""slug":"production","created_at":"2016-08-01T00:00:00.000Z","#,
            r#""updated_at":"2016-08-02T00:00:00.000Z"},"deployable":null}"#,
        );
        assert_eq!(text(&Deployment::new(deployment(), BASE)), expected);
    }

    #[test]
    fn a_deployment_outlives_its_user() {
        let orphan = v1::Deployment {
            user: None,
            ..deployment()
        };
        assert!(
            text(&Deployment::new(orphan, BASE)).contains(r#""status":"success","user":null,"environment""#)
        );
    }

    #[test]
    fn an_environment_in_a_list_has_its_project() {
        let project = ProjectBasic::new(project(), BASE);
        let view = Environment::with_project(environment(), Some(&project));
        assert_eq!(
            text(&view),
            format!("{ENVIRONMENT_START}\"project\":{{{PROJECT}}}{ENVIRONMENT_END}")
        );
    }

    #[test]
    fn an_environment_alone_has_its_last_deployment_without_itself() {
        let none = Environment::with_last_deployment(environment(), None, BASE);
        assert_eq!(
            text(&none),
            format!("{ENVIRONMENT_START}\"last_deployment\":null{ENVIRONMENT_END}")
        );
        let some = text(&Environment::with_last_deployment(
            environment(),
            Some(deployment()),
            BASE,
        ));
        assert!(some.contains(r#""last_deployment":{"id":42,"#), "{some}");
        assert!(
            some.contains(r#""locked":false},"deployable":null},"state""#),
            "{some}"
        );
    }

    #[test]
    fn a_project_tells_what_the_caller_is_to_it() {
        let viewer = v1::ProjectViewer {
            project_access_level: None,
            group_access_level: Some(v1::AccessLevel::Maintainer.into()),
            access_level: Some(v1::AccessLevel::Maintainer.into()),
        };
        let expected = concat!(
            r#","_links":{"self":"http://localhost:3000/api/v4/projects/7"},"archived":false,"empty_repo":true,"#,
            r#""creator_id":1,"builds_access_level":"enabled","environments_access_level":"enabled","#,
            r#""repository_access_level":"enabled","ci_forward_deployment_enabled":false,"#,
            r#""ci_forward_deployment_rollback_allowed":true,"allow_pipeline_trigger_approve_deployment":true,"#,
            r#""permissions":{"project_access":null,"group_access":{"access_level":40,"notification_level":3}}}"#,
        );
        assert_eq!(
            text(&Project::with_access(project(), &viewer, BASE)),
            format!("{{{PROJECT}{expected}")
        );
    }

    #[test]
    fn the_callers_own_page_is_honest() {
        let user = v1::User {
            id: 1,
            username: "root".to_owned(),
            name: "Administrator".to_owned(),
            email: Some("root@example.com".to_owned()),
            state: v1::UserState::Active.into(),
            admin: true,
            created_at: at("2015-12-21"),
            ..v1::User::default()
        };
        let view = text(&CurrentUser::new(user.clone(), BASE));
        assert!(
            view.starts_with(r#"{"name":"Administrator","username":"root","id":1,"state":"active","#),
            "{view}"
        );
        assert!(
            view.contains(r#""created_at":"2015-12-21T00:00:00.000Z","bio":null,"#),
            "{view}"
        );
        assert!(
            view.contains(r#""email":"root@example.com""#) && view.ends_with(r#""is_admin":true}"#),
            "{view}"
        );
        let profile = v1::UserProfile {
            bio: "Ships".to_owned(),
            location: "Oslo".to_owned(),
            skype: "ann.s".to_owned(),
            linkedin: "ann-l".to_owned(),
            twitter: "ann_t".to_owned(),
            website_url: "ann.example".to_owned(),
            organization: "Acme".to_owned(),
        };
        let telling = v1::User {
            profile: Some(profile),
            ..user.clone()
        };
        let telling = text(&CurrentUser::new(telling, BASE));
        let told = concat!(
            r#""bio":"Ships","location":"Oslo","skype":"ann.s","linkedin":"ann-l","twitter":"ann_t","#,
            r#""discord":"","website_url":"ann.example","github":"","job_title":"","pronouns":null,"#,
            r#""organization":"Acme","#,
        );
        assert!(telling.contains(told), "{telling}");
        let plain = text(&CurrentUser::new(v1::User { admin: false, ..user }, BASE));
        assert!(!plain.contains("is_admin"), "{plain}");
    }

    #[test]
    fn the_version_is_that_of_gatehouse() {
        let metadata = v1::GetMetadataResponse {
            version: "0.1.0".to_owned(),
            revision: "abc".to_owned(),
        };
        let expected = concat!(
            r#"{"version":"0.1.0","revision":"abc","kas":{"enabled":false,"externalUrl":null,"#,
            r#""externalK8sProxyUrl":null,"version":null},"enterprise":true}"#,
        );
        assert_eq!(text(&Metadata::from(metadata)), expected);
    }
}
