//! Kill word and commands: how the outside stops and steers the loop.

use super::Engine;
use crate::clock::Clock;
use crate::net::OrderTransport;
use tern_abi::command::{Command, CommandKind, SetLimits};
use tern_abi::counters::LoopCounter;
use tern_abi::day::DayRecord;
use tern_abi::manual::{ManualCommand, ManualKind};
use tern_abi::record::{Kind, Recorder};
use tern_abi::ring::commands::Sent;
use tern_abi::segment::{KillState, ScopeKind};
use tern_core::feed::Feed;
use tern_core::input::Input;
use tern_core::probe::Isolate;
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;
use tern_core::units::TaiNs;
use tern_hw::port::Port;
use zerocopy::IntoBytes;

impl<P, T, R, C, I, F, O, S> Engine<'_, P, T, R, C, I, F, O, S>
where
    P: Port,
    T: OrderTransport<P>,
    R: Recorder,
    C: Clock,
    I: Isolate,
    F: Feed,
    O: OrderSession,
    S: StrategySet,
{
    /// Acts on the kill word when it was written. Returns whether it was; its cancels wait to be handed over then.
    #[inline]
    pub(super) fn heed_kill(&mut self) -> bool {
        let state = self.parts.words.kill.state();
        if state.word == self.killed_word {
            return false;
        }
        self.kill(state)
    }

    #[cold]
    pub(super) fn kill(&mut self, state: KillState) -> bool {
        let is_new = core::mem::replace(&mut self.kills_seen, state.kills()) != state.kills();
        if !state.killed() && !is_new {
            self.killed_word = state.word;
            return false;
        }
        // Also when a resume has cleared the word already: then its command comes next, and trading goes on after it.
        let command =
            Command { kind: CommandKind::Kill as u32, uid: state.uid(), kill_word: state.low(), ..Command::default() };
        let now = self.parts.clock.now();
        self.killed_word = state.word;
        // Not recorded, it is acted on all the same, and comes again with the next turn until it is recorded.
        self.kill_unrecorded = self.input(now, Input::Command(&command)).is_err().then_some(command);
        self.parts.words.counters.add(LoopCounter::Kills, 1);
        self.recall();
        true
    }

    /// What TCP has and the venue may not get any more.
    pub(super) fn recall(&mut self) {
        let network_time = self.network_time();
        if let (Some(transport), Some(port)) = (&mut self.parts.transport, self.parts.ports.first_mut()) {
            transport.recall(network_time, port);
            self.kick_due = true;
        }
    }

    /// Clears the kill word if it has counted no kill that the operator did not see, and writes into the command what it
    /// said: that decides, here and in a replay. Should the command not fit the order ring, it comes again and finds the
    /// word cleared, or a later kill. `None`: a kill has to be recorded first.
    fn decide_resume(&mut self, mut command: Command) -> Option<Command> {
        // A kill that was not acted on yet is, whatever becomes of the resume.
        self.heed_kill();
        if self.kill_unrecorded.is_some() {
            return None;
        }
        let found = match self.parts.words.kill.clear_seen(command.id) {
            Ok(cleared) => {
                self.killed_word = cleared.word;
                cleared
            }
            Err(found) => found,
        };
        command.kill_word = found.low();
        Some(command)
    }

    /// Says from now on how many of the orders with an id below `next_id`, `open` in this scope, are still open.
    pub(super) fn follow_cancels(&mut self, next_id: u32, scope: (ScopeKind, u64), open: u64) {
        (self.cancel_all_before, self.cancel_all_scope) = (next_id, scope);
        self.parts.words.cancel_all.begin(open);
    }

    /// Writes a step of the trading day into the journal; nothing else comes of it here.
    #[cold]
    fn record_day(&mut self, now: TaiNs, day: &DayRecord) {
        // Not taken: it comes again when it can be recorded.
        if self.parts.recorder.record(now.0, Kind::Day, &[day.as_bytes()]).is_err() {
            return;
        }
        if let Some(commands) = &mut self.parts.commands {
            commands.done();
        }
        self.parts.words.counters.add(LoopCounter::Commands, 1);
    }

    /// The next command of the control plane.
    pub(super) fn take_command(&mut self, now: TaiNs) -> bool {
        let Some(commands) = &mut self.parts.commands else { return false };
        let command = match commands.next() {
            Ok(Some(Sent::Command(command))) => command,
            Ok(Some(Sent::Manual(wish))) => {
                self.take_manual(now, &wish);
                return true;
            }
            Ok(Some(Sent::SetLimits(limits))) => {
                self.take_limits(now, &limits);
                return true;
            }
            Ok(Some(Sent::Day(day))) => {
                self.record_day(now, &day);
                return true;
            }
            Ok(None) => return false,
            Err(_) => {
                // The ring holds what no daemon wrote: nothing in it can be trusted, so nothing more is read.
                self.parts.words.counters.add(LoopCounter::CommandsBad, 1);
                self.parts.commands = None;
                return true;
            }
        };
        let command = match CommandKind::from_u32(command.kind) {
            Some(CommandKind::Resume) => match self.decide_resume(command) {
                Some(decided) => decided,
                None => return true,
            },
            _ => command,
        };
        let next_id = self.parts.pipeline.next_order_id();
        let open = u64::from(self.parts.pipeline.desk().orders().open_count());
        if self.input(now, Input::Command(&command)).is_err() {
            // Not taken: it comes again when it can be recorded.
            return true;
        }
        if let Some(commands) = &mut self.parts.commands {
            commands.done();
        }
        self.parts.words.counters.add(LoopCounter::Commands, 1);
        match CommandKind::from_u32(command.kind) {
            Some(CommandKind::Kill) => self.recall(),
            Some(CommandKind::Resume) if !command.resumes() => {
                self.parts.words.counters.add(LoopCounter::ResumesRefused, 1);
            }
            Some(CommandKind::Resume) => {}
            Some(CommandKind::Shutdown) => self.is_stopping = true,
            Some(CommandKind::CancelAll) => {
                self.follow_cancels(next_id, (ScopeKind::Firm, 0), open);
            }
            // What came of it is shown like limits that are set at once.
            Some(CommandKind::SetLimit) => self.show_limits(&SetLimits::new(&[], (0, 0), command.uid, ""), now),
            Some(
                CommandKind::SetState | CommandKind::AcceptDifferences | CommandKind::Alert | CommandKind::Refused,
            ) => {}
            // What nobody sends this way.
            Some(
                CommandKind::SetLimits
                | CommandKind::Manual
                | CommandKind::DaemonPulse
                | CommandKind::StrategyOverrun
                | CommandKind::Day,
            )
            | None => self.parts.words.counters.add(LoopCounter::CommandsBad, 1),
        }
        self.heed_kill();
        self.hand_over();
        true
    }

    /// What a person does by hand. Its orders are handed over at once.
    #[cold]
    fn take_manual(&mut self, now: TaiNs, wish: &ManualCommand) {
        // Whoever sent a flatten restricted its scope before: that is in force first, or the wish waits.
        if self.heed_scopes() {
            self.hand_over();
        }
        let is_flatten = wish.what() == Some(ManualKind::Flatten);
        if is_flatten && !self.knows_scopes() && !wish.is_too_old(now.0) {
            return;
        }
        // Not taken: it comes again when it can be recorded.
        if self.input(now, Input::Manual(wish)).is_err() {
            return;
        }
        if let Some(commands) = &mut self.parts.commands {
            commands.done();
        }
        self.parts.words.counters.add(LoopCounter::Commands, 1);
        self.heed_kill();
        self.hand_over();
    }
}
