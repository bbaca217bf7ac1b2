//! What a person does by hand: an order, a cancel, a flatten, a position set right. Journaled as an input before it takes effect, and what came of it as an
//! output.

use crate::command::{CommandKind, SYSTEM_UID, WHY_BYTES_MAX, text_of};
use crate::counter_enum;
use crate::segment::ScopeKind;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

counter_enum! {
    /// What is wanted. Values are part of the journal's layout.
    pub enum ManualKind {
        Order = "order": "A new order of the desk.",
        Cancel = "cancel": "A cancel of any open order of the account.",
        Flatten = "flatten": "Orders of a scope are cancelled and its positions closed.",
        Adjust = "adjust": "A trade that the venue's log does not have counts in a strategy's position.",
    }
}

counter_enum! {
    /// How far it has come when the loop is told of it: but for `Do` and `Check`, it is only to be journaled. Values are part of the
    /// journal's layout.
    pub enum ManualStage {
        Do = "do": "It is to be done.",
        Check = "check": "What would come of it is to be said, and nothing done.",
        Role = "role": "Refused: whoever asked does not have the role that it needs.",
        Asked = "asked": "It waits for a second person.",
        Lapsed = "lapsed": "No second person confirmed it in time.",
        Dropped = "dropped": "The daemon ended, or was restarted, while it waited for a second person.",
    }
}

counter_enum! {
    /// What came of it. Values are part of the journal's layout.
    pub enum ManualOutcome {
        Sent = "sent": "The order, or one of the flatten's, was approved and recorded.",
        Refused = "refused": "The gate refused it, for the reason that is given with its bound.",
        Passes = "passes": "Asked what would come of it: the gate would approve it, or so many would be in the flatten.",
        NoDesk = "no_desk": "No strategy `manual` is configured that the order could belong to.",
        Malformed = "malformed": "It names what there is not: a kind, a side, a time in force, a scope.",
        Canceling = "canceling": "The cancel is sent as soon as the venue takes it.",
        Began = "began": "The flatten began: so many positions and instruments with open orders are in it.",
        Flat = "flat": "The flatten is over: nothing is held or open in its scope.",
        Left = "left": "The flatten ended before all was closed: its time is over, trading stopped, or one of the firm took its place; so many are left, the last refusal is given.",
        Busy = "busy": "Another flatten runs; wait for its end, or flatten all.",
        TooMany = "too_many": "More positions than a flatten takes at once; flatten in parts.",
        Expired = "expired": "The loop took it so long after it was asked for that whoever asked may have asked again: nothing was done.",
        Adjusted = "adjusted": "The trade is recorded and counts: so many shares are held now.",
        Unread = "unread": "The venue's log has not been read and compared yet: positions are not known.",
    }
}

/// A wish of a person, as it lies in the command ring (there in several slots) and in the journal.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ManualCommand {
    /// [`CommandKind::Manual`] as a number.
    pub kind: u32,
    /// A [`ManualKind`].
    pub what: u32,
    /// Names the wish, so that what came of it is found; never 0.
    pub request: u64,
    /// When the daemon handed it to the loop, TAI ns; 0 = it counts whenever it is taken.
    pub handed_ns: u64,
    /// Limit price of an order, price of an adjustment's trade, 1/10000.
    pub price: i64,
    /// Of a flatten: the scope's key. Of an adjustment: the strategy's id.
    pub key: u64,
    /// Of an order or an adjustment: symbol, space padded.
    pub symbol: [u8; 8],
    /// Shares of an order or an adjustment.
    pub quantity: u32,
    /// Of a cancel: which order, by any id that it has.
    pub order: u32,
    /// Of a flatten: a [`ScopeKind`].
    pub scope: u32,
    /// Of a flatten: for how long it tries, ms.
    pub within_ms: u32,
    /// Who asked: Unix user id.
    pub uid: u32,
    /// Who confirmed it; [`SYSTEM_UID`] = nobody had to.
    pub second_uid: u32,
    /// A [`ManualStage`].
    pub stage: u32,
    /// Of an order or an adjustment: [`crate::event::SIDE_BUY`] or [`crate::event::SIDE_SELL`].
    pub side: u8,
    /// Of an order: time in force, as in [`crate::record::OrderRecord`].
    pub time_in_force: u8,
    /// Of an order: 1 = only if it does not trade at once.
    pub post_only: u8,
    /// Zero.
    pub reserved: u8,
    /// Why, UTF-8, zero padded.
    pub why: [u8; WHY_BYTES_MAX],
}

impl ManualCommand {
    /// A wish of `uid` with nothing in it yet; what is too long of `why` is left out.
    pub fn new(what: ManualKind, request: u64, uid: u32, why: &str) -> Self {
        let mut command = Self {
            kind: CommandKind::Manual as u32,
            what: what as u32,
            request,
            handed_ns: 0,
            price: 0,
            key: 0,
            symbol: [b' '; 8],
            quantity: 0,
            order: 0,
            scope: 0,
            within_ms: 0,
            uid,
            second_uid: SYSTEM_UID,
            stage: ManualStage::Do as u32,
            side: 0,
            time_in_force: 0,
            post_only: 0,
            reserved: 0,
            why: [0; WHY_BYTES_MAX],
        };
        let end = (0..=why.len().min(WHY_BYTES_MAX)).rev().find(|end| why.is_char_boundary(*end)).unwrap_or(0);
        command.why[..end].copy_from_slice(&why.as_bytes()[..end]);
        command
    }

    /// What is wanted, if it is known.
    pub fn what(&self) -> Option<ManualKind> {
        ManualKind::from_index(self.what as usize)
    }

    /// Whether it waited for so long before the loop took it that it is not done: whoever asked was told that nobody took it, and
    /// may have asked again. Longer than the daemon waits for the loop.
    pub const fn is_too_old(&self, now_ns: u64) -> bool {
        const TOO_OLD_NS: u64 = 5_000_000_000;
        self.handed_ns != 0 && now_ns > self.handed_ns.saturating_add(TOO_OLD_NS)
    }

    /// How far it has come, if that is known.
    pub fn stage(&self) -> Option<ManualStage> {
        ManualStage::from_index(self.stage as usize)
    }

    /// Of a flatten: its scope.
    pub fn scope(&self) -> Option<(ScopeKind, u64)> {
        Some((ScopeKind::from_index(self.scope as usize)?, self.key))
    }

    /// Why, as text.
    pub fn why(&self) -> &str {
        text_of(&self.why)
    }
}

/// What came of a [`ManualCommand`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ManualRecord {
    /// `seq` of the input that led to it.
    pub cause_seq: u64,
    /// The command's.
    pub request: u64,
    /// The bound that was broken, in the unit of the reason; 0 where there is none.
    pub limit: i64,
    /// What it would have become; of an adjustment, the shares held with it.
    pub value: i64,
    /// Our order id, or 0.
    pub order: u32,
    /// A [`ManualOutcome`].
    pub outcome: u32,
    /// Index of the refusal reason (`tern_core::risk::Reason`) + 1, of what was refused; 0 = none.
    pub reason: u32,
    /// Of a flatten: positions and instruments in it, or left.
    pub count: u32,
}

/// A trade that no log of the venue has, and that counts in a position because a person says so: one that was made or broken by
/// phone, or shares that another strategy hands over.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct AdjustmentRecord {
    /// `seq` of the input that led to it.
    pub cause_seq: u64,
    /// The command's.
    pub request: u64,
    /// Price of a share, 1/10000.
    pub price: i64,
    /// Executions of the day that came before it: a run that hears the venue's log again counts it at the same place.
    pub after_executions: u64,
    /// Symbol, space padded.
    pub symbol: [u8; 8],
    /// Shares.
    pub quantity: u32,
    /// Account id.
    pub account: u16,
    /// Strategy id.
    pub strategy: u16,
    /// [`crate::event::SIDE_BUY`] or [`crate::event::SIDE_SELL`].
    pub side: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_says_why_and_what_is_too_long_is_cut_between_characters() {
        let command = ManualCommand::new(ManualKind::Flatten, 7, 1000, "venue is down");
        assert_eq!((command.what(), command.stage()), (Some(ManualKind::Flatten), Some(ManualStage::Do)));
        assert_eq!((command.why(), command.uid, command.second_uid), ("venue is down", 1000, SYSTEM_UID));
        let long = "a".repeat(WHY_BYTES_MAX - 1) + "é";
        assert_eq!(ManualCommand::new(ManualKind::Order, 1, 0, &long).why().len(), WHY_BYTES_MAX - 1);
        let odd = ManualCommand { what: 99, stage: 99, scope: 99, ..command };
        assert_eq!((odd.what(), odd.stage(), odd.scope()), (None, None, None));
    }
}
