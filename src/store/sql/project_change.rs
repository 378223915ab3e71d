//! Changing what is recorded for a project: its deployments, approvals, environments and protections.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;

use super::{
    Db, Keep, Lock, Work, deployment, environment,
    event::Told,
    gate, job,
    ledger::{self, Ledger},
    merge_request, person, project, protection, request,
    row::LockRow,
    user,
};
use crate::{
    domain::{
        access,
        deployment::Deployment,
        directory::{Container, ProjectView},
        environment::{self as environments, EnvironmentTier},
        event::ProjectChange,
        gate::{self as gates, Gate},
        id::{DeploymentId, EnvironmentKey, ProjectId, ProjectKey, UserId, UserKey},
        person::Person,
        protection::{Nameable, ProtectedEnvironment},
    },
    store::{
        Decide, Done, Mark, ProjectAnswer, ProjectState, ProtectionAnswer, ProtectionSelect, Result, Select,
        StoreError, Terms,
    },
};

/// How many people are read at a time to see whether a quorum can be reached.
const CROWD: i64 = 500;

/// A change of what is recorded for a project.
pub struct Change {
    /// Which project.
    pub project: ProjectKey,
    /// What of it.
    pub select: Select,
    /// On what terms.
    pub terms: Terms<ProjectAnswer>,
    /// What to change.
    pub decide: Decide<ProjectState, ProjectChange>,
    /// Whether it has begun to write; but to take the lock, which moves the project's time on and counts, changes nothing.
    pub written: AtomicBool,
}

#[async_trait]
impl<DB: Db> Work<DB> for Change {
    const LOCK: Lock = Lock::Project;

    type Output = Done<ProjectAnswer>;

    fn project(&self) -> Option<ProjectId> {
        match (&self.terms.premise, &self.project) {
            (Some(premise), _) => Some(premise.view.project.id),
            (None, ProjectKey::Id(id)) => Some(*id),
            (None, ProjectKey::Path(_)) => None,
        }
    }

    fn decides_first(&self) -> bool {
        // What is only checked is written and undone.
        !self.terms.validate_only
    }

    fn has_written(&self) -> bool {
        self.written.load(Ordering::Relaxed)
    }

    async fn run(&self, connection: &mut DB::Connection, told: &mut Told) -> Result<(Self::Output, Keep)> {
        self.written.store(false, Ordering::Relaxed);
        let locked = ledger::lock::<DB>(&mut *connection, &self.project, self.terms.now).await?;
        // Before anything else: a repeat is answered to nobody who may not call any more.
        self.holds(locked.as_ref())?;
        // Behind the lock: of two that come at once the second sees what the first answered.
        if let Some(answer) = request::replay::<DB, _>(&mut *connection, &self.terms).await? {
            return Ok((Done::Replayed(answer), Keep::No));
        }
        let (state, next_id) = self.state::<DB>(&mut *connection, locked.as_ref()).await?;
        let changes = (self.decide)(&state)?;
        self.written.store(true, Ordering::Relaxed);
        let (Some(locked), Some(view)) = (locked, state.view.clone()) else {
            // A decision about nothing: the rules never accept one, and if they did there is nothing to change.
            return Err(access::project_not_found().into());
        };
        let answer = ProjectAnswer {
            changed: !changes.is_empty(),
            deployment: state.deployment.clone(),
            environment: state.environment.clone(),
            protection: state.protection.clone().map(ProtectionAnswer::of),
            ..ProjectAnswer::of(view.project.clone(), self.terms.actor)
        };
        let (actor, now) = (self.terms.actor, state.now);
        let author = state.actor.as_ref().map(|person| &person.user);
        let mut ledger = Ledger::<DB>::open(&mut *connection, &locked, actor, now, answer, told)
            .by(author)
            .numbering(next_id);
        for change in &changes {
            ledger.change(change).await?;
        }
        ledger.settle_touched(&view.project).await?;
        let mut answer = ledger.close(&locked).await?;
        answer.gate = gate_after(state, &changes, answer.deployment.as_ref());
        if let Some(protection) = &mut answer.protection {
            protection.unreachable =
                unreachable::<DB>(&mut *connection, Some(&view), &protection.protection).await?;
        }
        request::remember::<DB, _>(connection, &self.terms, &answer).await?;
        let keep = if self.terms.validate_only {
            Keep::No
        } else {
            Keep::Yes
        };
        Ok((Done::Fresh(answer), keep))
    }
}

impl Change {
    /// Refuses where what the change goes by is not so any more. The lock keeps it so from here on.
    fn holds(&self, locked: Option<&LockRow>) -> Result<()> {
        let Some(premise) = &self.terms.premise else {
            return Ok(());
        };
        let found = locked.map(|locked| (locked.id, Mark(locked.mark)));
        if found == Some((premise.view.project.id.0, premise.mark)) {
            Ok(())
        } else {
            Err(StoreError::Outdated)
        }
    }

    /// Loads what the decision sees, everything after the lock; and the id of a new deployment, if it came with that.
    async fn state<DB: Db>(
        &self,
        connection: &mut DB::Connection,
        locked: Option<&LockRow>,
    ) -> Result<(ProjectState, Option<DeploymentId>)> {
        let mut state = ProjectState::at(self.terms.now);
        let mut next_id = None;
        let Some(locked) = locked else {
            return Ok((state, next_id));
        };
        let project = ProjectId(locked.id);
        let key = ProjectKey::Id(project);
        state.now = locked.now()?;
        state.view = match &self.terms.premise {
            Some(premise) => Some(premise.view.clone()),
            None => project::view::<DB>(&mut *connection, &key, self.terms.actor).await?,
        };
        let Some(view) = state.view.clone() else {
            return Ok((state, next_id));
        };
        match &self.select {
            Select::EnvironmentNamed(name)
            | Select::NewDeployment {
                environment: name, ..
            } => {
                let mut guarded = true;
                if let Select::NewDeployment { .. } = self.select {
                    if let Some(ground) =
                        environment::ground::<DB>(&mut *connection, &view.project, name).await?
                    {
                        guarded = ground.guarded != 0;
                        next_id = Some(DeploymentId(ground.next_id));
                        state.environment = Some(ground.environment.try_into()?);
                    }
                } else {
                    let key = EnvironmentKey::Name(name.clone());
                    state.environment =
                        environment::find_by_key::<DB>(&mut *connection, project, &key).await?;
                }
                if state.environment.is_none() {
                    let slug = environments::slug(name);
                    state.slug_taken = environment::slug_taken::<DB>(&mut *connection, project, slug).await?;
                }
                let found = state.environment.as_ref().map(|environment| environment.tier);
                let tier = found.unwrap_or_else(|| EnvironmentTier::guess(name));
                if guarded {
                    state.protections =
                        protection::applying::<DB>(&mut *connection, &view.project, name, tier).await?;
                }
                if let Select::NewDeployment { job: Some(job), .. } = self.select
                    && let Some(id) = job::deployment_of::<DB>(&mut *connection, project, job).await?
                {
                    let viewer = self.viewer::<DB>(&mut *connection, &view).await?;
                    state.gate = gate::find::<DB>(&mut *connection, &view.project, id, viewer).await?;
                    state.deployment = state.gate.as_ref().map(|gate| gate.deployment.clone());
                }
            }
            Select::Environment(key) => {
                state.environment = environment::find_by_key::<DB>(&mut *connection, project, key).await?;
                if let Some(environment) = &state.environment {
                    state.protections =
                        protection::applying_to::<DB>(&mut *connection, &view.project, environment.id)
                            .await?;
                }
            }
            Select::Gate(_) | Select::Deployment(_) | Select::Deletion(_) | Select::Job(_) => {
                let id = match self.select {
                    Select::Gate(id) | Select::Deployment(id) | Select::Deletion(id) => Some(id),
                    Select::Job(job) => job::deployment_of::<DB>(&mut *connection, project, job).await?,
                    _ => None,
                };
                let viewer = self.viewer::<DB>(&mut *connection, &view).await?;
                let gate = match id {
                    Some(id) => gate::find::<DB>(&mut *connection, &view.project, id, viewer).await?,
                    None => None,
                };
                if let Some(gate) = &gate {
                    if !matches!(self.select, Select::Gate(_)) {
                        let key = EnvironmentKey::Id(gate.deployment.environment.id);
                        state.environment =
                            environment::find_by_key::<DB>(&mut *connection, project, &key).await?;
                    }
                    state.deployment = Some(gate.deployment.clone());
                    state.protections.clone_from(&gate.protections);
                    state.actor = gate.people.get(&self.terms.actor).cloned();
                }
                state.gate = gate;
            }
            Select::MergeRequest(iid, named) => {
                state.merge_request =
                    merge_request::find_by_iid::<DB>(&mut *connection, project, *iid).await?;
                state.users = user::summaries::<DB>(&mut *connection, named).await?;
            }
            Select::StaleEnvironments { before } => {
                state.environments = environment::stale::<DB>(&mut *connection, project, *before).await?;
                state.protections = protection::above::<DB>(&mut *connection, &view.project).await?;
            }
            Select::ReviewEnvironments { before, limit } => {
                state.environments =
                    environment::stopped_reviews::<DB>(&mut *connection, project, *before, *limit).await?;
                state.protections = protection::above::<DB>(&mut *connection, &view.project).await?;
            }
            Select::Protection(select) => {
                let container = Container::Project(project);
                let found = see_protection::<DB>(&mut *connection, container, Some(&view), select).await?;
                (state.protection, state.nameable) = (found.0, Some(found.1));
            }
        }
        let by_role_alone = matches!(self.select, Select::Protection(_) | Select::MergeRequest(..));
        if state.actor.is_none() && !by_role_alone {
            let viewer = self.viewer::<DB>(&mut *connection, &view).await?;
            let protections = &state.protections;
            let mut people =
                gate::people::<DB>(&mut *connection, &view.project, protections, &[], viewer).await?;
            state.actor = people.remove(&self.terms.actor);
        }
        let to_last_success = matches!(
            self.select,
            Select::NewDeployment { succeeded: true, .. } | Select::Deletion(_) | Select::Job(_)
        );
        if let Some(environment) = state.environment.as_ref().filter(|_| to_last_success) {
            state.last_success = deployment::last_success::<DB>(connection, environment.id).await?;
        }
        Ok((state, next_id))
    }

    /// The actor, as far as the project goes.
    async fn viewer<DB: Db>(
        &self,
        connection: &mut DB::Connection,
        view: &ProjectView,
    ) -> Result<Option<Person>> {
        let user = match &self.terms.premise {
            Some(premise) => Some(premise.user.clone()),
            None => user::find_by_key::<DB>(connection, &UserKey::Id(self.terms.actor)).await?,
        };
        Ok(user.map(|user| Person::of(user, view.standing)))
    }
}

/// The deployment in question at its gate, after the changes.
fn gate_after(
    state: ProjectState,
    changes: &[ProjectChange],
    deployment: Option<&Deployment>,
) -> Option<Gate> {
    let (deployment, view) = deployment.cloned().zip(state.view)?;
    let found = state.gate.filter(|gate| gate.deployment.id == deployment.id);
    let mut after = match found {
        Some(gate) => Gate { deployment, ..gate },
        None => Gate {
            deployment,
            project: view.project,
            protections: state.protections,
            approvals: Vec::new(),
            people: BTreeMap::new(),
        },
    };
    if let Some(actor) = state.actor {
        for change in changes {
            match change {
                ProjectChange::ApprovalSubmitted { after: draft, .. } => {
                    after = after.with(&actor.user, draft, state.now);
                }
                ProjectChange::ApprovalsCounted { rules, .. } => after.count(rules),
                _ => {}
            }
        }
        after.people.entry(actor.user.id).or_insert(actor);
    }
    Some(after)
}

/// The protection of a name, and who may be named in it.
pub async fn see_protection<DB: Db>(
    connection: &mut DB::Connection,
    container: Container,
    view: Option<&ProjectView>,
    select: &ProtectionSelect,
) -> Result<(Option<ProtectedEnvironment>, Nameable)> {
    let found = protection::find_by_name::<DB>(&mut *connection, container, &select.name).await?;
    let project = view.map(|view| &view.project);
    let named: BTreeSet<UserId> = select.users.iter().copied().collect();
    let groups = match container {
        Container::Project(_) => BTreeSet::new(),
        Container::Group(id) => BTreeSet::from([id]),
    };
    let people = if named.is_empty() {
        Vec::new()
    } else {
        let people = person::load::<DB>(&mut *connection, project, &groups, &named).await?;
        people.into_values().collect()
    };
    let nameable = Nameable {
        container,
        people,
        groups: protection::nameable_groups::<DB>(connection, container, &select.groups).await?,
    };
    Ok((found, nameable))
}

/// What a protection asks for and nobody can give. In a group's there is no project.
pub async fn unreachable<DB: Db>(
    connection: &mut DB::Connection,
    view: Option<&ProjectView>,
    protection: &ProtectedEnvironment,
) -> Result<Vec<gates::Unreachable>> {
    let project = view.map(|view| &view.project);
    let protections = std::slice::from_ref(protection);
    let mut everyone: Vec<Person> = Vec::new();
    loop {
        let missing = gates::unreachable(protections, project, &everyone);
        if missing.is_empty() {
            return Ok(missing);
        }
        let after = everyone.last().map_or(UserId(0), |person| person.user.id);
        let more = person::page::<DB>(&mut *connection, project, protections, after, CROWD).await?;
        if more.is_empty() {
            return Ok(missing);
        }
        everyone.extend(more);
    }
}
