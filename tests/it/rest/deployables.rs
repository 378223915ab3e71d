//! Deployments of jobs over REST: the users' document shows them, and jobs ask by their own tokens.

use std::{fs, path::Path};

use gatehouse::pb::v1::{self as pb, JobStatus as J};
use prost_types::Timestamp;
use serde_json::{Map, Value};

use super::documented::{DOCUMENT, assert_snapshot, documented_objects};
use crate::support::{
    engine::{Engine, on_both_engines},
    entry::role,
    in_project,
    job::{announcing, draft, report},
    rest::{Ask, Reply, Site, time},
    user_named,
};

on_both_engines! {
    the_documented_jobs_are_answered_to_the_byte
    every_key_of_the_documented_jobs_is_there_at_its_place
    what_a_job_carries_out_is_not_changed_over_rest
    a_running_job_shows_what_runs_it_and_a_failed_one_why
    a_job_asks_by_its_token_wherever_a_token_goes
}

/// A time as requests have it.
fn stamp(text: &str) -> Timestamp {
    let at = time(text);
    Timestamp {
        seconds: at.timestamp(),
        nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap(),
    }
}

/// One of the two documented deployments.
struct Shown {
    job: i64,
    pipeline: i64,
    number: i64,
    sha: &'static str,
    message: &'static str,
    committed_at: &'static str,
    pipeline_at: &'static str,
    job_at: &'static str,
    finished_at: &'static str,
    created_at: &'static str,
    updated_at: &'static str,
}

const SHOWN: [Shown; 2] = [
    Shown {
        job: 657,
        pipeline: 36,
        number: 12,
        sha: "99d03678b90d914dbb1b109132516d71a4a03ea8",
        message: "Merge branch 'new-title' into 'main'\r\n\r\nUpdate README\r\n\r\n\r\n\r\nSee merge request !1",
        committed_at: "2016-08-11T07:36:01.000Z",
        pipeline_at: "2016-08-11T02:12:10.222Z",
        job_at: "2016-08-11T07:36:27.357Z",
        finished_at: "2016-08-11T07:36:39.851Z",
        created_at: "2016-08-11T07:36:40.222Z",
        updated_at: "2016-08-11T07:38:12.414Z",
    },
    Shown {
        job: 664,
        pipeline: 37,
        number: 13,
        sha: "a91957a858320c0e17f3a0eca7cfacbff50ea29a",
        message: "Merge branch 'rename-readme' into 'main'\r\n\r\nRename README\r\n\r\n\r\n\r\nSee merge request !2",
        committed_at: "2016-08-11T11:28:26.000Z",
        pipeline_at: "2016-08-11T07:43:52.143Z",
        job_at: "2016-08-11T11:32:24.456Z",
        finished_at: "2016-08-11T11:32:35.145Z",
        created_at: "2016-08-11T11:32:35.444Z",
        updated_at: "2016-08-11T11:34:01.123Z",
    },
];

impl Shown {
    fn commit(&self) -> pb::Commit {
        let at = Some(pb::LocalTime {
            time: Some(stamp(self.committed_at)),
            utc_offset_minutes: 120,
        });
        pb::Commit {
            id: self.sha.into(),
            message: self.message.into(),
            author_name: "Administrator".into(),
            author_email: "admin@example.com".into(),
            authored_at: at,
            committer_name: "Administrator".into(),
            committer_email: "admin@example.com".into(),
            committed_at: at,
            ..Default::default()
        }
    }

    fn announcement(&self, project: i64) -> pb::CreateDeploymentRequest {
        let at = Some(stamp(self.pipeline_at));
        let job = pb::JobDraft {
            created_at: Some(stamp(self.job_at)),
            pipeline: Some(pb::Pipeline {
                id: self.pipeline,
                status: J::Success.into(),
                created_at: at,
                updated_at: at,
                web_url: Some(format!(
                    "http://gitlab.dev/root/project/pipelines/{}",
                    self.number
                )),
                ..Default::default()
            }),
            ..draft(self.job, J::Pending)
        };
        pb::CreateDeploymentRequest {
            sha: self.sha.into(),
            commits: vec![self.commit()],
            ..announcing(project, "production", job)
        }
    }
}

/// The document's world, with its jobs: the administrator's CI system tells of them over gRPC.
struct Example {
    site: Site,
    list: Reply,
    get: Reply,
}

impl Example {
    async fn play(engine: Engine) -> Self {
        let site = Site::at(engine, "2015-12-21T13:14:24.077Z").await;
        let server = &site.world.server;
        let root = server.root.clone();
        let picture = "http://www.gravatar.com/avatar/e64c7d89f26bd1972efa854d13d7dd61?s=80&d=identicon";
        let request = pb::UpdateUserRequest {
            user: Some(user_named("root")),
            avatar_url: Some(picture.into()),
            ..Default::default()
        };
        server.directory(&root).update_user(request).await.unwrap();
        let environment = r#"{"name":"production","external_url":"https://about.gitlab.com"}"#;
        let ask = Ask::new("POST", "projects/1/environments").json(environment);
        assert_eq!(site.send(&ask.by(&root)).await.status, 201);
        for shown in &SHOWN {
            site.clock.set(time(shown.created_at));
            let request = shown.announcement(site.world.project.id);
            server
                .deployments(&root)
                .create_deployment(request)
                .await
                .unwrap();
            site.clock.set(time(shown.updated_at));
            let request = pb::ReportJobRequest {
                finished_at: Some(stamp(shown.finished_at)),
                ..report(site.world.project.id, shown.job, 1, J::Success)
            };
            server.jobs(&root).report_job(request).await.unwrap();
        }
        let list = site
            .send(&Ask::new("GET", "projects/1/deployments").by(&root))
            .await;
        let get = site
            .send(&Ask::new("GET", "projects/1/deployments/2").by(&root))
            .await;
        Self { site, list, get }
    }
}

async fn the_documented_jobs_are_answered_to_the_byte(engine: Engine) {
    let example = Example::play(engine).await;
    for (name, reply) in [
        ("deployment_list_with_jobs", &example.list),
        ("deployment_get_with_job", &example.get),
    ] {
        assert_eq!(reply.status, 200, "{name} {reply:?}");
        assert_snapshot(name, reply);
    }
}

/// The document's list of deployments.
fn documented_list() -> Vec<Value> {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let at = document.find("\n[\n{").unwrap();
    let mut values = serde_json::Deserializer::from_str(&document[at..]).into_iter::<Value>();
    match values.next() {
        Some(Ok(Value::Array(list))) => list,
        other => panic!("{other:?}"),
    }
}

/// Every documented key is there at its place; `ordered`, in the documented order.
#[track_caller]
fn assert_keys(place: &str, documented: &Map<String, Value>, answered: &Map<String, Value>, ordered: bool) {
    let mut keys = answered.keys();
    for (key, value) in documented {
        let found = if ordered {
            keys.any(|known| known == key)
        } else {
            answered.contains_key(key)
        };
        assert!(found, "{place}.{key} is missing or out of order in {answered:?}");
        let place = format!("{place}.{key}");
        match (value, &answered[key]) {
            (Value::Object(documented), Value::Object(answered)) => {
                assert_keys(&place, documented, answered, ordered);
            }
            (Value::Object(_), other) => panic!("{place} is {other}"),
            _ => {}
        }
    }
}

/// The documented values are the answered ones, but for what an installation decides: where its pages are.
#[track_caller]
fn assert_values(place: &str, documented: &Value, answered: &Value) {
    match (documented, answered) {
        (Value::Object(documented), Value::Object(answered)) => {
            for (key, value) in documented {
                assert_values(&format!("{place}.{key}"), value, &answered[key]);
            }
        }
        _ if place.ends_with("user.web_url") => {}
        (documented, answered) => assert_eq!(documented, answered, "{place}"),
    }
}

async fn every_key_of_the_documented_jobs_is_there_at_its_place(engine: Engine) {
    if !Path::new(DOCUMENT).exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "the users' document has to be beside the checkout"
        );
        println!("SKIPPED: the users' document is not beside the checkout");
        return;
    }
    let example = Example::play(engine).await;
    let (list, get) = (example.list.json(), example.get.json());
    let list = list.as_array().unwrap();
    let documented = documented_list();
    assert_eq!((documented.len(), list.len()), (2, 2));
    for (documented, answered) in documented.iter().zip(list) {
        let (keys, answer) = (documented.as_object().unwrap(), answered.as_object().unwrap());
        assert_keys("", keys, answer, false);
        // The document's deployments are younger than what became of them: their status is not that of their jobs.
        for key in ["created_at", "updated_at", "deployable", "ref", "sha", "iid"] {
            assert_values(key, &documented[key], &answered[key]);
        }
    }
    let documented = &documented_objects()[0];
    assert_keys("", documented, get.as_object().unwrap(), true);
    // The document has another pipeline here than in its list.
    let mut job = documented["deployable"].clone();
    job["pipeline"]["id"] = 37.into();
    job["pipeline"]["web_url"] = "http://gitlab.dev/root/project/pipelines/13".into();
    assert_values("deployable", &job, &get["deployable"]);
    assert_eq!(get["status"], "success");
}

async fn what_a_job_carries_out_is_not_changed_over_rest(engine: Engine) {
    let Example { site, .. } = Example::play(engine).await;
    let put = Ask::new("PUT", "projects/1/deployments/2").form("status=failed");
    let refused = site.send(&put.by(&site.world.developer)).await;
    let text = r#"{"message":"403 Forbidden - Deployments created using GitLab CI can not be updated using the API"}"#;
    assert_eq!(refused.told(), (403, text));
    // Who may not change it at all learns no more.
    let put = Ask::new("PUT", "projects/1/deployments/2").form("status=failed");
    let refused = site.send(&put.by(&site.world.reporter)).await;
    assert_eq!(refused.told(), (403, r#"{"message":"403 Forbidden"}"#));
    let request = pb::ProtectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "production".into(),
        deploy_access_levels: vec![role(40)],
        ..Default::default()
    };
    let mut protections = site.world.server.protections(&site.world.maintainer);
    protections.protect_environment(request).await.unwrap();
    let put = Ask::new("PUT", "projects/1/deployments/2").form("status=failed");
    let refused = site.send(&put.by(&site.world.developer)).await;
    assert_eq!(refused.told(), (403, r#"{"message":"403 Forbidden"}"#));
}

async fn a_running_job_shows_what_runs_it_and_a_failed_one_why(engine: Engine) {
    let site = Site::new(engine).await;
    let project = site.world.project.id;
    let request = announcing(project, "qa", draft(1, J::Pending));
    let mut deployments = site.world.server.deployments(&site.world.developer);
    deployments.create_deployment(request).await.unwrap();
    let running = pb::ReportJobRequest {
        started_at: Some(stamp("2016-08-11T11:32:30.000Z")),
        queued_duration: Some(prost_types::Duration {
            seconds: 1,
            nanos: 250_000_000,
        }),
        coverage: Some(87.5),
        runner: Some(pb::Runner {
            id: 7,
            description: "shared".into(),
            r#type: pb::RunnerType::Instance.into(),
            online: Some(true),
            ..Default::default()
        }),
        ..report(project, 1, 1, J::Running)
    };
    let mut jobs = site.world.server.jobs(&site.world.developer);
    jobs.report_job(running).await.unwrap();
    let shown = site.ask("GET", "projects/1/deployments/1").await.json();
    let job = &shown["deployable"];
    assert_eq!(
        (&job["coverage"], &job["queued_duration"]),
        (&87.5.into(), &1.25.into())
    );
    assert_eq!((&job["duration"], &job["commit"]), (&Value::Null, &Value::Null));
    assert_eq!(job.get("failure_reason"), None);
    assert_eq!(job["runner"]["runner_type"], "instance_type");
    assert_eq!(job["runner"]["is_shared"], true);
    assert_eq!(job["runner"]["status"], "online");
    let failed = pb::ReportJobRequest {
        finished_at: Some(stamp("2016-08-11T11:32:34.500Z")),
        failure_reason: "script_failure".into(),
        ..report(project, 1, 2, J::Failed)
    };
    jobs.report_job(failed).await.unwrap();
    let job = &site.ask("GET", "projects/1/deployments/1").await.json()["deployable"];
    assert_eq!(
        (&job["duration"], &job["failure_reason"]),
        (&4.5.into(), &"script_failure".into())
    );
}

async fn a_job_asks_by_its_token_wherever_a_token_goes(engine: Engine) {
    let site = Site::new(engine).await;
    let server = &site.world.server;
    let request = announcing(site.world.project.id, "production", draft(1, J::Running));
    let mut deployments = server.deployments(&site.world.developer);
    deployments.create_deployment(request).await.unwrap();
    let wish = pb::CreateJobTokenRequest {
        project: Some(crate::support::project_id(site.world.project.id)),
        job_id: 1,
    };
    let mut jobs = server.jobs(&site.world.developer);
    let token = jobs.create_job_token(wish).await.unwrap().into_inner().secret;
    let get = |target: &str| Ask::new("GET", target);
    for (ask, status) in [
        (get("projects/1/deployments").header("JOB-TOKEN", &token), 200),
        (get("projects/1/environments").header("JOB-TOKEN", &token), 200),
        (get(&format!("projects/1/deployments?job_token={token}")), 200),
        (get(&format!("projects/1/deployments?token={token}")), 200),
        (get("projects/1/deployments").by(&token), 200),
        (
            get("projects/1/deployments").header("Authorization", &format!("Bearer {token}")),
            200,
        ),
        (
            get("projects/1/protected_environments").header("JOB-TOKEN", &token),
            401,
        ),
        (get("projects/1").header("JOB-TOKEN", &token), 401),
        (get("user").header("JOB-TOKEN", &token), 401),
        (
            get("projects/1/deployments").header("JOB-TOKEN", &site.world.developer),
            401,
        ),
    ] {
        let reply = site.send(&ask).await;
        assert_eq!(reply.status, status, "{ask:?} {reply:?}");
        assert!(!reply.header("link").unwrap_or_default().contains(&token));
    }
    let open = server.project("acme/open", pb::Visibility::Public).await.id;
    let elsewhere = get(&format!("projects/{open}/deployments")).header("JOB-TOKEN", &token);
    let refused = site.send(&elsewhere).await;
    let text = format!(
        r#"{{"message":"403 Forbidden - Authentication by CI/CD job token not allowed from acme/web to project #{open}."}}"#
    );
    assert_eq!(refused.told(), (403, text.as_str()));
    let form =
        "environment=qa&sha=a91957a858320c0e17f3a0eca7cfacbff50ea29a&ref=main&tag=false&status=success";
    let create = Ask::new("POST", "projects/1/deployments").form(form);
    let made = site.send(&create.header("JOB-TOKEN", &token)).await;
    assert_eq!(
        (made.status, made.json()["user"]["username"].as_str()),
        (201, Some("dora"))
    );
    jobs.report_job(report(site.world.project.id, 1, 1, J::Success))
        .await
        .unwrap();
    let over = site
        .send(&get("projects/1/deployments").header("JOB-TOKEN", &token))
        .await;
    assert_eq!(over.told(), (401, r#"{"message":"401 Unauthorized"}"#));
}
