//! The prices of every side in order: the best fourteen in one cache line a side, at an address that instrument and side
//! give, and the rest, if there are more, in a tree ([`ladder`](super::ladder)).
//!
//! What happens at the top of a book, where an order of ours may be the answer, so waits for one line, and that line can
//! be asked for as soon as the message is seen. The tree is touched when a side has more than fourteen prices and one of
//! the deep ones comes or goes.

use super::ladder::Ladders;
use super::level::BookSide;
use tern_abi::arena::Arena;
use tern_abi::prefetch::prefetch_slice;
use zerocopy::FromZeros;

const NEAR_MAX: usize = 14;
/// With fewer than this many near prices left, more are fetched from the tree: the best and the next are always near.
const NEAR_LOW: usize = 3;
/// So many near prices are there afterwards: room for as many new ones before the tree is needed again.
const NEAR_REFILLED: usize = 8;
/// Fills the unused end of the ranks, so that a search needs no length.
const PAD: u32 = u32::MAX;

/// The best prices of a side, worst first, as ranks.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, FromZeros)]
pub(super) struct Near {
    length: u32,
    /// Root of the tree of the prices worse than these, plus 1; 0 when there is none.
    far: u32,
    ranks: [u32; NEAR_MAX],
}

impl Near {
    const EMPTY: Near = Near { length: 0, far: 0, ranks: [PAD; NEAR_MAX] };

    #[inline(always)]
    fn len(&self) -> usize {
        self.length as usize
    }
    /// Number of ranks below `rank`.
    #[inline(always)]
    fn below(&self, rank: u32) -> usize {
        self.ranks.iter().map(|word| usize::from(*word < rank)).sum()
    }
    #[inline(always)]
    fn holds(&self, at: usize, rank: u32) -> bool {
        at < self.len() && self.ranks.get(at) == Some(&rank)
    }
    /// Moves ranks by selection rather than by `memmove`: one line, and a length that cannot be predicted.
    #[inline(always)]
    fn insert(&mut self, at: usize, rank: u32) {
        let old = self.ranks;
        for (index, word) in self.ranks.iter_mut().enumerate().skip(1) {
            *word = if index > at { old[index - 1] } else { old[index] };
        }
        self.ranks[at] = rank;
        self.length += 1;
    }
    #[inline(always)]
    fn remove(&mut self, at: usize) {
        let old = self.ranks;
        for (index, word) in self.ranks.iter_mut().enumerate().take(NEAR_MAX - 1) {
            *word = if index >= at { old[index + 1] } else { old[index] };
        }
        self.ranks[NEAR_MAX - 1] = PAD;
        self.length -= 1;
    }
    #[inline(always)]
    fn best(&self) -> Option<u32> {
        self.ranks.get(self.len().wrapping_sub(1)).copied()
    }
    #[inline(always)]
    fn root(&self) -> Option<u32> {
        self.far.checked_sub(1)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Prices {
    sides: Arena<Near>,
    trees: Ladders,
}

impl Prices {
    /// Sides of no price over the given memory.
    pub(super) fn new(mut sides: Arena<Near>, trees: Ladders) -> Self {
        sides.fill(Near::EMPTY);
        Self { sides, trees }
    }

    /// Adds `rank`, which is not there yet; `false`, with nothing changed, when it does not fit.
    #[inline]
    pub(super) fn insert(&mut self, book: BookSide, rank: u32) -> bool {
        let Some(near) = self.sides.get_mut(book.index()) else { return false };
        let at = near.below(rank);
        let is_far = at == 0 && near.far != 0;
        if near.len() < NEAR_MAX && !is_far {
            near.insert(at, rank);
            return true;
        }
        // The worst of the prices goes to the tree: this one, or the one that makes room for it.
        let worst = if at == 0 { rank } else { near.ranks[0] };
        let Some(root) = self.trees.insert(near.root(), worst) else { return false };
        near.far = root + 1;
        if at != 0 {
            near.remove(0);
            near.insert(at - 1, rank);
        }
        true
    }

    /// Takes `rank` out.
    #[inline]
    pub(super) fn remove(&mut self, book: BookSide, rank: u32) {
        let Some(near) = self.sides.get_mut(book.index()) else { return };
        let at = near.below(rank);
        if near.holds(at, rank) {
            near.remove(at);
            if near.far != 0 && near.len() < NEAR_LOW {
                self.refill(book);
            }
        } else if let Some(root) = near.root() {
            near.far = self.trees.remove(root, rank).map_or(0, |root| root + 1);
        } else {
            debug_assert!(false, "a level without its rank among the prices");
        }
    }

    #[cold]
    fn refill(&mut self, book: BookSide) {
        let near = &mut self.sides[book.index()];
        while near.len() < NEAR_REFILLED
            && let Some(root) = near.root()
        {
            let best = self.trees.best(root);
            near.far = self.trees.remove(root, best).map_or(0, |root| root + 1);
            near.insert(0, best);
        }
    }

    /// The best rank of a side.
    #[inline(always)]
    pub(super) fn best(&self, book: BookSide) -> Option<u32> {
        self.sides.get(book.index())?.best()
    }
    /// The second best rank of a side.
    #[inline(always)]
    pub(super) fn second(&self, book: BookSide) -> Option<u32> {
        let near = self.sides.get(book.index())?;
        near.ranks.get(near.len().wrapping_sub(2)).copied()
    }
    /// The next worse rank below `rank`.
    pub(super) fn worse(&self, book: BookSide, rank: u32) -> Option<u32> {
        let near = self.sides.get(book.index())?;
        match (near.below(rank).checked_sub(1), near.root()) {
            (Some(at), _) => near.ranks.get(at).copied(),
            (None, Some(root)) if near.ranks[0] == rank => Some(self.trees.best(root)),
            (None, Some(root)) => self.trees.worse(root, rank),
            (None, None) => None,
        }
    }

    /// Asks for the line of a side.
    #[inline(always)]
    pub(super) fn prefetch(&self, book: BookSide) {
        prefetch_slice(&self.sides, book.index());
    }
    /// Asks for the part of the tree where `rank` is or would be, if it is not near; the side's line has arrived.
    #[inline(always)]
    pub(super) fn prefetch_far(&self, book: BookSide, rank: u32) {
        if let Some(near) = self.sides.get(book.index())
            && let Some(root) = near.root()
            && rank < near.ranks[0]
        {
            self.trees.prefetch_leaf(root, rank);
        }
    }
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

    proptest! {
        /// Few ranks, so that the same come and go; enough for a tree of two levels.
        #[test]
        fn agrees_with_a_set(steps in proptest::collection::vec((0_u32..120, 0_u32..5), 0..1500)) {
            let (mut prices, mut model) = (prices(64), BTreeSet::new());
            for (rank, what) in steps {
                if what == 0 {
                    // As trading does: the best goes.
                    if let Some(best) = model.pop_last() {
                        prop_assert_eq!(prices.best(BOOK), Some(best));
                        prices.remove(BOOK, best);
                    }
                } else if model.remove(&rank) {
                    prices.remove(BOOK, rank);
                } else {
                    prop_assert!(prices.insert(BOOK, rank));
                    model.insert(rank);
                }
                prop_assert_eq!(prices.best(BOOK), model.last().copied());
                prop_assert_eq!(prices.second(BOOK), model.iter().nth_back(1).copied());
            }
            prop_assert_eq!(all(&prices), model.into_iter().collect::<Vec<u32>>());
        }
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        // One leaf of thirty, and its split would need two nodes more.
        let mut prices = prices(1);
        let held: Vec<u32> = (10..1000).take_while(|rank| prices.insert(BOOK, *rank)).collect();
        assert_eq!(held.len(), NEAR_MAX + 30);
        assert!(!prices.insert(BOOK, 1), "nor a worse one");
        assert_eq!(all(&prices), held);
    }
}
