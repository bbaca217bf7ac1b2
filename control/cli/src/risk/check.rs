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
            let json =
                json!({ "file": file, "valid": true, "problems": [], "limits": Value::Object(by_key.collect()) });
            Outcome::ok(format!("{}: right\n{}", file.display(), table.render()), json)
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
