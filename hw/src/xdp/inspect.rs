//! AF_XDP sockets of another process, looked at without it: through descriptors of its own (pidfd_getfd(2), Linux 5.6; needs
//! the right to trace the process) the kernel answers for the socket, and the heads of the four rings are mapped to be read.
//! Nothing is written, and the loop does not notice.
#![allow(unsafe_code, reason = "memory shared with the kernel and another process")]

use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use tern_abi::counter_enum;

use crate::sys::{self, option};

counter_enum! {
    /// `struct xdp_statistics` of linux/if_xdp.h, in its order.
    pub enum XdpStatistic {
        RxDropped = "rx_dropped": "Frames dropped for other reasons than the ones below; in copy mode also those for which no buffer was offered.",
        RxInvalidDescs = "rx_invalid_descs": "Bad descriptors in the fill ring: a fault of the program.",
        TxInvalidDescs = "tx_invalid_descs": "Bad descriptors in the TX ring: a fault of the program.",
        RxRingFull = "rx_ring_full": "Frames dropped because the RX ring was full: the loop did not come in time.",
        RxFillRingEmptyDescs = "rx_fill_ring_empty_descs": "Times that no buffer was offered in the fill ring: a burst longer than port.ring_frames, or a loop that does not turn.",
        TxRingEmptyDescs = "tx_ring_empty_descs": "Times that the kernel looked for something to send and found nothing; no loss.",
    }
}

/// How full a ring is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingLevel {
    /// Descriptors that its consumer has not taken.
    pub used: u32,
    /// What the producer has written in all, modulo 2^32: two looks at it tell whether the ring moves.
    pub produced: u32,
}

/// The rings of a socket, and what the kernel says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketLook {
    /// Whether frames go without a copy.
    pub zero_copy: bool,
    /// By index of [`XdpStatistic`].
    pub statistics: [u64; XdpStatistic::COUNT],
    /// Buffers offered to the kernel.
    pub fill: RingLevel,
    /// Frames that wait for the loop.
    pub rx: RingLevel,
    /// Frames that wait for the kernel.
    pub tx: RingLevel,
    /// Buffers sent that the loop has not taken back.
    pub completion: RingLevel,
}

/// The AF_XDP sockets of process `pid`, in the order of their descriptors.
///
/// # Errors
/// EPERM where we may not trace the process, ENOSYS before Linux 5.6, and what else the kernel reported.
pub fn sockets_of(pid: u32) -> io::Result<Vec<SocketLook>> {
    let process = sys::process(pid)?;
    let mut numbers: Vec<i32> = fs::read_dir(format!("/proc/{pid}/fd"))?
        .filter_map(Result::ok)
        .filter(|entry| {
            fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(b"socket:"))
        })
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for number in numbers {
        let socket = match sys::descriptor_of(&process, number) {
            Ok(socket) => socket,
            // Closed since.
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => continue,
            Err(error) => return Err(error),
        };
        let mut family = 0i32;
        option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_DOMAIN, &mut family)?;
        // A process may have several descriptors of one socket.
        let mut cookie = 0u64;
        option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_COOKIE, &mut cookie)?;
        if family == libc::AF_XDP && !seen.contains(&cookie) {
            seen.push(cookie);
            found.push(look(&socket)?);
        }
    }
    Ok(found)
}

fn look(socket: &OwnedFd) -> io::Result<SocketLook> {
    let fd = socket.as_raw_fd();
    // SAFETY: plain data, for which zeroes are valid.
    let (mut offsets, mut counts, mut options): (libc::xdp_mmap_offsets, libc::xdp_statistics, libc::xdp_options) =
        unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
    option(fd, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS, &mut offsets)?;
    option(fd, libc::SOL_XDP, libc::XDP_STATISTICS, &mut counts)?;
    option(fd, libc::SOL_XDP, libc::XDP_OPTIONS, &mut options)?;
    Ok(SocketLook {
        zero_copy: options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0,
        statistics: [
            counts.rx_dropped,
            counts.rx_invalid_descs,
            counts.tx_invalid_descs,
            counts.rx_ring_full,
            counts.rx_fill_ring_empty_descs,
            counts.tx_ring_empty_descs,
        ],
        rx: level(fd, libc::XDP_PGOFF_RX_RING, &offsets.rx)?,
        tx: level(fd, libc::XDP_PGOFF_TX_RING, &offsets.tx)?,
        fill: level(fd, libc::XDP_UMEM_PGOFF_FILL_RING as libc::off_t, &offsets.fr)?,
        completion: level(fd, libc::XDP_UMEM_PGOFF_COMPLETION_RING as libc::off_t, &offsets.cr)?,
    })
}

/// Maps the first page of a ring, in which its two indices lie, and reads them. A ring that the socket does not have is empty.
fn level(fd: i32, ring: libc::off_t, offsets: &libc::xdp_ring_offset) -> io::Result<RingLevel> {
    const PAGE_BYTES: usize = 4096;
    let index_at = |offset: u64| usize::try_from(offset).ok().filter(|at| at + 4 <= PAGE_BYTES && at.is_multiple_of(4));
    let (Some(producer), Some(consumer)) = (index_at(offsets.producer), index_at(offsets.consumer)) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel lays its rings out in another way"));
    };
    // SAFETY: a new mapping, to be read; the kernel checks descriptor, offset and length.
    let page = unsafe { libc::mmap(ptr::null_mut(), PAGE_BYTES, libc::PROT_READ, libc::MAP_SHARED, fd, ring) };
    if page == libc::MAP_FAILED {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::EINVAL) { Ok(RingLevel::default()) } else { Err(error) };
    }
    // SAFETY: both lie in the page and are aligned (checked above); others write them, so they are read as atomics.
    let read = |at: usize| unsafe { (*page.cast::<u8>().add(at).cast::<AtomicU32>()).load(Ordering::Acquire) };
    // The consumer first: read later, it might be ahead of the producer.
    let (consumed, produced) = (read(consumer), read(producer));
    // SAFETY: the mapping made above, which nothing refers to any more.
    unsafe { libc::munmap(page, PAGE_BYTES) };
    Ok(RingLevel { used: produced.wrapping_sub(consumed), produced })
}
