//! The prices of every side in order: a window of ticks as bits, in one cache line a side, and the rest in a tree
//! ([`ladder`](super::ladder)).
//!
//! A price that comes or goes within the window, where nearly all do, is a bit that is set or cleared, and the next best
//! price is the next bit. Prices outside of the window, or between two ticks, are in the tree. The window follows the
//! best price, but not each time that it leaves: what it costs to move it has to be earned by prices that missed it.

use super::ladder::Ladders;
use super::level::TICK;
use super::order::BookSide;
use core::hint::select_unpredictable;
use tern_abi::arena::Arena;
use tern_abi::prefetch::prefetch_slice;
use zerocopy::FromZeros;

const WORDS: usize = 6;
/// Ticks of a window.
const WINDOW: u32 = WORDS as u32 * 64;
/// Where the best price is put when the window is moved: there is more behind it than there will be in front of it.
const BEST_AT: u32 = WINDOW * 3 / 4;
/// The window stays as long as the best price is in this part of it.
const WELL_PLACED: core::ops::Range<u32> = WINDOW / 3..WINDOW;
/// Prices that miss a badly placed window before it is moved: a move may take as many steps in the tree as there are
/// ticks.
const MISSES_MAX: u32 = 32;

/// The prices of a side, as ranks.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, FromZeros)]
pub(super) struct Near {
    /// A bit a tick from `base` on.
    bits: [u64; WORDS],
    /// The rank of the first bit.
    base: u32,
    /// Root of the tree of all other prices, plus 1; 0 when there is none.
    far: u32,
    /// The best price in the tree, if there is one.
    far_best: u32,
    /// Prices that missed the window since it was moved and could have been moved.
    misses: u32,
}

impl Near {
    /// The bit of `rank`, if it is one of the window's.
    #[inline(always)]
    const fn bit_of(&self, rank: u32) -> Option<u32> {
        let above = rank.wrapping_sub(self.base);
        let tick = above / TICK;
        // Both at once: of two branches each would be guessed.
        if (tick < WINDOW) & (tick * TICK == above) { Some(tick) } else { None }
    }
    /// The word that a bit is in.
    #[inline(always)]
    fn word(&mut self, bit: u32) -> &mut u64 {
        &mut self.bits[(bit / 64) as usize % WORDS]
    }
    #[inline(always)]
    fn set(&mut self, bit: u32) {
        *self.word(bit) |= 1 << (bit % 64);
    }
    #[inline(always)]
    fn has(&self, bit: u32) -> bool {
        self.bits[(bit / 64) as usize % WORDS] >> (bit % 64) & 1 != 0
    }
    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.bits.iter().fold(0, |all, word| all | word) == 0
    }
    /// The highest bit below `end`, at most [`WINDOW`].
    #[inline(always)]
    fn last_below(&self, end: u32) -> Option<u32> {
        let (word, rest) = ((end / 64) as usize, end % 64);
        let partly = self.bits.get(word).map_or(0, |bits| bits & ((1 << rest) - 1));
        if partly != 0 {
            return Some(end / 64 * 64 + partly.ilog2());
        }
        let before = self.bits.get(..word)?;
        before.iter().rposition(|bits| *bits != 0).map(|word| word as u32 * 64 + before[word].ilog2())
    }
    #[inline(always)]
    fn rank(&self, bit: u32) -> u32 {
        self.base + bit * TICK
    }
    #[inline(always)]
    const fn root(&self) -> Option<u32> {
        self.far.checked_sub(1)
    }
    /// The best price of those in the window and those in the tree.
    #[inline(always)]
    fn best(&self) -> Option<u32> {
        let near = self.last_below(WINDOW).map(|bit| self.rank(bit));
        if self.far == 0 { near } else { Some(near.map_or(self.far_best, |near| near.max(self.far_best))) }
    }
    /// Counts a price that missed the window; whether it is time to move it.
    fn missed(&mut self) -> bool {
        let is_well_placed = self.best().is_some_and(|best| {
            let tick = best.wrapping_sub(self.base) / TICK;
            WELL_PLACED.contains(&tick)
        });
        self.misses += u32::from(!is_well_placed);
        self.misses > MISSES_MAX
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Prices {
    sides: Arena<Near>,
    trees: Ladders,
}

impl Prices {
    /// Sides of no price over the given memory, zeroed.
    pub(super) fn new(sides: Arena<Near>, trees: Ladders) -> Self {
        Self { sides, trees }
    }

    /// Adds `rank` if it is new, which nobody can predict, else it is there; `false`, with nothing changed, when it does not
    /// fit.
    #[inline(always)]
    pub(super) fn insert(&mut self, book: BookSide, rank: u32, is_new: bool) -> bool {
        let Some(near) = self.sides.get_mut(book.index()) else { return false };
        match near.bit_of(rank) {
            Some(bit) => {
                *near.word(bit) |= u64::from(is_new) << (bit % 64);
                true
            }
            None => !is_new || self.insert_far(book, rank),
        }
    }

    #[cold]
    fn insert_far(&mut self, book: BookSide, rank: u32) -> bool {
        let near = &mut self.sides[book.index()];
        if near.far == 0 && near.is_empty() {
            // The first price of a side says where its window is.
            near.base = base_for(rank);
            if let Some(bit) = near.bit_of(rank) {
                near.set(bit);
                return true;
            }
        }
        let Some(root) = self.trees.insert(near.root(), rank) else { return false };
        near.far_best = if near.far == 0 { rank } else { near.far_best.max(rank) };
        near.far = root + 1;
        if near.missed() {
            self.move_window(book);
        }
        true
    }

    /// Takes `rank`, which is there, out if it is gone, which nobody can predict.
    #[inline(always)]
    pub(super) fn remove(&mut self, book: BookSide, rank: u32, is_gone: bool) {
        let Some(near) = self.sides.get_mut(book.index()) else { return };
        match near.bit_of(rank) {
            Some(bit) => {
                debug_assert!(near.has(bit), "a level without its rank among the prices");
                let word = near.word(bit);
                *word &= !(u64::from(is_gone) << (bit % 64));
                // A window in which nothing is left says nothing about where the next price will be.
                if (*word == 0) & (near.far != 0) && near.is_empty() {
                    self.move_window(book);
                }
            }
            None if is_gone => self.remove_far(book, rank),
            None => {}
        }
    }

    #[cold]
    fn remove_far(&mut self, book: BookSide, rank: u32) {
        let near = &mut self.sides[book.index()];
        let Some(root) = near.root() else {
            debug_assert!(false, "a level without its rank among the prices");
            return;
        };
        near.far = self.trees.remove(root, rank).map_or(0, |root| root + 1);
        if rank == near.far_best
            && let Some(root) = near.root()
        {
            near.far_best = self.trees.best(root);
        }
        if near.far != 0 && near.missed() {
            self.move_window(book);
        }
    }

    /// Moves the window to where the best price is. What does not fit into the tree stays where it is, and so does the
    /// window.
    #[cold]
    fn move_window(&mut self, book: BookSide) {
        let near = &mut self.sides[book.index()];
        near.misses = 0;
        let Some(best) = near.best() else { return };
        let (old, base) = (*near, base_for(best));
        if base == old.base {
            return;
        }
        let moved = Near { base, bits: [0; WORDS], ..old };
        // Out of the old window: into the new one, or into the tree.
        let mut next = moved;
        let mut end = WINDOW;
        while let Some(bit) = old.last_below(end) {
            end = bit;
            let rank = old.rank(bit);
            match next.bit_of(rank) {
                Some(bit) => next.set(bit),
                None => match self.trees.insert(next.root(), rank) {
                    Some(root) => next.far = root + 1,
                    None => return self.give_up_move(book, old, next, end),
                },
            }
        }
        // Out of the tree: what lies in the new window, from its upper end down.
        let mut at = base + WINDOW * TICK;
        while let Some(root) = next.root()
            && let Some(rank) = self.trees.worse(root, at)
            && rank >= base
        {
            at = rank;
            if let Some(bit) = next.bit_of(rank) {
                next.far = self.trees.remove(root, rank).map_or(0, |root| root + 1);
                next.set(bit);
            }
        }
        next.far_best = next.root().map_or(0, |root| self.trees.best(root));
        self.sides[book.index()] = next;
    }

    /// The tree did not take the bit `failed`: what it took of the old window before comes out again.
    fn give_up_move(&mut self, book: BookSide, old: Near, next: Near, failed: u32) {
        let mut near = Near { far: next.far, ..old };
        let mut end = WINDOW;
        while let Some(bit) = old.last_below(end).filter(|bit| *bit > failed) {
            end = bit;
            let rank = old.rank(bit);
            if next.bit_of(rank).is_none()
                && let Some(root) = near.root()
            {
                near.far = self.trees.remove(root, rank).map_or(0, |root| root + 1);
            }
        }
        self.sides[book.index()] = near;
    }

    /// The best rank of a side.
    #[inline(always)]
    pub(super) fn best(&self, book: BookSide) -> Option<u32> {
        self.sides.get(book.index())?.best()
    }
    /// The next worse rank below `rank`.
    #[inline]
    pub(super) fn worse(&self, book: BookSide, rank: u32) -> Option<u32> {
        let near = self.sides.get(book.index())?;
        let end = rank.checked_sub(near.base).map_or(0, |above| above.div_ceil(TICK).min(WINDOW));
        let in_window = near.last_below(end).map(|bit| near.rank(bit));
        match near.root() {
            None => in_window,
            Some(root) => in_window.max(self.trees.worse(root, rank)),
        }
    }

    /// [`worse`](Self::worse), as far as the side's line tells.
    #[inline(always)]
    pub(super) fn worse_near(&self, book: BookSide, rank: u32) -> Option<u32> {
        let near = self.sides.get(book.index())?;
        near.last_below(near.bit_of(rank)?).map(|bit| near.rank(bit))
    }

    /// Asks for the line of a side.
    #[inline(always)]
    pub(super) fn prefetch(&self, book: BookSide) {
        prefetch_slice(&self.sides, book.index());
    }
    /// The same if it is wanted, which nobody can predict.
    #[inline(always)]
    pub(super) fn prefetch_if(&self, is_wanted: bool, book: BookSide) {
        prefetch_slice(&self.sides, select_unpredictable(is_wanted, book.index(), 0));
    }
}

/// The first rank of a window for a side whose best price is `best`, on the same ticks. The window ends before the ranks
/// do.
const fn base_for(best: u32) -> u32 {
    const BASE_MAX: u32 = u32::MAX - WINDOW * TICK;
    let below = best / TICK;
    let base = best - TICK * if below < BEST_AT { below } else { BEST_AT };
    base - base.saturating_sub(BASE_MAX).next_multiple_of(TICK)
}

#[cfg(test)]
mod tests {
    use super::super::memory::{Heap, Memory};
    use super::*;
    use crate::units::Side;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    const BOOK: BookSide = BookSide::new(1, Side::Sell);

    fn prices(nodes: usize) -> Prices {
        Prices::new(Heap.arena(4), Ladders::new(Heap.arena(nodes)))
    }
    fn all(prices: &Prices) -> Vec<u32> {
        let mut ranks: Vec<u32> = std::iter::successors(prices.best(BOOK), |rank| prices.worse(BOOK, *rank)).collect();
        ranks.reverse();
        ranks
    }
    fn check(prices: &Prices, model: &BTreeSet<u32>) {
        assert_eq!(prices.best(BOOK), model.last().copied());
        assert_eq!(all(prices), model.iter().copied().collect::<Vec<u32>>());
    }

    proptest! {
        /// Prices in a few neighbourhoods, each as wide as a window or narrow, on the tick and off it, also at both ends of
        /// what a price can be; the best goes again and again.
        #[test]
        fn agrees_with_a_set(
            steps in proptest::collection::vec((0_usize..6, 0_u32..400, 0_u32..12, 0_u32..6), 0..900)
        ) {
            let (mut prices, mut model) = (prices(400), BTreeSet::new());
            let origins = [0, 70, 200_000, 230_000, 3_000_000_050, u32::MAX - 45_000];
            for (origin, tick, off, what) in steps {
                let rank = origins[origin] + tick * TICK + if off > 9 { off } else { 0 };
                if what == 0 {
                    if let Some(best) = model.pop_last() {
                        prices.remove(BOOK, best, true);
                    }
                } else if model.remove(&rank) {
                    prices.remove(BOOK, rank, true);
                } else {
                    prop_assert!(prices.insert(BOOK, rank, true));
                    model.insert(rank);
                }
                prop_assert_eq!(prices.best(BOOK), model.last().copied());
            }
            check(&prices, &model);
        }
    }

    #[test]
    fn the_window_follows_the_best_price() {
        let (mut prices, mut model) = (prices(400), BTreeSet::new());
        // Up by two thousand ticks with a tail behind it, then down again as the front is taken away.
        for tick in 1000..3000 {
            for behind in [0, 7, 300] {
                let rank = (tick - behind) * TICK;
                if model.insert(rank) {
                    assert!(prices.insert(BOOK, rank, true));
                }
            }
        }
        check(&prices, &model);
        let near = prices.sides[BOOK.index()];
        assert!(near.bit_of(2999 * TICK).is_some_and(|bit| WELL_PLACED.contains(&bit)), "{near:?}");
        while let Some(best) = model.pop_last() {
            prices.remove(BOOK, best, true);
            if model.len() % 50 == 0 {
                check(&prices, &model);
            }
        }
        assert_eq!(prices.best(BOOK), None);
    }

    #[test]
    fn a_far_price_that_comes_and_goes_moves_nothing() {
        let mut prices = prices(400);
        (0..200).for_each(|tick| assert!(prices.insert(BOOK, 1_000_000 + tick * TICK, true)));
        let base = prices.sides[BOOK.index()].base;
        for _ in 0..MISSES_MAX / 2 {
            assert!(prices.insert(BOOK, 9_000_000, true));
            assert_eq!(prices.best(BOOK), Some(9_000_000));
            prices.remove(BOOK, 9_000_000, true);
            assert_eq!(prices.best(BOOK), Some(1_000_000 + 199 * TICK));
        }
        assert_eq!(prices.sides[BOOK.index()].base, base);
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        // One leaf of thirty, and its split would need two nodes more.
        let mut prices = prices(1);
        assert!(prices.insert(BOOK, 5_000_000, true));
        let held: Vec<u32> = (10..100).take_while(|rank| prices.insert(BOOK, *rank * TICK, true)).collect();
        assert_eq!(held.len(), 30);
        assert!(!prices.insert(BOOK, 1, true), "nor a worse one");
        // The window would move up, but the tree has no room for what it would leave behind.
        let behind = 5_000_000 - (BEST_AT - 1) * TICK;
        assert!(prices.insert(BOOK, behind, true));
        (1..WINDOW / 4).for_each(|tick| assert!(prices.insert(BOOK, 5_000_000 + tick * TICK, true)));
        prices.move_window(BOOK);
        let mut expected: Vec<u32> = held.iter().map(|rank| rank * TICK).chain([behind]).collect();
        expected.extend((0..WINDOW / 4).map(|tick| 5_000_000 + tick * TICK));
        assert_eq!(all(&prices), expected);
    }
}
