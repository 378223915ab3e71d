//! A project, and the git repository that is attached to it.

use tonic::Code;

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
    /// Where its repository is below the server's root; empty: none is to be attached.
    pub repository: Option<String>,
}

/// What the server keeps of a project.
#[derive(Debug, Clone, Default)]
pub struct FoundProject {
    project: pb::Project,
    /// Where its repository is; empty: it has none, or the file does not ask.
    repository: String,
}

impl Project {
    /// What the server keeps of it, given the project: asks for the repository too if the file wants one or none.
    async fn with_repository(
        &self,
        server: &Server,
        found: Option<pb::Project>,
    ) -> Answer<Option<FoundProject>> {
        let Some(project) = found else { return Ok(None) };
        let repository = match self.repository {
            Some(_) => self.attached(server).await?,
            None => String::new(),
        };
        Ok(Some(FoundProject { project, repository }))
    }

    /// Where the repository is that it has attached; empty: none.
    async fn attached(&self, server: &Server) -> Answer<String> {
        let request = pb::GetRepositoryRequest {
            project: Some(project(&self.path)),
        };
        match server.repositories().get_repository(request).await {
            Ok(answer) => Ok(answer.into_inner().repository.unwrap_or_default().path),
            // The project was found just now: it is the repository that is missing.
            Err(status) if status.code() == Code::NotFound => Ok(String::new()),
            Err(status) => Err(status),
        }
    }

    /// Attaches the repository that the file wants, or detaches the one that it does not want.
    async fn attach(
        &self,
        server: &Server,
        path: &str,
        etag: String,
        request_id: String,
    ) -> Answer<Option<pb::Project>> {
        let mut repositories = server.repositories();
        let changed = if path.is_empty() {
            let request = pb::DetachRepositoryRequest {
                project: Some(project(&self.path)),
                etag,
                request_id,
                validate_only: false,
            };
            repositories
                .detach_repository(request)
                .await?
                .into_inner()
                .project
        } else {
            let request = pb::AttachRepositoryRequest {
                project: Some(project(&self.path)),
                path: path.to_owned(),
                etag,
                request_id,
                validate_only: false,
            };
            repositories
                .attach_repository(request)
                .await?
                .into_inner()
                .project
        };
        Ok(changed)
    }
}

impl Entry for Project {
    type Found = FoundProject;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("project {}", self.path)
    }

    async fn find(&self, server: &Server) -> Answer<Option<FoundProject>> {
        let request = pb::GetProjectRequest {
            project: Some(project(&self.path)),
        };
        let found = server.directory().get_project(request).await?;
        self.with_repository(server, found.into_inner().project).await
    }

    fn etag(found: &FoundProject) -> &str {
        &found.project.etag
    }

    fn differences(&self, found: &FoundProject) -> Vec<Difference> {
        let FoundProject {
            project: found,
            repository,
        } = found;
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
            differs("repository", repository, self.repository.as_ref()),
        ])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<FoundProject>> {
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
        let created = server.directory().create_project(request).await?;
        Ok(created.into_inner().project.map(|project| FoundProject {
            project,
            repository: String::new(),
        }))
    }

    async fn update(
        &self,
        server: &Server,
        etag: String,
        request_id: String,
    ) -> Answer<Option<FoundProject>> {
        let attaching = format!("{request_id}-repository");
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
        let updated = server.directory().update_project(request).await?;
        let updated = updated.into_inner().project;
        let found = self.with_repository(server, updated).await?;
        let (Some(mut found), Some(wanted)) = (found.clone(), &self.repository) else {
            return Ok(found);
        };
        if found.repository != *wanted {
            let etag = found.project.etag.clone();
            let changed = self.attach(server, wanted, etag, attaching).await?;
            found = FoundProject {
                project: changed.unwrap_or(found.project),
                repository: wanted.clone(),
            };
        }
        Ok(Some(found))
    }
}
