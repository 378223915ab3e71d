//! Calls over gRPC.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use gatehouse::pb::v1::{
    self as pb, approval_service_client::ApprovalServiceClient,
    deployment_service_client::DeploymentServiceClient,
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use crate::{
    Failure,
    data::Stock,
    load::{Caller, Ending},
};

/// A message with somebody's token.
pub fn with_token<T>(message: T, token: &MetadataValue<Ascii>) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("private-token", token.clone());
    request
}

/// A project by its id.
pub fn project(id: i64) -> pb::ProjectRef {
    pb::ProjectRef {
        by: Some(pb::project_ref::By::Id(id)),
    }
}

/// A connection to `ADDRESS:PORT`.
pub async fn connect(address: &str) -> Result<Channel, Failure> {
    Ok(Endpoint::try_from(format!("http://{address}"))?
        .tcp_nodelay(true)
        .connect()
        .await?)
}

/// What is called for.
#[derive(Debug, Clone)]
pub enum Job {
    /// Any deployment.
    Get(Arc<Stock>),
    /// Pages like this, of projects that are large enough.
    List(pb::ListDeploymentsRequest, Arc<Stock>),
    /// A new deployment in one of so many projects.
    Create(i64),
    /// The next approval by whoever has one to give.
    Approve(Arc<Approvals>),
}

/// Approvals that are still to be given: each of some people may approve each of many deployments once.
#[derive(Debug)]
pub struct Approvals {
    tokens: Vec<MetadataValue<Ascii>>,
    /// Deployment and project.
    deployments: Vec<(i64, i64)>,
    next: AtomicU64,
}

impl Approvals {
    /// By these people about these.
    pub fn new(tokens: Vec<MetadataValue<Ascii>>, deployments: Vec<(i64, i64)>) -> Self {
        Self {
            tokens,
            deployments,
            next: AtomicU64::new(0),
        }
    }

    fn next(&self) -> Result<(&MetadataValue<Ascii>, (i64, i64)), Failure> {
        let number = usize::try_from(self.next.fetch_add(1, Ordering::Relaxed))?;
        // All deployments once, then again by the next person.
        let token = self.tokens.get(number / self.deployments.len());
        let token = token.ok_or("every approval has been given: fewer rounds, or a larger store")?;
        Ok((token, self.deployments[number % self.deployments.len()]))
    }
}

/// Scatters numbers.
pub fn scatter(number: u64) -> u64 {
    // The finaliser of splitmix64.
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A request for a new deployment.
pub fn creation(project_id: i64, number: u64) -> pb::CreateDeploymentRequest {
    pb::CreateDeploymentRequest {
        project: Some(project(project_id)),
        environment: "production".into(),
        sha: format!("{:016x}{number:024x}", scatter(number)),
        r#ref: "main".into(),
        tag: false,
        status: pb::DeploymentStatus::Running.into(),
        ..Default::default()
    }
}

/// The page of 20 that everybody looks at: the newest.
pub fn newest() -> pb::ListDeploymentsRequest {
    pb::ListDeploymentsRequest {
        order_by: pb::DeploymentOrderBy::Id.into(),
        direction: pb::SortDirection::Desc.into(),
        page_size: 20,
        ..Default::default()
    }
}

/// Somebody who calls by gRPC.
#[derive(Debug)]
pub struct GrpcCaller {
    deployments: DeploymentServiceClient<Channel>,
    approvals: ApprovalServiceClient<Channel>,
    token: MetadataValue<Ascii>,
    job: Job,
}

impl GrpcCaller {
    /// So many connections to a server with so many callers on each.
    pub async fn many(
        address: &str,
        token: &str,
        (connections, in_flight): (usize, usize),
        job: &Job,
    ) -> Result<Vec<Self>, Failure> {
        let token = MetadataValue::try_from(token)?;
        let mut callers = Vec::new();
        for _ in 0..connections {
            let channel = connect(address).await?;
            for _ in 0..in_flight {
                callers.push(Self {
                    deployments: DeploymentServiceClient::new(channel.clone()),
                    approvals: ApprovalServiceClient::new(channel.clone()),
                    token: token.clone(),
                    job: job.clone(),
                });
            }
        }
        Ok(callers)
    }
}

impl Caller for GrpcCaller {
    async fn call(&mut self, number: u64) -> Result<Ending, Failure> {
        match self.attempt(number).await {
            Ok(()) => Ok(Ending::Answered),
            Err(error) => match error.downcast_ref::<Status>() {
                Some(status) if status.code() == Code::ResourceExhausted => Ok(Ending::Refused),
                _ => Err(error),
            },
        }
    }
}

impl GrpcCaller {
    async fn attempt(&mut self, number: u64) -> Result<(), Failure> {
        match &self.job {
            Job::Get(stock) => {
                let (deployment_id, project_id) = stock.any(scatter(number));
                let message = pb::GetDeploymentRequest {
                    project: Some(project(project_id)),
                    deployment_id,
                };
                let answer = self
                    .deployments
                    .get_deployment(with_token(message, &self.token))
                    .await?;
                if answer.into_inner().deployment.is_none() {
                    return Err("an answer without a deployment".into());
                }
            }
            Job::List(page, stock) => {
                let message = pb::ListDeploymentsRequest {
                    project: Some(project(stock.large(scatter(number)))),
                    ..page.clone()
                };
                let answer = self
                    .deployments
                    .list_deployments(with_token(message, &self.token))
                    .await?;
                let rows = answer.into_inner().deployments.len();
                if i32::try_from(rows) != Ok(page.page_size) {
                    return Err(format!("a page of {rows} rows").into());
                }
            }
            Job::Create(projects) => {
                let message = creation(1 + (scatter(number) % *projects as u64) as i64, number);
                self.deployments
                    .create_deployment(with_token(message, &self.token))
                    .await?;
            }
            Job::Approve(approvals) => {
                let (token, (deployment_id, project_id)) = approvals.next()?;
                let message = pb::SubmitApprovalRequest {
                    project: Some(project(project_id)),
                    deployment_id,
                    status: pb::ApprovalStatus::Approved.into(),
                    ..Default::default()
                };
                self.approvals.submit_approval(with_token(message, token)).await?;
            }
        }
        Ok(())
    }
}
