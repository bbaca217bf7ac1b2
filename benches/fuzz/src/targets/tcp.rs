//! The order connection over a port: any frames from the wire, with everything that the loop does between them.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress,
    IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, TcpTimestampRepr,
};
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use tern_core::session::DropReason;
use tern_core::testing::Mint;
use tern_core::units::TaiNs;
use tern_dataplane::net::bypass::{BypassConfig, BypassTcp};
use tern_dataplane::net::{OrderTransport, TransportEvent};
use tern_hw::memory::{FRAME_BYTES, MemoryPort};

use crate::input::Choices;

const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const VENUE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OURS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const VENUE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, 1), 9000);
/// Small, so that floods reach the end of the window.
const RECEIVE_BYTES: usize = 1 << 14;
/// What our stack may hold unacknowledged.
const TRANSMIT_BYTES: usize = 1 << 14;

thread_local! {
    /// Costs more to make than an execution; what it gives does not depend on what it gave.
    static MINT: RefCell<Mint> = RefCell::new(Mint::default());
}

struct World {
    now: TaiNs,
    port: MemoryPort,
    ours: BypassTcp,
    is_reading: bool,
    /// Sequence number that the venue sends from, as it chose.
    venue_seq: u32,
    /// Sequence number behind the last order of the connection from this port.
    order_end: Option<(u16, u32)>,
    /// Orders up to this sequence number were recalled, on the connection from this port.
    recalled: Option<(u16, u32)>,
}

/// Any frames, segments with right checksums and any numbers among them, while orders are sent and recalled.
pub(super) fn ingress(data: &[u8]) {
    let mut choices = Choices(data);
    let mut world = World {
        now: TaiNs(1_000_000_000_000),
        port: MemoryPort::new(64),
        ours: connection(),
        is_reading: true,
        venue_seq: choices.u32(),
        order_end: None,
        recalled: None,
    };
    world.poll();
    while !choices.is_empty() {
        world.step(&mut choices);
        world.poll();
        assert!(OrderTransport::<MemoryPort>::room(&world.ours) <= TRANSMIT_BYTES);
    }
}

/// Room for what the venue sent, and for what we sent.
struct Buffers {
    receive: [u8; RECEIVE_BYTES],
    transmit: [u8; TRANSMIT_BYTES],
}

/// A connection in memory that every execution uses again.
fn connection() -> BypassTcp {
    thread_local! {
        static BUFFERS: *mut Buffers =
            Box::into_raw(Box::new(Buffers { receive: [0; RECEIVE_BYTES], transmit: [0; TRANSMIT_BYTES] }));
    }
    // SAFETY: never freed, and the connection of the execution before is gone.
    let buffers = unsafe { &mut *BUFFERS.with(|buffers| *buffers) };
    let config = BypassConfig::new(OUR_MAC, OURS, 24, VENUE);
    BypassTcp::with_buffers(config, &mut buffers.receive, &mut buffers.transmit).expect("a valid configuration")
}

impl World {
    fn poll(&mut self) {
        self.ours.poll(self.now, &mut self.port);
        let mut buffer = [0; 512];
        while self.is_reading
            && let Some(event) = OrderTransport::<MemoryPort>::next_event(&mut self.ours, self.now, &mut buffer)
        {
            if let TransportEvent::Bytes(count) = event {
                assert!(count <= buffer.len());
            }
        }
        self.take_frames();
    }

    fn take_frames(&mut self) {
        let mut frame = [0; FRAME_BYTES];
        while let Some(length) = self.port.take(&mut frame) {
            self.check_sent(&frame[..length]);
        }
    }

    /// No recalled byte leaves again.
    fn check_sent(&self, frame: &[u8]) {
        let Ok(ip) = Ipv4Packet::new_checked(&frame[14..]) else { return };
        let Ok(tcp) = TcpPacket::new_checked(ip.payload()) else { return };
        let Some((port, end)) = self.recalled else { return };
        let from = tcp.seq_number().0.cast_unsigned();
        let is_keep_alive = tcp.payload() == [0];
        if tcp.src_port() == port && !tcp.payload().is_empty() && !is_keep_alive {
            assert!(from.wrapping_sub(end).cast_signed() >= 0, "recalled bytes left: {from} of {end}");
        }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.u8() % 16 {
            0 => self.stage(choices.piece()),
            1 => self.arp(choices),
            2..=4 => self.segment(choices),
            5 => self.handshake(),
            6 => self.now = self.now.plus(u64::from(choices.u16()) * 1_000),
            7 => self.now = self.now.plus(u64::from(choices.u16()) * 100_000),
            8..=10 => {
                let connection = *self.ours.connection();
                if MINT.with_borrow_mut(|mint| mint.order(&[7; 40], &mut self.ours)) {
                    self.order_end = Some((connection.local_port, connection.next.wrapping_add(40)));
                }
                // Or it is recalled before it has left.
                if choices.one_in(8) {
                    self.recall();
                }
                self.ours.flush(self.now, &mut self.port);
            }
            11 => {
                MINT.with_borrow_mut(|mint| mint.control(&[7; 20], &mut self.ours));
                self.ours.flush(self.now, &mut self.port);
            }
            12 => self.recall(),
            13 => self.ours.abort(self.now, &mut self.port, DropReason::Silence),
            14 if choices.u8() == 0 => self.ours.close(self.now, &mut self.port),
            14 => self.flood(choices),
            _ => self.acknowledge(choices),
        }
    }

    /// What left until now is gone; nothing of the orders may leave after this.
    fn recall(&mut self) {
        self.take_frames();
        self.ours.recall(self.now, &mut self.port);
        self.recalled = self.order_end;
    }

    fn stage(&mut self, frame: &[u8]) {
        OrderTransport::<MemoryPort>::stage(&mut self.ours, frame);
        self.poll();
    }

    fn arp(&mut self, choices: &mut Choices<'_>) {
        let reply = ArpRepr::EthernetIpv4 {
            operation: if choices.u8() & 1 == 0 { ArpOperation::Reply } else { ArpOperation::Request },
            source_hardware_addr: EthernetAddress(VENUE_MAC),
            source_protocol_addr: *VENUE.ip(),
            target_hardware_addr: EthernetAddress(OUR_MAC),
            target_protocol_addr: OURS,
        };
        let mut frame = vec![0; 14 + reply.buffer_len()];
        ethernet(EthernetProtocol::Arp).emit(&mut EthernetFrame::new_unchecked(&mut frame));
        reply.emit(&mut ArpPacket::new_unchecked(&mut frame[14..]));
        self.stage(&frame);
    }

    /// The venue's answer to our SYN.
    fn handshake(&mut self) {
        let ack = self.ours.connection().next;
        self.send(TcpControl::Syn, self.venue_seq, Some(ack), 60_000, &[]);
        self.venue_seq = self.venue_seq.wrapping_add(1);
    }

    /// The venue has so many bytes more of us.
    fn acknowledge(&mut self, choices: &mut Choices<'_>) {
        let connection = *self.ours.connection();
        let more = u32::from(choices.u8()).min(connection.next.wrapping_sub(connection.unacknowledged));
        let ack = connection.unacknowledged.wrapping_add(more);
        self.send(TcpControl::None, connection.expected, Some(ack), choices.u16(), &[]);
    }

    /// A segment near what we expect.
    fn segment(&mut self, choices: &mut Choices<'_>) {
        let connection = *self.ours.connection();
        let control = match choices.u8() % 8 {
            0 => TcpControl::Syn,
            1 => TcpControl::Fin,
            2 => TcpControl::Rst,
            3 => TcpControl::Psh,
            _ => TcpControl::None,
        };
        let near = |number: u32, choices: &mut Choices<'_>| match choices.u8() {
            0..128 => number,
            128 => choices.u32(),
            delta => number.wrapping_add(u32::from(delta)).wrapping_sub(192),
        };
        let seq = near(connection.expected, choices);
        let ack = near(connection.next, choices);
        let ack = (choices.u8() != 0).then_some(ack);
        let window = choices.u16();
        self.send(control, seq, ack, window, choices.piece());
    }

    /// In-order bytes up to the end of our window or beyond, nothing of which is read, then perhaps a FIN.
    fn flood(&mut self, choices: &mut Choices<'_>) {
        let (length, count) = (usize::from(choices.u16()) % 1400, u32::from(choices.u8()));
        self.is_reading = false;
        for _ in 0..count {
            let connection = *self.ours.connection();
            let seq = self.venue_seq;
            self.send(TcpControl::None, seq, Some(connection.next), 60_000, &[0; 1400][..length]);
            self.venue_seq = seq.wrapping_add(length as u32);
        }
        let ack = self.ours.connection().next;
        let last = if choices.u8() & 1 == 0 { TcpControl::Fin } else { TcpControl::None };
        self.send(last, self.venue_seq, Some(ack), 60_000, choices.piece());
        self.is_reading = true;
    }

    fn send(&mut self, control: TcpControl, seq: u32, ack: Option<u32>, window_len: u16, payload: &[u8]) {
        let connection = self.ours.connection();
        let tcp = TcpRepr {
            src_port: VENUE.port(),
            dst_port: connection.local_port.max(1),
            control,
            seq_number: TcpSeqNumber(seq.cast_signed()),
            ack_number: ack.map(|ack| TcpSeqNumber(ack.cast_signed())),
            window_len,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None::<TcpTimestampRepr>,
            payload,
        };
        let ip = Ipv4Repr {
            src_addr: *VENUE.ip(),
            dst_addr: OURS,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 64,
        };
        let checksums = ChecksumCapabilities::default();
        let mut frame = vec![0; 14 + ip.buffer_len() + tcp.buffer_len()];
        ethernet(EthernetProtocol::Ipv4).emit(&mut EthernetFrame::new_unchecked(&mut frame));
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &checksums);
        let (from, to) = (IpAddress::Ipv4(*VENUE.ip()), IpAddress::Ipv4(OURS));
        tcp.emit(&mut TcpPacket::new_unchecked(&mut frame[34..]), &from, &to, &checksums);
        self.stage(&frame);
    }
}

fn ethernet(ethertype: EthernetProtocol) -> EthernetRepr {
    EthernetRepr { src_addr: EthernetAddress(VENUE_MAC), dst_addr: EthernetAddress(OUR_MAC), ethertype }
}
