//! The statements of a write on SQLite and nothing around them: one thread, prepared once, the same rows in the same
//! schema, each transaction on disk before the next begins.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde_json::{Value, json};

use crate::{
    Failure,
    data::{DEVELOPER, deployment_created, environments_of},
    grpc::scatter,
    load::{Contender, Round, histogram, record},
    process::cpu_micros,
};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Write {
    /// New deployments.
    Create,
    /// Approvals of those that wait.
    Approve,
}

/// What to do with which store.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The store, which nobody else has open
    #[arg(long)]
    store: PathBuf,
    /// What is written
    #[arg(long)]
    write: Write,
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

/// For every line with a number of milliseconds: writes that long, and answers a line of JSON.
pub fn run(options: &Options) -> Result<(), Failure> {
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
    let mut number = 0;
    for line in std::io::stdin().lines() {
        let length = Duration::from_millis(line?.trim().parse()?);
        let begin = Instant::now();
        let mut latencies = histogram();
        while begin.elapsed() < length {
            let began = Instant::now();
            let transaction = store.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for _ in 0..options.batch {
                match options.write {
                    Write::Create => create(&transaction, number, options.projects)?,
                    Write::Approve => approve(&transaction, number, &blocked)?,
                }
                number += 1;
            }
            transaction.commit()?;
            let took = began.elapsed();
            for _ in 0..options.batch {
                record(&mut latencies, took);
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        let counts: Vec<(u64, u64)> = latencies
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_at_value()))
            .collect();
        println!("{}", json!({ "seconds": seconds, "latencies": counts }));
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
    /// On a store of its own.
    pub fn start(store: &Path, write: Write, batch: u64, projects: i64) -> Result<Self, Failure> {
        let write = match write {
            Write::Create => "create",
            Write::Approve => "approve",
        };
        let mut child = Command::new(std::env::current_exe()?)
            .args(["raw-sqlite", "--write", write, "--store"])
            .arg(store)
            .args(["--batch", &batch.to_string(), "--projects", &projects.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self {
            name: format!("raw rusqlite, {batch} a transaction"),
            child,
            input,
            output,
        })
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
        })
    }
}
