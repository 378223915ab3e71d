//! Who calls (contract 3.1), and what is checked before what (product decision 19).

use chrono::TimeDelta;
use gatehouse::{clock::Clock as _, pb::v1 as pb};
use serde_json::json;

use crate::support::{
    engine::{Engine, on_both_engines},
    in_project,
    rest::{Ask, Site},
    user_named,
};

on_both_engines! {
    without_a_usable_token_nobody_gets_in
    an_expired_or_revoked_token_is_told_and_challenged
    a_token_that_may_only_read_reads_and_heads
    a_blocked_user_is_told_so
    an_administrator_may_act_as_anybody_and_nobody_else_may
    every_check_goes_before_the_next_one
    a_public_project_is_read_by_anyone_signed_in_and_written_by_its_members
}

const UNAUTHORIZED: (u16, &str) = (401, r#"{"message":"401 Unauthorized"}"#);
const FORBIDDEN: (u16, &str) = (403, r#"{"message":"403 Forbidden"}"#);
const SCOPE: (u16, &str) = (
    403,
    r#"{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api read_api"}"#,
);

/// A token of Rita's.
async fn token(site: &Site, request: pb::CreateTokenRequest) -> (i64, String) {
    let request = pb::CreateTokenRequest {
        user: Some(user_named("rita")),
        name: "test".into(),
        scopes: vec![pb::TokenScope::Api.into()],
        ..request
    };
    let server = &site.world.server;
    let made = server
        .tokens(&server.root)
        .create_token(request)
        .await
        .unwrap()
        .into_inner();
    (made.token.unwrap().id, made.secret)
}

async fn without_a_usable_token_nobody_gets_in(engine: Engine) {
    let site = Site::new(engine).await;
    let read = || Ask::new("GET", "projects/1/deployments");
    let job = Ask::new("GET", "projects/1/deployments?job_token=unknown");
    for request in [
        read(),
        read().by(""),
        read().by("glpat-unknown"),
        read().by("two words"),
        read().header("Authorization", "Basic cm9vdDpwYXNz"),
        read().header("Authorization", "Bearer"),
        read().header("JOB-TOKEN", "unknown"),
        job,
        Ask::new("GET", "projects/1"),
        Ask::new("GET", "user"),
        Ask::new("GET", "version"),
    ] {
        let refused = site.send(&request).await;
        assert_eq!(refused.told(), UNAUTHORIZED, "{request:?}");
        assert_eq!(refused.header("www-authenticate"), None, "{request:?}");
    }
}

async fn an_expired_or_revoked_token_is_told_and_challenged(engine: Engine) {
    let site = Site::new(engine).await;
    let tomorrow = site.clock.now() + TimeDelta::days(1);
    let expires_at = Some(prost_types::Timestamp {
        seconds: tomorrow.timestamp(),
        nanos: 0,
    });
    let (_, expiring) = token(
        &site,
        pb::CreateTokenRequest {
            expires_at,
            ..Default::default()
        },
    )
    .await;
    let (id, revoked) = token(&site, pb::CreateTokenRequest::default()).await;
    let server = &site.world.server;
    let request = pb::RevokeTokenRequest {
        token_id: id,
        ..Default::default()
    };
    server.tokens(&server.root).revoke_token(request).await.unwrap();
    site.clock.advance(TimeDelta::days(2));
    for (token, text) in [
        (
            expiring,
            "Token is expired. You can either do re-authorization or token refresh.",
        ),
        (
            revoked,
            "Token was revoked. You have to re-authorize from the user.",
        ),
    ] {
        let refused = site
            .send(&Ask::new("GET", "projects/1/deployments").by(&token))
            .await;
        let body = json!({"error": "invalid_token", "error_description": text}).to_string();
        assert_eq!(refused.told(), (401, body.as_str()));
        let challenge = format!(
            "Bearer realm=\"Protected by OAuth 2.0\", error=\"invalid_token\", error_description=\"{text}\""
        );
        assert_eq!(refused.header("www-authenticate"), Some(challenge.as_str()));
    }
}

async fn a_token_that_may_only_read_reads_and_heads(engine: Engine) {
    let site = Site::new(engine).await;
    let server = &site.world.server;
    let (_, reader) = server.user_with("ray", &[pb::TokenScope::ReadApi]).await;
    server
        .member(in_project("acme/web"), "ray", pb::AccessLevel::Maintainer)
        .await;
    for (method, target) in [
        ("GET", "projects/1/deployments"),
        ("HEAD", "projects/1"),
        ("GET", "user"),
    ] {
        assert_eq!(
            site.send(&Ask::new(method, target).by(&reader)).await.status,
            200,
            "{method} {target}"
        );
    }
    let create = Ask::new("POST", "projects/1/environments")
        .by(&reader)
        .json(r#"{"name":"qa"}"#);
    let refused = site.send(&create).await;
    assert_eq!(refused.told(), SCOPE);
    assert_eq!(refused.header("www-authenticate"), None);
}

async fn a_blocked_user_is_told_so(engine: Engine) {
    let site = Site::new(engine).await;
    let server = &site.world.server;
    let request = pb::UpdateUserRequest {
        user: Some(user_named("rita")),
        state: Some(pb::UserState::Blocked.into()),
        ..Default::default()
    };
    server.directory(&server.root).update_user(request).await.unwrap();
    let refused = site
        .send(&Ask::new("GET", "projects/1/deployments").by(&site.world.reporter))
        .await;
    let text = r#"{"message":"403 Forbidden - Your account has been blocked."}"#;
    assert_eq!(refused.told(), (403, text));
}

async fn an_administrator_may_act_as_anybody_and_nobody_else_may(engine: Engine) {
    let site = Site::new(engine).await;
    let root = site.world.server.root.as_str();
    for request in [
        Ask::new("GET", "user").header("Sudo", "dora"),
        Ask::new("GET", "user").header("sudo", "DORA"),
        Ask::new("GET", "user?sudo=dora"),
    ] {
        let reply = site.send(&request.by(root)).await;
        assert_eq!(reply.json()["username"], "dora", "{reply:?}");
    }
    let refused = site.ask("GET", "user?sudo=dora").await;
    assert_eq!(
        refused.told(),
        (403, r#"{"message":"403 Forbidden - Must be admin to use sudo"}"#)
    );
    for (sudo, shown) in [("nobody", "nobody"), ("999", "999"), ("j%C3%B6rg", "jörg")] {
        let refused = site
            .send(&Ask::new("GET", &format!("user?sudo={sudo}")).by(root))
            .await;
        let body =
            json!({"message": format!("404 User with ID or username '{shown}' Not Found")}).to_string();
        assert_eq!(refused.told(), (404, body.as_str()));
    }
    assert_eq!(
        site.send(&Ask::new("GET", "user?sudo=dora")).await.told(),
        UNAUTHORIZED
    );
}

async fn every_check_goes_before_the_next_one(engine: Engine) {
    let site = Site::new(engine).await;
    let server = &site.world.server;
    let (_, reader) = server.user_with("ray", &[pb::TokenScope::ReadApi]).await;
    server
        .member(in_project("acme/web"), "ray", pb::AccessLevel::Guest)
        .await;
    let (_, guest) = server.user("gus").await;
    server
        .member(in_project("acme/web"), "gus", pb::AccessLevel::Guest)
        .await;
    let (_, stranger) = server.user("sam").await;
    let (developer, maintainer) = (&site.world.developer, &site.world.maintainer);
    let no_route = (404, r#"{"error":"404 Not Found"}"#);
    let no_status = (
        400,
        r#"{"error":"status is missing, status does not have a valid value"}"#,
    );
    let no_project = (404, r#"{"message":"404 Project Not Found"}"#);
    let not_found = (404, r#"{"message":"404 Not found"}"#);
    let put = |target: &str| Ask::new("PUT", target);
    let one = "projects/1/deployments/9";
    for (request, expected) in [
        // the route, before the token
        (put("projects/1/deployment/9"), no_route),
        (Ask::new("PATCH", one).json("{"), no_route),
        // the token's absence, before the body
        (put(one).json("{"), UNAUTHORIZED),
        (put(one).body("text/xml", "<a/>"), UNAUTHORIZED),
        // body and parameters, before the token is judged
        (put(one).by("unknown"), no_status),
        (put("projects/9/deployments/9").by(&stranger), no_status),
        // the token, before its scope, before the project
        (
            put("projects/9/deployments/9")
                .by("unknown")
                .form("status=success"),
            UNAUTHORIZED,
        ),
        (
            put("projects/9/deployments/9").by(&reader).form("status=success"),
            SCOPE,
        ),
        // the project, before permissions
        (
            put("projects/9/deployments/9").by(&guest).form("status=success"),
            no_project,
        ),
        (put(one).by(&stranger).form("status=success"), no_project),
        // permissions, before the record
        (put(one).by(&guest).form("status=success"), FORBIDDEN),
        (Ask::new("GET", one).by(&guest), FORBIDDEN),
        (Ask::new("DELETE", one).by(developer), FORBIDDEN),
        (put(one).by(developer).form("status=success"), not_found),
        (Ask::new("DELETE", one).by(maintainer), not_found),
    ] {
        assert_eq!(site.send(&request).await.told(), expected, "{request:?}");
    }
}

async fn a_public_project_is_read_by_anyone_signed_in_and_written_by_its_members(engine: Engine) {
    let site = Site::new(engine).await;
    let server = &site.world.server;
    let open = server.project("acme/open", pb::Visibility::Public).await.id;
    let (_, stranger) = server.user("sam").await;
    let list = format!("projects/{open}/deployments");
    assert_eq!(site.send(&Ask::new("GET", &list)).await.told(), UNAUTHORIZED);
    assert_eq!(
        site.send(&Ask::new("GET", &list).by(&stranger)).await.told(),
        (200, "[]")
    );
    let create = Ask::new("POST", &format!("projects/{open}/environments"))
        .by(&stranger)
        .form("name=qa");
    assert_eq!(site.send(&create).await.told(), FORBIDDEN);
    let create = Ask::new("POST", "projects/1/environments")
        .by(&stranger)
        .form("name=qa");
    assert_eq!(
        site.send(&create).await.told(),
        (404, r#"{"message":"404 Project Not Found"}"#)
    );
}
