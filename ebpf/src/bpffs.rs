//! The bpffs that holds the pins: mounted where it is missing, unmounted when it is empty.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::SteerError;
use crate::sys;

/// The system's own bpffs, which is never unmounted.
const SYSTEM_BPFFS: &str = "/sys/fs/bpf";

/// What kernels with CONFIG_BPF_PRELOAD put into every new bpffs.
const KERNEL_ENTRIES: [&str; 2] = ["maps.debug", "progs.debug"];

/// Whether `dir` lies on a bpffs.
///
/// # Errors
/// [`SteerError::Path`] when `dir` cannot be examined, other than for not existing.
pub fn is_bpffs(dir: &Path) -> Result<bool, SteerError> {
    match sys::file_system_magic(dir) {
        Ok(magic) => Ok(magic == libc::BPF_FS_MAGIC),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(SteerError::Path { operation: "examining", path: dir.into(), error }),
    }
}

/// Creates `dir` and mounts a bpffs on it, unless it lies on one already. Returns whether it mounted one.
///
/// # Errors
/// [`SteerError::Path`], naming what the kernel refused (mounting takes CAP_SYS_ADMIN).
pub fn ensure_bpffs(dir: &Path) -> Result<bool, SteerError> {
    if is_bpffs(dir)? {
        return Ok(false);
    }
    fs::create_dir_all(dir).map_err(|error| SteerError::Path { operation: "creating", path: dir.into(), error })?;
    sys::mount_bpffs(dir).map_err(|error| SteerError::Path {
        operation: "mounting a bpffs on",
        path: dir.into(),
        error,
    })?;
    Ok(true)
}

/// Unmounts the bpffs on `dir` and removes `dir`, if nothing is pinned there any more. The system's own bpffs, and
/// a folder inside of another bpffs, are never unmounted.
///
/// # Errors
/// [`SteerError::Path`] when the kernel refuses.
pub fn release_bpffs(dir: &Path) -> Result<(), SteerError> {
    let failed = |operation, error| SteerError::Path { operation, path: dir.into(), error };
    if dir == Path::new(SYSTEM_BPFFS) || !is_bpffs(dir)? {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(|error| failed("listing", error))? {
        let name = entry.map_err(|error| failed("listing", error))?.file_name();
        if !KERNEL_ENTRIES.iter().any(|kernel| name == *kernel) {
            return Ok(());
        }
    }
    match sys::unmount(dir) {
        Ok(()) => {}
        // Whoever mounted it for us, without whose rights we run, unmounts it.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(()),
        // Not a mount point: a folder that somebody made inside of a bpffs of theirs.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        Err(error) => return Err(failed("unmounting", error)),
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", error)),
        _ => Ok(()),
    }
}
