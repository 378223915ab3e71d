//! Rows as the tables have them, and the way from a row to the domain: an impossible row is a defect that names itself.

use chrono::DateTime;
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use crate::{
    domain::{
        Time,
        access::AccessLevel,
        approval::{Approval, ApprovalStatus},
        deployment::{Deployment, DeploymentStatus, FailureReason, GateState},
        directory::{
            Container, Group, GroupShare, GroupView, Membership, Project, ProjectView, Standing, User,
            UserProfile, UserState, UserSummary, Visibility,
        },
        environment::{AutoStopSetting, Environment, EnvironmentState, EnvironmentSummary, EnvironmentTier},
        id::{
            ApprovalRuleId, DeployAccessLevelId, DeploymentId, EnvironmentId, GroupId, Iid, ProjectId,
            ProtectionId, TokenId, UserId,
        },
        protection::{
            ApprovalRule, Audience, DeployAccessLevel, GroupInheritance, ProtectedEnvironment, Role, Subject,
        },
        token::{Scope, Token, TokenOfJob},
    },
    store::{Dated, Mark, StoreError},
};

/// How many changes the directory has had, as a column.
pub const MARK: &str = ", (SELECT changes FROM directory WHERE id = 1) AS mark";

/// `finished_at` of what has not finished: later than everything.
pub const NOT_FINISHED: i64 = i64::MAX;

/// A time as the store keeps it.
pub fn millis(time: Time) -> i64 {
    time.timestamp_millis()
}

/// A row that cannot be: which table, which column, which id.
pub fn inconsistent(table: &'static str, column: &'static str, id: i64) -> StoreError {
    StoreError::Inconsistent { table, column, id }
}

/// A time out of a row of `table`.
pub fn time(table: &'static str, column: &'static str, id: i64, millis: i64) -> Result<Time, StoreError> {
    DateTime::from_timestamp_millis(millis).ok_or_else(|| inconsistent(table, column, id))
}

fn level(table: &'static str, id: i64, number: i64) -> Result<AccessLevel, StoreError> {
    AccessLevel::from_number(number).ok_or_else(|| inconsistent(table, "access_level", id))
}

#[derive(Debug, FromRow)]
pub struct LockRow {
    pub id: i64,
    pub latest_at: i64,
    pub last_iid: i64,
    pub last_event: i64,
    pub mark: i64,
}

#[derive(Debug, FromRow)]
pub struct RequestRow {
    pub fingerprint: String,
    pub answer: Vec<u8>,
}

#[derive(Debug, FromRow)]
pub struct UserRow {
    pub id: i64,
    pub username: String,
    pub name: String,
    pub email: Option<String>,
    pub public_email: Option<String>,
    pub avatar_url: Option<String>,
    pub state: String,
    pub admin: bool,
    pub external: bool,
    pub bio: String,
    pub location: String,
    pub skype: String,
    pub linkedin: String,
    pub twitter: String,
    pub website_url: String,
    pub organization: String,
    pub created_at: i64,
    pub version: i64,
}

impl TryFrom<UserRow> for User {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<Self, StoreError> {
        Ok(Self {
            state: UserState::parse(&row.state).ok_or_else(|| inconsistent("users", "state", row.id))?,
            created_at: time("users", "created_at", row.id, row.created_at)?,
            id: UserId(row.id),
            username: row.username,
            name: row.name,
            email: row.email,
            public_email: row.public_email,
            avatar_url: row.avatar_url,
            admin: row.admin,
            external: row.external,
            profile: UserProfile {
                bio: row.bio,
                location: row.location,
                skype: row.skype,
                linkedin: row.linkedin,
                twitter: row.twitter,
                website_url: row.website_url,
                organization: row.organization,
            },
            version: row.version,
        })
    }
}

#[derive(Debug, FromRow)]
pub struct TokenRow {
    pub token_id: i64,
    pub user_id: i64,
    pub token_name: String,
    pub scopes: String,
    pub token_created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    pub last_used_at: Option<i64>,
    pub deployment_id: Option<i64>,
    pub job_project_id: Option<i64>,
    pub job_project_path: Option<String>,
}

impl TryFrom<TokenRow> for Token {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        let at = |column, value: Option<i64>| {
            value
                .map(|millis| time("tokens", column, row.token_id, millis))
                .transpose()
        };
        Ok(Self {
            scopes: row
                .scopes
                .split_whitespace()
                .map(|word| Scope::parse(word).ok_or_else(|| inconsistent("tokens", "scopes", row.token_id)))
                .collect::<Result<_, _>>()?,
            created_at: time("tokens", "created_at", row.token_id, row.token_created_at)?,
            expires_at: at("expires_at", row.expires_at)?,
            revoked_at: at("revoked_at", row.revoked_at)?,
            last_used_at: at("last_used_at", row.last_used_at)?,
            job: match (row.deployment_id, row.job_project_id, row.job_project_path) {
                (Some(deployment), Some(project), Some(project_path)) => Some(TokenOfJob {
                    deployment: DeploymentId(deployment),
                    project: ProjectId(project),
                    project_path,
                }),
                (None, ..) => None,
                _ => return Err(inconsistent("tokens", "deployment_id", row.token_id)),
            },
            id: TokenId(row.token_id),
            user_id: UserId(row.user_id),
            name: row.token_name,
        })
    }
}

/// A token with its user.
#[derive(Debug, FromRow)]
pub struct HolderRow {
    #[sqlx(flatten)]
    pub token: TokenRow,
    #[sqlx(flatten)]
    pub user: UserRow,
    pub mark: i64,
}

impl TryFrom<HolderRow> for Dated<(Token, User)> {
    type Error = StoreError;

    fn try_from(row: HolderRow) -> Result<Self, StoreError> {
        Ok(Self {
            of: (row.token.try_into()?, row.user.try_into()?),
            mark: Mark(row.mark),
        })
    }
}

#[derive(Debug, FromRow)]
pub struct GroupRow {
    pub id: i64,
    pub parent_id: Option<i64>,
    pub path: String,
    pub full_path: String,
    pub name: String,
    pub full_name: String,
    pub description: String,
    pub visibility: String,
    pub created_at: i64,
    pub version: i64,
}

impl TryFrom<GroupRow> for Group {
    type Error = StoreError;

    fn try_from(row: GroupRow) -> Result<Self, StoreError> {
        Ok(Self {
            visibility: Visibility::parse(&row.visibility)
                .ok_or_else(|| inconsistent("groups", "visibility", row.id))?,
            created_at: time("groups", "created_at", row.id, row.created_at)?,
            id: GroupId(row.id),
            parent_id: row.parent_id.map(GroupId),
            path: row.path,
            full_path: row.full_path,
            name: row.name,
            full_name: row.full_name,
            description: row.description,
            version: row.version,
        })
    }
}

/// What a user is to a project or group; the columns are null where they are nothing.
#[derive(Debug, FromRow)]
pub struct StandingRow {
    #[sqlx(rename = "project_level")]
    pub project: Option<i64>,
    #[sqlx(rename = "group_level")]
    pub group: Option<i64>,
    #[sqlx(rename = "shared_level")]
    pub shared: Option<i64>,
}

impl StandingRow {
    fn standing(&self, id: i64) -> Result<Standing, StoreError> {
        let read = |number: Option<i64>| number.map(|number| level("memberships", id, number)).transpose();
        Ok(Standing {
            project: read(self.project)?,
            group: read(self.group)?,
            shared: read(self.shared)?,
        })
    }
}

#[derive(Debug, FromRow)]
pub struct GroupViewRow {
    #[sqlx(flatten)]
    pub group: GroupRow,
    #[sqlx(flatten)]
    pub standing: StandingRow,
}

impl TryFrom<GroupViewRow> for GroupView {
    type Error = StoreError;

    fn try_from(row: GroupViewRow) -> Result<Self, StoreError> {
        Ok(Self {
            standing: row.standing.standing(row.group.id)?,
            group: row.group.try_into()?,
        })
    }
}

/// A project with its group; the group's columns are prefixed with `group_`.
#[derive(Debug, FromRow)]
pub struct ProjectRow {
    pub id: i64,
    pub path: String,
    pub full_path: String,
    pub name: String,
    pub description: String,
    pub visibility: String,
    pub default_branch: String,
    pub archived: bool,
    pub allow_self_approval: bool,
    pub forward_deployment_enabled: bool,
    pub forward_deployment_rollback_allowed: bool,
    pub repository_path: Option<String>,
    pub creator_id: i64,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
    pub group_id: i64,
    pub group_parent_id: Option<i64>,
    pub group_path: String,
    pub group_full_path: String,
    pub group_name: String,
    pub group_full_name: String,
    pub group_description: String,
    pub group_visibility: String,
    pub group_created_at: i64,
    pub group_version: i64,
}

impl TryFrom<ProjectRow> for Project {
    type Error = StoreError;

    fn try_from(row: ProjectRow) -> Result<Self, StoreError> {
        let at = |column, millis| time("projects", column, row.id, millis);
        Ok(Self {
            visibility: Visibility::parse(&row.visibility)
                .ok_or_else(|| inconsistent("projects", "visibility", row.id))?,
            created_at: at("created_at", row.created_at)?,
            updated_at: at("updated_at", row.updated_at)?,
            id: ProjectId(row.id),
            path: row.path,
            full_path: row.full_path,
            name: row.name,
            description: row.description,
            default_branch: row.default_branch,
            archived: row.archived,
            allow_self_approval: row.allow_self_approval,
            forward_deployment_enabled: row.forward_deployment_enabled,
            forward_deployment_rollback_allowed: row.forward_deployment_rollback_allowed,
            repository: row.repository_path,
            creator_id: UserId(row.creator_id),
            version: row.version,
            group: GroupRow {
                id: row.group_id,
                parent_id: row.group_parent_id,
                path: row.group_path,
                full_path: row.group_full_path,
                name: row.group_name,
                full_name: row.group_full_name,
                description: row.group_description,
                visibility: row.group_visibility,
                created_at: row.group_created_at,
                version: row.group_version,
            }
            .try_into()?,
        })
    }
}

/// A project with its group and what a user is to it.
#[derive(Debug, FromRow)]
pub struct ViewRow {
    #[sqlx(flatten)]
    pub project: ProjectRow,
    #[sqlx(flatten)]
    pub standing: StandingRow,
    pub mark: i64,
}

impl TryFrom<ViewRow> for Dated<ProjectView> {
    type Error = StoreError;

    fn try_from(row: ViewRow) -> Result<Self, StoreError> {
        let of = ProjectView {
            standing: row.standing.standing(row.project.id)?,
            project: row.project.try_into()?,
        };
        let mark = Mark(row.mark);
        Ok(Self { of, mark })
    }
}

#[derive(Debug, FromRow)]
pub struct MembershipRow {
    pub id: i64,
    pub project_id: Option<i64>,
    pub group_id: Option<i64>,
    pub access_level: i64,
    pub created_at: i64,
    pub version: i64,
    pub user_id: i64,
    pub username: String,
    pub user_name: String,
    pub public_email: Option<String>,
    pub avatar_url: Option<String>,
    pub user_state: String,
}

impl TryFrom<MembershipRow> for Membership {
    type Error = StoreError;

    fn try_from(row: MembershipRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            container: container("memberships", row.id, row.project_id, row.group_id)?,
            access_level: level("memberships", row.id, row.access_level)?,
            created_at: time("memberships", "created_at", row.id, row.created_at)?,
            version: row.version,
            user: UserSummary {
                state: UserState::parse(&row.user_state)
                    .ok_or_else(|| inconsistent("users", "state", row.user_id))?,
                id: UserId(row.user_id),
                username: row.username,
                name: row.user_name,
                public_email: row.public_email,
                avatar_url: row.avatar_url,
            },
        })
    }
}

#[derive(Debug, FromRow)]
pub struct ShareRow {
    pub id: i64,
    pub shared_project_id: Option<i64>,
    pub shared_group_id: Option<i64>,
    pub group_id: i64,
    pub group_full_path: String,
    pub access_level: i64,
    pub created_at: i64,
    pub version: i64,
}

impl TryFrom<ShareRow> for GroupShare {
    type Error = StoreError;

    fn try_from(row: ShareRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            container: container("group_shares", row.id, row.shared_project_id, row.shared_group_id)?,
            access_level: level("group_shares", row.id, row.access_level)?,
            created_at: time("group_shares", "created_at", row.id, row.created_at)?,
            group_id: GroupId(row.group_id),
            group_full_path: row.group_full_path,
            version: row.version,
        })
    }
}

fn container(
    table: &'static str,
    id: i64,
    project: Option<i64>,
    group: Option<i64>,
) -> Result<Container, StoreError> {
    match (project, group) {
        (Some(project), None) => Ok(Container::Project(ProjectId(project))),
        (None, Some(group)) => Ok(Container::Group(GroupId(group))),
        _ => Err(inconsistent(table, "group_id", id)),
    }
}

#[derive(Debug, FromRow)]
pub struct EnvironmentRow {
    pub id: i64,
    pub project_id: i64,
    pub name: String,
    pub slug: String,
    pub external_url: Option<String>,
    pub state: String,
    pub tier: String,
    pub description: Option<String>,
    pub auto_stop_setting: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

impl TryFrom<EnvironmentRow> for Environment {
    type Error = StoreError;

    fn try_from(row: EnvironmentRow) -> Result<Self, StoreError> {
        let bad = |column| inconsistent("environments", column, row.id);
        Ok(Self {
            state: EnvironmentState::parse(&row.state).ok_or_else(|| bad("state"))?,
            tier: EnvironmentTier::parse(&row.tier).ok_or_else(|| bad("tier"))?,
            auto_stop_setting: AutoStopSetting::parse(&row.auto_stop_setting)
                .ok_or_else(|| bad("auto_stop_setting"))?,
            created_at: time("environments", "created_at", row.id, row.created_at)?,
            updated_at: time("environments", "updated_at", row.id, row.updated_at)?,
            id: EnvironmentId(row.id),
            project_id: ProjectId(row.project_id),
            name: row.name,
            slug: row.slug,
            external_url: row.external_url,
            description: row.description,
            version: row.version,
        })
    }
}

/// A deployment with its environment and, if it is still there, its user.
#[derive(Debug, FromRow)]
pub struct DeploymentRow {
    pub id: i64,
    pub project_id: i64,
    pub iid: i64,
    #[sqlx(rename = "ref")]
    pub git_ref: String,
    pub tag: bool,
    pub sha: String,
    pub status: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub finished_at: i64,
    pub gate: String,
    pub failure_reason: Option<String>,
    pub version: i64,
    pub commit_sha: Option<String>,
    pub job_id: Option<i64>,
    pub environment_id: i64,
    pub environment_name: String,
    pub environment_slug: String,
    pub environment_external_url: Option<String>,
    pub environment_created_at: i64,
    pub environment_updated_at: i64,
    pub user_id: Option<i64>,
    pub username: Option<String>,
    pub user_name: Option<String>,
    pub public_email: Option<String>,
    pub avatar_url: Option<String>,
    pub user_state: Option<String>,
}

/// A deployment, with what tells whether that is all there is to read.
#[derive(Debug, FromRow)]
pub struct GlanceRow {
    #[sqlx(flatten)]
    pub deployment: DeploymentRow,
    pub mark: i64,
    pub guarded: i64,
}

/// A deployment of a page, and what is the same in each of its rows.
#[derive(Debug, FromRow)]
pub struct PageRow {
    #[sqlx(flatten)]
    pub deployment: DeploymentRow,
    pub mark: i64,
    pub total: Option<i64>,
}

impl TryFrom<DeploymentRow> for Deployment {
    type Error = StoreError;

    /// Without its job.
    fn try_from(row: DeploymentRow) -> Result<Self, StoreError> {
        let bad = |column| inconsistent("deployments", column, row.id);
        let at = |column, millis| time("deployments", column, row.id, millis);
        let user = match (row.user_id, row.username, row.user_name, row.user_state) {
            (Some(id), Some(username), Some(name), Some(state)) => Some(UserSummary {
                id: UserId(id),
                username,
                name,
                public_email: row.public_email,
                avatar_url: row.avatar_url,
                state: UserState::parse(&state).ok_or_else(|| inconsistent("users", "state", id))?,
            }),
            _ => None,
        };
        Ok(Self {
            status: DeploymentStatus::parse(&row.status).ok_or_else(|| bad("status"))?,
            gate: GateState::parse(&row.gate).ok_or_else(|| bad("gate"))?,
            failure_reason: row
                .failure_reason
                .map(|word| FailureReason::parse(&word).ok_or_else(|| bad("failure_reason")))
                .transpose()?,
            created_at: at("created_at", row.created_at)?,
            updated_at: at("updated_at", row.updated_at)?,
            finished_at: match row.finished_at {
                NOT_FINISHED => None,
                millis => Some(at("finished_at", millis)?),
            },
            environment: EnvironmentSummary {
                id: EnvironmentId(row.environment_id),
                name: row.environment_name,
                slug: row.environment_slug,
                external_url: row.environment_external_url,
                created_at: at("environment.created_at", row.environment_created_at)?,
                updated_at: at("environment.updated_at", row.environment_updated_at)?,
            },
            id: DeploymentId(row.id),
            iid: Iid(row.iid),
            project_id: ProjectId(row.project_id),
            git_ref: row.git_ref,
            tag: row.tag,
            sha: row.sha,
            user,
            version: row.version,
            commit_id: row.commit_sha,
            job: None,
        })
    }
}

/// A protection, beside one of its entries.
#[derive(Debug, FromRow)]
pub struct ProtectionRow {
    #[sqlx(rename = "protection_id")]
    pub id: i64,
    #[sqlx(rename = "container_project_id")]
    pub project_id: Option<i64>,
    #[sqlx(rename = "container_group_id")]
    pub group_id: Option<i64>,
    #[sqlx(rename = "protection_name")]
    pub name: String,
    pub required_approval_count: i64,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

impl TryFrom<ProtectionRow> for ProtectedEnvironment {
    type Error = StoreError;

    /// Without its entries.
    fn try_from(row: ProtectionRow) -> Result<Self, StoreError> {
        const TABLE: &str = "protected_environments";
        Ok(Self {
            id: ProtectionId(row.id),
            container: container(TABLE, row.id, row.project_id, row.group_id)?,
            name: row.name,
            deploy_access_levels: Vec::new(),
            required_approval_count: row.required_approval_count,
            approval_rules: Vec::new(),
            created_at: time(TABLE, "created_at", row.id, row.created_at)?,
            updated_at: time(TABLE, "updated_at", row.id, row.updated_at)?,
            version: row.version,
        })
    }
}

/// A deploy access level or an approval rule, with the names of whom it is about.
#[derive(Debug, FromRow)]
pub struct EntryRow {
    pub id: i64,
    pub is_rule: i64,
    pub user_id: Option<i64>,
    pub group_id: Option<i64>,
    pub access_level: Option<i64>,
    pub group_inheritance: String,
    pub user_name: Option<String>,
    pub username: Option<String>,
    pub group_name: Option<String>,
    pub group_path: Option<String>,
    pub group_full_path: Option<String>,
    pub required_approvals: i64,
}

/// A protection with one of its entries, or with none.
#[derive(Debug)]
pub struct GuardRow {
    pub protection: ProtectionRow,
    pub entry: Option<EntryRow>,
}

impl<'r, R: Row> FromRow<'r, R> for GuardRow
where
    ProtectionRow: FromRow<'r, R>,
    EntryRow: FromRow<'r, R>,
    &'static str: ColumnIndex<R>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self {
            protection: ProtectionRow::from_row(row)?,
            entry: joined(row, "id")?,
        })
    }
}

/// What was joined to a row, if the column that it always has is there.
fn joined<'r, R: Row, T>(row: &'r R, column: &'static str) -> Result<Option<T>, sqlx::Error>
where
    T: FromRow<'r, R>,
    &'static str: ColumnIndex<R>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
{
    let there: Option<i64> = row.try_get(column)?;
    there.map(|_| T::from_row(row)).transpose()
}

impl EntryRow {
    fn audience(self, table: &'static str) -> Result<Audience, StoreError> {
        let bad = |column| inconsistent(table, column, self.id);
        let inheritance =
            GroupInheritance::parse(&self.group_inheritance).ok_or_else(|| bad("group_inheritance"))?;
        let (subject, description, names) = match (self.user_id, self.group_id, self.access_level) {
            (Some(id), None, None) => (
                Subject::User(UserId(id)),
                self.user_name.clone(),
                vec![self.user_name, self.username],
            ),
            (None, Some(id), None) => (
                Subject::Group(GroupId(id)),
                self.group_name.clone(),
                vec![self.group_name, self.group_path, self.group_full_path],
            ),
            (None, None, Some(number)) => {
                let role = Role::from_number(number).ok_or_else(|| bad("access_level"))?;
                let description = role.description().map(str::to_owned);
                (Subject::Role(role), description.clone(), vec![description])
            }
            _ => return Err(bad("user_id")),
        };
        Ok(Audience {
            subject,
            inheritance,
            description,
            names: names.into_iter().flatten().collect(),
        })
    }
}

impl TryFrom<EntryRow> for DeployAccessLevel {
    type Error = StoreError;

    fn try_from(row: EntryRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: DeployAccessLevelId(row.id),
            audience: row.audience("deploy_access_levels")?,
        })
    }
}

impl TryFrom<EntryRow> for ApprovalRule {
    type Error = StoreError;

    fn try_from(row: EntryRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: ApprovalRuleId(row.id),
            required_approvals: row.required_approvals,
            audience: row.audience("approval_rules")?,
        })
    }
}

#[derive(Debug, FromRow)]
pub struct ApprovalRow {
    pub id: i64,
    pub deployment_id: i64,
    pub status: String,
    pub comment: Option<String>,
    pub represented_as: String,
    pub pinned: String,
    pub rule_id: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub user_id: i64,
    pub username: String,
    pub user_name: String,
    pub public_email: Option<String>,
    pub avatar_url: Option<String>,
    pub user_state: String,
}

impl TryFrom<ApprovalRow> for Approval {
    type Error = StoreError;

    fn try_from(row: ApprovalRow) -> Result<Self, StoreError> {
        let bad = |column| inconsistent("approvals", column, row.id);
        let pinned = row.pinned.split_whitespace().map(str::parse);
        Ok(Self {
            deployment_id: DeploymentId(row.deployment_id),
            status: ApprovalStatus::parse(&row.status).ok_or_else(|| bad("status"))?,
            pinned: pinned
                .map(|id| id.map(ApprovalRuleId).map_err(|_| bad("pinned")))
                .collect::<Result<_, _>>()?,
            user: UserSummary {
                id: UserId(row.user_id),
                username: row.username,
                name: row.user_name,
                public_email: row.public_email,
                avatar_url: row.avatar_url,
                state: UserState::parse(&row.user_state).ok_or_else(|| bad("user.state"))?,
            },
            comment: row.comment,
            represented_as: row.represented_as,
            rule_id: row.rule_id.map(ApprovalRuleId),
            created_at: time("approvals", "created_at", row.id, row.created_at)?,
            updated_at: time("approvals", "updated_at", row.id, row.updated_at)?,
        })
    }
}

/// What a user is to a group, or to a project (no group, 0), and by which way.
#[derive(Debug, FromRow)]
pub struct WayRow {
    pub group_id: i64,
    pub way: i64,
    pub access_level: i64,
}

/// A user with one of the ways in which they are something, or with none.
#[derive(Debug)]
pub struct PersonRow {
    pub user: UserRow,
    pub way: Option<WayRow>,
}

impl<'r, R: Row> FromRow<'r, R> for PersonRow
where
    UserRow: FromRow<'r, R>,
    WayRow: FromRow<'r, R>,
    &'static str: ColumnIndex<R>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self {
            user: UserRow::from_row(row)?,
            way: joined(row, "way")?,
        })
    }
}

/// The environment of a new deployment, whether anything protects it, and the id that the deployment gets.
#[derive(Debug, FromRow)]
pub struct GroundRow {
    #[sqlx(flatten)]
    pub environment: EnvironmentRow,
    pub guarded: i64,
    pub next_id: i64,
}

/// Where a deployment is recorded.
#[derive(Debug, FromRow)]
pub struct PlaceRow {
    pub project_id: i64,
    pub deployment_id: i64,
}

/// An event; its payload is read where it is written, in `event.rs`.
#[derive(Debug, FromRow)]
pub struct EventRow {
    pub id: i64,
    pub project_id: i64,
    pub seq: i64,
    pub kind: String,
    pub actor_id: i64,
    pub created_at: i64,
    pub payload: String,
    pub mark: i64,
}
