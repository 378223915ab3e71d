//! Logging: one subscriber, text for people or JSON for machines, on standard error.

use std::io::{self, IsTerminal as _};

use tracing::Level;
use tracing_subscriber::{EnvFilter, util::TryInitError};

use crate::config::{LogFormat, LogOptions};

/// Sends the program's log lines to standard error from now on.
///
/// Where the options name no filter, everything of `default_level` and above is logged. Standard output stays free for
/// what commands print. Fails if a subscriber was set before.
pub fn init(options: &LogOptions, default_level: Level) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let filter = match &options.log_level {
        Some(filter) => EnvFilter::new(filter.as_str()),
        None => EnvFilter::default().add_directive(default_level.into()),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match options.log_format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    }
}
