//! `tern latency outliers`: each sample beyond a percentile with its stamps, what waited, where it is in the journal, and
//! what the likely cause is.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::path::Path;

use serde_json::{Map, Value, json};
use tern_abi::record::{DatagramHead, Kind, RecordHeader, STAGE_NAMES, STAGES, Stage, StageRecord};
use zerocopy::FromBytes;

use crate::fold::Latencies;
use crate::history::{damage_note, kind_name};
use crate::outcome::{Failure, Outcome};
use crate::records;
use crate::table::{duration, grouped, tai_time};

/// Inputs that are kept to find a sample's cause and what the loop did before it: a stage record follows its input soon.
const INPUTS_KEPT: usize = 8192;
/// No code between two stamps takes that long by itself: the loop was not running.
const TAKEN_NS: u64 = 20_000;

/// An input of the loop, as far as a sample's cause may be seen from it.
#[derive(Clone, Copy)]
struct Input {
    seq: u64,
    kind: u16,
    /// When the loop began with it.
    tai_ns: u64,
    bytes: u32,
}

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
struct Outlier {
    span_ns: u64,
    record: StageRecord,
    /// Its input and the one before that.
    input: Option<Input>,
    before: Option<Input>,
    order_of_day: u64,
}

/// What a span is, from the stamps of a sample.
fn span_ns(name: &str, record: &StageRecord) -> Option<u64> {
    let stamp = |stage: Stage| record.stage_ns[stage as usize];
    let (from, to) = match name {
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

impl Outlier {
    /// What most likely took the time, from what the part says and what the loop did meanwhile.
    fn cause(&self, part: Option<&Part>) -> String {
        let Some(part) = part else { return "no part of it is longer than usual".into() };
        let seen_ns = self.record.stage_ns[Stage::FrameSeen as usize];
        let busy = self.before.filter(|before| (self.record.arrival_ns..seen_ns).contains(&before.tai_ns));
        match (part.name, busy) {
            ("wait", Some(before)) => {
                format!("the loop was at {} {} ({} bytes)", kind_name(before.kind), before.seq, before.bytes)
            }
            ("wait", None) if self.record.backlog > 0 => format!("a burst: {} came behind it", self.record.backlog),
            ("wait", None) => "the loop was not running: its core was taken, or it slept".into(),
            ("strategy", _) => "the strategy's own time".into(),
            (_, _) if part.excess() > TAKEN_NS => {
                "the core was taken from the loop (interrupt, host, page fault)".into()
            }
            ("decoded" | "book", _) => match self.input {
                Some(input) => format!("{} bytes of messages on lines that no near cache had", input.bytes),
                None => "lines that no near cache had".into(),
            },
            _ => "lines that no near cache had".into(),
        }
    }

    fn json(&self, span: &str, parts: &[Part], blamed: Option<&Part>) -> Value {
        let stages: Map<String, Value> = (STAGE_NAMES.iter().zip(self.record.stage_ns))
            .filter(|(_, ns)| *ns != 0)
            .map(|(name, ns)| ((*name).to_owned(), json!(ns)))
            .collect();
        let parts: Vec<Value> =
            parts.iter().map(|part| json!({ "part": part.name, "ns": part.ns, "median_ns": part.median_ns })).collect();
        json!({ "span": span, "ns": self.span_ns, "cause_seq": self.record.cause_seq, "order": self.record.order,
            "arrival_ns": self.record.arrival_ns, "backlog": self.record.backlog,
            "payload_bytes": self.input.map(|input| input.bytes), "stage_ns": stages, "parts": parts,
            "blamed": blamed.map(|part| part.name), "likely": self.cause(blamed) })
    }
}

/// Walks the journal once more: the samples of `least_ns` and more, with the inputs that belong to them.
fn find(folder: &Path, span: &str, least_ns: u64) -> Result<Vec<Outlier>, Failure> {
    let mut inputs: VecDeque<Input> = VecDeque::with_capacity(INPUTS_KEPT);
    let mut found = Vec::new();
    records::for_each(folder, 0, |header, body| {
        match Kind::from_u16(header.kind) {
            Some(Kind::Stages) => {
                if let Ok(record) = StageRecord::read_from_bytes(body)
                    && let Some(span_ns) = span_ns(span, &record).filter(|ns| *ns >= least_ns)
                {
                    let at = inputs.binary_search_by_key(&record.cause_seq, |input| input.seq).ok();
                    let before = at.and_then(|at| at.checked_sub(1)).and_then(|at| inputs.get(at)).copied();
                    let input = at.and_then(|at| inputs.get(at)).copied();
                    found.push(Outlier { span_ns, record, input, before, order_of_day: header.seq });
                }
            }
            Some(kind) if (kind as u16) < Kind::Order as u16 => {
                if inputs.len() == INPUTS_KEPT {
                    inputs.pop_front();
                }
                inputs.push_back(input_of(header, body));
            }
            _ => {}
        }
        true
    })?;
    Ok(found)
}

fn input_of(header: &RecordHeader, body: &[u8]) -> Input {
    let head = if header.kind == Kind::Datagram as u16 { size_of::<DatagramHead>() } else { 0 };
    let bytes = (body.len() - head.min(body.len())) as u32;
    Input { seq: header.seq, kind: header.kind, tai_ns: header.tai_ns, bytes }
}

/// The samples of `span` beyond the percentile `beyond`, the longest first.
///
/// # Errors
/// When the journal cannot be opened.
pub(crate) fn outliers(folder: &Path, span: &str, beyond: f64, limit: usize) -> Result<Outcome, Failure> {
    let mut all = Latencies::default();
    let damage = records::for_each(folder, 0, |header, body| {
        if header.kind == Kind::Stages as u16
            && let Ok(record) = StageRecord::read_from_bytes(body)
        {
            all.add(header.tai_ns, &record);
        }
        true
    })?;
    let of_span = all.spans().find(|known| known.name == span);
    let (count, threshold_ns) = of_span.map_or((0, 0), |span| (span.percentiles().n, span.at(beyond / 100.0)));
    // The histogram knows a value to a thousandth: some more are looked at than there are beyond the percentile.
    let mut found = find(folder, span, threshold_ns - threshold_ns / 500)?;
    found.sort_by_key(|outlier| (Reverse(outlier.span_ns), outlier.order_of_day));
    found.truncate(((count as f64 * (100.0 - beyond) / 100.0).ceil() as usize).max(1));
    let mut text = format!(
        "{span}: {} of {} samples beyond p{beyond}, {}\n",
        grouped(found.len() as u64),
        grouped(count),
        duration(threshold_ns)
    );
    let mut list = Vec::with_capacity(found.len().min(limit));
    for outlier in found.iter().take(limit) {
        let parts = parts(span, &outlier.record, &all);
        let blamed = parts.iter().max_by_key(|part| part.excess()).filter(|part| part.excess() > 0);
        text.push_str(&format!(
            "{} {:>10} {:>9}  {}{}\n",
            tai_time(outlier.record.arrival_ns),
            outlier.record.cause_seq,
            duration(outlier.span_ns),
            blamed.map_or_else(String::new, |part| {
                format!("{} {} (median {}): ", part.name, duration(part.ns), duration(part.median_ns))
            }),
            outlier.cause(blamed)
        ));
        list.push(outlier.json(span, &parts, blamed));
    }
    if found.len() > limit {
        text.push_str(&format!("and {} more (--limit)\n", grouped((found.len() - limit) as u64)));
    }
    let code = damage_note(damage.as_ref(), &mut text);
    let json = json!({ "span": span, "beyond_percentile": beyond, "threshold_ns": threshold_ns, "samples": count,
        "found": found.len(), "outliers": list });
    Ok(Outcome { text, json, code })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tern_journal::{Options, Writer};
    use zerocopy::IntoBytes;

    /// A journal of samples.
    pub(crate) struct Bench {
        pub(crate) folder: std::path::PathBuf,
        writer: Writer,
        seq: u64,
    }

    impl Bench {
        pub(crate) fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("tern-outliers-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            let (writer, _) = Writer::open(&folder, Options::new("outliers")).expect("a journal");
            Self { folder, writer, seq: 0 }
        }

        fn give(&mut self, kind: Kind, tai_ns: u64, body: &[u8]) -> u64 {
            self.seq += 1;
            let (kind, body_bytes) = (kind as u16, body.len() as u32);
            let header = RecordHeader { seq: self.seq, tai_ns, kind, flags: 0, body_bytes };
            self.writer.append(&header, body).expect("room");
            self.seq
        }

        /// A datagram that makes an order, with the time that its wait and each stage takes.
        fn order(&mut self, arrival_ns: u64, backlog: u32, took: [u64; 6]) {
            let head = DatagramHead { arrival_ns, ..DatagramHead::default() };
            let body = [head.as_bytes(), &[0; 60]].concat();
            let cause_seq = self.give(Kind::Datagram, arrival_ns + took[0], &body);
            let mut stage_ns = [0; STAGES];
            let mut at = arrival_ns;
            for (stage, took) in stage_ns.iter_mut().zip(took) {
                at += took;
                *stage = at;
            }
            let record = StageRecord { cause_seq, arrival_ns, stage_ns, order: 1, backlog };
            self.give(Kind::Stages, at, record.as_bytes());
        }

        /// Everything is in the files.
        pub(crate) fn flush(&mut self) {
            self.writer.flush().expect("room");
        }

        /// What is said of the longest sample of a span.
        fn longest(&mut self, span: &str) -> Value {
            self.flush();
            let said = outliers(&self.folder, span, 99.0, 5).expect("a journal");
            assert_eq!((said.code, &said.json["found"], &said.json["samples"]), (0, &json!(1), &json!(100)));
            said.json["outliers"][0].clone()
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    const USUAL: [u64; 6] = [500, 100, 200, 50, 40, 10];

    /// Ninety-nine samples as usual, then one that takes as long as said, behind `busy` if there is such an input.
    pub(crate) fn with(name: &str, backlog: u32, took: [u64; 6], busy: bool) -> Bench {
        let mut bench = Bench::new(name);
        for number in 1..100 {
            bench.order(number * 1_000_000, 0, USUAL);
        }
        let arrival_ns = 100_000_000;
        if busy {
            bench.give(Kind::SessionBytes, arrival_ns + 10, &[0; 40]);
        }
        bench.order(arrival_ns, backlog, took);
        bench
    }

    #[test]
    fn the_part_that_took_longer_than_usual_is_blamed() {
        for (name, took, part, words) in [
            ("strategy", [500, 100, 200, 9_000, 40, 10], "strategy", "the strategy's own time"),
            ("book", [500, 100, 9_000, 50, 40, 10], "book", "60 bytes of messages"),
            ("taken", [500, 100, 200, 50, 90_000, 10], "risk", "the core was taken"),
        ] {
            let said = with(name, 0, took, false).longest("tick_to_order");
            assert_eq!((&said["blamed"], &said["cause_seq"]), (&json!(part), &json!(199)), "{said}");
            assert!(said["likely"].as_str().is_some_and(|likely| likely.contains(words)), "{said}");
            assert_eq!(said["ns"], json!(took[1..].iter().sum::<u64>()));
            assert_eq!(said["parts"].as_array().map(Vec::len), Some(5), "{said}");
        }
    }

    #[test]
    fn a_wait_is_laid_to_what_the_loop_did_to_a_burst_or_to_the_host() {
        let slow = [70_000, 100, 200, 50, 40, 10];
        for (name, backlog, busy, words) in [
            ("busy", 3, true, "the loop was at session_bytes 199 (40 bytes)"),
            ("burst", 3, false, "a burst: 3 came behind it"),
            ("host", 0, false, "the loop was not running"),
        ] {
            let said = with(name, backlog, slow, busy).longest("arrival_to_order");
            assert_eq!((&said["blamed"], &said["parts"][0]["median_ns"]), (&json!("wait"), &json!(500)), "{said}");
            assert!(said["likely"].as_str().is_some_and(|likely| likely.contains(words)), "{said}");
        }
    }
}
