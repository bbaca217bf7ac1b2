//! Repeated executions: a strategy that trades too often, and how it goes on.

use super::{Ask, Two, limit, say, two};
use crate::input::{ConnEvent, DownReason, Input};
use crate::orders::OrderState;
use crate::pipeline::PipelineCounter;
use crate::risk::{LimitId, Reason};
use crate::session::OrderAction;
use crate::strategy::{Intent, TradingState};
use crate::testing::{Lines, Rig, accepted, executed, new};
use crate::units::{OrderId, Side};
use alloc::vec::Vec;
use tern_abi::command::Command;
use tern_abi::segment::ScopeKind;

const WINDOW_NS: u64 = 800_000_000;

const BUY: fn(u32, u32) -> Intent = |instrument, quantity| new(instrument, Side::Buy, 10_0000, quantity);

/// Two strategies that may have three executions in 0.8 s; the first has an order of 100 shares open, the second one of 50.
fn throttled_at_three() -> (Rig<Two>, [Lines; 2]) {
    let (mut rig, lines) = two();
    limit(&mut rig, LimitId::ExecutionsMax, 3);
    limit(&mut rig, LimitId::ExecutionsWindowNs, WINDOW_NS as i64);
    for (order, owner, quantity) in [(1, 0, 100), (2, 1, 50)] {
        assert_eq!(say(&mut rig, &lines[owner], BUY(0, quantity)).len(), 1);
        rig.venue(accepted(order, quantity, 10_0000));
    }
    (rig, lines)
}

fn set(rig: &mut Rig<Two>, state: TradingState) {
    rig.input(Input::Command(&Command::set_state(ScopeKind::Strategy, 1, state, 1000)));
}

#[test]
fn a_strategy_that_trades_too_often_is_stopped_until_an_operator_lets_it() {
    let (mut rig, lines) = throttled_at_three();
    rig.venue(executed(1, 1, 10_0000, 1));
    rig.venue(executed(1, 1, 10_0000, 2));
    assert_eq!(say(&mut rig, &lines[0], BUY(1, 7)).len(), 1, "one below");
    rig.venue(accepted(3, 7, 10_0000));
    // Said again, it is no other execution.
    rig.venue(executed(1, 1, 10_0000, 2));
    assert_eq!(rig.counted(PipelineCounter::StrategiesThrottled), 0);
    lines[0].borrow_mut().push_back(BUY(1, 8));
    rig.input(Input::Timer);
    rig.venue(executed(1, 1, 10_0000, 3));
    assert_eq!(rig.counted(PipelineCounter::StrategiesThrottled), 1);
    assert_eq!(rig.state(4), Some(OrderState::Dropped), "what waited is taken back");
    let sent: Vec<OrderAction> = rig.sent().into_iter().map(|sent| sent.action).collect();
    assert_eq!(sent, [1, 3].map(|order| OrderAction::Cancel { order: OrderId(order) }));
    assert_eq!(say(&mut rig, &lines[0], BUY(1, 9)), []);
    assert_eq!(rig.refused(Reason::RepeatedExecutions), 1);
    assert_eq!(say(&mut rig, &lines[1], BUY(1, 9)).len(), 1, "the other trades on");
    // Neither time nor what the segment echoes lets it go on.
    rig.now = rig.now.plus(10 * WINDOW_NS);
    set(&mut rig, TradingState::CancelOnly);
    assert_eq!(say(&mut rig, &lines[0], BUY(1, 9)), []);
    assert_eq!(rig.refused(Reason::RepeatedExecutions), 2);
    set(&mut rig, TradingState::Running);
    assert_eq!(say(&mut rig, &lines[0], BUY(1, 9)).len(), 1);
}

#[test]
fn let_go_on_it_has_as_many_executions_as_before() {
    let (mut rig, lines) = throttled_at_three();
    (1..=3).for_each(|trade| rig.venue(executed(1, 1, 10_0000, trade)));
    rig.sent();
    assert_eq!(say(&mut rig, &lines[0], BUY(1, 9)), []);
    set(&mut rig, TradingState::Running);
    // The cancel comes too late for two more.
    (4..=5).for_each(|trade| rig.venue(executed(1, 1, 10_0000, trade)));
    assert_eq!(say(&mut rig, &lines[0], BUY(1, 9)).len(), 1);
    rig.venue(executed(1, 1, 10_0000, 6));
    rig.sent();
    assert_eq!(say(&mut rig, &lines[0], BUY(1, 10)), []);
    assert_eq!(rig.counted(PipelineCounter::StrategiesThrottled), 2);
}

#[test]
fn executions_apart_in_time_are_not_repeated() {
    let (mut rig, lines) = throttled_at_three();
    for trade in 1..=20 {
        rig.venue(executed(1, 1, 10_0000, trade));
        rig.now = rig.now.plus(WINDOW_NS / 2 + WINDOW_NS / 8);
    }
    assert_eq!(rig.counted(PipelineCounter::StrategiesThrottled), 0);
    assert_eq!(say(&mut rig, &lines[0], BUY(1, 9)).len(), 1);
    // Without a window nothing is counted.
    limit(&mut rig, LimitId::ExecutionsWindowNs, 0);
    (21..=40).for_each(|trade| rig.venue(executed(1, 1, 10_0000, trade)));
    assert_eq!(say(&mut rig, &lines[0], BUY(1, 10)).len(), 1);
}

#[test]
fn what_the_venues_log_tells_of_the_day_is_not_repeated_execution() {
    let (mut rig, lines) = throttled_at_three();
    rig.conn(ConnEvent::Down(DownReason::Reset));
    rig.conn(ConnEvent::Up);
    rig.conn(ConnEvent::Room(1 << 20));
    (1..=9).for_each(|trade| rig.venue(executed(1, 1, 10_0000, trade)));
    rig.connect();
    rig.sent();
    assert_eq!(rig.counted(PipelineCounter::StrategiesThrottled), 0);
    assert_eq!(say(&mut rig, &lines[0], BUY(1, 9)).len(), 1);
}
