//! Messages that the venue does not answer (adr/0017). They count as live all the time; nothing is assumed of them.

use super::{Desk, Pipeline, PipelineCounter, Turn};
use crate::feed::Feed;
use crate::orders::{LATE_MAX, OrderNote, Slot};
use crate::probe::{Isolate, Probe};
use crate::risk::HaltReason;
use crate::session::{OrderSession, VenueEvent, VenueEventKind};
use crate::strategy::{Call, OrderEvent, StrategySet};
use crate::units::TaiNs;
use tern_abi::record::Recorder;

impl<F: Feed, O: OrderSession, S: StrategySet> Pipeline<F, O, S> {
    /// Looks which answers are overdue. Asked at the timer alone: by then everything is read that the venue has said,
    /// also after a pause of the process.
    #[cold]
    pub(super) fn watch_answers<R: Recorder, P: Probe, I: Isolate>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        isolate: &mut I,
    ) {
        self.desk.answers_due = TaiNs::NEVER;
        let mut is_given_up = false;
        let mut at = self.desk.orders.first_open();
        while let Some(slot) = at {
            at = self.desk.orders.next_open(slot);
            let Some((owner, told)) = self.desk.answer_overdue(turn, slot) else { continue };
            is_given_up |= self.desk.orders.get(slot).is_some_and(|order| order.late >= LATE_MAX);
            if owner < self.strategies.count() {
                self.call_strategy(turn, isolate, owner, Call::Order(&told), 0);
            }
        }
        // Behind the walk: what is taken back changes the list.
        if is_given_up {
            self.desk.recall(turn);
            self.desk.halt(turn, HaltReason::NoAnswer);
            self.desk.want_cancels(|_, _| true);
        }
    }
}

impl Desk {
    /// Orders of which an answer of the venue is late. They count as open.
    pub fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// If something of the order is on its way that the venue has to answer: it has so long from now on, unless the order
    /// waits for an older answer.
    #[inline]
    pub(super) fn expect_answer(&mut self, slot: Slot, now: TaiNs) {
        if self.config.ack_timeout_ns == 0 {
            return;
        }
        if let Some(order) = self.orders.get_mut(slot).filter(|order| order.awaits_answer()) {
            order.answer_expected(now.plus(self.config.ack_timeout_ns));
            self.answers_due = self.answers_due.min(order.answer_due);
        }
    }

    /// The venue said something of the order: what of that is an answer.
    pub(super) fn answered(&mut self, now: TaiNs, kind: VenueEventKind, slot: Option<Slot>) {
        let Some(order) = slot.and_then(|slot| self.orders.get_mut(slot)) else { return };
        if order.answer_due.0 | u64::from(order.late) == 0 || !is_answer(kind) {
            return;
        }
        // Behind an answer stands what was sent after it: the venue works through our messages in order.
        let due = now.plus(self.config.ack_timeout_ns);
        self.unanswered = self.unanswered.saturating_sub(order.answered(due).into());
        if order.answer_due.0 != 0 {
            self.answers_due = self.answers_due.min(order.answer_due);
        }
    }

    /// Whether an answer to the order is overdue: then it is counted and recorded, and its strategy is to be told.
    fn answer_overdue<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        slot: Slot,
    ) -> Option<(usize, OrderEvent)> {
        let order = self.orders.get_mut(slot).filter(|order| order.answer_due.0 != 0)?;
        if order.answer_due <= turn.now {
            self.unanswered += u32::from(order.late == 0);
            order.answer_is_late(turn.now.plus(self.config.ack_timeout_ns));
            let (id, price, late, owner) = (order.id, order.price, order.late, order.owner);
            self.sweep_due |= order.needs_cancel();
            if order.answer_due.0 != 0 {
                self.answers_due = self.answers_due.min(order.answer_due);
            }
            self.count(PipelineCounter::AnswersLate, 1);
            let kind = VenueEventKind::Unanswered;
            let event = VenueEvent { order: id, previous: id, price, reason: late, ..VenueEvent::new(kind) };
            let told = self.record_order_event(turn, &event, Some(slot), OrderNote::Applied)?;
            return Some((usize::from(owner), told));
        }
        self.answers_due = self.answers_due.min(order.answer_due);
        None
    }
}

/// Whether a word of the venue may be the answer to a message of ours. Executions are none: they come by themselves.
const fn is_answer(kind: VenueEventKind) -> bool {
    matches!(
        kind,
        VenueEventKind::Accepted
            | VenueEventKind::Replaced
            | VenueEventKind::Canceled
            | VenueEventKind::Rejected
            | VenueEventKind::ReplaceRejected
            | VenueEventKind::CancelPending
            | VenueEventKind::CancelRejected
    )
}
