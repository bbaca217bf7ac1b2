//! The real pipeline, with what it knows of orders taken out and put in, so that a search can go back to any state.

use super::venue::{Message, price_of, time_in_force};
use crate::book::Heap;
use crate::input::{ConnEvent, DownReason, Input};
use crate::orders::{Execution, Executions, Life, Order, OrderIds, OrderState, Orders};
use crate::outbox::Outbox;
use crate::pipeline::Desk;
use crate::portfolio::Portfolio;
use crate::risk::{Gate, HaltReason};
use crate::session::{VenueEvent, VenueEventKind};
use crate::strategy::Intent;
use crate::testing::{CONN, Lines, Rig, Script, Sent, config, scripted, venue_bytes};
use crate::units::{InstrumentId, OrderId, Price, Side, TaiNs};
use core::hash::{Hash, Hasher};
use core::mem::swap;
use std::vec::Vec;
use tern_abi::command::CommandKind;

/// Places in the table of orders.
const ORDERS: usize = 6;
/// Executions kept.
const EXECUTIONS: usize = 16;

/// What the pipeline knows of orders.
#[derive(Clone)]
pub(super) struct Ours {
    pub(super) orders: Orders,
    pub(super) executions: Executions,
    portfolio: Portfolio,
    pub(super) gate: Gate,
    pub(super) ids: OrderIds,
    last_session_seq: u64,
    sweep_due: bool,
    cancels_due: TaiNs,
    answers_due: TaiNs,
    /// The time: it goes back with the state.
    now: TaiNs,
    pub(super) unanswered: u32,
    outbox: Outbox,
}

impl Ours {
    /// A process that just started: the segment told it the next id, and nothing else.
    pub(super) fn new(next_id: u32) -> Self {
        let limits = crate::risk::Limits { duplicate_window_ns: 0, ..config().limits };
        let mut gate = Gate::new(limits, (&[], i64::MAX), (1, &[]), 1, &mut Heap);
        gate.printed(TaiNs(1), InstrumentId(0), Price(10_0000), 1);
        Self {
            orders: Orders::new(ORDERS, 2, 1, &mut Heap),
            executions: Executions::new(EXECUTIONS, &mut Heap),
            portfolio: Portfolio::new(2, 1, crate::fees::Fees::default(), 0, &mut Heap),
            gate,
            ids: OrderIds::starting_at(next_id),
            last_session_seq: 0,
            sweep_due: false,
            cancels_due: TaiNs::NEVER,
            answers_due: TaiNs::NEVER,
            now: TaiNs(2_000_000_000),
            unanswered: 0,
            outbox: Outbox::default(),
        }
    }

    fn exchange(&mut self, desk: &mut Desk) {
        swap(&mut self.orders, &mut desk.orders);
        swap(&mut self.executions, &mut desk.executions);
        swap(&mut self.portfolio, &mut desk.portfolio);
        swap(&mut self.gate, &mut desk.gate);
        swap(&mut self.ids, &mut desk.ids);
        swap(&mut self.last_session_seq, &mut desk.last_session_seq);
        swap(&mut self.sweep_due, &mut desk.sweep_due);
        swap(&mut self.cancels_due, &mut desk.cancels_due);
        swap(&mut self.answers_due, &mut desk.answers_due);
        swap(&mut self.unanswered, &mut desk.unanswered);
        swap(&mut self.outbox, &mut desk.outbox);
    }

    /// The orders under the ids given so far, open or dead, each once.
    pub(super) fn known(&self) -> impl Iterator<Item = &Order> {
        let ids = (1..self.ids.next()).map(OrderId);
        ids.filter_map(|id| self.orders.find(id).filter(|order| order.id == id))
    }

    /// The messages that wait for TCP, and whether it has begun with the first.
    pub(super) fn waiting(&self) -> (Vec<Message>, bool) {
        let (messages, is_begun) = self.outbox.waiting();
        (messages.map(|bytes| Message::of(&Sent::read(bytes))).collect(), is_begun)
    }

    pub(super) fn open_shares(&self, is_sell: bool) -> i64 {
        let side = if is_sell { Side::Sell } else { Side::Buy };
        self.gate.exposure(InstrumentId(0)).map_or(0, |exposure| exposure.open(side))
    }

    /// The position as the gate has it, and as the portfolio has it.
    pub(super) fn positions(&self) -> [i64; 2] {
        let shares: i64 = (0..2).map(|owner| self.portfolio.position(owner, InstrumentId(0)).shares).sum();
        [self.gate.exposure(InstrumentId(0)).map_or(0, |exposure| exposure.position()), shares]
    }

    /// Whether a part of an order may be cancelled: not after a replace of one that had traded, not after a refusal.
    pub(super) fn is_reducible(&self, id: u32) -> Result<(), ()> {
        let order = self.orders.find(OrderId(id)).ok_or(())?;
        if order.executed_before == 0 && !order.reduce_refused && !order.adopted { Ok(()) } else { Err(()) }
    }

    pub(super) fn halt(&self) -> Option<HaltReason> {
        self.gate.halt()
    }
}

/// Everything that decides what happens next, but the time.
impl Hash for Ours {
    fn hash<H: Hasher>(&self, to: &mut H) {
        self.ids.next().hash(to);
        self.halt().map(|reason| reason as u8).hash(to);
        self.sweep_due.hash(to);
        (self.positions(), self.open_shares(false), self.open_shares(true)).hash(to);
        for order in self.known() {
            (order.id, order.pending, order.cancel_sent, order.leaves, order.executed, order.pending_total).hash(to);
            (order.reduce_to, order.executed_before, order.reduce_refused).hash(to);
            (order.counted, order.owner, order.side, order.cancel_wanted, order.doubtful, order.adopted).hash(to);
            (order.old_log, order.late, order.answer_due == TaiNs(0), order.cancel_waits).hash(to);
            (order.cancels_refused, order.cancel_due == TaiNs(0), matches!(order.life, Life::New)).hash(to);
            (order.state() as u8).hash(to);
        }
        self.waiting().hash(to);
        // The order of the list decides in which order cancels leave.
        self.orders.open().for_each(|order| order.id.hash(to));
        for Execution { match_number, order, quantity, broken, old_log, .. } in self.executions.iter() {
            (match_number, order, quantity, broken, old_log).hash(to);
        }
    }
}

/// The pipeline; it is empty between two steps.
pub(super) struct Bench {
    rig: Rig<(Script,)>,
    lines: Lines,
    fresh: Ours,
}

impl Bench {
    pub(super) fn new() -> Self {
        let config = crate::pipeline::Config { orders_max: 200, ack_timeout_ns: 1_000_000_000, ..config() };
        let (rig, lines) = scripted(config, 1);
        Self { rig, lines, fresh: Ours::new(1) }
    }

    /// Why the last intents were refused.
    pub(super) fn refusals(&self) -> Vec<&'static str> {
        let records = self.rig.rec.all::<tern_abi::record::RefusalRecord>(tern_abi::record::Kind::Refusal);
        let reason = |record: &tern_abi::record::RefusalRecord| crate::risk::Reason::from_index(record.reason as usize);
        records.iter().filter_map(reason).map(|reason| reason.name()).collect()
    }

    /// Does something with a state.
    pub(super) fn with<T>(&mut self, ours: &mut Ours, act: impl FnOnce(&mut Self) -> T) -> T {
        ours.exchange(&mut self.rig.pipeline.desk);
        swap(&mut ours.now, &mut self.rig.now);
        self.rig.rec.records.clear();
        self.rig.pipeline.desk.outbox.set_room(1 << 20);
        let done = act(self);
        ours.exchange(&mut self.rig.pipeline.desk);
        swap(&mut ours.now, &mut self.rig.now);
        done
    }

    /// TCP takes everything that waits.
    pub(super) fn hand_over(&mut self) -> Vec<Message> {
        let (messages, _) = self.rig.pipeline.desk.outbox.waiting();
        let messages = messages.map(|bytes| Message::of(&Sent::read(bytes))).collect();
        self.rig.pipeline.desk.outbox.keep(0);
        messages
    }

    /// TCP takes the oldest message.
    pub(super) fn hand_over_one(&mut self) -> Vec<Message> {
        let outbox = &mut self.rig.pipeline.desk.outbox;
        let oldest = outbox.waiting().0.next().map(|bytes| Message::of(&Sent::read(bytes)));
        outbox.keep(outbox.len().saturating_sub(1));
        oldest.into_iter().collect()
    }

    /// TCP takes a part of the oldest message.
    pub(super) fn begin(&mut self) {
        self.rig.pipeline.order_bytes_sent(CONN, 10);
    }

    /// An operator stops trading, which takes back what waits and cancels the rest, and lets it go on.
    pub(super) fn kill_and_resume(&mut self) {
        self.rig.command(CommandKind::Kill);
        self.rig.command(CommandKind::Resume);
    }

    fn say(&mut self, intent: Intent) {
        self.lines.borrow_mut().push_back(intent);
        self.rig.input(Input::Timer);
    }

    pub(super) fn enter(&mut self, is_sell: bool, shares: u32, is_ioc: bool) {
        let side = if is_sell { Side::Sell } else { Side::Buy };
        self.say(Intent::New {
            instrument: InstrumentId(0),
            side,
            price: Price(price_of(is_sell)),
            quantity: shares,
            min_quantity: 0,
            time_in_force: time_in_force(is_ioc),
            post_only: false,
        });
    }

    pub(super) fn replace(&mut self, id: u32, is_sell: bool, shares: u32) {
        let price = Price(price_of(is_sell));
        self.say(Intent::Replace { order: OrderId(id), price, quantity: shares });
    }

    pub(super) fn cancel(&mut self, id: u32) {
        self.say(Intent::Cancel { order: OrderId(id) });
    }

    pub(super) fn reduce(&mut self, id: u32) {
        self.say(Intent::Reduce { order: OrderId(id), quantity: 1 });
    }

    pub(super) fn cancel_all(&mut self) {
        self.rig.command(CommandKind::CancelAll);
    }

    pub(super) fn hear(&mut self, event: &VenueEvent) {
        let bytes = venue_bytes(event);
        self.rig.input(Input::Session { conn: CONN, bytes: &bytes });
    }

    /// The next pause after a refused cancel passes.
    pub(super) fn wait(&mut self) {
        let due = self.rig.pipeline.desk.cancels_due;
        if due != TaiNs::NEVER {
            self.rig.now = self.rig.now.max(due);
            self.rig.input(Input::Timer);
        }
    }

    /// The next deadline of an answer passes.
    pub(super) fn let_a_deadline_pass(&mut self) {
        let open = self.rig.pipeline.desk.orders.open();
        let due = open.map(|order| order.answer_due).filter(|due| due.0 != 0).min();
        if let Some(due) = due {
            self.rig.now = self.rig.now.max(due);
            self.rig.input(Input::Timer);
        }
    }

    /// An operator lets trading go on.
    pub(super) fn resume(&mut self) {
        self.rig.command(CommandKind::Resume);
    }

    /// The connection breaks and comes back; the venue says all of `log`, also what was heard before.
    pub(super) fn reconnect(&mut self, log: &[VenueEvent]) {
        self.rig.conn(ConnEvent::Down(DownReason::Reset));
        self.log_in(log);
    }

    /// The process dies and starts again.
    pub(super) fn restart(&mut self, log: &[VenueEvent]) {
        let next_id = self.rig.pipeline.next_order_id();
        let mut fresh = Ours { ids: OrderIds::starting_at(next_id), ..self.fresh.clone() };
        fresh.exchange(&mut self.rig.pipeline.desk);
        self.rig.conn(ConnEvent::Down(DownReason::Reset));
        self.log_in(log);
    }

    /// The connection breaks, and what it comes back to has a log of its own that says the same from the start: another
    /// host of the venue (1.3). Trading stops for that; an operator looks and lets it go on.
    pub(super) fn meet_another_log(&mut self, log: &[VenueEvent]) {
        self.rig.conn(ConnEvent::Down(DownReason::Reset));
        self.rig.venue(VenueEvent::new(VenueEventKind::LoggedIn));
        self.log_in(log);
        self.rig.command(CommandKind::Resume);
    }

    fn log_in(&mut self, log: &[VenueEvent]) {
        self.rig.conn(ConnEvent::Up);
        self.rig.conn(ConnEvent::Room(1 << 20));
        log.iter().for_each(|event| self.hear(event));
        assert!(self.rig.pipeline.desk.outbox.is_empty(), "nothing leaves before the log is replayed");
        self.rig.venue(VenueEvent::new(VenueEventKind::CaughtUp));
        let control = self.rig.pipeline.pending_control(CONN).len();
        self.rig.pipeline.consume_control(CONN, control);
    }
}

/// Whether an order is over by the venue's word: nothing may bring it back.
pub(super) fn is_over(order: &Order) -> bool {
    matches!(order.state(), OrderState::Filled | OrderState::Canceled | OrderState::Rejected)
}
