//! What the gate refuses: with which code and reason, about which field, with what else a machine may want to know.

use gatehouse::pb::v1::{self as pb, AccessLevel, ApprovalStatus, DeploymentStatus as S, TokenScope};
use prost_types::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    World,
    engine::{Engine, on_both_engines},
    entry::{group, requiring, role, user},
    in_group, in_project, project_id, reason, violations,
};

on_both_engines! {
    a_decision_that_may_not_be_made_says_why
    whom_a_protection_does_not_admit_is_told_what_they_may_not_do_and_where
    a_refused_start_lists_each_hold
    a_bad_protection_is_refused_entry_by_entry
    a_protection_that_is_not_there_or_not_as_read_is_not_changed
    who_asks_for_what_nobody_can_give_is_warned
}

/// Two Maintainers approve here, and Developers deploy.
fn protection(name: &str) -> pb::ProtectEnvironmentRequest {
    pb::ProtectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: name.into(),
        deploy_access_levels: vec![role(30)],
        approval_rules: vec![requiring(2, role(40))],
        ..Default::default()
    }
}

async fn protect(
    world: &World,
    request: pb::ProtectEnvironmentRequest,
) -> Result<pb::ProtectEnvironmentResponse, Status> {
    let mut calls = world.server.protections(&world.server.root);
    calls
        .protect_environment(request)
        .await
        .map(tonic::Response::into_inner)
}

fn update(name: &str) -> pb::UpdateProtectedEnvironmentRequest {
    pb::UpdateProtectedEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: name.into(),
        ..Default::default()
    }
}

fn decision(world: &World, id: i64) -> pb::SubmitApprovalRequest {
    pb::SubmitApprovalRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: id,
        status: ApprovalStatus::Approved.into(),
        ..Default::default()
    }
}

async fn submit(
    world: &World,
    token: &str,
    request: pb::SubmitApprovalRequest,
) -> Result<pb::SubmitApprovalResponse, Status> {
    let mut calls = world.server.approvals(token);
    calls
        .submit_approval(request)
        .await
        .map(tonic::Response::into_inner)
}

fn moved(world: &World, id: i64, status: S) -> pb::UpdateDeploymentStatusRequest {
    pb::UpdateDeploymentStatusRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: id,
        status: status.into(),
        ..Default::default()
    }
}

/// The code, the reason and the metadata of a refusal.
#[track_caller]
fn told<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String, Vec<(String, String)>) {
    let status = answer.unwrap_err();
    let info = status.get_details_error_info().unwrap();
    let mut metadata: Vec<_> = info.metadata.into_iter().collect();
    metadata.sort();
    (status.code(), info.reason, metadata)
}

fn as_told(code: Code, reason: &str, metadata: &[(&str, &str)]) -> (Code, String, Vec<(String, String)>) {
    let owned = metadata
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()));
    (code, reason.to_owned(), owned.collect())
}

async fn a_decision_that_may_not_be_made_says_why(engine: Engine) {
    use Code::{FailedPrecondition, InvalidArgument, NotFound, PermissionDenied};
    let world = World::new(engine).await;
    let free = world.record("free", S::Running).await.id;
    protect(&world, protection("production")).await.unwrap();
    let asking_nothing = pb::ProtectEnvironmentRequest {
        approval_rules: Vec::new(),
        ..protection("quiet")
    };
    protect(&world, asking_nothing).await.unwrap();
    let quiet = world.record("quiet", S::Running).await.id;
    let held = world.record("production", S::Running).await.id;
    let done = world.record("production", S::Success).await.id;
    let (developer, maintainer, reporter) = (&world.developer, &world.maintainer, &world.reporter);
    for (id, token, represented_as, expected) in [
        (
            free,
            developer,
            "",
            as_told(FailedPrecondition, "ENVIRONMENT_NOT_PROTECTED", &[]),
        ),
        (
            quiet,
            developer,
            "",
            as_told(PermissionDenied, "SELF_APPROVAL", &[]),
        ),
        (
            quiet,
            maintainer,
            "",
            as_told(FailedPrecondition, "APPROVALS_NOT_CONFIGURED", &[]),
        ),
        (
            done,
            maintainer,
            "",
            as_told(
                FailedPrecondition,
                "NOT_WAITING_FOR_APPROVALS",
                &[("status", "success")],
            ),
        ),
        (
            held,
            reporter,
            "",
            as_told(PermissionDenied, "APPROVAL_NOT_PERMITTED", &[]),
        ),
        (
            held,
            maintainer,
            "Owners",
            as_told(FailedPrecondition, "NO_RULE_REPRESENTED", &[]),
        ),
        (
            held + 100,
            maintainer,
            "",
            as_told(NotFound, "DEPLOYMENT_NOT_FOUND", &[]),
        ),
        (0, maintainer, "", as_told(NotFound, "DEPLOYMENT_NOT_FOUND", &[])),
        (-1, maintainer, "", as_told(NotFound, "DEPLOYMENT_NOT_FOUND", &[])),
    ] {
        let request = pb::SubmitApprovalRequest {
            represented_as: represented_as.into(),
            ..decision(&world, id)
        };
        assert_eq!(
            told(submit(&world, token, request).await),
            expected,
            "{id} {represented_as}"
        );
    }
    let with = |change: &dyn Fn(&mut pb::SubmitApprovalRequest)| {
        let mut request = decision(&world, held);
        change(&mut request);
        request
    };
    for (request, why, field) in [
        (with(&|it| it.status = 0), "INVALID_ARGUMENT", "status"),
        (with(&|it| it.status = 9), "INVALID_ARGUMENT", "status"),
        (
            with(&|it| it.comment = Some("é".repeat(256))),
            "INVALID_APPROVAL",
            "comment",
        ),
        (
            with(&|it| it.comment = Some("a\0b".into())),
            "INVALID_ARGUMENT",
            "comment",
        ),
        (
            with(&|it| it.represented_as = "a\0b".into()),
            "INVALID_ARGUMENT",
            "represented_as",
        ),
        (with(&|it| it.project = None), "INVALID_ARGUMENT", "project"),
    ] {
        let answer = submit(&world, maintainer, request.clone()).await;
        assert_eq!(told(answer.clone()).0, InvalidArgument, "{request:?}");
        assert_eq!(reason(answer.clone()), why, "{request:?}");
        assert_eq!(violations(answer)[0].0, field, "{request:?}");
    }
    let stale = with(&|it| it.etag = "\"1-99\"".into());
    assert_eq!(told(submit(&world, maintainer, stale).await).1, "ETAG_MISMATCH");
    let reading = world.server.user_with("reader", &[TokenScope::ReadApi]).await.1;
    world
        .server
        .member(in_group("acme"), "reader", AccessLevel::Maintainer)
        .await;
    let refused = submit(&world, &reading, decision(&world, held)).await;
    assert_eq!(reason(refused), "INSUFFICIENT_SCOPE");

    // None of all that was a decision; only to check is none either; and a request is done once.
    let checked = with(&|it| it.validate_only = true);
    let answer = submit(&world, maintainer, checked).await.unwrap();
    assert_eq!(answer.approval_state.unwrap().pending_approval_count, 1);
    let named = with(&|it| {
        it.request_id = "once".into();
        it.comment = Some("é".repeat(255));
    });
    let first = submit(&world, maintainer, named.clone()).await.unwrap();
    assert_eq!(first.approval_state.clone().unwrap().approvals.len(), 1);
    assert_eq!(submit(&world, maintainer, named).await.unwrap(), first);
}

async fn whom_a_protection_does_not_admit_is_told_what_they_may_not_do_and_where(engine: Engine) {
    let world = World::new(engine).await;
    let running = world.record("production", S::Running).await.id;
    let of_maintainers = pb::ProtectEnvironmentRequest {
        deploy_access_levels: vec![role(40)],
        approval_rules: Vec::new(),
        ..protection("production")
    };
    protect(&world, of_maintainers).await.unwrap();
    let project = Some(project_id(world.project.id));
    let environment = Some(pb::EnvironmentRef {
        by: Some(pb::environment_ref::By::Name("production".into())),
    });
    let mut deployments = world.server.deployments(&world.developer);
    let mut environments = world.server.environments(&world.developer);
    let create = deployments
        .create_deployment(world.deployment("production", S::Success))
        .await;
    let advance = deployments
        .update_deployment_status(moved(&world, running, S::Success))
        .await;
    let change = environments
        .update_environment(pb::UpdateEnvironmentRequest {
            project: project.clone(),
            environment: environment.clone(),
            // By another tier the rules of a group would be evaded.
            tier: Some(pb::EnvironmentTier::Other.into()),
            ..Default::default()
        })
        .await;
    let stop = environments
        .stop_environment(pb::StopEnvironmentRequest {
            project: project.clone(),
            environment: environment.clone(),
            force: true,
            ..Default::default()
        })
        .await;
    let delete = environments
        .delete_environment(pb::DeleteEnvironmentRequest {
            project,
            environment,
            ..Default::default()
        })
        .await;
    for (answer, action) in [
        (create.map(drop), "create_deployment"),
        (advance.map(drop), "update_deployment"),
        (change.map(drop), "update_environment"),
        (stop.map(drop), "stop_environment"),
        (delete.map(drop), "destroy_environment"),
    ] {
        let metadata = [("action", action), ("environment", "production")];
        let expected = as_told(Code::PermissionDenied, "ENVIRONMENT_PROTECTED", &metadata);
        assert_eq!(told(answer), expected);
    }
    let mut deployments = world.server.deployments(&world.maintainer);
    deployments
        .update_deployment_status(moved(&world, running, S::Success))
        .await
        .unwrap();
}

async fn a_refused_start_lists_each_hold(engine: Engine) {
    let world = World::new(engine).await;
    protect(&world, protection("production")).await.unwrap();
    let of_group = pb::ProtectEnvironmentRequest {
        container: Some(in_group("acme")),
        approval_rules: vec![role(60)],
        ..protection("production")
    };
    let of_group = protect(&world, of_group).await.unwrap();
    world
        .server
        .member(in_group("acme"), "dora", AccessLevel::Developer)
        .await;
    // What the group asks for, the administrator can give.
    assert_eq!(of_group.warnings, []);
    let held = world.record("production", S::Running).await.id;
    for (status, event) in [(S::Running, "run"), (S::Success, "succeed")] {
        let mut deployments = world.server.deployments(&world.developer);
        let refused = deployments
            .update_deployment_status(moved(&world, held, status))
            .await
            .unwrap_err();
        let told = told(Err::<(), _>(refused.clone()));
        assert_eq!(
            (told.0, told.1.as_str()),
            (Code::FailedPrecondition, "INVALID_TRANSITION")
        );
        assert!(
            told.2.contains(&("event".to_owned(), event.to_owned())),
            "{told:?}"
        );
        assert!(
            told.2.contains(&("from".to_owned(), "blocked".to_owned())),
            "{told:?}"
        );
        let holds: Vec<_> = refused
            .get_details_precondition_failure()
            .unwrap()
            .violations
            .into_iter()
            .map(|hold| (hold.r#type, hold.subject, hold.description))
            .collect();
        let hold = |id: i64, text: &str| {
            let subject = format!("approval_rules/{id}");
            ("APPROVALS_MISSING".to_owned(), subject, text.to_owned())
        };
        assert_eq!(
            holds,
            [
                hold(1, "2 more approvals of Maintainers required"),
                hold(2, "1 more approval of administrators required"),
            ]
        );
    }
}

async fn a_bad_protection_is_refused_entry_by_entry(engine: Engine) {
    let world = World::new(engine).await;
    let (outsider, _) = world.server.user("outsider").await;
    let other = world.server.group("other").await.id;
    let ruled = |rules: Vec<pb::ProtectionEntry>| pb::ProtectEnvironmentRequest {
        approval_rules: rules,
        ..protection("new")
    };
    let admitting = |levels: Vec<pb::ProtectionEntry>| pb::ProtectEnvironmentRequest {
        deploy_access_levels: levels,
        ..protection("new")
    };
    let one = "exactly one of access_level, group_id, user_id must be present";
    let range = "required_approvals must be between 1 and 5";
    let long = "is too long (maximum is 100 entries)";
    let two = pb::ProtectionEntry {
        group_id: Some(other),
        ..role(40)
    };
    for (request, fields) in [
        (
            admitting(vec![]),
            vec![(
                "deploy_access_levels",
                "is too short (minimum is 1 character)".to_owned(),
            )],
        ),
        (
            admitting(vec![role(40), user(outsider)]),
            vec![(
                "deploy_access_levels[1]",
                format!("user {outsider} has no Developer access to this project"),
            )],
        ),
        (
            ruled(vec![group(other), user(999)]),
            vec![
                (
                    "approval_rules[0]",
                    format!("group {other} is not invited to this project"),
                ),
                (
                    "approval_rules[1]",
                    "user 999 has no Developer access to this project".to_owned(),
                ),
            ],
        ),
        (
            ruled(vec![pb::ProtectionEntry::default()]),
            vec![("approval_rules[0]", one.to_owned())],
        ),
        (ruled(vec![two]), vec![("approval_rules[0]", one.to_owned())]),
        (
            ruled(vec![
                requiring(0, role(40)),
                requiring(6, role(40)),
                requiring(-1, role(40)),
            ]),
            vec![
                ("approval_rules[0]", range.to_owned()),
                ("approval_rules[1]", range.to_owned()),
                ("approval_rules[2]", range.to_owned()),
            ],
        ),
        (
            ruled(vec![role(50)]),
            vec![(
                "approval_rules[0]",
                "access_level 50 is not one of 20, 30, 40, 60".to_owned(),
            )],
        ),
        (
            ruled(vec![role(40); 101]),
            vec![("approval_rules", long.to_owned())],
        ),
        (
            ruled(vec![role(40); 500]),
            vec![("approval_rules", long.to_owned())],
        ),
        // More than a statement takes, and all of them unknown.
        (
            ruled((1000..50_000).map(user).collect()),
            vec![("approval_rules", long.to_owned())],
        ),
    ] {
        let answer = protect(&world, request).await;
        assert_eq!(
            told(answer.clone()),
            as_told(Code::InvalidArgument, "INVALID_PROTECTION", &[])
        );
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(field, text)| (field.to_owned(), text))
            .collect();
        assert_eq!(violations(answer), fields);
    }
    let with = |change: &dyn Fn(&mut pb::ProtectEnvironmentRequest)| {
        let mut request = protection("new");
        change(&mut request);
        request
    };
    for (request, why, field) in [
        (with(&|it| it.container = None), "INVALID_ARGUMENT", "container"),
        (with(&|it| it.name.clear()), "INVALID_PROTECTION", "name"),
        (
            with(&|it| it.name = "x".repeat(256)),
            "INVALID_PROTECTION",
            "name",
        ),
        (with(&|it| it.name = "a\0b".into()), "INVALID_ARGUMENT", "name"),
        (
            with(&|it| it.container = Some(in_group("acme"))),
            "INVALID_PROTECTION",
            "name",
        ),
        (
            with(&|it| it.required_approval_count = 6),
            "INVALID_PROTECTION",
            "required_approval_count",
        ),
        (
            with(&|it| it.required_approval_count = i32::MIN),
            "INVALID_PROTECTION",
            "required_approval_count",
        ),
        (
            with(&|it| it.approval_rules[0].group_inheritance = Some(9)),
            "INVALID_ARGUMENT",
            "approval_rules[0].group_inheritance",
        ),
    ] {
        let answer = protect(&world, request).await;
        assert_eq!(reason(answer.clone()), why, "{field}");
        assert_eq!(violations(answer)[0].0, field);
    }
    // Nothing of all that is kept.
    let mut calls = world.server.protections(&world.server.root);
    let list = pb::ListProtectedEnvironmentsRequest {
        container: Some(in_project("acme/web")),
        ..Default::default()
    };
    assert_eq!(
        calls
            .list_protected_environments(list)
            .await
            .unwrap()
            .into_inner()
            .protected_environments,
        []
    );
}

async fn a_protection_that_is_not_there_or_not_as_read_is_not_changed(engine: Engine) {
    let world = World::new(engine).await;
    let made = protect(&world, protection("production")).await.unwrap();
    let made = made.protected_environment.unwrap();
    let again = told(protect(&world, protection("production")).await);
    let metadata = [("name", "production"), ("resource", "protected_environment")];
    assert_eq!(again, as_told(Code::AlreadyExists, "ALREADY_EXISTS", &metadata));
    let mut calls = world.server.protections(&world.maintainer);
    let missing = as_told(Code::NotFound, "PROTECTED_ENVIRONMENT_NOT_FOUND", &[]);
    let unprotect = |name: &str| pb::UnprotectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: name.into(),
        ..Default::default()
    };
    for name in ["Production", "prod", "", &"x".repeat(300)] {
        let get = pb::GetProtectedEnvironmentRequest {
            container: Some(in_project("acme/web")),
            name: name.into(),
        };
        assert_eq!(
            told(calls.get_protected_environment(get).await),
            missing,
            "{name}"
        );
        assert_eq!(
            told(calls.update_protected_environment(update(name)).await),
            missing,
            "{name}"
        );
        assert_eq!(
            told(calls.unprotect_environment(unprotect(name)).await),
            missing,
            "{name}"
        );
    }
    let unknown = pb::ProtectionEntry { id: 99, ..role(40) };
    let request = pb::UpdateProtectedEnvironmentRequest {
        approval_rules: vec![unknown],
        ..update("production")
    };
    let expected = as_told(
        Code::NotFound,
        "PROTECTED_ENVIRONMENT_NOT_FOUND",
        &[("entry", "99")],
    );
    assert_eq!(told(calls.update_protected_environment(request).await), expected);
    let stale = pb::UpdateProtectedEnvironmentRequest {
        etag: "\"1-9\"".into(),
        ..update("production")
    };
    assert_eq!(
        told(calls.update_protected_environment(stale).await).0,
        Code::Aborted
    );
    let stale = pb::UnprotectEnvironmentRequest {
        etag: "\"1-9\"".into(),
        ..unprotect("production")
    };
    assert_eq!(told(calls.unprotect_environment(stale).await).1, "ETAG_MISMATCH");
    let earlier = pb::UnprotectEnvironmentRequest {
        unmodified_since: Some(Timestamp {
            seconds: made.updated_at.unwrap().seconds - 1,
            nanos: 0,
        }),
        ..unprotect("production")
    };
    let expected = as_told(Code::FailedPrecondition, "MODIFIED_SINCE", &[]);
    assert_eq!(told(calls.unprotect_environment(earlier).await), expected);
    let last_level = pb::UpdateProtectedEnvironmentRequest {
        deploy_access_levels: vec![pb::ProtectionEntry {
            id: made.deploy_access_levels[0].id,
            destroy: true,
            ..Default::default()
        }],
        ..update("production")
    };
    let refused = calls.update_protected_environment(last_level).await;
    let short = "is too short (minimum is 1 character)".to_owned();
    assert_eq!(violations(refused), [("deploy_access_levels".to_owned(), short)]);
    // As it was through all that.
    let same = calls
        .update_protected_environment(update("production"))
        .await
        .unwrap();
    assert_eq!(same.into_inner().protected_environment, Some(made));
}

async fn who_asks_for_what_nobody_can_give_is_warned(engine: Engine) {
    let world = World::new(engine).await;
    let answer = protect(&world, protection("production")).await.unwrap();
    assert_eq!(answer.warnings, [], "a Maintainer and the administrator");
    let three = pb::UpdateProtectedEnvironmentRequest {
        approval_rules: vec![pb::ProtectionEntry {
            id: answer.protected_environment.unwrap().approval_rules[0].id,
            required_approvals: Some(3),
            ..Default::default()
        }],
        ..update("production")
    };
    let mut calls = world.server.protections(&world.maintainer);
    let answer = calls
        .update_protected_environment(three)
        .await
        .unwrap()
        .into_inner();
    let rule = answer.protected_environment.unwrap().approval_rules[0].clone();
    let [warning] = &answer.warnings[..] else {
        panic!("{:?}", answer.warnings)
    };
    assert_eq!(
        (warning.approval_rule.as_ref(), warning.missing),
        (Some(&rule), 1)
    );
    assert!(!warning.message.is_empty());
}
