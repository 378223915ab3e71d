//! Holds the plan of the house: which module may use which, what belongs to one place only, how big a file may grow.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What a module of `src/` may use of the crate, and which outside crates it must not mention.
const LAYERS: &[(&str, &[&str], &[&str])] = &[
    (
        "domain",
        &["domain"],
        &[
            "tokio",
            "sqlx",
            "tonic",
            "prost",
            "axum",
            "serde",
            "serde_json",
            "tracing",
            "async_trait",
        ],
    ),
    ("clock", &[], &["tokio", "sqlx", "tonic", "axum"]),
    ("trace", &[], &["tokio", "sqlx", "tonic", "axum"]),
    ("metrics", &[], &["tokio", "sqlx", "tonic", "axum"]),
    (
        "store",
        &["domain", "store", "metrics"],
        &["tonic", "prost", "axum"],
    ),
    (
        "repository",
        &["repository", "domain"],
        &["sqlx", "tonic", "prost", "axum"],
    ),
    (
        "app",
        &["app", "domain", "store", "repository", "clock", "metrics"],
        &["sqlx", "tonic", "prost", "axum"],
    ),
    (
        "grpc",
        &["grpc", "app", "domain", "store", "pb", "metrics", "trace"],
        &["sqlx", "axum"],
    ),
    ("rest", &["rest", "pb", "clock", "metrics", "trace"], &["sqlx"]),
    ("pb", &[], &["sqlx", "axum"]),
];

/// What only one place may say, and why.
const ONE_PLACE: &[(&str, &[&str], &str)] = &[
    ("Utc::now", &["clock.rs"], "the clock is a parameter"),
    ("SystemTime::now", &["clock.rs"], "the clock is a parameter"),
    ("CURRENT_TIMESTAMP", &[], "the database makes no time"),
    (
        "AssertSqlSafe",
        &["store/sql/seam.rs", "store/sql/plans.rs"],
        "statements are put together from constants",
    ),
    (
        "sqlx::query",
        &["store/sqlite.rs", "store/postgres.rs", "store/sql/plans.rs"],
        "statements go through the seam",
    ),
    ("FOR UPDATE", &[], "the locking UPDATE is the portable form"),
    ("SELECT *", &[], "columns are named"),
    ("ILIKE", &[], "not portable"),
    (
        "Status::with_error_details",
        &["grpc/status.rs"],
        "statuses are made in one table",
    ),
];

/// The most lines a file may have, tests included.
const LINES_MAX: usize = 900;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The production sources by their path below `src/`, without comments; files of unit tests may reach further.
fn read() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    assert!(paths.len() > 20, "the sources were not found");
    let code = |text: String| {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    };
    paths
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/");
            (name, code(fs::read_to_string(&path).unwrap()))
        })
        .filter(|(name, _)| !name.ends_with("/tests.rs"))
        .collect()
}

/// The code before the unit tests: tests may reach further.
fn production(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod ").next().unwrap_or(code)
}

/// The names that follow `crate::`, also within braces.
fn uses(code: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    let mut found = Vec::new();
    for (place, _) in code.match_indices("crate::") {
        if code[..place].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[place + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.push(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.push(name(item.trim()));
                    item.clear();
                    continue;
                }
                _ => {}
            }
            item.push(c);
        }
        found.push(name(item.trim()));
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn arrows_only_go_down() {
    let mut wrong = Vec::new();
    for (file, code) in read() {
        let module = file.split(['/', '.']).next().unwrap();
        let Some((_, inside, outside)) = LAYERS.iter().find(|(name, ..)| *name == module) else {
            continue;
        };
        let code = production(&code);
        for used in uses(code) {
            if !inside.contains(&used.as_str()) {
                wrong.push(format!("{file} uses crate::{used}"));
            }
        }
        for foreign in *outside {
            if code.contains(&format!("{foreign}::")) {
                wrong.push(format!("{file} mentions {foreign}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn use_cases_and_transport_know_the_store_by_its_trait_only() {
    for (file, code) in read() {
        if file.starts_with("app/") || file.starts_with("grpc/") {
            let code = production(&code);
            assert!(!code.contains("store::sql"), "{file} reaches into the store");
        }
    }
}

#[test]
fn what_belongs_to_one_place_is_said_there_only() {
    let mut wrong = Vec::new();
    for (file, code) in read() {
        for (text, places, why) in ONE_PLACE {
            if production(&code).contains(text) && !places.contains(&file.as_str()) {
                wrong.push(format!("{file} says {text}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_holds_too_much() {
    for (file, code) in read() {
        let lines = code.lines().count();
        assert!(
            lines <= LINES_MAX,
            "{file} has {lines} lines of code: it holds two things"
        );
    }
}

#[test]
fn no_module_is_a_drawer_for_odds_and_ends() {
    for file in read().keys() {
        for drawer in ["utils.rs", "util.rs", "common.rs", "types.rs", "helpers.rs"] {
            assert!(!file.ends_with(drawer), "{file}");
        }
    }
}
