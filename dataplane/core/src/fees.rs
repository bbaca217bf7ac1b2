//! What the venue charges for a share that traded, by the liquidity flag of the execution (OUCH 5.0, appendix E).

use crate::units::{Cash, Quantity};

/// Millionths of the currency unit in one [`Cash`] increment.
const MILLIONTHS: i64 = 100;

/// Fees of a venue. Without an entry nothing is charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fees {
    /// Millionths of the currency unit a share, by flag; a rebate is negative.
    by_flag: [i32; 256],
}

impl Default for Fees {
    fn default() -> Self {
        Self { by_flag: [0; 256] }
    }
}

impl Fees {
    /// A table of flags and what each costs, in millionths of the currency unit a share; a rebate is negative. A flag that it
    /// does not name costs as much as the dearest that it does, and never earns anything.
    pub fn new(entries: impl IntoIterator<Item = (u8, i32)> + Clone) -> Self {
        let dearest = entries.clone().into_iter().map(|(_, each)| each).max().unwrap_or(0).max(0);
        let mut by_flag = [dearest; 256];
        for (flag, each) in entries {
            by_flag[usize::from(flag)] = each;
        }
        Self { by_flag }
    }

    /// What `quantity` shares cost that traded with this flag, 1/10000, rounded against us: a fee up, a rebate down.
    #[inline]
    pub const fn of(&self, flag: u8, quantity: Quantity) -> Cash {
        // Below 2^31 * 2^32, so it fits.
        let millionths = self.by_flag[flag as usize] as i64 * quantity as i64;
        -(-millionths).div_euclid(MILLIONTHS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_are_rounded_up_and_rebates_down() {
        // 0.0030 a share taken, 0.0020 back for a share added.
        let fees = Fees::new([(b'R', 3000), (b'A', -2000), (b'O', 1)]);
        assert_eq!((fees.of(b'R', 100), fees.of(b'A', 100)), (3000, -2000));
        assert_eq!((fees.of(b'O', 1), fees.of(b'O', 100), fees.of(b'O', 101)), (1, 1, 2));
        let odd = Fees::new([(b'A', -1), (b'R', 33)]);
        assert_eq!((odd.of(b'A', 1), odd.of(b'A', 199), odd.of(b'A', 200)), (0, -1, -2));
        assert_eq!((odd.of(b'R', 1), odd.of(b'R', 3), odd.of(b'R', 4)), (1, 1, 2));
    }

    #[test]
    fn an_unknown_flag_costs_the_most_and_earns_nothing() {
        let fees = Fees::new([(b'R', 3000), (b'A', -2000)]);
        assert_eq!(fees.of(b'?', 10), fees.of(b'R', 10));
        assert_eq!(Fees::new([(b'A', -2000)]).of(b'?', 10), 0);
        assert_eq!(Fees::default().of(b'R', u32::MAX), 0);
    }

    #[test]
    fn extremes_fit() {
        let fees = Fees::new([(b'R', i32::MAX), (b'A', i32::MIN)]);
        assert!(fees.of(b'R', u32::MAX) > 0 && fees.of(b'A', u32::MAX) < 0);
    }
}
