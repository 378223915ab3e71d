//! Recording, reading, moving and deleting deployments.

use std::sync::Arc;

use super::{App, Mutation, memory::Presumed};
use crate::{
    domain::{
        access::{self, Caller, ProjectAction},
        deployment::{
            self, CreateDeployment, Deployment, DeploymentPosition, DeploymentQuery, DeploymentStatus,
            Ground, Lookup,
        },
        environment::Environment,
        error::{Error, Reason},
        gate::{self, Gate},
        guard::Guard,
        id::{DeploymentId, ProjectKey},
        page::{Page, PageRequest},
        protection,
    },
    store::{Done, ProjectAnswer, ProjectState, Select, StoreError},
};

/// Refuses whom a protection of the selected environment does not admit.
pub(super) fn admitted(state: &ProjectState, action: ProjectAction, environment: &str) -> Result<(), Error> {
    match &state.actor {
        Some(actor) => protection::admitted(&state.protections, actor, action.as_str(), environment),
        None => Err(access::project_not_found()),
    }
}

/// The refusal for a deployment that the project does not have.
pub(super) fn not_found(id: DeploymentId) -> Error {
    Error::new(Reason::DeploymentNotFound, format!("deployment {id} not found"))
}

/// The selected deployment at its gate, and its environment.
fn selected(state: &ProjectState, id: DeploymentId) -> Result<(&Gate, &Environment), Error> {
    state
        .gate
        .as_ref()
        .zip(state.environment.as_ref())
        .ok_or_else(|| not_found(id))
}

/// Where a new deployment's commit was looked up.
enum Looked {
    /// Nowhere: this server can read no repository.
    Nowhere,
    /// The project has no repository, or not for this caller.
    NoRepository,
    /// In the repository at this path, with this result.
    In(String, Lookup),
}

impl App {
    /// Records a deployment, with its environment where that is new.
    pub async fn deployment_create(
        &self,
        caller: &Presumed,
        project: ProjectKey,
        command: CreateDeployment,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let looked = self.look_up(caller, &project, &command).await?;
        let (looked, command) = (Arc::new(looked), Arc::new(command));
        let job = command.job.as_ref().map(|job| job.id);
        let select = Select::NewDeployment {
            environment: command.environment.clone(),
            job,
            succeeded: command.status == DeploymentStatus::Success,
        };
        let decide = move |by: &Caller, state: &ProjectState| {
            access::project(by, state.view.as_ref(), ProjectAction::CreateDeployment)?;
            access::project(by, state.view.as_ref(), ProjectAction::CreateEnvironment)?;
            admitted(state, ProjectAction::CreateDeployment, &command.environment)?;
            let attached = state
                .view
                .as_ref()
                .and_then(|view| view.project.repository.as_ref());
            let lookup = match (&*looked, attached) {
                (Looked::Nowhere, attached) => attached.map(|_| &Lookup::Unavailable),
                (Looked::NoRepository, None) => None,
                (Looked::In(path, lookup), Some(attached)) if path == attached => Some(lookup),
                _ => {
                    return Err(Error::new(
                        Reason::Conflict,
                        "the project's repository is another by now",
                    ));
                }
            };
            let ground = Ground {
                environment: state.environment.as_ref(),
                slug_taken: state.slug_taken,
                last: state.last_success.as_ref(),
                announced: state.deployment.as_ref(),
                gated: gate::requires_approval(&state.protections),
                lookup,
            };
            deployment::create(&command, by.id(), &ground, state.now)
        };
        self.change_project(caller, project, select, mutation, decide)
            .await
    }

    /// What a project's repository says of a new deployment's sha and ref, for a caller who may create one. It is asked
    /// before the change: reading a disk under the lock would hold everybody up.
    async fn look_up(
        &self,
        caller: &Presumed,
        project: &ProjectKey,
        command: &CreateDeployment,
    ) -> Result<Looked, Error> {
        if !self.repositories.have_root() {
            return Ok(Looked::Nowhere);
        }
        let caller = self.certain(caller).await?;
        let view = self.view(project, caller.id()).await?;
        let view = view.as_ref().map(|view| &view.of);
        let permitted = access::project(&caller, view, ProjectAction::CreateDeployment);
        let repository = match permitted {
            Ok(project) => project.repository.clone(),
            // The decision will refuse it.
            Err(_) => None,
        };
        let Some(path) = repository else {
            return Ok(Looked::NoRepository);
        };
        let names = vec![command.sha.clone(), command.git_ref.clone()];
        let lookup = match self.repositories.resolve(&path, names).await.as_deref() {
            Ok([Some(commit), Some(_)]) => Lookup::Found(Box::new(commit.clone())),
            Ok([Some(_), None]) => Lookup::NoRef,
            Ok(_) => Lookup::NoCommit,
            // A repeat of what was done is answered all the same.
            Err(error) => {
                tracing::warn!(?error, "a repository cannot be read");
                Lookup::Unavailable
            }
        };
        Ok(Looked::In(path, lookup))
    }

    /// A deployment at its gate, with the caller among the people.
    pub async fn deployment_get(
        &self,
        caller: &Presumed,
        project: &ProjectKey,
        id: DeploymentId,
    ) -> Result<Gate, Error> {
        if let Some(view) = self.remembered(caller, project, ProjectAction::ReadDeployment) {
            let user = &caller.caller.user;
            match self.store.gate_find(&view.of, id, user, Some(view.mark)).await {
                Err(StoreError::Outdated) => {}
                found => return found?.ok_or_else(|| not_found(id)),
            }
        }
        self.gate_for(&*self.certain(caller).await?, project, id).await
    }

    /// A deployment at its gate, with the caller, of whom nothing is presumed, among the people.
    pub async fn gate_for(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        id: DeploymentId,
    ) -> Result<Gate, Error> {
        let view = self
            .project_for(caller, project, ProjectAction::ReadDeployment)
            .await?;
        self.reading(caller, Some(view.project.id))
            .await
            .gate_find(&view, id, &caller.user, None)
            .await?
            .ok_or_else(|| not_found(id))
    }

    /// A page of a project's deployments.
    pub async fn deployment_list(
        &self,
        caller: &Presumed,
        project: &ProjectKey,
        query: &DeploymentQuery,
        page: &PageRequest<DeploymentPosition>,
    ) -> Result<Page<Deployment, DeploymentPosition>, Error> {
        if let Some(view) = self.remembered(caller, project, ProjectAction::ReadDeployment) {
            let id = view.of.project.id;
            match self.store.deployment_list(id, query, page, Some(view.mark)).await {
                Err(StoreError::Outdated) => {}
                found => return Ok(found?),
            }
        }
        let caller = self.certain(caller).await?;
        let view = self
            .project_for(&caller, project, ProjectAction::ReadDeployment)
            .await?;
        let store = self.reading(&caller, Some(view.project.id)).await;
        Ok(store.deployment_list(view.project.id, query, page, None).await?)
    }

    /// Moves a deployment to another status.
    pub async fn deployment_update_status(
        &self,
        caller: &Presumed,
        project: ProjectKey,
        id: DeploymentId,
        status: DeploymentStatus,
        guard: Guard,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let decide = move |by: &Caller, state: &ProjectState| {
            access::project(by, state.view.as_ref(), ProjectAction::UpdateDeployment)?;
            let (gate, environment) = selected(state, id)?;
            admitted(state, ProjectAction::UpdateDeployment, &environment.name)?;
            gate.deployment.driven_by_hand()?;
            guard.check(&gate.deployment.etag(), gate.deployment.updated_at)?;
            gate.move_to(status, environment, &by.user, state.now)
        };
        self.change_project(caller, project, Select::Deployment(id), mutation, decide)
            .await
    }

    /// Deletes a deployment.
    pub async fn deployment_delete(
        &self,
        caller: &Caller,
        project: ProjectKey,
        id: DeploymentId,
        guard: Guard,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let by = caller.clone();
        let decide = Box::new(move |state: &ProjectState| {
            access::project(&by, state.view.as_ref(), ProjectAction::DestroyDeployment)?;
            let (gate, environment) = selected(state, id)?;
            admitted(state, ProjectAction::DestroyDeployment, &environment.name)?;
            guard.check(&gate.deployment.etag(), gate.deployment.updated_at)?;
            gate.deployment.delete(state.last_success.as_ref())
        });
        let terms = self.terms(caller, mutation);
        Ok(self
            .store
            .project_change(project, Select::Deletion(id), terms, decide)
            .await?)
    }
}
