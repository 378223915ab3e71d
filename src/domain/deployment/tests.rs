use proptest::prelude::*;

use super::{
    fixture::{at, deployment, environment},
    *,
};
use crate::domain::environment::EnvironmentState;

fn command(status: DeploymentStatus) -> CreateDeployment {
    CreateDeployment {
        environment: "production".into(),
        sha: "a91957a858320c0e17f3a0eca7cfacbff50ea29a".into(),
        git_ref: "main".into(),
        job: None,
        commits: Vec::new(),
        tag: false,
        status,
    }
}

/// Contract 1.3's table of what the API's four statuses do from each state, with `blocked` as decision 6 has it.
#[test]
fn the_four_statuses_lead_where_the_contract_says() {
    use DeploymentStatus as S;
    let asked = [S::Running, S::Success, S::Failed, S::Canceled];
    for (from, allowed) in [
        (S::Created, [true, true, true, true]),
        (S::Blocked, [false, false, true, true]),
        (S::Running, [false, true, true, true]),
        (S::Success, [false, false, true, true]),
        (S::Failed, [false, true, false, true]),
        (S::Canceled, [false, true, true, false]),
        (S::Skipped, [false, true, true, true]),
    ] {
        for (to, allowed) in asked.into_iter().zip(allowed) {
            let moved = deployment(1, from).move_to(to, &environment(EnvironmentState::Available), at(2));
            assert_eq!(moved.is_ok(), allowed, "{from:?} -> {to:?}");
            if let Err(error) = moved {
                assert_eq!(error.reason(), Reason::InvalidTransition);
                let event = DeploymentEvent::toward(to).unwrap().as_str();
                let metadata = error.metadata();
                assert_eq!(metadata[0], ("event", event.to_owned()));
                assert_eq!(metadata[1], ("from", from.as_str().to_owned()));
                assert_eq!(metadata[2], ("to", to.as_str().to_owned()));
            }
        }
    }
}

#[test]
fn the_other_events_belong_to_the_gate_and_to_jobs() {
    use DeploymentEvent as E;
    use DeploymentStatus as S;
    for from in S::ALL {
        assert_eq!(E::Create.apply(from), (from == S::Skipped).then_some(S::Created));
        assert_eq!(E::Block.apply(from), (from == S::Created).then_some(S::Blocked));
        assert_eq!(E::Unblock.apply(from), (from == S::Blocked).then_some(S::Created));
        assert_eq!(E::Skip.apply(from), (from != S::Skipped).then_some(S::Skipped));
    }
    for status in [S::Created, S::Skipped, S::Blocked] {
        let refused =
            deployment(1, S::Running).move_to(status, &environment(EnvironmentState::Available), at(2));
        assert_eq!(refused.unwrap_err().violations()[0].field, "status");
    }
}

proptest! {
    /// Whatever happens, in whatever order: no event keeps the status, finishing sets `finished_at` anew and nothing
    /// ever clears it, every change counts.
    #[test]
    fn a_life_is_consistent_at_every_step(events in proptest::collection::vec(0..8usize, 0..40)) {
        let mut now = deployment(1, DeploymentStatus::Created);
        for (step, index) in events.into_iter().enumerate() {
            let event = DeploymentEvent::ALL[index];
            let time = at(10 + i64::try_from(step).unwrap());
            match now.on(event, time) {
                Ok(ProjectChange::DeploymentMoved { before, after }) => {
                    prop_assert_eq!(before, now.status);
                    prop_assert_ne!(after.status, now.status);
                    prop_assert_eq!(after.version, now.version + 1);
                    prop_assert_eq!(after.updated_at, time);
                    let finished = if after.status.is_finished() { Some(time) } else { now.finished_at };
                    prop_assert_eq!(after.finished_at, finished);
                    now = *after;
                }
                Ok(other) => prop_assert!(false, "{other:?}"),
                Err(error) => prop_assert_eq!(error.reason(), Reason::InvalidTransition),
            }
        }
    }
}

#[test]
fn a_success_makes_a_stopped_environment_available_again() {
    for (state, status, wakes) in [
        (EnvironmentState::Stopped, DeploymentStatus::Success, true),
        (EnvironmentState::Stopping, DeploymentStatus::Success, true),
        (EnvironmentState::Available, DeploymentStatus::Success, false),
        (EnvironmentState::Stopped, DeploymentStatus::Failed, false),
        (EnvironmentState::Stopped, DeploymentStatus::Running, false),
    ] {
        let environment = environment(state);
        let created = create(
            &command(status),
            UserId(1),
            &Ground {
                environment: Some(&environment),
                ..Ground::default()
            },
            at(2),
        )
        .unwrap();
        let moved = deployment(1, DeploymentStatus::Created)
            .move_to(status, &environment, at(2))
            .unwrap();
        for changes in [created, moved] {
            let started = changes.iter().any(|change| {
                matches!(change, ProjectChange::EnvironmentUpdated { after, .. }
                    if after.state == EnvironmentState::Available)
            });
            assert_eq!(started, wakes, "{state:?} {status:?}");
        }
    }
}

#[test]
fn the_same_success_is_recorded_once_and_anything_else_again() {
    let last = deployment(7, DeploymentStatus::Success);
    let environment = environment(EnvironmentState::Available);
    let changes = |command: &CreateDeployment| {
        create(
            command,
            UserId(1),
            &Ground {
                environment: Some(&environment),
                last: Some(&last),
                ..Ground::default()
            },
            at(2),
        )
        .unwrap()
    };
    let same = command(DeploymentStatus::Success);
    assert_eq!(changes(&same), [ProjectChange::DeploymentKept(last.clone())]);
    for other in [
        command(DeploymentStatus::Running),
        CreateDeployment {
            tag: true,
            ..same.clone()
        },
        CreateDeployment {
            git_ref: "v1".into(),
            ..same.clone()
        },
        CreateDeployment {
            sha: "b91957a858320c0e17f3a0eca7cfacbff50ea29a".into(),
            ..same
        },
    ] {
        assert!(
            matches!(changes(&other)[0], ProjectChange::DeploymentCreated(_)),
            "{other:?}"
        );
    }
}

#[test]
fn what_runs_and_what_is_deployed_cannot_be_deleted() {
    let last = deployment(7, DeploymentStatus::Success);
    for status in DeploymentStatus::ALL {
        let deleted = deployment(8, status).delete(Some(&last));
        assert_eq!(
            deleted.is_err(),
            status == DeploymentStatus::Running,
            "{status:?}"
        );
    }
    assert_eq!(
        last.delete(Some(&last)).unwrap_err().reason(),
        Reason::DeploymentIsLast
    );
    assert!(
        last.delete(Some(&deployment(9, DeploymentStatus::Success)))
            .is_ok()
    );
    let running = deployment(7, DeploymentStatus::Running);
    assert_eq!(
        running.delete(Some(&running)).unwrap_err().reason(),
        Reason::DeploymentRunning
    );
}

#[test]
fn a_new_deployment_is_checked_field_by_field() {
    let good = command(DeploymentStatus::Running);
    assert!(good.validate(false, at(2)).is_ok());
    let long = "a".repeat(256);
    for (bad, field, text) in [
        (
            CreateDeployment {
                environment: String::new(),
                ..good.clone()
            },
            "environment",
            "is empty",
        ),
        (
            CreateDeployment {
                sha: String::new(),
                ..good.clone()
            },
            "sha",
            "is empty",
        ),
        (
            CreateDeployment {
                sha: "abcdef".into(),
                ..good.clone()
            },
            "sha",
            "is invalid",
        ),
        (
            CreateDeployment {
                sha: "g".repeat(40),
                ..good.clone()
            },
            "sha",
            "is invalid",
        ),
        (
            CreateDeployment {
                sha: "a".repeat(65),
                ..good.clone()
            },
            "sha",
            "is invalid",
        ),
        (
            CreateDeployment {
                git_ref: "  ".into(),
                ..good.clone()
            },
            "ref",
            "is empty",
        ),
        (
            CreateDeployment {
                git_ref: "a\0".into(),
                ..good.clone()
            },
            "ref",
            "is invalid",
        ),
        (
            CreateDeployment {
                git_ref: long,
                ..good.clone()
            },
            "ref",
            "is invalid",
        ),
        (
            command(DeploymentStatus::Blocked),
            "status",
            "does not have a valid value",
        ),
        (
            command(DeploymentStatus::Skipped),
            "status",
            "does not have a valid value",
        ),
    ] {
        let error = bad.validate(false, at(2)).unwrap_err();
        let violation = &error.violations()[0];
        assert_eq!(
            (violation.field.as_str(), violation.description.as_str()),
            (field, text)
        );
    }
    for sha in ["abcdef0", "ABCDEF0123", &"f".repeat(64)] {
        assert!(
            CreateDeployment {
                sha: sha.into(),
                ..good.clone()
            }
            .validate(false, at(2))
            .is_ok(),
            "{sha}"
        );
    }
    let all = CreateDeployment {
        environment: String::new(),
        sha: String::new(),
        git_ref: String::new(),
        ..command(DeploymentStatus::Blocked)
    };
    assert_eq!(all.validate(false, at(2)).unwrap_err().violations().len(), 4);
}

#[test]
fn an_unknown_environment_is_made_and_a_bad_name_refused() {
    let changes = create(
        &command(DeploymentStatus::Success),
        UserId(3),
        &Ground::default(),
        at(2),
    )
    .unwrap();
    let [ProjectChange::DeploymentCreated(new)] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert!(matches!(&new.environment, EnvironmentSlot::New(new) if new.name == "production"));
    assert_eq!(new.finished_at, Some(at(2)));
    let bad = CreateDeployment {
        environment: "a;b".into(),
        ..command(DeploymentStatus::Running)
    };
    let error = create(&bad, UserId(3), &Ground::default(), at(2)).unwrap_err();
    assert_eq!(error.violations()[0].field, "environment.name");
}

#[test]
fn what_needs_approval_waits_and_what_has_happened_is_marked() {
    use DeploymentStatus as S;
    use GateState::{Bypassed, Held, Open};
    for (asked, gated, status, gate) in [
        (S::Created, false, S::Created, Open),
        (S::Running, false, S::Running, Open),
        (S::Success, false, S::Success, Open),
        (S::Created, true, S::Blocked, Held),
        (S::Running, true, S::Blocked, Held),
        (S::Success, true, S::Success, Bypassed),
        (S::Failed, true, S::Failed, Bypassed),
        (S::Canceled, true, S::Canceled, Bypassed),
    ] {
        let changes = create(
            &command(asked),
            UserId(1),
            &Ground {
                gated,
                ..Ground::default()
            },
            at(2),
        )
        .unwrap();
        let ProjectChange::DeploymentCreated(new) = &changes[0] else {
            panic!("{changes:?}")
        };
        assert_eq!((new.status, new.gate), (status, gate), "{asked:?} {gated}");
        assert_eq!(new.finished_at.is_some(), asked.is_finished());
    }
}

#[test]
fn a_success_that_is_recorded_again_is_the_same_one_where_approvals_are_required_too() {
    let last = deployment(7, DeploymentStatus::Success);
    let again = command(DeploymentStatus::Success);
    let environment = environment(EnvironmentState::Available);
    let changes = create(
        &again,
        UserId(1),
        &Ground {
            environment: Some(&environment),
            last: Some(&last),
            gated: true,
            ..Ground::default()
        },
        at(2),
    );
    assert_eq!(changes.unwrap(), [ProjectChange::DeploymentKept(last)]);
}

fn moved(change: Result<ProjectChange, Error>) -> Deployment {
    match change {
        Ok(ProjectChange::DeploymentMoved { after, .. }) => *after,
        other => panic!("{other:?}"),
    }
}

fn held() -> Deployment {
    Deployment {
        gate: GateState::Held,
        ..deployment(1, DeploymentStatus::Blocked)
    }
}

#[test]
fn a_rejection_fails_with_a_reason_that_the_next_step_forgets() {
    let rejected = moved(held().reject(at(2)));
    assert_eq!(rejected.status, DeploymentStatus::Failed);
    assert_eq!(rejected.failure_reason, Some(FailureReason::DeploymentRejected));
    assert_eq!(
        (rejected.gate, rejected.finished_at),
        (GateState::Held, Some(at(2)))
    );
    for event in [DeploymentEvent::Succeed, DeploymentEvent::Cancel] {
        assert_eq!(moved(rejected.on(event, at(3))).failure_reason, None);
    }
    for status in DeploymentStatus::ALL {
        let refused = deployment(1, status).reject(at(2)).is_err();
        assert_eq!(refused, status == DeploymentStatus::Failed, "{status:?}");
    }
}

#[test]
fn only_the_gate_lets_go_and_what_went_past_it_is_marked() {
    let released = moved(held().on(DeploymentEvent::Unblock, at(2)));
    assert_eq!(
        (released.status, released.gate),
        (DeploymentStatus::Created, GateState::Released)
    );
    let done = moved(released.on(DeploymentEvent::Succeed, at(3)));
    assert_eq!(done.gate, GateState::Released);
    for event in [DeploymentEvent::Drop, DeploymentEvent::Cancel] {
        let given_up = moved(held().on(event, at(2)));
        assert_eq!(given_up.gate, GateState::Held, "{event:?}");
        let done = moved(given_up.on(DeploymentEvent::Succeed, at(3)));
        assert_eq!(done.gate, GateState::Bypassed, "{event:?}");
    }
}

proptest! {
    /// Whatever happens to it, what the gate held does not look approved when it starts or succeeds without.
    #[test]
    fn nothing_held_runs_or_succeeds_without_a_mark(events in proptest::collection::vec(0..8usize, 0..12)) {
        let mut now = held();
        let mut released = false;
        for index in events {
            let event = DeploymentEvent::ALL[index];
            released |= event == DeploymentEvent::Unblock && now.status == DeploymentStatus::Blocked;
            if let Ok(ProjectChange::DeploymentMoved { after, .. }) = now.on(event, at(2)) {
                now = *after;
            }
            if matches!(now.status, DeploymentStatus::Running | DeploymentStatus::Success) {
                prop_assert_ne!(now.gate, GateState::Held);
                prop_assert!(released || now.gate == GateState::Bypassed);
            }
        }
    }
}
