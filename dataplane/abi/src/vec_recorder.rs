//! A recorder that keeps every record in ordinary memory: for tests, and for replays that compare what came out.

extern crate alloc;

use crate::record::{Kind, RecordHeader, Recorder, RingFull};
use alloc::vec::Vec;
use zerocopy::{FromBytes, IntoBytes};

/// Records end to end: header, body, padding to 8 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VecRecorder {
    bytes: Vec<u8>,
    recorded: u64,
}

impl VecRecorder {
    /// Every record so far, in order.
    pub fn iter(&self) -> Records<'_> {
        Records { rest: &self.bytes }
    }

    /// The bodies of the records of one kind, in order.
    pub fn bodies(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(move |(header, _)| header.kind == kind as u16).map(|(_, body)| body)
    }
}

impl<'a> IntoIterator for &'a VecRecorder {
    type Item = (RecordHeader, &'a [u8]);
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.iter()
    }
}

impl Recorder for VecRecorder {
    fn record(&mut self, tai_ns: u64, kind: Kind, parts: &[&[u8]]) -> Result<(), RingFull> {
        let body_bytes = parts.iter().map(|part| part.len()).sum::<usize>() as u32;
        let header = RecordHeader { seq: self.next_seq(), tai_ns, kind: kind as u16, flags: 0, body_bytes };
        self.bytes.extend_from_slice(header.as_bytes());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.recorded += 1;
        Ok(())
    }

    fn next_seq(&self) -> u64 {
        self.recorded + 1
    }

    fn has_room_for_orders(&self) -> bool {
        true
    }
}

/// The records of a [`VecRecorder`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = (RecordHeader, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = RecordHeader::read_from_prefix(self.rest).ok()?;
        let (body, _) = rest.split_at_checked(header.body_bytes as usize)?;
        self.rest = rest.get(body.len().next_multiple_of(8)..).unwrap_or_default();
        Some((header, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_in_order() {
        let mut recorder = VecRecorder::default();
        for (kind, parts) in
            [(Kind::Timer, &[][..]), (Kind::Datagram, &[&b"head"[..], &b"pay"[..]]), (Kind::Order, &[&b"12345678"[..]])]
        {
            recorder.record(9, kind, parts).expect("memory does not run full");
        }
        let found: Vec<_> = recorder.iter().map(|(header, body)| (header.seq, header.kind, body)).collect();
        assert_eq!(
            found,
            [
                (1, Kind::Timer as u16, &b""[..]),
                (2, Kind::Datagram as u16, b"headpay"),
                (3, Kind::Order as u16, b"12345678")
            ]
        );
        assert_eq!(recorder.next_seq(), 4);
        assert!(recorder.bodies(Kind::Order).eq([b"12345678"]));
    }
}
