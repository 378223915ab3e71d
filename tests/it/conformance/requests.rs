//! Requests with names, and requests that only check.

use chrono::TimeDelta;
use gatehouse::{
    domain::{deployment::DeploymentStatus as S, error::Reason, id::UserKey},
    store::{DirectorySelect, DirectoryState, Done, RequestKey, Terms},
};

use super::{Ledger, at, command, fresh, refused};

pub async fn a_repeat_is_given_the_same_bytes(ledger: &Ledger) {
    let record = async |second| {
        let command = command("production", "main", S::Created);
        ledger
            .record_on(ledger.web, command, ledger.named(at(second), "id", "print"))
            .await
    };
    let first = fresh(record(1).await);
    for second in [1, 2, 3_600] {
        let Done::Replayed(bytes) = record(second).await.unwrap() else {
            panic!("done twice")
        };
        assert_eq!(bytes, format!("{first:?}").into_bytes());
    }
    // Names are by user.
    let ann = ledger.user("ann").await;
    let request = Some(RequestKey {
        id: "id".into(),
        fingerprint: "other".into(),
    });
    let theirs = Terms {
        request,
        ..super::terms(&ann, at(2))
    };
    fresh(
        ledger
            .record_on(ledger.web, command("production", "main", S::Created), theirs)
            .await,
    );
    assert_eq!(ledger.engine.counters(ledger.web).await, (2, 3));
}

pub async fn another_request_under_the_same_id_is_refused(ledger: &Ledger) {
    let command = || command("production", "main", S::Created);
    fresh(
        ledger
            .record_on(ledger.web, command(), ledger.named(at(1), "id", "print"))
            .await,
    );
    let other = ledger
        .record_on(ledger.web, command(), ledger.named(at(2), "id", "other"))
        .await;
    assert_eq!(refused(other), Reason::RequestIdReused);
    let select = DirectorySelect::User(UserKey::Id(ledger.root.id));
    let nothing = Box::new(|_: &DirectoryState| Ok(Vec::new()));
    let elsewhere = ledger
        .store
        .directory_change(select, ledger.named(at(2), "id", "other"), nothing)
        .await;
    assert_eq!(refused(elsewhere), Reason::RequestIdReused);
    assert_eq!(ledger.engine.counters(ledger.web).await, (1, 2));
}

pub async fn a_refused_change_is_not_remembered(ledger: &Ledger) {
    let bad = ledger
        .record_on(
            ledger.web,
            command("/", "main", S::Created),
            ledger.named(at(1), "id", "a"),
        )
        .await;
    assert_eq!(refused(bad), Reason::InvalidResource);
    let good = command("production", "main", S::Created);
    fresh(
        ledger
            .record_on(ledger.web, good, ledger.named(at(2), "id", "b"))
            .await,
    );
}

pub async fn an_answer_is_forgotten_after_a_day(ledger: &Ledger) {
    let day = TimeDelta::hours(24);
    let record = async |now, print: &str| {
        let command = command("production", "main", S::Created);
        ledger
            .record_on(ledger.web, command, ledger.named(now, "id", print))
            .await
    };
    fresh(record(at(0), "a").await);
    let last = record(at(0) + day - TimeDelta::milliseconds(1), "a")
        .await
        .unwrap();
    assert!(matches!(last, Done::Replayed(_)));
    fresh(record(at(0) + day, "b").await);
    assert_eq!(refused(record(at(1) + day, "a").await), Reason::RequestIdReused);
    assert!(matches!(
        record(at(1) + day, "b").await.unwrap(),
        Done::Replayed(_)
    ));
    assert_eq!(ledger.engine.counters(ledger.web).await.0, 2);
}

pub async fn what_is_only_checked_leaves_no_trace(ledger: &Ledger) {
    let checked = Terms {
        validate_only: true,
        ..ledger.terms(at(9))
    };
    let command = || command("production", "main", S::Success);
    let told = fresh(ledger.record_on(ledger.web, command(), checked.clone()).await);
    assert_eq!(told.deployment.unwrap().iid.0, 1);
    assert!(told.environment.is_some());
    assert_eq!(ledger.environment("production").await, None);
    assert_eq!(ledger.engine.events(ledger.web).await, []);
    assert_eq!(ledger.engine.counters(ledger.web).await, (0, 0));
    let made = ledger.record("production", "main", S::Success, at(1)).await;
    assert_eq!(made.created_at, at(1), "nor does its time count");
    let told = fresh(ledger.move_to(made.id, S::Failed, checked).await)
        .deployment
        .unwrap();
    assert_eq!(told.status, S::Failed);
    assert_eq!(
        ledger.store.deployment_find(ledger.web, made.id).await.unwrap(),
        Some(made)
    );
    assert_eq!(ledger.engine.counters(ledger.web).await, (1, 2));
}
