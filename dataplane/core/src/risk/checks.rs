//! The single checks, in the order in which a new order meets them. Those of short sales and of the market's reference and
//! volume stand beside what they are about.

use super::bounds::Bounds;
use super::gate::Gate;
use super::question::{Market, Moment, Refusal, Wants};
use super::scopes::{Outcome, check_restricted};
use super::self_trade::own_in_the_way;
use super::standing::valued;
use super::{Exposure, HaltReason, Reason, SelfTrade};
use crate::orders::Orders;
use crate::units::{Cash, InstrumentId, Price, Quantity, Side, Symbol, TaiNs};
use tern_abi::segment::TradingState;

/// Highest price an order may have: OUCH 5.0, 1.2: $199,999.9900; above it a price means "market".
pub(crate) const PRICE_MAX: Price = Price(1_999_999_900);

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
    pub(super) fn check_scopes(&self, wants: &Wants, symbol: Symbol) -> Result<(), Refusal> {
        let state = self.scopes.state(wants.owner, symbol);
        if state == TradingState::Running {
            return Ok(());
        }
        let outcome = Outcome { firm: wants.worst, owner: wants.own_worst };
        check_restricted(state, self.scopes.stop_of(wants.owner), &outcome)
    }

    /// What depends on instrument, price and shares alone. `standing` is what an order that is being replaced stands for
    /// already, shares and value: a limit that was set below it does not keep it from being made smaller. The reference that
    /// its price was compared with.
    #[inline(always)]
    pub(super) fn check_order(
        &self,
        now: TaiNs,
        instrument: InstrumentId,
        (price, quantity): (Price, Quantity),
        standing: (Quantity, Cash),
        bounds: &Bounds,
        market: &Market<'_>,
    ) -> Result<Price, Refusal> {
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
        check_size((price, quantity), standing, bounds)?;
        let Some(reference) = self.reference(now, instrument, market) else {
            return Err(Refusal::new(Reason::NoReference));
        };
        self.check_collar(price, reference)?;
        Ok(reference)
    }

    #[inline(always)]
    fn check_collar(&self, price: Price, reference: Price) -> Result<(), Refusal> {
        let distance = (price.0 - reference.0).abs();
        if distance * 10_000 > reference.0 * i64::from(self.limits.price_collar_bps) {
            return Err(Refusal::beyond(Reason::Collar, reference.0, price.0));
        }
        Ok(())
    }

    /// A trade that a person tells: what an order that is filled at once would be asked, but for what is about sending one (the
    /// venue, the session, stops, rates, orders that stand), since none is sent, and a trade that was made has to count while
    /// trading is stopped too. Only where there is a reference can its price be compared with one. The price at which the shares
    /// of the instrument count with it.
    #[cold]
    pub(crate) fn check_told_trade(
        &self,
        now: TaiNs,
        owner: u8,
        (instrument, side): (InstrumentId, Side),
        (price, quantity): (Price, Quantity),
        market: &Market<'_>,
    ) -> Result<Cash, Refusal> {
        let Some(exposure) = self.exposure(instrument) else {
            return Err(Refusal::new(Reason::UnknownInstrument));
        };
        let bounds = self.bounds.row(exposure.bounds);
        check_size((price, quantity), (0, 0), bounds)?;
        let reference = self.reference(now, instrument, market);
        if let Some(reference) = reference {
            self.check_collar(price, reference)?;
        }
        let wants = self.wants(owner, (instrument, side), i64::from(quantity), exposure);
        self.check_position(&wants, bounds)?;
        let dearest = reference.map_or(price, |reference| reference.max(price));
        self.check_stake(&wants, (valued(dearest), 0), exposure)
    }

    /// Whether the position of the firm, and that of the strategy, stay within their limits, should everything open on the
    /// side and the order trade.
    #[inline(always)]
    pub(super) fn check_position(&self, wants: &Wants, bounds: &Bounds) -> Result<(), Refusal> {
        let (worst, max) = (wants.worst, bounds.position_max);
        if worst > max {
            return Err(Refusal::beyond(Reason::Position, max, worst));
        }
        let (own, max) = (wants.own_worst, self.strategy_bounds.row(wants.owner).position_max);
        if own > max {
            return Err(Refusal::beyond(Reason::StrategyPosition, max, own));
        }
        Ok(())
    }

    /// Whether firm and strategy stay within their limits of money. The price at which the shares of the instrument count
    /// with the order: `fresh` is that of the order or of the reference, whichever is higher, and counts if shares are added;
    /// `dearer` is the price of a replace that only asks for a higher one, else 0. What adds no shares, or only closes what the
    /// sum is about, is a way out and not asked about it.
    #[inline(always)]
    pub(super) fn check_stake(
        &self,
        wants: &Wants,
        (fresh, dearer): (Cash, Cash),
        exposure: &Exposure,
    ) -> Result<Cash, Refusal> {
        let &Wants { worst, own_worst, own_other, more, .. } = wants;
        // Of the side, now and with it; the other side stays as it is.
        let (own, own_then) = (own_worst.saturating_sub(more).max(0), own_worst.max(0));
        let (side, other) = if wants.is_sole { (own, own_other) } else { self.sides_of(wants) };
        let (gross, gross_then) = (side.max(other), side.saturating_add(own_then - own).max(other));
        let price = exposure.valued_at;
        let price_then = match gross_then > gross {
            true if gross == 0 => fresh,
            true => price.max(fresh),
            false if worst > 0 && own_worst > 0 => price.max(dearer),
            false => price,
        };
        // No sum grows by more than all that the instrument counts for then: far from the limits that is all there is to ask.
        if self.is_far(wants, gross_then.saturating_mul(price_then)) {
            return Ok(price_then);
        }
        self.check_sums(wants, (gross, gross_then), (own, own_then), (price, price_then))
    }

    /// Whether `more` money would be beyond no limit that an intent is asked about.
    #[inline]
    fn is_far(&self, wants: &Wants, more: Cash) -> bool {
        let bounds = self.strategy_bounds.row(wants.owner);
        let Some(own) = self.owner_stakes.get(usize::from(wants.owner)) else { return false };
        let within = |sum: Cash, max: Cash| sum.saturating_add(more) <= max;
        within(self.stake.gross(), self.limits.gross_max)
            && within(self.stake.net(wants.side), self.limits.net_max)
            && within(own.gross(), bounds.gross_max)
            && within(own.net(wants.side), bounds.net_max)
            && self.limits.equity == 0
    }

    /// The sums of money to the cent: firm, then strategy. Pairs are what is now, and what is with the intent.
    #[cold]
    fn check_sums(
        &self,
        wants: &Wants,
        (gross, gross_then): (i64, i64),
        (own, own_then): (i64, i64),
        (price, price_then): (Cash, Cash),
    ) -> Result<Cash, Refusal> {
        let &Wants { worst, own_worst, own_other, more, .. } = wants;
        let (adds, own_adds, is_dearer) = (more > 0 && worst > 0, more > 0 && own_worst > 0, price_then > price);
        let more_of = |now: i64, then: i64| then.saturating_mul(price_then).saturating_sub(now.saturating_mul(price));
        let is_asked = adds && own_adds || is_dearer;
        let sum = self.stake.gross().saturating_add(more_of(gross, gross_then));
        if is_asked && sum > self.limits.gross_max {
            return Err(Refusal::beyond(Reason::Gross, self.limits.gross_max, sum));
        }
        let more_net = more_of(worst.saturating_sub(more).max(0), worst.max(0));
        let net_sum = self.stake.net(wants.side).saturating_add(more_net);
        if (adds || is_dearer) && net_sum > self.limits.net_max {
            return Err(Refusal::beyond(Reason::Net, self.limits.net_max, net_sum));
        }
        match self.limits.leverage_max(self.stake.profit()) {
            Some(max) if is_asked && sum > max => return Err(Refusal::beyond(Reason::Leverage, max, sum)),
            _ => {}
        }
        if own_adds || is_dearer {
            let own_gross = more_of(own.max(own_other), own_then.max(own_other));
            self.check_strategy(wants.owner, wants.side, (own_gross, more_of(own, own_then)))?;
        }
        Ok(price_then)
    }

    /// Whether a strategy's own sums stay within its limits, with so much more of gross and of the net of a side.
    fn check_strategy(&self, owner: u8, side: Side, (gross, net): (Cash, Cash)) -> Result<(), Refusal> {
        let bounds = self.strategy_bounds.row(owner);
        let Some(stake) = self.owner_stakes.get(usize::from(owner)) else {
            return Err(Refusal::new(Reason::StrategyDisabled));
        };
        let sum = stake.gross().saturating_add(gross);
        if sum > bounds.gross_max {
            return Err(Refusal::beyond(Reason::StrategyGross, bounds.gross_max, sum));
        }
        let sum = stake.net(side).saturating_add(net);
        if sum > bounds.net_max {
            return Err(Refusal::beyond(Reason::StrategyNet, bounds.net_max, sum));
        }
        Ok(())
    }

    /// Whether an order of `side` at `price` leaves the account's own alone. One compare unless it reaches their prices.
    #[inline(always)]
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
        check_own(orders, instrument, side, price)
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

/// Shares, price and value of an order against what any may have.
#[inline(always)]
fn check_size(
    (price, quantity): (Price, Quantity),
    standing: (Quantity, Cash),
    bounds: &Bounds,
) -> Result<(), Refusal> {
    let quantity_max = bounds.order_quantity_max.max(standing.0);
    if quantity == 0 || quantity > quantity_max {
        return Err(Refusal::beyond(Reason::Quantity, i64::from(quantity_max), i64::from(quantity)));
    }
    // A symbol's bounds are prices that an order may have, so that these compares ask for both.
    if price < bounds.price_min || price > bounds.price_max {
        return out_of_band(price, bounds);
    }
    // Neither can overflow: price < 2^31, quantity < 2^32.
    let notional = price.0 * i64::from(quantity);
    let notional_max = bounds.order_notional_max.max(standing.1);
    if notional > notional_max {
        return Err(Refusal::beyond(Reason::Notional, notional_max, notional));
    }
    Ok(())
}

/// Why a price is outside: no order may have it, or none in this symbol.
#[cold]
#[inline(never)]
fn out_of_band(price: Price, bounds: &Bounds) -> Result<(), Refusal> {
    if price.0 <= 0 || price > PRICE_MAX {
        return Err(Refusal::beyond(Reason::Price, PRICE_MAX.0, price.0));
    }
    let bound = if price < bounds.price_min { bounds.price_min } else { bounds.price_max };
    Err(Refusal::beyond(Reason::PriceBand, bound.0, price.0))
}

/// Whether there is an order of our own that one of `side` at `price` would trade with.
#[cold]
fn check_own(orders: &Orders, instrument: InstrumentId, side: Side, price: Price) -> Result<(), Refusal> {
    match own_in_the_way(orders, instrument, side, price) {
        Some(own) => Err(Refusal::beyond(Reason::SelfTrade, own.price.0, price.0)),
        None => Ok(()),
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
