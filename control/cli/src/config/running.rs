//! `tern config show`: with what the instance runs. The last start record has the configuration, the segment the limits in
//! force.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tern_config::facts::Names;
use tern_config::flat;
use tern_config::limits::{key_of, toml_of};
use tern_journal::recovered::last_start;

use crate::outcome::{Failure, Outcome};
use crate::risk::{InForce, set_today};
use crate::table::tai_time;
use crate::target::Target;

/// What the last run began with, and what of it was changed since.
pub(crate) struct Running {
    /// `seq` and time of its start record.
    pub(crate) started: (u64, u64),
    /// Its values by key, as they stand in a file.
    pub(crate) values: BTreeMap<String, String>,
    /// Its limits in force, where a segment says them.
    pub(crate) in_force: Option<InForce>,
    /// Bounds of prices that were set by command, for people and for programs.
    pub(crate) bounds: (String, Value),
}

impl Running {
    /// Of the instance.
    ///
    /// # Errors
    /// Exit code 3: the journal has no start record.
    pub(crate) fn find(target: &Target) -> Result<Self, Failure> {
        let nothing = || Failure::not_running("the journal has no start record: this instance never ran");
        if !target.paths.journal.is_dir() {
            return Err(nothing());
        }
        let (header, text) = last_start(&target.paths.journal).map_err(Failure::failed)?.ok_or_else(nothing)?;
        let mut values = flat::values(Names::split_start_text(&text).0);
        let (in_force, bounds) = match target.segment() {
            Ok(view) => {
                let words = view.segment().map_err(Failure::failed)?;
                (InForce::read(&words, &target.names()), set_today(&words))
            }
            // What was in force last is gone with it.
            Err(_) => (None, (String::new(), Value::Array(Vec::new()))),
        };
        for limit in in_force.iter().flat_map(|in_force| &in_force.limits) {
            values.insert(format!("limits.{}", key_of(&limit.name)), toml_of(&limit.name, limit.value));
        }
        Ok(Self { started: (header.seq, header.tai_ns), values, in_force, bounds })
    }
}

/// Every value with which the instance runs.
///
/// # Errors
/// Exit code 3 when it never ran.
pub(crate) fn show(target: &Target) -> Result<Outcome, Failure> {
    let running = Running::find(target)?;
    let (seq, tai_ns) = running.started;
    let mut text = format!("# started {} (journal seq {seq})\n", tai_time(tai_ns));
    let origin = running.in_force.as_ref().map(|in_force| (in_force.state.epoch, in_force.origin()));
    match &origin {
        Some((epoch, by)) => text.push_str(&format!("# limits of epoch {epoch}, {by}\n")),
        None => text.push_str("# no segment: limits as the configuration had them at start\n"),
    }
    running.values.iter().for_each(|(key, value)| text.push_str(&format!("{key} = {value}\n")));
    text.push_str(&running.bounds.0);
    let limits = running.in_force.as_ref().map(|now| json!({ "epoch": now.state.epoch, "set": now.origin_json() }));
    let json = json!({ "started_seq": seq, "started_ns": tai_ns, "limits": limits, "values": running.values,
        "price_bounds_set": running.bounds.1 });
    Ok(Outcome::ok(text, json))
}
