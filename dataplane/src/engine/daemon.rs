//! The daemon's heartbeat, as the loop sees it: what changes is told to the pipeline as a command, which is journaled before
//! it takes effect.

use super::Engine;
use crate::clock::Clock;
use crate::net::OrderTransport;
use tern_abi::command::{Command, DaemonPulse};
use tern_abi::record::Recorder;
use tern_core::feed::Feed;
use tern_core::input::Input;
use tern_core::probe::Isolate;
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;
use tern_core::units::TaiNs;
use tern_hw::port::Port;

/// Follows the daemon's beat. What counts is that it changes, by the loop's own time without the pauses of the process: the
/// daemon's clock may be set, and a loop that stood still has not listened.
#[derive(Clone, Copy, Debug)]
pub(super) struct DaemonWatch {
    /// Deadlines; 0 = none.
    silence_ns: u64,
    halt_ns: u64,
    beat: u64,
    /// When the beat changed last, or the first look was; `None` before that.
    heard: Option<TaiNs>,
    /// What the pipeline was told.
    told: DaemonPulse,
}

impl DaemonWatch {
    pub(super) const fn new(silence_ns: u64, halt_ns: u64) -> Self {
        Self { silence_ns, halt_ns, beat: 0, heard: None, told: DaemonPulse::Steady }
    }

    /// How the heartbeat is at `now`, and how old; `beat` is what stands in the segment.
    fn look(&mut self, beat: u64, now: TaiNs) -> (DaemonPulse, u64) {
        let heard = match self.heard {
            Some(heard) if self.beat == beat => heard,
            _ => now,
        };
        (self.beat, self.heard) = (beat, Some(heard));
        let age_ns = now.since(heard);
        let is_past = |deadline_ns: u64| deadline_ns != 0 && age_ns >= deadline_ns;
        let pulse = match (is_past(self.halt_ns), is_past(self.silence_ns)) {
            (true, _) => DaemonPulse::Lost,
            (false, true) => DaemonPulse::Silent,
            (false, false) => DaemonPulse::Steady,
        };
        (pulse, age_ns)
    }
}

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
    /// Looks at the daemon's heartbeat, and tells the pipeline if it is not as it was. What could not be recorded is told by
    /// the next look.
    pub(super) fn watch_daemon(&mut self, now: TaiNs) {
        let beat = self.parts.words.daemon_beat.last().0;
        let network_time = self.network_time();
        let (pulse, age_ns) = self.daemon.look(beat, network_time);
        if pulse != self.daemon.told && !self.is_stopping {
            self.tell_pulse(now, pulse, age_ns);
        }
    }

    #[cold]
    fn tell_pulse(&mut self, now: TaiNs, pulse: DaemonPulse, age_ns: u64) {
        let command = Command::daemon_pulse(pulse, age_ns);
        if self.input(now, Input::Command(&command)).is_ok() {
            self.daemon.told = pulse;
            self.hand_over();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_deadline_is_crossed_when_the_beat_has_not_changed_for_so_long() {
        let mut watch = DaemonWatch::new(100, 300);
        let mut look = |beat, now| watch.look(beat, TaiNs(now));
        assert_eq!(look(7, 1000), (DaemonPulse::Steady, 0), "the time before the first look is not the daemon's");
        assert_eq!(look(7, 1099), (DaemonPulse::Steady, 99));
        assert_eq!(look(7, 1100), (DaemonPulse::Silent, 100));
        assert_eq!(look(7, 1300), (DaemonPulse::Lost, 300));
        assert_eq!(look(3, 1301), (DaemonPulse::Steady, 0), "its clock may have been set back");
        assert_eq!(look(3, 1401), (DaemonPulse::Silent, 100));
    }

    #[test]
    fn a_deadline_of_nothing_is_none() {
        let mut watch = DaemonWatch::new(0, 300);
        watch.look(0, TaiNs(1));
        assert_eq!(watch.look(0, TaiNs(300)).0, DaemonPulse::Steady);
        assert_eq!(watch.look(0, TaiNs(301)).0, DaemonPulse::Lost);
        let mut watch = DaemonWatch::new(0, 0);
        watch.look(0, TaiNs(1));
        assert_eq!(watch.look(0, TaiNs::NEVER).0, DaemonPulse::Steady);
    }
}
