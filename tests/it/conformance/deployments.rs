//! Deployments, their numbers, their events.

use std::sync::Arc;

use gatehouse::{
    domain::{
        deployment::DeploymentStatus as S,
        directory::{DirectoryChange, Visibility},
        error::Reason,
        id::{DeploymentId, EnvironmentKey, Iid, ProjectId, UserKey},
    },
    store::{DirectorySelect, ProjectState, Select, Terms},
};
use tokio::task::JoinSet;

use super::{Ledger, at, command, fresh, refused};

async fn delete(ledger: &Ledger, id: DeploymentId) -> Result<(), Reason> {
    let decide = Box::new(|state: &ProjectState| {
        state
            .deployment
            .as_ref()
            .unwrap()
            .delete(state.last_success.as_ref())
    });
    let answer = ledger
        .change(ledger.web, Select::Deletion(id), ledger.terms(at(9)), decide)
        .await;
    if answer.is_ok() {
        Ok(())
    } else {
        Err(refused(answer))
    }
}

pub async fn a_deployment_is_made_found_moved_and_deleted(ledger: &Ledger) {
    let made = ledger.record("production", "main", S::Created, at(1)).await;
    assert_eq!(
        (made.iid, made.status, made.created_at, made.finished_at),
        (Iid(1), S::Created, at(1), None)
    );
    assert_eq!(made.user.as_ref().unwrap().id, ledger.root.id);
    assert_eq!(
        ledger.store.deployment_find(ledger.web, made.id).await.unwrap(),
        Some(made.clone())
    );
    let moved = fresh(ledger.move_to(made.id, S::Failed, ledger.terms(at(2))).await)
        .deployment
        .unwrap();
    assert_eq!(
        (moved.status, moved.updated_at, moved.finished_at),
        (S::Failed, at(2), Some(at(2)))
    );
    assert_eq!(moved.created_at, made.created_at);
    assert_ne!(moved.etag(), made.etag());
    assert_eq!(
        ledger.store.deployment_find(ledger.web, made.id).await.unwrap(),
        Some(moved)
    );
    assert_eq!(
        ledger
            .store
            .deployment_find(ProjectId(99), made.id)
            .await
            .unwrap(),
        None
    );
    delete(ledger, made.id).await.unwrap();
    assert_eq!(
        ledger.store.deployment_find(ledger.web, made.id).await.unwrap(),
        None
    );

    let last = ledger.record("production", "main", S::Success, at(3)).await;
    assert_eq!(delete(ledger, last.id).await, Err(Reason::DeploymentIsLast));
    let running = ledger.record("production", "main", S::Running, at(4)).await;
    assert_eq!(delete(ledger, running.id).await, Err(Reason::DeploymentRunning));
}

pub async fn the_same_success_is_kept(ledger: &Ledger) {
    let first = ledger.record("production", "main", S::Success, at(1)).await;
    let before = ledger.engine.events(ledger.web).await;
    assert_eq!(
        ledger.record("production", "main", S::Success, at(2)).await,
        first
    );
    assert_eq!(ledger.engine.events(ledger.web).await, before);
    assert_eq!(ledger.engine.counters(ledger.web).await, (1, 2));
    assert_eq!(
        ledger.record("production", "next", S::Success, at(3)).await.iid,
        Iid(2)
    );
    assert_eq!(
        ledger.record("staging", "main", S::Success, at(4)).await.iid,
        Iid(3)
    );
}

pub async fn the_last_success_is_the_one_that_finished_last(ledger: &Ledger) {
    let early = ledger.record("production", "early", S::Running, at(1)).await;
    let late = ledger.record("production", "late", S::Success, at(2)).await;
    let place = early.environment.id;
    let last = async || {
        ledger
            .store
            .deployment_last_success(place)
            .await
            .unwrap()
            .map(|last| last.id)
    };
    assert_eq!(last().await, Some(late.id));
    fresh(ledger.move_to(early.id, S::Success, ledger.terms(at(3))).await);
    assert_eq!(
        last().await,
        Some(early.id),
        "by the time of finishing, not by number"
    );
    fresh(ledger.move_to(early.id, S::Failed, ledger.terms(at(4))).await);
    assert_eq!(last().await, Some(late.id));
    let tie = ledger.record("production", "tie", S::Success, at(5)).await;
    let next = ledger.record("production", "next", S::Success, at(5)).await;
    assert_ne!(tie.id, next.id);
    assert_eq!(last().await, Some(next.id));
}

pub async fn numbers_count_by_project_and_are_not_given_again(ledger: &Ledger) {
    let other = ledger.project(&ledger.acme, "other", Visibility::Private).await;
    let mut ids = Vec::new();
    for number in 1..=3 {
        let here = ledger.record("production", "main", S::Created, at(1)).await;
        let there = command("production", "main", S::Created);
        let there = fresh(ledger.record_on(other, there, ledger.terms(at(1))).await)
            .deployment
            .unwrap();
        assert_eq!((here.iid, there.iid), (Iid(number), Iid(number)));
        assert_ne!(here.environment.id, there.environment.id);
        ids.extend([here.id, there.id]);
    }
    assert!(ids.is_sorted());
    delete(ledger, ids[4]).await.unwrap();
    let next = ledger.record("production", "main", S::Created, at(2)).await;
    assert_eq!(next.iid, Iid(4));
    assert!(next.id > ids[5]);
    assert_eq!(ledger.engine.counters(ledger.web).await.0, 4);
    assert_eq!(ledger.engine.counters(other).await.0, 3);
}

pub async fn every_change_tells_its_events_and_a_refused_one_none(ledger: &Ledger) {
    let made = ledger.record("production", "main", S::Created, at(1)).await;
    fresh(ledger.move_to(made.id, S::Running, ledger.terms(at(2))).await);
    assert_eq!(
        refused(ledger.move_to(made.id, S::Running, ledger.terms(at(3))).await),
        Reason::InvalidTransition
    );
    let bad = ledger
        .record_on(ledger.web, command("/", "main", S::Created), ledger.terms(at(3)))
        .await;
    assert_eq!(refused(bad), Reason::InvalidResource);
    let checked = Terms {
        validate_only: true,
        ..ledger.terms(at(3))
    };
    fresh(ledger.move_to(made.id, S::Success, checked).await);
    ledger.stop("production", at(4)).await;
    // Becoming a success, it makes the environment available again: two facts, two events.
    fresh(ledger.move_to(made.id, S::Success, ledger.terms(at(5))).await);
    ledger.stop("production", at(6)).await;
    let decide = Box::new(|state: &ProjectState| state.environment.as_ref().unwrap().delete());
    let select = Select::Environment(EnvironmentKey::Name("production".into()));
    fresh(
        ledger
            .change(ledger.web, select, ledger.terms(at(7)), decide)
            .await,
    );

    let told = ledger.engine.events(ledger.web).await;
    let wanted = [
        ("environment_created", 1, "null", "\"available\""),
        ("deployment_created", 1, "null", "\"created\""),
        ("deployment_status_changed", 2, "\"created\"", "\"running\""),
        ("environment_updated", 4, "\"available\"", "\"stopped\""),
        ("deployment_status_changed", 5, "\"running\"", "\"success\""),
        ("environment_updated", 5, "\"stopped\"", "\"available\""),
        ("environment_updated", 6, "\"available\"", "\"stopped\""),
        ("environment_deleted", 7, "\"stopped\"", "null"),
    ];
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
    for ((number, event), (kind, second, before, after)) in (1..).zip(&told).zip(wanted) {
        assert_eq!(
            (event.seq, event.kind.as_str(), event.actor_id),
            (number, kind, ledger.root.id.0)
        );
        assert_eq!(event.created_at, at(second).timestamp_millis());
        assert!(
            event.payload.contains(&format!("\"before\":{before}")),
            "{event:?}"
        );
        assert!(event.payload.contains(&format!("\"after\":{after}")), "{event:?}");
        assert!(
            event.payload.contains("\"environment\":\"production\""),
            "{event:?}"
        );
    }
    assert_eq!(ledger.engine.counters(ledger.web).await, (1, 8));
}

pub async fn events_of_many_writers_have_no_gaps(ledger: &Ledger) {
    let mut writers = JoinSet::new();
    for number in 0..32 {
        let store = Arc::clone(&ledger.store);
        let terms = ledger.terms(at(1));
        let user = ledger.root.id;
        let key = gatehouse::domain::id::ProjectKey::Id(ledger.web);
        let command = command(&format!("env-{}", number % 3), &format!("r{number}"), S::Created);
        let select = Select::EnvironmentNamed(command.environment.clone());
        writers.spawn(async move {
            let decide = Box::new(move |state: &ProjectState| {
                let (place, last) = (state.environment.as_ref(), state.last_success.as_ref());
                gatehouse::domain::deployment::create(
                    &command,
                    user,
                    &gatehouse::domain::deployment::Ground {
                        environment: place,
                        slug_taken: state.slug_taken,
                        last,
                        ..gatehouse::domain::deployment::Ground::default()
                    },
                    state.now,
                )
            });
            fresh(store.project_change(key, select, terms, decide).await)
                .deployment
                .unwrap()
                .iid
                .0
        });
    }
    let mut iids = writers.join_all().await;
    iids.sort_unstable();
    assert_eq!(iids, (1..=32).collect::<Vec<_>>());
    let events = ledger.engine.events(ledger.web).await;
    assert!(
        (1..).zip(&events).all(|(number, event)| event.seq == number),
        "{events:?}"
    );
    let of_kind = |kind: &str| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!(
        (
            of_kind("deployment_created"),
            of_kind("environment_created"),
            events.len()
        ),
        (32, 3, 35)
    );
    assert_eq!(ledger.engine.counters(ledger.web).await, (32, 35));
}

pub async fn what_is_deleted_with_its_environment_is_gone(ledger: &Ledger) {
    let gone = ledger.record("review/x", "main", S::Success, at(1)).await;
    let stays = ledger.record("production", "main", S::Success, at(1)).await;
    let decide = || Box::new(|state: &ProjectState| state.environment.as_ref().unwrap().delete());
    let select = Select::Environment(EnvironmentKey::Name("review/x".into()));
    let early = ledger
        .change(ledger.web, select.clone(), ledger.terms(at(2)), decide())
        .await;
    assert_eq!(refused(early), Reason::EnvironmentNotStopped);
    ledger.stop("review/x", at(3)).await;
    fresh(
        ledger
            .change(ledger.web, select, ledger.terms(at(4)), decide())
            .await,
    );
    assert_eq!(ledger.environment("review/x").await, None);
    assert_eq!(
        ledger.store.deployment_find(ledger.web, gone.id).await.unwrap(),
        None
    );
    assert!(
        ledger
            .store
            .deployment_find(ledger.web, stays.id)
            .await
            .unwrap()
            .is_some()
    );
}

pub async fn a_deployment_outlives_its_user(ledger: &Ledger) {
    let ann = ledger.user("ann").await;
    let terms = super::terms(&ann, at(1));
    let user = ann.id;
    let decide = Box::new(move |state: &ProjectState| {
        let command = command("production", "main", S::Created);
        gatehouse::domain::deployment::create(
            &command,
            user,
            &gatehouse::domain::deployment::Ground::default(),
            state.now,
        )
    });
    let select = Select::EnvironmentNamed("production".into());
    let made = fresh(ledger.change(ledger.web, select, terms, decide).await)
        .deployment
        .unwrap();
    assert_eq!(made.user.as_ref().unwrap().id, ann.id);
    let select = DirectorySelect::User(UserKey::Id(ann.id));
    ledger
        .facts(select, vec![DirectoryChange::UserDeleted(ann)])
        .await;
    let found = ledger
        .store
        .deployment_find(ledger.web, made.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.user, None);
}
