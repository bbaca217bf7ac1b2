//! What an instance has for itself: its folders, the queues of its interface, its core. Each is claimed by a lock on the folder that
//! stands for it (flock(2), for queues and cores in /sys), which ends with this process and leaves nothing behind.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tern_config::{Config, Core, Paths, PortKind};

use crate::DaemonError;
use crate::process::Process;

/// So often a lock that somebody has is tried again, and how long is waited before.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// The claims, as long as this lives.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    held: Vec<File>,
    /// What is another's too, and can be lived with.
    shared: Vec<String>,
}

impl Claims {
    /// Takes all that `config` names, before anything of it is touched.
    ///
    /// # Errors
    /// What is another instance's, and whose.
    pub(crate) fn take(config: &Config) -> Result<Self, DaemonError> {
        let mut claims = Self::default();
        for (key, folder) in [("paths.run", &config.paths.run), ("paths.journal", &config.paths.journal)] {
            fs::create_dir_all(folder).map_err(DaemonError::io(format!("making the folder {}", folder.display())))?;
            if let Some(holder) = claims.claim(folder) {
                return Err(taken(key, &folder.display().to_string(), &holder));
            }
        }
        if config.port.kind == PortKind::Xdp {
            let interface = &config.port.interface;
            for queue in &config.port.queues {
                let folder = PathBuf::from(format!("/sys/class/net/{interface}/queues/rx-{queue}"));
                if let Some(holder) = claims.claim(&folder) {
                    return Err(taken("port.queues", &format!("queue {queue} of {interface}"), &holder));
                }
            }
        }
        let (core, is_named) = match config.run_loop.core {
            Core::Number(core) => (Some(usize::from(core)), true),
            Core::Auto => (tern_hw::pin::allowed_cores().last().copied(), false),
            Core::None => (None, false),
        };
        if let Some(core) = core
            && let Some(holder) = claims.claim(Path::new(&format!("/sys/devices/system/cpu/cpu{core}")))
        {
            if is_named {
                return Err(taken("loop.core", &format!("core {core}"), &holder));
            }
            claims
                .shared
                .push(format!("the loop shares core {core} with another instance ({holder}): give each its loop.core"));
        }
        Ok(claims)
    }

    /// What is another's too.
    pub(crate) fn shared(&self) -> &[String] {
        &self.shared
    }

    /// Claims a folder; who has it instead. One that is not there, or on a file system without locks, cannot be claimed: it is
    /// refused by whoever needs it.
    fn claim(&mut self, folder: &Path) -> Option<String> {
        let file = File::open(folder).ok()?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => {
                    self.held.push(file);
                    return None;
                }
                // It may be somebody who only asks whether anybody lives there.
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => {
                    tracing::debug!("{}: cannot be claimed: {error}", folder.display());
                    return None;
                }
            }
        }
        Some(holder_of(&file))
    }
}

fn taken(key: &str, what: &str, holder: &str) -> DaemonError {
    DaemonError::Taken { key: key.into(), what: what.into(), holder: holder.into() }
}

/// Whether the instance with this run folder lives: its daemon, which has the folder locked, or its data plane, which outlives the
/// daemon. What cannot be told counts as alive: it is not for others to clear.
pub(crate) fn lives(run: &Path) -> bool {
    let Ok(folder) = File::open(run) else { return run.exists() };
    // Asked of the lock itself: the table of locks has none of other process namespaces. Whoever claims it meanwhile tries again.
    if folder.try_lock_shared().is_err() {
        return true;
    }
    drop(folder);
    let paths = Paths { run: run.into(), ..Paths::default() };
    let Some(pid) = fs::read_to_string(paths.dataplane_pid()).ok().and_then(|text| text.trim().parse().ok()) else {
        return false;
    };
    // Its number may be another's by now: all that a daemon starts is told a configuration.
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    Process::find(pid).is_some() && arguments.split(|byte| *byte == 0).any(|argument| argument == b"--config")
}

/// Who has the lock on a file, as /proc says.
fn holder_of(file: &File) -> String {
    let unknown = || "whose process is not seen from here".to_owned();
    let Ok(facts) = file.metadata() else { return unknown() };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let Some(pid) = pid_in(&locks, facts.dev(), facts.ino()) else { return unknown() };
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
    format!("pid {pid}: {}", arguments.trim_end())
}

/// The process with a flock(2) on the inode: `1: FLOCK ADVISORY WRITE 4711 fe:00:5678 0 EOF`. Other devices have inodes with the same
/// number; some file systems tell stat(2) a device that the table of locks does not have, and then the number has to be the only one.
fn pid_in(locks: &str, device: u64, inode: u64) -> Option<u32> {
    let place = |text: &str| {
        let (of, number) = text.rsplit_once(':')?;
        let (major, minor) = of.split_once(':')?;
        let device = nix::libc::makedev(u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
        Some((device, number.parse::<u64>().ok()?))
    };
    let fields = locks.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let held: Vec<(u64, u32)> = fields
        .filter(|fields| fields.get(1) == Some(&"FLOCK"))
        .filter_map(|fields| Some((place(fields.get(5)?)?, fields.get(4)?.parse().ok()?)))
        .filter(|((_, number), _)| *number == inode)
        .map(|((of, _), pid)| (of, pid))
        .collect();
    let of_device = held.iter().find(|(of, _)| *of == device);
    let only = held.first().filter(|_| held.len() == 1);
    of_device.or(only).map(|(_, pid)| *pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_claimed_once_by_whom_is_said_and_it_is_free_again_afterwards() {
        let folder = std::env::temp_dir().join(format!("tern-claims-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let (mut one, mut other) = (Claims::default(), Claims::default());
        assert_eq!(one.claim(&folder), None);
        let holder = other.claim(&folder).expect("it is taken");
        assert!(holder.starts_with(&format!("pid {}: ", std::process::id())), "{holder}");
        drop(one);
        assert_eq!(other.claim(&folder), None);
        assert_eq!(other.claim(Path::new("/nonexistent")), None, "left to whoever needs it");
        fs::remove_dir(&folder).expect("it is empty");
    }

    #[test]
    fn an_instance_lives_while_its_daemon_or_its_data_plane_does() {
        let run = std::env::temp_dir().join(format!("tern-lives-{}", std::process::id()));
        assert!(!lives(&run), "there is no such folder");
        fs::create_dir_all(&run).expect("a folder");
        assert!(!lives(&run), "nobody has it");
        let mut daemon = Claims::default();
        assert_eq!(daemon.claim(&run), None);
        assert!(lives(&run));
        // Somebody who asks is not in the way of somebody who claims.
        let asks = File::open(&run).expect("a folder");
        drop(daemon);
        asks.try_lock_shared().expect("nobody has it");
        let asking = std::thread::spawn(move || {
            std::thread::sleep(PAUSE);
            drop(asks);
        });
        let mut daemon = Claims::default();
        assert_eq!(daemon.claim(&run), None);
        asking.join().expect("it ends");
        drop(daemon);
        assert!(!lives(&run));
        let paths = Paths { run: run.clone(), ..Paths::default() };
        fs::write(paths.dataplane_pid(), format!("{}\n", std::process::id())).expect("a file");
        assert!(!lives(&run), "this process was started without --config: the number is another's by now");
        let program = ["-c", "read line", "data plane", "--config", "x"];
        let mut child = std::process::Command::new("sh")
            .args(program)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("a shell starts");
        fs::write(paths.dataplane_pid(), format!("{}\n", child.id())).expect("a file");
        // Its arguments are seen a moment after it was started, and its end a moment after it was killed.
        let until = |wanted: bool, what: &str| {
            let begun = std::time::Instant::now();
            while lives(&run) != wanted {
                assert!(begun.elapsed().as_secs() < 10, "{what}");
                std::thread::yield_now();
            }
        };
        until(true, "the data plane outlives its daemon");
        child.kill().expect("it lives");
        until(false, "it is dead and waits for its parent");
        child.wait().expect("it is dead");
        assert!(!lives(&run));
        fs::remove_dir_all(&run).expect("a folder");
    }

    #[test]
    fn the_holder_of_a_lock_is_found_by_its_inode() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 fe:00:5678 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 fe:00:5678 0 EOF\n";
        let here = nix::libc::makedev(0xfe, 0);
        assert_eq!(
            (pid_in(locks, here, 5678), pid_in(locks, here, 678), pid_in("", here, 1)),
            (Some(4711), None, None)
        );
        assert_eq!(pid_in(locks, 99, 5678), Some(4711), "the only one");
        let both = format!("{locks}3: FLOCK  ADVISORY  WRITE 4712 08:11:5678 0 EOF\n4: FLOCK nonsense\n");
        let there = nix::libc::makedev(8, 0x11);
        assert_eq!([here, there, 99].map(|device| pid_in(&both, device, 5678)), [Some(4711), Some(4712), None]);
    }
}
