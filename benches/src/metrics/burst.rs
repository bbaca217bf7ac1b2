//! `burst`: Tern as shipped under the pace of an opening, with the published peak of 20,490 messages in 10 ms in its
//! middle, in an open loop: datagrams are sent when the venue's stamps say, whether or not anyone keeps up. Then ten
//! idle seconds, and the first order after them.
//!
//! `stress`: the same at twice the pace, so that the peak has 40,980 messages in 10 ms: twice the most that was ever seen, as
//! RTS 6, Article 10 asks.
//!
//! Ages are from the XDP program's stamp of the datagram to the order's bytes, from the stage records in the journal.

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tern_abi::counters::LoopCounter;
use tern_abi::record::{Stage, StageRecord};
use tern_hw::clock::kernel_tai_ns;
use tern_hw::segment::SegmentView;
use tern_sim::generate::{PEAK_NS, Shape};

use super::wire::{Kind as SideKind, Side};
use crate::flow::{self, Flow, OPENING_RATE, Packing, generate};
use crate::harness::{Plan, Row, RowBuilder, percentile};
use crate::journaler::stages_of_orders;
use crate::sandbox::isolated;
use crate::setting::{Scratch, pin_to, two_cores};

/// Frames under way while the books are filled.
const AHEAD: u64 = 2_048;
/// Silence before the last part, and that part's length.
const IDLE: Duration = Duration::from_secs(10);
const AFTER_IDLE_DATAGRAMS: usize = 2_000;
/// Records of the peak may come so much later than its last datagram was sent, ns.
const TAIL_NS: u64 = 20_000_000;

const STRATEGIES: &str = "[[strategy]]\nname = \"maker\"\nid = 1\n[[strategy]]\nname = \"taker\"\nid = 2\n";

/// What one run found.
struct Found {
    drops: f64,
    late_us: f64,
    orders: usize,
    /// p50, p99, p99.9 and the last, ns.
    peak: [f64; 4],
    steady_p50: f64,
    after_idle: f64,
}

/// The busiest stretch of the published peak's length: first and last datagram.
fn peak(flow: &Flow) -> (usize, usize) {
    let mut best = (0, flow.steady_from, flow.steady_from);
    let (mut first, mut messages) = (flow.steady_from, 0);
    for last in flow.steady_from..flow.datagrams.len() {
        messages += flow.messages[last];
        while flow.sent_ns[last] - flow.sent_ns[first] > PEAK_NS {
            messages -= flow.messages[first];
            first += 1;
        }
        if messages > best.0 {
            best = (messages, first, last);
        }
    }
    (best.1, best.2)
}

/// Sends datagrams `faster` times as fast as recorded; TAI ns at which each left, and how late, ns.
fn send_at_pace(
    side: &mut Side,
    flow: &Flow,
    faster: u64,
    Range { start: from, end: to }: Range<usize>,
) -> (Vec<u64>, Vec<u64>) {
    let (mut sent, mut late) = (Vec::with_capacity(to - from), Vec::with_capacity(to - from));
    let mut beat = Instant::now();
    let start = Instant::now();
    for index in from..to {
        let due = start + Duration::from_nanos((flow.sent_ns[index] - flow.sent_ns[from]) / faster);
        while Instant::now() < due {
            side.serve();
            if beat.elapsed() > Duration::from_secs(1) {
                beat = Instant::now();
                side.beat_session();
            }
        }
        sent.push(kernel_tai_ns());
        late.push(due.elapsed().as_nanos() as u64);
        side.send(&flow.datagrams[index]);
    }
    (sent, late)
}

/// Frames that the venue's end of the link did not get across.
fn link_drops() -> u64 {
    let output = Command::new("ip").args(["-s", "-json", "link", "show", "dev", "v1"]).output().expect("ip runs");
    let links: serde_json::Value = serde_json::from_slice(&output.stdout).expect("ip writes JSON");
    links[0]["stats64"]["tx"]["dropped"].as_u64().unwrap_or(0)
}

/// (arrival, age of the order's tick), ns, of every datagram that caused an order.
fn ages(journal: &Path) -> Vec<(u64, u64)> {
    let age = |of: &StageRecord| of.stage_ns[Stage::Encoded as usize].saturating_sub(of.arrival_ns);
    stages_of_orders(journal).iter().map(|stages| (stages.arrival_ns, age(stages))).collect()
}

fn run(flow: &Flow, core: usize, faster: u64) -> Found {
    let scratch = Scratch::disk();
    let mut side = Side::start(SideKind::TernXdp, 1, scratch.path(), Some(STRATEGIES));
    // Not before: what is started inherits the cores of who starts it.
    pin_to(core);
    side.log_in();
    let view = SegmentView::open("h1", None).expect("the data plane runs");
    let segment = view.segment().expect("a segment of this build");
    let received = || segment.counters.get(LoopCounter::Datagrams);
    for (index, datagram) in flow.datagrams[..flow.steady_from].iter().enumerate() {
        side.send(datagram);
        let until = Instant::now() + Duration::from_secs(10);
        while index as u64 + 1 > received() + AHEAD {
            side.serve();
            assert!(Instant::now() < until, "the data plane takes the opening");
        }
    }
    let last_part = flow.datagrams.len() - AFTER_IDLE_DATAGRAMS;
    let (sent, mut late) = send_at_pace(&mut side, flow, faster, flow.steady_from..last_part);
    let steady_end_ns = kernel_tai_ns();
    let idle = Instant::now();
    let mut beat = Instant::now();
    while idle.elapsed() < IDLE {
        side.serve();
        if beat.elapsed() > Duration::from_secs(1) {
            beat = Instant::now();
            side.beat_session();
            side.feed_heartbeat(flow.messages_from(0) - flow.messages_from(last_part) + 1);
        }
    }
    let resumed_ns = kernel_tai_ns();
    send_at_pace(&mut side, flow, faster, last_part..flow.datagrams.len());
    // The sockets' own counters are looked at once a second.
    let until = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < until {
        side.serve();
    }
    let counters = [
        LoopCounter::XskRxDropped,
        LoopCounter::XskRxRingFull,
        LoopCounter::XskRxInvalidDescs,
        LoopCounter::GapMessages,
        LoopCounter::CaptureShed,
    ];
    let drops = counters.iter().map(|counter| segment.counters.get(*counter)).sum::<u64>() + link_drops();
    if drops == 0 {
        let expected = flow.datagrams.len() as u64;
        assert!(received() >= expected, "{} of {expected} datagrams arrived and nobody counted a drop", received());
    }
    let all = ages(&scratch.path().join("h1/journal"));
    let (first, last) = peak(flow);
    let at = |index: usize| sent[index - flow.steady_from];
    let peak_ns = at(first)..at(last) + TAIL_NS;
    let mut in_peak: Vec<u64> = all.iter().filter(|(at, _)| peak_ns.contains(at)).map(|(_, age)| *age).collect();
    assert!(!in_peak.is_empty(), "the peak caused orders");
    let last_age = *in_peak.last().expect("there is one") as f64;
    let mut steady: Vec<u64> = all
        .iter()
        .filter(|(arrival, _)| (at(flow.steady_from)..steady_end_ns).contains(arrival) && !peak_ns.contains(arrival))
        .map(|(_, age)| *age)
        .collect();
    let after_idle = all.iter().find(|(arrival, _)| *arrival >= resumed_ns).map_or(f64::NAN, |(_, age)| *age as f64);
    Found {
        drops: drops as f64,
        late_us: percentile(&mut late, 99.9) / 1_000.0,
        orders: in_peak.len(),
        peak: [
            percentile(&mut in_peak, 50.0),
            percentile(&mut in_peak, 99.0),
            percentile(&mut in_peak, 99.9),
            last_age,
        ],
        steady_p50: percentile(&mut steady, 50.0),
        after_idle,
    }
}

/// Runs of a flow that is sent `faster` times as fast as the recorded opening, and what it was.
fn runs(plan: &Plan, core: usize, faster: u64) -> (Vec<Found>, String) {
    let seconds = if plan.scale == 1 { 3 } else { 15 };
    let flow = generate(flow::Plan {
        shape: Shape::RealDay,
        opening_orders: 200_000 * plan.scale as u32,
        steady: seconds * OPENING_RATE,
        packing: Packing::Recorded,
        burst: true,
    });
    // Ten idle seconds each: fewer runs than of the other metrics.
    let found: Vec<Found> = (0..2 * plan.scale - 1)
        .map(|_| std::thread::scope(|scope| scope.spawn(|| run(&flow, core, faster)).join()))
        .map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        .collect();
    let note = format!(
        "{} messages a second for {} s, the peak in the middle, {} ticks with orders in it; datagrams left at most {:.0} us \
         late (99.9 percent)",
        OPENING_RATE * faster,
        seconds as f64 / faster as f64,
        found[0].orders,
        found.iter().map(|run| run.late_us).fold(0.0, f64::max),
    );
    (found, note)
}

fn of(found: &[Found], figure: fn(&Found) -> f64) -> Vec<f64> {
    found.iter().map(figure).collect()
}

/// See the module.
pub fn burst(plan: Plan) -> Vec<Row> {
    let Some(cores) = two_cores("burst") else { return Vec::new() };
    isolated("burst", plan, |plan| {
        let (found, note) = runs(&plan, cores[0], 1);
        let of = |figure| of(&found, figure);
        vec![
            RowBuilder::new("burst_drops", "datagrams", of(|run| run.drops)).target(0.0).note(note).build(),
            RowBuilder::new("burst_p50", "ns", of(|run| run.peak[0])).note("age of the tick behind an order").build(),
            RowBuilder::new("burst_p99", "ns", of(|run| run.peak[1])).build(),
            RowBuilder::new("burst_p999", "ns", of(|run| run.peak[2])).build(),
            RowBuilder::new("burst_last_order", "ns", of(|run| run.peak[3])).build(),
            RowBuilder::new("burst_after_idle", "ns", of(|run| run.after_idle))
                .peer("p50 of the steady part", of(|run| run.steady_p50))
                .note("the first order after ten idle seconds")
                .build(),
        ]
    })
}

/// See the module.
pub fn stress(plan: Plan) -> Vec<Row> {
    let Some(cores) = two_cores("stress") else { return Vec::new() };
    isolated("stress", plan, |plan| {
        let (found, note) = runs(&plan, cores[0], 2);
        let of = |figure| of(&found, figure);
        vec![
            RowBuilder::new("stress_drops", "datagrams", of(|run| run.drops)).target(0.0).note(note).build(),
            RowBuilder::new("stress_p50", "ns", of(|run| run.peak[0])).note("age of the tick behind an order").build(),
            RowBuilder::new("stress_p99", "ns", of(|run| run.peak[1])).build(),
            RowBuilder::new("stress_last_order", "ns", of(|run| run.peak[3])).build(),
        ]
    })
}
