//! `gatehouse demo`: a made-up organisation with a history, for as long as the command runs.
//!
//! It is made the way everybody else would make it, by calls over gRPC; only the clock is the demo's own.

mod clock;
mod gate;
mod guide;
mod history;
mod repository;

use std::{collections::HashMap, io, path::Path, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;
use tokio::task;

use self::{
    clock::DemoClock,
    gate::{Held, QUINN, SARA, SVEN},
    guide::{Account, Guide},
    history::{Recorded, Requested, SEARCH, WEB},
    repository::Made,
};
use super::{
    Error, apply,
    client::{Attempt as _, Server, dial, project, user},
    console,
    serve::{self, Listening, Servers},
};
use crate::{
    clock::{Clock as _, SystemClock},
    config::{
        ClientOptions, GrpcOptions, GrpcUrl, RestOptions, Secret, StoreOptions, TargetOptions, TimeOptions,
    },
    first_start::ROOT_TOKEN_FILE,
    pb::v1::{
        AttachRepositoryRequest, CreateDeploymentRequest, CreateTokenRequest, DeploymentStatus,
        MergeRequestReport, MergeRequestState, ProjectRef, TokenScope, UpdateDeploymentStatusRequest,
        UpsertMergeRequestRequest,
    },
    repository::Repositories,
};

/// The options of `gatehouse demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gatehouse demo
  gatehouse demo --rest-listen 127.0.0.1:0 --grpc-listen 127.0.0.1:0   on free ports")]
pub struct Options {
    #[command(flatten)]
    grpc: GrpcOptions,
    #[command(flatten)]
    rest: RestOptions,
    #[command(flatten)]
    time: TimeOptions,
}

/// The users of the organisation and what they are; `root` comes with the store.
const PEOPLE: [(&str, &str); 11] = [
    ("root", "administrator"),
    ("olive", "owner of acme"),
    ("mika", "maintainer of acme/shop"),
    ("dana", "developer of acme/shop"),
    (DEPLOYER, "developer of acme/shop, a machine"),
    ("rosa", "reporter of acme/shop, by way of acme/support"),
    ("pavel", "planner of acme/shop"),
    ("greta", "guest of acme/shop/web"),
    (QUINN, "member of acme/qa-group"),
    (SARA, "member of acme/security-group"),
    (SVEN, "member of both"),
];

/// Whose token the printed calls carry: of those who may do all that is documented, the one with the least power.
const CALLER: &str = "mika";

/// Who deploys.
const DEPLOYER: &str = "deploy-bot";

/// Serves the demo until told to stop.
pub async fn run(options: Options) -> Result<(), Error> {
    let stop = serve::stop_signal()?;
    let grpc = serve::bind_grpc(&options.grpc).await?;
    let rest = serve::bind_rest(&options.rest).await?;
    let (grpc_address, rest_address) = (grpc.address, rest.address);
    let folder = TempDir::with_prefix("gatehouse-demo-").map_err(|source| Error::System {
        action: "make a temporary folder".to_owned(),
        source,
    })?;

    let (repositories, made) = forge(&folder.path().join("repositories")).await?;
    let now = SystemClock.now();
    let history = history::up_to(now, &made);
    let beginning = history.first().map_or(now, |first| first.created_at);
    let clock = Arc::new(DemoClock::standing_at(
        beginning - TimeDelta::days(1),
        Arc::new(SystemClock),
    ));
    let store = StoreOptions::within(folder.path());
    let (app, _) = serve::open_by(&store, Arc::<DemoClock>::clone(&clock), repositories).await?;

    let grpc_url = GrpcUrl::from(serve::within_reach(grpc_address));
    let mut servers = Servers::new(options.time.drain_timeout);
    servers.add_rest(
        rest,
        &options.rest,
        std::slice::from_ref(&grpc_url),
        &options.time,
    );
    servers.add_grpc(grpc, app, &options.grpc, &options.time);

    let root = ClientOptions {
        target: TargetOptions { grpc_url },
        token_file: Some(folder.path().join(ROOT_TOKEN_FILE)),
        data_dir: folder.path().to_owned(),
        request_timeout: options.time.request_timeout,
    };
    let (accounts, held) = tokio::select! {
        done = make(&root, &clock, &history, now, &made) => done?,
        () = stop.cancelled() => return servers.run(&stop).await,
    };

    serve::announce(&[Listening::Grpc(grpc_address), Listening::Rest(rest_address)]);
    console::say("");
    guide::show_accounts(&accounts);
    console::say(format_args!(
        "\nProject 1 is {WEB}, project 2 {SEARCH}. Calls to paste, as {CALLER}:\n"
    ));
    let guide = Guide {
        rest: serve::within_reach(rest_address),
        grpc: serve::within_reach(grpc_address),
        accounts: &accounts,
        sha: &made.main,
    };
    console::say(guide.calls());
    console::say(format_args!("\n{}", guide.gate(held)));
    console::say(format_args!("\n{}", guide.shipped(held)));
    console::say("\nEverything is gone when this command ends (Ctrl-C).");
    servers.run(&stop).await
}

/// Makes the repository of the first project, in a folder for such.
async fn forge(root: &Path) -> Result<(Repositories, Made), Error> {
    let folder = root.to_owned();
    let made = task::spawn_blocking(move || {
        let made = repository::make(&folder)?;
        Ok((Repositories::below(&folder)?, made))
    });
    let made: io::Result<_> = made.await.map_err(io::Error::other).flatten();
    made.map_err(|source| Error::System {
        action: "make a git repository".to_owned(),
        source,
    })
}

/// Makes the organisation, its history and what waits at the gate; the clock goes with the machine's afterwards.
async fn make(
    root: &ClientOptions,
    clock: &DemoClock,
    history: &[Recorded],
    now: DateTime<Utc>,
    made: &Made,
) -> Result<(Vec<Account>, Held), Error> {
    let channel = dial(&root.target.grpc_url, root.request_timeout).await?;
    let root_token = root.token()?;
    let server = Server::over(channel.clone(), &root_token)?;
    // What is in the history was deployed before there was a gate.
    apply::apply_quietly(&server, apply::file::EXAMPLE, apply::Extent::Unprotected).await?;

    let mut accounts = Vec::with_capacity(PEOPLE.len());
    let mut callers = HashMap::with_capacity(PEOPLE.len());
    for (username, role) in PEOPLE {
        let token = if username == "root" {
            root_token.clone()
        } else {
            make_token(&server, username).await?
        };
        callers.insert(username, Server::over(channel.clone(), &token)?);
        accounts.push(Account {
            username,
            role,
            token,
        });
    }
    attach(&server).await?;
    let forge = callers.get(CALLER).unwrap_or(&server);
    let mut requests = history::merge_requests(now, made).into_iter().peekable();
    for deployment in history {
        while let Some(request) = requests.next_if(|request| request.ended.1 <= deployment.created_at) {
            report(forge, clock, request).await?;
        }
        let caller = callers.get(deployment.by).unwrap_or(&server);
        record(caller, clock, deployment).await?;
    }
    for request in requests {
        report(forge, clock, request).await?;
    }
    let held = gate::hold(&server, &callers, clock, now, made).await?;
    clock.follow_machine();
    Ok((accounts, held))
}

async fn make_token(root: &Server, username: &str) -> Result<Secret, Error> {
    let request = CreateTokenRequest {
        user: Some(user(username)),
        name: "demo".to_owned(),
        scopes: vec![TokenScope::Api.into()],
        ..Default::default()
    };
    let answer = root.tokens().create_token(request).await;
    let answer = answer.attempt(|| format!("create a token for {username}"))?;
    Ok(Secret::new(answer.into_inner().secret))
}

/// Attaches the repository to its project.
async fn attach(root: &Server) -> Result<(), Error> {
    let request = AttachRepositoryRequest {
        project: Some(project(WEB)),
        path: repository::PATH.to_owned(),
        ..Default::default()
    };
    let answer = root.repositories().attach_repository(request).await;
    answer
        .attempt(|| format!("attach a repository to {WEB}"))
        .map(drop)
}

/// Reports a merge request as it was in the end.
async fn report(forge: &Server, clock: &DemoClock, requested: Requested) -> Result<(), Error> {
    let (state, at) = requested.ended;
    clock.tell(at);
    let at = Some(convert(at));
    let merged = state == MergeRequestState::Merged;
    let report = MergeRequestReport {
        title: requested.title.to_owned(),
        state: state.into(),
        created_at: Some(convert(requested.opened_at)),
        updated_at: at,
        merged_by: merged.then(|| user(CALLER)),
        merged_at: at.filter(|_| merged),
        closed_by: (!merged).then(|| user(requested.author)),
        closed_at: at.filter(|_| !merged),
        target_branch: "main".to_owned(),
        source_branch: requested.branch.to_owned(),
        author: Some(user(requested.author)),
        sha: requested.traces.head,
        merge_commit_sha: requested.traces.merge,
        squash_commit_sha: requested.traces.squash,
        cherry_pick_shas: requested.traces.picks,
        ..Default::default()
    };
    let request = UpsertMergeRequestRequest {
        project: Some(project(WEB)),
        iid: requested.iid,
        merge_request: Some(report),
        ..Default::default()
    };
    let answer = forge.merge_requests().upsert_merge_request(request).await;
    answer
        .attempt(|| format!("report merge request {} of {WEB}", requested.iid))
        .map(drop)
}

/// A time as a message's field; whole seconds are enough for a tale.
fn convert(time: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: 0,
    }
}

/// Records a deployment and how it ended, each at its time; its id.
async fn record(caller: &Server, clock: &DemoClock, recorded: &Recorded) -> Result<i64, Error> {
    let project = Some(project(recorded.project));
    let attempt = || {
        format!(
            "record a deployment to {} of {}",
            recorded.environment, recorded.project
        )
    };
    clock.tell(recorded.created_at);
    let request = CreateDeploymentRequest {
        project: project.clone(),
        environment: recorded.environment.clone(),
        sha: recorded.sha.clone(),
        r#ref: recorded.git_ref.clone(),
        tag: recorded.tag,
        status: recorded.began.into(),
        ..Default::default()
    };
    let answer = caller
        .deployments()
        .create_deployment(request)
        .await
        .attempt(attempt)?
        .into_inner();
    let deployment_id = answer.deployment.unwrap_or_default().id;
    if let Some((status, at)) = recorded.ended {
        clock.tell(at);
        finish(caller, project, deployment_id, status)
            .await
            .attempt(attempt)?;
    }
    Ok(deployment_id)
}

async fn finish(
    caller: &Server,
    project: Option<ProjectRef>,
    deployment_id: i64,
    status: DeploymentStatus,
) -> Result<(), tonic::Status> {
    let request = UpdateDeploymentStatusRequest {
        project,
        deployment_id,
        status: status.into(),
        ..Default::default()
    };
    caller
        .deployments()
        .update_deployment_status(request)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_in_the_organisation_has_an_account() {
        let people: Vec<_> = PEOPLE.iter().map(|(username, _)| *username).collect();
        for line in apply::file::EXAMPLE.lines() {
            if let Some(username) = line.strip_prefix("username = ") {
                assert!(people.contains(&username.trim_matches('"')), "{username}");
            }
        }
        let now = SystemClock.now();
        let made = Made::default();
        let recorded = history::up_to(now, &made);
        for deployment in recorded.into_iter().chain(history::at_the_gate(now, &made)) {
            assert!(people.contains(&deployment.by), "{}", deployment.by);
        }
    }
}
