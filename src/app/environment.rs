//! Making, reading, changing, stopping and deleting environments.

use chrono::{Months, TimeDelta};

use super::{App, Mutation, deployment::admitted};
use crate::{
    domain::{
        Time,
        access::{self, Caller, ProjectAction},
        deployment::Deployment,
        directory::Project,
        environment::{self, CreateEnvironment, Environment, EnvironmentFilter, UpdateEnvironment},
        error::{Error, Reason},
        guard::Guard,
        id::{EnvironmentId, EnvironmentKey, ProjectKey},
        page::{Page, PageRequest},
        protection::ProtectedEnvironment,
    },
    store::{Done, ProjectAnswer, ProjectState, Select},
};

/// How many review environments a clean-up deletes at most.
const REVIEW_LIMIT_MAX: i64 = 1_000;
/// How many it deletes when nothing is said.
const REVIEW_LIMIT_DEFAULT: i64 = 100;

fn not_found() -> Error {
    Error::new(Reason::EnvironmentNotFound, "environment not found")
}

/// The selected environment.
fn selected(state: &ProjectState) -> Result<&Environment, Error> {
    state.environment.as_ref().ok_or_else(not_found)
}

/// The protections that apply to one of several selected environments.
fn applying<'a>(
    state: &'a ProjectState,
    environment: &'a Environment,
) -> impl Iterator<Item = &'a ProtectedEnvironment> {
    let applies =
        |protection: &&ProtectedEnvironment| protection.applies_to(&environment.name, environment.tier);
    state.protections.iter().filter(applies)
}

fn admits(state: &ProjectState, protection: &ProtectedEnvironment) -> bool {
    state.actor.as_ref().is_some_and(|actor| protection.admits(actor))
}

impl App {
    /// A page of a project's environments, and the project.
    pub async fn environment_list(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        filter: &EnvironmentFilter,
        page: &PageRequest<EnvironmentId>,
    ) -> Result<(Page<Environment, EnvironmentId>, Project), Error> {
        let view = self
            .project_for(caller, project, ProjectAction::ReadEnvironment)
            .await?;
        let store = self.reading(caller, Some(view.project.id)).await;
        Ok((
            store.environment_list(view.project.id, filter, page).await?,
            view.project,
        ))
    }

    /// An environment and its last successful deployment.
    pub async fn environment_get(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        key: &EnvironmentKey,
    ) -> Result<(Environment, Option<Deployment>), Error> {
        let view = self
            .project_for(caller, project, ProjectAction::ReadEnvironment)
            .await?;
        let store = self.reading(caller, Some(view.project.id)).await;
        let environment = store
            .environment_find(view.project.id, key)
            .await?
            .ok_or_else(not_found)?;
        let last = store.deployment_last_success(environment.id).await?;
        Ok((environment, last))
    }

    /// Makes an environment.
    pub async fn environment_create(
        &self,
        caller: &Caller,
        project: ProjectKey,
        command: CreateEnvironment,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let by = caller.clone();
        let select = Select::EnvironmentNamed(command.name.clone());
        let decide = Box::new(move |state: &ProjectState| {
            access::project(&by, state.view.as_ref(), ProjectAction::CreateEnvironment)?;
            environment::create(&command, state.environment.as_ref(), state.slug_taken)
        });
        Ok(self
            .store
            .project_change(project, select, self.terms(caller, mutation), decide)
            .await?)
    }

    /// Changes an environment's fields.
    pub async fn environment_update(
        &self,
        caller: &Caller,
        project: ProjectKey,
        key: EnvironmentKey,
        command: UpdateEnvironment,
        guard: Guard,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let by = caller.clone();
        let decide = Box::new(move |state: &ProjectState| {
            access::project(&by, state.view.as_ref(), ProjectAction::UpdateEnvironment)?;
            let environment = selected(state)?;
            admitted(state, ProjectAction::UpdateEnvironment, &environment.name)?;
            guard.check(&environment.etag(), environment.updated_at)?;
            environment.update(&command, state.now)
        });
        let terms = self.terms(caller, mutation);
        Ok(self
            .store
            .project_change(project, Select::Environment(key), terms, decide)
            .await?)
    }

    /// Stops an environment.
    pub async fn environment_stop(
        &self,
        caller: &Caller,
        project: ProjectKey,
        key: EnvironmentKey,
        force: bool,
        guard: Guard,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let by = caller.clone();
        let decide = Box::new(move |state: &ProjectState| {
            access::project(&by, state.view.as_ref(), ProjectAction::StopEnvironment)?;
            let environment = selected(state)?;
            admitted(state, ProjectAction::StopEnvironment, &environment.name)?;
            guard.check(&environment.etag(), environment.updated_at)?;
            environment.stop(force, state.now)
        });
        let terms = self.terms(caller, mutation);
        Ok(self
            .store
            .project_change(project, Select::Environment(key), terms, decide)
            .await?)
    }

    /// Deletes a stopped environment and its deployments.
    pub async fn environment_delete(
        &self,
        caller: &Caller,
        project: ProjectKey,
        key: EnvironmentKey,
        guard: Guard,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let by = caller.clone();
        let decide = Box::new(move |state: &ProjectState| {
            access::project(&by, state.view.as_ref(), ProjectAction::DestroyEnvironment)?;
            let environment = selected(state)?;
            admitted(state, ProjectAction::DestroyEnvironment, &environment.name)?;
            guard.check(&environment.etag(), environment.updated_at)?;
            environment.delete()
        });
        let terms = self.terms(caller, mutation);
        Ok(self
            .store
            .project_change(project, Select::Environment(key), terms, decide)
            .await?)
    }

    /// Stops the environments that have been quiet since `before`, which is between ten years and a week ago
    /// (contract 2.9).
    pub async fn environment_stop_stale(
        &self,
        caller: &Caller,
        project: ProjectKey,
        before: Time,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let by = caller.clone();
        let decide = Box::new(move |state: &ProjectState| {
            access::project(&by, state.view.as_ref(), ProjectAction::StopStaleEnvironments)?;
            let oldest = state.now - Months::new(120);
            if before < oldest || before > state.now - TimeDelta::weeks(1) {
                return Err(Error::argument(
                    "before",
                    "must be between ten years and one week ago",
                ));
            }
            let stops = state
                .environments
                .iter()
                .filter(|environment| applying(state, environment).next().is_none())
                .map(|environment| environment.stop(true, state.now));
            Ok(stops
                .collect::<Result<Vec<_>, _>>()?
                .into_iter()
                .flatten()
                .collect())
        });
        let select = Select::StaleEnvironments { before };
        Ok(self
            .store
            .project_change(project, select, self.terms(caller, mutation), decide)
            .await?)
    }

    /// Deletes stopped review environments that were created before a time; by default 30 days ago, and at most 100
    /// (contract 2.9).
    pub async fn environment_delete_reviews(
        &self,
        caller: &Caller,
        project: ProjectKey,
        before: Option<Time>,
        limit: i64,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let by = caller.clone();
        let decide = Box::new(move |state: &ProjectState| {
            access::project(&by, state.view.as_ref(), ProjectAction::DestroyEnvironment)?;
            if !(0..=REVIEW_LIMIT_MAX).contains(&limit) {
                return Err(Error::argument("limit", "must be between 0 and 1000"));
            }
            let deletions = state
                .environments
                .iter()
                .filter(|environment| {
                    applying(state, environment).all(|protection| admits(state, protection))
                })
                .map(Environment::delete);
            Ok(deletions
                .collect::<Result<Vec<_>, _>>()?
                .into_iter()
                .flatten()
                .collect())
        });
        let select = Select::ReviewEnvironments {
            before: before.unwrap_or_else(|| self.now() - TimeDelta::days(30)),
            limit: if limit == 0 {
                REVIEW_LIMIT_DEFAULT
            } else {
                limit.clamp(0, REVIEW_LIMIT_MAX)
            },
        };
        Ok(self
            .store
            .project_change(project, select, self.terms(caller, mutation), decide)
            .await?)
    }
}
