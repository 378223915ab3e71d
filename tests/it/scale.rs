//! A million deployments: whatever list is asked for, the work done is that of the page, not of the store.
//!
//! Work is counted in steps of SQLite's virtual machine, which do not depend on the machine or its load.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use gatehouse::{
    domain::{
        Time,
        deployment::{
            DeploymentFilter, DeploymentOrder, DeploymentPosition, DeploymentQuery, DeploymentStatus,
            PositionKey,
        },
        id::{Iid, ProjectId},
        page::{Direction, PageRequest},
    },
    store::{Store, sql::SqlStore, sqlite},
};
use sqlx::{Connection as _, Executor as _, Row as _, Sqlite, SqliteConnection, sqlite::SqlitePoolOptions};
use tempfile::TempDir;

const DEPLOYMENTS: i64 = 1_000_000;
/// The time of the first deployment, in milliseconds, and how far apart they are.
const BEGIN: i64 = 1_600_000_000_000;
const APART: i64 = 60_000;
/// How many steps pass between two looks of the counter.
const GRAIN: i32 = 100;

/// A page of 20 takes some 60 steps a row; a walk through a tenth of the store would take hundreds of thousands.
const PAGE_STEPS: u64 = 10_000;
/// Counting stops after 10,001 index entries.
const COUNT_STEPS: u64 = 120_000;

/// Fills a store: one project, 50 environments of very different size, seven statuses of very different frequency,
/// a thousand refs. Most deployments finished within minutes of their creation.
async fn fill(folder: &TempDir) -> std::path::PathBuf {
    let file = folder.path().join("gatehouse.db");
    sqlite::migrate(&file).await.unwrap();
    let options = sqlite::options(&file).pragma("synchronous", "OFF");
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let indexes: Vec<(String, String)> = sqlx::query(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'deployments' AND sql IS NOT NULL",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
    .iter()
    .map(|row| (row.get(0), row.get(1)))
    .collect();
    assert_eq!(indexes.len(), 17);
    let stats = "SELECT COUNT(*) FROM sqlite_stat1";
    let told: i64 = sqlx::query(stats)
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
    // Filled first and indexed then, as it is faster; the planner's notes on an index go with it, so they are kept.
    connection
        .execute("CREATE TEMP TABLE kept AS SELECT * FROM sqlite_stat1")
        .await
        .unwrap();
    for (name, _) in &indexes {
        connection
            .execute(sqlx::AssertSqlSafe(format!("DROP INDEX {name}")))
            .await
            .unwrap();
    }
    let rows = format!(
        "INSERT INTO users VALUES (1, 'root', 'root', 'Administrator', NULL, NULL, NULL, 'active', 1, 0, {BEGIN}, 1,
             '', '', '', '', '', '', '');
         INSERT INTO groups VALUES (1, NULL, 'acme', 'acme', 'acme', 'acme', 'acme', '', 'private', {BEGIN}, 1);
         INSERT INTO projects VALUES (1, 1, 'web', 'acme/web', 'acme/web', 'web', '', 'private', 'main', 0, 1,
             {BEGIN}, {BEGIN}, 1, {DEPLOYMENTS}, 0, {BEGIN}, 0, 1, 1, NULL, 0);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
         INSERT INTO environments SELECT i, 1, 'env-' || i, 'env-' || i, '', 'env-' || i, NULL, 'available', 'other',
             NULL, 'always', {BEGIN}, {BEGIN}, 1 FROM n;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {DEPLOYMENTS})
         INSERT INTO deployments
         SELECT i, 1, i, 1 + (i * 7919 % 1000) * (i * 7919 % 1000) * 50 / 1000000,
             'branch-' || (i * 104729 % 1000), 0, printf('%040x', i), 1,
             CASE WHEN i % 1000 = 1 THEN 'running' WHEN i % 997 = 1 THEN 'blocked' WHEN i % 499 = 1 THEN 'created'
                  WHEN i % 20 = 2 THEN 'failed' WHEN i % 50 = 3 THEN 'canceled' WHEN i % 211 = 4 THEN 'skipped'
                  ELSE 'success' END,
             {BEGIN} + i * {APART}, {BEGIN} + i * {APART} + i * 31 % 600000,
             CASE WHEN i % 1000 = 1 OR i % 997 = 1 OR i % 499 = 1 THEN 9223372036854775807
                  ELSE {BEGIN} + i * {APART} + i * 31 % 600000 END, 2, 'open', NULL, NULL, NULL
         FROM n;"
    );
    connection.execute(sqlx::AssertSqlSafe(rows)).await.unwrap();
    for (_, text) in indexes {
        connection.execute(sqlx::AssertSqlSafe(text)).await.unwrap();
    }
    connection
        .execute("DELETE FROM sqlite_stat1; INSERT INTO sqlite_stat1 SELECT * FROM kept")
        .await
        .unwrap();
    let kept: i64 = sqlx::query(stats)
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
    assert_eq!(kept, told);
    connection.close().await.unwrap();
    file
}

/// The store in `file` and a counter of the steps that its reads take.
async fn counted(file: &std::path::Path) -> (SqlStore<Sqlite>, Arc<AtomicU64>) {
    let steps = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&steps);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .after_connect(move |connection, _| {
            let counter = Arc::clone(&counter);
            Box::pin(async move {
                connection
                    .lock_handle()
                    .await?
                    .set_progress_handler(GRAIN, move || {
                        counter.fetch_add(u64::try_from(GRAIN).unwrap(), Ordering::Relaxed);
                        true
                    });
                Ok(())
            })
        })
        .connect_with(sqlite::options(file))
        .await
        .unwrap();
    (sqlite::on(pool.clone(), pool), steps)
}

fn at(deployment: i64) -> Option<Time> {
    Time::from_timestamp_millis(BEGIN + deployment * APART)
}

/// A place in the middle of an order.
fn middle(order: DeploymentOrder) -> DeploymentPosition {
    let key = match order {
        DeploymentOrder::Id => PositionKey::None,
        DeploymentOrder::UpdatedAt | DeploymentOrder::FinishedAt => PositionKey::Time(at(DEPLOYMENTS / 2)),
        DeploymentOrder::Ref => PositionKey::Text("branch-500".into()),
    };
    DeploymentPosition {
        key,
        iid: Iid(DEPLOYMENTS / 2),
    }
}

/// Filters that an index serves together with any order, and how often each matches: environment and status.
fn equalities() -> Vec<DeploymentFilter> {
    let mut filters = Vec::new();
    for environment in [None, Some("env-1"), Some("env-50"), Some("nowhere")] {
        for status in [
            None,
            Some(DeploymentStatus::Success),
            Some(DeploymentStatus::Running),
        ] {
            let environment = environment.map(str::to_owned);
            filters.push(DeploymentFilter {
                environment,
                status,
                ..DeploymentFilter::default()
            });
        }
    }
    filters
}

/// The ranges that go with an order: none, and where the order is by a time, one over that time.
fn own_ranges(order: DeploymentOrder, filter: &DeploymentFilter) -> Vec<DeploymentFilter> {
    let (begin, end) = (at(DEPLOYMENTS / 4), at(DEPLOYMENTS * 3 / 4));
    let mut filters = vec![filter.clone()];
    match order {
        DeploymentOrder::UpdatedAt => {
            filters.push(DeploymentFilter {
                updated_after: begin,
                updated_before: end,
                ..filter.clone()
            });
        }
        DeploymentOrder::FinishedAt => {
            filters.push(DeploymentFilter {
                finished_after: begin,
                finished_before: end,
                ..filter.clone()
            });
        }
        DeploymentOrder::Id | DeploymentOrder::Ref => {}
    }
    filters
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_a_million_deployments_costs_what_its_page_costs() {
    let folder = tempfile::tempdir().unwrap();
    let file = fill(&folder).await;
    let (store, steps) = counted(&file).await;
    let project = ProjectId(1);
    let mut worst = 0;
    for order in DeploymentOrder::ALL {
        for direction in [Direction::Ascending, Direction::Descending] {
            for filter in equalities().iter().flat_map(|filter| own_ranges(order, filter)) {
                let query = DeploymentQuery {
                    filter,
                    order,
                    direction,
                };
                let pages = [
                    (PageRequest::default(), PAGE_STEPS),
                    (
                        PageRequest {
                            after: Some(middle(order)),
                            ..PageRequest::default()
                        },
                        PAGE_STEPS,
                    ),
                    (
                        PageRequest {
                            skip: 200,
                            ..PageRequest::default()
                        },
                        PAGE_STEPS,
                    ),
                    (
                        PageRequest {
                            want_total: true,
                            ..PageRequest::default()
                        },
                        COUNT_STEPS,
                    ),
                ];
                for (page, most) in pages {
                    steps.store(0, Ordering::Relaxed);
                    let read = store.deployment_list(project, &query, &page, None).await.unwrap();
                    let taken = steps.load(Ordering::Relaxed);
                    assert!(
                        taken <= most,
                        "{taken} steps for {} rows: {query:?} {page:?}",
                        read.items.len()
                    );
                    worst = worst.max(if page.want_total { 0 } else { taken });
                }
            }
        }
    }
    println!("the dearest page took {worst} steps");
    ranges_over_another_field(&store, &steps).await;
}

/// The one thing that no index serves: a range over one field, sorted by another. A narrow range is read whole, a wide
/// one is met soon.
async fn ranges_over_another_field(store: &SqlStore<Sqlite>, steps: &AtomicU64) {
    for (width, most) in [(100, PAGE_STEPS), (5_000, 600_000), (DEPLOYMENTS, COUNT_STEPS)] {
        for order in [
            DeploymentOrder::Id,
            DeploymentOrder::Ref,
            DeploymentOrder::FinishedAt,
        ] {
            let filter = DeploymentFilter {
                updated_after: at(DEPLOYMENTS - width),
                updated_before: at(DEPLOYMENTS + 1_000),
                ..DeploymentFilter::default()
            };
            let query = DeploymentQuery {
                filter,
                order,
                direction: Direction::Ascending,
            };
            steps.store(0, Ordering::Relaxed);
            let read = store
                .deployment_list(ProjectId(1), &query, &PageRequest::default(), None)
                .await
                .unwrap();
            assert_eq!(read.items.len(), 20);
            let taken = steps.load(Ordering::Relaxed);
            assert!(taken <= most, "{taken} steps: {width} {order:?}");
        }
    }
}
