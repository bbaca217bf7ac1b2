//! `tern status` and `tern counters`: read from the segment, the pinned maps and the facts files, with ternd or without.

use std::collections::BTreeMap;
use std::path::Path;

use nix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};
use tern_abi::counters::LoopCounter;
use tern_abi::segment::{CONNS, REFUSAL_WORDS, STRATEGIES, STREAMS, Segment};
use tern_abi::steer::{SteerCounter, names};
use tern_config::facts::{Named, name_at};
use tern_hw::segment::SegmentView;

use crate::outcome::{Failure, Outcome, exit};
use crate::table::{Align, Table, duration, grouped, tai_time};
use crate::target::Target;

/// What the numbers in `Words::sessions` mean.
const SESSION_STATES: [&str; 3] = ["down", "connected", "ready"];
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
}

impl Alive {
    fn new(pid: Option<u32>, beat_ns: u64, now_ns: u64) -> Self {
        Self { pid, beat_age_ns: (beat_ns != 0).then(|| now_ns.saturating_sub(beat_ns)) }
    }

    /// What is wrong with it, if anything is.
    fn trouble(&self, name: &str, loss_ns: u64) -> Option<String> {
        match (self.pid, self.beat_age_ns) {
            (None, _) => Some(format!("{name} is not running")),
            (Some(_), None) => Some(format!("{name} has not begun to turn")),
            (Some(_), Some(age)) if age > loss_ns => {
                Some(format!("{name} is stuck: no heartbeat for {}", duration(age)))
            }
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
    let (trading, halt) = words.trading.get();
    let halt = name_at(&dataplane_facts.names.halts, halt as usize);
    let kill = words.kill.state();

    let next_seq = words.next_seq.get();
    let (journaled, durable) = (words.journaled_seq.get(), words.durable_seq.get());
    let waiting = next_seq.saturating_sub(1).saturating_sub(journaled);
    let mut problems: Vec<String> = Vec::new();
    problems.extend(daemon.trouble("ternd", loss_ns.max(1_000_000_000)));
    problems.extend(plane.trouble("the data plane", loss_ns));
    if !facts.journal.trouble.is_empty() {
        problems.push(format!("journal: {}", facts.journal.trouble));
    }
    if facts.gave_up {
        problems.push("the data plane stays down: its restart budget is spent".into());
    }

    let sessions = states(CONNS, |index| words.sessions.get(index), &SESSION_STATES);
    let strategies = states(STRATEGIES, |index| words.strategies.get(index), &STRATEGY_STATES);
    let trusted: Vec<usize> = (0..STREAMS).filter(|stream| words.trust.get(*stream) != 0).collect();
    let open_orders = words.counters.get(LoopCounter::OpenOrders);
    let trading_text = if kill.killed() {
        format!("killed by uid {} ({} kills so far)", kill.uid() as i32, kill.kills())
    } else if trading {
        "trading".into()
    } else {
        format!("halted: {halt}")
    };

    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<12} {value}\n"));
    line("instance", format!("{} ({})", target.name, view.path().display()));
    line("ternd", daemon.text());
    line("data plane", format!("{}, run {}", plane.text(), words.runs.get()));
    line("state", trading_text);
    line("open orders", grouped(open_orders));
    line("sessions", listed(&sessions));
    line("strategies", listed(&strategies));
    line("trusted", if trusted.is_empty() { "no stream".into() } else { format!("streams {trusted:?}") });
    line(
        "journal",
        format!(
            "{} of {} records, durable to {}",
            grouped(journaled),
            grouped(next_seq.saturating_sub(1)),
            grouped(durable)
        ),
    );
    line("shed", format!("{} datagrams", grouped(facts.shed_datagrams)));
    if !facts.attach_mode.is_empty() {
        line("XDP", format!("{}, NIC stamps {}", facts.attach_mode, if facts.nic_stamp { "asked for" } else { "off" }));
    }
    for fallback in facts.fallbacks.iter().chain(&dataplane_facts.fallbacks) {
        line("fallback", fallback.clone());
    }
    if facts.restarts > 0 {
        line("restarts", facts.restarts.to_string());
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
        "ternd": daemon.json(),
        "dataplane": plane.json(),
        "run": words.runs.get(),
        "trading": trading && !kill.killed(),
        "halt_reason": halt,
        "killed": kill.killed(),
        "kills": kill.kills(),
        "killed_by_uid": kill.killed().then(|| kill.uid()),
        "open_orders": open_orders,
        "limits_epoch": words.limits_epoch.get(),
        "sessions": sessions,
        "strategies": strategies,
        "trusted_streams": trusted,
        "seq": { "last": next_seq.saturating_sub(1), "journaled": journaled, "durable": durable, "waiting": waiting },
        "daemon": { "attach_mode": facts.attach_mode, "nic_stamp": facts.nic_stamp, "restarts": facts.restarts,
            "gave_up": facts.gave_up, "adopted": facts.adopted, "heartbeat_losses": facts.heartbeat_losses,
            "leftovers": facts.leftovers, "journal": facts.journal,
            "shed": { "datagrams": facts.shed_datagrams, "bytes": facts.shed_bytes } },
        "ports": dataplane_facts.ports,
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

fn listed(states: &BTreeMap<usize, String>) -> String {
    if states.is_empty() {
        return "none up".into();
    }
    states.iter().map(|(index, state)| format!("{index} {state}")).collect::<Vec<_>>().join(", ")
}

/// A group of counters.
struct Section {
    name: &'static str,
    rows: Vec<(String, u64, String)>,
    /// Why there are none.
    absent: Option<String>,
}

/// All counters of the instance.
///
/// # Errors
/// Exit code 3 when there is no segment.
pub(crate) fn counters(target: &Target, all: bool) -> Result<Outcome, Failure> {
    let view = target.segment()?;
    let segment = view.segment().map_err(Failure::failed)?;
    let of_loop = |name: &'static str, part: Part| Section {
        name,
        rows: (LoopCounter::ALL.iter().filter(|counter| Part::of(**counter) == part))
            .map(|counter| (counter.name().into(), segment.counters.get(*counter), counter.help().into()))
            .collect(),
        absent: None,
    };
    let sections = [
        steer_section(target, &view),
        of_loop("xdp_statistics", Part::Port),
        of_loop("feed", Part::Feed),
        of_loop("session", Part::Session),
        of_loop("loop", Part::Loop),
        refusals(target, &segment),
    ];
    let mut text = String::new();
    let (mut json, mut help, mut absent) = (Map::new(), Map::new(), Map::new());
    for section in &sections {
        let mut table = Table::new(&[(section.name, Align::Left), ("count", Align::Right), ("meaning", Align::Left)]);
        let mut values = Map::new();
        for (name, value, meaning) in &section.rows {
            values.insert(name.clone(), json!(value));
            help.insert(name.clone(), json!(meaning));
            if all || *value != 0 {
                table.row(vec![name.clone(), grouped(*value), meaning.clone()]);
            }
        }
        match &section.absent {
            Some(why) => {
                absent.insert(section.name.into(), json!(why));
                text.push_str(&format!("{}: not read: {why}\n\n", section.name));
            }
            None if table.is_empty() => text.push_str(&format!("{}: all 0\n\n", section.name)),
            None => text.push_str(&format!("{}\n", table.render())),
        }
        json.insert(section.name.into(), Value::Object(values));
    }
    json.insert("help".into(), Value::Object(help));
    json.insert("absent".into(), Value::Object(absent));
    Ok(Outcome::ok(text, Value::Object(json)))
}

/// Where a counter of the loop is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Port,
    Feed,
    Session,
    Loop,
}

impl Part {
    fn of(counter: LoopCounter) -> Self {
        use LoopCounter as C;
        match counter {
            _ if counter.name().starts_with("xsk_") || counter == C::SocketOverflow => Self::Port,
            _ if (C::Datagrams..=C::UnknownInstruments).contains(&counter) => Self::Feed,
            _ if (C::VenueAccepted..=C::SessionBytes).contains(&counter) => Self::Session,
            _ => Self::Loop,
        }
    }
}

fn refusals(target: &Target, segment: &Segment<'_>) -> Section {
    let names = target.names().refusals;
    let rows = (0..REFUSAL_WORDS)
        .map(|index| (index, segment.refusals.get(index)))
        .filter(|(index, value)| *value != 0 || *index < names.len())
        .map(|(index, value)| {
            let help = names.get(index).map_or_else(String::new, |Named { help, .. }| help.clone());
            (name_at(&names, index), value, help)
        });
    Section { name: "refusals", rows: rows.collect(), absent: None }
}

/// From the pinned map while the program is attached, else as the daemon read it last.
fn steer_section(target: &Target, view: &SegmentView) -> Section {
    let facts = target.daemon_facts();
    let pinned = match &target.interface {
        Some(interface) => read_steer(&target.paths.bpf().join(interface).join(names::COUNTERS)),
        None => Err("the interface is not known; give --config".into()),
    };
    let read = pinned.or_else(|why| {
        let of_this_daemon = view.daemon().ok().flatten().is_none_or(|pid| pid == facts.pid);
        if facts.steer.is_empty() || !of_this_daemon { Err(why) } else { Ok(facts.steer) }
    });
    let (rows, absent) = match read {
        Ok(values) => {
            let row = |counter: &SteerCounter| {
                (counter.name().to_owned(), values.get(counter.name()).copied().unwrap_or(0), counter.help().to_owned())
            };
            (SteerCounter::ALL.iter().map(row).collect(), None)
        }
        Err(why) => (Vec::new(), Some(why)),
    };
    Section { name: "steer", rows, absent }
}

/// Sums the per-CPU counters of the pinned map.
fn read_steer(pin: &Path) -> Result<BTreeMap<String, u64>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", pin.display());
    let data = aya::maps::MapData::from_pin(pin).map_err(|error| wrong(&error))?;
    let map =
        aya::maps::PerCpuArray::<_, u64>::try_from(aya::maps::Map::PerCpuArray(data)).map_err(|error| wrong(&error))?;
    let mut counters = BTreeMap::new();
    for counter in SteerCounter::ALL {
        let values = map.get(&(counter.index() as u32), 0).map_err(|error| wrong(&error))?;
        counters.insert(counter.name().to_owned(), values.iter().sum());
    }
    Ok(counters)
}
