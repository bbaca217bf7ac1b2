//! Who has which role: a lock on one byte of the file each.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// What a process does with the file, by the byte that it locks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    DataPlane = 0,
    Daemon = 1,
    Maker = 2,
}

impl Role {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::DataPlane => "data plane",
            Self::Daemon => "daemon",
            Self::Maker => "maker",
        }
    }
}

/// Byte `role` of the file. OFD locks belong to the open file: they end with the process and do not mind threads.
fn lock_range(role: Role) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: role as libc::off_t,
        l_len: 1,
        l_pid: 0,
    }
}

/// Takes the lock of `role`, or says that another has it.
pub(super) fn lock(file: &File, role: Role, wait: bool) -> io::Result<bool> {
    let command = if wait { libc::F_OFD_SETLKW } else { libc::F_OFD_SETLK };
    loop {
        // SAFETY: an open file and a struct of the right type.
        if unsafe { libc::fcntl(file.as_raw_fd(), command, &lock_range(role)) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN | libc::EACCES) => return Ok(false),
            _ => return Err(error),
        }
    }
}

/// Whether another open file has the lock of `role`.
pub(super) fn is_locked(file: &File, role: Role) -> io::Result<bool> {
    let mut range = lock_range(role);
    // SAFETY: an open file and a struct of the right type, which the kernel fills.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut range) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(range.l_type != libc::F_UNLCK as libc::c_short)
}
