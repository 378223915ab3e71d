//! Reads by gRPC on SQLite, beside a tonic service that answers the same messages from memory.

use std::{fs, path::PathBuf, process::Command, sync::Arc};

use gatehouse::pb::v1::{self as pb, deployment_service_client::DeploymentServiceClient};
use prost::Message as _;
use tonic::metadata::MetadataValue;

use super::{Bench, CALLERS, Filled, Row};
use crate::{
    Failure,
    ceiling::raw::{Driver, Raw, Work},
    grpc::{GrpcCaller, Job, connect, newest, project, with_token},
    load::Closed,
    process::Process,
    report::Target,
    rest::{self, HttpCaller},
    server::Gatehouse,
};

pub const ROWS: &[Row] = &[
    Row {
        name: "get",
        title: "gRPC GetDeployment, SQLite, 4 x 16",
        target: Target::AtLeast(0.30),
    },
    Row {
        name: "list",
        title: "gRPC ListDeployments, page of 20, SQLite, 4 x 16",
        target: Target::AtLeast(0.15),
    },
    Row {
        name: "one-process-get",
        title: "REST get, sidecar and server in one process, SQLite, 64 connections",
        target: Target::None,
    },
    Row {
        name: "one-process-list",
        title: "REST list, page of 20, sidecar and server in one process, SQLite, 64 connections",
        target: Target::None,
    },
];

/// Answers of Gatehouse, in files for those who give them from memory.
struct Answers {
    folder: PathBuf,
}

impl Answers {
    async fn take(bench: &Bench<'_>, large: &Filled, server: &Gatehouse) -> Result<Self, Failure> {
        let folder = bench.program.work().to_owned();
        let token = MetadataValue::try_from(large.place.token.as_str())?;
        let mut calls = DeploymentServiceClient::new(connect(&server.grpc).await?);
        let (deployment_id, of) = large.stock.any(0);
        let get = pb::GetDeploymentRequest {
            project: Some(project(of)),
            deployment_id,
        };
        let get = calls.get_deployment(with_token(get, &token)).await?.into_inner();
        let list = pb::ListDeploymentsRequest {
            project: Some(project(large.stock.large(0))),
            ..newest()
        };
        let list = calls
            .list_deployments(with_token(list, &token))
            .await?
            .into_inner();
        fs::write(folder.join("get.pb"), get.encode_to_vec())?;
        fs::write(folder.join("list.pb"), list.encode_to_vec())?;
        for (name, job) in jobs(large) {
            let body = rest::body(&server.rest, &large.place.token, &job).await?;
            fs::write(folder.join(format!("{name}.json")), body)?;
        }
        Ok(Self { folder })
    }

    /// Starts a service that gives them.
    fn serve(&self, what: &str, kind: &str, line: &str) -> Result<(Process, String), Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(what);
        for name in ["get", "list"] {
            command
                .arg(format!("--{name}"))
                .arg(self.folder.join(format!("{name}.{kind}")));
        }
        let (process, mut told) = Process::listening(&mut command, &[line])?;
        Ok((process, told.remove(0)))
    }
}

fn jobs(large: &Filled) -> [(&'static str, rest::Job); 2] {
    [
        ("get", rest::Job::Get(Arc::clone(&large.stock))),
        (
            "list",
            rest::Job::List(Arc::clone(&large.stock), "pagination=keyset&sort=desc"),
        ),
    ]
}

pub async fn measure(bench: &mut Bench<'_>, large: &Filled) -> Result<(), Failure> {
    if !bench.wants_any(&[ROWS]) {
        return Ok(());
    }
    let server = Gatehouse::both(&bench.program, &large.place)?;
    let answers = Answers::take(bench, large, &server).await?;
    let (bare, address) = answers.serve("bare-grpc", "pb", "gRPC listens on ")?;
    let token = &large.place.token;
    let grpc = [
        Job::Get(Arc::clone(&large.stock)),
        Job::List(newest(), Arc::clone(&large.stock)),
    ];
    for ((row, job), work) in ROWS[..2].iter().zip(&grpc).zip([Work::Get, Work::List]) {
        let contenders = async {
            let ours = GrpcCaller::many(&server.grpc, token, CALLERS, job).await?;
            let theirs = GrpcCaller::many(&address, token, CALLERS, job).await?;
            Ok(vec![
                Closed::new("Gatehouse", ours, &[server.id()]).boxed(),
                Closed::new("bare tonic, same answers", theirs, &[bare.id()]).boxed(),
                // For the reader: what the statements alone can do.
                Raw::reads(&large.place.file(), work, Driver::Sqlx)?,
                Raw::reads(&large.place.file(), work, Driver::Rusqlite)?,
            ])
        };
        bench.compare(row, contenders).await;
    }
    let (bare, address) = answers.serve("bare-http", "json", "REST listens on http://")?;
    for (row, (_, job)) in ROWS[2..].iter().zip(jobs(large)) {
        let contenders = async {
            let ours = HttpCaller::many(&server.rest, token, 64, &job).await?;
            // It always gives the same deployment, so its answers are not looked at.
            let theirs = HttpCaller::unchecked(&address, token, 64, &job);
            Ok(vec![
                Closed::new("Gatehouse", ours, &[server.id()]).boxed(),
                Closed::new("bare axum, same answers", theirs, &[bare.id()]).boxed(),
            ])
        };
        bench.compare(row, contenders).await;
    }
    Ok(())
}
