//! The example deployer, a shell script with curl, in front of a real server.

use std::{
    process::{Command, Output, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use gatehouse::pb::v1::{self as pb, ApprovalStatus, DeploymentStatus as S};
use tokio::task::JoinHandle;

use crate::support::{
    World,
    engine::{Engine, on_both_engines},
    eventually, in_project, project_at,
    rest::RestServer,
};

on_both_engines! {
    the_deployer_goes_when_it_is_approved_and_reports_how_it_went
    the_deployer_does_not_go_when_it_is_rejected_or_not_approved_in_time
    the_deployer_gives_up_what_is_interrupted_at_the_gate_or_under_way
    the_deployer_says_why_it_could_not_begin
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/deploy-with-gate.sh");
/// Rounds of the measurement.
const ROUNDS: usize = 200;

/// A project whose production takes one approval of a Maintainer, and a sidecar.
struct Scene {
    world: World,
    rest: RestServer,
}

impl Scene {
    async fn new(engine: Engine) -> Self {
        let world = World::new(engine).await;
        let request = pb::ProtectEnvironmentRequest {
            container: Some(in_project("acme/web")),
            name: "production".into(),
            deploy_access_levels: vec![pb::ProtectionEntry {
                access_level: Some(30),
                ..Default::default()
            }],
            approval_rules: vec![pb::ProtectionEntry {
                access_level: Some(40),
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut client = world.server.protections(&world.maintainer);
        client.protect_environment(request).await.unwrap();
        let rest = RestServer::before(&world.server).await;
        Self { world, rest }
    }

    /// The deployer, as a Developer.
    fn script(&self, environment: &str, patience: &str, command: &[&str]) -> Command {
        let mut script = Command::new("sh");
        script
            .arg(SCRIPT)
            .args(command)
            .env("GATEHOUSE_URL", format!("http://{}", self.rest.address))
            .env("GATEHOUSE_TOKEN", &self.world.developer)
            .env("PROJECT", "acme/web")
            .env("ENVIRONMENT", environment)
            .env("SHA", crate::support::SHA)
            .env("REF", "main")
            .env("PATIENCE", patience)
            .stdin(Stdio::null());
        script
    }

    /// Runs the deployer.
    fn deploy(&self, environment: &str, patience: &str, command: &[&str]) -> JoinHandle<Output> {
        let mut script = self.script(environment, patience, command);
        tokio::task::spawn_blocking(move || script.output().unwrap())
    }

    async fn newest(&self) -> Option<pb::Deployment> {
        let request = pb::ListDeploymentsRequest {
            project: Some(project_at("acme/web")),
            direction: pb::SortDirection::Desc.into(),
            page_size: 1,
            ..Default::default()
        };
        let mut client = self.world.server.deployments(&self.world.reporter);
        client
            .list_deployments(request)
            .await
            .unwrap()
            .into_inner()
            .deployments
            .pop()
    }

    /// Waits until a deployment newer than `before` is held at the gate; answers its id.
    async fn held(&self, before: i64) -> i64 {
        eventually("the deployer waits at the gate", || async {
            let newest = self.newest().await;
            newest.is_some_and(|newest| newest.id > before && newest.status() == S::Blocked)
        })
        .await;
        self.newest().await.unwrap().id
    }

    async fn decide(&self, id: i64, status: ApprovalStatus) {
        let request = pb::SubmitApprovalRequest {
            project: Some(project_at("acme/web")),
            deployment_id: id,
            status: status.into(),
            ..Default::default()
        };
        self.world
            .server
            .approvals(&self.world.maintainer)
            .submit_approval(request)
            .await
            .unwrap();
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn the_deployer_goes_when_it_is_approved_and_reports_how_it_went(engine: Engine) {
    let scene = Scene::new(engine).await;
    for (command, code, status) in [
        (&["--", "true"][..], 0, S::Success),
        (&["sh", "-c", "exit 7"], 7, S::Failed),
    ] {
        let before = scene.newest().await.map_or(0, |newest| newest.id);
        let script = scene.deploy("production", "60", command);
        let id = scene.held(before).await;
        scene.decide(id, ApprovalStatus::Approved).await;
        let output = script.await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", told(&output));
        assert_eq!(scene.newest().await.unwrap().status(), status);
        assert!(told(&output).contains("waits for approval"), "{}", told(&output));
    }
    let output = scene.deploy("qa", "60", &["true"]).await.unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(!told(&output).contains("waits"), "nothing holds qa");
}

async fn the_deployer_does_not_go_when_it_is_rejected_or_not_approved_in_time(engine: Engine) {
    let scene = Scene::new(engine).await;
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    let touch = ["touch", gone.to_str().unwrap()];
    let script = scene.deploy("production", "60", &touch);
    let id = scene.held(0).await;
    scene.decide(id, ApprovalStatus::Rejected).await;
    let output = script.await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told(&output).contains(&format!("deployment {id} was rejected")),
        "{}",
        told(&output)
    );

    let output = scene.deploy("production", "0", &touch).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told(&output).contains("not approved in time"),
        "{}",
        told(&output)
    );
    assert_eq!(scene.newest().await.unwrap().status(), S::Canceled);
    assert!(!gone.exists());
}

async fn the_deployer_gives_up_what_is_interrupted_at_the_gate_or_under_way(engine: Engine) {
    let scene = Scene::new(engine).await;
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("begun");
    let command = format!("touch {}; exec sleep 600", begun.display());
    for (environment, status) in [("production", S::Blocked), ("qa", S::Running)] {
        let mut script = scene.script(environment, "600", &["sh", "-c", &command]);
        let mut script = script.stderr(Stdio::null()).spawn().unwrap();
        eventually("the deployer has come so far", || async {
            let newest = scene.newest().await;
            let there = newest.is_some_and(|newest| {
                newest.environment.as_ref().unwrap().name == environment && newest.status() == status
            });
            there && (status == S::Blocked || begun.exists())
        })
        .await;
        let kill = Command::new("kill")
            .args(["-TERM", &script.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        let ended = tokio::task::spawn_blocking(move || script.wait().unwrap());
        assert_eq!(ended.await.unwrap().code(), Some(130), "{environment}");
        let newest = scene.newest().await.unwrap();
        assert_eq!(newest.status(), S::Canceled, "{environment}");
    }
}

async fn the_deployer_says_why_it_could_not_begin(engine: Engine) {
    let scene = Scene::new(engine).await;
    let output = scene.deploy("a;b", "60", &["true"]).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told(&output).contains("can contain only letters"),
        "{}",
        told(&output)
    );
    let output = scene.deploy("qa", "60", &[]).await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("usage"), "{}", told(&output));
}

#[expect(clippy::print_stdout, reason = "what is measured is printed")]
fn print(what: &str, mut taken: Vec<Duration>) {
    taken.sort();
    let (median, worst) = (taken[taken.len() / 2], taken[taken.len() - 1]);
    println!(
        "{what}: median {median:?}, worst {worst:?} over {} rounds",
        taken.len()
    );
}

/// How long after the answer to the last approval the deployer goes on. Prints, asserts no time:
/// `cargo test --release --test it -- --ignored --nocapture how_long`.
#[tokio::test]
#[ignore = "it measures"]
#[expect(
    clippy::disallowed_methods,
    reason = "the time is what is measured, and a wait that has begun shows nowhere"
)]
async fn how_long_a_deployer_takes_to_go_on_once_it_is_approved() {
    let engine = Engine::Sqlite;
    let scene = Scene::new(engine).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("began");
    let note = format!("date +%s%N >{}", file.display());
    let mut by_script = Vec::new();
    for _ in 0..ROUNDS {
        let before = scene.newest().await.map_or(0, |newest| newest.id);
        let script = scene.deploy("production", "60", &["sh", "-c", &note]);
        let id = scene.held(before).await;
        scene.decide(id, ApprovalStatus::Approved).await;
        let approved = SystemTime::now();
        assert!(script.await.unwrap().status.success());
        let began: u64 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let began = UNIX_EPOCH + Duration::from_nanos(began);
        by_script.push(began.duration_since(approved).unwrap_or_default());
    }
    print(
        "the script runs its command after the approval was answered",
        by_script,
    );

    let mut by_grpc = Vec::new();
    for _ in 0..ROUNDS {
        let held = scene.world.record("production", S::Running).await.id;
        let mut client = scene.world.server.events(&scene.world.developer);
        let wait = tokio::spawn(async move {
            let request = pb::WaitDeploymentRequest {
                project: Some(project_at("acme/web")),
                deployment_id: held,
                until: Some(pb::wait_deployment_request::Until::Condition(
                    pb::WaitCondition::Approved.into(),
                )),
                ..Default::default()
            };
            let answer = client.wait_deployment(request).await.unwrap().into_inner();
            assert_eq!(answer.outcome(), pb::WaitOutcome::Met);
            Instant::now()
        });
        // Long enough ago that the wait has begun: this measures, it does not test.
        tokio::time::sleep(Duration::from_millis(20)).await;
        scene.decide(held, ApprovalStatus::Approved).await;
        let approved = Instant::now();
        by_grpc.push(wait.await.unwrap().saturating_duration_since(approved));
    }
    print("WaitDeployment returns after the approval was answered", by_grpc);
}
