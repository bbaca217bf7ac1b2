//! Datagrams that took longer than nearly all others, kept apart as they happen.

use crate::record::{Stage, StageRecord};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Parts of a datagram's way of which each has a threshold of its own. Values are part of the journal's layout.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Arrival to the loop's taking of the frame.
    Wait = 0,
    /// From there to the last stamp, of a datagram without an order message.
    Work = 1,
    /// From there to the order's bytes encoded.
    Order = 2,
    /// From there to the bytes handed to the port, the kick included.
    Send = 3,
}

/// Number of [`Tail`]s.
pub const TAILS: usize = 4;

/// Names of the tails, in order.
pub const TAIL_NAMES: [&str; TAILS] = ["wait", "work", "order", "send"];

impl StageRecord {
    /// How long each [`Tail`] took, ns; `None` of those that this datagram does not have.
    #[inline]
    pub fn tails(&self) -> [Option<u64>; TAILS] {
        let between = |from: u64, to: u64| (from != 0 && to != 0).then(|| to.saturating_sub(from));
        let stamp = |stage: Stage| self.stage_ns[stage as usize];
        let (seen, encoded) = (stamp(Stage::FrameSeen), stamp(Stage::Encoded));
        let reached = stamp(Stage::Decoded).max(stamp(Stage::Book));
        let work = if encoded == 0 { between(seen, reached) } else { None };
        [between(self.arrival_ns, seen), work, between(seen, encoded), between(encoded, stamp(Stage::Submitted))]
    }

    /// From arrival to the last stamp, ns.
    pub fn whole_ns(&self) -> u64 {
        let begin = if self.arrival_ns != 0 { self.arrival_ns } else { self.stage_ns[Stage::FrameSeen as usize] };
        self.stage_ns.iter().fold(0, |last, stamp| last.max(*stamp)).saturating_sub(begin)
    }
}

/// One of them: its stamps, and how things stood around it.
///
/// The stamps and levels are of the moment. What the kernel did to the loop's thread is counted by another thread, over the
/// `window_ns` that began before the datagram and ended after it: such a record is written when that is known.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OutlierRecord {
    /// Its stamps; `cause_seq` is its place in the journal.
    pub stages: StageRecord,
    /// The thresholds in force, ns, by [`Tail`].
    pub threshold_ns: [u64; TAILS],
    /// Bytes in the capture ring that the daemon has not given back.
    pub capture_used: u64,
    /// Bytes of the capture ring.
    pub capture_bytes: u64,
    /// How long a timer of the pipeline had been due when the loop was through with it; 0 = none was.
    pub overdue_ns: u64,
    /// How long the loop's turn before the one that took the frame lasted, ns.
    pub turn_ns: u64,
    /// Over how long the rest was counted, ns; 0 = nobody counted.
    pub window_ns: u64,
    /// The loop's thread was ready to run and had no core, ns.
    pub stood_ns: u64,
    /// By how much the kernel's clock was set, ns, whichever way; at least by how far the loop's was still ahead of it.
    pub stepped_ns: u64,
    /// Times that the kernel took the core from the loop's thread.
    pub switches: u32,
    /// Page faults of the loop's thread.
    pub faults: u32,
    /// Slots of the order ring that the daemon has not given back.
    pub order_used: u32,
    /// Slots of the order ring.
    pub order_slots: u32,
    /// Frames that waited in the port's ring when the loop was through with it.
    pub waiting: u32,
    /// Frames of its batch that were worked off before it.
    pub place: u16,
    /// Frames of its batch.
    pub batch: u16,
    /// Which thresholds it is beyond: a bit a [`Tail`].
    pub beyond: u32,
    /// Zero.
    pub reserved: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_has_the_tails_whose_ends_it_reached() {
        let mut record = StageRecord { arrival_ns: 100, stage_ns: [150, 160, 190, 0, 0, 0, 0], ..Default::default() };
        assert_eq!((record.tails(), record.whole_ns()), ([Some(50), Some(40), None, None], 90));
        record.stage_ns = [150, 160, 190, 200, 210, 230, 1_230];
        assert_eq!((record.tails(), record.whole_ns()), ([Some(50), None, Some(80), Some(1_000)], 1_130));
        record.arrival_ns = 0;
        assert_eq!((record.tails()[0], record.whole_ns()), (None, 1_080));
        // The kernel's stamp may be a little ahead of the loop's clock.
        record.arrival_ns = 170;
        assert_eq!(record.tails()[0], Some(0));
    }
}
