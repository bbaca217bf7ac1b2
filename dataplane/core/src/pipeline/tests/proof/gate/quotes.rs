//! What happens in the market: orders of others and our own in the books, prints, states.

use super::firm::{INSTRUMENTS, Resting};
use super::known::Known;
use super::steps::{Maker, Step};
use crate::feed::Distrust;
use crate::risk::LimitId;
use crate::testing::{add, print};
use crate::units::Side;
use std::vec::Vec;
use tern_abi::event::{BookEvent, EventKind, flags};

impl Maker<'_> {
    pub(super) fn datagram(&mut self) -> Step {
        let count = self.random.pick(&[0, 1, 1, 2, 3]);
        // One at a time would be enough for none to name what another took away; they only have to differ.
        let mut events: Vec<BookEvent> = Vec::new();
        for _ in 0..count {
            let event = self.market();
            if events.iter().all(|earlier| earlier.order != event.order || event.order == 0) {
                events.push(event);
            }
        }
        let distrust = self.random.permille(20).then_some(Distrust::Gap);
        let max = self.firm.bound(LimitId::IntentAgeNsMax) as u64;
        let age_ns = match self.random.below(10) {
            0..7 => self.random.below(1000),
            _ => self.random.pick(&[max.saturating_sub(1), max, max + 1, u64::MAX]),
        };
        let intents = if self.random.permille(500) { self.intents() } else { Vec::new() };
        Step::Datagram { events, distrust, age_ns, intents }
    }

    fn market(&mut self) -> BookEvent {
        let instrument = self.random.below(INSTRUMENTS as u64) as u32;
        let book = &self.firm.books[instrument as usize];
        let last = book.last.unwrap_or(10_0000) as i64;
        let near = (last + self.random.within(-200, 200)).clamp(9_0000, 11_0000);
        // An instrument in which nobody traded mostly stays so: then quotes are the reference.
        let is_quiet = self.firm.followed(instrument as usize).is_none() && self.random.permille(900);
        match self.random.below(1000) {
            0..400 if !is_quiet => self.traded(instrument, near),
            0..650 if book.orders.len() < 10 => self.added(instrument, near),
            650..780 if is_quiet && book.orders.len() < 10 => self.added(instrument, near),
            650..850 if !book.orders.is_empty() => {
                let order = self.random.pick(&book.orders).reference;
                BookEvent { instrument, order, ..BookEvent::new(EventKind::Delete) }
            }
            850..910 if !book.orders.is_empty() && !is_quiet => self.executed(instrument),
            910..960 => {
                let code = self.random.pick(b"0112");
                BookEvent { instrument, code, ..BookEvent::new(EventKind::ShortSale) }
            }
            960..967 => self.listing(instrument),
            967..975 => {
                let code = self.random.pick(b"HPQT");
                BookEvent { code, ..crate::testing::trading(instrument) }
            }
            975..990 => {
                let flags = self.random.pick(&[flags::MARKET_HALTED, flags::MARKET_RESUMED]);
                BookEvent { instrument, flags, ..BookEvent::new(EventKind::Other) }
            }
            990..995 if !is_quiet => {
                let price = self.random.pick(&[0, 1, 20_0000, 1_999_999_900, i64::from(u32::MAX)]);
                self.traded(instrument, price)
            }
            // Nobody's order: the book is not the venue's any more.
            999 if self.random.permille(200) => BookEvent { instrument, order: 1, ..BookEvent::new(EventKind::Delete) },
            _ if is_quiet && self.random.permille(400) => self.listing(instrument),
            _ if is_quiet => BookEvent { instrument, code: b'0', ..BookEvent::new(EventKind::ShortSale) },
            _ => self.traded(instrument, last),
        }
    }

    /// A print of others, or now and then of ours: by the order that it names, or by its number.
    fn traded(&mut self, instrument: u32, price: i64) -> BookEvent {
        let ours = self.ours(instrument as usize).map_or(0, |order| order.venue_order);
        let order = if self.random.permille(120) { ours } else { 0 };
        let many = if self.random.permille(20) { u32::MAX } else { 3 };
        let quantity = self.random.pick(&[1, 10, 100, 1000, 5000, many]);
        let side = self.random.pick(&[Side::Buy, Side::Sell]) as u8;
        let trade = BookEvent { order, quantity, side, other: self.match_number(), ..print(instrument, price) };
        match self.random.below(100) {
            0..4 => BookEvent { kind: EventKind::Cross, side: 0, ..trade },
            4..6 => BookEvent { kind: EventKind::Cross, side: 0, quantity: 0, ..trade },
            _ => trade,
        }
    }

    /// The directory names a round lot, or an auction a price.
    fn listing(&mut self, instrument: u32) -> BookEvent {
        let listing = BookEvent { instrument, flags: flags::LISTING, ..BookEvent::new(EventKind::Directory) };
        match self.random.below(2) {
            0 => BookEvent { quantity: self.random.pick(&[0, 1, 10, 100, 100, 300]), ..listing },
            _ => {
                let price = self.random.pick(&[0, 9_9000, 10_0000, 10_0000, 10_1500, 1_999_999_900, 1 << 40]);
                BookEvent { price, quantity: 1, kind: EventKind::Imbalance, ..listing }
            }
        }
    }

    fn match_number(&mut self) -> u64 {
        let known = &self.firm.trades;
        if known.is_empty() || !self.random.permille(150) {
            return self.random.word() | 1 << 63;
        }
        let back = self.random.pick(&[0, 0, 1, 2, 3, 4, 31, 32, 33]).min(known.len() - 1);
        known[known.len() - 1 - back].match_number
    }

    /// An order of ours in an instrument that the venue has taken.
    fn ours(&mut self, instrument: usize) -> Option<Known> {
        let open = self.firm.open();
        let ours: Vec<usize> = open.into_iter().filter(|at| self.firm.orders[*at].instrument == instrument).collect();
        let at = (!ours.is_empty()).then(|| self.random.pick(&ours))?;
        Some(self.firm.orders[at].clone()).filter(|order| order.venue_order != 0)
    }

    /// Another's order joins the book, or one of ours that is not in any yet.
    fn added(&mut self, instrument: u32, near: i64) -> BookEvent {
        // Where quotes are the reference it matters whose they are.
        let is_quiet = self.firm.followed(instrument as usize).is_none();
        let is_ours = self.random.permille(if is_quiet { 700 } else { 350 });
        if let Some(own) = self.ours(instrument as usize).filter(|_| is_ours) {
            let mut all = self.firm.books.iter().flat_map(|book| &book.orders);
            let is_new = all.all(|order| order.reference != own.venue_order);
            let is_price = (1..=1_999_999_900).contains(&own.price);
            if is_new && is_price && own.leaves > 0 {
                return add(instrument, own.venue_order, own.side, own.price as i64, own.leaves as u32);
            }
        }
        let side = self.random.pick(&[Side::Buy, Side::Sell]);
        // A bid below, an ask above, so that there is a middle.
        let away = self.random.within(1, 80) * if side == Side::Buy { -1 } else { 1 };
        let near = if is_quiet && self.random.permille(900) { 10_0000 + away } else { near };
        // Somebody joins us.
        let price = self.ours(instrument as usize).filter(|own| own.side == side).map_or(near, |own| own.price as i64);
        let is_joined = self.random.permille(200) && (9_0000..11_0000).contains(&price);
        let price = if is_joined { price } else { near };
        add(instrument, self.random.word() >> 1, side, price, 1 + self.random.below(900) as u32)
    }

    /// Shares of a resting order trade, at its price or another one, printed or not.
    fn executed(&mut self, instrument: u32) -> BookEvent {
        let Resting { reference: order, price, quantity, .. } =
            self.random.pick(&self.firm.books[instrument as usize].orders);
        let all = quantity as u32;
        let quantity = if self.random.permille(500) { all } else { 1 + self.random.below(u64::from(all)) as u32 };
        let other = self.match_number();
        let execute = BookEvent { instrument, order, other, quantity, ..BookEvent::new(EventKind::Execute) };
        match self.random.below(10) {
            0..7 => execute,
            kind => {
                let flags = if kind == 9 { flags::NON_PRINTABLE } else { 0 };
                let price = price as i64 + self.random.within(-100, 100);
                BookEvent { kind: EventKind::ExecuteAtPrice, price: price.max(1), flags, ..execute }
            }
        }
    }
}
