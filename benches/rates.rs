//! How fast Gatehouse answers, beside a bare tonic service that answers the same messages from memory, in one run.
//!
//! `cargo bench --bench rates` starts each server as a process of its own, drives one after the other in turn, round by
//! round, and prints the median rates and their ratios. Rates tell about the machine; ratios about Gatehouse.

#![expect(clippy::print_stdout, reason = "a report is printed")]

use std::{
    env,
    error::Error,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use gatehouse::{
    first_start::ROOT_TOKEN_FILE,
    pb::v1::{
        self as pb,
        deployment_service_client::DeploymentServiceClient,
        deployment_service_server::{DeploymentService, DeploymentServiceServer},
        directory_service_client::DirectoryServiceClient,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tonic::{
    Request, Response, Status,
    metadata::MetadataValue,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

type Failure = Box<dyn Error + Send + Sync>;

const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 16;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1_500);
const PROJECTS: i64 = 100;
const DEPLOYMENTS: u64 = 4_000;
const ECHO: &str = "--answer-from-memory";

/// A service that does nothing: the ceiling.
#[derive(Clone)]
struct Canned(pb::Deployment);

#[tonic::async_trait]
impl DeploymentService for Canned {
    async fn get_deployment_changes(
        &self,
        _: Request<pb::GetDeploymentChangesRequest>,
    ) -> Result<Response<pb::GetDeploymentChangesResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn create_deployment(
        &self,
        _: Request<pb::CreateDeploymentRequest>,
    ) -> Result<Response<pb::CreateDeploymentResponse>, Status> {
        Ok(Response::new(pb::CreateDeploymentResponse {
            deployment: Some(self.0.clone()),
            ..Default::default()
        }))
    }

    async fn get_deployment(
        &self,
        _: Request<pb::GetDeploymentRequest>,
    ) -> Result<Response<pb::GetDeploymentResponse>, Status> {
        Ok(Response::new(pb::GetDeploymentResponse {
            deployment: Some(self.0.clone()),
            ..Default::default()
        }))
    }

    async fn list_deployments(
        &self,
        _: Request<pb::ListDeploymentsRequest>,
    ) -> Result<Response<pb::ListDeploymentsResponse>, Status> {
        let deployments = vec![self.0.clone(); 20];
        Ok(Response::new(pb::ListDeploymentsResponse {
            deployments,
            ..Default::default()
        }))
    }

    async fn update_deployment_status(
        &self,
        _: Request<pb::UpdateDeploymentStatusRequest>,
    ) -> Result<Response<pb::UpdateDeploymentStatusResponse>, Status> {
        Ok(Response::new(pb::UpdateDeploymentStatusResponse {
            deployment: Some(self.0.clone()),
            ..Default::default()
        }))
    }

    async fn delete_deployment(
        &self,
        _: Request<pb::DeleteDeploymentRequest>,
    ) -> Result<Response<pb::DeleteDeploymentResponse>, Status> {
        Ok(Response::new(pb::DeleteDeploymentResponse {}))
    }
}

/// Serves canned answers until killed.
async fn answer_from_memory() -> Result<(), Failure> {
    let now = prost_types::Timestamp {
        seconds: 1_470_901_000,
        nanos: 222_000_000,
    };
    let deployment = pb::Deployment {
        id: 42,
        iid: 2,
        project_id: 1,
        environment: Some(pb::EnvironmentSummary {
            id: 9,
            name: "production".into(),
            slug: "production".into(),
            external_url: Some("https://about.example.com".into()),
            created_at: Some(now),
            updated_at: Some(now),
        }),
        r#ref: "main".into(),
        tag: false,
        sha: "a91957a858320c0e17f3a0eca7cfacbff50ea29a".into(),
        user: Some(pb::UserSummary {
            id: 1,
            username: "root".into(),
            name: "Administrator".into(),
            state: 1,
            ..Default::default()
        }),
        status: 3,
        created_at: Some(now),
        updated_at: Some(now),
        finished_at: Some(now),
        etag: "\"42-1\"".into(),
        ..Default::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("gRPC listens on {}", listener.local_addr()?);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(DeploymentServiceServer::new(Canned(deployment)))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

/// A server process; killed when dropped.
struct Process {
    child: Child,
    grpc: String,
    rest: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts a server that says where it listens, in so many lines.
    fn start(command: &mut Command, lines: usize) -> Result<Self, Failure> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let mut this = Self {
            child,
            grpc: String::new(),
            rest: String::new(),
        };
        let mut seen = 0;
        while seen < lines {
            let line = output.next().ok_or("the server ended")??;
            if let Some(address) = line.strip_prefix("gRPC listens on ") {
                address.clone_into(&mut this.grpc);
                seen += 1;
            } else if let Some(url) = line.strip_prefix("REST listens on http://") {
                url.split('/')
                    .next()
                    .unwrap_or_default()
                    .clone_into(&mut this.rest);
                seen += 1;
            }
        }
        std::thread::spawn(move || output.for_each(drop));
        Ok(this)
    }

    async fn channel(&self) -> Result<Channel, Failure> {
        Ok(Endpoint::try_from(format!("http://{}", self.grpc))?
            .tcp_nodelay(true)
            .connect()
            .await?)
    }
}

fn with_token<T>(message: T, token: &str) -> Result<Request<T>, Failure> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("private-token", MetadataValue::try_from(token)?);
    Ok(request)
}

fn project(id: i64) -> pb::ProjectRef {
    pb::ProjectRef {
        by: Some(pb::project_ref::By::Id(id)),
    }
}

fn creation(number: u64) -> pb::CreateDeploymentRequest {
    pb::CreateDeploymentRequest {
        project: Some(project(1 + i64::try_from(number).unwrap_or_default() % PROJECTS)),
        environment: "production".into(),
        sha: format!("{number:040x}"),
        r#ref: "main".into(),
        tag: false,
        status: pb::DeploymentStatus::Success.into(),
        ..Default::default()
    }
}

/// Fills the store: projects 1 to 100, and deployments spread over them.
async fn fill(server: &Process, token: &str) -> Result<(), Failure> {
    let channel = server.channel().await?;
    let mut directory = DirectoryServiceClient::new(channel.clone());
    let group = pb::CreateGroupRequest {
        path: "acme".into(),
        ..Default::default()
    };
    directory.create_group(with_token(group, token)?).await?;
    let acme = pb::GroupRef {
        by: Some(pb::group_ref::By::Path("acme".into())),
    };
    for number in 1..=PROJECTS {
        let request = pb::CreateProjectRequest {
            group: Some(acme.clone()),
            path: format!("p{number}"),
            ..Default::default()
        };
        directory.create_project(with_token(request, token)?).await?;
    }
    let mut deployments = DeploymentServiceClient::new(channel);
    for number in 0..DEPLOYMENTS {
        deployments
            .create_deployment(with_token(creation(number), token)?)
            .await?;
    }
    Ok(())
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Get,
    List,
    Create,
}

/// Counts how often `call` is answered in a round by one connection's callers.
async fn grpc(
    channel: Channel,
    call: Call,
    token: Arc<str>,
    seed: u64,
    until: Instant,
) -> Result<u64, Failure> {
    let mut client = DeploymentServiceClient::new(channel);
    let mut answered = 0;
    while Instant::now() < until {
        let number = seed + answered;
        match call {
            Call::Get => {
                let id = 1 + i64::try_from(number * 7919 % DEPLOYMENTS)?;
                let project = Some(project(1 + (id - 1) % PROJECTS));
                client
                    .get_deployment(with_token(
                        pb::GetDeploymentRequest {
                            project,
                            deployment_id: id,
                        },
                        &token,
                    )?)
                    .await?;
            }
            Call::List => {
                let request = pb::ListDeploymentsRequest {
                    project: Some(project(1 + i64::try_from(number)? % PROJECTS)),
                    ..Default::default()
                };
                client.list_deployments(with_token(request, &token)?).await?;
            }
            Call::Create => {
                client
                    .create_deployment(with_token(creation(number), &token)?)
                    .await?;
            }
        }
        answered += 1;
    }
    Ok(answered)
}

/// The same over REST, on a connection of its own.
async fn rest(
    address: String,
    call: Call,
    token: Arc<str>,
    seed: u64,
    until: Instant,
) -> Result<u64, Failure> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let mut answered = 0;
    let mut buffer = vec![0; 64 * 1024];
    while Instant::now() < until {
        let number = seed + answered;
        let id = 1 + number * 7919 % DEPLOYMENTS;
        let project = 1 + (id - 1) % PROJECTS.unsigned_abs();
        let line = match call {
            Call::Get => format!("GET /api/v4/projects/{project}/deployments/{id} HTTP/1.1\r\n"),
            Call::List => format!("GET /api/v4/projects/{project}/deployments HTTP/1.1\r\n"),
            Call::Create => format!("POST /api/v4/projects/{project}/deployments HTTP/1.1\r\n"),
        };
        let body = match call {
            Call::Create => {
                format!("environment=production&sha={number:040x}&ref=main&tag=false&status=success")
            }
            Call::Get | Call::List => String::new(),
        };
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let request = format!(
            "{line}Host: {address}\r\nPRIVATE-TOKEN: {token}\r\n{kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let status = answer(&mut stream, &mut buffer).await?;
        if !(200..300).contains(&status) {
            return Err(format!("{call:?} answered {status}").into());
        }
        answered += 1;
    }
    Ok(answered)
}

/// Reads one answer with its body and returns its status.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<u16, Failure> {
    let mut filled = 0;
    loop {
        filled += stream.read(&mut buffer[filled..]).await?;
        let Some(end) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&buffer[..end])?.to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .ok_or("no length")?;
        let total = end + 4 + length.parse::<usize>()?;
        while filled < total {
            filled += stream.read(&mut buffer[filled..]).await?;
        }
        return Ok(head.split(' ').nth(1).ok_or("no status")?.parse()?);
    }
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Bare,
    Grpc,
    Rest,
}

/// Drives a contender for one round with 4 x 16 callers and returns its rate.
async fn drive(
    who: Contender,
    server: &Process,
    call: Call,
    token: &Arc<str>,
    seed: u64,
) -> Result<f64, Failure> {
    let until = Instant::now() + ROUND;
    let mut callers = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let channel = server.channel().await?;
        for caller in 0..IN_FLIGHT {
            let seed = seed + u64::try_from(connection * IN_FLIGHT + caller)? * 1_000_000;
            match who {
                Contender::Rest => {
                    callers.spawn(rest(server.rest.clone(), call, Arc::clone(token), seed, until))
                }
                _ => callers.spawn(grpc(channel.clone(), call, Arc::clone(token), seed, until)),
            };
        }
    }
    let mut answered = 0u32;
    while let Some(count) = callers.join_next().await {
        answered += u32::try_from(count??)?;
    }
    Ok(f64::from(answered) / ROUND.as_secs_f64())
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

async fn compare() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let bare = Process::start(Command::new(env::current_exe()?).arg(ECHO), 1)?;
    let gatehouse = Process::start(
        Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args([
                "--grpc-listen",
                "127.0.0.1:0",
                "--rest-listen",
                "127.0.0.1:0",
                "--log-level",
                "info",
                "--data-dir",
            ])
            .arg(folder.path())
            .stderr(Stdio::null()),
        2,
    )?;
    let token: Arc<str> = std::fs::read_to_string(folder.path().join(ROOT_TOKEN_FILE))?
        .trim()
        .into();
    fill(&gatehouse, &token).await?;
    println!(
        "{CONNECTIONS} connections x {IN_FLIGHT} callers, median of {ROUNDS} rounds of {ROUND:?}, answers per second"
    );
    println!(
        "{:<8}{:>12}{:>14}{:>8}{:>14}{:>8}",
        "", "bare tonic", "gRPC", "ratio", "REST", "ratio"
    );
    let mut seed = 1_000_000_000_000;
    for call in [Call::Get, Call::List, Call::Create] {
        let mut rates: [Vec<f64>; 3] = Default::default();
        for _ in 0..ROUNDS {
            for (place, who) in [Contender::Bare, Contender::Grpc, Contender::Rest]
                .into_iter()
                .enumerate()
            {
                let server = if who == Contender::Bare { &bare } else { &gatehouse };
                seed += 1_000_000_000;
                rates[place].push(drive(who, server, call, &token, seed).await?);
            }
        }
        let [bare, grpc, rest] = rates.map(|mut rates| median(&mut rates));
        let name = format!("{call:?}").to_lowercase();
        println!(
            "{name:<8}{bare:>12.0}{grpc:>14.0}{:>8.3}{rest:>14.0}{:>8.3}",
            grpc / bare,
            rest / bare
        );
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    if env::args().any(|argument| argument == ECHO) {
        runtime.block_on(answer_from_memory())
    } else {
        runtime.block_on(compare())
    }
}
