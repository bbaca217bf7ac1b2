//! What people had done by hand: what left is what they wanted, and a flatten only reduces.

use super::Audit;
use crate::exposure::WORTH_MAX;
use crate::finding::Disagreement;
use crate::ledger::Trade;
use tern_abi::event::SIDE_BUY;
use tern_abi::manual::{AdjustmentRecord, ManualCommand, ManualKind, ManualOutcome, ManualRecord, ManualStage};

impl Audit {
    /// Only what was to be done can lead to an order.
    pub(super) fn on_manual(&mut self, wish: &ManualCommand) {
        if wish.stage() == Some(ManualStage::Do) {
            self.wishes.insert(wish.request, *wish);
        }
    }

    /// A trade that somebody told counts as he told it, once. The venue charges nothing for it.
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
                let wanted = (wish.symbol, wish.side == SIDE_BUY, wish.price, i128::from(wish.quantity));
                if wanted != (chain.symbol, chain.is_buy, chain.price, chain.total) {
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
