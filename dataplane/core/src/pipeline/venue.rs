//! What the venue says: session bytes to order events, positions, and the strategies.

use super::buffers::SESSION_CHUNK_BYTES;
use super::{Desk, Pipeline, PipelineCounter, Turn, UnknownOrders};
use crate::feed::Feed;
use crate::orders::{Execution, Identity, OrderNote, OrderState, Slot};
use crate::portfolio::Position;
use crate::probe::{Isolate, Probe};
use crate::risk::HaltReason;
use crate::session::{OrderSession, VenueEvent, VenueEventKind};
use crate::strategy::{Call, OrderEvent, StrategySet};
use crate::units::{InstrumentId, Price};
use tern_abi::record::Recorder;

impl<F: Feed, O: OrderSession, S: StrategySet> Pipeline<F, O, S> {
    /// Bytes of the order connection. Given to the session in pieces, so that what it says of each fits the buffer.
    pub(super) fn on_bytes<R: Recorder, P: Probe, I: Isolate>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        isolate: &mut I,
        bytes: &[u8],
    ) {
        for chunk in bytes.chunks(SESSION_CHUNK_BYTES) {
            self.venue_events.clear();
            self.session.on_bytes(turn.now, chunk, &mut self.venue_events, &mut self.control);
            self.desk.session_ready = self.session.is_ready();
            let overflowed = core::mem::take(&mut self.venue_events.overflowed);
            if overflowed > 0 {
                self.desk.count(PipelineCounter::EventOverflow, overflowed);
                self.desk.halt(turn, HaltReason::EventOverflow);
            }
            let mut next = 0;
            while let Some(event) = self.venue_events.as_slice().get(next).copied() {
                next += 1;
                self.on_venue_event(turn, isolate, &event);
            }
        }
    }

    fn on_venue_event<R: Recorder, P: Probe, I: Isolate>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        isolate: &mut I,
        event: &VenueEvent,
    ) {
        use VenueEventKind as Event;
        self.desk.count(PipelineCounter::VenueEvents, 1);
        if !self.desk.is_next(event.session_seq) {
            return;
        }
        if self.desk.is_reconciling() {
            self.desk.reconcile_event(turn, event);
        }
        match event.kind {
            Event::LoggedIn if !event.live => self.desk.log_changed(turn),
            Event::SystemEvent | Event::LoggedIn | Event::LoginRejected | Event::EndOfSession | Event::Unanswered => {}
            Event::NextOrderId => self.desk.ids.at_least(event.order),
            Event::CaughtUp => self.desk.caught_up(turn),
            Event::Accepted
            | Event::Replaced
            | Event::Canceled
            | Event::Executed
            | Event::Broken
            | Event::Rejected
            | Event::CancelPending
            | Event::CancelRejected
            | Event::Modified
            | Event::Restated
            | Event::PriorityUpdated
            | Event::ReplaceRejected => {
                if let Some((owner, told)) = self.desk.on_order_event(turn, event)
                    && owner < self.strategies.count()
                {
                    self.call_strategy(turn, isolate, owner, Call::Order(&told), 0);
                }
            }
        }
    }
}

impl Desk {
    /// Whether an event with this sequence number is new. Each sequenced message gives one event.
    fn is_next(&mut self, session_seq: u64) -> bool {
        if session_seq == 0 {
            return true;
        }
        if session_seq <= self.last_session_seq {
            self.count(PipelineCounter::VenueDuplicates, 1);
            return false;
        }
        self.last_session_seq = session_seq;
        true
    }

    /// The venue's log is another one from here on. Its numbers begin again; what the old one said last is unknown, so
    /// an operator has to look before trading goes on.
    #[cold]
    fn log_changed<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) {
        if core::mem::take(&mut self.last_session_seq) == 0 {
            return;
        }
        self.halt(turn, HaltReason::LogChanged);
        self.orders.log_changed();
        self.executions.log_changed();
    }

    /// The venue's log has been replayed: what it does not know of never arrived.
    fn caught_up<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) {
        let mut at = self.orders.first_open();
        while let Some(slot) = at {
            at = self.orders.next_open(slot);
            if !self.orders.resolve_doubt(slot) {
                self.settle(slot);
                self.expect_answer(slot, turn.now);
                continue;
            }
            let lost = self.orders.get(slot).is_some_and(|order| order.state() == OrderState::Lost);
            self.count(PipelineCounter::OrdersLost, u64::from(lost));
            self.settle(slot);
            self.record_local_end(turn, slot);
        }
        // A run that knows nothing of earlier ones learns from the ids how many orders and replaces the day had.
        self.gate.messages_at_least(self.ids.next().saturating_sub(1));
        self.caught_up = true;
        self.sweep_due = true;
        // A loss that the log or the opening positions brought is no matter of the next price.
        self.heed_losses(turn);
    }

    /// An event of an order: table, exposure, position, records. Whom to tell, and what.
    fn on_order_event<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        event: &VenueEvent,
    ) -> Option<(usize, OrderEvent)> {
        if let Some(counter) = counter_of(event.kind) {
            self.count(counter, 1);
        }
        self.ids.used(event.order);
        self.ids.used(event.previous);
        let identity = self.identity(event);
        let is_of_a_part = self.orders.find(event.order).is_some_and(|order| order.reduce_to != 0);
        let applied = self.orders.apply(event, &mut self.executions, identity);
        self.count_note(applied.note);
        if event.kind == VenueEventKind::CancelRejected && !is_of_a_part {
            self.cancel_refused(turn, applied.slot);
        }
        self.answered(turn.now, event.kind, applied.slot);
        for slot in [applied.merged, applied.slot].into_iter().flatten() {
            self.settle(slot);
        }
        let told = self.record_order_event(turn, event, applied.slot, applied.note);
        if let Some(fill) = applied.fill {
            self.count(PipelineCounter::Fills, 1);
            self.count(PipelineCounter::FilledShares, u64::from(fill.quantity));
            let before = self.held(&fill);
            self.portfolio.apply(&fill);
            self.position_changed(turn, (fill.owner, fill.instrument), fill.price, &before);
            self.gate.own_traded(turn.now, fill.instrument);
            self.watch_executions(turn, fill.owner);
        }
        if let Some(broken) = applied.broken {
            self.count(PipelineCounter::Broken, 1);
            let complete = self.executions.forgotten() == 0;
            let before = self.held(&broken);
            self.portfolio.take_out(&broken, self.executions.iter(), complete);
            self.position_changed(turn, (broken.owner, broken.instrument), broken.price, &before);
        }
        match applied.note {
            OrderNote::UnknownExecution | OrderNote::UnknownBreak => self.halt(turn, HaltReason::UnknownExecution),
            OrderNote::OverAccepted => self.halt(turn, HaltReason::OverAccepted),
            OrderNote::Overfill => self.halt(turn, HaltReason::Overfill),
            OrderNote::Full => self.halt(turn, HaltReason::OrderTableFull),
            OrderNote::NotOurs if event.live => self.halt(turn, HaltReason::UnknownOrder),
            OrderNote::Duplicate | OrderNote::NotOurs => return None,
            _ => {}
        }
        let owner = applied.slot.and_then(|slot| self.orders.get(slot)).map(|order| usize::from(order.owner))?;
        told.map(|told| (owner, told))
    }

    fn held(&self, of: &Execution) -> Position {
        self.portfolio.position(usize::from(of.owner), of.instrument)
    }

    /// A trade at `price`, or the break of one, moved a position that was `before`.
    pub(super) fn position_changed<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        (owner, instrument): (u8, InstrumentId),
        price: Price,
        before: &Position,
    ) {
        let after = self.portfolio.position(usize::from(owner), instrument);
        self.gate.position_changed((owner, instrument), price, before, &after);
        self.record_position(turn, (owner, instrument));
        // Whatever the book says, what was just paid is a price.
        let price = self.mark_of(instrument).unwrap_or(price);
        self.mark(turn, instrument, Some(price));
    }

    /// The venue refused a cancel. Sent again at once it would be refused at once, for ever: it waits.
    fn cancel_refused<R: Recorder, P: Probe>(&mut self, turn: &Turn<'_, R, P>, slot: Option<Slot>) {
        let Some(order) = slot.and_then(|slot| self.orders.get_mut(slot)).filter(|order| order.state().is_open())
        else {
            return;
        };
        order.cancel_refused(turn.now);
        let (due, given_up) = (order.cancel_due, order.state() == OrderState::Unknown);
        self.cancels_due = self.cancels_due.min(due);
        self.count(PipelineCounter::CancelsGivenUp, u64::from(given_up));
    }

    /// Whose the order would be were it unknown: only what introduces an order says enough.
    fn identity(&mut self, event: &VenueEvent) -> Option<Identity> {
        if !matches!(event.kind, VenueEventKind::Accepted | VenueEventKind::Replaced)
            || self.orders.find(event.order).is_some()
            || self.orders.find(event.previous).is_some()
        {
            return None;
        }
        let owner = self.owner_of(event.strategy);
        let instrument = self.instruments.intern(event.symbol?)?;
        self.gate.heed_instruments(&self.instruments);
        Some(Identity {
            instrument,
            side: event.side?,
            owner: owner.index,
            strategy: owner.strategy,
            trader: event.trader.unwrap_or(owner.trader),
            cancel: self.config.unknown_orders == UnknownOrders::Cancel,
        })
    }
}

/// What an event of an order is counted as; executions and breaks are counted where they move a position.
const fn counter_of(kind: VenueEventKind) -> Option<PipelineCounter> {
    use VenueEventKind as Kind;
    Some(match kind {
        Kind::Accepted => PipelineCounter::VenueAccepted,
        Kind::Replaced => PipelineCounter::VenueReplaced,
        Kind::Canceled => PipelineCounter::VenueCanceled,
        Kind::Rejected | Kind::ReplaceRejected => PipelineCounter::VenueRejected,
        Kind::CancelRejected => PipelineCounter::VenueCancelRejected,
        Kind::Executed | Kind::Broken => return None,
        _ => PipelineCounter::VenueOther,
    })
}
