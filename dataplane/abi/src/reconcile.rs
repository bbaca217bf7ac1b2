//! What a restarted run found when it held the venue's log against the journal.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

crate::counter_enum! {
    /// What journal and venue's log say differently. Values are part of the journal's layout.
    pub enum Difference {
        Done = "done": "No difference but the outcome: `ours` differences that stop trading, the log read to message `theirs`.",
        Unanswered = "unanswered": "An order or replace was sent, and the venue's log neither acknowledges nor refuses it: it never arrived, or it was a replace that found nothing to replace. Either way it is over. Does not stop trading.",
        OrderMissing = "order_missing": "The venue acknowledged the order, and its log lacks it now.",
        OrderUnknown = "order_unknown": "The venue's log has an order that the journal lacks.",
        OrderDiffers = "order_differs": "Shares open, as far as the journal reaches in the venue's log: `ours` and `theirs`.",
        ExecutionMissing = "execution_missing": "The journal has the execution of `ours` shares, the venue's log lacks it.",
        ExecutionUnknown = "execution_unknown": "The venue's log has the execution of `theirs` shares at a place that the journal has read, the journal lacks it.",
        ExecutionDiffers = "execution_differs": "Shares of the execution: `ours` and `theirs`; with both equal, its price.",
        PositionDiffers = "position_differs": "Shares held, as far as the journal reaches in the venue's log: `ours` and `theirs`.",
        LogShort = "log_short": "The venue's log ends at message `theirs`, the journal has read up to `ours`.",
        JournalBehind = "journal_behind": "Records of the day are not in the journal: at least `ours` of them, or all those of order ids below `theirs`.",
        Accepted = "accepted": "An operator accepted the differences, `ours` of them: what the venue's log says counts.",
    }
}

impl Difference {
    /// Whether trading stays stopped until an operator accepts it.
    pub const fn stops(self) -> bool {
        !matches!(self, Self::Done | Self::Accepted | Self::Unanswered)
    }
}

/// One difference.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ReconcileRecord {
    /// `seq` of the input that showed it.
    pub cause_seq: u64,
    /// Match number of an execution, else 0.
    pub match_number: u64,
    /// What the journal says; by [`Difference`].
    pub ours: i64,
    /// What the venue's log says; by [`Difference`].
    pub theirs: i64,
    /// Symbol of a position, space padded, else zeros.
    pub symbol: [u8; 8],
    /// Our order id, or 0.
    pub order: u32,
    /// [`Difference`] as a number.
    pub difference: u32,
    /// Strategy id of a position, else 0.
    pub strategy: u16,
    /// Zero.
    pub reserved: [u16; 3],
}
