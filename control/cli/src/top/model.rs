//! What the dashboard shows, collected at one moment from the segment and the facts files, as `tern status` does.

use std::time::Instant;

use serde_json::Value;
use tern_abi::counters::LoopCounter;
use tern_abi::segment::{DISTRUSTED, REFUSAL_WORDS, STREAMS, TRUSTED, Words};
use tern_config::facts::{Named, name_at};
use tern_config::latency::LatencyFacts;
use tern_config::limits::key_of;

use crate::outcome::Failure;
use crate::risk::{InForce, shown, symbol_text};
use crate::status::{self, tai_ns};
use crate::table::{Align, Table, duration, grouped, tai_time};
use crate::target::Target;

/// How something stands; what colour it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should be, or neither.
    #[default]
    Plain,
    /// The names of columns.
    Heading,
    /// Good.
    Good,
    /// Somebody should look.
    Warn,
    /// Somebody has to look.
    Bad,
}

/// A part of the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) lines: Vec<(Mood, String)>,
    /// What it shows is of the data plane, and means nothing once that is gone.
    pub(crate) is_live: bool,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) instance: String,
    pub(crate) at: String,
    pub(crate) state: (Mood, String),
    pub(crate) processes: (Mood, String),
    /// Why the data plane's figures are not those of now; none when they are.
    pub(crate) stale: Option<String>,
    pub(crate) panels: Vec<Panel>,
}

/// Counters of the look before, for rates.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    at: Instant,
    counters: [u64; LoopCounter::COUNT],
    refusals: [u64; REFUSAL_WORDS],
}

impl Snapshot {
    /// Nothing can be shown, and why.
    fn absent(target: &Target, why: String) -> Self {
        Self {
            instance: target.name.clone(),
            at: clock(),
            state: (Mood::Bad, "no segment".into()),
            processes: (Mood::Bad, why.clone()),
            stale: Some(why),
            ..Self::default()
        }
    }

    /// Collects; `before` gives rates, and is replaced.
    pub(crate) fn take(target: &Target, before: &mut Option<Before>) -> Self {
        match Self::try_take(target, before) {
            Ok(snapshot) => snapshot,
            Err(failure) => Self::absent(target, failure.message),
        }
    }

    fn try_take(target: &Target, before: &mut Option<Before>) -> Result<Self, Failure> {
        let said = status::status(target)?.json;
        let view = target.segment()?;
        let words = view.segment().map_err(Failure::failed)?;
        let runs = said["dataplane"]["running"] == true;
        let age = said["dataplane"]["heartbeat_age_ns"].as_u64();
        let loss_ns = target.heartbeat_loss_ms.saturating_mul(1_000_000).max(1_000_000_000);
        let stale = match (runs, age) {
            (false, None) => Some("the data plane does not run and never did".into()),
            (false, Some(age)) => {
                Some(format!("the data plane does not run; its last sign of life is {} old", duration(age)))
            }
            (true, None) => Some("the data plane has not begun to turn".into()),
            (true, Some(age)) if age > loss_ns => Some(format!("the data plane is stuck for {}", duration(age))),
            (true, Some(_)) => None,
        };
        let now =
            Before { at: Instant::now(), counters: words.counters.snapshot(), refusals: words.refusals.snapshot() };
        let rates = Rates { now: &now, before: before.as_ref() };
        let panels = vec![
            feeds(target, &words, &rates),
            books(&words, &rates),
            strategies(target, &said),
            orders(target, &words, &said, &rates),
            risk(target, &words),
            latency(target, said["ternd"]["running"] == true),
            counters(target, &rates),
            alerts(&said),
        ];
        let trading = said["trading"] == true;
        let state = match said["halt"]["reason"].as_str() {
            None if trading => (Mood::Good, "TRADING".into()),
            None => (Mood::Bad, "NOT TRADING".into()),
            Some(reason) => {
                let by = said["halt"]["by"].as_str().unwrap_or("?");
                (Mood::Bad, format!("NO ORDER LEAVES: {reason} by {by}"))
            }
        };
        let process = |name: &str, of: &Value| match (of["pid"].as_u64(), of["heartbeat_age_ns"].as_u64()) {
            (None, _) => format!("{name} NOT RUNNING"),
            (Some(pid), None) => format!("{name} {pid} starting"),
            (Some(pid), Some(age)) => format!("{name} {pid} beat {}", duration(age)),
        };
        let both = runs && said["ternd"]["running"] == true;
        let processes = format!(
            "{}   {}   run {}",
            process("ternd", &said["ternd"]),
            process("data plane", &said["dataplane"]),
            said["run"]
        );
        let mood = if both && stale.is_none() { Mood::Plain } else { Mood::Bad };
        *before = Some(now);
        Ok(Self { instance: target.name.clone(), at: clock(), state, processes: (mood, processes), stale, panels })
    }

    /// For programs: each panel's lines.
    pub(crate) fn json(&self) -> Value {
        let panels = self.panels.iter().map(|panel| {
            let lines: Vec<&str> = panel.lines.iter().map(|(_, line)| line.as_str()).collect();
            (
                panel.title.to_owned(),
                serde_json::json!({ "live": !panel.is_live || self.stale.is_none(), "lines": lines }),
            )
        });
        serde_json::json!({ "instance": self.instance, "at": self.at, "state": self.state.1, "stale": self.stale,
            "panels": panels.collect::<serde_json::Map<_, _>>() })
    }
}

fn clock() -> String {
    let text = tai_time(tai_ns());
    let time = text.split('T').nth(1).and_then(|time| time.split('.').next()).unwrap_or_default();
    format!("{time} TAI")
}

/// What moved since the look before.
struct Rates<'r> {
    now: &'r Before,
    before: Option<&'r Before>,
}

impl Rates<'_> {
    fn total(&self, counter: LoopCounter) -> u64 {
        self.now.counters[counter.index()]
    }

    fn per_second(&self, now: u64, then: impl Fn(&Before) -> u64) -> Option<f64> {
        let before = self.before?;
        let seconds = (self.now.at - before.at).as_secs_f64();
        (seconds > 0.0).then(|| now.saturating_sub(then(before)) as f64 / seconds)
    }

    fn of(&self, counter: LoopCounter) -> Option<f64> {
        self.per_second(self.total(counter), |before| before.counters[counter.index()])
    }

    fn text(&self, counter: LoopCounter) -> String {
        rate_text(self.of(counter))
    }
}

fn rate_text(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".into(), |rate| format!("{}/s", grouped(rate.round() as u64)))
}

/// The lines of a table, each with the mood that its row was given.
fn lines(table: &Table, moods: &[Mood]) -> Vec<(Mood, String)> {
    let text = table.render();
    let moods = std::iter::once(Mood::Heading).chain(moods.iter().copied());
    text.lines().zip(moods).map(|(line, mood)| (mood, line.to_owned())).collect()
}

fn feeds(target: &Target, words: &Words, rates: &Rates<'_>) -> Panel {
    let names = target.names().distrusts;
    let mut table = Table::new(&[("stream", Align::Right), ("books", Align::Left), ("group:port", Align::Left)]);
    let mut moods = Vec::new();
    for stream in 0..STREAMS {
        let code = words.trust.get(stream).0;
        let (mood, trust) = match code {
            0 => continue,
            TRUSTED => (Mood::Good, "trusted".into()),
            code if code >= DISTRUSTED => (Mood::Bad, name_at(&names, (code - DISTRUSTED) as usize)),
            _ => (Mood::Warn, code.to_string()),
        };
        let groups: Vec<String> = (target.feeds.iter())
            .filter(|feed| usize::from(feed.stream) == stream)
            .map(|feed| format!("{}:{}", feed.group, feed.port))
            .collect();
        table.row(vec![stream.to_string(), trust, groups.join(" ")]);
        moods.push(mood);
    }
    let mut shown = vec![(
        Mood::Plain,
        format!("{} datagrams  {} messages", rates.text(LoopCounter::Datagrams), rates.text(LoopCounter::Messages)),
    )];
    shown.extend(if table.is_empty() { vec![(Mood::Warn, "no stream".into())] } else { lines(&table, &moods) });
    Panel { title: "feeds", lines: shown, is_live: true }
}

fn books(words: &Words, rates: &Rates<'_>) -> Panel {
    let total = |counter| rates.total(counter);
    let mut shown = vec![(
        Mood::Plain,
        format!("{} symbols  {} events", grouped(words.symbol_count.get()), rates.text(LoopCounter::Events)),
    )];
    for (counter, mood) in [
        (LoopCounter::Gaps, Mood::Bad),
        (LoopCounter::InstrumentsDistrusted, Mood::Warn),
        (LoopCounter::UnknownOrders, Mood::Warn),
        (LoopCounter::BookFull, Mood::Bad),
        (LoopCounter::MarketHalts, Mood::Warn),
    ] {
        let value = total(counter);
        let mood = if value == 0 { Mood::Plain } else { mood };
        shown.push((mood, format!("{:<22} {}", counter.name(), grouped(value))));
    }
    Panel { title: "books", lines: shown, is_live: true }
}

fn strategies(target: &Target, said: &Value) -> Panel {
    let states = said["strategies"].as_object();
    let mut shown: Vec<(Mood, String)> = (states.into_iter().flatten())
        .map(|(index, state)| {
            let name = index.parse::<usize>().ok().and_then(|index| target.strategies.get(index));
            let state = state.as_str().unwrap_or("?");
            let mood = if state == "running" { Mood::Good } else { Mood::Bad };
            (mood, format!("{:<16} {state}", name.map_or(index.as_str(), |(name, _)| name)))
        })
        .collect();
    for restricted in said["restricted"].as_array().into_iter().flatten() {
        let scope = restricted["scope"].as_str().unwrap_or("?");
        shown.push((Mood::Warn, format!("{scope} {}", restricted["state"].as_str().unwrap_or("restricted"))));
    }
    if shown.is_empty() {
        shown.push((Mood::Warn, "none runs".into()));
    }
    Panel { title: "strategies", lines: shown, is_live: true }
}

fn orders(target: &Target, words: &Words, said: &Value, rates: &Rates<'_>) -> Panel {
    let late = rates.total(LoopCounter::OrdersUnanswered);
    let mut shown = vec![(
        if late > 0 { Mood::Warn } else { Mood::Plain },
        format!(
            "{} open  {} late  new {}  fills {}",
            grouped(rates.total(LoopCounter::OpenOrders)),
            grouped(late),
            rates.text(LoopCounter::OrdersNew),
            rates.text(LoopCounter::VenueExecuted)
        ),
    )];
    for (index, state) in said["sessions"].as_object().into_iter().flatten() {
        let state = state.as_str().unwrap_or("?");
        shown.push((if state == "ready" { Mood::Good } else { Mood::Bad }, format!("session {index} {state}")));
    }
    if let Some(in_force) = InForce::read(words, &target.names()) {
        let mut table = Table::new(&[
            ("symbol", Align::Left),
            ("held", Align::Right),
            ("buys", Align::Right),
            ("sells", Align::Right),
        ]);
        let held: Vec<_> = in_force.holdings.positions.iter().filter(|held| held.symbol != [0; 8]).collect();
        for held in &held {
            table.row(vec![
                symbol_text(&held.symbol),
                grouped(held.shares),
                grouped(held.open_buy),
                grouped(held.open_sell),
            ]);
        }
        if !held.is_empty() {
            shown.extend(lines(&table, &vec![Mood::Plain; held.len()]));
        }
    }
    Panel { title: "orders and positions", lines: shown, is_live: true }
}

fn risk(target: &Target, words: &Words) -> Panel {
    let mut all = Vec::new();
    if let Some(in_force) = InForce::read(words, &target.names()) {
        let mut used: Vec<_> =
            in_force.limits.iter().filter_map(|limit| limit.percent().map(|percent| (percent, limit))).collect();
        used.sort_by_key(|(percent, _)| std::cmp::Reverse(*percent));
        let mut table = Table::new(&[("%", Align::Right), ("limit", Align::Left), ("of", Align::Left)]);
        let mut moods = Vec::new();
        for (percent, limit) in used {
            table.row(vec![percent.to_string(), key_of(&limit.name).into(), shown(&limit.name, limit.value)]);
            // Of one order: the largest is near it on any day.
            let is_of_an_order = limit.name.starts_with("order_");
            moods.push(match percent {
                _ if is_of_an_order => Mood::Plain,
                90.. => Mood::Bad,
                70.. => Mood::Warn,
                _ => Mood::Plain,
            });
        }
        all.push((Mood::Plain, format!("epoch {}", in_force.state.epoch)));
        all.extend(lines(&table, &moods));
    }
    if all.is_empty() {
        all.push((Mood::Warn, "no limits are in force yet".into()));
    }
    Panel { title: "risk", lines: all, is_live: true }
}

fn latency(target: &Target, is_counted: bool) -> Panel {
    let path = target.paths.latency_facts();
    let facts: Option<LatencyFacts> = tern_config::facts::read(&path).unwrap_or_default();
    let mut table =
        Table::new(&[("up to", Align::Left), ("p50", Align::Right), ("p99", Align::Right), ("p99.9", Align::Right)]);
    let mut rows = 0;
    for span in facts.iter().flat_map(|facts| &facts.spans) {
        let bounds = facts.as_ref().map_or(&[][..], |facts| &facts.bounds_ns);
        if span.counts.iter().any(|count| *count > 0) {
            let at = |quantile| quantile_text(&span.counts, bounds, quantile);
            table.row(vec![span.name.clone(), at(0.5), at(0.99), at(0.999)]);
            rows += 1;
        }
    }
    let lines = match rows {
        // What a dead daemon counted is no figure of now.
        _ if !is_counted => vec![(Mood::Bad, "ternd does not run: nobody counts".into())],
        0 if facts.is_none() => vec![(Mood::Plain, "`tern latency`; live with [metrics] listen".into())],
        0 => vec![(Mood::Warn, "no samples since ternd started".into())],
        _ => lines(&table, &vec![Mood::Plain; rows]),
    };
    Panel { title: "latency", lines, is_live: false }
}

/// The bound of the bucket in which this part of all samples ends.
fn quantile_text(counts: &[u64], bounds_ns: &[u64], quantile: f64) -> String {
    let all: u64 = counts.iter().sum();
    let wanted = (all as f64 * quantile).ceil() as u64;
    let mut so_far = 0;
    for (index, count) in counts.iter().enumerate() {
        so_far += count;
        if so_far >= wanted.max(1) {
            return match (bounds_ns.get(index), bounds_ns.last()) {
                (Some(bound), _) => duration(*bound),
                (None, Some(last)) => format!(">{}", duration(*last)),
                (None, None) => "-".into(),
            };
        }
    }
    "-".into()
}

fn counters(target: &Target, rates: &Rates<'_>) -> Panel {
    let names: Vec<Named> = target.names().refusals;
    let mut table = Table::new(&[("counter", Align::Left), ("a second", Align::Right), ("count", Align::Right)]);
    let mut moods = Vec::new();
    let mut rows: Vec<(Mood, String, Option<f64>, u64)> = (LoopCounter::ALL.iter())
        .filter(|counter| {
            counter.name().starts_with("dropped_") || counter.name().starts_with("xsk_") || is_shown(**counter)
        })
        .map(|counter| (Mood::Plain, counter.name().to_owned(), rates.of(*counter), rates.total(*counter)))
        .collect();
    for (index, value) in rates.now.refusals.iter().enumerate() {
        let rate = rates.per_second(*value, |before| before.refusals[index]);
        rows.push((Mood::Warn, format!("refused {}", name_at(&names, index)), rate, *value));
    }
    rows.retain(|(_, _, _, value)| *value != 0);
    // What moves first.
    rows.sort_by(|one, other| other.2.unwrap_or(0.0).total_cmp(&one.2.unwrap_or(0.0)));
    for (mood, name, rate, value) in rows {
        table.row(vec![name, rate_text(rate), grouped(value)]);
        moods.push(if rate.unwrap_or(0.0) > 0.0 { mood } else { Mood::Plain });
    }
    Panel { title: "counters", lines: lines(&table, &moods), is_live: true }
}

const fn is_shown(counter: LoopCounter) -> bool {
    matches!(
        counter,
        LoopCounter::LoopIterations
            | LoopCounter::Intents
            | LoopCounter::OrdersNew
            | LoopCounter::OrdersReplace
            | LoopCounter::OrdersCancel
            | LoopCounter::VenueRejected
            | LoopCounter::CaptureShed
            | LoopCounter::LoopSwitches
            | LoopCounter::TcpRetransmits
    )
}

fn alerts(said: &Value) -> Panel {
    let mut shown: Vec<(Mood, String)> = (said["alerts"].as_array().into_iter().flatten())
        .map(|alert| {
            let of = |key: &str| alert[key].as_str().unwrap_or_default().to_owned();
            let mood = if alert["severity"] == "critical" { Mood::Bad } else { Mood::Warn };
            (mood, format!("{} {} {}", of("severity"), of("alert"), of("detail")).trim_end().to_owned())
        })
        .collect();
    let problems = said["problems"].as_array().into_iter().flatten().filter_map(Value::as_str);
    shown.extend(problems.map(|problem| (Mood::Warn, problem.to_owned())));
    if shown.is_empty() {
        shown.push((Mood::Good, "none".into()));
    }
    Panel { title: "alerts and problems", lines: shown, is_live: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let bounds = [100, 200, 1000];
        assert_eq!(quantile_text(&[98, 1, 0, 1], &bounds, 0.5), "100 ns");
        assert_eq!(quantile_text(&[98, 1, 0, 1], &bounds, 0.99), "200 ns");
        assert_eq!(quantile_text(&[98, 1, 0, 1], &bounds, 0.999), ">1.00 us");
        assert_eq!(quantile_text(&[], &bounds, 0.5), "-");
    }
}
