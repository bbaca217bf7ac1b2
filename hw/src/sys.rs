//! Small system calls that more than one room of this crate needs, behind safe functions.
#![allow(unsafe_code, reason = "system calls")]

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Descriptors that one [`poll_readable`] looks at, at most.
pub(crate) const POLL_MAX: usize = 64;

/// `result` of a system call, or the error behind its -1.
pub(crate) fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Opens a socket that is closed on exec.
pub(crate) fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: the call just returned this descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Index of an interface of this namespace.
pub(crate) fn interface_index(interface: &str) -> io::Result<u32> {
    let name = CString::new(interface).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: a terminated string that outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// MTU of an interface of this namespace, bytes. By ioctl, because /sys shows the namespace in which it was mounted.
pub(crate) fn interface_mtu(interface: &str) -> io::Result<u32> {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: plain data, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: an open socket and a writable request that outlive the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) })?;
    // SAFETY: SIOCGIFMTU filled this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_mtu } as u32)
}

/// Blocks until one of at most [`POLL_MAX`] descriptors is readable or `timeout_ns` passed.
pub(crate) fn poll_readable(descriptors: &[RawFd], timeout_ns: u64) -> io::Result<()> {
    let mut set = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; POLL_MAX];
    for (entry, fd) in set.iter_mut().zip(descriptors) {
        entry.fd = *fd;
    }
    let timeout = libc::timespec {
        tv_sec: (timeout_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
    };
    let count = descriptors.len().min(POLL_MAX) as libc::nfds_t;
    // SAFETY: as many entries as counted, a timeout, and no signal mask; all outlive the call.
    match check(unsafe { libc::ppoll(set.as_mut_ptr(), count, &raw const timeout, ptr::null()) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}
