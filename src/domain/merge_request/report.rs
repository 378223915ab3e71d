//! Reports: what a forge tells of a merge request, checked field by field and put over what is known.
//!
//! A report tells some fields or all of them; what it does not tell stays as it is. One that is older than what is
//! recorded, by `updated_at`, changes nothing; one that says nothing new changes nothing either, so that it can be sent
//! again at any time. Field names are those of the contract's `MergeRequestReport`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, TimeDelta};

use super::{
    Details, Facts, Label, MergeRequest, MergeRequestChange, MergeRequestState, Milestone, Reaction, relink,
};
use crate::domain::{
    Time,
    commit::is_full_id,
    directory::UserSummary,
    error::{Error, Violations},
    guard::Guard,
    id::{MergeRequestIid, ProjectId, UserId, UserKey},
    text,
};

/// The most characters of a title.
const TITLE_MAX: usize = 1_024;
/// The most characters of a description.
const DESCRIPTION_MAX: usize = 1_048_576;
/// The most characters of a URL.
const URL_MAX: usize = 2_048;
/// The most assignees, and the most reviewers.
const PEOPLE_MAX: usize = 200;
/// The most labels.
const LABELS_MAX: usize = 500;
/// The most commits that a merge request was cherry-picked into.
const PICKS_MAX: usize = 500;
/// The most reactions.
const REACTIONS_MAX: usize = 1_000;
/// How far a forge's clock may be ahead.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(1);
/// How many entries of one list are refused by name before the rest is left unsaid.
const NAMED_MAX: usize = 3;

/// A field of a report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// It is not told: what is known stays.
    #[default]
    Untold,
    /// It is this.
    Told(T),
}

impl<T> Field<T> {
    /// What is told, if it is.
    pub fn told(&self) -> Option<&T> {
        match self {
            Self::Untold => None,
            Self::Told(value) => Some(value),
        }
    }
}

impl<T: Clone> Field<T> {
    /// Puts what is told in place of what was known.
    fn put(&self, known: &mut T) {
        if let Self::Told(value) = self {
            known.clone_from(value);
        }
    }
}

/// A merge request as a forge reports it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(
    missing_docs,
    reason = "the fields are those of Facts and Details, people by how they are named"
)]
pub struct Report {
    pub title: Field<String>,
    pub description: Field<String>,
    /// None is told by nobody who knows it, and refused.
    pub state: Field<Option<MergeRequestState>>,
    /// None: now for a new merge request; that of a known one stays.
    pub created_at: Field<Option<Time>>,
    /// None: now, if anything else changes.
    pub updated_at: Field<Option<Time>>,
    pub merged_by: Field<Option<UserKey>>,
    pub merged_at: Field<Option<Time>>,
    pub closed_by: Field<Option<UserKey>>,
    pub closed_at: Field<Option<Time>>,
    pub target_branch: Field<String>,
    pub source_branch: Field<String>,
    pub source_project_id: Field<Option<ProjectId>>,
    pub author: Field<Option<UserKey>>,
    pub assignees: Field<Vec<UserKey>>,
    pub reviewers: Field<Vec<UserKey>>,
    pub labels: Field<Vec<Label>>,
    pub milestone: Field<Option<Milestone>>,
    pub sha: Field<String>,
    pub merge_commit_sha: Field<String>,
    pub squash_commit_sha: Field<String>,
    pub cherry_pick_shas: Field<Vec<String>>,
    pub reactions: Field<Vec<Reaction>>,
    pub upvotes: Field<i64>,
    pub downvotes: Field<i64>,
    pub user_notes_count: Field<i64>,
    pub merge_when_pipeline_succeeds: Field<bool>,
    pub merge_status: Field<String>,
    pub detailed_merge_status: Field<String>,
    pub merge_after: Field<Option<Time>>,
    pub prepared_at: Field<Option<Time>>,
    pub discussion_locked: Field<Option<bool>>,
    pub should_remove_source_branch: Field<Option<bool>>,
    pub force_remove_source_branch: Field<Option<bool>>,
    pub squash: Field<bool>,
    pub squash_on_merge: Field<bool>,
    pub time_estimate: Field<i64>,
    pub total_time_spent: Field<i64>,
    pub task_count: Field<i64>,
    pub task_completed_count: Field<i64>,
    pub has_conflicts: Field<bool>,
    pub blocking_discussions_resolved: Field<Option<bool>>,
    pub approvals_before_merge: Field<Option<i64>>,
    pub web_url: Field<String>,
}

/// What a caller wants recorded of a merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpsertMergeRequest {
    /// The forge's number of it within the project.
    pub iid: MergeRequestIid,
    /// What is told of it.
    pub report: Report,
    /// Whether people who are not there are left out instead of refused.
    pub skip_unknown_users: bool,
}

/// A day as the contract has it, `YYYY-MM-DD`; none where it is empty.
pub fn day(field: &str, text: &str) -> Result<Option<NaiveDate>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let formed = text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let day = if formed && !text.starts_with("0000") {
        NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
    } else {
        None
    };
    day.map(Some)
        .ok_or_else(|| Error::argument(field, "is not a day (YYYY-MM-DD)"))
}

/// The path of a report's field in the request.
fn path(field: &str) -> String {
    format!("merge_request.{field}")
}

fn refusal<T>(field: &str, description: &str) -> Result<T, Error> {
    Err(Error::argument(path(field), description))
}

fn one_line(field: &str, text: &str, max: usize) -> Result<(), Error> {
    let field = path(field);
    let checked = text::not_blank(&field, text)
        .and_then(|()| text::at_most(&field, text, max))
        .and_then(|()| text::no_control(&field, text));
    checked.map_err(Error::into_argument)?;
    // The line and the paragraph separator are no control characters.
    if text.contains(['\u{2028}', '\u{2029}']) {
        return Err(Error::argument(field, "must be one line"));
    }
    Ok(())
}

fn prose(field: &str, text: &str, max: usize) -> Result<(), Error> {
    if text.contains('\0') {
        return refusal(field, "is invalid");
    }
    text::at_most(&path(field), text, max).map_err(Error::into_argument)
}

fn word(field: &str, text: &str) -> Result<(), Error> {
    let field = path(field);
    text::at_most(&field, text, text::NAME_MAX)
        .and_then(|()| text::no_control(&field, text))
        .map_err(Error::into_argument)
}

fn url(field: &str, url: &str) -> Result<(), Error> {
    let field = path(field);
    text::at_most(&field, url, URL_MAX)
        .and_then(|()| text::harmless_url(&field, url))
        .map_err(Error::into_argument)
}

fn sha(field: &str, sha: &str) -> Result<(), Error> {
    if sha.is_empty() || is_full_id(sha) {
        return Ok(());
    }
    refusal(field, "is not a full commit id in lower case")
}

fn past(field: &str, at: Time, now: Time) -> Result<(), Error> {
    if at > now + AHEAD_MAX {
        return refusal(field, "is in the future");
    }
    Ok(())
}

fn count(field: &str, count: i64) -> Result<(), Error> {
    if count < 0 {
        return refusal(field, "must not be negative");
    }
    Ok(())
}

fn positive(field: &str, number: i64) -> Result<(), Error> {
    if number < 1 {
        return refusal(field, "must be positive");
    }
    Ok(())
}

/// Checks every entry of a list, unless there are too many: then that is all that is said. Of many that are wrong, the
/// first few are named.
fn each<T>(
    violations: &mut Violations,
    field: &str,
    list: &[T],
    max: usize,
    mut check: impl FnMut(&str, &T) -> Result<(), Error>,
) {
    if list.len() > max {
        let text = format!("are too many (maximum is {max})");
        violations.check::<()>(refusal(field, &text));
        return;
    }
    let mut named = 0;
    for (index, entry) in list.iter().enumerate() {
        if violations
            .check(check(&format!("{field}[{index}]"), entry))
            .is_none()
        {
            named += 1;
            if named == NAMED_MAX {
                return;
            }
        }
    }
}

fn check_label(field: &str, label: &Label, seen: &mut BTreeSet<String>) -> Result<(), Error> {
    let part = |part: &str| format!("{field}.{part}");
    let name = part("name");
    one_line(&name, &label.name, text::NAME_MAX)?;
    if label.name.contains(',') {
        return refusal(&name, "can't contain a comma");
    }
    if !seen.insert(label.name.clone()) {
        return refusal(&name, "is there twice");
    }
    for (colored, color) in [("color", &label.color), ("text_color", &label.text_color)] {
        let digits = color.strip_prefix('#').unwrap_or_default();
        let formed = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !color.is_empty() && !formed {
            return refusal(&part(colored), "is not # and six hexadecimal digits");
        }
    }
    prose(&part("description"), &label.description, text::DESCRIPTION_MAX)?;
    label
        .priority
        .map_or(Ok(()), |priority| positive(&part("priority"), priority))
}

fn check_milestone(violations: &mut Violations, milestone: &Milestone, now: Time) {
    violations.check(positive("milestone.id", milestone.id));
    violations.check(count("milestone.iid", milestone.iid));
    violations.check(one_line("milestone.title", &milestone.title, text::NAME_MAX));
    violations.check(prose(
        "milestone.description",
        &milestone.description,
        text::DESCRIPTION_MAX,
    ));
    for (field, at) in [
        ("milestone.created_at", milestone.created_at),
        ("milestone.updated_at", milestone.updated_at),
    ] {
        if let Some(at) = at {
            violations.check(past(field, at, now));
        }
    }
    if let Some(address) = &milestone.web_url {
        violations.check(url("milestone.web_url", address));
    }
}

impl Report {
    /// Checks what is told, field by field.
    pub fn check(&self, now: Time) -> Result<(), Error> {
        let mut violations = Violations::default();
        self.check_texts(&mut violations);
        self.check_numbers(&mut violations);
        for (field, at) in [
            ("created_at", &self.created_at),
            ("updated_at", &self.updated_at),
            ("merged_at", &self.merged_at),
            ("closed_at", &self.closed_at),
            ("prepared_at", &self.prepared_at),
        ] {
            // `merge_after` alone may be ahead: that is what it is for.
            if let Field::Told(Some(at)) = at {
                violations.check(past(field, *at, now));
            }
        }
        if self.state == Field::Told(None) {
            violations.check::<()>(refusal("state", "does not have a valid value"));
        }
        if let Field::Told(Some(milestone)) = &self.milestone {
            check_milestone(&mut violations, milestone, now);
        }
        self.check_lists(&mut violations);
        violations.finish()
    }

    fn check_texts(&self, violations: &mut Violations) {
        for (field, text, max) in [
            ("title", &self.title, TITLE_MAX),
            ("target_branch", &self.target_branch, text::NAME_MAX),
            ("source_branch", &self.source_branch, text::NAME_MAX),
        ] {
            if let Some(text) = text.told() {
                violations.check(one_line(field, text, max));
            }
        }
        for (field, text, check) in [
            ("merge_status", &self.merge_status, word as fn(&str, &str) -> _),
            ("detailed_merge_status", &self.detailed_merge_status, word),
            ("web_url", &self.web_url, url),
            ("sha", &self.sha, sha),
            ("merge_commit_sha", &self.merge_commit_sha, sha),
            ("squash_commit_sha", &self.squash_commit_sha, sha),
            ("description", &self.description, |field, text| {
                prose(field, text, DESCRIPTION_MAX)
            }),
        ] {
            if let Some(text) = text.told() {
                violations.check(check(field, text));
            }
        }
    }

    fn check_numbers(&self, violations: &mut Violations) {
        for (field, number) in [
            ("upvotes", &self.upvotes),
            ("downvotes", &self.downvotes),
            ("user_notes_count", &self.user_notes_count),
            ("time_stats.time_estimate", &self.time_estimate),
            ("time_stats.total_time_spent", &self.total_time_spent),
            ("task_count", &self.task_count),
            ("task_completed_count", &self.task_completed_count),
        ] {
            if let Some(&number) = number.told() {
                violations.check(count(field, number));
            }
        }
        if let Field::Told(Some(approvals)) = self.approvals_before_merge {
            violations.check(count("approvals_before_merge", approvals));
        }
        if let Field::Told(Some(project)) = self.source_project_id {
            violations.check(positive("source_project_id", project.0));
        }
    }

    fn check_lists(&self, violations: &mut Violations) {
        for (field, people) in [("assignees", &self.assignees), ("reviewers", &self.reviewers)] {
            if let Some(people) = people.told() {
                each(violations, field, people, PEOPLE_MAX, |_, _| Ok(()));
            }
        }
        if let Some(labels) = self.labels.told() {
            let mut seen = BTreeSet::new();
            each(violations, "labels", labels, LABELS_MAX, |field, label| {
                check_label(field, label, &mut seen)
            });
        }
        if let Some(picks) = self.cherry_pick_shas.told() {
            each(violations, "cherry_pick_shas", picks, PICKS_MAX, |field, pick| {
                if is_full_id(pick) {
                    return Ok(());
                }
                refusal(field, "is not a full commit id in lower case")
            });
        }
        if let Some(reactions) = self.reactions.told() {
            each(
                violations,
                "reactions",
                reactions,
                REACTIONS_MAX,
                |field, reaction| one_line(&format!("{field}.name"), &reaction.name, text::NAME_MAX),
            );
        }
    }

    /// Whom it names.
    pub fn people(&self) -> Vec<UserKey> {
        let mut named: Vec<UserKey> = Vec::new();
        for key in [&self.author, &self.merged_by, &self.closed_by] {
            named.extend(key.told().into_iter().flatten().cloned());
        }
        for keys in [&self.assignees, &self.reviewers] {
            named.extend(keys.told().into_iter().flatten().take(PEOPLE_MAX).cloned());
        }
        let reactions = self.reactions.told().into_iter().flatten().take(REACTIONS_MAX);
        named.extend(reactions.map(|reaction| UserKey::Id(reaction.user_id)));
        named
    }

    /// When the reported merge request last changed, if that is told.
    fn changed_at(&self) -> Option<Time> {
        self.updated_at.told().copied().flatten()
    }
}

/// The people that a report names, as far as they are there.
struct Known {
    ids: BTreeSet<UserId>,
    names: BTreeMap<String, UserId>,
    skip_unknown: bool,
}

impl Known {
    fn of(users: &[UserSummary], skip_unknown: bool) -> Self {
        Self {
            ids: users.iter().map(|user| user.id).collect(),
            names: users
                .iter()
                .map(|user| (user.username.to_lowercase(), user.id))
                .collect(),
            skip_unknown,
        }
    }

    fn find(&self, key: &UserKey) -> Option<UserId> {
        match key {
            UserKey::Id(id) => self.ids.get(id).copied(),
            UserKey::Name(name) => self.names.get(&name.to_lowercase()).copied(),
        }
    }

    /// Somebody who is there; none who is left out.
    fn one(&self, field: &str, key: &UserKey) -> Result<Option<UserId>, Error> {
        match self.find(key) {
            Some(id) => Ok(Some(id)),
            None if self.skip_unknown => Ok(None),
            None => refusal(field, "is not a user here"),
        }
    }

    fn put_one(
        &self,
        violations: &mut Violations,
        field: &str,
        told: &Field<Option<UserKey>>,
        known: &mut Option<UserId>,
    ) {
        match told {
            Field::Untold => {}
            Field::Told(None) => *known = None,
            Field::Told(Some(key)) => {
                if let Some(found) = violations.check(self.one(field, key)) {
                    *known = found;
                }
            }
        }
    }

    fn put_all(
        &self,
        violations: &mut Violations,
        field: &str,
        told: &Field<Vec<UserKey>>,
        known: &mut Vec<UserId>,
    ) {
        let Some(keys) = told.told() else { return };
        let mut found: Vec<UserId> = Vec::new();
        each(violations, field, keys, PEOPLE_MAX, |field, key| {
            if let Some(id) = self.one(field, key)?
                && !found.contains(&id)
            {
                found.push(id);
            }
            Ok(())
        });
        *known = found;
    }

    fn put_reactions(
        &self,
        violations: &mut Violations,
        told: &Field<Vec<Reaction>>,
        known: &mut Vec<Reaction>,
    ) {
        let Some(reactions) = told.told() else { return };
        let mut found = BTreeSet::new();
        each(
            violations,
            "reactions",
            reactions,
            REACTIONS_MAX,
            |field, reaction| {
                let key = UserKey::Id(reaction.user_id);
                if self.one(&format!("{field}.user_id"), &key)?.is_some() {
                    found.insert(reaction.clone());
                }
                Ok(())
            },
        );
        *known = found.into_iter().collect();
    }
}

/// What a new merge request has that nothing is told of.
fn blank(report: &Report, now: Time) -> Result<Facts, Error> {
    let mut violations = Violations::default();
    for (field, text) in [
        ("title", &report.title),
        ("target_branch", &report.target_branch),
        ("source_branch", &report.source_branch),
    ] {
        if text.told().is_none() {
            violations.check::<()>(refusal(field, "is missing"));
        }
    }
    if report.state.told().is_none() {
        violations.check::<()>(refusal("state", "is missing"));
    }
    violations.finish()?;
    Ok(Facts {
        title: String::new(),
        description: String::new(),
        state: MergeRequestState::Opened,
        created_at: now,
        updated_at: now,
        merged_by: None,
        merged_at: None,
        closed_by: None,
        closed_at: None,
        target_branch: String::new(),
        source_branch: String::new(),
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
    })
}

impl UpsertMergeRequest {
    /// Puts the report over what is known.
    fn over(&self, before: &Facts, users: &[UserSummary], now: Time) -> Result<Facts, Error> {
        let report = &self.report;
        let mut facts = before.clone();
        report.title.put(&mut facts.title);
        report.description.put(&mut facts.description);
        if let Field::Told(Some(state)) = report.state {
            facts.state = state;
        }
        if let Field::Told(Some(at)) = report.created_at {
            facts.created_at = at;
        }
        report.merged_at.put(&mut facts.merged_at);
        report.closed_at.put(&mut facts.closed_at);
        report.target_branch.put(&mut facts.target_branch);
        report.source_branch.put(&mut facts.source_branch);
        report.source_project_id.put(&mut facts.source_project_id);
        report.labels.put(&mut facts.labels);
        facts.labels.sort_by(|a, b| a.name.cmp(&b.name));
        report.milestone.put(&mut facts.milestone);
        report.sha.put(&mut facts.sha);
        report.merge_commit_sha.put(&mut facts.merge_commit_sha);
        report.squash_commit_sha.put(&mut facts.squash_commit_sha);
        report.cherry_pick_shas.put(&mut facts.cherry_pick_shas);
        facts.cherry_pick_shas.sort();
        facts.cherry_pick_shas.dedup();
        report.upvotes.put(&mut facts.upvotes);
        report.downvotes.put(&mut facts.downvotes);
        report.user_notes_count.put(&mut facts.user_notes_count);
        report.merge_after.put(&mut facts.merge_after);
        report.prepared_at.put(&mut facts.prepared_at);
        report.put_details(&mut facts.details);

        let mut violations = Violations::default();
        let known = Known::of(users, self.skip_unknown_users);
        known.put_one(&mut violations, "author", &report.author, &mut facts.author);
        known.put_one(
            &mut violations,
            "merged_by",
            &report.merged_by,
            &mut facts.merged_by,
        );
        known.put_one(
            &mut violations,
            "closed_by",
            &report.closed_by,
            &mut facts.closed_by,
        );
        known.put_all(
            &mut violations,
            "assignees",
            &report.assignees,
            &mut facts.assignees,
        );
        known.put_all(
            &mut violations,
            "reviewers",
            &report.reviewers,
            &mut facts.reviewers,
        );
        known.put_reactions(&mut violations, &report.reactions, &mut facts.reactions);
        if facts.merged_at.is_some() && facts.state != MergeRequestState::Merged {
            violations.check::<()>(refusal("merged_at", "goes with the state merged only"));
        }
        violations.finish()?;

        match report.updated_at {
            Field::Told(Some(at)) => facts.updated_at = at,
            // Nobody said when. What does not differ has not changed; and time never runs backwards, though a forge's
            // clock may be ahead of this one.
            Field::Told(None) if facts != *before => {
                facts.updated_at = facts.updated_at.max(now);
            }
            _ => {}
        }
        Ok(facts)
    }

    /// Decides what the report changes. `existing` is the merge request, if it is known, and `users` who of those that
    /// the report names are there.
    pub fn decide(
        &self,
        existing: Option<&MergeRequest>,
        users: &[UserSummary],
        guard: &Guard,
        now: Time,
    ) -> Result<MergeRequestChange, Error> {
        if self.iid.0 < 1 {
            return Err(Error::argument("iid", "must be positive"));
        }
        self.report.check(now)?;
        guard.check_etag(&existing.map(MergeRequest::etag).unwrap_or_default())?;
        let Some(existing) = existing else {
            let facts = self.over(&blank(&self.report, now)?, users, now)?;
            return Ok(MergeRequestChange::Created {
                iid: self.iid,
                relink: relink(None, &facts),
                facts: Box::new(facts),
            });
        };
        let stale = self
            .report
            .changed_at()
            .is_some_and(|at| at < existing.facts.updated_at);
        let kept = |stale| MergeRequestChange::Kept {
            merge_request: Box::new(existing.clone()),
            stale,
        };
        if stale {
            return Ok(kept(true));
        }
        let facts = self.over(&existing.facts, users, now)?;
        if facts == existing.facts {
            return Ok(kept(false));
        }
        Ok(MergeRequestChange::Updated {
            before: Box::new(existing.clone()),
            relink: relink(Some(&existing.facts), &facts),
            facts: Box::new(facts),
        })
    }
}

impl Report {
    fn put_details(&self, details: &mut Details) {
        self.merge_when_pipeline_succeeds
            .put(&mut details.merge_when_pipeline_succeeds);
        self.merge_status.put(&mut details.merge_status);
        self.detailed_merge_status.put(&mut details.detailed_merge_status);
        self.discussion_locked.put(&mut details.discussion_locked);
        self.should_remove_source_branch
            .put(&mut details.should_remove_source_branch);
        self.force_remove_source_branch
            .put(&mut details.force_remove_source_branch);
        self.squash.put(&mut details.squash);
        self.squash_on_merge.put(&mut details.squash_on_merge);
        self.time_estimate.put(&mut details.time_estimate);
        self.total_time_spent.put(&mut details.total_time_spent);
        self.task_count.put(&mut details.task_count);
        self.task_completed_count.put(&mut details.task_completed_count);
        self.has_conflicts.put(&mut details.has_conflicts);
        self.blocking_discussions_resolved
            .put(&mut details.blocking_discussions_resolved);
        self.approvals_before_merge
            .put(&mut details.approvals_before_merge);
        self.web_url.put(&mut details.web_url);
    }
}
