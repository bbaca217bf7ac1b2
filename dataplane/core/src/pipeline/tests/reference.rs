//! The reference of the collar and the recent volume: what moves them, and what of ours does not.

use super::{Ask, limit, say};
use crate::pipeline::Config;
use crate::risk::{LimitId, Reason};
use crate::strategy::Intent;
use crate::testing::{Lines, Rig, Script, accepted, add, config, executed, new, print, scripted, trading};
use crate::units::{OrderId, Price, Side, Symbol};
use tern_abi::event::{BookEvent, EventKind, flags};

const SECOND_NS: u64 = 1_100_000_000;

const BUY: fn(i64, u32) -> Intent = |price, quantity| new(0, Side::Buy, price, quantity);

/// Last at 10, collar of 5 percent; a print may move the reference anywhere within a second.
fn following() -> (Rig<(Script,)>, Lines) {
    let (mut rig, lines) = scripted(config(), 1);
    limit(&mut rig, LimitId::ReferenceMoveBps, 10_000);
    rig.now = rig.now.plus(SECOND_NS);
    (rig, lines)
}

/// Whether the reference is still 10: 10.60 is beyond its collar, and within that of 10.20. Asks only.
fn is_ten(rig: &Rig<(Script,)>) -> bool {
    match rig.pipeline.check_intent(rig.now.plus(1), 0, 0, &BUY(10_6000, 7)) {
        Err(Reason::Collar) => true,
        Ok(()) => false,
        other => panic!("{other:?}"),
    }
}

fn execute(order: u64, match_number: u64) -> BookEvent {
    let kind = EventKind::Execute;
    BookEvent { instrument: 0, order, other: match_number, quantity: 10, ..BookEvent::new(kind) }
}

/// Our order 1 rests at 10.20, as the venue's order 1,000,001.
fn resting() -> (Rig<(Script,)>, Lines) {
    let (mut rig, lines) = following();
    assert_eq!(say(&mut rig, &lines, BUY(10_2000, 100)).len(), 1);
    rig.venue(accepted(1, 100, 10_2000));
    rig.feed(&[add(0, 1_000_001, Side::Buy, 10_2000, 100), add(0, 5, Side::Buy, 10_2000, 100)]);
    (rig, lines)
}

#[test]
fn what_trades_against_our_resting_order_does_not_move_the_reference() {
    let (mut rig, _) = resting();
    assert!(is_ten(&rig));
    rig.feed(&[execute(1_000_001, 1)]);
    assert!(is_ten(&rig), "ours");
    // And when the venue's word came first, and the order is gone with it.
    rig.venue(executed(1, 10, 10_2000, 1));
    rig.venue(executed(1, 90, 10_2000, 2));
    rig.feed(&[execute(1_000_001, 2)]);
    assert!(is_ten(&rig), "ours, by its match number");
    rig.feed(&[execute(5, 3)]);
    assert!(!is_ten(&rig), "another's");
}

#[test]
fn what_we_take_does_not_move_the_reference_once_the_venue_said_so() {
    let (mut rig, lines) = following();
    rig.feed(&[add(0, 5, Side::Sell, 10_2000, 100)]);
    assert_eq!(say(&mut rig, &lines, BUY(10_2000, 10)).len(), 1);
    rig.venue(accepted(1, 10, 10_2000));
    rig.venue(executed(1, 10, 10_2000, 9));
    rig.feed(&[execute(5, 9)]);
    assert!(is_ten(&rig));
    rig.feed(&[execute(5, 10)]);
    assert!(!is_ten(&rig));
}

#[test]
fn executions_that_are_not_printed_are_no_reference() {
    let (mut rig, _) = following();
    let at = |flags| BookEvent { kind: EventKind::ExecuteAtPrice, price: 10_2000, flags, ..execute(5, 1) };
    rig.feed(&[add(0, 5, Side::Sell, 10_3000, 100), at(flags::NON_PRINTABLE)]);
    assert!(is_ten(&rig));
    rig.feed(&[at(0)]);
    assert!(!is_ten(&rig));
}

#[test]
fn a_wrong_print_does_not_open_the_collar_around_it() {
    let (mut rig, lines) = scripted(config(), 1);
    rig.now = rig.now.plus(10 * SECOND_NS);
    rig.feed(&[print(0, 20_0000)]);
    // 5 percent a second: the reference is at 10.50 now.
    assert_eq!(say(&mut rig, &lines, BUY(20_0000, 1)), []);
    assert_eq!(say(&mut rig, &lines, BUY(11_0251, 1)), []);
    assert_eq!(rig.refused(Reason::Collar), 2);
    assert_eq!(say(&mut rig, &lines, BUY(11_0250, 1)).len(), 1);
}

/// Two instruments without a print; the first has this bid and ask.
fn quoted(bid: i64, ask: i64) -> (Rig<(Script,)>, Lines) {
    let script = Script::default();
    let lines = script.lines.clone();
    let mut rig = Rig::bare(config(), 1, (script,));
    rig.feed(&[trading(0), add(0, 1, Side::Buy, bid, 100), add(0, 2, Side::Sell, ask, 100)]);
    rig.connect();
    (rig, lines)
}

#[test]
fn the_middle_of_a_wide_or_crossed_book_is_no_reference() {
    // A tenth of the middle, 10.00, is 1.00.
    let (mut rig, lines) = quoted(9_5000, 10_5000);
    assert_eq!(say(&mut rig, &lines, BUY(10_5000, 1)).len(), 1);
    for (bid, ask) in [(9_4999, 10_5001), (10_0000, 10_0000), (10_0001, 10_0000)] {
        let (mut rig, lines) = quoted(bid, ask);
        assert_eq!(say(&mut rig, &lines, BUY(10_0000, 1)), []);
        assert_eq!(rig.refused(Reason::NoReference), 1, "{bid} {ask}");
    }
}

#[test]
fn our_own_quotes_are_no_reference() {
    let (mut rig, lines) = quoted(9_9000, 10_1000);
    // The middle is 10.00 until 10.40 is bid; were ours a reference, each would pull the next one up.
    assert_eq!(say(&mut rig, &lines, BUY(10_0900, 100)).len(), 1);
    rig.venue(accepted(1, 100, 10_0900));
    rig.feed(&[add(0, 1_000_001, Side::Buy, 10_0900, 100)]);
    // With ours the middle would be 10.095, and 10.5900 within 5 percent of it.
    assert_eq!(say(&mut rig, &lines, BUY(10_5900, 1)), []);
    assert_eq!(rig.refused(Reason::Collar), 1);
    // Somebody joins us there: now it is another's price as well.
    rig.feed(&[add(0, 7, Side::Buy, 10_0900, 100)]);
    assert_eq!(say(&mut rig, &lines, BUY(10_5900, 2)).len(), 1);
    // Alone on a side we are no market.
    let (mut rig, lines) = quoted(9_9000, 10_1000);
    assert_eq!(say(&mut rig, &lines, BUY(9_9000, 100)).len(), 1);
    rig.venue(accepted(1, 100, 9_9000));
    let gone = BookEvent { instrument: 0, order: 1, ..BookEvent::new(EventKind::Delete) };
    rig.feed(&[add(0, 1_000_001, Side::Buy, 9_9000, 100), gone]);
    assert_eq!(say(&mut rig, &lines, BUY(9_9000, 1)), []);
    assert_eq!(rig.refused(Reason::NoReference), 1);
}

/// Whether an order to buy one share at `price` passes the collar; asks only.
fn is_within(rig: &Rig<(Script,)>, price: i64) -> bool {
    match rig.pipeline.check_intent(rig.now.plus(1), 0, 0, &BUY(price, 1)) {
        Err(Reason::Collar) => false,
        Ok(()) => true,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_middle_is_that_of_prices_with_some_depth() {
    // A hundred shares are bid at 9.80, one at 9.90: the middle to 10.20 is 10.00, and 10.50 the end of the collar.
    let (mut rig, _) = quoted(9_8000, 10_2000);
    rig.feed(&[add(0, 3, Side::Buy, 9_9000, 1)]);
    assert!(is_within(&rig, 10_5000) && !is_within(&rig, 10_5001));
    // With 99 more it is 10.05.
    rig.feed(&[add(0, 4, Side::Buy, 9_9000, 99)]);
    assert!(is_within(&rig, 10_5525) && !is_within(&rig, 10_5526));
    limit(&mut rig, LimitId::ReferenceDepthMin, 201);
    assert_eq!(rig.pipeline.check_intent(rig.now.plus(1), 0, 0, &BUY(10_0000, 1)), Err(Reason::NoReference));
}

const fn listing(kind: EventKind) -> BookEvent {
    BookEvent { instrument: 0, flags: flags::LISTING, ..BookEvent::new(kind) }
}

#[test]
fn fewer_shares_than_a_round_lot_are_volume_and_no_price() {
    let (mut rig, _) = following();
    rig.feed(&[BookEvent { quantity: 100, ..listing(EventKind::Directory) }]);
    rig.feed(&[BookEvent { quantity: 99, ..print(0, 10_2000) }]);
    assert!(is_ten(&rig));
    rig.feed(&[BookEvent { quantity: 100, ..print(0, 10_2000) }]);
    assert!(!is_ten(&rig));
}

#[test]
fn the_reference_begins_at_yesterdays_close_and_the_first_print_is_bounded_by_it() {
    let closes = [("ZZZ", 5_0000), ("S0", 10_0000)].map(|(name, price)| (Symbol::new(name).expect("short"), price));
    let script = Script::default();
    let mut rig = Rig::bare(Config { closes: closes.to_vec(), ..config() }, 1, (script,));
    rig.feed(&[trading(0)]);
    rig.connect();
    assert!(is_within(&rig, 10_5000) && !is_within(&rig, 10_5001), "no print yet");
    rig.now = rig.now.plus(SECOND_NS);
    rig.feed(&[print(0, 20_0000)]);
    // 5 percent in a second, however long the night was.
    assert!(is_within(&rig, 11_0250) && !is_within(&rig, 11_0251));
}

#[test]
fn before_the_first_print_the_price_of_the_auction_is_the_reference_for_a_while() {
    let named = |price| BookEvent { price, quantity: 500, ..listing(EventKind::Imbalance) };
    // Quotes are 20.00: an auction goes before them.
    let (mut rig, lines) = quoted(19_9900, 20_0100);
    rig.feed(&[named(10_0000)]);
    assert!(is_within(&rig, 10_5000) && !is_within(&rig, 10_5001));
    rig.now = rig.now.plus(20 * SECOND_NS);
    assert!(is_within(&rig, 20_0000) && !is_within(&rig, 10_5000), "it is old: quotes are newer");
    // What we have in the auction ourselves moves its price.
    assert_eq!(say(&mut rig, &lines, BUY(20_0000, 1)).len(), 1);
    rig.feed(&[named(30_0000)]);
    assert!(!is_within(&rig, 30_0000) && is_within(&rig, 20_0100));
    rig.feed(&[BookEvent { quantity: 5, ..print(0, 15_0000) }]);
    assert!(is_within(&rig, 15_7500) && !is_within(&rig, 15_7501), "a print goes before all");
}

fn traded(quantity: u32) -> BookEvent {
    BookEvent { quantity, ..print(0, 10_0000) }
}

#[test]
fn an_order_is_small_beside_what_others_traded_lately() {
    let (mut rig, lines) = scripted(config(), 1);
    limit(&mut rig, LimitId::OrderQuantityMax, 5000);
    // One share was traded so far: the floor holds.
    assert_eq!(say(&mut rig, &lines, BUY(10_0000, 1001)), []);
    assert_eq!(say(&mut rig, &lines, BUY(10_0000, 1000)).len(), 1);
    rig.feed(&[traded(10_008)]);
    assert_eq!(say(&mut rig, &lines, BUY(10_0000, 1001)), [], "a tenth of 10,009");
    assert_eq!(rig.refused(Reason::Volume), 2);
    rig.feed(&[traded(1)]);
    assert_eq!(say(&mut rig, &lines, BUY(10_0000, 1001)).len(), 1);
    rig.venue(accepted(2, 1001, 10_0000));
    let replace = |quantity| Intent::Replace { order: OrderId(2), price: Price(10_0000), quantity };
    assert_eq!(say(&mut rig, &lines, replace(1002)), []);
    // Minutes later it is long ago: no larger, but smaller at any time.
    rig.now = rig.now.plus(200_000_000_000);
    rig.feed(&[traded(1)]);
    assert_eq!(say(&mut rig, &lines, BUY(9_9900, 1001)), []);
    assert_eq!(rig.refused(Reason::Volume), 4);
    assert_eq!(say(&mut rig, &lines, replace(1001)).len(), 1);
}

#[test]
fn what_closes_a_position_needs_no_volume() {
    let (mut rig, lines) = scripted(config(), 1);
    limit(&mut rig, LimitId::OrderQuantityMax, 5000);
    for order in [1, 2] {
        assert_eq!(say(&mut rig, &lines, BUY(10_0000 - i64::from(order), 1000)).len(), 1);
        rig.venue(accepted(order, 1000, 10_0000 - i64::from(order)));
        rig.venue(executed(order, 1000, 10_0000, u64::from(order)));
    }
    assert_eq!(say(&mut rig, &lines, new(0, Side::Sell, 10_0000, 2001)), []);
    assert_eq!(rig.refused(Reason::Volume), 1);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Sell, 10_0000, 2000)).len(), 1);
}
