//! Asking for what strategies and gate will look at, should an event make them act: behind millions of orders that came and
//! went it is in no near cache.

use super::Desk;
use crate::orders::Orders;
use crate::portfolio::Portfolio;
use crate::risk::Gate;
use crate::units::InstrumentId;
use tern_abi::event::BookEvent;

/// What is kept of instruments beside their books.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead<'a> {
    gate: &'a Gate,
    orders: &'a Orders,
    portfolio: &'a Portfolio,
    actors: usize,
}

impl<'a> Ahead<'a> {
    /// Of these tables and so many strategies ([`Desk::actors`]).
    #[inline]
    pub(super) const fn new((gate, orders, portfolio): (&'a Gate, &'a Orders, &'a Portfolio), actors: usize) -> Self {
        Self { gate, orders, portfolio, actors }
    }

    /// Asks for what there is of an instrument; of its orders, for where they begin.
    #[inline]
    pub(super) fn ask(&self, instrument: InstrumentId) {
        if self.actors == 0 {
            return;
        }
        self.gate.prefetch(instrument);
        for owner in 0..self.actors {
            self.orders.prefetch_own(owner, instrument);
            self.portfolio.prefetch(owner, instrument);
        }
    }
}

impl Desk {
    /// Strategies that may act now: none while orders could not be sent.
    #[inline]
    pub(super) const fn actors(&self) -> usize {
        if self.can_trade() { self.owner_count.saturating_sub(1) } else { 0 }
    }

    /// For events that nothing was asked for as they were decoded.
    #[inline]
    pub(super) fn ask_ahead(&self, events: &[BookEvent]) {
        let ahead = Ahead::new((&self.gate, &self.orders, &self.portfolio), self.actors());
        each_instrument(events, |instrument| ahead.ask(instrument));
    }

    /// Asks for the orders themselves, once what [`Ahead::ask`] asked for has come.
    #[inline]
    pub(super) fn ask_for_orders(&self, events: &[BookEvent]) {
        let actors = self.actors();
        each_instrument(events, |instrument| {
            for owner in 0..actors {
                self.orders.prefetch_own_orders(owner, instrument);
            }
        });
    }
}

/// Mostly one: neighbours are not asked for twice.
#[inline]
fn each_instrument(events: &[BookEvent], ask: impl Fn(InstrumentId)) {
    let mut before = InstrumentId::NONE;
    for event in events {
        let instrument = InstrumentId(event.instrument);
        if instrument != before {
            ask(instrument);
            before = instrument;
        }
    }
}
