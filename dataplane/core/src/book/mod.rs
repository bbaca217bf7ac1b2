//! Full-depth books, order by order, of every instrument of a host.
//!
//! [`Books`] holds all orders of all instruments in tables made once at start ([`BooksMemory`]). A real day has millions
//! of live orders, far more than a cache holds, so everything here is about how many cache lines an event touches and
//! how early they are asked for: orders ([`order`]) and levels ([`level`]) are each found in the line that their key
//! names, where they stay, the queue of a level is a doubly linked list of slot numbers, prices in order are bits that
//! are needed only when a level appears or empties ([`prices`]), and what strategies ask most often is one line an
//! instrument ([`line`]).
//! [`Books::prefetch`] asks for the lines of a whole datagram before its first event is applied.

mod apply;
mod books;
mod instrument;
mod ladder;
mod level;
mod line;
mod memory;
mod order;
mod prices;
mod table;
mod view;

pub(crate) use apply::PREFETCH_MAX;
pub use books::{BookError, Books, STREAMS_MAX};
pub use instrument::Instruments;
pub use line::Status;
pub use memory::{BooksMemory, Capacity, Heap, InstrumentsMemory, Memory};
pub use view::{Depth, OrderView, Orders};

use crate::units::{InstrumentId, Price, Side};

/// One price level as strategies see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Price.
    pub price: Price,
    /// Shares of all orders at it.
    pub quantity: u64,
    /// Number of orders at it.
    pub orders: u32,
}

/// Best bid and ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// Best bid, if there is a bid.
    pub bid: Option<Level>,
    /// Best ask, if there is an ask.
    pub ask: Option<Level>,
}

/// What an event did to a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookChange {
    /// Which instrument.
    pub instrument: InstrumentId,
    /// The side whose orders changed; for a trade without book effect the side the venue names.
    pub side: Option<Side>,
    /// Price or quantity of a best level changed.
    pub top_changed: bool,
    /// Shares that traded with this event, and at what price.
    pub traded: Option<(Price, u32)>,
}
