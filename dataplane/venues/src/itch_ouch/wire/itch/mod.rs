//! TotalView-ITCH 5.0 messages.
//!
//! Source: Nasdaq TotalView-ITCH 5.0, sections 1.1 to 1.8. Integers are big-endian and unsigned; prices have four implied
//! decimals (eight where a field says so); text is ASCII padded on the right with spaces. Type codes kept as raw bytes
//! have a typed accessor that is `None` for codes that the specification does not list.

mod codes;
mod messages;

pub use codes::{
    CrossType, EventCode, ImbalanceDirection, InterestFlag, MarketCategory, OperationalHaltAction, RegShoAction, Side,
    TradingState,
};
pub use messages::*;

use core::fmt;

/// Prices have four implied decimals: this many units make a dollar.
pub const PRICE_UNITS_PER_DOLLAR: u32 = 10_000;

/// The highest price (4): 200,000.0000 ("Data Types").
pub const PRICE_MAX: u32 = 2_000_000_000;

/// Why bytes are no message. In a stream of messages, [`DecodeError::Unknown`] can be skipped; the others lose trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No byte at all.
    Empty,
    /// A type that the specification does not list; skipping it is safe, as its length is framed outside.
    Unknown {
        /// The type byte.
        kind: u8,
    },
    /// Shorter than the table of its type.
    Truncated {
        /// The type byte.
        kind: u8,
        /// Bytes of the table.
        need_bytes: u16,
        /// Bytes there.
        have_bytes: u16,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("ITCH message without a byte"),
            Self::Unknown { kind } => write!(f, "unknown ITCH type '{}'", kind.escape_ascii()),
            Self::Truncated { kind, need_bytes, have_bytes } => {
                write!(f, "ITCH '{}' has {have_bytes} bytes of {need_bytes}", kind.escape_ascii())
            }
        }
    }
}

impl core::error::Error for DecodeError {}

/// The length in bytes of each type in the specification's tables, 0 for types that it does not list.
pub const LENGTHS: [u8; 256] = messages::lengths();

/// The length in bytes of a type; `None` when the specification does not list it.
#[inline]
pub const fn length_of(kind: u8) -> Option<usize> {
    match LENGTHS[kind as usize] {
        0 => None,
        len => Some(len as usize),
    }
}
