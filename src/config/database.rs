//! The database: where it is, and how it is used.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use clap::{Args, ValueEnum};
use sqlx::postgres::PgConnectOptions;

use super::{Error, Secret, refused, seconds};
use crate::{
    domain::token,
    first_start::RootToken,
    store::{
        Location,
        postgres::{self, Settings},
    },
};

/// The parameters that a PostgreSQL URL may have. The others would be passed over, which is no way to treat a misspelt
/// `sslmode`.
const PARAMETERS: [&str; 7] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "dbname",
];

/// The least that a token has that somebody made up: nobody should be able to guess it.
const ROOT_TOKEN_MIN: usize = 20;

/// Where what is recorded is kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Store")]
pub struct StoreOptions {
    /// The folder for a SQLite database and the first administrator's token; made if it is missing
    #[arg(
        long,
        env = "GATEHOUSE_DATA_DIR",
        default_value = "./data",
        value_name = "FOLDER"
    )]
    pub data_dir: PathBuf,

    /// The database: `sqlite://PATH` or `postgres://USER@HOST/DATABASE?sslmode=verify-full` [default: gatehouse.db in the
    /// data folder]
    #[arg(
        long,
        env = "GATEHOUSE_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<Secret>,

    /// A file with the token that the first administrator is to have, 20 characters at least; it is taken at the first start
    /// [default: a token is made and written to root-token in the data folder]
    #[arg(long, env = "GATEHOUSE_ROOT_TOKEN_FILE", value_name = "FILE")]
    pub root_token_file: Option<PathBuf>,

    /// A file with the password of the database's user, if it is not in the URL
    #[arg(long, env = "GATEHOUSE_DATABASE_PASSWORD_FILE", value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,

    /// A streaming replica of the PostgreSQL database, for reads that ask for it; same user and password file
    #[arg(
        long,
        env = "GATEHOUSE_DATABASE_READ_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_read_url: Option<Secret>,

    /// What stands between this server and PostgreSQL
    #[arg(
        long,
        env = "GATEHOUSE_DATABASE_POOLER",
        value_enum,
        default_value_t,
        value_name = "KIND"
    )]
    pub database_pooler: Pooler,

    /// The most connections to PostgreSQL, beside one on which it listens
    #[arg(
        long,
        env = "GATEHOUSE_DATABASE_MAX_CONNECTIONS",
        default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(1..=1000),
        value_name = "COUNT"
    )]
    pub database_max_connections: u32,

    /// How long a call waits for a free connection to PostgreSQL
    #[arg(long = "database-acquire-timeout-seconds", env = "GATEHOUSE_DATABASE_ACQUIRE_TIMEOUT_SECONDS",
        default_value = "5", value_parser = seconds, value_name = "SECONDS")]
    pub database_acquire_timeout: Duration,

    /// The longest a statement may take on PostgreSQL
    #[arg(long = "database-statement-timeout-seconds", env = "GATEHOUSE_DATABASE_STATEMENT_TIMEOUT_SECONDS",
        default_value = "15", value_parser = seconds, value_name = "SECONDS")]
    pub database_statement_timeout: Duration,

    /// The longest a statement may wait for a lock on PostgreSQL
    #[arg(long = "database-lock-timeout-seconds", env = "GATEHOUSE_DATABASE_LOCK_TIMEOUT_SECONDS",
        default_value = "5", value_parser = seconds, value_name = "SECONDS")]
    pub database_lock_timeout: Duration,

    /// How old a connection to PostgreSQL may become
    #[arg(long = "database-max-lifetime-seconds", env = "GATEHOUSE_DATABASE_MAX_LIFETIME_SECONDS",
        default_value = "1800", value_parser = seconds, value_name = "SECONDS")]
    pub database_max_lifetime: Duration,

    /// How long a connection to PostgreSQL is kept that nobody uses
    #[arg(long = "database-idle-timeout-seconds", env = "GATEHOUSE_DATABASE_IDLE_TIMEOUT_SECONDS",
        default_value = "600", value_parser = seconds, value_name = "SECONDS")]
    pub database_idle_timeout: Duration,
}

/// What stands between the server and PostgreSQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Pooler {
    /// Nothing, or one that keeps a connection for a session.
    #[default]
    None,
    /// One that keeps a connection for a transaction only, such as PgBouncer with `pool_mode = transaction`.
    Transaction,
}

impl StoreOptions {
    /// A SQLite store in `data_dir`, in the place that is the default.
    pub fn within(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            database_url: None,
            root_token_file: None,
            database_password_file: None,
            database_read_url: None,
            database_pooler: Pooler::None,
            database_max_connections: 1,
            database_acquire_timeout: Duration::from_secs(5),
            database_statement_timeout: Duration::from_secs(15),
            database_lock_timeout: Duration::from_secs(5),
            database_max_lifetime: Duration::from_mins(30),
            database_idle_timeout: Duration::from_mins(10),
        }
    }

    /// Where the store is.
    ///
    /// Checked here and not when it is read: the error that clap makes would show the URL, and with it its password.
    pub fn location(&self) -> Result<Location, Error> {
        let Some(url) = &self.database_url else {
            return self.sqlite(self.data_dir.join("gatehouse.db"));
        };
        let url = url.expose();
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path == ":memory:" || path.contains('?') {
                return Err(refused(
                    "--database-url",
                    "behind sqlite: there must be a path and nothing else",
                ));
            }
            return self.sqlite(PathBuf::from(path));
        }
        let password = self.password()?;
        let primary = server("--database-url", url, password.as_ref())?;
        let replica = match &self.database_read_url {
            None => None,
            Some(url) => Some(server("--database-read-url", url.expose(), password.as_ref())?),
        };
        Ok(Location::Postgres(Box::new(Settings {
            primary,
            replica,
            pooler: match self.database_pooler {
                Pooler::None => postgres::Pooler::None,
                Pooler::Transaction => postgres::Pooler::Transaction,
            },
            connections: self.database_max_connections,
            acquire_timeout: self.database_acquire_timeout,
            statement_timeout: self.database_statement_timeout,
            lock_timeout: self.database_lock_timeout,
            max_lifetime: self.database_max_lifetime,
            idle_timeout: self.database_idle_timeout,
        })))
    }

    /// Where the first administrator's token comes from.
    pub fn root_token(&self) -> Result<RootToken, Error> {
        let Some(file) = &self.root_token_file else {
            return Ok(RootToken::MadeIn(self.data_dir.clone()));
        };
        let refused =
            |problem: String| refused("--root-token-file", format!("{}: {problem}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
        let token = text.trim();
        if token.len() < ROOT_TOKEN_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refused(format!(
                "it must hold one token, of at least {ROOT_TOKEN_MIN} visible ASCII characters"
            )));
        }
        Ok(RootToken::Given(token::Secret::presented(token)))
    }

    /// Whether anything is kept in the data folder.
    pub fn keeps_files(&self) -> bool {
        self.root_token_file.is_none() || self.database_url.is_none()
    }

    /// Refuses a pooler that gives each transaction another connection: migrations are kept apart by a lock of the
    /// connection, which behind one would be left to somebody else, and an import does more on one than transactions.
    pub fn goes_directly(&self) -> Result<(), Error> {
        match self.database_pooler {
            Pooler::None => Ok(()),
            Pooler::Transaction => Err(refused(
                "--database-pooler",
                "this goes to PostgreSQL directly: name the server behind the pooler, and leave this away",
            )),
        }
    }

    fn sqlite(&self, file: PathBuf) -> Result<Location, Error> {
        for (setting, is_set) in [
            ("--database-read-url", self.database_read_url.is_some()),
            ("--database-password-file", self.database_password_file.is_some()),
        ] {
            if is_set {
                return Err(refused(
                    setting,
                    "it is for a PostgreSQL database, which --database-url does not name",
                ));
            }
        }
        Ok(Location::Sqlite(file))
    }

    fn password(&self) -> Result<Option<Secret>, Error> {
        let Some(file) = &self.database_password_file else {
            return Ok(None);
        };
        let text = fs::read_to_string(file)
            .map_err(|error| refused("--database-password-file", format!("{}: {error}", file.display())))?;
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(refused(
                "--database-password-file",
                format!("{} is empty", file.display()),
            ));
        }
        Ok(Some(Secret::new(password)))
    }
}

/// Reads the URL of a PostgreSQL server. What is refused is not repeated: it may hold a password.
fn server(setting: &'static str, url: &str, password: Option<&Secret>) -> Result<PgConnectOptions, Error> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(refused(setting, "it must begin with sqlite: or postgres://"));
    }
    if let Some((_, query)) = url.split_once('?') {
        for (name, _) in form_urlencoded::parse(query.as_bytes()) {
            if name == "password" {
                return Err(refused(
                    setting,
                    "put the password before the @, or into --database-password-file",
                ));
            }
            if !PARAMETERS.contains(&name.as_ref()) {
                let known = PARAMETERS.join(", ");
                return Err(refused(
                    setting,
                    format!("a parameter is not known; there are {known}"),
                ));
            }
        }
    }
    let options = PgConnectOptions::from_str(url).map_err(|_| {
        refused(
            setting,
            "it must be of the form postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE, with what is special \
             percent-encoded, and MODE one of disable, allow, prefer, require, verify-ca, verify-full",
        )
    })?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(refused(setting, "it must name a database, behind the host"));
    }
    Ok(match password {
        Some(password) => options.password(password.expose()),
        None => options,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: Option<&str>) -> StoreOptions {
        StoreOptions {
            database_url: url.map(Secret::new),
            ..StoreOptions::within(Path::new("my data"))
        }
    }

    #[test]
    fn a_store_is_named_by_its_url_or_found_in_the_data_folder() {
        for (url, expected) in [
            (None, "my data/gatehouse.db"),
            (Some("sqlite:///var/lib/gatehouse.db"), "/var/lib/gatehouse.db"),
            (Some("sqlite:gatehouse.db"), "gatehouse.db"),
        ] {
            match options(url).location().unwrap() {
                Location::Sqlite(file) => assert_eq!(file, Path::new(expected)),
                other @ Location::Postgres(_) => panic!("{other:?}"),
            }
        }
        match options(Some("postgres://me@db.example:6543/ledger?sslmode=verify-full"))
            .location()
            .unwrap()
        {
            Location::Postgres(settings) => {
                assert_eq!(settings.primary.get_host(), "db.example");
                assert_eq!(settings.primary.get_port(), 6543);
                assert_eq!(settings.primary.get_username(), "me");
                assert_eq!(settings.primary.get_database(), Some("ledger"));
                assert_eq!(format!("{:?}", settings.primary.get_ssl_mode()), "VerifyFull");
            }
            other @ Location::Sqlite(_) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_url_that_names_no_store_is_refused_and_never_repeated() {
        for (url, problem) in [
            ("sqlite::memory:", "behind sqlite: there must be a path"),
            ("sqlite:", "behind sqlite: there must be a path"),
            ("sqlite://a.db?mode=ro", "behind sqlite: there must be a path"),
            (
                "mysql://me:secret@db/ledger",
                "it must begin with sqlite: or postgres://",
            ),
            ("postgres://me:secret@db", "it must name a database"),
            ("postgres://me:secret@db/", "it must name a database"),
            ("postgres://me:secret@db:port/ledger", "it must be of the form"),
            (
                "postgres://me:secret@db/ledger?sslmode=yes",
                "it must be of the form",
            ),
            (
                "postgres://me:secret@db/ledger?ssl_mode=require",
                "a parameter is not known",
            ),
            (
                "postgres://me@db/ledger?password=secret",
                "put the password before the @",
            ),
        ] {
            let error = options(Some(url)).location().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("--database-url: {problem}")),
                "{url}: {error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_root_token_is_made_unless_one_that_nobody_guesses_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let given = |text: &str| {
            fs::write(&file, text).unwrap();
            StoreOptions {
                root_token_file: Some(file.clone()),
                ..options(Some("postgres://me@db/ledger"))
            }
        };
        match options(None).root_token().unwrap() {
            RootToken::MadeIn(folder) => assert_eq!(folder, Path::new("my data")),
            other @ RootToken::Given(_) => panic!("{other:?}"),
        }
        assert!(options(Some("postgres://me@db/ledger")).keeps_files());
        let store = given(" 0123456789abcdefghij\n");
        assert!(!store.keeps_files());
        match store.root_token().unwrap() {
            RootToken::Given(secret) => assert_eq!(secret.reveal(), "0123456789abcdefghij"),
            other @ RootToken::MadeIn(_) => panic!("{other:?}"),
        }
        for short in [
            "",
            "\n",
            "0123456789abcdefghi",
            "0123456789 abcdefghij",
            "0123456789abcdefghi\u{e4}",
        ] {
            let error = given(short).root_token().unwrap_err().to_string();
            assert!(
                error.starts_with("--root-token-file: ") && error.contains("at least 20"),
                "{error}"
            );
        }
        fs::remove_file(&file).unwrap();
        let absent = StoreOptions {
            root_token_file: Some(file.clone()),
            ..options(None)
        };
        assert!(
            absent
                .root_token()
                .unwrap_err()
                .to_string()
                .contains("No such file")
        );
    }

    #[test]
    fn a_password_comes_from_its_file_without_the_end_of_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let with = |text: &str| {
            fs::write(&file, text).unwrap();
            StoreOptions {
                database_password_file: Some(file.clone()),
                ..options(Some("postgres://me@db/ledger"))
            }
        };
        assert_eq!(
            with(" pass word \n").password().unwrap().unwrap().expose(),
            " pass word "
        );
        let error = with("\n").location().unwrap_err().to_string();
        assert!(
            error.starts_with("--database-password-file: ") && error.ends_with("is empty"),
            "{error}"
        );
        let for_sqlite = StoreOptions {
            database_url: None,
            ..with("secret")
        };
        let error = for_sqlite.location().unwrap_err().to_string();
        assert!(
            error.starts_with("--database-password-file: it is for a PostgreSQL database"),
            "{error}"
        );
    }
}
