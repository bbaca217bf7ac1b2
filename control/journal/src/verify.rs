//! Reading every bit of a journal and saying what is wrong with it, and what of it is proven by what.

mod segment;

use crate::JournalError;
use crate::beginning::{Beginning, Deletion, beginning, beginning_path, deletions};
use crate::format::segment_path;
use crate::head::{self, Head, head_path};
use crate::recover::segments_there;
use crate::seal::Seal;
use segment::Progress;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use tern_abi::record::{Kind, RecordHeader, ShedRecord};
use zerocopy::FromBytes;

/// Gaps and damages listed; further gaps are only counted.
const GAPS_LISTED: usize = 1000;

/// Segments missing in a row that are listed; those behind them are listed as one.
const MISSING_LISTED: u64 = 100;

/// A place where a journal does not hold what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where the record, header or footer begins that is damaged.
    pub offset: u64,
    /// What is wrong with it.
    pub what: &'static str,
    /// Header of the last whole record before it.
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

/// Records in a row whose checksums and chain are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first one's `seq`.
    pub first_seq: u64,
    /// The last one's.
    pub last_seq: u64,
    /// Time of the first one, TAI ns.
    pub first_tai_ns: u64,
    /// Time of the last one.
    pub last_tai_ns: u64,
    /// The head or seal that the chain leads to: not a byte of them was changed since that was written. `None`: nothing outside
    /// the segments says so; whoever can write them could have made them anew.
    pub proven_by: Option<String>,
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
    /// What is damaged, the first thousand places. Reading goes on with the next block.
    pub damages: Vec<Damage>,
    /// What is sound between damages, and what proves it.
    pub stretches: Vec<Stretch>,
    /// What the head file says; `None` if there is none that can be read.
    pub head: Option<Head>,
    /// What was deleted before the first segment, the last time first.
    pub deletions: Vec<Deletion>,
    /// Segments that were deleted with their days and are still there: they are not read.
    pub leftovers: u64,
    /// Seals by which something of what was deleted would be proven, if it were there.
    pub of_deleted: Vec<String>,
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
        }
        // Of a journal whose first days were deleted the last `seq` before the first record is known.
        if self.last_seq > 0 && header.seq > self.last_seq + 1 {
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

/// A head from somewhere, which the journal is held against.
struct Claim {
    name: String,
    head: Head,
    /// Instance whose journal it is; a head does not say.
    instance: Option<String>,
    /// The segment was reached far enough to say whether it is right.
    is_decided: bool,
}

impl Claim {
    fn of_seal(seal: &Seal) -> Self {
        let instance = Some(seal.instance.clone());
        Self { name: seal.name(), head: seal.head, instance, is_decided: false }
    }

    fn of_head(head: Head) -> Self {
        Self { name: "the head".to_owned(), head, instance: None, is_decided: false }
    }

    /// Whether it says the same of the journal up to there: the instance, how many records, and `seq` of the last.
    fn is_of(&self, instance: &str, counted: (u64, u64)) -> bool {
        self.instance.as_deref().is_none_or(|own| own == instance) && (self.head.records, self.head.last_seq) == counted
    }
}

impl Progress {
    /// What is told of what was deleted, and the seals of that.
    fn deleted(&mut self, folder: &Path, begins: &Beginning, claims: Vec<Claim>) -> Result<(), JournalError> {
        match deletions(folder) {
            Ok(found) => self.found.deletions = found,
            Err((found, JournalError::Damaged(damage))) => {
                self.found.deletions = found;
                self.found.damages.push(damage);
            }
            Err((_, error)) => return Err(error),
        }
        for claim in claims {
            let same_place = |deletion: &&Deletion| {
                let head = &deletion.seal.head;
                (head.segment, head.bytes) == (claim.head.segment, claim.head.bytes)
            };
            let at = self.found.deletions.iter().find(same_place);
            let is_it = at.is_none_or(|deletion| {
                deletion.seal.head == claim.head
                    && claim.instance.as_ref().is_none_or(|instance| *instance == deletion.seal.instance)
            });
            if is_it {
                let proven = at.is_some_and(|deletion| Some(deletion) == begins.deletion.as_ref());
                let what = if proven { "the journal begins where it ends" } else { "what it proves was deleted" };
                self.found.of_deleted.push(format!("{}: {what}", claim.name));
            } else {
                let path = beginning_path(folder);
                self.found.damages.push(Damage { path, offset: 0, what: NOT_THE_SEAL, after: None });
            }
        }
        Ok(())
    }
}

const NOT_THE_SEAL: &str = "what was deleted does not end as the seal says that was kept elsewhere";

/// Reads the whole journal in `folder`. Damage is part of what is found, not an error.
///
/// # Errors
/// `Version`, `Io`.
pub fn verify(folder: &Path) -> Result<Verified, JournalError> {
    verify_with(folder, &[])
}

/// As [`verify`], and holds the journal against seals that were kept elsewhere.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(folder: &Path, seals: &[Seal]) -> Result<Verified, JournalError> {
    let begins = || beginning(folder).ok().map(|begins| begins.segment);
    loop {
        let before = begins();
        let outcome = read_all(folder, seals);
        // Days that were deleted meanwhile are not missing.
        if begins() == before {
            return outcome;
        }
    }
}

fn read_all(folder: &Path, seals: &[Seal]) -> Result<Verified, JournalError> {
    // Before the files: it never runs ahead of them.
    let (known, bad_head) = match head::read(folder) {
        Ok(known) => (known, None),
        Err(JournalError::Damaged(damage)) => (None, Some(damage)),
        Err(error) => return Err(error),
    };
    let (begins, bad_beginning) = match beginning(folder) {
        Ok(begins) => (begins, None),
        // Where it begins nobody can tell: what is there is read.
        Err(JournalError::Damaged(damage)) => {
            let first = segments_there(folder)?.first().copied().unwrap_or(1).max(1);
            (Beginning { segment: first, deletion: None }, Some(damage))
        }
        Err(error) => return Err(error),
    };
    let mut there = segments_there(folder)?;
    let leftovers = there.range(1..begins.segment).count() as u64;
    there = there.split_off(&begins.segment);
    let is_same_boot = known.is_some_and(|known| known.boot == head::this_boot());
    let mut claims: Vec<Claim> = (seals.iter())
        .map(Claim::of_seal)
        .chain(known.map(|known| Claim::of_head(known.head)))
        .filter(|claim| claim.head.segment > 0)
        .collect();
    claims.sort_by_key(|claim| (claim.head.segment, claim.head.bytes));
    let behind = claims.partition_point(|claim| claim.head.segment < begins.segment);
    let of_deleted: Vec<Claim> = claims.drain(..behind).collect();
    let numbers: BTreeSet<u64> = (claims.iter()).map(|claim| claim.head.segment).chain(there.iter().copied()).collect();
    let last = numbers.last().copied().unwrap_or(0);

    let is_known = bad_beginning.is_none();
    let mut progress = Progress::new(claims, is_same_boot, is_known.then(|| begins.clone()));
    progress.found.head = known.map(|known| known.head);
    progress.found.leftovers = leftovers;
    let is_head_missing = bad_head.is_none();
    progress.found.damages.extend(bad_head);
    progress.found.damages.extend(bad_beginning);
    if is_known {
        progress.deleted(folder, &begins, of_deleted)?;
    }
    if known.is_none() && is_head_missing && !there.is_empty() {
        let what = "it is missing: nobody can tell whether the journal still has its end";
        progress.found.damages.push(Damage { path: head_path(folder), offset: 0, what, after: None });
    }
    let mut next = begins.segment;
    for number in numbers.range(next..).copied() {
        // Any number may be noted, or be the name of a file that came from elsewhere.
        let named = number.min(next.saturating_add(MISSING_LISTED));
        for missing in next..named {
            progress.look_at(segment_path(folder, missing), missing, false)?;
        }
        if named < number {
            progress.missing(segment_path(folder, named), named, number - named > 1);
        }
        progress.look_at(segment_path(folder, number), number, number == last)?;
        next = number.saturating_add(1);
    }
    Ok(progress.finish())
}

#[cfg(test)]
mod tests;
