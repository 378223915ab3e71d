//! The jobs that carry deployments out. A deployment is always read with its job: so a page of deployments takes a few
//! statements more where there are jobs in it, however many, and none where there are none.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::{
    Db, commit, failed,
    row::{DeploymentRow, inconsistent, millis, time},
    seam::sql,
    user,
};
use crate::{
    domain::{
        Time,
        deployment::Deployment,
        id::{DeploymentId, JobId, ProjectId, UserId},
        job::{Coverage, Job, JobStatus, Pipeline, Runner, RunnerType},
    },
    store::{Result, StoreError},
};

const TABLE: &str = "jobs";

/// The columns of a [`JobRow`].
const COLUMNS: &str = "SELECT deployment_id, job_id, sequence, status, stage, name, coverage, allow_failure, created_at, \
     started_at, finished_at, erased_at, queued_millis, failure_reason, user_id, web_url, tag_list, \
     ci_job_token_scope_enabled, pipeline, runner FROM jobs";

#[derive(Debug, FromRow)]
pub struct JobRow {
    pub deployment_id: i64,
    pub job_id: i64,
    pub sequence: i64,
    pub status: String,
    pub stage: String,
    pub name: String,
    pub coverage: Option<f64>,
    pub allow_failure: bool,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
    pub erased_at: Option<i64>,
    pub queued_millis: Option<i64>,
    pub failure_reason: String,
    pub user_id: i64,
    pub web_url: Option<String>,
    pub tag_list: String,
    pub ci_job_token_scope_enabled: bool,
    pub pipeline: String,
    pub runner: Option<String>,
}

/// What is kept of a pipeline; times in milliseconds.
#[derive(Serialize, Deserialize)]
struct KeptPipeline {
    id: i64,
    iid: Option<i64>,
    sha: String,
    #[serde(rename = "ref")]
    git_ref: String,
    status: String,
    source: String,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    web_url: Option<String>,
}

/// What is kept of a runner.
#[derive(Serialize, Deserialize)]
struct KeptRunner {
    id: i64,
    description: String,
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    paused: bool,
    online: Option<bool>,
}

/// A value as the store keeps it.
fn kept(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Other(error.into()))
}

fn kept_pipeline(pipeline: &Pipeline) -> Result<String> {
    kept(&KeptPipeline {
        id: pipeline.id,
        iid: pipeline.iid,
        sha: pipeline.sha.clone(),
        git_ref: pipeline.git_ref.clone(),
        status: pipeline.status.as_str().to_owned(),
        source: pipeline.source.clone(),
        created_at: pipeline.created_at.map(millis),
        updated_at: pipeline.updated_at.map(millis),
        web_url: pipeline.web_url.clone(),
    })
}

fn kept_runner(runner: Option<&Runner>) -> Result<Option<String>> {
    let Some(runner) = runner else { return Ok(None) };
    kept(&KeptRunner {
        id: runner.id,
        description: runner.description.clone(),
        name: runner.name.clone(),
        kind: runner.kind.map(|kind| kind.as_str().to_owned()),
        paused: runner.paused,
        online: runner.online,
    })
    .map(Some)
}

fn at(column: &'static str, id: i64, value: Option<i64>) -> Result<Option<Time>> {
    value.map(|millis| time(TABLE, column, id, millis)).transpose()
}

fn pipeline(id: i64, text: &str) -> Result<Pipeline> {
    let bad = || inconsistent(TABLE, "pipeline", id);
    let kept: KeptPipeline = serde_json::from_str(text).map_err(|_| bad())?;
    Ok(Pipeline {
        id: kept.id,
        iid: kept.iid,
        sha: kept.sha,
        git_ref: kept.git_ref,
        status: JobStatus::parse(&kept.status).ok_or_else(bad)?,
        source: kept.source,
        created_at: at("pipeline", id, kept.created_at)?,
        updated_at: at("pipeline", id, kept.updated_at)?,
        web_url: kept.web_url,
    })
}

fn runner(id: i64, text: &str) -> Result<Runner> {
    let bad = || inconsistent(TABLE, "runner", id);
    let kept: KeptRunner = serde_json::from_str(text).map_err(|_| bad())?;
    Ok(Runner {
        id: kept.id,
        description: kept.description,
        name: kept.name,
        kind: kept
            .kind
            .map(|word| RunnerType::parse(&word).ok_or_else(bad))
            .transpose()?,
        paused: kept.paused,
        online: kept.online,
    })
}

impl TryFrom<JobRow> for Job {
    type Error = StoreError;

    /// Without its user and its commit.
    fn try_from(row: JobRow) -> Result<Self> {
        let id = row.deployment_id;
        let bad = |column| inconsistent(TABLE, column, id);
        let coverage = row
            .coverage
            .map(|percent| Coverage::new(percent).ok_or_else(|| bad("coverage")));
        let queued = row
            .queued_millis
            .map(|millis| u64::try_from(millis).map_err(|_| bad("queued_millis")));
        Ok(Self {
            id: JobId(row.job_id),
            sequence: row.sequence,
            status: JobStatus::parse(&row.status).ok_or_else(|| bad("status"))?,
            stage: row.stage,
            name: row.name,
            coverage: coverage.transpose()?,
            allow_failure: row.allow_failure,
            created_at: time(TABLE, "created_at", id, row.created_at)?,
            started_at: at("started_at", id, row.started_at)?,
            finished_at: at("finished_at", id, row.finished_at)?,
            erased_at: at("erased_at", id, row.erased_at)?,
            queued_duration: queued.transpose()?.map(Duration::from_millis),
            failure_reason: row.failure_reason,
            user_id: UserId(row.user_id),
            user: None,
            runner: row.runner.as_deref().map(|text| runner(id, text)).transpose()?,
            pipeline: pipeline(id, &row.pipeline)?,
            commit: None,
            web_url: row.web_url,
            tag_list: serde_json::from_str(&row.tag_list).map_err(|_| bad("tag_list"))?,
            ci_job_token_scope_enabled: row.ci_job_token_scope_enabled,
        })
    }
}

/// Deployments out of their rows, each with its job.
pub async fn with_jobs<DB: Db>(
    connection: &mut DB::Connection,
    rows: Vec<DeploymentRow>,
) -> Result<Vec<Deployment>> {
    let announced: Vec<i64> = rows
        .iter()
        .filter(|row| row.job_id.is_some())
        .map(|row| row.id)
        .collect();
    let deployments = rows.into_iter().map(Deployment::try_from);
    if announced.is_empty() {
        return deployments.collect();
    }
    let mut deployments: Vec<Deployment> = deployments.collect::<Result<_>>()?;
    let mut jobs = BTreeMap::new();
    let stmt = sql::<DB>(COLUMNS)
        .push(" WHERE deployment_id")
        .push_in(announced.iter().copied());
    for row in stmt.all::<JobRow>(&mut *connection).await.map_err(failed::<DB>)? {
        jobs.insert(row.deployment_id, Job::try_from(row)?);
    }
    let users: BTreeSet<UserId> = jobs.values().map(|job| job.user_id).collect();
    let users = user::find_all::<DB>(&mut *connection, &users).await?;
    let mut commits: BTreeMap<ProjectId, BTreeSet<String>> = BTreeMap::new();
    for deployment in &deployments {
        if let Some(id) = &deployment.commit_id
            && jobs.contains_key(&deployment.id.0)
        {
            commits
                .entry(deployment.project_id)
                .or_default()
                .insert(id.clone());
        }
    }
    let mut known = BTreeMap::new();
    for (project, ids) in commits {
        let ids: Vec<String> = ids.into_iter().collect();
        known.insert(
            project,
            commit::find::<DB>(&mut *connection, project, &ids).await?,
        );
    }
    for deployment in &mut deployments {
        let Some(mut job) = jobs.remove(&deployment.id.0) else {
            continue;
        };
        job.user = users.get(&job.user_id).cloned();
        job.commit = deployment
            .commit_id
            .as_ref()
            .and_then(|id| known.get(&deployment.project_id)?.get(id).cloned());
        deployment.job = Some(Box::new(job));
    }
    // What has a job id has a job.
    let lost = announced.iter().find(|&&id| {
        !deployments
            .iter()
            .any(|deployment| deployment.id.0 == id && deployment.job.is_some())
    });
    match lost {
        Some(&id) => Err(inconsistent("deployments", "job_id", id)),
        None => Ok(deployments),
    }
}

/// The deployment that a project's job carries out.
pub async fn deployment_of<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    job: JobId,
) -> Result<Option<DeploymentId>> {
    let found = sql::<DB>("SELECT deployment_id FROM jobs WHERE project_id = $1 AND job_id = $2")
        .bind(project.0)
        .bind(job.0)
        .optional::<(i64,)>(connection)
        .await
        .map_err(failed::<DB>)?;
    Ok(found.map(|(id,)| DeploymentId(id)))
}

/// A length of time as the store keeps it.
fn queued_millis(job: &Job) -> Option<i64> {
    job.queued_duration
        .map(|length| i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
}

/// Adds the job of a deployment.
pub async fn insert<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    deployment: DeploymentId,
    job: &Job,
) -> Result<()> {
    sql::<DB>(
        "INSERT INTO jobs (deployment_id, project_id, job_id, sequence, status, stage, name, coverage, allow_failure, \
         created_at, started_at, finished_at, erased_at, queued_millis, failure_reason, user_id, web_url, tag_list, \
         ci_job_token_scope_enabled, pipeline, runner) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
         $14, $15, $16, $17, $18, $19, $20, $21)",
    )
    .bind(deployment.0)
    .bind(project.0)
    .bind(job.id.0)
    .bind(job.sequence)
    .bind(job.status.as_str().to_owned())
    .bind(job.stage.clone())
    .bind(job.name.clone())
    .bind(job.coverage.map(Coverage::percent))
    .bind(job.allow_failure)
    .bind(millis(job.created_at))
    .bind(job.started_at.map(millis))
    .bind(job.finished_at.map(millis))
    .bind(job.erased_at.map(millis))
    .bind(queued_millis(job))
    .bind(job.failure_reason.clone())
    .bind(job.user_id.0)
    .bind(job.web_url.clone())
    .bind(kept(&job.tag_list)?)
    .bind(job.ci_job_token_scope_enabled)
    .bind(kept_pipeline(&job.pipeline)?)
    .bind(kept_runner(job.runner.as_ref())?)
    .run(connection)
    .await
    .map_err(failed::<DB>)?;
    Ok(())
}

/// Writes what reports and the gate change of a job, and takes its tokens away if it does not run.
pub async fn update<DB: Db>(
    connection: &mut DB::Connection,
    deployment: DeploymentId,
    job: &Job,
) -> Result<()> {
    sql::<DB>(
        "UPDATE jobs SET sequence = $2, status = $3, coverage = $4, started_at = $5, finished_at = $6, erased_at = $7, \
         queued_millis = $8, failure_reason = $9, pipeline = $10, runner = $11 WHERE deployment_id = $1",
    )
    .bind(deployment.0)
    .bind(job.sequence)
    .bind(job.status.as_str().to_owned())
    .bind(job.coverage.map(Coverage::percent))
    .bind(job.started_at.map(millis))
    .bind(job.finished_at.map(millis))
    .bind(job.erased_at.map(millis))
    .bind(queued_millis(job))
    .bind(job.failure_reason.clone())
    .bind(kept_pipeline(&job.pipeline)?)
    .bind(kept_runner(job.runner.as_ref())?)
    .run(&mut *connection)
    .await
    .map_err(failed::<DB>)?;
    if !job.status.has_token() {
        sql::<DB>("DELETE FROM tokens WHERE deployment_id = $1")
            .bind(deployment.0)
            .run(connection)
            .await
            .map_err(failed::<DB>)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> JobRow {
        JobRow {
            deployment_id: 41,
            job_id: 657,
            sequence: 3,
            status: "canceling".to_owned(),
            stage: "deploy".to_owned(),
            name: "deploy".to_owned(),
            coverage: Some(99.5),
            allow_failure: true,
            created_at: 1,
            started_at: Some(2),
            finished_at: None,
            erased_at: None,
            queued_millis: Some(1500),
            failure_reason: String::new(),
            user_id: 7,
            web_url: None,
            tag_list: r#"["a b","\"c"]"#.to_owned(),
            ci_job_token_scope_enabled: true,
            pipeline: String::new(),
            runner: None,
        }
    }

    #[test]
    fn a_job_is_read_as_it_was_written() {
        let told = Pipeline {
            id: 36,
            iid: Some(12),
            sha: "a91957a".to_owned(),
            git_ref: "ma\"in".to_owned(),
            status: JobStatus::WaitingForCallback,
            source: "push".to_owned(),
            created_at: Some(Time::UNIX_EPOCH),
            updated_at: None,
            web_url: Some("http://gitlab.dev/12".to_owned()),
        };
        for kind in RunnerType::ALL.map(Some).into_iter().chain([None]) {
            let machine = Runner {
                id: 5,
                description: "ü".to_owned(),
                name: String::new(),
                kind,
                paused: true,
                online: kind.map(|_| false),
            };
            let job = Job::try_from(JobRow {
                pipeline: kept_pipeline(&told).unwrap(),
                runner: kept_runner(Some(&machine)).unwrap(),
                ..row()
            })
            .unwrap();
            assert_eq!((job.pipeline, job.runner), (told.clone(), Some(machine)));
            assert_eq!(job.tag_list, ["a b", "\"c"]);
            assert_eq!(job.queued_duration, Some(Duration::from_millis(1500)));
        }
    }

    #[test]
    fn an_impossible_job_is_a_defect_that_names_itself() {
        type Break = fn(&mut JobRow);
        let cases: [(Break, &str); 7] = [
            (|row| row.status = "away".to_owned(), "status"),
            (|row| row.coverage = Some(101.0), "coverage"),
            (|row| row.queued_millis = Some(-1), "queued_millis"),
            (|row| row.created_at = i64::MAX, "created_at"),
            (|row| row.tag_list = "{".to_owned(), "tag_list"),
            (|row| row.pipeline = "{}".to_owned(), "pipeline"),
            (|row| row.runner = Some("[]".to_owned()), "runner"),
        ];
        for (damage, wanted) in cases {
            let mut row = row();
            row.pipeline = r#"{"id":1,"iid":null,"sha":"","ref":"","status":"running","source":"",
                "created_at":null,"updated_at":null,"web_url":null}"#
                .to_owned();
            damage(&mut row);
            match Job::try_from(row).unwrap_err() {
                StoreError::Inconsistent {
                    table: "jobs",
                    column,
                    id: 41,
                } => assert_eq!(column, wanted),
                other => panic!("{other:?}"),
            }
        }
    }
}
