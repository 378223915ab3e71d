//! Many callers at once.

use std::{collections::BTreeSet, future::Future};

use gatehouse::pb::v1::{self as pb, DeploymentOrderBy as By, DeploymentStatus as S, SortDirection};
use tokio::{sync::watch, task::JoinSet};
use tonic::{Response, Status};

use crate::support::{
    World,
    engine::{Engine, on_both_engines},
    project_id, reason,
};

on_both_engines! {
    threads:
    many_writers_number_without_gaps_and_make_one_environment
    one_of_many_starts_a_deployment
    a_request_sent_many_times_at_once_is_done_once
    a_success_recorded_many_times_at_once_is_one_record
    a_walk_through_a_growing_list_sees_all_that_was_there_once
}

const WRITERS: usize = 32;

/// Runs all of them at once, as far as that can be, and answers in no order.
pub async fn at_once<T, F>(count: usize, call: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (go, ready) = watch::channel(false);
    let mut calls = JoinSet::new();
    for number in 0..count {
        let call = call(number);
        let mut ready = ready.clone();
        calls.spawn(async move {
            ready.wait_for(|&ready| ready).await.unwrap();
            call.await
        });
    }
    go.send(true).unwrap();
    calls.join_all().await
}

fn create(
    world: &World,
    request: pb::CreateDeploymentRequest,
) -> impl Future<Output = Result<Response<pb::CreateDeploymentResponse>, Status>> + Send + use<> {
    let mut calls = world.server.deployments(&world.developer);
    async move { calls.create_deployment(request).await }
}

async fn environments(world: &World) -> Vec<String> {
    let list = pb::ListEnvironmentsRequest {
        project: Some(project_id(world.project.id)),
        ..Default::default()
    };
    let answer = world
        .server
        .environments(&world.reporter)
        .list_environments(list)
        .await
        .unwrap();
    answer
        .into_inner()
        .environments
        .into_iter()
        .map(|environment| environment.name)
        .collect()
}

async fn many_writers_number_without_gaps_and_make_one_environment(engine: Engine) {
    let world = World::new(engine).await;
    let answers = at_once(WRITERS, |number| {
        let mut request = world.deployment("production", S::Created);
        request.r#ref = format!("r{number}");
        create(&world, request)
    })
    .await;
    let made: Vec<pb::Deployment> = answers
        .into_iter()
        .map(|answer| answer.unwrap().into_inner().deployment.unwrap())
        .collect();
    let mut iids: Vec<i64> = made.iter().map(|deployment| deployment.iid).collect();
    iids.sort_unstable();
    assert_eq!(iids, (1..=i64::try_from(WRITERS).unwrap()).collect::<Vec<_>>());
    let ids: BTreeSet<i64> = made.iter().map(|deployment| deployment.id).collect();
    assert_eq!(ids.len(), WRITERS);
    let places: BTreeSet<i64> = made
        .iter()
        .map(|made| made.environment.as_ref().unwrap().id)
        .collect();
    assert_eq!(places.len(), 1);
    assert_eq!(environments(&world).await, ["production"]);
}

async fn one_of_many_starts_a_deployment(engine: Engine) {
    let world = World::new(engine).await;
    let deployment = world.record("production", S::Created).await;
    let answers = at_once(WRITERS, |_| {
        let mut calls = world.server.deployments(&world.developer);
        let request = pb::UpdateDeploymentStatusRequest {
            project: Some(project_id(world.project.id)),
            deployment_id: deployment.id,
            status: S::Running.into(),
            ..Default::default()
        };
        async move { calls.update_deployment_status(request).await }
    })
    .await;
    let (started, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(started.len(), 1);
    for refusal in refused {
        assert_eq!(reason(refusal), "INVALID_TRANSITION");
    }
}

async fn a_request_sent_many_times_at_once_is_done_once(engine: Engine) {
    let world = World::new(engine).await;
    let request = pb::CreateDeploymentRequest {
        request_id: "once".into(),
        ..world.deployment("production", S::Created)
    };
    let answers = at_once(16, |_| create(&world, request.clone())).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let replayed = answers
        .iter()
        .filter(|answer| answer.metadata().contains_key("idempotent-replayed"))
        .count();
    assert_eq!(replayed, 15);
    let first = answers[0].get_ref().clone();
    assert!(answers.iter().all(|answer| *answer.get_ref() == first));
    assert_eq!(world.record("production", S::Created).await.iid, 2);
}

async fn a_success_recorded_many_times_at_once_is_one_record(engine: Engine) {
    let world = World::new(engine).await;
    let answers = at_once(16, |_| create(&world, world.deployment("production", S::Success))).await;
    let ids: BTreeSet<i64> = answers
        .into_iter()
        .map(|answer| answer.unwrap().into_inner().deployment.unwrap().id)
        .collect();
    assert_eq!(ids.len(), 1);
}

/// Every order of the contract is walked page by page while others insert: nothing comes twice, and nothing is lost that
/// was there throughout.
async fn a_walk_through_a_growing_list_sees_all_that_was_there_once(engine: Engine) {
    let world = World::new(engine).await;
    let statuses = [S::Created, S::Failed, S::Success, S::Canceled];
    let request = |number: usize| {
        let mut request = world.deployment(["production", "staging"][number % 2], statuses[number % 4]);
        request.r#ref = format!("r{}", number * 7919 % 13);
        // Each with a sha of its own, else the same success would be recorded once.
        request.sha = format!("{number:07x}");
        request
    };
    let mut there = BTreeSet::new();
    for number in 0..60 {
        let made = create(&world, request(number))
            .await
            .unwrap()
            .into_inner()
            .deployment
            .unwrap();
        there.insert(made.iid);
    }
    let (stop, stopped) = watch::channel(false);
    let mut writers = JoinSet::new();
    for writer in 0..2 {
        let requests: Vec<_> = (0..100)
            .map(|number| request(100 + writer * 1_000 + number))
            .collect();
        let mut calls = world.server.deployments(&world.developer);
        let stopped = stopped.clone();
        writers.spawn(async move {
            for request in requests.iter().cycle() {
                if *stopped.borrow() {
                    return;
                }
                calls.create_deployment(request.clone()).await.unwrap();
            }
        });
    }
    let mut calls = world.server.deployments(&world.reporter);
    for order_by in [
        By::Id,
        By::Iid,
        By::CreatedAt,
        By::UpdatedAt,
        By::FinishedAt,
        By::Ref,
    ] {
        for direction in [SortDirection::Asc, SortDirection::Desc] {
            let mut seen = BTreeSet::new();
            let mut list = pb::ListDeploymentsRequest {
                project: Some(project_id(world.project.id)),
                order_by: order_by.into(),
                direction: direction.into(),
                page_size: 17,
                ..Default::default()
            };
            // An ascending walk has no end while others insert behind it: it ends with all that was there.
            loop {
                let page = calls.list_deployments(list.clone()).await.unwrap().into_inner();
                for deployment in &page.deployments {
                    assert!(
                        seen.insert(deployment.iid),
                        "{} twice: {order_by:?} {direction:?}",
                        deployment.iid
                    );
                }
                if page.next_page_token.is_empty() || seen.is_superset(&there) {
                    break;
                }
                list.page_token = page.next_page_token;
            }
            let lost: Vec<_> = there.difference(&seen).collect();
            assert!(lost.is_empty(), "lost {lost:?}: {order_by:?} {direction:?}");
        }
    }
    stop.send(true).unwrap();
    writers.join_all().await;
}
