//! The pipeline: one input in, records and order bytes out.
//!
//! ```text
//! datagram -> feed -> books ----> strategies -> intents -> gate -> recorded -> outbox -> TCP
//! session bytes -> orders, positions --^                    \--> refusals
//! ```
//! [`Pipeline::on_input`] first records the input, then acts on it, and records what comes of it; an order is recorded
//! before its bytes exist. Nothing but inputs changes anything, so the recorded inputs of a day give the same orders
//! again. Everything that is not feed, session or strategy is on the [`Desk`].

mod adjust;
mod ahead;
mod answers;
mod buffers;
mod config;
mod control;
mod counters;
mod daemon;
mod desk;
mod flatten;
mod hash;
mod limits;
mod manual;
mod market;
mod recovery;
mod strategies;
mod trading;
mod trust;
mod venue;

#[cfg(test)]
mod tests;

pub use adjust::ADJUSTMENTS_MAX;
pub use config::{
    AfterRestart, Config, ConfigError, HOUSE, STRATEGIES_MAX, SYMBOL_LIMITS_MAX, StrategyConfig, UnknownOrders,
};
pub use counters::PipelineCounter;
pub use desk::Desk;
pub use strategies::Crash;

use crate::book::{BookChange, Books, Heap, Instruments, Memory};
use crate::feed::Feed;
use crate::input::{ConnEvent, Input};
use crate::outbox::{Carrier, WindowClosed};
use crate::probe::{Isolate, NoProbe, Probe};
use crate::replay::{NotAnInput, read_input};
use crate::risk::Reason;
use crate::session::{Control, DropReason, OrderSession, VenueEvent};
use crate::strategy::{Intent, Intents, StrategySet};
use crate::units::{ConnId, InstrumentId, TaiNs};
use buffers::{BLANK_EVENT, BLANK_VENUE_EVENT, Buffer, EVENTS_MAX, VENUE_EVENTS_MAX};
use tern_abi::event::BookEvent;
use tern_abi::record::{Kind, Recorder, RingFull};

/// The trading pipeline of one venue account.
#[derive(Debug)]
pub struct Pipeline<F, O, S> {
    feed: F,
    session: O,
    strategies: S,
    desk: Desk,
    control: Control,
    events: Buffer<BookEvent>,
    changes: Buffer<BookChange>,
    venue_events: Buffer<VenueEvent>,
    intents: Intents,
    /// When each strategy wants a timer, as it said after its last call; `None`: none was asked yet.
    deadlines: Option<[TaiNs; STRATEGIES_MAX]>,
    /// The last input was [`ConnEvent::Unsent`]: what it left in the outbox is known.
    unsent_known: bool,
    /// A replay says when the ring has room; it is not asked.
    ring_told: bool,
}

/// One call of [`Pipeline::on_input`].
pub(crate) struct Turn<'a, R, P> {
    pub(crate) now: TaiNs,
    /// `seq` of the input's record.
    pub(crate) cause_seq: u64,
    /// Arrival of the datagram, if the input is one.
    pub(crate) cause: Option<TaiNs>,
    pub(crate) rec: &'a mut R,
    pub(crate) probe: &'a mut P,
}

impl<F: Feed, O: OrderSession, S: StrategySet> Pipeline<F, O, S> {
    /// A pipeline with its tables on the heap; see [`with_memory`](Self::with_memory).
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(
        config: Config,
        strategy_configs: &[StrategyConfig],
        parts: (F, O, S),
        instruments: Instruments,
        books: Books,
    ) -> Result<Self, ConfigError> {
        Self::with_memory(config, strategy_configs, parts, instruments, books, &mut Heap)
    }

    /// A pipeline with its hot tables in `memory`. `strategy_configs` are in the order of the strategies. Everything is
    /// allocated here, nothing later.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn with_memory(
        config: Config,
        strategy_configs: &[StrategyConfig],
        (feed, session, strategies): (F, O, S),
        instruments: Instruments,
        books: Books,
        memory: &mut impl Memory,
    ) -> Result<Self, ConfigError> {
        if strategies.count() != strategy_configs.len() {
            return Err(ConfigError::Strategies {
                strategies: strategies.count(),
                configurations: strategy_configs.len(),
            });
        }
        let blank = BookChange { instrument: InstrumentId::NONE, side: None, top_changed: false, traded: None };
        Ok(Self {
            desk: Desk::new(config, strategy_configs, instruments, books, memory)?,
            feed,
            session,
            strategies,
            control: Control::new(O::is_order_packet),
            events: Buffer::new(EVENTS_MAX, BLANK_EVENT),
            changes: Buffer::new(EVENTS_MAX, blank),
            venue_events: Buffer::new(VENUE_EVENTS_MAX, BLANK_VENUE_EVENT),
            intents: Intents::default(),
            deadlines: None,
            unsent_known: false,
            ring_told: false,
        })
    }

    /// Records one input and acts on it.
    ///
    /// `now` never goes back. After it, take over what waits ([`hand_over_control`](Self::hand_over_control),
    /// [`hand_over_order`](Self::hand_over_order)), close the connection if [`take_drop`](Self::take_drop) says so, and
    /// come back with [`Input::Timer`] at [`next_deadline`](Self::next_deadline).
    ///
    /// # Errors
    /// The input could not be recorded: trading is halted, and but for a kill nothing else was done. Offer it again.
    pub fn on_input<R: Recorder, P: Probe, I: Isolate>(
        &mut self,
        now: TaiNs,
        input: Input<'_>,
        rec: &mut R,
        probe: &mut P,
        isolate: &mut I,
    ) -> Result<(), RingFull> {
        if self.desk.loss_untold {
            self.tell_loss(now, rec, probe);
        }
        self.note_surroundings(now, &input, rec);
        let cause_seq = rec.next_seq();
        let recorded = crate::replay::record_input(rec, now, &input);
        let mut turn = Turn { now, cause_seq, cause: None, rec, probe };
        let turn = &mut turn;
        if recorded.is_err() {
            self.desk.count_refused_input(&input);
            // Told once; again only if there are cancels to be sent, which may use what the ring keeps for them.
            if !self.desk.gate.is_stopped() || (self.desk.sweep_due && self.desk.can_send(&self.session)) {
                self.tell_loss(now, turn.rec, turn.probe);
            }
            self.desk.input_lost(&mut Turn { now, cause_seq, cause: None, rec, probe }, &input);
            return Err(RingFull);
        }
        self.desk.count(PipelineCounter::Inputs, 1);
        self.desk.input_recorded(&input);
        if self.desk.lives.is_any_due() {
            // What the journal kept for them, before they are called for the first time.
            self.restart_strategies(turn, isolate);
        }
        if self.deadlines.is_none() {
            self.ask_deadlines(turn, isolate);
        }
        match input {
            Input::Datagram { stream, line, at, backlog, payload } => {
                turn.cause = Some(at.arrival);
                let marks = self.desk.trust_marks();
                self.on_datagram(turn, isolate, stream, line, backlog, payload);
                if self.desk.trust_marks() != marks {
                    self.desk.tell_distrust(turn, Some(stream), marks, self.events.as_slice());
                }
                self.heed_halts();
            }
            Input::Session { conn, bytes } if conn == self.desk.config.conn => self.on_bytes(turn, isolate, bytes),
            Input::Conn { conn, event } if conn == self.desk.config.conn => self.on_conn(turn, event),
            Input::Session { .. } | Input::Conn { .. } => self.desk.count(PipelineCounter::OtherConn, 1),
            Input::Events(events) => {
                self.desk.heed_halts(buffers::halts(events));
                let marks = self.desk.trust_marks();
                self.on_events(turn, isolate, events);
                if self.desk.trust_marks() != marks {
                    self.desk.tell_distrust(turn, None, marks, events);
                }
            }
            Input::Command(command) => {
                self.desk.on_command(turn, command);
                self.restart_strategies(turn, isolate);
            }
            Input::SetLimits(limits) => self.desk.on_set_limits(turn, limits),
            Input::Manual(wish) => self.on_manual(turn, wish),
            Input::Timer => self.on_timer(turn, isolate),
        }
        self.sweep(turn);
        self.finish(turn);
        Ok(())
    }

    /// Two things that are not inputs would change what happens: messages that the caller left in the outbox, and the
    /// recorder's room. Both are rare; when they change they are recorded as the inputs that they are.
    #[inline]
    fn note_surroundings<R: Recorder>(&mut self, now: TaiNs, input: &Input<'_>, rec: &mut R) {
        let conn = self.desk.config.conn;
        let is_unsent = matches!(input, Input::Conn { event: ConnEvent::Unsent(_), .. });
        let is_ring_room = matches!(input, Input::Conn { event: ConnEvent::RingRoom(_), .. });
        if !self.desk.outbox.is_empty() && !self.unsent_known && !is_unsent {
            let event = ConnEvent::Unsent(self.desk.outbox.len());
            // Should it not fit, neither does the input that follows, and that stops trading.
            let _ = crate::replay::record_input(rec, now, &Input::Conn { conn, event });
        }
        self.unsent_known = is_unsent || (self.unsent_known && is_ring_room);
        self.ring_told |= is_ring_room;
        let ring_room = rec.has_room_for_orders();
        if !self.ring_told && ring_room != self.desk.ring_room {
            self.desk.ring_room = ring_room;
            let event = ConnEvent::RingRoom(ring_room);
            let _ = crate::replay::record_input(rec, now, &Input::Conn { conn, event });
        }
    }

    /// Records that a record was lost, as the input that it is: from here on nothing is traded, in a replay too.
    #[cold]
    fn tell_loss<R: Recorder, P: Probe>(&mut self, now: TaiNs, rec: &mut R, probe: &mut P) {
        let input = Input::Conn { conn: self.desk.config.conn, event: ConnEvent::RecordLost };
        self.note_surroundings(now, &input, rec);
        let cause_seq = rec.next_seq();
        let is_told = crate::replay::record_input(rec, now, &input).is_ok();
        let mut turn = Turn { now, cause_seq, cause: None, rec, probe };
        self.on_conn(&mut turn, ConnEvent::RecordLost);
        self.desk.loss_untold = !is_told;
        self.sweep(&mut turn);
        self.finish(&mut turn);
    }

    /// Gives the pipeline one record of an earlier run. Before it, everything that waits goes to `wire`, but for what
    /// that run had not handed over either.
    ///
    /// # Errors
    /// The record is no input: outputs and markers are skipped by a replay.
    pub fn replay<R: Recorder, I: Isolate>(
        &mut self,
        now: TaiNs,
        kind: Kind,
        body: &[u8],
        rec: &mut R,
        isolate: &mut I,
        wire: &mut impl FnMut(&[u8]),
    ) -> Result<(), NotAnInput> {
        let recorded = read_input(now, kind, body)?;
        let input = recorded.input();
        let left = match input {
            Input::Conn { event: ConnEvent::Unsent(messages), .. } => messages,
            _ if self.unsent_known => usize::MAX,
            _ => 0,
        };
        while self.desk.outbox.len() > left
            && let Some(bytes) = self.desk.outbox.next()
        {
            wire(bytes);
            let count_bytes = bytes.len();
            self.desk.outbox.sent(count_bytes);
        }
        self.control.consume(Control::CAPACITY_BYTES);
        // A recorder of a replay that is full has counted that itself.
        let _ = self.on_input(now, input, rec, &mut NoProbe, isolate);
        Ok(())
    }

    /// When to come with [`Input::Timer`] at the latest.
    pub fn next_deadline(&self) -> TaiNs {
        if self.desk.sweep_due && self.desk.can_send(&self.session) {
            return TaiNs(0);
        }
        (0..self.strategies.count())
            .filter(|index| !self.desk.is_disabled(*index))
            .map(|index| self.deadline(index))
            .fold(self.session.next_deadline().min(self.desk.silence_due), TaiNs::min)
            .min(self.desk.cancels_due)
            .min(self.desk.answers_due)
            .min(self.desk.flatten.due())
    }

    /// Bytes of the session's housekeeping that wait; hand them to TCP before order bytes.
    #[inline]
    pub fn pending_control(&self, conn: ConnId) -> &[u8] {
        if conn == self.desk.config.conn { self.control.pending() } else { &[] }
    }

    /// Gives the housekeeping that waits to `carrier`, all or nothing; how many bytes it took.
    ///
    /// # Errors
    /// [`WindowClosed`] when it could not leave at once; it waits on.
    #[inline]
    pub fn hand_over_control(&mut self, conn: ConnId, carrier: &mut impl Carrier) -> Result<usize, WindowClosed> {
        if conn == self.desk.config.conn { self.control.hand_over(carrier) } else { Ok(0) }
    }

    /// The first `count_bytes` of [`pending_control`](Self::pending_control) are out: what a replay and tests say in
    /// place of [`hand_over_control`](Self::hand_over_control).
    pub fn consume_control(&mut self, conn: ConnId, count_bytes: usize) {
        if conn == self.desk.config.conn {
            self.control.consume(count_bytes);
        }
    }

    /// What is left of the oldest order message that waits, to look at: only
    /// [`hand_over_order`](Self::hand_over_order) gives a carrier what it takes.
    #[inline]
    pub fn next_order_bytes(&self, conn: ConnId) -> Option<&[u8]> {
        if conn == self.desk.config.conn { self.desk.outbox.next() } else { None }
    }

    /// Gives the oldest order message that waits to `carrier`; how many bytes it took. They cannot be recalled any
    /// more; a message that was not taken can.
    #[inline]
    pub fn hand_over_order(&mut self, conn: ConnId, carrier: &mut impl Carrier) -> Option<usize> {
        if conn == self.desk.config.conn { self.desk.outbox.hand_over(carrier) } else { None }
    }

    /// `count_bytes` of order bytes are out and cannot be recalled any more: what a replay and tests say in place of
    /// [`hand_over_order`](Self::hand_over_order). What is not out stays; a kill takes back the messages of which
    /// nothing is.
    #[inline]
    pub fn order_bytes_sent(&mut self, conn: ConnId, count_bytes: usize) {
        if conn == self.desk.config.conn {
            self.desk.outbox.sent(count_bytes);
        }
    }

    /// Whether, and why, the connection is to be dropped; forgets it. The drop comes back as [`ConnEvent::Down`].
    pub fn take_drop(&mut self, conn: ConnId) -> Option<DropReason> {
        if conn == self.desk.config.conn { self.control.take_drop() } else { None }
    }

    /// The next order id that would be given out.
    pub fn next_order_id(&self) -> u32 {
        self.desk.ids.next()
    }

    /// Books, orders, positions, limits, counters.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// The feed.
    pub fn feed(&self) -> &F {
        &self.feed
    }

    /// The order session.
    pub fn session(&self) -> &O {
        &self.session
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn session_mut(&mut self) -> &mut O {
        &mut self.session
    }

    /// The strategies.
    pub fn strategies(&self) -> &S {
        &self.strategies
    }

    /// Whether a shutdown is done: no order open, logged out.
    pub fn is_finished(&self) -> bool {
        self.desk.logged_out
    }

    /// What the gate would say to an intent of the strategy with index `owner` now, on market data `age_ns` old.
    /// Changes nothing: for benchmarks and for `risk check`.
    ///
    /// # Errors
    /// The reason of the refusal.
    pub fn check_intent(&self, now: TaiNs, owner: usize, age_ns: u64, intent: &Intent) -> Result<(), Reason> {
        self.desk.check(now, owner, age_ns, intent, &self.session).map_err(|refusal| refusal.reason)
    }

    /// A hash of everything that decides what happens next but the books (those have one of their own) and the inside
    /// of feed, session and strategies: equal after a replay. Walks all tables.
    pub fn state_hash(&self) -> u64 {
        self.desk.state_hash()
    }
}

/// Counts an output record that did not fit; the input that caused it is recorded, so it can be made again.
pub(crate) fn output<R: Recorder, P>(turn: &mut Turn<'_, R, P>, desk: &mut Desk, kind: Kind, body: &[u8]) {
    if turn.rec.record(turn.now.0, kind, &[body]).is_err() {
        desk.count(PipelineCounter::RecordsLost, 1);
        desk.halt(turn, crate::risk::HaltReason::RingFull);
    }
}
