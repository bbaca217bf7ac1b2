//! What left and what did not, what the venue said to it, and what is held of it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// [`OrderRecord::action`]: a new order.
pub const ACTION_NEW: u8 = 1;
/// [`OrderRecord::action`]: replaces `replaces` by `order`.
pub const ACTION_REPLACE: u8 = 2;
/// [`OrderRecord::action`]: cancels `order` down to `quantity` (0 = entirely).
pub const ACTION_CANCEL: u8 = 3;

/// An approved order message: what left, for whom, and why.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OrderRecord {
    /// `seq` of the input that caused it.
    pub cause_seq: u64,
    /// Arrival of the datagram that caused it, TAI ns; 0 if no datagram did.
    pub cause_ns: u64,
    /// Price in 1/10000; 2147483647 = market, in a cross.
    pub price: i64,
    /// Symbol, space padded.
    pub symbol: [u8; 8],
    /// The account's order id: for OUCH the UserRefNum.
    pub order: u32,
    /// The order id it replaces, or 0.
    pub replaces: u32,
    /// Shares, of the chain, as the venue counts them; of a cancel those that may trade in total, 0 = no more.
    pub quantity: u32,
    /// Instrument id.
    pub instrument: u32,
    /// Account id.
    pub account: u16,
    /// Strategy id.
    pub strategy: u16,
    /// Trader id.
    pub trader: u16,
    /// Venue id.
    pub venue: u16,
    /// Limits in force.
    pub limits_epoch: u32,
    /// Fewest shares that may trade at once; 0 = any.
    pub min_quantity: u32,
    /// Zero.
    pub reserved: u32,
    /// [`ACTION_NEW`], [`ACTION_REPLACE`] or [`ACTION_CANCEL`].
    pub action: u8,
    /// [`crate::event::SIDE_BUY`] or [`crate::event::SIDE_SELL`].
    pub side: u8,
    /// Time in force: `0` day, `3` immediate or cancel, and as FIX has them (tag 59) `2` on open and `7` on close.
    pub time_in_force: u8,
    /// Bit 0: post only. Bit 1: sent by the system, not a strategy (kill, cancel all). Bit 2: marked as a short sale.
    pub flags: u8,
}

/// An intent that the gate refused.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RefusalRecord {
    /// `seq` of the input that caused the intent.
    pub cause_seq: u64,
    /// Price in 1/10000.
    pub price: i64,
    /// The bound that was broken, in the unit of the reason; 0 where there is none.
    pub limit: i64,
    /// What the intent would have made of it.
    pub value: i64,
    /// Shares.
    pub quantity: u32,
    /// Instrument id.
    pub instrument: u32,
    /// The order it names (replace, cancel), or 0.
    pub order: u32,
    /// Index of the refusal reason (`tern_core::risk::Reason`).
    pub reason: u32,
    /// Account id.
    pub account: u16,
    /// Strategy id.
    pub strategy: u16,
    /// One of the `ACTION_` values.
    pub action: u8,
    /// Side.
    pub side: u8,
    /// Zero.
    pub reserved: u16,
}

crate::counter_enum! {
    /// What a venue can say of an order. Values are part of the journal's layout.
    pub enum VenueEventKind {
        Accepted = "accepted": "The order is live (or was executed or canceled on entry, by `live`).",
        Replaced = "replaced": "The order `previous` was replaced by `order`.",
        Canceled = "canceled": "`quantity` shares were canceled; the order lives on only if shares are left.",
        Executed = "executed": "`quantity` shares traded at `price`.",
        Broken = "broken": "An execution was broken.",
        Rejected = "rejected": "The order was not accepted.",
        CancelPending = "cancel_pending": "The cancel has to wait (a cross runs).",
        CancelRejected = "cancel_rejected": "The cancel was refused.",
        Modified = "modified": "Side or shares of the order were modified.",
        Restated = "restated": "The venue changed the order of its own accord.",
        PriorityUpdated = "priority_updated": "The order has a new price or place in the queue.",
        ReplaceRejected = "replace_rejected": "The replace was refused, the order `previous` is as it was.",
        SystemEvent = "system_event": "A venue-wide event; `reason` is its letter.",
        NextOrderId = "next_order_id": "Answer to an account query: `order` is the next id that the venue accepts.",
        LoggedIn = "logged_in": "The session is up; orders may be sent.",
        LoginRejected = "login_rejected": "The venue refused the login; `reason` is its letter.",
        EndOfSession = "end_of_session": "The venue ended the session.",
        CaughtUp = "caught_up": "The venue's log of the day so far has been replayed.",
        Unanswered = "unanswered": "Not said by the venue: it has not answered the order, its replace or its cancel in time; `reason` counts the deadlines that passed.",
    }
}

/// What the venue said of an order, with our state after it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OrderEventRecord {
    /// The venue's own order reference (OUCH order reference number), 0 if not said.
    pub venue_order: u64,
    /// Match number of an execution or of the trade broken, else 0.
    pub match_number: u64,
    /// Price of the execution, or of the order.
    pub price: i64,
    /// The venue's time: ns since its midnight.
    pub venue_ns: u64,
    /// The session's sequence number of the message.
    pub session_seq: u64,
    /// Our order id.
    pub order: u32,
    /// Our order id before a replace, else 0.
    pub previous: u32,
    /// Shares executed or canceled by this event.
    pub quantity: u32,
    /// Shares still open after it.
    pub leaves: u32,
    /// Instrument id.
    pub instrument: u32,
    /// Account id.
    pub account: u16,
    /// Strategy id.
    pub strategy: u16,
    /// [`VenueEventKind`] as a number.
    pub kind: u8,
    /// Order state after the event.
    pub state: u8,
    /// Side.
    pub side: u8,
    /// The venue's reason letter or code.
    pub reason: u8,
    /// Bit 0: liquidity was added. Bit 1: the order was not known to us before.
    pub flags: u32,
}

/// Position, cash and profit of one (account, strategy, instrument).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PositionRecord {
    /// Signed shares.
    pub shares: i64,
    /// Cash from trading, 1/10000 of the currency unit; a buy lowers it.
    pub cash: i64,
    /// Realized profit, 1/10000.
    pub realized: i64,
    /// Signed cost of the open position, 1/10000.
    pub cost: i64,
    /// What the venue charged, less what it paid, 1/10000; `realized` is after it, `cash` before.
    pub fees: i64,
    /// Symbol, space padded.
    pub symbol: [u8; 8],
    /// Instrument id.
    pub instrument: u32,
    /// Account id.
    pub account: u16,
    /// Strategy id.
    pub strategy: u16,
}
