//! One at a time changes what instances share on a host: the bpffs, its pins, and entries with places of several instances.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::SteerError;

/// A change takes milliseconds; a bpffs that nobody lets go of for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// Held while something shared is looked at and changed. The kernel lets go of it with the process.
#[derive(Debug)]
pub(crate) struct SteerLock {
    _folder: File,
}

impl SteerLock {
    /// Waits for the lock: one on the folder in which `bpffs` is, for the bpffs itself comes and goes with what is pinned there.
    ///
    /// # Errors
    /// [`SteerError::Path`], also when another process does not let go.
    pub(crate) fn take(bpffs: &Path) -> Result<Self, SteerError> {
        let folder: PathBuf = match bpffs.parent() {
            Some(parent) if parent != Path::new("") => parent.into(),
            _ => ".".into(),
        };
        let failed = |operation, error| SteerError::Path { operation, path: folder.clone(), error };
        fs::create_dir_all(&folder).map_err(|error| failed("creating", error))?;
        let file = File::open(&folder).map_err(|error| failed("opening", error))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _folder: file }),
                Err(TryLockError::Error(error)) => return Err(failed("locking", error)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    let why = "another process has held the lock for 10 s: `grep FLOCK /proc/locks` says which";
                    return Err(failed("locking", io::Error::other(why)));
                }
            }
        }
    }
}
