//! Repositories made by the real git, and what it says of them.

use super::dice::Dice;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A repository with a working copy.
pub struct Repo {
    folder: PathBuf,
    /// Seconds since 1970: every commit is a minute after the one before.
    clock: i64,
}

impl Repo {
    /// One that is there.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            clock: 1_700_000_000,
        }
    }

    /// A new one, on the branch `main`, without a commit.
    pub fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let repo = Self::at(folder);
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        let date = format!("{} +0200", self.clock);
        command
            .current_dir(&self.folder)
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args([
                "-c",
                "commit.gpgsign=false",
                "-c",
                "merge.ff=false",
                "-c",
                "gc.auto=0",
            ])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_DATE", &date)
            .env("LC_ALL", "C");
        command
    }

    /// Runs git and returns what it says, without the last line break.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Feeds `git fast-import`.
    #[track_caller]
    pub fn import(&self, stream: &[u8]) {
        use std::io::Write as _;
        let mut child = self
            .command(&["fast-import", "--quiet", "--force"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stream).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// The full id of what a name stands for.
    pub fn id(&self, name: &str) -> String {
        self.git(&["rev-parse", "--verify", &format!("{name}^{{commit}}")])
    }

    /// Commits a change of a file of this name on the present branch.
    pub fn commit(&mut self, name: &str) -> String {
        self.clock += 60;
        std::fs::write(self.folder.join(name), format!("{name} {}\n", self.clock)).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", name]);
        self.id("HEAD")
    }

    /// Goes to a branch, which may be new: then it starts at `from`.
    pub fn branch(&self, name: &str, from: &str) {
        self.git(&["checkout", "--quiet", "-B", name, from]);
    }

    /// Goes to a branch that is there.
    pub fn checkout(&self, name: &str) {
        self.git(&["checkout", "--quiet", name]);
    }

    /// Merges branches into the present one with a commit of its own, even where there is nothing to merge.
    pub fn merge(&mut self, branches: &[&str]) -> String {
        self.clock += 60;
        let mut arguments = vec!["merge", "--quiet", "--no-ff", "--no-edit"];
        arguments.extend(branches);
        self.git(&arguments);
        self.id("HEAD")
    }

    /// Moves the clock, for commands of one's own.
    pub fn tick(&mut self) {
        self.clock += 60;
    }

    /// The commits in `head` and not in `base`.
    pub fn between(&self, base: &str, head: &str) -> Vec<String> {
        // Two whole lists: where clocks went wrong, what git says of `base..head` may be too much.
        let of_base = self.git(&["rev-list", base]);
        let of_base: BTreeSet<&str> = of_base.lines().collect();
        let of_head = self.git(&["rev-list", head]);
        let only = of_head.lines().filter(|id| !of_base.contains(id));
        only.map(str::to_owned).collect()
    }

    /// Feeds git a random history; answers the ids of its commits.
    pub fn grow(&self, dice: &mut Dice, commits: usize) -> Vec<String> {
        let mut stream = String::new();
        for mark in 1..=commits {
            // Clocks go wrong: some commits are older than their parents.
            let at = 1_600_000_000 + mark * 60 - dice.below(20) * if dice.once_in(4) { 600 } else { 1 };
            write!(stream, "commit refs/heads/c{mark}\nmark :{mark}\n").unwrap();
            write!(
                stream,
                "committer Ada <ada@example.com> {at} +0000\ndata 1\n{}\n",
                mark % 10
            )
            .unwrap();
            let mut parents = BTreeSet::new();
            for _ in 0..=dice.below(3) {
                if mark > 1 {
                    // Mostly near, so that histories cross; sometimes from far back.
                    let back = if dice.once_in(5) {
                        dice.below(mark - 1)
                    } else {
                        dice.below((mark - 1).min(4))
                    };
                    parents.insert(mark - 1 - back);
                }
            }
            for (index, parent) in parents.iter().enumerate() {
                writeln!(stream, "{} :{parent}", if index == 0 { "from" } else { "merge" }).unwrap();
            }
            write!(stream, "M 644 inline file-{mark}\ndata 1\nx\n").unwrap();
        }
        self.import(stream.as_bytes());
        let names: Vec<String> = (1..=commits).map(|mark| format!("refs/heads/c{mark}")).collect();
        let mut arguments = vec!["rev-parse"];
        arguments.extend(names.iter().map(String::as_str));
        self.git(&arguments).lines().map(str::to_owned).collect()
    }
}
