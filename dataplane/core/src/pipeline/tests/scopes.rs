//! Parts of the firm's orders that are restricted: what still leaves, what is taken back, what is cancelled.

use super::{Ask, Two, say, two};
use crate::input::{ConnEvent, Input};
use crate::orders::OrderState;
use crate::pipeline::PipelineCounter;
use crate::probe::NotIsolated;
use crate::risk::Reason;
use crate::session::OrderAction;
use crate::strategy::{Intent, TradingState};
use crate::testing::{Rig, accepted, executed, new, print, told, trading};
use crate::units::{OrderId, Price, Side, Symbol};
use alloc::vec::Vec;
use proptest::prelude::*;
use tern_abi::command::Command;
use tern_abi::segment::ScopeKind;

fn set(rig: &mut Rig<Two>, kind: ScopeKind, key: u64, state: TradingState) {
    rig.input(Input::Command(&Command::set_state(kind, key, state, 1000)));
}

fn symbol(name: &str) -> u64 {
    u64::from_le_bytes(Symbol::new(name).expect("a symbol").0)
}

const BUY: fn(u32, u32) -> Intent = |instrument, quantity| new(instrument, Side::Buy, 10_0000, quantity);

#[test]
fn each_scope_stops_its_own_orders_and_no_others() {
    let cases = [
        (ScopeKind::Firm, 0, [false, false, false, false]),
        (ScopeKind::Venue, 1, [false, false, false, false]),
        (ScopeKind::Strategy, 1, [false, false, true, true]),
        (ScopeKind::Strategy, 2, [true, true, false, false]),
        (ScopeKind::Symbol, symbol("S0"), [false, true, false, true]),
        (ScopeKind::Symbol, symbol("NEVER"), [true; 4]),
    ];
    for (kind, key, passes) in cases {
        for (state, reason) in
            [(TradingState::CancelOnly, Reason::CancelOnly), (TradingState::Halted, Reason::ScopeHalted)]
        {
            let (mut rig, lines) = two();
            set(&mut rig, kind, key, state);
            let mut passed = Vec::new();
            for (owner, lines) in lines.iter().enumerate() {
                for instrument in 0..2 {
                    // Sizes differ, so that none is a duplicate.
                    passed.push(say(&mut rig, lines, BUY(instrument, 1 + owner as u32)).len() == 1);
                }
            }
            assert_eq!(passed, passes, "{kind:?} {state:?}");
            assert_eq!(rig.refused(reason), passes.iter().filter(|passes| !**passes).count() as u64);
            // And back: only what was restricted was.
            set(&mut rig, kind, key, TradingState::Running);
            assert_eq!(say(&mut rig, &lines[0], BUY(0, 9)).len(), 1);
        }
    }
}

#[test]
fn a_scope_that_is_not_there_is_refused_and_counted() {
    let (mut rig, lines) = two();
    set(&mut rig, ScopeKind::Strategy, 3, TradingState::Halted);
    set(&mut rig, ScopeKind::Venue, 9, TradingState::Halted);
    rig.input(Input::Command(&Command {
        id: 0x0909,
        ..Command::set_state(ScopeKind::Firm, 0, TradingState::Halted, 0)
    }));
    assert_eq!(rig.counted(PipelineCounter::CommandsRefused), 3);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 1)).len(), 1);
}

#[test]
fn halting_cancels_what_is_open_in_the_scope_and_takes_back_what_waits() {
    let (mut rig, lines) = two();
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 100)).len(), 1);
    assert_eq!(say(&mut rig, &lines[1], BUY(0, 101)).len(), 1);
    rig.venue(accepted(1, 100, 10_0000));
    rig.venue(accepted(2, 101, 10_0000));
    // Waiting for TCP: one of each strategy, and a cancel.
    lines[0].borrow_mut().push_back(BUY(1, 7));
    lines[1].borrow_mut().extend([BUY(1, 8), Intent::Cancel { order: OrderId(2) }]);
    rig.input(Input::Timer);
    set(&mut rig, ScopeKind::Strategy, 1, TradingState::Halted);
    assert_eq!(rig.counted(PipelineCounter::Recalled), 3);
    assert_eq!((rig.state(3), rig.state(4)), (Some(OrderState::Dropped), Some(OrderState::Dropped)));
    let sent: Vec<OrderAction> = rig.sent().into_iter().map(|sent| sent.action).collect();
    assert_eq!(sent, [1, 2].map(|order| OrderAction::Cancel { order: OrderId(order) }), "the cancel is sent again");
    // The other strategy goes on.
    assert_eq!(say(&mut rig, &lines[1], BUY(1, 9)).len(), 1);
    assert_eq!(say(&mut rig, &lines[0], BUY(1, 9)), []);
}

#[test]
fn cancel_only_leaves_what_is_open_and_lets_it_be_cancelled() {
    let (mut rig, lines) = two();
    say(&mut rig, &lines[0], BUY(0, 100));
    rig.venue(accepted(1, 100, 10_0000));
    set(&mut rig, ScopeKind::Symbol, symbol("S0"), TradingState::CancelOnly);
    assert!(rig.sent().is_empty());
    let replace = Intent::Replace { order: OrderId(1), price: Price(9_9900), quantity: 50 };
    assert_eq!(say(&mut rig, &lines[0], replace), []);
    assert_eq!(rig.refused(Reason::CancelOnly), 1);
    assert_eq!(say(&mut rig, &lines[0], Intent::Cancel { order: OrderId(1) }).len(), 1);
}

#[test]
fn reduce_only_lets_positions_be_closed_and_not_turned() {
    let (mut rig, lines) = two();
    // The first strategy is long 100, the second short 60: the firm is long 40.
    say(&mut rig, &lines[0], BUY(0, 100));
    rig.venue(accepted(1, 100, 10_0000));
    rig.venue(executed(1, 100, 10_0000, 1));
    say(&mut rig, &lines[1], new(0, Side::Sell, 10_0000, 60));
    rig.venue(accepted(2, 60, 10_0000));
    rig.venue(executed(2, 60, 10_0000, 2));
    set(&mut rig, ScopeKind::Firm, 0, TradingState::ReduceOnly);
    let sell = |quantity| new(0, Side::Sell, 10_0000, quantity);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 1)), []);
    assert_eq!(say(&mut rig, &lines[0], sell(41)), [], "the firm would be short");
    assert_eq!(say(&mut rig, &lines[1], sell(1)), [], "the strategy would be shorter");
    assert_eq!(say(&mut rig, &lines[1], BUY(0, 60)), [], "the firm would be longer");
    assert_eq!(say(&mut rig, &lines[0], sell(30)).len(), 1);
    assert_eq!(say(&mut rig, &lines[0], sell(11)), [], "what is open counts");
    assert_eq!(say(&mut rig, &lines[0], sell(10)).len(), 1);
    assert_eq!(rig.refused(Reason::ReduceOnly), 5);
    // A replace that asks for more could turn it; one that asks for less could not.
    rig.venue(accepted(3, 30, 10_0000));
    let replace = |quantity| Intent::Replace { order: OrderId(3), price: Price(10_0100), quantity };
    assert_eq!(say(&mut rig, &lines[0], replace(31)), []);
    assert_eq!(say(&mut rig, &lines[0], replace(20)).len(), 1);
    assert_eq!(rig.refused(Reason::ReduceOnly), 6);
}

#[test]
fn the_strictest_counts_and_lifting_one_does_not_lift_another() {
    let (mut rig, lines) = two();
    set(&mut rig, ScopeKind::Strategy, 1, TradingState::CancelOnly);
    set(&mut rig, ScopeKind::Symbol, symbol("S0"), TradingState::Halted);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 1)), []);
    assert_eq!(rig.refused(Reason::ScopeHalted), 1);
    set(&mut rig, ScopeKind::Symbol, symbol("S0"), TradingState::Running);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 1)), []);
    assert_eq!(rig.refused(Reason::CancelOnly), 1);
    set(&mut rig, ScopeKind::Firm, 0, TradingState::Running);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 1)), [], "the firm was never restricted");
    set(&mut rig, ScopeKind::Strategy, 1, TradingState::Running);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 1)).len(), 1);
}

#[test]
fn a_restriction_that_cannot_be_recorded_restricts_all_the_same_and_a_lifting_does_not() {
    let (mut rig, lines) = two();
    rig.rec.full = true;
    let halt = Command::set_state(ScopeKind::Strategy, 1, TradingState::Halted, 1000);
    assert!(rig.input_with(Input::Command(&halt), &mut NotIsolated).is_err());
    rig.rec.full = false;
    rig.command(tern_abi::command::CommandKind::Resume);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 1)), []);
    assert_eq!(rig.refused(Reason::ScopeHalted), 1);
    rig.rec.full = true;
    let run = Command::set_state(ScopeKind::Strategy, 1, TradingState::Running, 1000);
    assert!(rig.input_with(Input::Command(&run), &mut NotIsolated).is_err());
    rig.rec.full = false;
    rig.command(tern_abi::command::CommandKind::Resume);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 1)), []);
    assert_eq!(rig.refused(Reason::ScopeHalted), 2);
}

#[test]
fn orders_of_a_halted_symbol_that_come_back_with_the_venues_log_are_cancelled_too() {
    let (mut rig, lines) = two();
    say(&mut rig, &lines[0], BUY(0, 100));
    rig.venue(accepted(1, 100, 10_0000));
    rig.conn(ConnEvent::Room(0));
    set(&mut rig, ScopeKind::Symbol, symbol("S0"), TradingState::Halted);
    assert!(rig.sent().is_empty(), "the window is closed");
    rig.conn(ConnEvent::Room(1 << 20));
    rig.input(Input::Timer);
    let sent: Vec<OrderAction> = rig.sent().into_iter().map(|sent| sent.action).collect();
    assert_eq!(sent, [OrderAction::Cancel { order: OrderId(1) }]);
    rig.venue(told(crate::session::VenueEventKind::Canceled, 1, 100));
    rig.feed(&[trading(0), print(0, 10_0000)]);
    assert_eq!(rig.pipeline.desk().orders().open_count(), 0);
}

/// Restrictions and intents in any order.
#[derive(Clone, Copy, Debug)]
enum Step {
    Set { kind: usize, key: u64, state: usize },
    Say { owner: usize, instrument: u32, sell: bool },
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    prop_oneof![
        (0_usize..4, 0_u64..3, 0_usize..4).prop_map(|(kind, key, state)| Step::Set { kind, key, state }),
        (0_usize..2, 0_u32..2, any::<bool>()).prop_map(|(owner, instrument, sell)| Step::Say {
            owner,
            instrument,
            sell
        }),
    ]
}

proptest! {
    /// Against a list of what was last said of each scope.
    #[test]
    fn nothing_of_a_stopped_scope_leaves(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut rig, lines) = two();
        let mut said: Vec<(ScopeKind, u64, TradingState)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Set { kind, key, state } => {
                    let kind = ScopeKind::ALL[kind];
                    let key = match kind {
                        ScopeKind::Firm => 0,
                        ScopeKind::Venue => 1,
                        ScopeKind::Strategy => 1 + key % 2,
                        ScopeKind::Symbol => symbol(["S0", "S1", "S2"][key as usize]),
                    };
                    let state = TradingState::ALL[state];
                    set(&mut rig, kind, key, state);
                    rig.sent();
                    said.retain(|(old, of, _)| (*old, *of) != (kind, key));
                    said.push((kind, key, state));
                }
                Step::Say { owner, instrument, sell } => {
                    let side = if sell { Side::Sell } else { Side::Buy };
                    // Beside one another, so that none would trade with an own one.
                    let price = if sell { 10_0100 } else { 10_0000 };
                    let mut sent = say(&mut rig, &lines[owner], new(instrument, side, price, 1 + number as u32));
                    // Of many orders the last cancels leave with the next input.
                    sent.retain(|action| !matches!(action, OrderAction::Cancel { .. }));
                    let name = symbol(["S0", "S1"][instrument as usize]);
                    let strictest = said.iter().filter(|(kind, key, _)| match kind {
                        ScopeKind::Firm | ScopeKind::Venue => true,
                        ScopeKind::Strategy => *key == owner as u64 + 1,
                        ScopeKind::Symbol => *key == name,
                    }).map(|(.., state)| *state as u8).max().unwrap_or(0);
                    // Nothing is held, so nothing can be reduced.
                    prop_assert_eq!(sent.len(), usize::from(strictest == 0), "{:?}", said);
                }
            }
        }
    }
}
