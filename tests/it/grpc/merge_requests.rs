//! Merge requests over gRPC: reports, lists, refusals, races.

use std::collections::BTreeSet;

use gatehouse::pb::{
    self as contract,
    v1::{
        self as pb, MergeRequestOrderBy as By, MergeRequestState as State, SortDirection, TokenScope,
        label_match, merge_request_service_client::MergeRequestServiceClient, name_match, user_match,
    },
};
use prost::Message as _;
use prost_types::{FieldMask, Timestamp};
use tonic::{Response, Status};

use super::races::at_once;
use crate::support::{
    Client, World,
    engine::{Engine, connected, on_both_engines},
    project_at, project_id, reason, user_named, violations,
};

on_both_engines! {
    each_filter_leaves_what_it_says_of_a_project_and_of_a_deployment
    each_order_sorts_in_both_directions_and_puts_nothing_last
    a_page_token_leads_on_in_its_own_list_only
    everything_that_is_told_is_shown
    a_report_can_be_sent_again_and_an_old_one_changes_nothing
    what_the_mask_does_not_name_stays_as_it_is
    what_is_wrong_with_a_request_is_told_by_field
    what_is_wrong_with_a_list_is_told_by_field
    what_is_not_there_is_not_found_and_who_may_not_is_told_so_first
    a_retry_is_answered_as_before_and_what_is_only_checked_leaves_no_trace
    a_token_for_reports_does_nothing_else
    an_archived_project_keeps_its_merge_requests_and_takes_no_more
}

on_both_engines! {
    threads:
    of_reports_that_come_at_once_one_records_it_and_the_newest_stays
    of_two_with_the_same_etag_one_changes_it
}

/// The first second of 2024.
const BEGIN: i64 = 1_704_067_200;

#[expect(clippy::unnecessary_wraps, reason = "as the fields of requests are")]
fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: BEGIN + seconds,
        nanos: 0,
    })
}

fn sha(digit: char) -> String {
    digit.to_string().repeat(40)
}

impl World {
    fn merge_requests(&self, token: &str) -> MergeRequestServiceClient<Client> {
        self.server.merge_requests(token)
    }

    fn upsert(&self, iid: i64, report: pb::MergeRequestReport) -> pb::UpsertMergeRequestRequest {
        pb::UpsertMergeRequestRequest {
            project: Some(project_id(self.project.id)),
            iid,
            merge_request: Some(report),
            ..Default::default()
        }
    }

    async fn try_upsert(
        &self,
        request: pb::UpsertMergeRequestRequest,
    ) -> Result<Response<pb::UpsertMergeRequestResponse>, Status> {
        self.merge_requests(&self.developer)
            .upsert_merge_request(request)
            .await
    }

    /// Reports as the Developer.
    async fn report(&self, iid: i64, report: pb::MergeRequestReport) -> pb::UpsertMergeRequestResponse {
        self.try_upsert(self.upsert(iid, report))
            .await
            .unwrap()
            .into_inner()
    }

    async fn list(&self, filter: pb::MergeRequestFilter) -> Vec<i64> {
        let request = pb::ListMergeRequestsRequest {
            project: Some(project_id(self.project.id)),
            filter: Some(filter),
            page_size: 100,
            ..Default::default()
        };
        let answer = self
            .merge_requests(&self.developer)
            .list_merge_requests(request)
            .await;
        numbers(&answer.unwrap().into_inner().merge_requests)
    }

    async fn list_shipped(&self, deployment: i64, filter: pb::MergeRequestFilter) -> Vec<i64> {
        let request = pb::ListDeploymentMergeRequestsRequest {
            project: Some(project_id(self.project.id)),
            deployment_id: deployment,
            filter: Some(filter),
            page_size: 100,
            ..Default::default()
        };
        let mut calls = self.merge_requests(&self.developer);
        let answer = calls.list_deployment_merge_requests(request).await;
        numbers(&answer.unwrap().into_inner().merge_requests)
    }

    /// Lets a deployment have finished at this time.
    async fn finished(&self, deployment: i64, millis: i64) {
        let text = "UPDATE deployments SET finished_at = $2 WHERE id = $1";
        connected!(self.server.place, |store| sqlx::query(text)
            .bind(deployment)
            .bind(millis)
            .execute(&mut store)
            .await
            .map(drop)
            .unwrap());
    }

    /// Links merge requests to a new deployment that finished then, in place of what links them by their commits.
    async fn ship(&self, environment: &str, git_ref: &str, finished: i64, iids: &[i64]) -> i64 {
        let request = pb::CreateDeploymentRequest {
            r#ref: git_ref.into(),
            ..self.deployment(environment, pb::DeploymentStatus::Success)
        };
        let answer = self
            .server
            .deployments(&self.developer)
            .create_deployment(request)
            .await;
        let deployment = answer.unwrap().into_inner().deployment.unwrap().id;
        self.finished(deployment, (BEGIN + finished) * 1_000).await;
        for iid in iids {
            let text = "INSERT INTO deployment_merge_requests (deployment_id, merge_request_id, environment_id) \
                 SELECT d.id, m.id, d.environment_id FROM deployments d JOIN merge_requests m \
                 ON m.project_id = d.project_id WHERE d.id = $1 AND m.iid = $2";
            connected!(self.server.place, |store| sqlx::query(text)
                .bind(deployment)
                .bind(iid)
                .execute(&mut store)
                .await
                .map(drop)
                .unwrap());
        }
        deployment
    }
}

fn numbers(merge_requests: &[pb::MergeRequest]) -> Vec<i64> {
    merge_requests.iter().map(|found| found.iid).collect()
}

/// An open merge request with nothing to it.
fn bare(title: &str) -> pb::MergeRequestReport {
    pb::MergeRequestReport {
        title: title.into(),
        state: State::Opened.into(),
        target_branch: "main".into(),
        source_branch: "topic".into(),
        ..Default::default()
    }
}

fn label(name: &str, priority: Option<i32>) -> pb::Label {
    pb::Label {
        name: name.into(),
        priority,
        ..Default::default()
    }
}

fn milestone(title: &str, due_date: &str) -> pb::Milestone {
    pb::Milestone {
        id: 1,
        iid: 1,
        title: title.into(),
        due_date: due_date.into(),
        ..Default::default()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the fields of requests are")]
fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask {
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
    })
}

/// Twelve merge requests that differ in everything that lists ask for. The Developer, dora, is who asks.
async fn twelve(world: &World) {
    let mut directory = world.server.directory(&world.server.root);
    let mut ids = Vec::new();
    for name in ["dora", "rita"] {
        let request = pb::GetUserRequest {
            user: Some(user_named(name)),
        };
        ids.push(
            directory
                .get_user(request)
                .await
                .unwrap()
                .into_inner()
                .user
                .unwrap()
                .id,
        );
    }
    let reaction = |user: usize, name: &str| pb::Reaction {
        user_id: ids[user],
        name: name.into(),
    };
    let some = |name: &str| Some(user_named(name));
    let (dora, rita, mona) = (user_named("dora"), user_named("rita"), user_named("mona"));
    for iid in 1..=12_i64 {
        let mut report = pb::MergeRequestReport {
            created_at: at(iid * 10),
            updated_at: at(1_000 - iid * 10),
            upvotes: (iid * 5) % 12,
            ..bare(&format!("Plain {iid:02}"))
        };
        match iid {
            1 => (report.author, report.description) = (some("rita"), "the plan is big".into()),
            2 => (report.author, report.assignees) = (some("mona"), vec![rita.clone()]),
            3 => {
                (report.assignees, report.reviewers) = (vec![mona.clone(), dora.clone()], vec![rita.clone()]);
            }
            4 => report.reviewers = vec![mona.clone(), dora.clone()],
            5 => {
                (report.author, report.state, report.closed_at) =
                    (some("dora"), State::Closed.into(), at(70));
            }
            6 => {
                (report.state, report.labels) = (State::Locked.into(), vec![label("bug", Some(3))]);
            }
            7 => {
                report.state = State::Merged.into();
                (report.merged_at, report.merged_by) = (at(500), some("rita"));
                report.labels = vec![label("ui", Some(1)), label("bug", None)];
            }
            8 => {
                report.state = State::Merged.into();
                (report.merged_at, report.merged_by) = (at(450), some("mona"));
                report.milestone = Some(milestone("1.0", "2024-03-01"));
            }
            9 => {
                report.milestone = Some(milestone("2.0", "2024-02-01"));
                report.reactions = vec![reaction(0, "tada")];
            }
            10 => {
                report.labels = vec![label("Bug", Some(2))];
                report.milestone = Some(milestone("1.0", "2024-03-01"));
                report.reactions = vec![reaction(0, "thumbsup"), reaction(1, "tada")];
            }
            11 => {
                report.title = "draft: Big 100% change".into();
                report.description = "search_me here".into();
                (report.source_branch, report.target_branch) = ("other".into(), "stable".into());
            }
            _ => {
                report.title = "big plan".into();
                report.description = "100 percent searchXme".into();
                (report.source_project_id, report.milestone) = (Some(77), Some(milestone("3.0", "")));
            }
        }
        assert!(world.report(iid, report).await.created);
    }
}

type Filter = pb::MergeRequestFilter;

/// Filters, and which of the twelve they leave.
fn filters() -> Vec<(&'static str, Filter, &'static [i64])> {
    use pb::MergeRequestScope as Scope;
    use pb::MergeRequestSearchField as Place;
    let mut table: Vec<(&str, Filter, &[i64])> = Vec::new();
    macro_rules! filters {
        ($($name:literal { $($field:ident: $value:expr),+ } => $iids:expr;)+) => {
            $(table.push(($name, Filter { $($field: $value,)+ ..Default::default() }, &$iids));)+
        };
    }
    let user = |name: &str| Some(user_named(name));
    let somebody = |name: &str| {
        let of = user_match::Of::User(user_named(name));
        Some(pb::UserMatch { of: Some(of) })
    };
    let anybody = || {
        let of = user_match::Of::Any(pb::Anything {});
        Some(pb::UserMatch { of: Some(of) })
    };
    let nobody = || {
        let of = user_match::Of::None(pb::Anything {});
        Some(pb::UserMatch { of: Some(of) })
    };
    let all = |names: &[&str]| {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let of = label_match::Of::All(pb::LabelNames { names });
        Some(pb::LabelMatch { of: Some(of) })
    };
    let labels = |of| Some(pb::LabelMatch { of: Some(of) });
    let name = |name: &str| {
        let of = name_match::Of::Name(name.into());
        Some(pb::NameMatch { of: Some(of) })
    };
    let names = |of| Some(pb::NameMatch { of: Some(of) });
    let text = |text: &str| Some(text.to_owned());
    let but = |change: &dyn Fn(&mut pb::MergeRequestExclusion)| {
        let mut exclude = pb::MergeRequestExclusion::default();
        change(&mut exclude);
        Some(exclude)
    };
    let title = || vec![Place::Title.into()];
    let description = || vec![Place::Description.into()];
    filters! {
        "no filter" { state: None } => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        "opened" { state: Some(State::Opened.into()) } => [1, 2, 3, 4, 9, 10, 11, 12];
        "closed" { state: Some(State::Closed.into()) } => [5];
        "locked" { state: Some(State::Locked.into()) } => [6];
        "merged" { state: Some(State::Merged.into()) } => [7, 8];
        "numbers" { iids: vec![3, 99, 1, 3] } => [1, 3];
        "author" { author: user("RITA") } => [1];
        "an author who is not here" { author: user("nobody") } => [];
        "assignee" { assignee: somebody("rita") } => [2];
        "any assignee" { assignee: anybody() } => [2, 3];
        "no assignee" { assignee: nobody() } => [1, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        "an assignee who is not here" { assignee: somebody("nobody") } => [];
        "reviewer" { reviewer: somebody("rita") } => [3];
        "any reviewer" { reviewer: anybody() } => [3, 4];
        "no reviewer" { reviewer: nobody() } => [1, 2, 5, 6, 7, 8, 9, 10, 11, 12];
        "merged by" { merged_by: user("rita") } => [7];
        "a label" { labels: all(&["bug"]) } => [6, 7];
        "a label by its case" { labels: all(&["Bug"]) } => [10];
        "both labels" { labels: all(&["bug", "ui", "bug"]) } => [7];
        "labels that nothing has" { labels: all(&["bug", "nothing"]) } => [];
        "any label" { labels: labels(label_match::Of::Any(pb::Anything {})) } => [6, 7, 10];
        "no label" { labels: labels(label_match::Of::None(pb::Anything {})) } => [1, 2, 3, 4, 5, 8, 9, 11, 12];
        "milestone" { milestone: name("1.0") } => [8, 10];
        "any milestone" { milestone: names(name_match::Of::Any(pb::Anything {})) } => [8, 9, 10, 12];
        "no milestone" { milestone: names(name_match::Of::None(pb::Anything {})) } => [1, 2, 3, 4, 5, 6, 7, 11];
        "my emoji" { my_reaction_emoji: name("tada") } => [9];
        "any emoji of mine" { my_reaction_emoji: names(name_match::Of::Any(pb::Anything {})) } => [9, 10];
        "no emoji of mine" { my_reaction_emoji: names(name_match::Of::None(pb::Anything {})) }
            => [1, 2, 3, 4, 5, 6, 7, 8, 11, 12];
        "created by me" { scope: Scope::CreatedByMe.into() } => [5];
        "assigned to me" { scope: Scope::AssignedToMe.into() } => [3];
        "reviews for me" { scope: Scope::ReviewsForMe.into() } => [4];
        "source branch" { source_branch: text("other") } => [11];
        "target branch" { target_branch: text("stable") } => [11];
        "a branch by its case" { target_branch: text("Stable") } => [];
        "source project" { source_project_id: Some(77) } => [12];
        "search" { search: text("BIG") } => [1, 11, 12];
        "search in titles" { search: text("big"), search_in: title() } => [11, 12];
        "search in descriptions" { search: text("big"), search_in: description() } => [1];
        "search in both" { search: text("big plan"), search_in: [title(), description()].concat() } => [1, 12];
        "search for two words" { search: text("plan big") } => [1, 12];
        "search for a phrase" { search: text("\"big plan\"") } => [12];
        "search in several fields" { search: text("draft here") } => [11];
        "search for a sign" { search: text("100%") } => [11];
        "search for another sign" { search: text("search_me") } => [11];
        "search for nothing" { search: text(" ") } => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        "drafts" { draft: Some(true) } => [11];
        "no drafts" { draft: Some(false) } => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12];
        "created after" { created_after: at(110) } => [11, 12];
        "created before" { created_before: at(20) } => [1, 2];
        "updated after" { updated_after: at(980) } => [1, 2];
        "updated before" { updated_before: at(890) } => [11, 12];
        "merged after" { merged_after: at(500) } => [7];
        "merged before" { merged_before: at(450) } => [8];
        "but not by" { exclude: but(&|e| e.author = Some(user_named("rita"))) } => [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        "but not assigned to" { exclude: but(&|e| e.assignee = Some(user_named("mona"))) }
            => [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        "but not reviewed by" { exclude: but(&|e| e.reviewer = Some(user_named("mona"))) }
            => [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12];
        "but not labelled" { exclude: but(&|e| e.labels = Some(pb::LabelNames { names: vec!["ui".into(), "Bug".into()] })) }
            => [1, 2, 3, 4, 5, 6, 8, 9, 11, 12];
        "but not of a milestone" { exclude: but(&|e| e.milestone = Some("1.0".into())) }
            => [1, 2, 3, 4, 5, 6, 7, 9, 11, 12];
        "but not with my emoji" { exclude: but(&|e| e.my_reaction_emoji = Some("tada".into())) }
            => [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12];
        "all at once" { state: Some(State::Merged.into()), labels: all(&["bug"]), merged_by: user("rita") } => [7];
    }
    table
}

/// Filters by what shipped it, and which of the twelve they leave, also of those that the last of them shipped.
fn shipped_filters() -> Vec<(&'static str, Filter, &'static [i64], &'static [i64])> {
    let filter = |environment: Option<&str>, after: Option<i64>, before: Option<i64>| Filter {
        environment: environment.map(str::to_owned),
        deployed_after: after.and_then(at),
        deployed_before: before.and_then(at),
        ..Default::default()
    };
    vec![
        ("environment", filter(Some("staging"), None, None), &[7, 8], &[]),
        (
            "another one",
            filter(Some("all"), None, None),
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        ),
        ("one by its case", filter(Some("Staging"), None, None), &[], &[]),
        (
            "deployed after",
            filter(None, Some(699), Some(9_000)),
            &[7, 8],
            &[],
        ),
        ("deployed before", filter(None, None, Some(701)), &[7], &[]),
        (
            "the ends are without",
            filter(None, Some(650), Some(700)),
            &[],
            &[],
        ),
        ("the ends are near", filter(None, Some(649), Some(651)), &[7], &[]),
        // 7 was in staging before and in production after, but nowhere in between.
        (
            "one deployment for both ends",
            filter(None, Some(660), Some(690)),
            &[],
            &[],
        ),
        (
            "one deployment for all",
            filter(Some("production"), None, Some(690)),
            &[],
            &[],
        ),
        (
            "and it is there",
            filter(Some("production"), Some(690), Some(790)),
            &[7],
            &[],
        ),
        (
            "after alone",
            filter(Some("all"), Some(9_000), None),
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        ),
        ("after the last", filter(None, Some(10_000), None), &[], &[]),
    ]
}

async fn each_filter_leaves_what_it_says_of_a_project_and_of_a_deployment(engine: Engine) {
    let world = World::new(engine).await;
    twelve(&world).await;
    world.ship("staging", "v1", 650, &[7]).await;
    world.ship("production", "v1", 700, &[7]).await;
    world.ship("production", "v2", 800, &[8]).await;
    world.ship("staging", "v2", 900, &[8]).await;
    let all = world
        .ship("all", "v1", 10_000, &(1..=12).collect::<Vec<_>>())
        .await;
    let odd = world.ship("odd", "v1", 20_000, &[1, 3, 5, 7, 9, 11]).await;
    world.finished(odd, 0).await;
    let idle = ["no filter", "search for nothing"];
    for (name, filter, iids) in filters() {
        assert_eq!(
            iids.len() == 12,
            idle.contains(&name),
            "{name} would not miss its filter"
        );
        assert_eq!(world.list(filter.clone()).await, iids, "{name}");
        assert_eq!(
            world.list_shipped(all, filter.clone()).await,
            iids,
            "{name}, of one deployment"
        );
        let half: Vec<i64> = iids.iter().copied().filter(|iid| iid % 2 == 1).collect();
        assert_eq!(
            world.list_shipped(odd, filter).await,
            half,
            "{name}, of another one"
        );
    }
    for (name, filter, of_project, of_deployment) in shipped_filters() {
        let of_project: Vec<i64> = match name {
            // What the deployment long ago shipped is left out by a lower end only.
            "deployed before" => vec![1, 3, 5, 7, 9, 11],
            _ => of_project.to_vec(),
        };
        assert_eq!(world.list(filter.clone()).await, of_project, "{name}");
        assert_eq!(
            world.list_shipped(all, filter).await,
            of_deployment,
            "{name}, of one deployment"
        );
    }
}

async fn each_order_sorts_in_both_directions_and_puts_nothing_last(engine: Engine) {
    let world = World::new(engine).await;
    twelve(&world).await;
    let all = world.ship("all", "v1", 1, &(1..=12).collect::<Vec<_>>()).await;
    let up = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let down = [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1];
    // (iid * 5) % 12: 5 10 3 8 1 6 11 4 9 2 7 0
    let popular = [12, 5, 10, 3, 8, 1, 6, 11, 4, 9, 2, 7];
    let unpopular = [7, 2, 9, 4, 11, 6, 1, 8, 3, 10, 5, 12];
    let table = [
        (By::Unspecified, up, down),
        (By::CreatedAt, up, down),
        (By::UpdatedAt, down, up),
        (
            By::MergedAt,
            [8, 7, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12],
            [7, 8, 12, 11, 10, 9, 6, 5, 4, 3, 2, 1],
        ),
        (
            By::Title,
            [12, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
            [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 11, 12],
        ),
        (
            By::MilestoneDue,
            [9, 8, 10, 1, 2, 3, 4, 5, 6, 7, 11, 12],
            [10, 8, 9, 12, 11, 7, 6, 5, 4, 3, 2, 1],
        ),
        (By::Popularity, popular, unpopular),
        (
            By::LabelPriority,
            [7, 10, 6, 1, 2, 3, 4, 5, 8, 9, 11, 12],
            [6, 10, 7, 12, 11, 9, 8, 5, 4, 3, 2, 1],
        ),
        (
            By::Priority,
            [9, 10, 8, 7, 6, 1, 2, 3, 4, 5, 11, 12],
            [10, 8, 9, 6, 7, 12, 11, 5, 4, 3, 2, 1],
        ),
    ];
    let mut calls = world.merge_requests(&world.reporter);
    for (order_by, ascending, descending) in table {
        for (direction, wanted) in [
            (SortDirection::Unspecified, ascending),
            (SortDirection::Asc, ascending),
            (SortDirection::Desc, descending),
        ] {
            let mut request = pb::ListMergeRequestsRequest {
                project: Some(project_id(world.project.id)),
                order_by: order_by.into(),
                direction: direction.into(),
                page_size: 5,
                want_total: true,
                ..Default::default()
            };
            let mut of_deployment = pb::ListDeploymentMergeRequestsRequest {
                project: request.project.clone(),
                deployment_id: all,
                order_by: request.order_by,
                direction: request.direction,
                page_size: 5,
                want_total: true,
                ..Default::default()
            };
            let (mut seen, mut seen_shipped) = (Vec::new(), Vec::new());
            loop {
                let page = calls
                    .list_merge_requests(request.clone())
                    .await
                    .unwrap()
                    .into_inner();
                let shipped = calls.list_deployment_merge_requests(of_deployment.clone()).await;
                let shipped = shipped.unwrap().into_inner();
                assert_eq!((page.total_size, shipped.total_size), (Some(12), Some(12)));
                seen.extend(numbers(&page.merge_requests));
                seen_shipped.extend(numbers(&shipped.merge_requests));
                (request.page_token, of_deployment.page_token) =
                    (page.next_page_token, shipped.next_page_token);
                if request.page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(seen, wanted, "{order_by:?} {direction:?}");
            assert_eq!(seen_shipped, wanted, "{order_by:?} {direction:?}");
        }
    }
}

async fn a_page_token_leads_on_in_its_own_list_only(engine: Engine) {
    let world = World::new(engine).await;
    twelve(&world).await;
    let shipped = world.ship("all", "v1", 1, &[1, 2, 3]).await;
    let mut calls = world.merge_requests(&world.reporter);
    let first = pb::ListMergeRequestsRequest {
        project: Some(project_id(world.project.id)),
        page_size: 2,
        ..Default::default()
    };
    let page = calls
        .list_merge_requests(first.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (numbers(&page.merge_requests), page.total_size),
        (vec![1, 2], None)
    );
    let next = pb::ListMergeRequestsRequest {
        page_token: page.next_page_token.clone(),
        skip: 1,
        ..first.clone()
    };
    // Defaults by name are the same query.
    for (order_by, direction) in [(0, 0), (By::CreatedAt.into(), SortDirection::Asc.into())] {
        let named = pb::ListMergeRequestsRequest {
            order_by,
            direction,
            ..next.clone()
        };
        let page = calls.list_merge_requests(named).await.unwrap().into_inner();
        assert_eq!(numbers(&page.merge_requests), [4, 5]);
    }
    for other in [
        pb::ListMergeRequestsRequest {
            order_by: By::Title.into(),
            ..next.clone()
        },
        pb::ListMergeRequestsRequest {
            filter: Some(Filter {
                draft: Some(false),
                ..Default::default()
            }),
            ..next.clone()
        },
        pb::ListMergeRequestsRequest {
            page_token: "x".into(),
            ..next.clone()
        },
    ] {
        assert_eq!(
            reason(calls.list_merge_requests(other).await),
            "INVALID_PAGE_TOKEN"
        );
    }
    let elsewhere = pb::ListDeploymentMergeRequestsRequest {
        project: Some(project_id(world.project.id)),
        deployment_id: shipped,
        page_token: page.next_page_token.clone(),
        page_size: 2,
        ..Default::default()
    };
    let refused = calls.list_deployment_merge_requests(elsewhere).await;
    assert_eq!(reason(refused), "INVALID_PAGE_TOKEN");
    let of_one = pb::ListDeploymentsOfMergeRequestRequest {
        project: Some(project_id(world.project.id)),
        iid: 1,
        page_token: page.next_page_token,
        ..Default::default()
    };
    let refused = calls.list_deployments_of_merge_request(of_one).await;
    assert_eq!(reason(refused), "INVALID_PAGE_TOKEN");
}

/// A report in which every field is told.
fn full() -> pb::MergeRequestReport {
    pb::MergeRequestReport {
        title: "[draft] Everything".into(),
        description: "one\r\ntwo".into(),
        state: State::Merged.into(),
        created_at: at(1),
        updated_at: at(2),
        merged_by: Some(user_named("mona")),
        merged_at: at(3),
        closed_by: Some(user_named("rita")),
        closed_at: at(4),
        target_branch: "main".into(),
        source_branch: "topic".into(),
        source_project_id: Some(77),
        author: Some(user_named("DORA")),
        assignees: vec![user_named("mona"), user_named("dora")],
        reviewers: vec![user_named("rita")],
        labels: vec![
            pb::Label {
                name: "ui".into(),
                color: "#00ff00".into(),
                text_color: "#000000".into(),
                description: "what is seen".into(),
                priority: Some(4),
            },
            label("bug", None),
        ],
        milestone: Some(pb::Milestone {
            id: 5,
            iid: 6,
            title: "1.0".into(),
            description: "first".into(),
            closed: true,
            start_date: "2024-01-01".into(),
            due_date: "2024-02-29".into(),
            created_at: at(5),
            updated_at: at(6),
            web_url: Some("https://example.com/m/5".into()),
        }),
        sha: sha('a'),
        merge_commit_sha: sha('b'),
        squash_commit_sha: sha('c'),
        cherry_pick_shas: vec![sha('e'), sha('d'), sha('e')],
        reactions: vec![pb::Reaction {
            name: "tada".into(),
            user_id: 1,
        }],
        upvotes: 7,
        downvotes: 8,
        user_notes_count: 9,
        merge_when_pipeline_succeeds: true,
        merge_status: "can_be_merged".into(),
        detailed_merge_status: "mergeable".into(),
        // In the year 2096.
        merge_after: Some(Timestamp {
            seconds: 4_000_000_000,
            nanos: 0,
        }),
        prepared_at: at(7),
        discussion_locked: Some(true),
        should_remove_source_branch: Some(false),
        force_remove_source_branch: Some(true),
        squash: true,
        squash_on_merge: true,
        time_stats: Some(pb::TimeStats {
            time_estimate: 10,
            total_time_spent: 11,
        }),
        task_count: 12,
        task_completed_count: 13,
        has_conflicts: true,
        blocking_discussions_resolved: Some(true),
        approvals_before_merge: Some(14),
        web_url: "https://example.com/mr/1".into(),
    }
}

async fn everything_that_is_told_is_shown(engine: Engine) {
    let world = World::new(engine).await;
    let report = full();
    let shown = world.report(1, report.clone()).await;
    assert!(shown.created && !shown.stale);
    let shown = shown.merge_request.unwrap();
    let name = |user: &Option<pb::UserSummary>| {
        user.as_ref()
            .map(|user| user.username.clone())
            .unwrap_or_default()
    };
    let all = |users: &[pb::UserSummary]| users.iter().map(|user| user.username.clone()).collect::<Vec<_>>();
    assert_eq!(
        (
            name(&shown.author),
            name(&shown.merged_by),
            name(&shown.closed_by)
        ),
        ("dora".into(), "mona".into(), "rita".into())
    );
    assert_eq!(
        (all(&shown.assignees), all(&shown.reviewers)),
        (vec!["mona".into(), "dora".into()], vec!["rita".into()])
    );
    let wanted = pb::MergeRequest {
        id: shown.id,
        iid: 1,
        project_id: world.project.id,
        title: report.title,
        description: report.description,
        state: report.state,
        created_at: report.created_at,
        updated_at: report.updated_at,
        merged_by: shown.merged_by.clone(),
        merged_at: report.merged_at,
        closed_by: shown.closed_by.clone(),
        closed_at: report.closed_at,
        target_branch: report.target_branch,
        source_branch: report.source_branch,
        source_project_id: report.source_project_id,
        author: shown.author.clone(),
        assignees: shown.assignees.clone(),
        reviewers: shown.reviewers.clone(),
        labels: vec![report.labels[1].clone(), report.labels[0].clone()],
        milestone: report.milestone,
        draft: true,
        sha: report.sha,
        merge_commit_sha: report.merge_commit_sha,
        squash_commit_sha: report.squash_commit_sha,
        cherry_pick_shas: vec![sha('d'), sha('e')],
        reactions: report.reactions,
        upvotes: report.upvotes,
        downvotes: report.downvotes,
        user_notes_count: report.user_notes_count,
        merge_when_pipeline_succeeds: true,
        merge_status: report.merge_status,
        detailed_merge_status: report.detailed_merge_status,
        merge_after: report.merge_after,
        prepared_at: report.prepared_at,
        discussion_locked: report.discussion_locked,
        should_remove_source_branch: report.should_remove_source_branch,
        force_remove_source_branch: report.force_remove_source_branch,
        squash: true,
        squash_on_merge: true,
        time_stats: report.time_stats,
        task_count: 12,
        task_completed_count: 13,
        has_conflicts: true,
        blocking_discussions_resolved: Some(true),
        approvals_before_merge: report.approvals_before_merge,
        web_url: report.web_url,
        project_path: "acme/web".into(),
        etag: shown.etag.clone(),
    };
    assert_eq!(shown, wanted);
    let get = pb::GetMergeRequestRequest {
        project: Some(project_at("acme/web")),
        iid: 1,
    };
    let got = world.merge_requests(&world.reporter).get_merge_request(get).await;
    assert_eq!(got.unwrap().into_inner().merge_request, Some(shown));
}

async fn a_report_can_be_sent_again_and_an_old_one_changes_nothing(engine: Engine) {
    let world = World::new(engine).await;
    let first = world.report(1, full()).await;
    let again = world.report(1, full()).await;
    assert_eq!(
        (again.merge_request.as_ref(), again.created, again.stale),
        (first.merge_request.as_ref(), false, false)
    );
    let old = pb::MergeRequestReport {
        updated_at: at(1),
        title: "older".into(),
        ..full()
    };
    let stale = world.report(1, old.clone()).await;
    assert_eq!(
        (stale.merge_request, stale.stale),
        (first.merge_request.clone(), true)
    );
    let new = pb::MergeRequestReport {
        updated_at: at(2),
        ..old
    };
    let changed = world.report(1, new).await.merge_request.unwrap();
    assert_eq!(changed.title, "older");
    assert_ne!(changed.etag, first.merge_request.unwrap().etag);
}

async fn what_the_mask_does_not_name_stays_as_it_is(engine: Engine) {
    let world = World::new(engine).await;
    let before = world.report(1, full()).await.merge_request.unwrap();
    let nothing = pb::MergeRequestReport::default();
    let mut request = world.upsert(1, nothing.clone());
    request.update_mask = mask(&["upvotes", "labels", "author"]);
    let after = world
        .try_upsert(request)
        .await
        .unwrap()
        .into_inner()
        .merge_request
        .unwrap();
    let wanted = pb::MergeRequest {
        upvotes: 0,
        labels: vec![],
        author: None,
        etag: after.etag.clone(),
        ..before
    };
    assert_eq!(after, wanted);
    // A mask for what is new has to name what it takes.
    let mut request = world.upsert(2, full());
    request.update_mask = mask(&["title", "state", "target_branch"]);
    let refused = violations(world.try_upsert(request.clone()).await);
    assert_eq!(
        refused,
        [("merge_request.source_branch".into(), "is missing".into())]
    );
    request.update_mask = mask(&["title", "state", "target_branch", "source_branch"]);
    let made = world.try_upsert(request.clone()).await.unwrap().into_inner();
    assert!(made.created);
    assert_eq!(made.merge_request.unwrap().upvotes, 0);
    for path in ["*", "nothing", "labels.name"] {
        request.update_mask = mask(&["title", path]);
        let refused = violations(world.try_upsert(request.clone()).await);
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].0, "update_mask", "{path}");
    }
}

/// What makes a message wrong.
type Break<T> = fn(&mut T);

async fn what_is_wrong_with_a_request_is_told_by_field(engine: Engine) {
    let world = World::new(engine).await;
    let refuse = async |change: &dyn Fn(&mut pb::UpsertMergeRequestRequest)| {
        let mut request = world.upsert(1, full());
        change(&mut request);
        let refused = world.try_upsert(request.clone()).await;
        assert_eq!(reason(refused), "INVALID_ARGUMENT");
        violations(world.try_upsert(request).await)
    };
    for (damage, field) in [
        (
            (|r| r.title = "a\rb".into()) as Break<pb::MergeRequestReport>,
            "title",
        ),
        (|r| r.title = "a\nb".into(), "title"),
        (|r| r.title = "a\0b".into(), "title"),
        (|r| r.state = 0, "state"),
        (|r| r.state = 99, "state"),
        (|r| r.description = "\0".into(), "description"),
        (
            |r| {
                r.created_at = Some(Timestamp {
                    seconds: i64::MAX,
                    nanos: 0,
                });
            },
            "created_at",
        ),
        (
            |r| {
                r.updated_at = Some(Timestamp {
                    seconds: 0,
                    nanos: -1,
                });
            },
            "updated_at",
        ),
        (
            |r| {
                r.merged_at = Some(Timestamp {
                    seconds: 4_000_000_000,
                    nanos: 0,
                });
            },
            "merged_at",
        ),
        (|r| r.state = State::Closed.into(), "merged_at"),
        (|r| r.author = Some(user_named("nobody")), "author"),
        (|r| r.author = Some(user_named("a\0b")), "author.username"),
        (|r| r.author = Some(pb::UserRef { by: None }), "author"),
        (
            |r| r.reviewers = vec![user_named("rita"), pb::UserRef { by: None }],
            "reviewers[1]",
        ),
        (
            |r| r.assignees = vec![user_named("rita"), user_named("x")],
            "assignees[1]",
        ),
        (|r| r.labels[1].name = "a,b".into(), "labels[1].name"),
        (
            |r| r.labels[0].text_color = "green".into(),
            "labels[0].text_color",
        ),
        (
            |r| r.milestone.as_mut().unwrap().due_date = "2023-02-29".into(),
            "milestone.due_date",
        ),
        (
            |r| r.milestone.as_mut().unwrap().start_date = "today".into(),
            "milestone.start_date",
        ),
        (|r| r.milestone.as_mut().unwrap().title.clear(), "milestone.title"),
        (|r| r.sha = "abc".into(), "sha"),
        (|r| r.sha = sha('A'), "sha"),
        (
            |r| r.cherry_pick_shas = vec![sha('a'), "abc".into()],
            "cherry_pick_shas[1]",
        ),
        (|r| r.reactions[0].user_id = 99, "reactions[0].user_id"),
        (|r| r.web_url = "javascript:alert(1)".into(), "web_url"),
        (|r| r.upvotes = -1, "upvotes"),
        (
            |r| {
                r.time_stats = Some(pb::TimeStats {
                    time_estimate: -1,
                    total_time_spent: 0,
                });
            },
            "time_stats.time_estimate",
        ),
    ] {
        let refused = refuse(&|request| damage(request.merge_request.as_mut().unwrap())).await;
        let fields: Vec<&str> = refused.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, [format!("merge_request.{field}")]);
    }
    for (change, field) in [
        (
            (|r| r.project = None) as Break<pb::UpsertMergeRequestRequest>,
            "project",
        ),
        (|r| r.merge_request = None, "merge_request"),
        (|r| r.iid = 0, "iid"),
        (|r| r.iid = i64::MIN, "iid"),
        (|r| r.request_id = "a b".into(), "request_id"),
    ] {
        assert_eq!(refuse(&change).await[0].0, field);
    }
    let many = refuse(&|request| {
        let labels = (0..10_000)
            .map(|number| label(&format!("label {number},"), None))
            .collect();
        request.merge_request.as_mut().unwrap().labels = labels;
    })
    .await;
    assert_eq!(
        many,
        [(
            "merge_request.labels".into(),
            "are too many (maximum is 500)".into()
        )]
    );
    assert_eq!(
        world.list(Filter::default()).await,
        [0_i64; 0],
        "nothing of it was kept"
    );
    let strangers = pb::UpsertMergeRequestRequest {
        skip_unknown_users: true,
        ..world.upsert(
            1,
            pb::MergeRequestReport {
                author: Some(user_named("nobody")),
                reviewers: vec![user_named("nobody"), user_named("rita")],
                ..full()
            },
        )
    };
    let shown = world
        .try_upsert(strangers)
        .await
        .unwrap()
        .into_inner()
        .merge_request
        .unwrap();
    assert_eq!((shown.author, shown.reviewers.len()), (None, 1));
}

async fn what_is_wrong_with_a_list_is_told_by_field(engine: Engine) {
    let world = World::new(engine).await;
    let mut calls = world.merge_requests(&world.reporter);
    let labels = |count| pb::LabelNames {
        names: vec!["x".into(); count],
    };
    let mut table: Vec<(Filter, &str)> = Vec::new();
    for (damage, field) in [
        ((|f| f.state = Some(0)) as Break<Filter>, "filter.state"),
        (|f| f.state = Some(99), "filter.state"),
        (|f| f.scope = 99, "filter.scope"),
        (|f| f.search_in = vec![1, 0], "filter.search_in"),
        (|f| f.search_in = vec![99], "filter.search_in"),
        (|f| f.author = Some(pb::UserRef { by: None }), "filter.author"),
        (
            |f| f.assignee = Some(pb::UserMatch { of: None }),
            "filter.assignee",
        ),
        (
            |f| f.reviewer = Some(pb::UserMatch { of: None }),
            "filter.reviewer",
        ),
        (|f| f.labels = Some(pb::LabelMatch { of: None }), "filter.labels"),
        (
            |f| f.milestone = Some(pb::NameMatch { of: None }),
            "filter.milestone",
        ),
        (
            |f| f.my_reaction_emoji = Some(pb::NameMatch { of: None }),
            "filter.my_reaction_emoji",
        ),
        (|f| f.search = Some("a\0b".into()), "filter.search"),
        (|f| f.search = Some("x ".repeat(33)), "filter.search"),
        (|f| f.iids = vec![1; 501], "filter.iids"),
        (|f| f.source_branch = Some("\0".into()), "filter.source_branch"),
        (|f| f.target_branch = Some("\0".into()), "filter.target_branch"),
        (|f| f.environment = Some("\0".into()), "filter.environment"),
        (
            |f| {
                f.created_after = Some(Timestamp {
                    seconds: 0,
                    nanos: -1,
                });
            },
            "filter.created_after",
        ),
        (
            |f| {
                f.deployed_before = Some(Timestamp {
                    seconds: i64::MIN,
                    nanos: 0,
                });
            },
            "filter.deployed_before",
        ),
    ] {
        let mut filter = Filter::default();
        damage(&mut filter);
        table.push((filter, field));
    }
    let exclude = pb::MergeRequestExclusion {
        labels: Some(labels(501)),
        ..Default::default()
    };
    table.push((
        Filter {
            exclude: Some(exclude),
            ..Default::default()
        },
        "filter.exclude.labels.names",
    ));
    let all = label_match::Of::All(labels(501));
    table.push((
        Filter {
            labels: Some(pb::LabelMatch { of: Some(all) }),
            ..Default::default()
        },
        "filter.labels.all.names",
    ));
    let project = || Some(project_id(world.project.id));
    for (filter, field) in table {
        let request = pb::ListMergeRequestsRequest {
            project: project(),
            filter: Some(filter.clone()),
            ..Default::default()
        };
        assert_eq!(violations(calls.list_merge_requests(request).await)[0].0, field);
        let request = pb::ListDeploymentMergeRequestsRequest {
            project: project(),
            filter: Some(filter),
            ..Default::default()
        };
        assert_eq!(
            violations(calls.list_deployment_merge_requests(request).await)[0].0,
            field
        );
    }
    for (change, field) in [
        (
            (|r| r.order_by = 99) as Break<pb::ListMergeRequestsRequest>,
            "order_by",
        ),
        (|r| r.direction = 99, "direction"),
        (|r| r.page_size = -1, "page_size"),
        (|r| r.skip = -1, "skip"),
        (|r| r.project = None, "project"),
    ] {
        let mut request = pb::ListMergeRequestsRequest {
            project: project(),
            ..Default::default()
        };
        change(&mut request);
        assert_eq!(violations(calls.list_merge_requests(request).await)[0].0, field);
    }
}

async fn what_is_not_there_is_not_found_and_who_may_not_is_told_so_first(engine: Engine) {
    let world = World::new(engine).await;
    twelve(&world).await;
    let foreign = world.server.project("acme/other", pb::Visibility::Private).await;
    let project = || Some(project_id(world.project.id));
    let (_, stranger) = world.server.user("stranger").await;
    let get = |token: &str, iid| {
        let mut calls = world.merge_requests(token);
        let request = pb::GetMergeRequestRequest {
            project: project(),
            iid,
        };
        async move { calls.get_merge_request(request).await }
    };
    assert_eq!(reason(get(&world.reporter, 13).await), "MERGE_REQUEST_NOT_FOUND");
    assert_eq!(reason(get(&world.reporter, -1).await), "MERGE_REQUEST_NOT_FOUND");
    assert_eq!(reason(get(&stranger, 13).await), "PROJECT_NOT_FOUND");
    let shipped = |project, deployment_id| {
        let mut calls = world.merge_requests(&world.server.root);
        let request = pb::ListDeploymentMergeRequestsRequest {
            project: Some(project_id(project)),
            deployment_id,
            ..Default::default()
        };
        async move { calls.list_deployment_merge_requests(request).await }
    };
    let deployment = world.ship("production", "v1", 1, &[1]).await;
    assert!(shipped(world.project.id, deployment).await.is_ok());
    for (project, deployment) in [
        (world.project.id, 999),
        (foreign.id, deployment),
        (world.project.id, 0),
    ] {
        assert_eq!(reason(shipped(project, deployment).await), "DEPLOYMENT_NOT_FOUND");
    }
    let mut calls = world.merge_requests(&world.reporter);
    let request = pb::ListDeploymentsOfMergeRequestRequest {
        project: project(),
        iid: 13,
        ..Default::default()
    };
    let refused = calls.list_deployments_of_merge_request(request.clone()).await;
    assert_eq!(reason(refused), "MERGE_REQUEST_NOT_FOUND");
    let request = pb::ListDeploymentsOfMergeRequestRequest { iid: 1, ..request };
    let found = calls
        .list_deployments_of_merge_request(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.deployments.len(), 1);
    assert_eq!(found.deployments[0].id, deployment);
    // Whoever may not write does not learn what is wrong with the report.
    let mut wrong = world.upsert(1, full());
    wrong.merge_request.as_mut().unwrap().title.clear();
    let refused = calls.upsert_merge_request(wrong).await;
    assert_eq!(reason(refused), "PERMISSION_DENIED");
    let delete = |token: &str, iid, etag: &str| {
        let mut calls = world.merge_requests(token);
        let request = pb::DeleteMergeRequestRequest {
            project: project(),
            iid,
            etag: etag.into(),
            ..Default::default()
        };
        async move { calls.delete_merge_request(request).await }
    };
    assert_eq!(
        reason(delete(&world.developer, 13, "").await),
        "PERMISSION_DENIED"
    );
    assert_eq!(
        reason(delete(&world.maintainer, 13, "").await),
        "MERGE_REQUEST_NOT_FOUND"
    );
    assert_eq!(
        reason(delete(&world.maintainer, 1, "\"x\"").await),
        "ETAG_MISMATCH"
    );
    delete(&world.maintainer, 1, "").await.unwrap();
    assert_eq!(reason(get(&world.reporter, 1).await), "MERGE_REQUEST_NOT_FOUND");
    assert_eq!(
        world.list_shipped(deployment, Filter::default()).await,
        [0_i64; 0]
    );
}

async fn a_retry_is_answered_as_before_and_what_is_only_checked_leaves_no_trace(engine: Engine) {
    let world = World::new(engine).await;
    let mut request = world.upsert(1, full());
    request.validate_only = true;
    let checked = world.try_upsert(request.clone()).await.unwrap().into_inner();
    assert!(checked.created && checked.merge_request.is_some());
    assert_eq!(world.list(Filter::default()).await, [0_i64; 0]);
    request.validate_only = false;
    request.request_id = "report-1".into();
    let first = world.try_upsert(request.clone()).await.unwrap().into_inner();
    let again = world.try_upsert(request.clone()).await.unwrap().into_inner();
    assert_eq!((again.created, &again), (true, &first));
    request.iid = 2;
    assert_eq!(
        reason(world.try_upsert(request.clone()).await),
        "REQUEST_ID_REUSED"
    );
    request.request_id.clear();
    request.etag = first.merge_request.unwrap().etag;
    assert_eq!(reason(world.try_upsert(request.clone()).await), "ETAG_MISMATCH");
    request.iid = 1;
    assert!(world.try_upsert(request).await.is_ok());
}

async fn of_reports_that_come_at_once_one_records_it_and_the_newest_stays(engine: Engine) {
    let world = World::new(engine).await;
    let answers = at_once(24, |number| {
        let mut calls = world.merge_requests(&world.developer);
        let number = i64::try_from(number).unwrap();
        let request = world.upsert(
            1,
            pb::MergeRequestReport {
                updated_at: at(number),
                upvotes: number,
                labels: vec![label(&format!("label {number}"), None)],
                ..full()
            },
        );
        async move { calls.upsert_merge_request(request).await.unwrap().into_inner() }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.created).count(), 1);
    let fresh = answers.iter().filter(|answer| !answer.stale).count();
    let get = pb::GetMergeRequestRequest {
        project: Some(project_id(world.project.id)),
        iid: 1,
    };
    let stays = world.merge_requests(&world.reporter).get_merge_request(get).await;
    let stays = stays.unwrap().into_inner().merge_request.unwrap();
    assert_eq!((stays.upvotes, stays.updated_at), (23, at(23)));
    assert_eq!(stays.labels, [label("label 23", None)]);
    assert_eq!(
        stays.etag,
        format!("\"{}-{fresh}\"", stays.id),
        "each that was not stale is one version"
    );
}

async fn of_two_with_the_same_etag_one_changes_it(engine: Engine) {
    let world = World::new(engine).await;
    let etag = world.report(1, full()).await.merge_request.unwrap().etag;
    let answers = at_once(8, |number| {
        let mut calls = world.merge_requests(&world.developer);
        let mut request = world.upsert(
            1,
            pb::MergeRequestReport {
                upvotes: 100 + i64::try_from(number).unwrap(),
                ..full()
            },
        );
        request.etag.clone_from(&etag);
        async move {
            calls
                .upsert_merge_request(request)
                .await
                .map_err(|status| reason(Err::<(), _>(status)))
        }
    })
    .await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, 7));
    assert!(
        refused
            .into_iter()
            .all(|answer| answer.unwrap_err() == "ETAG_MISMATCH")
    );
}

async fn a_token_for_reports_does_nothing_else(engine: Engine) {
    let world = World::new(engine).await;
    let report_only = [TokenScope::MergeRequests];
    let (_, hook) = world.server.user_with("hook", &report_only).await;
    let everything = pb::CreateMembershipRequest {
        container: Some(crate::support::in_project("acme/web")),
        user: Some(user_named("hook")),
        access_level: pb::AccessLevel::Owner.into(),
        ..Default::default()
    };
    let mut directory = world.server.directory(&world.server.root);
    directory.create_membership(everything).await.unwrap();
    let files = prost_types::FileDescriptorSet::decode(contract::DESCRIPTORS)
        .unwrap()
        .file;
    let mut refused = BTreeSet::new();
    for file in files.iter().filter(|file| file.package() == "gatehouse.v1") {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/gatehouse.v1.{}/{}", service.name(), method.name());
                let mut calls = tonic::client::Grpc::new(world.server.client(&hook));
                calls.ready().await.unwrap();
                let path = http::uri::PathAndQuery::try_from(path).unwrap();
                let codec = tonic_prost::ProstCodec::<(), ()>::default();
                let answer = calls.unary(tonic::Request::new(()), path, codec).await;
                if method.name() == "UpsertMergeRequest" {
                    assert_eq!(reason(answer), "INVALID_ARGUMENT");
                } else {
                    assert_eq!(reason(answer), "INSUFFICIENT_SCOPE", "{}", method.name());
                    refused.insert(method.name().to_owned());
                }
            }
        }
    }
    assert!(
        refused.len() > 40 && refused.contains("GetMergeRequest"),
        "{refused:?}"
    );
    let mut calls = world.merge_requests(&hook);
    let made = calls.upsert_merge_request(world.upsert(1, full())).await;
    assert!(made.unwrap().into_inner().created);
    let (_, reader) = world.server.user_with("reader", &[TokenScope::ReadApi]).await;
    let refused = world
        .merge_requests(&reader)
        .upsert_merge_request(world.upsert(1, full()))
        .await;
    assert_eq!(reason(refused), "INSUFFICIENT_SCOPE");
}

async fn an_archived_project_keeps_its_merge_requests_and_takes_no_more(engine: Engine) {
    let world = World::new(engine).await;
    world.report(1, full()).await;
    let archive = pb::UpdateProjectRequest {
        project: Some(project_id(world.project.id)),
        archived: Some(true),
        ..Default::default()
    };
    world
        .server
        .directory(&world.server.root)
        .update_project(archive)
        .await
        .unwrap();
    let refused = world.try_upsert(world.upsert(1, full())).await;
    assert_eq!(reason(refused), "PROJECT_ARCHIVED");
    let delete = pb::DeleteMergeRequestRequest {
        project: Some(project_id(world.project.id)),
        iid: 1,
        ..Default::default()
    };
    let refused = world
        .merge_requests(&world.maintainer)
        .delete_merge_request(delete)
        .await;
    assert_eq!(reason(refused), "PROJECT_ARCHIVED");
    assert_eq!(world.list(Filter::default()).await, [1]);
}
