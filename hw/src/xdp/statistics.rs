//! The kernel's counters of an AF_XDP socket, read from another thread than the one that has the port: asking is a
//! system call, which the loop does not make.
#![allow(unsafe_code, reason = "a system call")]

use super::XdpPort;
use crate::port::PortStatistics;
use crate::sys::check;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// A second descriptor of the port's socket.
#[derive(Debug)]
pub struct StatisticsReader {
    socket: OwnedFd,
}

impl StatisticsReader {
    pub(super) fn new(port: &XdpPort) -> io::Result<Self> {
        // SAFETY: the port owns this descriptor and outlives the call.
        let socket = unsafe { BorrowedFd::borrow_raw(port.rings.raw_fd()) };
        Ok(Self { socket: socket.try_clone_to_owned()? })
    }

    /// The kernel's part of the statistics (`XDP_STATISTICS`); the port's own counters are 0.
    ///
    /// # Errors
    /// What the kernel reported.
    pub fn read(&self) -> io::Result<PortStatistics> {
        // SAFETY: plain data, for which zeroes are valid.
        let mut kernel: libc::xdp_statistics = unsafe { mem::zeroed() };
        let mut length = size_of_val(&kernel) as libc::socklen_t;
        // SAFETY: an open socket, and room for as many bytes as said; both outlive the call.
        check(unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_XDP,
                libc::XDP_STATISTICS,
                (&raw mut kernel).cast(),
                &raw mut length,
            )
        })?;
        Ok(PortStatistics {
            rx_dropped: kernel.rx_dropped,
            rx_invalid_descs: kernel.rx_invalid_descs,
            tx_invalid_descs: kernel.tx_invalid_descs,
            rx_ring_full: kernel.rx_ring_full,
            rx_fill_ring_empty_descs: kernel.rx_fill_ring_empty_descs,
            tx_ring_empty_descs: kernel.tx_ring_empty_descs,
            ..PortStatistics::default()
        })
    }
}
