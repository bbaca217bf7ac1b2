//! Where a thread runs and how: pinned to a core, under a real-time policy if asked for, with its memory locked. What
//! the host does not allow is reported, not fatal: the loop then runs with a worse tail.

#![allow(unsafe_code, reason = "scheduling calls that have no safe form")]

use std::fmt;
use std::fs;
use std::io;

/// The core cannot be used by this process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot pin to core {core}: this process may run on {allowed:?} (isolated cores: {isolated:?})")]
pub struct PinError {
    /// The core asked for.
    pub core: usize,
    /// Cores in the process's affinity mask.
    pub allowed: Vec<usize>,
    /// Cores that the kernel keeps other tasks from (`isolcpus`).
    pub isolated: Vec<usize>,
}

/// What pinning came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The core on which the thread runs from now on, alone of its process's doing.
    pub core: usize,
    /// Whether the kernel keeps other tasks from it.
    pub isolated: bool,
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = if self.isolated { "isolated" } else { "shared with other tasks" };
        write!(f, "core {} ({shared})", self.core)
    }
}

/// Pins the calling thread to `core`.
///
/// The list of cores that `core_affinity` offers is not asked: it leaves out isolated cores, the very ones to be used.
/// The mask is read back instead.
///
/// # Errors
/// [`PinError`] if the kernel does not put the thread there.
pub fn pin_current_thread(core: usize) -> Result<Pinned, PinError> {
    let isolated = isolated_cores();
    let allowed = allowed_cores();
    // CPU_SET panics beyond the size of the mask.
    let tried = core < libc::CPU_SETSIZE as usize && core_affinity::set_for_current(core_affinity::CoreId { id: core });
    if !tried || allowed_cores() != [core] {
        return Err(PinError { core, allowed, isolated });
    }
    Ok(Pinned { core, isolated: isolated.contains(&core) })
}

/// Cores on which the calling thread may run now.
pub fn allowed_cores() -> Vec<usize> {
    // SAFETY: a mask of zeros is a sound mask, which the call fills.
    let mut mask: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: 0 is the calling thread; the size is the mask's.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut mask) } != 0 {
        return Vec::new();
    }
    // SAFETY: within the mask.
    (0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &mask) }).collect()
}

/// Cores that the kernel keeps other tasks from.
pub fn isolated_cores() -> Vec<usize> {
    parse_cores(&fs::read_to_string("/sys/devices/system/cpu/isolated").unwrap_or_default())
}

/// A list as the kernel writes it: `0-3,8,10-11`.
fn parse_cores(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// What a request to the host came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not asked for.
    Off,
    /// It is so.
    On,
    /// The host does not allow it; why, and what to do.
    Denied(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On => f.write_str("on"),
            Self::Denied(why) => write!(f, "denied: {why}"),
        }
    }
}

/// Puts the calling thread under `SCHED_FIFO` with `priority` (1 to 99); `None` leaves it as it is.
///
/// Off by default: on a host without a core to spare, a spinning real-time thread starves the rest.
pub fn set_fifo(priority: Option<u8>) -> Outcome {
    let Some(priority) = priority else { return Outcome::Off };
    let parameter = libc::sched_param { sched_priority: priority.into() };
    // SAFETY: 0 is the calling thread; the parameter is read only.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameter) } {
        0 => Outcome::On,
        _ => Outcome::Denied(format!(
            "SCHED_FIFO {priority}: {} (needs CAP_SYS_NICE and a priority from 1 to 99)",
            io::Error::last_os_error()
        )),
    }
}

/// Has the calling thread run only when nothing else wants the core (`SCHED_IDLE`): for work that can wait.
///
/// # Errors
/// Why it cannot be.
pub fn when_idle() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread; the parameter is read only.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameter) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has the calling thread go before ordinary ones that want its core (nice -10, nine times their share): for work that must not
/// fall behind.
///
/// # Errors
/// Why it cannot be: it needs `CAP_SYS_NICE`, or a limit (`RLIMIT_NICE`) that allows it.
pub fn before_others() -> io::Result<()> {
    // SAFETY: no memory is handed over. 0 is the calling thread: on Linux each has a value of its own.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -10) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Keeps all memory of the process, present and future, from being paged out.
///
/// Only with the limit lifted (RLIMIT_MEMLOCK): a process that drops CAP_IPC_LOCK afterwards would otherwise be ended by
/// the kernel at the first page beyond the limit by which its stack grows.
pub fn lock_memory() -> Outcome {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a limit that outlives the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) } != 0 {
        return Outcome::Denied(format!(
            "memory is not locked: RLIMIT_MEMLOCK cannot be lifted: {} (set LimitMEMLOCK=infinity, or give CAP_SYS_RESOURCE)",
            io::Error::last_os_error()
        ));
    }
    // SAFETY: no memory is passed.
    match unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } {
        0 => Outcome::On,
        _ => Outcome::Denied(format!("mlockall: {} (needs CAP_IPC_LOCK)", io::Error::last_os_error())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_goes_where_it_may_and_is_told_where_it_may_not() {
        std::thread::spawn(|| {
            let cores = allowed_cores();
            let core = *cores.last().expect("at least one");
            assert_eq!(pin_current_thread(core).map(|pinned| pinned.core), Ok(core));
            assert_eq!(allowed_cores(), [core]);
            for none in [1023, 1 << 20] {
                let refused = pin_current_thread(none).expect_err("no such core");
                assert_eq!((refused.core, refused.allowed), (none, vec![core]));
            }
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn a_thread_that_goes_before_others_takes_none_of_them_along() {
        let nice = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("the kernel has it");
            // Behind the name, which may hold anything, the nice value is the 17th.
            let behind = stat.rsplit_once(") ").expect("a name").1;
            behind.split(' ').nth(16).and_then(|nice| nice.parse::<i32>().ok()).expect("a number")
        };
        let before = nice();
        let (outcome, then) = std::thread::spawn(move || (before_others(), nice())).join().expect("no panic");
        match outcome {
            Ok(()) => assert_eq!(then, -10),
            Err(why) => assert_eq!((then, why.kind()), (before, io::ErrorKind::PermissionDenied)),
        }
        assert_eq!(nice(), before);
    }

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(parse_cores("1-3,8,10-11\n"), [1, 2, 3, 8, 10, 11]);
        assert_eq!(parse_cores("\n"), []);
    }

    #[test]
    fn real_time_is_off_unless_asked_for_and_a_refusal_says_why() {
        assert_eq!(set_fifo(None), Outcome::Off);
        let refused = set_fifo(Some(100)).to_string();
        assert!(refused.starts_with("denied: SCHED_FIFO 100: "), "{refused}");
    }
}
