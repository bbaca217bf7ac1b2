//! MoldUDP64 1.00: downstream packets and retransmission requests.
//!
//! A downstream packet is a 20-byte header and `message_count` blocks, each a 2-byte length and that many bytes. A count
//! of 0 is a heartbeat, 65535 the end of the session; both carry the next expected sequence number.

use core::fmt;

use zerocopy::big_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Alpha;
use super::primitives::{BufferTooSmall, claim};

/// Bytes of a header, and of a whole request packet.
pub const HEADER_BYTES: usize = size_of::<Header>();
/// Bytes in front of every message.
pub const BLOCK_HEADER_BYTES: usize = 2;
/// The count that says heartbeat.
pub const COUNT_HEARTBEAT: u16 = 0;
/// The count that says end of session. So a packet holds at most 65,534 messages.
pub const COUNT_END_OF_SESSION: u16 = 0xFFFF;

/// Ten characters that name a session.
pub type Session = Alpha<10>;

/// The downstream header ("Header"). A request packet ("Request Packet") has the same layout with the count of messages
/// asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Offset 0: the session that the packet belongs to.
    pub session: Session,
    /// Offset 10: sequence number of the first message; of the next one in heartbeats and ends of session.
    pub sequence_number: U64,
    /// Offset 18: messages in the packet.
    pub message_count: U16,
}

const _: () = assert!(HEADER_BYTES == 20);

impl Header {
    /// A header from plain numbers.
    pub const fn new(session: Session, sequence_number: u64, message_count: u16) -> Self {
        Self { session, sequence_number: U64::new(sequence_number), message_count: U16::new(message_count) }
    }

    /// What the packet is.
    #[inline]
    pub const fn kind(&self) -> Kind {
        match self.message_count.get() {
            COUNT_HEARTBEAT => Kind::Heartbeat,
            COUNT_END_OF_SESSION => Kind::EndOfSession,
            count => Kind::Messages(count),
        }
    }
}

/// What a downstream packet is, by its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing to say but the next sequence number.
    Heartbeat,
    /// This many messages.
    Messages(u16),
    /// No more messages in this session.
    EndOfSession,
}

/// A datagram too short for a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderTruncated {
    /// Bytes there, of [`HEADER_BYTES`].
    pub have_bytes: usize,
}

impl fmt::Display for HeaderTruncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MoldUDP64 packet of {} bytes has no whole header ({HEADER_BYTES})", self.have_bytes)
    }
}

impl core::error::Error for HeaderTruncated {}

/// A block reaches behind the end of its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockTruncated {
    /// Blocks that the header promised and that are not there, this one included.
    pub missing_count: u16,
}

impl fmt::Display for BlockTruncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MoldUDP64 packet ends inside a message block, {} missing", self.missing_count)
    }
}

impl core::error::Error for BlockTruncated {}

/// A downstream packet, borrowed from a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Downstream<'a> {
    /// The header.
    pub header: &'a Header,
    body: &'a [u8],
}

impl<'a> Downstream<'a> {
    /// Reads the header; blocks are checked while they are walked.
    ///
    /// # Errors
    /// [`HeaderTruncated`] when the datagram has fewer than 20 bytes.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, HeaderTruncated> {
        match Header::ref_from_prefix(datagram) {
            Ok((header, body)) => Ok(Self { header, body }),
            Err(_) => Err(HeaderTruncated { have_bytes: datagram.len() }),
        }
    }

    /// The message blocks; none in heartbeats and ends of session.
    #[inline]
    pub fn blocks(&self) -> Blocks<'a> {
        let left = match self.header.kind() {
            Kind::Messages(count) => count,
            Kind::Heartbeat | Kind::EndOfSession => 0,
        };
        Blocks { rest: self.body, left }
    }
}

/// Walks message blocks. Ends after the promised count or after the first error.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    rest: &'a [u8],
    left: u16,
}

impl<'a> Blocks<'a> {
    /// Bytes not walked yet; behind the last block these are trailing bytes that no header announced.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Blocks not walked yet.
    #[inline]
    pub fn left(&self) -> u16 {
        self.left
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<&'a [u8], BlockTruncated>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let block = self
            .rest
            .split_first_chunk::<BLOCK_HEADER_BYTES>()
            .and_then(|(length, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*length))));
        match block {
            Some((message, rest)) => {
                self.rest = rest;
                self.left -= 1;
                Some(Ok(message))
            }
            None => {
                let missing_count = self.left;
                self.left = 0;
                Some(Err(BlockTruncated { missing_count }))
            }
        }
    }
}

/// Writes a packet without messages: a heartbeat or an end of session, carrying the next sequence number.
///
/// # Errors
/// [`BufferTooSmall`] below 20 bytes.
fn write_empty(buf: &mut [u8], header: &Header) -> Result<usize, BufferTooSmall> {
    claim(buf, HEADER_BYTES)?.copy_from_slice(header.as_bytes());
    Ok(HEADER_BYTES)
}

/// Writes a heartbeat; returns its length in bytes.
///
/// # Errors
/// [`BufferTooSmall`] below 20 bytes.
pub fn write_heartbeat(buf: &mut [u8], session: Session, next_sequence: u64) -> Result<usize, BufferTooSmall> {
    write_empty(buf, &Header::new(session, next_sequence, COUNT_HEARTBEAT))
}

/// Writes an end of session; returns its length in bytes.
///
/// # Errors
/// [`BufferTooSmall`] below 20 bytes.
pub fn write_end_of_session(buf: &mut [u8], session: Session, next_sequence: u64) -> Result<usize, BufferTooSmall> {
    write_empty(buf, &Header::new(session, next_sequence, COUNT_END_OF_SESSION))
}

/// Writes a request for `count` messages from `sequence` on; returns its length in bytes.
///
/// # Errors
/// [`BufferTooSmall`] below 20 bytes.
pub fn write_request(buf: &mut [u8], session: Session, sequence: u64, count: u16) -> Result<usize, BufferTooSmall> {
    write_empty(buf, &Header::new(session, sequence, count))
}

/// Reads a request packet: session, first sequence number and count are in the header.
///
/// # Errors
/// [`HeaderTruncated`] when the datagram has fewer than 20 bytes. Bytes behind are ignored.
pub fn parse_request(datagram: &[u8]) -> Result<&Header, HeaderTruncated> {
    Downstream::parse(datagram).map(|packet| packet.header)
}

/// Builds a downstream packet of messages in a caller's buffer.
#[derive(Debug)]
pub struct PacketBuilder<'a> {
    buf: &'a mut [u8],
    used: usize,
    count: u16,
}

impl<'a> PacketBuilder<'a> {
    /// Starts a packet whose first message will have `sequence`. The length of `buf` bounds the packet.
    ///
    /// # Errors
    /// [`BufferTooSmall`] below 20 bytes.
    pub fn new(buf: &'a mut [u8], session: Session, sequence: u64) -> Result<Self, BufferTooSmall> {
        let used = write_heartbeat(buf, session, sequence)?;
        Ok(Self { buf, used, count: 0 })
    }

    /// Appends a message.
    ///
    /// # Errors
    /// [`BufferTooSmall`] when it does not fit; the packet stays as it was, to be finished and sent.
    pub fn push(&mut self, message: &[u8]) -> Result<(), BufferTooSmall> {
        let end = self.used + BLOCK_HEADER_BYTES + message.len();
        let too_small = BufferTooSmall { need_bytes: end, have_bytes: self.buf.len() };
        let length = u16::try_from(message.len()).map_err(|_| too_small)?;
        if self.count == COUNT_END_OF_SESSION - 1 {
            return Err(too_small);
        }
        let block = self.buf.get_mut(self.used..end).ok_or(too_small)?;
        let (head, body) = block.split_at_mut(BLOCK_HEADER_BYTES);
        head.copy_from_slice(&length.to_be_bytes());
        body.copy_from_slice(message);
        self.used = end;
        self.count += 1;
        Ok(())
    }

    /// Messages so far.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Bytes so far, header included.
    pub fn len_bytes(&self) -> usize {
        self.used
    }

    /// Whether no message was pushed; finishing then gives a heartbeat.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Writes the count; returns the packet's bytes.
    pub fn finish(self) -> &'a [u8] {
        let Self { buf, used, count } = self;
        if let Some(field) = buf.get_mut(HEADER_BYTES - 2..HEADER_BYTES) {
            field.copy_from_slice(&count.to_be_bytes());
        }
        buf.get(..used).unwrap_or_default()
    }
}
