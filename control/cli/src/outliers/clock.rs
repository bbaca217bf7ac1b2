//! When the kernel's clock was set, from the counters of each second: samples that the loop did not keep apart, and those that
//! came once a step was counted already, say nothing of it themselves.

use tern_abi::counters::LoopCounter;

/// Arrivals have the kernel's time or the card's, the counters the loop's: so far beyond the second of a step it is looked for.
const AROUND_NS: u64 = 1_000_000_000;

/// By how much the clocks differed between two snapshots of the counters.
#[derive(Clone, Copy, Debug)]
struct Apart {
    from_ns: u64,
    to_ns: u64,
    by_ns: u64,
}

/// The seconds in which the kernel's clock was set, or the loop's was still ahead of it.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    apart: Vec<Apart>,
    /// The last snapshot: its time, and the sum of all steps.
    last: Option<(u64, u64)>,
}

impl Clocks {
    /// The next snapshot of the counters.
    pub(super) fn push(&mut self, tai_ns: u64, body: &[u8]) {
        let of = |counter: LoopCounter| {
            let word = body.get(counter.index() * size_of::<u64>()..).and_then(|rest| rest.first_chunk());
            word.map_or(0, |word| u64::from_le_bytes(*word))
        };
        let stepped_ns = of(LoopCounter::ClockSteppedNs);
        let (from_ns, before_ns) = self.last.replace((tai_ns, stepped_ns)).unwrap_or((tai_ns, stepped_ns));
        let by = [stepped_ns.saturating_sub(before_ns), of(LoopCounter::ClockAheadNs)];
        self.apart.extend(by.into_iter().filter(|by_ns| *by_ns > 0).map(|by_ns| Apart {
            from_ns,
            to_ns: tai_ns,
            by_ns,
        }));
    }

    /// By how much the clocks differed about then: of several answers the one nearest to `took_ns`.
    pub(super) fn apart_ns(&self, at_ns: u64, took_ns: u64) -> u64 {
        let around = |one: &&Apart| {
            one.from_ns <= at_ns.saturating_add(AROUND_NS) && at_ns <= one.to_ns.saturating_add(AROUND_NS)
        };
        self.apart.iter().filter(around).map(|one| one.by_ns).min_by_key(|by_ns| by_ns.abs_diff(took_ns)).unwrap_or(0)
    }
}
