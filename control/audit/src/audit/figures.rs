//! The sums as they stand, for whoever wants to compare them.

use super::Audit;
use crate::exposure::{GROSS, Strategy, Sums, net};
use crate::ledger::Profit;
use serde_json::{Value, json};

/// Money of the firm, or of a strategy. All 1/10000 of the currency unit.
fn figures(sums: &Sums, profit: &Profit) -> Value {
    let narrow = |wide: i128| wide.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
    json!({
        "gross_at_least": narrow(sums[GROSS].low),
        "net_buy_at_least": narrow(sums[net(true)].low),
        "net_sell_at_least": narrow(sums[net(false)].low),
        "realized": narrow(profit.realized),
        "fees": narrow(profit.fees),
        "profit_at_least": profit.at_least().map(narrow),
        "profit_at_most": profit.at_most().map(narrow),
    })
}

impl Audit {
    /// Exposure and profit of the firm, and of each strategy by account and id, as recomputed: exposure at the least prices
    /// that the gate can have taken, profit after fees with what is held worth whatever it may be (`null`: no bound).
    pub fn money(&self) -> Value {
        let (firm, strategies) = self.orders.exposures.sums();
        let own = |strategy: &Strategy, sums: &Sums| {
            let profit = self.ledgers.strategies().get(strategy).copied().unwrap_or_default();
            let mut own = figures(sums, &profit);
            own["account"] = strategy.0.into();
            own["strategy"] = strategy.1.into();
            own
        };
        let strategies: Vec<Value> = strategies.iter().map(|(strategy, sums)| own(strategy, sums)).collect();
        json!({ "firm": figures(firm, self.ledgers.firm()), "strategies": strategies })
    }
}
