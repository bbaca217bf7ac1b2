//! `<run>/latency.json`: how long the spans of the loop took, counted by the daemon as it drains the stage records.

use serde::{Deserialize, Serialize};
use tern_abi::record::{SPAN_NAMES, SPANS, StageRecord};

/// Version of [`LatencyFacts`].
pub const LATENCY_VERSION: u32 = 1;

/// Upper bounds of the buckets, ns, included; above the last there is one more bucket.
pub const BOUNDS_NS: [u64; 25] = [
    100,
    200,
    300,
    500,
    750,
    1_000,
    1_500,
    2_000,
    3_000,
    5_000,
    7_500,
    10_000,
    15_000,
    20_000,
    30_000,
    50_000,
    75_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];

/// One span's samples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanCounts {
    /// One of [`SPAN_NAMES`].
    pub name: String,
    /// Samples in each bucket, not those of the buckets before it.
    pub counts: Vec<u64>,
    /// Sum of all samples, ns.
    pub sum_ns: u64,
}

impl SpanCounts {
    fn add(&mut self, ns: u64) {
        let bucket = BOUNDS_NS.partition_point(|bound| *bound < ns);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }
}

/// All spans since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LatencyFacts {
    /// [`LATENCY_VERSION`].
    pub version: u32,
    /// Upper bounds of the buckets, ns.
    pub bounds_ns: Vec<u64>,
    /// In the order of [`SPAN_NAMES`].
    pub spans: Vec<SpanCounts>,
}

impl LatencyFacts {
    /// No samples.
    pub fn empty() -> Self {
        let span = |name: &&str| SpanCounts {
            name: (*name).into(),
            counts: vec![0; BOUNDS_NS.len() + 1],
            ..SpanCounts::default()
        };
        Self { version: LATENCY_VERSION, bounds_ns: BOUNDS_NS.to_vec(), spans: SPAN_NAMES.iter().map(span).collect() }
    }

    /// Counts one datagram's stamps.
    pub fn add(&mut self, record: &StageRecord) {
        let took: [Option<u64>; SPANS] = record.spans();
        for (span, ns) in self.spans.iter_mut().zip(took) {
            if let Some(ns) = ns {
                span.add(ns);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_counted_in_the_bucket_whose_bound_it_does_not_exceed() {
        let mut facts = LatencyFacts::empty();
        // Arrived at 1000, seen at 1100, decoded at 1101, encoded at 2100; the stages between were not stamped.
        let mut record =
            StageRecord { arrival_ns: 1000, stage_ns: [1100, 1101, 0, 0, 0, 2100, 0], order: 7, ..Default::default() };
        facts.add(&record);
        record.order = 0;
        facts.add(&record);
        let of = |name: &str| facts.spans.iter().find(|span| span.name == name).expect("a span");
        let found = |name: &str| -> Vec<(u64, u64)> {
            let filled = of(name).counts.iter().enumerate().filter(|(_, count)| **count > 0);
            filled.map(|(index, count)| (BOUNDS_NS[index], *count)).collect()
        };
        assert_eq!(found("tick_to_order"), [(1000, 1)], "1000 ns, of the one that made an order");
        assert_eq!(found("arrival_to_order"), [(1500, 1)]);
        assert_eq!((found("arrival_to_seen"), of("arrival_to_seen").sum_ns), (vec![(100, 2)], 200));
        assert_eq!(found("decoded"), [(100, 2)]);
        assert_eq!(found("encoded"), [(1000, 2)], "from the last stage before it that was reached");
        assert!(found("book").is_empty() && found("submitted").is_empty());
        record.stage_ns[5] = 1100 + 2_000_000_000;
        record.order = 1;
        facts.add(&record);
        assert_eq!(facts.spans[0].counts.last(), Some(&1), "beyond every bound");
    }
}
