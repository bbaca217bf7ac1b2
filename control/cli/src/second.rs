//! The second opinion and the venue's drop copy, as `tern status` shows them.

use serde_json::{Value, json};
use tern_config::facts::{AuditFacts, CopyFact, DaemonFacts};

use crate::status::tai_ns;
use crate::table::{duration, grouped};
use crate::target::Target;

/// What it wrote last is news no longer than that.
const FRESH_NS: u64 = 5_000_000_000;

/// What is wrong with them, and what to do.
pub(crate) fn problems(target: &Target, facts: &DaemonFacts) -> Vec<String> {
    let Some(watched) = &facts.audit else { return Vec::new() };
    let audit = read(target);
    let mut found = Vec::new();
    let age = tai_ns().saturating_sub(audit.at_ns);
    if watched.gave_up {
        found.push("the second opinion stays down: its restart budget is spent; mend the cause (audit.log), then restart ternd".into());
    } else if watched.pid == 0 || audit.pid != watched.pid || age > FRESH_NS {
        found.push("the second opinion does not follow: it is starting, or audit.log says why not".into());
    } else if audit.lag_ms > target.audit_lag_ms_max {
        found.push(format!(
            "the second opinion is {} behind the journal: it has too little of its core",
            duration(audit.lag_ms * 1_000_000)
        ));
    }
    found.extend(audit.drop_copy.iter().flat_map(of_copy));
    found
}

fn of_copy(copy: &CopyFact) -> Vec<String> {
    let mut found = Vec::new();
    if !copy.connected {
        found.push(format!("the drop copy is not read: {}; it is tried again by itself", copy.trouble));
    }
    if copy.differences > 0 {
        found.push(format!(
            "drop copy and journal differ in {}: {}; compare with the venue (drop_copy.jsonl) before `tern resume`",
            grouped(copy.differences),
            copy.examples.join("; ")
        ));
    }
    found
}

/// One line each for people: name and text.
pub(crate) fn lines(target: &Target, facts: &DaemonFacts) -> Vec<(&'static str, String)> {
    if facts.audit.is_none() {
        return Vec::new();
    }
    let audit = read(target);
    let mut lines = vec![(
        "audit",
        format!(
            "{} orders, {} answers followed, {} disagreements, {} ms behind",
            grouped(audit.orders),
            grouped(audit.answers),
            grouped(audit.disagreements),
            audit.lag_ms
        ),
    )];
    lines.extend(audit.drop_copy.map(|copy| {
        let state = if copy.connected { "connected" } else { "NOT connected" };
        let text = format!(
            "{state}, next message {}, {} matched ({} executions), {} waiting, {} ms behind, {} positions, {} differences",
            grouped(copy.next_seq),
            grouped(copy.matched),
            grouped(copy.executions),
            grouped(copy.waiting_here + copy.waiting_there),
            copy.lag_ms,
            grouped(copy.positions),
            grouped(copy.differences)
        );
        ("drop copy", text)
    }));
    lines
}

/// For programs; `null` where the daemon runs none.
pub(crate) fn json(target: &Target, facts: &DaemonFacts) -> Value {
    let Some(watched) = &facts.audit else { return Value::Null };
    let mut object = json!(read(target));
    object["pid"] = json!(watched.pid);
    object["restarts"] = json!(watched.restarts);
    object["gave_up"] = json!(watched.gave_up);
    object
}

fn read(target: &Target) -> AuditFacts {
    tern_config::facts::read(&target.paths.audit_facts()).unwrap_or_default().unwrap_or_default()
}
