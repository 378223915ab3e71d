//! Who calls: by which token, in whose name. That a reading token is refused by every mutation stands in the matrix.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use gatehouse::{
    clock::ManualClock,
    pb::v1::{self as pb, TokenScope, token_service_client::TokenServiceClient},
};
use prost_types::Timestamp;
use tonic::{Code, Request, metadata::MetadataValue};
use tonic_types::StatusExt as _;

use crate::support::{
    TestServer,
    engine::{Engine, on_both_engines},
    reason, user_named,
};

on_both_engines! {
    a_caller_is_known_by_either_kind_of_metadata
    expiry_is_told_before_revocation_and_both_before_scope_and_block
    only_an_administrator_acts_as_another_who_may_act
    the_last_use_of_a_token_is_kept_to_ten_minutes
}

/// Asks who the caller is, with these metadata and nothing else.
async fn who(
    server: &TestServer,
    metadata: &[(&'static str, &str)],
) -> Result<pb::WhoAmIResponse, tonic::Status> {
    let mut request = Request::new(pb::WhoAmIRequest {});
    for (key, value) in metadata {
        // Bytes, because a token may come with anything.
        request
            .metadata_mut()
            .insert(*key, MetadataValue::try_from(value.as_bytes()).unwrap());
    }
    TokenServiceClient::new(server.channel())
        .who_am_i(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn change(server: &TestServer, username: &str, change: impl FnOnce(&mut pb::UpdateUserRequest)) {
    let mut request = pb::UpdateUserRequest {
        user: Some(user_named(username)),
        ..Default::default()
    };
    change(&mut request);
    server.directory(&server.root).update_user(request).await.unwrap();
}

async fn a_caller_is_known_by_either_kind_of_metadata(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (id, token) = server.user("ann").await;
    let bearer = format!("Bearer {token}");
    let lower = format!("bearer  {token} ");
    for metadata in [
        &[("private-token", token.as_str())][..],
        &[("authorization", bearer.as_str())],
        &[("authorization", lower.as_str())],
        &[
            ("private-token", token.as_str()),
            ("authorization", "Bearer nonsense"),
        ],
    ] {
        assert_eq!(
            who(&server, metadata).await.unwrap().user.unwrap().id,
            id,
            "{metadata:?}"
        );
    }
    let basic = format!("Basic {token}");
    let twice = format!("{token}{token}");
    let upper = token.to_uppercase();
    for (metadata, why) in [
        (&[][..], "TOKEN_MISSING"),
        (&[("authorization", basic.as_str())], "TOKEN_MISSING"),
        (&[("authorization", token.as_str())], "TOKEN_MISSING"),
        (&[("private-token", "")], "TOKEN_INVALID"),
        (&[("private-token", twice.as_str())], "TOKEN_INVALID"),
        (&[("private-token", upper.as_str())], "TOKEN_INVALID"),
        (&[("private-token", "\u{e9}\u{1f680}")], "TOKEN_INVALID"),
        (&[("authorization", "Bearer nonsense")], "TOKEN_INVALID"),
        (
            &[("private-token", "nonsense"), ("authorization", bearer.as_str())],
            "TOKEN_INVALID",
        ),
    ] {
        let refusal = who(&server, metadata).await.unwrap_err();
        assert_eq!(refusal.code(), Code::Unauthenticated, "{metadata:?}");
        assert_eq!(reason::<()>(Err(refusal)), why, "{metadata:?}");
    }
}

async fn expiry_is_told_before_revocation_and_both_before_scope_and_block(engine: Engine) {
    let begin = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let clock = Arc::new(ManualClock::at(begin));
    let server = TestServer::start_with(engine, Arc::<ManualClock>::clone(&clock)).await;
    let (id, _) = server.user("ann").await;
    let request = pb::CreateTokenRequest {
        user: Some(user_named("ann")),
        name: "short".into(),
        scopes: vec![TokenScope::ReadApi.into()],
        expires_at: Some(Timestamp {
            seconds: begin.timestamp() + 3_600,
            nanos: 0,
        }),
        ..Default::default()
    };
    let made = server
        .tokens(&server.root)
        .create_token(request)
        .await
        .unwrap()
        .into_inner();
    let mutate = async || {
        let request = pb::CreateTokenRequest {
            name: "x".into(),
            ..Default::default()
        };
        server.tokens(&made.secret).create_token(request).await
    };
    let refusal = mutate().await.unwrap_err();
    assert_eq!(refusal.code(), Code::PermissionDenied);
    let info = refusal.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.metadata["scopes"].as_str()),
        ("INSUFFICIENT_SCOPE", "api read_api")
    );

    change(&server, "ann", |user| user.set_state(pb::UserState::Blocked)).await;
    let read = async || who(&server, &[("private-token", &made.secret)]).await;
    assert_eq!(reason(read().await), "USER_BLOCKED");
    assert_eq!(reason(mutate().await), "INSUFFICIENT_SCOPE");
    let revoke = pb::RevokeTokenRequest {
        token_id: made.token.as_ref().unwrap().id,
        ..Default::default()
    };
    server.tokens(&server.root).revoke_token(revoke).await.unwrap();
    assert_eq!(reason(mutate().await), "TOKEN_REVOKED");
    assert_eq!(reason(read().await), "TOKEN_REVOKED");
    clock.set(begin + TimeDelta::hours(1) - TimeDelta::milliseconds(1));
    assert_eq!(reason(read().await), "TOKEN_REVOKED");
    clock.set(begin + TimeDelta::hours(1));
    assert_eq!(reason(read().await), "TOKEN_EXPIRED");

    let delete = pb::DeleteUserRequest {
        user: Some(user_named("ann")),
        ..Default::default()
    };
    server.directory(&server.root).delete_user(delete).await.unwrap();
    assert_eq!(
        reason(read().await),
        "TOKEN_INVALID",
        "the tokens of user {id} went with them"
    );
}

async fn only_an_administrator_acts_as_another_who_may_act(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (ann, ann_token) = server.user("ann").await;
    server.user("bob").await;
    change(&server, "bob", |user| user.set_state(pb::UserState::Blocked)).await;
    let id = ann.to_string();
    let root = server.root.as_str();
    for name in [id.as_str(), "ann", "ANN"] {
        let me = who(&server, &[("private-token", root), ("sudo", name)])
            .await
            .unwrap();
        assert_eq!(me.user.unwrap().id, ann);
        assert_ne!(
            me.token.unwrap().user_id,
            ann,
            "the token presented stays whose it is"
        );
    }
    assert_eq!(
        who(&server, &[("private-token", root), ("sudo", "")])
            .await
            .unwrap()
            .user
            .unwrap()
            .username,
        "root"
    );
    for (token, sudo, why, code) in [
        (
            ann_token.as_str(),
            "root",
            "SUDO_NOT_ADMIN",
            Code::PermissionDenied,
        ),
        (&ann_token, "ann", "SUDO_NOT_ADMIN", Code::PermissionDenied),
        (&ann_token, "nobody", "SUDO_NOT_ADMIN", Code::PermissionDenied),
        ("nonsense", "ann", "TOKEN_INVALID", Code::Unauthenticated),
        (root, "nobody", "SUDO_USER_NOT_FOUND", Code::NotFound),
        (root, "0", "SUDO_USER_NOT_FOUND", Code::NotFound),
        (root, "-1", "SUDO_USER_NOT_FOUND", Code::NotFound),
        (
            root,
            "99999999999999999999",
            "SUDO_USER_NOT_FOUND",
            Code::NotFound,
        ),
        (root, "\u{1f680}", "SUDO_USER_NOT_FOUND", Code::NotFound),
        (root, "bob", "USER_BLOCKED", Code::PermissionDenied),
    ] {
        let refusal = who(&server, &[("private-token", token), ("sudo", sudo)])
            .await
            .unwrap_err();
        assert_eq!(refusal.code(), code, "{sudo}");
        assert_eq!(reason::<()>(Err(refusal)), why, "{sudo}");
    }
    // Whoever acts as another has the other's rights, not their own.
    let mut calls =
        pb::directory_service_client::DirectoryServiceClient::new(server.client_as(root, Some("ann")));
    let request = pb::CreateUserRequest {
        username: "new".into(),
        ..Default::default()
    };
    assert_eq!(reason(calls.create_user(request).await), "PERMISSION_DENIED");
}

async fn the_last_use_of_a_token_is_kept_to_ten_minutes(engine: Engine) {
    let begin = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let clock = Arc::new(ManualClock::at(begin));
    let server = TestServer::start_with(engine, Arc::<ManualClock>::clone(&clock)).await;
    let (_, token) = server.user("ann").await;
    let last = async || {
        let request = pb::ListTokensRequest {
            user: Some(user_named("ann")),
            ..Default::default()
        };
        let answer = server
            .tokens(&server.root)
            .list_tokens(request)
            .await
            .unwrap()
            .into_inner();
        answer.tokens[0]
            .last_used_at
            .map(|at| at.seconds - begin.timestamp())
    };
    assert_eq!(last().await, None);
    for (minute, kept) in [(0, 0), (9, 0), (10, 600), (15, 600), (60, 3_600)] {
        clock.set(begin + TimeDelta::minutes(minute));
        let me = who(&server, &[("private-token", &token)]).await.unwrap();
        assert_eq!(last().await, Some(kept));
        assert_eq!(
            me.token.unwrap().last_used_at.unwrap().seconds - begin.timestamp(),
            kept
        );
    }
    // A refused call is no use.
    let (_, blocked) = server.user("bob").await;
    change(&server, "bob", |user| user.set_state(pb::UserState::Blocked)).await;
    assert_eq!(
        reason(who(&server, &[("private-token", &blocked)]).await),
        "USER_BLOCKED"
    );
    let request = pb::ListTokensRequest {
        user: Some(user_named("bob")),
        ..Default::default()
    };
    let answer = server
        .tokens(&server.root)
        .list_tokens(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.tokens[0].last_used_at, None);
}
