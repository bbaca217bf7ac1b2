//! What is so now, of each [`AlertKind`]: from the segment's words and the daemon's facts alone.

use std::time::{Duration, Instant};

use tern_abi::command::SYSTEM_UID;
use tern_abi::counters::LoopCounter;
use tern_abi::segment::{
    CONNS, DISTRUSTED, KillCause, NOT_MEASURED, STRATEGIES, STRATEGY_STATE, STRATEGY_UNKEPT, STREAMS, SessionFault,
    SessionState, TradingState, Words,
};
use tern_config::Config;
use tern_config::alerts::AlertKind;
use tern_config::facts::{DaemonFacts, Names, name_at};

use crate::shared::Shared;

/// What is known of each alert that is so.
pub(super) type Found = [Option<String>; AlertKind::COUNT];

/// What happens at one moment is shown for so long.
const SHOWN_FOR: Duration = Duration::from_secs(60);
/// Names, and room on the disk, are looked at that often.
const SLOW: Duration = Duration::from_secs(1);

/// Reasons for which the loop does not trade that end by themselves, or that are meant.
const NOT_STOPPED: [&str; 4] = ["not_halted", "shutdown", "daemon_silent", "reconciling"];
/// Limits whose use builds up. Those of a single order, and rates, are used in full every day.
const NEAR: [&str; 7] = [
    "position_max",
    "strategy_position_max",
    "open_orders_max",
    "gross_max",
    "net_max",
    "leverage_percent_max",
    "messages_per_day_max",
];
const LOSSES: [&str; 2] = ["daily_loss_max", "drawdown_max"];
/// `Words::strategies`: it panicked and is not called any more.
const STRATEGY_DISABLED: u64 = 2;

/// A count whose growth is an alert for a while.
struct Growth {
    last: u64,
    grew: Option<Instant>,
}

impl Growth {
    const fn new(now: u64) -> Self {
        Self { last: now, grew: None }
    }

    fn is_recent(&mut self, count: u64, now: Instant) -> bool {
        if count > self.last {
            self.grew = Some(now);
        }
        // A new run counts from nothing.
        self.last = count;
        self.grew.is_some_and(|grew| now.duration_since(grew) < SHOWN_FOR)
    }
}

pub(super) struct Look {
    loss: Duration,
    limit_percent: i64,
    disk_free_bytes: u64,
    names: Names,
    disk: Option<String>,
    slow_due: Option<Instant>,
    /// The data plane's beat, and when it changed.
    beat: (u64, Option<Instant>),
    restarts: Growth,
    silences: Option<Growth>,
    books: Option<Growth>,
    refusals: Refusals,
}

impl Look {
    pub(super) fn new(config: &Config) -> Self {
        let alerts = &config.alerts;
        Self {
            loss: Duration::from_millis(config.daemon.heartbeat_loss_ms),
            limit_percent: alerts.limit_percent.into(),
            disk_free_bytes: alerts.disk_free_mb.saturating_mul(1 << 20),
            names: Names::default(),
            disk: None,
            slow_due: None,
            beat: (0, None),
            restarts: Growth::new(0),
            silences: None,
            books: None,
            refusals: Refusals { most: alerts.refusals_per_second.into(), second: None, last: 0 },
        }
    }

    pub(super) fn look(&mut self, shared: &Shared<'_>, now: Instant) -> Found {
        if self.slow_due.is_none_or(|due| now >= due) {
            self.slow_due = Some(now + SLOW);
            self.names = crate::read_names(shared.config);
            self.disk = low_disk(&shared.config.paths.journal, self.disk_free_bytes);
        }
        let (words, facts) = (shared.segment.words(), shared.facts());
        let mut found: Found = std::array::from_fn(|_| None);
        let mut say = |kind: AlertKind, detail: Option<String>| found[kind.index()] = detail;
        say(AlertKind::JournalTrouble, Some(facts.journal.trouble.clone()).filter(|trouble| !trouble.is_empty()));
        say(AlertKind::DiskLow, self.disk.clone());
        say(AlertKind::TradingStopped, self.stopped(words));
        say(AlertKind::AuditDisagreement, audit(words));
        let restarted = self.restarts.is_recent(facts.restarts, now);
        say(AlertKind::DataPlaneRestarted, restarted.then(|| format!("{} restarts so far", facts.restarts)));
        say(AlertKind::DataPlaneDown, down(&facts));
        if facts.dataplane_pid == 0 {
            // What a dead data plane said last is no news.
            self.beat = (words.data_plane_beat.last().0, None);
            return found;
        }
        say(AlertKind::DataPlaneStuck, self.stuck(words, now));
        say(AlertKind::SessionDown, session_down(words));
        let (untrusted, silent) = self.streams(words);
        say(AlertKind::FeedUntrusted, untrusted);
        say(AlertKind::FeedSilent, silent);
        say(AlertKind::StrategyStopped, strategies(words));
        let (limits, losses) = self.limits(words);
        say(AlertKind::LimitNear, limits);
        say(AlertKind::LossNear, losses);
        say(AlertKind::RefusalsBurst, self.refusals.look(words.refusals.snapshot().iter().sum(), now));
        let count = words.counters.get(LoopCounter::DaemonSilences);
        let is_recent = self.silences.get_or_insert(Growth::new(count)).is_recent(count, now);
        say(AlertKind::DaemonSilent, is_recent.then(|| format!("{count} times so far")));
        let count = words.counters.get(LoopCounter::InstrumentsDistrusted);
        let is_recent = self.books.get_or_insert(Growth::new(count)).is_recent(count, now);
        say(AlertKind::BooksUntrusted, is_recent.then(|| format!("{count} times so far")));
        found
    }

    fn stopped(&self, words: &Words) -> Option<String> {
        let state = words.kill.state();
        if state.killed() {
            let cause = words.kill.note(state.kills()).map_or(KillCause::Unknown, |note| note.cause);
            let by = if state.uid() == SYSTEM_UID { "the system".into() } else { format!("uid {}", state.uid()) };
            return Some(format!("{} by {by}", cause.name()));
        }
        let (trading, reason) = words.trading.get();
        let name = name_at(&self.names.halts, reason as usize);
        let is_stopped = !trading && words.trading.since_ns() != 0 && !NOT_STOPPED.contains(&name.as_str());
        // Names come with the data plane's facts; without them nothing is said of a number.
        (is_stopped && !self.names.halts.is_empty()).then_some(name)
    }

    fn stuck(&mut self, words: &Words, now: Instant) -> Option<String> {
        let beat = words.data_plane_beat.last().0;
        if beat != self.beat.0 {
            self.beat = (beat, Some(now));
        }
        // Before its first beat nothing is expected.
        let silent = now.duration_since(self.beat.1?);
        (silent >= self.loss).then(|| format!("no heartbeat for {} ms", self.loss.as_millis()))
    }

    fn streams(&self, words: &Words) -> (Option<String>, Option<String>) {
        let (mut untrusted, mut silent) = (Vec::new(), Vec::new());
        for stream in 0..STREAMS {
            let (code, _) = words.trust.get(stream);
            if code < DISTRUSTED {
                continue;
            }
            let reason = name_at(&self.names.distrusts, (code - DISTRUSTED) as usize);
            let list = if reason == "silent" { &mut silent } else { &mut untrusted };
            list.push(format!("stream {stream}: {reason}"));
        }
        (joined(&untrusted), joined(&silent))
    }

    /// Limits that are nearly used, and losses.
    fn limits(&self, words: &Words) -> (Option<String>, Option<String>) {
        let (Some(usage), Some(limits)) = (words.usage.read(), words.limits.read()) else { return (None, None) };
        let (mut near, mut losses) = (Vec::new(), Vec::new());
        for (index, (used, max)) in usage.used.iter().zip(limits.values()).enumerate() {
            let name = name_at(&self.names.limits, index);
            let list = match name.as_str() {
                name if NEAR.contains(&name) => &mut near,
                name if LOSSES.contains(&name) => &mut losses,
                _ => continue,
            };
            let is_near = i128::from(*used) * 100 >= i128::from(*max) * i128::from(self.limit_percent);
            if *used != NOT_MEASURED && *used > 0 && is_near {
                list.push(format!("{name}: {used} of {max}"));
            }
        }
        (joined(&near), joined(&losses))
    }
}

/// What the gate refused, by the second.
struct Refusals {
    /// More in a second are a burst.
    most: u64,
    /// When the second began, and how many there had been by then.
    second: Option<(Instant, u64)>,
    /// How many the last whole second had.
    last: u64,
}

impl Refusals {
    /// What is to be said when there have been `refused` by now.
    fn look(&mut self, refused: u64, now: Instant) -> Option<String> {
        let (began, before) = *self.second.get_or_insert((now, refused));
        if now.duration_since(began) >= Duration::from_secs(1) {
            self.last = refused.saturating_sub(before);
            self.second = Some((now, refused));
        }
        (self.last > self.most).then(|| format!("{} in the last second", self.last))
    }
}

fn joined(list: &[String]) -> Option<String> {
    (!list.is_empty()).then(|| list.join(", "))
}

fn audit(words: &Words) -> Option<String> {
    let state = words.kill.state();
    let note = words.kill.note(state.kills()).filter(|_| state.killed())?;
    (note.cause == KillCause::Audit).then(|| "see audit.jsonl".into())
}

fn down(facts: &DaemonFacts) -> Option<String> {
    (facts.dataplane_pid == 0)
        .then(|| if facts.gave_up { "its restart budget is spent".into() } else { "it is started again".into() })
}

fn session_down(words: &Words) -> Option<String> {
    let down = (0..CONNS).filter_map(|conn| {
        let state = SessionState::from_index(words.sessions.get(conn).0 as usize)?;
        let fault = SessionFault::from_index(words.session_faults.get(conn).0 as usize).unwrap_or(SessionFault::None);
        let is_down = !matches!(state, SessionState::Absent | SessionState::Ready);
        is_down.then(|| format!("session {conn} is {}, {}", state.name(), fault.name()))
    });
    joined(&down.collect::<Vec<_>>())
}

fn strategies(words: &Words) -> Option<String> {
    let disabled = (0..STRATEGIES)
        .filter(|index| words.strategies.get(*index) & STRATEGY_STATE == STRATEGY_DISABLED)
        .map(|index| format!("strategy {index} (counted from 0) panicked or was too slow"));
    let unkept = (0..STRATEGIES)
        .map(|index| words.strategies.get(index))
        .filter(|word| word & STRATEGY_UNKEPT != 0)
        .map(|word| format!("strategy {} was stopped, and no place is left for its scope", word >> 32));
    let throttled = words
        .scopes
        .restricted()
        .filter(|scope| scope.uid == SYSTEM_UID && scope.state == TradingState::CancelOnly)
        .map(|scope| format!("{} {} was stopped", scope.kind.name(), scope.key));
    joined(&disabled.chain(throttled).chain(unkept).collect::<Vec<_>>())
}

fn low_disk(folder: &std::path::Path, least_bytes: u64) -> Option<String> {
    let found = nix::sys::statvfs::statvfs(folder).ok()?;
    let free = found.blocks_available() as u64 * found.fragment_size() as u64;
    (free < least_bytes).then(|| format!("{} MB free in {}", free >> 20, folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refusals in each second of a demo: at the open for want of a reference, then of two strategies that the gate keeps from trading
    /// with one another.
    const OPEN: [u64; 10] = [1161, 1564, 1857, 1950, 2055, 2073, 2245, 2159, 2308, 2411];

    #[test]
    fn an_ordinary_open_is_no_burst_of_refusals_and_a_strategy_that_asks_in_vain_at_every_message_is() {
        let most = tern_config::Alerts::default().refusals_per_second.into();
        let mut refusals = Refusals { most, second: None, last: 0 };
        let mut now = Instant::now();
        let mut refused = 0;
        assert_eq!(refusals.look(refused, now), None);
        let mut pass = |of_second: u64| {
            // Looked at ten times a second.
            (1..=10)
                .map(|_| {
                    now += Duration::from_millis(100);
                    refused += of_second / 10;
                    refusals.look(refused, now)
                })
                .last()
                .flatten()
        };
        for of_second in OPEN {
            assert_eq!(pass(of_second), None, "{of_second}");
        }
        // The demo's feed has 20,000 messages a second.
        assert_eq!(pass(20_000), Some("20000 in the last second".into()));
        assert_eq!(pass(2000), None, "it is over");
    }
}
