//! The settings: each a flag and an environment variable of the same name, read into a type that cannot be wrong.
//!
//! `--grpc-listen` is also `GATEHOUSE_GRPC_LISTEN`, and so on. What a setting may be is decided here, when it is read;
//! a value that is refused is reported with the name of its setting. Only the token has no flag, for command lines are
//! seen by everybody on the machine.

mod database;

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

pub use database::StoreOptions;

use crate::{first_start::ROOT_TOKEN_FILE, repository::Repositories};

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

impl Error {
    /// The collector of traces cannot be used.
    pub fn otlp_endpoint(problem: &str) -> Self {
        refused("--otlp-endpoint", problem)
    }
}

/// Refuses a setting.
fn refused(setting: &'static str, problem: impl Into<String>) -> Error {
    Error {
        setting,
        problem: problem.into(),
    }
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
    /// [default: info for the servers, warn for the other commands]
    #[arg(long, env = "GATEHOUSE_LOG_LEVEL", value_name = "FILTER", global = true)]
    pub log_level: Option<LogFilter>,
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

/// Where projects' git repositories are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Repositories")]
pub struct RepositoryOptions {
    /// The folder that git repositories can be attached from; they are read, never written [default: none can be
    /// attached]
    #[arg(long, env = "GATEHOUSE_REPOSITORY_ROOT", value_name = "FOLDER")]
    pub repository_root: Option<PathBuf>,
}

impl RepositoryOptions {
    /// The repositories.
    pub fn repositories(&self) -> Result<Repositories, Error> {
        let Some(root) = &self.repository_root else {
            return Ok(Repositories::none());
        };
        Repositories::below(root)
            .map_err(|error| refused("--repository-root", format!("{}: {error}", root.display())))
    }
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

    /// How many calls are taken at a time, watches and waits not counted; more are refused with RESOURCE_EXHAUSTED, over
    /// REST with 429
    #[arg(
        long,
        env = "GATEHOUSE_MAX_CALLS",
        default_value = "1024",
        value_name = "CALLS"
    )]
    pub max_calls: NonZeroUsize,
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

/// What is told to those who operate a server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Operations")]
pub struct OperationsOptions {
    /// Where metrics, /livez and /readyz are served, for nobody but those who operate this; port 0 takes a free one
    /// [default: nowhere]
    #[arg(long, env = "GATEHOUSE_METRICS_LISTEN", value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<SocketAddr>,

    #[expect(missing_docs, reason = "clap would take the text for the command's own")]
    #[command(flatten)]
    pub traces: TraceOptions,
}

/// Where traces go.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Operations")]
pub struct TraceOptions {
    /// The collector that traces are sent to, by OTLP over gRPC [default: none are made]
    #[arg(long, env = "GATEHOUSE_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<GrpcUrl>,

    /// What the collector knows this server as
    #[arg(
        long,
        env = "GATEHOUSE_OTLP_SERVICE_NAME",
        default_value = "gatehouse",
        value_name = "NAME"
    )]
    pub otlp_service_name: String,

    /// The share of traces that are recorded, of those that do not begin elsewhere
    #[arg(
        long,
        env = "GATEHOUSE_OTLP_SAMPLING_RATIO",
        default_value = "1",
        value_name = "0 TO 1"
    )]
    pub otlp_sampling_ratio: Ratio,
}

/// A share of a whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio(f64);

impl Ratio {
    /// 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Self(ratio)),
            _ => Err("it must be a number from 0 to 1".to_owned()),
        }
    }
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

/// Which servers the sidecar calls.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct TargetsOptions {
    /// The gRPC server to call; several, separated by commas, are called in turn, passing over those that do not serve
    #[arg(
        long,
        env = "GATEHOUSE_GRPC_URL",
        default_value = "http://127.0.0.1:50051",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub grpc_url: Vec<GrpcUrl>,
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
            (None, None) => read_token(&self.data_dir.join(ROOT_TOKEN_FILE)).map_err(|error| {
                let without = "neither it nor --token-file is set, and";
                refused(TOKEN_VARIABLE, format!("{without} {}", error.problem))
            }),
        }
    }
}

/// The token in `file`.
fn read_token(file: &Path) -> Result<Secret, Error> {
    let problem = match fs::read_to_string(file) {
        Ok(text) if text.trim().is_empty() => format!("{} is empty", file.display()),
        Ok(text) => return Ok(Secret::new(text.trim())),
        Err(error) => format!("{} cannot be read: {error}", file.display()),
    };
    Err(refused("--token-file", problem))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn client(token_file: Option<PathBuf>, data_dir: &Path) -> ClientOptions {
        ClientOptions {
            target: TargetOptions {
                grpc_url: "http://127.0.0.1:1".parse().unwrap(),
            },
            token_file,
            data_dir: data_dir.to_owned(),
            request_timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_token_comes_from_its_file_then_the_variable_then_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        fs::write(&own, "of-the-file\n").unwrap();
        fs::write(folder.path().join(ROOT_TOKEN_FILE), "of-the-folder\n").unwrap();
        let variable = || Some("of-the-variable".to_owned());
        for (file, variable, expected) in [
            (Some(own), variable(), "of-the-file"),
            (None, variable(), "of-the-variable"),
            (None, Some(" ".to_owned()), "of-the-folder"),
            (None, None, "of-the-folder"),
        ] {
            let token = client(file, folder.path()).token_from(variable).unwrap();
            assert_eq!(token.expose(), expected);
        }
    }

    #[test]
    fn a_token_that_is_nowhere_is_missed_by_the_name_of_its_setting() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        fs::write(&empty, "\n").unwrap();
        let error = client(Some(empty), folder.path())
            .token_from(None)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("--token-file: ") && error.ends_with("is empty"),
            "{error}"
        );
        let error = client(None, folder.path())
            .token_from(None)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("GATEHOUSE_TOKEN: neither it nor --token-file is set"),
            "{error}"
        );
    }

    #[test]
    fn urls_lose_the_slash_at_their_end() {
        assert_eq!(
            GrpcUrl::from_str("http://gatehouse:50051/").unwrap().as_str(),
            "http://gatehouse:50051"
        );
        assert_eq!(
            ExternalUrl::from_str("https://a.example/git/").unwrap().as_str(),
            "https://a.example/git"
        );
    }

    #[test]
    fn a_secret_is_shown_by_no_debug_output() {
        assert_eq!(
            format!("{:?}", Some(Secret::new("gh-very-secret"))),
            "Some((redacted))"
        );
    }
}
