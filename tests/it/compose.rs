//! The compose file, run: each of its services as a plain process, with the file's own command, environment, secrets, order
//! and health checks. So the file cannot say what does not work.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_yaml_ng::Value;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use crate::support::{
    engine::Engine,
    postgres::{Cluster, Shape, programs},
};

const FILE: &str = include_str!("../../docker-compose.yml");
const README: &str = include_str!("../../README.md");

/// The keys that a service may have: what is new there has to be understood here.
const KEYS: [&str; 16] = [
    "image",
    "build",
    "user",
    "read_only",
    "tmpfs",
    "cap_drop",
    "security_opt",
    "command",
    "environment",
    "secrets",
    "volumes",
    "ports",
    "depends_on",
    "healthcheck",
    "restart",
    "stop_grace_period",
];

fn compose() -> Value {
    let mut file: Value = serde_yaml_ng::from_str(FILE).unwrap();
    file.apply_merge().unwrap();
    file
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        other => panic!("no text: {other:?}"),
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_sequence().unwrap().iter().map(text).collect()
}

fn entries(value: &Value) -> BTreeMap<String, Value> {
    let entries = value.as_mapping().unwrap().iter();
    entries.map(|(key, value)| (text(key), value.clone())).collect()
}

/// A time as compose writes it.
fn seconds(value: &Value) -> Duration {
    let text = text(value);
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().unwrap();
    match unit {
        "s" => Duration::from_secs(number),
        "m" => Duration::from_mins(number),
        other => panic!("what is {other}?"),
    }
}

/// A service of the file.
#[derive(Clone)]
struct Service {
    name: String,
    value: Value,
}

impl Service {
    fn all() -> Vec<Self> {
        let services = entries(&compose()["services"]).into_iter();
        services.map(|(name, value)| Self { name, value }).collect()
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let variables = entries(&self.value["environment"]).into_iter();
        variables.map(|(name, value)| (name, text(&value))).collect()
    }

    /// What has to be so before it starts.
    fn needs(&self) -> BTreeMap<String, String> {
        match &self.value["depends_on"] {
            Value::Null => BTreeMap::new(),
            needs => entries(needs)
                .into_iter()
                .map(|(name, need)| (name, text(&need["condition"])))
                .collect(),
        }
    }

    fn is_ours(&self) -> bool {
        self.value["image"] == "gatehouse:local"
    }
}

#[test]
fn every_service_is_confined_and_nothing_secret_stands_in_the_file() {
    let file = compose();
    let services = Service::all();
    let names: Vec<&str> = services.iter().map(|service| &*service.name).collect();
    assert_eq!(
        names,
        ["gatehouse-1", "gatehouse-2", "migrate", "postgres", "rest"]
    );
    let known: BTreeSet<String> = entries(&file["secrets"]).into_keys().collect();
    for service in &services {
        let (name, value) = (&service.name, &service.value);
        for key in entries(value).keys() {
            assert!(KEYS.contains(&key.as_str()), "{name}: what is {key}?");
        }
        assert_eq!(value["read_only"], true, "{name}");
        assert_eq!(texts(&value["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(
            texts(&value["security_opt"]),
            ["no-new-privileges:true"],
            "{name}"
        );
        assert!(!["root", "0", "0:0"].contains(&&*text(&value["user"])), "{name}");
        let image = text(&value["image"]);
        let (_, tag) = image.split_once(':').unwrap();
        assert_ne!(tag, "latest", "{name}");
        let once = value["restart"] == "no";
        assert!(
            once || value["healthcheck"]["test"].is_sequence(),
            "{name} tells nobody how it is"
        );
        for secret in value["secrets"].as_sequence().into_iter().flatten() {
            assert!(known.contains(&text(secret)), "{name}");
        }
        for (variable, content) in service.environment() {
            let is_file = content.starts_with("/run/secrets/");
            assert_eq!(variable.ends_with("_FILE"), is_file, "{name}: {variable}");
            assert!(
                !content.contains("://") || !content.contains(":secret"),
                "{name}: {variable}"
            );
            if let Some((_, host)) = content.split_once("postgres://") {
                let user = host.split('@').next().unwrap();
                assert!(!user.contains(':'), "{name}: a password in {variable}");
            }
        }
        for port in value["ports"].as_sequence().into_iter().flatten() {
            assert!(
                text(port).starts_with("127.0.0.1:"),
                "{name}: for this machine only"
            );
        }
    }
}

#[test]
fn the_image_is_built_from_what_is_here_and_runs_as_nobody() {
    let dockerfile = text(&compose()["x-gatehouse"]["build"]["dockerfile_inline"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut copied = BTreeSet::new();
    for line in dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.pop();
        for source in words
            .into_iter()
            .filter(|word| !word.contains('/') && !word.starts_with("--"))
        {
            assert!(root.join(source).exists(), "{source}");
            copied.insert(source);
        }
    }
    // Cargo wants to see every target that the manifest names.
    for needed in [
        "Cargo.toml",
        "Cargo.lock",
        "build.rs",
        ".cargo",
        "proto",
        "src",
        "benches",
    ] {
        assert!(copied.contains(needed), "{needed} is not copied");
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap();
    let image = format!("FROM rust:{}-slim-bookworm AS build", version.trim_matches('"'));
    assert!(dockerfile.contains(&image), "{image}");
    assert!(dockerfile.contains("cargo build --release --locked --bin gatehouse"));
    let last: Vec<&str> = dockerfile.trim_end().lines().rev().take(2).collect();
    assert_eq!(last, ["ENTRYPOINT [\"gatehouse\"]", "USER 65532:65532"]);
    for service in Service::all().into_iter().filter(Service::is_ours) {
        assert_eq!(text(&service.value["user"]), "65532:65532");
    }
}

#[test]
fn every_variable_is_one_that_the_command_knows() {
    for service in Service::all().into_iter().filter(Service::is_ours) {
        let help = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(texts(&service.value["command"]))
            .arg("--help")
            .output()
            .unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        for variable in service.environment().keys() {
            let known = ['=', ']'].map(|end| format!("[env: {variable}{end}"));
            assert!(
                known.iter().any(|known| help.contains(known)),
                "{}: {variable}",
                service.name
            );
        }
    }
}

/// A free port, for a service that has to be told one.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The services as processes of this machine. What the containers would have of their own is mapped: host names and ports to
/// ports of the loopback address, the secrets' paths to a folder.
struct Machine {
    folder: TempDir,
    /// The port of each service here, by `host:port` there.
    ports: BTreeMap<String, u16>,
    cluster: Option<Cluster>,
    running: BTreeMap<String, Child>,
    completed: BTreeSet<String>,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // As the file's own comment says to make them.
        for (name, content) in [
            ("postgres_password", "a-password-of-nobody"),
            ("root_token", "the-token-of-the-first-administrator"),
        ] {
            let file = folder.path().join(name);
            fs::write(&file, format!("{content}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
        }
        let listening = [
            "postgres:5432",
            "gatehouse-1:50051",
            "gatehouse-2:50051",
            "rest:8080",
        ];
        Self {
            folder,
            ports: listening.map(|place| (place.to_owned(), free_port())).into(),
            cluster: None,
            running: BTreeMap::new(),
            completed: BTreeSet::new(),
        }
    }

    fn secret(&self, name: &str) -> String {
        let text = fs::read_to_string(self.folder.path().join(name)).unwrap();
        text.trim().to_owned()
    }

    fn port(&self, place: &str) -> u16 {
        self.ports[place]
    }

    /// A text of the file as it has to be on this machine.
    fn mapped(&self, service: &str, text: &str) -> String {
        let mut mapped = text.replace("/run/secrets", self.folder.path().to_str().unwrap());
        for (place, port) in &self.ports {
            let here = format!("127.0.0.1:{port}");
            mapped = mapped.replace(place, &here);
            let (host, inside) = place.split_once(':').unwrap();
            if host == service {
                for own in ["0.0.0.0", "127.0.0.1"] {
                    mapped = mapped.replace(&format!("{own}:{inside}"), &here);
                }
            }
        }
        mapped
    }

    fn program(&self, service: &Service, words: &[String]) -> Command {
        let mut command = match words[0].as_str() {
            "gatehouse" => Command::new(env!("CARGO_BIN_EXE_gatehouse")),
            "pg_isready" => {
                // The container's first start has another server for a while, which is on the socket only.
                let over_tcp = words.windows(2).any(|pair| pair == ["--host", "127.0.0.1"]);
                assert!(over_tcp, "{}: it has to be asked over TCP", service.name);
                Command::new(programs().unwrap().join("pg_isready"))
            }
            other => panic!("{}: what is {other}?", service.name),
        };
        command.args(words[1..].iter().map(|word| self.mapped(&service.name, word)));
        // Nothing of these surroundings, and a folder in which nothing can be written: as in a container.
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        if words[0] == "pg_isready" {
            command.env("PGPORT", self.port("postgres:5432").to_string());
        } else {
            let environment = service.environment();
            command.envs(
                environment
                    .iter()
                    .map(|(name, value)| (name, self.mapped(&service.name, value))),
            );
        }
        command.current_dir("/proc");
        command
    }

    /// The service's own check, once.
    fn is_healthy(&self, service: &Service) -> bool {
        let test = texts(&service.value["healthcheck"]["test"]);
        assert_eq!(test[0], "CMD", "{}", service.name);
        let mut command = self.program(service, &test[1..]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.unwrap().success()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a check is repeated after a while, as it would be"
    )]
    fn healthy(&self, service: &Service) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.is_healthy(service) {
            assert!(
                Instant::now() < deadline,
                "{} does not become healthy",
                service.name
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Starts a service when what it needs is as it should be.
    fn start(&mut self, service: &Service) {
        for (name, condition) in service.needs() {
            let needed = Service::all()
                .into_iter()
                .find(|other| other.name == name)
                .unwrap();
            match condition.as_str() {
                "service_healthy" => self.healthy(&needed),
                "service_completed_successfully" => assert!(self.completed.contains(&name), "{name}"),
                other => panic!("what is {other}?"),
            }
        }
        if !service.is_ours() {
            let environment = service.environment();
            let known = ["POSTGRES_DB", "POSTGRES_PASSWORD_FILE", "POSTGRES_USER"];
            assert!(environment.keys().eq(known.iter()), "{environment:?}");
            assert_eq!(environment["POSTGRES_USER"], "gatehouse");
            let password = self.secret("postgres_password");
            let cluster = Cluster::of(&Shape {
                port: self.port("postgres:5432"),
                password: &password,
                ..Shape::default()
            });
            self.cluster = Some(cluster);
            self.healthy(service);
            self.cluster.as_ref().unwrap().create(&environment["POSTGRES_DB"]);
            return;
        }
        let words: Vec<String> = ["gatehouse".to_owned()]
            .into_iter()
            .chain(texts(&service.value["command"]))
            .collect();
        let mut command = self.program(service, &words);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        if service.value["restart"] == "no" {
            assert!(child.wait().unwrap().success(), "{} failed", service.name);
            self.completed.insert(service.name.clone());
        } else {
            self.running.insert(service.name.clone(), child);
        }
    }

    /// Starts everything in the order in which the services need each other.
    fn up(&mut self) {
        let mut left = Service::all();
        let mut started = BTreeSet::new();
        while !left.is_empty() {
            let next = left
                .iter()
                .position(|service| service.needs().keys().all(|name| started.contains(name)));
            let service = left.remove(next.expect("services that wait for each other"));
            self.start(&service);
            started.insert(service.name);
        }
        for service in Service::all() {
            if service.value["restart"] != "no" {
                self.healthy(&service);
            }
        }
    }

    /// The same as `docker compose stop`: SIGTERM, and so much time to end.
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing else tells that a process has ended"
    )]
    fn stop(&mut self, name: &str) {
        let service = Service::all()
            .into_iter()
            .find(|service| service.name == name)
            .unwrap();
        let mut child = self.running.remove(name).unwrap();
        let deadline = Instant::now() + seconds(&service.value["stop_grace_period"]);
        let signalled = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(signalled.success());
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{name}: {status}");
                return;
            }
            assert!(Instant::now() < deadline, "{name} does not stop in its time");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn grpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port("gatehouse-1:50051"))
    }

    /// Runs a client command against one of the gRPC servers.
    fn gatehouse(&self, words: &str, token: &str) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(words.split_whitespace())
            .env("GATEHOUSE_TOKEN", token)
            .env("GATEHOUSE_GRPC_URL", self.grpc_url())
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{words}: {output:?}");
        output
    }

    /// Runs lines of a shell as the README has them; answers what they print.
    fn shell(&self, lines: &str, token: &str) -> String {
        let api = format!("http://127.0.0.1:{}/api/v4", self.port("rest:8080"));
        let program = Path::new(env!("CARGO_BIN_EXE_gatehouse")).parent().unwrap();
        let others = std::env::var_os("PATH").unwrap_or_default();
        let folders = [program.to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&others));
        let path = std::env::join_paths(folders).unwrap();
        let output = Command::new("sh")
            .args([
                "-euc",
                &lines.replace(
                    "curl ",
                    "curl --silent --show-error --write-out '\\n%{http_code}\\n' ",
                ),
            ])
            .env("api", api)
            .env("TOKEN", token)
            .env("PATH", path)
            .env("GATEHOUSE_TOKEN", token)
            .env("GATEHOUSE_GRPC_URL", self.grpc_url())
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The lines of the first block of shell below a heading of the README.
fn block(heading: &str) -> &'static str {
    let (_, behind) = README.split_once(&format!("\n{heading}\n")).unwrap();
    let (_, block) = behind.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0
}

/// What curl printed, answer by answer: the body and the status.
fn answers(printed: &str) -> Vec<(String, u16)> {
    let mut answers = Vec::new();
    let mut body = String::new();
    for line in printed.lines() {
        match line.parse() {
            Ok(status @ 100..=599) => answers.push((std::mem::take(&mut body), status)),
            _ => body += line,
        }
    }
    answers
}

#[test]
fn the_services_of_the_compose_file_answer_the_five_minute_tour() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let mut machine = Machine::new();
    machine.up();
    let root = machine.secret("root_token");

    // An organisation, by the README's own commands.
    machine.shell(block("## First start"), &root);
    let bot = fs::read_to_string(machine.folder.path().join("deploy-bot.token")).unwrap();
    let who = "curl --header \"PRIVATE-TOKEN: $TOKEN\" \"$api/user\"";
    let told = answers(&machine.shell(who, bot.trim()));
    assert!(
        told[0].1 == 200 && told[0].0.contains("\"deploy-bot\""),
        "{told:?}"
    );
    let made = machine.gatehouse(
        "token create --user mika --name tour --scope api --expires-in-days 1",
        &root,
    );
    let mika = String::from_utf8(made.stdout).unwrap().trim().to_owned();

    // The tour tells of deployment 42, which is running, and of 1, which is over and done with.
    let record = "for n in $(seq 42); do curl --header \"PRIVATE-TOKEN: $TOKEN\" \"$api/projects/1/deployments\" \
         --data \"environment=staging&sha=fde8b0dd8b9b26b2a3566ff5346975e295bcb7c1&ref=r$n&tag=false&status=$([ $n -le 2 ] && echo success || echo running)\"; done";
    let recorded = answers(&machine.shell(record, &mika));
    assert_eq!(recorded.len(), 42);
    assert!(recorded.iter().all(|(_, status)| *status == 201), "{recorded:?}");

    let told = answers(&machine.shell(block("### curl"), &mika));
    let statuses: Vec<u16> = told.iter().map(|(_, status)| *status).collect();
    assert_eq!(statuses, [200, 201, 200, 202, 201], "{told:?}");
    let updated: serde_json::Value = serde_json::from_str(&told[2].0).unwrap();
    assert_eq!(updated["id"], 42);
    assert_eq!(updated["status"], "success");
    let environment: serde_json::Value = serde_json::from_str(&told[4].0).unwrap();
    assert_eq!(environment["name"], "review/login");

    // One server ends, and the sidecar goes on with the other.
    machine.stop("gatehouse-1");
    let list = "curl --header \"PRIVATE-TOKEN: $TOKEN\" \"$api/projects/1/deployments?per_page=1\"";
    for _ in 0..20 {
        let told = answers(&machine.shell(list, &mika));
        assert_eq!(told[0].1, 200, "{told:?}");
    }
    let rest = Service::all()
        .into_iter()
        .find(|service| service.name == "rest")
        .unwrap();
    assert!(machine.is_healthy(&rest));
    machine.stop("gatehouse-2");
    assert!(!machine.is_healthy(&rest), "nobody is left who could answer");
    machine.stop("rest");
}

#[tokio::test]
async fn servers_that_start_at_once_on_an_empty_store_make_one_administrator() {
    if !Engine::Postgres.is_here() {
        return;
    }
    for _ in 0..3 {
        let mut machine = Machine::new();
        let service = |name: &str| {
            Service::all()
                .into_iter()
                .find(|service| service.name == name)
                .unwrap()
        };
        machine.start(&service("postgres"));
        machine.start(&service("migrate"));
        machine.start(&service("gatehouse-1"));
        machine.start(&service("gatehouse-2"));
        machine.healthy(&service("gatehouse-1"));
        machine.healthy(&service("gatehouse-2"));
        machine.start(&service("rest"));
        machine.healthy(&service("rest"));
        let users = answers(&machine.shell(
            "curl --header \"PRIVATE-TOKEN: $TOKEN\" \"$api/user\"",
            &machine.secret("root_token"),
        ));
        assert_eq!(users[0].1, 200, "{users:?}");
        let user: serde_json::Value = serde_json::from_str(&users[0].0).unwrap();
        assert_eq!(user["username"], "root");
        let url = machine.cluster.as_ref().unwrap().url("gatehouse");
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let counted = "SELECT (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM tokens)";
        let there: (i64, i64) = sqlx::query_as(counted).fetch_one(&mut connection).await.unwrap();
        assert_eq!(there, (1, 1), "users and tokens");
    }
}
