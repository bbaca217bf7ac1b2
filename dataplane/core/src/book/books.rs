//! The books: construction, trust, and what is known of an instrument.

use super::ladder::Ladders;
use super::level::Levels;
use super::line::{BookLine, Status, distrust_code, distrust_of};
use super::memory::BooksMemory;
use super::order::OrderLine;
use super::prices::Prices;
use super::table::Table;
use super::{Level, Top};
use crate::feed::Distrust;
use crate::units::{InstrumentId, Side, StreamId};
use tern_abi::arena::Arena;
use tern_abi::counter_enum;

counter_enum! {
    /// Why an event could not be applied. From then on the book differs from the venue's.
    pub enum BookError {
        UnknownOrder = "book_unknown_order": "Events that named an order that the book does not hold.",
        DuplicateOrder = "book_duplicate_order": "Events that added an order that the book holds already.",
        Overfull = "book_overfull": "Events that did not fit into the configured orders or levels.",
        OverReduced = "book_over_reduced": "Executions and cancels of more shares than the order had; it was taken out.",
        OtherInstrument = "book_other_instrument": "Events that named an order of another instrument than their own; not applied.",
        BadInstrument = "book_bad_instrument": "Events of an instrument id beyond the configured number.",
        BadField = "book_bad_field": "Events without a side, without shares, or with a price beyond 0 to 429,496.7295.",
    }
}

impl BookError {
    /// Why the instrument's book cannot be trusted after this error.
    pub const fn distrust(self) -> Distrust {
        match self {
            BookError::UnknownOrder => Distrust::UnknownOrder,
            BookError::DuplicateOrder => Distrust::DuplicateOrder,
            BookError::Overfull | BookError::BadInstrument => Distrust::Overfull,
            BookError::OverReduced | BookError::OtherInstrument | BookError::BadField => Distrust::Contradiction,
        }
    }
}

/// Tables up to this size are mostly in a cache: of them only the lines are asked for whose address a message is (adr/0049). 20,000 orders
/// in 7 MiB cost 61 ns an event as they were, 79 with all that a larger table's events ask for.
const CACHED_BYTES: usize = 16 << 20;

/// Streams whose trust is kept: ids below this. Instruments of other streams are never trusted.
pub const STREAMS_MAX: usize = 256;

/// All books of a host; see the [module](super).
#[derive(Debug)]
pub struct Books {
    pub(super) orders: Table<OrderLine>,
    pub(super) levels: Levels,
    pub(super) prices: Prices,
    pub(super) lines: Arena<BookLine>,
    /// Whether the tables are larger than what stays in a cache by itself; to ask for all lines ahead only costs otherwise.
    pub(super) prefetches: bool,
    /// Stream of each instrument.
    streams: Arena<u16>,
    stream_distrust: [u8; STREAMS_MAX],
    pub(super) errors: [u64; BookError::COUNT],
}

impl Books {
    /// Empty books over `memory`; no stream has been seen, nothing is trusted ([`Distrust::NeverStarted`]).
    pub fn new(memory: BooksMemory) -> Self {
        let never_started = distrust_code(Some(Distrust::NeverStarted));
        let prefetches = memory.bytes() > CACHED_BYTES;
        let mut books = Self {
            prefetches,
            orders: Table::new(memory.orders, 0, memory.capacity.orders),
            levels: Levels::new(memory.levels, 2 * memory.lines.len(), memory.capacity.levels),
            prices: Prices::new(memory.near, Ladders::new(memory.nodes)),
            lines: memory.lines,
            streams: memory.streams,
            stream_distrust: [never_started; STREAMS_MAX],
            errors: [0; BookError::COUNT],
        };
        books.lines.iter_mut().for_each(|line| line.stream_distrust = never_started);
        books.streams.fill(u16::MAX);
        books
    }

    /// Asks for lines ahead however small the tables are.
    #[must_use]
    pub fn prefetching(self) -> Self {
        Self { prefetches: true, ..self }
    }

    /// Live orders, all instruments.
    pub fn order_count(&self) -> usize {
        self.orders.live()
    }
    /// Price levels, all instruments and both sides.
    pub fn level_count(&self) -> usize {
        self.levels.live()
    }
    /// How many instruments there can be.
    pub fn instrument_capacity(&self) -> usize {
        self.lines.len()
    }
    /// Events that could not be applied, in [`BookError`] order.
    pub fn errors(&self) -> &[u64; BookError::COUNT] {
        &self.errors
    }

    #[inline(always)]
    pub(super) fn line(&self, instrument: InstrumentId) -> Option<&BookLine> {
        self.lines.get(instrument.index())
    }

    /// Best bid and ask; both `None` for an instrument that does not exist.
    #[inline(always)]
    pub fn top(&self, instrument: InstrumentId) -> Top {
        self.line(instrument).map(BookLine::top).unwrap_or_default()
    }
    /// The best level of one side.
    #[inline(always)]
    pub fn best(&self, instrument: InstrumentId, side: Side) -> Option<Level> {
        let top = self.top(instrument);
        match side {
            Side::Buy => top.bid,
            Side::Sell => top.ask,
        }
    }
    /// Trading state, short-sale restriction and last print.
    pub fn status(&self, instrument: InstrumentId) -> Status {
        self.line(instrument).map(BookLine::status).unwrap_or_default()
    }

    /// Says by which stream `instrument` comes; its trust follows the stream's from now on.
    pub fn assign(&mut self, instrument: InstrumentId, stream: StreamId) {
        let code = self.stream_code(stream);
        if let (Some(of), Some(line)) =
            (self.streams.get_mut(instrument.index()), self.lines.get_mut(instrument.index()))
        {
            *of = stream.0;
            line.stream_distrust = code;
        }
    }
    fn stream_code(&self, stream: StreamId) -> u8 {
        let unknown = distrust_code(Some(Distrust::NeverStarted));
        self.stream_distrust.get(stream.index()).copied().unwrap_or(unknown)
    }

    /// Sets whether the books of `stream` are trusted: `None` is trust. Touches every instrument of the stream, so it is
    /// for changes, not for every datagram.
    pub fn set_stream_distrust(&mut self, stream: StreamId, reason: Option<Distrust>) {
        let Some(code) = self.stream_distrust.get_mut(stream.index()) else { return };
        *code = distrust_code(reason);
        let code = *code;
        for (of, line) in self.streams.iter().zip(self.lines.iter_mut()) {
            if *of == stream.0 {
                line.stream_distrust = code;
            }
        }
    }
    /// Why the books of `stream` are not trusted; `None` is trust.
    pub fn stream_distrust(&self, stream: StreamId) -> Option<Distrust> {
        distrust_of(self.stream_code(stream))
    }
    /// Sets whether the book of `instrument` alone is trusted: `None` is trust.
    pub fn set_distrust(&mut self, instrument: InstrumentId, reason: Option<Distrust>) {
        if let Some(line) = self.lines.get_mut(instrument.index()) {
            line.distrust = distrust_code(reason);
        }
    }
    /// Why the book of `instrument` is not trusted: its stream's reason, else its own; `None` is trust.
    #[inline]
    pub fn distrust(&self, instrument: InstrumentId) -> Option<Distrust> {
        match self.line(instrument) {
            Some(line) if line.stream_distrust != 0 => distrust_of(line.stream_distrust),
            Some(line) => distrust_of(line.distrust),
            None => Some(Distrust::NeverStarted),
        }
    }
    /// Whether the book of `instrument` is what the venue's is.
    #[inline(always)]
    pub fn is_trusted(&self, instrument: InstrumentId) -> bool {
        self.line(instrument).is_some_and(|line| line.stream_distrust | line.distrust == 0)
    }

    /// Takes all orders of `instrument` out and forgets its status; trust stays as it is.
    pub fn clear(&mut self, instrument: InstrumentId) {
        for side in [Side::Buy, Side::Sell] {
            while let Some(order) = self.orders(instrument, side).next() {
                self.take_out(order.slot);
            }
        }
        if let Some(line) = self.lines.get_mut(instrument.index()) {
            let (distrust, stream_distrust) = (line.distrust, line.stream_distrust);
            *line = BookLine { distrust, stream_distrust, ..zerocopy::FromZeros::new_zeroed() };
        }
    }
    /// [`clear`](Self::clear) for every instrument of `stream`.
    pub fn clear_stream(&mut self, stream: StreamId) {
        for index in 0..self.lines.len() {
            if self.streams.get(index) == Some(&stream.0) {
                self.clear(InstrumentId(index as u32));
            }
        }
    }
}
