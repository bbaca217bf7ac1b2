//! A slow, obviously right book: maps of queues. And the comparison of the real one with it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use tern_abi::event::{BookEvent, EventKind, flags};
use tern_core::book::{BookError, Books, Level};
use tern_core::units::{InstrumentId, Price, Side};

type Queue = VecDeque<(u64, u32)>;

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) sides: HashMap<(u32, Side), BTreeMap<u32, Queue>>,
    pub(crate) orders: HashMap<u64, (u32, Side, u32)>,
    pub(crate) volumes: HashMap<u32, u64>,
    pub(crate) last_prices: HashMap<u32, u32>,
    pub(crate) instruments: u32,
}

impl Model {
    pub(crate) fn new(instruments: u32) -> Self {
        Self { instruments, ..Self::default() }
    }

    fn take_out(&mut self, reference: u64) -> Option<(u32, Side)> {
        let (instrument, side, price) = self.orders.remove(&reference)?;
        let levels = self.sides.get_mut(&(instrument, side)).unwrap();
        let queue = levels.get_mut(&price).unwrap();
        queue.retain(|(other, _)| *other != reference);
        if queue.is_empty() {
            levels.remove(&price);
        }
        Some((instrument, side))
    }

    fn join(
        &mut self,
        reference: u64,
        instrument: u32,
        side: Side,
        price: i64,
        quantity: u32,
    ) -> Result<(), BookError> {
        let price = u32::try_from(price).map_err(|_| BookError::BadField)?;
        if quantity == 0 {
            return Err(BookError::BadField);
        }
        if instrument >= self.instruments {
            return Err(BookError::BadInstrument);
        }
        if self.orders.contains_key(&reference) {
            return Err(BookError::DuplicateOrder);
        }
        self.orders.insert(reference, (instrument, side, price));
        let levels = self.sides.entry((instrument, side)).or_default();
        levels.entry(price).or_default().push_back((reference, quantity));
        Ok(())
    }

    fn reduce(&mut self, reference: u64, quantity: u32) -> Result<(u32, u32), BookError> {
        let (instrument, side, price) = *self.orders.get(&reference).ok_or(BookError::UnknownOrder)?;
        let queue = self.sides.get_mut(&(instrument, side)).unwrap().get_mut(&price).unwrap();
        let open = &mut queue.iter_mut().find(|(other, _)| *other == reference).unwrap().1;
        let result = if quantity > *open { Err(BookError::OverReduced) } else { Ok((instrument, price)) };
        *open = open.saturating_sub(quantity);
        if *open == 0 {
            self.take_out(reference);
        }
        result
    }

    fn print(&mut self, instrument: u32, price: u32, quantity: u32) {
        *self.volumes.entry(instrument).or_default() += u64::from(quantity);
        self.last_prices.insert(instrument, price);
    }

    /// Applies `event` to unlimited memory.
    pub(crate) fn apply(&mut self, event: &BookEvent) -> Result<(), BookError> {
        let names_an_order = matches!(
            event.kind,
            EventKind::Execute | EventKind::ExecuteAtPrice | EventKind::Reduce | EventKind::Delete | EventKind::Replace
        );
        // A price that is none is found first: the order is not looked for.
        let bad_price = event.kind == EventKind::ExecuteAtPrice && u32::try_from(event.price).is_err();
        if names_an_order && !bad_price && self.orders.get(&event.order).is_some_and(|of| of.0 != event.instrument) {
            return Err(BookError::OtherInstrument);
        }
        match event.kind {
            EventKind::Add => {
                let side = Side::from_u8(event.side).ok_or(BookError::BadField)?;
                self.join(event.order, event.instrument, side, event.price, event.quantity)
            }
            EventKind::Execute => {
                let (instrument, price) = self.reduce(event.order, event.quantity)?;
                if event.flags & flags::NON_PRINTABLE == 0 {
                    self.print(instrument, price, event.quantity);
                }
                Ok(())
            }
            EventKind::ExecuteAtPrice => {
                let price = u32::try_from(event.price).map_err(|_| BookError::BadField)?;
                let (instrument, _) = self.reduce(event.order, event.quantity)?;
                if event.flags & flags::NON_PRINTABLE == 0 {
                    self.print(instrument, price, event.quantity);
                }
                Ok(())
            }
            EventKind::Reduce => self.reduce(event.order, event.quantity).map(drop),
            EventKind::Delete => self.take_out(event.order).map(drop).ok_or(BookError::UnknownOrder),
            EventKind::Replace => {
                let (instrument, side) = self.take_out(event.order).ok_or(BookError::UnknownOrder)?;
                self.join(event.other, instrument, side, event.price, event.quantity)
            }
            EventKind::Trade | EventKind::Cross => {
                if event.instrument >= self.instruments {
                    return Err(BookError::BadInstrument);
                }
                let price = u32::try_from(event.price).map_err(|_| BookError::BadField)?;
                if event.quantity != 0 {
                    self.print(event.instrument, price, event.quantity);
                }
                Ok(())
            }
            EventKind::TradingState | EventKind::ShortSale if event.instrument >= self.instruments => {
                Err(BookError::BadInstrument)
            }
            _ => Ok(()),
        }
    }

    /// Levels of a side, best first.
    pub(crate) fn depth(&self, instrument: u32, side: Side) -> Vec<(Level, Queue)> {
        let Some(levels) = self.sides.get(&(instrument, side)) else { return Vec::new() };
        let mut depth: Vec<_> = levels
            .iter()
            .map(|(price, queue)| {
                let quantity = queue.iter().map(|(_, quantity)| u64::from(*quantity)).sum();
                let orders = queue.len() as u32;
                (Level { price: Price(i64::from(*price)), quantity, orders }, queue.clone())
            })
            .collect();
        if side == Side::Buy {
            depth.reverse();
        }
        depth
    }

    /// Asserts that `books` is the same in everything that can be asked of it.
    pub(crate) fn assert_same(&self, books: &Books) {
        for instrument in 0..self.instruments {
            self.assert_same_instrument(books, instrument);
        }
        assert_eq!(books.order_count(), self.orders.len());
        assert_eq!(books.level_count(), self.sides.values().map(BTreeMap::len).sum::<usize>());
    }

    fn assert_same_instrument(&self, books: &Books, instrument: u32) {
        let id = InstrumentId(instrument);
        for side in [Side::Buy, Side::Sell] {
            let ours = self.depth(instrument, side);
            assert_eq!(
                books.depth(id, side).collect::<Vec<_>>(),
                ours.iter().map(|(level, _)| *level).collect::<Vec<_>>()
            );
            assert_eq!(books.best(id, side), ours.first().map(|(level, _)| *level));
            let mut theirs = books.orders(id, side);
            for (level, queue) in &ours {
                let mut shares = 0;
                for (place, (reference, quantity)) in queue.iter().enumerate() {
                    let order = theirs.next().expect("as many orders as the model");
                    assert_eq!((order.reference, order.quantity, order.price), (*reference, *quantity, level.price));
                    assert_eq!((order.instrument, order.side), (id, side));
                    assert_eq!(books.order(*reference), Some(order));
                    assert_eq!(books.queue_ahead(*reference), Some((place as u32, shares)));
                    shares += u64::from(*quantity);
                }
            }
            assert_eq!(theirs.next(), None);
        }
        let status = books.status(id);
        assert_eq!(status.volume, self.volumes.get(&instrument).copied().unwrap_or(0));
        let last_price = self.last_prices.get(&instrument).copied().filter(|price| *price != 0);
        assert_eq!(status.last_price, last_price.map(|price| Price(i64::from(price))));
    }
}
