//! What is remembered: the [`Store`] trait, which the use cases know, and its SQL implementation, which they do not.
//!
//! Rules for whoever implements or calls it:
//!
//! 1. A write loads its view, decides by a pure closure, applies and commits in one transaction, after taking the lock
//!    that everything it decides about is under (a project's row). The closure may run more than once.
//! 2. Reads see what was committed when they began; they take no lock. Two reads may see different moments.
//! 3. Nothing is acknowledged before it is durable. Where that cannot be known, [`StoreError::OutcomeUnknown`] says so.
//! 4. The store makes no time and knows no rule: times come with the call, rules with the closure.
//!
//! Names: `_find` answers `None` for what is not there, `_list` a page, `_change` takes a closure.

pub mod sql;
pub mod sqlite;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;

use crate::domain::{
    Time,
    deployment::{Deployment, DeploymentPosition, DeploymentQuery},
    directory::{Project, ProjectView, User},
    environment::{Environment, EnvironmentFilter},
    error::{Error, Reason},
    event::ProjectChange,
    id::{DeploymentId, EnvironmentId, EnvironmentKey, ProjectId, ProjectKey, TokenId, UserId, UserKey},
    page::{Page, PageRequest},
    token::{SecretHash, Token},
};

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The closure refused.
    #[error("refused")]
    Refused(#[from] Error),
    /// The store is occupied or cannot be reached; nothing was changed.
    #[error("the store is busy or away")]
    Unavailable(#[source] sqlx::Error),
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
    /// A schema that this version does not know.
    #[error("the schema does not fit this version")]
    Schema(#[from] sqlx::migrate::MigrateError),
    /// A URL that names no store.
    #[error("the database URL must be of the form sqlite:PATH")]
    Url,
    /// A defect.
    #[error("the store failed")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(error) => error,
            StoreError::Unavailable(_) => {
                Error::caused(Reason::StoreUnavailable, "the store is busy or away", error)
            }
            StoreError::Conflict(_) => {
                Error::caused(Reason::Conflict, "other changes were in the way", error)
            }
            StoreError::OutcomeUnknown(_) => Error::caused(
                Reason::OutcomeUnknown,
                "the change may or may not have happened",
                error,
            ),
            StoreError::Inconsistent { .. }
            | StoreError::Schema(_)
            | StoreError::Url
            | StoreError::Other(_) => Error::caused(Reason::Internal, "internal error", error),
        }
    }
}

/// Opens the store that `url` names: `sqlite:PATH`, with or without `//`. It is made if it is not there, and its schema
/// brought up to date.
pub async fn open(url: &str) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(sqlite::open(file_of(url)?).await?))
}

/// Brings the schema of the store that `url` names up to date.
pub async fn migrate(url: &str) -> Result<()> {
    sqlite::migrate(file_of(url)?).await
}

fn file_of(url: &str) -> Result<&Path> {
    let path = url.strip_prefix("sqlite:").ok_or(StoreError::Url)?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        Err(StoreError::Url)
    } else {
        Ok(Path::new(path))
    }
}

/// What the store answers.
pub type Result<T> = std::result::Result<T, StoreError>;

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

/// What of a project a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Select {
    /// The environment of this name, whether or not there is one.
    EnvironmentNamed(String),
    /// An environment.
    Environment(EnvironmentKey),
    /// A deployment, and its environment.
    Deployment(DeploymentId),
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
    /// The selected deployment.
    pub deployment: Option<Deployment>,
    /// The successful deployment of `environment` that finished last.
    pub last_success: Option<Deployment>,
    /// The selected environments, where several were selected.
    pub environments: Vec<Environment>,
}

/// What a change of a project leaves behind.
#[derive(Debug, Clone)]
pub struct ProjectAnswer {
    /// The project.
    pub project: Project,
    /// The deployment in question, after the change.
    pub deployment: Option<Deployment>,
    /// The environment in question, after the change.
    pub environment: Option<Environment>,
    /// The environments that changed, after the change.
    pub environments: Vec<Environment>,
}

/// The store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The token with this secret and its user.
    async fn token_find(&self, hash: &SecretHash) -> Result<Option<(Token, User)>>;

    /// Notes that a token was used. Losing such a note in a crash does no harm.
    async fn token_touch(&self, id: TokenId, at: Time) -> Result<()>;

    /// A user.
    async fn user_find(&self, key: &UserKey) -> Result<Option<User>>;

    /// A project as `viewer` meets it.
    async fn project_find(&self, key: &ProjectKey, viewer: UserId) -> Result<Option<ProjectView>>;

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

    /// The successful deployment of an environment that finished last.
    async fn deployment_last_success(&self, environment: EnvironmentId) -> Result<Option<Deployment>>;

    /// A project's deployments. Rows that exist throughout a walk by positions are seen exactly once, unless a change
    /// moves them in the order that is walked.
    async fn deployment_list(
        &self,
        project: ProjectId,
        query: &DeploymentQuery,
        page: &PageRequest<DeploymentPosition>,
    ) -> Result<Page<Deployment, DeploymentPosition>>;

    /// Changes deployments and environments of one project, and writes the events that tell of it.
    async fn project_change(
        &self,
        project: ProjectKey,
        select: Select,
        terms: Terms<ProjectAnswer>,
        decide: Decide<ProjectState, ProjectChange>,
    ) -> Result<Done<ProjectAnswer>>;

    /// Whether the store answers; for health checks.
    async fn ping(&self) -> Result<()>;

    /// Waits for changes under way and lets go of every connection.
    async fn close(&self);
}
