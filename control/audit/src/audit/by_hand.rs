//! What people had done by hand: what left is what they wanted, and a flatten only reduces.

use super::Audit;
use crate::finding::Disagreement;
use tern_abi::event::SIDE_BUY;
use tern_abi::manual::{ManualCommand, ManualKind, ManualOutcome, ManualRecord, ManualStage};

impl Audit {
    /// Only what was to be done can lead to an order.
    pub(super) fn on_manual(&mut self, wish: &ManualCommand) {
        if wish.stage() == Some(ManualStage::Do) {
            self.wishes.insert(wish.request, *wish);
        }
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
            Some(ManualKind::Cancel) | None => {
                self.disagree(Disagreement::ByHand, told.order, 0, told.request.into());
            }
        }
    }
}
