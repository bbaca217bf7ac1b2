//! Slow samples planted in a journal, and what is said of them.

use super::*;
use tern_abi::counters::LoopCounter;
use tern_abi::record::{DatagramHead, RecordHeader};
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

    /// A datagram that makes an order, with the time that its wait and each stage takes; its stamps.
    fn order(&mut self, arrival_ns: u64, backlog: u32, took: [u64; 6]) -> StageRecord {
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
        record
    }

    /// The loop kept one apart, and tells of it a while later.
    fn keep(&mut self, record: OutlierRecord) {
        self.give(Kind::Outlier, record.stages.arrival_ns + 200_000_000, record.as_bytes());
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

/// A slow sample of each cause: what the loop kept beside its stamps, and what has to be said.
struct Planted {
    cause: Cause,
    took: [u64; 6],
    /// Inputs that the loop was at while it waited, and for how long each.
    before: (usize, u64),
    kept: OutlierRecord,
    words: &'static str,
}

/// Three times as long as any of the usual ones, in the part with this index.
fn slow(part: usize, ns: u64) -> [u64; 6] {
    let mut took = USUAL;
    took[part] = ns;
    took
}

fn planted() -> Vec<Planted> {
    const WINDOW_NS: u64 = 200_000_000;
    let kept = OutlierRecord { window_ns: WINDOW_NS, order_slots: 1024, ..OutlierRecord::default() };
    let wait = slow(0, 900_000);
    let one = |cause, took, before, kept, words| Planted { cause, took, before, kept, words };
    let none = (0, 0);
    vec![
        one(Cause::Burst, wait, (9, 100_000), kept, "behind a burst: 9 inputs"),
        one(Cause::Burst, wait, none, OutlierRecord { place: 7, batch: 8, ..kept }, "7 frames of its batch of 8"),
        one(Cause::Burst, wait, none, OutlierRecord { waiting: 70, ..kept }, "a burst: 70 came behind it"),
        one(Cause::Busy, wait, (1, 800_000), kept, "the loop was at session_bytes"),
        one(
            Cause::CoreTaken,
            wait,
            (1, 0),
            OutlierRecord { switches: 1, stood_ns: 890_000, turn_ns: 880_000, ..kept },
            "1 involuntary switches",
        ),
        one(
            Cause::CoreTaken,
            wait,
            none,
            OutlierRecord { switches: 3, stood_ns: 850_000, turn_ns: 880_000, ..kept },
            "3 involuntary switches within 200.00 ms, 850.00 us without a core",
        ),
        one(
            Cause::CoreTaken,
            slow(3, 900_000),
            none,
            OutlierRecord { switches: 1, stood_ns: 890_000, ..kept },
            "1 involuntary switches",
        ),
        one(Cause::ClockStep, wait, none, OutlierRecord { stepped_ns: 1_000_000, ..kept }, "clock was set by 1.00 ms"),
        one(Cause::Host, wait, none, OutlierRecord { stepped_ns: 5_000_000, turn_ns: 880_000, ..kept }, "not running"),
        one(Cause::PageFault, slow(2, 900_000), none, OutlierRecord { faults: 2, ..kept }, "2 page faults"),
        one(Cause::RingFull, slow(1, 900_000), none, OutlierRecord { order_used: 800, ..kept }, "800 of 1_024 slots"),
        one(Cause::Delivery, wait, none, OutlierRecord { turn_ns: 300, ..kept }, "brought the frame late"),
        one(Cause::Host, wait, none, OutlierRecord { turn_ns: 880_000, ..kept }, "the loop was not running"),
        one(Cause::Host, slow(4, 900_000), none, kept, "by no thread of this kernel"),
        one(Cause::Strategy, slow(3, 900_000), none, OutlierRecord { switches: 9, ..kept }, "the strategy's own time"),
        one(Cause::Memory, slow(2, 19_000), none, kept, "lines that no near cache had"),
    ]
}

#[test]
fn each_cause_that_is_planted_is_found_first_in_the_list() {
    let mut seen = vec![Cause::None, Cause::Transmission];
    for (number, planted) in planted().into_iter().enumerate() {
        let mut bench = Bench::new(&format!("planted-{number}"));
        for number in 1..100 {
            bench.order(number * 1_000_000, 0, USUAL);
        }
        let arrival_ns = 100_000_000;
        for input in 0..planted.before.0 as u64 {
            bench.give(Kind::SessionBytes, arrival_ns + 5 + input * planted.before.1, &[0; 40]);
        }
        let stages = bench.order(arrival_ns, 0, planted.took);
        for number in 1..10 {
            bench.order(arrival_ns + number * 1_000_000, 0, slow(1, 700));
        }
        bench.keep(OutlierRecord { stages, ..planted.kept });
        bench.flush();
        let said = outliers(&bench.folder, WHOLE, 99.9, 3).expect("a journal");
        let first = &said.json["outliers"][0];
        assert_eq!((&said.json["kept"], &first["cause_seq"]), (&json!(1), &json!(stages.cause_seq)), "{first}");
        assert_eq!(first["cause"], planted.cause.name(), "{first}");
        assert!(first["likely"].as_str().is_some_and(|likely| likely.contains(planted.words)), "{first}");
        assert_eq!(first["kept"]["switches"], planted.kept.switches);
        assert!(said.text.contains(planted.words) && said.text.contains("1 kept apart"), "{}", said.text);
        seen.push(planted.cause);
    }
    assert!(Cause::ALL.iter().all(|cause| seen.contains(cause)), "{seen:?}");
}

/// A datagram that made no order and was not sampled has no stage record: only the loop's own one.
#[test]
fn one_that_only_the_loop_kept_is_listed_and_a_slow_transmission_is_one() {
    let mut bench = Bench::new("kept-alone");
    for number in 1..100 {
        bench.order(number * 1_000_000, 0, USUAL);
    }
    let arrival_ns = 100_000_000;
    let cause_seq = bench.give(Kind::Datagram, arrival_ns + 9_000_000, &[0; 84]);
    let seen = arrival_ns + 9_000_000;
    let stage_ns = [seen, seen + 100, seen + 300, 0, 0, 0, 0];
    bench.keep(OutlierRecord {
        stages: StageRecord { cause_seq, arrival_ns, stage_ns, ..StageRecord::default() },
        beyond: 1,
        ..OutlierRecord::default()
    });
    let mut sent = bench.order(arrival_ns + 20_000_000, 0, USUAL);
    sent.stage_ns[Stage::Submitted as usize] = sent.stage_ns[Stage::Encoded as usize] + 2_000_000;
    bench.keep(OutlierRecord { stages: sent, beyond: 8, ..OutlierRecord::default() });
    bench.flush();
    let said = outliers(&bench.folder, WHOLE, 99.9, 3).expect("a journal").json;
    let [first, second] = [0, 1].map(|index| &said["outliers"][index]);
    assert_eq!((&first["cause_seq"], &first["ns"]), (&json!(cause_seq), &json!(9_000_300)), "{said}");
    assert_eq!(first["kept"]["beyond"], json!(["wait"]));
    assert_eq!((&second["blamed"], &second["cause"]), (&json!("submitted"), &json!("transmission")), "{said}");
    let to_order = outliers(&bench.folder, "tick_to_order", 99.9, 3).expect("a journal").json;
    assert!(!to_order["outliers"].to_string().contains("9000300"), "it made no order: {to_order}");
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

/// Neither the loop's own records nor their order in time name a step that came a second ago: the counters do.
#[test]
fn samples_that_the_loop_did_not_keep_are_laid_to_a_clock_that_was_set_about_then() {
    const SECOND_NS: u64 = 1_000_000_000;
    let step_ns = 80_000_000;
    let mut bench = Bench::new("clock");
    let counters = |stepped_ns, ahead_ns| {
        let counters = tern_abi::counters::Counters::new();
        counters.set(LoopCounter::ClockSteppedNs, stepped_ns);
        counters.set(LoopCounter::ClockAheadNs, ahead_ns);
        counters.snapshot()
    };
    let took = |wait_ns| [wait_ns, 100, 200, 50, 40, 10];
    for second in 1..20 {
        let stepped_ns = if second > 9 { step_ns } else { 0 };
        // Set at 9.1 s; back, and caught up with until 13.
        let ahead_ns = if matches!(second, 11..13) { 60_000_000 } else { 0 };
        bench.give(Kind::Counters, second * SECOND_NS, counters(stepped_ns, ahead_ns).as_bytes());
        bench.order(second * SECOND_NS + 500_000, 0, USUAL);
        match second {
            9 => bench.order(9 * SECOND_NS + 700_000_000, 0, took(99_000_000)),
            12 => bench.order(12 * SECOND_NS + 200_000_000, 0, took(60_500_000)),
            // As long, and long after; and far longer or shorter than the step.
            17 => bench.order(17 * SECOND_NS + 100_000_000, 0, took(81_000_000)),
            10 => bench.order(10 * SECOND_NS + 200_000_000, 0, took(300_000_000)),
            8 => bench.order(8 * SECOND_NS + 900_000_000, 0, took(20_000_000)),
            _ => continue,
        };
    }
    bench.flush();
    let said = outliers(&bench.folder, WHOLE, 75.0, 5).expect("a journal").json;
    let causes: Vec<(u64, &str)> = said["outliers"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| Some((one["parts"][0]["ns"].as_u64()? / 1_000_000, one["cause"].as_str()?)))
        .collect();
    let expected = [(300, "host"), (99, "clock_step"), (81, "host"), (60, "clock_step"), (20, "host")];
    assert_eq!(causes, expected, "{said}");
}
