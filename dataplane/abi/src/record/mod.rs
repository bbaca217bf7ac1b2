//! What the loop records: inputs and outputs, in one order.
//!
//! Each record has a [`RecordHeader`] and a body. Inputs that may be shed (datagrams) go to the capture ring, all else
//! to the order ring; `seq` is one counter over both, so that a reader can merge them into the one order in which the
//! loop saw and did things.

mod inputs;
mod orders;
mod recorder;
mod stages;
mod state;

pub use inputs::*;
pub use orders::*;
pub use recorder::*;
pub use stages::*;
pub use state::*;

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
