//! What of an instrument's market is others': the reference of the collar, and the volume that an order is held against.

use super::Reason;
use super::gate::Gate;
use super::question::{Market, Refusal};
use crate::units::{InstrumentId, Price, Quantity, Side, TaiNs};

/// Levels of a side that are looked through for shares of others.
const LEVELS: usize = 8;

impl Gate {
    /// Others traded in an instrument.
    #[inline]
    pub(crate) fn printed(&mut self, now: TaiNs, instrument: InstrumentId, price: Price, shares: Quantity) {
        let move_bps = self.limits().reference_move_bps;
        let round_lot = self.listings.round_lot(instrument);
        if let Some(sight) = self.sights.get_mut(instrument.index()) {
            sight.printed(now, (price, shares), move_bps, round_lot);
        }
    }

    /// An order of ours traded.
    pub(crate) fn own_traded(&mut self, now: TaiNs, instrument: InstrumentId) {
        if let Some(sight) = self.sights.get_mut(instrument.index()) {
            sight.own_traded(now);
        }
    }

    /// Whether a print against an order of `side` at `price` may be of one of ours that is open, and whether of one that
    /// traded a moment ago. Two compares.
    #[inline]
    pub(crate) fn may_be_own(&self, now: TaiNs, instrument: InstrumentId, side: Side, price: Price) -> (bool, bool) {
        let sight = self.sights.get(instrument.index());
        sight.map_or((false, false), |sight| (sight.own.may_stand(side, price), sight.has_own_trade(now)))
    }

    /// Whether an open order of `side` may stand at `price`: none does where this says no.
    #[inline]
    pub(crate) fn may_stand(&self, instrument: InstrumentId, side: Side, price: Price) -> bool {
        self.sights.get(instrument.index()).is_some_and(|sight| sight.own.may_stand(side, price))
    }

    /// What others traded in an instrument and its reference, by instrument, for a hash of what decides.
    pub(crate) fn sight_words(&self) -> impl Iterator<Item = u64> + '_ {
        self.sights.iter().flat_map(super::sight::Sight::words)
    }

    /// What a price is compared with: the prints of others from the close of the day before on; without either the price
    /// that an auction names; without that the middle of what others bid and ask, if that is near enough.
    #[inline(always)]
    pub(super) fn reference(&self, now: TaiNs, instrument: InstrumentId, market: &Market<'_>) -> Option<Price> {
        match self.sights.get(instrument.index()).and_then(super::sight::Sight::reference) {
            Some(traded) => Some(traded),
            None => self.reference_without_prints(now, instrument, market),
        }
    }

    #[cold]
    fn reference_without_prints(&self, now: TaiNs, instrument: InstrumentId, market: &Market<'_>) -> Option<Price> {
        self.indication(now, instrument).or_else(|| self.middle(instrument, market))
    }

    fn middle(&self, instrument: InstrumentId, market: &Market<'_>) -> Option<Price> {
        let [bid, ask] = [Side::Buy, Side::Sell].map(|side| self.best_of_others(instrument, side, market));
        let (bid, ask) = (bid?.0, ask?.0);
        let is_near = ask > bid && (ask - bid) * 20_000 <= (bid + ask) * i64::from(self.limits().reference_spread_bps);
        is_near.then_some(Price((bid + ask) / 2))
    }

    /// The best price of a side at which or better others have as many shares as a side must have.
    fn best_of_others(&self, instrument: InstrumentId, side: Side, market: &Market<'_>) -> Option<Price> {
        let sight = self.sights.get(instrument.index())?;
        let enough = u64::from(self.limits().reference_depth_min.max(1));
        let ours_at = |price: Price| -> u64 {
            if !sight.own.may_stand(side, price) {
                return 0;
            }
            let ours = market.orders.in_instrument(instrument).filter(|order| order.side == side);
            let ours = ours.filter_map(|order| market.books.order(order.venue_order));
            let here = ours.filter(|order| order.side == side && order.price == price);
            here.map(|order| u64::from(order.quantity)).sum()
        };
        let mut others: u64 = 0;
        let mut levels = market.books.depth(instrument, side).take(LEVELS);
        let deep = levels.find(|level| {
            others = others.saturating_add(level.quantity.saturating_sub(ours_at(level.price)));
            others >= enough
        });
        deep.map(|level| level.price)
    }

    /// Whether an order is small beside what others traded lately. What only closes a position is a way out.
    #[inline(always)]
    pub(super) fn check_volume(
        &self,
        now: TaiNs,
        instrument: InstrumentId,
        quantity: Quantity,
        worst: i64,
    ) -> Result<(), Refusal> {
        if quantity <= self.limits().volume_shares_min || worst <= 0 {
            return Ok(());
        }
        self.check_recent(now, instrument, quantity)
    }

    /// An order beyond the floor.
    #[inline(never)]
    fn check_recent(&self, now: TaiNs, instrument: InstrumentId, quantity: Quantity) -> Result<(), Refusal> {
        let limits = self.limits();
        let recent = self.sights.get(instrument.index()).map_or(0, |sight| sight.recent_shares(now));
        // Below 2^33 * 2^32; what does not fit is more than an order can have.
        let part = recent.saturating_mul(u64::from(limits.volume_percent_max)) / 100;
        let max = i64::try_from(part).unwrap_or(i64::MAX).max(i64::from(limits.volume_shares_min));
        if i64::from(quantity) > max {
            return Err(Refusal { reason: Reason::Volume, limit: max, value: i64::from(quantity) });
        }
        Ok(())
    }
}
