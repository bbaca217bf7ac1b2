//! A raw packet socket on one interface: what a test sends and captures with.

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

const ALL_PROTOCOLS: u16 = (libc::ETH_P_ALL as u16).to_be();

/// An AF_PACKET socket bound to an interface; it captures incoming frames only.
#[derive(Debug)]
pub struct RawSocket {
    socket: OwnedFd,
}

impl RawSocket {
    /// Opens one on `interface` of the calling thread's namespace.
    ///
    /// # Errors
    /// What the kernel reported.
    pub fn open(interface: &str) -> io::Result<Self> {
        let name = CString::new(interface).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: a terminated string that outlives the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: no pointers.
        let fd =
            unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, i32::from(ALL_PROTOCOLS)) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call just returned this descriptor, which nothing else owns.
        let socket = Self { socket: unsafe { OwnedFd::from_raw_fd(fd) } };
        // SAFETY: plain data, for which zeroes are valid.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ALL_PROTOCOLS;
        address.sll_ifindex = index as i32;
        let length = mem::size_of_val(&address) as u32;
        // SAFETY: an address with its length, which outlive the call.
        check(unsafe { libc::bind(fd, (&raw const address).cast(), length) } as isize)?;
        socket.set_option(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        socket.set_option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 64 << 20)?;
        Ok(socket)
    }

    fn set_option(&self, level: i32, name: i32, value: i32) -> io::Result<()> {
        let length = mem::size_of_val(&value) as u32;
        // SAFETY: a value with its length, which outlive the call.
        check(unsafe { libc::setsockopt(self.socket.as_raw_fd(), level, name, (&raw const value).cast(), length) }
            as isize)
        .map(drop)
    }

    /// Sends one Ethernet frame.
    ///
    /// # Errors
    /// What the kernel reported, such as ENOBUFS.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: bytes with their length, which outlive the call.
        let sent = check(unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) })?;
        if sent == frame.len() { Ok(()) } else { Err(io::Error::other("the kernel sent a part of the frame")) }
    }

    /// The next captured frame for which `wanted` holds, or `None` after `timeout`.
    ///
    /// # Errors
    /// What the kernel reported.
    pub fn receive(&self, timeout: Duration, wanted: impl Fn(&[u8]) -> bool) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + timeout;
        let mut buffer = vec![0; 65_536];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut poll = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one pollfd, which outlives the call.
            let ready = unsafe { libc::poll(&raw mut poll, 1, left.as_millis().min(60_000) as i32) };
            if ready == 0 && Instant::now() >= deadline {
                return Ok(None);
            }
            if ready <= 0 {
                continue;
            }
            // SAFETY: a writable buffer with its length, which outlive the call.
            let length = check(unsafe {
                libc::recv(self.socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
            })?;
            if wanted(&buffer[..length]) {
                return Ok(Some(buffer[..length].to_vec()));
            }
        }
    }
}

fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
