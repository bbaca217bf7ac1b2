//! Where records go.

use super::Kind;

/// The recorder cannot take another record: a record that may not be shed found its ring full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFull;

/// Where records go: shared-memory rings, a file, or nowhere.
pub trait Recorder {
    /// Publishes one record made of `parts` end to end; when this returns, the record outlives this process.
    ///
    /// Datagrams may be shed (counted, with a marker later); everything else is either published or refused.
    ///
    /// # Errors
    /// [`RingFull`] when a record that may not be shed does not fit; the caller stops trading.
    fn record(&mut self, tai_ns: u64, kind: Kind, parts: &[&[u8]]) -> Result<(), RingFull>;

    /// The `seq` that the next record will get.
    fn next_seq(&self) -> u64;

    /// Whether a new order may still be recorded: false once only the reserve kept for cancels is left.
    fn has_room_for_orders(&self) -> bool;

    /// How full its rings are; all zero where there are none.
    fn fill(&self) -> Fill {
        Fill::default()
    }
}

/// How full a recorder's rings are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Slots of the order ring that its reader has not given back, and slots there are.
    pub orders: (u64, u64),
    /// Bytes of the capture ring that its reader has not given back, and bytes there are.
    pub captures: (u64, u64),
}

/// A recorder that forgets: for benchmarks of a single stage and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullRecorder {
    seq: u64,
}

impl Recorder for NullRecorder {
    fn record(&mut self, _: u64, _: Kind, _: &[&[u8]]) -> Result<(), RingFull> {
        self.seq += 1;
        Ok(())
    }
    fn next_seq(&self) -> u64 {
        self.seq + 1
    }
    fn has_room_for_orders(&self) -> bool {
        true
    }
}
