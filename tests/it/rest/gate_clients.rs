//! Clients at the gate: each test acts as the clients it names, from protecting an environment to waiting at it.

use serde_json::{Value, json};

use crate::support::{
    engine::{Engine, on_both_engines},
    rest::{Ask, Site},
};

on_both_engines! {
    python_gitlab_finds_by_its_name_what_it_protected_and_nobody_renames_it
    go_gitlab_and_terraform_change_entries_by_id_and_repeat_the_subject_of_those_they_destroy
    ruby_and_the_command_line_of_gitbeaker_send_text_for_everything
    gitlabform_protects_anew_and_compares_by_position
    many_who_wait_keep_nobody_else_waiting
    who_may_only_read_may_wait_and_who_may_not_see_may_not
    a_sidecar_that_stops_does_not_wait_for_who_waits
    who_waits_is_told_when_the_deployment_goes_and_when_the_server_does
}

const PATH: &str = "projects/1/protected_environments";
/// More than the streams that a connection between sidecar and server takes before it has been told how many it may.
const WAITERS: usize = 250;

/// The ids of these entries, which every one of them must have (Terraform updates by them).
#[track_caller]
fn ids(entries: &Value) -> Vec<i64> {
    let entries = entries.as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry["id"].as_i64().unwrap())
        .collect()
}

async fn python_gitlab_finds_by_its_name_what_it_protected_and_nobody_renames_it(engine: Engine) {
    let site = Site::new(engine).await;
    for (name, path) in [
        ("review/x y.z", "review%2Fx%20y.z"),
        ("5.json", "5.json"),
        ("5", "5"),
    ] {
        let body = json!({"name": name, "deploy_access_levels": [{"access_level": 40}]});
        let made = site.json("POST", PATH, body.to_string()).await;
        assert_eq!(made.status, 201, "{made:?}");
        let one = format!("{PATH}/{path}");
        let typed = Ask::new("GET", &one)
            .by(&site.world.maintainer)
            .header("Content-type", "application/json");
        assert_eq!(
            site.send(&typed).await.told(),
            (200, made.body.as_str()),
            "{name}"
        );
        let head = site.ask("HEAD", &one).await;
        assert_eq!(
            head.header("content-length"),
            Some(made.body.len().to_string().as_str())
        );
        // The update that python-gitlab lacks, by `http_put`.
        let put = site.json("PUT", &one, r#"{"name":"other"}"#).await;
        assert_eq!(put.told(), (200, made.body.as_str()), "{name}");
    }
    for path in ["review%2Fx%20y.z", "5", "5.json"] {
        assert_eq!(
            site.ask("DELETE", &format!("{PATH}/{path}")).await.told(),
            (204, "")
        );
    }
}

async fn go_gitlab_and_terraform_change_entries_by_id_and_repeat_the_subject_of_those_they_destroy(
    engine: Engine,
) {
    let site = Site::new(engine).await;
    let body = r#"{"name":"qa.eu","deploy_access_levels":[{"access_level":40},{"user_id":3}],
        "approval_rules":[{"user_id":4,"required_approvals":2},{"access_level":30,"required_approvals":3}]}"#;
    let made = site.json("POST", PATH, body).await.json();
    let (levels, rules) = (ids(&made["deploy_access_levels"]), ids(&made["approval_rules"]));
    // Every dot is escaped, and `_destroy` may be text.
    let change = json!({
        "name": "qa.eu",
        "deploy_access_levels": [
            {"id": levels[1], "user_id": 3, "group_inheritance_type": 0, "_destroy": true},
            {"access_level": 30},
        ],
        "approval_rules": [
            {"id": rules[0], "user_id": 4, "required_approvals": 2, "_destroy": "true"},
            {"id": rules[1], "access_level": 30, "required_approvals": 4, "_destroy": "false"},
        ],
    });
    let changed = site
        .json("PUT", &format!("{PATH}/qa%2Eeu"), change.to_string())
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let changed = changed.json();
    let kept = ids(&changed["deploy_access_levels"]);
    assert_eq!((kept.len(), kept[0]), (2, levels[0]));
    assert_eq!(changed["deploy_access_levels"][1]["access_level"], 30);
    assert_eq!(ids(&changed["approval_rules"]), [rules[1]]);
    assert_eq!(changed["approval_rules"][0]["required_approvals"], 4);
    // A rule that is only to be destroyed needs no subject.
    let last = json!({"approval_rules": [{"id": rules[1], "_destroy": true}]});
    let changed = site
        .json("PUT", &format!("{PATH}/qa%2Eeu"), last.to_string())
        .await
        .json();
    assert_eq!(changed["approval_rules"], json!([]));
}

async fn ruby_and_the_command_line_of_gitbeaker_send_text_for_everything(engine: Engine) {
    let site = Site::new(engine).await;
    let form = "name=one&deploy_access_levels%5B%5D%5Baccess_level%5D=40\
                &approval_rules[][user_id]=3&approval_rules[][required_approvals]=1\
                &approval_rules[][user_id]=4&approval_rules[][required_approvals]=2&required_approval_count=1";
    let ruby = site
        .send(&Ask::new("POST", PATH).by(&site.world.maintainer).form(form))
        .await;
    let text = r#"{"name":"two","deploy_access_levels":[{"access_level":"40"}],"required_approval_count":"1",
        "approval_rules":[{"user_id":"3","required_approvals":"1"},{"user_id":"4","required_approvals":"2"}]}"#;
    let gitbeaker = site.json("POST", PATH, text).await;
    for made in [ruby, gitbeaker] {
        assert_eq!(made.status, 201, "{made:?}");
        let made = made.json();
        assert_eq!(made["deploy_access_levels"][0]["access_level"], 40);
        assert_eq!(made["required_approval_count"], 1);
        let rules: Vec<_> = made["approval_rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| (rule["user_id"].as_i64(), rule["required_approvals"].as_i64()))
            .collect();
        assert_eq!(rules, [(Some(3), Some(1)), (Some(4), Some(2))]);
    }
    // Two keys that do not repeat are one element, with one subject too many (contract 2.10).
    let one = "name=three&deploy_access_levels[][access_level]=40&deploy_access_levels[][user_id]=3";
    let refused = site
        .send(&Ask::new("POST", PATH).by(&site.world.maintainer).form(one))
        .await;
    let told = "deploy_access_levels[0]: exactly one of access_level, group_id, user_id must be present";
    assert_eq!(
        refused.told(),
        (422, json!({ "message": [told] }).to_string().as_str())
    );
}

async fn gitlabform_protects_anew_and_compares_by_position(engine: Engine) {
    let site = Site::new(engine).await;
    let sent = json!([{"user_id": 4}, {"access_level": 40}, {"user_id": 3}, {"access_level": 30}]);
    let body = json!({"name": "production", "deploy_access_levels": sent}).to_string();
    for _ in 0..2 {
        assert_eq!(site.json("POST", PATH, &body).await.status, 201);
        let shown = site.ask("GET", &format!("{PATH}/production")).await.json();
        let shown = shown["deploy_access_levels"].as_array().unwrap();
        assert_eq!(shown.len(), 4);
        for (shown, sent) in shown.iter().zip(sent.as_array().unwrap()) {
            for key in ["user_id", "access_level", "group_id"] {
                assert_eq!(shown[key], sent.get(key).cloned().unwrap_or_default(), "{key}");
            }
        }
        assert_eq!(
            site.ask("DELETE", &format!("{PATH}/production")).await.told(),
            (204, "")
        );
    }
}

/// A deployment that waits for one approval.
async fn held(site: &Site) -> i64 {
    let body =
        r#"{"name":"production","deploy_access_levels":[{"access_level":30}],"required_approval_count":1}"#;
    assert_eq!(site.json("POST", PATH, body).await.status, 201);
    site.deploy("production", "main", "running").await
}

async fn many_who_wait_keep_nobody_else_waiting(engine: Engine) {
    let site = Site::new(engine).await;
    let held = held(&site).await;
    let target = format!("projects/1/deployments/{held}?wait_for=approved&timeout=300");
    let waiting = futures_util::future::join_all((0..WAITERS).map(|_| site.ask("GET", &target)));
    let approve = async {
        // Asked for behind all those who wait, and over the same two connections to the server.
        for _ in 0..20 {
            let read = site.ask("GET", &format!("projects/1/deployments/{held}")).await;
            assert_eq!(read.json()["status"], "blocked");
        }
        let target = format!("projects/1/deployments/{held}/approval");
        let approval = Ask::new("POST", &target)
            .by(&site.world.developer)
            .form("status=approved");
        assert_eq!(site.send(&approval).await.status, 201);
    };
    let (told, ()) = tokio::join!(waiting, approve);
    for told in told {
        assert_eq!((told.status, &told.json()["status"]), (200, &json!("created")));
    }
}

async fn who_may_only_read_may_wait_and_who_may_not_see_may_not(engine: Engine) {
    let site = Site::new(engine).await;
    let held = held(&site).await;
    let target = format!("projects/1/deployments/{held}?wait_for=blocked");
    let server = &site.world.server;
    let (_, reader) = server
        .user_with("ray", &[gatehouse::pb::v1::TokenScope::ReadApi])
        .await;
    let ask = |token: &str| Ask::new("GET", &target).by(token);
    let unseen = (404, r#"{"message":"404 Project Not Found"}"#);
    assert_eq!(site.send(&ask(&reader)).await.told(), unseen);
    server
        .member(
            crate::support::in_project("acme/web"),
            "ray",
            gatehouse::pb::v1::AccessLevel::Reporter,
        )
        .await;
    assert_eq!(site.send(&ask(&reader)).await.status, 200);
    assert_eq!(site.send(&ask("glpat-nobody")).await.status, 401);
}

async fn a_sidecar_that_stops_does_not_wait_for_who_waits(engine: Engine) {
    let site = Site::new(engine).await;
    let held = held(&site).await;
    let sidecar = site.sidecar(|_| {}).await;
    let address = sidecar.address;
    let one = format!("projects/1/deployments/{held}");
    let wait = Ask::new("GET", &format!("{one}?wait_for=approved&timeout=300")).by(&site.world.maintainer);
    let waiting = tokio::spawn(async move { crate::support::rest::send(address, &wait).await });
    // Asked for behind the wait: when these are answered, it has long begun.
    let read = Ask::new("GET", &one).by(&site.world.maintainer);
    for _ in 0..20 {
        tokio::task::yield_now().await;
        assert_eq!(sidecar.send(&read).await.status, 200);
    }
    sidecar.stop().await;
    let unavailable = (503, r#"{"message":"503 Service Unavailable"}"#);
    assert_eq!(waiting.await.unwrap().told(), unavailable);
}

async fn who_waits_is_told_when_the_deployment_goes_and_when_the_server_does(engine: Engine) {
    let site = Site::new(engine).await;
    let held = held(&site).await;
    let one = format!("projects/1/deployments/{held}");
    let wait = format!("{one}?wait_for=finished&timeout=300");
    let (told, deleted) = tokio::join!(site.ask("GET", &wait), site.ask("DELETE", &one));
    assert_eq!(deleted.status, 202, "{deleted:?}");
    assert_eq!(told.told(), (404, r#"{"message":"404 Not found"}"#));

    let other = site.deploy("production", "main", "running").await;
    let wait = format!("projects/1/deployments/{other}?wait_for=finished&timeout=300");
    let stop = async { site.world.server.shutdown().cancel() };
    let (told, ()) = tokio::join!(site.ask("GET", &wait), stop);
    assert_eq!(told.told(), (503, r#"{"message":"503 Service Unavailable"}"#));
    assert_eq!(told.header("retry-after"), Some("1"));
}
