//! What the firm does: intents, commands, connection, and what leaves by itself after each input.

use super::firm::{Entered, Firm, INSTRUMENTS, Num, OWNERS, Outcome, Waiting};
use super::known::{Known, Life, Pending};
use super::sums::crosses;
use super::verdict::{Ask, CANCEL, NEW, REPLACE, Terms, strategy_of, symbol_key};
use crate::risk::{HaltReason, LimitId, Reason, Refusal};
use crate::session::{EncodeError, OrderAction, TimeInForce};
use crate::strategy::Intent;
use crate::units::{OrderId, Side};
use tern_abi::command::{Command, CommandKind, DaemonPulse};
use tern_abi::segment::{ScopeKind, TradingState};

/// Bytes of a message of the fake session.
pub(super) const MESSAGE_BYTES: usize = 56;
/// The encoder's word when it is told to refuse.
pub(super) const ENCODE_ERROR: EncodeError = EncodeError::Price;

impl Firm {
    /// Before each input: what the recorder says, and what it lost.
    pub(super) fn begin(&mut self) {
        self.ring_room = self.ring_room_next;
        if std::mem::take(&mut self.loss_untold) {
            self.end();
        }
    }

    /// After each input: pauses that are over, and the cancels that are wanted.
    pub(super) fn end(&mut self) {
        for order in self.orders.iter_mut().filter(|order| order.is_open()) {
            order.cancel_due = order.cancel_due.filter(|due| *due > self.now);
        }
        for at in self.open() {
            if self.way_out().is_err() {
                return;
            }
            if self.orders[at].needs_cancel() && !self.cancel(at, true) {
                return;
            }
        }
    }

    /// An intent of the strategy `owner`; why it was refused.
    pub(super) fn act(&mut self, owner: usize, intent: &Intent, age_ns: u64) -> Option<Refusal> {
        let refusal = self.try_to(owner, intent, age_ns).err()?;
        self.refusals[refusal.reason.index()] += 1;
        self.out.push(Outcome::Refused(refusal));
        if refusal.reason == Reason::SelfTrade {
            self.clear_the_way(intent);
        }
        Some(refusal)
    }

    /// Whether a new order would be let pass.
    pub(super) fn may_enter(&self, ask: &Ask) -> Result<(), Refusal> {
        if self.next_id == u32::MAX {
            return Err(Refusal::new(Reason::IdsExhausted));
        }
        self.verdict(NEW, ask)
    }

    /// What an intent asks for. A replace or cancel has to name an order of its own that is open.
    pub(super) fn ask(&self, owner: usize, intent: &Intent, age_ns: u64) -> Result<Ask, Refusal> {
        let own = |id: OrderId| {
            let is_own = |at: &usize| self.orders[*at].owner == owner && self.orders[*at].is_open();
            self.find(id.0).filter(is_own).ok_or(Refusal::new(Reason::UnknownOrder))
        };
        let of = |at: usize, price, quantity| {
            let (instrument, side) = (self.orders[at].instrument, self.orders[at].side);
            Ask { owner, instrument, side, price, quantity, age_ns, order: Some(at), terms: Terms::default() }
        };
        Ok(match *intent {
            Intent::New { instrument, side, price, quantity, min_quantity, time_in_force, post_only } => {
                let (price, quantity, instrument) = (price.0.into(), quantity.into(), instrument.index());
                let (is_ioc, cross) = match time_in_force {
                    TimeInForce::Day => (false, 0),
                    TimeInForce::Ioc => (true, 0),
                    TimeInForce::OnOpen => (false, 1),
                    TimeInForce::OnClose => (false, 2),
                };
                let terms = Terms { min_quantity: min_quantity.into(), is_ioc, post_only, cross };
                Ask { owner, instrument, side, price, quantity, age_ns, order: None, terms }
            }
            Intent::Replace { order, price, quantity } => of(own(order)?, price.0.into(), quantity.into()),
            Intent::Cancel { order } => of(own(order)?, 0, 0),
            Intent::Reduce { .. } => unreachable!("no step asks for it: `machine` does"),
        })
    }

    fn try_to(&mut self, owner: usize, intent: &Intent, age_ns: u64) -> Result<(), Refusal> {
        let ask = self.ask(owner, intent, age_ns)?;
        if let (Intent::Cancel { .. }, Some(at)) = (intent, ask.order) {
            self.verdict(CANCEL, &ask)?;
            return if self.cancel(at, false) { Ok(()) } else { Err(self.failure()) };
        }
        if self.next_id == u32::MAX {
            return Err(Refusal::new(Reason::IdsExhausted));
        }
        match ask.order {
            None => {
                self.verdict(NEW, &ask)?;
                self.enter(&ask)
            }
            Some(at) => {
                self.verdict(REPLACE, &ask)?;
                self.replace(at, &ask)
            }
        }
    }

    fn enter(&mut self, ask: &Ask) -> Result<(), Refusal> {
        self.take_message(false);
        self.values[ask.instrument] = self.value_with(ask);
        let Ask { owner, instrument, side, price, quantity, .. } = *ask;
        let cross = ask.terms.cross;
        self.entered.push(Entered { at: self.now, instrument, side, price, quantity, cross });
        let cross_value = (cross != 0).then(|| self.each(ask));
        let short = side == Side::Sell && -self.worst(instrument, Side::Sell) < quantity;
        let id = self.next_id;
        let action = OrderAction::New { order: OrderId(id) };
        self.record(Outcome::Sent { action, price, quantity, side, short, system: false })?;
        self.take_id(id);
        let order = Known { short, cross_value, ..Known::new(id, owner, instrument, side, price, quantity) };
        self.insert(order);
        self.note_prices();
        self.write(action)
    }

    fn replace(&mut self, at: usize, ask: &Ask) -> Result<(), Refusal> {
        self.take_message(false);
        self.values[ask.instrument] = self.value_with(ask);
        let Known { id: previous, side, short, executed, .. } = self.orders[at];
        let (id, total) = (self.next_id, executed + ask.quantity);
        let action = OrderAction::Replace { previous: OrderId(previous), order: OrderId(id) };
        self.record(Outcome::Sent { action, price: ask.price, quantity: total, side, short, system: false })?;
        self.take_id(id);
        self.orders[at].pending = Some(Pending { id, price: ask.price, total });
        self.note_prices();
        self.write(action)
    }

    /// Whether a cancel was sent.
    fn cancel(&mut self, at: usize, system: bool) -> bool {
        self.take_message(system);
        let order = &self.orders[at];
        let action = Self::cancel_of(order);
        let price = order.price;
        let said = Outcome::Sent { action, price, quantity: 0, side: order.side, short: order.short, system };
        if self.record(said).is_err() {
            return false;
        }
        let order = &mut self.orders[at];
        (order.cancel_wanted, order.cancel_sent) = (true, Some(order.cancel_target()));
        match self.write(action) {
            Ok(()) => true,
            Err(refusal) => {
                self.refusals[refusal.reason.index()] += u64::from(system);
                false
            }
        }
    }

    /// Why the last message did not leave.
    fn failure(&self) -> Refusal {
        if self.record_fails {
            Refusal::new(Reason::RecordFailed)
        } else {
            Refusal { reason: Reason::EncodeFailed, limit: 0, value: ENCODE_ERROR as i64 }
        }
    }

    /// An order is recorded before its bytes exist; one that cannot be stops trading.
    fn record(&mut self, said: Outcome) -> Result<(), Refusal> {
        if self.record_fails {
            self.stop(HaltReason::RingFull);
            return Err(self.failure());
        }
        self.out.push(said);
        Ok(())
    }

    fn write(&mut self, action: OrderAction) -> Result<(), Refusal> {
        if self.encode_fails {
            self.undo(action);
            return Err(self.failure());
        }
        self.waiting.push(Waiting { action, bytes_left: MESSAGE_BYTES, begun: false });
        Ok(())
    }

    /// A message did not leave: all is as it was, but for its id.
    fn undo(&mut self, action: OrderAction) {
        let named = Self::named(action);
        let Some(at) = self.find(named) else { return };
        match action {
            OrderAction::New { .. } => self.bury(at, true),
            OrderAction::Replace { .. } => self.replace_undone(at),
            OrderAction::Cancel { .. } => {
                let order = &mut self.orders[at];
                order.cancel_sent = order.cancel_sent.filter(|sent| *sent != named);
            }
            OrderAction::Reduce { .. } => unreachable!("no step asks for it"),
        }
        self.note_prices();
    }

    pub(super) fn replace_undone(&mut self, at: usize) {
        let order = &mut self.orders[at];
        let gone = order.pending.take().map(|pending| pending.id);
        order.cancel_sent = order.cancel_sent.filter(|sent| Some(*sent) != gone);
    }

    /// Takes back what TCP has nothing of, the newest first; all of it when the connection is gone.
    pub(super) fn recall(&mut self, all: bool) {
        while let Some(message) = self.waiting.pop_if(|message| all || !message.begun) {
            self.undo(message.action);
        }
    }

    /// TCP took bytes.
    pub(super) fn sent(&mut self, mut bytes: usize) {
        while let Some(message) = self.waiting.first_mut().filter(|_| bytes > 0) {
            let taken = bytes.min(message.bytes_left);
            (message.bytes_left, message.begun) = (message.bytes_left - taken, true);
            bytes -= taken;
            self.room_bytes = self.room_bytes.saturating_sub(taken);
            if message.bytes_left == 0 {
                self.waiting.remove(0);
            }
        }
    }

    /// Stops trading: the first reason stays, but for a kill and a daemon that is silent, and nothing goes before a shutdown.
    pub(super) fn stop(&mut self, reason: HaltReason) {
        let takes = match (self.halt, reason) {
            (None | Some(HaltReason::DaemonSilent), _) => true,
            (Some(HaltReason::Shutdown), _) => false,
            (Some(now), HaltReason::Killed | HaltReason::Shutdown) => now != reason,
            _ => false,
        };
        if takes {
            self.halt = Some(reason);
            self.loss_untold |= reason == HaltReason::RingFull;
        }
    }

    pub(super) fn kill(&mut self, reason: HaltReason) {
        self.recall(false);
        self.stop(reason);
        self.cancel_all();
    }

    fn cancel_all(&mut self) {
        for order in self.orders.iter_mut().filter(|order| order.is_open()) {
            order.forget_refused();
            order.cancel_wanted = true;
        }
    }

    pub(super) fn want_cancels(&mut self, which: impl Fn(&Known) -> bool) {
        let open = self.orders.iter_mut().filter(|order| order.is_open());
        open.filter(|order| which(order)).for_each(|order| order.cancel_wanted = true);
    }

    /// Takes the account's own orders out of the way of an intent, where the limits say so.
    fn clear_the_way(&mut self, intent: &Intent) {
        if !matches!(self.bound(LimitId::SelfTrade), 2 | 3) {
            return;
        }
        let (instrument, side, price) = match *intent {
            Intent::New { instrument, side, price, .. } => (instrument.index(), side, price),
            Intent::Replace { order, price, .. } => match self.find(order.0) {
                Some(at) => (self.orders[at].instrument, self.orders[at].side, price),
                None => return,
            },
            Intent::Cancel { .. } | Intent::Reduce { .. } => return,
        };
        self.want_cancels(|order| order.instrument == instrument && crosses(order, side, price.0.into()));
    }

    pub(super) fn command(&mut self, command: &Command) {
        match CommandKind::from_u32(command.kind) {
            Some(CommandKind::Kill) => self.kill(HaltReason::Killed),
            Some(CommandKind::Resume) if !self.is_shutting_down => self.lift(),
            Some(CommandKind::DaemonPulse) => self.pulse(command.id),
            Some(CommandKind::CancelAll) => self.cancel_all(),
            Some(CommandKind::Shutdown) => {
                self.is_shutting_down = true;
                self.kill(HaltReason::Shutdown);
            }
            Some(CommandKind::SetLimit) if command.scope == 0 => self.set_limit(command),
            Some(CommandKind::SetState) => self.restrict(command),
            _ => {}
        }
    }

    fn lift(&mut self) {
        self.halt = self.is_daemon_silent.then_some(HaltReason::DaemonSilent);
    }

    /// The daemon beats, is silent, or is lost.
    fn pulse(&mut self, pulse: u32) {
        if pulse > DaemonPulse::Lost as u32 {
            return;
        }
        self.is_daemon_silent = pulse != DaemonPulse::Steady as u32;
        match self.halt {
            _ if pulse == DaemonPulse::Lost as u32 => self.kill(HaltReason::DaemonLost),
            Some(HaltReason::DaemonSilent) if !self.is_daemon_silent => self.halt = None,
            halt if self.is_daemon_silent => {
                self.recall(false);
                self.halt = halt.or(Some(HaltReason::DaemonSilent));
            }
            _ => {}
        }
    }

    fn restrict(&mut self, command: &Command) {
        let Some((kind, key, state)) = command.scope_state() else { return };
        let is_there = match kind {
            ScopeKind::Firm => key == 0,
            ScopeKind::Venue => key == 1,
            ScopeKind::Strategy => (0..OWNERS).any(|owner| strategy_of(owner) == key),
            ScopeKind::Symbol => true,
        };
        if !is_there {
            return;
        }
        self.scopes.push((kind, key, state));
        if kind == ScopeKind::Strategy {
            self.take_over(key, state);
        }
        if state != TradingState::Running {
            self.recall(false);
        }
        if state == TradingState::Halted {
            self.want_cancels(|order| match kind {
                ScopeKind::Firm | ScopeKind::Venue => true,
                ScopeKind::Strategy => strategy_of(order.owner) == key,
                ScopeKind::Symbol => symbol_key(order.instrument) == key,
            });
        }
    }

    pub(super) fn connection_lost(&mut self) {
        self.is_ready = false;
        self.room_bytes = 0;
        self.recall(true);
        for order in self.orders.iter_mut().filter(|order| order.is_open()) {
            order.doubtful = order.life == Life::New || order.pending.is_some();
            order.cancel_sent = None;
            order.forget_refused();
        }
    }

    /// A new order comes into the table; the oldest dead one makes room for it.
    pub(super) fn insert(&mut self, order: Known) -> bool {
        if self.orders.len() >= self.orders_max {
            let dead = (0..self.orders.len()).filter(|at| !self.orders[*at].is_open());
            let Some(oldest) = dead.min_by_key(|at| self.orders[*at].since) else { return false };
            self.orders.remove(oldest);
        }
        self.clock += 1;
        self.orders.push(Known { since: self.clock, ..order });
        true
    }

    /// The order is over.
    pub(super) fn bury(&mut self, at: usize, never_arrived: bool) {
        self.clock += 1;
        let since = self.clock;
        let order = &mut self.orders[at];
        order.pending = None;
        if order.is_open() {
            order.life = Life::Dead(never_arrived);
            order.since = since;
            order.leaves = 0;
            order.cancel_sent = None;
            order.cancel_wanted = false;
            order.doubtful = false;
            order.old_log = false;
            order.forget_refused();
        }
    }

    /// A look at what is held in an instrument: what that makes of profit, and whether it stops trading.
    pub(super) fn look(&mut self, instrument: usize, price: Option<Num>) {
        let Some(price) = price else { return };
        let cost: Num = self.held.iter().map(|held| held[instrument].cost).sum();
        // Shares that were traded meanwhile are worth what the last look said first.
        self.was_beyond |= super::firm::large(self.position(instrument) * self.books[instrument].mark);
        self.books[instrument].unrealized = self.position(instrument) * price - cost;
        self.books[instrument].mark = price;
        self.watch_losses();
    }

    /// Whether the profit of now stops trading.
    pub(super) fn watch_losses(&mut self) {
        let profit = self.profit();
        self.profits.push(profit);
        let reason = if profit < -self.bound(LimitId::DailyLossMax) {
            Some(HaltReason::DailyLoss)
        } else if self.drawdown() > self.bound(LimitId::DrawdownMax) {
            Some(HaltReason::Drawdown)
        } else {
            None
        };
        if let Some(reason) = reason.filter(|_| matches!(self.halt, None | Some(HaltReason::DaemonSilent))) {
            self.kill(reason);
        }
        self.stop_losers();
    }

    /// Strategies that lost more than they may: not while the venue's log tells of the past.
    fn stop_losers(&mut self) {
        for owner in 0..OWNERS - 1 {
            let is_beyond = self.profit_of(owner) < -self.owner_bound(LimitId::StrategyDailyLossMax, owner);
            if self.caught_up && is_beyond && !self.lost[owner] {
                self.lost[owner] = true;
                self.stop_strategy(owner);
            }
        }
    }

    /// What a share is worth: the last print, as far as bid and ask allow it; before any print the middle.
    pub(super) fn mark_of(&self, instrument: usize) -> Option<Num> {
        if instrument >= INSTRUMENTS || !self.is_trusted(instrument) {
            return None;
        }
        let (bid, ask) = (self.best(instrument, Side::Buy), self.best(instrument, Side::Sell));
        match self.books[instrument].last {
            Some(last) => {
                let last = bid.map_or(last, |bid| last.max(bid));
                Some(ask.map_or(last, |ask| last.min(ask)))
            }
            None => Some((bid? + ask?) / 2),
        }
    }
}
