//! What has to be done about once a second and costs system calls: a thread of its own, away from the loop's core.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::{Duration, Instant};
use tern_abi::counters::LoopCounter;
use tern_abi::segment::Words;
use tern_hw::clock::{Anchorer, Correction};
use tern_hw::port::PortStatistics;
use tern_hw::thread::ThreadWatch;
use tern_hw::xdp::StatisticsReader;

/// Pause between two corrections of the clock.
const ANCHOR_PERIOD: Duration = Duration::from_millis(100);
/// Corrections between two looks at the sockets' counters.
const CORRECTIONS_A_LOOK: u32 = 10;

/// The thread's work.
pub struct Housekeeping {
    readers: Vec<StatisticsReader>,
    anchorer: Anchorer,
    thread: Option<ThreadWatch>,
    steps: Steps,
}

impl Housekeeping {
    /// Looks after these sockets and this clock.
    pub fn new(readers: Vec<StatisticsReader>, anchorer: Anchorer) -> Self {
        Self { readers, anchorer, thread: None, steps: Steps::default() }
    }

    /// Watches the loop's thread as well.
    #[must_use]
    pub fn watching(self, thread: Option<ThreadWatch>) -> Self {
        Self { thread, ..self }
    }

    /// Until `ended` is set; unpark the thread then.
    pub fn run(mut self, words: &Words, ended: &AtomicBool) {
        let (mut until_look, mut corrected) = (0_u32, Instant::now());
        while !ended.load(Ordering::Acquire) {
            if until_look == 0 {
                until_look = CORRECTIONS_A_LOOK;
                self.show_statistics(words);
            }
            until_look -= 1;
            let period_ns = ANCHOR_PERIOD.as_nanos() as u64;
            if let Some(found) = self.anchorer.correct(period_ns)
                && self.steps.note(found, std::mem::replace(&mut corrected, Instant::now()).elapsed())
            {
                tracing::warn!(offset_ns = found.offset_ns, "the kernel's clock was set");
            }
            self.show_loop(words);
            let next = Instant::now() + ANCHOR_PERIOD;
            while !ended.load(Ordering::Acquire)
                && let Some(left) = next.checked_duration_since(Instant::now())
            {
                std::thread::park_timeout(left);
            }
        }
        self.show_statistics(words);
    }

    /// What happened to the loop's thread and to the clock. This thread is the words' only writer.
    fn show_loop(&self, words: &Words) {
        let counters = &words.counters;
        counters.set(LoopCounter::ClockSteps, self.steps.count);
        counters.set(LoopCounter::ClockSteppedNs, self.steps.stepped_ns);
        counters.set(LoopCounter::ClockAheadNs, self.steps.ahead_ns());
        // A thread that cannot be asked is about to end: its last counts stay.
        if let Some(counts) = self.thread.as_ref().and_then(|thread| thread.read().ok()) {
            counters.set(LoopCounter::LoopSwitches, counts.switches);
            counters.set(LoopCounter::LoopFaults, counts.faults);
            counters.set(LoopCounter::LoopStoodNs, counts.stood_ns);
        }
        // Last: whoever sees that a look was taken sees what it found, or what the next one did.
        fence(Ordering::Release);
        counters.add(LoopCounter::LoopLooks, 1);
    }

    /// These words have this thread as their only writer; for sockets without readers they have none.
    fn show_statistics(&self, words: &Words) {
        if self.readers.is_empty() {
            return;
        }
        let mut sum = PortStatistics::default();
        // A socket that cannot be asked is about to be closed: its last counters stay.
        for statistics in self.readers.iter().filter_map(|reader| reader.read().ok()) {
            sum.rx_dropped += statistics.rx_dropped;
            sum.rx_invalid_descs += statistics.rx_invalid_descs;
            sum.tx_invalid_descs += statistics.tx_invalid_descs;
            sum.rx_ring_full += statistics.rx_ring_full;
            sum.rx_fill_ring_empty_descs += statistics.rx_fill_ring_empty_descs;
            sum.tx_ring_empty_descs += statistics.tx_ring_empty_descs;
        }
        let values = [
            (LoopCounter::XskRxDropped, sum.rx_dropped),
            (LoopCounter::XskRxInvalidDescs, sum.rx_invalid_descs),
            (LoopCounter::XskTxInvalidDescs, sum.tx_invalid_descs),
            (LoopCounter::XskRxRingFull, sum.rx_ring_full),
            (LoopCounter::XskRxFillRingEmpty, sum.rx_fill_ring_empty_descs),
            (LoopCounter::XskTxRingEmpty, sum.tx_ring_empty_descs),
        ];
        for (counter, value) in values {
            words.counters.set(counter, value);
        }
    }
}

/// Further off than the last correction left it, and than it may have been slewed since, the kernel's clock was set, ns: no
/// oscillator drifts so far in a tenth of a second.
const STEP_NS: u64 = 1_000_000;
/// An offset is worked off, or overshot when this thread comes late, by half of this part of the time at most.
const SLEW_ONE_IN: u128 = 100;

/// Times that the kernel's clock was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Steps {
    /// Kernel's time minus ours after the last correction.
    left_ns: i64,
    count: u64,
    stepped_ns: u64,
}

impl Steps {
    /// How far our clock is ahead of one that was set back.
    fn ahead_ns(&self) -> u64 {
        let ahead_ns = self.left_ns.min(0).unsigned_abs();
        if ahead_ns > STEP_NS { ahead_ns } else { 0 }
    }

    /// Whether it was set since the last correction, which was so long ago.
    fn note(&mut self, found: Correction, since: Duration) -> bool {
        let by_ns = found.offset_ns.saturating_sub(self.left_ns).unsigned_abs();
        // A jump catches up at once; set back, it is caught up with slowly.
        self.left_ns = if found.jumped { 0 } else { found.offset_ns };
        let slewed_ns = u64::try_from(since.as_nanos() / SLEW_ONE_IN).unwrap_or(u64::MAX);
        let is_step = by_ns > STEP_NS.saturating_add(slewed_ns);
        if is_step {
            self.count += 1;
            self.stepped_ns = self.stepped_ns.saturating_add(by_ns);
        }
        is_step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_counted_once_and_not_again_while_it_is_worked_off() {
        let mut steps = Steps::default();
        let mut note = |offset_ns, jumped| {
            let is_step = steps.note(Correction { offset_ns, jumped }, Duration::from_millis(100));
            (is_step, steps.count, steps.stepped_ns)
        };
        assert_eq!(note(40_000, false), (false, 0, 0));
        assert_eq!(note(5_000_000, true), (true, 1, 4_960_000), "ahead: at once");
        assert_eq!(note(10_000, false), (false, 1, 4_960_000));
        assert_eq!(note(-20_000_000, false), (true, 2, 24_970_000), "back: slowly");
        assert_eq!(note(-19_500_000, false), (false, 2, 24_970_000));
        assert_eq!(note(-19_000_000, false), (false, 2, 24_970_000));
        // The thread came two seconds late: it was slewed all the while.
        let late = Correction { offset_ns: -9_000_000, jumped: false };
        assert!(!steps.note(late, Duration::from_secs(2)), "{steps:?}");
        assert_eq!(steps.ahead_ns(), 9_000_000);
        let nearly = Correction { offset_ns: -900_000, jumped: false };
        assert!(!steps.note(nearly, Duration::from_secs(2)) && steps.ahead_ns() == 0, "{steps:?}");
        let behind = Correction { offset_ns: 5_000_000, jumped: true };
        assert!(steps.note(behind, Duration::from_millis(100)) && steps.ahead_ns() == 0, "{steps:?}");
    }
}
