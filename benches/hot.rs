//! The pure hot spots, each alone: `cargo bench --bench hot`, with `--features bench` also those that are not public.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use gatehouse::domain::{
    Time,
    deployment::DeploymentStatus,
    event::{Event, EventFilter, EventKind, EventSubject},
    id::{DeploymentId, EnvironmentId, Iid, ProjectId, UserId},
    matching,
    merge_request::query::Search,
    token::Secret,
};

/// So many rules of two approvals each, and twice as many votes, each good for two of them: earlier votes have to move.
fn votes(rules: usize) -> (Vec<usize>, Vec<Vec<usize>>) {
    let choices = (0..2 * rules).map(|vote| vec![vote / 2, (vote / 2 + 1) % rules]);
    (vec![2; rules], choices.collect())
}

fn vote_matching(criterion: &mut Criterion) {
    for rules in [2, 5, 20] {
        let (required, choices) = votes(rules);
        criterion.bench_function(&format!("match votes to {rules} rules"), |bencher| {
            bencher.iter(|| matching::assign(black_box(&required), black_box(&choices)));
        });
        let given = matching::assign(&required, &choices[..rules]);
        criterion.bench_function(&format!("what {rules} rules still want"), |bencher| {
            bencher.iter(|| {
                matching::wanted(
                    black_box(&required),
                    black_box(&choices[..rules]),
                    black_box(&given),
                )
            });
        });
    }
}

fn filters(criterion: &mut Criterion) {
    let event = Event {
        project_id: ProjectId(1),
        seq: 1,
        kind: EventKind::DeploymentCreated,
        actor_id: UserId(1),
        created_at: Time::UNIX_EPOCH,
        subject: EventSubject::Deployment {
            id: DeploymentId(1),
            iid: Iid(1),
            environment_id: EnvironmentId(1),
            environment: "production".to_owned(),
            git_ref: "main".to_owned(),
            tag: false,
            sha: "a91957a858320c0e17f3a0eca7cfacbff50ea29a".to_owned(),
            before: None,
            after: Some(DeploymentStatus::Running),
            gate_bypassed: false,
        },
    };
    let filter = EventFilter {
        environment: Some("production".to_owned()),
        deployment_id: Some(DeploymentId(1)),
        kinds: vec![EventKind::ApprovalSubmitted, EventKind::DeploymentCreated],
    };
    criterion.bench_function("an event and a full filter", |bencher| {
        bencher.iter(|| black_box(&filter).matches(black_box(&event)));
    });
    criterion.bench_function("the words of a search", |bencher| {
        bencher.iter(|| Search::of(black_box("Release \"cell 40\" to production, again")));
    });
    criterion.bench_function("the hash of a token", |bencher| {
        let secret = Secret::presented("gth-5b1f0c7e2d3a49688e7f6d5c4b3a2910");
        bencher.iter(|| black_box(&secret).hash());
    });
}

#[cfg(feature = "bench")]
fn views_and_tokens(criterion: &mut Criterion) {
    use gatehouse::pb::v1 as pb;

    let now = prost_types::Timestamp {
        seconds: 1_470_901_000,
        nanos: 222_000_000,
    };
    let deployment = pb::Deployment {
        id: 42,
        iid: 2,
        project_id: 1,
        environment: Some(pb::EnvironmentSummary {
            id: 9,
            name: "production".into(),
            slug: "production".into(),
            external_url: Some("https://about.example.com".into()),
            created_at: Some(now),
            updated_at: Some(now),
        }),
        r#ref: "main".into(),
        sha: "a91957a858320c0e17f3a0eca7cfacbff50ea29a".into(),
        user: Some(pb::UserSummary {
            id: 1,
            username: "root".into(),
            name: "Administrator".into(),
            state: pb::UserState::Active.into(),
            ..Default::default()
        }),
        status: pb::DeploymentStatus::Success.into(),
        created_at: Some(now),
        updated_at: Some(now),
        finished_at: Some(now),
        ..Default::default()
    };
    let list = vec![deployment; 20];
    criterion.bench_function("the JSON of 20 deployments", |bencher| {
        bencher.iter(|| gatehouse::rest::hot::deployments(black_box(&list), "https://gatehouse.example.com"));
    });
    let request = pb::ListDeploymentsRequest {
        project: Some(pb::ProjectRef {
            by: Some(pb::project_ref::By::Id(1)),
        }),
        filter: Some(pb::DeploymentFilter {
            environment: Some("production".into()),
            ..Default::default()
        }),
        ..Default::default()
    };
    criterion.bench_function("a page token, issued and read", |bencher| {
        bencher.iter(|| gatehouse::grpc::hot::page_token(black_box(&request), black_box(123_456)));
    });
}

#[cfg(not(feature = "bench"))]
fn views_and_tokens(_: &mut Criterion) {}

criterion_group! {
    name = hot;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = vote_matching, filters, views_and_tokens
}
criterion_main!(hot);
