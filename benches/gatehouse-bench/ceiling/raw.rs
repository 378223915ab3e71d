//! The statements on SQLite and nothing around them: prepared once, on the same rows in the same schema. By rusqlite on one
//! thread, each write on disk before the next begins; and reads by sqlx on as many connections as Gatehouse has.

use std::{
    hint::black_box,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use hdrhistogram::Histogram;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row as _, ValueRef as _};
use tokio::task::JoinSet;

use crate::{
    Failure,
    data::{DEVELOPER, deployment_created, environments_of},
    grpc::scatter,
    load::{Contender, Round, histogram, record},
    process::cpu_micros,
};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Work {
    /// New deployments are written.
    Create,
    /// Approvals of those that wait are written.
    Approve,
    /// Deployments are read.
    Get,
    /// Pages of 20 are read.
    List,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Approve => "approve",
            Self::Get => "get",
            Self::List => "list",
        }
    }
}

/// How the statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Driver {
    /// By rusqlite, on one thread.
    Rusqlite,
    /// By sqlx, from many tasks: reads only.
    Sqlx,
}

/// What to do with which store.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The store, which nobody else may write to meanwhile
    #[arg(long)]
    store: PathBuf,
    /// What is done
    #[arg(long)]
    work: Work,
    /// By what
    #[arg(long)]
    driver: Driver,
    /// How many writes a transaction holds
    #[arg(long)]
    batch: u64,
    /// Over how many projects
    #[arg(long)]
    projects: i64,
}

const LOCK: &str = "UPDATE projects SET changes = changes + 1, last_iid = last_iid + ?3, last_event = last_event + 1, \
     latest_at = CASE WHEN latest_at > ?2 THEN latest_at ELSE ?2 END WHERE id = ?1 RETURNING last_iid, last_event";
const DEPLOYMENT: &str = "INSERT INTO deployments (project_id, iid, environment_id, ref, tag, sha, user_id, status, \
     created_at, updated_at, finished_at, gate, version, commit_sha, job_id) VALUES (?1, ?2, ?3, 'main', 0, ?4, ?5, \
     'running', ?6, ?6, 9223372036854775807, 'open', 1, ?4, NULL) RETURNING id";
const APPROVAL: &str = "INSERT INTO approvals (deployment_id, user_id, status, comment, represented_as, pinned, \
     created_at, updated_at) VALUES (?1, ?2, 'approved', NULL, '', '', ?3, ?3) ON CONFLICT (deployment_id, user_id) DO \
     UPDATE SET status = excluded.status, comment = excluded.comment, represented_as = excluded.represented_as, \
     pinned = excluded.pinned, updated_at = excluded.updated_at";
const EVENT: &str = "INSERT INTO events (project_id, seq, kind, actor_id, created_at, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// What is read of a deployment.
const COLUMNS: &str = "SELECT d.id, d.project_id, d.iid, d.ref, d.tag, d.sha, d.status, d.created_at, d.updated_at, \
     d.finished_at, d.gate, d.failure_reason, d.version, d.commit_sha, d.job_id, e.id, e.name, e.slug, e.external_url, \
     e.created_at, e.updated_at, u.id, u.username, u.name, u.public_email, u.avatar_url, u.state";
const GET: &str = " FROM deployments d CROSS JOIN environments e LEFT JOIN users u ON u.id = d.user_id \
     WHERE e.id = d.environment_id AND d.id = $1";
const LIST: &str = " FROM (SELECT id FROM deployments WHERE project_id = $1 ORDER BY iid DESC LIMIT 21) AS page CROSS JOIN \
     deployments d CROSS JOIN environments e LEFT JOIN users u ON u.id = d.user_id WHERE d.id = page.id AND \
     e.id = d.environment_id ORDER BY d.iid DESC";
/// As many as Gatehouse has.
const READERS: u32 = 4;
/// Who waits for them.
const TASKS: u64 = 64;

/// For every line with a number of milliseconds: works that long, and answers a line of JSON.
pub fn run(options: &Options) -> Result<(), Failure> {
    match options.driver {
        Driver::Rusqlite => by_rusqlite(options),
        Driver::Sqlx => tokio::runtime::Runtime::new()?.block_on(by_sqlx(options)),
    }
}

/// Answers what came of a round.
fn tell(begin: Instant, latencies: &Histogram<u64>) {
    let seconds = begin.elapsed().as_secs_f64();
    let counts: Vec<(u64, u64)> = latencies
        .iter_recorded()
        .map(|step| (step.value_iterated_to(), step.count_at_value()))
        .collect();
    println!("{}", json!({ "seconds": seconds, "latencies": counts }));
}

fn by_rusqlite(options: &Options) -> Result<(), Failure> {
    let mut store = Connection::open(&options.store)?;
    // As Gatehouse has them.
    store.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -16384; \
         PRAGMA temp_store = MEMORY;",
    )?;
    let blocked: Vec<(i64, i64, i64)> = store
        .prepare("SELECT id, project_id, iid FROM deployments WHERE status = 'blocked' ORDER BY id")?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let last: i64 = store.query_row("SELECT MAX(id) FROM deployments", (), |row| row.get(0))?;
    let mut number = 0;
    for line in std::io::stdin().lines() {
        let length = Duration::from_millis(line?.trim().parse()?);
        let begin = Instant::now();
        let mut latencies = histogram();
        while begin.elapsed() < length {
            let began = Instant::now();
            if matches!(options.work, Work::Get | Work::List) {
                read(&store, options.work, scatter(number), last)?;
                number += 1;
                record(&mut latencies, began.elapsed());
                continue;
            }
            let transaction = store.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for _ in 0..options.batch {
                if options.work == Work::Create {
                    create(&transaction, number, options.projects)?;
                } else {
                    approve(&transaction, number, &blocked)?;
                }
                number += 1;
            }
            transaction.commit()?;
            let took = began.elapsed();
            for _ in 0..options.batch {
                record(&mut latencies, took);
            }
        }
        tell(begin, &latencies);
    }
    Ok(())
}

/// Which row or page a number is for.
fn key(work: Work, dice: u64, last: i64) -> i64 {
    match work {
        Work::List => 1 + (dice % 20) as i64,
        _ => 1 + (dice % last as u64) as i64,
    }
}

/// What is read.
fn statement(work: Work) -> String {
    let from = if work == Work::List { LIST } else { GET };
    format!("{COLUMNS}{from}")
}

fn read(store: &Connection, work: Work, dice: u64, last: i64) -> Result<(), Failure> {
    let mut prepared = store.prepare_cached(&statement(work))?;
    let mut rows = prepared.query(params![key(work, dice, last)])?;
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        for place in 0..27 {
            black_box(row.get::<_, rusqlite::types::Value>(place)?);
        }
        seen += 1;
    }
    if seen == 0 {
        return Err("nothing to read".into());
    }
    Ok(())
}

async fn by_sqlx(options: &Options) -> Result<(), Failure> {
    let settings = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&options.store)
        .pragma("cache_size", "-16384")
        .pragma("query_only", "ON");
    let store = sqlx::sqlite::SqlitePoolOptions::new()
        .max_connections(READERS)
        .test_before_acquire(false)
        .connect_with(settings)
        .await?;
    let (last,): (i64,) = sqlx::query_as("SELECT MAX(id) FROM deployments")
        .fetch_one(&store)
        .await?;
    let work = options.work;
    let text: Arc<str> = statement(work).into();
    let numbers = Arc::new(AtomicU64::new(0));
    for line in std::io::stdin().lines() {
        let length = Duration::from_millis(line?.trim().parse()?);
        let begin = Instant::now();
        let mut reading = JoinSet::new();
        for _ in 0..TASKS {
            let (store, text, numbers) = (store.clone(), Arc::clone(&text), Arc::clone(&numbers));
            reading.spawn(async move {
                let mut latencies = histogram();
                while begin.elapsed() < length {
                    let began = Instant::now();
                    let dice = scatter(numbers.fetch_add(1, Ordering::Relaxed));
                    let rows = sqlx::query(AssertSqlSafe(Arc::clone(&text)))
                        .bind(key(work, dice, last))
                        .fetch_all(&store)
                        .await?;
                    for row in &rows {
                        for place in 0..27 {
                            black_box(row.try_get_raw(place)?.is_null());
                        }
                    }
                    record(&mut latencies, began.elapsed());
                }
                Ok::<_, Failure>(latencies)
            });
        }
        let mut latencies = histogram();
        while let Some(done) = reading.join_next().await {
            latencies.add(done??)?;
        }
        tell(begin, &latencies);
    }
    Ok(())
}

fn create(store: &Transaction<'_>, number: u64, projects: i64) -> Result<(), Failure> {
    let project = 1 + (scatter(number) % projects as u64) as i64;
    let environment = environments_of(project).0;
    let now = 1_790_000_000_000 + number as i64;
    let sha = format!("{:016x}{number:024x}", scatter(number));
    let (iid, seq): (i64, i64) = store
        .prepare_cached(LOCK)?
        .query_row(params![project, now, 1], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let id: i64 = store
        .prepare_cached(DEPLOYMENT)?
        .query_row(params![project, iid, environment, sha, DEVELOPER, now], |row| {
            row.get(0)
        })?;
    let payload = deployment_created(id, iid, environment, "production", "main", &sha, "running");
    store.prepare_cached(EVENT)?.execute(params![
        project,
        seq,
        "deployment_created",
        DEVELOPER,
        now,
        payload
    ])?;
    Ok(())
}

fn approve(store: &Transaction<'_>, number: u64, blocked: &[(i64, i64, i64)]) -> Result<(), Failure> {
    let number = usize::try_from(number)?;
    // All deployments once, then again by the next person.
    let user = crate::data::APPROVERS
        .get(number / blocked.len())
        .ok_or("every approval has been given: fewer rounds, or a larger store")?;
    let (deployment, project, iid) = blocked[number % blocked.len()];
    let environment = environments_of(project).1;
    let now = 1_790_000_000_000 + number as i64;
    let seq: i64 = store
        .prepare_cached(LOCK)?
        .query_row(params![project, now, 0], |row| row.get(1))?;
    store
        .prepare_cached(APPROVAL)?
        .execute(params![deployment, user, now])?;
    let payload = format!(
        "{{\"deployment_id\":{deployment},\"iid\":{iid},\"environment_id\":{environment},\
         \"environment\":\"guarded\",\"user_id\":{user},\"before\":null,\"after\":\"approved\",\"comment\":null,\
         \"represented_as\":\"\",\"pending_approval_count\":4}}"
    );
    store
        .prepare_cached(EVENT)?
        .execute(params![project, seq, "approval_submitted", user, now, payload])?;
    Ok(())
}

/// The process that does this, as a contender.
pub struct Raw {
    name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Raw {
    /// Writes by rusqlite, on a store of its own.
    pub fn writes(
        store: &Path,
        work: Work,
        batch: u64,
        projects: i64,
    ) -> Result<Box<dyn Contender>, Failure> {
        let name = format!("raw rusqlite, {batch} a transaction");
        Self::start(name, store, work, "rusqlite", (batch, projects))
    }

    /// Reads, beside others that read.
    pub fn reads(store: &Path, work: Work, driver: Driver) -> Result<Box<dyn Contender>, Failure> {
        let (name, driver) = match driver {
            Driver::Rusqlite => ("raw rusqlite, one thread".to_owned(), "rusqlite"),
            Driver::Sqlx => (format!("raw sqlx, {READERS} connections"), "sqlx"),
        };
        Self::start(name, store, work, driver, (1, 1))
    }

    fn start(
        name: String,
        store: &Path,
        work: Work,
        driver: &str,
        (batch, projects): (u64, i64),
    ) -> Result<Box<dyn Contender>, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["raw-sqlite", "--work", work.name(), "--driver", driver, "--store"])
            .arg(store)
            .args(["--batch", &batch.to_string(), "--projects", &projects.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Box::new(Self {
            name,
            child,
            input,
            output,
        }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[async_trait]
impl Contender for Raw {
    fn name(&self) -> &str {
        &self.name
    }

    async fn round(&mut self, length: Duration) -> Result<Round, Failure> {
        let before = cpu_micros(&[self.child.id()]);
        writeln!(self.input, "{}", length.as_millis())?;
        let mut line = String::new();
        // Nobody else works meanwhile.
        tokio::task::block_in_place(|| self.output.read_line(&mut line))?;
        if line.is_empty() {
            return Err("the raw statements failed".into());
        }
        let told: Value = serde_json::from_str(&line)?;
        let counts: Vec<(u64, u64)> = serde_json::from_value(told["latencies"].clone())?;
        let mut latencies = histogram();
        for (value, count) in counts {
            latencies.record_n(value, count)?;
        }
        Ok(Round {
            answered: latencies.len(),
            seconds: told["seconds"].as_f64().ok_or("no time")?,
            cpu_micros: cpu_micros(&[self.child.id()]) - before,
            latencies,
            refused: 0,
        })
    }
}
