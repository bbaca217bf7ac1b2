//! What can be known of the connection from the segments that pass.
//!
//! smoltcp does not say how far the venue's window reaches, nor what it has sent. Both are needed: the room that is
//! left before a send has to wait, and the numbers with which somebody else can reset the connection when this process
//! is gone. So every segment is read as it passes, in both directions, after its checksum was verified.

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Address, Ipv4Packet, TcpOption, TcpPacket, TcpSeqNumber,
};
use tern_abi::segment::{CONN_STATE_CLOSED, CONN_STATE_CLOSING, CONN_STATE_ESTABLISHED, CONN_STATE_OPENING};

/// State of a connection as its segments tell it, with the values of [`tern_abi::segment::ConnState::state`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MirrorState {
    /// No connection.
    #[default]
    Closed = CONN_STATE_CLOSED,
    /// Our SYN is out.
    SynSent = CONN_STATE_OPENING,
    /// Both sides have agreed.
    Established = CONN_STATE_ESTABLISHED,
    /// One side has sent FIN.
    Closing = CONN_STATE_CLOSING,
}

/// The connection's numbers, as of the last segment that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Where it stands.
    pub state: MirrorState,
    /// Our MAC address.
    pub local_mac: [u8; 6],
    /// MAC address of the next hop to the venue.
    pub remote_mac: [u8; 6],
    /// Our address.
    pub local_address: Ipv4Address,
    /// The venue's address.
    pub remote_address: Ipv4Address,
    /// Our port.
    pub local_port: u16,
    /// The venue's port.
    pub remote_port: u16,
    /// Oldest sequence number that the venue has not acknowledged.
    pub unacknowledged: u32,
    /// Sequence number that follows the last byte ever sent.
    pub next: u32,
    /// Bytes that the venue takes from `unacknowledged` on.
    pub window_bytes: u32,
    /// Next sequence number that we expect of the venue.
    pub expected: u32,
}

/// What a received frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// An ARP packet.
    Arp,
    /// A segment of this connection.
    Segment,
    /// A segment of this connection with RST set.
    Reset,
    /// A valid segment of another connection.
    Other,
    /// A segment without ACK that is no reset: nobody sends one to a client, and the stack would take a SYN for an
    /// opening from both sides.
    Unacceptable,
    /// A segment with a wrong checksum.
    BadChecksum,
    /// Neither TCP nor ARP, or cut short.
    Malformed,
}

/// Reads along.
#[derive(Debug)]
pub struct Mirror {
    connection: Connection,
    /// Shift of the windows that the venue announces (RFC 7323 section 2).
    window_shift: u8,
    /// Sequence and acknowledgment number of the segment that last set the window (RFC 9293 section 3.4, SND.WL1/WL2).
    window_seq: TcpSeqNumber,
    window_ack: TcpSeqNumber,
}

impl Mirror {
    /// A mirror of connections from `local_address` to `remote_address`:`remote_port`.
    pub fn new(local_mac: [u8; 6], local_address: Ipv4Address, remote_address: Ipv4Address, remote_port: u16) -> Self {
        Self {
            connection: Connection {
                state: MirrorState::Closed,
                local_mac,
                remote_mac: [0; 6],
                local_address,
                remote_address,
                local_port: 0,
                remote_port,
                unacknowledged: 0,
                next: 0,
                window_bytes: 0,
                expected: 0,
            },
            window_shift: 0,
            window_seq: TcpSeqNumber(0),
            window_ack: TcpSeqNumber(0),
        }
    }

    /// The connection's numbers.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A new attempt starts from `local_port`; segments of older ones are `Other` from now on.
    pub fn begin(&mut self, local_port: u16) {
        self.connection.local_port = local_port;
        self.end();
    }

    /// The connection is gone.
    pub fn end(&mut self) {
        self.connection.state = MirrorState::Closed;
        self.connection.window_bytes = 0;
    }

    /// Bytes sent that the venue has not acknowledged.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.connection.next.wrapping_sub(self.connection.unacknowledged) as usize
    }

    /// Bytes that the venue's window still takes after everything that was sent; 0 unless established.
    #[inline]
    pub fn window_left(&self) -> usize {
        match self.connection.state {
            MirrorState::Established => (self.connection.window_bytes as usize).saturating_sub(self.in_flight()),
            _ => 0,
        }
    }

    /// Whether a frame of ours carries bytes from before `end`.
    pub fn carries_before(&self, frame: &[u8], end: u32) -> bool {
        parse(frame).is_some_and(|(_, _, tcp)| {
            tcp.src_port() == self.connection.local_port
                && !tcp.payload().is_empty()
                && is_before(raw(tcp.seq_number()), end)
        })
    }

    /// Reads a frame of ours on its way out. Returns whether it repeats bytes that were sent before.
    pub fn on_transmitted(&mut self, frame: &[u8]) -> bool {
        let Some((ethernet, ip, tcp)) = parse(frame) else { return false };
        if tcp.src_port() != self.connection.local_port {
            return false;
        }
        let connection = &mut self.connection;
        connection.remote_mac = ethernet.dst_addr().0;
        debug_assert_eq!(ip.src_addr(), connection.local_address);
        let seq = tcp.seq_number();
        let end = seq + tcp.segment_len();
        if tcp.rst() {
            connection.state = MirrorState::Closed;
            return false;
        }
        if tcp.syn() {
            let again = connection.state == MirrorState::SynSent;
            connection.state = MirrorState::SynSent;
            (connection.unacknowledged, connection.next) = (raw(seq), raw(end));
            return again;
        }
        connection.expected = raw(tcp.ack_number());
        if tcp.fin() {
            connection.state = MirrorState::Closing;
        }
        let next = TcpSeqNumber(connection.next as i32);
        if end > next {
            connection.next = raw(end);
        }
        // A keep-alive repeats one byte that is acknowledged already (RFC 9293 section 3.8.4): not a retransmission.
        seq < next && seq >= TcpSeqNumber(connection.unacknowledged as i32) && !tcp.payload().is_empty()
    }

    /// Reads a received frame and says what it is; only [`Received::Arp`] and segments may go on to the stack.
    pub fn on_received(&mut self, frame: &[u8]) -> Received {
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return Received::Malformed };
        if ethernet.ethertype() == EthernetProtocol::Arp {
            return Received::Arp;
        }
        let Some((_, ip, tcp)) = parse(frame) else { return Received::Malformed };
        let (from, to) = (IpAddress::Ipv4(ip.src_addr()), IpAddress::Ipv4(ip.dst_addr()));
        if !ip.verify_checksum() || !tcp.verify_checksum(&from, &to) {
            return Received::BadChecksum;
        }
        let connection = &self.connection;
        let ours = ip.src_addr() == connection.remote_address
            && ip.dst_addr() == connection.local_address
            && tcp.src_port() == connection.remote_port
            && tcp.dst_port() == connection.local_port;
        match (ours, tcp.rst()) {
            (false, _) => Received::Other,
            (true, true) => Received::Reset,
            (true, false) if !tcp.ack() => Received::Unacceptable,
            (true, false) => {
                self.follow(&tcp);
                Received::Segment
            }
        }
    }

    /// A valid segment of the venue without RST.
    fn follow(&mut self, tcp: &TcpPacket<&[u8]>) {
        let (seq, ack) = (tcp.seq_number(), tcp.ack_number());
        let connection = &mut self.connection;
        let (unacknowledged, next) =
            (TcpSeqNumber(connection.unacknowledged as i32), TcpSeqNumber(connection.next as i32));
        if connection.state == MirrorState::SynSent {
            if !tcp.syn() || !tcp.ack() || ack != next {
                return;
            }
            self.window_shift = announced_shift(tcp.options());
            connection.state = MirrorState::Established;
            connection.unacknowledged = raw(ack);
            connection.expected = raw(seq + tcp.segment_len());
            // The window of a SYN is never scaled (RFC 7323 section 2.2).
            connection.window_bytes = u32::from(tcp.window_len());
            (self.window_seq, self.window_ack) = (seq, ack);
            return;
        }
        if connection.state == MirrorState::Closed || !tcp.ack() || ack > next {
            return;
        }
        if ack > unacknowledged {
            connection.unacknowledged = raw(ack);
        }
        let is_newest = self.window_seq < seq || (self.window_seq == seq && self.window_ack <= ack);
        if ack >= unacknowledged && is_newest {
            connection.window_bytes = u32::from(tcp.window_len()) << self.window_shift;
            (self.window_seq, self.window_ack) = (seq, ack);
        }
        if tcp.fin() {
            connection.state = MirrorState::Closing;
        }
    }
}

/// Whether `seq` comes before `other` (RFC 9293 section 3.4: modulo 2^32).
#[inline]
pub(super) const fn is_before(seq: u32, other: u32) -> bool {
    seq.wrapping_sub(other).cast_signed() < 0
}

fn raw(seq: TcpSeqNumber) -> u32 {
    seq.0.cast_unsigned()
}

type Headers<'a> = (EthernetFrame<&'a [u8]>, Ipv4Packet<&'a [u8]>, TcpPacket<&'a [u8]>);

/// The three headers of an IPv4 TCP frame whose lengths agree with each other.
fn parse(frame: &[u8]) -> Option<Headers<'_>> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet_payload(frame)?).ok()?;
    if ip.next_header() != IpProtocol::Tcp || ip.more_frags() || ip.frag_offset() != 0 {
        return None;
    }
    let tcp = TcpPacket::new_checked(ip_payload(frame, &ip)?).ok()?;
    Some((ethernet, ip, tcp))
}

fn ethernet_payload(frame: &[u8]) -> Option<&[u8]> {
    frame.get(EthernetFrame::<&[u8]>::header_len()..)
}

fn ip_payload<'a>(frame: &'a [u8], ip: &Ipv4Packet<&[u8]>) -> Option<&'a [u8]> {
    let ip_bytes = ethernet_payload(frame)?;
    ip_bytes.get(usize::from(ip.header_len())..usize::from(ip.total_len()))
}

/// The window shift that a SYN announces; none means 0. Values above 14 count as 14 (RFC 7323 section 2.3).
fn announced_shift(mut options: &[u8]) -> u8 {
    while let Ok((rest, option)) = TcpOption::parse(options) {
        match option {
            TcpOption::WindowScale(shift) => return shift.min(14),
            TcpOption::EndOfList => return 0,
            _ if rest.len() >= options.len() => return 0,
            _ => options = rest,
        }
    }
    0
}
