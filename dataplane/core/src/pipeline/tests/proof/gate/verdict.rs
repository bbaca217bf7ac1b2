//! What the gate must say to an intent: one function a check, in the order in which the first refusal counts.

use super::firm::{Fault, Firm, INSTRUMENTS, Life, Num};
use crate::risk::{HaltReason, LimitId, Reason, Refusal};
use crate::units::Side;
use tern_abi::segment::{ScopeKind, TradingState};

/// OUCH 5.0, 1.2: $199,999.9900.
const PRICE_MAX: Num = 1_999_999_900;
/// OUCH 5.0, 2.1 and 2.2: less than 1,000,000 shares, also of a chain.
const CHAIN_MAX: Num = 999_999;
/// Room that a message may need.
const MESSAGE_BYTES_MAX: usize = 128;
const MESSAGES_WAITING_MAX: usize = 16;

/// An intent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) owner: usize,
    pub(super) instrument: usize,
    pub(super) side: Side,
    pub(super) price: Num,
    pub(super) quantity: Num,
    pub(super) age_ns: u64,
    /// The place of the order that is to be replaced or cancelled.
    pub(super) order: Option<usize>,
}

/// A check: the refusal, if it refuses.
pub(super) type Check = fn(&Firm, &Ask) -> Option<Refusal>;

/// For a new order.
pub(super) const NEW: &[Check] = &[
    halted,
    no_way_out,
    ring_reserve,
    too_old,
    unknown_instrument,
    scope,
    untrusted,
    not_trading,
    market_halted,
    quantity,
    price,
    notional,
    collar,
    position,
    gross,
    net,
    self_trade,
    open_orders,
    duplicate,
    rate,
];

/// For a replace of an order of one's own.
pub(super) const REPLACE: &[Check] = &[
    halted,
    no_way_out,
    ring_reserve,
    too_old,
    busy,
    untrusted,
    not_trading,
    market_halted,
    quantity,
    price,
    notional,
    collar,
    chain,
    scope,
    position,
    gross,
    net,
    self_trade,
    short_mark,
    rate,
];

/// For a cancel of an order of one's own.
pub(super) const CANCEL: &[Check] = &[cancel_busy, no_way_out, cancel_rate];

fn refusal(reason: Reason, limit: Num, value: Num) -> Option<Refusal> {
    Some(Refusal { reason, limit: limit as i64, value: value as i64 })
}

fn plain(reason: Reason) -> Option<Refusal> {
    refusal(reason, 0, 0)
}

impl Firm {
    /// The first refusal of a list of checks.
    pub(super) fn verdict(&self, checks: &[Check], ask: &Ask) -> Result<(), Refusal> {
        let is_ignored = |refusal: &Refusal| self.fault == Some(Fault::Ignored(refusal.reason));
        match checks.iter().filter_map(|check| check(self, ask)).find(|refusal| !is_ignored(refusal)) {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    /// Whether a message can leave.
    pub(super) fn way_out(&self) -> Result<(), Reason> {
        let waiting: usize = self.waiting.iter().map(|message| message.bytes_left).sum();
        if !self.is_ready {
            Err(Reason::SessionNotReady)
        } else if self.room_bytes < waiting + MESSAGE_BYTES_MAX {
            Err(Reason::WindowClosed)
        } else if self.waiting.len() >= MESSAGES_WAITING_MAX {
            Err(Reason::OutboxFull)
        } else {
            Ok(())
        }
    }

    /// How far a strategy may trade in an instrument: the strictest of what was said last of each part it falls under.
    fn scope_state(&self, owner: usize, instrument: usize) -> TradingState {
        let mine = [
            (ScopeKind::Firm, 0),
            (ScopeKind::Venue, 1),
            (ScopeKind::Strategy, strategy_of(owner)),
            (ScopeKind::Symbol, symbol_key(instrument)),
        ];
        let said = mine.iter().filter_map(|(kind, key)| {
            self.scopes.iter().rev().find(|said| said.0 == *kind && said.1 == *key).map(|said| said.2)
        });
        said.max_by_key(|state| *state as u8).unwrap_or(TradingState::Running)
    }

    /// What instruments are compared with: the last print, before any the middle.
    pub(super) fn reference(&self, instrument: usize) -> Option<Num> {
        let book = &self.books[instrument];
        book.last.or_else(|| Some((self.best(instrument, Side::Buy)? + self.best(instrument, Side::Sell)?) / 2))
    }

    pub(super) fn best(&self, instrument: usize, side: Side) -> Option<Num> {
        let prices = self.books[instrument].orders.iter().filter(|order| order.1 == side).map(|order| order.2);
        if side == Side::Buy { prices.max() } else { prices.min() }
    }

    pub(super) fn is_trusted(&self, instrument: usize) -> bool {
        !self.stream_distrusted && !self.books[instrument].distrusted
    }

    /// Shares that an intent adds to what its side may come to trade.
    pub(super) fn more_shares(&self, ask: &Ask) -> Num {
        match ask.order {
            None => ask.quantity,
            Some(at) => ask.quantity.max(self.orders[at].leaves) - self.stands_for(&self.orders[at]).0,
        }
    }

    /// Value that an intent adds.
    pub(super) fn more_value(&self, ask: &Ask) -> Num {
        let wanted = ask.price * ask.quantity;
        match ask.order {
            None => wanted,
            Some(at) => {
                let order = &self.orders[at];
                wanted.max(order.price * order.leaves) - self.stands_for(order).1
            }
        }
    }

    /// The position that could come of it, seen from the side.
    pub(super) fn worst_with(&self, ask: &Ask) -> Num {
        self.worst(ask.instrument, ask.side) + self.more_shares(ask)
    }

    /// An order that can only make positions smaller.
    pub(super) fn only_closes(&self, ask: &Ask) -> bool {
        self.worst_with(ask) <= 0
    }

    /// What what is replaced stands for: limits set below it do not keep it from being made smaller.
    fn standing(&self, ask: &Ask) -> (Num, Num) {
        ask.order.map_or((0, 0), |at| (self.orders[at].leaves, self.stands_for(&self.orders[at]).1))
    }
}

/// The id of a strategy as scopes name it.
pub(super) fn strategy_of(owner: usize) -> u64 {
    if owner + 1 < super::firm::OWNERS { owner as u64 + 1 } else { u64::from(crate::pipeline::HOUSE.0) }
}

/// "S0" and so on, as scopes name symbols.
pub(super) fn symbol_key(instrument: usize) -> u64 {
    u64::from_le_bytes([b'S', b'0' + instrument as u8, b' ', b' ', b' ', b' ', b' ', b' '])
}

fn halted(firm: &Firm, _: &Ask) -> Option<Refusal> {
    match firm.halt? {
        HaltReason::Killed => plain(Reason::Killed),
        _ => plain(Reason::Halted),
    }
}

fn no_way_out(firm: &Firm, _: &Ask) -> Option<Refusal> {
    firm.way_out().err().and_then(plain)
}

fn ring_reserve(firm: &Firm, _: &Ask) -> Option<Refusal> {
    if firm.ring_room { None } else { plain(Reason::RingReserve) }
}

fn too_old(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let (age, max) = (Num::from(ask.age_ns), firm.bound(LimitId::IntentAgeNsMax));
    if age > max { refusal(Reason::TooOld, max, age.min(i64::MAX.into())) } else { None }
}

fn unknown_instrument(_: &Firm, ask: &Ask) -> Option<Refusal> {
    if ask.instrument < INSTRUMENTS { None } else { plain(Reason::UnknownInstrument) }
}

fn scope(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    match firm.scope_state(ask.owner, ask.instrument) {
        TradingState::Running => None,
        TradingState::CancelOnly => plain(Reason::CancelOnly),
        TradingState::Halted => plain(Reason::ScopeHalted),
        TradingState::ReduceOnly => {
            let held = firm.held[ask.owner][ask.instrument].shares;
            let own = firm.orders.iter().filter(|order| {
                order.owner == ask.owner && order.instrument == ask.instrument && order.side == ask.side
            });
            let open: Num = own.map(|order| firm.stands_for(order).0).sum();
            let of_owner = open + firm.more_shares(ask) + if ask.side == Side::Buy { held } else { -held };
            let worst = firm.worst_with(ask).max(of_owner);
            if worst > 0 { refusal(Reason::ReduceOnly, 0, worst) } else { None }
        }
    }
}

fn untrusted(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    if firm.is_trusted(ask.instrument) { None } else { plain(Reason::BookUntrusted) }
}

fn not_trading(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    match firm.books[ask.instrument].state {
        b'T' => None,
        state => refusal(Reason::NotTrading, b'T'.into(), state.into()),
    }
}

fn market_halted(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    if firm.books[ask.instrument].halted { plain(Reason::MarketHalted) } else { None }
}

fn quantity(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let max = firm.bound(LimitId::OrderQuantityMax).max(firm.standing(ask).0);
    if ask.quantity == 0 || ask.quantity > max { refusal(Reason::Quantity, max, ask.quantity) } else { None }
}

fn price(_: &Firm, ask: &Ask) -> Option<Refusal> {
    if (1..=PRICE_MAX).contains(&ask.price) { None } else { refusal(Reason::Price, PRICE_MAX, ask.price) }
}

fn notional(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let max = firm.bound(LimitId::OrderNotionalMax).max(firm.standing(ask).1);
    let value = ask.price * ask.quantity;
    if value > max { refusal(Reason::Notional, max, value) } else { None }
}

fn collar(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let Some(reference) = firm.reference(ask.instrument) else { return plain(Reason::NoReference) };
    let away = (ask.price - reference).abs();
    let is_outside = away * 10_000 > reference * firm.bound(LimitId::PriceCollarBps);
    if is_outside { refusal(Reason::Collar, reference, ask.price) } else { None }
}

fn chain(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let total = (firm.orders[ask.order?].executed + ask.quantity).min(u32::MAX.into());
    if total > CHAIN_MAX { refusal(Reason::Quantity, CHAIN_MAX, total) } else { None }
}

fn position(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let (worst, max) = (firm.worst_with(ask), firm.bound(LimitId::PositionMax));
    let adds = ask.order.is_none() || firm.more_shares(ask) > 0;
    if adds && worst > max { refusal(Reason::Position, max, worst) } else { None }
}

fn gross(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let more = firm.more_value(ask);
    let (sum, max) = (firm.gross() + more, firm.bound(LimitId::GrossMax));
    let is_free = more <= 0 || firm.only_closes(ask);
    if !is_free && sum > max { refusal(Reason::Gross, max, sum) } else { None }
}

fn net(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let more = firm.more_value(ask);
    let (sum, max) = (firm.net(ask.side) + more, firm.bound(LimitId::NetMax));
    let is_free = more <= 0 || firm.only_closes(ask);
    if !is_free && sum > max { refusal(Reason::Net, max, sum) } else { None }
}

/// Whether an order may trade with another one at `price` of the other side.
pub(super) fn crosses(order: &super::firm::Known, side: Side, price: Num) -> bool {
    // A price that no order has means "market": nothing is out of its reach.
    let is_market = |theirs: Num| !(0..Num::from(u32::MAX)).contains(&theirs);
    let meets = |theirs: Num| is_market(theirs) || if side == Side::Buy { price >= theirs } else { price <= theirs };
    order.side != side && order.is_open() && order.stands_for().0 > 0 && order.prices().any(meets)
}

fn self_trade(firm: &Firm, ask: &Ask) -> Option<Refusal> {
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

fn open_orders(firm: &Firm, _: &Ask) -> Option<Refusal> {
    let open = firm.open().len();
    let max = firm.bound(LimitId::OpenOrdersMax);
    if open as Num >= max || open >= firm.orders_max { refusal(Reason::OpenOrders, max, open as Num + 1) } else { None }
}

fn duplicate(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let last = firm.entered.iter().rev().find(|entered| entered.instrument == ask.instrument)?;
    let since = Num::from(firm.now) - Num::from(last.at);
    let is_same = (last.side, last.price, last.quantity) == (ask.side, ask.price, ask.quantity);
    let window = firm.bound(LimitId::DuplicateWindowNs);
    if is_same && since < window { refusal(Reason::Duplicate, window, since) } else { None }
}

fn rate_refusal(firm: &Firm, messages: Num) -> Option<Refusal> {
    let taken = (firm.rate_full_at() - Num::from(firm.now)).max(0);
    let fits = firm.token().is_some_and(|token| taken + token <= token * messages);
    if fits { None } else { refusal(Reason::Rate, firm.bound(LimitId::OrdersPerSecondMax), 0) }
}

fn rate(firm: &Firm, _: &Ask) -> Option<Refusal> {
    rate_refusal(firm, firm.bound(LimitId::OrderBurstMax))
}

fn cancel_rate(firm: &Firm, _: &Ask) -> Option<Refusal> {
    rate_refusal(firm, firm.bound(LimitId::OrderBurstMax) + firm.bound(LimitId::CancelReserve))
}

fn busy(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let order = &firm.orders[ask.order?];
    let is_settled = order.life == Life::Live && order.pending.is_none();
    if is_settled && order.cancel_sent.is_none() && !order.cancel_wanted { None } else { plain(Reason::OrderBusy) }
}

fn cancel_busy(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let order = &firm.orders[ask.order?];
    if order.cancel_sent.is_some() || order.cancel_wanted { plain(Reason::OrderBusy) } else { None }
}

/// A replace cannot change the mark, so none may sell more than is held under a sale that was marked long.
fn short_mark(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    let order = &firm.orders[ask.order?];
    let covered = -firm.worst(ask.instrument, Side::Sell);
    let is_long = order.side == Side::Sell && !order.short;
    if is_long && covered < firm.more_shares(ask) { plain(Reason::ShortMark) } else { None }
}
