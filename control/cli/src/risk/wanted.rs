//! What limits somebody wants: those of a file, all of them, or `KEY=VALUE` pairs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tern_config::Limits;
use tern_config::limits::{Change, change, key_of};

use super::in_force::{InForce, shown};
use crate::outcome::Failure;

/// A limit that would change.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) name: String,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) what: Change,
}

/// What of the limits in force would change.
///
/// # Errors
/// Exit code 2: the file or the pairs are wrong, or they and the data plane do not have the same limits.
pub(crate) fn changes(in_force: &InForce, source: &[String]) -> Result<Vec<Changed>, Failure> {
    let values = read(in_force, source)?;
    let changed = values.into_iter().filter_map(|(name, to)| {
        let from = in_force.limit(&name)?.value;
        let what = change(&name, from, to);
        (what != Change::None).then_some(Changed { name, from, to, what })
    });
    Ok(changed.collect())
}

fn read(in_force: &InForce, source: &[String]) -> Result<BTreeMap<String, i64>, Failure> {
    let is_pair = |text: &&String| text.contains('=');
    let values = match source.iter().filter(is_pair).count() {
        0 if source.len() == 1 => {
            let values = Limits::load(&source[0]).map_err(Failure::usage)?.values();
            if let Some(limit) = in_force.limits.iter().find(|limit| !values.contains_key(&limit.name)) {
                return Err(other_release(&limit.name, "this tern does not know"));
            }
            values
        }
        pairs if pairs == source.len() => Limits::parse_pairs(source).map_err(Failure::usage)?,
        _ => return Err(Failure::usage("give one file, or KEY=VALUE pairs, and not both")),
    };
    match values.keys().find(|name| in_force.limit(name).is_none()) {
        Some(name) => Err(other_release(name, "the data plane does not know")),
        None => Ok(values),
    }
}

/// What a file says of single symbols and strategies: that holds from the start of a run, and a command sets none of it.
pub(crate) fn not_set(source: &[String]) -> Vec<String> {
    let [file] = source else { return Vec::new() };
    let Ok(limits) = Limits::load(file) else { return Vec::new() };
    let symbols = limits.symbol.iter().map(|own| format!("limits.symbol {}", own.symbol));
    symbols.chain(limits.strategy.iter().map(|own| format!("limits.strategy {}", own.id))).collect()
}

/// The same for people; empty when there is nothing.
pub(crate) fn not_set_text(source: &[String]) -> String {
    match not_set(source).as_slice() {
        [] => String::new(),
        own => format!(
            "NOT part of it, for they hold from the start of a run: {} (prices in the day: --symbol)\n",
            own.join(", ")
        ),
    }
}

fn other_release(name: &str, who: &str) -> Failure {
    Failure::usage(format!("there is a limit `{name}` that {who}: use the tern of the data plane's release"))
}

impl Changed {
    pub(crate) fn key(&self) -> &str {
        key_of(&self.name)
    }

    /// For people, in one line.
    pub(crate) fn text(&self) -> String {
        let (from, to) = (shown(&self.name, self.from), shown(&self.name, self.to));
        format!("{}: {from} -> {to} ({})", self.key(), self.what.name())
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({ "limit": self.name, "key": self.key(), "from": self.from, "to": self.to, "change": self.what.name() })
    }
}

/// The role that all of it needs, as the daemon will say.
pub(crate) fn role(changes: &[Changed]) -> Option<&'static str> {
    match changes.iter().any(|change| change.what == Change::Looser) {
        _ if changes.is_empty() => None,
        true => Some("risk_officer"),
        false => Some("operator"),
    }
}
