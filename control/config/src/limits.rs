//! Limits by name: what a file's `[limits]` means to the gate, and which changes loosen.
//!
//! The gate's limits have the names of the file's keys, but for those that the file has in percent and the gate in 1/100
//! percent. So a key of whole numbers that is added to `[limits]` needs no line here but its direction.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::locate::Source;
use crate::problem::{Problem, Problems};
use crate::types::{Config, Limits};

/// Percents in the file, and at the gate.
const PERCENTS: &[(&str, &str)] = &[
    ("price_collar_percent", "price_collar_bps"),
    ("reference_move_percent", "reference_move_bps"),
    ("reference_spread_percent", "reference_spread_bps"),
];
/// What the account is worth: of nothing, leverage is not checked.
const EQUITY: &str = "equity";
/// What becomes of orders that would trade with our own.
const SELF_TRADE: &str = "self_trade";
/// Its values in the file, in the order of the gate's numbers.
const SELF_TRADES: [&str; 4] = ["off", "cancel_newest", "cancel_oldest", "cancel_both"];

/// What a change of one limit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// Less is allowed than before.
    Tighter,
    /// More is allowed than before, or it cannot be said: then it counts as more.
    Looser,
}

impl Change {
    /// The name that users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tighter => "tighter",
            Self::Looser => "looser",
        }
    }
}

/// Which way a limit is looser.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// The larger, the looser.
    Up,
    /// The smaller, the looser.
    Down,
}

/// Every limit whose direction is known, by the gate's name. One that is not here counts as loosened by any change, so
/// that only a risk officer changes it.
const DIRECTIONS: &[(&str, Direction)] = &[
    ("order_quantity_max", Direction::Up),
    ("order_notional_max", Direction::Up),
    ("price_collar_bps", Direction::Up),
    ("position_max", Direction::Up),
    ("open_orders_max", Direction::Up),
    ("orders_per_second_max", Direction::Up),
    ("order_burst_max", Direction::Up),
    ("cancel_reserve", Direction::Up),
    ("intent_age_ns_max", Direction::Up),
    ("duplicate_window_ns", Direction::Down),
    ("gross_max", Direction::Up),
    ("net_max", Direction::Up),
    ("daily_loss_max", Direction::Up),
    ("drawdown_max", Direction::Up),
    ("messages_per_day_max", Direction::Up),
    ("cancel_day_reserve", Direction::Up),
    ("strategy_position_max", Direction::Up),
    ("executions_max", Direction::Up),
    ("executions_window_ns", Direction::Down),
    ("volume_percent_max", Direction::Up),
    ("volume_shares_min", Direction::Up),
    ("reference_move_bps", Direction::Up),
    ("reference_spread_bps", Direction::Up),
    ("reference_depth_min", Direction::Down),
    (EQUITY, Direction::Up),
    ("leverage_percent_max", Direction::Up),
    ("strategy_gross_max", Direction::Up),
    ("strategy_net_max", Direction::Up),
    ("strategy_daily_loss_max", Direction::Up),
];

/// What it does to set the limit that the gate calls `name` from `from` to `to`.
pub fn change(name: &str, from: i64, to: i64) -> Change {
    if from == to {
        return Change::None;
    }
    if name == EQUITY && (from == 0 || to == 0) {
        return if from == 0 { Change::Tighter } else { Change::Looser };
    }
    let tighter = match DIRECTIONS.iter().find(|(known, _)| *known == name) {
        Some((_, Direction::Up)) => to < from,
        Some((_, Direction::Down)) => to > from,
        // From not at all to anything, or from anything to both: the rest cannot be compared.
        None if name == SELF_TRADE => from == 0 || to == 3,
        None => false,
    };
    if tighter { Change::Tighter } else { Change::Looser }
}

/// What it does to the orders of a symbol to bound their prices by `to` in the place of `from`: looser as soon as one price is let
/// through that was not.
pub fn change_of_bounds(from: [u32; 2], to: [u32; 2]) -> Change {
    match () {
        () if from == to => Change::None,
        () if from[0] <= to[0] && to[1] <= from[1] => Change::Tighter,
        () => Change::Looser,
    }
}

/// Whether it is known which way the limit is looser.
pub fn has_direction(name: &str) -> bool {
    name == SELF_TRADE || DIRECTIONS.iter().any(|(known, _)| *known == name)
}

/// The key of the file for the limit that the gate calls `name`.
pub fn key_of(name: &str) -> &str {
    PERCENTS.iter().find(|(_, gate)| *gate == name).map_or(name, |(file, _)| file)
}

/// The gate's name of a key of the file.
fn name_of(key: &str) -> &str {
    PERCENTS.iter().find(|(file, _)| *file == key).map_or(key, |(_, gate)| gate)
}

fn is_percent(name: &str) -> bool {
    PERCENTS.iter().any(|(_, gate)| *gate == name)
}

/// A value as the file has it: `5` for 500/100 percent, `cancel_both` for 3.
pub fn text_of(name: &str, value: i64) -> String {
    match usize::try_from(value) {
        Ok(index) if name == SELF_TRADE => {
            SELF_TRADES.get(index).map_or_else(|| value.to_string(), |name| (*name).into())
        }
        _ if is_percent(name) && value % 100 == 0 => (value / 100).to_string(),
        _ if is_percent(name) => format!("{}.{:02}", value / 100, value % 100),
        _ => value.to_string(),
    }
}

/// As [`text_of`], the way it stands in a file: names in quotes.
pub fn toml_of(name: &str, value: i64) -> String {
    let text = text_of(name, value);
    if name == SELF_TRADE && usize::try_from(value).is_ok_and(|index| index < SELF_TRADES.len()) {
        return format!("\"{text}\"");
    }
    text
}

/// What it does to change the value that stands behind `key` in `[limits]`, both as they stand in a file; `None` of one that is
/// no limit's value.
pub fn change_of_key(key: &str, from: &str, to: &str) -> Option<Change> {
    let value = |text: &str| {
        let text = text.trim_matches('"');
        let json = text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from);
        value_of(key, &json)
    };
    let ((name, from), (_, to)) = (value(from)?, value(to)?);
    Some(change(&name, from, to))
}

/// The unit of a value, as [`text_of`] writes it; empty where there is none.
pub fn unit_of(name: &str) -> &'static str {
    match name {
        "order_quantity_max" | "position_max" | "strategy_position_max" | "volume_shares_min" => "shares",
        "order_notional_max" | "gross_max" | "net_max" | "daily_loss_max" | "drawdown_max" | EQUITY => "1/10000",
        "strategy_gross_max" | "strategy_net_max" | "strategy_daily_loss_max" => "1/10000",
        "open_orders_max" => "orders",
        "orders_per_second_max" => "messages/s",
        "order_burst_max" | "cancel_reserve" | "messages_per_day_max" | "cancel_day_reserve" => "messages",
        "executions_max" => "executions",
        "volume_percent_max" | "leverage_percent_max" => "percent",
        _ if is_percent(name) => "percent",
        _ if name.contains("_ns") => "ns",
        _ => "",
    }
}

impl Limits {
    /// What the gate is given, by its names.
    pub fn values(&self) -> BTreeMap<String, i64> {
        let Ok(Value::Object(keys)) = serde_json::to_value(self) else { return BTreeMap::new() };
        keys.iter().filter_map(|(key, value)| value_of(key, value)).collect()
    }
}

/// Name and value at the gate of a key; `None` for what is no single number.
fn value_of(key: &str, value: &Value) -> Option<(String, i64)> {
    if key == SELF_TRADE {
        let index = SELF_TRADES.iter().position(|name| value.as_str() == Some(name))?;
        return Some((key.into(), index as i64));
    }
    // What the types let pass and an i64 does not hold is out of every range.
    let number = value.as_i64().or_else(|| value.as_u64().map(|_| i64::MAX))?;
    let name = name_of(key);
    Some((name.into(), if is_percent(name) { number.saturating_mul(100) } else { number }))
}

/// A file of which only the limits count.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsFile {
    #[serde(default)]
    limits: Limits,
}

/// The smallest configuration that is right, for a file that has limits alone.
const REST: &str = "[instance]\nname = \"limits\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n";

impl Limits {
    /// Reads the limits of the file at `path`: of a whole configuration, which is checked whole, or of a file that has
    /// nothing but `[limits]`. Keys that are absent have their defaults, as at a start with that file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Problems> {
        let path = path.as_ref();
        match std::fs::read_to_string(path) {
            Ok(text) if toml::from_str::<LimitsAlone>(&text).is_ok() => Self::parse(path, &text),
            _ => Config::load(path).map(|config| config.limits),
        }
    }

    /// Checks `text`, which has nothing but `[limits]` and is said to come from `file`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Problems> {
        let source = Source::new(file, text);
        let parsed: LimitsFile = source.parse()?;
        let mut config = Config::parse(file, REST)?;
        config.limits = parsed.limits;
        config.source = source;
        let problems = crate::validate::problems(&config);
        if problems.is_empty() { Ok(config.limits) } else { Err(Problems(problems)) }
    }

    /// Reads `KEY=VALUE` pairs: the values at the gate by its names, of these keys alone.
    ///
    /// # Errors
    /// Everything that is wrong with them; the line of a problem is the number of the pair.
    pub fn parse_pairs(pairs: &[String]) -> Result<BTreeMap<String, i64>, Problems> {
        let file = Path::new("KEY=VALUE");
        let mut lines = Vec::new();
        for (index, pair) in pairs.iter().enumerate() {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(pair_problem(file, index, pair, "is not KEY=VALUE").into());
            };
            let (key, value) = (key.trim(), value.trim());
            let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if key.is_empty() || value.is_empty() || !plain(key) || !plain(value) {
                return Err(pair_problem(file, index, pair, "is not KEY=VALUE").into());
            }
            let quoted = value.starts_with(|first: char| first.is_ascii_alphabetic());
            lines.push(if quoted { format!("{key} = \"{value}\"") } else { format!("{key} = {value}") });
        }
        // Dotted keys, so that the first pair is line 1. Columns are of this text and not of what was given.
        let text: String = lines.iter().map(|line| format!("limits.{line}\n")).collect();
        let all = Self::parse(file, &text).map_err(|problems| {
            Problems(problems.0.into_iter().map(|problem| Problem { column: 1, ..problem }).collect())
        })?;
        let all = all.values();
        let keys = lines.iter().filter_map(|line| line.split(' ').next());
        let names = keys.map(name_of);
        Ok(names.filter_map(|name| all.get_key_value(name).map(|(name, value)| (name.clone(), *value))).collect())
    }
}

/// Whether a file has nothing but limits, right or wrong.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsAlone {
    #[serde(rename = "limits")]
    _limits: toml::Table,
}

fn pair_problem(file: &Path, index: usize, pair: &str, message: &str) -> Problem {
    Problem {
        file: file.to_path_buf(),
        line: index + 1,
        column: 1,
        field: String::new(),
        message: format!("`{pair}` {message}"),
        expected: Some("a key of [limits] and its value, for example position_max=2000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_way_is_looser() {
        assert_eq!(change("position_max", 5, 5), Change::None);
        assert_eq!((change("position_max", 5, 4), change("position_max", 5, 6)), (Change::Tighter, Change::Looser));
        assert_eq!(change("duplicate_window_ns", 5, 0), Change::Looser, "not checked at all");
        assert_eq!(change("duplicate_window_ns", 5, 6), Change::Tighter);
        for (from, to, what) in
            [(0, 1, Change::Tighter), (1, 0, Change::Looser), (1, 2, Change::Looser), (2, 3, Change::Tighter)]
        {
            assert_eq!(change("self_trade", from, to), what, "{from} to {to}");
        }
        assert_eq!((change("equity", 0, 5), change("equity", 5, 0)), (Change::Tighter, Change::Looser));
        assert_eq!((change("equity", 5, 6), change("equity", 6, 5)), (Change::Looser, Change::Tighter));
        for (to, what) in [
            ([10, 20], Change::None),
            ([11, 20], Change::Tighter),
            ([10, 19], Change::Tighter),
            ([9, 20], Change::Looser),
            ([11, 21], Change::Looser),
            ([30, 40], Change::Looser),
        ] {
            assert_eq!(change_of_bounds([10, 20], to), what, "{to:?}");
        }
        assert_eq!(change("of_another_release", 5, 4), Change::Looser, "what is not known is not let pass");
        assert!(has_direction("self_trade") && !has_direction("of_another_release"));
    }

    #[test]
    fn values_are_the_gates() {
        let values = Limits::default().values();
        assert_eq!((values["price_collar_bps"], values["self_trade"], values["position_max"]), (500, 1, 2000));
        assert_eq!(values["reference_move_bps"], 500);
        assert_eq!((text_of("price_collar_bps", 500), text_of("price_collar_bps", 250)), ("5".into(), "2.50".into()));
        assert_eq!((text_of("self_trade", 3), text_of("self_trade", 9)), ("cancel_both".into(), "9".into()));
    }

    #[test]
    fn a_change_is_named_by_the_file_s_values_too() {
        assert_eq!(change_of_key("position_max", "5", "4"), Some(Change::Tighter));
        assert_eq!(change_of_key("price_collar_percent", "5", "6"), Some(Change::Looser));
        assert_eq!(change_of_key("self_trade", "\"off\"", "\"cancel_both\""), Some(Change::Tighter));
        assert_eq!(change_of_key("self_trade", "\"off\"", "\"never\""), None);
        assert_eq!(
            (toml_of("self_trade", 3), toml_of("price_collar_bps", 500)),
            ("\"cancel_both\"".into(), "5".into())
        );
    }

    #[test]
    fn pairs_are_checked_like_a_file_and_only_they_are_set() {
        let pairs =
            |pairs: &[&str]| Limits::parse_pairs(&pairs.iter().map(|pair| (*pair).to_owned()).collect::<Vec<_>>());
        let set = pairs(&["price_collar_percent=7", "self_trade=cancel_both", "gross_max=10_000_000"]).expect("right");
        let expected = [("gross_max", 10_000_000), ("price_collar_bps", 700), ("self_trade", 3)];
        assert_eq!(set, expected.map(|(name, value)| (name.to_owned(), value)).into());
        for (wrong, why) in [
            (&["position_max"][..], "is not KEY=VALUE"),
            (&["position_max=1\nx=2"], "is not KEY=VALUE"),
            (&["order_burst_max=7", "position_max=0"], "2:"),
            (&["position_max=0"], "out of range; right would be: shares from 1"),
            (&["position_max=many"], "invalid type"),
            (&["position_maximum=5"], "unknown field `position_maximum`"),
            (&["position_max=5", "position_max=6"], "duplicate key"),
            (&["price_collar_bps=700"], "unknown field"),
        ] {
            let said = pairs(wrong).expect_err("wrong").to_string();
            assert!(said.contains(why), "{wrong:?}: {said}");
        }
    }
}
