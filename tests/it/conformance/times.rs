//! Time.

use gatehouse::domain::{deployment::DeploymentStatus as S, directory::Visibility};

use super::{Ledger, at, command, fresh};

/// Somebody sets the clock back: what comes later still does not look earlier, or lists by time would lose it.
pub async fn times_never_run_backwards_in_a_project(ledger: &Ledger) {
    let first = ledger.record("production", "main", S::Created, at(100)).await;
    let second = ledger.record("staging", "main", S::Success, at(50)).await;
    assert_eq!((second.created_at, second.finished_at), (at(100), Some(at(100))));
    assert_eq!(ledger.environment("staging").await.unwrap().created_at, at(100));
    let moved = fresh(ledger.move_to(first.id, S::Running, ledger.terms(at(10))).await)
        .deployment
        .unwrap();
    assert_eq!(moved.updated_at, at(100));
    let stopped = ledger.stop("staging", at(0)).await;
    assert_eq!(stopped.updated_at, at(100));
    let on = ledger.record("production", "main", S::Created, at(101)).await;
    assert_eq!(on.created_at, at(101));
    let events = ledger.engine.events(ledger.web).await;
    assert!(events.is_sorted_by_key(|event| event.created_at), "{events:?}");

    let other = ledger.project(&ledger.acme, "other", Visibility::Private).await;
    let there = ledger
        .record_on(other, command("x", "main", S::Created), ledger.terms(at(50)))
        .await;
    assert_eq!(
        fresh(there).deployment.unwrap().created_at,
        at(50),
        "each project has its own time"
    );
}
