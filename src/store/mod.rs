//! What is remembered: the [`Store`] trait, which the use cases know, and its SQL implementation, which they do not.
//!
//! Rules for whoever implements or calls it:
//!
//! 1. A write loads its view, decides by a pure closure, applies and commits in one transaction, after taking the lock
//!    that everything it decides about is under (a project's row, or the directory's). The closure may run more than once.
//! 2. Reads see what was committed when they began; they take no lock. Two reads may see different moments.
//! 3. Nothing is acknowledged before it is durable. Where that cannot be known, [`StoreError::OutcomeUnknown`] says so.
//! 4. The store makes no time and knows no rule: times come with the call, rules with the closure.
//!
//! Names: `_find` answers `None` for what is not there, `_list` a page, `_change` takes a closure.

pub mod moving;
pub mod postgres;
pub mod sql;
pub mod sqlite;
pub mod wake;

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use async_trait::async_trait;

use crate::domain::{
    Time,
    approval::Approval,
    commit::Commit,
    deployment::{Deployment, DeploymentPosition, DeploymentQuery},
    directory::{
        Container, ContainerView, DirectoryChange, Group, GroupShare, GroupView, Membership, Project,
        ProjectView, User, UserSummary,
    },
    environment::{Environment, EnvironmentFilter},
    error::{Error, Reason},
    event::{Event, ProjectChange},
    gate::{Gate, Unreachable},
    id::{
        ContainerKey, DeploymentId, EnvironmentId, EnvironmentKey, GroupId, GroupKey, JobId, MergeRequestId,
        MergeRequestIid, Place, ProjectId, ProjectKey, TokenId, UserId, UserKey,
    },
    link::{LinkTask, Shipped},
    merge_request::{
        MergeRequest,
        query::{MergeRequestPosition, MergeRequestQuery},
    },
    page::{Page, PageRequest},
    person::Person,
    protection::{Nameable, ProtectedEnvironment},
    token::{SecretHash, Token},
};
pub use sql::schema::SchemaError;
use wake::Subscription;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The closure refused.
    #[error("refused")]
    Refused(#[from] Error),
    /// The store is occupied or cannot be reached; nothing was changed.
    #[error("the store is busy or away")]
    Unavailable(#[source] sqlx::Error),
    /// No connection can be made, for the reason that is the source.
    #[error("cannot connect to the database")]
    Unreachable(#[source] sqlx::Error),
    /// The database did not answer in time; nothing was changed.
    #[error("the store does not answer")]
    Timeout(#[source] sqlx::Error),
    /// The connection broke, again and again; nothing was changed.
    #[error("the connection to the store is lost")]
    Lost(#[source] sqlx::Error),
    /// The directory has changed since what the caller goes by was read; nothing was done.
    #[error("the directory has changed meanwhile")]
    Outdated,
    /// Other transactions were in the way several times; nothing was changed.
    #[error("other changes were in the way")]
    Conflict(#[source] sqlx::Error),
    /// The connection broke at the commit: the change may have happened.
    #[error("the outcome is unknown")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// A row that cannot be.
    #[error("inconsistent row {id} of {table}: {column}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        id: i64,
    },
    /// A schema that this version cannot serve.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A migration failed; it is undone.
    #[error("the schema could not be brought up to date")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A defect.
    #[error("the store failed")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A pool of connections as it is at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// What it is for.
    pub name: &'static str,
    /// Open connections that nobody uses.
    pub idle: u32,
    /// Open connections that are used.
    pub in_use: u32,
    /// The most that are opened.
    pub max: u32,
}

/// What waits to be done in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Deployments that are due to be linked, counted up to one past [`TOTAL_MAX`](crate::domain::page::TOTAL_MAX).
    pub links_due: i64,
    /// Those that will be due again later, counted likewise.
    pub links_put_off: i64,
    /// Since when the first of the due ones has been so.
    pub oldest_due: Option<Time>,
    /// Answers to requests that are to be forgotten, counted likewise.
    pub answers_expired: i64,
}

impl StoreError {
    /// What callers hear of it.
    fn told(&self) -> (Reason, Cow<'static, str>) {
        match self {
            Self::Refused(error) => (error.reason(), error.to_string().into()),
            Self::Unavailable(_) | Self::Unreachable(_) | Self::Timeout(_) | Self::Lost(_) => {
                (Reason::StoreUnavailable, "the store is busy or away".into())
            }
            Self::Conflict(_) | Self::Outdated => (Reason::Conflict, "other changes were in the way".into()),
            Self::OutcomeUnknown(_) => (
                Reason::OutcomeUnknown,
                "the change may or may not have happened".into(),
            ),
            Self::Schema(problem) => (Reason::StoreUnavailable, problem.to_string().into()),
            Self::Inconsistent { .. } | Self::Migration(_) | Self::Other(_) => {
                (Reason::Internal, "internal error".into())
            }
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if let StoreError::Refused(error) = error {
            return error;
        }
        let (reason, message) = error.told();
        Self::caused(reason, message, error)
    }
}

/// For each of several who met the same.
impl From<Arc<StoreError>> for Error {
    fn from(error: Arc<StoreError>) -> Self {
        Arc::try_unwrap(error).map_or_else(
            |error| {
                let (reason, message) = error.told();
                Self::caused(reason, message, error)
            },
            Self::from,
        )
    }
}

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Location {
    /// In a file on this machine.
    Sqlite(PathBuf),
    /// On a PostgreSQL server.
    Postgres(Box<postgres::Settings>),
}

/// A store that is open.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// A copy of it that may lag behind, for reads.
    pub replica: Option<Arc<dyn Store>>,
}

/// Opens a store.
///
/// A SQLite store is made if it is not there, and its schema brought up to date. A PostgreSQL store, which others may be
/// serving just now, has to have a schema that this version can serve.
pub async fn open(location: &Location) -> Result<Opened> {
    match location {
        Location::Sqlite(file) => Ok(Opened {
            store: Arc::new(sqlite::open(file).await?),
            replica: None,
        }),
        Location::Postgres(settings) => postgres::open(settings).await,
    }
}

/// Brings the schema of a store up to date; a SQLite store is made if it is not there.
pub async fn migrate(location: &Location) -> Result<()> {
    match location {
        Location::Sqlite(file) => sqlite::migrate(file).await,
        Location::Postgres(settings) => postgres::migrate(settings).await,
    }
}

/// What the store answers.
pub type Result<T> = std::result::Result<T, StoreError>;

/// How often the directory had changed when something of it was read: what was read at the same mark, in whatever
/// statements, was so at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(pub i64);

/// Something of the directory, and when that was so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated<T> {
    /// What.
    pub of: T,
    /// When.
    pub mark: Mark,
}

/// Some of a project's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The events.
    pub events: Vec<Event>,
    /// As of when they were read; none where there are none.
    pub mark: Option<Mark>,
}

/// What of the directory a change of a project goes by without asking again. The change is refused as
/// [`StoreError::Outdated`] if it is not so any more.
#[derive(Debug, Clone)]
pub struct Premise {
    /// When it was so.
    pub mark: Mark,
    /// The project as the actor meets it.
    pub view: ProjectView,
    /// The actor.
    pub user: User,
}

/// A caller's own name for a request, so that a repeat can be recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The name, unique per user for a day.
    pub id: String,
    /// A digest of what was asked: the same name with another digest is refused.
    pub fingerprint: String,
}

/// How an answer becomes the bytes that a repeat of the request is given.
pub type Encode<A> = Arc<dyn Fn(&A) -> Vec<u8> + Send + Sync>;

/// On what terms a change is made.
#[derive(Clone)]
pub struct Terms<A> {
    /// The time of the change.
    pub now: Time,
    /// Who makes it.
    pub actor: UserId,
    /// What a change of a project goes by; nothing else has any.
    pub premise: Option<Premise>,
    /// How to recognise a repeat.
    pub request: Option<RequestKey>,
    /// Do everything, then keep nothing.
    pub validate_only: bool,
    /// What to remember for a repeat.
    pub encode: Encode<A>,
}

/// The outcome of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done<A> {
    /// It was made now.
    Fresh(A),
    /// It was made before, under the same request id: the bytes of that answer.
    Replayed(Vec<u8>),
}

/// A decision: looks at what there is and says what changes, or refuses. Pure; may be called more than once.
pub type Decide<V, C> = Box<dyn Fn(&V) -> std::result::Result<Vec<C>, Error> + Send + Sync>;

/// Says whether a list is to hold this.
pub type Wanted = dyn Fn(&Gate) -> bool + Send + Sync;

/// What of a project a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Select {
    /// The environment of this name, whether or not there is one.
    EnvironmentNamed(String),
    /// An environment.
    Environment(EnvironmentKey),
    /// What a new deployment stands on.
    NewDeployment {
        /// The name of its environment, whether or not there is one.
        environment: String,
        /// Its job: the deployment that this carries out already.
        job: Option<JobId>,
        /// Whether it has succeeded already: the environment's last successful one.
        succeeded: bool,
    },
    /// A deployment at its gate.
    Gate(DeploymentId),
    /// A deployment, and its environment.
    Deployment(DeploymentId),
    /// A deployment, its environment, and the last successful one there.
    Deletion(DeploymentId),
    /// The deployment of a job, its environment, and the last successful one there.
    Job(JobId),
    /// The protection of this name, whether or not there is one, and who its entries are to name.
    Protection(ProtectionSelect),
    /// The merge request of this number, whether or not there is one, and who of these users is there.
    MergeRequest(MergeRequestIid, Vec<UserKey>),
    /// Environments that are available and saw no change since.
    StaleEnvironments {
        /// Since when.
        before: Time,
    },
    /// Stopped environments of the folder `review`, oldest first.
    ReviewEnvironments {
        /// Created before.
        before: Time,
        /// How many at most.
        limit: i64,
    },
}

/// A protection, and who its entries are to name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProtectionSelect {
    /// The protection's name.
    pub name: String,
    /// The users that are named.
    pub users: Vec<UserId>,
    /// The groups that are named.
    pub groups: Vec<GroupId>,
}

/// What a decision about a project sees, loaded under the project's lock.
#[derive(Debug, Clone)]
pub struct ProjectState {
    /// The time of the change: never before the project's last one.
    pub now: Time,
    /// The project as the actor meets it, if it is there.
    pub view: Option<ProjectView>,
    /// The selected environment, or that of the selected deployment.
    pub environment: Option<Environment>,
    /// Whether an environment of another name has the slug of the selected name.
    pub slug_taken: bool,
    /// The selected deployment; where one is to be recorded, the one that its job carries out already.
    pub deployment: Option<Deployment>,
    /// The successful deployment of `environment` that finished last, if that was selected.
    pub last_success: Option<Deployment>,
    /// The selected environments, where several were selected.
    pub environments: Vec<Environment>,
    /// The protections that apply to the selected environment; where several were selected, to any in the project.
    pub protections: Vec<ProtectedEnvironment>,
    /// The actor, as those protections see them.
    pub actor: Option<Person>,
    /// The selected deployment at its gate, with the actor among the people.
    pub gate: Option<Gate>,
    /// The selected protection.
    pub protection: Option<ProtectedEnvironment>,
    /// Who may be named in it.
    pub nameable: Option<Nameable>,
    /// The selected merge request.
    pub merge_request: Option<MergeRequest>,
    /// Those of the selected users who are there.
    pub users: Vec<UserSummary>,
}

impl ProjectState {
    /// Nothing but the time.
    pub fn at(now: Time) -> Self {
        Self {
            now,
            view: None,
            environment: None,
            slug_taken: false,
            deployment: None,
            last_success: None,
            environments: Vec::new(),
            protections: Vec::new(),
            actor: None,
            gate: None,
            protection: None,
            nameable: None,
            merge_request: None,
            users: Vec::new(),
        }
    }
}

/// What a change of a project leaves behind.
#[derive(Debug, Clone)]
pub struct ProjectAnswer {
    /// The project.
    pub project: Project,
    /// Whether anything changed.
    pub changed: bool,
    /// The deployment in question, after the change.
    pub deployment: Option<Deployment>,
    /// The environment in question, after the change.
    pub environment: Option<Environment>,
    /// The environments that changed, after the change.
    pub environments: Vec<Environment>,
    /// The deployment at its gate, after the change, with the actor among the people.
    pub gate: Option<Gate>,
    /// Who made the change.
    pub actor: UserId,
    /// The protection in question, after the change.
    pub protection: Option<ProtectionAnswer>,
    /// The merge request in question, after the change.
    pub merge_request: Option<MergeRequestAnswer>,
}

impl ProjectAnswer {
    /// The actor's decision about the deployment, if there is one.
    pub fn approval(&self) -> Option<Approval> {
        let approvals = self.gate.as_ref()?.approval_state().approvals;
        approvals
            .into_iter()
            .find(|approval| approval.user.id == self.actor)
    }

    /// Nothing but the project.
    pub fn of(project: Project, actor: UserId) -> Self {
        Self {
            project,
            changed: false,
            deployment: None,
            environment: None,
            environments: Vec::new(),
            gate: None,
            actor,
            protection: None,
            merge_request: None,
        }
    }
}

/// A merge request after a change.
#[derive(Debug, Clone)]
pub struct MergeRequestAnswer {
    /// The merge request.
    pub merge_request: MergeRequest,
    /// Whether this change recorded it first.
    pub created: bool,
    /// Whether the report was older than what is recorded, and left out.
    pub stale: bool,
}

/// A protection after a change.
#[derive(Debug, Clone)]
pub struct ProtectionAnswer {
    /// The protection.
    pub protection: ProtectedEnvironment,
    /// What it asks for and nobody can give.
    pub unreachable: Vec<Unreachable>,
}

impl ProtectionAnswer {
    /// A protection of which that is not known yet.
    pub fn of(protection: ProtectedEnvironment) -> Self {
        Self {
            protection,
            unreachable: Vec::new(),
        }
    }
}

/// What of the directory a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectorySelect {
    /// A user, whether or not they are there.
    User(UserKey),
    /// A group, and, if it is named by path, the place that the path names.
    Group(GroupKey),
    /// A project, and, if it is named by path, the place that the path names.
    Project(ProjectKey),
    /// Where a group or project is to be made.
    Place(Place),
    /// A user's direct membership.
    Membership(ContainerKey, UserKey),
    /// A share with a group.
    Share(ContainerKey, GroupKey),
    /// A token.
    Token(TokenId),
    /// A group's protection of this name, whether or not there is one, and who its entries are to name.
    Protection(GroupKey, ProtectionSelect),
}

/// What a decision about the directory sees, loaded under the directory's lock.
#[derive(Debug, Clone)]
pub struct DirectoryState {
    /// The time of the change.
    pub now: Time,
    /// The selected user, or whose membership was selected.
    pub user: Option<User>,
    /// Whether somebody but the selected user is an active administrator.
    pub other_administrators: bool,
    /// The selected group, or that of the selected share, as the actor meets it.
    pub group: Option<GroupView>,
    /// Whether the selected group holds neither groups nor projects.
    pub group_empty: bool,
    /// The selected project as the actor meets it.
    pub project: Option<ProjectView>,
    /// The group that the selected place is in, as the actor meets it.
    pub parent: Option<GroupView>,
    /// Whether a group or project is in the selected place.
    pub path_taken: bool,
    /// What the selected membership or share belongs to, as the actor meets it.
    pub container: ContainerView,
    /// The selected membership.
    pub membership: Option<Membership>,
    /// The selected share.
    pub share: Option<GroupShare>,
    /// The selected token.
    pub token: Option<Token>,
    /// The selected protection.
    pub protection: Option<ProtectedEnvironment>,
    /// Who may be named in it.
    pub nameable: Option<Nameable>,
}

impl DirectoryState {
    /// Nothing but the time.
    pub fn at(now: Time) -> Self {
        Self {
            now,
            user: None,
            other_administrators: false,
            group: None,
            group_empty: false,
            project: None,
            parent: None,
            path_taken: false,
            container: ContainerView::Group(None),
            membership: None,
            share: None,
            token: None,
            protection: None,
            nameable: None,
        }
    }
}

/// What a change of the directory leaves behind: what was selected, after the change.
#[derive(Debug, Clone)]
pub struct DirectoryAnswer {
    /// The user.
    pub user: Option<User>,
    /// The group.
    pub group: Option<Group>,
    /// The project.
    pub project: Option<Project>,
    /// The membership.
    pub membership: Option<Membership>,
    /// The share.
    pub share: Option<GroupShare>,
    /// The token.
    pub token: Option<Token>,
    /// The protection.
    pub protection: Option<ProtectionAnswer>,
    /// Whether this change made it.
    pub created: bool,
}

/// What is due to be linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// A deployment.
    Link(Box<LinkTask>),
    /// Nothing any more: it is no longer successful, or of an environment that is not linked.
    Forget(DeploymentId),
}

/// Work that one server does for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who does it.
    pub holder: String,
    /// Counted up as long as the holder lives.
    pub beat: i64,
}

/// How far a store is, as seen from a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// How many changes the project has had; none: there is no such project.
    pub project: Option<i64>,
    /// How many changes the directory has had.
    pub directory: i64,
}

impl Position {
    /// Whether everything that is seen at `other` is seen here.
    pub fn reaches(self, other: Self) -> bool {
        // A project comes and goes with the directory.
        self.directory >= other.directory && self.project >= other.project
    }
}

/// What came of linking a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// So many merge requests were linked.
    Done(u64),
    /// Something changed meanwhile: it is still due.
    Changed,
}

/// The store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The token with this secret and its user.
    async fn token_find(&self, hash: &SecretHash) -> Result<Option<Dated<(Token, User)>>>;

    /// The token of this id and its user.
    async fn token_find_by_id(&self, id: TokenId) -> Result<Option<(Token, User)>>;

    /// Notes that a token was used. Losing such a note in a crash does no harm.
    async fn token_touch(&self, id: TokenId, at: Time) -> Result<()>;

    /// A user's tokens by id.
    async fn token_list(&self, user: UserId, page: &PageRequest<TokenId>) -> Result<Page<Token, TokenId>>;

    /// A user.
    async fn user_find(&self, key: &UserKey) -> Result<Option<User>>;

    /// Users by id; those whose username begins with `search`, in any case.
    async fn user_list(&self, search: Option<&str>, page: &PageRequest<UserId>)
    -> Result<Page<User, UserId>>;

    /// A group as `viewer` meets it.
    async fn group_find(&self, key: &GroupKey, viewer: UserId) -> Result<Option<GroupView>>;

    /// The groups that `viewer` may see, by id; those directly in `parent`.
    async fn group_list(
        &self,
        viewer: &User,
        parent: Option<GroupId>,
        page: &PageRequest<GroupId>,
    ) -> Result<Page<Group, GroupId>>;

    /// The projects that `viewer` may see, by id; those directly in `group`.
    async fn project_list(
        &self,
        viewer: &User,
        group: Option<GroupId>,
        page: &PageRequest<ProjectId>,
    ) -> Result<Page<Project, ProjectId>>;

    /// A user's direct membership.
    async fn membership_find(&self, container: Container, user: UserId) -> Result<Option<Membership>>;

    /// Direct memberships by user id, which is their position.
    async fn membership_list(
        &self,
        container: Container,
        page: &PageRequest<UserId>,
    ) -> Result<Page<Membership, UserId>>;

    /// The share with a group.
    async fn share_find(&self, container: Container, group: GroupId) -> Result<Option<GroupShare>>;

    /// Shares by the id of the group that is let in, which is their position.
    async fn share_list(
        &self,
        container: Container,
        page: &PageRequest<GroupId>,
    ) -> Result<Page<GroupShare, GroupId>>;

    /// Changes users, groups, projects, memberships, shares and tokens.
    async fn directory_change(
        &self,
        select: DirectorySelect,
        terms: Terms<DirectoryAnswer>,
        decide: Decide<DirectoryState, DirectoryChange>,
    ) -> Result<Done<DirectoryAnswer>>;

    /// Makes the first administrator, with a token of this secret, if there is no user at all; else none.
    async fn bootstrap(&self, hash: &SecretHash, now: Time) -> Result<Option<User>>;

    /// A project as `viewer` meets it.
    async fn project_find(&self, key: &ProjectKey, viewer: UserId) -> Result<Option<Dated<ProjectView>>>;

    /// An environment of a project.
    async fn environment_find(&self, project: ProjectId, key: &EnvironmentKey)
    -> Result<Option<Environment>>;

    /// A project's environments by id. The position of an environment is its id.
    async fn environment_list(
        &self,
        project: ProjectId,
        filter: &EnvironmentFilter,
        page: &PageRequest<EnvironmentId>,
    ) -> Result<Page<Environment, EnvironmentId>>;

    /// A deployment of a project.
    async fn deployment_find(&self, project: ProjectId, id: DeploymentId) -> Result<Option<Deployment>>;

    /// The deployment that a project's job carries out.
    async fn deployment_find_by_job(&self, project: ProjectId, id: JobId) -> Result<Option<Deployment>>;

    /// The successful deployment of an environment that finished last.
    async fn deployment_last_success(&self, environment: EnvironmentId) -> Result<Option<Deployment>>;

    /// A deployment of a project at its gate, as of one moment, with `viewer` among the people. Refused as
    /// [`StoreError::Outdated`] if the directory has changed since the mark that the caller goes by, if there is one.
    async fn gate_find(
        &self,
        project: &ProjectView,
        id: DeploymentId,
        viewer: &User,
        by: Option<Mark>,
    ) -> Result<Option<Gate>>;

    /// The blocked deployments of all projects that `wanted` says yes to and `viewer` has not decided about, at their
    /// gates, with `viewer` among the people, by id. A page may be short, even empty, though more follow.
    async fn gate_list_blocked(
        &self,
        viewer: &User,
        after: DeploymentId,
        size: i64,
        wanted: &Wanted,
    ) -> Result<Page<Gate, DeploymentId>>;

    /// Up to `size` people by id, beyond `after`, as these protections see them: not all of them belong to what is
    /// protected, but nobody else does. `project` is the one in question, if there is one.
    async fn person_list(
        &self,
        project: Option<&Project>,
        protections: &[ProtectedEnvironment],
        after: UserId,
        size: i64,
    ) -> Result<Vec<Person>>;

    /// The protection of that name.
    async fn protection_find(&self, container: Container, name: &str)
    -> Result<Option<ProtectedEnvironment>>;

    /// The protections of a project or group by name, which is their position.
    async fn protection_list(
        &self,
        container: Container,
        page: &PageRequest<String>,
    ) -> Result<Page<ProtectedEnvironment, String>>;

    /// A project's deployments. Rows that exist throughout a walk by positions are seen exactly once, unless a change
    /// moves them in the order that is walked. Refused as [`StoreError::Outdated`] if the directory has changed since the
    /// mark that the caller goes by, if there is one.
    async fn deployment_list(
        &self,
        project: ProjectId,
        query: &DeploymentQuery,
        page: &PageRequest<DeploymentPosition>,
        by: Option<Mark>,
    ) -> Result<Page<Deployment, DeploymentPosition>>;

    /// A merge request of a project.
    async fn merge_request_find(
        &self,
        project: ProjectId,
        iid: MergeRequestIid,
    ) -> Result<Option<MergeRequest>>;

    /// A project's merge requests; of those, where a deployment is named, the ones that it shipped. Walks are as those of
    /// deployments.
    async fn merge_request_list(
        &self,
        project: ProjectId,
        shipped_by: Option<DeploymentId>,
        query: &MergeRequestQuery,
        page: &PageRequest<MergeRequestPosition>,
    ) -> Result<Page<MergeRequest, MergeRequestPosition>>;

    /// The deployments that shipped a merge request, the one of the highest id first. The position of a deployment is its
    /// id.
    async fn merge_request_deployments(
        &self,
        id: MergeRequestId,
        page: &PageRequest<DeploymentId>,
    ) -> Result<Page<Deployment, DeploymentId>>;

    /// Changes deployments, environments and merge requests of one project, and writes the events that tell of it.
    async fn project_change(
        &self,
        project: ProjectKey,
        select: Select,
        terms: Terms<ProjectAnswer>,
        decide: Decide<ProjectState, ProjectChange>,
    ) -> Result<Done<ProjectAnswer>>;

    /// Up to `size` events of a project beyond the number `after`, in order. Numbers have no gaps: where fewer come,
    /// there are no more so far.
    async fn event_list(&self, project: ProjectId, after: i64, size: i64) -> Result<LogPage>;

    /// The number of a project's last event, 0 where nothing has happened; none: there is no such project.
    async fn event_last(&self, project: ProjectId) -> Result<Option<i64>>;

    /// The successful deployment before this one: of the same environment, the one with the greatest lower id.
    async fn deployment_before(&self, deployment: &Deployment) -> Result<Option<Deployment>>;

    /// The commits that were sent with a deployment, in the order in which they were sent.
    async fn deployment_commits(&self, id: DeploymentId) -> Result<Vec<Commit>>;

    /// The deployment that has been due for the longest time to be linked to what it shipped.
    async fn link_due(&self, now: Time) -> Result<Option<Due>>;

    /// Links a deployment to the merge requests found by `shipped`, unless its project, environment or predecessor is
    /// not what it was when the task was read. It is due no more.
    async fn link(&self, task: &LinkTask, shipped: Shipped, now: Time) -> Result<Linked>;

    /// Lets a deployment be due again later.
    async fn link_put_off(&self, deployment: DeploymentId, due_at: Time) -> Result<()>;

    /// A deployment is due no more.
    async fn link_forget(&self, deployment: DeploymentId) -> Result<()>;

    /// Returns when something may have become due to be linked since this was last asked. For one listener.
    async fn link_told(&self);

    /// The merge requests of a project found by `shipped` that were not shipped to the environment before, the latest
    /// first.
    async fn link_preview(
        &self,
        project: ProjectId,
        environment: EnvironmentId,
        shipped: &Shipped,
    ) -> Result<Vec<MergeRequestIid>>;

    /// The engine's name.
    fn engine(&self) -> &'static str;

    /// The pools of connections as they are now.
    fn pools(&self) -> Vec<PoolState>;

    /// What waits to be done in the background.
    async fn backlog(&self, now: Time) -> Result<Backlog>;

    /// Whether other servers may be at work on the same store.
    fn is_shared(&self) -> bool;

    /// The lease of that name, if anybody ever took it.
    async fn lease_find(&self, name: &str) -> Result<Option<Lease>>;

    /// Takes a lease for `holder`, or lets it beat on, if it is still as it was seen; answers whether it was.
    async fn lease_take(&self, name: &str, holder: &str, seen: Option<Lease>) -> Result<bool>;

    /// Forgets answers to requests from longer ago than a repeat may come, up to `limit` of them; answers how many.
    async fn request_prune(&self, now: Time, limit: i64) -> Result<u64>;

    /// How far the store is, as seen from a project, or from no project in particular. Of a store and a copy of it, the one is as new as the other for that
    /// project if it is as far.
    async fn position(&self, project: Option<ProjectId>) -> Result<Position>;

    /// Lets one wait for events of these projects, and for their end. Made before the logs are read, nothing that is
    /// not read goes unnoticed.
    fn subscribe(&self, projects: &[ProjectId]) -> Subscription;

    /// Whether the store answers and can be served; for health checks.
    async fn ping(&self) -> Result<()>;

    /// Waits for changes under way and lets go of every connection.
    async fn close(&self);
}
