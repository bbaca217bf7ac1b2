//! Trades that people tell: through the gate, into the position, and to the same place after a restart.

use super::{Ask, Two};
use crate::input::{ConnEvent, Input};
use crate::opening::OpeningPosition;
use crate::pipeline::{ADJUSTMENTS_MAX, Config};
use crate::portfolio::Position;
use crate::probe::NotIsolated;
use crate::reconcile::{Ledger, LedgerAdjustment, LedgerPosition};
use crate::risk::{HaltReason, Reason};
use crate::session::{VenueEvent, VenueEventKind};
use crate::strategy::TradingState;
use crate::testing::{Rig, Script, accepted, config, executed, told};
use crate::units::{InstrumentId, OrderId, Price, Side, StrategyId, Symbol, TaiNs};
use alloc::vec::Vec;
use proptest::prelude::*;
use tern_abi::command::{Command, CommandKind};
use tern_abi::event::{SIDE_BUY, SIDE_SELL};
use tern_abi::manual::{AdjustmentRecord, ManualCommand, ManualKind, ManualOutcome, ManualRecord, ManualStage};
use tern_abi::reconcile::{Difference, ReconcileRecord};
use tern_abi::record::{Kind, PositionRecord};
use tern_abi::segment::ScopeKind;

fn symbol(name: &str) -> Symbol {
    Symbol::new(name).expect("a symbol")
}

fn adjust(request: u64, strategy: u64, side: u8, quantity: u32, price: i64) -> ManualCommand {
    let blank = ManualCommand::new(ManualKind::Adjust, request, 1000, "broken by phone");
    ManualCommand { symbol: symbol("S0").0, key: strategy, side, quantity, price, ..blank }
}

fn rig_of(change: impl FnOnce(&mut Config)) -> Rig<Two> {
    let mut config = config();
    change(&mut config);
    Rig::ready(config, 2, (Script::default(), Script::default()))
}

fn give(rig: &mut Rig<Two>, wish: &ManualCommand) -> ManualRecord {
    rig.input(Input::Manual(wish));
    rig.rec.all::<ManualRecord>(Kind::ManualOutcome).pop().expect("it is answered")
}

fn outcome(record: &ManualRecord) -> ManualOutcome {
    ManualOutcome::from_index(record.outcome as usize).expect("one of them")
}

fn held(rig: &Rig<Two>, owner: usize) -> Position {
    rig.pipeline.desk().portfolio().position(owner, InstrumentId(0))
}

#[test]
fn it_is_recorded_and_then_counts_in_position_money_and_limits() {
    let mut rig = rig_of(|_| ());
    let from = rig.rec.records.len();
    let told = give(&mut rig, &adjust(7, 2, SIDE_BUY, 300, 10_1000));
    assert_eq!((outcome(&told), told.request, told.value), (ManualOutcome::Adjusted, 7, 300));
    let kinds: Vec<Kind> = rig.rec.records.iter().skip(from).map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Manual, Kind::Adjustment, Kind::Position, Kind::ManualOutcome], "before it has an effect");
    let record = rig.rec.all::<AdjustmentRecord>(Kind::Adjustment)[0];
    assert_eq!((record.strategy, record.quantity, record.price, record.side), (2, 300, 10_1000, SIDE_BUY));
    assert_eq!((record.after_executions, record.request, record.cause_seq), (0, 7, from as u64 + 1));
    let position = held(&rig, 1);
    assert_eq!((position.shares, position.cash, position.cost), (300, -3030_0000, 3030_0000));
    assert_eq!(held(&rig, 0), Position::default(), "nobody else has it");
    let claimed = rig.rec.all::<PositionRecord>(Kind::Position)[0];
    assert_eq!((claimed.shares, claimed.cost, claimed.strategy), (300, 3030_0000, 2));
    let gate = rig.pipeline.desk().gate();
    assert_eq!(gate.exposure(InstrumentId(0)).map(|exposure| exposure.position()), Some(300));
    assert_eq!((gate.stake().gross(), gate.stake().net(Side::Buy)), (3030_0000, 3030_0000), "at the dearest");
    // A share is worth 10.
    assert_eq!((gate.stake().profit(), gate.owner_stake(1).map(|stake| stake.profit())), (-30_0000, Some(-30_0000)));
    let told = give(&mut rig, &adjust(8, 2, SIDE_SELL, 300, 10_2000));
    assert_eq!((outcome(&told), told.value), (ManualOutcome::Adjusted, 0));
    let gate = rig.pipeline.desk().gate();
    assert_eq!((gate.stake().gross(), gate.stake().realized()), (0, 30_0000));
    assert!(rig.sent().is_empty(), "no order left");
}

/// What is set before, what is told then, and why it does not count.
type Case = (&'static str, fn(&mut Config), ManualCommand, Reason);

#[test]
fn the_gate_refuses_what_an_order_filled_at_once_could_not_be() {
    let cases: [Case; 9] = [
        (
            "shares",
            |config| config.limits.order_quantity_max = 10,
            adjust(1, 1, SIDE_BUY, 11, 10_0000),
            Reason::Quantity,
        ),
        ("no shares", |_| (), adjust(1, 1, SIDE_BUY, 0, 10_0000), Reason::Quantity),
        ("price", |_| (), adjust(1, 1, SIDE_BUY, 1, 0), Reason::Price),
        (
            "notional",
            |config| config.limits.order_notional_max = 99_0000,
            adjust(1, 1, SIDE_BUY, 10, 10_0000),
            Reason::Notional,
        ),
        ("collar", |_| (), adjust(1, 1, SIDE_SELL, 1, 20_0000), Reason::Collar),
        ("firm", |config| config.limits.position_max = 9, adjust(1, 1, SIDE_BUY, 10, 10_0000), Reason::Position),
        (
            "strategy",
            |config| config.limits.strategy_position_max = 9,
            adjust(1, 1, SIDE_SELL, 10, 10_0000),
            Reason::StrategyPosition,
        ),
        ("gross", |config| config.limits.gross_max = 99_0000, adjust(1, 1, SIDE_BUY, 10, 10_0000), Reason::Gross),
        (
            "symbol",
            |_| (),
            ManualCommand { symbol: *b"NOSUCH  ", ..adjust(1, 1, SIDE_BUY, 1, 10_0000) },
            Reason::UnknownInstrument,
        ),
    ];
    for (name, change, wish, reason) in cases {
        let mut rig = rig_of(change);
        let checked = give(&mut rig, &ManualCommand { stage: ManualStage::Check as u32, ..wish });
        let told = give(&mut rig, &wish);
        for told in [checked, told] {
            assert_eq!((outcome(&told), told.reason), (ManualOutcome::Refused, reason as u32 + 1), "{name}");
        }
        assert_eq!((held(&rig, 0), rig.refused(reason)), (Position::default(), 1), "{name}");
        assert!(rig.rec.all::<AdjustmentRecord>(Kind::Adjustment).is_empty(), "{name}");
    }
}

#[test]
fn what_is_only_asked_moves_nothing_and_what_makes_no_sense_is_told_so() {
    let mut rig = rig_of(|_| ());
    let wish = adjust(1, 1, SIDE_BUY, 10, 10_0000);
    let told = give(&mut rig, &ManualCommand { stage: ManualStage::Check as u32, ..wish });
    assert_eq!((outcome(&told), told.value, held(&rig, 0).shares), (ManualOutcome::Passes, 10, 0));
    for odd in
        [ManualCommand { key: 9, ..wish }, ManualCommand { side: 7, ..wish }, ManualCommand { key: u64::MAX, ..wish }]
    {
        assert_eq!(outcome(&give(&mut rig, &odd)), ManualOutcome::Malformed);
    }
    let late = ManualCommand { handed_ns: 1, ..wish };
    rig.now = TaiNs(rig.now.0 + 10_000_000_000);
    assert_eq!(outcome(&give(&mut rig, &late)), ManualOutcome::Expired);
    assert_eq!(held(&rig, 0), Position::default());
}

/// What stops trading.
type Stop = (&'static str, fn(&mut Rig<Two>));

#[test]
fn a_position_can_be_set_right_while_trading_is_stopped_and_closing_is_never_refused() {
    let stops: [Stop; 3] = [
        ("killed", |rig| rig.command(CommandKind::Kill)),
        ("halted", |rig| rig.input(Input::Command(&Command::set_state(ScopeKind::Firm, 0, TradingState::Halted, 5)))),
        ("untrusted", |rig| rig.feed_aged(Some(crate::feed::Distrust::Gap), &[], 0)),
    ];
    for (name, stop) in stops {
        let opening = |strategy, shares: i64| OpeningPosition {
            strategy: StrategyId(strategy),
            symbol: symbol("S0"),
            shares,
            cost: shares * 10_0000,
        };
        let mut rig = rig_of(|config| {
            config.opening = Vec::from([opening(1, 500), opening(2, 200)]);
            (config.limits.position_max, config.limits.gross_max) = (100, 1);
        });
        stop(&mut rig);
        let told = give(&mut rig, &adjust(1, 1, SIDE_SELL, 500, 10_0000));
        assert_eq!((outcome(&told), told.value), (ManualOutcome::Adjusted, 0), "{name}");
        let told = give(&mut rig, &adjust(2, 2, SIDE_BUY, 1, 10_0000));
        assert_eq!(outcome(&told), ManualOutcome::Refused, "{name}: 700 are beyond the limit, 201 too");
    }
}

#[test]
fn a_loss_that_is_told_stops_trading() {
    let mut rig = rig_of(|config| config.limits.daily_loss_max = 29_0000);
    give(&mut rig, &adjust(1, 1, SIDE_BUY, 300, 10_1000));
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::DailyLoss));
}

#[test]
fn a_day_takes_so_many_and_no_more() {
    let mut rig = rig_of(|_| ());
    for number in 0..ADJUSTMENTS_MAX as u64 {
        let side = if number % 2 == 0 { SIDE_BUY } else { SIDE_SELL };
        assert_eq!(outcome(&give(&mut rig, &adjust(number + 1, 1, side, 1, 10_0000))), ManualOutcome::Adjusted);
    }
    assert_eq!(outcome(&give(&mut rig, &adjust(9_999, 1, SIDE_BUY, 1, 10_0000))), ManualOutcome::TooMany);
    assert_eq!(held(&rig, 0).shares, 0);
}

#[test]
fn before_the_venues_log_is_compared_nothing_can_be_set_right() {
    let mut rig = Rig::<Two>::bare(config(), 2, (Script::default(), Script::default()));
    rig.pipeline.recover(Ledger::default());
    assert_eq!(outcome(&give(&mut rig, &adjust(1, 1, SIDE_BUY, 1, 10_0000))), ManualOutcome::Unread);
}

/// What happens in a day.
#[derive(Clone, Copy, Debug)]
enum Step {
    Fill { owner: u16, is_buy: bool, quantity: u32, price: i64 },
    Break { which: usize },
    Adjust { owner: u16, is_buy: bool, quantity: u32, price: i64 },
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    let trade = || (1_u16..=2, any::<bool>(), 1_u32..200, 9_8000_i64..10_2000);
    let step = prop_oneof![
        3 => trade().prop_map(|(owner, is_buy, quantity, price)| Step::Fill { owner, is_buy, quantity, price }),
        1 => (0_usize..40).prop_map(|which| Step::Break { which }),
        2 => trade().prop_map(|(owner, is_buy, quantity, price)| Step::Adjust { owner, is_buy, quantity, price }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// The events of the venue's log that a fill is, as any run hears them.
fn fill(number: u32, owner: u16, is_buy: bool, quantity: u32, price: i64) -> [VenueEvent; 2] {
    let side = Some(if is_buy { Side::Buy } else { Side::Sell });
    let known = VenueEvent {
        symbol: Symbol::new("S0"),
        side,
        strategy: Some(StrategyId(owner)),
        ..accepted(number, quantity, price)
    };
    [known, executed(number, quantity, price, number.into())]
}

proptest! {
    /// The second run hears the same log and has the adjustments from the journal: positions are the same in shares, cash, cost
    /// and profit, whatever was broken before or after.
    #[test]
    fn after_a_restart_every_position_is_what_it_was(steps in steps()) {
        let scripts = || (Script::default(), Script::default());
        let mut rig = Rig::<Two>::ready(config(), 1, scripts());
        let (mut log, mut fills): (Vec<VenueEvent>, Vec<u32>) = (Vec::new(), Vec::new());
        for (number, step) in (1_u32..).zip(&steps) {
            let events: Vec<VenueEvent> = match *step {
                Step::Fill { owner, is_buy, quantity, price } => {
                    fills.push(number);
                    fill(number, owner, is_buy, quantity, price).into()
                }
                Step::Break { which } if which < fills.len() => {
                    let number = fills.swap_remove(which);
                    [VenueEvent { match_number: number.into(), ..told(VenueEventKind::Broken, number, 0) }].into()
                }
                Step::Break { .. } => continue,
                Step::Adjust { owner, is_buy, quantity, price } => {
                    let side = if is_buy { SIDE_BUY } else { SIDE_SELL };
                    let told = give(&mut rig, &adjust(number.into(), owner.into(), side, quantity, price));
                    prop_assert_eq!(outcome(&told), ManualOutcome::Adjusted);
                    continue;
                }
            };
            events.iter().for_each(|event| rig.venue(*event));
            log.extend(events);
        }
        let known = |record: &AdjustmentRecord| LedgerAdjustment {
            after_executions: record.after_executions,
            strategy: StrategyId(record.strategy),
            symbol: Symbol(record.symbol),
            side: if record.side == SIDE_BUY { Side::Buy } else { Side::Sell },
            price: Price(record.price),
            quantity: record.quantity,
        };
        let positions = (0..2_usize).map(|owner| LedgerPosition {
            strategy: StrategyId(owner as u16 + 1),
            symbol: symbol("S0"),
            shares: held(&rig, owner).shares,
        });
        let ledger = Ledger {
            session_seq: rig.session_seq,
            adjustments: rig.rec.all::<AdjustmentRecord>(Kind::Adjustment).iter().map(known).collect(),
            positions: positions.filter(|position| position.shares != 0).collect(),
            ..Ledger::default()
        };
        let config = Config { restarted: true, next_order_id: 1000, ..config() };
        let mut again = Rig::<Two>::bare(config, 1, scripts());
        again.pipeline.recover(ledger);
        again.conn(ConnEvent::Up);
        again.conn(ConnEvent::Room(1 << 20));
        log.iter().for_each(|event| again.venue(*event));
        again.venue(VenueEvent { order: OrderId(1000), ..VenueEvent::new(VenueEventKind::NextOrderId) });
        again.venue(VenueEvent::new(VenueEventKind::CaughtUp));
        for owner in 0..2 {
            prop_assert_eq!(held(&again, owner), held(&rig, owner));
            let profit = |rig: &Rig<Two>| rig.pipeline.desk().gate().owner_stake(owner).map(|stake| stake.realized());
            prop_assert_eq!(profit(&again), profit(&rig));
        }
        let found: Vec<ReconcileRecord> = again.rec.all(Kind::Reconcile);
        prop_assert!(found.iter().any(|found| found.difference == Difference::Done as u32), "it was compared");
        prop_assert!(found.iter().all(|found| found.difference != Difference::PositionDiffers as u32));
        prop_assert_eq!(again.pipeline.desk().portfolio().adjustments(), rig.pipeline.desk().portfolio().adjustments());
    }

    /// The inputs alone lead to the same state again.
    #[test]
    fn they_replay_to_the_byte(steps in steps()) {
        let scripts = || (Script::default(), Script::default());
        let mut rig = Rig::<Two>::ready(config(), 1, scripts());
        for (number, step) in (1_u32..).zip(&steps) {
            match *step {
                Step::Fill { owner, is_buy, quantity, price } => {
                    fill(number, owner, is_buy, quantity, price).iter().for_each(|event| rig.venue(*event));
                }
                Step::Break { which } => {
                    let event = told(VenueEventKind::Broken, which as u32, 0);
                    rig.venue(VenueEvent { match_number: which as u64, ..event });
                }
                Step::Adjust { owner, is_buy, quantity, price } => {
                    let side = if is_buy { SIDE_BUY } else { SIDE_SELL };
                    give(&mut rig, &adjust(number.into(), owner.into(), side, quantity, price));
                }
            }
        }
        let mut again = Rig::<Two>::bare(config(), 1, scripts());
        for (tai_ns, kind, body) in &rig.rec.records {
            let _ = again.pipeline.replay(TaiNs(*tai_ns), *kind, body, &mut again.rec, &mut NotIsolated, &mut |_| ());
        }
        prop_assert_eq!(&again.rec.records, &rig.rec.records);
        prop_assert_eq!(again.pipeline.state_hash(), rig.pipeline.state_hash());
    }
}
