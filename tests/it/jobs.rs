//! Jobs, black box: what they do to their deployments, and what the gate does to them.

use gatehouse::pb::v1::{self as pb, ApprovalStatus, DeploymentStatus as D, JobStatus as J};
use prost_types::Timestamp;
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    SHA, World,
    engine::{Engine, on_both_engines},
    entry::{requiring, role},
    in_project,
    job::{announcing, at, draft, report, statuses},
    project_at, project_id, reason, violations, within,
};

on_both_engines! {
    a_job_drives_its_deployment_from_its_announcement_to_its_end
    a_list_of_jobs_is_the_same_by_pages_as_at_once
    what_a_job_carries_out_is_not_moved_by_hand_but_can_be_deleted
    a_job_is_announced_once_and_a_repeat_is_answered_with_its_deployment
    a_bad_announcement_is_refused_field_by_field
    a_bad_report_is_refused_field_by_field_and_changes_nothing
    a_report_can_be_checked_repeated_and_recognised
    at_the_gate_a_job_is_manual_until_the_last_approval_enqueues_it
    a_rejection_fails_the_job_and_giving_it_up_is_no_secret
    a_protection_that_goes_lets_jobs_go
    a_manual_job_that_nobody_has_to_approve_waits_for_its_start_alone
    whoever_waits_learns_of_what_a_job_does
    an_outdated_job_is_told_not_to_go_on
    a_job_shows_its_commit_where_it_was_sent_and_its_user_while_there_is_one
}

/// The world, with a gate before production: Developers deploy, one Reporter approves.
struct Site {
    world: World,
}

impl Site {
    async fn new(engine: Engine) -> Self {
        Self {
            world: World::new(engine).await,
        }
    }

    async fn gated(engine: Engine) -> Self {
        let site = Self::new(engine).await;
        let request = pb::ProtectEnvironmentRequest {
            container: Some(in_project("acme/web")),
            name: "production".into(),
            deploy_access_levels: vec![role(30)],
            approval_rules: vec![requiring(1, role(20))],
            ..Default::default()
        };
        let mut protections = site.world.server.protections(&site.world.maintainer);
        protections.protect_environment(request).await.unwrap();
        site
    }

    fn project(&self) -> i64 {
        self.world.project.id
    }

    async fn create(
        &self,
        request: pb::CreateDeploymentRequest,
    ) -> Result<Response<pb::CreateDeploymentResponse>, Status> {
        self.world
            .server
            .deployments(&self.world.developer)
            .create_deployment(request)
            .await
    }

    /// Announces a job for production.
    async fn announce(&self, id: i64, status: J) -> pb::Deployment {
        let request = announcing(self.project(), "production", draft(id, status));
        self.create(request)
            .await
            .unwrap()
            .into_inner()
            .deployment
            .unwrap()
    }

    async fn send(&self, request: pb::ReportJobRequest) -> Result<Response<pb::ReportJobResponse>, Status> {
        self.world
            .server
            .jobs(&self.world.developer)
            .report_job(request)
            .await
    }

    /// Reports, and answers the deployment.
    async fn report(&self, id: i64, sequence: i64, status: J) -> pb::Deployment {
        let request = report(self.project(), id, sequence, status);
        let answer = self.send(request).await.unwrap().into_inner();
        answer.deployment.unwrap()
    }

    async fn get(&self, deployment_id: i64) -> pb::GetDeploymentResponse {
        let request = pb::GetDeploymentRequest {
            project: Some(project_id(self.project())),
            deployment_id,
        };
        let mut deployments = self.world.server.deployments(&self.world.developer);
        deployments.get_deployment(request).await.unwrap().into_inner()
    }

    async fn decide(&self, deployment_id: i64, status: ApprovalStatus) -> pb::Deployment {
        let request = pb::SubmitApprovalRequest {
            project: Some(project_id(self.project())),
            deployment_id,
            status: status.into(),
            ..Default::default()
        };
        let mut approvals = self.world.server.approvals(&self.world.reporter);
        approvals.submit_approval(request).await.unwrap();
        self.get(deployment_id).await.deployment.unwrap()
    }

    /// A start by hand.
    fn start(&self, deployment_id: i64) -> pb::UpdateDeploymentStatusRequest {
        pb::UpdateDeploymentStatusRequest {
            project: Some(project_id(self.project())),
            deployment_id,
            status: D::Running.into(),
            ..Default::default()
        }
    }

    async fn set(&self, enabled: bool, rollback_allowed: bool) {
        let request = pb::UpdateProjectRequest {
            project: Some(project_id(self.project())),
            forward_deployment_enabled: Some(enabled),
            forward_deployment_rollback_allowed: Some(rollback_allowed),
            ..Default::default()
        };
        let mut directory = self.world.server.directory(&self.world.server.root);
        directory.update_project(request).await.unwrap();
    }
}

async fn a_job_drives_its_deployment_from_its_announcement_to_its_end(engine: Engine) {
    let site = Site::new(engine).await;
    let job = pb::JobDraft {
        coverage: Some(12.5),
        web_url: "https://ci.example.com/657".into(),
        tag_list: vec!["linux".into()],
        created_at: Some(at(1_700_000_000)),
        ..draft(657, J::Pending)
    };
    let made = site.create(announcing(site.project(), "production", job)).await;
    let made = made.unwrap().into_inner().deployment.unwrap();
    assert_eq!(statuses(&made), (D::Created, J::Pending));
    let job = made.job.clone().unwrap();
    assert_eq!(
        (job.id, job.deployment_id, job.r#ref.as_str()),
        (657, made.id, "main")
    );
    assert_eq!(job.user.as_ref().unwrap().username, "dora");
    let pipeline = job.pipeline.unwrap();
    assert_eq!((pipeline.sha.as_str(), pipeline.r#ref.as_str()), (SHA, "main"));
    assert_eq!(made.commit_id.as_deref(), Some(SHA));

    let running = pb::ReportJobRequest {
        started_at: Some(at(1_700_000_010)),
        queued_duration: Some(prost_types::Duration {
            seconds: 3,
            nanos: 500_000_000,
        }),
        runner: Some(pb::Runner {
            id: 7,
            description: "shared".into(),
            r#type: pb::RunnerType::Instance.into(),
            online: Some(true),
            ..Default::default()
        }),
        ..report(site.project(), 657, 1, J::Running)
    };
    let answer = site.send(running.clone()).await.unwrap().into_inner();
    assert!(answer.applied);
    let moved = answer.deployment.unwrap();
    assert_eq!(statuses(&moved), (D::Running, J::Running));
    assert_ne!(moved.etag, made.etag);

    // Again, and late.
    let answer = site.send(running).await.unwrap().into_inner();
    assert_eq!(
        (answer.applied, answer.deployment.as_ref()),
        (false, Some(&moved))
    );

    let done = pb::ReportJobRequest {
        finished_at: Some(at(1_700_000_020)),
        coverage: Some(99.0),
        ..report(site.project(), 657, 9, J::Success)
    };
    let done = site.send(done).await.unwrap().into_inner().deployment.unwrap();
    assert_eq!(statuses(&done), (D::Success, J::Success));
    let late = site.send(report(site.project(), 657, 8, J::Running)).await;
    let late = late.unwrap().into_inner();
    assert_eq!((late.applied, late.deployment.as_ref()), (false, Some(&done)));

    // The same wherever it is read.
    let request = pb::GetJobRequest {
        project: Some(project_id(site.project())),
        job_id: 657,
    };
    let mut jobs = site.world.server.jobs(&site.world.reporter);
    let job = jobs.get_job(request).await.unwrap().into_inner().job.unwrap();
    assert_eq!(Some(&job), done.job.as_ref());
    assert_eq!(
        (job.started_at, job.finished_at, job.coverage, job.sequence),
        (Some(at(1_700_000_010)), Some(at(1_700_000_020)), Some(99.0), 9)
    );
    assert_eq!(job.runner.as_ref().unwrap().r#type(), pb::RunnerType::Instance);
    assert_eq!(job.queued_duration.unwrap().nanos, 500_000_000);
    assert_eq!(site.get(done.id).await.deployment, Some(done.clone()));
    let environment = pb::GetEnvironmentRequest {
        project: Some(project_id(site.project())),
        environment: Some(pb::EnvironmentRef {
            by: Some(pb::environment_ref::By::Name("production".into())),
        }),
    };
    let mut environments = site.world.server.environments(&site.world.reporter);
    let environment = environments.get_environment(environment).await.unwrap();
    assert_eq!(environment.into_inner().last_deployment.as_ref(), Some(&done));
    // One that nobody carries out stands beside it in the list.
    site.world.record("staging", D::Running).await;
    let list = pb::ListDeploymentsRequest {
        project: Some(project_id(site.project())),
        ..Default::default()
    };
    let mut deployments = site.world.server.deployments(&site.world.reporter);
    let listed = deployments
        .list_deployments(list)
        .await
        .unwrap()
        .into_inner()
        .deployments;
    assert_eq!(listed[0], done);
    assert_eq!((listed.len(), listed[1].job.as_ref()), (2, None));
}

async fn a_list_of_jobs_is_the_same_by_pages_as_at_once(engine: Engine) {
    let site = Site::new(engine).await;
    let mut made = Vec::new();
    for id in 1..=7 {
        // Every other one without a job.
        made.push(site.world.record(&format!("env-{id}"), D::Running).await);
        made.push(
            site.announce(id, J::try_from(i32::try_from(id).unwrap()).unwrap())
                .await,
        );
    }
    let mut deployments = site.world.server.deployments(&site.world.reporter);
    let mut listed = Vec::new();
    let mut request = pb::ListDeploymentsRequest {
        project: Some(project_id(site.project())),
        page_size: 3,
        ..Default::default()
    };
    loop {
        let page = deployments
            .list_deployments(request.clone())
            .await
            .unwrap()
            .into_inner();
        listed.extend(page.deployments);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed, made);
}

async fn what_a_job_carries_out_is_not_moved_by_hand_but_can_be_deleted(engine: Engine) {
    let site = Site::gated(engine).await;
    let held = site.announce(1, J::Pending).await;
    let free = announcing(site.project(), "qa", draft(2, J::Created));
    let free = site.create(free).await.unwrap().into_inner();
    let start = free.viewer.unwrap().start.unwrap();
    assert_eq!(
        (start.allowed, start.reason.as_str()),
        (false, "DEPLOYMENT_HAS_JOB")
    );
    let free = free.deployment.unwrap();
    for id in [held.id, free.id] {
        let mut deployments = site.world.server.deployments(&site.world.developer);
        // Before the etag is looked at.
        let request = pb::UpdateDeploymentStatusRequest {
            etag: "\"0-0\"".into(),
            ..site.start(id)
        };
        let refused = deployments.update_deployment_status(request).await;
        assert_eq!(reason(refused), "DEPLOYMENT_HAS_JOB");
        let mut deployments = site.world.server.deployments(&site.world.reporter);
        let refused = deployments.update_deployment_status(site.start(id)).await;
        assert_eq!(reason(refused), "PERMISSION_DENIED");
    }
    site.report(2, 1, J::Failed).await;
    let request = pb::DeleteDeploymentRequest {
        project: Some(project_id(site.project())),
        deployment_id: free.id,
        ..Default::default()
    };
    let mut deployments = site.world.server.deployments(&site.world.maintainer);
    deployments.delete_deployment(request).await.unwrap();
    let gone = site.send(report(site.project(), 2, 2, J::Running)).await;
    assert_eq!(reason(gone), "JOB_NOT_FOUND");
}

async fn a_job_is_announced_once_and_a_repeat_is_answered_with_its_deployment(engine: Engine) {
    let site = Site::gated(engine).await;
    let first = site.announce(657, J::Manual).await;
    site.world
        .server
        .project("acme/other", pb::Visibility::Private)
        .await;
    let request = announcing(site.project(), "production", draft(657, J::Running));
    let again = site.create(request.clone()).await.unwrap().into_inner();
    assert_eq!(again.deployment.as_ref(), Some(&first));
    assert_eq!(again.approval_state.unwrap().pending_approval_count, 1);
    let with = |change: fn(&mut pb::CreateDeploymentRequest)| {
        let mut request = request.clone();
        change(&mut request);
        request
    };
    for other in [
        with(|request| request.environment = "qa".into()),
        with(|request| request.sha = "99d03678b90d914dbb1b109132516d71a4a03ea8".into()),
        with(|request| request.r#ref = "v1".into()),
        with(|request| request.tag = true),
    ] {
        let refused = site.create(other).await;
        assert_eq!(
            violations(refused),
            [("job.id".into(), "has already been taken".into())]
        );
    }
    // In another project it is another job.
    let elsewhere = with(|request| request.project = Some(project_at("acme/other")));
    let mut deployments = site.world.server.deployments(&site.world.server.root);
    let other = deployments
        .create_deployment(elsewhere)
        .await
        .unwrap()
        .into_inner();
    assert_ne!(other.deployment.unwrap().id, first.id);
    // The same success by other jobs is not the same deployment.
    let qa = |id| announcing(site.project(), "qa", draft(id, J::Success));
    let mut ids = Vec::new();
    for id in [1, 2] {
        ids.push(
            site.create(qa(id))
                .await
                .unwrap()
                .into_inner()
                .deployment
                .unwrap()
                .id,
        );
    }
    assert_ne!(ids[0], ids[1]);
}

async fn a_bad_announcement_is_refused_field_by_field(engine: Engine) {
    type Break = fn(&mut pb::CreateDeploymentRequest);
    fn job(request: &mut pb::CreateDeploymentRequest) -> &mut pb::JobDraft {
        request.job.as_mut().unwrap()
    }
    let cases: [(Break, &str); 14] = [
        (|r| r.status = D::Running.into(), "status"),
        (|r| job(r).id = 0, "job.id"),
        (|r| job(r).status = 0, "job.status"),
        (|r| job(r).status = 99, "job.status"),
        (|r| job(r).name = String::new(), "job.name"),
        (|r| job(r).pipeline = None, "job.pipeline"),
        (
            |r| job(r).pipeline.as_mut().unwrap().status = 0,
            "job.pipeline.status",
        ),
        (|r| job(r).coverage = Some(f64::NAN), "job.coverage"),
        (|r| job(r).started_at = Some(at(9_999_999_999)), "job.started_at"),
        (
            |r| {
                job(r).queued_duration = Some(prost_types::Duration {
                    seconds: -1,
                    nanos: 0,
                });
            },
            "job.queued_duration",
        ),
        (
            |r| {
                job(r).runner = Some(pb::Runner {
                    id: 1,
                    r#type: 9,
                    ..Default::default()
                });
            },
            "job.runner.type",
        ),
        (|r| r.commits = vec![commit(SHA), commit(SHA)], "commits[1].id"),
        (|r| r.commits = vec![commit("main")], "commits[0].id"),
        (
            |r| {
                r.commits = vec![pb::Commit {
                    committed_at: None,
                    ..commit(SHA)
                }];
            },
            "commits[0].committed_at",
        ),
    ];
    let site = Site::new(engine).await;
    for (damage, field) in cases {
        let mut request = announcing(site.project(), "production", draft(1, J::Pending));
        damage(&mut request);
        let refused = violations(site.create(request).await);
        assert_eq!(refused[0].0, field, "{refused:?}");
    }
    let list = pb::ListDeploymentsRequest {
        project: Some(project_id(site.project())),
        ..Default::default()
    };
    let mut deployments = site.world.server.deployments(&site.world.reporter);
    let listed = deployments.list_deployments(list).await.unwrap().into_inner();
    assert_eq!(listed.deployments, []);
}

async fn a_bad_report_is_refused_field_by_field_and_changes_nothing(engine: Engine) {
    type Break = fn(&mut pb::ReportJobRequest);
    let cases: [(Break, &str); 11] = [
        (|r| r.sequence = 0, "sequence"),
        (|r| r.sequence = -4, "sequence"),
        (|r| r.status = 0, "status"),
        (|r| r.status = 99, "status"),
        (|r| r.started_at = Some(at(9_999_999_999)), "started_at"),
        (|r| r.finished_at = Some(at(1)), "finished_at"),
        (|r| r.failure_reason = "script_failure".into(), "failure_reason"),
        (
            |r| (r.status, r.failure_reason) = (J::Failed.into(), "Not a word".into()),
            "failure_reason",
        ),
        (|r| r.coverage = Some(100.5), "coverage"),
        (|r| r.coverage = Some(f64::INFINITY), "coverage"),
        (
            |r| {
                r.started_at = Some(Timestamp {
                    seconds: 1,
                    nanos: -1,
                });
            },
            "started_at",
        ),
    ];
    let site = Site::new(engine).await;
    site.announce(1, J::Pending).await;
    let started = pb::ReportJobRequest {
        started_at: Some(at(100)),
        ..report(site.project(), 1, 1, J::Running)
    };
    let before = site.send(started).await.unwrap().into_inner().deployment;
    for (damage, field) in cases {
        // Newer than the last, so that it would count.
        let mut bad = report(site.project(), 1, 2, J::Success);
        damage(&mut bad);
        let refused = violations(site.send(bad).await);
        assert_eq!(refused[0].0, field, "{refused:?}");
    }
    let id = before.as_ref().unwrap().id;
    assert_eq!(site.get(id).await.deployment, before);
    let unknown = site.send(report(site.project(), 2, 1, J::Running)).await;
    assert_eq!(reason(unknown), "JOB_NOT_FOUND");
}

async fn a_report_can_be_checked_repeated_and_recognised(engine: Engine) {
    let site = Site::new(engine).await;
    let made = site.announce(1, J::Pending).await;
    let check = pb::ReportJobRequest {
        validate_only: true,
        ..report(site.project(), 1, 1, J::Running)
    };
    let checked = site.send(check).await.unwrap().into_inner();
    assert_eq!(
        (checked.applied, statuses(&checked.deployment.unwrap()).0),
        (true, D::Running)
    );
    assert_eq!(site.get(made.id).await.deployment, Some(made));
    let named = pb::ReportJobRequest {
        request_id: "report-1".into(),
        ..report(site.project(), 1, 1, J::Running)
    };
    let first = site.send(named.clone()).await.unwrap().into_inner();
    site.report(1, 2, J::Success).await;
    let again = site.send(named).await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    assert_eq!(again.into_inner(), first);
}

async fn at_the_gate_a_job_is_manual_until_the_last_approval_enqueues_it(engine: Engine) {
    let site = Site::gated(engine).await;
    for (id, announced) in [(1, J::Running), (2, J::Pending), (3, J::Created), (4, J::Manual)] {
        let held = site.announce(id, announced).await;
        assert_eq!(statuses(&held), (D::Blocked, J::Manual));
    }
    let held = site.announce(5, J::Pending).await;
    // Nothing starts it.
    for word in [J::Pending, J::Running, J::Preparing, J::Canceling, J::Success] {
        let refused = site.send(report(site.project(), 5, 1, word)).await.unwrap_err();
        let obstacles = refused.get_details_precondition_failure().unwrap().violations;
        assert_eq!(obstacles[0].r#type, "APPROVALS_MISSING");
        assert_eq!(reason(Err::<(), _>(refused)), "INVALID_TRANSITION");
    }
    for word in [J::Created, J::Manual] {
        let kept = site.report(5, i64::from(word as i32), word).await;
        assert_eq!(statuses(&kept), (D::Blocked, J::Manual));
    }
    let released = site.decide(held.id, ApprovalStatus::Approved).await;
    assert_eq!(statuses(&released), (D::Created, J::Pending));
    // Who has not heard of it yet holds nothing up.
    let late = site.report(5, 20, J::Manual).await;
    assert_eq!(statuses(&late), (D::Created, J::Pending));
    let running = site.report(5, 21, J::Running).await;
    assert_eq!(statuses(&running), (D::Running, J::Running));
    assert_eq!(
        statuses(&site.report(5, 22, J::Success).await),
        (D::Success, J::Success)
    );
    assert!(!site.get(held.id).await.deployment.unwrap().gate_bypassed);
}

async fn a_rejection_fails_the_job_and_giving_it_up_is_no_secret(engine: Engine) {
    let site = Site::gated(engine).await;
    let held = site.announce(1, J::Pending).await;
    let rejected = site.decide(held.id, ApprovalStatus::Rejected).await;
    assert_eq!(statuses(&rejected), (D::Failed, J::Failed));
    let job = rejected.job.unwrap();
    assert_eq!(job.failure_reason, "deployment_rejected");
    assert_eq!(job.finished_at, rejected.finished_at);
    for (id, word, status) in [
        (2, J::Failed, D::Failed),
        (3, J::Canceled, D::Canceled),
        (4, J::Skipped, D::Skipped),
    ] {
        site.announce(id, J::Pending).await;
        assert_eq!(statuses(&site.report(id, 1, word).await), (status, word));
    }
    // What was left out waits when it is taken up again.
    assert_eq!(
        statuses(&site.report(4, 2, J::Created).await),
        (D::Blocked, J::Manual)
    );
    // Facts are recorded.
    let told = site.announce(5, J::Success).await;
    assert_eq!(
        (statuses(&told), told.gate_bypassed),
        ((D::Success, J::Success), true)
    );
}

async fn a_protection_that_goes_lets_jobs_go(engine: Engine) {
    let site = Site::gated(engine).await;
    let held = site.announce(1, J::Pending).await;
    let request = pb::UnprotectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "production".into(),
        ..Default::default()
    };
    let mut protections = site.world.server.protections(&site.world.maintainer);
    protections.unprotect_environment(request).await.unwrap();
    let free = site.get(held.id).await.deployment.unwrap();
    assert_eq!(statuses(&free), (D::Created, J::Pending));
}

async fn a_manual_job_that_nobody_has_to_approve_waits_for_its_start_alone(engine: Engine) {
    let site = Site::new(engine).await;
    let manual = site.announce(1, J::Manual).await;
    assert_eq!(statuses(&manual), (D::Blocked, J::Manual));
    let (project, deployment_id) = (Some(project_id(site.project())), manual.id);
    // Neither is there anything to decide, nor to be let go.
    let request = pb::ProtectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "production".into(),
        deploy_access_levels: vec![role(30)],
        approval_rules: vec![requiring(1, role(20))],
        ..Default::default()
    };
    let mut protections = site.world.server.protections(&site.world.maintainer);
    protections.protect_environment(request).await.unwrap();
    let seen = site.get(manual.id).await;
    assert_eq!(seen.approval_state.unwrap().pending_approval_count, 0);
    let mut approvals = site.world.server.approvals(&site.world.reporter);
    let explain = pb::ExplainDeploymentRequest {
        project: project.clone(),
        deployment_id,
    };
    let mut as_developer = site.world.server.approvals(&site.world.developer);
    let explained = as_developer.explain_deployment(explain).await.unwrap();
    assert_eq!(explained.into_inner().holds, []);
    let inbox = pb::ListPendingDecisionsRequest::default();
    let waiting = approvals.list_pending_decisions(inbox).await.unwrap();
    assert_eq!(waiting.into_inner().pending_decisions, []);
    let decide = pb::SubmitApprovalRequest {
        project,
        deployment_id,
        status: ApprovalStatus::Approved.into(),
        ..Default::default()
    };
    let refused = approvals.submit_approval(decide).await;
    assert_eq!(reason(refused), "NOT_WAITING_FOR_APPROVALS");
    let request = pb::UnprotectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "production".into(),
        ..Default::default()
    };
    protections.unprotect_environment(request).await.unwrap();
    let seen = site.get(manual.id).await.deployment.unwrap();
    assert_eq!(statuses(&seen), (D::Blocked, J::Manual));
    assert_eq!(
        statuses(&site.report(1, 1, J::Pending).await),
        (D::Created, J::Pending)
    );
    // At once, without a word in between.
    site.announce(2, J::Manual).await;
    assert_eq!(
        statuses(&site.report(2, 1, J::Running).await),
        (D::Running, J::Running)
    );
}

async fn whoever_waits_learns_of_what_a_job_does(engine: Engine) {
    let site = Site::gated(engine).await;
    let held = site.announce(1, J::Pending).await;
    let wait = pb::WaitDeploymentRequest {
        project: Some(project_id(site.project())),
        deployment_id: held.id,
        until: Some(pb::wait_deployment_request::Until::Condition(
            pb::WaitCondition::Finished.into(),
        )),
        ..Default::default()
    };
    let mut events = site.world.server.events(&site.world.developer);
    let waiting = tokio::spawn(async move { events.wait_deployment(wait).await });
    site.decide(held.id, ApprovalStatus::Approved).await;
    site.report(1, 1, J::Running).await;
    site.report(1, 2, J::Canceled).await;
    let waited = within("the end", waiting).await.unwrap().unwrap().into_inner();
    assert_eq!(statuses(&waited.deployment.unwrap()), (D::Canceled, J::Canceled));
}

async fn an_outdated_job_is_told_not_to_go_on(engine: Engine) {
    // (enabled, rollback allowed), what becomes of a job that would start, and of one that is run again.
    for (settings, starts, again) in [
        ((true, true), false, Ok(J::Running)),
        ((true, false), false, Err("OUTDATED_DEPLOYMENT_JOB")),
        ((false, true), true, Ok(J::Running)),
        ((false, false), true, Ok(J::Running)),
    ] {
        let site = Site::new(engine).await;
        site.set(settings.0, settings.1).await;
        site.announce(1, J::Success).await;
        site.announce(2, J::Pending).await;
        let newer = pb::CreateDeploymentRequest {
            sha: "99d03678b90d914dbb1b109132516d71a4a03ea8".into(),
            ..announcing(site.project(), "production", draft(3, J::Success))
        };
        site.create(newer).await.unwrap();
        let wanted = if starts {
            (D::Running, J::Running)
        } else {
            (D::Failed, J::Failed)
        };
        let told = site.report(2, 1, J::Running).await;
        assert_eq!(statuses(&told), wanted, "{settings:?}");
        let failed = if starts {
            ""
        } else {
            "failed_outdated_deployment_job"
        };
        assert_eq!(told.job.unwrap().failure_reason, failed);
        let run = site.send(report(site.project(), 1, 1, J::Pending)).await;
        let run = match run {
            Ok(_) => site.send(report(site.project(), 1, 2, J::Running)).await,
            refused => refused,
        };
        match again {
            Ok(status) => {
                let run = run.unwrap().into_inner().deployment.unwrap();
                assert_eq!(statuses(&run), (D::Success, status), "{settings:?}");
            }
            Err(refused) => assert_eq!(reason(run), refused, "{settings:?}"),
        }
        // The same commit is never outdated, and neither is what has no job.
        let newest = announcing(site.project(), "staging", draft(4, J::Pending));
        site.create(newest).await.unwrap();
        let same = announcing(site.project(), "staging", draft(5, J::Success));
        site.create(same).await.unwrap();
        assert_eq!(statuses(&site.report(4, 1, J::Running).await).0, D::Running);
    }
}

/// A commit with this id.
fn commit(id: &str) -> pb::Commit {
    let written = Some(pb::LocalTime {
        time: Some(at(1_470_914_906)),
        utc_offset_minutes: 120,
    });
    pb::Commit {
        id: id.into(),
        message: "Say it\n\nAt length".into(),
        author_name: "Ann".into(),
        author_email: "ann@example.com".into(),
        authored_at: written,
        committer_name: "Cid".into(),
        committer_email: "cid@example.com".into(),
        committed_at: written,
        ..Default::default()
    }
}

async fn a_job_shows_its_commit_where_it_was_sent_and_its_user_while_there_is_one(engine: Engine) {
    let site = Site::new(engine).await;
    let (_, secret) = site.world.server.user("cleo").await;
    site.world
        .server
        .member(in_project("acme/web"), "cleo", pb::AccessLevel::Developer)
        .await;
    let request = pb::CreateDeploymentRequest {
        sha: SHA.to_uppercase(),
        commits: vec![commit(SHA), commit("99d03678b90d914dbb1b109132516d71a4a03ea8")],
        ..announcing(site.project(), "production", draft(1, J::Pending))
    };
    let mut deployments = site.world.server.deployments(&secret);
    let made = deployments.create_deployment(request).await.unwrap().into_inner();
    let made = made.deployment.unwrap();
    let job = made.job.unwrap();
    assert_eq!(job.commit, Some(commit(SHA)));
    assert_eq!(made.commit_id.as_deref(), Some(SHA));
    assert_eq!(made.sha, SHA.to_uppercase());
    assert_eq!(job.user.unwrap().email, None);
    let delete = pb::DeleteUserRequest {
        user: Some(crate::support::user_named("cleo")),
        ..Default::default()
    };
    let mut directory = site.world.server.directory(&site.world.server.root);
    directory.delete_user(delete).await.unwrap();
    let job = site.report(1, 1, J::Running).await.job.unwrap();
    assert_eq!(job.user, None);
    // Without a full id nothing is known.
    let short = pb::CreateDeploymentRequest {
        sha: SHA[..8].into(),
        ..announcing(site.project(), "production", draft(2, J::Pending))
    };
    let made = site.create(short).await.unwrap().into_inner().deployment.unwrap();
    assert_eq!((made.commit_id, made.job.unwrap().commit), (None, None));
}
