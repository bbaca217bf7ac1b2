//! The order connection: bytes of the gate's outbox on one side, a port or a kernel socket on the other.
//!
//! The rule of this room: **a closed window means refuse, never queue.** A transport takes bytes only when they can leave
//! at once, so that no order waits where a kill cannot reach it. And it takes no slice: as a [`Carrier`] it is given what
//! the gate's outbox and the session's control buffer made, by the pipeline.

pub mod bypass;
mod device;
pub mod kernel;
pub mod mirror;

use tern_abi::counter_enum;
use tern_abi::segment::ConnState;
use tern_core::input::DownReason;
use tern_core::outbox::Carrier;
use tern_core::session::DropReason;
use tern_core::units::TaiNs;
use tern_hw::port::Port;

counter_enum! {
    /// What an order connection counts.
    pub enum TcpCounter {
        SegmentsIn = "tcp_segments_in": "TCP segments taken from the port for our connection.",
        SegmentsOut = "tcp_segments_out": "TCP segments handed to the port.",
        Arp = "tcp_arp": "ARP frames taken from the port.",
        BytesIn = "tcp_bytes_in": "Bytes received in order.",
        BytesOut = "tcp_bytes_out": "Bytes taken for sending.",
        Malformed = "tcp_malformed": "Frames that are no IPv4 TCP segment or ARP packet, dropped.",
        BadChecksum = "tcp_bad_checksum": "Segments with a wrong checksum, dropped.",
        Unacceptable = "tcp_unacceptable": "Segments of our connection without ACK, dropped.",
        OtherConnection = "tcp_other_connection": "Segments of a connection that is not ours any more; answered with a reset.",
        Retransmits = "tcp_retransmits": "Segments sent again.",
        Connects = "tcp_connects": "Connections established.",
        ConnectFailures = "tcp_connect_failures": "Attempts to connect that failed, for any reason.",
        ConnectUnreachable = "tcp_connect_unreachable": "Attempts for which nobody answered on the link (ARP) or no route is known.",
        ConnectRefused = "tcp_connect_refused": "Attempts that the venue's host refused.",
        ConnectUnanswered = "tcp_connect_unanswered": "Attempts that the venue's host did not answer in time.",
        PeerClosed = "tcp_peer_closed": "Connections that the venue closed.",
        PeerReset = "tcp_peer_reset": "Connections that the venue reset.",
        TimedOut = "tcp_timed_out": "Connections on which nothing was acknowledged in time.",
        Finished = "tcp_finished": "Connections that we closed in order because the venue ended the session.",
        Aborts = "tcp_aborts": "Connections that we reset.",
        Recalled = "tcp_recalled": "Connections that we reset because order bytes could not be recalled otherwise.",
        RecalledBytes = "tcp_recalled_bytes": "Bytes, up to the last new order, that were not acknowledged then and were not sent (again).",
        Refused = "tcp_refused": "Sends refused because the bytes could not leave at once.",
        FrameShortage = "tcp_frame_shortage": "Times that no free frame was left for a segment.",
    }
}

/// Counters of a connection, in [`TcpCounter`] order.
pub type TcpCounters = [u64; TcpCounter::COUNT];

/// Why an attempt to connect failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// Nobody on the link answers for the venue or the next hop (ARP), or no route is known.
    Unreachable,
    /// The venue's host refused.
    Refused,
    /// The venue's host did not answer in time.
    Unanswered,
    /// This host cannot make the connection: no such local address, no port left.
    Local,
}

impl ConnectFailure {
    /// Where it is counted, beside [`TcpCounter::ConnectFailures`].
    const fn counter(self) -> Option<TcpCounter> {
        match self {
            Self::Unreachable => Some(TcpCounter::ConnectUnreachable),
            Self::Refused => Some(TcpCounter::ConnectRefused),
            Self::Unanswered => Some(TcpCounter::ConnectUnanswered),
            Self::Local => None,
        }
    }
}

/// What happened on the connection, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportEvent {
    /// Established.
    Up,
    /// So many bytes were put into the caller's buffer.
    Bytes(usize),
    /// Gone; comes only after `Up`, and after the last bytes.
    Down(DownReason),
}

/// An order connection that connects, and connects again, by itself.
///
/// What it takes as a [`Carrier`] leaves with the next [`OrderTransport::flush`]; several messages taken in a row leave
/// in one segment. It refuses what does not fit into [`OrderTransport::room`].
pub trait OrderTransport<P: Port>: Carrier {
    /// Hands over a frame that the loop diverted; it is copied, the caller releases it. There is place for one frame:
    /// [`OrderTransport::poll`] follows each.
    fn stage(&mut self, frame: &[u8]);
    /// Whether `poll` has something to do: cheap enough for every turn of the loop.
    fn wants_poll(&self, now: TaiNs) -> bool;
    /// Works off staged frames and timers. What is to be transmitted is submitted to `port`; the caller kicks.
    fn poll(&mut self, now: TaiNs, port: &mut P);
    /// The next event since the last poll; bytes go to `buffer`.
    fn next_event(&mut self, now: TaiNs, buffer: &mut [u8]) -> Option<TransportEvent>;
    /// How many bytes would leave at once if they were sent now.
    fn room(&self) -> usize;
    /// Sends what was taken. It fits the venue's window: nothing stays behind but for a full TX ring or a lost
    /// neighbour.
    fn flush(&mut self, now: TaiNs, port: &mut P);
    /// Bytes taken that have not left the host yet.
    fn unsent(&self) -> usize;
    /// Trading was stopped: new orders and replaces that were taken may not leave any more, be it for the first time or
    /// again. Resets the connection when that is the only way, now or as soon as it turns out; returns whether it did so
    /// at once.
    fn recall(&mut self, now: TaiNs, port: &mut P) -> bool;
    /// Closes the connection in order, which is then down for `reason`, and connects again after the back-off. What still
    /// comes on it is not looked at.
    fn finish(&mut self, now: TaiNs, port: &mut P, reason: DropReason);
    /// Resets the connection, which is then down for `reason`; connects again after the back-off, or at once when the
    /// reason is a survey.
    fn abort(&mut self, now: TaiNs, port: &mut P, reason: DropReason);
    /// The session on this connection has come as far as it should: the back-off begins anew. A venue that takes the
    /// connection but refuses the session is no success.
    fn settled(&mut self);
    /// Closes the connection for good.
    fn close(&mut self, now: TaiNs, port: &mut P);
    /// Whether anything is left to be transmitted or acknowledged.
    fn is_closed(&self) -> bool;
    /// Why the last attempt to connect failed; `None` before any failed and once one succeeded.
    fn connect_failure(&self) -> Option<ConnectFailure>;
    /// When `poll` is wanted at the latest.
    fn next_deadline(&self) -> TaiNs;
    /// The connection's numbers as they stand in the shared segment.
    fn mirror(&self, now: TaiNs) -> ConnState;
    /// Counters, in [`TcpCounter`] order.
    fn counters(&self) -> &TcpCounters;
}
