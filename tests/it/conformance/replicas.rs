//! What servers that share a store need: leases, positions, forgetting in the background.

use std::sync::Arc;

use chrono::TimeDelta;
use gatehouse::{
    domain::{deployment::DeploymentStatus, directory::Visibility, id::ProjectId},
    store::{Lease, Position},
};

use super::{Ledger, at, command, fresh};

pub async fn a_lease_goes_to_the_one_who_saw_it_last(ledger: &Ledger) {
    let store = &ledger.store;
    let take =
        async |holder: &str, seen: Option<Lease>| store.lease_take("work", holder, seen).await.unwrap();
    assert_eq!(store.lease_find("work").await.unwrap(), None);
    assert!(take("a", None).await);
    assert!(!take("b", None).await, "it is taken");
    let first = store.lease_find("work").await.unwrap().unwrap();
    assert_eq!(first.holder, "a");
    assert!(take("a", Some(first.clone())).await, "it beats");
    assert!(!take("b", Some(first.clone())).await, "it has beaten since");
    let second = store.lease_find("work").await.unwrap().unwrap();
    assert_eq!((second.holder.as_str(), second.beat), ("a", first.beat + 1));
    assert!(take("b", Some(second.clone())).await);
    assert!(!take("a", Some(second)).await);
    assert_eq!(store.lease_find("work").await.unwrap().unwrap().holder, "b");
    assert_eq!(store.lease_find("other work").await.unwrap(), None);
}

pub async fn of_many_who_reach_for_a_lease_one_gets_it(ledger: &Ledger) {
    for _ in 0..5 {
        let seen = ledger.store.lease_find("work").await.unwrap();
        let reaching = (0..6).map(|server| {
            let (store, seen) = (Arc::clone(&ledger.store), seen.clone());
            tokio::spawn(async move { store.lease_take("work", &server.to_string(), seen).await.unwrap() })
        });
        let mut taken = 0;
        for reached in reaching.collect::<Vec<_>>() {
            taken += usize::from(reached.await.unwrap());
        }
        assert_eq!(taken, 1);
    }
}

pub async fn answers_are_forgotten_when_no_repeat_can_come(ledger: &Ledger) {
    let day = TimeDelta::hours(24);
    for second in 0..5 {
        let command = command("production", "main", DeploymentStatus::Created);
        let terms = ledger.named(at(second), &format!("id {second}"), "print");
        fresh(ledger.record_on(ledger.web, command, terms).await);
    }
    let prune = async |now, limit| ledger.store.request_prune(now, limit).await.unwrap();
    assert_eq!(prune(at(0) + day - TimeDelta::milliseconds(1), 100).await, 0);
    assert_eq!(prune(at(2) + day, 2).await, 2, "no more than asked for");
    assert_eq!(prune(at(2) + day, 2).await, 1);
    assert_eq!(prune(at(9) + day, 100).await, 2);
    assert_eq!(prune(at(9) + day, 100).await, 0);
}

pub async fn a_position_moves_with_every_change_that_is_seen_from_a_project(ledger: &Ledger) {
    let position = async |project| ledger.store.position(project).await.unwrap();
    let other = ledger.project(&ledger.acme, "api", Visibility::Private).await;
    let (web, api, none) = (
        position(Some(ledger.web)).await,
        position(Some(other)).await,
        position(None).await,
    );
    assert!(web.reaches(web) && none.reaches(none));
    assert_eq!(position(Some(ProjectId(999))).await.project, None);

    ledger
        .record("production", "main", DeploymentStatus::Success, at(1))
        .await;
    let moved = position(Some(ledger.web)).await;
    assert!(moved.reaches(web) && !web.reaches(moved));
    assert_eq!(position(Some(other)).await, api, "not by what happens in others");

    ledger.user("mika").await;
    for (before, project) in [(moved, Some(ledger.web)), (api, Some(other)), (none, None)] {
        let after = position(project).await;
        assert!(after.reaches(before) && !before.reaches(after), "{project:?}");
    }
}

#[test]
fn a_copy_reaches_a_position_only_if_it_has_as_much_of_both() {
    let at = |project, directory| Position { project, directory };
    for (there, here, reaches) in [
        (at(Some(3), 3), at(Some(3), 3), true),
        (at(Some(4), 4), at(Some(3), 3), true),
        (at(Some(2), 9), at(Some(3), 3), false),
        (at(Some(9), 2), at(Some(3), 3), false),
        (at(None, 9), at(Some(0), 3), false),
        (at(Some(0), 4), at(None, 3), true),
        (at(None, 3), at(None, 3), true),
    ] {
        assert_eq!(there.reaches(here), reaches, "{there:?} {here:?}");
    }
}
