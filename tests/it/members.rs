//! Memberships and shares, and what they let people see, black box.

use gatehouse::pb::v1::{self as pb, AccessLevel, Visibility};

use crate::support::{
    TestServer,
    engine::{Engine, on_both_engines},
    group_at, in_group, in_project, project_at, reason, user_named, violations,
};

on_both_engines! {
    lists_hold_what_the_caller_could_also_get
    a_viewer_learns_what_they_are_to_a_project
    members_are_managed_from_above_and_everyone_may_leave
    a_membership_that_is_given_again_has_another_etag
    a_share_is_made_changed_listed_and_ended
}

fn membership(container: pb::ContainerRef, user: &str, level: AccessLevel) -> pb::CreateMembershipRequest {
    pb::CreateMembershipRequest {
        container: Some(container),
        user: Some(user_named(user)),
        access_level: level.into(),
        ..Default::default()
    }
}

fn end(container: pb::ContainerRef, user: &str) -> pb::DeleteMembershipRequest {
    pb::DeleteMembershipRequest {
        container: Some(container),
        user: Some(user_named(user)),
        ..Default::default()
    }
}

fn share(container: pb::ContainerRef, group: &str, level: AccessLevel) -> pb::CreateGroupShareRequest {
    pb::CreateGroupShareRequest {
        container: Some(container),
        group: Some(group_at(group)),
        access_level: level.into(),
        ..Default::default()
    }
}

/// The full paths of the groups and projects that the holder of a token may see, and that the totals agree.
async fn seen(server: &TestServer, token: &str) -> (Vec<String>, Vec<String>) {
    let mut calls = server.directory(token);
    let groups = pb::ListGroupsRequest {
        want_total: true,
        ..Default::default()
    };
    let groups = calls.list_groups(groups).await.unwrap().into_inner();
    let projects = pb::ListProjectsRequest {
        want_total: true,
        ..Default::default()
    };
    let projects = calls.list_projects(projects).await.unwrap().into_inner();
    let groups_seen: Vec<_> = groups.groups.into_iter().map(|g| g.full_path).collect();
    let projects_seen: Vec<_> = projects.projects.into_iter().map(|p| p.full_path).collect();
    assert_eq!(groups.total_size, i64::try_from(groups_seen.len()).ok());
    assert_eq!(projects.total_size, i64::try_from(projects_seen.len()).ok());
    (groups_seen, projects_seen)
}

async fn lists_hold_what_the_caller_could_also_get(engine: Engine) {
    let server = TestServer::start(engine).await;
    for path in ["acme", "acme/shop", "partner", "partner/crew"] {
        server.group(path).await;
    }
    for (path, visibility) in [
        ("acme/secret", Visibility::Private),
        ("acme/shop/web", Visibility::Private),
        ("acme/wiki", Visibility::Internal),
        ("acme/site", Visibility::Public),
    ] {
        server.project(path, visibility).await;
    }
    let mut tokens = Vec::new();
    for name in ["stranger", "guest", "shopper", "visitor", "minimal", "external"] {
        tokens.push(server.user(name).await.1);
    }
    server
        .member(in_project("acme/secret"), "guest", AccessLevel::Guest)
        .await;
    server
        .member(in_group("acme/shop"), "shopper", AccessLevel::Reporter)
        .await;
    server
        .member(in_group("partner"), "visitor", AccessLevel::Owner)
        .await;
    server
        .member(in_group("acme"), "minimal", AccessLevel::Minimal)
        .await;
    let mut root = server.directory(&server.root);
    root.create_group_share(share(in_group("acme/shop"), "partner/crew", AccessLevel::Guest))
        .await
        .unwrap();
    let outside = pb::UpdateUserRequest {
        user: Some(user_named("external")),
        external: Some(true),
        ..Default::default()
    };
    root.update_user(outside).await.unwrap();

    let wanted: [(&str, &[&str], &[&str]); 6] = [
        ("stranger", &[], &["acme/wiki", "acme/site"]),
        ("guest", &[], &["acme/secret", "acme/wiki", "acme/site"]),
        (
            "shopper",
            &["acme/shop"],
            &["acme/shop/web", "acme/wiki", "acme/site"],
        ),
        (
            "visitor",
            &["acme/shop", "partner", "partner/crew"],
            &["acme/shop/web", "acme/wiki", "acme/site"],
        ),
        ("minimal", &["acme", "acme/shop"], &["acme/wiki", "acme/site"]),
        ("external", &[], &["acme/site"]),
    ];
    for ((who, groups, projects), token) in wanted.into_iter().zip(&tokens) {
        let (groups_seen, projects_seen) = seen(&server, token).await;
        assert_eq!(groups_seen, groups, "{who}");
        assert_eq!(projects_seen, projects, "{who}");
        let mut calls = server.directory(token);
        for path in ["acme/secret", "acme/shop/web", "acme/wiki", "acme/site"] {
            let get = pb::GetProjectRequest {
                project: Some(project_at(path)),
            };
            let got = calls.get_project(get).await;
            assert_eq!(got.is_ok(), projects.contains(&path), "{who} gets {path}");
        }
        for path in ["acme", "acme/shop", "partner", "partner/crew"] {
            let get = pb::GetGroupRequest {
                group: Some(group_at(path)),
            };
            let got = calls.get_group(get).await;
            assert_eq!(got.is_ok(), groups.contains(&path), "{who} gets {path}");
        }
    }
    let (groups, projects) = seen(&server, &server.root).await;
    assert_eq!((groups.len(), projects.len()), (4, 4));
}

async fn a_viewer_learns_what_they_are_to_a_project(engine: Engine) {
    let server = TestServer::start(engine).await;
    server.group("acme").await;
    server.group("crew").await;
    server.project("acme/web", Visibility::Private).await;
    let (_, vera) = server.user("vera").await;
    server.member(in_group("acme"), "vera", AccessLevel::Guest).await;
    server.member(in_group("crew"), "vera", AccessLevel::Owner).await;
    let mut root = server.directory(&server.root);
    root.create_group_share(share(in_project("acme/web"), "crew", AccessLevel::Developer))
        .await
        .unwrap();
    let get = pb::GetProjectRequest {
        project: Some(project_at("acme/web")),
    };
    let viewer = server
        .directory(&vera)
        .get_project(get)
        .await
        .unwrap()
        .into_inner()
        .viewer
        .unwrap();
    assert_eq!(viewer.project_access_level, None);
    assert_eq!(viewer.group_access_level, Some(AccessLevel::Guest.into()));
    assert_eq!(
        viewer.access_level,
        Some(AccessLevel::Developer.into()),
        "the share's level caps the Owner's"
    );
}

async fn members_are_managed_from_above_and_everyone_may_leave(engine: Engine) {
    let server = TestServer::start(engine).await;
    server.group("acme").await;
    server.project("acme/web", Visibility::Private).await;
    let web = || in_project("acme/web");
    let mut tokens = Vec::new();
    for (name, level) in [
        ("dora", AccessLevel::Developer),
        ("mona", AccessLevel::Maintainer),
        ("olga", AccessLevel::Owner),
    ] {
        tokens.push(server.user(name).await.1);
        server.member(web(), name, level).await;
    }
    let (_, stranger) = server.user("stranger").await;
    let [dora, mona, olga] = tokens.try_into().unwrap();

    let mut calls = server.directory(&stranger);
    let join = membership(web(), "stranger", AccessLevel::Guest);
    assert_eq!(
        reason(calls.create_membership(join.clone()).await),
        "PROJECT_NOT_FOUND"
    );
    let mut calls = server.directory(&dora);
    assert_eq!(
        reason(calls.create_membership(join.clone()).await),
        "PERMISSION_DENIED"
    );
    let mut calls = server.directory(&mona);
    let owner = membership(web(), "stranger", AccessLevel::Owner);
    assert_eq!(reason(calls.create_membership(owner).await), "PERMISSION_DENIED");
    let minimal = membership(web(), "stranger", AccessLevel::Minimal);
    assert_eq!(
        violations(calls.create_membership(minimal).await)[0].0,
        "access_level"
    );
    let nobody = membership(web(), "nobody", AccessLevel::Guest);
    assert_eq!(reason(calls.create_membership(nobody).await), "USER_NOT_FOUND");
    let nothing = membership(web(), "stranger", AccessLevel::Unspecified);
    assert_eq!(reason(calls.create_membership(nothing).await), "INVALID_ARGUMENT");
    calls.create_membership(join.clone()).await.unwrap();
    assert_eq!(violations(calls.create_membership(join).await)[0].0, "user");
    assert_eq!(
        reason(calls.delete_membership(end(web(), "olga")).await),
        "PERMISSION_DENIED"
    );
    calls.delete_membership(end(web(), "stranger")).await.unwrap();
    assert_eq!(
        reason(calls.delete_membership(end(web(), "stranger")).await),
        "MEMBERSHIP_NOT_FOUND"
    );

    server
        .directory(&dora)
        .delete_membership(end(web(), "dora"))
        .await
        .unwrap();
    let list = pb::ListMembershipsRequest {
        container: Some(web()),
        page_size: 1,
        want_total: true,
        ..Default::default()
    };
    let mut calls = server.directory(&olga);
    let page = calls.list_memberships(list.clone()).await.unwrap().into_inner();
    assert_eq!(page.total_size, Some(2));
    assert_eq!(page.memberships[0].user.as_ref().unwrap().username, "mona");
    let next = pb::ListMembershipsRequest {
        page_token: page.next_page_token,
        ..list
    };
    let page = calls.list_memberships(next).await.unwrap().into_inner();
    assert_eq!(page.memberships[0].user.as_ref().unwrap().username, "olga");
    assert_eq!(page.next_page_token, "");
}

async fn a_membership_that_is_given_again_has_another_etag(engine: Engine) {
    let server = TestServer::start(engine).await;
    server.group("acme").await;
    server.user("ann").await;
    let mut calls = server.directory(&server.root);
    let upsert = pb::UpdateMembershipRequest {
        container: Some(in_group("acme")),
        user: Some(user_named("ann")),
        access_level: AccessLevel::Guest.into(),
        allow_missing: true,
        ..Default::default()
    };
    let first = calls
        .update_membership(upsert.clone())
        .await
        .unwrap()
        .into_inner();
    let kept = calls
        .update_membership(upsert.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(first.created && !kept.created);
    assert_eq!(first.membership, kept.membership);
    calls
        .delete_membership(end(in_group("acme"), "ann"))
        .await
        .unwrap();
    let etag = first.membership.unwrap().etag;
    let guarded = pb::UpdateMembershipRequest {
        etag: etag.clone(),
        ..upsert.clone()
    };
    assert_eq!(
        reason(calls.update_membership(guarded).await),
        "MEMBERSHIP_NOT_FOUND"
    );
    let again = calls.update_membership(upsert).await.unwrap().into_inner();
    assert!(again.created);
    assert_ne!(again.membership.unwrap().etag, etag);
}

async fn a_share_is_made_changed_listed_and_ended(engine: Engine) {
    let server = TestServer::start(engine).await;
    for path in ["acme", "acme/shop", "crew", "crew/hidden"] {
        server.group(path).await;
    }
    let (_, olga) = server.user("olga").await;
    server.member(in_group("acme"), "olga", AccessLevel::Owner).await;
    server
        .member(in_group("crew"), "olga", AccessLevel::Minimal)
        .await;
    let mut calls = server.directory(&olga);
    for relative in ["acme", "acme/shop"] {
        let refused = calls
            .create_group_share(share(in_group("acme"), relative, AccessLevel::Guest))
            .await;
        assert_eq!(violations(refused)[0].0, "group", "{relative}");
    }
    let made = share(in_group("acme"), "crew", AccessLevel::Guest);
    calls.create_group_share(made.clone()).await.unwrap();
    assert_eq!(violations(calls.create_group_share(made).await)[0].0, "group");
    let update = pb::UpdateGroupShareRequest {
        container: Some(in_group("acme")),
        group: Some(group_at("crew")),
        access_level: AccessLevel::Developer.into(),
        ..Default::default()
    };
    let changed = calls
        .update_group_share(update.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(!changed.created);
    let changed = changed.group_share.unwrap();
    assert_eq!(changed.access_level(), AccessLevel::Developer);
    let get = pb::GetGroupShareRequest {
        container: Some(in_group("acme")),
        group: Some(group_at("CREW")),
    };
    let got = calls.get_group_share(get).await.unwrap().into_inner().group_share;
    assert_eq!(got.as_ref(), Some(&changed));
    let list = pb::ListGroupSharesRequest {
        container: Some(in_group("acme")),
        want_total: true,
        ..Default::default()
    };
    let list = calls.list_group_shares(list).await.unwrap().into_inner();
    assert_eq!((list.group_shares, list.total_size), (vec![changed], Some(1)));
    let end = pb::DeleteGroupShareRequest {
        container: Some(in_group("acme")),
        group: Some(group_at("crew")),
        ..Default::default()
    };
    calls.delete_group_share(end.clone()).await.unwrap();
    assert_eq!(
        reason(calls.delete_group_share(end).await),
        "GROUP_SHARE_NOT_FOUND"
    );
    let upsert = pb::UpdateGroupShareRequest {
        allow_missing: true,
        ..update
    };
    assert!(
        calls
            .update_group_share(upsert)
            .await
            .unwrap()
            .into_inner()
            .created
    );
}
