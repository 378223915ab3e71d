//! Recording, reading, listing and deleting merge requests.

use super::{App, Mutation, deployment};
use crate::{
    domain::{
        access::{self, Caller, ProjectAction},
        deployment::Deployment,
        error::Error,
        event::ProjectChange,
        guard::Guard,
        id::{DeploymentId, MergeRequestIid, ProjectKey},
        merge_request::{
            self, MergeRequest,
            query::{MergeRequestPosition, MergeRequestQuery},
            report::UpsertMergeRequest,
        },
        page::{Page, PageRequest},
    },
    store::{Done, ProjectAnswer, ProjectState, Select},
};

impl App {
    /// Records a merge request, or what changed of it.
    pub async fn merge_request_upsert(
        &self,
        caller: &Caller,
        project: ProjectKey,
        command: UpsertMergeRequest,
        guard: Guard,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let by = caller.clone();
        let select = Select::MergeRequest(command.iid, command.report.people());
        let decide = Box::new(move |state: &ProjectState| {
            access::project(&by, state.view.as_ref(), ProjectAction::ReportMergeRequest)?;
            let change = command.decide(state.merge_request.as_ref(), &state.users, &guard, state.now)?;
            Ok(vec![ProjectChange::MergeRequest(change)])
        });
        Ok(self
            .store
            .project_change(project, select, self.terms(caller, mutation), decide)
            .await?)
    }

    /// A merge request.
    pub async fn merge_request_get(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        iid: MergeRequestIid,
    ) -> Result<MergeRequest, Error> {
        let view = self
            .project_for(caller, project, ProjectAction::ReadDeployment)
            .await?;
        self.reading(caller, Some(view.project.id))
            .await
            .merge_request_find(view.project.id, iid)
            .await?
            .ok_or_else(|| merge_request::not_found(iid))
    }

    /// A page of a project's merge requests.
    pub async fn merge_request_list(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        query: &MergeRequestQuery,
        page: &PageRequest<MergeRequestPosition>,
    ) -> Result<Page<MergeRequest, MergeRequestPosition>, Error> {
        let view = self
            .project_for(caller, project, ProjectAction::ReadDeployment)
            .await?;
        Ok(self
            .reading(caller, Some(view.project.id))
            .await
            .merge_request_list(view.project.id, None, query, page)
            .await?)
    }

    /// A page of the merge requests that a deployment shipped.
    pub async fn merge_request_list_shipped(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        deployment: DeploymentId,
        query: &MergeRequestQuery,
        page: &PageRequest<MergeRequestPosition>,
    ) -> Result<Page<MergeRequest, MergeRequestPosition>, Error> {
        let view = self
            .project_for(caller, project, ProjectAction::ReadDeployment)
            .await?;
        let project = view.project.id;
        let store = self.reading(caller, Some(project)).await;
        store
            .deployment_find(project, deployment)
            .await?
            .ok_or_else(|| deployment::not_found(deployment))?;
        Ok(store
            .merge_request_list(project, Some(deployment), query, page)
            .await?)
    }

    /// A page of the deployments that shipped a merge request.
    pub async fn merge_request_deployments(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        iid: MergeRequestIid,
        page: &PageRequest<DeploymentId>,
    ) -> Result<Page<Deployment, DeploymentId>, Error> {
        let shipped = self.merge_request_get(caller, project, iid).await?;
        Ok(self.store.merge_request_deployments(shipped.id, page).await?)
    }

    /// Deletes a merge request and its links.
    pub async fn merge_request_delete(
        &self,
        caller: &Caller,
        project: ProjectKey,
        iid: MergeRequestIid,
        guard: Guard,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let by = caller.clone();
        let decide = Box::new(move |state: &ProjectState| {
            access::project(&by, state.view.as_ref(), ProjectAction::DestroyMergeRequest)?;
            let merge_request = state
                .merge_request
                .as_ref()
                .ok_or_else(|| merge_request::not_found(iid))?;
            Ok(vec![ProjectChange::MergeRequest(merge_request.delete(&guard)?)])
        });
        let select = Select::MergeRequest(iid, Vec::new());
        Ok(self
            .store
            .project_change(project, select, self.terms(caller, mutation), decide)
            .await?)
    }
}
