//! A look at what the kernel gets of an interface: frames behind the XDP hook, so those that the program passed on and
//! none that it redirected. Packets that find no room in the tap's buffer are lost to it and to nobody else.
#![allow(unsafe_code, reason = "a packet socket's calls that have no safe form")]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use crate::sys;

/// Bytes of a frame that are looked at.
const LOOK_BYTES: usize = 512;

/// A packet socket on one interface (packet(7); needs CAP_NET_RAW).
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
    frame: Box<[u8; LOOK_BYTES]>,
}

/// A frame that the kernel got.
#[derive(Clone, Copy, Debug)]
pub struct Tapped<'t> {
    /// Its beginning; without the outermost VLAN tag, which the kernel takes off.
    pub bytes: &'t [u8],
    /// What the kernel took off: the tag's control word.
    pub outer_tag: Option<u16>,
}

impl Tap {
    /// Taps an interface of the calling thread's network namespace.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW; what else the kernel reported.
    pub fn open(interface: &str) -> io::Result<Self> {
        let index = sys::interface_index(interface)?;
        // Protocol 0 receives nothing until it is bound.
        let socket = sys::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        sys::set_option(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_AUXDATA, 1i32)?;
        // Before Linux 4.20 what the host sends comes too, and is told by its type.
        let _ = sys::set_option(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1i32);
        // SAFETY: plain data, for which zeroes are valid.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index as i32;
        let length = mem::size_of_val(&address) as u32;
        // SAFETY: an open socket, and an address with its length that outlive the call.
        sys::check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
        Ok(Self { socket, frame: Box::new([0; LOOK_BYTES]) })
    }

    /// The next frame that came in, if one waits.
    ///
    /// # Errors
    /// What the kernel reported, such as ENETDOWN when the interface goes down.
    pub fn take(&mut self) -> io::Result<Option<Tapped<'_>>> {
        loop {
            // SAFETY: plain data, for which zeroes are valid.
            let mut from: libc::sockaddr_ll = unsafe { mem::zeroed() };
            let mut control = [0u64; 16];
            let mut part = libc::iovec { iov_base: self.frame.as_mut_ptr().cast(), iov_len: LOOK_BYTES };
            // SAFETY: plain data, for which zeroes are valid.
            let mut message: libc::msghdr = unsafe { mem::zeroed() };
            message.msg_name = (&raw mut from).cast();
            message.msg_namelen = mem::size_of_val(&from) as u32;
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = mem::size_of_val(&control) as _;
            // SAFETY: an open socket, and buffers with their lengths that outlive the call.
            let count = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
            let Ok(count) = usize::try_from(count) else {
                let error = io::Error::last_os_error();
                return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
            };
            if from.sll_pkttype == libc::PACKET_OUTGOING {
                continue;
            }
            let outer_tag = outer_tag(&message);
            return Ok(self.frame.get(..count.min(LOOK_BYTES)).map(|bytes| Tapped { bytes, outer_tag }));
        }
    }
}

/// The tag that the kernel took off, out of the auxiliary data of a message that recvmsg(2) filled.
fn outer_tag(message: &libc::msghdr) -> Option<u16> {
    // SAFETY: a message that the kernel filled, whose control buffer is still there.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so it lies in the control buffer, as the one below does.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        if (level, kind) == (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
            // SAFETY: the kernel wrote this struct behind the header; read unaligned, as it may lie anywhere.
            let data: libc::tpacket_auxdata = unsafe { ptr::read_unaligned(libc::CMSG_DATA(header).cast()) };
            let has_tag = data.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
            return has_tag.then_some(data.tp_vlan_tci);
        }
        // SAFETY: as above.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}
