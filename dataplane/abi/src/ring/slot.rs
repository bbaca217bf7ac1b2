//! A ring of fixed slots with the sequence inside the slot, so that a small record crosses between cores with the
//! transfer of one cache line (two for 128-byte slots) and no other shared word is touched.
//!
//! ```text
//! offset 0           consumed: slots given back by the consumer since creation (own line)
//! offset LINE_BYTES  slot 0 | slot 1 | ... | slot N-1      N a power of two
//! slot               word (8 bytes) | payload (S - 8 bytes)
//! ```
//! Positions count slots since the creation of the ring. The word of a record's first slot is `slots << 52 | position
//! + 1`; the words of its further slots carry [`CONTINUES`]. So a word is never payload, a zeroed ring holds nothing,
//! the word of an earlier lap or the tail of a record whose producer was killed before publishing never looks like the
//! start of a record, and the whole state of a producer can be found again from `consumed` and the words.
//!
//! Order of stores: payload, words of the further slots, then the first word with release. The consumer reads the first
//! word with acquire and gives slots back by storing `consumed` with release, which the producer reads with acquire.

#![allow(unsafe_code, reason = "says whose turn it is to touch the ring's bytes")]

use super::Corrupt;
use super::memory::{LINE_BYTES, Memory, Ordering};
use crate::record::RingFull;

/// Bytes of a slot's word.
pub const WORD_BYTES: usize = 8;

/// In the word of every slot of a record but the first.
const CONTINUES: u64 = 1 << 63;
const SLOTS_SHIFT: u32 = 52;
const POSITION_MASK: u64 = (1 << SLOTS_SHIFT) - 1;
/// No ring comes to here: ten million records a second for seven years. Nor, from below it, to the end of the mask.
const POSITION_END: u64 = 1 << (SLOTS_SHIFT - 1);

/// Most slots that one record may take.
pub const RECORD_SLOTS_MAX: u64 = (1 << (63 - SLOTS_SHIFT)) - 1;

/// Bytes of memory that a ring of `slots` slots of `S` bytes needs.
pub const fn ring_bytes<const S: usize>(slots: usize) -> usize {
    LINE_BYTES + slots * S
}

/// Slots of `S` bytes that a record of `bytes` bytes takes.
#[inline]
pub const fn slots_for<const S: usize>(bytes: usize) -> u64 {
    let slots = bytes.div_ceil(S - WORD_BYTES) as u64;
    if slots == 0 { 1 } else { slots }
}

/// Both ends of a ring of `slots` slots between threads of one process. Its memory is never given back.
///
/// # Errors
/// [`Corrupt`] if `slots` is not a power of two.
#[cfg(not(loom))]
pub fn within_process<const S: usize>(
    slots: usize,
) -> Result<(SlotProducer<'static, S>, SlotConsumer<'static, S>), Corrupt> {
    extern crate alloc;
    #[repr(align(128))]
    #[derive(Clone, Copy)]
    struct Line {
        _bytes: [u8; LINE_BYTES],
    }
    let bytes = ring_bytes::<S>(slots);
    let lines = alloc::vec![Line { _bytes: [0; LINE_BYTES] }; bytes.div_ceil(LINE_BYTES)];
    let base = core::ptr::NonNull::from(alloc::boxed::Box::leak(lines.into_boxed_slice())).cast();
    // SAFETY: zeroed, leaked, aligned to a line, and known to the two ends made here alone.
    unsafe {
        let memory = Memory::new(base, bytes);
        Ok((SlotProducer::attach(memory.clone())?, SlotConsumer::attach(memory)?))
    }
}

/// What both ends know of the ring.
struct Slots<'a, const S: usize> {
    memory: Memory<'a>,
    mask: u64,
}

impl<'a, const S: usize> Slots<'a, S> {
    fn new(memory: Memory<'a>) -> Result<Self, Corrupt> {
        const { assert!(S.is_multiple_of(8) && S > WORD_BYTES) };
        let slots = memory.len().saturating_sub(LINE_BYTES) / S;
        if !slots.is_power_of_two() || ring_bytes::<S>(slots) != memory.len() {
            return Err(Corrupt { what: "its number of slots is not a power of two", position: 0 });
        }
        let ring = Self { memory, mask: slots as u64 - 1 };
        match ring.consumed() {
            position @ POSITION_END.. => Err(Corrupt { what: "its position is impossible", position }),
            _ => Ok(ring),
        }
    }

    #[inline]
    fn capacity(&self) -> u64 {
        self.mask + 1
    }

    #[inline]
    fn offset(&self, position: u64) -> usize {
        LINE_BYTES + (position & self.mask) as usize * S
    }

    #[inline]
    fn consumed(&self) -> u64 {
        self.memory.word(0).load(Ordering::Acquire)
    }

    /// Slots of the record that begins at `position`, if it is published.
    #[inline]
    fn published(&self, position: u64) -> Result<Option<u64>, Corrupt> {
        let word = self.memory.word(self.offset(position)).load(Ordering::Acquire);
        if word & (POSITION_MASK | CONTINUES) != position + 1 {
            return Ok(None);
        }
        let slots = (word & !CONTINUES) >> SLOTS_SHIFT;
        if slots == 0 || slots > self.capacity() {
            return Err(Corrupt { what: "a record has an impossible number of slots", position });
        }
        Ok(Some(slots))
    }
}

/// How many slots hold records that were not given back yet, and how many there are. For onlookers, who disturb neither end.
///
/// # Errors
/// [`Corrupt`] if the memory is not such a ring.
pub(crate) fn used<const S: usize>(memory: Memory<'_>) -> Result<(u64, u64), Corrupt> {
    let slots = Slots::<S>::new(memory)?;
    let from = slots.consumed();
    let mut position = from;
    // Only the words say how far the producer is. Both ends may move meanwhile; the walk ends after one round.
    while position - from < slots.capacity()
        && let Some(taken) = slots.published(position)?
    {
        position += taken;
    }
    Ok(((position - from).min(slots.capacity()), slots.capacity()))
}

/// The writing end.
pub struct SlotProducer<'a, const S: usize> {
    slots: Slots<'a, S>,
    /// Where the next record goes.
    position: u64,
    /// As last seen; the truth can only be higher.
    consumed: u64,
}

impl<'a, const S: usize> SlotProducer<'a, S> {
    /// Takes up writing where the last producer stopped; in zeroed memory, at the beginning.
    ///
    /// # Errors
    /// [`Corrupt`] if the memory is not such a ring.
    ///
    /// # Safety
    /// No other producer of this ring exists as long as this one does.
    pub unsafe fn attach(memory: Memory<'a>) -> Result<Self, Corrupt> {
        let slots = Slots::new(memory)?;
        let consumed = slots.consumed();
        // A producer may have been killed right after publishing: only the words say how far it came.
        let mut position = consumed;
        while let Some(taken) = slots.published(position)? {
            position += taken;
            if position - consumed > slots.capacity() {
                return Err(Corrupt { what: "it holds more records than fit", position });
            }
        }
        Ok(Self { slots, position, consumed })
    }

    /// Where the next record goes, in slots since the ring's creation.
    #[inline]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Number of slots.
    #[inline]
    pub fn capacity(&self) -> u64 {
        self.slots.capacity()
    }

    /// Slots that the consumer has given back since the ring's creation.
    #[inline]
    pub fn consumed(&self) -> u64 {
        self.slots.consumed()
    }

    /// Whether `slots` slots are free.
    #[inline]
    pub fn has_room(&self, slots: u64) -> bool {
        self.fits(self.consumed, slots) || self.fits(self.slots.consumed(), slots)
    }

    /// Whether `slots` more slots fit; never when `consumed` is damaged and ahead of us.
    #[inline]
    fn fits(&self, consumed: u64, slots: u64) -> bool {
        self.position.wrapping_sub(consumed).saturating_add(slots) <= self.slots.capacity()
    }

    /// Publishes one record: `head`, then `parts`, end to end; returns its position.
    ///
    /// `keep_free` slots must stay free after it: the high-water mark above which this kind of record may not go.
    ///
    /// # Errors
    /// [`RingFull`] if it does not fit; nothing was changed.
    #[inline]
    pub fn push(&mut self, head: &[u8], parts: &[&[u8]], keep_free: u64) -> Result<u64, RingFull> {
        let claim = self.claim(head.len() + parts.iter().map(|part| part.len()).sum::<usize>(), keep_free)?;
        Ok(self.publish(claim, head, parts))
    }

    /// First half of [`push`](Self::push): finds room for `bytes` bytes. Claiming twice without publishing gives the
    /// same room twice.
    ///
    /// # Errors
    /// [`RingFull`] if it does not fit.
    #[inline]
    pub(super) fn claim(&mut self, bytes: usize, keep_free: u64) -> Result<Claim, RingFull> {
        let slots = slots_for::<S>(bytes);
        if slots > RECORD_SLOTS_MAX {
            return Err(RingFull);
        }
        let needed = slots + keep_free;
        if !self.fits(self.consumed, needed) {
            self.consumed = self.slots.consumed();
            if !self.fits(self.consumed, needed) {
                return Err(RingFull);
            }
        }
        Ok(Claim { slots, bytes })
    }

    /// Second half of [`push`](Self::push): `head` and `parts` together are as long as was claimed.
    #[inline]
    pub(super) fn publish(&mut self, claim: Claim, head: &[u8], parts: &[&[u8]]) -> u64 {
        let position = self.position;
        let mut cursor = Cursor { slots: &self.slots, position, used: 0, left: claim.bytes };
        cursor.write(head);
        for part in parts {
            cursor.write(part);
        }
        for further in position + 1..position + claim.slots {
            let word = self.slots.memory.word(self.slots.offset(further));
            word.store(CONTINUES | (further + 1), Ordering::Relaxed);
        }
        let word = self.slots.memory.word(self.slots.offset(position));
        word.store(claim.slots << SLOTS_SHIFT | (position + 1), Ordering::Release);
        self.position = position + claim.slots;
        // Not the very next slot: the consumer may be polling it, and it was asked for before.
        self.slots.memory.will_write(self.slots.offset(self.position + 1), 2 * S);
        position
    }
}

/// Room found for a record.
pub(super) struct Claim {
    slots: u64,
    bytes: usize,
}

/// Writes payload across slots, stepping over their words.
struct Cursor<'r, 'a, const S: usize> {
    slots: &'r Slots<'a, S>,
    position: u64,
    used: usize,
    left: usize,
}

impl<const S: usize> Cursor<'_, '_, S> {
    #[inline]
    fn write(&mut self, mut from: &[u8]) {
        // More bytes than were claimed would run into slots of the consumer.
        assert!(from.len() <= self.left, "longer than claimed");
        self.left -= from.len();
        loop {
            let room = S - WORD_BYTES - self.used;
            let (now, rest) = from.split_at(from.len().min(room));
            let offset = self.slots.offset(self.position) + WORD_BYTES + self.used;
            // SAFETY: the slots were claimed: the consumer has given them back and looks at them only after publish.
            unsafe { self.slots.memory.write(offset, now) };
            self.used += now.len();
            if rest.is_empty() {
                return;
            }
            from = rest;
            self.position += 1;
            self.used = 0;
        }
    }
}

/// The reading end. Reading and giving back are separate: a record stays in the ring, and is read again after a crash,
/// until [`commit`](SlotConsumer::commit).
pub struct SlotConsumer<'a, const S: usize> {
    slots: Slots<'a, S>,
    position: u64,
}

impl<'a, const S: usize> SlotConsumer<'a, S> {
    /// Takes up reading at the first record that was not committed.
    ///
    /// # Errors
    /// [`Corrupt`] if the memory is not such a ring.
    ///
    /// # Safety
    /// No other consumer of this ring exists as long as this one does.
    pub unsafe fn attach(memory: Memory<'a>) -> Result<Self, Corrupt> {
        let slots = Slots::new(memory)?;
        let position = slots.consumed();
        Ok(Self { slots, position })
    }

    /// The next record that [`peek`](Self::peek) gives, in slots since the ring's creation.
    #[inline]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The record at [`position`](Self::position), if one is published.
    ///
    /// # Errors
    /// [`Corrupt`] if what lies there cannot have been written by a producer.
    #[inline]
    pub fn peek(&self) -> Result<Option<SlotRecord<'_, S>>, Corrupt> {
        let Some(slots) = self.slots.published(self.position)? else { return Ok(None) };
        for further in self.position + 1..self.position + slots {
            let word = self.slots.memory.word(self.slots.offset(further));
            if word.load(Ordering::Relaxed) != CONTINUES | (further + 1) {
                return Err(Corrupt { what: "a slot does not continue its record", position: further });
            }
        }
        Ok(Some(SlotRecord { ring: &self.slots, position: self.position, slots }))
    }

    /// Steps over a record that took `slots` slots.
    #[inline]
    pub fn advance(&mut self, slots: u64) {
        self.position += slots;
    }

    /// Gives back every slot before `position`, which must not be beyond [`position`](Self::position).
    ///
    /// # Panics
    /// If it is.
    #[inline]
    pub fn commit(&mut self, position: u64) {
        assert!(position <= self.position, "commit of a record that was not read");
        self.slots.memory.word(0).store(position, Ordering::Release);
    }
}

/// A published record, still in the ring. Its exact length is the caller's matter: what follows it in its last slot is
/// left over from earlier records.
pub struct SlotRecord<'r, const S: usize> {
    ring: &'r Slots<'r, S>,
    position: u64,
    slots: u64,
}

impl<'r, const S: usize> SlotRecord<'r, S> {
    /// How many slots it takes.
    #[inline]
    pub const fn slots(&self) -> u64 {
        self.slots
    }

    /// Payload bytes of its slots, together.
    #[inline]
    pub const fn bytes(&self) -> usize {
        self.slots as usize * (S - WORD_BYTES)
    }

    /// The payload of its slot `index`.
    ///
    /// # Panics
    /// If it has no such slot.
    #[inline]
    pub fn slot(&self, index: u64) -> &'r [u8] {
        assert!(index < self.slots, "no such slot");
        let offset = self.ring.offset(self.position + index) + WORD_BYTES;
        // SAFETY: the record is published, and the producer writes here again only after this consumer, whose borrow
        // 'r is, has committed it.
        unsafe { self.ring.memory.bytes(offset, S - WORD_BYTES) }
    }
}
