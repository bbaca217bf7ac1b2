//! What is done where the venue keeps orders on disconnect: the daemon's own session, which cancels order by order.

use std::time::Duration;

use serde_json::{Value, json};
use tern_config::facts::RescueFact;
use tern_config::protocol::{Answer, Ask};
use tern_config::venue::PortSetting;

use crate::client;
use crate::table::tai_time;
use crate::target::Target;

/// The longest that the daemon may take: `daemon.rescue_ms` is at most a minute.
const PATIENCE: Duration = Duration::from_secs(65);

/// Has the daemon cancel what is open; why it did not, if so.
pub(crate) fn ask(target: &Target) -> Result<RescueFact, String> {
    match client::ask_within(&target.paths, Ask::Rescue, PATIENCE) {
        Ok(Answer::Rescued(fact)) => Ok(*fact),
        Ok(Answer::Error(why)) => Err(why),
        Ok(other) => Err(format!("ternd answers {other:?}")),
        Err(error) => Err(format!("ternd was not reached ({error}); started, it cancels by itself")),
    }
}

/// For people, in one line.
pub(crate) fn text(fact: &RescueFact) -> String {
    let trouble = if fact.error.is_empty() { String::new() } else { format!("; NOT all was done: {}", fact.error) };
    format!(
        "in a session of ternd's own, since {}: {} orders open at the venue, {} cancels sent, {} cancelled, {} left open, {} ms{trouble}",
        tai_time(fact.at_ns),
        fact.open_in_log,
        fact.cancels_sent,
        fact.cancelled,
        fact.left_open,
        fact.took_ms
    )
}

/// What is wrong after it, and what to do; nothing if nothing is.
pub(crate) fn trouble(fact: &RescueFact) -> Option<String> {
    let what = match (fact.error.is_empty(), fact.left_open) {
        (true, 0) => return None,
        (true, left) => format!("the venue has not cancelled {left} orders that a dead data plane left"),
        (false, _) => format!("orders that a dead data plane left may be OPEN: {}", fact.error),
    };
    Some(format!("{what}; ask the venue (`tern journal cat --kind rescue`)"))
}

/// For programs.
pub(crate) fn json(fact: &RescueFact) -> Value {
    json!({ "at_ns": fact.at_ns, "why": fact.why, "open_before": fact.open_before, "open_in_log": fact.open_in_log,
        "cancels_sent": fact.cancels_sent, "cancelled": fact.cancelled, "executed_shares": fact.executed_shares,
        "left_open": fact.left_open, "took_ms": fact.took_ms, "error": fact.error })
}

/// What the order port has, for programs; `null` where there is none.
pub(crate) fn port_json(port: Option<&PortSetting>) -> Value {
    port.map_or(Value::Null, |port| {
        let mut object = json!(port.capabilities());
        object["venue"] = json!(port.venue);
        object
    })
}

/// The same for people, in one line.
pub(crate) fn port_text(port: &PortSetting) -> String {
    let has = port.capabilities();
    let disconnect = if has.cancel_on_disconnect { "cancels on disconnect" } else { "KEEPS orders on disconnect" };
    let mass = if has.mass_cancel { "mass cancel" } else { "no mass cancel" };
    let silent = match (has.silent_cancels, has.silent_replaces) {
        (true, true) => ", ignores late cancels and replaces silently",
        (true, false) => ", ignores late cancels silently",
        (false, true) => ", ignores late replaces silently",
        (false, false) => "",
    };
    format!("{}: {disconnect}, {mass}{silent}", port.venue)
}
