//! Processes by id, told apart from later ones with the same id by their start time.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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

    /// Waits until it is gone; `false` when it is not after `patience`.
    pub(crate) fn wait_gone(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
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
