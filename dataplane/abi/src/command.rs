//! Commands from the control plane to the loop. Each is journaled as an input before it takes effect.

use crate::counter_enum;
use crate::segment::{ScopeKind, TradingState};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The user id of what no user did but the system itself.
pub const SYSTEM_UID: u32 = u32::MAX;

/// What a command does. Values are part of the layout.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandKind {
    /// Stop trading and cancel every open order; also made by the loop itself when it sees the kill word.
    Kill = 1,
    /// Trade again. Only an operator sends it, who has seen `id` kills; the loop puts what the kill word said when it took
    /// the command into `kill_word`, and with another count there the command is refused.
    Resume = 2,
    /// Set limit `id` (`tern_core::risk::LimitId`) to `value`, for `scope`; takes effect with epoch `epoch`. Of journals
    /// up to layout version 3: the daemon sends [`SetLimits`].
    SetLimit = 3,
    /// Cancel every open order, keep trading.
    CancelAll = 4,
    /// Cancel all, log out, end the run.
    Shutdown = 5,
    /// Restrict a scope, or let it run again. Made by the loop itself when it sees that the segment says so: `id` is the
    /// kind of the scope ([`ScopeKind`]) and, from bit 8 on, the state ([`TradingState`]), `value` its key.
    SetState = 6,
    /// Set every limit at once. In the command ring alone, at the head of a [`SetLimits`]; in the journal that is a record
    /// of its own kind.
    SetLimits = 7,
    /// Accept what journal and venue's log say differently after a restart: the venue's log is what counts from here on.
    /// Only an operator sends it, who has seen `id` differences; with another count it is refused.
    AcceptDifferences = 8,
    /// What a person does by hand. In the command ring alone, at the head of a [`ManualCommand`](crate::manual::ManualCommand);
    /// in the journal that is a record of its own kind.
    Manual = 9,
    /// The daemon's heartbeat stopped, or is back. Made by the loop itself: `id` is a [`DaemonPulse`], `value` the age of the
    /// last beat in ns.
    DaemonPulse = 16,
    /// The daemon raised or cleared an alert, and has it journaled; changes nothing. `id` is the alert's number
    /// (`tern_config::alerts::AlertKind`) and, in bit 8, whether it was raised; `value` since when, TAI ns.
    Alert = 17,
    /// The daemon refused a command for want of a role, and has that journaled; changes nothing. `id` is the kind that was
    /// asked for, `uid` who asked.
    Refused = 18,
    /// A call to a strategy took longer than its budget. Made by the loop itself, which measures: `id` is the strategy, `value`
    /// how long it took, ns.
    StrategyOverrun = 19,
    /// A step of the trading day. In the command ring alone, at the head of a [`DayRecord`](crate::day::DayRecord); in the journal
    /// that is a record of its own kind.
    Day = 24,
}

impl CommandKind {
    /// The kind with this value, if known.
    pub const fn from_u32(value: u32) -> Option<Self> {
        Some(match value {
            1 => Self::Kill,
            2 => Self::Resume,
            3 => Self::SetLimit,
            4 => Self::CancelAll,
            5 => Self::Shutdown,
            6 => Self::SetState,
            7 => Self::SetLimits,
            8 => Self::AcceptDifferences,
            9 => Self::Manual,
            16 => Self::DaemonPulse,
            17 => Self::Alert,
            18 => Self::Refused,
            19 => Self::StrategyOverrun,
            24 => Self::Day,
            _ => return None,
        })
    }

    /// The name that users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Resume => "resume",
            Self::SetLimit => "set_limit",
            Self::CancelAll => "cancel_all",
            Self::Shutdown => "shutdown",
            Self::SetState => "set_state",
            Self::SetLimits => "set_limits",
            Self::AcceptDifferences => "accept_differences",
            Self::Manual => "manual",
            Self::DaemonPulse => "daemon_pulse",
            Self::Alert => "alert",
            Self::Refused => "refused",
            Self::StrategyOverrun => "strategy_overrun",
            Self::Day => "day",
        }
    }
}

/// A command, as it lies in the command ring and in the journal.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Command {
    /// [`CommandKind`] as a number.
    pub kind: u32,
    /// Which limit, for `SetLimit`; kills that the operator has seen, for `Resume`; scope and state, for `SetState`;
    /// differences seen, for `AcceptDifferences`; how the heartbeat is, for `DaemonPulse`; the strategy, for
    /// `StrategyOverrun`.
    pub id: u32,
    /// The new value; the key of the scope, for `SetState`; the age of the last beat in ns, for `DaemonPulse`; how long the
    /// call took in ns, for `StrategyOverrun`.
    pub value: i64,
    /// 0 = everything; strategy or instrument id + 1 otherwise, by command.
    pub scope: u32,
    /// Epoch of the configuration that the command belongs to.
    pub epoch: u32,
    /// Who sent it: Unix user id; [`SYSTEM_UID`] = the system itself.
    pub uid: u32,
    /// Lower half of the kill word that caused it (`Kill` made by the loop), or that it met (`Resume`), else 0.
    pub kill_word: u32,
}

impl Command {
    /// Of a `Resume`: whether nobody killed after the operator looked.
    pub const fn resumes(&self) -> bool {
        self.kill_word >> 1 == self.id
    }

    /// A `DaemonPulse`.
    pub const fn daemon_pulse(pulse: DaemonPulse, age_ns: u64) -> Self {
        Self {
            kind: CommandKind::DaemonPulse as u32,
            id: pulse as u32,
            value: age_ns.cast_signed(),
            scope: 0,
            epoch: 0,
            uid: SYSTEM_UID,
            kill_word: 0,
        }
    }

    /// A `StrategyOverrun`.
    pub const fn strategy_overrun(strategy: u16, took_ns: u64) -> Self {
        Self {
            kind: CommandKind::StrategyOverrun as u32,
            id: strategy as u32,
            value: took_ns.cast_signed(),
            scope: 0,
            epoch: 0,
            uid: SYSTEM_UID,
            kill_word: 0,
        }
    }

    /// An `Alert`.
    pub const fn alert(number: u32, is_raised: bool, since_ns: u64) -> Self {
        Self {
            kind: CommandKind::Alert as u32,
            id: (number & 0xFF) | (is_raised as u32) << 8,
            value: since_ns.cast_signed(),
            scope: 0,
            epoch: 0,
            uid: SYSTEM_UID,
            kill_word: 0,
        }
    }

    /// Of an `Alert`: its number, and whether it was raised.
    pub const fn alert_raised(&self) -> (u32, bool) {
        (self.id & 0xFF, self.id & 0x100 != 0)
    }

    /// A `SetState`.
    pub const fn set_state(kind: ScopeKind, key: u64, state: TradingState, uid: u32) -> Self {
        Self {
            kind: CommandKind::SetState as u32,
            id: kind as u32 | (state as u32) << 8,
            value: key as i64,
            scope: 0,
            epoch: 0,
            uid,
            kill_word: 0,
        }
    }

    /// Of a `SetState`: what is restricted, its key, and how far it may trade; `None` if it names none of them.
    pub fn scope_state(&self) -> Option<(ScopeKind, u64, TradingState)> {
        let kind = ScopeKind::from_index((self.id & 0xFF) as usize)?;
        Some((kind, self.value as u64, TradingState::from_index((self.id >> 8) as usize)?))
    }
}

/// Places for limits in a [`SetLimits`]; more than there are, so that adding one keeps the layout.
pub const LIMITS_MAX: usize = 32;
/// Longest reason that a [`SetLimits`] carries, bytes of UTF-8.
pub const WHY_BYTES_MAX: usize = 160;

counter_enum! {
    /// How the daemon's heartbeat is. Values are part of the journal's layout.
    pub enum DaemonPulse {
        Steady = "steady": "It beats.",
        Silent = "silent": "Not for longer than the first deadline: only cancels leave until it beats again.",
        Lost = "lost": "Not for longer than the second deadline: trading stops until an operator resumes.",
    }
}

counter_enum! {
    /// What came of a [`SetLimits`]. Values are part of the journal's layout.
    pub enum LimitsOutcome {
        Set = "set": "The limits are in force.",
        Stale = "stale_epoch": "Others are in force than those that were seen: somebody set limits, or the data plane began anew.",
        Role = "role": "Whoever asked does not have the role that it needs.",
        Range = "range": "A limit is out of range.",
        Unlike = "unlike": "It is made for another build: it has more or fewer limits, or what it says contradicts itself.",
        Frozen = "frozen": "Nothing is loosened before the open, and nobody has lifted that.",
    }
}

/// All limits at once, as it lies in the command ring (there in several slots) and in the journal. It is applied whole,
/// between two inputs, or not at all.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SetLimits {
    /// [`CommandKind::SetLimits`] as a number.
    pub kind: u32,
    /// Limits in `values`.
    pub count: u32,
    /// Names the request, so that whoever made it finds out what came of it; 0 = none.
    pub request: u64,
    /// Epoch of the limits against which the change was made: with another one in force it is refused.
    pub epoch_seen: u32,
    /// Epoch of the limits after it, greater than `epoch_seen`.
    pub epoch: u32,
    /// Who wants it: Unix user id; [`SYSTEM_UID`] = the system itself.
    pub uid: u32,
    /// A [`LimitsOutcome`]: but for `Set`, the daemon has refused it, and it is only to be journaled.
    pub refused: u32,
    /// By index of the limit (`tern_core::risk::LimitId`); 0 beyond `count`.
    pub values: [i64; LIMITS_MAX],
    /// Why, UTF-8, zero padded.
    pub why: [u8; WHY_BYTES_MAX],
    /// Which bounds of a symbol's price change with it, if any do.
    pub bounds: SetBounds,
}

/// Bounds of the price of one symbol in the place of others.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SetBounds {
    /// Symbol, space padded; zeros = no bounds change.
    pub symbol: [u8; 8],
    /// Lowest and highest price of an order that were seen to be in force, 1/10000: with others in force it is refused.
    pub seen: [u32; 2],
    /// Those that are to be in force.
    pub wanted: [u32; 2],
}

impl SetBounds {
    /// Whether bounds are to change.
    pub fn is_meant(&self) -> bool {
        self.symbol != [0; 8]
    }
}

impl SetLimits {
    /// Out of the body of a record, of builds too whose records ended before [`bounds`](Self::bounds); what stands behind it
    /// is left. `None` if it is too short.
    pub fn of_record(body: &[u8]) -> Option<Self> {
        let mut command = Self::new(&[], (0, 0), 0, "");
        let whole = command.as_mut_bytes();
        let is_old = body.len() == core::mem::offset_of!(Self, bounds);
        let bytes = if is_old { body } else { body.get(..whole.len())? };
        whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(command)
    }

    /// All of `values`; those beyond [`LIMITS_MAX`] are left out, and so is what is too long of `why`.
    pub fn new(values: &[i64], (epoch_seen, epoch): (u32, u32), uid: u32, why: &str) -> Self {
        let count = values.len().min(LIMITS_MAX);
        let mut command = Self {
            kind: CommandKind::SetLimits as u32,
            count: count as u32,
            request: 0,
            epoch_seen,
            epoch,
            uid,
            refused: LimitsOutcome::Set as u32,
            values: [0; LIMITS_MAX],
            why: [0; WHY_BYTES_MAX],
            bounds: SetBounds::default(),
        };
        command.values[..count].copy_from_slice(&values[..count]);
        let end = (0..=why.len().min(WHY_BYTES_MAX)).rev().find(|end| why.is_char_boundary(*end)).unwrap_or(0);
        command.why[..end].copy_from_slice(&why.as_bytes()[..end]);
        command
    }

    /// The limits that it has.
    pub fn values(&self) -> &[i64] {
        self.values.get(..self.count as usize).unwrap_or(&self.values)
    }

    /// Why, as text.
    pub fn why(&self) -> &str {
        text_of(&self.why)
    }
}

/// The text in zero-padded bytes; what is no UTF-8 is left out.
pub(crate) fn text_of(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    match core::str::from_utf8(&bytes[..end]) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_build_without_bounds_changes_none() {
        let bounds = SetBounds { symbol: *b"GME     ", seen: [1, 2], wanted: [3, 4] };
        let command = SetLimits { bounds, ..SetLimits::new(&[5, 6], (1, 2), 3, "why not") };
        let body = command.as_bytes();
        assert_eq!(SetLimits::of_record(body), Some(command));
        let old = SetLimits { bounds: SetBounds::default(), ..command };
        assert_eq!(SetLimits::of_record(&body[..body.len() - size_of::<SetBounds>()]), Some(old));
        assert!(!old.bounds.is_meant() && command.bounds.is_meant());
        assert_eq!([&body[1..], &[]].map(SetLimits::of_record), [None; 2]);
        assert_eq!(SetLimits::of_record(&[body, &[7]].concat()), Some(command));
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let why = "a".repeat(WHY_BYTES_MAX - 1) + "é and more";
        let command = SetLimits::new(&[7; LIMITS_MAX + 1], (1, 2), 3, &why);
        assert_eq!((command.values().len(), command.why().len()), (LIMITS_MAX, WHY_BYTES_MAX - 1));
        let command = SetLimits::new(&[5, 6], (1, 2), 3, "why not");
        assert_eq!((command.values(), command.why()), (&[5, 6][..], "why not"));
        let damaged = SetLimits { count: 99, why: [0xFF; WHY_BYTES_MAX], ..command };
        assert_eq!((damaged.values().len(), damaged.why()), (LIMITS_MAX, ""));
    }
}
