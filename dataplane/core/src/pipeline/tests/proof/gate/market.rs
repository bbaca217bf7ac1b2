//! What the market tells of its books.

use super::firm::{Fault, Firm, Num, Resting};
use crate::units::Side;
use std::vec::Vec;
use tern_abi::event::{BookEvent, EventKind, flags};

impl Firm {
    /// A datagram of the market; whether the stream is trusted after it.
    pub(super) fn watch(&mut self, events: &[BookEvent], is_trusted: bool) {
        let mut looks = Vec::new();
        for event in events {
            if self.note(event) {
                looks.push(event.instrument as usize);
            }
        }
        let was_trusted = !std::mem::replace(&mut self.stream_distrusted, !is_trusted);
        if was_trusted && !is_trusted && self.pull_on_distrust {
            self.want_cancels(|_| true);
        }
        for instrument in looks {
            if self.held.iter().any(|held| held[instrument].shares != 0) {
                self.look(instrument, self.mark_of(instrument));
            }
        }
    }

    /// Whether the event changed a best price or size, or was a trade.
    fn note(&mut self, event: &BookEvent) -> bool {
        let book = &mut self.books[event.instrument as usize];
        match event.kind {
            EventKind::Add => {
                let side = Side::from_u8(event.side).expect("a side");
                let (price, quantity) = (event.price.into(), event.quantity.into());
                book.orders.push(Resting { reference: event.order, side, price, quantity });
                self.is_top(event.instrument as usize, side, price)
            }
            EventKind::Delete => self.take_shares(event, Num::MAX).is_some_and(|(.., was_top)| was_top),
            EventKind::Execute | EventKind::ExecuteAtPrice => self.execute(event),
            // A cross without shares says that nothing traded in it; one with shares has no side, and counts as bought.
            EventKind::Trade | EventKind::Cross => {
                let has_traded = event.quantity != 0;
                if has_traded {
                    self.trade(event, Side::from_u8(event.side).unwrap_or(Side::Buy), event.price.into());
                }
                has_traded
            }
            EventKind::TradingState => {
                book.state = event.code;
                false
            }
            EventKind::ShortSale => {
                book.short_sale = event.code;
                false
            }
            EventKind::Directory | EventKind::Imbalance => {
                self.hear_listing(event);
                false
            }
            _ => {
                book.halted = event.flags & flags::MARKET_HALTED != 0;
                false
            }
        }
    }

    /// Shares of a resting order trade; where that is not printed it is no trade of the market.
    fn execute(&mut self, event: &BookEvent) -> bool {
        let Some((side, resting_at, was_top)) = self.take_shares(event, event.quantity.into()) else { return false };
        let is_printed = event.flags & flags::NON_PRINTABLE == 0;
        if is_printed {
            self.trade(event, side, if event.kind == EventKind::Execute { resting_at } else { event.price.into() });
        }
        is_printed || was_top
    }

    /// A price of nothing is none.
    fn trade(&mut self, event: &BookEvent, side: Side, price: Num) {
        self.books[event.instrument as usize].last = (price != 0).then_some(price);
        self.printed(event, side, price);
    }

    /// Takes shares off the order that an event names: its side and price, and whether it was at the best one. Nobody's
    /// order: the book is not the venue's any more.
    fn take_shares(&mut self, event: &BookEvent, shares: Num) -> Option<(Side, Num, bool)> {
        let instrument = event.instrument as usize;
        let named = self.books[instrument].orders.iter().position(|order| order.reference == event.order);
        let Some(at) = named else {
            let was_trusted = self.is_trusted(instrument);
            self.books[instrument].distrusted = true;
            if was_trusted && self.pull_on_distrust {
                self.want_cancels(|order| order.instrument == instrument);
            }
            return None;
        };
        let Resting { side, price, quantity, .. } = self.books[instrument].orders[at];
        let was_top = self.is_top(instrument, side, price);
        if shares >= quantity {
            self.books[instrument].orders.remove(at);
        } else {
            self.books[instrument].orders[at].quantity -= shares;
        }
        Some((side, price, was_top))
    }

    fn is_top(&self, instrument: usize, side: Side, price: Num) -> bool {
        let best = self.best(instrument, side);
        best.is_none_or(|best| if side == Side::Buy { price >= best } else { price <= best })
    }

    pub(super) fn best(&self, instrument: usize, side: Side) -> Option<Num> {
        let of_side = self.books[instrument].orders.iter().filter(|order| order.side == side);
        let prices = of_side.map(|order| order.price);
        if side == Side::Buy { prices.max() } else { prices.min() }
    }

    /// What the gate is told in place of an event: another thing if that is the planted fault.
    pub(super) fn misprinted(&self, event: &BookEvent) -> BookEvent {
        let by = i64::from(self.fault == Some(Fault::Misprint) && event.kind == EventKind::Trade);
        BookEvent { price: event.price + by, ..*event }
    }
}
