//! Whatever is thrown at the sidecar: no 5xx, always JSON, and a refusal has `message` or `error`.

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::Value;

use crate::support::{
    engine::{Engine, on_both_engines},
    rest::{Ask, Reply, Site},
};

on_both_engines! {
    nothing_that_is_sent_gets_a_5xx_or_anything_but_json
}

const REQUESTS: usize = 1500;

/// Parts of requests: what means something, and what should mean nothing.
fn request() -> impl Strategy<Value = (String, String, String, Vec<u8>)> {
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]);
    let part = prop_oneof![
        6 => prop::sample::select(vec![
            "projects", "1", "acme%2Fweb", "deployments", "environments", "stop", "user", "version", "2", "-1", "..",
            ".", "", "%", "%ff", "%00", "%2e%2e", "99999999999999999999", "stop_stale", "review_apps", "1.json",
        ])
        .prop_map(str::to_owned),
        1 => "[!-~&&[^ #?/]]{0,12}",
    ];
    let target = prop_oneof![
        1 => prop::collection::vec(part, 0..6).prop_map(|parts| parts.join("/")),
        3 => prop::sample::select(vec![
            "projects/1/deployments", "projects/1/deployments/1", "projects/1/environments",
            "projects/1/environments/1", "projects/1/environments/1/stop", "projects/1/environments/stop_stale",
            "projects/1/environments/review_apps", "projects/1",
        ])
        .prop_map(str::to_owned),
    ];
    let name = prop::sample::select(vec![
        "page",
        "per_page",
        "order_by",
        "sort",
        "status",
        "environment",
        "updated_after",
        "finished_before",
        "ref",
        "sha",
        "tag",
        "name",
        "tier",
        "external_url",
        "slug",
        "search",
        "states",
        "pagination",
        "cursor",
        "before",
        "limit",
        "dry_run",
        "force",
        "a[]",
        "a[b]",
        "page[]",
        "status[x]",
        "description",
        "auto_stop_setting",
    ]);
    let value = prop_oneof![
        3 => prop::sample::select(vec![
            "1", "0", "-1", "success", "running", "keyset", "ref", "desc", "true", "no", "2019-03-15", "qa", "prod%2Fx",
            "a91957a858320c0e17f3a0eca7cfacbff50ea29a", "9223372036854775807", "9223372036854775808", "0001-01-01",
            "9999-12-31T23:59:59-23:59", "%ff", "%00", "%F0%9F%9A%80", "", "null",
        ])
        .prop_map(str::to_owned),
        1 => "[!-~&&[^ #]]{0,20}",
    ];
    let form = prop::collection::vec((name, value), 0..6).prop_map(|pairs| {
        pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("&")
    });
    let content_type = prop::sample::select(vec![
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "a",
    ]);
    let body = prop_oneof![
        2 => form.clone().prop_map(String::into_bytes),
        2 => json().prop_map(|json| json.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..80),
    ];
    (method, target, form, content_type, body).prop_map(|(method, target, query, content_type, body)| {
        (
            method.to_owned(),
            format!("{target}?{query}"),
            content_type.to_owned(),
            body,
        )
    })
}

fn json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "environment",
        "sha",
        "ref",
        "tag",
        "status",
        "name",
        "tier",
        "external_url",
        "before",
        "limit",
        "force",
        "description",
        "page",
        "sudo",
        "slug",
    ]);
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        prop::sample::select(vec!["success", "qa", "main", "a91957a", "2016-01-01"]).prop_map(Value::from),
        Just(serde_json::json!([1, {"a": []}])),
    ];
    prop::collection::vec((name, value), 0..7).prop_map(|members| {
        members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    })
}

#[track_caller]
fn assert_sound(request: &Ask, reply: &Reply) {
    assert!(reply.status < 500, "{request:?} {reply:?}");
    assert!(!(300..400).contains(&reply.status), "{request:?} {reply:?}");
    if reply.body.is_empty() {
        return;
    }
    assert_eq!(
        reply.header("content-type"),
        Some("application/json"),
        "{request:?} {reply:?}"
    );
    let body = reply.json();
    if reply.status >= 400 {
        assert!(
            body.get("message").is_some() != body.get("error").is_some(),
            "{request:?} {reply:?}"
        );
    }
}

async fn nothing_that_is_sent_gets_a_5xx_or_anything_but_json(engine: Engine) {
    let site = Site::new(engine).await;
    site.deploy("qa", "main", "success").await;
    // The same requests in every run: a failure is met again.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let requests = request();
    for _ in 0..REQUESTS {
        let (method, target, content_type, body) = requests.new_tree(&mut runner).unwrap().current();
        let request = Ask::new(&method, &format!("/api/v4/{target}"))
            .by(&site.world.maintainer)
            .body(&content_type, body);
        assert_sound(&request, &site.send(&request).await);
    }
}
