//! Orders and price levels as the tables hold them.

use super::table::{Entry, spread};
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

impl Entry for Order {
    type Key = u64;
    #[inline(always)]
    fn key(&self) -> u64 {
        self.reference
    }
    #[inline(always)]
    fn mismatch(&self, key: u64) -> u64 {
        (self.reference ^ key) | u64::from(self.quantity == 0)
    }
    #[inline(always)]
    fn weight(&self) -> u32 {
        self.quantity
    }
    #[inline(always)]
    fn clear(&mut self) {
        self.quantity = 0;
    }
    #[inline(always)]
    fn hash(key: u64) -> u64 {
        spread((key >> 32) as u32, key as u32)
    }
}

/// A price level: sums and the ends of its queue.
// Packed to 28 bytes, so that two levels and the line's counter share a cache line.
#[repr(C, packed(4))]
#[derive(Clone, Copy, Debug, FromZeros)]
pub(super) struct Level {
    /// Shares of all orders.
    pub(super) quantity: u64,
    /// Whose level.
    pub(super) book: BookSide,
    /// See [`rank_of`].
    pub(super) rank: u32,
    /// Number of orders; 0 is an empty slot.
    pub(super) orders: u32,
    /// First order of the queue.
    pub(super) head: u32,
    /// Last order of the queue.
    pub(super) tail: u32,
}

impl Level {
    /// As strategies see it.
    #[inline(always)]
    pub(super) fn view(&self) -> super::Level {
        let book = self.book;
        super::Level { price: price_of(book.side(), self.rank), quantity: self.quantity, orders: self.orders }
    }
}

impl Entry for Level {
    type Key = (BookSide, u32);
    #[inline(always)]
    fn key(&self) -> (BookSide, u32) {
        (self.book, self.rank)
    }
    #[inline(always)]
    fn mismatch(&self, (book, rank): (BookSide, u32)) -> u64 {
        let (book, rank) = (u64::from(self.book.0 ^ book.0), u64::from(self.rank ^ rank));
        book << 32 | rank | u64::from(self.orders == 0)
    }
    #[inline(always)]
    fn weight(&self) -> u32 {
        self.orders
    }
    #[inline(always)]
    fn clear(&mut self) {
        self.orders = 0;
    }
    #[inline(always)]
    fn hash((book, rank): (BookSide, u32)) -> u64 {
        spread(book.0, rank)
    }
}
