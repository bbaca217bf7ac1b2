//! When messages happen: quiet stretches and clusters, as on a real day, and one burst with the published peak rate.

use crate::rng::Rng;

/// The busiest 10 ms of 2025-12-10 had this many messages.
pub const PEAK_MESSAGES: u64 = 20_490;
/// The length of that stretch.
pub const PEAK_NS: u64 = 10_000_000;

/// Draws the gaps between the messages of a stretch so that it fills a span.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    pub(super) now_ns: u64,
    gap_ns: f64,
    cluster_left: u32,
    in_cluster: bool,
    burst_left: u64,
}

impl Clock {
    pub(super) const fn new(now_ns: u64) -> Self {
        Self { now_ns, gap_ns: 0.0, cluster_left: 0, in_cluster: false, burst_left: 0 }
    }

    /// From now on `messages` are to fill the time until `end_ns`.
    pub(super) fn spread(&mut self, messages: u64, end_ns: u64) {
        self.gap_ns = end_ns.saturating_sub(self.now_ns) as f64 / messages.max(1) as f64;
        self.cluster_left = 0;
    }

    /// The next messages come at the peak rate.
    pub(super) fn burst(&mut self) {
        self.burst_left = PEAK_MESSAGES;
    }

    /// Jumps ahead.
    pub(super) fn at(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
    }

    /// The next message, evenly spread.
    pub(super) fn tick_evenly(&mut self) -> u64 {
        self.now_ns += self.gap_ns as u64;
        self.now_ns
    }

    /// The next message: nine tenths of all come in clusters at five times the mean rate, the rest in between, so that
    /// the mean stays.
    #[inline]
    pub(super) fn tick(&mut self, rng: &mut Rng) -> u64 {
        if self.burst_left > 0 {
            self.burst_left -= 1;
            self.now_ns += PEAK_NS / PEAK_MESSAGES;
            return self.now_ns;
        }
        if self.cluster_left == 0 {
            self.in_cluster = !self.in_cluster;
            self.cluster_left = 1 + rng.below(if self.in_cluster { 359 } else { 39 });
        }
        self.cluster_left -= 1;
        let factor = if self.in_cluster { 0.2 } else { 8.2 };
        // Uniform in 0..2 around the mean: as good as an exponential here, and cheaper.
        self.now_ns += (self.gap_ns * factor * 2.0 * rng.unit()) as u64;
        self.now_ns
    }
}
