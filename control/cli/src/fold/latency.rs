//! Percentiles from stage stamps.

use hdrhistogram::Histogram;
use serde::Serialize;
use tern_abi::record::{STAGE_NAMES, StageRecord};

/// Longest span that is told apart from longer ones: a minute.
pub(crate) const SPAN_NS_MAX: u64 = 60_000_000_000;

/// One span of the way through the loop.
#[derive(Clone, Debug)]
pub struct Span {
    /// `tick_to_order`, `arrival_to_order`, `arrival_to_seen`, or the name of a stage (from the stage before it).
    pub name: &'static str,
    /// What it runs from and to.
    pub help: &'static str,
    histogram: Histogram<u64>,
}

/// The figures of a span that people ask for, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Samples.
    pub n: u64,
    /// Least.
    pub min: u64,
    /// Median.
    pub p50: u64,
    /// 90 percent were at most this.
    pub p90: u64,
    /// 99 percent.
    pub p99: u64,
    /// 99.9 percent.
    pub p999: u64,
    /// Most.
    pub max: u64,
    /// Mean, rounded down.
    pub mean: u64,
}

impl Span {
    pub(crate) fn new(name: &'static str, help: &'static str) -> Self {
        let histogram = Histogram::new_with_bounds(1, SPAN_NS_MAX, 3).expect("bounds and digits are constants");
        Self { name, help, histogram }
    }

    pub(crate) fn add(&mut self, ns: u64) {
        self.histogram.saturating_record(ns.min(SPAN_NS_MAX));
    }

    /// The value that this part of all samples is at most; 0 without samples.
    pub fn at(&self, quantile: f64) -> u64 {
        if self.histogram.is_empty() { 0 } else { self.histogram.value_at_quantile(quantile) }
    }

    /// Its figures.
    pub fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.histogram.value_at_quantile(quantile);
        if self.histogram.is_empty() {
            return Percentiles::default();
        }
        Percentiles {
            n: self.histogram.len(),
            min: self.histogram.min(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.histogram.max(),
            mean: self.histogram.mean() as u64,
        }
    }

    /// Counts in `columns` ranges of equal ratio between the least and the most, with the lower end of each in ns.
    pub fn shape(&self, columns: usize) -> Vec<(u64, u64)> {
        if self.histogram.is_empty() || columns == 0 {
            return Vec::new();
        }
        let low = self.histogram.min().max(1) as f64;
        let high = (self.histogram.max() as f64).max(low + 1.0);
        let edge = |column: usize| (low * (high / low).powf(column as f64 / columns as f64)) as u64;
        (0..columns)
            .map(|column| {
                let (from, to) = (edge(column), if column + 1 == columns { u64::MAX } else { edge(column + 1) });
                let count = self.histogram.iter_recorded().filter(|value| {
                    let at = value.value_iterated_to();
                    (column == 0 || at >= from) && at < to
                });
                (from, count.map(|value| value.count_at_value()).sum())
            })
            .collect()
    }
}

/// All spans.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Frame seen by the loop to order bytes encoded, for datagrams that made an order.
    pub tick_to_order: Span,
    /// Arrival at the XDP program or kernel socket to order bytes encoded.
    pub arrival_to_order: Span,
    /// Arrival to frame seen, all stamped datagrams.
    pub arrival_to_seen: Span,
    /// Each stage from the last stage before it that was reached; the first is empty.
    pub stages: Vec<Span>,
    /// Time of the first and last stamp, TAI ns.
    pub window_ns: (u64, u64),
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            tick_to_order: Span::new("tick_to_order", "frame seen by the loop to order bytes encoded"),
            arrival_to_order: Span::new("arrival_to_order", "arrival at the port to order bytes encoded"),
            arrival_to_seen: Span::new("arrival_to_seen", "arrival at the port to frame seen by the loop"),
            stages: STAGE_NAMES.iter().map(|name| Span::new(name, "from the stage before")).collect(),
            window_ns: (0, 0),
        }
    }
}

impl Latencies {
    /// Adds the stamps of one datagram.
    pub fn add(&mut self, at_ns: u64, record: &StageRecord) {
        if self.window_ns.0 == 0 {
            self.window_ns.0 = at_ns;
        }
        self.window_ns.1 = at_ns;
        let whole = [&mut self.tick_to_order, &mut self.arrival_to_order, &mut self.arrival_to_seen];
        let spans = whole.into_iter().chain(self.stages.iter_mut().skip(1));
        spans.zip(record.spans()).for_each(|(span, ns)| ns.into_iter().for_each(|ns| span.add(ns)));
    }

    /// Every span, whole ones first; the first stage has nothing before it and is left out.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        [&self.tick_to_order, &self.arrival_to_order, &self.arrival_to_seen]
            .into_iter()
            .chain(self.stages.iter().skip(1))
    }
}
