//! What the gate must say to an intent: one function a check, in the order in which the first refusal counts.

use super::firm::{Fault, Firm, Num};
use super::{by_hand, checks, sums};
use crate::risk::{LimitId, Reason, Refusal};
use crate::units::Side;
use tern_abi::segment::{ScopeKind, TradingState};

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
    pub(super) terms: Terms,
}

/// What an intent asks for beside price and shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) min_quantity: Num,
    pub(super) is_ioc: bool,
    pub(super) post_only: bool,
    /// 1 for the opening cross, 2 for the closing one.
    pub(super) cross: u8,
}

/// OUCH 5.0, 1.2: what stands for a price in a cross.
pub(super) const MARKET: Num = 0x7FFF_FFFF;

/// A check: the refusal, if it refuses.
pub(super) type Check = fn(&Firm, &Ask) -> Option<Refusal>;

/// For a new order.
pub(super) const NEW: &[Check] = &[
    checks::halted,
    checks::no_way_out,
    checks::ring_reserve,
    checks::out_of_hours,
    checks::too_old,
    checks::unknown_instrument,
    checks::scope,
    checks::terms,
    checks::cross_reference,
    checks::market_in_band,
    checks::restricted,
    checks::untrusted,
    checks::not_trading,
    checks::market_halted,
    checks::quantity,
    checks::price,
    checks::price_band,
    checks::notional,
    checks::collar,
    checks::notional_in_cross,
    sums::position,
    sums::strategy_position,
    sums::volume,
    sums::gross,
    sums::net,
    sums::leverage,
    sums::strategy_gross,
    sums::strategy_net,
    sums::self_trade,
    sums::open_orders,
    sums::duplicate,
    sums::not_located,
    sums::short_sale_price,
    sums::rate,
    sums::messages,
];

/// For a replace of an order of one's own.
pub(super) const REPLACE: &[Check] = &[
    checks::halted,
    checks::no_way_out,
    checks::ring_reserve,
    checks::out_of_hours,
    checks::too_old,
    sums::busy,
    checks::cross_replaced,
    checks::restricted,
    checks::untrusted,
    checks::not_trading,
    checks::market_halted,
    checks::quantity,
    checks::price,
    checks::price_band,
    checks::notional,
    checks::collar,
    checks::chain,
    checks::scope,
    sums::position,
    sums::strategy_position,
    sums::volume,
    sums::gross,
    sums::net,
    sums::leverage,
    sums::strategy_gross,
    sums::strategy_net,
    sums::self_trade,
    sums::short_mark,
    sums::not_located,
    sums::short_sale_price,
    sums::rate,
    sums::messages,
];

/// For a trade that a person tells.
pub(super) const TOLD: &[Check] = &[
    checks::quantity,
    checks::price,
    checks::price_band,
    checks::notional,
    by_hand::told_collar,
    sums::position,
    sums::strategy_position,
    sums::gross,
    sums::net,
    sums::leverage,
    sums::strategy_gross,
    sums::strategy_net,
];

/// For a cancel of an order of one's own.
pub(super) const CANCEL: &[Check] = &[sums::cancel_busy, checks::no_way_out, sums::cancel_rate, sums::cancel_messages];

pub(super) fn refusal(reason: Reason, limit: Num, value: Num) -> Option<Refusal> {
    Some(Refusal { reason, limit: limit as i64, value: value as i64 })
}

pub(super) fn plain(reason: Reason) -> Option<Refusal> {
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

    /// What was said last of a part of the firm.
    pub(super) fn said(&self, kind: ScopeKind, key: u64) -> TradingState {
        let said = self.scopes.iter().rev().find(|said| (said.0, said.1) == (kind, key));
        said.map_or(TradingState::Running, |said| said.2)
    }

    /// How far a strategy may trade in an instrument: the strictest of what was said last of each part it falls under.
    pub(super) fn scope_state(&self, owner: usize, instrument: usize) -> TradingState {
        let mine = [
            (ScopeKind::Firm, 0),
            (ScopeKind::Venue, 1),
            (ScopeKind::Strategy, strategy_of(owner)),
            (ScopeKind::Symbol, symbol_key(instrument)),
        ];
        let said = mine.map(|(kind, key)| self.said(kind, key));
        said.into_iter().max_by_key(|state| *state as u8).unwrap_or(TradingState::Running)
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

    /// The limit at which an intent may trade: of a market order, the end of the collar.
    pub(super) fn limit(&self, ask: &Ask) -> Num {
        if ask.terms.cross != 0 && ask.price == MARKET { self.each(ask) } else { ask.price }
    }

    /// What a share is valued at: in a cross, whatever its limit and side, the most that the collar lets anything trade at.
    pub(super) fn each(&self, ask: &Ask) -> Num {
        match self.reference(ask.instrument) {
            Some(reference) if ask.terms.cross != 0 => {
                (reference + reference * self.bound(LimitId::PriceCollarBps) / 10_000).min(checks::PRICE_MAX)
            }
            _ => ask.price,
        }
    }

    /// The position that could come of it, seen from the side.
    pub(super) fn worst_with(&self, ask: &Ask) -> Num {
        self.worst(ask.instrument, ask.side) + self.more_shares(ask)
    }

    /// The same of the strategy's own position and open orders.
    pub(super) fn worst_of_owner(&self, ask: &Ask) -> Num {
        let held = self.held[ask.owner][ask.instrument].shares;
        let own = self
            .orders
            .iter()
            .filter(|order| (order.owner, order.instrument, order.side) == (ask.owner, ask.instrument, ask.side));
        let open: Num = own.map(|order| self.stands_for(order).0).sum();
        open + self.more_shares(ask) + if ask.side == Side::Buy { held } else { -held }
    }

    /// A new order, or a replace that adds a share: what adds none is a way out, whatever limit was set below it.
    pub(super) fn adds_shares(&self, ask: &Ask) -> bool {
        ask.order.is_none() || self.more_shares(ask) > 0
    }

    /// An order that can only make positions smaller.
    pub(super) fn only_closes(&self, ask: &Ask) -> bool {
        self.worst_with(ask) <= 0
    }

    /// What what is replaced stands for: limits set below it do not keep it from being made smaller.
    pub(super) fn standing(&self, ask: &Ask) -> (Num, Num) {
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
