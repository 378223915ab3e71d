//! What is wrong with a request is told by reason and field, whatever is sent.

use gatehouse::pb::v1::{self as pb, DeploymentStatus as S, Visibility};
use prost_types::Timestamp;
use tonic::{Code, Response};

use crate::support::{
    SHA, World,
    engine::{Engine, on_both_engines},
    group_at, in_group, project_at, project_id, reason, user_named, violations,
};

on_both_engines! {
    a_bad_deployment_is_refused_with_every_field_that_is_wrong
    what_is_not_of_the_project_is_not_found
    a_bad_list_is_refused_by_its_field
    a_page_token_leads_on_in_its_own_query_and_nowhere_else
    a_bad_environment_is_refused_by_its_field
    a_bad_name_in_the_directory_is_refused_by_its_field
    a_time_that_is_none_is_refused_wherever_it_is_sent
}

/// Neither NUL nor anything else that a terminal or a store would take for a command.
const CONTROL: [&str; 4] = ["a\0b", "a\nb", "a\u{7f}b", "\u{1b}[31m"];

async fn a_bad_deployment_is_refused_with_every_field_that_is_wrong(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.deployments(&world.developer);
    let good = world.deployment("production", S::Created);
    let with = |change: &dyn Fn(&mut pb::CreateDeploymentRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let long = "x".repeat(256);
    let mut table: Vec<(pb::CreateDeploymentRequest, &str, &[&str])> = vec![
        (with(&|r| r.project = None), "INVALID_ARGUMENT", &["project"]),
        (
            with(&|r| r.project = Some(pb::ProjectRef { by: None })),
            "INVALID_ARGUMENT",
            &["project"],
        ),
        (with(&|r| r.status = 0), "INVALID_ARGUMENT", &["status"]),
        (with(&|r| r.status = 99), "INVALID_ARGUMENT", &["status"]),
        (with(&|r| r.status = i32::MIN), "INVALID_ARGUMENT", &["status"]),
        (
            with(&|r| r.set_status(S::Blocked)),
            "INVALID_ARGUMENT",
            &["status"],
        ),
        (
            with(&|r| r.set_status(S::Skipped)),
            "INVALID_ARGUMENT",
            &["status"],
        ),
        (
            with(&|r| r.environment.clear()),
            "INVALID_ARGUMENT",
            &["environment"],
        ),
        (
            with(&|r| r.environment = "a\0b".into()),
            "INVALID_ARGUMENT",
            &["environment"],
        ),
        (
            with(&|r| r.environment = "prod\u{1f680}".into()),
            "INVALID_RESOURCE",
            &["environment.name"],
        ),
        (
            with(&|r| r.environment = "/prod".into()),
            "INVALID_RESOURCE",
            &["environment.name"],
        ),
        (
            with(&|r| r.environment = "x".repeat(256)),
            "INVALID_RESOURCE",
            &["environment.name"],
        ),
        (
            with(&|r| r.request_id = "a b".into()),
            "INVALID_ARGUMENT",
            &["request_id"],
        ),
        (
            with(&|r| r.request_id = "\u{e9}".into()),
            "INVALID_ARGUMENT",
            &["request_id"],
        ),
        (
            with(&|r| r.request_id = "x".repeat(129)),
            "INVALID_ARGUMENT",
            &["request_id"],
        ),
        (
            with(&|r| {
                r.sha.clear();
                r.r#ref.clear();
            }),
            "INVALID_ARGUMENT",
            &["sha", "ref"],
        ),
    ];
    for sha in ["", "abcdef", "main", "xyzxyzxyz", " a91957a85832", "a\091957a858"] {
        table.push((with(&|r| r.sha = sha.into()), "INVALID_ARGUMENT", &["sha"]));
    }
    table.push((with(&|r| r.sha = "a".repeat(65)), "INVALID_ARGUMENT", &["sha"]));
    for git_ref in CONTROL.into_iter().chain(["", " ", long.as_str()]) {
        table.push((with(&|r| r.r#ref = git_ref.into()), "INVALID_ARGUMENT", &["ref"]));
    }
    for (request, why, fields) in table {
        let answer = calls
            .create_deployment(request.clone())
            .await
            .map(Response::into_inner);
        assert_eq!(reason(answer.clone()), why, "{request:?}");
        let named: Vec<String> = violations(answer).into_iter().map(|(field, _)| field).collect();
        assert_eq!(named, fields, "{request:?}");
    }

    // What is refused leaves nothing behind.
    let listed = pb::ListEnvironmentsRequest {
        project: good.project.clone(),
        ..Default::default()
    };
    let environments = world
        .server
        .environments(&world.developer)
        .list_environments(listed)
        .await
        .unwrap();
    assert_eq!(environments.into_inner().environments, []);

    for accepted in [
        with(&|r| r.r#ref = "x".repeat(255)),
        with(&|r| r.r#ref = "\u{1f680}".repeat(255)),
        with(&|r| r.sha = "A".repeat(64)),
        with(&|r| r.environment = "x".repeat(255)),
        with(&|r| r.request_id = "~".repeat(128)),
    ] {
        let told = calls
            .create_deployment(accepted.clone())
            .await
            .unwrap()
            .into_inner()
            .deployment
            .unwrap();
        assert_eq!((told.r#ref, told.sha), (accepted.r#ref, accepted.sha));
        assert_eq!(told.environment.unwrap().name, accepted.environment);
    }
}

async fn what_is_not_of_the_project_is_not_found(engine: Engine) {
    let world = World::new(engine).await;
    let other = world.server.project("acme/other", Visibility::Private).await;
    let foreign = world.record("production", S::Created).await;
    // The administrator sees both, and still each project has only its own.
    let mut calls = world.server.deployments(&world.server.root);
    let mut environments = world.server.environments(&world.server.root);
    let project = Some(project_id(other.id));
    for id in [foreign.id, 0, -1, i64::MAX, i64::MIN] {
        let get = pb::GetDeploymentRequest {
            project: project.clone(),
            deployment_id: id,
        };
        assert_eq!(reason(calls.get_deployment(get).await), "DEPLOYMENT_NOT_FOUND");
        let update = pb::UpdateDeploymentStatusRequest {
            project: project.clone(),
            deployment_id: id,
            status: S::Running.into(),
            ..Default::default()
        };
        assert_eq!(
            reason(calls.update_deployment_status(update).await),
            "DEPLOYMENT_NOT_FOUND"
        );
        let delete = pb::DeleteDeploymentRequest {
            project: project.clone(),
            deployment_id: id,
            ..Default::default()
        };
        assert_eq!(
            reason(calls.delete_deployment(delete).await),
            "DEPLOYMENT_NOT_FOUND"
        );
    }
    let foreign_place = foreign.environment.unwrap();
    for by in [
        pb::environment_ref::By::Id(foreign_place.id),
        pb::environment_ref::By::Id(i64::MIN),
        pb::environment_ref::By::Name(foreign_place.name),
        pb::environment_ref::By::Name(String::new()),
    ] {
        let environment = Some(pb::EnvironmentRef { by: Some(by) });
        let get = pb::GetEnvironmentRequest {
            project: project.clone(),
            environment: environment.clone(),
        };
        assert_eq!(
            reason(environments.get_environment(get).await),
            "ENVIRONMENT_NOT_FOUND"
        );
        let stop = pb::StopEnvironmentRequest {
            project: project.clone(),
            environment,
            ..Default::default()
        };
        assert_eq!(
            reason(environments.stop_environment(stop).await),
            "ENVIRONMENT_NOT_FOUND"
        );
    }
    for project in [
        project_id(0),
        project_id(i64::MIN),
        project_id(i64::MAX),
        project_at(""),
        project_at("acme"),
        project_at("acme/web/"),
        project_at("acme/%"),
        project_at("acme/\u{1f680}"),
        project_at(&"x/".repeat(10_000)),
    ] {
        let get = pb::GetDeploymentRequest {
            project: Some(project.clone()),
            deployment_id: foreign.id,
        };
        assert_eq!(
            reason(calls.get_deployment(get).await),
            "PROJECT_NOT_FOUND",
            "{project:?}"
        );
        let create = pb::CreateDeploymentRequest {
            project: Some(project.clone()),
            ..world.deployment("production", S::Created)
        };
        assert_eq!(
            reason(calls.create_deployment(create).await),
            "PROJECT_NOT_FOUND",
            "{project:?}"
        );
    }
    let nul = pb::GetDeploymentRequest {
        project: Some(project_at("a\0")),
        deployment_id: 1,
    };
    assert_eq!(violations(calls.get_deployment(nul).await)[0].0, "project.path");
    let upper = pb::GetDeploymentRequest {
        project: Some(project_at("ACME/Web")),
        deployment_id: foreign.id,
    };
    assert_eq!(
        calls
            .get_deployment(upper)
            .await
            .unwrap()
            .into_inner()
            .deployment
            .unwrap()
            .sha,
        SHA
    );
}

async fn a_bad_list_is_refused_by_its_field(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.deployments(&world.reporter);
    let list = || pb::ListDeploymentsRequest {
        project: Some(project_id(world.project.id)),
        ..Default::default()
    };
    let filtered = |filter: pb::DeploymentFilter| pb::ListDeploymentsRequest {
        filter: Some(filter),
        ..list()
    };
    let mut table = vec![
        (
            pb::ListDeploymentsRequest {
                page_size: -1,
                ..list()
            },
            "page_size",
        ),
        (pb::ListDeploymentsRequest { skip: -1, ..list() }, "skip"),
        (
            pb::ListDeploymentsRequest {
                order_by: 99,
                ..list()
            },
            "order_by",
        ),
        (
            pb::ListDeploymentsRequest {
                direction: -1,
                ..list()
            },
            "direction",
        ),
        (
            filtered(pb::DeploymentFilter {
                status: Some(0),
                ..Default::default()
            }),
            "filter.status",
        ),
        (
            filtered(pb::DeploymentFilter {
                status: Some(99),
                ..Default::default()
            }),
            "filter.status",
        ),
        (
            filtered(pb::DeploymentFilter {
                environment: Some("\0".into()),
                ..Default::default()
            }),
            "filter.environment",
        ),
    ];
    for (seconds, nanos) in [
        (i64::MAX, 0),
        (i64::MIN, 0),
        (-62_135_596_801, 0),
        (253_402_300_800, 0),
        (0, -1),
        (0, 1_000_000_000),
        (0, i32::MIN),
    ] {
        let at = Some(Timestamp { seconds, nanos });
        let none = pb::DeploymentFilter::default;
        table.extend([
            (
                filtered(pb::DeploymentFilter {
                    updated_after: at,
                    ..none()
                }),
                "filter.updated_after",
            ),
            (
                filtered(pb::DeploymentFilter {
                    updated_before: at,
                    ..none()
                }),
                "filter.updated_before",
            ),
            (
                filtered(pb::DeploymentFilter {
                    finished_after: at,
                    ..none()
                }),
                "filter.finished_after",
            ),
            (
                filtered(pb::DeploymentFilter {
                    finished_before: at,
                    ..none()
                }),
                "filter.finished_before",
            ),
        ]);
    }
    for (request, field) in table {
        let answer = calls
            .list_deployments(request.clone())
            .await
            .map(Response::into_inner);
        assert_eq!(reason(answer.clone()), "INVALID_ARGUMENT", "{request:?}");
        assert_eq!(violations(answer)[0].0, field, "{request:?}");
    }
    // The ends of what a time can be are times.
    for seconds in [-62_135_596_800, 253_402_300_799] {
        let at = Some(Timestamp {
            seconds,
            nanos: 999_999_999,
        });
        let request = filtered(pb::DeploymentFilter {
            updated_before: at,
            ..Default::default()
        });
        assert_eq!(
            calls
                .list_deployments(request)
                .await
                .unwrap()
                .into_inner()
                .deployments,
            []
        );
    }
    let beyond = pb::ListDeploymentsRequest {
        skip: i64::MAX,
        page_size: i32::MAX,
        want_total: true,
        ..list()
    };
    let page = calls.list_deployments(beyond).await.unwrap().into_inner();
    assert_eq!(
        (page.deployments, page.next_page_token.as_str(), page.total_size),
        (vec![], "", Some(0))
    );
}

async fn a_page_token_leads_on_in_its_own_query_and_nowhere_else(engine: Engine) {
    let world = World::new(engine).await;
    for number in 0..105 {
        let mut request = world.deployment("production", S::Created);
        request.r#ref = format!("r{number}");
        world
            .server
            .deployments(&world.developer)
            .create_deployment(request)
            .await
            .unwrap();
    }
    let mut calls = world.server.deployments(&world.reporter);
    let list = pb::ListDeploymentsRequest {
        project: Some(project_id(world.project.id)),
        ..Default::default()
    };
    for (asked, given) in [(0, 20), (1, 1), (100, 100), (101, 100), (i32::MAX, 100)] {
        let request = pb::ListDeploymentsRequest {
            page_size: asked,
            ..list.clone()
        };
        assert_eq!(
            calls
                .list_deployments(request)
                .await
                .unwrap()
                .into_inner()
                .deployments
                .len(),
            given
        );
    }
    let first = calls.list_deployments(list.clone()).await.unwrap().into_inner();
    let on = pb::ListDeploymentsRequest {
        page_token: first.next_page_token.clone(),
        ..list.clone()
    };
    let second = calls.list_deployments(on.clone()).await.unwrap().into_inner();
    assert_eq!(second.deployments[0].iid, 21);
    // Size, skip and total may change on the way.
    let wider = pb::ListDeploymentsRequest {
        page_size: 100,
        skip: 5,
        want_total: true,
        ..on.clone()
    };
    let rest = calls.list_deployments(wider).await.unwrap().into_inner();
    assert_eq!(
        (rest.deployments.len(), rest.deployments[0].iid, rest.total_size),
        (80, 26, Some(105))
    );
    assert_eq!(rest.next_page_token, "");

    let token = first.next_page_token;
    let filter = pb::DeploymentFilter {
        status: Some(S::Created.into()),
        ..Default::default()
    };
    for request in [
        pb::ListDeploymentsRequest {
            direction: pb::SortDirection::Desc.into(),
            ..on.clone()
        },
        pb::ListDeploymentsRequest {
            order_by: pb::DeploymentOrderBy::Ref.into(),
            ..on.clone()
        },
        pb::ListDeploymentsRequest {
            filter: Some(filter),
            ..on.clone()
        },
        pb::ListDeploymentsRequest {
            project: Some(project_at("acme/web")),
            ..on.clone()
        },
        pb::ListDeploymentsRequest {
            page_token: format!("{token}A"),
            ..list.clone()
        },
        pb::ListDeploymentsRequest {
            page_token: token[1..].into(),
            ..list.clone()
        },
        pb::ListDeploymentsRequest {
            page_token: "garbage".into(),
            ..list.clone()
        },
        pb::ListDeploymentsRequest {
            page_token: "\0".into(),
            ..list.clone()
        },
        pb::ListDeploymentsRequest {
            page_token: "A".repeat(1 << 20),
            ..list
        },
    ] {
        let refusal = calls.list_deployments(request).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert_eq!(reason::<()>(Err(refusal)), "INVALID_PAGE_TOKEN");
    }
    let elsewhere = pb::ListEnvironmentsRequest {
        project: on.project,
        page_token: token,
        ..Default::default()
    };
    let answer = world
        .server
        .environments(&world.reporter)
        .list_environments(elsewhere)
        .await;
    assert_eq!(reason(answer), "INVALID_PAGE_TOKEN");
}

async fn a_bad_environment_is_refused_by_its_field(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.environments(&world.maintainer);
    let project = Some(project_id(world.project.id));
    let create = |name: &str| pb::CreateEnvironmentRequest {
        project: project.clone(),
        name: name.into(),
        ..Default::default()
    };
    let made = calls
        .create_environment(create("production"))
        .await
        .unwrap()
        .into_inner();
    let mut table = vec![
        (create(""), "INVALID_RESOURCE", "name"),
        (create("production"), "ALREADY_EXISTS", "name"),
        (create("a\u{1f680}"), "INVALID_RESOURCE", "name"),
        (create("x/"), "INVALID_RESOURCE", "name"),
        (create(&"x".repeat(256)), "INVALID_RESOURCE", "name"),
        (
            pb::CreateEnvironmentRequest {
                tier: 99,
                ..create("x")
            },
            "INVALID_ARGUMENT",
            "tier",
        ),
        (
            pb::CreateEnvironmentRequest {
                auto_stop_setting: 99,
                ..create("x")
            },
            "INVALID_ARGUMENT",
            "auto_stop_setting",
        ),
        (
            pb::CreateEnvironmentRequest {
                external_url: "javascript:alert(1)".into(),
                ..create("x")
            },
            "INVALID_RESOURCE",
            "external_url",
        ),
        (
            pb::CreateEnvironmentRequest {
                external_url: "x".repeat(256),
                ..create("x")
            },
            "INVALID_RESOURCE",
            "external_url",
        ),
        (
            pb::CreateEnvironmentRequest {
                description: "x".repeat(10_001),
                ..create("x")
            },
            "INVALID_RESOURCE",
            "description",
        ),
    ];
    for name in CONTROL {
        let why = if name.contains('\0') {
            "INVALID_ARGUMENT"
        } else {
            "INVALID_RESOURCE"
        };
        table.push((create(name), why, "name"));
    }
    for (request, why, field) in table {
        let answer = calls
            .create_environment(request.clone())
            .await
            .map(Response::into_inner);
        assert_eq!(reason(answer.clone()), why, "{request:?}");
        assert_eq!(violations(answer)[0].0, field, "{request:?}");
    }

    let id = made.environment.unwrap().id;
    let environment = Some(pb::EnvironmentRef {
        by: Some(pb::environment_ref::By::Id(id)),
    });
    let delete = pb::DeleteEnvironmentRequest {
        project: project.clone(),
        environment: environment.clone(),
        ..Default::default()
    };
    assert_eq!(
        reason(calls.delete_environment(delete.clone()).await),
        "ENVIRONMENT_NOT_STOPPED"
    );
    let careful = pb::UpdateEnvironmentRequest {
        project: project.clone(),
        environment: environment.clone(),
        auto_stop_setting: Some(pb::AutoStopSetting::WithAction.into()),
        ..Default::default()
    };
    calls.update_environment(careful.clone()).await.unwrap();
    let unset = pb::UpdateEnvironmentRequest {
        auto_stop_setting: Some(0),
        ..careful
    };
    assert_eq!(
        violations(calls.update_environment(unset).await)[0].0,
        "auto_stop_setting"
    );
    let stop = pb::StopEnvironmentRequest {
        project: project.clone(),
        environment: environment.clone(),
        ..Default::default()
    };
    assert_eq!(
        reason(calls.stop_environment(stop.clone()).await),
        "ENVIRONMENT_STOP_REFUSED"
    );
    calls
        .stop_environment(pb::StopEnvironmentRequest { force: true, ..stop })
        .await
        .unwrap();
    calls.delete_environment(delete).await.unwrap();
    let get = pb::GetEnvironmentRequest {
        project: project.clone(),
        environment,
    };
    assert_eq!(reason(calls.get_environment(get).await), "ENVIRONMENT_NOT_FOUND");

    let now = world.server.app.now().timestamp();
    for seconds in [now, now - 6 * 86_400, now - 4_000 * 86_400, i64::MAX] {
        let stale = pb::StopStaleEnvironmentsRequest {
            project: project.clone(),
            before: Some(Timestamp { seconds, nanos: 0 }),
            ..Default::default()
        };
        assert_eq!(
            violations(calls.stop_stale_environments(stale).await)[0].0,
            "before"
        );
    }
    for limit in [-1, 1_001, i32::MIN] {
        let review = pb::DeleteReviewEnvironmentsRequest {
            project: project.clone(),
            limit,
            ..Default::default()
        };
        assert_eq!(
            violations(calls.delete_review_environments(review).await)[0].0,
            "limit"
        );
    }
}

async fn a_bad_name_in_the_directory_is_refused_by_its_field(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.server.directory(&world.server.root);
    let long = "x".repeat(256);
    let segments = ["", "a b", "a/b", ".", "..", "-", "\u{e9}\u{1f680}", "a%", &long]
        .into_iter()
        .chain(CONTROL);
    for path in segments {
        let why = if path.contains('\0') {
            ["INVALID_ARGUMENT", "INVALID_RESOURCE"]
        } else {
            ["INVALID_RESOURCE"; 2]
        };
        let group = pb::CreateGroupRequest {
            path: path.into(),
            ..Default::default()
        };
        let project = pb::CreateProjectRequest {
            group: Some(group_at("acme")),
            path: path.into(),
            ..Default::default()
        };
        let user = pb::CreateUserRequest {
            username: path.into(),
            ..Default::default()
        };
        for (answer, field) in [
            (calls.create_group(group).await.map(drop), "path"),
            (calls.create_project(project).await.map(drop), "path"),
            (calls.create_user(user).await.map(drop), "username"),
        ] {
            assert!(
                why.contains(&reason(answer.clone()).as_str()),
                "{path:?}: {answer:?}"
            );
            assert_eq!(violations(answer)[0].0, field, "{path:?}");
        }
    }
    for name in CONTROL.into_iter().chain([" ", &long]) {
        let group = pb::CreateGroupRequest {
            path: "new".into(),
            name: name.into(),
            ..Default::default()
        };
        let user = pb::CreateUserRequest {
            username: "new".into(),
            name: name.into(),
            ..Default::default()
        };
        let project = pb::CreateProjectRequest {
            group: Some(group_at("acme")),
            path: "new".into(),
            default_branch: name.into(),
            ..Default::default()
        };
        for (answer, field) in [
            (calls.create_group(group).await.map(drop), "name"),
            (calls.create_user(user).await.map(drop), "name"),
            (calls.create_project(project).await.map(drop), "default_branch"),
        ] {
            assert_eq!(violations(answer)[0].0, field, "{name:?}");
        }
    }
    let group = || pb::CreateGroupRequest {
        path: "new".into(),
        ..Default::default()
    };
    let user = || pb::CreateUserRequest {
        username: "new".into(),
        ..Default::default()
    };
    let member = |level: i32| pb::CreateMembershipRequest {
        container: Some(in_group("acme")),
        user: Some(user_named("rita")),
        access_level: level,
        ..Default::default()
    };
    for (answer, field) in [
        (
            calls
                .create_group(pb::CreateGroupRequest {
                    visibility: 99,
                    ..group()
                })
                .await
                .map(drop),
            "visibility",
        ),
        (
            calls
                .create_group(pb::CreateGroupRequest {
                    description: "x".repeat(10_001),
                    ..group()
                })
                .await
                .map(drop),
            "description",
        ),
        (
            calls
                .create_group(pb::CreateGroupRequest {
                    parent: Some(pb::GroupRef { by: None }),
                    ..group()
                })
                .await
                .map(drop),
            "parent",
        ),
        (
            calls
                .create_user(pb::CreateUserRequest {
                    email: "nobody".into(),
                    ..user()
                })
                .await
                .map(drop),
            "email",
        ),
        (
            calls
                .create_user(pb::CreateUserRequest {
                    avatar_url: "javascript:1".into(),
                    ..user()
                })
                .await
                .map(drop),
            "avatar_url",
        ),
        (calls.create_membership(member(0)).await.map(drop), "access_level"),
        (calls.create_membership(member(7)).await.map(drop), "access_level"),
        (
            calls.create_membership(member(60)).await.map(drop),
            "access_level",
        ),
        (
            calls
                .create_membership(pb::CreateMembershipRequest {
                    container: None,
                    ..member(30)
                })
                .await
                .map(drop),
            "container",
        ),
        (
            calls
                .create_membership(pb::CreateMembershipRequest {
                    user: None,
                    ..member(30)
                })
                .await
                .map(drop),
            "user",
        ),
        (
            calls
                .get_user(pb::GetUserRequest {
                    user: Some(user_named("a\0")),
                })
                .await
                .map(drop),
            "user.username",
        ),
        (
            calls
                .get_group(pb::GetGroupRequest {
                    group: Some(group_at("a\0")),
                })
                .await
                .map(drop),
            "group.path",
        ),
    ] {
        assert_eq!(violations(answer)[0].0, field);
    }
    let nul = pb::ListUsersRequest {
        search: Some("\0".into()),
        ..Default::default()
    };
    assert_eq!(violations(calls.list_users(nul).await)[0].0, "search");
}

async fn a_time_that_is_none_is_refused_wherever_it_is_sent(engine: Engine) {
    let world = World::new(engine).await;
    let project = Some(project_id(world.project.id));
    let deployment = world.record("production", S::Created).await;
    let environment = Some(pb::EnvironmentRef {
        by: Some(pb::environment_ref::By::Name("production".into())),
    });
    for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, i32::MAX)] {
        let at = Some(Timestamp { seconds, nanos });
        let delete = pb::DeleteDeploymentRequest {
            project: project.clone(),
            deployment_id: deployment.id,
            unmodified_since: at,
            ..Default::default()
        };
        let remove = pb::DeleteEnvironmentRequest {
            project: project.clone(),
            environment: environment.clone(),
            unmodified_since: at,
            ..Default::default()
        };
        let stale = pb::StopStaleEnvironmentsRequest {
            project: project.clone(),
            before: at,
            ..Default::default()
        };
        let review = pb::DeleteReviewEnvironmentsRequest {
            project: project.clone(),
            before: at,
            ..Default::default()
        };
        let token = pb::CreateTokenRequest {
            name: "x".into(),
            scopes: vec![pb::TokenScope::Api.into()],
            expires_at: at,
            ..Default::default()
        };
        let mut environments = world.server.environments(&world.maintainer);
        for (answer, field) in [
            (
                world
                    .server
                    .deployments(&world.maintainer)
                    .delete_deployment(delete)
                    .await
                    .map(drop),
                "unmodified_since",
            ),
            (
                environments.delete_environment(remove).await.map(drop),
                "unmodified_since",
            ),
            (
                environments.stop_stale_environments(stale).await.map(drop),
                "before",
            ),
            (
                environments.delete_review_environments(review).await.map(drop),
                "before",
            ),
            (
                world
                    .server
                    .tokens(&world.maintainer)
                    .create_token(token)
                    .await
                    .map(drop),
                "expires_at",
            ),
        ] {
            assert_eq!(reason(answer.clone()), "INVALID_ARGUMENT");
            assert_eq!(violations(answer)[0].0, field, "{seconds} {nanos}");
        }
    }
}
