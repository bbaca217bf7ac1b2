//! Order entry: OUCH section 2.

use super::*;
use crate::engine::{IntendedSize, SelfTrade, WrongFill};
use crate::log::{Line, Outcome};
use crate::rng::share_of_percent;

#[test]
fn an_order_is_accepted_shown_and_filled_in_parts() {
    let mut floor = Floor::new();
    floor.enter(0, entry(1, b'B', 500, 100_000));
    assert_eq!(floor.feed(), "A(c1,B500@100000)");
    floor.enter(1, entry(1, b'S', 200, 99_000));
    assert_eq!(floor.feed(), "E(c1,200,c1)", "at the resting price, and nothing of the incoming order is shown");
    assert_eq!(floor.told(), "0:A(1,500) 1:A(1,200) 1:E(1,200@100000,R) 0:E(1,200@100000,A)");
    assert_eq!(floor.holding(0), (200, -200 * 100_000));
    assert_eq!(floor.holding(1), (-200, 200 * 100_000));
    assert_eq!(floor.engine.tally.partial_fills, 1);
}

#[test]
fn a_sweep_takes_best_prices_first_and_rests_with_the_rest() {
    let mut floor = Floor::new();
    floor.add(1, Side::Sell, 100, 100_200);
    floor.add(2, Side::Sell, 100, 100_100);
    floor.add(3, Side::Sell, 100, 100_100);
    floor.feed();
    floor.enter(0, entry(1, b'B', 350, 100_200));
    assert_eq!(floor.feed(), "E(2,100,c1) E(3,100,c2) E(1,100,c3) A(c1,B50@100200)");
}

#[test]
fn immediate_or_cancel_and_post_only_do_not_rest_or_take() {
    let mut floor = Floor::new();
    floor.add(1, Side::Sell, 100, 100_000);
    floor.feed();
    floor.enter(0, Entry { time_in_force: b'3', ..entry(1, b'B', 150, 100_000) });
    assert_eq!(floor.told(), "0:A(1,150) 0:E(1,100@100000,R) 0:C(1,50,I)");
    assert_eq!(floor.feed(), "E(1,100,c1)");
    floor.add(2, Side::Sell, 100, 100_000);
    floor.feed();
    floor.enter(0, Entry { post_only: true, ..entry(2, b'B', 100, 100_000) });
    assert_eq!(floor.told(), "0:A(2,100) 0:C(2,100,G)");
    floor.enter(0, Entry { post_only: true, ..entry(3, b'B', 100, 99_900) });
    assert_eq!(floor.feed(), "A(c3,B100@99900)");
}

#[test]
fn a_minimum_trades_at_once_over_all_that_meets_it_or_not_at_all() {
    let mut floor = Floor::new();
    floor.add(1, Side::Sell, 100, 100_000);
    floor.add(2, Side::Sell, 60, 100_100);
    floor.add(3, Side::Sell, 500, 100_200);
    floor.feed();
    let minimum =
        |user_ref, min_quantity| Entry { time_in_force: b'3', min_quantity, ..entry(user_ref, b'B', 300, 100_100) };
    floor.enter(0, minimum(1, 200));
    assert_eq!((floor.told().as_str(), floor.feed().as_str()), ("0:A(1,300) 0:C(1,300,I)", ""));
    floor.enter(0, minimum(2, 100));
    assert_eq!(floor.told(), "0:A(2,300) 0:E(2,100@100000,R) 0:E(2,60@100100,R) 0:C(2,140,I)");
    for wrong in [minimum(3, 400), minimum(4, 150), Entry { time_in_force: b'0', ..minimum(5, 100) }] {
        floor.enter(0, wrong);
        assert_eq!(floor.told(), format!("0:J({},13)", wrong.user_ref), "{}", wrong.min_quantity);
    }
}

#[test]
fn numbers_that_do_not_increase_are_ignored() {
    let mut floor = Floor::new();
    floor.enter(0, entry(5, b'B', 100, 100_000));
    floor.told();
    floor.enter(0, entry(5, b'B', 100, 100_000));
    floor.enter(0, entry(4, b'B', 100, 100_000));
    assert_eq!(floor.told(), "");
    floor.query(0);
    assert_eq!(floor.told(), "0:Q(6)");
    let outcomes: Vec<Outcome> = floor
        .engine
        .out
        .log
        .iter()
        .filter_map(|line| if let Line::Received { outcome, .. } = line { Some(*outcome) } else { None })
        .collect();
    assert_eq!(outcomes, [Outcome::Done, Outcome::Ignored, Outcome::Ignored, Outcome::Done]);
}

#[test]
fn invalid_orders_are_rejected_with_their_reason_and_use_their_number() {
    let mut floor = Floor::new();
    floor.enter(0, entry(1, b'Z', 100, 100_000));
    floor.enter(0, entry(2, b'B', 0, 100_000));
    floor.enter(0, entry(3, b'B', 1_000_000, 100_000));
    floor.enter(0, entry(4, b'B', 100, 0));
    floor.enter(0, entry(5, b'B', 100, 100_050));
    floor.enter(0, entry(6, b'B', 100, 0x7FFF_FFFF));
    floor.enter(0, Entry { display: b'Z', ..entry(7, b'B', 100, 100_000) });
    floor.enter(0, Entry { cross: b'E', ..entry(8, b'B', 100, 100_000) });
    floor.query(0);
    assert_eq!(floor.told(), "0:J(1,9) 0:J(2,19) 0:J(3,19) 0:J(4,29) 0:J(5,29) 0:J(6,29) 0:J(7,3) 0:J(8,20) 0:Q(9)");
    assert_eq!(floor.feed(), "");
}

#[test]
fn a_replace_counts_executions_in_its_total_and_loses_its_place() {
    let mut floor = Floor::new();
    floor.enter(0, entry(1, b'B', 500, 100_000));
    floor.add(9, Side::Buy, 100, 100_000);
    floor.execute(9, 100, 1);
    floor.feed();
    floor.told();
    // 100 were executed: a total of 500 leaves 400.
    floor.replace(0, 1, entry(2, b'B', 500, 100_000));
    assert_eq!(floor.told(), "0:U(1,2,400)");
    assert_eq!(floor.feed(), "U(c1,c2,400@100000)");
    floor.enter(1, entry(1, b'B', 50, 100_000));
    floor.replace(0, 2, entry(3, b'B', 300, 100_000));
    let queue: Vec<u64> = floor.engine.book.side(1, Side::Buy, false).iter().map(|order| order.shares.into()).collect();
    assert_eq!(queue, [50, 200], "a replace goes last even when only the size shrinks");
}

#[test]
fn a_replace_that_crosses_trades() {
    let mut floor = Floor::new();
    floor.add(1, Side::Sell, 100, 100_000);
    floor.enter(0, entry(1, b'B', 150, 99_000));
    floor.feed();
    floor.told();
    floor.replace(0, 1, entry(2, b'B', 150, 100_000));
    assert_eq!(floor.feed(), "D(c1) E(1,100,c1) A(c2,B50@100000)");
    assert_eq!(floor.told(), "0:U(1,2,150) 0:E(2,100@100000,R)");
}

#[test]
fn late_replaces_and_superfluous_cancels_are_silent() {
    let mut floor = Floor::new();
    floor.enter(0, entry(1, b'B', 100, 100_000));
    floor.enter(1, entry(1, b'S', 100, 100_000));
    floor.told();
    floor.feed();
    floor.replace(0, 1, entry(2, b'B', 200, 100_000));
    floor.cancel(0, 1, 0);
    floor.cancel(0, 77, 0);
    floor.modify(0, 1, b'B', 10);
    assert_eq!((floor.told(), floor.feed()), (String::new(), String::new()));
    // The number of the late replace was not used up.
    floor.enter(0, entry(2, b'B', 100, 99_000));
    assert_eq!(floor.told(), "0:A(2,100)");
}

#[test]
fn an_invalid_replace_cancels_and_leaves_its_number_free() {
    let mut floor = Floor::new();
    floor.enter(0, entry(1, b'B', 100, 100_000));
    floor.told();
    floor.replace(0, 1, entry(2, b'B', 1_000_000, 100_000));
    assert_eq!(floor.told(), "0:C(1,100,U)");
    floor.enter(0, entry(2, b'B', 100, 100_000));
    floor.cancel(0, 2, 60);
    floor.told();
    // Nothing executed, 40 canceled by the user: these do not count, a total of 1 is valid.
    floor.replace(0, 2, entry(3, b'B', 1, 100_000));
    assert_eq!(floor.told(), "0:U(2,3,1)");
}

#[test]
fn a_total_at_what_was_executed_leaves_nothing() {
    let mut floor = Floor::new();
    floor.enter(0, entry(1, b'B', 100, 100_000));
    floor.enter(1, entry(1, b'S', 60, 100_000));
    floor.told();
    floor.replace(0, 1, entry(2, b'B', 60, 100_000));
    assert_eq!(floor.told(), "0:C(1,40,U)");
}

#[test]
fn a_cancel_reduces_in_place_or_ends_the_order() {
    let mut floor = Floor::new();
    floor.enter(0, entry(1, b'B', 100, 100_000));
    floor.enter(1, entry(1, b'B', 100, 100_000));
    floor.feed();
    floor.told();
    floor.cancel(0, 1, 70);
    floor.cancel(0, 1, 80);
    assert_eq!(floor.feed(), "X(c1,30)");
    assert_eq!(floor.told(), "0:C(1,30,U)");
    assert_eq!(floor.engine.book.front(1, Side::Buy).map(|order| order.shares), Some(70), "still first");
    floor.cancel(0, 1, 0);
    assert_eq!(floor.feed(), "D(c1)");
    assert_eq!(floor.told(), "0:C(1,70,U)");
}

#[test]
fn intended_sizes_bound_the_chain_or_the_order() {
    for (intended_size, left) in [(IntendedSize::Chain, 20), (IntendedSize::Order, 80)] {
        let mut floor = Floor::with(Rules { intended_size, ..Rules::default() });
        floor.enter(0, entry(1, b'B', 100, 100_000));
        floor.enter(1, entry(1, b'S', 60, 100_000));
        floor.replace(0, 1, entry(2, b'B', 200, 100_000));
        floor.cancel(0, 2, 80);
        assert_eq!(floor.engine.book.front(1, Side::Buy).map(|order| order.shares), Some(left));
    }
}

#[test]
fn modify_keeps_the_place_unless_it_grows() {
    let mut floor = Floor::new();
    floor.enter(0, entry(1, b'S', 100, 100_000));
    floor.enter(1, entry(1, b'S', 100, 100_000));
    floor.feed();
    floor.told();
    floor.modify(0, 1, b'T', 50);
    assert_eq!((floor.told().as_str(), floor.feed().as_str()), ("0:M(1,T50)", "X(c1,50)"));
    assert_eq!(floor.engine.book.front(1, Side::Sell).map(|order| order.shares), Some(50));
    floor.modify(0, 1, b'S', 40);
    assert_eq!(floor.told(), "", "from short to long is not allowed");
    floor.modify(0, 1, b'T', 90);
    assert_eq!((floor.told().as_str(), floor.feed().as_str()), ("0:M(1,T90) 0:T(1,c3)", "U(c1,c3,90@100000)"));
    assert_eq!(floor.engine.book.front(1, Side::Sell).map(|order| order.shares), Some(100), "the other one is first");
    floor.modify(0, 1, b'T', 0);
    assert_eq!(floor.told(), "0:C(1,90,U)");
}

#[test]
fn hidden_orders_trade_unseen_and_behind_displayed_ones() {
    let mut floor = Floor::new();
    floor.enter(0, Entry { display: b'N', ..entry(1, b'B', 100, 100_000) });
    assert_eq!(floor.feed(), "");
    floor.add(1, Side::Buy, 100, 100_000);
    floor.feed();
    floor.enter(1, entry(1, b'S', 150, 100_000));
    assert_eq!(floor.feed(), "E(1,100,c1) P(50@100000)");
    floor.cancel(0, 1, 0);
    assert_eq!(floor.feed(), "", "a hidden order leaves unseen");
}

#[test]
fn self_trades_are_allowed_or_prevented() {
    let cases = [
        (SelfTrade::Allow, "0:E(2,60@100000,R) 0:E(1,60@100000,A)"),
        (SelfTrade::CancelOldest, "0:D(1,100,60)"),
        (SelfTrade::CancelNewest, "0:D(2,60,60)"),
        (SelfTrade::Decrement, "0:D(1,60,60) 0:D(2,60,60)"),
    ];
    for (self_trade, expected) in cases {
        let mut floor = Floor::with(Rules { self_trade, ..Rules::default() });
        floor.enter(0, entry(1, b'B', 100, 100_000));
        floor.told();
        floor.feed();
        floor.enter(0, entry(2, b'S', 60, 100_000));
        assert_eq!(floor.told(), format!("0:A(2,60) {expected}"), "{self_trade:?}");
        let feed = floor.feed();
        match self_trade {
            SelfTrade::Allow => assert_eq!(feed, "E(c1,60,c1)"),
            SelfTrade::CancelOldest => assert_eq!(feed, "D(c1) A(c2,S60@100000)"),
            SelfTrade::CancelNewest => assert_eq!(feed, ""),
            SelfTrade::Decrement => assert_eq!(feed, "X(c1,60)"),
        }
        assert_eq!(floor.holding(0), (0, 0));
    }
}

#[test]
fn broken_trades_are_told_to_both_sides_and_undone() {
    let mut floor = Floor::with(Rules { break_share: share_of_percent(100.0), ..Rules::default() });
    floor.enter(0, entry(1, b'B', 100, 100_000));
    floor.enter(1, entry(1, b'S', 100, 100_000));
    floor.told();
    floor.feed();
    floor.wait(1_000_000_000);
    assert_eq!(floor.feed(), "B(c1)");
    assert_eq!(floor.told(), "1:B(1) 0:B(1)");
    assert_eq!((floor.holding(0), floor.holding(1)), ((0, 0), (0, 0)));
    assert_eq!(floor.engine.tally.breaks, 2);
}

#[test]
fn orders_expire_and_go_with_their_connection() {
    let mut floor = Floor::with(Rules { cancel_on_disconnect: true, ..Rules::default() });
    floor.enter(0, entry(1, b'B', 100, 100_000));
    floor.enter(1, entry(1, b'B', 100, 100_000));
    floor.told();
    floor.engine.on_disconnect(0);
    assert_eq!(floor.told(), "0:C(1,100,Z)");
    floor.engine.end_day();
    assert_eq!(floor.told(), "1:C(1,100,T) 0:S(E) 1:S(E)");
    floor.enter(1, entry(2, b'B', 100, 100_000));
    assert_eq!(floor.told(), "1:J(2,2)");
}

#[test]
fn a_wrong_fill_is_planted_on_one_side_only() {
    for wrong in [WrongFill::Log, WrongFill::Client] {
        let mut floor = Floor::with(Rules { wrong_fill: Some(wrong), ..Rules::default() });
        floor.add(1, Side::Sell, 500, 100_000);
        floor.enter(0, entry(1, b'B', 100, 100_000));
        let logged = floor.engine.out.log.iter().find_map(|line| match line {
            Line::Execution { shares, .. } => Some(*shares),
            _ => None,
        });
        let told = floor.told();
        assert_eq!(told.contains("E(1,101@"), wrong == WrongFill::Client, "{told}");
        assert_eq!(logged, Some(if wrong == WrongFill::Log { 101 } else { 100 }));
    }
}

#[test]
fn garbage_is_logged_as_malformed() {
    let mut floor = Floor::new();
    floor.engine.on_client_message(0, b"O\0\0");
    floor.engine.on_client_message(0, b"");
    floor.engine.on_client_message(9, b"Q");
    assert_eq!(floor.told(), "");
    assert_eq!(floor.engine.tally.received, 2);
    assert!(
        matches!(&floor.engine.out.log[0], Line::Received { outcome: Outcome::Malformed, raw, .. } if raw == "4f0000")
    );
}
