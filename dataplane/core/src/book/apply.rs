//! Applying events.

use super::BookChange;
use super::books::{BookError, Books};
use super::line::Best;
use super::order::{BookSide, NIL, Order, rank_of};
use super::table::Located;
use crate::units::{InstrumentId, Price, Side};
use core::hint::select_unpredictable;
use tern_abi::event::{BookEvent, EventKind, SIDE_SELL, flags};
use tern_abi::prefetch::prefetch_slice;

/// A price as the books keep it.
#[inline(always)]
fn book_price(price: i64) -> Result<u32, BookError> {
    u32::try_from(price).map_err(|_| BookError::BadField)
}

/// Events whose lines are asked for ahead of their use; more would push one another out of the nearest cache.
pub(crate) const PREFETCH_MAX: usize = 32;

/// Kinds after which an order is smaller or gone, as bits.
const LEAVES: u32 = 1 << EventKind::Execute as u32
    | 1 << EventKind::ExecuteAtPrice as u32
    | 1 << EventKind::Reduce as u32
    | 1 << EventKind::Delete as u32
    | 1 << EventKind::Replace as u32;

/// Datagrams of so few events are the market's answers of a moment, in which every miss is waited for; longer ones come
/// when it is busy, and then what counts is how many lines are fetched in all.
const FEW_EVENTS: usize = 4;

const BOTH: [Side; 2] = [Side::Buy, Side::Sell];

/// The level that an order of `side` joins by `event`, if that says a price.
#[inline(always)]
fn level_key(event: &BookEvent, side: Side) -> (BookSide, u32) {
    (BookSide::new(event.instrument, side), rank_of(side, event.price as u32))
}

/// The level that an added order joins.
#[inline(always)]
fn added_level(event: &BookEvent) -> (BookSide, u32) {
    level_key(event, select_unpredictable(event.side == SIDE_SELL, Side::Sell, Side::Buy))
}

#[inline(always)]
fn is_one_of(event: &BookEvent, kinds: u32) -> bool {
    1_u32 << event.kind as u32 & kinds != 0
}

impl Books {
    /// Asks for the cache lines that `events`, one decoded datagram, will touch, so that the misses overlap instead of
    /// following one another. Changes nothing; call it once before the events are applied.
    ///
    /// First what a message names: orders, instruments, the levels of new orders. Then what those orders lead to: their
    /// neighbours in the queue, the level that they leave or a replacement joins, and the prices of that side. A line
    /// costs ten nanoseconds even when it is asked for in time, so of many events nothing is asked for on suspicion. Of few
    /// events the best two levels are, because what strategies act on is mostly an event there, and its order would have
    /// to arrive before it names the level.
    #[inline]
    pub fn prefetch(&self, events: &[BookEvent]) {
        for events in events.chunks(PREFETCH_MAX) {
            for event in events {
                self.prefetch_named(event);
                if self.prefetches {
                    self.prices.prefetch_if(event.kind == EventKind::Add, added_level(event).0);
                }
            }
            self.prefetch_led_to(events);
        }
    }

    /// What the message alone is the address of, but for prices. Without a branch on the kind of the event, which nobody can
    /// predict: a wrong guess costs more than a line that comes in time gives. In small tables nothing else is asked for.
    #[inline(always)]
    fn prefetch_named(&self, event: &BookEvent) {
        self.orders.prefetch(event.order);
        self.levels.prefetch_if(event.kind == EventKind::Add, added_level(event));
        if self.prefetches {
            prefetch_slice(&self.lines, event.instrument as usize);
        }
    }

    /// The same as soon as an event is decoded: it is on its way while the rest of the datagram is looked at. The prices of
    /// both sides whatever the event, for [`prefetch_tops`](Self::prefetch_tops).
    #[inline(always)]
    pub(crate) fn prefetch_decoded(&self, event: &BookEvent) {
        self.prefetch_named(event);
        if self.prefetches {
            BOTH.iter().for_each(|side| self.prices.prefetch(BookSide::new(event.instrument, *side)));
        }
    }

    /// The best two levels of both sides: the strategies look at both.
    #[inline(always)]
    fn prefetch_tops(&self, event: &BookEvent) {
        let Some(line) = self.lines.get(event.instrument as usize) else { return };
        line.sides.iter().for_each(|best| self.levels.prefetch_slot(best.level));
        for (best, side) in line.sides.iter().zip(BOTH) {
            let book = BookSide::new(event.instrument, side);
            if let Some(second) = self.prices.worse_near(book, best.rank) {
                self.levels.prefetch((book, second));
            }
        }
    }

    /// What the lines lead to that were asked for first.
    #[inline]
    pub(crate) fn prefetch_led_to(&self, events: &[BookEvent]) {
        if !self.prefetches {
            return;
        }
        if events.len() <= FEW_EVENTS {
            events.iter().for_each(|event| self.prefetch_tops(event));
        }
        for event in events {
            if event.kind == EventKind::Add {
                self.orders.prefetch_slot(self.levels.last_at(added_level(event)));
            } else if is_one_of(event, LEAVES)
                && let Some(slot) = self.orders.find(event.order)
            {
                let order = self.orders.get(slot);
                self.levels.prefetch_slot(order.level());
                // Without a neighbour, its own line, which is here.
                self.orders.prefetch_slot(select_unpredictable(order.prev == NIL, slot, order.prev));
                self.orders.prefetch_slot(select_unpredictable(order.next == NIL, slot, order.next));
                self.prices.prefetch(BookSide::new(event.instrument, order.side()));
                if event.kind == EventKind::Replace {
                    self.orders.prefetch(event.other);
                    self.levels.prefetch(level_key(event, order.side()));
                }
            }
        }
    }

    /// Applies one event.
    ///
    /// # Errors
    /// The event does not fit the books; it is counted ([`Books::errors`]) and the book of its instrument is no longer
    /// the venue's. An order that lost more shares than it had and the first half of a replacement that failed are out
    /// of the book; nothing else changed.
    #[inline(always)]
    pub fn apply(&mut self, event: &BookEvent) -> Result<BookChange, BookError> {
        let result = match event.kind {
            EventKind::Add => self.add(event),
            EventKind::Execute => {
                self.reduce(event).map(|(change, price)| BookChange { traded: traded(event, price), ..change })
            }
            EventKind::ExecuteAtPrice => self.execute_at_price(event),
            EventKind::Reduce => self.reduce(event).map(|(change, _)| change),
            EventKind::Delete => self.delete(event),
            EventKind::Replace => self.replace(event),
            EventKind::Trade
            | EventKind::Cross
            | EventKind::Broken
            | EventKind::TradingState
            | EventKind::Directory
            | EventKind::System
            | EventKind::Imbalance
            | EventKind::ShortSale
            | EventKind::Other => self.note(event),
        };
        if let Err(error) = result {
            self.errors[error.index()] += 1;
        }
        result
    }

    #[inline(always)]
    fn add(&mut self, event: &BookEvent) -> Result<BookChange, BookError> {
        let side = Side::from_u8(event.side).ok_or(BookError::BadField)?;
        let top_changed = self.join(event.order, event.instrument, side, event.price, event.quantity)?;
        Ok(change(event.instrument, side, top_changed))
    }

    /// The slot of the order that `event` names.
    #[inline(always)]
    fn named(&self, event: &BookEvent) -> Result<u32, BookError> {
        let slot = self.orders.find(event.order).ok_or(BookError::UnknownOrder)?;
        let level = self.levels.get(self.orders.get(slot).level());
        if level.book.instrument() == event.instrument { Ok(slot) } else { Err(BookError::OtherInstrument) }
    }

    #[inline(always)]
    fn delete(&mut self, event: &BookEvent) -> Result<BookChange, BookError> {
        let slot = self.named(event)?;
        let (book, top_changed) = self.take_out(slot);
        Ok(change(book.instrument(), book.side(), top_changed))
    }

    #[inline(always)]
    fn replace(&mut self, event: &BookEvent) -> Result<BookChange, BookError> {
        let slot = self.named(event)?;
        let (book, left_top) = self.take_out(slot);
        let joined_top = self.join(event.other, book.instrument(), book.side(), event.price, event.quantity)?;
        Ok(change(book.instrument(), book.side(), left_top | joined_top))
    }

    #[inline(always)]
    fn execute_at_price(&mut self, event: &BookEvent) -> Result<BookChange, BookError> {
        // Checked first: an order must not lose shares to an event that is refused.
        let price = book_price(event.price)?;
        let (change, _) = self.reduce(event)?;
        let traded = if event.flags & flags::NON_PRINTABLE == 0 { traded(event, price) } else { None };
        Ok(BookChange { traded, ..change })
    }

    /// The event's order loses shares and keeps its place. Its price comes back too.
    #[inline(always)]
    fn reduce(&mut self, event: &BookEvent) -> Result<(BookChange, u32), BookError> {
        let slot = self.named(event)?;
        let order = self.orders.get_mut(slot);
        let level_slot = order.level();
        let level = self.levels.get_mut(level_slot);
        let (book, rank) = (level.book, level.rank);
        let price = rank_of(book.side(), rank);
        let Some(left) = order.quantity.checked_sub(event.quantity) else {
            self.take_out(slot);
            return Err(BookError::OverReduced);
        };
        let top_changed = if left == 0 {
            self.take_out(slot).1
        } else {
            order.quantity = left;
            level.quantity -= u64::from(event.quantity);
            let quantity = level.quantity;
            let best = &mut self.lines[book.instrument() as usize].sides[book.side().index()];
            let is_best = best.level == level_slot;
            best.update(is_best, Best { quantity, ..*best });
            is_best && event.quantity != 0
        };
        if matches!(event.kind, EventKind::Execute | EventKind::ExecuteAtPrice)
            && event.flags & flags::NON_PRINTABLE == 0
        {
            let printed = if event.kind == EventKind::Execute { price } else { event.price as u32 };
            self.lines[book.instrument() as usize].print(printed, event.quantity);
        }
        Ok((change(book.instrument(), book.side(), top_changed), price))
    }

    /// An order joins the end of the queue of its price. Whether the best level changed.
    #[inline(always)]
    fn join(
        &mut self,
        reference: u64,
        instrument: u32,
        side: Side,
        price: i64,
        quantity: u32,
    ) -> Result<bool, BookError> {
        let rank = rank_of(side, book_price(price)?);
        if quantity == 0 {
            return Err(BookError::BadField);
        }
        let line = self.lines.get_mut(instrument as usize).ok_or(BookError::BadInstrument)?;
        let place = match self.orders.locate(reference) {
            Located::Vacant(place) => place,
            Located::Found(_) => return Err(BookError::DuplicateOrder),
            Located::Full => return Err(BookError::Overfull),
        };
        let best = &mut line.sides[side.index()];
        let book = BookSide::new(instrument, side);
        let seat = self.levels.seat((book, rank)).ok_or(BookError::Overfull)?;
        if !self.prices.insert(book, rank, seat.is_new()) {
            return Err(BookError::Overfull);
        }
        let level = self.levels.take_seat(seat, (book, rank));
        level.orders += 1;
        level.quantity += u64::from(quantity);
        // Whether the level is new, and whether it is the best, are coin tosses. In a new one the order's own slot takes the
        // write that is for the one in front.
        let last = select_unpredictable(seat.is_new(), place.slot(), level.tail);
        let prev = select_unpredictable(seat.is_new(), NIL, level.tail);
        level.head = select_unpredictable(seat.is_new(), place.slot(), level.head);
        level.tail = place.slot();
        let is_best = (best.orders == 0) | (rank >= best.rank);
        best.update(
            is_best,
            Best { quantity: level.quantity, orders: level.orders, rank, level: seat.slot(), reserved: 0 },
        );
        self.orders.get_mut(last).next = place.slot();
        self.orders.occupy(place, Order::new(reference, quantity, seat.slot(), side, prev));
        Ok(is_best)
    }

    /// Takes the order in `slot` out of its queue, and its level out of the book if it was the last there. Whose book it
    /// was, and whether the best level changed.
    #[inline(always)]
    pub(super) fn take_out(&mut self, slot: u32) -> (BookSide, bool) {
        let order = *self.orders.get(slot);
        self.orders.remove(slot);
        let level_slot = order.level();
        let level = self.levels.get_mut(level_slot);
        let (book, rank) = (level.book, level.rank);
        level.orders -= 1;
        level.quantity -= u64::from(order.quantity);
        // Whether there is a neighbour is a coin toss, as is what follows: without one, the freed slot takes the write.
        let (is_first, is_last) = (order.prev == NIL, order.next == NIL);
        level.head = select_unpredictable(is_first, order.next, level.head);
        level.tail = select_unpredictable(is_last, order.prev, level.tail);
        let (left, quantity) = (level.orders, level.quantity);
        self.orders.get_mut(select_unpredictable(is_first, slot, order.prev)).next = order.next;
        self.orders.get_mut(select_unpredictable(is_last, slot, order.next)).prev = order.prev;
        let is_gone = left == 0;
        self.levels.leave_seat(level_slot, is_gone);
        self.prices.remove(book, rank, is_gone);
        let best = &mut self.lines[book.instrument() as usize].sides[book.side().index()];
        let is_best = best.level == level_slot;
        best.update(is_best, Best { quantity, orders: left, ..*best });
        // Both in one word: each by itself is a coin toss, together they are not.
        if (best.level ^ level_slot) | left == 0
            && let Some(rank) = self.prices.best(book)
            && let Some(slot) = self.levels.find((book, rank))
        {
            let level = self.levels.get(slot);
            let (quantity, orders) = (level.quantity, level.orders);
            *best = Best { quantity, orders, rank, level: slot, reserved: 0 };
        }
        (book, is_best)
    }

    /// Events that no order feels.
    fn note(&mut self, event: &BookEvent) -> Result<BookChange, BookError> {
        let quiet = BookChange {
            instrument: InstrumentId(event.instrument),
            side: Side::from_u8(event.side),
            top_changed: false,
            traded: None,
        };
        let line = self.lines.get_mut(event.instrument as usize).ok_or(BookError::BadInstrument);
        match event.kind {
            EventKind::Trade | EventKind::Cross => {
                let (line, price) = (line?, book_price(event.price)?);
                // A cross without shares says that nothing traded in it.
                if event.quantity == 0 {
                    return Ok(quiet);
                }
                line.print(price, event.quantity);
                Ok(BookChange { traded: traded(event, price), ..quiet })
            }
            EventKind::TradingState => {
                line?.trading_state = event.code;
                Ok(quiet)
            }
            EventKind::ShortSale => {
                line?.short_sale = event.code;
                Ok(quiet)
            }
            _ => Ok(quiet),
        }
    }
}

#[inline(always)]
fn change(instrument: u32, side: Side, top_changed: bool) -> BookChange {
    BookChange { instrument: InstrumentId(instrument), side: Some(side), top_changed, traded: None }
}

#[inline(always)]
fn traded(event: &BookEvent, price: u32) -> Option<(Price, u32)> {
    (event.quantity != 0).then_some((Price(i64::from(price)), event.quantity))
}
