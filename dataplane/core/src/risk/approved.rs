//! The proof that the gate said yes.

use crate::session::OrderView;

/// An order message that passed the gate.
///
/// Only the gate makes one, nothing copies it, and the [outbox](crate::outbox) consumes it to write the bytes: each
/// approval leaves at most once.
#[derive(Debug)]
#[must_use = "an approved order that goes nowhere was counted for nothing"]
pub struct Approved {
    view: OrderView,
}

impl Approved {
    /// For the gate alone.
    pub(in crate::risk) const fn new(view: OrderView) -> Self {
        Self { view }
    }

    /// What was approved.
    #[inline]
    pub const fn view(&self) -> &OrderView {
        &self.view
    }

    /// For the outbox alone: the approval is used up.
    #[inline]
    pub(crate) const fn consume(self) -> OrderView {
        self.view
    }
}
