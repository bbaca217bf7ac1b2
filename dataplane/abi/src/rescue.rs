//! What the daemon did at the venue in the place of a data plane that is gone: cancel what is open, and nothing else.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

crate::counter_enum! {
    /// A step of a rescue. Values are part of the journal's layout.
    pub enum RescueStep {
        Begun = "begun": "A rescue began; `value` orders were open as the data plane said last.",
        Sent = "sent": "These bytes left; `order` is the order that they cancel, or 0.",
        LoggedIn = "logged_in": "The venue let us in; its log is told from message `value` on.",
        LogRead = "log_read": "The venue's log was read up to message `value`; `count` orders are open in it.",
        Cancelled = "cancelled": "The venue cancelled the order; `value` shares are still open.",
        Executed = "executed": "`value` shares of the order traded after the log was read.",
        Open = "open": "The venue has not cancelled the order: `value` shares are still open.",
        Done = "done": "All that was open is over, but for `count` orders; `value` is how long it took, ns.",
        Failed = "failed": "It was not possible; the text says why. `count` orders are known to be open.",
    }
}

/// A step of a rescue; in the journal, the bytes that left or a text stand behind it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RescueRecord {
    /// By [`RescueStep`].
    pub value: u64,
    /// Our order id, or 0.
    pub order: u32,
    /// By [`RescueStep`].
    pub count: u32,
    /// [`RescueStep`] as a number.
    pub step: u32,
    /// Account id.
    pub account: u16,
    /// Zero.
    pub reserved: u16,
}

impl RescueRecord {
    /// A step of the rescue of `account`, with nothing else said.
    pub const fn new(step: RescueStep, account: u16) -> Self {
        Self { value: 0, order: 0, count: 0, step: step as u32, account, reserved: 0 }
    }
}
