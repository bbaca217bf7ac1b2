//! Field types that the protocols share.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Fixed-width text: ASCII, left justified, padded on the right with spaces.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Alpha<const N: usize>(pub [u8; N]);

impl<const N: usize> Alpha<N> {
    /// All spaces, which most fields read as "not given".
    pub const BLANK: Self = Self([b' '; N]);

    /// Left justified, space padded; bytes beyond the width are cut.
    #[inline]
    pub const fn new(text: &[u8]) -> Self {
        let mut bytes = [b' '; N];
        let mut at = 0;
        while at < N && at < text.len() {
            bytes[at] = text[at];
            at += 1;
        }
        Self(bytes)
    }

    /// Right justified, space padded on the left, as SoupBinTCP pads numbers; bytes beyond the width are cut.
    pub const fn right_justified(text: &[u8]) -> Self {
        let mut bytes = [b' '; N];
        let len = if text.len() < N { text.len() } else { N };
        let mut at = 0;
        while at < len {
            bytes[N - len + at] = text[at];
            at += 1;
        }
        Self(bytes)
    }

    /// The text without padding on either side. Both sides, because SoupBinTCP pads sessions on the left and venues
    /// differ in it.
    #[inline]
    pub fn trimmed(&self) -> &[u8] {
        self.0.trim_ascii()
    }

    /// Whether nothing but padding is there.
    #[inline]
    pub fn is_blank(&self) -> bool {
        self.trimmed().is_empty()
    }
}

impl<const N: usize> fmt::Display for Alpha<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.trimmed().escape_ascii())
    }
}

impl<const N: usize> fmt::Debug for Alpha<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A 48-bit big-endian count of nanoseconds since midnight, exchange time.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Stamp48([u8; 6]);

impl Stamp48 {
    /// The low 48 bits of `ns`; a day has fewer than 2^47 nanoseconds.
    #[inline]
    pub const fn new(ns: u64) -> Self {
        let [_, _, a, b, c, d, e, f] = ns.to_be_bytes();
        Self([a, b, c, d, e, f])
    }

    /// Nanoseconds since midnight.
    #[inline]
    pub const fn get(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

impl fmt::Debug for Stamp48 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.get())
    }
}

/// The output buffer cannot hold what was to be written; nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferTooSmall {
    /// Bytes needed.
    pub need_bytes: usize,
    /// Bytes there.
    pub have_bytes: usize,
}

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "buffer of {} bytes is too small: {} are needed", self.have_bytes, self.need_bytes)
    }
}

impl core::error::Error for BufferTooSmall {}

/// The first `need` bytes of `buf`.
#[inline]
pub(crate) fn claim(buf: &mut [u8], need: usize) -> Result<&mut [u8], BufferTooSmall> {
    let have_bytes = buf.len();
    buf.get_mut(..need).ok_or(BufferTooSmall { need_bytes: need, have_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_pads_cuts_and_trims() {
        assert_eq!(&Alpha::<8>::new(b"AAPL").0, b"AAPL    ");
        assert_eq!(&Alpha::<4>::new(b"TOOLONG").0, b"TOOL");
        assert_eq!(&Alpha::<6>::right_justified(b"42").0, b"    42");
        assert_eq!(&Alpha::<2>::right_justified(b"123").0, b"12");
        assert_eq!(Alpha::<6>::right_justified(b"42").trimmed(), b"42");
        assert!(Alpha::<3>::BLANK.is_blank());
        assert_eq!(format!("{} {:?}", Alpha::<4>::new(b"A"), Alpha::<2>([b'B', 0xff])), "A \"B\\xff\"");
    }

    #[test]
    fn stamp_keeps_48_bits_big_endian() {
        assert_eq!(Stamp48::new(0x0102_0304_0506).as_bytes(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(Stamp48::new(86_399_999_999_999).get(), 86_399_999_999_999);
        assert_eq!(Stamp48::new(u64::MAX).get(), (1 << 48) - 1);
    }
}
