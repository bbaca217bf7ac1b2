//! The limits of single strategies: those of every strategy, or finer ones that the configuration names. Worked out when
//! they change, as those of symbols: a limit that is set by command is a ceiling for every strategy from then on.

use super::scopes::OWNERS;
use super::{LimitId, Limits};
use crate::units::{Cash, StrategyId};
use alloc::boxed::Box;

/// Limits of one strategy in place of those of every strategy; `None` leaves the one of every strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrategyLimits {
    /// Which strategy.
    pub strategy: StrategyId,
    /// In place of [`LimitId::StrategyPositionMax`].
    pub position_max: Option<i64>,
    /// In place of [`LimitId::StrategyGrossMax`].
    pub gross_max: Option<Cash>,
    /// In place of [`LimitId::StrategyNetMax`].
    pub net_max: Option<Cash>,
    /// In place of [`LimitId::StrategyDailyLossMax`].
    pub daily_loss_max: Option<Cash>,
}

impl StrategyLimits {
    /// Every limit of `strategy` as that of every strategy.
    pub const fn new(strategy: StrategyId) -> Self {
        Self { strategy, position_max: None, gross_max: None, net_max: None, daily_loss_max: None }
    }

    const fn values(&self) -> [(LimitId, Option<i64>); 4] {
        [
            (LimitId::StrategyPositionMax, self.position_max),
            (LimitId::StrategyGrossMax, self.gross_max),
            (LimitId::StrategyNetMax, self.net_max),
            (LimitId::StrategyDailyLossMax, self.daily_loss_max),
        ]
    }

    /// The first limit that is out of range, with its value.
    pub(crate) fn out_of_range(&self) -> Option<(LimitId, i64)> {
        let mut values = self.values().into_iter().filter_map(|(id, value)| value.map(|value| (id, value)));
        values.find(|(id, value)| !(0..=Limits::max(*id)).contains(value))
    }
}

/// What holds for the orders of a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StrategyBounds {
    /// Shares long or short an instrument, with its open orders of a side filled.
    pub(super) position_max: i64,
    pub(super) gross_max: Cash,
    pub(super) net_max: Cash,
    pub(super) daily_loss_max: Cash,
}

const _: () = assert!(size_of::<StrategyBounds>() == 32);

impl StrategyBounds {
    const UNBOUNDED: Self =
        Self { position_max: i64::MAX, gross_max: i64::MAX, net_max: i64::MAX, daily_loss_max: i64::MAX };

    const fn of_every(limits: &Limits) -> Self {
        Self {
            position_max: limits.strategy_position_max,
            gross_max: limits.strategy_gross_max,
            net_max: limits.strategy_net_max,
            daily_loss_max: limits.strategy_daily_loss_max,
        }
    }

    fn of_strategy(&self, own: &StrategyLimits, ceiling: &Self) -> Self {
        let pick = |own: Option<i64>, every: i64, ceiling: i64| own.map_or(every, |max| max.min(ceiling));
        Self {
            position_max: pick(own.position_max, self.position_max, ceiling.position_max),
            gross_max: pick(own.gross_max, self.gross_max, ceiling.gross_max),
            net_max: pick(own.net_max, self.net_max, ceiling.net_max),
            daily_loss_max: pick(own.daily_loss_max, self.daily_loss_max, ceiling.daily_loss_max),
        }
    }
}

/// The bounds of all owners, by index. The house has those of every strategy; nothing is sent for it.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct StrategyTable {
    rows: [StrategyBounds; OWNERS],
    /// Those that have limits of their own, by index.
    own: Box<[(u8, StrategyLimits)]>,
    /// What was set by command.
    ceiling: StrategyBounds,
}

impl StrategyTable {
    pub(super) fn new(limits: &Limits, own: &[(u8, StrategyLimits)]) -> Self {
        let rows = [StrategyBounds::of_every(limits); OWNERS];
        let mut table = Self { rows, own: own.into(), ceiling: StrategyBounds::UNBOUNDED };
        table.work_out(limits);
        table
    }

    fn work_out(&mut self, limits: &Limits) {
        let every = StrategyBounds::of_every(limits);
        self.rows = [every; OWNERS];
        for (owner, own) in &self.own {
            if let Some(row) = self.rows.get_mut(usize::from(*owner)) {
                *row = every.of_strategy(own, &self.ceiling);
            }
        }
    }

    /// A command put `limits` in the place of those `before`. What it changed is a ceiling from then on.
    pub(super) fn set(&mut self, before: &Limits, limits: &Limits) {
        let (before, now) = (StrategyBounds::of_every(before), StrategyBounds::of_every(limits));
        let ceiling = &mut self.ceiling;
        for (before, now, ceiling) in [
            (before.position_max, now.position_max, &mut ceiling.position_max),
            (before.gross_max, now.gross_max, &mut ceiling.gross_max),
            (before.net_max, now.net_max, &mut ceiling.net_max),
            (before.daily_loss_max, now.daily_loss_max, &mut ceiling.daily_loss_max),
        ] {
            if before != now {
                *ceiling = now;
            }
        }
        self.work_out(limits);
    }

    /// What decides, for a hash.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.rows.iter().chain([&self.ceiling]).flat_map(|bounds| {
            [bounds.position_max, bounds.gross_max, bounds.net_max, bounds.daily_loss_max].map(i64::cast_unsigned)
        })
    }

    /// The bounds of an owner.
    #[inline]
    pub(super) fn row(&self, owner: u8) -> &StrategyBounds {
        // There is no owner beyond the table; nothing would be allowed him.
        const NOTHING: &StrategyBounds =
            &StrategyBounds { position_max: 0, gross_max: 0, net_max: 0, daily_loss_max: 0 };
        self.rows.get(usize::from(owner)).unwrap_or(NOTHING)
    }
}
