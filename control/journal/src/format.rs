//! Bytes of a segment file; the layout is at the top of the crate.

use crc32fast::Hasher;
use std::path::{Path, PathBuf};
use tern_abi::record::RecordHeader;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of the format.
pub const JOURNAL_VERSION: u32 = 2;

/// Longest body of a record; more than the largest ring takes.
pub const BODY_BYTES_MAX: usize = 1 << 26;

pub(crate) const HEADER_BYTES: usize = size_of::<FileHeader>();
pub(crate) const HEAD_BYTES: usize = size_of::<RecordHead>();
pub(crate) const FOOTER_BYTES: usize = HEAD_BYTES + size_of::<Footer>();
pub(crate) const FOOTER_KIND: u16 = u16::MAX;
pub(crate) const MARK_BYTES: usize = HEAD_BYTES + size_of::<Mark>();
pub(crate) const MARK_KIND: u16 = u16::MAX - 1;
/// A block ends before it grows beyond this: damage that has a right checksum is narrowed down to so much.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

pub(crate) const MAGIC: [u8; 8] = *b"TERNJRNL";

/// A value of the chain: SHA-256 over the bytes of a block, which begins with the value of the block before.
pub type Chain = [u8; 32];

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct FileHeader {
    magic: [u8; 8],
    pub(crate) version: u32,
    header_bytes: u32,
    instance: [u8; 32],
    pub(crate) number: u64,
    /// No record has a lower one.
    pub(crate) first_seq: u64,
    pub(crate) created_tai_ns: u64,
    pub(crate) previous: Chain,
    /// Records of the segments before.
    pub(crate) records_before: u64,
    reserved: [u8; 12],
    crc: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct RecordHead {
    pub(crate) header: RecordHeader,
    crc: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Footer {
    pub(crate) chain: Chain,
    pub(crate) records: u64,
    pub(crate) last_seq: u64,
}

/// The end of a block, and the first record of the next.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Mark {
    /// Of the block that ends here.
    pub(crate) chain: Chain,
    /// Records of the segment so far.
    pub(crate) records: u64,
    /// Bytes of the segment that were on the disk for sure when this was written.
    pub(crate) durable_bytes: u64,
}

/// What is wrong with a file's first bytes.
pub(crate) enum BadHeader {
    Damaged(&'static str),
    Version(u32),
}

impl FileHeader {
    pub(crate) fn new(instance: &str, number: u64, first: &RecordHeader, previous: Chain, records_before: u64) -> Self {
        let mut name = [0; 32];
        let bytes = instance.as_bytes();
        let len = bytes.len().min(name.len());
        name[..len].copy_from_slice(&bytes[..len]);
        let mut header = Self {
            magic: MAGIC,
            version: JOURNAL_VERSION,
            header_bytes: HEADER_BYTES as u32,
            instance: name,
            number,
            first_seq: first.seq,
            created_tai_ns: first.tai_ns,
            previous,
            records_before,
            reserved: [0; 12],
            crc: 0,
        };
        header.crc = header.checksum();
        header
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BadHeader> {
        let Ok((header, _)) = Self::read_from_prefix(bytes) else {
            return Err(BadHeader::Damaged("the file is shorter than its header"));
        };
        if header.magic != MAGIC {
            return Err(BadHeader::Damaged("it does not begin as a journal segment does"));
        }
        if header.crc != header.checksum() {
            return Err(BadHeader::Damaged("the header's checksum is wrong"));
        }
        if header.version != JOURNAL_VERSION {
            return Err(BadHeader::Version(header.version));
        }
        Ok(header)
    }

    pub(crate) fn instance(&self) -> String {
        let end = self.instance.iter().position(|byte| *byte == 0).unwrap_or(self.instance.len());
        String::from_utf8_lossy(&self.instance[..end]).into_owned()
    }

    fn checksum(&self) -> u32 {
        let bytes = self.as_bytes();
        crc32fast::hash(&bytes[..HEADER_BYTES - size_of::<u32>()])
    }
}

/// Checksums of the records of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Checksum(Hasher);

/// What the bytes at a record's place are.
pub(crate) enum Parsed {
    /// A record of so many bytes, padding included.
    Whole(RecordHead, usize),
    /// The beginning of a record, as far as it can be told: so many bytes are needed.
    Short(usize),
    /// Not a record.
    Bad(&'static str),
}

impl Checksum {
    pub(crate) fn new(number: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&number.to_le_bytes());
        Self(hasher)
    }

    fn of(&self, header: &RecordHeader, body_and_padding: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(header.as_bytes());
        hasher.update(body_and_padding);
        hasher.finalize()
    }

    /// Appends a record to `into`.
    pub(crate) fn encode(&self, header: &RecordHeader, body: &[u8], into: &mut Vec<u8>) {
        let start = into.len();
        into.extend_from_slice(RecordHead { header: *header, crc: 0, reserved: 0 }.as_bytes());
        into.extend_from_slice(body);
        into.resize(start + record_bytes(body.len()), 0);
        let crc = self.of(header, &into[start + HEAD_BYTES..]);
        let head = RecordHead { header: *header, crc, reserved: 0 };
        into[start..start + HEAD_BYTES].copy_from_slice(head.as_bytes());
    }

    pub(crate) fn parse(&self, bytes: &[u8]) -> Parsed {
        let Ok((head, rest)) = RecordHead::read_from_prefix(bytes) else { return Parsed::Short(HEAD_BYTES) };
        let body_bytes = head.header.body_bytes as usize;
        if head.reserved != 0 {
            return Parsed::Bad("a field that is always zero is not");
        }
        if body_bytes > BODY_BYTES_MAX {
            return Parsed::Bad("its length is impossible");
        }
        let whole = record_bytes(body_bytes);
        let Some(body_and_padding) = rest.get(..whole - HEAD_BYTES) else { return Parsed::Short(whole) };
        if head.crc != self.of(&head.header, body_and_padding) {
            return Parsed::Bad("its checksum is wrong");
        }
        Parsed::Whole(head, whole)
    }
}

/// Bytes that a record with such a body takes.
pub(crate) const fn record_bytes(body_bytes: usize) -> usize {
    HEAD_BYTES + body_bytes.next_multiple_of(8)
}

pub(crate) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.journal"))
}

/// The number in a segment's file name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".journal")?;
    let number = (digits.len() >= 8).then(|| digits.parse().ok()).flatten()?;
    // Only the one spelling: `+0000001.journal` is some other file.
    (format!("{number:08}") == digits).then_some(number)
}
