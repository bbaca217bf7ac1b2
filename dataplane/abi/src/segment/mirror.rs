//! States of several words for readers that do not stop their writer.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Words of 8 bytes in a `T`.
pub(super) const fn words_of<T>() -> usize {
    assert!(size_of::<T>().is_multiple_of(8), "not a whole number of words");
    size_of::<T>() / 8
}

/// A `T` of `N` words in two copies written in turn, so that one is whole even if the writer was killed over the other.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Mirror<T, const N: usize> {
    copies: [Copy<N>; 2],
    state: PhantomData<T>,
}

/// `version` is odd while the copy is being written; the copy with the higher version is the newer one.
#[repr(C, align(64))]
#[derive(Debug)]
struct Copy<const N: usize> {
    version: AtomicU64,
    words: [AtomicU64; N],
}

impl<T, const N: usize> Default for Mirror<T, N> {
    fn default() -> Self {
        let copy = || Copy { version: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; N] };
        Self { copies: [copy(), copy()], state: PhantomData }
    }
}

impl<T: FromBytes + IntoBytes + Immutable, const N: usize> Mirror<T, N> {
    /// Called by its single writer.
    #[inline]
    pub fn write(&self, state: &T) {
        const { assert!(size_of::<T>() == 8 * N) };
        let [first, second] = [0, 1].map(|index: usize| self.copies[index].version.load(Ordering::Relaxed));
        // A copy over which an earlier writer was killed is written first: the other is the only whole one.
        let second_is_next = second & 1 != 0 || (first & 1 == 0 && second < first);
        let copy = &self.copies[usize::from(second_is_next)];
        let version = (first.max(second) + 1) & !1;
        copy.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, bytes) in copy.words.iter().zip(state.as_bytes().chunks_exact(8)) {
            word.store(u64::from_ne_bytes(bytes.try_into().unwrap_or_default()), Ordering::Relaxed);
        }
        copy.version.store(version + 2, Ordering::Release);
    }

    /// The newest whole state; `None` if none was ever written.
    pub fn read(&self) -> Option<T> {
        // The writer alternates, so a copy changes under the reader only if it writes twice meanwhile; the bound is for
        // memory that no writer left.
        for _ in 0..1000 {
            let found =
                [0, 1].map(|index: usize| self.copies[index].read().map(|(version, state)| (version, index, state)));
            // Still there after both were read: else the writer may have passed by twice, and a newer copy was missed.
            if let Some((version, index, state)) = found.into_iter().flatten().max_by_key(|(version, ..)| *version)
                && self.copies[index].version.load(Ordering::Acquire) == version
            {
                return Some(state);
            }
            core::hint::spin_loop();
        }
        None
    }
}

impl<const N: usize> Copy<N> {
    fn read<T: FromBytes>(&self) -> Option<(u64, T)> {
        let version = self.version.load(Ordering::Acquire);
        if version == 0 || version & 1 != 0 {
            return None;
        }
        let words: [u64; N] = core::array::from_fn(|index| self.words[index].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let whole = self.version.load(Ordering::Relaxed) == version;
        whole.then(|| T::read_from_bytes(words.as_bytes()).ok()).flatten().map(|state| (version, state))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::words::{ConnMirror, ConnState};
    use super::*;

    #[test]
    fn a_writer_killed_over_one_copy_leaves_the_other_whole() {
        for killed_over in [0, 1] {
            let mirror = ConnMirror::default();
            let state = |snd_nxt| ConnState { snd_nxt, ..ConnState::default() };
            for n in 1..=5 + killed_over {
                mirror.write(&state(n));
            }
            let newest = 5 + killed_over;
            // Killed in the middle of the next write.
            let older = &mirror.copies[usize::from(
                mirror.copies[1].version.load(Ordering::Relaxed) < mirror.copies[0].version.load(Ordering::Relaxed),
            )];
            older.version.fetch_or(1, Ordering::Relaxed);
            older.words[0].store(99, Ordering::Relaxed);
            assert_eq!(mirror.read(), Some(state(newest)));
            mirror.write(&state(50));
            assert_eq!(mirror.read(), Some(state(50)));
            mirror.write(&state(51));
            assert_eq!(mirror.read(), Some(state(51)));
        }
    }

    #[test]
    fn memory_that_no_writer_left_is_no_state() {
        let mirror = ConnMirror::default();
        mirror.copies.iter().for_each(|copy| copy.version.store(7, Ordering::Relaxed));
        assert_eq!(mirror.read(), None);
    }
}
