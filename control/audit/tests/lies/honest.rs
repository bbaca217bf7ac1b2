//! Days without a lie, at the edge of what may be: nothing is found.

use super::{SET_QUANTITY, priced};
use crate::common::{
    BUY, Day, SELL, accepted, broken, canceled, executed, flatten, money, new, rejected, replace, replaced, said,
    told_trade, wished,
};
use tern_abi::command::{CommandKind, LimitsOutcome};
use tern_abi::reconcile::Difference;
use tern_abi::record::{ACTION_CANCEL, CONN_DOWN, Kind, OrderEventRecord, OrderRecord, VenueEventKind};
use tern_abi::segment::{ScopeKind, TradingState};
use zerocopy::IntoBytes;

#[test]
fn what_was_wanted_by_hand_and_a_flatten_of_all_that_is_held_are_no_lies() {
    let mut day = Day::new();
    day.wish(wished(5, 100));
    day.sent_by_hand(5, new(1, BUY, 100));
    day.said(&accepted(&new(1, BUY, 100)));
    day.said(&executed(1, 100, 7));
    day.position(100);
    day.live(new(2, SELL, 60));
    day.wish(flatten(6));
    day.sent_by_hand(6, new(3, SELL, 40));
    let (counts, found) = day.audited();
    assert_eq!((counts.orders, found), (3, [].into()));
}

#[test]
fn a_trade_that_was_told_counts_in_its_place_also_when_another_is_broken() {
    let mut day = Day::new();
    day.live(new(1, BUY, 200));
    day.said(&executed(1, 100, 7));
    day.position(100);
    day.wish(told_trade(5, SELL, 30));
    day.adjusted(&told_trade(5, SELL, 30));
    day.position(70);
    day.said(&executed(1, 100, 8));
    day.position(170);
    day.said(&broken(1, 7));
    day.position(70);
    let (counts, found) = day.audited();
    assert_eq!(found, [], "{counts:?}");
}

#[test]
fn at_the_ends_of_a_symbols_bounds_it_agrees() {
    let mut day = Day::new();
    for (id, symbol, price) in
        [(1, b"BAND    ", 9_0000), (2, b"BAND    ", 10_0000), (3, b"LISTED  ", 10_5000), (4, b"ABOVE   ", 1_000_000)]
    {
        day.order(priced(id, symbol, price));
    }
    let (counts, found) = day.audited();
    assert_eq!((counts.orders, found), (4, [].into()));
    let mut day = money::day();
    money::refused_at(&mut day, 11_0001, 11_0000);
    let (counts, found) = day.audited();
    assert_eq!((counts.orders, found), (1, [].into()));
}

#[test]
fn on_the_edge_of_every_limit_and_through_a_whole_life_it_agrees() {
    let mut day = Day::new();
    day.live(new(1, BUY, 1000));
    day.live(new(2, BUY, 500));
    day.said(&executed(1, 400, 7));
    day.event(1, 600, 4);
    day.position(400);
    // Fewer shares are a way out; the venue takes the total of the chain.
    day.order(replace(1, 3, BUY, 500));
    day.said(&replaced(&replace(1, 3, BUY, 500), 100));
    day.said(&executed(3, 100, 8));
    day.event(3, 0, 6);
    day.position(500);
    day.said(&broken(1, 7));
    day.position(100);
    day.said(&canceled(2, 500));
    day.command(CommandKind::Kill, 0, 0);
    day.command(CommandKind::Resume, 0, 0);
    day.scope(ScopeKind::Symbol, u64::from_le_bytes(*b"TERN    "), TradingState::Halted);
    day.scope(ScopeKind::Symbol, u64::from_le_bytes(*b"TERN    "), TradingState::Running);
    day.scope(ScopeKind::Symbol, u64::from_le_bytes(*b"OTHER   "), TradingState::Halted);
    day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
    day.order_with(new(4, SELL, 99), |order| order.limits_epoch = 1);
    day.said(&rejected(4));
    // Refused, of another epoch, then all at once.
    day.set_limits(10, 1, LimitsOutcome::Role, 1);
    day.set_limits(10, 0, LimitsOutcome::Set, 1);
    day.set_limits(99, 1, LimitsOutcome::Set, 2);
    // The connection goes with an order on its way, which never arrived; the log is told again and says nothing new.
    day.order_with(new(5, BUY, 99), |order| order.limits_epoch = 2);
    day.conn(CONN_DOWN);
    day.log_in(b"SESSION001", 2);
    day.said(&accepted(&new(1, BUY, 1000)));
    day.said(&accepted(&new(2, BUY, 500)));
    day.event(1, 1000, 2);
    // A restart: the venue's log from its start, then an order with the next id.
    day.start(2);
    day.trust(true);
    day.log_in(b"SESSION001", 1);
    for _ in 0..9 {
        day.query();
    }
    day.query();
    day.tai_ns += 2_000_000_000;
    day.live(new(6, SELL, 1000));
    // The next day counts its ids from one.
    day.start(1);
    day.log_in(b"SESSION002", 1);
    day.query();
    day.live(new(1, BUY, 1000));
    let (counts, found) = day.audited();
    assert_eq!(found, []);
    assert_eq!((counts.orders, counts.disagreements), (7, 0));
}

/// Of a trade broken under an id that was replaced since, the data plane has no order to speak of.
#[test]
fn an_event_about_no_order_claims_nothing() {
    let mut day = Day::new();
    day.live(new(1, BUY, 100));
    day.said(&executed(1, 30, 7));
    day.order(replace(1, 2, BUY, 100));
    day.said(&replaced(&replace(1, 2, BUY, 100), 70));
    day.said(&broken(1, 7));
    let unknown = OrderEventRecord { order: 1, session_seq: 9, state: u8::MAX, ..OrderEventRecord::default() };
    day.record(Kind::OrderEvent, &[unknown.as_bytes()]);
    day.position(0);
    assert_eq!(day.audited().1, []);
}

/// A fill and the replacement in one packet of TCP: what the first said of the order is not true any more at its end.
#[test]
fn two_answers_in_one_input_are_compared_with_what_the_last_leaves() {
    let mut day = Day::new();
    day.live(new(1, BUY, 100));
    day.order(replace(1, 2, BUY, 120));
    day.said_together(&[&executed(1, 30, 7), &replaced(&replace(1, 2, BUY, 120), 90)]);
    day.event(1, 70, 3);
    day.event(2, 90, 4);
    assert_eq!(day.audited().1, []);
}

#[test]
fn a_limit_below_what_an_order_stands_for_lets_it_be_made_smaller() {
    let mut day = Day::new();
    day.live(new(1, BUY, 500));
    day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
    day.order_with(replace(1, 2, BUY, 400), |order| order.limits_epoch = 1);
    day.said(&replaced(&replace(1, 2, BUY, 400), 400));
    assert_eq!(day.audited().1, []);
}

#[test]
fn market_orders_for_a_cross_partial_cancels_and_silence_are_no_lies() {
    let mut day = Day::new();
    let market = OrderRecord { price: 0x7FFF_FFFF, time_in_force: b'2', ..new(1, SELL, 100) };
    day.live(market);
    let part = OrderRecord { action: ACTION_CANCEL, quantity: 60, ..market };
    day.order(part);
    day.event_of(VenueEventKind::Unanswered, 1, 100);
    day.said(&canceled(1, 40));
    day.event(1, 60, 3);
    day.said(&executed(1, 60, 7));
    day.position(-60);
    // An order that is not answered is open for all that.
    day.order(new(2, BUY, 10));
    day.event_of(VenueEventKind::Unanswered, 2, 10);
    day.said(&accepted(&new(2, BUY, 10)));
    assert_eq!(day.audited().1, []);
}

#[test]
fn a_strategy_that_acts_on_the_first_of_several_answers_is_no_liar() {
    let mut day = Day::new();
    day.live(new(1, BUY, 500));
    day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
    // Both trades come in one piece; the replace was approved after the first.
    let both = [said(&executed(1, 100, 7)), said(&executed(1, 300, 8))].concat();
    let cause = day.bytes(&both);
    day.output_order(OrderRecord { cause_seq: cause, limits_epoch: 1, ..replace(1, 2, BUY, 500) });
    assert_eq!(day.audited().1, []);
}

#[test]
fn trades_are_remembered_up_to_a_number_and_of_an_older_one_the_position_is_believed() {
    const KEPT: u64 = 262_144;
    let mut day = Day::new();
    day.live(new(1, BUY, 1000));
    day.said(&executed(1, 10, 1));
    day.position(10);
    let mut audit = tern_audit::Audit::new();
    for (header, body) in day.records() {
        audit.record(header, body);
    }
    // So many more that the first is forgotten, straight into it: a journal of them would be large.
    let seq = day.records().len() as u64;
    for number in 0..KEPT {
        let body = [&[1, 0, 0, 0, 0, 0, 0, 0][..], &said(&executed(1, 0, 2 + number))].concat();
        let kind = Kind::SessionBytes as u16;
        let header = tern_abi::record::RecordHeader {
            seq: seq + 1 + number,
            kind,
            body_bytes: body.len() as u32,
            ..Default::default()
        };
        audit.record(&header, &body);
    }
    assert_eq!(audit.counts().trades_kept, KEPT, "no more than that");
    let mut after = Day::new();
    after.said(&broken(1, 1));
    after.position(0);
    for (header, body) in after.records().iter().skip(Day::new().records().len()) {
        let header = tern_abi::record::RecordHeader { seq: header.seq + seq + KEPT, ..*header };
        audit.record(&header, body);
    }
    audit.finish();
    assert_eq!(audit.take_found(), [], "what is forgotten is no lie");
    assert_eq!(audit.counts().breaks_believed, 1);
}

#[test]
fn what_was_held_when_the_day_began_is_in_positions_once_in_every_run_of_the_day() {
    let mut day = Day::opened(1400);
    day.live(new(1, BUY, 100));
    day.said(&executed(1, 60, 7));
    day.position(1460);
    // The same day again, and then with another file that an operator accepted.
    for (run, held) in [(2, 1400), (3, 1000)] {
        day.start_opened(run, held);
        day.trust(true);
        day.log_in(b"SESSION001", 1);
        day.query();
        day.reconciled(Difference::Accepted, 1);
        day.position(held + 60);
    }
    // Another day begins with its own.
    day.start_opened(4, -5);
    day.trust(true);
    day.log_in(b"SESSION002", 1);
    day.query();
    day.reconciled(Difference::Done, 0);
    day.live(new(1, SELL, 100));
    day.said(&executed(1, 10, 7));
    day.position(-15);
    let (_, found) = day.audited();
    assert!(found.is_empty(), "{found:?}");
}
