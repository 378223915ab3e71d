//! The settings: each a flag and an environment variable of the same name, read into a type that cannot be wrong.
//!
//! `--grpc-listen` is also `GATEHOUSE_GRPC_LISTEN`, and so on. What a setting may be is decided here, when it is read;
//! a value that is refused is reported with the name of its setting. Only the token has no flag, for command lines are
//! seen by everybody on the machine.

use std::{
    env, fmt, fs,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The file in the data folder that holds the first administrator's token.
pub const ROOT_TOKEN_FILE: &str = "root-token";

/// The variable that holds a client command's token.
pub const TOKEN_VARIABLE: &str = "GATEHOUSE_TOKEN";

/// A setting that cannot be used, by the name it has on the command line.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct Error {
    /// The flag or variable.
    setting: &'static str,
    /// What is wrong with it; never its value where that is secret.
    problem: String,
}

/// What no log, error or debug output may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that has to send or show it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Where the program logs to is standard error; this says how.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogOptions {
    /// How log lines are written to standard error
    #[arg(
        long,
        env = "GATEHOUSE_LOG_FORMAT",
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        global = true
    )]
    pub log_format: LogFormat,

    /// What is logged: a level (error, warn, info, debug, trace) or a filter such as `info,gatehouse=debug`
    #[arg(
        long,
        env = "GATEHOUSE_LOG_LEVEL",
        default_value = "info",
        value_name = "FILTER",
        global = true
    )]
    pub log_level: LogFilter,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A filter of log lines that is known to parse.
#[derive(Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        tracing_subscriber::EnvFilter::try_new(text).map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }
}

/// Where what is recorded is kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Store")]
pub struct StoreOptions {
    /// The folder for the database and the first administrator's token; made if it is missing
    #[arg(
        long,
        env = "GATEHOUSE_DATA_DIR",
        default_value = "./data",
        value_name = "FOLDER"
    )]
    pub data_dir: PathBuf,

    /// The database: `sqlite://PATH` [default: gatehouse.db in the data folder]
    #[arg(
        long,
        env = "GATEHOUSE_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<Secret>,
}

impl StoreOptions {
    /// A store in `data_dir`, in the place that is the default.
    pub fn within(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            database_url: None,
        }
    }

    /// The database's URL.
    ///
    /// Checked here and not when it is read: the error that clap makes would show the URL, and with it its password.
    pub fn database_url(&self) -> Result<String, Error> {
        match &self.database_url {
            Some(url) if url.expose().starts_with("sqlite:") => Ok(url.expose().to_owned()),
            Some(_) => Err(Error {
                setting: "--database-url",
                problem: "it must begin with sqlite:".to_owned(),
            }),
            None => sqlite_url(&self.data_dir.join("gatehouse.db")),
        }
    }
}

/// The URL of the SQLite database at `path`.
fn sqlite_url(path: &Path) -> Result<String, Error> {
    /// What would end the path or be decoded.
    const RESERVED: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');
    let text = path.to_str().ok_or_else(|| Error {
        setting: "--data-dir",
        problem: "the name is not UTF-8".to_owned(),
    })?;
    Ok(format!("sqlite://{}", utf8_percent_encode(text, RESERVED)))
}

/// The gRPC server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "gRPC server")]
pub struct GrpcOptions {
    /// Where the gRPC server listens; port 0 takes a free one
    #[arg(
        long,
        env = "GATEHOUSE_GRPC_LISTEN",
        default_value = "127.0.0.1:50051",
        value_name = "ADDRESS:PORT"
    )]
    pub grpc_listen: SocketAddr,

    /// The largest gRPC message that is taken
    #[arg(
        long,
        env = "GATEHOUSE_MAX_MESSAGE_BYTES",
        default_value = "4194304",
        value_name = "BYTES"
    )]
    pub max_message_bytes: NonZeroUsize,
}

/// The REST sidecar.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "REST sidecar")]
pub struct RestOptions {
    /// Where the REST sidecar listens; port 0 takes a free one
    #[arg(
        long,
        env = "GATEHOUSE_REST_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS:PORT"
    )]
    pub rest_listen: SocketAddr,

    /// What clients call the sidecar, for the links it sends [default: the Host of each request]
    #[arg(long, env = "GATEHOUSE_EXTERNAL_URL", value_name = "URL")]
    pub external_url: Option<ExternalUrl>,

    /// Believe X-Forwarded-Host and X-Forwarded-Proto; only behind a proxy that sets them
    #[arg(long, env = "GATEHOUSE_TRUST_PROXY", value_parser = BoolishValueParser::new())]
    pub trust_proxy: bool,

    /// The largest request body that is taken
    #[arg(
        long,
        env = "GATEHOUSE_MAX_BODY_BYTES",
        default_value = "1048576",
        value_name = "BYTES"
    )]
    pub max_body_bytes: NonZeroUsize,
}

/// How long things may take, in every server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Time limits")]
pub struct TimeOptions {
    /// How long a request may take
    #[arg(
        long = "request-timeout-seconds", env = "GATEHOUSE_REQUEST_TIMEOUT_SECONDS",
        default_value = "30", value_name = "SECONDS", value_parser = seconds
    )]
    pub request_timeout: Duration,

    /// How long requests that have begun may go on once the server was told to stop
    #[arg(
        long = "drain-timeout-seconds", env = "GATEHOUSE_DRAIN_TIMEOUT_SECONDS",
        default_value = "10", value_name = "SECONDS", value_parser = seconds
    )]
    pub drain_timeout: Duration,
}

/// Which server to call.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct TargetOptions {
    /// The gRPC server to call
    #[arg(
        long,
        env = "GATEHOUSE_GRPC_URL",
        default_value = "http://127.0.0.1:50051",
        value_name = "URL"
    )]
    pub grpc_url: GrpcUrl,
}

/// What a client command needs to call a server.
///
/// The token is the content of `--token-file`, else of the variable `GATEHOUSE_TOKEN`, else of the file `root-token` in
/// the data folder.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct ClientOptions {
    #[expect(missing_docs, reason = "clap would take the text for the command's own")]
    #[command(flatten)]
    pub target: TargetOptions,

    /// The file that holds the token [default: the variable GATEHOUSE_TOKEN, else root-token in the data folder]
    #[arg(long, env = "GATEHOUSE_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// The server's data folder, if it is on this machine
    #[arg(
        long,
        env = "GATEHOUSE_DATA_DIR",
        default_value = "./data",
        value_name = "FOLDER"
    )]
    pub data_dir: PathBuf,

    /// How long a call may take
    #[arg(
        long = "request-timeout-seconds", env = "GATEHOUSE_REQUEST_TIMEOUT_SECONDS",
        default_value = "30", value_name = "SECONDS", value_parser = seconds
    )]
    pub request_timeout: Duration,
}

impl ClientOptions {
    /// The token to call with.
    pub fn token(&self) -> Result<Secret, Error> {
        self.token_from(env::var(TOKEN_VARIABLE).ok())
    }

    /// The same, with the content of `GATEHOUSE_TOKEN`.
    fn token_from(&self, variable: Option<String>) -> Result<Secret, Error> {
        let variable = variable.filter(|text| !text.trim().is_empty());
        match (&self.token_file, variable) {
            (Some(file), _) => read_token(file),
            (None, Some(text)) => Ok(Secret::new(text.trim())),
            (None, None) => read_token(&self.data_dir.join(ROOT_TOKEN_FILE)).map_err(|error| Error {
                setting: TOKEN_VARIABLE,
                problem: format!("neither it nor --token-file is set, and {}", error.problem),
            }),
        }
    }
}

/// The token in `file`.
fn read_token(file: &Path) -> Result<Secret, Error> {
    let refuse = |problem| Error {
        setting: "--token-file",
        problem,
    };
    let text = fs::read_to_string(file)
        .map_err(|error| refuse(format!("{} cannot be read: {error}", file.display())))?;
    match text.trim() {
        "" => Err(refuse(format!("{} is empty", file.display()))),
        token => Ok(Secret::new(token)),
    }
}

/// The URL of a gRPC server: `http://HOST:PORT`.
#[derive(Clone, PartialEq, Eq)]
pub struct GrpcUrl(String);

impl GrpcUrl {
    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GrpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GrpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<SocketAddr> for GrpcUrl {
    fn from(address: SocketAddr) -> Self {
        Self(format!("http://{address}"))
    }
}

impl FromStr for GrpcUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri = web_address(text)?;
        if uri.scheme_str() == Some("https") {
            return Err("https is not supported: write http, and put a proxy in front for TLS".to_owned());
        }
        if uri.path() != "/" {
            return Err("it must not have a path".to_owned());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// What clients call the sidecar: `http(s)://HOST[:PORT][/PATH]`, without a slash at the end.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalUrl(String);

impl ExternalUrl {
    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ExternalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ExternalUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        web_address(text)?;
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// Reads an absolute URL of the web that is nothing but scheme, host, port and path.
fn web_address(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("it must begin with http:// or https://".to_owned());
    }
    if uri
        .authority()
        .is_none_or(|authority| authority.host().is_empty() || authority.as_str().contains('@'))
    {
        return Err("it must name a host, without user or password".to_owned());
    }
    if text.contains(['?', '#']) {
        return Err("it must not have a query or fragment".to_owned());
    }
    Ok(uri)
}

/// Reads a time limit.
///
/// A day is the most: the limit is added to the present time, which must not overflow.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("it must be a whole number of seconds, 1 to 86400".to_owned()),
    }
}
