//! Jobs: how they go, as a CI system tells, and tokens for those that run.

use std::sync::Arc;

use super::{App, Mutation, deployment::admitted, token::new_secret};
use crate::{
    domain::{
        access::{self, Caller, ProjectAction},
        deployment::Deployment,
        error::Error,
        id::{JobId, ProjectKey},
        job::{JobReport, job_not_found},
        token::{self, Secret},
    },
    store::{Done, ProjectAnswer, ProjectState, Select},
};

impl App {
    /// Takes a report of how a job goes.
    pub async fn job_report(
        &self,
        caller: &Caller,
        project: ProjectKey,
        report: JobReport,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let by = caller.clone();
        let select = Select::Job(report.id);
        let decide = Box::new(move |state: &ProjectState| {
            access::project(&by, state.view.as_ref(), ProjectAction::UpdateDeployment)?;
            let selected = state.gate.as_ref().zip(state.environment.as_ref());
            let (gate, environment) = selected.ok_or_else(|| job_not_found(report.id))?;
            admitted(state, ProjectAction::UpdateDeployment, &environment.name)?;
            let last = state.last_success.as_ref();
            gate.report(&report, environment, last, &by.user, state.now)
        });
        let terms = self.terms(caller, mutation);
        Ok(self.store.project_change(project, select, terms, decide).await?)
    }

    /// The deployment that a job carries out, with the job.
    pub async fn job_get(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        id: JobId,
    ) -> Result<Deployment, Error> {
        let view = self
            .project_for(caller, project, ProjectAction::ReadDeployment)
            .await?;
        self.reading(caller, Some(view.project.id))
            .await
            .deployment_find_by_job(view.project.id, id)
            .await?
            .ok_or_else(|| job_not_found(id))
    }

    /// Makes a token for a job that runs. Its secret is told here and never again: the store keeps a hash.
    pub async fn job_token_create(
        &self,
        caller: &Caller,
        project: ProjectKey,
        id: JobId,
    ) -> Result<Secret, Error> {
        let secret = new_secret()?;
        let (by, hash) = (caller.clone(), secret.hash());
        let decide = Box::new(move |state: &ProjectState| {
            access::project(&by, state.view.as_ref(), ProjectAction::UpdateDeployment)?;
            let deployment = state.deployment.as_ref().ok_or_else(|| job_not_found(id))?;
            token::create_for_job(deployment, &by, &hash)
        });
        let mutation = Mutation {
            request: None,
            validate_only: false,
            encode: Arc::new(|_: &ProjectAnswer| Vec::new()),
        };
        let terms = self.terms(caller, mutation);
        self.store
            .project_change(project, Select::Job(id), terms, decide)
            .await?;
        Ok(secret)
    }
}
