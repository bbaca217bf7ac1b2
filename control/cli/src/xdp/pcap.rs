//! Packet captures: the classic format with nanoseconds (magic a1b23c4d), Ethernet.

use std::io::{self, Write};
use std::net::Ipv4Addr;

/// Bytes of Ethernet, IPv4 and UDP headers in front of a payload.
pub(crate) const HEADER_BYTES: usize = 14 + 20 + 8;
/// Longest payload of a UDP datagram.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 65_535 - 20 - 8;

/// What stands in front of a capture's packets.
///
/// # Errors
/// What the file reported.
pub(crate) fn write_header(out: &mut impl Write) -> io::Result<()> {
    const MAGIC_NS: u32 = 0xa1b2_3c4d;
    const SNAP_BYTES: u32 = 262_144;
    const ETHERNET: u32 = 1;
    out.write_all(&MAGIC_NS.to_le_bytes())?;
    out.write_all(&2u16.to_le_bytes())?;
    out.write_all(&4u16.to_le_bytes())?;
    out.write_all(&[0; 8])?;
    out.write_all(&SNAP_BYTES.to_le_bytes())?;
    out.write_all(&ETHERNET.to_le_bytes())
}

/// A datagram that came at `utc_ns` to `group`, with the headers that are known of it: the source is not, and is 0.0.0.0:0;
/// `number` is the packet's IP id. Payloads beyond [`PAYLOAD_BYTES_MAX`] are no datagrams.
///
/// # Errors
/// What the file reported.
pub(crate) fn write_datagram(
    out: &mut impl Write,
    utc_ns: u64,
    (group, port): (Ipv4Addr, u16),
    number: u16,
    payload: &[u8],
) -> io::Result<()> {
    let bytes = (HEADER_BYTES + payload.len()) as u32;
    for word in [(utc_ns / 1_000_000_000) as u32, (utc_ns % 1_000_000_000) as u32, bytes, bytes] {
        out.write_all(&word.to_le_bytes())?;
    }
    out.write_all(&headers(group, port, number, payload.len()))?;
    out.write_all(payload)
}

fn headers(group: Ipv4Addr, port: u16, number: u16, payload_bytes: usize) -> [u8; HEADER_BYTES] {
    let to = group.octets();
    let mut bytes = [0; HEADER_BYTES];
    if group.is_multicast() {
        // RFC 1112, 6.4: the low 23 bits of the group.
        bytes[..6].copy_from_slice(&[0x01, 0x00, 0x5e, to[1] & 0x7f, to[2], to[3]]);
    }
    bytes[12..14].copy_from_slice(&[0x08, 0x00]);
    let udp_bytes = (payload_bytes + 8) as u16;
    let ip = &mut bytes[14..34];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&(udp_bytes + 20).to_be_bytes());
    ip[4..6].copy_from_slice(&number.to_be_bytes());
    ip[8..10].copy_from_slice(&[1, 17]);
    ip[16..20].copy_from_slice(&to);
    let sum: u32 = ip.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    bytes[36..38].copy_from_slice(&port.to_be_bytes());
    // A checksum of 0 says that there is none (RFC 768).
    bytes[38..40].copy_from_slice(&udp_bytes.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_laid_out_as_readers_want_it() {
        let group = Ipv4Addr::new(239, 205, 1, 2);
        let mut file = Vec::new();
        write_header(&mut file).expect("memory");
        write_datagram(&mut file, 1_795_354_953_000_000_007, (group, 26_400), 9, b"tick").expect("memory");
        assert_eq!(file[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(file[20..24], [1, 0, 0, 0], "Ethernet");
        assert_eq!(file[24..28], 1_795_354_953u32.to_le_bytes());
        assert_eq!(file[28..36], [7, 0, 0, 0, 46, 0, 0, 0]);
        let frame = &file[40..];
        assert_eq!(frame[..6], [1, 0, 0x5e, 77, 1, 2]);
        let sum: u32 = frame[14..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "RFC 1071: a header with its checksum sums to ones");
        assert_eq!((&frame[16..18], &frame[36..40]), (&[0, 32][..], &[0x67, 0x20, 0, 12][..]));
        assert_eq!(&frame[42..], b"tick");
    }
}
