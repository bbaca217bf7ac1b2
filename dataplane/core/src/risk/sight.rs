//! What the gate knows of an instrument's market beside its book, on half a cache line: where our own orders stand, what
//! others traded lately, and the price with which a new one is compared.
//!
//! The reference begins where the market closed the day before, if that is known, and follows the prints of others, so
//! nothing that we trade moves it, and no faster than a limit says: one wrong print does not open the collar around it. Prints in which we were one side are known by our open orders, or by
//! the match number when the venue told us first; one that comes before the venue's word of it counts as another's.

use super::self_trade::OwnPrices;
use crate::units::{Price, Quantity, TaiNs};
use zerocopy::FromZeros;

/// Recent volume is counted in two parts of 2^36 ns, 69 s: it reaches back one to two of them.
const PART_BITS: u32 = 36;
/// The reference moves in steps of 2^20 ns, about a millisecond.
const TICK_BITS: u32 = 20;
/// So many ticks, about a second, are as long as a pause may be that a single move makes use of.
const TICKS_MAX: u32 = 1 << 10;

/// See the module.
#[repr(C, align(32))]
#[derive(Clone, Copy, Debug, Default, FromZeros)]
pub(super) struct Sight {
    /// Where our orders stand.
    pub(super) own: OwnPrices,
    /// Shares that others traded in the present part and in the one before.
    shares: [u32; 2],
    /// Number of the present part.
    part: u32,
    /// What a price is compared with; 0 before any print, if no close is known.
    reference: u32,
    /// Tick in which it moved last.
    moved_at: u32,
    /// Tick in which we traded last.
    traded_at: u32,
}

const _: () = assert!(size_of::<Sight>() == 32);

/// Ticks wrap after 52 days.
#[inline]
const fn tick(now: TaiNs) -> u32 {
    (now.0 >> TICK_BITS) as u32
}

impl Sight {
    /// The reference begins at `price`, and may move from there at once.
    pub(super) fn begin_at(&mut self, price: u32) {
        self.reference = price;
    }

    /// Others traded `shares` at `price`. The reference moves by `move_bps` of 1/10000 a second at most, and for a round
    /// lot at least: fewer are volume, and no price of the tape.
    #[inline]
    pub(super) fn printed(
        &mut self,
        now: TaiNs,
        (price, shares): (Price, Quantity),
        move_bps: u32,
        round_lot: Quantity,
    ) {
        let part = (now.0 >> PART_BITS) as u32;
        if part != self.part {
            let before = if part == self.part.wrapping_add(1) { self.shares[0] } else { 0 };
            (self.shares, self.part) = ([0, before], part);
        }
        self.shares[0] = self.shares[0].saturating_add(shares);
        let Ok(price) = u32::try_from(price.0) else { return };
        if price != self.reference && shares >= round_lot {
            self.follow(now, price, move_bps);
        }
    }

    #[inline]
    fn follow(&mut self, now: TaiNs, price: u32, move_bps: u32) {
        if price == 0 {
            // Nothing trades for nothing. A reference that followed would be forgotten, and the next print taken as it is.
            return;
        }
        let tick = tick(now);
        if self.reference == 0 {
            (self.reference, self.moved_at) = (price, tick);
            return;
        }
        let ticks = tick.wrapping_sub(self.moved_at).min(TICKS_MAX);
        // Below 2^32 * 10^4 * 2^10.
        let reach = u64::from(self.reference) * u64::from(move_bps) * u64::from(ticks) / (10_000 << 10);
        let step = price.abs_diff(self.reference).min(u32::try_from(reach).unwrap_or(u32::MAX));
        if step == 0 {
            return;
        }
        self.reference = if price > self.reference { self.reference + step } else { self.reference - step };
        self.moved_at = tick;
    }

    /// What a price is compared with, once others traded or where the close is known.
    #[inline]
    pub(super) const fn reference(&self) -> Option<Price> {
        if self.reference == 0 { None } else { Some(Price(self.reference as i64)) }
    }

    /// Shares that others traded in the last one to two parts.
    #[inline]
    pub(super) const fn recent_shares(&self, now: TaiNs) -> u64 {
        let [present, before] = self.shares;
        match ((now.0 >> PART_BITS) as u32).wrapping_sub(self.part) {
            0 => present as u64 + before as u64,
            1 => present as u64,
            _ => 0,
        }
    }

    /// An order of ours traded.
    pub(super) const fn own_traded(&mut self, now: TaiNs) {
        self.traded_at = tick(now);
    }

    /// Whether an order of ours traded within the last second or so.
    #[inline]
    pub(super) const fn has_own_trade(&self, now: TaiNs) -> bool {
        tick(now).wrapping_sub(self.traded_at) <= TICKS_MAX
    }

    /// What decides, for a hash.
    pub(super) fn words(&self) -> [u64; 3] {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        [pair(self.reference, self.moved_at), pair(self.shares[0], self.shares[1]), pair(self.part, self.traded_at)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: TaiNs = TaiNs(1_795_305_600_000_000_000);
    const SECOND: u64 = 1 << (TICK_BITS + 10);

    #[test]
    fn the_reference_follows_at_a_bounded_rate_in_either_direction() {
        let mut sight = Sight::default();
        assert_eq!(sight.reference(), None);
        sight.printed(START, (Price(10_0000), 1), 500, 1);
        assert_eq!(sight.reference(), Some(Price(10_0000)), "the first is taken as it is");
        sight.printed(START, (Price(20_0000), 1), 500, 1);
        assert_eq!(sight.reference(), Some(Price(10_0000)), "no time, no move");
        sight.printed(START.plus(SECOND / 2), (Price(20_0000), 1), 500, 1);
        assert_eq!(sight.reference(), Some(Price(10_2500)));
        sight.printed(START.plus(SECOND / 2 + 100 * SECOND), (Price(1), 1), 500, 1);
        assert_eq!(sight.reference(), Some(Price(9_7375)), "a long pause is worth a second");
        sight.printed(START.plus(SECOND * 102), (Price(9_7376), 1), 500, 1);
        assert_eq!(sight.reference(), Some(Price(9_7376)), "what is near is followed at once");
        sight.printed(START.plus(SECOND * 200), (Price(1), 1), 0, 1);
        assert_eq!(sight.reference(), Some(Price(9_7376)));
    }

    #[test]
    fn a_print_at_zero_is_no_price() {
        let mut sight = Sight::default();
        sight.printed(START, (Price(0), 1), 10_000, 1);
        assert_eq!(sight.reference(), None);
        sight.printed(START, (Price(10_0000), 1), 10_000, 1);
        sight.printed(START.plus(2 * SECOND), (Price(0), 7), 10_000, 1);
        assert_eq!(sight.reference(), Some(Price(10_0000)));
        assert_eq!(sight.recent_shares(START.plus(2 * SECOND)), 9, "but it is volume");
    }

    #[test]
    fn no_second_moves_it_further_than_the_limit() {
        let mut sight = Sight::default();
        sight.printed(START, (Price(10_0000), 1), 100, 1);
        for step in 1..=1000_u64 {
            sight.printed(START.plus(step * SECOND / 1000), (Price(i64::from(u32::MAX)), 1), 100, 1);
        }
        let reference = sight.reference().expect("there is one").0;
        assert!((10_0500..=10_1010).contains(&reference), "{reference}");
    }

    #[test]
    fn recent_shares_are_those_of_the_present_part_and_the_one_before() {
        let mut sight = Sight::default();
        let part = 1_u64 << PART_BITS;
        let start = TaiNs(START.0 / part * part);
        sight.printed(start, (Price(1), 100), 0, 1);
        sight.printed(start.plus(part - 1), (Price(1), 50), 0, 1);
        assert_eq!(sight.recent_shares(start.plus(part - 1)), 150);
        assert_eq!(sight.recent_shares(start.plus(part)), 150, "the part before");
        sight.printed(start.plus(part), (Price(1), 7), 0, 1);
        assert_eq!(sight.recent_shares(start.plus(part)), 157);
        assert_eq!(sight.recent_shares(start.plus(2 * part)), 7);
        assert_eq!(sight.recent_shares(start.plus(3 * part)), 0);
        sight.printed(start.plus(9 * part), (Price(1), u32::MAX), 0, 1);
        sight.printed(start.plus(9 * part), (Price(1), u32::MAX), 0, 1);
        assert_eq!(sight.recent_shares(start.plus(9 * part)), u64::from(u32::MAX));
    }
}
