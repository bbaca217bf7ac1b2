//! A map of keys that come in ascending order, but for a few.

use std::collections::BTreeMap;

/// A key of which most come one behind another.
pub(super) trait Key: Copy + Ord {
    /// How many keys lie between `first` and this one when none is left out.
    fn distance(self, first: Self) -> usize;
}

impl Key for u32 {
    fn distance(self, first: Self) -> usize {
        self.wrapping_sub(first) as usize
    }
}

impl Key for (u64, u32) {
    fn distance(self, first: Self) -> usize {
        usize::try_from(self.0.wrapping_sub(first.0)).unwrap_or(usize::MAX)
    }
}

/// The ids of a day are handed out upwards: each new one goes to the end of a row, and where none is left out its place is
/// its distance from the first. What comes late, below the last, is kept in a tree beside it.
#[derive(Clone, Debug)]
pub(super) struct Ascending<K, V> {
    row: Vec<(K, V)>,
    late: BTreeMap<K, V>,
}

impl<K, V> Default for Ascending<K, V> {
    fn default() -> Self {
        Self { row: Vec::new(), late: BTreeMap::new() }
    }
}

impl<K: Key, V> Ascending<K, V> {
    pub(super) fn len(&self) -> usize {
        self.row.len() + self.late.len()
    }

    /// Where in the row the key lies, or would.
    fn place(&self, key: K) -> Result<usize, usize> {
        let (Some((first, _)), Some((last, _))) = (self.row.first(), self.row.last()) else { return Err(0) };
        if key > *last {
            return Err(self.row.len());
        }
        let guess = key.distance(*first);
        if self.row.get(guess).is_some_and(|(there, _)| *there == key) {
            return Ok(guess);
        }
        self.row.binary_search_by_key(&key, |(there, _)| *there)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        match self.place(key) {
            Ok(place) => self.row.get_mut(place).map(|(_, value)| value),
            Err(_) => self.late.get_mut(&key),
        }
    }

    /// The value of the key, made by `or` if it has none.
    pub(super) fn entry(&mut self, key: K, or: impl FnOnce() -> V) -> &mut V {
        match self.place(key) {
            Ok(place) => &mut self.row[place].1,
            Err(place) if place == self.row.len() => {
                self.row.push((key, or()));
                &mut self.row[place].1
            }
            Err(_) => self.late.entry(key).or_insert_with(or),
        }
    }

    /// The value of the key from now on.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.place(key) {
            Ok(place) => self.row[place].1 = value,
            Err(place) if place == self.row.len() => self.row.push((key, value)),
            Err(_) => _ = self.late.insert(key, value),
        }
    }

    /// All, by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let (mut row, mut late) = (self.row.iter().peekable(), self.late.iter().peekable());
        std::iter::from_fn(move || match (row.peek(), late.peek()) {
            (Some((key, _)), Some((before, _))) if *before < key => late.next().map(|(key, value)| (*key, value)),
            (Some(_), _) => row.next().map(|(key, value)| (*key, value)),
            (None, _) => late.next().map(|(key, value)| (*key, value)),
        })
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Those whose keys lie in the range, by place of finding.
    pub(super) fn range_mut(&mut self, from: K, to: K) -> impl Iterator<Item = &mut V> {
        let begin = self.row.partition_point(|(key, _)| *key < from);
        let end = self.row.partition_point(|(key, _)| *key <= to);
        let of_row = self.row[begin..end].iter_mut().map(|(_, value)| value);
        of_row.chain(self.late.range_mut(from..=to).map(|(_, value)| value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the order in which keys come, it is a map.
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0_u32..60, 0_u8..4, any::<u16>()), 0..200)) {
            let (mut ours, mut model) = (Ascending::<u32, u16>::default(), BTreeMap::new());
            for (key, step, value) in steps {
                match step {
                    0 => { ours.insert(key, value); model.insert(key, value); }
                    1 => { *ours.entry(key, || value) ^= 1; *model.entry(key).or_insert(value) ^= 1; }
                    2 => prop_assert_eq!(ours.get_mut(key).copied(), model.get(&key).copied()),
                    _ => {
                        let mut found: Vec<u16> = ours.range_mut(key, key + 7).map(|value| *value).collect();
                        let mut wanted: Vec<u16> = model.range(key..=key + 7).map(|(_, value)| *value).collect();
                        found.sort_unstable();
                        wanted.sort_unstable();
                        prop_assert_eq!(found, wanted);
                    }
                }
                prop_assert_eq!(ours.len(), model.len());
            }
            let ours: Vec<(u32, u16)> = ours.iter().map(|(key, value)| (key, *value)).collect();
            prop_assert_eq!(ours, model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn executions_lie_by_match_number_and_order() {
        let mut ours = Ascending::<(u64, u32), u8>::default();
        for (key, value) in [((5, 1), 1), ((9, 3), 2), ((9, 2), 3), ((u64::MAX, 1), 4)] {
            ours.insert(key, value);
        }
        assert_eq!(ours.range_mut((9, 0), (9, u32::MAX)).count(), 2);
        assert_eq!(ours.values().copied().collect::<Vec<_>>(), [1, 3, 2, 4]);
        assert_eq!(ours.get_mut((5, 2)), None);
    }
}
