//! A hash table whose entries stay where they were put: a few entries a cache line, so that a key leads straight to its
//! entry with one miss, and other entries may point at it by slot number.
//!
//! A key has a home line and, from there, a way through the other lines, one step after another. Each line counts the
//! entries that wanted it and went past it ("overflow"): a search ends at the first line that nothing went past, and a
//! removal undoes its counts, so there are no tombstones and no rebuilding, whatever the churn of the day.

use tern_abi::arena::Arena;
use tern_abi::prefetch::prefetch_slice;
use zerocopy::FromZeros;

/// A cache line of entries. All bytes zero is the line without any.
pub(super) trait Line: Copy + FromZeros {
    /// What a line holds.
    type Entry: Copy;
    /// What entries are found by.
    type Key: Copy;
    /// Bits of a slot number that say which entry of its line it is.
    const INDEX_BITS: u32;
    /// The home line of `key`.
    fn home(key: Self::Key, lines: Lines) -> usize;
    /// How far the way of `key` goes from line to line: 1 to the number of lines less one.
    fn step(key: Self::Key, lines: Lines) -> usize;
    /// The key of an entry that is not empty.
    fn key(entry: &Self::Entry) -> Self::Key;
    /// Which entry holds `key`.
    fn find(&self, key: Self::Key) -> Option<u32>;
    /// Which entry is free, the first if several are.
    fn vacant(&self) -> Option<u32>;
    /// The entry with this index.
    fn entry(&self, index: u32) -> &Self::Entry;
    /// The entry with this index.
    fn entry_mut(&mut self, index: u32) -> &mut Self::Entry;
    /// Puts an entry in the free place with this index.
    fn put(&mut self, index: u32, entry: Self::Entry);
    /// Makes the entry with this index free.
    fn clear(&mut self, index: u32);
    /// Entries that went past.
    fn overflow(&self) -> u32;
    /// Changes that number.
    fn set_overflow(&mut self, count: u32);
}

/// How many lines a table has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    count: u64,
    /// 2^64 / `count`.
    reciprocal: u64,
}

impl Lines {
    fn new(count: usize) -> Self {
        let count = count.max(1) as u64;
        Self { count, reciprocal: u64::MAX / count }
    }
    /// The remainder of `value`: two multiplications in the place of a division.
    #[inline(always)]
    pub(super) const fn remainder(self, value: u64) -> usize {
        let quotient = ((value as u128 * self.reciprocal as u128) >> 64) as u64;
        // The reciprocal is less than 1 too small, so the product is, in units of 2^64, less than 1 too small as well, and the
        // quotient at most 1.
        let rest = value.wrapping_sub(quotient.wrapping_mul(self.count));
        (if rest >= self.count { rest - self.count } else { rest }) as usize
    }
    /// A line by the upper bits of a hash: any number of lines, one multiplication.
    #[inline(always)]
    pub(super) const fn by_hash(self, hash: u64) -> usize {
        ((hash as u128 * self.count as u128) >> 64) as usize
    }
    #[inline(always)]
    const fn after(self, line: usize, step: usize) -> usize {
        let next = line + step;
        if next >= self.count as usize { next - self.count as usize } else { next }
    }
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
pub(super) struct Table<L> {
    lines: Arena<L>,
    /// The lines before this one are somebody else's.
    first: usize,
    count: Lines,
    live: usize,
    capacity: usize,
}

/// Longest way, lines. At the load the tables are made for, ways of more than a hundred do not occur; the bound keeps
/// keys chosen to collide from stalling the loop.
const WAY_MAX: usize = 1024;

impl<L: Line> Table<L> {
    /// An empty table of `capacity` entries in the lines from `first` on, which must be zeroed and hold more than that.
    /// What the lines before hold has a slot as well ([`get`](Self::get)), and is found by other means.
    pub(super) fn new(lines: Arena<L>, first: usize, capacity: usize) -> Self {
        let count = Lines::new(lines.len().saturating_sub(first));
        Self { lines, first, count, live: 0, capacity }
    }
    /// Entries held.
    pub(super) fn live(&self) -> usize {
        self.live
    }
    /// The first line that is this table's.
    #[inline(always)]
    pub(super) fn first_line(&self) -> usize {
        self.first
    }

    #[inline(always)]
    fn index_of(slot: u32) -> u32 {
        slot & ((1 << L::INDEX_BITS) - 1)
    }
    #[inline(always)]
    fn line_of(slot: u32) -> usize {
        (slot >> L::INDEX_BITS) as usize
    }
    #[inline(always)]
    fn slot(line: usize, index: u32) -> u32 {
        (line as u32) << L::INDEX_BITS | index
    }

    #[inline(always)]
    fn home(&self, key: L::Key) -> usize {
        self.first + L::home(key, self.count)
    }
    #[inline(always)]
    fn after(&self, line: usize, step: usize) -> usize {
        self.first + self.count.after(line - self.first, step)
    }

    /// Asks for the line where `key` most likely is.
    #[inline(always)]
    pub(super) fn prefetch(&self, key: L::Key) {
        prefetch_slice(&self.lines, self.home(key));
    }
    /// Asks for the line of `slot`; does nothing for a slot that does not exist.
    #[inline(always)]
    pub(super) fn prefetch_slot(&self, slot: u32) {
        prefetch_slice(&self.lines, Self::line_of(slot));
    }

    /// The slot of `key`.
    #[inline(always)]
    pub(super) fn find(&self, key: L::Key) -> Option<u32> {
        let home = self.home(key);
        let line = self.lines.get(home)?;
        match line.find(key) {
            Some(index) => Some(Self::slot(home, index)),
            None if line.overflow() == 0 => None,
            None => self.find_past(key, home),
        }
    }

    #[cold]
    fn find_past(&self, key: L::Key, home: usize) -> Option<u32> {
        let step = L::step(key, self.count);
        let mut at = home;
        for _ in 1..WAY_MAX {
            at = self.after(at, step);
            let line = self.lines.get(at)?;
            if let Some(index) = line.find(key) {
                return Some(Self::slot(at, index));
            }
            if line.overflow() == 0 {
                return None;
            }
        }
        None
    }

    /// The slot of `key`, or where it would go.
    #[inline(always)]
    pub(super) fn locate(&self, key: L::Key) -> Located {
        let home = self.home(key);
        let Some(line) = self.lines.get(home) else { return Located::Full };
        if let Some(index) = line.find(key) {
            return Located::Found(Self::slot(home, index));
        }
        match line.vacant() {
            Some(index) if line.overflow() == 0 => self.vacancy(home, Self::slot(home, index)),
            vacant => self.locate_past(key, home, vacant),
        }
    }

    #[inline(always)]
    fn vacancy(&self, home: usize, slot: u32) -> Located {
        if self.live < self.capacity { Located::Vacant(Vacancy { home, slot }) } else { Located::Full }
    }

    #[cold]
    fn locate_past(&self, key: L::Key, home: usize, at_home: Option<u32>) -> Located {
        let step = L::step(key, self.count);
        let mut at = home;
        let mut vacant = at_home.map(|index| Self::slot(home, index));
        for _ in 1..WAY_MAX {
            at = self.after(at, step);
            let Some(line) = self.lines.get(at) else { return Located::Full };
            if let Some(index) = line.find(key) {
                return Located::Found(Self::slot(at, index));
            }
            vacant = vacant.or_else(|| line.vacant().map(|index| Self::slot(at, index)));
            if vacant.is_some() && line.overflow() == 0 {
                break;
            }
        }
        vacant.map_or(Located::Full, |slot| self.vacancy(home, slot))
    }

    /// Puts `entry` (not empty, of the key that was located) into its slot.
    #[inline(always)]
    pub(super) fn occupy(&mut self, vacancy: Vacancy, entry: L::Entry) {
        self.pass(vacancy.home, vacancy.slot, L::key(&entry), 1);
        self.lines[Self::line_of(vacancy.slot)].put(Self::index_of(vacancy.slot), entry);
        self.live += 1;
    }

    /// Frees `slot`, which must be occupied.
    #[inline(always)]
    pub(super) fn remove(&mut self, slot: u32) {
        let key = L::key(self.get(slot));
        self.pass(self.home(key), slot, key, -1);
        self.lines[Self::line_of(slot)].clear(Self::index_of(slot));
        self.live -= 1;
    }

    /// Counts an entry in, or out of, the lines that it went past.
    #[inline(always)]
    fn pass(&mut self, home: usize, slot: u32, key: L::Key, change: i32) {
        if home != Self::line_of(slot) {
            self.pass_on(home, slot, key, change);
        }
    }

    #[cold]
    fn pass_on(&mut self, home: usize, slot: u32, key: L::Key, change: i32) {
        let step = L::step(key, self.count);
        let mut at = home;
        for _ in 0..WAY_MAX {
            if at == Self::line_of(slot) {
                return;
            }
            let line = &mut self.lines[at];
            line.set_overflow(line.overflow().saturating_add_signed(change));
            at = self.after(at, step);
        }
    }

    /// The entry in `slot`, if there is such a slot.
    #[inline(always)]
    pub(super) fn try_get(&self, slot: u32) -> Option<&L::Entry> {
        self.lines.get(Self::line_of(slot)).map(|line| line.entry(Self::index_of(slot)))
    }
    /// The entry in `slot`, a slot that this table gave out or that lies before it.
    #[inline(always)]
    pub(super) fn get(&self, slot: u32) -> &L::Entry {
        self.lines[Self::line_of(slot)].entry(Self::index_of(slot))
    }
    /// The entry in `slot`, a slot that this table gave out or that lies before it.
    #[inline(always)]
    pub(super) fn get_mut(&mut self, slot: u32) -> &mut L::Entry {
        self.lines[Self::line_of(slot)].entry_mut(Self::index_of(slot))
    }
}

/// The next prime from `least` on. With a prime number of lines, keys that come in steps of any size still use all of
/// them, and every way leads through all of them.
pub(super) const fn prime_from(least: usize) -> usize {
    let mut candidate = if least < 3 { 3 } else { least | 1 };
    loop {
        let mut divisor = 3;
        while divisor * divisor <= candidate && !candidate.is_multiple_of(divisor) {
            divisor += 2;
        }
        if divisor * divisor > candidate {
            return candidate;
        }
        candidate += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::{NIL, Order, OrderLine};
    use super::*;
    use crate::units::Side;
    use std::collections::HashMap;
    use std::vec::Vec;

    type Orders = Table<OrderLine>;

    fn orders(lines: usize, capacity: usize) -> Orders {
        Table::new(Arena::from_fn(lines, |_| OrderLine::new_zeroed()), 0, capacity)
    }
    fn counted(table: &Orders) -> u32 {
        table.lines.iter().map(Line::overflow).sum()
    }
    fn order(reference: u64) -> Order {
        Order::new(reference, 1, 0, Side::Buy, NIL)
    }

    /// Full to the last slot, so that ways are long; then churned, so that removals meet every neighbour. What a removal
    /// leaves behind would make every later search longer.
    #[test]
    fn nothing_is_left_of_what_was_removed() {
        let mut table = orders(61, 122);
        let mut held = Vec::new();
        for step in 0..20_000_u64 {
            let key = mix(step);
            if let Located::Vacant(vacancy) = table.locate(key) {
                table.occupy(vacancy, order(key));
                held.push(key);
            } else {
                assert_eq!(table.live(), 122);
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
        let mut table = orders(3, 6);
        // All of them want line 0.
        let keys = [3, 6, 9, 12];
        for key in keys {
            let Located::Vacant(vacancy) = table.locate(key) else { panic!("room for six") };
            table.occupy(vacancy, order(key));
        }
        table.remove(table.find(3).expect("held"));
        assert!(matches!(table.locate(12), Located::Found(_)));
        assert!(matches!(table.locate(3), Located::Vacant(_)));
        assert!(table.find(3).is_none());
    }

    #[test]
    fn references_in_steps_use_every_line() {
        let lines = Lines::new(prime_from(1000));
        for step in [1, 2, 3, 4, 8, 12, 1024] {
            let mut used: HashMap<usize, u32> = HashMap::new();
            (0..1009 * 2).for_each(|index| *used.entry(OrderLine::home(index * step, lines)).or_default() += 1);
            assert_eq!(used.len(), 1009, "in steps of {step}");
            assert!(used.values().all(|count| *count == 2), "in steps of {step}");
        }
    }

    #[test]
    fn remainders_and_primes() {
        for count in [1, 2, 3, 61, 1009, 3_333_337, u32::MAX as usize] {
            let lines = Lines::new(count);
            for value in [0, 1, count as u64 - 1, count as u64, u64::MAX, u64::MAX - 1, 1 << 63, 0x1234_5678_9ABC_DEF0]
            {
                assert_eq!(lines.remainder(value) as u64, value % count as u64, "{value} % {count}");
            }
        }
        assert_eq!([0, 3, 4, 62, 1000].map(prime_from), [3, 3, 5, 67, 1009]);
    }
}
