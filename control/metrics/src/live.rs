//! What the page (`web/`) asks for each second: every value of the table, and the alerts with their texts.

use std::time::SystemTime;

use serde_json::{Value, json};
use tern_abi::segment::Segment;

use crate::seen::Seen;
use crate::table::Family;
use crate::text;

/// Version of the answer.
const VERSION: u32 = 1;

/// One object: `version`, `instance`, `now_ns` (TAI), `unix_ms`, `alerts` (as in `<run>/alerts.json`, the worst first; null where no ternd watches) and
/// `values`, each with `name`, `labels` and `value`.
pub fn live(families: &[Family], seen: &Seen, segment: Option<&Segment<'_>>) -> String {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Written by ternd: what a dead one left says nothing of now.
    let is_watched = seen.process("ternd").is_some_and(|process| process.pid != 0);
    let alerts = match &seen.alerts {
        _ if !is_watched => Value::Null,
        Some(facts) => json!(facts.active),
        None => Value::Array(Vec::new()),
    };
    json!({
        "version": VERSION,
        "instance": seen.name,
        "now_ns": seen.now_ns,
        "unix_ms": unix.as_millis() as u64,
        "alerts": alerts,
        "values": text::values(families, seen, segment),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::families;

    /// The names of families and labels that the page's script reads are those of the table.
    #[test]
    fn the_page_asks_for_values_that_there_are() {
        let page = include_str!("../web/page.js");
        let families = families();
        let mut asked = 0;
        for part in page.split(['"', '`']).filter(|part| part.starts_with("tern_") && !part.contains('$')) {
            let is_there =
                families.iter().any(|family| family.series() == part || format!("{}_bucket", family.name) == part);
            assert!(is_there, "{part} is no value of the table");
            asked += 1;
        }
        assert!(asked > 12, "{asked} names found in the page");
        for what in ["new", "replace", "cancel"] {
            let name = format!("tern_orders_{what}_total");
            assert!(families.iter().any(|family| family.series() == name), "{name}");
        }
        assert!(page.contains("\"tick_to_order\"") && tern_abi::record::SPAN_NAMES.contains(&"tick_to_order"));
    }

    #[test]
    fn without_a_segment_it_is_still_an_answer() {
        let seen = Seen { name: "a".into(), ..Seen::default() };
        let answer: Value = serde_json::from_str(&live(&families(), &seen, None)).expect("JSON");
        assert_eq!((&answer["version"], &answer["instance"]), (&json!(1), &json!("a")));
        assert_eq!(answer["alerts"], Value::Null, "nobody watches");
        let values = answer["values"].as_array().expect("values");
        assert!(values.iter().any(|value| value["name"] == "tern_segment_up" && value["value"] == 0.0), "{values:?}");
    }
}
