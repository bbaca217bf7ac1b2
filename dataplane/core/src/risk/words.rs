//! What of the gate decides, for a hash.

use super::gate::Gate;

impl Gate {
    /// Everything but limits, scopes and what others traded, which have words of their own: the rate, what was executed
    /// lately, ceilings, what stands at risk, and the last order of each instrument.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let stake = &self.stake;
        let firm = [
            stake.open[0],
            stake.open[1],
            stake.net_cost,
            stake.gross_cost,
            stake.realized,
            stake.unrealized,
            stake.high_water,
        ];
        let hours = [self.hours.0.0, self.hours.1.0, self.rate.word()];
        let instruments = self.exposures.iter().flat_map(|exposure| {
            let signed = [exposure.position, exposure.open[0], exposure.open[1], exposure.cost, exposure.unrealized];
            let state = u64::from(exposure.owners) << 24 | u64::from(exposure.bounds) << 8 | u64::from(exposure.halted);
            signed.map(i64::cast_unsigned).into_iter().chain([exposure.last_order, exposure.last_order_ns, state])
        });
        let repeats = self.repeats.iter().flat_map(super::throttle::Repeats::words);
        let firm = firm.map(i64::cast_unsigned).into_iter().chain(hours);
        firm.chain(repeats).chain(self.bounds.words()).chain(instruments)
    }
}
