//! A project.

use super::{Answer, Difference, Entry, differing, differs, number, split};
use crate::{
    cli::{
        client::{Server, project},
        word::Word,
    },
    pb::v1::{self as pb, Visibility},
};

#[derive(Debug)]
pub struct Project {
    pub place: String,
    pub path: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub visibility: Option<Visibility>,
    pub default_branch: Option<String>,
    pub archived: Option<bool>,
    /// Whether who records a deployment may approve it themself.
    pub allow_self_approval: Option<bool>,
    pub forward_deployment_enabled: Option<bool>,
    pub forward_deployment_rollback_allowed: Option<bool>,
}

impl Entry for Project {
    type Found = pb::Project;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("project {}", self.path)
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::Project>> {
        let request = pb::GetProjectRequest {
            project: Some(project(&self.path)),
        };
        Ok(server
            .directory()
            .get_project(request)
            .await?
            .into_inner()
            .project)
    }

    fn etag(found: &pb::Project) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::Project) -> Vec<Difference> {
        differing([
            differs("name", &found.name, self.name.as_ref()),
            differs("description", &found.description, self.description.as_ref()),
            differs(
                "visibility",
                &found.visibility().word(),
                self.visibility.map(Word::word),
            ),
            differs(
                "default_branch",
                &found.default_branch,
                self.default_branch.as_ref(),
            ),
            differs("archived", &found.archived, self.archived),
            differs(
                "allow_pipeline_trigger_approve_deployment",
                &found.allow_self_approval,
                self.allow_self_approval,
            ),
            differs(
                "ci_forward_deployment_enabled",
                &found.forward_deployment_enabled,
                self.forward_deployment_enabled,
            ),
            differs(
                "ci_forward_deployment_rollback_allowed",
                &found.forward_deployment_rollback_allowed,
                self.forward_deployment_rollback_allowed,
            ),
        ])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::Project>> {
        let (group, path) = split(&self.path);
        let request = pb::CreateProjectRequest {
            group,
            path,
            name: self.name.clone().unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
            visibility: number(self.visibility),
            default_branch: self.default_branch.clone().unwrap_or_default(),
            allow_self_approval: self.allow_self_approval.unwrap_or_default(),
            request_id,
            validate_only: false,
            forward_deployment_enabled: self.forward_deployment_enabled,
            forward_deployment_rollback_allowed: self.forward_deployment_rollback_allowed,
        };
        Ok(server
            .directory()
            .create_project(request)
            .await?
            .into_inner()
            .project)
    }

    async fn update(&self, server: &Server, etag: String, request_id: String) -> Answer<Option<pb::Project>> {
        let request = pb::UpdateProjectRequest {
            project: Some(project(&self.path)),
            name: self.name.clone(),
            description: self.description.clone(),
            visibility: self.visibility.map(Into::into),
            default_branch: self.default_branch.clone(),
            archived: self.archived,
            allow_self_approval: self.allow_self_approval,
            allow_missing: false,
            etag,
            request_id,
            validate_only: false,
            forward_deployment_enabled: self.forward_deployment_enabled,
            forward_deployment_rollback_allowed: self.forward_deployment_rollback_allowed,
        };
        Ok(server
            .directory()
            .update_project(request)
            .await?
            .into_inner()
            .project)
    }
}
