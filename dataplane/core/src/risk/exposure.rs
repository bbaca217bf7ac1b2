//! What stands at risk in one instrument, on one cache line.

use crate::units::{Quantity, Side};
use zerocopy::FromZeros;

/// Position and open orders of all strategies in one instrument.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
pub struct Exposure {
    /// Signed shares held.
    pub(crate) position: i64,
    /// Shares that open orders may trade at worst, by side: they never net.
    pub(crate) open: [i64; 2],
    /// The last new order: its price with side and shares mixed in, and when it was sent.
    pub(super) last_order: u64,
    pub(super) last_order_ns: u64,
    /// Owners that ever had an order here, a bit each.
    pub(super) owners: u32,
    /// Its entry in the table of bounds.
    pub(super) bounds: u16,
    /// Not 0: our market stopped trading the instrument.
    pub(super) halted: u8,
    pub(super) reserved: u8,
    /// Cost of the position, all strategies; short is negative. 1/10000.
    pub(super) cost: i64,
    /// What closing at the last mark would add to that. 1/10000.
    pub(super) unrealized: i64,
}

impl Exposure {
    /// Signed shares held.
    #[inline]
    pub const fn position(&self) -> i64 {
        self.position
    }

    /// Shares that open orders of `side` may trade at worst.
    #[inline]
    pub const fn open(&self, side: Side) -> i64 {
        self.open[side.index()]
    }

    /// Whether our market stopped trading the instrument (an operational halt).
    #[inline]
    pub const fn is_halted(&self) -> bool {
        self.halted != 0
    }

    /// Whether no owner but this one ever had an order here: what the firm holds is his.
    #[inline]
    pub(super) const fn is_sole_owner(&self, owner: u8) -> bool {
        self.owners & !(1 << owner) == 0
    }

    /// The position, seen from `side` (long is positive for buys), with every open order of `side` and `more` shares
    /// filled and none of the other side.
    #[inline]
    pub const fn worst(&self, side: Side, more: i64) -> i64 {
        self.position.saturating_mul(side.sign()).saturating_add(self.open[side.index()]).saturating_add(more)
    }

    /// An order of `owner` on `side` stood for `before` shares and stands for `after` now.
    #[inline]
    pub(crate) const fn settle(&mut self, owner: u8, side: Side, before: Quantity, after: Quantity) {
        self.owners |= 1 << owner;
        self.open[side.index()] += after as i64 - before as i64;
    }
}
