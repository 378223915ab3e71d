//! Which merge requests a deployment shipped, checked against what the real git says of the same history.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use gatehouse::pb::v1::{
    self as pb, DeploymentStatus as S, MergeRequestState as State,
    merge_request_service_client::MergeRequestServiceClient,
};
use tempfile::TempDir;

use crate::support::{
    SHA, World,
    dice::Dice,
    engine::{Engine, Place, connected, on_both_engines},
    eventually,
    git::Repo,
    project_id, within,
};

on_both_engines! {
    threads:
    a_success_whose_links_were_not_made_before_a_crash_is_linked_after_it
    every_way_of_merging_is_found_along_the_history_and_once_per_environment
    random_histories_are_linked_as_git_lists_them
    without_a_repository_the_commits_that_were_sent_and_equal_shas_tell
    what_is_told_after_the_deployment_is_linked_to_the_one_that_shipped_it
}

/// The ids of commits by which a merge request can be found.
#[derive(Debug, Clone, Default)]
struct Traces {
    merge: String,
    squash: String,
    head: String,
    picks: Vec<String>,
}

/// A world whose project has a repository.
struct Forge {
    world: World,
    repo: Repo,
    /// The folder of repositories; gone with the test.
    _root: TempDir,
    /// What was reported of each merge request.
    told: BTreeMap<i64, (bool, Traces)>,
    /// What the deployments of each environment have shipped so far, by the test's own reckoning.
    shipped: BTreeMap<String, BTreeSet<i64>>,
    /// The commit of the last success in each environment.
    last: BTreeMap<String, String>,
}

impl Forge {
    async fn new(engine: Engine) -> Self {
        let (world, root) = World::with_repositories(engine).await;
        let repo = Repo::new(&root.path().join("web"));
        Self {
            world,
            repo,
            _root: root,
            told: BTreeMap::new(),
            shipped: BTreeMap::new(),
            last: BTreeMap::new(),
        }
    }

    async fn attach(&self) {
        let request = pb::AttachRepositoryRequest {
            project: Some(project_id(self.world.project.id)),
            path: "web".into(),
            ..Default::default()
        };
        let server = &self.world.server;
        server
            .repositories(&server.root)
            .attach_repository(request)
            .await
            .unwrap();
    }

    /// Reports a merge request into `main`.
    async fn report(&mut self, iid: i64, merged: bool, traces: Traces) {
        let report = pb::MergeRequestReport {
            title: format!("Change {iid}"),
            state: if merged { State::Merged } else { State::Opened }.into(),
            target_branch: "main".into(),
            source_branch: format!("change-{iid}"),
            sha: traces.head.clone(),
            merge_commit_sha: traces.merge.clone(),
            squash_commit_sha: traces.squash.clone(),
            cherry_pick_shas: traces.picks.clone(),
            ..Default::default()
        };
        upsert(&self.world, iid, report).await;
        self.told.insert(iid, (merged, traces));
    }

    /// Deploys a commit with success and compares what it is linked to with what git says.
    async fn deploy(&mut self, environment: &str, sha: &str) -> BTreeSet<i64> {
        let commit = self.repo.id(sha);
        let request = pb::CreateDeploymentRequest {
            sha: sha.into(),
            // A second success of the same commit would be the first one again.
            r#ref: "main".into(),
            ..self.world.deployment(environment, S::Running)
        };
        let deployment = succeed(&self.world, request).await;
        linked(&self.world).await;

        let folder = environment.contains('/') && !environment.starts_with("production");
        let wanted: BTreeSet<i64> = match self.last.insert(environment.to_owned(), commit.clone()) {
            _ if folder => BTreeSet::new(),
            None => self
                .told
                .iter()
                .filter(|(_, (merged, _))| *merged)
                .map(|(iid, _)| *iid)
                .collect(),
            Some(previous) => {
                let brought: BTreeSet<String> = self.repo.between(&previous, &commit).into_iter().collect();
                let found = |(merged, traces): &(bool, Traces)| {
                    let by_merge = [&traces.merge, &traces.squash, &traces.head];
                    (*merged && by_merge.iter().any(|id| brought.contains(*id)))
                        || traces.picks.iter().any(|id| brought.contains(id))
                };
                self.told
                    .iter()
                    .filter(|(_, told)| found(told))
                    .map(|(iid, _)| *iid)
                    .collect()
            }
        };
        let before = self.shipped.entry(environment.to_owned()).or_default();
        let wanted: BTreeSet<i64> = wanted.difference(before).copied().collect();
        before.extend(&wanted);
        let got = shipped_by(&self.world, deployment.id).await;
        assert_eq!(
            got, wanted,
            "deployment {} of {commit} to {environment}",
            deployment.id
        );
        got
    }
}

async fn upsert(world: &World, iid: i64, report: pb::MergeRequestReport) -> pb::MergeRequest {
    let request = pb::UpsertMergeRequestRequest {
        project: Some(project_id(world.project.id)),
        iid,
        merge_request: Some(report),
        ..Default::default()
    };
    let mut client = world.server.merge_requests(&world.developer);
    let answer = client.upsert_merge_request(request).await.unwrap().into_inner();
    answer.merge_request.unwrap()
}

/// Records a running deployment and lets it succeed.
async fn succeed(world: &World, request: pb::CreateDeploymentRequest) -> pb::Deployment {
    let mut client = world.server.deployments(&world.developer);
    let created = client.create_deployment(request).await.unwrap().into_inner();
    let request = pb::UpdateDeploymentStatusRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: created.deployment.unwrap().id,
        status: S::Success.into(),
        ..Default::default()
    };
    let answer = client.update_deployment_status(request).await.unwrap();
    answer.into_inner().deployment.unwrap()
}

/// How much is still to be linked, by the table.
async fn link_work(place: &Place) -> i64 {
    let text = "SELECT COUNT(*) FROM link_work";
    let (count,): (i64,) = connected!(place, |store| sqlx::query_as(text)
        .fetch_one(&mut store)
        .await
        .unwrap());
    count
}

/// How much is still to be linked.
async fn backlog(world: &World) -> i64 {
    link_work(&world.server.place).await
}

/// Waits until everything is linked.
async fn linked(world: &World) {
    eventually("everything is linked", || async { backlog(world).await == 0 }).await;
}

/// The numbers of the merge requests that a deployment is linked to.
async fn shipped_by(world: &World, deployment: i64) -> BTreeSet<i64> {
    let request = pb::ListDeploymentMergeRequestsRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: deployment,
        page_size: 100,
        ..Default::default()
    };
    let mut client = world.server.merge_requests(&world.reporter);
    let answer = client
        .list_deployment_merge_requests(request)
        .await
        .unwrap()
        .into_inner();
    assert!(answer.next_page_token.is_empty(), "one page holds them all");
    answer.merge_requests.iter().map(|it| it.iid).collect()
}

fn merge(id: &str) -> Traces {
    Traces {
        merge: id.to_owned(),
        ..Traces::default()
    }
}

async fn every_way_of_merging_is_found_along_the_history_and_once_per_environment(engine: Engine) {
    let mut forge = Forge::new(engine).await;
    let start = forge.repo.commit("start");
    forge.attach().await;

    // Merged before anything was deployed: only the branch tells.
    forge.repo.branch("change-1", "main");
    forge.repo.commit("one");
    forge.repo.checkout("main");
    let one = forge.repo.merge(&["change-1"]);
    forge.report(1, true, merge(&one)).await;
    assert_eq!(forge.deploy("production", &one).await, BTreeSet::from([1]));

    // With a merge commit; squashed; fast-forwarded.
    forge.repo.branch("change-2", "main");
    forge.repo.commit("two");
    forge.repo.checkout("main");
    let two = forge.repo.merge(&["change-2"]);
    forge.report(2, true, merge(&two)).await;
    forge.repo.branch("change-3", "main");
    forge.repo.commit("three");
    let three_head = forge.repo.commit("three-again");
    forge.repo.checkout("main");
    forge.repo.tick();
    forge
        .repo
        .git(&["merge", "--quiet", "--squash", "--ff", "change-3"]);
    forge.repo.git(&["commit", "--quiet", "-m", "Squash three"]);
    let three = Traces {
        squash: forge.repo.id("HEAD"),
        head: three_head,
        ..Traces::default()
    };
    forge.report(3, true, three).await;
    forge.repo.branch("change-4", "main");
    let four = forge.repo.commit("four");
    forge.repo.checkout("main");
    forge.repo.git(&["merge", "--quiet", "--ff-only", "change-4"]);
    let four = Traces {
        head: four,
        ..Traces::default()
    };
    forge.report(4, true, four).await;
    assert_eq!(
        forge.deploy("production", "main").await,
        BTreeSet::from([2, 3, 4])
    );

    // Picked from a release branch: found by the pick, whatever the merge request's state.
    forge.repo.branch("release", &start);
    let fix = forge.repo.commit("fix");
    let other = forge.repo.commit("other-fix");
    forge.repo.checkout("main");
    forge.repo.tick();
    forge.repo.git(&["cherry-pick", &fix]);
    let picked = Traces {
        merge: fix,
        picks: vec![forge.repo.id("HEAD")],
        ..Traces::default()
    };
    forge.report(5, true, picked).await;
    forge.repo.git(&["cherry-pick", &other]);
    let picked = Traces {
        head: other,
        picks: vec![forge.repo.id("HEAD")],
        ..Traces::default()
    };
    forge.report(6, false, picked).await;
    // Open, and its head is on main all the same: not shipped as a merge request.
    let stray = forge.repo.commit("stray");
    let stray = Traces {
        head: stray,
        ..Traces::default()
    };
    forge.report(7, false, stray).await;
    assert_eq!(forge.deploy("production", "main").await, BTreeSet::from([5, 6]));

    // Reverted by a merge request of its own; an octopus of two; and nothing new.
    forge.repo.branch("change-8", "main");
    forge.repo.tick();
    forge.repo.git(&["revert", "--no-edit", "-m", "1", &two]);
    forge.repo.checkout("main");
    let revert = forge.repo.merge(&["change-8"]);
    forge.report(8, true, merge(&revert)).await;
    for (branch, file) in [("change-9", "nine"), ("change-10", "ten")] {
        forge.repo.branch(branch, "main");
        forge.repo.commit(file);
        forge.repo.checkout("main");
    }
    let octopus = forge.repo.merge(&["change-9", "change-10"]);
    assert_eq!(
        forge
            .repo
            .git(&["rev-list", "--parents", "-1", "HEAD"])
            .split(' ')
            .count(),
        4
    );
    forge.report(9, true, merge(&octopus)).await;
    forge.report(10, true, merge(&octopus)).await;
    assert_eq!(
        forge.deploy("production", "main").await,
        BTreeSet::from([8, 9, 10])
    );

    // Back, and forth again: neither brings anything for the first time. Nor does the same commit once more.
    assert_eq!(forge.deploy("production", &two).await, BTreeSet::new());
    assert_eq!(forge.deploy("production", "main").await, BTreeSet::new());
    assert_eq!(forge.deploy("production", "main").await, BTreeSet::new());

    // Two branches that each merged the other.
    forge.repo.branch("left", "main");
    let left = forge.repo.commit("left");
    forge.repo.branch("right", "main");
    let right = forge.repo.commit("right");
    let crossed_right = forge.repo.merge(&[&left]);
    forge.repo.checkout("left");
    let crossed_left = forge.repo.merge(&[&right]);
    for (iid, id) in [
        (11, &left),
        (12, &right),
        (13, &crossed_left),
        (14, &crossed_right),
    ] {
        forge.report(iid, true, merge(id)).await;
    }
    assert_eq!(
        forge.deploy("production", &crossed_left).await,
        BTreeSet::from([11, 12, 13])
    );
    assert_eq!(
        forge.deploy("production", &crossed_right).await,
        BTreeSet::from([14])
    );

    // Elsewhere the same is new; a folder is no place for it, unless users see it.
    let everything: BTreeSet<i64> = forge
        .told
        .iter()
        .filter(|(_, told)| told.0)
        .map(|(iid, _)| *iid)
        .collect();
    assert_eq!(forge.deploy("staging", &one).await, everything);
    forge.deploy("staging", "main").await;
    assert_eq!(forge.deploy("review/x", &one).await, BTreeSet::new());
    assert_eq!(forge.deploy("review/x", "main").await, BTreeSet::new());
    assert_eq!(forge.deploy("production/eu", &start).await, everything);
    assert_eq!(forge.deploy("production/eu", "main").await, BTreeSet::from([6]));
}

async fn random_histories_are_linked_as_git_lists_them(engine: Engine) {
    for seed in 0..6 {
        let mut dice = Dice(seed);
        let mut forge = Forge::new(engine).await;
        let ids = forge.repo.grow(&mut dice, 60);
        forge.repo.git(&["update-ref", "refs/heads/main", &ids[0]]);
        forge.attach().await;
        for iid in 1..=25 {
            let mut traces = Traces::default();
            let id = ids[dice.below(ids.len())].clone();
            match dice.below(4) {
                0 => traces.merge = id,
                1 => traces.squash = id,
                2 => traces.head = id,
                _ => traces.picks = vec![id, ids[dice.below(ids.len())].clone()],
            }
            let merged = !dice.once_in(5);
            forge.report(iid, merged, traces).await;
        }
        for _ in 0..25 {
            let environment = dice.pick(&["production", "staging", "review/x"]);
            let sha = ids[dice.below(ids.len())].clone();
            forge.deploy(environment, &sha).await;
        }
    }
}

/// A commit as it is sent with a deployment.
pub fn sent(id: &str) -> pb::Commit {
    let at = pb::LocalTime {
        time: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        utc_offset_minutes: 0,
    };
    pb::Commit {
        id: id.to_owned(),
        message: "A change".into(),
        author_name: "Ada".into(),
        author_email: "ada@example.com".into(),
        authored_at: Some(at),
        committer_name: "Ada".into(),
        committer_email: "ada@example.com".into(),
        committed_at: Some(at),
        ..Default::default()
    }
}

fn digits(digit: char) -> String {
    std::iter::repeat_n(digit, 40).collect()
}

async fn without_a_repository_the_commits_that_were_sent_and_equal_shas_tell(engine: Engine) {
    let world = World::new(engine).await;
    let merged = |traces: Traces| pb::MergeRequestReport {
        title: "A change".into(),
        state: State::Merged.into(),
        target_branch: "develop".into(),
        source_branch: "change".into(),
        sha: traces.head,
        merge_commit_sha: traces.merge,
        squash_commit_sha: traces.squash,
        cherry_pick_shas: traces.picks,
        ..Default::default()
    };
    for (iid, digit) in [(1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')] {
        upsert(&world, iid, merged(merge(&digits(digit)))).await;
    }
    let deploy = async |sha: String, commits: Vec<pb::Commit>, git_ref: &str| {
        let request = pb::CreateDeploymentRequest {
            sha,
            r#ref: git_ref.into(),
            commits,
            ..world.deployment("production", S::Running)
        };
        let id = succeed(&world, request).await.id;
        linked(&world).await;
        shipped_by(&world, id).await
    };
    // The first: what was merged into its ref, and what was sent.
    assert_eq!(deploy(SHA.into(), vec![], "main").await, BTreeSet::new());
    assert_eq!(
        deploy(digits('1'), vec![sent(&digits('a'))], "main").await,
        BTreeSet::from([1])
    );
    // The whole sha, in capitals too, and an abbreviated one.
    assert_eq!(deploy(digits('B'), vec![], "main").await, BTreeSet::from([2]));
    assert_eq!(
        deploy("ccccccc".into(), vec![], "main").await,
        BTreeSet::from([3])
    );
    assert_eq!(
        deploy(digits('2'), vec![sent(&digits('a')), sent(&digits('d'))], "main").await,
        BTreeSet::from([4])
    );
    // A branch counts for the first deployment alone.
    assert_eq!(deploy(digits('3'), vec![], "develop").await, BTreeSet::new());
    let request = pb::CreateDeploymentRequest {
        r#ref: "develop".into(),
        ..world.deployment("staging", S::Success)
    };
    let mut client = world.server.deployments(&world.developer);
    let first = client
        .create_deployment(request)
        .await
        .unwrap()
        .into_inner()
        .deployment
        .unwrap();
    linked(&world).await;
    assert_eq!(
        shipped_by(&world, first.id).await,
        BTreeSet::from([1, 2, 3, 4, 5])
    );
}

async fn what_is_told_after_the_deployment_is_linked_to_the_one_that_shipped_it(engine: Engine) {
    let mut forge = Forge::new(engine).await;
    forge.repo.commit("start");
    forge.attach().await;
    let request = pb::CreateDeploymentRequest {
        sha: forge.repo.id("main"),
        ..forge.world.deployment("production", S::Running)
    };
    let first = succeed(&forge.world, request).await;
    let change = forge.repo.commit("change");
    let mut deployments = Vec::new();
    for _ in 0..3 {
        let request = pb::CreateDeploymentRequest {
            sha: forge.repo.id("main"),
            ..forge.world.deployment("production", S::Running)
        };
        deployments.push(succeed(&forge.world, request).await.id);
        forge.repo.commit(&format!("later-{}", deployments.len()));
    }
    // The forge's hook comes late.
    let merged_at = first.finished_at.map(|at| match at.nanos + 1_000_000 {
        1_000_000_000 => prost_types::Timestamp {
            seconds: at.seconds + 1,
            nanos: 0,
        },
        nanos => prost_types::Timestamp { nanos, ..at },
    });
    let report = pb::MergeRequestReport {
        title: "A change".into(),
        state: State::Merged.into(),
        target_branch: "main".into(),
        source_branch: "change".into(),
        created_at: merged_at,
        merged_at,
        merge_commit_sha: change,
        ..Default::default()
    };
    upsert(&forge.world, 1, report).await;
    linked(&forge.world).await;
    assert_eq!(
        shipped_by(&forge.world, deployments[0]).await,
        BTreeSet::from([1])
    );
    for other in [first.id, deployments[1], deployments[2]] {
        assert_eq!(shipped_by(&forge.world, other).await, BTreeSet::new());
    }
}

async fn a_success_whose_links_were_not_made_before_a_crash_is_linked_after_it(engine: Engine) {
    use crate::support::process::Process;

    let mut shipped_late = 0;
    let place = engine.place().await;
    let mut project = 0;
    for round in 0..8i64 {
        let process = Process::grpc(&place, "error", std::process::Stdio::inherit());
        let client = crate::support::dial(&process.grpc, &process.root);
        if round == 0 {
            project = crate::support::first_project(&client).await;
        }
        let mut requests = MergeRequestServiceClient::new(client.clone());
        let id = format!("{:040x}", round + 1);
        let report = pb::MergeRequestReport {
            title: "A change".into(),
            state: State::Merged.into(),
            target_branch: "develop".into(),
            source_branch: "change".into(),
            merge_commit_sha: id.clone(),
            ..Default::default()
        };
        let upsert = pb::UpsertMergeRequestRequest {
            project: Some(project_id(project)),
            iid: round + 1,
            merge_request: Some(report),
            ..Default::default()
        };
        requests.upsert_merge_request(upsert).await.unwrap();
        let create = pb::CreateDeploymentRequest {
            project: Some(project_id(project)),
            environment: "production".into(),
            sha: id,
            r#ref: "main".into(),
            status: S::Success.into(),
            ..Default::default()
        };
        let mut deployments = pb::deployment_service_client::DeploymentServiceClient::new(client);
        deployments.create_deployment(create).await.unwrap();
        // Acknowledged: from here on nothing may be lost.
        process.kill();
        shipped_late += link_work(&place).await;
    }
    let process = Process::grpc(&place, "error", std::process::Stdio::inherit());
    let client = crate::support::dial(&process.grpc, &process.root);
    let mut requests = MergeRequestServiceClient::new(client);
    within("every merge request is out", async {
        for iid in 1..=8 {
            loop {
                let request = pb::ListDeploymentsOfMergeRequestRequest {
                    project: Some(project_id(project)),
                    iid,
                    ..Default::default()
                };
                let answer = requests
                    .list_deployments_of_merge_request(request)
                    .await
                    .unwrap()
                    .into_inner();
                if answer.deployments.len() == 1 {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    assert!(
        shipped_late > 0,
        "no crash fell between a success and its links: the test shows nothing"
    );
}

/// A history of many commits on `main`: every tenth merges a branch of four.
pub fn long_history(repo: &Repo, merges: usize) -> Vec<String> {
    let mut stream = String::new();
    let mut mark = 0;
    let mut commit = |stream: &mut String, parents: &[usize]| {
        mark += 1;
        write!(stream, "commit refs/heads/main\nmark :{mark}\n").unwrap();
        write!(
            stream,
            "committer Ada <ada@example.com> {} +0000\ndata 1\nx\n",
            1_500_000_000 + mark * 30
        )
        .unwrap();
        for (index, parent) in parents.iter().enumerate() {
            writeln!(stream, "{} :{parent}", if index == 0 { "from" } else { "merge" }).unwrap();
        }
        write!(stream, "M 644 inline f{}\ndata 8\n{mark:08}\n", mark % 100).unwrap();
        mark
    };
    let mut tip = commit(&mut stream, &[]);
    let mut marks = Vec::new();
    for _ in 0..merges {
        let from = tip;
        for _ in 0..5 {
            tip = commit(&mut stream, &[tip]);
        }
        let mut side = from;
        for _ in 0..4 {
            side = commit(&mut stream, &[side]);
        }
        tip = commit(&mut stream, &[tip, side]);
        marks.push(tip);
    }
    repo.import(stream.as_bytes());
    let merges = repo.git(&["rev-list", "--reverse", "--first-parent", "--merges", "main"]);
    let merges: Vec<String> = merges.lines().map(str::to_owned).collect();
    assert_eq!(merges.len(), marks.len());
    merges
}

/// Not a test but a measurement: `cargo test --release --test it -- --ignored --nocapture how_long_linking`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and takes a while"]
async fn how_long_linking_takes() {
    let mut forge = Forge::new(Engine::Sqlite).await;
    let merges = long_history(&forge.repo, 6_000);
    forge.repo.git(&["tag", "nowhere", "main"]);
    forge.attach().await;
    for (iid, id) in (1..).zip(&merges[4_000..]) {
        forge.report(iid, true, merge(id)).await;
    }
    let world = &forge.world;
    let deploy = async |id: &str| {
        let request = pb::CreateDeploymentRequest {
            sha: id.into(),
            r#ref: "nowhere".into(),
            ..world.deployment("production", S::Running)
        };
        let mut client = world.server.deployments(&world.developer);
        let created = client
            .create_deployment(request)
            .await
            .unwrap()
            .into_inner()
            .deployment
            .unwrap();
        let request = pb::UpdateDeploymentStatusRequest {
            project: Some(project_id(world.project.id)),
            deployment_id: created.id,
            status: S::Success.into(),
            ..Default::default()
        };
        let began = std::time::Instant::now();
        client.update_deployment_status(request).await.unwrap();
        let answered = began.elapsed();
        linked(world).await;
        (created.id, answered, began.elapsed())
    };
    let total = forge.repo.git(&["rev-list", "--count", "main"]);
    deploy(&merges[3_999]).await;
    for (upto, commits) in [(4_099, 1_000), (5_099, 10_000)] {
        let (id, answered, took) = deploy(&merges[upto]).await;
        let request = pb::ListDeploymentMergeRequestsRequest {
            project: Some(project_id(world.project.id)),
            deployment_id: id,
            want_total: true,
            ..Default::default()
        };
        let mut client = world.server.merge_requests(&world.reporter);
        let answer = client
            .list_deployment_merge_requests(request)
            .await
            .unwrap()
            .into_inner();
        println!(
            "of {total} commits {commits} deployed: answered after {answered:?}, {} linked after {took:?}",
            answer.total_size.unwrap()
        );
    }
}
