//! A market maker: quotes both sides round a fair price.
//!
//! The fair price weighs bid and ask by the shares on the *other* side (the larger bid pulls it up), our own orders left
//! out, and moves against what is held, so that the side that would reduce the position is the better one. A quote
//! follows when the fair price left it by more than the tolerance; it is pulled when the other side is so much larger
//! that it is likely to be run over, or when the position has no room left.
//!
//! The order rate is shared with the other strategies of the account: where it has no room, instruments wait in line for
//! their next quote, and a part of the burst is left to the others.

use crate::params::{Param, ParamError, Setup};
use crate::universe::Universe;
use crate::{tick_down, tick_up};
use tern_core::book::{BookChange, Level};
use tern_core::orders::Order;
use tern_core::session::VenueEventKind;
use tern_core::strategy::{Batch, Ctx, INTENTS_MAX, Intent, Intents, OrderEvent, Strategy, TimeInForce};
use tern_core::units::{InstrumentId, Price, Quantity, Side, TaiNs};

const KNOWN: [Param; 8] = [
    Param { name: "quantity", default: 100, range: (1, 999_999), help: "shares a quote" },
    Param { name: "half_spread", default: 100, range: (0, 1_000_000), help: "distance from fair, 1/10000" },
    Param { name: "skew", default: 50, range: (0, 1_000_000), help: "shift for each `quantity` held, 1/10000" },
    Param { name: "max_position", default: 1000, range: (1, 1_000_000), help: "shares held either way" },
    Param { name: "tolerance", default: 100, range: (0, 1_000_000), help: "move that a quote sits out, 1/10000" },
    Param { name: "pull_ratio", default: 8, range: (2, 1_000_000), help: "other side's size at which to pull" },
    Param { name: "instruments", default: 200, range: (1, 1_000_000), help: "instruments quoted at most" },
    Param { name: "rate_spare", default: 10, range: (0, 90), help: "part of the order burst left to others, percent" },
];

/// See the [module](self).
#[derive(Debug)]
pub struct Maker {
    universe: Universe,
    quantity: i64,
    half_spread: i64,
    skew: i64,
    max_position: i64,
    tolerance: i64,
    pull_ratio: u64,
    rate_spare_percent: u32,
    /// When the rate has room for the instruments that wait.
    due: TaiNs,
}

/// What there should be on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quote {
    price: Price,
    quantity: Quantity,
}

impl Maker {
    /// Parameters.
    pub const PARAMS: &'static [Param] = &KNOWN;

    /// Makes one.
    ///
    /// # Errors
    /// A parameter is unknown or out of range.
    pub fn new(setup: &Setup<'_>) -> Result<Self, ParamError> {
        let [quantity, half_spread, skew, max_position, tolerance, pull_ratio, instruments, rate_spare] =
            setup.params.read(&KNOWN)?;
        Ok(Self {
            universe: Universe::new(setup, instruments as usize),
            quantity,
            half_spread,
            skew,
            max_position,
            tolerance,
            pull_ratio: pull_ratio.unsigned_abs(),
            rate_spare_percent: rate_spare as u32,
            due: TaiNs(0),
        })
    }

    /// Requotes instruments that changed, as many as one call may.
    fn requote(&mut self, ctx: &Ctx<'_>, out: &mut Intents) {
        let burst = ctx.limits().order_burst_max;
        let spare = (u64::from(burst) * u64::from(self.rate_spare_percent) / 100) as u32;
        // A side takes one intent, but for strays that are cancelled beside it.
        while out.len() + 4 <= INTENTS_MAX && !self.universe.is_idle() {
            // A burst that is smaller than what two quotes take must not keep them back for ever.
            self.due = ctx.orders_due((out.len() as u32 + 2 + spare).min(burst.max(1)));
            if self.due > ctx.now() {
                return;
            }
            let Some(instrument) = self.universe.next() else { return };
            if ctx.can_trade() && ctx.is_tradable(instrument) {
                let market = Market::of(ctx, instrument);
                for side in [Side::Buy, Side::Sell] {
                    let quote = market.and_then(|market| self.quote(ctx, instrument, side, &market));
                    self.follow(ctx, instrument, side, quote, out);
                }
            }
        }
    }

    /// The quote that this side should have.
    fn quote(&self, ctx: &Ctx<'_>, instrument: InstrumentId, side: Side, market: &Market) -> Option<Quote> {
        let Market { best_bid, best_ask, bid: (bid, bid_shares), ask: (ask, ask_shares) } = *market;
        let (near, far) = if side == Side::Buy { (bid_shares, ask_shares) } else { (ask_shares, bid_shares) };
        if far > near.saturating_mul(self.pull_ratio) {
            return None;
        }
        let held = ctx.position(instrument).shares;
        // So many shares that nothing overflows: a price is below 2^32.
        let [bid_weight, ask_weight] = [bid_shares, ask_shares].map(|shares| shares.min(1 << 29) as i64);
        let fair = bid.0 + (ask.0 - bid.0) * bid_weight / (bid_weight + ask_weight) - held * self.skew / self.quantity;
        // Never through the other side: a maker's order that would trade is refused by the venue (post only).
        let price = match side {
            Side::Buy => tick_down((fair - self.half_spread).min(best_ask.0 - 1)),
            Side::Sell => tick_up((fair + self.half_spread).max(best_bid.0 + 1)),
        };
        let limits = ctx.limits();
        let affordable = limits.order_notional_max.checked_div(price).filter(|_| price > 0)?;
        let room = self.max_position - side.sign() * held;
        let quantity = self.quantity.min(room).min(affordable).min(i64::from(limits.order_quantity_max));
        (quantity > 0).then_some(Quote { price: Price(price), quantity: quantity as Quantity })
    }

    /// Brings the orders of a side to `quote`: one order, where it should be.
    fn follow(&self, ctx: &Ctx<'_>, instrument: InstrumentId, side: Side, quote: Option<Quote>, out: &mut Intents) {
        let mut own = ctx.orders(instrument).filter(|order| order.side() == side);
        let first = own.next();
        own.filter(|order| order.is_settled()).take(1).for_each(|stray| out.push(cancel(stray)));
        match (first, quote) {
            (None, Some(Quote { price, quantity })) => out.push(Intent::New {
                instrument,
                side,
                price,
                quantity,
                min_quantity: 0,
                time_in_force: TimeInForce::Day,
                post_only: true,
            }),
            (Some(order), None) if order.is_settled() => out.push(cancel(order)),
            (Some(order), Some(quote)) if order.is_settled() && self.has_moved(order, quote) => {
                out.push(Intent::Replace { order: order.id(), price: quote.price, quantity: quote.quantity });
            }
            _ => {}
        }
    }

    /// Whether the order is worth its place in the queue no more.
    fn has_moved(&self, order: &Order, quote: Quote) -> bool {
        (order.price().0 - quote.price.0).abs() > self.tolerance
            || order.leaves() > quote.quantity
            || order.leaves() < quote.quantity / 4
    }
}

/// What an instrument's quotes depend on.
#[derive(Clone, Copy, Debug)]
struct Market {
    best_bid: Price,
    best_ask: Price,
    /// The best bid of others, and their shares at it.
    bid: (Price, u64),
    /// The best offer of others, and their shares at it.
    ask: (Price, u64),
}

impl Market {
    /// `None` unless others are on both sides.
    fn of(ctx: &Ctx<'_>, instrument: InstrumentId) -> Option<Self> {
        let top = ctx.books().top(instrument);
        let (best_bid, best_ask) = (top.bid?, top.ask?);
        Some(Self {
            best_bid: best_bid.price,
            best_ask: best_ask.price,
            bid: foreign_best(ctx, instrument, Side::Buy, best_bid)?,
            ask: foreign_best(ctx, instrument, Side::Sell, best_ask)?,
        })
    }
}

/// The best price at which others have shares, and how many. Where our own orders alone are the best, as they are inside
/// a wide spread, a fair price of theirs would follow itself.
fn foreign_best(ctx: &Ctx<'_>, instrument: InstrumentId, side: Side, best: Level) -> Option<(Price, u64)> {
    let foreign = |level: Level| {
        // Mostly none of ours stands there, and then neither they nor their places in the book are looked at.
        if !ctx.may_stand(instrument, side, level.price) {
            return (level.quantity > 0).then_some((level.price, level.quantity));
        }
        let at_it = ctx.orders(instrument).filter(|order| order.side() == side && order.price() == level.price);
        // The venue may have acknowledged an order that the feed has not shown yet.
        let own = at_it.filter_map(|order| ctx.books().order(order.venue_order()));
        let shares = level.quantity.saturating_sub(own.map(|order| u64::from(order.quantity)).sum());
        (shares > 0).then_some((level.price, shares))
    };
    foreign(best).or_else(|| ctx.books().depth(instrument, side).skip(1).find_map(foreign))
}

fn cancel(order: &Order) -> Intent {
    Intent::Cancel { order: order.id() }
}

impl Strategy for Maker {
    #[inline]
    fn on_book(&mut self, ctx: &Ctx<'_>, change: &BookChange, _: &mut Intents) {
        if change.top_changed {
            let _ = self.universe.touch(ctx, change.instrument);
        }
    }
    #[inline]
    fn on_batch_end(&mut self, ctx: &Ctx<'_>, _: Batch, out: &mut Intents) {
        if !self.universe.is_idle() {
            self.requote(ctx, out);
        }
    }
    fn on_order(&mut self, ctx: &Ctx<'_>, event: &OrderEvent, out: &mut Intents) {
        // What the venue rejected it would reject again: the next quote waits for the book to change.
        if event.kind != VenueEventKind::Rejected {
            let _ = self.universe.touch(ctx, event.instrument);
        }
        self.requote(ctx, out);
    }
    fn on_timer(&mut self, ctx: &Ctx<'_>, out: &mut Intents) {
        self.requote(ctx, out);
    }
    fn next_deadline(&self) -> TaiNs {
        if self.universe.is_idle() { TaiNs::NEVER } else { self.due }
    }
}
