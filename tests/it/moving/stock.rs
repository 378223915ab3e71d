//! Stores to move: one that holds something of everything, and one that holds a lot.

use gatehouse::pb::v1::{
    self as pb, AccessLevel, DeploymentStatus as S, JobStatus, MergeRequestState, Visibility,
    merge_request_service_client::MergeRequestServiceClient,
};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use std::path::Path;

use crate::support::{
    World,
    engine::{Engine, connected},
    group_at, in_group, in_project, job, project_id, user_named,
};

/// A text that shows who does not pass it on as it is.
const ODD: &str = "\"quoted\" \\back\\slash 'single' ünï€ode 🚀 {}[],:%$1";
/// The same of several lines.
const LONG: &str = "Zeilen\n\ttab \u{1}\u{7f}\u{2028}\r\n\"quoted\" \\back\\slash 🚀\\N\n";

/// A world that has at least one row in every table.
pub async fn something_of_everything(engine: Engine) -> World {
    let world = World::new(engine).await;
    let server = &world.server;
    let root = &server.root;
    server.group("acme/sub").await;
    server.group("friends").await;
    server.project("acme/sub/api", Visibility::Public).await;
    for container in [in_project("acme/web"), in_group("acme/sub")] {
        let share = pb::CreateGroupShareRequest {
            container: Some(container),
            group: Some(group_at("friends")),
            access_level: AccessLevel::Developer.into(),
            ..Default::default()
        };
        server.directory(root).create_group_share(share).await.unwrap();
    }
    let (kim, approver) = server.user("kim").await;
    server
        .member(in_group("acme"), "kim", AccessLevel::Maintainer)
        .await;
    let told = pb::UpdateUserRequest {
        user: Some(user_named("kim")),
        profile: Some(pb::UserProfile {
            bio: ODD.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    server.directory(root).update_user(told).await.unwrap();

    protect(&world, kim).await;
    let blocked = world.record("production", S::Running).await;
    let vote = pb::SubmitApprovalRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: blocked.id,
        status: pb::ApprovalStatus::Approved.into(),
        comment: Some(ODD.into()),
        represented_as: "kim".into(),
        ..Default::default()
    };
    let vote = server.approvals(&approver).submit_approval(vote).await;
    vote.unwrap();
    merge_request(&world, kim).await;
    jobs_and_commits(&world).await;
    for status in [S::Success, S::Failed, S::Canceled, S::Success] {
        world.record("staging", status).await;
    }
    // The last id that was given is that of a row that is gone.
    let gone = world.record("review/gone", S::Failed).await;
    let request = pb::DeleteDeploymentRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: gone.id,
        ..Default::default()
    };
    server.deployments(root).delete_deployment(request).await.unwrap();
    connected!(&world.server.place, |store| {
        store
            .execute(sqlx::AssertSqlSafe(format!(
                "INSERT INTO link_work (deployment_id, attempts, due_at) VALUES ({}, 3, {})",
                blocked.id,
                i64::MAX
            )))
            .await
            .unwrap();
    });
    world
}

async fn protect(world: &World, kim: i64) {
    let server = &world.server;
    for (container, name) in [
        (in_project("acme/web"), "production"),
        (in_group("acme"), "other"),
    ] {
        let request = pb::ProtectEnvironmentRequest {
            container: Some(container),
            name: name.into(),
            deploy_access_levels: vec![
                pb::ProtectionEntry {
                    access_level: Some(30),
                    ..Default::default()
                },
                pb::ProtectionEntry {
                    user_id: Some(kim),
                    ..Default::default()
                },
            ],
            approval_rules: vec![
                pb::ProtectionEntry {
                    user_id: Some(kim),
                    ..Default::default()
                },
                pb::ProtectionEntry {
                    access_level: Some(40),
                    required_approvals: Some(2),
                    ..Default::default()
                },
            ],
            ..Default::default()
        };
        let answer = server
            .protections(&server.root)
            .protect_environment(request)
            .await;
        answer.unwrap();
    }
}

async fn merge_request(world: &World, kim: i64) {
    let report = pb::MergeRequestReport {
        title: "Move house".into(),
        description: LONG.into(),
        state: MergeRequestState::Merged.into(),
        target_branch: "main".into(),
        source_branch: "moving".into(),
        author: Some(user_named("kim")),
        assignees: vec![user_named("kim")],
        reviewers: vec![user_named("mona"), user_named("kim")],
        labels: vec![pb::Label {
            name: "storage".into(),
            color: "#428BCA".into(),
            priority: Some(2),
            ..Default::default()
        }],
        milestone: Some(pb::Milestone {
            id: 7,
            iid: 1,
            title: "Autumn".into(),
            due_date: "2026-11-30".into(),
            ..Default::default()
        }),
        sha: "1".repeat(40),
        merge_commit_sha: "2".repeat(40),
        cherry_pick_shas: vec!["3".repeat(40)],
        reactions: vec![pb::Reaction {
            name: "thumbsup".into(),
            user_id: kim,
        }],
        ..Default::default()
    };
    let request = pb::UpsertMergeRequestRequest {
        project: Some(project_id(world.project.id)),
        iid: 12,
        merge_request: Some(report),
        ..Default::default()
    };
    let mut client = MergeRequestServiceClient::new(world.server.client(&world.maintainer));
    client.upsert_merge_request(request).await.unwrap();
}

async fn jobs_and_commits(world: &World) {
    let server = &world.server;
    let mut draft = job::draft(664, JobStatus::Running);
    draft.coverage = Some(98.29);
    draft.tag_list = vec!["linux".into(), ODD.into()];
    draft.runner = Some(pb::Runner {
        id: 8,
        description: "a runner".into(),
        name: "gitlab-runner".into(),
        r#type: pb::RunnerType::Instance.into(),
        paused: false,
        online: Some(true),
    });
    let at = pb::LocalTime {
        time: Some(prost_types::Timestamp {
            seconds: 1_600_000_000,
            nanos: 0,
        }),
        ..Default::default()
    };
    let request = pb::CreateDeploymentRequest {
        request_id: "build-664".into(),
        commits: vec![pb::Commit {
            id: crate::support::SHA.into(),
            parent_ids: vec!["2".repeat(40)],
            message: LONG.into(),
            author_name: "Kim".into(),
            author_email: "kim@example.com".into(),
            authored_at: Some(at),
            committer_name: "Kim".into(),
            committer_email: "kim@example.com".into(),
            committed_at: Some(at),
            ..Default::default()
        }],
        ..job::announcing(world.project.id, "testing", draft)
    };
    let mut deployments = server.deployments(&world.developer);
    deployments.create_deployment(request).await.unwrap();
    let token = pb::CreateJobTokenRequest {
        project: Some(project_id(world.project.id)),
        job_id: 664,
    };
    let mut jobs = server.jobs(&world.developer);
    jobs.create_job_token(token).await.unwrap();
    // One whose merge requests are linked: the first one there, by the branch.
    world.record("dev", S::Success).await;
}

/// Multiplies what the SQLite store in `file` holds, which something of everything is in: so many deployments, in four
/// projects; half of them with a job, a tenth with an approval, each with two events; and merge requests.
pub async fn multiply(file: &Path, deployments: i64) {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(false)
        .pragma("synchronous", "OFF")
        .pragma("cache_size", "-1000000")
        .pragma("temp_store", "MEMORY");
    let mut store = SqliteConnection::connect_with(&options).await.unwrap();
    let merge_requests = (deployments / 200).clamp(50, 5_000);
    // 1,000 ids of each kind are left to those that are there; projects are 1,001 to 1,004.
    let rows = format!(
        "BEGIN;
         CREATE TEMP TABLE n AS
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {deployments})
            SELECT i, 1001 + (i * 7 % 11) % 4 AS project FROM n;
         CREATE TEMP TABLE numbered AS
            SELECT i, project, row_number() OVER (PARTITION BY project ORDER BY i) AS iid FROM n;
         INSERT INTO projects
         SELECT id.column1, group_id, 'p-' || id.column1, 'acme/p-' || id.column1, 'acme/p-' || id.column1,
             'p-' || id.column1, description, visibility, default_branch, archived, creator_id, created_at, updated_at,
             version, (SELECT COUNT(*) FROM n WHERE project = id.column1),
             2 * (SELECT COUNT(*) FROM n WHERE project = id.column1), {END}, allow_self_approval,
             forward_deployment_enabled, forward_deployment_rollback_allowed, repository_path, 0
         FROM projects, (VALUES (1001), (1002), (1003), (1004)) id WHERE projects.id = 1;
         INSERT INTO environments
         SELECT project.column1 * 100 + i, project.column1, 'review/' || i, 'review/' || i, '' || i, 'review-' || i, NULL,
             'available', 'other', NULL, 'always', {BEGIN}, {BEGIN}, 1
         FROM n, (VALUES (1001), (1002), (1003), (1004)) project WHERE i < 50;
         INSERT INTO deployments
         SELECT 1000 + i, project, iid, project * 100 + 1 + i % 7 * (i % 7), 'branch-' || (i * 104729 % 1000), i % 9 = 0,
             printf('%040x', i * 2654435761), 1,
             CASE WHEN i % 1000 = 1 THEN 'running' WHEN i % 499 = 1 THEN 'created' WHEN i % 20 = 2 THEN 'failed'
                  WHEN i % 50 = 3 THEN 'canceled' WHEN i % 211 = 4 THEN 'skipped' ELSE 'success' END,
             {BEGIN} + i * {APART}, {BEGIN} + i * {APART} + i * 31 % 600000,
             CASE WHEN i % 1000 = 1 OR i % 499 = 1 THEN 9223372036854775807
                  ELSE {BEGIN} + i * {APART} + i * 31 % 600000 END,
             2, 'open', NULL, CASE WHEN i % 2 = 0 THEN 5000 + i END, printf('%040x', i * 2654435761)
         FROM numbered;
         INSERT INTO jobs
         SELECT 1000 + i, project, 5000 + i, 1, 'success', stage, name, CASE WHEN i % 3 > 0 THEN i % 1000 / 10.0 END,
             allow_failure, {BEGIN} + i * {APART}, NULL, NULL, NULL, i % 5000, '', user_id, web_url, tag_list,
             ci_job_token_scope_enabled, pipeline, runner
         FROM jobs, n WHERE jobs.job_id = 664 AND i % 2 = 0;
         INSERT INTO approvals (id, deployment_id, user_id, status, comment, represented_as, pinned, rule_id, created_at,
             updated_at)
         SELECT 1000 + i, 1000 + i, user_id, status, comment, represented_as, pinned, rule_id, {BEGIN} + i, {BEGIN} + i
         FROM approvals, n WHERE approvals.id = 1 AND i % 10 = 0;
         INSERT INTO events
         SELECT 10000 + 2 * i + second.column1, project, 2 * iid - 1 + second.column1, kind, actor_id, {BEGIN} + i * {APART},
             payload
         FROM numbered, (VALUES (0), (1)) second, events
         WHERE events.id = (SELECT MAX(id) FROM events WHERE kind = 'deployment_created');
         INSERT INTO merge_requests
         SELECT 1000 + i, 1001 + i % 4, i, title || ' ' || i, title_key || ' ' || i, state, draft, {BEGIN} + i, {BEGIN} + i,
             merged_at, closed_at, prepared_at, merge_after, author_id, merged_by_id, closed_by_id, target_branch,
             source_branch, source_project_id, sha, merge_commit_sha, squash_commit_sha, milestone, milestone_title,
             milestone_due, label_priority, i % 7, downvotes, user_notes_count, version, details, description,
             description_key
         FROM merge_requests, n WHERE merge_requests.id = 1 AND i <= {merge_requests};
         INSERT INTO merge_request_labels
         SELECT 1000 + i, name || '-' || i % 5, color, text_color, description, priority
         FROM merge_request_labels, n WHERE merge_request_id = 1 AND i <= {merge_requests};
         INSERT INTO merge_request_people
         SELECT 1000 + i, role, position, user_id
         FROM merge_request_people, n WHERE merge_request_id = 1 AND i <= {merge_requests};
         INSERT INTO deployment_merge_requests
         SELECT MIN(d.id), m.id, d.environment_id FROM merge_requests m
         JOIN deployments d ON d.project_id = m.project_id AND d.iid = m.iid WHERE m.id > 1000
         GROUP BY m.id, d.environment_id;
         COMMIT;"
    );
    store.execute(sqlx::AssertSqlSafe(rows)).await.unwrap();
    let broken: Vec<(String,)> = sqlx::query_as("SELECT \"table\" FROM pragma_foreign_key_check")
        .fetch_all(&mut store)
        .await
        .unwrap();
    assert!(broken.is_empty(), "{broken:?}");
    store.close().await.unwrap();
}

/// The projects that `multiply` makes.
pub const PROJECTS: [i64; 4] = [1001, 1002, 1003, 1004];
/// The time of the first deployment, in milliseconds, how far apart they are, and a time behind them all.
const BEGIN: i64 = 1_600_000_000_000;
const APART: i64 = 60_000;
const END: i64 = 1_700_000_000_000;
