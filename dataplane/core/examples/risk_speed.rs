//! What the gate costs: `cargo run --release -p tern-core --features testing --example risk_speed`.

use std::hint::black_box;
use std::time::Instant;
use tern_abi::record::NullRecorder;
use tern_core::input::{ConnEvent, Input};
use tern_core::probe::NoProbe;
use tern_core::session::VenueEventKind;
use tern_core::strategy::Intent;
use tern_core::testing::{Catch, Rig, STREAM, Script, accepted, config, new, payload, print, told};
use tern_core::units::{InstrumentId, LineId, Side, Stamp};

const CHECKS: usize = 2_000_000;
const INSTRUMENTS: u32 = 12_000;

/// Median over rounds of the time a check takes, ns.
fn measure(mut check: impl FnMut(usize)) -> f64 {
    let mut rounds: Vec<f64> = (0..11)
        .map(|_| {
            let start = Instant::now();
            (0..CHECKS).for_each(&mut check);
            start.elapsed().as_nanos() as f64 / CHECKS as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// Instruments in an order that no prefetcher knows.
fn shuffled() -> Vec<u32> {
    let mut state = 1_u64;
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) as u32
    };
    (0..CHECKS).map(|_| next(&mut state) % INSTRUMENTS).collect()
}

fn main() {
    let script = Script::default();
    let lines = script.lines.clone();
    let mut rig = Rig::ready(config(), INSTRUMENTS, (script,));
    let now = rig.now;
    let order = new(7, Side::Buy, 10_0100, 100);
    assert_eq!(rig.pipeline.check_intent(now, 0, 1000, &order), Ok(()));
    let hot = measure(|_| {
        let _ = black_box(rig.pipeline.check_intent(now, 0, 1000, black_box(&order)));
    });
    let order_of = |instrument| match order {
        Intent::New { side, price, quantity, time_in_force, post_only, .. } => Intent::New {
            instrument: InstrumentId(instrument),
            side,
            price,
            quantity,
            min_quantity: 0,
            time_in_force,
            post_only,
        },
        other => other,
    };
    let picks = shuffled();
    let cold = measure(|index| {
        let _ = black_box(rig.pipeline.check_intent(now, 0, 1000, &order_of(picks[index])));
    });
    let mut whole = Vec::new();
    let mut rec = NullRecorder::default();
    for round in 0..20_000_i64 {
        lines.borrow_mut().push_back(new(7, Side::Buy, 10_0000 + round % 50, 1));
        let bytes = payload(None, &[print(7, 10_0000)]);
        rig.now = rig.now.plus(2_000_000);
        let at = Stamp { seen: rig.now, arrival: rig.now, nic: None };
        let input = Input::Datagram { stream: STREAM, line: LineId(0), at, backlog: 0, payload: &bytes };
        let start = Instant::now();
        let taken = rig.pipeline.on_input(rig.now, input, &mut rec, &mut NoProbe, &mut Catch);
        whole.push(start.elapsed().as_nanos() as u64);
        assert_eq!(taken, Ok(()));
        let sent = rig.sent();
        let id = sent[0].id().0;
        rig.venue(accepted(id, 1, 10_0000));
        rig.venue(told(VenueEventKind::Canceled, id, 1));
        rig.conn(ConnEvent::Room(1 << 20));
        rig.rec.records.clear();
    }
    whole.sort_unstable();
    println!("gate, one instrument:            {hot:6.1} ns a check");
    println!("gate, of {INSTRUMENTS} at random:       {cold:6.1} ns a check");
    println!("datagram to bytes, fake protocols: {:4} ns p50, clock included", whole[whole.len() / 2]);
}
