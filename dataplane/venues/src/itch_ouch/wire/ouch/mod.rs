//! OUCH 5.0 messages, inbound (to the venue) and outbound (from it).
//!
//! Source: Nasdaq OUCH 5.0, sections 1.2, 2 and 3, appendices B to E. Integers are big-endian and unsigned; prices have
//! four implied decimals in 8 bytes. Where a table ends in "Appendage Length, Optional Appendage", the struct holds what
//! comes before, and [`Appendage`] the rest.

mod appendage;
mod codes;
mod inbound;
mod outbound;

pub use appendage::{Appendage, AppendageWriter, OptionTag, TagValue, TagValues, ValueLengthWrong};
pub use codes::{
    BrokenTradeReason, CancelReason, Capacity, CrossType, Display, OrderState, RejectReason, RestatedReason, Side,
    SystemEventCode, TimeInForce,
};
pub use inbound::*;
pub use outbound::*;

use core::fmt;

use crate::itch_ouch::wire::Alpha;

/// Identifies a transaction of an account: unique and strictly increasing over the day (1.2).
pub type UserRefNum = u32;

/// Customer order identifier: letters, digits and spaces (1.2).
pub type ClOrdId = Alpha<14>;

/// Highest price of a limit order, 199,999.9900 (1.2).
pub const LIMIT_PRICE_MAX: u64 = 1_999_999_900;

/// The price that says market order, in the 8-byte field (1.2).
pub const MARKET_PRICE: u64 = 0x7FFF_FFFF;

/// The other price that says market order, 200,000.0000 (1.2).
pub const MARKET_PRICE_ROUND: u64 = 2_000_000_000;

/// First quantity that is too large (2.1).
pub const QUANTITY_LIMIT: u32 = 1_000_000;

/// What the price of an order means (1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceMeaning {
    /// A limit in 1/10000 dollars.
    Limit(u64),
    /// A market order for a cross.
    Market,
    /// A value that the specification leaves undefined.
    Invalid,
}

impl PriceMeaning {
    /// The meaning of a price field.
    pub const fn of(price: u64) -> Self {
        match price {
            MARKET_PRICE | MARKET_PRICE_ROUND => Self::Market,
            0..=LIMIT_PRICE_MAX => Self::Limit(price),
            _ => Self::Invalid,
        }
    }
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No byte at all.
    Empty,
    /// A type that the specification does not list in this direction.
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
    /// The appendage is shorter than its length says, or its elements do not fill it.
    Appendage {
        /// The type byte.
        kind: u8,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("OUCH message without a byte"),
            Self::Unknown { kind } => write!(f, "unknown OUCH type '{}'", kind.escape_ascii()),
            Self::Truncated { kind, need_bytes, have_bytes } => {
                write!(f, "OUCH '{}' has {have_bytes} bytes of {need_bytes}", kind.escape_ascii())
            }
            Self::Appendage { kind } => write!(f, "OUCH '{}' has a broken appendage", kind.escape_ascii()),
        }
    }
}

impl core::error::Error for DecodeError {}

/// What all messages have in common. Implemented by the structs of this module alone.
pub trait OuchMessage:
    zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable + zerocopy::KnownLayout + zerocopy::Unaligned
{
    /// Type byte.
    const TYPE: u8;
}

/// Declares the messages of one direction: structs, the enum of them, decode and encode.
macro_rules! messages {
    (
        $(#[$enum_meta:meta])* enum $enum_name:ident;
        $(
            $(#[$meta:meta])*
            $name:ident $kind:literal $len:literal $(+ $appendage:ident)? {
                $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
            }
        )+
    ) => {
        $(
            $(#[$meta])*
            #[derive(
                Clone, Copy, Debug, PartialEq, Eq, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable,
                zerocopy::KnownLayout, zerocopy::Unaligned,
            )]
            #[repr(C)]
            pub struct $name {
                /// Offset 0: type byte.
                pub kind: u8,
                $($(#[$field_meta])* pub $field: $type,)*
            }

            impl $crate::itch_ouch::wire::ouch::OuchMessage for $name {
                const TYPE: u8 = $kind;
            }

            const _: () = assert!(size_of::<$name>() == $len);
        )+

        $(#[$enum_meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $enum_name<'a> {
            $(
                $(#[$meta])*
                $name(&'a $name $(, $crate::itch_ouch::wire::ouch::$appendage<'a>)?),
            )+
        }

        impl<'a> $enum_name<'a> {
            /// Every type byte of this direction, in the order of the specification.
            pub const TYPES: &'static [u8] = &[$($kind),+];

            /// Decodes one message that fills `bytes`; returns it with the count of bytes behind its own, which are
            /// accepted (a later version may append fields).
            ///
            /// # Errors
            /// [`DecodeError`](super::DecodeError) when the type is unknown, bytes are missing or the appendage is broken.
            #[inline]
            pub fn decode(bytes: &'a [u8]) -> Result<(Self, usize), $crate::itch_ouch::wire::ouch::DecodeError> {
                use $crate::itch_ouch::wire::ouch::{DecodeError, truncated};
                let Some(&kind) = bytes.first() else {
                    return Err(DecodeError::Empty);
                };
                match kind {
                    $($kind => match <$name as zerocopy::FromBytes>::ref_from_prefix(bytes) {
                        Ok((message, rest)) => {
                            $(let (appendage, rest) = $crate::itch_ouch::wire::ouch::$appendage::split(kind, rest)?;)?
                            Ok((Self::$name(message $(, messages!(@bind $appendage appendage))?), rest.len()))
                        }
                        Err(_) => Err(truncated(kind, $len, bytes.len())),
                    },)+
                    _ => Err(DecodeError::Unknown { kind }),
                }
            }

            /// Writes the message with its appendage; returns its length in bytes.
            ///
            /// # Errors
            /// [`BufferTooSmall`](crate::itch_ouch::wire::BufferTooSmall) when it does not fit.
            pub fn write(&self, buf: &mut [u8]) -> Result<usize, $crate::itch_ouch::wire::BufferTooSmall> {
                match *self {
                    $(Self::$name(message $(, messages!(@bind $appendage appendage))?) => {
                        let body = zerocopy::IntoBytes::as_bytes(message);
                        let tail = messages!(@tail $($appendage appendage)?);
                        $crate::itch_ouch::wire::ouch::write_parts(buf, body, tail)
                    })+
                }
            }
        }
    };
    (@bind $appendage:ident $name:ident) => { $name };
    (@tail) => { None };
    (@tail $appendage:ident $name:ident) => { Some($name) };
}
pub(crate) use messages;

#[cold]
fn truncated(kind: u8, need_bytes: u16, have: usize) -> DecodeError {
    // A truncated message has fewer bytes than its table, so its length fits.
    DecodeError::Truncated { kind, need_bytes, have_bytes: have as u16 }
}

fn write_parts(
    buf: &mut [u8],
    body: &[u8],
    appendage: Option<Appendage<'_>>,
) -> Result<usize, crate::itch_ouch::wire::BufferTooSmall> {
    let tail_bytes = appendage.map_or(0, |appendage| appendage.wire_bytes());
    let need = body.len() + tail_bytes;
    let (head, tail) = super::primitives::claim(buf, need)?.split_at_mut(body.len());
    head.copy_from_slice(body);
    if let Some(appendage) = appendage {
        appendage.write(tail);
    }
    Ok(need)
}
