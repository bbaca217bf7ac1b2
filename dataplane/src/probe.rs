//! Stage stamps of one datagram, and how long strategies take.

use crate::clock::Clock;
use tern_abi::record::{STAGES, Stage, StageRecord};
use tern_core::pipeline::STRATEGIES_MAX;
use tern_core::probe::Probe;
use tern_core::units::TaiNs;

/// Stamps each stage. Three reads of the clock for a datagram that causes nothing, one more a stage of an order.
#[derive(Debug)]
pub struct StageProbe<C> {
    clock: C,
    stage_ns: [u64; STAGES],
    calls: CallTimer<C>,
}

impl<C: Clock> StageProbe<C> {
    /// A probe without stamps. A call to a strategy may take `budget_ns`; 0 = as long as it likes.
    pub fn new(clock: C, budget_ns: u64) -> Self {
        Self { calls: CallTimer::new(clock.clone(), budget_ns), clock, stage_ns: [0; STAGES] }
    }

    /// A new datagram was taken at `seen`. Whether calls to strategies are measured: two more reads of the clock for each.
    #[inline]
    pub fn begin(&mut self, seen: TaiNs, is_measured: bool) {
        self.stage_ns = [0; STAGES];
        self.stage_ns[Stage::FrameSeen as usize] = seen.0;
        self.calls.is_on = is_measured && self.calls.budget_ns != 0;
    }

    /// The timer alone, for an input that is no datagram: its calls are measured always.
    pub fn calls(&mut self) -> &mut CallTimer<C> {
        self.calls.is_on = self.calls.budget_ns != 0;
        &mut self.calls
    }

    /// Whether a call took longer than its budget and nobody was told.
    #[inline]
    pub const fn has_overrun(&self) -> bool {
        self.calls.overran != 0
    }

    /// Of one strategy by index, the longest call beyond the budget since this was asked last, ns.
    pub fn take_overrun(&mut self) -> Option<(usize, u64)> {
        self.calls.take()
    }

    /// The record of the datagram.
    pub fn record(&self, cause_seq: u64, arrival: TaiNs, order: u32, backlog: u32) -> StageRecord {
        StageRecord { cause_seq, arrival_ns: arrival.0, stage_ns: self.stage_ns, order, backlog }
    }
}

/// Measures calls to strategies.
#[derive(Debug)]
pub struct CallTimer<C> {
    clock: C,
    budget_ns: u64,
    is_on: bool,
    began: TaiNs,
    /// Strategies of which a call took longer than the budget, a bit each, and the longest that did.
    overran: u32,
    longest_ns: [u64; STRATEGIES_MAX],
}

impl<C: Clock> CallTimer<C> {
    fn new(clock: C, budget_ns: u64) -> Self {
        Self { clock, budget_ns, is_on: false, began: TaiNs(0), overran: 0, longest_ns: [0; STRATEGIES_MAX] }
    }

    fn take(&mut self) -> Option<(usize, u64)> {
        let index = (self.overran != 0).then_some(self.overran.trailing_zeros() as usize)?;
        self.overran &= self.overran - 1;
        Some((index, self.longest_ns.get_mut(index).map_or(0, core::mem::take)))
    }
}

impl<C: Clock> Probe for CallTimer<C> {
    #[inline(always)]
    fn mark(&mut self, _: Stage) {}

    #[inline]
    fn call_begins(&mut self) {
        if self.is_on {
            self.began = self.clock.now();
        }
    }

    #[inline]
    fn call_ends(&mut self, index: usize) {
        if !self.is_on {
            return;
        }
        let took_ns = self.clock.now().since(self.began);
        if took_ns > self.budget_ns
            && let Some(longest_ns) = self.longest_ns.get_mut(index)
        {
            *longest_ns = took_ns.max(*longest_ns);
            self.overran |= 1 << index;
        }
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

    #[inline]
    fn call_begins(&mut self) {
        self.calls.call_begins();
    }

    #[inline]
    fn call_ends(&mut self, index: usize) {
        self.calls.call_ends(index);
    }
}
