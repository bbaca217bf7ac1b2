//! What an order session is: bytes of a connection in, events of orders out, and the other way round.

use crate::outbox::{Carrier, WindowClosed};
use crate::units::{InstrumentId, OrderId, Price, Quantity, Side, StrategyId, Symbol, TaiNs, TraderId};
use core::ops::Deref;
use tern_abi::counter_enum;

pub use tern_abi::record::VenueEventKind;

counter_enum! {
    /// What an order session counts.
    pub enum SessionCounter {
        BytesIn = "session_bytes_in": "Bytes received.",
        PacketsIn = "session_packets_in": "Packets received.",
        Sequenced = "session_sequenced": "Sequenced messages received.",
        HeartbeatsIn = "session_heartbeats_in": "Server heartbeats received.",
        HeartbeatsOut = "session_heartbeats_out": "Client heartbeats sent.",
        Logins = "session_logins": "Logins accepted.",
        Surveys = "session_surveys": "Logins that asked for nothing but where the venue's log ends.",
        LoginRejects = "session_login_rejects": "Logins refused.",
        UnknownPackets = "session_unknown_packets": "Packets of an unknown type, skipped.",
        UnknownMessages = "session_unknown_messages": "Messages of an unknown type, skipped.",
        TrailingBytes = "session_trailing_bytes": "Messages longer than their type, the rest skipped.",
        TruncatedMessages = "session_truncated_messages": "Messages shorter than their type; the session is dropped.",
        BadPackets = "session_bad_packets": "Packets that are no packet of the protocol; the session is dropped.",
        Replayed = "session_replayed": "Sequenced messages that were seen before, skipped.",
        Silence = "session_silence": "Times that the venue was silent past its deadline; the session is dropped.",
    }
}

/// Why a connection is to be dropped by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Bytes that are no packet of the protocol.
    BadPacket,
    /// Silent past the deadline.
    Silence,
    /// The venue refused the login.
    LoginRejected,
    /// The venue ended the session, or answered our logout.
    EndOfSession,
    /// More control bytes than the buffer holds.
    ControlOverflow,
    /// The kill word was set while bytes of orders could not be recalled.
    Killed,
    /// The login only asked where the venue's log ends: connect again at once, to read it.
    Surveyed,
    /// The venue's log is shorter than what it told before, or starts behind it.
    LogUnlike,
}

/// What the venue said, normalized. Fields that a kind does not carry are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VenueEvent {
    /// What.
    pub kind: VenueEventKind,
    /// Our order id.
    pub order: OrderId,
    /// Our order id before a replace; equal to `order` otherwise.
    pub previous: OrderId,
    /// The venue's order reference: the same number that the feed shows for a displayed order.
    pub venue_order: u64,
    /// Match number of an execution.
    pub match_number: u64,
    /// Price of the execution or the order.
    pub price: Price,
    /// Shares of this event: accepted total, replaced total, executed, canceled.
    pub quantity: Quantity,
    /// Symbol, where the message has it.
    pub symbol: Option<Symbol>,
    /// Side, where the message has it.
    pub side: Option<Side>,
    /// The venue's reason or liquidity letter.
    pub reason: u8,
    /// For [`VenueEventKind::Accepted`] and `Replaced`: whether the order is live after it. For `LoggedIn`: whether the
    /// venue's log goes on where it was; otherwise it is another log, counted from 1 again.
    pub live: bool,
    /// Liquidity was added by an execution.
    pub added_liquidity: bool,
    /// Strategy, where the message's client order id carries it.
    pub strategy: Option<StrategyId>,
    /// Trader, where the message's client order id carries it.
    pub trader: Option<TraderId>,
    /// The venue's time, ns since its midnight.
    pub venue_ns: u64,
    /// Sequence number of the message in the session's log; 0 for what is not sequenced.
    pub session_seq: u64,
}

impl VenueEvent {
    /// An event of `kind` with nothing else said.
    pub const fn new(kind: VenueEventKind) -> Self {
        Self {
            kind,
            order: OrderId(0),
            previous: OrderId(0),
            venue_order: 0,
            match_number: 0,
            price: Price(0),
            quantity: 0,
            symbol: None,
            side: None,
            reason: 0,
            live: false,
            added_liquidity: false,
            strategy: None,
            trader: None,
            venue_ns: 0,
            session_seq: 0,
        }
    }
}

/// Takes what a session decodes. The pipeline implements it.
pub trait OrderSink {
    /// One event, in the session's order.
    fn event(&mut self, event: VenueEvent);
}

/// Why bytes were not put into a [`Control`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// The bytes would carry an order message: only the gate may send those.
    OrderMessage,
    /// The buffer is full.
    Full,
}

/// Bytes of a session's own housekeeping (login, heartbeat, logout, query) on their way out.
///
/// It refuses what could be an order: `is_order` is asked of every message before it is taken. So a session cannot send
/// an order past the gate, not even by mistake.
#[derive(Debug)]
pub struct Control {
    bytes: [u8; Control::CAPACITY_BYTES],
    length: usize,
    is_order: fn(&[u8]) -> bool,
    drop: Option<DropReason>,
}

impl Control {
    /// Most bytes that wait.
    pub const CAPACITY_BYTES: usize = 512;

    /// An empty buffer; `is_order` says of a whole packet whether it carries an order message.
    pub const fn new(is_order: fn(&[u8]) -> bool) -> Self {
        Self { bytes: [0; Self::CAPACITY_BYTES], length: 0, is_order, drop: None }
    }

    /// Takes one whole packet.
    ///
    /// # Errors
    /// [`ControlError::OrderMessage`] when it carries an order, [`ControlError::Full`] when there is no room.
    pub fn send(&mut self, packet: &[u8]) -> Result<(), ControlError> {
        if (self.is_order)(packet) {
            return Err(ControlError::OrderMessage);
        }
        match self.bytes.get_mut(self.length..self.length + packet.len()) {
            Some(room) => {
                room.copy_from_slice(packet);
                self.length += packet.len();
                Ok(())
            }
            None => {
                self.drop.get_or_insert(DropReason::ControlOverflow);
                Err(ControlError::Full)
            }
        }
    }

    /// Asks for the connection to be dropped; the first reason stays.
    pub fn drop_connection(&mut self, reason: DropReason) {
        self.drop.get_or_insert(reason);
    }

    /// Whether, and why, the connection is to be dropped; forgets it.
    pub fn take_drop(&mut self) -> Option<DropReason> {
        self.drop.take()
    }

    /// The bytes that wait.
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Gives everything that waits to `carrier`, which takes all of it or nothing; how many bytes it took.
    ///
    /// # Errors
    /// [`WindowClosed`] when it could not leave at once; it waits on.
    pub(crate) fn hand_over(&mut self, carrier: &mut impl Carrier) -> Result<usize, WindowClosed> {
        let count_bytes = self.length;
        if count_bytes > 0 {
            carrier.carry_control(ControlBytes { bytes: self.pending() })?;
            self.length = 0;
        }
        Ok(count_bytes)
    }

    /// Forgets the first `count_bytes`, which were sent.
    pub fn consume(&mut self, count_bytes: usize) {
        let count = count_bytes.min(self.length);
        self.bytes.copy_within(count..self.length, 0);
        self.length -= count;
    }

    /// Forgets everything: the connection is gone.
    pub fn clear(&mut self) {
        self.length = 0;
        self.drop = None;
    }
}

/// Housekeeping of a session on its way to TCP. Only the [`Control`] of a pipeline makes it, so none of it is an order.
#[derive(Debug)]
pub struct ControlBytes<'a> {
    bytes: &'a [u8],
}

impl Deref for ControlBytes<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

/// Time in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimeInForce {
    /// Until the close.
    #[default]
    Day,
    /// Immediate or cancel.
    Ioc,
    /// For the opening cross alone: what does not trade there is canceled.
    OnOpen,
    /// For the closing cross alone: what does not trade there is canceled.
    OnClose,
}

impl TimeInForce {
    /// Whether the order is for a cross, where it trades at a price that nobody knows yet.
    #[inline]
    pub const fn is_cross(self) -> bool {
        matches!(self, Self::OnOpen | Self::OnClose)
    }

    /// 0 for the continuous market, then one for each cross.
    #[inline]
    pub(crate) const fn cross_index(self) -> u64 {
        match self {
            Self::Day | Self::Ioc => 0,
            Self::OnOpen => 1,
            Self::OnClose => 2,
        }
    }

    /// The letter in records: OUCH's for day and immediate or cancel, FIX's (tag 59) for those of crosses, of which OUCH
    /// makes a field of their own.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Day => b'0',
            Self::Ioc => b'3',
            Self::OnOpen => b'2',
            Self::OnClose => b'7',
        }
    }

    /// The one with this letter.
    pub const fn from_letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b'0' => Self::Day,
            b'3' => Self::Ioc,
            b'2' => Self::OnOpen,
            b'7' => Self::OnClose,
            _ => return None,
        })
    }
}

/// What an order message says, as the encoder sees it. Built by the gate's side alone, read by the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// What to do.
    pub action: OrderAction,
    /// Symbol.
    pub symbol: Symbol,
    /// Instrument.
    pub instrument: InstrumentId,
    /// Side.
    pub side: Side,
    /// Marked as a short sale (sell beyond the position).
    pub short: bool,
    /// Price.
    pub price: Price,
    /// New: shares. Replace: the chain's total shares. Reduce: shares that may trade in total, those that did included.
    /// Cancel: 0.
    pub quantity: Quantity,
    /// Fewest shares that may trade at once; 0 = any.
    pub min_quantity: Quantity,
    /// Time in force.
    pub time_in_force: TimeInForce,
    /// Post only.
    pub post_only: bool,
    /// Strategy, carried in the client order id.
    pub strategy: StrategyId,
    /// Trader, carried in the client order id.
    pub trader: TraderId,
}

/// What an order message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderAction {
    /// Enters a new order.
    New {
        /// Its id.
        order: OrderId,
    },
    /// Replaces a live order.
    Replace {
        /// The live order.
        previous: OrderId,
        /// The id it has afterwards.
        order: OrderId,
    },
    /// Cancels a live order.
    Cancel {
        /// The live order.
        order: OrderId,
    },
    /// Cancels a part of a live order; what stays keeps its place.
    Reduce {
        /// The live order.
        order: OrderId,
    },
}

/// An order could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The buffer is too small.
    NoRoom,
    /// The price does not fit the venue's field.
    Price,
    /// The quantity does not fit the venue's field.
    Quantity,
    /// The session is not logged in.
    NotLoggedIn,
}

/// An order-entry protocol on one connection: the session layer and the messages, without I/O.
pub trait OrderSession {
    /// Says of a whole outgoing packet whether it carries an order message; for [`Control::new`].
    fn is_order_packet(packet: &[u8]) -> bool;
    /// The connection is up: log in.
    fn on_connected(&mut self, now: TaiNs, control: &mut Control);
    /// The connection is gone. Keeps what is needed to resume.
    fn on_disconnected(&mut self, now: TaiNs);
    /// Bytes arrived, in any chunking; the session keeps an incomplete tail.
    fn on_bytes(&mut self, now: TaiNs, bytes: &[u8], sink: &mut impl OrderSink, control: &mut Control);
    /// A timer at or after [`OrderSession::next_deadline`]: heartbeats, silence.
    fn on_timer(&mut self, now: TaiNs, control: &mut Control);
    /// Asks for a clean end of the session.
    fn log_out(&mut self, now: TaiNs, control: &mut Control);
    /// Writes one order message into `buf`, framed for the connection, and returns its length in bytes.
    ///
    /// # Errors
    /// Why it cannot be written; nothing is sent then.
    fn encode(&mut self, order: &OrderView, buf: &mut [u8]) -> Result<usize, EncodeError>;
    /// Order bytes were handed to TCP at `now`: they count as a sign of life.
    fn on_sent(&mut self, now: TaiNs);
    /// When the session wants `on_timer`.
    fn next_deadline(&self) -> TaiNs;
    /// Whether orders may be sent: logged in, and the venue's log replayed.
    fn is_ready(&self) -> bool;
    /// Counters, in [`SessionCounter`] order.
    fn counters(&self) -> &[u64; SessionCounter::COUNT];
}
