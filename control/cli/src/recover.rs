//! `tern recover`: what a restart found, what one would find now, and the operator's word that differences are accepted.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tern_abi::command::SYSTEM_UID;
use tern_abi::counters::LoopCounter;
use tern_abi::reconcile::{Difference, ReconcileRecord};
use tern_abi::record::Kind;
use tern_abi::segment::{ACCOUNTS, NextOrder, ScopeKind, Words};
use tern_config::Date;
use tern_config::facts::{Names, name_at};
use tern_config::protocol::{Answer, Ask};
use tern_journal::JournalError;
use tern_journal::recovered::{Recovered, RecoveredPosition, last_day_begins, recovered};
use zerocopy::FromBytes;

use crate::control::{ask, wait};
use crate::fold::symbol_text;
use crate::outcome::{Failure, Outcome, exit};
use crate::records;
use crate::table::{grouped, money, tai_time};
use crate::target::Target;

/// How long the loop may take to act on what was accepted.
const PATIENCE: Duration = Duration::from_secs(2);

/// The day as the journal tells it, how the last run's comparison with the venue's log came out, and with `dry_run` what a
/// data plane that starts now would begin with.
///
/// # Errors
/// Exit code 4 when the journal is damaged or a part of it is missing: no data plane would start on it.
pub(crate) fn show(target: &Target, dry_run: bool) -> Result<Outcome, Failure> {
    let began = Instant::now();
    // Before the journal is read: what a daemon that runs writes meanwhile is missing from nothing.
    let journaled_seq = journaled_seq(target);
    let (day, tail_bytes) = read(&target.paths.journal)?;
    let mut text = day_text(&day, &target.names(), tail_bytes);
    let mut json = day_json(&day, &target.names(), tail_bytes);
    text.push_str(&comparison_text(&day));
    let mut code = if day.unreconciled && day.differences_stopping > 0 { exit::UNHEALTHY } else { exit::OK };
    if dry_run {
        let start = Start::of(target, &day, journaled_seq);
        code = if start.records_missing == 0 { exit::OK } else { exit::UNHEALTHY };
        text.push_str(&start.text());
        json["start"] = start.json();
    }
    json["read_ms"] = json!(began.elapsed().as_millis() as u64);
    Ok(Outcome { text, json, code })
}

/// Has the data plane accept what differs, if it is `seen` differences still.
///
/// # Errors
/// Exit code 2 when there is nothing to accept, 3 when no daemon answers.
pub(crate) fn accept(target: &Target, seen: u32) -> Result<Outcome, Failure> {
    let (day, _) = read(&target.paths.journal)?;
    if !day.unreconciled || day.differences_stopping != u64::from(seen) {
        return Err(Failure::usage(match (day.unreconciled, day.differences_stopping) {
            (true, found @ 1..) => format!("{found} differences were found, not {seen}: look at them (`tern recover`)"),
            _ => "nothing differs that would have to be accepted; `tern recover` says how things stand".into(),
        }));
    }
    let view = target.segment()?;
    let words = view.segment().map_err(Failure::failed)?;
    let refused_before = words.counters.get(LoopCounter::CommandsRefused);
    let taken = matches!(ask(target, Ask::AcceptDifferences { seen })?, Answer::Command { taken: true });
    let refused = || words.counters.get(LoopCounter::CommandsRefused) != refused_before;
    let accepted = taken && wait(Instant::now() + PATIENCE, || says_accepted(target, day.last_seq));
    let trading = words.trading.get().0;
    let json = json!({ "accepted": accepted, "taken": taken, "differences": seen, "trading": trading });
    let (text, code) = match (accepted, taken) {
        (true, _) if trading => (format!("{seen} differences accepted: orders may leave again\n"), exit::OK),
        (true, _) => (
            format!("{seen} differences accepted; something else keeps orders from leaving: `tern status` says what\n"),
            exit::OK,
        ),
        (false, true) if refused() => ("refused: the data plane has other differences by now\n".into(), exit::FAILED),
        (false, true) => ("the data plane took it and the journal does not say so yet\n".into(), exit::UNHEALTHY),
        (false, false) => ("the data plane has not taken the command yet\n".into(), exit::UNHEALTHY),
    };
    Ok(Outcome { text, json, code })
}

/// Whether the journal says so behind record `after_seq`; one that cannot be read says nothing.
fn says_accepted(target: &Target, after_seq: u64) -> bool {
    let mut found = false;
    let read = records::for_each(&target.paths.journal, after_seq + 1, |header, body| {
        found = header.kind == Kind::Reconcile as u16
            && ReconcileRecord::read_from_prefix(body)
                .is_ok_and(|(record, _)| record.difference == Difference::Accepted as u32);
        !found
    });
    found && read.is_ok()
}

/// The last day of the journal in `folder`, and how many bytes lie behind its last record.
///
/// # Errors
/// Exit code 4 when it is damaged or a part of it is missing.
pub(crate) fn read(folder: &Path) -> Result<(Recovered, u64), Failure> {
    let read = last_day_begins(folder).and_then(|begins| recovered(folder, begins..=u64::MAX));
    read.map_err(|error| match error {
        JournalError::Damaged(_) | JournalError::Missing { .. } => Failure {
            message: format!(
                "{error}; no data plane starts on it: bring the missing part back, or move the folder away"
            ),
            code: exit::DAMAGED,
        },
        other => Failure::failed(other),
    })
}

fn halt_name(names: &Names, halt: Option<u32>) -> Option<String> {
    halt.map(|reason| name_at(&names.halts, reason as usize))
}

fn day_text(day: &Recovered, names: &Names, tail_bytes: u64) -> String {
    if day.last_seq == 0 {
        return "the journal is empty\n".into();
    }
    let mut text = match day.day {
        Some(days) => format!("{} (day {days})", Date { days }),
        None => "a day that no run named".into(),
    };
    let open = day.orders().filter(|(_, order)| order.open).count();
    let unanswered = day.orders().filter(|(_, order)| order.open && !order.acknowledged).count();
    text.push_str(&format!(
        ": {} runs, {} records up to {} at {}\n",
        day.runs,
        grouped(day.records),
        grouped(day.last_seq),
        tai_time(day.last_tai_ns)
    ));
    if tail_bytes > 0 {
        text.push_str(&format!("{tail_bytes} bytes behind it belong to a record that is or was being written\n"));
    }
    text.push_str(&format!(
        "orders: {} ids, {open} open, {unanswered} of them not answered; the next id is {}\n",
        grouped(day.orders().count() as u64),
        day.next_order_id
    ));
    let broken = day.executions().filter(|(_, _, execution)| execution.broken).count();
    text.push_str(&format!(
        "executions: {}, {broken} broken; the venue's log was heard up to message {}\n",
        grouped(day.executions().count() as u64),
        day.session_seq()
    ));
    if let Some(reason) = halt_name(names, day.halt) {
        text.push_str(&format!("trading is stopped: {reason}\n"));
    }
    for ((kind, key), command) in &day.scopes {
        let state = command.scope_state().map_or("?", |(.., state)| state.name());
        text.push_str(&format!(
            "restricted: {} {} is {state}, {}\n",
            kind.name(),
            key_text(*kind, *key),
            by_text(command.uid)
        ));
    }
    if let Some(command) = &day.limits {
        let by = by_text(command.uid);
        text.push_str(&format!("limits: set with epoch {} {by}: {}\n", command.epoch, command.why()));
    }
    for command in day.bounds.values() {
        let ([lowest, highest], by) = (command.bounds.wanted, by_text(command.uid));
        let symbol = symbol_text(&command.bounds.symbol);
        let prices = format!("{} to {}", money(lowest), money(highest));
        text.push_str(&format!(
            "prices of {symbol}: {prices}, set with epoch {} {by}: {}\n",
            command.epoch,
            command.why()
        ));
    }
    if day.unreadable > 0 {
        text.push_str(&format!("{} records could not be read\n", day.unreadable));
    }
    text + &positions_text(day)
}

/// Who it was, by the names that `tern status --json` has.
fn by_name(uid: u32) -> &'static str {
    if uid == SYSTEM_UID { "data_plane" } else { "operator" }
}

/// The user; none where it was the system.
fn user(uid: u32) -> Option<u32> {
    (uid != SYSTEM_UID).then_some(uid)
}

fn by_text(uid: u32) -> String {
    if uid == SYSTEM_UID { "by the data plane".into() } else { format!("by uid {uid}") }
}

fn key_text(kind: ScopeKind, key: u64) -> String {
    match kind {
        ScopeKind::Symbol => symbol_text(&key.to_le_bytes()),
        _ => key.to_string(),
    }
}

fn positions_text(day: &Recovered) -> String {
    let positions = day.positions();
    let held = positions.values().filter(|position| position.shares != 0).count();
    let sum = |value: fn(&RecoveredPosition) -> i64| positions.values().map(|p| i128::from(value(p))).sum::<i128>();
    format!(
        "positions: {held} held, {} flat; cash {}, realized {} (`tern positions` lists them)\n",
        positions.len() - held,
        money(sum(|position| position.cash)),
        money(sum(RecoveredPosition::realized))
    )
}

fn comparison_text(day: &Recovered) -> String {
    let mut text = String::new();
    for record in &day.differences {
        text.push_str(&format!("  {}\n", difference_text(record)));
    }
    let stopping = day.differences_stopping;
    text.push_str(&match (day.unreconciled, stopping) {
        (false, 0) => "the venue's log and the journal agree\n".to_owned(),
        (false, _) => format!("{stopping} differences, accepted by an operator: the venue's log counts\n"),
        (true, 0) => "the last run has not compared the venue's log with the journal yet\n".to_owned(),
        (true, _) => format!(
            "{stopping} DIFFERENCES keep orders from leaving: ask the venue; then `tern recover --accept {stopping}` if its \
             log is right\n"
        ),
    });
    text
}

fn difference_text(record: &ReconcileRecord) -> String {
    let name = Difference::from_index(record.difference as usize).map_or("?", Difference::name);
    let mut text = name.to_owned();
    if record.order != 0 {
        text.push_str(&format!(" order {}", record.order));
    }
    if record.match_number != 0 {
        text.push_str(&format!(" match {}", record.match_number));
    }
    if record.symbol != [0; 8] {
        text.push_str(&format!(" strategy {} {}", record.strategy, symbol_text(&record.symbol)));
    }
    text + &format!(": journal {}, venue {}", record.ours, record.theirs)
}

pub(crate) fn difference_json(record: &ReconcileRecord) -> Value {
    let difference = Difference::from_index(record.difference as usize);
    json!({
        "difference": difference.map_or("?", Difference::name),
        "stops": difference.is_none_or(Difference::stops),
        "order": record.order, "match_number": record.match_number, "ours": record.ours, "theirs": record.theirs,
        "strategy": record.strategy, "symbol": symbol_text(&record.symbol), "cause_seq": record.cause_seq,
    })
}

fn day_json(day: &Recovered, names: &Names, tail_bytes: u64) -> Value {
    let positions = day.positions();
    json!({
        "day": day.day, "day_begins": day.day_begins, "runs": day.runs, "records": day.records,
        "last_seq": day.last_seq, "last_tai_ns": day.last_tai_ns, "tail_bytes": tail_bytes,
        "unreadable": day.unreadable, "clean_stop": day.clean_stop,
        "next_order_id": day.next_order_id, "session_seq": day.session_seq(),
        "orders": {
            "ids": day.orders().count(),
            "open": day.orders().filter(|(_, order)| order.open).map(|(id, order)| json!({
                "order": id, "symbol": symbol_text(&day.symbol(order.instrument)), "strategy": order.strategy,
                "leaves": order.leaves, "price": order.price, "acknowledged": order.acknowledged,
            })).collect::<Vec<_>>(),
        },
        "executions": day.executions().count(),
        "positions": positions.iter().map(|((strategy, symbol), position)| json!({
            "strategy": strategy, "symbol": symbol_text(symbol), "shares": position.shares, "cash": position.cash,
            "cost": position.cost, "realized": position.realized(), "fills": position.fills,
        })).collect::<Vec<_>>(),
        "halt": halt_name(names, day.halt),
        "scopes": day.scopes.iter().map(|((kind, key), command)| json!({
            "kind": kind.name(), "key": key_text(*kind, *key), "by": by_name(command.uid), "uid": user(command.uid),
            "state": command.scope_state().map(|(.., state)| state.name()),
        })).collect::<Vec<_>>(),
        "limits": day.limits.as_ref().map(|command| json!({
            "epoch": command.epoch, "by": by_name(command.uid), "uid": user(command.uid), "why": command.why(),
            "values": command.values().iter().enumerate()
                .map(|(index, value)| (name_at(&names.limits, index), json!(value)))
                .collect::<serde_json::Map<_, _>>(),
        })),
        "price_bounds": day.bounds.values().map(|command| json!({
            "symbol": symbol_text(&command.bounds.symbol), "prices": command.bounds.wanted, "epoch": command.epoch,
            "by": by_name(command.uid), "uid": user(command.uid), "why": command.why(),
        })).collect::<Vec<_>>(),
        "comparison": {
            "agreed_or_accepted": !day.unreconciled, "differences": day.differences_stopping,
            "found": day.differences.iter().map(difference_json).collect::<Vec<_>>(),
        },
    })
}

/// The last record that the daemon has said to be in the journal; 0 when there is no segment.
fn journaled_seq(target: &Target) -> u64 {
    let view = target.segment().ok();
    let words = view.as_ref().and_then(|view| view.segment().ok());
    words.as_deref().map_or(0, |words: &Words| words.journaled_seq.get())
}

/// What a data plane that starts now would begin with, as far as it can be known without it.
struct Start {
    /// Whether there is a segment; else it would be made anew.
    segment: bool,
    next_order_id: u32,
    records_missing: u64,
    /// The day has no run yet, so no operator has to let it trade.
    is_first: bool,
}

impl Start {
    fn of(target: &Target, day: &Recovered, journaled_seq: u64) -> Self {
        let view = target.segment().ok();
        let words = view.as_ref().and_then(|view| view.segment().ok());
        let of_day = |next: &NextOrder| Some(next.day) == day.day;
        let next_id = |words: &Words| {
            let accounts = (0..ACCOUNTS).map(|account| words.next_order.get(account));
            accounts.filter(of_day).map(|next| next.next).max().unwrap_or(0)
        };
        let in_segment = words.as_deref().map_or(0, next_id);
        Self {
            segment: words.is_some(),
            next_order_id: day.next_order_id.max(in_segment),
            records_missing: journaled_seq.saturating_sub(day.last_seq),
            is_first: day.runs == 0,
        }
    }

    fn text(&self) -> String {
        let segment = match self.segment {
            true => String::new(),
            false => ", and a new segment".to_owned(),
        };
        let missing = match self.records_missing {
            0 => String::new(),
            missing => format!(
                "; at least {missing} records are NOT in the journal, which an operator would have to accept: start ternd \
                 first, it brings them from the rings"
            ),
        };
        let trades = match self.is_first {
            true => {
                "it trades by itself when the venue's log agrees; what differs an operator has to accept (`tern recover`)"
            }
            false => {
                "it compares the venue's log with the above and waits for an operator: `tern resume` when they agree (unless \
                 session.after_restart = \"agreement\"), `tern recover --accept N` when they differ; what stands as stopped \
                 stays so, and its books are not trusted before the feed begins another session"
            }
        };
        format!(
            "a data plane that starts now on that day begins with order id {}{segment}{missing}; {trades}\n",
            self.next_order_id.max(1)
        )
    }

    fn json(&self) -> Value {
        json!({ "segment": self.segment, "next_order_id": self.next_order_id.max(1),
            "records_missing": self.records_missing })
    }
}
