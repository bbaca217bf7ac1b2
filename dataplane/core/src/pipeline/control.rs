//! Commands, halts, connection changes, timers.

use super::recovery::Recovery;
use super::{Desk, Pipeline, PipelineCounter, Turn};
use crate::book::STREAMS_MAX;
use crate::feed::{Distrust, Feed};
use crate::input::{ConnEvent, DownReason, Input};
use crate::orders::{LATE_MAX, Order, OrderState, Slot};
use crate::probe::{Isolate, Probe};
use crate::risk::{HaltReason, Part, StrategyStop};
use crate::session::{DropReason, OrderAction, OrderSession};
use crate::strategy::{Call, StrategySet};
use crate::units::{OrderId, StreamId, Symbol, TaiNs};
use tern_abi::command::{Command, CommandKind};
use tern_abi::record::Recorder;
use tern_abi::segment::{ScopeKind, TradingState};

impl Desk {
    /// A command that was recorded.
    pub(super) fn on_command<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, command: &Command) {
        self.count(PipelineCounter::Commands, 1);
        match CommandKind::from_u32(command.kind) {
            Some(CommandKind::Kill) => self.kill(turn, HaltReason::Killed),
            Some(CommandKind::Resume) if command.resumes() && self.resume(turn) => {}
            Some(CommandKind::CancelAll) => self.cancel_all(),
            Some(CommandKind::Shutdown) => {
                self.shutting_down = true;
                self.kill(turn, HaltReason::Shutdown);
            }
            Some(CommandKind::SetLimit) if self.set_limit(command, turn.now).is_ok() => {}
            Some(CommandKind::SetState) if self.set_state(turn, command) => {}
            Some(CommandKind::AcceptDifferences) if self.accept_differences(turn, command.id) => {}
            Some(CommandKind::Alert | CommandKind::Refused) => {}
            Some(CommandKind::DaemonPulse) if self.daemon_pulse(turn, command.id) => {}
            Some(CommandKind::StrategyOverrun) if self.strategy_overran(turn, command) => {}
            Some(
                CommandKind::Resume
                | CommandKind::SetLimit
                | CommandKind::SetState
                | CommandKind::SetLimits
                | CommandKind::Manual
                | CommandKind::AcceptDifferences
                | CommandKind::DaemonPulse
                | CommandKind::StrategyOverrun
                | CommandKind::Day,
            )
            | None => {
                self.count(PipelineCounter::CommandsRefused, 1);
            }
        }
    }

    /// Restricts a scope, or lets it run again; `false` when the command names none that there is.
    ///
    /// When a scope is restricted, everything that waits for TCP is taken back, whosever it is: that is a few messages, and
    /// what may still be sent is wanted again in a moment.
    fn set_state<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, command: &Command) -> bool {
        let Some((kind, key, state)) = command.scope_state() else { return false };
        let Some(part) = self.part_of(kind, key).filter(|part| self.gate.scopes_mut().set(*part, state)) else {
            return false;
        };
        match (state, part) {
            (TradingState::Running, Part::Owner(owner)) => {
                self.gate.forget_executions(owner);
                self.lives.want_restart(usize::from(owner));
            }
            (TradingState::Running, _) => {}
            _ => self.recall(turn),
        }
        if state == TradingState::Halted {
            self.want_cancels(|desk, order| desk.is_part(part, order));
        }
        true
    }

    pub(super) fn part_of(&self, kind: ScopeKind, key: u64) -> Option<Part> {
        match kind {
            ScopeKind::Firm => (key == 0).then_some(Part::All(kind)),
            ScopeKind::Venue => (key == u64::from(self.config.venue.0)).then_some(Part::All(kind)),
            ScopeKind::Strategy => {
                let owner = self.owners().iter().find(|owner| u64::from(owner.strategy.0) == key)?;
                Some(Part::Owner(owner.index))
            }
            ScopeKind::Symbol => Some(Part::Symbol(Symbol(key.to_le_bytes()))),
        }
    }

    pub(super) fn is_part(&self, part: Part, order: &Order) -> bool {
        match part {
            Part::All(_) => true,
            Part::Owner(owner) => order.owner == owner,
            Part::Symbol(symbol) => self.instruments.symbol(order.instrument) == Some(symbol),
        }
    }

    /// A strategy traded. One that has traded as often as it may is stopped as an operator would stop it, and what it has
    /// open is cancelled. The house has no strategy that could be stopped.
    pub(super) fn watch_executions<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, owner: u8) {
        // The venue's log tells at once what happened over the day.
        let is_strategy = usize::from(owner) + 1 < self.owners().len();
        if self.caught_up && is_strategy && self.gate.executed(owner, turn.now) {
            self.count(PipelineCounter::StrategiesThrottled, 1);
            self.recall(turn);
            self.want_cancels(|_, order| order.owner == owner);
        }
    }

    /// Strategies whose loss of the day came to be beyond their limit are stopped in the same way.
    #[inline]
    pub(super) fn stop_losers<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) {
        let losers = self.gate.take_losers();
        if losers != 0 && self.caught_up {
            self.stop_strategies(turn, losers, StrategyStop::Loss);
        }
    }

    #[cold]
    fn stop_strategies<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, owners: u32, why: StrategyStop) {
        for owner in 0..self.owners().len().saturating_sub(1) as u8 {
            if owners & 1 << owner != 0 && self.stop_strategy(turn, owner, why) {
                self.count(PipelineCounter::StrategyLosses, 1);
            }
        }
    }

    /// Stops a strategy until an operator lets it go on: what waits is taken back, what it has open cancelled. Whether it
    /// was not stopped for this reason already.
    pub(super) fn stop_strategy<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        owner: u8,
        why: StrategyStop,
    ) -> bool {
        let is_new = self.gate.scopes_mut().stop(owner, why);
        if is_new {
            self.recall(turn);
            self.want_cancels(|_, order| order.owner == owner);
        }
        is_new
    }

    /// Takes back what waits for TCP.
    pub(super) fn recall<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) {
        while let Some(action) = self.outbox.recall() {
            self.count(PipelineCounter::Recalled, 1);
            self.undo(turn, action);
        }
    }

    /// Nothing new, what waits taken back, every open order cancelled.
    pub(super) fn kill<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, reason: HaltReason) {
        self.recall(turn);
        self.halt(turn, reason);
        self.cancel_all();
    }

    /// Lifts what stops trading, but for what no resume lifts (a restart, a daemon that is not there): that stays, or comes
    /// to light. `false` when it is that alone.
    fn resume<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) -> bool {
        let Some(halt) = self.gate.halt().filter(|_| !self.shutting_down) else { return true };
        if halt == HaltReason::Restarted {
            self.recovery = Recovery::Over;
        }
        let left = self.standing_stop();
        if left == Some(halt) {
            return false;
        }
        self.lift(turn);
        true
    }

    /// Wants every open order cancelled, those too whose cancels the venue refused or never answered: an operator asks for another try.
    pub(super) fn cancel_all(&mut self) {
        let mut at = self.orders.first_open();
        while let Some(slot) = at {
            at = self.orders.next_open(slot);
            if let Some(order) = self.orders.get_mut(slot) {
                order.forget_refused_cancels();
                if order.late >= LATE_MAX {
                    order.forget_cancel_sent();
                }
            }
        }
        self.want_cancels(|_, _| true);
    }

    /// Lets cancels be sent again whose pause after a refusal is over, and finds out when to look again.
    #[cold]
    fn repeat_cancels(&mut self, now: TaiNs) {
        self.cancels_due = TaiNs::NEVER;
        let mut at = self.orders.first_open();
        while let Some(slot) = at {
            at = self.orders.next_open(slot);
            let Some(order) = self.orders.get_mut(slot).filter(|order| order.cancel_due.0 != 0) else { continue };
            if order.cancel_due > now {
                self.cancels_due = self.cancels_due.min(order.cancel_due);
                continue;
            }
            order.cancel_due = TaiNs(0);
            self.sweep_due |= order.needs_cancel();
            self.count(PipelineCounter::CancelsRepeated, 1);
        }
    }

    /// Wants the open orders cancelled that `which` names.
    pub(super) fn want_cancels(&mut self, which: impl Fn(&Self, &crate::orders::Order) -> bool) {
        let mut at = self.orders.first_open();
        while let Some(slot) = at {
            at = self.orders.next_open(slot);
            if self.orders.get(slot).is_some_and(|order| which(self, order)) {
                if let Some(order) = self.orders.get_mut(slot) {
                    order.cancel_wanted = true;
                }
                self.sweep_due = true;
            }
        }
    }

    /// A message that never left: the order is as it was before.
    pub(super) fn undo<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, action: OrderAction) {
        let named = match action {
            OrderAction::New { order }
            | OrderAction::Cancel { order }
            | OrderAction::Reduce { order }
            | OrderAction::Replace { order, .. } => order,
        };
        let Some(slot) = self.orders.slot(named) else { return };
        match action {
            OrderAction::New { .. } => self.orders.bury(slot, OrderState::Dropped),
            OrderAction::Replace { .. } => self.orders.replace_undone(slot),
            OrderAction::Cancel { order } => {
                if let Some(entry) = self.orders.get_mut(slot)
                    && entry.cancel_sent == order
                {
                    entry.cancel_sent = OrderId(0);
                }
            }
            OrderAction::Reduce { .. } => {
                if let Some(entry) = self.orders.get_mut(slot) {
                    entry.reduce_to = 0;
                }
            }
        }
        self.settle(slot);
        if !matches!(action, OrderAction::Cancel { .. } | OrderAction::Reduce { .. }) {
            self.record_local_end(turn, slot);
        }
    }

    /// Counts an input that could not be recorded: once, and apart from that each time that it is offered again. Of each
    /// sort the caller offers one until it is taken.
    #[cold]
    pub(super) fn count_refused_input(&mut self, input: &Input<'_>) {
        let sort = sort_of(input);
        let counter = match self.refused_inputs & sort {
            0 => PipelineCounter::InputsRefused,
            _ => PipelineCounter::InputsRetried,
        };
        self.refused_inputs |= sort;
        self.count(counter, 1);
    }

    /// The next input of its sort that is refused is another one.
    #[inline]
    pub(super) fn input_recorded(&mut self, input: &Input<'_>) {
        if self.refused_inputs != 0 {
            self.refused_inputs &= !sort_of(input);
        }
    }

    /// An input that could not be recorded is not acted on. But a kill is a kill, and so is a part of one.
    pub(super) fn input_lost<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, input: &Input<'_>) {
        if let Input::Command(command) = input
            && match CommandKind::from_u32(command.kind) {
                Some(CommandKind::Kill | CommandKind::Shutdown) => true,
                Some(CommandKind::SetState) => {
                    command.scope_state().is_some_and(|(.., state)| state != TradingState::Running)
                }
                _ => false,
            }
        {
            self.on_command(turn, command);
        }
    }
}

/// One bit for each sort of input of which one is offered at a time.
fn sort_of(input: &Input<'_>) -> u32 {
    1 << match input {
        Input::Datagram { .. } => 0,
        Input::Session { .. } => 1,
        // Room is told again with whatever it is by then.
        Input::Conn { event: ConnEvent::Room(_), .. } => 2,
        Input::Conn { .. } => 3,
        Input::Events(_) => 4,
        Input::Timer => 5,
        // A kill of the loop's own may wait beside a command of the ring.
        Input::SetLimits(_) => 6,
        Input::Manual(_) => 7,
        Input::Command(command) => 8 + command.kind.min(23),
    }
}

impl<F: Feed, O: OrderSession, S: StrategySet> Pipeline<F, O, S> {
    /// The order connection changed.
    pub(super) fn on_conn<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, event: ConnEvent) {
        match event {
            ConnEvent::Up => {
                self.desk.caught_up = false;
                self.control.clear();
                self.session.on_connected(turn.now, &mut self.control);
            }
            ConnEvent::Down(reason) => {
                let lost = reason != DownReason::Dropped(DropReason::Surveyed);
                self.desk.count(PipelineCounter::ConnectionsLost, u64::from(lost));
                self.session.on_disconnected(turn.now);
                self.control.clear();
                self.desk.outbox.set_room(0);
                while let Some(action) = self.desk.outbox.drop_newest() {
                    self.desk.count(PipelineCounter::Recalled, 1);
                    self.desk.undo(turn, action);
                }
                self.desk.orders.connection_lost();
                self.desk.sweep_due = true;
            }
            ConnEvent::Room(bytes) => self.desk.outbox.set_room(bytes),
            ConnEvent::Unsent(messages) => self.desk.outbox.keep(messages),
            ConnEvent::RingRoom(room) => self.desk.ring_room = room,
            ConnEvent::RecordLost => {
                self.desk.halt(turn, HaltReason::RingFull);
                self.desk.loss_untold = false;
            }
        }
    }

    /// A deadline passed.
    pub(super) fn on_timer<R: Recorder, P: Probe, I: Isolate>(&mut self, turn: &mut Turn<'_, R, P>, isolate: &mut I) {
        if turn.now >= self.desk.silence_due {
            self.watch_silence(turn);
        }
        if turn.now >= self.desk.answers_due {
            self.watch_answers(turn, isolate);
        }
        if turn.now >= self.desk.flatten.due() {
            self.step_flatten(turn);
        }
        if self.session.next_deadline() <= turn.now {
            self.session.on_timer(turn.now, &mut self.control);
        }
        for index in 0..self.strategies.count() {
            if self.desk.is_disabled(index) {
                continue;
            }
            if self.ask_deadline(isolate, index).is_err() {
                self.strategy_panicked(turn, index, &isolate.panic_text());
            } else if self.deadline(index) <= turn.now {
                self.call_strategy(turn, isolate, index, Call::Timer, 0);
            }
        }
    }

    /// Takes trust from streams of whose session nothing was heard for too long.
    #[cold]
    fn watch_silence<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) {
        for stream in (0..STREAMS_MAX as u16).map(StreamId) {
            self.desk.heard[stream.index()] = self.feed.heard(stream);
        }
        self.desk.watch_silence(turn);
        for stream in (0..STREAMS_MAX as u16).map(StreamId) {
            if self.desk.books.stream_distrust(stream) == Some(Distrust::Silent) {
                self.feed.fall_silent(stream);
            }
        }
    }

    /// Sends the cancels that are wanted and were not sent, as far as the venue's window goes. What does not fit is sent
    /// after a later input.
    pub(super) fn sweep<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) {
        if turn.now >= self.desk.cancels_due {
            self.desk.repeat_cancels(turn.now);
        }
        if !self.desk.sweep_due {
            return;
        }
        let mut at = self.desk.orders.first_open();
        while let Some(slot) = at {
            if !self.desk.can_send(&self.session) {
                return;
            }
            at = self.desk.orders.next_open(slot);
            if self.desk.orders.get(slot).is_some_and(|order| order.needs_cancel()) && !self.system_cancel(turn, slot) {
                return;
            }
        }
        self.desk.sweep_due = false;
    }

    fn system_cancel<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, slot: Slot) -> bool {
        let sent = self.desk.send_system_cancel(turn, slot, &mut self.session);
        if sent {
            self.desk.count(PipelineCounter::SystemCancels, 1);
        }
        sent
    }

    /// After every input: a shutdown logs out once nothing is open.
    pub(super) fn finish<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) {
        self.desk.session_ready = self.session.is_ready();
        if self.desk.shutting_down && !self.desk.logged_out && self.desk.orders.open_count() == 0 {
            self.session.log_out(turn.now, &mut self.control);
            self.desk.logged_out = true;
        }
    }
}
