//! `tern status`: how things stand, read from the segment and the facts files, with ternd or without.

use std::collections::BTreeMap;
use std::fmt::Display;

use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tern_abi::counters::LoopCounter;
use tern_abi::segment::{
    CONNS, DISTRUSTED, KillCause, STRATEGIES, STRATEGY_STATE, STRATEGY_UNKEPT, STREAMS, SessionState, TRUSTED,
};
use tern_config::facts::{DataplaneFacts, name_at};

use crate::alerts;
use crate::halt::Halt;
use crate::outcome::{Failure, Outcome, exit};
use crate::problems::Findings;
use crate::rescue;
use crate::risk;
use crate::scope;
use crate::second;
use crate::table::{duration, grouped, tai_time};
use crate::target::Target;

/// What the numbers in `Words::strategies` mean.
const STRATEGY_STATES: [&str; 3] = ["absent", "running", "disabled"];

/// TAI, ns since 1970.
pub(crate) fn tai_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_TAI).map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// A process of the instance.
struct Alive {
    pid: Option<u32>,
    beat_age_ns: Option<u64>,
    /// The last sign of life, TAI ns.
    beat_ns: Option<u64>,
}

impl Alive {
    fn new(pid: Option<u32>, beat_ns: u64, now_ns: u64) -> Self {
        let beat_ns = Some(beat_ns).filter(|ns| *ns != 0);
        Self { pid, beat_age_ns: beat_ns.map(|ns| now_ns.saturating_sub(ns)), beat_ns }
    }

    /// What is wrong with it, if anything is, and what to do.
    fn trouble(&self, name: &str, loss_ns: u64, start: &str) -> Option<String> {
        match (self.pid, self.beat_age_ns) {
            (None, _) => Some(format!("{name} is not running; {start}")),
            (Some(_), None) => Some(format!("{name} has not begun to turn; it is starting, or its log says why not")),
            (Some(_), Some(age)) if age > loss_ns => Some(format!(
                "{name} is stuck: no heartbeat for {}; see what its core and its disk are doing, and its log",
                duration(age)
            )),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match (self.pid, self.beat_age_ns) {
            (None, _) => "not running".into(),
            (Some(pid), None) => format!("pid {pid}, starting"),
            (Some(pid), Some(age)) => format!("pid {pid}, heartbeat {} ago", duration(age)),
        }
    }

    fn json(&self) -> Value {
        json!({ "running": self.pid.is_some(), "pid": self.pid, "heartbeat_age_ns": self.beat_age_ns })
    }
}

/// How things stand.
///
/// # Errors
/// Exit code 3 when there is no segment.
pub(crate) fn status(target: &Target) -> Result<Outcome, Failure> {
    let view = target.segment()?;
    let words = view.segment().map_err(Failure::failed)?;
    let now = tai_ns();
    let loss_ns = target.heartbeat_loss_ms * 1_000_000;
    let daemon = Alive::new(view.daemon().map_err(Failure::failed)?, words.daemon_beat.last().0, now);
    let plane = Alive::new(view.data_plane().map_err(Failure::failed)?, words.data_plane_beat.last().0, now);
    let (facts, dataplane_facts) = (target.daemon_facts(), target.dataplane_facts());
    let kill = words.kill.state();
    let mut found = Findings::default();
    found.trading(&words, &facts, &dataplane_facts.names);
    let start = "start it; the data plane trades on without it until the rings are full";
    found.problems.extend(daemon.trouble("ternd", loss_ns.max(1_000_000_000), start));
    if let Some(sentence) =
        plane.trouble("the data plane", loss_ns, "ternd starts it, dataplane.log has its last words")
    {
        found.stop(Halt { since_ns: plane.beat_ns, ..Halt::of_process(plane.pid.is_some(), kill.kills()) }, sentence);
    }
    if facts.gave_up {
        found.problems.push(
            "the data plane stays down: its restart budget is spent; mend the cause (dataplane.log), then restart ternd"
                .into(),
        );
    }
    if plane.pid.is_some() {
        // What a dead data plane said last is no news.
        found.sessions(&words);
        found.unanswered(&words);
        found.streams(&words, &dataplane_facts.names);
    }

    // Once another data plane has read the venue's log, what is open is its affair.
    let is_taken_over = plane.pid.is_some() && words.trading.get().0;
    found.problems.extend(facts.rescue.as_ref().filter(|_| !is_taken_over).and_then(rescue::trouble));
    let next_seq = words.next_seq.get();
    let (journaled, durable) = (words.journaled_seq.get(), words.durable_seq.get());
    let waiting = next_seq.saturating_sub(1).saturating_sub(journaled);
    let is_halt_by_journal = found.halt.as_ref().is_some_and(|halt| halt.reason == KillCause::JournalTrouble.name());
    if !facts.journal.trouble.is_empty() && !is_halt_by_journal {
        found.problems.push(format!("the journal cannot be written: {}; mend it", facts.journal.trouble));
    }
    if let Some(retention) = facts.journal.retention.as_ref().filter(|_| daemon.pid.is_some()) {
        found.problems.extend(crate::retention::problem(retention));
    }
    let (halt, mut problems) = (found.halt, found.problems);
    problems.extend(second::problems(target, &facts).into_iter().filter(|_| daemon.pid.is_some()));
    let unanswered_scrapers = facts.metrics.as_ref().is_some_and(|metrics| metrics.pid == 0 && metrics.restarts > 0);
    if unanswered_scrapers && daemon.pid.is_some() {
        problems.push("tern-metrics does not run: no scraper is answered, trading is not touched; metrics.log or ternd's log says why".into());
    }

    let session_names: Vec<&str> = SessionState::ALL.iter().map(|state| state.name()).collect();
    let sessions = states(CONNS, |index| words.sessions.get(index).0, &session_names);
    let strategies = states(STRATEGIES, |index| words.strategies.get(index) & STRATEGY_STATE, &STRATEGY_STATES);
    problems.extend(
        strategies
            .iter()
            .filter(|(_, state)| *state == "disabled")
            .map(|(index, _)| scope::crashed(target, &words, *index)),
    );
    problems.extend(
        (0..STRATEGIES)
            .filter(|index| words.strategies.get(*index) & STRATEGY_UNKEPT != 0)
            .map(|index| scope::unkept(target, &words, index)),
    );
    let (sentences, restricted) = scope::restricted(target, &words);
    problems.extend(sentences);
    let (limits_text, sentences, limits) = risk::reduce_only(target, &words);
    // What a dead data plane had open is the venue's affair by now.
    problems.extend(sentences.into_iter().filter(|_| plane.pid.is_some()));
    let trusted: Vec<usize> = (0..STREAMS).filter(|stream| words.trust.get(*stream).0 == TRUSTED).collect();
    let distrusted: BTreeMap<usize, String> = (0..STREAMS)
        .map(|stream| (stream, words.trust.get(stream).0))
        .filter(|(_, code)| *code >= DISTRUSTED)
        .map(|(stream, code)| (stream, name_at(&dataplane_facts.names.distrusts, (code - DISTRUSTED) as usize)))
        .collect();
    let open_orders = words.counters.get(LoopCounter::OpenOrders);
    let unanswered = words.counters.get(LoopCounter::OrdersUnanswered);
    let trading = words.trading.get().0 && !kill.killed() && plane.pid.is_some();
    let state_text = match &halt {
        Some(halt) => format!("no order leaves: {}", halt.text()),
        None if trading => "trading".into(),
        None => "not trading".into(),
    };

    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<12} {value}\n"));
    line("instance", format!("{} ({})", target.name, view.path().display()));
    line("ternd", daemon.text());
    line("data plane", format!("{}, run {}", plane.text(), words.runs.get()));
    line("state", state_text);
    line(
        "open orders",
        if unanswered == 0 {
            grouped(open_orders)
        } else {
            format!("{}, {} not answered", grouped(open_orders), grouped(unanswered))
        },
    );
    line("limits", limits_text);
    if plane.pid.is_some() {
        // What a dead data plane said last is not so any more.
        line("sessions", listed(sessions.iter().map(|(index, state)| (format!("session {index}"), state))));
        let of_name = strategies.iter().map(|(index, state)| (strategy_name(&dataplane_facts, *index), state));
        line("strategies", listed(of_name));
        line("trusted", if trusted.is_empty() { "no stream".into() } else { format!("streams {trusted:?}") });
    }
    if plane.pid.is_some() && !distrusted.is_empty() {
        line("not trusted", listed(distrusted.iter()));
    }
    line(
        "journal",
        format!(
            "{} of {} records, durable to {}",
            grouped(journaled),
            grouped(next_seq.saturating_sub(1)),
            grouped(durable)
        ),
    );
    if let Some(head) = &facts.journal.head {
        let chain = head.chain.get(..16).unwrap_or_default();
        line("head", format!("segment {}, {} records, chain {chain}...", head.segment, grouped(head.records)));
    }
    if let Some(retention) = &facts.journal.retention {
        line("first day", crate::retention::line(retention));
    }
    for (name, value) in second::lines(target, &facts) {
        line(name, value);
    }
    if let Some(port) = &target.port {
        line("venue", rescue::port_text(port));
    }
    if let Some(fact) = &facts.rescue {
        line("cancelled", rescue::text(fact));
    }
    line("shed", format!("{} datagrams", grouped(facts.shed_datagrams)));
    if !facts.attach_mode.is_empty() {
        line("XDP", format!("{}, NIC stamps {}", facts.attach_mode, if facts.nic_stamp { "asked for" } else { "off" }));
    }
    if let Some(sandbox) = dataplane_facts.sandbox.as_ref().filter(|_| plane.pid.is_some()) {
        line("sandbox", sandbox.text());
    }
    for fallback in facts.fallbacks.iter().chain(&dataplane_facts.fallbacks) {
        line("fallback", fallback.clone());
    }
    for ready in facts.readiness.iter().filter(|ready| !ready.why.is_empty() && daemon.pid.is_some()) {
        line("waits for", format!("{}: {}", ready.name, ready.why));
    }
    if !facts.misdeeds.is_empty() {
        line(
            "misdeeds",
            listed(
                facts
                    .misdeeds
                    .iter()
                    .map(|(name, count)| (name, grouped(*count)))
                    .collect::<Vec<_>>()
                    .iter()
                    .map(|(name, count)| (*name, count)),
            ),
        );
    }
    if facts.restarts > 0 {
        line("restarts", facts.restarts.to_string());
    }
    let (alert_lines, alerts) = alerts::of_status(target);
    for alert in alert_lines {
        line("ALERT", alert);
    }
    for problem in &problems {
        line("PROBLEM", problem.clone());
    }
    let json = json!({
        "instance": target.name,
        "segment": view.path(),
        "created": tai_time(words.identity().created_tai_ns),
        "healthy": problems.is_empty(),
        "problems": problems,
        "alerts": alerts,
        "ternd": daemon.json(),
        "dataplane": plane.json(),
        "run": words.runs.get(),
        "trading": trading,
        "halt_reason": halt.as_ref().map_or("not_halted", |halt| halt.reason.as_str()),
        "halt": halt.as_ref().map(Halt::json),
        "killed": kill.killed(),
        "kills": kill.kills(),
        "killed_by_uid": kill.killed().then(|| kill.uid()),
        "restricted": restricted,
        "open_orders": open_orders,
        "orders_unanswered": unanswered,
        "limits_epoch": words.limits_epoch.get(),
        "limits": limits,
        "sessions": sessions,
        "audit": second::json(target, &facts),
        "venue": rescue::port_json(target.port.as_ref()),
        "strategies": strategies,
        "trusted_streams": trusted,
        "distrusted_streams": distrusted,
        "seq": { "last": next_seq.saturating_sub(1), "journaled": journaled, "durable": durable, "waiting": waiting },
        "daemon": { "attach_mode": facts.attach_mode, "nic_stamp": facts.nic_stamp, "restarts": facts.restarts,
            "gave_up": facts.gave_up, "adopted": facts.adopted, "heartbeat_losses": facts.heartbeat_losses,
            "sessions_ended": facts.sessions_ended, "misdeeds": facts.misdeeds, "readiness": facts.readiness,
            "rescues": facts.rescues, "rescue": facts.rescue.as_ref().map(rescue::json),
            "leftovers": facts.leftovers, "journal": facts.journal, "metrics": facts.metrics,
            "shed": { "datagrams": facts.shed_datagrams, "bytes": facts.shed_bytes } },
        "ports": dataplane_facts.ports,
        "sandbox": dataplane_facts.sandbox,
        "fallbacks": facts.fallbacks.iter().chain(&dataplane_facts.fallbacks).collect::<Vec<_>>(),
        "start_to_ready_ms": dataplane_facts.start_to_ready_ms,
    });
    let code = if problems.is_empty() { exit::OK } else { exit::UNHEALTHY };
    Ok(Outcome { text, json, code })
}

/// The words that are not 0, by index.
fn states(count: usize, get: impl Fn(usize) -> u64, names: &[&str]) -> BTreeMap<usize, String> {
    (0..count)
        .map(|index| (index, get(index)))
        .filter(|(_, state)| *state != 0)
        .map(|(index, state)| {
            (index, names.get(state as usize).map_or_else(|| state.to_string(), |name| (*name).into()))
        })
        .collect()
}

fn strategy_name(facts: &DataplaneFacts, index: usize) -> String {
    facts.strategies.get(index).map_or_else(|| index.to_string(), |strategy| strategy.name.clone())
}

fn listed<'s, N: Display>(states: impl Iterator<Item = (N, &'s String)>) -> String {
    let all: Vec<String> = states.map(|(name, state)| format!("{name} {state}")).collect();
    if all.is_empty() { "none up".into() } else { all.join(", ") }
}
