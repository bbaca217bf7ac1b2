//! What the records say the state is, against what the venue's answers leave.

use super::Audit;
use crate::exposure::Owner;
use crate::finding::Disagreement;
use crate::ledger::{Ledger, Trade};
use crate::orders::Life;
use tern_abi::record::{OrderEventRecord, PositionRecord, VenueEventKind};

impl Audit {
    /// Core's word that an order, or its replace, never left or never arrived: it has no place in the venue's log.
    pub(super) fn on_order_event(&mut self, event: &OrderEventRecord) {
        // By the chain: one input may tell of an order under its old id and then under its new one. An event that is about
        // none of the orders that the data plane still has (a trade broken under an id that was replaced since) claims nothing.
        if event.state != u8::MAX {
            let chain = self.orders.get(event.order).map_or(event.order, |chain| chain.id);
            self.leaves_claimed.insert(chain, event.leaves.into());
        }
        // That the venue does not answer says nothing of what it has.
        if event.session_seq != 0 || event.kind == VenueEventKind::Unanswered as u8 {
            return;
        }
        let connections = self.connections;
        self.orders.change(event.order, |chain| match chain.pending.take() {
            Some(pending) => chain.unsent_on = Some((pending.order, connections)),
            None if event.leaves == 0 && chain.life == Life::New => {
                chain.unsent_on = Some((chain.id, connections));
                chain.life = Life::Over;
            }
            None => {}
        });
    }

    /// Between two inputs everything that one caused is recorded, and the claims are to be true.
    pub(super) fn settle_claims(&mut self) {
        let replaying = self.doubtful.is_some();
        for (order, claimed) in std::mem::take(&mut self.leaves_claimed) {
            let Some(chain) = self.orders.get(order).filter(|_| !replaying) else { continue };
            let leaves = if chain.life == Life::Over { 0 } else { chain.leaves };
            if leaves != claimed {
                self.disagree(Disagreement::LeavesClaim, order, leaves, claimed);
            }
        }
        for (owner, claimed) in std::mem::take(&mut self.positions_claimed) {
            if self.believed.remove(&owner) {
                self.set_ledger(owner, Ledger::claimed(&claimed));
            } else if !replaying {
                self.check_position_claim(owner, &claimed);
            }
        }
        self.traded_back.clear();
        self.look_at_losses();
    }

    fn check_position_claim(&mut self, owner: Owner, record: &PositionRecord) {
        let (ours, claimed) = (self.ledgers.get(owner), Ledger::claimed(record));
        if i128::from(record.realized) != claimed.realized() {
            self.disagree_of(Disagreement::ProfitClaim, owner, claimed.realized(), record.realized.into());
        }
        let is_known = ours.shares != claimed.shares || self.fees.is_some() && !self.money_believed.contains(&owner);
        if !is_known || self.traded_back.get(&owner) == Some(&claimed) {
            self.money_believed.remove(&owner);
            self.set_ledger(owner, claimed);
            return;
        }
        for (what, ours, claimed) in [
            (Disagreement::PositionClaim, ours.shares, claimed.shares),
            (Disagreement::CashClaim, ours.cash, claimed.cash),
            (Disagreement::CostClaim, ours.cost, claimed.cost),
            (Disagreement::FeesClaim, ours.fees, claimed.fees),
        ] {
            if ours != claimed {
                self.disagree_of(what, owner, ours, claimed);
                // The rest would say the same of a position with other shares.
                return;
            }
        }
    }

    /// What a strategy has in a symbol is this from now on.
    pub(super) fn set_ledger(&mut self, owner: Owner, ledger: Ledger) {
        let shares = self.ledgers.get(owner).shares;
        self.orders.traded(owner, ledger.shares - shares);
        self.ledgers.set(owner, ledger);
        self.losses.due = true;
    }

    /// A trade.
    pub(super) fn executed(&mut self, trade: &Trade) {
        let mut ledger = self.ledgers.get(trade.owner);
        ledger.execute(trade, self.fees.as_ref());
        if let Some(other) = self.traded_back.get_mut(&trade.owner) {
            other.execute(trade, self.fees.as_ref());
        }
        self.set_ledger(trade.owner, ledger);
    }

    /// A trade was broken, and is none of ours any more.
    pub(super) fn taken_out(&mut self, trade: &Trade) {
        let owner = trade.owner;
        let mut back = self.traded_back.get(&owner).copied().unwrap_or_else(|| self.ledgers.get(owner));
        back.trade(-trade.shares, trade.price);
        self.traded_back.insert(owner, back);
        if self.trades_forgotten {
            // What it cost without the trade, forgotten trades decide.
            self.money_believed.insert(owner);
            self.set_ledger(owner, back);
        } else {
            self.set_ledger(owner, self.rebuilt(owner));
        }
    }

    /// From what was held when the day began and all trades since.
    pub(super) fn rebuilt(&self, owner: Owner) -> Ledger {
        let mut ledger = self.opened.get(&owner).copied().unwrap_or_default();
        let trades = self.trades_told.iter().filter_map(|key| self.trades.get(key));
        let mut by_hand = self.told_by_hand.iter().filter(|(_, told)| told.owner == owner).peekable();
        for trade in trades.filter(|trade| trade.owner == owner) {
            while let Some((_, told)) = by_hand.next_if(|(before, _)| *before <= trade.number) {
                ledger.trade(told.shares, told.price);
            }
            ledger.execute(trade, self.fees.as_ref());
        }
        by_hand.for_each(|(_, told)| ledger.trade(told.shares, told.price));
        ledger
    }
}
