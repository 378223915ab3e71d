//! The SQL store, written once for every engine: text, rows, transactions. Engines bring DDL, options and a few
//! constants (`seam.rs`).

mod approval;
mod commit;
mod db;
mod deployment;
mod directory_change;
mod environment;
mod event;
mod gate;
mod group;
mod job;
mod ledger;
mod link;
mod membership;
mod merge_request;
mod page;
mod person;
#[cfg(test)]
mod plans;
mod project;
mod project_change;
mod protection;
mod request;
mod row;
pub mod seam;
mod share;
mod token;
mod user;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{Pool, Transaction, pool::PoolConnection};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

pub use db::Db;

use crate::{
    domain::{
        Time,
        commit::Commit,
        deployment::{Deployment, DeploymentPosition, DeploymentQuery},
        directory::{
            Container, DirectoryChange, Group, GroupShare, GroupView, Membership, Project, ProjectView, User,
        },
        environment::{Environment, EnvironmentFilter},
        event::{Event, ProjectChange},
        gate::Gate,
        id::{
            DeploymentId, EnvironmentId, EnvironmentKey, GroupId, GroupKey, JobId, MergeRequestId,
            MergeRequestIid, ProjectId, ProjectKey, TokenId, UserId, UserKey,
        },
        link::{LinkTask, Shipped},
        merge_request::{
            MergeRequest,
            query::{MergeRequestPosition, MergeRequestQuery},
        },
        page::{Page, PageRequest, TOTAL_MAX},
        person::Person,
        protection::ProtectedEnvironment,
        token::{SecretHash, Token},
    },
    store::{
        Decide, DirectoryAnswer, DirectorySelect, DirectoryState, Done, Due, Linked, ProjectAnswer,
        ProjectState, Result, Select, Store, StoreError, Terms, Wanted,
        wake::{Subscription, WakeUps},
    },
};
use event::Told;
use seam::{Class, Stmt, sql};

/// How often a change is tried when other transactions are in the way.
const ATTEMPTS: usize = 4;

/// A store on one engine. Writes go through `writer`; SQLite gives it a single connection.
pub struct SqlStore<DB: Db> {
    writer: Pool<DB>,
    reader: Pool<DB>,
    tasks: TaskTracker,
    wake: Wake,
}

/// Who is to be woken by what was committed.
#[derive(Clone, Default)]
struct Wake {
    events: WakeUps,
    linker: Arc<Notify>,
}

impl Wake {
    fn up(&self, told: Told) {
        if told.has_link_work() {
            self.linker.notify_one();
        }
        self.events.wake(told.into_projects());
    }
}

/// Work inside a write transaction; may be done again on another one.
#[async_trait]
trait Work<DB: Db>: Send + Sync + 'static {
    /// What comes of it, and whether to keep it.
    type Output: Send + 'static;

    async fn run(&self, connection: &mut DB::Connection, told: &mut Told) -> Result<(Self::Output, Keep)>;
}

/// Whether a transaction's changes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

impl<DB: Db> SqlStore<DB> {
    /// A store on these pools; they may be the same.
    pub fn new(writer: Pool<DB>, reader: Pool<DB>) -> Self {
        Self {
            writer,
            reader,
            tasks: TaskTracker::new(),
            wake: Wake::default(),
        }
    }

    /// The pool that reads.
    pub fn reader(&self) -> &Pool<DB> {
        &self.reader
    }

    async fn read(&self) -> Result<PoolConnection<DB>> {
        self.reader.acquire().await.map_err(failed::<DB>)
    }

    /// A transaction whose reads all see the same moment. It ends with what is returned.
    async fn moment(&self) -> Result<Transaction<'static, DB>> {
        self.reader.begin_with(DB::BEGIN_READ).await.map_err(failed::<DB>)
    }

    /// Does `work` in a write transaction of its own, on a task of its own: a caller that goes away in the middle can
    /// neither tear a transaction nor leave its outcome open.
    async fn write<W: Work<DB>>(&self, work: W) -> Result<W::Output> {
        let (writer, wake) = (self.writer.clone(), self.wake.clone());
        self.tasks
            .spawn(async move { write_retrying(&writer, &work, &wake).await })
            .await
            .map_err(|error| StoreError::Other(error.into()))?
    }
}

async fn write_retrying<DB: Db, W: Work<DB>>(writer: &Pool<DB>, work: &W, wake: &Wake) -> Result<W::Output> {
    let mut attempt = 1;
    loop {
        match write_once(writer, work, wake).await {
            Err(StoreError::Conflict(_)) if attempt < ATTEMPTS => attempt += 1,
            outcome => return outcome,
        }
    }
}

async fn write_once<DB: Db, W: Work<DB>>(writer: &Pool<DB>, work: &W, wake: &Wake) -> Result<W::Output> {
    let mut told = Told::default();
    let mut transaction: Transaction<'static, DB> =
        writer.begin_with(DB::BEGIN_WRITE).await.map_err(failed::<DB>)?;
    let (output, keep) = match work.run(&mut transaction, &mut told).await {
        Ok(done) => done,
        Err(error) => {
            transaction.rollback().await.map_err(failed::<DB>)?;
            return Err(error);
        }
    };
    match keep {
        Keep::No => transaction.rollback().await.map_err(failed::<DB>)?,
        Keep::Yes => {
            let committed = transaction.commit().await;
            // Also where the outcome is unknown: who is woken looks for themself.
            wake.up(told);
            committed.map_err(|error| match DB::classify(&error) {
                Class::Gone => StoreError::OutcomeUnknown(error),
                _ => failed::<DB>(error),
            })?;
        }
    }
    Ok(output)
}

/// What an engine's error means to the caller.
fn failed<DB: Db>(error: sqlx::Error) -> StoreError {
    match DB::classify(&error) {
        Class::Busy | Class::Gone => StoreError::Unavailable(error),
        Class::Conflict => StoreError::Conflict(error),
        Class::Other => StoreError::Other(Box::new(error)),
    }
}

/// Reads at most one row of a table into the domain.
async fn find<DB, R, T>(connection: &mut DB::Connection, stmt: Stmt<DB>) -> Result<Option<T>>
where
    DB: Db + seam::Reads<R>,
    T: TryFrom<R, Error = StoreError>,
{
    stmt.optional::<R>(connection)
        .await
        .map_err(failed::<DB>)?
        .map(T::try_from)
        .transpose()
}

/// Reads rows of a table into the domain.
async fn list<DB, R, T>(connection: &mut DB::Connection, stmt: Stmt<DB>) -> Result<Vec<T>>
where
    DB: Db + seam::Reads<R>,
    T: TryFrom<R, Error = StoreError>,
{
    stmt.all::<R>(connection)
        .await
        .map_err(failed::<DB>)?
        .into_iter()
        .map(T::try_from)
        .collect()
}

/// Counts the rows that follow `FROM` in `from`, but no further than one past [`TOTAL_MAX`].
async fn count<DB: Db>(
    connection: &mut DB::Connection,
    from: impl FnOnce(Stmt<DB>) -> Stmt<DB>,
) -> Result<i64> {
    let stmt = from(sql::<DB>("SELECT COUNT(*) FROM (SELECT 1 AS one"))
        .push_bind(" LIMIT ", TOTAL_MAX + 1)
        .push(") AS counted");
    Ok(stmt.one::<(i64,)>(connection).await.map_err(failed::<DB>)?.0)
}

#[async_trait]
impl<DB: Db> Store for SqlStore<DB> {
    async fn token_find(&self, hash: &SecretHash) -> Result<Option<(Token, User)>> {
        token::find_by_secret::<DB>(&mut *self.read().await?, hash).await
    }

    async fn token_find_by_id(&self, id: TokenId) -> Result<Option<(Token, User)>> {
        token::find_with_user::<DB>(&mut *self.read().await?, id).await
    }

    async fn token_touch(&self, id: TokenId, at: Time) -> Result<()> {
        self.write(token::Touch { id, at }).await
    }

    async fn token_list(&self, user: UserId, page: &PageRequest<TokenId>) -> Result<Page<Token, TokenId>> {
        token::page::<DB>(&mut *self.read().await?, user, page).await
    }

    async fn user_find(&self, key: &UserKey) -> Result<Option<User>> {
        user::find_by_key::<DB>(&mut *self.read().await?, key).await
    }

    async fn user_list(
        &self,
        search: Option<&str>,
        page: &PageRequest<UserId>,
    ) -> Result<Page<User, UserId>> {
        user::page::<DB>(&mut *self.read().await?, search, page).await
    }

    async fn group_find(&self, key: &GroupKey, viewer: UserId) -> Result<Option<GroupView>> {
        group::view::<DB>(&mut *self.read().await?, key, viewer).await
    }

    async fn group_list(
        &self,
        viewer: &User,
        parent: Option<GroupId>,
        page: &PageRequest<GroupId>,
    ) -> Result<Page<Group, GroupId>> {
        group::page::<DB>(&mut *self.read().await?, viewer, parent, page).await
    }

    async fn project_list(
        &self,
        viewer: &User,
        group: Option<GroupId>,
        page: &PageRequest<ProjectId>,
    ) -> Result<Page<Project, ProjectId>> {
        project::page::<DB>(&mut *self.read().await?, viewer, group, page).await
    }

    async fn membership_find(&self, container: Container, user: UserId) -> Result<Option<Membership>> {
        membership::find_by_user::<DB>(&mut *self.read().await?, container, user).await
    }

    async fn membership_list(
        &self,
        container: Container,
        page: &PageRequest<UserId>,
    ) -> Result<Page<Membership, UserId>> {
        membership::page::<DB>(&mut *self.read().await?, container, page).await
    }

    async fn share_find(&self, container: Container, group: GroupId) -> Result<Option<GroupShare>> {
        share::find_by_group::<DB>(&mut *self.read().await?, container, group).await
    }

    async fn share_list(
        &self,
        container: Container,
        page: &PageRequest<GroupId>,
    ) -> Result<Page<GroupShare, GroupId>> {
        share::page::<DB>(&mut *self.read().await?, container, page).await
    }

    async fn directory_change(
        &self,
        select: DirectorySelect,
        terms: Terms<DirectoryAnswer>,
        decide: Decide<DirectoryState, DirectoryChange>,
    ) -> Result<Done<DirectoryAnswer>> {
        self.write(directory_change::Change {
            select,
            terms,
            decide,
        })
        .await
    }

    async fn bootstrap(&self, hash: &SecretHash, now: Time) -> Result<Option<User>> {
        let hash = hash.clone();
        self.write(directory_change::Bootstrap { hash, now }).await
    }

    async fn project_find(&self, key: &ProjectKey, viewer: UserId) -> Result<Option<ProjectView>> {
        project::view::<DB>(&mut *self.read().await?, key, viewer).await
    }

    async fn environment_find(
        &self,
        project: ProjectId,
        key: &EnvironmentKey,
    ) -> Result<Option<Environment>> {
        environment::find_by_key::<DB>(&mut *self.read().await?, project, key).await
    }

    async fn environment_list(
        &self,
        project: ProjectId,
        filter: &EnvironmentFilter,
        page: &PageRequest<EnvironmentId>,
    ) -> Result<Page<Environment, EnvironmentId>> {
        environment::page::<DB>(&mut *self.read().await?, project, filter, page).await
    }

    async fn deployment_find(&self, project: ProjectId, id: DeploymentId) -> Result<Option<Deployment>> {
        deployment::find_by_id::<DB>(&mut *self.moment().await?, project, id).await
    }

    async fn deployment_find_by_job(&self, project: ProjectId, id: JobId) -> Result<Option<Deployment>> {
        deployment::find_by_job::<DB>(&mut *self.moment().await?, project, id).await
    }

    async fn deployment_last_success(&self, environment: EnvironmentId) -> Result<Option<Deployment>> {
        deployment::last_success::<DB>(&mut *self.moment().await?, environment).await
    }

    async fn gate_find(&self, view: &ProjectView, id: DeploymentId, viewer: &User) -> Result<Option<Gate>> {
        let mut moment = self.moment().await?;
        let person = Person::of(viewer.clone(), view.standing);
        gate::find::<DB>(&mut moment, &view.project, id, Some(person)).await
    }

    async fn gate_list_blocked(
        &self,
        viewer: &User,
        after: DeploymentId,
        size: i64,
        wanted: &Wanted,
    ) -> Result<Page<Gate, DeploymentId>> {
        gate::blocked_page::<DB>(&mut *self.moment().await?, viewer, after, size, wanted).await
    }

    async fn person_list(
        &self,
        project: Option<&Project>,
        protections: &[ProtectedEnvironment],
        after: UserId,
        size: i64,
    ) -> Result<Vec<Person>> {
        person::page::<DB>(&mut *self.moment().await?, project, protections, after, size).await
    }

    async fn protection_find(
        &self,
        container: Container,
        name: &str,
    ) -> Result<Option<ProtectedEnvironment>> {
        protection::find_by_name::<DB>(&mut *self.moment().await?, container, name).await
    }

    async fn protection_list(
        &self,
        container: Container,
        page: &PageRequest<String>,
    ) -> Result<Page<ProtectedEnvironment, String>> {
        protection::page::<DB>(&mut *self.moment().await?, container, page).await
    }

    async fn deployment_list(
        &self,
        project: ProjectId,
        query: &DeploymentQuery,
        page: &PageRequest<DeploymentPosition>,
    ) -> Result<Page<Deployment, DeploymentPosition>> {
        deployment::page::<DB>(&mut *self.moment().await?, project, query, page).await
    }

    async fn merge_request_find(
        &self,
        project: ProjectId,
        iid: MergeRequestIid,
    ) -> Result<Option<MergeRequest>> {
        merge_request::find_by_iid::<DB>(&mut *self.moment().await?, project, iid).await
    }

    async fn merge_request_list(
        &self,
        project: ProjectId,
        shipped_by: Option<DeploymentId>,
        query: &MergeRequestQuery,
        page: &PageRequest<MergeRequestPosition>,
    ) -> Result<Page<MergeRequest, MergeRequestPosition>> {
        merge_request::page::<DB>(&mut *self.moment().await?, project, shipped_by, query, page).await
    }

    async fn merge_request_deployments(
        &self,
        id: MergeRequestId,
        page: &PageRequest<DeploymentId>,
    ) -> Result<Page<Deployment, DeploymentId>> {
        deployment::page_that_shipped::<DB>(&mut *self.moment().await?, id, page).await
    }

    async fn project_change(
        &self,
        project: ProjectKey,
        select: Select,
        terms: Terms<ProjectAnswer>,
        decide: Decide<ProjectState, ProjectChange>,
    ) -> Result<Done<ProjectAnswer>> {
        self.write(project_change::Change {
            project,
            select,
            terms,
            decide,
        })
        .await
    }

    async fn event_list(&self, project: ProjectId, after: i64, size: i64) -> Result<Vec<Event>> {
        event::read::<DB>(&mut *self.read().await?, project, after, size).await
    }

    async fn event_last(&self, project: ProjectId) -> Result<Option<i64>> {
        event::last::<DB>(&mut *self.read().await?, project).await
    }

    async fn deployment_before(&self, deployment: &Deployment) -> Result<Option<Deployment>> {
        let (environment, iid) = (deployment.environment.id, deployment.iid);
        deployment::success_before::<DB>(&mut *self.moment().await?, environment, iid).await
    }

    async fn deployment_commits(&self, id: DeploymentId) -> Result<Vec<Commit>> {
        commit::sent_with::<DB>(&mut *self.read().await?, id).await
    }

    async fn link_due(&self, now: Time) -> Result<Option<Due>> {
        link::due::<DB>(&mut *self.moment().await?, now).await
    }

    async fn link(&self, task: &LinkTask, shipped: Shipped, now: Time) -> Result<Linked> {
        let task = task.clone();
        self.write(link::Link { task, shipped, now }).await
    }

    async fn link_put_off(&self, deployment: DeploymentId, due_at: Time) -> Result<()> {
        self.write(link::PutOff { deployment, due_at }).await
    }

    async fn link_forget(&self, deployment: DeploymentId) -> Result<()> {
        self.write(link::Forget(deployment)).await
    }

    async fn link_told(&self) {
        self.wake.linker.notified().await;
    }

    async fn link_preview(
        &self,
        project: ProjectId,
        environment: EnvironmentId,
        shipped: &Shipped,
    ) -> Result<Vec<MergeRequestIid>> {
        link::would_link::<DB>(&mut *self.moment().await?, project, environment, shipped).await
    }

    fn subscribe(&self, projects: &[ProjectId]) -> Subscription {
        self.wake.events.subscribe(projects.iter().copied())
    }

    async fn ping(&self) -> Result<()> {
        sql::<DB>("SELECT CAST(1 AS BIGINT)")
            .one::<(i64,)>(&mut *self.read().await?)
            .await
            .map(drop)
            .map_err(failed::<DB>)
    }

    async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.writer.close().await;
        self.reader.close().await;
    }
}
