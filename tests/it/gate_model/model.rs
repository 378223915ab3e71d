//! The reference: who there is, what is protected, what was decided, as plain data, and what follows from it by the words
//! of the product's decisions 4 to 10. It shares nothing with the program.

use std::collections::{BTreeMap, BTreeSet};

pub const USERS: [&str; 7] = ["root", "u1", "u2", "u3", "u4", "u5", "u6"];
/// Full paths; a group's parent comes before it.
pub const GROUPS: [&str; 5] = ["acme", "acme/team", "ops", "ops/sec", "qa"];
pub const PROJECTS: [&str; 2] = ["acme/web", "acme/team/api"];
const GROUP_OF_PROJECT: [usize; 2] = [0, 1];
/// Whether everyone signed in may read the project.
const OPEN: [bool; 2] = [false, true];

const GUEST: i32 = 10;
const REPORTER: i32 = 20;
const DEVELOPER: i32 = 30;
const MAINTAINER: i32 = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Project(usize),
    Group(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    User(usize),
    Group(usize),
    Role(i32),
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub id: i64,
    pub subject: Subject,
    pub inherited: bool,
    pub required: i64,
}

#[derive(Debug, Clone)]
pub struct Protection {
    pub levels: Vec<Entry>,
    pub rules: Vec<Entry>,
    pub count: i64,
}

#[derive(Debug, Clone)]
pub struct User {
    pub name: String,
    pub admin: bool,
    pub blocked: bool,
    pub there: bool,
}

#[derive(Debug, Clone)]
pub struct Group {
    pub name: String,
    pub there: bool,
}

#[derive(Debug, Clone)]
pub struct Vote {
    pub approves: bool,
    name: String,
    pinned: Vec<i64>,
}

#[derive(Debug, Clone)]
pub struct Deployment {
    pub id: i64,
    pub project: usize,
    pub environment: &'static str,
    pub status: &'static str,
    pub bypassed: bool,
    pub rejected: bool,
    held: bool,
    creator: Option<usize>,
    pub votes: BTreeMap<usize, Vote>,
}

/// A number of approvals that is required: of whom, and in which protection; none: of whoever may deploy.
struct Demand {
    rule: Option<(Place, Entry)>,
    required: i64,
}

pub type Refusal = &'static str;

#[derive(Debug, Clone)]
pub struct Model {
    pub users: Vec<User>,
    pub groups: Vec<Group>,
    pub members: BTreeMap<(Place, usize), i32>,
    /// What is shared, with which group, how far.
    pub shares: BTreeMap<(Place, usize), i32>,
    pub self_approval: [bool; 2],
    pub tiers: BTreeMap<(usize, &'static str), &'static str>,
    pub protections: BTreeMap<(Place, &'static str), Protection>,
    pub deployments: Vec<Deployment>,
}

impl Model {
    pub fn new() -> Self {
        let user = |&name: &&str| User {
            name: name.to_owned(),
            admin: name == "root",
            blocked: false,
            there: true,
        };
        let group = |path: &&str| Group {
            name: path.rsplit('/').next().unwrap().to_owned(),
            there: true,
        };
        Self {
            users: USERS.iter().map(user).collect(),
            groups: GROUPS.iter().map(group).collect(),
            members: BTreeMap::new(),
            shares: BTreeMap::new(),
            self_approval: [false; 2],
            tiers: BTreeMap::new(),
            protections: BTreeMap::new(),
            deployments: Vec::new(),
        }
    }

    /// The group and those above it.
    pub fn chain(group: usize) -> Vec<usize> {
        let above = |&other: &usize| GROUPS[group].starts_with(&format!("{}/", GROUPS[other]));
        let mut chain: Vec<usize> = (0..GROUPS.len()).filter(above).collect();
        chain.push(group);
        chain
    }

    /// The level by membership in the group or above it.
    fn member(&self, group: usize, user: usize) -> i32 {
        let levels = Self::chain(group)
            .into_iter()
            .filter_map(|group| self.members.get(&(Place::Group(group), user)));
        levels.copied().max().unwrap_or(0)
    }

    fn by_shares(&self, place: Place, user: usize) -> i32 {
        let of_place = self.shares.iter().filter(|((shared, _), _)| *shared == place);
        of_place
            .map(|((_, group), level)| self.member(*group, user).min(*level))
            .max()
            .unwrap_or(0)
    }

    /// The highest level by any way.
    pub fn level(&self, place: Place, user: usize) -> i32 {
        match place {
            Place::Group(group) => {
                let shares = Self::chain(group)
                    .into_iter()
                    .map(|group| self.by_shares(Place::Group(group), user));
                self.member(group, user).max(shares.max().unwrap_or(0))
            }
            Place::Project(project) => {
                let direct = self.members.get(&(place, user)).copied().unwrap_or(0);
                let group = self.level(Place::Group(GROUP_OF_PROJECT[project]), user);
                direct.max(group).max(self.by_shares(place, user))
            }
        }
    }

    /// Whether an entry of that place may name somebody.
    pub fn qualifies(&self, place: Place, subject: Subject) -> bool {
        match (place, subject) {
            (_, Subject::Role(_)) => true,
            (Place::Project(_), Subject::User(user)) => self.level(place, user) >= DEVELOPER,
            (Place::Group(group), Subject::User(user)) => self.member(group, user) >= MAINTAINER,
            (Place::Project(_), Subject::Group(group)) => self.shares.contains_key(&(place, group)),
            (Place::Group(own), Subject::Group(group)) => {
                Self::chain(group).contains(&own) || self.shares.contains_key(&(place, group))
            }
        }
    }

    fn meant(&self, user: usize, entry: &Entry, place: Place) -> bool {
        if self.users[user].blocked || !self.users[user].there {
            return false;
        }
        if self.users[user].admin {
            return true;
        }
        match entry.subject {
            Subject::User(named) => named == user,
            Subject::Group(group) if entry.inherited => self.member(group, user) >= GUEST,
            Subject::Group(group) => self.members.contains_key(&(Place::Group(group), user)),
            Subject::Role(60) => false,
            Subject::Role(level) => self.level(place, user) >= level,
        }
    }

    fn applying(&self, project: usize, environment: &str) -> Vec<(Place, &Protection)> {
        let tier = self.tiers.get(&(project, environment)).copied();
        let tier = tier.unwrap_or_else(|| guess(environment));
        let chain = Self::chain(GROUP_OF_PROJECT[project]);
        let applies = |place: Place, name: &str| match place {
            Place::Project(own) => own == project && name == environment,
            Place::Group(group) => chain.contains(&group) && name == tier,
        };
        let all = self.protections.iter();
        all.filter(|((place, name), _)| applies(*place, name))
            .map(|((place, _), protection)| (*place, protection))
            .collect()
    }

    fn admitted(&self, user: usize, project: usize, environment: &str) -> bool {
        let all = self.applying(project, environment);
        all.into_iter().all(|(place, protection)| {
            let any = protection
                .levels
                .iter()
                .any(|level| self.meant(user, level, place));
            any || (self.users[user].admin && !self.users[user].blocked)
        })
    }

    fn demands(&self, project: usize, environment: &str) -> Vec<Demand> {
        let applying = self.applying(project, environment);
        let rules = applying
            .iter()
            .flat_map(|(place, protection)| protection.rules.iter().map(|rule| (*place, rule.clone())));
        let mut demands: Vec<Demand> = rules
            .map(|rule| Demand {
                required: rule.1.required,
                rule: Some(rule),
            })
            .collect();
        demands.sort_by_key(|demand| demand.rule.as_ref().map(|(_, rule)| rule.id));
        let count = applying.iter().map(|(_, protection)| protection.count).max();
        if demands.is_empty() && count > Some(0) {
            demands.push(Demand {
                rule: None,
                required: count.unwrap(),
            });
        }
        demands
    }

    /// Whether a role, or that the project is open, allows something.
    fn may(&self, user: usize, project: usize, level: i32, open_to_all: bool) -> bool {
        let own = self.level(Place::Project(project), user);
        self.users[user].admin || own >= level || (open_to_all && OPEN[project])
    }

    fn refused(&self, user: usize, project: usize, level: i32, open_to_all: bool) -> Result<(), Refusal> {
        if self.users[user].blocked {
            return Err("USER_BLOCKED");
        }
        if !self.may(user, project, GUEST, true) {
            return Err("PROJECT_NOT_FOUND");
        }
        if !self.may(user, project, level, open_to_all) {
            return Err("PERMISSION_DENIED");
        }
        Ok(())
    }

    /// The demands that an approval of somebody can be for, their own deployment aside.
    fn open_to(&self, user: usize, deployment: &Deployment, demands: &[Demand]) -> Vec<usize> {
        let project = deployment.project;
        let takes = |demand: &Demand| match &demand.rule {
            Some((place, rule)) => self.meant(user, rule, *place) && self.may(user, project, REPORTER, true),
            None => {
                self.users[user].there
                    && !self.users[user].blocked
                    && self.admitted(user, project, deployment.environment)
                    && self.may(user, project, DEVELOPER, false)
            }
        };
        (0..demands.len())
            .filter(|&index| takes(&demands[index]))
            .collect()
    }

    fn is_own(&self, user: usize, deployment: &Deployment) -> bool {
        deployment.creator == Some(user) && !self.self_approval[deployment.project]
    }

    /// What a subject is called in full, the first of which is shown.
    fn names(&self, subject: Subject) -> Vec<String> {
        match subject {
            Subject::User(user) => vec![self.users[user].name.clone(), USERS[user].to_owned()],
            Subject::Group(group) => {
                let path = GROUPS[group].rsplit('/').next().unwrap();
                vec![
                    self.groups[group].name.clone(),
                    path.to_owned(),
                    GROUPS[group].to_owned(),
                ]
            }
            Subject::Role(30) => vec!["Developers + Maintainers".to_owned()],
            Subject::Role(40) => vec!["Maintainers".to_owned()],
            Subject::Role(_) => Vec::new(),
        }
    }

    fn called(&self, name: &str, demands: &[Demand]) -> Vec<usize> {
        let called = |fits: &dyn Fn(&[String]) -> bool| -> Vec<usize> {
            let with_rule = (0..demands.len()).filter(|&index| {
                let rule = demands[index].rule.as_ref();
                rule.is_some_and(|(_, rule)| fits(&self.names(rule.subject)))
            });
            with_rule.collect()
        };
        let full = called(&|names| names.iter().any(|known| known == name));
        if full.is_empty() {
            called(&|names| names.first().is_some_and(|shown| shown.contains(name)))
        } else {
            full
        }
    }

    /// The demands that a vote can count for as things are.
    fn places(&self, user: usize, vote: &Vote, deployment: &Deployment, demands: &[Demand]) -> Vec<usize> {
        if !vote.approves || self.is_own(user, deployment) {
            return Vec::new();
        }
        let mut places = self.open_to(user, deployment, demands);
        if !vote.name.is_empty() {
            let id = |index: usize| demands[index].rule.as_ref().map(|(_, rule)| rule.id);
            let mut pinned: Vec<usize> = (0..demands.len())
                .filter(|&index| id(index).is_some_and(|id| vote.pinned.contains(&id)))
                .collect();
            if pinned.is_empty() {
                pinned = self.called(&vote.name, demands);
            }
            places.retain(|place| pinned.contains(place));
        }
        places
    }

    /// The least that is missing, whatever vote counts for whatever it can: by Hall's theorem the most that any set of
    /// demands lacks if every vote that fits one of them were for them.
    fn least(demands: &[Demand], votes: &[Vec<usize>]) -> i64 {
        let lacking = |set: u32| {
            let within = |index: &usize| set & (1 << index) != 0;
            let required: i64 = (0..demands.len())
                .filter(within)
                .map(|index| demands[index].required)
                .sum();
            let fitting = votes.iter().filter(|places| places.iter().any(within)).count();
            required - i64::try_from(fitting).unwrap()
        };
        (0..1 << demands.len()).map(lacking).max().unwrap_or(0)
    }

    fn missing_with(&self, deployment: &Deployment, more: Vec<Vec<usize>>) -> i64 {
        let demands = self.demands(deployment.project, deployment.environment);
        let votes = deployment.votes.iter();
        let mut votes: Vec<_> = votes
            .map(|(&user, vote)| self.places(user, vote, deployment, &demands))
            .collect();
        votes.extend(more);
        Self::least(&demands, &votes)
    }

    /// How many approvals are missing.
    pub fn pending(&self, deployment: &Deployment) -> i64 {
        if deployment.status == "blocked" {
            self.missing_with(deployment, Vec::new())
        } else {
            0
        }
    }

    /// Who could bring a blocked deployment nearer to its release.
    pub fn asked(&self, deployment: &Deployment) -> BTreeSet<usize> {
        let demands = self.demands(deployment.project, deployment.environment);
        let pending = self.pending(deployment);
        let decided = |user: usize| {
            let vote = deployment.votes.get(&user);
            vote.is_some_and(|vote| !self.places(user, vote, deployment, &demands).is_empty())
        };
        let helps = |user: usize| {
            let open = self.open_to(user, deployment, &demands);
            self.missing_with(deployment, vec![open]) < pending
        };
        (0..USERS.len())
            .filter(|&user| !self.is_own(user, deployment) && !decided(user) && helps(user))
            .collect()
    }

    /// How many approvals would be missing if everyone approved who may.
    pub fn beyond_everyone(&self, deployment: &Deployment) -> i64 {
        let demands = self.demands(deployment.project, deployment.environment);
        let everyone = (0..USERS.len()).filter(|&user| !self.is_own(user, deployment));
        let votes: Vec<_> = everyone
            .map(|user| self.open_to(user, deployment, &demands))
            .collect();
        Self::least(&demands, &votes)
    }

    /// The blocked deployments that wait for somebody, by id.
    pub fn inbox(&self, user: usize) -> Vec<i64> {
        let waits = |it: &&Deployment| {
            it.status == "blocked"
                && !it.votes.contains_key(&user)
                && self.may(user, it.project, REPORTER, true)
                && self.asked(it).contains(&user)
        };
        self.deployments.iter().filter(waits).map(|it| it.id).collect()
    }

    /// Lets go what nothing is missing for.
    pub fn settle(&mut self) {
        let free: Vec<usize> = (0..self.deployments.len())
            .filter(|&index| {
                let deployment = &self.deployments[index];
                deployment.status == "blocked" && self.pending(deployment) == 0
            })
            .collect();
        for index in free {
            self.deployments[index].status = "created";
            self.deployments[index].held = false;
        }
    }

    /// The deployment that is recorded, but for its id.
    pub fn create(
        &self,
        user: usize,
        project: usize,
        environment: &'static str,
        status: &'static str,
    ) -> Result<Deployment, Refusal> {
        self.refused(user, project, DEVELOPER, false)?;
        if !self.admitted(user, project, environment) {
            return Err("ENVIRONMENT_PROTECTED");
        }
        let gated = !self.demands(project, environment).is_empty();
        let waits = gated && matches!(status, "created" | "running");
        Ok(Deployment {
            id: 0,
            project,
            environment,
            status: if waits { "blocked" } else { status },
            bypassed: gated && !waits,
            rejected: false,
            held: waits,
            creator: Some(user),
            votes: BTreeMap::new(),
        })
    }

    /// What moving it does.
    pub fn advance(&mut self, user: usize, index: usize, to: &'static str) -> Result<(), Refusal> {
        let deployment = &self.deployments[index];
        self.refused(user, deployment.project, DEVELOPER, false)?;
        if !self.admitted(user, deployment.project, deployment.environment) {
            return Err("ENVIRONMENT_PROTECTED");
        }
        let from = deployment.status;
        let may = match to {
            "running" => from == "created",
            "success" => from != "success" && from != "blocked",
            _ => from != to,
        };
        if !may {
            return Err("INVALID_TRANSITION");
        }
        let deployment = &mut self.deployments[index];
        deployment.status = to;
        deployment.rejected = false;
        deployment.bypassed |= deployment.held && to == "success";
        Ok(())
    }

    fn undecidable(
        &self,
        user: usize,
        it: &Deployment,
        approves: bool,
        name: &str,
    ) -> Result<Vec<i64>, Refusal> {
        let demands = self.demands(it.project, it.environment);
        if self.applying(it.project, it.environment).is_empty() {
            return Err("ENVIRONMENT_NOT_PROTECTED");
        }
        if approves && self.is_own(user, it) {
            return Err("SELF_APPROVAL");
        }
        if demands.is_empty() {
            return Err("APPROVALS_NOT_CONFIGURED");
        }
        if it.status != "blocked" {
            return Err("NOT_WAITING_FOR_APPROVALS");
        }
        let open = self.open_to(user, it, &demands);
        if open.is_empty() {
            return Err("APPROVAL_NOT_PERMITTED");
        }
        if name.is_empty() {
            return Ok(Vec::new());
        }
        let called = self.called(name, &demands);
        if !called.iter().any(|index| open.contains(index)) {
            return Err("NO_RULE_REPRESENTED");
        }
        let ids = called
            .into_iter()
            .filter_map(|index| demands[index].rule.as_ref());
        Ok(ids.map(|(_, rule)| rule.id).collect())
    }

    /// What a decision does.
    pub fn decide(&mut self, user: usize, index: usize, approves: bool, name: &str) -> Result<(), Refusal> {
        let it = &self.deployments[index];
        self.refused(user, it.project, REPORTER, true)?;
        let decided = self.undecidable(user, it, approves, name);
        if let Some(vote) = it.votes.get(&user)
            && vote.approves == approves
            && (name.is_empty() || name == vote.name)
        {
            let demands = self.demands(it.project, it.environment);
            let stranded = it.status == "blocked" && self.places(user, vote, it, &demands).is_empty();
            if !stranded || decided.is_err() {
                return Ok(());
            }
        }
        let pinned = decided?;
        let name = name.to_owned();
        let it = &mut self.deployments[index];
        it.votes.insert(
            user,
            Vote {
                approves,
                name,
                pinned,
            },
        );
        if !approves {
            it.status = "failed";
            it.rejected = true;
        }
        self.settle();
        Ok(())
    }

    /// Forgets somebody, and everything that names them.
    pub fn delete_user(&mut self, user: usize) {
        self.users[user].there = false;
        self.members.retain(|(_, member), _| *member != user);
        self.forget(Subject::User(user));
        for deployment in &mut self.deployments {
            deployment.votes.remove(&user);
            if deployment.creator == Some(user) {
                deployment.creator = None;
            }
        }
        self.settle();
    }

    /// Forgets a group, and everything that names it.
    pub fn delete_group(&mut self, group: usize) {
        self.groups[group].there = false;
        let place = Place::Group(group);
        self.members.retain(|(at, _), _| *at != place);
        self.shares.retain(|(at, with), _| *at != place && *with != group);
        self.protections.retain(|(at, _), _| *at != place);
        self.forget(Subject::Group(group));
        self.settle();
    }

    fn forget(&mut self, subject: Subject) {
        for protection in self.protections.values_mut() {
            protection.levels.retain(|entry| entry.subject != subject);
            protection.rules.retain(|entry| entry.subject != subject);
        }
    }
}

/// The tier of an environment that is new.
pub fn guess(environment: &str) -> &'static str {
    match environment {
        "production" => "production",
        "staging" => "staging",
        _ => "other",
    }
}
