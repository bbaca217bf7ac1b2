//! `tern alerts`: what is raised, what was, and how delivery fares, as the daemon wrote it down.

use std::io::{self, Write};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use tern_config::alerts::{AlertEvent, AlertsFacts};

use crate::outcome::{Failure, Outcome, exit};
use crate::table::tai_time;
use crate::target::Target;

/// How often the file is looked at while it is followed.
const LOOK: Duration = Duration::from_millis(200);

/// What the daemon wrote last.
fn read(target: &Target) -> Result<AlertsFacts, Failure> {
    let path = target.paths.alerts_facts();
    let found =
        tern_config::facts::read(&path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    found.ok_or_else(|| Failure::not_running(format!("{}: no ternd has written it yet", path.display())))
}

/// What is raised now, and the last events. Exit code 3 while anything is raised.
///
/// # Errors
/// Exit code 3 when no daemon wrote anything.
pub(crate) fn show(target: &Target) -> Result<Outcome, Failure> {
    let facts = read(target)?;
    let runs = is_watched(target);
    let mut text = String::new();
    if !runs {
        text.push_str("ternd does not run: nobody watches; this is what it said last\n");
    }
    if facts.active.is_empty() {
        text.push_str("no alert is raised\n");
    }
    facts.active.iter().for_each(|event| text.push_str(&format!("{}; {}\n", line(event), event.todo)));
    let delivery = &facts.delivery;
    text.push_str(&format!(
        "delivery: {} delivered, {} pending, {} attempts failed, {} given up{}\n",
        delivery.delivered,
        delivery.pending,
        delivery.attempts_failed,
        delivery.failed,
        if delivery.trouble.is_empty() { String::new() } else { format!(": {}", delivery.trouble) }
    ));
    let json = json!({ "watched": runs, "active": facts.active, "events": facts.events, "delivery": facts.delivery });
    let code = if facts.active.is_empty() && runs { exit::OK } else { exit::UNHEALTHY };
    Ok(Outcome { text, json, code })
}

/// Prints what is raised, then each event as it comes, until it is interrupted: as JSON, one object a line.
///
/// # Errors
/// As [`show`]; and when nobody reads what is printed.
pub(crate) fn follow(target: &Target, as_json: bool) -> Result<(), Failure> {
    let mut facts = read(target)?;
    let print = |event: &AlertEvent| {
        let text = if as_json { serde_json::to_string(event).unwrap_or_default() } else { line(event) };
        writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush()).map_err(Failure::failed)
    };
    facts.active.iter().try_for_each(print)?;
    loop {
        let seen = facts.events.last().map_or(0, |event| event.number);
        sleep(LOOK);
        facts = read(target)?;
        let last = facts.events.last().map_or(0, |event| event.number);
        // Another daemon counts from the start.
        let seen = if last < seen { 0 } else { seen };
        facts.events.iter().filter(|event| event.number > seen).try_for_each(print)?;
    }
}

/// What `tern status` says of alerts: a line each, and all of it for programs.
pub(crate) fn of_status(target: &Target) -> (Vec<String>, Value) {
    let Ok(facts) = read(target) else { return (Vec::new(), json!([])) };
    if !is_watched(target) {
        return (Vec::new(), json!([]));
    }
    (facts.active.iter().map(line).collect(), json!(facts.active))
}

fn is_watched(target: &Target) -> bool {
    target.segment().is_ok_and(|view| view.daemon().is_ok_and(|pid| pid.is_some()))
}

fn line(event: &AlertEvent) -> String {
    let detail = if event.detail.is_empty() { String::new() } else { format!(" ({})", event.detail) };
    format!("{} {} {}{detail} since {}", event.event, event.severity.name(), event.alert, tai_time(event.since_ns))
}
