//! The tokens of jobs, black box: what they are good for, where, and for how long.

use gatehouse::pb::v1::{
    self as pb, DeploymentStatus as D, JobStatus as J, deployment_service_client::DeploymentServiceClient,
};
use tonic::Request;
use tonic_types::StatusExt as _;

use crate::support::{
    World,
    engine::{Engine, on_both_engines},
    in_project,
    job::{announcing, draft, report},
    project_at, project_id, reason, user_named, within,
};

on_both_engines! {
    a_jobs_token_acts_as_its_user_on_the_deployments_and_environments_of_its_project
    a_jobs_token_is_unknown_to_everything_else
    a_jobs_token_is_good_for_its_own_project_alone
    a_jobs_token_learns_nothing_of_what_its_user_did_under_a_request_id
    a_jobs_token_ends_with_the_job
    what_waits_by_a_jobs_token_ends_with_the_job
    a_token_is_made_by_the_jobs_user_or_an_administrator
    the_metadata_of_jobs_takes_jobs_tokens_alone
}

/// The world, and a job of the Developer that runs.
struct Running {
    world: World,
    deployment: pb::Deployment,
}

impl Running {
    async fn new(engine: Engine) -> Self {
        let world = World::new(engine).await;
        let request = announcing(world.project.id, "production", draft(657, J::Running));
        let mut deployments = world.server.deployments(&world.developer);
        let made = deployments.create_deployment(request).await.unwrap().into_inner();
        Self {
            deployment: made.deployment.unwrap(),
            world,
        }
    }

    fn wish(&self) -> pb::CreateJobTokenRequest {
        pb::CreateJobTokenRequest {
            project: Some(project_id(self.world.project.id)),
            job_id: 657,
        }
    }

    /// A token for the job.
    async fn token(&self) -> String {
        let mut jobs = self.world.server.jobs(&self.world.developer);
        jobs.create_job_token(self.wish())
            .await
            .unwrap()
            .into_inner()
            .secret
    }

    async fn report(&self, sequence: i64, status: J) {
        let request = report(self.world.project.id, 657, sequence, status);
        let mut jobs = self.world.server.jobs(&self.world.developer);
        jobs.report_job(request).await.unwrap();
    }

    fn get(&self) -> pb::GetDeploymentRequest {
        pb::GetDeploymentRequest {
            project: Some(project_id(self.world.project.id)),
            deployment_id: self.deployment.id,
        }
    }

    /// What becomes of a call with a token.
    async fn calls(&self, token: &str) -> Result<pb::GetDeploymentResponse, String> {
        let mut deployments = self.world.server.deployments(token);
        match deployments.get_deployment(self.get()).await {
            Ok(answer) => Ok(answer.into_inner()),
            refused => Err(reason(refused)),
        }
    }
}

async fn a_jobs_token_acts_as_its_user_on_the_deployments_and_environments_of_its_project(engine: Engine) {
    let site = Running::new(engine).await;
    let token = site.token().await;
    let (server, project) = (&site.world.server, Some(project_id(site.world.project.id)));
    let seen = site.calls(&token).await.unwrap();
    assert_eq!(seen.deployment.unwrap().id, site.deployment.id);
    let request = site.world.deployment("qa", D::Running);
    let made = server
        .deployments(&token)
        .create_deployment(request)
        .await
        .unwrap();
    let made = made.into_inner().deployment.unwrap();
    assert_eq!(made.user.unwrap().username, "dora");
    let list = pb::ListEnvironmentsRequest {
        project: project.clone(),
        ..Default::default()
    };
    server.environments(&token).list_environments(list).await.unwrap();
    let get = pb::GetJobRequest {
        project: project.clone(),
        job_id: 657,
    };
    server.jobs(&token).get_job(get).await.unwrap();
    let canceling = report(site.world.project.id, 657, 1, J::Canceling);
    server.jobs(&token).report_job(canceling).await.unwrap();
    // No more than its user may.
    let delete = pb::DeleteDeploymentRequest {
        project,
        deployment_id: made.id,
        ..Default::default()
    };
    let refused = server.deployments(&token).delete_deployment(delete).await;
    assert_eq!(reason(refused), "PERMISSION_DENIED");
}

async fn a_jobs_token_is_unknown_to_everything_else(engine: Engine) {
    let site = Running::new(engine).await;
    let token = site.token().await;
    let (server, project) = (&site.world.server, Some(project_id(site.world.project.id)));
    let who = server.tokens(&token).who_am_i(pb::WhoAmIRequest {}).await;
    assert_eq!(reason(who), "TOKEN_INVALID");
    let more = server.jobs(&token).create_job_token(site.wish()).await;
    assert_eq!(reason(more), "TOKEN_INVALID");
    let get = pb::GetProjectRequest {
        project: project.clone(),
    };
    assert_eq!(
        reason(server.directory(&token).get_project(get).await),
        "TOKEN_INVALID"
    );
    let protections = pb::ListProtectedEnvironmentsRequest {
        container: Some(in_project("acme/web")),
        ..Default::default()
    };
    let listed = server
        .protections(&token)
        .list_protected_environments(protections)
        .await;
    assert_eq!(reason(listed), "TOKEN_INVALID");
    let explain = pb::ExplainDeploymentRequest {
        project,
        deployment_id: site.deployment.id,
    };
    let explained = server.approvals(&token).explain_deployment(explain).await;
    assert_eq!(reason(explained), "TOKEN_INVALID");
    // It acts as nobody else, not even an administrator's.
    let client = server.client_as(&token, Some("root"));
    let sudo = DeploymentServiceClient::new(client)
        .get_deployment(site.get())
        .await;
    assert_eq!(reason(sudo), "SUDO_NOT_ADMIN");
    // And is not among its user's own.
    let mut tokens = server.tokens(&site.world.developer);
    let own = tokens
        .list_tokens(pb::ListTokensRequest::default())
        .await
        .unwrap();
    assert_eq!(own.into_inner().tokens.len(), 1);
}

async fn a_jobs_token_is_good_for_its_own_project_alone(engine: Engine) {
    let site = Running::new(engine).await;
    let token = site.token().await;
    let server = &site.world.server;
    let open = server.project("acme/open", pb::Visibility::Public).await;
    server.project("acme/hidden", pb::Visibility::Private).await;
    let list = |path: &str| pb::ListDeploymentsRequest {
        project: Some(project_at(path)),
        ..Default::default()
    };
    let mut deployments = server.deployments(&token);
    let refused = deployments.list_deployments(list("acme/open")).await.unwrap_err();
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.reason, "JOB_TOKEN_NOT_ALLOWED");
    assert_eq!(info.metadata["source"], "acme/web");
    assert_eq!(info.metadata["project_id"], open.id.to_string());
    for path in ["acme/hidden", "acme/nowhere"] {
        let hidden = deployments.list_deployments(list(path)).await;
        assert_eq!(reason(hidden), "PROJECT_NOT_FOUND");
    }
    let elsewhere = pb::CreateDeploymentRequest {
        project: Some(project_at("acme/open")),
        ..site.world.deployment("production", D::Success)
    };
    let refused = deployments.create_deployment(elsewhere).await;
    assert_eq!(reason(refused), "JOB_TOKEN_NOT_ALLOWED");
}

async fn a_jobs_token_learns_nothing_of_what_its_user_did_under_a_request_id(engine: Engine) {
    let site = Running::new(engine).await;
    let token = site.token().await;
    let request = pb::CreateDeploymentRequest {
        request_id: "of-the-user".into(),
        ..site.world.deployment("qa", D::Running)
    };
    let mut own = site.world.server.deployments(&site.world.developer);
    own.create_deployment(request.clone()).await.unwrap();
    let mut jobs = site.world.server.deployments(&token);
    assert_eq!(reason(jobs.create_deployment(request).await), "REQUEST_ID_REUSED");
    // Its own requests it can repeat.
    let request = pb::CreateDeploymentRequest {
        request_id: "of-the-job".into(),
        ..site.world.deployment("qa", D::Running)
    };
    let first = jobs.create_deployment(request.clone()).await.unwrap();
    let again = jobs.create_deployment(request).await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    assert_eq!(first.into_inner(), again.into_inner());
}

async fn a_jobs_token_ends_with_the_job(engine: Engine) {
    for end in [
        J::Success,
        J::Failed,
        J::Canceled,
        J::Skipped,
        J::Pending,
        J::Manual,
    ] {
        let site = Running::new(engine).await;
        let (first, second) = (site.token().await, site.token().await);
        site.report(1, J::Canceling).await;
        assert!(site.calls(&first).await.is_ok());
        site.report(2, end).await;
        for token in [&first, &second] {
            let refused = site.calls(token).await.unwrap_err();
            assert_eq!(refused, "TOKEN_INVALID", "{end:?}");
        }
        let mut jobs = site.world.server.jobs(&site.world.developer);
        let refused = jobs.create_job_token(site.wish()).await.unwrap_err();
        let info = refused.get_details_error_info().unwrap();
        assert_eq!(info.reason, "JOB_NOT_RUNNING");
        let word = end.as_str_name().trim_start_matches("JOB_STATUS_").to_lowercase();
        assert_eq!(info.metadata["status"], word);
        // Another run, another token.
        site.report(3, J::Running).await;
        assert!(site.calls(&first).await.is_err());
        assert!(site.calls(&site.token().await).await.is_ok());
    }
}

async fn what_waits_by_a_jobs_token_ends_with_the_job(engine: Engine) {
    let site = Running::new(engine).await;
    let token = site.token().await;
    let other = site.world.record("qa", D::Running).await;
    let wait = pb::WaitDeploymentRequest {
        project: Some(project_id(site.world.project.id)),
        deployment_id: other.id,
        until: Some(pb::wait_deployment_request::Until::Status(D::Success.into())),
        ..Default::default()
    };
    let mut events = site.world.server.events(&token);
    let waiting = tokio::spawn(async move { events.wait_deployment(wait).await });
    // Whichever comes first: the end of the job is the end of the wait.
    site.report(1, J::Success).await;
    let waited = within("the end of the wait", waiting).await.unwrap();
    assert_eq!(reason(waited), "TOKEN_INVALID");
}

async fn a_token_is_made_by_the_jobs_user_or_an_administrator(engine: Engine) {
    let site = Running::new(engine).await;
    let server = &site.world.server;
    for (secret, wanted) in [
        (&site.world.maintainer, Some("PERMISSION_DENIED")),
        (&site.world.reporter, Some("PERMISSION_DENIED")),
        (&site.world.developer, None),
        (&server.root, None),
    ] {
        let made = server.jobs(secret).create_job_token(site.wish()).await;
        if let Some(refused) = wanted {
            assert_eq!(reason(made), refused);
            continue;
        }
        // The administrator's acts as the job's user too.
        let token = made.unwrap().into_inner().secret;
        let request = site.world.deployment("qa", D::Running);
        let made = server.deployments(&token).create_deployment(request).await;
        let made = made.unwrap().into_inner().deployment.unwrap();
        assert_eq!(made.user.unwrap().username, "dora");
    }
    let unknown = pb::CreateJobTokenRequest {
        job_id: 658,
        ..site.wish()
    };
    let refused = server.jobs(&site.world.developer).create_job_token(unknown).await;
    assert_eq!(reason(refused), "JOB_NOT_FOUND");
    // Without its user it stands for nobody.
    let delete = pb::DeleteUserRequest {
        user: Some(user_named("dora")),
        ..Default::default()
    };
    let token = site.token().await;
    server.directory(&server.root).delete_user(delete).await.unwrap();
    assert_eq!(site.calls(&token).await.unwrap_err(), "TOKEN_INVALID");
    let refused = server.jobs(&server.root).create_job_token(site.wish()).await;
    assert_eq!(reason(refused), "USER_NOT_FOUND");
}

async fn the_metadata_of_jobs_takes_jobs_tokens_alone(engine: Engine) {
    let site = Running::new(engine).await;
    let job = site.token().await;
    let asked = async |key: &'static str, value: String| {
        let mut request = Request::new(site.get());
        request.metadata_mut().insert(key, value.parse().unwrap());
        DeploymentServiceClient::new(site.world.server.channel())
            .get_deployment(request)
            .await
    };
    assert!(asked("job-token", job.clone()).await.is_ok());
    assert!(asked("private-token", job.clone()).await.is_ok());
    assert!(asked("authorization", format!("Bearer {job}")).await.is_ok());
    let users = asked("job-token", site.world.developer.clone()).await;
    assert_eq!(reason(users), "TOKEN_INVALID");
    assert_eq!(
        reason(asked("job-token", "nonsense".into()).await),
        "TOKEN_INVALID"
    );
}
