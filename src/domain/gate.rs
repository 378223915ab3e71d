//! The gate: what holds a deployment, who may decide about it, and when it is let go (decisions 4 to 10).
//!
//! Everything is worked out from rules, votes and people as they are now. A vote counts if its voter could cast it now,
//! for one rule, and votes are matched to rules so that as many required approvals as possible are filled. So after any
//! change of any of these, [`Gate::settle`] alone tells whether a blocked deployment is free.

use std::collections::BTreeMap;

use super::{
    Time,
    access::{self, ProjectAction},
    approval::{Approval, ApprovalDraft, ApprovalStatus, SubmitApproval},
    deployment::{Deployment, DeploymentEvent, DeploymentStatus},
    directory::{Container, Project, User},
    environment::Environment,
    error::{Error, Obstacle, Reason},
    event::ProjectChange,
    id::{ApprovalRuleId, UserId},
    matching,
    person::Person,
    protection::{self, ApprovalRule, ProtectedEnvironment},
};

/// Something that a number of approvals is required for: a rule, or the unified setting.
#[derive(Debug, Clone, Copy)]
struct Slot<'a> {
    /// The rule and whose protection it is of; none: the unified setting.
    rule: Option<(&'a ApprovalRule, Container)>,
    required: i64,
}

impl<'a> Slot<'a> {
    /// What is required in an environment: by rules, or, where none of the protections has rules, by the greatest
    /// required approval count (decision 5).
    fn all(protections: &'a [ProtectedEnvironment]) -> Vec<Self> {
        let mut rules: Vec<_> = protections
            .iter()
            .flat_map(|protection| {
                protection.approval_rules.iter().map(|rule| Slot {
                    rule: Some((rule, protection.container)),
                    required: rule.required_approvals,
                })
            })
            .collect();
        rules.sort_by_key(Slot::id);
        if rules.is_empty() {
            let count = protections
                .iter()
                .map(|protection| protection.required_approval_count)
                .max();
            rules.extend(
                count
                    .filter(|&required| required > 0)
                    .map(|required| Slot { rule: None, required }),
            );
        }
        rules
    }

    fn id(&self) -> Option<ApprovalRuleId> {
        self.rule.map(|(rule, _)| rule.id)
    }

    /// Whether an approval of this person can count here. A rule takes who is in it and may read the project's
    /// deployments, the unified setting who may deploy.
    fn takes(self, person: &Person, project: Option<&Project>, protections: &[ProtectedEnvironment]) -> bool {
        let may = |action| {
            project.is_none_or(|project| access::by_role(&person.user, project, person.standing, action))
        };
        match self.rule {
            Some((rule, container)) => {
                rule.audience.includes(person, container) && may(ProjectAction::ReadDeployment)
            }
            None => {
                protections.iter().all(|protection| protection.admits(person))
                    && may(ProjectAction::UpdateDeployment)
            }
        }
    }

    /// Who can change what is asked for, for people.
    fn changed_by(&self) -> &'static str {
        match self.rule {
            Some((_, Container::Group(_))) => "Owners of the group",
            _ => "Maintainers",
        }
    }

    /// Who can give the approvals, for people.
    fn describe(&self) -> String {
        self.rule.map_or_else(
            || "those who may deploy".to_owned(),
            |(rule, _)| rule.audience.describe(),
        )
    }
}

/// Whether deployments have to be approved where these protections apply.
pub fn requires_approval(protections: &[ProtectedEnvironment]) -> bool {
    !Slot::all(protections).is_empty()
}

/// The rules that have a name in full; if there are none, those whose description contains it (decision 9).
fn named(slots: &[Slot<'_>], name: &str) -> Vec<usize> {
    let find = |fits: &dyn Fn(&ApprovalRule) -> bool| -> Vec<usize> {
        (0..slots.len())
            .filter(|&index| slots[index].rule.is_some_and(|(rule, _)| fits(rule)))
            .collect()
    };
    let exact = find(&|rule| rule.audience.names.iter().any(|known| known == name));
    if exact.is_empty() {
        find(&|rule| {
            let description = rule.audience.description.as_deref();
            description.is_some_and(|description| description.contains(name))
        })
    } else {
        exact
    }
}

/// An approval that nobody can give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// The rule; none: the unified setting.
    pub rule: Option<ApprovalRule>,
    /// How many would be missing if everyone approved.
    pub missing: i64,
}

/// What protections ask for and nobody can give, if `people` are all who could be asked. In a group's protection there
/// is no project yet.
pub fn unreachable<'a>(
    protections: &[ProtectedEnvironment],
    project: Option<&Project>,
    people: impl IntoIterator<Item = &'a Person>,
) -> Vec<Unreachable> {
    let slots = Slot::all(protections);
    let choices: Vec<Vec<usize>> = people
        .into_iter()
        .map(|person| {
            (0..slots.len())
                .filter(|&index| slots[index].takes(person, project, protections))
                .collect()
        })
        .collect();
    let missing = missing(&slots, &matching::assign(&required(&slots), &choices));
    slots
        .iter()
        .zip(missing)
        .filter(|(_, missing)| *missing > 0)
        .map(|(slot, missing)| Unreachable {
            rule: slot.rule.map(|(rule, _)| rule.clone()),
            missing,
        })
        .collect()
}

fn required(slots: &[Slot<'_>]) -> Vec<usize> {
    slots
        .iter()
        .map(|slot| usize::try_from(slot.required).unwrap_or(0))
        .collect()
}

/// How many approvals each slot lacks.
fn missing(slots: &[Slot<'_>], assigned: &[Option<usize>]) -> Vec<i64> {
    let mut missing: Vec<i64> = slots.iter().map(|slot| slot.required).collect();
    for &index in assigned.iter().flatten() {
        missing[index] -= 1;
    }
    missing
}

/// A deployment at its gate: the rules that apply, the votes, and the people they are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The deployment.
    pub deployment: Deployment,
    /// Its project.
    pub project: Project,
    /// The protections that apply to its environment.
    pub protections: Vec<ProtectedEnvironment>,
    /// The decisions, in the order in which they were first made.
    pub approvals: Vec<Approval>,
    /// Everyone who decided, and who asks.
    pub people: BTreeMap<UserId, Person>,
}

/// Which slot each decision is for, and what is missing.
struct Tally {
    /// For each decision the slot that it fills a place in; none do where the deployment is not blocked.
    counted: Vec<Option<usize>>,
    /// For each decision the slot that it counts for or, if it is not needed, stands under.
    shown: Vec<Option<usize>>,
    /// For each slot; nothing is missing where the deployment is not blocked.
    missing: Vec<i64>,
    /// For each slot, whether one more approval would leave less missing in all.
    wanted: Vec<bool>,
}

/// A rule with the decisions that count for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSummary {
    /// The rule.
    pub rule: ApprovalRule,
    /// The decisions.
    pub approvals: Vec<Approval>,
    /// How many approvals are missing.
    pub missing: i64,
}

/// What was decided about a deployment, and what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalState {
    /// How many approvals are missing in all.
    pub pending_approval_count: i64,
    /// All decisions, with the rule that each counts for.
    pub approvals: Vec<Approval>,
    /// The rules that apply, in order.
    pub rules: Vec<RuleSummary>,
    /// How many approvals the unified setting requires; 0 where rules apply.
    pub required_approval_count: i64,
}

/// What kind of thing keeps a deployment from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldKind {
    /// Approvals are missing that somebody can give.
    ApprovalsMissing,
    /// Approvals are missing that nobody can give.
    QuorumUnreachable,
    /// A protection does not admit the caller.
    NotAdmitted,
    /// The caller's role does not allow it.
    RoleMissing,
    /// The project is read-only.
    ProjectArchived,
    /// It is under way or over.
    NotStartable,
}

impl HoldKind {
    /// The word for it in refusals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApprovalsMissing => "APPROVALS_MISSING",
            Self::QuorumUnreachable => "QUORUM_UNREACHABLE",
            Self::NotAdmitted => "NOT_ADMITTED",
            Self::RoleMissing => "ROLE_MISSING",
            Self::ProjectArchived => "PROJECT_ARCHIVED",
            Self::NotStartable => "NOT_STARTABLE",
        }
    }
}

/// One thing that keeps a deployment from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What kind.
    pub kind: HoldKind,
    /// The rule that lacks approvals; none: the unified setting.
    pub rule: Option<ApprovalRule>,
    /// How many approvals are missing.
    pub missing: i64,
    /// The name of the protection that does not admit the caller.
    pub protection: Option<String>,
    /// Who can lift it, for people.
    pub lifted_by: Vec<String>,
    /// The same in a sentence.
    pub message: String,
}

impl Hold {
    fn new(kind: HoldKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            rule: None,
            missing: 0,
            protection: None,
            lifted_by: Vec::new(),
            message: message.into(),
        }
    }

    fn approvals(slot: Slot<'_>, missing: i64) -> Self {
        let who = slot.describe();
        let noun = if missing == 1 { "approval" } else { "approvals" };
        Self {
            rule: slot.rule.map(|(rule, _)| rule.clone()),
            missing,
            lifted_by: vec![who.clone()],
            ..Self::new(
                HoldKind::ApprovalsMissing,
                format!("{missing} more {noun} of {who} required"),
            )
        }
    }

    /// The same as what is in the way of a refused step.
    fn obstacle(&self) -> Obstacle {
        let rule = self
            .rule
            .as_ref()
            .map(|rule| format!("approval_rules/{}", rule.id));
        let protection = self
            .protection
            .as_ref()
            .map(|name| format!("protected_environments/{name}"));
        Obstacle {
            kind: self.kind.as_str(),
            subject: rule.or(protection).unwrap_or_default(),
            description: self.message.clone(),
        }
    }
}

/// What a caller may do about a deployment, each with the refusal that trying would get.
#[derive(Debug)]
pub struct Viewer {
    /// Approve it.
    pub approve: Result<(), Error>,
    /// Reject it.
    pub reject: Result<(), Error>,
    /// Start it.
    pub start: Result<(), Error>,
}

impl Gate {
    fn slots(&self) -> Vec<Slot<'_>> {
        Slot::all(&self.protections)
    }

    /// Whether the deployment waits for approvals. One that is blocked because its job waits for a start does not.
    fn is_held(&self) -> bool {
        self.deployment.is_held()
    }

    /// Whether somebody approves what they deploy themself, and must not (decision 8).
    fn is_own(&self, user: UserId) -> bool {
        let creator = self.deployment.user.as_ref().map(|creator| creator.id);
        creator == Some(user) && !self.project.allow_self_approval
    }

    /// The slots that a person's decision can be for.
    fn open_to(&self, slots: &[Slot<'_>], person: &Person) -> Vec<usize> {
        (0..slots.len())
            .filter(|&index| slots[index].takes(person, Some(&self.project), &self.protections))
            .collect()
    }

    /// The slots that a decision can be for: those open to its voter, within those it is pinned to.
    fn places(&self, slots: &[Slot<'_>], approval: &Approval) -> Vec<usize> {
        let Some(person) = self.people.get(&approval.user.id) else {
            return Vec::new();
        };
        if approval.status == ApprovalStatus::Approved && self.is_own(approval.user.id) {
            return Vec::new();
        }
        let mut places = self.open_to(slots, person);
        if !approval.represented_as.is_empty() {
            let pinned = |index: &usize| slots[*index].id().is_some_and(|id| approval.pinned.contains(&id));
            let mut kept: Vec<usize> = (0..slots.len()).filter(pinned).collect();
            if kept.is_empty() {
                // The rules it was for are gone; others may have the name.
                kept = named(slots, &approval.represented_as);
            }
            places.retain(|place| kept.contains(place));
        }
        places
    }

    /// Whether an approval has nothing left that it could count for.
    fn is_stranded(&self, approval: &Approval) -> bool {
        self.is_held() && self.places(&self.slots(), approval).is_empty()
    }

    fn tally(&self, slots: &[Slot<'_>]) -> Tally {
        if !self.is_held() {
            let at = |id: ApprovalRuleId| slots.iter().position(|slot| slot.id() == Some(id));
            return Tally {
                counted: vec![None; self.approvals.len()],
                shown: self
                    .approvals
                    .iter()
                    .map(|approval| approval.rule_id.and_then(at))
                    .collect(),
                missing: vec![0; slots.len()],
                wanted: vec![false; slots.len()],
            };
        }
        let places: Vec<_> = self
            .approvals
            .iter()
            .map(|approval| self.places(slots, approval))
            .collect();
        let choices: Vec<_> = self
            .approvals
            .iter()
            .zip(&places)
            .map(|(approval, places)| match approval.status {
                ApprovalStatus::Approved => places.clone(),
                ApprovalStatus::Rejected => Vec::new(),
            })
            .collect();
        let counted = matching::assign(&required(slots), &choices);
        Tally {
            missing: missing(slots, &counted),
            wanted: matching::wanted(&required(slots), &choices, &counted),
            shown: counted
                .iter()
                .zip(places)
                .map(|(slot, places)| slot.or(places.first().copied()))
                .collect(),
            counted,
        }
    }

    /// What was decided, and what is missing.
    pub fn approval_state(&self) -> ApprovalState {
        let slots = self.slots();
        let tally = self.tally(&slots);
        let approvals: Vec<Approval> = self
            .approvals
            .iter()
            .zip(&tally.shown)
            .map(|(approval, shown)| Approval {
                rule_id: shown.and_then(|index| slots[index].id()),
                ..approval.clone()
            })
            .collect();
        let summary = |(index, slot): (usize, &Slot<'_>)| {
            let (rule, _) = slot.rule?;
            let of_rule = |approval: &&Approval| approval.rule_id == Some(rule.id);
            Some(RuleSummary {
                rule: rule.clone(),
                approvals: approvals.iter().filter(of_rule).cloned().collect(),
                missing: tally.missing[index],
            })
        };
        ApprovalState {
            pending_approval_count: tally.missing.iter().sum(),
            rules: slots.iter().enumerate().filter_map(summary).collect(),
            required_approval_count: slots
                .iter()
                .filter(|slot| slot.rule.is_none())
                .map(|slot| slot.required)
                .sum(),
            approvals,
        }
    }

    /// Lets the deployment go if it is blocked and nothing is missing any more; changes nothing otherwise.
    pub fn settle(&self, now: Time) -> Result<Vec<ProjectChange>, Error> {
        let slots = self.slots();
        if !self.is_held() || self.tally(&slots).missing.iter().any(|&missing| missing > 0) {
            return Ok(Vec::new());
        }
        Ok(vec![self.deployment.release(now)?, self.counted(&slots)])
    }

    /// Writes down which rule each decision counted for, as the deployment leaves the gate.
    fn counted(&self, slots: &[Slot<'_>]) -> ProjectChange {
        let shown = self.tally(slots).shown;
        ProjectChange::ApprovalsCounted {
            deployment: self.deployment.id,
            rules: self
                .approvals
                .iter()
                .zip(shown)
                .map(|(approval, shown)| (approval.user.id, shown.and_then(|index| slots[index].id())))
                .collect(),
        }
    }

    /// Decides what moving the deployment to `status` changes; `environment` is the deployment's. The refusal of a start
    /// tells what holds it.
    pub fn move_to(
        &self,
        status: DeploymentStatus,
        environment: &Environment,
        viewer: &User,
        now: Time,
    ) -> Result<Vec<ProjectChange>, Error> {
        let moved = self.deployment.move_to(status, environment, now);
        let mut changes = moved.map_err(|error| self.explained(error, viewer))?;
        if self.is_held() {
            changes.push(self.counted(&self.slots()));
        }
        Ok(changes)
    }

    /// Decides what a decision changes (decisions 8 and 9).
    pub fn submit(
        &self,
        user: &User,
        command: &SubmitApproval,
        now: Time,
    ) -> Result<Vec<ProjectChange>, Error> {
        let existing = self.approvals.iter().find(|approval| approval.user.id == user.id);
        let repeated = existing.filter(|existing| command.repeats(existing));
        let decidable = self.decidable(user, command);
        // A decision whose rule is gone, or is no longer its voter's, can be made anew for another.
        if repeated.is_some_and(|existing| decidable.is_err() || !self.is_stranded(existing)) {
            return Ok(Vec::new());
        }
        let pinned = decidable?;
        command.check()?;
        let moved = existing.filter(|existing| existing.status == command.status);
        let draft = ApprovalDraft {
            deployment_id: self.deployment.id,
            user_id: user.id,
            status: command.status,
            comment: command
                .comment
                .clone()
                .or_else(|| moved.and_then(|existing| existing.comment.clone())),
            represented_as: command.represented_as.clone(),
            pinned,
        };
        let after = self.with(user, &draft, now);
        let mut changes = vec![ProjectChange::ApprovalSubmitted {
            before: existing.map(|existing| existing.status),
            after: draft,
            pending_approval_count: match command.status {
                ApprovalStatus::Approved => after.approval_state().pending_approval_count,
                ApprovalStatus::Rejected => 0,
            },
        }];
        match command.status {
            ApprovalStatus::Approved => changes.extend(after.settle(now)?),
            ApprovalStatus::Rejected => {
                changes.push(self.deployment.reject(now)?);
                changes.push(after.counted(&after.slots()));
            }
        }
        Ok(changes)
    }

    /// Refuses a decision that may not be made, in the order of contract 1.7. Answers the rules that it is pinned to.
    fn decidable(&self, user: &User, command: &SubmitApproval) -> Result<Vec<ApprovalRuleId>, Error> {
        if self.protections.is_empty() {
            return Err(Error::new(
                Reason::EnvironmentNotProtected,
                "this environment is not protected",
            ));
        }
        if command.status == ApprovalStatus::Approved && self.is_own(user.id) {
            return Err(Error::new(
                Reason::SelfApproval,
                "you cannot approve your own deployment",
            ));
        }
        let slots = self.slots();
        if slots.is_empty() {
            return Err(Error::new(
                Reason::ApprovalsNotConfigured,
                "this environment asks for no approvals",
            ));
        }
        if !self.is_held() {
            return Err(Error::new(
                Reason::NotWaitingForApprovals,
                format!(
                    "deployment {} is {} and not waiting for approvals",
                    self.deployment.id,
                    self.deployment.status.as_str()
                ),
            )
            .with("status", self.deployment.status.as_str()));
        }
        let open = self
            .people
            .get(&user.id)
            .map(|person| self.open_to(&slots, person))
            .unwrap_or_default();
        if open.is_empty() {
            return Err(Error::new(
                Reason::ApprovalNotPermitted,
                "you are not among those who may decide about this deployment",
            ));
        }
        if command.represented_as.is_empty() {
            return Ok(Vec::new());
        }
        let named = named(&slots, &command.represented_as);
        if !named.iter().any(|index| open.contains(index)) {
            return Err(Error::new(
                Reason::NoRuleRepresented,
                format!("no rule that you are in is named {:?}", command.represented_as),
            ));
        }
        Ok(named.into_iter().filter_map(|index| slots[index].id()).collect())
    }

    /// The gate with one more decision, or another one of the same person, which takes the place of the first.
    #[must_use]
    pub fn with(&self, user: &User, draft: &ApprovalDraft, now: Time) -> Self {
        let mut after = self.clone();
        let at = after
            .approvals
            .iter()
            .position(|approval| approval.user.id == user.id);
        let first = at.map(|at| &after.approvals[at]);
        let approval = Approval {
            deployment_id: draft.deployment_id,
            user: user.summary(),
            status: draft.status,
            comment: draft.comment.clone(),
            represented_as: draft.represented_as.clone(),
            pinned: draft.pinned.clone(),
            rule_id: first.and_then(|first| first.rule_id),
            created_at: first.map_or(now, |first| first.created_at),
            updated_at: now,
        };
        match at {
            Some(at) => after.approvals[at] = approval,
            None => after.approvals.push(approval),
        }
        after
    }

    /// Notes the rules that decisions counted for.
    pub fn count(&mut self, rules: &[(UserId, Option<ApprovalRuleId>)]) {
        for approval in &mut self.approvals {
            let counted = rules.iter().find(|(user, _)| *user == approval.user.id);
            if let Some((_, rule)) = counted {
                approval.rule_id = *rule;
            }
        }
    }

    /// The rules by which somebody's approval would bring the deployment nearer to its release; nothing if there are
    /// none, or if they have approved. With the unified setting the list is empty.
    pub fn could_approve(&self, person: &Person) -> Option<Vec<ApprovalRuleId>> {
        let decided = self
            .approvals
            .iter()
            .any(|approval| approval.user.id == person.user.id && !self.is_stranded(approval));
        if !self.is_held() || decided || self.is_own(person.user.id) {
            return None;
        }
        let slots = self.slots();
        let wanted = self.tally(&slots).wanted;
        let mut open = self.open_to(&slots, person);
        open.retain(|&index| wanted[index]);
        (!open.is_empty()).then(|| open.into_iter().filter_map(|index| slots[index].id()).collect())
    }

    /// What `viewer` may do.
    pub fn viewer(&self, viewer: &User) -> Viewer {
        let decide = |status| {
            let person = self
                .people
                .get(&viewer.id)
                .ok_or_else(access::project_not_found)?;
            let action = ProjectAction::ApproveDeployment;
            access::standing_in(viewer, &self.project, person.standing, action)?;
            let command = SubmitApproval {
                status,
                comment: None,
                represented_as: String::new(),
            };
            self.decidable(viewer, &command).map(drop)
        };
        Viewer {
            approve: decide(ApprovalStatus::Approved),
            reject: decide(ApprovalStatus::Rejected),
            start: self.permitted(viewer).and_then(|()| self.startable(viewer)),
        }
    }

    fn startable(&self, viewer: &User) -> Result<(), Error> {
        self.deployment.driven_by_hand()?;
        let start = self
            .deployment
            .on(DeploymentEvent::Run, self.deployment.updated_at);
        start.map(drop).map_err(|error| self.explained(error, viewer))
    }

    /// A refused step, with what holds a blocked deployment.
    fn explained(&self, error: Error, viewer: &User) -> Error {
        if self.is_held() {
            error.because_of(self.holds(viewer).iter().map(Hold::obstacle))
        } else {
            error
        }
    }

    /// Refuses to let somebody move the deployment who may not.
    pub fn permitted(&self, viewer: &User) -> Result<(), Error> {
        let person = self
            .people
            .get(&viewer.id)
            .ok_or_else(access::project_not_found)?;
        let action = ProjectAction::UpdateDeployment;
        access::standing_in(viewer, &self.project, person.standing, action)?;
        let name = &self.deployment.environment.name;
        protection::admitted(&self.protections, person, action.as_str(), name)
    }

    /// Everything that keeps the deployment from being started by `viewer`.
    pub fn holds(&self, viewer: &User) -> Vec<Hold> {
        let slots = self.slots();
        let tally = self.tally(&slots);
        let lacking = slots
            .iter()
            .zip(tally.missing)
            .filter(|(_, missing)| *missing > 0);
        let mut holds: Vec<Hold> = lacking
            .map(|(&slot, missing)| Hold::approvals(slot, missing))
            .collect();
        let status = self.deployment.status;
        // What is blocked and not held is started by its job.
        let startable = matches!(status, DeploymentStatus::Created | DeploymentStatus::Blocked);
        if !startable {
            let text = format!("deployment {} is {}", self.deployment.id, status.as_str());
            holds.push(Hold::new(HoldKind::NotStartable, text));
        }
        let Some(person) = self.people.get(&viewer.id) else {
            return holds;
        };
        let action = ProjectAction::UpdateDeployment;
        if !access::by_role(viewer, &self.project, person.standing, action) {
            holds.push(Hold {
                lifted_by: vec!["Developers + Maintainers".to_owned()],
                ..Hold::new(
                    HoldKind::RoleMissing,
                    "it takes a Developer of the project to start it",
                )
            });
        }
        if self.project.archived {
            holds.push(Hold {
                lifted_by: vec!["Owners".to_owned()],
                ..Hold::new(
                    HoldKind::ProjectArchived,
                    "the project is archived, hence read-only",
                )
            });
        }
        for protection in self
            .protections
            .iter()
            .filter(|protection| !protection.admits(person))
        {
            let levels = protection.deploy_access_levels.iter();
            holds.push(Hold {
                protection: Some(protection.name.clone()),
                lifted_by: levels.map(|level| level.audience.describe()).collect(),
                ..Hold::new(
                    HoldKind::NotAdmitted,
                    format!("the protection of {} does not admit you", protection.name),
                )
            });
        }
        holds
    }

    /// The same, telling what is missing and can be given by nobody, if `people` are all who could be asked.
    pub fn explain<'a>(&'a self, viewer: &User, people: impl IntoIterator<Item = &'a Person>) -> Vec<Hold> {
        let slots = self.slots();
        let beyond = self.beyond_everyone(&slots, people);
        let mut holds = self.holds(viewer);
        for hold in &mut holds {
            let lost = slots
                .iter()
                .zip(&beyond)
                .find(|(slot, _)| slot.id() == hold.rule.as_ref().map(|rule| rule.id));
            if let Some((slot, missing @ 1..)) = lost
                && hold.kind == HoldKind::ApprovalsMissing
            {
                hold.kind = HoldKind::QuorumUnreachable;
                hold.lifted_by = vec![slot.changed_by().to_owned()];
                hold.message = format!("{}, and nobody can give {missing} of them", hold.message);
            }
        }
        holds
    }

    /// What each slot would lack if everyone approved. The votes that there are keep filling what they fill: so what
    /// nobody can give is told of what is missing now.
    fn beyond_everyone<'a>(
        &'a self,
        slots: &[Slot<'_>],
        people: impl IntoIterator<Item = &'a Person>,
    ) -> Vec<i64> {
        let tally = self.tally(slots);
        let voters = self.approvals.iter().zip(tally.counted);
        let counted: BTreeMap<UserId, Option<usize>> =
            voters.map(|(approval, slot)| (approval.user.id, slot)).collect();
        let people: BTreeMap<UserId, &Person> = self
            .people
            .values()
            .chain(people)
            .filter(|person| !self.is_own(person.user.id))
            .map(|person| (person.user.id, person))
            .collect();
        let choices: Vec<_> = people
            .values()
            .map(|person| self.open_to(slots, person))
            .collect();
        let present = people
            .keys()
            .map(|id| counted.get(id).copied().flatten())
            .collect();
        missing(slots, &matching::complete(&required(slots), &choices, present))
    }
}

mod report;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
