//! What the data plane gives away once it has its sockets, its memory and its place in the scheduler.
#![allow(unsafe_code, reason = "system calls")]

use crate::sys::check;
use std::io;

/// `_LINUX_CAPABILITY_VERSION_3` of `linux/capability.h`.
const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// More capabilities than any kernel has; the kernel says EINVAL behind its last one.
const CAPABILITIES_MAX: libc::c_ulong = 64;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Drops every capability of the calling thread for good: bounding, ambient, inheritable, permitted and effective, and
/// forbids gaining new ones by exec. Threads that are started later have none either; call it before starting them.
///
/// # Errors
/// What the kernel reported. An unprivileged caller has nothing to drop: that is no error.
pub fn drop_capabilities() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    for capability in 0..CAPABILITIES_MAX {
        // SAFETY: no pointers.
        if let Err(error) = check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }) {
            match error.raw_os_error() {
                Some(libc::EINVAL | libc::EPERM) => break,
                _ => return Err(error),
            }
        }
    }
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) })?;
    let header = Header { version: CAPABILITY_VERSION, pid: 0 };
    let none = [Sets::default(); 2];
    // SAFETY: version 3 reads one header and two sets, which outlive the call.
    match unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the calling thread has any capability left.
///
/// # Errors
/// What the kernel reported.
pub fn has_capabilities() -> io::Result<bool> {
    let header = Header { version: CAPABILITY_VERSION, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: version 3 reads one header and writes two sets, which outlive the call.
    match unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) } {
        0 => Ok(sets.iter().any(|set| set.effective | set.permitted != 0)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_dropped_its_capabilities_has_none() {
        // In a thread of its own: capabilities are the thread's.
        std::thread::spawn(|| {
            drop_capabilities().expect("dropping is always allowed");
            assert!(!has_capabilities().expect("they can be read"));
        })
        .join()
        .expect("the thread ends well");
    }
}
