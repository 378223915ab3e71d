//! Environments.

use gatehouse::{
    domain::{
        deployment::DeploymentStatus as S,
        directory::Visibility,
        environment::{EnvironmentFilter, EnvironmentState, EnvironmentTier, NewEnvironment},
        error::Reason,
        event::ProjectChange,
        page::PageRequest,
    },
    store::{ProjectState, Select},
};

use super::{Ledger, at, command, fresh, refused};

pub async fn a_deployment_makes_its_environment_once(ledger: &Ledger) {
    let first = ledger.record("review/feature-1", "main", S::Created, at(1)).await;
    let again = ledger.record("review/feature-1", "main", S::Created, at(2)).await;
    assert_eq!(first.environment, again.environment);
    let place = ledger.environment("review/feature-1").await.unwrap();
    assert_eq!(
        (place.slug.as_str(), place.tier),
        ("review-feature-1-1q251u", EnvironmentTier::Development)
    );
    assert_eq!(
        (place.state, place.created_at),
        (EnvironmentState::Available, at(1))
    );
    // Names are told apart by case, paths and usernames are not.
    assert_eq!(ledger.environment("Review/feature-1").await, None);
    assert_ne!(
        ledger
            .record("Review/feature-1", "main", S::Created, at(3))
            .await
            .environment
            .id,
        place.id
    );
}

pub async fn a_slug_is_unique_in_its_project(ledger: &Ledger) {
    ledger.record("foo", "main", S::Created, at(1)).await;
    let clash = ledger
        .record_on(
            ledger.web,
            command("foo-", "main", S::Created),
            ledger.terms(at(2)),
        )
        .await;
    assert_eq!(refused(clash), Reason::AlreadyExists);
    assert_eq!(ledger.engine.counters(ledger.web).await, (1, 2));
    let other = ledger.project(&ledger.acme, "other", Visibility::Private).await;
    fresh(
        ledger
            .record_on(other, command("foo-", "main", S::Created), ledger.terms(at(3)))
            .await,
    );
}

pub async fn the_stale_are_those_that_saw_no_change(ledger: &Ledger) {
    ledger.record("quiet", "main", S::Success, at(1)).await;
    ledger.record("stopped", "main", S::Success, at(1)).await;
    ledger.stop("stopped", at(2)).await;
    let busy = ledger.record("busy", "main", S::Created, at(1)).await;
    ledger.record("edge", "main", S::Created, at(5)).await;
    fresh(ledger.move_to(busy.id, S::Running, ledger.terms(at(10))).await);
    let stale = async |before| {
        let decide = Box::new(|state: &ProjectState| {
            let stops = state
                .environments
                .iter()
                .map(|place| place.stop(true, state.now).unwrap());
            Ok(stops.flatten().collect())
        });
        let select = Select::StaleEnvironments { before };
        let terms = gatehouse::store::Terms {
            validate_only: true,
            ..ledger.terms(at(20))
        };
        let answer = fresh(ledger.change(ledger.web, select, terms, decide).await);
        answer
            .environments
            .into_iter()
            .map(|place| place.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(stale(at(1)).await, [""; 0]);
    assert_eq!(stale(at(2)).await, ["quiet"]);
    assert_eq!(stale(at(5)).await, ["quiet"]);
    assert_eq!(stale(at(6)).await, ["quiet", "edge"]);
    assert_eq!(stale(at(10)).await, ["quiet", "edge"]);
    assert_eq!(stale(at(11)).await, ["quiet", "busy", "edge"]);
}

pub async fn old_review_environments_are_deleted_oldest_first(ledger: &Ledger) {
    for (name, second) in [
        ("review/b", 2),
        ("review/a", 1),
        ("review/c", 3),
        ("reviews/d", 1),
        ("review", 1),
    ] {
        // Times do not run backwards in a project, so the order of making is the order of age.
        ledger.record(name, "main", S::Success, at(second)).await;
    }
    ledger.record("review/up", "main", S::Success, at(3)).await;
    for name in ["review/a", "review/b", "review/c", "reviews/d", "review"] {
        ledger.stop(name, at(4)).await;
    }
    let clean = async |second, limit| {
        let decide = Box::new(|state: &ProjectState| {
            let deleted = state.environments.iter().map(|place| place.delete().unwrap());
            Ok(deleted.flatten().collect())
        });
        let select = Select::ReviewEnvironments {
            before: at(second),
            limit,
        };
        let answer = fresh(
            ledger
                .change(ledger.web, select, ledger.terms(at(9)), decide)
                .await,
        );
        answer
            .environments
            .into_iter()
            .map(|place| place.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(clean(2, 10).await, [""; 0]);
    assert_eq!(clean(9, 1).await, ["review/b"]);
    assert_eq!(clean(9, 10).await, ["review/a", "review/c"]);
    assert_eq!(clean(9, 10).await, [""; 0]);
    assert!(ledger.environment("review/up").await.is_some());
}

pub async fn a_list_is_filtered_by_name_beginning_and_state(ledger: &Ledger) {
    for name in ["production", "Preview", "review/Pro", "review/x", "pr%", "pr_"] {
        let new = if name.contains('%') {
            // Not by the rules, but what a filter finds must not hang on them.
            let mut new = NewEnvironment::named("pr", false, "").unwrap();
            name.clone_into(&mut new.name);
            new
        } else {
            NewEnvironment::named(name, false, "").unwrap()
        };
        let decide =
            Box::new(move |_: &ProjectState| Ok(vec![ProjectChange::EnvironmentCreated(new.clone())]));
        let select = Select::EnvironmentNamed(name.into());
        fresh(
            ledger
                .change(ledger.web, select, ledger.terms(at(1)), decide)
                .await,
        );
    }
    ledger.stop("review/x", at(2)).await;
    let found = async |filter: EnvironmentFilter| {
        let page = PageRequest {
            want_total: true,
            ..PageRequest::default()
        };
        let page = ledger
            .store
            .environment_list(ledger.web, &filter, &page)
            .await
            .unwrap();
        assert_eq!(page.total, Some(i64::try_from(page.items.len()).unwrap()));
        page.items.into_iter().map(|place| place.name).collect::<Vec<_>>()
    };
    let search = |text: &str| EnvironmentFilter {
        search: Some(text.into()),
        ..EnvironmentFilter::default()
    };
    assert_eq!(found(EnvironmentFilter::default()).await.len(), 6);
    assert_eq!(
        found(search("PR")).await,
        ["production", "Preview", "review/Pro", "pr%", "pr_"]
    );
    assert_eq!(found(search("pro")).await, ["production", "review/Pro"]);
    assert_eq!(found(search("pr%")).await, ["pr%"]);
    assert_eq!(found(search("pr_")).await, ["pr_"]);
    assert_eq!(found(search("review/")).await, ["review/Pro", "review/x"]);
    assert_eq!(found(search("view")).await, [""; 0]);
    let named = |name: &str| EnvironmentFilter {
        name: Some(name.into()),
        ..EnvironmentFilter::default()
    };
    assert_eq!(found(named("production")).await, ["production"]);
    assert_eq!(found(named("Production")).await, [""; 0]);
    let stopped = EnvironmentFilter {
        state: Some(EnvironmentState::Stopped),
        ..search("x")
    };
    assert_eq!(found(stopped.clone()).await, ["review/x"]);
    assert_eq!(
        found(EnvironmentFilter {
            state: Some(EnvironmentState::Available),
            ..stopped
        })
        .await,
        [""; 0]
    );
}
