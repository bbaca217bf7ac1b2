//! The port: where frames enter and leave the host, whatever carries them.
//!
//! A port hands out [`Frame`]s. A frame is owned: it is received or allocated once and given back exactly once, by
//! [`Port::release`] or [`Port::submit`]; it is neither `Copy` nor `Clone`, so the compiler holds that. What a received
//! frame holds starts with a [`tern_abi::steer::FrameRecord`], written by the XDP program or, for kernel sockets, by
//! the port itself (payload offset 0), so that everything above reads one layout.

use std::io;

/// Most frames that one [`Port::receive`] hands out.
pub const BATCH_FRAMES: usize = 64;

/// A frame of a port's memory: an index and a length, owned.
#[derive(Debug)]
#[must_use = "a frame that is not given back to its port is lost to it"]
pub struct Frame {
    /// Which buffer; meaningful to the port alone.
    pub(crate) index: u32,
    /// Valid bytes.
    pub(crate) length_bytes: u32,
}

impl Frame {
    /// Valid bytes in the frame, the record in front included.
    #[inline]
    pub fn len(&self) -> usize {
        self.length_bytes as usize
    }
    /// Whether the frame holds no byte.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length_bytes == 0
    }
}

/// What carries the frames, asked back from the kernel rather than assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortFacts {
    /// `"xdp"` or `"socket"`.
    pub kind: &'static str,
    /// `"native"`, `"generic"`, or `"none"` for sockets.
    pub attach_mode: &'static str,
    /// Whether the kernel granted zero-copy (`XDP_OPTIONS`); `false` for sockets.
    pub zero_copy: bool,
    /// Interface name.
    pub interface: String,
    /// RX queue index.
    pub queue: u32,
    /// Whether the frame memory lies on huge pages.
    pub huge_pages: bool,
}

/// The kernel's own counters for the port, by their kernel names, and the port's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStatistics {
    /// Frames handed to the caller.
    pub rx_frames: u64,
    /// Frames accepted for transmission.
    pub tx_frames: u64,
    /// Frames refused because no TX descriptor or buffer was free.
    pub tx_full: u64,
    /// `xdp_statistics.rx_dropped`: frames without a buffer (then `rx_fill_ring_empty_descs` says why) or too long for
    /// one. For sockets: datagrams too long for a buffer.
    pub rx_dropped: u64,
    /// `xdp_statistics.rx_invalid_descs`.
    pub rx_invalid_descs: u64,
    /// `xdp_statistics.tx_invalid_descs`.
    pub tx_invalid_descs: u64,
    /// `xdp_statistics.rx_ring_full`: frames that found no place in the RX ring.
    pub rx_ring_full: u64,
    /// `xdp_statistics.rx_fill_ring_empty_descs`: how often the kernel found no buffer. A cause, not frames of their own:
    /// in copy mode each is also in `rx_dropped`, in zero-copy mode the driver counts the frames.
    pub rx_fill_ring_empty_descs: u64,
    /// `xdp_statistics.tx_ring_empty_descs`.
    pub tx_ring_empty_descs: u64,
    /// Datagrams that the kernel dropped at a full socket buffer (`SO_RXQ_OVFL`); for AF_XDP 0.
    pub socket_overflow: u64,
    /// TX kicks (system calls).
    pub kicks: u64,
}

impl PortStatistics {
    /// Frames that reached the socket and not the caller, each counted once.
    pub fn dropped(&self) -> u64 {
        self.rx_dropped + self.rx_ring_full + self.socket_overflow
    }
}

/// A batch of received frames, fixed capacity, reused between calls.
#[derive(Debug)]
pub struct FrameBatch {
    frames: [Option<Frame>; BATCH_FRAMES],
    length: usize,
}

impl Default for FrameBatch {
    fn default() -> Self {
        Self { frames: [const { None }; BATCH_FRAMES], length: 0 }
    }
}

impl FrameBatch {
    /// Frames held.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }
    /// Whether no frame is held.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
    /// Frames that still fit.
    #[inline]
    pub fn room(&self) -> usize {
        BATCH_FRAMES - self.length
    }
    /// Adds a frame; gives it back when the batch is full.
    ///
    /// # Errors
    /// The frame itself, when there is no room.
    #[inline]
    pub fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        match self.frames.get_mut(self.length) {
            Some(slot) => {
                *slot = Some(frame);
                self.length += 1;
                Ok(())
            }
            None => Err(frame),
        }
    }
    /// The frame at `index`, in arrival order.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&Frame> {
        self.frames.get(index)?.as_ref()
    }
    /// Takes the frame at `index` out, so that it can be given back.
    #[inline]
    pub fn take(&mut self, index: usize) -> Option<Frame> {
        self.frames.get_mut(index)?.take()
    }
    /// Forgets the places of frames already taken; call after each was given back.
    #[inline]
    pub fn reset(&mut self) {
        debug_assert!(self.frames.iter().all(Option::is_none), "frames left in a batch");
        self.length = 0;
    }
}

/// A source and sink of frames: one queue of one interface.
///
/// The loop calls `receive`, reads each frame by `bytes`, gives each back by `release`; it sends by `allocate`, writing
/// `bytes_mut`, `submit`, and one `kick` for all that was submitted. Nothing here allocates or locks after opening;
/// `kick` is the only system call of the AF_XDP backend.
pub trait Port {
    /// Moves waiting frames into `batch` (which the caller emptied) and returns how many came.
    fn receive(&mut self, batch: &mut FrameBatch) -> usize;
    /// How many frames wait behind the ones already handed out, as far as the port can tell without a system call.
    fn backlog(&self) -> usize;
    /// The bytes of a received frame: the frame record, then the Ethernet frame (AF_XDP) or the UDP payload (sockets).
    fn bytes(&self, frame: &Frame) -> &[u8];
    /// Gives a received frame back, so that the NIC can fill it again.
    fn release(&mut self, frame: Frame);
    /// A free frame for transmission, or `None` when none is free. Its length is the most that fits.
    fn allocate(&mut self) -> Option<Frame>;
    /// The writable bytes of an allocated frame: the Ethernet frame from its first byte, no record.
    fn bytes_mut<'a>(&'a mut self, frame: &'a mut Frame) -> &'a mut [u8];
    /// Queues the first `length_bytes` of an allocated frame for transmission.
    ///
    /// # Errors
    /// The frame itself, when the TX ring is full; it stays the caller's.
    fn submit(&mut self, frame: Frame, length_bytes: usize) -> Result<(), Frame>;
    /// Tells the kernel to transmit what was submitted, if it has to be told.
    ///
    /// # Errors
    /// What `sendto` reported, other than EAGAIN, EBUSY and ENOBUFS, which are retried by the next kick.
    fn kick(&mut self) -> io::Result<()>;
    /// Blocks until something can be received or `timeout_ns` passed (wait strategy `block`).
    ///
    /// # Errors
    /// What `poll` reported, other than EINTR.
    fn wait(&mut self, timeout_ns: u64) -> io::Result<()>;
    /// Counters so far. May make a system call: not for the hot path.
    fn statistics(&self) -> PortStatistics;
    /// What this port is.
    fn facts(&self) -> PortFacts;
}
