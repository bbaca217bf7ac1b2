//! Price levels, found by side and price.
//!
//! Prices near one another lie near one another: each side has [`NEAR`] places, and a price its place among them by its
//! tick, modulo their number. So the line of a level can be asked for as soon as a message tells the price, and what
//! happens at the touch of a book stays within a few lines. A level whose place is taken, by one that is a multiple of
//! [`NEAR`] ticks away or within the same tick, goes into a hash table; the place counts how many did.

use super::order::{BookSide, price_of};
use super::table::{Line, Lines, Located, Table, Vacancy, spread};
use tern_abi::arena::Arena;
use zerocopy::FromZeros;

/// Places of a side.
pub(super) const NEAR: usize = 128;
/// Distance of neighbouring prices: a cent, in 1/10000 of the currency unit. Prices between take part in everything, at
/// the cost of a hash.
pub(super) const TICK: u32 = 100;

/// A price level: sums and the ends of its queue.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromZeros)]
pub(super) struct Level {
    /// Shares of all orders.
    pub(super) quantity: u64,
    /// Whose level.
    pub(super) book: BookSide,
    /// See [`rank_of`](super::order::rank_of).
    pub(super) rank: u32,
    /// Number of orders; 0 is an empty slot.
    pub(super) orders: u32,
    /// First order of the queue.
    pub(super) head: u32,
    /// Last order of the queue.
    pub(super) tail: u32,
    /// Of the place, not of the level in it: levels in the hash table that would belong here; in the hash table's lines,
    /// in their first entry, the line's counter.
    others: u32,
}

impl Level {
    /// A level of one order.
    #[inline(always)]
    pub(super) const fn new(book: BookSide, rank: u32, quantity: u32, order: u32) -> Self {
        Self { quantity: quantity as u64, book, rank, orders: 1, head: order, tail: order, others: 0 }
    }
    /// As strategies see it.
    #[inline(always)]
    pub(super) fn view(&self) -> super::Level {
        super::Level { price: price_of(self.book.side(), self.rank), quantity: self.quantity, orders: self.orders }
    }
    #[inline(always)]
    fn put(&mut self, level: Self) {
        *self = Self { others: self.others, ..level };
    }
}

/// Two levels.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, FromZeros)]
pub(super) struct LevelLine([Level; 2]);

impl Line for LevelLine {
    type Entry = Level;
    type Key = (BookSide, u32);
    const INDEX_BITS: u32 = 1;

    #[inline(always)]
    fn home((book, rank): (BookSide, u32), lines: Lines) -> usize {
        lines.by_hash(spread(book.index() as u32, rank))
    }
    #[inline(always)]
    fn step(_: (BookSide, u32), _: Lines) -> usize {
        1
    }
    #[inline(always)]
    fn key(entry: &Level) -> (BookSide, u32) {
        (entry.book, entry.rank)
    }
    fn find(&self, (book, rank): (BookSide, u32)) -> Option<u32> {
        let found = self.0.iter().position(|level| level.orders != 0 && level.rank == rank && level.book == book);
        found.map(|index| index as u32)
    }
    fn vacant(&self) -> Option<u32> {
        self.0.iter().position(|level| level.orders == 0).map(|index| index as u32)
    }
    #[inline(always)]
    fn entry(&self, index: u32) -> &Level {
        &self.0[index as usize]
    }
    #[inline(always)]
    fn entry_mut(&mut self, index: u32) -> &mut Level {
        &mut self.0[index as usize]
    }
    fn put(&mut self, index: u32, entry: Level) {
        self.entry_mut(index).put(entry);
    }
    fn clear(&mut self, index: u32) {
        self.entry_mut(index).orders = 0;
    }
    fn overflow(&self) -> u32 {
        self.0[0].others
    }
    fn set_overflow(&mut self, count: u32) {
        self.0[0].others = count;
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Levels {
    /// The hash table; the sides' places lie before it.
    table: Table<LevelLine>,
    live: usize,
    capacity: usize,
}

impl Levels {
    /// No levels; the lines are zeroed, the first of them are [`NEAR`] places for each of so many sides.
    pub(super) fn new(lines: Arena<LevelLine>, sides: usize, capacity: usize) -> Self {
        Self { table: Table::new(lines, sides * NEAR / 2, capacity), live: 0, capacity }
    }
    /// Levels held.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    #[inline(always)]
    const fn place_of((book, rank): (BookSide, u32)) -> u32 {
        // Wrapping: of an instrument that does not exist nothing is kept, but lines are asked for.
        (book.index() as u32).wrapping_mul(NEAR as u32) | (rank / TICK) & (NEAR as u32 - 1)
    }

    /// Asks for the line where the level of `key` most likely is.
    #[inline(always)]
    pub(super) fn prefetch(&self, key: (BookSide, u32)) {
        self.prefetch_slot(Self::place_of(key));
    }
    /// Asks for the line of `slot`; does nothing for a slot that does not exist.
    #[inline(always)]
    pub(super) fn prefetch_slot(&self, slot: u32) {
        self.table.prefetch_slot(slot);
    }

    /// The slot of the level of `key`.
    #[inline(always)]
    pub(super) fn find(&self, key: (BookSide, u32)) -> Option<u32> {
        let slot = Self::place_of(key);
        let level = self.table.try_get(slot)?;
        if level.orders != 0 && level.rank == key.1 {
            return Some(slot);
        }
        if level.others == 0 { None } else { self.table.find(key) }
    }

    /// The slot of the level of `key`, whose instrument exists, or where it would go.
    #[inline(always)]
    pub(super) fn locate(&self, key: (BookSide, u32)) -> Located {
        let slot = Self::place_of(key);
        let Some(level) = self.table.try_get(slot) else { return Located::Full };
        if level.orders != 0 && level.rank == key.1 {
            return Located::Found(slot);
        }
        match level.others | level.orders {
            _ if self.live >= self.capacity && level.others == 0 => Located::Full,
            0 => Located::Vacant(Vacancy::at_home(slot)),
            _ => self.locate_by_hash(key, slot, level.orders == 0),
        }
    }

    #[cold]
    fn locate_by_hash(&self, key: (BookSide, u32), slot: u32, is_free: bool) -> Located {
        match self.table.locate(key) {
            Located::Found(slot) => Located::Found(slot),
            _ if self.live >= self.capacity => Located::Full,
            _ if is_free => Located::Vacant(Vacancy::at_home(slot)),
            other => other,
        }
    }

    #[inline(always)]
    fn is_place(&self, slot: u32) -> bool {
        (slot >> LevelLine::INDEX_BITS) < self.table.first_line() as u32
    }

    /// Puts `level` (not empty, of the key that was located) into its place.
    #[inline(always)]
    pub(super) fn occupy(&mut self, vacancy: Vacancy, level: Level) {
        self.live += 1;
        if self.is_place(vacancy.slot()) {
            self.get_mut(vacancy.slot()).put(level);
        } else {
            self.count_other((level.book, level.rank), 1);
            self.table.occupy(vacancy, level);
        }
    }

    /// Frees `slot`, which must be occupied.
    #[inline(always)]
    pub(super) fn remove(&mut self, slot: u32) {
        self.live -= 1;
        if self.is_place(slot) {
            self.get_mut(slot).orders = 0;
        } else {
            let level = *self.get(slot);
            self.count_other((level.book, level.rank), -1);
            self.table.remove(slot);
        }
    }

    #[cold]
    fn count_other(&mut self, key: (BookSide, u32), change: i32) {
        let place = self.get_mut(Self::place_of(key));
        place.others = place.others.saturating_add_signed(change);
    }

    /// The level in `slot`, a slot that was given out.
    #[inline(always)]
    pub(super) fn get(&self, slot: u32) -> &Level {
        self.table.get(slot)
    }
    /// The level in `slot`, a slot that was given out.
    #[inline(always)]
    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Level {
        self.table.get_mut(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{Heap, Memory};
    use super::*;
    use crate::units::Side;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const BOOK: BookSide = BookSide::new(1, Side::Sell);

    proptest! {
        /// Few places and many prices of each: in the same tick, and whole windows apart.
        #[test]
        fn agrees_with_a_map(steps in proptest::collection::vec((0_u32..4, 0_u32..3, 0_u32..5, 0_u32..2), 0..400)) {
            let mut levels = Levels::new(Heap.arena(2 * NEAR + 67), 4, 40);
            let mut model = BTreeMap::new();
            for (tick, within, window, what) in steps {
                let rank = (window * NEAR as u32 + tick) * TICK + within;
                let key = (BOOK, rank);
                match levels.locate(key) {
                    Located::Found(slot) => {
                        prop_assert_eq!(model.get(&rank), Some(&slot));
                        prop_assert_eq!(levels.get(slot).rank, rank);
                        if what == 0 {
                            levels.remove(slot);
                            model.remove(&rank);
                        }
                    }
                    Located::Vacant(place) => {
                        prop_assert!(!model.contains_key(&rank));
                        levels.occupy(place, Level::new(BOOK, rank, 1, rank));
                        model.insert(rank, place.slot());
                    }
                    Located::Full => prop_assert_eq!(model.len(), 40),
                }
                prop_assert_eq!(levels.live(), model.len());
                for (rank, slot) in &model {
                    prop_assert_eq!(levels.find((BOOK, *rank)), Some(*slot));
                    prop_assert_eq!(levels.get(*slot).head, *rank);
                }
            }
            for slot in model.values() {
                levels.remove(*slot);
            }
            let all = (0..2 * (2 * NEAR + 67) as u32).map(|slot| levels.get(slot));
            prop_assert!(all.into_iter().all(|level| level.orders == 0 && level.others == 0));
            prop_assert_eq!(levels.table.live(), 0);
        }
    }
}
