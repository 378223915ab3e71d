//! The sidecar as a whole, in front of a scripted gRPC server on a real socket.

mod approvals;
mod fake;
mod merge_requests;
mod webhooks;

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::ServiceExt;

use self::fake::Fake;
use super::*;
use crate::pb::v1;

const DEPLOYMENTS: &str = "/api/v4/projects/7/deployments";
const ENVIRONMENTS: &str = "/api/v4/projects/7/environments";
const EMPTY_POST: &str = "environment is missing, environment is empty, sha is missing, sha is empty, ref is missing, \
                          ref is empty, tag is missing, status is missing, status does not have a valid value";

struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answered {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

struct Rig {
    fake: Arc<Fake>,
    router: Router,
}

impl Rig {
    async fn new() -> Self {
        let (fake, grpc_url) = Fake::start().await;
        let options = Options {
            grpc_urls: vec![grpc_url],
            max_body_bytes: 64 * 1024,
            ..Options::default()
        };
        Self {
            fake,
            router: router(options).unwrap(),
        }
    }

    async fn send(&self, request: http::request::Builder, body: impl Into<Body>) -> Answered {
        let request = request
            .header("host", "gate.example:8080")
            .body(body.into())
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answered {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// With a token, without a body.
    async fn ask(&self, method: &str, target: &str) -> Answered {
        self.send(signed(method, target), "").await
    }

    async fn json(&self, method: &str, target: &str, body: &'static str) -> Answered {
        self.send(
            signed(method, target).header("content-type", "application/json"),
            body,
        )
        .await
    }

    fn refuse(&self, code: Code, reason: &str) {
        let details = ErrorDetails::with_error_info(reason, "gatehouse.v1", [("event".into(), "run".into())]);
        let refusal = <Status as StatusExt>::with_error_details(code, "", details);
        *self.fake.refusal.lock().unwrap() = Some(refusal);
    }
}

fn signed(method: &str, target: &str) -> http::request::Builder {
    anonymous(method, target).header("PRIVATE-TOKEN", "glpat-secret")
}

fn anonymous(method: &str, target: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(target)
}

fn error(text: &str) -> String {
    format!(r#"{{"error":"{text}"}}"#)
}

#[tokio::test]
async fn unknown_paths_and_methods_are_not_found_even_without_a_token() {
    let rig = Rig::new().await;
    for (method, target, status, body) in [
        ("GET", "/", 404, r#"{"error":"404 Not Found"}"#),
        ("GET", "/api/v4/", 404, r#"{"error":"404 Not Found"}"#),
        (
            "GET",
            "/api/v4/projects/a/b/deployments",
            404,
            r#"{"error":"404 Not Found"}"#,
        ),
        (
            "PATCH",
            "/api/v4/projects/7/deployments/1",
            404,
            r#"{"error":"404 Not Found"}"#,
        ),
        ("POST", "/api/v4/version", 404, r#"{"error":"404 Not Found"}"#),
        (
            "GET",
            "/api/v3/projects",
            410,
            r#"{"error":"API V3 is no longer supported. Use API V4 instead."}"#,
        ),
        ("GET", "/api/v4/version", 401, r#"{"message":"401 Unauthorized"}"#),
    ] {
        let answered = rig.send(anonymous(method, target), "").await;
        assert_eq!(
            (answered.status.as_u16(), answered.body.as_str()),
            (status, body),
            "{method} {target}"
        );
        assert_eq!(answered.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_missing_token_goes_before_a_bad_body_and_a_bad_body_before_bad_parameters() {
    let rig = Rig::new().await;
    let json = |request: http::request::Builder| request.header("content-type", "application/json");
    let malformed = json(anonymous("POST", DEPLOYMENTS));
    assert_eq!(rig.send(malformed, "{").await.status, 401);
    let typed = anonymous("POST", DEPLOYMENTS).header("content-type", "text/xml");
    assert_eq!(rig.send(typed, "<a/>").await.status, 401);
    let answered = rig.json("POST", DEPLOYMENTS, "{").await;
    assert_eq!(answered.status, 400);
    assert_eq!(
        answered.body,
        error(
            "\\nProblem:\\n  message body does not match declared format\\nResolution:\\n  when specifying \
             application/json as content-type, you must pass valid application/json in the request's 'body' "
        )
    );
    let answered = rig
        .send(
            signed("POST", DEPLOYMENTS).header("content-type", "text/xml"),
            "<a/>",
        )
        .await;
    assert_eq!(answered.status, 415);
    assert_eq!(
        answered.body,
        error("The provided content-type 'text/xml' is not supported.")
    );
    let answered = rig.send(signed("POST", DEPLOYMENTS), vec![b' '; 65 * 1024]).await;
    assert_eq!(answered.status, 413);
    assert_eq!(answered.body, r#"{"message":"413 Request Entity Too Large"}"#);
    assert!(rig.fake.asked::<v1::CreateDeploymentRequest>().is_none());
}

#[tokio::test]
async fn bad_parameters_are_told_all_together_in_their_order() {
    let rig = Rig::new().await;
    let one = format!("{DEPLOYMENTS}/abc");
    let environment = format!("{ENVIRONMENTS}/abc");
    let not_two = "status does not have a valid value";
    for (method, target, body, expected) in [
        ("POST", DEPLOYMENTS, "", EMPTY_POST),
        ("POST", DEPLOYMENTS, "{}", EMPTY_POST),
        (
            "POST",
            DEPLOYMENTS,
            r#"{"environment":" ","sha":[],"ref":"\u0000","tag":null,"status":"created"}"#,
            "environment is empty, sha is invalid, sha is empty, ref is invalid, tag is invalid, \
             status does not have a valid value",
        ),
        ("GET", &one, "", "deployment_id is invalid"),
        ("PUT", &one, r#"{"status":"success"}"#, "deployment_id is invalid"),
        ("DELETE", &one, "", "deployment_id is invalid"),
        (
            "PUT",
            &format!("{DEPLOYMENTS}/1"),
            "{}",
            "status is missing, status does not have a valid value",
        ),
        ("GET", &format!("{DEPLOYMENTS}?status="), "", not_two),
        (
            "GET",
            &format!("{DEPLOYMENTS}?per_page=0"),
            "",
            "per_page has a value not allowed",
        ),
        (
            "GET",
            &format!("{DEPLOYMENTS}?sort=up&order_by=sha&updated_after=yesterday&page=x"),
            "",
            "page is invalid, order_by does not have a valid value, sort does not have a valid value, \
             updated_after is invalid",
        ),
        (
            "GET",
            &format!("{DEPLOYMENTS}?environment=%ff"),
            "",
            "environment is invalid",
        ),
        ("GET", &environment, "", "environment_id is invalid"),
        ("GET", "/api/v4/projects/%ff/deployments", "", "id is invalid"),
        (
            "GET",
            "/api/v4/projects/a%2F%00/deployments/%00",
            "",
            "id is invalid, deployment_id is invalid",
        ),
        ("DELETE", &environment, "", "environment_id is invalid"),
        ("POST", ENVIRONMENTS, "{}", "name is missing"),
        (
            "POST",
            ENVIRONMENTS,
            r#"{"name":"a","slug":null}"#,
            "slug is automatically generated and cannot be changed",
        ),
        (
            "POST",
            ENVIRONMENTS,
            r#"{"name":"a","tier":"x"}"#,
            "tier does not have a valid value",
        ),
        (
            "GET",
            &format!("{ENVIRONMENTS}?name=a&search=abc"),
            "",
            "name, search cannot be used together",
        ),
        (
            "GET",
            &format!("{ENVIRONMENTS}?states="),
            "",
            "states does not have a valid value",
        ),
        (
            "POST",
            &format!("{ENVIRONMENTS}/9/stop"),
            r#"{"force":"maybe"}"#,
            "force is invalid",
        ),
        (
            "POST",
            &format!("{ENVIRONMENTS}/stop_stale"),
            "{}",
            "before is missing",
        ),
        (
            "DELETE",
            &format!("{ENVIRONMENTS}/review_apps?limit=0"),
            "",
            "limit does not have a valid value",
        ),
    ] {
        let answered = rig.json(method, target, body).await;
        assert_eq!(answered.body, error(expected), "{method} {target}");
        assert_eq!(answered.status, 400, "{method} {target}");
    }
    let answered = rig.ask("GET", &format!("{ENVIRONMENTS}?search=ab")).await;
    assert_eq!(
        answered.body,
        r#"{"message":"400 Bad request - Search query is less than 3 characters"}"#
    );
}

#[tokio::test]
async fn a_deployment_is_created_the_same_from_every_encoding() {
    let rig = Rig::new().await;
    let form = "environment=production&sha=a91957a8&ref=main&tag=false&status=success";
    let json =
        r#"{"environment":"production","sha":"a91957a8","ref":"main","tag":"false","status":"success"}"#;
    let query = format!("{DEPLOYMENTS}?{form}");
    let multipart = form.split('&').fold(String::new(), |text, pair| {
        let (name, value) = pair.split_once('=').unwrap();
        text + &format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }) + "--x--\r\n";
    for (target, content_type, body) in [
        (DEPLOYMENTS, "application/x-www-form-urlencoded", form),
        (DEPLOYMENTS, "application/json", json),
        (DEPLOYMENTS, "multipart/form-data; boundary=x", multipart.as_str()),
        (query.as_str(), "application/json", ""),
    ] {
        let request = signed("POST", target).header("content-type", content_type);
        let answered = rig.send(request, body.to_owned()).await;
        assert_eq!(answered.status, 201, "{content_type}: {}", answered.body);
        let (asked, _) = rig.fake.asked::<v1::CreateDeploymentRequest>().unwrap();
        let expected = v1::CreateDeploymentRequest {
            project: Some(v1::ProjectRef {
                by: Some(v1::project_ref::By::Id(7)),
            }),
            environment: "production".to_owned(),
            sha: "a91957a8".to_owned(),
            r#ref: "main".to_owned(),
            tag: false,
            status: v1::DeploymentStatus::Success.into(),
            ..Default::default()
        };
        assert_eq!(asked, expected, "{content_type}");
    }
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let rig = Rig::new().await;
    let answered = rig
        .json(
            "PUT",
            &format!("{DEPLOYMENTS}/42"),
            r#"{"approvals":[],"status":"success","sha":{}}"#,
        )
        .await;
    assert_eq!(answered.status, 200, "{}", answered.body);
    let answered = rig
        .ask("GET", &format!("{DEPLOYMENTS}?update_before=x&sha[]=1&ref[a=2"))
        .await;
    assert_eq!(answered.status, 200, "{}", answered.body);
}

#[tokio::test]
async fn the_project_is_an_id_or_a_path() {
    use v1::project_ref::By;
    let rig = Rig::new().await;
    for (segment, expected) in [
        ("7", By::Id(7)),
        ("-7", By::Id(-7)),
        ("99999999999999999999", By::Id(i64::MAX)),
        (
            "group%2Fsub%2fweb%2Eapp%2Dx%5Fy",
            By::Path("group/sub/web.app-x_y".to_owned()),
        ),
        ("web", By::Path("web".to_owned())),
        ("+7", By::Path("+7".to_owned())),
    ] {
        assert_eq!(
            rig.ask("GET", &format!("/api/v4/projects/{segment}/deployments/42"))
                .await
                .status,
            200
        );
        let (asked, _) = rig.fake.asked::<v1::GetDeploymentRequest>().unwrap();
        assert_eq!(
            asked.project.and_then(|project| project.by),
            Some(expected),
            "{segment}"
        );
        assert_eq!(asked.deployment_id, 42);
    }
}

#[tokio::test]
async fn the_caller_and_the_request_id_travel_as_metadata() {
    let rig = Rig::new().await;
    let request = anonymous("GET", "/api/v4/version?sudo=joe")
        .header("authorization", "Bearer glpat-1")
        .header("x-request-id", "my-id");
    let answered = rig.send(request, "").await;
    assert_eq!(answered.header("x-request-id"), Some("my-id"));
    let (_, metadata) = rig.fake.asked::<v1::GetMetadataRequest>().unwrap();
    for (key, expected) in [
        ("private-token", "glpat-1"),
        ("sudo", "joe"),
        ("x-request-id", "my-id"),
    ] {
        assert_eq!(metadata.get(key).unwrap(), expected);
    }
    assert!(metadata.contains_key("grpc-timeout"));

    // A token in the body counts as well.
    let request = anonymous("POST", &format!("{ENVIRONMENTS}/9/stop"))
        .header("content-type", "application/json")
        .header("x-request-id", "not sane");
    let answered = rig.send(request, r#"{"private_token":"glpat-2"}"#).await;
    assert_eq!(answered.status, 200);
    assert!(answered.header("x-request-id").is_some_and(|id| id.len() == 16));
    let (_, metadata) = rig.fake.asked::<v1::StopEnvironmentRequest>().unwrap();
    assert_eq!(metadata.get("private-token").unwrap(), "glpat-2");
}

#[tokio::test]
async fn a_numbered_page_has_all_headers() {
    let rig = Rig::new().await;
    *rig.fake.deployments.lock().unwrap() = v1::ListDeploymentsResponse {
        deployments: vec![fake::deployment(3), fake::deployment(4)],
        next_page_token: "more".to_owned(),
        total_size: Some(7),
    };
    let target = "/api/v4/projects/a%2Fb/deployments?per_page=2&page=2&environment=prod%2Feu+west&private_token=t\
                  &access_token=t&bearer_token=t&job_token=t&other=%2C%3B";
    let answered = rig.ask("GET", target).await;
    let url = |page: u32, rel: &str| {
        format!(
            "<http://gate.example:8080/api/v4/projects/a%2Fb/deployments?environment=prod%2Feu+west&id=a%2Fb&\
             order_by=id&other=%2C%3B&page={page}&per_page=2&sort=asc>; rel=\"{rel}\""
        )
    };
    let link = [url(1, "prev"), url(3, "next"), url(1, "first"), url(4, "last")].join(", ");
    for (name, expected) in [
        ("x-per-page", "2"),
        ("x-page", "2"),
        ("x-next-page", "3"),
        ("x-prev-page", "1"),
        ("x-total", "7"),
        ("x-total-pages", "4"),
        ("link", link.as_str()),
    ] {
        assert_eq!(answered.header(name), Some(expected), "{name}");
    }
    let (asked, _) = rig.fake.asked::<v1::ListDeploymentsRequest>().unwrap();
    assert_eq!((asked.page_size, asked.skip, asked.want_total), (2, 2, true));
    assert_eq!(
        asked.filter.and_then(|filter| filter.environment).as_deref(),
        Some("prod/eu west")
    );
}

#[tokio::test]
async fn an_empty_list_has_all_headers_too() {
    let rig = Rig::new().await;
    rig.fake.environments.lock().unwrap().total_size = Some(0);
    let answered = rig
        .ask("GET", &format!("{ENVIRONMENTS}?page=&per_page=500"))
        .await;
    assert_eq!(answered.body, "[]");
    for (name, expected) in [
        ("x-per-page", "100"),
        ("x-page", "1"),
        ("x-next-page", ""),
        ("x-prev-page", ""),
        ("x-total", "0"),
        ("x-total-pages", "1"),
    ] {
        assert_eq!(answered.header(name), Some(expected), "{name}");
    }
    let link = answered.header("link").unwrap();
    assert!(
        link.ends_with("/environments?id=7&page=1&per_page=100>; rel=\"last\""),
        "{link}"
    );
}

#[tokio::test]
async fn totals_are_left_out_when_there_are_too_many() {
    let rig = Rig::new().await;
    rig.fake.deployments.lock().unwrap().deployments = vec![fake::deployment(1)];
    let answered = rig
        .ask(
            "GET",
            &format!("{DEPLOYMENTS}?page=9223372036854775807&per_page=-3"),
        )
        .await;
    assert_eq!(answered.header("x-total"), None);
    assert_eq!(answered.header("x-total-pages"), None);
    assert_eq!(answered.header("x-per-page"), Some("20"));
    assert_eq!(answered.header("x-prev-page"), Some("9223372036854775806"));
    assert!(!answered.header("link").unwrap().contains("rel=\"last\""));
    let (asked, _) = rig.fake.asked::<v1::ListDeploymentsRequest>().unwrap();
    assert_eq!(asked.skip, i64::MAX);
}

#[tokio::test]
async fn a_keyset_page_leads_on_by_its_cursor() {
    let rig = Rig::new().await;
    rig.fake.deployments.lock().unwrap().next_page_token = "bmV4dA".to_owned();
    let answered = rig
        .ask(
            "GET",
            &format!("{DEPLOYMENTS}?pagination=keyset&order_by=ref&sort=desc&cursor=aGVyZQ&page=4"),
        )
        .await;
    let (asked, _) = rig.fake.asked::<v1::ListDeploymentsRequest>().unwrap();
    assert_eq!(
        (asked.page_token.as_str(), asked.skip, asked.want_total),
        ("aGVyZQ", 0, false)
    );
    assert_eq!(asked.order_by(), v1::DeploymentOrderBy::Ref);
    assert_eq!(asked.direction(), v1::SortDirection::Desc);
    assert_eq!(answered.header("x-next-cursor"), Some("bmV4dA"));
    assert_eq!(answered.header("x-total"), None);
    assert_eq!(
        answered.header("link"),
        Some(
            "<http://gate.example:8080/api/v4/projects/7/deployments?cursor=bmV4dA&id=7&order_by=ref&page=4&\
             pagination=keyset&per_page=20&sort=desc>; rel=\"next\""
        )
    );

    rig.fake.deployments.lock().unwrap().next_page_token.clear();
    let answered = rig.ask("GET", &format!("{DEPLOYMENTS}?pagination=keyset")).await;
    assert_eq!(
        (answered.header("x-next-cursor"), answered.header("link")),
        (Some(""), None)
    );
}

#[tokio::test]
async fn query_times_are_read_as_clients_send_them() {
    let rig = Rig::new().await;
    for (sent, seconds) in [
        ("2026-01-01T00:00:00Z", 1_767_225_600),
        ("2026-01-01+00%3A00%3A00%2B00%3A00", 1_767_225_600),
        ("2026-01-01%2000%3A00%3A00%20UTC", 1_767_225_600),
        ("2026-01-01T00:00:00+01:00", 1_767_222_000),
        ("2026-01-01T00%3A00%3A00%2B01%3A00", 1_767_222_000),
        ("2026-01-01T00:00:00.0000000Z", 1_767_225_600),
    ] {
        rig.ask("GET", &format!("{DEPLOYMENTS}?updated_after={sent}"))
            .await;
        let (asked, _) = rig.fake.asked::<v1::ListDeploymentsRequest>().unwrap();
        let time = asked
            .filter
            .and_then(|filter| filter.updated_after)
            .map(|time| time.seconds);
        assert_eq!(time, Some(seconds), "{sent}");
    }
}

#[tokio::test]
async fn empty_filters_do_not_filter() {
    let rig = Rig::new().await;
    rig.ask("GET", &format!("{DEPLOYMENTS}?environment=&updated_after="))
        .await;
    let (asked, _) = rig.fake.asked::<v1::ListDeploymentsRequest>().unwrap();
    assert_eq!(asked.filter, Some(v1::DeploymentFilter::default()));
    rig.ask("GET", &format!("{ENVIRONMENTS}?search=")).await;
    let (asked, _) = rig.fake.asked::<v1::ListEnvironmentsRequest>().unwrap();
    assert_eq!(asked.filter, Some(v1::EnvironmentFilter::default()));
}

#[tokio::test]
async fn deleting_answers_as_documented() {
    let rig = Rig::new().await;
    let request = signed("DELETE", &format!("{DEPLOYMENTS}/42"))
        .header("content-type", "application/json")
        .header("if-unmodified-since", "Wed, 21 Oct 2015 07:28:00 GMT");
    let answered = rig.send(request, "{}").await;
    assert_eq!(
        (answered.status.as_u16(), answered.body.as_str()),
        (202, r#"{"message":"202 Accepted"}"#)
    );
    let (asked, _) = rig.fake.asked::<v1::DeleteDeploymentRequest>().unwrap();
    assert_eq!(
        asked.unmodified_since.map(|time| time.seconds),
        Some(1_445_412_480)
    );

    let request = signed("DELETE", &format!("{ENVIRONMENTS}/9")).header("if-unmodified-since", "sometime");
    let answered = rig.send(request, "").await;
    assert_eq!((answered.status.as_u16(), answered.body.as_str()), (204, ""));
    assert_eq!(answered.header("content-type"), None);
    let (asked, _) = rig.fake.asked::<v1::DeleteEnvironmentRequest>().unwrap();
    assert_eq!(asked.unmodified_since, None);
}

#[tokio::test]
async fn an_environment_changes_in_what_is_mentioned() {
    let rig = Rig::new().await;
    for (body, expected) in [
        ("{}", v1::UpdateEnvironmentRequest::default()),
        (
            r#"{"name":"x","auto_stop_setting":null}"#,
            v1::UpdateEnvironmentRequest::default(),
        ),
        (
            r#"{"external_url":null,"tier":null,"description":null}"#,
            v1::UpdateEnvironmentRequest {
                external_url: Some(String::new()),
                tier: Some(0),
                description: Some(String::new()),
                ..Default::default()
            },
        ),
        (
            r#"{"external_url":"https://x","tier":"staging","auto_stop_setting":"with_action"}"#,
            v1::UpdateEnvironmentRequest {
                external_url: Some("https://x".to_owned()),
                tier: Some(v1::EnvironmentTier::Staging.into()),
                auto_stop_setting: Some(v1::AutoStopSetting::WithAction.into()),
                ..Default::default()
            },
        ),
    ] {
        let answered = rig.json("PUT", &format!("{ENVIRONMENTS}/9"), body).await;
        assert_eq!(answered.status, 200, "{body}");
        let (asked, _) = rig.fake.asked::<v1::UpdateEnvironmentRequest>().unwrap();
        let changed = v1::UpdateEnvironmentRequest {
            project: None,
            environment: None,
            ..asked
        };
        assert_eq!(changed, expected, "{body}");
    }
}

#[tokio::test]
async fn the_collective_endpoints_win_over_an_id() {
    let rig = Rig::new().await;
    let answered = rig
        .ask("POST", &format!("{ENVIRONMENTS}/stop_stale?before=2020-01-01"))
        .await;
    assert_eq!(
        answered.body,
        r#"{"message":"Successfully requested stop for all stale environments"}"#
    );
    assert_eq!(answered.status, 200);
    let answered = rig
        .json(
            "DELETE",
            &format!("{ENVIRONMENTS}/review_apps"),
            r#"{"limit":"5"}"#,
        )
        .await;
    assert!(
        answered.body.starts_with(r#"{"scheduled_entries":[{"id":9,"#),
        "{}",
        answered.body
    );
    assert!(
        answered.body.ends_with(r#"],"unprocessable_entries":[]}"#),
        "{}",
        answered.body
    );
    let (asked, _) = rig.fake.asked::<v1::DeleteReviewEnvironmentsRequest>().unwrap();
    assert_eq!((asked.limit, asked.validate_only, asked.before), (5, true, None));

    rig.refuse(Code::PermissionDenied, "PERMISSION_DENIED");
    assert_eq!(
        rig.ask("DELETE", &format!("{ENVIRONMENTS}/review_apps"))
            .await
            .status,
        401
    );
    assert_eq!(
        rig.ask("POST", &format!("{ENVIRONMENTS}/stop_stale?before=2020-01-01"))
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn a_refusal_of_the_server_is_answered_by_its_reason() {
    let rig = Rig::new().await;
    rig.refuse(Code::FailedPrecondition, "INVALID_TRANSITION");
    let answered = rig
        .json("PUT", &format!("{DEPLOYMENTS}/42"), r#"{"status":"running"}"#)
        .await;
    assert_eq!(answered.status, 400);
    assert_eq!(
        answered.body,
        r#"{"message":{"status":["cannot transition via \"run\""]}}"#
    );
}

#[tokio::test]
async fn without_the_server_the_answer_is_503() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let router = router(Options {
        grpc_urls: vec![grpc_url],
        ..Options::default()
    })
    .unwrap();
    let request = signed("GET", DEPLOYMENTS).body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_on() {
    // Accepts connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc_url = format!("http://{}", listener.local_addr().unwrap());
    let timeout = Duration::from_millis(50);
    let router = router(Options {
        grpc_urls: vec![grpc_url],
        timeout,
        ..Options::default()
    })
    .unwrap();
    let request = signed("GET", DEPLOYMENTS).body(Body::empty()).unwrap();
    assert_eq!(router.oneshot(request).await.unwrap().status(), 503);
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    for url in ["not a url", "localhost:50051", "https://127.0.0.1:50051", ""] {
        let options = Options {
            grpc_urls: vec![url.to_owned()],
            ..Options::default()
        };
        assert!(
            matches!(router(options), Err(Error::InvalidAddress(refused)) if refused == url),
            "{url:?}"
        );
    }
    let options = Options {
        external_url: Some("gate.example".to_owned()),
        ..Options::default()
    };
    assert!(matches!(router(options), Err(Error::InvalidExternalUrl(_))));
}

#[tokio::test]
async fn every_answer_has_the_common_headers_and_no_etag() {
    let rig = Rig::new().await;
    for request in [
        signed("GET", &format!("{DEPLOYMENTS}/1")),
        anonymous("GET", "/nowhere"),
    ] {
        let answered = rig.send(request.header("origin", "https://a.example"), "").await;
        for (name, expected) in [
            ("x-frame-options", "SAMEORIGIN"),
            ("x-content-type-options", "nosniff"),
            ("vary", "Origin"),
            ("access-control-allow-origin", "*"),
        ] {
            assert_eq!(answered.header(name), Some(expected), "{name}");
        }
        assert!(answered.header("x-runtime").unwrap().parse::<f64>().is_ok());
        assert!(
            answered
                .header("access-control-expose-headers")
                .unwrap()
                .contains("X-Next-Page")
        );
        assert_eq!(answered.header("etag"), None);
    }
}

#[tokio::test]
async fn a_defect_is_answered_and_does_not_take_the_connection_down() {
    let broken = framed(Router::new().fallback(async || -> Response { panic!("a defect") }));
    let request = anonymous("GET", DEPLOYMENTS).body(Body::empty()).unwrap();
    let response = broken.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 500);
    assert!(response.headers().contains_key("x-request-id"));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"message":"500 Internal Server Error"}"#);
}

#[test]
fn every_documented_path_has_its_row() {
    let rows: Vec<String> = ROUTES
        .iter()
        .map(|route| format!("{} {}{}", route.method, route::BASE, route.pattern))
        .collect();
    let project = "/api/v4/projects/:id";
    let group = "/api/v4/groups/:id";
    let deployment = format!("{project}/deployments/:deployment_id");
    let environment = format!("{project}/environments/:environment_id");
    for documented in [
        "GET /api/v4/version".to_owned(),
        "GET /api/v4/metadata".to_owned(),
        "GET /api/v4/user".to_owned(),
        format!("GET {project}"),
        format!("PUT {project}"),
        format!("GET {project}/deployments"),
        format!("POST {project}/deployments"),
        format!("GET {deployment}"),
        format!("PUT {deployment}"),
        format!("DELETE {deployment}"),
        format!("POST {deployment}/approval"),
        format!("GET {project}/environments"),
        format!("POST {project}/environments"),
        format!("POST {project}/environments/stop_stale"),
        format!("DELETE {project}/environments/review_apps"),
        format!("GET {environment}"),
        format!("PUT {environment}"),
        format!("DELETE {environment}"),
        format!("POST {environment}/stop"),
        format!("GET {project}/protected_environments"),
        format!("POST {project}/protected_environments"),
        format!("GET {project}/protected_environments/:name"),
        format!("PUT {project}/protected_environments/:name"),
        format!("DELETE {project}/protected_environments/:name"),
        format!("GET {group}/protected_environments"),
        format!("POST {group}/protected_environments"),
        format!("GET {group}/protected_environments/:name"),
        format!("PUT {group}/protected_environments/:name"),
        format!("DELETE {group}/protected_environments/:name"),
    ] {
        assert!(rows.contains(&documented), "{documented}");
    }
}

#[tokio::test]
async fn options_tells_the_methods_of_a_path() {
    let rig = Rig::new().await;
    for (target, status, allow) in [
        (DEPLOYMENTS, 204, Some("OPTIONS, GET, POST, HEAD")),
        (
            "/api/v4/projects/7/deployments/1",
            204,
            Some("OPTIONS, GET, PUT, DELETE, HEAD"),
        ),
        (
            "/api/v4/projects/7/environments/1/stop",
            204,
            Some("OPTIONS, POST"),
        ),
        ("/api/v4/nothing", 404, None),
    ] {
        let request = anonymous("OPTIONS", target)
            .header("origin", "https://a.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "private-token");
        let answered = rig.send(request, "").await;
        assert_eq!(
            (answered.status.as_u16(), answered.header("allow")),
            (status, allow),
            "{target}"
        );
        assert_eq!(
            answered.header("access-control-allow-headers"),
            Some("private-token")
        );
    }
}

#[tokio::test]
async fn a_served_socket_speaks_http_and_shuts_down_gracefully() {
    let (fake, grpc_url) = Fake::start().await;
    fake.deployments.lock().unwrap().total_size = Some(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let options = Options {
        grpc_urls: vec![grpc_url],
        ..Options::default()
    };
    let server = tokio::spawn(serve(listener, options, shutdown.clone()));

    let exchange = async |request: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let text = format!("{request}\r\nhost: x\r\nprivate-token: t\r\nconnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let get = exchange(&format!("GET {DEPLOYMENTS}? HTTP/1.1")).await;
    assert!(
        get.starts_with("HTTP/1.1 200 OK\r\n") && get.ends_with("\r\n\r\n[]"),
        "{get}"
    );
    let head = exchange(&format!("HEAD {DEPLOYMENTS}? HTTP/1.1")).await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    for name in ["content-length: 2\r\n", "x-total: 0\r\n", "link: <http://x/"] {
        assert!(get.contains(name) && head.contains(name), "{name}\n{get}\n{head}");
    }
    let delete = exchange(&format!("DELETE {ENVIRONMENTS}/9 HTTP/1.1")).await;
    assert!(delete.starts_with("HTTP/1.1 204 No Content\r\n"), "{delete}");
    assert!(
        !delete.contains("content-length") && delete.ends_with("\r\n\r\n"),
        "{delete}"
    );

    shutdown.cancel();
    server.await.unwrap().unwrap();
}
