//! A received frame: the steering record in front, then an Ethernet frame (AF_XDP) or a UDP payload (kernel sockets).
//!
//! [`classify`] is the one place that decides what a frame is; its every way out is a [`Frame`] or a counted
//! [`WireDrop`].

use crate::units::{LineId, StreamId, TaiNs};
use tern_abi::counter_enum;
use tern_abi::steer::{FRAME_ARP, FRAME_RECORD_BYTES, FRAME_TCP, FRAME_UDP, FrameRecord, STEER_VERSION};
use zerocopy::FromBytes;

counter_enum! {
    /// Why a received frame was dropped before any protocol saw it.
    pub enum WireDrop {
        NoRecord = "wire_no_record": "Frames too short for the steering record in front.",
        Version = "wire_version": "Frames whose steering record has another layout version.",
        Kind = "wire_kind": "Frames whose steering record is of an unknown kind.",
        Truncated = "wire_truncated": "Datagrams whose payload reaches beyond the end of the frame.",
        Offset = "wire_offset": "Datagrams whose payload would start inside the Ethernet header.",
        NoFrame = "wire_no_frame": "Frames for the TCP stack shorter than an Ethernet header.",
    }
}

/// Length of an Ethernet header without tags, bytes.
const ETHERNET_HEADER_BYTES: usize = 14;

/// A UDP payload of a subscribed stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Stream that the subscription names.
    pub stream: StreamId,
    /// Line of the stream that the subscription names.
    pub line: LineId,
    /// When the XDP program or the kernel socket saw it.
    pub arrival: TaiNs,
    /// When the NIC saw it, if it says so.
    pub nic: Option<TaiNs>,
    /// UDP payload.
    pub payload: &'a [u8],
}

/// What a received frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A datagram of a stream.
    Datagram(Datagram<'a>),
    /// A TCP or ARP frame, from its Ethernet header on, for our TCP stack.
    Stack(&'a [u8]),
}

/// Reads what a port handed out: record, then frame.
///
/// # Errors
/// Why the frame is to be dropped; the caller counts it.
#[inline]
pub fn classify(bytes: &[u8]) -> Result<Frame<'_>, WireDrop> {
    let (record, frame) = FrameRecord::read_from_prefix(bytes).map_err(|_| WireDrop::NoRecord)?;
    if record.version != STEER_VERSION {
        return Err(WireDrop::Version);
    }
    match record.kind {
        FRAME_UDP => datagram(&record, frame).map(Frame::Datagram),
        FRAME_TCP | FRAME_ARP if frame.len() < ETHERNET_HEADER_BYTES => Err(WireDrop::NoFrame),
        FRAME_TCP | FRAME_ARP => Ok(Frame::Stack(frame)),
        _ => Err(WireDrop::Kind),
    }
}

/// The payload that `record` names; offset 0 means that no Ethernet frame is there, only the payload.
#[inline]
fn datagram<'a>(record: &FrameRecord, frame: &'a [u8]) -> Result<Datagram<'a>, WireDrop> {
    let start = usize::from(record.payload_offset);
    if start != 0 && start < ETHERNET_HEADER_BYTES {
        return Err(WireDrop::Offset);
    }
    let payload = frame.get(start..start + usize::from(record.payload_bytes)).ok_or(WireDrop::Truncated)?;
    Ok(Datagram {
        stream: StreamId(record.stream),
        line: LineId(record.line.into()),
        arrival: TaiNs(record.arrival_tai_ns),
        nic: (record.nic_ns != 0).then_some(TaiNs(record.nic_ns)),
        payload,
    })
}

const _: () = assert!(size_of::<FrameRecord>() == FRAME_RECORD_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;
    use zerocopy::IntoBytes;

    fn framed(record: FrameRecord, frame: &[u8]) -> Vec<u8> {
        [record.as_bytes(), frame].concat()
    }

    fn udp(offset: u16, bytes: u16) -> FrameRecord {
        FrameRecord {
            version: STEER_VERSION,
            kind: FRAME_UDP,
            stream: 7,
            payload_offset: offset,
            payload_bytes: bytes,
            arrival_tai_ns: 11,
            nic_ns: 0,
            ..FrameRecord::default()
        }
    }

    #[test]
    fn a_datagram_is_found_behind_its_headers_and_padding_is_left_out() {
        let mut frame = [0_u8; 60];
        frame[42..45].copy_from_slice(b"abc");
        let bytes = framed(udp(42, 3), &frame);
        let expected =
            Datagram { stream: StreamId(7), line: LineId(0), arrival: TaiNs(11), nic: None, payload: b"abc" };
        assert_eq!(classify(&bytes), Ok(Frame::Datagram(expected)));
    }

    #[test]
    fn the_socket_port_puts_the_payload_right_behind_the_record() {
        let bytes = framed(FrameRecord { nic_ns: 9, line: 1, ..udp(0, 3) }, b"abc");
        let expected =
            Datagram { stream: StreamId(7), line: LineId(1), arrival: TaiNs(11), nic: Some(TaiNs(9)), payload: b"abc" };
        assert_eq!(classify(&bytes), Ok(Frame::Datagram(expected)));
        assert!(matches!(classify(&framed(udp(0, 0), b"")), Ok(Frame::Datagram(d)) if d.payload.is_empty()));
    }

    #[test]
    fn each_malformed_frame_has_its_reason() {
        let cases: [(Vec<u8>, WireDrop); 7] = [
            (Vec::new(), WireDrop::NoRecord),
            ([0_u8; FRAME_RECORD_BYTES - 1].to_vec(), WireDrop::NoRecord),
            (framed(FrameRecord { version: STEER_VERSION + 1, ..udp(0, 0) }, b""), WireDrop::Version),
            (framed(FrameRecord { kind: 9, ..udp(0, 0) }, b""), WireDrop::Kind),
            (framed(udp(42, 4), &[0; 45]), WireDrop::Truncated),
            (framed(udp(13, 1), &[0; 45]), WireDrop::Offset),
            (framed(FrameRecord { kind: FRAME_TCP, ..udp(0, 0) }, &[0; 13]), WireDrop::NoFrame),
        ];
        for (bytes, reason) in cases {
            assert_eq!(classify(&bytes), Err(reason), "{bytes:?}");
        }
    }

    #[test]
    fn tcp_and_arp_go_to_the_stack_whole() {
        for kind in [FRAME_TCP, FRAME_ARP] {
            let bytes = framed(FrameRecord { kind, ..udp(0, 0) }, &[5; 60]);
            assert_eq!(classify(&bytes), Ok(Frame::Stack(&[5; 60])));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Frame::Datagram(datagram)) = classify(&bytes) {
                prop_assert!(datagram.payload.len() <= bytes.len() - FRAME_RECORD_BYTES);
            }
        }

        #[test]
        fn any_record_has_a_verdict(offset: u16, length: u16, frame in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = framed(udp(offset, length), &frame);
            let fits = usize::from(offset) + usize::from(length) <= frame.len();
            match classify(&bytes) {
                Ok(Frame::Datagram(d)) => prop_assert!(fits && d.payload.len() == usize::from(length)),
                Ok(Frame::Stack(_)) => prop_assert!(false),
                Err(WireDrop::Truncated) => prop_assert!(!fits),
                Err(reason) => prop_assert_eq!(reason, WireDrop::Offset),
            }
        }
    }
}
