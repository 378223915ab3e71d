//! The sidecar on a socket, and a client that sends exactly the bytes it is told to.

use crate::support::engine::Engine;
use std::{fmt::Write as _, net::SocketAddr, sync::Arc};

use chrono::{DateTime, Utc};
use gatehouse::{
    clock::ManualClock,
    rest::{self, Options},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{TestServer, World};

/// The sidecar on a free port.
pub struct RestServer {
    pub address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl RestServer {
    /// In front of this server.
    pub async fn before(server: &TestServer) -> Self {
        Self::start(Options {
            grpc_urls: vec![server.url()],
            ..Options::default()
        })
        .await
    }

    /// Set up like this.
    pub async fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(rest::serve(listener, options, shutdown.clone()));
        Self {
            address,
            shutdown,
            task,
        }
    }

    /// Asks the sidecar to stop and waits until it has.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Sends a request and reads the answer.
    pub async fn send(&self, request: &Ask) -> Reply {
        send(self.address, request).await
    }

    /// Sends these bytes and reads until the connection ends.
    pub async fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        exchange(self.address, bytes).await
    }
}

/// Sends a request to a sidecar and reads the answer.
pub async fn send(address: SocketAddr, request: &Ask) -> Reply {
    let reply = exchange(address, &request.bytes()).await;
    Reply::parse(&reply).unwrap_or_else(|| panic!("no answer to {request:?}: {reply:?}"))
}

async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut reply = Vec::new();
    // Who refuses a request early may close the connection before all of it is sent.
    let _ = stream.write_all(bytes).await;
    let _ = stream.read_to_end(&mut reply).await;
    reply
}

/// A request, to the byte.
#[derive(Debug, Clone)]
pub struct Ask {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    /// Without a body, by nobody. A target that begins with `/` goes out as it is; any other is below
    /// `/api/v4/`.
    pub fn new(method: &str, target: &str) -> Self {
        let target = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/api/v4/{target}")
        };
        Self {
            method: method.into(),
            target,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// As the holder of the token.
    pub fn by(self, token: &str) -> Self {
        self.header("PRIVATE-TOKEN", token)
    }

    pub fn body(mut self, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self.header("Content-Type", content_type)
    }

    pub fn json(self, body: impl AsRef<[u8]>) -> Self {
        self.body("application/json", body)
    }

    pub fn form(self, body: &str) -> Self {
        self.body("application/x-www-form-urlencoded", body)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nConnection: close\r\n",
            self.method, self.target
        );
        let said = |wanted: &str| {
            self.headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        if !said("host") {
            head.push_str("Host: localhost:3000\r\n");
        }
        if !self.body.is_empty() && !said("content-length") && !said("transfer-encoding") {
            write!(head, "Content-Length: {}\r\n", self.body.len()).unwrap();
        }
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    /// Reads one answer of a connection that ended after it.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self {
            status,
            headers,
            body: body.to_owned(),
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body's `id`.
    #[track_caller]
    pub fn id(&self) -> i64 {
        self.json()["id"]
            .as_i64()
            .unwrap_or_else(|| panic!("no id: {self:?}"))
    }

    /// Status and body, as tables have them.
    pub fn told(&self) -> (u16, &str) {
        (self.status, &self.body)
    }

    /// The URL of a relation of the `Link` header.
    pub fn link(&self, rel: &str) -> Option<&str> {
        let suffix = format!("; rel=\"{rel}\"");
        let link = self
            .header("link")?
            .split(", ")
            .find_map(|link| link.strip_suffix(&suffix))?;
        link.strip_prefix('<')?.strip_suffix('>')
    }
}

/// The world of the tests behind a sidecar; the clock stands.
pub struct Site {
    pub world: World,
    pub rest: RestServer,
    pub clock: Arc<ManualClock>,
}

impl Site {
    /// At the time of the documented examples.
    pub async fn new(engine: Engine) -> Self {
        Self::at(engine, "2016-08-11T11:32:35.444Z").await
    }

    /// At this time.
    pub async fn at(engine: Engine, now: &str) -> Self {
        let clock = Arc::new(ManualClock::at(time(now)));
        let world = World::on(TestServer::start_with(engine, Arc::<ManualClock>::clone(&clock)).await).await;
        let rest = RestServer::before(&world.server).await;
        Self { world, rest, clock }
    }

    /// Another sidecar before the same server, set up in another way.
    pub async fn sidecar(&self, set: impl FnOnce(&mut Options)) -> RestServer {
        let mut options = Options {
            grpc_urls: vec![self.world.server.url()],
            ..Options::default()
        };
        set(&mut options);
        RestServer::start(options).await
    }

    pub async fn send(&self, request: &Ask) -> Reply {
        self.rest.send(request).await
    }

    /// A request without a body by the Maintainer.
    pub async fn ask(&self, method: &str, target: &str) -> Reply {
        self.send(&Ask::new(method, target).by(&self.world.maintainer))
            .await
    }

    /// A request with a JSON body by the Maintainer.
    pub async fn json(&self, method: &str, target: &str, body: impl AsRef<[u8]>) -> Reply {
        self.send(&Ask::new(method, target).by(&self.world.maintainer).json(body))
            .await
    }

    /// Records a deployment in the project and answers its id.
    pub async fn deploy(&self, environment: &str, reference: &str, status: &str) -> i64 {
        let sha = super::SHA;
        let body = serde_json::json!({
            "environment": environment, "sha": sha, "ref": reference, "tag": false, "status": status,
        });
        let made = self
            .json("POST", "projects/1/deployments", body.to_string())
            .await;
        assert_eq!(made.status, 201, "{made:?}");
        made.id()
    }
}

pub fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}
