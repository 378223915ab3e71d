//! Servers as processes, and what `/proc` knows of them.

use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::Failure;

/// Ticks a second of the times in `/proc`: the same on every Linux.
const TICKS: f64 = 100.0;
/// How long a server may take until it says where it listens.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server process, gone with its children when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a program whose output nobody reads.
    pub fn quiet(command: &mut Command) -> Result<Self, Failure> {
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok(Self {
            child: child.map_err(|error| format!("{command:?}: {error}"))?,
        })
    }

    /// Starts a server that says on standard output where it listens, and waits for the lines that begin so; answers what
    /// is behind each.
    pub fn listening(command: &mut Command, lines: &[&str]) -> Result<(Self, Vec<String>), Failure> {
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // The log is written, as it always is; where to is not what is measured. Why a start fails is.
            .stderr(if env::var_os("GATEHOUSE_BENCH_LOG").is_some() {
                Stdio::inherit()
            } else {
                Stdio::null()
            })
            .spawn();
        let mut this = Self {
            child: child.map_err(|error| format!("{command:?}: {error}"))?,
        };
        let output = this.child.stdout.take().ok_or("no output")?;
        let (told, lines_told) = mpsc::channel();
        // Read to the end, so that it never blocks on a full pipe.
        thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(told.send(line)));
        });
        let mut found = vec![None; lines.len()];
        while found.iter().any(Option::is_none) {
            let line = lines_told.recv_timeout(PATIENCE).map_err(|_| {
                format!("{command:?} did not say where it listens; GATEHOUSE_BENCH_LOG=1 shows why")
            })?;
            for (found, begin) in found.iter_mut().zip(lines) {
                if let Some(rest) = line.strip_prefix(begin) {
                    *found = Some(rest.to_owned());
                }
            }
        }
        Ok((this, found.into_iter().flatten().collect()))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group is this process's own: its workers end with it.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

/// The CPU that processes have used so far, with all their children, in microseconds.
pub fn cpu_micros(roots: &[u32]) -> f64 {
    let mut parents: HashMap<u32, u32> = HashMap::new();
    let mut ticks: HashMap<u32, f64> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // Behind the name, which may hold anything: state, parent, ... and from the twelfth on utime stime cutime cstime.
        let Some((_, fields)) = stat.rsplit_once(") ") else {
            continue;
        };
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
        parents.insert(id, number(1).unwrap_or_default() as u32);
        ticks.insert(id, (11..15).filter_map(number).sum());
    }
    let belongs = |mut id: u32| loop {
        if roots.contains(&id) {
            return true;
        }
        match parents.get(&id) {
            Some(parent) if *parent > 1 => id = *parent,
            _ => return false,
        }
    };
    let used: f64 = ticks
        .iter()
        .filter(|(id, _)| belongs(**id))
        .map(|(_, ticks)| ticks)
        .sum();
    used * 1e6 / TICKS
}

/// A size of a process in MiB, by its name in `/proc/PID/status`: `VmRSS` is what is resident, `VmHWM` the most that was.
pub fn memory_mib(id: u32, what: &str) -> Result<f64, Failure> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kib = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
    Ok(kib.ok_or("no such size")?.parse::<f64>()? / 1024.0)
}
