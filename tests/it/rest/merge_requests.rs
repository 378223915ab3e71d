//! What a deployment shipped, as clients ask for it, and what an existing GitLab tells of it.

use serde_json::{Value, json};

use crate::support::{
    engine::{Engine, on_both_engines},
    eventually,
    rest::{Ask, Reply, Site},
};

on_both_engines! {
    every_filter_finds_what_it_says_of_what_was_shipped
    what_makes_no_sense_is_refused_with_the_documented_text
    the_list_is_walked_by_its_links
    a_merge_request_is_shown_as_the_webhook_told_it
    what_becomes_known_only_later_is_linked_to_what_shipped_it
    an_event_that_is_refused_changes_nothing_and_tells_strangers_nothing
}

const HOOK: &str = "/webhooks/gitlab/1";

/// A commit id of one digit.
fn sha(digit: u8) -> String {
    format!("{digit:x}").repeat(40)
}

/// An event about a merge request that went into `main`. `attributes` come on top.
fn event(iid: i64, attributes: &Value) -> Value {
    let mut event = json!({
        "object_kind": "merge_request",
        "user": { "id": 51, "name": "Mona", "username": "mona" },
        "labels": [],
        "object_attributes": {
            "iid": iid, "title": format!("Change {iid}"), "description": "d", "state": "merged", "action": "merge",
            "source_branch": format!("change-{iid}"), "target_branch": "main", "author_id": 51,
            "source_project_id": 4, "target_project_id": 4,
            "created_at": "2016-08-10 07:36:40 UTC", "updated_at": "2016-08-11T09:00:00Z",
        },
    });
    for (name, value) in attributes.as_object().unwrap() {
        event["object_attributes"][name] = value.clone();
    }
    event
}

async fn tell(site: &Site, token: &str, event: &Value) -> Reply {
    let ask = Ask::new("POST", HOOK)
        .header("X-Gitlab-Token", token)
        .header("X-Gitlab-Event", "Merge Request Hook")
        .json(event.to_string());
    site.send(&ask).await
}

async fn told(site: &Site, event: &Value) {
    let reply = tell(site, &site.world.developer, event).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

fn iids(reply: &Reply) -> Vec<i64> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let list = reply.json();
    let iids = list.as_array().unwrap().iter().map(|one| one["iid"].as_i64());
    iids.map(Option::unwrap).collect()
}

/// A site whose first deployment of production shipped three merge requests that the webhook told of: !3 is the last to
/// be opened and the first to have changed.
struct Shipped {
    site: Site,
    deployment: i64,
}

impl Shipped {
    async fn new(engine: Engine) -> Self {
        let site = Site::new(engine).await;
        let label = json!({ "title": "bug", "color": "#ff0000", "description": "It <breaks>" });
        let mut first = event(
            1,
            &json!({ "title": "Mend the cart", "created_at": "2016-08-01T00:00:00Z", "merge_commit_sha": sha(1),
                     "time_estimate": 12600, "total_time_spent": 0 }),
        );
        first["labels"] = json!([label, { "title": "cart", "color": "#00ff00", "description": null }]);
        first["assignees"] = json!([{ "id": 52, "username": "dora" }]);
        first["reviewers"] = json!([{ "id": 53, "username": "rita" }]);
        told(&site, &first).await;
        let mut second = event(
            2,
            &json!({ "title": "Draft: Colours", "created_at": "2016-08-02T00:00:00Z", "author_id": 99,
                     "updated_at": "2016-08-11T08:00:00Z", "squash_commit_sha": sha(2) }),
        );
        second["labels"] = json!([label]);
        told(&site, &second).await;
        let third = event(
            3,
            &json!({ "title": "Search", "description": "Finds the cart", "created_at": "2016-08-03T00:00:00Z",
                     "updated_at": "2016-08-11T07:00:00Z" }),
        );
        told(&site, &third).await;
        // These were not merged into what is deployed.
        told(&site, &event(4, &json!({ "state": "opened", "action": "open" }))).await;
        told(&site, &event(5, &json!({ "target_branch": "next" }))).await;
        let deployment = site.deploy("production", "main", "success").await;
        let shipped = Self { site, deployment };
        eventually("the merge requests are linked", || async {
            shipped.ask("").await.json().as_array().map(Vec::len) == Some(3)
        })
        .await;
        shipped
    }

    fn path(&self) -> String {
        format!("projects/1/deployments/{}/merge_requests", self.deployment)
    }

    async fn ask(&self, query: &str) -> Reply {
        self.site.ask("GET", &format!("{}?{query}", self.path())).await
    }
}

async fn every_filter_finds_what_it_says_of_what_was_shipped(engine: Engine) {
    let shipped = Shipped::new(engine).await;
    let mona = shipped.site.ask("GET", "user").await.id();
    let rows: [(String, &[i64]); 39] = [
        (String::new(), &[3, 2, 1]),
        ("sort=asc".into(), &[1, 2, 3]),
        ("order_by=updated_at".into(), &[1, 2, 3]),
        ("order_by=updated_at&sort=asc".into(), &[3, 2, 1]),
        ("order_by=title&sort=asc".into(), &[2, 1, 3]),
        ("state=merged".into(), &[3, 2, 1]),
        ("state=opened".into(), &[]),
        ("state=all".into(), &[3, 2, 1]),
        ("labels=bug".into(), &[2, 1]),
        ("labels=bug,cart".into(), &[1]),
        ("labels[]=bug&labels[]=cart".into(), &[1]),
        ("labels=None".into(), &[3]),
        ("labels=any".into(), &[2, 1]),
        ("not[labels]=cart".into(), &[3, 2]),
        ("milestone=None".into(), &[3, 2, 1]),
        ("milestone=Spring".into(), &[]),
        ("scope=created_by_me".into(), &[3, 1]),
        ("scope=created-by-me".into(), &[3, 1]),
        ("scope=assigned_to_me".into(), &[]),
        (format!("author_id={mona}"), &[3, 1]),
        ("author_username=mona".into(), &[3, 1]),
        ("author_username=nobody".into(), &[]),
        (format!("not[author_id]={mona}"), &[2]),
        ("assignee_id=None".into(), &[3, 2]),
        ("assignee_id=Any".into(), &[1]),
        ("assignee_username[]=dora".into(), &[1]),
        ("reviewer_username=rita".into(), &[1]),
        ("reviewer_id=None".into(), &[3, 2]),
        ("my_reaction_emoji=Any".into(), &[]),
        ("source_branch=change-2".into(), &[2]),
        ("target_branch=main".into(), &[3, 2, 1]),
        ("not[assignee_username]=dora".into(), &[3, 2]),
        ("search=cart".into(), &[3, 1]),
        ("search=cart&in=title".into(), &[1]),
        ("wip=yes".into(), &[2]),
        ("wip=no&labels=bug".into(), &[1]),
        (
            "created_after=2016-08-02T00:00:00Z&created_before=2016-08-02T00:00:00Z".into(),
            &[2],
        ),
        ("updated_before=2016-08-11T07:30:00Z".into(), &[3]),
        ("environment=production&deployed_after=soon".into(), &[3, 2, 1]),
    ];
    for (query, wanted) in rows {
        assert_eq!(iids(&shipped.ask(&query).await), wanted, "{query}");
    }
}

async fn what_makes_no_sense_is_refused_with_the_documented_text(engine: Engine) {
    let shipped = Shipped::new(engine).await;
    for (query, text) in [
        ("state=gone", "state does not have a valid value"),
        ("author_id=foo", "author_id is invalid"),
        (
            "assignee_id=foo",
            "assignee_id should be an integer, none, or any, however got foo",
        ),
        (
            "author_id=1&author_username=mona",
            "author_id, author_username are mutually exclusive",
        ),
        ("not=foo", "not is invalid"),
    ] {
        let reply = shipped.ask(query).await;
        assert_eq!(
            reply.told(),
            (400, &*json!({ "error": text }).to_string()),
            "{query}"
        );
    }
    let reply = shipped
        .site
        .ask("GET", "projects/1/deployments/x/merge_requests")
        .await;
    assert_eq!(reply.told(), (400, r#"{"error":"deployment_id is invalid"}"#));
    let reply = shipped
        .site
        .ask("GET", "projects/1/deployments/999/merge_requests")
        .await;
    assert_eq!(reply.told(), (200, "[]"));
    assert_eq!(reply.header("x-total"), Some("0"));
    let reply = shipped.site.send(&Ask::new("GET", &shipped.path())).await;
    assert_eq!(reply.status, 401);
}

async fn the_list_is_walked_by_its_links(engine: Engine) {
    let shipped = Shipped::new(engine).await;
    let first = shipped
        .ask("per_page=2&labels[]=bug&labels[]=cart&not[milestone]=x&sort=asc")
        .await;
    assert_eq!(iids(&first), [1]);
    assert!(first.link("next").is_none());
    let first = shipped.ask("per_page=2&not[milestone]=x&sort=asc").await;
    assert_eq!(iids(&first), [1, 2]);
    let headers = ["x-total", "x-total-pages", "x-page", "x-per-page", "x-next-page"];
    assert_eq!(
        headers.map(|name| first.header(name)),
        ["3", "2", "1", "2", "2"].map(Some)
    );
    let next = first
        .link("next")
        .unwrap()
        .strip_prefix("http://localhost:3000")
        .unwrap();
    assert_eq!(iids(&shipped.site.ask("GET", next).await), [3]);
}

async fn a_merge_request_is_shown_as_the_webhook_told_it(engine: Engine) {
    let shipped = Shipped::new(engine).await;
    let list = shipped
        .ask("source_branch=change-1&with_labels_details=true")
        .await
        .json();
    let [one] = &list.as_array().unwrap()[..] else {
        panic!("it is one: {list}")
    };
    for (pointer, wanted) in [
        ("/iid", json!(1)),
        ("/project_id", json!(1)),
        ("/title", json!("Mend the cart")),
        ("/description", json!("d")),
        ("/state", json!("merged")),
        ("/created_at", json!("2016-08-01T00:00:00.000Z")),
        ("/updated_at", json!("2016-08-11T09:00:00.000Z")),
        ("/merged_at", json!("2016-08-11T09:00:00.000Z")),
        ("/merged_by/username", json!("mona")),
        ("/merge_user/username", json!("mona")),
        ("/closed_by", json!(null)),
        ("/author/username", json!("mona")),
        ("/assignee/username", json!("dora")),
        ("/assignees/0/username", json!("dora")),
        ("/reviewers/0/username", json!("rita")),
        ("/source_project_id", json!(1)),
        ("/target_project_id", json!(1)),
        ("/labels/0/name", json!("bug")),
        ("/labels/0/color", json!("#ff0000")),
        ("/labels/0/description_html", json!("It &lt;breaks&gt;")),
        ("/labels/1/description", json!(null)),
        ("/draft", json!(false)),
        ("/milestone", json!(null)),
        ("/merge_commit_sha", json!(sha(1))),
        ("/references/full", json!("acme/web!1")),
        ("/time_stats/human_time_estimate", json!("3h 30m")),
        ("/time_stats/human_total_time_spent", json!(null)),
        ("/merge_status", json!("unchecked")),
        ("/imported_from", json!("none")),
    ] {
        assert_eq!(one.pointer(pointer), Some(&wanted), "{pointer} of {one}");
    }
    let simple = shipped.ask("view=simple&source_branch=change-1").await.json();
    let keys: Vec<_> = simple[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let wanted = [
        "id",
        "iid",
        "project_id",
        "title",
        "description",
        "state",
        "created_at",
        "updated_at",
        "web_url",
    ];
    assert_eq!(keys, wanted);
}

async fn what_becomes_known_only_later_is_linked_to_what_shipped_it(engine: Engine) {
    let shipped = Shipped::new(engine).await;
    let late = event(
        6,
        &json!({ "merge_commit_sha": crate::support::SHA, "created_at": "2016-08-04T00:00:00Z" }),
    );
    told(&shipped.site, &late).await;
    eventually("the late one is linked", || async {
        iids(&shipped.ask("").await) == [6, 3, 2, 1]
    })
    .await;
}

async fn an_event_that_is_refused_changes_nothing_and_tells_strangers_nothing(engine: Engine) {
    let shipped = Shipped::new(engine).await;
    let site = &shipped.site;
    let (good, bad) = (
        event(1, &json!({ "title": "Other" })),
        event(1, &json!({ "title": "Other", "state": "gone" })),
    );
    for (token, event, status) in [
        (site.world.developer.as_str(), &bad, 400),
        (
            site.world.developer.as_str(),
            &json!({ "object_kind": "push" }),
            400,
        ),
        (site.world.reporter.as_str(), &good, 403),
        ("gth-nobody", &good, 401),
        ("gth-nobody", &bad, 401),
        ("", &bad, 401),
    ] {
        let reply = tell(site, token, event).await;
        assert_eq!(reply.status, status, "{event} {reply:?}");
    }
    let old = event(
        1,
        &json!({ "title": "Other", "updated_at": "2016-08-11T08:59:59Z" }),
    );
    told(site, &old).await;
    assert_eq!(shipped.ask("search=Other").await.told(), (200, "[]"));
}
