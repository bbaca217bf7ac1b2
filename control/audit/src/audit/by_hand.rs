//! What people had done by hand: what left is what they wanted, and a flatten only reduces.

use super::Audit;
use crate::exposure::WORTH_MAX;
use crate::finding::Disagreement;
use crate::ledger::Trade;
use serde::Deserialize;
use tern_abi::event::SIDE_BUY;
use tern_abi::manual::{AdjustmentRecord, ManualCommand, ManualKind, ManualOutcome, ManualRecord, ManualStage};
use tern_abi::record::OrderRecord;
use tern_config::MANUAL;

/// The strategy that has the orders sent by hand, as the effective configuration says.
pub(super) fn strategy_of_configuration(text: &str) -> Option<u16> {
    #[derive(Deserialize)]
    struct Effective {
        #[serde(default)]
        strategy: Vec<Strategy>,
    }
    #[derive(Deserialize)]
    struct Strategy {
        name: String,
        id: u16,
    }
    let effective: Effective = toml::from_str(text).ok()?;
    effective.strategy.into_iter().find(|strategy| strategy.name == MANUAL).map(|strategy| strategy.id)
}

impl Audit {
    /// Only what was to be done can lead to an order.
    pub(super) fn on_manual(&mut self, wish: &ManualCommand) {
        if wish.stage() == Some(ManualStage::Do) {
            self.wishes.insert(wish.request, *wish);
        }
    }

    /// A trade that somebody told counts as he told it, once, within the limits of an order that is filled at once. The venue charges nothing
    /// for it.
    pub(super) fn on_adjustment(&mut self, record: &AdjustmentRecord) {
        let wish = self.wishes.remove(&record.request).filter(|wish| wish.what() == Some(ManualKind::Adjust));
        let wanted = wish.map(|wish| (wish.symbol, wish.key, wish.side, wish.price, wish.quantity));
        let counted = (record.symbol, record.strategy.into(), record.side, record.price, record.quantity);
        if wanted != Some(counted) {
            self.disagree(Disagreement::ByHand, 0, wish.map_or(0, |wish| wish.quantity).into(), record.quantity.into());
        }
        let owner = (record.account, record.strategy, record.symbol);
        let shares = i128::from(record.quantity);
        let shares = if record.side == SIDE_BUY { shares } else { -shares };
        let trade = Trade { owner, shares, price: record.price.into(), liquidity: 0, number: self.trades_numbered };
        self.told_by_hand.push((self.trades_numbered, trade));
        let mut ledger = self.ledgers.get(owner);
        ledger.trade(trade.shares, trade.price);
        if let Some(other) = self.traded_back.get_mut(&owner) {
            other.trade(trade.shares, trade.price);
        }
        self.orders.exposures.see(record.symbol, trade.price.clamp(0, WORTH_MAX));
        self.set_ledger(owner, ledger);
        let Some(limits) = self.limits.as_ref().map(|limits| limits.of(record.symbol, record.strategy)) else {
            self.disagree(Disagreement::NoLimits, 0, 0, 0);
            return;
        };
        let quantity = i128::from(record.quantity);
        if record.quantity == 0 || quantity > limits.order_quantity_max.into() {
            self.disagree(Disagreement::OrderQuantity, 0, limits.order_quantity_max.into(), quantity);
        }
        let value = quantity * i128::from(record.price);
        if value > limits.order_notional_max.into() {
            self.disagree(Disagreement::OrderNotional, 0, limits.order_notional_max.into(), value);
        }
        self.check_position(&limits, owner, 0, record.side == SIDE_BUY);
    }

    /// Whether an order is as somebody wanted it, and the one's who has those that are sent by hand.
    fn is_as_wanted(&self, order: &OrderRecord, wish: &ManualCommand) -> bool {
        const POST_ONLY: u8 = 1;
        let wanted = (wish.symbol, wish.side, wish.price, wish.quantity, wish.time_in_force, wish.post_only != 0);
        let is_post_only = order.flags & POST_ONLY != 0;
        let sent = (order.symbol, order.side, order.price, order.quantity, order.time_in_force, is_post_only);
        wanted == sent && self.by_hand == Some(order.strategy)
    }

    /// The data plane says what came of it, right behind the record of the order.
    pub(super) fn on_manual_outcome(&mut self, told: &ManualRecord) {
        if told.outcome != ManualOutcome::Sent as u32 {
            return;
        }
        let wish = self.wishes.get(&told.request).copied();
        let (Some(wish), Some(chain)) = (wish, self.orders.get(told.order).cloned()) else {
            self.disagree(Disagreement::ByHand, told.order, 0, told.request.into());
            return;
        };
        match wish.what() {
            Some(ManualKind::Order) => {
                let sent = self.sent_last.filter(|sent| sent.order == told.order);
                if !sent.is_some_and(|sent| self.is_as_wanted(&sent, &wish)) {
                    self.disagree(Disagreement::ByHand, told.order, wish.quantity.into(), chain.total);
                }
                // One order a wish: another one has nothing that it could be by.
                self.wishes.remove(&told.request);
            }
            Some(ManualKind::Flatten) => {
                let owner = chain.owner();
                let held = self.ledgers.get(owner).shares;
                let working = self.orders.working(owner, chain.is_buy);
                // Seen from the side of the order: what is left to close is below nothing.
                let after = if chain.is_buy { held + working } else { working - held };
                if after > 0 {
                    self.disagree(Disagreement::FlattenTurns, told.order, 0, after);
                }
            }
            Some(ManualKind::Cancel | ManualKind::Adjust) | None => {
                self.disagree(Disagreement::ByHand, told.order, 0, told.request.into());
            }
        }
    }
}
