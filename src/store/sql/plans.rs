//! Shows the plan of every list of deployments that can be asked for: each walks one index and reads its page.

use std::collections::BTreeSet;

use sqlx::{Row as _, Sqlite, SqlitePool};

use super::{
    deployment::{Plan, Ranged, Scope, page_stmt},
    seam::sql,
};
use crate::{
    domain::{
        Time,
        deployment::{
            DeploymentFilter, DeploymentOrder, DeploymentPosition, DeploymentQuery, DeploymentStatus,
            PositionKey,
        },
        id::{EnvironmentId, Iid, ProjectId},
        page::{Direction, PageRequest},
    },
    store::sqlite,
};

/// One line of a plan, with the lines below it.
struct Step {
    id: i64,
    parent: i64,
    detail: String,
}

async fn explain(pool: &SqlitePool, text: &str) -> Vec<Step> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}")))
        .fetch_all(pool)
        .await
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    rows.iter()
        .map(|row| Step {
            id: row.get(0),
            parent: row.get(1),
            detail: row.get(3),
        })
        .collect()
}

/// The lines that read the page's ids: those below the subquery `page`.
fn inner(steps: &[Step]) -> Vec<&str> {
    let Some(page) = steps
        .iter()
        .find(|step| step.detail.starts_with("CO-ROUTINE") || step.detail.starts_with("MATERIALIZE"))
    else {
        panic!(
            "no subquery: {:?}",
            steps.iter().map(|step| &step.detail).collect::<Vec<_>>()
        );
    };
    steps
        .iter()
        .filter(|step| step.parent == page.id)
        .map(|step| step.detail.as_str())
        .collect()
}

fn at(seconds: i64) -> Option<Time> {
    Time::from_timestamp(seconds, 0)
}

/// Which ranges a filter has: none, over updated_at, over finished_at.
fn ranges() -> [(DeploymentFilter, Option<Ranged>); 3] {
    [
        (DeploymentFilter::default(), None),
        (
            DeploymentFilter {
                updated_after: at(1),
                updated_before: at(9),
                ..DeploymentFilter::default()
            },
            Some(Ranged::UpdatedAt),
        ),
        (
            DeploymentFilter {
                finished_after: at(1),
                finished_before: at(9),
                ..DeploymentFilter::default()
            },
            Some(Ranged::FinishedAt),
        ),
    ]
}

fn position(order: DeploymentOrder) -> DeploymentPosition {
    let key = match order {
        DeploymentOrder::Id => PositionKey::None,
        DeploymentOrder::UpdatedAt | DeploymentOrder::FinishedAt => PositionKey::Time(at(5)),
        DeploymentOrder::Ref => PositionKey::Text("main".into()),
    };
    DeploymentPosition { key, iid: Iid(7) }
}

fn order_name(order: DeploymentOrder) -> &'static str {
    match order {
        DeploymentOrder::Id => "iid",
        DeploymentOrder::UpdatedAt => "updated",
        DeploymentOrder::FinishedAt => "finished",
        DeploymentOrder::Ref => "ref",
    }
}

#[tokio::test]
async fn every_filter_with_every_order_walks_the_index_made_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let pool = SqlitePool::connect_with(sqlite::options(&folder.path().join("store")))
        .await
        .unwrap();
    sqlite::MIGRATIONS.run(&pool).await.unwrap();
    pool.close().await;
    let pool = SqlitePool::connect_with(sqlite::options(&folder.path().join("store")))
        .await
        .unwrap();
    let mut used = BTreeSet::new();
    let mut shown = 0;
    for (scope, letter) in [
        (Scope::Project(ProjectId(1)), "p"),
        (Scope::Environment(EnvironmentId(1)), "e"),
    ] {
        for status in [None, Some(DeploymentStatus::Failed)] {
            for order in DeploymentOrder::ALL {
                for direction in [Direction::Ascending, Direction::Descending] {
                    for (filter, ranged) in ranges() {
                        for after in [None, Some(position(order))] {
                            let own = ranged.is_none_or(|ranged| {
                                order_name(order)
                                    == if ranged == Ranged::UpdatedAt {
                                        "updated"
                                    } else {
                                        "finished"
                                    }
                            });
                            let both = if own { "" } else { "narrow" };
                            for plan in [Some(Plan::Walk), ranged.filter(|_| !own).map(Plan::Narrow)] {
                                let Some(plan) = plan else { continue };
                                let query = DeploymentQuery {
                                    filter: DeploymentFilter {
                                        status,
                                        ..filter.clone()
                                    },
                                    order,
                                    direction,
                                };
                                let page = PageRequest {
                                    after: after.clone(),
                                    ..PageRequest::default()
                                };
                                let stmt =
                                    page_stmt::<Sqlite>(sql("SELECT d.id"), scope, &query, &page, plan);
                                let steps = explain(&pool, stmt.text()).await;
                                let inner = inner(&steps);
                                let name = match plan {
                                    Plan::Walk => order_name(order),
                                    Plan::Narrow(Ranged::UpdatedAt) => "updated",
                                    Plan::Narrow(Ranged::FinishedAt) => "finished",
                                };
                                let s = if status.is_some() { "s" } else { "" };
                                let index = format!("deployments_{letter}{s}_{name}");
                                assert!(
                                    inner[0].starts_with("SEARCH deployments USING")
                                        && inner[0].contains(&format!("INDEX {index} (")),
                                    "{both} {:?}: wanted {index}, got {inner:?}",
                                    stmt.text()
                                );
                                let sorts = inner.iter().any(|line| line.contains("TEMP B-TREE"));
                                assert_eq!(sorts, plan != Plan::Walk, "{:?}: {inner:?}", stmt.text());
                                // Whatever else is read is read by primary key, row by row of the page.
                                let others = steps.iter().filter(|step| {
                                    step.detail.starts_with("SCAN") && step.detail != "SCAN page"
                                });
                                assert_eq!(others.count(), 0);
                                used.insert(index);
                                shown += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(used.len(), 16, "every index earns its keep: {used:?}");
    assert_eq!(shown, 288);
}
