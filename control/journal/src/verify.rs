//! Reading every bit of a journal and saying what is wrong with it.

use crate::format::{Chain, segment_path};
use crate::recover::segment_count;
use crate::scan::{Scan, Step};
use crate::{JournalError, io_error};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use tern_abi::record::{Kind, RecordHeader, ShedRecord};
use zerocopy::{FromBytes, IntoBytes};

/// Gaps listed; further ones are only counted.
const GAPS_LISTED: usize = 1000;

/// A place where a journal does not hold what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where the record, header or footer begins that is damaged.
    pub offset: u64,
    /// What is wrong with it.
    pub what: &'static str,
    /// Header of the last whole record before it in this file.
    pub after: Option<RecordHeader>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged at offset {}: {}", self.path.display(), self.offset, self.what)?;
        match self.after {
            Some(after) => write!(f, " (after seq {}, TAI ns {})", after.seq, after.tai_ns),
            None => Ok(()),
        }
    }
}

/// Sequence numbers that no record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last `seq` before the gap.
    pub after_seq: u64,
    /// How many are missing.
    pub missing: u64,
    /// Time of the first record after it, TAI ns.
    pub tai_ns: u64,
    /// A start record follows and one is missing: the run before was killed between taking a `seq` and publishing its
    /// record; no byte of that record left the loop.
    pub at_start: bool,
}

/// What reading a whole journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments read.
    pub segments: u64,
    /// Whole records.
    pub records: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// `seq` of the first record, 0 if there is none.
    pub first_seq: u64,
    /// `seq` of the last record.
    pub last_seq: u64,
    /// Time of the last record, TAI ns.
    pub last_tai_ns: u64,
    /// Sequence numbers missing in all gaps.
    pub missing: u64,
    /// Of these, the ones that shed markers tell of.
    pub shed_datagrams: u64,
    /// Of these, the ones in front of a start record.
    pub missing_at_start: u64,
    /// The gaps, at most a thousand.
    pub gaps: Vec<Gap>,
    /// Bytes of a half-written record at the very end: the journal is being written, or its writer was killed.
    pub torn_bytes: u64,
    /// What is damaged; at most one place a segment, for nothing behind it can be told.
    pub damages: Vec<Damage>,
}

impl Verified {
    /// Whether every file holds what was written. A torn end does not count: recovery cuts it.
    pub fn is_whole(&self) -> bool {
        self.damages.is_empty()
    }

    /// Missing records that nothing accounts for.
    pub fn unexplained(&self) -> u64 {
        self.missing.saturating_sub(self.shed_datagrams + self.missing_at_start)
    }

    fn record(&mut self, header: &RecordHeader, body: &[u8]) {
        if self.records == 0 {
            self.first_seq = header.seq;
        } else if header.seq > self.last_seq + 1 {
            let missing = header.seq - self.last_seq - 1;
            let at_start = missing == 1 && header.kind == Kind::Start as u16;
            self.missing += missing;
            self.missing_at_start += u64::from(at_start);
            if self.gaps.len() < GAPS_LISTED {
                self.gaps.push(Gap { after_seq: self.last_seq, missing, tai_ns: header.tai_ns, at_start });
            }
        }
        if header.kind == Kind::Shed as u16
            && let Ok((shed, _)) = ShedRecord::read_from_prefix(body)
        {
            self.shed_datagrams += shed.datagrams;
        }
        self.records += 1;
        (self.last_seq, self.last_tai_ns) = (header.seq, header.tai_ns);
    }
}

/// Reads the whole journal in `folder`. Damage is part of what is found, not an error.
///
/// # Errors
/// `Missing`, `Version`, `Io`.
pub fn verify(folder: &Path) -> Result<Verified, JournalError> {
    let segments = segment_count(folder)?;
    let mut found = Verified { segments, ..Verified::default() };
    let mut previous = Some(Chain::default());
    for number in 1..=segments {
        let path = segment_path(folder, number);
        found.bytes += fs::metadata(&path).map_err(io_error(&path, "look at it"))?.len();
        let scan = match Scan::open(&path, number) {
            Ok(scan) => scan,
            Err(JournalError::Damaged(damage)) => {
                found.damages.push(damage);
                previous = None;
                continue;
            }
            Err(error) => return Err(error),
        };
        previous = verify_segment(scan, previous, number == segments, &mut found)?;
    }
    Ok(found)
}

/// Reads one segment; its chain, if it is whole and finished. `previous` is the chain before, if that is known.
fn verify_segment(
    mut scan: Scan,
    previous: Option<Chain>,
    is_last: bool,
    found: &mut Verified,
) -> Result<Option<Chain>, JournalError> {
    let header = *scan.header();
    if previous.is_some_and(|previous| previous != header.previous) || header.first_seq <= found.last_seq {
        found.damages.push(scan.damage("it does not follow the segment before it"));
    }
    let mut chain = Sha256::new_with_prefix(header.as_bytes());
    let mut records = 0;
    loop {
        let offset = scan.offset();
        let wrong = match scan.step()? {
            Step::Record { header: record, body, whole } => {
                chain.update(scan.bytes(whole));
                records += 1;
                found.record(&record, scan.bytes(body));
                continue;
            }
            Step::Footer(footer) => {
                let chain = Chain::from(chain.finalize());
                let sound = footer.chain == chain && footer.records == records && footer.last_seq == found.last_seq;
                let last_step = scan.step()?;
                match (sound, last_step) {
                    (true, Step::End) => return Ok(Some(chain)),
                    (false, _) => "its footer does not match its records",
                    (true, _) => "something follows its footer",
                }
            }
            Step::End if is_last => return Ok(None),
            Step::Torn if is_last => {
                if !scan.has_record_behind()? {
                    let path = scan.path();
                    found.torn_bytes = fs::metadata(path).map_err(io_error(path, "look at it"))?.len() - offset;
                    return Ok(None);
                }
                "its length is wrong"
            }
            Step::End | Step::Torn => "it ends without a footer, though segments follow",
            Step::Bad(what) => what,
        };
        found.damages.push(Damage { offset, ..scan.damage(wrong) });
        return Ok(None);
    }
}
