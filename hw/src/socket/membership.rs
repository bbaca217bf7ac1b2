//! Multicast joins without reception: an AF_XDP port takes the frames before the kernel sees them, but only the kernel
//! speaks IGMP, and without a join neither the NIC's filter nor the switch lets a group through.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::sys;

/// Groups joined on one interface, for as long as this lives. Nothing is received: the sockets have no port.
#[derive(Debug)]
pub struct Membership {
    interface: String,
    interface_index: u32,
    /// Several, because one socket joins 20 groups at most (`net.ipv4.igmp_max_memberships`).
    sockets: Vec<OwnedFd>,
    groups: Vec<(Ipv4Addr, usize)>,
}

impl Membership {
    /// No group yet, on an interface of the calling thread's network namespace.
    ///
    /// # Errors
    /// The interface does not exist.
    pub fn new(interface: &str) -> io::Result<Self> {
        let interface_index = sys::interface_index(interface)
            .map_err(|error| io::Error::new(error.kind(), format!("interface `{interface}`: {error}")))?;
        Ok(Self { interface: interface.into(), interface_index, sockets: Vec::new(), groups: Vec::new() })
    }

    /// Joins `group`: the kernel sends an IGMP report and repeats it when asked. Returns whether it was new.
    ///
    /// # Errors
    /// What the kernel reported, with the group and the interface.
    pub fn join(&mut self, group: Ipv4Addr) -> io::Result<bool> {
        if self.groups.iter().any(|(joined, _)| *joined == group) {
            return Ok(false);
        }
        let described = |error: io::Error| {
            io::Error::new(error.kind(), format!("joining {group} on `{}`: {error}", self.interface))
        };
        let join = |socket: &OwnedFd| {
            sys::membership(socket.as_raw_fd(), libc::IP_ADD_MEMBERSHIP, group, self.interface_index)
        };
        if let Some(last) = self.sockets.last() {
            match join(last) {
                Ok(()) => {
                    self.groups.push((group, self.sockets.len() - 1));
                    return Ok(true);
                }
                // This socket is full: take another.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) => return Err(described(error)),
            }
        }
        let socket = sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
        join(&socket).map_err(described)?;
        self.sockets.push(socket);
        self.groups.push((group, self.sockets.len() - 1));
        Ok(true)
    }

    /// Leaves `group`. Returns whether it was joined.
    ///
    /// # Errors
    /// What the kernel reported.
    pub fn leave(&mut self, group: Ipv4Addr) -> io::Result<bool> {
        let Some(position) = self.groups.iter().position(|(joined, _)| *joined == group) else { return Ok(false) };
        let (_, socket) = self.groups[position];
        sys::membership(self.sockets[socket].as_raw_fd(), libc::IP_DROP_MEMBERSHIP, group, self.interface_index)?;
        self.groups.swap_remove(position);
        Ok(true)
    }

    /// The joined groups.
    pub fn groups(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.groups.iter().map(|(group, _)| *group)
    }
}
