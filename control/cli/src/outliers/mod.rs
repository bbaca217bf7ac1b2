//! `tern latency outliers`: each sample beyond a percentile with its stamps, what waited, where it is in the journal, and
//! what the likely cause is.
//!
//! Samples are the stage records (of orders, and of one datagram in so many) and the outliers that the loop kept apart, which
//! may be of any datagram and say how things stood.

mod cause;
mod clock;
mod inputs;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use tern_abi::outlier::{OutlierRecord, TAIL_NAMES};
use tern_abi::record::{Kind, STAGE_NAMES, STAGES, Stage, StageRecord};
use zerocopy::FromBytes;

use crate::fold::{Latencies, Span};
use crate::history::damage_note;
use crate::outcome::{Failure, Outcome};
use crate::records;
use crate::table::{duration, grouped, tai_time};
pub(crate) use cause::Cause;
use clock::Clocks;
use inputs::{Around, Inputs};
use tern_journal::Damage;

/// Spans that samples are looked for by: [`WHOLE`], and those of a datagram's way as a whole that `tern latency` tells.
pub(crate) const SPANS: [&str; 4] = [WHOLE, "tick_to_order", "arrival_to_order", "arrival_to_seen"];
/// From arrival to the last stamp, the transmission of an order included.
pub(crate) const WHOLE: &str = "whole";

/// A part of a sample: from one stamp to the next.
struct Part {
    name: &'static str,
    ns: u64,
    /// Of all samples.
    median_ns: u64,
}

impl Part {
    const fn excess(&self) -> u64 {
        self.ns.saturating_sub(self.median_ns)
    }
}

/// One sample beyond the percentile.
struct Sample {
    span_ns: u64,
    stages: StageRecord,
    /// How things stood, if the loop kept it apart.
    kept: Option<OutlierRecord>,
    around: Around,
    /// By how much the clocks of its stamps may differ: the kernel's was set about then.
    apart_ns: u64,
}

/// What a span is, from the stamps of a sample.
fn span_ns(name: &str, record: &StageRecord) -> Option<u64> {
    let stamp = |stage: Stage| record.stage_ns[stage as usize];
    let (from, to) = match name {
        WHOLE => return Some(record.whole_ns()),
        "arrival_to_seen" => (record.arrival_ns, stamp(Stage::FrameSeen)),
        "arrival_to_order" if record.order != 0 => (record.arrival_ns, stamp(Stage::Encoded)),
        "tick_to_order" if record.order != 0 => (stamp(Stage::FrameSeen), stamp(Stage::Encoded)),
        _ => return None,
    };
    (from != 0 && to != 0).then(|| to.saturating_sub(from))
}

/// The parts of a sample that belong to the span, each with its median.
fn parts(span: &str, record: &StageRecord, all: &Latencies) -> Vec<Part> {
    let seen = Stage::FrameSeen as usize;
    let (first, last) = match span {
        WHOLE => (seen, Stage::Submitted as usize),
        "arrival_to_seen" => (seen, seen),
        "arrival_to_order" => (seen, Stage::Encoded as usize),
        _ => (seen + 1, Stage::Encoded as usize),
    };
    let mut parts = Vec::with_capacity(STAGES);
    let mut before = record.arrival_ns;
    for (index, (name, now)) in STAGE_NAMES.iter().zip(record.stage_ns).enumerate().filter(|(_, (_, ns))| *ns != 0) {
        let (name, of_all) =
            if index == seen { ("wait", Some(&all.arrival_to_seen)) } else { (*name, all.stages.get(index)) };
        if (first..=last).contains(&index) {
            let median_ns = of_all.map_or(0, |span| span.at(0.5));
            parts.push(Part { name, ns: now.saturating_sub(before), median_ns });
        }
        before = now;
    }
    parts
}

/// The stamps that a datagram has, by name.
fn stamps_json(record: &StageRecord) -> Value {
    let stamps = STAGE_NAMES.iter().zip(record.stage_ns).filter(|(_, ns)| *ns != 0);
    Value::Object(stamps.map(|(name, ns)| ((*name).to_owned(), json!(ns))).collect::<Map<String, Value>>())
}

/// What the loop kept of an outlier, for programs.
pub(crate) fn record_json(record: &OutlierRecord) -> Value {
    let stages = &record.stages;
    let beyond = TAIL_NAMES.iter().enumerate().filter(|(index, _)| record.beyond & 1 << index != 0);
    let thresholds: Map<String, Value> =
        TAIL_NAMES.iter().zip(record.threshold_ns).map(|(name, ns)| ((*name).to_owned(), json!(ns))).collect();
    json!({ "order": stages.order, "cause_seq": stages.cause_seq, "backlog": stages.backlog,
        "arrival_ns": stages.arrival_ns, "stage_ns": stamps_json(stages),
        "beyond": beyond.map(|(_, name)| *name).collect::<Vec<_>>(), "threshold_ns": thresholds,
        "place": record.place, "batch": record.batch, "waiting": record.waiting,
        "order_slots": { "used": record.order_used, "of": record.order_slots },
        "capture_bytes": { "used": record.capture_used, "of": record.capture_bytes },
        "overdue_ns": record.overdue_ns, "turn_ns": record.turn_ns, "window_ns": record.window_ns,
        "switches": record.switches, "faults": record.faults, "stood_ns": record.stood_ns,
        "stepped_ns": record.stepped_ns })
}

/// A sample as it is told.
pub(crate) struct Told {
    /// When it arrived, TAI ns, and how long it took.
    pub(crate) at_ns: u64,
    pub(crate) ns: u64,
    pub(crate) cause: Cause,
    /// Part, how long it took and usually takes, and the likely cause.
    pub(crate) text: String,
    json: Value,
}

impl Sample {
    fn told(&self, span: &str, all: &Latencies) -> Told {
        let parts = parts(span, &self.stages, all);
        let blamed = parts.iter().max_by_key(|part| part.excess()).filter(|part| part.excess() > 0);
        let (cause, likely) = cause::of(blamed, self);
        let stages = &self.stages;
        let part = blamed.map_or_else(String::new, |part| {
            format!("{} {} (median {}): ", part.name, duration(part.ns), duration(part.median_ns))
        });
        let at_ns = if stages.arrival_ns == 0 { stages.stage_ns[0] } else { stages.arrival_ns };
        let parts: Vec<Value> =
            parts.iter().map(|part| json!({ "part": part.name, "ns": part.ns, "median_ns": part.median_ns })).collect();
        let json = json!({ "span": span, "ns": self.span_ns, "cause_seq": stages.cause_seq, "order": stages.order,
            "arrival_ns": stages.arrival_ns, "backlog": stages.backlog,
            "payload_bytes": self.around.input.map(|input| input.bytes), "stage_ns": stamps_json(stages), "parts": parts,
            "blamed": blamed.map(|part| part.name), "cause": cause.name(), "likely": likely, "clocks_apart_ns": self.apart_ns,
            "kept": self.kept.as_ref().map(record_json) });
        Told { at_ns, ns: self.span_ns, cause, text: format!("{part}{likely}"), json }
    }
}

/// What the journal has of a span's samples.
pub(crate) struct Found {
    pub(crate) told: Vec<Told>,
    /// All that are beyond the percentile, and how many of them the loop kept apart.
    pub(crate) count: usize,
    pub(crate) kept: usize,
    /// Samples of which the percentile was taken, and what it is.
    pub(crate) samples: u64,
    pub(crate) threshold_ns: u64,
    damage: Option<Damage>,
}

/// The longest samples of a span beyond the percentile `beyond`, at most `limit`, the longest first.
///
/// # Errors
/// When the journal cannot be opened.
pub(crate) fn find(folder: &Path, span: &'static str, beyond: f64, limit: usize) -> Result<Found, Failure> {
    let (mut all, mut of_span) = (Latencies::default(), Span::new(span, ""));
    let mut kept: HashMap<u64, OutlierRecord> = HashMap::new();
    let mut clocks = Clocks::default();
    let damage = records::for_each(folder, 0, |header, body| {
        match Kind::from_u16(header.kind) {
            Some(Kind::Stages) => {
                if let Ok(record) = StageRecord::read_from_bytes(body) {
                    all.add(header.tai_ns, &record);
                    span_ns(span, &record).into_iter().for_each(|ns| of_span.add(ns));
                }
            }
            Some(Kind::Outlier) => {
                if let Ok(record) = OutlierRecord::read_from_bytes(body) {
                    kept.insert(record.stages.cause_seq, record);
                }
            }
            Some(Kind::Counters) => clocks.push(header.tai_ns, body),
            _ => {}
        }
        true
    })?;
    let (samples, threshold_ns) = (of_span.percentiles().n, of_span.at(beyond / 100.0));
    // The histogram knows a value to a thousandth: some more are looked at than there are beyond the percentile.
    let least_ns = threshold_ns - threshold_ns / 500;
    kept.retain(|_, record| span_ns(span, &record.stages).is_some_and(|ns| ns >= least_ns));
    let mut found = collect(folder, span, least_ns, &kept, &clocks)?;
    found.sort_by_key(|sample| (Reverse(sample.span_ns), sample.stages.cause_seq));
    let most = ((samples as f64 * (100.0 - beyond) / 100.0).ceil() as usize).max(1);
    let mut others = 0;
    found.retain(|sample| {
        others += usize::from(sample.kept.is_none());
        sample.kept.is_some() || others <= most
    });
    let (count, kept) = (found.len(), found.iter().filter(|sample| sample.kept.is_some()).count());
    found.truncate(limit);
    let told = found.iter().map(|sample| sample.told(span, &all)).collect();
    Ok(Found { told, count, kept, samples, threshold_ns, damage })
}

/// Walks the journal once more: the samples of `least_ns` and more, and those that were kept, with the inputs around them.
fn collect(
    folder: &Path,
    span: &str,
    least_ns: u64,
    kept: &HashMap<u64, OutlierRecord>,
    clocks: &Clocks,
) -> Result<Vec<Sample>, Failure> {
    let mut inputs = Inputs::default();
    let mut found: Vec<Sample> = Vec::new();
    records::for_each(folder, 0, |header, body| {
        match Kind::from_u16(header.kind) {
            Some(Kind::Stages) => {
                if let Ok(stages) = StageRecord::read_from_bytes(body) {
                    inputs.ended(&stages);
                    if let Some(span_ns) = span_ns(span, &stages).filter(|ns| *ns >= least_ns)
                        && !kept.contains_key(&stages.cause_seq)
                    {
                        let apart_ns = clocks.apart_ns(stages.arrival_ns, span_ns);
                        found.push(Sample { span_ns, stages, kept: None, around: inputs.around(&stages), apart_ns });
                    }
                }
            }
            Some(kind) if (kind as u16) < Kind::Order as u16 => {
                inputs.push(header, body);
                // Written later than it happened: the inputs around it are those here.
                if let Some(record) = kept.get(&header.seq) {
                    let (stages, span_ns) = (record.stages, span_ns(span, &record.stages).unwrap_or(0));
                    inputs.ended(&stages);
                    let apart_ns = clocks.apart_ns(stages.arrival_ns, span_ns);
                    let apart_ns = if apart_ns == 0 { record.stepped_ns } else { apart_ns };
                    let around = inputs.around(&stages);
                    found.push(Sample { span_ns, stages, kept: Some(*record), around, apart_ns });
                }
            }
            _ => {}
        }
        true
    })?;
    Ok(found)
}

/// The samples of `span` beyond the percentile `beyond`, the longest first.
///
/// # Errors
/// When the journal cannot be opened.
pub(crate) fn outliers(folder: &Path, span: &str, beyond: f64, limit: usize) -> Result<Outcome, Failure> {
    let span = SPANS.into_iter().find(|known| *known == span).unwrap_or(WHOLE);
    let found = find(folder, span, beyond, limit)?;
    let mut text = format!(
        "{span}: {} of {} samples beyond p{beyond}, {}; {} kept apart by the loop\n",
        grouped(found.count as u64),
        grouped(found.samples),
        duration(found.threshold_ns),
        grouped(found.kept as u64)
    );
    for told in &found.told {
        let seq = told.json["cause_seq"].as_u64().unwrap_or(0);
        text.push_str(&format!("{} {seq:>10} {:>9}  {}\n", tai_time(told.at_ns), duration(told.ns), told.text));
    }
    if found.count > limit {
        text.push_str(&format!("and {} more (--limit)\n", grouped((found.count - limit) as u64)));
    }
    let code = damage_note(found.damage.as_ref(), &mut text);
    let list: Vec<Value> = found.told.into_iter().map(|told| told.json).collect();
    let json = json!({ "span": span, "beyond_percentile": beyond, "threshold_ns": found.threshold_ns,
        "samples": found.samples, "found": found.count, "kept": found.kept, "outliers": list });
    Ok(Outcome { text, json, code })
}

#[cfg(test)]
pub(crate) mod tests;
