//! Order TCP through the kernel, for the socket port: the baseline, and the fallback where XDP cannot be had.
//!
//! The kernel does not say how far the venue's window reaches before it has queued something. So a send is refused as
//! long as anything of an earlier one has not left, and takes at most [`ROOM_BYTES`]: that much can wait at a window that
//! just closed, and a recall resets the connection rather than let it leave.

use super::{ConnectFailure, OrderTransport, TcpCounter, TcpCounters, TransportEvent};
use std::net::{Ipv4Addr, SocketAddrV4};
use tern_abi::segment::{CONN_STATE_CLOSED, CONN_STATE_KERNEL, ConnState};
use tern_core::input::DownReason;
use tern_core::outbox::{Carrier, OrderBytes, WindowClosed};
use tern_core::session::{ControlBytes, DropReason};
use tern_core::units::TaiNs;
use tern_hw::port::Port;
use tern_hw::socket::tcp::{Received, TcpLink, TcpState};

/// Bytes that one send may hand to the kernel: a few orders.
const ROOM_BYTES: usize = 2048;
/// How long an attempt to connect may take.
const CONNECT_PATIENCE_NS: u64 = 5_000_000_000;
/// How long bytes under way may stay unacknowledged after a kill. The kernel cannot be kept from sending them again, only
/// be left no time for it: a tail-loss probe comes after two timer ticks (2 ms) at the earliest.
const RECALL_PATIENCE_NS: u64 = 2_000_000;
/// Back-off grows to this many times the configured one.
const BACKOFF_FACTOR_MAX: u64 = 16;

enum Phase {
    Waiting { until: TaiNs },
    Connecting { link: TcpLink, until: TaiNs },
    Up { link: TcpLink },
    Over,
}

/// The order connection over a kernel socket.
pub struct KernelTcp {
    local: Option<Ipv4Addr>,
    venue: SocketAddrV4,
    reconnect_ns: u64,
    poll_pause_ns: u64,
    phase: Phase,
    /// Our end of the connection.
    own: Option<SocketAddrV4>,
    failures: u32,
    /// A survey was followed by another attempt at once; the next one has to wait, or two could chase each other.
    surveyed: bool,
    next_poll: TaiNs,
    unsent: usize,
    /// What was taken since the last flush.
    taken: Box<[u8; ROOM_BYTES]>,
    taken_bytes: usize,
    up_pending: bool,
    down_pending: Option<DownReason>,
    /// Bytes taken on this connection, and those of them up to the last message that enters or replaces an order.
    all_bytes: u64,
    risk_bytes: u64,
    /// Set by a recall: by when so many bytes must be acknowledged.
    recall: Option<(TaiNs, u64)>,
    connect_failure: Option<ConnectFailure>,
    counters: TcpCounters,
}

impl KernelTcp {
    /// A connection that starts to connect with the first poll. `poll_pause_ns` lies between two looks at the socket:
    /// each is a system call of 180 to 440 ns.
    pub fn new(local: Option<Ipv4Addr>, venue: SocketAddrV4, reconnect_ns: u64, poll_pause_ns: u64) -> Self {
        Self {
            local,
            venue,
            reconnect_ns,
            poll_pause_ns,
            phase: Phase::Waiting { until: TaiNs(0) },
            own: None,
            failures: 0,
            surveyed: false,
            next_poll: TaiNs(0),
            unsent: 0,
            taken: Box::new([0; ROOM_BYTES]),
            taken_bytes: 0,
            up_pending: false,
            down_pending: None,
            all_bytes: 0,
            risk_bytes: 0,
            recall: None,
            connect_failure: None,
            counters: [0; TcpCounter::COUNT],
        }
    }

    fn count(&mut self, counter: TcpCounter, n: u64) {
        self.counters[counter.index()] += n;
    }

    fn back_off(&mut self, now: TaiNs) {
        let factor = (1 << self.failures.min(16)).min(BACKOFF_FACTOR_MAX);
        self.failures += 1;
        self.wait_until(now.plus(self.reconnect_ns.saturating_mul(factor)));
    }

    /// The connection is over; the next attempt comes at `until`.
    fn wait_until(&mut self, until: TaiNs) {
        self.unsent = 0;
        self.taken_bytes = 0;
        (self.all_bytes, self.risk_bytes) = (0, 0);
        self.recall = None;
        self.phase = Phase::Waiting { until };
    }

    /// The connection is gone for a reason that is not ours.
    fn lose(&mut self, now: TaiNs, reason: DownReason) {
        self.count(
            match reason {
                DownReason::Closed => TcpCounter::PeerClosed,
                DownReason::TimedOut => TcpCounter::TimedOut,
                DownReason::Reset | DownReason::Dropped(_) => TcpCounter::PeerReset,
            },
            1,
        );
        if !core::mem::take(&mut self.up_pending) {
            self.down_pending = Some(reason);
        }
        self.back_off(now);
    }

    fn lose_by(&mut self, now: TaiNs, error: &std::io::Error) {
        let reason = match error.kind() {
            std::io::ErrorKind::TimedOut => DownReason::TimedOut,
            _ => DownReason::Reset,
        };
        self.lose(now, reason);
    }

    fn reset(&mut self, now: TaiNs, reason: DropReason) {
        self.count(TcpCounter::Aborts, 1);
        if let Phase::Up { link } = core::mem::replace(&mut self.phase, Phase::Over) {
            // The connection is closed whatever this says.
            let _ = link.reset();
            if !core::mem::take(&mut self.up_pending) {
                self.down_pending = Some(DownReason::Dropped(reason));
            }
        }
        match reason {
            DropReason::Surveyed if !core::mem::replace(&mut self.surveyed, true) => self.wait_until(now),
            _ => self.back_off(now),
        }
    }

    /// Bytes of this connection that the venue has, when so many of those handed over are not acknowledged.
    fn acknowledged(&self, unacknowledged: usize) -> u64 {
        (self.all_bytes - self.taken_bytes as u64).saturating_sub(unacknowledged as u64)
    }

    #[cold]
    fn reset_recalled(&mut self, now: TaiNs, bytes: u64) {
        self.count(TcpCounter::Recalled, 1);
        self.count(TcpCounter::RecalledBytes, bytes);
        self.reset(now, DropReason::Killed);
    }

    #[inline]
    fn room_bytes(&self) -> usize {
        match self.phase {
            Phase::Up { .. } if self.unsent == 0 => ROOM_BYTES - self.taken_bytes,
            _ => 0,
        }
    }

    #[inline]
    fn take(&mut self, bytes: &[u8]) -> Result<(), WindowClosed> {
        let room = self.room_bytes();
        match self.taken.get_mut(self.taken_bytes..self.taken_bytes + bytes.len()) {
            Some(place) if bytes.len() <= room => {
                place.copy_from_slice(bytes);
                self.taken_bytes += bytes.len();
                self.all_bytes += bytes.len() as u64;
                self.count(TcpCounter::BytesOut, bytes.len() as u64);
                Ok(())
            }
            _ => {
                self.count(TcpCounter::Refused, 1);
                Err(WindowClosed)
            }
        }
    }

    fn connect(&mut self, now: TaiNs) {
        match TcpLink::connect(self.local, self.venue) {
            Ok(link) => self.phase = Phase::Connecting { link, until: now.plus(CONNECT_PATIENCE_NS) },
            Err(error) => self.connect_failed(now, failure_of(&error)),
        }
    }

    fn connect_failed(&mut self, now: TaiNs, failure: ConnectFailure) {
        self.count(TcpCounter::ConnectFailures, 1);
        failure.counter().into_iter().for_each(|counter| self.count(counter, 1));
        self.connect_failure = Some(failure);
        self.back_off(now);
    }
}

/// What the kernel's error says of an attempt to connect.
fn failure_of(error: &std::io::Error) -> ConnectFailure {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        // No ARP answer is EHOSTUNREACH, after the kernel has asked for three seconds.
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => ConnectFailure::Unreachable,
        Kind::ConnectionRefused | Kind::ConnectionReset => ConnectFailure::Refused,
        Kind::TimedOut => ConnectFailure::Unanswered,
        _ => ConnectFailure::Local,
    }
}

impl Carrier for KernelTcp {
    #[inline]
    fn carry_order(&mut self, order: OrderBytes<'_>) -> Result<(), WindowClosed> {
        self.take(&order)?;
        if order.adds_risk() {
            self.risk_bytes = self.all_bytes;
        }
        Ok(())
    }

    #[inline]
    fn carry_control(&mut self, control: ControlBytes<'_>) -> Result<(), WindowClosed> {
        self.take(&control)
    }
}

impl<P: Port> OrderTransport<P> for KernelTcp {
    fn stage(&mut self, _: &[u8]) {
        // A socket port diverts nothing.
        self.count(TcpCounter::Malformed, 1);
    }

    #[inline]
    fn wants_poll(&self, now: TaiNs) -> bool {
        now >= self.next_poll
    }

    fn poll(&mut self, now: TaiNs, _: &mut P) {
        self.next_poll = now.plus(self.poll_pause_ns);
        match &mut self.phase {
            Phase::Waiting { until } if now >= *until && self.down_pending.is_none() => self.connect(now),
            Phase::Connecting { link, until } => match link.poll() {
                Ok(TcpState::Up) => {
                    if let Phase::Connecting { link, .. } = core::mem::replace(&mut self.phase, Phase::Over) {
                        self.own = link.local();
                        self.phase = Phase::Up { link };
                    }
                    self.count(TcpCounter::Connects, 1);
                    self.connect_failure = None;
                    self.up_pending = true;
                }
                Ok(TcpState::Connecting) if now < *until => {}
                Ok(TcpState::Connecting) => self.connect_failed(now, ConnectFailure::Unanswered),
                Err(error) => self.connect_failed(now, failure_of(&error)),
            },
            Phase::Up { link } if self.unsent > 0 || self.recall.is_some() => {
                let asked = link.unsent_bytes().and_then(|unsent| Ok((unsent, link.unacknowledged_bytes()?)));
                match asked {
                    Ok((unsent, unacknowledged)) => {
                        self.unsent = unsent;
                        let acknowledged = self.acknowledged(unacknowledged);
                        match self.recall {
                            Some((_, end)) if acknowledged >= end => self.recall = None,
                            Some((until, end)) if now >= until => self.reset_recalled(now, end - acknowledged),
                            _ => {}
                        }
                    }
                    Err(error) => self.lose_by(now, &error),
                }
            }
            _ => {}
        }
    }

    fn next_event(&mut self, now: TaiNs, buffer: &mut [u8]) -> Option<TransportEvent> {
        if core::mem::take(&mut self.up_pending) {
            return Some(TransportEvent::Up);
        }
        if let Phase::Up { link } = &mut self.phase {
            match link.receive(buffer) {
                Ok(Received::Bytes(bytes)) => {
                    self.count(TcpCounter::BytesIn, bytes as u64);
                    return Some(TransportEvent::Bytes(bytes));
                }
                Ok(Received::Nothing) => {}
                Ok(Received::End) => self.lose(now, DownReason::Closed),
                Err(error) => self.lose_by(now, &error),
            }
        }
        self.down_pending.take().map(TransportEvent::Down)
    }

    #[inline]
    fn room(&self) -> usize {
        self.room_bytes()
    }

    fn flush(&mut self, now: TaiNs, _: &mut P) {
        let bytes = core::mem::take(&mut self.taken_bytes);
        let Phase::Up { link } = &mut self.phase else { return };
        if bytes == 0 {
            return;
        }
        match link.send(&self.taken[..bytes]).and_then(|sent| Ok((sent, link.unsent_bytes()?))) {
            Ok((sent, unsent)) if sent == bytes => self.unsent = unsent,
            // The kernel took a part of a message: what is left of it could only be queued, so the connection ends.
            Ok(_) => self.reset(now, DropReason::BadPacket),
            Err(error) => self.lose_by(now, &error),
        }
    }

    fn unsent(&self) -> usize {
        self.unsent
    }

    fn recall(&mut self, now: TaiNs, _: &mut P) -> bool {
        let Phase::Up { link } = &self.phase else { return false };
        let asked = link.unsent_bytes().and_then(|unsent| Ok((unsent, link.unacknowledged_bytes()?)));
        // What cannot be asked is taken for unsent.
        let (unsent, unacknowledged) = asked.unwrap_or((usize::MAX, usize::MAX));
        let left = self.risk_bytes.saturating_sub(self.acknowledged(unacknowledged));
        if left == 0 {
            return false;
        }
        // The kernel says how much has not left, not what: the last of what it was given.
        let handed_over = self.all_bytes - self.taken_bytes as u64;
        if self.risk_bytes > handed_over.saturating_sub(unsent as u64) {
            self.reset_recalled(now, left);
            return true;
        }
        let until = self.recall.map_or(now.plus(RECALL_PATIENCE_NS), |(until, _)| until);
        self.recall = Some((until, self.risk_bytes));
        self.next_poll = now;
        false
    }

    fn finish(&mut self, now: TaiNs, port: &mut P, reason: DropReason) {
        match core::mem::replace(&mut self.phase, Phase::Over) {
            // Dropped, it is closed in order: what it brought was read.
            Phase::Up { link } => drop(link),
            other => {
                self.phase = other;
                return self.abort(now, port, reason);
            }
        }
        self.count(TcpCounter::Finished, 1);
        self.down_pending = Some(DownReason::Dropped(reason));
        self.back_off(now);
    }

    fn abort(&mut self, now: TaiNs, _: &mut P, reason: DropReason) {
        self.reset(now, reason);
    }

    fn settled(&mut self) {
        self.failures = 0;
        self.surveyed = false;
    }

    fn close(&mut self, _: TaiNs, _: &mut P) {
        // Dropping the link closes it in order; the kernel sees to the rest.
        self.phase = Phase::Over;
    }

    fn connect_failure(&self) -> Option<ConnectFailure> {
        self.connect_failure
    }

    fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    fn next_deadline(&self) -> TaiNs {
        self.next_poll
    }

    fn mirror(&self, now: TaiNs) -> ConnState {
        let state = match self.phase {
            Phase::Up { .. } => CONN_STATE_KERNEL,
            // Before it is up there is nothing that the venue would cancel.
            Phase::Connecting { .. } | Phase::Waiting { .. } | Phase::Over => CONN_STATE_CLOSED,
        };
        let (own_ip, own_port) = self.own.map_or(([0; 4], 0), |own| (own.ip().octets(), own.port()));
        let (peer_ip, peer_port) = (self.venue.ip().octets(), self.venue.port());
        ConnState { own_ip, own_port, peer_ip, peer_port, state, tai_ns: now.0, ..ConnState::default() }
    }

    fn counters(&self) -> &TcpCounters {
        &self.counters
    }
}
