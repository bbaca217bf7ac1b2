//! What the loop records: inputs and outputs, in one order.
//!
//! Each record has a [`RecordHeader`] and a body. Inputs that may be shed (datagrams) go to the capture ring, all else
//! to the order ring; `seq` is one counter over both, so that a reader can merge them into the one order in which the
//! loop saw and did things.

use crate::counter_enum;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a record is. Values are part of the layout; below 64 inputs, from 64 on outputs.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`DatagramHead`], then the UDP payload. Capture ring.
    Datagram = 1,
    /// [`SessionHead`], then the bytes received on an order session.
    SessionBytes = 2,
    /// [`ConnRecord`]: an order connection came up, went down, has room.
    Conn = 3,
    /// [`crate::command::Command`].
    Command = 4,
    /// The loop's timer fired; empty body.
    Timer = 5,
    /// Normalized events from a feed of another process: `BookEvent`s.
    Events = 6,
    /// [`StartRecord`], then the effective configuration as TOML text: a run of the data plane begins.
    Start = 7,
    /// [`ShedRecord`]: so many datagrams were not captured.
    Shed = 8,
    /// [`crate::command::SetLimits`].
    SetLimits = 9,
    /// [`crate::rescue::RescueRecord`], then the bytes that left, if any did: what the daemon did at the venue while no
    /// data plane ran.
    Rescue = 10,
    /// [`crate::manual::ManualCommand`].
    Manual = 11,
    /// [`crate::day::DayRecord`]: a step of the trading day.
    Day = 16,

    /// [`OrderRecord`]: an approved order message, recorded before its bytes reach TCP.
    Order = 64,
    /// [`RefusalRecord`]: an intent that the gate refused.
    Refusal = 65,
    /// [`OrderEventRecord`]: what the venue said of an order, after it changed our state.
    OrderEvent = 66,
    /// [`PositionRecord`]: position, cash and profit of one (account, strategy, instrument) after a change.
    Position = 67,
    /// [`StageRecord`]: stage stamps of one datagram.
    Stages = 68,
    /// [`TrustRecord`]: the books of a stream gained or lost trust.
    Trust = 69,
    /// [`StateRecord`]: the trading state changed (killed, resumed, stopped and why).
    State = 70,
    /// `u64` counters in index order, once a second.
    Counters = 71,
    /// [`InstrumentTrustRecord`]: the book of one instrument lost trust, its stream did not.
    InstrumentTrust = 72,
    /// [`LimitsRecord`]: what came of a `SetLimits`.
    Limits = 73,
    /// [`crate::reconcile::ReconcileRecord`]: after a restart, what journal and venue's log say differently, and at last
    /// what came of it.
    Reconcile = 74,
    /// [`StrategyRecord`], then text: a strategy panicked, or was built anew.
    Strategy = 75,
    /// [`StrategyRecord`], then the state that the strategy handed out, to be given to it when it is built anew.
    StrategyState = 76,
    /// [`crate::outlier::OutlierRecord`]: a datagram that took longer than nearly all others.
    Outlier = 77,
    /// [`crate::manual::ManualRecord`]: what came of a `Manual`.
    ManualOutcome = 78,
    /// [`crate::manual::AdjustmentRecord`]: a trade that somebody told by hand, before it moved a position.
    Adjustment = 79,
}

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Kind] = &[
        Kind::Datagram,
        Kind::SessionBytes,
        Kind::Conn,
        Kind::Command,
        Kind::Timer,
        Kind::Events,
        Kind::Start,
        Kind::Shed,
        Kind::SetLimits,
        Kind::Rescue,
        Kind::Manual,
        Kind::Day,
        Kind::Order,
        Kind::Refusal,
        Kind::OrderEvent,
        Kind::Position,
        Kind::Stages,
        Kind::Trust,
        Kind::State,
        Kind::Counters,
        Kind::InstrumentTrust,
        Kind::Limits,
        Kind::Reconcile,
        Kind::Strategy,
        Kind::StrategyState,
        Kind::Outlier,
        Kind::ManualOutcome,
        Kind::Adjustment,
    ];

    /// The kind with this value, if known.
    pub fn from_u16(value: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| *kind as u16 == value)
    }

    /// The name that users see.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Datagram => "datagram",
            Kind::SessionBytes => "session_bytes",
            Kind::Conn => "conn",
            Kind::Command => "command",
            Kind::Timer => "timer",
            Kind::Events => "events",
            Kind::Start => "start",
            Kind::Shed => "shed",
            Kind::SetLimits => "set_limits",
            Kind::Rescue => "rescue",
            Kind::Manual => "manual",
            Kind::Day => "day",
            Kind::Order => "order",
            Kind::Refusal => "refusal",
            Kind::OrderEvent => "order_event",
            Kind::Position => "position",
            Kind::Stages => "stages",
            Kind::Trust => "trust",
            Kind::State => "state",
            Kind::Counters => "counters",
            Kind::InstrumentTrust => "instrument_trust",
            Kind::Limits => "limits",
            Kind::Reconcile => "reconcile",
            Kind::Strategy => "strategy",
            Kind::StrategyState => "strategy_state",
            Kind::Outlier => "outlier",
            Kind::ManualOutcome => "manual_outcome",
            Kind::Adjustment => "adjustment",
        }
    }
}

/// In front of every record, in rings and in the journal.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RecordHeader {
    /// One counter over both rings; strictly increasing, continues over restarts. A gap is a lost record.
    pub seq: u64,
    /// The loop's time: TAI ns.
    pub tai_ns: u64,
    /// [`Kind`] as a number.
    pub kind: u16,
    /// Zero.
    pub flags: u16,
    /// Bytes of the body.
    pub body_bytes: u32,
}

/// The recorder cannot take another record: a record that may not be shed found its ring full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFull;

/// Where records go: shared-memory rings, a file, or nowhere.
pub trait Recorder {
    /// Publishes one record made of `parts` end to end; when this returns, the record outlives this process.
    ///
    /// Datagrams may be shed (counted, with a marker later); everything else is either published or refused.
    ///
    /// # Errors
    /// [`RingFull`] when a record that may not be shed does not fit; the caller stops trading.
    fn record(&mut self, tai_ns: u64, kind: Kind, parts: &[&[u8]]) -> Result<(), RingFull>;

    /// The `seq` that the next record will get.
    fn next_seq(&self) -> u64;

    /// Whether a new order may still be recorded: false once only the reserve kept for cancels is left.
    fn has_room_for_orders(&self) -> bool;

    /// How full its rings are; all zero where there are none.
    fn fill(&self) -> Fill {
        Fill::default()
    }
}

/// How full a recorder's rings are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Slots of the order ring that its reader has not given back, and slots there are.
    pub orders: (u64, u64),
    /// Bytes of the capture ring that its reader has not given back, and bytes there are.
    pub captures: (u64, u64),
}

/// A recorder that forgets: for benchmarks of a single stage and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullRecorder {
    seq: u64,
}

impl Recorder for NullRecorder {
    fn record(&mut self, _: u64, _: Kind, _: &[&[u8]]) -> Result<(), RingFull> {
        self.seq += 1;
        Ok(())
    }
    fn next_seq(&self) -> u64 {
        self.seq + 1
    }
    fn has_room_for_orders(&self) -> bool {
        true
    }
}

/// In front of a recorded datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct DatagramHead {
    /// When the XDP program (or the kernel socket) saw it: TAI ns.
    pub arrival_ns: u64,
    /// NIC stamp, 0 = absent.
    pub nic_ns: u64,
    /// Stream id.
    pub stream: u16,
    /// Line of the stream: 0 = A, 1 = B.
    pub line: u16,
    /// Datagrams that waited behind this one when it was taken.
    pub backlog: u32,
}

/// In front of recorded session bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SessionHead {
    /// Connection id.
    pub conn: u32,
    /// Zero.
    pub reserved: u32,
}

/// [`ConnRecord::event`]: the connection is established.
pub const CONN_UP: u32 = 1;
/// [`ConnRecord::event`]: the connection is gone; `value` is a `DownReason`.
pub const CONN_DOWN: u32 = 2;
/// [`ConnRecord::event`]: `value` bytes can be sent at once without queueing.
pub const CONN_ROOM: u32 = 3;
/// [`ConnRecord::event`]: the newest `value` order messages were not handed to TCP when the next input came. Absent
/// when none was left, which is the rule.
pub const CONN_UNSENT: u32 = 4;
/// [`ConnRecord::event`]: the order ring has room for orders (`value` 1) or only its reserve for cancels left (0).
pub const CONN_RING_ROOM: u32 = 5;
/// [`ConnRecord::event`]: a record did not fit that must not be lost, and trading stopped.
pub const CONN_RECORD_LOST: u32 = 6;

/// An event of an order connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ConnRecord {
    /// Connection id.
    pub conn: u32,
    /// One of the `CONN_` values.
    pub event: u32,
    /// By event.
    pub value: u64,
}

/// A run of the data plane begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct StartRecord {
    /// How many runs this segment has seen, this one included.
    pub run: u64,
    /// Layout version of the records.
    pub abi_version: u32,
    /// Process id.
    pub pid: u32,
    /// First half of the build id (git commit, as bytes; zero when unknown).
    pub build: [u8; 24],
}

/// A marker in the capture ring: datagrams were shed just before it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ShedRecord {
    /// Datagrams not captured since the last marker.
    pub datagrams: u64,
    /// Their payload bytes.
    pub bytes: u64,
}

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

/// Stages of a datagram's way through the loop, in order.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The loop took the frame.
    FrameSeen = 0,
    /// The datagram is decoded.
    Decoded = 1,
    /// The events are in the books.
    Book = 2,
    /// The strategy returned an intent.
    Strategy = 3,
    /// The gate approved it.
    Risk = 4,
    /// The order's bytes are encoded.
    Encoded = 5,
    /// The bytes were handed to the port.
    Submitted = 6,
}

/// Number of [`Stage`]s.
pub const STAGES: usize = 7;

/// Names of the stages, in order.
pub const STAGE_NAMES: [&str; STAGES] = ["frame_seen", "decoded", "book", "strategy", "risk", "encoded", "submitted"];

/// Stage stamps of one datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct StageRecord {
    /// `seq` of the datagram's record.
    pub cause_seq: u64,
    /// XDP arrival, TAI ns.
    pub arrival_ns: u64,
    /// TAI ns of each [`Stage`]; 0 = not reached.
    pub stage_ns: [u64; STAGES],
    /// Order id that resulted, of several the first, whose way was measured; 0 for a sampled datagram without one.
    pub order: u32,
    /// Datagrams that waited behind it.
    pub backlog: u32,
}

/// Names of the spans of [`StageRecord::spans`], in order; those after the third are the stages, each from the one before.
pub const SPAN_NAMES: [&str; SPANS] = [
    "tick_to_order",
    "arrival_to_order",
    "arrival_to_seen",
    "decoded",
    "book",
    "strategy",
    "risk",
    "encoded",
    "submitted",
];
/// Number of spans.
pub const SPANS: usize = STAGES + 2;

impl StageRecord {
    /// How long each span took, ns; `None` of those that this datagram does not have.
    ///
    /// Tick to order is from the frame's being seen by the loop to the order's bytes; a stage is from the last stage before
    /// it that was reached.
    pub fn spans(&self) -> [Option<u64>; SPANS] {
        let between = |from: u64, to: u64| (from != 0 && to != 0).then(|| to.saturating_sub(from));
        let [seen, encoded] = [Stage::FrameSeen, Stage::Encoded].map(|stage| self.stage_ns[stage as usize]);
        let to_order = |from| if self.order != 0 { between(from, encoded) } else { None };
        let mut spans = [None; SPANS];
        spans[0] = to_order(seen);
        spans[1] = to_order(self.arrival_ns);
        spans[2] = between(self.arrival_ns, seen);
        let mut before = seen;
        for (span, now) in spans.iter_mut().skip(3).zip(self.stage_ns.iter().skip(1)) {
            *span = between(before, *now);
            before = if *now != 0 { *now } else { before };
        }
        spans
    }
}

/// The books of a stream gained or lost trust.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct TrustRecord {
    /// First missing sequence number, for a gap.
    pub expected_seq: u64,
    /// Sequence number that came instead.
    pub seen_seq: u64,
    /// Stream id.
    pub stream: u16,
    /// 1 = trusted, 0 = not.
    pub trusted: u16,
    /// Index of the reason (`tern_core::feed::Distrust`).
    pub reason: u32,
}

/// The book of one instrument lost trust: an event did not fit it. Once a loss, however many events follow that do not
/// fit either.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct InstrumentTrustRecord {
    /// `seq` of the input that brought the event.
    pub cause_seq: u64,
    /// Symbol, space padded.
    pub symbol: [u8; 8],
    /// Instrument id.
    pub instrument: u32,
    /// Index of the reason (`tern_core::feed::Distrust`).
    pub reason: u32,
}

/// The trading state changed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct StateRecord {
    /// `seq` of the input that changed it.
    pub cause_seq: u64,
    /// 1 = trading, 0 = halted.
    pub trading: u32,
    /// Index of the reason (`tern_core::risk::HaltReason`).
    pub reason: u32,
}

/// Most bytes of text in a [`StrategyRecord`] of [`Kind::Strategy`].
pub const STRATEGY_TEXT_MAX: usize = 240;
/// Most bytes of state in a [`StrategyRecord`] of [`Kind::StrategyState`].
pub const STRATEGY_STATE_MAX: usize = 256;

counter_enum! {
    /// What became of a strategy. Values are part of the journal's layout.
    pub enum StrategyEvent {
        State = "state": "It handed out its state.",
        Panicked = "panicked": "It panicked, and is not called until an operator lets it go on; the text says why and where.",
        Restarted = "restarted": "It was built anew, and given the state that it handed out last, if any.",
        NotBuilt = "not_built": "It could not be built anew, the text says why; it stays stopped, and its state is not given again.",
        TooSlow = "too_slow": "Too many of its calls took longer than their budget, and it is not called until an operator lets it go on; the text says how many.",
    }
}

/// What became of a strategy; behind it stands text or state, see [`Kind`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct StrategyRecord {
    /// `seq` of the input that led to it.
    pub cause_seq: u64,
    /// Strategy id.
    pub strategy: u16,
    /// Index of the [`StrategyEvent`].
    pub event: u16,
    /// Version of the state, as the strategy numbers them.
    pub version: u16,
    /// Bytes of the state; 0 = none.
    pub state_bytes: u16,
}

/// What came of a [`SetLimits`](crate::command::SetLimits).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct LimitsRecord {
    /// `seq` of the command's record.
    pub cause_seq: u64,
    /// Epoch of the limits in force after it.
    pub epoch: u32,
    /// A [`LimitsOutcome`](crate::command::LimitsOutcome) as a number.
    pub outcome: u32,
}
