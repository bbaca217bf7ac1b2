//! Byte layouts of the four protocols, for reading and for writing.
//!
//! Every fixed layout is an unaligned big-endian `repr(C)` struct: decoding borrows it from the input, encoding is
//! building it and taking its bytes. Sizes are asserted against the specification's tables at compile time.

pub mod itch;
pub mod mold;
pub mod ouch;
mod primitives;
pub mod soup;

pub use primitives::{Alpha, BufferTooSmall, Stamp48};

/// Declares a one-character code of a specification as an enum that converts from and to its byte.
macro_rules! codes {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $byte:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_meta])* $variant = $byte),+
        }

        impl $name {
            /// Every code, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code of a byte; `None` when the specification does not list it.
            #[inline]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The byte on the wire.
            #[inline]
            pub const fn byte(self) -> u8 {
                self as u8
            }
        }
    };
}
pub(crate) use codes;
