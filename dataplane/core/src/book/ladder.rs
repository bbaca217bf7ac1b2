//! The prices of every side in order: a B+ tree a side, all in one pool of two-cache-line nodes.
//!
//! Only the making and the emptying of a level come here; orders that join or leave a level that stays do not. Ranks are
//! 32 bits, greater is better, so the best is the rightmost. A side of up to thirty prices is a single leaf. Nodes are
//! given back when empty and not before: simple, and a side whose prices wander empties the nodes it leaves.

use tern_abi::arena::Arena;
use zerocopy::FromZeros;

const LEAF_MAX: usize = 30;
/// So few that an inner node's first cache line holds all that a search reads.
const INNER_MAX: usize = 7;
/// Deepest tree. Half-full nodes reach ten levels with six million prices on one side; only a crafted sequence gets to
/// this bound, and is refused there.
const HEIGHT_MAX: usize = 16;
/// Pads the unused end of the sorted words, so that a search needs no length.
const PAD: u32 = u32::MAX;

/// A node. A leaf has up to thirty ranks; an inner node seven lower bounds, then seven children.
#[repr(C, align(128))]
#[derive(Clone, Copy, Debug, FromZeros)]
pub(super) struct Node {
    /// Ranks or children.
    length: u16,
    /// 0 for a leaf.
    height: u16,
    /// Next free node while this one is free.
    next_free: u32,
    words: [u32; LEAF_MAX],
}

impl Node {
    /// Number of ranks below `rank`.
    #[inline(always)]
    fn below(&self, rank: u32) -> usize {
        self.words.iter().map(|word| usize::from(*word < rank)).sum()
    }
    /// The child under which `rank` is. The first child takes everything below its bound too: the child that was first
    /// may have gone, and its bound with it. [`Ladders::insert`] lowers the bound before such a rank comes in.
    #[inline(always)]
    fn child_of(&self, rank: u32) -> usize {
        let bounds = &self.words[..INNER_MAX];
        let not_above: usize = bounds.iter().map(|word| usize::from(*word <= rank)).sum();
        not_above.min(self.length as usize).saturating_sub(1)
    }
    #[inline(always)]
    fn child(&self, at: usize) -> u32 {
        self.words[INNER_MAX + at]
    }
    #[inline(always)]
    fn last(&self) -> usize {
        (self.length as usize).saturating_sub(1)
    }
    fn is_full(&self) -> bool {
        self.length as usize == if self.height == 0 { LEAF_MAX } else { INNER_MAX }
    }

    /// Moves words by selection rather than by `memmove`: short, of unpredictable length, and two cache lines at most.
    #[inline(always)]
    fn insert_rank(&mut self, at: usize, rank: u32) {
        let old = self.words;
        for (index, word) in self.words.iter_mut().enumerate().skip(1) {
            *word = if index > at { old[index - 1] } else { old[index] };
        }
        self.words[at] = rank;
        self.length += 1;
    }
    #[inline(always)]
    fn remove_rank(&mut self, at: usize) {
        let old = self.words;
        for (index, word) in self.words.iter_mut().enumerate().take(LEAF_MAX - 1) {
            *word = if index >= at { old[index + 1] } else { old[index] };
        }
        self.words[LEAF_MAX - 1] = PAD;
        self.length -= 1;
    }
    fn insert_child(&mut self, at: usize, bound: u32, child: u32) {
        let length = self.length as usize;
        self.words.copy_within(at..length, at + 1);
        self.words.copy_within(INNER_MAX + at..INNER_MAX + length, INNER_MAX + at + 1);
        self.words[at] = bound;
        self.words[INNER_MAX + at] = child;
        self.length += 1;
    }
    fn remove_child(&mut self, at: usize) {
        let length = self.length as usize;
        self.words.copy_within(at + 1..length, at);
        self.words[length - 1] = PAD;
        self.words.copy_within(INNER_MAX + at + 1..INNER_MAX + length, INNER_MAX + at);
        self.length -= 1;
    }
    /// Moves the upper half into `right`, an empty node of the same height.
    fn split_into(&mut self, right: &mut Node) {
        let length = self.length as usize;
        let keep = length.div_ceil(2);
        right.words[..length - keep].copy_from_slice(&self.words[keep..length]);
        self.words[keep..length].fill(PAD);
        if self.height != 0 {
            let children = &self.words[INNER_MAX + keep..INNER_MAX + length];
            right.words[INNER_MAX..INNER_MAX + length - keep].copy_from_slice(children);
        }
        right.length = (length - keep) as u16;
        self.length = keep as u16;
    }
}

/// The way from the root to a leaf: nodes and the child taken in each, root last.
struct Path {
    nodes: [u32; HEIGHT_MAX],
    taken: [u8; HEIGHT_MAX],
    height: usize,
}

/// The pool of nodes; see the module.
#[derive(Debug)]
pub(super) struct Ladders {
    nodes: Arena<Node>,
    /// Nodes never used so far start here.
    fresh: usize,
    free: u32,
    free_count: usize,
}

impl Ladders {
    /// No sides, all nodes free.
    pub(super) fn new(nodes: Arena<Node>) -> Self {
        Self { nodes, fresh: 0, free: 0, free_count: 0 }
    }

    fn available(&self) -> usize {
        self.nodes.len() - self.fresh + self.free_count
    }
    fn allocate(&mut self, height: u16) -> Option<u32> {
        let id = if self.free_count != 0 {
            let id = self.free;
            self.free = self.nodes[id as usize].next_free;
            self.free_count -= 1;
            id
        } else {
            let id = self.fresh;
            if id >= self.nodes.len() {
                return None;
            }
            self.fresh += 1;
            id as u32
        };
        self.nodes[id as usize] = Node { words: [PAD; LEAF_MAX], length: 0, height, next_free: 0 };
        Some(id)
    }
    fn release(&mut self, id: u32) {
        self.nodes[id as usize].next_free = self.free;
        self.free = id;
        self.free_count += 1;
    }
    #[inline(always)]
    fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize]
    }

    #[inline(always)]
    fn descend(&self, root: u32, rank: u32) -> Path {
        let mut node = root;
        let mut path = Path {
            nodes: [root; HEIGHT_MAX],
            taken: [0; HEIGHT_MAX],
            height: (self.node(root).height as usize).min(HEIGHT_MAX - 1),
        };
        for height in (1..=path.height).rev() {
            let taken = self.node(node).child_of(rank);
            path.nodes[height] = node;
            path.taken[height] = taken as u8;
            node = self.node(node).child(taken);
        }
        path.nodes[0] = node;
        path
    }

    /// Adds `rank`, which is not there yet, to the side of `root`. The side's new root, or `None`, with nothing changed,
    /// when the nodes do not suffice.
    pub(super) fn insert(&mut self, root: Option<u32>, rank: u32) -> Option<u32> {
        let Some(root) = root else {
            let leaf = self.allocate(0)?;
            self.nodes[leaf as usize].insert_rank(0, rank);
            return Some(leaf);
        };
        let path = self.descend(root, rank);
        self.lower_bounds(&path, rank);
        let leaf = path.nodes[0];
        if !self.node(leaf).is_full() {
            let at = self.node(leaf).below(rank);
            self.nodes[leaf as usize].insert_rank(at, rank);
            return Some(root);
        }
        // Every node on the way may split, and the root may get a new one above it.
        if path.height + 1 == HEIGHT_MAX || self.available() < path.height + 2 {
            return None;
        }
        let (mut bound, mut right) = self.split(leaf)?;
        let half = if rank < bound { leaf } else { right };
        let at = self.node(half).below(rank);
        self.nodes[half as usize].insert_rank(at, rank);
        for height in 1..=path.height {
            let parent = path.nodes[height];
            let at = path.taken[height] as usize + 1;
            if !self.node(parent).is_full() {
                self.nodes[parent as usize].insert_child(at, bound, right);
                return Some(root);
            }
            let (upper_bound, upper) = self.split(parent)?;
            let kept = self.node(parent).length as usize;
            if at <= kept {
                self.nodes[parent as usize].insert_child(at, bound, right);
            } else {
                self.nodes[upper as usize].insert_child(at - kept, bound, right);
            }
            (bound, right) = (upper_bound, upper);
        }
        let above = self.allocate(path.height as u16 + 1)?;
        self.nodes[above as usize].insert_child(0, 0, root);
        self.nodes[above as usize].insert_child(1, bound, right);
        Some(above)
    }

    /// Every bound on the way is at most `rank` afterwards. Without it the child that takes what is below its bound could
    /// split below it, and the bounds of its parent would be out of order.
    fn lower_bounds(&mut self, path: &Path, rank: u32) {
        for (node, taken) in path.nodes.iter().zip(path.taken).take(path.height + 1).skip(1) {
            let bound = &mut self.nodes[*node as usize].words[taken as usize % INNER_MAX];
            *bound = rank.min(*bound);
        }
    }

    /// Splits `id`; the new right half and its lower bound.
    fn split(&mut self, id: u32) -> Option<(u32, u32)> {
        let right = self.allocate(self.node(id).height)?;
        let mut left = *self.node(id);
        left.split_into(&mut self.nodes[right as usize]);
        self.nodes[id as usize] = left;
        Some((self.node(right).words[0], right))
    }

    /// Takes `rank` out of the side of `root`. The side's new root, `None` when it is empty.
    pub(super) fn remove(&mut self, root: u32, rank: u32) -> Option<u32> {
        let path = self.descend(root, rank);
        let leaf = path.nodes[0];
        let at = self.node(leaf).below(rank);
        let held = at < self.node(leaf).length as usize && self.node(leaf).words[at] == rank;
        debug_assert!(held, "a level without its rank in the ladder");
        if !held {
            return Some(root);
        }
        self.nodes[leaf as usize].remove_rank(at);
        let mut height = 0;
        while self.node(path.nodes[height]).length == 0 {
            self.release(path.nodes[height]);
            if height == path.height {
                return None;
            }
            height += 1;
            self.nodes[path.nodes[height] as usize].remove_child(path.taken[height] as usize);
        }
        let mut root = root;
        while self.node(root).height != 0 && self.node(root).length == 1 {
            let only = self.node(root).child(0);
            self.release(root);
            root = only;
        }
        Some(root)
    }

    /// The best rank of the side of `root`.
    pub(super) fn best(&self, root: u32) -> u32 {
        let mut node = self.node(root);
        while node.height != 0 {
            node = self.node(node.child(node.last()));
        }
        node.words[node.last()]
    }

    /// The next worse rank below `rank` in the side of `root`.
    pub(super) fn worse(&self, root: u32, rank: u32) -> Option<u32> {
        let mut node = self.node(root);
        let mut left = None;
        while node.height != 0 {
            let taken = node.child_of(rank);
            if let Some(before) = taken.checked_sub(1) {
                left = Some(node.child(before));
            }
            node = self.node(node.child(taken));
        }
        match node.below(rank).checked_sub(1) {
            Some(at) => Some(node.words[at]),
            None => left.map(|left| self.best(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{Heap, Memory};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    /// A side of one ladder beside a set of the same ranks.
    struct Both {
        ladders: Ladders,
        root: Option<u32>,
        model: BTreeSet<u32>,
    }

    impl Both {
        fn new() -> Self {
            Self { ladders: Ladders::new(Heap.arena(4_000)), root: None, model: BTreeSet::new() }
        }
        fn insert(&mut self, rank: u32) {
            if self.model.insert(rank) {
                let root = self.ladders.insert(self.root, rank);
                assert!(root.is_some(), "room for {rank}");
                self.root = root;
            }
        }
        fn remove(&mut self, rank: u32) {
            if self.model.remove(&rank)
                && let Some(root) = self.root
            {
                self.root = self.ladders.remove(root, rank);
            }
        }
        /// The same ranks from the best to the worst, and every bound in order and at most what lies under it.
        fn check(&self) {
            let Some(root) = self.root else { return assert!(self.model.is_empty(), "ranks without a root") };
            let best = Some(self.ladders.best(root));
            let found: Vec<u32> = std::iter::successors(best, |rank| self.ladders.worse(root, *rank)).collect();
            assert_eq!(found, self.model.iter().rev().copied().collect::<Vec<u32>>());
            self.check_node(root);
        }
        /// The least rank under `id`.
        fn check_node(&self, id: u32) -> u32 {
            let node = self.ladders.node(id);
            let length = node.length as usize;
            assert!(length != 0, "an empty node in the tree");
            let within = if node.height == 0 { LEAF_MAX } else { INNER_MAX };
            assert!(node.words[..length].is_sorted_by(|a, b| a < b), "{node:?}");
            assert!(node.words[length..within].iter().all(|word| *word == PAD), "{node:?}");
            if node.height == 0 {
                return node.words[0];
            }
            let least: Vec<u32> = (0..length).map(|at| self.check_node(node.child(at))).collect();
            assert!(node.words.iter().zip(&least).all(|(bound, least)| bound <= least), "{node:?} {least:?}");
            least[0]
        }
    }

    #[test]
    fn what_comes_back_below_a_first_leaf_that_went_is_found() {
        let mut both = Both::new();
        (1_000..1_200).for_each(|rank| both.insert(rank));
        // The first leaves empty, and their bounds go with them.
        (1_000..1_050).for_each(|rank| both.remove(rank));
        both.check();
        // Enough below for the leaf that takes them to split, then all of it goes, from the middle of the new leaves.
        (900..1_050).rev().for_each(|rank| {
            both.insert(rank);
            both.check();
        });
        (900..1_200).rev().step_by(2).chain((900..1_200).step_by(2)).for_each(|rank| {
            both.remove(rank);
            both.check();
        });
        assert_eq!(both.root, None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Runs of neighbours come and go as a whole, so that leaves and inner nodes empty at either end and in between.
        #[test]
        fn agrees_with_a_set(
            runs in proptest::collection::vec((any::<bool>(), any::<bool>(), 0_u32..60, 1_u32..200), 1..80)
        ) {
            let mut both = Both::new();
            for (comes, upwards, at, length) in runs {
                let run = at * 40..at * 40 + length;
                let ranks: Vec<u32> = if upwards { run.collect() } else { run.rev().collect() };
                ranks.iter().for_each(|rank| if comes { both.insert(*rank) } else { both.remove(*rank) });
                both.check();
            }
        }
    }
}
