//! What people do by hand: through the same gate, told to whoever asked, and a flatten that only reduces.

use super::{Ask, Two, limit, say, two, two_with};
use crate::input::{ConnEvent, Input};
use crate::opening::OpeningPosition;
use crate::pipeline::Config;
use crate::probe::NotIsolated;
use crate::risk::{LimitId, Reason};
use crate::session::{OrderAction, VenueEventKind};
use crate::strategy::TradingState;
use crate::testing::{Rig, Script, Sent, accepted, add, config, executed, new, told, trading};
use crate::units::{OrderId, Price, Side, StrategyId, Symbol, TaiNs};
use alloc::vec::Vec;
use proptest::prelude::*;
use tern_abi::command::{Command, CommandKind};
use tern_abi::event::{BookEvent, EventKind, SIDE_BUY, SIDE_SELL};
use tern_abi::manual::{ManualCommand, ManualKind, ManualOutcome, ManualRecord, ManualStage};
use tern_abi::record::{Kind, OrderRecord, RefusalRecord};
use tern_abi::segment::ScopeKind;

/// The second strategy owns what people send.
fn by_hand() -> Config {
    Config { by_hand: Some(StrategyId(2)), ..config() }
}

fn wish(what: ManualKind, request: u64) -> ManualCommand {
    ManualCommand::new(what, request, 1000, "a test")
}

fn order(request: u64, side: u8, price: i64, quantity: u32) -> ManualCommand {
    let symbol = Symbol::new("S0").expect("a symbol").0;
    ManualCommand { symbol, side, price, quantity, time_in_force: b'0', ..wish(ManualKind::Order, request) }
}

fn flatten(request: u64, (kind, key): (ScopeKind, u64)) -> ManualCommand {
    ManualCommand { scope: kind as u32, key, within_ms: 1000, ..wish(ManualKind::Flatten, request) }
}

const FIRM: (ScopeKind, u64) = (ScopeKind::Firm, 0);

/// Gives a wish; what came of it so far, and what leaves.
fn give(rig: &mut Rig<Two>, wish: &ManualCommand) -> (Vec<ManualOutcome>, Vec<Sent>) {
    rig.input(Input::Manual(wish));
    (outcomes(rig, wish.request), rig.sent())
}

fn records(rig: &Rig<Two>, request: u64) -> Vec<ManualRecord> {
    let all: Vec<ManualRecord> = rig.rec.all(Kind::ManualOutcome);
    all.into_iter().filter(|record| record.request == request).collect()
}

fn outcomes(rig: &Rig<Two>, request: u64) -> Vec<ManualOutcome> {
    let outcome = |record: &ManualRecord| ManualOutcome::from_index(record.outcome as usize).expect("one of them");
    records(rig, request).iter().map(outcome).collect()
}

/// The loop comes back when it is due, at most a tenth of a second later; what leaves.
fn later(rig: &mut Rig<Two>) -> Vec<Sent> {
    let due = rig.pipeline.next_deadline();
    rig.now = rig.now.plus(100_000_000).min(due.max(rig.now));
    rig.input(Input::Timer);
    rig.sent()
}

/// A strategy bought, or sold short, so many shares at 10.0000.
fn holds(rig: &mut Rig<Two>, lines: &super::Lines, instrument: u32, side: Side, quantity: u32) {
    let sent = say(rig, lines, new(instrument, side, 10_0000, quantity));
    let [OrderAction::New { order: OrderId(id) }] = sent[..] else { panic!("{sent:?}") };
    rig.venue(accepted(id, quantity, 10_0000));
    rig.venue(executed(id, quantity, 10_0000, id.into()));
}

/// Both sides of the market of an instrument: 9.9900 to 10.0100, a thousand shares each.
fn quoted(rig: &mut Rig<Two>, instrument: u32) {
    let reference = u64::from(instrument) * 10 + 1000;
    rig.feed(&[
        add(instrument, reference, Side::Buy, 9_9900, 1000),
        add(instrument, reference + 1, Side::Sell, 10_0100, 1000),
    ]);
}

fn position(rig: &Rig<Two>, owner: usize) -> i64 {
    rig.pipeline.desk().portfolio().position(owner, crate::units::InstrumentId(0)).shares
}

#[test]
fn an_order_by_hand_passes_the_gate_and_is_the_desks_own() {
    let (mut rig, _) = two_with(by_hand());
    let seq = rig.rec.records.len() as u64 + 1;
    let (told, sent) = give(&mut rig, &order(7, SIDE_BUY, 9_9900, 100));
    assert_eq!(told, [ManualOutcome::Sent]);
    let sent = sent[0];
    assert_eq!((sent.side, sent.price, sent.quantity, sent.strategy), (Side::Buy, Price(9_9900), 100, StrategyId(2)));
    let kinds: Vec<Kind> = rig.rec.records.iter().skip(seq as usize - 1).map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Manual, Kind::Order, Kind::ManualOutcome], "recorded before it leaves");
    let record = rig.rec.all::<OrderRecord>(Kind::Order)[0];
    assert_eq!((record.strategy, record.trader, record.cause_seq, record.order), (2, 72, seq, 1));
    assert_eq!(records(&rig, 7)[0], ManualRecord { cause_seq: seq, request: 7, order: 1, ..records(&rig, 7)[0] });
    rig.venue(accepted(1, 100, 9_9900));
    rig.venue(executed(1, 100, 9_9900, 5));
    assert_eq!((position(&rig, 0), position(&rig, 1)), (0, 100), "it counts as the desk's");
}

/// What is so before, what is wanted then, and why it is refused.
type Case = (&'static str, fn(&mut Rig<Two>), ManualCommand, Reason);

#[test]
fn the_gate_refuses_people_for_the_reasons_for_which_it_refuses_strategies() {
    let cases: [Case; 9] = [
        ("killed", |rig| rig.command(CommandKind::Kill), order(1, SIDE_BUY, 10_0000, 1), Reason::Killed),
        ("limit", |_| {}, order(1, SIDE_BUY, 10_0000, 10_001), Reason::Position),
        ("collar", |_| {}, order(1, SIDE_BUY, 20_0000, 1), Reason::Collar),
        (
            "scope",
            |rig| rig.input(Input::Command(&Command::set_state(ScopeKind::Strategy, 2, TradingState::Halted, 5))),
            order(1, SIDE_BUY, 10_0000, 1),
            Reason::ScopeHalted,
        ),
        (
            "reduce only",
            |rig| rig.input(Input::Command(&Command::set_state(ScopeKind::Firm, 0, TradingState::ReduceOnly, 5))),
            order(1, SIDE_SELL, 10_0000, 1),
            Reason::ReduceOnly,
        ),
        (
            "trust",
            |rig| rig.feed_aged(Some(crate::feed::Distrust::Gap), &[], 0),
            order(1, SIDE_BUY, 10_0000, 1),
            Reason::BookUntrusted,
        ),
        (
            "no session",
            |rig| rig.conn(ConnEvent::Down(crate::input::DownReason::Closed)),
            order(1, SIDE_BUY, 10_0000, 1),
            Reason::SessionNotReady,
        ),
        ("rate", |rig| limit(rig, LimitId::OrdersPerSecondMax, 0), order(1, SIDE_BUY, 10_0000, 1), Reason::Rate),
        (
            "symbol",
            |_| {},
            ManualCommand { symbol: *b"NEVER   ", ..order(1, SIDE_BUY, 10_0000, 1) },
            Reason::UnknownInstrument,
        ),
    ];
    for (what, before, wish, reason) in cases {
        let mut config = by_hand();
        config.limits.order_quantity_max = 100_000;
        for stage in [ManualStage::Check, ManualStage::Do] {
            let (mut rig, _) = two_with(config.clone());
            before(&mut rig);
            rig.sent();
            let orders = rig.rec.all::<OrderRecord>(Kind::Order).len();
            let (told, sent) = give(&mut rig, &ManualCommand { stage: stage as u32, ..wish });
            assert_eq!((told, sent), (alloc::vec![ManualOutcome::Refused], Vec::new()), "{what}");
            assert_eq!(records(&rig, 1)[0].reason, reason as u32 + 1, "{what}");
            assert_eq!(rig.rec.all::<OrderRecord>(Kind::Order).len(), orders, "{what}");
            let is_done = stage == ManualStage::Do;
            assert_eq!(rig.refused(reason), u64::from(is_done), "{what}: a look is not counted");
            let told = rig.rec.all::<RefusalRecord>(Kind::Refusal);
            let is_recorded = is_done && reason != Reason::UnknownInstrument;
            assert_eq!(told.len(), usize::from(is_recorded), "{what}");
            if let Some(told) = told.first() {
                let record = records(&rig, 1)[0];
                assert_eq!((told.limit, told.value, told.strategy), (record.limit, record.value, 2), "{what}");
            }
        }
    }
}

#[test]
fn a_dry_run_says_what_would_come_of_it_and_does_nothing() {
    let (mut rig, lines) = two_with(by_hand());
    holds(&mut rig, &lines[0], 0, Side::Buy, 100);
    let check = |wish: ManualCommand| ManualCommand { stage: ManualStage::Check as u32, ..wish };
    let before = (rig.pipeline.next_order_id(), rig.pipeline.desk().gate().messages());
    for (request, wish) in [
        (1, order(1, SIDE_SELL, 10_0100, 5)),
        (2, flatten(2, FIRM)),
        (3, ManualCommand { order: 1, ..wish(ManualKind::Cancel, 3) }),
    ] {
        let (told, sent) = give(&mut rig, &check(wish));
        let expected = if request == 3 { ManualOutcome::Refused } else { ManualOutcome::Passes };
        assert_eq!((told, sent.len()), (alloc::vec![expected], 0), "{request}");
    }
    assert_eq!(records(&rig, 2)[0].count, 1, "one position would be in it");
    assert_eq!((rig.pipeline.next_order_id(), rig.pipeline.desk().gate().messages()), before);
    assert_eq!(rig.pipeline.state_hash(), {
        rig.input(Input::Manual(&check(flatten(9, FIRM))));
        rig.pipeline.state_hash()
    });
}

#[test]
fn what_names_nothing_is_refused_and_what_is_only_told_does_nothing() {
    let (mut rig, _) = two_with(by_hand());
    let odd = [
        ManualCommand { what: 99, ..order(1, SIDE_BUY, 10_0000, 1) },
        ManualCommand { side: 9, ..order(1, SIDE_BUY, 10_0000, 1) },
        ManualCommand { time_in_force: b'x', ..order(1, SIDE_BUY, 10_0000, 1) },
        flatten(1, (ScopeKind::Strategy, 99)),
        ManualCommand { scope: 99, ..flatten(1, FIRM) },
    ];
    for wish in &odd {
        assert_eq!(give(&mut rig, wish).1, []);
    }
    assert_eq!(outcomes(&rig, 1), [ManualOutcome::Malformed; 5]);
    for stage in [ManualStage::Asked, ManualStage::Role, ManualStage::Lapsed, ManualStage::Dropped] {
        let told = ManualCommand { stage: stage as u32, ..order(2, SIDE_BUY, 10_0000, 1) };
        assert_eq!(give(&mut rig, &told), (Vec::new(), Vec::new()), "{stage:?}");
    }
    let (mut rig, _) = two();
    assert_eq!(give(&mut rig, &order(1, SIDE_BUY, 10_0000, 1)), (alloc::vec![ManualOutcome::NoDesk], Vec::new()));
}

#[test]
fn what_the_loop_takes_too_late_is_not_done_but_a_cancel_is() {
    let (mut rig, _) = two_with(by_hand());
    let handed_ns = rig.now.0;
    rig.now = rig.now.plus(5_000_000_001);
    for wish in [order(1, SIDE_BUY, 10_0000, 1), flatten(2, FIRM)] {
        let old = ManualCommand { handed_ns, ..wish };
        assert_eq!(give(&mut rig, &old), (alloc::vec![ManualOutcome::Expired], Vec::new()));
    }
    let cancel = ManualCommand { handed_ns, order: 77, ..wish(ManualKind::Cancel, 3) };
    assert_eq!(give(&mut rig, &cancel).0, [ManualOutcome::Refused], "there is no such order");
    let new = ManualCommand { handed_ns: rig.now.0, ..order(4, SIDE_BUY, 10_0000, 1) };
    assert_ne!(give(&mut rig, &new).0, [ManualOutcome::Expired]);
}

#[test]
fn any_open_order_is_cancelled_by_hand_and_one_that_is_over_is_not() {
    let (mut rig, lines) = two_with(by_hand());
    say(&mut rig, &lines[0], new(0, Side::Buy, 9_9900, 100));
    rig.venue(accepted(1, 100, 9_9900));
    let cancel = |request, order| ManualCommand { order, ..wish(ManualKind::Cancel, request) };
    // Also while nothing new may leave.
    rig.input(Input::Command(&Command::set_state(ScopeKind::Firm, 0, TradingState::CancelOnly, 5)));
    let (told_of, sent) = give(&mut rig, &cancel(1, 1));
    assert_eq!(told_of, [ManualOutcome::Canceling]);
    assert_eq!(sent[0].action, OrderAction::Cancel { order: OrderId(1) });
    rig.venue(told(VenueEventKind::Canceled, 1, 100));
    for (request, order) in [(2, 1), (3, 77), (4, 0)] {
        assert_eq!(give(&mut rig, &cancel(request, order)), (alloc::vec![ManualOutcome::Refused], Vec::new()));
        assert_eq!(records(&rig, request)[0].reason, Reason::UnknownOrder as u32 + 1);
    }
}

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

/// What the venue, the strategy and time may do while a flatten works.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The strategy wants to sell or buy.
    Say { sell: bool, quantity: u32 },
    /// The venue trades a part of the open order of this number, counted from the oldest.
    Fill { place: usize, quantity: u32 },
    /// The venue is done with it.
    Cancel { place: usize },
    /// Time passes.
    Wait,
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    prop_oneof![
        (any::<bool>(), 1_u32..80).prop_map(|(sell, quantity)| Step::Say { sell, quantity }),
        (0_usize..4, 1_u32..80).prop_map(|(place, quantity)| Step::Fill { place, quantity }),
        (0_usize..4).prop_map(|place| Step::Cancel { place }),
        Just(Step::Wait),
    ]
}

proptest! {
    /// Whatever fills and in whatever order: never through zero, and flat in the end.
    #[test]
    fn no_interleaving_takes_a_flatten_through_zero(
        is_long: bool, held in 1_u32..500, steps in proptest::collection::vec(step(), 0..40)
    ) {
        let (mut rig, lines) = two_with(by_hand());
        let side = if is_long { Side::Buy } else { Side::Sell };
        holds(&mut rig, &lines[0], 0, side, held);
        // Its own orders in either direction are open when it begins, at prices that nobody trades at.
        for (sell, away) in [(false, 9_8000), (true, 10_2000)] {
            // One that could turn it by itself was so before anybody flattened.
            let quantity = if sell == is_long { held.min(30) } else { 30 };
            let side = if sell { Side::Sell } else { Side::Buy };
            for action in say(&mut rig, &lines[0], new(0, side, away, quantity)) {
                let OrderAction::New { order } = action else { continue };
                rig.venue(accepted(order.0, quantity, away));
            }
        }
        quoted(&mut rig, 0);
        rig.input(Input::Command(&Command::set_state(ScopeKind::Strategy, 1, TradingState::ReduceOnly, 5)));
        let wish = ManualCommand { within_ms: 600_000, ..flatten(1, (ScopeKind::Strategy, 1)) };
        give(&mut rig, &wish);
        let mut trades = 1000;
        // What rested when it began and leans the way of the position may still make it larger, and never smaller than none.
        let turned = |rig: &Rig<Two>| if is_long { position(rig, 0) < 0 } else { position(rig, 0) > 0 };
        let closing = side.opposite();
        for step in steps {
            let open: Vec<(u32, u32)> =
                rig.pipeline.desk().orders().open().map(|order| (order.id().0, order.leaves())).collect();
            match step {
                Step::Say { sell, quantity } => {
                    let side = if sell { Side::Sell } else { Side::Buy };
                    say(&mut rig, &lines[0], new(0, side, if sell { 10_2000 } else { 9_8000 }, quantity));
                }
                Step::Fill { place, quantity } => {
                    let Some((id, leaves)) = open.get(place) else { continue };
                    trades += 1;
                    rig.venue(executed(*id, quantity.min(*leaves), 10_0000, trades));
                }
                Step::Cancel { place } => {
                    let Some((id, leaves)) = open.get(place) else { continue };
                    rig.venue(told(VenueEventKind::Canceled, *id, *leaves));
                }
                Step::Wait => { later(&mut rig); }
            }
            rig.sent();
            let working: i64 = rig.pipeline.desk().orders().open()
                .filter(|order| order.side() == closing).map(|order| i64::from(order.exposure())).sum();
            let held = position(&rig, 0).abs();
            prop_assert!(!turned(&rig) && working <= held, "{working} work against {held}");
        }
        // The venue fills what is immediate and cancels what is to go: it ends, and flat.
        for _ in 0..200 {
            if outcomes(&rig, 1).last() == Some(&ManualOutcome::Flat) {
                break;
            }
            let open: Vec<(u32, u32, bool)> = rig.pipeline.desk().orders().open()
                .map(|order| (order.id().0, order.leaves(), order.side() == closing)).collect();
            for (id, leaves, closes) in open {
                trades += 1;
                if closes { rig.venue(executed(id, leaves, 10_0000, trades)); }
                else { rig.venue(told(VenueEventKind::Canceled, id, leaves)); }
            }
            later(&mut rig);
        }
        let end = outcomes(&rig, 1).pop();
        prop_assert_eq!(end, Some(ManualOutcome::Flat));
        prop_assert_eq!(position(&rig, 0), 0);
    }
}

proptest! {
    /// Two strategies, whichever way each leans, and the whole firm flattened: what works never closes more than its owner holds, and in
    /// the end nothing is held but the opposite of one another.
    #[test]
    fn of_two_strategies_neither_is_taken_through_zero_and_the_firm_ends_flat(
        holdings in [(any::<bool>(), 1_u32..400), (any::<bool>(), 1_u32..400)],
        steps in proptest::collection::vec((0_usize..2, step()), 0..40)
    ) {
        let (mut rig, lines) = two_with(by_hand());
        for (owner, (is_long, held)) in holdings.into_iter().enumerate() {
            holds(&mut rig, &lines[owner], 0, if is_long { Side::Buy } else { Side::Sell }, held);
            // The same order again at once would be refused.
            rig.now = rig.now.plus(10_000_000_000);
        }
        quoted(&mut rig, 0);
        rig.input(Input::Command(&Command::set_state(ScopeKind::Firm, 0, TradingState::ReduceOnly, 5)));
        give(&mut rig, &ManualCommand { within_ms: 2_000, ..flatten(1, FIRM) });
        let mut trades = 1000;
        let began = [position(&rig, 0), position(&rig, 1)];
        let look = |rig: &Rig<Two>| -> Result<(), TestCaseError> {
            for (owner, before) in began.into_iter().enumerate() {
                let held = position(rig, owner);
                prop_assert!(held.signum() * before.signum() >= 0 && held.abs() <= before.abs(), "{before} became {held}");
                let open = rig.pipeline.desk().orders().open().filter(|order| usize::from(order.owner) == owner);
                let working: i64 = open.map(|order| i64::from(order.exposure())).sum();
                prop_assert!(working <= held.abs(), "{working} work against {held}");
            }
            Ok(())
        };
        for (owner, step) in steps {
            let open: Vec<(u32, u32)> =
                rig.pipeline.desk().orders().open().map(|order| (order.id().0, order.leaves())).collect();
            match step {
                Step::Say { sell, quantity } => {
                    let side = if sell { Side::Sell } else { Side::Buy };
                    say(&mut rig, &lines[owner], new(0, side, if sell { 10_2000 } else { 9_8000 }, quantity));
                }
                Step::Fill { place, quantity } => {
                    let Some((id, leaves)) = open.get(place) else { continue };
                    trades += 1;
                    rig.venue(executed(*id, quantity.min(*leaves), 10_0000, trades));
                }
                Step::Cancel { place } => {
                    let Some((id, leaves)) = open.get(place) else { continue };
                    rig.venue(told(VenueEventKind::Canceled, *id, *leaves));
                }
                Step::Wait => { later(&mut rig); }
            }
            rig.sent();
            look(&rig)?;
        }
        for _ in 0..4_000 {
            if matches!(outcomes(&rig, 1).last(), Some(ManualOutcome::Flat | ManualOutcome::Left)) {
                break;
            }
            let open: Vec<(u32, u32)> =
                rig.pipeline.desk().orders().open().map(|order| (order.id().0, order.leaves())).collect();
            for (id, leaves) in open {
                trades += 1;
                rig.venue(executed(id, leaves, 10_0000, trades));
            }
            look(&rig)?;
            later(&mut rig);
        }
        let end = records(&rig, 1).pop().expect("it is over");
        let held = [position(&rig, 0), position(&rig, 1)];
        if end.outcome == ManualOutcome::Flat as u32 {
            prop_assert_eq!(held, [0, 0]);
        } else {
            prop_assert_eq!((end.outcome, end.reason), (ManualOutcome::Left as u32, Reason::ReduceOnly as u32 + 1));
            prop_assert!(held[0] == -held[1] && held[0] != 0, "{held:?} are left of {began:?}");
        }
    }
}

#[test]
fn what_was_done_by_hand_replays_to_the_byte() {
    let symbol = Symbol::new("S0").expect("a symbol");
    let held = OpeningPosition { strategy: StrategyId(1), symbol, shares: 100, cost: 1000_0000 };
    let config = Config { opening: alloc::vec![held], ..by_hand() };
    let scripts = || (Script::default(), Script::default());
    let mut rig = Rig::ready(config.clone(), 2, scripts());
    quoted(&mut rig, 0);
    let (mut wire, mut told_of) = (Vec::new(), Vec::new());
    for wish in [order(1, SIDE_BUY, 9_8000, 10), flatten(2, FIRM), order(3, SIDE_BUY, 20_0000, 1)] {
        let (outcomes, sent) = give(&mut rig, &wish);
        told_of.push(outcomes.last().copied());
        wire.extend(sent);
    }
    rig.venue(accepted(1, 10, 9_8000));
    rig.venue(told(VenueEventKind::Canceled, 1, 10));
    rig.venue(accepted(2, 100, 9_9900));
    rig.venue(executed(2, 40, 9_9900, 5));
    rig.venue(told(VenueEventKind::Canceled, 2, 60));
    wire.extend(later(&mut rig));
    assert_eq!(told_of, [ManualOutcome::Sent, ManualOutcome::Sent, ManualOutcome::Refused].map(Some));
    assert_eq!(position(&rig, 0), 60, "the flatten is under way");

    let mut again = Rig::bare(config, 2, scripts());
    let mut bytes = Vec::new();
    for (tai_ns, kind, body) in &rig.rec.records {
        let mut take = |message: &[u8]| bytes.push(Sent::read(message));
        let _ = again.pipeline.replay(TaiNs(*tai_ns), *kind, body, &mut again.rec, &mut NotIsolated, &mut take);
    }
    bytes.extend(again.sent());
    assert_eq!(again.rec.records, rig.rec.records);
    assert_eq!(again.pipeline.state_hash(), rig.pipeline.state_hash());
    assert_eq!(bytes, wire);
}
