//! The publisher: ITCH messages packed into MoldUDP64 packets and sent by multicast.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tern_venues::itch_ouch::wire::mold::{self, BLOCK_HEADER_BYTES, HEADER_BYTES, Header, Session};
use zerocopy::IntoBytes;

use crate::rng::Rng;

/// Largest packet: with UDP, IP and a VLAN tag it fits any Ethernet.
pub const PACKET_BYTES_MAX: usize = 1400;
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Datagrams to lose on purpose.
#[derive(Clone, Debug, Default)]
pub struct Loss {
    /// Loses the datagrams that carry these sequence numbers.
    pub sequences: Vec<u64>,
    /// Loses so many of 65,536.
    pub share: u32,
    /// Seed of the random part.
    pub seed: u64,
}

/// What was sent.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Datagrams with messages.
    pub datagrams: u64,
    /// Heartbeats and ends of session.
    pub heartbeats: u64,
    /// Datagrams lost on purpose.
    pub dropped: u64,
    /// Datagrams that the kernel did not take.
    pub failed: u64,
    /// Messages by type.
    pub by_type: BTreeMap<char, u64>,
}

/// Sends one session's messages in sequence.
pub struct Publisher {
    socket: UdpSocket,
    to: SocketAddrV4,
    session: Session,
    packet: Vec<u8>,
    count: u16,
    count_max: u16,
    next_sequence: u64,
    last_sent: Instant,
    loss: Loss,
    rng: Rng,
    type_counts: [u64; 256],
    datagrams: u64,
    heartbeats: u64,
    dropped: u64,
    failed: u64,
}

impl Publisher {
    /// Opens the socket; a packet takes at most `count_max` messages. The interface is named by its address: bound to
    /// it, Linux sends multicast out of that interface.
    ///
    /// # Errors
    /// When the address is not this host's, or the socket options are refused.
    pub fn open(to: SocketAddrV4, interface: Ipv4Addr, session: Session, count_max: u16, loss: Loss) -> Result<Self> {
        let socket = UdpSocket::bind((interface, 0))
            .with_context(|| format!("bind the feed to {interface}: give --interface an address of this host"))?;
        socket.set_multicast_ttl_v4(1).context("set the multicast TTL")?;
        socket.set_multicast_loop_v4(true).context("allow listeners on this host")?;
        let rng = Rng::new(loss.seed ^ 0x10_55);
        let mut publisher = Self {
            socket,
            to,
            session,
            packet: Vec::with_capacity(PACKET_BYTES_MAX),
            count: 0,
            count_max,
            next_sequence: 1,
            last_sent: Instant::now(),
            loss,
            rng,
            type_counts: [0; 256],
            datagrams: 0,
            heartbeats: 0,
            dropped: 0,
            failed: 0,
        };
        publisher.start_packet();
        Ok(publisher)
    }

    fn start_packet(&mut self) {
        self.packet.clear();
        self.packet.extend_from_slice(Header::new(self.session, self.next_sequence, 0).as_bytes());
        self.count = 0;
    }

    /// Takes one message; sends what was collected before when it does not fit any more.
    pub fn push(&mut self, message: &[u8]) {
        let block_bytes = BLOCK_HEADER_BYTES + message.len();
        if self.packet.len() + block_bytes > PACKET_BYTES_MAX || self.count >= self.count_max {
            self.flush();
        }
        // A longer message than 64 KiB cannot come: its own length field has 2 bytes.
        self.packet.extend_from_slice(&(message.len() as u16).to_be_bytes());
        self.packet.extend_from_slice(message);
        self.count += 1;
        self.next_sequence += 1;
        if let Some(&kind) = message.first() {
            self.type_counts[usize::from(kind)] += 1;
        }
    }

    /// Sends what was collected.
    pub fn flush(&mut self) {
        if self.count == 0 {
            return;
        }
        let first = self.next_sequence - u64::from(self.count);
        let header = Header::new(self.session, first, self.count);
        self.packet[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        let named = self.loss.sequences.iter().any(|sequence| (first..self.next_sequence).contains(sequence));
        if named || (self.loss.share > 0 && self.rng.chance(self.loss.share)) {
            self.dropped += 1;
        } else {
            match self.socket.send_to(&self.packet, self.to) {
                Ok(_) => self.datagrams += 1,
                Err(_) => self.failed += 1,
            }
        }
        self.last_sent = Instant::now();
        self.start_packet();
    }

    /// Sends a heartbeat when nothing was sent for a second.
    pub fn heartbeat_if_idle(&mut self) {
        if self.last_sent.elapsed() >= HEARTBEAT {
            self.flush();
            self.send_empty(mold::COUNT_HEARTBEAT);
        }
    }

    /// When the next heartbeat is due, from now.
    pub fn until_heartbeat(&self) -> Duration {
        HEARTBEAT.saturating_sub(self.last_sent.elapsed())
    }

    /// Says that no more messages will come. Worth saying several times: nothing repeats it.
    pub fn end_of_session(&mut self) {
        self.flush();
        self.send_empty(mold::COUNT_END_OF_SESSION);
    }

    fn send_empty(&mut self, count: u16) {
        let header = Header::new(self.session, self.next_sequence, count);
        match self.socket.send_to(header.as_bytes(), self.to) {
            Ok(_) => self.heartbeats += 1,
            Err(_) => self.failed += 1,
        }
        self.last_sent = Instant::now();
    }

    /// Sequence number of the next message.
    pub const fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// What was sent so far.
    pub fn sent(&self) -> Sent {
        let types = self.type_counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        Sent {
            datagrams: self.datagrams,
            heartbeats: self.heartbeats,
            dropped: self.dropped,
            failed: self.failed,
            by_type: types.map(|(kind, &count)| (kind as u8 as char, count)).collect(),
        }
    }
}
