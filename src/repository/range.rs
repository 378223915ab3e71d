//! How two histories differ.
//!
//! Both are walked at once, the newest commit first, and what each commit is reached from is painted on to its parents.
//! When nothing is left that is reached from one side alone, all that follows is common, if no clock was ever wrong.
//! Clocks are: so the walk goes on for a while, and what turns out to be common after all is painted again.

use std::{
    collections::{BinaryHeap, HashMap},
    ops::BitOr,
};

use gix::{ObjectId, Repository};

use super::{Problem, Range, read};

/// How many common commits are looked at beyond the last one that is not. Histories that are shorter are told exactly
/// whatever their clocks say.
const BEYOND: usize = 20_000;
/// How many commits are looked at in all.
const LONGEST: usize = 2_000_000;
/// How much memory objects may take that several commits are made from, in bytes.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// From which of the two a commit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Reached(u8);

impl Reached {
    const BASE: Self = Self(1);
    const HEAD: Self = Self(2);
    const BOTH: Self = Self(3);
}

impl BitOr for Reached {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What is known of a commit.
#[derive(Debug, Default)]
struct Known {
    reached: Reached,
    /// When it was made, by its clock.
    seconds: i64,
    parents: Vec<ObjectId>,
    /// Whether it waits to be looked at.
    waiting: bool,
}

/// The walk.
struct Walk<'r> {
    repository: &'r Repository,
    /// Where the history was cut off: these have no parents here.
    cut: Option<gix::shallow::Commits>,
    known: HashMap<ObjectId, Known>,
    /// What waits, by its time.
    queue: BinaryHeap<(i64, ObjectId)>,
    /// How many of those that wait are reached from one side alone.
    onesided: usize,
}

/// How the history of `head` differs from that of `base`; none where one of them is not there.
pub fn between(repository: &Repository, base: &str, head: &str) -> Result<Option<Range>, Problem> {
    let mut repository = repository.clone();
    repository.object_cache_size_if_unset(CACHE_BYTES);
    let id = |text| match read::full_id(&repository, text) {
        Some(id) => read::peeled(&repository, id),
        None => Ok(None),
    };
    let (Some(base), Some(head)) = (id(base)?, id(head)?) else {
        return Ok(None);
    };
    let mut walk = Walk {
        cut: repository.shallow_commits().map_err(Problem::reading)?,
        repository: &repository,
        known: HashMap::new(),
        queue: BinaryHeap::new(),
        onesided: 0,
    };
    walk.reach(base, Reached::BASE)?;
    walk.reach(head, Reached::HEAD)?;
    walk.run()?;
    Ok(Some(walk.range()))
}

impl Walk<'_> {
    /// Reads a commit that is seen for the first time.
    fn read(&self, id: ObjectId) -> Result<Known, Problem> {
        let commit = self.repository.find_commit(id).map_err(Problem::reading)?;
        let is_cut = self
            .cut
            .as_ref()
            .is_some_and(|cut| cut.binary_search(&id).is_ok());
        Ok(Known {
            // A commit with a time that is none is as old as can be.
            seconds: commit.time().map_or(i64::MIN, |time| time.seconds),
            parents: if is_cut {
                Vec::new()
            } else {
                commit.parent_ids().map(gix::Id::detach).collect()
            },
            ..Known::default()
        })
    }

    /// Notes that a commit is reached, and lets it be looked at if that is news.
    fn reach(&mut self, id: ObjectId, from: Reached) -> Result<(), Problem> {
        if !self.known.contains_key(&id) {
            if self.known.len() >= LONGEST {
                return Err(Problem::TooLong);
            }
            let read = self.read(id)?;
            self.known.insert(id, read);
        }
        let known = self.known.entry(id).or_default();
        let reached = known.reached | from;
        if reached == known.reached {
            return Ok(());
        }
        let was_onesided = known.waiting && known.reached != Reached::BOTH;
        let is_onesided = reached != Reached::BOTH;
        known.reached = reached;
        if !known.waiting {
            known.waiting = true;
            self.queue.push((known.seconds, id));
        }
        self.onesided = self.onesided + usize::from(is_onesided) - usize::from(was_onesided);
        Ok(())
    }

    fn run(&mut self) -> Result<(), Problem> {
        let mut beyond = 0;
        while let Some((_, id)) = self.queue.pop() {
            let Some(known) = self.known.get_mut(&id) else {
                continue;
            };
            known.waiting = false;
            let (reached, parents) = (known.reached, known.parents.clone());
            if reached == Reached::BOTH {
                beyond += 1;
                if self.onesided == 0 && beyond > BEYOND {
                    break;
                }
            } else {
                self.onesided -= 1;
                beyond = 0;
            }
            for parent in parents {
                self.reach(parent, reached)?;
            }
        }
        Ok(())
    }

    fn range(self) -> Range {
        let mut ids: Vec<(i64, ObjectId)> = Vec::new();
        let mut removed = 0;
        for (id, known) in self.known {
            match known.reached {
                Reached::HEAD => ids.push((known.seconds, id)),
                Reached::BASE => removed += 1,
                _ => {}
            }
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Range {
            ids: ids.into_iter().map(|(_, id)| id.to_string()).collect(),
            removed,
        }
    }
}
