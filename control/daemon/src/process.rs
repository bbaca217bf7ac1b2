//! Processes by id, told apart from later ones with the same id by their start time.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::notify;

/// A process that somebody else may have started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    start_ticks: u64,
}

impl Process {
    /// The process with this id now; `None` when there is none, or a dead one that waits for its parent.
    pub(crate) fn find(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; field 3 (the state) follows the last of them, field 22 is the start.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let dead = matches!(fields.next()?, "Z" | "X");
        let start_ticks = fields.nth(18)?.parse().ok()?;
        (!dead).then_some(Self { pid, start_ticks })
    }

    pub(crate) fn is_alive(&self) -> bool {
        Self::find(self.pid) == Some(*self)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let (true, Ok(pid)) = (self.is_alive(), i32::try_from(self.pid)) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Waits until it is gone; `false` when it is not after `patience`, or earlier where `is_hurried` says so.
    pub(crate) fn wait_gone(&self, patience: Duration, is_hurried: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() >= deadline || is_hurried() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

/// Starts `program` on a configuration. What it says goes to a log of its own, not the daemon's stderr: it may go on when the
/// daemon and whoever reads from it are gone. So is its group: Ctrl-C in the daemon's terminal reaches it through the daemon
/// alone.
pub(crate) fn spawn(program: &Path, config: &Path, log: &Path) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(program);
    // systemd hears of the service from the daemon alone.
    for name in notify::VARIABLES {
        command.env_remove(name);
    }
    command
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}

/// How long one of an earlier daemon may take to die.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(3);

/// Ends a `program` that outlived the daemon which ran it, if that is what has this id now.
pub(crate) fn end_leftover(pid: Option<u32>, program: &str) {
    let Some(process) = pid.and_then(Process::find) else { return };
    let name = fs::read_to_string(format!("/proc/{}/comm", process.pid)).unwrap_or_default();
    if name.trim() == program {
        tracing::info!(pid = process.pid, "ended the {program} of a daemon that is gone");
        process.signal(Signal::SIGKILL);
        process.wait_gone(LEFTOVER_PATIENCE, || false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_and_one_that_ended_is_not() {
        let own = Process::find(std::process::id()).expect("this process");
        assert!(own.is_alive());
        let stranger = Process { start_ticks: own.start_ticks + 1, ..own };
        assert!(!stranger.is_alive(), "the same id with another start is another process");
        let mut child = std::process::Command::new("true").spawn().expect("`true` starts");
        child.wait().expect("it ends");
        assert_eq!(Process::find(child.id()), None);
    }
}
