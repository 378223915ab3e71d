//! `gatehouse`, `gatehouse grpc`, `gatehouse rest`: the servers, from binding their addresses to their orderly end.

use std::{
    fs::DirBuilder,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Cause, Error, console};
use crate::{
    app::App,
    clock::{Clock, SystemClock},
    config::{
        self, GrpcUrl, OperationsOptions, RepositoryOptions, StoreOptions, TargetsOptions, TimeOptions,
        TraceOptions,
    },
    health::Readiness,
    metrics::{self, Recorder},
    operations::{self, Subject},
    repository::Repositories,
    rest, server,
    store::Location,
    telemetry::Telemetry,
};

/// The options of `gatehouse`.
#[derive(Debug, clap::Args)]
pub struct Both {
    #[expect(missing_docs, reason = "the group describes itself")]
    #[command(flatten)]
    pub store: StoreOptions,
    #[expect(missing_docs, reason = "the group describes itself")]
    #[command(flatten)]
    pub repositories: config::RepositoryOptions,
    #[expect(missing_docs, reason = "the group describes itself")]
    #[command(flatten)]
    pub grpc: config::GrpcOptions,
    #[expect(missing_docs, reason = "the group describes itself")]
    #[command(flatten)]
    pub rest: config::RestOptions,
    #[expect(missing_docs, reason = "the group describes itself")]
    #[command(flatten)]
    pub operations: OperationsOptions,
    #[expect(missing_docs, reason = "the group describes itself")]
    #[command(flatten)]
    pub time: TimeOptions,
}

/// The options of `gatehouse grpc`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gatehouse grpc --data-dir /var/lib/gatehouse --grpc-listen 0.0.0.0:50051
  grpcurl -plaintext -H \"private-token: $(cat /var/lib/gatehouse/root-token)\" \\
      127.0.0.1:50051 gatehouse.v1.TokenService/WhoAmI")]
pub struct GrpcAlone {
    #[command(flatten)]
    store: StoreOptions,
    #[command(flatten)]
    repositories: config::RepositoryOptions,
    #[command(flatten)]
    grpc: config::GrpcOptions,
    #[command(flatten)]
    operations: OperationsOptions,
    #[command(flatten)]
    time: TimeOptions,
}

impl GrpcAlone {
    /// Where traces go.
    pub fn traces(&self) -> &TraceOptions {
        &self.operations.traces
    }
}

/// The options of `gatehouse rest`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example, behind a proxy that ends TLS:
  gatehouse rest --grpc-url http://10.0.0.5:50051 --rest-listen 0.0.0.0:8080 \\
      --external-url https://gatehouse.example.com")]
pub struct RestAlone {
    #[command(flatten)]
    targets: TargetsOptions,
    #[command(flatten)]
    rest: config::RestOptions,
    #[command(flatten)]
    operations: OperationsOptions,
    #[command(flatten)]
    time: TimeOptions,
}

impl RestAlone {
    /// Where traces go.
    pub fn traces(&self) -> &TraceOptions {
        &self.operations.traces
    }
}

/// Serves gRPC, and REST in front of it, until told to stop.
pub async fn both(options: Both, telemetry: Telemetry) -> Result<(), Error> {
    let stop = stop_signal()?;
    let grpc = bind_grpc(&options.grpc).await?;
    let rest = bind_rest(&options.rest).await?;
    let operations = Operations::bind(&options.operations).await?;
    let app = open(&options.store, &options.repositories).await?;
    info!(?options, "starting");

    let mut servers = Servers::new(options.time.drain_timeout).with(telemetry);
    let grpc_url = GrpcUrl::from(within_reach(grpc.address));
    announce(&[Listening::Grpc(grpc.address), Listening::Rest(rest.address)]);
    servers.add_rest(rest, &options.rest, &[grpc_url], &options.time);
    let readiness = servers.add_grpc(grpc, app.clone(), &options.grpc, &options.time);
    if let Some(operations) = operations {
        servers.add_operations(operations, Subject::Server { app, readiness }, &stop);
    }
    servers.run(&stop).await
}

/// Serves gRPC until told to stop.
pub async fn grpc(options: GrpcAlone, telemetry: Telemetry) -> Result<(), Error> {
    let stop = stop_signal()?;
    let grpc = bind_grpc(&options.grpc).await?;
    let operations = Operations::bind(&options.operations).await?;
    let app = open(&options.store, &options.repositories).await?;
    info!(?options, "starting");

    let mut servers = Servers::new(options.time.drain_timeout).with(telemetry);
    announce(&[Listening::Grpc(grpc.address)]);
    let readiness = servers.add_grpc(grpc, app.clone(), &options.grpc, &options.time);
    if let Some(operations) = operations {
        servers.add_operations(operations, Subject::Server { app, readiness }, &stop);
    }
    servers.run(&stop).await
}

/// Serves REST until told to stop.
pub async fn rest(options: RestAlone, telemetry: Telemetry) -> Result<(), Error> {
    let stop = stop_signal()?;
    let rest = bind_rest(&options.rest).await?;
    let operations = Operations::bind(&options.operations).await?;
    info!(?options, "starting");

    let mut servers = Servers::new(options.time.drain_timeout).with(telemetry);
    let grpc_urls = &options.targets.grpc_url;
    announce(&[Listening::Rest(rest.address)]);
    servers.add_rest(rest, &options.rest, grpc_urls, &options.time);
    if let Some(operations) = operations {
        let urls: Vec<String> = grpc_urls.iter().map(ToString::to_string).collect();
        let subject = Subject::sidecar(&urls).map_err(|error| Error::Server {
            server: OPERATIONS,
            source: error.into(),
        })?;
        servers.add_operations(operations, subject, &stop);
    }
    servers.run(&stop).await
}

/// Opens the store by the machine's clock, and tells where a new one keeps its administrator's token.
pub async fn open(store: &StoreOptions, repositories: &RepositoryOptions) -> Result<App, Error> {
    let repositories = repositories.repositories()?;
    let (app, root_token) = open_by(store, Arc::new(SystemClock), repositories).await?;
    if let Some(root_token) = root_token {
        console::say(format_args!(
            "the token of the administrator root is in {}",
            root_token.display()
        ));
    }
    Ok(app)
}

/// Opens the store by any clock; answers also the file with the administrator's token, if it was written now.
pub async fn open_by(
    store: &StoreOptions,
    clock: Arc<dyn Clock>,
    repositories: Repositories,
) -> Result<(App, Option<PathBuf>), Error> {
    let location = prepare(store)?;
    server::open_app(&location, &store.root_token()?, clock, repositories)
        .await
        .map_err(|error| Error::Store(error.into()))
}

/// Makes the data folder, for nobody else's eyes, if anything is kept there, and returns where the store is.
pub fn prepare(store: &StoreOptions) -> Result<Location, Error> {
    let location = store.location()?;
    if store.keeps_files() {
        make_folder(&store.data_dir)?;
    }
    Ok(location)
}

/// Makes a folder for nobody else's eyes.
pub fn make_folder(folder: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| Error::System {
            action: format!("make the folder {}", folder.display()),
            source,
        })
}

/// An address that is ours, before anything is served there.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    /// With the real port where port 0 was asked for.
    pub address: SocketAddr,
}

/// Takes the address of the gRPC server.
pub async fn bind_grpc(options: &config::GrpcOptions) -> Result<Bound, Error> {
    bind("--grpc-listen", options.grpc_listen).await
}

/// Takes the address of the REST sidecar.
pub async fn bind_rest(options: &config::RestOptions) -> Result<Bound, Error> {
    bind("--rest-listen", options.rest_listen).await
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<Bound, Error> {
    let refused = |source| Error::Listen {
        setting,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok(Bound { listener, address })
}

/// What errors call the port for operations.
const OPERATIONS: &str = "port for operations";

/// The port for operations, and what is told there from now on.
struct Operations {
    bound: Bound,
    recorder: Recorder,
}

impl Operations {
    /// Takes the address and begins to keep metrics, if they are asked for.
    async fn bind(options: &OperationsOptions) -> Result<Option<Self>, Error> {
        let Some(address) = options.metrics_listen else {
            return Ok(None);
        };
        let bound = bind("--metrics-listen", address).await?;
        let recorder = metrics::install().map_err(|error| Error::Server {
            server: OPERATIONS,
            source: error.into(),
        })?;
        Ok(Some(Self { bound, recorder }))
    }
}

/// The address by which this machine reaches its own listener: "any address" is none that can be called.
pub fn within_reach(listening: SocketAddr) -> SocketAddr {
    let address = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        specific => specific,
    };
    SocketAddr::new(address, listening.port())
}

/// What listens where.
#[derive(Debug)]
pub enum Listening {
    /// The gRPC server.
    Grpc(SocketAddr),
    /// The REST sidecar.
    Rest(SocketAddr),
    /// The port for operations.
    Operations(SocketAddr),
}

/// Tells where to call.
pub fn announce(servers: &[Listening]) {
    for server in servers {
        match server {
            Listening::Grpc(address) => console::say(format_args!("gRPC listens on {address}")),
            Listening::Rest(address) => console::say(format_args!("REST listens on http://{address}/api/v4")),
            Listening::Operations(address) => {
                console::say(format_args!("metrics listen on http://{address}"));
            }
        }
    }
}

/// A token that is cancelled when the process is told to stop, by SIGTERM or SIGINT.
pub fn stop_signal() -> Result<CancellationToken, Error> {
    let listen = |kind, name| {
        signal(kind).map_err(|source| Error::System {
            action: format!("listen for {name}"),
            source,
        })
    };
    let mut terminate = listen(SignalKind::terminate(), "SIGTERM")?;
    let mut interrupt = listen(SignalKind::interrupt(), "SIGINT")?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: stopping"),
            _ = interrupt.recv() => info!("SIGINT: stopping"),
        }
        told.cancel();
    });
    Ok(stop)
}

/// Servers that live and end together.
#[derive(Debug)]
pub struct Servers {
    running: JoinSet<Result<(), Error>>,
    /// In the order in which they are stopped.
    stops: Vec<CancellationToken>,
    drain_timeout: Duration,
    telemetry: Telemetry,
}

/// How long the last spans may take to be sent, however long the servers took to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Servers {
    /// No servers yet. Each gets `drain_timeout` to end.
    pub fn new(drain_timeout: Duration) -> Self {
        Self {
            running: JoinSet::new(),
            stops: Vec::new(),
            drain_timeout,
            telemetry: Telemetry::default(),
        }
    }

    /// Lets this end when the servers have, within the time that they left.
    #[must_use]
    pub fn with(self, telemetry: Telemetry) -> Self {
        Self { telemetry, ..self }
    }

    /// Starts the gRPC server; answers where it says whether it serves. Whatever calls it must have been added before, so as
    /// to be stopped before.
    pub fn add_grpc(
        &mut self,
        bound: Bound,
        app: App,
        options: &config::GrpcOptions,
        time: &TimeOptions,
    ) -> Readiness {
        let readiness = Readiness::default();
        let options = server::Options {
            max_message_bytes: options.max_message_bytes.get(),
            max_calls: options.max_calls.get(),
            request_timeout: time.request_timeout,
            drain_timeout: time.drain_timeout,
            readiness: readiness.clone(),
        };
        self.add("gRPC server", |stop| {
            server::serve(bound.listener, app, options, stop)
        });
        readiness
    }

    /// Starts the port for operations, and tells where it is. It tells of the others, so it is added last and stopped last;
    /// `stopping` is cancelled when the process is told to stop.
    fn add_operations(&mut self, operations: Operations, subject: Subject, stopping: &CancellationToken) {
        let Operations { bound, recorder } = operations;
        announce(&[Listening::Operations(bound.address)]);
        let stopping = stopping.clone();
        self.add(OPERATIONS, |stop| {
            operations::serve(bound.listener, subject, recorder, stopping, stop)
        });
    }

    /// Starts the REST sidecar in front of these gRPC servers.
    pub fn add_rest(
        &mut self,
        bound: Bound,
        options: &config::RestOptions,
        grpc_urls: &[GrpcUrl],
        time: &TimeOptions,
    ) {
        let options = rest::Options {
            grpc_urls: grpc_urls.iter().map(ToString::to_string).collect(),
            external_url: options.external_url.as_ref().map(|url| url.as_str().to_owned()),
            trust_proxy: options.trust_proxy,
            max_body_bytes: options.max_body_bytes.get(),
            timeout: time.request_timeout,
        };
        self.add("REST sidecar", |stop| rest::serve(bound.listener, options, stop));
    }

    /// Starts a server that ends when its token is cancelled.
    fn add<F, E>(&mut self, server: &'static str, start: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Cause>,
    {
        let stop = CancellationToken::new();
        self.stops.push(stop.clone());
        let serving = start(stop.clone());
        self.running.spawn(async move {
            serving.await.map_err(|error| Error::Server {
                server,
                source: error.into(),
            })?;
            if stop.is_cancelled() {
                Ok(())
            } else {
                Err(Error::Stopped { server })
            }
        });
    }

    /// Serves until `stop` is cancelled or one of the servers ends, then stops them one after the other.
    ///
    /// The error is that of the first server that failed.
    pub async fn run(mut self, stop: &CancellationToken) -> Result<(), Error> {
        let mut outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            Some(ended) = self.running.join_next() => settled(ended),
        };
        let until = Instant::now() + self.drain_timeout;
        // A server that drains for as long as it may is still within its time when it has to say so.
        let patience = self.drain_timeout + Duration::from_secs(1);
        for stop in self.stops {
            stop.cancel();
            match timeout(patience, self.running.join_next()).await {
                Ok(Some(ended)) => outcome = outcome.and(settled(ended)),
                Ok(None) => {}
                Err(_) => warn!(
                    drain_timeout_seconds = self.drain_timeout.as_secs(),
                    "gave up unfinished requests"
                ),
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        self.telemetry.end(left.max(LAST_WORDS)).await;
        outcome
    }
}

/// What a server's task came to.
fn settled(ended: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    ended.unwrap_or_else(|error| {
        Err(Error::System {
            action: "keep a server running".to_owned(),
            source: io::Error::other(error),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn when_one_server_fails_the_other_is_stopped_and_the_failure_reported() {
        let mut servers = Servers::new(Duration::from_secs(5));
        let stopped = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&stopped);
        servers.add("patient server", |stop| async move {
            stop.cancelled().await;
            count.fetch_add(1, Ordering::SeqCst);
            io::Result::Ok(())
        });
        servers.add("weak server", |_| async { Err(io::Error::other("disk full")) });
        let error = servers.run(&CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.to_string(), "the weak server failed");
        assert_eq!(stopped.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_server_that_ends_unasked_is_a_failure() {
        let mut servers = Servers::new(Duration::from_secs(5));
        servers.add("shy server", |_| async { io::Result::Ok(()) });
        let error = servers.run(&CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.to_string(), "the shy server stopped by itself");
    }

    #[tokio::test]
    async fn servers_that_are_told_to_stop_end_in_the_order_they_were_added() {
        let mut servers = Servers::new(Duration::from_secs(5));
        let turn = Arc::new(AtomicUsize::new(0));
        for place in 0..3 {
            let turn = Arc::clone(&turn);
            servers.add("server", move |stop| async move {
                stop.cancelled().await;
                let before = turn.fetch_add(1, Ordering::SeqCst);
                if before == place {
                    Ok(())
                } else {
                    Err(io::Error::other("out of turn"))
                }
            });
        }
        let stop = CancellationToken::new();
        stop.cancel();
        servers.run(&stop).await.unwrap();
        assert_eq!(turn.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_end_is_given_up_after_the_drain_timeout() {
        let mut servers = Servers::new(Duration::from_secs(5));
        servers.add("stubborn server", |_| std::future::pending::<io::Result<()>>());
        let stop = CancellationToken::new();
        stop.cancel();
        let before = tokio::time::Instant::now();
        servers.run(&stop).await.unwrap();
        assert_eq!(before.elapsed(), Duration::from_secs(6));
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_reported_with_its_setting() {
        let taken = bind("--grpc-listen", "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        assert_ne!(taken.address.port(), 0);
        let error = bind("--grpc-listen", taken.address).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("--grpc-listen: cannot listen on {}", taken.address)
        );
    }

    #[test]
    fn a_listener_on_any_address_is_reached_on_the_loopback_one() {
        for (listening, reached) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("10.0.0.5:1", "10.0.0.5:1"),
        ] {
            assert_eq!(within_reach(listening.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
