//! New deployments against the project's repository, and what deployments bring.

use std::fs;

use gatehouse::pb::v1::{self as pb, AccessLevel, ChangesSource, DeploymentStatus as S};
use tempfile::TempDir;

use crate::support::engine::{Engine, on_both_engines};
use crate::{
    links::sent,
    support::{
        SHA, World,
        entry::role,
        git::Repo,
        in_project, project_id, reason,
        rest::{Ask, RestServer},
        violations,
    },
};

on_both_engines! {
    what_the_repository_does_not_have_is_refused_and_nothing_is_written
    a_sha_and_a_ref_are_kept_as_sent_and_the_commit_is_known_by_its_full_id
    who_may_not_deploy_learns_nothing_of_the_repository
    without_its_repository_nothing_is_recorded_but_what_is_recorded_goes_on
    what_a_deployment_brings_is_what_git_lists_between_it_and_the_success_before
    without_a_repository_the_commits_that_were_sent_are_told
}

/// A world whose project has a repository.
struct Forge {
    world: World,
    repo: Repo,
    root: TempDir,
}

impl Forge {
    async fn new(engine: Engine) -> Self {
        let (world, root) = World::with_repositories(engine).await;
        let repo = Repo::new(&root.path().join("web"));
        let request = pb::AttachRepositoryRequest {
            project: Some(project_id(world.project.id)),
            path: "web".into(),
            ..Default::default()
        };
        let server = &world.server;
        let mut client = server.repositories(&server.root);
        client.attach_repository(request).await.unwrap();
        Self { world, repo, root }
    }

    fn request(&self, environment: &str, sha: &str, git_ref: &str, status: S) -> pb::CreateDeploymentRequest {
        pb::CreateDeploymentRequest {
            sha: sha.into(),
            r#ref: git_ref.into(),
            ..self.world.deployment(environment, status)
        }
    }

    async fn create(&self, request: pb::CreateDeploymentRequest) -> Result<pb::Deployment, tonic::Status> {
        let mut client = self.world.server.deployments(&self.world.developer);
        let answer = client.create_deployment(request).await?;
        Ok(answer.into_inner().deployment.unwrap())
    }

    /// Records a deployment of this commit of `main`.
    async fn deploy(&self, environment: &str, sha: &str, status: S) -> pb::Deployment {
        let request = self.request(environment, sha, "main", status);
        self.create(request).await.unwrap()
    }

    async fn set(&self, id: i64, status: S) -> Result<pb::Deployment, tonic::Status> {
        let request = pb::UpdateDeploymentStatusRequest {
            project: Some(project_id(self.world.project.id)),
            deployment_id: id,
            status: status.into(),
            ..Default::default()
        };
        let mut client = self.world.server.deployments(&self.world.developer);
        let answer = client.update_deployment_status(request).await?;
        Ok(answer.into_inner().deployment.unwrap())
    }

    async fn changes_of(&self, id: i64) -> pb::GetDeploymentChangesResponse {
        changes(&self.world, &self.world.reporter, id, 100, "")
            .await
            .unwrap()
    }

    /// How many deployments and environments the project has.
    async fn written(&self) -> (usize, usize) {
        let project = Some(project_id(self.world.project.id));
        let request = pb::ListDeploymentsRequest {
            project: project.clone(),
            ..Default::default()
        };
        let mut deployments = self.world.server.deployments(&self.world.reporter);
        let deployments = deployments.list_deployments(request).await.unwrap().into_inner();
        let request = pb::ListEnvironmentsRequest {
            project,
            ..Default::default()
        };
        let mut environments = self.world.server.environments(&self.world.reporter);
        let environments = environments
            .list_environments(request)
            .await
            .unwrap()
            .into_inner();
        (deployments.deployments.len(), environments.environments.len())
    }
}

async fn changes(
    world: &World,
    token: &str,
    id: i64,
    page_size: i32,
    page_token: &str,
) -> Result<pb::GetDeploymentChangesResponse, tonic::Status> {
    let request = pb::GetDeploymentChangesRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: id,
        page_size,
        page_token: page_token.into(),
    };
    let mut client = world.server.deployments(token);
    Ok(client.get_deployment_changes(request).await?.into_inner())
}

fn ids(commits: &[pb::Commit]) -> Vec<String> {
    commits.iter().map(|commit| commit.id.clone()).collect()
}

const NO_COMMIT: (&str, &str) = ("deployment.sha", "The commit does not exist");
const NO_REF: (&str, &str) = ("deployment.ref", "The branch or tag does not exist");

async fn what_the_repository_does_not_have_is_refused_and_nothing_is_written(engine: Engine) {
    let mut forge = Forge::new(engine).await;
    let commit = forge.repo.commit("first");
    let rest = RestServer::before(&forge.world.server).await;
    for (sha, git_ref, (field, said)) in [
        (SHA, "main", NO_COMMIT),
        ("nowhere", "main", NO_COMMIT),
        ("main~0", "main", NO_COMMIT),
        (&commit[..3], "main", NO_COMMIT),
        (&commit, "nowhere", NO_REF),
        ("main", "refs/tags/main", NO_REF),
        // Of two that are not there the sha is told.
        (SHA, "nowhere", NO_COMMIT),
    ] {
        // Looked at before the name of the environment, which is none.
        for environment in ["new", "/none/"] {
            let refused = forge
                .create(forge.request(environment, sha, git_ref, S::Running))
                .await;
            assert_eq!(
                violations(refused.clone()),
                [(field.to_owned(), said.to_owned())],
                "{sha} {git_ref}"
            );
            assert_eq!(reason(refused), "INVALID_RESOURCE");
        }
        let form = format!("environment=new&sha={sha}&ref={git_ref}&tag=false&status=success");
        let ask = Ask::new("POST", "projects/1/deployments")
            .by(&forge.world.developer)
            .form(&form);
        let reply = rest.send(&ask).await;
        let key = field.split_once('.').unwrap().1;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.body, format!(r#"{{"message":{{"{key}":["{said}"]}}}}"#));
    }
    assert_eq!(forge.written().await, (0, 0));
    rest.stop().await;
}

async fn a_sha_and_a_ref_are_kept_as_sent_and_the_commit_is_known_by_its_full_id(engine: Engine) {
    let mut forge = Forge::new(engine).await;
    let first = forge.repo.commit("first");
    forge.repo.git(&["tag", "--annotate", "-m", "one", "v1.0"]);
    let second = forge.repo.commit("second");
    let (short, capital) = (&second[..8], second.to_uppercase());
    for (sha, git_ref, commit) in [
        (second.as_str(), "main", &second),
        (short, "main", &second),
        (&capital, "refs/heads/main", &second),
        ("main", "v1.0", &second),
        ("v1.0", "v1.0", &first),
        ("v1.0", &second, &first),
    ] {
        let deployment = forge
            .create(forge.request("qa", sha, git_ref, S::Running))
            .await
            .unwrap();
        assert_eq!(
            (deployment.sha.as_str(), deployment.r#ref.as_str()),
            (sha, git_ref)
        );
        assert_eq!(deployment.commit_id.as_ref(), Some(commit), "{sha}");
    }
}

async fn who_may_not_deploy_learns_nothing_of_the_repository(engine: Engine) {
    let mut forge = Forge::new(engine).await;
    forge.repo.commit("first");
    let world = &forge.world;
    let bad = || forge.request("production", SHA, "nowhere", S::Running);
    let as_reporter = world
        .server
        .deployments(&world.reporter)
        .create_deployment(bad())
        .await;
    assert_eq!(reason(as_reporter), "PERMISSION_DENIED");
    let (_, stranger) = world.server.user("stan").await;
    let as_stranger = world.server.deployments(&stranger).create_deployment(bad()).await;
    assert_eq!(reason(as_stranger), "PROJECT_NOT_FOUND");
    let protect = pb::ProtectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "production".into(),
        deploy_access_levels: vec![role(40)],
        ..Default::default()
    };
    let mut protections = world.server.protections(&world.maintainer);
    protections.protect_environment(protect).await.unwrap();
    assert_eq!(reason(forge.create(bad()).await), "ENVIRONMENT_PROTECTED");
}

async fn without_its_repository_nothing_is_recorded_but_what_is_recorded_goes_on(engine: Engine) {
    let mut forge = Forge::new(engine).await;
    let first = forge.repo.commit("first");
    let running = forge.deploy("qa", &first, S::Running).await;
    let folder = forge.root.path();
    fs::rename(folder.join("web"), folder.join("moved")).unwrap();

    let refused = forge
        .create(forge.request("new", &first, "main", S::Running))
        .await;
    assert_eq!(reason(refused), "REPOSITORY_UNAVAILABLE");
    assert_eq!(forge.written().await, (1, 1));
    assert_eq!(
        forge.set(running.id, S::Success).await.unwrap().status(),
        S::Success
    );
    let next = forge.create(forge.request("qa", &first, "main", S::Failed)).await;
    assert_eq!(reason(next), "REPOSITORY_UNAVAILABLE");

    let server = &forge.world.server;
    let detach = pb::DetachRepositoryRequest {
        project: Some(project_id(forge.world.project.id)),
        ..Default::default()
    };
    let mut client = server.repositories(&server.root);
    client.detach_repository(detach).await.unwrap();
    assert_eq!(
        forge.deploy("new", SHA, S::Running).await.commit_id.as_deref(),
        Some(SHA)
    );
    let named = forge
        .create(forge.request("new", "main", "main", S::Running))
        .await;
    assert_eq!(violations(named), [("sha".to_owned(), "is invalid".to_owned())]);
}

async fn what_a_deployment_brings_is_what_git_lists_between_it_and_the_success_before(engine: Engine) {
    let mut forge = Forge::new(engine).await;
    let mut line: Vec<String> = (0..3).map(|n| forge.repo.commit(&format!("c{n}"))).collect();
    forge.repo.branch("side", "main");
    line.push(forge.repo.commit("side"));
    forge.repo.checkout("main");
    line.push(forge.repo.merge(&["side"]));
    let [c0, c1, c2, _, merge] = &line[..] else {
        unreachable!()
    };

    // The first: its own commit stands for everything.
    let first = forge.deploy("production", c0, S::Success).await;
    let brought = forge.changes_of(first.id).await;
    assert_eq!((brought.base, brought.commit_count), (None, 1));
    assert_eq!(ids(&brought.commits), std::slice::from_ref(c0));

    // One that failed, one that is still running and one elsewhere are no base.
    forge.deploy("production", c1, S::Failed).await;
    forge.deploy("production", c2, S::Running).await;
    forge.deploy("staging", c2, S::Success).await;
    let third = forge.deploy("production", merge, S::Running).await;
    let brought = forge.changes_of(third.id).await;
    assert_eq!(brought.source(), ChangesSource::Repository);
    assert_eq!(brought.base.unwrap().id, first.id);
    let mut wanted = forge.repo.between(c0, merge);
    assert_eq!(
        ids(&brought.commits),
        wanted,
        "as git lists them: the newest first"
    );
    assert_eq!((brought.commit_count, brought.removed_commit_count), (4, 0));
    forge.set(third.id, S::Success).await.unwrap();

    // Back to an older one: nothing new, and it tells how much goes.
    let back = forge.deploy("production", c1, S::Running).await;
    let brought = forge.changes_of(back.id).await;
    assert!(brought.commits.is_empty());
    assert_eq!((brought.commit_count, brought.removed_commit_count), (0, 3));
    assert_eq!(brought.base.unwrap().id, third.id);

    // Page by page; a token belongs to its deployment.
    let world = &forge.world;
    let (mut walked, mut token) = (Vec::new(), String::new());
    loop {
        let page = changes(world, &world.reporter, third.id, 3, &token)
            .await
            .unwrap();
        assert_eq!(page.commit_count, 4);
        walked.extend(ids(&page.commits));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        let other = changes(world, &world.reporter, back.id, 3, &token).await;
        assert_eq!(reason(other), "INVALID_PAGE_TOKEN");
    }
    wanted.truncate(4);
    assert_eq!(walked, wanted);
}

async fn without_a_repository_the_commits_that_were_sent_are_told(engine: Engine) {
    let world = World::new(engine).await;
    let mut client = world.server.deployments(&world.developer);
    let bare = world.record("qa", S::Success).await;
    let told = changes(&world, &world.reporter, bare.id, 10, "").await.unwrap();
    assert_eq!(
        (told.source(), told.commits.len()),
        (ChangesSource::Unspecified, 0)
    );
    let commits: Vec<_> = ["1", "2", "3"].map(|digit| sent(&digit.repeat(40))).into();
    let request = pb::CreateDeploymentRequest {
        sha: "3".repeat(40),
        commits: commits.clone(),
        ..world.deployment("qa", S::Running)
    };
    let created = client.create_deployment(request).await.unwrap().into_inner();
    let id = created.deployment.unwrap().id;
    let told = changes(&world, &world.reporter, id, 2, "").await.unwrap();
    assert_eq!((told.source(), told.commit_count), (ChangesSource::Sent, 3));
    assert_eq!(told.base.unwrap().id, bare.id);
    let rest = changes(&world, &world.reporter, id, 2, &told.next_page_token)
        .await
        .unwrap();
    let all = [ids(&told.commits), ids(&rest.commits)].concat();
    assert_eq!(all, ids(&commits));

    let unknown = changes(&world, &world.reporter, 999, 2, "").await;
    assert_eq!(reason(unknown), "DEPLOYMENT_NOT_FOUND");
    let (_, guest) = world.server.user("gus").await;
    world
        .server
        .member(in_project("acme/web"), "gus", AccessLevel::Guest)
        .await;
    assert_eq!(
        reason(changes(&world, &guest, id, 2, "").await),
        "PERMISSION_DENIED"
    );
    let (_, stranger) = world.server.user("stan").await;
    assert_eq!(
        reason(changes(&world, &stranger, id, 2, "").await),
        "PROJECT_NOT_FOUND"
    );
}
