//! Between the contract's messages and the domain, both ways. No rule lives here; what cannot be read at all is refused
//! with the field's name.

use std::time::Duration;

use prost_types::Timestamp;

use super::job;
use crate::{
    domain::{
        Time,
        access::AccessLevel,
        approval::ApprovalStatus,
        deployment::{Deployment, DeploymentStatus, FailureReason, GateState},
        directory::{
            Container, Group, GroupShare, Membership, Project, Standing, User, UserProfile, UserState,
            UserSummary, Visibility,
        },
        environment::{AutoStopSetting, Environment, EnvironmentState, EnvironmentSummary, EnvironmentTier},
        error::Error,
        event::EventKind,
        id::{
            ContainerKey, EnvironmentId, EnvironmentKey, GroupId, GroupKey, ProjectId, ProjectKey, UserId,
            UserKey,
        },
        job::JobStatus,
        merge_request::MergeRequestState,
        page::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, PageRequest},
        protection::GroupInheritance,
        token::{Scope, Token},
    },
    pb::v1 as pb,
};

/// A text that is a field: anything but NUL, which no store takes.
pub fn text(field: &str, text: String) -> Result<String, Error> {
    if text.contains('\0') {
        Err(Error::argument(field, "is invalid"))
    } else {
        Ok(text)
    }
}

/// A required field that is missing.
pub fn missing(field: &str) -> Error {
    Error::argument(field, "is missing")
}

/// An enum value that is none of those asked for.
pub fn bad_value(field: &str) -> Error {
    Error::argument(field, "does not have a valid value")
}

/// The project that a request names.
pub fn project_key(reference: Option<pb::ProjectRef>) -> Result<ProjectKey, Error> {
    match reference
        .and_then(|reference| reference.by)
        .ok_or_else(|| missing("project"))?
    {
        pb::project_ref::By::Id(id) => Ok(ProjectKey::Id(ProjectId(id))),
        pb::project_ref::By::Path(path) => Ok(ProjectKey::Path(text("project.path", path)?)),
    }
}

/// The group that a request names in `field`, if it names one.
pub fn optional_group_key(field: &str, reference: Option<pb::GroupRef>) -> Result<Option<GroupKey>, Error> {
    let Some(reference) = reference else {
        return Ok(None);
    };
    match reference.by.ok_or_else(|| missing(field))? {
        pb::group_ref::By::Id(id) => Ok(Some(GroupKey::Id(GroupId(id)))),
        pb::group_ref::By::Path(path) => Ok(Some(GroupKey::Path(text(&format!("{field}.path"), path)?))),
    }
}

/// The group that a request has to name.
pub fn group_key(reference: Option<pb::GroupRef>) -> Result<GroupKey, Error> {
    optional_group_key("group", reference)?.ok_or_else(|| missing("group"))
}

/// The user that a request names, if it names one.
pub fn optional_user_key(reference: Option<pb::UserRef>) -> Result<Option<UserKey>, Error> {
    let Some(reference) = reference else {
        return Ok(None);
    };
    match reference.by.ok_or_else(|| missing("user"))? {
        pb::user_ref::By::Id(id) => Ok(Some(UserKey::Id(UserId(id)))),
        pb::user_ref::By::Username(name) => Ok(Some(UserKey::Name(text("user.username", name)?))),
    }
}

/// The user that a request has to name.
pub fn user_key(reference: Option<pb::UserRef>) -> Result<UserKey, Error> {
    optional_user_key(reference)?.ok_or_else(|| missing("user"))
}

/// The project or group that a request has to name.
pub fn container_key(reference: Option<pb::ContainerRef>) -> Result<ContainerKey, Error> {
    match reference
        .and_then(|reference| reference.of)
        .ok_or_else(|| missing("container"))?
    {
        pb::container_ref::Of::Project(project) => Ok(ContainerKey::Project(project_key(Some(project))?)),
        pb::container_ref::Of::Group(group) => Ok(ContainerKey::Group(group_key(Some(group))?)),
    }
}

/// The environment that a request names.
pub fn environment_key(reference: Option<pb::EnvironmentRef>) -> Result<EnvironmentKey, Error> {
    match reference
        .and_then(|reference| reference.by)
        .ok_or_else(|| missing("environment"))?
    {
        pb::environment_ref::By::Id(id) => Ok(EnvironmentKey::Id(EnvironmentId(id))),
        pb::environment_ref::By::Name(name) => Ok(EnvironmentKey::Name(text("environment.name", name)?)),
    }
}

/// The paging fields of a list request, with the position that its token stands for.
pub fn page<C>(size: i32, skip: i64, want_total: bool, after: Option<C>) -> Result<PageRequest<C>, Error> {
    if size < 0 {
        return Err(Error::argument("page_size", "must not be negative"));
    }
    if skip < 0 {
        return Err(Error::argument("skip", "must not be negative"));
    }
    let size = if size == 0 {
        PAGE_SIZE_DEFAULT
    } else {
        i64::from(size).min(PAGE_SIZE_MAX)
    };
    Ok(PageRequest {
        size,
        skip,
        after,
        want_total,
    })
}

/// A span of time of a request, between `least` and `most`.
pub fn duration(
    field: &str,
    duration: &prost_types::Duration,
    least: Duration,
    most: Duration,
) -> Result<Duration, Error> {
    const SECOND: u32 = 1_000_000_000;
    let seconds = u64::try_from(duration.seconds).ok();
    let nanos = u32::try_from(duration.nanos).ok().filter(|&nanos| nanos < SECOND);
    seconds
        .zip(nanos)
        .map(|(seconds, nanos)| Duration::new(seconds, nanos))
        .filter(|length| (least..=most).contains(length))
        .ok_or_else(|| {
            let (least, most) = (least.as_secs(), most.as_secs());
            Error::argument(field, format!("must be between {least} and {most} seconds"))
        })
}

/// A time as the contract has it.
pub fn timestamp(time: Time) -> Timestamp {
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default();
    Timestamp {
        seconds: time.timestamp(),
        nanos,
    }
}

/// A time of a request: within the years 1 to 9999, as the contract's type demands, and cut to milliseconds.
pub fn time(field: &str, timestamp: Timestamp) -> Result<Time, Error> {
    const YEAR_1: i64 = -62_135_596_800;
    const YEAR_10000: i64 = 253_402_300_800;
    let bad = || Error::argument(field, "is invalid");
    if !(YEAR_1..YEAR_10000).contains(&timestamp.seconds) || !(0..1_000_000_000).contains(&timestamp.nanos) {
        return Err(bad());
    }
    let millis = timestamp.seconds * 1_000 + i64::from(timestamp.nanos / 1_000_000);
    Time::from_timestamp_millis(millis).ok_or_else(bad)
}

/// An optional time of a request.
pub fn optional_time(field: &str, timestamp: Option<Timestamp>) -> Result<Option<Time>, Error> {
    timestamp.map(|timestamp| time(field, timestamp)).transpose()
}

/// Converts between an enum of the contract and one of the domain, value by value; `UNSPECIFIED` is no value.
macro_rules! enums {
    ($($to:ident, $from:ident: $pb:ident <=> $domain:ident { $($theirs:ident = $ours:ident),+ $(,)? })+) => {$(
        /// The contract's value for the domain's.
        pub fn $to(value: $domain) -> pb::$pb {
            match value { $($domain::$ours => pb::$pb::$theirs,)+ }
        }

        /// The domain's value for the contract's, or a refusal that names the field.
        pub fn $from(field: &str, value: i32) -> Result<$domain, Error> {
            match pb::$pb::try_from(value) {
                $(Ok(pb::$pb::$theirs) => Ok($domain::$ours),)+
                Ok(pb::$pb::Unspecified) | Err(_) => Err(bad_value(field)),
            }
        }
    )+};
}

enums! {
    status, read_status: DeploymentStatus <=> DeploymentStatus {
        Created = Created, Running = Running, Success = Success, Failed = Failed, Canceled = Canceled,
        Skipped = Skipped, Blocked = Blocked,
    }
    state, read_state: EnvironmentState <=> EnvironmentState {
        Available = Available, Stopping = Stopping, Stopped = Stopped,
    }
    tier, read_tier: EnvironmentTier <=> EnvironmentTier {
        Production = Production, Staging = Staging, Testing = Testing, Development = Development, Other = Other,
    }
    auto_stop, read_auto_stop: AutoStopSetting <=> AutoStopSetting { Always = Always, WithAction = WithAction }
    visibility, read_visibility: Visibility <=> Visibility {
        Private = Private, Internal = Internal, Public = Public,
    }
    user_state, read_user_state: UserState <=> UserState { Active = Active, Blocked = Blocked }
    access_level, read_access_level: AccessLevel <=> AccessLevel {
        Minimal = Minimal, Guest = Guest, Planner = Planner, Reporter = Reporter, Developer = Developer,
        Maintainer = Maintainer, Owner = Owner,
    }
    approval_status, read_approval_status: ApprovalStatus <=> ApprovalStatus {
        Approved = Approved, Rejected = Rejected,
    }
    event_kind, read_event_kind: EventKind <=> EventKind {
        DeploymentCreated = DeploymentCreated, DeploymentStatusChanged = DeploymentStatusChanged,
        DeploymentDeleted = DeploymentDeleted, EnvironmentCreated = EnvironmentCreated,
        EnvironmentUpdated = EnvironmentUpdated, EnvironmentDeleted = EnvironmentDeleted,
        ApprovalSubmitted = ApprovalSubmitted, ProtectedEnvironmentCreated = ProtectedEnvironmentCreated,
        ProtectedEnvironmentUpdated = ProtectedEnvironmentUpdated,
        ProtectedEnvironmentDeleted = ProtectedEnvironmentDeleted,
    }
    inheritance, read_inheritance: GroupInheritance <=> GroupInheritance { Direct = Direct, Inherited = Inherited }
    job_status, read_job_status: JobStatus <=> JobStatus {
        Created = Created, WaitingForResource = WaitingForResource, Preparing = Preparing,
        WaitingForCallback = WaitingForCallback, Pending = Pending, Running = Running, Success = Success,
        Failed = Failed, Canceling = Canceling, Canceled = Canceled, Skipped = Skipped, Manual = Manual,
        Scheduled = Scheduled,
    }
    merge_request_state, read_merge_request_state: MergeRequestState <=> MergeRequestState {
        Opened = Opened, Closed = Closed, Locked = Locked, Merged = Merged,
    }
    scope, read_scope: TokenScope <=> Scope {
        Api = Api, ReadApi = ReadApi, MergeRequests = MergeRequests,
    }
}

/// The visibility of something new, where `UNSPECIFIED` means private.
pub fn visibility_or_private(value: i32) -> Result<Visibility, Error> {
    match value {
        0 => Ok(Visibility::Private),
        value => read_visibility("visibility", value),
    }
}

fn failure_reason(reason: Option<FailureReason>) -> pb::DeploymentFailureReason {
    match reason {
        None => pb::DeploymentFailureReason::Unspecified,
        Some(FailureReason::DeploymentRejected) => pb::DeploymentFailureReason::DeploymentRejected,
    }
}

/// A deployment.
pub fn deployment(deployment: &Deployment) -> pb::Deployment {
    pb::Deployment {
        id: deployment.id.0,
        iid: deployment.iid.0,
        project_id: deployment.project_id.0,
        environment: Some(environment_summary(&deployment.environment)),
        r#ref: deployment.git_ref.clone(),
        tag: deployment.tag,
        sha: deployment.sha.clone(),
        user: deployment.user.as_ref().map(user_summary),
        status: status(deployment.status).into(),
        created_at: Some(timestamp(deployment.created_at)),
        updated_at: Some(timestamp(deployment.updated_at)),
        finished_at: deployment.finished_at.map(timestamp),
        etag: deployment.etag(),
        gate_bypassed: deployment.gate == GateState::Bypassed,
        failure_reason: failure_reason(deployment.failure_reason).into(),
        job: deployment.job.as_ref().map(|of| job::job(of, deployment)),
        commit_id: deployment.commit_id.clone(),
    }
}

fn environment_summary(environment: &EnvironmentSummary) -> pb::EnvironmentSummary {
    pb::EnvironmentSummary {
        id: environment.id.0,
        name: environment.name.clone(),
        slug: environment.slug.clone(),
        external_url: environment.external_url.clone(),
        created_at: Some(timestamp(environment.created_at)),
        updated_at: Some(timestamp(environment.updated_at)),
    }
}

/// An environment.
pub fn environment(environment: &Environment) -> pb::Environment {
    pb::Environment {
        id: environment.id.0,
        project_id: environment.project_id.0,
        name: environment.name.clone(),
        slug: environment.slug.clone(),
        external_url: environment.external_url.clone(),
        state: state(environment.state).into(),
        tier: tier(environment.tier).into(),
        folder: crate::domain::environment::folder(&environment.name).map(str::to_owned),
        description: environment.description.clone(),
        auto_stop_setting: auto_stop(environment.auto_stop_setting).into(),
        created_at: Some(timestamp(environment.created_at)),
        updated_at: Some(timestamp(environment.updated_at)),
        etag: environment.etag(),
    }
}

/// What everyone may know of a user.
pub fn user_summary(user: &UserSummary) -> pb::UserSummary {
    pb::UserSummary {
        id: user.id.0,
        username: user.username.clone(),
        name: user.name.clone(),
        public_email: user.public_email.clone(),
        avatar_url: user.avatar_url.clone(),
        state: user_state(user.state).into(),
    }
}

/// A user as `viewer` may see them: the private address is for administrators and the user.
pub fn user(user: &User, viewer: &User) -> pb::User {
    pb::User {
        id: user.id.0,
        username: user.username.clone(),
        name: user.name.clone(),
        email: user
            .email
            .clone()
            .filter(|_| viewer.admin || viewer.id == user.id),
        public_email: user.public_email.clone(),
        avatar_url: user.avatar_url.clone(),
        state: user_state(user.state).into(),
        admin: user.admin,
        external: user.external,
        created_at: Some(timestamp(user.created_at)),
        etag: user.etag(),
        profile: Some(user_profile(&user.profile)),
    }
}

/// What users tell of themselves.
fn user_profile(profile: &UserProfile) -> pb::UserProfile {
    pb::UserProfile {
        bio: profile.bio.clone(),
        location: profile.location.clone(),
        skype: profile.skype.clone(),
        linkedin: profile.linkedin.clone(),
        twitter: profile.twitter.clone(),
        website_url: profile.website_url.clone(),
        organization: profile.organization.clone(),
    }
}

/// Reads what a user tells of themself.
pub fn read_user_profile(profile: pb::UserProfile) -> UserProfile {
    UserProfile {
        bio: profile.bio,
        location: profile.location,
        skype: profile.skype,
        linkedin: profile.linkedin,
        twitter: profile.twitter,
        website_url: profile.website_url,
        organization: profile.organization,
    }
}

/// A group.
pub fn group(group: &Group) -> pb::Group {
    pb::Group {
        id: group.id.0,
        parent_id: group.parent_id.map(|id| id.0),
        path: group.path.clone(),
        full_path: group.full_path.clone(),
        name: group.name.clone(),
        full_name: group.full_name.clone(),
        description: group.description.clone(),
        visibility: visibility(group.visibility).into(),
        created_at: Some(timestamp(group.created_at)),
        etag: group.etag(),
    }
}

/// A project.
pub fn project(project: &Project) -> pb::Project {
    pb::Project {
        id: project.id.0,
        path: project.path.clone(),
        full_path: project.full_path.clone(),
        name: project.name.clone(),
        full_name: project.full_name(),
        description: project.description.clone(),
        visibility: visibility(project.visibility).into(),
        default_branch: project.default_branch.clone(),
        archived: project.archived,
        allow_self_approval: project.allow_self_approval,
        group: Some(group(&project.group)),
        creator_id: project.creator_id.0,
        created_at: Some(timestamp(project.created_at)),
        updated_at: Some(timestamp(project.updated_at)),
        etag: project.etag(),
        forward_deployment_enabled: project.forward_deployment_enabled,
        forward_deployment_rollback_allowed: project.forward_deployment_rollback_allowed,
    }
}

/// What a caller is to a project.
pub fn viewer(standing: Standing) -> pb::ProjectViewer {
    let level = |level: Option<AccessLevel>| level.map(|level| access_level(level).into());
    pb::ProjectViewer {
        project_access_level: level(standing.project),
        group_access_level: level(standing.group),
        access_level: level(standing.level()),
    }
}

/// A membership.
pub fn membership(membership: &Membership) -> pb::Membership {
    pb::Membership {
        user: Some(user_summary(&membership.user)),
        access_level: access_level(membership.access_level).into(),
        container: Some(match membership.container {
            Container::Project(id) => pb::membership::Container::ProjectId(id.0),
            Container::Group(id) => pb::membership::Container::GroupId(id.0),
        }),
        created_at: Some(timestamp(membership.created_at)),
        etag: membership.etag(),
    }
}

/// A share.
pub fn group_share(share: &GroupShare) -> pb::GroupShare {
    pb::GroupShare {
        group_id: share.group_id.0,
        group_full_path: share.group_full_path.clone(),
        access_level: access_level(share.access_level).into(),
        container: Some(match share.container {
            Container::Project(id) => pb::group_share::Container::SharedProjectId(id.0),
            Container::Group(id) => pb::group_share::Container::SharedGroupId(id.0),
        }),
        created_at: Some(timestamp(share.created_at)),
        etag: share.etag(),
    }
}

/// A token, without its secret.
pub fn token(token: &Token) -> pb::Token {
    pb::Token {
        id: token.id.0,
        user_id: token.user_id.0,
        name: token.name.clone(),
        scopes: token.scopes.iter().map(|&held| scope(held).into()).collect(),
        created_at: Some(timestamp(token.created_at)),
        expires_at: token.expires_at.map(timestamp),
        revoked_at: token.revoked_at.map(timestamp),
        last_used_at: token.last_used_at.map(timestamp),
    }
}
