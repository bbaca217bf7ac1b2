//! A strategy whose calls take longer than their budget: what the loop measured comes as a command.

use super::crash::pair;
use super::{Ask, Two, say, two_with};
use crate::input::Input;
use crate::pipeline::{Config, PipelineCounter};
use crate::risk::{Reason, StrategyStop};
use crate::session::OrderAction;
use crate::strategy::TradingState;
use crate::testing::{Catch, Lines, Rig, accepted, config, new, print};
use crate::units::{OrderId, Side};
use alloc::vec::Vec;
use tern_abi::command::Command;
use tern_abi::record::{Kind, StrategyEvent, StrategyRecord};
use tern_abi::segment::ScopeKind;
use zerocopy::FromBytes;

const WINDOW_NS: u64 = 8_000_000_000;

fn overran(rig: &mut Rig<Two>, strategy: u16) {
    rig.input(Input::Command(&Command::strategy_overrun(strategy, 1_500_000)));
}

/// Two strategies that may be slow three times in 8 s, each with an order open.
fn slow_at_three() -> (Rig<Two>, [Lines; 2]) {
    let config = Config { overruns_max: 3, overruns_window_ns: WINDOW_NS, ..config() };
    let (mut rig, lines) = two_with(config);
    for (order, owner, quantity) in [(1, 0, 10), (2, 1, 11)] {
        assert_eq!(say(&mut rig, &lines[owner], new(0, Side::Buy, 10_0000, quantity)).len(), 1);
        rig.venue(accepted(order, quantity, 10_0000));
    }
    (rig, lines)
}

#[test]
fn a_strategy_that_is_too_slow_too_often_is_stopped_alone_as_one_that_panicked() {
    let (mut rig, lines) = slow_at_three();
    (0..2).for_each(|_| overran(&mut rig, 1));
    overran(&mut rig, 2);
    assert_eq!(rig.counted(PipelineCounter::StrategyOverruns), 3);
    assert_eq!(rig.counted(PipelineCounter::StrategiesSlow), 0);
    assert_eq!(say(&mut rig, &lines[0], new(1, Side::Buy, 10_0000, 7)).len(), 1, "one below");
    rig.venue(accepted(3, 7, 10_0000));
    overran(&mut rig, 1);
    let sent: Vec<OrderAction> = rig.sent().into_iter().map(|sent| sent.action).collect();
    assert_eq!(sent, [1, 3].map(|order| OrderAction::Cancel { order: OrderId(order) }), "its orders, and no other's");
    let desk = rig.pipeline.desk();
    assert!(desk.is_disabled(0) && !desk.is_disabled(1));
    assert_eq!(desk.gate().scopes().stopped_for(StrategyStop::Slow), 1);
    let text = "3 calls within 8000 ms took longer than their budget, the last 1500 us";
    assert_eq!(desk.crash(0).expect("taken out").text.as_str(), text);
    let told = rig.rec.records.iter().find(|(_, kind, _)| *kind == Kind::Strategy).expect("a record");
    let (record, said) = StrategyRecord::read_from_prefix(&told.2).expect("the kind's layout");
    assert_eq!((record.strategy, record.event, said), (1, StrategyEvent::TooSlow as u16, text.as_bytes()));
    let now = rig.now;
    let refused = rig.pipeline.check_intent(now, 0, 0, &new(0, Side::Buy, 9_9900, 5));
    assert_eq!(refused, Err(Reason::StrategySlow));
    assert_eq!(say(&mut rig, &lines[1], new(1, Side::Buy, 10_0000, 9)).len(), 1, "the other trades on");
    // What is measured late changes nothing more.
    overran(&mut rig, 1);
    assert_eq!(rig.counted(PipelineCounter::StrategiesSlow), 1);
}

#[test]
fn slow_calls_apart_in_time_stop_nothing_and_without_a_number_none_do() {
    let (mut rig, _) = slow_at_three();
    for _ in 0..20 {
        overran(&mut rig, 1);
        rig.now = rig.now.plus(WINDOW_NS / 2 + WINDOW_NS / 8);
    }
    assert!(!rig.pipeline.desk().is_disabled(0));
    let (mut rig, _) = two_with(Config { overruns_max: 0, ..config() });
    (0..100).for_each(|_| overran(&mut rig, 1));
    assert!(!rig.pipeline.desk().is_disabled(0));
    assert_eq!(rig.counted(PipelineCounter::StrategyOverruns), 100);
}

#[test]
fn a_strategy_that_there_is_not_is_refused_and_a_resume_without_a_way_to_build_anew_says_so() {
    let (mut rig, _) = slow_at_three();
    overran(&mut rig, 77);
    assert_eq!(rig.counted(PipelineCounter::CommandsRefused), 1);
    (0..3).for_each(|_| overran(&mut rig, 1));
    rig.input(Input::Command(&Command::set_state(ScopeKind::Strategy, 1, TradingState::Running, 1000)));
    let crash = rig.pipeline.desk().crash(0).expect("taken out");
    assert_eq!(crash.text.as_str(), "there is nothing to build it from in this run");
}

#[test]
fn let_go_on_it_is_built_anew_with_its_state_and_may_be_slow_as_often_as_before() {
    let mut rig = Rig::ready(Config { overruns_max: 3, overruns_window_ns: WINDOW_NS, ..config() }, 2, pair());
    let mut give = |input: Input<'_>| {
        rig.input_with(input, &mut Catch).expect("recorded");
        rig.now = rig.now.plus(1_000_000);
        let price = rig.sent().first().map(|sent| sent.price.0);
        (price, rig.pipeline.desk().is_disabled(0))
    };
    let slow = Command::strategy_overrun(1, 2_000_000);
    let resume = Command::set_state(ScopeKind::Strategy, 1, TradingState::Running, 1000);
    // The first print was that of the rig.
    assert_eq!(give(Input::Events(&[print(0, 10_0000)])), (Some(9_9800), false));
    for _ in 0..2 {
        (0..2).for_each(|_| assert!(!give(Input::Command(&slow)).1));
        assert!(give(Input::Command(&slow)).1);
        assert_eq!(give(Input::Events(&[print(0, 10_0000)])), (None, true), "it is not called");
        assert!(!give(Input::Command(&resume)).1);
    }
    assert_eq!(give(Input::Events(&[print(0, 10_0000)])), (Some(9_9700), false), "it went on counting");
}
