//! What every engine of the store has to do alike: each case runs on each engine, under a name of its own.

mod deployments;
mod directory;
mod environments;
mod events;
mod gate;
mod merge_requests;
mod pages;
mod replicas;
mod requests;
mod times;

use std::sync::Arc;

use crate::support::engine::{Engine, Place, connected};
use chrono::TimeDelta;
use gatehouse::{
    domain::{
        Time,
        access::AccessLevel,
        deployment::{self, CreateDeployment, Deployment, DeploymentStatus},
        directory::{
            Container, DirectoryChange, Group, NewGroup, NewMembership, NewProject, NewUser, User,
            UserProfile, UserState, Visibility,
        },
        environment::Environment,
        error::Reason,
        event::ProjectChange,
        id::{DeploymentId, EnvironmentKey, MergeRequestId, ProjectId, ProjectKey, UserKey},
        token::Secret,
    },
    store::{
        self, Decide, DirectoryAnswer, DirectorySelect, DirectoryState, Done, ProjectAnswer, ProjectState,
        RequestKey, Select, Store, StoreError, Terms,
    },
};

/// Names every case once for every engine. A case that is not named here is dead code, and so not forgotten.
macro_rules! suite {
    ($($area:ident { $($case:ident)+ })+) => {
        suite!(on sqlite, Sqlite: $($area { $($case)+ })+);
        suite!(on postgres, Postgres: $($area { $($case)+ })+);
    };
    (on $module:ident, $engine:ident: $($area:ident { $($case:ident)+ })+) => {
        mod $module {
            $(mod $area {
                use crate::{conformance::{$area as cases, Held, Ledger}, support::engine::Engine};
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $case() {
                        if Engine::$engine.is_here() {
                            cases::$case(&Ledger::on(Held::open(Engine::$engine).await).await).await;
                        }
                    }
                )+
            })+
        }
    };
}

suite! {
    deployments {
        a_deployment_is_made_found_moved_and_deleted
        the_same_success_is_kept
        the_last_success_is_the_one_that_finished_last
        numbers_count_by_project_and_are_not_given_again
        every_change_tells_its_events_and_a_refused_one_none
        events_of_many_writers_have_no_gaps
        what_is_deleted_with_its_environment_is_gone
        a_deployment_outlives_its_user
    }
    directory {
        a_standing_comes_from_every_way_there_is
        a_rename_reaches_everything_below
        lists_hold_what_the_viewer_may_see
        paths_and_usernames_are_found_whatever_their_case
        a_token_is_found_touched_listed_and_revoked
        the_first_administrator_is_made_once
    }
    environments {
        a_deployment_makes_its_environment_once
        a_slug_is_unique_in_its_project
        the_stale_are_those_that_saw_no_change
        old_review_environments_are_deleted_oldest_first
        a_list_is_filtered_by_name_beginning_and_state
    }
    events {
        a_log_is_read_in_order_from_any_place
        who_waits_on_a_project_is_woken_by_its_changes_only
        who_waits_is_woken_by_changes_of_the_groups_above_and_by_the_end
    }
    gate {
        a_protection_is_made_changed_and_taken_away
        protections_are_listed_by_name
        a_groups_protection_is_told_in_every_project_below
        the_last_required_approval_lets_a_deployment_go
        an_approval_takes_the_place_of_the_same_persons_earlier_one
        who_is_deleted_leaves_every_rule_and_frees_what_only_they_held
        a_group_that_is_deleted_leaves_every_rule_too
        an_approval_goes_with_its_user_and_a_deployment_stays_without_its_creator
        people_are_seen_by_every_way_they_belong
        an_inbox_is_walked_without_loss
        protections_and_approvals_go_with_what_they_are_about
    }
    merge_requests {
        a_merge_request_is_made_found_changed_and_deleted
        who_is_deleted_is_shown_and_found_no_more
        who_shipped_it_is_listed_the_latest_first_until_either_is_gone
        a_report_that_comes_late_has_deployments_looked_through_again
        of_many_deployments_the_oldest_hundred_are_looked_through
        the_environments_looked_through_are_those_that_are_linked
        a_time_of_a_project_that_is_ahead_is_kept
        every_list_is_what_filtering_and_sorting_by_hand_gives
    }
    pages {
        every_order_direction_and_filter_is_what_sorting_by_hand_gives
        a_total_is_told_to_its_limit_and_no_further
        lists_by_id_are_walked_without_loss
    }
    replicas {
        a_lease_goes_to_the_one_who_saw_it_last
        of_many_who_reach_for_a_lease_one_gets_it
        answers_are_forgotten_when_no_repeat_can_come
        a_position_moves_with_every_change_that_is_seen_from_a_project
    }
    requests {
        a_repeat_is_given_the_same_bytes
        another_request_under_the_same_id_is_refused
        a_refused_change_is_not_remembered
        an_answer_is_forgotten_after_a_day
        what_is_only_checked_leaves_no_trace
    }
    times {
        times_never_run_backwards_in_a_project
    }
}

/// A store, and a look at what it holds that the trait does not show.
struct Held {
    store: Arc<dyn Store>,
    place: Place,
}

/// An event as stored.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
struct Event {
    seq: i64,
    kind: String,
    actor_id: i64,
    created_at: i64,
    payload: String,
}

impl Held {
    async fn open(engine: Engine) -> Self {
        let place = engine.place().await;
        Self {
            store: store::open(&place.location()).await.unwrap().store,
            place,
        }
    }

    async fn events(&self, project: ProjectId) -> Vec<Event> {
        let text =
            "SELECT seq, kind, actor_id, created_at, payload FROM events WHERE project_id = $1 ORDER BY seq";
        connected!(self.place, |connection| sqlx::query_as(text)
            .bind(project.0)
            .fetch_all(&mut connection)
            .await
            .unwrap())
    }

    async fn counters(&self, project: ProjectId) -> (i64, i64) {
        let text = "SELECT last_iid, last_event FROM projects WHERE id = $1";
        connected!(self.place, |connection| sqlx::query_as(text)
            .bind(project.0)
            .fetch_one(&mut connection)
            .await
            .unwrap())
    }

    async fn link(&self, deployment: DeploymentId, merge_request: MergeRequestId) {
        let text = "INSERT INTO deployment_merge_requests (deployment_id, merge_request_id, environment_id) \
                    SELECT id, $2, environment_id FROM deployments WHERE id = $1";
        connected!(self.place, |connection| sqlx::query(text)
            .bind(deployment.0)
            .bind(merge_request.0)
            .execute(&mut connection)
            .await
            .map(drop)
            .unwrap());
    }

    async fn merge_request_commits(&self, id: MergeRequestId) -> Vec<(String, String)> {
        let text =
            "SELECT kind, sha FROM merge_request_commits WHERE merge_request_id = $1 ORDER BY kind, sha";
        connected!(self.place, |connection| sqlx::query_as(text)
            .bind(id.0)
            .fetch_all(&mut connection)
            .await
            .unwrap())
    }

    async fn link_work(&self) -> Vec<(DeploymentId, i64, Time)> {
        let text = "SELECT w.deployment_id, w.attempts, w.due_at FROM link_work w \
                    JOIN deployments d ON d.id = w.deployment_id ORDER BY d.finished_at, d.id";
        let rows: Vec<(i64, i64, i64)> = connected!(self.place, |connection| sqlx::query_as(text)
            .fetch_all(&mut connection)
            .await
            .unwrap());
        let time = |millis| Time::from_timestamp_millis(millis).unwrap();
        rows.into_iter()
            .map(|(id, attempts, due)| (DeploymentId(id), attempts, time(due)))
            .collect()
    }

    async fn clear_link_work(&self) {
        connected!(self.place, |connection| sqlx::query("DELETE FROM link_work")
            .execute(&mut connection)
            .await
            .map(drop)
            .unwrap());
    }
}

/// The time of the first change, and so many seconds later.
fn at(seconds: i64) -> Time {
    Time::from_timestamp_millis(1_700_000_000_000).unwrap() + TimeDelta::seconds(seconds)
}

/// The reason of a refusal.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> Reason {
    match answer.unwrap_err() {
        StoreError::Refused(error) => error.reason(),
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
fn fresh<A: std::fmt::Debug>(answer: Result<Done<A>, StoreError>) -> A {
    match answer.unwrap() {
        Done::Fresh(answer) => answer,
        Done::Replayed(bytes) => panic!("answered before: {bytes:?}"),
    }
}

/// A store with an administrator, a group `acme` and a private project `acme/web`.
struct Ledger {
    engine: Held,
    store: Arc<dyn Store>,
    root: User,
    acme: Group,
    web: ProjectId,
}

impl Ledger {
    async fn on(engine: Held) -> Self {
        let store = Arc::clone(&engine.store);
        let secret = Secret::presented("root's");
        let root = store.bootstrap(&secret.hash(), at(0)).await.unwrap().unwrap();
        let acme = make_group(&*store, &root, None, "acme", Visibility::Private).await;
        let web = make_project(&*store, &root, &acme, "web", Visibility::Private).await;
        Self {
            engine,
            store,
            root,
            acme,
            web,
        }
    }

    /// On the usual terms.
    fn terms<A: std::fmt::Debug + 'static>(&self, now: Time) -> Terms<A> {
        terms(&self.root, now)
    }

    /// The terms of a request with a name and a digest.
    fn named<A: std::fmt::Debug + 'static>(&self, now: Time, id: &str, fingerprint: &str) -> Terms<A> {
        let request = Some(RequestKey {
            id: id.into(),
            fingerprint: fingerprint.into(),
        });
        Terms {
            request,
            ..self.terms(now)
        }
    }

    async fn change(
        &self,
        project: ProjectId,
        select: Select,
        terms: Terms<ProjectAnswer>,
        decide: Decide<ProjectState, ProjectChange>,
    ) -> Result<Done<ProjectAnswer>, StoreError> {
        self.store
            .project_change(ProjectKey::Id(project), select, terms, decide)
            .await
    }

    /// Records a deployment as the rules say.
    async fn record_on(
        &self,
        project: ProjectId,
        command: CreateDeployment,
        terms: Terms<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, StoreError> {
        let select = Select::NewDeployment {
            environment: command.environment.clone(),
            job: None,
            succeeded: command.status == DeploymentStatus::Success,
        };
        let user = self.root.id;
        let decide = Box::new(move |state: &ProjectState| {
            let (environment, last) = (state.environment.as_ref(), state.last_success.as_ref());
            deployment::create(
                &command,
                user,
                &deployment::Ground {
                    environment,
                    slug_taken: state.slug_taken,
                    last,
                    ..deployment::Ground::default()
                },
                state.now,
            )
        });
        self.change(project, select, terms, decide).await
    }

    /// Records a deployment to `acme/web`.
    async fn record(
        &self,
        environment: &str,
        git_ref: &str,
        status: DeploymentStatus,
        now: Time,
    ) -> Deployment {
        let command = command(environment, git_ref, status);
        fresh(self.record_on(self.web, command, self.terms(now)).await)
            .deployment
            .unwrap()
    }

    async fn move_to(
        &self,
        id: DeploymentId,
        status: DeploymentStatus,
        terms: Terms<ProjectAnswer>,
    ) -> Result<Done<ProjectAnswer>, StoreError> {
        let decide = Box::new(move |state: &ProjectState| {
            let (deployment, environment) =
                state.deployment.as_ref().zip(state.environment.as_ref()).unwrap();
            deployment.move_to(status, environment, state.now)
        });
        self.change(self.web, Select::Deployment(id), terms, decide).await
    }

    async fn environment(&self, name: &str) -> Option<Environment> {
        self.store
            .environment_find(self.web, &EnvironmentKey::Name(name.into()))
            .await
            .unwrap()
    }

    async fn stop(&self, name: &str, now: Time) -> Environment {
        let select = Select::Environment(EnvironmentKey::Name(name.into()));
        let decide =
            Box::new(|state: &ProjectState| state.environment.as_ref().unwrap().stop(true, state.now));
        fresh(self.change(self.web, select, self.terms(now), decide).await)
            .environment
            .unwrap()
    }

    /// Makes these facts true.
    async fn facts(&self, select: DirectorySelect, changes: Vec<DirectoryChange>) -> DirectoryAnswer {
        facts(&*self.store, &self.root, select, changes).await
    }

    async fn user(&self, username: &str) -> User {
        let new = NewUser {
            username: username.into(),
            name: username.into(),
            email: None,
            public_email: None,
            avatar_url: None,
            state: UserState::Active,
            admin: false,
            external: false,
            profile: UserProfile::default(),
        };
        let select = DirectorySelect::User(UserKey::Name(username.into()));
        self.facts(select, vec![DirectoryChange::UserCreated(new)])
            .await
            .user
            .unwrap()
    }

    async fn group(&self, parent: Option<&Group>, path: &str, visibility: Visibility) -> Group {
        make_group(&*self.store, &self.root, parent, path, visibility).await
    }

    async fn project(&self, group: &Group, path: &str, visibility: Visibility) -> ProjectId {
        make_project(&*self.store, &self.root, group, path, visibility).await
    }

    async fn member(&self, container: Container, user: &User, access_level: AccessLevel) {
        let new = NewMembership {
            container,
            user_id: user.id,
            access_level,
        };
        let select = DirectorySelect::User(UserKey::Id(user.id));
        self.facts(select, vec![DirectoryChange::MembershipCreated(new)])
            .await;
    }
}

fn terms<A: std::fmt::Debug + 'static>(actor: &User, now: Time) -> Terms<A> {
    Terms {
        now,
        actor: actor.id,
        premise: None,
        request: None,
        validate_only: false,
        encode: Arc::new(|answer| format!("{answer:?}").into_bytes()),
    }
}

async fn facts(
    store: &dyn Store,
    actor: &User,
    select: DirectorySelect,
    changes: Vec<DirectoryChange>,
) -> DirectoryAnswer {
    let decide = Box::new(move |_: &DirectoryState| Ok(changes.clone()));
    fresh(store.directory_change(select, terms(actor, at(0)), decide).await)
}

async fn make_group(
    store: &dyn Store,
    actor: &User,
    parent: Option<&Group>,
    path: &str,
    visibility: Visibility,
) -> Group {
    let under = |above: Option<&String>, separator: &str| match above {
        Some(above) => format!("{above}{separator}{path}"),
        None => path.to_owned(),
    };
    let new = NewGroup {
        parent_id: parent.map(|parent| parent.id),
        path: path.into(),
        full_path: under(parent.map(|parent| &parent.full_path), "/"),
        name: path.into(),
        full_name: under(parent.map(|parent| &parent.full_name), " / "),
        description: String::new(),
        visibility,
        owner: None,
    };
    let select = DirectorySelect::User(UserKey::Id(actor.id));
    facts(store, actor, select, vec![DirectoryChange::GroupCreated(new)])
        .await
        .group
        .unwrap()
}

async fn make_project(
    store: &dyn Store,
    actor: &User,
    group: &Group,
    path: &str,
    visibility: Visibility,
) -> ProjectId {
    let new = NewProject {
        group: group.clone(),
        path: path.into(),
        full_path: format!("{}/{path}", group.full_path),
        name: path.into(),
        description: String::new(),
        visibility,
        default_branch: "main".into(),
        archived: false,
        allow_self_approval: false,
        creator_id: actor.id,
        forward_deployment_enabled: true,
        forward_deployment_rollback_allowed: true,
    };
    let select = DirectorySelect::User(UserKey::Id(actor.id));
    facts(store, actor, select, vec![DirectoryChange::ProjectCreated(new)])
        .await
        .project
        .unwrap()
        .id
}

fn command(environment: &str, git_ref: &str, status: DeploymentStatus) -> CreateDeployment {
    CreateDeployment {
        environment: environment.into(),
        sha: "a91957a858320c0e17f3a0eca7cfacbff50ea29a".into(),
        git_ref: git_ref.into(),
        tag: false,
        status,
        job: None,
        commits: Vec::new(),
    }
}
