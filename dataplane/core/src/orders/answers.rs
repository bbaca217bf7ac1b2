//! Which messages of an order the venue has still to answer, and until when (OUCH 5.0, sections 2 and 3).
//!
//! An enter is answered by an acceptance or a reject, a replace by a replacement, a reject or the end of the order, a cancel
//! by canceled shares, a reject, or the word that it has to wait. What the venue ignores without a word (a replace or a
//! cancel of what is over) is about an order whose end was said before, so nothing waits for it.

use super::{Life, Order};
use crate::units::TaiNs;

/// Deadlines that pass without an answer before it is given up.
pub(crate) const LATE_MAX: u8 = 2;

impl Order {
    /// Whether a message is on its way that the venue has to answer.
    #[inline]
    pub(crate) const fn awaits_answer(&self) -> bool {
        match self.life {
            Life::Dead(_) => false,
            Life::New => true,
            // Said to be canceled after the cross, it waits for the cross, which has no deadline.
            Life::Live => self.pending.0 != 0 || self.reduce_to != 0 || (self.cancel_sent.0 != 0 && !self.cancel_waits),
        }
    }

    /// A message was sent that is to be answered by `due`, unless an older one is waited for already.
    #[inline]
    pub(crate) const fn answer_expected(&mut self, due: TaiNs) {
        if self.answer_due.0 == 0 {
            self.answer_due = due;
        }
    }

    /// The venue answered. What else is on its way is to be answered by `due`. Whether it had been late.
    pub(crate) const fn answered(&mut self, due: TaiNs) -> bool {
        let was_late = self.late != 0;
        self.late = 0;
        self.answer_due = if self.awaits_answer() { due } else { TaiNs(0) };
        was_late
    }

    /// A deadline passed without an answer. At the first one a cancel is wanted, and sent once more if it was sent before;
    /// then the answer is given up at `due`.
    pub(crate) fn answer_is_late(&mut self, due: TaiNs) {
        self.late = self.late.saturating_add(1);
        if self.late >= LATE_MAX {
            self.answer_due = TaiNs(0);
            return;
        }
        self.answer_due = due;
        self.cancel_wanted = true;
        self.forget_cancel_sent();
    }

    /// A cancel that was sent does not count as sent any more: if one is wanted, it is sent again.
    pub(crate) const fn forget_cancel_sent(&mut self) {
        if !self.cancel_waits {
            self.cancel_sent.0 = 0;
        }
    }

    /// Whether the venue has let a deadline pass without answering the order, its replace or its cancel.
    #[inline]
    pub const fn is_late(&self) -> bool {
        self.late != 0
    }
}
