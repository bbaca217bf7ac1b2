//! Stage stamps of one datagram.

use crate::clock::Clock;
use tern_abi::record::{STAGES, Stage, StageRecord};
use tern_core::probe::Probe;
use tern_core::units::TaiNs;

/// Stamps each stage. Three reads of the clock for a datagram that causes nothing, one more a stage of an order.
#[derive(Debug)]
pub struct StageProbe<C> {
    clock: C,
    stage_ns: [u64; STAGES],
}

impl<C: Clock> StageProbe<C> {
    /// A probe without stamps.
    pub fn new(clock: C) -> Self {
        Self { clock, stage_ns: [0; STAGES] }
    }

    /// A new datagram was taken at `seen`.
    #[inline]
    pub fn begin(&mut self, seen: TaiNs) {
        self.stage_ns = [0; STAGES];
        self.stage_ns[Stage::FrameSeen as usize] = seen.0;
    }

    /// The record of the datagram.
    pub fn record(&self, cause_seq: u64, arrival: TaiNs, order: u32, backlog: u32) -> StageRecord {
        StageRecord { cause_seq, arrival_ns: arrival.0, stage_ns: self.stage_ns, order, backlog }
    }
}

impl<C: Clock> Probe for StageProbe<C> {
    /// The first time that a stage is reached counts: it is the first order's way that is measured.
    #[inline]
    fn mark(&mut self, stage: Stage) {
        let stamp = &mut self.stage_ns[stage as usize];
        if *stamp == 0 {
            *stamp = self.clock.now().0;
        }
    }
}
