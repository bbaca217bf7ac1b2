//! What the records say the state is, against what the venue's answers leave.

use super::{Audit, Owner};
use crate::finding::Disagreement;
use crate::orders::Life;
use tern_abi::record::{OrderEventRecord, VenueEventKind};

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
            let shares = self.positions.get(&owner).copied().unwrap_or(0);
            if self.believed.remove(&owner) {
                self.traded(owner, claimed - shares);
                continue;
            }
            if !replaying && shares != claimed {
                self.disagree(Disagreement::PositionClaim, 0, shares, claimed);
            }
        }
    }

    pub(super) fn traded(&mut self, owner: Owner, shares: i128) {
        self.orders.traded(owner, shares);
        *self.positions.entry(owner).or_default() += shares;
    }
}
