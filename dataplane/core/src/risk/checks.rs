//! The single checks, in the order in which a new order meets them. Those of short sales and of the market's reference and
//! volume stand beside what they are about.

use super::bounds::Bounds;
use super::gate::{Gate, Market, Moment, Refusal};
use super::scopes::{Outcome, check_restricted};
use super::self_trade::own_in_the_way;
use super::{Exposure, HaltReason, Reason, SelfTrade};
use crate::orders::Orders;
use crate::units::{Cash, InstrumentId, Price, Quantity, Side, Symbol, TaiNs};
use tern_abi::segment::TradingState;

/// Highest price an order may have: OUCH 5.0, 1.2: $199,999.9900; above it a price means "market".
pub(super) const PRICE_MAX: Price = Price(1_999_999_900);

/// The trading state in which an instrument trades (ITCH 5.0, 1.2.2: `T`).
const TRADING: u8 = b'T';

impl Gate {
    /// What does not depend on the order.
    #[inline]
    pub(super) fn check_moment(&self, at: &Moment) -> Result<(), Refusal> {
        match self.halt {
            None => {}
            Some(HaltReason::Killed) => return Err(Refusal::new(Reason::Killed)),
            Some(HaltReason::DaemonSilent) => return Err(Refusal::new(Reason::DaemonSilent)),
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

    /// Whether the scopes that an order falls under let it: none restricted is one compare.
    #[inline]
    pub(super) fn check_scopes(
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

    /// What depends on instrument, price and shares alone. `standing` is what an order that is being replaced stands for
    /// already, shares and value: a limit that was set below it does not keep it from being made smaller.
    #[inline]
    pub(super) fn check_order(
        &self,
        now: TaiNs,
        instrument: InstrumentId,
        (price, quantity): (Price, Quantity),
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
        let Some(reference) = self.reference(now, instrument, market) else {
            return Err(Refusal::new(Reason::NoReference));
        };
        let distance = (price.0 - reference.0).abs();
        if distance * 10_000 > reference.0 * i64::from(self.limits.price_collar_bps) {
            return Err(Refusal::beyond(Reason::Collar, reference.0, price.0));
        }
        Ok(())
    }

    /// Whether the position of the firm, and that of the strategy, stay within their limits, should everything open on
    /// `side` and `more` shares trade; `worst` is what the firm would have.
    #[inline(always)]
    pub(super) fn check_position(
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

    /// Whether `more` value on `side` keeps the firm within its limits. What only closes a position is a way out.
    #[inline]
    pub(super) fn check_stake(&self, side: Side, more: i64, worst: i64) -> Result<(), Refusal> {
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
    pub(super) fn check_self_trade(
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

    #[inline]
    pub(super) fn check_rate(&self, at: &Moment) -> Result<(), Refusal> {
        if !self.rate.allows_order(at.now) {
            return Err(Refusal::beyond(Reason::Rate, i64::from(self.limits.orders_per_second_max), 0));
        }
        self.check_day(self.limits.messages_per_day_max)
    }

    /// Whether the venue's day has room for one more message when it may have `max`.
    #[inline]
    pub(super) fn check_day(&self, max: u32) -> Result<(), Refusal> {
        if self.messages < max {
            return Ok(());
        }
        Err(Refusal::beyond(Reason::MessagesPerDay, i64::from(max), i64::from(self.messages) + 1))
    }
}

/// What even a cancel needs.
#[inline]
pub(super) fn check_way_out(at: &Moment) -> Result<(), Refusal> {
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
