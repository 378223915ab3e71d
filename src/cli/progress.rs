//! How far a command is: a bar on a terminal, a line now and then elsewhere; always on standard error.

use std::{
    io::{self, IsTerminal as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::console;
use crate::store::moving::{Progress, Stage, Told};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// What a bar looks like.
const BAR: &str = "{prefix} {wide_bar} {percent}% of {len}, {per_sec}, {eta} left: {msg}";
/// The same, for bytes.
const BYTES_BAR: &str =
    "{prefix} {wide_bar} {percent}% of {bytes_total}, {binary_bytes_per_sec}, {eta} left: {msg}";
/// What it looks like where nobody knows how much there is.
const COUNT: &str = "{prefix} {spinner} {pos}, {per_sec}: {msg}";

/// Shows how far it is.
#[derive(Default)]
pub struct Shown(Arc<Mutex<Option<Current>>>);

struct Current {
    stage: Stage,
    bar: ProgressBar,
    begun: Instant,
    /// How much was done then.
    from: u64,
    /// When a line was written last.
    told: Instant,
}

impl Shown {
    /// Shows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What has to be told how far it is.
    pub fn told(&self) -> Told {
        let shown = Self(Arc::clone(&self.0));
        Arc::new(move |progress| shown.show(progress))
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(current) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            current.bar.finish_and_clear();
        }
    }

    fn show(&self, progress: Progress) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = match shown.take() {
            Some(current) if current.stage == progress.stage => current,
            before => {
                if let Some(before) = before {
                    before.bar.finish_and_clear();
                }
                Current::new(progress)
            }
        };
        shown.insert(current).show(progress);
    }
}

impl Current {
    fn new(progress: Progress) -> Self {
        let template = match (progress.stage, progress.total) {
            (Stage::Checking, Some(_)) => BYTES_BAR,
            (_, Some(_)) => BAR,
            (_, None) => COUNT,
        };
        let bar = ProgressBar::new(progress.total.unwrap_or_default())
            .with_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            )
            .with_prefix(word(progress.stage))
            .with_position(progress.done);
        bar.reset_eta();
        Self {
            stage: progress.stage,
            bar,
            begun: Instant::now(),
            from: progress.done,
            told: Instant::now(),
        }
    }

    fn show(&mut self, progress: Progress) {
        if io::stderr().is_terminal() {
            self.bar.set_message(progress.table);
            self.bar.set_position(progress.done);
        } else if self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            console::note(line(progress, progress.done - self.from, self.begun.elapsed()));
        }
    }
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Exporting => "exporting",
        Stage::Checking => "checking",
        Stage::Importing => "importing",
        Stage::Comparing => "comparing",
    }
}

/// A line that says how far it is; `done` of it was done in this time.
fn line(progress: Progress, done: u64, time: Duration) -> String {
    let unit = if progress.stage == Stage::Checking {
        "bytes"
    } else {
        "rows"
    };
    let of = progress
        .total
        .map(|total| format!(" of {total}"))
        .unwrap_or_default();
    let rate = u128::from(done) * 1000 / time.as_millis().max(1);
    format!(
        "{}: {}{of} {unit}, {rate} a second, at {}",
        word(progress.stage),
        progress.done,
        progress.table
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_done_how_much_of_it_and_how_fast() {
        let mut progress = Progress {
            stage: Stage::Importing,
            table: "deployments",
            done: 3_000,
            total: Some(10_000),
        };
        assert_eq!(
            line(progress, 2_000, Duration::from_millis(500)),
            "importing: 3000 of 10000 rows, 4000 a second, at deployments"
        );
        progress.total = None;
        progress.stage = Stage::Checking;
        assert_eq!(
            line(progress, 3_000, Duration::ZERO),
            "checking: 3000 bytes, 3000000 a second, at deployments"
        );
    }

    #[test]
    fn every_bar_is_well_formed() {
        for template in [BAR, BYTES_BAR, COUNT] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
