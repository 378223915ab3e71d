//! Protections, approvals, and blocked deployments at their gates.

use gatehouse::{
    domain::{
        access::AccessLevel::{self, Developer, Guest, Maintainer, Reporter},
        approval::{Approval, ApprovalStatus, SubmitApproval},
        deployment::{self, CreateDeployment, Deployment, DeploymentStatus, GateState},
        directory::{Container, DirectoryChange, Group, NewShare, Project, User, Visibility},
        error::Error,
        event::ProjectChange,
        gate::{self, Gate},
        id::{ApprovalRuleId, DeploymentId, EnvironmentKey, ProjectKey, UserId, UserKey},
        page::PageRequest,
        protection::{
            EntryDraft, GroupInheritance, ProtectedEnvironment, ProtectionChange, ProtectionDraft, Role,
            Subject,
        },
    },
    store::{DirectorySelect, ProjectState, ProtectionSelect, Select},
};

use super::{Ledger, at, command, fresh, refused, terms};

fn entry(subject: Subject, required_approvals: i64) -> EntryDraft {
    EntryDraft {
        id: None,
        subject,
        inheritance: GroupInheritance::Direct,
        required_approvals,
    }
}

fn developers() -> EntryDraft {
    entry(Subject::Role(Role::Developer), 0)
}

fn draft(name: &str, required_approval_count: i64, approval_rules: Vec<EntryDraft>) -> ProtectionDraft {
    ProtectionDraft {
        name: name.into(),
        deploy_access_levels: vec![developers()],
        required_approval_count,
        approval_rules,
    }
}

/// The same protection to be written again.
fn again(protection: &ProtectedEnvironment) -> ProtectionDraft {
    let levels = protection.deploy_access_levels.iter();
    let rules = protection.approval_rules.iter();
    ProtectionDraft {
        name: protection.name.clone(),
        deploy_access_levels: levels
            .map(|level| EntryDraft {
                id: Some(level.id.0),
                ..entry(level.audience.subject, 0)
            })
            .collect(),
        required_approval_count: protection.required_approval_count,
        approval_rules: rules
            .map(|rule| EntryDraft {
                id: Some(rule.id.0),
                ..entry(rule.audience.subject, rule.required_approvals)
            })
            .collect(),
    }
}

impl Ledger {
    async fn protect_in_project(&self, change: ProtectionChange) -> Option<ProtectedEnvironment> {
        let select = Select::Protection(ProtectionSelect::default());
        let decide = Box::new(move |_: &ProjectState| Ok(vec![ProjectChange::Protection(change.clone())]));
        let answer = self.change(self.web, select, self.terms(at(1)), decide).await;
        fresh(answer).protection.map(|answer| answer.protection)
    }

    async fn protect_in_group(&self, change: ProtectionChange) -> Option<ProtectedEnvironment> {
        let changes = vec![DirectoryChange::Protection(change)];
        let answer = self
            .facts(DirectorySelect::User(UserKey::Id(self.root.id)), changes)
            .await;
        answer.protection.map(|answer| answer.protection)
    }

    /// Protects an environment of `acme/web`.
    async fn protect(&self, draft: ProtectionDraft) -> ProtectedEnvironment {
        let container = Container::Project(self.web);
        self.protect_in_project(ProtectionChange::Created(container, draft))
            .await
            .unwrap()
    }

    async fn shared_with(&self, container: Container, group: &Group) {
        let new = NewShare {
            container,
            group_id: group.id,
            group_full_path: group.full_path.clone(),
            access_level: Reporter,
        };
        self.fact(DirectoryChange::ShareCreated(new)).await;
    }

    async fn fact(&self, change: DirectoryChange) {
        let select = DirectorySelect::User(UserKey::Id(self.root.id));
        self.facts(select, vec![change]).await;
    }

    /// Somebody with this level in `acme/web`, and a member of these groups.
    async fn person(&self, name: &str, level: AccessLevel, groups: &[&Group]) -> User {
        let user = self.user(name).await;
        self.member(Container::Project(self.web), &user, level).await;
        for group in groups {
            self.member(Container::Group(group.id), &user, Guest).await;
        }
        user
    }

    /// Has somebody start a deployment to `acme/web`.
    async fn hold(&self, user: &User, environment: &str) -> Deployment {
        let command: CreateDeployment = command(environment, "main", DeploymentStatus::Running);
        let select = Select::EnvironmentNamed(environment.into());
        let user_id = user.id;
        let decide = Box::new(move |state: &ProjectState| {
            let gated = gate::requires_approval(&state.protections);
            let (environment, last) = (state.environment.as_ref(), state.last_success.as_ref());
            deployment::create(
                &command,
                user_id,
                &deployment::Ground {
                    environment,
                    slug_taken: state.slug_taken,
                    last,
                    gated,
                    ..deployment::Ground::default()
                },
                state.now,
            )
        });
        let answer = self.change(self.web, select, terms(user, at(2)), decide).await;
        fresh(answer).deployment.unwrap()
    }

    async fn submit(
        &self,
        user: &User,
        id: DeploymentId,
        status: ApprovalStatus,
        represented_as: &str,
    ) -> Result<Gate, gatehouse::store::StoreError> {
        let command = SubmitApproval {
            status,
            comment: Some("by hand".into()),
            represented_as: represented_as.into(),
        };
        let voter = user.clone();
        let decide = Box::new(move |state: &ProjectState| -> Result<_, Error> {
            state.gate.as_ref().unwrap().submit(&voter, &command, state.now)
        });
        let terms = terms(user, at(3));
        let answer = self.change(self.web, Select::Gate(id), terms, decide).await?;
        let told = fresh(Ok(answer)).gate.unwrap();
        // What is told of the decisions without having been read is what is read.
        assert_eq!(told.approvals, self.gate(id).await.approvals);
        Ok(told)
    }

    async fn approve(&self, user: &User, id: DeploymentId) -> Gate {
        self.submit(user, id, ApprovalStatus::Approved, "").await.unwrap()
    }

    async fn gate(&self, id: DeploymentId) -> Gate {
        let key = ProjectKey::Id(self.web);
        let view = self
            .store
            .project_find(&key, self.root.id)
            .await
            .unwrap()
            .unwrap();
        let find = async |by| self.store.gate_find(&view.of, id, &self.root, by).await.unwrap();
        let found = find(None).await;
        // At a glance it is the same.
        assert_eq!(find(Some(view.mark)).await, found);
        found.unwrap()
    }

    async fn project_of_web(&self) -> Project {
        let key = ProjectKey::Id(self.web);
        self.store
            .project_find(&key, self.root.id)
            .await
            .unwrap()
            .unwrap()
            .of
            .project
    }

    async fn kinds(&self) -> Vec<String> {
        let events = self.engine.events(self.web).await;
        events.into_iter().map(|event| event.kind).collect()
    }

    async fn found(&self, container: Container, name: &str) -> Option<ProtectedEnvironment> {
        self.store.protection_find(container, name).await.unwrap()
    }
}

fn subjects(protection: &ProtectedEnvironment) -> Vec<(i64, Subject, i64)> {
    let rules = protection.approval_rules.iter();
    rules
        .map(|rule| (rule.id.0, rule.audience.subject, rule.required_approvals))
        .collect()
}

fn voters(approvals: &[Approval]) -> Vec<(UserId, Option<ApprovalRuleId>)> {
    let approvals = approvals.iter();
    approvals
        .map(|approval| (approval.user.id, approval.rule_id))
        .collect()
}

pub async fn a_protection_is_made_changed_and_taken_away(ledger: &Ledger) {
    let project = Container::Project(ledger.web);
    let qa = ledger.group(None, "qa", Visibility::Private).await;
    let (of_qa, of_maintainers) = (Subject::Group(qa.id), Subject::Role(Role::Maintainer));
    let made = ledger
        .protect(draft(
            "production",
            2,
            vec![entry(of_qa, 1), entry(of_maintainers, 2)],
        ))
        .await;
    assert_eq!(ledger.found(project, "production").await, Some(made.clone()));
    assert_eq!(ledger.found(project, "Production").await, None);
    assert_eq!(
        ledger.found(Container::Group(ledger.acme.id), "production").await,
        None
    );
    assert_eq!(
        (made.container, made.required_approval_count, made.version),
        (project, 2, 1)
    );
    let ids: Vec<i64> = made.approval_rules.iter().map(|rule| rule.id.0).collect();
    assert_eq!(subjects(&made), [(ids[0], of_qa, 1), (ids[1], of_maintainers, 2)]);
    let names = &made.approval_rules[0].audience;
    assert_eq!(names.description.as_deref(), Some("qa"));
    assert_eq!(names.names, ["qa", "qa", "qa"]);

    // One entry changes, one goes, one comes; ids stay, and are not given again.
    let mut change = again(&made);
    change.approval_rules.remove(0);
    change.approval_rules[0].required_approvals = 5;
    change.approval_rules.push(EntryDraft {
        inheritance: GroupInheritance::Inherited,
        ..entry(of_qa, 3)
    });
    change.deploy_access_levels = vec![entry(Subject::User(ledger.root.id), 0)];
    change.required_approval_count = 0;
    let after = ledger
        .protect_in_project(ProtectionChange::Updated(Box::new(made.clone()), change))
        .await
        .unwrap();
    assert_eq!(ledger.found(project, "production").await, Some(after.clone()));
    let new = after.approval_rules[1].id.0;
    assert!(new > ids[1]);
    assert_eq!(subjects(&after), [(ids[1], of_maintainers, 5), (new, of_qa, 3)]);
    assert_eq!(
        after.approval_rules[1].audience.inheritance,
        GroupInheritance::Inherited
    );
    let levels: Vec<_> = after
        .deploy_access_levels
        .iter()
        .map(|level| level.audience.subject)
        .collect();
    assert_eq!(levels, [Subject::User(ledger.root.id)]);
    assert_eq!(
        (after.id, after.version, after.created_at),
        (made.id, 2, made.created_at)
    );
    assert_ne!(after.etag(), made.etag());

    let gone = ledger
        .protect_in_project(ProtectionChange::Deleted(Box::new(after)))
        .await;
    assert_eq!(gone, None);
    assert_eq!(ledger.found(project, "production").await, None);
    assert_eq!(
        ledger.kinds().await,
        [
            "protected_environment_created",
            "protected_environment_updated",
            "protected_environment_deleted"
        ]
    );
}

pub async fn protections_are_listed_by_name(ledger: &Ledger) {
    let project = Container::Project(ledger.web);
    for name in ["eu", "production", "au", "Zz"] {
        ledger.protect(draft(name, 0, Vec::new())).await;
    }
    ledger
        .protect_in_group(ProtectionChange::Created(
            Container::Group(ledger.acme.id),
            draft("staging", 0, Vec::new()),
        ))
        .await;
    let names = async |page: &PageRequest<String>| {
        let page = ledger.store.protection_list(project, page).await.unwrap();
        let names: Vec<String> = page.items.into_iter().map(|it| it.name).collect();
        (names, page.next, page.total)
    };
    let request = |after: Option<&str>, skip, size| PageRequest {
        after: after.map(str::to_owned),
        skip,
        size,
        want_total: true,
    };
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    for (page, expected, next) in [
        (request(None, 0, 10), &["Zz", "au", "eu", "production"][..], None),
        (request(None, 0, 2), &["Zz", "au"], Some("au")),
        (request(Some("au"), 0, 2), &["eu", "production"], None),
        (request(None, 3, 2), &["production"], None),
    ] {
        let found = names(&page).await;
        assert_eq!(
            found,
            (owned(expected), next.map(str::to_owned), Some(4)),
            "{page:?}"
        );
    }
}

pub async fn a_groups_protection_is_told_in_every_project_below(ledger: &Ledger) {
    let team = ledger
        .group(Some(&ledger.acme), "team", Visibility::Private)
        .await;
    let api = ledger.project(&team, "api", Visibility::Private).await;
    let other = ledger.group(None, "other", Visibility::Private).await;
    let elsewhere = ledger.project(&other, "web", Visibility::Private).await;
    let container = Container::Group(ledger.acme.id);
    let made = ledger
        .protect_in_group(ProtectionChange::Created(
            container,
            draft("production", 1, Vec::new()),
        ))
        .await
        .unwrap();
    ledger
        .protect_in_group(ProtectionChange::Deleted(Box::new(made)))
        .await;
    for project in [ledger.web, api] {
        let kinds: Vec<String> = ledger
            .engine
            .events(project)
            .await
            .into_iter()
            .map(|it| it.kind)
            .collect();
        assert_eq!(
            kinds,
            ["protected_environment_created", "protected_environment_deleted"],
            "{project:?}"
        );
        assert_eq!(ledger.engine.counters(project).await.1, 2);
    }
    assert!(ledger.engine.events(elsewhere).await.is_empty());
}

pub async fn the_last_required_approval_lets_a_deployment_go(ledger: &Ledger) {
    let qa = ledger.group(None, "qa", Visibility::Private).await;
    let ops = ledger.group(None, "ops", Visibility::Private).await;
    let dora = ledger.person("dora", Developer, &[]).await;
    let quinn = ledger.person("quinn", Reporter, &[&qa]).await;
    let both = ledger.person("both", Reporter, &[&qa, &ops]).await;
    let made = ledger
        .protect(draft(
            "production",
            0,
            vec![entry(Subject::Group(qa.id), 1), entry(Subject::Group(ops.id), 1)],
        ))
        .await;
    let [of_qa, of_ops] = [0, 1].map(|index| made.approval_rules[index].id);
    let held = ledger.hold(&dora, "production").await;
    assert_eq!(
        (held.status, held.gate),
        (DeploymentStatus::Blocked, GateState::Held)
    );
    let after = ledger.approve(&both, held.id).await;
    assert_eq!(after.approval_state().pending_approval_count, 1);
    assert_eq!(
        ledger.gate(held.id).await.approval_state(),
        after.approval_state()
    );
    let after = ledger.approve(&quinn, held.id).await;
    assert_eq!(after.deployment.status, DeploymentStatus::Created);
    assert_eq!(after.deployment.gate, GateState::Released);
    let released = ledger.gate(held.id).await;
    assert_eq!(released.deployment, after.deployment);
    assert_eq!(
        voters(&released.approvals),
        [(both.id, Some(of_ops)), (quinn.id, Some(of_qa))]
    );
    assert_eq!(
        ledger.kinds().await,
        [
            "protected_environment_created",
            "environment_created",
            "deployment_created",
            "approval_submitted",
            "approval_submitted",
            "deployment_status_changed"
        ]
    );

    // A rule that goes takes its reference along, not the approval.
    let mut fewer = again(&made);
    fewer.approval_rules.remove(0);
    ledger
        .protect_in_project(ProtectionChange::Updated(Box::new(made), fewer))
        .await;
    let later = ledger.gate(held.id).await;
    assert_eq!(
        later.deployment.status,
        DeploymentStatus::Created,
        "a release is final"
    );
    assert_eq!(
        voters(&later.approvals),
        [(both.id, Some(of_ops)), (quinn.id, None)]
    );
}

pub async fn an_approval_takes_the_place_of_the_same_persons_earlier_one(ledger: &Ledger) {
    let qa = ledger.group(None, "qa", Visibility::Private).await;
    let ops = ledger.group(None, "ops", Visibility::Private).await;
    let dora = ledger.person("dora", Developer, &[]).await;
    let both = ledger.person("both", Reporter, &[&qa, &ops]).await;
    let rules = vec![entry(Subject::Group(qa.id), 2), entry(Subject::Group(ops.id), 2)];
    let made = ledger.protect(draft("production", 0, rules)).await;
    let held = ledger.hold(&dora, "production").await;
    for (index, name) in [(1, "ops"), (0, "qa")] {
        let after = ledger
            .submit(&both, held.id, ApprovalStatus::Approved, name)
            .await
            .unwrap();
        let [approval] = &after.approvals[..] else {
            panic!("{after:?}")
        };
        assert_eq!(approval.represented_as, name);
        assert_eq!(approval.pinned, [made.approval_rules[index].id]);
        assert_eq!(approval.comment.as_deref(), Some("by hand"));
    }
    let first = ledger.gate(held.id).await.approvals[0].clone();
    ledger
        .submit(&both, held.id, ApprovalStatus::Rejected, "")
        .await
        .unwrap();
    let rejected = ledger.gate(held.id).await;
    let last = &rejected.approvals[0];
    assert_eq!(last.created_at, first.created_at);
    assert_eq!((last.status, last.pinned.len()), (ApprovalStatus::Rejected, 0));
    assert_eq!(rejected.deployment.status, DeploymentStatus::Failed);
    assert!(rejected.deployment.failure_reason.is_some());
    let again = ledger.submit(&both, held.id, ApprovalStatus::Approved, "").await;
    let reason = refused(again.map(drop));
    assert_eq!(reason, gatehouse::domain::error::Reason::NotWaitingForApprovals);
}

pub async fn who_is_deleted_leaves_every_rule_and_frees_what_only_they_held(ledger: &Ledger) {
    let dora = ledger.person("dora", Developer, &[]).await;
    let vera = ledger.person("vera", Developer, &[]).await;
    let project = Container::Project(ledger.web);
    let rules = vec![entry(Subject::User(vera.id), 1)];
    let mut named = draft("production", 0, rules);
    named.deploy_access_levels.push(entry(Subject::User(vera.id), 0));
    let before = ledger.protect(named).await;
    let maintainers = vec![entry(Subject::Role(Role::Maintainer), 1)];
    ledger.protect(draft("staging", 0, maintainers)).await;
    let freed = ledger.hold(&dora, "production").await;
    let held = ledger.hold(&dora, "staging").await;
    let told = ledger.kinds().await.len();

    ledger.fact(DirectoryChange::UserDeleted(vera)).await;
    let after = ledger.found(project, "production").await.unwrap();
    assert!(after.approval_rules.is_empty());
    let levels: Vec<_> = after
        .deploy_access_levels
        .iter()
        .map(|level| level.audience.subject)
        .collect();
    assert_eq!(levels, [Subject::Role(Role::Developer)]);
    assert_ne!(after.etag(), before.etag());
    assert_eq!(
        ledger.gate(freed.id).await.deployment.status,
        DeploymentStatus::Created
    );
    assert_eq!(
        ledger.gate(held.id).await.deployment.status,
        DeploymentStatus::Blocked
    );
    assert_eq!(
        ledger.kinds().await[told..],
        ["protected_environment_updated", "deployment_status_changed"]
    );
}

pub async fn a_group_that_is_deleted_leaves_every_rule_too(ledger: &Ledger) {
    let qa = ledger.group(None, "qa", Visibility::Private).await;
    let dora = ledger.person("dora", Developer, &[]).await;
    let by_qa = || vec![entry(Subject::Group(qa.id), 1)];
    ledger.protect(draft("production", 0, by_qa())).await;
    let container = Container::Group(ledger.acme.id);
    ledger
        .protect_in_group(ProtectionChange::Created(
            container,
            draft("production", 0, by_qa()),
        ))
        .await;
    let held = ledger.hold(&dora, "production").await;
    let told = ledger.kinds().await.len();
    ledger.fact(DirectoryChange::GroupDeleted(qa)).await;
    assert_eq!(
        ledger.gate(held.id).await.deployment.status,
        DeploymentStatus::Created
    );
    assert_eq!(
        ledger.kinds().await[told..],
        [
            "protected_environment_updated",
            "protected_environment_updated",
            "deployment_status_changed"
        ]
    );
}

pub async fn an_approval_goes_with_its_user_and_a_deployment_stays_without_its_creator(ledger: &Ledger) {
    let dora = ledger.person("dora", Developer, &[]).await;
    let mona = ledger.person("mona", Maintainer, &[]).await;
    let rules = vec![entry(Subject::Role(Role::Maintainer), 2)];
    ledger.protect(draft("production", 0, rules)).await;
    let held = ledger.hold(&dora, "production").await;
    ledger.approve(&mona, held.id).await;
    ledger.fact(DirectoryChange::UserDeleted(mona)).await;
    let gate = ledger.gate(held.id).await;
    assert!(gate.approvals.is_empty());
    assert_eq!(gate.approval_state().pending_approval_count, 2);
    ledger.fact(DirectoryChange::UserDeleted(dora)).await;
    assert_eq!(ledger.gate(held.id).await.deployment.user, None);
}

pub async fn people_are_seen_by_every_way_they_belong(ledger: &Ledger) {
    let qa = ledger.group(None, "qa", Visibility::Private).await;
    let below = ledger.group(Some(&qa), "eu", Visibility::Private).await;
    let friends = ledger.group(None, "friends", Visibility::Private).await;
    ledger.shared_with(Container::Group(qa.id), &friends).await;
    let direct = ledger.user("direct").await;
    ledger.member(Container::Group(below.id), &direct, Guest).await;
    let above = ledger.user("above").await;
    ledger.member(Container::Group(qa.id), &above, Developer).await;
    let shared = ledger.user("shared").await;
    ledger
        .member(Container::Group(friends.id), &shared, Maintainer)
        .await;
    let of_project = ledger.person("of-project", Reporter, &[]).await;
    ledger.user("stranger").await;
    let made = ledger
        .protect(draft("production", 0, vec![entry(Subject::Group(below.id), 1)]))
        .await;
    let project = ledger.project_of_web().await;
    let protections = [made];
    let mut seen = Vec::new();
    let mut after = UserId(0);
    // One at a time, to see that the walk is whole.
    loop {
        let page = ledger
            .store
            .person_list(Some(&project), &protections, after, 1)
            .await
            .unwrap();
        let [person] = &page[..] else { break };
        let standing = person.in_group(below.id);
        after = person.user.id;
        seen.push((
            after,
            person.standing.project,
            standing.direct,
            standing.above,
            standing.shared,
        ));
    }
    assert_eq!(
        seen,
        [
            (ledger.root.id, None, None, None, None),
            (direct.id, None, Some(Guest), None, None),
            (above.id, None, None, Some(Developer), None),
            (shared.id, None, None, None, Some(Reporter)),
            (of_project.id, Some(Reporter), None, None, None),
        ]
    );
}

pub async fn an_inbox_is_walked_without_loss(ledger: &Ledger) {
    let dora = ledger.person("dora", Developer, &[]).await;
    let mona = ledger.person("mona", Maintainer, &[]).await;
    let rules = || vec![entry(Subject::Role(Role::Maintainer), 2)];
    ledger.protect(draft("production", 0, rules())).await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(ledger.hold(&dora, "production").await.id);
    }
    let decided = waiting.remove(2);
    ledger.approve(&mona, decided).await;
    let unwanted = waiting.remove(0);
    let wanted = move |gate: &Gate| gate.deployment.id != unwanted;
    for size in [1, 2, 3, 10] {
        let mut found = Vec::new();
        let mut after = DeploymentId(0);
        loop {
            let page = ledger
                .store
                .gate_list_blocked(&mona, after, size, &wanted)
                .await
                .unwrap();
            assert!(page.items.len() <= usize::try_from(size).unwrap());
            assert!(page.items.iter().all(|gate| gate.people.contains_key(&mona.id)));
            found.extend(page.items.iter().map(|gate| gate.deployment.id));
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(found, waiting, "{size} at a time");
    }
}

/// What belongs to a deployment, an environment, a project or a group goes with it.
pub async fn protections_and_approvals_go_with_what_they_are_about(ledger: &Ledger) {
    let dora = ledger.person("dora", Developer, &[]).await;
    let mona = ledger.person("mona", Maintainer, &[]).await;
    let rules = vec![entry(Subject::Role(Role::Maintainer), 2)];
    ledger.protect(draft("production", 0, rules)).await;
    let held = ledger.hold(&dora, "production").await;
    ledger.approve(&mona, held.id).await;
    let key = EnvironmentKey::Name("production".into());
    let decide = Box::new(|state: &ProjectState| {
        Ok(vec![ProjectChange::EnvironmentDeleted(
            state.environment.clone().unwrap(),
        )])
    });
    let terms = ledger.terms(at(4));
    fresh(
        ledger
            .change(ledger.web, Select::Environment(key), terms, decide)
            .await,
    );
    assert_eq!(
        ledger.store.deployment_find(ledger.web, held.id).await.unwrap(),
        None
    );
    // The protection is about a name, which need not exist.
    let container = Container::Project(ledger.web);
    assert!(ledger.found(container, "production").await.is_some());
    let project = ledger.project_of_web().await;
    ledger.fact(DirectoryChange::ProjectDeleted(project)).await;
    assert_eq!(ledger.found(container, "production").await, None);
}
