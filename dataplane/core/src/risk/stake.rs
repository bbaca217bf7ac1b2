//! What the firm has at stake over all instruments, in money: a few sums that are kept up to date, so that a check is a
//! compare.
//!
//! Held shares count at what they cost, orders at their limit price (during a replace at the dearer of the two), and
//! buys and sells never net. Profit counts what was realized and what closing at the mark would add.

use super::HaltReason;
use crate::portfolio::Position;
use crate::units::{Cash, Side};

/// All in 1/10000 of the currency unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    /// Price times shares of the open orders, by side.
    pub(super) open: [Cash; 2],
    /// Cost of all positions, short ones negative.
    pub(super) net_cost: Cash,
    /// The same without signs.
    pub(super) gross_cost: Cash,
    pub(super) realized: Cash,
    pub(super) unrealized: Cash,
    /// The best profit so far, at least 0.
    pub(super) high_water: Cash,
}

impl Stake {
    /// Price times shares of the open orders of `side`.
    pub const fn open(&self, side: Side) -> Cash {
        self.open[side.index()]
    }
    /// Everything that is held or may come to be held.
    #[inline]
    pub const fn gross(&self) -> Cash {
        self.gross_cost.saturating_add(self.open[0]).saturating_add(self.open[1])
    }
    /// How far the firm would lean to `side` (long for buys), with every open order of that side filled and none of the
    /// other.
    #[inline]
    pub const fn net(&self, side: Side) -> Cash {
        self.net_cost.saturating_mul(side.sign()).saturating_add(self.open[side.index()])
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

    /// An order of `side` stood for `before` and stands for `after` now.
    #[inline]
    pub(super) const fn settle(&mut self, side: Side, before: Cash, after: Cash) {
        let open = &mut self.open[side.index()];
        *open = open.saturating_add(after.saturating_sub(before));
    }
    /// A strategy's position in an instrument changed.
    pub(super) const fn position_changed(&mut self, before: &Position, after: &Position) {
        self.net_cost = self.net_cost.saturating_add(after.cost.saturating_sub(before.cost));
        let gross = after.cost.saturating_abs().saturating_sub(before.cost.saturating_abs());
        self.gross_cost = self.gross_cost.saturating_add(gross);
        self.realized = self.realized.saturating_add(after.realized().saturating_sub(before.realized()));
    }
    /// What closing an instrument would add changed.
    #[inline]
    pub(super) const fn remarked(&mut self, before: Cash, after: Cash) {
        self.unrealized = self.unrealized.saturating_add(after.saturating_sub(before));
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
