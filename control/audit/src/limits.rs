//! The limits that ought to be in force: from the start record's configuration, then as commands change them.

use serde::Deserialize;
use std::collections::BTreeMap;
use tern_abi::command::{Command, LimitsOutcome, SetBounds, SetLimits};
use tern_config::facts::Names;

/// What is recomputed of `[limits]`, widened. Defaults are those that the configuration writes out in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Limits {
    pub(crate) order_quantity_max: i64,
    pub(crate) order_notional_max: i64,
    pub(crate) position_max: i64,
    pub(crate) open_orders_max: i64,
    pub(crate) orders_per_second_max: i64,
    pub(crate) order_burst_max: i64,
    /// Runs before there was one wrote none.
    #[serde(default = "unlimited")]
    pub(crate) strategy_position_max: i64,
    #[serde(default = "unlimited")]
    pub(crate) gross_max: i64,
    #[serde(default = "unlimited")]
    pub(crate) net_max: i64,
    #[serde(default = "unlimited")]
    pub(crate) daily_loss_max: i64,
    #[serde(default = "unlimited")]
    pub(crate) drawdown_max: i64,
    #[serde(default = "unlimited")]
    pub(crate) strategy_gross_max: i64,
    #[serde(default = "unlimited")]
    pub(crate) strategy_net_max: i64,
    #[serde(default = "unlimited")]
    pub(crate) strategy_daily_loss_max: i64,
    /// 0 = leverage is not checked.
    #[serde(default)]
    pub(crate) equity: i64,
    #[serde(default = "unlimited")]
    pub(crate) leverage_percent_max: i64,
    /// In the file in percent, here in 1/100 of it as the gate has it.
    #[serde(default = "all_of_it", rename = "price_collar_percent")]
    pub(crate) price_collar_bps: i64,
    /// Lowest and highest price of an order in the symbol that they are of, whatever the collar says.
    #[serde(skip)]
    pub(crate) price_band: [Option<i64>; 2],
    /// Not in the file: the configuration a run starts with is epoch 0.
    #[serde(skip)]
    pub(crate) epoch: u32,
    /// How many the gate has, recomputed or not, as the start record names them; 0 = it does not.
    #[serde(skip)]
    count: usize,
}

const fn unlimited() -> i64 {
    i64::MAX
}

const fn all_of_it() -> i64 {
    100
}

/// Limits of one symbol in place of those of all.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct OfSymbol {
    order_quantity_max: Option<i64>,
    order_notional_max: Option<i64>,
    position_max: Option<i64>,
    price_min: Option<i64>,
    price_max: Option<i64>,
}

impl OfSymbol {
    /// With the bounds that a day's list gives: both hold.
    fn within(&mut self, [lowest, highest]: [i64; 2]) {
        self.price_min = Some(self.price_min.map_or(lowest, |own| own.max(lowest)));
        self.price_max = Some(self.price_max.map_or(highest, |own| own.min(highest)));
    }
}

#[derive(Deserialize)]
struct Named {
    symbol: String,
    #[serde(flatten)]
    limits: OfSymbol,
}

/// Limits of one strategy in place of those of every one.
#[derive(Clone, Copy, Deserialize)]
struct OfStrategy {
    id: u16,
    position_max: Option<i64>,
    gross_max: Option<i64>,
    net_max: Option<i64>,
    daily_loss_max: Option<i64>,
}

impl OfStrategy {
    /// In the order of [`Limits::of_strategies`].
    const fn values(&self) -> [Option<i64>; 4] {
        [self.position_max, self.gross_max, self.net_max, self.daily_loss_max]
    }
}

#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    symbol: Vec<Named>,
    #[serde(default)]
    strategy: Vec<OfStrategy>,
}

#[derive(Deserialize)]
struct Effective {
    limits: Limits,
}

/// What the day's lists say of prices.
#[derive(Default, Deserialize)]
struct Lists {
    #[serde(default)]
    price_bands: BTreeMap<String, [i64; 2]>,
}

#[derive(Deserialize)]
struct EffectiveParts {
    limits: Parts,
    #[serde(default)]
    reference: Lists,
}

/// The limits of all symbols, and those of single ones.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    all: Limits,
    symbols: BTreeMap<[u8; 8], OfSymbol>,
    /// Those of single strategies, by id.
    strategies: BTreeMap<u16, [Option<i64>; 4]>,
    /// What was set by command: no symbol has more.
    commanded: OfSymbol,
    /// The same of strategies.
    commanded_strategy: [Option<i64>; 4],
}

/// Shares an order may have at most: below 1,000,000 (OUCH 5.0, 2.1).
const QUANTITY_MAX: i64 = 999_999;
/// Highest price of a limit order, 199,999.9900 (OUCH 5.0, 1.2).
pub(crate) const PRICE_MAX: i64 = 1_999_999_900;
/// Largest value of the limits that are counts.
const COUNT_MAX: i64 = u32::MAX as i64;

/// A symbol as records have it.
pub(crate) fn padded(name: &str) -> [u8; 8] {
    std::array::from_fn(|index| name.as_bytes().get(index).copied().unwrap_or(b' '))
}

impl InForce {
    /// Those of an effective configuration; `None` if the text does not say them.
    pub(crate) fn of_configuration(text: &str) -> Option<Self> {
        let count = Names::split_start_text(text).1.limits.len();
        let all = toml::from_str::<Effective>(text).ok()?.limits;
        let all = Limits { count, price_collar_bps: all.price_collar_bps.saturating_mul(100), ..all };
        let EffectiveParts { limits: parts, reference } = toml::from_str(text).ok()?;
        let mut symbols: BTreeMap<[u8; 8], OfSymbol> =
            parts.symbol.iter().map(|named| (padded(&named.symbol), named.limits)).collect();
        for (symbol, band) in reference.price_bands {
            symbols.entry(padded(&symbol)).or_default().within(band);
        }
        let strategies = parts.strategy.iter().map(|own| (own.id, own.values())).collect();
        Some(Self { all, symbols, strategies, commanded: OfSymbol::default(), commanded_strategy: [None; 4] })
    }

    /// A restart loosens nothing: of each, the tighter of this and what was in force before.
    pub(crate) fn tightened_by(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before {
            let all = self.all.tightened_by(&before.all);
            self.replace(all);
        }
        self
    }

    /// Puts other limits in force. What changes is a ceiling for every symbol from then on.
    fn replace(&mut self, all: Limits) {
        let (before, ceiling) = (std::mem::replace(&mut self.all, all), &mut self.commanded);
        for (before, now, ceiling) in [
            (before.order_quantity_max, all.order_quantity_max, &mut ceiling.order_quantity_max),
            (before.order_notional_max, all.order_notional_max, &mut ceiling.order_notional_max),
            (before.position_max, all.position_max, &mut ceiling.position_max),
        ] {
            if before != now {
                *ceiling = Some(now);
            }
        }
        let (mut before, mut all) = (before, all);
        for ((before, now), ceiling) in
            before.of_strategies().into_iter().zip(all.of_strategies()).zip(&mut self.commanded_strategy)
        {
            if before != now {
                *ceiling = Some(*now);
            }
        }
    }

    /// Order messages a second and at once.
    pub(crate) fn rate(&self) -> (i64, i64) {
        (self.all.orders_per_second_max, self.all.order_burst_max)
    }

    /// Epoch of what is in force.
    pub(crate) fn epoch(&self) -> u32 {
        self.all.epoch
    }

    /// Those of the orders of a strategy in a symbol.
    pub(crate) fn of(&self, symbol: [u8; 8], strategy: u16) -> Limits {
        let own = self.symbols.get(&symbol).copied().unwrap_or_default();
        let pick = |own: Option<i64>, commanded: Option<i64>, all: i64| match (own, commanded) {
            (Some(own), Some(commanded)) => own.min(commanded),
            (Some(own), None) => own,
            (None, _) => all,
        };
        let (mut all, commanded) = (self.all, self.commanded);
        let own_strategy = self.strategies.get(&strategy).copied().unwrap_or_default();
        for ((limit, own), commanded) in all.of_strategies().into_iter().zip(own_strategy).zip(self.commanded_strategy)
        {
            *limit = pick(own, commanded, *limit);
        }
        Limits {
            order_quantity_max: pick(own.order_quantity_max, commanded.order_quantity_max, all.order_quantity_max),
            order_notional_max: pick(own.order_notional_max, commanded.order_notional_max, all.order_notional_max),
            position_max: pick(own.position_max, commanded.position_max, all.position_max),
            price_band: [own.price_min, own.price_max],
            ..all
        }
    }

    /// A `SetLimit`.
    pub(crate) fn set(&mut self, command: &Command) {
        let mut all = self.all;
        if command.scope == 0 && all.set_one(command.id as usize, command.value) {
            self.replace(Limits { epoch: command.epoch, ..all });
        }
    }

    /// All of a `SetLimits`, or none of it; whether they are in force.
    pub(crate) fn set_all(&mut self, command: &SetLimits) -> bool {
        let mut all = Limits { epoch: command.epoch, ..self.all };
        let is_meant = command.refused == LimitsOutcome::Set as u32
            && command.epoch_seen == self.all.epoch
            && command.epoch > command.epoch_seen
            && (self.all.count == 0 || command.count as usize == self.all.count);
        let bounds = self.bounds_after(&command.bounds);
        let is_meant = is_meant && bounds.is_some();
        let set = is_meant && command.values().iter().enumerate().all(|(index, value)| all.set_one(index, *value));
        if set {
            self.replace(all);
            if let Some(own) = bounds.flatten().and_then(|_| self.symbols.get_mut(&command.bounds.symbol)) {
                [own.price_min, own.price_max] = command.bounds.wanted.map(|price| Some(price.into()));
            }
        }
        set
    }

    /// The bounds of a symbol's price after a command: inside, `None` when it changes none; outside, when it is to be refused.
    fn bounds_after(&self, command: &SetBounds) -> Option<Option<[i64; 2]>> {
        if !command.is_meant() {
            return Some(None);
        }
        let own = self.symbols.get(&command.symbol)?;
        if own.price_min.is_none() && own.price_max.is_none() {
            return None;
        }
        let [seen, wanted] = [command.seen, command.wanted].map(|prices| prices.map(i64::from));
        let is_right = 1 <= wanted[0] && wanted[0] <= wanted[1] && wanted[1] <= PRICE_MAX;
        (seen == [own.price_min.unwrap_or(1), own.price_max.unwrap_or(PRICE_MAX)] && is_right).then_some(Some(wanted))
    }
}

impl Limits {
    /// Those that a strategy may have of its own.
    fn of_strategies(&mut self) -> [&mut i64; 4] {
        [
            &mut self.strategy_position_max,
            &mut self.strategy_gross_max,
            &mut self.strategy_net_max,
            &mut self.strategy_daily_loss_max,
        ]
    }

    /// What leverage allows with this profit of the day; `None` if it is not checked.
    pub(crate) fn leverage_max(&self, profit: i128) -> Option<i128> {
        let worth = (i128::from(self.equity) + profit).max(0);
        (self.equity != 0).then(|| worth * i128::from(self.leverage_percent_max) / 100)
    }

    /// The bound of the symbol that a price is beyond. What stands for a price in a cross is beyond any: it may trade at any
    /// price.
    pub(crate) fn beyond_band(&self, price: i64) -> Option<i64> {
        let [lowest, highest] = [self.price_band[0].unwrap_or(1), self.price_band[1].unwrap_or(PRICE_MAX)];
        let is_bounded = (lowest, highest) != (1, PRICE_MAX);
        match price {
            _ if !is_bounded => None,
            _ if price < lowest => Some(lowest),
            _ if price > highest => Some(highest),
            _ => None,
        }
    }

    fn tightened_by(mut self, before: &Self) -> Self {
        for (limit, before) in [
            (&mut self.order_quantity_max, before.order_quantity_max),
            (&mut self.order_notional_max, before.order_notional_max),
            (&mut self.position_max, before.position_max),
            (&mut self.open_orders_max, before.open_orders_max),
            (&mut self.orders_per_second_max, before.orders_per_second_max),
            (&mut self.order_burst_max, before.order_burst_max),
            (&mut self.strategy_position_max, before.strategy_position_max),
            (&mut self.gross_max, before.gross_max),
            (&mut self.net_max, before.net_max),
            (&mut self.daily_loss_max, before.daily_loss_max),
            (&mut self.drawdown_max, before.drawdown_max),
            (&mut self.strategy_gross_max, before.strategy_gross_max),
            (&mut self.strategy_net_max, before.strategy_net_max),
            (&mut self.strategy_daily_loss_max, before.strategy_daily_loss_max),
            (&mut self.leverage_percent_max, before.leverage_percent_max),
            (&mut self.price_collar_bps, before.price_collar_bps),
        ] {
            *limit = before.min(*limit);
        }
        // Of nothing, leverage is not checked, so anything is tighter.
        if before.equity != 0 && (self.equity == 0 || before.equity < self.equity) {
            self.equity = before.equity;
        }
        self
    }

    /// Sets one by its number, that of the journal's layout; whether there is such a limit and the value is in its range.
    fn set_one(&mut self, index: usize, value: i64) -> bool {
        // A limit that is not recomputed here moves the epoch all the same.
        let mut ignored = 0;
        let (limit, max) = match index {
            0 => (&mut self.order_quantity_max, QUANTITY_MAX),
            1 => (&mut self.order_notional_max, i64::MAX / 2),
            3 => (&mut self.position_max, 1 << 40),
            4 => (&mut self.open_orders_max, COUNT_MAX),
            5 => (&mut self.orders_per_second_max, COUNT_MAX),
            6 => (&mut self.order_burst_max, COUNT_MAX),
            2 => (&mut self.price_collar_bps, 10_000),
            7 => (&mut ignored, COUNT_MAX),
            8 | 9 => (&mut ignored, 3_600_000_000_000),
            10 => (&mut self.gross_max, i64::MAX / 2),
            11 => (&mut self.net_max, i64::MAX / 2),
            12 => (&mut self.daily_loss_max, i64::MAX / 2),
            13 => (&mut self.drawdown_max, i64::MAX / 2),
            14 => (&mut ignored, 3),
            17 => (&mut self.strategy_position_max, 1 << 40),
            24 => (&mut self.equity, i64::MAX / 2),
            25 => (&mut self.leverage_percent_max, COUNT_MAX),
            27 => (&mut self.strategy_gross_max, i64::MAX / 2),
            28 => (&mut self.strategy_net_max, i64::MAX / 2),
            29 => (&mut self.strategy_daily_loss_max, i64::MAX / 2),
            _ if index < self.count => (&mut ignored, i64::MAX),
            _ => return false,
        };
        let is_within = (0..=max).contains(&value);
        if is_within {
            *limit = value;
        }
        is_within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_a_command_sets_hold_from_then_on_and_none_that_it_may_not_set() {
        let text =
            "[[limits.symbol]]\nsymbol = \"ABOVE\"\nprice_min = 90000\n[reference.price_bands]\nGME = [2000, 2600]\n";
        let all = "[limits]\norder_quantity_max = 1000\norder_notional_max = 1000000\nposition_max = 1500\n\
            open_orders_max = 4\norders_per_second_max = 10\norder_burst_max = 5\n";
        let mut in_force = InForce::of_configuration(&format!("{all}{text}")).expect("limits");
        let mut set = |symbol: &str, seen, wanted| {
            let bounds = SetBounds { symbol: padded(symbol), seen, wanted };
            let epoch = in_force.epoch();
            let command = SetLimits { bounds, ..SetLimits::new(&[], (epoch, epoch + 1), 0, "") };
            (in_force.set_all(&command), in_force.of(padded(symbol), 1).price_band)
        };
        assert_eq!(set("GME", [2000, 2600], [200_000, 260_000]), (true, [Some(200_000), Some(260_000)]));
        assert_eq!(set("GME", [2000, 2600], [1, 2]), (false, [Some(200_000), Some(260_000)]), "others are in force");
        assert!(!set("GME", [200_000, 260_000], [9, 8]).0);
        assert_eq!(set("ABOVE", [90_000, 1_999_999_900], [90_000, 100_000]), (true, [Some(90_000), Some(100_000)]));
        assert_eq!(set("NONE", [1, 1_999_999_900], [1, 5]), (false, [None, None]));
        assert_eq!(in_force.epoch(), 2);
    }
}
