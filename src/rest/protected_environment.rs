//! `/projects/:id/protected_environments` and `/groups/:id/protected_environments` (contract 2.10).

use http::StatusCode;

use super::{
    call::Call,
    error::Failure,
    input::Input,
    page::{Page, Paging},
    reply,
    route::Answer,
    view::protection::ProtectedEnvironment,
};
use crate::pb::v1::{
    ContainerRef, GetProtectedEnvironmentRequest, GroupInheritance, ListProtectedEnvironmentsRequest,
    ProtectEnvironmentRequest, ProtectionEntry, UnprotectEnvironmentRequest,
    UpdateProtectedEnvironmentRequest, container_ref::Of,
    protected_environment_service_client::ProtectedEnvironmentServiceClient as Client,
};

/// The access levels that entries may name.
const ACCESS_LEVELS: [i64; 4] = [20, 30, 40, 60];
const DEPLOY_ACCESS_LEVELS: &str = "deploy_access_levels";
const APPROVAL_RULES: &str = "approval_rules";
/// Approvals that a rule requires if it does not say so, also when it is changed (contract 2.10, the trap).
const REQUIRED_APPROVALS: i64 = 1;

/// Whose protected environments a path is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Level {
    /// A project's.
    Project,
    /// A group's.
    Group,
}

impl Level {
    fn container(self, call: &Call) -> ContainerRef {
        ContainerRef {
            of: Some(match self {
                Self::Project => Of::Project(call.project()),
                Self::Group => Of::Group(call.group()),
            }),
        }
    }
}

/// Lists protected environments by name.
pub(super) async fn list(level: Level, call: Call) -> Answer {
    let mut input = call.input();
    let paging = Paging::numbered(&mut input);
    input.finish()?;

    let request = ListProtectedEnvironmentsRequest {
        container: Some(level.container(&call)),
        page_size: paging.page_size(),
        page_token: paging.page_token(),
        skip: paging.skip(),
        want_total: paging.want_total(),
    };
    let found = Client::new(call.channel())
        .list_protected_environments(call.request(request))
        .await?
        .into_inner();
    let page = Page {
        rows: found
            .protected_environments
            .into_iter()
            .map(ProtectedEnvironment::from)
            .collect(),
        next_page_token: found.next_page_token,
        total_size: found.total_size,
    };
    paging.reply(&call, &[], &page)
}

/// Shows a protected environment.
pub(super) async fn get(level: Level, call: Call) -> Answer {
    let request = GetProtectedEnvironmentRequest {
        container: Some(level.container(&call)),
        name: call.segments.get("name").to_owned(),
    };
    let found = Client::new(call.channel())
        .get_protected_environment(call.request(request))
        .await?
        .into_inner();
    let view = ProtectedEnvironment::from(reply::complete(found.protected_environment)?);
    reply::json(StatusCode::OK, &view)
}

/// Protects an environment.
pub(super) async fn protect(level: Level, call: Call) -> Answer {
    let mut input = call.input();
    let name = input.required_text("name");
    if !input.mentions(DEPLOY_ACCESS_LEVELS) {
        input.refuse(format!("{DEPLOY_ACCESS_LEVELS} is missing"));
    }
    let request = ProtectEnvironmentRequest {
        container: Some(level.container(&call)),
        name: name.clone(),
        deploy_access_levels: input.elements(DEPLOY_ACCESS_LEVELS, entry),
        approval_rules: input.elements(APPROVAL_RULES, approval_rule),
        required_approval_count: number(input.integer("required_approval_count")).unwrap_or_default(),
        ..Default::default()
    };
    input.finish()?;

    let made = Client::new(call.channel())
        .protect_environment(call.request(request))
        .await
        .map_err(|status| Failure::of_protect(&status, &name))?
        .into_inner();
    let view = ProtectedEnvironment::from(reply::complete(made.protected_environment)?);
    reply::json(StatusCode::CREATED, &view)
}

/// Changes the entries that are mentioned. A name is not looked at: the path has it.
pub(super) async fn update(level: Level, call: Call) -> Answer {
    let mut input = call.input();
    let request = UpdateProtectedEnvironmentRequest {
        container: Some(level.container(&call)),
        name: call.segments.get("name").to_owned(),
        deploy_access_levels: input.elements(DEPLOY_ACCESS_LEVELS, entry),
        approval_rules: input.elements(APPROVAL_RULES, approval_rule),
        required_approval_count: number(input.integer("required_approval_count")),
        ..Default::default()
    };
    input.finish()?;

    let made = Client::new(call.channel())
        .update_protected_environment(call.request(request))
        .await?
        .into_inner();
    let view = ProtectedEnvironment::from(reply::complete(made.protected_environment)?);
    reply::json(StatusCode::OK, &view)
}

/// Takes a protection away.
pub(super) async fn unprotect(level: Level, call: Call) -> Answer {
    let request = UnprotectEnvironmentRequest {
        container: Some(level.container(&call)),
        name: call.segments.get("name").to_owned(),
        unmodified_since: call.unmodified_since(),
        ..Default::default()
    };
    Client::new(call.channel())
        .unprotect_environment(call.request(request))
        .await?;
    Ok(reply::no_content())
}

fn approval_rule(element: &mut Input<'_>) -> ProtectionEntry {
    let entry = entry(element);
    let required = element
        .integer("required_approvals")
        .unwrap_or(REQUIRED_APPROVALS);
    let subjects = ["access_level", "user_id", "group_id"];
    if !entry.destroy && !subjects.iter().any(|subject| element.mentions(subject)) {
        element.refuse(format!(
            "{} are missing, at least one parameter must be provided",
            subjects.map(|subject| element.label(subject)).join(", ")
        ));
    }
    ProtectionEntry {
        required_approvals: number(Some(required)),
        ..entry
    }
}

fn entry(element: &mut Input<'_>) -> ProtectionEntry {
    ProtectionEntry {
        id: element.integer("id").unwrap_or_default(),
        access_level: number(element.integer_of("access_level", &ACCESS_LEVELS)),
        user_id: element.integer("user_id"),
        group_id: element.integer("group_id"),
        group_inheritance: element
            .integer_of("group_inheritance_type", &[0, 1])
            .map(|number| match number {
                1 => GroupInheritance::Inherited.into(),
                _ => GroupInheritance::Direct.into(),
            }),
        destroy: element.boolean("_destroy").unwrap_or(false),
        required_approvals: None,
    }
}

/// What is out of range for the message is out of range for the server, too.
fn number(value: Option<i64>) -> Option<i32> {
    value.map(|value| i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX }))
}
