//! What has to be done about once a second and costs system calls: a thread of its own, away from the loop's core.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tern_abi::counters::LoopCounter;
use tern_abi::segment::Words;
use tern_hw::clock::Anchorer;
use tern_hw::port::PortStatistics;
use tern_hw::xdp::StatisticsReader;

/// Pause between two corrections of the clock.
const ANCHOR_PERIOD: Duration = Duration::from_millis(100);
/// Corrections between two looks at the sockets' counters.
const CORRECTIONS_A_LOOK: u32 = 10;

/// The thread's work.
pub struct Housekeeping {
    readers: Vec<StatisticsReader>,
    anchorer: Anchorer,
}

impl Housekeeping {
    /// Looks after these sockets and this clock.
    pub fn new(readers: Vec<StatisticsReader>, anchorer: Anchorer) -> Self {
        Self { readers, anchorer }
    }

    /// Until `ended` is set; unpark the thread then.
    pub fn run(mut self, words: &Words, ended: &AtomicBool) {
        if let Err(error) = tern_hw::privilege::drop_capabilities() {
            tracing::warn!("capabilities of the housekeeping thread: {error}");
        }
        let mut until_look = 0_u32;
        while !ended.load(Ordering::Acquire) {
            if until_look == 0 {
                until_look = CORRECTIONS_A_LOOK;
                self.show_statistics(words);
            }
            until_look -= 1;
            let period_ns = ANCHOR_PERIOD.as_nanos() as u64;
            if let Some(found) = self.anchorer.correct(period_ns)
                && found.jumped
            {
                tracing::warn!(offset_ns = found.offset_ns, "the clock jumped ahead: the kernel's was set");
            }
            let next = Instant::now() + ANCHOR_PERIOD;
            while !ended.load(Ordering::Acquire)
                && let Some(left) = next.checked_duration_since(Instant::now())
            {
                std::thread::park_timeout(left);
            }
        }
        self.show_statistics(words);
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
