//! Changing what is recorded for a project: its deployments and environments.

use async_trait::async_trait;

use super::{
    Db, Keep, Work, deployment, environment,
    event::{self, Log},
    failed, project, request,
    row::{LockRow, millis},
    seam::sql,
};
use crate::{
    domain::{
        Time, access,
        deployment::{Deployment, EnvironmentSlot, NewDeployment},
        environment::{self as environments, Environment, NewEnvironment},
        event::{EventKind, EventSubject, ProjectChange},
        id::{EnvironmentKey, Iid, ProjectId, ProjectKey},
    },
    store::{Decide, Done, ProjectAnswer, ProjectState, Result, Select, StoreError, Terms},
};

/// Takes the project's row, which is the lock, and moves its time on to `now`, never back.
async fn lock<DB: Db>(
    connection: &mut DB::Connection,
    key: &ProjectKey,
    now: Time,
) -> Result<Option<LockRow>> {
    let stmt =
        sql::<DB>("UPDATE projects SET latest_at = CASE WHEN latest_at > $1 THEN latest_at ELSE $1 END")
            .bind(millis(now));
    let stmt = match key {
        ProjectKey::Id(id) => stmt.push_bind(" WHERE id = ", id.0),
        ProjectKey::Path(path) => stmt.push_bind(" WHERE full_path_key = ", path.to_lowercase()),
    };
    stmt.push(" RETURNING id, latest_at, last_iid, last_event")
        .optional::<LockRow>(connection)
        .await
        .map_err(failed::<DB>)
}

/// A change of what is recorded for a project.
pub struct Change {
    /// Which project.
    pub project: ProjectKey,
    /// What of it.
    pub select: Select,
    /// On what terms.
    pub terms: Terms<ProjectAnswer>,
    /// What to change.
    pub decide: Decide<ProjectState, ProjectChange>,
}

#[async_trait]
impl<DB: Db> Work<DB> for Change {
    type Output = Done<ProjectAnswer>;

    async fn run(&self, connection: &mut DB::Connection) -> Result<(Self::Output, Keep)> {
        let locked = lock::<DB>(&mut *connection, &self.project, self.terms.now).await?;
        // Behind the lock: of two that come at once the second sees what the first answered.
        if let Some(answer) = request::replay::<DB, _>(&mut *connection, &self.terms).await? {
            return Ok((Done::Replayed(answer), Keep::No));
        }
        let state = self.state::<DB>(&mut *connection, locked.as_ref()).await?;
        let changes = (self.decide)(&state)?;
        let (Some(locked), Some(view)) = (locked, &state.view) else {
            // A decision about nothing: the rules never accept one, and if they did there is nothing to change.
            return Err(access::project_not_found().into());
        };
        let answer = ProjectAnswer {
            project: view.project.clone(),
            deployment: state.deployment,
            environment: state.environment,
            environments: Vec::new(),
        };
        let mut apply = Apply::<DB> {
            connection,
            iid: locked.last_iid,
            log: Log {
                project: ProjectId(locked.id),
                actor: self.terms.actor,
                now: state.now,
                last: locked.last_event,
            },
            answer,
        };
        for change in &changes {
            apply.change(change).await?;
        }
        let answer = apply.finish(&locked).await?;
        request::remember::<DB, _>(connection, &self.terms, &answer).await?;
        let keep = if self.terms.validate_only {
            Keep::No
        } else {
            Keep::Yes
        };
        Ok((Done::Fresh(answer), keep))
    }
}

impl Change {
    /// Loads what the decision sees; everything after the lock.
    async fn state<DB: Db>(
        &self,
        connection: &mut DB::Connection,
        locked: Option<&LockRow>,
    ) -> Result<ProjectState> {
        let mut state = ProjectState {
            now: self.terms.now,
            view: None,
            environment: None,
            slug_taken: false,
            deployment: None,
            last_success: None,
            environments: Vec::new(),
        };
        let Some(locked) = locked else { return Ok(state) };
        let project = ProjectId(locked.id);
        state.now = Time::from_timestamp_millis(locked.latest_at).ok_or(StoreError::Inconsistent {
            table: "projects",
            column: "latest_at",
            id: locked.id,
        })?;
        state.view =
            project::view::<DB>(&mut *connection, &ProjectKey::Id(project), self.terms.actor).await?;
        match &self.select {
            Select::EnvironmentNamed(name) => {
                let key = EnvironmentKey::Name(name.clone());
                state.environment = environment::find_by_key::<DB>(&mut *connection, project, &key).await?;
                if state.environment.is_none() {
                    let slug = environments::slug(name);
                    state.slug_taken = environment::slug_taken::<DB>(&mut *connection, project, slug).await?;
                }
            }
            Select::Environment(key) => {
                state.environment = environment::find_by_key::<DB>(&mut *connection, project, key).await?;
            }
            Select::Deployment(id) => {
                state.deployment = deployment::find_by_id::<DB>(&mut *connection, project, *id).await?;
                if let Some(deployment) = &state.deployment {
                    let key = EnvironmentKey::Id(deployment.environment.id);
                    state.environment =
                        environment::find_by_key::<DB>(&mut *connection, project, &key).await?;
                }
            }
            Select::StaleEnvironments { before } => {
                state.environments = environment::stale::<DB>(&mut *connection, project, *before).await?;
            }
            Select::ReviewEnvironments { before, limit } => {
                state.environments =
                    environment::stopped_reviews::<DB>(&mut *connection, project, *before, *limit).await?;
            }
        }
        if let Some(environment) = &state.environment {
            state.last_success = deployment::last_success::<DB>(connection, environment.id).await?;
        }
        Ok(state)
    }
}

/// Makes changes true, one after the other, and keeps the answer up to date.
struct Apply<'a, DB: Db> {
    connection: &'a mut DB::Connection,
    iid: i64,
    log: Log,
    answer: ProjectAnswer,
}

impl<DB: Db> Apply<'_, DB> {
    async fn change(&mut self, change: &ProjectChange) -> Result<()> {
        match change {
            ProjectChange::DeploymentCreated(new) => self.create_deployment(new).await,
            ProjectChange::DeploymentKept(deployment) => {
                self.answer.deployment = Some(deployment.clone());
                Ok(())
            }
            ProjectChange::DeploymentMoved { before, after } => {
                deployment::update::<DB>(&mut *self.connection, after).await?;
                let subject = event::deployment(after, Some(*before), Some(after.status));
                self.answer.deployment = Some(Deployment::clone(after));
                self.append(EventKind::DeploymentStatusChanged, &subject).await
            }
            ProjectChange::DeploymentDeleted(deleted) => {
                deployment::delete::<DB>(&mut *self.connection, deleted.id).await?;
                let subject = event::deployment(deleted, Some(deleted.status), None);
                self.append(EventKind::DeploymentDeleted, &subject).await
            }
            ProjectChange::EnvironmentCreated(new) => self.create_environment(new).await.map(drop),
            ProjectChange::EnvironmentUpdated { before, after } => {
                environment::update::<DB>(&mut *self.connection, after).await?;
                let subject = event::environment(after, Some(*before), Some(after.state));
                self.show_environment(after.clone());
                self.append(EventKind::EnvironmentUpdated, &subject).await
            }
            ProjectChange::EnvironmentDeleted(deleted) => {
                environment::delete::<DB>(&mut *self.connection, deleted.id).await?;
                let subject = event::environment(deleted, Some(deleted.state), None);
                self.answer.environments.push(deleted.clone());
                self.append(EventKind::EnvironmentDeleted, &subject).await
            }
            ProjectChange::ApprovalSubmitted { .. }
            | ProjectChange::ApprovalsCounted { .. }
            | ProjectChange::Protection(_) => Err(StoreError::Url),
        }
    }

    async fn append(&mut self, kind: EventKind, subject: &EventSubject) -> Result<()> {
        self.log.append::<DB>(&mut *self.connection, kind, subject).await
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
        self.append(EventKind::EnvironmentCreated, &subject).await?;
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
        let id = deployment::insert::<DB>(
            &mut *self.connection,
            project,
            environment,
            Iid(self.iid),
            new,
            now,
        )
        .await?;
        // Read back for the environment and the user that it shows.
        let created = deployment::find_by_id::<DB>(&mut *self.connection, project, id)
            .await?
            .ok_or(StoreError::Inconsistent {
                table: "deployments",
                column: "id",
                id: id.0,
            })?;
        let subject = event::deployment(&created, None, Some(created.status));
        self.answer.deployment = Some(created);
        self.append(EventKind::DeploymentCreated, &subject).await
    }

    /// Writes the counters back, if anything was numbered.
    async fn finish(self, locked: &LockRow) -> Result<ProjectAnswer> {
        if self.log.last != locked.last_event {
            sql::<DB>("UPDATE projects SET last_iid = $2, last_event = $3 WHERE id = $1")
                .bind(locked.id)
                .bind(self.iid)
                .bind(self.log.last)
                .run(self.connection)
                .await
                .map_err(failed::<DB>)?;
        }
        Ok(self.answer)
    }
}
