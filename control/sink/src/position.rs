//! How far a sink is. The store keeps it with the rows, so that one is never without the other.

use serde::{Deserialize, Serialize};
use tern_abi::record::RecordHeader;
use zerocopy::IntoBytes as _;

/// The last record that a store holds, and what tells its journal from any other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Instance whose journal it is; empty while nothing is stored.
    pub instance: String,
    /// Segment of the last record; 0 while nothing is stored.
    pub segment: u64,
    /// The chain before that segment, in hexadecimal: over every byte of all segments before.
    pub chain: String,
    /// `seq` of the last record.
    pub seq: u64,
    /// Its time, TAI ns.
    pub tai_ns: u64,
    /// [`checksum`] of it.
    pub crc: u32,
    /// The start record of its run; 0 = none was seen.
    pub start_seq: u64,
    /// Records up to there, of all kinds.
    pub records: u64,
    /// Of those, rows that are stored.
    pub rows: u64,
    /// Of those, records of which no row could be made.
    pub unreadable: u64,
}

impl Position {
    /// Whether `other` names the same record of the same journal.
    pub fn is_at(&self, other: &Self) -> bool {
        (&self.instance, self.segment, &self.chain, self.seq, self.tai_ns, self.crc)
            == (&other.instance, other.segment, &other.chain, other.seq, other.tai_ns, other.crc)
    }

    /// As messages name it.
    pub fn name(&self) -> String {
        if self.seq == 0 {
            return "nothing yet".to_owned();
        }
        let Self { instance, segment, seq, tai_ns, crc, .. } = self;
        format!("record {seq} of instance `{instance}` (segment {segment}, TAI ns {tai_ns}, checksum {crc:08x})")
    }
}

/// CRC-32 over a record's header and body: tells it from another one with its number.
pub fn checksum(header: &RecordHeader, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header.as_bytes());
    hasher.update(body);
    hasher.finalize()
}
