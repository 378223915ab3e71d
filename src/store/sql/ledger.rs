//! Making a project's changes true: one after the other, each with its event, under the project's lock.

use std::collections::BTreeSet;

use super::{
    Db, approval, deployment, environment,
    event::{self, Log, Told},
    failed,
    gate::{self, Touched},
    job, link, merge_request, project, protection,
    row::{LockRow, MARK, millis},
    seam::{Batch, sql},
    token,
};
use crate::{
    domain::{
        Time,
        approval::{ApprovalDraft, ApprovalStatus},
        deployment::{Deployment, DeploymentStatus, EnvironmentSlot, NewDeployment},
        directory::{Container, Project, User, UserSummary},
        environment::{Environment, NewEnvironment},
        event::{EventKind, EventSubject, ProjectChange},
        id::{DeploymentId, EnvironmentKey, Iid, ProjectId, ProjectKey, UserId},
        protection::{ProtectedEnvironment, ProtectionChange},
    },
    store::{ProjectAnswer, ProtectionAnswer, Result, StoreError},
};

/// Takes the project's row, which is the lock, and moves its time on to `now`, never back.
pub async fn lock<DB: Db>(
    connection: &mut DB::Connection,
    key: &ProjectKey,
    now: Time,
) -> Result<Option<LockRow>> {
    let stmt = sql::<DB>(
        "UPDATE projects SET changes = changes + 1, \
             latest_at = CASE WHEN latest_at > $1 THEN latest_at ELSE $1 END",
    )
    .bind(millis(now));
    let stmt = match key {
        ProjectKey::Id(id) => stmt.push_bind(" WHERE id = ", id.0),
        ProjectKey::Path(path) => stmt.push_bind(" WHERE full_path_key = ", path.to_lowercase()),
    };
    stmt.push(" RETURNING id, latest_at, last_iid, last_event")
        .push(MARK)
        .optional::<LockRow>(connection)
        .await
        .map_err(failed::<DB>)
}

impl LockRow {
    /// The time of a change under this lock.
    pub fn now(&self) -> Result<Time> {
        Time::from_timestamp_millis(self.latest_at).ok_or(StoreError::Inconsistent {
            table: "projects",
            column: "latest_at",
            id: self.id,
        })
    }
}

/// A locked project's deployments, environments, approvals and protections, being changed.
pub struct Ledger<'a, DB: Db> {
    connection: &'a mut DB::Connection,
    iid: i64,
    log: Log<'a>,
    /// What is still to be written of the change that is being made: before the next one, or before anything is read.
    batch: Batch<DB>,
    /// The id of the deployment that is created, if it is known already.
    next_id: Option<DeploymentId>,
    touched: Vec<Touched>,
    answer: ProjectAnswer,
    author: Option<UserSummary>,
}

impl<'a, DB: Db> Ledger<'a, DB> {
    /// Opens the ledger of a locked project; `answer` is kept up to date with what changes.
    pub fn open(
        connection: &'a mut DB::Connection,
        locked: &LockRow,
        actor: UserId,
        now: Time,
        answer: ProjectAnswer,
        told: &'a mut Told,
    ) -> Self {
        Self {
            connection,
            iid: locked.last_iid,
            log: Log {
                project: ProjectId(locked.id),
                actor,
                now,
                last: locked.last_event,
                told,
            },
            batch: Batch::default(),
            next_id: None,
            touched: Vec::new(),
            answer,
            author: None,
        }
    }

    /// With an id for the deployment that is created.
    #[must_use]
    pub fn numbering(self, next_id: Option<DeploymentId>) -> Self {
        Self { next_id, ..self }
    }

    /// With who acts, as read under the lock.
    #[must_use]
    pub fn by(self, author: Option<&User>) -> Self {
        let author = author.map(User::summary);
        Self { author, ..self }
    }

    /// Makes a change true.
    pub async fn change(&mut self, change: &ProjectChange) -> Result<()> {
        self.flush().await?;
        match change {
            ProjectChange::DeploymentCreated(new) => self.create_deployment(new).await,
            ProjectChange::DeploymentKept(deployment) => {
                self.answer.deployment = Some(deployment.clone());
                Ok(())
            }
            ProjectChange::DeploymentMoved { before, after } => {
                self.update_deployment(after).await?;
                let subject = event::deployment(after, Some(*before), Some(after.status));
                self.answer.deployment = Some(Deployment::clone(after));
                self.append(EventKind::DeploymentStatusChanged, &subject);
                self.note_success(after).await
            }
            ProjectChange::JobReported(after) => {
                self.update_deployment(after).await?;
                self.answer.deployment = Some(Deployment::clone(after));
                // Not in the log; but a token of the job may have ended, and with it what it waited for.
                self.log.told.note(self.log.project);
                Ok(())
            }
            ProjectChange::JobTokenCreated(new) => {
                token::insert::<DB>(&mut *self.connection, new, self.log.now)
                    .await
                    .map(drop)
            }
            ProjectChange::DeploymentDeleted(deleted) => {
                deployment::delete::<DB>(&mut *self.connection, deleted.id).await?;
                let subject = event::deployment(deleted, Some(deleted.status), None);
                self.append(EventKind::DeploymentDeleted, &subject);
                Ok(())
            }
            ProjectChange::EnvironmentCreated(new) => self.create_environment(new).await.map(drop),
            ProjectChange::EnvironmentUpdated { before, after } => {
                environment::update::<DB>(&mut *self.connection, after).await?;
                let subject = event::environment(after, Some(*before), Some(after.state));
                self.show_environment(after.clone());
                // Another tier, other protections.
                self.touched.push(Touched::Environment(after.id));
                self.append(EventKind::EnvironmentUpdated, &subject);
                Ok(())
            }
            ProjectChange::EnvironmentDeleted(deleted) => {
                environment::delete::<DB>(&mut *self.connection, deleted.id).await?;
                let subject = event::environment(deleted, Some(deleted.state), None);
                self.answer.environments.push(deleted.clone());
                self.append(EventKind::EnvironmentDeleted, &subject);
                Ok(())
            }
            ProjectChange::ApprovalSubmitted {
                before,
                after,
                pending_approval_count,
            } => {
                self.submit(*before, after, *pending_approval_count);
                Ok(())
            }
            ProjectChange::ApprovalsCounted { deployment, rules } => {
                approval::count::<DB>(&mut *self.connection, *deployment, rules).await
            }
            ProjectChange::Protection(change) => self.protect(change).await,
            ProjectChange::MergeRequest(change) => {
                let log = &mut self.log;
                self.answer.merge_request =
                    merge_request::write::<DB>(&mut *self.connection, log.project, change, log.now, log.told)
                        .await?;
                Ok(())
            }
        }
    }

    fn append(&mut self, kind: EventKind, subject: &EventSubject) {
        self.log.append(&mut self.batch, kind, subject);
    }

    /// Writes what is still to be written.
    async fn flush(&mut self) -> Result<()> {
        self.batch.run(&mut *self.connection).await.map_err(failed::<DB>)
    }

    async fn update_deployment(&mut self, after: &Deployment) -> Result<()> {
        self.batch.add(|stmt| deployment::update(stmt, after));
        match &after.job {
            Some(job) => job::update::<DB>(&mut *self.connection, after.id, job).await,
            None => Ok(()),
        }
    }

    /// Puts an environment into the answer, and into the deployment there if it is that one's.
    fn show_environment(&mut self, environment: Environment) {
        if let Some(deployment) = &mut self.answer.deployment
            && deployment.environment.id == environment.id
        {
            deployment.environment = environment.summary();
        }
        self.answer.environments.push(environment.clone());
        self.answer.environment = Some(environment);
    }

    async fn create_environment(&mut self, new: &NewEnvironment) -> Result<Environment> {
        let environment =
            environment::insert::<DB>(&mut *self.connection, self.log.project, new, self.log.now).await?;
        let subject = event::environment(&environment, None, Some(environment.state));
        self.append(EventKind::EnvironmentCreated, &subject);
        self.show_environment(environment.clone());
        Ok(environment)
    }

    async fn create_deployment(&mut self, new: &NewDeployment) -> Result<()> {
        let environment = match &new.environment {
            EnvironmentSlot::Existing(id) => *id,
            EnvironmentSlot::New(environment) => self.create_environment(environment).await?.id,
        };
        self.iid += 1;
        let project = self.log.project;
        let now = millis(self.log.now);
        let id = match self.next_id.take() {
            Some(id) => id,
            None => deployment::next_id::<DB>(&mut *self.connection).await?,
        };
        let number = (project, Iid(self.iid));
        self.batch
            .add(|stmt| deployment::insert(stmt, id, number, environment, new, now));
        if new.commit.is_some() || !new.commits.is_empty() || new.job.is_some() {
            self.flush().await?;
            deployment::insert_parts::<DB>(&mut *self.connection, project, id, new).await?;
        }
        let place = self.answer.environment.as_ref();
        let place = place.filter(|shown| shown.id == environment);
        let author = self.author.clone().filter(|author| author.id == new.user_id);
        let created = if let (Some(place), Some(author), None) = (place, author, &new.job) {
            let number = (project, id, Iid(self.iid));
            new.recorded(number, place.summary(), author, self.log.now)
        } else {
            // With its job and whom that shows.
            self.flush().await?;
            deployment::find_by_id::<DB>(&mut *self.connection, project, id)
                .await?
                .ok_or(StoreError::Inconsistent {
                    table: "deployments",
                    column: "id",
                    id: id.0,
                })?
        };
        let subject = event::deployment(&created, None, Some(created.status));
        self.answer.deployment = Some(created.clone());
        self.append(EventKind::DeploymentCreated, &subject);
        self.note_success(&created).await
    }

    /// Notes that what a successful deployment shipped is to be linked to it.
    async fn note_success(&mut self, deployment: &Deployment) -> Result<()> {
        if deployment.status != DeploymentStatus::Success {
            return Ok(());
        }
        self.flush().await?;
        let (project, now) = (self.log.project, self.log.now);
        if link::note::<DB>(&mut *self.connection, project, deployment.id, now).await? {
            self.log.told.link_work();
        }
        Ok(())
    }

    fn submit(&mut self, before: Option<ApprovalStatus>, draft: &ApprovalDraft, pending_approval_count: i64) {
        let now = self.log.now;
        self.batch.add(|stmt| approval::submit(stmt, draft, now));
        let Some(decided) = &self.answer.deployment else {
            return;
        };
        let subject = EventSubject::Approval {
            deployment_id: decided.id,
            iid: decided.iid,
            environment_id: decided.environment.id,
            environment: decided.environment.name.clone(),
            user_id: draft.user_id,
            before,
            after: draft.status,
            comment: draft.comment.clone(),
            represented_as: draft.represented_as.clone(),
            pending_approval_count,
        };
        self.append(EventKind::ApprovalSubmitted, &subject);
    }

    async fn protect(&mut self, change: &ProtectionChange) -> Result<()> {
        let (kind, protection, kept) =
            write_protection::<DB>(&mut *self.connection, change, self.log.now).await?;
        self.append(kind, &event::protection(&protection));
        let key = EnvironmentKey::Name(protection.name.clone());
        let project = self.log.project;
        let environment = environment::find_by_key::<DB>(&mut *self.connection, project, &key).await?;
        self.touched
            .extend(environment.map(|environment| Touched::Environment(environment.id)));
        self.answer.protection = kept.then(|| ProtectionAnswer::of(protection));
        Ok(())
    }

    /// Lets go whatever the changes so far have freed.
    pub async fn settle_touched(&mut self, project: &Project) -> Result<()> {
        if self.touched.is_empty() {
            return Ok(());
        }
        self.flush().await?;
        for touched in std::mem::take(&mut self.touched) {
            for (_, id) in gate::blocked::<DB>(&mut *self.connection, touched).await? {
                self.settle(project, id).await?;
            }
        }
        Ok(())
    }

    /// Lets a blocked deployment go if nothing holds it any more. The answer stays about what it was about.
    pub async fn settle(&mut self, project: &Project, id: DeploymentId) -> Result<()> {
        self.flush().await?;
        let Some(gate) = gate::find::<DB>(&mut *self.connection, project, id, None).await? else {
            return Ok(());
        };
        let shown = self.answer.deployment.take();
        for change in gate.settle(self.log.now)? {
            // Leaving the gate touches nothing else.
            Box::pin(self.change(&change)).await?;
        }
        self.answer.deployment = shown;
        Ok(())
    }

    /// Writes what is still to be written and, if anything was numbered, the counters.
    pub async fn close(mut self, locked: &LockRow) -> Result<ProjectAnswer> {
        let (last_iid, last_event) = (self.iid, self.log.last);
        if last_event != locked.last_event {
            self.batch.add(|stmt| {
                stmt.push_bind("UPDATE projects SET last_iid = ", last_iid)
                    .push_bind(", last_event = ", last_event)
                    .push_bind(" WHERE id = ", locked.id)
            });
        }
        self.flush().await?;
        Ok(self.answer)
    }
}

/// Writes a change of a protection, a project's or a group's. Answers what to tell of it, the protection after the change
/// or as it was last, and whether it is still there.
pub async fn write_protection<DB: Db>(
    connection: &mut DB::Connection,
    change: &ProtectionChange,
    now: Time,
) -> Result<(EventKind, ProtectedEnvironment, bool)> {
    Ok(match change {
        ProtectionChange::Created(container, draft) => {
            let created = protection::insert::<DB>(connection, *container, draft, now).await?;
            (EventKind::ProtectedEnvironmentCreated, created, true)
        }
        ProtectionChange::Updated(before, draft) => {
            let after = protection::update::<DB>(connection, before.id, draft, now).await?;
            (EventKind::ProtectedEnvironmentUpdated, after, true)
        }
        ProtectionChange::Deleted(deleted) => {
            protection::delete::<DB>(connection, deleted.id).await?;
            (EventKind::ProtectedEnvironmentDeleted, (**deleted).clone(), false)
        }
    })
}

/// Lets go, in whatever projects, what a change outside of them has freed: locks each project in turn, in the order of
/// their ids.
pub async fn settle_all<DB: Db>(
    connection: &mut DB::Connection,
    touched: &[Touched],
    actor: UserId,
    now: Time,
    told: &mut Told,
) -> Result<()> {
    let mut places = BTreeSet::new();
    for &touched in touched {
        places.extend(gate::blocked::<DB>(&mut *connection, touched).await?);
    }
    let projects: BTreeSet<ProjectId> = places.iter().map(|&(project, _)| project).collect();
    for id in projects {
        let key = ProjectKey::Id(id);
        let Some(locked) = lock::<DB>(&mut *connection, &key, now).await? else {
            continue;
        };
        let Some(view) = project::view::<DB>(&mut *connection, &key, actor).await? else {
            continue;
        };
        let answer = ProjectAnswer::of(view.project.clone(), actor);
        let now = locked.now()?;
        let mut ledger = Ledger::<DB>::open(&mut *connection, &locked, actor, now, answer, &mut *told);
        for &(_, deployment) in places.range((id, DeploymentId(0))..=(id, DeploymentId(i64::MAX))) {
            ledger.settle(&view.project, deployment).await?;
        }
        ledger.close(&locked).await?;
    }
    Ok(())
}

/// Tells of a protection in the log of its project, or, for a group's, in the log of every project below.
pub async fn tell_of_protection<DB: Db>(
    connection: &mut DB::Connection,
    kind: EventKind,
    protection: &ProtectedEnvironment,
    actor: UserId,
    now: Time,
    told: &mut Told,
) -> Result<()> {
    let subject = event::protection(protection);
    match protection.container {
        Container::Group(group) => {
            event::append_below::<DB>(connection, group, kind, &subject, actor, now, told).await
        }
        Container::Project(id) => {
            let Some(locked) = lock::<DB>(&mut *connection, &ProjectKey::Id(id), now).await? else {
                return Ok(());
            };
            let Some(view) = project::view::<DB>(&mut *connection, &ProjectKey::Id(id), actor).await? else {
                return Ok(());
            };
            let answer = ProjectAnswer::of(view.project, actor);
            let now = locked.now()?;
            let mut ledger = Ledger::<DB>::open(connection, &locked, actor, now, answer, told);
            ledger.append(kind, &subject);
            ledger.close(&locked).await.map(drop)
        }
    }
}
