//! Which datagrams took longer than nearly all others: a rolling threshold a part of the way, and the few that are beyond it,
//! kept until it is known what the kernel did meanwhile.
//!
//! Each datagram costs a count in a bucket and a compare for each part of its way. Everything else is done for one in a
//! thousand, or every millisecond.

use tern_abi::counters::{Counters, LoopCounter};
use tern_abi::outlier::{OutlierRecord, TAILS};
use tern_abi::record::StageRecord;
use tern_core::units::TaiNs;

/// Buckets are an eighth of a power of two wide: a threshold is exact to that.
const SUB_BITS: u32 = 3;
/// Longer ones count as this long: 18 minutes.
const LONGEST_NS: u64 = (1 << 40) - 1;
const BUCKETS: usize = bucket(LONGEST_NS) + 1;
/// Before so many samples nobody knows what is usual: what takes longer than this is kept.
const THRESHOLD_AT_START_NS: u64 = 100_000;
/// Samples from one look at the threshold to the next.
const FRESH_SAMPLES: u32 = 4_096;
/// Beyond so many samples all counts are halved, so that the threshold follows the day.
const WINDOW_SAMPLES: u64 = 1 << 17;
/// One sample in so many is beyond it.
const BEYOND_ONE_IN: u64 = 1_000;
/// Outliers that wait to be recorded, at most.
const KEPT: usize = 16;
/// Without a look of the housekeeping thread they are recorded after so long.
const PATIENCE_NS: u64 = 1_000_000_000;

/// The bucket of a time: the values below 16 have one each.
#[inline]
const fn bucket(ns: u64) -> usize {
    let ns = if ns < LONGEST_NS { ns } else { LONGEST_NS };
    let shift = (ns | 15).ilog2() - SUB_BITS;
    ((shift << SUB_BITS) as u64 + (ns >> shift)) as usize
}

/// The longest time in a bucket.
const fn upper_ns(bucket: usize) -> u64 {
    let shift = (bucket >> SUB_BITS).saturating_sub(1);
    (((bucket - (shift << SUB_BITS)) as u64 + 1) << shift) - 1
}

/// What is usual of one part.
#[derive(Debug)]
struct Usual {
    counts: [u32; BUCKETS],
    fresh: u32,
    threshold_ns: u64,
}

impl Usual {
    const fn new() -> Self {
        Self { counts: [0; BUCKETS], fresh: 0, threshold_ns: THRESHOLD_AT_START_NS }
    }

    /// Counts a sample; whether it is beyond the threshold.
    #[inline]
    fn add(&mut self, ns: u64) -> bool {
        if let Some(count) = self.counts.get_mut(bucket(ns)) {
            *count = count.saturating_add(1);
        }
        self.fresh = self.fresh.saturating_add(1);
        ns > self.threshold_ns
    }

    /// Moves the threshold to where it belongs, if enough came since.
    fn follow(&mut self) {
        if self.fresh < FRESH_SAMPLES {
            return;
        }
        self.fresh = 0;
        let samples: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let mut beyond = samples / BEYOND_ONE_IN;
        let at = self.counts.iter().enumerate().rev().find(|(_, count)| {
            let is_here = u64::from(**count) > beyond;
            beyond = beyond.saturating_sub(u64::from(**count));
            is_here
        });
        self.threshold_ns = at.map_or(THRESHOLD_AT_START_NS, |(bucket, _)| upper_ns(bucket));
        if samples > WINDOW_SAMPLES {
            self.counts.iter_mut().for_each(|count| *count /= 2);
        }
    }
}

/// What the housekeeping thread had counted.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    looks: u64,
    /// When the loop saw it.
    at: TaiNs,
    switches: u64,
    faults: u64,
    stood_ns: u64,
    stepped_ns: u64,
}

impl Standing {
    fn read(counters: &Counters, at: TaiNs) -> Self {
        let of = |counter| counters.get(counter);
        Self {
            looks: of(LoopCounter::LoopLooks),
            at,
            switches: of(LoopCounter::LoopSwitches),
            faults: of(LoopCounter::LoopFaults),
            stood_ns: of(LoopCounter::LoopStoodNs),
            stepped_ns: of(LoopCounter::ClockSteppedNs),
        }
    }
}

/// An outlier that waits to be recorded.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    record: OutlierRecord,
    at: TaiNs,
    /// How things stood before it, and the looks when it came.
    before: Standing,
    looks: u64,
    /// How far the loop's clock was ahead of the kernel's.
    ahead_ns: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Tails {
    usual: Box<[Usual; TAILS]>,
    waiting: Box<[Waiting; KEPT]>,
    count: usize,
    /// The last two looks of the housekeeping thread.
    before: Standing,
    last: Standing,
    kept: u64,
    left_out: u64,
    /// Of those that wait, when there is room for no other.
    shortest_ns: u64,
}

impl Default for Tails {
    fn default() -> Self {
        Self {
            usual: Box::new([const { Usual::new() }; TAILS]),
            waiting: Box::new([Waiting::default(); KEPT]),
            count: 0,
            before: Standing::default(),
            last: Standing::default(),
            kept: 0,
            left_out: 0,
            shortest_ns: 0,
        }
    }
}

impl Tails {
    /// Counts a datagram; a bit for each part of its way that took longer than nearly all others.
    #[inline]
    pub fn add(&mut self, stages: &StageRecord) -> u32 {
        let mut beyond = 0;
        for (index, (usual, ns)) in self.usual.iter_mut().zip(stages.tails()).enumerate() {
            if let Some(ns) = ns {
                beyond |= u32::from(usual.add(ns)) << index;
            }
        }
        beyond
    }

    /// Whether there is a place for one that is beyond a threshold, which is counted otherwise: when the loop is behind, nearly
    /// all are.
    #[inline]
    pub fn has_place(&mut self, stages: &StageRecord) -> bool {
        let has_place = self.count < KEPT || stages.whole_ns() > self.shortest_ns;
        self.left_out += u64::from(!has_place);
        has_place
    }

    /// Keeps one that is beyond a threshold, in the place of a shorter one if there is no other.
    pub fn keep(&mut self, counters: &Counters, record: OutlierRecord, now: TaiNs) {
        self.left_out += u64::from(self.count == KEPT);
        let threshold_ns = self.usual.each_ref().map(|usual| usual.threshold_ns);
        let record = OutlierRecord { threshold_ns, ..record };
        let looks = counters.get(LoopCounter::LoopLooks);
        let ahead_ns = counters.get(LoopCounter::ClockAheadNs);
        let new = Waiting { record, at: now, before: self.before, looks, ahead_ns };
        if let Some(place) = self.waiting.get_mut(self.count) {
            *place = new;
            self.count += 1;
            self.follow_shortest();
            return;
        }
        let whole_ns = |one: &Waiting| one.record.stages.whole_ns();
        if let Some(shortest) = self.waiting.iter_mut().min_by_key(|one| whole_ns(one))
            && whole_ns(shortest) < whole_ns(&new)
        {
            *shortest = new;
        }
        self.follow_shortest();
    }

    fn follow_shortest(&mut self) {
        let shortest_ns = self.waiting.iter().map(|one| one.record.stages.whole_ns()).min();
        self.shortest_ns = shortest_ns.filter(|_| self.count == KEPT).unwrap_or(0);
    }

    /// Follows what is usual and what the housekeeping thread counts. Gives those to `record` of which it is known what the
    /// kernel did meanwhile, or all, in the order in which they came; what it refuses waits on.
    pub fn settle(
        &mut self,
        counters: &Counters,
        now: TaiNs,
        all: bool,
        mut record: impl FnMut(&OutlierRecord) -> Result<(), tern_abi::record::RingFull>,
    ) {
        self.usual.iter_mut().for_each(Usual::follow);
        let standing = Standing::read(counters, now);
        if standing.looks != self.last.looks {
            (self.before, self.last) = (self.last, standing);
        }
        let mut left = 0;
        for index in 0..self.count {
            let Some(one) = self.waiting.get(index).copied() else { break };
            // The look after the next began when it was over.
            let is_known = standing.looks >= one.looks + 2;
            let told = if is_known { told(&one, &self.last) } else { one.record };
            if (all || is_known || now.since(one.at) >= PATIENCE_NS) && record(&told).is_ok() {
                self.kept += 1;
            } else if let Some(place) = self.waiting.get_mut(left) {
                *place = one;
                left += 1;
            }
        }
        self.count = left;
        self.follow_shortest();
        counters.set(LoopCounter::Outliers, self.kept);
        counters.set(LoopCounter::OutliersLeftOut, self.left_out);
    }
}

/// The record, with what was counted from before the datagram to the last look; without that where nobody of this run had
/// looked before it.
fn told(one: &Waiting, last: &Standing) -> OutlierRecord {
    if one.before.at == TaiNs(0) {
        return OutlierRecord { stepped_ns: one.ahead_ns, ..one.record };
    }
    let few = |now: u64, before: u64| u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
    OutlierRecord {
        window_ns: last.at.since(one.before.at),
        stood_ns: last.stood_ns.saturating_sub(one.before.stood_ns),
        stepped_ns: last.stepped_ns.saturating_sub(one.before.stepped_ns).max(one.ahead_ns),
        switches: few(last.switches, one.before.switches),
        faults: few(last.faults, one.before.faults),
        ..one.record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_abi::record::RingFull;

    fn stages(arrival_ns: u64, wait_ns: u64, work_ns: u64) -> StageRecord {
        let seen = arrival_ns + wait_ns;
        StageRecord { arrival_ns, stage_ns: [seen, seen + work_ns, 0, 0, 0, 0, 0], ..StageRecord::default() }
    }

    #[test]
    fn buckets_follow_each_other_and_are_an_eighth_wide() {
        let mut before = 0;
        for ns in (0..100_000).chain((17..40).flat_map(|power| [(1_u64 << power) - 1, 1 << power])) {
            let bucket = bucket(ns);
            assert!(bucket >= before && bucket < BUCKETS, "{ns}");
            assert!(upper_ns(bucket) >= ns && upper_ns(bucket) <= ns + ns / 8, "{ns}: {}", upper_ns(bucket));
            assert!(bucket == 0 || upper_ns(bucket - 1) < ns, "{ns}");
            before = bucket;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn one_in_a_thousand_is_beyond_the_threshold_and_the_threshold_follows() {
        let (mut tails, counters) = (Tails::default(), Counters::new());
        let mut beyond = 0;
        for round in 0..40_u64 {
            // A thousand samples of 1 to 10 us; from the twentieth round on ten times as long.
            let times = if round < 20 { 1 } else { 10 };
            for number in 0..10_000_u64 {
                let ns = (1_000 + number * 7_919 % 10_000 * 9 / 10) * times;
                let is_beyond = tails.add(&stages(1, ns, 100)) & 1;
                beyond += u32::from(is_beyond != 0 && !matches!(round, 0 | 20..26));
            }
            tails.settle(&counters, TaiNs(round), false, |_| Ok(()));
        }
        // 340,000 samples: with buckets an eighth wide, up to one in a thousand.
        assert!(beyond <= 340, "{beyond}");
        let threshold = tails.usual[0].threshold_ns;
        assert!((99_000..125_000).contains(&threshold), "{threshold}");
    }

    #[test]
    fn what_happened_around_it_is_known_after_the_second_look() {
        let (mut tails, counters) = (Tails::default(), Counters::new());
        let look = |looks: u64, switches: u64, stood_ns: u64| {
            counters.set(LoopCounter::LoopLooks, looks);
            counters.set(LoopCounter::LoopSwitches, switches);
            counters.set(LoopCounter::LoopStoodNs, stood_ns);
        };
        let mut told = Vec::new();
        let mut settle = |tails: &mut Tails, now| {
            tails.settle(&counters, TaiNs(now), false, |record| {
                told.push(*record);
                Ok(())
            });
            told.len()
        };
        look(7, 100, 1_000);
        settle(&mut tails, 100);
        look(8, 100, 1_000);
        settle(&mut tails, 200);
        let slow = stages(210, 500_000, 10);
        assert_eq!(tails.add(&slow), 1);
        // The look that came while it was being worked off has one part of what happened, the next one the other.
        look(9, 101, 1_000);
        let record = OutlierRecord { stages: slow, beyond: 1, ..OutlierRecord::default() };
        tails.keep(&counters, record, TaiNs(500_710));
        assert_eq!(settle(&mut tails, 500_720), 0);
        look(10, 101, 401_000);
        assert_eq!(settle(&mut tails, 600_000), 0);
        look(11, 101, 401_000);
        assert_eq!(settle(&mut tails, 700_000), 1);
        assert_eq!((told[0].switches, told[0].stood_ns, told[0].window_ns), (1, 400_000, 699_900));
        assert_eq!(told[0].threshold_ns[0], THRESHOLD_AT_START_NS);
        assert_eq!(counters.get(LoopCounter::Outliers), 1);
    }

    #[test]
    fn a_clock_that_is_still_ahead_of_the_kernels_is_told_long_after_it_was_set() {
        let (mut tails, counters) = (Tails::default(), Counters::new());
        counters.set(LoopCounter::ClockSteppedNs, 80_000_000);
        counters.set(LoopCounter::ClockAheadNs, 60_000_000);
        for looks in 1..4 {
            counters.set(LoopCounter::LoopLooks, looks);
            tails.settle(&counters, TaiNs(looks), false, |_| Ok(()));
        }
        let record = OutlierRecord { stages: stages(1, 60_000_500, 10), ..OutlierRecord::default() };
        tails.keep(&counters, record, TaiNs(4));
        counters.set(LoopCounter::LoopLooks, 5);
        let mut told = None;
        tails.settle(&counters, TaiNs(5), false, |record| {
            told = Some((record.stepped_ns, record.window_ns));
            Ok(())
        });
        assert_eq!(told, Some((60_000_000, 3)));
    }

    #[test]
    fn the_longest_are_kept_and_what_the_ring_refuses_waits() {
        let (mut tails, counters) = (Tails::default(), Counters::new());
        for number in 1..=20_u64 {
            let record = OutlierRecord { stages: stages(1, number * 200_000, 10), ..OutlierRecord::default() };
            assert!(tails.has_place(&record.stages));
            tails.keep(&counters, record, TaiNs(number));
        }
        assert!(!tails.has_place(&stages(1, 5 * 200_000, 10)), "it is no longer than the shortest that waits");
        tails.settle(&counters, TaiNs(30), true, |_| Err(RingFull));
        assert_eq!(counters.get(LoopCounter::Outliers), 0);
        let mut told = Vec::new();
        // Nobody looks: after a while they are told as they are.
        tails.settle(&counters, TaiNs(20 + PATIENCE_NS), false, |record| {
            told.push(record.stages.whole_ns() / 200_000);
            assert_eq!(record.window_ns, 0);
            Ok(())
        });
        told.sort_unstable();
        assert_eq!(told, (5..=20).collect::<Vec<u64>>());
        assert_eq!((counters.get(LoopCounter::Outliers), counters.get(LoopCounter::OutliersLeftOut)), (16, 5));
    }
}
