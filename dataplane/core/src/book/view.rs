//! Reading books: depth, queues, and a hash of everything.

use super::Level;
use super::books::Books;
use super::order::{BookSide, NIL, price_of};
use super::table::mix;
use crate::units::{InstrumentId, Price, Quantity, Side};

/// A live order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// The venue's reference.
    pub reference: u64,
    /// Whose book.
    pub instrument: InstrumentId,
    /// Side.
    pub side: Side,
    /// Price.
    pub price: Price,
    /// Open shares.
    pub quantity: Quantity,
    pub(super) slot: u32,
}

/// The levels of a side, best first.
#[derive(Clone, Debug)]
pub struct Depth<'a> {
    books: &'a Books,
    book: BookSide,
    rank: Option<u32>,
}

impl Depth<'_> {
    /// The slot of the next level.
    fn next_slot(&mut self) -> Option<u32> {
        let rank = self.rank?;
        self.rank = self.books.prices.worse(self.book, rank);
        self.books.levels.find((self.book, rank))
    }
}

impl Iterator for Depth<'_> {
    type Item = Level;

    fn next(&mut self) -> Option<Level> {
        self.next_slot().map(|slot| self.books.levels.get(slot).view())
    }
}

/// The orders of a side in price-time priority.
#[derive(Clone, Debug)]
pub struct Orders<'a> {
    depth: Depth<'a>,
    slot: u32,
}

impl Iterator for Orders<'_> {
    type Item = OrderView;

    fn next(&mut self) -> Option<OrderView> {
        if self.slot == NIL {
            let level = self.depth.next_slot()?;
            self.slot = self.depth.books.levels.get(level).head;
        }
        let view = self.depth.books.order_view(self.slot);
        self.slot = self.depth.books.orders.get(self.slot).next;
        Some(view)
    }
}

impl Books {
    pub(super) fn order_view(&self, slot: u32) -> OrderView {
        let order = self.orders.get(slot);
        let level = self.levels.get(order.level());
        let book = level.book;
        OrderView {
            reference: order.reference,
            instrument: InstrumentId(book.instrument()),
            side: order.side(),
            price: price_of(order.side(), level.rank),
            quantity: order.quantity,
            slot,
        }
    }

    /// The live order with the venue's `reference`.
    pub fn order(&self, reference: u64) -> Option<OrderView> {
        self.orders.find(reference).map(|slot| self.order_view(slot))
    }

    /// Orders and shares in front of `reference` at its level; `None` when there is no such order. Walks the queue.
    pub fn queue_ahead(&self, reference: u64) -> Option<(u32, u64)> {
        let mut order = self.orders.get(self.orders.find(reference)?);
        let (mut orders, mut shares) = (0, 0);
        while order.prev != NIL {
            order = self.orders.get(order.prev);
            orders += 1;
            shares += u64::from(order.quantity);
        }
        Some((orders, shares))
    }

    /// The levels of a side, best first; none for an instrument that does not exist.
    pub fn depth(&self, instrument: InstrumentId, side: Side) -> Depth<'_> {
        let book = BookSide::new(instrument.0, side);
        match self.line(instrument).map(|line| line.sides[side.index()]) {
            Some(best) if best.orders != 0 => Depth { books: self, book, rank: Some(best.rank) },
            _ => Depth { books: self, book, rank: None },
        }
    }

    /// The orders of a side in price-time priority.
    pub fn orders(&self, instrument: InstrumentId, side: Side) -> Orders<'_> {
        Orders { depth: self.depth(instrument, side), slot: NIL }
    }

    /// A hash of all orders, their places, and the status of every instrument: equal books have equal hashes, wherever
    /// the entries came to lie. Walks everything.
    pub fn state_hash(&self) -> u64 {
        (0..self.lines.len() as u32).fold(0, |hash, id| add(hash, self.instrument_hash(InstrumentId(id))))
    }

    /// [`state_hash`](Self::state_hash) of one instrument.
    pub fn instrument_hash(&self, instrument: InstrumentId) -> u64 {
        let status = self.status(instrument);
        let letters = u64::from(status.trading_state) << 8 | u64::from(status.short_sale);
        let mut hash = add(letters, status.volume);
        hash = add(hash, status.last_price.map_or(0, |price| price.0 as u64));
        for side in [Side::Buy, Side::Sell] {
            for order in self.orders(instrument, side) {
                hash = add(hash, order.reference);
                hash = add(hash, order.price.0 as u64);
                hash = add(hash, u64::from(order.quantity));
            }
            hash = add(hash, side as u64);
        }
        hash
    }
}

fn add(hash: u64, value: u64) -> u64 {
    mix(hash.rotate_left(5) ^ mix(value.wrapping_add(1)))
}
