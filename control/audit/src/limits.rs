//! The limits that ought to be in force: from the start record's configuration, then as commands change them.

use serde::Deserialize;
use std::collections::BTreeMap;
use tern_abi::command::Command;

/// What is recomputed of `[limits]`, widened. Defaults are those that the configuration writes out in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Limits {
    pub(crate) order_quantity_max: i64,
    pub(crate) order_notional_max: i64,
    pub(crate) position_max: i64,
    pub(crate) open_orders_max: i64,
    pub(crate) orders_per_second_max: i64,
    pub(crate) order_burst_max: i64,
    /// Not in the file: the configuration a run starts with is epoch 0.
    #[serde(skip)]
    pub(crate) epoch: u32,
}

/// Limits of one symbol in place of those of all.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct OfSymbol {
    order_quantity_max: Option<i64>,
    order_notional_max: Option<i64>,
    position_max: Option<i64>,
}

#[derive(Deserialize)]
struct Named {
    symbol: String,
    #[serde(flatten)]
    limits: OfSymbol,
}

#[derive(Deserialize)]
struct Symbols {
    #[serde(default)]
    symbol: Vec<Named>,
}

#[derive(Deserialize)]
struct Effective {
    limits: Limits,
}

#[derive(Deserialize)]
struct EffectiveSymbols {
    limits: Symbols,
}

/// The limits of all symbols, and those of single ones.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    all: Limits,
    symbols: BTreeMap<[u8; 8], OfSymbol>,
    /// What was set by command: no symbol has more.
    commanded: OfSymbol,
}

/// Shares an order may have at most: below 1,000,000 (OUCH 5.0, 2.1).
const QUANTITY_MAX: i64 = 999_999;
/// Largest value of the limits that are counts.
const COUNT_MAX: i64 = u32::MAX as i64;

impl InForce {
    /// Those of an effective configuration; `None` if the text does not say them.
    pub(crate) fn of_configuration(text: &str) -> Option<Self> {
        let all = toml::from_str::<Effective>(text).ok()?.limits;
        let named = toml::from_str::<EffectiveSymbols>(text).ok()?.limits.symbol;
        let padded = |name: &str| -> [u8; 8] {
            std::array::from_fn(|index| name.as_bytes().get(index).copied().unwrap_or(b' '))
        };
        let symbols = named.iter().map(|named| (padded(&named.symbol), named.limits)).collect();
        Some(Self { all, symbols, commanded: OfSymbol::default() })
    }

    /// Those of the orders in a symbol.
    pub(crate) fn of(&self, symbol: [u8; 8]) -> Limits {
        let own = self.symbols.get(&symbol).copied().unwrap_or_default();
        let pick = |own: Option<i64>, commanded: Option<i64>, all: i64| match (own, commanded) {
            (Some(own), Some(commanded)) => own.min(commanded),
            (Some(own), None) => own,
            (None, _) => all,
        };
        let (all, commanded) = (self.all, self.commanded);
        Limits {
            order_quantity_max: pick(own.order_quantity_max, commanded.order_quantity_max, all.order_quantity_max),
            order_notional_max: pick(own.order_notional_max, commanded.order_notional_max, all.order_notional_max),
            position_max: pick(own.position_max, commanded.position_max, all.position_max),
            ..all
        }
    }

    /// A `SetLimit`.
    pub(crate) fn set(&mut self, command: &Command) {
        if !self.all.set(command) {
            return;
        }
        match command.id {
            0 => self.commanded.order_quantity_max = Some(command.value),
            1 => self.commanded.order_notional_max = Some(command.value),
            3 => self.commanded.position_max = Some(command.value),
            _ => {}
        }
    }
}

impl Limits {
    /// A `SetLimit`; whether it did anything. Numbers are those of the journal's layout; what a command may not set changes
    /// nothing.
    fn set(&mut self, command: &Command) -> bool {
        // A limit that is not recomputed here moves the epoch all the same.
        let mut ignored = 0;
        let (limit, max) = match command.id {
            0 => (&mut self.order_quantity_max, QUANTITY_MAX),
            1 => (&mut self.order_notional_max, i64::MAX / 2),
            3 => (&mut self.position_max, 1 << 40),
            4 => (&mut self.open_orders_max, COUNT_MAX),
            5 => (&mut self.orders_per_second_max, COUNT_MAX),
            6 => (&mut self.order_burst_max, COUNT_MAX),
            2 => (&mut ignored, 10_000),
            7 => (&mut ignored, COUNT_MAX),
            8 | 9 => (&mut ignored, 3_600_000_000_000),
            10..=13 => (&mut ignored, i64::MAX / 2),
            14 => (&mut ignored, 3),
            15 | 16 => (&mut ignored, COUNT_MAX),
            18 | 20 | 21 => (&mut ignored, COUNT_MAX),
            24 => (&mut ignored, i64::MAX / 2),
            22 | 23 | 25 => (&mut ignored, 10_000),
            19 => (&mut ignored, 3_600_000_000_000),
            17 => (&mut ignored, 1 << 40),
            _ => return false,
        };
        let is_taken = command.scope == 0 && (0..=max).contains(&command.value);
        if is_taken {
            *limit = command.value;
            self.epoch = command.epoch;
        }
        is_taken
    }
}
