//! The gate over REST: the documented examples to the byte, every refusal word for word, and waiting.

use gatehouse::pb::v1::{self as pb, AccessLevel};

use super::documented::assert_snapshot;
use crate::support::{
    engine::{Engine, on_both_engines},
    entry::{group, requiring, role},
    group_at, in_group, in_project,
    rest::{Ask, Reply, Site, time},
};

on_both_engines! {
    the_unified_setting_reads_as_documented
    approval_rules_read_as_documented
    every_refusal_is_told_word_for_word_and_in_its_order
    what_comes_before_the_rules_is_told_as_everywhere
    a_decision_repeated_stays_as_it_was_and_one_reversed_fails_the_deployment
    a_client_may_send_back_what_it_was_shown
    a_maintainer_lets_people_approve_what_they_recorded
    a_maintainer_says_whether_outdated_jobs_may_start_and_ended_ones_again
    a_project_is_changed_in_what_is_mentioned
    a_protection_keeps_out_whom_it_does_not_admit
    a_wait_ends_with_the_last_approval_or_the_rejection
    a_wait_tells_the_present_when_its_time_is_up
}

const NOT_PROTECTED: &str = r#"{"message":"This environment is not protected."}"#;
const OWN: &str = concat!(
    r#"{"message":"You cannot approve your own deployment. This configuration can be adjusted in the protected "#,
    r#"environment settings."}"#,
);
const NOT_CONFIGURED: &str = r#"{"message":"Deployment approvals is not configured for this environment."}"#;
const NOT_WAITING: &str = r#"{"message":"This deployment is not waiting for approvals."}"#;
const NOT_PERMITTED: &str = concat!(
    r#"{"message":"You don't have permission to approve this deployment. Contact the project or group owner for "#,
    r#"help."}"#,
);
const NO_RULE: &str = concat!(
    r#"{"message":"There are no approval rules for the given `represent_as` parameter. Use a valid User/Group/Role "#,
    r#"name instead."}"#,
);
const TOO_LONG: &str = r#"{"message":["Comment is too long (maximum is 255 characters)"]}"#;
const FORBIDDEN: &str = r#"{"message":"403 Forbidden"}"#;

/// The documented world: who may decide, and what they decide about.
struct Gated {
    site: Site,
    /// Ids of `qa-group` and `security-group`.
    groups: [i64; 2],
    /// In `qa-group`.
    quinn: String,
    /// In `security-group`: the document's `security-user-1`.
    security: String,
    /// In both.
    both: String,
}

impl Gated {
    /// Nothing is protected yet.
    async fn new(engine: Engine) -> Self {
        let site = Site::at(engine, "2022-02-24T20:00:00Z").await;
        let server = &site.world.server;
        let mut groups = [0; 2];
        for (id, name) in groups.iter_mut().zip(["qa-group", "security-group"]) {
            *id = server.group(name).await.id;
            let request = pb::CreateGroupShareRequest {
                container: Some(in_project("acme/web")),
                group: Some(group_at(name)),
                access_level: AccessLevel::Reporter.into(),
                ..Default::default()
            };
            server
                .directory(&server.root)
                .create_group_share(request)
                .await
                .unwrap();
        }
        let mut secrets = Vec::new();
        for (name, groups) in [
            ("quinn", &["qa-group"][..]),
            ("security-user-1", &["security-group"]),
            ("both", &["qa-group", "security-group"]),
        ] {
            secrets.push(server.user(name).await.1);
            for group in groups {
                server.member(in_group(group), name, AccessLevel::Reporter).await;
            }
        }
        let [quinn, security, both] = secrets.try_into().unwrap();
        Self {
            site,
            groups,
            quinn,
            security,
            both,
        }
    }

    /// With `production` as documented: one approval of `qa-group` and two of `security-group`.
    async fn with_rules(engine: Engine) -> Self {
        let gated = Self::new(engine).await;
        let [qa, security] = gated.groups;
        gated
            .protect(
                "production",
                30,
                0,
                vec![requiring(1, group(qa)), requiring(2, group(security))],
            )
            .await;
        gated
    }

    async fn protect(&self, name: &str, role_of_deployers: i32, count: i32, rules: Vec<pb::ProtectionEntry>) {
        let request = pb::ProtectEnvironmentRequest {
            container: Some(in_project("acme/web")),
            name: name.into(),
            deploy_access_levels: vec![role(role_of_deployers)],
            required_approval_count: count,
            approval_rules: rules,
            ..Default::default()
        };
        let world = &self.site.world;
        let mut client = world.server.protections(&world.maintainer);
        client.protect_environment(request).await.unwrap();
    }

    /// A deployment that the Developer records as running.
    async fn held(&self, environment: &str) -> i64 {
        let recorded = self
            .site
            .world
            .record(environment, pb::DeploymentStatus::Running)
            .await;
        recorded.id
    }

    async fn decide(&self, token: &str, id: i64, form: &str) -> Reply {
        let target = format!("projects/1/deployments/{id}/approval");
        self.site
            .send(&Ask::new("POST", &target).by(token).form(form))
            .await
    }

    async fn get(&self, id: i64) -> Reply {
        self.site
            .ask("GET", &format!("projects/1/deployments/{id}"))
            .await
    }
}

async fn the_unified_setting_reads_as_documented(engine: Engine) {
    let gated = Gated::new(engine).await;
    gated.protect("production", 30, 1, vec![]).await;
    let server = &gated.site.world.server;
    let bot = server.user("project_6_bot").await.1;
    server
        .member(in_project("acme/web"), "project_6_bot", AccessLevel::Developer)
        .await;
    let recorded = gated.site.json(
        "POST",
        "projects/1/deployments",
        r#"{"environment":"production","sha":"a91957a858320c0e17f3a0eca7cfacbff50ea29a","ref":"main","tag":false,"status":"running"}"#,
    );
    let recorded = recorded.await;
    assert_eq!(recorded.status, 201, "{recorded:?}");
    assert_snapshot("deployment_blocked", &recorded);
    gated.site.clock.set(time("2022-02-24T20:22:30.097Z"));
    let approval = gated
        .decide(&bot, recorded.id(), "status=approved&comment=Looks good to me")
        .await;
    assert_eq!(approval.status, 201, "{approval:?}");
    assert_snapshot("deployment_approved_unified", &gated.get(recorded.id()).await);
}

async fn approval_rules_read_as_documented(engine: Engine) {
    let gated = Gated::with_rules(engine).await;
    let id = gated.held("production").await;
    gated.site.clock.set(time("2022-02-24T20:22:30.097Z"));
    let form = "status=approved&comment=Looks good to me&represented_as=security";
    let approval = gated.decide(&gated.both, id, form).await;
    assert_eq!(approval.status, 201, "{approval:?}");
    assert_snapshot("approval", &approval);
    gated.site.clock.set(time("2022-04-11T03:37:03.058Z"));
    let approval = gated.decide(&gated.security, id, "status=approved").await;
    assert_eq!(approval.status, 201, "{approval:?}");
    assert_snapshot("approval_without_comment", &approval);
    assert_snapshot("deployment_approval_summary", &gated.get(id).await);
    let list = gated.site.ask("GET", "projects/1/deployments").await;
    assert!(
        !list.body.contains("approv"),
        "lists do not tell decisions: {list:?}"
    );
    assert_eq!(
        gated.decide(&gated.quinn, id, "status=approved").await.status,
        201
    );
    let released = gated.get(id).await.json();
    assert_eq!(
        (&released["status"], &released["pending_approval_count"]),
        (&"created".into(), &0.into())
    );
}

async fn every_refusal_is_told_word_for_word_and_in_its_order(engine: Engine) {
    let gated = Gated::with_rules(engine).await;
    gated.protect("configured/not", 30, 0, vec![]).await;
    let [dora, mona, rita] = [
        &gated.site.world.developer,
        &gated.site.world.maintainer,
        &gated.site.world.reporter,
    ];
    // Wrong in as many ways as can be: the first check that fails tells.
    let wrong = format!(
        "status=approved&represented_as=security&comment={}",
        "x".repeat(256)
    );
    let open = gated.held("staging").await;
    let unconfigured = gated.held("configured/not").await;
    let done = gated
        .site
        .world
        .record("production", pb::DeploymentStatus::Success)
        .await
        .id;
    let held = gated.held("production").await;
    for (token, id, form, expected) in [
        (dora, open, wrong.as_str(), NOT_PROTECTED),
        (dora, unconfigured, &wrong, OWN),
        (dora, unconfigured, "status=rejected", NOT_CONFIGURED),
        (mona, unconfigured, &wrong, NOT_CONFIGURED),
        (rita, done, &wrong, NOT_WAITING),
        (dora, held, &wrong, OWN),
        (dora, held, "status=rejected", NOT_PERMITTED),
        (rita, held, &wrong, NOT_PERMITTED),
        (&gated.quinn, held, &wrong, NO_RULE),
        (&gated.both, held, &wrong, TOO_LONG),
    ] {
        let refused = gated.decide(token, id, form).await;
        assert_eq!(refused.told(), (400, expected), "{id} {form}");
    }
    assert!(
        gated
            .get(held)
            .await
            .body
            .contains(r#""pending_approval_count":3,"approvals":[]"#)
    );
}

async fn what_comes_before_the_rules_is_told_as_everywhere(engine: Engine) {
    let gated = Gated::with_rules(engine).await;
    let held = gated.held("production").await;
    let server = &gated.site.world.server;
    let stranger = server.user("stranger").await.1;
    let guest = server.user("guest").await.1;
    server
        .member(in_project("acme/web"), "guest", AccessLevel::Guest)
        .await;
    for (token, id, form, expected) in [
        (
            "",
            "abc".to_owned(),
            "",
            (401, r#"{"message":"401 Unauthorized"}"#),
        ),
        (
            &stranger,
            "abc".to_owned(),
            "status=approve",
            (
                400,
                r#"{"error":"deployment_id is invalid, status does not have a valid value"}"#,
            ),
        ),
        (
            &stranger,
            held.to_string(),
            "comment=x",
            (
                400,
                r#"{"error":"status is missing, status does not have a valid value"}"#,
            ),
        ),
        (
            &stranger,
            held.to_string(),
            "status=approved",
            (404, r#"{"message":"404 Project Not Found"}"#),
        ),
        (&guest, held.to_string(), "status=approved", (403, FORBIDDEN)),
        (
            &gated.quinn,
            "999".to_owned(),
            "status=approved",
            (404, r#"{"message":"404 Not found"}"#),
        ),
    ] {
        let mut ask = Ask::new("POST", &format!("projects/1/deployments/{id}/approval")).form(form);
        if !token.is_empty() {
            ask = ask.by(token);
        }
        assert_eq!(gated.site.send(&ask).await.told(), expected, "{id} {form}");
    }
}

async fn a_decision_repeated_stays_as_it_was_and_one_reversed_fails_the_deployment(engine: Engine) {
    let gated = Gated::with_rules(engine).await;
    let held = gated.held("production").await;
    let first = gated
        .decide(&gated.quinn, held, "status=approved&comment=first")
        .await;
    let again = gated
        .decide(&gated.quinn, held, "status=approved&comment=again")
        .await;
    assert_eq!(first.status, 201);
    assert_eq!(again.told(), first.told());
    let rejected = gated
        .decide(&gated.quinn, held, r"status=rejected&comment=No")
        .await;
    assert_eq!(rejected.status, 201);
    assert!(
        rejected.body.contains(r#""status":"rejected""#),
        "{}",
        rejected.body
    );
    assert_eq!(gated.get(held).await.json()["status"], "failed");
    let late = gated.decide(&gated.both, held, "status=approved").await;
    assert_eq!(late.told(), (400, NOT_WAITING));
}

async fn a_client_may_send_back_what_it_was_shown(engine: Engine) {
    let gated = Gated::new(engine).await;
    gated.protect("production", 30, 1, vec![]).await;
    let sent_back = r#"{"status":"success","pending_approval_count":0,"approvals":[{"user":{"id":4},"status":"approved","comment":null}],"approval_summary":{"rules":[]}}"#;
    let form = "status=success&pending_approval_count=0&approvals[][status]=approved&approvals[][comment]=";
    for json in [true, false] {
        let id = gated.held("production").await;
        let target = format!("projects/1/deployments/{id}");
        let approved = gated
            .decide(&gated.site.world.maintainer, id, "status=approved")
            .await;
        assert_eq!(approved.status, 201, "{approved:?}");
        let ask = Ask::new("PUT", &target).by(&gated.site.world.developer);
        let ask = if json { ask.json(sent_back) } else { ask.form(form) };
        let saved = gated.site.send(&ask).await;
        assert_eq!(saved.status, 200, "{saved:?}");
        let saved = saved.json();
        assert_eq!(saved["status"], "success");
        assert_eq!(saved["approvals"][0]["user"]["username"], "mona");
        assert_eq!(saved["pending_approval_count"], 0);
    }
}

async fn a_maintainer_lets_people_approve_what_they_recorded(engine: Engine) {
    let gated = Gated::new(engine).await;
    gated.protect("production", 30, 1, vec![]).await;
    let held = gated.held("production").await;
    let dora = &gated.site.world.developer;
    assert_eq!(
        gated.decide(dora, held, "status=approved").await.told(),
        (400, OWN)
    );

    let put = |token: &str, form: &str| Ask::new("PUT", "projects/acme%2Fweb").by(token).form(form);
    let allow = "allow_pipeline_trigger_approve_deployment=yes&merge_method=ff";
    assert_eq!(gated.site.send(&put(dora, allow)).await.told(), (403, FORBIDDEN));
    let mona = &gated.site.world.maintainer;
    let bad = "allow_pipeline_trigger_approve_deployment=maybe&visibility=secret";
    assert_eq!(
        gated.site.send(&put(mona, bad)).await.told(),
        (
            400,
            r#"{"error":"visibility does not have a valid value, allow_pipeline_trigger_approve_deployment is invalid"}"#
        )
    );
    let changed = gated.site.send(&put(mona, allow)).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_snapshot("project_update", &changed);
    let shown = gated.site.ask("GET", "projects/1").await.json();
    assert_eq!(shown["allow_pipeline_trigger_approve_deployment"], true);
    assert_eq!(gated.decide(dora, held, "status=approved").await.status, 201);
}

async fn a_maintainer_says_whether_outdated_jobs_may_start_and_ended_ones_again(engine: Engine) {
    let gated = Gated::new(engine).await;
    let (dora, mona) = (&gated.site.world.developer, &gated.site.world.maintainer);
    let put = |token: &str, form: &str| Ask::new("PUT", "projects/1").by(token).form(form);
    let settings = |shown: &serde_json::Value| {
        [
            "ci_forward_deployment_enabled",
            "ci_forward_deployment_rollback_allowed",
        ]
        .map(|key| shown[key].as_bool().unwrap())
    };
    let refused = gated
        .site
        .send(&put(dora, "ci_forward_deployment_enabled=no"))
        .await;
    assert_eq!(refused.told(), (403, FORBIDDEN));
    let bad = gated
        .site
        .send(&put(mona, "ci_forward_deployment_enabled=maybe"))
        .await;
    assert_eq!(
        bad.told(),
        (400, r#"{"error":"ci_forward_deployment_enabled is invalid"}"#)
    );
    for (form, wanted) in [
        ("name=web", [true, true]),
        ("ci_forward_deployment_rollback_allowed=false", [true, false]),
        ("ci_forward_deployment_enabled=0", [false, false]),
        ("ci_forward_deployment_rollback_allowed=true", [false, true]),
    ] {
        let changed = gated.site.send(&put(mona, form)).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        assert_eq!(settings(&changed.json()), wanted, "{form}");
        let shown = gated.site.ask("GET", "projects/1").await.json();
        assert_eq!(settings(&shown), wanted, "{form}");
    }
}

async fn a_project_is_changed_in_what_is_mentioned(engine: Engine) {
    let gated = Gated::new(engine).await;
    let root = gated.site.world.server.root.clone();
    let body = r#"{"name":"Web","description":"The shop","default_branch":"trunk","visibility":"internal","id":9,"path":"x"}"#;
    let changed = gated
        .site
        .send(&Ask::new("PUT", "projects/1").by(&root).json(body))
        .await
        .json();
    let cleared = gated
        .site
        .json("PUT", "projects/1", r#"{"description":null,"name":null}"#)
        .await
        .json();
    for (project, description) in [(&changed, "The shop"), (&cleared, "")] {
        assert_eq!(project["name"], "Web");
        assert_eq!(project["description"], description);
        assert_eq!(project["default_branch"], "trunk");
        assert_eq!(project["visibility"], "internal");
        assert_eq!(project["path_with_namespace"], "acme/web");
    }
}

async fn a_protection_keeps_out_whom_it_does_not_admit(engine: Engine) {
    let gated = Gated::new(engine).await;
    let running = gated.held("production").await;
    gated.protect("production", 40, 0, vec![]).await;
    let dora = &gated.site.world.developer;
    let record =
        r#"{"environment":"production","sha":"a91957a8","ref":"main","tag":false,"status":"success"}"#;
    let status = r#"{"status":"success"}"#;
    let deployment = format!("projects/1/deployments/{running}");
    for (method, target, body) in [
        ("POST", "projects/1/deployments", record),
        ("PUT", &deployment, status),
        ("DELETE", &deployment, ""),
        ("POST", "projects/1/environments/1/stop", ""),
        ("DELETE", "projects/1/environments/1", ""),
    ] {
        let refused = gated
            .site
            .send(&Ask::new(method, target).by(dora).json(body))
            .await;
        assert_eq!(refused.told(), (403, FORBIDDEN), "{method} {target}");
    }
    let put = |token: &str| {
        Ask::new("PUT", "projects/1/environments/1")
            .by(token)
            .form("description=x")
    };
    let refused = gated.site.send(&put(dora)).await;
    let text = concat!(
        r#"{"message":"403 Forbidden - You do not have permission to modify the protected environment 'production'. "#,
        r#"This endpoint enforces Protected Environment access policies.\nTo resolve this, ask a project Maintainer "#,
        r#"or Owner to grant you access under Settings > CI/CD > Protected environments, or use an account with the "#,
        r#"required permissions."}"#,
    );
    assert_eq!(refused.told(), (403, text));
    let refused = gated.site.send(&put(&gated.site.world.reporter)).await;
    assert_eq!(refused.told(), (403, FORBIDDEN), "the role goes first");
    let changed = gated.site.send(&put(&gated.site.world.maintainer)).await;
    assert_eq!(changed.status, 200, "{changed:?}");
}

async fn a_wait_ends_with_the_last_approval_or_the_rejection(engine: Engine) {
    let gated = Gated::new(engine).await;
    gated.protect("production", 30, 1, vec![]).await;
    let mona = &gated.site.world.maintainer;
    for (decision, wait_for, expected) in [
        ("approved", "approved", "created"),
        ("approved", "created", "created"),
        ("rejected", "approved", "failed"),
        ("rejected", "finished", "failed"),
    ] {
        let held = gated.held("production").await;
        let target = format!("projects/1/deployments/{held}?wait_for={wait_for}&timeout=300");
        let form = format!("status={decision}");
        let (told, decided) = tokio::join!(gated.site.ask("GET", &target), gated.decide(mona, held, &form),);
        assert_eq!(decided.status, 201, "{decided:?}");
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(told.json()["status"], expected, "{decision} {wait_for}");
        assert_eq!(told.body, gated.get(held).await.body);
    }
}

async fn a_wait_tells_the_present_when_its_time_is_up(engine: Engine) {
    let gated = Gated::with_rules(engine).await;
    let held = gated.held("production").await;
    let target = format!("projects/1/deployments/{held}?wait_for=approved&timeout=0");
    let told = gated.site.ask("GET", &target).await;
    assert_eq!(told.told(), (200, gated.get(held).await.body.as_str()));
    assert_eq!(told.json()["status"], "blocked");
    let head = gated.site.ask("HEAD", &target).await;
    assert_eq!(head.told(), (200, ""));
    assert_eq!(head.header("content-length"), told.header("content-length"));

    let missing = gated
        .site
        .ask("GET", "projects/1/deployments/999?wait_for=approved")
        .await;
    assert_eq!(missing.told(), (404, r#"{"message":"404 Not found"}"#));
}
