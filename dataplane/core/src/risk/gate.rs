//! The checks. One function an action, cheapest and most damning first; every way out is a [`Reason`] or [`Approved`].

use super::bounds::{Bounds, BoundsTable};
use super::scopes::{OWNERS, Outcome, check_restricted};
use super::self_trade::own_in_the_way;
use super::sight::Sight;
use super::throttle::Repeats;
use super::{Approved, Exposure, HaltReason, LimitId, Limits, Rate, Reason, Scopes, SelfTrade, Stake, SymbolLimits};
use crate::book::{Books, Instruments, Memory};
use crate::orders::{Order, Orders};
use crate::portfolio::{Portfolio, Position};
use crate::session::{OrderAction, OrderView, TimeInForce};
use crate::units::{Cash, InstrumentId, OrderId, Price, Quantity, Side, StrategyId, Symbol, TaiNs, TraderId};
use tern_abi::arena::Arena;
use tern_abi::prefetch::prefetch_slice;
use tern_abi::segment::TradingState;

/// Highest price an order may have: OUCH 5.0, 1.2: $199,999.9900; above it a price means "market".
const PRICE_MAX: Price = Price(1_999_999_900);

/// The trading state in which an instrument trades (ITCH 5.0, 1.2.2: `T`).
const TRADING: u8 = b'T';

/// A strategy, as the gate knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Index on this host.
    pub index: u8,
    /// Strategy id.
    pub strategy: StrategyId,
    /// Trader id.
    pub trader: TraderId,
}

/// Why an intent was refused, with the bound and what it would have become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The check.
    pub reason: Reason,
    /// The bound, in the unit of the check; 0 where there is none.
    pub limit: i64,
    /// What the intent would have made of it.
    pub value: i64,
}

impl Refusal {
    pub(crate) const fn new(reason: Reason) -> Self {
        Self { reason, limit: 0, value: 0 }
    }
    const fn beyond(reason: Reason, limit: i64, value: i64) -> Self {
        Self { reason, limit, value }
    }
}

/// What is the same for every intent of one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The loop's time.
    pub(crate) now: TaiNs,
    /// Age of the market data behind the intent.
    pub(crate) age_ns: u64,
    /// The session can take an order.
    pub(crate) session_ready: bool,
    /// The venue's window takes one more message.
    pub(crate) window_open: bool,
    /// The outbox takes one more message.
    pub(crate) outbox_room: bool,
    /// The ring takes more than the cancels that must always fit.
    pub(crate) ring_room: bool,
}

/// What the checks look at beside the gate's own tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Market<'a> {
    pub(crate) instruments: &'a Instruments,
    pub(crate) books: &'a Books,
    pub(crate) orders: &'a Orders,
    pub(crate) portfolio: &'a Portfolio,
}

impl Market<'_> {
    /// An owner's position, seen from the side, with his open orders of the side and `more` shares filled. Walks them.
    #[cold]
    fn worst_of(&self, owner: u8, (instrument, side): (InstrumentId, Side), more: i64) -> i64 {
        let held = self.portfolio.position(usize::from(owner), instrument).shares;
        let own = self.orders.own(usize::from(owner), instrument).filter(|order| order.side == side);
        let open: i64 = own.map(|order| i64::from(order.counted)).sum();
        held.saturating_mul(side.sign()).saturating_add(open).saturating_add(more)
    }
}

/// A new order as a strategy wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewOrder {
    pub(crate) instrument: InstrumentId,
    pub(crate) side: Side,
    pub(crate) price: Price,
    pub(crate) quantity: Quantity,
    pub(crate) time_in_force: TimeInForce,
    pub(crate) post_only: bool,
}

/// The gate. The pipeline alone makes one.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    bounds: BoundsTable,
    /// Instruments whose entry in `bounds` is known.
    instruments: usize,
    rate: Rate,
    /// Orders may be sent from the first time until before the second.
    hours: (TaiNs, TaiNs),
    /// Messages of the venue's day.
    messages: u32,
    halt: Option<HaltReason>,
    exposures: Arena<Exposure>,
    pub(super) sights: Arena<Sight>,
    stake: Stake,
    scopes: Scopes,
    repeats: [Repeats; OWNERS],
}

impl Gate {
    pub(crate) fn new(
        limits: Limits,
        (symbols, short_max): (&[SymbolLimits], i64),
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
            stake: Stake::default(),
            scopes: Scopes::default(),
            repeats: [Repeats::default(); OWNERS],
        }
    }

    /// Limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Why nothing is traded, if nothing is.
    #[inline]
    pub const fn halt(&self) -> Option<HaltReason> {
        self.halt
    }

    #[inline]
    pub(crate) const fn is_open(&self) -> bool {
        self.halt.is_none()
    }

    /// The order rate.
    #[inline]
    pub const fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Messages that were sent to the venue in its day: orders, replaces, cancels, those of the system too.
    #[inline]
    pub const fn messages(&self) -> u32 {
        self.messages
    }

    /// At least `sent` messages of the day are known.
    pub(crate) fn messages_at_least(&mut self, sent: u32) {
        self.messages = self.messages.max(sent);
    }

    /// Orders may be sent from `opens` until before `closes`.
    pub(crate) const fn set_hours(&mut self, (opens, closes): (TaiNs, TaiNs)) {
        self.hours = (opens, closes);
    }

    /// A message is sent at `now`.
    #[inline]
    fn take_message(&mut self, now: TaiNs) {
        self.rate.take(now);
        self.messages = self.messages.saturating_add(1);
    }

    /// What stands at risk in an instrument.
    #[inline]
    pub fn exposure(&self, instrument: InstrumentId) -> Option<&Exposure> {
        self.exposures.get(instrument.index())
    }

    /// Asks for what stands at risk in an instrument.
    #[inline]
    pub(crate) fn prefetch(&self, instrument: InstrumentId) {
        prefetch_slice(&self.exposures, instrument.index());
        prefetch_slice(&self.sights, instrument.index());
    }

    /// Every instrument's exposure, by instrument id.
    pub fn exposures(&self) -> &[Exposure] {
        &self.exposures
    }

    /// Whether our market takes orders in an instrument: no operational halt is in force.
    #[inline]
    pub fn is_halted(&self, instrument: InstrumentId) -> bool {
        self.exposure(instrument).is_some_and(Exposure::is_halted)
    }

    /// Our market stopped, or resumed, trading an instrument.
    pub(crate) fn set_halted(&mut self, instrument: InstrumentId, halted: bool) {
        if let Some(exposure) = self.exposures.get_mut(instrument.index()) {
            exposure.halted = u8::from(halted);
        }
    }

    /// A command set `id`; `limits` are all of them now.
    pub(crate) fn set_limits(&mut self, limits: Limits, id: LimitId) {
        self.limits = limits;
        self.bounds.set(&limits, id);
        self.rate.set(limits.orders_per_second_max, limits.order_burst_max, limits.cancel_reserve);
    }

    /// Instruments were named: those that are new get the bounds of their symbols. One compare when none is.
    #[inline]
    pub(crate) fn heed_instruments(&mut self, instruments: &Instruments) {
        if instruments.len() != self.instruments {
            self.name_instruments(instruments);
        }
    }

    #[cold]
    fn name_instruments(&mut self, instruments: &Instruments) {
        for (instrument, symbol) in instruments.iter().skip(self.instruments) {
            if let Some(exposure) = self.exposures.get_mut(instrument.index()) {
                exposure.bounds = self.bounds.row_of(symbol);
            }
        }
        self.instruments = instruments.len();
    }

    pub(crate) fn set_halt(&mut self, halt: Option<HaltReason>) {
        self.halt = halt;
    }

    /// Which parts of the firm's orders are restricted.
    #[inline]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    pub(crate) fn scopes_mut(&mut self) -> &mut Scopes {
        &mut self.scopes
    }

    /// An order of a strategy traded. Whether it has traded as often as it may, and is stopped now.
    pub(crate) fn executed(&mut self, owner: u8, now: TaiNs) -> bool {
        let (max, window_ns) = (self.limits.executions_max, self.limits.executions_window_ns);
        let Some(repeats) = self.repeats.get_mut(usize::from(owner)) else { return false };
        let is_too_often = window_ns != 0 && repeats.add(now, window_ns) >= max && !self.scopes.is_throttled(owner);
        if is_too_often {
            self.scopes.throttle(owner);
        }
        is_too_often
    }

    /// An operator lets a strategy go on: what it traded before is forgotten.
    pub(crate) fn forget_executions(&mut self, owner: u8) {
        if let Some(repeats) = self.repeats.get_mut(usize::from(owner)) {
            *repeats = Repeats::default();
        }
    }

    /// Whether the scopes that an order falls under let it: none restricted is one compare.
    #[inline]
    fn check_scopes(
        &self,
        owner: u8,
        symbol: Symbol,
        (instrument, side): (InstrumentId, Side),
        more: i64,
        market: &Market<'_>,
    ) -> Result<(), Refusal> {
        let state = self.scopes.state(owner, symbol);
        if state == TradingState::Running {
            return Ok(());
        }
        check_restricted(state, self.scopes.is_throttled(owner), || Outcome {
            firm: self.exposure(instrument).map_or(i64::MAX, |exposure| exposure.worst(side, more)),
            owner: market.worst_of(owner, (instrument, side), more),
        })
    }

    /// Whether the position of the firm, and that of the strategy, stay within their limits, should everything open on
    /// `side` and `more` shares trade; `worst` is what the firm would have.
    #[inline]
    fn check_position(
        &self,
        owner: u8,
        (instrument, side): (InstrumentId, Side),
        (more, worst): (i64, i64),
        exposure: &Exposure,
        market: &Market<'_>,
    ) -> Result<(), Refusal> {
        let max = self.bounds.row(exposure.bounds).position_max;
        if worst > max {
            return Err(Refusal::beyond(Reason::Position, max, worst));
        }
        let max = self.limits.strategy_position_max;
        let own = if exposure.is_sole_owner(owner) { worst } else { market.worst_of(owner, (instrument, side), more) };
        if own > max {
            return Err(Refusal::beyond(Reason::StrategyPosition, max, own));
        }
        Ok(())
    }

    /// Brings the exposure of the order's instrument up to date with it.
    #[inline]
    pub(crate) fn settle(&mut self, order: &mut Order) {
        let now = order.exposure();
        let index = order.instrument.index();
        if let Some((exposure, sight)) = self.exposures.get_mut(index).zip(self.sights.get_mut(index)) {
            exposure.settle(order.owner, order.side, order.counted, now);
            order.counted = now;
            sight.own.settle(order, exposure.open(order.side));
        }
        order.counted = now;
        let value = order.value();
        self.stake.settle(order.side, order.counted_value, value);
        order.counted_value = value;
    }

    /// What the firm has at stake over all instruments.
    #[inline]
    pub fn stake(&self) -> &Stake {
        &self.stake
    }

    /// A strategy's position in an instrument changed.
    pub(crate) fn position_changed(&mut self, instrument: InstrumentId, before: &Position, after: &Position) {
        self.stake.position_changed(before, after);
        if let Some(exposure) = self.exposures.get_mut(instrument.index()) {
            exposure.cost = exposure.cost.saturating_add(after.cost.saturating_sub(before.cost));
        }
    }

    /// A share of the instrument is worth `price` now. Why that stops trading, if it does.
    #[inline]
    pub(crate) fn mark(&mut self, instrument: InstrumentId, price: Option<Price>) -> Option<HaltReason> {
        let exposure = self.exposures.get_mut(instrument.index())?;
        let value = match price {
            _ if exposure.position == 0 => 0,
            Some(price) => exposure.position.saturating_mul(price.0),
            None => return None,
        };
        // Of a flat instrument, what strategies hold against one another at different cost is left.
        let unrealized = value.saturating_sub(exposure.cost);
        self.stake.remarked(exposure.unrealized, unrealized);
        exposure.unrealized = unrealized;
        self.stake.watch(self.limits.daily_loss_max, self.limits.drawdown_max)
    }

    /// Whether a mark of the instrument would say anything new.
    #[inline]
    pub(crate) fn is_held(&self, instrument: InstrumentId) -> bool {
        self.exposure(instrument).is_some_and(|exposure| exposure.position != 0)
    }

    /// Whether `more` value on `side` keeps the firm within its limits. What only closes a position is a way out.
    #[inline]
    fn check_stake(&self, side: Side, more: i64, worst: i64) -> Result<(), Refusal> {
        if worst <= 0 || more <= 0 {
            return Ok(());
        }
        let (gross, net) = (self.stake.gross().saturating_add(more), self.stake.net(side).saturating_add(more));
        if gross > self.limits.gross_max {
            return Err(Refusal::beyond(Reason::Gross, self.limits.gross_max, gross));
        }
        if net > self.limits.net_max {
            return Err(Refusal::beyond(Reason::Net, self.limits.net_max, net));
        }
        match self.limits.leverage_max(self.stake.profit()) {
            Some(max) if gross > max => return Err(Refusal::beyond(Reason::Leverage, max, gross)),
            _ => {}
        }
        Ok(())
    }

    /// Whether an order of `side` at `price` leaves the account's own alone. One compare unless it reaches their prices.
    #[inline]
    fn check_self_trade(
        &self,
        instrument: InstrumentId,
        side: Side,
        price: Price,
        orders: &Orders,
    ) -> Result<(), Refusal> {
        let sight = self.sights.get(instrument.index());
        let may_cross = sight.is_some_and(|sight| sight.own.may_cross(side, price));
        if !may_cross || self.limits.self_trade == SelfTrade::Off {
            return Ok(());
        }
        match own_in_the_way(orders, instrument, side, price) {
            Some(own) => Err(Refusal::beyond(Reason::SelfTrade, own.price.0, price.0)),
            None => Ok(()),
        }
    }

    /// Shares changed hands.
    #[inline]
    pub(crate) fn add_position(&mut self, instrument: InstrumentId, shares: i64) {
        if let Some(exposure) = self.exposures.get_mut(instrument.index()) {
            exposure.position = exposure.position.saturating_add(shares);
        }
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
        let view = self.check_new(at, owner, id, new, market)?;
        self.take_message(at.now);
        if let Some(exposure) = self.exposures.get_mut(new.instrument.index()) {
            exposure.last_order = fingerprint(new);
            exposure.last_order_ns = at.now.0;
        }
        Ok(Approved::new(view))
    }

    /// The checks of a new order, without taking anything.
    #[inline]
    pub(crate) fn check_new(
        &self,
        at: &Moment,
        owner: Owner,
        id: OrderId,
        new: &NewOrder,
        market: &Market<'_>,
    ) -> Result<OrderView, Refusal> {
        self.check_moment(at)?;
        let (Some(exposure), Some(symbol)) = (self.exposure(new.instrument), market.instruments.symbol(new.instrument))
        else {
            return Err(Refusal::new(Reason::UnknownInstrument));
        };
        self.check_scopes(owner.index, symbol, (new.instrument, new.side), i64::from(new.quantity), market)?;
        let bounds = self.bounds.row(exposure.bounds);
        self.check_order(new.instrument, new.price, new.quantity, (0, 0), bounds, market)?;
        let more = i64::from(new.quantity);
        let worst = exposure.worst(new.side, more);
        self.check_position(owner.index, (new.instrument, new.side), (more, worst), exposure, market)?;
        self.check_volume(at.now, new.instrument, new.quantity, worst)?;
        self.check_stake(new.side, new.price.0 * i64::from(new.quantity), worst)?;
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
        Ok(OrderView {
            action: OrderAction::New { order: id },
            symbol,
            instrument: new.instrument,
            side: new.side,
            short,
            price: new.price,
            quantity: new.quantity,
            time_in_force: new.time_in_force,
            post_only: new.post_only,
            strategy: owner.strategy,
            trader: owner.trader,
        })
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
        let (total, symbol) = self.check_replace(at, order, price, quantity, market)?;
        self.take_message(at.now);
        Ok(Approved::new(OrderView {
            action: OrderAction::Replace { previous: order.id, order: id },
            price,
            quantity: total,
            ..view_of(order, symbol)
        }))
    }

    /// The checks of a replace, without taking anything. The chain's total and the symbol.
    #[inline]
    pub(crate) fn check_replace(
        &self,
        at: &Moment,
        order: &Order,
        price: Price,
        quantity: Quantity,
        market: &Market<'_>,
    ) -> Result<(Quantity, Symbol), Refusal> {
        self.check_moment(at)?;
        if !order.is_settled() {
            return Err(Refusal::new(Reason::OrderBusy));
        }
        let (Some(exposure), Some(symbol)) =
            (self.exposure(order.instrument), market.instruments.symbol(order.instrument))
        else {
            return Err(Refusal::new(Reason::UnknownInstrument));
        };
        let standing = (order.leaves, order.counted_value);
        let bounds = self.bounds.row(exposure.bounds);
        self.check_order(order.instrument, price, quantity, standing, bounds, market)?;
        // The chain's total has the limit of an order at the venue: less than 1,000,000 (OUCH 5.0, 2.2).
        let total = order.executed.saturating_add(quantity);
        let total_max = Limits::max(super::LimitId::OrderQuantityMax);
        if i64::from(total) > total_max {
            return Err(Refusal::beyond(Reason::Quantity, total_max, i64::from(total)));
        }
        let more = i64::from(quantity.max(order.leaves)) - i64::from(order.counted);
        self.check_scopes(order.owner, symbol, (order.instrument, order.side), more, market)?;
        let worst = exposure.worst(order.side, more);
        // A replace that adds no share is a way out and is never barred by a limit set below what is held.
        if more > 0 {
            self.check_position(order.owner, (order.instrument, order.side), (more, worst), exposure, market)?;
            self.check_volume(at.now, order.instrument, quantity, worst)?;
        }
        let value = (price.0 * i64::from(quantity)).max(order.price.0.saturating_mul(i64::from(order.leaves)));
        self.check_stake(order.side, value.saturating_sub(order.counted_value), worst)?;
        self.check_self_trade(order.instrument, order.side, price, market.orders)?;
        if order.side == Side::Sell && !order.short && exposure.position - exposure.open(Side::Sell) < more {
            return Err(Refusal::new(Reason::ShortMark));
        }
        if order.short {
            self.check_short((order.instrument, price), (more, worst), bounds, market.books)?;
        }
        self.check_rate(at)?;
        Ok((total, symbol))
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

    /// What does not depend on the order.
    #[inline]
    fn check_moment(&self, at: &Moment) -> Result<(), Refusal> {
        match self.halt {
            None => {}
            Some(HaltReason::Killed) => return Err(Refusal::new(Reason::Killed)),
            Some(_) => return Err(Refusal::new(Reason::Halted)),
        }
        check_way_out(at)?;
        if !at.ring_room {
            return Err(Refusal::new(Reason::RingReserve));
        }
        let (opens, closes) = self.hours;
        if at.now < opens || at.now >= closes {
            let bound = if at.now < opens { opens } else { closes };
            return Err(Refusal::beyond(Reason::OutOfHours, bound.0 as i64, at.now.0 as i64));
        }
        if at.age_ns > self.limits.intent_age_ns_max {
            return Err(Refusal::beyond(
                Reason::TooOld,
                self.limits.intent_age_ns_max as i64,
                i64::try_from(at.age_ns).unwrap_or(i64::MAX),
            ));
        }
        Ok(())
    }

    /// What depends on instrument, price and shares alone. `standing` is what an order that is being replaced stands for
    /// already, shares and value: a limit that was set below it does not keep it from being made smaller.
    #[inline]
    fn check_order(
        &self,
        instrument: InstrumentId,
        price: Price,
        quantity: Quantity,
        standing: (Quantity, Cash),
        bounds: &Bounds,
        market: &Market<'_>,
    ) -> Result<(), Refusal> {
        let books = market.books;
        if bounds.restricted {
            return Err(Refusal::new(Reason::Restricted));
        }
        if !books.is_trusted(instrument) {
            return Err(Refusal::new(Reason::BookUntrusted));
        }
        let status = books.status(instrument);
        if status.trading_state != TRADING {
            return Err(Refusal::beyond(Reason::NotTrading, i64::from(TRADING), i64::from(status.trading_state)));
        }
        if self.is_halted(instrument) {
            return Err(Refusal::new(Reason::MarketHalted));
        }
        let quantity_max = bounds.order_quantity_max.max(standing.0);
        if quantity == 0 || quantity > quantity_max {
            return Err(Refusal::beyond(Reason::Quantity, i64::from(quantity_max), i64::from(quantity)));
        }
        if price.0 <= 0 || price > PRICE_MAX {
            return Err(Refusal::beyond(Reason::Price, PRICE_MAX.0, price.0));
        }
        // Neither can overflow: price < 2^31, quantity < 2^32.
        let notional = price.0 * i64::from(quantity);
        let notional_max = bounds.order_notional_max.max(standing.1);
        if notional > notional_max {
            return Err(Refusal::beyond(Reason::Notional, notional_max, notional));
        }
        let Some(reference) = self.reference(instrument, market) else {
            return Err(Refusal::new(Reason::NoReference));
        };
        let distance = (price.0 - reference.0).abs();
        if distance * 10_000 > reference.0 * i64::from(self.limits.price_collar_bps) {
            return Err(Refusal::beyond(Reason::Collar, reference.0, price.0));
        }
        Ok(())
    }

    #[inline]
    fn check_rate(&self, at: &Moment) -> Result<(), Refusal> {
        if !self.rate.allows_order(at.now) {
            return Err(Refusal::beyond(Reason::Rate, i64::from(self.limits.orders_per_second_max), 0));
        }
        self.check_day(self.limits.messages_per_day_max)
    }

    /// Whether the venue's day has room for one more message when it may have `max`.
    #[inline]
    fn check_day(&self, max: u32) -> Result<(), Refusal> {
        if self.messages < max {
            return Ok(());
        }
        Err(Refusal::beyond(Reason::MessagesPerDay, i64::from(max), i64::from(self.messages) + 1))
    }
}

/// What even a cancel needs.
#[inline]
fn check_way_out(at: &Moment) -> Result<(), Refusal> {
    if !at.session_ready {
        return Err(Refusal::new(Reason::SessionNotReady));
    }
    if !at.window_open {
        return Err(Refusal::new(Reason::WindowClosed));
    }
    if !at.outbox_room {
        return Err(Refusal::new(Reason::OutboxFull));
    }
    Ok(())
}

/// What makes two new orders of an instrument the same. Never 0, which stands for "none yet".
#[inline]
fn fingerprint(new: &NewOrder) -> u64 {
    // Price below 2^31, shares below 2^20 (checked before): no two orders share one.
    1 << 63 | (new.price.0 as u64) << 21 | u64::from(new.quantity) << 1 | new.side.index() as u64
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
        time_in_force: order.time_in_force,
        post_only: order.post_only,
        strategy: order.strategy,
        trader: order.trader,
    }
}

fn cancel_of(order: &Order, symbol: Symbol) -> Approved {
    Approved::new(view_of(order, symbol))
}
