//! Market data: a datagram is decoded whole, its lines prefetched, its events applied, then the strategies are told.

use super::ahead::Ahead;
use super::buffers::FeedSink;
use super::{Desk, Pipeline, PipelineCounter, Turn, output};
use crate::book::{BookChange, BookError, PREFETCH_MAX, STREAMS_MAX};
use crate::feed::{Distrust, Feed, FeedState};
use crate::probe::{Isolate, Probe, Stage};
use crate::risk::HaltReason;
use crate::session::OrderSession;
use crate::strategy::{Batch, Call, StrategySet};
use crate::units::{InstrumentId, LineId, Price, Quantity, Side, StreamId, TaiNs};
use tern_abi::event::{BookEvent, flags};
use tern_abi::record::{Kind, Recorder, TrustRecord};
use zerocopy::IntoBytes;

/// A datagram of so few bytes holds the market's answers of a moment, and every miss of it is waited for: what its events
/// lead to is asked for as each is decoded. In a longer one that takes more than it gives.
const SHORT_BYTES: usize = 200;

impl<F: Feed, O: OrderSession, S: StrategySet> Pipeline<F, O, S> {
    /// One datagram of a stream.
    #[inline]
    pub(super) fn on_datagram<R: Recorder, P: Probe, I: Isolate>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        isolate: &mut I,
        stream: StreamId,
        line: LineId,
        backlog: u32,
        payload: &[u8],
    ) {
        self.desk.count(PipelineCounter::Datagrams, 1);
        self.events.clear();
        let is_short = payload.len() <= SHORT_BYTES;
        let desk = &mut self.desk;
        let actors = desk.actors();
        let ahead = is_short.then_some(Ahead::new((&desk.gate, &desk.orders, &desk.portfolio), actors));
        let (instruments, books) = (&mut desk.instruments, &mut desk.books);
        let mut sink = FeedSink { events: &mut self.events, instruments, books, stream, ahead };
        let state = self.feed.on_payload(turn.now, stream, line, payload, &mut sink);
        turn.probe.mark(Stage::Decoded);
        self.desk.gate.heed_instruments(&self.desk.instruments);
        self.apply_events(turn, Some(stream), is_short);
        // Before any strategy is asked: it must not act on books that this very datagram made worthless.
        self.desk.follow_feed(turn, stream, state);
        self.mark_positions(turn);
        turn.probe.mark(Stage::Book);
        self.tell_strategies(turn, isolate, backlog);
    }

    /// Events of a feed in another process. They say nothing of trust, so it stays as it is.
    pub(super) fn on_events<R: Recorder, P: Probe, I: Isolate>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        isolate: &mut I,
        events: &[BookEvent],
    ) {
        self.events.clear();
        for event in events {
            self.events.note_listing(event);
            self.events.push(*event);
        }
        self.apply_events(turn, None, false);
        self.mark_positions(turn);
        turn.probe.mark(Stage::Book);
        self.tell_strategies(turn, isolate, 0);
    }

    /// Applies the decoded events and notes what changed. What they lead to was asked for as they were decoded, or is now.
    #[inline]
    fn apply_events<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        stream: Option<StreamId>,
        was_asked: bool,
    ) {
        self.changes.clear();
        if self.desk.can_trade() {
            self.desk.orders.prefetch_next(self.desk.ids.next());
        }
        let has_listings = self.events.take_listings();
        let events = self.events.as_slice();
        for group in events.chunks(PREFETCH_MAX) {
            if was_asked {
                self.desk.books.prefetch_led_to(group);
            } else {
                self.desk.ask_ahead(group);
                self.desk.books.prefetch(group);
            }
            // While the books waited for their lines, those that lead to the orders have come.
            self.desk.ask_for_orders(group);
            for event in group {
                if has_listings && event.flags & flags::LISTING != 0 {
                    self.desk.gate.heed_listing(turn.now, event);
                }
                match self.desk.books.apply(event) {
                    Ok(change) => {
                        self.desk.looked_at = change.instrument;
                        if let Some((price, shares)) = change.traded {
                            self.desk.printed(turn.now, event, &change, (price, shares));
                        }
                        self.changes.push(change);
                    }
                    Err(error) => self.desk.event_failed(event, stream, error),
                }
            }
        }
        self.desk.count(PipelineCounter::Events, events.len() as u64);
        let overflowed = core::mem::take(&mut self.events.overflowed);
        if overflowed > 0 {
            self.desk.count(PipelineCounter::EventOverflow, overflowed);
            self.desk.halt(turn, HaltReason::EventOverflow);
        }
    }

    /// What is held in the instruments that changed is worth something else now.
    #[inline]
    fn mark_positions<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) {
        for change in self.changes.as_slice() {
            if (change.top_changed || change.traded.is_some()) && self.desk.gate.is_held(change.instrument) {
                let price = self.desk.mark_of(change.instrument);
                self.desk.mark(turn, change.instrument, price);
            }
        }
    }

    /// Tells every strategy of every change, then that the batch ended.
    #[inline]
    fn tell_strategies<R: Recorder, P: Probe, I: Isolate>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        isolate: &mut I,
        backlog: u32,
    ) {
        let age_ns = turn.cause.map_or(0, |arrival| turn.now.since(arrival));
        for index in 0..self.strategies.count() {
            self.call_strategy_with_changes(turn, isolate, index, age_ns);
            self.call_strategy(turn, isolate, index, Call::BatchEnd(Batch { age_ns, backlog }), age_ns);
        }
    }
}

impl Desk {
    /// Shares traded in the market. What others trade moves the reference and counts as volume; what we trade does not.
    #[inline]
    fn printed(&mut self, now: TaiNs, event: &BookEvent, change: &BookChange, (price, shares): (Price, Quantity)) {
        let instrument = change.instrument;
        let side = change.side.unwrap_or(Side::Buy);
        // An order may trade at another price than its own; then only the match number tells.
        let (may_be_open, may_be_recent) = self.gate.may_be_own(now, instrument, side, price);
        let is_own = (may_be_open && self.is_own_order(instrument, event.order))
            || (may_be_recent && self.executions.is_recent(event.other));
        if !is_own {
            self.gate.printed(now, instrument, price, shares);
        }
    }

    #[cold]
    fn is_own_order(&self, instrument: InstrumentId, reference: u64) -> bool {
        reference != 0 && self.orders.in_instrument(instrument).any(|order| order.venue_order == reference)
    }

    /// An event did not fit: the book it belongs to is not the venue's any more, nor that of the order it names.
    #[cold]
    fn event_failed(&mut self, event: &BookEvent, stream: Option<StreamId>, error: BookError) {
        self.count(PipelineCounter::EventErrors, 1);
        let why = error.distrust();
        let named = self.books.order(event.order).filter(|_| error == BookError::OtherInstrument);
        if let Some(order) = named {
            self.distrust(order.instrument, why);
        }
        if InstrumentId(event.instrument).index() < self.books.instrument_capacity() {
            self.distrust(InstrumentId(event.instrument), why);
        } else if stream.is_some() {
            // No instrument: it may have been any.
            for index in 0..self.instruments.len() as u32 {
                self.books.set_distrust(InstrumentId(index), Some(why));
            }
            self.pull();
        }
    }

    fn distrust(&mut self, instrument: InstrumentId, why: Distrust) {
        let was_trusted = self.books.is_trusted(instrument);
        self.books.set_distrust(instrument, Some(why));
        if was_trusted && self.config.pull_on_distrust {
            self.want_cancels(|_, order| order.instrument == instrument);
        }
    }

    /// Takes over what the feed says of the stream.
    #[inline]
    fn follow_feed<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, stream: StreamId, state: FeedState) {
        if let Some(heard) = self.heard.get_mut(stream.index()) {
            *heard = turn.now;
        }
        let reason = match state {
            FeedState::InSequence => None,
            FeedState::Untrusted { reason, .. } => Some(reason),
        };
        if self.books.stream_distrust(stream) != reason {
            self.trust_changed(turn, stream, state, reason);
        }
    }

    #[cold]
    fn trust_changed<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        stream: StreamId,
        state: FeedState,
        reason: Option<Distrust>,
    ) {
        let was_trusted = self.books.stream_distrust(stream).is_none();
        self.books.set_stream_distrust(stream, reason);
        let (expected_seq, seen_seq) = match state {
            FeedState::InSequence => (0, 0),
            FeedState::Untrusted { expected, seen, .. } => (expected, seen),
        };
        let record = TrustRecord {
            expected_seq,
            seen_seq,
            stream: stream.0,
            trusted: u16::from(reason.is_none()),
            reason: reason.map_or(0, |reason| reason as u32),
        };
        output(turn, self, Kind::Trust, record.as_bytes());
        if reason.is_none() {
            self.count(PipelineCounter::TrustGained, 1);
            if self.config.feed_silence_ns_max != 0 {
                self.silence_due = self.silence_due.min(turn.now.plus(self.config.feed_silence_ns_max));
            }
        } else if was_trusted {
            self.count(PipelineCounter::TrustLost, 1);
            self.pull();
        }
    }

    /// Takes trust from streams that have been silent for too long, and finds out when to look again. The due time is
    /// only a lower bound, so that a datagram costs one store.
    pub(super) fn watch_silence<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) {
        if turn.now < self.silence_due {
            return;
        }
        self.silence_due = TaiNs::NEVER;
        for stream in (0..STREAMS_MAX as u16).map(StreamId) {
            if self.books.stream_distrust(stream).is_some() {
                continue;
            }
            let due = self.heard[stream.index()].plus(self.config.feed_silence_ns_max);
            if turn.now < due {
                self.silence_due = self.silence_due.min(due);
            } else {
                let state = FeedState::Untrusted { reason: Distrust::Silent, expected: 0, seen: 0 };
                self.trust_changed(turn, stream, state, Some(Distrust::Silent));
            }
        }
    }

    /// Wants every order cancelled whose book is not trusted.
    fn pull(&mut self) {
        if self.config.pull_on_distrust {
            self.want_cancels(|desk, order| !desk.books.is_trusted(order.instrument));
        }
    }
}
