//! The users' document: what it shows is what is answered, to the byte. `UPDATE_SNAPSHOTS=1` writes the snapshots anew.

use std::{fs, path::Path};

use chrono::TimeDelta;
use gatehouse::pb::v1 as pb;
use serde_json::{Map, Value};

use crate::support::{
    SHA,
    engine::{Engine, on_both_engines},
    rest::{Ask, Reply, Site, time},
};

on_both_engines! {
    the_documented_examples_are_answered_to_the_byte
    refused_deletions_are_told_as_documented
    environments_are_answered_to_the_byte
    every_key_of_the_users_document_is_there_in_its_order
    a_deployment_recorded_over_grpc_reads_the_same_over_rest
}

/// The users' own document, beside the checkout where it is given.
pub(super) const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/documented-api.txt");

/// The answer is the one that is kept under this name.
#[track_caller]
pub(super) fn assert_snapshot(name: &str, reply: &Reply) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/snapshots")
        .join(format!("{name}.json"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, format!("{}\n", reply.body)).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap();
    assert_eq!(format!("{}\n", reply.body), expected, "{name}");
}

/// The document's world: the administrator deploys to `production`, twice.
struct Example {
    site: Site,
    list: Reply,
    get: Reply,
    create: Reply,
    update: Reply,
    delete: Reply,
}

impl Example {
    async fn play(engine: Engine) -> Self {
        let site = Site::at(engine, "2016-08-11T07:36:40.222Z").await;
        let root = site.world.server.root.clone();
        let send = async |ask: Ask| site.send(&ask.by(&root)).await;
        let environment = r#"{"name":"production","external_url":"https://about.gitlab.com"}"#;
        let made = send(Ask::new("POST", "projects/1/environments").json(environment)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let first =
            "environment=production&sha=99d03678b90d914dbb1b109132516d71a4a03ea8&ref=main&tag=false&status=";
        let made = send(Ask::new("POST", "projects/1/deployments").form(&format!("{first}running"))).await;
        assert_eq!(made.status, 201, "{made:?}");
        site.clock.set(time("2016-08-11T11:32:35.444Z"));
        let second = format!("environment=production&sha={SHA}&ref=main&tag=false&status=running");
        let create = send(Ask::new("POST", "projects/1/deployments").form(&second)).await;
        site.clock.set(time("2016-08-11T11:34:01.123Z"));
        let update = send(Ask::new("PUT", "projects/1/deployments/2").form("status=success")).await;
        let get = send(Ask::new("GET", "projects/1/deployments/2")).await;
        let list = send(Ask::new("GET", "projects/1/deployments")).await;
        send(Ask::new("PUT", "projects/1/deployments/1").form("status=failed")).await;
        let delete = send(Ask::new("DELETE", "projects/1/deployments/1")).await;
        Self {
            site,
            list,
            get,
            create,
            update,
            delete,
        }
    }
}

async fn the_documented_examples_are_answered_to_the_byte(engine: Engine) {
    let example = Example::play(engine).await;
    for (name, status, reply) in [
        ("deployment_list", 200, &example.list),
        ("deployment_get", 200, &example.get),
        ("deployment_create", 201, &example.create),
        ("deployment_update", 200, &example.update),
        ("deployment_delete", 202, &example.delete),
    ] {
        assert_eq!(reply.status, status, "{name} {reply:?}");
        assert_snapshot(name, reply);
    }
}

async fn refused_deletions_are_told_as_documented(engine: Engine) {
    let example = Example::play(engine).await;
    let refused = example.site.ask("DELETE", "projects/1/deployments/2").await;
    let text = r#"{"message":"400 Deployment currently deployed to environment"}"#;
    assert_eq!(refused.told(), (400, text));
    let id = example.site.deploy("production", "main", "running").await;
    let refused = example
        .site
        .ask("DELETE", &format!("projects/1/deployments/{id}"))
        .await;
    assert_eq!(
        refused.told(),
        (400, r#"{"message":"400 Cannot destroy running deployment"}"#)
    );
}

async fn environments_are_answered_to_the_byte(engine: Engine) {
    let Example { site, .. } = Example::play(engine).await;
    for (name, method, target) in [
        ("environment_get", "GET", "projects/1/environments/1"),
        ("environment_list", "GET", "projects/1/environments"),
        ("environment_stop", "POST", "projects/1/environments/1/stop"),
        ("project_get", "GET", "projects/acme%2Fweb"),
    ] {
        let reply = site.ask(method, target).await;
        assert_eq!(reply.status, 200, "{name} {reply:?}");
        assert_snapshot(name, &reply);
    }
}

/// The objects of the document, in order; what it abbreviates with `...` is left out.
pub(super) fn documented_objects() -> Vec<Map<String, Value>> {
    let document = fs::read_to_string(DOCUMENT).unwrap_or_default();
    let mut objects = Vec::new();
    for (at, _) in document.match_indices("\n{\n\"id\"") {
        let mut values = serde_json::Deserializer::from_str(&document[at..]).into_iter::<Value>();
        if let Some(Ok(Value::Object(object))) = values.next() {
            objects.push(object);
        }
    }
    objects
}

/// Every documented key is there, in the documented order, down to where a job begins.
#[track_caller]
fn assert_keys(documented: &Map<String, Value>, answered: &Map<String, Value>) {
    let mut keys = answered.keys();
    for (key, value) in documented {
        assert!(
            keys.any(|known| known == key),
            "{key} is missing or out of order in {answered:?}"
        );
        if let (Value::Object(documented), Value::Object(answered)) = (value, &answered[key]) {
            assert_keys(documented, answered);
        }
    }
}

async fn every_key_of_the_users_document_is_there_in_its_order(engine: Engine) {
    if !Path::new(DOCUMENT).exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "the users' document has to be beside the checkout"
        );
        println!("SKIPPED: the users' document is not beside the checkout");
        return;
    }
    let objects = documented_objects();
    let example = Example::play(engine).await;
    let answered = [&example.get, &example.create, &example.update];
    assert_eq!(objects.len(), answered.len());
    for (documented, reply) in objects.iter().zip(answered) {
        let Value::Object(answered) = reply.json() else {
            panic!("no object: {reply:?}")
        };
        assert_keys(documented, &answered);
    }
}

async fn a_deployment_recorded_over_grpc_reads_the_same_over_rest(engine: Engine) {
    let site = Site::new(engine).await;
    let recorded = site.world.record("qa", pb::DeploymentStatus::Success).await;
    site.clock.advance(TimeDelta::seconds(1));
    let read = site
        .ask("GET", &format!("projects/1/deployments/{}", recorded.id))
        .await
        .json();
    assert_eq!(read["created_at"], "2016-08-11T11:32:35.444Z");
    assert_eq!(read["user"]["username"], "dora");
    assert_eq!(read["environment"]["name"], "qa");
}
