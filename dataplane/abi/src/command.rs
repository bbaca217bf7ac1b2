//! Commands from the control plane to the loop. Each is journaled as an input before it takes effect.

use crate::segment::{ScopeKind, TradingState};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a command does. Values are part of the layout.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandKind {
    /// Stop trading and cancel every open order; also made by the loop itself when it sees the kill word.
    Kill = 1,
    /// Trade again. Only an operator sends it, who has seen `id` kills; the loop puts what the kill word said when it took
    /// the command into `kill_word`, and with another count there the command is refused.
    Resume = 2,
    /// Set limit `id` (`tern_core::risk::LimitId`) to `value`, for `scope`; takes effect with epoch `epoch`.
    SetLimit = 3,
    /// Cancel every open order, keep trading.
    CancelAll = 4,
    /// Cancel all, log out, end the run.
    Shutdown = 5,
    /// Restrict a scope, or let it run again. Made by the loop itself when it sees that the segment says so: `id` is the
    /// kind of the scope ([`ScopeKind`]) and, from bit 8 on, the state ([`TradingState`]), `value` its key.
    SetState = 6,
    /// Accept what journal and venue's log say differently after a restart: the venue's log is what counts from here on.
    /// Only an operator sends it, who has seen `id` differences; with another count it is refused.
    AcceptDifferences = 7,
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
            7 => Self::AcceptDifferences,
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
            Self::AcceptDifferences => "accept_differences",
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
    /// differences seen, for `AcceptDifferences`.
    pub id: u32,
    /// The new value; the key of the scope, for `SetState`.
    pub value: i64,
    /// 0 = everything; strategy or instrument id + 1 otherwise, by command.
    pub scope: u32,
    /// Epoch of the configuration that the command belongs to.
    pub epoch: u32,
    /// Who sent it: Unix user id; `u32::MAX` = the system itself.
    pub uid: u32,
    /// Lower half of the kill word that caused it (`Kill` made by the loop), or that it met (`Resume`), else 0.
    pub kill_word: u32,
}

impl Command {
    /// Of a `Resume`: whether nobody killed after the operator looked.
    pub const fn resumes(&self) -> bool {
        self.kill_word >> 1 == self.id
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
