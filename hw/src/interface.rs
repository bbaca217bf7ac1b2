//! Facts of a network interface in the namespace of the calling thread. By ioctl, because /sys shows the namespace in
//! which it was mounted.
#![allow(unsafe_code, reason = "system calls")]

use crate::sys;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;

/// The MAC address of an interface.
///
/// # Errors
/// What the kernel reported (ENODEV: no such interface), or `InvalidInput` for a name that is too long and for an
/// interface that is no Ethernet.
pub fn mac_address(interface: &str) -> io::Result<[u8; 6]> {
    let socket = sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: plain data, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: an open socket and a writable request that outlive the call.
    sys::check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) })?;
    // SAFETY: SIOCGIFHWADDR filled this member of the union.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    if !matches!(address.sa_family, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{interface} is no Ethernet interface")));
    }
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(address.sa_data) {
        *to = from as u8;
    }
    Ok(mac)
}

/// `struct ethtool_channels` of linux/ethtool.h, which the libc crate lacks.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    rx_max: u32,
    tx_max: u32,
    other_max: u32,
    combined_max: u32,
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

/// RX queues of an interface that are in use.
///
/// # Errors
/// EOPNOTSUPP where the driver does not say; what else the kernel reported.
pub fn rx_queues(interface: &str) -> io::Result<u32> {
    const ETHTOOL_GCHANNELS: u32 = 0x3c;
    let socket = sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut channels = Channels { command: ETHTOOL_GCHANNELS, ..Channels::default() };
    // SAFETY: plain data, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut channels).cast();
    // SAFETY: an open socket, and a request whose pointer is to a struct of the layout that this command fills; all
    // outlive the call.
    sys::check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) })?;
    Ok(channels.rx.saturating_add(channels.combined))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_an_address_of_zeroes_and_an_unknown_interface_is_an_error() {
        assert_eq!(mac_address("lo").expect("lo exists"), [0; 6]);
        assert_eq!(mac_address("no-such-if0").expect_err("no such interface").raw_os_error(), Some(libc::ENODEV));
        assert!(mac_address("a-name-that-is-too-long").is_err());
        assert!(rx_queues("no-such-if0").is_err() && rx_queues("a-name-that-is-too-long").is_err());
    }
}
