//! Users, groups and projects, black box.

use gatehouse::pb::v1::{self as pb, Visibility, user_ref};

use crate::support::{
    TestServer,
    engine::{Engine, on_both_engines},
    group_at, project_at, project_id, reason, user_named, violations,
};

on_both_engines! {
    only_administrators_make_change_and_delete_users
    a_username_is_unique_whatever_its_case
    an_upsert_creates_once_and_changes_then
    everyone_may_see_what_a_user_tells_of_themself
    a_private_address_is_for_administrators_and_its_owner
    the_last_administrator_can_leave_only_when_there_is_another
    users_are_listed_by_id_page_by_page
    groups_and_projects_share_one_space_of_paths
    renaming_a_group_renames_everything_below_it
    a_group_goes_only_when_nothing_is_in_it
    groups_are_nested_twenty_deep_and_no_deeper
    an_upsert_by_path_needs_what_creating_needs
    a_maintainer_changes_a_project_and_an_owner_who_may_see_it
    a_repeated_request_is_answered_as_before
}

fn create_user(username: &str) -> pb::CreateUserRequest {
    pb::CreateUserRequest {
        username: username.into(),
        ..Default::default()
    }
}

fn update_user(username: &str) -> pb::UpdateUserRequest {
    pb::UpdateUserRequest {
        user: Some(user_named(username)),
        ..Default::default()
    }
}

fn upsert_group(path: &str) -> pb::UpdateGroupRequest {
    pb::UpdateGroupRequest {
        group: Some(group_at(path)),
        allow_missing: true,
        ..Default::default()
    }
}

fn upsert_project(path: &str) -> pb::UpdateProjectRequest {
    pb::UpdateProjectRequest {
        project: Some(project_at(path)),
        allow_missing: true,
        ..Default::default()
    }
}

fn create_group(parent: Option<&str>, path: &str) -> pb::CreateGroupRequest {
    pb::CreateGroupRequest {
        parent: parent.map(group_at),
        path: path.into(),
        ..Default::default()
    }
}

fn create_project(group: &str, path: &str) -> pb::CreateProjectRequest {
    pb::CreateProjectRequest {
        group: Some(group_at(group)),
        path: path.into(),
        ..Default::default()
    }
}

async fn only_administrators_make_change_and_delete_users(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (_, ann) = server.user("ann").await;
    let mut calls = server.directory(&ann);
    assert_eq!(
        reason(calls.create_user(create_user("bob")).await),
        "PERMISSION_DENIED"
    );
    assert_eq!(
        reason(calls.update_user(update_user("ann")).await),
        "PERMISSION_DENIED"
    );
    let delete = pb::DeleteUserRequest {
        user: Some(user_named("ann")),
        ..Default::default()
    };
    assert_eq!(
        reason(calls.delete_user(delete.clone()).await),
        "PERMISSION_DENIED"
    );
    server.directory(&server.root).delete_user(delete).await.unwrap();
    let whoami = server.tokens(&ann).who_am_i(pb::WhoAmIRequest {}).await;
    assert_eq!(reason(whoami), "TOKEN_INVALID");
}

async fn a_username_is_unique_whatever_its_case(engine: Engine) {
    let server = TestServer::start(engine).await;
    let mut calls = server.directory(&server.root);
    calls.create_user(create_user("Ann")).await.unwrap();
    let taken = calls.create_user(create_user("aNN")).await;
    assert_eq!(
        violations(taken),
        [("username".to_owned(), "has already been taken".to_owned())]
    );
    let found = calls
        .get_user(pb::GetUserRequest {
            user: Some(user_named("ANN")),
        })
        .await
        .unwrap();
    assert_eq!(found.into_inner().user.unwrap().username, "Ann");
}

async fn an_upsert_creates_once_and_changes_then(engine: Engine) {
    let server = TestServer::start(engine).await;
    let mut calls = server.directory(&server.root);
    let upsert = pb::UpdateUserRequest {
        name: Some("Ann".into()),
        allow_missing: true,
        ..update_user("ann")
    };
    let first = calls.update_user(upsert.clone()).await.unwrap().into_inner();
    let again = calls.update_user(upsert.clone()).await.unwrap().into_inner();
    assert!(first.created && !again.created);
    assert_eq!(first.user, again.user, "nothing changed, so the etag did not");
    let renamed = pb::UpdateUserRequest {
        name: Some("Anna".into()),
        etag: first.user.clone().unwrap().etag,
        ..upsert.clone()
    };
    let renamed = calls
        .update_user(renamed)
        .await
        .unwrap()
        .into_inner()
        .user
        .unwrap();
    assert_eq!(renamed.name, "Anna");
    let stale = pb::UpdateUserRequest {
        etag: first.user.unwrap().etag,
        ..upsert.clone()
    };
    assert_eq!(reason(calls.update_user(stale.clone()).await), "ETAG_MISMATCH");
    let read_before = pb::UpdateUserRequest {
        user: Some(user_named("nobody")),
        ..stale
    };
    assert_eq!(reason(calls.update_user(read_before).await), "USER_NOT_FOUND");
    let by_id = pb::UpdateUserRequest {
        user: Some(pb::UserRef {
            by: Some(user_ref::By::Id(999)),
        }),
        ..upsert
    };
    assert_eq!(reason(calls.update_user(by_id).await), "USER_NOT_FOUND");
}

async fn everyone_may_see_what_a_user_tells_of_themself(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (_, bob) = server.user("bob").await;
    let profile = |location: &str| pb::UserProfile {
        bio: "Ships things".into(),
        location: location.into(),
        skype: "ann.s".into(),
        linkedin: "ann-l".into(),
        twitter: "ann_t".into(),
        website_url: "ann.example".into(),
        organization: "Acme".into(),
    };
    let seen = async || {
        let get = pb::GetUserRequest {
            user: Some(user_named("ann")),
        };
        let got = server.directory(&bob).get_user(get).await.unwrap().into_inner();
        got.user.unwrap().profile.unwrap()
    };
    let mut calls = server.directory(&server.root);
    let create = pb::CreateUserRequest {
        profile: Some(profile("Oslo")),
        ..create_user("ann")
    };
    calls.create_user(create).await.unwrap();
    assert_eq!(seen().await, profile("Oslo"));
    let update = |profile| pb::UpdateUserRequest {
        profile,
        ..update_user("ann")
    };
    calls.update_user(update(Some(profile("Bergen")))).await.unwrap();
    assert_eq!(seen().await, profile("Bergen"));
    calls.update_user(update(None)).await.unwrap();
    assert_eq!(seen().await, profile("Bergen"), "what is not told stays");
    let only = pb::UserProfile {
        bio: "Retired".into(),
        ..Default::default()
    };
    calls.update_user(update(Some(only.clone()))).await.unwrap();
    assert_eq!(seen().await, only, "what is told is all of it");
    let bad = pb::UserProfile {
        website_url: "javascript:1".into(),
        location: "a\nb".into(),
        ..Default::default()
    };
    let refused = violations(calls.update_user(update(Some(bad))).await);
    let fields: Vec<_> = refused.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["profile.location", "profile.website_url"]);
    assert_eq!(seen().await, only);
}

async fn a_private_address_is_for_administrators_and_its_owner(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (_, ann) = server.user("ann").await;
    let (_, bob) = server.user("bob").await;
    let set = pb::UpdateUserRequest {
        email: Some("ann@example.com".into()),
        ..update_user("ann")
    };
    let updated = server.directory(&server.root).update_user(set).await.unwrap();
    let private = Some("ann@example.com".to_owned());
    assert_eq!(updated.into_inner().user.unwrap().email, private);
    for (who, seen) in [(&server.root, &private), (&ann, &private), (&bob, &None)] {
        let get = pb::GetUserRequest {
            user: Some(user_named("ann")),
        };
        let got = server.directory(who).get_user(get).await.unwrap().into_inner();
        assert_eq!(&got.user.unwrap().email, seen);
        let list = pb::ListUsersRequest {
            search: Some("AN".into()),
            ..Default::default()
        };
        let list = server.directory(who).list_users(list).await.unwrap().into_inner();
        assert_eq!(list.users.len(), 1);
        assert_eq!(&list.users[0].email, seen);
    }
}

async fn the_last_administrator_can_leave_only_when_there_is_another(engine: Engine) {
    let server = TestServer::start(engine).await;
    let mut calls = server.directory(&server.root);
    let delete = pb::DeleteUserRequest {
        user: Some(user_named("root")),
        request_id: "leave".into(),
        ..Default::default()
    };
    assert_eq!(
        reason(calls.delete_user(delete.clone()).await),
        "LAST_ADMINISTRATOR"
    );
    let demote = pb::UpdateUserRequest {
        admin: Some(false),
        ..update_user("root")
    };
    assert_eq!(reason(calls.update_user(demote).await), "LAST_ADMINISTRATOR");
    let block = pb::UpdateUserRequest {
        state: Some(pb::UserState::Blocked.into()),
        ..update_user("root")
    };
    assert_eq!(reason(calls.update_user(block).await), "LAST_ADMINISTRATOR");
    let other = pb::CreateUserRequest {
        admin: true,
        ..create_user("other")
    };
    calls.create_user(other).await.unwrap();
    calls.delete_user(delete).await.unwrap();
    let gone = calls.get_user(pb::GetUserRequest {
        user: Some(user_named("other")),
    });
    assert_eq!(reason(gone.await), "TOKEN_INVALID");
}

async fn users_are_listed_by_id_page_by_page(engine: Engine) {
    let server = TestServer::start(engine).await;
    for name in ["a_one", "a_two", "abc", "other"] {
        server
            .directory(&server.root)
            .create_user(create_user(name))
            .await
            .unwrap();
    }
    let mut calls = server.directory(&server.root);
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let request = pb::ListUsersRequest {
            search: Some("A_".into()),
            page_size: 1,
            page_token: token,
            want_total: true,
            ..Default::default()
        };
        let page = calls.list_users(request).await.unwrap().into_inner();
        assert_eq!(page.total_size, Some(2), "`_` means itself");
        names.extend(page.users.into_iter().map(|user| user.username));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a_one", "a_two"]);
}

async fn groups_and_projects_share_one_space_of_paths(engine: Engine) {
    let server = TestServer::start(engine).await;
    server.group("acme").await;
    server.group("acme/shop").await;
    let web = server.project("acme/web", Visibility::Private).await;
    assert_eq!(
        (web.full_path.as_str(), web.full_name.as_str()),
        ("acme/web", "acme / web")
    );
    let mut calls = server.directory(&server.root);
    for (kind, answer) in [
        (
            "group",
            calls
                .create_group(create_group(Some("ACME"), "Web"))
                .await
                .map(drop),
        ),
        (
            "project",
            calls
                .create_project(create_project("acme", "SHOP"))
                .await
                .map(drop),
        ),
        (
            "project",
            calls
                .create_project(create_project("acme", "web"))
                .await
                .map(drop),
        ),
        (
            "group",
            calls.create_group(create_group(None, "Acme")).await.map(drop),
        ),
    ] {
        assert_eq!(
            violations(answer),
            [("path".to_owned(), "has already been taken".to_owned())],
            "{kind}"
        );
    }
}

async fn renaming_a_group_renames_everything_below_it(engine: Engine) {
    let server = TestServer::start(engine).await;
    for path in ["acme", "acme/shop", "acme/shop/ops", "acme2"] {
        server.group(path).await;
    }
    let web = server.project("acme/shop/web", Visibility::Private).await;
    let mut calls = server.directory(&server.root);
    let rename = pb::UpdateGroupRequest {
        group: Some(group_at("acme")),
        name: Some("Großhandel".into()),
        ..Default::default()
    };
    calls.update_group(rename.clone()).await.unwrap();
    let back = pb::UpdateGroupRequest {
        name: Some("A".into()),
        ..rename
    };
    calls.update_group(back).await.unwrap();
    let list = calls.list_groups(pb::ListGroupsRequest::default()).await.unwrap();
    let names: Vec<_> = list
        .into_inner()
        .groups
        .into_iter()
        .map(|g| g.full_name)
        .collect();
    assert_eq!(names, ["A", "A / shop", "A / shop / ops", "acme2"]);
    let got = calls
        .get_project(pb::GetProjectRequest {
            project: Some(project_id(web.id)),
        })
        .await
        .unwrap()
        .into_inner()
        .project
        .unwrap();
    assert_eq!(got.full_name, "A / shop / web");
    assert_eq!(got.etag, web.etag, "its own fields are what they were");
}

async fn a_group_goes_only_when_nothing_is_in_it(engine: Engine) {
    let server = TestServer::start(engine).await;
    server.group("acme").await;
    let web = server.project("acme/web", Visibility::Private).await;
    let mut calls = server.directory(&server.root);
    let delete = pb::DeleteGroupRequest {
        group: Some(group_at("acme")),
        ..Default::default()
    };
    assert_eq!(
        reason(calls.delete_group(delete.clone()).await),
        "GROUP_NOT_EMPTY"
    );
    let check = pb::DeleteProjectRequest {
        project: Some(project_id(web.id)),
        validate_only: true,
        ..Default::default()
    };
    calls.delete_project(check.clone()).await.unwrap();
    assert_eq!(
        reason(calls.delete_group(delete.clone()).await),
        "GROUP_NOT_EMPTY"
    );
    let go = pb::DeleteProjectRequest {
        validate_only: false,
        ..check
    };
    calls.delete_project(go).await.unwrap();
    calls.delete_group(delete.clone()).await.unwrap();
    assert_eq!(reason(calls.delete_group(delete).await), "GROUP_NOT_FOUND");
}

async fn groups_are_nested_twenty_deep_and_no_deeper(engine: Engine) {
    let server = TestServer::start(engine).await;
    let mut path = "g".to_owned();
    server.group(&path).await;
    for _ in 1..20 {
        path.push_str("/g");
        server.group(&path).await;
    }
    let deeper = server
        .directory(&server.root)
        .create_group(create_group(Some(&path), "g"))
        .await;
    assert_eq!(violations(deeper)[0].0, "parent");
}

async fn an_upsert_by_path_needs_what_creating_needs(engine: Engine) {
    let server = TestServer::start(engine).await;
    server.group("acme").await;
    server.group("acme/hidden").await;
    let (_, mona) = server.user("mona").await;
    let (_, stranger) = server.user("stranger").await;
    let member = pb::AccessLevel::Maintainer;
    server
        .member(crate::support::in_group("acme"), "mona", member)
        .await;

    let mut calls = server.directory(&mona);
    let made = calls
        .update_project(upsert_project("acme/web"))
        .await
        .unwrap()
        .into_inner();
    assert!(made.created);
    assert_eq!(made.project.as_ref().unwrap().default_branch, "main");
    let kept = calls
        .update_project(upsert_project("Acme/WEB"))
        .await
        .unwrap()
        .into_inner();
    assert!(!kept.created);
    assert_eq!(kept.project, made.project);
    for (request, wanted) in [
        (upsert_project("web"), "PROJECT_NOT_FOUND"),
        (upsert_project("nowhere/web"), "GROUP_NOT_FOUND"),
    ] {
        assert_eq!(reason(calls.update_project(request).await), wanted);
    }
    assert_eq!(
        reason(calls.update_group(upsert_group("acme/new")).await),
        "PERMISSION_DENIED"
    );
    assert_eq!(
        reason(calls.update_group(upsert_group("top")).await),
        "PERMISSION_DENIED"
    );

    // What is hidden cannot be told from what is not there.
    let mut calls = server.directory(&stranger);
    for path in ["acme", "nothing"] {
        assert_eq!(
            reason(calls.update_group(upsert_group(path)).await),
            "PERMISSION_DENIED",
            "{path}"
        );
    }
    for path in ["acme/hidden", "acme/nothing"] {
        assert_eq!(
            reason(calls.update_group(upsert_group(path)).await),
            "GROUP_NOT_FOUND",
            "{path}"
        );
    }
}

async fn a_maintainer_changes_a_project_and_an_owner_who_may_see_it(engine: Engine) {
    let server = TestServer::start(engine).await;
    server.group("acme").await;
    let web = server.project("acme/web", Visibility::Private).await;
    let (_, mona) = server.user("mona").await;
    let (_, olga) = server.user("olga").await;
    for (name, level) in [
        ("mona", pb::AccessLevel::Maintainer),
        ("olga", pb::AccessLevel::Owner),
    ] {
        server
            .member(crate::support::in_project("acme/web"), name, level)
            .await;
    }
    let update = pb::UpdateProjectRequest {
        project: Some(project_id(web.id)),
        description: Some("sells".into()),
        ..Default::default()
    };
    let open = pb::UpdateProjectRequest {
        visibility: Some(Visibility::Public.into()),
        ..update.clone()
    };
    let mut calls = server.directory(&mona);
    calls.update_project(update).await.unwrap();
    assert_eq!(
        reason(calls.update_project(open.clone()).await),
        "PERMISSION_DENIED"
    );
    let delete = pb::DeleteProjectRequest {
        project: Some(project_id(web.id)),
        ..Default::default()
    };
    assert_eq!(
        reason(calls.delete_project(delete.clone()).await),
        "PERMISSION_DENIED"
    );
    let mut calls = server.directory(&olga);
    let opened = calls
        .update_project(open)
        .await
        .unwrap()
        .into_inner()
        .project
        .unwrap();
    assert_eq!(opened.visibility(), Visibility::Public);
    assert_ne!(opened.etag, web.etag);
    calls.delete_project(delete).await.unwrap();
}

async fn a_repeated_request_is_answered_as_before(engine: Engine) {
    let server = TestServer::start(engine).await;
    let mut calls = server.directory(&server.root);
    let request = pb::CreateUserRequest {
        request_id: "once".into(),
        ..create_user("ann")
    };
    let first = calls.create_user(request.clone()).await.unwrap();
    let again = calls.create_user(request.clone()).await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    assert_eq!(first.into_inner(), again.into_inner());
    let other = pb::CreateUserRequest {
        username: "bob".into(),
        ..request
    };
    assert_eq!(reason(calls.create_user(other).await), "REQUEST_ID_REUSED");
}
