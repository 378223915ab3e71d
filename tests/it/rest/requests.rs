//! Encodings, types and coercion (contract 3.2), from the bytes of a request to the bytes of the answer.

use serde_json::{Value, json};

use crate::support::{
    SHA,
    engine::{Engine, on_both_engines},
    rest::{Ask, Site},
};

on_both_engines! {
    bodies_that_cannot_be_read_are_refused
    every_encoding_of_the_body_is_read
    a_json_body_that_is_no_object_has_no_parameters
    fields_of_a_deployment_are_coerced_or_refused
    parameters_of_a_list_are_coerced_or_refused
    every_form_of_a_time_is_read
    hostile_segments_and_names_are_refused_in_json
}

const DEPLOYMENTS: &str = "projects/1/deployments";
const MALFORMED_JSON: &str = r#"{"error":"\nProblem:\n  message body does not match declared format\nResolution:\n  when specifying application/json as content-type, you must pass valid application/json in the request's 'body' "}"#;

fn error(text: &str) -> String {
    json!({ "error": text }).to_string()
}

/// The fields of a deployment, with some laid over.
fn fields(over: &Value) -> String {
    let mut fields =
        json!({"environment": "qa", "sha": SHA, "ref": "main", "tag": false, "status": "running"});
    for (name, value) in over.as_object().unwrap() {
        fields[name] = value.clone();
    }
    fields.to_string()
}

async fn bodies_that_cannot_be_read_are_refused(engine: Engine) {
    let site = Site::new(engine).await;
    let create = || Ask::new("POST", DEPLOYMENTS).by(&site.world.developer);
    let unsupported = |media: &str| error(&format!("The provided content-type '{media}' is not supported."));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for (request, status, body) in [
        (create().json("{"), 400, MALFORMED_JSON.to_owned()),
        (
            create().json(r#"{"environment":"qa","#),
            400,
            MALFORMED_JSON.to_owned(),
        ),
        (
            create().json(b"{\"ref\":\"\xff\"}"),
            400,
            MALFORMED_JSON.to_owned(),
        ),
        (create().json(deep), 400, MALFORMED_JSON.to_owned()),
        (create().body("text/xml", "<a/>"), 415, unsupported("text/xml")),
        (
            create().body("application/vnd.api+json", "{}"),
            415,
            unsupported("application/vnd.api+json"),
        ),
        (
            create().body("text/plain; charset=x", "a"),
            415,
            unsupported("text/plain"),
        ),
        (
            create().json(vec![b' '; 1024 * 1024 + 1]),
            413,
            r#"{"message":"413 Request Entity Too Large"}"#.to_owned(),
        ),
    ] {
        let refused = site.send(&request).await;
        assert_eq!(refused.told(), (status, body.as_str()));
        assert_eq!(refused.header("content-type"), Some("application/json"));
    }
}

async fn every_encoding_of_the_body_is_read(engine: Engine) {
    let site = Site::new(engine).await;
    let sent = |content_type: &str, body: &str| {
        Ask::new("POST", "projects/1/environments")
            .by(&site.world.developer)
            .body(content_type, body)
    };
    let part = "--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nby multipart\r\n--x--\r\n";
    for (request, name) in [
        (
            sent("application/json;charset=latin-1", r#"{"name":"by json"}"#),
            "by json",
        ),
        (
            sent("APPLICATION/JSON; charset=\"UTF-8\"", r#"{"name":"by JSON"}"#),
            "by JSON",
        ),
        (
            sent("application/x-www-form-urlencoded; charset=utf-8", "name=by+form"),
            "by form",
        ),
        (sent("multipart/form-data; boundary=x", part), "by multipart"),
        (
            Ask::new("POST", "projects/1/environments?name=by%20query").by(&site.world.developer),
            "by query",
        ),
        (
            Ask::new("POST", "projects/1/environments?name=query")
                .by(&site.world.developer)
                .json(r#"{"name":"body over query"}"#),
            "body over query",
        ),
        (
            sent(
                "application/json",
                "8\r\n{\"name\":\r\n9\r\n\"chunked\"\r\n1\r\n}\r\n0\r\n\r\n",
            )
            .header("Transfer-Encoding", "chunked"),
            "chunked",
        ),
    ] {
        let made = site.send(&request).await;
        assert_eq!(
            (made.status, &made.json()["name"]),
            (201, &name.into()),
            "{made:?}"
        );
    }
    // the path goes before the body
    let id = site.deploy("qa", "main", "running").await;
    let over = r#"{"id":99,"deployment_id":99,"status":"failed"}"#;
    assert_eq!(
        site.json("PUT", &format!("{DEPLOYMENTS}/{id}"), over).await.id(),
        id
    );
    // the body of a GET is not read
    let get = Ask::new("GET", DEPLOYMENTS)
        .by(&site.world.reporter)
        .json("{broken");
    assert_eq!(site.send(&get).await.status, 200);
}

async fn a_json_body_that_is_no_object_has_no_parameters(engine: Engine) {
    let site = Site::new(engine).await;
    let all = error(
        "environment is missing, environment is empty, sha is missing, sha is empty, ref is missing, ref is empty, \
         tag is missing, status is missing, status does not have a valid value",
    );
    for body in ["", "{}", "[]", "[{\"ref\":\"main\"}]", "7", "null", "\"text\""] {
        assert_eq!(
            site.json("POST", DEPLOYMENTS, body).await.told(),
            (400, all.as_str()),
            "{body}"
        );
    }
}

async fn fields_of_a_deployment_are_coerced_or_refused(engine: Engine) {
    let site = Site::new(engine).await;
    for (over, text) in [
        (json!({"environment": ["qa"]}), "environment is invalid"),
        (json!({"environment": {"a": 1}}), "environment is invalid"),
        (json!({"environment": "q\u{0}a"}), "environment is invalid"),
        (json!({"environment": ""}), "environment is empty"),
        (
            json!({"environment": null, "sha": " "}),
            "environment is empty, sha is empty",
        ),
        (json!({"ref": {}}), "ref is invalid, ref is empty"),
        (json!({"tag": "maybe"}), "tag is invalid"),
        (json!({"tag": 2}), "tag is invalid"),
        (json!({"tag": null}), "tag is invalid"),
        (json!({"tag": ""}), "tag is invalid"),
        (json!({"status": "blocked"}), "status does not have a valid value"),
        (json!({"status": "created"}), "status does not have a valid value"),
        (json!({"status": "skipped"}), "status does not have a valid value"),
        (
            json!({"status": ["success"]}),
            "status is invalid, status does not have a valid value",
        ),
        (json!({"sha": "xyz"}), "sha is invalid"),
    ] {
        let refused = site.json("POST", DEPLOYMENTS, fields(&over)).await;
        assert_eq!(refused.told(), (400, error(text).as_str()), "{over}");
    }
    for (over, member, stored) in [
        (json!({"ref": 123}), "ref", "123"),
        (json!({"ref": true}), "ref", "true"),
        (json!({"ref": " main "}), "ref", " main "),
        (json!({"ref": "🚀/ünïcode"}), "ref", "🚀/ünïcode"),
        (json!({"sha": 1_234_567}), "sha", "1234567"),
        (json!({"tag": "yes"}), "status", "running"),
        (json!({"tag": 1}), "status", "running"),
        (json!({"tag": "OFF"}), "status", "running"),
    ] {
        let made = site.json("POST", DEPLOYMENTS, fields(&over)).await;
        assert_eq!(
            (made.status, &made.json()[member]),
            (201, &stored.into()),
            "{over} {made:?}"
        );
    }
}

async fn parameters_of_a_list_are_coerced_or_refused(engine: Engine) {
    let site = Site::new(engine).await;
    for (query, text) in [
        ("page=1.5", "page is invalid"),
        ("page=abc", "page is invalid"),
        ("page=0x10", "page is invalid"),
        ("page[]=1", "page is invalid"),
        ("page=%ff", "page is invalid"),
        ("per_page=0", "per_page has a value not allowed"),
        ("per_page=%00", "per_page is invalid"),
        ("order_by=name", "order_by does not have a valid value"),
        ("order_by=", "order_by does not have a valid value"),
        ("sort=ASC", "sort does not have a valid value"),
        ("status=", "status does not have a valid value"),
        ("status=unknown", "status does not have a valid value"),
        (
            "status[]=success",
            "status is invalid, status does not have a valid value",
        ),
        ("updated_after=1552636800", "updated_after is invalid"),
        ("updated_before=yesterday", "updated_before is invalid"),
        ("finished_after=2019-13-45", "finished_after is invalid"),
        ("finished_before=2019-03", "finished_before is invalid"),
        ("environment=%ff", "environment is invalid"),
        (
            "status=x&sort=x&order_by=x&per_page=0&page=x&updated_after=x",
            "page is invalid, per_page has a value not allowed, order_by does not have a valid value, sort does not \
             have a valid value, updated_after is invalid, status does not have a valid value",
        ),
    ] {
        let refused = site.ask("GET", &format!("{DEPLOYMENTS}?{query}")).await;
        assert_eq!(refused.told(), (400, error(text).as_str()), "{query}");
    }
    for (query, page, per_page) in [
        ("", "1", "20"),
        ("page=&per_page=", "1", "20"),
        ("page=%202%20&per_page=010", "2", "10"),
        ("page=-3&per_page=-1", "1", "20"),
        ("page=0", "1", "20"),
        ("page=%2B2", "2", "20"),
        ("per_page=99999999999999999999", "1", "100"),
        ("page=99999999999999999999", "9223372036854775807", "20"),
        ("environment=&updated_after=&finished_before=", "1", "20"),
        ("unknown=x&unknown[]=y&unknown[a]=z&=&&%5B", "1", "20"),
    ] {
        let listed = site.ask("GET", &format!("{DEPLOYMENTS}?{query}")).await;
        assert_eq!(listed.told(), (200, "[]"), "{query}");
        assert_eq!(listed.header("x-page"), Some(page), "{query}");
        assert_eq!(listed.header("x-per-page"), Some(per_page), "{query}");
    }
    assert_eq!(
        site.ask("GET", &format!("{DEPLOYMENTS}?")).await.status,
        200,
        "ruby's bare question mark"
    );
}

async fn every_form_of_a_time_is_read(engine: Engine) {
    let site = Site::at(engine, "2019-03-15T08:00:00Z").await;
    site.deploy("qa", "main", "success").await;
    for text in [
        "2019-03-15T08:00:00Z",
        "2019-03-15T10:00:00%2B02:00",
        "2019-03-15T10:00:00+02:00",
        "2019-03-15%2008:00:00",
        "20190315T080000Z",
        "2019-03-15T08:00:00.000000001Z",
    ] {
        for bounds in [
            format!("updated_before={text}&updated_after=2019-03-15"),
            format!("finished_after=15%20Mar%202019&updated_before={text}"),
        ] {
            let found = site.ask("GET", &format!("{DEPLOYMENTS}?{bounds}")).await;
            assert_eq!(
                found.json().as_array().map(Vec::len),
                Some(1),
                "{bounds} {found:?}"
            );
        }
    }
    for none in [
        "finished_before=2019-03-15T08:00:00Z",
        "updated_after=2019-03-15T08:00:00.001Z",
        "updated_before=2019-03-14&updated_after=2019-03-16",
    ] {
        assert_eq!(
            site.ask("GET", &format!("{DEPLOYMENTS}?{none}")).await.told(),
            (200, "[]"),
            "{none}"
        );
    }
    assert_eq!(
        site.ask("GET", &format!("{DEPLOYMENTS}?updated_before=08:00"))
            .await
            .status,
        200
    );
}

async fn hostile_segments_and_names_are_refused_in_json(engine: Engine) {
    let site = Site::new(engine).await;
    let not_found = (404, r#"{"message":"404 Not found"}"#);
    let no_project = (404, r#"{"message":"404 Project Not Found"}"#);
    for (target, expected) in [
        ("projects/1/deployments/99999999999999999999", not_found),
        ("projects/1/deployments/-1", not_found),
        ("projects/1/deployments/0", not_found),
        (
            "projects/1/deployments/..",
            (400, r#"{"error":"deployment_id is invalid"}"#),
        ),
        (
            "projects/1/deployments/%00",
            (400, r#"{"error":"deployment_id is invalid"}"#),
        ),
        (
            "projects/1/deployments/%ff",
            (400, r#"{"error":"deployment_id is invalid"}"#),
        ),
        (
            "projects/1/deployments/%zz",
            (400, r#"{"error":"deployment_id is invalid"}"#),
        ),
        ("projects/99999999999999999999/deployments", no_project),
        ("projects/-1", no_project),
        ("projects/web", no_project),
        ("projects/%F0%9F%9A%80%2Fx", no_project),
        ("projects/..%2F..%2Fetc%2Fpasswd", no_project),
        ("projects/acme%2F..%2Facme%2Fweb", no_project),
        ("projects/acme%2Fweb%2F", no_project),
        (
            "projects/a%00b/deployments",
            (400, r#"{"error":"id is invalid"}"#),
        ),
        ("projects/%ff/deployments", (400, r#"{"error":"id is invalid"}"#)),
        ("projects/../deployments", no_project),
    ] {
        assert_eq!(site.ask("GET", target).await.told(), expected, "{target}");
    }
    let too_long = json!({"message": {"name": ["is too long (maximum is 255 characters)"]}});
    let characters = json!({"message": {"name": ["can contain only letters, digits, '-', '_', '/', '$', '{', '}', \
        '.', and spaces, but it cannot start or end with '/'"]}});
    for (environment, told) in [
        ("a".repeat(256), &too_long),
        ("🚀".to_owned(), &characters),
        ("/qa".to_owned(), &characters),
        ("qa\nqa".to_owned(), &characters),
        ("<script>".to_owned(), &characters),
    ] {
        let body = fields(&json!({"environment": environment}));
        let refused = site.json("POST", DEPLOYMENTS, body).await;
        assert_eq!((refused.status, &refused.json()), (400, told), "{environment}");
    }
    let longest = fields(&json!({"environment": "a".repeat(255)}));
    assert_eq!(site.json("POST", DEPLOYMENTS, longest).await.status, 201);
}
