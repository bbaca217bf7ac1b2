//! `tern risk check`: a file's limits, without any instance.

use std::path::Path;

use serde_json::{Value, json};
use tern_config::Limits;
use tern_config::limits::{key_of, text_of};

use super::in_force::shown;
use crate::config::problems_json;
use crate::outcome::{Outcome, exit};
use crate::table::{Align, Table};

/// Whether the limits of a file are right; everything that is wrong, with its line and what would be right.
pub(crate) fn check(file: &Path) -> Outcome {
    match Limits::load(file) {
        Ok(limits) => {
            let values = limits.values();
            let mut table = Table::new(&[("limit", Align::Left), ("value", Align::Right)]);
            for (name, value) in &values {
                table.row(vec![key_of(name).into(), shown(name, *value)]);
            }
            let by_key = values.iter().map(|(name, value)| (key_of(name).to_owned(), json!(text_of(name, *value))));
            let own = of_single_ones(&limits);
            let json = json!({ "file": file, "valid": true, "problems": [], "limits": Value::Object(by_key.collect()),
                "symbol": limits.symbol, "strategy": limits.strategy });
            Outcome::ok(format!("{}: right\n{}{own}", file.display(), table.render()), json)
        }
        Err(problems) => {
            let json = json!({
                "file": file,
                "valid": false,
                "problems": problems_json(&problems),
            });
            Outcome { text: problems.pictured(), json, code: exit::USAGE }
        }
    }
}

/// What the file says of single symbols and strategies, a line each.
fn of_single_ones(limits: &Limits) -> String {
    let line = |what: &str, own: Value| {
        let pairs: Vec<String> = own
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| format!("{key} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        format!("[[limits.{what}]] {}\n", pairs.join(", "))
    };
    let symbols = limits.symbol.iter().map(|own| line("symbol", json!(own)));
    symbols.chain(limits.strategy.iter().map(|own| line("strategy", json!(own)))).collect()
}
