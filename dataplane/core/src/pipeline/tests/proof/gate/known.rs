//! An order, as the model keeps it.

use super::firm::Num;
use crate::units::Side;

/// A replacement on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) id: u32,
    pub(super) price: Num,
    /// Of the whole chain.
    pub(super) total: Num,
}

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    New,
    Live,
    /// `true`: it never left, or never arrived, as far as we know.
    Dead(bool),
}

/// An order.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) id: u32,
    pub(super) pending: Option<Pending>,
    pub(super) cancel_sent: Option<u32>,
    pub(super) cancel_wanted: bool,
    pub(super) owner: usize,
    pub(super) instrument: usize,
    pub(super) side: Side,
    pub(super) price: Num,
    /// Of an order for a cross: what a share is valued at.
    pub(super) cross_value: Option<Num>,
    pub(super) leaves: Num,
    pub(super) executed: Num,
    /// The venue's reference, 0 before it is known.
    pub(super) venue_order: u64,
    pub(super) short: bool,
    pub(super) life: Life,
    pub(super) doubtful: bool,
    pub(super) cancels_refused: u32,
    pub(super) cancel_due: Option<u64>,
    /// Known from a log that is gone.
    pub(super) old_log: bool,
    /// When it came to be open, or dead.
    pub(super) since: u64,
}

impl Known {
    pub(super) fn new(id: u32, owner: usize, instrument: usize, side: Side, price: Num, leaves: Num) -> Self {
        Self {
            id,
            pending: None,
            cancel_sent: None,
            cancel_wanted: false,
            owner,
            instrument,
            side,
            price,
            cross_value: None,
            leaves,
            executed: 0,
            venue_order: 0,
            short: false,
            life: Life::New,
            doubtful: false,
            cancels_refused: 0,
            cancel_due: None,
            old_log: false,
            since: 0,
        }
    }

    pub(super) fn forget_refused(&mut self) {
        (self.cancels_refused, self.cancel_due) = (0, None);
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.life, Life::Dead(_))
    }
    /// Shares and value that it may come to trade, at worst.
    pub(super) fn stands_for(&self) -> (Num, Num) {
        if !self.is_open() {
            return (0, 0);
        }
        let now = (self.leaves, self.leaves * self.cross_value.unwrap_or(self.price));
        let Some(pending) = self.pending else { return now };
        let later = (pending.total - self.executed).max(0);
        (now.0.max(later), now.1.max(later * self.cross_value.unwrap_or(pending.price)))
    }
    /// The id that a cancel has to name.
    pub(super) fn cancel_target(&self) -> u32 {
        self.pending.map_or(self.id, |pending| pending.id)
    }
    pub(super) fn needs_cancel(&self) -> bool {
        self.cancel_wanted && self.cancel_due.is_none() && self.cancel_sent != Some(self.cancel_target())
    }
    /// The most that a share of it is valued at.
    pub(super) fn dearest(&self) -> Num {
        self.cross_value.unwrap_or(self.prices().max().unwrap_or(0))
    }
    /// The prices at which it may trade.
    pub(super) fn prices(&self) -> impl Iterator<Item = Num> {
        [Some(self.price), self.pending.map(|pending| pending.price)].into_iter().flatten()
    }
}
