//! Reading repositories, against what the real git says of them.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::Path, process::Command};

use gatehouse::repository::{Problem, Repositories};
use tempfile::TempDir;

use crate::{
    links::long_history,
    support::{dice::Dice, git::Repo},
};

/// A folder of repositories with one named `web` in it.
fn forge() -> (TempDir, Repo, Repositories) {
    let root = tempfile::tempdir().unwrap();
    let repo = Repo::new(&root.path().join("web"));
    let repositories = Repositories::below(root.path()).unwrap();
    (root, repo, repositories)
}

async fn resolve(repositories: &Repositories, name: &str) -> Option<String> {
    let found = repositories.resolve("web", vec![name.to_owned()]).await.unwrap();
    found.into_iter().next().unwrap().map(|commit| commit.id)
}

/// Compares what lies between two commits, both ways, with what git says.
async fn compare(repo: &Repo, repositories: &Repositories, base: &str, head: &str) {
    let range = repositories.range("web", base, head).await.unwrap().unwrap();
    let got: BTreeSet<String> = range.ids.iter().cloned().collect();
    assert_eq!(got.len(), range.ids.len(), "each once");
    let wanted: BTreeSet<String> = repo.between(base, head).into_iter().collect();
    assert_eq!(got, wanted, "{base}..{head}");
    assert_eq!(
        usize::try_from(range.removed).unwrap(),
        repo.between(head, base).len(),
        "{head}..{base}"
    );
}

#[tokio::test]
async fn what_lies_between_two_commits_is_what_git_lists() {
    let (_root, mut repo, repositories) = forge();
    let start = repo.commit("start");
    repo.branch("left", "main");
    let left = repo.commit("left");
    repo.branch("right", "main");
    let right = repo.commit("right");
    let crossed_right = repo.merge(&[&left]);
    repo.checkout("left");
    let crossed_left = repo.merge(&[&right]);
    repo.checkout("main");
    let octopus = repo.merge(&["left", "right"]);
    let tip = repo.commit("tip");
    repo.git(&["checkout", "--quiet", "--orphan", "elsewhere"]);
    let orphan = repo.commit("orphan");
    let all = [
        start,
        left,
        right,
        crossed_right,
        crossed_left,
        octopus,
        tip,
        orphan,
    ];
    for base in &all {
        for head in &all {
            compare(&repo, &repositories, base, head).await;
        }
    }
}

#[tokio::test]
async fn random_histories_with_wrong_clocks_are_told_exactly() {
    for seed in 0..5 {
        let (_root, repo, repositories) = forge();
        let mut dice = Dice(seed);
        let ids = repo.grow(&mut dice, 120);
        for _ in 0..30 {
            let (base, head) = (&ids[dice.below(ids.len())], &ids[dice.below(ids.len())]);
            compare(&repo, &repositories, base, head).await;
        }
    }
}

#[tokio::test]
async fn a_range_begins_with_the_newest_commit() {
    let (_root, mut repo, repositories) = forge();
    let first = repo.commit("first");
    let mut later: Vec<String> = (0..5)
        .map(|number| repo.commit(&format!("later-{number}")))
        .collect();
    let range = repositories
        .range("web", &first, later.last().unwrap())
        .await
        .unwrap()
        .unwrap();
    later.reverse();
    assert_eq!(range.ids, later);
}

#[tokio::test]
async fn a_name_is_an_id_a_branch_a_tag_or_the_beginning_of_an_id() {
    let (_root, mut repo, repositories) = forge();
    let first = repo.commit("first");
    repo.git(&["tag", "plain"]);
    repo.git(&["tag", "--annotate", "-m", "one", "v1.0"]);
    repo.git(&["tag", "--annotate", "-m", "of a tag", "v1.0-again", "v1.0"]);
    let second = repo.commit("second");
    repo.git(&["branch", "feature/x"]);
    repo.git(&["branch", "same", &first]);
    repo.git(&["tag", "same", &second]);
    let tree = repo.git(&["rev-parse", "HEAD^{tree}"]);
    repo.git(&["tag", "a-tree", &tree]);
    let tag_object = repo.git(&["rev-parse", "v1.0"]);
    let gone = "0123456789012345678901234567890123456789".to_owned();
    let (short, shortest, capital) = (&second[..7], &second[..4], second.to_uppercase());
    for (name, wanted) in [
        (second.as_str(), Some(&second)),
        (&capital, Some(&second)),
        (short, Some(&second)),
        (shortest, Some(&second)),
        (&second[..3], None),
        (&tag_object, Some(&first)),
        ("main", Some(&second)),
        ("feature/x", Some(&second)),
        ("refs/heads/main", Some(&second)),
        ("heads/main", Some(&second)),
        ("plain", Some(&first)),
        ("v1.0", Some(&first)),
        ("v1.0-again", Some(&first)),
        // Git looks for tags first.
        ("same", Some(&second)),
        ("a-tree", None),
        (&tree, None),
        (&gone, None),
        ("nowhere", None),
        ("", None),
        ("main~1", None),
        ("main^", None),
        ("main@{1}", None),
        (":/first", None),
        ("main..same", None),
        ("../web", None),
        ("a b", None),
    ] {
        assert_eq!(resolve(&repositories, name).await.as_ref(), wanted, "{name:?}");
    }
    // A branch that looks like the beginning of an id is a branch.
    repo.git(&["branch", &second[..8], &first]);
    assert_eq!(resolve(&repositories, &second[..8]).await, Some(first));
}

#[tokio::test]
async fn a_commit_is_told_as_it_was_written() {
    let (_root, mut repo, repositories) = forge();
    repo.commit("first");
    repo.tick();
    repo.git(&[
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "Title\r\n\r\nBody \u{e9}\r\n",
        "--cleanup=verbatim",
    ]);
    let found = repositories
        .resolve("web", vec!["main".to_owned()])
        .await
        .unwrap();
    let commit = found[0].clone().unwrap();
    assert_eq!(commit.message, "Title\r\n\r\nBody \u{e9}\r\n");
    assert_eq!(commit.title(), "Title\r");
    assert_eq!(commit.parent_ids, [repo.id("main~1")]);
    assert_eq!(
        (commit.author_name.as_str(), commit.committer_email.as_str()),
        ("Ada", "ada@example.com")
    );
    let at = commit.committed_at.with_offset().unwrap();
    assert_eq!(at.to_rfc3339(), repo.git(&["log", "-1", "--format=%cI", "main"]));
    assert_eq!(commit.committed_at.offset_minutes, 120);
}

#[tokio::test]
async fn a_shallow_clone_ends_where_it_was_cut() {
    let (root, mut repo, repositories) = forge();
    let ids: Vec<String> = (0..10).map(|number| repo.commit(&format!("c{number}"))).collect();
    let from = format!("file://{}", root.path().join("web").display());
    repo.git(&["clone", "--quiet", "--bare", "--depth=4", &from, "../cut.git"]);
    assert!(repositories.inspect("cut.git").await.unwrap().shallow);
    assert!(!repositories.inspect("web").await.unwrap().shallow);
    let range = repositories
        .range("cut.git", &ids[6], &ids[9])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(range.ids, [ids[9].clone(), ids[8].clone(), ids[7].clone()]);
    // Behind the cut there is nothing.
    assert_eq!(
        repositories.range("cut.git", &ids[2], &ids[9]).await.unwrap(),
        None
    );
    let found = repositories
        .resolve("cut.git", vec![ids[2].clone(), ids[7].clone()])
        .await
        .unwrap();
    assert!(found[0].is_none() && found[1].is_some());
}

#[tokio::test]
async fn a_repository_with_long_ids_is_read_too() {
    let root = tempfile::tempdir().unwrap();
    let made = Command::new("git")
        .args([
            "init",
            "--quiet",
            "--object-format=sha256",
            "--initial-branch=main",
            "web",
        ])
        .current_dir(root.path())
        .status();
    assert!(made.unwrap().success());
    let mut repo = Repo::at(&root.path().join("web"));
    let (first, second) = (repo.commit("first"), repo.commit("second"));
    assert_eq!(second.len(), 64);
    let repositories = Repositories::below(root.path()).unwrap();
    assert_eq!(repositories.inspect("web").await.unwrap().object_format, "sha256");
    assert_eq!(
        resolve(&repositories, &second[..10]).await.as_ref(),
        Some(&second)
    );
    assert_eq!(resolve(&repositories, "main").await.as_ref(), Some(&second));
    compare(&repo, &repositories, &first, &second).await;
}

#[tokio::test]
async fn a_history_with_a_hole_cannot_be_read_and_says_so() {
    let (root, mut repo, repositories) = forge();
    let ids: Vec<String> = (0..3).map(|number| repo.commit(&format!("c{number}"))).collect();
    let object = root
        .path()
        .join("web/.git/objects")
        .join(&ids[1][..2])
        .join(&ids[1][2..]);
    fs::remove_file(object).unwrap();
    let refused = repositories.range("web", &ids[0], &ids[2]).await.unwrap_err();
    assert_eq!(refused.reason().name(), "REPOSITORY_UNAVAILABLE");
    assert_eq!(resolve(&repositories, &ids[1]).await, None);
    assert_eq!(resolve(&repositories, &ids[2]).await, Some(ids[2].clone()));
}

/// Not a test but a measurement: `cargo test --release --test it -- --ignored --nocapture how_long_reading`.
#[tokio::test]
#[ignore = "it measures, and takes a while"]
async fn how_long_reading_a_range_takes() {
    let (_root, repo, repositories) = forge();
    let merges = long_history(&repo, 10_000);
    repo.git(&["tag", "the-last", "main"]);
    let total = repo.git(&["rev-list", "--count", "main"]);
    let head = merges.last().unwrap();
    for back in [100, 1_000, 9_999] {
        let base = &merges[merges.len() - 1 - back];
        let began = std::time::Instant::now();
        let range = repositories.range("web", base, head).await.unwrap().unwrap();
        let took = began.elapsed();
        assert_eq!(range.ids.len(), repo.between(base, head).len());
        eprintln!("{} of {total} commits: {took:?}", range.ids.len());
    }
    let began = std::time::Instant::now();
    let names = vec![head.clone(), head[..8].to_owned(), "the-last".to_owned()];
    let found = repositories.resolve("web", names).await.unwrap();
    assert!(found.iter().all(Option::is_some));
    eprintln!("three names: {:?}", began.elapsed());
}

fn problem_of(outcome: &Result<gatehouse::repository::Inspection, Problem>) -> &'static str {
    match outcome {
        Ok(_) => "none",
        Err(Problem::NoRoot) => "no root",
        Err(Problem::Path) => "path",
        Err(Problem::Outside) => "outside",
        Err(Problem::Unreadable(_)) => "unreadable",
        Err(Problem::TooLong) => "too long",
    }
}

#[tokio::test]
async fn nothing_outside_of_the_root_is_read() {
    let (root, mut repo, repositories) = forge();
    repo.commit("first");
    let outside = tempfile::tempdir().unwrap();
    let mut secret = Repo::new(&outside.path().join("secret"));
    secret.commit("secret");
    let below = |name: &str| root.path().join(name);
    let secret_git = outside.path().join("secret/.git");

    // A link to a repository, and one in the middle of a path.
    symlink(outside.path().join("secret"), below("linked")).unwrap();
    symlink(outside.path(), below("above")).unwrap();
    // A link to a neighbour is fine.
    symlink(below("web"), below("neighbour")).unwrap();
    // A working copy whose repository is elsewhere.
    fs::create_dir(below("copy")).unwrap();
    fs::write(below("copy/.git"), format!("gitdir: {}\n", secret_git.display())).unwrap();
    // A repository whose objects are elsewhere: linked, lent, shared.
    let copy = |name: &str| {
        let status = Command::new("cp")
            .arg("-r")
            .arg(below("web/.git"))
            .arg(below(name))
            .status();
        assert!(status.unwrap().success());
        below(name)
    };
    let objects = copy("objects.git");
    fs::remove_dir_all(objects.join("objects")).unwrap();
    symlink(secret_git.join("objects"), objects.join("objects")).unwrap();
    let lent = copy("lent.git");
    fs::create_dir_all(lent.join("objects/info")).unwrap();
    fs::write(
        lent.join("objects/info/alternates"),
        format!("{}\n", secret_git.join("objects").display()),
    )
    .unwrap();
    let shared = copy("shared.git");
    fs::write(shared.join("commondir"), format!("{}\n", secret_git.display())).unwrap();
    // A worktree that its repository below the root made is fine.
    repo.git(&["worktree", "add", "--quiet", "../tree"]);

    fs::create_dir(below("empty")).unwrap();
    fs::write(below("file"), "no repository").unwrap();
    let long = "x/".repeat(600);
    for (path, wanted) in [
        ("web", "none"),
        ("web/.git", "none"),
        ("neighbour", "none"),
        ("tree", "none"),
        ("linked", "outside"),
        ("above/secret", "outside"),
        ("copy", "outside"),
        ("objects.git", "outside"),
        ("lent.git", "outside"),
        ("shared.git", "outside"),
        ("../secret", "path"),
        ("web/../web", "path"),
        ("./web", "path"),
        ("/etc", "path"),
        ("", "path"),
        ("web\0", "path"),
        ("missing", "unreadable"),
        ("empty", "unreadable"),
        ("file", "unreadable"),
        (&long, "unreadable"),
    ] {
        assert_eq!(problem_of(&repositories.inspect(path).await), wanted, "{path:?}");
    }
    let nowhere = Repositories::none();
    assert_eq!(problem_of(&nowhere.inspect("web").await), "no root");
    assert!(Repositories::below(Path::new("/nowhere/at/all")).is_err());
    assert!(Repositories::below(&below("file")).is_err());
}
