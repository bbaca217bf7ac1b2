//! The optional appendage: a 2-byte length and TagValue elements (section 1.2, appendix B).

use core::fmt;

use super::DecodeError;
use crate::itch_ouch::wire::{BufferTooSmall, codes};

/// Bytes of the Appendage Length field.
const LENGTH_BYTES: usize = 2;

codes! {
    /// Appendix B: which option an element is. Tag 8 is missing there.
    pub enum OptionTag {
        /// 8 bytes: alternative reference used on the market data feed.
        SecondaryOrdRefNum = 1,
        /// 4 characters: firm of the order; blank means the account's default.
        Firm = 2,
        /// 4 bytes: minimum quantity, a round lot.
        MinQty = 3,
        /// `R` retail designated, `N` not.
        CustomerType = 4,
        /// 4 bytes: portion to display.
        MaxFloor = 5,
        /// `L` limit, `P` market peg, `M` or `m` midpoint, `R` primary peg, `Q` market maker peg.
        PriceType = 6,
        /// 4 bytes, signed price.
        PegOffset = 7,
        /// 8 bytes, price.
        DiscretionPrice = 9,
        /// As price type.
        DiscretionPriceType = 10,
        /// 4 bytes, signed price.
        DiscretionPegOffset = 11,
        /// `P` post only, `N` not.
        PostOnly = 12,
        /// 4 bytes: shares of random reserve.
        RandomReserves = 13,
        /// 4 characters.
        Route = 14,
        /// 4 bytes: seconds to live, below 86,400.
        ExpireTime = 15,
        /// `Y` or `N`.
        TradeNow = 16,
        /// Handling instruction, a code.
        HandleInst = 17,
        /// BBO weight indicator, a code; outbound.
        BboWeightIndicator = 18,
        /// 4 bytes, Order Restated alone.
        DisplayQuantity = 22,
        /// 8 bytes, Order Restated alone.
        DisplayPrice = 23,
        /// 2 bytes: customer's group.
        GroupId = 24,
        /// `Y` when shares were located for a short sale.
        SharesLocated = 25,
    }
}

impl OptionTag {
    /// Bytes of the option's value.
    pub const fn value_bytes(self) -> usize {
        match self {
            Self::SecondaryOrdRefNum | Self::DiscretionPrice | Self::DisplayPrice => 8,
            Self::Firm
            | Self::MinQty
            | Self::MaxFloor
            | Self::PegOffset
            | Self::DiscretionPegOffset
            | Self::RandomReserves
            | Self::Route
            | Self::ExpireTime
            | Self::DisplayQuantity => 4,
            Self::GroupId => 2,
            Self::CustomerType
            | Self::PriceType
            | Self::DiscretionPriceType
            | Self::PostOnly
            | Self::TradeNow
            | Self::HandleInst
            | Self::BboWeightIndicator
            | Self::SharesLocated => 1,
        }
    }
}

/// One element of an appendage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagValue<'a> {
    /// Tag byte; unknown tags are handed out too.
    pub tag: u8,
    /// The value's bytes, of any length.
    pub value: &'a [u8],
}

impl TagValue<'_> {
    /// The tag when the specification lists it.
    pub const fn option(&self) -> Option<OptionTag> {
        OptionTag::from_byte(self.tag)
    }

    /// The value as an unsigned big-endian number; `None` when it is empty or above 8 bytes.
    pub fn number(&self) -> Option<u64> {
        if self.value.is_empty() || self.value.len() > 8 {
            return None;
        }
        Some(self.value.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// The value as a signed price of 4 bytes; `None` when it has another length.
    pub fn signed_price(&self) -> Option<i32> {
        self.value.try_into().ok().map(i32::from_be_bytes)
    }

    /// The value as one character; `None` when it has another length.
    pub const fn character(&self) -> Option<u8> {
        match self.value {
            &[character] => Some(character),
            _ => None,
        }
    }
}

/// The elements of a message's appendage, checked to be whole.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Appendage<'a> {
    elements: &'a [u8],
}

impl<'a> Appendage<'a> {
    /// No option.
    pub const EMPTY: Self = Self { elements: &[] };

    /// Takes the length field and its elements off `bytes`. A message that ends before the length field has no options:
    /// accepted, as some senders leave an empty appendage out.
    #[inline]
    pub(super) fn split(kind: u8, bytes: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        if bytes.is_empty() {
            return Ok((Self::EMPTY, bytes));
        }
        let broken = DecodeError::Appendage { kind };
        let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>().ok_or(broken)?;
        let (elements, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(broken)?;
        let mut walk = TagValues { rest: elements };
        while walk.next().is_some() {}
        if !walk.rest.is_empty() {
            return Err(broken);
        }
        Ok((Self { elements }, rest))
    }

    /// The elements in order.
    pub fn iter(&self) -> TagValues<'a> {
        TagValues { rest: self.elements }
    }

    /// The first element of an option; `None` when it is absent.
    pub fn get(&self, option: OptionTag) -> Option<TagValue<'a>> {
        self.iter().find(|element| element.tag == option.byte())
    }

    /// Whether there is no element.
    pub const fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Bytes on the wire, the length field included.
    pub const fn wire_bytes(&self) -> usize {
        LENGTH_BYTES + self.elements.len()
    }

    /// Fills `tail`, which has [`Self::wire_bytes`] bytes.
    pub(super) fn write(&self, tail: &mut [u8]) {
        if let Some((length, rest)) = tail.split_first_chunk_mut::<LENGTH_BYTES>() {
            // Elements come from a message of at most 64 KiB or from a writer that refuses more.
            *length = (self.elements.len() as u16).to_be_bytes();
            rest.copy_from_slice(self.elements);
        }
    }
}

impl fmt::Debug for Appendage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &Appendage<'a> {
    type Item = TagValue<'a>;
    type IntoIter = TagValues<'a>;

    fn into_iter(self) -> TagValues<'a> {
        self.iter()
    }
}

/// Walks elements; ends at the first that is not whole.
#[derive(Clone, Debug)]
pub struct TagValues<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for TagValues<'a> {
    type Item = TagValue<'a>;

    fn next(&mut self) -> Option<TagValue<'a>> {
        let (&length, rest) = self.rest.split_first()?;
        let (element, rest) = rest.split_at_checked(usize::from(length))?;
        let (&tag, value) = element.split_first()?;
        self.rest = rest;
        Some(TagValue { tag, value })
    }
}

/// A value has another length than appendix B says, or the buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueLengthWrong {
    /// The option's length in appendix B is another one.
    Length {
        /// The option.
        option: OptionTag,
        /// Bytes given.
        have_bytes: usize,
    },
    /// No room left.
    Full(BufferTooSmall),
}

impl fmt::Display for ValueLengthWrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { option, have_bytes } => {
                write!(f, "OUCH option {option:?} takes {} bytes, not {have_bytes}", option.value_bytes())
            }
            Self::Full(full) => full.fmt(f),
        }
    }
}

impl core::error::Error for ValueLengthWrong {}

/// Writes elements into a caller's buffer.
#[derive(Debug)]
pub struct AppendageWriter<'a> {
    buf: &'a mut [u8],
    used: usize,
}

impl<'a> AppendageWriter<'a> {
    /// Starts an empty appendage; `buf` bounds it.
    pub fn new(buf: &'a mut [u8]) -> Self {
        let bound = buf.len().min(usize::from(u16::MAX));
        Self { buf: buf.split_at_mut(bound).0, used: 0 }
    }

    /// Appends an option.
    ///
    /// # Errors
    /// [`ValueLengthWrong`] when the value's length is not the option's, or nothing more fits.
    pub fn push(&mut self, option: OptionTag, value: &[u8]) -> Result<(), ValueLengthWrong> {
        if value.len() != option.value_bytes() {
            return Err(ValueLengthWrong::Length { option, have_bytes: value.len() });
        }
        let end = self.used + 2 + value.len();
        let have_bytes = self.buf.len();
        let Some([length, tag, rest @ ..]) = self.buf.get_mut(self.used..end) else {
            return Err(ValueLengthWrong::Full(BufferTooSmall { need_bytes: end, have_bytes }));
        };
        // At most 8 bytes, checked above.
        *length = 1 + value.len() as u8;
        *tag = option.byte();
        rest.copy_from_slice(value);
        self.used = end;
        Ok(())
    }

    /// The appendage as written.
    pub fn finish(self) -> Appendage<'a> {
        let Self { buf, used } = self;
        Appendage { elements: buf.get(..used).unwrap_or_default() }
    }
}
