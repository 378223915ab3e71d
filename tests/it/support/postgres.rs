//! A PostgreSQL server for tests: the one that `TEST_POSTGRES_URL` names, or a throw-away cluster of this process's own.
//!
//! Each test has a database of its own, copied from one whose schema is up to date.

use std::{
    env,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gatehouse::store::{self, Location, postgres::Settings};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// Where Debian and Red Hat keep the server's programs; elsewhere they are in the path.
const PROGRAMS: [&str; 2] = ["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"];
/// The user that a server started by root runs as, for it refuses to run as root.
const NOBODY: &str = "65534";

/// Whether tests can run on PostgreSQL. If not, says so once, whatever becomes of this test's output; where it must be
/// there, as in CI, fails.
pub fn is_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| {
        let here = env::var_os("TEST_POSTGRES_URL").is_some() || programs().is_some();
        if !here {
            let missing = "neither TEST_POSTGRES_URL nor the programs of a PostgreSQL server are here";
            assert!(
                env::var_os("CI").is_none(),
                "tests on PostgreSQL have to run in CI: {missing}"
            );
            // Not by a macro: of those, the output of tests that pass is kept back.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: every test on PostgreSQL, for {missing}"
            );
        }
        here
    })
}

/// The folder of the server's programs, of the newest version.
pub fn programs() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let mut folders: Vec<PathBuf> = PROGRAMS.iter().flat_map(|pattern| matching(pattern)).collect();
            folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
            folders.into_iter().find(|folder| folder.join("initdb").is_file())
        })
        .clone()
}

/// The folders of a pattern with one asterisk, the greatest first.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let (parent, name) = pattern.split_once('*').unwrap();
    let (parent, prefix) = parent.rsplit_once('/').unwrap();
    let below = name.trim_start_matches('/');
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(below))
        .collect();
    found.sort();
    found.reverse();
    found
}

/// What a server is to be like.
#[derive(Default)]
pub struct Shape<'a> {
    /// The port of the loopback address; 0: none.
    pub port: u16,
    /// Whether it survives a crash.
    pub durable: bool,
    /// What its user `gatehouse` has to have over the network; empty: nothing.
    pub password: &'a str,
    /// The folder of the server that it is a replica of; empty: none.
    pub primary: &'a str,
    /// The certificate and its key, if it is to speak TLS.
    pub tls: Option<(String, String)>,
}

/// A server of one's own. It ends with the test process, however that ends: then nobody holds the other end of its
/// standard input any more.
pub struct Cluster {
    folder: TempDir,
    port: u16,
    /// Held open as long as it is to run.
    keeper: Child,
}

impl Cluster {
    /// A server on a socket, and on this port of the loopback address if it is not 0. With `durable` it survives a crash;
    /// without, it is quicker.
    pub fn start(port: u16, durable: bool) -> Self {
        Self::of(&Shape {
            port,
            durable,
            ..Shape::default()
        })
    }

    /// A streaming replica of another server that is ready, on a socket.
    pub fn standby_of(primary: &Self) -> Self {
        Self::of(&Shape {
            durable: true,
            primary: primary.folder.path().to_str().unwrap(),
            ..Shape::default()
        })
    }

    /// A server in a folder of its own.
    pub fn of(shape: &Shape) -> Self {
        let Shape {
            port,
            durable,
            password,
            primary,
            tls,
        } = shape;
        let folder = tempfile::Builder::new()
            .prefix("gatehouse-pg-")
            .tempdir()
            .unwrap();
        // Texts are sorted by ICU unless a column says otherwise: then it shows where one forgot to.
        let script = r#"
            set -eu
            cd "$folder"
            if [ -n "$primary" ]; then
                "$bin/pg_basebackup" -h "$primary" -U gatehouse -D data -R --checkpoint=fast
            else
                auth=trust
                if [ -n "$password" ]; then
                    auth=scram-sha-256
                    (umask 077; printf '%s\n' "$password" >password)
                    pwfile=--pwfile=password
                fi
                "$bin/initdb" -D data -U gatehouse --auth-local=trust --auth-host=$auth ${pwfile-} --no-sync -E UTF8 --locale=C.UTF-8 \
                    --locale-provider=icu --icu-locale=en >initdb.log 2>&1 || { cat initdb.log >&2; exit 1; }
            fi
            start() {
                "$bin/postgres" -D data -k "$folder" $options >>log 2>&1 &
                server=$!
            }
            start
            while read -r _; do
                # Told to start again: after a crash that takes until the last of its processes is gone.
                wait $server || true
                start
                while sleep 0.2; ! kill -0 $server 2>/dev/null; do start; done
            done
            kill -QUIT $server 2>/dev/null || true
            wait $server || true
            [ -z "$throw_away" ] || rm -rf "$folder"
        "#;
        let mut options = vec![
            "-c max_connections=400".to_owned(),
            "-c max_wal_senders=4 -c wal_level=replica".to_owned(),
            "-c autovacuum_naptime=5".to_owned(),
        ];
        if let Some((certificate, key)) = tls {
            for (setting, name, content) in [
                ("ssl_cert_file", "certificate.pem", certificate),
                ("ssl_key_file", "key.pem", key),
            ] {
                let file = folder.path().join(name);
                std::fs::write(&file, content).unwrap();
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
                give(&file);
                options.push(format!("-c {setting}={}", file.display()));
            }
            options.push("-c ssl=on".into());
        }
        if !durable {
            options.push("-c fsync=off -c synchronous_commit=off -c full_page_writes=off".into());
        }
        options.push(match port {
            0 => "-c listen_addresses=".into(),
            port => format!("-c listen_addresses=127.0.0.1 -p {port}"),
        });
        let path = folder.path().to_owned();
        let mut command = if is_root() {
            give(&path);
            let mut command = Command::new("setpriv");
            command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "sh", "-c"]);
            command
        } else {
            let mut command = Command::new("sh");
            command.arg("-c");
            command
        };
        let keeper = command
            .arg(script)
            .env("folder", &path)
            .env("bin", programs().unwrap())
            .env("options", options.join(" "))
            .env("throw_away", "yes")
            .env("password", password)
            .env("primary", primary)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            folder,
            port: if *port == 0 { 5432 } else { *port },
            keeper,
        }
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A database by its socket.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://gatehouse@{folder}:{}/{database}", self.port)
    }

    /// Waits until it takes connections.
    #[expect(clippy::disallowed_methods, reason = "nothing tells when it does")]
    pub fn ready(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        let socket = self.folder.path().join(format!(".s.PGSQL.{}", self.port));
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < deadline, "the database never took a connection");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes a database, by the socket.
    pub fn create(&self, database: &str) {
        let folder = self.folder.path().to_str().unwrap();
        let port = self.port.to_string();
        self.run(
            "createdb",
            &["-h", folder, "-p", &port, "-U", "gatehouse", database],
        );
    }

    /// Lets the server crash: what it has not written to its log is gone.
    pub fn crash(&self) {
        let data = self.data();
        self.run(
            "pg_ctl",
            &["stop", "-m", "immediate", "-D", data.to_str().unwrap()],
        );
    }

    /// Starts the server after a crash. When it is ready it takes connections.
    pub fn start_again(&mut self) {
        self.keeper.stdin.as_mut().unwrap().write_all(b"again\n").unwrap();
    }

    /// Runs one of the server's programs as its user, and waits for its end.
    pub fn run(&self, program: &str, arguments: &[&str]) {
        let program = programs().unwrap().join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        let output = command
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Gives a file to the user that the server runs as.
pub fn give(file: &Path) {
    if is_root() {
        std::os::unix::fs::chown(file, NOBODY.parse().ok(), NOBODY.parse().ok()).unwrap();
    }
}

/// A program that will not run as root, run as somebody else if need be.
pub fn as_nobody(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(program);
    command
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

/// Waits until a database takes connections.
#[expect(clippy::disallowed_methods, reason = "nothing tells when it does")]
pub async fn ready(url: &str) {
    let options: PgConnectOptions = url.parse().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while let Err(error) = PgConnection::connect_with(&options).await {
        assert!(
            Instant::now() < deadline,
            "the database never took a connection: {error}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The server that all tests of this process share.
struct Shared {
    /// The URL up to the database.
    base: String,
    template: String,
    /// Gone with the process.
    _cluster: Option<Cluster>,
}

static SHARED: OnceCell<Shared> = OnceCell::const_new();
static LAST: AtomicU64 = AtomicU64::new(0);

impl Shared {
    async fn get() -> &'static Self {
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let (base, cluster) = if let Ok(url) = env::var("TEST_POSTGRES_URL") {
            (url.rsplit_once('/').unwrap().0.to_owned(), None)
        } else {
            let cluster = Cluster::start(0, false);
            ready(&cluster.url("postgres")).await;
            (cluster.url("").trim_end_matches('/').to_owned(), Some(cluster))
        };
        let template = format!("gatehouse_template_{}", std::process::id());
        let shared = Self {
            base,
            template: template.clone(),
            _cluster: cluster,
        };
        shared.execute(&format!("CREATE DATABASE {template}")).await;
        store::migrate(&location(&shared.url(&template))).await.unwrap();
        shared
    }

    fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.base)
    }

    async fn execute(&self, text: &str) {
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        connection.execute(AssertSqlSafe(text)).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// Where a store is that this URL names.
pub fn location(url: &str) -> Location {
    Location::Postgres(Box::new(Settings {
        // Many tests run at once.
        connections: 6,
        ..Settings::new(url.parse().unwrap())
    }))
}

/// A database for one test, gone when it is dropped.
pub struct Database {
    name: String,
    /// Its URL.
    pub url: String,
}

impl Database {
    /// With an empty store.
    pub async fn create() -> Self {
        let shared = Shared::get().await;
        Self::new(&format!("TEMPLATE {}", shared.template)).await
    }

    /// Without a schema.
    pub async fn create_empty() -> Self {
        Self::new("").await
    }

    async fn new(how: &str) -> Self {
        let shared = Shared::get().await;
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("gatehouse_test_{}_{number}", std::process::id());
        shared.execute(&format!("CREATE DATABASE {name} {how}")).await;
        let url = shared.url(&name);
        Self { name, url }
    }
}

impl Database {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host, or the folder of the socket, and the port of its server.
    pub fn place(&self) -> (String, u16) {
        let options: PgConnectOptions = self.url.parse().unwrap();
        let host = match options.get_socket() {
            Some(socket) => socket.to_str().unwrap().to_owned(),
            None => options.get_host().to_owned(),
        };
        (host, options.get_port())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let text = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // The test's own runtime may be at its end.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                if let Some(shared) = SHARED.get() {
                    shared.execute(&text).await;
                }
            });
        });
        // What a failed test leaves behind is no failure of its own.
        let _ = dropped.join();
    }
}
