//! The one table of what is counted on a packet's way to the loop: outcomes of the XDP program, the kernel's statistics of
//! the sockets, the interface. Each with what it means, its value and its rate.

use serde_json::{Map, Value, json};
use tern_abi::steer::SteerCounter;
use tern_hw::link::LinkCounter;
use tern_hw::xdp::XdpStatistic;

use super::look::Moment;
use crate::table::{Align, Table, grouped};

/// A counter at two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) value: u64,
    /// What was added between the two.
    pub(crate) added: u64,
}

/// Counters of one origin, or why they could not be read.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) rows: Result<Vec<Counted>, String>,
}

/// All of them, in the order of a packet's way.
pub(crate) fn groups(before: &Moment, after: &Moment) -> [Group; 3] {
    let link = both(&before.link, &after.link).map(|(then, now)| {
        let row =
            |counter: &LinkCounter| counted(counter.name(), counter.help(), then.get(*counter), now.get(*counter));
        LinkCounter::ALL.iter().map(row).collect()
    });
    let steer = both(&before.steer, &after.steer).map(|(then, now)| {
        let of = |moment: &crate::pins::Counted, counter: &SteerCounter| {
            moment.own.get(counter.name()).copied().unwrap_or(0)
        };
        let row = |counter: &SteerCounter| counted(counter.name(), counter.help(), of(then, counter), of(now, counter));
        SteerCounter::ALL.iter().map(row).collect()
    });
    let sockets = both(&before.sockets, &after.sockets).map(|(then, now)| {
        let sum = |sockets: &[tern_hw::xdp::SocketLook], counter: &XdpStatistic| {
            sockets.iter().map(|socket| socket.statistics[counter.index()]).sum()
        };
        let row =
            |counter: &XdpStatistic| counted(counter.name(), counter.help(), sum(then, counter), sum(now, counter));
        XdpStatistic::ALL.iter().map(row).collect()
    });
    [
        Group { name: "link", rows: link },
        Group { name: "steer", rows: steer },
        Group { name: "xdp_statistics", rows: sockets },
    ]
}

fn both<'m, T>(before: &'m Result<T, String>, after: &'m Result<T, String>) -> Result<(&'m T, &'m T), String> {
    match (before, after) {
        (Ok(then), Ok(now)) => Ok((then, now)),
        (_, Err(why)) | (Err(why), _) => Err(why.clone()),
    }
}

/// A counter that is smaller than before is another one: its program or its interface was made anew.
fn counted(name: &'static str, meaning: &'static str, then: u64, now: u64) -> Counted {
    Counted { name, meaning, value: now, added: now.checked_sub(then).unwrap_or(now) }
}

/// For people: what is not 0, or all of it.
pub(crate) fn text(groups: &[Group], seconds: f64, all: bool) -> String {
    let mut text = String::new();
    for group in groups {
        let mut table = Table::new(&[
            (group.name, Align::Left),
            ("count", Align::Right),
            ("a second", Align::Right),
            ("meaning", Align::Left),
        ]);
        match &group.rows {
            Err(why) => text.push_str(&format!("\n{}: not read: {why}\n", group.name)),
            Ok(rows) => {
                for row in rows.iter().filter(|row| all || row.value != 0) {
                    let rate = format!("{:.1}", rate(row.added, seconds));
                    table.row(vec![row.name.into(), grouped(row.value), rate, row.meaning.into()]);
                }
                match table.is_empty() {
                    true => text.push_str(&format!("\n{}: all 0\n", group.name)),
                    false => text.push_str(&format!("\n{}", table.render())),
                }
            }
        }
    }
    text
}

/// For programs.
pub(crate) fn json(groups: &[Group], seconds: f64) -> (Value, Value) {
    let (mut counters, mut absent) = (Map::new(), Map::new());
    for group in groups {
        match &group.rows {
            Err(why) => drop(absent.insert(group.name.into(), json!(why))),
            Ok(rows) => {
                let rows = rows.iter().map(|row| {
                    let per_second = rate(row.added, seconds);
                    let value = json!({ "value": row.value, "per_second": per_second, "meaning": row.meaning });
                    (row.name.to_owned(), value)
                });
                counters.insert(group.name.into(), Value::Object(rows.collect()));
            }
        }
    }
    (Value::Object(counters), Value::Object(absent))
}

fn rate(added: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { added as f64 / seconds } else { 0.0 }
}
