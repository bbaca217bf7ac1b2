//! What people do by hand: through the same gate, told to whoever asked, and a flatten that only reduces.

mod closing;
mod random;

use super::{Ask, Two, limit, say, two, two_with};
use crate::input::{ConnEvent, Input};
use crate::opening::OpeningPosition;
use crate::pipeline::Config;
use crate::probe::NotIsolated;
use crate::risk::{LimitId, Reason};
use crate::session::{OrderAction, VenueEventKind};
use crate::strategy::TradingState;
use crate::testing::{Rig, Script, Sent, accepted, add, config, executed, new, told};
use crate::units::{OrderId, Price, Side, StrategyId, Symbol, TaiNs};
use alloc::vec::Vec;
use tern_abi::command::{Command, CommandKind};
use tern_abi::event::{SIDE_BUY, SIDE_SELL};
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
