//! Logging: one subscriber, text for people or JSON for machines, on standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, util::TryInitError};

use crate::config::{LogFormat, LogOptions};

/// Sends the program's log lines to standard error from now on.
///
/// Standard output stays free for what commands print. Fails if a subscriber was set before.
pub fn init(options: &LogOptions) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(options.log_level.as_str()))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match options.log_format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    }
}
