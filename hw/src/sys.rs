//! Small system calls that more than one room of this crate needs, behind safe functions.
#![allow(unsafe_code, reason = "system calls")]

use std::ffi::CString;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use crate::clock::KernelClock;

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

/// A socket that sends whole frames on an interface of this namespace, and receives none.
pub(crate) fn packet_socket(interface: &str) -> io::Result<OwnedFd> {
    let index = interface_index(interface)?;
    let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
    // SAFETY: plain data, for which zeroes are valid.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index as i32;
    let length = mem::size_of_val(&address) as u32;
    // SAFETY: an open socket, and an address with its length that outlive the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
    Ok(socket)
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

/// Sets a socket option to a plain value.
pub(crate) fn set_option<T: Copy>(socket: RawFd, level: i32, name: i32, value: T) -> io::Result<()> {
    let length = mem::size_of::<T>() as u32;
    // SAFETY: a value with its length, which outlive the call.
    check(unsafe { libc::setsockopt(socket, level, name, (&raw const value).cast(), length) }).map(drop)
}

/// Reads a socket option into `value`, of which the kernel may fill a part; returns how many bytes it filled.
pub(crate) fn option<T: Copy>(socket: RawFd, level: i32, name: i32, value: &mut T) -> io::Result<usize> {
    let mut length = mem::size_of::<T>() as u32;
    // SAFETY: a writable value with its length, which outlive the call. Only used with structs of integers, for which
    // any bytes are valid.
    check(unsafe { libc::getsockopt(socket, level, name, (&raw mut *value).cast(), &raw mut length) })?;
    Ok(length as usize)
}

/// An IPv4 socket address as the kernel takes it.
pub(crate) fn socket_address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

/// Binds a socket.
pub(crate) fn bind(socket: RawFd, address: SocketAddrV4) -> io::Result<()> {
    let address = socket_address(address);
    // SAFETY: an address with its length, which outlive the call.
    check(unsafe { libc::bind(socket, (&raw const address).cast(), mem::size_of_val(&address) as u32) }).map(drop)
}

/// Starts to connect a socket.
pub(crate) fn connect(socket: RawFd, address: SocketAddrV4) -> io::Result<()> {
    let address = socket_address(address);
    // SAFETY: an address with its length, which outlive the call.
    check(unsafe { libc::connect(socket, (&raw const address).cast(), mem::size_of_val(&address) as u32) }).map(drop)
}

/// Joins or leaves (`IP_ADD_MEMBERSHIP`, `IP_DROP_MEMBERSHIP`) a group on an interface.
pub(crate) fn membership(socket: RawFd, option: i32, group: Ipv4Addr, interface_index: u32) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: u32::from(group).to_be() },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: interface_index as i32,
    };
    set_option(socket, libc::IPPROTO_IP, option, request)
}

/// Reads an integer that an ioctl fills.
pub(crate) fn ioctl_int(fd: RawFd, request: libc::Ioctl) -> io::Result<i32> {
    let mut value = 0i32;
    // SAFETY: the requests this is used with write one int.
    check(unsafe { libc::ioctl(fd, request, &raw mut value) })?;
    Ok(value)
}

/// CLOCK_TAI minus CLOCK_REALTIME, whole seconds in ns: 0 where nobody told the kernel the leap seconds.
pub(crate) fn tai_minus_realtime_ns() -> i64 {
    kernel_clock().tai_offset_ns
}

/// What the kernel says of its clock.
pub(crate) fn kernel_clock() -> KernelClock {
    // SAFETY: plain data, for which zeroes are valid: read, change nothing.
    let mut state: libc::timex = unsafe { mem::zeroed() };
    // SAFETY: a writable struct that outlives the call.
    let said = unsafe { libc::adjtimex(&raw mut state) };
    let unit_ns = if state.status & libc::STA_NANO != 0 { 1 } else { 1000 };
    KernelClock {
        is_synchronized: said >= 0 && said != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0,
        offset_ns: state.offset * unit_ns,
        max_error_ns: state.maxerror * 1000,
        tai_offset_ns: i64::from(state.tai) * 1_000_000_000,
    }
}

/// Sends bytes on a connected socket; returns how many the kernel took.
pub(crate) fn send(socket: RawFd, bytes: &[u8], flags: i32) -> io::Result<usize> {
    // SAFETY: bytes with their length, which outlive the call.
    let count = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Receives bytes from a connected socket; 0 is the end.
pub(crate) fn receive(socket: RawFd, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
    // SAFETY: a writable buffer with its length, which outlive the call.
    let count = unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// A descriptor of a process, by which others are taken from it (pidfd_open(2)).
pub(crate) fn process(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32)?;
    // SAFETY: the call just returned this descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor of ours for what descriptor `number` of a process stands for (pidfd_getfd(2)).
pub(crate) fn descriptor_of(process: &OwnedFd, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) } as i32)?;
    // SAFETY: the call just returned this descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Both addresses of a connected IPv4 socket; `None` of any other.
pub(crate) fn socket_ends(socket: RawFd) -> Option<(SocketAddrV4, SocketAddrV4)> {
    type Ask = unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut libc::socklen_t) -> i32;
    let ask = |ask: Ask| {
        // SAFETY: plain data, for which zeroes are valid.
        let mut address: libc::sockaddr_in = unsafe { mem::zeroed() };
        let mut length = mem::size_of_val(&address) as u32;
        // SAFETY: a writable address with its length, which outlive the call; a longer one is cut off.
        check(unsafe { ask(socket, (&raw mut address).cast(), &raw mut length) }).ok()?;
        let is_ipv4 = i32::from(address.sin_family) == libc::AF_INET;
        is_ipv4.then(|| SocketAddrV4::new(u32::from_be(address.sin_addr.s_addr).into(), u16::from_be(address.sin_port)))
    };
    Some((ask(libc::getsockname)?, ask(libc::getpeername)?))
}

/// Disconnects a TCP socket: the peer is sent a reset (connect(2) to AF_UNSPEC).
pub(crate) fn unconnect(socket: RawFd) -> io::Result<()> {
    // SAFETY: plain data, for which zeroes are valid: AF_UNSPEC is 0.
    let address: libc::sockaddr = unsafe { mem::zeroed() };
    // SAFETY: an address with its length, which outlive the call.
    check(unsafe { libc::connect(socket, &raw const address, mem::size_of_val(&address) as u32) }).map(drop)
}
