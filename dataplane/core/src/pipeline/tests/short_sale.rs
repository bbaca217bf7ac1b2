//! Lists of the day, and short sales.

use super::{Ask, say};
use crate::risk::{Reason, SymbolLimits};
use crate::strategy::Intent;
use crate::testing::{Lines, Rig, Script, accepted, add, config, executed, new, print, scripted};
use crate::units::{OrderId, Price, Side, Symbol};
use alloc::vec::Vec;
use tern_abi::event::{BookEvent, EventKind};

const BUY: fn(u32, u32) -> Intent = |instrument, quantity| new(instrument, Side::Buy, 10_0000, quantity);
const SELL: fn(u32, u32) -> Intent = |instrument, quantity| new(instrument, Side::Sell, 10_0000, quantity);

/// S0 is not on any list, 100 shares of S1 are located, S2 is easy to borrow, and S3 is as well but restricted.
fn listed() -> (Rig<(Script,)>, Lines) {
    let of = |name: &str| SymbolLimits::new(Symbol::new(name).expect("a symbol"));
    let mut config = config();
    config.short_max = 0;
    config.symbols = Vec::from([
        SymbolLimits { short_max: Some(i64::MAX), restricted: true, ..of("S3") },
        SymbolLimits { short_max: Some(i64::MAX), ..of("S2") },
        SymbolLimits { short_max: Some(100), ..of("S1") },
    ]);
    scripted(config, 4)
}

fn bought(rig: &mut Rig<(Script,)>, lines: &Lines, instrument: u32, quantity: u32) {
    let order = rig.pipeline.next_order_id();
    assert_eq!(say(rig, lines, BUY(instrument, quantity)).len(), 1);
    rig.venue(accepted(order, quantity, 10_0000));
    rig.venue(executed(order, quantity, 10_0000, u64::from(order)));
}

#[test]
fn no_order_is_sent_in_a_restricted_symbol() {
    let (mut rig, lines) = listed();
    assert_eq!(say(&mut rig, &lines, BUY(3, 1)), []);
    assert_eq!(say(&mut rig, &lines, SELL(3, 1)), []);
    assert_eq!(rig.refused(Reason::Restricted), 2);
    assert_eq!(say(&mut rig, &lines, SELL(2, 1)).len(), 1);
}

#[test]
fn what_is_not_easy_to_borrow_is_sold_short_as_far_as_it_is_located() {
    let (mut rig, lines) = listed();
    assert_eq!(say(&mut rig, &lines, SELL(0, 1)), []);
    assert_eq!(say(&mut rig, &lines, SELL(1, 101)), []);
    assert_eq!(say(&mut rig, &lines, SELL(1, 60)).len(), 1);
    assert_eq!(say(&mut rig, &lines, SELL(1, 41)), [], "open sales count");
    assert_eq!(say(&mut rig, &lines, SELL(1, 40)).len(), 1);
    assert_eq!(rig.refused(Reason::NotLocated), 3);
    rig.venue(accepted(2, 40, 10_0000));
    let replace = |quantity| Intent::Replace { order: OrderId(2), price: Price(10_0000), quantity };
    assert_eq!(say(&mut rig, &lines, replace(41)), []);
    assert_eq!(rig.refused(Reason::NotLocated), 4);
    assert_eq!(say(&mut rig, &lines, replace(39)).len(), 1);
    assert_eq!(say(&mut rig, &lines, SELL(2, 1000)).len(), 1, "easy to borrow");
}

#[test]
fn what_is_held_is_sold_without_a_locate() {
    let (mut rig, lines) = listed();
    bought(&mut rig, &lines, 0, 100);
    assert_eq!(say(&mut rig, &lines, SELL(0, 101)), []);
    assert_eq!(rig.refused(Reason::NotLocated), 1);
    assert_eq!(say(&mut rig, &lines, SELL(0, 100)).len(), 1);
}

#[test]
fn without_lists_any_symbol_is_sold_short() {
    let (mut rig, lines) = scripted(config(), 1);
    assert_eq!(say(&mut rig, &lines, SELL(0, 1000)).len(), 1);
}

#[test]
fn under_rule_201_a_short_sale_has_to_be_above_the_best_bid() {
    let sell = |price, quantity| new(0, Side::Sell, price, quantity);
    for (code, is_in_force) in [(b'0', false), (b'1', true), (b'2', true)] {
        let (mut rig, lines) = scripted(config(), 1);
        let rule = BookEvent { instrument: 0, code, ..BookEvent::new(EventKind::ShortSale) };
        rig.feed(&[print(0, 10_0000), rule]);
        assert_eq!(say(&mut rig, &lines, sell(9_9800, 1)).len(), 1, "no bid, nothing to compare with");
        rig.feed(&[add(0, 1, Side::Buy, 9_9900, 5)]);
        rig.venue(accepted(1, 1, 9_9800));
        assert_eq!(say(&mut rig, &lines, sell(9_9900, 2)).is_empty(), is_in_force, "at the bid");
        assert_eq!(say(&mut rig, &lines, sell(9_9901, 3)).len(), 1, "above it");
        let to = |price| Intent::Replace { order: OrderId(1), price: Price(price), quantity: 1 };
        assert_eq!(say(&mut rig, &lines, to(9_9900)).is_empty(), is_in_force);
        assert_eq!(rig.refused(Reason::ShortSalePrice), if is_in_force { 2 } else { 0 });
    }
}

#[test]
fn under_rule_201_what_is_held_is_sold_at_any_price() {
    let (mut rig, lines) = scripted(config(), 1);
    bought(&mut rig, &lines, 0, 100);
    let rule = BookEvent { instrument: 0, code: b'1', ..BookEvent::new(EventKind::ShortSale) };
    rig.feed(&[rule, add(0, 1, Side::Buy, 9_9900, 500)]);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Sell, 9_9900, 101)), []);
    assert_eq!(rig.refused(Reason::ShortSalePrice), 1);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Sell, 9_9900, 100)).len(), 1);
}
