//! The git repository of the demo's first project: its branches, the ways in which they were merged, its releases.
//!
//! People and times are made up and always the same, and so are the ids: every demo has the same commits.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error as Cause,
    io,
    path::Path,
};

use gix::{
    ObjectId, Repository,
    actor::Signature,
    create, date,
    objs::{
        self, Kind,
        tree::{self, EntryKind},
    },
    open,
    refs::{
        Target,
        transaction::{Change, LogChange, PreviousValue, RefEdit},
    },
};

use super::history::{self, Stage};

/// Where it is below the repository root.
pub const PATH: &str = "shop/web.git";

/// When its first commit was made, in seconds since 1970.
const BEGINNING: i64 = 1_735_808_400;
/// From one commit to the next.
const SECONDS_BETWEEN: i64 = 5 * 60 * 60 + 11 * 60;
/// Its clocks' offset from UTC.
const OFFSET_SECONDS: i32 = 2 * 60 * 60;

/// The release that waits at the gate.
pub const HELD_RELEASE: &str = "v2.12.0";
/// The branch of that release.
const RELEASE_BRANCH: &str = "release-2.12";
/// A branch that was merged too late for that release, and picked into it.
pub const PICKED: &str = "price-format";

/// How a branch came into `main`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merged {
    /// By a commit with two parents.
    ByMerge,
    /// As one new commit.
    Squashed,
    /// `main` was moved to its last commit.
    FastForward,
}

/// How this one did.
fn way_of(branch: &str) -> Merged {
    match branch {
        "cart-rounding" | "wishlist" => Merged::Squashed,
        "search-box" => Merged::FastForward,
        _ => Merged::ByMerge,
    }
}

/// By which commits a branch can be found in `main`: full ids, empty for what it does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traces {
    /// Its last commit.
    pub head: String,
    /// What merged it.
    pub merge: String,
    /// What it was squashed into.
    pub squash: String,
    /// What it was picked into elsewhere.
    pub picks: Vec<String>,
}

/// What the repository holds.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// The commit of a description in the history; see [`history::description`].
    pub commits: HashMap<String, String>,
    /// The branches by their names, without `main`.
    pub branches: HashMap<String, Traces>,
    /// The last commit of `main`.
    pub main: String,
}

type Result<T> = std::result::Result<T, Box<dyn Cause + Send + Sync>>;

/// Makes it below `root`.
pub fn make(root: &Path) -> io::Result<Made> {
    let folder = root.join(PATH);
    std::fs::create_dir_all(&folder)?;
    Forge::new(&folder)
        .and_then(Forge::fill)
        .map_err(io::Error::other)
}

/// The repository while it is being filled.
struct Forge {
    repository: Repository,
    seconds: i64,
    /// Where `main` is.
    main: Option<ObjectId>,
    /// The files of every commit: their contents by their names.
    files: HashMap<ObjectId, BTreeMap<String, String>>,
    made: Made,
}

impl Forge {
    fn new(folder: &Path) -> Result<Self> {
        // Nothing of the user's or the machine's configuration: what is made is always the same.
        let repository = gix::ThreadSafeRepository::init_opts(
            folder,
            create::Kind::Bare,
            create::Options::default(),
            open::Options::isolated(),
        )?;
        Ok(Self {
            repository: repository.to_thread_local(),
            seconds: BEGINNING,
            main: None,
            files: HashMap::new(),
            made: Made::default(),
        })
    }

    /// Does what the history tells of, one change after the other, and what is at the gate.
    fn fill(mut self) -> Result<Made> {
        for (number, (branch, author, way)) in history::WEB_CHANGES.iter().enumerate() {
            let mut head = self.main;
            for (stage, commit) in history::commits_of(way) {
                let new = match stage {
                    Stage::Review => {
                        let subject = format!("{} ({commit})", title(branch));
                        head = Some(self.commit(author, &subject, head, None, &[(branch, &subject)])?);
                        head
                    }
                    Stage::Staging => {
                        self.onto_main(branch, author, head, commit > reviews(way) + 1)?;
                        self.main
                    }
                    Stage::Production => None,
                };
                let id = new.or(self.main).ok_or("a history begins with a commit")?;
                let description = history::description(history::WEB, branch, commit);
                self.made.commits.insert(description, id.to_string());
                if stage == Stage::Production {
                    self.tag(&format!("v2.{number}.0"), id)?;
                }
            }
            if let Some(head) = head.filter(|_| *branch != "main") {
                self.point(&format!("refs/heads/{branch}"), head)?;
                self.made.branches.entry((*branch).to_owned()).or_default().head = head.to_string();
            }
        }
        self.release()?;
        if let Some(main) = self.main {
            self.point("refs/heads/main", main)?;
            self.made.main = main.to_string();
        }
        Ok(self.made)
    }

    /// Merges a branch into `main`, or, where it is there already, mends it there.
    fn onto_main(&mut self, branch: &str, author: &str, head: Option<ObjectId>, again: bool) -> Result<()> {
        let (Some(main), Some(head)) = (self.main, head) else {
            let files = [("README.md", "The shop that customers see"), ("cart", "empty")];
            self.main = Some(self.commit(author, "Open the shop", None, None, &files)?);
            return Ok(());
        };
        if again {
            let subject = format!("{}: mend what staging showed", title(branch));
            self.main = Some(self.commit(author, &subject, Some(main), None, &[(branch, &subject)])?);
            return Ok(());
        }
        let files = self.files.get(&head).cloned().unwrap_or_default();
        let files: Vec<_> = files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        let mut traces = Traces::default();
        let merged = match way_of(branch) {
            Merged::ByMerge => {
                let subject = format!("Merge branch '{branch}' into 'main'");
                let id = self.commit("mika", &subject, Some(main), Some(head), &files)?;
                traces.merge = id.to_string();
                id
            }
            Merged::Squashed => {
                let id = self.commit(author, title(branch), Some(main), None, &files)?;
                traces.squash = id.to_string();
                id
            }
            Merged::FastForward => head,
        };
        self.main = Some(merged);
        self.made.branches.insert(branch.to_owned(), traces);
        Ok(())
    }

    /// The release that is held: what is on `main`, and one commit that was picked for it before it was merged there.
    fn release(&mut self) -> Result<()> {
        let base = self.main.ok_or("there is no main branch")?;
        let subject = title(PICKED);
        let change = [(PICKED, subject)];
        let head = self.commit("dana", subject, Some(base), None, &change)?;
        self.point(&format!("refs/heads/{PICKED}"), head)?;
        let message = format!("{subject}\n\n(cherry picked from commit {head})");
        let picked = self.commit("mika", &message, Some(base), None, &change)?;
        self.point(&format!("refs/heads/{RELEASE_BRANCH}"), picked)?;
        self.tag(HELD_RELEASE, picked)?;
        let description = history::description(history::WEB, HELD_RELEASE, 1);
        self.made.commits.insert(description, picked.to_string());
        self.onto_main(PICKED, "dana", Some(head), false)?;
        let traces = self.made.branches.entry(PICKED.to_owned()).or_default();
        traces.head = head.to_string();
        traces.picks = vec![picked.to_string()];
        Ok(())
    }

    fn signature(&self, username: &str) -> Signature {
        Signature {
            name: username.into(),
            email: format!("{username}@acme.example").into(),
            time: date::Time::new(self.seconds, OFFSET_SECONDS),
        }
    }

    /// A commit with the files of its first parent and these.
    fn commit(
        &mut self,
        author: &str,
        message: &str,
        parent: Option<ObjectId>,
        merged: Option<ObjectId>,
        changed: &[(&str, &str)],
    ) -> Result<ObjectId> {
        self.seconds += SECONDS_BETWEEN;
        let before = parent.and_then(|parent| self.files.get(&parent).cloned());
        let mut files = before.unwrap_or_default();
        files.extend(
            changed
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
        );
        let mut entries = Vec::with_capacity(files.len());
        // By name, as git wants them.
        for (name, text) in &files {
            entries.push(tree::Entry {
                mode: EntryKind::Blob.into(),
                filename: name.as_str().into(),
                oid: self.repository.write_blob(format!("{text}\n"))?.detach(),
            });
        }
        let commit = objs::Commit {
            tree: self.repository.write_object(objs::Tree { entries })?.detach(),
            parents: parent.into_iter().chain(merged).collect(),
            author: self.signature(author),
            committer: self.signature(author),
            encoding: None,
            message: format!("{message}\n").into(),
            extra_headers: Vec::new(),
        };
        let id = self.repository.write_object(commit)?.detach();
        self.files.insert(id, files);
        Ok(id)
    }

    /// An annotated tag.
    fn tag(&mut self, name: &str, target: ObjectId) -> Result<()> {
        let tag = objs::Tag {
            target,
            target_kind: Kind::Commit,
            name: name.into(),
            tagger: Some(self.signature("deploy-bot")),
            message: format!("Release {name}\n").into(),
            signature: None,
        };
        let id = self.repository.write_object(tag)?.detach();
        self.point(&format!("refs/tags/{name}"), id)
    }

    /// Sets a branch or tag, without a log of it, as nobody is known who writes one.
    fn point(&self, name: &str, id: ObjectId) -> Result<()> {
        self.repository.edit_reference(RefEdit {
            change: Change::Update {
                log: LogChange::default(),
                expected: PreviousValue::Any,
                new: Target::Object(id),
            },
            name: name.try_into()?,
            deref: false,
        })?;
        Ok(())
    }
}

/// How often a change was tried before it was merged.
fn reviews(way: history::Way) -> usize {
    way.iter().filter(|(stage, _)| *stage == Stage::Review).count()
}

/// What a branch is about.
pub fn title(branch: &str) -> &'static str {
    match branch {
        "gift-cards" => "Sell gift cards",
        "cart-rounding" => "Round the cart's total once",
        "image-zoom" => "Zoom into pictures",
        "dark-mode" => "Offer dark colours",
        "address-form" => "Ask for the address in one form",
        "wishlist" => "Remember what people wish for",
        "search-box" => "Put the search box on every page",
        "invoice-pdf" => "Send invoices as PDF",
        "cookie-banner" => "Make the cookie banner smaller",
        "guest-checkout" => "Let guests check out",
        "stock-alerts" => "Tell when something is in stock again",
        PICKED => "Show prices as the country does",
        _ => "Improve the shop",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::Repositories;

    #[tokio::test]
    async fn everything_that_the_history_deploys_is_in_the_repository() {
        let root = tempfile::tempdir().unwrap();
        let made = make(root.path()).unwrap();
        let repositories = Repositories::below(root.path()).unwrap();
        let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let deployments: Vec<_> = history::up_to(now, &made)
            .into_iter()
            .chain(history::at_the_gate(now, &made))
            .filter(|deployment| deployment.project == history::WEB)
            .collect();
        assert_eq!(deployments.len(), 44);
        for deployment in deployments {
            let names = vec![deployment.sha.clone(), deployment.git_ref.clone()];
            let found = repositories.resolve(PATH, names).await.unwrap();
            assert!(found.iter().all(Option::is_some), "{deployment:?}");
            if deployment.tag {
                assert_eq!(found[0], found[1], "a tag is of what is deployed: {deployment:?}");
            }
        }
        let requests = history::merge_requests(now, &made);
        assert_eq!(requests.len(), 12);
        assert!(requests.is_sorted_by_key(|request| request.ended.1));
        for request in requests {
            assert!(request.opened_at < request.ended.1, "{request:?}");
            let Traces {
                head,
                merge,
                squash,
                picks,
            } = request.traces;
            let ids: Vec<_> = [head, merge, squash].into_iter().chain(picks).collect();
            let ids: Vec<_> = ids.into_iter().filter(|id| !id.is_empty()).collect();
            assert!(!ids.is_empty(), "{}", request.branch);
            let found = repositories.commits(PATH, ids).await.unwrap();
            assert!(found.iter().all(Option::is_some), "{}", request.branch);
        }
    }

    #[test]
    fn every_demo_has_the_same_commits_and_the_readme_names_one() {
        let made = || make(tempfile::tempdir().unwrap().path()).unwrap();
        let (one, other) = (made(), made());
        assert_eq!(one.commits, other.commits);
        assert_eq!(one.branches, other.branches);
        let readme = include_str!("../../../README.md");
        assert!(readme.contains(&one.main), "the README should name {}", one.main);
    }
}
