//! What was decided about deployments, decisions, and waiting for them.

use v1::wait_deployment_request::Until;

use super::{fake::approval, *};

const APPROVAL: &str = "/api/v4/projects/7/deployments/42/approval";
const NOBODY: &str =
    r#""avatar_url":null,"web_url":"http://gate.example:8080/user-100","public_email":null,"#;

fn rule(id: i64, subject: v1::approval_rule::Subject, description: Option<&str>) -> v1::ApprovalRule {
    v1::ApprovalRule {
        id,
        description: description.map(str::to_owned),
        required_approvals: 2,
        subject: Some(subject),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_deployment_alone_always_tells_what_was_decided() {
    let rig = Rig::new().await;
    let created = r#"{"environment":"qa","sha":"a91957a8","ref":"main","tag":false,"status":"success"}"#;
    let sent_back = r#"{"status":"success","approvals":[],"approval_summary":{"rules":[]}}"#;
    let one = format!("{DEPLOYMENTS}/42");
    for (method, target, body) in [
        ("GET", one.as_str(), ""),
        ("GET", &format!("{one}?wait_for=approved"), ""),
        ("POST", DEPLOYMENTS, created),
        ("PUT", &one, sent_back),
    ] {
        *rig.fake.approval_state.lock().unwrap() = None;
        let answered = rig.json(method, target, body).await;
        let nothing = r#","pending_approval_count":0,"approvals":[],"approval_summary":{"rules":[]},"user":"#;
        assert!(answered.body.contains(nothing), "{method} {}", answered.body);

        let said = approval(100, v1::ApprovalStatus::Approved, Some("Looks good to me"));
        *rig.fake.approval_state.lock().unwrap() = Some(v1::ApprovalState {
            pending_approval_count: 1,
            approvals: vec![said],
            ..Default::default()
        });
        let answered = rig.json(method, target, body).await;
        let something = format!(
            "\"pending_approval_count\":1,\"approvals\":[{{\"user\":{{\"name\":\"User 100\",\"username\":\"user-100\",\
             \"id\":100,\"state\":\"active\",{NOBODY}\"locked\":false}},\"status\":\"approved\",\"created_at\":null,\
             \"comment\":\"Looks good to me\"}}],\"approval_summary\":{{\"rules\":[]}},\"user\":"
        );
        assert!(answered.body.contains(&something), "{method} {}", answered.body);
    }
    *rig.fake.deployments.lock().unwrap() = v1::ListDeploymentsResponse {
        deployments: vec![fake::deployment(1)],
        ..Default::default()
    };
    let list = rig.ask("GET", DEPLOYMENTS).await;
    assert!(!list.body.contains("approval"), "{}", list.body);
}

#[tokio::test]
async fn a_rule_has_one_subject_and_those_who_approved_for_it() {
    use v1::{GroupInheritance, approval_rule::Subject};
    let rig = Rig::new().await;
    let inherited = v1::ApprovalRule {
        group_inheritance: GroupInheritance::Inherited.into(),
        ..rule(2, Subject::GroupId(135), Some("security-group"))
    };
    let rules = [
        rule(1, Subject::UserId(5), Some("Joe")),
        inherited,
        rule(3, Subject::Role(40), Some("Maintainers")),
        rule(4, Subject::Role(60), None),
    ];
    let summaries = rules.map(|rule| v1::ApprovalRuleSummary {
        approval_rule: Some(rule),
        ..Default::default()
    });
    *rig.fake.approval_state.lock().unwrap() = Some(v1::ApprovalState {
        rules: summaries.into(),
        ..Default::default()
    });
    let answered = rig.ask("GET", &format!("{DEPLOYMENTS}/42")).await;
    let required = r#""required_approvals":2,"group_inheritance_type""#;
    let expected = [
        r#""id":1,"user_id":5,"group_id":null,"access_level":null,"access_level_description":"Joe""#,
        r#""id":2,"user_id":null,"group_id":135,"access_level":null,"access_level_description":"security-group""#,
        r#""id":3,"user_id":null,"group_id":null,"access_level":40,"access_level_description":"Maintainers""#,
        r#""id":4,"user_id":null,"group_id":null,"access_level":60,"access_level_description":null"#,
    ]
    .into_iter()
    .zip([0, 1, 0, 0])
    .map(|(rule, inheritance)| format!("{{{rule},{required}:{inheritance},\"deployment_approvals\":[]}}"))
    .collect::<Vec<_>>()
    .join(",");
    let summary = format!(r#","approval_summary":{{"rules":[{expected}]}},"user":"#);
    assert!(answered.body.contains(&summary), "{}", answered.body);
}

#[tokio::test]
async fn a_decision_is_the_same_from_every_encoding() {
    let rig = Rig::new().await;
    let form = "status=approved&comment=Looks good to me&represented_as=security";
    let json = r#"{"status":"approved","comment":"Looks good to me","represented_as":"security"}"#;
    let multipart = form.split('&').fold(String::new(), |text, pair| {
        let (name, value) = pair.split_once('=').unwrap();
        text + &format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }) + "--x--\r\n";
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", form),
        ("application/json", json),
        ("multipart/form-data; boundary=x", multipart.as_str()),
    ] {
        let request = signed("POST", APPROVAL).header("content-type", content_type);
        let answered = rig.send(request, body.to_owned()).await;
        let expected = format!(
            "{{\"user\":{{\"name\":\"User 100\",\"username\":\"user-100\",\"id\":100,\"state\":\"active\",{NOBODY}\
             \"locked\":false}},\"status\":\"approved\",\"created_at\":null,\"comment\":\"Looks good to me\"}}"
        );
        assert_eq!(
            (answered.status.as_u16(), answered.body),
            (201, expected),
            "{content_type}"
        );
        let (asked, _) = rig.fake.asked::<v1::SubmitApprovalRequest>().unwrap();
        let expected = v1::SubmitApprovalRequest {
            project: Some(v1::ProjectRef {
                by: Some(v1::project_ref::By::Id(7)),
            }),
            deployment_id: 42,
            status: v1::ApprovalStatus::Approved.into(),
            comment: Some("Looks good to me".to_owned()),
            represented_as: "security".to_owned(),
            ..Default::default()
        };
        assert_eq!(asked, expected, "{content_type}");
    }
    let plain = r#"{"status":"rejected","comment":null,"represented_as":null}"#;
    assert_eq!(rig.json("POST", APPROVAL, plain).await.status, 201);
    let (asked, _) = rig.fake.asked::<v1::SubmitApprovalRequest>().unwrap();
    assert_eq!(asked.status(), v1::ApprovalStatus::Rejected);
    assert_eq!((asked.comment, asked.represented_as.as_str()), (None, ""));
}

#[tokio::test]
async fn bad_parameters_of_decisions_and_waits_are_told_by_name() {
    let rig = Rig::new().await;
    let get = |query: &str| format!("{DEPLOYMENTS}/42?{query}");
    let missing = "status is missing, status does not have a valid value";
    let no_wait = "wait_for does not have a valid value";
    for (method, target, body, expected) in [
        ("POST", APPROVAL.to_owned(), "{}", missing),
        (
            "POST",
            APPROVAL.to_owned(),
            r#"{"status":"approve"}"#,
            "status does not have a valid value",
        ),
        (
            "POST",
            format!("{DEPLOYMENTS}/abc/approval"),
            r#"{"comment":[],"represented_as":{}}"#,
            "deployment_id is invalid, status is missing, status does not have a valid value, comment is invalid, \
             represented_as is invalid",
        ),
        ("GET", get("wait_for=deployed"), "", no_wait),
        ("GET", get("wait_for="), "", no_wait),
        (
            "GET",
            get("wait_for=approved&timeout=soon"),
            "",
            "timeout is invalid",
        ),
        (
            "GET",
            get("wait_for=approved&timeout=301"),
            "",
            "timeout does not have a valid value",
        ),
        (
            "GET",
            get("wait_for=approved&timeout=-1"),
            "",
            "timeout does not have a valid value",
        ),
        (
            "GET",
            format!("{DEPLOYMENTS}/abc?wait_for=x&timeout=1.5"),
            "",
            "deployment_id is invalid, wait_for does not have a valid value, timeout is invalid",
        ),
    ] {
        let answered = rig.json(method, &target, body).await;
        assert_eq!(
            (answered.status.as_u16(), answered.body),
            (400, error(expected)),
            "{method} {target}"
        );
    }
    assert!(rig.fake.asked::<v1::SubmitApprovalRequest>().is_none());
}

#[tokio::test]
async fn a_wait_is_passed_on_with_time_to_spare() {
    use v1::{DeploymentStatus, WaitCondition};
    let rig = Rig::new().await;
    let approved = Until::Condition(WaitCondition::Approved.into());
    let finished = Until::Condition(WaitCondition::Finished.into());
    for (query, until, seconds) in [
        ("wait_for=approved", approved, 30),
        ("wait_for=finished&timeout=300", finished, 300),
        ("wait_for=approved&timeout=0", approved, 0),
        ("wait_for=approved&timeout=", approved, 30),
        (
            "wait_for=blocked&timeout=7",
            Until::Status(DeploymentStatus::Blocked.into()),
            7,
        ),
    ] {
        for method in ["GET", "HEAD"] {
            let answered = rig.ask(method, &format!("{DEPLOYMENTS}/42?{query}")).await;
            assert_eq!(answered.status, 200, "{query} {}", answered.body);
            let (asked, metadata) = rig.fake.asked::<v1::WaitDeploymentRequest>().unwrap();
            assert_eq!((asked.deployment_id, asked.until), (42, Some(until)), "{query}");
            assert_eq!(
                asked.timeout.map(|timeout| timeout.seconds),
                Some(seconds),
                "{query}"
            );
            assert!(!asked.fail_unless);
            // What any call may take comes on top of the wait.
            let deadline = metadata.get("grpc-timeout").unwrap().to_str().unwrap();
            assert_eq!(
                microseconds(deadline),
                Some((seconds + 30) * 1_000_000),
                "{query}"
            );
        }
    }
}

/// A deadline as it travels: a number and its unit.
fn microseconds(deadline: &str) -> Option<i64> {
    let (number, unit) = deadline.split_at_checked(deadline.len() - 1)?;
    let factor = match unit {
        "S" => 1_000_000,
        "m" => 1000,
        "u" => 1,
        _ => return None,
    };
    Some(number.parse::<i64>().ok()? * factor)
}

#[tokio::test]
async fn a_wait_answers_with_the_deployment_however_it_ends() {
    use v1::WaitOutcome;
    let rig = Rig::new().await;
    for outcome in [WaitOutcome::Met, WaitOutcome::Unmet, WaitOutcome::TimedOut] {
        *rig.fake.wait_outcome.lock().unwrap() = outcome;
        let answered = rig
            .ask("GET", &format!("{DEPLOYMENTS}/42?wait_for=approved"))
            .await;
        assert_eq!(answered.status, 200, "{outcome:?}");
        assert!(
            answered.body.starts_with(r#"{"id":42,"#),
            "{outcome:?} {}",
            answered.body
        );
    }
}

#[tokio::test]
async fn without_a_condition_nobody_waits() {
    let rig = Rig::new().await;
    for query in [
        "timeout=soon",
        "timeout=900",
        "wait_for[]=approved",
        "wait=approved",
    ] {
        let answered = rig.ask("GET", &format!("{DEPLOYMENTS}/42?{query}")).await;
        let waited = query.starts_with("wait_for");
        assert_eq!(
            answered.status,
            if waited { 400 } else { 200 },
            "{query} {}",
            answered.body
        );
        assert_eq!(
            rig.fake.asked::<v1::GetDeploymentRequest>().is_some(),
            !waited,
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_protection_is_named_where_an_environment_was_to_be_changed() {
    let rig = Rig::new().await;
    rig.refuse(Code::PermissionDenied, "ENVIRONMENT_PROTECTED");
    let environment = format!("{ENVIRONMENTS}/9");
    let created = r#"{"environment":"qa","sha":"a91957a8","ref":"main","tag":false,"status":"success"}"#;
    for (method, target, body) in [
        ("POST", DEPLOYMENTS, created),
        ("PUT", &format!("{DEPLOYMENTS}/42"), r#"{"status":"success"}"#),
        ("DELETE", &format!("{DEPLOYMENTS}/42"), ""),
        ("POST", &format!("{environment}/stop"), ""),
        ("DELETE", &environment, ""),
    ] {
        let answered = rig.json(method, target, body).await;
        assert_eq!(
            (answered.status.as_u16(), answered.body.as_str()),
            (403, r#"{"message":"403 Forbidden"}"#),
            "{method} {target}"
        );
    }
    let answered = rig.json("PUT", &environment, "{}").await;
    assert_eq!(answered.status, 403);
    assert!(
        answered
            .body
            .starts_with(r#"{"message":"403 Forbidden - You do not have permission"#),
        "{}",
        answered.body
    );
}
