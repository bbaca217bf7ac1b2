//! `tern counters`: read from the segment, the pinned maps and the facts files, with ternd or without.

use serde_json::{Map, Value, json};
use tern_abi::counters::LoopCounter;
use tern_abi::segment::{REFUSAL_WORDS, Segment};
use tern_abi::steer::SteerCounter;
use tern_config::facts::{Named, name_at};
use tern_hw::segment::SegmentView;

use crate::outcome::{Failure, Outcome};
use crate::pins::Pins;
use crate::table::{Align, Table, grouped};
use crate::target::Target;

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
        Some(interface) => Pins::read(&target.paths, interface).and_then(|pins| pins.counted()).map(|found| found.own),
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
