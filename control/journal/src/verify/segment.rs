//! Segment by segment: which blocks hold together, and which heads they lead to.

use super::{Claim, Damage, GAPS_LISTED, Stretch, Verified};
use crate::beginning::{Beginning, NOT_BEHIND_THE_DELETED};
use crate::chain::Block;
use crate::format::{Chain, Footer, Mark};
use crate::recover::{BEFORE_THE_HEAD, NOT_THE_HEAD, may_be_torn};
use crate::scan::{Scan, Step};
use crate::{JournalError, io_error};
use std::fs;
use std::path::PathBuf;
use tern_abi::record::RecordHeader;
use zerocopy::IntoBytes;

/// What was read so far.
pub(super) struct Progress {
    pub(super) found: Verified,
    claims: Vec<Claim>,
    is_same_boot: bool,
    /// Where it begins, if that is known.
    begins: Option<Beginning>,
    /// Records that were deleted.
    records_before: u64,
    /// Chain of the segment before, if its end is sound.
    previous: Option<Chain>,
    /// No segment was damaged so far: what was counted is all there is.
    is_counted: bool,
    /// The last whole record.
    last: RecordHeader,
    /// The first record since the last damage, or since the last claim that was right.
    first: Option<RecordHeader>,
}

/// The segment being read.
struct Place {
    scan: Scan,
    number: u64,
    is_last: bool,
    /// The block so far; `None` behind damage.
    block: Option<Block>,
    /// The block begins here.
    block_offset: u64,
    records: u64,
    /// Nothing was damaged so far.
    is_sound: bool,
}

impl Place {
    /// `seq` of the last record, where `last` is the last there was. A segment whose first record was never written keeps that
    /// record's place.
    fn last_seq(&self, last: &RecordHeader) -> u64 {
        match self.records {
            0 => self.scan.header().first_seq.saturating_sub(1),
            _ => last.seq,
        }
    }

    /// Goes back to `at`, behind the record `last`, if the file has not the length any more that was seen.
    fn has_grown(&mut self, at: u64, last: RecordHeader, seen: u64) -> Result<bool, JournalError> {
        if self.scan.file_bytes()? == seen {
            return Ok(false);
        }
        self.scan.go_back(at, last)?;
        Ok(true)
    }
}

impl Progress {
    /// `begins`: where the journal begins, `None` when that cannot be told.
    pub(super) fn new(claims: Vec<Claim>, is_same_boot: bool, begins: Option<Beginning>) -> Self {
        let deleted = begins.as_ref().and_then(|begins| begins.deletion.as_ref());
        let head = deleted.map(|deletion| deletion.seal.head).unwrap_or_default();
        Self {
            found: Verified { last_seq: head.last_seq, last_tai_ns: head.last_tai_ns, ..Verified::default() },
            claims,
            is_same_boot,
            previous: begins.as_ref().map(Beginning::previous),
            is_counted: begins.is_some(),
            last: RecordHeader { seq: head.last_seq, tai_ns: head.last_tai_ns, ..RecordHeader::default() },
            records_before: head.records,
            begins,
            first: None,
        }
    }

    pub(super) fn finish(mut self) -> Verified {
        self.stretch(None);
        self.found
    }

    /// The segment with this number, if it is there.
    pub(super) fn look_at(&mut self, path: PathBuf, number: u64, is_last: bool) -> Result<(), JournalError> {
        // Asked of the name: a listing may miss one that appears beside it, and have a later one.
        if !path.exists() {
            self.missing(path, number, false);
            return Ok(());
        }
        self.found.segments += 1;
        self.found.bytes += fs::metadata(&path).map_err(io_error(&path, "look at it"))?.len();
        match Scan::open_lenient(&path, number) {
            Ok(scan) => {
                if let Some(fault) = scan.fault() {
                    self.broken(Damage { offset: 0, ..scan.damage(fault) });
                }
                self.segment(scan, is_last)
            }
            Err(JournalError::Damaged(damage)) => self.without_header(damage, number, is_last),
            Err(error) => Err(error),
        }
    }

    /// A segment that is not there; `and_more`: nor are those behind it up to the next one that is, or that was noted.
    pub(super) fn missing(&mut self, path: PathBuf, number: u64, and_more: bool) {
        let is_claimed = self.claims.iter().any(|claim| claim.head.segment >= number);
        let what = match (is_claimed, and_more) {
            (true, false) => "it is missing, and what was noted of the journal goes further",
            (false, false) => "it is missing, though later ones are there",
            (true, true) => "it is missing and more behind it, and what was noted of the journal goes further",
            (false, true) => "it is missing and more behind it, though later ones are there",
        };
        self.broken(Damage { path, offset: 0, what, after: None });
        self.previous = None;
    }

    /// A segment whose header is damaged is read from its first record on: their checksums have its number too.
    pub(super) fn without_header(&mut self, damage: Damage, number: u64, is_last: bool) -> Result<(), JournalError> {
        let path = damage.path.clone();
        self.broken(damage);
        self.previous = None;
        let Some(scan) = Scan::behind_header(&path, number)? else { return Ok(()) };
        self.read(Place { scan, number, is_last, block: None, block_offset: 0, records: 0, is_sound: false })
    }

    pub(super) fn segment(&mut self, scan: Scan, is_last: bool) -> Result<(), JournalError> {
        let header = *scan.header();
        let follows = self.previous.is_none_or(|previous| previous == header.previous)
            && header.first_seq > self.last.seq
            && (!self.is_counted || header.records_before == self.records_before + self.found.records);
        let begins = self.begins.as_ref().filter(|begins| begins.segment == header.number);
        let after_deleted = begins.is_some_and(|begins| begins.check(&scan).is_err());
        if after_deleted {
            self.broken(scan.damage(NOT_BEHIND_THE_DELETED));
        } else if !follows {
            self.broken(scan.damage("it does not follow the segment before it"));
        } else if self.previous.is_none() {
            self.stretch(None);
        }
        self.previous = None;
        let block = Some(Block::beginning_with(header.as_bytes()));
        let number = header.number;
        self.read(Place { scan, number, is_last, block, block_offset: 0, records: 0, is_sound: true })
    }

    fn read(&mut self, mut place: Place) -> Result<(), JournalError> {
        loop {
            if self.is_claimed(&place) {
                let chain = place.block.as_mut().map(Block::chain);
                self.decide(&place, chain);
            }
            if !self.step(&mut place)? {
                break;
            }
        }
        let unmet = |claim: &Claim| claim.head.segment == place.number && !claim.is_decided;
        if place.is_sound && self.claims.iter().any(unmet) {
            self.broken(place.scan.damage(BEFORE_THE_HEAD));
        }
        Ok(())
    }

    /// One step; whether there is more of the segment.
    fn step(&mut self, place: &mut Place) -> Result<bool, JournalError> {
        let at = place.scan.offset();
        let wrong = match place.scan.step()? {
            Step::Record { header, body, whole } => {
                if let Some(block) = &mut place.block {
                    block.add(place.scan.bytes(whole));
                }
                place.records += 1;
                self.found.record(&header, place.scan.bytes(body));
                self.last = header;
                self.first.get_or_insert(header);
                return Ok(true);
            }
            Step::Mark(mark, whole) => {
                self.mark(place, &mark);
                let block = place.block.get_or_insert_with(|| Block::beginning_with(&[]));
                block.restart(place.scan.bytes(whole));
                place.block_offset = at;
                return Ok(true);
            }
            Step::Footer(footer) => return self.footer(place, &footer, at).map(|()| false),
            Step::End if place.is_last => return Ok(false),
            step @ (Step::Torn | Step::Bad(_)) if place.is_last => {
                let (last, seen) = (*place.scan.last(), place.scan.seen_bytes());
                if self.is_torn(place, at)? {
                    self.found.torn_bytes = place.scan.file_bytes()?.saturating_sub(at);
                    return Ok(false);
                }
                match step {
                    Step::Bad(what) => what,
                    // It was being written while it was looked at: what is whole by now is read.
                    _ if place.has_grown(at, last, seen)? => return Ok(true),
                    _ => "its length is wrong",
                }
            }
            Step::End => {
                self.broken(Damage {
                    offset: at,
                    ..place.scan.damage("it ends without a footer, though segments follow")
                });
                place.is_sound = false;
                return Ok(false);
            }
            Step::Torn => "its length is wrong",
            Step::Bad(what) => what,
        };
        self.broken(Damage { offset: at, ..place.scan.damage(wrong) });
        (place.block, place.is_sound) = (None, false);
        // The next step takes the mark that this finds, and with it the next block begins.
        Ok(place.scan.seek_mark()?.is_some())
    }

    /// Whether a killed writer or a power cut can have left what lies at `at`, behind all that is claimed.
    fn is_torn(&self, place: &mut Place, at: u64) -> Result<bool, JournalError> {
        let claimed = self.claims.iter().filter(|claim| claim.head.segment == place.number);
        if claimed.map(|claim| claim.head.bytes).max().unwrap_or(0) > at {
            return Ok(false);
        }
        may_be_torn(&mut place.scan, self.is_same_boot)
    }

    /// Holds the block that ends against its mark.
    fn mark(&mut self, place: &mut Place, mark: &Mark) {
        let Some(block) = &mut place.block else { return };
        if block.chain() == mark.chain && (!place.is_sound || place.records == mark.records) {
            return;
        }
        let damage = place.scan.damage("the block that begins here is not the one that its mark says");
        self.broken(Damage { offset: place.block_offset, ..damage });
        place.is_sound = false;
    }

    fn footer(&mut self, place: &mut Place, footer: &Footer, at: u64) -> Result<(), JournalError> {
        let chain = place.block.as_mut().map(Block::chain);
        let is_right = chain.is_none_or(|chain| chain == footer.chain)
            && (!place.is_sound || (footer.records, footer.last_seq) == (place.records, place.last_seq(&self.last)));
        if !is_right {
            place.is_sound = false;
            self.broken(Damage { offset: at, ..place.scan.damage("its footer does not match its records") });
            return Ok(());
        }
        self.decide(place, chain);
        if !matches!(place.scan.step()?, Step::End) {
            self.broken(Damage { offset: at, ..place.scan.damage("something follows its footer") });
            return Ok(());
        }
        self.previous = chain;
        Ok(())
    }

    fn is_claimed(&self, place: &Place) -> bool {
        let at = place.scan.offset();
        self.claims.iter().any(|claim| claim.head.segment == place.number && claim.head.bytes == at)
    }

    /// Holds what is known at the reading position against the heads that name it; `chain` is `None` behind damage.
    fn decide(&mut self, place: &Place, chain: Option<Chain>) {
        let at = place.scan.offset();
        let here = |claim: &Claim| claim.head.segment == place.number && claim.head.bytes == at;
        let counted = (self.records_before + self.found.records, place.last_seq(&self.last));
        let (mut names, mut wrong) = (Vec::new(), None);
        for claim in self.claims.iter_mut().filter(|claim| here(claim) && !claim.is_decided) {
            claim.is_decided = true;
            match chain {
                Some(chain) if chain != claim.head.chain => wrong = Some(NOT_THE_HEAD),
                Some(_) if self.is_counted && !claim.is_of(&place.scan.header().instance(), counted) => {
                    wrong = Some(
                        "the chain is as noted, but instance, records or last seq noted with it are not the journal's",
                    );
                }
                Some(_) => names.push(claim.name.clone()),
                None => {}
            }
        }
        if let Some(wrong) = wrong {
            self.broken(place.scan.damage(wrong));
        } else if !names.is_empty() {
            self.stretch(Some(names.join(", ")));
        }
    }

    /// Ends what is sound here.
    fn stretch(&mut self, proven_by: Option<String>) {
        let Some(first) = self.first.take() else { return };
        self.found.stretches.push(Stretch {
            first_seq: first.seq,
            last_seq: self.last.seq,
            first_tai_ns: first.tai_ns,
            last_tai_ns: self.last.tai_ns,
            proven_by,
        });
    }

    fn broken(&mut self, damage: Damage) {
        self.stretch(None);
        self.is_counted = false;
        if self.found.damages.len() < GAPS_LISTED {
            let after = (self.found.records > 0).then_some(self.last);
            self.found.damages.push(Damage { after: damage.after.or(after), ..damage });
        }
    }
}
