//! The commands of the binary, run as people run them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use gatehouse::pb::v1::{
    self as pb, deployment_service_client::DeploymentServiceClient,
    merge_request_service_client::MergeRequestServiceClient,
};
use tempfile::TempDir;

use crate::support::{dial, eventually, git::Repo, project_at};

/// The command with no settings but free ports and those of the test, in a folder of its own.
fn gatehouse(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
    command
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env_clear()
        .env("TMPDIR", folder)
        .env("GATEHOUSE_GRPC_LISTEN", "127.0.0.1:0")
        .env("GATEHOUSE_REST_LISTEN", "127.0.0.1:0");
    command
}

/// Runs a command to its end.
fn run(folder: &Path, arguments: &str) -> Output {
    gatehouse(folder, arguments).output().unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A server that is running; killed when the test is over.
struct Serving {
    child: Child,
    output: BufReader<ChildStdout>,
    said: String,
}

impl Serving {
    /// Starts a command and waits until it has said `ready`.
    fn start(folder: &Path, arguments: &str, ready: &str) -> Self {
        let mut child = gatehouse(folder, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let said = String::new();
        let mut serving = Self { child, output, said };
        while !serving.said.contains(ready) {
            let read = serving.output.read_line(&mut serving.said).unwrap();
            assert_ne!(read, 0, "it ended without saying {ready:?}:\n{}", serving.said);
        }
        serving
    }

    /// The rest of the first line that begins like this.
    fn line(&self, beginning: &str) -> &str {
        let line = self.said.lines().find_map(|line| line.strip_prefix(beginning));
        line.unwrap_or_else(|| panic!("no line begins with {beginning:?}:\n{}", self.said))
    }

    /// The calls of curl that it printed.
    fn calls(&self) -> Vec<String> {
        let lines = self.said.lines().filter(|line| line.starts_with("curl "));
        lines.map(str::to_owned).collect()
    }

    fn grpc_url(&self) -> String {
        format!("http://{}", self.line("gRPC listens on "))
    }

    /// Tells it to stop; its exit code.
    fn stop(&mut self) -> Option<i32> {
        let kill = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does what a printed line of curl does; the status and the body.
fn curl(line: &str) -> (u16, String) {
    let quoted: Vec<_> = line.split('"').skip(1).step_by(2).collect();
    let (host, path) = quoted
        .last()
        .unwrap()
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let header = quoted
        .iter()
        .find(|text| text.starts_with("PRIVATE-TOKEN: "))
        .unwrap();
    let data = quoted
        .iter()
        .find(|text| text.contains("status="))
        .copied()
        .unwrap_or_default();
    let method = ["PUT", "DELETE"].into_iter().find(|method| line.contains(method));
    let method = method.unwrap_or(if data.is_empty() { "GET" } else { "POST" });
    let length = data.len();

    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{data}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn the_demo_answers_the_calls_it_prints_and_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let mut demo = Serving::start(folder.path(), "demo", "when this command ends");
    let calls = demo.calls();
    let answers: Vec<_> = calls[..5].iter().map(|line| curl(line)).collect();
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 201, 200, 202], "{answers:#?}");
    assert!(
        answers[0].1.starts_with("[{\"id\":1,\"iid\":1,"),
        "{}",
        answers[0].1
    );
    assert!(
        answers[3].1.starts_with("{\"id\":42,\"iid\":42,"),
        "{}",
        answers[3].1
    );
    assert_eq!(answers[4].1, "{\"message\":\"202 Accepted\"}");

    assert_eq!(demo.stop(), Some(0));
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "the store is still there"
    );
}

#[test]
fn the_demo_holds_a_deployment_that_goes_when_the_printed_calls_have_lifted_the_gate() {
    let folder = TempDir::new().unwrap();
    let demo = Serving::start(folder.path(), "demo", "when this command ends");
    let calls = demo.calls();
    let [get, wait, lift @ ..] = &calls[5..] else {
        panic!("no calls about the gate: {calls:#?}");
    };
    let (status, held) = curl(get);
    assert_eq!(status, 200);
    for told in [
        r#""status":"blocked""#,
        r#""pending_approval_count":2"#,
        r#""access_level_description":"qa-group","required_approvals":1"#,
        r#""access_level_description":"security-group","required_approvals":2"#,
        r#""username":"sara""#,
    ] {
        assert!(held.contains(told), "{told} is not in {held}");
    }

    let waited = wait.clone();
    let waiting = std::thread::spawn(move || curl(&waited));
    let answers: Vec<_> = lift.iter().map(|line| curl(line)).collect();
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [400, 201, 201, 200, 400, 201], "{answers:#?}");
    let (status, gone) = waiting.join().unwrap();
    assert_eq!(status, 200);
    assert!(
        !gone.contains("blocked") && gone.contains(r#""pending_approval_count":0"#),
        "{gone}"
    );
    assert!(answers[3].1.contains(r#""status":"running""#), "{}", answers[3].1);
}

/// A caller of the demo: what is over gRPC in the lines that it prints for this service.
fn demo_token(demo: &Serving, service: &str) -> String {
    let before = demo.said.lines().zip(demo.said.lines().skip(1));
    let line = before
        .filter(|(_, next)| next.trim_end().ends_with(service))
        .map(|(line, _)| line)
        .next()
        .unwrap_or_else(|| panic!("no call of {service}:\n{}", demo.said));
    let (_, rest) = line.split_once("private-token: ").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn the_demo_tells_what_a_held_deployment_brings_and_where_a_merge_request_is() {
    let folder = TempDir::new().unwrap();
    let demo = Serving::start(folder.path(), "demo", "when this command ends");
    let held: i64 = demo
        .line("# what deployment ")
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let token = demo_token(&demo, "DeploymentService/GetDeploymentChanges");
    let client = dial(&demo.grpc_url(), &token);
    let request = pb::GetDeploymentChangesRequest {
        project: Some(project_at("acme/shop/web")),
        deployment_id: held,
        ..Default::default()
    };
    let changes = DeploymentServiceClient::new(client.clone())
        .get_deployment_changes(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(changes.source(), pb::ChangesSource::Repository);
    assert_eq!(changes.base.unwrap().r#ref, "v2.10.0");
    let titles: Vec<_> = changes
        .commits
        .iter()
        .map(|commit| commit.message.lines().next().unwrap())
        .collect();
    assert_eq!(
        titles,
        [
            "Show prices as the country does",
            "Tell when something is in stock again: mend what staging showed",
            "Merge branch 'stock-alerts' into 'main'",
            "Tell when something is in stock again (1)",
        ]
    );
    assert_eq!((changes.commit_count, changes.removed_commit_count), (4, 0));
    let iids: Vec<_> = changes.merge_requests.iter().map(|request| request.iid).collect();
    assert_eq!(iids, [12, 11], "by a pick and by a merge");

    let token = demo_token(&demo, "MergeRequestService/ListDeploymentsOfMergeRequest");
    let client = MergeRequestServiceClient::new(dial(&demo.grpc_url(), &token));
    // A merge, a squash, a fast-forward; what was given up is nowhere.
    for (iid, releases) in [
        (5, vec!["v2.5.0", "main"]),
        (2, vec!["v2.2.0", "main"]),
        (7, vec!["v2.7.0", "main"]),
        (4, vec![]),
    ] {
        let refs = || async {
            let request = pb::ListDeploymentsOfMergeRequestRequest {
                project: Some(project_at("acme/shop/web")),
                iid,
                ..Default::default()
            };
            let answer = client.clone().list_deployments_of_merge_request(request).await;
            let found = answer.unwrap().into_inner().deployments;
            found
                .into_iter()
                .map(|deployment| deployment.r#ref)
                .collect::<Vec<_>>()
        };
        eventually(&format!("merge request {iid} in {releases:?}"), || async {
            refs().await == releases
        })
        .await;
    }
}

#[test]
fn a_file_attaches_repositories_to_projects_and_detaches_them() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    for name in ["one", "other"] {
        Repo::new(&folder.join(name)).commit("first");
    }
    let server = Serving::start(folder, "--repository-root .", "REST listens");
    let url = server.grpc_url();
    let apply = |keys: &str, more: &str| {
        let text = format!("[[groups]]\npath = \"acme\"\n[[projects]]\npath = \"acme/web\"\n{keys}\n");
        fs::write(folder.join("file.toml"), text).unwrap();
        run(folder, &format!("apply file.toml --grpc-url {url} {more}"))
    };
    for (keys, said) in [
        (
            "repository = \"one\"",
            "+ create group acme\n+ create project acme/web\ncreated 2, changed 0; unchanged: 0\n",
        ),
        ("repository = \"one\"", "= unchanged: 2\n"),
        ("", "= unchanged: 2\n"),
        (
            "repository = \"other\"\nname = \"Web\"",
            "~ change project acme/web: name: web -> Web\n~ change project acme/web: repository: one -> other\n\
             created 0, changed 1; unchanged: 1\n",
        ),
        (
            "repository = \"\"",
            "~ change project acme/web: repository: other -> \"\"\ncreated 0, changed 1; unchanged: 1\n",
        ),
        ("repository = \"\"", "= unchanged: 2\n"),
    ] {
        let dry = apply(keys, "--dry-run");
        assert!(dry.status.success(), "{}", err(&dry));
        let done = apply(keys, "");
        assert_eq!(out(&done), said, "{keys}: {}", err(&done));
    }
    let refused = apply("repository = \"nowhere\"", "");
    assert!(!refused.status.success());
    assert!(
        err(&refused).contains("there is no repository that can be read"),
        "{}",
        err(&refused)
    );
}

#[test]
fn applying_a_file_changes_what_the_dry_run_said_and_a_second_time_nothing() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let server = Serving::start(folder, "", "REST listens");
    assert_eq!(
        server.line("the token of the administrator root is in "),
        "./data/root-token"
    );
    let url = server.grpc_url();
    let apply = |file: &str, text: &str, more: &str| {
        fs::write(folder.join(file), text).unwrap();
        run(folder, &format!("apply {file} --grpc-url {url} {more}"))
    };
    let example = run(folder, "apply --example");
    let example = out(&example);

    let dry = apply("example.toml", example, "--dry-run");
    assert_eq!(
        out(&dry).lines().last(),
        Some("would create 40 and change 0; unchanged: 0"),
        "{}",
        err(&dry)
    );
    let real = apply("example.toml", example, "");
    assert_eq!(
        out(&real).lines().last(),
        Some("created 40, changed 0; unchanged: 0"),
        "{}",
        err(&real)
    );
    let steps = |output: &Output| -> Vec<String> {
        out(output)
            .lines()
            .filter(|line| line.starts_with(['+', '~']))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(steps(&dry), steps(&real));
    let again = apply("example.toml", example, "");
    assert_eq!(out(&again), "= unchanged: 40\n", "{}", err(&again));

    let change = "[[users]]\nusername = \"zoe\"\nstate = \"blocked\"\n\
                  [[projects]]\npath = \"acme/shop/old\"\narchived = true\n\
                  [[members]]\nin = \"acme/shop/web\"\nuser = \"rosa\"\naccess = \"developer\"\n\
                  [[members]]\nin = \"acme/shop\"\nuser = \"dana\"\naccess = \"maintainer\"\n";
    let changed = apply("change.toml", change, "");
    assert_eq!(
        out(&changed).lines().collect::<Vec<_>>(),
        [
            "+ create user zoe",
            "+ create project acme/shop/old",
            "+ create member rosa of acme/shop/web",
            "~ change member dana of acme/shop: access: developer -> maintainer",
            "created 3, changed 1; unchanged: 0",
        ],
        "{}",
        err(&changed)
    );
    assert_eq!(
        out(&apply("change.toml", change, "")),
        "= unchanged: 4\n",
        "blocked and archived, too"
    );

    let somebody = "[[users]]\nusername = \"zoe\"\nlocation = \"Oslo\"\nwebsite_url = \"zoe.example\"\n";
    assert_eq!(
        steps(&apply("profile.toml", somebody, "")),
        [
            "~ change user zoe: location: \"\" -> Oslo",
            "~ change user zoe: website_url: \"\" -> zoe.example",
        ]
    );
    let moved = "[[users]]\nusername = \"zoe\"\nlocation = \"Bergen\"\n";
    assert_eq!(
        steps(&apply("profile.toml", moved, "")),
        ["~ change user zoe: location: Oslo -> Bergen"]
    );
    assert_eq!(
        steps(&apply("profile.toml", somebody, "")),
        ["~ change user zoe: location: Bergen -> Oslo"],
        "the rest of the profile stayed"
    );
}

#[test]
fn the_protected_environments_of_a_file_come_to_be_as_they_are_written_there() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let server = Serving::start(folder, "", "REST listens");
    let url = server.grpc_url();
    let apply = |text: &str| {
        fs::write(folder.join("file.toml"), text).unwrap();
        run(folder, &format!("apply file.toml --grpc-url {url}"))
    };
    let example = run(folder, "apply --example");
    let example = out(&example);
    assert!(apply(example).status.success());

    let title = "protected environment production of acme/shop/web";
    let head = "[[protected_environments]]\nin = \"acme/shop/web\"\nname = \"production\"\n";
    let levels = "deploy_access_levels = [{ user = \"Deploy-Bot\" }, { role = \"maintainer\" }]\n";
    let rules = "approval_rules = [\n\
                 { group = \"acme/security-group\", required_approvals = 2 },\n\
                 { group = \"acme/qa-group\", group_inheritance = \"inherited\" },\n\
                 { role = \"reporter\", required_approvals = 3 }]\n";
    let deploy_access_levels = format!(
        "~ change {title}: deploy_access_levels: \"role maintainer, user deploy-bot\" -> \
         \"user Deploy-Bot, role maintainer\""
    );
    let approval_rules = format!(
        "~ change {title}: approval_rules: \"1 of group acme/qa-group, 2 of group acme/security-group\" -> \
         \"2 of group acme/security-group, 1 of group acme/qa-group (inherited), 3 of role reporter\""
    );
    let count = format!("~ change {title}: required_approval_count: 0 -> 2");
    let none = format!(
        "~ change {title}: approval_rules: \"2 of group acme/security-group, \
         1 of group acme/qa-group (inherited), 3 of role reporter\" -> \"\""
    );
    // What the file leaves out stays; the order counts; a rule that is not in the file goes.
    for (text, steps) in [
        (format!("{head}{levels}"), vec![deploy_access_levels]),
        (format!("{head}{levels}{rules}"), vec![approval_rules]),
        (
            format!("{head}{levels}required_approval_count = 2\napproval_rules = []\n"),
            vec![count, none],
        ),
    ] {
        let changed = apply(&text);
        let told: Vec<_> = out(&changed).lines().collect();
        assert_eq!(
            told[..told.len() - 1],
            steps.iter().map(String::as_str).collect::<Vec<_>>(),
            "{}",
            err(&changed)
        );
        assert_eq!(out(&apply(&text)), "= unchanged: 1\n");
    }

    let unreachable = "[[projects]]\npath = \"acme/shop/web\"\nallow_pipeline_trigger_approve_deployment = true\n\
                       [[protected_environments]]\nin = \"acme/shop/web\"\nname = \"canary\"\n\
                       deploy_access_levels = [{ role = \"maintainer\" }]\n\
                       approval_rules = [{ user = \"dana\", required_approvals = 5 }]\n";
    let warned = apply(unreachable);
    assert!(warned.status.success());
    assert!(
        err(&warned).starts_with(
            "warning: protected_environments[0] (protected environment canary of acme/shop/web): "
        ),
        "{}",
        err(&warned)
    );
    let again = apply(unreachable);
    assert_eq!((out(&again), err(&again)), ("= unchanged: 2\n", ""));

    let refused = apply(&format!("{head}deploy_access_levels = [{{ user = \"greta\" }}]"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        err(&refused).contains("protected_environments[0]")
            && err(&refused).contains("has no Developer access"),
        "{}",
        err(&refused)
    );
    assert_eq!(
        out(&apply(&format!("{head}{levels}"))),
        "= unchanged: 1\n",
        "a refused change changes nothing"
    );
}

#[test]
fn a_file_that_cannot_be_applied_names_the_entry_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let server = Serving::start(folder, "", "REST listens");
    let url = server.grpc_url();
    for (text, named) in [
        (
            "[[users]]\nusername = \"zoe\"\n[[members]]\nin = \"a\"\nuser = \"zoe\"\naccess = \"guest\"",
            "members[0].in",
        ),
        (
            "[[users]]\nusername = \"zoe\"\n[[users]]\nusername = \"yan\"\nstate = \"gone\"",
            "users[1].state",
        ),
        ("[[users]]\nusername = \"zoe\"\nsate = \"active\"", "line 3"),
    ] {
        fs::write(folder.join("file.toml"), text).unwrap();
        let output = run(folder, &format!("apply file.toml --grpc-url {url}"));
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains(named), "{}", err(&output));
    }
    fs::write(folder.join("file.toml"), "[[users]]\nusername = \"zoe\"").unwrap();
    let output = run(folder, &format!("apply file.toml --dry-run --grpc-url {url}"));
    assert!(
        out(&output).starts_with("+ create user zoe\n"),
        "{}",
        out(&output)
    );
}

#[test]
fn a_token_is_made_used_and_revoked() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let server = Serving::start(folder, "grpc", "gRPC listens");
    let url = server.grpc_url();
    let made = run(
        folder,
        &format!("token create --name ci --scope api --expires-in-days 3 --grpc-url {url}"),
    );
    let secret = out(&made).trim_end();
    assert!(made.status.success() && secret.len() > 20, "{}", err(&made));
    let id = err(&made).split(' ').nth(1).unwrap();

    let with_it = || {
        let mut command = gatehouse(folder, &format!("token list --grpc-url {url}"));
        command.env("GATEHOUSE_TOKEN", secret).output().unwrap()
    };
    let listed = with_it();
    assert!(
        out(&listed)
            .lines()
            .any(|line| line.starts_with(&format!("{id}   ci  "))),
        "{}",
        out(&listed)
    );
    assert!(!out(&listed).contains(secret));
    let revoked = run(folder, &format!("token revoke {id} --grpc-url {url}"));
    assert_eq!(out(&revoked), format!("token {id} is revoked\n"));
    let refused = with_it();
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("TOKEN_REVOKED"), "{}", err(&refused));
}

#[test]
fn the_healthcheck_tells_whether_a_server_answers() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let mut server = Serving::start(folder, "", "REST listens");
    let healthcheck = format!("healthcheck --grpc-url {}", server.grpc_url());
    assert!(run(folder, &healthcheck).status.success());
    assert_eq!(server.stop(), Some(0));
    let output = run(folder, &healthcheck);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).starts_with("error: cannot reach http://127.0.0.1:"),
        "{}",
        err(&output)
    );
}

#[test]
fn a_server_that_cannot_start_says_which_setting_is_in_the_way() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let server = Serving::start(folder, "", "REST listens");
    let taken = server.line("gRPC listens on ");
    for (variable, value, code, named) in [
        (
            "GATEHOUSE_GRPC_LISTEN",
            taken,
            1,
            "--grpc-listen: cannot listen on",
        ),
        ("GATEHOUSE_GRPC_LISTEN", "localhost", 2, "--grpc-listen"),
        (
            "GATEHOUSE_DATABASE_URL",
            "postgres://me:hidden@db",
            1,
            "--database-url: it must name a database",
        ),
        ("GATEHOUSE_TRUST_PROXY", "perhaps", 2, "--trust-proxy"),
    ] {
        let output = gatehouse(folder, "").env(variable, value).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{variable}");
        assert!(
            err(&output).contains(named) && !err(&output).contains("hidden"),
            "{}",
            err(&output)
        );
    }
}

#[test]
fn a_database_is_migrated_without_being_served() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    for _ in 0..2 {
        let output = run(folder, "migrate --data-dir new");
        assert_eq!(out(&output), "the database is up to date\n", "{}", err(&output));
    }
    assert!(folder.join("new/gatehouse.db").exists());
    assert!(
        !folder.join("new/root-token").exists(),
        "that is for the first start"
    );
}

#[test]
fn the_first_start_writes_a_token_for_its_owner_alone_and_the_next_one_keeps_it() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let file = folder.join("data/root-token");
    let mut first = Serving::start(folder, "grpc", "gRPC listens");
    let secret = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!first.said.contains(secret.trim_end()), "the token was printed");
    assert_eq!(first.stop(), Some(0));
    let second = Serving::start(folder, "grpc", "gRPC listens");
    assert_eq!(fs::read_to_string(&file).unwrap(), secret);
    let output = run(folder, &format!("token list --grpc-url {}", second.grpc_url()));
    assert!(output.status.success(), "{}", err(&output));
}

#[test]
fn the_merge_requests_of_a_file_come_to_be_and_what_it_leaves_out_stays() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let server = Serving::start(folder, "", "REST listens");
    let url = server.grpc_url();
    let apply = |text: &str| {
        fs::write(folder.join("file.toml"), text).unwrap();
        run(folder, &format!("apply file.toml --grpc-url {url}"))
    };
    let example = run(folder, "apply --example");
    assert!(apply(out(&example)).status.success());

    let title = "merge request !1 of acme/shop/search";
    let head = "[[merge_requests]]\nproject = \"acme/shop/search\"\niid = 1\nstate = \"merged\"\n\
                title = \"Find products by their colour\"\nsource_branch = \"colours\"\ntarget_branch = \"main\"\n";
    let unchanged = apply(head);
    assert_eq!((out(&unchanged), err(&unchanged)), ("= unchanged: 1\n", ""));
    // Of a label that stays the colour stays; the list is otherwise just what is here. Nobody is told by an empty name.
    let changes = "labels = [{ name = \"search\" }, { name = \"feature\", priority = 1 }]\nmerged_by = \"\"\n\
                   milestone = { id = 7, iid = 1, title = \"Early spring\" }\ntime_estimate = 3600\n\
                   reviewers = [\"Rosa\", \"mika\"]\n";
    let steps = [
        "merged_by: mika -> \"\"",
        "reviewers: mika -> \"rosa, mika\"",
        "labels: \"feature (color #1f75cb), search (description About finding things)\" -> \
         \"feature (color #1f75cb, priority 1), search (description About finding things)\"",
        "milestone: \"Spring (id 7, iid 1, due_date 2025-03-21)\" -> \
         \"Early spring (id 7, iid 1, due_date 2025-03-21)\"",
        "time_estimate: 0 -> 3600",
    ];
    let steps = steps.map(|step| format!("~ change {title}: {step}"));
    let text = format!("{head}{changes}");
    let changed = apply(&text);
    let told: Vec<_> = out(&changed).lines().collect();
    assert_eq!(told[..told.len() - 1], steps, "{}", err(&changed));
    assert_eq!(out(&apply(&text)), "= unchanged: 1\n");
    // The time spent is sent along with the time estimated, and neither forgets the other.
    let spent = apply(&format!("{head}total_time_spent = 60\n"));
    let line = format!("~ change {title}: total_time_spent: 0 -> 60");
    assert_eq!(out(&spent).lines().next(), Some(&*line), "{}", err(&spent));
    assert_eq!(out(&apply(&text)), "= unchanged: 1\n");
    // What was changed since is not changed back by a file that knows less.
    let old = apply(&format!(
        "{text}description = \"old\"\nupdated_at = 2025-02-03T14:05:00Z\n"
    ));
    assert_eq!(out(&old), "= unchanged: 1\n", "{}", err(&old));

    for (field, problem) in [
        (
            "author = \"zoe\"",
            "merge_requests[0].author: \"zoe\" is neither in the file nor on the server",
        ),
        ("sha = \"abc\"", "merge_request.sha is not a full commit id"),
        (
            "milestone = { id = 7, iid = 1, title = \"M\", due_date = \"soon\" }",
            "is not a day",
        ),
        ("merged_at = \"soon\"", "is not a time with its offset"),
    ] {
        let refused = apply(&format!("{head}{field}\n"));
        assert_eq!(refused.status.code(), Some(1), "{field}");
        let told = err(&refused).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(problem), "{told}");
    }
}
