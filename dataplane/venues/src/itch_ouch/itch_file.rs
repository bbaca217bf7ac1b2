//! Files of ITCH messages: each in front of its length as 2 big-endian bytes, as Nasdaq publishes days. In some files in
//! circulation these lengths are zero; the length is then that of the type's table.

use core::fmt;

use super::wire::itch;

/// Why a file cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileErrorKind {
    /// The file ends inside a length or a message.
    Truncated,
    /// The length is zero and the type is not in the specification, so the next message cannot be found.
    UnknownLength {
        /// The type byte.
        kind: u8,
    },
}

/// Where and why a file cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Offset in bytes of the message's length field.
    pub offset_bytes: usize,
    /// What is wrong there.
    pub kind: FileErrorKind,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ITCH file, byte {}: ", self.offset_bytes)?;
        match self.kind {
            FileErrorKind::Truncated => f.write_str("ends inside a message; fetch the file again"),
            FileErrorKind::UnknownLength { kind } => write!(
                f,
                "length 0 in front of unknown type '{}'; is it an ITCH 5.0 file, unpacked?",
                kind.escape_ascii()
            ),
        }
    }
}

impl core::error::Error for FileError {}

/// Walks the messages of a file held in memory (mapped or read). Yields the bytes of each message, of unknown types too
/// when they have a length; ends after the first error. A zero length at the very end of the file ends it.
#[derive(Clone, Debug)]
pub struct ItchFile<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ItchFile<'a> {
    /// Starts at the first message.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset in bytes of the next message's length field.
    pub const fn offset_bytes(&self) -> usize {
        self.at
    }

    fn step(&mut self) -> Result<Option<&'a [u8]>, FileErrorKind> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let (length, body) = rest.split_first_chunk::<2>().ok_or(FileErrorKind::Truncated)?;
        let length = match (u16::from_be_bytes(*length), body.first()) {
            (0, None) => {
                self.at = self.bytes.len();
                return Ok(None);
            }
            (0, Some(&kind)) => itch::length_of(kind).ok_or(FileErrorKind::UnknownLength { kind })?,
            (length, _) => usize::from(length),
        };
        let message = body.get(..length).ok_or(FileErrorKind::Truncated)?;
        self.at += 2 + length;
        Ok(Some(message))
    }
}

impl<'a> Iterator for ItchFile<'a> {
    type Item = Result<&'a [u8], FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.step() {
            Ok(message) => message.map(Ok),
            Err(kind) => {
                let offset_bytes = self.at;
                self.at = self.bytes.len();
                Some(Err(FileError { offset_bytes, kind }))
            }
        }
    }
}
