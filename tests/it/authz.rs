//! Who may do what, cell by cell: every operation of the contract, by every role, on every kind of project and group.
//!
//! The outcome is the text file `snapshots/authz.txt`, to be read next to contract 1.1. `UPDATE_GOLDEN=1` rewrites it.
//! Mutations only check (`validate_only`), so that no cell affects another.

use std::{collections::BTreeSet, fmt::Write as _, future::Future, path::Path, pin::Pin};

use gatehouse::pb::{
    self as contract,
    v1::{self as pb, AccessLevel, TokenScope, Visibility},
};
use prost::Message as _;
use tonic::Status;

use crate::support::{
    SHA, TestServer,
    engine::{Engine, on_both_engines},
    group_at, in_group, in_project,
    job::{announcing, draft, report},
    project_at, reason, user_named,
};

on_both_engines! {
    threads:
    every_role_may_do_what_the_matrix_says_and_nothing_else
}

/// A column: who calls.
struct Role {
    name: &'static str,
    username: String,
    token: String,
    token_id: i64,
}

/// What a row is about.
struct Place {
    /// The project or group.
    path: String,
    container: pb::ContainerRef,
    deployments: Deployments,
    /// The name of a protection that is there, and of one that is not.
    protected: [&'static str; 2],
    visibility: Visibility,
    archived: bool,
}

impl Place {
    /// Who else could see it.
    fn other_visibility(&self) -> i32 {
        let other = match self.visibility {
            Visibility::Internal => Visibility::Private,
            _ => Visibility::Internal,
        };
        other.into()
    }
}

/// Ids of deployments, zero where there is no project.
#[derive(Default)]
struct Deployments {
    /// Free to start.
    created: i64,
    /// Successful, but not the last one.
    superseded: i64,
    /// Blocked, in the environment `guarded`, and the administrator's: Reporters decide, Maintainers deploy.
    blocked: i64,
    /// Carried out by [`JOB`], which is the administrator's.
    driven: i64,
}

/// The id of a job that runs, and of one in `guarded`.
const JOB: i64 = 657;
const GUARDED_JOB: i64 = 664;

/// One cell of the table.
#[derive(Clone, Copy)]
struct Cell<'a> {
    server: &'a TestServer,
    role: &'a Role,
    place: &'a Place,
    /// A token of somebody else.
    victim_token: i64,
}

type Outcome<'a> = Pin<Box<dyn Future<Output = Result<&'static str, Status>> + Send + 'a>>;

/// A row: an operation, maybe in one of several variants.
struct Operation {
    method: &'static str,
    variant: &'static str,
    call: for<'a> fn(Cell<'a>) -> Outcome<'a>,
}

/// `method(variant) service, cell => request`; where the answer matters, `, answer => outcome`.
macro_rules! operation {
    ($method:ident $variant:literal, $service:ident, $cell:ident => $request:expr) => {
        operation!($method $variant, $service, $cell => $request, _answer => "ok")
    };
    ($method:ident $variant:literal, $service:ident, $cell:ident => $request:expr, $answer:ident => $outcome:expr) => {
        Operation {
            method: stringify!($method),
            variant: $variant,
            call: |$cell| {
                Box::pin(async move {
                    let mut client = $cell.server.$service(&$cell.role.token);
                    let $answer = client.$method($request).await?.into_inner();
                    Ok($outcome)
                })
            },
        }
    };
}

#[expect(clippy::unnecessary_wraps, reason = "as the fields of requests are")]
impl Cell<'_> {
    fn project(&self) -> Option<pb::ProjectRef> {
        Some(project_at(&self.place.path))
    }

    fn group(&self) -> Option<pb::GroupRef> {
        Some(group_at(&self.place.path))
    }

    fn container(&self) -> Option<pb::ContainerRef> {
        Some(self.place.container.clone())
    }

    fn report(&self, job: i64) -> pb::ReportJobRequest {
        pb::ReportJobRequest {
            project: self.project(),
            ..report(0, job, 1, pb::JobStatus::Running)
        }
    }

    fn environment(name: &str) -> Option<pb::EnvironmentRef> {
        Some(pb::EnvironmentRef {
            by: Some(pb::environment_ref::By::Name(name.into())),
        })
    }
}

const YES: bool = true;

/// What is about no project or group.
fn instance_operations() -> Vec<Operation> {
    vec![
        operation!(get_metadata "", metadata, _cell => pb::GetMetadataRequest {}),
        operation!(who_am_i "", tokens, _cell => pb::WhoAmIRequest {}),
        operation!(create_token "own", tokens, _cell => pb::CreateTokenRequest {
            name: "new".into(), scopes: vec![TokenScope::Api.into()], validate_only: YES, ..Default::default()
        }),
        operation!(create_token "somebody's", tokens, _cell => pb::CreateTokenRequest {
            user: Some(user_named("victim")), name: "new".into(), scopes: vec![TokenScope::Api.into()],
            validate_only: YES, ..Default::default()
        }),
        operation!(list_tokens "own", tokens, _cell => pb::ListTokensRequest::default()),
        operation!(list_tokens "somebody's", tokens, _cell => pb::ListTokensRequest {
            user: Some(user_named("victim")), ..Default::default()
        }),
        operation!(revoke_token "own", tokens, cell => pb::RevokeTokenRequest {
            token_id: cell.role.token_id, validate_only: YES, ..Default::default()
        }),
        operation!(revoke_token "somebody's", tokens, cell => pb::RevokeTokenRequest {
            token_id: cell.victim_token, validate_only: YES, ..Default::default()
        }),
        operation!(create_user "", directory, _cell => pb::CreateUserRequest {
            username: "new".into(), validate_only: YES, ..Default::default()
        }),
        operation!(get_user "", directory, _cell => pb::GetUserRequest { user: Some(user_named("victim")) }),
        operation!(list_users "", directory, _cell => pb::ListUsersRequest::default()),
        operation!(update_user "somebody", directory, _cell => pb::UpdateUserRequest {
            user: Some(user_named("victim")), name: Some("new".into()), validate_only: YES, ..Default::default()
        }),
        operation!(update_user "self", directory, cell => pb::UpdateUserRequest {
            user: Some(user_named(&cell.role.username)), admin: Some(true), validate_only: YES, ..Default::default()
        }),
        operation!(update_user "upsert", directory, _cell => pb::UpdateUserRequest {
            user: Some(user_named("new")), allow_missing: true, validate_only: YES, ..Default::default()
        }),
        operation!(delete_user "", directory, _cell => pb::DeleteUserRequest {
            user: Some(user_named("victim")), validate_only: YES, ..Default::default()
        }),
        operation!(create_group "at the top", directory, _cell => pb::CreateGroupRequest {
            path: "new".into(), validate_only: YES, ..Default::default()
        }),
        operation!(update_group "upsert at the top", directory, _cell => pb::UpdateGroupRequest {
            group: Some(group_at("new")), allow_missing: true, validate_only: YES, ..Default::default()
        }),
        operation!(list_pending_decisions "", approvals, _cell => pb::ListPendingDecisionsRequest::default()),
    ]
}

/// What is about a project.
fn project_operations() -> Vec<Operation> {
    let mut operations = vec![
        operation!(get_project "", directory, cell => pb::GetProjectRequest { project: cell.project() }),
        operation!(list_projects "", directory, _cell => pb::ListProjectsRequest { page_size: 100, ..Default::default() },
            answer => if answer.projects.iter().any(|project| project.full_path == _cell.place.path) { "ok" } else { "unlisted" }),
        operation!(list_deployments "", deployments, cell => pb::ListDeploymentsRequest {
            project: cell.project(), ..Default::default()
        }),
        operation!(get_deployment "", deployments, cell => pb::GetDeploymentRequest {
            project: cell.project(), deployment_id: cell.place.deployments.created
        }),
        operation!(create_deployment "known environment", deployments, cell => pb::CreateDeploymentRequest {
            project: cell.project(), environment: "production".into(), sha: SHA.into(), r#ref: "main".into(),
            status: pb::DeploymentStatus::Running.into(), validate_only: YES, ..Default::default()
        }),
        operation!(create_deployment "new environment", deployments, cell => pb::CreateDeploymentRequest {
            project: cell.project(), environment: "new".into(), sha: SHA.into(), r#ref: "main".into(),
            status: pb::DeploymentStatus::Success.into(), validate_only: YES, ..Default::default()
        }),
        operation!(update_deployment_status "", deployments, cell => pb::UpdateDeploymentStatusRequest {
            project: cell.project(), deployment_id: cell.place.deployments.created,
            status: pb::DeploymentStatus::Running.into(), validate_only: YES, ..Default::default()
        }),
        operation!(delete_deployment "", deployments, cell => pb::DeleteDeploymentRequest {
            project: cell.project(), deployment_id: cell.place.deployments.superseded, validate_only: YES,
            ..Default::default()
        }),
        operation!(list_events "", events, cell => pb::ListEventsRequest {
            project: cell.project(), ..Default::default()
        }),
        operation!(watch_events "", events, cell => pb::WatchEventsRequest {
            projects: cell.project().into_iter().collect(), ..Default::default()
        }, answer => {
            let mut stream = answer;
            stream.message().await?;
            "ok"
        }),
        operation!(wait_deployment "", events, cell => pb::WaitDeploymentRequest {
            project: cell.project(), deployment_id: cell.place.deployments.created,
            until: Some(pb::wait_deployment_request::Until::Condition(pb::WaitCondition::Approved.into())),
            ..Default::default()
        }),
        operation!(list_environments "", environments, cell => pb::ListEnvironmentsRequest {
            project: cell.project(), ..Default::default()
        }),
        operation!(get_environment "", environments, cell => pb::GetEnvironmentRequest {
            project: cell.project(), environment: Cell::environment("production")
        }),
        operation!(create_environment "", environments, cell => pb::CreateEnvironmentRequest {
            project: cell.project(), name: "new".into(), validate_only: YES, ..Default::default()
        }),
        operation!(update_environment "", environments, cell => pb::UpdateEnvironmentRequest {
            project: cell.project(), environment: Cell::environment("production"), description: Some("new".into()),
            validate_only: YES, ..Default::default()
        }),
        operation!(stop_environment "", environments, cell => pb::StopEnvironmentRequest {
            project: cell.project(), environment: Cell::environment("production"), validate_only: YES,
            ..Default::default()
        }),
        operation!(delete_environment "", environments, cell => pb::DeleteEnvironmentRequest {
            project: cell.project(), environment: Cell::environment("review/old"), validate_only: YES,
            ..Default::default()
        }),
        operation!(stop_stale_environments "", environments, cell => pb::StopStaleEnvironmentsRequest {
            project: cell.project(), before: Some(a_month_ago(cell.server)), validate_only: YES, ..Default::default()
        }),
        operation!(delete_review_environments "", environments, cell => pb::DeleteReviewEnvironmentsRequest {
            project: cell.project(), validate_only: YES, ..Default::default()
        }),
        operation!(update_project "name", directory, cell => pb::UpdateProjectRequest {
            project: cell.project(), name: Some("new".into()), validate_only: YES, ..Default::default()
        }),
        operation!(update_project "visibility", directory, cell => pb::UpdateProjectRequest {
            project: cell.project(), visibility: Some(cell.place.other_visibility()), validate_only: YES,
            ..Default::default()
        }),
        operation!(update_project "archived", directory, cell => pb::UpdateProjectRequest {
            project: cell.project(), archived: Some(!cell.place.archived), validate_only: YES, ..Default::default()
        }),
        operation!(update_project "upsert of this", directory, cell => pb::UpdateProjectRequest {
            project: cell.project(), name: Some("new".into()), allow_missing: true, validate_only: YES,
            ..Default::default()
        }),
        operation!(delete_project "", directory, cell => pb::DeleteProjectRequest {
            project: cell.project(), validate_only: YES, ..Default::default()
        }),
    ];
    operations.extend(gate_operations());
    operations.extend(merge_request_operations());
    operations.extend(job_operations());
    operations.extend(repository_operations());
    operations.extend(container_operations());
    operations
}

/// What is about the repository of a project; it has none.
fn repository_operations() -> Vec<Operation> {
    vec![
        operation!(attach_repository "", repositories, cell => pb::AttachRepositoryRequest {
            project: cell.project(), path: "web.git".into(), validate_only: YES, ..Default::default()
        }),
        operation!(get_repository "", repositories, cell => pb::GetRepositoryRequest { project: cell.project() }),
        operation!(detach_repository "", repositories, cell => pb::DetachRepositoryRequest {
            project: cell.project(), validate_only: YES, ..Default::default()
        }),
        operation!(get_deployment_changes "", deployments, cell => pb::GetDeploymentChangesRequest {
            project: cell.project(), deployment_id: cell.place.deployments.created, ..Default::default()
        }),
    ]
}

/// What is about the merge requests of a project.
fn merge_request_operations() -> Vec<Operation> {
    vec![
        operation!(upsert_merge_request "", merge_requests, cell => pb::UpsertMergeRequestRequest {
            project: cell.project(), iid: 1, merge_request: Some(merge_request()), validate_only: YES,
            ..Default::default()
        }),
        operation!(get_merge_request "", merge_requests, cell => pb::GetMergeRequestRequest {
            project: cell.project(), iid: 1
        }),
        operation!(list_merge_requests "", merge_requests, cell => pb::ListMergeRequestsRequest {
            project: cell.project(), ..Default::default()
        }),
        operation!(list_deployment_merge_requests "", merge_requests, cell => pb::ListDeploymentMergeRequestsRequest {
            project: cell.project(), deployment_id: cell.place.deployments.created, ..Default::default()
        }),
        operation!(list_deployments_of_merge_request "", merge_requests,
        cell => pb::ListDeploymentsOfMergeRequestRequest {
            project: cell.project(), iid: 1, ..Default::default()
        }),
        operation!(delete_merge_request "", merge_requests, cell => pb::DeleteMergeRequestRequest {
            project: cell.project(), iid: 1, validate_only: YES, ..Default::default()
        }),
    ]
}

/// What is about the jobs of a project.
fn job_operations() -> Vec<Operation> {
    vec![
        operation!(create_deployment "with a job", deployments, cell => pb::CreateDeploymentRequest {
            project: cell.project(), validate_only: YES, ..announcing(0, "jobs", draft(1, pb::JobStatus::Pending))
        }),
        operation!(update_deployment_status "with a job", deployments, cell => pb::UpdateDeploymentStatusRequest {
            project: cell.project(), deployment_id: cell.place.deployments.driven,
            status: pb::DeploymentStatus::Failed.into(), validate_only: YES, ..Default::default()
        }),
        operation!(report_job "", jobs, cell => pb::ReportJobRequest {
            validate_only: YES, ..cell.report(JOB)
        }),
        operation!(get_job "", jobs, cell => pb::GetJobRequest { project: cell.project(), job_id: JOB }),
        operation!(create_job_token "", jobs, cell => pb::CreateJobTokenRequest {
            project: cell.project(), job_id: JOB
        }),
    ]
}

/// The least that a report of a new merge request takes.
fn merge_request() -> pb::MergeRequestReport {
    pb::MergeRequestReport {
        title: "Fix it".into(),
        state: pb::MergeRequestState::Opened.into(),
        target_branch: "main".into(),
        source_branch: "fix".into(),
        ..Default::default()
    }
}

/// What is about the gate of a project, and about what the protection of an environment takes away.
fn gate_operations() -> Vec<Operation> {
    vec![
        operation!(submit_approval "approve", approvals, cell => pb::SubmitApprovalRequest {
            project: cell.project(), deployment_id: cell.place.deployments.blocked,
            status: pb::ApprovalStatus::Approved.into(), validate_only: YES, ..Default::default()
        }),
        operation!(submit_approval "reject", approvals, cell => pb::SubmitApprovalRequest {
            project: cell.project(), deployment_id: cell.place.deployments.blocked,
            status: pb::ApprovalStatus::Rejected.into(), validate_only: YES, ..Default::default()
        }),
        operation!(get_approval_state "", approvals, cell => pb::GetApprovalStateRequest {
            project: cell.project(), deployment_id: cell.place.deployments.blocked
        }),
        operation!(list_eligible_approvers "", approvals, cell => pb::ListEligibleApproversRequest {
            project: cell.project(), deployment_id: cell.place.deployments.blocked, ..Default::default()
        }),
        operation!(explain_deployment "", approvals, cell => pb::ExplainDeploymentRequest {
            project: cell.project(), deployment_id: cell.place.deployments.blocked
        }),
        operation!(list_pending_decisions "has it", approvals, _cell => pb::ListPendingDecisionsRequest {
            page_size: 100, ..Default::default()
        }, answer => {
            let blocked = Some(_cell.place.deployments.blocked);
            let has = |decision: &pb::PendingDecision| decision.deployment.as_ref().map(|it| it.id) == blocked;
            if answer.pending_decisions.iter().any(has) { "ok" } else { "unlisted" }
        }),
        operation!(create_deployment "guarded", deployments, cell => pb::CreateDeploymentRequest {
            project: cell.project(), environment: "guarded".into(), sha: SHA.into(), r#ref: "main".into(),
            status: pb::DeploymentStatus::Success.into(), validate_only: YES, ..Default::default()
        }),
        operation!(report_job "guarded", jobs, cell => pb::ReportJobRequest {
            validate_only: YES, ..cell.report(GUARDED_JOB)
        }),
        operation!(update_deployment_status "start guarded", deployments, cell => pb::UpdateDeploymentStatusRequest {
            project: cell.project(), deployment_id: cell.place.deployments.blocked,
            status: pb::DeploymentStatus::Running.into(), validate_only: YES, ..Default::default()
        }),
        operation!(update_deployment_status "cancel guarded", deployments, cell => pb::UpdateDeploymentStatusRequest {
            project: cell.project(), deployment_id: cell.place.deployments.blocked,
            status: pb::DeploymentStatus::Canceled.into(), validate_only: YES, ..Default::default()
        }),
        operation!(delete_deployment "guarded", deployments, cell => pb::DeleteDeploymentRequest {
            project: cell.project(), deployment_id: cell.place.deployments.blocked, validate_only: YES,
            ..Default::default()
        }),
        operation!(update_environment "guarded", environments, cell => pb::UpdateEnvironmentRequest {
            project: cell.project(), environment: Cell::environment("guarded"), description: Some("new".into()),
            validate_only: YES, ..Default::default()
        }),
        operation!(stop_environment "guarded", environments, cell => pb::StopEnvironmentRequest {
            project: cell.project(), environment: Cell::environment("guarded"), validate_only: YES,
            ..Default::default()
        }),
        operation!(update_project "self-approval", directory, cell => pb::UpdateProjectRequest {
            project: cell.project(), allow_self_approval: Some(true), validate_only: YES, ..Default::default()
        }),
    ]
}

/// What is about a group.
fn group_operations() -> Vec<Operation> {
    let mut operations = vec![
        operation!(get_group "", directory, cell => pb::GetGroupRequest { group: cell.group() }),
        operation!(list_groups "", directory, _cell => pb::ListGroupsRequest { page_size: 100, ..Default::default() },
            answer => if answer.groups.iter().any(|group| group.full_path == _cell.place.path) { "ok" } else { "unlisted" }),
        operation!(list_groups "in it", directory, cell => pb::ListGroupsRequest {
            parent: cell.group(), ..Default::default()
        }),
        operation!(list_projects "in it", directory, cell => pb::ListProjectsRequest {
            group: cell.group(), ..Default::default()
        }),
        operation!(create_project "", directory, cell => pb::CreateProjectRequest {
            group: cell.group(), path: "new".into(), validate_only: YES, ..Default::default()
        }),
        operation!(update_project "upsert", directory, cell => pb::UpdateProjectRequest {
            project: Some(project_at(&format!("{}/new", cell.place.path))), allow_missing: true, validate_only: YES,
            ..Default::default()
        }),
        operation!(create_group "", directory, cell => pb::CreateGroupRequest {
            parent: cell.group(), path: "new".into(), validate_only: YES, ..Default::default()
        }),
        operation!(update_group "upsert below", directory, cell => pb::UpdateGroupRequest {
            group: Some(group_at(&format!("{}/new", cell.place.path))), allow_missing: true, validate_only: YES,
            ..Default::default()
        }),
        operation!(update_group "", directory, cell => pb::UpdateGroupRequest {
            group: cell.group(), name: Some("new".into()), validate_only: YES, ..Default::default()
        }),
        operation!(delete_group "", directory, cell => pb::DeleteGroupRequest {
            group: cell.group(), validate_only: YES, ..Default::default()
        }),
    ];
    operations.extend(container_operations());
    operations
}

fn maintainers() -> pb::ProtectionEntry {
    pb::ProtectionEntry {
        access_level: Some(40),
        ..Default::default()
    }
}

/// Protections, members and shares, of a project or a group.
fn container_operations() -> Vec<Operation> {
    vec![
        operation!(list_protected_environments "", protections, cell => pb::ListProtectedEnvironmentsRequest {
            container: cell.container(), ..Default::default()
        }),
        operation!(get_protected_environment "", protections, cell => pb::GetProtectedEnvironmentRequest {
            container: cell.container(), name: cell.place.protected[0].into()
        }),
        operation!(protect_environment "", protections, cell => pb::ProtectEnvironmentRequest {
            container: cell.container(), name: cell.place.protected[1].into(),
            deploy_access_levels: vec![maintainers()], validate_only: YES, ..Default::default()
        }),
        operation!(update_protected_environment "", protections, cell => pb::UpdateProtectedEnvironmentRequest {
            container: cell.container(), name: cell.place.protected[0].into(), required_approval_count: Some(5),
            validate_only: YES, ..Default::default()
        }),
        operation!(unprotect_environment "", protections, cell => pb::UnprotectEnvironmentRequest {
            container: cell.container(), name: cell.place.protected[0].into(), validate_only: YES,
            ..Default::default()
        }),
        operation!(list_memberships "", directory, cell => pb::ListMembershipsRequest {
            container: cell.container(), ..Default::default()
        }),
        operation!(get_membership "", directory, cell => pb::GetMembershipRequest {
            container: cell.container(), user: Some(user_named("guest"))
        }),
        operation!(create_membership "as a guest", directory, cell => pb::CreateMembershipRequest {
            container: cell.container(), user: Some(user_named("victim")), access_level: AccessLevel::Guest.into(),
            validate_only: YES, ..Default::default()
        }),
        operation!(create_membership "as an owner", directory, cell => pb::CreateMembershipRequest {
            container: cell.container(), user: Some(user_named("victim")), access_level: AccessLevel::Owner.into(),
            validate_only: YES, ..Default::default()
        }),
        operation!(update_membership "guest to owner", directory, cell => pb::UpdateMembershipRequest {
            container: cell.container(), user: Some(user_named("guest")), access_level: AccessLevel::Owner.into(),
            validate_only: YES, ..Default::default()
        }),
        operation!(update_membership "owner to guest", directory, cell => pb::UpdateMembershipRequest {
            container: cell.container(), user: Some(user_named("owner")), access_level: AccessLevel::Guest.into(),
            validate_only: YES, ..Default::default()
        }),
        operation!(update_membership "upsert", directory, cell => pb::UpdateMembershipRequest {
            container: cell.container(), user: Some(user_named("victim")), access_level: AccessLevel::Guest.into(),
            allow_missing: true, validate_only: YES, ..Default::default()
        }),
        operation!(delete_membership "of the guest", directory, cell => pb::DeleteMembershipRequest {
            container: cell.container(), user: Some(user_named("guest")), validate_only: YES, ..Default::default()
        }),
        operation!(delete_membership "of the owner", directory, cell => pb::DeleteMembershipRequest {
            container: cell.container(), user: Some(user_named("owner")), validate_only: YES, ..Default::default()
        }),
        operation!(delete_membership "own", directory, cell => pb::DeleteMembershipRequest {
            container: cell.container(), user: Some(user_named(&cell.role.username)), validate_only: YES,
            ..Default::default()
        }),
        operation!(list_group_shares "", directory, cell => pb::ListGroupSharesRequest {
            container: cell.container(), ..Default::default()
        }),
        operation!(get_group_share "", directory, cell => pb::GetGroupShareRequest {
            container: cell.container(), group: Some(group_at("friends"))
        }),
        operation!(create_group_share "as guests", directory, cell => pb::CreateGroupShareRequest {
            container: cell.container(), group: Some(group_at("open")), access_level: AccessLevel::Guest.into(),
            validate_only: YES, ..Default::default()
        }),
        operation!(create_group_share "as owners", directory, cell => pb::CreateGroupShareRequest {
            container: cell.container(), group: Some(group_at("open")), access_level: AccessLevel::Owner.into(),
            validate_only: YES, ..Default::default()
        }),
        operation!(create_group_share "of a hidden group", directory, cell => pb::CreateGroupShareRequest {
            container: cell.container(), group: Some(group_at("hidden")), access_level: AccessLevel::Guest.into(),
            validate_only: YES, ..Default::default()
        }),
        operation!(update_group_share "", directory, cell => pb::UpdateGroupShareRequest {
            container: cell.container(), group: Some(group_at("friends")), access_level: AccessLevel::Guest.into(),
            validate_only: YES, ..Default::default()
        }),
        operation!(update_group_share "upsert", directory, cell => pb::UpdateGroupShareRequest {
            container: cell.container(), group: Some(group_at("open")), access_level: AccessLevel::Guest.into(),
            allow_missing: true, validate_only: YES, ..Default::default()
        }),
        operation!(delete_group_share "", directory, cell => pb::DeleteGroupShareRequest {
            container: cell.container(), group: Some(group_at("friends")), validate_only: YES, ..Default::default()
        }),
    ]
}

fn a_month_ago(server: &TestServer) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: server.app.now().timestamp() - 30 * 86_400,
        nanos: 0,
    }
}

/// The columns whose level is given directly.
const DIRECT: [(&str, AccessLevel); 6] = [
    ("guest", AccessLevel::Guest),
    ("planner", AccessLevel::Planner),
    ("reporter", AccessLevel::Reporter),
    ("developer", AccessLevel::Developer),
    ("maintainer", AccessLevel::Maintainer),
    ("owner", AccessLevel::Owner),
];

/// The columns whose level comes from the group above.
const INHERITED: [(&str, AccessLevel); 2] = [
    ("inh-maint", AccessLevel::Maintainer),
    ("inh-owner", AccessLevel::Owner),
];

/// Everybody, with a token each, and three more groups: `friends`, whom everything is shared with as developers and where
/// one is a maintainer, `open`, which everybody sees, and `hidden`.
async fn everybody(server: &TestServer) -> Vec<Role> {
    let mut roles = Vec::new();
    let names = ["stranger", "external", "minimal"]
        .into_iter()
        .chain(DIRECT.iter().chain(&INHERITED).map(|&(name, _)| name))
        .chain(["shared-dev"]);
    for name in names {
        let (_, token) = server.user(name).await;
        roles.push(role(server, name, name, token).await);
    }
    let external = pb::UpdateUserRequest {
        user: Some(user_named("external")),
        external: Some(true),
        ..Default::default()
    };
    server
        .directory(&server.root)
        .update_user(external)
        .await
        .unwrap();
    roles.push(role(server, "admin", "root", server.root.clone()).await);
    let reading = pb::CreateTokenRequest {
        name: "reading".into(),
        scopes: vec![TokenScope::ReadApi.into()],
        ..Default::default()
    };
    let reading = server
        .tokens(&server.root)
        .create_token(reading)
        .await
        .unwrap()
        .into_inner();
    roles.push(role(server, "ro-admin", "root", reading.secret).await);
    server.group("friends").await;
    server
        .member(in_group("friends"), "shared-dev", AccessLevel::Maintainer)
        .await;
    server.group("hidden").await;
    server.group("open").await;
    see(server, "open", Visibility::Public).await;
    roles
}

async fn role(server: &TestServer, name: &'static str, username: &str, token: String) -> Role {
    let answer = server
        .tokens(&token)
        .who_am_i(pb::WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    Role {
        name,
        username: username.to_owned(),
        token,
        token_id: answer.token.unwrap().id,
    }
}

/// Sets who sees a group.
async fn see(server: &TestServer, group: &str, visibility: Visibility) {
    let request = pb::UpdateGroupRequest {
        group: Some(group_at(group)),
        visibility: Some(visibility.into()),
        ..Default::default()
    };
    server
        .directory(&server.root)
        .update_group(request)
        .await
        .unwrap();
}

/// Gives everybody their level in `container`, whose group above is `above`.
async fn populate(server: &TestServer, container: &pb::ContainerRef, above: &str, minimal: pb::ContainerRef) {
    for (name, level) in DIRECT {
        server.member(container.clone(), name, level).await;
    }
    for (name, level) in INHERITED {
        server.member(in_group(above), name, level).await;
    }
    server.member(minimal, "minimal", AccessLevel::Minimal).await;
    let share = pb::CreateGroupShareRequest {
        container: Some(container.clone()),
        group: Some(group_at("friends")),
        access_level: AccessLevel::Developer.into(),
        ..Default::default()
    };
    server
        .directory(&server.root)
        .create_group_share(share)
        .await
        .unwrap();
}

/// Lets only Maintainers deploy, and has these approve.
async fn protect(
    server: &TestServer,
    container: &pb::ContainerRef,
    name: &str,
    approval_rules: Vec<pb::ProtectionEntry>,
) {
    let request = pb::ProtectEnvironmentRequest {
        container: Some(container.clone()),
        name: name.into(),
        deploy_access_levels: vec![maintainers()],
        approval_rules,
        ..Default::default()
    };
    server
        .protections(&server.root)
        .protect_environment(request)
        .await
        .unwrap();
}

/// A group `<name>-above/group` with everybody in it.
async fn group_place(server: &TestServer, name: &str, visibility: Visibility) -> Place {
    let above = format!("g-{name}");
    let path = format!("{above}/group");
    server.group(&above).await;
    server.group(&path).await;
    see(server, &path, visibility).await;
    let container = in_group(&path);
    populate(server, &container, &above, container.clone()).await;
    protect(server, &container, "production", Vec::new()).await;
    Place {
        path,
        container,
        deployments: Deployments::default(),
        protected: ["production", "staging"],
        visibility,
        archived: false,
    }
}

/// A project `<name>/web` with everybody in it, three deployments and a stopped environment.
async fn project_place(server: &TestServer, name: &str, visibility: Visibility) -> Place {
    let above = format!("p-{name}");
    let path = format!("{above}/web");
    server.group(&above).await;
    see(server, &above, visibility).await;
    server.project(&path, visibility).await;
    let container = in_project(&path);
    populate(server, &container, &above, in_group(&above)).await;
    let root = &server.root;
    let record = async |environment: &str, git_ref: &str, status: pb::DeploymentStatus| {
        let request = pb::CreateDeploymentRequest {
            project: Some(project_at(&path)),
            environment: environment.into(),
            sha: SHA.into(),
            r#ref: git_ref.into(),
            status: status.into(),
            ..Default::default()
        };
        let answer = server.deployments(root).create_deployment(request).await.unwrap();
        answer.into_inner().deployment.unwrap().id
    };
    let superseded = record("production", "v1", pb::DeploymentStatus::Success).await;
    record("production", "v2", pb::DeploymentStatus::Success).await;
    let created = record("production", "v3", pb::DeploymentStatus::Created).await;
    let two_reporters = pb::ProtectionEntry {
        access_level: Some(20),
        required_approvals: Some(2),
        ..Default::default()
    };
    protect(server, &container, "guarded", vec![two_reporters]).await;
    let blocked = record("guarded", "v4", pb::DeploymentStatus::Running).await;
    let report = pb::UpsertMergeRequestRequest {
        project: Some(project_at(&path)),
        iid: 1,
        merge_request: Some(merge_request()),
        ..Default::default()
    };
    server
        .merge_requests(root)
        .upsert_merge_request(report)
        .await
        .unwrap();
    let announce = async |environment: &str, job: i64| {
        let request = pb::CreateDeploymentRequest {
            project: Some(project_at(&path)),
            ..announcing(0, environment, draft(job, pb::JobStatus::Running))
        };
        let answer = server.deployments(root).create_deployment(request).await.unwrap();
        answer.into_inner().deployment.unwrap().id
    };
    let driven = announce("jobs", JOB).await;
    announce("guarded", GUARDED_JOB).await;
    let mut environments = server.environments(root);
    let old = pb::CreateEnvironmentRequest {
        project: Some(project_at(&path)),
        name: "review/old".into(),
        ..Default::default()
    };
    environments.create_environment(old).await.unwrap();
    let stop = pb::StopEnvironmentRequest {
        project: Some(project_at(&path)),
        environment: Cell::environment("review/old"),
        ..Default::default()
    };
    environments.stop_environment(stop).await.unwrap();
    Place {
        path,
        container,
        deployments: Deployments {
            created,
            superseded,
            blocked,
            driven,
        },
        protected: ["guarded", "new"],
        visibility,
        archived: false,
    }
}

async fn archive(server: &TestServer, place: &mut Place) {
    place.archived = true;
    let request = pb::UpdateProjectRequest {
        project: Some(project_at(&place.path)),
        archived: Some(true),
        ..Default::default()
    };
    server
        .directory(&server.root)
        .update_project(request)
        .await
        .unwrap();
}

/// A refusal in few letters; the legend in the file explains them.
fn short(reason: &str) -> String {
    match reason {
        "PERMISSION_DENIED" => "denied",
        "PROJECT_ARCHIVED" => "archived",
        "INSUFFICIENT_SCOPE" => "scope",
        "PROJECT_NOT_FOUND" => "-project",
        "GROUP_NOT_FOUND" => "-group",
        "TOKEN_NOT_FOUND" => "-token",
        "MEMBERSHIP_NOT_FOUND" => "-member",
        "ENVIRONMENT_PROTECTED" => "guarded",
        "INVALID_TRANSITION" => "held",
        "SELF_APPROVAL" => "own",
        "APPROVAL_NOT_PERMITTED" => "no-rule",
        "DEPLOYMENT_HAS_JOB" => "job's",
        other => other,
    }
    .to_owned()
}

const LEGEND: &str = "\
# Who may do what (contract 1.1). Made by tests/it/authz.rs; UPDATE_GOLDEN=1 rewrites it, and then it has to be read.
#
#   ok        done (or checked: mutations only check)
#   unlisted  answered, without the thing in the list
#   denied    PERMISSION_DENIED
#   archived  PROJECT_ARCHIVED
#   scope     INSUFFICIENT_SCOPE
#   -project  PROJECT_NOT_FOUND; likewise -group, -token, -member
#   guarded   ENVIRONMENT_PROTECTED
#   held      INVALID_TRANSITION: it may be done, but the gate holds it
#   own       SELF_APPROVAL
#   no-rule   APPROVAL_NOT_PERMITTED
#   job's     DEPLOYMENT_HAS_JOB
#
# guest to owner are direct members; minimal is so in the group, or in the group above the project; inh-* are members of
# the group above; shared-dev is a Maintainer of a group that is let in as Developers; ro-admin is an administrator whose
# token is for reading.
#
# The environment \"guarded\" is protected: Maintainers deploy, two Reporters approve; what waits there is the
# administrator's. A group protects its production.
";

/// `create_user` as the contract writes it.
fn camel(method: &str) -> String {
    let words = method.split('_');
    words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

async fn every_role_may_do_what_the_matrix_says_and_nothing_else(engine: Engine) {
    let server = TestServer::start(engine).await;
    let roles = everybody(&server).await;
    let (_, victim) = server.user("victim").await;
    let victim_token = role(&server, "victim", "victim", victim).await.token_id;

    let visibility = Visibility::Private;
    let nowhere = Place {
        path: String::new(),
        container: in_group(""),
        deployments: Deployments::default(),
        protected: [""; 2],
        visibility,
        archived: false,
    };
    let mut sections = vec![("INSTANCE".to_owned(), nowhere, instance_operations())];
    for (name, visibility) in [
        ("private", Visibility::Private),
        ("internal", Visibility::Internal),
        ("public", Visibility::Public),
    ] {
        let place = project_place(&server, name, visibility).await;
        sections.push((format!("PROJECT, {name}"), place, project_operations()));
    }
    let mut place = project_place(&server, "archived", Visibility::Public).await;
    archive(&server, &mut place).await;
    sections.push((
        "PROJECT, public, archived".to_owned(),
        place,
        project_operations(),
    ));
    for (name, visibility) in [
        ("private", Visibility::Private),
        ("internal", Visibility::Internal),
        ("public", Visibility::Public),
    ] {
        let place = group_place(&server, name, visibility).await;
        sections.push((format!("GROUP, {name}"), place, group_operations()));
    }

    let mut text = LEGEND.to_owned();
    for (title, place, operations) in &sections {
        let mut heading = format!("{title:<44}");
        for role in &roles {
            let _ = write!(heading, "{:<11}", role.name);
        }
        let _ = write!(text, "\n{}\n", heading.trim_end());
        for operation in operations {
            let name = format!("{} {}", camel(operation.method), operation.variant);
            let mut line = format!("{name:<44}");
            for role in &roles {
                let cell = Cell {
                    server: &server,
                    role,
                    place,
                    victim_token,
                };
                let outcome = match (operation.call)(cell).await {
                    Ok(outcome) => outcome.to_owned(),
                    refused => short(&reason(refused)),
                };
                let _ = write!(line, "{outcome:<11}");
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    compare(&text);
    every_operation_is_named(sections.iter().flat_map(|(_, _, operations)| operations));
}

/// Whoever adds an operation to the contract has to say here who may.
fn every_operation_is_named<'a>(operations: impl Iterator<Item = &'a Operation>) {
    let named: BTreeSet<String> = operations.map(|operation| camel(operation.method)).collect();
    let files = prost_types::FileDescriptorSet::decode(contract::DESCRIPTORS)
        .unwrap()
        .file;
    let services = files
        .into_iter()
        .filter(|file| file.package() == "gatehouse.v1")
        .flat_map(|file| file.service);
    let methods: Vec<String> = services
        .flat_map(|service| service.method)
        .map(|method| method.name().to_owned())
        .collect();
    let contract: BTreeSet<String> = methods.iter().cloned().collect();
    assert_eq!(
        contract.len(),
        methods.len(),
        "two services have a method of the same name"
    );
    assert_eq!(named, contract);
}

fn compare(text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots/authz.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    for (number, (is, was)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(is, was, "line {} of {}", number + 1, file.display());
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}
