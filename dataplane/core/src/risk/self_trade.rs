//! Self-trade prevention: no order that would trade with another of the account's own, of whichever strategy.
//!
//! For each side of an instrument the gate knows a bound: no open order of the account there has a better price. A new
//! order or a replace that does not reach the bound of the other side costs one compare; one that does is held against
//! the orders themselves. The bound of a side only gets better while orders are open there, and is forgotten with the last.
//!
//! What counts is what could trade at the venue: an order whose cancel or replace is on its way stands at its old price,
//! one that is being replaced at its new price too.

use crate::orders::{Order, Orders};
use crate::units::{InstrumentId, Price, Side};
use tern_abi::counter_enum;
use zerocopy::FromZeros;

counter_enum! {
    /// What becomes of an order that would trade with the account's own. Values are part of the journal's layout
    /// (`LimitId::SelfTrade`).
    pub enum SelfTrade {
        Off = "off": "Nothing is checked: the venue's own prevention is relied on.",
        CancelNewest = "cancel_newest": "The new order is refused; what rests stays.",
        CancelOldest = "cancel_oldest": "What rests is cancelled. The new order is refused until it is gone: the venue may still trade it.",
        CancelBoth = "cancel_both": "The new order is refused, and what rests is cancelled.",
    }
}

/// Bounds of what the account's open orders may trade at in one instrument, by side, as ranks: the greater the better, 0
/// for none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromZeros)]
pub(super) struct OwnPrices([u32; 2]);

/// A price as its side sees it: the greater the better. A price beyond those of orders means "market": none is better.
const fn rank(side: Side, price: Price) -> u32 {
    if price.0 < 0 || price.0 >= Price::MARKET.0 {
        return u32::MAX;
    }
    match side {
        Side::Buy => price.0 as u32,
        Side::Sell => !(price.0 as u32),
    }
}

/// Whether an order of `side` at `price` trades with one of the other side at `theirs`.
#[inline]
const fn crosses(side: Side, price: Price, theirs: u32) -> bool {
    // Seen from the other side, ours is no better than theirs; a market order takes any.
    price.is_market() || rank(side.opposite(), price) <= theirs
}

/// The best price at which an open order may trade, as a rank.
#[inline]
fn best_rank(order: &Order) -> u32 {
    let now = rank(order.side, order.price);
    if order.pending.0 == 0 { now } else { now.max(rank(order.side, order.pending_price)) }
}

impl OwnPrices {
    /// An order of the instrument is as it is now; `open` shares of its side may trade.
    #[inline]
    pub(super) fn settle(&mut self, order: &Order, open: i64) {
        let bound = &mut self.0[order.side.index()];
        *bound = match open {
            0 => 0,
            _ if order.counted == 0 => *bound,
            _ => best_rank(order).max(*bound),
        };
    }

    /// Whether an order is open on either side.
    #[inline]
    pub(super) const fn is_any(&self) -> bool {
        self.0[0] | self.0[1] != 0
    }

    /// Whether an open order of `side` may stand at `price`: none stands where this says no.
    #[inline]
    pub(super) const fn may_stand(&self, side: Side, price: Price) -> bool {
        let ours = self.0[side.index()];
        ours != 0 && rank(side, price) <= ours
    }

    /// Whether an order of `side` at `price` reaches the bound of the other side.
    #[inline]
    pub(super) const fn may_cross(&self, side: Side, price: Price) -> bool {
        let theirs = self.0[side.opposite().index()];
        theirs != 0 && crosses(side, price, theirs)
    }
}

/// Whether `order` would trade with one of `side` at `price` in the same instrument.
pub(crate) fn would_trade(order: &Order, side: Side, price: Price) -> bool {
    order.side == side.opposite() && order.counted != 0 && crosses(side, price, best_rank(order))
}

/// The oldest of the account's open orders that an order of `side` at `price` would trade with.
#[cold]
pub(super) fn own_in_the_way(orders: &Orders, instrument: InstrumentId, side: Side, price: Price) -> Option<&Order> {
    orders.in_instrument(instrument).find(|order| would_trade(order, side, price))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::OrderId;

    fn order(side: Side, price: i64) -> Order {
        Order { counted: 1, ..Order::new(OrderId(1), InstrumentId(0), side, Price(price), 1) }
    }

    #[test]
    fn equal_prices_trade_and_the_bound_never_misses_an_order() {
        for (side, price, theirs, trades) in [
            (Side::Buy, 100, 100, true),
            (Side::Buy, 99, 100, false),
            (Side::Sell, 100, 100, true),
            (Side::Sell, 101, 100, false),
            (Side::Buy, 1_999_999_900, 1, true),
            (Side::Sell, 1, 1_999_999_900, true),
            // A price that means "market" trades with anything.
            (Side::Buy, 1, i64::from(u32::MAX), true),
            (Side::Buy, 1, i64::MAX, true),
            (Side::Sell, 1_999_999_900, i64::MAX, true),
        ] {
            let resting = order(side.opposite(), theirs);
            assert_eq!(would_trade(&resting, side, Price(price)), trades, "{side:?} {price} against {theirs}");
            let mut own = OwnPrices::default();
            assert!(!own.may_cross(side, Price(price)), "nothing rests");
            own.settle(&resting, 1);
            assert_eq!(own.may_cross(side, Price(price)), trades, "{side:?} {price} against {theirs}");
            own.settle(&Order { counted: 0, ..resting }, 0);
            assert!(!own.may_cross(side, Price(price)), "gone");
        }
        assert!(!would_trade(&order(Side::Buy, 100), Side::Buy, Price(1)), "the same side");
    }

    #[test]
    fn an_order_that_is_being_replaced_stands_at_both_prices() {
        let moving = Order { pending: OrderId(2), pending_price: Price(110), ..order(Side::Buy, 100) };
        assert!(would_trade(&moving, Side::Sell, Price(105)));
        let back = Order { pending_price: Price(90), ..moving };
        assert!(would_trade(&back, Side::Sell, Price(95)));
        assert!(!would_trade(&back, Side::Sell, Price(101)));
    }
}
