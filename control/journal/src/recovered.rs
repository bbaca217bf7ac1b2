//! What a journal knows of the day: orders, executions, positions, limits and why trading stopped, for a data plane that
//! starts again and for people who ask what it would find.
//!
//! A run that starts anew in mid-day hears the venue's whole log again, and its records tell the day a second time. So
//! each run is followed by itself: until its word was compared with what was known ([`Difference::Done`]) and they agreed,
//! or an operator accepted the difference ([`Difference::Accepted`]), what was known before it stays.

mod ascending;
mod view;

use self::view::View;
pub use self::view::{RecoveredExecution, RecoveredOrder, RecoveredPosition};
use crate::beginning::beginning;
use crate::day::DayLog;
use crate::format::segment_path;
use crate::opening::Opening;
use crate::recover::segment_span;
use crate::scan::Scan;
use crate::{JournalError, Reader};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use tern_abi::command::{Command, CommandKind, LimitsOutcome, SetLimits};
use tern_abi::counters::LoopCounter;
use tern_abi::event::SIDE_BUY;
use tern_abi::manual::AdjustmentRecord;
use tern_abi::reconcile::{Difference, ReconcileRecord};
use tern_abi::record::{
    ACTION_CANCEL, ACTION_REPLACE, Kind, LimitsRecord, OrderEventRecord, OrderRecord, PositionRecord, RecordHeader,
    StartRecord, StateRecord, StrategyEvent, StrategyRecord,
};
use tern_abi::rescue::{RescueRecord, RescueStep};
use tern_abi::segment::{ScopeKind, TradingState};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Index of the halt reason of an orderly end (`tern_core::risk::HaltReason::Shutdown`).
pub const HALT_SHUTDOWN: u32 = 2;
/// What stands before the line of a start record that says how the run began.
pub const RUN_LINE: &str = "#run ";
/// In that line: `seq` of the start record with which the day began, when it was not this one.
pub const DAY_BEGINS: &str = "day_begins";
/// Differences that are kept in full; the others are counted.
pub const DIFFERENCES_MAX: usize = 1000;

/// Where a position stands: strategy id and symbol.
pub type PositionKey = (u16, [u8; 8]);

/// What a journal knows of its last day. Feed it every record, in order.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The trading day, if a run said which.
    pub day: Option<u32>,
    /// `seq` of the start record with which the day begins.
    pub day_begins: u64,
    /// Runs of the day.
    pub runs: u64,
    /// Records of all days.
    pub records: u64,
    /// `seq` of the last record, 0 if there is none.
    pub last_seq: u64,
    /// Its time, TAI ns.
    pub last_tai_ns: u64,
    /// No order id below this may be given out; 0 when none was.
    pub next_order_id: u32,
    /// Order messages of the day: orders, replaces and cancels.
    pub messages: u32,
    /// The best profit of the day, 1/10000, as the last record of counters has it.
    pub high_water: i64,
    /// Index of the reason for which trading is stopped; the end of a run is none. It outlives the day.
    pub halt: Option<u32>,
    /// Restricted scopes, by kind and key: the command that said so last. They outlive the day.
    pub scopes: BTreeMap<(ScopeKind, u64), Command>,
    /// The command by which limits were set last, if any were. They outlive the day.
    pub limits: Option<SetLimits>,
    /// Bounds of prices that were set in the day, by symbol: the command that said so last.
    pub bounds: BTreeMap<[u8; 8], SetLimits>,
    /// The last run ended in order.
    pub clean_stop: bool,
    /// Differences that the last run found, the first [`DIFFERENCES_MAX`].
    pub differences: Vec<ReconcileRecord>,
    /// How many of all those it found stop trading.
    pub differences_stopping: u64,
    /// The last run's venue log has not been compared with what was known, or differs and nobody accepted that.
    pub unreconciled: bool,
    /// Records whose body is shorter than their kind, or whose kind is unknown.
    pub unreadable: u64,
    /// What strategies handed out last: version and bytes, by strategy id.
    pub strategy_states: BTreeMap<u16, (u16, Vec<u8>)>,
    /// How far the day is, as operators led it.
    pub led: DayLog,
    /// Trades of the day that people told, in order. Every run of the day counts them; the venue's log has none of them.
    pub adjustments: Vec<AdjustmentRecord>,
    /// Limits that are to be set: what came of it follows.
    wanted: Option<SetLimits>,
    /// What the last run was told was held when the day began; it counts once the run has agreed.
    opening: Vec<Opening>,
    settled: View,
    run: Option<View>,
}

/// Reads the records of the journal in `folder` from `seqs.start()` to `seqs.end()`, or to its end before that, and how
/// many bytes of a record that is or was being written lie behind.
///
/// # Errors
/// `Missing`, `Damaged`, `Version`, `Io`: nothing can be said of a day of which a part is missing.
pub fn recovered(folder: &Path, seqs: RangeInclusive<u64>) -> Result<(Recovered, u64), JournalError> {
    let mut state = Recovered::default();
    let mut reader = Reader::open_near(folder, *seqs.start())?;
    while let Some(record) = reader.next()? {
        if record.header.seq > *seqs.end() {
            return Ok((state, 0));
        }
        if record.header.seq >= *seqs.start() {
            state.apply(&record.header, record.body);
        }
    }
    Ok((state, reader.tail_bytes()))
}

/// `seq` of the start record with which the last day of the journal in `folder` begins; 0 when it has no start record.
/// Reads back from the end to the last start record, which says it.
///
/// # Errors
/// As [`recovered`].
pub fn last_day_begins(folder: &Path) -> Result<u64, JournalError> {
    day_begins_before(folder, *segment_span(folder)?.end())
}

/// As [`last_day_begins`], of the journal as it was with `last` segments.
pub(crate) fn day_begins_before(folder: &Path, last: u64) -> Result<u64, JournalError> {
    for number in (beginning(folder)?.segment..=last).rev() {
        match day_begins_in(folder, number)? {
            0 => {}
            begins => return Ok(begins),
        }
    }
    Ok(0)
}

/// The same of segment `number` alone; 0 when it has no start record.
pub(crate) fn day_begins_in(folder: &Path, number: u64) -> Result<u64, JournalError> {
    begins_in(Scan::open(&segment_path(folder, number), number)?)
}

/// The same of what lies behind byte `from` of it, where a record or a mark begins.
pub(crate) fn day_begins_behind(folder: &Path, number: u64, from: u64) -> Result<u64, JournalError> {
    let mut scan = Scan::open(&segment_path(folder, number), number)?;
    scan.go_to(from)?;
    begins_in(scan)
}

fn begins_in(mut scan: Scan) -> Result<u64, JournalError> {
    let mut begins = 0;
    while let Some(body) = scan.find(Kind::Start as u16)? {
        begins = day_begin_of(scan.bytes(body), scan.last().seq);
    }
    Ok(begins)
}

/// `seq` of the start record with which the day begins of the run of start record `seq`.
pub(crate) fn day_begin_of(body: &[u8], seq: u64) -> u64 {
    let of_day = start_text(body).and_then(|text| run_value(text, DAY_BEGINS));
    of_day.and_then(|value| value.parse().ok()).unwrap_or(seq)
}

/// The last start record of the journal in `folder`, header and text; `None` when it has none. Looked for from the end.
///
/// # Errors
/// As [`recovered`].
pub fn last_start(folder: &Path) -> Result<Option<(RecordHeader, String)>, JournalError> {
    for number in segment_span(folder)?.rev() {
        let mut scan = Scan::open(&segment_path(folder, number), number)?;
        let mut found = None;
        while let Some(body) = scan.find(Kind::Start as u16)? {
            found = start_text(scan.bytes(body)).map(|text| (*scan.last(), text.to_owned())).or(found);
        }
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

pub(crate) fn start_text(body: &[u8]) -> Option<&str> {
    StartRecord::ref_from_prefix(body).ok().map(|(_, text)| std::str::from_utf8(text).unwrap_or_default())
}

/// The value behind `key=` in the line of a start record that says how the run began.
pub fn run_value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let line = text.lines().find_map(|line| line.strip_prefix(RUN_LINE))?;
    line.split_whitespace()
        .find_map(|word| word.split_once('=').filter(|(name, _)| *name == key))
        .map(|(_, value)| value)
}

impl Recovered {
    /// Adds one record.
    pub fn apply(&mut self, header: &RecordHeader, body: &[u8]) {
        self.records += 1;
        (self.last_seq, self.last_tai_ns) = (header.seq, header.tai_ns);
        // By number: this is done for every datagram of a day.
        let readable = match header.kind {
            kind if kind == Kind::Datagram as u16 => true,
            kind if kind == Kind::Order as u16 => read(body, |order: &OrderRecord| self.order(order)),
            kind if kind == Kind::OrderEvent as u16 => read(body, |event: &OrderEventRecord| self.event(event)),
            kind if kind == Kind::Position as u16 => read(body, |position: &PositionRecord| {
                self.view().symbols.insert(position.instrument, position.symbol);
            }),
            kind if kind == Kind::State as u16 => read(body, |state: &StateRecord| self.state(state)),
            kind if kind == Kind::Command as u16 => read(body, |command: &Command| self.command(command)),
            kind if kind == Kind::SetLimits as u16 => {
                self.wanted = SetLimits::of_record(body);
                self.wanted.is_some()
            }
            kind if kind == Kind::Limits as u16 => read(body, |record: &LimitsRecord| self.set_limits(record)),
            kind if kind == Kind::Reconcile as u16 => read(body, |record: &ReconcileRecord| self.difference(record)),
            kind if kind == Kind::Counters as u16 => {
                let at = LoopCounter::HighWater.index() * size_of::<u64>();
                let word = body.get(at..).and_then(|rest| rest.first_chunk());
                let level = word.map_or(0, |word| i64::try_from(u64::from_le_bytes(*word)).unwrap_or(0));
                self.high_water = self.high_water.max(level);
                true
            }
            kind if kind == Kind::Rescue as u16 => read(body, |step: &RescueRecord| {
                // A cancel that left counts like any other.
                let left = step.step == RescueStep::Sent as u32 && step.order != 0;
                self.messages = self.messages.saturating_add(u32::from(left));
            }),
            kind if kind == Kind::Start as u16 => start_text(body).map(|text| self.start(header.seq, text)).is_some(),
            kind if kind == Kind::Adjustment as u16 => read(body, |record| self.adjustments.push(*record)),
            kind if kind == Kind::Day as u16 => {
                self.led.apply(header, body);
                true
            }
            kind if kind == Kind::StrategyState as u16 || kind == Kind::Strategy as u16 => self.strategy(body),
            kind => Kind::from_u16(kind).is_some(),
        };
        self.unreadable += u64::from(!readable);
    }

    /// Order ids of the day, ascending.
    pub fn orders(&self) -> impl Iterator<Item = (u32, &RecoveredOrder)> {
        self.settled.orders.iter()
    }

    /// Executions of the day, by match number and order.
    pub fn executions(&self) -> impl Iterator<Item = (u64, u32, &RecoveredExecution)> {
        self.settled.executions.iter().map(|(key, execution)| (key.0, key.1, execution))
    }

    /// Symbol of an instrument id, space padded; zeros when no record says it.
    pub fn symbol(&self, instrument: u32) -> [u8; 8] {
        self.settled.symbols.get(&instrument).copied().unwrap_or_default()
    }

    /// Number of the last message of the venue's log that was heard of orders; 0 = none.
    pub fn session_seq(&self) -> u64 {
        self.settled.session_seq
    }

    /// Whether the journal knows that the account traded in the day.
    pub fn has_traded(&self) -> bool {
        self.next_order_id != 0
    }

    /// What the executions add up to, from what was held when the day began; flat positions included. That counts as bought
    /// at what it cost.
    pub fn positions(&self) -> BTreeMap<PositionKey, RecoveredPosition> {
        let mut in_order: Vec<&RecoveredExecution> = self.settled.executions.values().filter(|e| !e.broken).collect();
        in_order.sort_unstable_by_key(|execution| execution.place);
        let mut positions = BTreeMap::<PositionKey, RecoveredPosition>::new();
        for Opening { strategy, symbol, shares, cost, .. } in &self.settled.opening {
            let held = RecoveredPosition { shares: *shares, cost: *cost, cash: cost.saturating_neg(), fills: 0 };
            positions.insert((*strategy, *symbol), held);
        }
        let mut told = self.adjustments.iter().peekable();
        let mut tell = |positions: &mut BTreeMap<PositionKey, RecoveredPosition>, executions: u64| {
            while let Some(one) = told.next_if(|one| one.after_executions <= executions) {
                let position = positions.entry((one.strategy, one.symbol)).or_default();
                position.trade(one.side == SIDE_BUY, one.quantity, one.price);
            }
        };
        for execution in in_order {
            tell(&mut positions, execution.place);
            let position = positions.entry((execution.strategy, self.symbol(execution.instrument))).or_default();
            position.trade(execution.is_buy, execution.quantity, execution.price);
        }
        tell(&mut positions, u64::MAX);
        positions
    }

    fn view(&mut self) -> &mut View {
        self.run.as_mut().unwrap_or(&mut self.settled)
    }

    fn start(&mut self, seq: u64, text: &str) {
        let day = run_value(text, "day").and_then(|value| value.parse().ok());
        if day != self.day || self.runs == 0 {
            // Another day of the venue: ids, orders and positions begin anew. What an operator has to lift stays.
            *self = Self {
                day,
                day_begins: seq,
                records: self.records,
                last_seq: self.last_seq,
                last_tai_ns: self.last_tai_ns,
                unreadable: self.unreadable,
                halt: self.halt,
                scopes: std::mem::take(&mut self.scopes),
                limits: self.limits,
                ..Self::default()
            };
        }
        self.led.begin(day, self.day_begins);
        let opening = Opening::of_start(text);
        self.unreadable += u64::from(opening.is_none());
        self.opening = opening.unwrap_or_default();
        if self.runs == 0 {
            self.settled.opening.clone_from(&self.opening);
        }
        self.runs += 1;
        self.clean_stop = false;
        let begun = run_value(text, "next_order_id").and_then(|value| value.parse().ok()).unwrap_or(0);
        self.next_order_id = self.next_order_id.max(begun);
        let is_compared = run_value(text, "journal_seq").is_some();
        if is_compared {
            // How the run began says it, should the records before it not be here any more.
            self.halt = run_value(text, "halt").and_then(|value| value.parse().ok());
        }
        self.run = (run_value(text, "restarted") == Some("1")).then(View::default);
        self.unreconciled = is_compared;
        self.differences.clear();
        self.differences_stopping = 0;
    }

    /// What a strategy handed out is given to it again, but for a state over which it panicked.
    fn strategy(&mut self, body: &[u8]) -> bool {
        let Ok((record, more)) = StrategyRecord::ref_from_prefix(body) else { return false };
        if record.event == StrategyEvent::State as u16 {
            self.strategy_states.insert(record.strategy, (record.version, more.to_vec()));
        } else if record.event == StrategyEvent::NotBuilt as u16 {
            self.strategy_states.remove(&record.strategy);
        }
        true
    }

    fn order(&mut self, order: &OrderRecord) {
        self.messages = self.messages.saturating_add(1);
        self.view().symbols.insert(order.instrument, order.symbol);
        if order.action == ACTION_CANCEL {
            return;
        }
        self.next_order_id = self.next_order_id.max(order.order.saturating_add(1));
        let view = self.view();
        let replaces = if order.action == ACTION_REPLACE { order.replaces } else { 0 };
        if let Some(replaced) = view.orders.get_mut(replaces) {
            replaced.replacement = order.order;
        }
        let sent = RecoveredOrder {
            instrument: order.instrument,
            price: order.price,
            replaces,
            replacement: 0,
            leaves: order.quantity,
            strategy: order.strategy,
            side: order.side,
            acknowledged: false,
            open: true,
        };
        view.orders.insert(order.order, sent);
    }

    fn event(&mut self, event: &OrderEventRecord) {
        let ids = event.order.max(event.previous);
        self.next_order_id = self.next_order_id.max(ids.saturating_add(u32::from(ids != 0)));
        self.view().event(event);
    }

    fn command(&mut self, command: &Command) {
        if command.kind == CommandKind::SetState as u32
            && let Some((kind, key, state)) = command.scope_state()
        {
            if state == TradingState::Running {
                self.scopes.remove(&(kind, key));
            } else {
                self.scopes.insert((kind, key), *command);
            }
        }
    }

    fn set_limits(&mut self, record: &LimitsRecord) {
        let wanted = self.wanted.take();
        if record.outcome == LimitsOutcome::Set as u32 {
            if let Some(command) = wanted.filter(|command| command.bounds.is_meant()) {
                self.bounds.insert(command.bounds.symbol, command);
            }
            self.limits = wanted.or(self.limits);
        }
    }

    fn state(&mut self, state: &StateRecord) {
        self.clean_stop = state.trading == 0 && state.reason == HALT_SHUTDOWN;
        if state.trading != 0 {
            self.halt = None;
        } else if !self.clean_stop {
            self.halt = Some(state.reason);
        }
    }

    fn difference(&mut self, record: &ReconcileRecord) {
        let difference = Difference::from_index(record.difference as usize);
        match difference {
            Some(Difference::Accepted) => return self.settle(),
            Some(Difference::Done) if record.ours == 0 => return self.settle(),
            Some(Difference::Done) => return,
            _ => {}
        }
        // One that this build does not know stops trading like the others that the run counted.
        self.differences_stopping += u64::from(difference.is_none_or(Difference::stops));
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(*record);
        }
    }

    /// From now on the day is as this run tells it.
    fn settle(&mut self) {
        if let Some(view) = self.run.take() {
            self.settled = view;
        }
        self.settled.opening.clone_from(&self.opening);
        self.unreconciled = false;
    }
}

/// Reads the fixed part of a body where it lies; `false` when the body is too short for it.
fn read<T: FromBytes + KnownLayout + Immutable>(body: &[u8], then: impl FnOnce(&T)) -> bool {
    match T::read_from_prefix(body) {
        Ok((record, _)) => {
            then(&record);
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
#[path = "recovered_tests.rs"]
mod tests;
