//! The event log as it is read, and who is woken by it.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use gatehouse::{
    domain::{
        access::AccessLevel,
        deployment::DeploymentStatus as S,
        directory::{Container, DirectoryChange, Visibility},
        event::{Event, EventKind, EventSubject},
        id::{ProjectId, ProjectKey, UserKey},
        protection::{EntryDraft, GroupInheritance, ProtectionChange, ProtectionDraft, Role, Subject},
    },
    store::{DirectorySelect, Terms, wake::Subscription},
};

use super::{Ledger, at, command, fresh};

/// Where something was told since this was last asked. Whoever is woken is so before the change is answered.
fn woken(subscription: &Subscription) -> BTreeSet<ProjectId> {
    subscription.woken().now_or_never().unwrap_or_default()
}

async fn read(ledger: &Ledger, after: i64, size: i64) -> Vec<Event> {
    ledger
        .store
        .event_list(ledger.web, after, size)
        .await
        .unwrap()
        .events
}

pub async fn a_log_is_read_in_order_from_any_place(ledger: &Ledger) {
    assert_eq!(ledger.store.event_last(ledger.web).await.unwrap(), Some(0));
    assert_eq!(read(ledger, 0, 10).await, []);
    let made = ledger.record("production", "main", S::Created, at(1)).await;
    fresh(ledger.move_to(made.id, S::Failed, ledger.terms(at(2))).await);
    let other = ledger.project(&ledger.acme, "other", Visibility::Private).await;
    fresh(
        ledger
            .record_on(other, command("x", "main", S::Created), ledger.terms(at(3)))
            .await,
    );

    assert_eq!(ledger.store.event_last(ledger.web).await.unwrap(), Some(3));
    let events = read(ledger, 0, 10).await;
    let shown = |event: &Event| {
        (
            event.project_id,
            event.seq,
            event.kind,
            event.created_at,
            event.actor_id,
        )
    };
    let root = ledger.root.id;
    assert_eq!(
        events.iter().map(shown).collect::<Vec<_>>(),
        [
            (ledger.web, 1, EventKind::EnvironmentCreated, at(1), root),
            (ledger.web, 2, EventKind::DeploymentCreated, at(1), root),
            (ledger.web, 3, EventKind::DeploymentStatusChanged, at(2), root),
        ]
    );
    let EventSubject::Deployment {
        id, before, after, ..
    } = &events[2].subject
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        (*id, *before, *after),
        (made.id, Some(S::Created), Some(S::Failed))
    );
    for after in 0..4 {
        for size in 1..4 {
            let wanted = events.iter().skip(after).take(size).cloned().collect::<Vec<_>>();
            let after = i64::try_from(after).unwrap();
            assert_eq!(read(ledger, after, i64::try_from(size).unwrap()).await, wanted);
        }
    }

    let nowhere = ProjectId(9_999);
    assert_eq!(ledger.store.event_last(nowhere).await.unwrap(), None);
    assert_eq!(ledger.store.event_list(nowhere, 0, 10).await.unwrap().events, []);
}

pub async fn who_waits_on_a_project_is_woken_by_its_changes_only(ledger: &Ledger) {
    let other = ledger.project(&ledger.acme, "other", Visibility::Private).await;
    let here = ledger.store.subscribe(&[ledger.web]);
    let there = ledger.store.subscribe(&[other]);
    let made = ledger.record("production", "main", S::Created, at(1)).await;
    assert_eq!(woken(&here), BTreeSet::from([ledger.web]));
    assert_eq!(woken(&here), BTreeSet::new());
    assert_eq!(woken(&there), BTreeSet::new());

    // Neither what is only checked, nor what is refused, nor who somebody is, is told anybody.
    let checked = Terms {
        validate_only: true,
        ..ledger.terms(at(2))
    };
    fresh(ledger.move_to(made.id, S::Running, checked).await);
    ledger
        .move_to(made.id, S::Created, ledger.terms(at(2)))
        .await
        .unwrap_err();
    ledger.user("ann").await;
    assert_eq!((woken(&here), woken(&there)), (BTreeSet::new(), BTreeSet::new()));
}

/// A protection that asks for one approval of Maintainers.
fn draft(name: &str) -> ProtectionDraft {
    let maintainers = EntryDraft {
        id: None,
        subject: Subject::Role(Role::Maintainer),
        inheritance: GroupInheritance::Direct,
        required_approvals: 1,
    };
    ProtectionDraft {
        name: name.to_owned(),
        deploy_access_levels: vec![maintainers.clone()],
        required_approval_count: 0,
        approval_rules: vec![maintainers],
    }
}

pub async fn who_waits_is_woken_by_changes_of_the_groups_above_and_by_the_end(ledger: &Ledger) {
    let below = ledger
        .group(Some(&ledger.acme), "below", Visibility::Private)
        .await;
    let deep = ledger.project(&below, "deep", Visibility::Private).await;
    let beside = ledger.group(None, "beside", Visibility::Private).await;
    let far = ledger.project(&beside, "far", Visibility::Private).await;
    let all = ledger.store.subscribe(&[ledger.web, deep, far]);

    let select = DirectorySelect::User(UserKey::Id(ledger.root.id));
    let protect = ProtectionChange::Created(Container::Group(ledger.acme.id), draft("production"));
    ledger
        .facts(select.clone(), vec![DirectoryChange::Protection(protect)])
        .await;
    assert_eq!(woken(&all), BTreeSet::from([ledger.web, deep]));
    assert_eq!(ledger.store.event_last(deep).await.unwrap(), Some(1));
    assert_eq!(ledger.store.event_last(far).await.unwrap(), Some(0));

    let ann = ledger.user("ann").await;
    ledger
        .member(Container::Project(far), &ann, AccessLevel::Developer)
        .await;
    assert_eq!(woken(&all), BTreeSet::new());

    let view = ledger
        .store
        .project_find(&ProjectKey::Id(far), ledger.root.id)
        .await;
    let project = view.unwrap().unwrap().of.project;
    ledger
        .facts(select, vec![DirectoryChange::ProjectDeleted(project)])
        .await;
    assert_eq!(woken(&all), BTreeSet::from([far]));
    assert_eq!(ledger.store.event_last(far).await.unwrap(), None);
}
