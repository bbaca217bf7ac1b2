//! What every key is: its place and what is right from [`crate::fields`], what it is about, its default and its type from the
//! types that read it.

use serde_json::Value;

use crate::fields::FIELDS;
use crate::secret::Secret;
use crate::types::Config;

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Between two inputs of the running loop, by `tern config apply` or `tern risk set`.
    Live,
    /// With the next start.
    Restart,
}

impl When {
    /// The name that users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restart => "restart",
        }
    }

    /// Of the key at `path`, with indices or without. The limits of the gate that are single numbers are set while it runs.
    pub fn of(path: &str) -> Self {
        match path.strip_prefix("limits.") {
            Some(key) if !key.contains(['.', '[']) => Self::Live,
            _ => Self::Restart,
        }
    }
}

/// A key, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Where it stands, joined by dots; `[]` stands for any entry of an array of tables.
    pub path: &'static str,
    /// What it is about.
    pub about: String,
    /// What would be right.
    pub expected: &'static str,
    /// Its value where the file says nothing, as it would stand in the file.
    pub default: Option<String>,
    /// What each choice means, where it has choices with a meaning of their own.
    pub choices: Vec<(String, String)>,
    /// When a changed value takes effect.
    pub when: When,
}

/// The JSON Schema of the file, for editors and other programs.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    forget_secrets(&mut schema);
    schema
}

/// What stands in a password's place is no default: an editor would fill it in.
fn forget_secrets(of: &mut Value) {
    match of {
        Value::Object(table) => {
            if table.get("default").and_then(Value::as_str) == Some(Secret::HIDDEN) {
                table.remove("default");
            }
            table.values_mut().for_each(forget_secrets);
        }
        Value::Array(entries) => entries.iter_mut().for_each(forget_secrets),
        _ => {}
    }
}

/// Every key, in the order of [`FIELDS`].
pub fn all() -> Vec<Explained> {
    let schema = schema();
    let explain = |path: &'static str, expected| {
        let found = walk(&schema, path);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(one_line);
        Explained {
            path,
            about: text(found.and_then(|found| found.get("description"))).unwrap_or_default(),
            expected,
            default: found.and_then(|found| found.get("default")).and_then(default_text),
            choices: found.map(|found| choices(&schema, found)).unwrap_or_default(),
            when: When::of(path),
        }
    };
    FIELDS.iter().map(|field| explain(field.path, field.expected)).collect()
}

/// Those at `path` or below it, whatever the indices in it.
pub fn below(path: &str) -> Vec<Explained> {
    let wanted = without_indices(path);
    let inside = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
    let mut found = all();
    found.retain(|key| without_indices(key.path).strip_prefix(wanted.as_str()).is_some_and(inside));
    found
}

/// `feed[2].port` and `feed[].port` as `feed.port`.
fn without_indices(path: &str) -> String {
    let mut inside = false;
    let keep = |character: &char| {
        inside = (inside || *character == '[') && *character != ']';
        !inside && *character != ']'
    };
    path.chars().filter(keep).collect()
}

/// The key's own schema: with its description and default, before what it refers to.
fn walk<'s>(schema: &'s Value, path: &str) -> Option<&'s Value> {
    let mut found = schema;
    for part in path.split('.') {
        let name = part.trim_end_matches("[]");
        found = target(schema, found).get("properties")?.get(name)?;
        if part.ends_with("[]") {
            found = target(schema, found).get("items")?;
        }
    }
    Some(found)
}

/// What a schema says in the end: behind references and "or nothing".
fn target<'s>(schema: &'s Value, of: &'s Value) -> &'s Value {
    if let Some(name) = of.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix("#/$defs/")) {
        return schema.get("$defs").and_then(|defs| defs.get(name)).map_or(of, |found| target(schema, found));
    }
    let is_null = |one: &Value| one.get("type").and_then(Value::as_str) == Some("null");
    match of.get("anyOf").and_then(Value::as_array).map(|all| all.iter().find(|one| !is_null(one))) {
        Some(Some(one)) if one.get("$ref").is_some() => target(schema, one),
        _ => of,
    }
}

fn choices(schema: &Value, of: &Value) -> Vec<(String, String)> {
    let target = target(schema, of);
    let of_entries = target.get("items").map(|items| self::target(schema, items));
    let list = of_entries.unwrap_or(target).get("oneOf").and_then(Value::as_array);
    let choice = |one: &Value| {
        let value = one.get("const").and_then(Value::as_str)?;
        Some((value.to_owned(), one_line(one.get("description")?.as_str()?)))
    };
    list.into_iter().flatten().filter_map(choice).collect()
}

/// As it would stand in the file; nothing for a key that is simply absent.
fn default_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Object(table) if table.is_empty() => Some("{}".into()),
        Value::Object(_) => None,
        // JSON and TOML write these alike.
        other => Some(other.to_string()),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The reference as Markdown, for `docs/CONFIGURATION.md`.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    let mut section = None;
    for key in all() {
        let (of, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if section != Some(of) {
            section = Some(of);
            let header = match of.strip_suffix("[]") {
                Some(of) => format!("[[{of}]]"),
                None if of.is_empty() => "at the top".to_owned(),
                None => format!("[{of}]"),
            };
            text.push_str(&format!(
                "\n## `{header}`\n\n| key | | right is | default | takes effect |\n|---|---|---|---|---|\n"
            ));
        }
        let choices = key.choices.iter().map(|(value, about)| format!(" `{value}`: {about}")).collect::<String>();
        let default = key.default.as_ref().map_or_else(String::new, |default| format!("`{default}`"));
        let cell = |text: &str| text.replace('|', "\\|");
        text.push_str(&format!(
            "| `{name}` | {}{} | {} | {default} | {} |\n",
            cell(&key.about),
            cell(&choices),
            cell(key.expected),
            key.when.name()
        ));
    }
    text
}

const HEAD: &str = "# Configuration

Every key of the file, generated by `tern config explain --markdown`. `tern config explain KEY` prints one, `tern config schema` a JSON
Schema for editors, `control/config/example.toml` is a file with all of them. Unknown keys are errors. Money is in 1/10000 of the currency
unit. What takes effect `live` is set by `tern config apply` or `tern risk set` while it trades; the rest with the next start.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_says_what_it_is_about() {
        let silent: Vec<&str> = all().iter().filter(|key| key.about.is_empty()).map(|key| key.path).collect();
        assert_eq!(silent, Vec::<&str>::new(), "keys without a description");
    }

    #[test]
    fn a_key_has_its_default_its_choices_and_its_time() {
        let one = |path: &str| below(path).into_iter().next().unwrap_or_else(|| panic!("no {path}"));
        assert_eq!(one("port.ring_frames").default.as_deref(), Some("32768"));
        assert_eq!(one("session.heartbeat_ms").default.as_deref(), Some("1000"));
        assert_eq!(one("feed[3].line").default.as_deref(), Some("\"A\""));
        assert_eq!(one("session.user").default, None, "it has to be given");
        assert_eq!(one("session.password").default, None, "and so has a password");
        assert_eq!(one("loop.on_untrusted_book").choices[1].0, "hold");
        assert_eq!((one("limits.gross_max").when, one("rings.order_slots").when), (When::Live, When::Restart));
        assert_eq!(one("limits.symbol[0].price_min").when, When::Restart);
    }

    #[test]
    fn keys_below_a_section_are_found_whatever_the_index() {
        let paths: Vec<&str> = below("feed[1]").iter().map(|key| key.path).collect();
        assert_eq!(paths, ["feed[].venue", "feed[].stream", "feed[].line", "feed[].group", "feed[].port"]);
        assert!(below("limits").len() > 30 && below("limit").is_empty());
    }

    #[test]
    fn the_schema_refuses_unknown_keys() {
        let schema = schema();
        assert_eq!(schema["additionalProperties"], Value::Bool(false));
        assert_eq!(walk(&schema, "port.kind").map(|kind| target(&schema, kind)["oneOf"].is_array()), Some(true));
    }
}
