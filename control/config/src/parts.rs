//! Limits of parts of the firm: of single symbols, of single strategies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[[limits.symbol]]`: what is not given is as for all symbols.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SymbolLimits {
    /// Which symbol.
    pub symbol: String,
    /// In place of `limits.position_max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_max: Option<i64>,
    /// In place of `limits.order_quantity_max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_quantity_max: Option<u32>,
    /// In place of `limits.order_notional_max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_notional_max: Option<i64>,
    /// Lowest price of an order, 1/10000 of the currency unit, whatever the reference of the collar is; absent: the collar alone.
    /// Not above the symbol's `reference.prior_close`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_min: Option<u32>,
    /// Highest price of an order, the same; not below that close.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_max: Option<u32>,
}

/// `[[limits.strategy]]`: what is not given is as for every strategy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StrategyLimits {
    /// Which strategy, by its id.
    pub id: u16,
    /// In place of `limits.strategy_position_max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_max: Option<i64>,
    /// In place of `limits.strategy_gross_max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gross_max: Option<i64>,
    /// In place of `limits.strategy_net_max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_max: Option<i64>,
    /// In place of `limits.strategy_daily_loss_max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_loss_max: Option<i64>,
}
