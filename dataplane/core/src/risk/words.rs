//! What of the gate decides, for a hash.

use super::gate::Gate;

impl Gate {
    /// Everything but limits, scopes and what others traded, which have words of their own: the rate, what was executed
    /// lately, ceilings, what stands at risk of the firm and of each owner, and the last order of each instrument.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let stakes = core::iter::once(&self.stake).chain(&self.owner_stakes).flat_map(super::Stake::words);
        let hours = [self.hours.0.0, self.hours.1.0, self.rate.word(), u64::from(self.losers)];
        let instruments = self.exposures.iter().flat_map(|exposure| {
            let signed = [exposure.position, exposure.open[0], exposure.open[1], exposure.valued_at, exposure.mark];
            let state =
                u64::from(exposure.bounds) << 16 | u64::from(exposure.holders) << 8 | u64::from(exposure.halted);
            let last = [exposure.last_order, exposure.last_order_ns, u64::from(exposure.owners), state];
            signed.map(i64::cast_unsigned).into_iter().chain(last)
        });
        let owns = self.owns.iter().flat_map(|own| [own.shares, own.open[0], own.open[1]].map(i64::cast_unsigned));
        let sides = self.sides.iter().flat_map(|sides| sides.map(i64::cast_unsigned));
        let repeats = self.repeats.iter().flat_map(super::throttle::Repeats::words);
        let bounds = self.bounds.words().chain(self.strategy_bounds.words());
        stakes.chain(hours).chain(repeats).chain(bounds).chain(instruments).chain(owns).chain(sides)
    }
}
