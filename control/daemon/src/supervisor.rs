//! Starts the data plane, watches it, starts it again within a budget, and ends it.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tern_abi::command::CommandKind;
use tern_abi::command::SYSTEM_UID;
use tern_abi::counters::LoopCounter;
use tern_abi::segment::{CONN_STATE_CLOSED, KillCause};
use tern_config::{Config, HeartbeatLoss};
use tern_hw::reset::{Reset, reset};
use tern_hw::segment::{SegmentSpec, SegmentView};

use crate::audit::Audit;
use crate::clock;
use crate::exporter::Exporter;
use crate::firm;
use crate::notify::Notify;
use crate::process::{self, Process};
use crate::readiness;
use crate::rescue;
use crate::run_folder::write_pid;
use crate::shared::Shared;
use crate::steer::Steering;

/// How often the supervisor looks.
const TURN: Duration = Duration::from_millis(10);
/// How often the facts are written.
const FACTS_EVERY: Duration = Duration::from_secs(1);
/// Longest pause before a restart.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a data plane may take to end after SIGTERM, and after SIGKILL.
const SIGNAL_PATIENCE: Duration = Duration::from_secs(2);
/// The data plane's exit code for what a restart does not mend: its usage or configuration is wrong.
const EXIT_HOPELESS: i32 = 2;

/// The data plane, as far as this daemon knows.
enum DataPlane {
    /// Started by this daemon.
    Child(Child, Process),
    /// Found running.
    Adopted(Process),
    /// To be started at this time.
    Waiting(Instant),
    /// Not to be started again.
    Down,
}

pub(crate) struct Supervisor<'a> {
    config: &'a Config,
    program: &'a Path,
    view: &'a SegmentView,
    shared: &'a Shared<'a>,
    data_plane: DataPlane,
    /// When it was restarted within the window of the budget.
    restarts: VecDeque<Instant>,
    heartbeat: Heartbeat,
    /// The same, with the patience after which the venue's session of a stuck loop is ended.
    stuck: Heartbeat,
    /// Kills that there were when it began.
    kills_at_start: u32,
    /// All that has to be so before a data plane is started was so once.
    was_ready: bool,
    /// Hangups (SIGHUP) that were heard.
    hangups: u32,
    /// When a rescue that was not possible is tried again, while the data plane stays down.
    rescue_due: Instant,
}

impl<'a> Supervisor<'a> {
    pub(crate) fn new(config: &'a Config, program: &'a Path, view: &'a SegmentView, shared: &'a Shared<'a>) -> Self {
        Self {
            config,
            program,
            view,
            shared,
            data_plane: DataPlane::Waiting(Instant::now()),
            restarts: VecDeque::new(),
            heartbeat: Heartbeat::new(Duration::from_millis(config.daemon.heartbeat_loss_ms)),
            stuck: Heartbeat::new(Duration::from_millis(
                config.daemon.heartbeat_loss_ms + config.daemon.stuck_session_ms,
            )),
            kills_at_start: 0,
            was_ready: false,
            hangups: 0,
            rescue_due: Instant::now(),
        }
    }

    /// Until `stop` is set.
    pub(crate) fn run(
        &mut self,
        stop: &AtomicBool,
        steering: &mut Steering<'_>,
        mut audit: Option<&mut Audit<'_>>,
        mut exporter: Option<&mut Exporter<'_>>,
        notify: &mut Notify,
    ) {
        self.adopt();
        let mut facts_due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            self.shared.watch();
            self.turn();
            if let Some(audit) = &mut audit {
                audit.turn();
            }
            if let Some(exporter) = &mut exporter {
                exporter.turn();
            }
            if Instant::now() >= facts_due {
                facts_due = Instant::now() + FACTS_EVERY;
                steering.count(self.shared);
                self.shared.refresh(&crate::read_names(self.config));
                self.shared.write_facts(&self.config.paths.daemon_facts());
            }
            self.notify(notify);
            std::thread::sleep(TURN);
        }
    }

    /// What systemd is told of this turn.
    fn notify(&mut self, notify: &mut Notify) {
        if notify.is_due(Instant::now()) {
            let runs = matches!(self.data_plane, DataPlane::Child(..) | DataPlane::Adopted(_));
            let (is_ready, status) = readiness::status(self.shared, runs && self.heartbeat.beats());
            notify.tell(is_ready, &status);
        }
        notify.turn(self.shared.drain_turns(), Instant::now());
        let hangups = tern_hw::signal::hangups();
        if hangups != self.hangups {
            self.hangups = hangups;
            tracing::warn!(
                "SIGHUP: nothing is loaded anew, for it does not say who asks and why: `tern config apply FILE --why TEXT` does"
            );
            notify.nothing_to_reload();
        }
    }

    /// Whether a data plane may be started at all.
    fn may_start(&mut self) -> bool {
        if !self.was_ready {
            let found = readiness::look(self.shared);
            let waits = readiness::waits_for(&found).join(", ");
            self.was_ready = waits.is_empty();
            self.shared.update(|facts| {
                if !waits.is_empty() && facts.readiness != found {
                    tracing::info!("no data plane is started before: {waits}");
                }
                facts.readiness = found;
            });
        }
        self.was_ready
    }

    /// Takes over a data plane that outlived its daemon, so that there is never a second.
    fn adopt(&mut self) {
        let holder = self.view.data_plane().unwrap_or_default().filter(|pid| *pid != 0);
        if let Some(process) = holder.and_then(Process::find) {
            tracing::info!(pid = process.pid, "adopted the data plane that runs");
            self.data_plane = DataPlane::Adopted(process);
            self.running(process, true);
            if let Err(why) = firm::take(self.shared, self.config, true) {
                self.shared.halt(KillCause::Allotment, &why);
            }
        } else {
            // Both died, and nobody was there to do it.
            self.end_sessions(None);
            self.rescue("ternd started, and no data plane runs");
        }
    }

    fn turn(&mut self) {
        if self.shared.take_rescue_request() {
            self.rescue_on_request();
        }
        let ended = match &mut self.data_plane {
            DataPlane::Child(child, _) => match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some((status.to_string(), Some(status))),
                Err(error) => Some((format!("cannot be waited for: {error}"), None)),
            },
            DataPlane::Adopted(process) => (!process.is_alive()).then(|| ("ended".to_owned(), None)),
            DataPlane::Waiting(at) => {
                if Instant::now() >= *at && self.may_start() {
                    self.start();
                }
                return;
            }
            DataPlane::Down => return self.rescue_again(),
        };
        match ended {
            Some((how, status)) => {
                let how = self.forbidden(status).unwrap_or(how);
                self.ended(&how, status.and_then(|status| status.code()));
            }
            None => self.watch_heartbeat(),
        }
    }

    /// What to say of a data plane that its sandbox ended, if that is what happened. It has set the kill word itself, as its last act;
    /// one that the kernel ended without asking it has not.
    fn forbidden(&self, status: Option<ExitStatus>) -> Option<String> {
        let word = &self.shared.segment.words().kill;
        let kills = word.state().kills();
        let has_said =
            kills != self.kills_at_start && word.note(kills).is_some_and(|note| note.cause == KillCause::ForbiddenCall);
        let by_signal = status.and_then(|status| status.signal()) == Some(Signal::SIGSYS as i32);
        if by_signal && !has_said {
            self.shared.halt(KillCause::ForbiddenCall, "the data plane ended by SIGSYS");
        }
        (by_signal || has_said).then(|| {
            "ended by its sandbox (SIGSYS): it asked for a system call that it may not have; trading stays stopped until an operator resumes"
                .into()
        })
    }

    fn start(&mut self) {
        // It reads the file again, which may be another one by now.
        let allowed = match Config::load(self.config.file()) {
            Ok(config) if self.shared.firm.is_some() => firm::take(self.shared, &config, false),
            _ => Ok(()),
        };
        if let Err(why) = allowed {
            return self.ended(&why, Some(EXIT_HOPELESS));
        }
        let log_path = self.config.paths.dataplane_log();
        match process::spawn(self.program, self.config.file(), &log_path) {
            Ok(mut child) => match Process::find(child.id()) {
                Some(process) => {
                    tracing::info!(pid = process.pid, log = %log_path.display(), "data plane started");
                    self.data_plane = DataPlane::Child(child, process);
                    self.running(process, false);
                }
                None => {
                    let status = child.wait();
                    let code = status.as_ref().ok().and_then(std::process::ExitStatus::code);
                    self.ended(&status.map_or_else(|error| error.to_string(), |status| status.to_string()), code);
                }
            },
            Err(error) => self.ended(&format!("{} cannot be started: {error}", self.program.display()), None),
        }
    }

    fn running(&mut self, process: Process, adopted: bool) {
        let beat = self.shared.segment.words().data_plane_beat.last().0;
        self.heartbeat.restart(beat);
        self.stuck.restart(beat);
        self.kills_at_start = self.shared.segment.words().kill.state().kills();
        if let Err(error) = write_pid(&self.config.paths.dataplane_pid(), process.pid) {
            tracing::warn!("{error}");
        }
        self.shared.update(|facts| (facts.dataplane_pid, facts.adopted) = (process.pid, adopted));
    }

    /// Ends what the venue still takes for a connection of a data plane that is gone, so that it cancels what is open
    /// there now, and not when it misses heartbeats. An orderly end leaves none. `pid` is a data plane that is stuck.
    fn end_sessions(&self, pid: Option<u32>) {
        for conn in &self.shared.segment.words().conns {
            let Some(state) = conn.read() else { continue };
            match reset(&self.config.port.interface, pid, &state, clock::tai_ns()) {
                Ok(Reset::Sent(segments)) => {
                    tracing::warn!(segments, port = state.own_port, "reset the venue's session from outside");
                    self.shared.update(|facts| facts.sessions_ended += 1);
                }
                Ok(how @ (Reset::Destroyed | Reset::Disconnected)) => {
                    tracing::warn!(?how, port = state.own_port, "the kernel reset the venue's session");
                    self.shared.update(|facts| facts.sessions_ended += 1);
                }
                Ok(Reset::NoConnection | Reset::TooOld) => {}
                Err(error) => tracing::error!("the venue's session cannot be ended from outside: {error}"),
            }
        }
    }

    /// Whether the venue keeps orders when their session ends.
    fn keeps_orders(&self) -> bool {
        self.config.session.as_ref().is_some_and(|port| !port.capabilities().cancel_on_disconnect)
    }

    /// Whether orders may be open that no venue cancels by itself: a session was not ended in order, or orders were open.
    fn needs_rescue(&self) -> bool {
        let words = self.shared.segment.words();
        let ended = |state: tern_abi::segment::ConnState| state.state == CONN_STATE_CLOSED;
        let has_session = words.conns.iter().filter_map(|conn| conn.read()).any(|state| !ended(state));
        self.keeps_orders() && (has_session || words.counters.get(LoopCounter::OpenOrders) > 0)
    }

    /// Where the venue does not cancel on disconnect: cancels what the data plane, which is gone, left open.
    fn rescue(&mut self, why: &str) {
        let Some(session) = self.config.session.as_ref().filter(|_| self.needs_rescue()) else { return };
        tracing::warn!(why, venue = %session.address, "the venue keeps orders on disconnect: cancelling them in a session of our own");
        let spec = SegmentSpec {
            path: Some(self.view.path().to_path_buf()),
            sizes: self.config.rings.sizes(),
            ..SegmentSpec::new(self.config.instance.name.clone())
        };
        let patience = Duration::from_millis(self.config.daemon.rescue_ms);
        let fact = rescue::run(session, &spec, why, patience);
        let (open, cancelled, left) = (fact.open_in_log, fact.cancelled, fact.left_open);
        match fact.error.as_str() {
            "" if left == 0 => tracing::warn!(open, cancelled, took_ms = fact.took_ms, "nothing is open any more"),
            "" => tracing::error!(open, cancelled, left, "orders are still OPEN at the venue: ask it"),
            error => tracing::error!(open, cancelled, left, "orders may still be OPEN at the venue: {error}"),
        }
        self.rescue_due = Instant::now() + PAUSE_MAX;
        self.shared.rescued(fact);
        self.shared.write_facts(&self.config.paths.daemon_facts());
    }

    /// No data plane will come that would cancel: it is tried again until it was done.
    fn rescue_again(&mut self) {
        if Instant::now() >= self.rescue_due {
            self.rescue("the data plane stays down");
        }
    }

    /// An operator's kill was not heeded. The loop is ended, so that nothing of it can leave any more, and what it left is
    /// cancelled.
    fn rescue_on_request(&mut self) {
        let words = self.shared.segment.words();
        match &self.data_plane {
            DataPlane::Child(_, process) | DataPlane::Adopted(process) => {
                if words.kill.state().killed() && words.trading.get().0 {
                    tracing::error!(pid = process.pid, "the data plane does not heed the kill: ended");
                    process.signal(Signal::SIGKILL);
                }
            }
            DataPlane::Waiting(_) | DataPlane::Down => self.rescue("an operator's kill, and no data plane runs"),
        }
    }

    fn ended(&mut self, how: &str, code: Option<i32>) {
        self.end_sessions(None);
        self.rescue("the data plane is gone");
        let _ = std::fs::remove_file(self.config.paths.dataplane_pid());
        self.shared.update(|facts| facts.dataplane_pid = 0);
        tracing::error!("data plane: {how}; its last words are in {}", self.config.paths.dataplane_log().display());
        let now = Instant::now();
        let window = Duration::from_secs(self.config.daemon.restart_window_s);
        while self.restarts.front().is_some_and(|first| now.duration_since(*first) > window) {
            self.restarts.pop_front();
        }
        if code == Some(EXIT_HOPELESS) || self.restarts.len() >= self.config.daemon.restarts_max as usize {
            let why = if code == Some(EXIT_HOPELESS) {
                "its usage or configuration is wrong, which a restart does not mend".to_owned()
            } else {
                format!("{} restarts in {} s are spent", self.restarts.len(), window.as_secs())
            };
            tracing::error!("data plane stays down: {why}; mend the cause and restart ternd");
            self.shared.update(|facts| facts.gave_up = true);
            self.data_plane = DataPlane::Down;
            return;
        }
        let doublings = self.restarts.len().min(16) as u32;
        let pause =
            Duration::from_millis(self.config.daemon.restart_pause_ms).saturating_mul(1 << doublings).min(PAUSE_MAX);
        self.restarts.push_back(now);
        self.shared.update(|facts| facts.restarts += 1);
        tracing::info!(pause_ms = pause.as_millis() as u64, "data plane is started again");
        self.data_plane = DataPlane::Waiting(now + pause);
    }

    fn watch_heartbeat(&mut self) {
        let beat = self.shared.segment.words().data_plane_beat.last().0;
        if self.stuck.look(beat, Instant::now()) == Pulse::Lost
            && let DataPlane::Child(_, process) | DataPlane::Adopted(process) = &self.data_plane
        {
            // It has not heeded the kill word, and cannot cancel: the venue is to. One that keeps orders is told by us, once
            // the loop is gone.
            if self.keeps_orders() {
                process.signal(Signal::SIGKILL);
            } else {
                self.end_sessions(Some(process.pid));
            }
        }
        match self.heartbeat.look(beat, Instant::now()) {
            Pulse::Steady => {}
            Pulse::Back => tracing::info!("the data plane's heartbeat is back"),
            Pulse::Lost => {
                self.shared.update(|facts| facts.heartbeat_losses += 1);
                let loss_ms = self.config.daemon.heartbeat_loss_ms;
                self.shared.halt(KillCause::HeartbeatLoss, &format!("no heartbeat of the data plane for {loss_ms} ms"));
                if self.config.daemon.on_heartbeat_loss == HeartbeatLoss::Restart
                    && let DataPlane::Child(_, process) | DataPlane::Adopted(process) = &self.data_plane
                {
                    tracing::error!(pid = process.pid, "the data plane is stuck: ended");
                    process.signal(Signal::SIGKILL);
                }
            }
        }
    }

    /// Ends the data plane: by command, then by SIGTERM, then by SIGKILL. Returns whether none is left.
    pub(crate) fn shut_down(&mut self) -> bool {
        let process = match &self.data_plane {
            DataPlane::Child(_, process) | DataPlane::Adopted(process) => *process,
            DataPlane::Waiting(_) | DataPlane::Down => return true,
        };
        let patience = Duration::from_millis(self.config.daemon.shutdown_ms);
        tracing::info!(pid = process.pid, "asking the data plane to cancel all, log out and end");
        if self.shared.send(CommandKind::Shutdown, SYSTEM_UID, 0).is_err() {
            tracing::warn!("the command ring is full: the data plane takes no commands");
        }
        let mut gone = self.wait_gone(process, patience, true);
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            if !gone {
                let hurried = tern_hw::signal::stops_asked() > 1;
                tracing::warn!(pid = process.pid, hurried, "the data plane did not end; {signal}");
                process.signal(signal);
                gone = self.wait_gone(process, SIGNAL_PATIENCE, signal == Signal::SIGTERM);
            }
        }
        if gone {
            // Nothing is left to end if it ended in order.
            self.end_sessions(None);
            self.rescue("the data plane did not end in order");
            let _ = std::fs::remove_file(self.config.paths.dataplane_pid());
            self.shared.update(|facts| facts.dataplane_pid = 0);
        }
        gone
    }

    /// Whoever asks the daemon a second time to stop does not want to wait for an orderly end.
    fn wait_gone(&mut self, process: Process, patience: Duration, may_hurry: bool) -> bool {
        let gone = process.wait_gone(patience, || may_hurry && tern_hw::signal::stops_asked() > 1);
        if let (true, DataPlane::Child(child, _)) = (gone, &mut self.data_plane) {
            let _ = child.wait();
        }
        gone
    }
}

/// What a look at the heartbeat says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pulse {
    Steady,
    Lost,
    Back,
}

/// Follows a word that changes as long as its writer lives. Before its first change nothing is expected: a data plane
/// takes seconds to fill its memory.
struct Heartbeat {
    patience: Duration,
    last: u64,
    changed: Option<Instant>,
    lost: bool,
}

impl Heartbeat {
    const fn new(patience: Duration) -> Self {
        Self { patience, last: 0, changed: None, lost: false }
    }

    fn restart(&mut self, beat: u64) {
        *self = Self { last: beat, ..Self::new(self.patience) };
    }

    /// Whether it beats, as far as was looked.
    const fn beats(&self) -> bool {
        self.changed.is_some() && !self.lost
    }

    fn look(&mut self, beat: u64, now: Instant) -> Pulse {
        if beat != self.last {
            self.last = beat;
            self.changed = Some(now);
            return if std::mem::take(&mut self.lost) { Pulse::Back } else { Pulse::Steady };
        }
        match self.changed {
            Some(changed) if !self.lost && now.duration_since(changed) >= self.patience => {
                self.lost = true;
                Pulse::Lost
            }
            _ => Pulse::Steady,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_is_missed_once_and_its_return_noticed() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut heartbeat = Heartbeat::new(Duration::from_millis(100));
        heartbeat.restart(7);
        assert_eq!(heartbeat.look(7, at(5000)), Pulse::Steady, "nothing is expected before the first beat");
        assert_eq!(heartbeat.look(8, at(5001)), Pulse::Steady);
        assert_eq!(heartbeat.look(8, at(5100)), Pulse::Steady);
        assert_eq!(heartbeat.look(8, at(5101)), Pulse::Lost);
        assert_eq!(heartbeat.look(8, at(9000)), Pulse::Steady, "said once");
        assert_eq!(heartbeat.look(9, at(9001)), Pulse::Back);
    }
}
