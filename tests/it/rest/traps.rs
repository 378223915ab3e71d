//! The traps that real clients set, in the order of their likelihood; each test acts as the clients it names.

use chrono::TimeDelta;
use gatehouse::pb::v1 as pb;

use crate::support::{
    SHA,
    engine::{Engine, on_both_engines},
    in_project,
    rest::{Ask, Site},
};

on_both_engines! {
    trap_1_bodies_and_their_types_come_in_every_combination
    trap_2_unknown_and_repeated_fields_do_no_harm
    trap_3_tokens_come_by_every_carrier
    trap_4_project_paths_come_in_every_encoding
    trap_5_nothing_redirects
    trap_6_links_lead_to_where_the_client_dialled_and_hold_nothing_raw
    trap_7_next_page_and_per_page_are_always_there
    trap_8_a_hundred_a_page_are_a_hundred
    trap_9_null_and_absent_are_told_apart
    trap_10_times_have_three_digits_and_a_z
    trap_11_query_times_come_as_clients_print_them
    trap_12_an_error_has_a_message_or_an_error_and_never_both
    trap_13_a_repeated_creation_of_a_success_answers_the_one_there_is
    trap_15_head_has_the_headers_of_get_and_no_body
    trap_16_the_root_answers_without_a_token
    trap_17_the_last_deployment_is_the_last_successful_one
    trap_18_an_unknown_environment_has_no_deployments
    trap_20_a_raw_slash_in_a_project_path_is_no_route
    trap_21_no_content_is_nothing_and_content_is_never_empty
    trap_23_there_is_no_etag_and_no_304
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

async fn trap_1_bodies_and_their_types_come_in_every_combination(engine: Engine) {
    let site = Site::new(engine).await;
    let token = &site.world.developer;
    let fields = format!("environment=qa&sha={SHA}&ref=main&tag=false&status=running");
    let json =
        format!(r#"{{"environment":"qa","sha":"{SHA}","ref":"main","tag":"false","status":"running"}}"#);
    let deployments = "projects/1/deployments";
    let mut ids = Vec::new();
    for create in [
        // python-gitlab, go-gitlab, PHP, Perl; the text "false" is the Argo CD recipe's and gitbeaker's command line's
        Ask::new("POST", deployments).json(&json),
        // ruby, Rust, gitlab4j, curl
        Ask::new("POST", deployments).form(&fields),
        // NGitLab
        Ask::new("POST", &format!("{deployments}?{fields}")).header("Content-Length", "0"),
        Ask::new("POST", deployments).body(
            "application/x-www-form-urlencoded; charset=UTF-8",
            fields.as_bytes(),
        ),
    ] {
        let made = site.send(&create.by(token)).await;
        assert_eq!(
            (made.status, made.header("content-type")),
            (201, Some(JSON)),
            "{made:?}"
        );
        ids.push(made.id());
    }
    // python-gitlab's type on a GET without a body, ruby's as well
    for content_type in [JSON, FORM] {
        let read = Ask::new("GET", deployments)
            .header("Content-Type", content_type)
            .by(token);
        assert_eq!(site.send(&read).await.status, 200);
    }
    // NGitLab's PUT
    let one = format!("{deployments}/{}?status=failed", ids[0]);
    let put = Ask::new("PUT", &one).header("Content-Length", "0").by(token);
    assert_eq!(site.send(&put).await.status, 200);
    // gitbeaker's DELETE with a body, python-gitlab's with a type and no body
    let delete = |id| Ask::new("DELETE", &format!("{deployments}/{id}")).by(&site.world.maintainer);
    let deleted = site.send(&delete(ids[0]).json("{}")).await;
    assert_eq!(deleted.told(), (202, r#"{"message":"202 Accepted"}"#));
    site.json(
        "PUT",
        &format!("{deployments}/{}", ids[1]),
        r#"{"status":"failed"}"#,
    )
    .await;
    let bare = delete(ids[1])
        .header("Content-Type", JSON)
        .header("Content-Length", "0");
    assert_eq!(site.send(&bare).await.status, 202);
    // a stop: go without a body, python and gitbeaker with an empty object, ruby with an empty form
    let stop = || Ask::new("POST", "projects/1/environments/1/stop").by(token);
    for stop in [
        stop().header("Content-Type", JSON),
        stop().json("{}"),
        stop().header("Content-Type", FORM).header("Content-Length", "0"),
        stop().json(r#"{"force":"true"}"#),
    ] {
        let stopped = site.send(&stop).await;
        assert_eq!(
            (stopped.status, &stopped.json()["state"]),
            (200, &"stopped".into()),
            "{stop:?}"
        );
    }
}

async fn trap_2_unknown_and_repeated_fields_do_no_harm(engine: Engine) {
    let site = Site::new(engine).await;
    let id = site.deploy("qa", "main", "running").await;
    // python-gitlab's save() sends what it read back
    let save = r#"{"approvals":[],"status":"success"}"#;
    assert_eq!(
        site.json("PUT", &format!("projects/1/deployments/{id}"), save)
            .await
            .status,
        200
    );
    // glab and terraform send the name along
    let edit = r#"{"name":"qa","external_url":"https://qa.example"}"#;
    let edited = site.json("PUT", "projects/1/environments/1", edit).await;
    assert_eq!((edited.status, &edited.json()["name"]), (200, &"qa".into()));
    // mcp-gitlab filters by what no list knows, go-gitlab misspells
    let listed = site
        .ask("GET", "projects/1/deployments?sha=x&ref=y&update_before=z")
        .await;
    assert_eq!(listed.json().as_array().unwrap().len(), 1);
}

async fn trap_3_tokens_come_by_every_carrier(engine: Engine) {
    let site = Site::new(engine).await;
    let token = site.world.reporter.as_str();
    for (name, value) in [
        ("PRIVATE-TOKEN", token.to_owned()),
        ("private-token", token.to_owned()),
        ("Private-Token", token.to_owned()),
        ("Authorization", format!("Bearer {token}")),
        ("authorization", format!("bearer {token}")),
    ] {
        let read = Ask::new("GET", "user").header(name, &value);
        assert_eq!(site.send(&read).await.json()["username"], "rita", "{name}");
    }
    for name in ["private_token", "access_token", "bearer_token"] {
        let read = Ask::new("GET", &format!("user?{name}={token}"));
        assert_eq!(site.send(&read).await.json()["username"], "rita", "{name}");
    }
    let body = format!("private_token={}&name=by-form", site.world.developer);
    assert_eq!(
        site.send(&Ask::new("POST", "projects/1/environments").form(&body))
            .await
            .status,
        201
    );
}

async fn trap_4_project_paths_come_in_every_encoding(engine: Engine) {
    let site = Site::new(engine).await;
    let server = &site.world.server;
    server.group("acme/sub-team").await;
    let project = server
        .project("acme/sub-team/the_app.v2", pb::Visibility::Private)
        .await;
    server
        .member(
            in_project("acme/sub-team/the_app.v2"),
            "mona",
            pb::AccessLevel::Maintainer,
        )
        .await;
    for path in [
        project.id.to_string().as_str(),
        "acme%2Fsub-team%2Fthe_app.v2",
        "acme%2fsub-team%2fthe_app.v2",
        "acme%2Fsub-team%2Fthe_app%2Ev2",
        "acme%2Fsub%2Dteam%2Fthe%5Fapp%2Ev2",
        "ACME%2FSub-Team%2FThe_App.v2",
    ] {
        let read = site.ask("GET", &format!("projects/{path}")).await;
        assert_eq!((read.status, read.id()), (200, project.id), "{path}");
        let listed = site.ask("GET", &format!("projects/{path}/deployments")).await;
        assert_eq!(listed.told(), (200, "[]"), "{path}");
    }
}

async fn trap_5_nothing_redirects(engine: Engine) {
    let site = Site::new(engine).await;
    for (method, target, status) in [
        ("GET", "projects/1/deployments/", 200),
        ("POST", "projects/1/deployments/", 400),
        ("PUT", "projects/1/deployments/9/", 400),
        ("GET", "projects/1/", 200),
        ("POST", "projects/1/deployments//", 404),
        ("POST", "/api/v4//projects/1/deployments", 404),
        ("POST", "projects/1/../1/deployments", 404),
    ] {
        assert_eq!(site.ask(method, target).await.status, status, "{method} {target}");
    }
}

async fn trap_6_links_lead_to_where_the_client_dialled_and_hold_nothing_raw(engine: Engine) {
    let site = Site::new(engine).await;
    site.deploy("qa", "main", "running").await;
    site.deploy("qa", "main", "running").await;
    let ask = |target: &str| {
        Ask::new("GET", target)
            .by(&site.world.reporter)
            .header("Host", "gate.test:8443")
    };
    let listed = site
        .send(&ask(
            "projects/acme%2Fweb/deployments?per_page=1&x=a,b;c%20%3Cd%3E%22",
        ))
        .await;
    assert_eq!(
        listed.link("next"),
        Some(
            "http://gate.test:8443/api/v4/projects/acme%2Fweb/deployments?id=acme%2Fweb&order_by=id&page=2\
             &per_page=1&sort=asc&x=a%2Cb%3Bc+%3Cd%3E%22"
        )
    );
    let raw = site.send(&ask("projects/1/deployments?per_page=1&x=a,b;c")).await;
    let link = raw.header("link").unwrap();
    assert_eq!(link.split(", ").count(), 3, "{link}");
    assert_eq!(link.matches(',').count(), 2, "{link}");
    assert_eq!(link.matches(';').count(), 3, "{link}");
}

async fn trap_7_next_page_and_per_page_are_always_there(engine: Engine) {
    let site = Site::new(engine).await;
    for target in ["projects/1/deployments", "projects/1/environments"] {
        let listed = site.ask("GET", target).await;
        assert_eq!(listed.header("x-next-page"), Some(""), "{target}");
        assert_eq!(listed.header("x-per-page"), Some("20"), "{target}");
    }
}

async fn trap_8_a_hundred_a_page_are_a_hundred(engine: Engine) {
    let site = Site::new(engine).await;
    for _ in 0..101 {
        site.world.record("qa", pb::DeploymentStatus::Running).await;
    }
    for (asked, first, second) in [("100", 100, 1), ("101", 100, 1), ("99", 99, 2), ("5000", 100, 1)] {
        // rust-gitlab and Perl go on until a page is shorter than asked for
        for (page, expected) in [(1, first), (2, second)] {
            let target = format!("projects/1/deployments?page={page}&per_page={asked}");
            let listed = site.ask("GET", &target).await;
            assert_eq!(listed.json().as_array().unwrap().len(), expected, "{target}");
        }
    }
}

async fn trap_9_null_and_absent_are_told_apart(engine: Engine) {
    let site = Site::new(engine).await;
    let id = site.deploy("qa", "main", "running").await;
    let read = site
        .ask("GET", &format!("projects/1/deployments/{id}"))
        .await
        .json();
    assert!(
        read.as_object().unwrap().contains_key("deployable") && read["deployable"].is_null(),
        "{read}"
    );
    assert!(read["user"].is_object() && read["environment"].is_object() && read["updated_at"].is_string());
    for list in ["approvals", "approval_summary"] {
        assert!(
            read.get(list).is_none_or(|value| !value.is_null()),
            "{list}: {read}"
        );
    }
    let environment = site.ask("GET", "projects/1/environments/1").await.json();
    for text in ["slug", "state", "tier", "created_at", "updated_at"] {
        assert!(environment[text].is_string(), "{text}: {environment}");
    }
    for key in ["external_url", "last_deployment", "auto_stop_at"] {
        assert!(
            environment.as_object().unwrap().contains_key(key) && environment[key].is_null(),
            "{key}"
        );
    }
}

async fn trap_10_times_have_three_digits_and_a_z(engine: Engine) {
    let site = Site::at(engine, "2024-02-29T23:59:59.120Z").await;
    site.deploy("qa", "main", "running").await;
    let listed = site.ask("GET", "projects/1/deployments").await;
    assert_eq!(
        listed.body.matches("\"2024-02-29T23:59:59.120Z\"").count(),
        4,
        "{}",
        listed.body
    );
    assert_eq!(listed.body.matches("2024-").count(), 4, "{}", listed.body);
}

async fn trap_11_query_times_come_as_clients_print_them(engine: Engine) {
    let site = Site::at(engine, "2026-01-01T00:00:00Z").await;
    site.deploy("qa", "main", "running").await;
    for now in [
        // gitbeaker, rust-gitlab, ruby, python-gitlab, NGitLab, go-gitlab
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00:00:00Z",
        "2026-01-01%2000%3A00%3A00%20UTC",
        "2026-01-01+00%3A00%3A00%2B00%3A00",
        "2026-01-01T00:00:00.0000000Z",
        "2026-01-01T01%3A00%3A00%2B01%3A00",
        "2026-01-01T01:00:00+01:00",
        "2025-12-31T19:00:00-05:00",
        "2026-01-01",
    ] {
        for bound in ["updated_after", "updated_before"] {
            let found = site
                .ask("GET", &format!("projects/1/deployments?{bound}={now}"))
                .await;
            assert_eq!(
                found.json().as_array().map(Vec::len),
                Some(1),
                "{bound}={now}: {found:?}"
            );
        }
    }
    let later = site
        .ask(
            "GET",
            "projects/1/deployments?updated_after=2026-01-01T00:00:00.001Z",
        )
        .await;
    assert_eq!(later.told(), (200, "[]"));
}

async fn trap_12_an_error_has_a_message_or_an_error_and_never_both(engine: Engine) {
    let site = Site::new(engine).await;
    for (method, target) in [
        ("GET", "projects/9"),
        ("GET", "nowhere"),
        ("GET", "projects/1/deployments/9"),
        ("POST", "projects/1/deployments"),
        ("PATCH", "projects/1/deployments/1"),
        ("GET", "/"),
    ] {
        let refused = site.ask(method, target).await;
        assert_eq!(refused.header("content-type"), Some(JSON), "{method} {target}");
        let body = refused.json();
        assert!(
            body.get("message").is_some() != body.get("error").is_some(),
            "{method} {target}: {body}"
        );
    }
}

async fn trap_13_a_repeated_creation_of_a_success_answers_the_one_there_is(engine: Engine) {
    let site = Site::new(engine).await;
    let first = site.deploy("qa", "main", "success").await;
    site.clock.advance(TimeDelta::seconds(3));
    assert_eq!(site.deploy("qa", "main", "success").await, first);
    assert_ne!(site.deploy("qa", "other", "success").await, first);
}

async fn trap_15_head_has_the_headers_of_get_and_no_body(engine: Engine) {
    let site = Site::new(engine).await;
    let id = site.deploy("qa", "main", "running").await;
    for target in [
        "projects/1/deployments".to_owned(),
        format!("projects/1/deployments/{id}"),
        "projects/1/environments".to_owned(),
        "projects/9".to_owned(),
        "version".to_owned(),
    ] {
        let (get, head) = (site.ask("GET", &target).await, site.ask("HEAD", &target).await);
        let lasting = |reply: &crate::support::rest::Reply| {
            let mut headers = reply.headers.clone();
            headers.retain(|(name, _)| !["x-request-id", "x-runtime", "date"].contains(&name.as_str()));
            headers
        };
        assert_eq!(head.body, "", "{target}");
        assert_eq!(
            (head.status, lasting(&head)),
            (get.status, lasting(&get)),
            "{target}"
        );
    }
}

async fn trap_16_the_root_answers_without_a_token(engine: Engine) {
    let site = Site::new(engine).await;
    let reply = site.send(&Ask::new("GET", "/api/v4/")).await;
    assert_eq!(reply.told(), (404, r#"{"error":"404 Not Found"}"#));
    assert_eq!(reply.header("ratelimit-limit"), None);
}

async fn trap_17_the_last_deployment_is_the_last_successful_one(engine: Engine) {
    let site = Site::new(engine).await;
    let success = site.deploy("qa", "main", "success").await;
    for status in ["running", "failed", "canceled"] {
        site.deploy("qa", "main", status).await;
    }
    let environment = site.ask("GET", "projects/1/environments/1").await.json();
    assert_eq!(environment["last_deployment"]["id"], success);
    assert_eq!(environment["last_deployment"]["status"], "success");
}

async fn trap_18_an_unknown_environment_has_no_deployments(engine: Engine) {
    let site = Site::new(engine).await;
    site.deploy("qa", "main", "running").await;
    let listed = site
        .ask("GET", "projects/1/deployments?environment=nowhere")
        .await;
    assert_eq!(listed.told(), (200, "[]"));
    assert_eq!(listed.header("x-total"), Some("0"));
    assert_eq!(listed.header("x-total-pages"), Some("1"));
}

async fn trap_20_a_raw_slash_in_a_project_path_is_no_route(engine: Engine) {
    let site = Site::new(engine).await;
    let reply = site.ask("GET", "projects/acme/web/deployments").await;
    assert_eq!(reply.told(), (404, r#"{"error":"404 Not Found"}"#));
}

async fn trap_21_no_content_is_nothing_and_content_is_never_empty(engine: Engine) {
    let site = Site::new(engine).await;
    site.json("POST", "projects/1/environments", r#"{"name":"qa"}"#)
        .await;
    let stopped = site.ask("POST", "projects/1/environments/1/stop").await;
    assert!(stopped.status == 200 && !stopped.body.is_empty());
    let gone = site.ask("DELETE", "projects/1/environments/1").await;
    assert_eq!(gone.told(), (204, ""));
    assert_eq!(
        (gone.header("content-type"), gone.header("content-length")),
        (None, None)
    );
}

async fn trap_23_there_is_no_etag_and_no_304(engine: Engine) {
    let site = Site::new(engine).await;
    let read = Ask::new("GET", "projects/1")
        .by(&site.world.reporter)
        .header("If-None-Match", "*");
    let read = site.send(&read).await;
    assert_eq!((read.status, read.header("etag")), (200, None));
}
