//! What a call costs, in counts that a machine's speed has no part in: statements sent to the database, and allocations of
//! client and server together. A change that costs more has to say so here.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail by panicking"
)]

#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the support of other tests"
)]
#[path = "it/support/mod.rs"]
mod support;

use dhat::HeapStats;
use gatehouse::{
    metrics::{self, Recorder},
    pb::v1::{
        self as pb, ApprovalStatus, DeploymentStatus as S, GetDeploymentRequest, GetProjectRequest,
        ListDeploymentsRequest, ListEventsRequest, SubmitApprovalRequest, UpdateDeploymentStatusRequest,
    },
};
use support::{World, engine::Engine, in_project, project_id};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Statements and allocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    statements: u64,
    allocations: u64,
}

/// A world, and who calls it from a thread of their own.
struct Site {
    server: Runtime,
    client: Runtime,
    world: World,
    /// Deployments that wait for a decision.
    gated: Vec<i64>,
    recorder: Recorder,
}

/// How often a call is made that counts.
const TIMES: usize = 9;

impl Site {
    fn new(engine: Engine, recorder: Recorder) -> Self {
        let server = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let client = Builder::new_current_thread().enable_all().build().unwrap();
        let world = server.block_on(World::new(engine));
        server.block_on(async {
            for _ in 0..30 {
                world.record("production", S::Running).await;
            }
        });
        let gated = server.block_on(gated(&world));
        Self {
            server,
            client,
            world,
            gated,
            recorder,
        }
    }

    fn statements(&self) -> u64 {
        let told = self.recorder.render();
        let line = told
            .lines()
            .find_map(|line| line.strip_prefix("gatehouse_store_statements_total "))
            .unwrap();
        line.parse().unwrap()
    }

    /// What this costs, most of the time: what goes on meanwhile, and what is told to other servers behind a commit, may count
    /// for another time than its own. Each time has its number.
    fn costs(&self, mut call: impl AsyncFnMut(&World, usize)) -> Cost {
        let costs = (0..=TIMES).map(|number| {
            let (statements, allocations) = (self.statements(), HeapStats::get().total_blocks);
            self.client.block_on(call(&self.world, number));
            Cost {
                allocations: HeapStats::get().total_blocks - allocations,
                statements: self.statements() - statements,
            }
        });
        // The first prepares its statements.
        let costs: Vec<Cost> = costs.skip(1).collect();
        let middle = |of: fn(&Cost) -> u64| {
            let mut counts: Vec<u64> = costs.iter().map(of).collect();
            counts.sort_unstable();
            counts[counts.len() / 2]
        };
        Cost {
            statements: middle(|cost| cost.statements),
            allocations: middle(|cost| cost.allocations),
        }
    }
}

/// Protects an environment, and records deployments there.
async fn gated(world: &World) -> Vec<i64> {
    let request = pb::ProtectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "gated".into(),
        deploy_access_levels: vec![pb::ProtectionEntry {
            access_level: Some(30),
            ..Default::default()
        }],
        approval_rules: vec![pb::ProtectionEntry {
            access_level: Some(40),
            required_approvals: Some(2),
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut protections = world.server.protections(&world.server.root);
    protections.protect_environment(request).await.unwrap();
    let mut gated = Vec::new();
    for _ in 0..=TIMES {
        gated.push(world.record("gated", S::Created).await.id);
    }
    gated
}

/// Every call that is held to its costs, in both engines.
fn costs(site: &Site) -> Vec<(&'static str, Cost)> {
    let project = Some(project_id(site.world.project.id));
    let deployment = site.gated[0];
    let developer = |world: &World| world.server.deployments(&world.developer);
    let mut costs = Vec::new();
    costs.push((
        "GetProject",
        site.costs(async |world, _| {
            let request = GetProjectRequest {
                project: project.clone(),
            };
            let mut directory = world.server.directory(&world.developer);
            directory.get_project(request).await.unwrap();
        }),
    ));
    costs.push((
        "GetDeployment",
        site.costs(async |world, _| {
            let request = GetDeploymentRequest {
                project: project.clone(),
                deployment_id: world.project.id,
            };
            developer(world).get_deployment(request).await.unwrap();
        }),
    ));
    costs.push((
        "GetDeployment of a gate",
        site.costs(async |world, _| {
            let request = GetDeploymentRequest {
                project: project.clone(),
                deployment_id: deployment,
            };
            developer(world).get_deployment(request).await.unwrap();
        }),
    ));
    costs.push((
        "ListDeployments of 20",
        site.costs(async |world, _| {
            let request = ListDeploymentsRequest {
                project: project.clone(),
                page_size: 20,
                ..Default::default()
            };
            let page = developer(world).list_deployments(request).await.unwrap();
            assert_eq!(page.into_inner().deployments.len(), 20);
        }),
    ));
    costs.push((
        "ListEvents of 20",
        site.costs(async |world, _| {
            let request = ListEventsRequest {
                project: project.clone(),
                page_size: 20,
                ..Default::default()
            };
            let mut events = world.server.events(&world.developer);
            events.list_events(request).await.unwrap();
        }),
    ));
    costs.push((
        "CreateDeployment",
        site.costs(async |world, _| {
            let request = world.deployment("production", S::Running);
            developer(world).create_deployment(request).await.unwrap();
        }),
    ));
    costs.push((
        "CreateDeployment with a request_id",
        site.costs(async |world, number| {
            let request = pb::CreateDeploymentRequest {
                request_id: format!("once-{number}"),
                ..world.deployment("production", S::Running)
            };
            developer(world).create_deployment(request).await.unwrap();
        }),
    ));
    costs.push((
        "CreateDeployment at a gate",
        site.costs(async |world, _| {
            let request = world.deployment("gated", S::Created);
            developer(world).create_deployment(request).await.unwrap();
        }),
    ));
    costs.push((
        "UpdateDeploymentStatus",
        site.costs(async |world, number| {
            let request = UpdateDeploymentStatusRequest {
                project: project.clone(),
                // Those that were recorded first run.
                deployment_id: i64::try_from(number + 1).unwrap(),
                status: S::Success.into(),
                ..Default::default()
            };
            developer(world).update_deployment_status(request).await.unwrap();
        }),
    ));
    costs.push((
        "SubmitApproval",
        site.costs(async |world, number| {
            let request = SubmitApprovalRequest {
                project: project.clone(),
                deployment_id: site.gated[number],
                status: ApprovalStatus::Approved.into(),
                ..Default::default()
            };
            let mut approvals = world.server.approvals(&world.maintainer);
            approvals.submit_approval(request).await.unwrap();
        }),
    ));
    costs
}

/// A call; the statements that it sends; how many allocations are too many for it, which is a tenth more than were seen. On
/// SQLite, and on PostgreSQL, where changes are told to other servers by a statement of their own.
const COSTS: [(&str, [u64; 2], [u64; 2]); 10] = [
    ("GetProject", [2, 2], [240, 245]),
    ("GetDeployment", [1, 1], [210, 220]),
    ("GetDeployment of a gate", [5, 5], [395, 410]),
    ("ListDeployments of 20", [1, 1], [780, 785]),
    ("ListEvents of 20", [3, 3], [505, 515]),
    ("CreateDeployment", [3, 4], [445, 495]),
    ("CreateDeployment with a request_id", [5, 6], [505, 565]),
    ("CreateDeployment at a gate", [5, 6], [565, 630]),
    ("UpdateDeploymentStatus", [7, 8], [490, 560]),
    ("SubmitApproval", [6, 7], [715, 780]),
];

// One test, for one thread at a time may count.
#[test]
fn every_call_costs_what_it_is_known_to_cost() {
    let _counting = dhat::Profiler::builder().testing().build();
    let recorder = metrics::install().unwrap();
    let mut dear = Vec::new();
    for (place, engine) in [Engine::Sqlite, Engine::Postgres].into_iter().enumerate() {
        if !engine.is_here() {
            continue;
        }
        let site = Site::new(engine, recorder.clone());
        for ((call, cost), (known, statements, allocations)) in costs(&site).into_iter().zip(COSTS) {
            assert_eq!(call, known);
            println!("{engine:?} {call}: {cost:?}");
            if cost.statements != statements[place] || cost.allocations > allocations[place] {
                dear.push((engine, call, cost));
            }
        }
        let Site {
            server,
            client,
            world,
            ..
        } = site;
        client.block_on(async { drop(world) });
        server.shutdown_background();
    }
    assert!(dear.is_empty(), "{dear:#?}");
}
