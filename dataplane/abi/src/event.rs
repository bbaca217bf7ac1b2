//! The normalized market-data record. Fixed size, little-endian: what a feed of another process writes into a ring is
//! byte for byte what the loop applies and what a reader in another language sees.

/// What happened. Values are part of the layout.
#[repr(u8)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    zerocopy::TryFromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
pub enum EventKind {
    /// A visible order joined the book: `order`, `side`, `price`, `quantity`.
    Add = 1,
    /// `quantity` shares of `order` traded at the order's own price; `other` is the match number.
    Execute = 2,
    /// `quantity` shares of `order` traded at `price`; `other` is the match number; flag [`flags::NON_PRINTABLE`].
    ExecuteAtPrice = 3,
    /// `order` lost `quantity` shares by a partial cancel and keeps its place.
    Reduce = 4,
    /// `order` left the book.
    Delete = 5,
    /// `order` left and `other` joined at the end of the queue, same side, with `price` and `quantity`.
    Replace = 6,
    /// A trade against a non-displayed order: `side`, `price`, `quantity`, `other` = match number. No book effect.
    Trade = 7,
    /// A cross printed: `price`, `quantity`, `other` = match number, `code` = cross type. No book effect.
    Cross = 8,
    /// The trade with match number `other` was broken. No book effect.
    Broken = 9,
    /// Trading state of the instrument changed to `code` (the venue's letter).
    TradingState = 10,
    /// An instrument was introduced; `order` holds the symbol's eight bytes, `quantity` the shares of a round lot. Flag
    /// [`flags::LISTING`].
    Directory = 11,
    /// A venue-wide event, `code` is the venue's letter (start of messages, market open, ...).
    System = 12,
    /// Auction imbalance: `price` = reference price, `quantity` = paired shares, `other` = imbalance shares, `code` = direction.
    /// Flag [`flags::LISTING`].
    Imbalance = 13,
    /// Short-sale restriction of the instrument changed to `code`.
    ShortSale = 14,
    /// Any other message that concerns an instrument or the venue, `code` is the message type. No book effect. Flags
    /// [`flags::MARKET_HALTED`] and [`flags::MARKET_RESUMED`].
    Other = 15,
}

/// Bits of [`BookEvent::flags`].
pub mod flags {
    /// The execution is not to be counted in volume.
    pub const NON_PRINTABLE: u16 = 1;
    /// The last event of its datagram.
    pub const LAST: u16 = 2;
    /// Our market stopped trading the instrument for a reason of its own (an operational halt); its trading state
    /// everywhere is said by [`super::EventKind::TradingState`] and stays as it is.
    pub const MARKET_HALTED: u16 = 4;
    /// That halt is over.
    pub const MARKET_RESUMED: u16 = 8;
    /// Says something of how the instrument is listed or auctioned that prices are held against: its directory, or an
    /// auction's imbalance.
    pub const LISTING: u16 = 16;
}

/// Side of an order as the record carries it. Values are part of the layout.
pub const SIDE_NONE: u8 = 0;
/// A buy order or the buyer's side.
pub const SIDE_BUY: u8 = 1;
/// A sell order or the seller's side.
pub const SIDE_SELL: u8 = 2;

/// One normalized event; which fields mean something is said at each [`EventKind`]; the others are zero.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    zerocopy::TryFromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
pub struct BookEvent {
    /// The venue's order reference.
    pub order: u64,
    /// New order reference, or match number.
    pub other: u64,
    /// Price in 1/10000 of the currency unit.
    pub price: i64,
    /// The venue's own time: ns since its midnight.
    pub venue_ns: u64,
    /// Instrument id of this host; `u32::MAX` for venue-wide events.
    pub instrument: u32,
    /// Shares.
    pub quantity: u32,
    /// What happened.
    pub kind: EventKind,
    /// [`SIDE_BUY`], [`SIDE_SELL`] or [`SIDE_NONE`].
    pub side: u8,
    /// See [`flags`].
    pub flags: u16,
    /// A letter of the venue, by kind.
    pub code: u8,
    /// Zero.
    pub padding: [u8; 3],
}

impl BookEvent {
    /// An event of `kind` with every other field zero and no instrument.
    #[inline]
    pub const fn new(kind: EventKind) -> Self {
        Self {
            order: 0,
            other: 0,
            price: 0,
            venue_ns: 0,
            instrument: u32::MAX,
            quantity: 0,
            kind,
            side: SIDE_NONE,
            flags: 0,
            code: 0,
            padding: [0; 3],
        }
    }
}
