//! Ends a connection of the kernel's from outside, for a loop that does not turn any more: its socket is destroyed, so that the
//! kernel resets the connection, whatever the process does and however much waits to be sent.
//!
//! First by SOCK_DESTROY (sock_diag(7), linux/sock_diag.h; needs CONFIG_INET_DIAG_DESTROY and CAP_NET_ADMIN). Where the kernel
//! lacks that or does not let us, through the process's own descriptor (pidfd_getfd(2), Linux 5.6; needs the right to trace the
//! process) with connect(2) to AF_UNSPEC, which resets a TCP connection too.

use crate::sys;
use std::fs;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd};
use tern_abi::segment::ConnState;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// SOCK_DESTROY of linux/sock_diag.h, which the libc crate lacks.
const SOCK_DESTROY: u16 = 21;
/// INET_DIAG_NOCOOKIE of linux/inet_diag.h: whatever socket has these addresses.
const NO_COOKIE: u32 = u32::MAX;

/// `struct nlmsghdr` and `struct inet_diag_req_v2`, addresses in the order of the wire.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Request {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    family: u8,
    protocol: u8,
    extensions: u8,
    padding: u8,
    states: u32,
    own_port: [u8; 2],
    peer_port: [u8; 2],
    own_ip: [u8; 16],
    peer_ip: [u8; 16],
    interface: u32,
    cookie: [u32; 2],
}

impl Request {
    fn new(own: SocketAddrV4, peer: SocketAddrV4) -> Self {
        let padded = |address: SocketAddrV4| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.ip().octets());
            bytes
        };
        Self {
            length: size_of::<Self>() as u32,
            kind: SOCK_DESTROY,
            flags: (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16,
            sequence: 1,
            port: 0,
            family: libc::AF_INET as u8,
            protocol: libc::IPPROTO_TCP as u8,
            extensions: 0,
            padding: 0,
            states: u32::MAX,
            own_port: own.port().to_be_bytes(),
            peer_port: peer.port().to_be_bytes(),
            own_ip: padded(own),
            peer_ip: padded(peer),
            interface: 0,
            cookie: [NO_COOKIE; 2],
        }
    }
}

/// The two ends of a connection, as the segment knows them.
pub(crate) fn ends(state: &ConnState) -> (SocketAddrV4, SocketAddrV4) {
    (SocketAddrV4::new(state.own_ip.into(), state.own_port), SocketAddrV4::new(state.peer_ip.into(), state.peer_port))
}

/// Has the kernel destroy the socket from `own` to `peer` of this network namespace; `false`: there is none.
///
/// # Errors
/// EOPNOTSUPP where the kernel is built without it, EPERM without CAP_NET_ADMIN, and what else it reported.
pub fn destroy(own: SocketAddrV4, peer: SocketAddrV4) -> io::Result<bool> {
    let socket = sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_SOCK_DIAG)?;
    // A kernel that does not answer must not keep a kill waiting.
    let patience = libc::timeval { tv_sec: 1, tv_usec: 0 };
    sys::set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, patience)?;
    sys::send(socket.as_raw_fd(), Request::new(own, peer).as_bytes(), 0)?;
    let mut answer = [0; 512];
    let length = sys::receive(socket.as_raw_fd(), &mut answer, 0)?;
    verdict(&answer[..length])
}

/// What an answer (`struct nlmsgerr` behind its header) says.
fn verdict(answer: &[u8]) -> io::Result<bool> {
    const HEADER_BYTES: usize = 16;
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(HEADER_BYTES..HEADER_BYTES + 4).and_then(|bytes| bytes.try_into().ok());
    match (kind.map(i32::from), code.map(i32::from_ne_bytes)) {
        (Some(libc::NLMSG_ERROR), Some(0)) => Ok(true),
        (Some(libc::NLMSG_ERROR), Some(code)) if -code == libc::ENOENT => Ok(false),
        (Some(libc::NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is no answer")),
    }
}

/// Disconnects the socket from `own` to `peer` of process `pid` through a descriptor of its; `false`: it has none.
///
/// # Errors
/// EPERM where we may not trace the process, ENOSYS before Linux 5.6, and what else the kernel reported.
pub fn disconnect(pid: u32, own: SocketAddrV4, peer: SocketAddrV4) -> io::Result<bool> {
    let process = sys::process(pid)?;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // Descriptors come and go in a process that is not stuck after all.
        let is_socket =
            fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
        let Some(number) = number.filter(|_| is_socket) else { continue };
        let socket: OwnedFd = sys::descriptor_of(&process, number)?;
        if sys::socket_ends(socket.as_raw_fd()) == Some((own, peer)) {
            sys::unconnect(socket.as_raw_fd())?;
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

    fn v4(address: io::Result<SocketAddr>) -> SocketAddrV4 {
        match address.expect("an address") {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(_) => panic!("only IPv4 here"),
        }
    }

    /// A connection over loopback: our end, the venue's, and the two addresses.
    fn connection() -> (TcpStream, TcpStream, SocketAddrV4, SocketAddrV4) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let ours = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        let (theirs, _) = listener.accept().expect("accepts");
        let ends = (v4(ours.local_addr()), v4(ours.peer_addr()));
        (ours, theirs, ends.0, ends.1)
    }

    /// The other side is reset: it is told at once, and nothing that waited is sent.
    fn is_reset(mut theirs: &TcpStream) -> bool {
        let patience = Some(std::time::Duration::from_secs(5));
        theirs.set_read_timeout(patience).expect("a timeout");
        theirs.read(&mut [0; 8]).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    }

    #[test]
    fn a_request_is_as_long_as_the_kernel_wants_it() {
        assert_eq!(size_of::<Request>(), 16 + 56);
        let own = SocketAddrV4::new([10, 77, 0, 2].into(), 49152);
        let bytes = Request::new(own, SocketAddrV4::new([10, 77, 0, 1].into(), 9000));
        let bytes = bytes.as_bytes();
        assert_eq!((&bytes[24..28], &bytes[28..32]), (&[192, 0, 0x23, 0x28][..], &[10, 77, 0, 2][..]));
        assert_eq!((&bytes[44..48], &bytes[64..72]), (&[10, 77, 0, 1][..], &[0xFF; 8][..]));
    }

    #[test]
    fn answers_say_what_the_kernel_did() {
        let answer = |kind: u16, code: i32| {
            let mut bytes = [0; 36];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[16..20].copy_from_slice(&code.to_ne_bytes());
            verdict(&bytes).map_err(|error| error.raw_os_error())
        };
        assert_eq!((answer(2, 0), answer(2, -libc::ENOENT)), (Ok(true), Ok(false)));
        assert_eq!(answer(2, -libc::EOPNOTSUPP), Err(Some(libc::EOPNOTSUPP)));
        assert_eq!((answer(3, 0), verdict(&[]).is_err()), (Err(None), true));
    }

    #[test]
    fn a_destroyed_socket_resets_its_connection() {
        let (mut ours, theirs, own, peer) = connection();
        match destroy(own, peer) {
            Ok(found) => {
                assert!(found && is_reset(&theirs));
                assert!(ours.write(b"order").is_err(), "the process has a dead socket");
                assert!(!destroy(own, peer).expect("asked again"), "gone");
            }
            Err(error) => println!("SKIP: SOCK_DESTROY: {error}"),
        }
    }

    #[test]
    fn through_the_descriptor_of_the_process_the_connection_is_reset_too() {
        let (ours, theirs, own, peer) = connection();
        match disconnect(std::process::id(), own, peer) {
            Ok(found) => {
                assert!(found && is_reset(&theirs));
                assert!(ours.peer_addr().is_err(), "not connected any more");
                assert!(!disconnect(std::process::id(), own, peer).expect("asked again"));
            }
            Err(error) => println!("SKIP: pidfd_getfd: {error}"),
        }
    }
}
