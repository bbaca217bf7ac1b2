//! Terms of orders beyond price and shares: which go together, and what an order for a cross is valued at.

use super::Reason;
use super::bounds::Bounds;
use super::gate::Gate;
use super::question::{Market, NewOrder, Refusal};
use crate::orders::Order;
use crate::session::TimeInForce;
use crate::units::{InstrumentId, Price, Quantity, TaiNs};

/// Shares of a round lot: a minimum quantity is a number of them (OUCH 5.0, appendix B).
pub(crate) const ROUND_LOT: Quantity = 100;

/// Whether the terms of a new order go together. Plain orders cost one compare.
///
/// - A minimum quantity is of round lots, no more than the order, and of an order that is immediate or cancel: displayed
///   orders have none.
/// - What is for a cross does not rest, so it cannot be post only.
///
/// A market order outside of a cross has a price that no order may have.
#[inline(always)]
pub(super) fn check_terms(new: &NewOrder) -> Result<(), Refusal> {
    if new.min_quantity == 0 && !new.time_in_force.is_cross() {
        return Ok(());
    }
    check_special(new)
}

#[cold]
fn check_special(new: &NewOrder) -> Result<(), Refusal> {
    let wrong = Refusal::new(Reason::Terms);
    if new.time_in_force.is_cross() && (new.post_only || new.min_quantity != 0) {
        return Err(wrong);
    }
    if new.min_quantity != 0 {
        let fits = new.time_in_force == TimeInForce::Ioc && !new.post_only;
        if !fits || new.min_quantity > new.quantity || !new.min_quantity.is_multiple_of(ROUND_LOT) {
            return Err(Refusal { limit: new.quantity.into(), value: new.min_quantity.into(), ..wrong });
        }
    }
    Ok(())
}

/// Whether a replace says all that there is to say of an order: for a cross the venue has no field in it.
#[inline]
pub(super) fn check_replaceable(order: &Order) -> Result<(), Refusal> {
    if order.time_in_force.is_cross() { Err(Refusal::new(Reason::Terms)) } else { Ok(()) }
}

/// Whether a part of an order can be canceled, so that `quantity` shares stay open, and the venue cannot but understand
/// it. Of an order that was replaced after executions it is not said whether the size is the order's or the chain's
/// (OUCH 5.0, 2.3); and a partial cancel that was refused once gets no answer again (3.10).
pub(super) fn check_reducible(order: &Order, quantity: Quantity) -> Result<(), Refusal> {
    if !order.is_settled() {
        return Err(Refusal::new(Reason::OrderBusy));
    }
    if quantity == 0 || quantity >= order.leaves {
        let most = order.leaves.saturating_sub(1);
        return Err(Refusal { limit: most.into(), value: quantity.into(), ..Refusal::new(Reason::Quantity) });
    }
    if order.executed_before != 0 || order.reduce_refused || order.adopted {
        return Err(Refusal::new(Reason::Terms));
    }
    Ok(())
}

impl Gate {
    /// As [`check_order`](Self::check_order), of an order for a cross: it is valued at the most that the collar lets anything
    /// trade at, whatever its limit and side, and a limit has to be within the collar too. A symbol's own bounds are held
    /// against the limit alone: what it is valued at is no price that it asks. A market order has no price that would keep
    /// it within them, so none is sent where there are any. What its shares count at.
    #[cold]
    #[inline(never)]
    pub(super) fn check_cross(
        &self,
        now: TaiNs,
        new: &NewOrder,
        bounds: &Bounds,
        market: &Market<'_>,
    ) -> Result<Price, Refusal> {
        let worth = self.upper_collar(now, new.instrument, market)?;
        if !new.price.is_market() {
            self.check_order(now, new.instrument, (new.price, new.quantity), (0, 0), bounds, market)?;
        } else if bounds.has_price_band() {
            return Err(Refusal { reason: Reason::PriceBand, limit: bounds.price_max.0, value: new.price.0 });
        }
        let bounds = &bounds.at_any_price();
        let reference = self.check_order(now, new.instrument, (worth, new.quantity), (0, 0), bounds, market)?;
        Ok(worth.max(reference))
    }

    /// What a share of an order that was approved stands for, should that not be its price.
    #[inline]
    pub(crate) fn valued_at(&self, now: TaiNs, new: &NewOrder, market: &Market<'_>) -> Price {
        if !new.time_in_force.is_cross() {
            return Price(0);
        }
        self.upper_collar(now, new.instrument, market).unwrap_or(super::checks::PRICE_MAX)
    }

    #[cold]
    fn upper_collar(&self, now: TaiNs, instrument: InstrumentId, market: &Market<'_>) -> Result<Price, Refusal> {
        let reference = self.reference(now, instrument, market).ok_or(Refusal::new(Reason::NoReference))?;
        let above = reference.0.saturating_mul(self.limits().price_collar_bps.into()) / 10_000;
        Ok(Price(reference.0.saturating_add(above)).min(super::checks::PRICE_MAX))
    }
}
