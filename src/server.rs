//! The gRPC server: services, layers, health, reflection, and an orderly end.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    codec::CompressionEncoding,
    transport::{Server, server::TcpIncoming},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    app::App,
    clock::Clock,
    first_start::{self, FirstStartError, RootToken},
    grpc::{
        Services,
        auth::AuthLayer,
        request::{AdmissionLayer, DeadlineLayer, Panicked, RequestLayer},
    },
    health::{self, Readiness},
    pb::{
        self,
        v1::{
            approval_service_server::{self, ApprovalServiceServer},
            deployment_service_server::{self, DeploymentServiceServer},
            directory_service_server::{self, DirectoryServiceServer},
            environment_service_server::{self, EnvironmentServiceServer},
            event_service_server::{self, EventServiceServer},
            job_service_server::{self, JobServiceServer},
            merge_request_service_server::{self, MergeRequestServiceServer},
            metadata_service_server::{self, MetadataServiceServer},
            protected_environment_service_server::{self, ProtectedEnvironmentServiceServer},
            repository_service_server::{self, RepositoryServiceServer},
            token_service_server::{self, TokenServiceServer},
        },
    },
    repository::Repositories,
    store::{self, Location, StoreError},
};

/// The services that health is told of.
const SERVICES: [&str; 11] = [
    deployment_service_server::SERVICE_NAME,
    job_service_server::SERVICE_NAME,
    approval_service_server::SERVICE_NAME,
    protected_environment_service_server::SERVICE_NAME,
    environment_service_server::SERVICE_NAME,
    event_service_server::SERVICE_NAME,
    repository_service_server::SERVICE_NAME,
    directory_service_server::SERVICE_NAME,
    token_service_server::SERVICE_NAME,
    metadata_service_server::SERVICE_NAME,
    merge_request_service_server::SERVICE_NAME,
];
/// How long the work in the background may take to come to an end.
const LEAVE: Duration = Duration::from_secs(2);
/// The name under which health is asked about all of them.
const WHOLE_SERVER: &str = "";

/// How the server serves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The largest request that is taken, in bytes. Answers are bounded by the size of a page.
    pub max_message_bytes: usize,
    /// How many calls are taken at a time, those that are held on purpose not counted.
    pub max_calls: usize,
    /// The longest a call may take; a caller's own deadline counts where it is shorter.
    pub request_timeout: Duration,
    /// How long calls under way may go on after the server was asked to stop.
    pub drain_timeout: Duration,
    /// Where the server says whether it serves.
    pub readiness: Readiness,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 * 1024 * 1024,
            max_calls: 1024,
            request_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(20),
            readiness: Readiness::default(),
        }
    }
}

/// Why the server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The store could not be opened.
    #[error("cannot open the store")]
    Store(#[source] StoreError),
    /// The administrator could not be created.
    #[error("the first start failed")]
    FirstStart(#[from] FirstStartError),
    /// The transport failed.
    #[error("the gRPC server failed")]
    Transport(#[from] tonic::transport::Error),
    /// The contract's descriptors cannot be served.
    #[error("the reflection service failed")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Opens a store, sets the use cases up on it and on the repositories that can be attached, and on the first start creates the administrator. Answers the use cases and, if the administrator is new, the file with their token (see
/// [`first_start`]).
pub async fn open_app(
    location: &Location,
    root_token: &RootToken,
    clock: Arc<dyn Clock>,
    repositories: Repositories,
) -> Result<(App, Option<PathBuf>), ServerError> {
    let opened = store::open(location).await.map_err(ServerError::Store)?;
    // One that is only half imported would look like a new one.
    opened.store.ping().await.map_err(ServerError::Store)?;
    let app = App::new(opened.store, clock, repositories).with_replica(opened.replica);
    let root_token = first_start::ensure_administrator(&app, root_token).await?;
    Ok((app, root_token))
}

/// Serves, and works in the background, until `shutdown` is cancelled, then drains: health says NOT_SERVING, no new call is
/// taken, watches and waits are ended, other calls under way finish within the drain time, and the store is closed.
pub async fn serve(
    listener: TcpListener,
    app: App,
    options: Options,
    shutdown: CancellationToken,
) -> Result<(), ServerError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let services = Services::new(app.clone(), shutdown.clone());
    let limit = options.max_message_bytes;
    macro_rules! service {
        ($server:ident) => {
            $server::new(services.clone())
                .max_decoding_message_size(limit)
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip)
        };
    }
    let names = SERVICES.into_iter().chain([WHOLE_SERVER]).collect();
    let mut following = tokio::spawn(health::follow(
        app.clone(),
        health,
        options.readiness.clone(),
        names,
        shutdown.clone(),
    ));
    let router = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .tcp_keepalive(Some(Duration::from_mins(1)))
        .layer(RequestLayer)
        .layer(CatchPanicLayer::custom(Panicked))
        .layer(DeadlineLayer::new(options.request_timeout))
        .layer(AdmissionLayer::new(options.max_calls))
        .layer(AuthLayer::new(app.clone()))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(service!(DeploymentServiceServer))
        .add_service(service!(JobServiceServer))
        .add_service(service!(ApprovalServiceServer))
        .add_service(service!(ProtectedEnvironmentServiceServer))
        .add_service(service!(EnvironmentServiceServer))
        .add_service(service!(EventServiceServer))
        .add_service(service!(RepositoryServiceServer))
        .add_service(service!(DirectoryServiceServer))
        .add_service(service!(TokenServiceServer))
        .add_service(service!(MetadataServiceServer))
        .add_service(service!(MergeRequestServiceServer));

    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let stop = shutdown.clone();
    let drain = async move {
        stop.cancelled().await;
        // When it has said so, no new call is taken.
        if let Err(error) = (&mut following).await {
            tracing::error!(%error, "what health says of the server has ended early");
        }
    };
    let serving = router.serve_with_incoming_shutdown(incoming, drain);
    let mut background = tokio::spawn({
        let (app, shutdown) = (app.clone(), shutdown.clone());
        async move { app.work_until(&shutdown).await }
    });
    let bounded = async {
        shutdown.cancelled().await;
        timeout(options.drain_timeout, std::future::pending::<()>()).await
    };
    let outcome = tokio::select! {
        outcome = serving => outcome,
        _ = bounded => {
            tracing::warn!("calls were still under way when the drain time was over");
            Ok(())
        }
    };
    // It leaves its lease to others, if the store lets it; what it was at stands in the store.
    if timeout(LEAVE, &mut background).await.is_err() {
        background.abort();
    }
    app.store().close().await;
    Ok(outcome?)
}
