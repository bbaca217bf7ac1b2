//! The limits, and how they change between two inputs.

use super::SelfTrade;
use crate::units::{Cash, Quantity, UNIT};
use tern_abi::counter_enum;

counter_enum! {
    /// A limit that can be set. Values are part of the journal's layout (`Command::id`).
    pub enum LimitId {
        OrderQuantityMax = "order_quantity_max": "Shares an order.",
        OrderNotionalMax = "order_notional_max": "Price times shares an order, 1/10000 of the currency unit.",
        PriceCollarBps = "price_collar_bps": "Distance of the price from the reference, 1/100 percent.",
        PositionMax = "position_max": "Shares long or short an instrument, with all open orders of a side filled.",
        OpenOrdersMax = "open_orders_max": "Open orders, all strategies.",
        OrdersPerSecondMax = "orders_per_second_max": "Order messages a second.",
        OrderBurstMax = "order_burst_max": "Order messages at once, within the rate.",
        CancelReserve = "cancel_reserve": "Messages beyond the burst that only cancels may use.",
        IntentAgeNsMax = "intent_age_ns_max": "Age of the market data behind an intent, ns.",
        DuplicateWindowNs = "duplicate_window_ns": "Time in which the same order again is a duplicate, ns; 0 = not checked.",
        GrossMax = "gross_max": "How far positions can come to be from flat, all open orders filled, over all symbols, 1/10000 of the currency unit.",
        NetMax = "net_max": "Longs, and shorts, of all symbols, each with every open order of its side filled, 1/10000.",
        DailyLossMax = "daily_loss_max": "Loss of the day, realized and unrealized, that stops trading when exceeded, 1/10000.",
        DrawdownMax = "drawdown_max": "Fall of profit below its best of the day that stops trading when exceeded, 1/10000.",
        SelfTrade = "self_trade": "Orders that would trade with the account's own: 0 off, 1 cancel newest, 2 cancel oldest, 3 cancel both.",
        MessagesPerDayMax = "messages_per_day_max": "Orders, replaces and cancels a day of the venue.",
        CancelDayReserve = "cancel_day_reserve": "Messages a day beyond those that only cancels may use.",
        StrategyPositionMax = "strategy_position_max": "Shares long or short a strategy and instrument, with its open orders of a side filled.",
        ExecutionsMax = "executions_max": "Executions of a strategy in the window, with which it is stopped until an operator lets it go on.",
        ExecutionsWindowNs = "executions_window_ns": "Window in which a strategy's executions are counted, ns; 0 = not checked.",
        VolumePercentMax = "volume_percent_max": "Shares an order, percent of what others traded in the instrument in the last one to two minutes.",
        VolumeSharesMin = "volume_shares_min": "Shares that an order may have however little was traded.",
        ReferenceMoveBps = "reference_move_bps": "How far the reference of the collar moves in a second at most, 1/100 percent.",
        ReferenceSpreadBps = "reference_spread_bps": "Widest spread of which the middle is a reference, 1/100 percent of it.",
        Equity = "equity": "What the account was worth when the day began, 1/10000 of the currency unit; 0 = leverage is not checked.",
        LeveragePercentMax = "leverage_percent_max": "What gross_max is about, percent of equity and the day's profit.",
        ReferenceDepthMin = "reference_depth_min": "Shares of others that a side must have up to the price of which the middle is a reference.",
        StrategyGrossMax = "strategy_gross_max": "What gross_max is about, of each strategy by itself, 1/10000.",
        StrategyNetMax = "strategy_net_max": "What net_max is about, of each strategy by itself, 1/10000.",
        StrategyDailyLossMax = "strategy_daily_loss_max": "Loss of the day of a strategy that stops it when exceeded, 1/10000.",
    }
}

/// Why a limit was not set. The old value stays in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// No limit has this number.
    Unknown(u32),
    /// The value is outside the limit's range.
    Range {
        /// Which limit.
        id: LimitId,
        /// The value that was refused.
        value: i64,
        /// Largest value that is taken; the smallest is 0.
        max: i64,
    },
    /// Limits of single strategies or instruments are not known; the scope must be 0.
    Scope(u32),
}

/// The limits in force. The default is conservative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// [`LimitId::OrderQuantityMax`].
    pub order_quantity_max: Quantity,
    /// [`LimitId::OrderNotionalMax`].
    pub order_notional_max: Cash,
    /// [`LimitId::PriceCollarBps`].
    pub price_collar_bps: u32,
    /// [`LimitId::PositionMax`].
    pub position_max: i64,
    /// [`LimitId::OpenOrdersMax`].
    pub open_orders_max: u32,
    /// [`LimitId::OrdersPerSecondMax`].
    pub orders_per_second_max: u32,
    /// [`LimitId::OrderBurstMax`].
    pub order_burst_max: u32,
    /// [`LimitId::CancelReserve`].
    pub cancel_reserve: u32,
    /// [`LimitId::IntentAgeNsMax`].
    pub intent_age_ns_max: u64,
    /// [`LimitId::DuplicateWindowNs`].
    pub duplicate_window_ns: u64,
    /// [`LimitId::GrossMax`].
    pub gross_max: Cash,
    /// [`LimitId::NetMax`].
    pub net_max: Cash,
    /// [`LimitId::DailyLossMax`].
    pub daily_loss_max: Cash,
    /// [`LimitId::DrawdownMax`].
    pub drawdown_max: Cash,
    /// [`LimitId::SelfTrade`].
    pub self_trade: SelfTrade,
    /// [`LimitId::MessagesPerDayMax`].
    pub messages_per_day_max: u32,
    /// [`LimitId::CancelDayReserve`].
    pub cancel_day_reserve: u32,
    /// [`LimitId::StrategyPositionMax`].
    pub strategy_position_max: i64,
    /// [`LimitId::ExecutionsMax`].
    pub executions_max: u32,
    /// [`LimitId::ExecutionsWindowNs`].
    pub executions_window_ns: u64,
    /// [`LimitId::VolumePercentMax`].
    pub volume_percent_max: u32,
    /// [`LimitId::VolumeSharesMin`].
    pub volume_shares_min: Quantity,
    /// [`LimitId::ReferenceMoveBps`].
    pub reference_move_bps: u32,
    /// [`LimitId::ReferenceSpreadBps`].
    pub reference_spread_bps: u32,
    /// [`LimitId::ReferenceDepthMin`].
    pub reference_depth_min: Quantity,
    /// [`LimitId::Equity`].
    pub equity: Cash,
    /// [`LimitId::LeveragePercentMax`].
    pub leverage_percent_max: u32,
    /// [`LimitId::StrategyGrossMax`].
    pub strategy_gross_max: Cash,
    /// [`LimitId::StrategyNetMax`].
    pub strategy_net_max: Cash,
    /// [`LimitId::StrategyDailyLossMax`].
    pub strategy_daily_loss_max: Cash,
    /// Configuration that they come from; every order record carries it.
    pub epoch: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            order_quantity_max: 1000,
            order_notional_max: 100_000 * UNIT,
            price_collar_bps: 500,
            position_max: 5000,
            open_orders_max: 2000,
            orders_per_second_max: 2000,
            order_burst_max: 200,
            cancel_reserve: 200,
            intent_age_ns_max: 50_000_000,
            duplicate_window_ns: 100_000,
            gross_max: 5_000_000 * UNIT,
            net_max: 2_000_000 * UNIT,
            daily_loss_max: 50_000 * UNIT,
            drawdown_max: 50_000 * UNIT,
            self_trade: SelfTrade::CancelNewest,
            messages_per_day_max: 2_000_000,
            cancel_day_reserve: 200_000,
            strategy_position_max: 5000,
            executions_max: 5000,
            executions_window_ns: 60_000_000_000,
            volume_percent_max: 10,
            volume_shares_min: 1000,
            reference_move_bps: 500,
            reference_spread_bps: 1000,
            reference_depth_min: 100,
            equity: 0,
            leverage_percent_max: 200,
            strategy_gross_max: 5_000_000 * UNIT,
            strategy_net_max: 2_000_000 * UNIT,
            strategy_daily_loss_max: 50_000 * UNIT,
            epoch: 0,
        }
    }
}

impl Limits {
    /// Most that `id` can be set to. Chosen so that no sum or product of the gate overflows.
    pub const fn max(id: LimitId) -> i64 {
        match id {
            // OUCH 5.0, 2.1: less than 1,000,000 shares.
            LimitId::OrderQuantityMax => 999_999,
            LimitId::OrderNotionalMax
            | LimitId::GrossMax
            | LimitId::NetMax
            | LimitId::DailyLossMax
            | LimitId::DrawdownMax
            | LimitId::StrategyGrossMax
            | LimitId::StrategyNetMax
            | LimitId::StrategyDailyLossMax
            | LimitId::Equity => i64::MAX / 2,
            LimitId::PriceCollarBps
            | LimitId::LeveragePercentMax
            | LimitId::ReferenceMoveBps
            | LimitId::ReferenceSpreadBps => 10_000,
            LimitId::PositionMax | LimitId::StrategyPositionMax => 1 << 40,
            LimitId::OpenOrdersMax
            | LimitId::OrdersPerSecondMax
            | LimitId::OrderBurstMax
            | LimitId::CancelReserve
            | LimitId::MessagesPerDayMax
            | LimitId::CancelDayReserve
            | LimitId::ExecutionsMax
            | LimitId::VolumePercentMax
            | LimitId::VolumeSharesMin
            | LimitId::ReferenceDepthMin => u32::MAX as i64,
            LimitId::IntentAgeNsMax | LimitId::DuplicateWindowNs | LimitId::ExecutionsWindowNs => 3_600_000_000_000,
            LimitId::SelfTrade => SelfTrade::COUNT as i64 - 1,
        }
    }

    /// Sets one limit.
    ///
    /// # Errors
    /// The value is out of range; nothing changed.
    pub fn set(&mut self, id: LimitId, value: i64) -> Result<(), LimitError> {
        let max = Self::max(id);
        if !(0..=max).contains(&value) {
            return Err(LimitError::Range { id, value, max });
        }
        match id {
            LimitId::OrderQuantityMax => self.order_quantity_max = value as u32,
            LimitId::OrderNotionalMax => self.order_notional_max = value,
            LimitId::PriceCollarBps => self.price_collar_bps = value as u32,
            LimitId::PositionMax => self.position_max = value,
            LimitId::OpenOrdersMax => self.open_orders_max = value as u32,
            LimitId::OrdersPerSecondMax => self.orders_per_second_max = value as u32,
            LimitId::OrderBurstMax => self.order_burst_max = value as u32,
            LimitId::CancelReserve => self.cancel_reserve = value as u32,
            LimitId::IntentAgeNsMax => self.intent_age_ns_max = value as u64,
            LimitId::DuplicateWindowNs => self.duplicate_window_ns = value as u64,
            LimitId::GrossMax => self.gross_max = value,
            LimitId::NetMax => self.net_max = value,
            LimitId::DailyLossMax => self.daily_loss_max = value,
            LimitId::DrawdownMax => self.drawdown_max = value,
            LimitId::SelfTrade => self.self_trade = SelfTrade::from_index(value as usize).unwrap_or(self.self_trade),
            LimitId::MessagesPerDayMax => self.messages_per_day_max = value as u32,
            LimitId::CancelDayReserve => self.cancel_day_reserve = value as u32,
            LimitId::StrategyPositionMax => self.strategy_position_max = value,
            LimitId::ExecutionsMax => self.executions_max = value as u32,
            LimitId::ExecutionsWindowNs => self.executions_window_ns = value as u64,
            LimitId::VolumePercentMax => self.volume_percent_max = value as u32,
            LimitId::VolumeSharesMin => self.volume_shares_min = value as u32,
            LimitId::ReferenceMoveBps => self.reference_move_bps = value as u32,
            LimitId::ReferenceSpreadBps => self.reference_spread_bps = value as u32,
            LimitId::ReferenceDepthMin => self.reference_depth_min = value as u32,
            LimitId::Equity => self.equity = value,
            LimitId::LeveragePercentMax => self.leverage_percent_max = value as u32,
            LimitId::StrategyGrossMax => self.strategy_gross_max = value,
            LimitId::StrategyNetMax => self.strategy_net_max = value,
            LimitId::StrategyDailyLossMax => self.strategy_daily_loss_max = value,
        }
        Ok(())
    }

    /// The value of one limit.
    pub const fn get(&self, id: LimitId) -> i64 {
        match id {
            LimitId::OrderQuantityMax => self.order_quantity_max as i64,
            LimitId::OrderNotionalMax => self.order_notional_max,
            LimitId::PriceCollarBps => self.price_collar_bps as i64,
            LimitId::PositionMax => self.position_max,
            LimitId::OpenOrdersMax => self.open_orders_max as i64,
            LimitId::OrdersPerSecondMax => self.orders_per_second_max as i64,
            LimitId::OrderBurstMax => self.order_burst_max as i64,
            LimitId::CancelReserve => self.cancel_reserve as i64,
            LimitId::IntentAgeNsMax => self.intent_age_ns_max as i64,
            LimitId::DuplicateWindowNs => self.duplicate_window_ns as i64,
            LimitId::GrossMax => self.gross_max,
            LimitId::NetMax => self.net_max,
            LimitId::DailyLossMax => self.daily_loss_max,
            LimitId::DrawdownMax => self.drawdown_max,
            LimitId::SelfTrade => self.self_trade as i64,
            LimitId::MessagesPerDayMax => self.messages_per_day_max as i64,
            LimitId::CancelDayReserve => self.cancel_day_reserve as i64,
            LimitId::StrategyPositionMax => self.strategy_position_max,
            LimitId::ExecutionsMax => self.executions_max as i64,
            LimitId::ExecutionsWindowNs => self.executions_window_ns as i64,
            LimitId::VolumePercentMax => self.volume_percent_max as i64,
            LimitId::VolumeSharesMin => self.volume_shares_min as i64,
            LimitId::ReferenceMoveBps => self.reference_move_bps as i64,
            LimitId::ReferenceSpreadBps => self.reference_spread_bps as i64,
            LimitId::ReferenceDepthMin => self.reference_depth_min as i64,
            LimitId::Equity => self.equity,
            LimitId::LeveragePercentMax => self.leverage_percent_max as i64,
            LimitId::StrategyGrossMax => self.strategy_gross_max,
            LimitId::StrategyNetMax => self.strategy_net_max,
            LimitId::StrategyDailyLossMax => self.strategy_daily_loss_max,
        }
    }

    /// What leverage allows on what the account is worth with this profit of the day; what does not fit in the number is
    /// allowed less.
    #[inline]
    pub(super) const fn leverage_max(&self, profit: Cash) -> Option<Cash> {
        if self.equity == 0 {
            return None;
        }
        let worth = self.equity.saturating_add(profit);
        let worth = if worth > 0 { worth } else { 0 };
        Some(worth.saturating_mul(self.leverage_percent_max as i64) / 100)
    }

    /// Checks every limit's range, as [`set`](Self::set) would.
    ///
    /// # Errors
    /// The first limit that is out of range.
    pub fn validate(&self) -> Result<(), LimitError> {
        let mut copy = *self;
        LimitId::ALL.iter().try_for_each(|id| copy.set(*id, self.get(*id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_read_back_and_none_takes_a_value_out_of_range() {
        let mut limits = Limits::default();
        assert_eq!(limits.validate(), Ok(()));
        for (index, id) in LimitId::ALL.iter().enumerate() {
            assert_eq!(limits.set(*id, (index as i64 + 1).min(Limits::max(*id))), Ok(()));
        }
        for (index, id) in LimitId::ALL.iter().enumerate() {
            assert_eq!(limits.get(*id), (index as i64 + 1).min(Limits::max(*id)), "{}", id.name());
            let before = limits;
            for value in [-1, i64::MIN, Limits::max(*id) + 1] {
                assert!(matches!(limits.set(*id, value), Err(LimitError::Range { .. })));
            }
            assert_eq!(limits, before);
        }
        limits.order_notional_max = -1;
        assert!(matches!(limits.validate(), Err(LimitError::Range { id: LimitId::OrderNotionalMax, .. })));
    }
}
