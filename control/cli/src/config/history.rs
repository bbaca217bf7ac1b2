//! `tern config history` and `rollback`: the limits that were ever in force, by their epochs.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tern_abi::command::{LimitsOutcome, SYSTEM_UID, SetLimits};
use tern_abi::record::{Kind, LimitsRecord, RecordHeader, StartRecord};
use tern_config::facts::{Names, name_at};
use tern_config::flat;
use tern_config::limits::{key_of, text_of, toml_of};
use zerocopy::FromBytes;

use crate::history::damage_note;
use crate::outcome::{Failure, Outcome, exit};
use crate::records;
use crate::risk::{self, InForce};
use crate::table::tai_time;
use crate::target::Target;

/// What stands before a symbol whose price was given bounds by command.
const BOUNDS: &str = "price bounds of ";

/// Limits in force from a moment on.
#[derive(Clone, Debug)]
struct Epoch {
    epoch: u32,
    seq: u64,
    tai_ns: u64,
    /// None of a start.
    uid: Option<u32>,
    why: String,
    /// By key of the file, as they stand in it.
    values: BTreeMap<String, String>,
}

/// Reads records for the limits that came into force.
#[derive(Default)]
struct Epochs {
    names: Names,
    found: Vec<Epoch>,
    /// What is to be set, until the data plane says what came of it.
    wanted: Option<(SetLimits, u64)>,
}

impl Epochs {
    fn see(&mut self, header: &RecordHeader, body: &[u8]) {
        match Kind::from_u16(header.kind) {
            Some(Kind::Start) => self.start(header, body),
            Some(Kind::SetLimits) => {
                self.wanted = SetLimits::of_record(body).map(|command| (command, header.tai_ns));
            }
            Some(Kind::Limits) => {
                let Ok((record, _)) = LimitsRecord::read_from_prefix(body) else { return };
                let Some((command, tai_ns)) = self.wanted.take() else { return };
                if record.outcome == LimitsOutcome::Set as u32 {
                    self.set(&command, record.epoch, header.seq, tai_ns);
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, header: &RecordHeader, body: &[u8]) {
        let Ok((_, text)) = StartRecord::ref_from_prefix(body) else { return };
        let text = String::from_utf8_lossy(text);
        let (configuration, names) = Names::split_start_text(&text);
        self.names = names;
        let of_limits = |(key, value): (String, String)| Some((key.strip_prefix("limits.")?.to_owned(), value));
        let values = flat::values(configuration).into_iter().filter_map(of_limits).collect();
        // What was set before is set again, by a command with an epoch of its own, where it still holds.
        self.found.push(Epoch {
            epoch: 0,
            seq: header.seq,
            tai_ns: header.tai_ns,
            uid: None,
            why: String::new(),
            values,
        });
    }

    fn set(&mut self, command: &SetLimits, epoch: u32, seq: u64, tai_ns: u64) {
        let mut values = self.found.last().map(|last| last.values.clone()).unwrap_or_default();
        for (index, value) in command.values().iter().enumerate() {
            let name = name_at(&self.names.limits, index);
            values.insert(key_of(&name).to_owned(), toml_of(&name, *value));
        }
        if command.bounds.is_meant() {
            let symbol = String::from_utf8_lossy(&command.bounds.symbol).trim_end().to_owned();
            values.insert(format!("{BOUNDS}{symbol}"), format!("{:?}", command.bounds.wanted));
        }
        self.found.push(Epoch { epoch, seq, tai_ns, uid: Some(command.uid), why: command.why().into(), values });
    }
}

fn read(folder: &Path) -> Result<(Vec<Epoch>, Option<tern_journal::Damage>), Failure> {
    let mut epochs = Epochs::default();
    let damage = records::for_each(folder, 0, |header, body| {
        epochs.see(header, body);
        true
    })?;
    Ok((epochs.found, damage))
}

/// Every set of limits that came into force, with who wanted it, why, and what it changed.
///
/// # Errors
/// Exit code 1 when the journal cannot be read; 4 comes back where it is damaged, with what lies before.
pub(crate) fn history(folder: &Path) -> Result<Outcome, Failure> {
    let (epochs, damage) = read(folder)?;
    let mut text = String::new();
    let mut list = Vec::new();
    let mut before: Option<&Epoch> = None;
    for epoch in &epochs {
        let changed = before.map(|before| changed(before, epoch)).unwrap_or_default();
        text.push_str(&format!("epoch {}  {}  {}\n", epoch.epoch, tai_time(epoch.tai_ns), by(epoch)));
        for (key, from, to) in &changed {
            text.push_str(&format!("  {key}: {from} -> {to}\n"));
        }
        let changes = changed.iter().map(|(key, from, to)| json!({ "key": key, "from": from, "to": to }));
        list.push(json!({ "epoch": epoch.epoch, "seq": epoch.seq, "tai_ns": epoch.tai_ns, "uid": uid_json(epoch),
            "at_start": epoch.uid.is_none(), "why": epoch.why, "changes": changes.collect::<Vec<Value>>(),
            "limits": epoch.values }));
        before = Some(epoch);
    }
    if epochs.is_empty() {
        text.push_str("the journal has no start record: no limits were ever in force\n");
    }
    let code = damage_note(damage.as_ref(), &mut text);
    Ok(Outcome { text, json: json!({ "epochs": list, "damage": damage.map(|damage| damage.to_string()) }), code })
}

fn by(epoch: &Epoch) -> String {
    let why = if epoch.why.is_empty() { String::new() } else { format!(": {}", epoch.why) };
    match epoch.uid {
        None => "start, with the configuration's".into(),
        Some(SYSTEM_UID) => format!("by the data plane{why}"),
        Some(uid) => format!("by uid {uid}{why}"),
    }
}

fn uid_json(epoch: &Epoch) -> Option<u32> {
    epoch.uid.filter(|uid| *uid != SYSTEM_UID)
}

fn changed(before: &Epoch, epoch: &Epoch) -> Vec<(String, String, String)> {
    let absent = || "absent".to_owned();
    let keys: std::collections::BTreeSet<&String> = before.values.keys().chain(epoch.values.keys()).collect();
    let pair = |key: &String| {
        let value = |of: &Epoch| of.values.get(key).cloned().unwrap_or_else(absent);
        let (from, to) = (value(before), value(epoch));
        (from != to).then(|| (key.clone(), from, to))
    };
    keys.into_iter().filter_map(pair).collect()
}

/// Sets the limits again that were in force as `epoch`, the last time that this was the epoch; they get a new one.
///
/// # Errors
/// Exit code 2: there was no such epoch; others as `tern risk set`.
pub(crate) fn rollback(target: &Target, epoch: u32, why: &str) -> Result<Outcome, Failure> {
    let (epochs, damage) = read(&target.paths.journal)?;
    if let Some(damage) = damage {
        return Err(Failure { message: damage.to_string(), code: exit::DAMAGED });
    }
    let Some(wanted) = epochs.iter().rfind(|known| known.epoch == epoch) else {
        return Err(Failure::usage(format!("no limits had the epoch {epoch}; `tern config history` lists them")));
    };
    bounds_agree(wanted, epochs.last())?;
    let view = target.segment()?;
    let words = view.segment().map_err(Failure::failed)?;
    let in_force = InForce::find(target, &words)?;
    let pair = |name: &str| {
        let key = key_of(name);
        wanted.values.get(key).map(|value| format!("{key}={}", value.trim_matches('"')))
    };
    let pairs = in_force.limits.iter().map(|limit| {
        pair(&limit.name).ok_or_else(|| {
            let now = text_of(&limit.name, limit.value);
            let key = key_of(&limit.name);
            Failure::usage(format!("epoch {epoch} does not know the limit {key}, which is {now} now: set it by itself"))
        })
    });
    let pairs = pairs.collect::<Result<Vec<String>, Failure>>()?;
    risk::set(target, &pairs, why, Some(in_force.state.epoch))
}

/// Bounds of a symbol's price are set one symbol at a time: an epoch that had others is not had again without them.
fn bounds_agree(wanted: &Epoch, last: Option<&Epoch>) -> Result<(), Failure> {
    let Some(last) = last else { return Ok(()) };
    let other = changed(wanted, last).into_iter().find(|(key, ..)| key.starts_with(BOUNDS));
    let Some((key, then, now)) = other else { return Ok(()) };
    Err(Failure::usage(format!(
        "nothing is set: the {key} were {then} in epoch {} and are {now}: set these first, by `tern risk set --symbol`",
        wanted.epoch
    )))
}
