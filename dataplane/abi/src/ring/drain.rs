//! What the daemon reads: both rings, merged into the one order in which the loop recorded.

#![allow(unsafe_code, reason = "says who may be the consumer of the rings")]

extern crate alloc;

use super::Corrupt;
use super::bytes::BytesConsumer;
use super::memory::{Memory, Ordering};
use super::recorder::{ORDER_SLOT_BYTES, RecordRings};
use super::slot::{SlotConsumer, SlotRecord, slots_for};
use crate::record::{RecordHeader, ShedRecord};
use alloc::vec::Vec;
use zerocopy::FromBytes;

const HEADER_BYTES: usize = size_of::<RecordHeader>();

/// Reads both rings in the order of `seq`.
///
/// A record stays in its ring until it is [`commit`](Drain::commit)ted: a daemon that was killed reads it again. The
/// journal drops what it already has.
///
/// A record that no recorder can have written ends the reading, in either ring: it is named, again at every call, and never
/// stepped over, though the capture ring may shed. What is shed was counted and has a marker; what lies behind damage is
/// anybody's guess, and a journal that went on would hold a day that replays to something else.
///
/// The merge rests on one fact: a single producer publishes in the order of `seq`. Having seen an order record, every
/// capture with a lower `seq` is visible to a later load of the capture ring's tail; having loaded the tail first and
/// then found no order record, every order record with a `seq` below the captures before that tail is already out.
pub struct Drain<'a> {
    order: SlotConsumer<'a, ORDER_SLOT_BYTES>,
    capture: BytesConsumer<'a>,
    /// Captures before this position may go out, as far as `order_seq` allows.
    capture_limit: u64,
    /// `seq` of the order record at the reading position, if one was seen.
    order_seq: Option<u64>,
    next_seq: Memory<'a>,
    /// `seq` of the last record given, 0 before the first.
    last_seq: u64,
    scratch: Vec<u8>,
}

/// A point between two records; give it to [`Drain::commit`] once everything before it is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    order: u64,
    capture: u64,
}

/// A record out of the rings.
#[derive(Clone, Copy, Debug)]
pub struct Drained<'d> {
    /// Its header.
    pub header: RecordHeader,
    /// Its body, `header.body_bytes` long.
    pub body: &'d [u8],
}

/// Which ring the next record comes from.
enum Source {
    Order,
    Capture,
    Neither,
}

impl<'a> Drain<'a> {
    /// Takes up reading at the first record that was not committed.
    ///
    /// # Errors
    /// [`Corrupt`] if the memory holds no such rings.
    ///
    /// # Safety
    /// No other drain of these rings exists as long as this one does.
    pub unsafe fn attach(rings: RecordRings<'a>) -> Result<Self, Corrupt> {
        // SAFETY: the caller's promise covers both rings.
        let (order, capture) = unsafe { (SlotConsumer::attach(rings.order)?, BytesConsumer::attach(rings.capture)?) };
        let capture_limit = capture.position();
        let next_seq = rings.next_seq;
        Ok(Self { order, capture, capture_limit, order_seq: None, next_seq, last_seq: 0, scratch: Vec::new() })
    }

    /// The next record, or `None` when all that is published was read.
    ///
    /// # Errors
    /// [`Corrupt`] if a ring holds what no recorder wrote; reading cannot go on, and every further call says the same.
    #[allow(clippy::should_implement_trait, reason = "the record borrows from the drain, which Iterator cannot say")]
    pub fn next(&mut self) -> Result<Option<Drained<'_>>, Corrupt> {
        match self.choose()? {
            Source::Neither => Ok(None),
            Source::Capture => self.take_capture().map(Some),
            Source::Order => self.take_order().map(Some),
        }
    }

    /// The point after the last record that [`next`](Self::next) gave.
    pub const fn mark(&self) -> Mark {
        Mark { order: self.order.position(), capture: self.capture.position() }
    }

    /// Gives everything before `mark` back to the producer.
    pub fn commit(&mut self, mark: Mark) {
        self.order.commit(mark.order);
        self.capture.commit(mark.capture);
    }

    /// Datagrams shed since the segment was created, and their bytes.
    pub fn shed_total(&self) -> ShedRecord {
        self.capture.shed_total()
    }

    fn choose(&mut self) -> Result<Source, Corrupt> {
        if let Some(source) = self.choose_known()? {
            return Ok(source);
        }
        // The order of these loads is what the merge rests on.
        let tail = self.capture.published()?;
        self.order_seq = self.order.peek()?.map(|record| parse(record.slot(0)).seq);
        self.capture_limit = if self.order_seq.is_some() { self.capture.published()? } else { tail };
        Ok(self.choose_known()?.unwrap_or(Source::Neither))
    }

    /// The next record among those already known to be published and in order.
    fn choose_known(&mut self) -> Result<Option<Source>, Corrupt> {
        if let Some(bytes) = self.capture.peek(self.capture_limit)? {
            // Too short to hold a seq reads as seq 0: it goes out at once, and is found out there.
            if self.order_seq.is_none_or(|order| parse(bytes).seq < order) {
                return Ok(Some(Source::Capture));
            }
        }
        Ok(self.order_seq.map(|_| Source::Order))
    }

    fn take_capture(&mut self) -> Result<Drained<'_>, Corrupt> {
        let position = self.capture.position();
        let Some(record) = self.capture.peek(self.capture_limit)? else {
            return Err(Corrupt { what: "a published capture vanished", position });
        };
        let header = parse(record);
        // Too short to hold a header it has a length that no body makes.
        if record.len() != HEADER_BYTES + header.body_bytes as usize {
            return Err(Corrupt { what: "a captured record and its header disagree on its length", position });
        }
        self.check_seq(&header, position)?;
        let record = self.capture.take(self.capture_limit)?.unwrap_or_default();
        self.last_seq = header.seq;
        Ok(Drained { header, body: record.get(HEADER_BYTES..).unwrap_or_default() })
    }

    fn take_order(&mut self) -> Result<Drained<'_>, Corrupt> {
        let position = self.order.position();
        self.order_seq = None;
        // Captures between this order record and the next are decided on only after looking for that one.
        self.capture_limit = self.capture.position();
        let Some(record) = self.order.peek()? else {
            return Err(Corrupt { what: "a published record vanished", position });
        };
        let header = parse(record.slot(0));
        let bytes = HEADER_BYTES + header.body_bytes as usize;
        let slots = record.slots();
        if slots_for::<ORDER_SLOT_BYTES>(bytes) != slots {
            return Err(Corrupt { what: "an order record and its header disagree on its length", position });
        }
        self.check_seq(&header, position)?;
        gather(&record, &mut self.scratch);
        self.order.advance(slots);
        self.last_seq = header.seq;
        Ok(Drained { header, body: &self.scratch[HEADER_BYTES..bytes] })
    }

    /// The journal takes a `seq` that is not above its last one for a record that it has already: damage would be dropped
    /// in silence, or have all that follows dropped.
    fn check_seq(&self, header: &RecordHeader, position: u64) -> Result<(), Corrupt> {
        if header.seq <= self.last_seq {
            return Err(Corrupt { what: "a record bears a seq that is not above that before it", position });
        }
        // Taken before the record that bears it is published.
        if header.seq >= self.next_seq.word(0).load(Ordering::Relaxed) {
            return Err(Corrupt { what: "a record bears a seq that no recorder has taken", position });
        }
        Ok(())
    }
}

fn gather<const S: usize>(record: &SlotRecord<'_, S>, into: &mut Vec<u8>) {
    into.clear();
    for index in 0..record.slots() {
        into.extend_from_slice(record.slot(index));
    }
}

fn parse(bytes: &[u8]) -> RecordHeader {
    RecordHeader::read_from_prefix(bytes).map(|(header, _)| header).unwrap_or_default()
}
