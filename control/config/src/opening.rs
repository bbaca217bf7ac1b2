//! `[opening]`: what is held when the venue's trading day begins. It stands in the configuration itself or in a file that this
//! names, which `tern positions roll` writes; the effective configuration has it in full, so that a replay needs no file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::locate::Source;
use crate::problem::Problem;
use crate::reference::Date;
use crate::types::Config;

/// Most shares of one position, as of `limits.position_max`.
const SHARES_MAX: i64 = 4_000_000_000;
/// Highest price (OUCH 5.0, 2.1), 1/10000.
const PRICE_MAX: i64 = 1_999_999_900;

/// Most shares of a split, new or old.
const RATIO_MAX: u32 = 1_000_000;

/// `[opening]`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Opening {
    /// A TOML file with the other keys of this section; relative to the configuration file.
    #[serde(skip_serializing)]
    pub file: Option<PathBuf>,
    /// The venue's trading day that begins with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Date>,
    /// Positions, each strategy and symbol once.
    pub position: Vec<OpeningPosition>,
    /// The file that was read.
    #[serde(skip)]
    source: Option<Source>,
}

/// `[[opening.position]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpeningPosition {
    /// Symbol.
    pub symbol: String,
    /// Who holds it.
    pub strategy: StrategyName,
    /// Signed shares.
    pub shares: i64,
    /// What a share cost on average, 1/10000 of the currency unit; or `cost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<i64>,
    /// What they cost together, signed like `shares`, 1/10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<i64>,
}

/// A strategy by its id, or by a name that only one has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StrategyName {
    /// `strategy.id`.
    Id(u16),
    /// `strategy.name`.
    Name(String),
}

/// New shares for old ones, by symbol.
pub type Splits = BTreeMap<String, (u32, u32)>;

/// Reads a table of splits: symbol = "new:old".
///
/// # Errors
/// What is wrong, with the symbol or the place.
pub fn parse_splits(text: &str) -> Result<Splits, String> {
    let table: BTreeMap<String, String> = toml::from_str(text).map_err(|error| error.to_string())?;
    let part = |text: &str| text.parse::<u32>().ok().filter(|part| (1..=RATIO_MAX).contains(part));
    let parts = |ratio: &str| ratio.split_once(':').and_then(|(new, old)| Some((part(new)?, part(old)?)));
    let ratio = |(symbol, ratio): (String, String)| match parts(&ratio) {
        Some(parts) if crate::validate::is_symbol(&symbol) => Ok((symbol, parts)),
        _ => Err(format!("{symbol} = \"{ratio}\" is no split; right would be new shares for old, as TERN = \"2:1\"")),
    };
    table.into_iter().map(ratio).collect()
}

/// An opening position that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Strategy id; there is such a strategy.
    pub strategy: u16,
    /// Symbol.
    pub symbol: String,
    /// Signed shares, not 0.
    pub shares: i64,
    /// What they cost, signed like them, 1/10000.
    pub cost: i64,
}

impl OpeningPosition {
    fn cost(&self) -> Option<i64> {
        self.cost.or_else(|| self.shares.checked_mul(self.price?))
    }
}

impl Config {
    /// Reads the file of opening positions, if one is named. It takes the place of the name.
    pub(crate) fn fill_opening(&mut self) -> Result<(), Problem> {
        const FIELD: &str = "opening.file";
        let Some(Opening { file: Some(file), date, position, .. }) = &self.opening else { return Ok(()) };
        if date.is_some() || !position.is_empty() {
            return Err(self.problem(FIELD, "a file and positions are both given"));
        }
        let path = self.source.file.parent().unwrap_or(Path::new("")).join(file);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| self.problem(FIELD, format!("`{}` cannot be read: {error}", path.display())))?;
        let source = Source::new(&path, &text);
        let mut read: Opening = toml::from_str(&text)
            .map_err(|error| source.problem_in(error.span().unwrap_or(0..0), error.message().replace('\n', " ")))?;
        if read.file.is_some() {
            return Err(source.problem_at("file", "names another file".into(), None));
        }
        read.source = Some(source);
        self.opening = Some(read);
        self.named.push(("opening", path));
        Ok(())
    }

    /// A problem with a field of `[opening]`, where that was written.
    fn opening_problem(&self, field: &str, message: String) -> Problem {
        let path = format!("opening.{field}");
        match self.opening.as_ref().and_then(|opening| opening.source.as_ref()) {
            Some(source) => {
                let expected = crate::fields::find(&path).map(|known| known.expected);
                source.problem_at(field, message, expected)
            }
            None => self.problem(&path, message),
        }
    }

    /// Everything that is wrong with `[opening]`.
    pub(crate) fn opening_problems(&self) -> Vec<Problem> {
        let Some(opening) = self.opening.as_ref().filter(|opening| opening.file.is_none()) else { return Vec::new() };
        let mut problems = Vec::new();
        if opening.date.is_none() {
            problems.push(self.opening_problem("date", "required".into()));
        }
        let mut places = BTreeMap::new();
        for (index, position) in opening.position.iter().enumerate() {
            let mut wrong = |field: &str, message: String| {
                problems.push(self.opening_problem(&format!("position[{index}].{field}"), message));
            };
            if !crate::validate::is_symbol(&position.symbol) {
                wrong("symbol", format!("`{}` is not a symbol", position.symbol));
            }
            match self.strategy_of(&position.strategy) {
                Ok(strategy) => {
                    if let Some(first) = places.insert((strategy, &position.symbol), index) {
                        let symbol = &position.symbol;
                        wrong("symbol", format!("strategy {strategy} has its {symbol} in entry {first} already"));
                    }
                }
                Err(why) => wrong("strategy", why),
            }
            if position.shares == 0 || position.shares.unsigned_abs() > SHARES_MAX as u64 {
                wrong("shares", format!("{} is out of range", position.shares));
                continue;
            }
            match (position.price, position.cost) {
                (Some(price), None) if !(1..=PRICE_MAX).contains(&price) => {
                    wrong("price", format!("{price} is out of range"));
                }
                (Some(_), None) => {}
                (None, Some(cost)) => {
                    let most = i128::from(position.shares.unsigned_abs()) * i128::from(PRICE_MAX);
                    if cost.signum() != position.shares.signum() || i128::from(cost.unsigned_abs()) > most {
                        wrong("cost", format!("{cost} cannot be what {} shares cost", position.shares));
                    }
                }
                (Some(_), Some(_)) => wrong("price", "price and cost are both given".into()),
                (None, None) => wrong("price", "neither price nor cost is given".into()),
            }
        }
        problems
    }

    fn strategy_of(&self, wanted: &StrategyName) -> Result<u16, String> {
        match wanted {
            StrategyName::Id(id) if self.strategy.iter().any(|strategy| strategy.id == *id) => Ok(*id),
            StrategyName::Id(id) => Err(format!("no strategy has the id {id}")),
            StrategyName::Name(name) => {
                let mut of_name = self.strategy.iter().filter(|strategy| strategy.name == *name);
                match (of_name.next(), of_name.next()) {
                    (Some(only), None) => Ok(only.id),
                    (None, _) => Err(format!("there is no strategy `{name}`")),
                    (Some(_), Some(_)) => Err(format!("several strategies are called `{name}`: give the id")),
                }
            }
        }
    }

    /// What is held when the day begins, by strategy id and with what it cost.
    pub fn held(&self) -> Vec<Held> {
        let held = |position: &OpeningPosition| {
            let strategy = self.strategy_of(&position.strategy).ok()?;
            Some(Held { strategy, symbol: position.symbol.clone(), shares: position.shares, cost: position.cost()? })
        };
        self.opening.iter().flat_map(|opening| &opening.position).filter_map(held).collect()
    }

    /// Positions by id and with what they cost, for whoever reads the effective configuration.
    pub(crate) fn resolve_opening(&mut self) {
        let position = |held: Held| OpeningPosition {
            symbol: held.symbol,
            strategy: StrategyName::Id(held.strategy),
            shares: held.shares,
            price: None,
            cost: Some(held.cost),
        };
        let positions = self.held().into_iter().map(position).collect();
        if let Some(opening) = &mut self.opening {
            opening.position = positions;
        }
    }

    /// Whether reference and opening positions, if there are any, are for the trading day `day` ([`Config::trading_day`]).
    ///
    /// # Errors
    /// One is for another day: what was held or restricted then says nothing of today.
    pub fn check_dates(&self, day: u32) -> Result<(), Problem> {
        self.check_reference(day)?;
        let Some(date) = self.opening.as_ref().and_then(|opening| opening.date) else { return Ok(()) };
        if date.days == day {
            return Ok(());
        }
        let mut problem = self.opening_problem("date", format!("the opening positions are of {date}"));
        let today = Date { days: day };
        problem.expected = Some(format!(
            "what is held on {today}, the venue's trading day; `tern positions roll` writes it from the journal of the day before"
        ));
        Err(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "[instance]\nname = \"m\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n\
        [[strategy]]\nname = \"maker\"\nid = 1\n[[strategy]]\nname = \"twin\"\nid = 2\n[[strategy]]\nname = \"twin\"\nid = 3\n";
    const DATE: &str = "date = \"2026-11-22\"\n";

    fn load(folder: &Path, positions: &str) -> Result<Config, crate::Problems> {
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(folder.join("opening.toml"), positions).expect("written");
        std::fs::write(folder.join("c.toml"), format!("{BASE}[opening]\nfile = \"opening.toml\"\n")).expect("written");
        let config = Config::load(folder.join("c.toml"));
        std::fs::remove_dir_all(folder).expect("it was made");
        config
    }

    #[test]
    fn a_file_is_read_and_the_effective_configuration_needs_it_no_more() {
        let folder = std::env::temp_dir().join(format!("tern-opening-{}", std::process::id()));
        let text = format!(
            "{DATE}[[position]]\nsymbol = \"SPY\"\nstrategy = \"maker\"\nshares = -300\nprice = 100000\n\
             [[position]]\nsymbol = \"SPY\"\nstrategy = 3\nshares = 7\ncost = 100\n"
        );
        let config = load(&folder, &text).unwrap_or_else(|problems| panic!("{problems}"));
        let held = |strategy, shares, cost| Held { strategy, symbol: "SPY".into(), shares, cost };
        assert_eq!(config.held(), [held(1, -300, -3000_0000), held(3, 7, 100)]);
        let effective = config.effective_toml();
        let again = Config::parse(Path::new("journal"), &effective).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!((again.held(), again.effective_toml()), (config.held(), effective));
        assert_eq!((config.check_dates(20_779), again.check_dates(20_779)), (Ok(()), Ok(())));
        let shown = config.check_dates(20_780).expect_err("of another day").to_string();
        assert!(shown.contains("opening.toml:1:8: date: the opening positions are of 2026-11-22; right"), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_said_with_file_line_and_field() {
        let folder = std::env::temp_dir().join(format!("tern-opening-wrong-{}", std::process::id()));
        let entry = |symbol: &str, strategy: &str, rest: &str| {
            format!("{DATE}[[position]]\nsymbol = \"{symbol}\"\nstrategy = {strategy}\n{rest}\n")
        };
        let good = "shares = 5\nprice = 1";
        let twice = format!("{}[[position]]\nsymbol = \"A\"\nstrategy = \"maker\"\n{good}\n", entry("A", "1", good));
        for (text, message) in [
            ("position = []".to_owned(), "opening.toml:1:1: date: required"),
            (
                entry("spy", "1", good),
                "opening.toml:3:10: position[0].symbol: `spy` is not a symbol; right would be: a symbol",
            ),
            (entry("A", "9", good), "opening.toml:4:12: position[0].strategy: no strategy has the id 9; right"),
            (entry("A", "\"x\"", good), "opening.toml:4:12: position[0].strategy: there is no strategy `x`"),
            (entry("A", "\"twin\"", good), "position[0].strategy: several strategies are called `twin`: give the id"),
            (twice, "opening.toml:8:10: position[1].symbol: strategy 1 has its A in entry 0 already"),
            (entry("A", "1", "shares = 0\nprice = 1"), "opening.toml:5:10: position[0].shares: 0 is out of range"),
            (entry("A", "1", "shares = 5\nprice = 0"), "opening.toml:6:9: position[0].price: 0 is out of range"),
            (entry("A", "1", "shares = 5"), "position[0].price: neither price nor cost is given"),
            (entry("A", "1", "shares = 5\nprice = 1\ncost = 5"), "price: price and cost are both given"),
            (
                entry("A", "1", "shares = 5\ncost = -5"),
                "opening.toml:6:8: position[0].cost: -5 cannot be what 5 shares cost",
            ),
            (entry("A", "1", "shares = 5\nprize = 1"), "opening.toml:6:1: position[0].prize: unknown field `prize`"),
            ("file = \"x\"".to_owned(), "file: names another file"),
        ] {
            let shown = load(&folder, &text).expect_err("refused").to_string();
            assert!(shown.contains(message), "{shown}\n{message}");
        }
        let both = format!("{BASE}[opening]\nfile = \"opening.toml\"\n{DATE}");
        let shown = Config::parse(Path::new("x"), &both).expect_err("refused").to_string();
        assert!(shown.contains("opening.file: a file and positions are both given"), "{shown}");
        let inline = format!("{BASE}[opening]\n{DATE}[[opening.position]]\nsymbol = \"A\"\nstrategy = 9\n{good}\n");
        let shown = Config::parse(Path::new("x"), &inline).expect_err("refused").to_string();
        assert!(shown.contains("opening.position[0].strategy: no strategy has the id 9"), "{shown}");
    }
}
