//! The README says what is so.

use std::path::Path;

use clap::{Arg, Command, CommandFactory as _};
use gatehouse::{
    cli::Cli,
    metrics::{Kind, METRICS},
};

/// Who takes a setting: `gatehouse` itself, commands, or all.
type Users = Vec<String>;

/// Flag, variable, default, meaning.
type Setting = [String; 4];

/// All settings in the order of the help pages, each with the commands that take it.
fn settings(cli: &Command) -> Vec<(Setting, Users)> {
    let mut found = Vec::new();
    collect(cli, "gatehouse", &mut found);
    for command in cli.get_subcommands() {
        collect(command, command.get_name(), &mut found);
        for inner in command.get_subcommands() {
            collect(inner, command.get_name(), &mut found);
        }
    }
    found
}

fn collect(command: &Command, name: &str, found: &mut Vec<(Setting, Users)>) {
    for argument in command.get_arguments() {
        let Some(setting) = setting(argument) else {
            continue;
        };
        let user = if argument.is_global_set() { "all" } else { name };
        let place = found.iter().position(|(known, _)| *known == setting);
        let place = place.unwrap_or_else(|| {
            found.push((setting, Vec::new()));
            found.len() - 1
        });
        let users = &mut found[place].1;
        if !users.iter().any(|known| known == user) {
            users.push(user.to_owned());
        }
    }
}

/// Nothing for what has no variable, which is an argument and not a setting.
fn setting(argument: &Arg) -> Option<Setting> {
    let variable = argument.get_env()?.to_string_lossy();
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    // A default that depends is told in the help's own words.
    let (meaning, told) = help.split_once(" [default: ").unwrap_or((&help, ""));
    let given = argument
        .get_default_values()
        .first()
        .map(|value| format!("`{}`", value.to_string_lossy()));
    let switch = (!argument.get_action().takes_values()).then(|| "off".to_owned());
    let default = given
        .or(switch)
        .unwrap_or_else(|| told.trim_end_matches(']').to_owned());
    let flag = argument.get_long()?;
    Some([
        format!("`--{flag}`"),
        format!("`{variable}`"),
        default,
        meaning.to_owned(),
    ])
}

#[test]
fn the_table_of_settings_is_that_of_the_help_pages() {
    let head = [
        "| flag | variable | default | commands | meaning |",
        "|---|---|---|---|---|",
    ]
    .map(str::to_owned);
    let rows = settings(&Cli::command())
        .into_iter()
        .map(|([flag, variable, default, meaning], users)| {
            format!(
                "| {flag} | {variable} | {default} | {} | {meaning} |",
                users.join(", ")
            )
        });
    let table = head.into_iter().chain(rows).collect::<Vec<_>>().join("\n");
    let readme = include_str!("../README.md");
    assert!(
        readme.contains(&format!("{table}\n")),
        "the README's table should be\n\n{table}"
    );
}

#[test]
fn the_table_of_metrics_is_theirs() {
    let rows = METRICS.iter().map(|metric| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = metric.kind.name();
        format!(
            "| `{}` | {kind} | {} | {} |",
            metric.name,
            labels.join(", "),
            metric.help
        )
    });
    let head = ["| metric | kind | labels | meaning |", "|---|---|---|---|"].map(str::to_owned);
    let table = head.into_iter().chain(rows).collect::<Vec<_>>().join("\n");
    let readme = include_str!("../README.md");
    assert!(
        readme.contains(&format!("{table}\n")),
        "the README's table should be\n\n{table}"
    );
}

#[test]
fn every_metric_that_is_named_exists() {
    let series: Vec<_> = METRICS
        .iter()
        .flat_map(|metric| {
            let ends: &[&str] = match metric.kind {
                Kind::Histogram => &["", "_bucket", "_sum", "_count"],
                Kind::Counter | Kind::Gauge => &[""],
            };
            ends.iter().map(|end| format!("{}{end}", metric.name))
        })
        .collect();
    let (_, operations) = include_str!("../README.md")
        .split_once("\n## Operations\n")
        .unwrap();
    let (operations, _) = operations.split_once("\n## ").unwrap();
    let named: Vec<_> = operations
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("gatehouse_"))
        .collect();
    assert!(named.len() > METRICS.len());
    for name in named {
        assert!(series.iter().any(|known| known == name), "{name}");
    }
}

#[test]
fn every_command_is_mentioned() {
    let readme = include_str!("../README.md");
    for command in Cli::command().get_subcommands() {
        let call = format!("gatehouse {}", command.get_name());
        assert!(readme.contains(&call), "{call}");
    }
}

#[test]
fn every_file_and_folder_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths: Vec<_> = include_str!("../README.md")
        .split(|c: char| c.is_whitespace() || "`()[]|,".contains(c))
        .filter(|word| {
            [".ci/", "benches/", "proto/", "src/", "tests/"]
                .iter()
                .any(|top| word.starts_with(top))
        })
        .map(|word| word.trim_end_matches(['.', ':', ';']))
        .collect();
    assert!(paths.len() > 10, "{paths:?}");
    for path in paths {
        assert!(root.join(path).exists(), "{path}");
    }
}
