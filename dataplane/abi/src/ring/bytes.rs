//! A ring of variable-length records, each contiguous, for captured datagrams. It may shed: when a record does not fit,
//! it is counted instead, and a [`ShedRecord`] marker says later how many are missing.
//!
//! ```text
//! offset 0               tail: bytes published since creation, written by the producer (own line)
//! offset LINE_BYTES      head: bytes given back by the consumer (own line)
//! offset 2 * LINE_BYTES  datagrams shed | their bytes | datagrams told in markers | their bytes (producer's line)
//! offset 3 * LINE_BYTES  data, a power of two bytes
//! record                 frame (8 bytes): length of the record; PADDING | bytes up to the end of the data
//!                        record, padded to 8 bytes
//! ```
//! A record never wraps: padding fills the data up to its end instead. The producer writes frames and records, then
//! stores `tail` with release; what a killed producer had not published is overwritten by the next one.
//!
//! Once a record was shed, all are, until an eighth of the ring is free again: markers are few, and a gap is whole.

#![allow(unsafe_code, reason = "says whose turn it is to touch the ring's bytes")]

use super::Corrupt;
use super::memory::{LINE_BYTES, Memory, Ordering};
use crate::record::{RecordHeader, ShedRecord};
use zerocopy::IntoBytes;

const FRAME_BYTES: usize = 8;
const PADDING: u64 = 1 << 63;
/// No cursor comes to here.
const CURSOR_END: u64 = 1 << 62;

/// Most bytes asked for ahead: more would crowd out what the loop needs.
const PREPARED_BYTES_MAX: u64 = 1536;

const TAIL: usize = 0;
const HEAD: usize = LINE_BYTES;
const SHED: usize = 2 * LINE_BYTES;
const DATA: usize = SHED + if cfg!(loom) { 32 } else { LINE_BYTES };

/// So much must be free before capturing goes on: a marker, wherever the end of the data lies.
const RESUME_BYTES_MIN: u64 = 2 * (FRAME_BYTES + size_of::<RecordHeader>() + size_of::<ShedRecord>()) as u64;

/// Bytes of memory that a ring with `data` bytes of data (a power of two) needs.
pub const fn ring_bytes(data: usize) -> usize {
    DATA + data
}

/// What both ends know of the ring.
struct Data<'a> {
    memory: Memory<'a>,
    mask: u64,
}

impl<'a> Data<'a> {
    fn new(memory: Memory<'a>) -> Result<Self, Corrupt> {
        let data = memory.len().saturating_sub(DATA);
        if !data.is_power_of_two() || data < 256 {
            return Err(Corrupt { what: "its size is not a power of two of at least 256", position: 0 });
        }
        let ring = Self { memory, mask: data as u64 - 1 };
        let (tail, head) = (ring.load(TAIL), ring.load(HEAD));
        let too_far = tail.wrapping_sub(head) > ring.capacity();
        if too_far || !(tail | head).is_multiple_of(8) || (tail | head) >= CURSOR_END {
            return Err(Corrupt { what: "its cursors contradict each other", position: tail });
        }
        Ok(ring)
    }

    #[inline]
    fn capacity(&self) -> u64 {
        self.mask + 1
    }

    #[inline]
    fn load(&self, offset: usize) -> u64 {
        self.memory.word(offset).load(Ordering::Acquire)
    }

    /// Offset of `position` in the memory, and how many bytes follow it up to the end of the data.
    #[inline]
    fn place(&self, position: u64) -> (usize, u64) {
        let offset = position & self.mask;
        (DATA + offset as usize, self.capacity() - offset)
    }
}

/// How many bytes hold records that were not given back yet, and how many there are. For onlookers, who disturb neither end.
pub(crate) fn used(memory: &Memory<'_>) -> (u64, u64) {
    let capacity = memory.len().saturating_sub(DATA) as u64;
    // In this order: the tail, read later, is never behind the head.
    let head = memory.word(HEAD).load(Ordering::Acquire);
    let tail = memory.word(TAIL).load(Ordering::Acquire);
    (tail.wrapping_sub(head).min(capacity), capacity)
}

/// The writing end.
pub struct BytesProducer<'a> {
    ring: Data<'a>,
    tail: u64,
    /// As last seen; the truth can only be higher.
    head: u64,
    /// Records were shed that no marker has told yet.
    shedding: bool,
}

impl<'a> BytesProducer<'a> {
    /// Takes up writing after the last published record; in zeroed memory, at the beginning.
    ///
    /// # Errors
    /// [`Corrupt`] if the memory is not such a ring.
    ///
    /// # Safety
    /// No other producer of this ring exists as long as this one does.
    pub unsafe fn attach(memory: Memory<'a>) -> Result<Self, Corrupt> {
        let ring = Data::new(memory)?;
        let (tail, head) = (ring.load(TAIL), ring.load(HEAD));
        let mut producer = Self { ring, tail, head, shedding: false };
        producer.shedding = producer.untold().datagrams > 0;
        Ok(producer)
    }

    /// Publishes one record, `head` and `parts` end to end, and says true; or counts it as shed and says false.
    #[inline]
    pub fn push(&mut self, head: &[u8], parts: &[&[u8]]) -> bool {
        let body = parts.iter().map(|part| part.len()).sum::<usize>();
        if self.shedding || !self.write(head, parts, head.len() + body) {
            self.shed(body as u64);
            return false;
        }
        true
    }

    /// What the next marker has to tell, once shedding is over: a non-zero count asks the caller to
    /// [`push_marker`](Self::push_marker) before the next record.
    #[inline]
    pub fn marker_due(&mut self) -> Option<ShedRecord> {
        if !self.shedding {
            return None;
        }
        self.head = self.ring.load(HEAD);
        let free = self.ring.capacity().saturating_sub(self.tail.wrapping_sub(self.head));
        (free >= (self.ring.capacity() / 8).max(RESUME_BYTES_MIN)).then(|| self.untold())
    }

    /// Publishes the marker that tells `told`, which [`marker_due`](Self::marker_due) just gave: so it fits.
    pub fn push_marker(&mut self, head: &[u8], told: ShedRecord) {
        let body = told.as_bytes();
        if self.write(head, &[body], head.len() + body.len()) {
            // Killed here, the next producer tells the same datagrams again: twice rather than not at all.
            self.add(SHED + 16, told.datagrams);
            self.add(SHED + 24, told.bytes);
            self.shedding = false;
        }
    }

    /// Datagrams shed since the ring's creation, and their bytes.
    pub fn shed_total(&self) -> ShedRecord {
        let word = |index: usize| self.ring.memory.word(SHED + 8 * index).load(Ordering::Relaxed);
        ShedRecord { datagrams: word(0), bytes: word(1) }
    }

    /// Bytes that hold records which were not given back yet, and bytes there are.
    pub fn used(&self) -> (u64, u64) {
        let capacity = self.ring.capacity();
        (self.tail.wrapping_sub(self.ring.load(HEAD)).min(capacity), capacity)
    }

    fn untold(&self) -> ShedRecord {
        let word = |index: usize| self.ring.memory.word(SHED + 8 * index).load(Ordering::Relaxed);
        ShedRecord { datagrams: word(0).saturating_sub(word(2)), bytes: word(1).saturating_sub(word(3)) }
    }

    #[cold]
    fn shed(&mut self, bytes: u64) {
        self.shedding = true;
        self.add(SHED, 1);
        self.add(SHED + 8, bytes);
    }

    /// Adds to a word that only this end writes.
    fn add(&self, offset: usize, n: u64) {
        let word = self.ring.memory.word(offset);
        word.store(word.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    #[inline]
    fn write(&mut self, head: &[u8], parts: &[&[u8]], bytes: usize) -> bool {
        let needed = (FRAME_BYTES + bytes).next_multiple_of(8) as u64;
        // Padding and record together must fit into an empty ring wherever its end lies.
        if needed > self.ring.capacity() / 2 {
            return false;
        }
        let (mut offset, to_end) = self.ring.place(self.tail);
        let padding = if needed > to_end { to_end } else { 0 };
        let next = self.tail + padding + needed;
        // A damaged head is ahead of us: then nothing fits.
        if next.wrapping_sub(self.head) > self.ring.capacity() {
            self.head = self.ring.load(HEAD);
            if next.wrapping_sub(self.head) > self.ring.capacity() {
                return false;
            }
        }
        let memory = &self.ring.memory;
        // SAFETY: everything from `tail` to `next` was given back by the consumer, which looks at it again only after
        // `tail` is stored below; the frame and the parts together are `needed` bytes long at most.
        unsafe {
            if padding > 0 {
                memory.write(offset, &(PADDING | padding).to_ne_bytes());
                offset = self.ring.place(self.tail + padding).0;
            }
            memory.write(offset, &(bytes as u64).to_ne_bytes());
            offset += FRAME_BYTES;
            memory.write(offset, head);
            offset += head.len();
            for part in parts {
                memory.write(offset, part);
                offset += part.len();
            }
        }
        self.tail = next;
        memory.word(TAIL).store(next, Ordering::Release);
        // The next record is likely as long as this one.
        memory.will_write(self.ring.place(next).0, needed.min(PREPARED_BYTES_MAX) as usize);
        true
    }
}

/// The reading end. Reading and giving back are separate: a record stays in the ring, and is read again after a crash,
/// until [`commit`](BytesConsumer::commit).
pub struct BytesConsumer<'a> {
    ring: Data<'a>,
    position: u64,
}

impl<'a> BytesConsumer<'a> {
    /// Takes up reading at the first record that was not committed.
    ///
    /// # Errors
    /// [`Corrupt`] if the memory is not such a ring.
    ///
    /// # Safety
    /// No other consumer of this ring exists as long as this one does.
    pub unsafe fn attach(memory: Memory<'a>) -> Result<Self, Corrupt> {
        let ring = Data::new(memory)?;
        let position = ring.load(HEAD);
        Ok(Self { ring, position })
    }

    /// Where the next record begins, in bytes since the ring's creation.
    #[inline]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// How far the producer has published; everything before may be peeked at.
    ///
    /// # Errors
    /// [`Corrupt`] if that is impossible.
    #[inline]
    pub fn published(&self) -> Result<u64, Corrupt> {
        let tail = self.ring.load(TAIL);
        if tail < self.position || tail - self.position > self.ring.capacity() {
            return Err(Corrupt { what: "its tail is outside the ring", position: tail });
        }
        Ok(tail)
    }

    /// Datagrams shed since the ring's creation, and their bytes.
    pub fn shed_total(&self) -> ShedRecord {
        let word = |index: usize| self.ring.memory.word(SHED + 8 * index).load(Ordering::Relaxed);
        ShedRecord { datagrams: word(0), bytes: word(1) }
    }

    /// The next record before `published`, a value that [`published`](Self::published) gave.
    ///
    /// # Errors
    /// [`Corrupt`] if what lies there cannot have been written by a producer.
    #[inline]
    pub fn peek(&mut self, published: u64) -> Result<Option<&[u8]>, Corrupt> {
        let Some((offset, bytes)) = self.locate(published)? else { return Ok(None) };
        // SAFETY: published and not committed, so the producer leaves it alone; committing needs `&mut self`.
        Ok(Some(unsafe { self.ring.memory.bytes(offset, bytes) }))
    }

    /// As [`peek`](Self::peek), and steps over the record.
    ///
    /// # Errors
    /// As [`peek`](Self::peek).
    #[inline]
    pub fn take(&mut self, published: u64) -> Result<Option<&[u8]>, Corrupt> {
        let Some((offset, bytes)) = self.locate(published)? else { return Ok(None) };
        self.position += (FRAME_BYTES + bytes).next_multiple_of(8) as u64;
        // SAFETY: as in `peek`: stepping over a record does not give it back.
        Ok(Some(unsafe { self.ring.memory.bytes(offset, bytes) }))
    }

    /// Offset and length of the next record; steps over padding.
    #[inline]
    fn locate(&mut self, published: u64) -> Result<Option<(usize, usize)>, Corrupt> {
        while self.position < published {
            let position = self.position;
            let (offset, to_end) = self.ring.place(position);
            // SAFETY: published and not committed, so the producer leaves it alone.
            let frame = unsafe { self.ring.memory.bytes(offset, FRAME_BYTES) };
            let frame = u64::from_ne_bytes(frame.try_into().unwrap_or_default());
            let bytes = frame & !PADDING;
            let room = to_end.min(published - position);
            if frame & PADDING == 0 {
                if bytes > room - FRAME_BYTES as u64 {
                    return Err(Corrupt { what: "a record is longer than what was published", position });
                }
                return Ok(Some((offset + FRAME_BYTES, bytes as usize)));
            }
            if bytes != to_end || bytes > room {
                return Err(Corrupt { what: "padding does not end where the data ends", position });
            }
            self.position += bytes;
        }
        Ok(None)
    }

    /// Gives back everything before `position`, which must not be beyond [`position`](Self::position).
    ///
    /// # Panics
    /// If it is.
    #[inline]
    pub fn commit(&mut self, position: u64) {
        assert!(position <= self.position, "commit of a record that was not read");
        self.ring.memory.word(HEAD).store(position, Ordering::Release);
    }
}
