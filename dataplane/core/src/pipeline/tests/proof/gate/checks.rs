//! The checks of an intent by itself: the moment, whom it belongs to, and the order against its market.

use super::firm::{Fault, Firm, INSTRUMENTS, Num};
use super::verdict::{Ask, MARKET, plain, refusal};
use crate::risk::{HaltReason, LimitId, Reason, Refusal};
use tern_abi::segment::TradingState;

/// OUCH 5.0, 1.2: $199,999.9900.
pub(super) const PRICE_MAX: Num = 1_999_999_900;
/// OUCH 5.0, 2.1 and 2.2: less than 1,000,000 shares, also of a chain.
const CHAIN_MAX: Num = 999_999;

pub(super) fn halted(firm: &Firm, _: &Ask) -> Option<Refusal> {
    match firm.halt? {
        HaltReason::Killed => plain(Reason::Killed),
        HaltReason::DaemonSilent => plain(Reason::DaemonSilent),
        _ => plain(Reason::Halted),
    }
}

pub(super) fn no_way_out(firm: &Firm, _: &Ask) -> Option<Refusal> {
    firm.way_out().err().and_then(plain)
}

pub(super) fn ring_reserve(firm: &Firm, _: &Ask) -> Option<Refusal> {
    if firm.ring_room { None } else { plain(Reason::RingReserve) }
}

/// From the first moment of the hours until before their end.
pub(super) fn out_of_hours(firm: &Firm, _: &Ask) -> Option<Refusal> {
    let (opens, closes) = firm.hours;
    let is_over = if firm.fault == Some(Fault::LastInstant) { firm.now > closes } else { firm.now >= closes };
    let bound = if firm.now < opens { opens } else { closes };
    let is_out = firm.now < opens || is_over;
    if is_out { refusal(Reason::OutOfHours, bound.into(), firm.now.into()) } else { None }
}

pub(super) fn too_old(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let (age, max) = (Num::from(ask.age_ns), firm.bound(LimitId::IntentAgeNsMax));
    if age > max { refusal(Reason::TooOld, max, age.min(i64::MAX.into())) } else { None }
}

pub(super) fn unknown_instrument(_: &Firm, ask: &Ask) -> Option<Refusal> {
    if ask.instrument < INSTRUMENTS { None } else { plain(Reason::UnknownInstrument) }
}

pub(super) fn scope(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    match firm.scope_state(ask.owner, ask.instrument) {
        TradingState::Running => None,
        TradingState::CancelOnly if firm.throttled[ask.owner] => plain(Reason::RepeatedExecutions),
        TradingState::CancelOnly if firm.lost[ask.owner] => plain(Reason::StrategyLoss),
        TradingState::CancelOnly => plain(Reason::CancelOnly),
        TradingState::Halted => plain(Reason::ScopeHalted),
        TradingState::ReduceOnly => {
            let worst = firm.worst_with(ask).max(firm.worst_of_owner(ask));
            if worst > 0 { refusal(Reason::ReduceOnly, 0, worst) } else { None }
        }
    }
}

/// Not even a smaller order is sent in what is on the restricted list.
pub(super) fn restricted(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    if firm.is_restricted(ask.instrument) { plain(Reason::Restricted) } else { None }
}

pub(super) fn untrusted(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    if firm.is_trusted(ask.instrument) { None } else { plain(Reason::BookUntrusted) }
}

pub(super) fn not_trading(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    match firm.books[ask.instrument].state {
        b'T' => None,
        state => refusal(Reason::NotTrading, b'T'.into(), state.into()),
    }
}

pub(super) fn market_halted(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    if firm.books[ask.instrument].halted { plain(Reason::MarketHalted) } else { None }
}

pub(super) fn quantity(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let max = firm.order_bound(LimitId::OrderQuantityMax, ask.instrument).max(firm.standing(ask).0);
    if ask.quantity == 0 || ask.quantity > max { refusal(Reason::Quantity, max, ask.quantity) } else { None }
}

/// A minimum is of round lots, no more than the order, and of what has to trade at once; nothing of a cross rests.
pub(super) fn terms(_: &Firm, ask: &Ask) -> Option<Refusal> {
    let of = ask.terms;
    if of.cross != 0 {
        return if of.post_only || of.min_quantity != 0 { plain(Reason::Terms) } else { None };
    }
    let fits = of.is_ioc && !of.post_only && of.min_quantity <= ask.quantity && of.min_quantity % 100 == 0;
    if of.min_quantity == 0 || fits { None } else { refusal(Reason::Terms, ask.quantity, of.min_quantity) }
}

/// What trades in a cross has to be valued before anything else is asked.
pub(super) fn cross_reference(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let is_unknown = ask.terms.cross != 0 && firm.reference(ask.instrument).is_none();
    if is_unknown { plain(Reason::NoReference) } else { None }
}

/// A replace has no field for the cross.
pub(super) fn cross_replaced(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    if firm.orders[ask.order?].cross_value.is_some() { plain(Reason::Terms) } else { None }
}

pub(super) fn price(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let price = firm.limit(ask);
    if (1..=PRICE_MAX).contains(&price) { None } else { refusal(Reason::Price, PRICE_MAX, price) }
}

/// Within the bounds that its symbol has: the ends are inside.
pub(super) fn price_band(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    if ask.terms.cross != 0 && ask.price == MARKET {
        return None;
    }
    let off = Num::from(firm.fault == Some(Fault::BandEnds));
    match firm.price_band(ask.instrument) {
        (Some(lowest), _) if ask.price < lowest + off => refusal(Reason::PriceBand, lowest, ask.price),
        (_, Some(highest)) if ask.price > highest - off => refusal(Reason::PriceBand, highest, ask.price),
        _ => None,
    }
}

/// What asks for no price could trade at any.
pub(super) fn market_in_band(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let is_market = ask.terms.cross != 0 && ask.price == MARKET;
    match firm.price_band(ask.instrument) {
        (None, None) => None,
        _ if !is_market || firm.fault == Some(Fault::MarketInBand) => None,
        (_, highest) => refusal(Reason::PriceBand, highest.unwrap_or(PRICE_MAX), MARKET),
    }
}

pub(super) fn notional(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let max = firm.order_bound(LimitId::OrderNotionalMax, ask.instrument).max(firm.standing(ask).1);
    let value = firm.limit(ask) * ask.quantity;
    if value > max { refusal(Reason::Notional, max, value) } else { None }
}

/// The same, valued at what the cross may pay.
pub(super) fn notional_in_cross(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let max = firm.order_bound(LimitId::OrderNotionalMax, ask.instrument);
    let value = firm.each(ask) * ask.quantity;
    if ask.terms.cross != 0 && value > max { refusal(Reason::Notional, max, value) } else { None }
}

pub(super) fn collar(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let Some(reference) = firm.reference(ask.instrument) else { return plain(Reason::NoReference) };
    let price = firm.limit(ask);
    let away = (price - reference).abs();
    let is_outside = away * 10_000 > reference * firm.bound(LimitId::PriceCollarBps);
    if is_outside { refusal(Reason::Collar, reference, price) } else { None }
}

pub(super) fn chain(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let total = (firm.orders[ask.order?].executed + ask.quantity).min(u32::MAX.into());
    if total > CHAIN_MAX { refusal(Reason::Quantity, CHAIN_MAX, total) } else { None }
}
