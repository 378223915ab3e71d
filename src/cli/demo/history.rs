//! What Acme deployed in the last weeks, and what it wants to deploy now.
//!
//! The documented calls shape it: they read and delete deployment 1 of project 1, and finish its deployment 42.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike as _, Days, NaiveTime, TimeDelta, Utc, Weekday};
use sha2::{Digest as _, Sha256};

use super::repository::{HELD_RELEASE, Made, PICKED, Traces, title};
use crate::pb::v1::{DeploymentStatus as Status, MergeRequestState};

/// The project of the documented calls: the first in the file, hence number 1.
pub const WEB: &str = "acme/shop/web";

/// A younger project, put under Gatehouse today.
pub const SEARCH: &str = "acme/shop/search";

/// A deployment and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The project's full path.
    pub project: &'static str,
    /// The username of who recorded it.
    pub by: &'static str,
    /// The environment's name.
    pub environment: String,
    /// The branch or tag.
    pub git_ref: String,
    /// Whether it is a tag.
    pub tag: bool,
    /// The commit.
    pub sha: String,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// How it was recorded.
    pub began: Status,
    /// How it ended, and when; absent: it has not.
    pub ended: Option<(Status, DateTime<Utc>)>,
}

/// Where a change is tried or released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// On its branch.
    Review,
    /// On the main branch.
    Staging,
    /// By a tag, the commit that was on staging.
    Production,
}

/// A change on its way to production: each deployment of it, and what that came to.
pub type Way = &'static [(Stage, Status)];

const FIRST_RELEASE: Way = &[
    (Stage::Staging, Status::Success),
    (Stage::Production, Status::Success),
];

const SMOOTH: Way = &[
    (Stage::Review, Status::Success),
    (Stage::Staging, Status::Success),
    (Stage::Production, Status::Success),
];

const REWORKED: Way = &[
    (Stage::Review, Status::Failed),
    (Stage::Review, Status::Success),
    (Stage::Staging, Status::Success),
    (Stage::Production, Status::Success),
];

const BUMPY: Way = &[
    (Stage::Review, Status::Success),
    (Stage::Staging, Status::Failed),
    (Stage::Staging, Status::Success),
    (Stage::Production, Status::Failed),
    (Stage::Production, Status::Success),
];

const ABANDONED: Way = &[
    (Stage::Review, Status::Success),
    (Stage::Review, Status::Canceled),
];

const UNDER_WAY: Way = &[
    (Stage::Review, Status::Success),
    (Stage::Staging, Status::Canceled),
    (Stage::Staging, Status::Success),
    (Stage::Production, Status::Running),
];

const ABOUT_TO_START: Way = &[
    (Stage::Review, Status::Success),
    (Stage::Staging, Status::Success),
    (Stage::Production, Status::Created),
];

/// A change: its branch, who works on it, its way.
pub type Change = (&'static str, &'static str, Way);

/// The changes of the first project, each begun when the one before had come to its end.
pub const WEB_CHANGES: [Change; 12] = [
    ("main", "mika", FIRST_RELEASE),
    ("gift-cards", "dana", REWORKED),
    ("cart-rounding", "dana", SMOOTH),
    ("image-zoom", "mika", BUMPY),
    ("dark-mode", "dana", ABANDONED),
    ("address-form", "dana", SMOOTH),
    ("wishlist", "mika", REWORKED),
    ("search-box", "dana", SMOOTH),
    ("invoice-pdf", "dana", BUMPY),
    ("cookie-banner", "olive", SMOOTH),
    ("guest-checkout", "dana", REWORKED),
    ("stock-alerts", "mika", UNDER_WAY),
];

const SEARCH_CHANGES: [Change; 4] = [
    ("main", "mika", FIRST_RELEASE),
    ("synonyms", "dana", SMOOTH),
    ("typo-tolerance", "dana", REWORKED),
    ("ranking", "mika", ABOUT_TO_START),
];

/// From one change of the web project to the next.
const DAYS_BETWEEN: u64 = 3;

/// From one deployment of such a change to the next.
const WEB_PAUSE: TimeDelta = TimeDelta::minutes(50);

/// How long deployments take, one after the other; less than the time between two of them.
const DURATIONS: [TimeDelta; 5] = [
    TimeDelta::seconds(212),
    TimeDelta::seconds(371),
    TimeDelta::seconds(148),
    TimeDelta::seconds(595),
    TimeDelta::seconds(263),
];

/// Everything that was deployed up to `now`, oldest first; the first project's all before the second's, so that the
/// ids of its deployments begin at 1 without gaps.
pub fn up_to(now: DateTime<Utc>, made: &Made) -> Vec<Recorded> {
    let mut history = Vec::new();
    for (number, change) in WEB_CHANGES.iter().enumerate() {
        let start = web_start(now, number);
        deploy(&mut history, made, WEB, number, change, start, WEB_PAUSE);
    }
    let mut start = now - TimeDelta::minutes(160);
    for (number, change) in SEARCH_CHANGES.iter().enumerate() {
        let pause = TimeDelta::minutes(12);
        deploy(&mut history, made, SEARCH, number, change, start, pause);
        start += change.2.iter().map(|_| pause).sum::<TimeDelta>();
    }
    history
}

/// When a change of the first project began to be deployed.
fn web_start(now: DateTime<Utc>, number: usize) -> DateTime<Utc> {
    match (WEB_CHANGES.len() - 1 - number) as u64 {
        0 => now - TimeDelta::minutes(180 + 3 * 50),
        changes_since => morning(now, changes_since * DAYS_BETWEEN),
    }
}

/// A merge request of the first project and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// The forge's number of it.
    pub iid: i64,
    /// What it is called.
    pub title: &'static str,
    /// Its branch.
    pub branch: &'static str,
    /// The username of who opened it.
    pub author: &'static str,
    /// When that was.
    pub opened_at: DateTime<Utc>,
    /// How it ended, and when.
    pub ended: (MergeRequestState, DateTime<Utc>),
    /// By which commits it is found.
    pub traces: Traces,
}

/// The merge requests of the first project, in the order in which they ended: one for each of its changes but the first,
/// and the one that was picked into the release that waits.
pub fn merge_requests(now: DateTime<Utc>, made: &Made) -> Vec<Requested> {
    let mut requested: Vec<_> = (0..)
        .zip(&WEB_CHANGES)
        .skip(1)
        .map(|(iid, (branch, author, way))| {
            let start = web_start(now, usize::try_from(iid).unwrap_or_default());
            let staging = way
                .iter()
                .zip(0..)
                .find(|((stage, _), _)| *stage == Stage::Staging);
            let ended = match staging {
                // A little before it was on staging.
                Some((_, place)) => (
                    MergeRequestState::Merged,
                    start + WEB_PAUSE * place - TimeDelta::minutes(10),
                ),
                None => (MergeRequestState::Closed, start + TimeDelta::hours(4)),
            };
            Requested {
                iid,
                title: title(branch),
                branch,
                author,
                opened_at: start - TimeDelta::hours(3),
                ended,
                traces: made.branches.get(*branch).cloned().unwrap_or_default(),
            }
        })
        .collect();
    requested.push(Requested {
        iid: i64::try_from(WEB_CHANGES.len()).unwrap_or_default(),
        title: title(PICKED),
        branch: PICKED,
        author: "dana",
        opened_at: minutes_before(now, 50),
        ended: (MergeRequestState::Merged, minutes_before(now, 18)),
        traces: made.branches.get(PICKED).cloned().unwrap_or_default(),
    });
    requested
}

/// Minutes before the present.
pub fn minutes_before(now: DateTime<Utc>, minutes: i64) -> DateTime<Utc> {
    now - TimeDelta::minutes(minutes)
}

/// What is recorded once the gate is up, and so is held: by rules, and by the unified setting. Later than the history.
pub fn at_the_gate(now: DateTime<Utc>, made: &Made) -> [Recorded; 2] {
    let held = |environment: &str, minutes| Recorded {
        project: WEB,
        by: "deploy-bot",
        environment: environment.to_owned(),
        git_ref: HELD_RELEASE.to_owned(),
        tag: true,
        sha: commit_of(made, &description(WEB, HELD_RELEASE, 1)),
        created_at: minutes_before(now, minutes),
        began: Status::Running,
        ended: None,
    };
    [held("production", 14), held("canary", 13)]
}

/// A working morning so many days ago, or the Monday after it.
fn morning(now: DateTime<Utc>, days_ago: u64) -> DateTime<Utc> {
    let day = now.date_naive() - Days::new(days_ago);
    let day = match day.weekday() {
        Weekday::Sat => day + Days::new(2),
        Weekday::Sun => day + Days::new(1),
        _ => day,
    };
    day.and_time(NaiveTime::MIN).and_utc() + TimeDelta::minutes(9 * 60 + 10)
}

/// What each deployment on the way brings: the how many-th commit of the change. What goes to production is the commit
/// that was on staging.
pub fn commits_of(way: Way) -> impl Iterator<Item = (Stage, usize)> {
    let mut commits = 0;
    way.iter().map(move |(stage, _)| {
        commits += usize::from(*stage != Stage::Production);
        (*stage, commits)
    })
}

/// What the how many-th commit of a change is known by in this history.
pub fn description(project: &str, branch: &str, commit: usize) -> String {
    format!("{project} {branch} {commit}")
}

/// The commit of that description: one of the repository, or, for a project without one, one that is made up.
fn commit_of(made: &Made, description: &str) -> String {
    let commit = made.commits.get(description).cloned();
    commit.unwrap_or_else(|| sha(description))
}

/// Adds the deployments of one change.
fn deploy(
    history: &mut Vec<Recorded>,
    made: &Made,
    project: &'static str,
    number: usize,
    (branch, author, way): &Change,
    start: DateTime<Utc>,
    pause: TimeDelta,
) {
    let mut created_at = start;
    for ((_, status), (stage, commit)) in way.iter().zip(commits_of(way)) {
        let (environment, git_ref, tag, by) = match stage {
            Stage::Review => (format!("review/{branch}"), (*branch).to_owned(), false, *author),
            Stage::Staging => ("staging".to_owned(), "main".to_owned(), false, "deploy-bot"),
            Stage::Production => (
                "production".to_owned(),
                format!("v2.{number}.0"),
                true,
                "deploy-bot",
            ),
        };
        let duration = DURATIONS[history.len() % DURATIONS.len()];
        let (began, ended) = match status {
            Status::Created | Status::Running => (*status, None),
            end => (Status::Running, Some((*end, created_at + duration))),
        };
        let sha = commit_of(made, &description(project, branch, commit));
        history.push(Recorded {
            project,
            by,
            environment,
            git_ref,
            tag,
            sha,
            created_at,
            began,
            ended,
        });
        created_at += pause;
    }
}

/// The commit of that description.
fn sha(description: &str) -> String {
    let mut hex = String::new();
    for byte in &Sha256::digest(description)[..20] {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histories() -> impl Iterator<Item = (DateTime<Utc>, Vec<Recorded>)> {
        // Every hour of two weeks: the story must hold whenever the demo is started.
        (0..14 * 24).map(|hour| {
            let now = DateTime::from_timestamp(1_700_000_000 + hour * 3600, 0).unwrap();
            (now, up_to(now, &Made::default()))
        })
    }

    #[test]
    fn time_goes_forward_and_ends_before_now() {
        for (now, history) in histories() {
            let times = history
                .iter()
                .flat_map(|deployment| [Some(deployment.created_at), deployment.ended.map(|(_, at)| at)])
                .flatten();
            let times: Vec<_> = times.collect();
            assert!(times.is_sorted(), "told at {now}");
            assert!(times.last().unwrap() < &now);
            assert!(now - times[0] > TimeDelta::days(28), "a history of weeks");
        }
    }

    #[test]
    fn the_documented_calls_find_what_they_are_about() {
        let (_, history) = histories().next().unwrap();
        let web: Vec<_> = history
            .iter()
            .filter(|deployment| deployment.project == WEB)
            .collect();
        assert_eq!(web.len(), 42);
        assert_eq!(web[..], history[..42].iter().collect::<Vec<_>>());
        assert_eq!(
            (web[41].began, web[41].ended),
            (Status::Running, None),
            "PUT 42 with success"
        );
        let succeeded = |deployment: &Recorded| matches!(deployment.ended, Some((Status::Success, _)));
        assert!(web[0].ended.is_some(), "DELETE 1: not running");
        assert!(
            web[1..]
                .iter()
                .any(|later| later.environment == web[0].environment && succeeded(later)),
            "DELETE 1: not the last success of its environment"
        );
    }

    #[test]
    fn every_status_that_can_be_recorded_occurs() {
        let (_, history) = histories().next().unwrap();
        let statuses: Vec<_> = history
            .iter()
            .map(|deployment| deployment.ended.map_or(deployment.began, |(status, _)| status))
            .collect();
        for status in [
            Status::Created,
            Status::Running,
            Status::Success,
            Status::Failed,
            Status::Canceled,
        ] {
            assert!(statuses.contains(&status), "{status:?}");
        }
    }

    #[test]
    fn a_commit_looks_like_one() {
        assert_eq!(sha("x").len(), 40);
        assert!(sha("x").chars().all(|c| c.is_ascii_hexdigit()));
        assert_ne!(sha("x"), sha("y"));
    }
}
