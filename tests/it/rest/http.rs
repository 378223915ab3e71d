//! What every answer has, and how paths, methods and odd requests are met (contract 3.3 and 3.7).

use gatehouse::rest::Options;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    engine::{Engine, on_both_engines},
    rest::{Ask, Reply, RestServer, Site},
};

on_both_engines! {
    every_documented_path_is_served_by_exactly_its_methods
    unknown_paths_and_the_old_api_are_told_apart_without_a_token
    the_suffix_json_and_a_trailing_slash_change_nothing
    every_answer_has_the_common_headers
    a_browser_of_another_site_may_ask_and_read
    requests_that_are_not_http_never_get_a_5xx
    a_body_that_drips_is_given_up_on
    requests_under_way_are_finished_when_the_sidecar_stops
}

const NO_ROUTE: (u16, &str) = (404, r#"{"error":"404 Not Found"}"#);

/// Every documented path of these versions, with its methods.
const PATHS: &[(&str, &str)] = &[
    ("version", "OPTIONS, GET, HEAD"),
    ("metadata", "OPTIONS, GET, HEAD"),
    ("user", "OPTIONS, GET, HEAD"),
    ("projects/1", "OPTIONS, GET, PUT, HEAD"),
    ("projects/1/deployments", "OPTIONS, GET, POST, HEAD"),
    ("projects/1/deployments/1", "OPTIONS, GET, PUT, DELETE, HEAD"),
    ("projects/1/deployments/1/approval", "OPTIONS, POST"),
    ("projects/1/environments", "OPTIONS, GET, POST, HEAD"),
    ("projects/1/environments/1", "OPTIONS, GET, PUT, DELETE, HEAD"),
    ("projects/1/environments/1/stop", "OPTIONS, POST"),
    ("projects/1/protected_environments", "OPTIONS, GET, POST, HEAD"),
    (
        "projects/1/protected_environments/qa",
        "OPTIONS, GET, PUT, DELETE, HEAD",
    ),
    ("groups/1/protected_environments", "OPTIONS, GET, POST, HEAD"),
    (
        "groups/1/protected_environments/staging",
        "OPTIONS, GET, PUT, DELETE, HEAD",
    ),
];

async fn every_documented_path_is_served_by_exactly_its_methods(engine: Engine) {
    let site = Site::new(engine).await;
    for (path, allow) in PATHS {
        let options = site.send(&Ask::new("OPTIONS", path)).await;
        assert_eq!(
            (options.told(), options.header("allow")),
            ((204, ""), Some(*allow)),
            "{path}"
        );
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            let known = allow.split(", ").any(|allowed| allowed == method);
            // Nobody's request: a path that is served asks for a token first.
            let status = site.send(&Ask::new(method, path)).await.status;
            assert_eq!(status, if known { 401 } else { 404 }, "{method} {path}");
        }
    }
    for (method, path) in [
        ("POST", "projects/1/environments/stop_stale"),
        ("DELETE", "projects/1/environments/review_apps"),
    ] {
        assert_eq!(
            site.send(&Ask::new(method, path)).await.status,
            401,
            "{method} {path}"
        );
    }
}

async fn unknown_paths_and_the_old_api_are_told_apart_without_a_token(engine: Engine) {
    let site = Site::new(engine).await;
    let gone = (
        410,
        r#"{"error":"API V3 is no longer supported. Use API V4 instead."}"#,
    );
    for (method, target, expected) in [
        ("GET", "/", NO_ROUTE),
        ("GET", "/api/v4", NO_ROUTE),
        ("GET", "/api/v4/", NO_ROUTE),
        ("GET", "/api/v5/projects/1", NO_ROUTE),
        ("OPTIONS", "/api/v4/nowhere", NO_ROUTE),
        ("OPTIONS", "/*", NO_ROUTE),
        ("GET", "projects/1/deployments.xml", NO_ROUTE),
        ("GET", "projects/1/Deployments", NO_ROUTE),
        ("GET", "/api%2Fv4/version", NO_ROUTE),
        ("GET", "/api/v3", gone),
        ("GET", "/api/v3/projects/1/deployments", gone),
        ("POST", "/api/v3/projects?private_token=x", gone),
    ] {
        assert_eq!(
            site.send(&Ask::new(method, target)).await.told(),
            expected,
            "{method} {target}"
        );
    }
}

async fn the_suffix_json_and_a_trailing_slash_change_nothing(engine: Engine) {
    let site = Site::new(engine).await;
    let id = site.deploy("qa", "main", "running").await;
    for path in [
        "projects/1/deployments".to_owned(),
        format!("projects/1/deployments/{id}"),
        "projects/1".into(),
    ] {
        let plain = site.ask("GET", &path).await;
        assert_eq!(plain.status, 200);
        for variant in [format!("{path}.json"), format!("{path}/")] {
            assert_eq!(site.ask("GET", &variant).await.told(), plain.told(), "{variant}");
        }
    }
    let name = site.ask("GET", "projects/acme%2Fweb.json").await;
    assert_eq!(
        name.told(),
        (404, r#"{"message":"404 Project Not Found"}"#),
        "never from a name"
    );
}

async fn every_answer_has_the_common_headers(engine: Engine) {
    let site = Site::new(engine).await;
    for request in [
        Ask::new("GET", "projects/1")
            .by(&site.world.reporter)
            .header("Accept", "text/html"),
        Ask::new("GET", "projects/1"),
        Ask::new("GET", "nowhere"),
        Ask::new("GET", "/api/v3/x"),
        Ask::new("OPTIONS", "version"),
    ] {
        let reply = site.send(&request.clone().header("X-Request-Id", "id-7")).await;
        for (name, value) in [
            ("x-frame-options", "SAMEORIGIN"),
            ("x-content-type-options", "nosniff"),
            ("vary", "Origin"),
            ("x-request-id", "id-7"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{name} {request:?}");
        }
        assert!(reply.header("x-runtime").unwrap().parse::<f64>().unwrap() < 60.0);
        let typed = (reply.status != 204).then_some("application/json");
        assert_eq!(reply.header("content-type"), typed, "{request:?}");
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    let evil = site
        .send(&Ask::new("GET", "nowhere").header("X-Request-Id", "two words"))
        .await;
    assert_eq!(evil.header("x-request-id").map(str::len), Some(16));
}

async fn a_browser_of_another_site_may_ask_and_read(engine: Engine) {
    let site = Site::new(engine).await;
    let preflight = Ask::new("OPTIONS", "projects/1/deployments")
        .header("Origin", "https://elsewhere.example")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "private-token,content-type");
    let told = site.send(&preflight).await;
    assert_eq!(told.status, 204);
    assert_eq!(told.header("access-control-allow-origin"), Some("*"));
    assert!(
        told.header("access-control-allow-methods")
            .unwrap()
            .contains("POST")
    );
    assert_eq!(
        told.header("access-control-allow-headers"),
        Some("private-token,content-type")
    );
    let read = Ask::new("GET", "projects/1/deployments")
        .by(&site.world.reporter)
        .header("Origin", "null");
    let read = site.send(&read).await;
    assert_eq!(read.header("access-control-allow-origin"), Some("*"));
    for name in ["Link", "X-Total", "X-Next-Page", "X-Request-Id"] {
        assert!(
            read.header("access-control-expose-headers")
                .unwrap()
                .contains(name),
            "{name}"
        );
    }
}

async fn requests_that_are_not_http_never_get_a_5xx(engine: Engine) {
    let site = Site::new(engine).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-A: b\r\n".repeat(1000));
    let post = "POST /api/v4/projects/1/deployments HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    let two_lengths = format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}x");
    let length_and_chunks = format!("{post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let bad_chunk = format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n");
    let bad_length = format!("{post}Content-Length: -1\r\n\r\n");
    for bytes in [
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\u{ff} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET http://other/api/v4/version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        &long,
        &many,
        &two_lengths,
        &length_and_chunks,
        &bad_chunk,
        &bad_length,
    ] {
        let answered = site.rest.exchange(bytes.as_bytes()).await;
        let shown = &bytes[..bytes.len().min(120)];
        // Bytes that are no request may be hung up on; what is answered blames the client.
        if !answered.is_empty() {
            let status = Reply::parse(&answered).unwrap().status;
            assert!((400..500).contains(&status), "{shown}: {status}");
        }
    }
    assert_eq!(site.ask("GET", "version").await.status, 200, "it still serves");
}

async fn a_body_that_drips_is_given_up_on(engine: Engine) {
    let site = Site::new(engine).await;
    let sidecar = site
        .sidecar(|options: &mut Options| options.timeout = Duration::from_millis(200))
        .await;
    let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
    let head = format!(
        "POST /api/v4/projects/1/deployments HTTP/1.1\r\nHost: a\r\nConnection: close\r\nPRIVATE-TOKEN: {}\r\n\
         Content-Length: 100\r\n\r\n{{",
        site.world.developer
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answered = Vec::new();
    stream.read_to_end(&mut answered).await.unwrap();
    assert_eq!(Reply::parse(&answered).unwrap().status, 400);
}

async fn requests_under_way_are_finished_when_the_sidecar_stops(engine: Engine) {
    let site = Site::new(engine).await;
    let sidecar: RestServer = site.sidecar(|_| {}).await;
    assert_eq!(sidecar.send(&Ask::new("GET", "nowhere")).await.status, 404);
    let address = sidecar.address;
    sidecar.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}
