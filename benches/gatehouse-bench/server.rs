//! Gatehouse itself, on stores.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use gatehouse::{
    first_start::ROOT_TOKEN_FILE,
    pb::v1::{self as pb, token_service_client::TokenServiceClient},
};
use tempfile::TempDir;
use tonic::metadata::MetadataValue;

use crate::{
    Failure,
    data::{APPROVERS, DEVELOPER, Shape, Stock},
    grpc::{connect, with_token},
    process::Process,
};

/// The program, and the folder in which it keeps what it keeps.
#[derive(Debug)]
pub struct Program {
    file: PathBuf,
    work: TempDir,
}

impl Program {
    /// The one that is named, or else the one beside this.
    pub fn find(named: Option<&Path>, work: Option<&Path>) -> Result<Self, Failure> {
        let beside = std::env::current_exe()?.with_file_name("gatehouse");
        let file = named.map_or(beside, Path::to_owned);
        if !file.is_file() {
            return Err(format!(
                "there is no program {}: build it with `cargo build --release --features bench`",
                file.display()
            )
            .into());
        }
        let mut named = tempfile::Builder::new();
        let named = named.prefix("gatehouse-bench-");
        let work = match work {
            Some(folder) => named.tempdir_in(folder)?,
            None => named.tempdir()?,
        };
        Ok(Self { file, work })
    }

    /// The folder of this run, gone when it ends.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.file);
        command.env_remove("GATEHOUSE_DATABASE_URL");
        command
    }
}

/// A store, and what is in it.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    url: Option<String>,
    /// The developer's token; empty where nobody but the administrator is.
    pub token: String,
    /// The approvers' tokens.
    pub approvers: Vec<String>,
}

impl Place {
    /// An empty SQLite store.
    pub fn empty(program: &Program, name: &str) -> Result<Self, Failure> {
        Self::made(program, name, None)
    }

    /// A SQLite store of this shape.
    pub async fn sqlite(program: &Program, name: &str, stock: &Stock) -> Result<Self, Failure> {
        let mut this = Self::made(program, name, None)?;
        stock.fill_sqlite(&this.file())?;
        this.make_tokens(program).await?;
        Ok(this)
    }

    /// A PostgreSQL store of this shape.
    pub async fn postgres(program: &Program, name: &str, url: &str, stock: &Stock) -> Result<Self, Failure> {
        let mut this = Self::made(program, name, Some(url.to_owned()))?;
        stock.fill_postgres(url).await?;
        this.make_tokens(program).await?;
        Ok(this)
    }

    /// With the schema and the administrator.
    fn made(program: &Program, name: &str, url: Option<String>) -> Result<Self, Failure> {
        let folder = program.work().join(name);
        let mut this = Self {
            folder,
            url,
            token: String::new(),
            approvers: Vec::new(),
        };
        if let Some(url) = &this.url {
            let mut migrate = program.command();
            migrate.arg("migrate").env("GATEHOUSE_DATABASE_URL", url);
            let output = migrate.arg("--data-dir").arg(&this.folder).output()?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into());
            }
        }
        drop(Gatehouse::grpc(program, &this)?);
        let root = fs::read_to_string(this.folder.join(ROOT_TOKEN_FILE))?;
        root.trim().clone_into(&mut this.token);
        Ok(this)
    }

    async fn make_tokens(&mut self, program: &Program) -> Result<(), Failure> {
        let server = Gatehouse::grpc(program, self)?;
        let root = MetadataValue::try_from(self.token.as_str())?;
        let mut tokens = TokenServiceClient::new(connect(&server.grpc).await?);
        let mut secrets = Vec::new();
        for user in [DEVELOPER].into_iter().chain(APPROVERS) {
            let message = pb::CreateTokenRequest {
                user: Some(pb::UserRef {
                    by: Some(pb::user_ref::By::Id(user)),
                }),
                name: "load".into(),
                scopes: vec![pb::TokenScope::Api.into()],
                ..Default::default()
            };
            let made = tokens.create_token(with_token(message, &root)).await?;
            secrets.push(made.into_inner().secret);
        }
        self.approvers = secrets.split_off(1);
        self.token = secrets.remove(0);
        Ok(())
    }

    /// The file of a SQLite store.
    pub fn file(&self) -> PathBuf {
        self.folder.join("gatehouse.db")
    }

    /// A copy of the file of a SQLite store that nobody has open.
    pub fn copy(&self, name: &str) -> Result<PathBuf, Failure> {
        // What is still in the log goes into the file.
        rusqlite::Connection::open(self.file())?
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        let copy = self.folder.join(name);
        fs::copy(self.file(), &copy)?;
        Ok(copy)
    }
}

/// The shape that fits a number of deployments.
pub fn shape(deployments: u32) -> Shape {
    Shape {
        projects: 100,
        deployments,
        blocked: 0,
    }
}

/// A running server, its log at info and its metrics on.
#[derive(Debug)]
pub struct Gatehouse {
    process: Process,
    /// Where gRPC is served.
    pub grpc: String,
    /// Where REST is served; empty if it is not.
    pub rest: String,
}

const GRPC: &str = "gRPC listens on ";
const REST: &str = "REST listens on http://";
const ANY: &str = "127.0.0.1:0";

impl Gatehouse {
    /// `gatehouse grpc`.
    pub fn grpc(program: &Program, place: &Place) -> Result<Self, Failure> {
        let mut command = program.command();
        command.args(["grpc", "--grpc-listen", ANY]);
        Self::start(&mut command, Some(place), &[GRPC])
    }

    /// `gatehouse`, with the sidecar in it.
    pub fn both(program: &Program, place: &Place) -> Result<Self, Failure> {
        let mut command = program.command();
        command.args(["--grpc-listen", ANY, "--rest-listen", ANY]);
        Self::start(&mut command, Some(place), &[GRPC, REST])
    }

    /// `gatehouse rest`, in front of another.
    pub fn rest(program: &Program, server: &Self) -> Result<Self, Failure> {
        let mut command = program.command();
        command.args(["rest", "--rest-listen", ANY, "--grpc-url"]);
        command.arg(format!("http://{}", server.grpc));
        Self::start(&mut command, None, &[REST])
    }

    fn start(command: &mut Command, place: Option<&Place>, lines: &[&str]) -> Result<Self, Failure> {
        command.args(["--metrics-listen", ANY, "--log-level", "info"]);
        if let Some(place) = place {
            command.arg("--data-dir").arg(&place.folder);
            if let Some(url) = &place.url {
                command.env("GATEHOUSE_DATABASE_URL", url);
            }
        }
        let (process, told) = Process::listening(command, lines)?;
        let address = |begin: &str| {
            let place = lines.iter().position(|line| *line == begin);
            let told = place.and_then(|place| told.get(place));
            told.map(|told| told.split('/').next().unwrap_or_default().to_owned())
                .unwrap_or_default()
        };
        Ok(Self {
            process,
            grpc: address(GRPC),
            rest: address(REST),
        })
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}
