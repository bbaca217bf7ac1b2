//! A strategy that panics: stopped alone, told of, and brought back by an operator with its position and its state.

use super::Ask;
use crate::input::Input;
use crate::kept::Rebuilt;
use crate::orders::OrderState;
use crate::pipeline::PipelineCounter;
use crate::reconcile::Ledger;
use crate::risk::{HaltReason, Reason};
use crate::session::OrderAction;
use crate::strategy::{
    Batch, Ctx, Intents, KeptState, OrderEvent, STATE_BYTES_MAX, StateTooLong, Strategy, TradingState,
};
use crate::testing::{Catch, Rig, Sent, accepted, config, executed, new, print};
use crate::units::{InstrumentId, OrderId, Side, StrategyId, TaiNs};
use alloc::vec::Vec;
use tern_abi::command::Command;
use tern_abi::record::{Kind, StrategyEvent, StrategyRecord};
use tern_abi::segment::ScopeKind;
use zerocopy::FromBytes;

/// Buys a share with each print, one price below it for each that it has counted; the count is its state. A print at a
/// dollar panics, at two dollars poisons the state, so that it panics over it when it is built anew. It hears prints of
/// its own instrument alone.
#[derive(Debug)]
pub(super) struct Counter {
    of: u32,
    count: u8,
}

const POISON: u8 = 255;
const VERSION: u16 = 3;

impl Strategy for Counter {
    fn on_book(&mut self, ctx: &Ctx<'_>, change: &crate::book::BookChange, out: &mut Intents) {
        let Some(traded) = change.traded.filter(|_| change.instrument == InstrumentId(self.of)) else { return };
        self.count += 1;
        match traded.0.0 {
            1_0000 => {
                out.keep(VERSION, &[100]).expect("short");
                out.push(new(self.of, Side::Buy, 9_0000, 1));
                panic!("a dollar, holding {}", ctx.position(InstrumentId(self.of)).shares);
            }
            2_0000 => out.keep(VERSION, &[POISON]).expect("short"),
            price => {
                out.keep(VERSION, &[self.count]).expect("short");
                out.push(new(self.of, Side::Buy, price - 100 * i64::from(self.count), 1));
            }
        }
    }
    fn on_batch_end(&mut self, _: &Ctx<'_>, _: Batch, _: &mut Intents) {}
    fn on_order(&mut self, _: &Ctx<'_>, _: &OrderEvent, _: &mut Intents) {}
    fn on_timer(&mut self, _: &Ctx<'_>, _: &mut Intents) {}
    fn restore(&mut self, state: &KeptState) {
        assert_eq!(state.version(), VERSION, "its own");
        assert_ne!(state.bytes(), [POISON], "poison");
        self.count = state.bytes()[0];
    }
}

pub(super) type Pair = Rebuilt<(Counter, Counter)>;

pub(super) fn pair() -> Pair {
    let make = || (Counter { of: 0, count: 0 }, Counter { of: 1, count: 0 });
    Rebuilt::new(make(), move || Some(make()))
}

/// The rig, and everything that left.
struct Bench {
    rig: Rig<Pair>,
    wire: Vec<Sent>,
}

impl Bench {
    fn new() -> Self {
        Self { rig: Rig::ready(config(), 2, pair()), wire: Vec::new() }
    }

    fn give(&mut self, input: Input<'_>) -> Vec<Sent> {
        self.rig.input_with(input, &mut Catch).expect("recorded");
        let sent = self.rig.sent();
        self.wire.extend(&sent);
        sent
    }

    /// The instrument traded at a price; what left.
    fn print(&mut self, instrument: u32, price: i64) -> Vec<Sent> {
        self.give(Input::Events(&[print(instrument, price)]))
    }

    fn resume(&mut self, strategy: u64) -> Vec<Sent> {
        self.give(Input::Command(&Command::set_state(ScopeKind::Strategy, strategy, TradingState::Running, 1000)))
    }

    /// What the records say of strategies: strategy, event, bytes of state, text.
    fn told(&self) -> Vec<(u16, StrategyEvent, u16, &str)> {
        let of_kind = self.rig.rec.records.iter().filter(|(_, kind, _)| *kind == Kind::Strategy);
        let read = of_kind.map(|(.., body)| StrategyRecord::read_from_prefix(body).expect("the kind's layout"));
        read.map(|(record, text)| {
            let event = StrategyEvent::from_index(record.event.into()).expect("an event");
            (record.strategy, event, record.state_bytes, core::str::from_utf8(text).expect("text"))
        })
        .collect()
    }
}

/// The first print was that of the rig. One trades twice and holds a share, has an order open, and panics; the other trades on.
fn crashed() -> Bench {
    let mut bench = Bench::new();
    assert_eq!(bench.print(0, 10_0000)[0].price.0, 9_9800);
    bench.rig.venue(accepted(1, 1, 9_9800));
    bench.rig.venue(executed(1, 1, 9_9800, 70));
    assert_eq!(bench.print(0, 10_0000)[0].price.0, 9_9700);
    bench.rig.venue(accepted(2, 1, 9_9700));
    let sent = bench.print(0, 1_0000);
    assert_eq!(sent.iter().map(|sent| sent.action).collect::<Vec<_>>(), [OrderAction::Cancel { order: OrderId(2) }]);
    bench
}

/// Panics when it is asked for its next timer while it holds so much.
#[derive(Debug)]
struct Asked(u8);

impl Strategy for Asked {
    fn on_book(&mut self, _: &Ctx<'_>, change: &crate::book::BookChange, _: &mut Intents) {
        self.0 += u8::from(change.traded.is_some());
    }
    fn on_batch_end(&mut self, _: &Ctx<'_>, _: Batch, _: &mut Intents) {}
    fn on_order(&mut self, _: &Ctx<'_>, _: &OrderEvent, _: &mut Intents) {}
    fn on_timer(&mut self, _: &Ctx<'_>, _: &mut Intents) {
        self.0 = 0;
    }
    fn next_deadline(&self) -> TaiNs {
        assert!(self.0 < 4, "no time for {}", self.0);
        TaiNs(u64::MAX - 1 - u64::from(self.0))
    }
}

#[test]
fn a_panic_when_asked_for_the_next_timer_is_contained_like_any() {
    let mut rig = Rig::ready(config(), 2, (Asked(0), Asked(0)));
    // The first two prints were those of the rig.
    assert_eq!(rig.pipeline.deadline(0), TaiNs(u64::MAX - 3));
    rig.input_with(Input::Events(&[print(0, 10_0000)]), &mut Catch).expect("recorded");
    assert_eq!((rig.pipeline.deadline(0), rig.pipeline.desk().is_disabled(0)), (TaiNs(u64::MAX - 4), false));
    rig.input_with(Input::Events(&[print(0, 10_0000)]), &mut Catch).expect("recorded");
    assert!(rig.pipeline.desk().is_disabled(0));
    assert_eq!(rig.pipeline.desk().crash(0).expect("it crashed").text.as_str(), "no time for 4");
    let _ = rig.pipeline.next_deadline();
}

#[test]
fn a_strategy_that_panics_is_told_of_and_stopped_alone() {
    let mut bench = crashed();
    assert_eq!(bench.told(), [(1, StrategyEvent::Panicked, 0, "a dollar, holding 1")]);
    let desk = bench.rig.pipeline.desk();
    assert!(desk.is_disabled(0) && !desk.is_disabled(1));
    let crash = desk.crash(0).expect("it crashed");
    assert_eq!((crash.text.as_str(), crash.at), ("a dollar, holding 1", bench.rig.now));
    assert_eq!(desk.kept_state(0).expect("kept").bytes(), [3], "not that of the call that panicked");
    let now = bench.rig.now;
    let refused = bench.rig.pipeline.check_intent(now, 0, 0, &new(0, Side::Buy, 9_9900, 5));
    assert_eq!(refused, Err(Reason::StrategyDisabled));
    assert_eq!(bench.print(0, 10_0000), [], "it is not called");
    assert_eq!(bench.print(1, 10_0000).len(), 1, "the other trades on");
    // Neither another scope nor what the segment echoes brings it back.
    let echo = |state, key| Command::set_state(ScopeKind::Strategy, key, state, 1000);
    bench.give(Input::Command(&echo(TradingState::CancelOnly, 1)));
    bench.resume(2);
    bench.give(Input::Command(&Command::set_state(ScopeKind::Firm, 0, TradingState::Running, 1000)));
    assert!(bench.rig.pipeline.desk().is_disabled(0));
    assert_eq!(bench.rig.counted(PipelineCounter::StrategyRestarts), 0);
    // Under another restriction it is stopped all the same, until it may run.
    bench.give(Input::Command(&echo(TradingState::ReduceOnly, 1)));
    assert_eq!(bench.print(0, 10_0000), []);
    bench.resume(1);
    assert_eq!(bench.print(0, 10_0000).len(), 1);
}

#[test]
fn an_operator_brings_it_back_with_its_position_and_its_state_and_it_may_panic_again() {
    let mut bench = crashed();
    bench.resume(1);
    assert_eq!(bench.told()[1..], [(1, StrategyEvent::Restarted, 1, "")]);
    assert_eq!(bench.rig.counted(PipelineCounter::StrategyRestarts), 1);
    assert_eq!(bench.print(0, 10_0000)[0].price.0, 9_9600, "it has counted three");
    assert_eq!(bench.rig.state(3), Some(OrderState::PendingNew));
    bench.rig.venue(accepted(3, 1, 9_9600));
    bench.rig.venue(executed(3, 1, 9_9600, 71));
    bench.print(0, 1_0000);
    assert_eq!(bench.told()[2..], [(1, StrategyEvent::Panicked, 0, "a dollar, holding 2")]);
    assert_eq!(bench.print(0, 10_0000), []);
    bench.resume(1);
    assert_eq!(bench.print(0, 10_0000)[0].price.0, 9_9500);
    // One that runs is not built anew.
    bench.resume(1);
    assert_eq!(bench.rig.counted(PipelineCounter::StrategyRestarts), 2);
    assert_eq!(bench.rig.counted(PipelineCounter::StrategyPanics), 2);
}

#[test]
fn a_state_over_which_it_panics_is_not_given_again() {
    let mut bench = crashed();
    bench.resume(1);
    bench.print(0, 2_0000);
    bench.print(0, 1_0000);
    bench.resume(1);
    let told = bench.told();
    let (strategy, event, _, text) = told[3];
    assert_eq!((strategy, event), (1, StrategyEvent::NotBuilt));
    assert!(text.contains("poison"), "{text}");
    assert!(bench.rig.pipeline.desk().is_disabled(0));
    assert_eq!(bench.rig.pipeline.desk().gate().scopes().stopped(), 1, "it stands as stopped again");
    bench.resume(1);
    assert_eq!(bench.told()[4..], [(1, StrategyEvent::Restarted, 0, "")]);
    assert_eq!(bench.print(0, 10_0000)[0].price.0, 9_9900, "it begins anew");
}

#[test]
fn without_a_way_to_build_it_anew_it_stays_stopped() {
    let bad = crate::testing::Script::default();
    let (lines, panic) = (bad.lines.clone(), bad.panic.clone());
    let mut rig = Rig::ready(config(), 1, (bad,));
    panic.replace(true);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 1));
    rig.input_with(Input::Timer, &mut Catch).expect("recorded");
    let command = Command::set_state(ScopeKind::Strategy, 1, TradingState::Running, 1000);
    rig.input_with(Input::Command(&command), &mut Catch).expect("recorded");
    assert!(rig.pipeline.desk().is_disabled(0));
    assert_eq!(rig.pipeline.desk().gate().scopes().stopped(), 1);
    assert_eq!(rig.pipeline.next_deadline(), TaiNs::NEVER);
}

#[test]
fn a_state_that_cannot_be_recorded_stops_trading_and_is_not_used() {
    let mut bench = crashed();
    bench.resume(1);
    bench.rig.rec.refuse = Some(Kind::StrategyState);
    assert_eq!(bench.print(0, 10_0000), [], "its intents come after its state");
    assert_eq!(bench.rig.pipeline.desk().gate().halt(), Some(HaltReason::RingFull));
    assert_eq!(bench.rig.pipeline.desk().kept_state(0).expect("kept").bytes(), [3]);
}

#[test]
fn crash_and_restart_come_again_in_a_replay_byte_for_byte() {
    let mut bench = crashed();
    bench.print(1, 10_0000);
    bench.resume(1);
    bench.print(0, 10_0000);
    bench.print(0, 2_0000);
    bench.print(0, 1_0000);
    bench.print(1, 10_0000);
    (0..2).for_each(|_| drop(bench.resume(1)));
    bench.print(0, 10_0000);
    assert_eq!(bench.told().len(), 5);
    let mut again = Rig::bare(config(), 2, pair());
    let mut replayed = Vec::new();
    for (tai_ns, kind, body) in &bench.rig.rec.records {
        let mut wire = |bytes: &[u8]| replayed.push(Sent::read(bytes));
        let result = again.pipeline.replay(TaiNs(*tai_ns), *kind, body, &mut again.rec, &mut Catch, &mut wire);
        assert_eq!(result.is_ok(), (*kind as u16) < 64, "{kind:?}");
    }
    replayed.extend(again.sent());
    assert_eq!(again.rec.records, bench.rig.rec.records);
    assert_eq!(replayed, bench.wire);
    assert_eq!(again.pipeline.state_hash(), bench.rig.pipeline.state_hash());
}

#[test]
fn what_the_journal_kept_of_the_day_is_given_before_the_first_call() {
    let state = |count| KeptState::new(VERSION, &[count]).expect("short");
    let states = [(StrategyId(1), state(6)), (StrategyId(2), state(POISON)), (StrategyId(77), state(1))];
    let mut rig = Rig::bare(config(), 2, pair());
    rig.pipeline.recover(Ledger { states: states.into(), ..Ledger::default() });
    rig.input_with(Input::Events(&[print(0, 10_0000)]), &mut Catch).expect("recorded");
    let desk = rig.pipeline.desk();
    assert_eq!(desk.kept_state(0).expect("kept").bytes(), [7], "it has counted on");
    assert!(desk.is_disabled(1) && !desk.is_disabled(0), "one that cannot bear its state is stopped alone");
    assert_eq!(desk.kept_state(1), None);
    let mut told = rig.rec.records.iter().filter(|(_, kind, _)| *kind == Kind::Strategy);
    assert_eq!(told.clone().count(), 2);
    let (record, _) = StrategyRecord::read_from_prefix(&told.next().expect("one").2).expect("the kind's layout");
    assert_eq!((record.strategy, record.event, record.version), (1, StrategyEvent::Restarted as u16, VERSION));
}

/// It knows only from its state when it wants a timer.
#[derive(Debug)]
struct Late(Option<TaiNs>);

impl Strategy for Late {
    fn on_book(&mut self, _: &Ctx<'_>, _: &crate::book::BookChange, _: &mut Intents) {}
    fn on_batch_end(&mut self, _: &Ctx<'_>, _: Batch, _: &mut Intents) {}
    fn on_order(&mut self, _: &Ctx<'_>, _: &OrderEvent, _: &mut Intents) {}
    fn on_timer(&mut self, _: &Ctx<'_>, _: &mut Intents) {}
    fn next_deadline(&self) -> TaiNs {
        self.0.expect("it has its state")
    }
    fn restore(&mut self, state: &KeptState) {
        self.0 = state.bytes().first_chunk().map(|bytes| TaiNs(u64::from_le_bytes(*bytes)));
    }
}

#[test]
fn nothing_is_asked_of_a_strategy_before_it_has_its_state() {
    let due = TaiNs(5_000_000_000);
    let state = KeptState::new(VERSION, &due.0.to_le_bytes()).expect("short");
    let mut rig = Rig::bare(config(), 2, (Late(None),));
    rig.pipeline.recover(Ledger { states: [(StrategyId(1), state)].into(), ..Ledger::default() });
    rig.input_with(Input::Events(&[print(0, 10_0000)]), &mut Catch).expect("recorded");
    assert!(!rig.pipeline.desk().is_disabled(0));
    assert_eq!(rig.pipeline.desk().counter(PipelineCounter::StrategyPanics), 0);
    assert_eq!(rig.pipeline.next_deadline(), due);
}

#[test]
fn a_state_has_a_bound() {
    let mut intents = Intents::default();
    let too_long = [0; STATE_BYTES_MAX + 1];
    assert_eq!(intents.keep(1, &too_long), Err(StateTooLong { bytes: STATE_BYTES_MAX + 1 }));
    assert_eq!(intents.kept(), None);
    assert_eq!(intents.keep(1, &too_long[1..]), Ok(()));
    assert_eq!(intents.kept().expect("kept").bytes().len(), STATE_BYTES_MAX);
    intents.clear();
    assert_eq!(intents.kept(), None);
}
