//! Where feed and session leave what they decode, before anything acts on it.

use super::ahead::Ahead;
use crate::book::{Books, Instruments};
use crate::feed::EventSink;
use crate::session::{OrderSink, VenueEvent, VenueEventKind};
use crate::units::{InstrumentId, StreamId, Symbol};
use alloc::boxed::Box;
use alloc::vec;
use tern_abi::event::{BookEvent, EventKind, flags};

/// Events that one datagram can hold: the longest UDP payload full of the shortest messages of ITCH 5.0 (12 bytes and
/// their length).
pub(crate) const EVENTS_MAX: usize = 65_507 / 14 + 1;

/// Session bytes given to the session at once, so that what it decodes from them fits [`VENUE_EVENTS_MAX`].
pub(crate) const SESSION_CHUNK_BYTES: usize = 2048;

/// Events of one chunk: no sequenced packet is shorter than 4 bytes, and one may have waited for its end.
pub(crate) const VENUE_EVENTS_MAX: usize = SESSION_CHUNK_BYTES / 4 + 2;

/// A list of fixed capacity that counts what it could not take.
#[derive(Debug)]
pub(crate) struct Buffer<T> {
    items: Box<[T]>,
    length: usize,
    pub(crate) overflowed: u64,
    /// Flags of all events since they were last looked at.
    flags: u16,
}

impl<T: Copy> Buffer<T> {
    pub(crate) fn new(capacity: usize, blank: T) -> Self {
        Self { items: vec![blank; capacity].into_boxed_slice(), length: 0, overflowed: 0, flags: 0 }
    }
    #[inline]
    pub(crate) fn push(&mut self, item: T) {
        match self.items.get_mut(self.length) {
            Some(place) => {
                *place = item;
                self.length += 1;
            }
            None => self.overflowed += 1,
        }
    }
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }
    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        self.items.get(..self.length).unwrap_or_default()
    }
}

/// What the gate has to know of an event before a strategy is asked.
const HALTS: u16 = flags::MARKET_HALTED | flags::MARKET_RESUMED;

impl Buffer<BookEvent> {
    /// Whether there is an event that [`halts`](Self::halts) has not given yet. A datagram without one costs an `or` an
    /// event, no look at each.
    #[inline]
    pub(crate) fn has_halts(&self) -> bool {
        self.flags & HALTS != 0
    }

    /// An event that comes from elsewhere than a feed's sink may say something of a listing.
    #[inline]
    pub(crate) fn note_listing(&mut self, event: &BookEvent) {
        self.flags |= event.flags & flags::LISTING;
    }

    /// Whether an event since the last call says something of a listing.
    #[inline]
    pub(crate) fn take_listings(&mut self) -> bool {
        let has_listings = self.flags & flags::LISTING != 0;
        self.flags &= !flags::LISTING;
        has_listings
    }

    /// The operational halts: the instrument, and whether it is halted.
    #[cold]
    pub(crate) fn halts(&mut self) -> impl Iterator<Item = (InstrumentId, bool)> {
        self.flags &= !HALTS;
        halts(self.as_slice())
    }
}

/// The operational halts among `events`: the instrument, and whether it is halted.
pub(crate) fn halts(events: &[BookEvent]) -> impl Iterator<Item = (InstrumentId, bool)> {
    let halts = events.iter().filter(|event| event.kind == EventKind::Other && event.flags & HALTS != 0);
    halts.map(|event| (InstrumentId(event.instrument), event.flags & flags::MARKET_HALTED != 0))
}

pub(crate) const BLANK_EVENT: BookEvent = BookEvent::new(EventKind::Other);
pub(crate) const BLANK_VENUE_EVENT: VenueEvent = VenueEvent::new(VenueEventKind::SystemEvent);

/// Takes a feed's events and names its instruments.
pub(crate) struct FeedSink<'a> {
    pub(crate) events: &'a mut Buffer<BookEvent>,
    pub(crate) instruments: &'a mut Instruments,
    pub(crate) books: &'a mut Books,
    pub(crate) stream: StreamId,
    /// In a short datagram: what an event leads to is asked for as soon as the event is there.
    pub(crate) ahead: Option<Ahead<'a>>,
}

impl EventSink for FeedSink<'_> {
    #[inline]
    fn event(&mut self, event: BookEvent) {
        self.events.flags |= event.flags;
        if let Some(ahead) = &self.ahead {
            self.books.prefetch_decoded(&event);
            ahead.ask(InstrumentId(event.instrument));
        }
        self.events.push(event);
    }

    fn instrument(&mut self, symbol: Symbol) -> Option<InstrumentId> {
        let instrument = self.instruments.intern(symbol)?;
        self.books.assign(instrument, self.stream);
        Some(instrument)
    }
}

impl OrderSink for Buffer<VenueEvent> {
    fn event(&mut self, event: VenueEvent) {
        self.push(event);
    }
}
