//! A small seeded generator of random numbers: the same seed gives the same day on every machine.

/// SplitMix64: one word of state, passes the usual statistical batteries, a few instructions a draw.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// Starts the sequence of a seed.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0. The bias is below `bound / 2^32`, of no matter here.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// True with a probability of `share / 65,536`.
    #[inline]
    pub fn chance(&mut self, share: u32) -> bool {
        (self.bits() >> 48) < u64::from(share)
    }

    /// Uniform in [0, 1).
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }
}

/// A percentage as the share that [`Rng::chance`] takes.
pub fn share_of_percent(percent: f64) -> u32 {
    (percent.clamp(0.0, 100.0) / 100.0 * 65_536.0).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_and_are_even() {
        let mut first = Rng::new(7);
        let mut second = Rng::new(7);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            let drawn = first.below(10);
            assert_eq!(drawn, second.below(10));
            counts[drawn as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (9_500..10_500).contains(&count)), "{counts:?}");
        let hits = (0..100_000).filter(|_| first.chance(share_of_percent(25.0))).count();
        assert!((24_300..25_700).contains(&hits), "{hits}");
        assert_eq!(first.below(0), 0);
    }
}
