//! What the gate costs: `cargo run --release -p tern-core --features testing --example risk_speed`.

use std::hint::black_box;
use std::time::Instant;
use tern_core::input::Input;
use tern_core::strategy::Intent;
use tern_core::testing::{Rig, Script, config, new};
use tern_core::units::{InstrumentId, Side};

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
        Intent::New { side, price, quantity, time_in_force, post_only, .. } => {
            Intent::New { instrument: InstrumentId(instrument), side, price, quantity, time_in_force, post_only }
        }
        other => other,
    };
    let picks = shuffled();
    let cold = measure(|index| {
        let _ = black_box(rig.pipeline.check_intent(now, 0, 1000, &order_of(picks[index])));
    });
    let mut whole = Vec::new();
    for round in 0..2000_i64 {
        lines.borrow_mut().push_back(new(7, Side::Buy, 10_0000 + round % 50, 1));
        let start = Instant::now();
        rig.input(Input::Timer);
        whole.push(start.elapsed().as_nanos() as u64);
        let id = rig.sent()[0].id().0;
        rig.venue(tern_core::testing::accepted(id, 1, 10_0000));
        rig.venue(tern_core::testing::told(tern_core::session::VenueEventKind::Canceled, id, 1));
    }
    whole.sort_unstable();
    println!("gate, one instrument:            {hot:6.1} ns a check");
    println!("gate, of {INSTRUMENTS} at random:       {cold:6.1} ns a check");
    println!("timer to bytes, recorded in RAM: {:6} ns p50", whole[whole.len() / 2]);
}
