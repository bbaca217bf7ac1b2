//! The frame memory and the four rings of an AF_XDP socket, behind safe functions. All of the port's `unsafe` is here.
//!
//! Why it is sound: a [`Frame`] is made here alone, names one slot of this port's memory, and cannot be copied. A slot
//! is in exactly one place: with the caller (as a `Frame`), in a ring (the kernel's), or in one of the two lists below.
//! So memory is read or written here only while the caller holds its `Frame`, which is when the kernel has it not.
#![allow(unsafe_code, reason = "memory shared with the kernel, and the system calls of the socket")]

use std::io;
use std::mem;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use xsk_rs::config::{
    BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig, UmemConfigBuilder,
};
use xsk_rs::umem::frame::FrameDesc;
use xsk_rs::{CompQueue, FillQueue, RxQueue, Socket, TxQueue, Umem};

use super::{KERNEL_HEADROOM_BYTES, XdpConfig, XdpOpenError, bind_error};
use crate::port::{BATCH_FRAMES, Frame, FrameBatch, PortStatistics};

/// Bits of [`Frame::index`] that name the slot; the ones above name the port, so that another port's frame is outside
/// of every table.
const SLOT_BITS: u32 = 22;
/// Most ports that one process opens in its life.
const PORTS_MAX: u32 = 1 << (32 - SLOT_BITS);

/// The memory and rings of one queue.
#[derive(Debug)]
pub(super) struct Rings {
    /// The descriptor of each slot as the rings last gave it; slots below `rx_frames` are for reception.
    table: Box<[FrameDesc]>,
    rx_frames: u32,
    /// What [`Frame::index`] has above the slot.
    tag: u32,
    /// `log2` of the bytes of a slot.
    slot_shift: u32,
    rx: RxQueue,
    fill: FillQueue,
    tx: TxQueue,
    completion: CompQueue,
    /// Where the rings write descriptors before they go to the table.
    scratch: Box<[FrameDesc; BATCH_FRAMES]>,
    /// Released slots on their way back to the fill ring.
    to_fill: Vec<FrameDesc>,
    /// Received frames that the caller holds.
    lent: u32,
    /// Slots free for transmission, the hottest last.
    free: Vec<u32>,
    tx_ring: u32,
    /// Whether descriptors may still wait in the TX ring.
    kick_due: bool,
    backlog: usize,
    huge_pages: bool,
    rx_frame_count: u64,
    tx_frame_count: u64,
    tx_full_count: u64,
    kick_count: u64,
    umem: Umem,
}

impl Rings {
    /// Makes the memory, and a socket bound to the queue; all slots for reception wait in `to_fill`.
    pub(super) fn open(config: &XdpConfig, zero_copy: bool) -> Result<(Self, Option<String>), XdpOpenError> {
        static PORTS: AtomicU32 = AtomicU32::new(0);
        let slots = config.rx_frames.saturating_add(config.tx_frames);
        if slots >= 1 << SLOT_BITS {
            let reason = format!("with tx_frames at most {} frames", 1 << SLOT_BITS);
            return Err(XdpOpenError::Config { field: "rx_frames", value: config.rx_frames, reason });
        }
        let port = PORTS.fetch_add(1, Ordering::Relaxed);
        if port >= PORTS_MAX {
            let reason = "one process opens at most this many ports".into();
            return Err(XdpOpenError::Config { field: "ports", value: port, reason });
        }

        let (umem, descs, huge_pages, note) = make_umem(config, slots)?;
        let mut flags = BindFlags::XDP_USE_NEED_WAKEUP;
        flags |= if zero_copy { BindFlags::XDP_ZEROCOPY } else { BindFlags::XDP_COPY };
        let socket_config = SocketConfig::builder()
            .rx_queue_size(ring_size("rx_ring", config.rx_ring)?)
            .tx_queue_size(ring_size("tx_frames", config.tx_frames)?)
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(flags)
            .build();
        let interface: Interface = config.interface.parse().map_err(|_| XdpOpenError::Interface {
            interface: config.interface.clone(),
            error: io::Error::from(io::ErrorKind::InvalidInput),
        })?;
        // SAFETY: the memory is not shared with another socket, and no program is loaded.
        let opened = unsafe { Socket::new(socket_config, &umem, &interface, config.queue) };
        let (tx, rx, fill_and_completion) = opened.map_err(|error| bind_error(config, os_error(&error)))?;
        let Some((fill, completion)) = fill_and_completion else {
            return Err(bind_error(config, io::Error::other("the kernel gave no fill and completion ring")));
        };

        let to_fill = descs[..config.rx_frames as usize].to_vec();
        let rings = Self {
            table: descs.into(),
            rx_frames: config.rx_frames,
            tag: port << SLOT_BITS,
            slot_shift: config.frame_size_bytes.trailing_zeros(),
            rx,
            fill,
            tx,
            completion,
            scratch: Box::new([FrameDesc::default(); BATCH_FRAMES]),
            to_fill,
            lent: 0,
            free: (config.rx_frames..slots).rev().collect(),
            tx_ring: config.tx_frames,
            kick_due: false,
            backlog: 0,
            huge_pages,
            rx_frame_count: 0,
            tx_frame_count: 0,
            tx_full_count: 0,
            kick_count: 0,
            umem,
        };
        Ok((rings, note))
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.rx.fd().as_raw_fd()
    }

    pub(super) fn huge_pages(&self) -> bool {
        self.huge_pages
    }

    /// Asks the kernel whether it granted zero-copy.
    pub(super) fn zero_copy(&self) -> io::Result<bool> {
        let mut options = libc::xdp_options { flags: 0 };
        let mut length = mem::size_of_val(&options) as u32;
        // SAFETY: an open socket, and a writable struct with its length, which outlive the call.
        let result = unsafe {
            libc::getsockopt(
                self.raw_fd(),
                libc::SOL_XDP,
                libc::XDP_OPTIONS,
                (&raw mut options).cast(),
                &raw mut length,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0) }
    }

    /// The slot of a frame; out of every table when the frame is another port's.
    #[inline]
    fn slot(&self, frame: &Frame) -> usize {
        (frame.index ^ self.tag) as usize
    }

    #[inline]
    fn slot_of_address(&self, address: usize) -> usize {
        address >> self.slot_shift
    }

    /// Gives released slots back to the kernel.
    #[inline]
    pub(super) fn refill(&mut self) {
        if !self.to_fill.is_empty() {
            // SAFETY: these descriptors came from this port's rings, and nobody else holds their slots.
            let taken = unsafe { self.fill.produce(&self.to_fill) };
            // The ring has a place for every slot: it takes all or, were it ever short, none.
            if taken == self.to_fill.len() {
                self.to_fill.clear();
            } else {
                self.to_fill.drain(..taken);
            }
        }
        if self.fill.needs_wakeup() {
            // Only zero-copy drivers that found the ring empty ask for this.
            self.wake_receiver();
        }
    }

    #[cold]
    fn wake_receiver(&mut self) {
        self.kick_count += 1;
        // SAFETY: an open socket, and no buffer.
        unsafe {
            libc::recvfrom(self.raw_fd(), ptr::null_mut(), 0, libc::MSG_DONTWAIT, ptr::null_mut(), ptr::null_mut());
        }
    }

    #[inline]
    pub(super) fn receive(&mut self, batch: &mut FrameBatch) -> usize {
        self.refill();
        let room = batch.room();
        // SAFETY: the memory of this socket is this port's, and the descriptors go to the table at once.
        let count = unsafe { self.rx.consume(&mut self.scratch[..room]) };
        if count == 0 {
            self.backlog = 0;
            return 0;
        }
        self.lent += count as u32;
        for position in 0..count {
            let desc = self.scratch[position];
            let slot = self.slot_of_address(desc.addr());
            self.table[slot] = desc;
            let frame = Frame { index: slot as u32 | self.tag, length_bytes: desc.lengths().data() as u32 };
            if let Err(frame) = batch.push(frame) {
                // Cannot be: no more than the batch's room was asked for.
                self.release(frame);
            }
        }
        self.rx_frame_count += count as u64;
        self.backlog = self.rx.nb_avail_exact() as usize;
        count
    }

    #[inline]
    pub(super) fn backlog(&self) -> usize {
        self.backlog
    }

    #[inline]
    pub(super) fn bytes(&self, frame: &Frame) -> &[u8] {
        let desc = &self.table[self.slot(frame)];
        // SAFETY: the table's descriptors are of this memory, and the caller's frame keeps the slot from the kernel.
        unsafe { self.umem.data(desc) }.contents()
    }

    #[inline]
    pub(super) fn release(&mut self, frame: Frame) {
        let slot = self.slot(&frame);
        let desc = self.table[slot];
        if slot < self.rx_frames as usize {
            self.to_fill.push(desc);
            self.lent -= 1;
            // One write to the ring a batch: when its last frame comes back.
            if self.lent == 0 || self.to_fill.len() >= BATCH_FRAMES {
                self.refill();
            }
        } else {
            self.free.push(slot as u32);
        }
    }

    #[inline]
    pub(super) fn allocate(&mut self) -> Option<Frame> {
        if self.free.is_empty() {
            self.reap();
        }
        let Some(slot) = self.free.pop() else {
            self.tx_full_count += 1;
            return None;
        };
        let length_bytes = (1 << self.slot_shift) - KERNEL_HEADROOM_BYTES;
        Some(Frame { index: slot | self.tag, length_bytes })
    }

    #[inline]
    pub(super) fn bytes_mut<'a>(&'a mut self, frame: &'a mut Frame) -> &'a mut [u8] {
        let slot = self.slot(frame);
        // SAFETY: the table's descriptors are of this memory, and the caller's frame keeps the slot from the kernel.
        let mut data = unsafe { self.umem.data_mut(&mut self.table[slot]) };
        data.cursor().set_pos(frame.length_bytes as usize);
        let bytes = data.contents_mut();
        let (start, length) = (bytes.as_mut_ptr(), bytes.len());
        // SAFETY: the same bytes, for as long as both the port and the frame are borrowed.
        unsafe { slice::from_raw_parts_mut(start, length) }
    }

    #[inline]
    pub(super) fn submit(&mut self, frame: Frame, length_bytes: usize) -> Result<(), Frame> {
        let slot = self.slot(&frame);
        assert!(slot >= self.rx_frames as usize, "a received frame is given back by release, not by submit");
        let mut desc = self.table[slot];
        // SAFETY: as in `bytes_mut`; only the length is written.
        unsafe { self.umem.data_mut(&mut desc) }.cursor().set_pos(length_bytes);
        // SAFETY: the descriptor is of this memory, and the frame that kept its slot is consumed here.
        if unsafe { self.tx.produce_one(&desc) } == 0 {
            self.tx_full_count += 1;
            return Err(frame);
        }
        self.tx_frame_count += 1;
        self.kick_due = true;
        Ok(())
    }

    /// Takes back what the kernel has transmitted.
    #[inline]
    fn reap(&mut self) {
        loop {
            // SAFETY: the memory of this socket is this port's, and the slots go to the free list at once.
            let count = unsafe { self.completion.consume(&mut self.scratch[..]) };
            for position in 0..count {
                let slot = self.slot_of_address(self.scratch[position].addr());
                self.free.push(slot as u32);
            }
            if count < BATCH_FRAMES {
                return;
            }
        }
    }

    #[inline]
    pub(super) fn kick(&mut self) -> io::Result<()> {
        if !self.kick_due {
            return Ok(());
        }
        if self.tx.needs_wakeup() {
            self.kick_count += 1;
            // SAFETY: an open socket, and no buffer.
            let result = unsafe { libc::sendto(self.raw_fd(), ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
            if result < 0 {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS) => {}
                    _ => return Err(error),
                }
            }
        }
        // One call sends a bounded number; what is left waits for the next kick.
        self.kick_due = self.tx.nb_free_exact() < self.tx_ring;
        self.reap();
        Ok(())
    }

    pub(super) fn wait(&mut self, timeout_ns: u64) -> io::Result<()> {
        self.refill();
        crate::sys::poll_readable(&[self.raw_fd()], timeout_ns)
    }

    pub(super) fn statistics(&self) -> PortStatistics {
        let mut statistics = PortStatistics {
            rx_frames: self.rx_frame_count,
            tx_frames: self.tx_frame_count,
            tx_full: self.tx_full_count,
            kicks: self.kick_count,
            ..PortStatistics::default()
        };
        // A socket that answers getsockopt once (it did, at opening) answers always.
        if let Ok(kernel) = self.rx.fd().xdp_statistics() {
            statistics.rx_dropped = kernel.rx_dropped();
            statistics.rx_invalid_descs = kernel.rx_invalid_descs();
            statistics.tx_invalid_descs = kernel.tx_invalid_descs();
            statistics.rx_ring_full = kernel.rx_ring_full();
            statistics.rx_fill_ring_empty_descs = kernel.rx_fill_ring_empty_descs();
            statistics.tx_ring_empty_descs = kernel.tx_ring_empty_descs();
        }
        statistics
    }
}

/// The frame memory: on huge pages if asked for and possible, else on ordinary ones with the reason.
#[allow(clippy::type_complexity, reason = "a local step of open")]
fn make_umem(config: &XdpConfig, slots: u32) -> Result<(Umem, Vec<FrameDesc>, bool, Option<String>), XdpOpenError> {
    let unusable = |field, value, reason: String| XdpOpenError::Config { field, value, reason };
    let Some(count) = NonZeroU32::new(slots) else {
        return Err(unusable("rx_frames", config.rx_frames, "no frame at all".into()));
    };
    let frame_size = FrameSize::new(config.frame_size_bytes)
        .map_err(|error| unusable("frame_size_bytes", config.frame_size_bytes, error.to_string()))?;
    let umem_config: UmemConfig = UmemConfigBuilder::new()
        .frame_size(frame_size)
        .fill_queue_size(ring_size("rx_frames", config.rx_frames)?)
        .comp_queue_size(ring_size("tx_frames", config.tx_frames)?)
        .build()
        .map_err(|error| unusable("frame_size_bytes", config.frame_size_bytes, error.to_string()))?;
    let mut note = None;
    if config.huge_pages {
        // Whole pages, because the kernel unmaps nothing less; frames beyond `slots` are never used.
        let page_frames = huge_page_bytes().div_ceil(u64::from(config.frame_size_bytes)) as u32;
        match Umem::new(umem_config, count.saturating_add(page_frames - 1 - (slots - 1) % page_frames), true) {
            Ok((umem, mut descs)) => {
                descs.truncate(slots as usize);
                return Ok((umem, descs, true, None));
            }
            Err(error) => {
                let needed = slots.div_ceil(page_frames);
                let reason = os_error(&error);
                note = Some(format!("no huge pages for the frame memory ({reason}): HugePages_Free must be {needed}"));
            }
        }
    }
    match Umem::new(umem_config, count, false) {
        Ok((umem, descs)) => Ok((umem, descs, false, note)),
        Err(error) => Err(XdpOpenError::Memory {
            bytes: u64::from(slots) * u64::from(config.frame_size_bytes),
            error: os_error(&error),
        }),
    }
}

/// Size of the host's default huge page, bytes; 2 MiB if it does not say.
fn huge_page_bytes() -> u64 {
    let facts = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        facts.lines().find_map(|line| line.strip_prefix("Hugepagesize:")?.trim().strip_suffix(" kB")?.parse().ok());
    kib.map_or(2 << 20, |kib: u64| kib << 10)
}

fn ring_size(field: &'static str, value: u32) -> Result<QueueSize, XdpOpenError> {
    QueueSize::new(value).map_err(|error| XdpOpenError::Config { field, value, reason: error.to_string() })
}

/// The operating system's error inside of one of xsk-rs.
fn os_error(error: &(dyn std::error::Error + 'static)) -> io::Error {
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()).and_then(io::Error::raw_os_error) {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::other(error.to_string()),
    }
}
