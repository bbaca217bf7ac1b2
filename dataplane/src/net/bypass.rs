//! Order TCP past the kernel: smoltcp over the port that also brings the market data, with an address of our own that
//! the kernel does not know.
//!
//! All memory is taken when the connection object is made. A segment costs no allocation and no system call; the kick
//! of the port is the caller's, one for all that was submitted.

mod config;
mod make;
mod recall;

pub use config::BypassConfig;

use super::device::{FRAME_BYTES_MAX, Wire, WireState};
use super::mirror::{Connection, MirrorState, Received};
use super::{ConnectFailure, OrderTransport, TcpCounter, TcpCounters, TransportEvent};
use smoltcp::iface::{Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::time::Instant;
use smoltcp::wire::IpAddress;
use tern_abi::segment::ConnState;
use tern_core::input::DownReason;
use tern_core::outbox::{Carrier, OrderBytes, WindowClosed};
use tern_core::session::{ControlBytes, DropReason};
use tern_core::units::TaiNs;
use tern_hw::port::Port;

/// First ephemeral port (RFC 6335 section 6).
const PORT_FIRST: u16 = 49_152;
/// Ports between two runs: so many reconnects before a run reaches the ports of the next one.
const PORTS_PER_RUN: u64 = 509;
/// Back-off grows to this many times the configured one.
const BACKOFF_FACTOR_MAX: u64 = 16;
/// How long the venue may take to answer our FIN before the connection is reset.
const CLOSE_PATIENCE_NS: u64 = 500_000_000;
/// Most segments sent by one poll; what is left goes out with the next.
const EGRESS_MAX: usize = 32;

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for the next attempt.
    Waiting { until: TaiNs },
    /// SYN is out.
    Connecting,
    /// Established.
    Up,
    /// Our FIN is out, or the rest of a closed connection is being read.
    Closing { until: TaiNs },
    /// Closed for good.
    Over,
}

/// The order connection over a port.
pub struct BypassTcp {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    wire: WireState,
    staged: [u8; FRAME_BYTES_MAX],
    staged_bytes: usize,
    config: BypassConfig,
    phase: Phase,
    attempts: u64,
    failures: u32,
    /// A survey was followed by another attempt at once; the next one has to wait, or two could chase each other.
    surveyed: bool,
    /// The stack's clock starts at the first poll's time.
    epoch: Option<TaiNs>,
    /// Something changed since the last poll.
    dirty: bool,
    /// Bytes taken since the last flush.
    taken: usize,
    deadline: TaiNs,
    up_pending: bool,
    down_pending: Option<DownReason>,
    reset_seen: bool,
    /// The SYN of this attempt is out.
    syn_left: bool,
    /// Sequence number behind the last byte taken.
    taken_end: u32,
    /// Sequence number behind the last message taken that enters or replaces an order.
    risk_end: Option<u32>,
    /// Set by a recall: by when everything up to `risk_end` as it was then must be acknowledged.
    recall_until: Option<TaiNs>,
    /// We closed the connection because its session is over: what it still brings is not looked at.
    is_finishing: bool,
    connect_failure: Option<ConnectFailure>,
    is_final: bool,
}

impl BypassTcp {
    /// The connection's numbers, for the shared mirror.
    pub fn connection(&self) -> &Connection {
        self.wire.mirror.connection()
    }

    fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.handle)
    }

    fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    fn instant(&mut self, now: TaiNs) -> Instant {
        // Not zero: smoltcp takes instant zero for "long ago".
        let epoch = *self.epoch.get_or_insert(TaiNs(now.0.saturating_sub(1_000_000_000)));
        Instant::from_micros((now.since(epoch) / 1000).cast_signed())
    }

    /// The local port of the next attempt: one that neither an earlier attempt nor an earlier run has used lately, so
    /// that a connection which the venue still holds is never taken up again.
    fn next_port(&mut self) -> u16 {
        let offset = self.config.run.wrapping_mul(PORTS_PER_RUN).wrapping_add(self.attempts);
        self.attempts += 1;
        PORT_FIRST + (offset % u64::from(u16::MAX - PORT_FIRST)) as u16
    }

    fn connect(&mut self) {
        let port = self.next_port();
        self.wire.mirror.begin(port);
        self.reset_seen = false;
        self.syn_left = false;
        let venue = (IpAddress::Ipv4(*self.config.venue.ip()), self.config.venue.port());
        let socket = self.sockets.get_mut::<Socket<'static>>(self.handle);
        // Ports and addresses were checked when the connection was made, and the socket is closed: this cannot fail.
        let result = socket.connect(self.interface.context(), venue, port);
        debug_assert_eq!(result, Ok(()));
        self.phase = Phase::Connecting;
    }

    /// Runs the stack until it has nothing more to send now.
    fn run_stack<P: Port>(&mut self, at: Instant, port: &mut P) {
        let staged = &self.staged[..core::mem::take(&mut self.staged_bytes)];
        let mut wire = Wire { port, state: &mut self.wire, incoming: staged };
        self.interface.poll_maintenance(at);
        if !staged.is_empty() {
            self.interface.poll_ingress_single(at, &mut wire, &mut self.sockets);
        }
        wire.state.flush(wire.port);
        for _ in 0..EGRESS_MAX {
            if self.interface.poll_egress(at, &mut wire, &mut self.sockets) == PollResult::None {
                break;
            }
        }
    }

    /// Follows the socket's state after the stack ran.
    fn step(&mut self, now: TaiNs) {
        let state = self.socket().state();
        match (self.phase, state) {
            (Phase::Connecting, State::Established) => {
                self.wire.count(TcpCounter::Connects);
                self.connect_failure = None;
                self.up_pending = true;
                self.taken_end = self.wire.mirror.connection().next;
                self.phase = Phase::Up;
            }
            (Phase::Connecting, State::Closed | State::CloseWait) => {
                let failure = match self.reset_seen || state == State::CloseWait {
                    true => ConnectFailure::Refused,
                    false if self.syn_left => ConnectFailure::Unanswered,
                    // It had no MAC address to go to.
                    false => ConnectFailure::Unreachable,
                };
                self.wire.count(TcpCounter::ConnectFailures);
                failure.counter().into_iter().for_each(|counter| self.wire.count(counter));
                self.connect_failure = Some(failure);
                self.socket_mut().abort();
                self.dirty = true;
                self.back_off(now);
            }
            (Phase::Connecting, _) => self.syn_left |= self.wire.mirror.connection().state == MirrorState::SynSent,
            (Phase::Up, State::CloseWait) => {
                self.wire.count(TcpCounter::PeerClosed);
                self.down_pending = Some(DownReason::Closed);
                self.socket_mut().close();
                self.phase = Phase::Closing { until: now.plus(CLOSE_PATIENCE_NS) };
                self.dirty = true;
            }
            (Phase::Up, State::Closed) => {
                let (counter, reason) = match self.reset_seen {
                    true => (TcpCounter::PeerReset, DownReason::Reset),
                    false => (TcpCounter::TimedOut, DownReason::TimedOut),
                };
                self.wire.count(counter);
                self.down_pending = Some(reason);
                self.back_off(now);
            }
            (Phase::Closing { .. }, State::Closed | State::TimeWait) => self.back_off(now),
            (Phase::Closing { until }, _) if now >= until => {
                self.wire.count(TcpCounter::Aborts);
                self.socket_mut().abort();
                self.back_off(now);
                self.dirty = true;
            }
            _ => {}
        }
    }

    fn back_off(&mut self, now: TaiNs) {
        let factor = (1 << self.failures.min(16)).min(BACKOFF_FACTOR_MAX);
        self.failures += 1;
        self.wait_until(now.plus(self.config.reconnect_ns.saturating_mul(factor)));
    }

    /// The connection is over; the next attempt comes at `until`, if there is to be one.
    fn wait_until(&mut self, until: TaiNs) {
        self.wire.mirror.end();
        self.taken = 0;
        self.risk_end = None;
        self.end_recall();
        self.is_finishing = false;
        self.phase = if self.is_final { Phase::Over } else { Phase::Waiting { until } };
    }

    #[inline]
    fn room_bytes(&self) -> usize {
        if self.phase != Phase::Up || self.wire.mirror.connection().state != MirrorState::Established {
            return 0;
        }
        let socket = self.socket();
        let queued = socket.send_queue();
        let unsent = queued.saturating_sub(self.wire.mirror.in_flight());
        if unsent > self.taken || self.wire.is_blocked() {
            return 0;
        }
        self.wire.mirror.window_left().saturating_sub(self.taken).min(socket.send_capacity() - queued)
    }

    /// Bytes for the next flush: all of them, or none.
    #[inline]
    fn take(&mut self, bytes: &[u8]) -> Result<(), WindowClosed> {
        if bytes.len() > self.room_bytes() {
            self.wire.count(TcpCounter::Refused);
            return Err(WindowClosed);
        }
        // Room was checked: the socket takes all of it.
        let taken = self.socket_mut().send_slice(bytes);
        debug_assert_eq!(taken, Ok(bytes.len()));
        self.taken += bytes.len();
        self.taken_end = self.taken_end.wrapping_add(bytes.len() as u32);
        self.wire.counters[TcpCounter::BytesOut.index()] += bytes.len() as u64;
        Ok(())
    }

    /// When the stack or this object wants to run next.
    fn update_deadline(&mut self, now: TaiNs, at: Instant) {
        let stack = match self.interface.poll_at(at, &self.sockets) {
            // A segment waits for a place in the ring or for an ARP answer: not this very moment again.
            Some(_) if self.wire.is_blocked() => now.plus(10_000),
            Some(next) => now.plus((next.total_micros() - at.total_micros()).max(1).cast_unsigned() * 1000),
            None => TaiNs::NEVER,
        };
        let own = match self.phase {
            Phase::Waiting { until } | Phase::Closing { until } => until,
            Phase::Connecting | Phase::Up | Phase::Over => TaiNs::NEVER,
        };
        self.deadline = stack.min(own).min(self.recall_until.unwrap_or(TaiNs::NEVER));
    }
}

impl Carrier for BypassTcp {
    #[inline]
    fn carry_order(&mut self, order: OrderBytes<'_>) -> Result<(), WindowClosed> {
        self.take(&order)?;
        if order.adds_risk() {
            self.risk_end = Some(self.taken_end);
        }
        Ok(())
    }

    #[inline]
    fn carry_control(&mut self, control: ControlBytes<'_>) -> Result<(), WindowClosed> {
        self.take(&control)
    }
}

impl<P: Port> OrderTransport<P> for BypassTcp {
    fn stage(&mut self, frame: &[u8]) {
        let received = self.wire.mirror.on_received(frame);
        self.wire.count(match received {
            Received::Arp => TcpCounter::Arp,
            Received::Segment | Received::Reset => TcpCounter::SegmentsIn,
            Received::Other => TcpCounter::OtherConnection,
            Received::BadChecksum => TcpCounter::BadChecksum,
            Received::Unacceptable => TcpCounter::Unacceptable,
            Received::Malformed => TcpCounter::Malformed,
        });
        self.reset_seen |= received == Received::Reset;
        if matches!(received, Received::BadChecksum | Received::Unacceptable | Received::Malformed) {
            return;
        }
        match self.staged.get_mut(..frame.len()) {
            Some(staged) => {
                staged.copy_from_slice(frame);
                self.staged_bytes = frame.len();
            }
            None => self.wire.count(TcpCounter::Malformed),
        }
    }

    #[inline]
    fn wants_poll(&self, now: TaiNs) -> bool {
        self.staged_bytes > 0 || self.dirty || now >= self.deadline
    }

    fn poll(&mut self, now: TaiNs, port: &mut P) {
        let at = self.instant(now);
        self.dirty = false;
        if let Phase::Waiting { until } = self.phase
            && now >= until
            && self.down_pending.is_none()
        {
            self.connect();
        }
        self.run_stack(at, port);
        self.step(now);
        self.check_recall(now, port);
        self.update_deadline(now, at);
    }

    fn next_event(&mut self, _: TaiNs, buffer: &mut [u8]) -> Option<TransportEvent> {
        if core::mem::take(&mut self.up_pending) {
            return Some(TransportEvent::Up);
        }
        let socket = self.sockets.get_mut::<Socket<'static>>(self.handle);
        while self.is_finishing && socket.can_recv() {
            let dropped = socket.recv(|bytes| (bytes.len(), bytes.len()));
            self.dirty |= dropped.is_ok_and(|bytes| bytes > 0);
        }
        if socket.can_recv()
            && let Ok(bytes @ 1..) = socket.recv_slice(buffer)
        {
            self.wire.counters[TcpCounter::BytesIn.index()] += bytes as u64;
            // Reading may open our window: the stack has to look at it.
            self.dirty = true;
            return Some(TransportEvent::Bytes(bytes));
        }
        self.down_pending.take().map(TransportEvent::Down)
    }

    #[inline]
    fn room(&self) -> usize {
        self.room_bytes()
    }

    fn flush(&mut self, now: TaiNs, port: &mut P) {
        if core::mem::take(&mut self.taken) == 0 {
            return;
        }
        let at = self.instant(now);
        self.run_stack(at, port);
        self.dirty = true;
    }

    fn unsent(&self) -> usize {
        let blocked = usize::from(self.wire.is_blocked());
        self.socket().send_queue().saturating_sub(self.wire.mirror.in_flight()) + blocked
    }

    fn recall(&mut self, now: TaiNs, port: &mut P) -> bool {
        self.recall_orders(now, port)
    }

    fn finish(&mut self, now: TaiNs, port: &mut P, reason: DropReason) {
        if self.phase != Phase::Up {
            return self.abort(now, port, reason);
        }
        self.wire.count(TcpCounter::Finished);
        self.is_finishing = true;
        self.down_pending = Some(DownReason::Dropped(reason));
        self.socket_mut().close();
        self.phase = Phase::Closing { until: now.plus(CLOSE_PATIENCE_NS) };
        let at = self.instant(now);
        self.run_stack(at, port);
        self.dirty = true;
    }

    fn abort(&mut self, now: TaiNs, port: &mut P, reason: DropReason) {
        self.wire.count(TcpCounter::Aborts);
        let was_up = self.phase == Phase::Up && !core::mem::take(&mut self.up_pending);
        self.socket_mut().abort();
        let at = self.instant(now);
        self.run_stack(at, port);
        if was_up {
            self.down_pending = Some(DownReason::Dropped(reason));
        }
        match reason {
            DropReason::Surveyed if !core::mem::replace(&mut self.surveyed, true) => self.wait_until(now),
            _ => self.back_off(now),
        }
        self.dirty = true;
    }

    fn settled(&mut self) {
        self.failures = 0;
        self.surveyed = false;
    }

    fn close(&mut self, now: TaiNs, port: &mut P) {
        self.is_final = true;
        self.socket_mut().close();
        self.phase = Phase::Closing { until: now.plus(CLOSE_PATIENCE_NS) };
        let at = self.instant(now);
        self.run_stack(at, port);
        self.dirty = true;
    }

    fn connect_failure(&self) -> Option<ConnectFailure> {
        self.connect_failure
    }

    fn is_closed(&self) -> bool {
        self.phase == Phase::Over
    }

    fn next_deadline(&self) -> TaiNs {
        match self.dirty {
            true => TaiNs(0),
            false => self.deadline,
        }
    }

    fn mirror(&self, now: TaiNs) -> ConnState {
        let connection = self.connection();
        ConnState {
            own_mac: connection.local_mac,
            peer_mac: connection.remote_mac,
            own_ip: connection.local_address.octets(),
            peer_ip: connection.remote_address.octets(),
            own_port: connection.local_port,
            peer_port: connection.remote_port,
            snd_una: connection.unacknowledged,
            snd_nxt: connection.next,
            snd_wnd: connection.window_bytes,
            rcv_nxt: connection.expected,
            rcv_wnd: u32::try_from(self.socket().recv_capacity()).unwrap_or(u32::MAX),
            state: connection.state as u32,
            tai_ns: now.0,
        }
    }

    fn counters(&self) -> &TcpCounters {
        &self.wire.counters
    }
}
