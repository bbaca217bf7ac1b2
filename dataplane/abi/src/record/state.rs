//! What changed in the loop itself: trust, trading, strategies, limits.

use crate::counter_enum;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

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

/// Most bytes of text in a [`StrategyRecord`] of [`Kind::Strategy`](super::Kind::Strategy).
pub const STRATEGY_TEXT_MAX: usize = 240;
/// Most bytes of state in a [`StrategyRecord`] of [`Kind::StrategyState`](super::Kind::StrategyState).
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

/// What became of a strategy; behind it stands text or state, see [`Kind`](super::Kind).
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
