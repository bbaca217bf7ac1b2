//! A kernel TCP connection that never blocks, for ports without a TCP stack of their own.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::sys;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// The handshake is under way.
    Connecting,
    /// Bytes can be sent and received.
    Up,
}

/// What [`TcpLink::receive`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// This many bytes.
    Bytes(usize),
    /// Nothing waits.
    Nothing,
    /// The peer closed its side.
    End,
}

/// A non-blocking TCP connection with TCP_NODELAY. Dropping it closes it in order; [`TcpLink::reset`] does not.
#[derive(Debug)]
pub struct TcpLink {
    socket: OwnedFd,
    remote: SocketAddrV4,
    state: TcpState,
}

impl TcpLink {
    /// Starts to connect from `local` (or the address that the route gives) to `remote`, and returns at once.
    ///
    /// # Errors
    /// What can be known at once, such as ENETUNREACH or EADDRNOTAVAIL.
    pub fn connect(local: Option<Ipv4Addr>, remote: SocketAddrV4) -> io::Result<Self> {
        let described = |step: &str, error: io::Error| {
            io::Error::new(error.kind(), format!("{step} for the connection to {remote}: {error}"))
        };
        let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
        let fd = socket.as_raw_fd();
        sys::set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1i32)?;
        if let Some(local) = local {
            sys::bind(fd, SocketAddrV4::new(local, 0)).map_err(|error| described("binding", error))?;
        }
        let state = match sys::connect(fd, remote) {
            Ok(()) => TcpState::Up,
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => TcpState::Connecting,
            Err(error) => return Err(described("connecting", error)),
        };
        Ok(Self { socket, remote, state })
    }

    /// Whom it connects to.
    pub fn remote(&self) -> SocketAddrV4 {
        self.remote
    }

    /// From where it connects: what the kernel chose. `None` before it is up.
    pub fn local(&self) -> Option<SocketAddrV4> {
        sys::socket_ends(self.socket.as_raw_fd()).map(|(own, _)| own)
    }

    /// How far the connection is, after looking whether the handshake ended.
    ///
    /// # Errors
    /// Why the connection failed, such as ECONNREFUSED or ETIMEDOUT.
    pub fn poll(&mut self) -> io::Result<TcpState> {
        if self.state == TcpState::Connecting {
            // A second connect tells how the first one fares, and is EISCONN once it succeeded.
            match sys::connect(self.socket.as_raw_fd(), self.remote) {
                Ok(()) => self.state = TcpState::Up,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EISCONN) => self.state = TcpState::Up,
                    Some(libc::EALREADY | libc::EINPROGRESS) => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(self.state)
    }

    /// Hands `bytes` to the kernel; returns how many it took, 0 when its buffer is full. Ask
    /// [`TcpLink::unsent_bytes`] before: the kernel takes far more than the peer does.
    ///
    /// # Errors
    /// Why the connection is gone, such as ECONNRESET or EPIPE.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match sys::send(self.socket.as_raw_fd(), bytes, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) {
            Err(error) if would_block(&error) => Ok(0),
            outcome => outcome,
        }
    }

    /// Takes what waits.
    ///
    /// # Errors
    /// Why the connection is gone, such as ECONNRESET.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        match sys::receive(self.socket.as_raw_fd(), buffer, libc::MSG_DONTWAIT) {
            Ok(0) if !buffer.is_empty() => Ok(Received::End),
            Ok(0) => Ok(Received::Nothing),
            Ok(count) => Ok(Received::Bytes(count)),
            Err(error) if would_block(&error) => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Bytes that the kernel took and has not yet put on the wire (SIOCOUTQNSD): above 0 after a send means that the
    /// peer's window is closed or the network slow, and another order would only queue.
    ///
    /// # Errors
    /// What the kernel reported.
    pub fn unsent_bytes(&self) -> io::Result<usize> {
        // SIOCOUTQNSD of linux/sockios.h, which the libc crate lacks.
        const SIOCOUTQNSD: libc::Ioctl = 0x894b;
        sys::ioctl_int(self.socket.as_raw_fd(), SIOCOUTQNSD).map(|bytes| usize::try_from(bytes).unwrap_or(0))
    }

    /// Bytes that the kernel took and the peer has not acknowledged, sent or not (SIOCOUTQ).
    ///
    /// # Errors
    /// What the kernel reported.
    pub fn unacknowledged_bytes(&self) -> io::Result<usize> {
        sys::ioctl_int(self.socket.as_raw_fd(), libc::TIOCOUTQ).map(|bytes| usize::try_from(bytes).unwrap_or(0))
    }

    /// Drops the connection by a reset: what the kernel has not sent yet is never sent.
    ///
    /// # Errors
    /// What the kernel reported; the connection is closed all the same.
    pub fn reset(self) -> io::Result<()> {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        sys::set_option(self.socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, linger)
    }
}

impl AsFd for TcpLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
