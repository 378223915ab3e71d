//! Deployments at their gates: reading one whole, and finding those that a change may have freed.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Db, approval, deployment, failed, person, project, protection,
    row::{GlanceRow, MARK, PlaceRow},
    seam::{Stmt, sql},
};
use crate::{
    domain::{
        approval::Approval,
        deployment::{Deployment, GateState},
        directory::{Project, User},
        gate::Gate,
        id::{DeploymentId, EnvironmentId, GroupId, ProjectId, ProjectKey, UserId},
        page::Page,
        person::Person,
        protection::ProtectedEnvironment,
    },
    store::{Mark, Result, StoreError, Wanted},
};

/// How many blocked deployments are looked at for one page of an inbox.
const EXAMINED: i64 = 200;

/// A deployment at its gate; the viewer, if there is one, is among the people. Who is unknown to the protections is
/// given as they are to the project.
pub async fn load<DB: Db>(
    connection: &mut DB::Connection,
    project: &Project,
    deployment: Deployment,
    viewer: Option<Person>,
) -> Result<Gate> {
    let environment = deployment.environment.id;
    let protections = protection::applying_to::<DB>(&mut *connection, project, environment).await?;
    // Nobody decides about what was never held.
    let approvals = if deployment.gate == GateState::Open {
        Vec::new()
    } else {
        approval::list_of::<DB>(&mut *connection, deployment.id).await?
    };
    let people = people::<DB>(connection, project, &protections, &approvals, viewer).await?;
    Ok(Gate {
        deployment,
        project: project.clone(),
        protections,
        approvals,
        people,
    })
}

/// The voters and the viewer, as protections see them; where there are none, the viewer as they are.
pub async fn people<DB: Db>(
    connection: &mut DB::Connection,
    project: &Project,
    protections: &[ProtectedEnvironment],
    approvals: &[Approval],
    viewer: Option<Person>,
) -> Result<BTreeMap<UserId, Person>> {
    if protections.is_empty() {
        return Ok(viewer
            .into_iter()
            .map(|viewer| (viewer.user.id, viewer))
            .collect());
    }
    let mut asked: BTreeSet<UserId> = approvals.iter().map(|approval| approval.user.id).collect();
    asked.extend(viewer.map(|viewer| viewer.user.id));
    let groups = person::groups_in_question(protections);
    person::load::<DB>(connection, Some(project), &groups, &asked).await
}

/// What a single statement tells of a deployment.
pub enum Glance {
    /// All there is: nothing protects its environment, and it was never held.
    Whole(Box<Gate>),
    /// That there is more to read.
    More,
}

/// A deployment of a project at its gate, as far as one statement can tell, for a viewer who is what they are to the project
/// as of `by`. Of what is not there it cannot be told as of when: that is outdated too.
pub async fn glance<DB: Db>(
    connection: &mut DB::Connection,
    project: &Project,
    id: DeploymentId,
    viewer: Person,
    by: Mark,
) -> Result<Glance> {
    let stmt = protection::any_applying(sql::<DB>(deployment::COLUMNS).push(MARK), project)
        .push(deployment::TABLES)
        .push_bind(" AND d.id = ", id.0)
        .push_bind(" AND d.project_id = ", project.id.0);
    let row = stmt
        .optional::<GlanceRow>(connection)
        .await
        .map_err(failed::<DB>)?;
    let row = row
        .filter(|row| Mark(row.mark) == by)
        .ok_or(StoreError::Outdated)?;
    if row.guarded != 0 || row.deployment.job_id.is_some() {
        return Ok(Glance::More);
    }
    let deployment = Deployment::try_from(row.deployment)?;
    if deployment.gate != GateState::Open {
        return Ok(Glance::More);
    }
    Ok(Glance::Whole(Box::new(Gate {
        deployment,
        project: project.clone(),
        protections: Vec::new(),
        approvals: Vec::new(),
        people: BTreeMap::from([(viewer.user.id, viewer)]),
    })))
}

/// A deployment of a project at its gate.
pub async fn find<DB: Db>(
    connection: &mut DB::Connection,
    project: &Project,
    id: DeploymentId,
    viewer: Option<Person>,
) -> Result<Option<Gate>> {
    match deployment::find_by_id::<DB>(&mut *connection, project.id, id).await? {
        Some(deployment) => load::<DB>(connection, project, deployment, viewer)
            .await
            .map(Some),
        None => Ok(None),
    }
}

/// Which blocked deployments a change may have freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// Those of an environment.
    Environment(EnvironmentId),
    /// Those that a user decided about.
    Votes(UserId),
    /// Those of a project.
    Project(ProjectId),
    /// Those of every project below a group.
    Below(GroupId),
    /// Any.
    All,
}

/// The deployments that the gate holds. The status is part of the text: only so is the index known to hold what is looked
/// for.
const HELD: &str = "SELECT d.project_id, d.id AS deployment_id FROM deployments d WHERE d.status = 'blocked' \
     AND d.gate = 'held'";

/// The blocked deployments that a change may have freed, project by project.
pub async fn blocked<DB: Db>(
    connection: &mut DB::Connection,
    touched: Touched,
) -> Result<Vec<(ProjectId, DeploymentId)>> {
    let stmt = sql::<DB>(HELD);
    let stmt = match touched {
        Touched::Environment(id) => stmt.push_bind(" AND d.environment_id = ", id.0),
        Touched::Votes(user) => stmt
            .push_bind(" AND d.id IN (SELECT a.deployment_id FROM approvals a WHERE a.user_id = ", user.0)
            .push(")"),
        Touched::Project(id) => stmt.push_bind(" AND d.project_id = ", id.0),
        Touched::Below(group) => stmt
            .push_bind(
                " AND d.project_id IN (SELECT p.id FROM projects p JOIN group_ancestors a ON a.group_id = p.group_id \
                 WHERE a.ancestor_id = ",
                group.0,
            )
            .push(")"),
        Touched::All => stmt,
    };
    places::<DB>(connection, stmt.push(" ORDER BY d.project_id, d.id")).await
}

async fn places<DB: Db>(
    connection: &mut DB::Connection,
    stmt: Stmt<DB>,
) -> Result<Vec<(ProjectId, DeploymentId)>> {
    let rows = stmt.all::<PlaceRow>(connection).await.map_err(failed::<DB>)?;
    Ok(rows
        .into_iter()
        .map(|row| (ProjectId(row.project_id), DeploymentId(row.deployment_id)))
        .collect())
}

/// The blocked deployments of all projects that `wanted` says yes to, by id. A page may be short though more follow:
/// only so many are looked at.
pub async fn blocked_page<DB: Db>(
    connection: &mut DB::Connection,
    viewer: &User,
    after: DeploymentId,
    size: i64,
    wanted: &Wanted,
) -> Result<Page<Gate, DeploymentId>> {
    let stmt = sql::<DB>(HELD)
        .push_bind(" AND d.id > ", after.0)
        .push_bind(
            " AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.deployment_id = d.id AND a.user_id = ",
            viewer.id.0,
        )
        .push_bind(") ORDER BY d.id LIMIT ", EXAMINED);
    let places = places::<DB>(&mut *connection, stmt).await?;
    let full = i64::try_from(places.len()).unwrap_or(i64::MAX) == EXAMINED;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    let mut last = None;
    let count = places.len();
    for (index, (project, id)) in places.into_iter().enumerate() {
        let key = ProjectKey::Id(project);
        let Some(view) = project::view::<DB>(&mut *connection, &key, viewer.id).await? else {
            continue;
        };
        let person = Person::of(viewer.clone(), view.standing);
        let gate = find::<DB>(&mut *connection, &view.project, id, Some(person)).await?;
        items.extend(gate.filter(|gate| wanted(gate)));
        last = Some(id);
        if items.len() == size && index + 1 < count {
            return Ok(Page {
                items,
                next: last,
                total: None,
            });
        }
    }
    Ok(Page {
        items,
        next: last.filter(|_| full),
        total: None,
    })
}
