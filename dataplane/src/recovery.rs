//! What a run takes over from the ones before it: out of the shared segment and the journal, for the pipeline to hold
//! against the venue's log. A live run and a replay read the same records, up to the one that the start record names.
//!
//! Every run with an order session does this, the first of a day too: a venue that knows of orders where nothing here does
//! is a difference like any other.

use crate::assemble::RunState;
use anyhow::Context;
use std::path::Path;
use std::time::{Duration, Instant};
use tern_abi::command::SYSTEM_UID;
use tern_abi::day::DayState;
use tern_abi::manual::AdjustmentRecord;
use tern_abi::segment::{BoundsState, DayCount, LimitsState, NextOrder, Scope, ScopeKind, TradingState, Words};
use tern_core::kept::KeptState;
use tern_core::opening::OpeningPosition;
use tern_core::reconcile::{Ledger, LedgerAdjustment, LedgerExecution, LedgerOrder, LedgerPosition};
use tern_core::risk::HaltReason;
use tern_core::units::{OrderId, Price, Side, StrategyId, Symbol};
use tern_journal::recovered::{Recovered, last_day_begins, recovered};

/// Pause between two looks at the order ring.
const DRAIN_PAUSE: Duration = Duration::from_millis(5);

/// What a run knows before it reads the journal.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The venue's trading day.
    pub day: u32,
    /// What the segment remembers of the account.
    pub next_order: NextOrder,
    /// What it remembers of the messages that were sent in a day.
    pub messages: DayCount,
    /// And of the best profit of its last run, 1/10000.
    pub high_water: i64,
    /// The journal's last record, as the daemon told the segment when it last opened it.
    pub journaled_seq: u64,
}

impl Known {
    /// A day of which the segment remembers nothing.
    pub fn of_day(day: u32) -> Self {
        Self { day, next_order: NextOrder::default(), messages: DayCount::default(), high_water: 0, journaled_seq: 0 }
    }
}

/// Reads what the earlier runs of the day left behind. Waits up to `patience` until no slot of the order ring is
/// `undrained`: what lies there is not in the journal yet.
///
/// # Errors
/// The journal lacks a segment, is damaged or cannot be read: the day cannot be known, and the run must not begin.
pub fn take_over(
    folder: &Path,
    known: &Known,
    undrained: impl Fn() -> u64,
    patience: Duration,
) -> anyhow::Result<(RunState, Recovered)> {
    let began = Instant::now();
    while undrained() != 0 && began.elapsed() < patience {
        std::thread::sleep(DRAIN_PAUSE);
    }
    let slots = undrained();
    let (journal, _) = recovered(folder, last_day_begins(folder)?..=u64::MAX)?;
    Ok((begin(&journal, known, slots), journal))
}

/// How a run begins, by what the journal knows and `slots` of the order ring that it lacks.
pub fn begin(journal: &Recovered, known: &Known, slots: u64) -> RunState {
    let records_missing = slots.max(known.journaled_seq.saturating_sub(journal.last_seq));
    if records_missing != 0 {
        tracing::warn!(records_missing, last_seq = journal.last_seq, "the journal lacks records: is ternd running?");
    }
    let is_same_day = journal.day == Some(known.day);
    let in_journal = if is_same_day { journal.next_order_id } else { 0 };
    let in_segment = if known.next_order.day == known.day { known.next_order.next } else { 0 };
    let next_order_id = in_journal.max(in_segment);
    let in_journal = if is_same_day { journal.messages } else { 0 };
    let in_segment = if known.messages.day == known.day { known.messages.count } else { 0 };
    let messages_sent = in_journal.max(in_segment);
    let in_journal = if is_same_day { journal.high_water } else { 0 };
    let in_segment = if known.next_order.day == known.day { known.high_water } else { 0 };
    RunState {
        next_order_id,
        messages_sent,
        high_water: in_journal.max(in_segment).max(0),
        restarted: next_order_id != 0,
        day: known.day,
        journal_seq: Some(journal.last_seq),
        records_missing,
        day_begins: is_same_day.then_some(journal.day_begins),
        halt: journal.halt.and_then(|reason| stop(reason, is_same_day)),
        ..RunState::default()
    }
}

/// The ledger with which the run of `state` and `opening` began, out of the journal in `folder`; `None` if it has no order
/// session.
///
/// # Errors
/// As [`take_over`].
pub fn read(folder: &Path, state: &RunState, opening: &[OpeningPosition]) -> anyhow::Result<Option<Ledger>> {
    let Some(through_seq) = state.journal_seq else { return Ok(None) };
    let Some(day_begins) = state.day_begins else { return Ok(Some(ledger(&Recovered::default(), state, opening))) };
    let (journal, _) =
        recovered(folder, day_begins..=through_seq).context("reading what an earlier run left behind")?;
    Ok(Some(ledger(&journal, state, opening)))
}

/// What the pipeline of the run that begins with `state` is told of the day. `opening` is what its configuration says was held
/// when the day began: a journal that knows of the day has it from the run before, so that another file in the middle of the
/// day is a difference.
pub fn ledger(journal: &Recovered, state: &RunState, opening: &[OpeningPosition]) -> Ledger {
    if journal.day != Some(state.day) {
        let (halt, records_missing) = (state.halt, state.records_missing);
        let held = |one: &OpeningPosition| {
            let OpeningPosition { strategy, symbol, shares, .. } = *one;
            LedgerPosition { strategy, symbol, shares }
        };
        let positions = opening.iter().map(held).collect();
        return Ledger {
            halt,
            records_missing,
            positions,
            unknown_ids_below: state.next_order_id,
            ..Ledger::default()
        };
    }
    let order = |(id, order): (u32, &tern_journal::recovered::RecoveredOrder)| LedgerOrder {
        id: OrderId(id),
        acknowledged: order.acknowledged,
        open: order.open,
        leaves: order.leaves,
    };
    let execution = |(match_number, order, execution): (u64, u32, &tern_journal::recovered::RecoveredExecution)| {
        let (quantity, price) = (execution.quantity, Price(execution.price));
        LedgerExecution { match_number, order: OrderId(order), quantity, price }
    };
    Ledger {
        session_seq: journal.session_seq(),
        orders: journal.orders().map(order).collect(),
        executions: journal.executions().map(execution).collect(),
        positions: (journal.positions().into_iter())
            .filter(|(_, position)| position.shares != 0)
            .map(|((strategy, symbol), position)| LedgerPosition {
                strategy: StrategyId(strategy),
                symbol: Symbol(symbol),
                shares: position.shares,
            })
            .collect(),
        adjustments: journal.adjustments.iter().filter_map(adjustment).collect(),
        states: (journal.strategy_states.iter())
            .filter_map(|(strategy, (version, bytes))| {
                Some((StrategyId(*strategy), KeptState::new(*version, bytes).ok()?))
            })
            .collect(),
        halt: state.halt,
        records_missing: state.records_missing,
        unknown_ids_below: 0,
    }
}

/// One of no side is left out: then the position differs from the journal's, which stops trading.
fn adjustment(record: &AdjustmentRecord) -> Option<LedgerAdjustment> {
    Some(LedgerAdjustment {
        after_executions: record.after_executions,
        strategy: StrategyId(record.strategy),
        symbol: Symbol(record.symbol),
        side: Side::from_u8(record.side)?,
        price: Price(record.price),
        quantity: record.quantity,
    })
}

/// Writes into a new segment what the journal says was restricted and which limits were set: the one before it is lost with
/// what it remembered. The loop heeds both as if it had been told by that one.
///
/// # Errors
/// There is no room for all scopes, which no segment had more of: it is not a new one.
pub fn remind(journal: &Recovered, words: &Words, now_ns: u64) -> anyhow::Result<()> {
    for ((kind, key), command) in &journal.scopes {
        let Some((.., state)) = command.scope_state() else { continue };
        let scope = Scope { kind: *kind, key: *key, state, uid: command.uid, since_ns: now_ns, changes: 0 };
        words
            .scopes
            .restrict(&scope)
            .map_err(|_| anyhow::anyhow!("more scopes are restricted than the segment takes"))?;
        tracing::warn!(kind = kind.name(), key, state = state.name(), "restricted as the journal says");
    }
    if let Some(day) = journal.day {
        let mut state = BoundsState { day, ..BoundsState::default() };
        for command in journal.bounds.values() {
            let symbol = String::from_utf8_lossy(&command.bounds.symbol);
            if !state.set(&command.bounds, (command.epoch, command.uid, now_ns)) {
                anyhow::bail!("bounds of {symbol}'s price were set, and of more symbols than the segment takes");
            }
            tracing::warn!(%symbol, why = command.why(), "bounds of its price that were set, as the journal says");
        }
        words.bounds.write(&state);
    }
    // Last: one that is cut short before is done again.
    if let Some(command) = &journal.limits {
        words.limits.write(&LimitsState::new(command, now_ns));
        tracing::warn!(epoch = command.epoch, why = command.why(), "limits that were set, as the journal says");
    }
    Ok(())
}

/// Restricts the whole firm to what the trading day `day` lets leave, as its operators led it: a day of which the journal says nothing
/// lets no order leave. What is restricted further stays so.
///
/// # Errors
/// There is no room for the scope: the run must not begin.
pub fn hold_day(journal: &Recovered, words: &Words, day: u32, now_ns: u64) -> anyhow::Result<()> {
    let state = if journal.led.day == Some(day) { journal.led.state } else { DayState::New };
    let most = state.most();
    let now = words.scopes.find(ScopeKind::Firm, 0).map_or(TradingState::Running, |scope| scope.state);
    tracing::warn!(state = state.name(), most = most.name(), "the trading day is led by operators");
    if now as u8 >= most as u8 {
        return Ok(());
    }
    let scope = Scope { kind: ScopeKind::Firm, key: 0, state: most, uid: SYSTEM_UID, since_ns: now_ns, changes: 0 };
    let full = |_| {
        anyhow::anyhow!(
            "every place for scopes is taken, and the trading day needs one: lift others (`tern resume --scope`)"
        )
    };
    words.scopes.restrict_beside(&scope).map_err(full)
}

/// The stop that a restart takes over. What a restart asks for, this one asks for anew; a loss is one of its day.
fn stop(reason: u32, is_same_day: bool) -> Option<HaltReason> {
    match HaltReason::from_index(reason as usize) {
        // A daemon that is silent again stops this run again.
        Some(HaltReason::NotHalted | HaltReason::Shutdown | HaltReason::DaemonSilent) => None,
        Some(HaltReason::DailyLoss | HaltReason::Drawdown) if !is_same_day => None,
        Some(reason) if reason.is_of_restart() => None,
        Some(reason) => Some(reason),
        // A reason of another build: stopped is stopped.
        None => Some(HaltReason::Killed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_hw::segment::{DataPlaneSegment, SegmentSpec};

    #[test]
    fn the_reason_of_an_orderly_end_is_the_one_that_the_journal_means() {
        assert_eq!(HaltReason::Shutdown as u32, tern_journal::recovered::HALT_SHUTDOWN);
        assert_eq!([0, 2, 12, 13, 14].map(|reason| stop(reason, true)), [None; 5]);
        let stops = [1, 10, 999].map(|reason| stop(reason, true));
        assert_eq!(stops, [HaltReason::Killed, HaltReason::DailyLoss, HaltReason::Killed].map(Some));
        let stops = [4, 10, 11].map(|reason| stop(reason, false));
        assert_eq!(stops, [Some(HaltReason::Overfill), None, None], "a loss is one of its day");
    }

    #[test]
    fn a_segment_that_knows_of_orders_beside_a_journal_that_does_not_is_told() {
        let known = Known { day: 5, next_order: NextOrder { day: 5, next: 40 }, journaled_seq: 90, ..Known::of_day(5) };
        let folder = Path::new("/nonexistent/journal");
        let (state, journal) = take_over(folder, &known, || 3, Duration::ZERO).expect("an empty journal");
        assert_eq!((state.next_order_id, state.restarted, state.records_missing), (40, true, 90));
        let lucky = Known { high_water: 8, ..known };
        assert_eq!(begin(&journal, &lucky, 0).high_water, 8);
        assert_eq!(begin(&journal, &Known { day: 6, ..lucky }, 0).high_water, 0, "of another day");
        let mut journal_knows = Recovered::default();
        (journal_knows.day, journal_knows.high_water) = (Some(5), 11);
        assert_eq!(begin(&journal_knows, &lucky, 0).high_water, 11);
        assert_eq!(begin(&journal_knows, &Known::of_day(5), 0).high_water, 11, "the segment is lost");
        assert_eq!(begin(&journal_knows, &Known::of_day(6), 0).high_water, 0, "of another day");
        let ledger = ledger(&journal, &state, &[]);
        assert_eq!((ledger.unknown_ids_below, ledger.records_missing), (40, 90));
        assert_eq!(read(folder, &state, &[]).expect("an empty journal"), Some(ledger), "a replay has the same");
    }

    #[test]
    fn a_new_segment_says_what_was_restricted_and_which_limits_were_set() {
        use tern_abi::command::{Command, SetBounds, SetLimits};
        use tern_abi::segment::{ScopeKind, TradingState};
        let mut journal = Recovered::default();
        journal.day = Some(7);
        let bounds = SetBounds { symbol: *b"GME     ", seen: [2000, 2600], wanted: [200_000, 260_000] };
        let command = SetLimits { bounds, ..SetLimits::new(&[5, 6], (3, 4), 33, "cents") };
        journal.bounds.insert(bounds.symbol, command);
        let command = Command::set_state(ScopeKind::Symbol, 9, TradingState::CancelOnly, 33);
        journal.scopes.insert((ScopeKind::Symbol, 9), command);
        journal.limits = Some(SetLimits::new(&[5, 6], (3, 4), 33, "calm"));
        let spec = SegmentSpec {
            path: Some(format!("/dev/shm/tern-test-remind-{}", std::process::id()).into()),
            huge_pages: false,
            ..SegmentSpec::new("remind")
        };
        let mut segment = DataPlaneSegment::open(&spec).expect("a segment");
        let words = segment.ends().expect("ring ends").segment;
        std::fs::remove_file(spec.path.expect("given")).expect("it was made");
        remind(&journal, &words, 70).expect("room");
        let found = words.scopes.find(ScopeKind::Symbol, 9).expect("it is there");
        assert_eq!((found.state, found.uid, found.since_ns), (TradingState::CancelOnly, 33, 70));
        let limits = words.limits.read().expect("written");
        assert_eq!((limits.epoch, limits.values(), limits.why()), (4, &[5, 6][..], "calm"));
        let state = words.bounds.read().expect("written");
        let shown = state.of(bounds.symbol).expect("it is there");
        assert_eq!((state.day, shown.prices, shown.before, shown.uid), (7, bounds.wanted, bounds.seen, 33));
    }

    #[test]
    fn a_run_holds_the_firm_by_what_the_journal_says_of_its_own_day() {
        let spec = SegmentSpec {
            path: Some(format!("/dev/shm/tern-test-hold-{}", std::process::id()).into()),
            huge_pages: false,
            ..SegmentSpec::new("hold")
        };
        let mut segment = DataPlaneSegment::open(&spec).expect("a segment");
        let words = segment.ends().expect("ring ends").segment;
        std::fs::remove_file(spec.path.expect("given")).expect("it was made");
        let mut journal = Recovered::default();
        (journal.led.day, journal.led.state) = (Some(7), DayState::Armed);
        let firm = || words.scopes.find(ScopeKind::Firm, 0).map(|scope| (scope.state, scope.uid));
        hold_day(&journal, &words, 7, 70).expect("room");
        assert_eq!(firm(), None, "a restart within an armed day");
        journal.led.state = DayState::WindDown;
        hold_day(&journal, &words, 7, 70).expect("room");
        assert_eq!(firm(), Some((TradingState::ReduceOnly, SYSTEM_UID)));
        journal.led.state = DayState::Armed;
        hold_day(&journal, &words, 8, 70).expect("room");
        assert_eq!(firm(), Some((TradingState::CancelOnly, SYSTEM_UID)), "armed yesterday");
        hold_day(&journal, &words, 7, 70).expect("room");
        assert_eq!(firm(), Some((TradingState::CancelOnly, SYSTEM_UID)), "a start lifts nothing");
    }

    #[test]
    fn a_missing_segment_keeps_a_run_from_beginning_and_is_named() {
        let folder = std::env::temp_dir().join(format!("tern-recovery-missing-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("00000002.journal"), b"x").expect("a later segment");
        let known = Known::of_day(5);
        let refused = take_over(&folder, &known, || 0, Duration::ZERO).map(|_| ()).expect_err("a segment is missing");
        std::fs::remove_dir_all(&folder).expect("it was made");
        assert!(refused.to_string().contains("00000001"), "{refused}");
    }
}
