//! The limits in force: those of all, finer ones of single symbols, and how they are set.

use super::firm::{Fault, Firm, INSTRUMENTS, Num, Outcome};
use super::verdict::{strategy_of, symbol_key};
use crate::risk::{LimitId, Limits, SymbolLimits};
use crate::units::Price;
use tern_abi::command::{Command, LimitsOutcome, SetLimits};

/// The limits that a symbol, or a strategy, may have of its own.
const OF_PARTS: [LimitId; 7] = [
    LimitId::PositionMax,
    LimitId::OrderQuantityMax,
    LimitId::OrderNotionalMax,
    LimitId::StrategyPositionMax,
    LimitId::StrategyGrossMax,
    LimitId::StrategyNetMax,
    LimitId::StrategyDailyLossMax,
];

impl Firm {
    /// A limit as the planted fault has it.
    fn off(&self, id: LimitId, value: Num) -> Num {
        match self.fault {
            Some(Fault::Bound(of, more)) if of == id => value + more,
            _ => value,
        }
    }

    /// A limit of all.
    pub(super) fn bound(&self, id: LimitId) -> Num {
        self.off(id, self.bounds[id.index()])
    }

    fn symbol(&self, instrument: usize) -> Option<&SymbolLimits> {
        self.symbols.iter().find(|limits| u64::from_le_bytes(limits.symbol.0) == symbol_key(instrument))
    }

    /// A limit of an order in an instrument: its symbol's own one as far as no command set a lower one, else that of all.
    pub(super) fn order_bound(&self, id: LimitId, instrument: usize) -> Num {
        let own = self.symbol(instrument).and_then(|limits| match id {
            LimitId::PositionMax => limits.position_max,
            LimitId::OrderQuantityMax => limits.order_quantity_max.map(i64::from),
            LimitId::OrderNotionalMax => limits.order_notional_max,
            _ => None,
        });
        let ceiling = self.ceilings[id.index()].filter(|_| self.fault != Some(Fault::NoCeiling));
        let own = own.map(Num::from).map(|own| ceiling.map_or(own, |ceiling| own.min(ceiling)));
        own.map_or(self.bound(id), |own| self.off(id, own))
    }

    /// A limit of a strategy: its own one as far as no command set a lower one, else that of every strategy.
    pub(super) fn owner_bound(&self, id: LimitId, owner: usize) -> Num {
        let own = self.strategies.iter().find(|limits| u64::from(limits.strategy.0) == strategy_of(owner));
        let own = own.and_then(|limits| match id {
            LimitId::StrategyPositionMax => limits.position_max,
            LimitId::StrategyGrossMax => limits.gross_max,
            LimitId::StrategyNetMax => limits.net_max,
            LimitId::StrategyDailyLossMax => limits.daily_loss_max,
            _ => None,
        });
        let ceiling = self.ceilings[id.index()].filter(|_| self.fault != Some(Fault::NoCeiling));
        let own = own.map(Num::from).map(|own| ceiling.map_or(own, |ceiling| own.min(ceiling)));
        own.map_or(self.bound(id), |own| self.off(id, own))
    }

    pub(super) fn is_restricted(&self, instrument: usize) -> bool {
        self.symbol(instrument).is_some_and(|limits| limits.restricted)
    }

    /// The lowest and the highest price that an order in an instrument may have, where that is said and is not what any order
    /// may have.
    pub(super) fn price_band(&self, instrument: usize) -> (Option<Num>, Option<Num>) {
        let of = |price: Option<Price>, any: Num| price.map(|price| Num::from(price.0)).filter(|price| *price != any);
        let of = |limits: &SymbolLimits| (of(limits.price_min, 1), of(limits.price_max, super::checks::PRICE_MAX));
        self.symbol(instrument).map_or((None, None), of)
    }

    /// Shares that may be sold short in an instrument.
    pub(super) fn short_max(&self, instrument: usize) -> Num {
        let own = self.symbol(instrument).and_then(|limits| limits.short_max);
        own.map_or(self.short_max, Num::from)
    }

    /// A command sets one limit.
    pub(super) fn set_limit(&mut self, command: &Command) {
        if let Some(id) = LimitId::from_index(command.id as usize)
            && (0..=Limits::max(id)).contains(&command.value)
        {
            let before = self.token();
            self.put(id, command.value.into());
            self.change_rate(before);
            self.epoch = command.epoch;
        }
    }

    /// A limit that a command changed is a ceiling for every symbol and strategy from then on.
    fn put(&mut self, id: LimitId, value: Num) {
        if self.bounds[id.index()] != value && OF_PARTS.contains(&id) {
            self.ceilings[id.index()] = Some(value);
        }
        self.bounds[id.index()] = value;
    }

    /// All limits at once, or none of them.
    pub(super) fn set_limits(&mut self, command: &SetLimits) {
        let outcome = self.outcome_of(command);
        if outcome == LimitsOutcome::Set {
            let before = self.token();
            LimitId::ALL.iter().zip(command.values).for_each(|(id, value)| self.put(*id, value.into()));
            self.change_rate(before);
            self.epoch = command.epoch;
            if command.bounds.is_meant() {
                self.put_bounds(&command.bounds);
            }
        }
        self.out.push(Outcome::Limits(self.epoch, outcome));
        if outcome == LimitsOutcome::Set && self.fault != Some(Fault::LossLater) {
            self.watch_losses();
        }
    }

    /// The daemon's own refusal comes first; then whether the command is one that this build understands, whether it was
    /// made against the limits in force, and whether every limit is in its range.
    fn outcome_of(&self, command: &SetLimits) -> LimitsOutcome {
        let is_of_now = command.epoch_seen == self.epoch || self.fault == Some(Fault::StaleTaken);
        let in_range = |(id, value): (&LimitId, &i64)| (0..=Limits::max(*id)).contains(value);
        match LimitsOutcome::from_index(command.refused as usize) {
            None => LimitsOutcome::Unlike,
            Some(LimitsOutcome::Set) if command.count as usize != LimitId::COUNT => LimitsOutcome::Unlike,
            Some(LimitsOutcome::Set) if command.epoch <= command.epoch_seen => LimitsOutcome::Unlike,
            Some(LimitsOutcome::Set) if !is_of_now => LimitsOutcome::Stale,
            Some(LimitsOutcome::Set) if !LimitId::ALL.iter().zip(&command.values).all(in_range) => LimitsOutcome::Range,
            Some(LimitsOutcome::Set) => self.bounds_outcome(&command.bounds).unwrap_or(LimitsOutcome::Set),
            Some(outcome) => outcome,
        }
    }

    /// Gross that leverage allows on what the account is worth with the day's profit; `None` when it is not checked. What
    /// does not fit in the gate's number is allowed less.
    pub(super) fn leverage_max(&self) -> Option<Num> {
        let equity = self.bound(LimitId::Equity);
        let worth = (equity + self.profit()).max(0);
        let part = (worth * self.bound(LimitId::LeveragePercentMax)).min(i64::MAX.into());
        (equity != 0).then_some(part / 100)
    }
}

const _: () = assert!(INSTRUMENTS < 10, "symbols have one digit");
