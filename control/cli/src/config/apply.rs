//! `tern config diff` and `apply`: a file against what runs.

use std::path::Path;

use serde_json::{Value, json};
use tern_config::explain::When;
use tern_config::limits::{Change, change_of_key};
use tern_config::{Config, Secret, flat};

use super::running::Running;
use crate::outcome::{Failure, Outcome, exit};
use crate::risk;
use crate::target::Target;

/// A key with another value in the file than in what runs; without one where it is absent.
struct Changed {
    key: String,
    from: Option<String>,
    to: Option<String>,
    when: When,
}

impl Changed {
    /// Tighter or looser, of what can be changed live.
    fn direction(&self) -> Option<Change> {
        let (Some(from), Some(to), When::Live) = (&self.from, &self.to, self.when) else { return None };
        change_of_key(self.key.strip_prefix("limits.")?, from, to)
    }

    fn text(&self) -> String {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".into());
        let direction = self.direction().map_or_else(String::new, |change| format!(", {}", change.name()));
        format!("{}: {} -> {} ({}{direction})\n", self.key, shown(&self.from), shown(&self.to), self.when.name())
    }

    fn json(&self) -> Value {
        json!({ "key": self.key, "from": self.from, "to": self.to, "takes_effect": self.when.name(),
            "change": self.direction().map(Change::name) })
    }
}

fn changes(running: &Running, file: &Path) -> Result<Vec<Changed>, Failure> {
    let wanted = flat::values(&Config::load(file).map_err(Failure::usage)?.effective_toml());
    let keys: std::collections::BTreeSet<&String> = running.values.keys().chain(wanted.keys()).collect();
    let changed = keys.into_iter().filter_map(|key| {
        let (from, to) = (running.values.get(key).cloned(), wanted.get(key).cloned());
        (from != to).then(|| Changed { key: key.clone(), from, to, when: When::of(key) })
    });
    Ok(changed.collect())
}

/// What the file has otherwise than what runs, and when it would take effect.
///
/// # Errors
/// Exit code 2 for a wrong file, 3 when the instance never ran.
pub(crate) fn diff(target: &Target, file: &Path) -> Result<Outcome, Failure> {
    let running = Running::find(target)?;
    let changes = changes(&running, file)?;
    let mut text: String = changes.iter().map(Changed::text).collect();
    let restarts = changes.iter().filter(|change| change.when == When::Restart).count();
    let secret = |(key, value): (&String, &String)| value.contains(Secret::HIDDEN).then(|| key.clone());
    let not_compared: Vec<String> = running.values.iter().filter_map(secret).collect();
    text.push_str(&running.bounds.0);
    if !not_compared.is_empty() {
        text.push_str(&format!("not compared, as no record has them: {}\n", not_compared.join(", ")));
    }
    match (changes.len(), restarts) {
        (0, _) => text.push_str("nothing would change\n"),
        (_, 0) => text.push_str("all of it is live: `tern config apply --why TEXT` sets it\n"),
        _ => text.push_str(&format!("{restarts} take effect with the next start\n")),
    }
    Ok(Outcome::ok(
        text,
        json!({ "file": file, "changes": list(&changes), "needs_restart": restarts != 0,
        "not_compared": not_compared }),
    ))
}

/// Sets what the file has otherwise, if all of it can be set live; else nothing.
///
/// # Errors
/// Exit code 2 for a wrong file or one that needs a restart, 3 when nothing runs; others as `tern risk set`.
pub(crate) fn apply(target: &Target, file: &Path, why: &str, epoch: Option<u32>) -> Result<Outcome, Failure> {
    let running = Running::find(target)?;
    let changes = changes(&running, file)?;
    let restarts: Vec<&Changed> = changes.iter().filter(|change| change.when == When::Restart).collect();
    if !restarts.is_empty() {
        let mut text: String = restarts.iter().map(|change| change.text()).collect();
        text.push_str("nothing is changed: these take effect with the next start of ternd alone\n");
        let json = json!({ "verdict": "needs_restart", "changes": list(&changes) });
        return Ok(Outcome { text, json, code: exit::USAGE });
    }
    risk::set(target, &[file.display().to_string()], why, epoch)
}

fn list(changes: &[Changed]) -> Vec<Value> {
    changes.iter().map(Changed::json).collect()
}
