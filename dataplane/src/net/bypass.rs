//! Order TCP past the kernel: smoltcp over the port that also brings the market data, with an address of our own that
//! the kernel does not know.
//!
//! All memory is taken when the connection object is made. A segment costs no allocation and no system call; the kick
//! of the port is the caller's, one for all that was submitted.

use super::device::{FRAME_BYTES_MAX, Wire, WireState, capabilities};
use super::mirror::{Connection, Mirror, MirrorState, Received, is_before};
use super::{ConnectFailure, OrderTransport, TcpCounter, TcpCounters, TransportEvent};
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{Device, DeviceCapabilities, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv4Address, Ipv4Cidr};
use std::net::SocketAddrV4;
use tern_abi::segment::ConnState;
use tern_core::input::DownReason;
use tern_core::outbox::{Carrier, OrderBytes, WindowClosed};
use tern_core::session::{ControlBytes, DropReason};
use tern_core::units::TaiNs;
use tern_hw::port::Port;

/// Receive buffer: the venue's log of the day comes at once after a restart.
const RECEIVE_BYTES: usize = 1 << 18;
/// Transmit buffer: bounds what is sent and not acknowledged.
const TRANSMIT_BYTES: usize = 1 << 14;
/// First ephemeral port (RFC 6335 section 6).
const PORT_FIRST: u16 = 49_152;
/// Ports between two runs: so many reconnects before a run reaches the ports of the next one.
const PORTS_PER_RUN: u64 = 509;
/// Back-off grows to this many times the configured one.
const BACKOFF_FACTOR_MAX: u64 = 16;
/// How long the venue may take to answer our FIN before the connection is reset.
const CLOSE_PATIENCE_NS: u64 = 500_000_000;
/// How long orders under way may stay unacknowledged after a kill: the venue's delayed acknowledgment (40 ms on Linux)
/// comes sooner. What is to be sent again before that ends the connection at once.
const RECALL_PATIENCE_NS: u64 = 200_000_000;
/// Most segments sent by one poll; what is left goes out with the next.
const EGRESS_MAX: usize = 32;

/// Where and how to connect.
#[derive(Clone, Copy, Debug)]
pub struct BypassConfig {
    /// Our MAC address.
    pub mac: [u8; 6],
    /// Our address; the kernel must not have it.
    pub address: Ipv4Address,
    /// Length of its prefix.
    pub prefix_bits: u8,
    /// Next hop for venues outside the prefix.
    pub gateway: Option<Ipv4Address>,
    /// The venue.
    pub venue: SocketAddrV4,
    /// Time between two attempts to connect; doubles with each failure.
    pub reconnect_ns: u64,
    /// A connection on which the venue is silent for this long, keep-alives included, is reset.
    pub timeout_ns: u64,
    /// How long an acknowledgment may wait for a segment that takes it along. Shorter than a Linux venue's tail-loss
    /// probe, which comes two timer ticks (2 to 8 ms) after two round trips: a later one has it send segments again.
    pub ack_delay_ns: u64,
    /// Interval of keep-alives on an idle connection. They also bring back a window update that was lost.
    pub keep_alive_ns: u64,
    /// Counts the runs of this host: keeps local ports of two runs apart.
    pub run: u64,
    /// Seed of the initial sequence numbers; different in every run.
    pub seed: u64,
}

impl BypassConfig {
    /// Defaults for everything but the addresses: 500 ms back-off, 5 s timeout, 1 ms acknowledgment delay.
    pub fn new(mac: [u8; 6], address: Ipv4Address, prefix_bits: u8, venue: SocketAddrV4) -> Self {
        Self {
            mac,
            address,
            prefix_bits,
            gateway: None,
            venue,
            reconnect_ns: 500_000_000,
            timeout_ns: 5_000_000_000,
            ack_delay_ns: 1_000_000,
            keep_alive_ns: 500_000_000,
            run: 0,
            seed: 1,
        }
    }
}

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

/// Only there to tell smoltcp's constructor what the medium is.
struct Blueprint;
struct NoToken;

impl Device for Blueprint {
    type RxToken<'a> = NoToken;
    type TxToken<'a> = NoToken;
    fn receive(&mut self, _: Instant) -> Option<(NoToken, NoToken)> {
        None
    }
    fn transmit(&mut self, _: Instant) -> Option<NoToken> {
        None
    }
    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

impl RxToken for NoToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&[])
    }
}

impl TxToken for NoToken {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        f(&mut [0; FRAME_BYTES_MAX][..length])
    }
}

/// Memory that lives as long as the process: a connection is made once a run.
fn leak(bytes: usize) -> &'static mut [u8] {
    Box::leak(vec![0_u8; bytes].into_boxed_slice())
}

impl BypassTcp {
    /// A connection that starts to connect with the first poll.
    ///
    /// # Errors
    /// What is wrong with the addresses, for the user.
    pub fn new(config: BypassConfig) -> Result<Self, String> {
        Self::with_buffers(config, leak(RECEIVE_BYTES), leak(TRANSMIT_BYTES))
    }

    /// As [`new`](Self::new), with these buffers for what was received and not read, and sent and not acknowledged.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_buffers(
        config: BypassConfig,
        receive: &'static mut [u8],
        transmit: &'static mut [u8],
    ) -> Result<Self, String> {
        let mac = EthernetAddress(config.mac);
        if !mac.is_unicast() {
            return Err(format!("{mac} cannot be our MAC address: it is a group address or zero"));
        }
        if config.prefix_bits > 32 {
            return Err(format!("{}/{}: a prefix has at most 32 bits", config.address, config.prefix_bits));
        }
        let cidr = Ipv4Cidr::new(config.address, config.prefix_bits);
        if !cidr.contains_addr(config.venue.ip()) && config.gateway.is_none() {
            return Err(format!(
                "the venue {} is not in {cidr} and no gateway is set: set port.gateway to the next hop's address",
                config.venue.ip()
            ));
        }
        let mut stack = Config::new(HardwareAddress::Ethernet(mac));
        stack.random_seed = config.seed;
        let mut interface = Interface::new(stack, &mut Blueprint, Instant::ZERO);
        let mut has_room = true;
        interface.update_ip_addrs(|addresses| has_room = addresses.push(IpCidr::Ipv4(cidr)).is_ok());
        if let Some(gateway) = config.gateway {
            has_room &= interface.routes_mut().add_default_ipv4_route(gateway).is_ok();
        }
        if !has_room {
            return Err("smoltcp was built without room for an address and a route".into());
        }
        let mut socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(transmit));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(duration(config.ack_delay_ns)));
        socket.set_timeout(Some(duration(config.timeout_ns)));
        socket.set_keep_alive(Some(duration(config.keep_alive_ns)));
        let storage: &'static mut [SocketStorage<'static>] = Box::leak(Box::new([SocketStorage::EMPTY]));
        let mut sockets = SocketSet::new(storage);
        let handle = sockets.add(socket);
        let mirror = Mirror::new(config.mac, config.address, *config.venue.ip(), config.venue.port());
        Ok(Self {
            interface,
            sockets,
            handle,
            wire: WireState::new(mirror),
            staged: [0; FRAME_BYTES_MAX],
            staged_bytes: 0,
            config,
            phase: Phase::Waiting { until: TaiNs(0) },
            attempts: 0,
            failures: 0,
            surveyed: false,
            epoch: None,
            dirty: true,
            taken: 0,
            deadline: TaiNs(0),
            up_pending: false,
            down_pending: None,
            reset_seen: false,
            syn_left: false,
            taken_end: 0,
            risk_end: None,
            recall_until: None,
            is_finishing: false,
            connect_failure: None,
            is_final: false,
        })
    }

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

    /// After a kill: whether what was under way then has arrived; if it has not in time, the connection goes.
    fn check_recall<P: Port>(&mut self, now: TaiNs, port: &mut P) {
        let Some(until) = self.recall_until else { return };
        if self.is_acknowledged(self.wire.sealed_end) {
            self.end_recall();
        } else if self.wire.is_barred || now >= until {
            self.reset_recalled(now, port);
        }
    }

    /// The first byte that the stack may still send again. The mirror's number is the venue's word, which the stack does
    /// not take from a segment outside its window.
    fn first_kept(&self) -> u32 {
        self.taken_end.wrapping_sub(self.socket().send_queue() as u32)
    }

    fn is_acknowledged(&self, end: Option<u32>) -> bool {
        end.is_none_or(|end| !is_before(self.first_kept(), end))
    }

    fn end_recall(&mut self) {
        self.recall_until = None;
        self.wire.sealed_end = None;
        self.wire.is_barred = false;
    }

    /// Nothing else keeps from the venue what it may not get any more.
    #[cold]
    fn reset_recalled<P: Port>(&mut self, now: TaiNs, port: &mut P) {
        let bytes = self.risk_end.map_or(0, |end| end.wrapping_sub(self.first_kept()));
        self.wire.count(TcpCounter::Recalled);
        self.wire.counters[TcpCounter::RecalledBytes.index()] += u64::from(bytes);
        self.wire.discard_held();
        self.abort(now, port, DropReason::Killed);
    }
}

fn duration(ns: u64) -> Duration {
    Duration::from_micros(ns / 1000)
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
        if !matches!(self.phase, Phase::Up | Phase::Closing { .. }) || self.is_acknowledged(self.risk_end) {
            return false;
        }
        let sent_end = self.wire.mirror.connection().next;
        if self.risk_end.is_some_and(|end| is_before(sent_end, end)) || self.wire.is_blocked() {
            self.reset_recalled(now, port);
            return true;
        }
        // On the wire: it has arrived or will at once, and then the connection is needed for the cancels. Or it was lost,
        // and then it must not be sent again.
        self.wire.sealed_end = self.risk_end;
        self.recall_until.get_or_insert(now.plus(RECALL_PATIENCE_NS));
        self.dirty = true;
        false
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
