//! Trades: a client's incoming order against the book, and the flow against clients' resting orders.

use super::accounts::{CancelWhy, ClientOrder};
use super::{Engine, SelfTrade};
use crate::book::{Order, Owner, Side};

/// Liquidity flags (OUCH appendix E).
const ADDED: u8 = b'A';
const REMOVED: u8 = b'R';

impl Engine {
    /// Trades a client's incoming order with the other side of the book, best price first, until it is filled, canceled
    /// or nothing at its limit is left.
    pub(super) fn match_incoming(&mut self, account: u16, user_ref: u32) {
        while let Some(order) = self.order(account, user_ref) {
            let (side, limit, open, locate) = (order.side(), order.limit, order.open, order.locate);
            let Some(&resting) = self.book.front(locate, side.opposite()) else { break };
            if open == 0 || !side.accepts(limit, resting.price) {
                break;
            }
            let own = matches!(resting.owner, Owner::Client { account: owner, .. } if owner == account);
            if own && self.rules.self_trade != SelfTrade::Allow {
                self.prevent_self_trade(account, user_ref, open, &resting);
                continue;
            }
            let shares = open.min(resting.shares);
            let match_number = self.fresh_match();
            self.publish_execution(&resting, shares, match_number);
            self.fill(account, user_ref, shares, resting.price, REMOVED, match_number);
            if let Owner::Client { account: owner, user_ref: other } = resting.owner {
                self.fill(owner, other, shares, resting.price, ADDED, match_number);
            }
            self.take_from(&resting, shares);
        }
    }

    /// Shares that an incoming order would trade now: what others have at its limit or better.
    pub(super) fn takes_at_once(&self, account: u16, order: &ClientOrder) -> u32 {
        let own = |owner: Owner| matches!(owner, Owner::Client { account: owner, .. } if owner == account);
        let all = self.book.side(order.locate, order.side().opposite(), true);
        let meets = all.iter().filter(|resting| order.side().accepts(order.limit, resting.price));
        let others = meets.filter(|resting| self.rules.self_trade == SelfTrade::Allow || !own(resting.owner));
        others.fold(0_u32, |sum, resting| sum.saturating_add(resting.shares)).min(order.open)
    }

    /// Takes traded shares off a resting order; a client's order that has none left ends.
    pub(super) fn take_from(&mut self, resting: &Order, shares: u32) {
        if self.book.reduce(resting.reference, shares) == Some(0)
            && let Owner::Client { account, user_ref } = resting.owner
        {
            self.drop_order(account, user_ref);
        }
    }

    fn prevent_self_trade(&mut self, account: u16, incoming: u32, open: u32, resting: &Order) {
        let Owner::Client { user_ref: oldest, .. } = resting.owner else { return };
        let prevented = open.min(resting.shares);
        let (from_resting, from_incoming, strategy) = match self.rules.self_trade {
            SelfTrade::Allow => return,
            SelfTrade::CancelOldest => (resting.shares, 0, b'O'),
            SelfTrade::CancelNewest => (0, open, b'N'),
            SelfTrade::Decrement => (prevented, prevented, b'D'),
        };
        if from_resting > 0 {
            self.publish_reduction(resting, from_resting);
            self.aiq_canceled(account, oldest, from_resting, prevented, resting.price, strategy);
            if let Some(order) = self.order_mut(account, oldest) {
                order.open -= from_resting;
                order.executed = order.executed.saturating_add(from_resting);
            }
            self.take_from(resting, from_resting);
        }
        if from_incoming > 0 {
            self.aiq_canceled(account, incoming, from_incoming, prevented, resting.price, strategy);
            if let Some(order) = self.order_mut(account, incoming) {
                order.open -= from_incoming;
                order.executed = order.executed.saturating_add(from_incoming);
            }
        }
    }

    /// The flow trades `shares` with one resting client order.
    fn flow_takes(&mut self, resting: &Order, shares: u32) {
        let Owner::Client { account, user_ref } = resting.owner else { return };
        let match_number = self.fresh_match();
        self.publish_execution(resting, shares, match_number);
        self.fill(account, user_ref, shares, resting.price, ADDED, match_number);
        self.take_from(resting, shares);
    }

    /// An incoming order of the flow of `side`, as far as it crosses client orders within `limit`. Returns what is left.
    pub(super) fn flow_against_clients(&mut self, locate: u16, side: Side, limit: u32, shares: u32) -> u32 {
        let mut left = shares;
        while left > 0 && self.book.has_clients(locate, side.opposite()) && !self.is_halted(locate) {
            let Some(&resting) = self.book.best_client(locate, side.opposite()) else { break };
            if !side.accepts(limit, resting.price) {
                break;
            }
            let taken = left.min(resting.shares);
            self.flow_takes(&resting, taken);
            left -= taken;
        }
        left
    }

    /// An incoming order of the flow that the flow says hit `target`: client orders with priority over it trade first.
    /// Returns what is left for the target.
    pub(super) fn flow_against_clients_ahead(&mut self, target: &Order, shares: u32) -> u32 {
        let mut left = shares;
        while left > 0 && self.book.has_clients(target.locate, target.side) && !self.is_halted(target.locate) {
            let Some(&ahead) = self.book.client_ahead_of(target) else { break };
            let taken = left.min(ahead.shares);
            self.flow_takes(&ahead, taken);
            left -= taken;
        }
        left
    }

    /// Puts what is left of a live client order on the book and on the feed.
    pub(super) fn rest(&mut self, account: u16, user_ref: u32) {
        let Some(order) = self.order_mut(account, user_ref) else { return };
        order.held = false;
        if order.open == 0 {
            self.drop_order(account, user_ref);
            return;
        }
        let resting = Order {
            reference: order.reference,
            locate: order.locate,
            side: order.side(),
            price: order.limit,
            shares: order.open,
            owner: Owner::Client { account, user_ref },
            hidden: order.hidden(),
        };
        self.book.add(resting);
        if !resting.hidden {
            self.publish_add(&resting);
        }
    }

    /// Cancels all that is open of an order and tells its account.
    pub(super) fn cancel_order(&mut self, account: u16, user_ref: u32, why: CancelWhy) {
        self.reduce_order(account, user_ref, u32::MAX, why);
    }

    /// Takes `shares` off an order and tells its account; at 0 the order ends.
    pub(super) fn reduce_order(&mut self, account: u16, user_ref: u32, shares: u32, why: CancelWhy) {
        let Some(order) = self.order_mut(account, user_ref) else { return };
        let taken = shares.min(order.open);
        order.open -= taken;
        let (reference, open) = (order.reference, order.open);
        if let Some(&resting) = self.book.get(reference) {
            self.publish_reduction(&resting, taken);
            self.book.reduce(reference, taken);
        }
        self.canceled(account, user_ref, taken, why);
        if open == 0 {
            self.drop_order(account, user_ref);
        }
    }
}
