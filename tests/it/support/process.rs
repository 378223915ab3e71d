//! The real program, as a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use gatehouse::first_start::ROOT_TOKEN_FILE;

use super::engine::Place;

/// A server process on free ports; killed when dropped.
pub struct Process {
    child: Child,
    /// Where gRPC is served.
    pub grpc: String,
    /// Where REST is served; empty if it is not.
    pub rest: String,
    /// The administrator's token.
    pub root: String,
}

impl Process {
    /// `gatehouse grpc` on the store in `place`, logging at `level` to `log`.
    pub fn grpc(place: &Place, level: &str, log: Stdio) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
        command.args(["grpc", "--grpc-listen", "127.0.0.1:0"]);
        Self::start(command, &["gRPC"], place, level, log)
    }

    /// The same with its own data folder, and these variables set.
    pub fn grpc_in(
        folder: &Path,
        place: &Place,
        variables: &[(&str, &str)],
        level: &str,
        log: Stdio,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
        command
            .args(["grpc", "--grpc-listen", "127.0.0.1:0"])
            .envs(variables.iter().copied());
        Self::start_in(command, &["gRPC"], folder, place, level, log)
    }

    /// `gatehouse`, with the sidecar, on the store in `place`, logging at `level` to `log`.
    pub fn both(place: &Place, level: &str, log: Stdio) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
        command.args(["--grpc-listen", "127.0.0.1:0", "--rest-listen", "127.0.0.1:0"]);
        Self::start(command, &["gRPC", "REST"], place, level, log)
    }

    fn start(command: Command, servers: &[&str], place: &Place, level: &str, log: Stdio) -> Self {
        Self::start_in(command, servers, place.folder.path(), place, level, log)
    }

    fn start_in(
        mut command: Command,
        servers: &[&str],
        folder: &Path,
        place: &Place,
        level: &str,
        log: Stdio,
    ) -> Self {
        command
            .args(["--log-level", level, "--data-dir"])
            .arg(folder)
            .env("GATEHOUSE_DATABASE_URL", place.url());
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut where_is = |server: &str| {
            let begin = format!("{server} listens on ");
            let told = lines.find_map(|line| line.unwrap().strip_prefix(&begin).map(str::to_owned));
            told.unwrap_or_else(|| panic!("the program never said where {server} listens"))
        };
        let told: Vec<String> = servers.iter().map(|server| where_is(server)).collect();
        let rest = told
            .get(1)
            .and_then(|url| url.split('/').nth(2))
            .unwrap_or_default();
        // Whatever it says later is read and forgotten, so that it never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let root = std::fs::read_to_string(folder.join(ROOT_TOKEN_FILE)).unwrap();
        Self {
            child,
            grpc: format!("http://{}", told[0]),
            rest: rest.to_owned(),
            root: root.trim().to_owned(),
        }
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of a process that has ended already there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
