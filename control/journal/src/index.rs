//! Where in a segment what lies: by order, instrument, reason of a refusal, time and `seq`; kept in a file beside the segment.
//!
//! ```text
//! NNNNNNNN.index  header (128 bytes): magic, version, crc over all up to the postings, number, bytes, records and chain of the
//!                 segment, counts; the tables; the postings, in pages of 4096 bytes, each with its crc in the tables
//! ```
//! An index is made of its segment and can be made again at any time. It counts only as long as its checksums are right and it
//! names the chain at the segment's end, or, of one that is still being written, at a mark that is there: what lies before
//! a mark stays as it is, so that only what lies behind it has to be read. Any other index is passed over and made anew in
//! memory. A query finds the same with it, without it, and with a broken one. What it points to is read from the segment and checked there. Who forges
//! its checksums too can hide a record from queries: [`Index::check`] tells that, by making it again.

mod build;
mod file;
mod so_far;

pub use so_far::SoFar;

use crate::format::{RecordHead, segment_path};
use crate::reader::{Reader, Record};
use crate::recover::segment_span;
use crate::recovered::{day_begin_of, day_begins_behind, day_begins_in};
use crate::scan::{Scan, Step};
use crate::{Chain, JournalError};
use build::Until;
use file::Kept;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use tern_abi::record::RecordHeader;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes read for a record that is looked up: longer than all but long ones.
const LOOKUP_BYTES: usize = 1 << 10;
/// A window is this much of the segment.
const WINDOW_BYTES: u64 = 64 << 10;

/// One thing said of a record: its key, and where it lies in the segment, in units of 8 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Posting {
    key: u32,
    at: u32,
}

impl Posting {
    fn offset(self) -> u64 {
        u64::from(self.at) * 8
    }
}

/// A record says the symbol of an instrument, and what came before it in the segment did not say the same.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Said {
    at: u32,
    instrument: u32,
    symbol: [u8; 8],
}

/// The records that begin in so much of the segment.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Window {
    first_offset: u64,
    first_seq: u64,
    min_ns: u64,
    max_ns: u64,
}

/// By what records are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    /// Orders, what the venue said of them, stage stamps.
    Order,
    /// Orders, what the venue said of them, refusals, positions.
    Instrument,
    /// Refusals.
    Reason,
}

const KEYS: usize = 3;
const KEY_ORDER: [Key; KEYS] = [Key::Order, Key::Instrument, Key::Reason];

/// How far an index goes in its segment, and what proves that the segment is still the same up to there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reach {
    /// To where the segment ended when it was read: nothing proves it.
    #[default]
    Now,
    /// To the mark that lies at [`Tables::bytes`] and has this chain; `last_seq` is that of the record before it.
    Mark { chain: Chain, last_seq: u64 },
    /// To the segment's end, which has this chain.
    End(Chain),
}

/// What is small enough to be had at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tables {
    /// Where the last record ends, and how many there are up to there.
    bytes: u64,
    records: u64,
    reach: Reach,
    /// Start records; keys are zero.
    starts: Vec<Posting>,
    said: Vec<Said>,
    /// The first record of an instrument whose symbol nothing before it in the run and the segment says; key: instrument.
    unsaid: Vec<Posting>,
    /// Replaces: where, the order replaced, and by which; in the order of the records.
    replaces: Vec<[u32; 3]>,
    windows: Vec<Window>,
}

impl Tables {
    /// Up to where an index is made that goes as far.
    fn until(&self) -> Until {
        if matches!(self.reach, Reach::Mark { .. }) { Until::Mark(self.bytes) } else { Until::Now }
    }
}

/// The postings by each key, ascending.
type Postings = [Vec<Posting>; KEYS];

/// The index of one segment, from its file or made anew, or both.
pub struct Index {
    folder: PathBuf,
    number: u64,
    tables: Tables,
    /// What its file has.
    kept: Option<Kept>,
    /// All the others, which lie behind those.
    postings: Postings,
    scan: Option<Scan>,
}

/// Segments of the journal in `folder` from the one that holds `seq` on.
///
/// # Errors
/// As [`Reader::open_near`](crate::Reader::open_near).
pub fn segments_from(folder: &Path, seq: u64) -> Result<RangeInclusive<u64>, JournalError> {
    let span = segment_span(folder)?;
    let first = if seq == 0 { *span.start() } else { crate::reader::segment_near(folder, seq)? };
    Ok(first..=*span.end())
}

/// `seq` of the start record with which the last day of the journal in `folder` begins, as
/// [`last_day_begins`](crate::recovered::last_day_begins) says it; segments that have their index are not read for it.
///
/// # Errors
/// `Missing`, `Damaged`, `Version`, `Io`.
pub fn last_day_begins(folder: &Path) -> Result<u64, JournalError> {
    for number in segment_span(folder)?.rev() {
        let Some((tables, kept)) = file::open(folder, number)? else {
            match day_begins_in(folder, number)? {
                0 => continue,
                begins => return Ok(begins),
            }
        };
        if matches!(tables.reach, Reach::Mark { .. }) {
            match day_begins_behind(folder, number, tables.bytes)? {
                0 => {}
                begins => return Ok(begins),
            }
        }
        if let Some(start) = tables.starts.last().map(|posting| posting.offset()) {
            let mut index = Index::of(folder, number, tables, Some(kept), Postings::default());
            let (record, _) = index.record_at(start)?;
            return Ok(day_begin_of(record.body, record.header.seq));
        }
    }
    Ok(0)
}

/// The mark at `offset` of segment `number`: the chain and the records before it, and `seq` of the last of them; `None` when
/// no mark lies there.
fn mark_at(folder: &Path, number: u64, offset: u64) -> Result<Option<(Reach, u64)>, JournalError> {
    let mut scan = Scan::open(&segment_path(folder, number), number)?.in_pieces(LOOKUP_BYTES);
    scan.go_to(offset)?;
    let Step::Mark(mark, whole) = scan.step()? else { return Ok(None) };
    let head = RecordHead::read_from_prefix(scan.bytes(whole)).ok();
    Ok(head.map(|(head, _)| (Reach::Mark { chain: mark.chain, last_seq: head.header.seq }, mark.records)))
}

impl Index {
    /// The index of segment `number` of the journal in `folder`: its file, as far as that goes and is right, and what it is not
    /// told by it is read from the segment. Of one that is being written it has what is there now.
    ///
    /// # Errors
    /// `Damaged`, `Missing`, `Version`, `Io` of the segment. An index file that is wrong is no error.
    pub fn open(folder: &Path, number: u64) -> Result<Self, JournalError> {
        Self::open_until(folder, number, Until::Now)
    }

    /// As [`open`](Self::open), without a look at the file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn make(folder: &Path, number: u64) -> Result<Self, JournalError> {
        Self::read(folder, number, None, Until::Now)
    }

    /// As [`open`](Self::open), but of a segment that is being written only what lies before its last mark: that can be
    /// [written](Self::write).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn so_far(folder: &Path, number: u64) -> Result<Self, JournalError> {
        Self::open_until(folder, number, Until::Mark(u64::MAX))
    }

    fn open_until(folder: &Path, number: u64, until: Until) -> Result<Self, JournalError> {
        match file::open(folder, number)? {
            // Nothing lies behind it.
            Some((tables, kept)) if matches!(tables.reach, Reach::End(_)) => {
                Ok(Self::of(folder, number, tables, Some(kept), Postings::default()))
            }
            known => Self::read(folder, number, known, until),
        }
    }

    /// Reads the segment, behind what is `known`.
    fn read(folder: &Path, number: u64, known: Option<(Tables, Kept)>, until: Until) -> Result<Self, JournalError> {
        let (tables, kept) = known.unzip();
        let (tables, postings) = build::build(folder, number, tables, until)?;
        Ok(Self::of(folder, number, tables, kept, postings))
    }

    fn of(folder: &Path, number: u64, tables: Tables, kept: Option<Kept>, postings: Postings) -> Self {
        Self { folder: folder.to_owned(), number, tables, kept, postings, scan: None }
    }

    /// Whether all of it came from its file.
    pub fn is_kept(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.reach == self.tables.reach)
    }

    /// Number of its segment.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Records of the segment.
    pub fn records(&self) -> u64 {
        self.tables.records
    }

    /// Writes it beside its segment; where that is. `None` when its file says the same already, or nothing could tell later
    /// whether it still counts: the segment is not finished, and it was not made up to a mark.
    ///
    /// # Errors
    /// `Io`, and as [`open`](Self::open).
    pub fn write(&self) -> Result<Option<PathBuf>, JournalError> {
        if self.is_kept() || self.tables.reach == Reach::Now {
            return Ok(None);
        }
        let Some(kept) = &self.kept else {
            return file::write(&self.folder, self.number, &self.tables, &self.postings).map(Some);
        };
        let mut all = Postings::default();
        for (key, all) in KEY_ORDER.into_iter().zip(&mut all) {
            let Some(known) = kept.all(key)? else {
                // A page is wrong: the file is as good as none.
                return Self::read(&self.folder, self.number, None, self.tables.until())?.write();
            };
            *all = known;
            all.extend(&self.postings[key as usize]);
            // Two runs, each ascending: the stable sort sees that.
            all.sort();
        }
        file::write(&self.folder, self.number, &self.tables, &all).map(Some)
    }

    /// Whether the segment's index file says what the segment does; `None` when there is none that counts.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn check(folder: &Path, number: u64) -> Result<Option<bool>, JournalError> {
        let Some((tables, kept)) = file::open(folder, number)? else { return Ok(None) };
        let (made, postings) = build::build(folder, number, None, tables.until())?;
        let mut is_same = tables == made;
        for (key, wanted) in KEY_ORDER.into_iter().zip(&postings) {
            is_same = is_same && kept.all(key)?.as_ref() == Some(wanted);
        }
        Ok(Some(is_same))
    }

    /// Where start records lie, ascending.
    pub fn starts(&self) -> impl Iterator<Item = u64> {
        self.tables.starts.iter().map(|posting| posting.offset())
    }

    /// Which records say the symbol of an instrument: where they lie, ascending, the instrument, the symbol.
    pub fn said(&self) -> impl Iterator<Item = (u64, u32, [u8; 8])> {
        self.tables.said.iter().map(|said| (u64::from(said.at) * 8, said.instrument, said.symbol))
    }

    /// Instruments with records whose symbol nothing before them in the segment and the run says, and where the first lies.
    pub fn unsaid(&self) -> impl Iterator<Item = (u64, u32)> {
        self.tables.unsaid.iter().map(|posting| (posting.offset(), posting.key))
    }

    /// Replaces in the order in which they were sent: where they lie, the order that was replaced, and by which.
    pub fn replaces(&self) -> impl Iterator<Item = (u64, u32, u32)> {
        self.tables.replaces.iter().map(|[at, replaced, by]| (u64::from(*at) * 8, *replaced, *by))
    }

    /// Where orders, the venue's word and stage stamps of order `order` lie, ascending.
    ///
    /// # Errors
    /// As [`open`](Self::open): a part of the file that is wrong is made anew.
    pub fn of_order(&mut self, order: u32) -> Result<Vec<u64>, JournalError> {
        Ok(self.find(Key::Order, &BTreeSet::from([order]))?.into_iter().map(Posting::offset).collect())
    }

    /// Where orders, the venue's word, refusals and positions of an instrument lie, ascending.
    ///
    /// # Errors
    /// As [`of_order`](Self::of_order).
    pub fn of_instrument(&mut self, instrument: u32) -> Result<Vec<u64>, JournalError> {
        Ok(self.of_instruments(&BTreeSet::from([instrument]))?.into_iter().map(|(_, at)| at).collect())
    }

    /// As [`of_instrument`](Self::of_instrument), of several: the instrument and where, ascending.
    ///
    /// # Errors
    /// As [`of_order`](Self::of_order).
    pub fn of_instruments(&mut self, instruments: &BTreeSet<u32>) -> Result<Vec<(u32, u64)>, JournalError> {
        let found = self.find(Key::Instrument, instruments)?;
        Ok(found.into_iter().map(|posting| (posting.key, posting.offset())).collect())
    }

    /// Where refusals for a reason lie, ascending.
    ///
    /// # Errors
    /// As [`of_order`](Self::of_order).
    pub fn of_reason(&mut self, reason: u32) -> Result<Vec<u64>, JournalError> {
        Ok(self.find(Key::Reason, &BTreeSet::from([reason]))?.into_iter().map(Posting::offset).collect())
    }

    /// Parts of the segment in which records of these times may lie; a part begins with a record. The last may go on to
    /// `u64::MAX`.
    pub fn windows(&self, times: &RangeInclusive<u64>) -> Vec<Range<u64>> {
        let windows = &self.tables.windows;
        let ends = windows.iter().skip(1).map(|window| window.first_offset).chain([u64::MAX]);
        let hit = |window: &Window| window.min_ns <= *times.end() && window.max_ns >= *times.start();
        (windows.iter().zip(ends))
            .filter(|(window, _)| hit(window))
            .map(|(window, end)| window.first_offset..end)
            .collect()
    }

    /// The record at `offset`, and where the next begins.
    ///
    /// # Errors
    /// `Damaged` when there is none; `Io`.
    pub fn record_at(&mut self, offset: u64) -> Result<(Record<'_>, u64), JournalError> {
        let scan = match &mut self.scan {
            Some(scan) => scan,
            none => {
                none.insert(Scan::open(&segment_path(&self.folder, self.number), self.number)?.in_pieces(LOOKUP_BYTES))
            }
        };
        if scan.offset() != offset {
            scan.go_back(offset, RecordHeader::default())?;
        }
        let segment = self.number;
        loop {
            let offset = scan.offset();
            match scan.step()? {
                Step::Record { header, body, .. } => {
                    let next = scan.offset();
                    return Ok((Record { header, body: scan.bytes(body), segment, offset }, next));
                }
                // Between two blocks: the record is the one behind it.
                Step::Mark(..) => {}
                Step::Footer(_) | Step::End | Step::Torn => {
                    return Err(JournalError::Damaged(scan.damage("a record is expected here, and there is none")));
                }
                Step::Bad(what) => return Err(JournalError::Damaged(scan.damage(what))),
            }
        }
    }

    /// The record `seq`, if the segment has it.
    ///
    /// # Errors
    /// As [`record_at`](Self::record_at).
    pub fn record_of(&mut self, seq: u64) -> Result<Option<Record<'_>>, JournalError> {
        let windows = &self.tables.windows;
        let behind = windows.partition_point(|window| window.first_seq <= seq);
        let Some(window) = behind.checked_sub(1) else { return Ok(None) };
        let end = windows.get(behind).map_or(u64::MAX, |window| window.first_offset);
        let mut at = windows[window].first_offset;
        let last = self.tables.bytes;
        while at < end.min(last) {
            let (record, next) = self.record_at(at)?;
            match record.header.seq.cmp(&seq) {
                std::cmp::Ordering::Less => at = next,
                std::cmp::Ordering::Equal => return self.record_at(at).map(|(record, _)| Some(record)),
                std::cmp::Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Whether it is of a finished segment: nothing can come behind what it knows of it.
    pub fn is_finished(&self) -> bool {
        matches!(self.tables.reach, Reach::End(_))
    }

    /// Reads on behind the last record that the index knows.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn behind(&self) -> Result<Reader, JournalError> {
        let mut reader = Reader::open_segment(&self.folder, self.number);
        if let Some(window) = self.tables.windows.last() {
            // The records of the last window are passed over, so that damage behind them names the one before it.
            reader.begin_at(window.first_offset, window.first_seq)?;
            while reader.next()?.is_some_and(|record| record.end() < self.tables.bytes) {}
        }
        Ok(reader)
    }

    /// Where the last record ends that the index knows.
    pub fn end(&self) -> u64 {
        self.tables.bytes
    }

    fn find(&mut self, key: Key, wanted: &BTreeSet<u32>) -> Result<Vec<Posting>, JournalError> {
        let mut found = Vec::new();
        if let Some(kept) = &self.kept {
            match kept.find(key, wanted)? {
                Some(known) => found = known,
                // A page is wrong: the file is as good as none.
                None => *self = Self::make(&self.folder, self.number)?,
            }
        }
        let known = found.len();
        let postings = &self.postings[key as usize];
        for wanted in wanted {
            let from = postings.partition_point(|posting| posting.key < *wanted);
            found.extend(postings[from..].iter().take_while(|posting| posting.key == *wanted));
        }
        if known > 0 && known < found.len() {
            // Two runs, each ascending.
            found.sort();
        }
        Ok(found)
    }
}
