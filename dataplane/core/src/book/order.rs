//! Orders as the table holds them, and the words that all of the books share.

use super::table::{Line, Lines, mix};
use crate::units::{Price, Side};
use zerocopy::FromZeros;

/// No slot.
pub(super) const NIL: u32 = u32::MAX;

/// One side of one instrument: the instrument times two, plus 1 for the sell side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(transparent)]
pub(super) struct BookSide(u32);

impl BookSide {
    #[inline(always)]
    pub(super) const fn new(instrument: u32, side: Side) -> Self {
        Self(instrument << 1 | side.index() as u32)
    }
    /// Place among the sides of all instruments.
    #[inline(always)]
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
    #[inline(always)]
    pub(super) const fn instrument(self) -> u32 {
        self.0 >> 1
    }
    #[inline(always)]
    pub(super) const fn side(self) -> Side {
        if self.0 & 1 == 0 { Side::Buy } else { Side::Sell }
    }
}

/// A price as its own side sees it: the greater the better. Bids keep their price, offers are complemented.
#[inline(always)]
pub(super) const fn rank_of(side: Side, price: u32) -> u32 {
    match side {
        Side::Buy => price,
        Side::Sell => !price,
    }
}

/// The price of a rank.
#[inline(always)]
pub(super) const fn price_of(side: Side, rank: u32) -> Price {
    Price(rank_of(side, rank) as i64)
}

/// A live order: its place in the queue of its level.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromZeros)]
pub(super) struct Order {
    /// The venue's reference.
    pub(super) reference: u64,
    /// The order behind, or [`NIL`].
    pub(super) next: u32,
    /// The order in front, or [`NIL`].
    pub(super) prev: u32,
    /// Open shares; 0 is an empty slot.
    pub(super) quantity: u32,
    /// Slot of the level times two, plus 1 for the sell side: a replacement's new level can be asked for before the old
    /// one has arrived from memory.
    level_and_side: u32,
}

impl Order {
    #[inline(always)]
    pub(super) const fn new(reference: u64, quantity: u32, level: u32, side: Side, prev: u32) -> Self {
        Self { reference, next: NIL, prev, quantity, level_and_side: level << 1 | side.index() as u32 }
    }
    #[inline(always)]
    pub(super) const fn level(&self) -> u32 {
        self.level_and_side >> 1
    }
    #[inline(always)]
    pub(super) const fn side(&self) -> Side {
        if self.level_and_side & 1 == 0 { Side::Buy } else { Side::Sell }
    }
}

/// Two orders.
///
/// References count up over the day, and most orders live short lives. So the home of a reference is itself, modulo the
/// number of lines: what arrives now goes where the last order went, which is in the cache and next to what comes, and
/// old orders are spread evenly among it. Those that find their line full go where a hash says.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, FromZeros)]
pub(super) struct OrderLine {
    entries: [Order; 2],
    overflow: u32,
}

/// Index of the first of two that is 0, if any is. Which one it is cannot be predicted, and guessing wrong costs more
/// than all the rest of a search: the two are folded into one word, and only that is branched on.
#[inline(always)]
fn first_zero([first, second]: [u64; 2]) -> Option<u32> {
    (first.min(second) == 0).then_some(u32::from(first != 0))
}

impl Line for OrderLine {
    type Entry = Order;
    type Key = u64;
    const INDEX_BITS: u32 = 1;

    #[inline(always)]
    fn home(key: u64, lines: Lines) -> usize {
        lines.remainder(key)
    }
    #[inline(always)]
    fn step(key: u64, lines: Lines) -> usize {
        lines.by_hash(mix(key)).max(1)
    }
    #[inline(always)]
    fn key(entry: &Order) -> u64 {
        entry.reference
    }
    #[inline(always)]
    fn find(&self, key: u64) -> Option<u32> {
        first_zero(self.entries.map(|entry| (entry.reference ^ key) | u64::from(entry.quantity == 0)))
    }
    #[inline(always)]
    fn vacant(&self) -> Option<u32> {
        first_zero(self.entries.map(|entry| u64::from(entry.quantity)))
    }
    #[inline(always)]
    fn entry(&self, index: u32) -> &Order {
        &self.entries[index as usize]
    }
    #[inline(always)]
    fn entry_mut(&mut self, index: u32) -> &mut Order {
        &mut self.entries[index as usize]
    }
    #[inline(always)]
    fn put(&mut self, index: u32, entry: Order) {
        *self.entry_mut(index) = entry;
    }
    #[inline(always)]
    fn clear(&mut self, index: u32) {
        self.entry_mut(index).quantity = 0;
    }
    #[inline(always)]
    fn overflow(&self) -> u32 {
        self.overflow
    }
    #[inline(always)]
    fn set_overflow(&mut self, count: u32) {
        self.overflow = count;
    }
}
