//! Lists: what comes out is what sorting and filtering all rows by hand gives.

use std::cmp::Ordering;

use gatehouse::{
    domain::{
        deployment::{
            Deployment, DeploymentFilter, DeploymentOrder, DeploymentPosition, DeploymentQuery,
            DeploymentStatus as S, PositionKey,
        },
        environment::EnvironmentFilter,
        id::{DeploymentId, ProjectKey, UserId},
        page::{Direction, Page, PageRequest, TOTAL_MAX},
    },
    store::StoreError,
};

use super::{Ledger, at, fresh};

/// Sixty deployments with many equal values in every field.
async fn fill(ledger: &Ledger) -> Vec<Deployment> {
    let statuses = [S::Created, S::Running, S::Success, S::Failed, S::Canceled];
    let refs = ["main", "Main", "v1", "v10", "v2", "\u{e9}", "Z", "\u{1f680}"];
    let mut ids: Vec<DeploymentId> = Vec::new();
    for number in 0..60_usize {
        let second = i64::try_from(number / 4).unwrap();
        // Of three numbers one is a second step of an earlier deployment.
        if number % 3 == 2 {
            let _ = ledger
                .move_to(ids[number / 2], S::Failed, ledger.terms(at(second)))
                .await;
        }
        let environment = ["production", "staging", "review/x"][number % 3];
        let git_ref = refs[number * 7 % refs.len()];
        let made = ledger
            .record(environment, git_ref, statuses[number * 11 % 5], at(second))
            .await;
        ids.push(made.id);
    }
    ids.dedup();
    let mut rows = Vec::new();
    for id in ids {
        rows.push(
            ledger
                .store
                .deployment_find(ledger.web, id)
                .await
                .unwrap()
                .unwrap(),
        );
    }
    rows
}

fn filters() -> Vec<DeploymentFilter> {
    let none = DeploymentFilter::default;
    let ranges = [
        none(),
        DeploymentFilter {
            updated_after: Some(at(4)),
            updated_before: Some(at(9)),
            ..none()
        },
        DeploymentFilter {
            finished_after: Some(at(4)),
            finished_before: Some(at(9)),
            ..none()
        },
        DeploymentFilter {
            updated_before: Some(at(7)),
            finished_after: Some(at(3)),
            ..none()
        },
        DeploymentFilter {
            updated_after: Some(at(99)),
            ..none()
        },
    ];
    let mut filters = Vec::new();
    for environment in [None, Some("production"), Some("nowhere")] {
        for status in [None, Some(S::Success), Some(S::Running), Some(S::Blocked)] {
            filters.extend(ranges.iter().map(|range| DeploymentFilter {
                environment: environment.map(str::to_owned),
                status,
                ..range.clone()
            }));
        }
    }
    filters
}

fn matches(row: &Deployment, filter: &DeploymentFilter) -> bool {
    filter
        .environment
        .as_ref()
        .is_none_or(|name| row.environment.name == *name)
        && filter.status.is_none_or(|status| row.status == status)
        && filter.updated_after.is_none_or(|time| row.updated_at >= time)
        && filter.updated_before.is_none_or(|time| row.updated_at <= time)
        && filter
            .finished_after
            .is_none_or(|time| row.finished_at.is_some_and(|at| at >= time))
        && filter
            .finished_before
            .is_none_or(|time| row.finished_at.is_some_and(|at| at < time))
}

fn compare(order: DeploymentOrder, a: &Deployment, b: &Deployment) -> Ordering {
    let unfinished_last = |row: &Deployment| (row.finished_at.is_none(), row.finished_at);
    let by_field = match order {
        DeploymentOrder::Id => Ordering::Equal,
        DeploymentOrder::UpdatedAt => a.updated_at.cmp(&b.updated_at),
        DeploymentOrder::FinishedAt => unfinished_last(a).cmp(&unfinished_last(b)),
        DeploymentOrder::Ref => a.git_ref.as_bytes().cmp(b.git_ref.as_bytes()),
    };
    by_field.then(a.id.cmp(&b.id))
}

pub async fn every_order_direction_and_filter_is_what_sorting_by_hand_gives(ledger: &Ledger) {
    let rows = fill(ledger).await;
    for filter in filters() {
        for order in DeploymentOrder::ALL {
            for direction in [Direction::Ascending, Direction::Descending] {
                let mut wanted: Vec<&Deployment> = rows.iter().filter(|row| matches(row, &filter)).collect();
                wanted.sort_by(|a, b| match direction {
                    Direction::Ascending => compare(order, a, b),
                    Direction::Descending => compare(order, b, a),
                });
                let wanted: Vec<DeploymentId> = wanted.into_iter().map(|row| row.id).collect();
                let query = DeploymentQuery {
                    filter: filter.clone(),
                    order,
                    direction,
                };
                assert_eq!(walk(ledger, &query, 7).await, wanted, "by position: {query:?}");
                let page = PageRequest {
                    size: 10,
                    skip: 3,
                    want_total: true,
                    after: None,
                };
                let skipped = read(ledger, &query, &page).await;
                let by_skip: Vec<_> = skipped.items.iter().map(|row| row.id).collect();
                let slice: Vec<_> = wanted.iter().skip(3).take(10).copied().collect();
                assert_eq!(by_skip, slice, "by skip: {query:?}");
                assert_eq!(skipped.next.is_some(), wanted.len() > 13, "{query:?}");
                assert_eq!(
                    skipped.total,
                    Some(i64::try_from(wanted.len()).unwrap()),
                    "{query:?}"
                );
            }
        }
    }
}

/// A page, which is the same at a glance; but of an empty one that cannot be told.
async fn read(
    ledger: &Ledger,
    query: &DeploymentQuery,
    page: &PageRequest<DeploymentPosition>,
) -> Page<Deployment, DeploymentPosition> {
    let read = async |by| ledger.store.deployment_list(ledger.web, query, page, by).await;
    let found = read(None).await.unwrap();
    let key = ProjectKey::Id(ledger.web);
    let view = ledger.store.project_find(&key, ledger.root.id).await;
    match read(Some(view.unwrap().unwrap().mark)).await {
        Ok(at_a_glance) => assert_eq!(at_a_glance, found, "{query:?} {page:?}"),
        Err(error) => {
            assert!(matches!(error, StoreError::Outdated), "{error}");
            assert!(found.items.is_empty(), "{query:?} {page:?}");
        }
    }
    found
}

/// All ids of a list, page by page.
async fn walk(ledger: &Ledger, query: &DeploymentQuery, size: i64) -> Vec<DeploymentId> {
    let mut seen = Vec::new();
    let mut page: PageRequest<DeploymentPosition> = PageRequest {
        size,
        ..PageRequest::default()
    };
    loop {
        let read = read(ledger, query, &page).await;
        assert!(i64::try_from(read.items.len()).unwrap() <= size);
        for row in &read.items {
            assert_eq!(
                ledger
                    .store
                    .deployment_find(ledger.web, row.id)
                    .await
                    .unwrap()
                    .as_ref(),
                Some(row)
            );
        }
        seen.extend(read.items.iter().map(|row| row.id));
        match read.next {
            Some(next) => page.after = Some(next),
            None => return seen,
        }
    }
}

pub async fn a_total_is_told_to_its_limit_and_no_further(ledger: &Ledger) {
    fill(ledger).await;
    assert_eq!(TOTAL_MAX, 10_000, "the scale test counts past it");
    let query = DeploymentQuery::default();
    for (want_total, total) in [(false, false), (true, true)] {
        let page = PageRequest {
            want_total,
            size: 1,
            ..PageRequest::default()
        };
        let read = read(ledger, &query, &page).await;
        assert_eq!(
            (read.total.is_some(), read.items.len(), read.next.is_some()),
            (total, 1, true)
        );
    }
    // A total counts all that match, wherever the page is.
    let position = DeploymentPosition {
        key: PositionKey::None,
        iid: gatehouse::domain::id::Iid(5),
    };
    let page = PageRequest {
        want_total: true,
        skip: 1_000,
        after: Some(position),
        size: 1,
    };
    let read = read(ledger, &query, &page).await;
    let all = walk(ledger, &query, 100).await.len();
    assert_eq!(
        (read.total, read.items.len()),
        (Some(i64::try_from(all).unwrap()), 0)
    );
}

pub async fn lists_by_id_are_walked_without_loss(ledger: &Ledger) {
    for number in 0..23 {
        ledger
            .record(&format!("env-{number}"), "main", S::Created, at(1))
            .await;
        ledger.user(&format!("user-{number}")).await;
    }
    let (mut names, mut page) = (
        Vec::new(),
        PageRequest {
            size: 5,
            ..PageRequest::default()
        },
    );
    loop {
        let filter = EnvironmentFilter::default();
        let read = ledger
            .store
            .environment_list(ledger.web, &filter, &page)
            .await
            .unwrap();
        names.extend(read.items.into_iter().map(|place| place.name));
        let Some(next) = read.next else { break };
        page.after = Some(next);
    }
    assert_eq!(
        names,
        (0..23).map(|number| format!("env-{number}")).collect::<Vec<_>>()
    );
    let (mut ids, mut page) = (
        Vec::new(),
        PageRequest {
            size: 8,
            ..PageRequest::default()
        },
    );
    loop {
        let read = ledger.store.user_list(None, &page).await.unwrap();
        ids.extend(read.items.into_iter().map(|user| user.id));
        let Some(next) = read.next else { break };
        page.after = Some(next);
    }
    assert_eq!(ids, (1..=24).map(UserId).collect::<Vec<_>>());
    let page = PageRequest {
        want_total: true,
        skip: 20,
        ..PageRequest::default()
    };
    let found = ledger.store.user_list(Some("USER-"), &page).await.unwrap();
    assert_eq!((found.items.len(), found.total, found.next), (3, Some(23), None));
    let gone = fresh(
        ledger
            .move_to(DeploymentId(1), S::Running, ledger.terms(at(2)))
            .await,
    );
    assert!(gone.deployment.is_some());
}
