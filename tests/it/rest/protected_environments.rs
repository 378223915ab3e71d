//! Protected environments over REST (contract 2.10): the five calls on both levels, every encoding, every refusal.

use gatehouse::pb::v1::{self as pb, AccessLevel};
use serde_json::{Value, json};

use crate::support::{
    engine::{Engine, on_both_engines},
    group_at, in_group, in_project,
    rest::{Ask, Reply, Site},
};

on_both_engines! {
    an_environment_is_protected_read_changed_and_unprotected
    a_list_is_by_name_and_paged
    a_form_says_the_same_by_racks_rule
    parameters_are_refused_together_and_before_anything_else
    what_makes_no_valid_protection_is_refused_entry_by_entry
    who_may_not_protect_learns_no_more_than_they_may
    a_group_protects_a_tier_for_every_project_below
}

const PATH: &str = "projects/1/protected_environments";

/// The world with a group `qa` (id 2) that the project is shared with.
async fn site(engine: Engine) -> Site {
    let site = Site::new(engine).await;
    let server = &site.world.server;
    let qa = server.group("qa").await.id;
    assert_eq!(qa, 2);
    let request = pb::CreateGroupShareRequest {
        container: Some(in_project("acme/web")),
        group: Some(group_at("qa")),
        access_level: AccessLevel::Reporter.into(),
        ..Default::default()
    };
    server
        .directory(&server.root)
        .create_group_share(request)
        .await
        .unwrap();
    site
}

#[track_caller]
fn ids(reply: &Reply, list: &str) -> Vec<i64> {
    reply.json()[list]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["id"].as_i64().unwrap())
        .collect()
}

async fn an_environment_is_protected_read_changed_and_unprotected(engine: Engine) {
    let site = site(engine).await;
    let made = site
        .json(
            "POST",
            PATH,
            r#"{"name":"review/x y.z","deploy_access_levels":[{"access_level":40},{"group_id":2,"group_inheritance_type":1}],
                "required_approval_count":2,"approval_rules":[{"user_id":3,"required_approvals":2},{"access_level":30}]}"#,
        )
        .await;
    let shown = r#"{"name":"review/x y.z","deploy_access_levels":[{"id":1,"access_level":40,"access_level_description":"Maintainers","user_id":null,"group_id":null,"group_inheritance_type":0},{"id":2,"access_level":null,"access_level_description":"qa","user_id":null,"group_id":2,"group_inheritance_type":1}],"required_approval_count":2,"approval_rules":[{"id":1,"user_id":3,"group_id":null,"access_level":null,"access_level_description":"dora by name","required_approvals":2,"group_inheritance_type":0},{"id":2,"user_id":null,"group_id":null,"access_level":30,"access_level_description":"Developers + Maintainers","required_approvals":1,"group_inheritance_type":0}]}"#;
    assert_eq!(made.told(), (201, shown));

    let one = format!("{PATH}/review%2Fx%20y%2Ez");
    assert_eq!(site.ask("GET", &one).await.told(), (200, shown));
    assert_eq!(
        site.ask("GET", PATH).await.told(),
        (200, format!("[{shown}]").as_str())
    );

    // As terraform does: the subject is repeated in what is destroyed, unmentioned entries stay, the path has the name.
    let changed = site
        .json(
            "PUT",
            &one,
            r#"{"name":"other","deploy_access_levels":[{"id":2,"group_id":2,"_destroy":true},{"user_id":3}],
                "approval_rules":[{"id":1,"user_id":null,"access_level":40}],"required_approval_count":0}"#,
        )
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let body = changed.json();
    assert_eq!(body["name"], "review/x y.z");
    assert_eq!(ids(&changed, "deploy_access_levels"), [1, 3]);
    assert_eq!(ids(&changed, "approval_rules"), [1, 2]);
    assert_eq!(body["approval_rules"][0]["access_level"], 40);
    assert_eq!(body["approval_rules"][0]["user_id"], Value::Null);
    assert_eq!(
        body["approval_rules"][0]["required_approvals"], 1,
        "left out is one again"
    );
    assert_eq!(body["required_approval_count"], 0);

    let early = Ask::new("DELETE", &one)
        .by(&site.world.maintainer)
        .header("If-Unmodified-Since", "Mon, 01 Aug 2016 00:00:00 GMT");
    let refused = (412, r#"{"message":"412 Precondition Failed"}"#);
    assert_eq!(site.send(&early).await.told(), refused);
    assert_eq!(site.ask("DELETE", &one).await.told(), (204, ""));
    assert_eq!(
        site.ask("GET", &one).await.told(),
        (404, r#"{"message":"404 Not found"}"#)
    );
}

async fn a_list_is_by_name_and_paged(engine: Engine) {
    let site = site(engine).await;
    for name in ["staging", "production", "a.json"] {
        let body = json!({"name": name, "deploy_access_levels": [{"access_level": 40}]});
        assert_eq!(site.json("POST", PATH, body.to_string()).await.status, 201);
    }
    let first = site.ask("GET", &format!("{PATH}?per_page=2")).await;
    let names = |reply: &Reply| -> Vec<Value> {
        reply
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["name"].clone())
            .collect()
    };
    assert_eq!(names(&first), ["a.json", "production"]);
    assert_eq!(
        (first.header("x-total"), first.header("x-next-page")),
        (Some("3"), Some("2"))
    );
    let second = site.ask("GET", &format!("{PATH}?per_page=2&page=2")).await;
    assert_eq!(names(&second), ["staging"]);
    assert_eq!(site.ask("GET", &format!("{PATH}/a.json")).await.status, 200);
}

async fn a_form_says_the_same_by_racks_rule(engine: Engine) {
    let site = site(engine).await;
    let form = "name=production&deploy_access_levels[][access_level]=40&deploy_access_levels[][access_level]=30\
                &approval_rules[][user_id]=3&approval_rules[][required_approvals]=2&approval_rules[][group_id]=";
    let request = Ask::new("POST", PATH).by(&site.world.maintainer).form(form);
    let made = site.send(&request).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(ids(&made, "deploy_access_levels"), [1, 2]);
    let rules = &made.json()["approval_rules"];
    assert_eq!(
        (&rules[0]["user_id"], &rules[0]["required_approvals"]),
        (&json!(3), &json!(2))
    );
}

async fn parameters_are_refused_together_and_before_anything_else(engine: Engine) {
    let site = site(engine).await;
    for (body, expected) in [
        ("{}", "name is missing, deploy_access_levels is missing"),
        (
            r#"{"name":"a","deploy_access_levels":[{"access_level":35}]}"#,
            "deploy_access_levels[0][access_level] does not have a valid value",
        ),
        (
            r#"{"name":"a","deploy_access_levels":[{"access_level":40},{"access_level":"x","user_id":"y"}]}"#,
            "deploy_access_levels[1][access_level] is invalid, deploy_access_levels[1][access_level] does not have a \
             valid value, deploy_access_levels[1][user_id] is invalid",
        ),
        (
            r#"{"name":"a","deploy_access_levels":"40"}"#,
            "deploy_access_levels is invalid",
        ),
        (
            r#"{"name":"a","deploy_access_levels":{"0":{"access_level":40}}}"#,
            "deploy_access_levels is invalid",
        ),
        (
            r#"{"name":"a","deploy_access_levels":[{"access_level":40,"group_inheritance_type":2}]}"#,
            "deploy_access_levels[0][group_inheritance_type] does not have a valid value",
        ),
        (
            r#"{"name":"a","deploy_access_levels":[{"access_level":40}],
                "approval_rules":[{"access_level":40},{"required_approvals":2},{"_destroy":true}]}"#,
            "approval_rules[1][access_level], approval_rules[1][user_id], approval_rules[1][group_id] are missing, at \
             least one parameter must be provided",
        ),
        (
            r#"{"name":"a","deploy_access_levels":[],"required_approval_count":"many"}"#,
            "required_approval_count is invalid",
        ),
    ] {
        let told = json!({ "error": expected }).to_string();
        // Not even the project is looked for (decision 19).
        for path in [PATH, "projects/999/protected_environments"] {
            assert_eq!(
                site.json("POST", path, body).await.told(),
                (400, told.as_str()),
                "{body}"
            );
        }
    }
}

async fn what_makes_no_valid_protection_is_refused_entry_by_entry(engine: Engine) {
    let site = site(engine).await;
    let stranger = site.world.server.user("stranger").await.0;
    let body = json!({"name": "production", "deploy_access_levels": [{"access_level": 40}]}).to_string();
    assert_eq!(site.json("POST", PATH, &body).await.status, 201);
    let conflict = r#"{"message":"Protected environment 'production' already exists"}"#;
    assert_eq!(site.json("POST", PATH, &body).await.told(), (409, conflict));
    let too_short = "Deploy access levels is too short (minimum is 1 character)";
    for (body, expected) in [
        (json!({"deploy_access_levels": []}), vec![too_short.to_owned()]),
        (
            json!({"deploy_access_levels": [{}]}),
            vec![
                "deploy_access_levels[0]: exactly one of access_level, group_id, user_id must be present"
                    .to_owned(),
            ],
        ),
        (
            json!({"deploy_access_levels": [{"access_level": 40}, {"user_id": stranger}], "required_approval_count": 6}),
            vec![
                format!("deploy_access_levels[1]: user {stranger} has no Developer access to this project"),
                "Required approval count must be between 0 and 5".to_owned(),
            ],
        ),
        (
            json!({"deploy_access_levels": [{"access_level": 40}], "approval_rules": [
                {"group_id": 2, "required_approvals": 0}, {"group_id": 1}, {"user_id": 3, "access_level": 40},
            ]}),
            vec![
                "approval_rules[0]: required_approvals must be between 1 and 5".to_owned(),
                "approval_rules[1]: group 1 is not invited to this project".to_owned(),
                "approval_rules[2]: exactly one of access_level, group_id, user_id must be present"
                    .to_owned(),
            ],
        ),
    ] {
        let mut body = body;
        body["name"] = "staging".into();
        let told = json!({ "message": expected }).to_string();
        let reply = site.json("POST", PATH, body.to_string()).await;
        assert_eq!(reply.told(), (422, told.as_str()), "{body}");
    }
    let last = json!({"deploy_access_levels": [{"id": 1, "_destroy": true}]}).to_string();
    let reply = site.json("PUT", &format!("{PATH}/production"), last).await;
    let told = json!({"message": [too_short]}).to_string();
    assert_eq!(reply.told(), (422, told.as_str()));
    let unknown = json!({"deploy_access_levels": [{"id": 99, "access_level": 30}]}).to_string();
    let reply = site.json("PUT", &format!("{PATH}/production"), unknown).await;
    assert_eq!(reply.told(), (404, r#"{"message":"404 Not found"}"#));
    assert_eq!(
        site.ask("GET", PATH).await.json().as_array().unwrap().len(),
        1,
        "nothing else was kept"
    );
}

async fn who_may_not_protect_learns_no_more_than_they_may(engine: Engine) {
    let site = site(engine).await;
    let world = &site.world;
    let (_, stranger) = world.server.user("stranger").await;
    let body = r#"{"name":"production","deploy_access_levels":[{"access_level":40}]}"#;
    for (token, path, status, text) in [
        (&stranger, PATH, 404, "404 Project Not Found"),
        (&world.developer, PATH, 403, "403 Forbidden"),
        (
            &stranger,
            "groups/1/protected_environments",
            404,
            "404 Group Not Found",
        ),
        (
            &world.maintainer,
            "groups/9/protected_environments",
            404,
            "404 Group Not Found",
        ),
    ] {
        let told = json!({ "message": text }).to_string();
        for (method, target, body) in [
            ("GET", path.to_owned(), ""),
            ("POST", path.to_owned(), body),
            ("GET", format!("{path}/production"), ""),
            ("PUT", format!("{path}/production"), "{}"),
            ("DELETE", format!("{path}/production"), ""),
        ] {
            let request = Ask::new(method, &target).by(token).json(body);
            assert_eq!(
                site.send(&request).await.told(),
                (status, told.as_str()),
                "{method} {target}"
            );
        }
    }
    let nobody = site.send(&Ask::new("POST", PATH).json("{}")).await;
    assert_eq!(nobody.told(), (401, r#"{"message":"401 Unauthorized"}"#));
}

async fn a_group_protects_a_tier_for_every_project_below(engine: Engine) {
    let site = site(engine).await;
    let server = &site.world.server;
    server.member(in_group("acme"), "mona", AccessLevel::Owner).await;
    let path = "groups/acme%2F..%2Facme/protected_environments";
    assert_eq!(site.ask("GET", path).await.status, 404);
    let path = "groups/1/protected_environments";
    let refused = site
        .json(
            "POST",
            path,
            r#"{"name":"prod","deploy_access_levels":[{"access_level":40}]}"#,
        )
        .await;
    let told = r#"{"message":["Name must be one of environment tiers: production, staging, testing, development, other."]}"#;
    assert_eq!(refused.told(), (422, told));
    let body = r#"{"name":"production","deploy_access_levels":[{"access_level":40}],
        "approval_rules":[{"access_level":40}]}"#;
    assert_eq!(site.json("POST", path, body).await.status, 201);
    let conflict = r#"{"message":"Protected environment 'production' already exists"}"#;
    assert_eq!(site.json("POST", path, body).await.told(), (409, conflict));

    let deployment =
        r#"{"environment":"prod/eu","sha":"a91957a858","ref":"main","tag":false,"status":"running"}"#;
    let request = Ask::new("POST", "projects/1/deployments")
        .by(&site.world.developer)
        .json(deployment);
    let forbidden = site.send(&request).await;
    assert_eq!(
        forbidden.told(),
        (403, r#"{"message":"403 Forbidden"}"#),
        "only Maintainers deploy there"
    );
    let held = site.json("POST", "projects/1/deployments", deployment).await;
    assert_eq!((held.status, &held.json()["status"]), (201, &"blocked".into()));
    assert_eq!(
        site.ask("DELETE", &format!("{path}/production")).await.told(),
        (204, "")
    );
    let freed = site
        .ask("GET", &format!("projects/1/deployments/{}", held.id()))
        .await;
    assert_eq!(freed.json()["status"], "created");
}
