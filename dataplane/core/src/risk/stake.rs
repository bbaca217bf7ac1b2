//! What stands at stake over all instruments, in money: a few sums that are kept up to date, so that a check is a compare.
//! One for the firm, one for each strategy.
//!
//! What counts of an instrument, and at which price, is in `standing.rs`. Profit counts what was realized and what closing at
//! the mark would add.

use super::HaltReason;
use super::standing::Worth;
use crate::units::{Cash, Side};

/// All in 1/10000 of the currency unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    pub(super) worth: Worth,
    realized: Cash,
    unrealized: Cash,
    /// The best profit so far, at least 0. Of the firm alone.
    pub(super) high_water: Cash,
}

impl Stake {
    /// How far positions can come to be from flat, over all instruments.
    #[inline]
    pub const fn gross(&self) -> Cash {
        self.worth.gross
    }
    /// All instruments that could lean to `side` (long for buys), with every open order of that side filled and none of the
    /// other. Those that lean to the other side take nothing off: they can be closed first.
    #[inline]
    pub const fn net(&self, side: Side) -> Cash {
        self.worth.net[side.index()]
    }
    /// Profit that was realized.
    pub const fn realized(&self) -> Cash {
        self.realized
    }
    /// Profit of the day, realized and not.
    #[inline]
    pub const fn profit(&self) -> Cash {
        self.realized.saturating_add(self.unrealized)
    }
    /// The best profit of the day so far, at least 0.
    pub const fn high_water(&self) -> Cash {
        self.high_water
    }
    /// How far profit is below its best of the day, which is at least 0.
    #[inline]
    pub const fn drawdown(&self) -> Cash {
        self.high_water.saturating_sub(self.profit())
    }

    /// All of it, for a hash of what decides.
    pub(super) fn words(&self) -> [u64; 6] {
        let Worth { gross, net } = self.worth;
        [gross, net[0], net[1], self.realized, self.unrealized, self.high_water].map(i64::cast_unsigned)
    }

    /// Profit was realized, or what closing would add changed.
    #[inline]
    pub(super) const fn earned(&mut self, realized: Cash, unrealized: Cash) {
        self.realized = self.realized.saturating_add(realized);
        self.unrealized = self.unrealized.saturating_add(unrealized);
    }

    /// Takes the profit of now into account: which limit of loss it breaks.
    #[inline]
    pub(super) fn watch(&mut self, daily_loss_max: Cash, drawdown_max: Cash) -> Option<HaltReason> {
        let profit = self.profit();
        self.high_water = self.high_water.max(profit);
        if profit < -daily_loss_max {
            Some(HaltReason::DailyLoss)
        } else if self.drawdown() > drawdown_max {
            Some(HaltReason::Drawdown)
        } else {
            None
        }
    }
}
