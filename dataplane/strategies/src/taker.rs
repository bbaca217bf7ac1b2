//! A taker: when one side of the book is much larger than the other, the price is about to move that way; take the
//! smaller side before it does, and leave after a while.
//!
//! Entries and exits are limit orders at the touch, immediate or cancel by default. With `ioc = 0` they rest for the
//! holding time where they did not trade, and are cancelled then.
//!
//! It keeps no state beyond a restart: what it finds it holds, of an earlier run or of the day before, it leaves like what
//! it entered itself, from the first look at each instrument on.

use crate::params::{Param, ParamError, Setup};
use crate::universe::Universe;
use crate::{tick_down, tick_up};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use tern_core::book::BookChange;
use tern_core::strategy::{Batch, Ctx, INTENTS_MAX, Intent, Intents, OrderEvent, Strategy, TimeInForce};
use tern_core::units::{InstrumentId, Price, Quantity, Side, TaiNs};

const KNOWN: [Param; 7] = [
    Param { name: "quantity", default: 100, range: (1, 999_999), help: "shares an entry" },
    Param { name: "ratio", default: 5, range: (2, 1_000_000), help: "times that one side is larger" },
    Param { name: "hold_ns", default: 200_000_000, range: (1000, 3_600_000_000_000), help: "time in a position, ns" },
    Param {
        name: "cooldown_ns",
        default: 100_000_000,
        range: (0, 3_600_000_000_000),
        help: "rest between entries, ns",
    },
    Param { name: "max_position", default: 500, range: (1, 1_000_000), help: "shares held either way" },
    Param { name: "ioc", default: 1, range: (0, 1), help: "1: immediate or cancel; 0: rests until it is cancelled" },
    Param { name: "instruments", default: 200, range: (1, 1_000_000), help: "instruments traded at most" },
];

/// See the [module](self).
#[derive(Debug)]
pub struct Taker {
    universe: Universe,
    quantity: i64,
    ratio: u64,
    hold_ns: u64,
    cooldown_ns: u64,
    max_position: i64,
    time_in_force: TimeInForce,
    /// When each instrument may be entered again.
    rested: Box<[TaiNs]>,
    /// Instruments to look at, by time: each holding time is the same, so the queue is in order.
    exits: VecDeque<(TaiNs, InstrumentId)>,
    exits_max: usize,
    /// How often each instrument is in that queue.
    looks: Box<[u16]>,
}

impl Taker {
    /// Parameters.
    pub const PARAMS: &'static [Param] = &KNOWN;

    /// Makes one.
    ///
    /// # Errors
    /// A parameter is unknown or out of range.
    pub fn new(setup: &Setup<'_>) -> Result<Self, ParamError> {
        let [quantity, ratio, hold_ns, cooldown_ns, max_position, ioc, instruments] = setup.params.read(&KNOWN)?;
        let exits_max = setup.instruments_max.saturating_mul(4).max(16);
        Ok(Self {
            universe: Universe::new(setup, instruments as usize),
            quantity,
            ratio: ratio.unsigned_abs(),
            hold_ns: hold_ns.unsigned_abs(),
            cooldown_ns: cooldown_ns.unsigned_abs(),
            max_position,
            time_in_force: if ioc == 1 { TimeInForce::Ioc } else { TimeInForce::Day },
            rested: vec![TaiNs(0); setup.instruments_max].into_boxed_slice(),
            exits: VecDeque::with_capacity(exits_max),
            exits_max,
            looks: vec![0; setup.instruments_max].into_boxed_slice(),
        })
    }

    /// Enters where the imbalance says so.
    fn enter(&mut self, ctx: &Ctx<'_>, instrument: InstrumentId, out: &mut Intents) {
        let top = ctx.books().top(instrument);
        let (Some(bid), Some(ask)) = (top.bid, top.ask) else { return };
        let side = if bid.quantity > ask.quantity.saturating_mul(self.ratio) {
            Side::Buy
        } else if ask.quantity > bid.quantity.saturating_mul(self.ratio) {
            Side::Sell
        } else {
            return;
        };
        let Some(rested) = self.rested.get_mut(instrument.index()) else { return };
        if ctx.now() < *rested || ctx.orders(instrument).next().is_some() || self.exits.len() >= self.exits_max {
            return;
        }
        let room = self.max_position - side.sign() * ctx.position(instrument).shares;
        let price = take_at(side, if side == Side::Buy { ask.price } else { bid.price });
        let limits = ctx.limits();
        let Some(affordable) = limits.order_notional_max.checked_div(price.0) else { return };
        let quantity = self.quantity.min(room).min(affordable).min(i64::from(limits.order_quantity_max));
        if quantity <= 0 {
            return;
        }
        *rested = ctx.now().plus(self.cooldown_ns);
        self.look_later(ctx, instrument);
        out.push(Intent::New {
            instrument,
            side,
            price,
            quantity: quantity as Quantity,
            min_quantity: 0,
            time_in_force: self.time_in_force,
            post_only: false,
        });
    }

    fn look_later(&mut self, ctx: &Ctx<'_>, instrument: InstrumentId) {
        if let Some(looks) = self.looks.get_mut(instrument.index()) {
            *looks = looks.saturating_add(1);
            self.exits.push_back((ctx.now().plus(self.hold_ns), instrument));
        }
    }

    /// What there is of ours has to be left too when this did not enter it: it was there at the first look at the instrument,
    /// or the venue told of it.
    #[cold]
    fn adopt(&mut self, ctx: &Ctx<'_>, instrument: InstrumentId) {
        let is_any = ctx.position(instrument).shares != 0 || ctx.orders(instrument).next().is_some();
        if is_any && self.exits.len() < self.exits_max {
            self.look_later(ctx, instrument);
        }
    }

    /// The holding time is over: what rests is cancelled, what is held is sold or bought back at the touch. Looks again
    /// after another holding time until nothing is left.
    fn leave(&mut self, ctx: &Ctx<'_>, instrument: InstrumentId, out: &mut Intents) {
        let mut left = false;
        for order in ctx.orders(instrument) {
            left = true;
            if order.is_settled() {
                out.push(Intent::Cancel { order: order.id() });
            }
        }
        let held = ctx.position(instrument).shares;
        if held == 0 && !left {
            return;
        }
        self.look_later(ctx, instrument);
        // What would be refused anyway, before the open or in a halt, is not asked for five times a second.
        if left || !ctx.can_trade() || !ctx.is_tradable(instrument) || !has_rate(ctx, out) {
            return;
        }
        let top = ctx.books().top(instrument);
        let (side, level) = if held > 0 { (Side::Sell, top.bid) } else { (Side::Buy, top.ask) };
        let Some(level) = level else { return };
        let price = take_at(side, level.price);
        let limits = ctx.limits();
        let Some(affordable) = limits.order_notional_max.checked_div(price.0) else { return };
        let quantity = held.abs().min(affordable).min(i64::from(limits.order_quantity_max));
        if quantity > 0 {
            out.push(Intent::New {
                instrument,
                side,
                price,
                quantity: quantity as Quantity,
                min_quantity: 0,
                time_in_force: self.time_in_force,
                post_only: false,
            });
        }
    }
}

/// Whether the order rate has room for one intent more.
fn has_rate(ctx: &Ctx<'_>, out: &Intents) -> bool {
    ctx.orders_due(out.len() as u32 + 1) <= ctx.now()
}

/// The price at which an order trades with everything up to `price`.
fn take_at(side: Side, price: Price) -> Price {
    Price(if side == Side::Buy { tick_up(price.0) } else { tick_down(price.0) })
}

impl Strategy for Taker {
    #[inline]
    fn on_book(&mut self, ctx: &Ctx<'_>, change: &BookChange, _: &mut Intents) {
        if change.top_changed
            && self.universe.touch(ctx, change.instrument)
            && self.looks.get(change.instrument.index()) == Some(&0)
        {
            self.adopt(ctx, change.instrument);
        }
    }
    #[inline]
    fn on_batch_end(&mut self, ctx: &Ctx<'_>, _: Batch, out: &mut Intents) {
        // What does not fit now is looked at with the next batch; a signal that old is worth nothing anyway.
        while out.len() < INTENTS_MAX {
            let Some(instrument) = self.universe.next() else { return };
            if ctx.can_trade() && ctx.is_tradable(instrument) && has_rate(ctx, out) {
                self.enter(ctx, instrument, out);
            }
        }
    }
    fn on_order(&mut self, ctx: &Ctx<'_>, event: &OrderEvent, _: &mut Intents) {
        if self.looks.get(event.instrument.index()) == Some(&0) {
            self.adopt(ctx, event.instrument);
        }
    }
    fn on_timer(&mut self, ctx: &Ctx<'_>, out: &mut Intents) {
        while out.len() + 4 <= INTENTS_MAX {
            let Some((at, instrument)) = self.exits.front().copied() else { return };
            if at > ctx.now() {
                return;
            }
            self.exits.pop_front();
            if let Some(looks) = self.looks.get_mut(instrument.index()) {
                *looks = looks.saturating_sub(1);
            }
            self.leave(ctx, instrument, out);
        }
    }
    fn next_deadline(&self) -> TaiNs {
        self.exits.front().map_or(TaiNs::NEVER, |(at, _)| *at)
    }
}
