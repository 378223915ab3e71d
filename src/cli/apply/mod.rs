//! `gatehouse apply`: makes a server's directory and environments what a file says.
//!
//! Read the file, check what can be checked without a server ([`check`]), compare everything with the server
//! ([`plan`]), and only then change it. Every change names the version it was compared with, so that nobody else's
//! change is overwritten unseen; running the command again compares anew.

pub mod check;
mod entry;
pub mod file;
pub mod plan;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::{
    check::Wanted,
    file::File,
    plan::{Counts, Plan, Tell},
};
use super::{Error, client::Server, console};
use crate::config::ClientOptions;

/// The options of `gatehouse apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gatehouse apply --example > organisation.toml   a file that shows everything there is
  gatehouse apply organisation.toml --dry-run
  GATEHOUSE_TOKEN=... gatehouse apply organisation.toml --grpc-url http://10.0.0.5:50051

Users are created by administrators, groups by owners of the group above.
Exit code 0: the server is as the file says. 1: it is not; the entry that failed is named.")]
pub struct Options {
    /// The file
    #[arg(value_name = "FILE", required_unless_present = "example")]
    file: Option<PathBuf>,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print an example of the file and exit
    #[arg(long, conflicts_with_all = ["file", "dry_run"])]
    example: bool,
    #[command(flatten)]
    client: ClientOptions,
}

/// Applies the file, or prints the example.
pub async fn run(options: Options) -> Result<(), Error> {
    let Some(file) = options.file else {
        console::say(file::EXAMPLE.trim_end());
        return Ok(());
    };
    let mut wanted = read(&file)?;
    let server = Server::connect(&options.client).await?;
    let plan = Plan::make(&server, &mut wanted).await?;
    if options.dry_run {
        plan.show();
    } else {
        plan.carry_out(&server, Tell::Steps).await?;
    }
    console::say(summary(plan.counts, options.dry_run));
    Ok(())
}

/// How much of a file is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All but the protected environments.
    Unprotected,
    /// All.
    Whole,
}

/// Makes the server what `text` says, without a word.
pub async fn apply_quietly(server: &Server, text: &str, extent: Extent) -> Result<(), Error> {
    let mut wanted = parse("the organisation", text)?;
    if extent == Extent::Unprotected {
        wanted.protected_environments.clear();
    }
    Plan::make(server, &mut wanted)
        .await?
        .carry_out(server, Tell::Nothing)
        .await
}

fn read(file: &Path) -> Result<Wanted, Error> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|source| Error::System {
        action: format!("read {name}"),
        source,
    })?;
    parse(&name, &text)
}

fn parse(name: &str, text: &str) -> Result<Wanted, Error> {
    let refuse = |problem| Error::File {
        file: name.to_owned(),
        problem,
    };
    check::check(File::read(text).map_err(refuse)?).map_err(refuse)
}

/// The last line: what came of it all.
fn summary(counts: Counts, dry_run: bool) -> String {
    let Counts {
        created,
        changed,
        unchanged,
    } = counts;
    match (created + changed, dry_run) {
        (0, _) => format!("= unchanged: {unchanged}"),
        (_, true) => format!("would create {created} and change {changed}; unchanged: {unchanged}"),
        (_, false) => format!("created {created}, changed {changed}; unchanged: {unchanged}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_refused_is_named_with_the_problem() {
        let text = "[[members]]\nin = \"acme\"\nuser = \"ana\"\naccess = \"boss\"";
        let error = parse("org.toml", text).unwrap_err().to_string();
        assert!(
            error.starts_with("org.toml cannot be applied:\nmembers[0].access: \"boss\""),
            "{error}"
        );
        let error = parse("org.toml", "[[users]]\nname = \"x\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 1") && error.contains("username"), "{error}");
    }

    #[test]
    fn the_summary_tells_what_was_done_or_would_be() {
        let counts = Counts {
            created: 2,
            changed: 1,
            unchanged: 3,
        };
        for (counts, dry_run, told) in [
            (counts, false, "created 2, changed 1; unchanged: 3"),
            (counts, true, "would create 2 and change 1; unchanged: 3"),
            (
                Counts {
                    unchanged: 6,
                    ..Counts::default()
                },
                false,
                "= unchanged: 6",
            ),
        ] {
            assert_eq!(summary(counts, dry_run), told);
        }
    }
}
