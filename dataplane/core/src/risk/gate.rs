//! The gate: one function an action, cheapest and most damning check first; every way out is a [`Reason`] or [`Approved`].
//! The single checks are in `checks.rs`, what it is asked in `question.rs`, what sets and shows what is in force in `in_force.rs`.

use super::bounds::BoundsTable;
use super::checks::check_way_out;
use super::listing::Listings;
use super::question::{Market, Moment, NewOrder, Owner, Refusal};
use super::scopes::OWNERS;
use super::sight::Sight;
use super::standing::{Own, valued};
use super::strategy_bounds::StrategyTable;
use super::terms::{check_reducible, check_replaceable, check_terms};
use super::throttle::Repeats;
use super::{Approved, Exposure, HaltReason, Limits, Rate, Reason, Scopes, Stake, StrategyLimits, SymbolLimits};
use crate::book::Memory;
use crate::orders::Order;
use crate::session::{OrderAction, OrderView};
use crate::units::{Cash, InstrumentId, OrderId, Price, Quantity, Side, Symbol, TaiNs};
use tern_abi::arena::Arena;

/// The gate. The pipeline alone makes one.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Gate {
    pub(super) limits: Limits,
    pub(super) bounds: BoundsTable,
    /// Instruments whose entry in `bounds` is known.
    pub(super) instruments: usize,
    pub(super) rate: Rate,
    /// Orders may be sent from the first time until before the second.
    pub(super) hours: (TaiNs, TaiNs),
    /// Messages of the venue's day.
    pub(super) messages: u32,
    pub(super) halt: Option<HaltReason>,
    pub(super) exposures: Arena<Exposure>,
    pub(super) sights: Arena<Sight>,
    /// By instrument, and in it by owner: [`owner_count`](Self::owner_count) of them each.
    pub(super) owns: Arena<Own>,
    pub(super) owner_count: usize,
    /// The owners' longs and shorts of each instrument together.
    pub(super) sides: Arena<[i64; 2]>,
    pub(super) stake: Stake,
    pub(super) owner_stakes: [Stake; OWNERS],
    pub(super) strategy_bounds: StrategyTable,
    /// Owners whose loss is beyond their limit, and who were not stopped for it yet, a bit each.
    pub(super) losers: u32,
    pub(super) scopes: Scopes,
    pub(super) repeats: [Repeats; OWNERS],
    pub(super) listings: Listings,
}

impl Gate {
    pub(crate) fn new(
        limits: Limits,
        (symbols, short_max): (&[SymbolLimits], i64),
        (owner_count, strategies): (usize, &[(u8, StrategyLimits)]),
        instruments: usize,
        memory: &mut impl Memory,
    ) -> Self {
        let rate = Rate::new(limits.orders_per_second_max, limits.order_burst_max, limits.cancel_reserve);
        let (exposures, sights) = (memory.arena(instruments), memory.arena(instruments));
        Self {
            limits,
            bounds: BoundsTable::new(&limits, symbols, short_max),
            instruments: 0,
            rate,
            hours: (TaiNs(0), TaiNs::NEVER),
            messages: 0,
            halt: None,
            exposures,
            sights,
            owns: memory.arena(instruments * owner_count),
            owner_count,
            sides: memory.arena(instruments),
            stake: Stake::default(),
            owner_stakes: [Stake::default(); OWNERS],
            strategy_bounds: StrategyTable::new(&limits, strategies),
            losers: 0,
            scopes: Scopes::default(),
            repeats: [Repeats::default(); OWNERS],
            listings: Listings::new(instruments),
        }
    }

    /// A message is sent at `now`.
    #[inline]
    fn take_message(&mut self, now: TaiNs) {
        self.rate.take(now);
        self.messages = self.messages.saturating_add(1);
    }

    /// Checks a new order.
    #[inline]
    pub(crate) fn approve_new(
        &mut self,
        at: &Moment,
        owner: Owner,
        id: OrderId,
        new: &NewOrder,
        market: &Market<'_>,
    ) -> Result<Approved, Refusal> {
        let (view, price) = self.check_new(at, owner, id, new, market)?;
        self.take_message(at.now);
        self.count_at(new.instrument, price);
        if let Some(exposure) = self.exposures.get_mut(new.instrument.index()) {
            exposure.last_order = fingerprint(new);
            exposure.last_order_ns = at.now.0;
        }
        Ok(Approved::new(view))
    }

    /// The shares of an instrument count at `price` from now on.
    #[inline]
    pub(crate) fn count_at(&mut self, instrument: InstrumentId, price: Cash) {
        if self.exposure(instrument).is_some_and(|exposure| exposure.valued_at != price) {
            self.revalue(instrument, price);
        }
    }

    /// The checks of a new order, without taking anything. What leaves, and the price at which the shares of its instrument
    /// count then.
    #[inline]
    pub(crate) fn check_new(
        &self,
        at: &Moment,
        owner: Owner,
        id: OrderId,
        new: &NewOrder,
        market: &Market<'_>,
    ) -> Result<(OrderView, Cash), Refusal> {
        self.check_moment(at)?;
        let (Some(exposure), Some(symbol)) = (self.exposure(new.instrument), market.instruments.symbol(new.instrument))
        else {
            return Err(Refusal::new(Reason::UnknownInstrument));
        };
        let more = i64::from(new.quantity);
        let wants = self.wants(owner.index, (new.instrument, new.side), more, exposure);
        let worst = wants.worst;
        self.check_scopes(&wants, symbol)?;
        let bounds = self.bounds.row(exposure.bounds);
        check_terms(new)?;
        let dearest = if new.time_in_force.is_cross() {
            self.check_cross(at.now, new, bounds, market)?
        } else {
            let order = (new.price, new.quantity);
            self.check_order(at.now, new.instrument, order, (0, 0), bounds, market)?.max(new.price)
        };
        self.check_position(&wants, bounds)?;
        self.check_volume(at.now, new.instrument, new.quantity, worst)?;
        let price = self.check_stake(&wants, (valued(dearest), 0), exposure)?;
        self.check_self_trade(new.instrument, new.side, new.price, market.orders)?;
        let open = market.orders.open_count();
        if open >= self.limits.open_orders_max || !market.orders.has_room() {
            return Err(Refusal::beyond(
                Reason::OpenOrders,
                i64::from(self.limits.open_orders_max),
                i64::from(open) + 1,
            ));
        }
        let since_ns = at.now.0.saturating_sub(exposure.last_order_ns);
        if since_ns < self.limits.duplicate_window_ns && exposure.last_order == fingerprint(new) {
            return Err(Refusal::beyond(Reason::Duplicate, self.limits.duplicate_window_ns as i64, since_ns as i64));
        }
        let short = new.side == Side::Sell && worst > 0;
        if short {
            self.check_short((new.instrument, new.price), (more, worst), bounds, market.books)?;
        }
        self.check_rate(at)?;
        let view = OrderView {
            action: OrderAction::New { order: id },
            symbol,
            instrument: new.instrument,
            side: new.side,
            short,
            price: new.price,
            quantity: new.quantity,
            min_quantity: new.min_quantity,
            time_in_force: new.time_in_force,
            post_only: new.post_only,
            strategy: owner.strategy,
            trader: owner.trader,
        };
        Ok((view, price))
    }

    /// Checks another price or size for a live order. `quantity` is what is to be open; the venue is told the total of
    /// the chain (OUCH 5.0, 2.2). Until it answers, the order stands for the greater of the two.
    #[inline]
    pub(crate) fn approve_replace(
        &mut self,
        at: &Moment,
        order: &Order,
        id: OrderId,
        price: Price,
        quantity: Quantity,
        market: &Market<'_>,
    ) -> Result<Approved, Refusal> {
        let (total, symbol, counts_at) = self.check_replace(at, order, price, quantity, market)?;
        self.take_message(at.now);
        self.count_at(order.instrument, counts_at);
        Ok(Approved::new(OrderView {
            action: OrderAction::Replace { previous: order.id, order: id },
            price,
            quantity: total,
            ..view_of(order, symbol)
        }))
    }

    /// The checks of a replace, without taking anything. The chain's total, the symbol, and the price at which the shares of
    /// its instrument count then.
    #[inline]
    pub(crate) fn check_replace(
        &self,
        at: &Moment,
        order: &Order,
        price: Price,
        quantity: Quantity,
        market: &Market<'_>,
    ) -> Result<(Quantity, Symbol, Cash), Refusal> {
        self.check_moment(at)?;
        if !order.is_settled() {
            return Err(Refusal::new(Reason::OrderBusy));
        }
        check_replaceable(order)?;
        let (Some(exposure), Some(symbol)) =
            (self.exposure(order.instrument), market.instruments.symbol(order.instrument))
        else {
            return Err(Refusal::new(Reason::UnknownInstrument));
        };
        let standing = (order.leaves, order.value());
        let bounds = self.bounds.row(exposure.bounds);
        let reference = self.check_order(at.now, order.instrument, (price, quantity), standing, bounds, market)?;
        // The chain's total has the limit of an order at the venue: less than 1,000,000 (OUCH 5.0, 2.2).
        let total = order.executed.saturating_add(quantity);
        let total_max = Limits::max(super::LimitId::OrderQuantityMax);
        if i64::from(total) > total_max {
            return Err(Refusal::beyond(Reason::Quantity, total_max, i64::from(total)));
        }
        let more = i64::from(quantity.max(order.leaves)) - i64::from(order.counted);
        let wants = self.wants(order.owner, (order.instrument, order.side), more, exposure);
        let worst = wants.worst;
        self.check_scopes(&wants, symbol)?;
        // A replace that adds no share is a way out and is never barred by a limit set below what is held.
        if more > 0 {
            self.check_position(&wants, bounds)?;
            self.check_volume(at.now, order.instrument, quantity, worst)?;
        }
        let dearer = if price > order.price { valued(price) } else { 0 };
        let fresh = valued(price.max(order.price).max(reference));
        let counts_at = self.check_stake(&wants, (fresh, dearer), exposure)?;
        self.check_self_trade(order.instrument, order.side, price, market.orders)?;
        if order.side == Side::Sell && !order.short && exposure.position - exposure.open(Side::Sell) < more {
            return Err(Refusal::new(Reason::ShortMark));
        }
        if order.short {
            self.check_short((order.instrument, price), (more, worst), bounds, market.books)?;
        }
        self.check_rate(at)?;
        Ok((total, symbol, counts_at))
    }

    /// Checks a strategy's cancel: it lowers what is at risk, so neither halt, age nor trust stands in its way.
    #[inline]
    pub(crate) fn approve_cancel(&mut self, at: &Moment, order: &Order, symbol: Symbol) -> Result<Approved, Refusal> {
        self.check_cancel(at, order)?;
        self.take_message(at.now);
        Ok(cancel_of(order, symbol))
    }

    /// The checks of a strategy's cancel, without taking anything.
    #[inline]
    pub(crate) fn check_cancel(&self, at: &Moment, order: &Order) -> Result<(), Refusal> {
        if order.cancel_wanted || order.cancel_sent.0 != 0 {
            return Err(Refusal::new(Reason::OrderBusy));
        }
        self.check_way_out_at_pace(at)
    }

    /// Checks a strategy's partial cancel, after which `quantity` shares are to be open. Like a cancel it is a way out.
    pub(crate) fn approve_reduce(
        &mut self,
        at: &Moment,
        order: &Order,
        quantity: Quantity,
        symbol: Symbol,
    ) -> Result<Approved, Refusal> {
        self.check_reduce(at, order, quantity)?;
        self.take_message(at.now);
        Ok(Approved::new(OrderView {
            action: OrderAction::Reduce { order: order.id },
            quantity: order.executed.saturating_add(quantity),
            ..view_of(order, symbol)
        }))
    }

    /// The checks of a partial cancel, without taking anything.
    pub(crate) fn check_reduce(&self, at: &Moment, order: &Order, quantity: Quantity) -> Result<(), Refusal> {
        check_reducible(order, quantity)?;
        self.check_way_out_at_pace(at)
    }

    fn check_way_out_at_pace(&self, at: &Moment) -> Result<(), Refusal> {
        check_way_out(at)?;
        if !self.rate.allows_cancel(at.now) {
            return Err(Refusal::beyond(Reason::Rate, i64::from(self.limits.orders_per_second_max), 0));
        }
        self.check_day(self.limits.messages_per_day_max.saturating_add(self.limits.cancel_day_reserve))
    }

    /// Checks a cancel of the system (kill, lost trust, cancel all): only room can stand in its way.
    pub(crate) fn approve_system_cancel(
        &mut self,
        at: &Moment,
        order: &Order,
        symbol: Symbol,
    ) -> Result<Approved, Refusal> {
        check_way_out(at)?;
        self.take_message(at.now);
        Ok(cancel_of(order, symbol))
    }
}

/// What makes two new orders of an instrument the same. Never 0, which stands for "none yet".
#[inline]
fn fingerprint(new: &NewOrder) -> u64 {
    // Price below 2^31, shares below 2^20 (checked before): no two orders share one. A cross is a market of its own.
    1 << 63
        | new.time_in_force.cross_index() << 52
        | (new.price.0 as u64) << 21
        | u64::from(new.quantity) << 1
        | new.side.index() as u64
}

fn view_of(order: &Order, symbol: Symbol) -> OrderView {
    OrderView {
        action: OrderAction::Cancel { order: order.cancel_target() },
        symbol,
        instrument: order.instrument,
        side: order.side,
        short: order.short,
        price: order.price,
        quantity: 0,
        min_quantity: 0,
        time_in_force: order.time_in_force,
        post_only: order.post_only,
        strategy: order.strategy,
        trader: order.trader,
    }
}

fn cancel_of(order: &Order, symbol: Symbol) -> Approved {
    Approved::new(view_of(order, symbol))
}
