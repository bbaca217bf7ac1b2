//! Planted lies: in each journal the gate, the records or the venue are wrong in one way, and that is what is named.

mod common;

use common::*;
use tern_abi::command::{CommandKind, LimitsOutcome};
use tern_abi::manual::{ManualCommand, ManualStage};
use tern_abi::reconcile::Difference;
use tern_abi::record::{
    ACTION_CANCEL, CONN_DOWN, InstrumentTrustRecord, Kind, OrderEventRecord, OrderRecord, StateRecord, VenueEventKind,
};
use tern_abi::segment::{ScopeKind, TradingState};
use tern_audit::Disagreement as Lie;
use zerocopy::IntoBytes;

const SET_QUANTITY: u32 = 0;

/// What stands for a price in a cross.
const MARKET: i64 = 0x7FFF_FFFF;

/// A buy of 10 at a price in a symbol.
fn priced(id: u32, symbol: &[u8; 8], price: i64) -> OrderRecord {
    OrderRecord { price, symbol: *symbol, ..new(id, BUY, 10) }
}

const LIES: &[Planted] = &[
    ("beyond order_quantity_max", Lie::OrderQuantity, |day| day.order(new(1, BUY, 1001))),
    ("beyond what its symbol may have, after an order beyond what all may", Lie::OrderQuantity, |day| {
        day.order_with(new(1, BUY, 2000), |order| order.symbol = *b"WIDE    ");
        day.order_with(new(2, BUY, 2001), |order| order.symbol = *b"WIDE    ");
    }),
    ("beyond a limit that a command set for all, symbols included", Lie::OrderQuantity, |day| {
        day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
        day.order_with(new(1, BUY, 100), |order| {
            order.symbol = *b"WIDE    ";
            order.limits_epoch = 1;
        });
    }),
    ("no shares", Lie::OrderQuantity, |day| day.order(new(1, BUY, 0))),
    ("beyond order_notional_max", Lie::OrderNotional, |day| {
        day.order_with(new(1, BUY, 1000), |order| order.price = 100_0001);
    }),
    ("a replace above a limit and what it stood for", Lie::OrderQuantity, |day| {
        day.live(new(1, BUY, 500));
        day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
        day.order_with(replace(1, 2, BUY, 501), |order| order.limits_epoch = 1);
    }),
    ("limits of one record heeded in part", Lie::OrderQuantity, |day| {
        day.set_limits(99, 0, LimitsOutcome::Set, 1);
        day.order_with(new(1, BUY, 100), |order| order.limits_epoch = 1);
    }),
    ("limits that the daemon refused in force", Lie::LimitsEpoch, |day| {
        day.set_limits(99, 0, LimitsOutcome::Role, 1);
    }),
    ("limits against another epoch in force", Lie::LimitsEpoch, |day| {
        day.set_limits(99, 7, LimitsOutcome::Set, 8);
    }),
    ("limits that were set not in force", Lie::LimitsEpoch, |day| {
        day.set_limits(99, 0, LimitsOutcome::Set, 0);
    }),
    ("a price of nothing", Lie::OrderPrice, |day| day.order_with(new(1, BUY, 1), |order| order.price = 0)),
    ("a price above the highest", Lie::OrderPrice, |day| {
        day.command(CommandKind::SetLimit, 1, i64::MAX / 2);
        day.order_with(new(1, BUY, 1), |order| {
            order.price = 1_999_999_901;
            order.limits_epoch = 1;
        });
    }),
    ("a tick below the lowest price of its symbol", Lie::PriceBand, |day| day.order(priced(1, b"BAND    ", 8_9999))),
    ("a tick above the highest price of its symbol on the day's list", Lie::PriceBand, |day| {
        day.order(priced(1, b"BAND    ", 10_0001));
    }),
    ("a tick above the highest price of a symbol that the day's list alone has", Lie::PriceBand, |day| {
        day.order(priced(1, b"LISTED  ", 10_5001));
    }),
    ("a replace to a price outside of the bounds", Lie::PriceBand, |day| {
        day.live(priced(1, b"BAND    ", 10_0000));
        day.order(OrderRecord { price: 8_9999, symbol: *b"BAND    ", ..replace(1, 2, BUY, 10) });
    }),
    ("a market order in a symbol with a lowest price", Lie::PriceBand, |day| {
        day.order(OrderRecord { time_in_force: b'2', ..priced(1, b"ABOVE   ", MARKET) });
    }),
    ("no side", Lie::OrderSide, |day| day.order_with(new(1, SELL, 1), |order| order.side = 3)),
    ("long beyond position_max with open orders", Lie::Position, |day| {
        day.live(new(1, BUY, 1000));
        day.order(new(2, BUY, 501));
    }),
    ("short beyond position_max", Lie::Position, |day| {
        day.live(new(1, SELL, 1000));
        day.said(&executed(1, 1000, 7));
        day.order(new(2, SELL, 501));
    }),
    ("buys and sells taken for one sum", Lie::Position, |day| {
        day.live(new(1, BUY, 1000));
        day.live(new(2, SELL, 1000));
        day.order(new(3, BUY, 600));
    }),
    ("a replace beyond position_max", Lie::Position, |day| {
        day.live(new(1, BUY, 1000));
        day.live(new(2, BUY, 500));
        day.order(replace(2, 3, BUY, 501));
    }),
    ("a strategy beyond the position that it may have itself", Lie::StrategyPosition, |day| {
        day.order_with(new(1, BUY, 301), |order| order.strategy = 9);
    }),
    ("an open order too many", Lie::OpenOrders, |day| (1..=5).for_each(|id| day.order(new(id, BUY, 1)))),
    ("the rate", Lie::Rate, |day| {
        for id in 1..=17 {
            day.order(new(id, BUY, 1));
            day.said(&rejected(id));
        }
    }),
    ("an id twice", Lie::IdReused, |day| {
        day.live(new(1, BUY, 10));
        day.said(&canceled(1, 10));
        day.order(new(1, BUY, 10));
    }),
    ("an id below the last", Lie::IdReused, |day| {
        day.live(new(5, BUY, 10));
        day.order(new(4, BUY, 10));
    }),
    ("an id of the run before", Lie::IdReused, |day| {
        day.live(new(5, BUY, 10));
        day.start(2);
        day.log_in(b"SESSION001", 1);
        day.order(new(2, BUY, 10));
    }),
    ("after a kill", Lie::AfterKill, |day| {
        day.command(CommandKind::Kill, 0, 0);
        day.order(new(1, BUY, 10));
    }),
    ("after a kill and a refused resume", Lie::AfterKill, |day| {
        day.command(CommandKind::Kill, 0, 0);
        day.command(CommandKind::Resume, 3, 0);
        day.order(new(1, BUY, 10));
    }),
    ("after a kill and a restart", Lie::AfterKill, |day| {
        day.command(CommandKind::Kill, 0, 0);
        day.start(2);
        day.order(new(1, BUY, 10));
    }),
    ("after a kill, an orderly end and a start that made the segment anew", Lie::AfterKill, |day| {
        day.command(CommandKind::Kill, 0, 0);
        day.command(CommandKind::Shutdown, 0, 0);
        day.start_saying(1, "restarted=1 day=7 journal_seq=3");
        day.reconciled(Difference::Done, 0);
        day.order(new(1, BUY, 10));
    }),
    ("before the venue's log was compared", Lie::Unreconciled, |day| {
        day.start_saying(2, "restarted=1 day=7 journal_seq=3");
        day.record(Kind::State, &[StateRecord { cause_seq: 1, trading: 1, reason: 0 }.as_bytes()]);
        day.order(new(1, BUY, 10));
    }),
    ("with differences that nobody accepted", Lie::Unreconciled, |day| {
        day.start_saying(2, "restarted=1 day=7 journal_seq=3");
        day.reconciled(Difference::Done, 2);
        day.order(new(1, BUY, 10));
    }),
    ("a restart that forgets that its scope was stopped", Lie::ScopeStopped, |day| {
        day.scope(ScopeKind::Firm, 0, TradingState::CancelOnly);
        day.start_saying(2, "restarted=1 day=7 journal_seq=3");
        day.reconciled(Difference::Accepted, 2);
        day.order(new(1, BUY, 10));
    }),
    ("a restart that forgets a limit that was set", Lie::OrderQuantity, |day| {
        day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
        day.start_saying(2, "restarted=1 day=7 journal_seq=3");
        day.reconciled(Difference::Done, 0);
        day.order(new(1, BUY, 100));
    }),
    ("after a shutdown", Lie::AfterKill, |day| {
        day.command(CommandKind::Shutdown, 0, 0);
        day.order(new(1, BUY, 10));
    }),
    ("after its strategy was stopped", Lie::ScopeStopped, |day| {
        let strategy = new(1, BUY, 10).strategy;
        day.scope(ScopeKind::Strategy, strategy.into(), TradingState::Halted);
        day.order(new(1, BUY, 10));
    }),
    ("after its symbol was stopped, and another lifted", Lie::ScopeStopped, |day| {
        day.scope(ScopeKind::Symbol, u64::from_le_bytes(*b"TERN    "), TradingState::CancelOnly);
        day.scope(ScopeKind::Firm, 0, TradingState::Running);
        day.order(new(1, BUY, 10));
    }),
    ("after a halt", Lie::AfterHalt, |day| {
        day.record(Kind::State, &[StateRecord { cause_seq: 1, trading: 0, reason: 4 }.as_bytes()]);
        day.order(new(1, BUY, 10));
    }),
    ("on an untrusted stream", Lie::UntrustedStream, |day| {
        day.trust(false);
        day.order(new(1, BUY, 10));
    }),
    ("on an untrusted book", Lie::UntrustedBook, |day| {
        let trust = InstrumentTrustRecord { symbol: *b"TERN    ", ..InstrumentTrustRecord::default() };
        day.record(Kind::InstrumentTrust, &[trust.as_bytes()]);
        day.order(new(1, BUY, 10));
    }),
    ("caused by nothing", Lie::Cause, |day| day.order_with(new(1, BUY, 10), |order| order.cause_seq = 0)),
    ("caused by what comes later", Lie::Cause, |day| {
        day.order_with(new(1, BUY, 10), |order| order.cause_seq += 2);
    }),
    ("caused by an output", Lie::Cause, |day| {
        day.order(new(1, BUY, 10));
        day.order_with(new(2, BUY, 10), |order| order.cause_seq -= 1);
    }),
    ("a limit change not followed", Lie::OrderQuantity, |day| {
        day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
        day.order_with(new(1, BUY, 100), |order| order.limits_epoch = 1);
    }),
    ("a limit change not counted", Lie::LimitsEpoch, |day| {
        day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
        day.order(new(1, BUY, 10));
    }),
    ("a replace of no order", Lie::ReplaceUnknown, |day| day.order(replace(8, 9, BUY, 10))),
    ("a replace of the other side", Lie::ReplaceUnlike, |day| {
        day.live(new(1, BUY, 10));
        day.order(replace(1, 2, SELL, 10));
    }),
    ("the venue has an order without record", Lie::NoRecord, |day| day.said(&accepted(&new(1, BUY, 10)))),
    ("a trade without record", Lie::NoRecord, |day| day.said(&executed(1, 10, 7))),
    ("other shares left", Lie::EchoQuantity, |day| {
        day.order(new(1, BUY, 10));
        day.said(&accepted(&new(1, BUY, 100)));
    }),
    ("another price left", Lie::EchoPrice, |day| {
        day.order_with(new(1, BUY, 10), |order| order.price = 9_9999);
        day.said(&accepted(&new(1, BUY, 10)));
    }),
    ("a sell left at a lower price", Lie::EchoPrice, |day| {
        day.order_with(new(1, SELL, 10), |order| order.price = 10_0001);
        day.said(&accepted(&new(1, SELL, 10)));
    }),
    ("the other side left", Lie::EchoSide, |day| {
        day.order(new(1, BUY, 10));
        day.said(&accepted(&new(1, SELL, 10)));
    }),
    ("an order left for the continuous market", Lie::EchoCross, |day| {
        day.order_with(new(1, BUY, 10), |order| order.time_in_force = b'7');
        day.said(&accepted(&new(1, BUY, 10)));
    }),
    ("a market order outside of a cross", Lie::OrderPrice, |day| {
        day.order_with(new(1, BUY, 10), |order| order.price = 0x7FFF_FFFF);
    }),
    ("another symbol left", Lie::EchoSymbol, |day| {
        day.order_with(new(1, BUY, 10), |order| order.symbol = *b"OTHER   ");
        day.said(&accepted(&new(1, BUY, 10)));
    }),
    ("a replaced total that is wrong", Lie::ReplaceTotal, |day| {
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 40, 7));
        day.order(replace(1, 2, BUY, 100));
        day.said(&replaced(&replace(1, 2, BUY, 100), 100));
    }),
    ("another order replaced", Lie::ReplaceChain, |day| {
        day.live(new(1, BUY, 100));
        day.live(new(2, BUY, 100));
        day.order(replace(1, 3, BUY, 100));
        day.said(&replaced(&replace(2, 3, BUY, 100), 100));
    }),
    ("more executed than ordered", Lie::OverExecution, |day| {
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 60, 7));
        day.said(&executed(1, 41, 8));
    }),
    ("a break of no trade", Lie::UnknownBreak, |day| {
        day.live(new(1, BUY, 100));
        day.said(&broken(1, 7));
    }),
    ("left although it is said not to have", Lie::LeftAfterAll, |day| {
        day.order(new(1, BUY, 100));
        day.event(1, 0, 0);
        day.said(&accepted(&new(1, BUY, 100)));
    }),
    ("a position that the trades do not make", Lie::PositionClaim, |day| {
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 60, 7));
        day.position(50);
    }),
    ("a position without what was held when the day began", Lie::PositionClaim, |day| {
        *day = Day::opened(1400);
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 60, 7));
        day.position(60);
    }),
    ("beyond position_max with what was held when the day began", Lie::Position, |day| {
        *day = Day::opened(1400);
        day.order(new(1, BUY, 101));
    }),
    ("open shares that the answers do not leave", Lie::LeavesClaim, |day| {
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 60, 7));
        day.event(1, 60, 3);
    }),
    ("an order by hand that nobody wanted", Lie::ByHand, |day| {
        day.record(Kind::Timer, &[]);
        day.sent_by_hand(5, new(1, BUY, 100));
    }),
    ("an order by hand that waits for a second person", Lie::ByHand, |day| {
        day.wish(ManualCommand { stage: ManualStage::Asked as u32, ..wished(5, 100) });
        day.sent_by_hand(5, new(1, BUY, 100));
    }),
    ("an order by hand of more shares than were wanted", Lie::ByHand, |day| {
        day.wish(wished(5, 100));
        day.sent_by_hand(5, new(1, BUY, 101));
    }),
    ("an order by hand to the other side", Lie::ByHand, |day| {
        day.wish(wished(5, 100));
        day.sent_by_hand(5, new(1, SELL, 100));
    }),
    ("an order by hand that waits where one to fill at once was wanted", Lie::ByHand, |day| {
        day.wish(ManualCommand { time_in_force: b'3', ..wished(5, 100) });
        day.sent_by_hand(5, OrderRecord { time_in_force: b'0', ..new(1, BUY, 100) });
    }),
    ("an order by hand that takes where one was to wait", Lie::ByHand, |day| {
        day.wish(ManualCommand { post_only: 1, ..wished(5, 100) });
        day.sent_by_hand(5, new(1, BUY, 100));
    }),
    ("an order by hand that is another strategy's", Lie::ByHand, |day| {
        day.wish(wished(5, 100));
        day.sent_by_hand(5, OrderRecord { strategy: 2, ..new(1, BUY, 100) });
    }),
    ("a flatten that goes through zero", Lie::FlattenTurns, |day| {
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 100, 7));
        day.position(100);
        day.wish(flatten(5));
        day.sent_by_hand(5, new(2, SELL, 101));
    }),
    ("a flatten that forgets what works", Lie::FlattenTurns, |day| {
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 100, 7));
        day.position(100);
        day.live(new(2, SELL, 60));
        day.wish(flatten(5));
        day.sent_by_hand(5, new(3, SELL, 41));
    }),
    ("an adjustment that nobody wanted", Lie::ByHand, |day| {
        day.record(Kind::Timer, &[]);
        day.adjusted(&told_trade(5, BUY, 100));
        day.position(100);
    }),
    ("an adjustment of more shares than were told", Lie::ByHand, |day| {
        day.wish(told_trade(5, BUY, 100));
        day.adjusted(&told_trade(5, BUY, 101));
        day.position(101);
    }),
    ("an adjustment for another strategy", Lie::ByHand, |day| {
        day.wish(ManualCommand { key: 2, ..told_trade(5, BUY, 100) });
        day.adjusted(&told_trade(5, BUY, 100));
        day.position(100);
    }),
    ("a told trade of more shares than an order may have", Lie::OrderQuantity, |day| {
        day.wish(told_trade(5, BUY, 1001));
        day.adjusted(&told_trade(5, BUY, 1001));
        day.position(1001);
    }),
    ("a told trade worth more than an order may be", Lie::OrderNotional, |day| {
        let told = ManualCommand { price: 100_0001, ..told_trade(5, BUY, 1000) };
        day.wish(told);
        day.adjusted(&told);
    }),
    ("a told trade beyond the position", Lie::Position, |day| {
        day.live(new(1, BUY, 1000));
        day.wish(told_trade(5, BUY, 501));
        day.adjusted(&told_trade(5, BUY, 501));
        day.position(501);
    }),
    ("a position without a trade that was told", Lie::PositionClaim, |day| {
        day.wish(told_trade(5, BUY, 100));
        day.adjusted(&told_trade(5, BUY, 100));
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 60, 7));
        day.position(60);
    }),
    ("a record cut short", Lie::RecordUnreadable, |day| day.record(Kind::Order, &[&[0; 20]])),
    ("an order under no limits", Lie::NoLimits, |day| {
        day.record(Kind::Start, &[tern_abi::record::StartRecord::default().as_bytes(), b"limits"]);
        day.order(new(1, BUY, 100));
    }),
];

#[test]
fn every_planted_lie_is_found_and_named_and_nothing_else_is() {
    for (name, lie, plant) in LIES.iter().chain(money::LIES) {
        let mut day = Day::new();
        plant(&mut day);
        let (counts, found) = day.audited();
        assert!(!found.is_empty(), "{name}: not found");
        assert!(found.iter().all(|finding| finding.what == *lie), "{name}: {found:?}");
        assert_eq!(counts.disagreements, found.len() as u64, "{name}");
    }
}

#[test]
fn every_disagreement_has_a_lie_that_shows_it() {
    let missing: Vec<_> =
        Lie::ALL.iter().filter(|what| !LIES.iter().chain(money::LIES).any(|(_, lie, _)| lie == *what)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

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
fn answers_in_pieces_are_read_like_answers_in_one() {
    let mut day = Day::new();
    day.order(new(1, BUY, 10));
    let message = accepted(&new(1, BUY, 11));
    let bytes = [&(message.len() as u16 + 1).to_be_bytes()[..], b"S", &message].concat();
    for piece in bytes.chunks(7) {
        day.bytes(piece);
    }
    let (counts, found) = day.audited();
    assert_eq!(found.iter().map(|finding| finding.what).collect::<Vec<_>>(), [Lie::EchoQuantity]);
    assert_eq!((counts.answers, found[0].expected, found[0].found), (2, 10, 11));
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
