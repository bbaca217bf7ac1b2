//! A hash table whose entries stay where they were put: two entries a cache line, so that a key leads straight to its
//! entry with one miss, and other entries may point at it by slot number.
//!
//! Lines are probed one after another. Each line counts the entries that wanted it or an earlier one and went past it
//! ("overflow"): a search ends at the first line that nothing went past, and a removal undoes its counts, so there are
//! no tombstones and no rebuilding, whatever the churn of the day.

use tern_abi::arena::Arena;
use tern_abi::prefetch::prefetch_slice;
use zerocopy::FromZeros;

/// What a table holds. The zeroed entry is the empty one.
pub(super) trait Entry: Copy + FromZeros {
    /// What entries are found by.
    type Key: Copy;
    /// The key of an entry that is not empty.
    fn key(&self) -> Self::Key;
    /// 0 if the slot holds `key`, else something else.
    fn mismatch(&self, key: Self::Key) -> u64;
    /// 0 if the slot is free, else something else.
    fn weight(&self) -> u32;
    /// Makes the slot free.
    fn clear(&mut self);
    /// A hash of `key` whose upper bits are well spread.
    fn hash(key: Self::Key) -> u64;
}

/// Mixes all bits of `value` into all bits of the result.
#[inline(always)]
pub(super) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (value ^ (value >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

/// Spreads two 32-bit words over the upper bits of the result: a multilinear hash, two multiplications side by side.
#[inline(always)]
pub(super) const fn spread(high: u32, low: u32) -> u64 {
    let high = (high as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (low as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(high)
}

/// A cache line of two entries.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, FromZeros)]
pub(super) struct Bucket<E> {
    entries: [E; 2],
    overflow: u32,
}

impl<E: Entry> Bucket<E> {
    // Which of the two it is is a coin toss, and guessing wrong costs more than all the rest of the search: the two are
    // folded into one word, and only that is branched on.
    #[inline(always)]
    fn find(&self, key: E::Key) -> Option<u32> {
        let (first, second) = (self.entries[0].mismatch(key), self.entries[1].mismatch(key));
        (first.min(second) == 0).then_some(u32::from(second == 0))
    }
    #[inline(always)]
    fn vacant(&self) -> Option<u32> {
        let (first, second) = (self.entries[0].weight(), self.entries[1].weight());
        (first.min(second) == 0).then_some(u32::from(first != 0))
    }
}

/// Where a new entry goes; valid until the table changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vacancy {
    home: usize,
    slot: u32,
}

impl Vacancy {
    /// The slot that the entry will have.
    #[inline(always)]
    pub(super) const fn slot(self) -> u32 {
        self.slot
    }
}

/// Answer of [`Table::locate`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Located {
    /// The key's entry is in this slot.
    Found(u32),
    /// The key has no entry; it would go here.
    Vacant(Vacancy),
    /// The key has no entry and there is no room for one.
    Full,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Table<E> {
    buckets: Arena<Bucket<E>>,
    live: usize,
    capacity: usize,
}

/// Longest probe, lines. At the load the tables are made for, probes of more than a hundred do not occur; the bound keeps
/// keys chosen to collide from stalling the loop.
const PROBE_MAX: usize = 1024;

impl<E: Entry> Table<E> {
    /// An empty table of `capacity` entries; `buckets` must be zeroed and hold more than that.
    pub(super) fn new(buckets: Arena<Bucket<E>>, capacity: usize) -> Self {
        let capacity = capacity.min(buckets.len() * 2);
        Self { buckets, live: 0, capacity }
    }
    /// Entries held.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    #[inline(always)]
    fn home(&self, key: E::Key) -> usize {
        // Multiply-shift instead of a remainder: any number of lines, one multiplication.
        ((u128::from(E::hash(key)) * self.buckets.len() as u128) >> 64) as usize
    }
    #[inline(always)]
    fn after(&self, line: usize) -> usize {
        if line + 1 == self.buckets.len() { 0 } else { line + 1 }
    }

    /// Asks for the line where `key` most likely is.
    #[inline(always)]
    pub(super) fn prefetch(&self, key: E::Key) {
        prefetch_slice(&self.buckets, self.home(key));
    }
    /// Asks for the line of `slot`; does nothing for a slot that does not exist.
    #[inline(always)]
    pub(super) fn prefetch_slot(&self, slot: u32) {
        prefetch_slice(&self.buckets, (slot >> 1) as usize);
    }

    /// The slot of `key`.
    #[inline(always)]
    pub(super) fn find(&self, key: E::Key) -> Option<u32> {
        let mut line = self.home(key);
        for _ in 0..PROBE_MAX {
            let bucket = self.buckets.get(line)?;
            if let Some(index) = bucket.find(key) {
                return Some((line as u32) << 1 | index);
            }
            if bucket.overflow == 0 {
                return None;
            }
            line = self.after(line);
        }
        None
    }

    /// The slot of `key`, or where it would go.
    #[inline(always)]
    pub(super) fn locate(&self, key: E::Key) -> Located {
        let home = self.home(key);
        let mut line = home;
        let mut vacant = None;
        for _ in 0..PROBE_MAX {
            let Some(bucket) = self.buckets.get(line) else { return Located::Full };
            if let Some(index) = bucket.find(key) {
                return Located::Found((line as u32) << 1 | index);
            }
            if let (None, Some(index)) = (vacant, bucket.vacant()) {
                vacant = Some(Vacancy { home, slot: (line as u32) << 1 | index });
            }
            if let (Some(vacancy), 0) = (vacant, bucket.overflow) {
                return if self.live < self.capacity { Located::Vacant(vacancy) } else { Located::Full };
            }
            line = self.after(line);
        }
        match vacant {
            Some(vacancy) if self.live < self.capacity => Located::Vacant(vacancy),
            _ => Located::Full,
        }
    }

    /// Puts `entry` (not empty, of the key that was located) into its slot.
    #[inline(always)]
    pub(super) fn occupy(&mut self, vacancy: Vacancy, entry: E) {
        let end = (vacancy.slot >> 1) as usize;
        let mut line = vacancy.home;
        while line != end {
            self.buckets[line].overflow += 1;
            line = self.after(line);
        }
        *self.get_mut(vacancy.slot) = entry;
        self.live += 1;
    }

    /// Frees `slot`, which must be occupied.
    #[inline(always)]
    pub(super) fn remove(&mut self, slot: u32) {
        debug_assert_ne!(self.get(slot).weight(), 0);
        let end = (slot >> 1) as usize;
        let mut line = self.home(self.get(slot).key());
        while line != end {
            self.buckets[line].overflow -= 1;
            line = self.after(line);
        }
        self.get_mut(slot).clear();
        self.live -= 1;
    }

    /// The entry in `slot`, a slot that this table gave out.
    #[inline(always)]
    pub(super) fn get(&self, slot: u32) -> &E {
        &self.buckets[(slot >> 1) as usize].entries[(slot & 1) as usize]
    }
    /// The entry in `slot`, a slot that this table gave out.
    #[inline(always)]
    pub(super) fn get_mut(&mut self, slot: u32) -> &mut E {
        &mut self.buckets[(slot >> 1) as usize].entries[(slot & 1) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::super::level::{NIL, Order};
    use super::*;
    use crate::units::Side;
    use std::vec::Vec;

    fn counted<E>(table: &Table<E>) -> u32 {
        table.buckets.iter().map(|bucket| bucket.overflow).sum()
    }

    /// Full to the last slot, so that probes are long; then churned, so that removals meet every neighbour. What a removal
    /// leaves behind would make every later search longer.
    #[test]
    fn nothing_is_left_of_what_was_removed() {
        let mut table = Table::<Order>::new(Arena::from_fn(64, |_| Bucket::new_zeroed()), 128);
        let mut held = Vec::new();
        for step in 0..20_000_u64 {
            if let Located::Vacant(vacancy) = table.locate(step) {
                table.occupy(vacancy, Order::new(step, 1, 0, Side::Buy, NIL));
                held.push(step);
            } else {
                assert_eq!(table.live(), 128);
                let oldest = held.swap_remove((mix(step) >> 32) as usize % held.len());
                table.remove(table.find(oldest).expect("every key held is found"));
            }
        }
        assert!(held.iter().all(|key| table.find(*key).is_some_and(|slot| table.get(slot).reference == *key)));
        assert!(counted(&table) > 0, "a table this full has displaced entries");
        for key in held {
            table.remove(table.find(key).expect("every key held is found"));
        }
        assert_eq!((table.live(), counted(&table)), (0, 0));
    }

    #[test]
    fn a_duplicate_behind_a_freed_slot_is_still_found() {
        let mut table = Table::<Order>::new(Arena::from_fn(1, |_| Bucket::new_zeroed()), 2);
        for key in [1, 2] {
            let Located::Vacant(vacancy) = table.locate(key) else { panic!("room for two") };
            table.occupy(vacancy, Order::new(key, 1, 0, Side::Sell, NIL));
        }
        assert!(matches!(table.locate(3), Located::Full));
        table.remove(table.find(1).expect("held"));
        assert!(matches!(table.locate(2), Located::Found(_)));
        assert!(matches!(table.locate(3), Located::Vacant(_)));
    }
}
