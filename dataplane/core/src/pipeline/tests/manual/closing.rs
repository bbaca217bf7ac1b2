//! A flatten cancels and closes what is held, and never more than that.

use super::super::{Ask, limit, say, two_with};
use super::{FIRM, by_hand, flatten, give, holds, later, outcomes, position, quoted, records};
use crate::opening::OpeningPosition;
use crate::pipeline::Config;
use crate::risk::{LimitId, Reason};
use crate::session::{OrderAction, VenueEventKind};
use crate::testing::{Rig, Script, Sent, accepted, add, executed, new, told, trading};
use crate::units::{OrderId, Price, Side, StrategyId, Symbol};
use alloc::vec::Vec;
use tern_abi::command::CommandKind;
use tern_abi::event::{BookEvent, EventKind};
use tern_abi::manual::ManualOutcome;
use tern_abi::record::{Kind, OrderRecord, RefusalRecord};
use tern_abi::segment::ScopeKind;

#[test]
fn a_flatten_cancels_and_closes_what_is_held_whichever_way_it_leans() {
    for (side, price) in [(Side::Buy, 9_9900), (Side::Sell, 10_0100)] {
        let (mut rig, lines) = two_with(by_hand());
        holds(&mut rig, &lines[0], 0, side, 100);
        // More of it rests, and would open it anew.
        let away = if side == Side::Buy { 9_8000 } else { 10_2000 };
        say(&mut rig, &lines[0], new(0, side, away, 50));
        rig.venue(accepted(2, 50, away));
        quoted(&mut rig, 0);
        let (told_of, sent) = give(&mut rig, &flatten(1, (ScopeKind::Strategy, 1)));
        assert_eq!(told_of, [ManualOutcome::Began, ManualOutcome::Sent], "{side:?}");
        let close: Vec<&Sent> = sent.iter().filter(|sent| matches!(sent.action, OrderAction::New { .. })).collect();
        assert_eq!(close.len(), 1);
        let found = (close[0].side, close[0].price, close[0].quantity, close[0].ioc, close[0].strategy);
        assert_eq!(found, (side.opposite(), Price(price), 100, true, StrategyId(1)));
        let cancels: Vec<OrderAction> =
            sent.iter().map(|sent| sent.action).filter(|a| matches!(a, OrderAction::Cancel { .. })).collect();
        assert_eq!(cancels, [OrderAction::Cancel { order: OrderId(2) }]);
        // The one that rested trades a little first, and then is gone: that is closed too.
        rig.venue(executed(2, 20, away, 90));
        rig.venue(told(VenueEventKind::Canceled, 2, 30));
        rig.venue(accepted(3, 100, price));
        rig.venue(executed(3, 60, price, 91));
        rig.venue(told(VenueEventKind::Canceled, 3, 40));
        let again = later(&mut rig);
        assert_eq!(again.iter().map(|sent| sent.quantity).collect::<Vec<_>>(), [60], "100 + 20 - 60");
        rig.venue(accepted(4, 60, price));
        rig.venue(executed(4, 60, price, 92));
        assert_eq!(later(&mut rig), []);
        assert_eq!(outcomes(&rig, 1).last(), Some(&ManualOutcome::Flat));
        assert_eq!(position(&rig, 0), 0);
    }
}

#[test]
fn what_works_on_the_side_counts_until_the_venue_says_that_it_is_over() {
    let (mut rig, lines) = two_with(by_hand());
    holds(&mut rig, &lines[0], 0, Side::Buy, 100);
    say(&mut rig, &lines[0], new(0, Side::Sell, 10_5000, 70));
    rig.venue(accepted(2, 70, 10_5000));
    quoted(&mut rig, 0);
    let (_, sent) = give(&mut rig, &flatten(1, FIRM));
    let closing = |sent: &[Sent]| -> Vec<u32> {
        sent.iter().filter(|s| matches!(s.action, OrderAction::New { .. })).map(|s| s.quantity).collect()
    };
    assert_eq!(closing(&sent), [30], "70 of the 100 may still be sold by the order that rests");
    for _ in 0..5 {
        assert_eq!(closing(&later(&mut rig)), [] as [u32; 0], "neither is over");
    }
    rig.venue(accepted(3, 30, 9_9900));
    rig.venue(executed(3, 30, 9_9900, 50));
    assert_eq!(closing(&later(&mut rig)), [] as [u32; 0]);
    // It traded while its cancel was under way.
    rig.venue(executed(2, 70, 10_5000, 51));
    assert_eq!(closing(&later(&mut rig)), [] as [u32; 0]);
    assert_eq!((position(&rig, 0), outcomes(&rig, 1).last()), (0, Some(&ManualOutcome::Flat)));
}

#[test]
fn strategies_that_hold_the_opposite_are_not_closed_against_the_firm() {
    let (mut rig, lines) = two_with(by_hand());
    holds(&mut rig, &lines[0], 0, Side::Buy, 100);
    holds(&mut rig, &lines[1], 0, Side::Sell, 60);
    quoted(&mut rig, 0);
    let (_, sent) = give(&mut rig, &flatten(1, FIRM));
    assert_eq!(sent.iter().map(|sent| (sent.strategy, sent.quantity)).collect::<Vec<_>>(), [(StrategyId(1), 40)]);
    rig.venue(accepted(3, 40, 9_9900));
    rig.venue(executed(3, 40, 9_9900, 50));
    while outcomes(&rig, 1).last() != Some(&ManualOutcome::Left) {
        assert_eq!(later(&mut rig), [], "the firm is flat");
    }
    let end = records(&rig, 1).pop().expect("its end");
    assert_eq!((end.count, end.reason), (2, Reason::ReduceOnly as u32 + 1));
}

#[test]
fn an_order_of_another_strategy_that_may_close_for_it_is_named_as_the_reason() {
    let (mut rig, lines) = two_with(by_hand());
    holds(&mut rig, &lines[0], 0, Side::Buy, 100);
    say(&mut rig, &lines[1], new(0, Side::Sell, 10_5000, 100));
    rig.venue(accepted(2, 100, 10_5000));
    quoted(&mut rig, 0);
    give(&mut rig, &flatten(1, (ScopeKind::Strategy, 1)));
    while outcomes(&rig, 1).last() != Some(&ManualOutcome::Left) {
        assert_eq!(later(&mut rig), [], "both filled would turn the firm");
    }
    let end = records(&rig, 1).pop().expect("its end");
    assert_eq!((end.count, end.reason, end.value), (1, Reason::ReduceOnly as u32 + 1, 100), "100 are on offer already");
}

#[test]
fn one_look_sends_no_more_than_the_ring_is_sure_to_take() {
    const SYMBOLS: u32 = 70;
    let held = |number| {
        let symbol = Symbol::new(&alloc::format!("S{number}")).expect("a symbol");
        OpeningPosition { strategy: StrategyId(1), symbol, shares: 100, cost: 1000_0000 }
    };
    let mut config = Config { opening: (0..SYMBOLS).map(held).collect(), ..by_hand() };
    (config.limits.orders_per_second_max, config.limits.order_burst_max) = (1_000_000, 100_000);
    let mut rig = Rig::ready(config, SYMBOLS, (Script::default(), Script::default()));
    for instrument in 0..SYMBOLS {
        quoted(&mut rig, instrument);
    }
    let mut looks = Vec::from([give(&mut rig, &flatten(1, FIRM)).1.len()]);
    while looks.iter().sum::<usize>() < SYMBOLS as usize && looks.len() < 100 {
        looks.push(later(&mut rig).len());
    }
    assert_eq!(looks, [16, 16, 16, 16, 6], "as many as wait for TCP at once");
    assert_eq!(rig.pipeline.desk().refusals().iter().sum::<u64>(), 0, "none was asked for in vain");
    // Nor are all that the gate refuses asked for in one look.
    let mut config = Config { opening: (0..SYMBOLS).map(held).collect(), ..by_hand() };
    config.limits.order_notional_max = 1;
    let mut rig = Rig::ready(config, SYMBOLS, (Script::default(), Script::default()));
    for instrument in 0..SYMBOLS {
        quoted(&mut rig, instrument);
    }
    give(&mut rig, &flatten(1, FIRM));
    assert_eq!(rig.rec.all::<RefusalRecord>(Kind::Refusal).len(), 32);
    later(&mut rig);
    assert_eq!(rig.rec.all::<RefusalRecord>(Kind::Refusal).len(), 64);
}

#[test]
fn several_symbols_go_at_the_pace_of_the_rate_and_none_is_refused_for_it() {
    let (mut rig, lines) = two_with(by_hand());
    for instrument in 0..2 {
        holds(&mut rig, &lines[0], instrument, Side::Buy, 100);
        quoted(&mut rig, instrument);
    }
    limit(&mut rig, LimitId::OrderBurstMax, 1);
    limit(&mut rig, LimitId::OrdersPerSecondMax, 10);
    rig.now = rig.now.plus(1_000_000_000);
    let (_, first) = give(&mut rig, &flatten(1, FIRM));
    assert_eq!(first.len(), 1, "one a tenth of a second");
    let began = rig.now;
    let mut second = Vec::new();
    while second.is_empty() {
        second = later(&mut rig);
    }
    assert!(rig.now.since(began) >= 99_000_000 && second.len() == 1, "{:?} {second:?}", rig.now);
    assert_ne!(first[0].symbol, second[0].symbol);
    assert_eq!(rig.refused(Reason::Rate), 0);
}

#[test]
fn what_cannot_be_closed_is_tried_again_at_a_pace_and_told_with_its_reason_when_the_time_is_over() {
    let (mut rig, lines) = two_with(by_hand());
    holds(&mut rig, &lines[0], 0, Side::Buy, 100);
    quoted(&mut rig, 0);
    // Our market stops it.
    rig.feed(&[BookEvent { instrument: 0, code: b'H', ..BookEvent::new(EventKind::TradingState) }]);
    let (told_of, sent) = give(&mut rig, &flatten(1, FIRM));
    assert_eq!((told_of, sent), (alloc::vec![ManualOutcome::Began], Vec::new()));
    for _ in 0..10_000 {
        if outcomes(&rig, 1).last() == Some(&ManualOutcome::Left) {
            break;
        }
        assert_eq!(later(&mut rig), []);
    }
    let end = records(&rig, 1).pop().expect("its end");
    assert_eq!((end.count, end.reason), (1, Reason::NotTrading as u32 + 1));
    let refused = rig.refused(Reason::NotTrading);
    assert!((3..=8).contains(&refused), "{refused} tries in a second");
    // It trades again: another flatten closes it.
    rig.feed(&[trading(0)]);
    assert_eq!(give(&mut rig, &flatten(2, FIRM)).1.len(), 1);
}

#[test]
fn a_kill_ends_a_flatten_and_one_of_the_firm_takes_the_place_of_any() {
    let (mut rig, lines) = two_with(by_hand());
    holds(&mut rig, &lines[0], 0, Side::Buy, 100);
    let strategy = (ScopeKind::Strategy, 1);
    assert_eq!(give(&mut rig, &flatten(1, strategy)).0, [ManualOutcome::Began], "nobody buys");
    assert_eq!(give(&mut rig, &flatten(2, strategy)).0, [ManualOutcome::Busy]);
    assert_eq!(give(&mut rig, &flatten(3, FIRM)).0, [ManualOutcome::Began]);
    assert_eq!(outcomes(&rig, 1), [ManualOutcome::Began, ManualOutcome::Left]);
    rig.command(CommandKind::Kill);
    quoted(&mut rig, 0);
    let orders = rig.rec.all::<OrderRecord>(Kind::Order).len();
    while outcomes(&rig, 3).last() != Some(&ManualOutcome::Left) {
        later(&mut rig);
    }
    assert_eq!(rig.rec.all::<OrderRecord>(Kind::Order).len(), orders, "nothing leaves after a kill");
    assert_eq!(rig.pipeline.next_deadline(), crate::units::TaiNs::NEVER, "and nothing is due");
}

#[test]
fn an_order_is_no_larger_than_one_may_be_and_the_rest_follows() {
    let mut config = by_hand();
    config.limits.order_quantity_max = 60;
    let (mut rig, lines) = two_with(config);
    for _ in 0..2 {
        holds(&mut rig, &lines[0], 0, Side::Buy, 50);
        rig.now = rig.now.plus(10_000_000_000);
    }
    quoted(&mut rig, 0);
    let (_, sent) = give(&mut rig, &flatten(1, FIRM));
    assert_eq!(sent[0].quantity, 60);
    rig.venue(accepted(3, 60, 9_9900));
    rig.venue(executed(3, 60, 9_9900, 50));
    assert_eq!(later(&mut rig)[0].quantity, 40);
}

#[test]
fn a_price_between_ticks_is_asked_for_at_the_next_one_that_still_trades() {
    let (mut rig, lines) = two_with(by_hand());
    holds(&mut rig, &lines[0], 0, Side::Sell, 10);
    rig.feed(&[add(0, 5, Side::Sell, 10_0050, 1000)]);
    assert_eq!(give(&mut rig, &flatten(1, FIRM)).1[0].price, Price(10_0100));
}
