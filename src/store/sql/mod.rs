//! The SQL store, written once for every engine: text, rows, transactions. Engines bring DDL, options and a few
//! constants (`seam.rs`).

mod approval;
mod commit;
pub mod connections;
mod db;
mod deployment;
mod directory_change;
mod environment;
mod event;
mod gate;
mod group;
pub mod group_commit;
mod job;
mod lease;
mod ledger;
mod link;
mod membership;
mod merge_request;
mod page;
mod person;
#[cfg(test)]
mod plans;
pub mod project;
mod project_change;
mod protection;
mod request;
mod row;
pub mod schema;
pub mod seam;
mod share;
mod token;
mod user;

use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

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
        event::ProjectChange,
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
        Backlog, Dated, Decide, DirectoryAnswer, DirectorySelect, DirectoryState, Done, Due, Lease, Linked,
        LogPage, Mark, PoolState, Position, ProjectAnswer, ProjectState, Result, Select, Store, StoreError,
        Terms, Wanted,
        wake::{Subscription, Wake},
    },
};
use connections::{Connections, Ended, Keep, Lock, Work, reading};
use gate::Glance;
use seam::{Class, Stmt, sql};

/// A store on one engine.
pub struct SqlStore<DB: Db> {
    connections: Connections<DB>,
    tasks: TaskTracker,
    wake: Wake,
    closing: CancellationToken,
}

impl<DB: Db> SqlStore<DB> {
    /// A store on these connections. `closing` is cancelled when it is closed.
    pub fn new(connections: Connections<DB>, wake: Wake, closing: CancellationToken) -> Self {
        Self {
            connections,
            tasks: TaskTracker::new(),
            wake,
            closing,
        }
    }

    /// Does `work` in a write transaction of its own, on a task of its own: a caller that goes away in the middle can
    /// neither tear a transaction nor leave its outcome open.
    async fn write<W: Work<DB>>(&self, work: W) -> Result<W::Output> {
        let (connections, wake) = (self.connections.clone(), self.wake.clone());
        let written = async move {
            match connections.write(work).await {
                Ended::Without(outcome) => outcome,
                // Also where the outcome is unknown: who is woken looks for themself.
                Ended::Perhaps(outcome, told) => {
                    wake.tell(told.into_news());
                    outcome
                }
            }
        };
        self.tasks
            .spawn(written.in_current_span())
            .await
            .map_err(|error| StoreError::Other(error.into()))?
    }
}

/// What an engine's error means to the caller.
pub fn failed<DB: Db>(error: sqlx::Error) -> StoreError {
    match DB::classify(&error) {
        Class::Busy => StoreError::Unavailable(error),
        Class::Gone => StoreError::Lost(error),
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
    let stmt = counting(sql::<DB>(""), from);
    Ok(stmt.one::<(i64,)>(connection).await.map_err(failed::<DB>)?.0)
}

/// Adds the query of [`count`] to a statement.
fn counting<DB: Db>(stmt: Stmt<DB>, from: impl FnOnce(Stmt<DB>) -> Stmt<DB>) -> Stmt<DB> {
    from(stmt.push("SELECT COUNT(*) FROM (SELECT 1 AS one"))
        .push_bind(" LIMIT ", TOTAL_MAX + 1)
        .push(") AS counted")
}

/// What waits to be done in the background.
async fn backlog<DB: Db>(connection: &mut DB::Connection, now: Time) -> Result<Backlog> {
    let (links_due, links_put_off) = link::waiting::<DB>(&mut *connection, now).await?;
    Ok(Backlog {
        links_due,
        links_put_off,
        oldest_due: link::oldest_due::<DB>(&mut *connection, now).await?,
        answers_expired: request::expired::<DB>(connection, now).await?,
    })
}

#[async_trait]
impl<DB: Db> Store for SqlStore<DB> {
    async fn token_find(&self, hash: &SecretHash) -> Result<Option<Dated<(Token, User)>>> {
        reading!(self.connections, Once, |connection| token::find_by_secret::<DB>(
            connection, hash
        ))
    }

    async fn token_find_by_id(&self, id: TokenId) -> Result<Option<(Token, User)>> {
        reading!(self.connections, Once, |connection| token::find_with_user::<DB>(
            connection, id
        ))
    }

    async fn token_touch(&self, id: TokenId, at: Time) -> Result<()> {
        self.write(token::Touch { id, at }).await
    }

    async fn token_list(&self, user: UserId, page: &PageRequest<TokenId>) -> Result<Page<Token, TokenId>> {
        reading!(self.connections, Once, |connection| token::page::<DB>(
            connection, user, page
        ))
    }

    async fn user_find(&self, key: &UserKey) -> Result<Option<User>> {
        reading!(self.connections, Once, |connection| user::find_by_key::<DB>(
            connection, key
        ))
    }

    async fn user_list(
        &self,
        search: Option<&str>,
        page: &PageRequest<UserId>,
    ) -> Result<Page<User, UserId>> {
        reading!(self.connections, Once, |connection| user::page::<DB>(
            connection, search, page
        ))
    }

    async fn group_find(&self, key: &GroupKey, viewer: UserId) -> Result<Option<GroupView>> {
        reading!(self.connections, Once, |connection| group::view::<DB>(
            connection, key, viewer
        ))
    }

    async fn group_list(
        &self,
        viewer: &User,
        parent: Option<GroupId>,
        page: &PageRequest<GroupId>,
    ) -> Result<Page<Group, GroupId>> {
        reading!(self.connections, Once, |connection| group::page::<DB>(
            connection, viewer, parent, page
        ))
    }

    async fn project_list(
        &self,
        viewer: &User,
        group: Option<GroupId>,
        page: &PageRequest<ProjectId>,
    ) -> Result<Page<Project, ProjectId>> {
        reading!(self.connections, Once, |connection| project::page::<DB>(
            connection, viewer, group, page
        ))
    }

    async fn membership_find(&self, container: Container, user: UserId) -> Result<Option<Membership>> {
        reading!(
            self.connections,
            Once,
            |connection| membership::find_by_user::<DB>(connection, container, user)
        )
    }

    async fn membership_list(
        &self,
        container: Container,
        page: &PageRequest<UserId>,
    ) -> Result<Page<Membership, UserId>> {
        reading!(self.connections, Once, |connection| membership::page::<DB>(
            connection, container, page
        ))
    }

    async fn share_find(&self, container: Container, group: GroupId) -> Result<Option<GroupShare>> {
        reading!(self.connections, Once, |connection| share::find_by_group::<DB>(
            connection, container, group
        ))
    }

    async fn share_list(
        &self,
        container: Container,
        page: &PageRequest<GroupId>,
    ) -> Result<Page<GroupShare, GroupId>> {
        reading!(self.connections, Once, |connection| share::page::<DB>(
            connection, container, page
        ))
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

    async fn project_find(&self, key: &ProjectKey, viewer: UserId) -> Result<Option<Dated<ProjectView>>> {
        reading!(self.connections, Once, |connection| project::dated_view::<DB>(
            connection, key, viewer
        ))
    }

    async fn environment_find(
        &self,
        project: ProjectId,
        key: &EnvironmentKey,
    ) -> Result<Option<Environment>> {
        reading!(
            self.connections,
            Once,
            |connection| environment::find_by_key::<DB>(connection, project, key)
        )
    }

    async fn environment_list(
        &self,
        project: ProjectId,
        filter: &EnvironmentFilter,
        page: &PageRequest<EnvironmentId>,
    ) -> Result<Page<Environment, EnvironmentId>> {
        reading!(self.connections, Once, |connection| environment::page::<DB>(
            connection, project, filter, page
        ))
    }

    async fn deployment_find(&self, project: ProjectId, id: DeploymentId) -> Result<Option<Deployment>> {
        reading!(
            self.connections,
            AtOneMoment,
            |connection| deployment::find_by_id::<DB>(connection, project, id)
        )
    }

    async fn deployment_find_by_job(&self, project: ProjectId, id: JobId) -> Result<Option<Deployment>> {
        reading!(self.connections, AtOneMoment, |connection| {
            deployment::find_by_job::<DB>(connection, project, id)
        })
    }

    async fn deployment_last_success(&self, environment: EnvironmentId) -> Result<Option<Deployment>> {
        reading!(self.connections, AtOneMoment, |connection| {
            deployment::last_success::<DB>(connection, environment)
        })
    }

    async fn gate_find(
        &self,
        view: &ProjectView,
        id: DeploymentId,
        viewer: &User,
        by: Option<Mark>,
    ) -> Result<Option<Gate>> {
        let person = Person::of(viewer.clone(), view.standing);
        if let Some(by) = by {
            let glance = reading!(self.connections, Once, |connection| gate::glance::<DB>(
                connection,
                &view.project,
                id,
                person.clone(),
                by
            ));
            if let Glance::Whole(gate) = glance? {
                return Ok(Some(*gate));
            }
        }
        reading!(self.connections, AtOneMoment, |connection| gate::find::<DB>(
            connection,
            &view.project,
            id,
            Some(person.clone())
        ))
    }

    async fn gate_list_blocked(
        &self,
        viewer: &User,
        after: DeploymentId,
        size: i64,
        wanted: &Wanted,
    ) -> Result<Page<Gate, DeploymentId>> {
        reading!(
            self.connections,
            AtOneMoment,
            |connection| gate::blocked_page::<DB>(connection, viewer, after, size, wanted)
        )
    }

    async fn person_list(
        &self,
        project: Option<&Project>,
        protections: &[ProtectedEnvironment],
        after: UserId,
        size: i64,
    ) -> Result<Vec<Person>> {
        reading!(self.connections, AtOneMoment, |connection| person::page::<DB>(
            connection,
            project,
            protections,
            after,
            size
        ))
    }

    async fn protection_find(
        &self,
        container: Container,
        name: &str,
    ) -> Result<Option<ProtectedEnvironment>> {
        reading!(self.connections, AtOneMoment, |connection| {
            protection::find_by_name::<DB>(connection, container, name)
        })
    }

    async fn protection_list(
        &self,
        container: Container,
        page: &PageRequest<String>,
    ) -> Result<Page<ProtectedEnvironment, String>> {
        reading!(
            self.connections,
            AtOneMoment,
            |connection| protection::page::<DB>(connection, container, page)
        )
    }

    async fn deployment_list(
        &self,
        project: ProjectId,
        query: &DeploymentQuery,
        page: &PageRequest<DeploymentPosition>,
        by: Option<Mark>,
    ) -> Result<Page<Deployment, DeploymentPosition>> {
        if let Some(by) = by {
            let glance = reading!(self.connections, Once, |connection| {
                deployment::glance_page::<DB>(connection, project, query, page, by)
            });
            if let Some(page) = glance? {
                return Ok(page);
            }
        }
        reading!(
            self.connections,
            AtOneMoment,
            |connection| deployment::page::<DB>(connection, project, query, page)
        )
    }

    async fn merge_request_find(
        &self,
        project: ProjectId,
        iid: MergeRequestIid,
    ) -> Result<Option<MergeRequest>> {
        reading!(self.connections, AtOneMoment, |connection| {
            merge_request::find_by_iid::<DB>(connection, project, iid)
        })
    }

    async fn merge_request_list(
        &self,
        project: ProjectId,
        shipped_by: Option<DeploymentId>,
        query: &MergeRequestQuery,
        page: &PageRequest<MergeRequestPosition>,
    ) -> Result<Page<MergeRequest, MergeRequestPosition>> {
        reading!(self.connections, AtOneMoment, |connection| merge_request::page::<
            DB,
        >(
            connection, project, shipped_by, query, page
        ))
    }

    async fn merge_request_deployments(
        &self,
        id: MergeRequestId,
        page: &PageRequest<DeploymentId>,
    ) -> Result<Page<Deployment, DeploymentId>> {
        reading!(self.connections, AtOneMoment, |connection| {
            deployment::page_that_shipped::<DB>(connection, id, page)
        })
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
            written: AtomicBool::new(false),
        })
        .await
    }

    async fn event_list(&self, project: ProjectId, after: i64, size: i64) -> Result<LogPage> {
        reading!(self.connections, Once, |connection| event::read::<DB>(
            connection, project, after, size
        ))
    }

    async fn event_last(&self, project: ProjectId) -> Result<Option<i64>> {
        reading!(self.connections, Once, |connection| event::last::<DB>(
            connection, project
        ))
    }

    async fn deployment_before(&self, deployment: &Deployment) -> Result<Option<Deployment>> {
        let (environment, iid) = (deployment.environment.id, deployment.iid);
        reading!(self.connections, AtOneMoment, |connection| {
            deployment::success_before::<DB>(connection, environment, iid)
        })
    }

    async fn deployment_commits(&self, id: DeploymentId) -> Result<Vec<Commit>> {
        reading!(self.connections, Once, |connection| commit::sent_with::<DB>(
            connection, id
        ))
    }

    async fn link_due(&self, now: Time) -> Result<Option<Due>> {
        reading!(self.connections, AtOneMoment, |connection| link::due::<DB>(
            connection, now
        ))
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
        self.wake.linker_told().await;
    }

    async fn link_preview(
        &self,
        project: ProjectId,
        environment: EnvironmentId,
        shipped: &Shipped,
    ) -> Result<Vec<MergeRequestIid>> {
        reading!(
            self.connections,
            AtOneMoment,
            |connection| link::would_link::<DB>(connection, project, environment, shipped)
        )
    }

    fn is_shared(&self) -> bool {
        DB::SHARED
    }

    async fn lease_find(&self, name: &str) -> Result<Option<Lease>> {
        reading!(self.connections, Once, |connection| lease::find::<DB>(
            connection, name
        ))
    }

    async fn lease_take(&self, name: &str, holder: &str, seen: Option<Lease>) -> Result<bool> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.write(lease::Take { name, holder, seen }).await
    }

    async fn request_prune(&self, now: Time, limit: i64) -> Result<u64> {
        self.write(request::Prune { now, limit }).await
    }

    async fn position(&self, project: Option<ProjectId>) -> Result<Position> {
        reading!(self.connections, Once, |connection| project::position::<DB>(
            connection, project
        ))
    }

    fn subscribe(&self, projects: &[ProjectId]) -> Subscription {
        self.wake.subscribe(projects.iter().copied())
    }

    fn engine(&self) -> &'static str {
        <DB as seam::Driver>::NAME
    }

    fn pools(&self) -> Vec<PoolState> {
        self.connections.pools()
    }

    async fn backlog(&self, now: Time) -> Result<Backlog> {
        reading!(self.connections, AtOneMoment, |connection| backlog::<DB>(
            connection, now
        ))
    }

    async fn ping(&self) -> Result<()> {
        reading!(self.connections, Once, |connection| schema::check::<DB>(
            connection
        ))
    }

    async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.closing.cancel();
        self.connections.writer.close().await;
        self.connections.reader.close().await;
    }
}
