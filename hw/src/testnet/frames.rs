//! Frames to send in tests, built field by field so that a test can spoil the one it is about.

use std::net::Ipv4Addr;

use super::{APPLIANCE_MAC, PEER_MAC};

/// The Internet checksum (RFC 1071) of `bytes`, with a starting sum.
pub fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An Ethernet frame from the peer to the appliance, in the making.
#[derive(Clone, Debug)]
pub struct FrameBuilder {
    vlan_tags: Vec<u16>,
    destination: [u8; 6],
    source: [u8; 6],
}

impl Default for FrameBuilder {
    fn default() -> Self {
        Self { vlan_tags: Vec::new(), destination: APPLIANCE_MAC, source: PEER_MAC }
    }
}

impl FrameBuilder {
    /// From the peer to the appliance, untagged.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a VLAN tag: 802.1ad for all but the innermost, which is 802.1Q.
    pub fn vlan(mut self, id: u16) -> Self {
        self.vlan_tags.push(id);
        self
    }

    /// Sends to this MAC.
    pub fn destination(mut self, mac: [u8; 6]) -> Self {
        self.destination = mac;
        self
    }

    /// Sends from this MAC.
    pub fn source(mut self, mac: [u8; 6]) -> Self {
        self.source = mac;
        self
    }

    /// The frame with this EtherType and what follows it.
    pub fn ethernet(&self, ether_type: u16, rest: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(14 + 4 * self.vlan_tags.len() + rest.len());
        frame.extend(self.destination);
        frame.extend(self.source);
        for (index, id) in self.vlan_tags.iter().enumerate() {
            let innermost = index + 1 == self.vlan_tags.len();
            frame.extend(if innermost { 0x8100u16 } else { 0x88a8 }.to_be_bytes());
            frame.extend(id.to_be_bytes());
        }
        frame.extend(ether_type.to_be_bytes());
        frame.extend(rest);
        frame
    }

    /// An IPv4 packet without options; `flags` is the word with the flags and the fragment offset.
    pub fn ipv4(&self, protocol: u8, from: Ipv4Addr, to: Ipv4Addr, flags: u16, segment: &[u8]) -> Vec<u8> {
        self.ethernet(0x0800, &ipv4_packet(protocol, from, to, flags, segment))
    }

    /// A UDP datagram with both checksums right.
    pub fn udp(&self, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
        let mut segment = Vec::with_capacity(8 + payload.len());
        segment.extend(from.1.to_be_bytes());
        segment.extend(to.1.to_be_bytes());
        segment.extend((8 + payload.len() as u16).to_be_bytes());
        segment.extend([0, 0]);
        segment.extend(payload);
        let sum = transport_checksum(17, from.0, to.0, &segment);
        // 0 would mean "no checksum" (RFC 768).
        segment[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
        self.ipv4(17, from.0, to.0, 0, &segment)
    }

    /// A bare TCP SYN with its checksum right.
    pub fn tcp_syn(&self, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
        let mut segment = Vec::with_capacity(20);
        segment.extend(from.1.to_be_bytes());
        segment.extend(to.1.to_be_bytes());
        segment.extend(1u32.to_be_bytes());
        segment.extend(0u32.to_be_bytes());
        segment.extend([5 << 4, 0x02]);
        segment.extend(1024u16.to_be_bytes());
        segment.extend([0; 4]);
        let sum = transport_checksum(6, from.0, to.0, &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        self.ipv4(6, from.0, to.0, 0, &segment)
    }

    /// An ARP request or answer (`operation` 1 or 2) for IPv4 over Ethernet.
    pub fn arp(&self, operation: u16, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
        let mut packet = Vec::with_capacity(28);
        packet.extend([0, 1, 8, 0, 6, 4]);
        packet.extend(operation.to_be_bytes());
        packet.extend(self.source);
        packet.extend(from.octets());
        packet.extend([0; 6]);
        packet.extend(to.octets());
        self.ethernet(0x0806, &packet)
    }
}

fn ipv4_packet(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, flags: u16, segment: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(20 + segment.len());
    packet.extend([0x45, 0]);
    packet.extend((20 + segment.len() as u16).to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(flags.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    let sum = checksum(&packet, 0);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(segment);
    packet
}

fn transport_checksum(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, segment: &[u8]) -> u16 {
    let mut pseudo = Vec::with_capacity(12);
    pseudo.extend(from.octets());
    pseudo.extend(to.octets());
    pseudo.extend([0, protocol]);
    pseudo.extend((segment.len() as u16).to_be_bytes());
    let start = u32::from(!checksum(&pseudo, 0));
    checksum(segment, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_a_built_frame_verify() {
        let (from, to) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(239, 1, 2, 3));
        let frame = FrameBuilder::new().udp((from, 1000), (to, 2000), b"odd");
        assert_eq!(checksum(&frame[14..34], 0), 0, "an IPv4 header sums to zero with its checksum in place");
        assert_eq!(transport_checksum(17, from, to, &frame[34..]), 0);
    }

    #[test]
    fn rfc_1071_example() {
        // RFC 1071, section 3: these bytes sum to ddf2.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0), !0xddf2);
    }
}
