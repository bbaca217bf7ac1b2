//! SoupBinTCP 3.00: logical packets in both directions, and the framing of a byte stream.
//!
//! A packet is a 2-byte length (of what follows it), a type byte and a payload. Packets and TCP segments do not map onto
//! each other, so [`Deframer`] takes any chunking.

use core::fmt;

use zerocopy::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Alpha;
use super::primitives::{BufferTooSmall, claim};

/// Bytes in front of a payload: length and type.
pub const HEADER_BYTES: usize = size_of::<Header>();

/// Type bytes ("SoupBinTCP Packet Types"); no letter has two meanings, so one table serves both directions.
pub mod kind {
    /// 2.1, both directions: free text, to be ignored.
    pub const DEBUG: u8 = b'+';
    /// 2.2.1, from the server.
    pub const LOGIN_ACCEPTED: u8 = b'A';
    /// 2.2.2, from the server.
    pub const LOGIN_REJECTED: u8 = b'J';
    /// 2.2.3, from the server.
    pub const SEQUENCED_DATA: u8 = b'S';
    /// 2.2.4, from the server.
    pub const SERVER_HEARTBEAT: u8 = b'H';
    /// 2.2.5, from the server.
    pub const END_OF_SESSION: u8 = b'Z';
    /// 2.3.1, from the client.
    pub const LOGIN_REQUEST: u8 = b'L';
    /// 2.3.2, from the client.
    pub const UNSEQUENCED_DATA: u8 = b'U';
    /// 2.3.3, from the client.
    pub const CLIENT_HEARTBEAT: u8 = b'R';
    /// 2.3.4, from the client.
    pub const LOGOUT_REQUEST: u8 = b'O';
}

/// Length and type in front of every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Offset 0: bytes after this field.
    pub packet_length: U16,
    /// Offset 2: see [`kind`].
    pub packet_type: u8,
}

impl Header {
    /// The header of a payload of `payload_bytes` (at most 65,534).
    #[inline]
    pub const fn new(packet_type: u8, payload_bytes: u16) -> Self {
        Self { packet_length: U16::new(payload_bytes + 1), packet_type }
    }
}

/// A decimal number in ASCII, padded on the left with spaces (2.2.1, 2.3.1). Zeros and spaces on either side are
/// accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct AsciiNumber(pub Alpha<20>);

impl AsciiNumber {
    /// Writes a number; all of `u64` fits the 20 characters.
    pub fn new(mut number: u64) -> Self {
        let mut field = Alpha::<20>::BLANK;
        for digit in field.0.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        Self(field)
    }

    /// Reads the number; `None` when blank, not decimal or above `u64::MAX`.
    pub fn get(&self) -> Option<u64> {
        let digits = self.0.trimmed();
        if digits.is_empty() {
            return None;
        }
        digits.iter().try_fold(0_u64, |number, &digit| {
            let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            number.checked_mul(10)?.checked_add(value)
        })
    }
}

/// Ten characters that name a session. The specification pads it on the left; compare [`Alpha::trimmed`].
pub type Session = Alpha<10>;

/// Payload of 2.3.1.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct LoginRequest {
    /// Offset 3: case-insensitive, padded on the right.
    pub username: Alpha<6>,
    /// Offset 9: case-insensitive, padded on the right.
    pub password: Alpha<10>,
    /// Offset 19: blank asks for the current session.
    pub requested_session: Session,
    /// Offset 29: next sequence number wanted; 0 asks for new messages only.
    pub requested_sequence_number: AsciiNumber,
}

impl LoginRequest {
    /// Whether these are the credentials, which are case-insensitive.
    pub fn has_credentials(&self, username: &[u8], password: &[u8]) -> bool {
        self.username.trimmed().eq_ignore_ascii_case(username.trim_ascii())
            && self.password.trimmed().eq_ignore_ascii_case(password.trim_ascii())
    }
}

impl fmt::Debug for LoginRequest {
    // The password stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("username", &self.username)
            .field("requested_session", &self.requested_session)
            .field("requested_sequence_number", &self.requested_sequence_number)
            .finish_non_exhaustive()
    }
}

/// Payload of 2.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct LoginAccepted {
    /// Offset 3: session now logged into, padded on the left.
    pub session: Session,
    /// Offset 13: sequence number of the next sequenced message.
    pub sequence_number: AsciiNumber,
}

/// Payload of 2.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct LoginRejected {
    /// Offset 3: see [`RejectCode`].
    pub reject_reason_code: u8,
}

const _: () = assert!(
    HEADER_BYTES == 3
        && size_of::<LoginRequest>() == 46
        && size_of::<LoginAccepted>() == 30
        && size_of::<LoginRejected>() == 1
);

super::codes! {
    /// Why a login was refused (2.2.2).
    pub enum RejectCode {
        /// Username and password do not match.
        NotAuthorized = b'A',
        /// The session is invalid or not available.
        SessionNotAvailable = b'S',
    }
}

/// One framed packet: a type byte and its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Type byte, see [`kind`].
    pub kind: u8,
    /// What follows the type byte.
    pub payload: &'a [u8],
}

/// A frame by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// 2.1 Debug text.
    Debug(&'a [u8]),
    /// 2.2.1
    LoginAccepted(&'a LoginAccepted),
    /// 2.2.2
    LoginRejected(&'a LoginRejected),
    /// 2.2.3 One message of the higher protocol, numbered by counting.
    SequencedData(&'a [u8]),
    /// 2.2.4
    ServerHeartbeat,
    /// 2.2.5
    EndOfSession,
    /// 2.3.1
    LoginRequest(&'a LoginRequest),
    /// 2.3.2 One message of the higher protocol.
    UnsequencedData(&'a [u8]),
    /// 2.3.3
    ClientHeartbeat,
    /// 2.3.4
    LogoutRequest,
}

/// Why a frame has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketError {
    /// A type that the specification does not list. Framing stays intact, so it can be skipped.
    Unknown {
        /// The type byte.
        kind: u8,
    },
    /// A payload shorter than its table.
    Truncated {
        /// The type byte.
        kind: u8,
        /// Payload bytes there.
        have_bytes: usize,
    },
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unknown { kind } => write!(f, "unknown SoupBinTCP packet type '{}'", kind.escape_ascii()),
            Self::Truncated { kind, have_bytes } => {
                write!(f, "SoupBinTCP packet '{}' has a payload of only {have_bytes} bytes", kind.escape_ascii())
            }
        }
    }
}

impl core::error::Error for PacketError {}

impl<'a> Frame<'a> {
    /// The frame of bytes that are exactly one packet; `None` when they are anything else.
    pub fn of_packet(packet: &'a [u8]) -> Option<Self> {
        match split_frame::<{ usize::MAX }>(packet) {
            Ok(Some((frame, []))) => Some(frame),
            _ => None,
        }
    }

    /// The frame by its meaning. Payload behind the table's is ignored.
    ///
    /// # Errors
    /// [`PacketError`] when the type is unknown or the payload too short.
    #[inline]
    pub fn packet(&self) -> Result<Packet<'a>, PacketError> {
        Ok(match self.kind {
            kind::SEQUENCED_DATA => Packet::SequencedData(self.payload),
            kind::UNSEQUENCED_DATA => Packet::UnsequencedData(self.payload),
            kind::SERVER_HEARTBEAT => Packet::ServerHeartbeat,
            kind::CLIENT_HEARTBEAT => Packet::ClientHeartbeat,
            kind::LOGIN_ACCEPTED => Packet::LoginAccepted(self.fixed()?),
            kind::LOGIN_REJECTED => Packet::LoginRejected(self.fixed()?),
            kind::LOGIN_REQUEST => Packet::LoginRequest(self.fixed()?),
            kind::LOGOUT_REQUEST => Packet::LogoutRequest,
            kind::END_OF_SESSION => Packet::EndOfSession,
            kind::DEBUG => Packet::Debug(self.payload),
            kind => return Err(PacketError::Unknown { kind }),
        })
    }

    fn fixed<T: FromBytes + KnownLayout + Immutable + Unaligned>(&self) -> Result<&'a T, PacketError> {
        match T::ref_from_prefix(self.payload) {
            Ok((payload, _)) => Ok(payload),
            Err(_) => Err(PacketError::Truncated { kind: self.kind, have_bytes: self.payload.len() }),
        }
    }
}

/// The stream cannot be framed any further: the connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A packet length of 0 leaves no room for a type.
    NoType,
    /// A packet is longer than the deframer was made for.
    TooLong {
        /// Length and packet together.
        need_bytes: usize,
        /// The deframer's bound.
        max_bytes: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoType => f.write_str("SoupBinTCP packet length 0 has no room for a type: close the connection"),
            Self::TooLong { need_bytes, max_bytes } => write!(
                f,
                "SoupBinTCP packet of {need_bytes} bytes is above the bound of {max_bytes}: close the connection"
            ),
        }
    }
}

impl core::error::Error for FrameError {}

/// Cuts a byte stream into frames, whatever the chunks. Frames that lie whole in a chunk are borrowed from it; only the
/// tail of a chunk is copied. `N` bounds a packet, its length field included; 65,537 takes all that the protocol can say.
#[derive(Clone, Debug)]
pub struct Deframer<const N: usize> {
    tail: [u8; N],
    tail_len: usize,
}

impl<const N: usize> Default for Deframer<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Deframer<N> {
    /// An empty deframer.
    pub const fn new() -> Self {
        const { assert!(N >= HEADER_BYTES) };
        Self { tail: [0; N], tail_len: 0 }
    }

    /// Forgets the tail, for a new connection.
    pub fn reset(&mut self) {
        self.tail_len = 0;
    }

    /// Bytes kept of a packet that is not whole yet.
    pub fn tail_bytes(&self) -> usize {
        self.tail_len
    }

    /// The next frame of the kept tail and `input`, which is advanced past it. `None` when more bytes are needed; then
    /// all of `input` has been taken.
    ///
    /// # Errors
    /// [`FrameError`] when the stream makes no sense; it will not again until [`Deframer::reset`].
    #[inline]
    pub fn next<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        if self.tail_len != 0 {
            return self.next_in_tail(input);
        }
        match split_frame::<N>(input)? {
            Some((frame, rest)) => {
                *input = rest;
                Ok(Some(frame))
            }
            None => {
                let (all, rest) = input.split_at(input.len());
                self.keep(all);
                *input = rest;
                Ok(None)
            }
        }
    }

    /// Completes the packet whose start is in the tail: first its length field, then the rest.
    fn next_in_tail<'a>(&'a mut self, input: &mut &[u8]) -> Result<Option<Frame<'a>>, FrameError> {
        self.fill_to(2, input);
        if self.tail_len >= 2 {
            let need = frame_bytes::<N>([self.tail[0], self.tail[1]])?;
            self.fill_to(need, input);
            if self.tail_len == need {
                self.tail_len = 0;
                return split_frame::<N>(&self.tail[..need]).map(|found| found.map(|(frame, _)| frame));
            }
        }
        Ok(None)
    }

    fn fill_to(&mut self, target: usize, input: &mut &[u8]) {
        let want = target.saturating_sub(self.tail_len).min(input.len());
        let (taken, rest) = input.split_at(want);
        self.keep(taken);
        *input = rest;
    }

    fn keep(&mut self, bytes: &[u8]) {
        // Never longer than N: a whole frame is at most N bytes, and only a part of one is kept.
        self.tail[self.tail_len..self.tail_len + bytes.len()].copy_from_slice(bytes);
        self.tail_len += bytes.len();
    }
}

#[inline]
fn frame_bytes<const N: usize>(length: [u8; 2]) -> Result<usize, FrameError> {
    let need_bytes = 2 + usize::from(u16::from_be_bytes(length));
    if need_bytes < HEADER_BYTES {
        Err(FrameError::NoType)
    } else if need_bytes > N {
        Err(FrameError::TooLong { need_bytes, max_bytes: N })
    } else {
        Ok(need_bytes)
    }
}

#[inline]
fn split_frame<const N: usize>(bytes: &[u8]) -> Result<Option<(Frame<'_>, &[u8])>, FrameError> {
    let Some((length, _)) = bytes.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let need = frame_bytes::<N>(*length)?;
    let Some((packet, rest)) = bytes.split_at_checked(need) else {
        return Ok(None);
    };
    Ok(packet.split_first_chunk::<HEADER_BYTES>().map(|(header, payload)| (Frame { kind: header[2], payload }, rest)))
}

/// Writes a packet; returns its length in bytes.
///
/// # Errors
/// [`BufferTooSmall`] when it does not fit, or when the payload is above 65,534 bytes and cannot be framed at all.
pub fn write_packet(buf: &mut [u8], kind: u8, payload: &[u8]) -> Result<usize, BufferTooSmall> {
    let need = HEADER_BYTES + payload.len();
    let packet = claim(buf, need)?;
    let payload_bytes = u16::try_from(payload.len()).ok().filter(|&bytes| bytes < u16::MAX);
    let Some(payload_bytes) = payload_bytes else {
        return Err(BufferTooSmall { need_bytes: need, have_bytes: HEADER_BYTES + usize::from(u16::MAX) - 1 });
    };
    let (head, body) = packet.split_at_mut(HEADER_BYTES);
    head.copy_from_slice(Header::new(kind, payload_bytes).as_bytes());
    body.copy_from_slice(payload);
    Ok(need)
}

/// Writes a packet of a meaning; returns its length in bytes.
///
/// # Errors
/// As [`write_packet`].
pub fn write(buf: &mut [u8], packet: &Packet<'_>) -> Result<usize, BufferTooSmall> {
    let (kind, payload): (u8, &[u8]) = match packet {
        Packet::Debug(text) => (kind::DEBUG, text),
        Packet::LoginAccepted(payload) => (kind::LOGIN_ACCEPTED, payload.as_bytes()),
        Packet::LoginRejected(payload) => (kind::LOGIN_REJECTED, payload.as_bytes()),
        Packet::SequencedData(message) => (kind::SEQUENCED_DATA, message),
        Packet::ServerHeartbeat => (kind::SERVER_HEARTBEAT, &[]),
        Packet::EndOfSession => (kind::END_OF_SESSION, &[]),
        Packet::LoginRequest(payload) => (kind::LOGIN_REQUEST, payload.as_bytes()),
        Packet::UnsequencedData(message) => (kind::UNSEQUENCED_DATA, message),
        Packet::ClientHeartbeat => (kind::CLIENT_HEARTBEAT, &[]),
        Packet::LogoutRequest => (kind::LOGOUT_REQUEST, &[]),
    };
    write_packet(buf, kind, payload)
}
