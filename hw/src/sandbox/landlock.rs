//! Landlock (linux/landlock.h): what the calling thread may open from now on. What it has open it keeps.
#![allow(unsafe_code, reason = "system calls")]

use super::Reach;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// LANDLOCK_CREATE_RULESET_VERSION.
const ASK_VERSION: u32 = 1;
/// LANDLOCK_RULE_NET_PORT.
const RULE_NET_PORT: u32 = 2;
/// LANDLOCK_ACCESS_NET_BIND_TCP and LANDLOCK_ACCESS_NET_CONNECT_TCP.
const BIND_TCP: u64 = 1;
const CONNECT_TCP: u64 = 2;
/// LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET.
const ABSTRACT_SOCKETS: u64 = 1;

/// `struct landlock_ruleset_attr`; older kernels take a longer one whose rest is 0.
#[repr(C)]
#[derive(Default)]
struct Ruleset {
    files: u64,
    net: u64,
    scoped: u64,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
struct NetPort {
    allowed: u64,
    port: u64,
}

/// Version of the kernel's Landlock.
///
/// # Errors
/// Why there is none: ENOSYS where it was not built in (before Linux 5.13), EOPNOTSUPP where it was turned off at boot.
pub(super) fn version() -> io::Result<u32> {
    // SAFETY: with this flag the kernel wants neither attributes nor a size.
    let said = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, ASK_VERSION) };
    u32::try_from(said).map_err(|_| io::Error::last_os_error())
}

/// Every right to files that this version knows: handled, and none given.
fn file_rights(version: u32) -> u64 {
    let bits = match version {
        0 | 1 => 13,
        2 => 14,
        3 | 4 => 15,
        _ => 16,
    };
    (1 << bits) - 1
}

/// Denies the calling thread, and what it starts, every file, and of TCP all but what `reach` says.
///
/// # Errors
/// What the kernel reported.
pub(super) fn restrict(version: u32, reach: Reach) -> io::Result<()> {
    let attributes = Ruleset {
        files: file_rights(version),
        net: if version >= 4 { BIND_TCP | CONNECT_TCP } else { 0 },
        scoped: if version >= 6 { ABSTRACT_SOCKETS } else { 0 },
    };
    // SAFETY: attributes with their size, which outlive the call.
    let made =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attributes, size_of::<Ruleset>(), 0u32) };
    let descriptor = RawFd::try_from(made).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the call just returned this descriptor, which nothing else owns.
    let ruleset = unsafe { OwnedFd::from_raw_fd(descriptor) };
    if let (Reach::Tcp(venue), true) = (reach, version >= 4) {
        // The kernel chooses our port: that is a bind to 0.
        for rule in [NetPort { allowed: CONNECT_TCP, port: venue.into() }, NetPort { allowed: BIND_TCP, port: 0 }] {
            // SAFETY: an open ruleset and a rule of this kind, which outlive the call.
            let added = unsafe {
                libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), RULE_NET_PORT, &raw const rule, 0u32)
            };
            if added != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    // SAFETY: an open ruleset.
    match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0u32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
