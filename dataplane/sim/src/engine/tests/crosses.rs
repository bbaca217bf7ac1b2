//! Crosses, and what waits for them.

use super::*;
use crate::engine::{Clearing, Interest, WhileHalted, clear};

fn interest(side: Side, limit: u32, shares: u64) -> Interest {
    Interest { side, limit, shares }
}

#[test]
fn the_price_with_the_most_volume_clears() {
    let orders = [
        interest(Side::Buy, u32::MAX, 100),
        interest(Side::Buy, 102, 200),
        interest(Side::Buy, 100, 300),
        interest(Side::Sell, 99, 150),
        interest(Side::Sell, 101, 200),
        interest(Side::Sell, 0, 50),
    ];
    // At 101 and 102: 300 buy, 400 sell. At 100 or 99: 600 buy, 200 sell.
    assert_eq!(clear(&orders, 0), Some(Clearing { price: 101, shares: 300 }));
    assert_eq!(clear(&orders, 102), Some(Clearing { price: 102, shares: 300 }), "the reference decides among equals");
    assert_eq!(clear(&orders[..3], 100), None, "one side alone does not trade");
    let markets = [interest(Side::Buy, u32::MAX, 10), interest(Side::Sell, 0, 10)];
    assert_eq!(clear(&markets, 0), None, "nothing gives a price");
    assert_eq!(clear(&markets, 55), Some(Clearing { price: 55, shares: 10 }));
    let balanced = [interest(Side::Buy, 105, 100), interest(Side::Sell, 100, 100), interest(Side::Sell, 104, 50)];
    assert_eq!(clear(&balanced, 104).map(|c| c.price), Some(100), "least imbalance comes before the reference");
}

fn before_the_open() -> Floor {
    let mut floor = Floor::new();
    for event in [b'O', b'S'] {
        floor.event(event);
    }
    floor.told();
    floor.feed();
    floor
}

#[test]
fn the_opening_cross_fills_waiting_orders_at_one_price() {
    let mut floor = before_the_open();
    floor.add(1, Side::Buy, 100, 99_900);
    floor.add(2, Side::Sell, 100, 100_100);
    floor.enter(0, Entry { cross: b'O', ..entry(1, b'B', 300, 0x7FFF_FFFF) });
    floor.enter(0, Entry { cross: b'O', ..entry(2, b'B', 300, 99_000) });
    floor.enter(1, entry(1, b'S', 500, 100_000));
    assert_eq!(floor.feed(), "A(1,B100@99900) A(2,S100@100100)", "orders that wait are not displayed");
    assert_eq!(floor.told(), "0:A(1,300) 0:A(2,300) 1:A(1,500)");
    floor.event(b'Q');
    floor.cross(b'O', 1_000, 100_000);
    // 1,300 to buy at 100,000, 1,500 to sell; the client's sell came first at its price.
    assert_eq!(floor.told(), "0:E(1,300@100000,O) 1:E(1,500@100000,O) 0:C(2,300,T)");
    assert_eq!(floor.feed(), "S Q(1300@100000,O)");
    floor.enter(0, entry(3, b'B', 10, 99_000));
    assert_eq!(floor.feed(), "A(c4,B10@99000)", "the continuous market is open");
    floor.enter(0, Entry { cross: b'O', ..entry(4, b'B', 10, 99_000) });
    assert_eq!(floor.told(), "0:A(3,10) 0:J(4,20)", "too late for the opening");
}

#[test]
fn displayed_orders_take_part_in_a_cross() {
    let mut floor = before_the_open();
    floor.add(1, Side::Sell, 100, 100_000);
    floor.add(2, Side::Sell, 100, 100_100);
    floor.feed();
    floor.enter(0, Entry { cross: b'O', ..entry(1, b'B', 150, 100_100) });
    floor.cross(b'O', 0, 0);
    assert_eq!(floor.feed(), "C(1,100@100100,N) C(2,50@100100,N) Q(150@100100,O)");
    assert_eq!(floor.holding(0), (150, -150 * 100_100));
}

#[test]
fn day_orders_that_waited_join_the_market_after_the_cross() {
    let mut floor = before_the_open();
    floor.enter(0, entry(1, b'B', 100, 100_000));
    floor.enter(0, Entry { time_in_force: b'5', ..entry(2, b'B', 100, 99_000) });
    assert_eq!(floor.feed(), "A(c2,B100@99000)", "an extended-hours order rests at once");
    floor.event(b'Q');
    floor.cross(b'O', 0, 0);
    assert_eq!(floor.feed(), "S Q(0@0,O) A(c1,B100@100000)");
}

#[test]
fn symbols_without_a_cross_open_after_a_while() {
    let mut floor = before_the_open();
    floor.enter(0, entry(1, b'B', 100, 100_000));
    floor.event(b'Q');
    floor.feed();
    floor.wait(4_000_000_000);
    assert_eq!(floor.feed(), "");
    floor.wait(2_000_000_000);
    assert_eq!(floor.feed(), "A(c1,B100@100000)");
}

#[test]
fn in_the_late_period_cancels_wait_and_replaces_are_rejected() {
    let mut floor = before_the_open();
    for user_ref in 1..=3 {
        floor.enter(0, Entry { cross: b'O', ..entry(user_ref, b'B', 100, 100_000) });
    }
    floor.imbalance(b'O');
    floor.told();
    floor.cancel(0, 1, 0);
    floor.cancel(0, 1, 0);
    floor.cancel(0, 2, 50);
    floor.cancel(0, 2, 50);
    floor.replace(0, 3, entry(4, b'B', 200, 100_000));
    floor.query(0);
    assert_eq!(floor.told(), "0:P(1) 0:I(2) 0:J(4,21) 0:Q(5)", "each said once; the replacement's number is used up");
    floor.cross(b'O', 0, 0);
    assert_eq!(floor.told(), "0:C(1,100,U) 0:C(2,100,T) 0:C(3,100,T)");
}

#[test]
fn a_pending_cancel_does_not_keep_an_order_out_of_its_cross() {
    let mut floor = before_the_open();
    floor.enter(0, Entry { cross: b'O', ..entry(1, b'B', 300, 100_000) });
    floor.imbalance(b'O');
    floor.cancel(0, 1, 0);
    floor.told();
    floor.enter(1, Entry { cross: b'O', ..entry(1, b'S', 100, 100_000) });
    floor.cross(b'O', 0, 0);
    assert_eq!(floor.told(), "1:A(1,100) 0:E(1,100@100000,O) 1:E(1,100@100000,O) 0:C(1,200,U)");
}

#[test]
fn the_closing_cross_ends_the_day_for_day_orders() {
    let mut floor = Floor::new();
    floor.enter(0, Entry { cross: b'C', ..entry(1, b'S', 100, 0x7FFF_FFFF) });
    floor.enter(0, entry(2, b'B', 100, 90_000));
    floor.told();
    floor.event(b'M');
    floor.cross(b'C', 500, 100_000);
    assert_eq!(floor.told(), "0:E(1,100@100000,C) 0:C(2,100,T)");
    floor.enter(0, entry(3, b'B', 100, 90_000));
    assert_eq!(floor.told(), "0:A(3,100) 0:C(3,100,E)", "received after the close");
    floor.event(b'E');
    assert_eq!(floor.told(), "0:S(E) 1:S(E)");
    floor.enter(0, entry(4, b'B', 100, 90_000));
    assert_eq!(floor.told(), "0:J(4,2)");
}

#[test]
fn held_orders_meet_when_a_halt_ends() {
    let mut floor = Floor::with(Rules { while_halted: WhileHalted::Hold, ..Rules::default() });
    floor.trading(b'H');
    floor.feed();
    floor.enter(0, entry(1, b'B', 100, 100_000));
    floor.enter(1, entry(1, b'S', 60, 99_000));
    assert_eq!(floor.feed(), "");
    floor.told();
    floor.trading(b'T');
    assert_eq!(floor.feed(), "H(T) Q(60@99000,H) A(c1,B40@100000)");
    assert_eq!(floor.told(), "0:E(1,60@99000,K) 1:E(1,60@99000,K)");
}

#[test]
fn a_cross_in_a_halt_comes_before_the_resumption() {
    let mut floor = Floor::with(Rules { while_halted: WhileHalted::Hold, ..Rules::default() });
    floor.trading(b'H');
    floor.enter(0, Entry { cross: b'H', ..entry(1, b'B', 100, 100_000) });
    floor.enter(0, entry(2, b'B', 100, 95_000));
    floor.feed();
    floor.told();
    floor.cross(b'H', 400, 99_000);
    assert_eq!(floor.feed(), "Q(400@99000,H)");
    assert_eq!(floor.told(), "0:E(1,100@99000,K)");
    floor.trading(b'T');
    assert_eq!(floor.feed(), "H(T) A(c2,B100@95000)");
}

#[test]
fn accounts_are_told_of_the_day_once() {
    let mut floor = Floor::new();
    floor.event(b'O');
    floor.engine.on_login(0);
    assert_eq!(floor.told(), "");
    floor.event(b'S');
    assert_eq!(floor.told(), "0:S(S) 1:S(S)");
    floor.engine.on_login(0);
    assert_eq!(floor.told(), "");
}
