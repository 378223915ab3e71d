//! `cargo bench --features bench` is `gatehouse-bench`, run on the `gatehouse` that was just built.

use std::{
    env, io,
    process::{Command, ExitCode},
};

fn main() -> io::Result<ExitCode> {
    let status = Command::new(env!("CARGO_BIN_EXE_gatehouse-bench"))
        .args(["--gatehouse", env!("CARGO_BIN_EXE_gatehouse")])
        // What cargo itself adds.
        .args(env::args_os().skip(1).filter(|argument| argument != "--bench"))
        .status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
