//! What the loop records into: order ring and capture ring together, under one sequence.

#![allow(unsafe_code, reason = "says who may be the producer of the rings")]

use super::Corrupt;
use super::bytes::BytesProducer;
use super::memory::{Memory, Ordering};
use super::slot::SlotProducer;
use crate::record::{Fill, Kind, RecordHeader, Recorder, RingFull, ShedRecord};
use zerocopy::IntoBytes;

/// Slot size of the order ring: a header and the largest fixed record fit into one.
pub const ORDER_SLOT_BYTES: usize = 128;

/// The memory of both rings and of the sequence word.
#[derive(Clone)]
pub struct RecordRings<'a> {
    /// One word: the `seq` of the next record.
    pub next_seq: Memory<'a>,
    /// A slot ring of [`ORDER_SLOT_BYTES`].
    pub order: Memory<'a>,
    /// A ring of bytes.
    pub capture: Memory<'a>,
}

/// Records into shared memory. Datagrams go to the capture ring and may be shed; everything else goes to the order ring.
///
/// `reserve` slots of the order ring are kept for what a halt needs: kinds that carry decisions and their consequences
/// may use them, all other kinds are refused before. A new order has room only while twice as much is free: it is
/// refused before anything else is, so that answers of the venue, timers and cancels go on being recorded, and trading
/// goes on by itself if the ring is drained in time.
pub struct ShmRecorder<'a> {
    order: SlotProducer<'a, ORDER_SLOT_BYTES>,
    capture: BytesProducer<'a>,
    seq: Memory<'a>,
    next: u64,
    reserve: u64,
}

/// Whether records of this kind may use the reserve.
const fn may_use_reserve(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Start
            | Kind::Command
            | Kind::SetLimits
            | Kind::Rescue
            | Kind::Manual
            | Kind::ManualOutcome
            | Kind::Adjustment
            | Kind::Day
            | Kind::Limits
            | Kind::Conn
            | Kind::Order
            | Kind::OrderEvent
            | Kind::Position
            | Kind::Trust
            | Kind::InstrumentTrust
            | Kind::State
            | Kind::Reconcile
            | Kind::Strategy
    )
}

impl<'a> ShmRecorder<'a> {
    /// Takes up recording where the last run stopped; `reserve` in slots of the order ring.
    ///
    /// # Errors
    /// [`Corrupt`] if the memory holds no such rings.
    ///
    /// # Safety
    /// No other recorder of these rings exists as long as this one does.
    pub unsafe fn attach(rings: RecordRings<'a>, reserve: u64) -> Result<Self, Corrupt> {
        // SAFETY: the caller's promise covers both rings.
        let (order, capture) = unsafe { (SlotProducer::attach(rings.order)?, BytesProducer::attach(rings.capture)?) };
        let next = rings.next_seq.word(0).load(Ordering::Relaxed).max(1);
        Ok(Self { order, capture, seq: rings.next_seq, next, reserve })
    }

    /// Makes the next `seq` at least `seq`: for a new segment whose journal already has records.
    pub fn raise_seq(&mut self, seq: u64) {
        self.next = self.next.max(seq);
    }

    /// Slots of the order ring that no reader has taken over yet: records of orders that the journal may lack.
    pub fn undrained_slots(&self) -> u64 {
        self.order.position().saturating_sub(self.order.consumed())
    }

    /// Datagrams shed since the segment was created, and their bytes.
    pub fn shed_total(&self) -> ShedRecord {
        self.capture.shed_total()
    }

    #[inline]
    fn header(&self, tai_ns: u64, kind: Kind, body_bytes: usize) -> RecordHeader {
        RecordHeader { seq: self.next, tai_ns, kind: kind as u16, flags: 0, body_bytes: body_bytes as u32 }
    }

    /// Takes the next `seq`, before the record that bears it is published: killed in between, the next run leaves a gap
    /// of one in front of its start record. The other way round two records could bear the same `seq`.
    #[inline]
    fn take_seq(&mut self) {
        self.next += 1;
        self.seq.word(0).store(self.next, Ordering::Relaxed);
    }

    /// Writes the marker as soon as it fits, at the end of a record: so `next_seq` tells the truth in between.
    #[inline]
    fn tell_shed(&mut self, tai_ns: u64) {
        if let Some(shed) = self.capture.marker_due() {
            let header = self.header(tai_ns, Kind::Shed, size_of::<ShedRecord>());
            self.take_seq();
            self.capture.push_marker(header.as_bytes(), shed);
        }
    }
}

impl Recorder for ShmRecorder<'_> {
    #[inline]
    fn record(&mut self, tai_ns: u64, kind: Kind, parts: &[&[u8]]) -> Result<(), RingFull> {
        let body_bytes = parts.iter().map(|part| part.len()).sum::<usize>();
        let header = self.header(tai_ns, kind, body_bytes);
        if kind == Kind::Datagram {
            // A datagram that is shed takes its seq along: the gap in the journal is as wide as the marker says.
            self.take_seq();
            self.capture.push(header.as_bytes(), parts);
        } else {
            let keep_free = if may_use_reserve(kind) { 0 } else { self.reserve };
            let claim = self.order.claim(size_of::<RecordHeader>() + body_bytes, keep_free)?;
            self.take_seq();
            self.order.publish(claim, header.as_bytes(), parts);
        }
        self.tell_shed(tai_ns);
        Ok(())
    }

    #[inline]
    fn next_seq(&self) -> u64 {
        self.next
    }

    #[inline]
    fn has_room_for_orders(&self) -> bool {
        self.order.has_room(2 * self.reserve + 1)
    }

    fn fill(&self) -> Fill {
        Fill { orders: (self.undrained_slots(), self.order.capacity()), captures: self.capture.used() }
    }
}
