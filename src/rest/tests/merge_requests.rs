//! The merge requests of a deployment: every parameter of contract 2.7.

use v1::{
    Anything, LabelMatch, LabelNames, ListDeploymentMergeRequestsRequest as Asked, MergeRequestExclusion,
    MergeRequestFilter as Filter, MergeRequestOrderBy as Order, MergeRequestScope as Scope,
    MergeRequestSearchField as Field, MergeRequestState as State, NameMatch, SortDirection, UserMatch,
    UserRef, label_match, name_match, user_match, user_ref,
};

use super::*;

const LIST: &str = "/api/v4/projects/7/deployments/42/merge_requests";

fn id(id: i64) -> UserRef {
    UserRef {
        by: Some(user_ref::By::Id(id)),
    }
}

fn name(username: &str) -> UserRef {
    UserRef {
        by: Some(user_ref::By::Username(username.to_owned())),
    }
}

fn user(user: UserRef) -> UserMatch {
    UserMatch {
        of: Some(user_match::Of::User(user)),
    }
}

const NOBODY: Option<UserMatch> = Some(UserMatch {
    of: Some(user_match::Of::None(Anything {})),
});
const ANYBODY: Option<UserMatch> = Some(UserMatch {
    of: Some(user_match::Of::Any(Anything {})),
});
const NONE: Option<NameMatch> = Some(NameMatch {
    of: Some(name_match::Of::None(Anything {})),
});
const ANY: Option<NameMatch> = Some(NameMatch {
    of: Some(name_match::Of::Any(Anything {})),
});

fn word(text: &str) -> NameMatch {
    NameMatch {
        of: Some(name_match::Of::Name(text.to_owned())),
    }
}

fn names(names: &[&str]) -> LabelNames {
    LabelNames {
        names: names.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn all(labels: &[&str]) -> LabelMatch {
    LabelMatch {
        of: Some(label_match::Of::All(names(labels))),
    }
}

fn at(text: &str) -> Option<prost_types::Timestamp> {
    time::parse(text, chrono::NaiveDate::default())
}

/// The defaults, changed.
fn filter(change: impl FnOnce(&mut Filter)) -> Filter {
    let mut filter = Filter::default();
    change(&mut filter);
    filter
}

fn but_not(change: impl FnOnce(&mut MergeRequestExclusion)) -> Filter {
    let mut exclude = MergeRequestExclusion::default();
    change(&mut exclude);
    filter(|filter| filter.exclude = Some(exclude))
}

async fn asked(rig: &Rig, query: &str) -> Asked {
    let answered = rig.ask("GET", &format!("{LIST}?{query}")).await;
    assert_eq!(answered.status, 200, "{query}: {}", answered.body);
    rig.fake.asked::<Asked>().unwrap().0
}

#[tokio::test]
async fn every_filter_is_passed_on() {
    let rig = Rig::new().await;
    let table: Vec<(&str, Filter)> = vec![
        ("", filter(|_| {})),
        ("state=merged", filter(|f| f.state = Some(State::Merged.into()))),
        ("state=opened", filter(|f| f.state = Some(State::Opened.into()))),
        ("state=closed", filter(|f| f.state = Some(State::Closed.into()))),
        ("state=locked", filter(|f| f.state = Some(State::Locked.into()))),
        ("state=all", filter(|_| {})),
        ("iids[]=3&iids[]=5", filter(|f| f.iids = vec![3, 5])),
        ("iids=3,5", filter(|f| f.iids = vec![3, 5])),
        ("author_id=4", filter(|f| f.author = Some(id(4)))),
        ("author_username=ada", filter(|f| f.author = Some(name("ada")))),
        ("assignee_id=4", filter(|f| f.assignee = Some(user(id(4))))),
        ("assignee_id=None", filter(|f| f.assignee = NOBODY)),
        ("assignee_id=any", filter(|f| f.assignee = ANYBODY)),
        (
            "assignee_username=ada",
            filter(|f| f.assignee = Some(user(name("ada")))),
        ),
        (
            "assignee_username[]=ada",
            filter(|f| f.assignee = Some(user(name("ada")))),
        ),
        ("reviewer_id=4", filter(|f| f.reviewer = Some(user(id(4))))),
        ("reviewer_id=none", filter(|f| f.reviewer = NOBODY)),
        ("reviewer_id=ANY", filter(|f| f.reviewer = ANYBODY)),
        (
            "reviewer_username=ada",
            filter(|f| f.reviewer = Some(user(name("ada")))),
        ),
        ("merge_user_id=4", filter(|f| f.merged_by = Some(id(4)))),
        (
            "merge_user_username=ada",
            filter(|f| f.merged_by = Some(name("ada"))),
        ),
        ("labels=a,b%20c", filter(|f| f.labels = Some(all(&["a", "b c"])))),
        (
            "labels[]=a&labels[]=b",
            filter(|f| f.labels = Some(all(&["a", "b"]))),
        ),
        ("labels=", filter(|_| {})),
        (
            "labels=none",
            filter(|f| {
                f.labels = Some(LabelMatch {
                    of: Some(label_match::Of::None(Anything {})),
                });
            }),
        ),
        (
            "labels=Any",
            filter(|f| {
                f.labels = Some(LabelMatch {
                    of: Some(label_match::Of::Any(Anything {})),
                });
            }),
        ),
        ("labels=any,b", filter(|f| f.labels = Some(all(&["any", "b"])))),
        ("milestone=v1", filter(|f| f.milestone = Some(word("v1")))),
        ("milestone=None", filter(|f| f.milestone = NONE)),
        ("milestone=any", filter(|f| f.milestone = ANY)),
        (
            "my_reaction_emoji=star",
            filter(|f| f.my_reaction_emoji = Some(word("star"))),
        ),
        ("my_reaction_emoji=None", filter(|f| f.my_reaction_emoji = NONE)),
        ("my_reaction_emoji=Any", filter(|f| f.my_reaction_emoji = ANY)),
        (
            "scope=created_by_me",
            filter(|f| f.scope = Scope::CreatedByMe.into()),
        ),
        (
            "scope=created-by-me",
            filter(|f| f.scope = Scope::CreatedByMe.into()),
        ),
        (
            "scope=assigned_to_me",
            filter(|f| f.scope = Scope::AssignedToMe.into()),
        ),
        (
            "scope=assigned-to-me",
            filter(|f| f.scope = Scope::AssignedToMe.into()),
        ),
        (
            "scope=reviews_for_me",
            filter(|f| f.scope = Scope::ReviewsForMe.into()),
        ),
        ("scope=all", filter(|_| {})),
        (
            "source_branch=a/b",
            filter(|f| f.source_branch = Some("a/b".to_owned())),
        ),
        (
            "target_branch=main",
            filter(|f| f.target_branch = Some("main".to_owned())),
        ),
        ("source_project_id=9", filter(|f| f.source_project_id = Some(9))),
        ("search=fix+it", filter(|f| f.search = Some("fix it".to_owned()))),
        ("in=title", filter(|f| f.search_in = vec![Field::Title.into()])),
        (
            "in=title,description",
            filter(|f| f.search_in = vec![Field::Title.into(), Field::Description.into()]),
        ),
        ("wip=yes", filter(|f| f.draft = Some(true))),
        ("wip=no", filter(|f| f.draft = Some(false))),
        ("draft=true", filter(|f| f.draft = Some(true))),
        ("draft=0", filter(|f| f.draft = Some(false))),
        (
            "created_after=2019-03-15",
            filter(|f| f.created_after = at("2019-03-15")),
        ),
        (
            "created_before=2019-03-15",
            filter(|f| f.created_before = at("2019-03-15")),
        ),
        (
            "updated_after=2019-03-15",
            filter(|f| f.updated_after = at("2019-03-15")),
        ),
        (
            "updated_before=2019-03-15",
            filter(|f| f.updated_before = at("2019-03-15")),
        ),
        (
            "merged_after=2019-03-15",
            filter(|f| f.merged_after = at("2019-03-15")),
        ),
        (
            "merged_before=2019-03-15",
            filter(|f| f.merged_before = at("2019-03-15")),
        ),
        (
            "deployed_after=2019-03-15",
            filter(|f| f.deployed_after = at("2019-03-15")),
        ),
        (
            "deployed_before=2019-03-15",
            filter(|f| f.deployed_before = at("2019-03-15")),
        ),
        ("deployed_after=lately", filter(|_| {})),
        ("deployed_before=someday", filter(|_| {})),
        (
            "environment=production",
            filter(|f| f.environment = Some("production".to_owned())),
        ),
        ("environment=", filter(|_| {})),
        ("not[author_id]=4", but_not(|e| e.author = Some(id(4)))),
        (
            "not[author_username]=ada",
            but_not(|e| e.author = Some(name("ada"))),
        ),
        ("not[assignee_id]=4", but_not(|e| e.assignee = Some(id(4)))),
        (
            "not[assignee_username]=ada",
            but_not(|e| e.assignee = Some(name("ada"))),
        ),
        ("not[reviewer_id]=4", but_not(|e| e.reviewer = Some(id(4)))),
        (
            "not[reviewer_username]=ada",
            but_not(|e| e.reviewer = Some(name("ada"))),
        ),
        (
            "not[labels]=a,b",
            but_not(|e| e.labels = Some(names(&["a", "b"]))),
        ),
        ("not[labels][]=a", but_not(|e| e.labels = Some(names(&["a"])))),
        (
            "not[milestone]=v1",
            but_not(|e| e.milestone = Some("v1".to_owned())),
        ),
        (
            "not[my_reaction_emoji]=star",
            but_not(|e| e.my_reaction_emoji = Some("star".to_owned())),
        ),
        ("unheard_of=1&not[unheard_of]=1", but_not(|_| {})),
    ];
    for (query, wanted) in table {
        let got = asked(&rig, query).await;
        assert_eq!(got.filter, Some(wanted), "{query}");
        assert_eq!(got.deployment_id, 42);
    }
}

#[tokio::test]
async fn every_order_is_passed_on_and_the_latest_come_first() {
    let rig = Rig::new().await;
    for (query, order, direction) in [
        ("", Order::CreatedAt, SortDirection::Desc),
        ("sort=asc", Order::CreatedAt, SortDirection::Asc),
        ("order_by=created_at", Order::CreatedAt, SortDirection::Desc),
        (
            "order_by=updated_at&sort=asc",
            Order::UpdatedAt,
            SortDirection::Asc,
        ),
        ("order_by=merged_at", Order::MergedAt, SortDirection::Desc),
        ("order_by=title", Order::Title, SortDirection::Desc),
        ("order_by=popularity", Order::Popularity, SortDirection::Desc),
        ("order_by=priority", Order::Priority, SortDirection::Desc),
        (
            "order_by=label_priority",
            Order::LabelPriority,
            SortDirection::Desc,
        ),
        ("order_by=milestone_due", Order::MilestoneDue, SortDirection::Desc),
    ] {
        let got = asked(&rig, query).await;
        assert_eq!((got.order_by(), got.direction()), (order, direction), "{query}");
    }
    let got = asked(&rig, "page=3&per_page=5").await;
    assert_eq!((got.skip, got.page_size, got.want_total), (10, 5, true));
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let rig = Rig::new().await;
    for (query, wanted) in [
        ("state=open", "state does not have a valid value"),
        ("order_by=id", "order_by does not have a valid value"),
        ("sort=up", "sort does not have a valid value"),
        ("scope=mine", "scope does not have a valid value"),
        ("view=full", "view does not have a valid value"),
        ("wip=true", "wip does not have a valid value"),
        ("draft=maybe", "draft is invalid"),
        ("with_labels_details=2", "with_labels_details is invalid"),
        (
            "with_merge_status_recheck=2",
            "with_merge_status_recheck is invalid",
        ),
        ("author_id=ada", "author_id is invalid"),
        ("source_project_id=x", "source_project_id is invalid"),
        ("iids[]=x", "iids is invalid"),
        (
            "assignee_id=foo",
            "assignee_id should be an integer, none, or any, however got foo",
        ),
        (
            "reviewer_id=foo",
            "reviewer_id should be an integer, none, or any, however got foo",
        ),
        (
            "author_id=1&author_username=a",
            "author_id, author_username are mutually exclusive",
        ),
        (
            "assignee_id=1&assignee_username=a",
            "assignee_id, assignee_username are mutually exclusive",
        ),
        (
            "reviewer_id=1&reviewer_username=a",
            "reviewer_id, reviewer_username are mutually exclusive",
        ),
        (
            "merge_user_id=1&merge_user_username=a",
            "merge_user_id, merge_user_username are mutually exclusive",
        ),
        ("draft=true&wip=yes", "draft, wip are mutually exclusive"),
        (
            "assignee_username[]=a&assignee_username[]=b",
            "assignee_username allows one value, but found 2: a, b",
        ),
        ("not=x", "not is invalid"),
        ("not[]=x", "not is invalid"),
        ("not[author_id]=x", "not[author_id] is invalid"),
        ("created_after=2019-13-45", "created_after is invalid"),
        ("created_before=x", "created_before is invalid"),
        ("updated_after=x", "updated_after is invalid"),
        ("updated_before=x", "updated_before is invalid"),
        ("merged_after=x", "merged_after is invalid"),
        ("merged_before=x", "merged_before is invalid"),
        ("labels[a]=1", "labels is invalid"),
        ("per_page=0", "per_page has a value not allowed"),
    ] {
        let answered = rig.ask("GET", &format!("{LIST}?{query}")).await;
        assert_eq!(answered.body, error(wanted), "{query}");
        assert_eq!(answered.status, 400, "{query}");
    }
    let answered = rig
        .ask("GET", "/api/v4/projects/7/deployments/x/merge_requests")
        .await;
    assert_eq!(answered.body, error("deployment_id is invalid"));
}

#[tokio::test]
async fn a_deployment_that_is_not_there_shipped_nothing() {
    let rig = Rig::new().await;
    rig.refuse(Code::NotFound, "DEPLOYMENT_NOT_FOUND");
    let answered = rig.ask("GET", LIST).await;
    assert_eq!((answered.status.as_u16(), answered.body.as_str()), (200, "[]"));
    assert_eq!(answered.header("x-total"), Some("0"));
    assert_eq!(answered.header("x-total-pages"), Some("1"));
    assert_eq!(answered.header("x-next-page"), Some(""));
    rig.refuse(Code::NotFound, "PROJECT_NOT_FOUND");
    let answered = rig.ask("GET", LIST).await;
    assert_eq!(answered.body, r#"{"message":"404 Project Not Found"}"#);
}

#[tokio::test]
async fn rows_are_shown_whole_simply_or_with_their_labels() {
    let rig = Rig::new().await;
    let label = v1::Label {
        name: "bug".to_owned(),
        color: "#ff0000".to_owned(),
        ..Default::default()
    };
    *rig.fake.merge_requests.lock().unwrap() = v1::ListDeploymentMergeRequestsResponse {
        merge_requests: vec![v1::MergeRequest {
            id: 1,
            iid: 2,
            labels: vec![label],
            ..Default::default()
        }],
        next_page_token: "more".to_owned(),
        total_size: Some(21),
    };
    let whole = rig.ask("GET", &format!("{LIST}?per_page=1")).await;
    assert!(
        whole.body.contains(r#""labels":["bug"],"draft":false"#),
        "{}",
        whole.body
    );
    assert_eq!(whole.header("x-total"), Some("21"));
    assert_eq!(whole.header("x-next-page"), Some("2"));
    let link = whole.header("link").unwrap();
    let next = "http://gate.example:8080/api/v4/projects/7/deployments/42/merge_requests?id=7&order_by=created_at&page=2";
    assert!(link.contains(next), "{link}");
    let details = rig.ask("GET", &format!("{LIST}?with_labels_details=true")).await;
    assert!(
        details
            .body
            .contains(r##""labels":[{"name":"bug","color":"#ff0000","##),
        "{}",
        details.body
    );
    let simple = rig
        .ask("GET", &format!("{LIST}?view=simple&with_labels_details=true"))
        .await;
    assert!(
        !simple.body.contains("labels") && simple.body.contains(r#""iid":2"#),
        "{}",
        simple.body
    );
}
