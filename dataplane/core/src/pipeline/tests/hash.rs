//! Two states that lead to different answers have different hashes.

use super::{limit, say};
use crate::input::Input;
use crate::risk::LimitId;
use crate::session::VenueEventKind;
use crate::testing::{Lines, Rig, Script, accepted, config, executed, new, scripted, told};
use crate::units::Side;
use tern_abi::command::Command;
use tern_abi::segment::{ScopeKind, TradingState};

/// An order that is over again: nothing is open, nothing held.
fn over() -> (Rig<(Script,)>, Lines) {
    let (mut rig, lines) = scripted(config(), 1);
    say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 100));
    rig.venue(accepted(1, 100, 10_0000));
    rig.venue(told(VenueEventKind::Canceled, 1, 100));
    (rig, lines)
}

fn hash(with: impl FnOnce(&mut Rig<(Script,)>, &Lines)) -> u64 {
    let (mut rig, lines) = over();
    with(&mut rig, &lines);
    rig.pipeline.state_hash()
}

#[test]
fn the_same_inputs_have_the_same_hash() {
    assert_eq!(hash(|_, _| ()), hash(|_, _| ()));
}

#[test]
fn the_last_order_and_the_rate_are_in_it() {
    let enter = |price, shares| {
        move |rig: &mut Rig<(Script,)>, lines: &Lines| {
            say(rig, lines, new(0, Side::Buy, price, shares));
            rig.venue(told(VenueEventKind::Rejected, 2, 0));
        }
    };
    // Both are over; what would be a duplicate of them differs.
    assert_ne!(hash(enter(10_0000, 7)), hash(enter(10_0000, 8)));
    // The same messages, at other times.
    let later = |rig: &mut Rig<(Script,)>, lines: &Lines| {
        rig.now = rig.now.plus(500_000);
        enter(10_0000, 7)(rig, lines);
    };
    assert_ne!(hash(enter(10_0000, 7)), hash(later));
}

#[test]
fn ceilings_are_in_it() {
    // The same limits in force under the same epoch: one of them was set in between, and is a ceiling for every symbol.
    let set = |rig: &mut Rig<(Script,)>, values: [i64; 2]| {
        values.iter().for_each(|value| limit(rig, LimitId::PositionMax, *value));
    };
    let max = crate::testing::config().limits.position_max;
    assert_ne!(hash(|rig, _| set(rig, [max, max])), hash(|rig, _| set(rig, [max - 1, max])));
}

#[test]
fn counted_executions_are_in_it() {
    // An operator who lets a strategy go on that is not stopped changes nothing but that count.
    let traded = |rig: &mut Rig<(Script,)>, lines: &Lines| {
        limit(rig, LimitId::ExecutionsWindowNs, 1_000_000_000);
        say(rig, lines, new(0, Side::Buy, 10_0000, 1));
        rig.venue(accepted(2, 1, 10_0000));
        rig.venue(executed(2, 1, 10_0000, 1));
    };
    let let_go_on = Command::set_state(ScopeKind::Strategy, 1, TradingState::Running, 1000);
    let after = hash(|rig, lines| {
        traded(rig, lines);
        rig.input(Input::Command(&let_go_on));
    });
    assert_ne!(hash(traded), after);
    // Where nothing traded it changes nothing at all.
    assert_eq!(hash(|_, _| ()), hash(|rig, _| rig.input(Input::Command(&let_go_on))));
}
