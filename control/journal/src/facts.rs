//! What a segment's own ends say of it: by that whoever keeps something made of a journal knows it again.

use crate::JournalError;
use crate::format::{Chain, segment_path};
use crate::recover::last_footer;
use crate::scan::Scan;
use std::path::Path;

/// What the header and the footer of a segment say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Instance whose journal it is.
    pub instance: String,
    /// `seq` of its first record.
    pub first_seq: u64,
    /// That record's time, TAI ns.
    pub first_tai_ns: u64,
    /// The chain at the end of the segment before; zeros in the first one.
    pub previous: Chain,
    /// Records of the segments before, those that were deleted too.
    pub records_before: u64,
    /// The chain at its own end; `None` when it has no footer: it is not finished, or not whole.
    pub end: Option<Chain>,
}

/// Header and footer of segment `number` of the journal in `folder`; `None` when there is no such segment. Nothing between
/// them is read.
///
/// # Errors
/// `Damaged` and `Version` of the header, `Io`.
pub fn segment_facts(folder: &Path, number: u64) -> Result<Option<SegmentFacts>, JournalError> {
    let path = segment_path(folder, number);
    if !path.exists() {
        return Ok(None);
    }
    let mut scan = Scan::open(&path, number)?;
    let header = *scan.header();
    let end = match last_footer(&mut scan) {
        Ok(footer) => Some(footer.chain),
        Err(JournalError::Damaged(_)) => None,
        Err(error) => return Err(error),
    };
    Ok(Some(SegmentFacts {
        instance: header.instance(),
        first_seq: header.first_seq,
        first_tai_ns: header.created_tai_ns,
        previous: header.previous,
        records_before: header.records_before,
        end,
    }))
}
