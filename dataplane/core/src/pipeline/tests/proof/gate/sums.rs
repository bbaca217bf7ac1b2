//! The checks of what an intent adds to: positions, money, own orders, short sales, and messages.

use super::firm::{Firm, Num};
use super::known::{Known, Life};
use super::verdict::{Ask, MARKET, plain, refusal};
use crate::risk::{LimitId, Reason, Refusal};
use crate::units::Side;

pub(super) fn position(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let (worst, max) = (firm.worst_with(ask), firm.order_bound(LimitId::PositionMax, ask.instrument));
    if firm.adds_shares(ask) && worst > max { refusal(Reason::Position, max, worst) } else { None }
}

/// The strategy's own position, with its own open orders of the side filled.
pub(super) fn strategy_position(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let (worst, max) = (firm.worst_of_owner(ask), firm.owner_bound(LimitId::StrategyPositionMax, ask.owner));
    if firm.adds_shares(ask) && worst > max { refusal(Reason::StrategyPosition, max, worst) } else { None }
}

/// Small beside what others traded lately, but for a size that is always allowed; what only closes needs no volume.
pub(super) fn volume(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let least = firm.bound(LimitId::VolumeSharesMin);
    let part = firm.recent_volume(ask.instrument) * firm.bound(LimitId::VolumePercentMax) / 100;
    let max = part.max(least);
    let is_free = !firm.adds_shares(ask) || firm.only_closes(ask);
    if !is_free && ask.quantity > max { refusal(Reason::Volume, max, ask.quantity) } else { None }
}

/// What adds shares, and does not only close what a sum is about, is asked about it; so is what makes shares count for more.
fn asked(firm: &Firm, ask: &Ask, closes: bool) -> bool {
    let is_dearer = firm.value_with(ask) > firm.values[ask.instrument];
    is_dearer || (firm.more_shares(ask) > 0 && !closes)
}

/// Closes the firm's position, or its owner's.
fn closes_any(firm: &Firm, ask: &Ask) -> bool {
    firm.only_closes(ask) || firm.worst_of_owner(ask) <= 0
}

fn beyond(reason: Reason, asked: bool, sum: Num, max: Num) -> Option<Refusal> {
    if asked && sum > max { refusal(reason, max, sum) } else { None }
}

pub(super) fn gross(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let [(more, _), _] = firm.adds_of(ask);
    beyond(Reason::Gross, asked(firm, ask, closes_any(firm, ask)), firm.gross() + more, firm.bound(LimitId::GrossMax))
}

pub(super) fn net(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let [(_, more), _] = firm.adds_of(ask);
    beyond(Reason::Net, asked(firm, ask, firm.only_closes(ask)), firm.net(ask.side) + more, firm.bound(LimitId::NetMax))
}

/// Gross against a multiple of what the account is worth.
pub(super) fn leverage(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let [(more, _), _] = firm.adds_of(ask);
    beyond(Reason::Leverage, asked(firm, ask, closes_any(firm, ask)), firm.gross() + more, firm.leverage_max()?)
}

pub(super) fn strategy_gross(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let [_, (more, _)] = firm.adds_of(ask);
    let max = firm.owner_bound(LimitId::StrategyGrossMax, ask.owner);
    beyond(Reason::StrategyGross, asked(firm, ask, firm.worst_of_owner(ask) <= 0), firm.gross_of(ask.owner) + more, max)
}

pub(super) fn strategy_net(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let [_, (_, more)] = firm.adds_of(ask);
    let max = firm.owner_bound(LimitId::StrategyNetMax, ask.owner);
    beyond(
        Reason::StrategyNet,
        asked(firm, ask, firm.worst_of_owner(ask) <= 0),
        firm.net_of(ask.owner, ask.side) + more,
        max,
    )
}

/// Whether an order may trade with another one at `price` of the other side.
pub(super) fn crosses(order: &Known, side: Side, price: Num) -> bool {
    // A price that no order has means "market": nothing is out of its reach.
    let is_market = |price: Num| !(0..MARKET).contains(&price);
    let meets = |theirs: Num| {
        is_market(theirs) || price == MARKET || if side == Side::Buy { price >= theirs } else { price <= theirs }
    };
    order.side != side && order.is_open() && order.stands_for().0 > 0 && order.prices().any(meets)
}

pub(super) fn self_trade(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    if firm.bound(LimitId::SelfTrade) == 0 {
        return None;
    }
    let open = firm.open();
    let mut in_the_way = open
        .iter()
        .map(|at| &firm.orders[*at])
        .filter(|order| order.instrument == ask.instrument && crosses(order, ask.side, ask.price));
    // Strategy by strategy, the oldest of each first: the first of equals.
    let first = in_the_way.next()?;
    let first = in_the_way.fold(first, |first, other| if other.owner < first.owner { other } else { first });
    refusal(Reason::SelfTrade, first.price, ask.price)
}

pub(super) fn open_orders(firm: &Firm, _: &Ask) -> Option<Refusal> {
    let open = firm.open().len();
    let max = firm.bound(LimitId::OpenOrdersMax);
    if open as Num >= max || open >= firm.orders_max { refusal(Reason::OpenOrders, max, open as Num + 1) } else { None }
}

pub(super) fn duplicate(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let last = firm.entered.iter().rev().find(|entered| entered.instrument == ask.instrument)?;
    let since = Num::from(firm.now) - Num::from(last.at);
    let is_same =
        (last.side, last.price, last.quantity, last.cross) == (ask.side, ask.price, ask.quantity, ask.terms.cross);
    let window = firm.bound(LimitId::DuplicateWindowNs);
    if is_same && since < window { refusal(Reason::Duplicate, window, since) } else { None }
}

pub(super) fn rate_refusal(firm: &Firm, messages: Num) -> Option<Refusal> {
    let taken = (firm.rate_full_at() - Num::from(firm.now)).max(0);
    let fits = firm.token().is_some_and(|token| taken + token <= token * messages);
    if fits { None } else { refusal(Reason::Rate, firm.bound(LimitId::OrdersPerSecondMax), 0) }
}

pub(super) fn rate(firm: &Firm, _: &Ask) -> Option<Refusal> {
    rate_refusal(firm, firm.bound(LimitId::OrderBurstMax))
}

pub(super) fn cancel_rate(firm: &Firm, _: &Ask) -> Option<Refusal> {
    rate_refusal(firm, firm.bound(LimitId::OrderBurstMax) + firm.bound(LimitId::CancelReserve))
}

pub(super) fn busy(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let order = &firm.orders[ask.order?];
    let is_settled = order.life == Life::Live && order.pending.is_none();
    if is_settled && order.cancel_sent.is_none() && !order.cancel_wanted { None } else { plain(Reason::OrderBusy) }
}

pub(super) fn cancel_busy(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let order = &firm.orders[ask.order?];
    if order.cancel_sent.is_some() || order.cancel_wanted { plain(Reason::OrderBusy) } else { None }
}

/// A replace cannot change the mark, so none may sell more than is held under a sale that was marked long.
pub(super) fn short_mark(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let order = &firm.orders[ask.order?];
    let covered = -firm.worst(ask.instrument, Side::Sell);
    let is_long = order.side == Side::Sell && !order.short;
    if is_long && covered < firm.more_shares(ask) { plain(Reason::ShortMark) } else { None }
}

/// A new sale of more than is held is marked short; a replace keeps the mark that its order has.
fn is_short(firm: &Firm, ask: &Ask) -> bool {
    match ask.order {
        None => ask.side == Side::Sell && firm.worst_with(ask) > 0,
        Some(at) => firm.orders[at].short,
    }
}

/// No more is sold short than may be, with every open sale filled.
pub(super) fn not_located(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let (worst, max) = (firm.worst_with(ask), firm.short_max(ask.instrument));
    let adds = is_short(firm, ask) && firm.adds_shares(ask);
    if adds && worst > max { refusal(Reason::NotLocated, max, worst) } else { None }
}

/// Under Rule 201 a short sale has to be above the best bid of this venue, if there is one.
pub(super) fn short_sale_price(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let is_in_force = matches!(firm.books[ask.instrument].short_sale, b'1' | b'2');
    let bid = firm.best(ask.instrument, Side::Buy)?;
    let is_held = is_in_force && is_short(firm, ask) && (ask.price <= bid || ask.price == MARKET);
    if is_held { refusal(Reason::ShortSalePrice, bid, ask.price) } else { None }
}

fn day_refusal(firm: &Firm, max: Num) -> Option<Refusal> {
    // A day that has as many as a number can say has no room whatever the limit is.
    if firm.day < max { None } else { refusal(Reason::MessagesPerDay, max, firm.day + 1) }
}

pub(super) fn messages(firm: &Firm, _: &Ask) -> Option<Refusal> {
    day_refusal(firm, firm.bound(LimitId::MessagesPerDayMax))
}

pub(super) fn cancel_messages(firm: &Firm, _: &Ask) -> Option<Refusal> {
    let max = firm.bound(LimitId::MessagesPerDayMax) + firm.bound(LimitId::CancelDayReserve);
    day_refusal(firm, max.min(u32::MAX.into()))
}
