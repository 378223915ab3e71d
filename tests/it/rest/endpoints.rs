//! The endpoints' own rules and refusals (contract 2.2 to 2.9).

use chrono::TimeDelta;
use serde_json::json;

use crate::support::{
    engine::{Engine, on_both_engines},
    rest::{Ask, Site, time},
};

on_both_engines! {
    statuses_change_as_the_table_of_the_contract_says
    a_deployment_is_refused_by_every_method_when_its_id_is_no_number
    another_projects_deployment_is_not_found
    a_deployment_is_deleted_only_as_it_was_known
    lists_are_sorted_and_filtered_by_every_field_in_every_combination
    roles_do_what_the_contract_allows_them
    environments_are_found_by_name_search_and_state
    environments_are_refused_with_the_documented_texts
    an_environment_with_a_stop_action_is_stopped_only_by_force
    an_environment_changes_in_what_is_sent_and_null_clears
    stale_environments_and_old_review_apps_are_cleared_together
}

const FORBIDDEN: (u16, &str) = (403, r#"{"message":"403 Forbidden"}"#);
const NOT_FOUND: (u16, &str) = (404, r#"{"message":"404 Not found"}"#);

async fn statuses_change_as_the_table_of_the_contract_says(engine: Engine) {
    let site = Site::new(engine).await;
    let words = [
        ("running", "run"),
        ("success", "succeed"),
        ("failed", "drop"),
        ("canceled", "cancel"),
    ];
    for (from, allowed) in [
        ("running", [false, true, true, true]),
        ("success", [false, false, true, true]),
        ("failed", [false, true, false, true]),
        ("canceled", [false, true, true, false]),
    ] {
        for ((to, event), allowed) in words.into_iter().zip(allowed) {
            let id = site.deploy("qa", &format!("{from}-{to}"), from).await;
            let target = format!("projects/1/deployments/{id}");
            let reply = site.json("PUT", &target, json!({"status": to}).to_string()).await;
            if allowed {
                assert_eq!(
                    (reply.status, &reply.json()["status"]),
                    (200, &to.into()),
                    "{from} {to}"
                );
            } else {
                let body = json!({"message": {"status": [format!("cannot transition via \"{event}\"")]}});
                assert_eq!(reply.told(), (400, body.to_string().as_str()), "{from} {to}");
                let kept = site.ask("GET", &target).await;
                assert_eq!(kept.json()["status"], from);
            }
        }
    }
}

async fn a_deployment_is_refused_by_every_method_when_its_id_is_no_number(engine: Engine) {
    let site = Site::new(engine).await;
    let invalid = (400, r#"{"error":"deployment_id is invalid"}"#);
    let target = "projects/1/deployments/abc";
    assert_eq!(site.ask("GET", target).await.told(), invalid);
    assert_eq!(site.ask("DELETE", target).await.told(), invalid);
    assert_eq!(
        site.json("PUT", target, r#"{"status":"success"}"#).await.told(),
        invalid
    );
}

async fn another_projects_deployment_is_not_found(engine: Engine) {
    let site = Site::new(engine).await;
    let server = &site.world.server;
    let other = server
        .project("acme/other", gatehouse::pb::v1::Visibility::Private)
        .await
        .id;
    let id = site.deploy("qa", "main", "running").await;
    for (method, body) in [("GET", ""), ("PUT", "status=success"), ("DELETE", "")] {
        let request = Ask::new(method, &format!("projects/{other}/deployments/{id}"))
            .by(&server.root)
            .form(body);
        assert_eq!(site.send(&request).await.told(), NOT_FOUND, "{method}");
    }
}

async fn a_deployment_is_deleted_only_as_it_was_known(engine: Engine) {
    let site = Site::new(engine).await;
    let id = site.deploy("qa", "main", "failed").await;
    site.clock.advance(TimeDelta::seconds(10));
    let target = format!("projects/1/deployments/{id}");
    let delete = |since: &str| {
        Ask::new("DELETE", &target)
            .by(&site.world.maintainer)
            .header("If-Unmodified-Since", since)
    };
    let stale = site.send(&delete("Thu, 11 Aug 2016 11:32:30 GMT")).await;
    assert_eq!(stale.told(), (412, r#"{"message":"412 Precondition Failed"}"#));
    assert_eq!(
        site.send(&delete("some other day")).await.status,
        202,
        "what is no date does not count"
    );
    assert_eq!(
        site.send(&delete("Thu, 11 Aug 2016 11:32:40 GMT")).await.told(),
        NOT_FOUND
    );
}

async fn lists_are_sorted_and_filtered_by_every_field_in_every_combination(engine: Engine) {
    let site = Site::new(engine).await;
    let mut deployed = Vec::new();
    for (environment, reference, status) in [
        ("qa", "b", "running"),
        ("qa", "a", "success"),
        ("prod", "c", "failed"),
        ("qa", "c", "canceled"),
    ] {
        deployed.push(site.deploy(environment, reference, status).await);
        site.clock.advance(TimeDelta::seconds(1));
    }
    site.json("PUT", "projects/1/deployments/1", r#"{"status":"success"}"#)
        .await;
    for (query, expected) in [
        ("", &[1, 2, 3, 4][..]),
        ("sort=desc", &[4, 3, 2, 1]),
        ("order_by=iid&sort=desc", &[4, 3, 2, 1]),
        ("order_by=created_at", &[1, 2, 3, 4]),
        ("order_by=updated_at", &[2, 3, 4, 1]),
        ("order_by=finished_at&sort=desc", &[1, 4, 3, 2]),
        ("order_by=ref", &[2, 1, 3, 4]),
        ("order_by=ref&sort=desc", &[4, 3, 1, 2]),
        ("environment=qa&status=success", &[1, 2]),
        ("environment=QA", &[]),
        ("status=canceled&order_by=ref", &[4]),
        ("status=skipped", &[]),
        ("status=blocked", &[]),
        ("updated_after=2016-08-11T11:32:37.444Z", &[1, 3, 4]),
        (
            "updated_before=2016-08-11T11:32:37.444Z&order_by=id&sort=desc",
            &[3, 2],
        ),
        (
            "finished_after=2016-08-11T11:32:37.444Z&finished_before=2016-08-11T11:32:39.444Z",
            &[3, 4],
        ),
        (
            "finished_after=2016-08-11T11:32:37.444Z&updated_after=2016-08-11T11:32:39Z&status=success",
            &[1],
        ),
        ("pagination=keyset&order_by=ref&environment=qa", &[2, 1, 4]),
    ] {
        let listed = site.ask("GET", &format!("projects/1/deployments?{query}")).await;
        let ids: Vec<i64> = listed
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_i64().unwrap())
            .collect();
        assert_eq!(ids, expected, "{query}");
    }
    assert_eq!(deployed, [1, 2, 3, 4]);
}

async fn roles_do_what_the_contract_allows_them(engine: Engine) {
    let site = Site::new(engine).await;
    let id = site.deploy("qa", "main", "failed").await;
    let (reporter, developer) = (&site.world.reporter, &site.world.developer);
    let one = format!("projects/1/deployments/{id}");
    for (request, expected) in [
        (
            Ask::new("PUT", &one).by(reporter).form("status=success"),
            FORBIDDEN,
        ),
        (Ask::new("DELETE", &one).by(developer), FORBIDDEN),
        (
            Ask::new("POST", "projects/1/environments")
                .by(reporter)
                .form("name=x"),
            FORBIDDEN,
        ),
        (
            Ask::new("PUT", "projects/1/environments/1")
                .by(reporter)
                .form("tier=other"),
            FORBIDDEN,
        ),
        (
            Ask::new("POST", "projects/1/environments/1/stop").by(reporter),
            FORBIDDEN,
        ),
        (
            Ask::new("DELETE", "projects/1/environments/1").by(reporter),
            FORBIDDEN,
        ),
        (
            Ask::new("DELETE", "projects/1/environments/1").by(developer),
            FORBIDDEN,
        ),
        (
            Ask::new("POST", "projects/1/environments/stop_stale")
                .by(developer)
                .form("before=2016-01-01"),
            FORBIDDEN,
        ),
        (
            Ask::new("DELETE", "projects/1/environments/review_apps").by(reporter),
            (401, r#"{"message":"401 Unauthorized"}"#),
        ),
    ] {
        assert_eq!(site.send(&request).await.told(), expected, "{request:?}");
    }
}

async fn environments_are_found_by_name_search_and_state(engine: Engine) {
    let site = Site::new(engine).await;
    for name in ["production", "review/first", "review/second", "reviewers"] {
        site.json(
            "POST",
            "projects/1/environments",
            json!({"name": name}).to_string(),
        )
        .await;
    }
    site.ask("POST", "projects/1/environments/3/stop").await;
    for (query, expected) in [
        (
            "",
            &["production", "review/first", "review/second", "reviewers"][..],
        ),
        ("name=review%2Ffirst", &["review/first"]),
        ("name=Production", &[]),
        ("search=REV", &["review/first", "review/second", "reviewers"]),
        ("search=sec", &["review/second"]),
        ("search=%25%25%25", &[]),
        ("states=stopped", &["review/second"]),
        ("states=available&search=review", &["review/first", "reviewers"]),
        ("per_page=1&page=2", &["review/first"]),
    ] {
        let listed = site
            .ask("GET", &format!("projects/1/environments?{query}"))
            .await
            .json();
        let names: Vec<&str> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, expected, "{query}");
    }
    for (query, body) in [
        (
            "search=ab",
            r#"{"message":"400 Bad request - Search query is less than 3 characters"}"#,
        ),
        ("states=gone", r#"{"error":"states does not have a valid value"}"#),
        (
            "name=a&search=abc",
            r#"{"error":"name, search cannot be used together"}"#,
        ),
    ] {
        let refused = site.ask("GET", &format!("projects/1/environments?{query}")).await;
        assert_eq!(refused.told(), (400, body), "{query}");
    }
}

async fn environments_are_refused_with_the_documented_texts(engine: Engine) {
    let site = Site::new(engine).await;
    site.json("POST", "projects/1/environments", r#"{"name":"qa"}"#)
        .await;
    for (method, target, body, expected) in [
        (
            "POST",
            "projects/1/environments",
            "{}",
            (400, r#"{"error":"name is missing"}"#),
        ),
        (
            "POST",
            "projects/1/environments",
            r#"{"name":"qa"}"#,
            (400, r#"{"message":{"name":["has already been taken"]}}"#),
        ),
        (
            "POST",
            "projects/1/environments",
            r#"{"name":"x","slug":null}"#,
            (
                400,
                r#"{"error":"slug is automatically generated and cannot be changed"}"#,
            ),
        ),
        (
            "POST",
            "projects/1/environments",
            r#"{"name":"x","tier":"top"}"#,
            (400, r#"{"error":"tier does not have a valid value"}"#),
        ),
        (
            "GET",
            "projects/1/environments/abc",
            "",
            (400, r#"{"error":"environment_id is invalid"}"#),
        ),
        ("GET", "projects/1/environments/9", "", NOT_FOUND),
        ("PUT", "projects/1/environments/9", "{}", NOT_FOUND),
        ("DELETE", "projects/1/environments/9", "", NOT_FOUND),
        ("POST", "projects/1/environments/9/stop", "{}", NOT_FOUND),
        (
            "POST",
            "projects/1/environments/1/stop",
            r#"{"force":"maybe"}"#,
            (400, r#"{"error":"force is invalid"}"#),
        ),
        (
            "POST",
            "projects/1/environments/stop_stale",
            "{}",
            (400, r#"{"error":"before is missing"}"#),
        ),
        (
            "POST",
            "projects/1/environments/stop_stale",
            r#"{"before":"2016-08-10"}"#,
            (400, r#"{"message":"400 Bad request - Invalid Date"}"#),
        ),
        (
            "DELETE",
            "projects/1/environments/review_apps",
            r#"{"limit":0}"#,
            (400, r#"{"error":"limit does not have a valid value"}"#),
        ),
    ] {
        let refused = site.json(method, target, body).await;
        assert_eq!(refused.told(), expected, "{method} {target} {body}");
    }
}

async fn an_environment_with_a_stop_action_is_stopped_only_by_force(engine: Engine) {
    let site = Site::new(engine).await;
    let body = r#"{"name":"qa","auto_stop_setting":"with_action"}"#;
    site.json("POST", "projects/1/environments", body).await;
    let target = "projects/1/environments/1/stop";
    let text = r#"{"message":"400 Bad request - Attempted to stop the environment but failed to change the status"}"#;
    assert_eq!(site.json("POST", target, "{}").await.told(), (400, text));
    let forced = site.json("POST", target, r#"{"force":true}"#).await;
    assert_eq!((forced.status, &forced.json()["state"]), (200, &"stopped".into()));
}

async fn an_environment_changes_in_what_is_sent_and_null_clears(engine: Engine) {
    let site = Site::new(engine).await;
    let made = r#"{"name":"qa","external_url":"https://a.example","description":"d","tier":"staging"}"#;
    site.json("POST", "projects/1/environments", made).await;
    for (body, member, expected) in [
        (r"{}", "external_url", json!("https://a.example")),
        (r#"{"external_url":null}"#, "external_url", json!(null)),
        (r#"{"description":null}"#, "description", json!(null)),
        (r#"{"tier":"other"}"#, "tier", json!("other")),
        (r#"{"tier":null}"#, "tier", json!("testing")),
        (r#"{"name":"renamed"}"#, "name", json!("qa")),
    ] {
        let changed = site.json("PUT", "projects/1/environments/1", body).await;
        assert_eq!(
            (changed.status, &changed.json()[member]),
            (200, &expected),
            "{body}"
        );
    }
    let refused = site
        .json(
            "PUT",
            "projects/1/environments/1",
            r#"{"external_url":"javascript:alert(1)"}"#,
        )
        .await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.json()["message"]["external_url"].is_array(),
        "{refused:?}"
    );
}

async fn stale_environments_and_old_review_apps_are_cleared_together(engine: Engine) {
    let site = Site::at(engine, "2016-01-01T00:00:00Z").await;
    for name in ["qa", "review/a", "review/b"] {
        site.deploy(name, "main", "failed").await;
    }
    site.clock.set(time("2016-08-11T00:00:00Z"));
    let stopped = site
        .json(
            "POST",
            "projects/1/environments/stop_stale",
            r#"{"before":"2016-08-01"}"#,
        )
        .await;
    let text = r#"{"message":"Successfully requested stop for all stale environments"}"#;
    assert_eq!(stopped.told(), (200, text));
    let target = "projects/1/environments/review_apps";
    for (body, left) in [
        ("", 3),
        (r#"{"dry_run":false,"limit":"1"}"#, 2),
        (r#"{"dry_run":"0"}"#, 1),
    ] {
        let told = site.json("DELETE", target, body).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(told.json()["unprocessable_entries"], json!([]));
        let entry = &told.json()["scheduled_entries"][0];
        assert_eq!(entry.as_object().unwrap().len(), 6, "{entry}");
        let listed = site.ask("GET", "projects/1/environments").await;
        assert_eq!(listed.json().as_array().unwrap().len(), left, "{body}");
    }
}
