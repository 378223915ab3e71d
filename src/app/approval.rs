//! Deciding about deployments, and telling who can.

use super::{App, Mutation, deployment::not_found, memory::Presumed};
use crate::{
    domain::{
        access::{self, Caller, ProjectAction},
        approval::SubmitApproval,
        directory::{User, UserSummary},
        error::Error,
        gate::{Gate, Hold, HoldKind},
        guard::Guard,
        id::{ApprovalRuleId, DeploymentId, ProjectKey, UserId},
        page::{Page, PageRequest},
        person::Person,
    },
    store::{Done, ProjectAnswer, ProjectState, Select},
};

/// How many people are read at a time.
const CROWD: i64 = 500;
/// How many of those who can lift a hold are told with it.
const APPROVERS_TOLD: usize = 20;

/// Somebody who could approve, and the rules that their approval could count for; none: the unified setting.
#[derive(Debug, Clone)]
pub struct EligibleApprover {
    /// Who.
    pub user: UserSummary,
    /// The rules.
    pub rules: Vec<ApprovalRuleId>,
}

/// A blocked deployment that waits for somebody's decision.
#[derive(Debug, Clone)]
pub struct PendingDecision {
    /// The deployment at its gate.
    pub gate: Gate,
    /// The rules that their approval could count for; none: the unified setting.
    pub rules: Vec<ApprovalRuleId>,
}

/// Something that holds a deployment, and some of those who can give the approvals that are missing.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// What holds it.
    pub hold: Hold,
    /// The first of them.
    pub approvers: Vec<UserSummary>,
}

/// The rules that a user's approval of a deployment could count for, if they may give one.
fn decidable(gate: &Gate, user: &User) -> Option<Vec<ApprovalRuleId>> {
    let person = gate.people.get(&user.id)?;
    let action = ProjectAction::ApproveDeployment;
    access::standing_in(user, &gate.project, person.standing, action).ok()?;
    gate.could_approve(person)
}

impl App {
    /// Approves or rejects a deployment.
    pub async fn approval_submit(
        &self,
        caller: &Presumed,
        project: ProjectKey,
        id: DeploymentId,
        command: SubmitApproval,
        guard: Guard,
        mutation: Mutation<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, Error> {
        let decide = move |by: &Caller, state: &ProjectState| {
            access::project(by, state.view.as_ref(), ProjectAction::ApproveDeployment)?;
            let gate = state.gate.as_ref().ok_or_else(|| not_found(id))?;
            guard.check_etag(&gate.deployment.etag())?;
            gate.submit(&by.user, &command, state.now)
        };
        self.change_project(caller, project, Select::Gate(id), mutation, decide)
            .await
    }

    /// A page of those who could still approve a deployment, by user id.
    pub async fn approver_list(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        id: DeploymentId,
        page: &PageRequest<UserId>,
    ) -> Result<Page<EligibleApprover, UserId>, Error> {
        let view = self
            .project_for(caller, project, ProjectAction::ReadApprovers)
            .await?;
        let project = &ProjectKey::Id(view.project.id);
        let gate = self.gate_for(caller, project, id).await?;
        let wanted = usize::try_from(page.size).unwrap_or(usize::MAX).saturating_add(1);
        let mut after = page.after.unwrap_or(UserId(0));
        let mut found: Vec<EligibleApprover> = Vec::new();
        while found.len() < wanted {
            let crowd = self.crowd(&gate, after).await?;
            let Some(last) = crowd.last() else { break };
            after = last.user.id;
            found.extend(crowd.iter().filter_map(|person| {
                Some(EligibleApprover {
                    rules: gate.could_approve(person)?,
                    user: person.user.summary(),
                })
            }));
        }
        Ok(Page::cut(found, page.size, None, |approver| approver.user.id))
    }

    /// A page of the blocked deployments that the caller could approve and has not decided about, by id.
    pub async fn pending_decision_list(
        &self,
        caller: &Caller,
        page: &PageRequest<DeploymentId>,
    ) -> Result<Page<PendingDecision, DeploymentId>, Error> {
        let after = page.after.unwrap_or(DeploymentId(0));
        let user = caller.user.clone();
        let wanted = move |gate: &Gate| decidable(gate, &user).is_some();
        let found = self
            .store
            .gate_list_blocked(&caller.user, after, page.size, &wanted)
            .await?;
        let decision = |gate: Gate| PendingDecision {
            rules: decidable(&gate, &caller.user).unwrap_or_default(),
            gate,
        };
        Ok(Page {
            items: found.items.into_iter().map(decision).collect(),
            next: found.next,
            total: None,
        })
    }

    /// Everything that keeps a deployment from being started by the caller, and who can lift it.
    pub async fn deployment_explain(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        id: DeploymentId,
    ) -> Result<Vec<Explanation>, Error> {
        let gate = self.gate_for(caller, project, id).await?;
        let mut everyone: Vec<Person> = Vec::new();
        if !gate.holds(&caller.user).is_empty() {
            let mut after = UserId(0);
            loop {
                let crowd = self.crowd(&gate, after).await?;
                let Some(last) = crowd.last() else { break };
                after = last.user.id;
                everyone.extend(crowd);
            }
        }
        let standing = gate
            .people
            .get(&caller.id())
            .map(|person| person.standing)
            .unwrap_or_default();
        let action = ProjectAction::ReadApprovers;
        let named = access::by_role(&caller.user, &gate.project, standing, action);
        let explained = gate.explain(&caller.user, &everyone).into_iter().map(|hold| {
            let lifts = |person: &&Person| {
                let rules = gate.could_approve(person);
                rules.is_some_and(|rules| hold.rule.as_ref().is_none_or(|rule| rules.contains(&rule.id)))
            };
            let missing = matches!(
                hold.kind,
                HoldKind::ApprovalsMissing | HoldKind::QuorumUnreachable
            );
            let told = if missing && named { APPROVERS_TOLD } else { 0 };
            let approvers = everyone.iter().filter(lifts).take(told);
            Explanation {
                approvers: approvers.map(|person| person.user.summary()).collect(),
                hold,
            }
        });
        Ok(explained.collect())
    }

    async fn crowd(&self, gate: &Gate, after: UserId) -> Result<Vec<Person>, Error> {
        let project = Some(&gate.project);
        Ok(self
            .store
            .person_list(project, &gate.protections, after, CROWD)
            .await?)
    }
}
