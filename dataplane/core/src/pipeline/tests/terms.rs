//! What OUCH 5.0 carries beside price and shares: crosses, minimum quantities, partial cancels; and a venue that takes more
//! than it was asked for.

use super::{Ask, say};
use crate::input::{ConnEvent, DownReason};
use crate::orders::OrderState;
use crate::risk::{HaltReason, LimitId, Reason};
use crate::session::{OrderAction, TimeInForce, VenueEvent, VenueEventKind};
use crate::strategy::Intent;
use crate::testing::{Lines, Rig, Script, accepted, config, executed, new, replaced, scripted, told, trading};
use crate::units::{InstrumentId, OrderId, Price, Side};
use tern_abi::record::{ACTION_CANCEL, Kind, OrderRecord};

fn bench() -> (Rig<(Script,)>, Lines) {
    scripted(config(), 1)
}

/// An order of 100 at 10.0000, or with what `change` makes of it.
fn order(side: Side, change: impl FnOnce(&mut Price, &mut u32, &mut TimeInForce, &mut bool)) -> Intent {
    let (mut price, mut min_quantity, mut time_in_force, mut post_only) = (Price(10_0000), 0, TimeInForce::Day, false);
    change(&mut price, &mut min_quantity, &mut time_in_force, &mut post_only);
    let instrument = InstrumentId(0);
    Intent::New { instrument, side, price, quantity: 100, min_quantity, time_in_force, post_only }
}

fn market(side: Side, when: TimeInForce) -> Intent {
    order(side, |price, _, time_in_force, _| (*price, *time_in_force) = (Price::MARKET, when))
}

fn value(rig: &Rig<(Script,)>) -> i64 {
    rig.pipeline.desk().gate().stake().gross()
}

/// 5 percent above the last price of 10.0000.
const UPPER_COLLAR: i64 = 10_5000;

#[test]
fn what_is_for_a_cross_is_valued_at_the_upper_collar() {
    for side in [Side::Buy, Side::Sell] {
        for when in [TimeInForce::OnOpen, TimeInForce::OnClose] {
            let (mut rig, lines) = bench();
            assert_eq!(say(&mut rig, &lines, market(side, when)).len(), 1);
            assert_eq!((value(&rig), rig.open(side)), (100 * UPPER_COLLAR, 100));
            let record = *rig.rec.all::<OrderRecord>(Kind::Order).last().expect("it is recorded");
            assert_eq!((record.price, record.time_in_force), (Price::MARKET.0, when.letter()));
            // The venue says "market" too: nobody is to take that for a price.
            rig.venue(accepted(1, 100, Price::MARKET.0));
            assert_eq!((rig.pipeline.desk().gate().halt(), value(&rig)), (None, 100 * UPPER_COLLAR));
            // The cross pays what it pays, and no fill changes the price at which shares count (adr/0015).
            rig.venue(executed(1, 60, 10_2500, 1));
            assert_eq!(value(&rig), 100 * UPPER_COLLAR);
            rig.venue(told(VenueEventKind::Canceled, 1, 40));
            assert_eq!((value(&rig), rig.state(1)), (60 * UPPER_COLLAR, Some(OrderState::Canceled)));
        }
    }
    let limit_on_close = order(Side::Sell, |price, _, when, _| (*price, *when) = (Price(9_9000), TimeInForce::OnClose));
    let (mut rig, lines) = bench();
    assert_eq!(say(&mut rig, &lines, limit_on_close).len(), 1);
    assert_eq!(value(&rig), 100 * UPPER_COLLAR, "a sale in a cross may bring more than its limit");
}

#[test]
fn a_market_order_is_held_against_limits_at_the_upper_collar() {
    let case = |id: LimitId, value| {
        let (mut rig, lines) = bench();
        super::limit(&mut rig, id, value);
        say(&mut rig, &lines, market(Side::Buy, TimeInForce::OnOpen));
        rig.rec.all::<tern_abi::record::RefusalRecord>(Kind::Refusal).first().map(|r| (r.reason, r.limit, r.value))
    };
    let full = 100 * UPPER_COLLAR;
    for (id, reason) in [
        (LimitId::OrderNotionalMax, Reason::Notional),
        (LimitId::GrossMax, Reason::Gross),
        (LimitId::NetMax, Reason::Net),
    ] {
        assert_eq!(case(id, full), None, "{}", id.name());
        assert_eq!(case(id, full - 1), Some((reason as u32, full - 1, full)), "{}", id.name());
    }
}

#[test]
fn without_a_reference_nothing_is_sent_into_a_cross() {
    let script = Script::default();
    let lines = script.lines.clone();
    let mut rig = Rig::bare(config(), 1, (script,));
    rig.feed(&[trading(0)]);
    rig.connect();
    assert_eq!(say(&mut rig, &lines, market(Side::Buy, TimeInForce::OnOpen)), []);
    assert_eq!(rig.refused(Reason::NoReference), 1);
}

#[test]
fn a_market_order_meets_every_order_of_our_own_on_the_other_side() {
    let (mut rig, lines) = bench();
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 9_9000, 10)).len(), 1);
    assert_eq!(say(&mut rig, &lines, market(Side::Sell, TimeInForce::OnClose)), []);
    assert_eq!(rig.refused(Reason::SelfTrade), 1);
    let (mut rig, lines) = bench();
    assert_eq!(say(&mut rig, &lines, market(Side::Sell, TimeInForce::OnClose)).len(), 1);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 9_9000, 10)), []);
    assert_eq!(rig.refused(Reason::SelfTrade), 1);
}

#[test]
fn terms_that_do_not_go_together_are_refused() {
    let wrong = [
        order(Side::Buy, |_, _, when, post_only| (*when, *post_only) = (TimeInForce::OnOpen, true)),
        order(Side::Buy, |_, min, when, _| (*min, *when) = (100, TimeInForce::OnClose)),
        order(Side::Buy, |_, min, _, _| *min = 100),
        order(Side::Buy, |_, min, when, _| (*min, *when) = (200, TimeInForce::Ioc)),
        order(Side::Buy, |_, min, when, _| (*min, *when) = (50, TimeInForce::Ioc)),
        order(Side::Buy, |_, min, when, post_only| (*min, *when, *post_only) = (100, TimeInForce::Ioc, true)),
    ];
    for intent in wrong {
        let (mut rig, lines) = bench();
        assert_eq!(say(&mut rig, &lines, intent), [], "{intent:?}");
        assert_eq!(rig.refused(Reason::Terms), 1, "{intent:?}");
    }
    let (mut rig, lines) = bench();
    assert_eq!(say(&mut rig, &lines, order(Side::Buy, |price, _, _, _| *price = Price::MARKET)), []);
    assert_eq!(rig.refused(Reason::Price), 1, "the continuous market has no market orders");
    let all_or_nothing = order(Side::Buy, |_, min, when, _| (*min, *when) = (100, TimeInForce::Ioc));
    assert_eq!(say(&mut rig, &lines, all_or_nothing).len(), 1);
    assert_eq!(rig.rec.all::<OrderRecord>(Kind::Order).last().map(|record| record.min_quantity), Some(100));
}

#[test]
fn a_replace_cannot_name_the_cross_and_is_refused() {
    let (mut rig, lines) = bench();
    say(&mut rig, &lines, market(Side::Buy, TimeInForce::OnOpen));
    rig.venue(accepted(1, 100, Price::MARKET.0));
    let replace = Intent::Replace { order: OrderId(1), price: Price(10_0000), quantity: 50 };
    assert_eq!(say(&mut rig, &lines, replace), []);
    assert_eq!(rig.refused(Reason::Terms), 1);
    assert_eq!(say(&mut rig, &lines, Intent::Cancel { order: OrderId(1) }).len(), 1);
}

const REDUCE: Intent = Intent::Reduce { order: OrderId(1), quantity: 30 };

/// A live buy of 100, of which 20 traded.
fn live() -> (Rig<(Script,)>, Lines) {
    let (mut rig, lines) = bench();
    say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 100));
    rig.venue(accepted(1, 100, 10_0000));
    rig.venue(executed(1, 20, 10_0000, 1));
    (rig, lines)
}

#[test]
fn a_partial_cancel_names_the_total_and_counts_in_full_until_answered() {
    let (mut rig, lines) = live();
    assert_eq!(say(&mut rig, &lines, REDUCE), [OrderAction::Reduce { order: OrderId(1) }]);
    let record = *rig.rec.all::<OrderRecord>(Kind::Order).last().expect("it is recorded");
    assert_eq!((record.action, record.quantity), (ACTION_CANCEL, 50), "20 traded, 30 are to stay (2.3)");
    assert_eq!((rig.state(1), rig.open(Side::Buy)), (Some(OrderState::PendingReplace), 80));
    // It is in flight: 10 more trade, and 20 stay.
    rig.venue(executed(1, 10, 10_0000, 2));
    assert_eq!(rig.open(Side::Buy), 70);
    assert_eq!(say(&mut rig, &lines, REDUCE), [], "one at a time");
    rig.venue(told(VenueEventKind::Canceled, 1, 50));
    assert_eq!((rig.state(1), rig.open(Side::Buy)), (Some(OrderState::Live), 20));
    let again = Intent::Reduce { order: OrderId(1), quantity: 5 };
    assert_eq!(say(&mut rig, &lines, again).len(), 1);
}

#[test]
fn a_partial_cancel_that_comes_too_late_leaves_nothing_pending() {
    // 2.3: a superfluous cancel is silently ignored. What made it superfluous was said.
    let (mut rig, lines) = live();
    say(&mut rig, &lines, REDUCE);
    rig.venue(told(VenueEventKind::Canceled, 1, 50));
    assert_eq!(rig.state(1), Some(OrderState::Live));
    let (mut rig, lines) = live();
    say(&mut rig, &lines, REDUCE);
    rig.venue(executed(1, 80, 10_0000, 2));
    assert_eq!((rig.state(1), rig.open(Side::Buy)), (Some(OrderState::Filled), 0));
}

#[test]
fn partial_cancels_that_the_venue_may_misunderstand_or_not_answer_are_not_sent() {
    let (mut rig, lines) = live();
    for (quantity, reason) in [(0, Reason::Quantity), (80, Reason::Quantity), (81, Reason::Quantity)] {
        let before = rig.refused(reason);
        assert_eq!(say(&mut rig, &lines, Intent::Reduce { order: OrderId(1), quantity }), []);
        assert_eq!(rig.refused(reason), before + 1, "{quantity} of 80");
    }
    // Refused once (3.10), it would get no answer again.
    say(&mut rig, &lines, REDUCE);
    rig.venue(told(VenueEventKind::CancelRejected, 1, 0));
    assert_eq!((rig.state(1), rig.open(Side::Buy)), (Some(OrderState::Live), 80));
    assert!(rig.pipeline.next_deadline() > rig.now.plus(60_000_000_000), "nothing is repeated by itself");
    assert_eq!(say(&mut rig, &lines, REDUCE), []);
    assert_eq!(rig.refused(Reason::Terms), 1);
    // After a replace of what had traded, the size is the order's or the chain's.
    let (mut rig, lines) = live();
    say(&mut rig, &lines, Intent::Replace { order: OrderId(1), price: Price(10_0000), quantity: 90 });
    rig.venue(replaced(1, 2, 90, 10_0000));
    assert_eq!(say(&mut rig, &lines, Intent::Reduce { order: OrderId(2), quantity: 30 }), []);
    assert_eq!(rig.refused(Reason::Terms), 1);
}

#[test]
fn a_partial_cancel_of_a_connection_that_broke_is_decided_by_the_log() {
    let (mut rig, lines) = live();
    say(&mut rig, &lines, REDUCE);
    rig.conn(ConnEvent::Down(DownReason::Reset));
    rig.conn(ConnEvent::Up);
    rig.conn(ConnEvent::Room(1 << 20));
    rig.venue(told(VenueEventKind::Canceled, 1, 50));
    rig.venue(VenueEvent::new(VenueEventKind::CaughtUp));
    assert_eq!((rig.state(1), rig.open(Side::Buy)), (Some(OrderState::Live), 30));
    let (mut rig, lines) = live();
    say(&mut rig, &lines, REDUCE);
    rig.conn(ConnEvent::Down(DownReason::Reset));
    rig.connect();
    assert_eq!((rig.state(1), rig.open(Side::Buy)), (Some(OrderState::Live), 80));
}

#[test]
fn a_venue_that_takes_more_than_it_was_asked_for_stops_trading() {
    let halt = |rig: &Rig<(Script,)>| rig.pipeline.desk().gate().halt();
    let entered = |event: VenueEvent| {
        let (mut rig, lines) = bench();
        say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 100));
        rig.venue(event);
        rig
    };
    for event in [accepted(1, 100, 10_0000), accepted(1, 90, 9_9900)] {
        assert_eq!(halt(&entered(event)), None, "{event:?}");
    }
    for event in [accepted(1, 101, 10_0000), accepted(1, 100, 10_0001)] {
        let mut rig = entered(event);
        assert_eq!(halt(&rig), Some(HaltReason::OverAccepted), "{event:?}");
        assert_eq!(rig.open(Side::Buy), i64::from(event.quantity), "counted as the venue has it");
        assert_eq!(rig.sent().len(), 1, "and cancelled");
        assert_eq!(rig.state(1), Some(OrderState::PendingCancel));
    }
    for (event, expected) in [
        (replaced(1, 2, 130, 10_0000), None),
        (replaced(1, 2, 131, 10_0000), Some(HaltReason::OverAccepted)),
        (replaced(1, 2, 130, 10_0001), Some(HaltReason::OverAccepted)),
    ] {
        let (mut rig, lines) = live();
        say(&mut rig, &lines, Intent::Replace { order: OrderId(1), price: Price(10_0000), quantity: 130 });
        rig.venue(event);
        assert_eq!(halt(&rig), expected, "{event:?}");
    }
}
