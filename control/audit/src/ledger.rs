//! Cash, cost, fees and profit of what was traded, from the venue's executions.

use crate::exposure::{Owner, Strategy};
use serde::Deserialize;
use std::collections::BTreeMap;
use tern_abi::record::PositionRecord;

/// What the venue charges a share, in millionths of the currency unit, by the liquidity flag of an execution (OUCH 5.0,
/// appendix E); what it does not name costs as much as the dearest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fees {
    by_flag: BTreeMap<u8, i64>,
    dearest: i64,
}

#[derive(Deserialize)]
struct Effective {
    session: Option<Session>,
}

#[derive(Deserialize)]
struct Session {
    #[serde(default)]
    fees: BTreeMap<String, i64>,
}

impl Fees {
    /// Those of an effective configuration; `None` if the text does not say them.
    pub(crate) fn of_configuration(text: &str) -> Option<Self> {
        let session = toml::from_str::<Effective>(text).ok()?.session;
        let fees = session.map(|session| session.fees).unwrap_or_default();
        let dearest = fees.values().copied().fold(0, i64::max);
        let by_flag = fees.iter().filter_map(|(flag, each)| Some((flag.bytes().next()?, *each))).collect();
        Some(Self { by_flag, dearest })
    }

    /// What so many shares cost, 1/10000 of the currency unit: rounded up, so a rebate is rounded down.
    fn of(&self, flag: u8, shares: i128) -> i128 {
        let millionths = shares * i128::from(self.by_flag.get(&flag).copied().unwrap_or(self.dearest));
        (millionths + 99).div_euclid(100)
    }
}

/// A trade that the venue told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trade {
    pub(crate) owner: Owner,
    /// Signed.
    pub(crate) shares: i128,
    pub(crate) price: i128,
    pub(crate) liquidity: u8,
    /// So many trades of the day were told before it.
    pub(crate) number: u64,
}

/// What a strategy made in a symbol. All 1/10000 of the currency unit but the shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) shares: i128,
    pub(crate) cash: i128,
    /// What the shares held cost, signed like them.
    pub(crate) cost: i128,
    pub(crate) fees: i128,
}

impl Ledger {
    /// Held when the day began: as if bought at what it cost.
    pub(crate) fn opened(shares: i128, cost: i128) -> Self {
        Self { shares, cash: -cost, cost, fees: 0 }
    }

    /// As a record says it.
    pub(crate) fn claimed(record: &PositionRecord) -> Self {
        Self {
            shares: record.shares.into(),
            cash: record.cash.into(),
            cost: record.cost.into(),
            fees: record.fees.into(),
        }
    }

    /// After fees. What cash lost to what is held is no loss.
    pub(crate) fn realized(&self) -> i128 {
        self.cash + self.cost - self.fees
    }

    /// A trade against the position takes its part of the cost along, at the average; what is left keeps the rounding, toward
    /// zero. What goes through zero begins anew.
    pub(crate) fn trade(&mut self, shares: i128, price: i128) {
        let then = self.shares + shares;
        self.cost = if self.shares.signum() * shares.signum() >= 0 {
            self.cost + shares * price
        } else if then.signum() == self.shares.signum() {
            self.cost.saturating_mul(then) / self.shares
        } else {
            then * price
        };
        self.cash -= shares * price;
        self.shares = then;
    }

    /// A trade, with what the venue charges for it; nothing if that is not known.
    pub(crate) fn execute(&mut self, trade: &Trade, fees: Option<&Fees>) {
        self.trade(trade.shares, trade.price);
        self.fees += fees.map_or(0, |fees| fees.of(trade.liquidity, trade.shares.abs()));
    }
}

/// Sums over symbols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profit {
    pub(crate) realized: i128,
    pub(crate) fees: i128,
    /// What all longs cost, and how many there are; the same of shorts.
    longs: (i128, i128),
    shorts: (i128, i128),
}

impl Profit {
    fn count(&mut self, ledger: &Ledger, sign: i128) {
        self.realized += sign * ledger.realized();
        self.fees += sign * ledger.fees;
        let side = if ledger.shares > 0 { &mut self.longs } else { &mut self.shorts };
        if ledger.shares != 0 {
            side.0 += sign * ledger.cost;
            side.1 += sign;
        }
    }

    /// The most that the profit of the day can be, whatever a share is worth: of longs nothing is known, shorts are bought back
    /// for nothing.
    pub(crate) fn at_most(&self) -> Option<i128> {
        (self.longs.1 == 0).then(|| self.realized - self.shorts.0)
    }

    /// The least: of shorts nothing is known, longs are worth nothing.
    pub(crate) fn at_least(&self) -> Option<i128> {
        (self.shorts.1 == 0).then(|| self.realized - self.longs.0)
    }
}

/// Every ledger, and the sums over them.
#[derive(Debug, Default)]
pub(crate) struct Ledgers {
    of: BTreeMap<Owner, Ledger>,
    firm: Profit,
    strategies: BTreeMap<Strategy, Profit>,
}

impl Ledgers {
    pub(crate) fn get(&self, owner: Owner) -> Ledger {
        self.of.get(&owner).copied().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, owner: Owner, ledger: Ledger) {
        let before = self.of.insert(owner, ledger).unwrap_or_default();
        for profit in [&mut self.firm, self.strategies.entry((owner.0, owner.1)).or_default()] {
            profit.count(&before, -1);
            profit.count(&ledger, 1);
        }
    }

    pub(crate) fn owners(&self) -> Vec<Owner> {
        self.of.keys().copied().collect()
    }

    pub(crate) fn firm(&self) -> &Profit {
        &self.firm
    }

    pub(crate) fn strategies(&self) -> &BTreeMap<Strategy, Profit> {
        &self.strategies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_are_rounded_against_us_and_an_unknown_flag_costs_the_most() {
        let fees = Fees::of_configuration("[session]\nfees = { R = 3000, A = -2001, O = 1 }").expect("fees");
        let of = |flag, shares| fees.of(flag, shares);
        assert_eq!([of(b'R', 100), of(b'A', 100), of(b'O', 1), of(b'O', 101), of(b'?', 1)], [3000, -2001, 1, 2, 30]);
        assert_eq!([of(b'A', 1), of(b'A', 3)], [-20, -60]);
        let none = Fees::of_configuration("x = 1").expect("none");
        assert_eq!(none.of(b'R', 1_000_000), 0);
    }

    #[test]
    fn profit_is_realized_at_the_average_and_through_zero_the_cost_begins_anew() {
        let mut ledger = Ledger::default();
        for (shares, price) in [(100, 10), (100, 13), (-50, 20)] {
            ledger.trade(shares, price);
        }
        assert_eq!((ledger.shares, ledger.cost, ledger.realized()), (150, 1725, 425));
        ledger.trade(-250, 10);
        assert_eq!((ledger.shares, ledger.cost, ledger.realized()), (-100, -1000, 200));
    }

    #[test]
    fn of_profit_only_what_no_price_can_change_is_certain() {
        let mut ledgers = Ledgers::default();
        let at = |symbol: u8| (1, 1, [symbol; 8]);
        ledgers.set(at(1), Ledger::opened(100, 1000));
        assert_eq!((ledgers.firm().at_most(), ledgers.firm().at_least()), (None, Some(-1000)));
        ledgers.set(at(1), Ledger { cash: -200, ..Ledger::default() });
        ledgers.set(at(2), Ledger { shares: -10, cash: 100, cost: -100, fees: 3 });
        assert_eq!((ledgers.firm().at_most(), ledgers.firm().at_least()), (Some(-103), None));
        assert_eq!(ledgers.strategies()[&(1, 1)], *ledgers.firm());
    }
}
