//! Crosses: interest is collected, then all that can trade does so at one price.

use tern_venues::itch_ouch::wire::itch;

use super::accounts::CancelWhy;
use super::{Engine, Phase};
use crate::book::{Order, Owner, Side};

/// One participant of a cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Side.
    pub side: Side,
    /// Limit; the largest number or 0 for a market order.
    pub limit: u32,
    /// Shares.
    pub shares: u64,
}

/// What a cross comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clearing {
    /// The price.
    pub price: u32,
    /// Shares that trade.
    pub shares: u64,
}

/// The price at which most shares trade; among those the one with the least imbalance, then the one nearest to
/// `reference`, then the lower one. `None` when nothing trades.
pub fn clear(interest: &[Interest], reference: u32) -> Option<Clearing> {
    let mut prices: Vec<u32> =
        interest.iter().map(|i| i.limit).filter(|&limit| limit != 0 && limit != u32::MAX).collect();
    // Market orders alone can trade only where something else gives a price.
    if reference != 0 {
        prices.push(reference);
    }
    prices.sort_unstable();
    prices.dedup();
    let willing = |side: Side, price: u32| -> u64 {
        interest.iter().filter(|i| i.side == side && side.accepts(i.limit, price)).map(|i| i.shares).sum()
    };
    prices
        .into_iter()
        .map(|price| {
            let (buy, sell) = (willing(Side::Buy, price), willing(Side::Sell, price));
            (Clearing { price, shares: buy.min(sell) }, buy.abs_diff(sell))
        })
        .filter(|(clearing, _)| clearing.shares > 0)
        .min_by_key(|&(clearing, imbalance)| {
            (u64::MAX - clearing.shares, imbalance, clearing.price.abs_diff(reference), clearing.price)
        })
        .map(|(clearing, _)| clearing)
}

/// Whose interest it is.
#[derive(Clone, Copy, Debug)]
enum Party {
    /// The flow's cross orders, known by their sum alone.
    Flow,
    /// A displayed order of the flow or a client.
    Resting(Order),
    /// A client's order that waited for this cross.
    Held { account: u16, user_ref: u32 },
}

impl Engine {
    /// A cross of the flow.
    pub(super) fn flow_cross(&mut self, bytes: &[u8], locate: u16, cross: &itch::CrossTrade) {
        let takes_part = self.symbol(locate).is_some_and(|symbol| {
            symbol.held.iter().any(|&(account, user_ref)| {
                self.order(account, user_ref).is_some_and(|order| joins(order.cross_type, cross.cross_type))
            })
        });
        if takes_part {
            self.uncross(locate, cross.cross_type, Some(cross));
        } else {
            self.publish(bytes);
        }
        let Some(symbol) = self.symbol_mut(locate) else { return };
        symbol.late = false;
        match cross.cross_type {
            b'O' => symbol.opened = true,
            b'C' => {
                symbol.closed = true;
                self.expire_day_orders(locate);
            }
            _ => {}
        }
    }

    /// Brings the held orders of a symbol that belong to a cross together with the book and the flow's cross volume.
    /// Afterwards cross orders with something left are canceled, continuous ones enter the book.
    pub(super) fn uncross(&mut self, locate: u16, cross_type: u8, flow: Option<&itch::CrossTrade>) {
        let Some(symbol) = self.symbol_mut(locate) else { return };
        let waiting = std::mem::take(&mut symbol.held);
        let (joining, staying): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|&(account, user_ref)| {
            self.accounts
                .get(usize::from(account))
                .and_then(|owner| owner.orders.get(&user_ref))
                .is_some_and(|order| joins(order.cross_type, cross_type))
        });
        if let Some(symbol) = self.symbol_mut(locate) {
            symbol.held = staying;
        }
        if joining.is_empty() {
            return;
        }
        let mut parties = self.parties(locate, &joining, flow);
        let reference = match flow {
            Some(cross) => cross.cross_price.get(),
            None => self.book.best_displayed(locate, Side::Buy).unwrap_or(0),
        };
        let interest: Vec<Interest> = parties.iter().map(|(_, interest)| *interest).collect();
        let match_number = flow.map_or_else(|| self.fresh_match(), |cross| cross.match_number.get());
        match clear(&interest, reference) {
            Some(clearing) => {
                for side in [Side::Buy, Side::Sell] {
                    self.allocate(&mut parties, side, clearing, match_number, cross_type);
                }
                self.publish_cross(locate, clearing.shares, clearing.price, match_number, cross_type);
            }
            None if flow.is_some() => self.publish_cross(locate, 0, 0, match_number, cross_type),
            None => {}
        }
        self.release(locate, joining);
    }

    /// All interest that meets in a cross.
    fn parties(&self, locate: u16, joining: &[(u16, u32)], flow: Option<&itch::CrossTrade>) -> Vec<(Party, Interest)> {
        let mut parties = Vec::new();
        for &(account, user_ref) in joining {
            if let Some(order) = self.order(account, user_ref) {
                let interest = Interest { side: order.side(), limit: order.limit, shares: u64::from(order.open) };
                parties.push((Party::Held { account, user_ref }, interest));
            }
        }
        for side in [Side::Buy, Side::Sell] {
            if let Some(cross) = flow.filter(|cross| cross.shares.get() > 0) {
                let interest = Interest { side, limit: cross.cross_price.get(), shares: cross.shares.get() };
                parties.push((Party::Flow, interest));
            }
            for order in self.book.side(locate, side, false) {
                let interest = Interest { side, limit: order.price, shares: u64::from(order.shares) };
                parties.push((Party::Resting(order), interest));
            }
        }
        parties
    }

    /// Gives one side's part of the volume to its participants, best price first, then oldest.
    fn allocate(
        &mut self,
        parties: &mut [(Party, Interest)],
        side: Side,
        clearing: Clearing,
        match_number: u64,
        cross_type: u8,
    ) {
        // Stable: time is the order of collection within a price.
        parties.sort_by_key(|(_, interest)| match side {
            Side::Buy => u32::MAX - interest.limit,
            Side::Sell => interest.limit,
        });
        let mut left = clearing.shares;
        for (party, interest) in parties.iter().filter(|(_, interest)| interest.side == side) {
            if left == 0 || !side.accepts(interest.limit, clearing.price) {
                break;
            }
            let shares = interest.shares.min(left);
            left -= shares;
            // What a client's or a displayed order has fits 32 bits.
            let taken = u32::try_from(shares).unwrap_or(u32::MAX);
            match *party {
                Party::Flow => {}
                Party::Held { account, user_ref } => {
                    self.fill(account, user_ref, taken, clearing.price, flag(cross_type), match_number);
                }
                Party::Resting(order) => {
                    self.publish_execution_at(&order, taken, match_number, b'N', clearing.price);
                    if let Owner::Client { account, user_ref } = order.owner {
                        self.fill(account, user_ref, taken, clearing.price, flag(cross_type), match_number);
                    }
                    self.take_from(&order, taken);
                }
            }
        }
    }

    /// Lets go of orders that waited: cancels that were pending happen, cross orders end, others enter the market.
    fn release(&mut self, locate: u16, joining: Vec<(u16, u32)>) {
        for (account, user_ref) in joining {
            let Some(order) = self.order_mut(account, user_ref) else { continue };
            order.held = false;
            let (open, pending, continuous) = (order.open, order.cancel_pending, order.cross_type == b'N');
            if open == 0 {
                self.drop_order(account, user_ref);
            } else if pending {
                self.cancel_order(account, user_ref, CancelWhy::User);
            } else if !continuous {
                self.cancel_order(account, user_ref, CancelWhy::Timeout);
            } else if self.is_halted(locate) && self.phase == Phase::Market {
                // A cross that ends a halt comes just before the message that ends it: the order waits for that.
                if let Some(order) = self.order_mut(account, user_ref) {
                    order.held = true;
                }
                self.hold(account, user_ref, locate);
            } else {
                self.work(account, user_ref);
            }
        }
    }

    /// Opens symbols that no cross of the flow opened.
    pub(super) fn open_the_rest(&mut self) {
        for locate in 0..self.symbols.len() as u16 {
            let Some(symbol) = self.symbol_mut(locate).filter(|symbol| !symbol.opened) else { continue };
            symbol.opened = true;
            symbol.late = false;
            if !symbol.halted {
                self.uncross(locate, b'O', None);
            }
        }
    }

    /// Day orders of a symbol end with its closing cross.
    fn expire_day_orders(&mut self, locate: u16) {
        for account in 0..self.accounts.len() as u16 {
            for user_ref in self.open_orders(account) {
                let expires = self.order(account, user_ref).is_some_and(|order| {
                    order.locate == locate && order.time_in_force == b'0' && order.cross_type == b'N'
                });
                if expires {
                    self.cancel_order(account, user_ref, CancelWhy::Timeout);
                }
            }
        }
    }
}

/// Whether a held order of a cross type belongs to a cross: continuous orders that wait join the next one.
const fn joins(order: u8, cross: u8) -> bool {
    order == cross || order == b'N'
}

/// Liquidity flag of a cross (OUCH appendix E).
const fn flag(cross_type: u8) -> u8 {
    match cross_type {
        b'O' => b'O',
        b'C' => b'C',
        _ => b'K',
    }
}
