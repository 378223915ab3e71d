//! Tokens, black box.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use gatehouse::{
    clock::ManualClock,
    pb::v1::{self as pb, TokenScope},
};
use prost_types::Timestamp;

use crate::support::{
    TestServer,
    engine::{Engine, on_both_engines},
    reason, user_named, violations,
};

on_both_engines! {
    a_secret_is_shown_once_and_works
    a_token_ends_by_expiry_or_revocation_and_not_after_its_creator
    tokens_of_others_are_for_administrators
    a_bad_token_is_refused_with_its_fields_and_a_reading_one_makes_none
}

fn begin() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn create(name: &str) -> pb::CreateTokenRequest {
    pb::CreateTokenRequest {
        name: name.into(),
        scopes: vec![TokenScope::Api.into()],
        ..Default::default()
    }
}

fn in_hours(hours: i64) -> Timestamp {
    let at = begin() + TimeDelta::hours(hours);
    Timestamp {
        seconds: at.timestamp(),
        nanos: 0,
    }
}

async fn a_secret_is_shown_once_and_works(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (id, ann) = server.user("ann").await;
    let mut calls = server.tokens(&ann);
    let request = pb::CreateTokenRequest {
        request_id: "once".into(),
        ..create("ci")
    };
    let checked = pb::CreateTokenRequest {
        validate_only: true,
        ..request.clone()
    };
    assert_eq!(calls.create_token(checked).await.unwrap().into_inner().secret, "");
    let first = calls.create_token(request.clone()).await.unwrap().into_inner();
    assert!(first.secret.starts_with("gth-"));
    let again = calls.create_token(request).await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    let again = again.into_inner();
    assert_eq!((again.secret.as_str(), &again.token), ("", &first.token));
    let me = server
        .tokens(&first.secret)
        .who_am_i(pb::WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(me.user.unwrap().id, id);
    assert_eq!(me.token.unwrap().id, first.token.unwrap().id);
}

async fn a_token_ends_by_expiry_or_revocation_and_not_after_its_creator(engine: Engine) {
    let clock = Arc::new(ManualClock::at(begin()));
    let server = TestServer::start_with(engine, Arc::<ManualClock>::clone(&clock)).await;
    let (_, ann) = server.user("ann").await;
    let short = pb::CreateTokenRequest {
        expires_at: Some(in_hours(1)),
        ..create("short")
    };
    let short = server
        .tokens(&ann)
        .create_token(short)
        .await
        .unwrap()
        .into_inner();
    let long = pb::CreateTokenRequest {
        expires_at: Some(in_hours(9)),
        ..create("long")
    };
    let cut = server
        .tokens(&short.secret)
        .create_token(long)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(cut.token.unwrap().expires_at, Some(in_hours(1)));

    let revoke = pb::RevokeTokenRequest {
        token_id: short.token.unwrap().id,
        ..Default::default()
    };
    let mut calls = server.tokens(&ann);
    let revoked = calls
        .revoke_token(revoke.clone())
        .await
        .unwrap()
        .into_inner()
        .token;
    assert!(revoked.as_ref().unwrap().revoked_at.is_some());
    clock.advance(TimeDelta::minutes(5));
    let again = calls.revoke_token(revoke).await.unwrap().into_inner().token;
    assert_eq!(again.unwrap().revoked_at, revoked.unwrap().revoked_at);
    let answer = server.tokens(&short.secret).who_am_i(pb::WhoAmIRequest {}).await;
    assert_eq!(reason(answer), "TOKEN_REVOKED");
    clock.advance(TimeDelta::hours(1));
    let answer = server.tokens(&cut.secret).who_am_i(pb::WhoAmIRequest {}).await;
    assert_eq!(reason(answer), "TOKEN_EXPIRED");
}

async fn tokens_of_others_are_for_administrators(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (_, ann) = server.user("ann").await;
    let (_, bob) = server.user("bob").await;
    let mut calls = server.tokens(&bob);
    let for_ann = pb::CreateTokenRequest {
        user: Some(user_named("ann")),
        ..create("x")
    };
    assert_eq!(reason(calls.create_token(for_ann).await), "PERMISSION_DENIED");
    let list = pb::ListTokensRequest {
        user: Some(user_named("ann")),
        want_total: true,
        ..Default::default()
    };
    assert_eq!(reason(calls.list_tokens(list.clone()).await), "PERMISSION_DENIED");
    let page = server
        .tokens(&ann)
        .list_tokens(list.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.total_size, Some(1));
    let theirs = pb::RevokeTokenRequest {
        token_id: page.tokens[0].id,
        ..Default::default()
    };
    assert_eq!(
        reason(calls.revoke_token(theirs.clone()).await),
        "TOKEN_NOT_FOUND"
    );
    let missing = pb::RevokeTokenRequest {
        token_id: 999,
        ..Default::default()
    };
    assert_eq!(reason(calls.revoke_token(missing).await), "TOKEN_NOT_FOUND");
    server.tokens(&server.root).list_tokens(list).await.unwrap();
    server.tokens(&server.root).revoke_token(theirs).await.unwrap();
}

async fn a_bad_token_is_refused_with_its_fields_and_a_reading_one_makes_none(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (_, reader) = server.user_with("reader", &[TokenScope::ReadApi]).await;
    let mut calls = server.tokens(&server.root);
    let bad = pb::CreateTokenRequest {
        expires_at: Some(Timestamp { seconds: 1, nanos: 0 }),
        ..Default::default()
    };
    let fields: Vec<_> = violations(calls.create_token(bad).await)
        .into_iter()
        .map(|(f, _)| f)
        .collect();
    assert_eq!(fields, ["name", "scopes", "expires_at"]);
    let odd = pb::CreateTokenRequest {
        scopes: vec![TokenScope::Unspecified.into()],
        ..create("odd")
    };
    assert_eq!(violations(calls.create_token(odd).await)[0].0, "scopes");
    let made = server.tokens(&reader).create_token(create("more")).await;
    assert_eq!(reason(made), "INSUFFICIENT_SCOPE");
    server
        .tokens(&reader)
        .who_am_i(pb::WhoAmIRequest {})
        .await
        .unwrap();
}
