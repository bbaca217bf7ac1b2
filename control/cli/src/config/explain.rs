//! `tern config explain` and `schema`: what keys are.

use serde_json::{Value, json};
use tern_config::explain::{self, Explained};

use crate::outcome::{Failure, Outcome};

/// The key, or those of a section; without one, all of them.
///
/// # Errors
/// Exit code 2: there is no such key.
pub(crate) fn explain(key: Option<&str>, markdown: bool) -> Result<Outcome, Failure> {
    let found = match key {
        None => explain::all(),
        Some(key) => explain::below(key.trim_matches(['[', ']'])),
    };
    if found.is_empty() {
        return Err(unknown(key.unwrap_or_default()));
    }
    let text = match found.as_slice() {
        _ if markdown => explain::markdown(),
        [one] => in_full(one),
        several => several.iter().map(|key| format!("{}\n    {}\n", key.path, key.about)).collect(),
    };
    Ok(Outcome::ok(text, json!({ "keys": found.iter().map(to_json).collect::<Vec<_>>() })))
}

/// The JSON Schema of the file.
pub(crate) fn schema() -> Outcome {
    let schema = explain::schema();
    Outcome::ok(format!("{schema:#}\n"), json!({ "schema": schema }))
}

fn in_full(key: &Explained) -> String {
    let mut text = format!("{}\n    {}\n", key.path, key.about);
    for (value, about) in &key.choices {
        text.push_str(&format!("      {value}: {about}\n"));
    }
    text.push_str(&format!("  right is:      {}\n", key.expected));
    text.push_str(&format!("  default:       {}\n", key.default.as_deref().unwrap_or("none")));
    text.push_str(&match key.when {
        explain::When::Live => "  takes effect:  live, by `tern config apply` or `tern risk set`\n".to_owned(),
        explain::When::Restart => "  takes effect:  restart\n".to_owned(),
    });
    text
}

fn to_json(key: &Explained) -> Value {
    let choice = |(value, about): &(String, String)| json!({ "value": value, "about": about });
    json!({ "key": key.path, "about": key.about, "expected": key.expected, "default": key.default,
        "choices": key.choices.iter().map(choice).collect::<Vec<_>>(), "takes_effect": key.when.name() })
}

/// Names keys that end alike, or lie in the same section.
fn unknown(key: &str) -> Failure {
    let last = key.rsplit('.').next().unwrap_or(key);
    let all = explain::all();
    let mut near: Vec<(usize, &str)> = all.iter().map(|known| (distance(key, last, known.path), known.path)).collect();
    near.sort_unstable();
    let near: Vec<&str> = near.iter().take(3).map(|(_, path)| *path).collect();
    Failure::usage(format!("there is no key `{key}`; near to it are {}", near.join(", ")))
}

/// Edits from what was asked to a key, or to its last part.
fn distance(key: &str, last: &str, known: &str) -> usize {
    let of_last = known.rsplit('.').next().unwrap_or(known);
    strsim::damerau_levenshtein(key, known).min(strsim::damerau_levenshtein(last, of_last))
}
