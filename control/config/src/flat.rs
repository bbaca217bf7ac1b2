//! A configuration as a list of keys and values, to compare two of them.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// Every value of `text`, by its path (`feed[0].port`), as it stands in a file; nothing of a text that is no TOML. It is not
/// asked whether they are right: what a journal has was, at its time.
pub fn values(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    if let Ok(table) = text.parse::<Table>() {
        add(&table, "", &mut values);
    }
    values
}

fn add(table: &Table, prefix: &str, values: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) if !inner.is_empty() => add(inner, &path, values),
            Value::Array(entries) if !entries.is_empty() && entries.iter().all(Value::is_table) => {
                for (index, entry) in entries.iter().enumerate() {
                    if let Value::Table(inner) = entry {
                        add(inner, &format!("{path}[{index}]"), values);
                    }
                }
            }
            plain => _ = values.insert(path, plain.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_have_paths_and_look_as_in_a_file() {
        let text = "a = 1\n[b]\nc = \"x\"\nd = [1, 2]\n[[e]]\nf = true\n[[e]]\nf = false\n[e.g]\nh = 2\n#run x=1\n";
        let found: Vec<(String, String)> = super::values(text).into_iter().collect();
        let expected = [
            ("a", "1"),
            ("b.c", "\"x\""),
            ("b.d", "[1, 2]"),
            ("e[0].f", "true"),
            ("e[1].f", "false"),
            ("e[1].g.h", "2"),
        ];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert!(super::values("a = ").is_empty());
    }
}
