//! From a strategy's intent to bytes in the outbox, or to a refusal.

use super::{Desk, Pipeline, PipelineCounter, Turn};
use crate::feed::Feed;
use crate::orders::{Life, Order, Slot};
use crate::probe::{Isolate, Panicked, Probe, Stage};
use crate::risk::{Approved, HaltReason, Moment, NewOrder, Owner, Reason, Refusal, SelfTrade, would_trade};
use crate::session::{EncodeError, OrderAction, OrderSession, OrderView};
use crate::strategy::{Call, Ctx, Intent, StrategySet};
use crate::units::{InstrumentId, OrderId, Price, Quantity, Side, Symbol, TaiNs};
use tern_abi::record::{ACTION_CANCEL, ACTION_NEW, ACTION_REPLACE, Kind, OrderRecord, Recorder, RefusalRecord};
use zerocopy::IntoBytes;

/// [`OrderRecord::flags`]: post only.
const FLAG_POST_ONLY: u8 = 1;
/// [`OrderRecord::flags`]: sent by the system.
const FLAG_SYSTEM: u8 = 2;
/// [`OrderRecord::flags`]: marked short.
const FLAG_SHORT: u8 = 4;

impl<F: Feed, O: OrderSession, S: StrategySet> Pipeline<F, O, S> {
    /// Tells a strategy of all changes of the batch; each time it answers, its intents are worked through first.
    #[inline]
    pub(super) fn call_strategy_with_changes<R: Recorder, P: Probe, I: Isolate>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        isolate: &mut I,
        index: usize,
        age_ns: u64,
    ) {
        self.heed_halts();
        let mut told = 0;
        while !self.desk.is_disabled(index) {
            let Some(changes) = self.changes.as_slice().get(told..).filter(|rest| !rest.is_empty()) else { return };
            let ctx = Ctx { now: turn.now, owner: index, desk: &self.desk };
            turn.probe.call_begins();
            let told_now = self.strategies.call(index, isolate, Call::Book(changes), &ctx, &mut self.intents);
            turn.probe.call_ends(index);
            match told_now {
                // At least one, so that the walk ends.
                Ok(count) => told += count.max(1),
                Err(Panicked) => self.strategy_panicked(turn, index, &isolate.panic_text()),
            }
            self.act(turn, index, age_ns);
        }
    }

    /// Tells the gate of operational halts among the events of this datagram, before any strategy is asked.
    #[inline]
    pub(super) fn heed_halts(&mut self) {
        if self.events.has_halts() {
            self.desk.heed_halts(self.events.halts());
        }
    }

    /// Calls a strategy and works through its intents.
    #[inline]
    pub(super) fn call_strategy<R: Recorder, P: Probe, I: Isolate>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        isolate: &mut I,
        index: usize,
        call: Call<'_>,
        age_ns: u64,
    ) {
        if self.desk.is_disabled(index) {
            return;
        }
        let ctx = Ctx { now: turn.now, owner: index, desk: &self.desk };
        turn.probe.call_begins();
        let outcome = self.strategies.call(index, isolate, call, &ctx, &mut self.intents);
        let outcome = outcome.and_then(|_| self.ask_deadline(isolate, index));
        turn.probe.call_ends(index);
        if outcome.is_err() {
            self.strategy_panicked(turn, index, &isolate.panic_text());
        }
        self.act(turn, index, age_ns);
    }

    /// Works through the intents of the last call.
    #[inline]
    fn act<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, index: usize, age_ns: u64) {
        if let Some(state) = self.intents.kept() {
            self.desk.keep_state(turn, index, state);
            self.intents.forget_state();
        }
        if self.intents.is_empty() {
            return;
        }
        turn.probe.mark(Stage::Strategy);
        let owner = self.desk.owner(index);
        self.desk.count(PipelineCounter::Intents, self.intents.len() as u64);
        self.desk.count(PipelineCounter::IntentsDropped, self.intents.take_overflowed());
        for place in 0..self.intents.len() {
            let Some(intent) = self.intents.get(place) else { break };
            if let Err(refusal) = self.desk.act(turn, owner, age_ns, &intent, &mut self.session) {
                self.desk.refused(turn, owner, &intent, refusal);
                if refusal.reason == Reason::SelfTrade {
                    self.desk.clear_the_way(&intent);
                }
            }
        }
        self.intents.clear();
    }
}

impl Desk {
    pub(super) fn heed_halts(&mut self, halts: impl Iterator<Item = (InstrumentId, bool)>) {
        for (instrument, halted) in halts {
            self.gate.set_halted(instrument, halted);
            self.count(PipelineCounter::MarketHalts, u64::from(halted));
        }
    }

    /// An intent was refused because it would have traded with the account's own orders: takes them out of its way if the
    /// limits say so. It is not kept: when they are gone, its strategy may try again.
    #[cold]
    pub(super) fn clear_the_way(&mut self, intent: &Intent) {
        if !matches!(self.gate.limits().self_trade, SelfTrade::CancelOldest | SelfTrade::CancelBoth) {
            return;
        }
        let wanted = match *intent {
            Intent::New { instrument, side, price, .. } => Some((instrument, side, price)),
            Intent::Replace { order, price, .. } => {
                self.orders.find(order).map(|order| (order.instrument, order.side, price))
            }
            Intent::Cancel { .. } | Intent::Reduce { .. } => None,
        };
        if let Some((instrument, side, price)) = wanted {
            self.want_cancels(|_, order| order.instrument == instrument && would_trade(order, side, price));
        }
    }

    /// One intent: the gate, then the record, then the bytes.
    #[inline]
    pub(super) fn act<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        owner: Owner,
        age_ns: u64,
        intent: &Intent,
        session: &mut impl OrderSession,
    ) -> Result<(), Refusal> {
        let at = self.moment(turn.now, age_ns, session);
        match *intent {
            Intent::New { instrument, side, price, quantity, min_quantity, time_in_force, post_only } => {
                let new = NewOrder { instrument, side, price, quantity, min_quantity, time_in_force, post_only };
                self.enter(turn, &at, owner, &new, session)
            }
            Intent::Replace { order, price, quantity } => {
                let slot = self.own_slot(owner, order)?;
                self.replace(turn, &at, slot, price, quantity, session)
            }
            Intent::Cancel { order } => {
                let slot = self.own_slot(owner, order)?;
                self.cancel(turn, &at, slot, session)
            }
            Intent::Reduce { order, quantity } => {
                let slot = self.own_slot(owner, order)?;
                self.reduce(turn, &at, slot, quantity, session)
            }
        }
    }

    fn enter<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        at: &Moment,
        owner: Owner,
        new: &NewOrder,
        session: &mut impl OrderSession,
    ) -> Result<(), Refusal> {
        let id = self.ids.peek().ok_or(Refusal::new(Reason::IdsExhausted))?;
        let market = crate::risk::Market { instruments: &self.instruments, books: &self.books, orders: &self.orders };
        let approved = self.gate.approve_new(at, owner, id, new, &market)?;
        let valued_at = self.gate.valued_at(turn.now, new, &market);
        turn.probe.mark(Stage::Risk);
        self.record_order(turn, approved.view(), 0)?;
        self.ids.used(id);
        let slot = self.orders.insert(Order {
            strategy: owner.strategy,
            trader: owner.trader,
            owner: owner.index,
            time_in_force: new.time_in_force,
            post_only: new.post_only,
            short: approved.view().short,
            valued_at,
            ..Order::new(id, new.instrument, new.side, new.price, new.quantity)
        });
        if let Some(slot) = slot {
            self.settle(slot);
            self.expect_answer(slot, turn.now);
        }
        self.write(turn, approved, session, PipelineCounter::OrdersNew)
    }

    fn replace<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        at: &Moment,
        slot: Slot,
        price: Price,
        quantity: Quantity,
        session: &mut impl OrderSession,
    ) -> Result<(), Refusal> {
        let id = self.ids.peek().ok_or(Refusal::new(Reason::IdsExhausted))?;
        let order = self.orders.get(slot).ok_or(Refusal::new(Reason::UnknownOrder))?;
        let market = crate::risk::Market { instruments: &self.instruments, books: &self.books, orders: &self.orders };
        let approved = self.gate.approve_replace(at, order, id, price, quantity, &market)?;
        turn.probe.mark(Stage::Risk);
        self.record_order(turn, approved.view(), 0)?;
        self.ids.used(id);
        self.orders.replace_sent(slot, id, price, approved.view().quantity);
        self.settle(slot);
        self.expect_answer(slot, turn.now);
        self.write(turn, approved, session, PipelineCounter::OrdersReplace)
    }

    fn cancel<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        at: &Moment,
        slot: Slot,
        session: &mut impl OrderSession,
    ) -> Result<(), Refusal> {
        let order = self.orders.get(slot).ok_or(Refusal::new(Reason::UnknownOrder))?;
        let symbol = self.symbol(order.instrument);
        let approved = self.gate.approve_cancel(at, order, symbol)?;
        turn.probe.mark(Stage::Risk);
        self.record_order(turn, approved.view(), 0)?;
        self.cancel_sent(turn.now, slot);
        self.write(turn, approved, session, PipelineCounter::OrdersCancel)
    }

    fn reduce<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        at: &Moment,
        slot: Slot,
        quantity: Quantity,
        session: &mut impl OrderSession,
    ) -> Result<(), Refusal> {
        let order = self.orders.get(slot).ok_or(Refusal::new(Reason::UnknownOrder))?;
        let symbol = self.symbol(order.instrument);
        let approved = self.gate.approve_reduce(at, order, quantity, symbol)?;
        turn.probe.mark(Stage::Risk);
        self.record_order(turn, approved.view(), 0)?;
        if let Some(order) = self.orders.get_mut(slot) {
            order.reduce_sent(approved.view().quantity);
        }
        self.expect_answer(slot, turn.now);
        self.write(turn, approved, session, PipelineCounter::OrdersCancel)
    }

    /// Sends a cancel that the system wants; whether it was sent.
    pub(super) fn send_system_cancel<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        slot: Slot,
        session: &mut impl OrderSession,
    ) -> bool {
        let at = self.moment(turn.now, 0, session);
        let Some(order) = self.orders.get(slot) else { return false };
        let symbol = self.symbol(order.instrument);
        let Ok(approved) = self.gate.approve_system_cancel(&at, order, symbol) else { return false };
        if self.record_order(turn, approved.view(), FLAG_SYSTEM).is_err() {
            return false;
        }
        self.cancel_sent(turn.now, slot);
        match self.outbox.push(approved, session) {
            Ok(()) => {
                session.on_sent(turn.now);
                true
            }
            Err(_) => {
                self.count_refusal(Reason::EncodeFailed);
                if let Some(order) = self.orders.get_mut(slot) {
                    order.cancel_sent = OrderId(0);
                }
                self.settle(slot);
                false
            }
        }
    }

    /// From now on the order is to go, whatever becomes of this one cancel.
    fn cancel_sent(&mut self, now: TaiNs, slot: Slot) {
        if let Some(order) = self.orders.get_mut(slot) {
            order.cancel_wanted = true;
            order.cancel_sent = order.cancel_target();
        }
        self.expect_answer(slot, now);
    }

    /// Writes the bytes of an order that is recorded and in the table.
    #[inline]
    fn write<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        approved: Approved,
        session: &mut impl OrderSession,
        counter: PipelineCounter,
    ) -> Result<(), Refusal> {
        let action = approved.view().action;
        match self.outbox.push(approved, session) {
            Ok(()) => {
                turn.probe.mark(Stage::Encoded);
                session.on_sent(turn.now);
                self.count(counter, 1);
                Ok(())
            }
            Err(error) => Err(self.unwritable(turn, action, error)),
        }
    }

    #[cold]
    fn unwritable<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        action: OrderAction,
        error: EncodeError,
    ) -> Refusal {
        self.undo(turn, action);
        Refusal { reason: Reason::EncodeFailed, limit: 0, value: error as i64 }
    }

    /// The strategy's open order with this id, by the name it has or will have.
    fn own_slot(&self, owner: Owner, id: OrderId) -> Result<Slot, Refusal> {
        self.orders
            .slot_near(id, owner.index.into(), self.looked_at)
            .filter(|slot| {
                self.orders.get(*slot).is_some_and(|o| o.owner == owner.index && !matches!(o.life, Life::Dead(_)))
            })
            .ok_or(Refusal::new(Reason::UnknownOrder))
    }

    fn symbol(&self, instrument: InstrumentId) -> Symbol {
        self.instruments.symbol(instrument).unwrap_or(Symbol([b' '; 8]))
    }

    /// Publishes the order before its bytes exist.
    #[inline]
    fn record_order<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        view: &OrderView,
        flags: u8,
    ) -> Result<(), Refusal> {
        let (action, order, replaces) = match view.action {
            OrderAction::New { order } => (ACTION_NEW, order.0, 0),
            OrderAction::Replace { previous, order } => (ACTION_REPLACE, order.0, previous.0),
            OrderAction::Cancel { order } | OrderAction::Reduce { order } => (ACTION_CANCEL, order.0, 0),
        };
        let record = OrderRecord {
            cause_seq: turn.cause_seq,
            cause_ns: turn.cause.map_or(0, |arrival| arrival.0),
            price: view.price.0,
            symbol: view.symbol.0,
            order,
            replaces,
            quantity: view.quantity,
            instrument: view.instrument.0,
            account: self.config.account.0,
            strategy: view.strategy.0,
            trader: view.trader.0,
            venue: self.config.venue.0,
            limits_epoch: self.gate.limits().epoch,
            min_quantity: view.min_quantity,
            reserved: 0,
            action,
            side: view.side as u8,
            time_in_force: view.time_in_force.letter(),
            flags: flags | if view.post_only { FLAG_POST_ONLY } else { 0 } | if view.short { FLAG_SHORT } else { 0 },
        };
        turn.rec.record(turn.now.0, Kind::Order, &[record.as_bytes()]).map_err(|_| {
            self.count(PipelineCounter::RecordsLost, 1);
            self.halt(turn, HaltReason::RingFull);
            Refusal::new(Reason::RecordFailed)
        })
    }

    /// Counts a refusal, and records it as long as that costs no room that orders need.
    #[cold]
    pub(super) fn refused<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        owner: Owner,
        intent: &Intent,
        refusal: Refusal,
    ) {
        self.count_refusal(refusal.reason);
        if !self.ring_room {
            return;
        }
        let known = |id: OrderId| self.orders.find(id);
        let (action, order, instrument, side, price, quantity) = match *intent {
            Intent::New { instrument, side, price, quantity, .. } => {
                (ACTION_NEW, OrderId(0), instrument, Some(side), price, quantity)
            }
            Intent::Replace { order, price, quantity } => {
                let (instrument, side) = known(order).map_or((InstrumentId::NONE, None), of);
                (ACTION_REPLACE, order, instrument, side, price, quantity)
            }
            Intent::Cancel { order } => {
                let (instrument, side) = known(order).map_or((InstrumentId::NONE, None), of);
                (ACTION_CANCEL, order, instrument, side, Price(0), 0)
            }
            Intent::Reduce { order, quantity } => {
                let (instrument, side) = known(order).map_or((InstrumentId::NONE, None), of);
                (ACTION_CANCEL, order, instrument, side, Price(0), quantity)
            }
        };
        let record = RefusalRecord {
            cause_seq: turn.cause_seq,
            price: price.0,
            limit: refusal.limit,
            value: refusal.value,
            quantity,
            instrument: instrument.0,
            order: order.0,
            reason: refusal.reason as u32,
            account: self.config.account.0,
            strategy: owner.strategy.0,
            action,
            side: side.map_or(0, |side| side as u8),
            reserved: 0,
        };
        super::output(turn, self, Kind::Refusal, record.as_bytes());
    }

    /// What the gate would say to an intent, without taking anything.
    pub(super) fn check(
        &self,
        now: TaiNs,
        owner: usize,
        age_ns: u64,
        intent: &Intent,
        session: &impl OrderSession,
    ) -> Result<(), Refusal> {
        let at = self.moment(now, age_ns, session);
        let owner = self.owner(owner);
        let market = self.market();
        let found = |order| {
            self.own_slot(owner, order).and_then(|slot| self.orders.get(slot).ok_or(Refusal::new(Reason::UnknownOrder)))
        };
        match *intent {
            Intent::New { instrument, side, price, quantity, min_quantity, time_in_force, post_only } => {
                let new = NewOrder { instrument, side, price, quantity, min_quantity, time_in_force, post_only };
                let id = self.ids.peek().ok_or(Refusal::new(Reason::IdsExhausted))?;
                self.gate.check_new(&at, owner, id, &new, &market).map(|_| ())
            }
            Intent::Replace { order, price, quantity } => found(order).and_then(|order| {
                self.ids.peek().ok_or(Refusal::new(Reason::IdsExhausted))?;
                self.gate.check_replace(&at, order, price, quantity, &market).map(|_| ())
            }),
            Intent::Cancel { order } => found(order).and_then(|order| self.gate.check_cancel(&at, order)),
            Intent::Reduce { order, quantity } => {
                found(order).and_then(|order| self.gate.check_reduce(&at, order, quantity))
            }
        }
    }
}

fn of(order: &Order) -> (InstrumentId, Option<Side>) {
    (order.instrument, Some(order.side))
}
