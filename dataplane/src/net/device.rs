//! The port as smoltcp sees it.
//!
//! A received frame is copied once (about a hundred bytes) and given back to the port at once: the stack may want to
//! answer while it reads, and the port lends either a received frame or a writable one. A frame for transmission is
//! the port's own: segments are built in place.

use super::mirror::Mirror;
use super::{TcpCounter, TcpCounters};
use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use tern_hw::port::{Frame, Port};

/// The largest Ethernet frame that the order connection takes or sends.
pub(super) const FRAME_BYTES_MAX: usize = 1514;

/// What the stack keeps between two polls, beside its sockets.
pub(super) struct WireState {
    /// A frame allocated but not used: kept, since a port takes frames back only by a submit.
    spare: Option<Frame>,
    /// A segment that found the TX ring full: goes first.
    held: Option<(Frame, usize)>,
    /// After a kill: bytes before this sequence number are not sent again.
    pub(super) sealed_end: Option<u32>,
    /// The stack wanted to.
    pub(super) is_barred: bool,
    pub(super) mirror: Mirror,
    pub(super) counters: TcpCounters,
}

impl WireState {
    pub(super) fn new(mirror: Mirror) -> Self {
        let counters = [0; TcpCounter::COUNT];
        Self { spare: None, held: None, sealed_end: None, is_barred: false, mirror, counters }
    }

    pub(super) fn count(&mut self, counter: TcpCounter) {
        self.counters[counter.index()] += 1;
    }

    /// Whether a segment waits for a place in the TX ring.
    pub(super) fn is_blocked(&self) -> bool {
        self.held.is_some()
    }

    /// Forgets the segment that found the ring full: it must not leave any more.
    pub(super) fn discard_held(&mut self) {
        if let Some((frame, _)) = self.held.take() {
            self.spare = Some(frame);
        }
    }

    /// Tries again to submit the segment that found the ring full; whether the way is free.
    pub(super) fn flush<P: Port>(&mut self, port: &mut P) -> bool {
        let Some((frame, length)) = self.held.take() else { return true };
        match port.submit(frame, length) {
            Ok(()) => true,
            Err(frame) => {
                self.held = Some((frame, length));
                false
            }
        }
    }
}

/// A port and the stack's state, for the time of one poll.
pub(super) struct Wire<'a, P> {
    pub(super) port: &'a mut P,
    pub(super) state: &'a mut WireState,
    /// The staged frame; empty when there is none.
    pub(super) incoming: &'a [u8],
}

impl<P: Port> Wire<'_, P> {
    /// Makes sure that a frame for one segment is at hand.
    fn provide(&mut self) -> bool {
        if !self.state.flush(self.port) {
            return false;
        }
        if self.state.spare.is_none() {
            self.state.spare = self.port.allocate();
        }
        if self.state.spare.is_none() {
            self.state.count(TcpCounter::FrameShortage);
        }
        self.state.spare.is_some()
    }
}

/// What this stack can do: checksums are verified by the mirror before a segment gets here, and always computed in full
/// for what is sent (no NIC offload exists for frames of an AF_XDP socket).
pub(super) fn capabilities() -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ethernet;
    capabilities.max_transmission_unit = FRAME_BYTES_MAX;
    capabilities.checksum = ChecksumCapabilities::default();
    capabilities.checksum.ipv4 = Checksum::Tx;
    capabilities.checksum.tcp = Checksum::Tx;
    capabilities
}

impl<'a, P: Port> Device for Wire<'a, P> {
    type RxToken<'t>
        = Received<'a>
    where
        Self: 't;
    type TxToken<'t>
        = Transmit<'t, P>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Received<'a>, Transmit<'_, P>)> {
        if self.incoming.is_empty() || !self.provide() {
            return None;
        }
        let received = Received(core::mem::take(&mut self.incoming));
        Some((received, Transmit { port: self.port, state: self.state }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_, P>> {
        self.provide().then_some(Transmit { port: self.port, state: self.state })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

/// The staged frame.
pub(super) struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// The right to send one segment; unused, it leaves the frame where it was.
pub(super) struct Transmit<'a, P> {
    port: &'a mut P,
    state: &'a mut WireState,
}

impl<P: Port> TxToken for Transmit<'_, P> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let Some(mut frame) = self.state.spare.take() else {
            // `provide` made sure of a frame, and a token is consumed once; what is lost here, TCP repeats.
            self.state.count(TcpCounter::FrameShortage);
            return f(&mut [0; FRAME_BYTES_MAX][..length]);
        };
        let bytes = &mut self.port.bytes_mut(&mut frame)[..length];
        let result = f(bytes);
        if self.state.sealed_end.is_some_and(|end| self.state.mirror.carries_before(bytes, end)) {
            self.state.is_barred = true;
            self.state.spare = Some(frame);
            return result;
        }
        if self.state.mirror.on_transmitted(bytes) {
            self.state.counters[TcpCounter::Retransmits.index()] += 1;
        }
        self.state.counters[TcpCounter::SegmentsOut.index()] += 1;
        if let Err(frame) = self.port.submit(frame, length) {
            self.state.held = Some((frame, length));
        }
        result
    }
}
