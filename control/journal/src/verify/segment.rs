//! Segment by segment: which blocks hold together, and which heads they lead to.

use super::{Claim, Damage, GAPS_LISTED, Stretch, Verified};
use crate::chain::Block;
use crate::format::{Chain, Footer, Mark};
use crate::recover::{BEFORE_THE_HEAD, NOT_THE_HEAD};
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
    /// Chain of the segment before, if its end is sound.
    previous: Option<Chain>,
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

impl Progress {
    pub(super) fn new(claims: Vec<Claim>, is_same_boot: bool) -> Self {
        Self {
            found: Verified::default(),
            claims,
            is_same_boot,
            previous: Some(Chain::default()),
            last: RecordHeader::default(),
            first: None,
        }
    }

    pub(super) fn finish(mut self) -> Verified {
        self.stretch(None);
        self.found
    }

    /// A segment that is not there.
    pub(super) fn missing(&mut self, path: PathBuf, number: u64) {
        let what = match self.claims.iter().any(|claim| claim.head.segment >= number) {
            true => "it is missing, and what was noted of the journal goes further",
            false => "it is missing, though later ones are there",
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
        let is_counted = self.found.damages.is_empty();
        let follows = self.previous.is_none_or(|previous| previous == header.previous)
            && header.first_seq > self.last.seq
            && (!is_counted || header.records_before == self.found.records);
        if !follows {
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
            Step::Torn | Step::Bad(_) if place.is_last && self.is_torn(place, at)? => {
                let path = place.scan.path();
                let bytes = fs::metadata(path).map_err(io_error(path, "look at it"))?.len();
                self.found.torn_bytes = bytes.saturating_sub(at);
                return Ok(false);
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
        Ok(!self.is_same_boot || !place.scan.has_record_behind()?)
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
            && (!place.is_sound || (footer.records, footer.last_seq) == (place.records, self.last.seq));
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
        let mut names = Vec::new();
        let mut is_wrong = false;
        for claim in self.claims.iter_mut().filter(|claim| here(claim) && !claim.is_decided) {
            claim.is_decided = true;
            match chain {
                Some(chain) if chain == claim.head.chain => names.push(claim.name.clone()),
                Some(_) => is_wrong = true,
                None => {}
            }
        }
        if is_wrong {
            self.broken(place.scan.damage(NOT_THE_HEAD));
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
        if self.found.damages.len() < GAPS_LISTED {
            let after = (self.found.records > 0).then_some(self.last);
            self.found.damages.push(Damage { after: damage.after.or(after), ..damage });
        }
    }
}
