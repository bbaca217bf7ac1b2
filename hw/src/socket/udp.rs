//! `recvmmsg` into the port's buffers. All of the socket port's raw pointers are here.
#![allow(unsafe_code, reason = "recvmmsg takes pointers to the buffers it fills")]

use std::mem;
use std::os::fd::RawFd;
use std::ptr;

use tern_abi::steer::{FRAME_RECORD_BYTES, FrameRecord};
use zerocopy::IntoBytes;

use crate::port::{Frame, FrameBatch};
use crate::sys;

/// Datagrams that one call takes at most.
pub(super) const MESSAGES: usize = 64;
/// Room for the control message with the stamp: its header and a timespec, both multiples of 8 bytes.
const CONTROL_WORDS: usize = 4;

/// Reused between calls, so that none allocates.
pub(super) struct Receiver {
    headers: Box<[libc::mmsghdr; MESSAGES]>,
    vectors: Box<[libc::iovec; MESSAGES]>,
    control: Box<[[u64; CONTROL_WORDS]; MESSAGES]>,
    /// Kernel stamps are CLOCK_REALTIME.
    tai_minus_realtime_ns: i64,
    truncated: u64,
}

// SAFETY: the pointers inside are set anew by each call of `receive` and mean nothing between two.
unsafe impl Send for Receiver {}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Receiver").field("truncated", &self.truncated).finish_non_exhaustive()
    }
}

impl Receiver {
    /// Made before the process shuts itself in: the sandbox lets no adjtimex(2) through, and no further socket of this kind.
    pub(super) fn new() -> Self {
        // SAFETY: plain data with null pointers, for which zeroes are valid.
        let (header, vector): (libc::mmsghdr, libc::iovec) = unsafe { (mem::zeroed(), mem::zeroed()) };
        Self {
            headers: Box::new([header; MESSAGES]),
            vectors: Box::new([vector; MESSAGES]),
            control: Box::new([[0; CONTROL_WORDS]; MESSAGES]),
            tai_minus_realtime_ns: sys::tai_minus_realtime_ns(),
            truncated: 0,
        }
    }

    pub(super) fn truncated(&self) -> u64 {
        self.truncated
    }

    /// Takes up to `wanted` waiting datagrams of `socket` into buffers of `free`, and hands them to `batch`; returns
    /// how many. `wanted` is at most what is free and what the batch has room for.
    #[allow(clippy::too_many_arguments, reason = "the parts of the port, borrowed one by one")]
    pub(super) fn receive(
        &mut self,
        socket: RawFd,
        record: &FrameRecord,
        memory: &mut [u8],
        frame_size: usize,
        free: &mut Vec<u32>,
        wanted: usize,
        batch: &mut FrameBatch,
    ) -> usize {
        let wanted = wanted.min(MESSAGES).min(free.len());
        let first = free.len() - wanted;
        let memory_start = memory.as_mut_ptr();
        for (position, slot) in free[first..].iter().rev().enumerate() {
            let start = *slot as usize * frame_size + FRAME_RECORD_BYTES;
            assert!(start + frame_size - FRAME_RECORD_BYTES <= memory.len(), "a slot outside of the memory");
            self.vectors[position] = libc::iovec {
                // SAFETY: within the memory, as just checked.
                iov_base: unsafe { memory_start.add(start) }.cast(),
                iov_len: frame_size - FRAME_RECORD_BYTES,
            };
            let header = &mut self.headers[position].msg_hdr;
            header.msg_iov = &raw mut self.vectors[position];
            header.msg_iovlen = 1;
            header.msg_control = self.control[position].as_mut_ptr().cast();
            header.msg_controllen = mem::size_of_val(&self.control[position]);
            header.msg_flags = 0;
        }
        // SAFETY: as many headers as counted, each with one buffer inside of `memory` (borrowed mutably until the end of
        // this function; the slots are distinct, since they are free) and its own control buffer.
        let count = unsafe {
            libc::recvmmsg(socket, self.headers.as_mut_ptr(), wanted as u32, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        // An error is EAGAIN, or one of an ICMP message that the next call does not see again.
        let Ok(count) = usize::try_from(count) else { return 0 };

        let mut handed = 0;
        let mut dropped = [0u32; MESSAGES];
        let mut dropped_count = 0;
        for position in 0..count {
            let Some(slot) = free.pop() else { break };
            let header = &self.headers[position];
            let payload_bytes = header.msg_len as usize;
            let mut keep = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            self.truncated += u64::from(!keep);
            if keep {
                let record = FrameRecord {
                    payload_bytes: payload_bytes as u16,
                    arrival_tai_ns: self.arrival_tai_ns(position),
                    ..*record
                };
                let start = slot as usize * frame_size;
                memory[start..start + FRAME_RECORD_BYTES].copy_from_slice(record.as_bytes());
                let length_bytes = (FRAME_RECORD_BYTES + payload_bytes) as u32;
                keep = batch.push(Frame { index: slot, length_bytes }).is_ok();
                handed += usize::from(keep);
            }
            if !keep {
                dropped[dropped_count] = slot;
                dropped_count += 1;
            }
        }
        free.extend_from_slice(&dropped[..dropped_count]);
        handed
    }

    /// The kernel's stamp of a datagram (SCM_TIMESTAMPNS), as TAI; 0 when there is none.
    fn arrival_tai_ns(&self, position: usize) -> u64 {
        let header = &self.headers[position].msg_hdr;
        // SAFETY: the kernel filled the control buffer of this header, which this value owns.
        let first = unsafe { libc::CMSG_FIRSTHDR(header) };
        // SAFETY: null or the first control message, complete in the buffer.
        let Some(message) = (unsafe { first.as_ref() }) else { return 0 };
        if (message.cmsg_level, message.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
            return 0;
        }
        // SAFETY: a message of this type holds one timespec; read without assuming its alignment.
        let time: libc::timespec = unsafe { ptr::read_unaligned(libc::CMSG_DATA(first).cast()) };
        let realtime_ns = time.tv_sec * 1_000_000_000 + time.tv_nsec;
        u64::try_from(realtime_ns + self.tai_minus_realtime_ns).unwrap_or(0)
    }
}

/// Datagrams that the kernel dropped at this socket because its buffer was full: the count that SO_RXQ_OVFL attaches
/// to the next datagram, read without waiting for one.
pub(super) fn drops(socket: RawFd) -> u64 {
    /// Place of the drops among the words of SO_MEMINFO (`SK_MEMINFO_DROPS` of linux/sock_diag.h).
    const DROPS: usize = 8;
    const SO_MEMINFO: i32 = 55;
    let mut words = [0u32; DROPS + 1];
    match sys::option(socket, libc::SOL_SOCKET, SO_MEMINFO, &mut words) {
        Ok(_) => u64::from(words[DROPS]),
        Err(_) => 0,
    }
}
