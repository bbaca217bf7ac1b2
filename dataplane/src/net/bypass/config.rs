//! Where the order connection goes, and how patient it is.

use smoltcp::wire::Ipv4Address;
use std::net::SocketAddrV4;

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
