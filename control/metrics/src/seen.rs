//! What is known of an instance at one moment: the facts files, its processes and its disk. The segment is looked at beside it.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use nix::time::{ClockId, clock_gettime};
use tern_config::Config;
use tern_config::alerts::AlertsFacts;
use tern_config::facts::{AuditFacts, DaemonFacts, DataplaneFacts, read};
use tern_config::latency::LatencyFacts;
use tern_hw::clock::{KernelClock, kernel_clock};
use tern_hw::segment::SegmentView;

use crate::sinks::{self, Sink};

/// Ticks a second of the times in `/proc/PID/stat`: `USER_HZ`, which is part of the kernel's interface.
const TICKS_PER_S: f64 = 100.0;
/// A page, as `/proc/PID/stat` counts them on x86-64.
const PAGE_BYTES: f64 = 4096.0;

/// A process of the instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// `dataplane`, `ternd`, `audit` or `metrics`.
    pub name: &'static str,
    /// 0 = none.
    pub pid: u32,
    /// Time on a core, s.
    pub cpu_s: f64,
    /// Resident memory.
    pub resident_bytes: f64,
}

/// Requests to the endpoint so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Answered with metrics.
    pub answered: u64,
    /// Not HTTP, or for something that is not here.
    pub bad: u64,
    /// Turned away: too many at once.
    pub refused: u64,
    /// Cut off: too slow to ask or to read.
    pub cut: u64,
}

/// One moment.
#[derive(Debug, Default)]
pub struct Seen {
    /// TAI ns.
    pub now_ns: u64,
    /// Name of the instance.
    pub name: String,
    /// What ternd wrote, and how long ago, s.
    pub daemon: Option<(DaemonFacts, f64)>,
    /// What the data plane wrote at its start.
    pub dataplane: DataplaneFacts,
    /// What is raised.
    pub alerts: Option<AlertsFacts>,
    /// How long the loop's stages took.
    pub latency: Option<LatencyFacts>,
    /// What the second opinion wrote.
    pub audit: Option<AuditFacts>,
    /// Those that there should be.
    pub processes: Vec<Process>,
    /// Those that say something of themselves.
    pub sinks: Vec<Sink>,
    /// Free and all bytes where the journal is.
    pub disk: Option<(f64, f64)>,
    /// The kernel's clock.
    pub clock: KernelClock,
    /// What was asked here so far.
    pub requests: Requests,
}

impl Seen {
    /// Looks at everything. What cannot be read is absent.
    pub fn look(config: &Config, view: Option<&SegmentView>, requests: Requests) -> Self {
        let paths = &config.paths;
        let audit: Option<AuditFacts> = read(&paths.audit_facts()).ok().flatten();
        let pid = |holder: Option<Option<u32>>| holder.flatten().unwrap_or(0);
        let mut processes = vec![
            process("dataplane", pid(view.and_then(|view| view.data_plane().ok()))),
            process("ternd", pid(view.and_then(|view| view.daemon().ok()))),
            process("metrics", std::process::id()),
        ];
        if config.runs_audit() {
            processes.push(process("audit", audit.as_ref().map_or(0, |facts| facts.pid)));
        }
        let daemon: Option<DaemonFacts> = read(&paths.daemon_facts()).ok().flatten();
        Self {
            now_ns: tai_ns(),
            name: config.instance.name.clone(),
            daemon: daemon.map(|facts| (facts, age_s(&paths.daemon_facts()))),
            dataplane: read(&paths.dataplane_facts()).ok().flatten().unwrap_or_default(),
            alerts: read(&paths.alerts_facts()).ok().flatten(),
            latency: read(&paths.latency_facts()).ok().flatten(),
            audit: audit.filter(|_| config.runs_audit()),
            processes,
            sinks: sinks::look(&paths.run, tai_ns()),
            disk: disk(&paths.journal),
            clock: kernel_clock(),
            requests,
        }
    }

    /// The process with this name.
    pub(crate) fn process(&self, name: &str) -> Option<&Process> {
        self.processes.iter().find(|process| process.name == name)
    }
}

/// TAI, ns since 1970.
fn tai_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_TAI).map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

fn age_s(path: &Path) -> f64 {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.unwrap_or_default().as_secs_f64()
}

fn disk(folder: &Path) -> Option<(f64, f64)> {
    let found = nix::sys::statvfs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| (blocks * found.fragment_size() as u64) as f64;
    Some((bytes(found.blocks_available() as u64), bytes(found.blocks() as u64)))
}

/// The process with this id, if it lives; its `pid` is 0 if it does not.
fn process(name: &'static str, pid: u32) -> Process {
    let absent = Process { name, ..Process::default() };
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return absent };
    // The command in parentheses may hold anything; field 3, the state, follows the last of them (proc(5)).
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    if matches!(fields.first(), None | Some(&"Z" | &"X")) {
        return absent;
    }
    Process { name, pid, cpu_s: (number(14) + number(15)) / TICKS_PER_S, resident_bytes: number(24) * PAGE_BYTES }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_one_that_is_not_there_has_nothing() {
        let own = process("metrics", std::process::id());
        assert!(own.pid == std::process::id() && own.resident_bytes > 1e5 && own.cpu_s >= 0.0, "{own:?}");
        assert_eq!(process("audit", 0), Process { name: "audit", ..Process::default() });
    }
}
