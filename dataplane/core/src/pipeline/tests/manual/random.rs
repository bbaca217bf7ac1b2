//! Random interleavings of what venue, strategies and time do while a flatten works.

use super::super::{Two, say, two_with};
use super::{FIRM, by_hand, flatten, give, holds, later, outcomes, position, quoted, records};
use crate::input::Input;
use crate::risk::Reason;
use crate::session::{OrderAction, VenueEventKind};
use crate::strategy::TradingState;
use crate::testing::{Rig, accepted, executed, new, told};
use crate::units::Side;
use alloc::vec::Vec;
use proptest::prelude::*;
use tern_abi::command::Command;
use tern_abi::manual::{ManualCommand, ManualOutcome};
use tern_abi::segment::ScopeKind;

/// What the venue, the strategy and time may do while a flatten works.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The strategy wants to sell or buy.
    Say { sell: bool, quantity: u32 },
    /// The venue trades a part of the open order of this number, counted from the oldest.
    Fill { place: usize, quantity: u32 },
    /// The venue is done with it.
    Cancel { place: usize },
    /// Time passes.
    Wait,
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    prop_oneof![
        (any::<bool>(), 1_u32..80).prop_map(|(sell, quantity)| Step::Say { sell, quantity }),
        (0_usize..4, 1_u32..80).prop_map(|(place, quantity)| Step::Fill { place, quantity }),
        (0_usize..4).prop_map(|place| Step::Cancel { place }),
        Just(Step::Wait),
    ]
}

proptest! {
    /// Whatever fills and in whatever order: never through zero, and flat in the end.
    #[test]
    fn no_interleaving_takes_a_flatten_through_zero(
        is_long: bool, held in 1_u32..500, steps in proptest::collection::vec(step(), 0..40)
    ) {
        let (mut rig, lines) = two_with(by_hand());
        let side = if is_long { Side::Buy } else { Side::Sell };
        holds(&mut rig, &lines[0], 0, side, held);
        // Its own orders in either direction are open when it begins, at prices that nobody trades at.
        for (sell, away) in [(false, 9_8000), (true, 10_2000)] {
            // One that could turn it by itself was so before anybody flattened.
            let quantity = if sell == is_long { held.min(30) } else { 30 };
            let side = if sell { Side::Sell } else { Side::Buy };
            for action in say(&mut rig, &lines[0], new(0, side, away, quantity)) {
                let OrderAction::New { order } = action else { continue };
                rig.venue(accepted(order.0, quantity, away));
            }
        }
        quoted(&mut rig, 0);
        rig.input(Input::Command(&Command::set_state(ScopeKind::Strategy, 1, TradingState::ReduceOnly, 5)));
        let wish = ManualCommand { within_ms: 600_000, ..flatten(1, (ScopeKind::Strategy, 1)) };
        give(&mut rig, &wish);
        let mut trades = 1000;
        // What rested when it began and leans the way of the position may still make it larger, and never smaller than none.
        let turned = |rig: &Rig<Two>| if is_long { position(rig, 0) < 0 } else { position(rig, 0) > 0 };
        let closing = side.opposite();
        for step in steps {
            let open: Vec<(u32, u32)> =
                rig.pipeline.desk().orders().open().map(|order| (order.id().0, order.leaves())).collect();
            match step {
                Step::Say { sell, quantity } => {
                    let side = if sell { Side::Sell } else { Side::Buy };
                    say(&mut rig, &lines[0], new(0, side, if sell { 10_2000 } else { 9_8000 }, quantity));
                }
                Step::Fill { place, quantity } => {
                    let Some((id, leaves)) = open.get(place) else { continue };
                    trades += 1;
                    rig.venue(executed(*id, quantity.min(*leaves), 10_0000, trades));
                }
                Step::Cancel { place } => {
                    let Some((id, leaves)) = open.get(place) else { continue };
                    rig.venue(told(VenueEventKind::Canceled, *id, *leaves));
                }
                Step::Wait => { later(&mut rig); }
            }
            rig.sent();
            let working: i64 = rig.pipeline.desk().orders().open()
                .filter(|order| order.side() == closing).map(|order| i64::from(order.exposure())).sum();
            let held = position(&rig, 0).abs();
            prop_assert!(!turned(&rig) && working <= held, "{working} work against {held}");
        }
        // The venue fills what is immediate and cancels what is to go: it ends, and flat.
        for _ in 0..200 {
            if outcomes(&rig, 1).last() == Some(&ManualOutcome::Flat) {
                break;
            }
            let open: Vec<(u32, u32, bool)> = rig.pipeline.desk().orders().open()
                .map(|order| (order.id().0, order.leaves(), order.side() == closing)).collect();
            for (id, leaves, closes) in open {
                trades += 1;
                if closes { rig.venue(executed(id, leaves, 10_0000, trades)); }
                else { rig.venue(told(VenueEventKind::Canceled, id, leaves)); }
            }
            later(&mut rig);
        }
        let end = outcomes(&rig, 1).pop();
        prop_assert_eq!(end, Some(ManualOutcome::Flat));
        prop_assert_eq!(position(&rig, 0), 0);
    }
}

proptest! {
    /// Two strategies, whichever way each leans, and the whole firm flattened: what works never closes more than its owner holds, and in
    /// the end nothing is held but the opposite of one another.
    #[test]
    fn of_two_strategies_neither_is_taken_through_zero_and_the_firm_ends_flat(
        holdings in [(any::<bool>(), 1_u32..400), (any::<bool>(), 1_u32..400)],
        steps in proptest::collection::vec((0_usize..2, step()), 0..40)
    ) {
        let (mut rig, lines) = two_with(by_hand());
        for (owner, (is_long, held)) in holdings.into_iter().enumerate() {
            holds(&mut rig, &lines[owner], 0, if is_long { Side::Buy } else { Side::Sell }, held);
            // The same order again at once would be refused.
            rig.now = rig.now.plus(10_000_000_000);
        }
        quoted(&mut rig, 0);
        rig.input(Input::Command(&Command::set_state(ScopeKind::Firm, 0, TradingState::ReduceOnly, 5)));
        give(&mut rig, &ManualCommand { within_ms: 2_000, ..flatten(1, FIRM) });
        let mut trades = 1000;
        let began = [position(&rig, 0), position(&rig, 1)];
        let look = |rig: &Rig<Two>| -> Result<(), TestCaseError> {
            for (owner, before) in began.into_iter().enumerate() {
                let held = position(rig, owner);
                prop_assert!(held.signum() * before.signum() >= 0 && held.abs() <= before.abs(), "{before} became {held}");
                let open = rig.pipeline.desk().orders().open().filter(|order| usize::from(order.owner) == owner);
                let working: i64 = open.map(|order| i64::from(order.exposure())).sum();
                prop_assert!(working <= held.abs(), "{working} work against {held}");
            }
            Ok(())
        };
        for (owner, step) in steps {
            let open: Vec<(u32, u32)> =
                rig.pipeline.desk().orders().open().map(|order| (order.id().0, order.leaves())).collect();
            match step {
                Step::Say { sell, quantity } => {
                    let side = if sell { Side::Sell } else { Side::Buy };
                    say(&mut rig, &lines[owner], new(0, side, if sell { 10_2000 } else { 9_8000 }, quantity));
                }
                Step::Fill { place, quantity } => {
                    let Some((id, leaves)) = open.get(place) else { continue };
                    trades += 1;
                    rig.venue(executed(*id, quantity.min(*leaves), 10_0000, trades));
                }
                Step::Cancel { place } => {
                    let Some((id, leaves)) = open.get(place) else { continue };
                    rig.venue(told(VenueEventKind::Canceled, *id, *leaves));
                }
                Step::Wait => { later(&mut rig); }
            }
            rig.sent();
            look(&rig)?;
        }
        for _ in 0..4_000 {
            if matches!(outcomes(&rig, 1).last(), Some(ManualOutcome::Flat | ManualOutcome::Left)) {
                break;
            }
            let open: Vec<(u32, u32)> =
                rig.pipeline.desk().orders().open().map(|order| (order.id().0, order.leaves())).collect();
            for (id, leaves) in open {
                trades += 1;
                rig.venue(executed(id, leaves, 10_0000, trades));
            }
            look(&rig)?;
            later(&mut rig);
        }
        let end = records(&rig, 1).pop().expect("it is over");
        let held = [position(&rig, 0), position(&rig, 1)];
        if end.outcome == ManualOutcome::Flat as u32 {
            prop_assert_eq!(held, [0, 0]);
        } else {
            prop_assert_eq!((end.outcome, end.reason), (ManualOutcome::Left as u32, Reason::ReduceOnly as u32 + 1));
            prop_assert!(held[0] == -held[1] && held[0] != 0, "{held:?} are left of {began:?}");
        }
    }
}
