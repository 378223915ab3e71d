//! What an existing GitLab tells of merge requests.

use v1::{
    MergeRequestState as State, UpsertMergeRequestRequest as Upsert, UserRef, project_ref::By, user_ref,
};

use super::*;

const HOOK: &str = "/webhooks/gitlab/7";
const MERGED: &str = r##"{"object_kind": "merge_request", "event_type": "merge_request",
    "user": {"id": 51, "name": "Mika", "username": "mika", "email": "[REDACTED]"},
    "project": {"id": 4, "name": "Web", "path_with_namespace": "elsewhere/web"},
    "labels": [{"id": 206, "title": "API", "color": "#ffffff", "type": "ProjectLabel", "description": "API related"}],
    "assignees": [{"id": 52, "name": "Dana", "username": "dana"}],
    "reviewers": [{"id": 53, "name": "Rosa", "username": "rosa"}],
    "changes": {"state_id": {"previous": 1, "current": 3}},
    "object_attributes": {"id": 99, "iid": 12, "target_branch": "main", "source_branch": "fix/cart",
        "source_project_id": 4, "target_project_id": 4, "author_id": 52, "assignee_ids": [52], "title": "Mend the\r\ncart ",
        "description": null, "state": "merged", "action": "merge",
        "created_at": "2016-08-11 07:36:40 UTC", "updated_at": "2016-08-11T09:00:00Z",
        "merge_status": "can_be_merged", "detailed_merge_status": "not_open", "merge_when_pipeline_succeeds": false,
        "merge_commit_sha": "99d03678b90d914dbb1b109132516d71a4a03ea8", "squash_commit_sha": null,
        "last_commit": {"id": "a91957a858320c0e17f3a0eca7cfacbff50ea29a", "message": "Mend"},
        "merge_params": {"force_remove_source_branch": "1"}, "time_estimate": 3600, "total_time_spent": 60,
        "blocking_discussions_resolved": true, "url": "https://gitlab.example/elsewhere/web/-/merge_requests/12",
        "work_in_progress": false, "draft": false, "milestone_id": null}}"##;

fn hook(target: &str) -> http::request::Builder {
    anonymous("POST", target)
        .header("content-type", "application/json")
        .header("X-Gitlab-Event", "Merge Request Hook")
}

async fn told(rig: &Rig, body: &str) -> Answered {
    rig.send(hook(HOOK).header("X-Gitlab-Token", "gth-secret"), body.to_owned())
        .await
}

fn named(username: &str) -> UserRef {
    UserRef {
        by: Some(user_ref::By::Username(username.to_owned())),
    }
}

fn at(text: &str) -> Option<prost_types::Timestamp> {
    time::parse(text, chrono::NaiveDate::default())
}

#[tokio::test]
async fn what_the_event_tells_is_reported_and_nothing_else() {
    let rig = Rig::new().await;
    let answered = told(&rig, MERGED).await;
    assert_eq!(
        (answered.status.as_u16(), answered.body.as_str()),
        (200, r#"{"message":"200 OK"}"#)
    );
    let (asked, metadata) = rig.fake.asked::<Upsert>().unwrap();
    assert_eq!(metadata.get("private-token").unwrap(), "gth-secret");
    assert_eq!(asked.project.unwrap().by, Some(By::Id(7)));
    assert_eq!(asked.iid, 12);
    assert!(asked.skip_unknown_users && !asked.validate_only);
    let wanted = v1::MergeRequestReport {
        title: "Mend the  cart".to_owned(),
        state: State::Merged.into(),
        created_at: at("2016-08-11T07:36:40Z"),
        updated_at: at("2016-08-11T09:00:00Z"),
        merged_by: Some(named("mika")),
        merged_at: at("2016-08-11T09:00:00Z"),
        target_branch: "main".to_owned(),
        source_branch: "fix/cart".to_owned(),
        source_project_id: Some(7),
        author: Some(named("dana")),
        assignees: vec![named("dana")],
        reviewers: vec![named("rosa")],
        labels: vec![v1::Label {
            name: "API".to_owned(),
            color: "#ffffff".to_owned(),
            description: "API related".to_owned(),
            ..Default::default()
        }],
        sha: "a91957a858320c0e17f3a0eca7cfacbff50ea29a".to_owned(),
        merge_commit_sha: "99d03678b90d914dbb1b109132516d71a4a03ea8".to_owned(),
        merge_status: "can_be_merged".to_owned(),
        detailed_merge_status: "not_open".to_owned(),
        force_remove_source_branch: Some(true),
        time_stats: Some(v1::TimeStats {
            time_estimate: 3600,
            total_time_spent: 60,
        }),
        blocking_discussions_resolved: Some(true),
        web_url: "https://gitlab.example/elsewhere/web/-/merge_requests/12".to_owned(),
        ..Default::default()
    };
    assert_eq!(asked.merge_request, Some(wanted));
    let mut paths = asked.update_mask.unwrap().paths;
    paths.sort();
    let expected = [
        "assignees",
        "author",
        "blocking_discussions_resolved",
        "created_at",
        "description",
        "detailed_merge_status",
        "force_remove_source_branch",
        "labels",
        "merge_commit_sha",
        "merge_status",
        "merge_when_pipeline_succeeds",
        "merged_at",
        "merged_by",
        "reviewers",
        "sha",
        "source_branch",
        "source_project_id",
        "squash_commit_sha",
        "state",
        "target_branch",
        "time_stats",
        "title",
        "updated_at",
        "web_url",
    ];
    assert_eq!(paths, expected);
}

#[tokio::test]
async fn little_that_is_told_changes_little() {
    let rig = Rig::new().await;
    let little = r#"{"object_kind": "merge_request", "object_attributes": {"iid": 1, "title": "T", "state": "closed",
        "action": "close", "updated_at": "2016-08-11T09:00:00Z", "source_branch": "a", "target_branch": "b"},
        "user": {"id": 1, "username": "mika"}}"#;
    told(&rig, little).await;
    let (asked, _) = rig.fake.asked::<Upsert>().unwrap();
    let report = asked.merge_request.unwrap();
    assert_eq!(report.closed_by, Some(named("mika")));
    assert_eq!(report.closed_at, at("2016-08-11T09:00:00Z"));
    let mut paths = asked.update_mask.unwrap().paths;
    paths.sort();
    assert_eq!(
        paths,
        [
            "closed_at",
            "closed_by",
            "source_branch",
            "source_project_id",
            "state",
            "target_branch",
            "title",
            "updated_at"
        ]
    );
}

#[tokio::test]
async fn without_the_secret_nobody_is_told_anything_else() {
    let rig = Rig::new().await;
    // A user's token in its usual place is not the webhook's.
    for (header, value) in [
        ("X-Unheard-Of", "x"),
        ("X-Gitlab-Token", ""),
        ("PRIVATE-TOKEN", "gth-secret"),
    ] {
        for body in [MERGED, "{", "{}"] {
            let answered = rig.send(hook(HOOK).header(header, value), body).await;
            assert_eq!(answered.status, 401, "{header} {body}");
            assert_eq!(answered.body, r#"{"message":"401 Unauthorized"}"#);
        }
    }
    // A secret that is none: the same, whatever the body.
    rig.refuse(Code::Unauthenticated, "TOKEN_INVALID");
    for body in [MERGED, "{", "{}", "[]"] {
        let answered = told(&rig, body).await;
        assert_eq!(answered.body, r#"{"message":"401 Unauthorized"}"#, "{body}");
        assert_eq!(answered.status, 401);
    }
    let get = rig.ask("GET", HOOK).await;
    assert_eq!(get.status, 404);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name_and_reports_nothing() {
    let rig = Rig::new().await;
    let changed = |from: &str, to: &str| {
        assert!(MERGED.contains(from), "{from}");
        MERGED.replace(from, to)
    };
    for (body, wanted) in [
        (
            "{}".to_owned(),
            "object_kind is missing, object_kind does not have a valid value, object_attributes is missing",
        ),
        (
            changed(r#""object_kind": "merge_request""#, r#""object_kind": "push""#),
            "object_kind does not have a valid value",
        ),
        (
            changed(r#""iid": 12"#, r#""iid": "x""#),
            "object_attributes[iid] is invalid, object_attributes[iid] does not have a valid value",
        ),
        (
            changed(r#""iid": 12"#, r#""iid": 0"#),
            "object_attributes[iid] does not have a valid value",
        ),
        (
            changed(r#""title": "Mend the\r\ncart ""#, r#""title": " ""#),
            "object_attributes[title] is empty",
        ),
        (
            changed(r#""state": "merged""#, r#""state": "gone""#),
            "object_attributes[state] does not have a valid value",
        ),
        (
            changed(
                r#""updated_at": "2016-08-11T09:00:00Z""#,
                r#""updated_at": "then""#,
            ),
            "object_attributes[updated_at] is invalid",
        ),
        (
            changed(r#""labels": ["#, r#""labels": [7, "#),
            "labels is invalid",
        ),
        (
            changed(r#""title": "API""#, r#""title": """#),
            "labels[0][title] is empty",
        ),
        (
            changed(r#""assignees": ["#, r#""assignees": {"a": 1}, "x": ["#),
            "assignees is invalid",
        ),
        (
            changed(r#""object_attributes": {"#, r#""object_attributes": 7, "x": {"#),
            "object_attributes is invalid, object_attributes is missing",
        ),
    ] {
        let answered = told(&rig, &body).await;
        assert_eq!(answered.body, error(wanted), "{body}");
        assert_eq!(answered.status, 400);
        let (asked, _) = rig.fake.asked::<Upsert>().unwrap();
        assert_eq!(
            asked,
            Upsert {
                validate_only: true,
                ..Default::default()
            }
        );
    }
    let malformed = told(&rig, "{").await;
    assert_eq!(malformed.status, 400);
    assert!(
        malformed
            .body
            .contains("message body does not match declared format"),
        "{}",
        malformed.body
    );
    let other = rig
        .send(
            anonymous("POST", HOOK)
                .header("content-type", "application/json")
                .header("X-Gitlab-Event", "Push Hook")
                .header("X-Gitlab-Token", "gth-secret"),
            MERGED,
        )
        .await;
    assert_eq!(other.body, error("X-Gitlab-Event does not have a valid value"));
}
