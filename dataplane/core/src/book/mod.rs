//! Full-depth books, order by order, of every instrument of a host.

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
