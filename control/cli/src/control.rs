//! `tern kill`, `resume` and `cancel-all`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::unistd::getuid;
use serde_json::{Value, json};
use tern_abi::counters::LoopCounter;
use tern_abi::segment::{CONN_STATE_KERNEL, Words};
use tern_config::Paths;
use tern_config::protocol::{Answer, Ask};
use tern_hw::reset::{Reset, reset};

use crate::halt::{self, Halt};
use crate::outcome::{Failure, Outcome, exit};
use crate::problems::Findings;
use crate::target::Target;
use crate::{client, rescue, status};

/// How often the segment is looked at while waiting.
const LOOK: Duration = Duration::from_millis(1);

/// Stops trading: writes the kill word, tells the daemon so that the journal names who it was, and waits until the loop
/// says that it stopped and no order is open.
///
/// # Errors
/// Exit code 3 when there is no segment; 1 when the kill word may not be written.
pub(crate) fn kill(target: &Target, timeout_ms: u64) -> Result<Outcome, Failure> {
    let view = target.segment()?;
    let words = view.segment().map_err(Failure::failed)?;
    let open_before = words.counters.get(LoopCounter::OpenOrders);
    view.kill(getuid().as_raw(), status::tai_ns()).map_err(Failure::failed)?;
    let began = Instant::now();
    // After the word, which needs nobody: the daemon may be dead or slow.
    let told = client::ask(&target.paths, Ask::Kill);
    let data_plane = view.data_plane().map_err(Failure::failed)?;
    let running = data_plane.is_some();
    let deadline = began + Duration::from_millis(timeout_ms);
    let stopped = running && wait(deadline, || !words.trading.get().0);
    let cancelled = stopped && wait(deadline, || words.counters.get(LoopCounter::OpenOrders) == 0);
    // The loop has not heeded it: the venue's session is ended over its head, and the venue cancels as its port is set.
    let keeps = target.port.as_ref().is_some_and(|port| !port.capabilities().cancel_on_disconnect);
    let ended = if stopped || keeps { Vec::new() } else { end_sessions(target, data_plane, &words) };
    // Where it does not, the daemon ends the loop and cancels what it left.
    let has_orders = running || open_before > 0;
    let rescued = (!stopped && keeps && has_orders).then(|| rescue::ask(target));
    let open_now = words.counters.get(LoopCounter::OpenOrders);

    let whole = rescued.as_ref().and_then(|rescued| rescued.as_ref().ok()).filter(|fact| fact.error.is_empty());
    let (gone, pending, unknown) = match whole {
        Some(fact) => (fact.open_in_log.saturating_sub(fact.left_open), fact.left_open, 0),
        None if stopped => (open_before.saturating_sub(open_now), open_now, 0),
        None => (0, 0, open_now.max(open_before)),
    };
    let cancelled = cancelled || whole.is_some_and(|fact| fact.left_open == 0);
    let mut text = String::from("killed: the kill word is set; no order leaves until `tern resume`\n");
    text.push_str(&match (running, stopped, cancelled) {
        (true, true, true) => format!("the data plane stopped; {gone} open orders are gone, none is left\n"),
        (true, true, false) => {
            format!("the data plane stopped; {gone} open orders are gone, {pending} wait for the venue's answer\n")
        }
        (true, false, _) if whole.is_some() => {
            format!("the data plane did not answer in {timeout_ms} ms, and ternd ended it\n")
        }
        (true, false, _) => format!("the data plane has not answered in {timeout_ms} ms: {unknown} orders UNKNOWN\n"),
        (false, ..) if whole.is_some() => "no data plane runs\n".into(),
        (false, ..) if keeps => {
            format!("no data plane runs: {unknown} orders UNKNOWN; the venue keeps them on disconnect\n")
        }
        (false, ..) => format!(
            "no data plane runs: {unknown} orders UNKNOWN; they are open until the venue cancels them on disconnect\n"
        ),
    });
    match &rescued {
        Some(Ok(fact)) => text.push_str(&format!("{}\n", rescue::text(fact))),
        Some(Err(why)) => {
            text.push_str(&format!("the venue keeps orders on disconnect, and they are not cancelled: {why}\n"))
        }
        None => {}
    }
    ended.iter().for_each(|ended| text.push_str(&format!("{}\n", ended.text())));
    if let Err(error) = &told {
        text.push_str(&format!("ternd was not told ({error}): the loop records the kill by itself\n"));
    }
    let json = json!({
        "killed": true,
        "acknowledged": stopped,
        "orders": { "open_before": open_before, "cancelled": gone, "pending": pending, "unknown": unknown },
        "rescue": rescued.as_ref().and_then(|rescued| rescued.as_ref().ok()).map(rescue::json),
        "rescue_error": rescued.as_ref().and_then(|rescued| rescued.as_ref().err()),
        "sessions_reset": ended.iter().map(Ended::json).collect::<Vec<_>>(),
        "ternd_told": matches!(told, Ok(Answer::Command { .. })),
        "waited_ms": began.elapsed().as_millis() as u64,
    });
    let code = if cancelled || (!running && unknown == 0) { exit::OK } else { exit::UNKNOWN_ORDERS };
    Ok(Outcome { text, json, code })
}

/// A venue session that was to be ended from outside. Whether it was, the venue alone knows.
struct Ended {
    conn: usize,
    outcome: Result<Reset, String>,
}

/// Ends every venue session that the segment knows of.
fn end_sessions(target: &Target, data_plane: Option<u32>, words: &Words) -> Vec<Ended> {
    let pid = data_plane.filter(|pid| *pid != 0);
    let known = words.conns.iter().enumerate().filter_map(|(conn, mirror)| mirror.read().map(|state| (conn, state)));
    let ended = known.map(|(conn, state)| {
        // The kernel knows its sockets without an interface.
        let interface = match state.state {
            CONN_STATE_KERNEL => Ok(String::new()),
            _ => target.interface_name(),
        };
        let outcome = interface
            .and_then(|interface| reset(&interface, pid, &state, status::tai_ns()).map_err(|error| error.to_string()));
        Ended { conn, outcome }
    });
    ended.filter(|ended| ended.outcome != Ok(Reset::NoConnection)).collect()
}

impl Ended {
    fn text(&self) -> String {
        let conn = self.conn;
        match &self.outcome {
            Ok(Reset::Sent(segments)) => format!(
                "{segments} resets were sent to end venue session {conn} from outside: the venue cancels on disconnect, if its \
                 port is set so; ask it"
            ),
            Ok(Reset::TooOld) => {
                format!("venue session {conn} was last heard of too long ago to be ended from outside")
            }
            Ok(Reset::Destroyed | Reset::Disconnected) => format!(
                "venue session {conn} was reset by the kernel: the venue cancels on disconnect, if its port is set so; ask it"
            ),
            Ok(Reset::NoConnection) => format!("venue session {conn} is not connected"),
            Err(why) => format!("venue session {conn} could NOT be ended from outside: {why}; call the venue"),
        }
    }

    fn json(&self) -> Value {
        let resets = if let Ok(Reset::Sent(segments)) = self.outcome { segments } else { 0 };
        let (how, why) = match &self.outcome {
            Ok(Reset::Sent(_)) => (Some("resets"), None),
            Ok(Reset::Destroyed) => (Some("destroyed"), None),
            Ok(Reset::Disconnected) => (Some("disconnected"), None),
            Ok(Reset::NoConnection) => (None, None),
            Ok(Reset::TooOld) => (None, Some("too_old".to_owned())),
            Err(why) => (None, Some(why.clone())),
        };
        json!({ "conn": self.conn, "how": how, "resets": resets, "why": why })
    }
}

/// What keeps orders from leaving although nothing is stopped: no session, no book that is trusted.
fn still_kept(target: &Target, words: &Words) -> Option<Halt> {
    let mut found = Findings::default();
    found.sessions(words);
    found.streams(words, &target.names());
    found.halt
}

/// Trades again; by the daemon alone, which knows who asked. Only what was seen is cleared: `kills_seen`, or what the kill
/// word counts now, which is shown with its reason.
///
/// # Errors
/// Exit code 3 when no daemon answers; 1 when it refuses for another reason than a later kill (that is an outcome, with
/// exit code 6).
pub(crate) fn resume(target: &Target, kills_seen: Option<u32>, timeout_ms: u64) -> Result<Outcome, Failure> {
    let view = target.segment()?;
    let words = view.segment().map_err(Failure::failed)?;
    let state = words.kill.state();
    let clears = Halt::of(&words, state, &target.names().halts);
    let kills_seen = kills_seen.unwrap_or(state.kills());
    let answer = ask(target, Ask::Resume { kills: kills_seen })?;
    let taken = matches!(answer, Answer::Command { taken: true });
    let trading = taken && wait(deadline(timeout_ms), || words.trading.get().0 && !words.kill.state().killed());
    let since = halt::kills_since(&words, kills_seen);
    let refused = matches!(answer, Answer::KilledSince { .. });
    let left = still_kept(target, &words).filter(|_| trading);
    let json = json!({
        "resumed": trading,
        "taken": taken,
        "refused": refused,
        "kills_seen": kills_seen,
        "kills": words.kill.state().kills(),
        "cleared": if refused { None } else { clears.as_ref().map(Halt::json) },
        "killed_since": since.iter().map(halt::kill_json).collect::<Vec<_>>(),
        "halt": left.as_ref().map(Halt::json),
    });
    let mut text = match (&clears, refused) {
        (_, true) => String::new(),
        (Some(halt), false) => format!("clearing: {}\n", halt.text()),
        (None, false) => "clearing: nothing, it trades\n".into(),
    };
    let code = if refused {
        text.push_str(&format!("refused: somebody killed after kill {kills_seen}, the last that was seen\n"));
        since.iter().for_each(|note| text.push_str(&format!("  {}\n", halt::kill_text(note))));
        text.push_str("look again (`tern status`), then `tern resume` if it is still right\n");
        exit::KILLED_SINCE
    } else if trading {
        text.push_str(&match &left {
            None => "resumed: orders may leave again\n".to_owned(),
            Some(halt) => format!("resumed, and still no order leaves: {}; `tern status` says more\n", halt.text()),
        });
        exit::OK
    } else {
        text.push_str(match taken {
            true => "the data plane took the command and does not trade; `tern status` says why\n",
            false => "the data plane has not taken the command yet; it resumes when it does, unless somebody kills\n",
        });
        exit::UNHEALTHY
    };
    Ok(Outcome { text, json, code })
}

/// Cancels all open orders and goes on trading: waits until those are gone that were open when the loop took the command.
///
/// # Errors
/// Exit code 3 when no daemon answers; 1 when it refuses.
pub(crate) fn cancel_all(target: &Target, timeout_ms: u64) -> Result<Outcome, Failure> {
    let view = target.segment()?;
    let words = view.segment().map_err(Failure::failed)?;
    let began = Instant::now();
    let deadline = deadline(timeout_ms);
    let cancels = Cancels::before(&words);
    let taken = command(target, Ask::CancelAll)?;
    let report = cancels.wait(&words, taken, deadline);
    let json = json!({
        "acknowledged": report.acknowledged,
        "orders": report.json(),
        "waited_ms": began.elapsed().as_millis() as u64,
    });
    let text = match report.acknowledged {
        true => report.text(),
        false => format!("the data plane has not answered in {timeout_ms} ms: {} orders UNKNOWN\n", report.unknown),
    };
    Ok(Outcome { text, json, code: if report.is_done() { exit::OK } else { exit::UNKNOWN_ORDERS } })
}

/// What was known before the loop was told to cancel orders.
pub(crate) struct Cancels {
    count: u64,
    open: u64,
}

/// What became of the orders that were open when the loop took it.
pub(crate) struct CancelReport {
    pub(crate) acknowledged: bool,
    open_before: u64,
    gone: u64,
    pending: u64,
    unknown: u64,
}

impl Cancels {
    pub(crate) fn before(words: &Words) -> Self {
        Self { count: words.cancel_all.get().count, open: words.counters.get(LoopCounter::OpenOrders) }
    }

    /// Waits until the orders are gone that were open when the loop was told, if it was `taken`.
    pub(crate) fn wait(self, words: &Words, taken: bool, deadline: Instant) -> CancelReport {
        let acknowledged = taken && wait(deadline, || words.cancel_all.get().count != self.count);
        if acknowledged {
            wait(deadline, || words.cancel_all.get().pending == 0);
        }
        let state = words.cancel_all.get();
        let (open_before, pending, unknown) =
            if acknowledged { (state.open, state.pending, 0) } else { (self.open, 0, self.open) };
        let gone = if acknowledged { open_before.saturating_sub(pending) } else { 0 };
        CancelReport { acknowledged, open_before, gone, pending, unknown }
    }
}

impl CancelReport {
    /// Whether every one of them is gone.
    pub(crate) const fn is_done(&self) -> bool {
        self.acknowledged && self.pending == 0
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "open_before": self.open_before, "cancelled": self.gone, "pending": self.pending,
            "unknown": self.unknown })
    }

    pub(crate) fn text(&self) -> String {
        let Self { gone, pending, .. } = self;
        match self.pending {
            0 => format!("{gone} open orders are gone, none of them is left; trading goes on\n"),
            _ => format!(
                "{gone} open orders are gone, {pending} wait for the venue's answer; trading goes on (`tern status` says \
                 whether the session is ready)\n"
            ),
        }
    }
}

/// Has the daemon hand a command to the loop; whether the loop took it.
fn command(target: &Target, command: Ask) -> Result<bool, Failure> {
    Ok(matches!(ask(target, command)?, Answer::Command { taken: true }))
}

/// Has the daemon do something.
pub(crate) fn ask(target: &Target, command: Ask) -> Result<Answer, Failure> {
    ask_at(&target.paths, command)
}

/// As [`ask`], of the instance with these paths.
///
/// # Errors
/// As [`ask`].
pub(crate) fn ask_at(paths: &Paths, command: Ask) -> Result<Answer, Failure> {
    heard(paths, client::ask(paths, command))
}

/// As [`ask`], for what takes longer.
///
/// # Errors
/// As [`ask`].
pub(crate) fn ask_within(target: &Target, command: Ask, patience: Duration) -> Result<Answer, Failure> {
    heard(&target.paths, client::ask_within(&target.paths, command, patience))
}

fn heard(paths: &Paths, answer: std::io::Result<Answer>) -> Result<Answer, Failure> {
    match answer {
        Ok(
            answer @ (Answer::Command { .. }
            | Answer::KilledSince { .. }
            | Answer::Lifted
            | Answer::NotLifted { .. }
            | Answer::Limits { .. }
            | Answer::Allotment { .. }
            | Answer::Day(_)),
        ) => Ok(answer),
        Ok(Answer::Error(why)) => Err(Failure::failed(why)),
        Ok(Answer::Role { message }) => Err(Failure { message, code: exit::ROLE }),
        Ok(Answer::SecondPerson { within_s }) => Err(Failure {
            message: format!("not done yet: another user has to give the same command within {within_s} s"),
            code: exit::SECOND_PERSON,
        }),
        Ok(other) => Err(Failure::failed(format!("ternd gave an answer to another question: {other:?}"))),
        Err(error) => {
            Err(Failure::not_running(format!("ternd does not answer at {}: {error}", paths.control_socket().display())))
        }
    }
}

fn deadline(timeout_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(timeout_ms)
}

/// Looks until `done` or the deadline; whether it was done.
pub(crate) fn wait(deadline: Instant, done: impl Fn() -> bool) -> bool {
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK);
    }
}
