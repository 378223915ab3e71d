//! What the tests share: a server of their own on a free port, clients with tokens, a small world to play in.

pub mod dice;
pub mod engine;
pub mod entry;
pub mod git;
pub mod job;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod rest;

use engine::{Engine, Place};
use std::{fmt::Write as _, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use gatehouse::{
    app::App,
    clock::{Clock, SystemClock},
    first_start::ROOT_TOKEN_FILE,
    pb::v1::{
        self as pb, AccessLevel, approval_service_client::ApprovalServiceClient, container_ref,
        deployment_service_client::DeploymentServiceClient, directory_service_client::DirectoryServiceClient,
        environment_service_client::EnvironmentServiceClient, event_service_client::EventServiceClient,
        group_ref, job_service_client::JobServiceClient,
        merge_request_service_client::MergeRequestServiceClient,
        metadata_service_client::MetadataServiceClient, project_ref,
        protected_environment_service_client::ProtectedEnvironmentServiceClient,
        repository_service_client::RepositoryServiceClient, token_service_client::TokenServiceClient,
        user_ref,
    },
    repository::Repositories,
    server,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// A channel that identifies its caller.
pub type Client = InterceptedService<Channel, As>;

/// Adds a token, and whom to act as, to every call.
#[derive(Clone)]
pub struct As {
    token: Option<String>,
    sudo: Option<String>,
}

impl As {
    /// The holder of `token`.
    pub fn holder(token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            sudo: None,
        }
    }
}

impl Interceptor for As {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (key, value) in [("private-token", &self.token), ("sudo", &self.sudo)] {
            if let Some(value) = value {
                request
                    .metadata_mut()
                    .insert(key, MetadataValue::try_from(value.as_str()).unwrap());
            }
        }
        Ok(request)
    }
}

/// A gRPC server with a store of its own.
pub struct TestServer {
    pub address: SocketAddr,
    pub app: App,
    /// The administrator's token.
    pub root: String,
    pub place: Place,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    channel: Channel,
}

impl TestServer {
    /// A server by the machine's clock.
    pub async fn start(engine: Engine) -> Self {
        Self::start_with(engine, Arc::new(SystemClock)).await
    }

    /// A server by this clock.
    pub async fn start_with(engine: Engine, clock: Arc<dyn Clock>) -> Self {
        Self::start_on(engine, clock, Repositories::none()).await
    }

    /// A server by this clock, with these repositories to attach.
    pub async fn start_on(engine: Engine, clock: Arc<dyn Clock>, repositories: Repositories) -> Self {
        let place = engine.place().await;
        let (app, _) = server::open_app(&place.location(), &place.root_token(), clock, repositories)
            .await
            .unwrap();
        let root = std::fs::read_to_string(place.folder.path().join(ROOT_TOKEN_FILE))
            .unwrap()
            .trim()
            .to_owned();
        // Bound before it is served: whoever connects now is served as soon as the server runs.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = server::serve(
            listener,
            app.clone(),
            server::Options::default(),
            shutdown.clone(),
        );
        let task = tokio::spawn(async move { serving.await.unwrap() });
        let channel = Endpoint::try_from(format!("http://{address}"))
            .unwrap()
            .connect_lazy();
        Self {
            address,
            app,
            root,
            place,
            shutdown,
            task,
            channel,
        }
    }

    /// Where the server listens, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks the server to stop and waits until it has.
    pub async fn stop(self) {
        self.shutdown.cancel();
        drop(self.channel);
        self.task.await.unwrap();
    }

    /// The cancellation that stops the server.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// A channel without a caller.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A channel for the holder of `token`; none for an empty one.
    pub fn client(&self, token: &str) -> Client {
        self.client_as(token, None)
    }

    /// A channel for the holder of `token`, who acts as `sudo`.
    pub fn client_as(&self, token: &str, sudo: Option<&str>) -> Client {
        let token = (!token.is_empty()).then(|| token.to_owned());
        InterceptedService::new(
            self.channel.clone(),
            As {
                token,
                sudo: sudo.map(str::to_owned),
            },
        )
    }

    pub fn deployments(&self, token: &str) -> DeploymentServiceClient<Client> {
        DeploymentServiceClient::new(self.client(token))
    }

    pub fn protections(&self, token: &str) -> ProtectedEnvironmentServiceClient<Client> {
        ProtectedEnvironmentServiceClient::new(self.client(token))
    }

    pub fn approvals(&self, token: &str) -> ApprovalServiceClient<Client> {
        ApprovalServiceClient::new(self.client(token))
    }

    pub fn jobs(&self, token: &str) -> JobServiceClient<Client> {
        JobServiceClient::new(self.client(token))
    }

    pub fn repositories(&self, token: &str) -> RepositoryServiceClient<Client> {
        RepositoryServiceClient::new(self.client(token))
    }

    pub fn merge_requests(&self, token: &str) -> MergeRequestServiceClient<Client> {
        MergeRequestServiceClient::new(self.client(token))
    }

    pub fn events(&self, token: &str) -> EventServiceClient<Client> {
        EventServiceClient::new(self.client(token))
    }

    pub fn environments(&self, token: &str) -> EnvironmentServiceClient<Client> {
        EnvironmentServiceClient::new(self.client(token))
    }

    pub fn directory(&self, token: &str) -> DirectoryServiceClient<Client> {
        DirectoryServiceClient::new(self.client(token))
    }

    pub fn tokens(&self, token: &str) -> TokenServiceClient<Client> {
        TokenServiceClient::new(self.client(token))
    }

    pub fn metadata(&self, token: &str) -> MetadataServiceClient<Client> {
        MetadataServiceClient::new(self.client(token))
    }

    /// Makes a user and a token with these scopes; answers the user's id and the token's secret.
    pub async fn user_with(&self, username: &str, scopes: &[pb::TokenScope]) -> (i64, String) {
        let user = self
            .directory(&self.root)
            .create_user(pb::CreateUserRequest {
                username: username.into(),
                name: format!("{username} by name"),
                ..Default::default()
            })
            .await
            .unwrap()
            .into_inner()
            .user
            .unwrap();
        let token = self
            .tokens(&self.root)
            .create_token(pb::CreateTokenRequest {
                user: Some(user_named(username)),
                name: "test".into(),
                scopes: scopes.iter().map(|&scope| scope.into()).collect(),
                ..Default::default()
            })
            .await
            .unwrap()
            .into_inner();
        (user.id, token.secret)
    }

    /// Makes a user and a token for everything.
    pub async fn user(&self, username: &str) -> (i64, String) {
        self.user_with(username, &[pb::TokenScope::Api]).await
    }

    /// Makes a group; the parent has to be there.
    pub async fn group(&self, full_path: &str) -> pb::Group {
        let (parent, path) = match full_path.rsplit_once('/') {
            Some((parent, path)) => (Some(group_at(parent)), path),
            None => (None, full_path),
        };
        let request = pb::CreateGroupRequest {
            parent,
            path: path.into(),
            ..Default::default()
        };
        self.directory(&self.root)
            .create_group(request)
            .await
            .unwrap()
            .into_inner()
            .group
            .unwrap()
    }

    /// Makes a project; the group has to be there.
    pub async fn project(&self, full_path: &str, visibility: pb::Visibility) -> pb::Project {
        let (group, path) = full_path.rsplit_once('/').unwrap();
        let request = pb::CreateProjectRequest {
            group: Some(group_at(group)),
            path: path.into(),
            visibility: visibility.into(),
            ..Default::default()
        };
        self.directory(&self.root)
            .create_project(request)
            .await
            .unwrap()
            .into_inner()
            .project
            .unwrap()
    }

    /// Makes a user a member.
    pub async fn member(&self, container: pb::ContainerRef, username: &str, level: AccessLevel) {
        let request = pb::CreateMembershipRequest {
            container: Some(container),
            user: Some(user_named(username)),
            access_level: level.into(),
            ..Default::default()
        };
        self.directory(&self.root)
            .create_membership(request)
            .await
            .unwrap();
    }
}

/// A private project `acme/web` and a user with a token for every role; the secrets by role.
pub struct World {
    pub server: TestServer,
    pub project: pb::Project,
    pub reporter: String,
    pub developer: String,
    pub maintainer: String,
}

impl World {
    /// The world on a new server.
    pub async fn new(engine: Engine) -> Self {
        Self::on(TestServer::start(engine).await).await
    }

    /// The world on a new server that has a folder of repositories; answers the folder too.
    pub async fn with_repositories(engine: Engine) -> (Self, TempDir) {
        let root = tempfile::tempdir().unwrap();
        let repositories = Repositories::below(root.path()).unwrap();
        let server = TestServer::start_on(engine, Arc::new(SystemClock), repositories).await;
        (Self::on(server).await, root)
    }

    /// The world on this server.
    pub async fn on(server: TestServer) -> Self {
        server.group("acme").await;
        let project = server.project("acme/web", pb::Visibility::Private).await;
        let mut secrets = Vec::new();
        for (name, level) in [
            ("rita", AccessLevel::Reporter),
            ("dora", AccessLevel::Developer),
            ("mona", AccessLevel::Maintainer),
        ] {
            let (_, secret) = server.user(name).await;
            server.member(in_project("acme/web"), name, level).await;
            secrets.push(secret);
        }
        let [reporter, developer, maintainer] = secrets.try_into().unwrap();
        Self {
            server,
            project,
            reporter,
            developer,
            maintainer,
        }
    }

    /// A deployment as a Developer would record it.
    pub fn deployment(&self, environment: &str, status: pb::DeploymentStatus) -> pb::CreateDeploymentRequest {
        pb::CreateDeploymentRequest {
            project: Some(project_id(self.project.id)),
            environment: environment.into(),
            sha: SHA.into(),
            r#ref: "main".into(),
            tag: false,
            status: status.into(),
            ..Default::default()
        }
    }

    /// Records a deployment as the Developer.
    pub async fn record(&self, environment: &str, status: pb::DeploymentStatus) -> pb::Deployment {
        let request = self.deployment(environment, status);
        let answer = self
            .server
            .deployments(&self.developer)
            .create_deployment(request)
            .await
            .unwrap();
        answer.into_inner().deployment.unwrap()
    }
}

/// A channel to a server elsewhere, for the holder of `token`.
pub fn dial(url: &str, token: &str) -> Client {
    let channel = Endpoint::try_from(url.to_owned()).unwrap().connect_lazy();
    InterceptedService::new(channel, As::holder(token))
}

/// Makes the project `acme/web` on a server elsewhere, and answers its id.
pub async fn first_project(client: &Client) -> i64 {
    let mut directory = DirectoryServiceClient::new(client.clone());
    let group = pb::CreateGroupRequest {
        path: "acme".into(),
        ..Default::default()
    };
    directory.create_group(group).await.unwrap();
    let project = pb::CreateProjectRequest {
        group: Some(group_at("acme")),
        path: "web".into(),
        ..Default::default()
    };
    let made = directory.create_project(project).await.unwrap().into_inner();
    made.project.unwrap().id
}

/// The commit of the documented examples.
pub const SHA: &str = "a91957a858320c0e17f3a0eca7cfacbff50ea29a";

pub fn project_id(id: i64) -> pb::ProjectRef {
    pb::ProjectRef {
        by: Some(project_ref::By::Id(id)),
    }
}

pub fn project_at(path: &str) -> pb::ProjectRef {
    pb::ProjectRef {
        by: Some(project_ref::By::Path(path.into())),
    }
}

pub fn group_at(path: &str) -> pb::GroupRef {
    pb::GroupRef {
        by: Some(group_ref::By::Path(path.into())),
    }
}

pub fn user_named(username: &str) -> pb::UserRef {
    pb::UserRef {
        by: Some(user_ref::By::Username(username.into())),
    }
}

pub fn in_project(path: &str) -> pb::ContainerRef {
    pb::ContainerRef {
        of: Some(container_ref::Of::Project(project_at(path))),
    }
}

pub fn in_group(path: &str) -> pb::ContainerRef {
    pb::ContainerRef {
        of: Some(container_ref::Of::Group(group_at(path))),
    }
}

/// The machine-readable reason of a refusal.
#[track_caller]
pub fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    let status = answer.expect_err("it should have been refused");
    match status.get_details_error_info() {
        Some(info) => info.reason,
        None => panic!("a refusal without a reason: {status:?}"),
    }
}

/// The fields that a refusal names, with what is wrong with them.
#[track_caller]
pub fn violations<T: std::fmt::Debug>(answer: Result<T, Status>) -> Vec<(String, String)> {
    let status = answer.expect_err("it should have been refused");
    let details = status
        .get_details_bad_request()
        .unwrap_or_else(|| panic!("no fields: {status:?}"));
    details
        .field_violations
        .into_iter()
        .map(|v| (v.field, v.description))
        .collect()
}

/// What comes of `future`, which has ten seconds: nobody waits that long where a wake-up works.
#[track_caller]
pub fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let what = what.to_owned();
    async move {
        let output = tokio::time::timeout(Duration::from_secs(10), future).await;
        output.unwrap_or_else(|_| panic!("never came: {what}"))
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Waits until a condition holds, asking again and again; fails after ten seconds.
#[track_caller]
pub fn eventually<F, Fut>(what: &str, mut condition: F) -> impl Future<Output = ()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let what = what.to_owned();
    async move {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition().await {
            assert!(Instant::now() < deadline, "never happened: {what}");
            tokio::task::yield_now().await;
        }
    }
}
