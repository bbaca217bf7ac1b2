//! Limits set while it runs: the journal has them before they are in force, and the segment says so before the command
//! counts as taken. A later run of the same segment keeps what was tightened.

use super::Engine;
use crate::clock::Clock;
use crate::net::OrderTransport;
use tern_abi::command::{LIMITS_MAX, SYSTEM_UID, SetLimits};
use tern_abi::counters::LoopCounter;
use tern_abi::record::Recorder;
use tern_abi::segment::LimitsState;
use tern_config::limits::{Change, change};
use tern_core::feed::Feed;
use tern_core::input::Input;
use tern_core::probe::Isolate;
use tern_core::risk::{LimitId, Limits};
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;
use tern_core::units::TaiNs;
use tern_hw::port::Port;

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
    /// Gives the pipeline all limits at once; whether the input was recorded.
    #[cold]
    pub(super) fn set_limits(&mut self, now: TaiNs, command: &SetLimits) -> bool {
        let before = self.limits().epoch;
        if self.input(now, Input::SetLimits(command)).is_err() {
            return false;
        }
        if self.limits().epoch != before {
            self.show_limits(command, now);
        }
        true
    }

    /// Says which limits are in force and by which command.
    pub(super) fn show_limits(&self, command: &SetLimits, now: TaiNs) {
        let limits = self.limits();
        let state = LimitsState::new(command, now.0);
        let (values, count) = values_of(limits);
        let words = self.parts.words;
        // Before the epoch: who sees that sees the bounds that came with it.
        self.show_bounds(command, now);
        words.limits.write(&LimitsState { epoch: limits.epoch, count, values, ..state });
        words.limits_epoch.set(limits.epoch.into());
    }

    /// The first thing that a run does: shows its limits. Of an earlier run of the segment it keeps, limit by limit, the
    /// tighter of what was in force and of what the file says, so that no restart loosens anything; and it goes on
    /// counting epochs, so that no epoch stands for two sets of limits. Whether it is done.
    #[cold]
    pub(super) fn keep_limits(&mut self) -> bool {
        let now = self.parts.clock.now();
        let (file, count) = values_of(self.limits());
        let start = SetLimits::new(&file[..count as usize], (0, 0), SYSTEM_UID, "");
        let Some(old) = self.parts.words.limits.read().filter(|old| old.epoch != 0 || old.values() != start.values())
        else {
            self.show_limits(&start, now);
            return self.keep_bounds();
        };
        let mut kept = file;
        for ((id, kept), old) in LimitId::ALL.iter().zip(&mut kept).zip(old.values()) {
            if change(id.name(), *old, *kept) == Change::Looser && (0..=Limits::max(*id)).contains(old) {
                *kept = *old;
            }
        }
        let epochs = (self.limits().epoch, old.epoch.saturating_add(1));
        let why = if kept == file {
            "a new run: the limits of the file"
        } else {
            "a new run: what was in force before, where it is tighter than the file"
        };
        self.set_limits(now, &SetLimits::new(&kept[..count as usize], epochs, SYSTEM_UID, why)) && self.keep_bounds()
    }

    /// A command of the ring that sets all limits.
    #[cold]
    pub(super) fn take_limits(&mut self, now: TaiNs, command: &SetLimits) {
        // Not taken: it comes again when it can be recorded.
        if !self.set_limits(now, command) {
            return;
        }
        if let Some(commands) = &mut self.parts.commands {
            commands.done();
        }
        self.parts.words.counters.add(LoopCounter::Commands, 1);
        self.heed_kill();
        self.hand_over();
    }

    pub(super) fn limits(&self) -> &Limits {
        self.parts.pipeline.desk().gate().limits()
    }
}

/// Every limit by its index, and how many there are.
fn values_of(limits: &Limits) -> ([i64; LIMITS_MAX], u32) {
    let mut values = [0; LIMITS_MAX];
    for (id, value) in LimitId::ALL.iter().zip(&mut values) {
        *value = limits.get(*id);
    }
    (values, LimitId::COUNT as u32)
}
