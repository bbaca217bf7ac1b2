//! What stands at risk in one instrument, on one cache line.

use crate::units::Side;
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
    /// Owners that hold shares of it.
    pub(super) holders: u8,
    /// Price at which its shares count, 1/10000; of what stands for nothing it is an old one. 0 before any.
    pub(super) valued_at: i64,
    /// What a share was worth when that was last looked at, 1/10000; 0 before any look.
    pub(super) mark: i64,
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

    /// Price at which its shares count in the limits of money, 1/10000; 0 before any.
    #[inline]
    pub const fn valued_at(&self) -> i64 {
        self.valued_at
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
}
