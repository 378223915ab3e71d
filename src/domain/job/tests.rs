use proptest::prelude::*;

use super::*;
use crate::domain::{
    deployment::{
        GateState,
        fixture::{at, deployment, environment},
    },
    directory::fixture::user,
    environment::EnvironmentState,
    event::ProjectChange,
    gate::{
        Gate,
        fixture::{PROJECT, approval, gate as blocked, protection},
    },
    id::DeploymentId,
};

pub(crate) fn pipeline() -> Pipeline {
    Pipeline {
        id: 36,
        iid: None,
        sha: String::new(),
        git_ref: String::new(),
        status: JobStatus::Running,
        source: "push".into(),
        created_at: Some(at(1)),
        updated_at: None,
        web_url: None,
    }
}

fn draft(status: JobStatus) -> JobDraft {
    JobDraft {
        id: JobId(657),
        sequence: 0,
        status,
        name: "deploy".into(),
        stage: "deploy".into(),
        coverage: None,
        allow_failure: false,
        created_at: None,
        started_at: None,
        finished_at: None,
        queued_duration: None,
        failure_reason: String::new(),
        runner: None,
        pipeline: pipeline(),
        web_url: String::new(),
        tag_list: Vec::new(),
        ci_job_token_scope_enabled: false,
    }
}

fn report(sequence: i64, status: JobStatus) -> JobReport {
    JobReport {
        id: JobId(657),
        sequence,
        status,
        started_at: None,
        finished_at: None,
        erased_at: None,
        queued_duration: None,
        failure_reason: String::new(),
        coverage: None,
        runner: None,
        pipeline: None,
    }
}

/// A deployment in a status, with its job.
fn driven(status: DeploymentStatus, job: JobStatus, gate: GateState) -> Deployment {
    let bare = deployment(1, status);
    let job = draft(job).job(job, UserId(1), &bare.sha, &bare.git_ref, at(1));
    Deployment {
        job: Some(Box::new(job)),
        gate,
        ..bare
    }
}

/// A deployment at its gate, where one approval is required.
fn at_gate(deployment: Deployment) -> Gate {
    Gate {
        deployment,
        ..blocked(vec![protection(PROJECT, 1, Vec::new())], [])
    }
}

fn told(gate: &Gate, report: &JobReport, last: Option<&Deployment>) -> Result<Vec<ProjectChange>, Error> {
    let place = environment(EnvironmentState::Available);
    gate.report(report, &place, last, &user(1), at(100))
}

/// The deployment after a report.
fn after(gate: &Gate, report: &JobReport) -> Deployment {
    let changes = told(gate, report, None).unwrap();
    changes
        .iter()
        .fold(gate.deployment.clone(), |found, change| match change {
            ProjectChange::DeploymentMoved { after, .. } | ProjectChange::JobReported(after) => {
                Deployment::clone(after)
            }
            _ => found,
        })
}

fn statuses(deployment: &Deployment) -> (DeploymentStatus, JobStatus) {
    (deployment.status, deployment.job.as_ref().unwrap().status)
}

/// The fields that a refusal names.
fn fields(refused: &Error) -> Vec<&str> {
    refused.violations().iter().map(|v| v.field.as_str()).collect()
}

#[test]
fn every_word_of_a_job_is_read_as_it_is_written() {
    for status in JobStatus::ALL {
        assert_eq!(JobStatus::parse(status.as_str()), Some(status));
    }
    assert_eq!(JobStatus::parse("done"), None);
}

/// The table of contract 1.3, from where a deployment is when its job is announced.
#[test]
fn a_job_takes_its_deployment_where_the_table_says() {
    use DeploymentStatus as D;
    use JobStatus as J;
    for (word, status) in [
        (J::Created, D::Created),
        (J::WaitingForResource, D::Created),
        (J::Preparing, D::Created),
        (J::WaitingForCallback, D::Created),
        (J::Pending, D::Created),
        (J::Running, D::Running),
        (J::Success, D::Success),
        (J::Failed, D::Failed),
        (J::Canceling, D::Created),
        (J::Canceled, D::Canceled),
        (J::Skipped, D::Skipped),
        (J::Manual, D::Blocked),
        (J::Scheduled, D::Created),
    ] {
        let free = at_gate(driven(D::Created, J::Created, GateState::Open));
        assert_eq!(statuses(&after(&free, &report(1, word))), (status, word));
    }
}

#[test]
fn steps_that_the_life_cycle_does_not_have_are_left_out_and_the_job_moves_all_the_same() {
    use DeploymentStatus as D;
    use JobStatus as J;
    for (from, job, word, status) in [
        (D::Running, J::Running, J::Created, D::Running),
        (D::Running, J::Running, J::Manual, D::Running),
        (D::Running, J::Running, J::Running, D::Running),
        (D::Success, J::Success, J::Running, D::Success),
        (D::Success, J::Success, J::Success, D::Success),
        (D::Failed, J::Failed, J::Pending, D::Failed),
        (D::Failed, J::Running, J::Success, D::Success),
        (D::Skipped, J::Skipped, J::Created, D::Created),
        (D::Skipped, J::Skipped, J::Manual, D::Blocked),
        (D::Skipped, J::Skipped, J::Running, D::Skipped),
        // Somebody starts a job that nobody has to approve.
        (D::Blocked, J::Manual, J::Pending, D::Created),
        (D::Blocked, J::Manual, J::Created, D::Created),
        (D::Blocked, J::Manual, J::Running, D::Running),
        (D::Blocked, J::Manual, J::Success, D::Success),
        (D::Blocked, J::Manual, J::Manual, D::Blocked),
        (D::Blocked, J::Manual, J::Skipped, D::Skipped),
    ] {
        let free = at_gate(driven(from, job, GateState::Open));
        let found = after(&free, &report(1, word));
        assert_eq!(statuses(&found), (status, word), "{from:?} {job:?}");
        assert!(found.version > free.deployment.version);
        assert_eq!(found.gate, GateState::Open);
    }
}

#[test]
fn a_report_that_is_not_newer_changes_nothing() {
    let mut running = driven(DeploymentStatus::Running, JobStatus::Running, GateState::Open);
    if let Some(job) = &mut running.job {
        job.sequence = 5;
    }
    let gate = at_gate(running);
    for sequence in 1..=5 {
        assert_eq!(
            told(&gate, &report(sequence, JobStatus::Failed), None).unwrap(),
            []
        );
    }
    assert_ne!(told(&gate, &report(6, JobStatus::Failed), None).unwrap(), []);
}

#[test]
fn while_the_gate_holds_it_a_job_can_be_given_up_and_not_started() {
    use DeploymentStatus as D;
    use JobStatus as J;
    let held = at_gate(driven(D::Blocked, J::Manual, GateState::Held));
    for word in J::ALL {
        let told = told(&held, &report(1, word), None);
        match word {
            J::Created | J::Manual => {
                assert_eq!(statuses(&after(&held, &report(1, word))), (D::Blocked, J::Manual));
            }
            J::Failed | J::Canceled | J::Skipped => {
                assert_eq!(Some(statuses(&after(&held, &report(1, word))).0), word.mirrored());
                let left = told.unwrap();
                let counted =
                    |change: &ProjectChange| matches!(change, ProjectChange::ApprovalsCounted { .. });
                assert!(left.iter().any(counted), "{left:?}");
            }
            _ => {
                let refused = told.unwrap_err();
                let event = if word == J::Success { "succeed" } else { "run" };
                assert_eq!(refused.reason(), Reason::InvalidTransition, "{word:?}");
                assert_eq!(refused.metadata()[0].1, event);
                assert_eq!(refused.obstacles()[0].kind, "APPROVALS_MISSING");
            }
        }
    }
}

#[test]
fn what_the_gate_let_go_does_not_wait_again() {
    use DeploymentStatus as D;
    use JobStatus as J;
    for late in [J::Manual, J::Created] {
        for (status, job) in [(D::Created, J::Pending), (D::Running, J::Running)] {
            let released = at_gate(driven(status, job, GateState::Released));
            let found = after(&released, &report(1, late));
            assert_eq!(statuses(&found), (status, job));
            assert_eq!(found.job.unwrap().sequence, 1);
        }
    }
}

#[test]
fn what_was_left_out_at_the_gate_waits_there_if_it_is_taken_up_again() {
    for (approved, wanted) in [
        (false, (DeploymentStatus::Blocked, JobStatus::Manual)),
        (true, (DeploymentStatus::Created, JobStatus::Pending)),
    ] {
        for word in [JobStatus::Created, JobStatus::Manual] {
            let left_out = driven(DeploymentStatus::Skipped, JobStatus::Skipped, GateState::Held);
            let mut gate = at_gate(left_out);
            if approved {
                let approver = crate::domain::gate::fixture::administrator(2);
                gate.people.insert(approver.user.id, approver);
                gate.approvals.push(approval(2));
            }
            assert_eq!(statuses(&after(&gate, &report(1, word))), wanted);
        }
    }
}

#[test]
fn the_last_approval_starts_a_job_and_a_rejection_ends_it() {
    let held = driven(DeploymentStatus::Blocked, JobStatus::Manual, GateState::Held);
    let moved = |change| match change {
        Ok(ProjectChange::DeploymentMoved { after, .. }) => *after,
        other => panic!("{other:?}"),
    };
    let released = moved(held.release(at(9)));
    assert_eq!(
        statuses(&released),
        (DeploymentStatus::Created, JobStatus::Pending)
    );
    let rejected = moved(held.reject(at(9)));
    assert_eq!(statuses(&rejected), (DeploymentStatus::Failed, JobStatus::Failed));
    let job = rejected.job.unwrap();
    assert_eq!(
        (job.failure_reason.as_str(), job.finished_at),
        (DEPLOYMENT_REJECTED, Some(at(9)))
    );
}

#[test]
fn a_manual_job_that_nobody_has_to_approve_is_not_the_gates() {
    let mut gate = at_gate(driven(
        DeploymentStatus::Blocked,
        JobStatus::Manual,
        GateState::Open,
    ));
    gate.protections.clear();
    assert_eq!(gate.settle(at(9)).unwrap(), []);
    assert_eq!(gate.approval_state().pending_approval_count, 0);
    assert_eq!(gate.holds(&user(1)), []);
    let refused = gate.viewer(&user(1)).start.unwrap_err();
    assert_eq!(refused.reason(), Reason::DeploymentHasJob);
}

/// A later deployment that has succeeded, of another commit or the same.
fn newer(sha: &str) -> Deployment {
    Deployment {
        id: DeploymentId(2),
        sha: sha.into(),
        ..deployment(2, DeploymentStatus::Success)
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Goes,
    Fails,
    Refused,
}

#[test]
fn an_outdated_job_does_not_start_and_is_run_again_where_the_project_allows_it() {
    use DeploymentStatus as D;
    use JobStatus as J;
    use Outcome::{Fails, Goes, Refused};
    let (other, same) = (newer("b"), newer("A91957A858320C0E17F3A0ECA7CFACBFF50EA29A"));
    let older = Deployment {
        id: DeploymentId(0),
        ..other.clone()
    };
    for (enabled, rollback, status, job, word, last, wanted) in [
        (true, true, D::Created, J::Pending, J::Running, &other, Fails),
        (true, false, D::Created, J::Pending, J::Running, &other, Fails),
        (true, true, D::Created, J::Pending, J::Running, &same, Goes),
        (true, true, D::Created, J::Pending, J::Running, &older, Goes),
        (false, false, D::Created, J::Pending, J::Running, &other, Goes),
        (true, true, D::Blocked, J::Manual, J::Running, &other, Fails),
        (true, true, D::Running, J::Running, J::Success, &other, Goes),
        (true, true, D::Created, J::Created, J::Pending, &other, Goes),
        // Run again.
        (true, true, D::Success, J::Success, J::Pending, &other, Goes),
        (true, true, D::Success, J::Pending, J::Running, &other, Goes),
        (true, true, D::Failed, J::Failed, J::Running, &other, Goes),
        (true, false, D::Success, J::Success, J::Pending, &other, Refused),
        (true, false, D::Success, J::Success, J::Running, &other, Refused),
        (true, false, D::Success, J::Pending, J::Running, &other, Refused),
        (true, false, D::Success, J::Success, J::Running, &same, Goes),
        (false, false, D::Success, J::Success, J::Running, &other, Goes),
        (true, false, D::Success, J::Success, J::Failed, &other, Goes),
    ] {
        let mut gate = at_gate(driven(status, job, GateState::Open));
        gate.project.forward_deployment_enabled = enabled;
        gate.project.forward_deployment_rollback_allowed = rollback;
        let outcome = match told(&gate, &report(1, word), Some(last)) {
            Err(error) => {
                assert_eq!(error.reason(), Reason::OutdatedDeploymentJob);
                Refused
            }
            Ok(changes) => {
                let [
                    ProjectChange::DeploymentMoved { after, .. } | ProjectChange::JobReported(after),
                    ..,
                ] = &changes[..]
                else {
                    panic!("{changes:?}")
                };
                let job = after.job.as_ref().unwrap();
                if job.failure_reason == OUTDATED_DEPLOYMENT_JOB {
                    assert_eq!(statuses(after), (D::Failed, J::Failed));
                    assert_eq!((job.finished_at, job.started_at), (Some(at(100)), None));
                    Fails
                } else {
                    assert_eq!(job.status, word);
                    Goes
                }
            }
        };
        assert_eq!(
            outcome, wanted,
            "{enabled} {rollback} {status:?} {job:?} {word:?}"
        );
    }
}

#[test]
fn times_are_not_turned_back_and_a_new_run_begins_anew() {
    let gate = at_gate(driven(
        DeploymentStatus::Created,
        JobStatus::Pending,
        GateState::Open,
    ));
    let run = |gate: &Gate, sequence, status, started_at: Option<i64>, finished_at: Option<i64>| {
        let told = JobReport {
            started_at: started_at.map(at),
            finished_at: finished_at.map(at),
            ..report(sequence, status)
        };
        at_gate(after(gate, &told))
    };
    let times = |gate: &Gate| {
        let job = gate.deployment.job.as_ref().unwrap();
        (job.started_at, job.finished_at)
    };
    let gate = run(&gate, 1, JobStatus::Running, Some(50), None);
    let gate = run(&gate, 2, JobStatus::Running, Some(40), None);
    assert_eq!(times(&gate), (Some(at(50)), None));
    let early = JobReport {
        finished_at: Some(at(49)),
        ..report(3, JobStatus::Success)
    };
    assert_eq!(fields(&told(&gate, &early, None).unwrap_err()), ["finished_at"]);
    let gate = run(&gate, 3, JobStatus::Success, None, Some(60));
    let gate = run(&gate, 4, JobStatus::Success, None, Some(55));
    assert_eq!(times(&gate), (Some(at(50)), Some(at(60))));
    let gate = run(&gate, 5, JobStatus::Pending, None, None);
    assert_eq!(times(&gate), (None, None));
    // What nobody tells is noted.
    let gate = run(&gate, 6, JobStatus::Running, None, None);
    assert_eq!(times(&gate), (Some(at(100)), None));
    let gate = run(&gate, 7, JobStatus::Canceled, None, None);
    assert_eq!(times(&gate), (Some(at(100)), Some(at(100))));
}

#[test]
fn what_is_not_told_stays_as_it_was() {
    let gate = at_gate(driven(
        DeploymentStatus::Created,
        JobStatus::Pending,
        GateState::Open,
    ));
    let full = JobReport {
        coverage: Coverage::new(12.5),
        queued_duration: Some(Duration::from_millis(1_500)),
        runner: Some(Runner {
            id: 1,
            description: "one".into(),
            name: String::new(),
            kind: None,
            paused: false,
            online: None,
        }),
        pipeline: Some(Pipeline {
            status: JobStatus::Success,
            ..pipeline()
        }),
        failure_reason: "script_failure".into(),
        erased_at: Some(at(3)),
        ..report(1, JobStatus::Failed)
    };
    let first = after(&gate, &full);
    let mut second = after(&at_gate(first.clone()), &report(2, JobStatus::Failed));
    if let Some(job) = &mut second.job {
        job.sequence = 1;
    }
    assert_eq!(first.job, second.job);
    let job = after(&at_gate(first), &report(2, JobStatus::Success))
        .job
        .unwrap();
    assert_eq!(job.failure_reason, "");
    assert_eq!(job.pipeline.sha, deployment(1, DeploymentStatus::Created).sha);
}

#[test]
fn a_job_that_cannot_be_is_refused_field_by_field() {
    type Break = fn(&mut JobDraft);
    let cases: [(Break, &str); 19] = [
        (|d| d.id = JobId(0), "job.id"),
        (|d| d.sequence = -1, "job.sequence"),
        (|d| d.name = " ".into(), "job.name"),
        (|d| d.name = "x".repeat(256), "job.name"),
        (|d| d.stage = "a\u{7}".into(), "job.stage"),
        (|d| d.created_at = Some(at(161)), "job.created_at"),
        (
            |d| (d.started_at, d.finished_at) = (Some(at(161)), None),
            "job.started_at",
        ),
        (|d| d.finished_at = Some(at(161)), "job.finished_at"),
        (|d| d.finished_at = Some(at(4)), "job.finished_at"),
        (
            |d| {
                (d.status, d.failure_reason, d.finished_at) =
                    (JobStatus::Running, String::new(), Some(at(9)));
            },
            "job.finished_at",
        ),
        (|d| d.failure_reason = "Script".into(), "job.failure_reason"),
        (|d| d.failure_reason = "x".repeat(101), "job.failure_reason"),
        (
            |d| (d.status, d.failure_reason) = (JobStatus::Success, "script_failure".into()),
            "job.failure_reason",
        ),
        (|d| d.pipeline.id = 0, "job.pipeline.id"),
        (|d| d.pipeline.sha = "main".into(), "job.pipeline.sha"),
        (
            |d| d.pipeline.web_url = Some("javascript:x".into()),
            "job.pipeline.web_url",
        ),
        (|d| d.web_url = "a b".into(), "job.web_url"),
        (|d| d.tag_list = vec!["x".into(); 51], "job.tag_list"),
        (
            |d| d.tag_list = vec!["x".into(), String::new()],
            "job.tag_list[1]",
        ),
    ];
    let good = JobDraft {
        started_at: Some(at(5)),
        finished_at: Some(at(6)),
        failure_reason: "script_failure".into(),
        tag_list: vec!["x".repeat(255); 50],
        created_at: Some(at(160)),
        ..draft(JobStatus::Failed)
    };
    assert!(good.check(at(100)).is_ok());
    for (damage, field) in cases {
        let mut bad = good.clone();
        damage(&mut bad);
        assert_eq!(fields(&bad.check(at(100)).unwrap_err()), [field]);
    }
}

#[test]
fn a_report_that_cannot_be_is_refused_field_by_field() {
    type Break = fn(&mut JobReport);
    let cases: [(Break, &str); 9] = [
        (|r| r.sequence = 0, "sequence"),
        (|r| r.started_at = Some(at(161)), "started_at"),
        (|r| r.finished_at = Some(at(161)), "finished_at"),
        (|r| r.erased_at = Some(at(161)), "erased_at"),
        (
            |r| (r.started_at, r.finished_at) = (Some(at(9)), Some(at(8))),
            "finished_at",
        ),
        (
            |r| (r.status, r.finished_at) = (JobStatus::Pending, Some(at(8))),
            "finished_at",
        ),
        (
            |r| (r.status, r.failure_reason) = (JobStatus::Failed, "a-b".into()),
            "failure_reason",
        ),
        (|r| r.failure_reason = "script_failure".into(), "failure_reason"),
        (
            |r| {
                r.pipeline = Some(Pipeline {
                    created_at: Some(at(161)),
                    ..pipeline()
                });
            },
            "pipeline.created_at",
        ),
    ];
    for (damage, field) in cases {
        let mut bad = report(1, JobStatus::Success);
        assert!(bad.check(at(100)).is_ok());
        damage(&mut bad);
        assert_eq!(fields(&bad.check(at(100)).unwrap_err()), [field]);
    }
}

#[test]
fn a_coverage_is_a_part_of_the_whole() {
    for good in [0.0, -0.0, 12.5, 100.0] {
        assert!(Coverage::new(good).is_some(), "{good}");
    }
    for bad in [-0.1, 100.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(Coverage::new(bad).is_none(), "{bad}");
    }
    assert!(Coverage::new(-0.0).unwrap().percent().is_sign_positive());
}

fn words() -> impl Strategy<Value = JobStatus> {
    proptest::sample::select(JobStatus::ALL.to_vec())
}

proptest! {
    /// However reports come in, and however often: the job is where the one with the greatest number says, its number and
    /// the deployment's version never go back, and the deployment is never what the life cycle does not allow.
    #[test]
    fn reports_may_overtake_each_other(
        reports in proptest::collection::vec((1_i64..12, words(), 0_i64..90), 1..24),
    ) {
        // One number, one report.
        let mut known: std::collections::BTreeMap<i64, JobReport> = std::collections::BTreeMap::new();
        let mut gate = at_gate(driven(DeploymentStatus::Created, JobStatus::Created, GateState::Open));
        for (sequence, status, started) in reports {
            let told_once = known.entry(sequence).or_insert_with(|| JobReport {
                started_at: (!status.is_ended()).then(|| at(started)),
                ..report(sequence, status)
            }).clone();
            let before = gate.deployment.clone();
            gate.deployment = after(&gate, &told_once);
            let greatest = *known.keys().next_back().unwrap();
            let job = gate.deployment.job.as_ref().unwrap();
            let earlier = before.job.as_ref().unwrap();
            prop_assert_eq!(job.sequence, greatest.max(earlier.sequence));
            prop_assert_eq!(job.status, known[&job.sequence].status);
            prop_assert!(gate.deployment.version >= before.version);
            prop_assert!(gate.deployment.finished_at >= before.finished_at);
            prop_assert!(!(job.finished_at < job.started_at && job.finished_at.is_some()));
            if !earlier.status.is_ended() || job.status.is_ended() {
                prop_assert!(job.started_at >= earlier.started_at);
                prop_assert!(job.finished_at >= earlier.finished_at);
            }
            if sequence <= earlier.sequence {
                prop_assert_eq!(&gate.deployment, &before);
            }
        }
    }
}
