//! Merge requests: kept as they are told, listed as filtering and sorting all of them by hand would.

use std::{cmp::Ordering, collections::BTreeMap};

use chrono::NaiveDate;
use gatehouse::{
    domain::{
        Time,
        deployment::{Deployment, DeploymentStatus},
        directory::{DirectoryChange, User},
        environment::EnvironmentTier,
        event::ProjectChange,
        id::{DeploymentId, MergeRequestIid, ProjectId, UserId, UserKey},
        merge_request::{
            CommitKind, Details, Facts, Label, MergeRequest, MergeRequestChange, MergeRequestState,
            Milestone, Reaction, is_linked,
            query::{
                LabelMatch, MergeRequestExclusion, MergeRequestFilter, MergeRequestOrder,
                MergeRequestPosition, MergeRequestQuery, MergeRequestScope, NameMatch, Search, UserMatch,
            },
            relink,
        },
        page::{Direction, PageRequest},
    },
    store::{DirectorySelect, MergeRequestAnswer, ProjectState, Select},
};

use super::{Ledger, at, fresh};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

/// An open merge request with nothing to it.
fn bare() -> Facts {
    Facts {
        title: "Fix it".into(),
        description: String::new(),
        state: MergeRequestState::Opened,
        created_at: at(0),
        updated_at: at(0),
        merged_by: None,
        merged_at: None,
        closed_by: None,
        closed_at: None,
        target_branch: "main".into(),
        source_branch: "fix".into(),
        source_project_id: None,
        author: None,
        assignees: Vec::new(),
        reviewers: Vec::new(),
        labels: Vec::new(),
        milestone: None,
        sha: String::new(),
        merge_commit_sha: String::new(),
        squash_commit_sha: String::new(),
        cherry_pick_shas: Vec::new(),
        reactions: Vec::new(),
        upvotes: 0,
        downvotes: 0,
        user_notes_count: 0,
        merge_after: None,
        prepared_at: None,
        details: Details::default(),
    }
}

fn label(name: &str, priority: Option<i64>) -> Label {
    Label {
        name: name.into(),
        color: "#FF0000".into(),
        text_color: String::new(),
        description: format!("about {name}"),
        priority,
    }
}

fn milestone(title: &str, due: Option<&str>) -> Milestone {
    Milestone {
        id: 3,
        iid: 1,
        title: title.into(),
        description: "\"quoted\"\n".into(),
        closed: true,
        start_date: Some("2024-02-29".parse().unwrap()),
        due_date: due.map(|day| day.parse::<NaiveDate>().unwrap()),
        created_at: Some(at(1)),
        updated_at: None,
        web_url: Some("https://example.com/1".into()),
    }
}

fn reaction(user: &User, name: &str) -> Reaction {
    Reaction {
        user_id: user.id,
        name: name.into(),
    }
}

/// A merge request about which everything is told.
fn full(ann: &User, bob: &User) -> Facts {
    Facts {
        title: "Draft: Ünder \"way\"".into(),
        description: "line\r\nline\t%_".into(),
        state: MergeRequestState::Merged,
        created_at: at(1),
        updated_at: at(2),
        merged_by: Some(ann.id),
        merged_at: Some(at(3)),
        closed_by: Some(bob.id),
        closed_at: Some(at(4)),
        target_branch: "main".into(),
        source_branch: "fix".into(),
        source_project_id: Some(ProjectId(77)),
        author: Some(bob.id),
        assignees: vec![bob.id, ann.id],
        reviewers: vec![ann.id, bob.id],
        labels: vec![label("Bug", None), label("bug", Some(2)), label("ui", Some(1))],
        milestone: Some(milestone("1.0", Some("2024-03-01"))),
        sha: A.into(),
        merge_commit_sha: B.into(),
        squash_commit_sha: C.into(),
        cherry_pick_shas: vec![A.into(), C.into()],
        reactions: vec![
            reaction(ann, "tada"),
            reaction(ann, "thumbsup"),
            reaction(bob, "tada"),
        ],
        upvotes: 5,
        downvotes: 6,
        user_notes_count: 7,
        merge_after: Some(at(100_000_000)),
        prepared_at: Some(at(5)),
        details: Details {
            merge_when_pipeline_succeeds: true,
            merge_status: "can_be_merged".into(),
            detailed_merge_status: "mergeable".into(),
            discussion_locked: Some(false),
            should_remove_source_branch: Some(true),
            force_remove_source_branch: None,
            squash: true,
            squash_on_merge: true,
            time_estimate: 8,
            total_time_spent: 9,
            task_count: 10,
            task_completed_count: 11,
            has_conflicts: true,
            blocking_discussions_resolved: Some(true),
            approvals_before_merge: Some(12),
            web_url: "https://example.com/mr/1".into(),
        },
    }
}

impl Ledger {
    async fn merge_request_change(
        &self,
        project: ProjectId,
        iid: i64,
        now: Time,
        change: impl Fn(Option<&MergeRequest>) -> MergeRequestChange + Send + Sync + 'static,
    ) -> Option<MergeRequestAnswer> {
        let decide = Box::new(move |state: &ProjectState| {
            Ok(vec![ProjectChange::MergeRequest(change(
                state.merge_request.as_ref(),
            ))])
        });
        let select = Select::MergeRequest(MergeRequestIid(iid), Vec::new());
        fresh(self.change(project, select, self.terms(now), decide).await).merge_request
    }

    /// Makes these the facts of a merge request.
    async fn tell_in(&self, project: ProjectId, iid: i64, facts: Facts, now: Time) -> MergeRequestAnswer {
        let change = move |known: Option<&MergeRequest>| match known {
            Some(known) => MergeRequestChange::Updated {
                before: Box::new(known.clone()),
                relink: relink(Some(&known.facts), &facts),
                facts: Box::new(facts.clone()),
            },
            None => MergeRequestChange::Created {
                iid: MergeRequestIid(iid),
                relink: relink(None, &facts),
                facts: Box::new(facts.clone()),
            },
        };
        self.merge_request_change(project, iid, now, change)
            .await
            .unwrap()
    }

    async fn tell(&self, iid: i64, facts: Facts) -> MergeRequest {
        self.tell_in(self.web, iid, facts, at(9)).await.merge_request
    }

    async fn merge_request(&self, iid: i64) -> Option<MergeRequest> {
        let found = self
            .store
            .merge_request_find(self.web, MergeRequestIid(iid))
            .await;
        found.unwrap()
    }

    async fn succeed(&self, environment: &str, git_ref: &str, second: i64) -> Deployment {
        self.record(environment, git_ref, DeploymentStatus::Success, at(second))
            .await
    }

    /// The numbers of a list, in its order.
    async fn listed(
        &self,
        shipped_by: Option<DeploymentId>,
        query: &MergeRequestQuery,
        size: i64,
    ) -> Vec<i64> {
        let mut seen = Vec::new();
        let mut page: PageRequest<MergeRequestPosition> = PageRequest {
            size,
            ..PageRequest::default()
        };
        loop {
            let read = self
                .store
                .merge_request_list(self.web, shipped_by, query, &page)
                .await
                .unwrap();
            assert!(i64::try_from(read.items.len()).unwrap() <= size);
            seen.extend(read.items.iter().map(|found| found.iid.0));
            match read.next {
                Some(next) => page.after = Some(next),
                None => return seen,
            }
        }
    }

    async fn forget_user(&self, user: &User) {
        let select = DirectorySelect::User(UserKey::Id(user.id));
        self.facts(select, vec![DirectoryChange::UserDeleted(user.clone())])
            .await;
    }
}

fn query(viewer: &User, filter: MergeRequestFilter) -> MergeRequestQuery {
    MergeRequestQuery {
        viewer: viewer.id,
        filter,
        order: MergeRequestOrder::CreatedAt,
        direction: Direction::Ascending,
    }
}

pub async fn a_merge_request_is_made_found_changed_and_deleted(ledger: &Ledger) {
    let (ann, bob) = (ledger.user("ann").await, ledger.user("bob").await);
    let told = full(&ann, &bob);
    let made = ledger.tell_in(ledger.web, 7, told.clone(), at(9)).await;
    assert!(made.created && !made.stale);
    let made = made.merge_request;
    assert_eq!(
        (&made.facts, made.iid, made.version),
        (&told, MergeRequestIid(7), 1)
    );
    assert_eq!(
        (made.project_id, made.project_path.as_str()),
        (ledger.web, "acme/web")
    );
    assert_eq!(
        made.people,
        BTreeMap::from([(ann.id, ann.summary()), (bob.id, bob.summary())])
    );
    assert_eq!(ledger.merge_request(7).await.as_ref(), Some(&made));
    assert_eq!(ledger.merge_request(8).await, None);
    assert_eq!(
        ledger.engine.merge_request_commits(made.id).await,
        [
            ("cherry_pick".to_owned(), A.to_owned()),
            ("cherry_pick".to_owned(), C.to_owned()),
            (CommitKind::Head.as_str().to_owned(), A.to_owned()),
            ("merge".to_owned(), B.to_owned()),
            ("squash".to_owned(), C.to_owned()),
        ]
    );

    let after = ledger.tell_in(ledger.web, 7, bare(), at(10)).await;
    assert!(!after.created);
    let after = after.merge_request;
    assert_eq!((&after.facts, after.version, after.id), (&bare(), 2, made.id));
    assert!(after.people.is_empty());
    assert_eq!(ledger.engine.merge_request_commits(made.id).await, []);
    let again = ledger.tell(7, told.clone()).await;
    assert_eq!((&again.facts, again.version), (&told, 3));

    let other = ledger
        .project(&ledger.acme, "other", super::Visibility::Private)
        .await;
    let elsewhere = ledger.tell_in(other, 7, bare(), at(9)).await;
    assert!(elsewhere.created, "numbers are the project's own");
    let id = made.id;
    let deleted = ledger
        .merge_request_change(ledger.web, 7, at(11), move |_| MergeRequestChange::Deleted(id))
        .await;
    assert!(deleted.is_none());
    assert_eq!(ledger.merge_request(7).await, None);
    assert_eq!(ledger.engine.merge_request_commits(made.id).await, []);
    let remade = ledger.tell(7, bare()).await;
    assert!(remade.id > elsewhere.merge_request.id, "ids are not given again");
    assert_eq!(remade.facts, bare(), "nothing is left of the other");
}

pub async fn who_is_deleted_is_shown_and_found_no_more(ledger: &Ledger) {
    let (ann, bob) = (ledger.user("ann").await, ledger.user("bob").await);
    let told = full(&ann, &bob);
    ledger.tell(1, told.clone()).await;
    let only = Facts {
        assignees: vec![ann.id],
        ..bare()
    };
    ledger.tell(2, only).await;
    ledger.forget_user(&ann).await;
    let found = ledger.merge_request(1).await.unwrap();
    assert_eq!(found.facts, told);
    assert_eq!(found.people.into_keys().collect::<Vec<_>>(), [bob.id]);
    let by = |filter| query(&ledger.root, filter);
    for (filter, iids) in [
        (
            MergeRequestFilter {
                merged_by: Some(UserKey::Id(ann.id)),
                ..MergeRequestFilter::default()
            },
            &[][..],
        ),
        (
            MergeRequestFilter {
                assignee: Some(UserMatch::User(UserKey::Id(ann.id))),
                ..MergeRequestFilter::default()
            },
            &[],
        ),
        (
            MergeRequestFilter {
                assignee: Some(UserMatch::Any),
                ..MergeRequestFilter::default()
            },
            &[1],
        ),
        (
            MergeRequestFilter {
                assignee: Some(UserMatch::None),
                ..MergeRequestFilter::default()
            },
            &[2],
        ),
    ] {
        assert_eq!(
            ledger.listed(None, &by(filter.clone()), 10).await,
            iids,
            "{filter:?}"
        );
    }
}

pub async fn who_shipped_it_is_listed_the_latest_first_until_either_is_gone(ledger: &Ledger) {
    let shipped = ledger.tell(1, bare()).await;
    let other = ledger.tell(2, bare()).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let deployment = ledger.succeed(&format!("env-{number}"), "main", 10).await;
        ledger.engine.link(deployment.id, shipped.id).await;
        ids.insert(0, deployment.id);
    }
    ledger.engine.link(ids[2], other.id).await;
    let mut page = PageRequest {
        size: 2,
        want_total: true,
        ..PageRequest::default()
    };
    let mut seen = Vec::new();
    loop {
        let read = ledger
            .store
            .merge_request_deployments(shipped.id, &page)
            .await
            .unwrap();
        assert_eq!(read.total, Some(5));
        for deployment in &read.items {
            let found = ledger
                .store
                .deployment_find(ledger.web, deployment.id)
                .await
                .unwrap();
            assert_eq!(found.as_ref(), Some(deployment));
        }
        seen.extend(read.items.iter().map(|deployment| deployment.id));
        let Some(next) = read.next else { break };
        page.after = Some(next);
    }
    assert_eq!(seen, ids);
    let all = query(&ledger.root, MergeRequestFilter::default());
    assert_eq!(ledger.listed(Some(ids[2]), &all, 1).await, [1, 2]);
    assert_eq!(ledger.listed(Some(ids[0]), &all, 1).await, [1]);
    // A deployment of another project has nothing here.
    let elsewhere = ledger
        .project(&ledger.acme, "other", super::Visibility::Private)
        .await;
    let read = ledger
        .store
        .merge_request_list(elsewhere, Some(ids[2]), &all, &PageRequest::default())
        .await
        .unwrap();
    assert_eq!(read.items, []);

    let id = shipped.id;
    ledger
        .merge_request_change(ledger.web, 1, at(11), move |_| MergeRequestChange::Deleted(id))
        .await;
    assert_eq!(ledger.listed(Some(ids[2]), &all, 1).await, [2]);
    let decide = Box::new(|state: &ProjectState| {
        let deployment = state.deployment.clone().unwrap();
        Ok(vec![ProjectChange::DeploymentDeleted(Box::new(deployment))])
    });
    let select = Select::Deployment(ids[2]);
    fresh(
        ledger
            .change(ledger.web, select, ledger.terms(at(12)), decide)
            .await,
    );
    let read = ledger
        .store
        .merge_request_deployments(other.id, &PageRequest::default())
        .await
        .unwrap();
    assert_eq!(read.items, []);
    assert!(ledger.merge_request(2).await.is_some());
}

/// A merge request that was merged.
fn merged(second: i64) -> Facts {
    Facts {
        state: MergeRequestState::Merged,
        merged_at: Some(at(second)),
        merge_commit_sha: A.into(),
        ..bare()
    }
}

pub async fn a_report_that_comes_late_has_deployments_looked_through_again(ledger: &Ledger) {
    let early = ledger.succeed("production", "v1", 10).await.id;
    let second = ledger.succeed("staging", "v1", 20).await.id;
    let folder = ledger.succeed("production/eu", "v1", 20).await.id;
    ledger.succeed("review/x", "v1", 20).await;
    ledger.record("qa", "v1", DeploymentStatus::Failed, at(20)).await;
    ledger.record("qa", "v1", DeploymentStatus::Running, at(20)).await;
    let last = ledger.succeed("production", "v2", 30).await.id;
    let other = ledger
        .project(&ledger.acme, "other", super::Visibility::Private)
        .await;
    ledger.tell_in(other, 1, merged(0), at(31)).await;
    ledger.engine.clear_link_work().await;

    ledger.tell_in(ledger.web, 1, bare(), at(40)).await;
    assert_eq!(ledger.engine.link_work().await, [], "it is open");
    let answer = ledger.tell_in(ledger.web, 1, merged(20), at(41)).await;
    let wanted = [(second, 0, at(41)), (folder, 0, at(41)), (last, 0, at(41))];
    assert_eq!(ledger.engine.link_work().await, wanted);
    // What is asked for is not asked for twice, and keeps its time.
    let known = Facts {
        merge_commit_sha: B.into(),
        ..merged(20)
    };
    ledger.tell_in(ledger.web, 1, known.clone(), at(42)).await;
    assert_eq!(ledger.engine.link_work().await, wanted);
    ledger.engine.clear_link_work().await;
    ledger
        .tell_in(
            ledger.web,
            1,
            Facts {
                upvotes: 1,
                ..known.clone()
            },
            at(43),
        )
        .await;
    assert_eq!(ledger.engine.link_work().await, [], "nothing that matters");
    // Where it is linked, it stays so.
    ledger.engine.link(second, answer.merge_request.id).await;
    ledger.engine.link(early, answer.merge_request.id).await;
    let picked = Facts {
        cherry_pick_shas: vec![C.into()],
        ..known.clone()
    };
    ledger.tell_in(ledger.web, 1, picked, at(44)).await;
    assert_eq!(ledger.engine.link_work().await, [(folder, 0, at(44))]);
    ledger.engine.clear_link_work().await;
    // A cherry-pick may have been shipped at any time, whatever the state.
    let picked = Facts {
        cherry_pick_shas: vec![C.into()],
        ..bare()
    };
    ledger.tell_in(ledger.web, 2, picked, at(45)).await;
    let ids: Vec<DeploymentId> = ledger
        .engine
        .link_work()
        .await
        .into_iter()
        .map(|(id, ..)| id)
        .collect();
    assert_eq!(ids, [early, second, folder, last]);
}

pub async fn of_many_deployments_the_oldest_hundred_are_looked_through(ledger: &Ledger) {
    let mut ids = Vec::new();
    for number in 0..105 {
        ids.push(
            ledger
                .succeed("production", &format!("v{number}"), 10 + number)
                .await
                .id,
        );
    }
    ledger.engine.clear_link_work().await;
    ledger.tell_in(ledger.web, 1, merged(11), at(500)).await;
    let asked: Vec<DeploymentId> = ledger
        .engine
        .link_work()
        .await
        .into_iter()
        .map(|(id, ..)| id)
        .collect();
    assert_eq!(asked, ids[1..101]);
}

pub async fn the_environments_looked_through_are_those_that_are_linked(ledger: &Ledger) {
    let mut wanted = Vec::new();
    for name in [
        "production",
        "qa",
        "whatever",
        "prod/x",
        "review/x",
        "a/b",
        "qa/staging/x",
        "stage/x",
    ] {
        let made = ledger.succeed(name, "main", 10).await.id;
        if is_linked(name, EnvironmentTier::guess(name)) {
            wanted.push(made);
        }
    }
    ledger.engine.clear_link_work().await;
    ledger.tell_in(ledger.web, 1, merged(0), at(50)).await;
    let asked: Vec<DeploymentId> = ledger
        .engine
        .link_work()
        .await
        .into_iter()
        .map(|(id, ..)| id)
        .collect();
    assert!(wanted.len() > 3 && wanted.len() < 8);
    assert_eq!(asked, wanted);
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn maybe<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if self.chance(3) {
            None
        } else {
            Some(self.pick(from))
        }
    }

    fn some<T: Clone>(&mut self, from: &[T], chance: usize) -> Vec<T> {
        from.iter().filter(|_| self.chance(chance)).cloned().collect()
    }

    fn time(&mut self) -> Time {
        at(i64::try_from(self.below(8)).unwrap() * 10)
    }

    fn range(&mut self) -> (Option<Time>, Option<Time>) {
        let after = self.chance(8).then(|| self.time());
        let before = self.chance(8).then(|| self.time());
        (after, before)
    }
}

const TITLES: [&str; 7] = [
    "Fix",
    "fix a_b",
    "Draft: Fix",
    "Über 100%",
    "übrig",
    "[DRAFT] axb",
    "Zoo \\ zoo",
];
const DESCRIPTIONS: [&str; 5] = ["", "fix the bug", "The Bug", "100 percent", "a_b \"quoted\""];
const SEARCHES: [(&str, &[&str]); 10] = [
    ("fix", &["fix"]),
    ("FIX bug", &["fix", "bug"]),
    ("\"the bug\"", &["the bug"]),
    ("bug the", &["bug", "the"]),
    ("100%", &["100%"]),
    ("a_b", &["a_b"]),
    ("\\", &["\\"]),
    ("ÜB", &["üb"]),
    ("", &[]),
    ("nowhere", &["nowhere"]),
];
const LABELS: [&str; 3] = ["bug", "Bug", "ui"];
const EMOJI: [&str; 2] = ["tada", "thumbsup"];
const BRANCHES: [&str; 3] = ["main", "Main", "next"];
const ENVIRONMENTS: [&str; 3] = ["production", "staging", "qa"];

fn random_facts(dice: &mut Dice, people: &[UserId]) -> Facts {
    let state = *dice.pick(&MergeRequestState::ALL);
    let priorities = [None, Some(1), Some(2), Some(3)];
    let due = [None, Some("1969-12-30"), Some("2024-01-01"), Some("2024-02-02")];
    let mut reactions = Vec::new();
    for user in people {
        for name in dice.some(&EMOJI, 3) {
            reactions.push(Reaction {
                user_id: *user,
                name: name.into(),
            });
        }
    }
    reactions.sort();
    let mut labels: Vec<Label> = dice
        .some(&LABELS, 2)
        .into_iter()
        .map(|name| label(name, *dice.pick(&priorities)))
        .collect();
    labels.sort_by(|a, b| a.name.cmp(&b.name));
    Facts {
        title: (*dice.pick(&TITLES)).into(),
        description: (*dice.pick(&DESCRIPTIONS)).into(),
        state,
        created_at: dice.time(),
        updated_at: dice.time(),
        merged_at: (state == MergeRequestState::Merged && !dice.chance(4)).then(|| dice.time()),
        merged_by: dice.maybe(people).copied(),
        author: dice.maybe(people).copied(),
        assignees: dice.some(people, 3),
        reviewers: dice.some(people, 3),
        target_branch: (*dice.pick(&BRANCHES)).into(),
        source_branch: (*dice.pick(&BRANCHES)).into(),
        source_project_id: dice.maybe(&[ProjectId(1), ProjectId(2)]).copied(),
        labels,
        milestone: dice
            .maybe(&["1.0", "2.0"])
            .map(|title| milestone(title, *dice.pick(&due))),
        reactions,
        upvotes: i64::try_from(dice.below(4)).unwrap(),
        ..bare()
    }
}

fn random_user(dice: &mut Dice, people: &[UserId]) -> UserKey {
    match dice.below(6) {
        0 => UserKey::Id(UserId(999)),
        1 => UserKey::Name("nobody".into()),
        2 => UserKey::Name("ROOT".into()),
        _ => UserKey::Id(*dice.pick(people)),
    }
}

fn random_match(dice: &mut Dice, people: &[UserId]) -> UserMatch {
    match dice.below(4) {
        0 => UserMatch::Any,
        1 => UserMatch::None,
        _ => UserMatch::User(random_user(dice, people)),
    }
}

fn random_name(dice: &mut Dice, names: &[&str]) -> NameMatch {
    match dice.below(4) {
        0 => NameMatch::Any,
        1 => NameMatch::None,
        _ => NameMatch::Name((*dice.pick(names)).into()),
    }
}

/// A filter, and the words that it searches for.
fn random_filter(dice: &mut Dice, people: &[UserId]) -> (MergeRequestFilter, &'static [&'static str]) {
    const RARE: usize = 10;
    let (text, words) = *dice.pick(&SEARCHES);
    let searches = dice.chance(4);
    let search = searches.then(|| {
        let place = dice.below(3);
        Search {
            title: place != 1,
            description: place != 2,
            ..Search::of(text)
        }
    });
    let (created_after, created_before) = dice.range();
    let (updated_after, updated_before) = dice.range();
    let (merged_after, merged_before) = dice.range();
    let (deployed_after, deployed_before) = dice.range();
    let labels = match dice.below(RARE) {
        0 => Some(LabelMatch::Any),
        1 => Some(LabelMatch::None),
        2 => Some(LabelMatch::All(
            dice.some(&LABELS, 2).into_iter().map(str::to_owned).collect(),
        )),
        _ => None,
    };
    let scope = match dice.below(RARE) {
        0 => MergeRequestScope::CreatedByMe,
        1 => MergeRequestScope::AssignedToMe,
        2 => MergeRequestScope::ReviewsForMe,
        _ => MergeRequestScope::All,
    };
    let filter = MergeRequestFilter {
        state: dice.chance(RARE).then(|| *dice.pick(&MergeRequestState::ALL)),
        iids: if dice.chance(RARE) {
            (1..40)
                .map(|_| MergeRequestIid(i64::try_from(dice.below(60)).unwrap()))
                .collect()
        } else {
            Vec::new()
        },
        author: dice.chance(RARE).then(|| random_user(dice, people)),
        assignee: dice.chance(RARE).then(|| random_match(dice, people)),
        reviewer: dice.chance(RARE).then(|| random_match(dice, people)),
        merged_by: dice.chance(RARE).then(|| random_user(dice, people)),
        labels,
        milestone: dice
            .chance(RARE)
            .then(|| random_name(dice, &["1.0", "2.0", "3.0"])),
        my_reaction_emoji: dice.chance(RARE).then(|| random_name(dice, &EMOJI)),
        scope,
        source_branch: dice.chance(RARE).then(|| (*dice.pick(&BRANCHES)).into()),
        target_branch: dice.chance(RARE).then(|| (*dice.pick(&BRANCHES)).into()),
        source_project_id: dice.chance(RARE).then_some(ProjectId(2)),
        search,
        draft: dice.chance(RARE).then(|| dice.chance(2)),
        created_after,
        created_before,
        updated_after,
        updated_before,
        merged_after,
        merged_before,
        environment: dice.chance(6).then(|| (*dice.pick(&ENVIRONMENTS)).into()),
        deployed_after,
        deployed_before,
        exclude: MergeRequestExclusion {
            author: dice.chance(RARE).then(|| random_user(dice, people)),
            assignee: dice.chance(RARE).then(|| random_user(dice, people)),
            reviewer: dice.chance(RARE).then(|| random_user(dice, people)),
            labels: if dice.chance(RARE) {
                dice.some(&LABELS, 2).into_iter().map(str::to_owned).collect()
            } else {
                Vec::new()
            },
            milestone: dice.chance(RARE).then(|| "1.0".into()),
            my_reaction_emoji: dice.chance(RARE).then(|| (*dice.pick(&EMOJI)).into()),
        },
    };
    (filter, if searches { words } else { &[] })
}

/// What the contract says of one merge request and a filter, read again without looking at the statement.
struct Reading<'a> {
    me: UserId,
    root: UserId,
    words: &'a [&'a str],
    shipped_by: Option<DeploymentId>,
}

impl Reading<'_> {
    fn is(&self, key: &UserKey, user: UserId) -> bool {
        match key {
            UserKey::Id(id) => *id == user,
            UserKey::Name(name) => name == "ROOT" && user == self.root,
        }
    }

    fn any(&self, key: &UserKey, users: &[UserId]) -> bool {
        users.iter().any(|&user| self.is(key, user))
    }

    fn people(&self, wanted: &UserMatch, users: &[UserId]) -> bool {
        match wanted {
            UserMatch::Any => !users.is_empty(),
            UserMatch::None => users.is_empty(),
            UserMatch::User(key) => self.any(key, users),
        }
    }

    fn matches(&self, iid: i64, facts: &Facts, filter: &MergeRequestFilter, shipped: &[&Deployment]) -> bool {
        let has_label = |name: &String| facts.labels.iter().any(|label| label.name == *name);
        let milestone = facts.milestone.as_ref().map(|milestone| milestone.title.as_str());
        let mine: Vec<&str> = facts
            .reactions
            .iter()
            .filter(|reaction| reaction.user_id == self.me)
            .map(|reaction| reaction.name.as_str())
            .collect();
        let key = UserKey::Id(self.me);
        let title = facts.title.to_lowercase();
        let description = facts.description.to_lowercase();
        let exclude = &filter.exclude;
        let author: Vec<UserId> = facts.author.into_iter().collect();
        let checks = [
            self.shipped_by
                .is_none_or(|id| shipped.iter().any(|by| by.id == id)),
            filter.state.is_none_or(|state| facts.state == state),
            filter.iids.is_empty() || filter.iids.contains(&MergeRequestIid(iid)),
            filter.author.as_ref().is_none_or(|key| self.any(key, &author)),
            filter
                .merged_by
                .as_ref()
                .is_none_or(|key| facts.merged_by.is_some_and(|by| self.is(key, by))),
            filter
                .assignee
                .as_ref()
                .is_none_or(|wanted| self.people(wanted, &facts.assignees)),
            filter
                .reviewer
                .as_ref()
                .is_none_or(|wanted| self.people(wanted, &facts.reviewers)),
            match &filter.labels {
                None => true,
                Some(LabelMatch::Any) => !facts.labels.is_empty(),
                Some(LabelMatch::None) => facts.labels.is_empty(),
                Some(LabelMatch::All(names)) => names.iter().all(has_label),
            },
            match &filter.milestone {
                None => true,
                Some(NameMatch::Any) => milestone.is_some(),
                Some(NameMatch::None) => milestone.is_none(),
                Some(NameMatch::Name(name)) => milestone == Some(name),
            },
            match &filter.my_reaction_emoji {
                None => true,
                Some(NameMatch::Any) => !mine.is_empty(),
                Some(NameMatch::None) => mine.is_empty(),
                Some(NameMatch::Name(name)) => mine.contains(&name.as_str()),
            },
            match filter.scope {
                MergeRequestScope::All => true,
                MergeRequestScope::CreatedByMe => self.any(&key, &author),
                MergeRequestScope::AssignedToMe => self.any(&key, &facts.assignees),
                MergeRequestScope::ReviewsForMe => self.any(&key, &facts.reviewers),
            },
            filter
                .source_branch
                .as_ref()
                .is_none_or(|name| facts.source_branch == *name),
            filter
                .target_branch
                .as_ref()
                .is_none_or(|name| facts.target_branch == *name),
            filter
                .source_project_id
                .is_none_or(|id| facts.source_project_id == Some(id)),
            filter.search.as_ref().is_none_or(|search| {
                self.words.iter().all(|word| {
                    (search.title && title.contains(word))
                        || (search.description && description.contains(word))
                })
            }),
            filter.draft.is_none_or(|draft| {
                facts.title.to_lowercase().replace('[', "").starts_with("draft") == draft
            }),
            filter.created_after.is_none_or(|time| facts.created_at >= time),
            filter.created_before.is_none_or(|time| facts.created_at <= time),
            filter.updated_after.is_none_or(|time| facts.updated_at >= time),
            filter.updated_before.is_none_or(|time| facts.updated_at <= time),
            filter
                .merged_after
                .is_none_or(|time| facts.merged_at.is_some_and(|at| at >= time)),
            filter
                .merged_before
                .is_none_or(|time| facts.merged_at.is_some_and(|at| at <= time)),
            (filter.environment.is_none()
                && filter.deployed_after.is_none()
                && filter.deployed_before.is_none())
                || shipped.iter().any(|by| {
                    self.shipped_by.is_none_or(|id| by.id == id)
                        && filter
                            .environment
                            .as_ref()
                            .is_none_or(|name| by.environment.name == *name)
                        && filter
                            .deployed_after
                            .is_none_or(|time| by.finished_at.unwrap() > time)
                        && filter
                            .deployed_before
                            .is_none_or(|time| by.finished_at.unwrap() < time)
                }),
            !exclude.author.as_ref().is_some_and(|key| self.any(key, &author)),
            !exclude
                .assignee
                .as_ref()
                .is_some_and(|key| self.any(key, &facts.assignees)),
            !exclude
                .reviewer
                .as_ref()
                .is_some_and(|key| self.any(key, &facts.reviewers)),
            !exclude.labels.iter().any(has_label),
            exclude.milestone.is_none() || milestone != exclude.milestone.as_deref(),
            !exclude
                .my_reaction_emoji
                .as_ref()
                .is_some_and(|name| mine.contains(&name.as_str())),
        ];
        checks.into_iter().all(|check| check)
    }
}

/// How two merge requests stand in a list: values in the direction asked for, nothing always last.
fn compare(order: MergeRequestOrder, direction: Direction, a: &MergeRequest, b: &MergeRequest) -> Ordering {
    fn directed(direction: Direction, ordering: Ordering) -> Ordering {
        match direction {
            Direction::Ascending => ordering,
            Direction::Descending => ordering.reverse(),
        }
    }
    fn last<T: Ord>(direction: Direction, a: Option<T>, b: Option<T>) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) => directed(direction, a.cmp(&b)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }
    let due = |m: &MergeRequest| {
        m.facts
            .milestone
            .as_ref()
            .and_then(|milestone| milestone.due_date)
    };
    let rank = |m: &MergeRequest| m.facts.labels.iter().filter_map(|label| label.priority).min();
    let (x, y) = (&a.facts, &b.facts);
    let by_field = match order {
        MergeRequestOrder::CreatedAt => directed(direction, x.created_at.cmp(&y.created_at)),
        MergeRequestOrder::UpdatedAt => directed(direction, x.updated_at.cmp(&y.updated_at)),
        MergeRequestOrder::MergedAt => last(direction, x.merged_at, y.merged_at),
        MergeRequestOrder::Title => directed(direction, x.title.to_lowercase().cmp(&y.title.to_lowercase())),
        MergeRequestOrder::MilestoneDue => last(direction, due(a), due(b)),
        MergeRequestOrder::Popularity => directed(direction, x.upvotes.cmp(&y.upvotes)),
        MergeRequestOrder::LabelPriority => last(direction, rank(a), rank(b)),
        MergeRequestOrder::Priority => {
            last(direction, due(a), due(b)).then_with(|| last(direction, rank(a), rank(b)))
        }
    };
    by_field.then_with(|| directed(direction, a.id.cmp(&b.id)))
}

pub async fn every_list_is_what_filtering_and_sorting_by_hand_gives(ledger: &Ledger) {
    let mut dice = Dice(0x5eed_0001);
    let mut people = vec![ledger.root.id];
    for name in ["ann", "bob"] {
        people.push(ledger.user(name).await.id);
    }
    let mut deployments = Vec::new();
    for number in 0..12 {
        let environment = ENVIRONMENTS[number % 3];
        let second = i64::try_from(number).unwrap() * 6;
        deployments.push(ledger.succeed(environment, &format!("v{number}"), second).await);
    }
    let mut rows = Vec::new();
    let mut shipped: BTreeMap<i64, Vec<&Deployment>> = BTreeMap::new();
    // In an order in which neither numbers nor times rise with the ids.
    for number in 0..48_i64 {
        let iid = (number * 29) % 48 + 1;
        let row = ledger.tell(iid, random_facts(&mut dice, &people)).await;
        for environment in 0..3 {
            if dice.chance(2) {
                let by = &deployments[environment + 3 * dice.below(4)];
                ledger.engine.link(by.id, row.id).await;
                shipped.entry(iid).or_default().push(by);
            }
        }
        rows.push(row);
    }
    // Of another project, and in no list.
    let other = ledger
        .project(&ledger.acme, "other", super::Visibility::Private)
        .await;
    ledger
        .tell_in(other, 1, random_facts(&mut dice, &people), at(99))
        .await;

    let mut sizes = [0_usize; 3];
    for round in 0..640_usize {
        let order = MergeRequestOrder::ALL[round % 8];
        let direction = [Direction::Ascending, Direction::Descending][round / 8 % 2];
        let (filter, words) = if round < 16 {
            (MergeRequestFilter::default(), &[][..])
        } else {
            random_filter(&mut dice, &people)
        };
        let shipped_by = dice
            .chance(4)
            .then(|| dice.pick(&deployments).id)
            .filter(|_| round >= 16);
        let reading = Reading {
            me: people[round % 2],
            root: ledger.root.id,
            words,
            shipped_by,
        };
        let nobody = Vec::new();
        let mut wanted: Vec<&MergeRequest> = rows
            .iter()
            .filter(|row| {
                let by = shipped.get(&row.iid.0).unwrap_or(&nobody);
                reading.matches(row.iid.0, &row.facts, &filter, by)
            })
            .collect();
        wanted.sort_by(|a, b| compare(order, direction, a, b));
        let wanted: Vec<i64> = wanted.into_iter().map(|row| row.iid.0).collect();
        sizes[wanted.len().min(2)] += 1;
        let query = MergeRequestQuery {
            viewer: reading.me,
            filter,
            order,
            direction,
        };
        let size = i64::try_from(1 + dice.below(7)).unwrap();
        let walked = ledger.listed(shipped_by, &query, size).await;
        assert_eq!(
            walked, wanted,
            "by position, {size} a page: {query:?} of {shipped_by:?}"
        );
        let page = PageRequest {
            size: 5,
            skip: 2,
            want_total: true,
            after: None,
        };
        let read = ledger
            .store
            .merge_request_list(ledger.web, shipped_by, &query, &page)
            .await
            .unwrap();
        let by_skip: Vec<i64> = read.items.iter().map(|row| row.iid.0).collect();
        let slice: Vec<i64> = wanted.iter().skip(2).take(5).copied().collect();
        assert_eq!(by_skip, slice, "by skip: {query:?}");
        assert_eq!(read.next.is_some(), wanted.len() > 7);
        assert_eq!(read.total, Some(i64::try_from(wanted.len()).unwrap()));
        for item in &read.items {
            assert!(rows.contains(item), "whole, as it is found alone");
        }
    }
    assert!(
        sizes.iter().all(|&count| count > 50),
        "lists of every size: {sizes:?}"
    );
}

pub async fn a_time_of_a_project_that_is_ahead_is_kept(ledger: &Ledger) {
    ledger.succeed("production", "main", 100).await;
    let before = ledger.engine.counters(ledger.web).await;
    ledger.tell_in(ledger.web, 1, merged(0), at(50)).await;
    let due = at(100);
    assert!(
        ledger
            .engine
            .link_work()
            .await
            .iter()
            .any(|&(_, _, at)| at == due)
    );
    assert_eq!(
        ledger.engine.counters(ledger.web).await,
        before,
        "the log tells nothing of it"
    );
}
