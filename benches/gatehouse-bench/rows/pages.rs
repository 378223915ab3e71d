//! Pages of a large store beside the same pages of a small one, and a page far behind the first beside that.

use std::{sync::Arc, time::Duration};

use gatehouse::pb::v1::{
    self as pb, DeploymentOrderBy as Order, SortDirection as Direction,
    deployment_service_client::DeploymentServiceClient,
};
use tonic::metadata::MetadataValue;

use super::{Bench, CALLERS, Filled, Row};
use crate::{
    Failure,
    data::Stock,
    grpc::{GrpcCaller, Job, connect, newest, project, with_token},
    load::{Closed, Contender},
    report::Target,
    server::Gatehouse,
};

const fn page(name: &'static str, title: &'static str) -> Row {
    Row {
        name,
        title,
        target: Target::AtLeast(0.8),
    }
}

pub const ROWS: &[Row] = &[
    page("page-newest", "newest page of 20, large store against small"),
    page(
        "page-filtered",
        "page of an environment's successes by change, large store against small",
    ),
    page("page-ref", "page by ref, large store against small"),
    page(
        "page-since",
        "page of what changed since, large store against small",
    ),
    page("page-skip", "third page by number, large store against small"),
    page(
        "page-total",
        "first page with the total, large store against small",
    ),
    Row {
        name: "deep",
        title: "keyset page 100,000 deep against the first",
        target: Target::AtLeast(0.9),
    },
];

/// How deep the deep page is.
const DEEP: usize = 100_000;
/// There are many of these rows.
const ROUND: Duration = Duration::from_secs(1);

/// What each row asks for.
fn requests() -> [pb::ListDeploymentsRequest; 6] {
    let ordered = |order: Order, direction: Direction| pb::ListDeploymentsRequest {
        order_by: order.into(),
        direction: direction.into(),
        ..newest()
    };
    [
        newest(),
        pb::ListDeploymentsRequest {
            filter: Some(pb::DeploymentFilter {
                environment: Some("production".into()),
                status: Some(pb::DeploymentStatus::Success.into()),
                ..Default::default()
            }),
            ..ordered(Order::UpdatedAt, Direction::Desc)
        },
        ordered(Order::Ref, Direction::Asc),
        pb::ListDeploymentsRequest {
            filter: Some(pb::DeploymentFilter {
                updated_after: Some(prost_types::Timestamp {
                    // The middle of what is generated.
                    seconds: 1_650_000_000,
                    nanos: 0,
                }),
                ..Default::default()
            }),
            ..ordered(Order::UpdatedAt, Direction::Asc)
        },
        pb::ListDeploymentsRequest { skip: 40, ..newest() },
        pb::ListDeploymentsRequest {
            want_total: true,
            ..newest()
        },
    ]
}

pub async fn measure(bench: &mut Bench<'_>, large: &Filled) -> Result<(), Failure> {
    if !bench.wants_any(&[ROWS]) {
        return Ok(());
    }
    let small = bench.fill("small", bench.options.rows[0]).await?;
    let names = bench
        .options
        .rows
        .iter()
        .map(|count| format!("{count} deployments"));
    let names: Vec<String> = names.collect();
    let server = Gatehouse::grpc(&bench.program, &large.place)?;
    let other = Gatehouse::grpc(&bench.program, &small.place)?;
    for (row, request) in ROWS.iter().zip(requests()) {
        let contenders = async {
            let many = async |server: &Gatehouse, filled: &Filled| {
                let job = Job::List(request.clone(), Arc::clone(&filled.stock));
                GrpcCaller::many(&server.grpc, &filled.place.token, CALLERS, &job).await
            };
            Ok(vec![
                Closed::new(names[1].as_str(), many(&server, large).await?, &[server.id()]).boxed(),
                Closed::new(names[0].as_str(), many(&other, &small).await?, &[other.id()]).boxed(),
            ])
        };
        bench.compare_for(row, ROUND, contenders).await;
    }
    drop(other);
    if let Some(row) = ROWS.last() {
        Box::pin(bench.compare(row, deep(large, &server))).await;
    }
    Ok(())
}

/// Walks down the largest project, and compares where it came to with where it began.
async fn deep(large: &Filled, server: &Gatehouse) -> Result<Vec<Box<dyn Contender>>, Failure> {
    let token = MetadataValue::try_from(large.place.token.as_str())?;
    let mut calls = DeploymentServiceClient::new(connect(&server.grpc).await?);
    let mut request = pb::ListDeploymentsRequest {
        project: Some(project(1)),
        page_size: 100,
        ..newest()
    };
    for _ in 0..DEEP / 100 {
        let page = calls
            .list_deployments(with_token(request.clone(), &token))
            .await?;
        request.page_token = page.into_inner().next_page_token;
        if request.page_token.is_empty() {
            return Err("the largest project is not that large".into());
        }
    }
    request.page_size = 20;
    let only_first = Arc::new(Stock::only_first(&large.stock));
    let many = async |request: pb::ListDeploymentsRequest| {
        let job = Job::List(request, Arc::clone(&only_first));
        GrpcCaller::many(&server.grpc, &large.place.token, CALLERS, &job).await
    };
    Ok(vec![
        Closed::new(format!("page {DEEP} deep"), many(request).await?, &[server.id()]).boxed(),
        Closed::new("first page", many(newest()).await?, &[server.id()]).boxed(),
    ])
}
