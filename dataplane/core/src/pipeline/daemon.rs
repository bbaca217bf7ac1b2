//! A daemon that is not there: nobody drains the rings, restarts or watches. The loop says how its heartbeat is, as a
//! command that is journaled before it takes effect (docs/adr/0019-a-daemon-that-is-not-there.md).

use super::{Desk, PipelineCounter, Turn};
use crate::probe::Probe;
use crate::risk::HaltReason;
use tern_abi::command::DaemonPulse;
use tern_abi::record::Recorder;

impl Desk {
    /// The daemon's heartbeat is as `pulse` says; `false` when that is no [`DaemonPulse`].
    ///
    /// Silence stops what is new, and ends by itself: nothing was cancelled, and a record that was lost meanwhile has stopped
    /// trading for a reason of its own. A daemon that is lost is a kill: that ends with an operator's resume alone.
    pub(super) fn daemon_pulse<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, pulse: u32) -> bool {
        let Some(pulse) = DaemonPulse::from_index(pulse as usize) else { return false };
        self.daemon_silent = pulse != DaemonPulse::Steady;
        match pulse {
            DaemonPulse::Steady if self.gate.halt() == Some(HaltReason::DaemonSilent) => self.lift(turn),
            DaemonPulse::Steady => {}
            DaemonPulse::Silent => {
                self.count(PipelineCounter::DaemonSilences, 1);
                self.recall(turn);
                // Where something else stops trading already, this comes to light when that is lifted.
                if self.gate.is_open() {
                    self.halt(turn, HaltReason::DaemonSilent);
                }
            }
            DaemonPulse::Lost => self.kill(turn, HaltReason::DaemonLost),
        }
        true
    }

    /// What stops trading whatever an operator resumes.
    pub(super) fn standing_stop(&self) -> Option<HaltReason> {
        self.recovery.stop().or(self.daemon_silent.then_some(HaltReason::DaemonSilent))
    }

    /// Lifts what stops trading, but for what no resume lifts.
    pub(super) fn lift<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) {
        let left = self.standing_stop();
        self.gate.set_halt(left);
        self.record_state(turn, left.unwrap_or(HaltReason::NotHalted));
    }
}
