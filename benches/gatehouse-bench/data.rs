//! Generated stores: deployments over projects, skewed as real ones are, written by SQL into a store that Gatehouse made.

use std::path::Path;

use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::{Failure, grpc::scatter};

/// The time of the first deployment, in milliseconds, and the time over which all are spread.
const BEGIN: i64 = 1_600_000_000_000;
const SPREAD: i64 = 100_000_000_000;
/// What has not finished.
const NOT_FINISHED: i64 = i64::MAX;
/// Environments of every project, by how often something is deployed to them. The last is protected.
const ENVIRONMENTS: [(&str, &str, &str); 5] = [
    ("production", "production", "production"),
    ("staging", "staging", "staging"),
    ("review/a", "review-a", "development"),
    ("review/b", "review-b", "development"),
    ("guarded", "guarded", "other"),
];
const GUARDED: u64 = 4;
/// Who deploys.
pub const DEVELOPER: i64 = 2;
/// Who recorded what is there.
const AUTHOR: i64 = 3;
/// Who approves. One fewer than a deployment needs, so that each approval is like the others: it frees nothing.
pub const APPROVERS: [i64; 4] = [4, 5, 6, 7];
const REQUIRED: usize = APPROVERS.len() + 1;
/// The fewest deployments of a project whose pages are read.
const LARGE: i64 = 60;

/// What a store is to hold.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Projects: the second has half as many deployments as the first, the third a third of that, and so on.
    pub projects: u32,
    /// Deployments.
    pub deployments: u32,
    /// In each project as many more that wait for approvals.
    pub blocked: u32,
}

/// What a store holds.
#[derive(Debug)]
pub struct Stock {
    /// The project of each deployment, by its id.
    projects: Vec<u32>,
    /// The iid that each project came to.
    last_iids: Vec<i64>,
    /// The projects whose pages are full.
    large: Vec<i64>,
    shape: Shape,
}

impl Stock {
    /// Deals the deployments of a store out to projects; the same each time.
    pub fn new(shape: Shape) -> Self {
        let mut bounds = Vec::new();
        let mut sum = 0.0;
        for rank in 1..=shape.projects {
            sum += 1.0 / f64::from(rank);
            bounds.push(sum);
        }
        let mut projects: Vec<u32> = (0..shape.deployments)
            .map(|number| {
                let point = (scatter(number.into()) >> 11) as f64 / (1_u64 << 53) as f64 * sum;
                1 + bounds.partition_point(|bound| *bound <= point) as u32
            })
            .collect();
        for _ in 0..shape.blocked {
            projects.extend(1..=shape.projects);
        }
        let mut last_iids = vec![0; shape.projects as usize];
        for project in &projects {
            last_iids[*project as usize - 1] += 1;
        }
        let large = (1..)
            .zip(&last_iids)
            .take(20)
            .filter(|(_, count)| **count >= LARGE)
            .map(|(project, _)| project)
            .collect();
        Self {
            projects,
            last_iids,
            large,
            shape,
        }
    }

    /// A deployment and its project.
    pub fn any(&self, seed: u64) -> (i64, i64) {
        let place = (seed % u64::from(self.shape.deployments)) as usize;
        (place as i64 + 1, self.projects[place].into())
    }

    /// A project with more than a page.
    pub fn large(&self, seed: u64) -> i64 {
        self.large[(seed % self.large.len() as u64) as usize]
    }

    /// The same with its first project alone.
    pub fn only_first(whole: &Self) -> Self {
        Self {
            projects: Vec::new(),
            last_iids: Vec::new(),
            large: vec![1],
            shape: whole.shape,
        }
    }

    /// How many projects there are.
    pub fn projects(&self) -> i64 {
        self.shape.projects.into()
    }

    /// What waits for approvals: deployment and project, one project after the other.
    pub fn blocked(&self) -> Vec<(i64, i64)> {
        (1..)
            .zip(&self.projects)
            .skip(self.shape.deployments as usize)
            .map(|(id, project)| (id, i64::from(*project)))
            .collect()
    }

    /// Every deployment, in the order of ids.
    fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let mut iids = vec![0; self.last_iids.len()];
        let apart = (SPREAD / self.projects.len() as i64).max(1);
        (1..).zip(&self.projects).map(move |(id, project)| {
            let iid = &mut iids[*project as usize - 1];
            *iid += 1;
            let dice = scatter(id as u64 ^ 0x5eed);
            let blocked = id > i64::from(self.shape.deployments);
            let environment = if blocked {
                GUARDED
            } else {
                [0, 0, 0, 0, 1, 1, 1, 2, 2, 3][(dice % 10) as usize]
            };
            let status = match (dice >> 8) % 100 {
                _ if blocked => "blocked",
                0..80 => "success",
                80..90 => "failed",
                90..95 => "canceled",
                95..98 => "skipped",
                98 => "created",
                _ => "running",
            };
            let created_at = BEGIN + id * apart;
            let updated_at = created_at + (dice >> 16) as i64 % 600_000;
            Row {
                id,
                project: i64::from(*project),
                iid: *iid,
                environment: (i64::from(*project) - 1) * ENVIRONMENTS.len() as i64 + 1 + environment as i64,
                environment_name: ENVIRONMENTS[environment as usize].0,
                git_ref: format!("branch-{}", (dice >> 40) % 200),
                sha: format!("{:016x}{id:024x}", scatter(dice)),
                status,
                gate: if blocked { "held" } else { "open" },
                created_at,
                updated_at,
                finished_at: if matches!(status, "created" | "running" | "blocked") {
                    NOT_FINISHED
                } else {
                    updated_at
                },
            }
        })
    }

    /// Everything but deployments and their events, as both engines take it.
    fn directory(&self) -> String {
        let mut sql = String::from(
            "INSERT INTO groups (id, path, full_path, full_path_key, name, full_name, description, visibility, \
             created_at, version) VALUES (1, 'acme', 'acme', 'acme', 'acme', 'acme', '', 'private', 0, 1);\n\
             INSERT INTO group_ancestors (group_id, ancestor_id) VALUES (1, 1);\n",
        );
        let people = [(DEVELOPER, "developer", 30), (AUTHOR, "author", 30)]
            .into_iter()
            .map(|(id, name, level)| (id, name.to_owned(), level))
            .chain(APPROVERS.map(|id| (id, format!("approver-{id}"), 40)));
        for (id, name, level) in people {
            sql += &format!(
                "INSERT INTO users (id, username, username_key, name, state, admin, external, created_at, version) \
                 VALUES ({id}, '{name}', '{name}', '{name}', 'active', FALSE, FALSE, 0, 1);\n\
                 INSERT INTO memberships (user_id, group_id, access_level, created_at, version) \
                 VALUES ({id}, 1, {level}, 0, 1);\n"
            );
        }
        for (id, last) in (1..).zip(&self.last_iids) {
            sql += &format!(
                "INSERT INTO projects (id, group_id, path, full_path, full_path_key, name, description, visibility, \
                 default_branch, archived, creator_id, created_at, updated_at, version, last_iid, last_event, \
                 latest_at) VALUES ({id}, 1, 'p{id}', 'acme/p{id}', 'acme/p{id}', 'p{id}', '', 'private', 'main', \
                 FALSE, 1, 0, 0, 1, {last}, {last}, {BEGIN});\n"
            );
            for (place, (name, slug, tier)) in ENVIRONMENTS.iter().enumerate() {
                let environment = (id - 1) * ENVIRONMENTS.len() + 1 + place;
                let folderless = name.split_once('/').map_or("", |(_, rest)| rest);
                sql += &format!(
                    "INSERT INTO environments (id, project_id, name, name_key, folderless_key, slug, state, tier, \
                     auto_stop_setting, created_at, updated_at, version) VALUES ({environment}, {id}, '{name}', \
                     '{name}', '{folderless}', '{slug}', 'available', '{tier}', 'always', 0, 0, 1);\n"
                );
            }
            sql += &format!(
                "INSERT INTO protected_environments (id, project_id, name, required_approval_count, created_at, \
                 updated_at, version) VALUES ({id}, {id}, 'guarded', 0, 0, 0, 1);\n\
                 INSERT INTO deploy_access_levels (protection_id, access_level, group_inheritance) \
                 VALUES ({id}, 30, 'direct');\n\
                 INSERT INTO approval_rules (protection_id, access_level, group_inheritance, required_approvals) \
                 VALUES ({id}, 30, 'direct', {REQUIRED});\n"
            );
        }
        sql
    }

    /// Fills the SQLite store in `file`, which nobody else may have open.
    pub fn fill_sqlite(&self, file: &Path) -> Result<(), Failure> {
        let mut store = rusqlite::Connection::open(file)?;
        store.execute_batch(
            "PRAGMA foreign_keys = OFF; PRAGMA journal_mode = DELETE; PRAGMA journal_mode = OFF; \
             PRAGMA synchronous = OFF; PRAGMA cache_size = -500000; PRAGMA temp_store = MEMORY;",
        )?;
        let store = store.transaction()?;
        store.execute_batch(&self.directory())?;
        // Filled first and indexed then, as it is faster; the planner's notes on an index go with it, so they are kept.
        let indexes: Vec<(String, String)> = store
            .prepare(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'deployments' \
                 AND sql IS NOT NULL",
            )?
            .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        store.execute_batch("CREATE TEMP TABLE kept AS SELECT * FROM sqlite_stat1")?;
        for (name, _) in &indexes {
            store.execute_batch(&format!("DROP INDEX {name}"))?;
        }
        {
            let mut deployment = store.prepare(&format!(
                "INSERT INTO deployments ({DEPLOYMENT}) VALUES (?, ?, ?, ?, ?, 0, ?, {AUTHOR}, ?, ?, ?, ?, 1, ?, ?)"
            ))?;
            let mut event = store.prepare(&format!(
                "INSERT INTO events ({EVENT}) VALUES (?, ?, 'deployment_created', {AUTHOR}, ?, ?)"
            ))?;
            for row in self.rows() {
                deployment.execute(rusqlite::params![
                    row.id,
                    row.project,
                    row.iid,
                    row.environment,
                    row.git_ref,
                    row.sha,
                    row.status,
                    row.created_at,
                    row.updated_at,
                    row.finished_at,
                    row.gate,
                    row.sha,
                ])?;
                event.execute(rusqlite::params![
                    row.project,
                    row.iid,
                    row.created_at,
                    row.payload()
                ])?;
            }
        }
        for (_, text) in indexes {
            store.execute_batch(&text)?;
        }
        store.execute_batch("DELETE FROM sqlite_stat1; INSERT INTO sqlite_stat1 SELECT * FROM kept;")?;
        store.commit()?;
        Ok(())
    }

    /// Fills a PostgreSQL store.
    pub async fn fill_postgres(&self, url: &str) -> Result<(), Failure> {
        let mut store = PgConnection::connect(url).await?;
        store.execute(sqlx::AssertSqlSafe(self.directory())).await?;
        let mut deployments = String::new();
        let mut events = String::new();
        for row in self.rows() {
            let Row {
                id,
                project,
                iid,
                environment,
                git_ref,
                sha,
                status,
                gate,
                created_at,
                updated_at,
                finished_at,
                ..
            } = &row;
            deployments += &format!(
                "{id}\t{project}\t{iid}\t{environment}\t{git_ref}\tf\t{sha}\t{AUTHOR}\t{status}\t{created_at}\t\
                 {updated_at}\t{finished_at}\t1\t{gate}\t{sha}\n"
            );
            events += &format!(
                "{project}\t{iid}\tdeployment_created\t{AUTHOR}\t{created_at}\t{}\n",
                row.payload()
            );
        }
        copy(&mut store, &format!("deployments ({DEPLOYMENT})"), deployments).await?;
        copy(&mut store, &format!("events ({EVENT})"), events).await?;
        for table in [
            "users",
            "groups",
            "projects",
            "environments",
            "deployments",
            "protected_environments",
        ] {
            let counter = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT MAX(id) FROM {table}))"
            );
            store.execute(sqlx::AssertSqlSafe(counter)).await?;
        }
        store.execute("VACUUM ANALYZE").await?;
        store.close().await?;
        Ok(())
    }

    /// Fills the database of the FastAPI peer with the same.
    pub async fn fill_peer(&self, url: &str, schema: &str, secret_hash: &str) -> Result<(), Failure> {
        let mut store = PgConnection::connect(url).await?;
        store.execute(sqlx::AssertSqlSafe(schema.to_owned())).await?;
        let mut small = format!(
            "INSERT INTO users (id, username, name, state) VALUES ({DEVELOPER}, 'developer', 'developer', 'active'), \
             ({AUTHOR}, 'author', 'author', 'active');\n\
             INSERT INTO tokens (user_id, secret_hash) VALUES ({DEVELOPER}, '{secret_hash}');\n"
        );
        for project in 1..=self.shape.projects as usize {
            let last = self.last_iids[project - 1];
            small += &format!(
                "INSERT INTO projects (id, path, last_iid) VALUES ({project}, 'acme/p{project}', {last});\n\
                 INSERT INTO memberships (user_id, project_id, access_level) VALUES ({DEVELOPER}, {project}, 30);\n"
            );
            for (place, (name, slug, _)) in ENVIRONMENTS.iter().enumerate() {
                let id = (project - 1) * ENVIRONMENTS.len() + 1 + place;
                small += &format!(
                    "INSERT INTO environments (id, project_id, name, slug) \
                     VALUES ({id}, {project}, '{name}', '{slug}');\n"
                );
            }
        }
        store.execute(sqlx::AssertSqlSafe(small)).await?;
        let mut deployments = String::new();
        for row in self.rows() {
            let at = |millis: i64| {
                chrono::DateTime::from_timestamp_millis(millis)
                    .map_or_else(|| "\\N".to_owned(), |at| at.to_rfc3339())
            };
            let finished = if row.finished_at == NOT_FINISHED {
                "\\N".to_owned()
            } else {
                at(row.finished_at)
            };
            deployments += &format!(
                "{}\t{}\t{}\t{}\t{}\tf\t{}\t{AUTHOR}\t{}\t{}\t{}\t{finished}\n",
                row.id,
                row.project,
                row.iid,
                row.environment,
                row.git_ref,
                row.sha,
                row.status,
                at(row.created_at),
                at(row.updated_at),
            );
        }
        let columns = "deployments (id, project_id, iid, environment_id, ref, tag, sha, user_id, status, created_at, \
                       updated_at, finished_at)";
        copy(&mut store, columns, deployments).await?;
        store
            .execute("SELECT setval(pg_get_serial_sequence('deployments', 'id'), (SELECT MAX(id) FROM deployments))")
            .await?;
        store.execute("VACUUM ANALYZE").await?;
        store.close().await?;
        Ok(())
    }
}

const DEPLOYMENT: &str = "id, project_id, iid, environment_id, ref, tag, sha, user_id, status, created_at, updated_at, \
                          finished_at, version, gate, commit_sha";
const EVENT: &str = "project_id, seq, kind, actor_id, created_at, payload";

async fn copy(store: &mut PgConnection, table: &str, rows: String) -> Result<(), Failure> {
    let mut copy = store.copy_in_raw(&format!("COPY {table} FROM STDIN")).await?;
    copy.send(rows.into_bytes()).await?;
    copy.finish().await?;
    Ok(())
}

/// A deployment.
struct Row {
    id: i64,
    project: i64,
    iid: i64,
    environment: i64,
    environment_name: &'static str,
    git_ref: String,
    sha: String,
    status: &'static str,
    gate: &'static str,
    created_at: i64,
    updated_at: i64,
    finished_at: i64,
}

impl Row {
    /// Of the event that told of its creation.
    fn payload(&self) -> String {
        deployment_created(
            self.id,
            self.iid,
            self.environment,
            self.environment_name,
            &self.git_ref,
            &self.sha,
            self.status,
        )
    }
}

/// The payload of the event that tells of a new deployment, in Gatehouse's own form.
pub fn deployment_created(
    id: i64,
    iid: i64,
    environment: i64,
    environment_name: &str,
    git_ref: &str,
    sha: &str,
    status: &str,
) -> String {
    format!(
        "{{\"deployment_id\":{id},\"iid\":{iid},\"environment_id\":{environment},\
         \"environment\":\"{environment_name}\",\"ref\":\"{git_ref}\",\"tag\":false,\"sha\":\"{sha}\",\
         \"before\":null,\"after\":\"{status}\",\"gate_bypassed\":false}}"
    )
}

/// The id of a project's environment `production`, and of the guarded one.
pub fn environments_of(project: i64) -> (i64, i64) {
    let first = (project - 1) * ENVIRONMENTS.len() as i64 + 1;
    (first, first + GUARDED as i64)
}
