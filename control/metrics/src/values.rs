//! The values of each family.

use tern_abi::segment::{
    CONNS, DISTRUSTED, NOT_MEASURED, REFUSAL_WORDS, STRATEGIES, STREAMS, Segment, SessionState, ShownPosition,
};
use tern_abi::steer::SteerCounter;
use tern_config::alerts::AlertKind;
use tern_config::facts::{DaemonFacts, name_at};
use tern_config::latency::SpanCounts;

use crate::seen::Seen;
use crate::table::{Other, Source};

/// Money is in 1/10000 of the currency unit everywhere but here.
const MONEY: f64 = 1e-4;
const NS: f64 = 1e-9;

/// One value, or one histogram.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Labels in the order of the family's.
    pub labels: Vec<(&'static str, String)>,
    /// What it is.
    pub value: Value,
}

/// See [`Sample`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A number.
    Number(f64),
    /// Upper bounds in seconds with the samples up to each; all samples, and their sum in seconds.
    Buckets {
        /// The last bound is infinite.
        cumulative: Vec<(f64, u64)>,
        /// Sum of the samples, s.
        sum: f64,
    },
}

/// The samples of a family.
struct Out(Vec<Sample>);

impl Out {
    fn one(&mut self, value: f64) {
        self.with([], value);
    }
    fn flag(&mut self, value: bool) {
        self.one(f64::from(u8::from(value)));
    }
    fn with<const N: usize>(&mut self, labels: [(&'static str, String); N], value: f64) {
        self.0.push(Sample { labels: labels.to_vec(), value: Value::Number(value) });
    }
    fn each<T>(&mut self, key: &'static str, items: impl IntoIterator<Item = (T, f64)>)
    where
        T: ToString,
    {
        items.into_iter().for_each(|(label, value)| self.with([(key, label.to_string())], value));
    }
}

/// Every value of the family whose source this is. Without a segment, what lies there is absent.
pub(crate) fn samples(source: Source, seen: &Seen, segment: Option<&Segment<'_>>) -> Vec<Sample> {
    let mut out = Out(Vec::new());
    match source {
        Source::Loop(counter) => {
            let scale = crate::loop_counters::scale(counter);
            segment.into_iter().for_each(|words| out.one(words.counters.get(counter) as f64 * scale));
        }
        Source::Other(other) => {
            of_facts(other, seen, segment.is_some(), &mut out);
            if let Some(segment) = segment {
                of_segment(other, seen, segment, &mut out);
                of_risk(other, seen, segment, &mut out);
            }
        }
    }
    out.0
}

/// What is known without the segment.
fn of_facts(other: Other, seen: &Seen, has_segment: bool, out: &mut Out) {
    match other {
        Other::BuildInfo => {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            let abi = tern_abi::ABI_VERSION.to_string();
            out.with([("version", version), ("abi", abi), ("name", seen.name.clone())], 1.0);
        }
        Other::SegmentUp => out.flag(has_segment),
        Other::ProcessUp => out.each("process", seen.processes.iter().map(|it| (it.name, f64::from(it.pid.min(1))))),
        Other::Resident => out.each("process", living(seen).map(|it| (it.name, it.resident_bytes))),
        Other::Cpu => out.each("process", living(seen).map(|it| (it.name, it.cpu_s))),
        Other::AlertRaised => of_alerts(seen, out),
        Other::AlertDeliveries => {
            if let Some(alerts) = &seen.alerts {
                let delivery = &alerts.delivery;
                let outcomes = [("delivered", delivery.delivered), ("failed", delivery.failed)];
                out.each("outcome", outcomes.map(|(name, count)| (name, count as f64)));
            }
        }
        Other::Latency => seen.latency.iter().flat_map(|latency| &latency.spans).for_each(|span| {
            let bounds = seen.latency.as_ref().map_or(&[][..], |latency| &latency.bounds_ns);
            out.0.push(Sample { labels: vec![("span", span.name.clone())], value: buckets(bounds, span) });
        }),
        Other::SinkBehind => out.each("sink", seen.sinks.iter().map(|sink| (&sink.name, sink.behind_s))),
        Other::SinkRecords => out.each("sink", seen.sinks.iter().map(|sink| (&sink.name, sink.behind_records))),
        Other::DiskFree => seen.disk.into_iter().for_each(|(free, _)| out.one(free)),
        Other::DiskSize => seen.disk.into_iter().for_each(|(_, size)| out.one(size)),
        Other::ClockSynchronized => out.flag(seen.clock.is_synchronized),
        Other::ClockOffset => out.one(seen.clock.offset_ns as f64 * NS),
        Other::ClockMaxError => out.one(seen.clock.max_error_ns as f64 * NS),
        Other::ClockTaiOffset => out.one(seen.clock.tai_offset_ns as f64 * NS),
        Other::Requests => {
            let requests = seen.requests;
            let outcomes = [
                ("answered", requests.answered),
                ("bad", requests.bad),
                ("refused", requests.refused),
                ("cut", requests.cut),
            ];
            out.each("outcome", outcomes.map(|(name, count)| (name, count as f64)));
        }
        _ => {
            if let Some((facts, age_s)) = &seen.daemon {
                of_daemon(other, facts, *age_s, out);
            }
            of_audit(other, seen, out);
        }
    }
}

fn living(seen: &Seen) -> impl Iterator<Item = &crate::seen::Process> {
    seen.processes.iter().filter(|process| process.pid != 0)
}

/// What a dead ternd said last is no news: nothing is said in its place, and rules see that it is dead.
fn of_alerts(seen: &Seen, out: &mut Out) {
    let lives = seen.process("ternd").is_some_and(|process| process.pid != 0);
    let Some(alerts) = seen.alerts.as_ref().filter(|_| lives) else { return };
    for kind in AlertKind::ALL {
        let is_raised = alerts.active.iter().any(|event| event.alert == kind.name());
        let labels = [("alert", kind.name().into()), ("severity", kind.severity().name().into())];
        out.with(labels, f64::from(u8::from(is_raised)));
    }
}

/// From what ternd wrote down.
fn of_daemon(other: Other, facts: &DaemonFacts, age_s: f64, out: &mut Out) {
    let watched = [("audit", &facts.audit), ("metrics", &facts.metrics)];
    match other {
        Other::FactsAge => out.one(age_s),
        Other::Restarts => {
            out.each("process", [("dataplane", facts.restarts as f64)]);
            out.each("process", watched.iter().filter_map(|(name, it)| Some((name, it.as_ref()?.restarts as f64))));
        }
        Other::GaveUp => {
            let flag = |gave_up: bool| f64::from(u8::from(gave_up));
            out.each("process", [("dataplane", flag(facts.gave_up))]);
            out.each("process", facts.audit.iter().map(|it| ("audit", flag(it.gave_up))));
        }
        Other::HeartbeatLosses => out.one(facts.heartbeat_losses as f64),
        Other::SessionsEnded => out.one(facts.sessions_ended as f64),
        Other::Rescues => out.one(facts.rescues as f64),
        Other::JournalTrouble => out.flag(!facts.journal.trouble.is_empty()),
        Other::JournalHeldBack => {
            out.one(facts.journal.retention.as_ref().map_or(0, |retention| retention.held_days) as f64);
        }
        Other::CaptureShedDatagrams => out.one(facts.shed_datagrams as f64),
        Other::CaptureShedBytes => out.one(facts.shed_bytes as f64),
        Other::Steer if !facts.steer.is_empty() => {
            let count = |counter: &SteerCounter| facts.steer.get(counter.name()).copied().unwrap_or(0) as f64;
            out.each("outcome", SteerCounter::ALL.iter().map(|counter| (counter.name(), count(counter))));
        }
        _ => {}
    }
}

/// From what the second opinion wrote down.
fn of_audit(other: Other, seen: &Seen, out: &mut Out) {
    let Some(audit) = &seen.audit else { return };
    match other {
        Other::AuditLag => out.one(audit.lag_ms as f64 * 1e-3),
        Other::AuditDisagreements => out.one(audit.disagreements as f64),
        _ => {}
    }
    let Some(copy) = &audit.drop_copy else { return };
    match other {
        Other::DropCopyConnected => out.flag(copy.connected),
        Other::DropCopyDifferences => out.one(copy.differences as f64),
        Other::DropCopyLag => out.one(copy.lag_ms as f64 * 1e-3),
        _ => {}
    }
}

/// From the segment's words.
fn of_segment(other: Other, seen: &Seen, words: &Segment<'_>, out: &mut Out) {
    let age = |beat_ns: u64| seen.now_ns.saturating_sub(beat_ns) as f64 * NS;
    let (last, journaled) = (words.next_seq.get().saturating_sub(1), words.journaled_seq.get());
    match other {
        Other::Trading => out.flag(words.trading.get().0),
        Other::HaltInfo => {
            let (trades, reason) = words.trading.get();
            if !trades && words.trading.since_ns() != 0 {
                out.with([("reason", name_at(&seen.dataplane.names.halts, reason as usize))], 1.0);
            }
        }
        Other::Killed => out.flag(words.kill.state().killed()),
        Other::KillWords => out.one(words.kill.state().kills().into()),
        Other::ScopeRestricted => words.scopes.restricted().for_each(|scope| {
            let symbol = || String::from_utf8_lossy(&scope.key.to_le_bytes()).trim_matches(['\0', ' ']).to_owned();
            let key = if scope.kind.name() == "symbol" { symbol() } else { scope.key.to_string() };
            out.with([("kind", scope.kind.name().into()), ("key", key), ("state", scope.state.name().into())], 1.0);
        }),
        Other::StrategyRunning => (0..STRATEGIES).for_each(|index| {
            let state = words.strategies.get(index);
            let name = seen.dataplane.strategies.get(index).map_or_else(|| index.to_string(), |it| it.name.clone());
            if state != 0 {
                out.with([("strategy", name)], f64::from(u8::from(state == 1)));
            }
        }),
        Other::HeartbeatAge => {
            let beats = [("dataplane", &words.data_plane_beat), ("ternd", &words.daemon_beat)];
            let begun = beats.into_iter().filter(|(_, beat)| beat.last().0 != 0);
            out.each("process", begun.map(|(name, beat)| (name, age(beat.last().0))));
        }
        Other::Refused => {
            let names = &seen.dataplane.names.refusals;
            let counts = (0..REFUSAL_WORDS).map(|index| (index, words.refusals.get(index)));
            let known = counts.filter(|(index, count)| *count != 0 || *index < names.len());
            out.each("reason", known.map(|(index, count)| (name_at(names, index), count as f64)));
        }
        Other::SessionReady => (0..CONNS).for_each(|conn| {
            let state = words.sessions.get(conn).0;
            if state != SessionState::Absent as u64 {
                out.with([("session", conn.to_string())], f64::from(u8::from(state == SessionState::Ready as u64)));
            }
        }),
        Other::StreamTrusted => (0..STREAMS).for_each(|stream| {
            let code = words.trust.get(stream).0;
            if code != 0 {
                out.with([("stream", stream.to_string())], f64::from(u8::from(code < DISTRUSTED)));
            }
        }),
        Other::CancelPending => out.one(words.cancel_all.get().pending as f64),
        Other::RingUsed => {
            if let Ok(rings) = words.rings_use() {
                let part = |(used, capacity): (u64, u64)| used as f64 / capacity.max(1) as f64;
                let rings = [("commands", rings.commands), ("orders", rings.orders), ("captures", rings.captures)];
                out.each("ring", rings.map(|(name, ring)| (name, part(ring))));
            }
        }
        Other::Records => out.one(last as f64),
        Other::JournalLag => out.one(last.saturating_sub(journaled) as f64),
        Other::NotDurable => out.one(last.saturating_sub(words.durable_seq.get()) as f64),
        _ => {}
    }
}

/// Limits, what uses them, and money.
fn of_risk(other: Other, seen: &Seen, words: &Segment<'_>, out: &mut Out) {
    let names = &seen.dataplane.names.limits;
    let limits = || {
        words.limits.read().into_iter().flat_map(|state| {
            let values: Vec<i64> = state.values().to_vec();
            values.into_iter().enumerate()
        })
    };
    let usage = || words.usage.read();
    let used = |index: usize| usage()?.used.get(index).copied().filter(|used| *used != NOT_MEASURED);
    let used_of = |name: &str| names.iter().position(|named| named.name == name).and_then(used);
    let high_water = || usage().map(|usage| usage.high_water as f64 * MONEY);
    let drawdown = || used_of("drawdown_max").map(|used| used as f64 * MONEY);
    match other {
        Other::LimitsEpoch => out.one(words.limits_epoch.get() as f64),
        Other::Limit => limits().for_each(|(index, value)| {
            let name = name_at(names, index);
            out.with([("limit", base_name(&name))], value as f64 * scale(&name));
        }),
        Other::LimitUsed => limits().for_each(|(index, _)| {
            let name = name_at(names, index);
            used(index)
                .into_iter()
                .for_each(|used| out.with([("limit", base_name(&name))], used as f64 * scale(&name)));
        }),
        Other::LimitUsedRatio => limits().filter(|(_, limit)| *limit > 0).for_each(|(index, limit)| {
            let name = base_name(&name_at(names, index));
            used(index).into_iter().for_each(|used| out.with([("limit", name.clone())], used as f64 / limit as f64));
        }),
        Other::LimitReduceOnly => usage().into_iter().for_each(|usage| {
            let flag = |index: usize| f64::from((usage.reduce_only >> index & 1) as u8);
            limits().for_each(|(index, _)| out.with([("limit", base_name(&name_at(names, index)))], flag(index)));
        }),
        // Drawdown is the fall from the high-water mark to the profit of now.
        Other::Profit => high_water().zip(drawdown()).into_iter().for_each(|(high, fall)| out.one(high - fall)),
        Other::HighWater => high_water().into_iter().for_each(|high| out.one(high)),
        Other::Drawdown => drawdown().into_iter().for_each(|fall| out.one(fall)),
        Other::PositionShares => positions(words, out, |position| position.shares),
        Other::PositionWorst => positions(words, out, ShownPosition::worst),
        _ => {}
    }
}

fn positions(words: &Segment<'_>, out: &mut Out, value: impl Fn(&ShownPosition) -> i64) {
    let Some(holdings) = words.holdings.read() else { return };
    let shown = holdings.positions.iter().filter(|position| position.symbol != [0; 8]);
    out.each(
        "symbol",
        shown.map(|position| (String::from_utf8_lossy(&position.symbol).trim_end().to_owned(), value(position) as f64)),
    );
}

/// A limit's name without its unit where the unit is scaled to a base unit.
fn base_name(name: &str) -> String {
    match name.strip_suffix("_ns") {
        Some(plain) => format!("{plain}_seconds"),
        None => name.replace("_ns_", "_seconds_").replace("_bps", "_ratio").to_owned(),
    }
}

/// From a limit's own unit to the base unit.
fn scale(name: &str) -> f64 {
    const MONEY_PARTS: [&str; 6] = ["notional", "gross", "net_max", "loss", "drawdown", "equity"];
    match name {
        _ if name.ends_with("_ns") || name.contains("_ns_") => NS,
        _ if name.ends_with("_bps") => 1e-4,
        _ if MONEY_PARTS.iter().any(|part| name.contains(part)) => MONEY,
        _ => 1.0,
    }
}

fn buckets(bounds_ns: &[u64], span: &SpanCounts) -> Value {
    let bounds = bounds_ns.iter().map(|ns| *ns as f64 * NS).chain([f64::INFINITY]);
    let cumulative = bounds.zip(span.counts.iter().scan(0, |sum, count| {
        *sum += count;
        Some(*sum)
    }));
    Value::Buckets { cumulative: cumulative.collect(), sum: span.sum_ns as f64 * NS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_in_base_units() {
        for (name, base, factor) in [
            ("gross_max", "gross_max", 1e-4),
            ("strategy_daily_loss_max", "strategy_daily_loss_max", 1e-4),
            ("order_notional_max", "order_notional_max", 1e-4),
            ("intent_age_ns_max", "intent_age_seconds_max", 1e-9),
            ("duplicate_window_ns", "duplicate_window_seconds", 1e-9),
            ("price_collar_bps", "price_collar_ratio", 1e-4),
            ("position_max", "position_max", 1.0),
            ("leverage_percent_max", "leverage_percent_max", 1.0),
        ] {
            assert_eq!((base_name(name).as_str(), scale(name)), (base, factor), "{name}");
        }
    }

    #[test]
    fn buckets_are_cumulative_and_end_at_infinity() {
        let span = SpanCounts { name: "risk".into(), counts: vec![1, 0, 2], sum_ns: 5000 };
        let Value::Buckets { cumulative, sum } = buckets(&[100, 2000], &span) else { panic!("a histogram") };
        assert_eq!(cumulative.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 1, 3]);
        assert!(cumulative[2].0.is_infinite() && (sum - 5e-6).abs() < 1e-12);
    }
}
