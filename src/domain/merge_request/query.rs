//! Lists of merge requests: which, and in which order.

use crate::domain::{
    Time,
    error::{Error, Violations},
    id::{MergeRequestId, MergeRequestIid, ProjectId, UserId, UserKey},
    merge_request::MergeRequestState,
    page::Direction,
};

/// The most numbers or labels that a filter may name.
const NAMED_MAX: usize = 500;
/// The most characters that a search may have.
const SEARCH_MAX: usize = 1_024;
/// The most words that a search may have.
const WORDS_MAX: usize = 32;

/// Whether somebody, anybody or nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserMatch {
    /// This user; somebody unknown matches nothing.
    User(UserKey),
    /// Anybody.
    Any,
    /// Nobody.
    None,
}

/// Which labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelMatch {
    /// All of these.
    All(Vec<String>),
    /// At least one, whichever.
    Any,
    /// None at all.
    None,
}

/// Which word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameMatch {
    /// This one.
    Name(String),
    /// Any.
    Any,
    /// None at all.
    None,
}

/// Whose merge requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MergeRequestScope {
    /// All.
    #[default]
    All,
    /// Those that the caller opened.
    CreatedByMe,
    /// Those that are assigned to the caller.
    AssignedToMe,
    /// Those that the caller is to review.
    ReviewsForMe,
}

/// What is searched for, and where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Search {
    /// Words in lower case, each of which has to occur.
    pub words: Vec<String>,
    /// Whether in the title.
    pub title: bool,
    /// Whether in the description.
    pub description: bool,
}

impl Search {
    /// Everywhere for all the words of a text; what stands in double quotes is one word.
    pub fn of(text: &str) -> Self {
        let mut words = Vec::new();
        let mut rest = text;
        while let Some((before, quoted)) = rest.split_once('"') {
            // A quote that nothing closes is a character like others.
            let Some((phrase, after)) = quoted.split_once('"') else {
                break;
            };
            words.extend(before.split_whitespace().map(str::to_lowercase));
            words.push(phrase.trim().to_lowercase());
            rest = after;
        }
        words.extend(rest.split_whitespace().map(str::to_lowercase));
        words.retain(|word| !word.is_empty());
        Self {
            words,
            title: true,
            description: true,
        }
    }
}

/// Which merge requests to leave out; what is absent leaves out nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MergeRequestExclusion {
    /// Opened by this user.
    pub author: Option<UserKey>,
    /// Assigned to this user.
    pub assignee: Option<UserKey>,
    /// Reviewed by this user.
    pub reviewer: Option<UserKey>,
    /// With any of these labels.
    pub labels: Vec<String>,
    /// Of the milestone of this title.
    pub milestone: Option<String>,
    /// With this emoji of the viewer's.
    pub my_reaction_emoji: Option<String>,
}

/// Which merge requests to list; what is absent does not filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MergeRequestFilter {
    /// In this state.
    pub state: Option<MergeRequestState>,
    /// With one of these numbers; empty: any.
    pub iids: Vec<MergeRequestIid>,
    /// Opened by this user.
    pub author: Option<UserKey>,
    /// Assigned to.
    pub assignee: Option<UserMatch>,
    /// To be reviewed by.
    pub reviewer: Option<UserMatch>,
    /// Merged by this user.
    pub merged_by: Option<UserKey>,
    /// With these labels.
    pub labels: Option<LabelMatch>,
    /// Of the milestone of this title.
    pub milestone: Option<NameMatch>,
    /// With this emoji of the viewer's.
    pub my_reaction_emoji: Option<NameMatch>,
    /// The viewer's.
    pub scope: MergeRequestScope,
    /// From this branch.
    pub source_branch: Option<String>,
    /// Into this branch.
    pub target_branch: Option<String>,
    /// From this project.
    pub source_project_id: Option<ProjectId>,
    /// With these words.
    pub search: Option<Search>,
    /// Drafts only, or none.
    pub draft: Option<bool>,
    /// `created_at` at or after.
    pub created_after: Option<Time>,
    /// `created_at` at or before.
    pub created_before: Option<Time>,
    /// `updated_at` at or after.
    pub updated_after: Option<Time>,
    /// `updated_at` at or before.
    pub updated_before: Option<Time>,
    /// `merged_at` at or after.
    pub merged_after: Option<Time>,
    /// `merged_at` at or before.
    pub merged_before: Option<Time>,
    /// Shipped by a deployment to the environment of exactly this name.
    pub environment: Option<String>,
    /// Shipped by a deployment that finished after; the same one.
    pub deployed_after: Option<Time>,
    /// Shipped by a deployment that finished before; the same one.
    pub deployed_before: Option<Time>,
    /// But not these.
    pub exclude: MergeRequestExclusion,
}

impl MergeRequestFilter {
    /// Refuses a filter that asks for more than a statement may hold.
    pub fn check(&self) -> Result<(), Error> {
        let mut violations = Violations::default();
        let labels = match &self.labels {
            Some(LabelMatch::All(names)) => names.len(),
            _ => 0,
        };
        for (field, count) in [
            ("filter.iids", self.iids.len()),
            ("filter.labels.all.names", labels),
            ("filter.exclude.labels.names", self.exclude.labels.len()),
        ] {
            if count > NAMED_MAX {
                let text = format!("are too many (maximum is {NAMED_MAX})");
                violations.check::<()>(Err(Error::argument(field, text)));
            }
        }
        if let Some(search) = &self.search {
            let length: usize = search.words.iter().map(|word| word.chars().count()).sum();
            if length > SEARCH_MAX || search.words.len() > WORDS_MAX {
                let text =
                    format!("is too long (maximum is {WORDS_MAX} words of {SEARCH_MAX} characters together)");
                violations.check::<()>(Err(Error::argument("filter.search", text)));
            }
        }
        violations.finish()
    }
}

/// What a list of merge requests is sorted by. Equals are sorted by id, in the same direction; what has no value comes
/// last in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MergeRequestOrder {
    /// By the time of opening.
    #[default]
    CreatedAt,
    /// By the time of the last change.
    UpdatedAt,
    /// By the time of the merge.
    MergedAt,
    /// By title, in any case.
    Title,
    /// By the day the milestone is due.
    MilestoneDue,
    /// By how many like it.
    Popularity,
    /// By the highest rank among the labels: the lowest number.
    LabelPriority,
    /// By the day the milestone is due, then by the highest rank among the labels.
    Priority,
}

impl MergeRequestOrder {
    /// Every order.
    pub const ALL: [Self; 8] = [
        Self::CreatedAt,
        Self::UpdatedAt,
        Self::MergedAt,
        Self::Title,
        Self::MilestoneDue,
        Self::Popularity,
        Self::LabelPriority,
        Self::Priority,
    ];
}

/// A list of merge requests as somebody wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRequestQuery {
    /// Who asks.
    pub viewer: UserId,
    /// Which.
    pub filter: MergeRequestFilter,
    /// Sorted by what.
    pub order: MergeRequestOrder,
    /// In which direction.
    pub direction: Direction,
}

/// What a merge request is sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortKey {
    /// No value, or nothing to sort by.
    Nothing,
    /// A time in milliseconds, a day, a count, a rank.
    Number(i64),
    /// A text.
    Text(String),
}

/// Where a page of merge requests ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRequestPosition {
    /// What the last row is sorted by first.
    pub first: SortKey,
    /// What it is sorted by next.
    pub second: SortKey,
    /// The last row.
    pub id: MergeRequestId,
}
