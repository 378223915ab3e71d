//! The port for operations: metrics and readiness.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use crate::support::{
    dial, eventually, first_project,
    rest::{Ask, Reply, send},
};
use gatehouse::{first_start::ROOT_TOKEN_FILE, metrics::METRICS};

/// The program with every port, killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks a port that is no part of the API.
async fn ask(address: &str, path: &str) -> Reply {
    let target = format!("/{path}");
    send(address.parse().unwrap(), &Ask::new("GET", &target)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_is_counted_and_every_metric_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
        .args(["--grpc-listen", "127.0.0.1:0", "--rest-listen", "127.0.0.1:0"])
        .args([
            "--metrics-listen",
            "127.0.0.1:0",
            "--log-level",
            "error",
            "--data-dir",
        ])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let server = Server(child);
    let (mut grpc, mut metrics) = (String::new(), String::new());
    while grpc.is_empty() || metrics.is_empty() {
        let line = lines.next().unwrap().unwrap();
        let end = line
            .rsplit("://")
            .next()
            .unwrap()
            .rsplit(' ')
            .next()
            .unwrap()
            .to_owned();
        if line.starts_with("gRPC listens") {
            grpc = end;
        } else if line.to_lowercase().starts_with("metrics listen") {
            metrics = end.split('/').next().unwrap().to_owned();
        }
    }
    let root = std::fs::read_to_string(folder.path().join(ROOT_TOKEN_FILE)).unwrap();
    let client = dial(&format!("http://{grpc}"), root.trim());
    first_project(&client).await;

    eventually("it is ready", async || {
        ask(&metrics, "readyz").await.status == 200
    })
    .await;
    assert_eq!(ask(&metrics, "livez").await.status, 200);
    let told = ask(&metrics, "metrics").await;
    assert_eq!(told.status, 200);
    let text = told.told().1.to_owned();
    for name in [
        "gatehouse_build_info{",
        "gatehouse_grpc_requests_total{service=\"gatehouse.v1.DirectoryService\",method=\"CreateProject\",code=\"OK\"} 1",
        "gatehouse_store_transactions_total{outcome=\"committed\"}",
    ] {
        assert!(text.contains(name), "{name} is missing in:\n{text}");
    }
    for metric in METRICS {
        if text.contains(&format!("\n{}", metric.name)) {
            let kind = format!("# TYPE {} {}", metric.name, metric.kind.name());
            assert!(text.contains(&kind), "{kind}");
            assert!(
                text.contains(&format!("# HELP {} ", metric.name)),
                "{}",
                metric.name
            );
        }
    }
    drop(server);
}
