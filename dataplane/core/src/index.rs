//! A fixed-capacity hash index from a key that the caller keeps elsewhere to a `u32` place.
//!
//! Open addressing, linear probing, backward-shift deletion: no tombstones, no allocation, and the same operations give
//! the same layout on every run.
//!
//! Keys come in sequence (order ids, match numbers). Eight in a row share a cache line; the lines are spread, because
//! neighbouring lines would grow into one run, and a deletion walks to the end of its run.

use crate::book::Memory;
use tern_abi::arena::Arena;
use tern_abi::prefetch::prefetch_slice;

/// One entry; `place == EMPTY` means that there is none.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    place: u32,
}

/// No place.
const EMPTY: u32 = u32::MAX;

/// The index. Holds at most half as many entries as it has room for, so that probes stay short.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Index {
    entries: Arena<Entry>,
    mask: usize,
    length: usize,
    /// Bits of the product of [`home`](Self::home) that are not used.
    unused_bits: u32,
}

/// Consecutive keys in a line of 64 bytes, as a power of two.
const LINE_BITS: u32 = 3;

impl Index {
    /// An index for `capacity` entries.
    pub(crate) fn new(capacity: usize, memory: &mut impl Memory) -> Self {
        let room = (capacity.max(4) * 2).next_power_of_two();
        let unused_bits = u64::BITS + LINE_BITS - room.ilog2();
        let entries = memory.arena_of(room, &Entry { hash: 0, place: EMPTY });
        Self { entries, mask: room - 1, length: 0, unused_bits }
    }

    /// Where a probe for `hash` starts: lines spread by the golden ratio.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        let spread = u64::from(hash >> LINE_BITS).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let line = spread.checked_shr(self.unused_bits).unwrap_or(0) as usize;
        line << LINE_BITS | hash as usize & ((1 << LINE_BITS) - 1)
    }

    /// Asks for where the probe for `hash` starts.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u32) {
        prefetch_slice(&self.entries, self.home(hash));
    }

    /// The first place under `hash` that `is_it` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let entry = self.entries.get(at)?;
            if entry.place == EMPTY {
                return None;
            }
            if entry.hash == hash && is_it(entry.place) {
                return Some(entry.place);
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Adds `place` under `hash`; `false` when the index is full.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u32, place: u32) -> bool {
        if self.length * 2 > self.mask {
            return false;
        }
        let mut at = self.home(hash);
        while let Some(entry) = self.entries.get_mut(at) {
            if entry.place == EMPTY {
                *entry = Entry { hash, place };
                self.length += 1;
                return true;
            }
            at = (at + 1) & self.mask;
        }
        false
    }

    /// Removes `place` under `hash`, if it is there.
    pub(crate) fn remove(&mut self, hash: u32, place: u32) {
        let mut hole = self.home(hash);
        loop {
            match self.entries.get(hole) {
                Some(entry) if entry.place == EMPTY => return,
                Some(entry) if entry.hash == hash && entry.place == place => break,
                Some(_) => hole = (hole + 1) & self.mask,
                None => return,
            }
        }
        self.length -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let Some(&entry) = self.entries.get(at) else { return };
            if entry.place == EMPTY {
                break;
            }
            // An entry may fill the hole only if its own probe started at or before it.
            let distance_home = at.wrapping_sub(self.home(entry.hash)) & self.mask;
            let distance_hole = at.wrapping_sub(hole) & self.mask;
            if distance_home >= distance_hole {
                if let Some(target) = self.entries.get_mut(hole) {
                    *target = entry;
                }
                hole = at;
            }
        }
        if let Some(target) = self.entries.get_mut(hole) {
            target.place = EMPTY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Heap;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn agrees_with_a_map(steps in proptest::collection::vec((0_u32..24, any::<bool>()), 0..400)) {
            let mut index = Index::new(24, &mut Heap);
            let mut model = BTreeMap::new();
            for (place, add) in steps {
                // Few different hashes, so that probes collide and wrap.
                let hash = (place % 5).wrapping_sub(2);
                if add && !model.contains_key(&place) {
                    prop_assert!(index.insert(hash, place));
                    model.insert(place, hash);
                } else if !add {
                    index.remove(hash, place);
                    model.remove(&place);
                }
                for candidate in 0..24_u32 {
                    let hash = (candidate % 5).wrapping_sub(2);
                    let found = index.find(hash, |place| place == candidate);
                    prop_assert_eq!(found, model.contains_key(&candidate).then_some(candidate));
                }
            }
        }
    }

    #[test]
    fn keys_in_sequence_stay_in_short_runs_when_the_oldest_go() {
        let mut index = Index::new(20_000, &mut Heap);
        let mut longest = 0;
        for key in 0..200_000_u32 {
            assert!(index.insert(key, key % 10_000));
            if let Some(old) = key.checked_sub(9_999) {
                index.remove(old, old % 10_000);
            }
            if key % 1_000 == 0 {
                let runs = index.entries.split(|entry| entry.place == EMPTY).map(<[Entry]>::len);
                longest = longest.max(runs.max().unwrap_or(0));
            }
        }
        assert!(longest <= 64, "a run of {longest} entries");
    }

    #[test]
    fn a_full_index_refuses() {
        let mut index = Index::new(4, &mut Heap);
        let taken = (0..100).take_while(|place| index.insert(1, *place)).count();
        assert!((4..8).contains(&taken), "{taken}");
        assert_eq!(index.find(1, |place| place == 99), None);
    }
}
