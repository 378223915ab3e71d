//! Tests of the rules about merge requests.

use chrono::TimeDelta;

use super::{
    report::{Field, Report, UpsertMergeRequest, day},
    *,
};
use crate::domain::{
    directory::fixture,
    id::UserKey,
    merge_request::query::{LabelMatch, MergeRequestExclusion, MergeRequestFilter, Search},
};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn at(seconds: i64) -> Time {
    fixture::now() + TimeDelta::seconds(seconds)
}

fn told<T>(value: T) -> Field<T> {
    Field::Told(value)
}

/// The least that a new merge request takes.
fn least() -> Report {
    Report {
        title: told("Fix it".into()),
        state: told(Some(MergeRequestState::Opened)),
        target_branch: told("main".into()),
        source_branch: told("fix".into()),
        ..Report::default()
    }
}

fn users() -> Vec<UserSummary> {
    [1, 2, 3].map(|id| fixture::user(id).summary()).to_vec()
}

fn command(report: Report) -> UpsertMergeRequest {
    UpsertMergeRequest {
        iid: MergeRequestIid(7),
        report,
        skip_unknown_users: false,
    }
}

fn decide(report: Report, existing: Option<&MergeRequest>, now: Time) -> Result<MergeRequestChange, Error> {
    command(report).decide(existing, &users(), &Guard::default(), now)
}

#[track_caller]
fn recorded(report: Report) -> MergeRequest {
    match decide(report, None, at(0)).unwrap() {
        MergeRequestChange::Created { iid, facts, .. } => MergeRequest {
            id: MergeRequestId(1),
            iid,
            project_id: ProjectId(1),
            project_path: "acme/web".into(),
            facts: *facts,
            people: BTreeMap::new(),
            version: 1,
        },
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn updated(report: Report, existing: &MergeRequest, now: Time) -> Facts {
    match decide(report, Some(existing), now).unwrap() {
        MergeRequestChange::Updated { facts, before, .. } => {
            assert_eq!(*before, *existing);
            *facts
        }
        other => panic!("{other:?}"),
    }
}

/// Whether nothing changes, and if so, whether because the report is stale.
#[track_caller]
fn kept(report: Report, existing: &MergeRequest, now: Time) -> bool {
    match decide(report, Some(existing), now).unwrap() {
        MergeRequestChange::Kept { merge_request, stale } => {
            assert_eq!(*merge_request, *existing);
            stale
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn fields(refused: Result<MergeRequestChange, Error>) -> Vec<String> {
    let refused = refused.unwrap_err();
    assert_eq!(refused.reason(), Reason::InvalidArgument, "{refused}");
    let fields = refused
        .violations()
        .iter()
        .map(|violation| violation.field.clone());
    fields.collect()
}

fn label(name: &str) -> Label {
    Label {
        name: name.into(),
        color: String::new(),
        text_color: String::new(),
        description: String::new(),
        priority: None,
    }
}

fn milestone() -> Milestone {
    Milestone {
        id: 1,
        iid: 1,
        title: "1.0".into(),
        description: String::new(),
        closed: false,
        start_date: None,
        due_date: None,
        created_at: None,
        updated_at: None,
        web_url: None,
    }
}

fn reaction(user: i64, name: &str) -> Reaction {
    Reaction {
        user_id: UserId(user),
        name: name.into(),
    }
}

#[test]
fn a_draft_is_told_by_the_beginning_of_its_title() {
    for (title, draft) in [
        ("Draft: x", true),
        ("draft:x", true),
        ("DRAFT - x", true),
        ("[Draft] x", true),
        ("(draft)", true),
        ("Draft", false),
        ("Draft x", false),
        ("Draft -x", false),
        ("Draft- x", false),
        ("A Draft: x", false),
        (" Draft: x", false),
        ("WIP: x", false),
        ("[Draft x]", false),
        ("Dräft: x", false),
        ("D\u{1f680}", false),
        ("", false),
    ] {
        assert_eq!(is_draft(title), draft, "{title:?}");
    }
}

#[test]
fn environments_in_folders_are_linked_in_two_tiers_only() {
    use EnvironmentTier as T;
    for (name, tier, linked) in [
        ("production", T::Production, true),
        ("anything", T::Other, true),
        ("dev", T::Development, true),
        ("review/x", T::Development, false),
        ("testing/aws", T::Testing, false),
        ("other/x", T::Other, false),
        ("production/gcp", T::Production, true),
        ("review/x", T::Staging, true),
        ("a/b/c", T::Production, true),
        ("a/b/c", T::Other, false),
        ("ends/", T::Other, false),
    ] {
        assert_eq!(is_linked(name, tier), linked, "{name} of tier {tier:?}");
    }
}

#[test]
fn a_day_is_a_real_one_written_in_one_way() {
    for good in ["2024-02-29", "1969-12-31", "9999-12-31", "0001-01-01"] {
        assert_eq!(day("d", good).unwrap().unwrap().to_string(), good);
    }
    assert_eq!(day("d", "").unwrap(), None);
    for bad in [
        "2023-02-29",
        "2024-2-9",
        "2024-13-01",
        "2024-00-10",
        "2024-01-32",
        "20240101",
        "2024-01-01T00:00:00Z",
        "0000-01-01",
        " 2024-01-1",
        "+024-01-01",
        "tomorrow",
        "２０２４-01-01",
    ] {
        let refused = day("merge_request.milestone.due_date", bad).unwrap_err();
        assert_eq!(
            refused.violations()[0].field,
            "merge_request.milestone.due_date",
            "{bad}"
        );
    }
}

/// What makes a report wrong.
type Break = Box<dyn Fn(&mut Report)>;

#[test]
fn what_is_wrong_with_a_report_is_told_by_field() {
    let long = |length| "x".repeat(length);
    let mut table: Vec<(Break, &str)> = Vec::new();
    let mut bad = |damage: Break, field: &'static str| table.push((damage, field));
    for title in [
        String::new(),
        " ".into(),
        long(1_025),
        "a\rb".into(),
        "a\nb".into(),
        "a\0b".into(),
        "a\u{2028}b".into(),
    ] {
        bad(Box::new(move |r| r.title = told(title.clone())), "title");
    }
    for branch in [String::new(), long(256), "a\nb".into()] {
        let other = branch.clone();
        bad(
            Box::new(move |r| r.target_branch = told(branch.clone())),
            "target_branch",
        );
        bad(
            Box::new(move |r| r.source_branch = told(other.clone())),
            "source_branch",
        );
    }
    bad(
        Box::new(move |r| r.description = told(long(1_048_577))),
        "description",
    );
    bad(Box::new(|r| r.description = told("\0".into())), "description");
    bad(Box::new(|r| r.state = told(None)), "state");
    for sha in [
        "a",
        "A91957A858320C0E17F3A0ECA7CFACBFF50EA29A",
        &"a".repeat(41),
        &"g".repeat(40),
        " ",
    ] {
        let sha = sha.to_owned();
        let (merge, squash, pick) = (sha.clone(), sha.clone(), sha.clone());
        bad(Box::new(move |r| r.sha = told(sha.clone())), "sha");
        bad(
            Box::new(move |r| r.merge_commit_sha = told(merge.clone())),
            "merge_commit_sha",
        );
        bad(
            Box::new(move |r| r.squash_commit_sha = told(squash.clone())),
            "squash_commit_sha",
        );
        bad(
            Box::new(move |r| r.cherry_pick_shas = told(vec![A.into(), pick.clone()])),
            "cherry_pick_shas[1]",
        );
    }
    bad(
        Box::new(|r| r.cherry_pick_shas = told(vec![String::new()])),
        "cherry_pick_shas[0]",
    );
    bad(
        Box::new(|r| r.cherry_pick_shas = told(vec![A.into(); 501])),
        "cherry_pick_shas",
    );
    let late = Some(at(61));
    bad(Box::new(move |r| r.created_at = told(late)), "created_at");
    bad(Box::new(move |r| r.updated_at = told(late)), "updated_at");
    bad(
        Box::new(move |r| {
            r.merged_at = told(late);
            r.state = told(Some(MergeRequestState::Merged));
        }),
        "merged_at",
    );
    bad(Box::new(move |r| r.closed_at = told(late)), "closed_at");
    bad(Box::new(move |r| r.prepared_at = told(late)), "prepared_at");
    bad(Box::new(move |r| r.merged_at = told(Some(at(0)))), "merged_at");
    bad(
        Box::new(|r| r.author = told(Some(UserKey::Id(UserId(9))))),
        "author",
    );
    bad(
        Box::new(|r| r.merged_by = told(Some(UserKey::Name("nobody".into())))),
        "merged_by",
    );
    bad(
        Box::new(|r| r.closed_by = told(Some(UserKey::Id(UserId(0))))),
        "closed_by",
    );
    let strange = || told(vec![UserKey::Id(UserId(1)), UserKey::Id(UserId(9))]);
    bad(Box::new(move |r| r.assignees = strange()), "assignees[1]");
    bad(Box::new(move |r| r.reviewers = strange()), "reviewers[1]");
    bad(
        Box::new(|r| r.assignees = told(vec![UserKey::Id(UserId(1)); 201])),
        "assignees",
    );
    bad(
        Box::new(|r| r.reviewers = told(vec![UserKey::Id(UserId(1)); 201])),
        "reviewers",
    );
    for name in [
        String::new(),
        " ".into(),
        long(256),
        "a,b".into(),
        "a\nb".into(),
        "first".into(),
    ] {
        bad(
            Box::new(move |r| {
                r.labels = told(vec![
                    label("first"),
                    label("second"),
                    label("third"),
                    label(&name),
                ]);
            }),
            "labels[3].name",
        );
    }
    for color in ["red", "#12345", "#1234567", "#12345g", "123456"] {
        bad(
            Box::new(move |r| {
                r.labels = told(vec![Label {
                    color: color.into(),
                    ..label("a")
                }]);
            }),
            "labels[0].color",
        );
        bad(
            Box::new(move |r| {
                r.labels = told(vec![Label {
                    text_color: color.into(),
                    ..label("a")
                }]);
            }),
            "labels[0].text_color",
        );
    }
    bad(
        Box::new(move |r| {
            r.labels = told(vec![Label {
                description: long(10_001),
                ..label("a")
            }]);
        }),
        "labels[0].description",
    );
    for priority in [0, -1] {
        bad(
            Box::new(move |r| {
                r.labels = told(vec![Label {
                    priority: Some(priority),
                    ..label("a")
                }]);
            }),
            "labels[0].priority",
        );
    }
    for (damage, field) in [
        ((|m| m.id = 0) as fn(&mut Milestone), "milestone.id"),
        (|m| m.iid = -1, "milestone.iid"),
        (|m| m.title.clear(), "milestone.title"),
        (|m| m.title = "x".repeat(256), "milestone.title"),
        (|m| m.title = "a\nb".into(), "milestone.title"),
        (|m| m.description = "x".repeat(10_001), "milestone.description"),
        (|m| m.created_at = Some(at(61)), "milestone.created_at"),
        (|m| m.updated_at = Some(at(61)), "milestone.updated_at"),
        (|m| m.web_url = Some("javascript:x".into()), "milestone.web_url"),
    ] {
        bad(
            Box::new(move |r| {
                let mut milestone = milestone();
                damage(&mut milestone);
                r.milestone = told(Some(milestone));
            }),
            field,
        );
    }
    for name in [String::new(), long(256), "a\nb".into()] {
        bad(
            Box::new(move |r| r.reactions = told(vec![reaction(1, "tada"), reaction(1, &name)])),
            "reactions[1].name",
        );
    }
    bad(
        Box::new(|r| r.reactions = told(vec![reaction(9, "tada")])),
        "reactions[0].user_id",
    );
    bad(
        Box::new(|r| r.reactions = told(vec![reaction(1, "tada"); 1_001])),
        "reactions",
    );
    bad(Box::new(|r| r.upvotes = told(-1)), "upvotes");
    bad(Box::new(|r| r.downvotes = told(-1)), "downvotes");
    bad(Box::new(|r| r.user_notes_count = told(-1)), "user_notes_count");
    bad(
        Box::new(|r| r.time_estimate = told(-1)),
        "time_stats.time_estimate",
    );
    bad(
        Box::new(|r| r.total_time_spent = told(-1)),
        "time_stats.total_time_spent",
    );
    bad(Box::new(|r| r.task_count = told(-1)), "task_count");
    bad(
        Box::new(|r| r.task_completed_count = told(-1)),
        "task_completed_count",
    );
    bad(
        Box::new(|r| r.approvals_before_merge = told(Some(-1))),
        "approvals_before_merge",
    );
    bad(
        Box::new(|r| r.source_project_id = told(Some(ProjectId(0)))),
        "source_project_id",
    );
    bad(
        Box::new(move |r| r.merge_status = told(long(256))),
        "merge_status",
    );
    bad(
        Box::new(move |r| r.detailed_merge_status = told(long(256))),
        "detailed_merge_status",
    );
    for address in [long(2_049), "JavaScript:x".into(), "https://a b".into()] {
        bad(Box::new(move |r| r.web_url = told(address.clone())), "web_url");
    }
    let existing = recorded(least());
    for (number, (damage, field)) in table.iter().enumerate() {
        let mut report = least();
        damage(&mut report);
        for known in [None, Some(&existing)] {
            let refused = fields(decide(report.clone(), known, at(0)));
            assert_eq!(refused, [format!("merge_request.{field}")], "case {number}");
        }
    }
    assert!(decide(least(), None, at(0)).is_ok());
}

#[test]
fn what_is_at_its_limit_is_taken() {
    let report = Report {
        title: told("é".repeat(1_024)),
        description: told("é".repeat(1_048_576)),
        target_branch: told("é".repeat(255)),
        created_at: told(Some(at(60))),
        updated_at: told(Some(at(60))),
        // Years ahead: that is what it is for.
        merge_after: told(Some(at(100_000_000))),
        cherry_pick_shas: told((0..500).map(|number| format!("{number:040x}")).collect()),
        labels: told((0..500).map(|number| label(&number.to_string())).collect()),
        assignees: told(vec![UserKey::Id(UserId(1)); 200]),
        reactions: told(vec![reaction(1, "tada"); 1_000]),
        sha: told("0".repeat(64)),
        web_url: told("x".repeat(2_048)),
        ..least()
    };
    let facts = recorded(report).facts;
    assert_eq!((facts.labels.len(), facts.cherry_pick_shas.len()), (500, 500));
    // Nobody is there twice.
    assert_eq!((facts.assignees, facts.reactions.len()), (vec![UserId(1)], 1));
}

#[test]
fn of_many_that_are_wrong_a_few_are_named() {
    let report = Report {
        labels: told(vec![label(","); 500]),
        cherry_pick_shas: told(vec!["x".into(); 500]),
        assignees: told(vec![UserKey::Id(UserId(9)); 200]),
        ..least()
    };
    let refused = fields(decide(report, None, at(0)));
    assert_eq!(refused.len(), 6, "{refused:?}");
    let report = Report {
        labels: told((0..10_000).map(|_| label(",")).collect()),
        ..least()
    };
    let refused = decide(report, None, at(0)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "merge_request.labels are too many (maximum is 500)"
    );
}

#[test]
fn a_new_one_takes_four_fields_and_has_blanks_for_the_rest() {
    let mut missing = fields(decide(Report::default(), None, at(0)));
    missing.sort();
    assert_eq!(
        missing,
        ["source_branch", "state", "target_branch", "title"].map(|field| format!("merge_request.{field}"))
    );
    let facts = recorded(least()).facts;
    assert_eq!((facts.created_at, facts.updated_at), (at(0), at(0)));
    assert_eq!((facts.author, facts.sha.as_str(), facts.upvotes), (None, "", 0));
    let early = Report {
        created_at: told(Some(at(-9))),
        updated_at: told(Some(at(-5))),
        ..least()
    };
    let facts = recorded(early).facts;
    assert_eq!((facts.created_at, facts.updated_at), (at(-9), at(-5)));
    let mut nothing = command(least());
    for iid in [0, -1] {
        nothing.iid = MergeRequestIid(iid);
        let refused = nothing.decide(None, &users(), &Guard::default(), at(0));
        assert_eq!(fields(refused), ["iid"]);
    }
}

#[test]
fn only_what_is_told_changes() {
    let existing = recorded(Report {
        description: told("what".into()),
        author: told(Some(UserKey::Name("USER1".into()))),
        labels: told(vec![label("b"), label("a")]),
        reviewers: told(vec![UserKey::Id(UserId(3)), UserKey::Id(UserId(2))]),
        upvotes: told(3),
        updated_at: told(Some(at(0))),
        ..least()
    });
    assert_eq!(existing.facts.author, Some(UserId(1)));
    assert_eq!(existing.facts.reviewers, [UserId(3), UserId(2)]);
    let names: Vec<&str> = existing
        .facts
        .labels
        .iter()
        .map(|label| label.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    let facts = updated(
        Report {
            upvotes: told(4),
            ..Report::default()
        },
        &existing,
        at(9),
    );
    let wanted = Facts {
        upvotes: 4,
        ..existing.facts.clone()
    };
    assert_eq!(facts, wanted, "not even the time: it is not told");
    // Told and empty is empty.
    let facts = updated(
        Report {
            author: told(None),
            labels: told(Vec::new()),
            reviewers: told(Vec::new()),
            description: told(String::new()),
            ..Report::default()
        },
        &existing,
        at(9),
    );
    assert_eq!(
        (facts.author, facts.labels, facts.reviewers),
        (None, vec![], vec![])
    );
    assert_eq!((facts.description.as_str(), facts.upvotes), ("", 3));
}

#[test]
fn people_who_are_not_here_are_left_out_if_that_is_wanted() {
    let report = Report {
        author: told(Some(UserKey::Id(UserId(9)))),
        assignees: told(vec![
            UserKey::Name("nobody".into()),
            UserKey::Name("User2".into()),
        ]),
        reactions: told(vec![reaction(9, "tada"), reaction(3, "tada")]),
        ..least()
    };
    let command = UpsertMergeRequest {
        skip_unknown_users: true,
        ..command(report)
    };
    let MergeRequestChange::Created { facts, .. } =
        command.decide(None, &users(), &Guard::default(), at(0)).unwrap()
    else {
        panic!()
    };
    assert_eq!((facts.author, facts.assignees), (None, vec![UserId(2)]));
    assert_eq!(facts.reactions, [reaction(3, "tada")]);
}

#[test]
fn an_older_report_changes_nothing_and_an_equal_one_what_differs() {
    let report = |at, upvotes| Report {
        updated_at: told(Some(at)),
        created_at: told(None),
        upvotes: told(upvotes),
        ..least()
    };
    let existing = recorded(report(at(0), 1));
    assert!(kept(report(at(-1), 5), &existing, at(9)), "older");
    assert!(!kept(report(at(0), 1), &existing, at(9)), "the same");
    assert_eq!(updated(report(at(0), 2), &existing, at(9)).upvotes, 2);
    let newer = updated(report(at(5), 1), &existing, at(9));
    assert_eq!(
        (newer.updated_at, newer.created_at),
        (at(5), existing.facts.created_at)
    );
    // What is wrong is wrong, however old.
    let wrong = Report {
        title: told(String::new()),
        ..report(at(-1), 1)
    };
    assert_eq!(
        fields(decide(wrong, Some(&existing), at(9))),
        ["merge_request.title"]
    );
}

#[test]
fn without_a_time_it_changed_now_if_it_changed_at_all() {
    let report = |upvotes| Report {
        updated_at: told(None),
        upvotes: told(upvotes),
        ..least()
    };
    let existing = recorded(report(1));
    assert!(!kept(report(1), &existing, at(9)));
    assert_eq!(updated(report(2), &existing, at(9)).updated_at, at(9));
    let ahead = recorded(Report {
        updated_at: told(Some(at(50))),
        ..report(1)
    });
    assert_eq!(
        updated(report(2), &ahead, at(9)).updated_at,
        at(50),
        "never backwards"
    );
}

#[test]
fn a_guard_is_kept() {
    let existing = recorded(least());
    let with = |etag: &str, existing: Option<&MergeRequest>| {
        let report = Report {
            upvotes: told(1),
            ..least()
        };
        command(report)
            .decide(existing, &users(), &Guard::etag(etag), at(0))
            .map_err(|error| error.reason())
            .err()
    };
    assert_eq!(with("", Some(&existing)), None);
    assert_eq!(with(&existing.etag(), Some(&existing)), None);
    assert_eq!(with("\"1-2\"", Some(&existing)), Some(Reason::EtagMismatch));
    assert_eq!(with("\"1-1\"", None), Some(Reason::EtagMismatch));
    let deleted = existing.delete(&Guard::etag("\"1-2\"")).unwrap_err();
    assert_eq!(deleted.reason(), Reason::EtagMismatch);
    assert_eq!(
        existing.delete(&Guard::default()).unwrap(),
        MergeRequestChange::Deleted(existing.id)
    );
}

#[test]
fn what_may_have_shipped_it_is_looked_through_again_when_it_could_not_have_been_found_before() {
    use MergeRequestState::{Closed, Merged, Opened};
    let base = Facts {
        created_at: at(-100),
        ..recorded(least()).facts
    };
    let facts = |change: &dyn Fn(&mut Facts)| {
        let mut facts = base.clone();
        change(&mut facts);
        facts
    };
    let merged = facts(&|f| (f.state, f.merged_at, f.sha) = (Merged, Some(at(5)), A.into()));
    let with = |change: &dyn Fn(&mut Facts)| {
        let mut facts = merged.clone();
        change(&mut facts);
        facts
    };
    let picked = with(&|f| f.cherry_pick_shas = vec![A.into()]);
    let since = Relink::Since(at(5));
    for (name, before, after, wanted) in [
        ("new and open", None, &base, Relink::Nothing),
        ("new and merged", None, &merged, since),
        (
            "new, merged nobody knows when",
            None,
            &with(&|f| f.merged_at = None),
            Relink::Since(at(-100)),
        ),
        ("merged now", Some(&base), &merged, since),
        (
            "closed",
            Some(&base),
            &facts(&|f| f.state = Closed),
            Relink::Nothing,
        ),
        (
            "open with another commit",
            Some(&base),
            &facts(&|f| (f.state, f.sha) = (Opened, B.into())),
            Relink::Nothing,
        ),
        ("merged as before", Some(&merged), &merged, Relink::Nothing),
        (
            "another title",
            Some(&merged),
            &with(&|f| f.title = "x".into()),
            Relink::Nothing,
        ),
        ("another head", Some(&merged), &with(&|f| f.sha = B.into()), since),
        (
            "a merge commit",
            Some(&merged),
            &with(&|f| f.merge_commit_sha = B.into()),
            since,
        ),
        (
            "a squash commit",
            Some(&merged),
            &with(&|f| f.squash_commit_sha = B.into()),
            since,
        ),
        (
            "another branch",
            Some(&merged),
            &with(&|f| f.target_branch = "x".into()),
            since,
        ),
        (
            "another time",
            Some(&merged),
            &with(&|f| f.merged_at = Some(at(3))),
            Relink::Since(at(3)),
        ),
        ("a cherry-pick", Some(&merged), &picked, Relink::Everything),
        (
            "a cherry-pick of an open one",
            Some(&base),
            &facts(&|f| f.cherry_pick_shas = vec![B.into()]),
            Relink::Everything,
        ),
        ("the same cherry-pick", Some(&picked), &picked, Relink::Nothing),
        ("one cherry-pick fewer", Some(&picked), &merged, Relink::Nothing),
    ] {
        assert_eq!(relink(before, after), wanted, "{name}");
    }
}

#[test]
fn what_lists_are_sorted_by_is_the_best_there_is() {
    let ranked = |priority| Label {
        priority,
        ..label("x")
    };
    let facts = Facts {
        labels: vec![ranked(Some(7)), ranked(None), ranked(Some(3))],
        milestone: Some(Milestone {
            due_date: day("d", "1970-01-11").unwrap(),
            ..milestone()
        }),
        ..recorded(least()).facts
    };
    assert_eq!(
        (facts.label_priority(), facts.milestone_due()),
        (Some(3), Some(10))
    );
    let bare = Facts {
        labels: vec![ranked(None)],
        milestone: Some(milestone()),
        ..facts
    };
    assert_eq!((bare.label_priority(), bare.milestone_due()), (None, None));
}

#[test]
fn a_search_is_its_words_and_what_is_quoted_is_one_word() {
    for (text, words) in [
        ("", &[][..]),
        ("  \t\n", &[]),
        ("Fix", &["fix"]),
        ("fix  THE bug", &["fix", "the", "bug"]),
        ("\"fix the\" bug", &["fix the", "bug"]),
        ("a\"b c\"d", &["a", "b c", "d"]),
        ("\"\" x", &["x"]),
        ("\" \"", &[]),
        ("say \"hello", &["say", "\"hello"]),
        ("\"a\" \"b\" \"", &["a", "b", "\""]),
        ("ÜBER", &["über"]),
        ("100%", &["100%"]),
    ] {
        let mut found = Search::of(text).words;
        let mut wanted: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{text:?}");
    }
}

#[test]
fn a_filter_does_not_outgrow_a_statement() {
    let filter = |iids, labels, excluded, search: &str| MergeRequestFilter {
        iids: vec![MergeRequestIid(1); iids],
        labels: Some(LabelMatch::All(vec!["x".into(); labels])),
        search: Some(Search::of(search)),
        exclude: MergeRequestExclusion {
            labels: vec!["x".into(); excluded],
            ..MergeRequestExclusion::default()
        },
        ..MergeRequestFilter::default()
    };
    assert!(filter(500, 500, 500, &"x ".repeat(32)).check().is_ok());
    assert!(filter(0, 0, 0, &"x".repeat(1_024)).check().is_ok());
    for (filter, field) in [
        (filter(501, 0, 0, ""), "filter.iids"),
        (filter(0, 501, 0, ""), "filter.labels.all.names"),
        (filter(0, 0, 501, ""), "filter.exclude.labels.names"),
        (filter(0, 0, 0, &"x ".repeat(33)), "filter.search"),
        (filter(0, 0, 0, &"x".repeat(1_025)), "filter.search"),
    ] {
        assert_eq!(filter.check().unwrap_err().violations()[0].field, field);
    }
}
