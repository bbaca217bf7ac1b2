//! What the limits of money promise: that no fill brings a sum further than was counted, that closing is free, and that each
//! strategy has limits of its own.

use super::stake::assert_sums;
use super::{Ask, Two, limit, two, two_with};
use crate::input::Input;
use crate::pipeline::{Config, PipelineCounter};
use crate::risk::{LimitId, Reason, StrategyLimits, StrategyStop};
use crate::session::OrderAction;
use crate::strategy::Intent;
use crate::testing::{Rig, Script, accepted, add, config, executed, new, print, scripted};
use crate::units::{OrderId, Side, StrategyId};
use alloc::vec;
use alloc::vec::Vec;
use tern_abi::command::Command;
use tern_abi::segment::{ScopeKind, TradingState};

fn gross<S: crate::strategy::StrategySet>(rig: &Rig<S>) -> i64 {
    rig.pipeline.desk().gate().stake().gross()
}

/// The venue takes an order and fills it whole.
fn fills<S: crate::strategy::StrategySet>(rig: &mut Rig<S>, order: u32, quantity: u32, price: i64) {
    rig.venue(accepted(order, quantity, price));
    rig.venue(executed(order, quantity, price, u64::from(order)));
    assert_sums(rig.pipeline.desk());
}

#[test]
fn closing_at_a_profit_moves_net_no_further_than_was_counted() {
    let (mut rig, lines) = scripted(config(), 3);
    let say = |rig: &mut Rig<(Script,)>, intent| super::say(rig, &lines, intent).len();
    // Short 100 of the first at 10.00, long 200 of the second.
    assert_eq!(say(&mut rig, new(0, Side::Sell, 10_0000, 100)), 1);
    assert_eq!(say(&mut rig, new(1, Side::Buy, 10_0000, 200)), 1);
    (1..=2).for_each(|order| fills(&mut rig, order, 100 * order, 10_0000));
    let net = |rig: &Rig<(Script,)>| rig.pipeline.desk().gate().stake().net(Side::Buy);
    assert_eq!(net(&rig), 2000_0000, "the short may be closed first");
    limit(&mut rig, LimitId::NetMax, 2500_0000);
    limit(&mut rig, LimitId::PriceCollarBps, 10_000);
    // Bought back at 5.00 nothing is added to longs; what is bought beside it fills the limit and no more.
    assert_eq!(say(&mut rig, new(0, Side::Buy, 5_0000, 100)), 1);
    assert_eq!(say(&mut rig, new(2, Side::Buy, 10_0000, 51)), 0);
    assert_eq!(rig.refused(Reason::Net), 1);
    assert_eq!(say(&mut rig, new(2, Side::Buy, 10_0000, 50)), 1);
    fills(&mut rig, 3, 100, 5_0000);
    fills(&mut rig, 4, 50, 10_0000);
    assert_eq!((net(&rig), rig.pipeline.desk().gate().stake().realized()), (2500_0000, 500_0000));
}

#[test]
fn of_two_strategies_that_hold_opposite_positions_each_closes_whatever_gross_is() {
    let (mut rig, lines) = two();
    let say = |rig: &mut Rig<Two>, who: usize, intent| super::say(rig, &lines[who], intent).len();
    assert_eq!(say(&mut rig, 0, new(0, Side::Buy, 10_0000, 100)), 1);
    fills(&mut rig, 1, 100, 10_0000);
    assert_eq!(say(&mut rig, 1, new(0, Side::Sell, 10_0000, 100)), 1);
    fills(&mut rig, 2, 100, 10_0000);
    assert_eq!(gross(&rig), 1000_0000, "the firm is flat, and may be 100 shares from it when one closes");
    limit(&mut rig, LimitId::GrossMax, 0);
    assert_eq!(say(&mut rig, 0, new(0, Side::Sell, 10_0000, 101)), 0, "one more than it holds");
    assert_eq!(rig.refused(Reason::Gross), 1);
    assert_eq!(say(&mut rig, 0, new(0, Side::Sell, 10_0100, 100)), 1);
    fills(&mut rig, 3, 100, 10_0100);
    assert_eq!(gross(&rig), 1000_0000);
    assert_eq!(say(&mut rig, 1, new(0, Side::Buy, 10_0000, 100)), 1);
    fills(&mut rig, 4, 100, 10_0000);
    assert_eq!(gross(&rig), 0);
}

#[test]
fn a_sale_counts_at_what_others_pay_if_that_is_more_than_it_asks() {
    let (mut rig, lines) = scripted(config(), 1);
    assert_eq!(super::say(&mut rig, &lines, new(0, Side::Sell, 9_9000, 100)).len(), 1);
    assert_eq!(gross(&rig), 1000_0000, "they pay 10.00");
    fills(&mut rig, 1, 100, 10_4000);
    assert_eq!(gross(&rig), 1000_0000, "whatever it trades at");
}

#[test]
fn a_strategy_has_limits_of_money_of_its_own() {
    let own = StrategyLimits { gross_max: Some(1000_0000), ..StrategyLimits::new(StrategyId(1)) };
    let (mut rig, lines) = two_with(Config { strategy_limits: vec![own], ..config() });
    let say = |rig: &mut Rig<Two>, who: usize, intent| super::say(rig, &lines[who], intent).len();
    assert_eq!(say(&mut rig, 0, new(0, Side::Buy, 10_0000, 101)), 0);
    assert_eq!(rig.refused(Reason::StrategyGross), 1);
    assert_eq!(say(&mut rig, 0, new(0, Side::Buy, 10_0000, 100)), 1);
    assert_eq!(say(&mut rig, 1, new(0, Side::Buy, 10_0000, 101)), 1, "the other has those of every strategy");
    limit(&mut rig, LimitId::StrategyNetMax, 1500_0000);
    assert_eq!(say(&mut rig, 1, new(1, Side::Buy, 10_0000, 50)), 0);
    assert_eq!(rig.refused(Reason::StrategyNet), 1);
    assert_eq!(say(&mut rig, 1, new(1, Side::Buy, 10_0000, 49)), 1);
    // What is set by command is a ceiling for the one with its own too.
    limit(&mut rig, LimitId::StrategyGrossMax, 900_0000);
    assert_eq!(say(&mut rig, 0, new(1, Side::Buy, 10_0000, 1)), 0);
    assert_eq!(rig.refused(Reason::StrategyGross), 2);
    assert_sums(rig.pipeline.desk());
}

#[test]
fn a_strategy_that_lost_too_much_is_stopped_alone_until_an_operator_lets_it() {
    let own = StrategyLimits { daily_loss_max: Some(50_0000), ..StrategyLimits::new(StrategyId(1)) };
    let (mut rig, lines) = two_with(Config { strategy_limits: vec![own], ..config() });
    let say = |rig: &mut Rig<Two>, who: usize, intent: Intent| super::say(rig, &lines[who], intent).len();
    assert_eq!(say(&mut rig, 0, new(0, Side::Buy, 10_0000, 100)), 1);
    fills(&mut rig, 1, 100, 10_0000);
    assert_eq!(say(&mut rig, 0, new(1, Side::Buy, 10_0000, 10)), 1);
    rig.venue(accepted(2, 10, 10_0000));
    let falls_to = |rig: &mut Rig<Two>, order, price| {
        rig.feed(&[add(0, order, Side::Sell, price, 5), print(0, price)]);
        assert_eq!(rig.pipeline.desk().gate().halt(), None);
    };
    falls_to(&mut rig, 1, 9_5000);
    assert_eq!(rig.counted(PipelineCounter::StrategyLosses), 0, "at the limit");
    falls_to(&mut rig, 2, 9_4900);
    assert_eq!(rig.counted(PipelineCounter::StrategyLosses), 1);
    assert_eq!(rig.pipeline.desk().gate().scopes().stopped_for(StrategyStop::Loss), 1);
    let cancels: Vec<_> = rig.sent().into_iter().map(|sent| sent.action).collect();
    assert_eq!(cancels, [OrderAction::Cancel { order: OrderId(2) }]);
    assert_eq!(say(&mut rig, 0, new(1, Side::Buy, 10_0000, 1)), 0);
    assert_eq!(rig.refused(Reason::StrategyLoss), 1);
    assert_eq!(say(&mut rig, 1, new(1, Side::Buy, 10_0000, 1)), 1, "the other goes on");
    // Let go on with the loss as it is, the next look stops it again.
    rig.input(Input::Command(&Command::set_state(ScopeKind::Strategy, 1, TradingState::Running, 0)));
    assert_eq!(rig.pipeline.desk().gate().scopes().stopped(), 0);
    falls_to(&mut rig, 3, 9_4800);
    assert_eq!(rig.counted(PipelineCounter::StrategyLosses), 2);
}
