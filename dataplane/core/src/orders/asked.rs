//! What we asked the venue for, to be held against what it says that it gives.

use super::{Life, Order};
use crate::session::VenueEvent;
use crate::units::{OrderId, Price, Quantity, Side};

/// Shares and price of an enter, or of a replace, as they left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    side: Side,
    price: Price,
    /// Most shares that may be open once the venue has done it.
    open_max: Quantity,
}

impl Asked {
    /// Whether the venue took more than this: more shares, or a price that is worse for us (OUCH 5.0, 3.2: it may only be
    /// equal or better).
    pub(crate) fn is_less_than(&self, event: &VenueEvent) -> bool {
        let is_worse = match self.side {
            Side::Buy => event.price > self.price,
            Side::Sell => event.price < self.price,
        };
        event.quantity > self.open_max || (is_worse && !self.price.is_market())
    }
}

impl Order {
    /// What the enter on its way asked for. `None` if it is not known: the order was heard of from the venue, or is told
    /// again.
    pub(crate) fn asked_to_enter(&self) -> Option<Asked> {
        let is_known = matches!(self.life, Life::New) && !self.old_log && !self.adopted;
        let open_max = self.leaves.saturating_add(self.executed);
        is_known.then_some(Asked { side: self.side, price: self.price, open_max })
    }

    /// What the replace on its way, with this id, asked for. `None` if it is not known.
    pub(crate) fn asked_to_replace(&self, id: OrderId) -> Option<Asked> {
        let open_max = self.pending_total.saturating_sub(self.executed);
        (self.pending == id && !self.old_log).then_some(Asked { side: self.side, price: self.pending_price, open_max })
    }

    /// A partial cancel was sent: `total` shares may trade, those that did included (OUCH 5.0, 2.3).
    pub(crate) const fn reduce_sent(&mut self, total: Quantity) {
        self.reduce_to = total;
    }

    /// Shares were taken off: whether a partial cancel on its way is done by that. One that would find nothing to take off
    /// is ignored by the venue without a word, so nothing is to be waited for then.
    pub(crate) const fn heed_reduction(&mut self) {
        if self.executed.saturating_add(self.leaves) <= self.reduce_to {
            self.reduce_to = 0;
        }
    }

    /// 3.10. The partial cancel on its way was refused, if there is one, else the cancel.
    pub(crate) const fn cancel_rejected(&mut self) {
        if self.reduce_to != 0 {
            self.reduce_to = 0;
            self.reduce_refused = true;
        } else {
            self.cancel_sent = OrderId(0);
            self.cancel_waits = false;
        }
    }
}
