//! ProtectedEnvironmentService.

use prost::Message;
use tonic::{Request, Response, Status};

use super::{
    Services, convert, gate, mutation, open,
    page_token::{NamePosition, Query},
    reply,
    status::refuse,
};
use crate::{
    app::protection::ProtectionCommand,
    domain::{
        error::Error,
        guard::Guard,
        id::ContainerKey,
        protection::{EntryCommand, ProtectEnvironment, UpdateProtection},
    },
    pb::v1::{self as pb, protected_environment_service_server::ProtectedEnvironmentService},
    store::{DirectoryAnswer, ProjectAnswer, ProtectionAnswer},
};

fn entries(list: &str, entries: &[pb::ProtectionEntry]) -> Result<Vec<EntryCommand>, Error> {
    entries
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            let inheritance = entry
                .group_inheritance
                .map(|value| convert::read_inheritance(&format!("{list}[{index}].group_inheritance"), value));
            Ok(EntryCommand {
                id: Some(entry.id).filter(|&id| id != 0),
                destroy: entry.destroy,
                user_id: entry.user_id,
                group_id: entry.group_id,
                access_level: entry.access_level.map(i64::from),
                inheritance: inheritance.transpose()?,
                required_approvals: entry.required_approvals.map(i64::from),
            })
        })
        .collect()
}

fn protect(request: &pb::ProtectEnvironmentRequest) -> Result<ProtectionCommand, Error> {
    Ok(ProtectionCommand::Protect(ProtectEnvironment {
        name: convert::text("name", request.name.clone())?,
        deploy_access_levels: entries("deploy_access_levels", &request.deploy_access_levels)?,
        required_approval_count: request.required_approval_count.into(),
        approval_rules: entries("approval_rules", &request.approval_rules)?,
    }))
}

fn update(request: &pb::UpdateProtectedEnvironmentRequest) -> Result<ProtectionCommand, Error> {
    let command = UpdateProtection {
        deploy_access_levels: entries("deploy_access_levels", &request.deploy_access_levels)?,
        required_approval_count: request.required_approval_count.map(i64::from),
        approval_rules: entries("approval_rules", &request.approval_rules)?,
    };
    let name = convert::text("name", request.name.clone())?;
    Ok(ProtectionCommand::Update(
        name,
        command,
        Guard::etag(&request.etag),
    ))
}

fn unprotect(request: &pb::UnprotectEnvironmentRequest) -> Result<ProtectionCommand, Error> {
    let guard = Guard {
        etag: request.etag.clone(),
        unmodified_since: convert::optional_time("unmodified_since", request.unmodified_since)?,
    };
    let name = convert::text("name", request.name.clone())?;
    Ok(ProtectionCommand::Unprotect(name, guard))
}

fn shown(
    answer: Option<&ProtectionAnswer>,
) -> (Option<pb::ProtectedEnvironment>, Vec<pb::ProtectionWarning>) {
    answer.map_or_else(Default::default, |answer| {
        let warnings = answer.unreachable.iter().map(gate::warning);
        (
            Some(gate::protected_environment(&answer.protection)),
            warnings.collect(),
        )
    })
}

fn protected(answer: Option<&ProtectionAnswer>) -> pb::ProtectEnvironmentResponse {
    let (protected_environment, warnings) = shown(answer);
    pb::ProtectEnvironmentResponse {
        protected_environment,
        warnings,
    }
}

fn updated(answer: Option<&ProtectionAnswer>) -> pb::UpdateProtectedEnvironmentResponse {
    let (protected_environment, warnings) = shown(answer);
    pb::UpdateProtectedEnvironmentResponse {
        protected_environment,
        warnings,
    }
}

/// How a change is asked for and answered, in a project and in a group.
struct Change<Res> {
    method: &'static str,
    in_project: fn(&ProjectAnswer) -> Res,
    in_group: fn(&DirectoryAnswer) -> Res,
}

impl Services {
    /// Does what a request asks of the project or group that it names.
    async fn change_protection<Req: Message, Res: Message + Default + 'static>(
        &self,
        request: Request<Req>,
        change: Change<Res>,
        container: fn(&Req) -> Option<pb::ContainerRef>,
        command: fn(&Req) -> Result<ProtectionCommand, Error>,
        terms: fn(&Req) -> (&str, bool),
    ) -> Result<Response<Res>, Status> {
        let (caller, request) = open(request)?;
        let command = command(&request).map_err(refuse)?;
        let (id, only) = terms(&request);
        match convert::container_key(container(&request)).map_err(refuse)? {
            ContainerKey::Project(project) => {
                let mutation =
                    mutation(change.method, &request, id, only, change.in_project).map_err(refuse)?;
                let done = self
                    .app
                    .project_protection_change(&caller, project, command, mutation)
                    .await;
                reply(done, change.in_project)
            }
            ContainerKey::Group(group) => {
                let mutation =
                    mutation(change.method, &request, id, only, change.in_group).map_err(refuse)?;
                let done = self
                    .app
                    .group_protection_change(&caller, group, command, mutation)
                    .await;
                reply(done, change.in_group)
            }
        }
    }
}

#[tonic::async_trait]
impl ProtectedEnvironmentService for Services {
    async fn list_protected_environments(
        &self,
        request: Request<pb::ListProtectedEnvironmentsRequest>,
    ) -> Result<Response<pb::ListProtectedEnvironmentsResponse>, Status> {
        let (caller, request) = open(request)?;
        let bound = pb::ListProtectedEnvironmentsRequest {
            container: request.container.clone(),
            ..Default::default()
        };
        let tokens = Query::new("ListProtectedEnvironments", &bound);
        let after = tokens.read::<NamePosition>(&request.page_token).map_err(refuse)?;
        let after = after.map(|position| position.0);
        let page =
            convert::page(request.page_size, request.skip, request.want_total, after).map_err(refuse)?;
        let container = convert::container_key(request.container).map_err(refuse)?;
        let page = self
            .app
            .protection_list(&caller, &container, &page)
            .await
            .map_err(refuse)?;
        Ok(Response::new(pb::ListProtectedEnvironmentsResponse {
            protected_environments: page.items.iter().map(gate::protected_environment).collect(),
            next_page_token: tokens.issue(page.next.map(NamePosition).as_ref()),
            total_size: page.total,
        }))
    }

    async fn get_protected_environment(
        &self,
        request: Request<pb::GetProtectedEnvironmentRequest>,
    ) -> Result<Response<pb::GetProtectedEnvironmentResponse>, Status> {
        let (caller, request) = open(request)?;
        let container = convert::container_key(request.container).map_err(refuse)?;
        let name = convert::text("name", request.name).map_err(refuse)?;
        let protection = self
            .app
            .protection_get(&caller, &container, &name)
            .await
            .map_err(refuse)?;
        Ok(Response::new(pb::GetProtectedEnvironmentResponse {
            protected_environment: Some(gate::protected_environment(&protection)),
        }))
    }

    async fn protect_environment(
        &self,
        request: Request<pb::ProtectEnvironmentRequest>,
    ) -> Result<Response<pb::ProtectEnvironmentResponse>, Status> {
        let change = Change {
            method: "ProtectEnvironment",
            in_project: |answer| protected(answer.protection.as_ref()),
            in_group: |answer| protected(answer.protection.as_ref()),
        };
        self.change_protection(
            request,
            change,
            |request| request.container.clone(),
            protect,
            |request| (&request.request_id, request.validate_only),
        )
        .await
    }

    async fn update_protected_environment(
        &self,
        request: Request<pb::UpdateProtectedEnvironmentRequest>,
    ) -> Result<Response<pb::UpdateProtectedEnvironmentResponse>, Status> {
        let change = Change {
            method: "UpdateProtectedEnvironment",
            in_project: |answer| updated(answer.protection.as_ref()),
            in_group: |answer| updated(answer.protection.as_ref()),
        };
        self.change_protection(
            request,
            change,
            |request| request.container.clone(),
            update,
            |request| (&request.request_id, request.validate_only),
        )
        .await
    }

    async fn unprotect_environment(
        &self,
        request: Request<pb::UnprotectEnvironmentRequest>,
    ) -> Result<Response<pb::UnprotectEnvironmentResponse>, Status> {
        let change = Change {
            method: "UnprotectEnvironment",
            in_project: |_| pb::UnprotectEnvironmentResponse {},
            in_group: |_| pb::UnprotectEnvironmentResponse {},
        };
        self.change_protection(
            request,
            change,
            |request| request.container.clone(),
            unprotect,
            |request| (&request.request_id, request.validate_only),
        )
        .await
    }
}
