//! The commands: one file each, no rules of the product.

pub mod apply;
pub mod backup;
pub mod client;
pub mod console;
pub mod demo;
pub mod draft;
pub mod export;
pub mod healthcheck;
pub mod import;
pub mod migrate;
pub mod progress;
pub mod serve;
pub mod token;
pub mod word;

use std::io;

use clap::{Parser, Subcommand};
use tracing::Level;

use crate::{
    config::{self, GrpcUrl, LogOptions, TraceOptions},
    store::moving,
    telemetry::Telemetry,
};

/// Records deployments of every project: the GitLab Deployments API, over gRPC and REST
///
/// Without a command, serves both: gRPC on port 50051 and the REST sidecar on port 8080 of this machine, with everything
/// kept in one folder. Every option can also be given as the environment variable shown beside it.
#[derive(Debug, Parser)]
#[command(
    name = "gatehouse",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("GATEHOUSE_REVISION"), ")"),
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES,
)]
pub struct Cli {
    /// What to do; absent: serve gRPC and REST.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// How to serve, if no command is given.
    #[command(flatten)]
    pub serve: serve::Both,

    /// How to log.
    #[command(flatten)]
    pub log: LogOptions,
}

/// The end of `gatehouse --help`.
const EXAMPLES: &str = "\
Examples:
  gatehouse                                     serve, keeping everything in ./data
  gatehouse demo                                look around in a temporary store
  gatehouse --data-dir /var/lib/gatehouse --rest-listen 0.0.0.0:8080
  gatehouse apply --example > organisation.toml write a first organisation, edit it,
  gatehouse apply organisation.toml --dry-run   see what it would change,
  gatehouse apply organisation.toml             and change it
  gatehouse token create --user deploy-bot --name ci --scope api --expires-in-days 90

The first start creates the administrator root, whose token is then in the file root-token of the data folder. Commands
that call a server use it if it is there; else set GATEHOUSE_TOKEN or --token-file.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve gRPC alone
    ///
    /// Stops at SIGTERM or SIGINT: takes no new calls and lets those that have begun finish.
    Grpc(serve::GrpcAlone),
    /// Serve REST alone, in front of a gRPC server elsewhere
    ///
    /// Keeps nothing: run as many as you like. Each forwards its callers' tokens to the gRPC server.
    Rest(serve::RestAlone),
    /// Serve a small made-up organisation from a temporary store, and tell how to call it
    ///
    /// Groups, two projects, users of every role with a token each, and some weeks of deployments. Prints the tokens
    /// and calls to paste. Everything is gone when the command ends.
    Demo(demo::Options),
    /// Create and change users, groups, projects, members and environments to match a file
    ///
    /// Applying a file a second time changes nothing. Nothing is ever deleted, and what the file leaves out stays as
    /// it is. The whole file is compared with the server before the first change is made.
    Apply(apply::Options),
    /// Create, list and revoke tokens
    ///
    /// Users manage their own tokens, administrators everyone's.
    #[command(subcommand)]
    Token(token::Command),
    /// Bring the database up to date and exit
    ///
    /// On SQLite servers do this by themselves when they start; on PostgreSQL they never do. Run it before a new version
    /// serves: one at a time does it, others wait. Repeating it changes nothing.
    Migrate(migrate::Options),
    /// Write everything that a database holds into a file of JSON lines
    ///
    /// Everything as it is at one moment, tokens as hashes; a server may be running. The file can be imported into an
    /// empty database of any engine. The README documents its form.
    Export(export::Options),
    /// Fill an empty database with what an export has
    ///
    /// A SQLite database is made if it is not there; one of PostgreSQL has to have been brought up to date by `gatehouse
    /// migrate`, and never been served. A file is checked to its end before anything is written. If the import breaks
    /// off, begin it again: it goes on where it was. At the end the database is read and compared with the export; until
    /// then no server serves it. An export that is there already is refused, and nothing is changed.
    Import(import::Options),
    /// Copy a SQLite database that may be in use
    ///
    /// The copy holds everything that was acknowledged before the command began, and is a database that can be served.
    Backup(backup::Options),
    /// Ask a server whether it is healthy; the exit code answers
    ///
    /// Exit code 0: it serves. 1: it does not, or nothing answers in time. Needs no token.
    Healthcheck(healthcheck::Options),
}

impl Cli {
    /// What is logged unless the options say otherwise: servers tell what they do, and the others have better ways.
    pub fn log_level(&self) -> Level {
        match self.command {
            None | Some(Command::Grpc(_) | Command::Rest(_)) => Level::INFO,
            Some(_) => Level::WARN,
        }
    }

    /// Where traces go; only servers make some.
    pub fn traces(&self) -> Option<&TraceOptions> {
        match &self.command {
            None => Some(&self.serve.operations.traces),
            Some(Command::Grpc(options)) => Some(&options.operations.traces),
            Some(Command::Rest(options)) => Some(&options.operations.traces),
            Some(_) => None,
        }
    }
}

/// Runs the command to its end; for servers that is when they are told to stop. They let `telemetry` end in time.
pub async fn run(cli: Cli, telemetry: Telemetry) -> Result<(), Error> {
    match cli.command {
        None => serve::both(cli.serve, telemetry).await,
        Some(Command::Grpc(options)) => serve::grpc(options, telemetry).await,
        Some(Command::Rest(options)) => serve::rest(options, telemetry).await,
        Some(Command::Demo(options)) => demo::run(options).await,
        Some(Command::Apply(options)) => apply::run(options).await,
        Some(Command::Token(command)) => token::run(command).await,
        Some(Command::Migrate(options)) => migrate::run(options).await,
        Some(Command::Export(options)) => Box::pin(export::run(options)).await,
        Some(Command::Import(options)) => import::run(options).await,
        Some(Command::Backup(options)) => backup::run(options).await,
        Some(Command::Healthcheck(options)) => healthcheck::run(options).await,
    }
}

/// Whatever else can go wrong below a command.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a command failed. The text names what was attempted; the causes are its sources.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] config::Error),
    /// The operating system refused.
    #[error("cannot {action}")]
    System {
        /// What was attempted.
        action: String,
        /// The refusal.
        source: io::Error,
    },
    /// The address of a server is taken or not ours.
    #[error("{setting}: cannot listen on {address}")]
    Listen {
        /// The flag.
        setting: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// The refusal.
        source: io::Error,
    },
    /// The store cannot be opened or brought up to date.
    #[error("cannot open the store")]
    Store(#[source] Cause),
    /// Nothing was exported.
    #[error("cannot export")]
    Export(#[source] moving::Error),
    /// Not everything was imported.
    #[error("cannot import")]
    Import(#[source] moving::Error),
    /// The store was not copied.
    #[error("cannot copy the database")]
    Backup(#[source] moving::Error),
    /// The command was told to stop before it had done anything.
    #[error("told to stop; nothing was written")]
    Interrupted,
    /// A server failed.
    #[error("the {server} failed")]
    Server {
        /// Which.
        server: &'static str,
        /// Why.
        source: Cause,
    },
    /// A server ended though nobody had asked it to.
    #[error("the {server} stopped by itself")]
    Stopped {
        /// Which.
        server: &'static str,
    },
    /// No server answers there.
    #[error("cannot reach {url}")]
    Unreachable {
        /// Where.
        url: GrpcUrl,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The server refused a call.
    #[error("{action}: {refusal}")]
    Refused {
        /// What was attempted.
        action: String,
        /// The answer.
        refusal: client::Refusal,
    },
    /// The file to apply cannot be used.
    #[error("{file} cannot be applied:\n{problem}")]
    File {
        /// Its name.
        file: String,
        /// What is wrong, one problem a line.
        problem: String,
    },
    /// The server answers, but does not serve.
    #[error("{url} is {state}")]
    Unhealthy {
        /// Where.
        url: GrpcUrl,
        /// What it says of itself.
        state: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use std::path::Path;

    use super::*;
    use crate::{config::LogFormat, store::Location};

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_both_servers_listen_on_this_machine_only() {
        let serve = parse("gatehouse").unwrap().serve;
        assert_eq!(serve.grpc.grpc_listen, "127.0.0.1:50051".parse().unwrap());
        assert_eq!(serve.rest.rest_listen, "127.0.0.1:8080".parse().unwrap());
        match serve.store.location().unwrap() {
            Location::Sqlite(file) => assert_eq!(file, Path::new("./data/gatehouse.db")),
            other @ Location::Postgres(_) => panic!("{other:?}"),
        }
        assert!(!serve.rest.trust_proxy);
    }

    #[test]
    fn every_setting_of_a_server_and_client_has_an_environment_variable_of_its_name() {
        let cli = Cli::command();
        let settings = |name: &str| {
            cli.find_subcommand(name)
                .unwrap()
                .get_arguments()
                .collect::<Vec<_>>()
        };
        let mut checked = 0;
        for argument in cli
            .get_arguments()
            .chain(
                [
                    "grpc",
                    "rest",
                    "demo",
                    "migrate",
                    "export",
                    "import",
                    "backup",
                    "healthcheck",
                ]
                .into_iter()
                .flat_map(settings),
            )
            .filter(|argument| !argument.is_global_set())
        {
            let Some(flag) = argument
                .get_long()
                .filter(|flag| !["help", "version"].contains(flag))
            else {
                continue;
            };
            let variable = format!("GATEHOUSE_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(argument.get_env().unwrap(), variable.as_str(), "--{flag}");
            checked += 1;
        }
        assert!(checked > 20, "only {checked} settings were found");
    }

    #[test]
    fn a_value_that_cannot_be_used_is_refused_with_the_name_of_its_setting() {
        for (setting, value) in [
            ("--grpc-listen", "localhost"),
            ("--rest-listen", "8080"),
            ("--max-message-bytes", "0"),
            ("--max-body-bytes", "-1"),
            ("--request-timeout-seconds", "0"),
            ("--request-timeout-seconds", "1.5"),
            ("--drain-timeout-seconds", "99999999999999999999"),
            ("--external-url", "gitlab.example.com"),
            ("--external-url", "ftp://gitlab.example.com"),
            ("--external-url", "https://me:secret@gitlab.example.com"),
            ("--external-url", "https://gitlab.example.com/?a=b"),
            ("--log-format", "xml"),
            ("--log-level", "gatehouse=loud"),
            ("--metrics-listen", "9090"),
            ("--otlp-endpoint", "collector:4317"),
            ("--otlp-endpoint", "https://collector.example"),
            ("--otlp-sampling-ratio", "1.5"),
            ("--otlp-sampling-ratio", "NaN"),
        ] {
            let error = parse(&format!("gatehouse {setting}={value}")).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{setting} {value}");
            assert!(error.to_string().contains(setting), "{error}");
        }
        for value in [
            "127.0.0.1:50051",
            "https://gatehouse.example",
            "http://gatehouse.example/api",
            "http://",
        ] {
            let error = parse(&format!("gatehouse rest --grpc-url={value}")).unwrap_err();
            assert!(error.to_string().contains("--grpc-url"), "{error}");
        }
    }

    #[test]
    fn a_refused_database_url_is_not_repeated_for_it_may_hold_a_password() {
        let cli = parse("gatehouse --database-url=mysql://me:secret@db/gatehouse").unwrap();
        let error = cli.serve.store.location().unwrap_err();
        assert_eq!(
            error.to_string(),
            "--database-url: it must begin with sqlite: or postgres://"
        );
        assert!(!format!("{cli:?}").contains("secret"));
    }

    #[test]
    fn options_of_the_servers_are_refused_before_a_command_that_would_ignore_them() {
        let error = parse("gatehouse --grpc-listen=127.0.0.1:1 token list").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn logging_is_set_after_any_command() {
        let cli = parse("gatehouse healthcheck --log-format json --log-level warn,gatehouse=debug").unwrap();
        assert_eq!(cli.log.log_format, LogFormat::Json);
        assert_eq!(cli.log.log_level.unwrap().as_str(), "warn,gatehouse=debug");
    }

    #[test]
    fn a_token_is_never_taken_from_the_command_line() {
        let error = parse("gatehouse token list --token gh-secret").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownArgument);
    }
}
