//! The trading day as its operators lead it: each step is a record, and what state the day is in follows from the records
//! alone.

use crate::command::{CommandKind, text_of};
use crate::counter_enum;
use crate::segment::TradingState;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest text of a [`DayRecord`], bytes of UTF-8.
pub const DAY_TEXT_BYTES_MAX: usize = 200;

counter_enum! {
    /// How far a trading day is.
    pub enum DayState {
        New = "new": "A data plane runs, and nobody has prepared the day.",
        Prepared = "prepared": "The day's data are there, are of today, and are what the data plane runs with.",
        Ready = "ready": "Every check of readiness was green, or waived by name.",
        Armed = "armed": "Orders may leave.",
        WindDown = "wind_down": "Only what lowers a position may leave.",
        Closed = "closed": "Nothing is open at the venue.",
        Reconciled = "reconciled": "The journal, the venue's log and the second opinion agree.",
        Sealed = "sealed": "Over.",
    }
}

#[allow(clippy::derivable_impls, reason = "the macro derives no default")]
impl Default for DayState {
    fn default() -> Self {
        Self::New
    }
}

impl DayState {
    /// The most that the firm's orders may do in this state, whatever else is said.
    pub const fn most(self) -> TradingState {
        match self {
            Self::Armed => TradingState::Running,
            Self::WindDown => TradingState::ReduceOnly,
            Self::New | Self::Prepared | Self::Ready => TradingState::CancelOnly,
            Self::Closed | Self::Reconciled | Self::Sealed => TradingState::Halted,
        }
    }
}

counter_enum! {
    /// What a [`DayRecord`] says. Values are part of the journal's layout.
    pub enum DayStep {
        Prepared = "prepared": "The day is prepared.",
        Ready = "ready": "It is ready.",
        Armed = "armed": "It is armed.",
        WindDown = "wind_down": "It is wound down.",
        Closed = "closed": "It is closed.",
        Reconciled = "reconciled": "It is reconciled.",
        Sealed = "sealed": "It is sealed.",
        Fact = "fact": "Something by which the step after it was decided: a file and its hash, a check and what was found.",
        Waived = "waived": "A check of readiness counts as green until a time; the text begins with its name.",
        Unfrozen = "unfrozen": "Limits may be loosened before the open, until a time.",
        Refused = "refused": "A step was asked for and refused.",
    }
}

impl DayStep {
    /// The state in which the day is after it; `None` where it changes none.
    pub const fn state(self) -> Option<DayState> {
        Some(match self {
            Self::Prepared => DayState::Prepared,
            Self::Ready => DayState::Ready,
            Self::Armed => DayState::Armed,
            Self::WindDown => DayState::WindDown,
            Self::Closed => DayState::Closed,
            Self::Reconciled => DayState::Reconciled,
            Self::Sealed => DayState::Sealed,
            Self::Fact | Self::Waived | Self::Unfrozen | Self::Refused => return None,
        })
    }
}

/// A step of the trading day, as it lies in the command ring (there in several slots) and in the journal. The loop records it
/// and changes nothing for it: what may leave stands in the scopes of the segment.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct DayRecord {
    /// [`CommandKind::Day`] as a number.
    pub kind: u32,
    /// [`DayStep`] as a number.
    pub step: u32,
    /// The venue's trading day, days since 1970-01-01.
    pub day: u32,
    /// Who: Unix user id.
    pub uid: u32,
    /// Until when it counts, TAI ns; 0 = as long as the day.
    pub until_ns: u64,
    /// Why, or what: UTF-8, zero padded.
    pub text: [u8; DAY_TEXT_BYTES_MAX],
}

impl DayRecord {
    /// A step of `day`; what is too long of `text` is left out.
    pub fn new(step: DayStep, day: u32, uid: u32, until_ns: u64, text: &str) -> Self {
        let mut bytes = [0; DAY_TEXT_BYTES_MAX];
        let end = (0..=text.len().min(DAY_TEXT_BYTES_MAX)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        Self { kind: CommandKind::Day as u32, step: step as u32, day, uid, until_ns, text: bytes }
    }

    /// The step, if this build knows it.
    pub fn step(&self) -> Option<DayStep> {
        DayStep::from_index(self.step as usize)
    }

    /// The text.
    pub fn text(&self) -> &str {
        text_of(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_armed_day_lets_everything_leave() {
        let free: std::vec::Vec<_> =
            DayState::ALL.iter().filter(|state| state.most() == TradingState::Running).collect();
        assert_eq!(free, [&DayState::Armed]);
        assert_eq!(DayStep::ALL.iter().filter_map(|step| step.state()).count(), DayState::ALL.len() - 1);
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        let text = "a".repeat(DAY_TEXT_BYTES_MAX - 1) + "é";
        let record = DayRecord::new(DayStep::Fact, 3, 4, 5, &text);
        assert_eq!((record.text().len(), record.step()), (DAY_TEXT_BYTES_MAX - 1, Some(DayStep::Fact)));
        assert_eq!(DayRecord { step: 99, ..record }.step(), None);
    }
}
