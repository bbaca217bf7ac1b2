//! Stage stamps of one datagram: raw ticks while it runs, nanoseconds only if they are recorded.

use crate::clock::Clock;
use tern_abi::record::{STAGES, Stage, StageRecord};
use tern_core::probe::Probe;

/// Stamps each stage with the clock's ticks. Three reads a datagram that causes nothing, one more a stage of an order.
#[derive(Debug)]
pub struct StageProbe<C> {
    clock: C,
    ticks: [u64; STAGES],
}

impl<C: Clock> StageProbe<C> {
    /// A probe without stamps.
    pub fn new(clock: C) -> Self {
        Self { clock, ticks: [0; STAGES] }
    }

    /// A new datagram was taken at `seen` ticks.
    #[inline]
    pub fn begin(&mut self, seen: u64) {
        self.ticks = [0; STAGES];
        self.ticks[Stage::FrameSeen as usize] = seen;
    }

    /// The stamps so far as TAI ns; 0 = not reached.
    pub fn stamps(&self) -> [u64; STAGES] {
        self.ticks.map(|ticks| if ticks == 0 { 0 } else { self.clock.time_of(ticks).0 })
    }

    /// The record of the datagram.
    pub fn record(&self, cause_seq: u64, arrival_ns: u64, order: u32, backlog: u32) -> StageRecord {
        StageRecord { cause_seq, arrival_ns, stage_ns: self.stamps(), order, backlog }
    }
}

impl<C: Clock> Probe for StageProbe<C> {
    /// The first time that a stage is reached counts: it is the first order's way that is measured.
    #[inline]
    fn mark(&mut self, stage: Stage) {
        let slot = &mut self.ticks[stage as usize];
        if *slot == 0 {
            *slot = self.clock.ticks();
        }
    }
}
