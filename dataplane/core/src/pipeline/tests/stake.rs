//! What the firm has at stake: limits of money over all instruments, and losses that stop trading.

use super::{Ask, limit};
use crate::pipeline::Desk;
use crate::risk::{HaltReason, LimitId, Reason};
use crate::session::{OrderAction, VenueEventKind};
use crate::strategy::Intent;
use crate::testing::{Lines, Rig, Script, accepted, add, config, executed, new, print, scripted, told};
use crate::units::{Cash, InstrumentId, OrderId, Price, Side};
use tern_abi::command::CommandKind;

/// The sums that the gate keeps are those of the tables, taken anew.
pub(super) fn assert_sums(desk: &Desk) {
    let (gate, owners) = (desk.gate(), desk.owners().len());
    let lean = |owner: usize, instrument: InstrumentId, side: Side| {
        let held = desk.portfolio().position(owner, instrument).shares * side.sign();
        let own = desk.orders().own(owner, instrument).filter(|order| order.side() == side);
        held + own.map(|order| i64::from(order.exposure())).sum::<i64>()
    };
    let all = || (0_u32..).map(InstrumentId).zip(gate.exposures());
    let sum_of = |shares: &dyn Fn(InstrumentId) -> i64| -> Cash {
        all().map(|(instrument, exposure)| shares(instrument) * exposure.valued_at()).sum()
    };
    for side in [Side::Buy, Side::Sell] {
        let net = sum_of(&|instrument| (0..owners).map(|owner| lean(owner, instrument, side)).sum::<i64>().max(0));
        assert_eq!(gate.stake().net(side), net, "{side:?}");
    }
    let sides = |instrument, side| (0..owners).map(|owner| lean(owner, instrument, side).max(0)).sum::<i64>();
    let gross = sum_of(&|instrument| sides(instrument, Side::Buy).max(sides(instrument, Side::Sell)));
    assert_eq!(gate.stake().gross(), gross);
    for owner in 0..owners {
        let stake = gate.owner_stake(owner).expect("every owner has one");
        let own = |instrument| lean(owner, instrument, Side::Buy).max(lean(owner, instrument, Side::Sell)).max(0);
        assert_eq!(stake.gross(), sum_of(&own));
        let realized = desk.portfolio().of(owner).map(|(_, position)| position.realized()).sum::<Cash>();
        assert_eq!(stake.realized(), realized);
    }
    let held = || (0..owners).flat_map(|owner| desk.portfolio().of(owner)).map(|(_, position)| *position);
    assert_eq!(gate.stake().realized(), held().map(|position| position.realized()).sum::<Cash>());
    assert!(gate.stake().drawdown() >= 0);
}

fn say(rig: &mut Rig<(Script,)>, lines: &Lines, intent: Intent) -> usize {
    let sent = super::say(rig, lines, intent).len();
    assert_sums(rig.pipeline.desk());
    sent
}

/// Three instruments, and 100 shares of the first bought at 10.
fn holding() -> (Rig<(Script,)>, Lines) {
    let (mut rig, lines) = scripted(config(), 3);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 100)), 1);
    rig.venue(accepted(1, 100, 10_0000));
    rig.venue(executed(1, 100, 10_0000, 1));
    assert_sums(rig.pipeline.desk());
    assert_eq!(rig.pipeline.desk().gate().stake().gross(), 1000_0000);
    (rig, lines)
}

#[test]
fn gross_counts_what_is_held_and_both_sides_of_what_is_open() {
    let (mut rig, lines) = holding();
    limit(&mut rig, LimitId::GrossMax, 3000_0000);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 100)), 1);
    assert_eq!(say(&mut rig, &lines, new(2, Side::Sell, 10_0000, 101)), 0, "sells do not net");
    assert_eq!(say(&mut rig, &lines, new(2, Side::Sell, 10_0000, 100)), 1);
    assert_eq!(rig.refused(Reason::Gross), 1);
    // Closing is a way out, whatever the limit; more than that is not.
    limit(&mut rig, LimitId::GrossMax, 0);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Sell, 10_0000, 60)), 1);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Sell, 10_0000, 41)), 0);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Sell, 10_0000, 40)), 1);
    assert_eq!(rig.refused(Reason::Gross), 2);
}

#[test]
fn leverage_is_on_what_the_account_is_worth_with_the_days_profit() {
    let (mut rig, lines) = holding();
    limit(&mut rig, LimitId::LeveragePercentMax, 150);
    limit(&mut rig, LimitId::Equity, 2000_0000);
    // 3,000 may be held, 1,000 is.
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 201)), 0);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 200)), 1);
    rig.venue(accepted(2, 200, 10_0000));
    rig.venue(told(VenueEventKind::Canceled, 2, 200));
    // A dollar lost on each of 100 shares: 2,850 may be held.
    market(&mut rig, 1, 9_0000);
    assert_eq!(rig.pipeline.desk().gate().stake().profit(), -100_0000);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 186)), 0);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 185)), 1);
    assert_eq!(rig.refused(Reason::Leverage), 2);
    // Worth nothing, it can close.
    limit(&mut rig, LimitId::Equity, 1);
    assert_eq!(say(&mut rig, &lines, new(2, Side::Buy, 10_0000, 1)), 0);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Sell, 10_0000, 100)), 1);
}

#[test]
fn net_is_a_limit_to_either_side() {
    let (mut rig, lines) = holding();
    limit(&mut rig, LimitId::NetMax, 1500_0000);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 51)), 0);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 50)), 1);
    // What is held to one side makes no room to the other: it may be closed first.
    assert_eq!(say(&mut rig, &lines, new(2, Side::Sell, 10_0000, 151)), 0);
    assert_eq!(say(&mut rig, &lines, new(2, Side::Sell, 10_0000, 150)), 1);
    assert_eq!(rig.refused(Reason::Net), 2);
}

#[test]
fn a_replace_counts_at_the_dearer_of_the_two_until_it_is_answered() {
    let (mut rig, lines) = scripted(config(), 1);
    say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 100));
    rig.venue(accepted(1, 100, 10_0000));
    limit(&mut rig, LimitId::GrossMax, 1010_0000);
    let replace = |price, quantity| Intent::Replace { order: OrderId(1), price: Price(price), quantity };
    assert_eq!(say(&mut rig, &lines, replace(10_1001, 100)), 0);
    assert_eq!(rig.refused(Reason::Gross), 1);
    assert_eq!(say(&mut rig, &lines, replace(10_1000, 100)), 1);
    assert_eq!(rig.pipeline.desk().gate().stake().gross(), 1010_0000);
    rig.venue(told(VenueEventKind::ReplaceRejected, 2, 0));
    assert_sums(rig.pipeline.desk());
    // A smaller and cheaper one asks nobody, and counts as what it replaces until the venue took it. The price stays that of
    // the dearest that was wanted.
    limit(&mut rig, LimitId::GrossMax, 0);
    assert_eq!(say(&mut rig, &lines, replace(9_9000, 50)), 1);
    assert_eq!(rig.pipeline.desk().gate().stake().gross(), 1010_0000);
    rig.venue(crate::testing::replaced(1, 3, 50, 9_9000));
    assert_sums(rig.pipeline.desk());
    assert_eq!(rig.pipeline.desk().gate().stake().gross(), 505_0000);
}

/// The market moves to `price`: bid, ask and a print.
fn market(rig: &mut Rig<(Script,)>, reference: u64, price: i64) {
    let quotes = [
        print(0, price),
        add(0, reference, Side::Buy, price - 100, 5),
        add(0, reference + 1, Side::Sell, price + 100, 5),
    ];
    rig.feed(&quotes);
    assert_sums(rig.pipeline.desk());
}

#[test]
fn a_loss_beyond_the_limit_of_the_day_stops_trading_and_takes_orders_back() {
    let (mut rig, lines) = holding();
    limit(&mut rig, LimitId::DailyLossMax, 50_0000);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 10)), 1);
    rig.venue(accepted(2, 10, 10_0000));
    market(&mut rig, 1, 9_5000);
    assert_eq!(rig.pipeline.desk().gate().halt(), None, "at the limit");
    assert_eq!(rig.pipeline.desk().gate().stake().profit(), -50_0000);
    // Falling below the bid that is there, the mark is the bid: a cheaper offer has to be there to lose more.
    rig.feed(&[add(0, 10, Side::Sell, 9_4900, 5), print(0, 9_4900)]);
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::DailyLoss));
    let cancels: alloc::vec::Vec<_> = rig.sent().into_iter().map(|sent| sent.action).collect();
    assert_eq!(cancels, [OrderAction::Cancel { order: OrderId(2) }]);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 1)), 0);
    assert_eq!(rig.refused(Reason::Halted), 1);
    // Resumed without another limit, the next look stops it again.
    rig.command(CommandKind::Resume);
    assert_eq!(rig.pipeline.desk().gate().halt(), None);
    rig.feed(&[add(0, 11, Side::Sell, 9_4900, 5)]);
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::DailyLoss));
    limit(&mut rig, LimitId::DailyLossMax, 60_0000);
    rig.command(CommandKind::Resume);
    rig.feed(&[add(0, 12, Side::Sell, 9_4900, 5)]);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 1)), 1);
}

#[test]
fn profit_that_melts_away_stops_trading_too() {
    let (mut rig, _) = holding();
    limit(&mut rig, LimitId::DrawdownMax, 30_0000);
    rig.feed(&[add(0, 1, Side::Buy, 10_5000, 5), print(0, 10_5000)]);
    assert_eq!(rig.pipeline.desk().gate().stake().profit(), 50_0000);
    rig.feed(&[tern_abi::event::BookEvent {
        instrument: 0,
        order: 1,
        ..tern_abi::event::BookEvent::new(tern_abi::event::EventKind::Delete)
    }]);
    rig.feed(&[print(0, 10_2000)]);
    assert_eq!((rig.pipeline.desk().gate().halt(), rig.pipeline.desk().gate().stake().drawdown()), (None, 30_0000));
    rig.feed(&[print(0, 10_1999)]);
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::Drawdown));
}

#[test]
fn the_best_profit_of_an_earlier_run_of_the_day_is_what_a_fall_is_measured_from() {
    for (high_water, halt) in [(30_0000, None), (30_0001, Some(HaltReason::Drawdown))] {
        let (mut rig, lines) = scripted(crate::pipeline::Config { high_water, ..config() }, 1);
        limit(&mut rig, LimitId::DrawdownMax, 30_0000);
        assert_eq!(rig.pipeline.desk().gate().stake().drawdown(), high_water);
        assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 100)), 1);
        rig.venue(accepted(1, 100, 10_0000));
        rig.venue(executed(1, 100, 10_0000, 1));
        assert_eq!(rig.pipeline.desk().gate().halt(), halt);
    }
}

#[test]
fn quotes_that_nobody_means_cost_nothing() {
    let (mut rig, _) = holding();
    limit(&mut rig, LimitId::DailyLossMax, 1);
    rig.feed(&[add(0, 1, Side::Buy, 1, 5), add(0, 2, Side::Sell, 1_999_990_000, 5)]);
    let gate = rig.pipeline.desk().gate();
    assert_eq!((gate.halt(), gate.stake().profit()), (None, 0));
    // Nor does a book that is not trusted.
    rig.feed_aged(Some(crate::feed::Distrust::Gap), &[add(0, 3, Side::Sell, 1_0000, 5)], 0);
    let gate = rig.pipeline.desk().gate();
    assert_eq!((gate.halt(), gate.stake().profit()), (None, 0));
    assert!(!rig.pipeline.desk().books().is_trusted(InstrumentId(0)));
}
