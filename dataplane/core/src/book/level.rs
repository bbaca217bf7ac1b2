//! Price levels, found by side and price.
//!
//! Prices near one another lie near one another: each side has [`NEAR`] places, and a price its place among them by its
//! tick, modulo their number. So the line of a level can be asked for as soon as a message tells the price, and what
//! happens at the touch of a book stays within a few lines. A level whose place is taken, by one that is a multiple of
//! [`NEAR`] ticks away or within the same tick, goes into a hash table; the place counts how many did.

use super::order::{BookSide, NIL, price_of};
use super::table::{Line, Lines, Located, Table, Vacancy, spread};
use core::hint::select_unpredictable;
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
    /// Shares of all orders: none where there is no order.
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
    /// A level that waits for its first order.
    const fn begun((book, rank): (BookSide, u32)) -> Self {
        Self { quantity: 0, book, rank, orders: 0, head: NIL, tail: NIL, others: 0 }
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

/// Where the level of a key is, or will be; valid until the levels change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    slot: u32,
    is_new: bool,
    /// In the hash table, for a new level that has to go there.
    beyond: Option<Vacancy>,
}

impl Seat {
    #[inline(always)]
    pub(super) const fn slot(self) -> u32 {
        self.slot
    }
    /// Whether there is no such level yet.
    #[inline(always)]
    pub(super) const fn is_new(self) -> bool {
        self.is_new
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
    /// The same if it is wanted, which nobody can predict.
    #[inline(always)]
    pub(super) fn prefetch_if(&self, is_wanted: bool, key: (BookSide, u32)) {
        self.prefetch_slot(select_unpredictable(is_wanted, Self::place_of(key), 0));
    }
    /// Asks for the line of `slot`; does nothing for a slot that does not exist.
    #[inline(always)]
    pub(super) fn prefetch_slot(&self, slot: u32) {
        self.table.prefetch_slot(slot);
    }

    /// The last order of the level of `key` if it is in its own place, else any slot at all: only to be asked for.
    #[inline(always)]
    pub(super) fn last_at(&self, key: (BookSide, u32)) -> u32 {
        let level = self.table.try_get(Self::place_of(key));
        level.map_or(0, |level| select_unpredictable((level.orders != 0) & (level.rank == key.1), level.tail, 0))
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

    /// Where the level of `key`, whose instrument exists, is or will be; `None` when there is no room for one more.
    ///
    /// Whether there is one already is a coin toss, and takes no branch; whether it is in its own place is not.
    #[inline(always)]
    pub(super) fn seat(&self, key: (BookSide, u32)) -> Option<Seat> {
        let slot = Self::place_of(key);
        let level = self.table.try_get(slot)?;
        let is_new = level.orders == 0;
        // Levels of this place elsewhere, or that of another price in it.
        let in_the_way = select_unpredictable(is_new, level.others, level.rank ^ key.1);
        if in_the_way | u32::from(self.live >= self.capacity) != 0 {
            return self.seat_beyond(key, slot, is_new);
        }
        Some(Seat { slot, is_new, beyond: None })
    }

    #[cold]
    fn seat_beyond(&self, key: (BookSide, u32), place: u32, is_free: bool) -> Option<Seat> {
        if !is_free && self.get(place).rank == key.1 {
            return Some(Seat { slot: place, is_new: false, beyond: None });
        }
        match self.table.locate(key) {
            Located::Found(slot) => Some(Seat { slot, is_new: false, beyond: None }),
            _ if self.live >= self.capacity => None,
            _ if is_free => Some(Seat { slot: place, is_new: true, beyond: None }),
            Located::Vacant(vacancy) => Some(Seat { slot: vacancy.slot(), is_new: true, beyond: Some(vacancy) }),
            Located::Full => None,
        }
    }

    #[inline(always)]
    fn is_place(&self, slot: u32) -> bool {
        (slot >> LevelLine::INDEX_BITS) < self.table.first_line() as u32
    }

    /// The level of `key`, for which `seat` was found; a new one has no orders yet and must get one.
    #[inline(always)]
    pub(super) fn take_seat(&mut self, seat: Seat, key: (BookSide, u32)) -> &mut Level {
        self.live += usize::from(seat.is_new);
        if let Some(vacancy) = seat.beyond {
            self.begin_beyond(vacancy, key);
        }
        let level = self.get_mut(seat.slot);
        (level.book, level.rank) = key;
        level
    }

    #[cold]
    fn begin_beyond(&mut self, vacancy: Vacancy, key: (BookSide, u32)) {
        self.count_other(key, 1);
        self.table.occupy(vacancy, Level::begun(key));
    }

    /// The level in `slot` lost an order; if it was the last one (`is_gone`) there is no such level any more.
    #[inline(always)]
    pub(super) fn leave_seat(&mut self, slot: u32, is_gone: bool) {
        self.live -= usize::from(is_gone);
        if !self.is_place(slot) {
            self.leave_beyond(slot, is_gone);
        }
    }

    #[cold]
    fn leave_beyond(&mut self, slot: u32, is_gone: bool) {
        if is_gone {
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
                match levels.seat(key) {
                    Some(seat) if seat.is_new() => {
                        prop_assert!(!model.contains_key(&rank));
                        let level = levels.take_seat(seat, key);
                        prop_assert_eq!((level.orders, level.quantity), (0, 0));
                        (level.orders, level.head) = (1, rank);
                        model.insert(rank, seat.slot());
                    }
                    Some(seat) => {
                        prop_assert_eq!(model.get(&rank), Some(&seat.slot()));
                        prop_assert_eq!(levels.get(seat.slot()).rank, rank);
                        if what == 0 {
                            levels.get_mut(seat.slot()).orders = 0;
                            levels.leave_seat(seat.slot(), true);
                            model.remove(&rank);
                        }
                    }
                    None => prop_assert_eq!(model.len(), 40),
                }
                prop_assert_eq!(levels.live(), model.len());
                for (rank, slot) in &model {
                    prop_assert_eq!(levels.find((BOOK, *rank)), Some(*slot));
                    prop_assert_eq!(levels.get(*slot).head, *rank);
                }
            }
            for slot in model.values() {
                levels.get_mut(*slot).orders = 0;
                levels.leave_seat(*slot, true);
            }
            let all = (0..2 * (2 * NEAR + 67) as u32).map(|slot| levels.get(slot));
            prop_assert!(all.into_iter().all(|level| level.orders == 0 && level.others == 0));
            prop_assert_eq!(levels.table.live(), 0);
        }
    }
}
