//! Random numbers that a seed repeats (SplitMix64).

/// The state is the seed and a count.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }
    pub(super) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }
    /// 0 to `end` - 1.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.word() % end.max(1)
    }
    /// `first` to `last`, both included.
    pub(super) fn within(&mut self, first: i64, last: i64) -> i64 {
        first + self.below((last - first + 1).unsigned_abs()) as i64
    }
    /// True in so many of a thousand cases.
    pub(super) fn permille(&mut self, cases: u64) -> bool {
        self.below(1000) < cases
    }
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
