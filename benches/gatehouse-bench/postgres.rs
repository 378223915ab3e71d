//! A PostgreSQL server for this run, and pgbench as the ceiling on it.

use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tempfile::TempDir;

use crate::{
    Failure,
    load::{Contender, Round, histogram},
    process::cpu_micros,
};

/// Where Debian and Red Hat keep the server's programs; elsewhere they are in the path.
const PROGRAMS: [(&str, &str); 2] = [("/usr/lib/postgresql", "bin"), ("/usr", "bin")];
/// The user that a server started by root runs as, for it refuses to run as root.
const NOBODY: u32 = 65534;

/// A server that is durable, as one in production is. It ends with this process, however that ends: then nobody holds
/// the other end of its standard input any more.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    keeper: Child,
}

/// The folder of the server's programs, of the newest version.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = PROGRAMS
        .iter()
        .flat_map(|(parent, below)| {
            let entries = fs::read_dir(parent).into_iter().flatten().flatten();
            entries.map(move |entry| entry.path().join(below))
        })
        .collect();
    found.sort();
    found.reverse();
    found.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    found.into_iter().find(|folder| {
        ["initdb", "postgres", "pgbench"]
            .iter()
            .all(|name| folder.join(name).is_file())
    })
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

impl Cluster {
    /// Starts one, if its programs are here.
    pub async fn start(work: Option<&Path>) -> Result<Self, Failure> {
        let programs = programs().ok_or("the programs of a PostgreSQL server and pgbench are not here")?;
        let mut named = tempfile::Builder::new();
        let named = named.prefix("gatehouse-bench-pg-");
        // Not below the folder of this run: that one is for nobody else's eyes.
        let folder = match work {
            Some(work) => named.tempdir_in(work)?,
            None => named.tempdir()?,
        };
        let script = r#"
            set -eu
            cd "$folder"
            "$bin/initdb" -D data -U gatehouse --auth=trust --no-sync -E UTF8 --locale=C.UTF-8 >initdb.log 2>&1
            "$bin/postgres" -D data -k "$folder" -c listen_addresses= -c max_connections=200 -c shared_buffers=512MB \
                -c max_wal_size=4GB -c checkpoint_timeout=30min >log 2>&1 &
            server=$!
            read -r _ || true
            kill -QUIT $server 2>/dev/null || true
            wait $server || true
            rm -rf "$folder"/data
        "#;
        let mut command = if is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
            let mut command = Command::new("setpriv");
            let nobody = NOBODY.to_string();
            command.args([
                "--reuid",
                &nobody,
                "--regid",
                &nobody,
                "--clear-groups",
                "sh",
                "-c",
            ]);
            command
        } else {
            let mut command = Command::new("sh");
            command.arg("-c");
            command
        };
        let keeper = command
            .arg(script)
            .env("folder", folder.path())
            .env("bin", &programs)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let this = Self {
            folder,
            programs,
            keeper,
        };
        let deadline = Instant::now() + Duration::from_mins(1);
        while this.run("psql", &["-d", "postgres", "-c", "SELECT 1"]).is_err() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(this.folder.path().join("log")).unwrap_or_default();
                return Err(format!("PostgreSQL takes no connection: {log}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(this)
    }

    /// The folder of its socket.
    pub fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a database and answers its URL.
    pub fn create(&self, database: &str, template: &str) -> Result<String, Failure> {
        self.run("createdb", &["-T", template, database])?;
        let folder = self.folder.path().to_str().ok_or("a folder that is no text")?;
        Ok(format!(
            "postgres://gatehouse@{}/{database}",
            folder.replace('/', "%2F")
        ))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .arg("-h")
            .arg(self.folder.path())
            .args(["-U", "gatehouse"])
            .current_dir(self.folder.path());
        command
    }

    /// Runs one of its programs, and answers what that says.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, Failure> {
        let output = self.command(program).args(arguments).output()?;
        if !output.status.success() {
            return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The process that all of the server's others belong to.
    pub fn id(&self) -> u32 {
        self.keeper.id()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// pgbench with a script, as a contender.
pub struct Pgbench {
    cluster: Arc<Cluster>,
    name: String,
    database: String,
    script: String,
    clients: u32,
}

impl Pgbench {
    /// With so many clients.
    pub fn new(cluster: &Arc<Cluster>, name: &str, database: &str, script: String, clients: u32) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            name: format!("pgbench, {name}, {clients} clients"),
            database: database.to_owned(),
            script,
            clients,
        }
    }
}

#[async_trait]
impl Contender for Pgbench {
    fn name(&self) -> &str {
        &self.name
    }

    async fn round(&mut self, length: Duration) -> Result<Round, Failure> {
        let folder = tempfile::tempdir()?;
        let script = folder.path().join("script.sql");
        fs::write(&script, &self.script)?;
        let seconds = length.as_secs().max(1);
        let before = cpu_micros(&[self.cluster.id()]);
        let mut command = self.cluster.command("pgbench");
        command
            .args(["-n", "-M", "prepared", "-j", "2", "-c", &self.clients.to_string()])
            .args(["-T", &seconds.to_string(), "-l", "--log-prefix"])
            .arg(folder.path().join("log"))
            .arg("-f")
            .arg(&script)
            .arg(&self.database);
        let output = tokio::task::block_in_place(|| command.output())?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !text.contains("failed transactions: 0 ") {
            let complaint = String::from_utf8_lossy(&output.stderr);
            let first = complaint.lines().find(|line| line.contains("error"));
            return Err(first.unwrap_or("pgbench: transactions failed").into());
        }
        let after = cpu_micros(&[self.cluster.id()]);
        let rate = text
            .lines()
            .find_map(|line| line.strip_prefix("tps = "))
            .and_then(|line| line.split(' ').next())
            .ok_or("pgbench tells no rate")?
            .parse::<f64>()?;
        let mut latencies = histogram();
        for entry in fs::read_dir(folder.path())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("log") {
                // client, transaction, microseconds, ...
                for line in fs::read_to_string(entry.path())?.lines() {
                    if let Some(Ok(took)) = line.split(' ').nth(2).map(str::parse) {
                        latencies.saturating_record(took);
                    }
                }
            }
        }
        Ok(Round {
            answered: latencies.len(),
            // Without the time that it takes to connect.
            seconds: latencies.len() as f64 / rate,
            cpu_micros: after - before,
            latencies,
            refused: 0,
        })
    }
}
