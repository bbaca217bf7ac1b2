//! `tern day`: how far the trading day is, and its steps. The daemon decides; with none, what the journal says is shown.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tern_abi::day::DayState;
use tern_config::Date;
use tern_config::protocol::{Answer, Ask, DayAnswer, DayCheck, DayEntryFact, StepDay};
use tern_journal::{day_log, sha256_of};

use crate::args::DayVerb;
use crate::client;
use crate::control::ask_within;
use crate::outcome::{Failure, Outcome, exit};
use crate::roll;
use crate::status::tai_ns;
use crate::table::tai_time;
use crate::target::Target;

/// A step may read a long day, and wait for the venue.
const PATIENCE: Duration = Duration::from_secs(60);
/// While a data plane writes, a record may be half written at the moment of a look.
const ROLL_TRIES: u32 = 20;
const ROLL_PAUSE: Duration = Duration::from_millis(50);

/// A step, or a look.
///
/// # Errors
/// Exit code 3 when no daemon answers, 2 for wrong usage, 1 when it cannot be done.
pub(crate) fn run(target: &Target, verb: &DayVerb) -> Result<Outcome, Failure> {
    let (step, why) = match verb {
        DayVerb::Status { all } => return status(target, *all),
        DayVerb::Prepare { why } => (StepDay::Prepare, why),
        DayVerb::Ready { why } => (StepDay::Ready, why),
        DayVerb::Arm { why } => (StepDay::Arm, why),
        DayVerb::WindDown { why } => (StepDay::WindDown, why),
        DayVerb::Close { why } => (StepDay::Close, why),
        DayVerb::Reconcile { why, roll_to, splits, date } => {
            let rolled = roll_to.as_deref().map(|to| rolled(target, to, splits.as_deref(), *date)).transpose()?;
            (StepDay::Reconcile { rolled }, why)
        }
        DayVerb::Seal { why } => (StepDay::Seal, why),
        DayVerb::Waive { check, minutes, why } => {
            (StepDay::Waive { check: check.clone(), until_ns: in_minutes(*minutes) }, why)
        }
        DayVerb::Unfreeze { minutes, why } => (StepDay::Unfreeze { until_ns: in_minutes(*minutes) }, why),
    };
    match ask_within(target, Ask::StepDay { step, why: why.clone() }, PATIENCE)? {
        Answer::Day(answer) => Ok(told(&answer)),
        other => Err(Failure::failed(format!("ternd gave an answer to another question: {other:?}"))),
    }
}

fn in_minutes(minutes: u32) -> u64 {
    tai_ns() + u64::from(minutes) * 60_000_000_000
}

/// Writes the next day's opening positions; the file and its hash.
fn rolled(target: &Target, to: &Path, splits: Option<&Path>, date: Option<Date>) -> Result<(String, String), Failure> {
    for _ in 0..ROLL_TRIES {
        match roll::roll(&target.paths.journal, to, splits, date) {
            Err(failure) if failure.code == exit::DAMAGED => std::thread::sleep(ROLL_PAUSE),
            Err(failure) => return Err(failure),
            Ok(_) => break,
        }
    }
    let hash = sha256_of(to).map_err(|error| Failure::failed(format!("{}: {error}", to.display())))?;
    Ok((to.display().to_string(), hash))
}

fn date(day: Option<u32>) -> String {
    day.map_or_else(|| "the day".into(), |days| Date { days }.to_string())
}

/// What came of a step.
fn told(answer: &DayAnswer) -> Outcome {
    let mut text = match answer.done {
        true => format!("{} is {}; {}\n", date(answer.day), shown(&answer.state), may_leave(answer)),
        false => format!("refused, {} is {} still:\n", date(answer.day), shown(&answer.state)),
    };
    answer.refused.iter().for_each(|why| text.push_str(&format!("  {why}\n")));
    if let Some(seal) = &answer.seal {
        text.push_str(&format!("seal: {}\n", seal.display()));
    }
    let code = match answer.done {
        true => exit::OK,
        false if answer.open_orders > 0 => exit::UNKNOWN_ORDERS,
        false => exit::UNHEALTHY,
    };
    Outcome { text, json: json_of(answer), code }
}

fn shown(state: &str) -> String {
    state.replace('_', "-")
}

fn may_leave(answer: &DayAnswer) -> &'static str {
    match answer.most.as_str() {
        "running" => "orders may leave",
        "reduce_only" => "only what lowers a position may leave",
        _ => "no order leaves but cancels",
    }
}

fn status(target: &Target, all: bool) -> Result<Outcome, Failure> {
    let answer = match client::ask_within(&target.paths, Ask::LookAtDay, PATIENCE) {
        Ok(Answer::Day(answer)) => *answer,
        Ok(other) => return Err(Failure::failed(format!("ternd gave an answer to another question: {other:?}"))),
        Err(error) => return without_daemon(target, &error, all),
    };
    let mut text = format!("{} is {}", date(answer.day), shown(&answer.state));
    text.push_str(&match answer.managed {
        true => format!("; {}\n", may_leave(&answer)),
        false => "; not led here (day.managed = false): orders leave as the limits let them\n".into(),
    });
    answer.checks.iter().for_each(|check| text.push_str(&check_line(check)));
    let is_held = answer.state == "armed" && answer.most != "running";
    let next = if is_held { Some("tern day arm (the firm is held still)") } else { next(&answer.state) };
    if let Some(next) = next.filter(|_| answer.managed) {
        text.push_str(&format!("next: {next}\n"));
    }
    text.push_str(&entries_text(&answer.entries, all));
    let stopped = answer.checks.iter().any(DayCheck::stops);
    Ok(Outcome { text, json: json_of(&answer), code: if stopped { exit::UNHEALTHY } else { exit::OK } })
}

fn next(state: &str) -> Option<&'static str> {
    Some(match state {
        "new" => "tern day prepare",
        "prepared" => "tern day ready",
        "ready" => "tern day arm",
        "armed" => "tern day wind-down",
        "wind_down" => "tern day close",
        "closed" => "tern day reconcile",
        "reconciled" => "tern day seal",
        _ => return None,
    })
}

fn check_line(check: &DayCheck) -> String {
    let mark = match (check.green, &check.waived) {
        (true, _) => "ok",
        (false, Some(_)) => "WAIVED",
        (false, None) => "NOT OK",
    };
    let mut line = format!("  {:<11} {mark:<7} {}", check.name, check.found);
    if !check.todo.is_empty() && check.waived.is_none() {
        line.push_str(&format!("; {}", check.todo));
    }
    if let Some(waiver) = &check.waived {
        let why = waiver.text.split_once(' ').map_or("", |(_, why)| why);
        line.push_str(&format!("; by uid {} until {}: {why}", waiver.uid, tai_time(waiver.until_ns)));
    }
    line + "\n"
}

/// Facts and refusals are for those who ask.
fn entries_text(entries: &[DayEntryFact], all: bool) -> String {
    let is_shown = |entry: &&DayEntryFact| all || !matches!(entry.step.as_str(), "fact" | "refused");
    let line = |entry: &DayEntryFact| {
        format!("{} {:<10} uid {}: {}\n", tai_time(entry.tai_ns), shown(&entry.step), entry.uid, entry.text)
    };
    entries.iter().filter(is_shown).map(line).collect()
}

/// What the journal says; what is so now, nobody can tell.
fn without_daemon(target: &Target, error: &std::io::Error, all: bool) -> Result<Outcome, Failure> {
    let log = day_log(&target.paths.journal).map_err(|found| match found {
        tern_journal::JournalError::Damaged(_) | tern_journal::JournalError::Missing { .. } => {
            Failure { message: found.to_string(), code: exit::DAMAGED }
        }
        other => Failure::failed(other),
    })?;
    let entries: Vec<DayEntryFact> = log
        .entries
        .iter()
        .map(|entry| DayEntryFact {
            seq: entry.seq,
            tai_ns: entry.tai_ns,
            step: entry.step.name().into(),
            uid: entry.uid,
            until_ns: entry.until_ns,
            text: entry.text.clone(),
        })
        .collect();
    let state: DayState = log.state;
    let text = format!(
        "{} is {}, as the journal says; ternd does not answer ({error}): start it to go on\n{}",
        date(log.day),
        shown(state.name()),
        entries_text(&entries, all)
    );
    let json = json!({ "day": log.day, "date": log.day.map(|days| Date { days }.to_string()), "state": state.name(),
        "ternd": false, "entries": entries.iter().map(entry_json).collect::<Vec<_>>() });
    Ok(Outcome { text, json, code: exit::UNHEALTHY })
}

fn entry_json(entry: &DayEntryFact) -> Value {
    json!({ "seq": entry.seq, "tai_ns": entry.tai_ns, "step": entry.step, "uid": entry.uid,
        "until_ns": (entry.until_ns != 0).then_some(entry.until_ns), "text": entry.text })
}

fn json_of(answer: &DayAnswer) -> Value {
    let checks: Vec<Value> = answer
        .checks
        .iter()
        .map(|check| {
            json!({ "check": check.name, "green": check.green, "found": check.found, "todo": check.todo,
                "waivable": check.waivable, "waived": check.waived.as_ref().map(entry_json) })
        })
        .collect();
    json!({ "done": answer.done, "refused": answer.refused, "open_orders": answer.open_orders, "managed": answer.managed,
        "state": answer.state, "day": answer.day, "date": answer.day.map(|days| Date { days }.to_string()),
        "most": answer.most, "seal": answer.seal, "checks": checks, "ternd": true,
        "entries": answer.entries.iter().map(entry_json).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_abi::day::DayStep;

    #[test]
    fn every_state_but_the_last_has_a_next_step() {
        let without: Vec<&str> =
            DayState::ALL.iter().map(|state| state.name()).filter(|name| next(name).is_none()).collect();
        assert_eq!(without, ["sealed"]);
        assert_eq!(DayStep::ALL.iter().filter(|step| step.state().is_none()).count(), 4);
    }

    #[test]
    fn a_waived_check_says_by_whom_until_when_and_why() {
        let waiver = DayEntryFact {
            uid: 7,
            until_ns: 1_795_305_600_000_000_000,
            text: "disk ticket 9".into(),
            ..DayEntryFact::default()
        };
        let check = DayCheck {
            name: "disk".into(),
            found: "5 MB free".into(),
            todo: "make room".into(),
            waived: Some(waiver),
            ..DayCheck::default()
        };
        let line = check_line(&check);
        assert!(
            line.contains("WAIVED") && line.contains("by uid 7 until 2026-11-2") && line.ends_with(": ticket 9\n"),
            "{line}"
        );
        let red = DayCheck { waived: None, ..check };
        assert!(red.stops() && check_line(&red).contains("NOT OK  5 MB free; make room"), "{}", check_line(&red));
    }
}
